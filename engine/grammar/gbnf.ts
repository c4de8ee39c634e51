/** Reads GBNF, the syntax of llama.cpp's grammars. */

import { quoted } from "../errors.js";
import { ANY, type CodePointSet, complement, fromPairs, intersect } from "./code-points.js";
import { type Expression, listOf, text } from "./expressions.js";
import { GrammarText, checkedCodePoint } from "./grammar-text.js";
import type { Languages } from "./language.js";
import { RulesError } from "./rules.js";

/** The rule of the whole text. */
const ROOT = "root";

/**
 * @returns the rules by name, and the name of the rule of the whole text
 * @throws RulesError
 */
export function readGbnf(languages: Languages, grammar: string): { rules: Map<string, Expression>; root: string } {
  const reader = new Reader(languages, grammar);
  return { rules: reader.read(), root: ROOT };
}

class Reader {
  readonly #languages: Languages;
  readonly #text: GrammarText;
  readonly #rules = new Map<string, Expression>();
  /** Names that were referred to, with the place of the first reference. */
  readonly #references = new Map<string, number>();

  constructor(languages: Languages, grammar: string) {
    this.#languages = languages;
    this.#text = new GrammarText(languages, grammar);
  }

  read(): Map<string, Expression> {
    const source = this.#text;
    this.#skip(true);
    while (!source.isAtEnd) this.#rule();
    if (!this.#rules.has(ROOT)) throw new RulesError("invalid", `has no rule ${ROOT}, which the whole answer matches`);
    for (const [name, at] of this.#references) {
      if (this.#rules.has(name)) continue;
      source.at = at;
      throw source.invalid(`the rule ${quoted(name)} is not defined`);
    }
    return this.#rules;
  }

  #rule(): void {
    const source = this.#text;
    const at = source.at;
    const name = source.match(NAME);
    if (name === null) throw source.unexpected("the name of a rule");
    if (this.#rules.has(name)) {
      source.at = at;
      throw source.invalid(`the rule ${quoted(name)} is defined a second time`);
    }
    this.#skip(false);
    if (!source.take("::=")) throw source.unexpected('"::="');
    this.#skip(true);
    this.#rules.set(name, this.#alternatives(false));
    if (source.match(/\r\n|\r|\n/y) === null && !source.isAtEnd)
      throw source.unexpected("a symbol, an operator, or the end of the line");
    this.#skip(true);
  }

  #alternatives(isNested: boolean): Expression {
    const parts = [this.#sequence(isNested)];
    while (this.#text.take("|")) {
      this.#skip(true);
      parts.push(this.#sequence(isNested));
    }
    return listOf("union", parts);
  }

  #sequence(isNested: boolean): Expression {
    const parts: Expression[] = [];
    for (let symbol = this.#symbol(isNested); symbol !== null; symbol = this.#symbol(isNested)) parts.push(symbol);
    return parts.length === 0 ? text(this.#languages.empty) : listOf("concat", parts);
  }

  /** Reads a symbol with its repetitions. @returns null if there is none */
  #symbol(isNested: boolean): Expression | null {
    const source = this.#text;
    const single = this.#single();
    if (single === null) {
      if (/[*+?{]/.test(source.peek)) throw source.invalid(`${source.peek} repeats nothing: it must follow a symbol`);
      return null;
    }
    this.#skip(isNested);
    let symbol = single;
    for (let bounds = this.#bounds(isNested); bounds !== null; bounds = this.#bounds(isNested))
      symbol = { kind: "repeat", of: symbol, ...bounds };
    return symbol;
  }

  #single(): Expression | null {
    const source = this.#text;
    const languages = this.#languages;
    const at = source.at;
    switch (source.peek) {
      case '"':
        source.at++;
        return text(languages.words([this.#literal()]));
      case "[":
        source.at++;
        return text(languages.set(this.#class()));
      case ".":
        source.at++;
        return text(languages.any);
      case "(":
        source.at++;
        return source.nested(() => this.#group());
      case "<":
      case "!":
        throw source.unsupported(
          "tokens such as <[1000]> or <think> are not supported; write the characters of the text",
        );
    }
    const name = source.match(NAME);
    if (name === null) return null;
    if (!this.#references.has(name)) this.#references.set(name, at);
    return { kind: "rule", name };
  }

  #group(): Expression {
    this.#skip(true);
    const inner = this.#alternatives(true);
    if (!this.#text.take(")")) throw this.#text.unexpected('")"');
    return inner;
  }

  #literal(): string {
    const source = this.#text;
    let literal = "";
    while (!source.take('"')) literal += String.fromCodePoint(this.#character('the end of the literal (")'));
    return literal;
  }

  #class(): CodePointSet {
    const source = this.#text;
    const isNegated = source.take("^");
    const pairs: [number, number][] = [];
    while (!source.take("]")) {
      const first = this.#character('the end of the character class ("]")');
      let last = first;
      if (source.startsWith("-") && !source.startsWith("-]")) {
        source.at++;
        last = this.#character("the last character of the range");
      }
      if (last < first)
        throw source.invalid("the range of characters is empty: its last character is before its first");
      pairs.push([first, last + 1]);
    }
    if (pairs.length === 0) throw source.invalid("the character class is empty");
    this.#languages.spend(pairs.length);
    const set = intersect(fromPairs(pairs), ANY);
    return isNegated ? complement(set) : set;
  }

  #character(expected: string): number {
    const source = this.#text;
    const at = source.at;
    const character = source.next(expected);
    if (character !== "\\") return checkedCodePoint(source, character.codePointAt(0)!);
    const letter = source.next("the rest of the escape");
    const numDigits = HEX_DIGITS[letter];
    if (numDigits !== undefined) {
      const digits = source.match(new RegExp(`[0-9a-fA-F]{${numDigits}}`, "y"));
      if (digits === null) throw source.unexpected(`a number of ${numDigits} hexadecimal digits`);
      return checkedCodePoint(source, Number.parseInt(digits, 16));
    }
    const codePoint = ESCAPES[letter];
    if (codePoint !== undefined) return codePoint.codePointAt(0)!;
    source.at = at;
    const known = '\\n \\r \\t \\\\ \\" \\[ \\] \\- \\xHH \\uHHHH \\UHHHHHHHH';
    throw source.invalid(`${quoted(`\\${letter}`)} is no escape. Known: ${known}`);
  }

  /** Reads an operator that repeats the symbol before it. */
  #bounds(isNested: boolean): { min: number; max: number } | null {
    const source = this.#text;
    let bounds: { min: number; max: number };
    if (source.take("*")) bounds = { min: 0, max: Infinity };
    else if (source.take("+")) bounds = { min: 1, max: Infinity };
    else if (source.take("?")) bounds = { min: 0, max: 1 };
    else if (source.take("{")) {
      this.#skip(isNested);
      const min = source.count();
      let max = min;
      this.#skip(isNested);
      if (source.take(",")) {
        this.#skip(isNested);
        max = source.peek === "}" ? Infinity : source.count();
        this.#skip(isNested);
      }
      if (!source.take("}")) throw source.unexpected('"}"');
      if (max < min) throw source.invalid(`{${min},${max}} allows no number of repetitions`);
      bounds = { min, max };
    } else return null;
    this.#skip(isNested);
    return bounds;
  }

  /** Skips white space and comments. @param withLines true to skip line ends too */
  #skip(withLines: boolean): void {
    this.#text.match(withLines ? /(?:[ \t\r\n]|#[^\r\n]*)*/y : /(?:[ \t]|#[^\r\n]*)*/y);
  }
}

/** llama.cpp's names have no underscore; other programs that read GBNF allow it. */
const NAME = /[a-zA-Z0-9_-]+/y;

const HEX_DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };
const ESCAPES: Readonly<Record<string, string>> = {
  n: "\n",
  r: "\r",
  t: "\t",
  "\\": "\\",
  '"': '"',
  "[": "[",
  "]": "]",
  "-": "-",
};
