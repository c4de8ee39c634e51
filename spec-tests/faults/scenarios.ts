/**
 * The work during which a call fails, and the conditions that must hold afterwards. Each scenario returns a description of its result,
 * which is equal in every run without a fault.
 */

import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { until } from "../fixtures/chat-client.js";
import { randomModel } from "../fixtures/random-model.js";
import { folderRepository, HubServer } from "../hub/hub-server.js";
import { BrokenConnection, ClearError, Violation, type Response, type Subject } from "./subject.js";

export interface Scenario {
  readonly name: string;
  /** Runs before each point, without faults. */
  prepare(subject: Subject): Promise<void>;
  /** @throws ClearError for an error that says what happened; BrokenConnection */
  run(subject: Subject): Promise<string>;
  /** Runs after each point, without faults. Throws if something is lost or left over. */
  recover(subject: Subject): Promise<void>;
  /** Runs after the last point. */
  end(subject: Subject): Promise<void>;
}

export const SCENARIOS: Readonly<Record<string, () => Promise<Scenario>>> = {
  load: async () => loading(),
  chat: async () => serving("chat", (subject) => chat(subject, { seed: 1, max_tokens: 12 })),
  stream: async () =>
    serving("stream", (subject) =>
      chat(subject, { seed: 2, n: 3, max_tokens: 8, stream: true, logprobs: true, top_logprobs: 2 }),
    ),
  structured: async () =>
    serving("structured", (subject) => chat(subject, { seed: 3, max_tokens: 16, response_format: SCHEMA })),
  abort: async () => serving("abort", abort),
  shutdown: async () => serving("shutdown", shutdown),
  library: async () => library(),
  pull: async () => pulling(),
  convert: async () => converting("convert", "pack"),
  "convert-onnx": async () => converting("convert-onnx", "onnx"),
};

const SCHEMA = {
  type: "json_schema",
  json_schema: { name: "sum", schema: { type: "object", properties: { sum: { type: "integer" } }, required: ["sum"] } },
};
const ASK = { model: "tiny", messages: [{ role: "user", content: "What is 27 + 38?" }] };
const PATH = "/v1/chat/completions";

/** Restarts of an engine after which its server is replaced: after three within a minute it would stay down. */
const MAX_RESTARTS = 2;
/** Time for a replaced engine to load, on a busy machine. */
const READY_MS = 30_000;

/** A scenario with requests to a server that is used again, until its engine has been replaced too often. */
function serving(name: string, run: Scenario["run"]): Scenario {
  let expected: string | null = null;
  return {
    name,
    async prepare(subject) {
      await subject.listen();
      expected ??= await probe(subject);
    },
    run,
    async recover(subject) {
      await subject.listen();
      await until(async () => (await subject.get("/readyz")).status === 200, READY_MS).catch(() => {
        throw new Violation("the server does not become ready");
      });
      const numRestarts = await gauges(subject);
      const answer = await probe(subject);
      if (answer !== expected) throw new Violation(`the next answer is ${answer}; ${expected} was expected`);
      if (numRestarts >= MAX_RESTARTS) await closed(subject);
    },
    end: closed,
  };
}

async function closed(subject: Subject): Promise<void> {
  await subject.close(0);
  await nothingHeld(subject);
}

/** Waits until no request runs or waits, and returns the number of restarts of the engine. */
async function gauges(subject: Subject): Promise<number> {
  const read = async (): Promise<Record<string, number>> => {
    const { text } = await subject.get("/metrics");
    return Object.fromEntries(
      [...text.matchAll(/^([\w:]+)\{model_name="tiny"\} (\d+)$/gm)].map(([, name, value]) => [name, Number(value)]),
    );
  };
  let last: Record<string, number> = {};
  await until(async () => {
    last = await read();
    return last["vllm:num_requests_running"] === 0 && last["vllm:num_requests_waiting"] === 0;
  }).catch((error: unknown) => {
    if (error instanceof BrokenConnection) throw error;
    throw new Violation(`requests are left: ${JSON.stringify(last)}`);
  });
  return last["touchstone_engine_restarts"]!;
}

/** A request that needs all pages and all places. */
function probe(subject: Subject): Promise<string> {
  return chat(subject, { seed: 4, n: 4 }).catch((error: unknown) => {
    throw new Violation(`the next request failed: ${(error as Error).message}`);
  });
}

async function chat(subject: Subject, fields: ChatFields): Promise<string> {
  const response = await subject.post(PATH, { ...ASK, ...fields });
  return fields.stream === true ? streamed(response) : whole(response);
}

/** Fields of a chat request. */
interface ChatFields {
  readonly stream?: boolean;
  readonly [name: string]: unknown;
}

interface Choice {
  readonly index: number;
  readonly message?: { readonly content: string };
  readonly delta?: { readonly content?: string };
  readonly finish_reason: string | null;
}

interface Body {
  readonly error?: { readonly message?: unknown; readonly code?: unknown };
  readonly choices?: readonly Choice[];
}

function whole({ status, text }: Response): string {
  const body = parsed(text);
  if (status !== 200) throw clearError(body, `status ${status}: ${text}`);
  return JSON.stringify(body.choices!.map(({ message, finish_reason }) => [message!.content, finish_reason]));
}

function streamed(response: Response): string {
  const { status, text } = response;
  if (status !== 200) throw clearError(parsed(text), `status ${status}: ${text}`);
  const data = text
    .split("\n\n")
    .filter((event) => event.startsWith("data: "))
    .map((event) => event.slice("data: ".length));
  if (data.pop() !== "[DONE]") throw new Violation(`the stream does not end with [DONE]: ${text.slice(-200)}`);
  const answers = new Map<number, [string, string | null]>();
  for (const event of data) {
    const body = parsed(event);
    if (body.error !== undefined) throw clearError(body, event);
    for (const { index, delta, finish_reason } of body.choices ?? []) {
      const [content, reason] = answers.get(index) ?? ["", null];
      answers.set(index, [content + (delta?.content ?? ""), finish_reason ?? reason]);
    }
  }
  return JSON.stringify([...answers].sort(([a], [b]) => a - b));
}

function parsed(text: string): Body {
  try {
    return JSON.parse(text) as Body;
  } catch {
    throw new Violation(`not JSON: ${text.slice(0, 200)}`);
  }
}

function clearError({ error }: Body, text: string): Error {
  const isClear = typeof error?.message === "string" && error.message !== "" && typeof error.code === "string";
  return isClear ? new ClearError(text) : new Violation(`an error without message or code: ${text}`);
}

/** The client leaves after the first text. */
async function abort(subject: Subject): Promise<string> {
  const isText = (received: string): boolean => received.includes("data: ");
  const answer = await subject.post(
    PATH,
    { ...ASK, seed: 5, n: 4, max_tokens: 40, stream: true },
    (received) => !isText(received),
  );
  const [first] = answer.text.split("\n\n");
  if (answer.status !== 200) return whole(answer);
  if (first!.includes('"error"')) throw clearError(parsed(first!.slice("data: ".length)), first!);
  // Until the server has noticed, and given back what the answer held.
  await gauges(subject);
  return "left";
}

/** The server closes while an answer is streamed, which may end. */
async function shutdown(subject: Subject): Promise<string> {
  let begin!: () => void;
  const begun = new Promise<void>((resolve) => (begin = resolve));
  const answer = subject.post(PATH, { ...ASK, seed: 6, n: 2, max_tokens: 30, stream: true }, (text) => {
    if (text.includes("data: ")) begin();
    return true;
  });
  const settled = answer.then(
    (response) => response,
    (error: unknown) => error as Error,
  );
  await Promise.race([begun, settled]);
  await subject.close(20_000);
  const result = await settled;
  if (result instanceof Error) throw result;
  return streamed(result);
}

/** A server starts, answers for the first time, and closes. */
function loading(): Scenario {
  const use = async (subject: Subject): Promise<string> => {
    await subject.listen();
    return chat(subject, { seed: 7, max_tokens: 8 });
  };
  let expected: string | null = null;
  return {
    name: "load",
    prepare: async () => {},
    run: use,
    async recover(subject) {
      await closed(subject);
      const answer = await use(subject);
      expected ??= answer;
      if (answer !== expected) throw new Violation(`the next answer is ${answer}; ${expected} was expected`);
      await closed(subject);
    },
    end: async () => {},
  };
}

function library(): Scenario {
  const use = async (subject: Subject): Promise<string> => JSON.stringify(await subject.run({ do: "library" }));
  let expected: string | null = null;
  return {
    name: "library",
    prepare: async (subject) => void (expected ??= await use(subject)),
    run: use,
    async recover(subject) {
      await nothingHeld(subject);
      const answer = await use(subject);
      if (answer !== expected) throw new Violation(`the next answer is ${answer}; ${expected} was expected`);
    },
    end: async () => {},
  };
}

/** A model is downloaded into a new folder. */
async function pulling(): Promise<Scenario> {
  const scratch = await mkdtemp(join(tmpdir(), "touchstone-faults-"));
  const hub = await HubServer.start();
  hub.repositories.set("org/model", folderRepository(await randomModel(join(scratch, "source"))));
  let run = 0;
  const folder = (): string => join(scratch, `pull-${run}`);
  const pull = async (subject: Subject): Promise<string> => {
    await subject.run({ do: "pull", model: "org/model", environment: hub.environment(folder()) });
    return fingerprint(folder());
  };
  let expected: string | null = null;
  return {
    name: "pull",
    async prepare(subject) {
      await rm(folder(), { recursive: true, force: true });
      run++;
      if (expected !== null) return;
      expected = await pull(subject);
      await rm(folder(), { recursive: true });
    },
    run: pull,
    async recover(subject) {
      await nothingHeld(subject, scratch);
      await sameAfter(subject, pull, expected!);
      await nothingLeft(folder());
    },
    async end() {
      await hub.close();
      await rm(scratch, { recursive: true });
    },
  };
}

/** A model folder is converted into a new folder. */
async function converting(name: string, layout: "pack" | "onnx"): Promise<Scenario> {
  const scratch = await mkdtemp(join(tmpdir(), "touchstone-faults-"));
  // ONNX Runtime's attention needs heads of a multiple of 8.
  const model = await randomModel(join(scratch, "source"), { config: { hidden_size: 64 } });
  const parent = join(scratch, "target");
  const target = join(parent, "model");
  const convert = async (subject: Subject): Promise<string> => {
    await subject.run({ do: "convert", model, target, layout });
    return fingerprint(parent);
  };
  let expected: string | null = null;
  return {
    name,
    async prepare(subject) {
      if (expected !== null) return;
      expected = await convert(subject);
      await rm(parent, { recursive: true });
    },
    run: convert,
    async recover(subject) {
      await nothingHeld(subject, scratch);
      const left = await readdir(parent).catch((): string[] => []);
      // A complete folder is a legal end of a conversion whose last call failed.
      if (left.includes("model") && (await fingerprint(parent)) !== expected)
        throw new Violation(`an incomplete folder is left: ${left.join(", ")}`);
      await rm(target, { recursive: true, force: true });
      await sameAfter(subject, convert, expected!);
      await nothingLeft(parent);
      await rm(parent, { recursive: true });
    },
    async end() {
      await rm(scratch, { recursive: true });
    },
  };
}

async function sameAfter(
  subject: Subject,
  run: (subject: Subject) => Promise<string>,
  expected: string,
): Promise<void> {
  const result = await run(subject).catch((error: unknown) => {
    throw new Violation(`the next run failed: ${(error as Error).message}`);
  });
  if (result !== expected) throw new Violation(`the next run gives ${result}; ${expected} was expected`);
}

/** Names of files that only an unfinished run needs. */
const PARTIAL = /\.incomplete$|\.lock$|\.staging-|\.tmp/;

/** Returns a hash over the paths and bytes of the files in a folder that are not leftovers of an unfinished run. */
async function fingerprint(folder: string): Promise<string> {
  const paths = (await entriesBelow(folder)).filter((path) => !PARTIAL.test(path));
  const hash = createHash("sha256");
  for (const path of paths.sort()) hash.update(`${path.slice(folder.length)}\0`).update(await readFile(path));
  return hash.digest("hex");
}

/** Throws if a folder has leftovers of an unfinished run. */
async function nothingLeft(folder: string): Promise<void> {
  const left = (await entriesBelow(folder, true)).filter((path) => PARTIAL.test(path));
  if (left.length > 0) throw new Violation(`left over: ${left.join(", ")}`);
}

async function entriesBelow(folder: string, withFolders = false): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => withFolders || !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** The process keeps no worker thread, and no file of the folder open. */
async function nothingHeld(subject: Subject, folder = "/nowhere"): Promise<void> {
  let held: { numWorkers: number; files: readonly string[] } | null = null;
  await until(async () => {
    held = (await subject.run({ do: "held", folder })) as { numWorkers: number; files: readonly string[] };
    return held.numWorkers === 0 && held.files.length === 0;
  }).catch((error: unknown) => {
    if (error instanceof Violation) throw error;
    throw new Violation(`still held: ${JSON.stringify(held)}`);
  });
}

export function isClearEnd(error: unknown, isSocketFault: boolean): boolean {
  return error instanceof ClearError || (isSocketFault && error instanceof BrokenConnection);
}
