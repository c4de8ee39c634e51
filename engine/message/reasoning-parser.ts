/**
 * Tells reasoning from answer in the text as it arrives (contract, section 6).
 *
 * 1. start: white space, then perhaps the opening tag; anything else, and all of it is the answer.
 * 2. reasoning: up to the closing tag, which may arrive in parts.
 * 3. gap: white space between the closing tag and the answer.
 * 4. answer: everything else, nothing held back.
 *
 * It knows nothing of tokens or stop sequences; text-stream.ts puts them together.
 */

import type { Markup } from "./message-format.js";

/** How a model reasons, and where its output begins. */
export interface Reasoning extends Markup {
  /** Whether the template has written the opening tag into the prompt. */
  readonly startsInside: boolean;
}

/**
 * A piece of the text. `reasoning` is what a client who asked for it gets apart; `frame` is content that is not the
 * answer (tags, reasoning and the white space around them, for a client who wants one text); `answer` is the answer.
 */
export interface TextSegment {
  readonly channel: "reasoning" | "frame" | "answer";
  readonly text: string;
}

type Phase = "start" | "reasoning" | "gap" | "answer";

export class ReasoningParser {
  readonly #tags: Markup;
  readonly #separate: boolean;
  #phase: Phase;
  #hasReasoning: boolean;
  /** The opening tag of the prompt, until it has been given back to a client who wants one text. */
  #restored = "";
  /** White space that may still turn out to end the reasoning, or to come before an opening tag. */
  #blank = "";
  /** A proper beginning of the tag that is awaited. */
  #partial = "";
  #reasoningBegun = false;

  /**
   * @param reasoning null for a model that does not reason: all its text is the answer
   * @param separate whether the client gets the reasoning apart from the answer
   */
  constructor(reasoning: Reasoning | null, separate: boolean) {
    const { startsInside, ...tags } = reasoning ?? { open: "", close: "", startsInside: false };
    this.#tags = tags;
    this.#separate = separate;
    this.#hasReasoning = startsInside;
    this.#phase = reasoning === null ? "answer" : startsInside ? "reasoning" : "start";
    if (startsInside && !separate) this.#restored = tags.open;
  }

  /** Whether there is reasoning, finished or not. */
  get hasReasoning(): boolean {
    return this.#hasReasoning;
  }

  /** Whether the reasoning has begun and its closing tag has not come yet. */
  get insideReasoning(): boolean {
    return this.#phase === "reasoning";
  }

  /** Whether text that comes now belongs to the answer: stop sequences and the grammar apply. */
  get answerBegun(): boolean {
    return this.#phase === "answer";
  }

  /** Takes more text. @returns the segments that are now certain, in order, none empty */
  push(text: string): TextSegment[] {
    const segments: TextSegment[] = [];
    this.#emit(segments, "frame", this.#restored);
    this.#restored = "";
    let rest = text;
    if (this.#phase === "start") rest = this.#start(rest, segments);
    if (this.#phase === "reasoning") rest = this.#reason(rest, segments);
    if (this.#phase === "gap") rest = this.#skipGap(rest, segments);
    this.#emit(segments, "answer", rest);
    return segments;
  }

  /** The end of the text. @returns what was held back and can no longer become a tag */
  finish(): TextSegment[] {
    const segments = this.push("");
    // An unfinished reasoning loses its last white space and a beginning of the closing tag.
    if (this.#phase === "start") this.#answer(segments);
    return segments;
  }

  #emit(segments: TextSegment[], channel: TextSegment["channel"], text: string): void {
    if (text !== "") segments.push({ channel, text });
  }

  #start(text: string, segments: TextSegment[]): string {
    const open = this.#tags.open;
    let rest = text;
    if (this.#partial === "") {
      const numBlank = leadingBlank(rest);
      this.#blank += rest.slice(0, numBlank);
      rest = rest.slice(numBlank);
    }
    const candidate = this.#partial + rest;
    if (candidate.startsWith(open)) {
      if (!this.#separate) this.#emit(segments, "frame", this.#blank + open);
      this.#blank = "";
      this.#partial = "";
      this.#hasReasoning = true;
      this.#phase = "reasoning";
      return candidate.slice(open.length);
    }
    this.#partial = candidate;
    if (!open.startsWith(candidate)) this.#answer(segments);
    return "";
  }

  /** What came so far was no opening tag: it is the answer. */
  #answer(segments: TextSegment[]): void {
    this.#emit(segments, "answer", this.#blank + this.#partial);
    this.#phase = "answer";
  }

  #reason(text: string, segments: TextSegment[]): string {
    const close = this.#tags.close;
    const candidate = this.#partial + text;
    const start = candidate.indexOf(close);
    const end = start < 0 ? candidate.length : start + close.length;
    // One text for the client: all of it goes out at once, and only the tag's recognition needs the past.
    if (!this.#separate) this.#emit(segments, "frame", candidate.slice(this.#partial.length, end));
    if (start >= 0) {
      if (this.#separate) this.#emitReasoning(candidate.slice(0, start), segments);
      this.#phase = "gap";
      return candidate.slice(end);
    }
    const numHeld = endThatBegins(candidate, close);
    this.#partial = candidate.slice(candidate.length - numHeld);
    if (this.#separate) this.#emitReasoning(candidate.slice(0, candidate.length - numHeld), segments);
    return "";
  }

  /** Emits reasoning without white space at its two ends: the last white space waits for more text. */
  #emitReasoning(text: string, segments: TextSegment[]): void {
    const body = this.#reasoningBegun ? text : text.slice(leadingBlank(text));
    const numKept = body.length - trailingBlank(body);
    if (numKept === 0) {
      this.#blank += body;
      return;
    }
    this.#emit(segments, "reasoning", this.#blank + body.slice(0, numKept));
    this.#blank = body.slice(numKept);
    this.#reasoningBegun = true;
  }

  #skipGap(text: string, segments: TextSegment[]): string {
    const numBlank = leadingBlank(text);
    if (!this.#separate) this.#emit(segments, "frame", text.slice(0, numBlank));
    if (numBlank < text.length) this.#phase = "answer";
    return text.slice(numBlank);
  }
}

const isBlank = (unit: number): boolean => unit === 0x20 || unit === 0x09 || unit === 0x0d || unit === 0x0a;

function leadingBlank(text: string): number {
  let length = 0;
  while (isBlank(text.charCodeAt(length))) length++;
  return length;
}

function trailingBlank(text: string): number {
  let length = 0;
  while (isBlank(text.charCodeAt(text.length - 1 - length))) length++;
  return length;
}

/** Length of the longest end of `text` that is a proper beginning of `tag`. */
function endThatBegins(text: string, tag: string): number {
  for (let length = Math.min(text.length, tag.length - 1); length > 0; length--) {
    if (tag.startsWith(text.slice(text.length - length))) return length;
  }
  return 0;
}
