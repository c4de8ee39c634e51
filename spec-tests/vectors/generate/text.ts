/** Reference of TS-5.1 to TS-5.7 on complete texts, without state or automata: the text that may be emitted so far. */

/** The text of a token, or its bytes if they are not valid text. */
export type Piece = string | readonly number[];

const utf8 = new TextEncoder();

export const bytesOf = (piece: Piece): readonly number[] =>
  typeof piece === "string" ? [...utf8.encode(piece)] : piece;

/** Well-formed sequences (Unicode, table 3-7), then beginnings of one, then any byte. The first match is used. */
const WELL_FORMED =
  "[\\x00-\\x7f]|[\\xc2-\\xdf][\\x80-\\xbf]|\\xe0[\\xa0-\\xbf][\\x80-\\xbf]|[\\xe1-\\xec\\xee\\xef][\\x80-\\xbf]{2}|\\xed[\\x80-\\x9f][\\x80-\\xbf]" +
  "|\\xf0[\\x90-\\xbf][\\x80-\\xbf]{2}|[\\xf1-\\xf3][\\x80-\\xbf]{3}|\\xf4[\\x80-\\x8f][\\x80-\\xbf]{2}";
const BEGINNING =
  "\\xf0[\\x90-\\xbf][\\x80-\\xbf]?|[\\xf1-\\xf3][\\x80-\\xbf]{1,2}|\\xf4[\\x80-\\x8f][\\x80-\\xbf]?|\\xe0[\\xa0-\\xbf]|[\\xe1-\\xec\\xee\\xef][\\x80-\\xbf]" +
  "|\\xed[\\x80-\\x9f]|[\\xc2-\\xdf\\xe0-\\xef\\xf0-\\xf4]";
const SUBPARTS = new RegExp(`(${WELL_FORMED})|(${BEGINNING})|[^]`, "g");

/** @returns the text, and the number of bytes at the end that are an incomplete code point */
export function decode(bytes: readonly number[]): { readonly text: string; readonly numIncomplete: number } {
  const latin1 = String.fromCharCode(...bytes);
  let text = "";
  let numIncomplete = 0;
  for (const { 0: part, 1: whole, 2: beginning, index } of latin1.matchAll(SUBPARTS)) {
    if (whole !== undefined) text += codePoint(whole);
    else if (beginning !== undefined && index + part.length === latin1.length) numIncomplete = part.length;
    else text += "\uFFFD";
  }
  return { text, numIncomplete };
}

function codePoint(sequence: string): string {
  const [lead = 0, ...rest] = Array.from(sequence, (unit) => unit.charCodeAt(0));
  const high = rest.length === 0 ? lead : lead & (0x7f >> (rest.length + 1));
  return String.fromCodePoint(rest.reduce((value, byte) => value * 64 + (byte & 0x3f), high));
}

/** @returns the text of the pieces. If no more can follow, an incomplete end becomes U+FFFD */
export function textOf(pieces: readonly Piece[], isOver: boolean): string {
  const { text, numIncomplete } = decode(pieces.flatMap(bytesOf));
  return isOver && numIncomplete > 0 ? `${text}\uFFFD` : text;
}

/** The emitted part of a text, and the stop sequence that ended it. */
export interface Stopped {
  readonly visible: string;
  readonly stopped: string | null;
}

/** @param isOver true if no more text can follow, so that nothing is held back */
export function stopIn(text: string, stop: readonly string[], include: boolean, isOver: boolean): Stopped {
  for (let end = 1; end <= text.length; end++) {
    const completed = stop.filter((one) => text.slice(0, end).endsWith(one));
    if (completed.length === 0) continue;
    const stopped = completed.reduce((a, b) => (b.length > a.length ? b : a));
    return { visible: text.slice(0, include ? end : end - stopped.length), stopped };
  }
  return { visible: isOver ? text : text.slice(0, text.length - numBeginning(text, stop)), stopped: null };
}

/** Returns the length of the longest suffix of a text that is a proper prefix of one of `awaited`. */
export function numBeginning(text: string, awaited: readonly string[]): number {
  for (let length = text.length; length > 0; length--) {
    const end = text.slice(text.length - length);
    if (awaited.some((one) => one.length > length && one.startsWith(end))) return length;
  }
  return 0;
}
