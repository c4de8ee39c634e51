/**
 * ECMA-262 regular expressions with the `u` flag, as languages. The JavaScript engine checks the syntax, so the reader
 * below sees only valid expressions. Look-around, word boundaries and back-references are refused: they are not
 * regular, or depend on the text around them.
 */

import { LIMITS } from "../limits.js";
import { ANY, type CodePointSet, NOTHING, complement, fromPairs, intersect, union } from "./code-points.js";
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
  const tree = new Reader(source).read();
  if (positions(tree) > maxPositions) {
    throw new PatternError(
      "unsupported",
      `the pattern has more than ${maxPositions} positions after its repetitions are expanded`,
    );
  }
  const everything: Tree = { kind: "repeat", of: { kind: "set", set: ANY }, min: 0, max: Infinity };
  const search: Tree = isWhole ? tree : { kind: "concat", parts: [everything, tree, everything] };
  return new Placed(languages).language(search, true, true);
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

type Tree =
  | { readonly kind: "set"; readonly set: CodePointSet }
  | { readonly kind: "concat" | "union"; readonly parts: readonly Tree[] }
  | { readonly kind: "repeat"; readonly of: Tree; readonly min: number; readonly max: number }
  | { readonly kind: "start" | "end" };

function positions(tree: Tree): number {
  switch (tree.kind) {
    case "set":
      return 1;
    case "concat":
    case "union":
      return tree.parts.reduce((sum, part) => sum + positions(part), 1);
    case "repeat":
      return positions(tree.of) * Math.max(1, tree.max === Infinity ? tree.min : tree.max);
    case "start":
    case "end":
      return 0;
  }
}

function holds(tree: Tree, anchor: "start" | "end"): boolean {
  switch (tree.kind) {
    case "set":
      return false;
    case "concat":
    case "union":
      return tree.parts.some((part) => holds(part, anchor));
    case "repeat":
      return holds(tree.of, anchor);
    default:
      return tree.kind === anchor;
  }
}

/**
 * Converts trees to languages. `atStart` and `atEnd` are true if the tree is at the start or at the end of the text.
 */
class Placed {
  constructor(readonly languages: Languages) {}

  language(tree: Tree, atStart: boolean, atEnd: boolean): Language {
    const { languages } = this;
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

  /** A part is at the start only if no character was read before it, and at the end only if none follows. */
  #concat(parts: readonly Tree[], atStart: boolean, atEnd: boolean): Language {
    const [first, ...rest] = parts;
    if (first === undefined) return this.languages.empty;
    if (rest.length === 0) return this.language(first, atStart, atEnd);
    const following: Tree = { kind: "concat", parts: rest };
    if (!holds(following, "start") && !holds(first, "end")) {
      return this.languages.concat(this.language(first, atStart, false), this.#concat(rest, false, atEnd));
    }
    const { languages } = this;
    const firstIsEmpty = (end: boolean): boolean => this.language(first, atStart, end).isAccepting;
    const restIsEmpty = (start: boolean): boolean => this.#concat(rest, start, atEnd).isAccepting;
    const notEmpty = languages.not(languages.empty);
    const some = (language: Language): Language =>
      language.isAccepting ? languages.intersection([language, notEmpty]) : language;
    return languages.union([
      firstIsEmpty(atEnd) && restIsEmpty(atStart) ? this.#both(first, following, atStart, atEnd) : languages.none,
      firstIsEmpty(false) ? some(this.#concat(rest, atStart, atEnd)) : languages.none,
      restIsEmpty(false) ? some(this.language(first, atStart, atEnd)) : languages.none,
      languages.concat(some(this.language(first, atStart, false)), some(this.#concat(rest, false, atEnd))),
    ]);
  }

  /** Both parts match the empty text: the position between them is the start or the end if the whole is there. */
  #both(first: Tree, rest: Tree, atStart: boolean, atEnd: boolean): Language {
    const matches = this.language(first, atStart, atEnd).isAccepting && this.language(rest, atStart, atEnd).isAccepting;
    return matches ? this.languages.empty : this.languages.none;
  }

  #repeat(tree: Tree & { kind: "repeat" }, atStart: boolean, atEnd: boolean): Language {
    const { of, min, max } = tree;
    if (!holds(of, "start") && !holds(of, "end"))
      return this.languages.repeat(this.language(of, false, false), min, max);
    if (max > 1) throw new PatternError("unsupported", "^ or $ inside a repetition is not supported");
    const once = this.language(of, atStart, atEnd);
    return min === 0 ? this.languages.union([this.languages.empty, once]) : once;
  }
}

/** Reads a pattern that the JavaScript engine accepts. */
class Reader {
  readonly #characters: readonly string[];
  #at = 0;

  constructor(source: string) {
    try {
      RegExp(source, "u");
    } catch (error) {
      throw new PatternError("invalid", (error as Error).message);
    }
    this.#characters = [...source];
  }

  read(): Tree {
    return this.#union();
  }

  #union(): Tree {
    const parts = [this.#concat()];
    while (this.#take("|")) parts.push(this.#concat());
    return parts.length === 1 ? parts[0]! : { kind: "union", parts };
  }

  #concat(): Tree {
    const parts: Tree[] = [];
    while (this.#peek !== "" && this.#peek !== "|" && this.#peek !== ")") parts.push(this.#repeated(this.#atom()));
    return parts.length === 1 ? parts[0]! : { kind: "concat", parts };
  }

  #atom(): Tree {
    const character = this.#next();
    switch (character) {
      case "^":
        return { kind: "start" };
      case "$":
        return { kind: "end" };
      case "(":
        return this.#group();
      case ".":
        return { kind: "set", set: complement(LINE_ENDS) };
      case "[":
        return { kind: "set", set: this.#class() };
      case "\\":
        return { kind: "set", set: this.#escape(false) };
      default:
        return { kind: "set", set: one(character.codePointAt(0)!) };
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
    const tree = this.#union();
    this.#next();
    return tree;
  }

  #repeated(of: Tree): Tree {
    const bounds = this.#bounds();
    if (bounds === null) return of;
    this.#take("?");
    return { kind: "repeat", of, ...bounds };
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
    let set: CodePointSet = NOTHING;
    while (!this.#take("]")) {
      const first = this.#classAtom();
      if (this.#peek === "-" && this.#characters[this.#at + 1] !== "]") {
        this.#next();
        const last = this.#classAtom();
        set = union(set, intersect([first.codePoint!, last.codePoint! + 1], ANY));
      } else {
        set = union(set, first.set);
      }
    }
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
      const property = unicodeProperty(this.#braced());
      return character === "p" ? property : complement(property);
    }
    if (!inClass && (character === "b" || character === "B"))
      throw new PatternError("unsupported", `\\${character} is not supported`);
    if (character === "k" || (character >= "1" && character <= "9"))
      throw new PatternError("unsupported", "back-references are not supported");
    this.#escaped = this.#codePoint(character);
    return one(this.#escaped);
  }

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

const properties = new Map<string, CodePointSet>();

/** Returns the code points that have a Unicode property in the JavaScript engine; computed once for each property. */
function unicodeProperty(name: string): CodePointSet {
  let set = properties.get(name);
  if (set === undefined) {
    const pairs: [number, number][] = [];
    // Finds the runs of matching characters in texts that contain all code points in order. The texts are split at the
    // surrogates, and at U+10000, from which on a character has two code units.
    for (const [first, end] of [
      [0, 0xd800],
      [0xe000, 0x10000],
      [0x10000, 0x110000],
    ] as const) {
      const units = end > 0x10000 ? 2 : 1;
      let text = "";
      for (let codePoint = first; codePoint < end; codePoint++) text += String.fromCodePoint(codePoint);
      for (const run of text.matchAll(new RegExp(`\\p{${name}}+`, "gu"))) {
        pairs.push([first + run.index / units, first + (run.index + run[0].length) / units]);
      }
    }
    set = fromPairs(pairs);
    properties.set(name, set);
  }
  return set;
}
