/**
 * A request in flight: its prompt, computed once, and its choices, each a sequence of drawn tokens.
 * Holds state and hands out deltas; decides nothing.
 */

import type { AnswerMask, TextStream } from "../message/index.js";
import type { SampledToken } from "../../kernels/index.js";
import type { PageTable } from "./kv-cache.js";
import type { GenerationConfig, Sampler } from "../sampling/index.js";

export type FinishReason = "stop" | "length";

/** One drawn token's entry of contract section 4. */
export interface TokenLogprob extends TokenAlternative {
  readonly tokenId: number;
  /** Likeliest first: `topLogprobs` entries, fewer only where sampling keeps fewer and those are reported. */
  readonly topLogprobs: readonly TokenAlternative[];
}

export interface TokenAlternative {
  readonly tokenId: number;
  /** The token's bytes as text, U+FFFD where they are a fragment of a code point. */
  readonly token: string;
  /** Of the model itself, or of what sampling keeps, as the model was loaded: at most 0. */
  readonly logprob: number;
  readonly bytes: readonly number[];
}

export interface Usage {
  readonly promptTokens: number;
  /** Every generated token of all choices, end tokens and removed stop sequences included. */
  readonly completionTokens: number;
  readonly totalTokens: number;
  readonly reasoningTokens: number;
  /** Prompt tokens whose keys and values were not computed for this request. */
  readonly cachedTokens: number;
}

/** Wall-clock milliseconds since the request was accepted. */
export interface Timings {
  /** Until the prompt was computed. */
  readonly promptMs: number;
  /** From there to the end. */
  readonly completionMs: number;
}

/** What a choice gained since its previous delta. Concatenated, the deltas are the whole answer. */
export interface OutputDelta {
  readonly choice: number;
  /** New text of the answer; of everything, tags included, unless the reasoning was asked for apart. */
  readonly content: string;
  /** New text of the reasoning, if asked for apart; null while the output has shown none. */
  readonly reasoning: string | null;
  readonly tokenIds: readonly number[];
  /** One entry for each of `tokenIds` if asked for, else empty. */
  readonly logprobs: readonly TokenLogprob[];
  /** Set on the choice's last delta. */
  readonly finishReason: FinishReason | null;
  /** Set on the last delta of the request. */
  readonly usage: Usage | null;
  readonly timings: Timings | null;
}

/** The prompt of a request: its tokens, their keys and values, and the state the first token is drawn from. */
export interface Prompt {
  readonly tokenIds: readonly number[];
  readonly table: PageTable;
  /** Tokens whose keys and values other requests had computed. */
  numCached: number;
  /** f32 [hidden_size] of the last prompt token, once all of the prompt has run. */
  lastHidden: Float32Array | null;
}

/** One choice. */
export interface Sequence {
  readonly request: Request;
  readonly choice: number;
  /** Begins with the prompt's pages. */
  readonly table: PageTable;
  /** Pages set aside for this choice alone. */
  readonly numPagesReserved: number;
  readonly sampler: Sampler;
  readonly text: TextStream;
  /** Null where the answer may be any text. */
  readonly mask: AnswerMask | null;
  readonly outputIds: number[];
  /** Tokens not yet handed out, because no text came with them. */
  pending: { tokenId: number; sampled: SampledToken }[];
}

export interface Request {
  readonly prompt: Prompt;
  readonly config: GenerationConfig;
  /** Tokens a choice may draw: what was asked for, lowered to what the context leaves. */
  readonly maxTokens: number;
  readonly createSequence: (choice: number, numPagesReserved: number) => Sequence;
  /** Choices that have not started. Choice numbers are handed out in order. */
  nextChoice: number;
  readonly running: Set<Sequence>;
  numCompletionTokens: number;
  numReasoningTokens: number;
  /** Set by the consumer: the request leaves the engine at the next step. */
  canceled: boolean;
  readonly emit: (delta: OutputDelta) => void;
  readonly fail: (error: unknown) => void;
  readonly startedAtMs: number;
  promptDoneAtMs: number;
}
