/**
 * State of a request in flight: its prompt, computed once, and its choices, each a sequence of drawn tokens.
 * These are types only; the scheduler and the engine make the decisions.
 */

import type { AnswerMask, CallDelta, TextStream } from "../message/index.js";
import type { SampledToken } from "../../kernels/index.js";
import type { PageTable } from "./kv-cache.js";
import type { NgramDrafter } from "./ngram-drafter.js";
import type { GenerationConfig, Sampler } from "../sampling/index.js";

/**
 * `tool_calls`: the answer ends with calls of tools that were not asked for by name; `stop`: it has ended in another way;
 * `length`: the token limit.
 */
export type FinishReason = "stop" | "length" | "tool_calls";

/** Log-probability of one drawn token (contract, section 4). */
export interface TokenLogprob extends TokenAlternative {
  readonly tokenId: number;
  /** Likeliest first: `topLogprobs` entries, or fewer if `processed` values are reported and sampling keeps fewer. */
  readonly topLogprobs: readonly TokenAlternative[];
}

export interface TokenAlternative {
  readonly tokenId: number;
  /** Bytes of the token as text; U+FFFD replaces a fragment of a code point. */
  readonly token: string;
  /**
   * At most 0. The model's own value (`raw`), or the value among the tokens that sampling keeps (`processed`), as
   * chosen when the model was loaded.
   */
  readonly logprob: number;
  readonly bytes: readonly number[];
}

export interface Usage {
  readonly promptTokens: number;
  /** Generated tokens of all choices, including end tokens and removed stop sequences. */
  readonly completionTokens: number;
  readonly totalTokens: number;
  readonly reasoningTokens: number;
  /** Prompt tokens whose keys and values came from the prefix cache and were not computed for this request. */
  readonly cachedTokens: number;
}

/** Wall-clock times of a request, in milliseconds. */
export interface Timings {
  /** From the acceptance of the request until its prompt was computed. */
  readonly promptMs: number;
  /** From then until the end of the request. */
  readonly completionMs: number;
}

/** Output of a choice since its previous delta. The concatenated deltas are the whole answer. */
export interface OutputDelta {
  readonly choice: number;
  /** New text of the answer. Without `separateReasoning` this is all new text, reasoning and tags included. */
  readonly content: string;
  /** New text of the reasoning, with `separateReasoning`; null until the output contains reasoning. */
  readonly reasoning: string | null;
  /** Parts of calls of tools, in order. */
  readonly toolCalls: readonly CallDelta[];
  readonly tokenIds: readonly number[];
  /** One entry for each of `tokenIds` if log-probabilities were requested, else empty. */
  readonly logprobs: readonly TokenLogprob[];
  /** Set on the last delta of the choice. */
  readonly finishReason: FinishReason | null;
  /** Set on the last delta of the request. */
  readonly usage: Usage | null;
  readonly timings: Timings | null;
}

/** Prompt of a request: its tokens, their keys and values, and the state from which the first token is drawn. */
export interface Prompt {
  readonly tokenIds: readonly number[];
  readonly table: PageTable;
  /** Tokens whose keys and values came from the prefix cache. */
  numCached: number;
  /** Hidden state of the last prompt token, f32 [hidden_size]; null until the whole prompt has run. */
  lastHidden: Float32Array | null;
}

/** One choice of a request. */
export interface Sequence {
  readonly request: Request;
  readonly choice: number;
  /** Page table that begins with the prompt's pages. */
  readonly table: PageTable;
  readonly sampler: Sampler;
  readonly text: TextStream;
  /** Null if the answer may be any text. */
  readonly mask: AnswerMask | null;
  /** Null if no tokens are drafted. */
  readonly drafter: NgramDrafter | null;
  readonly outputIds: number[];
  /** Tokens not emitted yet, because they completed no text. */
  pending: { tokenId: number; sampled: SampledToken }[];
}

/** Takes the deltas of a request. */
export interface Output {
  /** True while the request must pause, because too many deltas wait for the reader. */
  readonly isBehind: boolean;
  push(delta: OutputDelta): void;
  end(): void;
  fail(error: unknown): void;
}

export interface Request {
  readonly prompt: Prompt;
  readonly config: GenerationConfig;
  /** Maximum number of tokens per choice: the requested number, lowered to what the context leaves. */
  readonly maxTokens: number;
  /** Creates the sequence of a choice; null if that fails, which has ended the request. */
  readonly createSequence: (choice: number) => Sequence | null;
  /** Number of the next choice to start; choices start in order. */
  nextChoice: number;
  /** Sequences that have started and not ended. The first has waited longest for a place in a step. */
  readonly running: Set<Sequence>;
  /** Choices for which pages are reserved; 0 until the request is admitted. */
  numChoicesReserved: number;
  numCompletionTokens: number;
  numReasoningTokens: number;
  /** Set when the reader leaves or the request fails: the next step removes the request. */
  canceled: boolean;
  readonly output: Output;
  readonly startedAtMs: number;
  promptDoneAtMs: number;
}
