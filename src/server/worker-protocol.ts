/**
 * Messages between the server's thread and an engine worker. They are plain data for postMessage; messages of one
 * request carry its call number.
 */

import type {
  ChatMessage,
  ChatOptions,
  EngineErrorCode,
  LoadModelOptions,
  ModelInfo,
  OutputDelta,
} from "../../engine/index.js";

/** The model that a worker loads; passed as `workerData`. */
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
 * A value, or, if it is large, its bytes in V8's serialization format, which the server's thread transfers without
 * deserializing them.
 */
export type Sealed<T> = T | Uint8Array;

/** Engine options, and the path of the JSON schema in the request body for error messages. */
export type ChatWork = Omit<ChatOptions, "signal"> & { readonly schemaPath: string };

export type TokenizeInput = { readonly text: string } | { readonly messages: readonly ChatMessage[] };

/** An EngineError as plain data; any other thrown value becomes `internal_error`. */
export interface PostedError {
  readonly code: EngineErrorCode;
  readonly message: string;
  readonly param: string | null;
  /** Stack of an internal error; else null. */
  readonly stack: string | null;
}
