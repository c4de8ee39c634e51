/**
 * Jinja's filters and tests that chat templates can call. Others are refused by name. Texts and lists are counted before
 * they are created, and sorting costs a step for each comparison.
 */

import { type Builtin, builtin, integerOf, mappingOf, plainTextOf, textOf } from "./arguments.js";
import { entriesOf, methodOf } from "./collection-methods.js";
import {
  type Call,
  Float,
  type JsonLayout,
  Lazy,
  Namespace,
  NativeObject,
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
  lengthOf,
  numberOf,
  orUndefined,
  toJson,
  toText,
  typeName,
  wholeResult,
} from "./jinja-values.js";
import { addEntries } from "./mapping-keys.js";
import { roundedTo } from "./number-text.js";
import type { RenderBudget } from "./render-budget.js";
import {
  SafeText,
  type Text,
  characters,
  concat,
  escaped,
  isText,
  cut,
  join,
  plain,
  positionOf,
  repeat,
  rewrite,
  sameKind,
} from "./sourced-text.js";
import { formattedByPercent } from "./text-format.js";
import { capitalize, center, isCased, read, replace, split, splitLines, strip } from "./text-methods.js";
import { SPACE } from "./white-space.js";

/** Applies a filter. @throws SyntaxError for an unsupported filter */
export function applyFilter(name: string, value: Value, call: Call): Value {
  if (!Object.hasOwn(FILTERS, name)) throw new SyntaxError(`the filter ${name} is not supported`);
  call.budget.spend();
  return call.budget.nested(() => FILTERS[name]!(value, call, `the filter ${name}`));
}

const TITLE_WORDS = new RegExp(`[^-${SPACE}({[<]+`, "gu");

const length = builtin<Value>("", (value, _, budget) => lengthOf(value, budget));

const escape = builtin<Value>("", (value, _, budget) => escaped(toText(value, budget), budget));

const byDefault = builtin<Value>("default_value?, boolean?", (value, [absent = "", isForFalse = false]) =>
  value instanceof Undefined || (isTrue(isForFalse) && !isTrue(value)) ? absent : value,
);

const FILTERS: Readonly<Record<string, Builtin<Value>>> = {
  abs: builtin("", (value) => (value instanceof Float ? new Float(Math.abs(value.value)) : Math.abs(numberIn(value)))),
  attr: builtin("name", (value, [name], budget) => {
    checkDefined(value);
    const attribute = read(textOf(name, "an attribute"), budget);
    const found = methodOf(value, attribute) ?? nativeAttribute(value, attribute);
    return orUndefined(found, attribute);
  }),
  batch: builtin(
    "linecount, fill_with?",
    (value, [size, fill = null], budget) => new Lazy(batches(value, integerOf(size, 0, "linecount"), fill, budget)),
  ),
  capitalize: builtin("", (value, _, budget) => rewrite(toText(value, budget), capitalize, budget)),
  center: builtin("width?", (value, [width = 80], budget) => center(toText(value, budget), width, undefined, budget)),
  count: length,
  d: byDefault,
  default: byDefault,
  dictsort: builtin(
    "case_sensitive?, by?, reverse?",
    (value, [isCaseSensitive = false, by = "key", reverse = false], budget) => {
      const place = ["key", "value"].indexOf(plainTextOf(by, "by"));
      if (place < 0) throw new TypeError('dictsort() is by "key" or by "value"');
      const key = ({ items }: Tuple): Value => comparable(items[place]!, isTrue(isCaseSensitive), budget);
      return sorted(entriesOf(mappingOf(value), budget), key, integerOf(reverse, 0, "reverse") !== 0, budget);
    },
  ),
  e: escape,
  escape,
  first: builtin("", (value, _, budget) => {
    const item = value instanceof Lazy ? budget.nested(() => value.next()) : iterate(value, budget)[0];
    return orUndefined(item, "the first item of an empty sequence");
  }),
  float: builtin("default?", (value, [absent = new Float(0)], budget) => {
    checkDefined(value);
    const found = numberOf(value) ?? (isText(value) ? parsedFloat(value, budget) : null);
    return found === null ? absent : new Float(found);
  }),
  format: (value, { args, named, budget }) => {
    if (args.length > 0 && named.size > 0) throw new TypeError("a format has arguments with and without names");
    const entries = new Map<string, Value>();
    addEntries(entries, named);
    return formattedByPercent(toText(value, budget), named.size > 0 ? entries : new Tuple(args), budget);
  },
  groupby: builtin(
    "attribute, default?, case_sensitive?",
    (value, [path, absent = null, isCaseSensitive = false], budget) =>
      groups(value, pathOf(path!, budget), absent, isTrue(isCaseSensitive), budget),
  ),
  indent: builtin("width?, first?, blank?", (value, [width = 4, first = false, blank = false], budget) => {
    const margin = isText(width) ? width : repeat(" ", integerOf(width, 0, "width"), budget);
    const lines = splitLines(concat([textOf(value, "the text to indent"), "\n"], budget), false, budget);
    const indented = lines.map((line, index) => {
      const isIndented = index === 0 ? isTrue(first) : plain(line) !== "" || isTrue(blank);
      return isIndented ? concat([margin, line], budget) : line;
    });
    return join(indented, "\n", budget);
  }),
  int: builtin("default?, base?", (value, [absent = 0, base = 10], budget) => {
    checkDefined(value);
    const whole = isText(value) ? parsedInteger(value, integerOf(base, 10, "base"), budget) : null;
    const found = whole ?? numberOf(value) ?? (isText(value) ? parsedFloat(value, budget) : null);
    return found === null || !Number.isFinite(found) ? absent : wholeResult(Math.trunc(found));
  }),
  items: builtin("", (value, _, budget) => new Lazy(value instanceof Undefined ? [] : entriesLater(value, budget))),
  join: builtin("d?, attribute?", (value, [between = "", attribute = null], budget) => {
    const path = pathOf(attribute, budget);
    const items = iterate(value, budget).map((each) => toText(attributeAt(each, path, budget), budget));
    return join(items, toText(between, budget), budget);
  }),
  last: builtin("", (value, _, budget) => {
    if (value instanceof Lazy) throw new TypeError("a generator has no last element");
    return orUndefined(iterate(value, budget).at(-1), "the last item of an empty sequence");
  }),
  length,
  list: builtin("", (value, _, budget) => copied(value, budget)),
  lower: builtin("", (value, _, budget) => rewrite(toText(value, budget), (each) => each.toLowerCase(), budget)),
  map: (value, call) => new Lazy(mapped(value, call)),
  max: builtin("case_sensitive?, attribute?", (value, [isCaseSensitive, attribute], budget) =>
    extreme(value, 1, isCaseSensitive, attribute, budget),
  ),
  min: builtin("case_sensitive?, attribute?", (value, [isCaseSensitive, attribute], budget) =>
    extreme(value, -1, isCaseSensitive, attribute, budget),
  ),
  reject: (value, call) => new Lazy(selected(value, call, false)),
  rejectattr: (value, call) => new Lazy(selectedByAttribute(value, call, false)),
  replace: builtin("old, new, count?", (value, [old, fresh, count = null], budget) =>
    replace(
      toText(value, budget),
      toText(old!, budget),
      toText(fresh!, budget),
      integerOf(count ?? undefined, -1, "count"),
      budget,
    ),
  ),
  reverse: builtin("", (value, _, budget) => {
    if (isText(value)) return sameKind(value, concat(characters(value, budget).reverse(), budget));
    const items = copied(value, budget).reverse();
    return value instanceof Lazy ? items : new Lazy(items);
  }),
  round: builtin("precision?, method?", (value, [precision, method = "common"]) =>
    rounded(value, integerOf(precision, 0, "precision"), method),
  ),
  safe: builtin("", (value, _, budget) => {
    const text = toText(value, budget);
    budget.allocate(plain(text).length);
    return SafeText.of(text);
  }),
  select: (value, call) => new Lazy(selected(value, call, true)),
  selectattr: (value, call) => new Lazy(selectedByAttribute(value, call, true)),
  slice: builtin(
    "slices, fill_with?",
    (value, [slices, fill = null], budget) => new Lazy(columns(value, integerOf(slices, 0, "slices"), fill, budget)),
  ),
  sort: builtin(
    "reverse?, case_sensitive?, attribute?",
    (value, [reverse = false, isCaseSensitive = false, attribute = null], budget) => {
      const names = isText(attribute) ? read(attribute, budget).split(",") : [attribute];
      const paths = names.map((name) => pathOf(name, budget));
      const key = (each: Value): Value =>
        new Tuple(paths.map((path) => comparable(attributeAt(each, path, budget), isTrue(isCaseSensitive), budget)));
      return sorted(iterate(value, budget), key, integerOf(reverse, 0, "reverse") !== 0, budget);
    },
  ),
  string: builtin("", (value, _, budget) => toText(value, budget)),
  sum: builtin("attribute?, start?", (value, [attribute = null, start = 0], budget) => {
    if (isText(start)) throw new TypeError("sum() cannot add strings");
    const path = pathOf(attribute, budget);
    return iterate(value, budget).reduce<Value>(
      (total, each) => calculate("+", total, attributeAt(each, path, budget), budget),
      start,
    );
  }),
  title: builtin("", (value, _, budget) =>
    rewrite(toText(value, budget), (each) => each.replace(TITLE_WORDS, capitalize), budget),
  ),
  tojson: builtin(
    "ensure_ascii?, indent?, separators?, sort_keys?",
    (value, [ensureAscii = false, indent = null, separators = null, sortKeys = false], budget) => {
      const [comma, colon] = separators === null ? [indent === null ? ", " : ",", ": "] : iterate(separators, budget);
      const layout: JsonLayout = {
        indent: indent === null || isText(indent) ? indent : repeat(" ", integerOf(indent, 0, "indent"), budget),
        separators: [textOf(comma, "a separator"), textOf(colon, "a separator")],
        ensureAscii: isTrue(ensureAscii),
        sortKeys: isTrue(sortKeys),
      };
      return toJson(value, layout, budget);
    },
  ),
  trim: builtin("chars?", (value, [chars], budget) => strip(toText(value, budget), chars, true, true, budget)),
  truncate: builtin(
    "length?, killwords?, end?, leeway?",
    (value, [length = 255, cutsWords = false, end = "...", leeway = null], budget) =>
      truncated(value, integerOf(length, 0, "length"), isTrue(cutsWords), textOf(end, "end"), leeway, budget),
  ),
  unique: builtin(
    "case_sensitive?, attribute?",
    (value, [isCaseSensitive = false, attribute = null], budget) =>
      new Lazy(distinct(value, isTrue(isCaseSensitive), attribute, budget)),
  ),
  upper: builtin("", (value, _, budget) => rewrite(toText(value, budget), (each) => each.toUpperCase(), budget)),
  wordcount: builtin("", (value, _, budget) => {
    let numWords = 0;
    const words = read(toText(value, budget), budget).matchAll(/[\p{L}\p{N}_]+/gu);
    while (words.next().done !== true) {
      budget.spend();
      numWords++;
    }
    return numWords;
  }),
};

const nativeAttribute = (value: Value, name: string): Value | undefined =>
  value instanceof Namespace
    ? value.attributes.get(name)
    : value instanceof NativeObject
      ? value.attribute(name)
      : undefined;

function* batches(value: Value, size: number, fill: Value, budget: RenderBudget): Generator<Value[]> {
  let batch: Value[] = [];
  for (const item of iterate(value, budget)) {
    if (batch.length === size) {
      yield batch;
      batch = [];
    }
    budget.allocateItems(1);
    batch.push(item);
  }
  if (batch.length === 0) return;
  const numMissing = fill === null ? 0 : Math.max(0, size - batch.length);
  budget.allocateItems(numMissing);
  yield [...batch, ...Array.from({ length: numMissing }, () => fill)];
}

function* columns(value: Value, numColumns: number, fill: Value, budget: RenderBudget): Generator<Value[]> {
  const items = copied(value, budget);
  if (numColumns === 0) throw new RangeError("slice() into no columns");
  const length = Math.floor(items.length / numColumns);
  const numLonger = items.length - length * numColumns;
  let start = 0;
  for (let column = 0; column < numColumns; column++) {
    const end = start + length + (column < numLonger ? 1 : 0);
    budget.allocateItems(end - start + 1);
    const part = items.slice(start, end);
    if (fill !== null && column >= numLonger) part.push(fill);
    yield part;
    start = end;
  }
}

function* entriesLater(value: Value, budget: RenderBudget): Generator<Value> {
  yield* entriesOf(mappingOf(value), budget);
}

function* mapped(value: Value, { args, named, budget }: Call): Generator<Value> {
  if (args.length === 0 && named.has("attribute")) {
    const { attribute, default: absent, ...unknown } = Object.fromEntries(named);
    const [name] = Object.keys(unknown);
    if (name !== undefined) throw new TypeError(`the filter map has no argument ${name}`);
    const path = pathOf(attribute!, budget);
    for (const each of itemsOf(value, budget)) yield attributeAt(each, path, budget, absent ?? null);
    return;
  }
  const name = plainTextOf(args[0], "the filter to map");
  for (const each of itemsOf(value, budget)) yield applyFilter(name, each, { args: args.slice(1), named, budget });
}

function* selected(value: Value, { args, named, budget }: Call, wanted: boolean): Generator<Value> {
  for (const each of itemsOf(value, budget)) if (passes(each, { args, named, budget }) === wanted) yield each;
}

function* selectedByAttribute(value: Value, { args, named, budget }: Call, wanted: boolean): Generator<Value> {
  if (args.length === 0) throw new TypeError("the name of an attribute is missing");
  const path = pathOf(args[0]!, budget);
  for (const each of itemsOf(value, budget)) {
    const attribute = attributeAt(each, path, budget);
    if (passes(attribute, { args: args.slice(1), named, budget }) === wanted) yield each;
  }
}

function passes(value: Value, { args: [name, ...args], named, budget }: Call): boolean {
  return name === undefined ? isTrue(value) : applyTest(plainTextOf(name, "a test"), value, { args, named, budget });
}

function* distinct(value: Value, isCaseSensitive: boolean, attribute: Value, budget: RenderBudget): Generator<Value> {
  const seen: Value[] = [];
  const path = pathOf(attribute, budget);
  for (const each of iterate(value, budget)) {
    const key = comparable(attributeAt(each, path, budget), isCaseSensitive, budget);
    if (Array.isArray(key) || key instanceof Map) throw new TypeError(`${typeName(key)} cannot be compared by unique`);
    if (seen.some((before) => isEqual(before, key, budget))) continue;
    budget.allocateItems(1);
    seen.push(key);
    yield each;
  }
}

/** Returns tuples of a value and the list of the items with this value, sorted by it. */
function groups(value: Value, path: Path, absent: Value, isCaseSensitive: boolean, budget: RenderBudget): Value[] {
  const keyOf = (each: Value): Value => comparable(attributeAt(each, path, budget, absent), isCaseSensitive, budget);
  const found: { key: Value; items: Value[] }[] = [];
  for (const item of sorted(iterate(value, budget), keyOf, false, budget)) {
    budget.allocateItems(4);
    const key = keyOf(item);
    const last = found.at(-1);
    if (last !== undefined && isEqual(last.key, key, budget)) last.items.push(item);
    else found.push({ key, items: [item] });
  }
  return found.map(
    ({ items }) => new Tuple([attributeAt(items[0]!, path, budget, absent), items], ["grouper", "list"]),
  );
}

/** Sorts stably in both directions, as Python does. */
function sorted<T extends Value>(
  items: readonly T[],
  key: (item: T) => Value,
  isReversed: boolean,
  budget: RenderBudget,
): T[] {
  budget.allocateItems(4 * items.length);
  const keyed = items.map((item) => ({ item, key: key(item) }));
  keyed.sort((a, b) => (isReversed ? compare(b.key, a.key, budget) : compare(a.key, b.key, budget)));
  return keyed.map(({ item }) => item);
}

function extreme(
  value: Value,
  sign: 1 | -1,
  isCaseSensitive: Value = false,
  attribute: Value = null,
  budget: RenderBudget,
): Value {
  const path = pathOf(attribute, budget);
  const keyOf = (each: Value): Value => comparable(attributeAt(each, path, budget), isTrue(isCaseSensitive), budget);
  let best: { item: Value; key: Value } | null = null;
  for (const item of iterate(value, budget)) {
    const key = keyOf(item);
    if (best === null || sign * compare(key, best.key, budget) > 0) best = { item, key };
  }
  return orUndefined(best?.item, "the minimum or maximum of an empty sequence");
}

/** Returns a text in lower case, by which these filters compare by default; other values as they are. */
function comparable(value: Value, isCaseSensitive: boolean, budget: RenderBudget): Value {
  if (!isText(value) || isCaseSensitive) return value;
  budget.allocate(plain(value).length);
  return plain(value).toLowerCase();
}

function copied(value: Value, budget: RenderBudget): Value[] {
  const items = iterate(value, budget);
  budget.allocateItems(items.length);
  return [...items];
}

function checkDefined(value: Value): void {
  if (value instanceof Undefined) throw new TypeError(`${value.name} is not defined`);
}

function numberIn(value: Value): number {
  const found = numberOf(value);
  if (found === null) throw new TypeError(`${typeName(value)} is not a number`);
  return found;
}

/** The names and indexes of a path such as `function.name`; none for the value itself. */
type Path = readonly (string | number)[];

function pathOf(path: Value, budget: RenderBudget): Path {
  if (path === null) return [];
  if (typeof path === "number") return [path];
  return read(textOf(path, "attribute"), budget)
    .split(".")
    .map((name) => (/^\d+$/.test(name) ? Number(name) : name));
}

/** Returns the value at a path, starting from a value; `absent` is for one that is not there. */
function attributeAt(value: Value, path: Path, budget: RenderBudget, absent: Value = null): Value {
  budget.spend();
  return path.reduce<Value>((object, name) => {
    if (object instanceof Undefined) throw new TypeError(`${object.name} is not defined`);
    budget.spend();
    const element = elementOf(object, name, budget);
    const found = element === undefined ? methodOf(object, String(name)) : element;
    return found === undefined && absent !== null ? absent : orUndefined(found, String(name));
  }, value);
}

/** Returns the items of a value; these filters treat none and other false values as an empty list. */
function itemsOf(value: Value, budget: RenderBudget): readonly Value[] {
  const items = isTrue(value) ? iterate(value, budget) : [];
  budget.spend(items.length);
  return items;
}

const DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz";
const BASES: ReadonlyMap<string, number> = new Map([
  ["0b", 2],
  ["0o", 8],
  ["0x", 16],
]);

/** Returns the integer of a text; null if it has none in this base. A base of 0 is that of the text's prefix. */
function parsedInteger(own: Text, base: number, budget: RenderBudget): number | null {
  const trimmed = numeral(own, base === 10 ? "" : "a-z", budget)?.toLowerCase();
  if (trimmed === undefined) return null;
  const unsigned = trimmed.replace(/^[+-]/, "");
  const ownBase = BASES.get(unsigned.slice(0, 2));
  const actual = base === 0 ? (ownBase ?? 10) : base;
  if (actual < 2 || actual > DIGITS.length) return null;
  const grouped = ownBase === actual ? unsigned.slice(2).replace(/^_/, "") : unsigned;
  const digits = grouped.replaceAll("_", "");
  const isNumber = /^[\da-z]+(?:_[\da-z]+)*$/.test(grouped);
  if (!isNumber || !new RegExp(`^[${DIGITS.slice(0, actual)}]+$`).test(digits)) return null;
  if (base === 0 && ownBase === undefined && /^0+[1-9]/.test(digits)) return null;
  const size = wholeResult(Number.parseInt(digits, actual));
  return trimmed.startsWith("-") ? 0 - size : size;
}

/** Returns the float of a text; null if it has none. */
function parsedFloat(own: Text, budget: RenderBudget): number | null {
  const trimmed = numeral(own, "e", budget);
  if (trimmed === null) return null;
  const word = /^([+-]?)(inf|infinity|nan)$/i.exec(trimmed);
  if (word !== null) return word[2]!.toLowerCase() === "nan" ? NaN : word[1] === "-" ? -Infinity : Infinity;
  const pattern = /^[+-]?(?:\d+(?:_\d+)*(?:\.(?:\d+(?:_\d+)*)?)?|\.\d+(?:_\d+)*)(?:e[+-]?\d+(?:_\d+)*)?$/i;
  return pattern.test(trimmed) ? Number(trimmed.replaceAll("_", "")) : null;
}

/** Characters of a number in a text. Patterns for numbers can take the square of their length. */
const MAX_NUMERAL_LENGTH = 1000;

/**
 * Returns a text that can be a number, in ASCII and without white space around it; null if it cannot be one.
 *
 * @param letters those of a long number, as in `[…]` of a regular expression
 */
function numeral(own: Text, letters: string, budget: RenderBudget): string | null {
  const trimmed = plain(strip(own, undefined, true, true, budget));
  budget.spend(1 + trimmed.length / 16);
  if (trimmed.length > MAX_NUMERAL_LENGTH) {
    if (new RegExp(`[^\\p{Nd}_.+${letters}-]`, "iu").test(trimmed)) return null;
    throw new RangeError(`a number of more than ${MAX_NUMERAL_LENGTH} characters is not supported`);
  }
  const digits = trimmed.replace(/(?!\d)\p{Nd}/gu, (digit) => {
    budget.spend(STEPS_PER_DIGIT);
    return String(digitValue(digit.codePointAt(0)!));
  });
  return /[^\x21-\x7e]/.test(digits) ? null : digits;
}

const STEPS_PER_DIGIT = 4;

/** Returns the value of a decimal digit of any script. Unicode has them in runs of ten that begin with zero. */
function digitValue(codePoint: number): number {
  let first = codePoint;
  while (/\p{Nd}/u.test(String.fromCodePoint(first - 1))) first--;
  return (codePoint - first) % 10;
}

function rounded(value: Value, precision: number, method: Value): Value {
  const number = numberIn(value);
  if (method === "common") {
    const result = roundedTo(number, precision);
    return value instanceof Float ? new Float(result) : wholeResult(result);
  }
  if (method !== "ceil" && method !== "floor") throw new TypeError('round() is "common", "ceil" or "floor"');
  if (precision < 0) throw new RangeError("ceil and floor to tens are not supported");
  const unit = Number(`1e${precision}`);
  const whole = method === "ceil" ? Math.ceil(number * unit) : Math.floor(number * unit);
  return new Float((whole + 0) / unit);
}

function truncated(
  value: Value,
  length: number,
  cutsWords: boolean,
  end: Text,
  leeway: Value,
  budget: RenderBudget,
): Text {
  const own = textOf(value, "the text to truncate");
  const numKept = length - lengthOf(end, budget);
  const numSpare = integerOf(leeway ?? undefined, DEFAULT_LEEWAY, "leeway");
  if (numKept < 0 || numSpare < 0) throw new RangeError("truncate() to less than its end, or with a negative leeway");
  if (lengthOf(own, budget) <= length + numSpare) return own;
  const start = cut(own, 0, positionOf(own, numKept, budget));
  const kept = cutsWords ? start : split(start, " ", 1, true, budget)[0]!;
  return concat([kept, end], budget);
}

/** Characters by which a text may be too long without being truncated. */
const DEFAULT_LEEWAY = 5;

/** Returns true if a value passes a test. @throws SyntaxError for an unsupported test */
export function applyTest(name: string, value: Value, call: Call): boolean {
  call.budget.spend();
  if (!Object.hasOwn(TESTS, name)) throw new SyntaxError(`the test ${name} is not supported`);
  return TESTS[name]!(value, call, `the test ${name}`);
}

type Test = Builtin<Value, boolean>;

const is = (test: (value: Value, budget: RenderBudget) => boolean): Test =>
  builtin<Value, boolean>("", (value, _, budget) => test(value, budget));
const comparison = (test: (value: Value, other: Value, budget: RenderBudget) => boolean): Test =>
  builtin<Value, boolean>("other, /", (value, [other], budget) => test(value, other!, budget));

const isAbove = comparison((value, other, budget) => compare(value, other, budget) > 0);
const isAtLeast = comparison((value, other, budget) => compare(value, other, budget) >= 0);
const isAtMost = comparison((value, other, budget) => compare(value, other, budget) <= 0);
const isBelow = comparison((value, other, budget) => compare(value, other, budget) < 0);
const isSame = comparison(isEqual);
const isDifferent = comparison((value, other, budget) => !isEqual(value, other, budget));

const TESTS: Readonly<Record<string, Test>> = {
  "!=": isDifferent,
  "<": isBelow,
  "<=": isAtMost,
  "==": isSame,
  ">": isAbove,
  ">=": isAtLeast,
  boolean: is((value) => typeof value === "boolean"),
  callable: is((value) => typeof value === "function" || value instanceof Undefined),
  defined: is((value) => !(value instanceof Undefined)),
  divisibleby: builtin<Value, boolean>("num", (value, [num], budget) =>
    isEqual(calculate("%", numberValue(value), numberValue(num!), budget), 0, budget),
  ),
  eq: isSame,
  equalto: isSame,
  escaped: is((value) => value instanceof SafeText),
  even: is((value, budget) => isEqual(calculate("%", numberValue(value), 2, budget), 0, budget)),
  false: is((value) => value === false),
  filter: is((value, budget) => isNameIn(FILTERS, value, budget)),
  float: is((value) => value instanceof Float),
  ge: isAtLeast,
  greaterthan: isAbove,
  gt: isAbove,
  in: builtin<Value, boolean>("seq", (value, [seq], budget) => contains(seq!, value, budget)),
  integer: is((value) => typeof value === "number"),
  iterable: is(
    (value) =>
      isText(value) ||
      (typeof value === "object" &&
        value !== null &&
        !(value instanceof Float) &&
        !(value instanceof Namespace) &&
        !(value instanceof NativeObject)),
  ),
  le: isAtMost,
  lessthan: isBelow,
  lower: is((value, budget) => isCased(read(toText(value, budget), budget), false)),
  lt: isBelow,
  mapping: is((value) => value instanceof Map),
  ne: isDifferent,
  none: is((value) => value === null),
  number: is((value) => numberOf(value) !== null),
  odd: is((value, budget) => isEqual(calculate("%", numberValue(value), 2, budget), 1, budget)),
  sameas: builtin<Value, boolean>("other", (value, [other], budget) => {
    if (typeof value === "string" && typeof other === "string") budget.spend(value.length / 16);
    return value === other;
  }),
  sequence: is(
    (value) =>
      isText(value) ||
      Array.isArray(value) ||
      value instanceof Tuple ||
      value instanceof Map ||
      value instanceof Undefined,
  ),
  string: is((value) => isText(value)),
  test: is((value, budget) => isNameIn(TESTS, value, budget)),
  true: is((value) => value === true),
  undefined: is((value) => value instanceof Undefined),
  upper: is((value, budget) => isCased(read(toText(value, budget), budget), true)),
};

function isNameIn(table: object, value: Value, budget: RenderBudget): boolean {
  const key = keyFor(value, budget);
  return typeof key === "string" && Object.hasOwn(table, key);
}

/** Returns a number or boolean; the remainder of a text would be formatting. */
function numberValue(value: Value): Value {
  numberIn(value);
  return value;
}
