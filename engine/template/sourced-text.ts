/**
 * Text that records which of its characters came from a message. Text of the template is a plain string. Slices and
 * concatenations keep the origin of each character, so that users cannot type special tokens.
 */

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
    : new SourcedText(value.text.slice(start, end), value.isMessage.subarray(start, end));
}

export function concat(parts: readonly Text[]): Text {
  const text = parts.map(plain).join("");
  if (parts.every((part) => typeof part === "string")) return text;
  const isMessage = new Uint8Array(text.length);
  let place = 0;
  for (const part of parts) {
    if (typeof part !== "string") isMessage.set(part.isMessage, place);
    place += plain(part).length;
  }
  return new SourcedText(text, isMessage);
}

export function join(parts: readonly Text[], between: Text): Text {
  return concat(parts.flatMap((part, index) => (index === 0 ? [part] : [between, part])));
}

/** Transforms a text. If its length changes, all of the result counts as text of a message. */
export function rewrite(value: Text, write: (text: string) => string): Text {
  if (typeof value === "string") return write(value);
  const text = write(value.text);
  return text.length === value.text.length ? new SourcedText(text, value.isMessage) : SourcedText.ofMessage(text);
}

export function characters(value: Text): Text[] {
  let place = 0;
  return Array.from(plain(value), ({ length }) => cut(value, place, (place += length)));
}
