/**
 * Reads the part of Lark's syntax that describes a language: rules, terminals, `%ignore`, `%import common` and `%json`.
 * Terminals match as with Lark's lexer `dynamic_complete`: a text belongs to the grammar if some division of it into
 * terminals does, whether or not each terminal is as long as possible. What is ignored may stand before each terminal of
 * a rule, and at the end.
 */

import { quoted } from "../errors.js";
import { JsonError, parseJson } from "../json.js";
import { components } from "./components.js";
import { type Expression, listOf, namesIn, text } from "./expressions.js";
import { GrammarText, checkedCodePoint } from "./grammar-text.js";
import type { Languages } from "./language.js";
import { PatternError, boundedPattern } from "./pattern.js";
import { RulesError } from "./rules.js";
import type { ValueNode } from "./values.js";

/** The rule of the whole text. */
const START = "start";

/**
 * @param readSchema compiles a JSON schema
 * @returns the rules by name, and the name of the rule of the whole text
 * @throws RulesError
 */
export function readLark(
  languages: Languages,
  grammar: string,
  readSchema: (schema: unknown) => ValueNode,
): { rules: Map<string, Expression>; root: string } {
  return { rules: new Reader(languages, grammar, readSchema).read(), root: WHOLE };
}

/** Names that no grammar can define: what is ignored, and the start with what is ignored after it. */
const GAP = "ignored text";
const WHOLE = "whole text";

type Kind = "rule" | "terminal";

class Reader {
  readonly #languages: Languages;
  readonly #text: GrammarText;
  readonly #readSchema: (schema: unknown) => ValueNode;
  readonly #rules = new Map<string, Expression>();
  /** Names that were referred to, with the place of the first reference. */
  readonly #references = new Map<string, number>();
  readonly #ignored: Expression[] = [];

  constructor(languages: Languages, grammar: string, readSchema: (schema: unknown) => ValueNode) {
    this.#languages = languages;
    this.#text = new GrammarText(languages, grammar);
    this.#readSchema = readSchema;
  }

  read(): Map<string, Expression> {
    const source = this.#text;
    this.#skip(true);
    while (!source.isAtEnd) {
      if (source.peek === "%") this.#directive();
      else this.#definition();
      if (!source.isAtEnd && !this.#isLineEnd()) throw source.unexpected("the end of the line");
      this.#skip(true);
    }
    if (!this.#rules.has(START))
      throw new RulesError("invalid", `has no rule ${START}, which the whole answer matches`);
    for (const [name, at] of this.#references) {
      if (this.#rules.has(name)) continue;
      source.at = at;
      throw source.invalid(`${quoted(name)} is not defined`);
    }
    this.#refuseRecursiveTerminals();
    this.#rules.set(GAP, { kind: "repeat", of: listOf("union", this.#ignored), min: 0, max: Infinity });
    if (this.#ignored.length === 0) this.#rules.set(GAP, text(this.#languages.empty));
    this.#rules.set(WHOLE, { kind: "concat", parts: [ruleOf(START), ruleOf(GAP)] });
    return this.#rules;
  }

  #refuseRecursiveTerminals(): void {
    const terminals = [...this.#rules.keys()].filter((name) => kindOf(name) === "terminal");
    const needed = (name: string): Set<string> => namesIn(this.#languages, this.#rules.get(name)!);
    for (const component of components(terminals, needed)) {
      const [name] = component;
      if (component.length === 1 && !needed(name!).has(name!)) continue;
      throw new RulesError("invalid", `has a terminal that refers to itself: ${name}. Only rules may be recursive`);
    }
  }

  #definition(): void {
    const source = this.#text;
    const at = source.at;
    source.match(/[?!]*/y);
    const name = source.match(NAME);
    if (name === null) {
      source.at = at;
      throw source.unexpected("a rule, a terminal or a directive");
    }
    if (this.#rules.has(name)) {
      source.at = at;
      throw source.invalid(`${quoted(name)} is defined a second time`);
    }
    if (source.peek === ".") throw source.unsupported("priorities are not supported");
    if (source.peek === "{") throw source.unsupported("templates are not supported");
    if (source.peek === "[") throw source.unsupported("attributes such as [lazy] or [capture] are not supported");
    this.#skip(false);
    if (!source.take(":")) throw source.unexpected('":"');
    this.#skip(false);
    // The name is known while its own expression is read.
    this.#rules.set(name, text(this.#languages.none));
    this.#rules.set(name, this.#alternatives(kindOf(name), false));
  }

  #directive(): void {
    const source = this.#text;
    const directive = source.match(/%[a-z]*/y)!;
    switch (directive) {
      case "%ignore":
        this.#skip(false);
        this.#ignored.push(this.#alternatives("terminal", false));
        return;
      case "%import":
        this.#skip(false);
        this.#import();
        return;
    }
    source.at -= directive.length;
    throw source.unsupported(`${directive} is not supported. Known: %ignore, %import common, and %json in a rule`);
  }

  #import(): void {
    const source = this.#text;
    const at = source.at;
    const from = source.match(/[\w.]+/y) ?? "";
    const [library, name, ...more] = from.split(".");
    if (library !== "common" || more.length > 0) {
      source.at = at;
      throw source.unsupported(`${quoted(from)} cannot be imported; only terminals of common can`);
    }
    if (name !== undefined) {
      this.#skip(false);
      const alias = source.take("->") ? this.#alias() : name;
      this.#importAs(name, alias);
      return;
    }
    this.#skip(false);
    if (!source.take("(")) throw source.unexpected('"." and a terminal, or a list of terminals in parentheses');
    do {
      this.#skip(true);
      const listed = source.match(NAME);
      if (listed === null) throw source.unexpected("the name of a terminal");
      this.#importAs(listed, listed);
      this.#skip(true);
    } while (source.take(","));
    if (!source.take(")")) throw source.unexpected('")"');
  }

  #alias(): string {
    this.#skip(false);
    const alias = this.#text.match(NAME);
    if (alias === null) throw this.#text.unexpected("a name");
    return alias;
  }

  #importAs(name: string, alias: string): void {
    const pattern = COMMON.get(name);
    if (pattern === undefined) {
      const known = [...COMMON.keys()].join(", ");
      throw this.#text.invalid(`common has no terminal ${quoted(name)}. Known: ${known}`);
    }
    if (this.#rules.has(alias)) throw this.#text.invalid(`${quoted(alias)} is defined a second time`);
    if (kindOf(alias) !== "terminal") throw this.#text.invalid(`${quoted(alias)} is not the name of a terminal`);
    this.#rules.set(alias, text(boundedPattern(this.#languages, pattern, true)));
  }

  /** @param isNested true inside parentheses or brackets, where lines may end anywhere */
  #alternatives(kind: Kind, isNested: boolean): Expression {
    const parts: Expression[] = [];
    do {
      this.#skip(isNested);
      parts.push(this.#sequence(kind, isNested));
    } while (this.#takeBar(isNested));
    return listOf("union", parts);
  }

  /** Takes the bar before an alternative, which may begin a line. */
  #takeBar(isNested: boolean): boolean {
    const source = this.#text;
    const at = source.at;
    this.#skip(true);
    if (source.take("|")) return true;
    if (!isNested) source.at = at;
    return false;
  }

  #sequence(kind: Kind, isNested: boolean): Expression {
    const source = this.#text;
    const parts: Expression[] = [];
    for (let item = this.#item(kind, isNested); item !== null; item = this.#item(kind, isNested)) parts.push(item);
    if (source.take("->")) {
      this.#alias();
      this.#skip(isNested);
    }
    return parts.length === 0 ? text(this.#languages.empty) : listOf("concat", parts);
  }

  /** Reads an item with its repetitions. @returns null if there is none */
  #item(kind: Kind, isNested: boolean): Expression | null {
    const source = this.#text;
    let item = this.#single(kind);
    if (item === null) return null;
    for (;;) {
      const isSpaced = source.at;
      this.#skip(isNested);
      const bounds = this.#bounds();
      if (bounds === null) {
        if (source.peek === "{" && source.at === isSpaced) throw source.unsupported("templates are not supported");
        return item;
      }
      item = { kind: "repeat", of: item, ...bounds };
    }
  }

  #single(kind: Kind): Expression | null {
    const source = this.#text;
    switch (source.peek) {
      case '"':
        return this.#terminal(kind, this.#stringOrRange());
      case "/":
        return this.#terminal(kind, this.#regex());
      case "(":
        source.at++;
        return source.nested(() => this.#group(kind, ")"));
      case "[":
        source.at++;
        return source.nested(() => ({ kind: "repeat", of: this.#group(kind, "]"), min: 0, max: 1 }) as const);
      case "%":
        return this.#json(kind);
      case "<":
        throw source.unsupported("special tokens such as <|end|> are not supported; write the characters of the text");
      case "@":
        throw source.unsupported("references to other grammars are not supported");
      case "~":
      case "&":
        throw source.unsupported(`the operator ${source.peek} is not supported here`);
    }
    const at = source.at;
    const name = source.match(NAME);
    if (name === null) return null;
    if (kind === "terminal" && kindOf(name) === "rule") {
      source.at = at;
      throw source.invalid(`a terminal refers to the rule ${quoted(name)}; terminals may only refer to terminals`);
    }
    if (!this.#references.has(name)) this.#references.set(name, at);
    return kindOf(name) === "rule" ? ruleOf(name) : this.#terminal(kind, ruleOf(name));
  }

  /** @returns a terminal, in a rule with what is ignored before it */
  #terminal(kind: Kind, terminal: Expression): Expression {
    return kind === "terminal" ? terminal : { kind: "concat", parts: [ruleOf(GAP), terminal] };
  }

  #group(kind: Kind, end: string): Expression {
    const inner = this.#alternatives(kind, true);
    if (!this.#text.take(end)) throw this.#text.unexpected(quoted(end));
    return inner;
  }

  #stringOrRange(): Expression {
    const source = this.#text;
    const languages = this.#languages;
    const at = source.at;
    const first = this.#string();
    if (!source.take("..")) {
      const isCaseless = source.take("i");
      if (!isCaseless) return text(languages.words([first]));
      const characters = [...first].map((character) => text(languages.words(casesOf(character))));
      return characters.length === 0 ? text(languages.empty) : listOf("concat", characters);
    }
    if (source.peek !== '"') throw source.unexpected("the last character of the range, as a string");
    const [from, to] = [first, this.#string()].map((end) => ([...end].length === 1 ? end.codePointAt(0)! : null));
    if (from === null || to === null || from === undefined || to === undefined || to < from) {
      source.at = at;
      throw source.invalid("a range has two characters, and the first is not after the last");
    }
    return text(languages.set(withoutSurrogates(from, to + 1)));
  }

  #string(): string {
    const source = this.#text;
    source.at++;
    let string = "";
    while (!source.take('"')) string += this.#character();
    return string;
  }

  #character(): string {
    const source = this.#text;
    const at = source.at;
    const character = source.next('the end of the string (")');
    if (character === "\n") throw source.invalid("a string must end in its line");
    if (character !== "\\") return String.fromCodePoint(checkedCodePoint(source, character.codePointAt(0)!));
    const letter = source.next("the rest of the escape");
    const numDigits = HEX_DIGITS[letter];
    if (numDigits !== undefined) {
      const digits = source.match(new RegExp(`[0-9a-fA-F]{${numDigits}}`, "y"));
      if (digits === null) throw source.unexpected(`a number of ${numDigits} hexadecimal digits`);
      return String.fromCodePoint(checkedCodePoint(source, Number.parseInt(digits, 16)));
    }
    const escaped = ESCAPES[letter];
    if (escaped !== undefined) return escaped;
    source.at = at;
    throw source.invalid(`${quoted(`\\${letter}`)} is no escape. Known: ${KNOWN_ESCAPES}`);
  }

  #regex(): Expression {
    const source = this.#text;
    const at = source.at;
    const regex = source.match(/\/(?:\\[^\r\n]|[^\\/\r\n])+\//y);
    if (regex === null) throw source.invalid("a regular expression has characters between two slashes in a line");
    const flags = source.match(/[a-z]*/y)!;
    const unknown = [...flags].find((flag) => !"isu".includes(flag));
    if (unknown !== undefined) throw source.unsupported(`the flag ${quoted(unknown)} is not supported. Known: i, s, u`);
    const pattern = withDots(regex.slice(1, -1), flags.includes("s"));
    try {
      return text(boundedPattern(this.#languages, flags.includes("i") ? `(?i)${pattern}` : pattern, true));
    } catch (error) {
      if (!(error instanceof PatternError)) throw error;
      source.at = at;
      const message = `the regular expression ${quoted(regex + flags)} cannot be used: ${error.message}`;
      throw error.code === "invalid" ? source.invalid(message) : source.unsupported(message);
    }
  }

  #json(kind: Kind): Expression {
    const source = this.#text;
    const at = source.at;
    const directive = source.match(/%[a-z]*/y)!;
    if (directive !== "%json" || kind === "terminal") {
      source.at = at;
      throw source.unsupported(`${directive} is not supported here. %json can be used in rules`);
    }
    this.#skip(true);
    const from = source.at;
    let depth = 0;
    do {
      const piece = source.match(/"(?:\\[^]|[^\\"])*"|[^"{}]+|[{}]/y);
      if (piece === null || (depth === 0 && piece !== "{"))
        throw source.unexpected("a JSON schema, an object in braces");
      if (piece === "{") depth++;
      if (piece === "}") depth--;
    } while (depth > 0);
    try {
      const schema = parseJson(new TextEncoder().encode(source.slice(from, source.at)));
      return this.#terminal(kind, { kind: "value", value: this.#readSchema(schema) });
    } catch (error) {
      if (!(error instanceof JsonError)) throw error;
      source.at = from;
      throw source.invalid(`the schema is no JSON: ${error.message}`);
    }
  }

  /** Reads an operator that repeats the item before it. */
  #bounds(): { min: number; max: number } | null {
    const source = this.#text;
    if (source.take("*")) return { min: 0, max: Infinity };
    if (source.take("+")) return { min: 1, max: Infinity };
    if (source.take("?")) return { min: 0, max: 1 };
    if (source.take("~")) {
      this.#skip(false);
      const min = source.count();
      return this.#checked(min, source.take("..") ? source.count() : min);
    }
    if (source.match(/\{(?=[ \t]*[0-9,])/y) === null) return null;
    this.#skip(false);
    const min = source.peek === "," ? 0 : source.count();
    let max = min;
    this.#skip(false);
    if (source.take(",")) {
      this.#skip(false);
      max = source.peek === "}" ? Infinity : source.count();
      this.#skip(false);
    }
    if (!source.take("}")) throw source.unexpected('"}"');
    return this.#checked(min, max);
  }

  #checked(min: number, max: number): { min: number; max: number } {
    if (max < min) throw this.#text.invalid(`${min} to ${max} allows no number of repetitions`);
    return { min, max };
  }

  #isLineEnd(): boolean {
    return /[\r\n]/.test(this.#text.peek);
  }

  /** Skips white space and comments. @param withLines true to skip line ends too */
  #skip(withLines: boolean): void {
    this.#text.match(withLines ? /(?:[ \t\r\n]|\/\/[^\r\n]*|#[^\r\n]*)*/y : /(?:[ \t]|\/\/[^\r\n]*|#[^\r\n]*)*/y);
  }
}

const NAME = /_?[a-zA-Z][\w-]*/y;

/** Terminals are in upper case. */
const kindOf = (name: string): Kind => (/^_?[A-Z]/.test(name) ? "terminal" : "rule");

const ruleOf = (name: string): Expression => ({ kind: "rule", name });

const withoutSurrogates = (from: number, end: number): number[] =>
  end <= 0xd800 || from >= 0xe000 ? [from, end] : [from, 0xd800, 0xe000, end];

/** Returns a character in both cases, as far as each is one character. */
function casesOf(character: string): string[] {
  return [character, character.toLowerCase(), character.toUpperCase()].filter((of) => [...of].length === 1);
}

/**
 * Lark's dot excludes only the line feed, that of ECMA-262 all ends of lines.
 * @param isAll true if the dot is any character
 */
function withDots(pattern: string, isAll: boolean): string {
  let isInClass = false;
  return pattern.replaceAll(/\\[^]|[.[\]]/g, (piece) => {
    if (piece === "[") isInClass = true;
    if (piece === "]") isInClass = false;
    if (piece !== "." || isInClass) return piece;
    return isAll ? "[^]" : "[^\\n]";
  });
}

const HEX_DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };
const ESCAPES: Readonly<Record<string, string>> = {
  n: "\n",
  r: "\r",
  t: "\t",
  f: "\f",
  "\\": "\\",
  '"': '"',
  "/": "/",
};
const KNOWN_ESCAPES = '\\n \\r \\t \\f \\\\ \\" \\/ \\xHH \\uHHHH \\UHHHHHHHH';

/** The terminals of Lark's library `common`. */
const COMMON: ReadonlyMap<string, string> = new Map(
  Object.entries({
    DIGIT: "[0-9]",
    HEXDIGIT: "[0-9a-fA-F]",
    INT: "[0-9]+",
    SIGNED_INT: "[+\\-]?[0-9]+",
    DECIMAL: "[0-9]+\\.[0-9]*|\\.[0-9]+",
    FLOAT: "[0-9]+[eE][+\\-]?[0-9]+|(?:[0-9]+\\.[0-9]*|\\.[0-9]+)(?:[eE][+\\-]?[0-9]+)?",
    SIGNED_FLOAT: "[+\\-]?(?:[0-9]+[eE][+\\-]?[0-9]+|(?:[0-9]+\\.[0-9]*|\\.[0-9]+)(?:[eE][+\\-]?[0-9]+)?)",
    NUMBER: "(?:[0-9]+(?:\\.[0-9]*)?|\\.[0-9]+)(?:[eE][+\\-]?[0-9]+)?",
    SIGNED_NUMBER: "[+\\-]?(?:[0-9]+(?:\\.[0-9]*)?|\\.[0-9]+)(?:[eE][+\\-]?[0-9]+)?",
    ESCAPED_STRING: '"(?:[^"\\\\\\n]|\\\\[^\\n])*"',
    LCASE_LETTER: "[a-z]",
    UCASE_LETTER: "[A-Z]",
    LETTER: "[a-zA-Z]",
    WORD: "[a-zA-Z]+",
    CNAME: "[_a-zA-Z][_a-zA-Z0-9]*",
    WS_INLINE: "[ \\t]+",
    WS: "[ \\t\\f\\r\\n]+",
    CR: "\\r",
    LF: "\\n",
    NEWLINE: "(?:\\r?\\n)+",
    SH_COMMENT: "#[^\\n]*",
    CPP_COMMENT: "\\/\\/[^\\n]*",
    C_COMMENT: "\\/\\*(?:[^*]|\\*+[^*\\/])*\\*+\\/",
    SQL_COMMENT: "--[^\\n]*",
  }),
);
