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

/** Text that the filters `safe` and `escape` mark as HTML (Python's Markup): what is added to it by + is escaped. */
export class SafeText extends SourcedText {
  static of(value: Text): SafeText {
    if (value instanceof SafeText) return value;
    return typeof value === "string"
      ? new SafeText(value, new Uint8Array(value.length))
      : new SafeText(value.text, value.isMessage);
  }
}

/** Returns a part or a change of a text, marked as safe if the text is. */
export const sameKind = (value: Text, result: Text): Text => (value instanceof SafeText ? SafeText.of(result) : result);

export const isText = (value: unknown): value is Text => typeof value === "string" || value instanceof SourcedText;

export const plain = (value: Text): string => (typeof value === "string" ? value : value.text);

/** Slices a text; positions are UTF-16 code units. */
export function cut(value: Text, start: number, end: number): Text {
  return typeof value === "string"
    ? value.slice(start, end)
    : like(value, value.text.slice(start, end), cutMarks(value.isMessage, start, end));
}

const like = (value: SourcedText, text: string, isMessage: Uint8Array): SourcedText =>
  value instanceof SafeText ? new SafeText(text, isMessage) : new SourcedText(text, isMessage);

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
  return like(value, text, isMessage);
}

/** Transforms a text. If its length changes, all of the result counts as text of a message. */
export function rewrite(value: Text, write: (text: string) => string, budget: RenderBudget): Text {
  budget.allocate(plain(value).length);
  if (typeof value === "string") return write(value);
  const text = write(value.text);
  return like(value, text, text.length === value.text.length ? value.isMessage : SourcedText.ofMessage(text).isMessage);
}

/** Returns the characters, which are code points, of a text. */
export function characters(value: Text, budget: RenderBudget): Text[] {
  budget.allocateTexts(plain(value).length);
  const own = value instanceof SafeText ? new SourcedText(value.text, value.isMessage) : value;
  let place = 0;
  return Array.from(plain(own), ({ length }) => cut(own, place, (place += length)));
}

/** Returns true if every character of a text is one code unit, so that characters are found by position. */
export function isFlat(value: Text, budget: RenderBudget): boolean {
  budget.spend(1 + plain(value).length / 16);
  return !/[\uD800-\uDBFF]/.test(plain(value));
}

/** Returns the number of characters of a text, without creating them. */
export function numCharacters(value: Text, budget: RenderBudget): number {
  if (isFlat(value, budget)) return plain(value).length;
  const text = plain(value);
  budget.spend(1 + text.length / 4);
  let count = text.length;
  for (let at = 0; at < text.length - 1; at++)
    if (text.codePointAt(at)! > 0xffff) {
      count--;
      at++;
    }
  return count;
}

/**
 * Returns the UTF-16 position at which a character starts; the length of the text for one after its end.
 *
 * @param index at least 0
 */
export function positionOf(value: Text, index: number, budget: RenderBudget): number {
  const text = plain(value);
  if (isFlat(value, budget)) return Math.min(index, text.length);
  budget.spend(1 + Math.min(index, text.length) / 4);
  let at = 0;
  for (let rest = index; rest > 0 && at < text.length; rest--) at += text.codePointAt(at)! > 0xffff ? 2 : 1;
  return at;
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  "'": "&#39;",
  '"': "&#34;",
};

/** Escapes a text for HTML, unless it is marked as HTML already. An entity has the origin of its character. */
export function escaped(value: Text, budget: RenderBudget): SafeText {
  if (value instanceof SafeText) return value;
  budget.spend(1 + plain(value).length / 4);
  const parts: Text[] = [];
  let place = 0;
  for (const { 0: character, index } of plain(value).matchAll(/[&<>'"]/g)) {
    budget.allocateTexts(2);
    const entity = ENTITIES[character]!;
    const isMessage = typeof value !== "string" && value.isMessage[index] === 1;
    parts.push(cut(value, place, index), isMessage ? SourcedText.ofMessage(entity) : entity);
    place = index + 1;
  }
  parts.push(cut(value, place, plain(value).length));
  return SafeText.of(concat(parts, budget));
}
