/**
 * Divides a message into parts while the model writes it (contract, section 6).
 *
 * 1. start: white space, then the opening tag of the reasoning. If other text follows, everything is the answer.
 * 2. reasoning: up to its closing tag.
 * 3. gap: white space between the reasoning and the answer.
 * 4. answer: all further text.
 *
 * The text stream passes characters; the token mask passes bytes, as one character each. Tags and white space are
 * ASCII, so both get the same parts. Text is held back only while it can still become a tag.
 */

import type { Markup, MessageFormat } from "./message-format.js";

/** `markup` is a tag; `lead` is the white space before an opening tag. */
export type Part = "lead" | "markup" | "reasoning" | "gap" | "answer";

export interface Span {
  readonly part: Part;
  /** Never empty. */
  readonly text: string;
}

export type Phase = "start" | "reasoning" | "gap" | "answer";

/** State of the tracker. */
interface Place {
  readonly phase: Phase;
  /** White space read so far, while the phase is `start`. */
  readonly blank: string;
  /** Proper prefix of the expected tag that has been read. */
  readonly partial: string;
}

export class MessageTracker {
  readonly #reasoning: Markup | null;
  #place: Place;

  /** @param insideReasoning true if the prompt ends inside the reasoning */
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

  /** White space read so far, while the phase is `start`. */
  get blank(): string {
    return this.#place.blank;
  }

  /** Longest suffix of the text that is a prefix of the expected tag. */
  get partial(): string {
    return this.#place.partial;
  }

  /** Adds text. @returns the spans whose part is now certain, in order */
  push(text: string): Span[] {
    const { place, spans } = this.#read(text);
    this.#place = place;
    return spans;
  }

  /** @returns the result that `push` would return, without adding the text */
  peek(text: string): Span[] {
    return this.#read(text).spans;
  }

  /** Ends the text. @returns held text that is not a tag; an incomplete closing tag is dropped */
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

/** Returns true for the white space of the contract: space, tab, carriage return, line feed. */
export const isBlank = (unit: number): boolean => unit === 0x20 || unit === 0x09 || unit === 0x0d || unit === 0x0a;

export function leadingBlank(text: string): number {
  let length = 0;
  while (isBlank(text.charCodeAt(length))) length++;
  return length;
}

/** Returns the length of the longest suffix of `text` that is a proper prefix of `markup`. */
export function endThatBegins(text: string, markup: string): number {
  for (let length = Math.min(text.length, markup.length - 1); length > 0; length--) {
    if (markup.startsWith(text.slice(text.length - length))) return length;
  }
  return 0;
}
