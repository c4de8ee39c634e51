/**
 * Text that knows which of its characters came from a message. A template's own text is a plain string; whatever is cut from
 * a message or joined with it keeps the difference, so that nobody can type a special token.
 */

export type Text = string | SourcedText;

export class SourcedText {
  /** @param isMessage 1 for each UTF-16 code unit of a message's, 0 for the template's */
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

/** As `slice`: places are code units. */
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

/** Writes the text anew. Where places no longer agree, all of it counts as the message's. */
export function rewrite(value: Text, write: (text: string) => string): Text {
  if (typeof value === "string") return write(value);
  const text = write(value.text);
  return text.length === value.text.length ? new SourcedText(text, value.isMessage) : SourcedText.ofMessage(text);
}

export function characters(value: Text): Text[] {
  let place = 0;
  return Array.from(plain(value), ({ length }) => cut(value, place, (place += length)));
}
