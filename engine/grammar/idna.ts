/**
 * A-labels of host names behind their `xn--`, in any case: the Punycode (RFC 3492) of labels that IDNA2008 allows (RFC 5891
 * to 5893). What a code point may do is derived from the platform's Unicode properties by RFC 5892, so that two versions of
 * Node agree on what both have assigned.
 *
 * A label is read letter by letter. As long as there is room, every letter, digit and hyphen is taken: a hyphen makes what
 * stands before it letters that Punycode copies, and the few digits behind it that make a label of them are known. Where no
 * more than their room is left, only they are. What is not written although IDNA has it: labels that end at one of the last
 * eight letters that a label or a text may have, other than in that way; those of a right-to-left script with marks of
 * scripts that run the other way; a zero width non-joiner after letters that have no presentation forms in Unicode, other
 * than behind a virama. See language.ts and values.ts for where A-labels are left out altogether: from strings with another
 * pattern or a minLength above 1, from the names of properties, and where another alternative goes on with the same letters.
 */

/** A label as far as it was read. */
export interface ALabel {
  /** In lower case. */
  readonly text: string;
  /** Its Punycode, if the last hyphen was the one before the digits; null if that cannot be. */
  readonly decoding: Decoding | null;
  readonly isWhole: boolean;
  /** What is left of the digits that are known to make it whole, if it went on with them since its last hyphen. */
  readonly ending: string | null;
  /** Letters that must have room behind it, even where it is whole: a look at each token would take too long otherwise. */
  readonly numReserved: number;
}

/** Between two letters of Punycode, in the words of RFC 3492, section 6.2. */
interface Decoding {
  readonly points: readonly number[];
  readonly n: number;
  /** Where the next code point may stand at the earliest; 0 before the first. */
  readonly i: number;
  readonly bias: number;
  /** `i` and what was read of the next integer, and what its next digit counts. */
  readonly value: number;
  readonly weight: number;
  readonly k: number;
}

/** Letters of a label without its `xn--`. */
const LETTERS_MAX = 59;
/** A hyphen and digits for at most three letters: where copied ones begin or end with a hyphen, or have two behind the second. */
const ENDING_MAX = 8;
const FREE_MAX = LETTERS_MAX - ENDING_MAX;
const HYPHEN = 0x2d;

/** Behind `xn--`. */
export function beginALabel(): ALabel {
  return { text: "", decoding: beginning([]), isWhole: false, ending: null, numReserved: 1 + ENDING_MAX };
}

/** How many letters, digits and hyphens may follow, whichever they are. Others only make known endings. */
export function freeRoom({ text }: ALabel, numLettersMax: number): number {
  return Math.min(FREE_MAX - text.length, numLettersMax - ENDING_MAX);
}

/** How many may follow at all. */
export function roomLeft({ text }: ALabel): number {
  return LETTERS_MAX - text.length;
}

/** @param letter a letter, a digit or a hyphen, in any case. @returns null if no label goes on like this */
export function nextInALabel(label: ALabel, letter: string): ALabel | null {
  const lower = letter.toLowerCase();
  const text = label.text + lower;
  let { decoding, ending } = label;
  if (lower !== "-") {
    decoding = decoding && withDigit(decoding, digitOf(lower.charCodeAt(0)));
    ending = ending?.startsWith(lower) ? ending.slice(1) : null;
  } else {
    const canEnd = label.text !== "" && label.text.length <= FREE_MAX;
    decoding = canEnd ? beginning(codePoints(label.text)) : null;
    ending = decoding && repaired(decoding);
  }
  if (ending === null && text.length > FREE_MAX) return null;
  const isWhole = decoding !== null && isBetween(decoding) && isLabel(decoding);
  return { text, decoding, isWhole, ending, numReserved: ending?.length ?? ENDING_MAX };
}

/** @returns reads letters, in lower case, that the text has room for; beginnings that they share are read once */
export function readerOf(label: ALabel, numLettersMax: number): (letters: string) => ALabel | null {
  const reached = new Map<string, ALabel | null>([["", label]]);
  const read = (letters: string): ALabel | null => {
    let result = reached.get(letters);
    if (result === undefined) {
      const before = read(letters.slice(0, -1));
      result = before && nextInALabel(before, letters.at(-1)!);
      if (result !== null && result.numReserved > numLettersMax - letters.length) result = null;
      reached.set(letters, result);
    }
    return result;
  };
  return read;
}

// Punycode, RFC 3492

const BASE = 36;
const T_MIN = 1;
const T_MAX = 26;
/** Nothing behind it is a letter, a digit or a mark. */
const LAST_CODE_POINT = 0x3ffff;
const DIGITS = "abcdefghijklmnopqrstuvwxyz0123456789";

const digitOf = (charCode: number): number => (charCode >= 0x61 ? charCode - 0x61 : (charCode & 0x1f) - 0x10 + 26);
const codePoints = (text: string): number[] => Array.from(text, (character) => character.codePointAt(0)!);
const isBetween = ({ k }: Decoding): boolean => k === BASE;

function beginning(points: readonly number[]): Decoding {
  return { points, n: 0x80, i: 0, bias: 72, value: 0, weight: 1, k: BASE };
}

const threshold = (k: number, bias: number): number => Math.min(T_MAX, Math.max(T_MIN, k - bias));

/** @returns null if it stands for nothing that a label may hold */
function withDigit(read: Decoding, digit: number): Decoding | null {
  const value = read.value + digit * read.weight;
  const codePoint = read.n + Math.floor(value / (read.points.length + 1));
  if (codePoint > LAST_CODE_POINT) return null;
  const t = threshold(read.k, read.bias);
  if (digit >= t) return { ...read, value, weight: read.weight * (BASE - t), k: read.k + BASE };
  return isInLabels(codePoint) ? withValue(read, value) : null;
}

/** After an integer. */
function withValue({ points, n, i }: Decoding, value: number): Decoding {
  const length = points.length + 1;
  const at = value % length;
  const codePoint = n + Math.floor(value / length);
  const bias = adapted(value - i, length, i === 0);
  return {
    points: points.toSpliced(at, 0, codePoint),
    n: codePoint,
    i: at + 1,
    bias,
    value: at + 1,
    weight: 1,
    k: BASE,
  };
}

function adapted(difference: number, length: number, isFirst: boolean): number {
  let delta = Math.floor(difference / (isFirst ? 700 : 2));
  delta += Math.floor(delta / length);
  let k = 0;
  for (; delta > ((BASE - T_MIN) * T_MAX) / 2; k += BASE) delta = Math.floor(delta / (BASE - T_MIN));
  return k + Math.floor(((BASE - T_MIN + 1) * delta) / (delta + 38));
}

// The known ending

const REPAIR = 0xdf;

/** @returns digits that put as many of one letter between letters that Punycode copies as make a label of them */
function repaired(copied: Decoding): string {
  let digits = "";
  let read = copied;
  for (let at = flawIn(read); at !== null; at = flawIn(read)) {
    const value = (REPAIR - read.n) * (read.points.length + 1) + at;
    digits += digitsOf(value - read.i, read.bias);
    read = withValue(read, value);
  }
  return digits;
}

/** @returns where a letter is missing; later ones come further behind */
function flawIn({ points, i }: Decoding): number | null {
  if (points[0] === HYPHEN) return 0;
  if (points[2] === HYPHEN && points[3] === HYPHEN) return 3;
  return points.at(-1) === HYPHEN || i === 0 ? points.length : null;
}

/** The digits of an integer. */
function digitsOf(integer: number, bias: number): string {
  let digits = "";
  let left = integer;
  for (let k = BASE; ; k += BASE) {
    const t = threshold(k, bias);
    if (left < t) return digits + DIGITS[left]!;
    digits += DIGITS[t + ((left - t) % (BASE - t))]!;
    left = Math.floor((left - t) / (BASE - t));
  }
}

// Labels, RFC 5891, section 4.2

/** Whether the code points are a label that has at least one beyond ASCII. Each by itself may be in labels. */
function isLabel({ points, i }: Decoding): boolean {
  const isHyphen = (at: number): boolean => points.at(at) === HYPHEN;
  if (i === 0 || isHyphen(0) || isHyphen(-1) || (isHyphen(2) && isHyphen(3))) return false;
  const text = String.fromCodePoint(...points);
  return !/^\p{M}/u.test(text) && runsOneWay(text) && isInContext(points, text) && text.normalize("NFC") === text;
}

// The Bidi rule, RFC 5893. Blocks that run right to left are allocated for good; R and AL are alike in every condition.

const BLOCKS = "\\u0590-\\u08ff\\ufb1d-\\ufdff\\ufe70-\\ufeff\\u{10800}-\\u{10fff}\\u{1e800}-\\u{1efff}";
const ARABIC_DIGITS = "\\u0660-\\u0669\\u{10d30}-\\u{10d39}\\u{10d40}-\\u{10d49}";
const EUROPEAN_DIGITS = "0-9\\u06f0-\\u06f9";
const R = `(?![\\p{Mn}${ARABIC_DIGITS}${EUROPEAN_DIGITS}])[${BLOCKS}]`;
const NSM = `(?:(?=\\p{Mn})[${BLOCKS}\\p{Script=Inherited}])`;
const RIGHT_TO_LEFT_OR_DIGIT = new RegExp(`${R}|[${ARABIC_DIGITS}]`, "u");
const ALL_RIGHT_TO_LEFT = new RegExp(`^(?:${R}|${NSM}|[${ARABIC_DIGITS}${EUROPEAN_DIGITS}\\-\\u200c\\u200d])*$`, "u");
const BEGINS_RIGHT_TO_LEFT = new RegExp(`^(?:${R})`, "u");
const ENDS_RIGHT_TO_LEFT = new RegExp(`(?:${R}|[${ARABIC_DIGITS}${EUROPEAN_DIGITS}])${NSM}*$`, "u");
const EUROPEAN = new RegExp(`[${EUROPEAN_DIGITS}]`, "u");
const ARABIC_NUMBER = new RegExp(`[${ARABIC_DIGITS}]`, "u");

function runsOneWay(text: string): boolean {
  if (!RIGHT_TO_LEFT_OR_DIGIT.test(text)) return true;
  if (EUROPEAN.test(text) && ARABIC_NUMBER.test(text)) return false;
  return BEGINS_RIGHT_TO_LEFT.test(text) && ENDS_RIGHT_TO_LEFT.test(text) && ALL_RIGHT_TO_LEFT.test(text);
}

/** The contextual rules of RFC 5892, appendix A. */
function isInContext(points: readonly number[], text: string): boolean {
  if (!HAS_CONTEXT.test(text)) return true;
  if (/[\u0660-\u0669]/.test(text) && /[\u06f0-\u06f9]/.test(text)) return false;
  return points.every((codePoint, index) => {
    const before = index > 0 ? String.fromCodePoint(points[index - 1]!) : "";
    const after = index + 1 < points.length ? String.fromCodePoint(points[index + 1]!) : "";
    switch (codePoint) {
      case 0xb7:
        return before === "l" && after === "l";
      case 0x375:
        return /\p{Script=Greek}/u.test(after);
      case 0x5f3:
      case 0x5f4:
        return /\p{Script=Hebrew}/u.test(before);
      case 0x30fb:
        return /[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}]/u.test(text);
      case 0x200c:
        return isVirama(before) || isBetweenJoining(points, index);
      case 0x200d:
        return isVirama(before);
      default:
        return true;
    }
  });
}

const HAS_CONTEXT = /[\u00b7\u0375\u05f3\u05f4\u0660-\u0669\u06f0-\u06f9\u200c-\u200d\u30fb]/;

/** Canonical_Combining_Class 9: NFD sorts it behind a mark of class 8 and before one of class 10. */
function isVirama(character: string): boolean {
  if (["", "\u3099", "\u05b0"].includes(character)) return false;
  return (
    `${character}\u3099`.normalize("NFD") === `\u3099${character}` &&
    `\u05b0${character}`.normalize("NFD") === `${character}\u05b0`
  );
}

/** The second half of rule A.1: between letters that join, whatever marks stand between. */
function isBetweenJoining(points: readonly number[], index: number): boolean {
  const isLetter = (codePoint: number): boolean => !/[\p{Mn}\p{Me}]/u.test(String.fromCodePoint(codePoint));
  const before = points.slice(0, index).findLast(isLetter);
  const after = points.slice(index + 1).find(isLetter);
  // A letter that joins on both sides has four presentation forms, one that joins to the right has two.
  return before !== undefined && after !== undefined && numForms(before) === 4 && numForms(after) >= 2;
}

function numForms(letter: number): number {
  let count = 0;
  for (let form = 0xfb50; form <= 0xfefc; form++) {
    if (String.fromCodePoint(form).normalize("NFKC") === String.fromCodePoint(letter)) count++;
  }
  return count;
}

// The derived property, RFC 5892, section 3

/** Whether labels may hold it, by itself or in context: PVALID, CONTEXTJ or CONTEXTO. */
function isInLabels(codePoint: number): boolean {
  return block(codePoint >> 8)[codePoint & 255] === 1;
}

/** 256 code points each, looked at when asked for. */
const blocks = new Map<number, Uint8Array>();

function block(number: number): Uint8Array {
  let known = blocks.get(number);
  if (known === undefined) {
    known = Uint8Array.from({ length: 256 }, (_, offset) =>
      Number(IN_LABELS.test(String.fromCodePoint(number * 256 + offset))),
    );
    blocks.set(number, known);
  }
  return known;
}

const ALWAYS = "\\u00df\\u03c2\\u06fd\\u06fe\\u0f0b\\u3007";
const IN_CONTEXT = "\\u00b7\\u0375\\u05f3\\u05f4\\u30fb\\u200c\\u200d";
const NEVER = "\\u0640\\u07fa\\u302e\\u302f\\u3031-\\u3035\\u303b";
const OLD_HANGUL = "\\u1100-\\u11ff\\ua960-\\ua97f\\ud7b0-\\ud7ff";
const IGNORABLE =
  "\\p{Default_Ignorable_Code_Point}\\p{White_Space}\\u20d0-\\u20ff\\u{1d100}-\\u{1d1ff}\\u{1d200}-\\u{1d24f}";
const UNSTABLE = "\\p{Changes_When_NFKC_Casefolded}";
const LETTER_DIGITS = "\\p{Ll}\\p{Lu}\\p{Lo}\\p{Nd}\\p{Lm}\\p{Mn}\\p{Mc}";
const IN_LABELS = new RegExp(
  `^(?:[${ALWAYS}${IN_CONTEXT}]|(?![${NEVER}${OLD_HANGUL}${IGNORABLE}${UNSTABLE}])[${LETTER_DIGITS}])$`,
  "u",
);
