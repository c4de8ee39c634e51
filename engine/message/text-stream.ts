/**
 * Converts the tokens of one choice to the text for its client: detokenizer, then reasoning parser, then the parser of
 * calls, then stop matcher.
 *
 * Invariant: the concatenated deltas do not depend on how the tokens split the text. Stop sequences are searched in the
 * answer only. One that is the name of a special token, which has no text, ends the answer at this token.
 */

import type { ParameterKinds } from "../grammar/index.js";
import { StopMatcher, StreamingDetokenizer, type Vocabulary } from "../text/index.js";
import type { CallForm } from "./call-form.js";
import { CallParser, type CallSegment } from "./call-parser.js";
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
  /** Absent or null if the choice calls no tools. */
  readonly calls?: CallsOptions | null;
}

/** A part of a call of a tool. */
export interface CallDelta {
  /** Number of the call, from 0. */
  readonly index: number;
  /** Id and name of the call, in its first delta; null in the others. */
  readonly id: string | null;
  readonly name: string | null;
  /** Piece of the arguments, which are the JSON text of an object. */
  readonly arguments: string;
}

/** How a choice calls tools. */
export interface CallsOptions {
  readonly form: CallForm;
  /** By the name of a tool: the kinds of its parameters, if the form writes arguments as parameters. */
  readonly kinds: ReadonlyMap<string, ParameterKinds>;
  /** Reason for the end of an answer with calls. */
  readonly finishReason: "tool_calls" | "stop";
  /** Returns the id of a call. */
  readonly idOf: (index: number) => string;
}

/** Text to append to the client's message; both strings may be empty. */
export interface TextDelta {
  readonly reasoning: string;
  readonly content: string;
  readonly calls: readonly CallDelta[];
  /** The stop sequence that ended the answer and therefore the generation, or null. */
  readonly stopped: string | null;
}

export class TextStream {
  readonly #detokenizer: StreamingDetokenizer;
  readonly #parser: ReasoningParser;
  readonly #stopMatcher: StopMatcher;
  readonly #calls: CallsOptions | null;
  readonly #callParser: CallParser | null;
  /** Special tokens whose names are stop sequences, by id. */
  readonly #stopTokens: ReadonlyMap<number, string>;
  #numTokens = 0;
  #numReasoningTokens: number | null = null;

  constructor(options: TextStreamOptions) {
    this.#detokenizer = new StreamingDetokenizer(options.vocabulary, options.promptIds);
    this.#parser = new ReasoningParser({ ...options, separate: options.separateReasoning });
    this.#stopMatcher = new StopMatcher(options.stop, options.includeStop);
    this.#stopTokens = stopTokens(options);
    this.#calls = options.calls ?? null;
    this.#callParser = callParser(this.#calls);
  }

  /** Reason for the end of the text, if nothing but the limit of tokens has cut it. */
  get finishReason(): "tool_calls" | "stop" {
    return this.#callParser === null || this.#callParser.numWhole === 0 ? "stop" : this.#calls!.finishReason;
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
    const third = this.#passAnswer(this.#callParser?.finish() ?? []);
    return {
      reasoning: first.reasoning + second.reasoning,
      content: first.content + second.content + third.content + this.#stopMatcher.finish(),
      calls: [...first.calls, ...second.calls, ...third.calls],
      stopped: this.#stopMatcher.stopped,
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
    const calls: CallDelta[] = [];
    for (const { channel, text } of segments) {
      if (channel === "reasoning") {
        reasoning += text;
      } else if (channel === "frame") {
        content += text;
      } else {
        const found = this.#passAnswer(this.#callParser?.push(text) ?? [{ kind: "text", text }]);
        content += found.content;
        calls.push(...found.calls);
      }
    }
    return { reasoning, content, calls, stopped: this.#stopMatcher.stopped };
  }

  /** Stop sequences are searched in the text only: when a call begins, what was held back of it is released. */
  #passAnswer(segments: readonly CallSegment[]): Pick<TextDelta, "content" | "calls"> {
    let content = "";
    const calls: CallDelta[] = [];
    for (const segment of segments) {
      if (segment.kind === "text") {
        if (this.#stopMatcher.stopped === null) content += this.#stopMatcher.push(segment.text).text;
      } else if (this.#stopMatcher.stopped === null) {
        content += this.#stopMatcher.finish();
        const { index } = segment;
        calls.push(
          segment.kind === "name"
            ? { index, id: this.#calls!.idOf(index), name: segment.name, arguments: "" }
            : { index, id: null, name: null, arguments: segment.text },
        );
      }
    }
    return { content, calls };
  }
}

function callParser(calls: CallsOptions | null): CallParser | null {
  return calls === null ? null : new CallParser(calls.form, (tool) => calls.kinds.get(tool) ?? new Map());
}

/** The tokens with which calls are written are none of them: `stop` is not searched in calls. */
function stopTokens({ stop, vocabulary, calls }: TextStreamOptions): ReadonlyMap<number, string> {
  return new Map(
    stop.flatMap((text): [number, string][] => {
      const tokenId = vocabulary.addedTokenId(text);
      const isOfCalls = calls?.form.tokens.includes(text) ?? false;
      return tokenId !== null && vocabulary.isSpecial(tokenId) && !isOfCalls ? [[tokenId, text]] : [];
    }),
  );
}
