/** What the bench asks of an engine; each implementation is a module that exports `start`. */

import type { Quant } from "./weights.js";

export interface EngineModule {
  /** Loads the library, which is timed apart from the model. */
  start(numThreads: number): Promise<Library>;
}

export interface Library {
  /** Name and version. */
  readonly version: string;
  /** Loads the model until it could answer; what this takes is the load time. */
  load(options: EngineOptions): Promise<Engine>;
}

export interface EngineOptions {
  /** The model in the engine's own form. */
  readonly path: string;
  readonly quant: Quant;
  /** Ours alone. */
  readonly profile: "fast" | "exact" | null;
  readonly numThreads: number;
  /** Positions a sequence needs at most. */
  readonly contextLength: number;
}

/** A prompt as text and as the ids that our tokenizer makes of it. */
export interface Prompt {
  readonly text: string;
  readonly tokenIds: readonly number[];
}

export interface Engine {
  /**
   * Continues the prompts side by side with their most probable tokens.
   * @param onTokens called when tokens of a sequence arrive
   * @returns the new ids of each sequence
   */
  generate(
    prompts: readonly Prompt[],
    numTokens: number,
    onTokens: (sequence: number, count: number) => void,
  ): Promise<number[][]>;
}
