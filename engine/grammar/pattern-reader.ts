/**
 * Reads patterns: regular expressions of ECMA-262 with the `u` flag, those that are valid only without it (Annex B), and
 * some spellings of other dialects. The JavaScript engine checks the syntax, so the reader below sees only valid
 * expressions. Characters are code points in all of them.
 */

import { LIMITS } from "../limits.js";
import { ANY, type CodePointSet, complement, fromPairs, intersect } from "./code-points.js";
import { FLAGGED_GROUP, type Flags, NO_FLAGS, changedFlags, inEcmaScript } from "./pattern-dialects.js";
import { PatternError } from "./pattern-error.js";
import { END, START, type Tree, concatTree, lookTree, repeatTree, setTree, unionTree } from "./pattern-tree.js";
import type { Languages } from "./language.js";
import { ignoringCase, unicodeProperty } from "./unicode-sets.js";

/** @throws PatternError */
export function readPattern(languages: Languages, source: string): Tree {
  return spelling(languages, source).read();
}

function spelling(languages: Languages, source: string): Reader {
  if (syntaxError(languages, source, "u") === null) return new Reader(languages, source, true, NO_FLAGS);
  const { source: spelled, flags } = inEcmaScript(source);
  if (syntaxError(languages, spelled, "u") === null) return new Reader(languages, spelled, true, flags);
  const error = syntaxError(languages, spelled, "");
  if (error !== null) throw new PatternError("invalid", error);
  return new Reader(languages, spelled, false, flags);
}

/** @returns the message of the JavaScript engine, or null if it accepts the pattern */
function syntaxError(languages: Languages, source: string, flags: "" | "u"): string | null {
  // The JavaScript engine needs a tenth of a millisecond and more for each of these, and cannot be interrupted.
  languages.spend(source.length + (source.match(/\\p/gi)?.length ?? 0) * STEPS_PER_PROPERTY_ESCAPE);
  try {
    // Engines before 2025 do not know groups with flags.
    RegExp(
      source.replace(/\\[^]|(\(\?)[ims]*(?:-[ims]*)?:/g, (text, group: string | undefined) => (group ? "(?:" : text)),
      flags,
    );
    return null;
  } catch (error) {
    // The message begins with the whole expression.
    const { message } = error as Error;
    return message.slice(message.lastIndexOf(": ") + 2);
  }
}

/** Reads a pattern that the JavaScript engine accepts. */
class Reader {
  readonly #characters: readonly string[];
  #at = 0;

  /** Groups that are open. */
  #depth = 0;

  /** Number of capturing groups, needed only without the `u` flag: a larger number after a backslash is octal. */
  readonly #numGroups: number;

  constructor(
    readonly languages: Languages,
    source: string,
    readonly isUnicode: boolean,
    private flags: Flags,
  ) {
    this.#characters = [...source];
    this.#numGroups = isUnicode ? 0 : numCapturingGroups(source);
  }

  read(): Tree {
    return this.#union();
  }

  #union(): Tree {
    const parts = [this.#concat()];
    while (this.#take("|")) parts.push(this.#concat());
    return unionTree(parts);
  }

  #concat(): Tree {
    const parts: Tree[] = [];
    while (this.#peek !== "" && this.#peek !== "|" && this.#peek !== ")") parts.push(this.#repeated(this.#atom()));
    return concatTree(parts);
  }

  #atom(): Tree {
    const { multiline, dotAll } = this.flags;
    const character = this.#next();
    switch (character) {
      case "^":
        return multiline ? unionTree([START, lookTree(setTree(LINE_ENDS), true, false)]) : START;
      case "$":
        return multiline ? unionTree([END, lookTree(setTree(LINE_ENDS), false, false)]) : END;
      case "(":
        return this.#group();
      case ".":
        return setTree(dotAll ? ANY : complement(LINE_ENDS));
      case "[":
        return setTree(this.#class());
      case "\\":
        if (this.#peek === "b" || this.#peek === "B") return this.#wordBoundary(this.#next() === "B");
        return setTree(this.#inCase(this.#escape(false)));
      default:
        return setTree(this.#inCase(one(character.codePointAt(0)!)));
    }
  }

  /** A place between a word character and another one, or the start or the end. */
  #wordBoundary(isNegated: boolean): Tree {
    const word = setTree(this.#inCase(WORD));
    return unionTree(
      [true, false].map((isWordBefore) =>
        concatTree([lookTree(word, true, !isWordBefore), lookTree(word, false, isWordBefore !== isNegated)]),
      ),
    );
  }

  #inCase(set: CodePointSet): CodePointSet {
    if (!this.flags.ignoreCase) return set;
    this.languages.spend(set.length === 2 ? 1 : STEPS_PER_CASED_SET);
    return ignoringCase(set);
  }

  #group(): Tree {
    const { flags } = this;
    const flagged = FLAGGED_GROUP.exec(this.#characters.slice(this.#at - 1, this.#at + 16).join(""));
    let look: { isBehind: boolean; isNegated: boolean } | null = null;
    if (flagged !== null) {
      this.#at += flagged[0].length - 1;
      this.flags = changedFlags(flags, flagged[1]!);
    } else if (this.#take("?")) {
      const isBehind = this.#take("<");
      if (this.#peek === "=" || this.#peek === "!") look = { isBehind, isNegated: this.#next() === "!" };
      else while (this.#next() !== ">");
    }
    if (++this.#depth > LIMITS.maxPatternDepth) {
      throw new PatternError("unsupported", `its groups are nested deeper than ${LIMITS.maxPatternDepth} levels`);
    }
    const tree = this.#union();
    this.#next();
    this.#depth--;
    this.flags = flags;
    return look === null ? tree : lookTree(tree, look.isBehind, look.isNegated);
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
    if (this.#peek !== "{") return null;
    const text = this.#characters.slice(this.#at, this.#characters.indexOf("}", this.#at) + 1).join("");
    // Without the `u` flag, a brace that begins no repetition is a character.
    const [, least, comma, most] = /^\{(\d+)(,?)(\d*)\}$/.exec(text) ?? [];
    if (least === undefined) return null;
    this.#at += text.length;
    const min = Number(least);
    const max = most !== "" ? Number(most) : comma === "" ? min : Infinity;
    if (min > MAX_COUNT) throw new PatternError("unsupported", `${text} repeats more than ${MAX_COUNT} times`);
    return { min, max: max > MAX_COUNT ? Infinity : max };
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
        // Without the `u` flag, the hyphen beside a class is a character.
        if (first.codePoint === null || last.codePoint === null)
          for (const set of [first.set, last.set, one(HYPHEN)]) sets.add(set);
        else sets.add(intersect([first.codePoint, last.codePoint + 1], ANY));
      } else {
        sets.add(first.set);
      }
    }
    for (const set of sets) {
      this.languages.spend(set.length);
      for (let i = 0; i < set.length; i += 2) pairs.push([set[i]!, set[i + 1]!]);
    }
    const set = this.#inCase(fromPairs(pairs));
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
    if (character === "w" || character === "W") {
      const word = this.#inCase(WORD);
      return character === "w" ? word : complement(word);
    }
    const set = SHORTHANDS[character];
    if (set !== undefined) return set;
    if (character === "p" || character === "P") {
      return this.#property(this.#braced(), character === "P");
    }
    if (character === "k" || (!inClass && this.#isBackReference(character)))
      throw new PatternError("unsupported", "back-references are not supported");
    this.#escaped = this.isUnicode
      ? this.#codePoint(character)
      : (this.#octal(character) ?? this.#codePoint(character));
    return one(this.#escaped);
  }

  #isBackReference(character: string): boolean {
    if (!(character >= "1" && character <= "9")) return false;
    const [digits] = /^\d+/.exec(this.#characters.slice(this.#at - 1, this.#at + 9).join(""))!;
    return this.isUnicode || Number(digits) <= this.#numGroups;
  }

  /** Reads the further digits of an octal escape; null if this is none. */
  #octal(character: string): number | null {
    if (!(character >= "0" && character <= "7")) return null;
    const [digits] = /^(?:[0-3][0-7]{0,2}|[4-7][0-7]?)/.exec(
      this.#characters.slice(this.#at - 1, this.#at + 2).join(""),
    )!;
    this.#at += digits.length - 1;
    return Number.parseInt(digits, 8);
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

/** Counts the groups of a pattern that is valid without the `u` flag and has no named ones. */
function numCapturingGroups(source: string): number {
  return source.match(/\\[^]|\[(?:\\[^]|[^\]\\])*\]|\((?!\?)/g)?.filter((text) => text === "(").length ?? 0;
}

const one = (codePoint: number): CodePointSet => intersect([codePoint, codePoint + 1], ANY);

const LINE_ENDS: CodePointSet = [0x0a, 0x0b, 0x0d, 0x0e, 0x2028, 0x202a];
const HYPHEN = 0x2d;
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
  s: SPACE,
  S: complement(SPACE),
};
const CONTROLS: Readonly<Record<string, number>> = { "0": 0, b: 8, t: 9, n: 10, v: 11, f: 12, r: 13 };

/** Work for each \p or \P in the JavaScript engine, and for finding the code points of a property. */
const STEPS_PER_PROPERTY_ESCAPE = 500;
const STEPS_PER_PROPERTY = 200_000;
/** Work for finding the letters of a set that differ only in case. */
const STEPS_PER_CASED_SET = 500;

/** The JavaScript engine reads larger numbers of repetitions as infinite. */
const MAX_COUNT = 2 ** 31 - 2;
