/**
 * An interpreter for Jinja chat templates. The environment matches Hugging Face's `apply_chat_template`. Prompts depend
 * on Python's rules, such as the scope of `set` in a loop, equality with none, and the length of strings, so they are
 * followed here. Unsupported features are refused by name.
 */

import { Canceled } from "../budget.js";
import { EngineError } from "../errors.js";
import type { JsonObject } from "../json.js";
import { LIMITS } from "../limits.js";
import { builtin, integerOf, mappingOf, textOf as textIn } from "./arguments.js";
import { methodOf } from "./collection-methods.js";
import { dateText } from "./date-text.js";
import { applyFilter, applyTest } from "./jinja-filters.js";
import { parse } from "./jinja-parser.js";
import type {
  Arguments,
  Expression,
  FilterCall,
  ForStatement,
  MacroDefinition,
  Statement,
  Target,
} from "./jinja-syntax.js";
import {
  type Call,
  type Callable,
  Float,
  Namespace,
  NativeObject,
  Range,
  Tuple,
  Undefined,
  type Value,
  calculate,
  compare,
  contains,
  elementOf,
  isEqual,
  isTrue,
  iterate,
  keyFor,
  numberOf,
  orUndefined,
  slice,
  toText,
  toValue,
  typeName,
  wholeResult,
} from "./jinja-values.js";
import { addEntries, keyText, setEntry } from "./mapping-keys.js";
import { RenderBudget } from "./render-budget.js";
import { type Text, concat, isText, plain } from "./sourced-text.js";
import { formattedByPercent } from "./text-format.js";

export class JinjaTemplate {
  readonly #program: readonly Statement[];

  /** @throws SyntaxError if the template cannot be parsed */
  constructor(source: string) {
    if (source.length > LIMITS.maxTemplateCharacters)
      throw new SyntaxError(
        `it has ${source.length} characters; at most ${LIMITS.maxTemplateCharacters} are supported`,
      );
    try {
      this.#program = parse(source.replace(/\r\n?/g, "\n"));
    } catch (error) {
      throw new SyntaxError(oneLine((error as Error).message), { cause: error });
    }
  }

  /**
   * Renders the template.
   *
   * @param variables JSON values; texts of messages are `SourcedText`
   * @param date what `strftime_now` writes, such as 2026-11-30
   * @throws EngineError template_error with the template's own message, or with the reason why it failed; Canceled
   */
  render(variables: JsonObject, budget = RenderBudget.forMessages(0), date = SAMPLE_DATE): Text {
    const globals = new Scope(null, budget);
    for (const [name, value] of GLOBALS) globals.variables.set(name, value);
    globals.variables.set("strftime_now", strftimeOn(date));
    const scope = globals.inner();
    try {
      for (const [name, value] of Object.entries(variables))
        if (value !== undefined) scope.variables.set(name, toValue(value));
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

/** Date of renderings that only show how a template works. */
export const SAMPLE_DATE = "2000-01-01";

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

/** Thrown when a template calls `raise_exception`. */
class TemplateRefusal extends Error {}

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
    const value = this.variables.get(name);
    if (value !== undefined) return value;
    this.budget.spend(STEPS_PER_SCOPE);
    return this.parent === null ? new Undefined(name) : this.parent.find(name);
  }
}

/** To search a name in the variables of a scope takes about 25 nanoseconds. */
const STEPS_PER_SCOPE = 0.25;

const MAX_RANGE = 100_000;

const GLOBALS: ReadonlyMap<string, Callable> = new Map<string, Callable>([
  [
    "raise_exception",
    globalFunction("raise_exception", "message", ([message], budget) => {
      throw new TemplateRefusal(plain(toText(message!, budget)));
    }),
  ],
  ["range", globalFunction("range", "start, stop?, step?, /", rangeOf)],
  ["dict", (call) => namedEntries(call, "dict()")],
  ["namespace", (call) => new Namespace(namedEntries(call, "namespace()") as Map<string, Value>)],
  ["cycler", ({ args }) => cycler(args)],
  [
    "joiner",
    globalFunction("joiner", "sep?", ([separator = ", "]) => {
      let isFirst = true;
      return () => {
        const text = isFirst ? "" : separator;
        isFirst = false;
        return text;
      };
    }),
  ],
]);

function globalFunction(
  name: string,
  signature: string,
  run: (args: readonly (Value | undefined)[], budget: RenderBudget) => Value,
): Callable {
  const bind = builtin<null>(signature, (_, args, budget) => run(args, budget));
  return (call) => bind(null, call, `${name}()`);
}

const strftimeOn = (date: string): Callable =>
  globalFunction("strftime_now", "format", ([format], budget) =>
    dateText(date, textIn(format, "the format of a date"), budget),
  );

function rangeOf([first, second, third]: readonly (Value | undefined)[], budget: RenderBudget): Range {
  const whole = (value: Value | undefined, absent: number): number =>
    integerOf(value, absent, "an argument of range()");
  const [start, stop] = second === undefined ? [0, whole(first, 0)] : [whole(first, 0), whole(second, 0)];
  const step = whole(third, 1);
  if (step === 0) throw new RangeError("range() with a step of zero");
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (length > MAX_RANGE) throw new RangeError(`range() of more than ${MAX_RANGE} numbers`);
  budget.allocateItems(length);
  return new Range(
    start,
    stop,
    step,
    Array.from({ length }, (_, index) => start + index * step),
  );
}

/** Returns the entries of `dict(…)`: of a mapping or of pairs, and of the named arguments. */
function namedEntries({ args, named, budget }: Call, what: string): Map<string | number, Value> {
  if (args.length > 1) throw new TypeError(`${what} takes at most 1 argument, not ${args.length}`);
  const given = args[0] === undefined ? new Map<string, Value>() : args[0];
  const pairs = given instanceof Map ? given : pairsOf(given, budget);
  budget.allocateItems(4 * (pairs.size + named.size));
  const entries = new Map<string | number, Value>();
  addEntries(entries, pairs);
  addEntries(entries, named);
  return entries;
}

function pairsOf(value: Value, budget: RenderBudget): Map<string | number, Value> {
  if (!Array.isArray(value) && !(value instanceof Tuple)) return mappingOf(value);
  const pairs = new Map<string | number, Value>();
  for (const pair of iterate(value, budget)) {
    const items = iterate(pair, budget);
    if (items.length !== 2) throw new RangeError(`${items.length} values for a key and its value`);
    setEntry(pairs, keyOf(items[0]!, budget), items[0]!, items[1]!);
  }
  return pairs;
}

function cycler(items: readonly Value[]): NativeObject {
  if (items.length === 0) throw new TypeError("cycler() needs a value");
  let index = 0;
  const next: Callable = () => {
    const item = items[index]!;
    index = (index + 1) % items.length;
    return item;
  };
  const reset: Callable = () => {
    index = 0;
    return null;
  };
  return new NativeObject("a cycler", (name) => {
    if (name === "current") return items[index]!;
    return name === "next" ? next : name === "reset" ? reset : undefined;
  });
}

/** The way a block ended. */
type Ending = "done" | "break" | "continue";

function execute(statements: readonly Statement[], scope: Scope, output: Text[]): Ending {
  for (const statement of statements) {
    const ending = executeOne(statement, scope, output);
    if (ending !== "done") return ending;
  }
  return "done";
}

function executeOne(statement: Statement, scope: Scope, output: Text[]): Ending {
  const { budget } = scope;
  budget.spend();
  switch (statement.type) {
    case "text":
      output.push(statement.text);
      return "done";
    case "output":
      output.push(toText(evaluate(statement.value, scope), budget));
      return "done";
    case "if": {
      const branch = statement.branches.find(({ test }) => isTrue(evaluate(test, scope)));
      return budget.nested(() => execute(branch?.body ?? statement.otherwise, scope, output));
    }
    case "for":
      return budget.nested(() => executeFor(statement, evaluate(statement.items, scope), 0, scope, output));
    case "break":
    case "continue":
      return statement.type;
    case "set":
      assign(statement.target, evaluate(statement.value, scope), scope);
      return "done";
    case "setBlock":
      assign(statement.target, filteredBody(statement.body, statement.filters, scope), scope);
      return "done";
    case "macro":
      scope.variables.set(statement.macro.name, macro(statement.macro, scope));
      return "done";
    case "call": {
      const { call, caller } = statement;
      const { args, named } = evaluateCall(call.args, scope);
      const withCaller = new Map<string, Value>();
      addEntries(withCaller, named);
      withCaller.set("caller", macro(caller, scope));
      output.push(toText(invoke(call.callee, { args, named: withCaller, budget }, scope), budget));
      return "done";
    }
    case "filter":
      output.push(toText(filteredBody(statement.body, statement.filters, scope), budget));
      return "done";
    case "with": {
      const inner = scope.inner();
      const values = statement.variables.map(({ value }) => evaluate(value, scope));
      statement.variables.forEach(({ target }, index) => assign(target, values[index]!, inner));
      return budget.nested(() => execute(statement.body, inner, output));
    }
  }
}

/** Renders a body in a scope of its own and applies filters to its text. */
function filteredBody(body: readonly Statement[], filters: readonly FilterCall[], scope: Scope): Value {
  return filters.reduce<Value>((value, filter) => filtered(filter, value, scope), textOf(body, scope.inner()));
}

function textOf(body: readonly Statement[], scope: Scope): Text {
  const output: Text[] = [];
  const ending = scope.budget.nested(() => execute(body, scope, output));
  if (ending !== "done") throw new SyntaxError(`a ${ending} outside a loop`);
  return concat(output, scope.budget);
}

/**
 * As in Jinja, `else` runs if no iteration reached the end of the body, because of no items, a break or a continue.
 *
 * @param depth of a recursive loop, from 0
 */
function executeFor(statement: ForStatement, value: Value, depth: number, scope: Scope, output: Text[]): Ending {
  const { target, test, body } = statement;
  const { budget } = scope;
  const turn = (item: Value): Scope => {
    budget.spend(STEPS_PER_TURN);
    const inner = scope.inner();
    assign(target, item, inner);
    return inner;
  };
  const all = iterate(value, budget);
  const items = test === null ? all : all.filter((item) => isTrue(evaluate(test, turn(item))));
  const recurse: Callable | null = statement.isRecursive
    ? ({ args, budget }) => {
        const inner: Text[] = [];
        budget.nested(() => executeFor(statement, args[0] ?? null, depth + 1, scope, inner));
        return concat(inner, budget);
      }
    : null;
  const changes = new Changes();
  let isAnyWhole = false;
  for (const [index, item] of items.entries()) {
    const inner = turn(item);
    inner.variables.set("loop", loopState(items, index, depth, changes, recurse));
    const ending = execute(body, inner, output);
    if (ending === "break") break;
    isAnyWhole ||= ending === "done";
  }
  return isAnyWhole ? "done" : execute(statement.otherwise, scope.inner(), output);
}

/** The variables of a turn take about a microsecond. */
const STEPS_PER_TURN = 10;

/** The values with which `loop.changed` was called last. */
class Changes {
  #last: readonly Value[] | null = null;

  isChange(values: readonly Value[], budget: RenderBudget): boolean {
    const isSame = this.#last !== null && isEqual(new Tuple(this.#last), new Tuple(values), budget);
    this.#last = values;
    return !isSame;
  }
}

function loopState(
  items: readonly Value[],
  index: number,
  depth: number,
  changes: Changes,
  recurse: Callable | null,
): NativeObject {
  const { length } = items;
  const attribute = (name: string): Value | undefined => {
    switch (name) {
      case "index":
        return index + 1;
      case "index0":
        return index;
      case "revindex":
        return length - index;
      case "revindex0":
        return length - index - 1;
      case "first":
        return index === 0;
      case "last":
        return index === length - 1;
      case "length":
        return length;
      case "depth":
        return depth + 1;
      case "depth0":
        return depth;
      case "previtem":
        return orUndefined(items[index - 1], "loop.previtem");
      case "nextitem":
        return orUndefined(items[index + 1], "loop.nextitem");
      case "cycle":
        return ({ args }) => {
          if (args.length === 0) throw new TypeError("cycle() needs a value");
          return args[index % args.length]!;
        };
      case "changed":
        return ({ args, budget }) => changes.isChange(args, budget);
      default:
        return undefined;
    }
  };
  return new NativeObject("a loop", attribute, recurse);
}

function assign(target: Target, value: Value, scope: Scope): void {
  if (target.type === "name") {
    scope.variables.set(target.name, value);
  } else if (target.type === "targets") {
    const items = iterate(value, scope.budget);
    scope.budget.spend(target.targets.length);
    if (items.length !== target.targets.length)
      throw new RangeError(`${items.length} values for ${target.targets.length} names`);
    target.targets.forEach((each, index) => assign(each, items[index]!, scope));
  } else {
    const object = scope.find(target.object);
    if (!(object instanceof Namespace))
      throw new TypeError(`${target.object}.${target.attribute} cannot be assigned to`);
    object.attributes.set(target.attribute, value);
  }
}

/** Returns a function that renders a macro, or the body of a call block. */
function macro({ name, parameters, body, reads }: MacroDefinition, scope: Scope): Callable {
  return ({ args, named }) => {
    const inner = scope.inner();
    scope.budget.spend(parameters.length + named.size);
    const rest = new Map<string, Value>();
    addEntries(rest, named);
    parameters.forEach((parameter, index) => {
      const isPositional = index < args.length;
      const given = isPositional ? args[index] : rest.get(parameter.name);
      if (!isPositional) rest.delete(parameter.name);
      const absent = (): Value =>
        parameter.absent === null ? new Undefined(parameter.name) : evaluate(parameter.absent, inner);
      inner.variables.set(parameter.name, given === undefined ? absent() : given);
    });
    if (reads.has("caller")) {
      inner.variables.set("caller", orUndefined(rest.get("caller"), "caller"));
      rest.delete("caller");
    }
    const [unknown] = rest.keys();
    if (reads.has("kwargs")) inner.variables.set("kwargs", rest);
    else if (unknown !== undefined) throw new TypeError(`the macro ${name} has no argument ${unknown}`);
    if (reads.has("varargs")) inner.variables.set("varargs", new Tuple(args.slice(parameters.length)));
    else if (args.length > parameters.length)
      throw new TypeError(`the macro ${name} takes at most ${parameters.length} arguments, not ${args.length}`);
    return textOf(body, inner);
  };
}

function evaluate(expression: Expression, scope: Scope): Value {
  const { budget } = scope;
  budget.spend();
  budget.enter();
  const value = evaluateOne(expression, scope);
  budget.leave();
  return value;
}

function evaluateOne(expression: Expression, scope: Scope): Value {
  const { budget } = scope;
  switch (expression.type) {
    case "constant":
      return typeof expression.value === "number" ? wholeResult(expression.value) : expression.value;
    case "name":
      return scope.find(expression.name);
    case "list":
      return expression.items.map((item) => evaluate(item, scope));
    case "tuple":
      return new Tuple(expression.items.map((item) => evaluate(item, scope)));
    case "mapping": {
      const mapping = new Map<string | number, Value>();
      for (const [key, value] of expression.entries) {
        const given = evaluate(key, scope);
        setEntry(mapping, keyOf(given, budget), given, evaluate(value, scope));
      }
      return mapping;
    }
    case "attribute": {
      const object = definedObject(expression.object, scope);
      const { name } = expression;
      return methodOf(object, name) ?? found(elementOf(object, name, budget), expression);
    }
    case "element": {
      const object = definedObject(expression.object, scope);
      const key = evaluate(expression.key, scope);
      const element = elementOf(object, key, budget);
      if (element !== undefined || !isText(key)) return found(element, expression);
      return found(methodOf(object, plain(key)), expression);
    }
    case "slice": {
      const object = definedObject(expression.object, scope);
      const [start, stop, step] = [expression.start, expression.stop, expression.step].map((part) =>
        part === null ? null : sliceIndex(evaluate(part, scope)),
      );
      return slice(object, start ?? null, stop ?? null, step ?? 1, budget);
    }
    case "call":
      return invoke(expression.callee, evaluateCall(expression.args, scope), scope);
    case "filter":
      return filtered(expression.filter, evaluate(expression.operand, scope), scope);
    case "test": {
      const value = evaluate(expression.operand, scope);
      return applyTest(expression.name, value, evaluateCall(expression.args, scope)) !== expression.isNegated;
    }
    case "unary":
      return evaluateUnary(expression.operator, evaluate(expression.operand, scope));
    case "binary": {
      const left = evaluate(expression.left, scope);
      const right = evaluate(expression.right, scope);
      return expression.operator === "%" && isText(left)
        ? formattedByPercent(left, right, budget)
        : calculate(expression.operator, left, right, budget);
    }
    case "and": {
      const left = evaluate(expression.left, scope);
      return isTrue(left) ? evaluate(expression.right, scope) : left;
    }
    case "or": {
      const left = evaluate(expression.left, scope);
      return isTrue(left) ? left : evaluate(expression.right, scope);
    }
    case "concat":
      return concat(
        expression.parts.map((part) => toText(evaluate(part, scope), budget)),
        budget,
      );
    case "compare": {
      let left = evaluate(expression.first, scope);
      return expression.rest.every(({ operator, operand }) => {
        const right = evaluate(operand, scope);
        const holds = compares(operator, left, right, budget);
        left = right;
        return holds;
      });
    }
    case "condition": {
      const { test, value, otherwise } = expression;
      if (isTrue(evaluate(test, scope))) return evaluate(value, scope);
      return otherwise === null ? new Undefined("an if without else") : evaluate(otherwise, scope);
    }
  }
}

/** Returns an element or attribute, or an `Undefined` that is named by its expression. */
const found = (value: Value | undefined, expression: Expression): Value =>
  value === undefined ? new Undefined(describe(expression)) : value;

function definedObject(expression: Expression, scope: Scope): Value {
  const object = evaluate(expression, scope);
  if (object instanceof Undefined) throw new TypeError(`${describe(expression)} is not defined`);
  return object;
}

function keyOf(value: Value, budget: RenderBudget): string | number {
  const key = isText(value) || typeof value === "number" ? keyFor(value, budget) : undefined;
  if (key === undefined) throw new TypeError(`${typeName(value)} as a key is not supported`);
  return key;
}

const sliceIndex = (value: Value): number | null => (value === null ? null : integerOf(value, 0, "a slice index"));

function evaluateCall({ positional, named, rest, namedRest }: Arguments, scope: Scope): Call {
  const { budget } = scope;
  const args = positional.map((each) => evaluate(each, scope));
  if (rest !== null) {
    const more = iterate(evaluate(rest, scope), budget);
    budget.allocateItems(more.length);
    for (const each of more) args.push(each);
  }
  const values = new Map<string, Value>();
  const add = (name: string, given: Value, value: Value): void => {
    if (values.has(name)) throw new TypeError(`the argument ${name} is given twice`);
    setEntry(values, name, given, value);
  };
  for (const [name, value] of named) add(name, name, evaluate(value, scope));
  if (namedRest !== null) {
    const more = mappingOf(evaluate(namedRest, scope));
    budget.allocateItems(4 * more.size);
    for (const [name, value] of more) {
      if (typeof name !== "string") throw new TypeError("the name of an argument must be a string");
      add(name, keyText(more, name), value);
    }
  }
  return { args, named: values, budget };
}

function invoke(callee: Expression, call: Call, scope: Scope): Value {
  const value = evaluate(callee, scope);
  const callable = value instanceof NativeObject ? value.call : value;
  if (typeof callable === "function") return callable(call);
  throw new TypeError(`${describe(callee)}() is not a supported function`);
}

function filtered({ name, args }: FilterCall, value: Value, scope: Scope): Value {
  return applyFilter(name, value, evaluateCall(args, scope));
}

function evaluateUnary(operator: "not" | "-" | "+", value: Value): Value {
  if (operator === "not") return !isTrue(value);
  const number = numberOf(value);
  if (number === null) throw new TypeError(`${operator} of ${typeName(value)} is not supported`);
  const result = operator === "-" ? -number : number;
  return value instanceof Float ? new Float(result) : result + 0;
}

function compares(operator: string, left: Value, right: Value, budget: RenderBudget): boolean {
  switch (operator) {
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
    default:
      return compare(left, right, budget) >= 0;
  }
}

/** Returns the source of an expression for an error message, possibly shortened. */
function describe(expression: Expression): string {
  if (expression.type === "name") return expression.name;
  if (expression.type === "attribute") return `${describe(expression.object)}.${expression.name}`;
  if (expression.type !== "element") return "a value";
  const { object, key } = expression;
  const value = key.type === "constant" && !(key.value instanceof Float) ? key.value : undefined;
  const shown = typeof value === "string" ? value.slice(0, MAX_MESSAGE_LENGTH) : value;
  return `${describe(object)}[${shown === undefined ? "…" : JSON.stringify(shown)}]`;
}
