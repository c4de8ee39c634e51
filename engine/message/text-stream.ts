/**
 * From one choice's tokens to what its client gets: detokenizer, then reasoning parser, then stop matcher.
 *
 * Law: the deltas put together do not depend on how the tokens cut the text. Stop sequences see the answer only.
 */

import { StopMatcher, StreamingDetokenizer, type Tokenizer } from "../text/index.js";
import type { MessageFormat } from "./message-format.js";
import { ReasoningParser, type TextSegment } from "./reasoning-parser.js";

export interface TextStreamOptions {
  readonly tokenizer: Tokenizer;
  /** The tokens the output follows. */
  readonly promptIds: readonly number[];
  readonly stop: readonly string[];
  /** Whether a stop sequence is part of the text that it ends. */
  readonly includeStop: boolean;
  /** How the model writes a message; `PLAIN` for raw text. */
  readonly format: MessageFormat;
  /** Whether the prompt ends inside the reasoning. */
  readonly insideReasoning: boolean;
  /** Whether the reasoning is given apart from the answer. */
  readonly separateReasoning: boolean;
}

/** Text to add to what the client has; empty strings add nothing. */
export interface TextDelta {
  readonly reasoning: string;
  readonly content: string;
  /** The stop sequence that ended the answer, or null. Generation ends with it. */
  readonly stopped: string | null;
}

export class TextStream {
  readonly #detokenizer: StreamingDetokenizer;
  readonly #parser: ReasoningParser;
  readonly #stopMatcher: StopMatcher;
  #numTokens = 0;
  #numReasoningTokens: number | null = null;

  constructor(options: TextStreamOptions) {
    this.#detokenizer = new StreamingDetokenizer(options.tokenizer, options.promptIds);
    this.#parser = new ReasoningParser({ ...options, separate: options.separateReasoning });
    this.#stopMatcher = new StopMatcher(options.stop, options.includeStop);
  }

  /** Takes the next token of the output. After a stop there must be none. */
  push(tokenId: number): TextDelta {
    this.#numTokens++;
    const delta = this.#pass(this.#parser.push(this.#detokenizer.push(tokenId)));
    this.#countReasoning();
    return delta;
  }

  /** Counts a token that is not part of the text, whatever its own text is: an end token. */
  pushEnd(): void {
    this.#numTokens++;
  }

  /** The end of the output, for whatever reason but a stop sequence. @returns all that was held back */
  finish(): TextDelta {
    const first = this.#pass(this.#parser.push(this.#detokenizer.finish()));
    const second = this.#pass(this.#parser.finish());
    return {
      reasoning: first.reasoning + second.reasoning,
      content: first.content + second.content + this.#stopMatcher.finish(),
      stopped: second.stopped,
    };
  }

  /** Whether there is reasoning, finished or not: without it `reasoning_content` is null. */
  get hasReasoning(): boolean {
    return this.#parser.hasReasoning;
  }

  /** Tokens through the one that completed the closing tag; all so far while it has not come; 0 without reasoning. */
  get numReasoningTokens(): number {
    if (!this.#parser.hasReasoning) return 0;
    return this.#numReasoningTokens ?? this.#numTokens;
  }

  #countReasoning(): void {
    if (this.#parser.hasReasoning && !this.#parser.insideReasoning) this.#numReasoningTokens ??= this.#numTokens;
  }

  #pass(segments: readonly TextSegment[]): TextDelta {
    let reasoning = "";
    let content = "";
    let stopped = this.#stopMatcher.stopped;
    for (const { channel, text } of segments) {
      if (channel === "reasoning") {
        reasoning += text;
      } else if (channel === "frame") {
        content += text;
      } else {
        const match = this.#stopMatcher.push(text);
        content += match.text;
        stopped = match.stopped;
      }
    }
    return { reasoning, content, stopped };
  }
}
