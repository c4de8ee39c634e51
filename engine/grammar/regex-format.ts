/**
 * Strings of the format `regex`: regular expressions that are valid in ECMA-262, with and without the `u` flag, and in
 * the dialects of Python and PCRE too. Valid expressions are no regular language, so this is a part of them: groups are
 * nested at most `MAX_DEPTH` levels, and what only some dialects allow is left out.
 */

import { type CodePointSet, complement, fromPairs, intersect } from "./code-points.js";
import type { Language, Languages } from "./language.js";

/** Nesting depth of groups. */
const MAX_DEPTH = 4;

export function regexLanguage(languages: Languages, whole: (pattern: string) => Language): Language {
  const item = languages.union([languages.set(IN_CLASS), whole(`${CLASS_ESCAPE}|${ESCAPED_RANGE}`), ranges(languages)]);
  const items = languages.concat(languages.repeat(item, 1, Infinity), whole("-?\\]"));
  const atom = languages.union([whole(`${CHARACTER}|${ESCAPE}`), languages.concat(whole("\\[\\^?-?"), items)]);
  const quantifier = whole(`(?:(?:${QUANTIFIER})\\??)?`);
  const assertion = whole("[\\^$]|\\\\[bB]");
  const open = whole("\\((?:\\?:)?");
  const look = whole("\\(\\?[=!]");
  const close = whole("\\)");
  const bar = whole("\\|");
  let inner = languages.none;
  for (let depth = 0; depth <= MAX_DEPTH; depth++) {
    const group = languages.concat(open, languages.concat(inner, close));
    const term = languages.union([
      languages.concat(languages.union([atom, group]), quantifier),
      assertion,
      languages.concat(look, languages.concat(inner, close)),
    ]);
    inner = languages.repeat(languages.union([term, bar]), 0, Infinity);
  }
  return inner;
}

/** Any character except those with a meaning and the ends of lines, which a literal cannot contain. */
const CHARACTER = "[^\\\\^$.*+?()\\[\\]{}|\\n\\r\\u2028\\u2029]|\\.";
const UNIT = "\\\\x[\\da-fA-F]{2}|\\\\u(?:[\\dabcefABCEF][\\da-fA-F]{3}|[dD][0-7][\\da-fA-F]{2})";
const ESCAPE = `\\\\[dDwWsSfnrtv^$\\\\.*+?()\\[\\]{}|\\/]|${UNIT}`;

const DIGITS_ORDERED = Array.from({ length: 10 }, (_, digit) => `${digit},[${digit}-9]`).join("|");
/** Of two bounds, the second is not smaller: it has more digits, or both have one, or it begins with a larger one. */
const BOUNDS = [
  "\\d{1,4}",
  "\\d{1,4},",
  DIGITS_ORDERED,
  "\\d,[1-9]\\d{1,3}",
  "[1-9]\\d,[1-9]\\d{2,3}",
  "[1-9]\\d\\d,[1-9]\\d{3}",
  ...Array.from({ length: 8 }, (_, digit) => `${digit + 1}\\d{1,3},[${digit + 2}-9]\\d{3}`),
  ...Array.from({ length: 8 }, (_, digit) => `${digit + 1}\\d,[${digit + 2}-9]\\d`),
  ...Array.from({ length: 8 }, (_, digit) => `${digit + 1}\\d\\d,[${digit + 2}-9]\\d\\d`),
].join("|");
const QUANTIFIER = `[*+?]|\\{(?:${BOUNDS})\\}`;

/** Characters that stand for themselves in a class wherever they are. */
const IN_CLASS: CodePointSet = complement(
  fromPairs(
    [..."\\][-^\n\r\u2028\u2029"].map((character): [number, number] => {
      const codePoint = character.codePointAt(0)!;
      return [codePoint, codePoint + 1];
    }),
  ),
);
const CLASS_ESCAPE = `\\\\[dDwWsSfnrtv^$\\\\.*+?()\\[\\]{}|\\/\\-]|${UNIT}`;

/** Ranges whose last character has a larger first hexadecimal digit, or more digits that are not 0. */
const ESCAPED_RANGE = [
  ...Array.from({ length: 15 }, (_, digit) => {
    const first = digit.toString(16);
    const larger = "123456789abcdef".slice(digit);
    const range = `\\\\x${first}[\\da-fA-F]-\\\\x[${larger}][\\da-fA-F]`;
    return first === "d" || first === "e"
      ? range
      : `${range}|\\\\u${first}[\\da-fA-F]{3}-\\\\u[${larger.replace("d", "")}][\\da-fA-F]{3}`;
  }),
  "\\\\u00[\\da-fA-F]{2}-\\\\u(?:[1-9a-cA-CeEfF][\\da-fA-F]|0[1-9a-fA-F])[\\da-fA-F]{2}",
].join("|");

/** Returns the ranges of characters whose last one is not before the first one. */
function ranges(languages: Languages): Language {
  const between = (firsts: CodePointSet, lasts: CodePointSet): Language => {
    const last = languages.concat(languages.words(["-"]), languages.set(intersect(lasts, IN_CLASS)));
    return languages.concat(languages.set(intersect(firsts, IN_CLASS)), last);
  };
  const ascii = Array.from({ length: 0x7f - 0x20 }, (_, index) =>
    between([0x20 + index, 0x21 + index], [0x20 + index, 0x110000]),
  );
  const others = BORDERS.map((border) => between([0x80, border], [border, 0x110000]));
  return languages.union([...ascii, ...others, between([0xe000, 0xf900], [0xf900, 0x10000])]);
}

/**
 * A range of characters that are not ASCII begins before one of these borders and ends at it or after it. The last
 * border is the first surrogate: without the `u` flag, a range to a character after U+FFFF ends with its high surrogate.
 */
const BORDERS = [0xc1, 0xe0, 0x100, 0x180, 0x3b1, 0x3c0, 0x400, 0x430, 0x440, 0x3042, 0x30a2, 0x5000, 0xb000, 0xd800];
