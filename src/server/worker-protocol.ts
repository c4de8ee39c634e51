/**
 * What the server's thread and an engine's worker say to each other. Plain data that can be posted; what
 * belongs to one request carries its call number.
 */

import type {
  ChatMessage,
  ChatOptions,
  EngineErrorCode,
  LoadModelOptions,
  ModelInfo,
  OutputDelta,
} from "../../engine/index.js";

/** What a worker loads: its `workerData`. */
export type WorkerModel = Omit<LoadModelOptions, "onProgress" | "onDownload" | "onNotice" | "signal">;

export type ToWorker =
  | { readonly type: "chat"; readonly call: number; readonly options: Sealed<ChatWork> }
  | { readonly type: "tokenize"; readonly call: number; readonly input: Sealed<TokenizeInput> }
  | { readonly type: "detokenize"; readonly call: number; readonly tokenIds: Sealed<readonly number[]> }
  | { readonly type: "cancel"; readonly call: number }
  | { readonly type: "close" };

export type FromWorker =
  | { readonly type: "progress"; readonly done: number; readonly total: number }
  | { readonly type: "download"; readonly done: number; readonly total: number; readonly file: string }
  | { readonly type: "notice"; readonly message: string }
  | { readonly type: "ready"; readonly info: ModelInfo }
  | { readonly type: "unusable"; readonly error: PostedError }
  | { readonly type: "started"; readonly call: number; readonly seed: number; readonly numPromptTokens: number }
  | { readonly type: "delta"; readonly call: number; readonly delta: OutputDelta }
  | { readonly type: "json"; readonly call: number; readonly json: Uint8Array }
  | { readonly type: "error"; readonly call: number; readonly error: PostedError };

/**
 * A value as it is or, if it is large, as bytes of v8's serialization: the server's thread moves those without
 * looking at what is in them.
 */
export type Sealed<T> = T | Uint8Array;

/** `schemaPath`: where the request has its JSON schema, for errors about it. */
export type ChatWork = Omit<ChatOptions, "signal"> & { readonly schemaPath: string };

export type TokenizeInput = { readonly text: string } | { readonly messages: readonly ChatMessage[] };

/** An EngineError, or `internal_error` for whatever else was thrown. */
export interface PostedError {
  readonly code: EngineErrorCode;
  readonly message: string;
  readonly param: string | null;
  /** Where an internal error happened. */
  readonly stack: string | null;
}
