/**
 * Parses a Jinja template, with the grammar of Jinja 3.1 and the tags that Hugging Face adds (`break`, `continue` and
 * `generation`). Tags that load other templates are refused by name.
 */

import { LIMITS } from "../limits.js";
import { lineAt, type Token, tokensOf } from "./jinja-lexer.js";
import type {
  Arguments,
  CallExpression,
  Expression,
  FilterCall,
  MacroDefinition,
  Statement,
  Target,
} from "./jinja-syntax.js";

/**
 * Parses a template whose line ends are `\n`.
 *
 * @throws SyntaxError that names the line
 */
export function parse(source: string): Statement[] {
  return new Parser(source).parse();
}

class Parser {
  readonly #source: string;
  readonly #tokens: readonly Token[];
  #index = 0;
  #depth = 0;
  /** Which of the special names the innermost macro reads. */
  #reads = new Set<string>();

  constructor(source: string) {
    this.#source = source.replace(/\n$/, "");
    this.#tokens = tokensOf(this.#source);
  }

  parse(): Statement[] {
    return this.#body([]);
  }

  get #token(): Token {
    return this.#tokens[this.#index]!;
  }

  /** Returns the statements up to a tag with one of these names, of which the name is the next token. */
  #body(ends: readonly string[]): Statement[] {
    return this.#nested(() => {
      const statements: Statement[] = [];
      for (;;) {
        const token = this.#token;
        if (token.type === "end") {
          if (ends.length > 0) throw this.#error(`a block has no end; expected ${ends.join(" or ")}`);
          return statements;
        }
        this.#index++;
        if (token.type === "text") statements.push({ type: "text", text: token.value });
        else if (token.type === "{{") {
          statements.push({ type: "output", value: this.#tuple() });
          this.#expect("}}");
        } else {
          const tag = this.#token;
          if (tag.type === "name" && ends.includes(tag.value)) return statements;
          statements.push(...this.#statement(this.#name("the name of a tag")));
        }
      }
    });
  }

  /** Parses a body up to the tag that ends it, and that tag. */
  #bodyUntil(end: string): Statement[] {
    const body = this.#body([end]);
    this.#index++;
    this.#expect("%}");
    return body;
  }

  #statement(tag: string): Statement[] {
    switch (tag) {
      case "if":
        return [this.#if()];
      case "for":
        return [this.#for()];
      case "set":
        return [this.#set()];
      case "macro": {
        const name = this.#name("the name of a macro");
        return [{ type: "macro", macro: this.#macro(name, this.#parameters(), "endmacro") }];
      }
      case "call": {
        const parameters = this.#isOperator("(") ? this.#parameters() : [];
        const call = this.#expression();
        if (call.type !== "call") throw this.#error("a call block must call a macro");
        return [{ type: "call", call, caller: this.#macro("caller", parameters, "endcall") }];
      }
      case "filter": {
        const filters = [this.#filterCall(), ...this.#filters()];
        this.#expect("%}");
        return [{ type: "filter", filters, body: this.#bodyUntil("endfilter") }];
      }
      case "with":
        return [this.#with()];
      case "generation":
        this.#expect("%}");
        return [{ type: "with", variables: [], body: this.#bodyUntil("endgeneration") }];
      case "print": {
        const values: Expression[] = [];
        do values.push(this.#expression());
        while (this.#skip(","));
        this.#expect("%}");
        return values.map((value) => ({ type: "output", value }));
      }
      case "break":
      case "continue":
        this.#expect("%}");
        return [{ type: tag }];
      default:
        throw this.#error(`the tag ${tag} is not supported here`);
    }
  }

  #if(): Statement {
    const branches: { test: Expression; body: Statement[] }[] = [];
    for (;;) {
      const test = this.#tuple(false);
      this.#expect("%}");
      branches.push({ test, body: this.#body(["elif", "else", "endif"]) });
      const tag = this.#name("a tag");
      if (tag === "elif") continue;
      this.#expect("%}");
      return { type: "if", branches, otherwise: tag === "else" ? this.#bodyUntil("endif") : [] };
    }
  }

  #for(): Statement {
    const target = this.#target();
    if (!this.#skipName("in")) throw this.#unexpected("in");
    const items = this.#tuple(false);
    const test = this.#skipName("if") ? this.#expression() : null;
    const isRecursive = this.#skipName("recursive");
    this.#expect("%}");
    const body = this.#body(["endfor", "else"]);
    const tag = this.#name("a tag");
    this.#expect("%}");
    const otherwise = tag === "else" ? this.#bodyUntil("endfor") : [];
    return { type: "for", target, items, test, isRecursive, body, otherwise };
  }

  #set(): Statement {
    const target = this.#target();
    if (this.#skip("=")) {
      const value = this.#tuple();
      this.#expect("%}");
      return { type: "set", target, value };
    }
    const filters = this.#filters();
    this.#expect("%}");
    return { type: "setBlock", target, filters, body: this.#bodyUntil("endset") };
  }

  #with(): Statement {
    const variables: { target: Target; value: Expression }[] = [];
    while (this.#token.type !== "%}") {
      if (variables.length > 0) this.#expectOperator(",");
      const target = this.#target();
      this.#expectOperator("=");
      variables.push({ target, value: this.#expression() });
    }
    this.#index++;
    return { type: "with", variables, body: this.#bodyUntil("endwith") };
  }

  #macro(name: string, parameters: MacroDefinition["parameters"], end: string): MacroDefinition {
    this.#expect("%}");
    const outer = this.#reads;
    this.#reads = new Set();
    const body = this.#bodyUntil(end);
    const reads = this.#reads;
    for (const parameter of parameters) reads.delete(parameter.name);
    for (const each of reads) outer.add(each);
    this.#reads = outer;
    return { name, parameters, body, reads };
  }

  #parameters(): MacroDefinition["parameters"] {
    const parameters: { name: string; absent: Expression | null }[] = [];
    this.#expectOperator("(");
    while (!this.#skip(")")) {
      if (parameters.length > 0) this.#expectOperator(",");
      const name = this.#name("the name of a parameter");
      const absent = this.#skip("=") ? this.#expression() : null;
      if (absent === null && name === "caller") throw this.#error("the parameter caller needs a default");
      if (absent === null && parameters.at(-1)?.absent)
        throw this.#error(`the parameter ${name} without a default follows one with a default`);
      parameters.push({ name, absent });
    }
    return parameters;
  }

  #target(): Target {
    const targets: Target[] = [];
    let isTuple = false;
    do {
      if (targets.length > 0 && this.#token.type !== "name" && !this.#isOperator("(")) break;
      targets.push(this.#oneTarget());
      isTuple ||= this.#isOperator(",");
    } while (this.#skip(","));
    return isTuple ? { type: "targets", targets } : targets[0]!;
  }

  #oneTarget(): Target {
    if (this.#skip("(")) {
      const target = this.#nested(() => this.#target());
      this.#expectOperator(")");
      return target;
    }
    const name = this.#name("a name to assign to");
    if (CONSTANTS.has(name)) throw this.#error(`${name} cannot be assigned to`);
    return this.#skip(".")
      ? { type: "attribute", object: name, attribute: this.#name("an attribute") }
      : { type: "name", name };
  }

  /** Parses an expression, or a tuple without parentheses. */
  #tuple(withCondition = true): Expression {
    const items: Expression[] = [];
    do {
      if (items.length > 0 && this.#endsTuple()) return { type: "tuple", items };
      items.push(withCondition ? this.#expression() : this.#nested(() => this.#or()));
    } while (this.#skip(","));
    return items.length === 1 ? items[0]! : { type: "tuple", items };
  }

  #endsTuple(): boolean {
    const { type } = this.#token;
    return type === "}}" || type === "%}" || this.#isOperator(")") || this.#isName("recursive");
  }

  #expression(): Expression {
    return this.#nested(() => {
      let value = this.#or();
      while (this.#skipName("if")) {
        const test = this.#or();
        value = { type: "condition", test, value, otherwise: this.#skipName("else") ? this.#expression() : null };
      }
      return value;
    });
  }

  #or(): Expression {
    let left = this.#and();
    while (this.#skipName("or")) left = { type: "or", left, right: this.#and() };
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.#skipName("and")) left = { type: "and", left, right: this.#not() };
    return left;
  }

  #not(): Expression {
    if (!this.#skipName("not")) return this.#comparison();
    return this.#nested(() => ({ type: "unary", operator: "not", operand: this.#not() }));
  }

  #comparison(): Expression {
    const first = this.#sum();
    const rest: { operator: string; operand: Expression }[] = [];
    for (;;) {
      const operator = this.#comparisonOperator();
      if (operator === null) return rest.length === 0 ? first : { type: "compare", first, rest };
      rest.push({ operator, operand: this.#sum() });
    }
  }

  #comparisonOperator(): string | null {
    const token = this.#token;
    if (token.type === "operator" && COMPARISONS.has(token.value)) {
      this.#index++;
      return token.value;
    }
    if (this.#skipName("in")) return "in";
    const next = this.#tokens[this.#index + 1];
    if (!this.#isName("not") || next?.type !== "name" || next.value !== "in") return null;
    this.#index += 2;
    return "not in";
  }

  #sum(): Expression {
    return this.#binary(["+", "-"], () => this.#concat());
  }

  #concat(): Expression {
    const parts = [this.#product()];
    while (this.#skip("~")) parts.push(this.#product());
    return parts.length === 1 ? parts[0]! : { type: "concat", parts };
  }

  #product(): Expression {
    return this.#binary(["*", "/", "//", "%"], () => this.#power());
  }

  /** In Jinja, unlike in Python, powers are computed from left to right, and after a sign. */
  #power(): Expression {
    return this.#binary(["**"], () => this.#unary());
  }

  #binary(operators: readonly string[], operand: () => Expression): Expression {
    let left = operand();
    for (;;) {
      const token = this.#token;
      if (token.type !== "operator" || !operators.includes(token.value)) return left;
      this.#index++;
      left = { type: "binary", operator: token.value, left, right: operand() };
    }
  }

  #unary(withFilters = true): Expression {
    const operator = this.#skip("-") ? "-" : this.#skip("+") ? "+" : null;
    const own: Expression =
      operator === null
        ? this.#primary()
        : { type: "unary", operator, operand: this.#nested(() => this.#unary(false)) };
    const value = this.#postfix(own);
    return withFilters ? this.#filtered(value) : value;
  }

  #primary(): Expression {
    const token = this.#token;
    if (token.type === "name") {
      this.#index++;
      const constant = CONSTANTS.get(token.value);
      if (constant !== undefined) return { type: "constant", value: constant };
      if (SPECIAL_NAMES.has(token.value)) this.#reads.add(token.value);
      return { type: "name", name: token.value };
    }
    if (token.type === "number") {
      this.#index++;
      return { type: "constant", value: token.value };
    }
    if (token.type === "string") return { type: "constant", value: this.#strings() };
    if (this.#skip("(")) {
      if (this.#skip(")")) return { type: "tuple", items: [] };
      const value = this.#tuple();
      this.#expectOperator(")");
      return value;
    }
    if (this.#skip("[")) return { type: "list", items: this.#items("]", () => this.#expression()) };
    if (this.#skip("{")) return { type: "mapping", entries: this.#items("}", () => this.#entry()) };
    throw this.#unexpected("an expression");
  }

  #strings(): string {
    const parts: string[] = [];
    for (let token = this.#token; token.type === "string"; token = this.#token) {
      parts.push(token.value);
      this.#index++;
    }
    return parts.join("");
  }

  #items<T>(closing: string, item: () => T): T[] {
    const items: T[] = [];
    while (!this.#skip(closing)) {
      if (items.length > 0) {
        this.#expectOperator(",");
        if (this.#skip(closing)) break;
      }
      items.push(item());
    }
    return items;
  }

  #entry(): [Expression, Expression] {
    const key = this.#expression();
    this.#expectOperator(":");
    return [key, this.#expression()];
  }

  #postfix(own: Expression): Expression {
    let value = own;
    for (;;) {
      if (this.#skip(".")) value = this.#attribute(value);
      else if (this.#skip("[")) value = this.#element(value);
      else if (this.#isOperator("(")) value = this.#call(value);
      else return value;
    }
  }

  #attribute(object: Expression): Expression {
    const token = this.#token;
    if (token.type === "number" && typeof token.value === "number") {
      this.#index++;
      return { type: "element", object, key: { type: "constant", value: token.value } };
    }
    return { type: "attribute", object, name: this.#name("an attribute") };
  }

  #element(object: Expression): Expression {
    if (this.#isOperator("]")) throw this.#unexpected("an index");
    const isPart = (): boolean => !this.#isOperator(":") && !this.#isOperator("]");
    const start = isPart() ? this.#expression() : null;
    if (start !== null && this.#isOperator(",")) throw this.#error("an index of several values is not supported");
    if (start !== null && this.#skip("]")) return { type: "element", object, key: start };
    this.#expectOperator(":");
    const stop = isPart() ? this.#expression() : null;
    const step = this.#skip(":") && isPart() ? this.#expression() : null;
    this.#expectOperator("]");
    return { type: "slice", object, start, stop, step };
  }

  #call(callee: Expression): CallExpression {
    return { type: "call", callee, args: this.#arguments() };
  }

  #arguments(): Arguments {
    const positional: Expression[] = [];
    const named: [string, Expression][] = [];
    let rest: Expression | null = null;
    let namedRest: Expression | null = null;
    this.#expectOperator("(");
    this.#items(")", () => {
      const isLater = rest !== null || namedRest !== null;
      if (this.#skip("**")) {
        if (namedRest !== null) throw this.#error("a call spreads two mappings");
        namedRest = this.#expression();
      } else if (this.#skip("*")) {
        if (isLater) throw this.#error("a call spreads two lists, or a list after a mapping");
        rest = this.#expression();
      } else if (this.#token.type === "name" && this.#isOperator("=", 1)) {
        if (namedRest !== null) throw this.#error("an argument follows a spread mapping");
        const name = this.#name("an argument");
        this.#index++;
        named.push([name, this.#expression()]);
      } else {
        if (isLater || named.length > 0) throw this.#error("an argument without a name follows one with a name");
        positional.push(this.#expression());
      }
    });
    return { positional, named, rest, namedRest };
  }

  /** Parses filters, tests, and calls of their results. */
  #filtered(own: Expression): Expression {
    let value = own;
    for (;;) {
      if (this.#skip("|")) value = { type: "filter", operand: value, filter: this.#filterCall() };
      else if (this.#skipName("is")) value = this.#test(value);
      else if (this.#isOperator("(")) value = this.#call(value);
      else return value;
    }
  }

  #filters(): FilterCall[] {
    const filters: FilterCall[] = [];
    while (this.#skip("|")) filters.push(this.#filterCall());
    return filters;
  }

  #filterCall(): FilterCall {
    const name = this.#dottedName("the name of a filter");
    return { name, args: this.#isOperator("(") ? this.#arguments() : NO_ARGUMENTS };
  }

  #test(operand: Expression): Expression {
    const isNegated = this.#skipName("not");
    const name = this.#dottedName("the name of a test");
    return { type: "test", operand, name, args: this.#testArguments(), isNegated };
  }

  /** The argument of a test needs no parentheses: `x is divisibleby 3`. */
  #testArguments(): Arguments {
    if (this.#isOperator("(")) return this.#arguments();
    const token = this.#token;
    const isName = token.type === "name" && !["else", "or", "and"].includes(token.value);
    const isValue =
      token.type === "string" || token.type === "number" || this.#isOperator("[") || this.#isOperator("{");
    if (!isName && !isValue) return NO_ARGUMENTS;
    if (this.#isName("is")) throw this.#error("a test of the result of a test needs parentheses");
    return { ...NO_ARGUMENTS, positional: [this.#postfix(this.#primary())] };
  }

  #dottedName(what: string): string {
    let name = this.#name(what);
    while (this.#skip(".")) name += `.${this.#name(what)}`;
    return name;
  }

  #name(what: string): string {
    const token = this.#token;
    if (token.type !== "name") throw this.#unexpected(what);
    this.#index++;
    return token.value;
  }

  #isName(name: string): boolean {
    const token = this.#token;
    return token.type === "name" && token.value === name;
  }

  #skipName(name: string): boolean {
    const isNext = this.#isName(name);
    if (isNext) this.#index++;
    return isNext;
  }

  #isOperator(operator: string, ahead = 0): boolean {
    const token = this.#tokens[this.#index + ahead];
    return token?.type === "operator" && token.value === operator;
  }

  #skip(operator: string): boolean {
    const isNext = this.#isOperator(operator);
    if (isNext) this.#index++;
    return isNext;
  }

  #expectOperator(operator: string): void {
    if (!this.#skip(operator)) throw this.#unexpected(operator);
  }

  #expect(type: "}}" | "%}"): void {
    if (this.#token.type !== type) throw this.#unexpected(type);
    this.#index++;
  }

  #nested<T>(parsePart: () => T): T {
    if (++this.#depth > LIMITS.maxRenderDepth)
      throw this.#error(`its expressions or blocks are nested more than ${LIMITS.maxRenderDepth} deep`);
    const part = parsePart();
    this.#depth--;
    return part;
  }

  #unexpected(wanted: string): SyntaxError {
    return this.#error(`expected ${wanted}, but found ${described(this.#token)}`);
  }

  #error(what: string): SyntaxError {
    return new SyntaxError(`${what} (line ${lineAt(this.#source, this.#token.at)})`);
  }
}

const NO_ARGUMENTS: Arguments = { positional: [], named: [], rest: null, namedRest: null };

/** Names that a macro can read without a parameter. */
const SPECIAL_NAMES: ReadonlySet<string> = new Set(["caller", "kwargs", "varargs"]);

const COMPARISONS: ReadonlySet<string> = new Set(["==", "!=", "<", "<=", ">", ">="]);

const CONSTANTS: ReadonlyMap<string, boolean | null> = new Map([
  ["true", true],
  ["True", true],
  ["false", false],
  ["False", false],
  ["none", null],
  ["None", null],
]);

/** Returns a token for an error message, possibly shortened. */
function described(token: Token): string {
  if (token.type === "end") return "the end of the template";
  if (token.type === "string") return "a string";
  if (token.type === "number") return "a number";
  if (token.type === "text") return "text";
  return "value" in token ? token.value.slice(0, 100) : token.type;
}
