/**
 * ECMA-262 regular expressions with the `u` flag, as languages. The JavaScript engine checks the syntax, so the reader
 * below sees only valid expressions. Look-around, word boundaries and back-references are refused: they are not
 * regular, or depend on the text around them.
 */

import { LIMITS } from "../limits.js";
import { ANY, type CodePointSet, complement, fromPairs, intersect } from "./code-points.js";
import { type Language, type Languages, TooManyStates } from "./language.js";

/** Thrown when a pattern cannot be used; `code` and the message give the reason. */
export class PatternError extends Error {
  constructor(
    readonly code: "invalid" | "unsupported",
    message: string,
  ) {
    super(message);
  }
}

/**
 * Returns the language of the texts that match a pattern.
 * @param isWhole true if the pattern must match the whole text; false to search for it in the text, as `pattern` does
 * @param maxPositions limit on the characters of the pattern after its repetitions are expanded
 * @throws PatternError
 */
export function patternLanguage(
  languages: Languages,
  source: string,
  isWhole: boolean,
  maxPositions: number,
): Language {
  const tree = new Reader(languages, source).read();
  if (tree.size > maxPositions) {
    throw new PatternError(
      "unsupported",
      `the pattern has more than ${maxPositions} positions after its repetitions are expanded`,
    );
  }
  const everything = repeatTree(setTree(ANY), 0, Infinity);
  return new Placed(languages).language(isWhole ? tree : concatTree([everything, tree, everything]), true, true);
}

/**
 * Returns the language of a pattern from a request, and checks that all its states together are within the limits.
 * @throws PatternError
 */
export function boundedPattern(languages: Languages, source: string, isWhole: boolean): Language {
  const language = patternLanguage(languages, source, isWhole, LIMITS.maxPatternPositions);
  try {
    languages.explore(language, LIMITS.maxGrammarStates);
  } catch (error) {
    if (!(error instanceof TooManyStates)) throw error;
    throw new PatternError("unsupported", `the patterns need more than ${LIMITS.maxGrammarStates} states`);
  }
  return language;
}

type Tree = {
  /** Number of characters when repetitions are expanded. */
  readonly size: number;
  /** True if the tree contains ^ or $. */
  readonly hasStart: boolean;
  readonly hasEnd: boolean;
} & (
  | { readonly kind: "set"; readonly set: CodePointSet }
  | { readonly kind: "concat" | "union"; readonly parts: readonly Tree[] }
  | { readonly kind: "repeat"; readonly of: Tree; readonly min: number; readonly max: number }
  | { readonly kind: "start" | "end" }
);

const START: Tree = { kind: "start", size: 0, hasStart: true, hasEnd: false };
const END: Tree = { kind: "end", size: 0, hasStart: false, hasEnd: true };

const setTree = (set: CodePointSet): Tree => ({ kind: "set", set, size: 1, hasStart: false, hasEnd: false });

function listTree(kind: "concat" | "union", parts: readonly Tree[]): Tree {
  return {
    kind,
    parts,
    size: parts.reduce((sum, part) => sum + part.size, 1),
    hasStart: parts.some(({ hasStart }) => hasStart),
    hasEnd: parts.some(({ hasEnd }) => hasEnd),
  };
}

const concatTree = (parts: readonly Tree[]): Tree => (parts.length === 1 ? parts[0]! : listTree("concat", parts));

function repeatTree(of: Tree, min: number, max: number): Tree {
  const size = of.size * Math.max(1, max === Infinity ? min : max);
  return { kind: "repeat", of, min, max, size, hasStart: of.hasStart, hasEnd: of.hasEnd };
}

/**
 * Converts trees to languages. `atStart` and `atEnd` are true if the tree is at the start or at the end of the text.
 */
class Placed {
  readonly #known = new Map<Tree, (Language | undefined)[]>();

  constructor(readonly languages: Languages) {}

  language(tree: Tree, atStart: boolean, atEnd: boolean): Language {
    let known = this.#known.get(tree);
    if (known === undefined) this.#known.set(tree, (known = []));
    const place = Number(atStart && tree.hasStart) + 2 * Number(atEnd && tree.hasEnd);
    return (known[place] ??= this.#language(tree, atStart, atEnd));
  }

  #language(tree: Tree, atStart: boolean, atEnd: boolean): Language {
    const { languages } = this;
    languages.spend();
    switch (tree.kind) {
      case "set":
        return languages.set(tree.set);
      case "start":
        return atStart ? languages.empty : languages.none;
      case "end":
        return atEnd ? languages.empty : languages.none;
      case "union":
        return languages.union(tree.parts.map((part) => this.language(part, atStart, atEnd)));
      case "repeat":
        return this.#repeat(tree, atStart, atEnd);
      case "concat":
        return this.#concat(tree.parts, atStart, atEnd);
    }
  }

  /**
   * A part is at the start only if no character was read before it, and at the end only if none follows. From the last
   * part on, `rest` and `restAtStart` are the languages of the parts read, after other characters and at the start.
   */
  #concat(parts: readonly Tree[], atStart: boolean, atEnd: boolean): Language {
    const { languages } = this;
    let rest = languages.empty;
    let restAtStart = languages.empty;
    let restHasStart = false;
    for (const [index, part] of [...parts.entries()].reverse()) {
      const isLast = index === parts.length - 1;
      const joined = (start: boolean, restAtPlace: Language): Language => {
        if (isLast) return this.language(part, start, atEnd);
        if (!restHasStart && !part.hasEnd) return languages.concat(this.language(part, start, false), rest);
        return this.#joined(part, start, atEnd, restAtPlace, rest);
      };
      const atPlace = atStart ? joined(true, restAtStart) : null;
      rest = joined(false, rest);
      restAtStart = atPlace ?? rest;
      restHasStart ||= part.hasStart;
    }
    return restAtStart;
  }

  /** Joins a part and what follows it, where the part may contain $ or the rest ^. */
  #joined(part: Tree, atStart: boolean, atEnd: boolean, restAtPlace: Language, rest: Language): Language {
    const { languages } = this;
    const notEmpty = languages.not(languages.empty);
    const some = (language: Language): Language =>
      language.isAccepting ? languages.intersection([language, notEmpty]) : language;
    const alone = this.language(part, atStart, false);
    const last = this.language(part, atStart, atEnd);
    return languages.union([
      last.isAccepting && restAtPlace.isAccepting ? languages.empty : languages.none,
      alone.isAccepting ? some(restAtPlace) : languages.none,
      rest.isAccepting ? some(last) : languages.none,
      languages.concat(some(alone), some(rest)),
    ]);
  }

  #repeat(tree: Tree & { kind: "repeat" }, atStart: boolean, atEnd: boolean): Language {
    const { of, min, max } = tree;
    if (!of.hasStart && !of.hasEnd) return this.languages.repeat(this.language(of, false, false), min, max);
    if (max > 1) throw new PatternError("unsupported", "^ or $ inside a repetition is not supported");
    const once = this.language(of, atStart, atEnd);
    return min === 0 ? this.languages.union([this.languages.empty, once]) : once;
  }
}

/** Reads a pattern that the JavaScript engine accepts. */
class Reader {
  readonly #characters: readonly string[];
  #at = 0;

  /** Groups that are open. */
  #depth = 0;

  constructor(
    readonly languages: Languages,
    source: string,
  ) {
    // The JavaScript engine needs a tenth of a millisecond and more for each of these, and cannot be interrupted.
    languages.spend(source.length + (source.match(/\\p/gi)?.length ?? 0) * STEPS_PER_PROPERTY_ESCAPE);
    try {
      RegExp(source, "u");
    } catch (error) {
      // The message begins with the whole expression.
      const { message } = error as Error;
      throw new PatternError("invalid", message.slice(message.lastIndexOf("/u: ") + 4));
    }
    this.#characters = [...source];
  }

  read(): Tree {
    return this.#union();
  }

  #union(): Tree {
    const parts = [this.#concat()];
    while (this.#take("|")) parts.push(this.#concat());
    return parts.length === 1 ? parts[0]! : listTree("union", parts);
  }

  #concat(): Tree {
    const parts: Tree[] = [];
    while (this.#peek !== "" && this.#peek !== "|" && this.#peek !== ")") parts.push(this.#repeated(this.#atom()));
    return concatTree(parts);
  }

  #atom(): Tree {
    const character = this.#next();
    switch (character) {
      case "^":
        return START;
      case "$":
        return END;
      case "(":
        return this.#group();
      case ".":
        return setTree(complement(LINE_ENDS));
      case "[":
        return setTree(this.#class());
      case "\\":
        return setTree(this.#escape(false));
      default:
        return setTree(one(character.codePointAt(0)!));
    }
  }

  #group(): Tree {
    if (this.#take("?")) {
      const kind = this.#next();
      if (kind === "=" || kind === "!") throw new PatternError("unsupported", "look-ahead is not supported");
      if (kind === "<") {
        if (this.#peek === "=" || this.#peek === "!")
          throw new PatternError("unsupported", "look-behind is not supported");
        while (this.#next() !== ">");
      } else if (kind !== ":") {
        throw new PatternError("unsupported", `a group that begins with (?${kind} is not supported`);
      }
    }
    if (++this.#depth > LIMITS.maxPatternDepth) {
      throw new PatternError("unsupported", `its groups are nested deeper than ${LIMITS.maxPatternDepth} levels`);
    }
    const tree = this.#union();
    this.#next();
    this.#depth--;
    return tree;
  }

  #repeated(of: Tree): Tree {
    const bounds = this.#bounds();
    if (bounds === null) return of;
    this.#take("?");
    return repeatTree(of, bounds.min, bounds.max);
  }

  #bounds(): { min: number; max: number } | null {
    if (this.#take("*")) return { min: 0, max: Infinity };
    if (this.#take("+")) return { min: 1, max: Infinity };
    if (this.#take("?")) return { min: 0, max: 1 };
    if (!this.#take("{")) return null;
    let text = "";
    for (let character = this.#next(); character !== "}"; character = this.#next()) text += character;
    const [min, max] = text.split(",");
    return { min: Number(min), max: max === undefined ? Number(min) : max === "" ? Infinity : Number(max) };
  }

  #class(): CodePointSet {
    const isNegated = this.#take("^");
    const sets = new Set<CodePointSet>();
    const pairs: [number, number][] = [];
    while (!this.#take("]")) {
      const first = this.#classAtom();
      if (this.#peek === "-" && this.#characters[this.#at + 1] !== "]") {
        this.#next();
        const last = this.#classAtom();
        sets.add(intersect([first.codePoint!, last.codePoint! + 1], ANY));
      } else {
        sets.add(first.set);
      }
    }
    for (const set of sets) {
      this.languages.spend(set.length);
      for (let i = 0; i < set.length; i += 2) pairs.push([set[i]!, set[i + 1]!]);
    }
    const set = fromPairs(pairs);
    return isNegated ? complement(set) : set;
  }

  #classAtom(): { set: CodePointSet; codePoint: number | null } {
    const character = this.#next();
    if (character !== "\\") return { set: one(character.codePointAt(0)!), codePoint: character.codePointAt(0)! };
    const set = this.#escape(true);
    return { set, codePoint: this.#escaped };
  }

  /** The code point of the escape that was read last, surrogates included; null if the escape is a class. */
  #escaped: number | null = null;

  #escape(inClass: boolean): CodePointSet {
    const character = this.#next();
    this.#escaped = null;
    const set = SHORTHANDS[character];
    if (set !== undefined) return set;
    if (character === "p" || character === "P") {
      return this.#property(this.#braced(), character === "P");
    }
    if (!inClass && (character === "b" || character === "B"))
      throw new PatternError("unsupported", `\\${character} is not supported`);
    if (character === "k" || (character >= "1" && character <= "9"))
      throw new PatternError("unsupported", "back-references are not supported");
    this.#escaped = this.#codePoint(character);
    return one(this.#escaped);
  }

  #property(name: string, isNegated: boolean): CodePointSet {
    const key = isNegated ? `^${name}` : name;
    let set = this.#properties.get(key);
    if (set === undefined) {
      // Counted even if the property is known, so that a pattern is refused always or never.
      this.languages.spend(STEPS_PER_PROPERTY);
      set = isNegated ? complement(unicodeProperty(name)) : unicodeProperty(name);
      this.#properties.set(key, set);
    }
    return set;
  }

  readonly #properties = new Map<string, CodePointSet>();

  #codePoint(character: string): number {
    switch (character) {
      case "c":
        return this.#next().charCodeAt(0) % 32;
      case "x":
        return this.#hex(2);
      case "u":
        return this.#peek === "{" ? Number.parseInt(this.#braced(), 16) : this.#codeUnits();
      default:
        return CONTROLS[character] ?? character.codePointAt(0)!;
    }
  }

  /** Reads four digits, or two escapes of four digits that form a surrogate pair. */
  #codeUnits(): number {
    const unit = this.#hex(4);
    const isHigh = unit >= 0xd800 && unit < 0xdc00;
    if (
      !isHigh ||
      this.#peek !== "\\" ||
      this.#characters[this.#at + 1] !== "u" ||
      this.#characters[this.#at + 2] === "{"
    )
      return unit;
    const low = Number.parseInt(this.#characters.slice(this.#at + 2, this.#at + 6).join(""), 16);
    if (!(low >= 0xdc00 && low < 0xe000)) return unit;
    this.#at += 6;
    return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
  }

  #hex(numDigits: number): number {
    this.#at += numDigits;
    return Number.parseInt(this.#characters.slice(this.#at - numDigits, this.#at).join(""), 16);
  }

  #braced(): string {
    const end = this.#characters.indexOf("}", this.#at);
    const text = this.#characters.slice(this.#at + 1, end).join("");
    this.#at = end + 1;
    return text;
  }

  get #peek(): string {
    return this.#characters[this.#at] ?? "";
  }

  #next(): string {
    return this.#characters[this.#at++]!;
  }

  #take(character: string): boolean {
    if (this.#peek !== character) return false;
    this.#at++;
    return true;
  }
}

const one = (codePoint: number): CodePointSet => intersect([codePoint, codePoint + 1], ANY);

const LINE_ENDS: CodePointSet = [0x0a, 0x0b, 0x0d, 0x0e, 0x2028, 0x202a];
const DIGITS: CodePointSet = [0x30, 0x3a];
const WORD: CodePointSet = [0x30, 0x3a, 0x41, 0x5b, 0x5f, 0x60, 0x61, 0x7b];
const SPACE: CodePointSet = fromPairs([
  [0x09, 0x0e],
  [0x20, 0x21],
  [0xa0, 0xa1],
  [0x1680, 0x1681],
  [0x2000, 0x200b],
  [0x2028, 0x202a],
  [0x202f, 0x2030],
  [0x205f, 0x2060],
  [0x3000, 0x3001],
  [0xfeff, 0xff00],
]);
const SHORTHANDS: Readonly<Record<string, CodePointSet>> = {
  d: DIGITS,
  D: complement(DIGITS),
  w: WORD,
  W: complement(WORD),
  s: SPACE,
  S: complement(SPACE),
};
const CONTROLS: Readonly<Record<string, number>> = { "0": 0, b: 8, t: 9, n: 10, v: 11, f: 12, r: 13 };

/** Work for each \p or \P in the JavaScript engine, and for finding the code points of a property. */
const STEPS_PER_PROPERTY_ESCAPE = 500;
const STEPS_PER_PROPERTY = 200_000;

const properties = new Map<string, CodePointSet>();

/** Returns the code points that have a Unicode property in the JavaScript engine; computed once for each property. */
function unicodeProperty(name: string): CodePointSet {
  let set = properties.get(name);
  if (set === undefined) {
    const pairs: [number, number][] = [];
    const runs = new RegExp(`\\p{${name}}+`, "gu");
    // Finds the runs of matching characters in texts that contain all code points in order. The texts are split at the
    // surrogates, and at each 65,536 code points; from U+10000 on, a character has two code units.
    for (let first = 0; first < 0x110000; first = first === 0 ? 0xe000 : (first | 0xffff) + 1) {
      const end = first === 0 ? 0xd800 : (first | 0xffff) + 1;
      const units = first < 0x10000 ? 1 : 2;
      for (const run of textOfAll(first, end).matchAll(runs))
        pairs.push([first + run.index / units, first + (run.index + run[0].length) / units]);
    }
    set = fromPairs(pairs);
    properties.set(name, set);
  }
  return set;
}

/** Returns the code points from first to end (exclusive) as a text. */
function textOfAll(first: number, end: number): string {
  const units = new Uint16Array(2 * (end - first));
  let length = 0;
  for (let codePoint = first; codePoint < end; codePoint++) {
    if (codePoint < 0x10000) units[length++] = codePoint;
    else {
      units[length++] = 0xd7c0 + (codePoint >> 10);
      units[length++] = 0xdc00 + (codePoint & 0x3ff);
    }
  }
  let text = "";
  for (let at = 0; at < length; at += 4096)
    text += String.fromCharCode(...units.subarray(at, Math.min(at + 4096, length)));
  return text;
}
