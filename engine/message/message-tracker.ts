/**
 * Reads a message as the model writes it and says which part each character belongs to (contract, section 6).
 *
 * 1. start: white space, then perhaps the markup that opens the reasoning; with anything else, all of it is the answer.
 * 2. reasoning: up to the markup that closes it.
 * 3. gap: white space between the reasoning and the answer.
 * 4. answer: everything else.
 *
 * The text stream reads characters and the token mask reads bytes, one character for each: markup and white space are
 * ASCII, so both see the same parts. Text is held back only while it may still turn out to be markup.
 */

import type { Markup, MessageFormat } from "./message-format.js";

/** `lead` is the white space before markup that opens a part. */
export type Part = "lead" | "markup" | "reasoning" | "gap" | "answer";

export interface Span {
  readonly part: Part;
  /** Never empty. */
  readonly text: string;
}

export type Phase = "start" | "reasoning" | "gap" | "answer";

/** What has been read so far, as far as it decides what comes. */
interface Place {
  readonly phase: Phase;
  /** At the start: the white space so far. */
  readonly blank: string;
  /** A proper beginning of the markup that is awaited. */
  readonly partial: string;
}

export class MessageTracker {
  readonly #reasoning: Markup | null;
  #place: Place;

  /** @param insideReasoning whether the prompt ends inside the reasoning */
  constructor({ reasoning }: MessageFormat, insideReasoning: boolean) {
    this.#reasoning = reasoning;
    this.#place = {
      phase: reasoning === null ? "answer" : insideReasoning ? "reasoning" : "start",
      blank: "",
      partial: "",
    };
  }

  get phase(): Phase {
    return this.#place.phase;
  }

  /** At the start: the white space so far. */
  get blank(): string {
    return this.#place.blank;
  }

  /** The end of the text that begins the markup that is awaited. */
  get partial(): string {
    return this.#place.partial;
  }

  /** Takes more text. @returns what is now certain, in order */
  push(text: string): Span[] {
    const { place, spans } = this.#read(text);
    this.#place = place;
    return spans;
  }

  /** @returns what `push` would return, without taking the text */
  peek(text: string): Span[] {
    return this.#read(text).spans;
  }

  /** The end of the text. @returns what was held back and is no markup; a beginning of closing markup is dropped */
  finish(): Span[] {
    const { phase, blank, partial } = this.#place;
    if (phase !== "start" || blank + partial === "") return [];
    this.#place = { phase: "answer", blank: "", partial: "" };
    return [{ part: "answer", text: blank + partial }];
  }

  #read(text: string): { place: Place; spans: Span[] } {
    const spans: Span[] = [];
    const emit = (part: Part, found: string): void => {
      if (found !== "") spans.push({ part, text: found });
    };
    let { phase, blank, partial } = this.#place;
    let rest = text;
    if (phase === "start") {
      const { open } = this.#reasoning!;
      if (partial === "") {
        const numBlank = leadingBlank(rest);
        blank += rest.slice(0, numBlank);
        rest = rest.slice(numBlank);
      }
      const candidate = partial + rest;
      if (candidate.startsWith(open)) {
        emit("lead", blank);
        emit("markup", open);
        [phase, blank, partial, rest] = ["reasoning", "", "", candidate.slice(open.length)];
      } else if (open.startsWith(candidate)) {
        return { place: { phase, blank, partial: candidate }, spans };
      } else {
        [phase, rest, blank, partial] = ["answer", blank + candidate, "", ""];
      }
    }
    if (phase === "reasoning") {
      const { close } = this.#reasoning!;
      const candidate = partial + rest;
      const start = candidate.indexOf(close);
      if (start < 0) {
        const kept = candidate.length - endThatBegins(candidate, close);
        emit("reasoning", candidate.slice(0, kept));
        return { place: { phase, blank, partial: candidate.slice(kept) }, spans };
      }
      emit("reasoning", candidate.slice(0, start));
      emit("markup", close);
      [phase, partial, rest] = ["gap", "", candidate.slice(start + close.length)];
    }
    if (phase === "gap") {
      const numBlank = leadingBlank(rest);
      emit("gap", rest.slice(0, numBlank));
      rest = rest.slice(numBlank);
      if (rest !== "") phase = "answer";
    }
    emit("answer", rest);
    return { place: { phase, blank, partial }, spans };
  }
}

/** White space of the contract: space, tab, carriage return, line feed. */
export const isBlank = (unit: number): boolean => unit === 0x20 || unit === 0x09 || unit === 0x0d || unit === 0x0a;

export function leadingBlank(text: string): number {
  let length = 0;
  while (isBlank(text.charCodeAt(length))) length++;
  return length;
}

/** Length of the longest end of `text` that is a proper beginning of `markup`. */
function endThatBegins(text: string, markup: string): number {
  for (let length = Math.min(text.length, markup.length - 1); length > 0; length--) {
    if (markup.startsWith(text.slice(text.length - length))) return length;
  }
  return 0;
}
