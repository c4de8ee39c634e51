/**
 * Reasoning and answer as a client gets them (contract, section 6): apart, or as one text with all markup.
 * It knows nothing of tokens or stop sequences; text-stream.ts puts them together.
 */

import type { MessageFormat } from "./message-format.js";
import { isBlank, leadingBlank, MessageTracker, type Span } from "./message-tracker.js";

/**
 * A piece of the text. `reasoning` goes to a client who wants it apart; `frame` is content that is not the answer
 * (markup, reasoning and the white space around them, for a client who wants one text); `answer` is the answer.
 */
export interface TextSegment {
  readonly channel: "reasoning" | "frame" | "answer";
  readonly text: string;
}

export interface ReasoningParserOptions {
  readonly format: MessageFormat;
  /** Whether the prompt ends inside the reasoning. */
  readonly insideReasoning: boolean;
  /** Whether the client gets the reasoning apart from the answer. */
  readonly separate: boolean;
}

export class ReasoningParser {
  readonly #tracker: MessageTracker;
  readonly #separate: boolean;
  #hasReasoning: boolean;
  /** The prompt's opening markup, until a client who wants one text has got it back. */
  #restored = "";
  /** Apart: white space that may still turn out to end the reasoning. */
  #blank = "";
  #reasoningBegun = false;
  /** One text: characters that went out before the tracker was certain of their part. */
  #numAhead = 0;

  constructor({ format, insideReasoning, separate }: ReasoningParserOptions) {
    this.#tracker = new MessageTracker(format, insideReasoning);
    this.#separate = separate;
    this.#hasReasoning = this.insideReasoning;
    if (this.insideReasoning && !separate) this.#restored = format.reasoning?.open ?? "";
  }

  /** Whether there is reasoning, finished or not. */
  get hasReasoning(): boolean {
    return this.#hasReasoning;
  }

  /** Whether the reasoning has begun and its closing markup has not come yet. */
  get insideReasoning(): boolean {
    return this.#tracker.phase === "reasoning";
  }

  /** Takes more text. @returns the segments that are now certain, in order, none empty */
  push(text: string): TextSegment[] {
    const spans = this.#tracker.push(text);
    this.#hasReasoning ||= spans.some(({ part }) => part === "markup");
    return this.#separate ? this.#apart(spans) : this.#together(spans);
  }

  /** The end of the text. @returns what was held back and can no longer become markup */
  finish(): TextSegment[] {
    const restored = this.push("");
    // Unfinished reasoning loses its last white space and a beginning of the closing markup.
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
    // Inside the reasoning all text is frame, whatever the tracker makes of it: nothing waits.
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

  /** Reasoning without white space at its two ends: the last white space waits for more text. */
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
