/**
 * Worker thread that prepares the requests of one model: renders and encodes prompts, compiles grammars, tokenizes and
 * detokenizes. It answers each job with one message. An error that is not the caller's mistake ends only its job.
 */

import { deserialize } from "node:v8";
import { parentPort, workerData } from "node:worker_threads";

import { EngineError } from "../../engine/errors.js";
import { openPreparer, type Preparer, type PreparerSource } from "../../engine/model/index.js";
import { wireName, type SentNames } from "../openai/index.js";
import type { WorkerInput } from "./job-worker.js";
import { lowerPriority } from "./low-priority.js";
import {
  postedError,
  type ChatWork,
  type FromPreparer,
  type PostedRequest,
  type Sealed,
  type ToPreparer,
  type TokenizeInput,
} from "./worker-protocol.js";

if (parentPort === null) throw new Error("This file runs as a worker thread only");
const port = parentPort;
const { data, isCanceled } = workerData as WorkerInput;
const canceled = new Int32Array(isCanceled);
const preparer = openPreparer(data as PreparerSource, () => Atomics.load(canceled, 0) !== 0);
// The server waits for the preparer to be loaded, but not for its jobs. Each job reports the error of loading.
preparer.then(lowerPriority, () => {});

port.on("message", (job: ToPreparer) => void answer(job));

async function answer(job: ToPreparer): Promise<void> {
  let sent: SentNames | undefined;
  try {
    const { reply, moved } = answered(await preparer, job, (names) => (sent = names));
    port.postMessage(reply, moved);
  } catch (error) {
    const named = error instanceof EngineError ? error.renamed((path) => wireName(path, sent)) : error;
    port.postMessage({ type: "error", error: postedError(named) } satisfies FromPreparer);
  }
}

interface Answered {
  readonly reply: FromPreparer;
  readonly moved: ArrayBuffer[];
}

function answered(preparer: Preparer, job: ToPreparer, onSentNames: (names: SentNames) => void): Answered {
  switch (job.type) {
    case "load":
      return { reply: { type: "loaded" }, moved: [] };
    case "chat": {
      const { sentNames, ...options }: ChatWork = opened(job.options);
      onSentNames(sentNames);
      const { promptTokenIds, grammar, ...rest } = preparer.chat({ ...options, date: job.date });
      const posted: PostedRequest = { ...rest, promptTokenIds: Int32Array.from(promptTokenIds), grammar, sentNames };
      return { reply: { type: "request", request: posted }, moved: [posted.promptTokenIds.buffer] };
    }
    case "tokenize":
      return tokenize(preparer, opened(job.input), job.date);
    case "detokenize":
      return json({ text: preparer.decode(opened(job.tokenIds)) }, null);
  }
}

function tokenize(preparer: Preparer, input: TokenizeInput, serverDate: string): Answered {
  const isText = "text" in input;
  const { tokenIds, date } = isText
    ? preparer.encode(input.text)
    : preparer.encode(input.messages, { templateVariables: input.templateVariables, date: serverDate });
  const tokens = tokenIds.map((id) => preparer.tokenizer.tokenText(id));
  return json({ token_ids: tokenIds, tokens }, date);
}

function json(body: object, date: string | null): Answered {
  const bytes = new TextEncoder().encode(JSON.stringify(body));
  return { reply: { type: "json", json: bytes, date }, moved: [bytes.buffer] };
}

function opened<T extends object>(sealed: Sealed<T>): T {
  return sealed instanceof Uint8Array ? (deserialize(sealed) as T) : sealed;
}
