/**
 * Methods of strings and mappings, and Jinja's filters and tests, that chat templates can call. Others are refused by
 * name. No method changes a value, as in the sandbox that templates are written for.
 */

import { type Text, characters, concat, cut, isText, join, plain, rewrite } from "./sourced-text.js";
import {
  type Call,
  type Callable,
  Float,
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
  upper: (own) => rewrite(own, (each) => each.toUpperCase()),
  lower: (own) => rewrite(own, (each) => each.toLowerCase()),
  capitalize: (own) => rewrite(own, capitalize),
  title: (own) => rewrite(own, (each) => each.replace(/\p{L}+/gu, capitalize)),
  strip: (own, { args }) => strip(own, args[0], true, true),
  lstrip: (own, { args }) => strip(own, args[0], true, false),
  rstrip: (own, { args }) => strip(own, args[0], false, true),
  startswith: (own, { args }) => affixes(args[0]).some((affix) => plain(own).startsWith(affix)),
  endswith: (own, { args }) => affixes(args[0]).some((affix) => plain(own).endsWith(affix)),
  removeprefix: (own, { args }) => {
    const prefix = text(args[0], "a prefix");
    return plain(own).startsWith(prefix) ? cut(own, prefix.length, plain(own).length) : own;
  },
  removesuffix: (own, { args }) => {
    const suffix = text(args[0], "a suffix");
    return plain(own).endsWith(suffix) ? cut(own, 0, plain(own).length - suffix.length) : own;
  },
  split: (own, call) =>
    split(own, argument(call, 0, "sep"), integer(argument(call, 1, "maxsplit"), -1, "maxsplit"), false),
  rsplit: (own, call) =>
    split(own, argument(call, 0, "sep"), integer(argument(call, 1, "maxsplit"), -1, "maxsplit"), true),
  splitlines: splitLines,
  partition: (own, { args }) => partition(own, args[0], false),
  rpartition: (own, { args }) => partition(own, args[0], true),
  replace: (own, { args }) => replace(own, args[0], args[1], args[2]),
  join: (own, { args }) =>
    join(
      iterate(args[0] ?? null).map((each) => given(each, "an item to join")),
      own,
    ),
  count: (own, { args }) => plain(own).split(text(args[0], "the text to count")).length - 1,
  find: (own, { args }) => placeOf(own, plain(own).indexOf(text(args[0], "the text to find"))),
  rfind: (own, { args }) => placeOf(own, plain(own).lastIndexOf(text(args[0], "the text to find"))),
  isdigit: (own) => /^\p{Nd}+$/u.test(plain(own)),
  isalpha: (own) => /^\p{L}+$/u.test(plain(own)),
  isalnum: (own) => /^[\p{L}\p{N}]+$/u.test(plain(own)),
  isspace: (own) => plain(own) !== "" && plain(strip(own, undefined, true, false)) === "",
  isupper: (own) => isCased(plain(own), true),
  islower: (own) => isCased(plain(own), false),
};

const MAP_METHODS: Readonly<Record<string, (own: Map<string | number, Value>, call: Call) => Value>> = {
  items: (own) => [...own].map((entry) => new Tuple(entry)),
  keys: (own) => [...own.keys()],
  values: (own) => [...own.values()],
  get: (own, { args }) => {
    const value = elementOf(own, args[0] ?? null);
    return value === undefined ? (args[1] ?? null) : value;
  },
};

/** Returns the element for a key, index or attribute, which `object[key]` prefers to a method. */
export function elementOf(object: Value, key: Value): Value | undefined {
  if (typeof key === "number" || typeof key === "boolean") return elementAt(object, Number(key));
  if (!isText(key)) return undefined;
  if (object instanceof Map) return object.get(plain(key));
  return object instanceof Namespace ? object.attributes.get(plain(key)) : undefined;
}

/** Strips white space, or the given characters, from the ends of a text. */
function strip(own: Text, characters: Value | undefined, atStart: boolean, atEnd: boolean): Text {
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
  return cut(own, start, end);
}

const affixes = (value: Value | undefined): string[] =>
  (value instanceof Tuple ? value.items : [value]).map((each) => text(each, "a prefix or suffix"));

const placeOf = (own: Text, unit: number): number => (unit < 0 ? -1 : characters(cut(own, 0, unit)).length);

function capitalize(word: string): string {
  const [first = "", ...rest] = [...word];
  return first.toUpperCase() + rest.join("").toLowerCase();
}

function isCased(word: string, wantsUpper: boolean): boolean {
  const cased = [...word].filter((character) => character.toLowerCase() !== character.toUpperCase());
  return (
    cased.length > 0 &&
    cased.every((character) => character === (wantsUpper ? character.toUpperCase() : character.toLowerCase()))
  );
}

function split(own: Text, separator: Value | undefined, limit: number, fromEnd: boolean): Text[] {
  if (separator === undefined || separator === null) return splitWords(own, limit, fromEnd);
  const between = text(separator, "a separator");
  if (between === "") throw new RangeError("split() with an empty separator");
  const lengths = plain(own)
    .split(between)
    .map((part) => part.length);
  const numParts = limit < 0 ? lengths.length : Math.min(lengths.length, limit + 1);
  // The part with the remaining separators is the last one, or the first one if splitting from the end.
  const whole = lengths.length - numParts + 1;
  const kept = fromEnd
    ? [sum(lengths.slice(0, whole)) + (whole - 1) * between.length, ...lengths.slice(whole)]
    : lengths.slice(0, numParts - 1);
  if (!fromEnd) kept.push(plain(own).length); // the last part extends to the end
  let place = 0;
  return kept.map((length) => {
    const part = cut(own, place, place + length);
    place += length + between.length;
    return part;
  });
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

function splitWords(own: Text, limit: number, fromEnd: boolean): Text[] {
  const words = [...plain(own).matchAll(WORDS)].map(({ 0: word, index }) => ({
    start: index,
    end: index + word.length,
  }));
  const each = (range: { start: number; end: number }): Text => cut(own, range.start, range.end);
  if (limit < 0 || words.length <= limit) return words.map(each);
  if (!fromEnd) return [...words.slice(0, limit).map(each), cut(own, words[limit]!.start, plain(own).length)];
  const first = words.length - limit;
  return [cut(own, 0, words[first - 1]!.end), ...words.slice(first).map(each)];
}

function splitLines(own: Text): Text[] {
  const lines = [...plain(own).matchAll(LINES)].filter(([line]) => line !== "");
  return lines.map(({ 0: line, index }) => cut(own, index, index + line.replace(LINE_END, "").length));
}

function partition(own: Text, value: Value | undefined, fromEnd: boolean): Tuple {
  const separator = given(value, "a separator");
  if (plain(separator) === "") throw new RangeError("partition() with an empty separator");
  const at = fromEnd ? plain(own).lastIndexOf(plain(separator)) : plain(own).indexOf(plain(separator));
  if (at < 0) return new Tuple(fromEnd ? ["", "", own] : [own, "", ""]);
  return new Tuple([cut(own, 0, at), separator, cut(own, at + plain(separator).length, plain(own).length)]);
}

function replace(own: Text, old: Value | undefined, fresh: Value | undefined, count: Value | undefined): Text {
  const [from, to] = [text(old, "the text to replace"), given(fresh, "the replacement")];
  const limit = integer(count ?? undefined, -1, "count");
  const parts = from === "" ? ["", ...characters(own), ""] : split(own, from, limit, false);
  return concat(parts.flatMap((part, i) => (i === 0 ? [part] : [limit < 0 || i <= limit ? to : "", part])));
}

/** Applies a filter. @throws SyntaxError for an unsupported filter */
export function applyFilter(name: string, value: Value, call: Call): Value {
  if (!Object.hasOwn(FILTERS, name)) throw new SyntaxError(`the filter ${name} is not supported`);
  return FILTERS[name]!(value, call);
}

const FILTERS: Readonly<Record<string, (value: Value, call: Call) => Value>> = {
  abs: (value) => (value instanceof Float ? new Float(Math.abs(value.value)) : Math.abs(number(value))),
  capitalize: (value) => rewrite(toText(value), capitalize),
  count: lengthOf,
  d: byDefault,
  default: byDefault,
  dictsort,
  first: (value) => orUndefined(iterate(value)[0], "the first item of an empty sequence"),
  float: (value) => new Float(numberOf(value) ?? (isText(value) ? parsedNumber(value) : null) ?? 0),
  indent,
  int: (value, call) => {
    const found = numberOf(value) ?? (isText(value) ? parsedNumber(value) : null);
    return found === null ? (argument(call, 0, "default") ?? 0) : wholeResult(Math.trunc(found));
  },
  items: (value) =>
    value instanceof Undefined ? [] : new Lazy(() => [...mapping(value)].map((entry) => new Tuple(entry))),
  join: (value, call) => {
    const [between = "", attribute] = [argument(call, 0, "d"), argument(call, 1, "attribute") ?? null];
    const items = iterate(value).map((each) => toText(attribute === null ? each : attributeOf(each, attribute)));
    return join(items, toText(between));
  },
  last: (value) => {
    if (value instanceof Lazy) throw new TypeError("a generator has no last element");
    return orUndefined(iterate(value).at(-1), "the last item of an empty sequence");
  },
  length: lengthOf,
  list: (value) => [...iterate(value)],
  lower: (value) => rewrite(toText(value), (each) => each.toLowerCase()),
  map,
  max: (value) => extreme(value, 1),
  min: (value) => extreme(value, -1),
  reject: (value, call) => select(value, call, false),
  rejectattr: (value, call) => selectAttribute(value, call, false),
  replace: (value, call) =>
    replace(toText(value), argument(call, 0, "old"), argument(call, 1, "new"), argument(call, 2, "count")),
  reverse: (value) =>
    isText(value) ? concat(characters(value).reverse()) : new Lazy(() => [...iterate(value)].reverse()),
  safe: toText,
  select: (value, call) => select(value, call, true),
  selectattr: (value, call) => selectAttribute(value, call, true),
  sort,
  string: toText,
  sum: (value) => {
    const items = iterate(value);
    const total = items.reduce<number>((sum, each) => sum + number(each), 0);
    return items.some((each) => each instanceof Float) ? new Float(total) : total;
  },
  title: (value) => rewrite(toText(value), (each) => each.replace(new RegExp(`[^-${SPACE}({[<]+`, "gu"), capitalize)),
  tojson: (value, call) => {
    const indent = argument(call, 1, "indent") ?? null;
    const separators = argument(call, 2, "separators") ?? null;
    const [comma, colon] = separators === null ? [indent === null ? ", " : ",", ": "] : iterate(separators);
    return toJson(value, {
      indent: indent === null ? null : integer(indent, 0, "indent"),
      separators: [text(comma, "a separator"), text(colon, "a separator")],
      ensureAscii: isTrue(argument(call, 0, "ensure_ascii") ?? false),
      sortKeys: isTrue(argument(call, 3, "sort_keys") ?? false),
    });
  },
  trim: (value, call) => strip(toText(value), argument(call, 0, "chars"), true, true),
  unique: (value) =>
    new Lazy(() => {
      const seen: Value[] = [];
      return iterate(value).filter((each) => {
        const key = isText(each) ? plain(each).toLowerCase() : each;
        if (seen.some((before) => isEqual(before, key))) return false;
        seen.push(key);
        return true;
      });
    }),
  upper: (value) => rewrite(toText(value), (each) => each.toUpperCase()),
};

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

function parsedNumber(own: Text): number | null {
  const trimmed = plain(strip(own, undefined, true, true));
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(trimmed) ? Number(trimmed) : null;
}

function indent(value: Value, call: Call): Text {
  const width = argument(call, 0, "width");
  const margin = isText(width) ? plain(width) : " ".repeat(integer(width, 4, "width"));
  const isBlankIndented = isTrue(argument(call, 2, "blank") ?? false);
  const lines = splitLines(concat([given(value, "the text to indent"), "\n"]));
  const rest = lines.slice(1).map((line) => (plain(line) === "" && !isBlankIndented ? line : concat([margin, line])));
  return concat([isTrue(argument(call, 1, "first") ?? false) ? margin : "", join([lines[0]!, ...rest], "\n")]);
}

function extreme(value: Value, sign: 1 | -1): Value {
  return iterate(value).reduce<Value>(
    (best, each) => (best instanceof Undefined || sign * compare(each, best) > 0 ? each : best),
    new Undefined("the minimum or maximum of an empty sequence"),
  );
}

/** Returns the value at a path such as `function.name`, starting from a value. */
function attributeOf(value: Value, path: Value): Value {
  if (typeof path === "number") return orUndefined(elementAt(value, path), String(path));
  return text(path, "attribute")
    .split(".")
    .reduce<Value>((object, name) => {
      if (object instanceof Undefined) throw new TypeError(`${object.name} is not defined`);
      return orUndefined(elementOf(object, /^\d+$/.test(name) ? Number(name) : name), name);
    }, value);
}

/** Returns the items of a value; these filters treat none and other false values as an empty list. */
const itemsOf = (value: Value): readonly Value[] => (isTrue(value) ? iterate(value) : []);

function map(value: Value, { args, named }: Call): Value {
  const attribute = named.get("attribute");
  const absent = named.get("default");
  if (attribute !== undefined) {
    return new Lazy(() =>
      itemsOf(value).map((each) => {
        const found = attributeOf(each, attribute);
        return found instanceof Undefined && absent !== undefined ? absent : found;
      }),
    );
  }
  const name = text(args[0], "the filter to map");
  return new Lazy(() => itemsOf(value).map((each) => applyFilter(name, each, { args: args.slice(1), named })));
}

function select(value: Value, { args }: Call, wanted: boolean): Lazy {
  return new Lazy(() => itemsOf(value).filter((each) => passes(each, args) === wanted));
}

function selectAttribute(value: Value, { args }: Call, wanted: boolean): Lazy {
  return new Lazy(() => itemsOf(value).filter((each) => passes(attributeOf(each, args[0]!), args.slice(1)) === wanted));
}

function passes(value: Value, [name, ...args]: readonly Value[]): boolean {
  return name === undefined ? isTrue(value) : applyTest(text(name, "a test"), value, args);
}

function sort(value: Value, call: Call): Value[] {
  const isCaseSensitive = isTrue(argument(call, 1, "case_sensitive") ?? false);
  const attribute = argument(call, 2, "attribute") ?? null;
  const fold = (each: Value): Value => {
    const key = attribute === null ? each : attributeOf(each, attribute);
    return isText(key) && !isCaseSensitive ? plain(key).toLowerCase() : key;
  };
  return sorted([...iterate(value)], fold, isTrue(argument(call, 0, "reverse") ?? false));
}

function dictsort(value: Value, call: Call): Value[] {
  const isCaseSensitive = isTrue(argument(call, 0, "case_sensitive") ?? false);
  const place = argument(call, 1, "by") === "value" ? 1 : 0;
  const fold = (entry: Tuple): Value => {
    const key = entry.items[place]!;
    return isText(key) && !isCaseSensitive ? plain(key).toLowerCase() : key;
  };
  return sorted(
    [...mapping(value)].map((entry) => new Tuple(entry)),
    fold,
    isTrue(argument(call, 2, "reverse") ?? false),
  );
}

/** Sorts stably in both directions, as Python does. */
function sorted<T extends Value>(items: T[], key: (item: T) => Value, isReversed: boolean): T[] {
  return items.sort((a, b) => (isReversed ? compare(key(b), key(a)) : compare(key(a), key(b))));
}

/** Returns true if a value passes a test. @throws SyntaxError for an unsupported test */
export function applyTest(name: string, value: Value, args: readonly Value[]): boolean {
  if (!Object.hasOwn(TESTS, name)) throw new SyntaxError(`the test ${name} is not supported`);
  const test = TESTS[name]!;
  if (test.length > 1 + args.length) throw new TypeError(`the test ${name} needs an argument`);
  return test(value, args[0]!);
}

const TESTS: Readonly<Record<string, (value: Value, other: Value) => boolean>> = {
  boolean: (value) => typeof value === "boolean",
  callable: (value) => typeof value === "function" || value instanceof Undefined,
  defined: (value) => !(value instanceof Undefined),
  divisibleby: (value, other) => number(value) % number(other) === 0,
  eq: isEqual,
  equalto: isEqual,
  "==": isEqual,
  even: (value) => number(value) % 2 === 0,
  false: (value) => value === false,
  float: (value) => value instanceof Float,
  ge: (value, other) => compare(value, other) >= 0,
  ">=": (value, other) => compare(value, other) >= 0,
  greaterthan: (value, other) => compare(value, other) > 0,
  gt: (value, other) => compare(value, other) > 0,
  ">": (value, other) => compare(value, other) > 0,
  in: (value, other) => contains(other, value),
  integer: (value) => typeof value === "number",
  iterable: (value) =>
    isText(value) ||
    (typeof value === "object" && value !== null && !(value instanceof Float) && !(value instanceof Namespace)),
  le: (value, other) => compare(value, other) <= 0,
  "<=": (value, other) => compare(value, other) <= 0,
  lessthan: (value, other) => compare(value, other) < 0,
  lt: (value, other) => compare(value, other) < 0,
  "<": (value, other) => compare(value, other) < 0,
  lower: (value) => isCased(plain(toText(value)), false),
  mapping: (value) => value instanceof Map,
  ne: (value, other) => !isEqual(value, other),
  "!=": (value, other) => !isEqual(value, other),
  none: (value) => value === null,
  number: (value) => numberOf(value) !== null,
  odd: (value) => Math.abs(number(value) % 2) === 1,
  sameas: (value, other) => value === other,
  sequence: (value) =>
    isText(value) ||
    Array.isArray(value) ||
    value instanceof Tuple ||
    value instanceof Map ||
    value instanceof Undefined,
  string: isText,
  true: (value) => value === true,
  undefined: (value) => value instanceof Undefined,
  upper: (value) => isCased(plain(toText(value)), true),
};
