/**
 * The values of chat templates, with Python's rules for truth, equality, membership, arithmetic, indexing by code
 * point, printing and JSON. Templates are tested in Python, and any difference in these rules changes prompts.
 */

import { keyText, mappingOfMessage } from "./mapping-keys.js";
import { floatText } from "./number-text.js";
import type { RenderBudget } from "./render-budget.js";
import {
  SafeText,
  SourcedText,
  type Text,
  characters,
  concat,
  cut,
  escaped,
  isText,
  join,
  numCharacters,
  plain,
  positionOf,
  repeat,
  sameKind,
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
  | View
  | NativeObject
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
  /** @param names the names of the items, of a tuple whose items have names */
  constructor(
    readonly items: readonly Value[],
    readonly names: readonly string[] = [],
  ) {}
}

/** A namespace, whose attributes a template can assign. */
export class Namespace {
  constructor(readonly attributes: Map<string, Value>) {}
}

/** A Python generator: always true, without a length, computed while it is iterated, and empty after that. */
export class Lazy {
  readonly #items: Iterator<Value>;

  constructor(items: Iterable<Value>) {
    this.#items = items[Symbol.iterator]();
  }

  /** Computes the next item; undefined at the end. */
  next(): Value | undefined {
    const { done, value } = this.#items.next();
    return done === true ? undefined : value;
  }
}

/** The keys, values or entries of a mapping: iterable, with a length, without indexes. */
export class View {
  constructor(
    readonly type: "dict_keys" | "dict_values" | "dict_items",
    readonly items: readonly Value[],
  ) {}
}

export class Range extends Tuple {
  /** @param items the numbers from `start` to before `stop` */
  constructor(
    readonly start: number,
    readonly stop: number,
    readonly step: number,
    override readonly items: readonly number[],
  ) {
    super(items);
  }
}

/** An object of Jinja, such as `loop`. */
export class NativeObject {
  /**
   * @param type its name for error messages
   * @param attribute returns an attribute; undefined if there is none
   * @param call what a call of the object returns; null if it is not a function
   */
  constructor(
    readonly type: string,
    readonly attribute: (name: string) => Value | undefined,
    readonly call: Callable | null = null,
  ) {}
}

/**
 * Converts JSON values, which may contain texts of messages, to template values; undefined fields are dropped. The keys
 * of a Map are text of a message, those of an object are not.
 *
 * @throws RangeError for an integer that may not be exact, or a long key
 */
export function toValue(json: unknown): Value {
  if (json === null || typeof json === "boolean" || isText(json)) return json;
  if (typeof json === "number") return Number.isInteger(json) ? wholeResult(json) : new Float(json);
  if (Array.isArray(json)) return json.map(toValue);
  if (json instanceof Map)
    return mappingOfMessage(Array.from(json as Map<string, unknown>, ([key, value]) => [key, toValue(value)] as const));
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
  if (value instanceof View) return value.items;
  if (value instanceof Lazy) {
    const items: Value[] = [];
    budget.enter();
    for (let item = value.next(); item !== undefined; item = value.next()) {
      budget.allocateItems(1);
      items.push(item);
    }
    budget.leave();
    return items;
  }
  if (value instanceof Map) {
    budget.allocateItems(value.size);
    return Array.from(value.keys(), (key) => keyText(value, key));
  }
  if (value instanceof Undefined) return [];
  if (isText(value)) return characters(value, budget);
  throw new TypeError(`${typeName(value)} is not iterable`);
}

export function lengthOf(value: Value, budget: RenderBudget): number {
  if (isText(value)) return numCharacters(value, budget);
  if (value instanceof Lazy) throw new TypeError(`${typeName(value)} has no length`);
  return iterate(value, budget).length;
}

export function isTrue(value: Value): boolean {
  if (value instanceof Float) return value.value !== 0;
  if (isText(value)) return plain(value) !== "";
  if (Array.isArray(value)) return value.length > 0;
  if (value instanceof Tuple || value instanceof View) return value.items.length > 0;
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
  if (a instanceof Tuple)
    return b instanceof Tuple && a instanceof Range === b instanceof Range && areEqual(a.items, b.items, budget);
  if (a instanceof Map) {
    if (!(b instanceof Map) || a.size !== b.size) return false;
    return budget.nested(() => {
      for (const [key, value] of a) {
        budget.spend(typeof key === "string" ? key.length / 16 : 0);
        if (!b.has(key) || !isEqual(value, b.get(key)!, budget)) return false;
      }
      return true;
    });
  }
  if (a instanceof View && b instanceof View) throw new TypeError("views of mappings cannot be compared");
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
  if (container instanceof Map) {
    const key = keyFor(item, budget);
    return key !== undefined && container.has(key);
  }
  if (!(container instanceof Lazy)) return iterate(container, budget).some((each) => isEqual(each, item, budget));
  return budget.nested(() => {
    for (let each = container.next(); each !== undefined; each = container.next())
      if (isEqual(each, item, budget)) return true;
    return false;
  });
}

/** Returns the key of a mapping that equals a value; undefined if no key can. @throws TypeError for a list or mapping */
export function keyFor(value: Value, budget: RenderBudget): string | number | undefined {
  if (Array.isArray(value) || value instanceof Map || value instanceof View)
    throw new TypeError(`${typeName(value)} cannot be a key`);
  if (!isText(value)) return numberOf(value) ?? undefined;
  budget.spend(1 + plain(value).length / 16);
  return plain(value);
}

/** @returns a number below, equal to or above 0; numbers compare by value, texts by code points, lists item by item */
export function compare(a: Value, b: Value, budget: RenderBudget): number {
  budget.spend();
  const [left, right] = [numberOf(a), numberOf(b)];
  if (left !== null && right !== null) return left === right ? 0 : left - right;
  if (Array.isArray(a) && Array.isArray(b)) return compareItems(a, b, budget);
  if (isTuple(a) && isTuple(b)) return compareItems(a.items, b.items, budget);
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

/** Ranges are kept like tuples, but are none. */
export const isTuple = (value: Value): value is Tuple => value instanceof Tuple && !(value instanceof Range);

function compareItems(a: readonly Value[], b: readonly Value[], budget: RenderBudget): number {
  const length = Math.min(a.length, b.length);
  return budget.nested(() => {
    for (let i = 0; i < length; i++) if (!isEqual(a[i]!, b[i]!, budget)) return compare(a[i]!, b[i]!, budget);
    return a.length - b.length;
  });
}

export function calculate(operator: string, a: Value, b: Value, budget: RenderBudget): Value {
  const [left, right] = [numberOf(a), numberOf(b)];
  if (left !== null && right !== null) {
    const isFloat = a instanceof Float || b instanceof Float;
    if (operator === "**") return power(left, right, isFloat);
    const result = calculateNumber(operator, left, right);
    return isFloat || operator === "/" ? new Float(result) : wholeResult(result);
  }
  if (operator === "+") {
    if (isText(a) && isText(b)) {
      const isSafe = a instanceof SafeText || b instanceof SafeText;
      return isSafe ? SafeText.of(concat([escaped(a, budget), escaped(b, budget)], budget)) : concat([a, b], budget);
    }
    if (Array.isArray(a) && Array.isArray(b)) return joined(a, b, budget);
    if (isTuple(a) && isTuple(b)) return new Tuple(joined(a.items, b.items, budget));
  }
  if (operator === "*") {
    const product = repeated(a, b, budget) ?? repeated(b, a, budget);
    if (product !== null) return product;
  }
  throw new TypeError(`${typeName(a)} ${operator} ${typeName(b)} is not supported`);
}

/** Returns a text, list or tuple `count` times; null for values that cannot be repeated. */
function repeated(value: Value, count: Value, budget: RenderBudget): Value | null {
  if (typeof count !== "number" && typeof count !== "boolean") return null;
  if (isText(value)) return sameKind(value, repeat(value, Number(count), budget));
  const items = Array.isArray(value) ? value : isTuple(value) ? value.items : null;
  if (items === null) return null;
  const times = items.length === 0 ? 0 : Math.max(0, Number(count));
  budget.allocateItems(items.length * times);
  const copies = Array.from({ length: times }, () => items).flat(1);
  return Array.isArray(value) ? copies : new Tuple(copies);
}

/** Multiplies exactly, because the last bit of a language's own power differs between machines. */
function power(base: number, exponent: number, isFloat: boolean): Value {
  if (isFloat) throw new TypeError("a power of floats is not supported");
  if (base === 0 && exponent < 0) throw new RangeError("zero to a negative power");
  let size = 1;
  let factor = base;
  for (let rest = Math.abs(exponent); rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) size = wholeResult(size * factor);
    if (rest > 1) factor = wholeResult(factor * factor);
  }
  return exponent < 0 ? new Float(1 / size) : size;
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
      return flooredQuotient(a, b);
    case "%":
      return remainder(a, b);
    default:
      throw new SyntaxError(`the operator ${operator} is not supported`);
  }
}

/** Rounds down; a quotient of zero has the sign of the exact one. */
function flooredQuotient(a: number, b: number): number {
  const quotient = Math.round((a - remainder(a, b)) / b);
  return quotient === 0 ? 0 * (a / b) : quotient;
}

/** Returns the exact remainder, which has the sign of the divisor. */
function remainder(a: number, b: number): number {
  const rest = a % b;
  if (rest === 0) return b < 0 ? -0 : 0;
  return rest < 0 !== b < 0 ? rest + b : rest;
}

/** Returns one element, with Python's negative indexes; undefined if there is no such element. */
export function elementAt(value: Value, index: number, budget: RenderBudget): Value | undefined {
  if (isText(value)) {
    const place = index < 0 ? index + numCharacters(value, budget) : index;
    const start = place < 0 ? plain(value).length : positionOf(value, place, budget);
    if (start === plain(value).length) return undefined;
    return cut(value, start, start + (plain(value).codePointAt(start)! > 0xffff ? 2 : 1));
  }
  return Array.isArray(value) || value instanceof Tuple ? iterate(value, budget).at(index) : undefined;
}

/** Returns the element for a key, index or attribute, which `object[key]` prefers to a method. */
export function elementOf(object: Value, key: Value, budget: RenderBudget): Value | undefined {
  if (object instanceof Map) {
    const found = keyFor(key, budget);
    return found === undefined ? undefined : object.get(found);
  }
  if (typeof key === "number" || typeof key === "boolean") return elementAt(object, Number(key), budget);
  if (!isText(key)) return undefined;
  budget.spend(1 + plain(key).length / 16);
  if (typeof object === "function" && MACRO_ATTRIBUTES.has(plain(key)))
    throw new TypeError(`the attribute ${plain(key)} of a function is not supported`);
  return attributeOf(object, plain(key));
}

/** Attributes of Jinja's macros. */
const MACRO_ATTRIBUTES: ReadonlySet<string> = new Set(
  "arguments caller catch_kwargs catch_varargs explicit_caller name".split(" "),
);

function attributeOf(object: Value, name: string): Value | undefined {
  if (object instanceof Namespace) return object.attributes.get(name);
  if (object instanceof NativeObject) return object.attribute(name);
  return object instanceof Tuple ? object.items[object.names.indexOf(name)] : undefined;
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
  const items = isText(value) && step === 1 ? null : iterate(value, budget);
  const length = items === null ? lengthOf(value, budget) : items.length;
  const isForward = step > 0;
  const place = (given: number | null, absent: number): number => {
    if (given === null) return absent;
    return Math.min(Math.max(given < 0 ? given + length : given, isForward ? 0 : -1), isForward ? length : length - 1);
  };
  const [first, end] = [place(start, isForward ? 0 : length - 1), place(stop, isForward ? length : -1)];
  if (isText(value) && items === null)
    return cut(value, positionOf(value, first, budget), positionOf(value, Math.max(first, end), budget));
  const kept: Value[] = [];
  budget.allocateItems(items!.length);
  for (let i = first; isForward ? i < end : i > end; i += step) kept.push(items![i]!);
  if (isText(value)) return sameKind(value, concat(kept as Text[], budget));
  if (value instanceof Range) {
    const numberAt = (index: number): number => value.start + index * value.step;
    return new Range(numberAt(first), numberAt(end), value.step * step, kept as number[]);
  }
  return value instanceof Tuple ? new Tuple(kept) : kept;
}

/** Converts a value to text like Python's `str`. */
export function toText(value: Value, budget: RenderBudget): Text {
  if (isText(value)) return value;
  return value instanceof Undefined ? "" : representation(value, budget);
}

/** Converts a value to text like Python's `repr`. */
export function representation(value: Value, budget: RenderBudget): Text {
  budget.spend();
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return String(value);
  if (value instanceof SourcedText) {
    const text = SourcedText.ofMessage(quoted(value.text, budget));
    return value instanceof SafeText ? concat(["Markup(", text, ")"], budget) : text;
  }
  if (typeof value === "string") return quoted(value, budget);
  if (value instanceof Float) return floatText(value.value);
  if (value instanceof Undefined) return "Undefined";
  if (Array.isArray(value)) return concat(["[", listed(value, budget), "]"], budget);
  if (value instanceof Range) return `range(${value.start}, ${value.stop}${value.step === 1 ? "" : `, ${value.step}`})`;
  if (value instanceof View) return concat([`${value.type}([`, listed(value.items, budget), "])"], budget);
  if (value instanceof Tuple)
    return concat(["(", listed(value.items, budget), value.items.length === 1 ? ",)" : ")"], budget);
  if (value instanceof Map) {
    const entries = budget.nested(() =>
      Array.from(value, ([key, each]) =>
        concat([representation(keyText(value, key), budget), ": ", representation(each, budget)], budget),
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

const jsonKey = (key: Text | number): Text => (typeof key === "number" ? String(key) : key);

export interface JsonLayout {
  /** What each level is indented by; null for JSON on one line. */
  readonly indent: Text | null;
  readonly separators: readonly [comma: Text, colon: Text];
  readonly ensureAscii: boolean;
  readonly sortKeys: boolean;
}

/** Converts a value to JSON like Python's `json.dumps`. */
export function toJson(value: Value, layout: JsonLayout, budget: RenderBudget, depth = 0): Text {
  budget.spend();
  if (value === null || typeof value === "boolean") return String(value);
  if (value instanceof Float && !Number.isFinite(value.value))
    return Number.isNaN(value.value) ? "NaN" : value.value < 0 ? "-Infinity" : "Infinity";
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
  if (!isMap && !Array.isArray(value) && !isTuple(value))
    throw new TypeError(`${typeName(value)} cannot be converted to JSON`);
  const [comma, colon] = layout.separators;
  const entries = isMap ? [...value] : [];
  if (layout.sortKeys) entries.sort(([a], [b]) => compare(a, b, budget));
  const items = budget.nested(() =>
    isMap
      ? entries.map(([key, each]) =>
          concat(
            [toJson(jsonKey(keyText(value, key)), layout, budget), colon, toJson(each, layout, budget, depth + 1)],
            budget,
          ),
        )
      : iterate(value, budget).map((each) => toJson(each, layout, budget, depth + 1)),
  );
  const [open, close] = isMap ? ["{", "}"] : ["[", "]"];
  if (layout.indent === null || items.length === 0) return concat([open!, join(items, comma, budget), close!], budget);
  const line = (level: number): Text => concat(["\n", repeat(layout.indent!, level, budget)], budget);
  const between = concat([comma, line(depth + 1)], budget);
  return concat([open!, line(depth + 1), join(items, between, budget), line(depth), close!], budget);
}

/** Returns the name of a value's type for error messages. */
export function typeName(value: Value): string {
  if (value === null) return "none";
  if (value instanceof Undefined) return `${value.name}, which is not defined,`;
  if (value instanceof Float) return "a float";
  if (value instanceof Range) return "a range";
  if (value instanceof Tuple) return "a tuple";
  if (value instanceof View) return "a view of a mapping";
  if (value instanceof NativeObject) return value.type;
  if (value instanceof Namespace) return "a namespace";
  if (value instanceof Lazy) return "a generator";
  if (value instanceof Map) return "a mapping";
  if (isText(value)) return "a string";
  if (Array.isArray(value)) return "a list";
  return { boolean: "a boolean", number: "an integer", function: "a function" }[typeof value as "boolean"];
}
