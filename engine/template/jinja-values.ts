/**
 * The values of chat templates, with Python's rules for truth, equality, membership, arithmetic, indexing by code
 * point, printing and JSON. Templates are tested in Python, and any difference in these rules changes prompts.
 */

import type { RenderBudget } from "./render-budget.js";
import {
  SourcedText,
  type Text,
  characters,
  concat,
  cut,
  isFlat,
  isText,
  join,
  plain,
  repeat,
} from "./sourced-text.js";

export type Value =
  | null
  | boolean
  | number
  | Text
  | Float
  | Undefined
  | Tuple
  | Namespace
  | Lazy
  | Callable
  | Value[]
  | Map<string | number, Value>;

export type Callable = (call: Call) => Value;

export interface Call {
  readonly args: readonly Value[];
  readonly named: ReadonlyMap<string, Value>;
  readonly budget: RenderBudget;
}

/** A float; integers are plain numbers. */
export class Float {
  constructor(readonly value: number) {}
}

/** Value of an unknown name or key. It prints as an empty text; most other uses are errors. */
export class Undefined {
  constructor(readonly name: string) {}
}

/** Maps undefined to `Undefined`; Jinja's `none` stays a value. */
export const orUndefined = (value: Value | undefined, name: string): Value =>
  value === undefined ? new Undefined(name) : value;

export class Tuple {
  constructor(readonly items: readonly Value[]) {}
}

/** A namespace, whose attributes a template can assign; also the type of `loop`. */
export class Namespace {
  constructor(readonly attributes: Map<string, Value>) {}
}

/** A Python generator: always true, without a length, and evaluated only when it is iterated. */
export class Lazy {
  constructor(readonly items: () => readonly Value[]) {}
}

/** Converts JSON values, which may contain texts of messages, to template values; undefined fields are dropped. */
export function toValue(json: unknown): Value {
  if (json === null || typeof json === "boolean" || isText(json)) return json;
  if (typeof json === "number") return Number.isInteger(json) ? json : new Float(json);
  if (Array.isArray(json)) return json.map(toValue);
  return new Map(
    Object.entries(json as object)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [key, toValue(value)]),
  );
}

/** @throws TypeError as in Python, which ends the rendering */
export function iterate(value: Value, budget: RenderBudget): readonly Value[] {
  budget.spend();
  if (Array.isArray(value)) return value;
  if (value instanceof Tuple) return value.items;
  if (value instanceof Lazy) {
    const items = budget.nested(value.items);
    budget.allocateItems(items.length);
    return items;
  }
  if (value instanceof Map) {
    budget.allocateItems(value.size);
    return [...value.keys()];
  }
  if (value instanceof Undefined) return [];
  if (isText(value)) return characters(value, budget);
  throw new TypeError(`${typeName(value)} is not iterable`);
}

export function lengthOf(value: Value, budget: RenderBudget): number {
  if (isText(value)) return isFlat(value, budget) ? plain(value).length : characters(value, budget).length;
  if (value instanceof Lazy) throw new TypeError(`${typeName(value)} has no length`);
  return iterate(value, budget).length;
}

export function isTrue(value: Value): boolean {
  if (value instanceof Float) return value.value !== 0;
  if (isText(value)) return plain(value) !== "";
  if (Array.isArray(value)) return value.length > 0;
  if (value instanceof Tuple) return value.items.length > 0;
  if (value instanceof Map) return value.size > 0;
  return value !== null && value !== false && value !== 0 && !(value instanceof Undefined);
}

export function isEqual(a: Value, b: Value, budget: RenderBudget): boolean {
  budget.spend();
  const number = numberOf(a);
  if (number !== null) return number === numberOf(b);
  if (isText(a)) {
    if (!isText(b) || plain(a).length !== plain(b).length) return false;
    budget.spend(plain(a).length / 16);
    return plain(a) === plain(b);
  }
  if (a instanceof Undefined) return b instanceof Undefined;
  if (Array.isArray(a)) return Array.isArray(b) && areEqual(a, b, budget);
  if (a instanceof Tuple) return b instanceof Tuple && areEqual(a.items, b.items, budget);
  if (a instanceof Map) {
    if (!(b instanceof Map) || a.size !== b.size) return false;
    return budget.nested(() => {
      for (const [key, value] of a) if (!b.has(key) || !isEqual(value, b.get(key)!, budget)) return false;
      return true;
    });
  }
  return a === b;
}

function areEqual(a: readonly Value[], b: readonly Value[], budget: RenderBudget): boolean {
  return a.length === b.length && budget.nested(() => a.every((value, i) => isEqual(value, b[i]!, budget)));
}

/** Returns the number for an integer, float or boolean; null for other values. An integer is never negative zero. */
export function numberOf(value: Value): number | null {
  if (typeof value === "number") return value + 0;
  if (typeof value === "boolean") return Number(value);
  return value instanceof Float ? value.value : null;
}

export function contains(container: Value, item: Value, budget: RenderBudget): boolean {
  if (isText(container)) {
    if (!isText(item)) throw new TypeError(`${typeName(item)} cannot be searched in a string`);
    budget.search(plain(container).length, plain(item).length);
    return plain(container).includes(plain(item));
  }
  return iterate(container, budget).some((each) => isEqual(each, item, budget));
}

/** @returns a number below, equal to or above 0; numbers compare by value, texts by code points */
export function compare(a: Value, b: Value, budget: RenderBudget): number {
  budget.spend();
  const [left, right] = [numberOf(a), numberOf(b)];
  if (left !== null && right !== null) return left - right;
  if (!isText(a) || !isText(b)) throw new TypeError(`${typeName(a)} and ${typeName(b)} cannot be compared`);
  const [first, second] = [plain(a), plain(b)];
  const length = Math.min(first.length, second.length);
  let at = 0;
  while (at < length && first.charCodeAt(at) === second.charCodeAt(at)) at++;
  budget.spend(at / 16);
  if (at === length) return first.length - second.length;
  const isInside = at > 0 && first.codePointAt(at - 1)! > 0xffff && second.codePointAt(at - 1)! > 0xffff;
  const start = isInside ? at - 1 : at;
  return first.codePointAt(start)! - second.codePointAt(start)!;
}

export function calculate(operator: string, a: Value, b: Value, budget: RenderBudget): Value {
  const [left, right] = [numberOf(a), numberOf(b)];
  if (left !== null && right !== null) {
    const isFloat = a instanceof Float || b instanceof Float;
    const result = calculateNumber(operator, left, right);
    return isFloat || operator === "/" ? new Float(result) : wholeResult(result);
  }
  if (operator === "+") {
    if (isText(a) && isText(b)) return concat([a, b], budget);
    if (Array.isArray(a) && Array.isArray(b)) return joined(a, b, budget);
    if (a instanceof Tuple && b instanceof Tuple) return new Tuple(joined(a.items, b.items, budget));
  }
  if (operator === "*" && typeof b === "number") {
    if (isText(a)) return repeat(a, b, budget);
    if (Array.isArray(a)) {
      const count = a.length === 0 ? 0 : Math.max(0, b);
      budget.allocateItems(a.length * count);
      return Array.from({ length: count }, () => a).flat(1);
    }
  }
  throw new TypeError(`${typeName(a)} ${operator} ${typeName(b)} is not supported`);
}

function joined(a: readonly Value[], b: readonly Value[], budget: RenderBudget): Value[] {
  budget.allocateItems(a.length + b.length);
  return [...a, ...b];
}

/** Checks that an integer is exact: Python's integers are unbounded, but a float64 would round. */
export function wholeResult(value: number): number {
  if (!Number.isSafeInteger(value)) throw new RangeError("an integer beyond 2^53 is not supported");
  return value;
}

function calculateNumber(operator: string, a: number, b: number): number {
  if (b === 0 && (operator === "/" || operator === "//" || operator === "%")) throw new RangeError("division by zero");
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "/":
      return a / b;
    case "//":
      return Math.floor(a / b);
    case "%":
      return a - b * Math.floor(a / b);
    default:
      throw new SyntaxError(`the operator ${operator} is not supported`);
  }
}

/** Returns one element, with Python's negative indexes; undefined if there is no such element. */
export function elementAt(value: Value, index: number, budget: RenderBudget): Value | undefined {
  if (value instanceof Map) return value.get(index);
  if (isText(value) && isFlat(value, budget)) {
    const place = index < 0 ? index + plain(value).length : index;
    return place >= 0 && place < plain(value).length ? cut(value, place, place + 1) : undefined;
  }
  return isText(value) || Array.isArray(value) || value instanceof Tuple ? iterate(value, budget).at(index) : undefined;
}

export function slice(
  value: Value,
  start: number | null,
  stop: number | null,
  step: number,
  budget: RenderBudget,
): Value {
  if (!isText(value) && !Array.isArray(value) && !(value instanceof Tuple))
    throw new TypeError(`${typeName(value)} cannot be sliced`);
  if (step === 0) throw new RangeError("the step of a slice is zero");
  const isCut = isText(value) && step === 1 && isFlat(value, budget);
  const items = isCut ? null : iterate(value, budget);
  const length = items === null ? plain(value as Text).length : items.length;
  const isForward = step > 0;
  const place = (given: number | null, absent: number): number => {
    if (given === null) return absent;
    return Math.min(Math.max(given < 0 ? given + length : given, isForward ? 0 : -1), isForward ? length : length - 1);
  };
  const [first, end] = [place(start, isForward ? 0 : length - 1), place(stop, isForward ? length : -1)];
  if (items === null) return cut(value as Text, first, Math.max(first, end));
  const kept: Value[] = [];
  budget.allocateItems(items.length);
  for (let i = first; isForward ? i < end : i > end; i += step) kept.push(items[i]!);
  if (isText(value)) return concat(kept as Text[], budget);
  return value instanceof Tuple ? new Tuple(kept) : kept;
}

/** Converts a value to text like Python's `str`. */
export function toText(value: Value, budget: RenderBudget): Text {
  if (isText(value)) return value;
  return value instanceof Undefined ? "" : representation(value, budget);
}

function representation(value: Value, budget: RenderBudget): Text {
  budget.spend();
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return String(value);
  if (value instanceof SourcedText) return SourcedText.ofMessage(quoted(value.text, budget));
  if (typeof value === "string") return quoted(value, budget);
  if (value instanceof Float) return floatText(value.value);
  if (value instanceof Undefined) return "Undefined";
  if (Array.isArray(value)) return concat(["[", listed(value, budget), "]"], budget);
  if (value instanceof Tuple)
    return concat(["(", listed(value.items, budget), value.items.length === 1 ? ",)" : ")"], budget);
  if (value instanceof Map) {
    const entries = budget.nested(() =>
      Array.from(value, ([key, each]) =>
        concat([representation(key, budget), ": ", representation(each, budget)], budget),
      ),
    );
    return concat(["{", join(entries, ", ", budget), "}"], budget);
  }
  throw new TypeError(`${typeName(value)} cannot be printed`);
}

function listed(items: readonly Value[], budget: RenderBudget): Text {
  const texts = budget.nested(() => items.map((each) => representation(each, budget)));
  return join(texts, ", ", budget);
}

function floatText(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e16 || size < 1e-4)) return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  return Object.is(value, -0) ? "-0.0" : Number.isInteger(value) ? `${value}.0` : String(value);
}

function quoted(text: string, budget: RenderBudget): string {
  budget.allocateItems(text.length);
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const named: Readonly<Record<string, string>> = {
    "\\": "\\\\",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    [quote]: `\\${quote}`,
  };
  const body = [...text].map((character) => {
    if (Object.hasOwn(named, character)) return named[character]!;
    if (character === " " || !/[\p{C}\p{Z}]/u.test(character)) return character;
    const code = character.codePointAt(0)!;
    const [letter, numDigits] = code < 0x100 ? ["x", 2] : code < 0x10000 ? ["u", 4] : ["U", 8];
    return `\\${letter}${code.toString(16).padStart(numDigits as number, "0")}`;
  });
  return quote + body.join("") + quote;
}

export interface JsonLayout {
  readonly indent: number | null;
  readonly separators: readonly [string, string];
  readonly ensureAscii: boolean;
  readonly sortKeys: boolean;
}

/** Converts a value to JSON like Python's `json.dumps`. */
export function toJson(value: Value, layout: JsonLayout, budget: RenderBudget, depth = 0): Text {
  budget.spend();
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "number" || value instanceof Float) return representation(value, budget);
  if (value instanceof SourcedText) return SourcedText.ofMessage(toJson(value.text, layout, budget) as string);
  if (typeof value === "string") {
    budget.allocate(2 * value.length);
    const text = JSON.stringify(value);
    return layout.ensureAscii
      ? text.replace(/[\x7f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
      : text;
  }
  const isMap = value instanceof Map;
  if (!isMap && !Array.isArray(value) && !(value instanceof Tuple))
    throw new TypeError(`${typeName(value)} cannot be converted to JSON`);
  const [comma, colon] = layout.separators;
  const entries = isMap ? [...value] : [];
  if (layout.sortKeys) entries.sort(([a], [b]) => compare(a, b, budget));
  const items = budget.nested(() =>
    isMap
      ? entries.map(([key, each]) =>
          concat([toJson(String(key), layout, budget), colon, toJson(each, layout, budget, depth + 1)], budget),
        )
      : iterate(value, budget).map((each) => toJson(each, layout, budget, depth + 1)),
  );
  const [open, close] = isMap ? ["{", "}"] : ["[", "]"];
  if (layout.indent === null || items.length === 0) return concat([open!, join(items, comma, budget), close!], budget);
  const line = (level: number): Text => concat(["\n", repeat(" ", layout.indent! * level, budget)], budget);
  const between = concat([comma, line(depth + 1)], budget);
  return concat([open!, line(depth + 1), join(items, between, budget), line(depth), close!], budget);
}

/** Returns the name of a value's type for error messages. */
export function typeName(value: Value): string {
  if (value === null) return "none";
  if (value instanceof Undefined) return `${value.name}, which is not defined,`;
  if (value instanceof Float) return "a float";
  if (value instanceof Tuple) return "a tuple";
  if (value instanceof Namespace) return "a namespace";
  if (value instanceof Lazy) return "a generator";
  if (value instanceof Map) return "a mapping";
  if (isText(value)) return "a string";
  if (Array.isArray(value)) return "a list";
  return { boolean: "a boolean", number: "an integer", function: "a function" }[typeof value as "boolean"];
}
