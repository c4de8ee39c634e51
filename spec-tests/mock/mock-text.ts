/** Converts tokens to text with the same components as engine/message/text-stream.ts, and implements the text bugs. */

import { PLAIN, THINK } from "../../engine/message/message-format.js";
import { ReasoningParser, type TextSegment } from "../../engine/message/reasoning-parser.js";
import { StopMatcher } from "../../engine/text/stop-matcher.js";
import { StreamingDetokenizer } from "../../engine/text/streaming-detokenizer.js";
import type { CallDelta, TextDelta } from "../../engine/message/text-stream.js";
import type { Tokenizer } from "../../engine/text/tokenizer.js";
import type { BugName } from "./bugs.js";
import { MockCalls, type MockCallsOptions } from "./mock-calls.js";
import { CALL, FORMAT } from "./vocabulary.js";

export interface MockTextOptions {
  readonly tokenizer: Tokenizer;
  readonly promptIds: readonly number[];
  readonly stop: readonly string[];
  readonly includeStop: boolean;
  readonly separateReasoning: boolean;
  readonly isStreamed: boolean;
  /** Parser of an earlier choice, for the bug choices-share-parser. */
  readonly parser: ReasoningParser | null;
  /** null if the choice calls no tools. */
  readonly calls: MockCallsOptions | null;
}

export class MockText {
  readonly parser: ReasoningParser;
  readonly #options: MockTextOptions;
  readonly #bugs: ReadonlySet<BugName>;
  readonly #detokenizer: StreamingDetokenizer;
  readonly #calls: MockCalls | null;
  /** With the bug call-in-prompt-ends-reasoning: the whole answer is text. */
  readonly #isAllText: boolean;
  #stopMatcher: StopMatcher;
  /** Text of the latest token. */
  #token = "";
  #numTokens = 0;
  #numReasoningTokens: number | null = null;

  constructor(options: MockTextOptions, bugs: ReadonlySet<BugName>) {
    this.#options = options;
    this.#bugs = bugs;
    this.#detokenizer = new StreamingDetokenizer(options.tokenizer, options.promptIds);
    this.#stopMatcher = this.#createStopMatcher();
    const shared = bugs.has("choices-share-parser") ? options.parser : null;
    this.#isAllText = bugs.has("call-in-prompt-ends-reasoning") && options.promptIds.includes(CALL);
    const format = this.#isAllText ? PLAIN : FORMAT;
    this.parser =
      shared ?? new ReasoningParser({ format, insideReasoning: false, separate: options.separateReasoning });
    this.#calls = options.calls === null ? null : new MockCalls(options.calls, bugs);
  }

  get finishReason(): "tool_calls" | "stop" {
    return this.#calls?.finishReason ?? "stop";
  }

  /** True if a call has begun. */
  get hasCalls(): boolean {
    return this.#calls?.hasBegun ?? false;
  }

  push(tokenId: number): TextDelta {
    this.#numTokens++;
    this.#token = this.#options.tokenizer.tokenText(tokenId);
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
    const third = this.#passAnswer(this.#calls?.finish() ?? { content: "", calls: [] });
    const held = this.#bugs.has("held-back-tail-lost") ? "" : this.#stopMatcher.finish();
    return {
      reasoning: first.reasoning + second.reasoning,
      content: first.content + second.content + third.content + held,
      calls: [...first.calls, ...second.calls],
      stopped: this.#stopMatcher.stopped,
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
    if (this.#bugs.has("characters-split")) return this.#token;
    const text = this.#detokenizer.push(tokenId);
    return tokenId === CALL && this.#bugs.has("special-token-stripped") ? "" : text;
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
    const calls: CallDelta[] = [];
    for (const { channel, text } of segments) {
      if (channel === "answer") {
        const gained = this.#passAnswer(this.#readCalls(text));
        content += gained.content;
        calls.push(...gained.calls);
        continue;
      }
      const shown = this.#bugs.has("stop-inside-reasoning") ? this.#match(text) : text;
      if (channel === "reasoning") reasoning += shown;
      else content += shown;
      calls.push(...(this.#calls?.pushReasoning(text) ?? []));
    }
    return { reasoning, content, calls, stopped: this.#stopMatcher.stopped };
  }

  #readCalls(text: string): Pick<TextDelta, "content" | "calls"> {
    const isUnsearched = !this.hasReasoning && this.#bugs.has("calls-only-after-reasoning");
    if (this.#calls === null || this.#isAllText || isUnsearched) return { content: text, calls: [] };
    return this.#calls.push(text, this.#token);
  }

  /** Searches stop sequences in the text. What is held back of it is released when a call begins. */
  #passAnswer({ content, calls }: Pick<TextDelta, "content" | "calls">): Pick<TextDelta, "content" | "calls"> {
    if (this.#stopMatcher.stopped !== null) return { content: "", calls: [] };
    const shown = content === "" ? "" : this.#match(content);
    if (calls.length === 0 || this.#stopMatcher.stopped !== null) return { content: shown, calls: [] };
    const isLost = this.#bugs.has("calls-after-reasoning-lost") && this.hasReasoning && this.#options.calls!.isRequired;
    return { content: shown + this.#stopMatcher.finish(), calls: isLost ? [] : calls };
  }

  #match(text: string): string {
    if (this.#bugs.has("stop-within-one-token")) return this.#matchAlone(text);
    const match = this.#stopMatcher.push(text);
    if (!this.#options.isStreamed) return match.text;
    if (this.#bugs.has("stop-leaks-in-stream")) return text;
    if (!this.#bugs.has("held-back-text-twice")) return match.text;
    // Released text precedes the new text; the bug adds it twice.
    const numReleased = match.text.length - text.length;
    return numReleased > 0 ? match.text.slice(0, numReleased) + match.text : match.text;
  }

  /** Searches the text of one token without the text before it. */
  #matchAlone(text: string): string {
    const held = this.#stopMatcher.finish();
    this.#stopMatcher = this.#createStopMatcher();
    return held + this.#stopMatcher.push(text).text;
  }

  #createStopMatcher(): StopMatcher {
    return new StopMatcher(this.#options.stop, this.#options.includeStop);
  }
}
