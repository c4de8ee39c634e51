/**
 * Python's two ways of formatting a text: `'%s' % x` and `'{}'.format(x)`. Each character of the result keeps its
 * origin. Widths are counted by the budget before a text is created, and digits are bounded.
 */

import { integerOf, mappingOf } from "./arguments.js";
import {
  type Call,
  Float,
  Range,
  Undefined,
  type Value,
  elementOf,
  isTuple,
  lengthOf,
  numberOf,
  representation,
  toText,
  typeName,
} from "./jinja-values.js";
import { exponentText, fixedText, floatText, generalText } from "./number-text.js";
import type { RenderBudget } from "./render-budget.js";
import { SafeText, type Text, concat, cut, isText, plain, positionOf, repeat } from "./sourced-text.js";

const CONVERSION = /%(?:\(([^()]*)\))?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d*))?[hlL]?([\s\S])/uy;

/** Returns `own % value`. */
export function formattedByPercent(own: Text, value: Value, budget: RenderBudget): Text {
  if (own instanceof SafeText) throw new TypeError("a format that is marked as safe is not supported");
  const format = plain(own);
  budget.spend(1 + format.length / 16);
  const args = isTuple(value) ? value.items : [value];
  let numUsed = 0;
  const next = (): Value => {
    if (numUsed === args.length) throw new TypeError("a format has more conversions than arguments");
    return args[numUsed++]!;
  };
  const parts: Text[] = [];
  let at = 0;
  for (let found = format.indexOf("%"); found >= 0; found = format.indexOf("%", at)) {
    budget.allocateTexts(2);
    parts.push(cut(own, at, found));
    CONVERSION.lastIndex = found;
    const conversion = CONVERSION.exec(format);
    if (conversion === null) throw new SyntaxError("a format ends in a conversion without a type");
    at = CONVERSION.lastIndex;
    const [, key, flags, width, precision, type] = conversion as unknown as (string | undefined)[];
    if (type === "%" && conversion[0] !== "%%") throw new SyntaxError("the conversion % of a format takes no width");
    const size = (given: string | undefined): number | null =>
      given === undefined ? null : given === "*" ? integerOf(next(), 0, "a width") : Number(given);
    const given = { flags: flags!, width: size(width) ?? 0, precision: size(precision), type: type! };
    const arg = type === "%" ? null : key === undefined ? next() : entryOf(value, key);
    parts.push(type === "%" ? "%" : converted(arg, given, budget));
  }
  parts.push(cut(own, at, format.length));
  const hasKeys = value instanceof Map || Array.isArray(value) || value instanceof Range || value instanceof Undefined;
  if (numUsed < args.length && !hasKeys) throw new TypeError("a format has fewer conversions than arguments");
  return concat(parts, budget);
}

function entryOf(value: Value, key: string): Value {
  if (!(value instanceof Map)) throw new TypeError("a format with names needs a mapping");
  const found = value.get(key);
  if (found === undefined) throw new RangeError(`a format has no value for ${JSON.stringify(key)}`);
  return found;
}

interface Conversion {
  readonly flags: string;
  /** In characters; negative for text at the left. */
  readonly width: number;
  readonly precision: number | null;
  readonly type: string;
}

function converted(value: Value, { flags, width, precision, type }: Conversion, budget: RenderBudget): Text {
  const isLeft = flags.includes("-") || width < 0;
  const layout = { width: Math.abs(width), fill: " ", align: isLeft ? "<" : ">" };
  if (type === "s" || type === "r") {
    const text = type === "s" ? toText(value, budget) : representation(value, budget);
    return padded("", cutTo(text, precision, budget), layout, budget);
  }
  if (type === "c") return padded("", characterOf(value, budget), layout, budget);
  const form: NumberForm = {
    type: type === "i" || type === "u" ? "d" : type,
    precision,
    sign: flags.includes("+") ? "+" : flags.includes(" ") ? " " : "-",
    isAlternate: flags.includes("#"),
    grouping: "",
  };
  if (!"doxXeEfFgG".includes(form.type)) throw new SyntaxError(`the conversion %${type} is not supported`);
  const number = numberOf(value);
  if (number === null) throw new TypeError(`%${type} of ${typeName(value)}`);
  if (value instanceof Float && "oxX".includes(type)) throw new TypeError(`%${type} of a float`);
  const whole = value instanceof Float && form.type === "d" ? truncated(number) : number;
  const { prefix, digits } = numberText(whole, { ...form, precision: form.type === "d" ? null : precision });
  const numZeros = "doxX".includes(form.type) ? Math.max(0, (precision ?? 0) - digits.length) : 0;
  const body = concat([repeat("0", numZeros, budget), digits], budget);
  const isZeroPadded = flags.includes("0") && !isLeft;
  return padded(prefix, body, isZeroPadded ? { ...layout, fill: "0", align: "=" } : layout, budget);
}

function truncated(value: number): number {
  if (!Number.isFinite(value)) throw new RangeError("an infinite number is no integer");
  return Math.trunc(value);
}

function characterOf(value: Value, budget: RenderBudget): Text {
  if (typeof value === "number" && value >= 0 && value <= 0x10ffff) return String.fromCodePoint(value);
  if (isText(value) && lengthOf(value, budget) === 1) return value;
  throw new TypeError("%c needs a character or its number");
}

/** Returns `own.format(…)`. */
export function formatted(own: Text, { args, named, budget }: Call): Text {
  let numAutomatic = 0;
  let isNumbered = false;
  const find = (name: string): Value => {
    if (!/^\d*$/.test(name)) return valueNamed(named.get(name), name);
    isNumbered ||= name !== "";
    if (isNumbered && (name === "" || numAutomatic > 0))
      throw new SyntaxError("a format has fields with and without numbers");
    const index = name === "" ? numAutomatic++ : Number(name);
    return valueNamed(args[index], String(index));
  };
  return filled(own, find, 2, budget);
}

/** Returns `own.format_map(mapping)`. */
export function formattedByMapping(own: Text, mapping: Value, budget: RenderBudget): Text {
  const values = mappingOf(mapping);
  return filled(own, (name) => valueNamed(values.get(name), name), 2, budget);
}

function valueNamed(value: Value | undefined, name: string): Value {
  if (value === undefined) throw new RangeError(`a format has no value for the field ${JSON.stringify(name)}`);
  return value;
}

const FIELD = /^([^!:[]*(?:\[[^\]]*\][^!:[]*)*)(?:!([\s\S]))?(?::|$)/u;
const PATH = /\.([^.[\]]+)|\[([^\]]+)\]/gy;

/** @param depth levels of fields below this one: the layout of a field can have fields itself */
function filled(own: Text, find: (name: string) => Value, depth: number, budget: RenderBudget): Text {
  if (depth < 0) throw new SyntaxError("the fields of a format are nested too deeply");
  const format = plain(own);
  const parts: Text[] = [];
  let at = 0;
  for (let brace = nextBrace(format, 0); brace >= 0; brace = nextBrace(format, at)) {
    budget.allocateTexts(2);
    if (format[brace + 1] === format[brace]) {
      parts.push(cut(own, at, brace + 1));
      at = brace + 2;
      continue;
    }
    if (format[brace] === "}") throw new SyntaxError("a format has a single }");
    parts.push(cut(own, at, brace));
    const end = endOfField(format, brace + 1);
    budget.spend(1 + (end - brace) / 4);
    const field = cut(own, brace + 1, end);
    const match = FIELD.exec(plain(field));
    if (match === null) throw new SyntaxError("a format has a field that is not supported");
    const [whole, path, conversion] = match as unknown as [string, string, string | undefined];
    const value = convertedField(valueAt(path, find, budget), conversion, budget);
    const layout = filled(cut(field, whole.length, plain(field).length), find, depth - 1, budget);
    parts.push(laidOut(value, layout, budget));
    at = end + 1;
  }
  parts.push(cut(own, at, format.length));
  return concat(parts, budget);
}

const BRACE = /[{}]/g;

function nextBrace(format: string, from: number): number {
  BRACE.lastIndex = from;
  return BRACE.exec(format)?.index ?? -1;
}

function endOfField(format: string, start: number): number {
  let depth = 1;
  for (let at = start; at < format.length; at++) {
    if (format[at] === "{") depth++;
    else if (format[at] === "}" && --depth === 0) return at;
  }
  throw new SyntaxError("a format has a field without an end");
}

/** Attributes of Python's mappings, which a field finds before their keys. */
const MAPPING_METHODS: ReadonlySet<string> = new Set(
  "clear copy fromkeys get items keys pop popitem setdefault update values".split(" "),
);

/** Returns the value of a field such as `0`, `name.attribute` or `name[key]`. */
function valueAt(path: string, find: (name: string) => Value, budget: RenderBudget): Value {
  const first = /^[^.[\]]*/.exec(path)![0];
  let value = find(first);
  PATH.lastIndex = first.length;
  let end = first.length;
  for (let part = PATH.exec(path); part !== null; part = PATH.exec(path)) {
    budget.spend();
    if (value instanceof Undefined) throw new TypeError(`${value.name} is not defined`);
    const name = (part[1] ?? part[2])!;
    const isElement = part[2] !== undefined;
    const isMethod = !isElement && value instanceof Map && MAPPING_METHODS.has(name);
    const key = isElement && /^\d+$/.test(name) ? Number(name) : name;
    const found = isMethod ? undefined : elementOf(value, key, budget);
    if (found === undefined) throw new RangeError(`a format finds no ${JSON.stringify(name)} in ${typeName(value)}`);
    value = found;
    end = PATH.lastIndex;
  }
  if (end !== path.length) throw new SyntaxError(`a format has no field ${JSON.stringify(path)}`);
  return value;
}

function convertedField(value: Value, conversion: string | undefined, budget: RenderBudget): Value {
  if (conversion === undefined) return value;
  if (conversion === "s") return toText(value, budget);
  if (conversion === "r") return representation(value, budget);
  throw new SyntaxError(`the conversion !${conversion} is not supported`);
}

const LAYOUT = /^(?:([\s\S])?([<>=^]))?([-+ ])?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/u;

/** Formats one value by a layout such as `>8`, `05d` or `.2f`. */
function laidOut(value: Value, spec: Text, budget: RenderBudget): Text {
  if (plain(spec) === "") return toText(value, budget);
  const match = LAYOUT.exec(plain(spec));
  if (match === null) throw new SyntaxError(`the layout ${JSON.stringify(plain(spec).slice(0, 100))} is not supported`);
  const [, ownFill, align, sign, alternate, zero, width, grouping = "", digits, type] = match as unknown as (
    string | undefined
  )[];
  const fill = ownFill !== undefined ? cut(spec, 0, ownFill.length) : zero !== undefined ? "0" : " ";
  const precision = digits === undefined ? null : Number(digits);
  const layout = { fill, width: Number(width ?? 0) };
  if (isText(value)) {
    const isPlain = sign === undefined && alternate === undefined && grouping === "" && align !== "=";
    if (!isPlain || (type ?? "s") !== "s") throw new TypeError("the layout of a string cannot have this form");
    return padded("", cutTo(value, precision, budget), { ...layout, align: align ?? "<" }, budget);
  }
  const number = numberOf(value);
  if (number === null) throw new TypeError(`${typeName(value)} cannot have a layout`);
  const isFloat = value instanceof Float;
  const form = type ?? (isFloat ? "" : "d");
  if (form === "c" && !isFloat)
    return padded("", characterOf(number, budget), { ...layout, align: align ?? "<" }, budget);
  if (!(isFloat ? "eEfFgGn%" : "dnboxXeEfFgG%").includes(form))
    throw new SyntaxError(`the form ${form} of a number is not supported`);
  if (isFloat && form === "" && precision !== null) throw new SyntaxError("digits of a float need a form such as .2f");
  const plainForm = form === "n" ? (isFloat ? "g" : "d") : form;
  if ("dboxX".includes(plainForm) && form !== "" && precision !== null)
    throw new TypeError("digits of an integer are not allowed");
  const isZeroPadded = zero !== undefined && align === undefined;
  if (grouping !== "" && (isZeroPadded || align === "="))
    throw new SyntaxError("groups of digits with leading zeros are not supported");
  const { prefix, digits: body } = numberText(number, {
    type: plainForm,
    precision,
    sign: sign ?? "-",
    isAlternate: alternate !== undefined,
    grouping,
  });
  return padded(prefix, body, { ...layout, align: align ?? (isZeroPadded ? "=" : ">") }, budget);
}

interface NumberForm {
  /** A letter of Python's; empty for the shortest text of a float. */
  readonly type: string;
  readonly precision: number | null;
  readonly sign: string;
  readonly isAlternate: boolean;
  readonly grouping: string;
}

/** Returns the sign with the base (`-0x`), and the digits. */
function numberText(
  value: number,
  { type, precision, sign, isAlternate, grouping }: NumberForm,
): { prefix: string; digits: string } {
  const isNegative = value < 0 || Object.is(value, -0);
  const signText = isNegative ? "-" : sign === "-" ? "" : sign;
  const size = Math.abs(value);
  const base = { b: 2, o: 8, x: 16, X: 16 }[type];
  if (base !== undefined) {
    const digits = grouped(size.toString(base), grouping, 4);
    const prefix = signText + (isAlternate ? `0${type}` : "");
    return { prefix, digits: type === "X" ? digits.toUpperCase() : digits };
  }
  if (type === "d") return { prefix: signText, digits: grouped(BigInt(size).toString(), grouping, 3) };
  const isShort = type.toLowerCase() === "g";
  if (isAlternate && !isShort) throw new SyntaxError("the flag # of this number is not supported");
  if (!Number.isFinite(value)) {
    const word = Number.isNaN(value) ? "nan" : "inf";
    const text = type === type.toUpperCase() && type !== "%" && type !== "" ? word.toUpperCase() : word;
    return { prefix: signText, digits: text + (type === "%" ? "%" : "") };
  }
  const text = floatDigits(size, type, precision, isAlternate);
  return { prefix: signText, digits: grouped(type === "E" || type === "G" ? text.toUpperCase() : text, grouping, 3) };
}

function floatDigits(size: number, type: string, precision: number | null, keepsZeros: boolean): string {
  switch (type) {
    case "":
      return floatText(size);
    case "e":
    case "E":
      return exponentText(size, precision ?? 6);
    case "g":
    case "G":
      return generalText(size, precision ?? 6, keepsZeros);
    case "%":
      return `${fixedText(100 * size, precision ?? 6)}%`;
    default:
      return fixedText(size, precision ?? 6);
  }
}

/** Divides the digits before the point into groups. */
function grouped(digits: string, separator: string, size: number): string {
  if (separator === "") return digits;
  if (size === 4 && separator === ",") throw new SyntaxError("commas between digits need a decimal number");
  const [whole] = /^[\da-f]*/.exec(digits)!;
  const groups: string[] = [];
  for (let end = whole.length; end > 0; end -= size) groups.unshift(whole.slice(Math.max(0, end - size), end));
  return groups.join(separator) + digits.slice(whole.length);
}

function cutTo(text: Text, numCharacters: number | null, budget: RenderBudget): Text {
  return numCharacters === null || plain(text).length <= numCharacters
    ? text
    : cut(text, 0, positionOf(text, numCharacters, budget));
}

/** Fills a text up to a width; `=` fills between the prefix and the body. */
function padded(
  prefix: string,
  body: Text,
  { width, fill, align }: { readonly width: number; readonly fill: Text; readonly align: string },
  budget: RenderBudget,
): Text {
  const missing = Math.max(0, width - prefix.length - lengthOf(body, budget));
  const numBefore = align === "<" ? 0 : align === "^" ? Math.floor(missing / 2) : missing;
  const before = repeat(fill, numBefore, budget);
  const after = repeat(fill, missing - numBefore, budget);
  return concat(align === "=" ? [prefix, before, body] : [before, prefix, body, after], budget);
}
