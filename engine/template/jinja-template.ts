/**
 * An interpreter for Jinja chat templates. The environment matches Hugging Face's `apply_chat_template`; the parser
 * comes from the library @huggingface/jinja. The interpreter is implemented here because prompts depend on Python's
 * rules, such as the scope of `set` in a loop, equality with none, and the length of strings. Unsupported features are
 * refused by name.
 */

import { parse, tokenize } from "@huggingface/jinja";
import { Canceled } from "../budget.js";
import type { JsonObject } from "../json.js";
import { EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import { applyFilter, applyTest, elementOf, integer, mapping, methodOf } from "./jinja-builtins.js";
import { RenderBudget } from "./render-budget.js";
import { type Text, concat, isText, plain } from "./sourced-text.js";
import {
  type Call,
  type Callable,
  Float,
  Namespace,
  Tuple,
  Undefined,
  type Value,
  calculate,
  compare,
  contains,
  isEqual,
  isTrue,
  iterate,
  numberOf,
  orUndefined,
  slice,
  toText,
  toValue,
  typeName,
  wholeResult,
} from "./jinja-values.js";

export class JinjaTemplate {
  readonly #program: Node;

  /** @throws SyntaxError if the template cannot be parsed */
  constructor(source: string) {
    if (source.length > LIMITS.maxTemplateCharacters)
      throw new SyntaxError(
        `it has ${source.length} characters; at most ${LIMITS.maxTemplateCharacters} are supported`,
      );
    const lines = source.replace(/\r\n?/g, "\n");
    if (LONG_BLANK.test(lines))
      throw new SyntaxError(`it has more than ${LIMITS.maxTemplateBlank} white-space characters in a row`);
    try {
      this.#program = parse(tokenize(lines, { lstrip_blocks: true, trim_blocks: true })) as unknown as Node;
    } catch (error) {
      throw new SyntaxError(parserMessage(error), { cause: error });
    }
  }

  /**
   * Renders the template.
   *
   * @param variables JSON values; texts of messages are `SourcedText`
   * @throws EngineError template_error with the template's own message, or with the reason why it failed; Canceled
   */
  render(variables: JsonObject, budget = RenderBudget.forMessages(0)): Text {
    const scope = new Scope(null, budget);
    for (const [name, value] of Object.entries(variables))
      if (value !== undefined) scope.variables.set(name, toValue(value));
    try {
      const prompt = textOf(this.#program, scope);
      budget.checkPrompt(plain(prompt).length);
      return prompt;
    } catch (error) {
      if (error instanceof Canceled) throw error;
      const what = error instanceof TemplateRefusal ? "refuses the messages" : "failed";
      const why = isStackOverflow(error) ? "it nests too deeply" : oneLine((error as Error).message);
      throw new EngineError("template_error", `The model's chat template ${what}: ${why}`, "messages", {
        cause: error,
      });
    }
  }
}

const LONG_BLANK = new RegExp(`\\s{${LIMITS.maxTemplateBlank + 1}}`);
/** UTF-16 code units of an error message that a template writes, or that quotes it. */
const MAX_MESSAGE_LENGTH = 500;

/** Returns the beginning of a message, with a space for each run of white space and control characters. */
const oneLine = (message: string): string =>
  message
    .slice(0, MAX_MESSAGE_LENGTH)
    .replace(/[\s\p{Cc}]+/gu, " ")
    .trim();

const isStackOverflow = (error: unknown): boolean =>
  error instanceof RangeError && error.message === "Maximum call stack size exceeded";

/**
 * Describes the parser's error. The parser fails with a TypeError where a template ends too early, and some of its
 * messages quote a piece of its own source instead of the template.
 */
function parserMessage(error: unknown): string {
  if (isStackOverflow(error)) return "its expressions or blocks are nested too deeply";
  if (error instanceof TypeError) return "an expression or a block has no end";
  return oneLine((error as Error).message.replace(/, got \$\{.*?\} instead\./, ""));
}

/** Thrown when a template calls `raise_exception`. */
class TemplateRefusal extends Error {}

interface Node {
  readonly type: string;
  readonly [key: string]: unknown;
}

/** Variables of a template, a loop iteration or a macro call. Outer variables can be read but not changed. */
class Scope {
  readonly variables = new Map<string, Value>();

  constructor(
    readonly parent: Scope | null,
    readonly budget: RenderBudget,
  ) {}

  inner(): Scope {
    return new Scope(this, this.budget);
  }

  find(name: string): Value {
    const own = this.variables.get(name);
    if (own !== undefined) return own;
    if (this.parent !== null) return this.parent.find(name);
    const global = GLOBALS.get(name);
    return global === undefined ? new Undefined(name) : global;
  }
}

const MAX_RANGE = 100_000;

const GLOBALS: ReadonlyMap<string, Value> = new Map<string, Value>([
  ["true", true],
  ["True", true],
  ["false", false],
  ["False", false],
  ["none", null],
  ["None", null],
  [
    "raise_exception",
    ({ args, budget }) => {
      throw new TemplateRefusal(plain(toText(args[0] ?? "", budget)));
    },
  ],
  [
    "range",
    ({ args, budget }) => {
      if (args.length < 1 || args.length > 3) throw new TypeError(`range() takes 1 to 3 arguments, not ${args.length}`);
      const [first, second, step = 1] = args.map((value) => integer(value, 0, "an argument of range()"));
      const [start, stop] = second === undefined ? [0, first!] : [first!, second];
      if (step === 0) throw new RangeError("range() with a step of zero");
      const length = Math.max(0, Math.ceil((stop - start) / step));
      if (length > MAX_RANGE) throw new RangeError(`range() of more than ${MAX_RANGE} numbers`);
      budget.allocateItems(length);
      return Array.from({ length }, (_, index) => start + index * step);
    },
  ],
  ["dict", entriesOf],
  ["namespace", (call) => new Namespace(entriesOf(call) as Map<string, Value>)],
]);

function entriesOf({ args: [given = new Map()], named, budget }: Call): Map<string | number, Value> {
  budget.allocateItems(4 * mapping(given).size);
  return new Map([...mapping(given), ...named]);
}

/** The way a block ended. */
type Ending = "done" | "break" | "continue";

function execute(nodes: readonly Node[], scope: Scope, output: Text[]): Ending {
  for (const node of nodes) {
    const ending = executeOne(node, scope, output);
    if (ending !== "done") return ending;
  }
  return "done";
}

function executeOne(node: Node, scope: Scope, output: Text[]): Ending {
  const { budget } = scope;
  budget.spend();
  switch (node.type) {
    case "Comment":
      return "done";
    case "If":
      return budget.nested(() =>
        execute(
          (isTrue(evaluate(node["test"] as Node, scope)) ? node["body"] : node["alternate"]) as Node[],
          scope,
          output,
        ),
      );
    case "For":
      return budget.nested(() => executeFor(node, scope, output));
    case "Break":
      return "break";
    case "Continue":
      return "continue";
    case "Set": {
      const given = node["value"] as Node | null;
      assign(node["assignee"] as Node, given === null ? textOf(node, scope.inner()) : evaluate(given, scope), scope);
      return "done";
    }
    case "Macro":
      scope.variables.set((node["name"] as Node)["value"] as string, macro(node, node["args"] as Node[], scope));
      return "done";
    case "CallStatement": {
      const call = node["call"] as Node;
      const { args, named } = evaluateCall(call["args"] as Node[], scope);
      const caller = macro(node, (node["callerArgs"] as Node[] | null) ?? [], scope);
      output.push(
        toText(
          invoke(call["callee"] as Node, { args, named: new Map([...named, ["caller", caller]]), budget }, scope),
          budget,
        ),
      );
      return "done";
    }
    case "FilterStatement":
      output.push(toText(filtered(node["filter"] as Node, textOf(node, scope.inner()), scope), budget));
      return "done";
    default:
      output.push(toText(evaluate(node, scope), budget));
      return "done";
  }
}

function textOf(node: Node, scope: Scope): Text {
  const output: Text[] = [];
  const ending = scope.budget.nested(() => execute(node["body"] as Node[], scope, output));
  if (ending !== "done") throw new SyntaxError(`a ${ending} outside a loop`);
  return concat(output, scope.budget);
}

/** As in Jinja, `else` runs if no iteration reached the end of the body, because of no items, a break or a continue. */
function executeFor(node: Node, scope: Scope, output: Text[]): Ending {
  const source = node["iterable"] as Node;
  const isFiltered = source.type === "SelectExpression";
  const target = node["loopvar"] as Node;
  const { budget } = scope;
  const turn = (item: Value): Scope => {
    budget.spend(STEPS_PER_TURN);
    const inner = scope.inner();
    assign(target, item, inner);
    return inner;
  };
  const all = iterate(evaluate((isFiltered ? source["lhs"] : source) as Node, scope), budget);
  const items = isFiltered ? all.filter((item) => isTrue(evaluate(source["test"] as Node, turn(item)))) : all;
  let isAnyWhole = false;
  for (const [index, item] of items.entries()) {
    const inner = turn(item);
    inner.variables.set("loop", loopState(items, index));
    const ending = execute(node["body"] as Node[], inner, output);
    if (ending === "break") break;
    isAnyWhole ||= ending === "done";
  }
  return isAnyWhole ? "done" : execute(node["defaultBlock"] as Node[], scope.inner(), output);
}

/** The variables of a turn take about a microsecond. */
const STEPS_PER_TURN = 10;

function loopState(items: readonly Value[], index: number): Namespace {
  const { length } = items;
  return new Namespace(
    new Map<string, Value>([
      ["index", index + 1],
      ["index0", index],
      ["revindex", length - index],
      ["revindex0", length - index - 1],
      ["first", index === 0],
      ["last", index === length - 1],
      ["length", length],
      ["previtem", orUndefined(items[index - 1], "loop.previtem")],
      ["nextitem", orUndefined(items[index + 1], "loop.nextitem")],
      ["cycle", ({ args }) => orUndefined(args[index % args.length], "cycle() without arguments")],
    ]),
  );
}

function assign(target: Node, value: Value, scope: Scope): void {
  if (target.type === "Identifier") {
    scope.variables.set(target["value"] as string, value);
  } else if (target.type === "TupleLiteral") {
    const names = target["value"] as Node[];
    const items = iterate(value, scope.budget);
    if (items.length !== names.length) throw new RangeError(`${items.length} values for ${names.length} names`);
    names.forEach((name, index) => assign(name, items[index]!, scope));
  } else {
    const object = target.type === "MemberExpression" ? evaluate(target["object"] as Node, scope) : null;
    if (!(object instanceof Namespace)) throw new TypeError(`${describe(target)} cannot be assigned to`);
    object.attributes.set((target["property"] as Node)["value"] as string, value);
  }
}

/** Returns a function that renders a macro, or the body of a call block. */
function macro(node: Node, parameters: readonly Node[], scope: Scope): Callable {
  return ({ args, named }) => {
    const inner = scope.inner();
    const rest = new Map(named);
    inner.variables.set("caller", orUndefined(rest.get("caller"), "caller"));
    rest.delete("caller");
    parameters.forEach((parameter, index) => {
      const isOptional = parameter.type === "KeywordArgumentExpression";
      const name = (isOptional ? (parameter["key"] as Node) : parameter)["value"] as string;
      const given = index < args.length ? args[index] : rest.get(name);
      const absent = (): Value => (isOptional ? evaluate(parameter["value"] as Node, inner) : new Undefined(name));
      inner.variables.set(name, given === undefined ? absent() : given);
      rest.delete(name);
    });
    inner.variables.set("varargs", new Tuple(args.slice(parameters.length)));
    inner.variables.set("kwargs", rest);
    return textOf(node, inner);
  };
}

function evaluate(node: Node, scope: Scope): Value {
  const { budget } = scope;
  budget.spend();
  budget.enter();
  const value = evaluateOne(node, scope);
  budget.leave();
  return value;
}

function evaluateOne(node: Node, scope: Scope): Value {
  switch (node.type) {
    case "StringLiteral":
      return node["value"] as string;
    case "IntegerLiteral":
      return wholeResult(node["value"] as number);
    case "FloatLiteral":
      return new Float(node["value"] as number);
    case "ArrayLiteral":
      return (node["value"] as Node[]).map((item) => evaluate(item, scope));
    case "TupleLiteral":
      return new Tuple((node["value"] as Node[]).map((item) => evaluate(item, scope)));
    case "ObjectLiteral":
      return new Map(
        [...(node["value"] as Map<Node, Node>)].map(([key, value]) => [
          keyOf(evaluate(key, scope)),
          evaluate(value, scope),
        ]),
      );
    case "Identifier":
      return scope.find(node["value"] as string);
    case "MemberExpression":
      return evaluateMember(node, scope);
    case "CallExpression":
      return invoke(node["callee"] as Node, evaluateCall(node["args"] as Node[], scope), scope);
    case "FilterExpression":
      return filtered(node["filter"] as Node, evaluate(node["operand"] as Node, scope), scope);
    case "TestExpression": {
      const passes = applyTest(
        (node["test"] as Node)["value"] as string,
        evaluate(node["operand"] as Node, scope),
        [],
        scope.budget,
      );
      return passes !== (node["negate"] as boolean);
    }
    case "UnaryExpression":
      return evaluateUnary(operatorOf(node), evaluate(node["argument"] as Node, scope));
    case "BinaryExpression":
      return evaluateBinary(node, scope);
    case "Ternary":
      return evaluate(
        (isTrue(evaluate(node["condition"] as Node, scope)) ? node["trueExpr"] : node["falseExpr"]) as Node,
        scope,
      );
    case "SelectExpression":
      return isTrue(evaluate(node["test"] as Node, scope))
        ? evaluate(node["lhs"] as Node, scope)
        : new Undefined("an if without else");
    default:
      throw new SyntaxError(`${node.type} is not supported`);
  }
}

const operatorOf = (node: Node): string => (node["operator"] as { value: string }).value;

function keyOf(value: Value): string | number {
  if (typeof value !== "string" && typeof value !== "number")
    throw new TypeError(`${typeName(value)} as a key is not supported`);
  return value;
}

function evaluateMember(node: Node, scope: Scope): Value {
  const object = evaluate(node["object"] as Node, scope);
  const { budget } = scope;
  if (object instanceof Undefined)
    throw new TypeError(`${describe(node["object"] as Node)} is not defined${whyUndefined(object)}`);
  const property = node["property"] as Node;
  if (property.type === "SliceExpression") {
    const [start, stop, step] = ["start", "stop", "step"].map((part) => {
      const given = property[part] as Node | undefined;
      return given === undefined ? null : wholeNumber(evaluate(given, scope));
    });
    return slice(object, start ?? null, stop ?? null, step ?? 1, budget);
  }
  if (node["computed"] === true) {
    const key = evaluate(property, scope);
    const method = isText(key) ? methodOf(object, plain(key)) : undefined;
    const element = elementOf(object, key, budget);
    return orUndefined(element === undefined ? method : element, describe(node));
  }
  const name = property["value"] as string | number;
  return methodOf(object, String(name)) ?? orUndefined(elementOf(object, name, budget), describe(node));
}

function wholeNumber(value: Value): number | null {
  if (value === null || typeof value === "number") return value;
  throw new TypeError(`a slice index must be an integer, not ${typeName(value)}`);
}

function evaluateCall(nodes: readonly Node[], scope: Scope): Call {
  const args: Value[] = [];
  const named = new Map<string, Value>();
  for (const node of nodes) {
    if (node.type === "KeywordArgumentExpression")
      named.set((node["key"] as Node)["value"] as string, evaluate(node["value"] as Node, scope));
    else if (node.type === "SpreadExpression")
      for (const item of iterate(evaluate(node["argument"] as Node, scope), scope.budget)) args.push(item);
    else args.push(evaluate(node, scope));
  }
  return { args, named, budget: scope.budget };
}

function invoke(callee: Node, call: Call, scope: Scope): Value {
  const callable = evaluate(callee, scope);
  if (typeof callable === "function") return callable(call);
  throw new TypeError(`${describe(callee)}() is not a supported function${whyUndefined(callable)}`);
}

/** Applies a filter, given as a name or as a call with arguments. */
function filtered(filter: Node, value: Value, scope: Scope): Value {
  const isCall = filter.type === "CallExpression";
  const name = isCall ? (filter["callee"] as Node) : filter;
  if (name.type !== "Identifier") throw new SyntaxError("a filter must be a name, or a name with arguments");
  const { budget } = scope;
  const call = isCall ? evaluateCall(filter["args"] as Node[], scope) : { args: [], named: new Map(), budget };
  return applyFilter(name["value"] as string, value, call);
}

function evaluateUnary(operator: string, value: Value): Value {
  if (operator === "not") return !isTrue(value);
  const number = numberOf(value);
  if (number === null) throw new TypeError(`${operator} of ${typeName(value)} is not supported`);
  const result = operator === "-" ? -number : number;
  return value instanceof Float ? new Float(result) : result;
}

function evaluateBinary(node: Node, scope: Scope): Value {
  const operator = operatorOf(node);
  const { budget } = scope;
  if (isChained(node)) {
    const first = node["left"] as Node;
    return isTrue(evaluate(first, scope)) && evaluateBinary({ ...node, left: first["right"] }, scope);
  }
  const left = evaluate(node["left"] as Node, scope);
  if (operator === "and" && !isTrue(left)) return left;
  if (operator === "or" && isTrue(left)) return left;
  const right = evaluate(node["right"] as Node, scope);
  switch (operator) {
    case "and":
    case "or":
      return right;
    case "~":
      return concat([toText(left, budget), toText(right, budget)], budget);
    case "==":
      return isEqual(left, right, budget);
    case "!=":
      return !isEqual(left, right, budget);
    case "in":
      return contains(right, left, budget);
    case "not in":
      return !contains(right, left, budget);
    case "<":
      return compare(left, right, budget) < 0;
    case "<=":
      return compare(left, right, budget) <= 0;
    case ">":
      return compare(left, right, budget) > 0;
    case ">=":
      return compare(left, right, budget) >= 0;
    default:
      return calculate(operator, left, right, budget);
  }
}

/** Returns true for a chained comparison: `a < b < c` is two comparisons, but the parser returns `(a < b) < c`. */
function isChained(node: Node): boolean {
  const left = node["left"] as Node;
  return left.type === "BinaryExpression" && /[<>]/.test(operatorOf(left)) && /[<>]/.test(operatorOf(node));
}

/** Returns the source of an expression for an error message, possibly shortened. */
function describe(node: Node): string {
  if (node.type === "Identifier") return node["value"] as string;
  if (node.type !== "MemberExpression") return "a value";
  const property = node["property"] as Node;
  const object = describe(node["object"] as Node);
  if (node["computed"] !== true) return `${object}.${property["value"]}`;
  return property.type.endsWith("Literal") ? `${object}[${JSON.stringify(property["value"])}]` : `${object}[…]`;
}

function whyUndefined(value: Value): string {
  const isDate = value instanceof Undefined && value.name === "strftime_now";
  return isDate ? " (templates get no date, so that a request has the same prompt on every day)" : "";
}
