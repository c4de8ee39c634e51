/** The text of a context-free grammar while it is read, and the errors of its syntaxes. */

import { quoted } from "../errors.js";
import { LIMITS } from "../limits.js";
import type { Languages } from "./language.js";
import { RulesError } from "./rules.js";

/** Reads a grammar from its first character to its last, and names the line and column of faults. */
export class GrammarText {
  readonly #languages: Languages;
  readonly #text: string;
  at = 0;
  #depth = 0;

  constructor(languages: Languages, text: string) {
    if (text.length > LIMITS.maxGrammarCharacters)
      throw new RulesError(
        "unsupported",
        `has ${text.length} characters; at most ${LIMITS.maxGrammarCharacters} are allowed`,
      );
    languages.spend(text.length);
    this.#languages = languages;
    this.#text = text;
  }

  get isAtEnd(): boolean {
    return this.at >= this.#text.length;
  }

  /** The next character, "" at the end. */
  get peek(): string {
    const codePoint = this.#text.codePointAt(this.at);
    return codePoint === undefined ? "" : String.fromCodePoint(codePoint);
  }

  /** Reads a character. @param expected for the error at the end of the text */
  next(expected: string): string {
    const character = this.peek;
    if (character === "") throw this.unexpected(expected);
    this.at += character.length;
    return character;
  }

  startsWith(text: string): boolean {
    return this.#text.startsWith(text, this.at);
  }

  take(text: string): boolean {
    if (!this.startsWith(text)) return false;
    this.at += text.length;
    return true;
  }

  /** Reads what a pattern matches here. @param pattern with the flag y */
  match(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.#text)?.[0] ?? null;
    if (found !== null) this.at += found.length;
    return found;
  }

  slice(from: number, end: number): string {
    return this.#text.slice(from, end);
  }

  /** Reads a group, whose groups may be nested only so deep that reading them is far from a stack overflow. */
  nested<T>(read: () => T): T {
    this.#languages.spend();
    if (++this.#depth > LIMITS.maxGrammarDepth)
      throw this.unsupported(`its groups are nested deeper than ${LIMITS.maxGrammarDepth} levels`);
    const result = read();
    this.#depth--;
    return result;
  }

  /** Reads a number of repetitions. */
  count(): number {
    const at = this.at;
    const digits = this.match(/[0-9]+/y);
    if (digits === null) throw this.unexpected("a number");
    const count = Number(digits);
    if (Number.isSafeInteger(count)) return count;
    this.at = at;
    throw this.unsupported(`${quoted(digits)} repetitions are too many`);
  }

  unexpected(expected: string): RulesError {
    const found = this.isAtEnd ? "the text ends" : `${quoted(this.#text.slice(this.at, this.at + 20))} was found`;
    return this.invalid(`${expected} was expected and ${found}`);
  }

  invalid(message: string): RulesError {
    return new RulesError("invalid", `cannot be read: ${message} (${this.#place()})`);
  }

  unsupported(message: string): RulesError {
    return new RulesError("unsupported", `cannot be used: ${message} (${this.#place()})`);
  }

  #place(): string {
    const before = this.#text.slice(0, this.at);
    const line = before.split(/\r\n|\r|\n/);
    return `line ${line.length}, column ${[...line.at(-1)!].length + 1}`;
  }
}

/** Returns the code point of an escape. @throws RulesError if no text contains it */
export function checkedCodePoint(text: GrammarText, codePoint: number): number {
  const name = `U+${codePoint.toString(16).toUpperCase().padStart(4, "0")}`;
  if (codePoint >= 0xd800 && codePoint < 0xe000)
    throw text.invalid(`${name} is half of a surrogate pair, not a character`);
  if (codePoint > 0x10ffff) throw text.invalid(`${name} is no character; the last one is U+10FFFF`);
  return codePoint;
}
