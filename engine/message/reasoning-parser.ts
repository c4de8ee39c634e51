/**
 * Produces reasoning and answer for the client (contract, section 6): separately, or as one text with all tags. It does
 * not handle tokens or stop sequences; text-stream.ts combines all three.
 */

import type { MessageFormat } from "./message-format.js";
import { isBlank, leadingBlank, MessageTracker, type Span } from "./message-tracker.js";

/**
 * A piece of the text. `reasoning` is reasoning in separate mode; `frame` is content outside the answer in one-text
 * mode (tags, reasoning and the white space around them); `answer` is the answer.
 */
export interface TextSegment {
  readonly channel: "reasoning" | "frame" | "answer";
  readonly text: string;
}

export interface ReasoningParserOptions {
  readonly format: MessageFormat;
  /** Set if the prompt ends inside the reasoning. */
  readonly insideReasoning: boolean;
  /** Set if the client gets the reasoning separately from the answer; otherwise both are one text. */
  readonly separate: boolean;
}

export class ReasoningParser {
  readonly #tracker: MessageTracker;
  readonly #separate: boolean;
  #hasReasoning: boolean;
  /** In one-text mode: the opening tag from the prompt, until it is emitted. */
  #restored = "";
  /** In separate mode: white space held back because it may be the end of the reasoning. */
  #blank = "";
  #reasoningBegun = false;
  /** In one-text mode: number of characters emitted before the tracker was certain of their part. */
  #numAhead = 0;

  constructor({ format, insideReasoning, separate }: ReasoningParserOptions) {
    this.#tracker = new MessageTracker(format, insideReasoning);
    this.#separate = separate;
    this.#hasReasoning = this.insideReasoning;
    if (this.insideReasoning && !separate) this.#restored = format.reasoning?.open ?? "";
  }

  /** True if the message has reasoning, finished or not. */
  get hasReasoning(): boolean {
    return this.#hasReasoning;
  }

  /** True if the reasoning has begun and its closing tag has not been read. */
  get insideReasoning(): boolean {
    return this.#tracker.phase === "reasoning";
  }

  /** Adds text. @returns the segments that are now certain, in order, none of them empty */
  push(text: string): TextSegment[] {
    const spans = this.#tracker.push(text);
    this.#hasReasoning ||= spans.some(({ part }) => part === "markup");
    return this.#separate ? this.#apart(spans) : this.#together(spans);
  }

  /** Ends the text. @returns held text, which can no longer become a tag */
  finish(): TextSegment[] {
    const restored = this.push("");
    // Unfinished reasoning loses its trailing white space and an incomplete closing tag.
    return [...restored, ...this.#tracker.finish().map(({ text }) => ({ channel: "answer", text }) as const)];
  }

  #together(spans: readonly Span[]): TextSegment[] {
    const segments: TextSegment[] = [];
    const emit = (channel: TextSegment["channel"], text: string): void => {
      if (text !== "") segments.push({ channel, text });
    };
    emit("frame", this.#restored);
    this.#restored = "";
    for (const { part, text } of spans) {
      const numAhead = Math.min(this.#numAhead, text.length);
      this.#numAhead -= numAhead;
      emit(part === "answer" ? "answer" : "frame", text.slice(numAhead));
    }
    // Inside the reasoning all text is frame, even an incomplete closing tag, so nothing is held back.
    if (this.insideReasoning) {
      emit("frame", this.#tracker.partial.slice(this.#numAhead));
      this.#numAhead = this.#tracker.partial.length;
    }
    return segments;
  }

  #apart(spans: readonly Span[]): TextSegment[] {
    return spans.flatMap(({ part, text }): TextSegment[] => {
      if (part === "answer") return [{ channel: "answer", text }];
      return part === "reasoning" ? this.#trimmed(text) : [];
    });
  }

  /** Trims white space at both ends of the reasoning; trailing white space is held until more text arrives. */
  #trimmed(text: string): TextSegment[] {
    const body = this.#reasoningBegun ? text : text.slice(leadingBlank(text));
    const numKept = body.length - trailingBlank(body);
    if (numKept === 0) {
      this.#blank += body;
      return [];
    }
    const kept = this.#blank + body.slice(0, numKept);
    this.#blank = body.slice(numKept);
    this.#reasoningBegun = true;
    return [{ channel: "reasoning", text: kept }];
  }
}

function trailingBlank(text: string): number {
  let length = 0;
  while (isBlank(text.charCodeAt(text.length - 1 - length))) length++;
  return length;
}
