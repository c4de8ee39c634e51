/**
 * Interface of a runner, which executes the transformer: token ids in, last hidden states out (or logits, from a graph
 * that computes them itself), keys and values in the engine's KV cache. A runner has no policy: the scheduler decides
 * what runs and when.
 */

import type { Address } from "../../kernels/index.js";

/** Execution of prompts: `fast` by ONNX Runtime, `exact` by the kernels, like everything else. */
export type Profile = "fast" | "exact";

/** Where drafts of the next tokens come from: nowhere, or from what followed the last tokens before. */
export type SpeculationMode = "off" | "ngram";

/**
 * Part of a computed prefix that another request may reuse. `token`: any position, because all runners compute the same
 * result, however tokens are split into passes. `block`: only full pages, each computed as one prompt block, because
 * any other split may change the result.
 */
export type PrefixReuse = "token" | "block";

/** Location of a sequence's keys and values: pages, position 0 first. */
export interface KVTable {
  readonly numPositions: number;
  readonly pages: readonly Address[];
  /** Makes room for `count` more positions, which the runner then writes. */
  extend(count: number): void;
}

/** Consecutive tokens of one sequence, which run after the positions that its table already holds. */
export interface ForwardPass {
  readonly tokenIds: readonly number[];
  /** Holds the positions before these tokens; after the pass it also holds these tokens. */
  readonly table: KVTable;
  /** Positions after all passes of a prompt, if known: a runner makes room for them once. */
  readonly promptLength?: number;
}

export interface ModelRunner {
  /**
   * Runs passes of different sequences together; each appends its keys and values to its table. The result of a pass
   * does not depend on the other passes. If `forward` throws, the tables may or may not have grown.
   * @returns for each pass the result of its last token, owned by the caller: the hidden state after the final norm,
   *   f32 [hidden_size], or logits if the graph computes them itself
   */
  forward(passes: readonly ForwardPass[]): Promise<Float32Array[]>;
  /** Gives back what is kept between the passes of a prompt. A runner without this method keeps nothing. */
  endPrompts?(): void;
  release(): Promise<void>;
}

/**
 * A runner that returns the results of all tokens, which serves to check drafts and to measure models; other generation
 * needs only the last token of a pass.
 */
export interface EachTokenRunner {
  /**
   * Runs passes like `forward`.
   * @returns for each pass the hidden state of each of its tokens, f32 [tokens, hidden_size], owned by the caller
   */
  forwardEach(passes: readonly ForwardPass[]): Promise<Float32Array[]>;
}
