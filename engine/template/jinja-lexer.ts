/**
 * Divides a Jinja template into texts and the tokens of its tags, with the white-space rules that Hugging Face sets:
 * `trim_blocks` removes the line end after a block or comment, and `lstrip_blocks` the indentation before it. The time
 * is linear in the length of the template.
 */

import { Float } from "./jinja-values.js";
import { SPACE, withoutTrailingSpace } from "./white-space.js";

export type Token =
  | { readonly type: "text" | "string" | "name" | "operator"; readonly value: string; readonly at: number }
  | { readonly type: "number"; readonly value: number | Float; readonly at: number }
  | { readonly type: "{{" | "}}" | "{%" | "%}" | "end"; readonly at: number };

/** @throws SyntaxError that names the line */
export function tokensOf(source: string): Token[] {
  return new Lexer(source).read();
}

/** Returns the number of the line at a position, from 1. */
export function lineAt(source: string, position: number): number {
  return source.slice(0, position).split("\n").length;
}

const OPENING = /\{([{%#])([-+]?)/g;
const RAW = new RegExp(`[${SPACE}]*raw[${SPACE}]*(?:-%\\}[${SPACE}]*|%\\})`, "y");
const END_OF_RAW = new RegExp(`\\{%([-+]?)[${SPACE}]*endraw[${SPACE}]*(?:\\+%\\}|-%\\}[${SPACE}]*|%\\}\\n?)`, "g");
const END_OF_BLOCK = new RegExp(`\\+%\\}|-%\\}[${SPACE}]*|%\\}\\n?`, "y");
const END_OF_OUTPUT = new RegExp(`-\\}\\}[${SPACE}]*|\\}\\}`, "y");
const AFTER_COMMENT = new RegExp(`[${SPACE}]*`, "y");

const BLANK = new RegExp(`[${SPACE}]+`, "y");
const IS_BLANK = new RegExp(`^[${SPACE}]*$`);
const FLOAT = /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy;
const INTEGER = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy;
const NAME = /[_\p{ID_Start}]\p{ID_Continue}*/uy;
const STRING = /'([^'\\]*(?:\\[\s\S][^'\\]*)*)'|"([^"\\]*(?:\\[\s\S][^"\\]*)*)"/y;
const OPERATOR = /\/\/|\*\*|[=!<>]=|[-+*/%~[\](){}=<>.:|,;]/y;

const CLOSING: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  /** True at the beginning of the template and after a tag whose end included a line end. */
  #startsLine = true;

  constructor(source: string) {
    this.#source = source;
  }

  read(): Token[] {
    while (this.#at < this.#source.length) {
      OPENING.lastIndex = this.#at;
      const opening = OPENING.exec(this.#source);
      if (opening === null) {
        this.#text(this.#source.length, "+", false);
        break;
      }
      const [, kind, sign] = opening as unknown as [string, string, string];
      this.#text(opening.index, sign, kind !== "{");
      this.#at = OPENING.lastIndex;
      if (kind === "#") this.#comment();
      else if (kind === "{") this.#tag("{{", "}}", END_OF_OUTPUT);
      else if (this.#match(RAW) !== null) this.#raw();
      else this.#tag("{%", "%}", END_OF_BLOCK);
    }
    this.#tokens.push({ type: "end", at: this.#source.length });
    return this.#tokens;
  }

  /** Adds the text up to a tag, without the white space that the tag removes. */
  #text(end: number, sign: string, isBlock: boolean): void {
    let text = this.#source.slice(this.#at, end);
    if (sign === "-") text = withoutTrailingSpace(text);
    else if (sign === "" && isBlock) text = withoutIndent(text, this.#startsLine);
    if (text !== "") this.#tokens.push({ type: "text", value: text, at: this.#at });
    this.#at = end;
  }

  #comment(): void {
    const end = this.#source.indexOf("#}", this.#at);
    if (end < 0) throw this.#error("a comment has no end");
    const sign = end > this.#at ? this.#source[end - 1] : "";
    this.#at = end + 2;
    if (sign === "-") this.#match(AFTER_COMMENT);
    else if (sign !== "+" && this.#source[this.#at] === "\n") this.#at++;
    this.#startsLine = this.#source[this.#at - 1] === "\n";
  }

  #raw(): void {
    END_OF_RAW.lastIndex = this.#at;
    const end = END_OF_RAW.exec(this.#source);
    if (end === null) throw this.#error("a raw block has no end");
    this.#startsLine = this.#source[this.#at - 1] === "\n";
    this.#text(end.index, end[1]!, true);
    this.#at = END_OF_RAW.lastIndex;
    this.#startsLine = this.#source[this.#at - 1] === "\n";
  }

  #tag(opening: "{{" | "{%", closing: "}}" | "%}", end: RegExp): void {
    this.#tokens.push({ type: opening, at: this.#at });
    const brackets: string[] = [];
    while (this.#at < this.#source.length) {
      if (brackets.length === 0 && this.#match(end) !== null) {
        this.#tokens.push({ type: closing, at: this.#at });
        this.#startsLine = this.#source[this.#at - 1] === "\n";
        return;
      }
      if (this.#match(BLANK) === null) this.#token(brackets);
    }
  }

  #token(brackets: string[]): void {
    const at = this.#at;
    const float = this.#match(FLOAT);
    const integer = float === null ? this.#match(INTEGER) : null;
    const digits = (float ?? integer)?.[0].replaceAll("_", "");
    if (digits !== undefined) {
      this.#tokens.push({ type: "number", value: float === null ? Number(digits) : new Float(Number(digits)), at });
      return;
    }
    const name = this.#match(NAME);
    if (name !== null) {
      this.#tokens.push({ type: "name", value: name[0], at });
      return;
    }
    const string = this.#match(STRING);
    if (string !== null) {
      this.#tokens.push({ type: "string", value: this.#unescaped(string[1] ?? string[2]!), at });
      return;
    }
    const operator = this.#match(OPERATOR)?.[0];
    if (operator === undefined) throw this.#error(`the character ${JSON.stringify(this.#source[at])} is not expected`);
    const closing = CLOSING[operator];
    if (closing !== undefined) brackets.push(closing);
    else if (operator === ")" || operator === "]" || operator === "}") {
      if (brackets.pop() !== operator) throw this.#error(`the bracket ${operator} closes nothing`);
    }
    this.#tokens.push({ type: "operator", value: operator, at });
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#source);
    if (match !== null) this.#at = pattern.lastIndex;
    return match;
  }

  /** Returns the value of a string's source, with the escapes of Python. An unknown escape stands for itself. */
  #unescaped(source: string): string {
    return source.replace(ESCAPE, (whole: string, code: string) => {
      const named = ESCAPES.get(code);
      if (named !== undefined) return named;
      if (/^[0-7]/.test(code)) return String.fromCodePoint(Number.parseInt(code, 8));
      if (/^[xuU]./.test(code)) {
        const point = Number.parseInt(code.slice(1), 16);
        if (point <= 0x10ffff) return String.fromCodePoint(point);
      }
      if (/^[xuUN]/.test(code) || code > "\x7f") throw this.#error(`the escape ${whole} in a string is not supported`);
      return whole;
    });
  }

  #error(what: string): SyntaxError {
    return new SyntaxError(`${what} (line ${lineAt(this.#source, this.#at)})`);
  }
}

const ESCAPE = /\\([0-7]{1,3}|x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|[\s\S])/gu;
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ["\n", ""],
  ["\\", "\\"],
  ["'", "'"],
  ['"', '"'],
  ["a", "\x07"],
  ["b", "\b"],
  ["f", "\f"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
  ["v", "\v"],
]);

/** Removes the white space after the last line end of a text, if nothing else follows. */
function withoutIndent(text: string, startsLine: boolean): string {
  const start = text.lastIndexOf("\n") + 1;
  return (start > 0 || startsLine) && IS_BLANK.test(text.slice(start)) ? text.slice(0, start) : text;
}
