/** Python's methods of strings that chat templates can call. Others are refused by name. */

import { type Builtin, builtin, integerOf, plainTextOf, textOf } from "./arguments.js";
import { type Value, Tuple, isTuple, iterate, lengthOf } from "./jinja-values.js";
import type { RenderBudget } from "./render-budget.js";
import {
  SafeText,
  type Text,
  characters,
  concat,
  cut,
  isFlat,
  join,
  plain,
  repeat,
  rewrite,
  sameKind,
} from "./sourced-text.js";
import { formatted, formattedByMapping } from "./text-format.js";
import { IS_SPACE, SPACE } from "./white-space.js";

const WORDS = new RegExp(`[^${SPACE}]+`, "g");
const LINES = /[^\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]*(?:\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]|$)/g;
const LINE_END = /(?:\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029])$/;

export const TEXT_METHODS: Readonly<Record<string, Builtin<Text>>> = {
  capitalize: builtin("", (own, _, budget) => rewrite(own, capitalize, budget)),
  center: builtin("width, fillchar?, /", (own, [width, fill], budget) => center(own, width, fill, budget)),
  count: builtin("sub, start?, end?, /", (own, [sub, start, end], budget) => {
    const range = rangeOf(own, start, end, budget);
    const searched = plainTextOf(sub, "the text to count");
    if (range === null) return 0;
    const part = cut(own, range.start, range.end);
    return searched === "" ? lengthOf(part, budget) + 1 : pieces(part, searched, budget).length - 1;
  }),
  endswith: builtin("suffix, start?, end?, /", (own, [suffix, start, end], budget) =>
    hasAffix(own, suffix, start, end, false, budget),
  ),
  find: builtin("sub, start?, end?, /", (own, [sub, start, end], budget) =>
    placeOf(own, sub, start, end, false, budget),
  ),
  format: (own, call) => formatted(own, call),
  format_map: builtin("mapping, /", (own, [mapping], budget) => formattedByMapping(own, mapping!, budget)),
  index: builtin("sub, start?, end?, /", (own, [sub, start, end], budget) =>
    found(placeOf(own, sub, start, end, false, budget)),
  ),
  isalnum: builtin("", (own, _, budget) => read(own, budget).search(/^[\p{L}\p{N}]+$/u) === 0),
  isalpha: builtin("", (own, _, budget) => read(own, budget).search(/^\p{L}+$/u) === 0),
  isascii: builtin("", (own, _, budget) => read(own, budget).search(/[^\0-\x7f]/) < 0),
  isdecimal: builtin("", (own, _, budget) => read(own, budget).search(/^\p{Nd}+$/u) === 0),
  isdigit: builtin("", (own, _, budget) => isDigits(read(own, budget))),
  islower: builtin("", (own, _, budget) => isCased(read(own, budget), false)),
  isspace: builtin(
    "",
    (own, _, budget) => plain(own) !== "" && plain(strip(own, undefined, true, false, budget)) === "",
  ),
  istitle: builtin("", (own, _, budget) => isTitle(read(own, budget))),
  isupper: builtin("", (own, _, budget) => isCased(read(own, budget), true)),
  join: builtin("iterable, /", (own, [items], budget) =>
    join(
      iterate(items!, budget).map((each) => textOf(each, "an item to join")),
      own,
      budget,
    ),
  ),
  ljust: builtin("width, fillchar?, /", (own, [width, fill], budget) => {
    const missing = missingWidth(own, width, budget);
    return concat([own, repeat(fillOf(fill, budget), missing, budget)], budget);
  }),
  lower: builtin("", (own, _, budget) => rewrite(own, (each) => each.toLowerCase(), budget)),
  lstrip: builtin("chars?, /", (own, [chars], budget) => strip(own, chars, true, false, budget)),
  partition: builtin("sep, /", (own, [separator], budget) => partition(own, separator, false, budget)),
  removeprefix: builtin("prefix, /", (own, [value], budget) => {
    const prefix = read(textOf(value, "a prefix"), budget);
    return plain(own).startsWith(prefix) ? cut(own, prefix.length, plain(own).length) : own;
  }),
  removesuffix: builtin("suffix, /", (own, [value], budget) => {
    const suffix = read(textOf(value, "a suffix"), budget);
    return plain(own).endsWith(suffix) ? cut(own, 0, plain(own).length - suffix.length) : own;
  }),
  replace: builtin("old, new, /, count?", (own, [old, fresh, count], budget) =>
    replace(own, old, fresh, integerOf(count, -1, "count"), budget),
  ),
  rfind: builtin("sub, start?, end?, /", (own, [sub, start, end], budget) =>
    placeOf(own, sub, start, end, true, budget),
  ),
  rindex: builtin("sub, start?, end?, /", (own, [sub, start, end], budget) =>
    found(placeOf(own, sub, start, end, true, budget)),
  ),
  rjust: builtin("width, fillchar?, /", (own, [width, fill], budget) => {
    const missing = missingWidth(own, width, budget);
    return concat([repeat(fillOf(fill, budget), missing, budget), own], budget);
  }),
  rpartition: builtin("sep, /", (own, [separator], budget) => partition(own, separator, true, budget)),
  rsplit: builtin("sep?, maxsplit?", (own, [separator, limit], budget) =>
    split(own, separator, integerOf(limit, -1, "maxsplit"), true, budget),
  ),
  rstrip: builtin("chars?, /", (own, [chars], budget) => strip(own, chars, false, true, budget)),
  split: builtin("sep?, maxsplit?", (own, [separator, limit], budget) =>
    split(own, separator, integerOf(limit, -1, "maxsplit"), false, budget),
  ),
  splitlines: builtin("keepends?", (own, [keepsEnds], budget) =>
    splitLines(own, integerOf(keepsEnds, 0, "keepends") !== 0, budget),
  ),
  startswith: builtin("prefix, start?, end?, /", (own, [prefix, start, end], budget) =>
    hasAffix(own, prefix, start, end, true, budget),
  ),
  strip: builtin("chars?, /", (own, [chars], budget) => strip(own, chars, true, true, budget)),
  swapcase: builtin("", (own, _, budget) => rewrite(own, swapCase, budget)),
  title: builtin("", (own, _, budget) =>
    rewrite(own, (each) => each.replace(/[\p{Lowercase}\p{Uppercase}\p{Lt}]+/gu, capitalize), budget),
  ),
  upper: builtin("", (own, _, budget) => rewrite(own, (each) => each.toUpperCase(), budget)),
  zfill: builtin("width, /", (own, [width], budget) => {
    const missing = missingWidth(own, width, budget);
    const numSigns = /^[-+]/.test(plain(own)) ? 1 : 0;
    const zeros = repeat("0", missing, budget);
    return sameKind(own, concat([cut(own, 0, numSigns), zeros, cut(own, numSigns, plain(own).length)], budget));
  }),
};

/** Returns the characters of a text that is read once. */
export function read(own: Text, budget: RenderBudget): string {
  budget.spend(1 + plain(own).length / 4);
  return plain(own);
}

/** Strips white space, or the listed characters, from the ends of a text. */
export function strip(
  own: Text,
  characters: Value | undefined,
  atStart: boolean,
  atEnd: boolean,
  budget: RenderBudget,
): Text {
  const isAbsent = characters === undefined || characters === null;
  const listed = isAbsent ? null : plainTextOf(characters, "the characters to strip");
  budget.spend(1 + (listed?.length ?? 0) / 4);
  const set = listed === null ? null : new Set(listed);
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

export function split(
  own: Text,
  separator: Value | undefined,
  limit: number,
  fromEnd: boolean,
  budget: RenderBudget,
): Text[] {
  if (separator === undefined || separator === null) return splitWords(own, limit, fromEnd, budget);
  const between = plainTextOf(separator, "a separator");
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

export function splitLines(own: Text, keepsEnds: boolean, budget: RenderBudget): Text[] {
  const lines: Text[] = [];
  for (const { 0: line, index } of read(own, budget).matchAll(LINES)) {
    if (line === "") continue;
    budget.allocateTexts(1);
    const endLength = keepsEnds ? 0 : (LINE_END.exec(line.slice(-2))?.[0].length ?? 0);
    lines.push(cut(own, index, index + line.length - endLength));
  }
  return lines;
}

export function replace(
  own: Text,
  old: Value | undefined,
  fresh: Value | undefined,
  limit: number,
  budget: RenderBudget,
): Text {
  const [from, to] = [plainTextOf(old, "the text to replace"), textOf(fresh, "the replacement")];
  const parts = from === "" ? ["", ...characters(own, budget), ""] : split(own, from, limit, false, budget);
  const replaced: Text[] = [];
  for (const [index, part] of parts.entries()) {
    if (index > 0 && (limit < 0 || index <= limit)) replaced.push(to);
    replaced.push(part);
  }
  return concat(replaced, budget);
}

export function center(own: Text, width: Value | undefined, fill: Value | undefined, budget: RenderBudget): Text {
  const filling = fillOf(fill, budget);
  const missing = missingWidth(own, width, budget);
  const before = Math.floor(missing / 2) + (missing % 2 === 1 && integerOf(width, 0, "width") % 2 === 1 ? 1 : 0);
  return concat([repeat(filling, before, budget), own, repeat(filling, missing - before, budget)], budget);
}

/** Writes the first character in title case and the others in lower case. */
export function capitalize(word: string): string {
  if (word === "") return "";
  const first = String.fromCodePoint(word.codePointAt(0)!);
  return titleCase(first) + word.toLowerCase().slice(first.toLowerCase().length);
}

/** Title case is upper case, except for digraphs, ligatures and Georgian. */
function titleCase(character: string): string {
  if (/[\u10d0-\u10ff]/.test(character)) return character;
  const digraph = DIGRAPHS.find((forms) => forms.includes(character));
  if (digraph !== undefined) return digraph[1]!;
  const [first, ...rest] = character.toUpperCase();
  if (rest.length === 0) return first!;
  if (!/[ßև\ufb00-\ufb06\ufb13-\ufb17]/.test(character))
    throw new TypeError(`the title case of ${character} is not supported`);
  return first! + rest.join("").toLowerCase();
}

const DIGRAPHS = ["Ǆǅǆ", "Ǉǈǉ", "Ǌǋǌ", "Ǳǲǳ"];

const UPPER = /\p{Uppercase}/u;
const LOWER = /\p{Lowercase}/u;
const TITLE = /\p{Lt}/u;

export function isCased(word: string, wantsUpper: boolean): boolean {
  const [wanted, other] = wantsUpper ? [UPPER, LOWER] : [LOWER, UPPER];
  return wanted.test(word) && !other.test(word) && !TITLE.test(word);
}

/** Returns true if each word, after a character that is no letter, starts with its only upper-case letter. */
function isTitle(text: string): boolean {
  let isInWord = false;
  let hasWord = false;
  for (const character of text) {
    const isLower = LOWER.test(character);
    const isUpper = UPPER.test(character) || TITLE.test(character);
    if ((isUpper && isInWord) || (isLower && !isInWord)) return false;
    isInWord = isLower || isUpper;
    hasWord ||= isInWord;
  }
  return hasWord;
}

function swapCase(text: string): string {
  if (text.includes("Σ")) throw new TypeError("swapcase() of a capital sigma is not supported");
  return Array.from(text, (each) =>
    UPPER.test(each) ? each.toLowerCase() : LOWER.test(each) ? each.toUpperCase() : each,
  ).join("");
}

/** What Python counts as a digit beside decimal digits, such as ², has no property in regular expressions. */
function isDigits(text: string): boolean {
  if (/\p{No}/u.test(text)) throw new TypeError("isdigit() of a number that is no decimal digit is not supported");
  return /^\p{Nd}+$/u.test(text);
}

/** UTF-16 positions of `own[start:end]`. Null if it starts after the end, where Python finds not even an empty text. */
function rangeOf(
  own: Text,
  start: Value | undefined,
  end: Value | undefined,
  budget: RenderBudget,
): { readonly start: number; readonly end: number } | null {
  if ((start ?? null) === null && (end ?? null) === null) return { start: 0, end: plain(own).length };
  const starts = isFlat(own, budget) ? null : startsOf(own, budget);
  const length = starts === null ? plain(own).length : starts.length - 1;
  const place = (given: Value | undefined, absent: number): number => {
    const index = integerOf(given ?? undefined, absent, "a place in a string");
    return Math.max(0, index < 0 ? index + length : index);
  };
  const [first, last] = [place(start, 0), Math.min(length, place(end, length))];
  if (first > last) return null;
  return starts === null ? { start: first, end: last } : { start: starts[first]!, end: starts[last]! };
}

/** Returns the UTF-16 positions at which the characters of a text start, and the position of its end. */
function startsOf(own: Text, budget: RenderBudget): number[] {
  let at = 0;
  return [0, ...characters(own, budget).map((each) => (at += plain(each).length))];
}

function placeOf(
  own: Text,
  sub: Value | undefined,
  start: Value | undefined,
  end: Value | undefined,
  fromEnd: boolean,
  budget: RenderBudget,
): number {
  const searched = plainTextOf(sub, "the text to find");
  const range = rangeOf(own, start, end, budget);
  if (range === null) return -1;
  const part = plain(own).slice(range.start, range.end);
  budget.search(part.length, searched.length);
  const unit = fromEnd ? part.lastIndexOf(searched) : part.indexOf(searched);
  return unit < 0 ? -1 : lengthOf(cut(own, 0, range.start + unit), budget);
}

function found(place: number): number {
  if (place < 0) throw new RangeError("the text to find is not there");
  return place;
}

function hasAffix(
  own: Text,
  affix: Value | undefined,
  start: Value | undefined,
  end: Value | undefined,
  isPrefix: boolean,
  budget: RenderBudget,
): boolean {
  const values = affix !== undefined && affix !== null && isTuple(affix) ? affix.items : [affix];
  const affixes = values.map((each) => plainTextOf(each, "a prefix or suffix"));
  for (const { length } of affixes) budget.spend(1 + length / 16);
  const range = rangeOf(own, start, end, budget);
  if (range === null) return false;
  const part = plain(own).slice(range.start, range.end);
  return affixes.some((each) => (isPrefix ? part.startsWith(each) : part.endsWith(each)));
}

/** Returns the number of characters that are missing to a width. */
function missingWidth(own: Text, width: Value | undefined, budget: RenderBudget): number {
  return Math.max(0, integerOf(width, 0, "a width") - lengthOf(own, budget));
}

function fillOf(fill: Value | undefined, budget: RenderBudget): Text {
  const text = fill === undefined ? " " : textOf(fill, "the fill character");
  if (lengthOf(text, budget) !== 1) throw new TypeError("the fill character must be exactly one character long");
  return text;
}

/** Returns the texts between all places of a separator. */
function pieces(own: Text, separator: string, budget: RenderBudget): string[] {
  budget.search(plain(own).length, separator.length);
  const found = plain(own).split(separator);
  budget.allocateItems(found.length);
  return found;
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

function partition(own: Text, value: Value | undefined, fromEnd: boolean, budget: RenderBudget): Tuple {
  const separator = textOf(value, "a separator");
  if (plain(separator) === "") throw new RangeError("partition() with an empty separator");
  budget.search(plain(own).length, plain(separator).length);
  const at = fromEnd ? plain(own).lastIndexOf(plain(separator)) : plain(own).indexOf(plain(separator));
  if (at < 0) return new Tuple(fromEnd ? ["", "", own] : [own, "", ""]);
  const between = own instanceof SafeText ? SafeText.of(separator) : separator;
  return new Tuple([cut(own, 0, at), between, cut(own, at + plain(separator).length, plain(own).length)]);
}
