/**
 * What the server's thread and an engine's worker say to each other. Plain data that can be posted; what
 * belongs to one request carries its call number.
 */

import type { ChatMessage, ChatOptions, EngineErrorCode, LoadModelOptions, LogprobsMode, OutputDelta } from "../../engine/index.js";

/** What a worker loads: its `workerData`. */
export type WorkerModel = Omit<LoadModelOptions, "onProgress">;

export type ToWorker =
  | { readonly type: "chat"; readonly call: number; readonly options: Omit<ChatOptions, "signal"> }
  | { readonly type: "tokenize"; readonly call: number; readonly input: TokenizeInput }
  | { readonly type: "detokenize"; readonly call: number; readonly tokenIds: readonly number[] }
  | { readonly type: "cancel"; readonly call: number }
  | { readonly type: "close" };

export type FromWorker =
  | { readonly type: "progress"; readonly done: number; readonly total: number }
  | { readonly type: "ready"; readonly info: ModelInfo }
  | { readonly type: "unusable"; readonly error: PostedError }
  | { readonly type: "started"; readonly call: number; readonly seed: number; readonly numPromptTokens: number }
  | { readonly type: "delta"; readonly call: number; readonly delta: OutputDelta }
  | { readonly type: "tokens"; readonly call: number; readonly tokens: TokenizeAnswer }
  | { readonly type: "text"; readonly call: number; readonly text: string }
  | { readonly type: "error"; readonly call: number; readonly error: PostedError };

export type TokenizeInput = { readonly text: string } | { readonly messages: readonly ChatMessage[] };

export interface TokenizeAnswer {
  readonly tokenIds: readonly number[];
  /** Each token's text, as logprobs name it. */
  readonly tokens: readonly string[];
}

/** What the server says about a loaded model. */
export interface ModelInfo {
  readonly modelHash: string;
  readonly contextLength: number;
  readonly maxConcurrency: number;
  readonly logprobsMode: LogprobsMode;
}

/** An EngineError, or `internal_error` for whatever else was thrown. */
export interface PostedError {
  readonly code: EngineErrorCode;
  readonly message: string;
  readonly param: string | null;
  /** Where an internal error happened. */
  readonly stack: string | null;
}
