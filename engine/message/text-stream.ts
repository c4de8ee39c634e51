/**
 * Converts the tokens of one choice to the text for its client: detokenizer, then reasoning parser, then stop matcher.
 *
 * Invariant: the concatenated deltas do not depend on how the tokens split the text. Stop sequences are searched in the
 * answer only. One that is the name of a special token, which has no text, ends the answer at this token.
 */

import { StopMatcher, StreamingDetokenizer, type Vocabulary } from "../text/index.js";
import type { MessageFormat } from "./message-format.js";
import { ReasoningParser, type TextSegment } from "./reasoning-parser.js";

export interface TextStreamOptions {
  readonly vocabulary: Vocabulary;
  /** Tokens before the output. */
  readonly promptIds: readonly number[];
  readonly stop: readonly string[];
  /** Set to keep the stop sequence in the text. */
  readonly includeStop: boolean;
  /** Message format of the model; `PLAIN` for raw text. */
  readonly format: MessageFormat;
  /** Set if the prompt ends inside the reasoning. */
  readonly insideReasoning: boolean;
  /** Set to return the reasoning separately from the answer. */
  readonly separateReasoning: boolean;
}

/** Text to append to the client's message; both strings may be empty. */
export interface TextDelta {
  readonly reasoning: string;
  readonly content: string;
  /** The stop sequence that ended the answer and therefore the generation, or null. */
  readonly stopped: string | null;
}

export class TextStream {
  readonly #detokenizer: StreamingDetokenizer;
  readonly #parser: ReasoningParser;
  readonly #stopMatcher: StopMatcher;
  /** Special tokens whose names are stop sequences, by id. */
  readonly #stopTokens: ReadonlyMap<number, string>;
  #numTokens = 0;
  #numReasoningTokens: number | null = null;

  constructor(options: TextStreamOptions) {
    this.#detokenizer = new StreamingDetokenizer(options.vocabulary, options.promptIds);
    this.#parser = new ReasoningParser({ ...options, separate: options.separateReasoning });
    this.#stopMatcher = new StopMatcher(options.stop, options.includeStop);
    this.#stopTokens = stopTokens(options);
  }

  /** Adds the next token of the output. Must not be called after a stop. */
  push(tokenId: number): TextDelta {
    this.#numTokens++;
    const name = this.#stopTokens.get(tokenId);
    if (name !== undefined && !this.#parser.insideReasoning) {
      const rest = this.finish();
      return { ...rest, stopped: rest.stopped ?? name };
    }
    const delta = this.#pass(this.#parser.push(this.#detokenizer.push(tokenId)));
    this.#countReasoning();
    return delta;
  }

  /** Counts an end token, whose text is not part of the output. */
  pushEnd(): void {
    this.#numTokens++;
  }

  /** Ends an output that was not ended by a stop sequence. @returns all text that was held back */
  finish(): TextDelta {
    const first = this.#pass(this.#parser.push(this.#detokenizer.finish()));
    const second = this.#pass(this.#parser.finish());
    return {
      reasoning: first.reasoning + second.reasoning,
      content: first.content + second.content + this.#stopMatcher.finish(),
      stopped: second.stopped,
    };
  }

  /** True if the message has reasoning, finished or not; otherwise `reasoning_content` is null. */
  get hasReasoning(): boolean {
    return this.#parser.hasReasoning;
  }

  /** Number of tokens up to and including the end of the closing tag; all tokens before that; 0 without reasoning. */
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

function stopTokens({ stop, vocabulary }: TextStreamOptions): ReadonlyMap<number, string> {
  return new Map(
    stop.flatMap((text): [number, string][] => {
      const tokenId = vocabulary.addedTokenId(text);
      return tokenId !== null && vocabulary.isSpecial(tokenId) ? [[tokenId, text]] : [];
    }),
  );
}
