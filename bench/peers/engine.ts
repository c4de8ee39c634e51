/** Interface between the bench and an engine. Each implementation is a module that exports `start`. */

import type { Quant } from "./weights.js";

export interface EngineModule {
  /** Loads the library, whose time is measured separately from the model. */
  start(numThreads: number): Promise<Library>;
}

export interface Library {
  /** Name and version. */
  readonly version: string;
  /** Loads the model until it is ready to answer. The duration is the load time. */
  load(options: EngineOptions): Promise<Engine>;
}

export interface EngineOptions {
  /** Path of the model in the engine's format. */
  readonly path: string;
  readonly quant: Quant;
  /** Profile of this project's engine. null for other engines. */
  readonly profile: "fast" | "exact" | null;
  readonly numThreads: number;
  /** Maximum number of positions of a sequence. */
  readonly contextLength: number;
}

/** A prompt as text and as token ids of this project's tokenizer. */
export interface Prompt {
  readonly text: string;
  readonly tokenIds: readonly number[];
}

export interface Engine {
  /** Build of the kernels. Only this project's engine has one. */
  readonly kernels?: string;
  /**
   * Continues prompts concurrently and greedily.
   * @param onTokens called when tokens of a sequence arrive
   * @returns the new ids of each sequence
   */
  generate(
    prompts: readonly Prompt[],
    numTokens: number,
    onTokens: (sequence: number, count: number) => void,
  ): Promise<number[][]>;
}
