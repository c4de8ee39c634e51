/**
 * Servers for the tests: on a free port of this machine, with the embedded model in the built worker, or with a
 * worker that stands in for the engine where a test must decide how fast it is and when it dies.
 */

import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

import { pino } from "pino";
import { afterAll } from "vitest";

import { EngineHost } from "./host.js";
import { ModelRegistry } from "./models.js";
import { startServer, type ApiServer, type ServerOptions } from "./server.js";
import type { WorkerModel } from "./worker-protocol.js";

export interface TestServer {
  readonly url: string;
  readonly server: ApiServer;
  readonly host: EngineHost;
  /** Log lines so far. */
  readonly logs: string[];
  close(): Promise<void>;
}

export interface TestServerOptions extends Partial<ServerOptions> {
  readonly worker?: URL;
  /** What the worker loads; the embedded model unless given. */
  readonly model?: WorkerModel;
  readonly numPlaces?: number;
  readonly numWaitingMax?: number;
}

export const BUILT_WORKER = pathToFileURL(resolve("dist/src/server/worker.js"));
export const BUILT_PARSER = pathToFileURL(resolve("dist/src/server/parser-worker.js"));

/** The server with one model, `tiny`, loaded. */
export async function testServer(given: TestServerOptions = {}): Promise<TestServer> {
  const { worker = BUILT_WORKER, model = {}, numPlaces = 16, numWaitingMax = 128, ...options } = given;
  const logs: string[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => void logs.push(line) });
  const host = new EngineHost({ model: { numThreads: 1, ...model }, log, numPlaces, numWaitingMax, workerUrl: worker });
  const server = await startServer({
    host: "127.0.0.1",
    port: 0,
    models: new ModelRegistry([{ id: "tiny", host }], new Map([["org/alias", "tiny"]])),
    apiKeys: [],
    corsOrigins: [],
    dialect: "ppio",
    maxBodyBytes: 1 << 20,
    version: "0.0.0",
    log,
    logContent: false,
    parser: { workerUrl: BUILT_PARSER },
    ...options,
  });
  await host.loaded;
  const close = async (): Promise<void> => {
    await server.close(0);
    await host.close();
  };
  return { url: server.url, server, host, logs, close };
}

/** A chat request's body. */
export function chatBody(fields: object = {}): string {
  return JSON.stringify({ model: "tiny", messages: [{ role: "user", content: "What is 27 + 38?" }], ...fields });
}

export function post(url: string, body: string, init: RequestInit = {}): Promise<Response> {
  return fetch(url, { method: "POST", body, ...init, headers: { "content-type": "application/json", ...init.headers } });
}

/** The objects of a stream; `[DONE]` must be the last event. */
export async function events(response: Response): Promise<Record<string, unknown>[]> {
  const data = (await response.text())
    .split("\n\n")
    .filter((event) => event.startsWith("data: "))
    .map((event) => event.slice("data: ".length));
  if (data.pop() !== "[DONE]") throw new Error("The stream does not end with [DONE]");
  return data.map((text) => JSON.parse(text) as Record<string, unknown>);
}

/** Asks until the answer is yes. */
export async function until(isTrue: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!(await isTrue())) {
    if (performance.now() > endMs) throw new Error("It did not come true in time");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** How a server process fares. */
export interface Vitals {
  /** Once the collector has been through. */
  readonly numBytesInUse: number;
  /** 99.9th percentile of the event loop's delay since the last time this was asked. */
  readonly loopDelayMs: number;
}

/** The server with the embedded model, alone in a process. */
export async function serverProcess() {
  const child = fork(scratchFile("server.mjs", SERVER_PROGRAM), { execArgv: ["--expose-gc"] });
  const reply = async (): Promise<unknown> => ((await once(child, "message")) as unknown[])[0];
  return {
    url: (await reply()) as string,
    vitals: (): Promise<Vitals> => {
      child.send("vitals?");
      return reply() as Promise<Vitals>;
    },
    kill: () => void child.kill("SIGKILL"),
  };
}

const SERVER_PROGRAM = `
import { monitorEventLoopDelay } from "node:perf_hooks";
import { pino } from ${JSON.stringify(import.meta.resolve("pino"))};
import { EngineHost, ModelRegistry, startServer } from ${JSON.stringify(pathToFileURL(resolve("dist/src/server/index.js")).href)};
const log = pino({ level: "silent" });
const host = new EngineHost({ model: { numThreads: 1 }, log, numPlaces: 16, numWaitingMax: 128 });
await host.loaded;
const server = await startServer({
  host: "127.0.0.1", port: 0, models: new ModelRegistry([{ id: "tiny", host }]), apiKeys: [], corsOrigins: [],
  dialect: "ppio", maxBodyBytes: 8 << 20, version: "0.0.0", log, logContent: false,
});
const resolution = 1;
const delays = monitorEventLoopDelay({ resolution });
delays.enable();
process.on("message", async () => {
  const loopDelayMs = delays.percentile(99.9) / 1e6 - resolution;
  for (let round = 0; round < 3; round++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  delays.reset();
  const { heapUsed, external } = process.memoryUsage();
  process.send({ numBytesInUse: heapUsed + external, loopDelayMs });
});
process.send(server.url);
`;

/**
 * A worker that draws "x " every 10 ms until max_tokens or a cancel. Asked to detokenize, it says how many answers
 * it is working on; asked to tokenize, it dies.
 */
export function fakeWorker(): URL {
  return workerFile(FAKE_WORKER);
}

/** The built worker, with one more habit: asked to detokenize, it dies. */
export function mortalWorker(): URL {
  return workerFile(`
import { parentPort } from "node:worker_threads";
parentPort.on("message", ({ type }) => {
  if (type === "detokenize") throw new Error("died as asked");
});
await import(${JSON.stringify(BUILT_WORKER.href)});
`);
}

function workerFile(source: string): URL {
  return pathToFileURL(scratchFile("worker.mjs", source));
}

const scratch = mkdtempSync(join(tmpdir(), "touchstone-server-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

export function scratchFile(name: string, text: string): string {
  const path = join(mkdtempSync(join(scratch, "file-")), name);
  writeFileSync(path, text);
  return path;
}

const FAKE_WORKER = `
import { parentPort } from "node:worker_threads";
const running = new Map();
parentPort.on("message", ({ type, call, options }) => {
  if (type === "close") return parentPort.close();
  if (type === "detokenize") return parentPort.postMessage({ type: "json", call, json: Buffer.from(String(running.size)) });
  if (type === "cancel") {
    clearInterval(running.get(call));
    return running.delete(call);
  }
  if (type === "tokenize") throw new Error("died as asked");
  parentPort.postMessage({ type: "started", call, seed: options.seed ?? 7, numPromptTokens: 3 });
  const numTokens = options.n * options.maxTokens;
  let done = 0;
  running.set(call, setInterval(() => {
    const choice = done % options.n;
    done++;
    const isLast = done === numTokens;
    if (isLast) {
      clearInterval(running.get(call));
      running.delete(call);
    }
    const content = "x ".repeat(options.messages[0].content === "much" ? 100_000 : 1);
    const usage = isLast ? { promptTokens: 3, completionTokens: done, totalTokens: 3 + done, reasoningTokens: 0, cachedTokens: 0 } : null;
    const finishReason = done > numTokens - options.n ? "length" : null;
    parentPort.postMessage({ type: "delta", call, delta: { choice, content, reasoning: null, tokenIds: [1], logprobs: [], finishReason, usage, timings: null } });
  }, 10));
});
parentPort.postMessage({ type: "ready", info: { modelHash: "0123456789abcdef0123", profile: "fast", contextLength: 1000 } });
`;
