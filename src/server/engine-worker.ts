/**
 * The engine worker: loads one model and runs prepared requests. Independent of HTTP. An error outside the handling of a
 * request ends the worker, and the host starts a new one.
 */

import { parentPort, workerData } from "node:worker_threads";

import { EngineError } from "../../engine/errors.js";
import { ModelRuntime, prepare } from "../../engine/model/index.js";
import { wireName } from "../openai/index.js";
import {
  postedError,
  type EngineInput,
  type FromEngine,
  type PostedRequest,
  type ToEngine,
} from "./worker-protocol.js";

if (parentPort === null) throw new Error("This file runs as a worker thread only");
const port = parentPort;
const { model, heartbeat } = workerData as EngineInput;
/** Posted deltas of a call that may wait in the server's thread; with log-probabilities, a delta takes a few KiB. */
const MAX_UNREAD_DELTAS = 256;
const BEAT_MS = 1000;
const running = new Map<number, RunningCall>();

// The host replaces an engine whose event loop does not turn any more.
const beats = new Int32Array(heartbeat);
setInterval(() => void Atomics.add(beats, 0, 1), BEAT_MS).unref();

// A `close` message stops the download or conversion of a model that is still loading.
const loading = new AbortController();
const stopLoading = (message: ToEngine): void => {
  if (message.type === "close") loading.abort();
};
port.on("message", stopLoading);

try {
  const { folder, options } = await prepare({
    ...model,
    signal: loading.signal,
    onProgress: (done, total) => post({ type: "progress", done, total }),
    onDownload: (done, total, file) => post({ type: "download", done, total, file }),
    onNotice: (message) => post({ type: "notice", message }),
  });
  const { dir, contextLength, vocabSize } = folder;
  post({ type: "opened", source: { dir, contextLength, vocabSize, toolFormat: model.toolFormat } });
  const runtime = await ModelRuntime.open(folder, options);
  runtime.prepareMasks();
  port.off("message", stopLoading);
  if (loading.signal.aborted) await receive(runtime, { type: "close" });
  else listen(runtime);
} catch (error) {
  port.off("message", stopLoading);
  post({ type: "unusable", error: postedError(error) });
}

function listen(runtime: ModelRuntime): void {
  // An unhandled rejection ends this thread, after its requests got their errors.
  void runtime.failed.then((failure) => {
    post({ type: "failed" });
    throw failure.cause ?? failure;
  });
  port.on("message", (message: ToEngine) => void receive(runtime, message));
  post({ type: "ready", info: runtime.info });
}

async function receive(runtime: ModelRuntime, message: ToEngine): Promise<void> {
  switch (message.type) {
    case "generate":
      return generate(runtime, message.call, message.request);
    case "read":
      running.get(message.call)?.read(message.numDeltas);
      return;
    case "cancel":
      running.get(message.call)?.cancel();
      return;
    case "close":
      for (const call of running.values()) call.cancel();
      await runtime.close();
      port.close();
  }
}

/** Runs a call; posts a thrown error as the call's error, with parameter names of the request body. */
async function generate(
  runtime: ModelRuntime,
  call: number,
  { promptTokenIds, sentNames, ...rest }: PostedRequest,
): Promise<void> {
  const current = new RunningCall();
  running.set(call, current);
  try {
    const request = { ...rest, promptTokenIds: Array.from(promptTokenIds) };
    const answer = runtime.submit(request, current.signal);
    post({ type: "started", call, seed: answer.seed, numPromptTokens: promptTokenIds.length });
    for await (const delta of answer) {
      post({ type: "delta", call, delta });
      await current.posted();
    }
  } catch (error) {
    // The error of a canceled call has no receiver.
    if (current.signal.aborted) return;
    const named = error instanceof EngineError ? error.renamed((path) => wireName(path, sentNames)) : error;
    post({ type: "error", call, error: postedError(named) });
  } finally {
    running.delete(call);
  }
}

/** A call in progress: its cancellation, and the number of posted deltas that the receiver has not passed on. */
class RunningCall {
  readonly #cancel = new AbortController();
  #numUnread = 0;
  #resume: () => void = () => {};

  get signal(): AbortSignal {
    return this.#cancel.signal;
  }

  cancel(): void {
    this.#cancel.abort();
    this.#resume();
  }

  /** Counts a posted delta. Resolves when the next one may be posted. */
  async posted(): Promise<void> {
    if (++this.#numUnread < MAX_UNREAD_DELTAS || this.signal.aborted) return;
    await new Promise<void>((resolve) => (this.#resume = resolve));
  }

  read(numDeltas: number): void {
    this.#numUnread -= numDeltas;
    if (this.#numUnread < MAX_UNREAD_DELTAS) this.#resume();
  }
}

function post(message: FromEngine): void {
  port.postMessage(message);
}
