/**
 * Methods of strings and mappings, and Jinja's filters and tests, that chat templates can call. Others are refused by
 * name. No method changes a value, as in the sandbox that templates are written for.
 */

import type { RenderBudget } from "./render-budget.js";
import { type Text, characters, concat, cut, isText, join, plain, repeat, rewrite } from "./sourced-text.js";
import {
  type Call,
  type Callable,
  Float,
  type JsonLayout,
  Lazy,
  Namespace,
  Tuple,
  Undefined,
  type Value,
  compare,
  contains,
  elementAt,
  isEqual,
  isTrue,
  iterate,
  lengthOf,
  numberOf,
  orUndefined,
  toJson,
  toText,
  typeName,
  wholeResult,
} from "./jinja-values.js";

/** Python's white space, which differs from JavaScript's. */
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const IS_SPACE = new RegExp(`[${SPACE}]`);
const WORDS = new RegExp(`[^${SPACE}]+`, "g");
const LINES = /[^\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]*(?:\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]|$)/g;
const LINE_END = /(?:\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029])$/;

/** Returns an argument by position or by name. */
export function argument(call: Call, index: number, name: string): Value | undefined {
  return index < call.args.length ? call.args[index] : call.named.get(name);
}

function text(value: Value | undefined, what: string): string {
  return plain(given(value, what));
}

function given(value: Value | undefined, what: string): Text {
  if (!isText(value)) throw new TypeError(`${what} must be a string`);
  return value;
}

export function integer(value: Value | undefined, absent: number, what: string): number {
  if (value === undefined) return absent;
  if (typeof value !== "number") throw new TypeError(`${what} must be an integer`);
  return value;
}

/** Returns the method of a value, or undefined if it has no method of this name. */
export function methodOf(value: Value, name: string): Callable | undefined {
  if (isText(value)) {
    const method = Object.hasOwn(STRING_METHODS, name) ? STRING_METHODS[name] : undefined;
    return method === undefined ? undefined : (call) => method(value, call);
  }
  if (value instanceof Map) {
    const method = Object.hasOwn(MAP_METHODS, name) ? MAP_METHODS[name] : undefined;
    return method === undefined ? undefined : (call) => method(value, call);
  }
  return undefined;
}

const STRING_METHODS: Readonly<Record<string, (own: Text, call: Call) => Value>> = {
  upper: (own, { budget }) => rewrite(own, (each) => each.toUpperCase(), budget),
  lower: (own, { budget }) => rewrite(own, (each) => each.toLowerCase(), budget),
  capitalize: (own, { budget }) => rewrite(own, capitalize, budget),
  title: (own, { budget }) => rewrite(own, (each) => each.replace(/\p{L}+/gu, capitalize), budget),
  strip: (own, { args, budget }) => strip(own, args[0], true, true, budget),
  lstrip: (own, { args, budget }) => strip(own, args[0], true, false, budget),
  rstrip: (own, { args, budget }) => strip(own, args[0], false, true, budget),
  startswith: (own, { args, budget }) => affixes(args[0], budget).some((affix) => plain(own).startsWith(affix)),
  endswith: (own, { args, budget }) => affixes(args[0], budget).some((affix) => plain(own).endsWith(affix)),
  removeprefix: (own, { args }) => {
    const prefix = text(args[0], "a prefix");
    return plain(own).startsWith(prefix) ? cut(own, prefix.length, plain(own).length) : own;
  },
  removesuffix: (own, { args }) => {
    const suffix = text(args[0], "a suffix");
    return plain(own).endsWith(suffix) ? cut(own, 0, plain(own).length - suffix.length) : own;
  },
  split: (own, call) =>
    split(own, argument(call, 0, "sep"), integer(argument(call, 1, "maxsplit"), -1, "maxsplit"), false, call.budget),
  rsplit: (own, call) =>
    split(own, argument(call, 0, "sep"), integer(argument(call, 1, "maxsplit"), -1, "maxsplit"), true, call.budget),
  splitlines: (own, { budget }) => splitLines(own, budget),
  partition: (own, { args, budget }) => partition(own, args[0], false, budget),
  rpartition: (own, { args, budget }) => partition(own, args[0], true, budget),
  replace: (own, { args, budget }) => replace(own, args[0], args[1], args[2], budget),
  join: (own, { args, budget }) =>
    join(
      iterate(args[0] ?? null, budget).map((each) => given(each, "an item to join")),
      own,
      budget,
    ),
  count: (own, { args, budget }) => pieces(own, text(args[0], "the text to count"), budget).length - 1,
  find: (own, { args, budget }) => {
    const searched = text(args[0], "the text to find");
    budget.search(plain(own).length, searched.length);
    return placeOf(own, plain(own).indexOf(searched), budget);
  },
  rfind: (own, { args, budget }) => {
    const searched = text(args[0], "the text to find");
    budget.search(plain(own).length, searched.length);
    return placeOf(own, plain(own).lastIndexOf(searched), budget);
  },
  isdigit: (own, { budget }) => read(own, budget).search(/^\p{Nd}+$/u) === 0,
  isalpha: (own, { budget }) => read(own, budget).search(/^\p{L}+$/u) === 0,
  isalnum: (own, { budget }) => read(own, budget).search(/^[\p{L}\p{N}]+$/u) === 0,
  isspace: (own, { budget }) => plain(own) !== "" && plain(strip(own, undefined, true, false, budget)) === "",
  isupper: (own, { budget }) => isCased(read(own, budget), true),
  islower: (own, { budget }) => isCased(read(own, budget), false),
};

const MAP_METHODS: Readonly<Record<string, (own: Map<string | number, Value>, call: Call) => Value>> = {
  items: (own, { budget }) => entriesOf(own, budget),
  keys: (own, { budget }) => [...iterate(own, budget)],
  values: (own, { budget }) => {
    budget.allocateItems(own.size);
    return [...own.values()];
  },
  get: (own, { args, budget }) => {
    const value = elementOf(own, args[0] ?? null, budget);
    return value === undefined ? (args[1] ?? null) : value;
  },
};

/** Returns the element for a key, index or attribute, which `object[key]` prefers to a method. */
export function elementOf(object: Value, key: Value, budget: RenderBudget): Value | undefined {
  if (typeof key === "number" || typeof key === "boolean") return elementAt(object, Number(key), budget);
  if (!isText(key)) return undefined;
  if (object instanceof Map) return object.get(plain(key));
  return object instanceof Namespace ? object.attributes.get(plain(key)) : undefined;
}

function entriesOf(own: Map<string | number, Value>, budget: RenderBudget): Tuple[] {
  budget.allocateItems(4 * own.size);
  return [...own].map((entry) => new Tuple(entry));
}

/** Returns the characters of a text that is read once. */
function read(own: Text, budget: RenderBudget): string {
  budget.spend(1 + plain(own).length / 4);
  return plain(own);
}

/** Returns the texts between all places of a separator. */
function pieces(own: Text, separator: string, budget: RenderBudget): string[] {
  budget.search(plain(own).length, separator.length);
  budget.allocateItems(separator === "" ? plain(own).length : 0);
  const found = plain(own).split(separator);
  budget.allocateItems(found.length);
  return found;
}

/** Strips white space, or the given characters, from the ends of a text. */
function strip(own: Text, characters: Value | undefined, atStart: boolean, atEnd: boolean, budget: RenderBudget): Text {
  const set =
    characters === undefined || characters === null ? null : new Set(text(characters, "the characters to strip"));
  const isStripped = (character: string): boolean => (set === null ? IS_SPACE.test(character) : set.has(character));
  const whole = plain(own);
  let start = 0;
  let end = whole.length;
  while (atStart && start < end) {
    const character = String.fromCodePoint(whole.codePointAt(start)!);
    if (!isStripped(character)) break;
    start += character.length;
  }
  while (atEnd && end > start) {
    const isPair = whole.codePointAt(end - 2)! > 0xffff;
    const character = whole.slice(isPair ? end - 2 : end - 1, end);
    if (!isStripped(character)) break;
    end -= character.length;
  }
  budget.spend(1 + whole.length - (end - start));
  return cut(own, start, end);
}

function affixes(value: Value | undefined, budget: RenderBudget): string[] {
  const texts = (value instanceof Tuple ? value.items : [value]).map((each) => text(each, "a prefix or suffix"));
  for (const { length } of texts) budget.spend(1 + length / 16);
  return texts;
}

const placeOf = (own: Text, unit: number, budget: RenderBudget): number =>
  unit < 0 ? -1 : lengthOf(cut(own, 0, unit), budget);

function capitalize(word: string): string {
  const first = word === "" ? "" : String.fromCodePoint(word.codePointAt(0)!);
  return first.toUpperCase() + word.slice(first.length).toLowerCase();
}

function isCased(word: string, wantsUpper: boolean): boolean {
  const cased = [...word].filter((character) => character.toLowerCase() !== character.toUpperCase());
  return (
    cased.length > 0 &&
    cased.every((character) => character === (wantsUpper ? character.toUpperCase() : character.toLowerCase()))
  );
}

function split(own: Text, separator: Value | undefined, limit: number, fromEnd: boolean, budget: RenderBudget): Text[] {
  if (separator === undefined || separator === null) return splitWords(own, limit, fromEnd, budget);
  const between = text(separator, "a separator");
  if (between === "") throw new RangeError("split() with an empty separator");
  const lengths = pieces(own, between, budget).map((part) => part.length);
  const numParts = limit < 0 ? lengths.length : Math.min(lengths.length, limit + 1);
  // The part with the remaining separators is the last one, or the first one if splitting from the end.
  const whole = lengths.length - numParts + 1;
  const kept = fromEnd
    ? [sum(lengths.slice(0, whole)) + (whole - 1) * between.length, ...lengths.slice(whole)]
    : lengths.slice(0, numParts - 1);
  if (!fromEnd) kept.push(plain(own).length); // the last part extends to the end
  budget.allocateTexts(kept.length);
  let place = 0;
  return kept.map((length) => {
    const part = cut(own, place, place + length);
    place += length + between.length;
    return part;
  });
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

function splitWords(own: Text, limit: number, fromEnd: boolean, budget: RenderBudget): Text[] {
  const words = Array.from(read(own, budget).matchAll(WORDS), ({ 0: word, index }) => {
    budget.allocateTexts(1);
    return { start: index, end: index + word.length };
  });
  const each = (range: { start: number; end: number }): Text => cut(own, range.start, range.end);
  if (limit < 0 || words.length <= limit) return words.map(each);
  if (!fromEnd) return [...words.slice(0, limit).map(each), cut(own, words[limit]!.start, plain(own).length)];
  const first = words.length - limit;
  return [cut(own, 0, words[first - 1]!.end), ...words.slice(first).map(each)];
}

function splitLines(own: Text, budget: RenderBudget): Text[] {
  const lines: Text[] = [];
  for (const { 0: line, index } of read(own, budget).matchAll(LINES)) {
    if (line === "") continue;
    budget.allocateTexts(1);
    lines.push(cut(own, index, index + line.length - (LINE_END.exec(line.slice(-2))?.[0].length ?? 0)));
  }
  return lines;
}

function partition(own: Text, value: Value | undefined, fromEnd: boolean, budget: RenderBudget): Tuple {
  const separator = given(value, "a separator");
  if (plain(separator) === "") throw new RangeError("partition() with an empty separator");
  budget.search(plain(own).length, plain(separator).length);
  const at = fromEnd ? plain(own).lastIndexOf(plain(separator)) : plain(own).indexOf(plain(separator));
  if (at < 0) return new Tuple(fromEnd ? ["", "", own] : [own, "", ""]);
  return new Tuple([cut(own, 0, at), separator, cut(own, at + plain(separator).length, plain(own).length)]);
}

function replace(
  own: Text,
  old: Value | undefined,
  fresh: Value | undefined,
  count: Value | undefined,
  budget: RenderBudget,
): Text {
  const [from, to] = [text(old, "the text to replace"), given(fresh, "the replacement")];
  const limit = integer(count ?? undefined, -1, "count");
  const parts = from === "" ? ["", ...characters(own, budget), ""] : split(own, from, limit, false, budget);
  const replaced: Text[] = [];
  for (const [index, part] of parts.entries()) {
    if (index > 0 && (limit < 0 || index <= limit)) replaced.push(to);
    replaced.push(part);
  }
  return concat(replaced, budget);
}

/** Applies a filter. @throws SyntaxError for an unsupported filter */
export function applyFilter(name: string, value: Value, call: Call): Value {
  if (!Object.hasOwn(FILTERS, name)) throw new SyntaxError(`the filter ${name} is not supported`);
  call.budget.spend();
  return call.budget.nested(() => FILTERS[name]!(value, call));
}

const FILTERS: Readonly<Record<string, (value: Value, call: Call) => Value>> = {
  abs: (value) => (value instanceof Float ? new Float(Math.abs(value.value)) : Math.abs(number(value))),
  capitalize: (value, { budget }) => rewrite(toText(value, budget), capitalize, budget),
  count: (value, { budget }) => lengthOf(value, budget),
  d: byDefault,
  default: byDefault,
  dictsort,
  first: (value, { budget }) => orUndefined(iterate(value, budget)[0], "the first item of an empty sequence"),
  float: (value, { budget }) => new Float(numberOf(value) ?? (isText(value) ? parsedNumber(value, budget) : null) ?? 0),
  indent,
  int: (value, call) => {
    const found = numberOf(value) ?? (isText(value) ? parsedNumber(value, call.budget) : null);
    return found === null ? (argument(call, 0, "default") ?? 0) : wholeResult(Math.trunc(found));
  },
  items: (value, { budget }) => (value instanceof Undefined ? [] : new Lazy(() => entriesOf(mapping(value), budget))),
  join: (value, call) => {
    const [between = "", attribute] = [argument(call, 0, "d"), argument(call, 1, "attribute") ?? null];
    const { budget } = call;
    const items = iterate(value, budget).map((each) =>
      toText(attribute === null ? each : attributeOf(each, attribute, budget), budget),
    );
    return join(items, toText(between, budget), budget);
  },
  last: (value, { budget }) => {
    if (value instanceof Lazy) throw new TypeError("a generator has no last element");
    return orUndefined(iterate(value, budget).at(-1), "the last item of an empty sequence");
  },
  length: (value, { budget }) => lengthOf(value, budget),
  list: (value, { budget }) => copied(value, budget),
  lower: (value, { budget }) => rewrite(toText(value, budget), (each) => each.toLowerCase(), budget),
  map,
  max: (value, { budget }) => extreme(value, 1, budget),
  min: (value, { budget }) => extreme(value, -1, budget),
  reject: (value, call) => select(value, call, false),
  rejectattr: (value, call) => selectAttribute(value, call, false),
  replace: (value, call) =>
    replace(
      toText(value, call.budget),
      argument(call, 0, "old"),
      argument(call, 1, "new"),
      argument(call, 2, "count"),
      call.budget,
    ),
  reverse: (value, { budget }) =>
    isText(value)
      ? concat(characters(value, budget).reverse(), budget)
      : new Lazy(() => copied(value, budget).reverse()),
  safe: (value, { budget }) => toText(value, budget),
  select: (value, call) => select(value, call, true),
  selectattr: (value, call) => selectAttribute(value, call, true),
  sort,
  string: (value, { budget }) => toText(value, budget),
  sum: (value, { budget }) => {
    const items = iterate(value, budget);
    budget.spend(items.length);
    const total = items.reduce<number>((sum, each) => sum + number(each), 0);
    return items.some((each) => each instanceof Float) ? new Float(total) : total;
  },
  title: (value, { budget }) =>
    rewrite(toText(value, budget), (each) => each.replace(new RegExp(`[^-${SPACE}({[<]+`, "gu"), capitalize), budget),
  tojson: (value, call) => {
    const indent = argument(call, 1, "indent") ?? null;
    const separators = argument(call, 2, "separators") ?? null;
    const [comma, colon] =
      separators === null ? [indent === null ? ", " : ",", ": "] : iterate(separators, call.budget);
    const layout: JsonLayout = {
      indent: indent === null ? null : integer(indent, 0, "indent"),
      separators: [text(comma, "a separator"), text(colon, "a separator")],
      ensureAscii: isTrue(argument(call, 0, "ensure_ascii") ?? false),
      sortKeys: isTrue(argument(call, 3, "sort_keys") ?? false),
    };
    return toJson(value, layout, call.budget);
  },
  trim: (value, call) => strip(toText(value, call.budget), argument(call, 0, "chars"), true, true, call.budget),
  unique: (value, { budget }) =>
    new Lazy(() => {
      const seen: Value[] = [];
      return iterate(value, budget).filter((each) => {
        const key = folded(each, budget);
        if (seen.some((before) => isEqual(before, key, budget))) return false;
        seen.push(key);
        return true;
      });
    }),
  upper: (value, { budget }) => rewrite(toText(value, budget), (each) => each.toUpperCase(), budget),
};

/** Returns a text in lower case, by which these filters compare; other values as they are. */
function folded(value: Value, budget: RenderBudget): Value {
  if (!isText(value)) return value;
  budget.allocate(plain(value).length);
  return plain(value).toLowerCase();
}

function copied(value: Value, budget: RenderBudget): Value[] {
  const items = iterate(value, budget);
  budget.allocateItems(items.length);
  return [...items];
}

function number(value: Value): number {
  const found = numberOf(value);
  if (found === null) throw new TypeError(`${typeName(value)} is not a number`);
  return found;
}

export function mapping(value: Value): Map<string | number, Value> {
  if (!(value instanceof Map)) throw new TypeError(`${typeName(value)} is not a mapping`);
  return value;
}

function byDefault(value: Value, call: Call): Value {
  const isMissing = value instanceof Undefined || (isTrue(argument(call, 1, "boolean") ?? false) && !isTrue(value));
  const given = argument(call, 0, "default_value");
  return isMissing ? (given === undefined ? "" : given) : value;
}

function parsedNumber(own: Text, budget: RenderBudget): number | null {
  const trimmed = plain(strip(own, undefined, true, true, budget));
  budget.spend(1 + trimmed.length / 16);
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(trimmed) ? Number(trimmed) : null;
}

function indent(value: Value, call: Call): Text {
  const width = argument(call, 0, "width");
  const { budget } = call;
  const margin = isText(width) ? plain(width) : repeat(" ", integer(width, 4, "width"), budget);
  const isBlankIndented = isTrue(argument(call, 2, "blank") ?? false);
  const lines = splitLines(concat([given(value, "the text to indent"), "\n"], budget), budget);
  const rest = lines
    .slice(1)
    .map((line) => (plain(line) === "" && !isBlankIndented ? line : concat([margin, line], budget)));
  const first = isTrue(argument(call, 1, "first") ?? false) ? margin : "";
  return concat([first, join([lines[0]!, ...rest], "\n", budget)], budget);
}

function extreme(value: Value, sign: 1 | -1, budget: RenderBudget): Value {
  return iterate(value, budget).reduce<Value>(
    (best, each) => (best instanceof Undefined || sign * compare(each, best, budget) > 0 ? each : best),
    new Undefined("the minimum or maximum of an empty sequence"),
  );
}

/** Returns the value at a path such as `function.name`, starting from a value. */
function attributeOf(value: Value, path: Value, budget: RenderBudget): Value {
  budget.spend();
  if (typeof path === "number") return orUndefined(elementAt(value, path, budget), String(path));
  return text(path, "attribute")
    .split(".")
    .reduce<Value>((object, name) => {
      if (object instanceof Undefined) throw new TypeError(`${object.name} is not defined`);
      return orUndefined(elementOf(object, /^\d+$/.test(name) ? Number(name) : name, budget), name);
    }, value);
}

/** Returns the items of a value; these filters treat none and other false values as an empty list. */
function itemsOf(value: Value, budget: RenderBudget): readonly Value[] {
  const items = isTrue(value) ? iterate(value, budget) : [];
  budget.spend(items.length);
  return items;
}

function map(value: Value, { args, named, budget }: Call): Value {
  const attribute = named.get("attribute");
  const absent = named.get("default");
  if (attribute !== undefined) {
    return new Lazy(() =>
      itemsOf(value, budget).map((each) => {
        const found = attributeOf(each, attribute, budget);
        return found instanceof Undefined && absent !== undefined ? absent : found;
      }),
    );
  }
  const name = text(args[0], "the filter to map");
  return new Lazy(() =>
    itemsOf(value, budget).map((each) => applyFilter(name, each, { args: args.slice(1), named, budget })),
  );
}

function select(value: Value, { args, budget }: Call, wanted: boolean): Lazy {
  return new Lazy(() => itemsOf(value, budget).filter((each) => passes(each, args, budget) === wanted));
}

function selectAttribute(value: Value, { args, budget }: Call, wanted: boolean): Lazy {
  return new Lazy(() =>
    itemsOf(value, budget).filter(
      (each) => passes(attributeOf(each, args[0]!, budget), args.slice(1), budget) === wanted,
    ),
  );
}

function passes(value: Value, [name, ...args]: readonly Value[], budget: RenderBudget): boolean {
  return name === undefined ? isTrue(value) : applyTest(text(name, "a test"), value, args, budget);
}

function sort(value: Value, call: Call): Value[] {
  const { budget } = call;
  const isCaseSensitive = isTrue(argument(call, 1, "case_sensitive") ?? false);
  const attribute = argument(call, 2, "attribute") ?? null;
  const key = (each: Value): Value => {
    const own = attribute === null ? each : attributeOf(each, attribute, budget);
    return isCaseSensitive ? own : folded(own, budget);
  };
  return sorted(iterate(value, budget), key, isTrue(argument(call, 0, "reverse") ?? false), budget);
}

function dictsort(value: Value, call: Call): Value[] {
  const { budget } = call;
  const isCaseSensitive = isTrue(argument(call, 0, "case_sensitive") ?? false);
  const place = argument(call, 1, "by") === "value" ? 1 : 0;
  const key = ({ items }: Tuple): Value => (isCaseSensitive ? items[place]! : folded(items[place]!, budget));
  return sorted(entriesOf(mapping(value), budget), key, isTrue(argument(call, 2, "reverse") ?? false), budget);
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

/** Returns true if a value passes a test. @throws SyntaxError for an unsupported test */
export function applyTest(name: string, value: Value, args: readonly Value[], budget: RenderBudget): boolean {
  budget.spend();
  if (Object.hasOwn(TESTS, name)) return TESTS[name]!(value, budget);
  if (!Object.hasOwn(COMPARISONS, name)) throw new SyntaxError(`the test ${name} is not supported`);
  if (args.length === 0) throw new TypeError(`the test ${name} needs an argument`);
  return COMPARISONS[name]!(value, args[0]!, budget);
}

const TESTS: Readonly<Record<string, (value: Value, budget: RenderBudget) => boolean>> = {
  boolean: (value) => typeof value === "boolean",
  callable: (value) => typeof value === "function" || value instanceof Undefined,
  defined: (value) => !(value instanceof Undefined),
  even: (value) => number(value) % 2 === 0,
  false: (value) => value === false,
  float: (value) => value instanceof Float,
  integer: (value) => typeof value === "number",
  iterable: (value) =>
    isText(value) ||
    (typeof value === "object" && value !== null && !(value instanceof Float) && !(value instanceof Namespace)),
  lower: (value, budget) => isCased(read(toText(value, budget), budget), false),
  mapping: (value) => value instanceof Map,
  none: (value) => value === null,
  number: (value) => numberOf(value) !== null,
  odd: (value) => Math.abs(number(value) % 2) === 1,
  sequence: (value) =>
    isText(value) ||
    Array.isArray(value) ||
    value instanceof Tuple ||
    value instanceof Map ||
    value instanceof Undefined,
  string: isText,
  true: (value) => value === true,
  undefined: (value) => value instanceof Undefined,
  upper: (value, budget) => isCased(read(toText(value, budget), budget), true),
};

/** Tests that need an argument. */
const COMPARISONS: Readonly<Record<string, (value: Value, other: Value, budget: RenderBudget) => boolean>> = {
  divisibleby: (value, other) => number(value) % number(other) === 0,
  eq: isEqual,
  equalto: isEqual,
  "==": isEqual,
  ge: (value, other, budget) => compare(value, other, budget) >= 0,
  ">=": (value, other, budget) => compare(value, other, budget) >= 0,
  greaterthan: (value, other, budget) => compare(value, other, budget) > 0,
  gt: (value, other, budget) => compare(value, other, budget) > 0,
  ">": (value, other, budget) => compare(value, other, budget) > 0,
  in: (value, other, budget) => contains(other, value, budget),
  le: (value, other, budget) => compare(value, other, budget) <= 0,
  "<=": (value, other, budget) => compare(value, other, budget) <= 0,
  lessthan: (value, other, budget) => compare(value, other, budget) < 0,
  lt: (value, other, budget) => compare(value, other, budget) < 0,
  "<": (value, other, budget) => compare(value, other, budget) < 0,
  ne: (value, other, budget) => !isEqual(value, other, budget),
  "!=": (value, other, budget) => !isEqual(value, other, budget),
  sameas: (value, other) => value === other,
};
