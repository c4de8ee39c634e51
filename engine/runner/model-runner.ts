/**
 * What executes the transformer: token ids in, last hidden states out, keys and values kept in the
 * engine's cache. A runner has no policy: what runs, and when, is the scheduler's choice.
 */

import type { PageTable } from "../kv-cache.js";

/** Consecutive tokens of one sequence, to be run after the positions its table already holds. */
export interface ForwardPass {
  /** `prefill`: a block of the prompt, starting on the block grid; `decode`: one generated token. */
  readonly phase: "prefill" | "decode";
  readonly tokenIds: readonly number[];
  /** Holds the positions before these tokens, and after the pass these tokens too. */
  readonly table: PageTable;
}

export interface ModelRunner {
  /** Prompts run in blocks of this many tokens, on a grid that starts at position 0. */
  readonly blockSize: number;
  /**
   * Runs one pass and appends its keys and values to the pass's table.
   * @returns the hidden state of the pass's last token, after the final norm: f32 [hidden_size]
   */
  forward(pass: ForwardPass): Promise<Float32Array>;
  release(): Promise<void>;
}
