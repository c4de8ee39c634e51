/** Converts tokens to text with the same components as engine/message/text-stream.ts, and implements the text bugs. */

import { THINK, THINKING } from "../../engine/message/message-format.js";
import { ReasoningParser, type TextSegment } from "../../engine/message/reasoning-parser.js";
import { StopMatcher } from "../../engine/text/stop-matcher.js";
import { StreamingDetokenizer } from "../../engine/text/streaming-detokenizer.js";
import type { TextDelta } from "../../engine/message/text-stream.js";
import type { Tokenizer } from "../../engine/text/tokenizer.js";
import type { BugName } from "./bugs.js";

export interface MockTextOptions {
  readonly tokenizer: Tokenizer;
  readonly promptIds: readonly number[];
  readonly stop: readonly string[];
  readonly includeStop: boolean;
  readonly separateReasoning: boolean;
  readonly isStreamed: boolean;
  /** Parser of an earlier choice, for the bug choices-share-parser. */
  readonly parser: ReasoningParser | null;
}

export class MockText {
  readonly parser: ReasoningParser;
  readonly #options: MockTextOptions;
  readonly #bugs: ReadonlySet<BugName>;
  readonly #detokenizer: StreamingDetokenizer;
  #stopMatcher: StopMatcher;
  #numTokens = 0;
  #numReasoningTokens: number | null = null;

  constructor(options: MockTextOptions, bugs: ReadonlySet<BugName>) {
    this.#options = options;
    this.#bugs = bugs;
    this.#detokenizer = new StreamingDetokenizer(options.tokenizer, options.promptIds);
    this.#stopMatcher = this.#createStopMatcher();
    const shared = bugs.has("choices-share-parser") ? options.parser : null;
    this.parser =
      shared ?? new ReasoningParser({ format: THINKING, insideReasoning: false, separate: options.separateReasoning });
  }

  push(tokenId: number): TextDelta {
    this.#numTokens++;
    const delta = this.#pass(this.#parse(this.#decode(tokenId)));
    if (this.parser.hasReasoning && !this.parser.insideReasoning) this.#numReasoningTokens ??= this.#numTokens;
    return delta;
  }

  pushEnd(): void {
    this.#numTokens++;
  }

  finish(): TextDelta {
    const first = this.#pass(this.#parse(this.#detokenizer.finish()));
    const second = this.#pass(this.parser.finish());
    const held = this.#bugs.has("held-back-tail-lost") ? "" : this.#stopMatcher.finish();
    return {
      reasoning: first.reasoning + second.reasoning,
      content: first.content + second.content + held,
      calls: [],
      stopped: second.stopped,
    };
  }

  get hasReasoning(): boolean {
    return this.parser.hasReasoning;
  }

  get numReasoningTokens(): number {
    if (!this.parser.hasReasoning) return 0;
    return this.#numReasoningTokens ?? this.#numTokens;
  }

  #decode(tokenId: number): string {
    if (this.#bugs.has("characters-split")) return this.#options.tokenizer.tokenText(tokenId);
    return this.#detokenizer.push(tokenId);
  }

  #parse(text: string): readonly TextSegment[] {
    const isBlind =
      this.#bugs.has("stream-misses-split-tags") && this.#options.isStreamed && this.parser.insideReasoning;
    if (!isBlind || text.includes(THINK.close)) return this.parser.push(text);
    // The piece does not contain the whole tag, so it counts as reasoning, and the parser never sees the end of a tag.
    return text === "" ? [] : [{ channel: this.#options.separateReasoning ? "reasoning" : "frame", text }];
  }

  #pass(segments: readonly TextSegment[]): TextDelta {
    let reasoning = "";
    let content = "";
    let stopped = this.#stopMatcher.stopped;
    for (const { channel, text } of segments) {
      const isAnswer = channel === "answer";
      const mayStop = isAnswer || this.#bugs.has("stop-inside-reasoning");
      const match = mayStop ? this.#match(text) : { text, stopped };
      if (channel === "reasoning") reasoning += match.text;
      else content += match.text;
      stopped = match.stopped;
    }
    return { reasoning, content, calls: [], stopped };
  }

  #match(text: string): { readonly text: string; readonly stopped: string | null } {
    if (this.#bugs.has("stop-within-one-token")) return this.#matchAlone(text);
    const match = this.#stopMatcher.push(text);
    if (!this.#options.isStreamed) return match;
    if (this.#bugs.has("stop-leaks-in-stream")) return { text, stopped: match.stopped };
    if (!this.#bugs.has("held-back-text-twice")) return match;
    // Released text precedes the new text; the bug adds it twice.
    const numReleased = match.text.length - text.length;
    return numReleased > 0 ? { ...match, text: match.text.slice(0, numReleased) + match.text } : match;
  }

  /** Searches the text of one token without the text before it. */
  #matchAlone(text: string): { readonly text: string; readonly stopped: string | null } {
    const held = this.#stopMatcher.finish();
    this.#stopMatcher = this.#createStopMatcher();
    const match = this.#stopMatcher.push(text);
    return { ...match, text: held + match.text };
  }

  #createStopMatcher(): StopMatcher {
    return new StopMatcher(this.#options.stop, this.#options.includeStop);
  }
}
