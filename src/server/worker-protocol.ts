/**
 * Messages between the server's thread and the two worker threads of a model: the preparer turns the input of requests
 * into token ids and grammars, and the engine generates. They are plain data for postMessage.
 */

import { EngineError } from "../../engine/errors.js";
import type {
  ChatMessage,
  ChatOptions,
  EngineErrorCode,
  LoadModelOptions,
  ModelInfo,
  OutputDelta,
  PromptOptions,
} from "../../engine/index.js";
import type { PreparedRequest, PreparerSource } from "../../engine/model/index.js";
import type { SentNames } from "../openai/index.js";

/** The model that an engine loads. */
export type WorkerModel = Omit<LoadModelOptions, "onProgress" | "onDownload" | "onNotice" | "signal">;

/** The engine's `workerData`. */
export interface EngineInput {
  readonly model: WorkerModel;
  /** Int32: grows while the engine's event loop turns. */
  readonly heartbeat: SharedArrayBuffer;
}

/** Messages of one request carry its call number. */
export type ToEngine =
  | { readonly type: "generate"; readonly call: number; readonly request: PostedRequest }
  /** The receiver has passed on this many more deltas; the engine pauses a call with too many that wait. */
  | { readonly type: "read"; readonly call: number; readonly numDeltas: number }
  | { readonly type: "cancel"; readonly call: number }
  | { readonly type: "close" };

export type FromEngine =
  | { readonly type: "progress"; readonly done: number; readonly total: number }
  | { readonly type: "download"; readonly done: number; readonly total: number; readonly file: string }
  | { readonly type: "notice"; readonly message: string }
  /** The model's files are complete; its weights are loaded next. */
  | { readonly type: "opened"; readonly source: PreparerSource }
  | { readonly type: "ready"; readonly info: ModelInfo }
  | { readonly type: "unusable"; readonly error: PostedError }
  /** The engine has failed. The worker ends when its requests have their errors, which come after this message. */
  | { readonly type: "failed" }
  | {
      readonly type: "started";
      readonly call: number;
      readonly seed: number | bigint;
      readonly numPromptTokens: number;
    }
  | { readonly type: "delta"; readonly call: number; readonly delta: OutputDelta }
  | { readonly type: "error"; readonly call: number; readonly error: PostedError };

/** Jobs of the preparer, each answered by one message. `date` is for chat templates, unless a request has its own. */
export type ToPreparer =
  /** Answered when the model's tokenizer and template are loaded. */
  | { readonly type: "load" }
  | { readonly type: "chat"; readonly options: Sealed<ChatWork>; readonly date: string }
  | { readonly type: "tokenize"; readonly input: Sealed<TokenizeInput>; readonly date: string }
  | { readonly type: "detokenize"; readonly tokenIds: Sealed<readonly number[]> };

export type FromPreparer =
  | { readonly type: "loaded" }
  | { readonly type: "request"; readonly request: PostedRequest }
  /** A response body, and the date that the chat template got; null if none was rendered. */
  | { readonly type: "json"; readonly json: Uint8Array; readonly date: string | null }
  | { readonly type: "error"; readonly error: PostedError };

/**
 * A value, or, if it is large, its bytes in V8's serialization format, which the server's thread transfers without
 * deserializing them.
 */
export type Sealed<T> = T | Uint8Array;

/** Engine options, and what the request body calls them in error messages. */
export type ChatWork = Omit<ChatOptions, "signal"> & { readonly sentNames: SentNames };

export type TokenizeInput =
  | { readonly text: string }
  | { readonly messages: readonly ChatMessage[]; readonly templateVariables: PromptOptions["templateVariables"] };

/** A prepared request whose large parts are transferred. */
export interface PostedRequest extends Omit<PreparedRequest, "promptTokenIds"> {
  readonly promptTokenIds: Int32Array<ArrayBuffer>;
  readonly sentNames: SentNames;
}

/** An EngineError as plain data; any other thrown value becomes `internal_error`. */
export interface PostedError {
  readonly code: EngineErrorCode;
  readonly message: string;
  readonly param: string | null;
  /** Stack of an internal error; else null. */
  readonly stack: string | null;
}

export function postedError(error: unknown): PostedError {
  if (error instanceof EngineError && error.code !== "internal_error") {
    return { code: error.code, message: error.message, param: error.param, stack: null };
  }
  const cause: unknown = error instanceof EngineError ? (error.cause ?? error) : error;
  const { message, stack = message } = cause instanceof Error ? cause : new Error(String(cause));
  return { code: "internal_error", message, param: null, stack };
}

/** Restores a posted error; for an internal error, the cause carries the worker's stack. */
export function receivedError({ code, message, param, stack }: PostedError): EngineError {
  if (stack === null) return new EngineError(code, message, param);
  const cause = new Error(message);
  cause.stack = stack;
  return new EngineError(code, message, param, { cause });
}
