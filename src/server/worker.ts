/**
 * The engine worker: loads one model and answers the messages of worker-protocol.ts. Independent of HTTP. An error
 * outside the handling of a request ends the worker, and the host starts a new one.
 */

import { deserialize } from "node:v8";
import { parentPort, workerData } from "node:worker_threads";

import { EngineError, loadModel, type Model } from "../../engine/index.js";
import { wireName } from "../openai/index.js";
import type {
  ChatWork,
  FromWorker,
  PostedError,
  Sealed,
  ToWorker,
  TokenizeInput,
  WorkerModel,
} from "./worker-protocol.js";

if (parentPort === null) throw new Error("This file runs as a worker thread only");
const port = parentPort;
const running = new Map<number, AbortController>();

// A `close` message stops the download or conversion of a model that is still loading.
const loading = new AbortController();
const stopLoading = (message: ToWorker): void => {
  if (message.type === "close") loading.abort();
};
port.on("message", stopLoading);

try {
  const model = await loadModel({
    ...(workerData as WorkerModel),
    signal: loading.signal,
    onProgress: (done, total) => post({ type: "progress", done, total }),
    onDownload: (done, total, file) => post({ type: "download", done, total, file }),
    onNotice: (message) => post({ type: "notice", message }),
  });
  port.off("message", stopLoading);
  if (loading.signal.aborted) await receive(model, { type: "close" });
  else listen(model);
} catch (error) {
  port.off("message", stopLoading);
  post({ type: "unusable", error: posted(error) });
}

function listen(model: Model): void {
  port.on("message", (message: ToWorker) => void receive(model, message));
  post({ type: "ready", info: model.info });
}

async function receive(model: Model, message: ToWorker): Promise<void> {
  switch (message.type) {
    case "cancel":
      running.get(message.call)?.abort();
      return;
    case "close":
      for (const cancel of running.values()) cancel.abort();
      await model.close();
      port.close();
      return;
    case "chat": {
      const { schemaPath, ...options } = opened(message.options);
      return answering(message.call, schemaPath, () => chat(model, message.call, options));
    }
    case "tokenize":
      return answering(message.call, undefined, () => postJson(message.call, tokenize(model, opened(message.input))));
    case "detokenize":
      return answering(message.call, undefined, () => {
        postJson(message.call, { text: model.decode(opened(message.tokenIds)) });
      });
  }
}

/** Runs a call's work; posts a thrown error as the call's error, with parameter names of the request body. */
async function answering(
  call: number,
  schemaPath: string | undefined,
  work: () => void | Promise<void>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    const named = error instanceof EngineError ? error.renamed((path) => wireName(path, schemaPath)) : error;
    post({ type: "error", call, error: posted(named) });
  }
}

async function chat(model: Model, call: number, options: Omit<ChatWork, "schemaPath">): Promise<void> {
  const cancel = new AbortController();
  running.set(call, cancel);
  try {
    const answer = model.chat({ ...options, signal: cancel.signal });
    post({ type: "started", call, seed: answer.seed, numPromptTokens: answer.promptTokenIds.length });
    for await (const delta of answer) post({ type: "delta", call, delta });
  } catch (error) {
    // The error of a canceled call has no receiver.
    if (!cancel.signal.aborted) throw error;
  } finally {
    running.delete(call);
  }
}

function tokenize(model: Model, input: TokenizeInput): object {
  const tokenIds = model.encode("text" in input ? input.text : input.messages);
  return { token_ids: tokenIds, tokens: tokenIds.map((id) => model.tokenizer.tokenText(id)) };
}

function opened<T extends object>(sealed: Sealed<T>): T {
  return sealed instanceof Uint8Array ? (deserialize(sealed) as T) : sealed;
}

function post(message: FromWorker): void {
  port.postMessage(message);
}

/** Serializes a response here, because a large one would block the server's thread. */
function postJson(call: number, answer: object): void {
  const json = new TextEncoder().encode(JSON.stringify(answer));
  port.postMessage({ type: "json", call, json } satisfies FromWorker, [json.buffer]);
}

function posted(error: unknown): PostedError {
  if (error instanceof EngineError && error.code !== "internal_error") {
    return { code: error.code, message: error.message, param: error.param, stack: null };
  }
  const cause: unknown = error instanceof EngineError ? (error.cause ?? error) : error;
  const { message, stack = message } = cause instanceof Error ? cause : new Error(String(cause));
  return { code: "internal_error", message, param: null, stack };
}
