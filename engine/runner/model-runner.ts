/**
 * What executes the transformer: token ids in, last hidden states out (or logits, from a graph that makes them
 * itself), keys and values kept in the engine's cache. A runner has no policy: what runs, and when, is the scheduler's
 * choice.
 */

import type { Address } from "../../kernels/index.js";

/** How prompts are computed: `fast` by ONNX Runtime, `exact` by the kernels, like everything else. */
export type Profile = "fast" | "exact";

/**
 * What another request may reuse. `token`: any position, because all runners compute it alike, however tokens are
 * cut into passes. `block`: whole pages, each computed as one prompt block, because nothing else is computed alike.
 */
export type PrefixReuse = "token" | "block";

/** Where a sequence's keys and values lie: pages, position 0 first. */
export interface KVTable {
  readonly numPositions: number;
  readonly pages: readonly Address[];
  /** Makes room for `count` more positions, which the runner then writes. */
  extend(count: number): void;
}

/** Consecutive tokens of one sequence, to be run after the positions its table already holds. */
export interface ForwardPass {
  readonly tokenIds: readonly number[];
  /** Holds the positions before these tokens, and after the pass these tokens too. */
  readonly table: KVTable;
}

export interface ModelRunner {
  /**
   * Runs passes of different sequences together; each appends its keys and values to its table. A pass has the same
   * result whatever runs beside it. If it throws, the tables may or may not have grown.
   * @returns for each pass what its last token came to, the caller's to keep: what the model's head takes, which is
   *   the hidden state after the final norm, f32 [hidden_size], wherever the head is ours
   */
  forward(passes: readonly ForwardPass[]): Promise<Float32Array[]>;
  release(): Promise<void>;
}

/** What a runner also does for whoever measures a model: generating text needs a pass's last token only. */
export interface EachTokenRunner {
  /**
   * Runs one pass like `forward`.
   * @returns the hidden state of each of its tokens: f32 [tokens, hidden_size], the caller's to keep
   */
  forwardEach(pass: ForwardPass): Promise<Float32Array>;
}
