/**
 * Text that records which of its characters came from a message. Text of the template is a plain string. Slices and
 * concatenations keep the origin of each character, so that users cannot type special tokens.
 */

import type { RenderBudget } from "./render-budget.js";

export type Text = string | SourcedText;

export class SourcedText {
  /** @param isMessage per UTF-16 code unit: 1 for text of a message, 0 for text of the template */
  constructor(
    readonly text: string,
    readonly isMessage: Uint8Array,
  ) {}

  static ofMessage(text: string): SourcedText {
    return new SourcedText(text, new Uint8Array(text.length).fill(1));
  }
}

export const isText = (value: unknown): value is Text => typeof value === "string" || value instanceof SourcedText;

export const plain = (value: Text): string => (typeof value === "string" ? value : value.text);

/** Slices a text; positions are UTF-16 code units. */
export function cut(value: Text, start: number, end: number): Text {
  return typeof value === "string"
    ? value.slice(start, end)
    : new SourcedText(value.text.slice(start, end), cutMarks(value.isMessage, start, end));
}

/** A text can be cut into a million characters, and a view of an array takes long to create. */
function cutMarks(isMessage: Uint8Array, start: number, end: number): Uint8Array {
  const mark = isMessage[start];
  const shared = end - start === 1 ? ONE_MARK : end - start === 2 && isMessage[start + 1] === mark ? TWO_MARKS : null;
  return (mark === undefined ? null : shared?.[mark]) ?? isMessage.subarray(start, end);
}

const ONE_MARK = [Uint8Array.of(0), Uint8Array.of(1)];
const TWO_MARKS = [Uint8Array.of(0, 0), Uint8Array.of(1, 1)];

export function concat(parts: readonly Text[], budget: RenderBudget): Text {
  let length = 0;
  let isPlain = true;
  for (const part of parts) {
    length += plain(part).length;
    isPlain &&= typeof part === "string";
  }
  budget.allocate(length);
  budget.spend(parts.length);
  const text = parts.map(plain).join("");
  if (isPlain) return text;
  const isMessage = new Uint8Array(length);
  let place = 0;
  for (const part of parts) {
    if (typeof part !== "string") {
      if (part.text.length > MAX_COPIED) isMessage.set(part.isMessage, place);
      else for (let i = 0; i < part.text.length; i++) isMessage[place + i] = part.isMessage[i]!;
    }
    place += plain(part).length;
  }
  return new SourcedText(text, isMessage);
}

/** Marks up to which a loop copies them faster than a call. */
const MAX_COPIED = 16;

export function join(parts: readonly Text[], between: Text, budget: RenderBudget): Text {
  budget.allocateItems(2 * parts.length);
  return concat(
    parts.flatMap((part, index) => (index === 0 ? [part] : [between, part])),
    budget,
  );
}

export function repeat(value: Text, count: number, budget: RenderBudget): Text {
  if (count <= 0 || plain(value) === "") return "";
  budget.allocate(plain(value).length * count);
  const text = plain(value).repeat(count);
  if (typeof value === "string") return text;
  const isMessage = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place += value.text.length) isMessage.set(value.isMessage, place);
  return new SourcedText(text, isMessage);
}

/** Transforms a text. If its length changes, all of the result counts as text of a message. */
export function rewrite(value: Text, write: (text: string) => string, budget: RenderBudget): Text {
  budget.allocate(plain(value).length);
  if (typeof value === "string") return write(value);
  const text = write(value.text);
  return text.length === value.text.length ? new SourcedText(text, value.isMessage) : SourcedText.ofMessage(text);
}

/** Returns the characters, which are code points, of a text. */
export function characters(value: Text, budget: RenderBudget): Text[] {
  budget.allocateTexts(plain(value).length);
  let place = 0;
  return Array.from(plain(value), ({ length }) => cut(value, place, (place += length)));
}

/** Returns true if every character of a text is one code unit, so that characters are found by position. */
export function isFlat(value: Text, budget: RenderBudget): boolean {
  budget.spend(1 + plain(value).length / 16);
  return !/[\uD800-\uDBFF]/.test(plain(value));
}
