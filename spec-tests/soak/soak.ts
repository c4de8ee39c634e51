/**
 * `npm run soak -- --minutes 10`: a stream beside each hostile request alone, then a server under a mixed load with
 * hostile requests, clients that leave, clients that do not read, and unfinished bodies. Answers are compared with those
 * that the server gave without load. Prints two tables; the exit code is 1 if an answer was wrong, a request got a 500,
 * or something leaked.
 */

import { setMaxListeners } from "node:events";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";

import { chatBody, post, until } from "../fixtures/chat-client.js";
import { serverProcess, type ServerProcess } from "../fixtures/server-process.js";
import { GapReader } from "./gap-reader.js";
import { HOSTILE_INPUTS } from "./hostile-inputs.js";

const { values } = parseArgs({ options: { minutes: { type: "string", default: "10" } } });
const SOAK_MS = Number(values.minutes) * 60_000;
if (!(SOAK_MS > 0)) throw new RangeError(`--minutes must be a positive number. Given: ${values.minutes}`);

/** Ordinary requests with seeds. */
const ASKS: readonly object[] = [
  { seed: 1, max_tokens: 60 },
  { seed: 2, max_tokens: 60, temperature: 1.3, top_p: 0.9 },
  { seed: 3, max_tokens: 40, n: 4 },
  { seed: 4, max_tokens: 80, stop: ["7"] },
  { seed: 5, max_tokens: 30, logprobs: true, top_logprobs: 3 },
  { seed: 6, max_tokens: 60, frequency_penalty: 0.5, repetition_penalty: 1.1 },
  { seed: 7, max_tokens: 60, response_format: { type: "json_object" } },
  { seed: 8, max_tokens: 60, response_format: { type: "regex", regex: "[a-z]{3,8} [0-9]{2}" } },
  { seed: 9, max_tokens: 20, messages: [{ role: "user", content: "Write a story about a fox. ".repeat(20) }] },
  { temperature: 0, max_tokens: 50 },
];

interface Counts {
  compared: number;
  wrong: number;
  refused: number;
  serverErrors: number;
  left: number;
  hostile: number;
  unavailable: number;
}

const counts: Counts = { compared: 0, wrong: 0, refused: 0, serverErrors: 0, left: 0, hostile: 0, unavailable: 0 };
const problems = new Set<string>();

// Made before the load, because making megabytes of text takes long.
const hostileRequests = HOSTILE_INPUTS.map(({ name, path, body }) => ({ name, path, body: body() }));

const server = await serverProcess();
const gapReader = new GapReader(server.url);
try {
  process.exitCode = (await soak(server)) ? 0 : 1;
} finally {
  await gapReader.close();
  server.kill();
}

async function soak(server: ServerProcess): Promise<boolean> {
  const answers = new Map<object, string>();
  for (const ask of ASKS) answers.set(ask, await wholeAnswer(ask));
  const idleGaps = await gapReader.during(delay(Math.min(SOAK_MS / 10, 30_000)));
  print([["gap between tokens", "p50, p99, max"], ["idle", gapText(idleGaps)], ...(await gapsBesideEach())]);
  const before = await server.vitals();

  const end = AbortSignal.timeout(SOAK_MS);
  setMaxListeners(0, end);
  const repeated = async (work: () => Promise<void>): Promise<void> => {
    while (!end.aborted) await work();
  };
  const load = Promise.all([
    repeated(() => compared(answers)),
    repeated(() => compared(answers)),
    repeated(() => leaves(answers)),
    repeated(async () => hostile(hostileRequests[Math.floor(Math.random() * hostileRequests.length)]!)),
    repeated(() => neverReads(end)),
    repeated(() => unfinished(end)),
    repeated(() => garbage()),
  ]);
  const loadGaps = await gapReader.during(load);

  const leaks = await leaksOf();
  const after = await server.vitals();
  for (const [ask, answer] of answers) if ((await wholeAnswer(ask)) !== answer) counts.wrong++;
  print([
    ["minutes", String(SOAK_MS / 60_000)],
    ["answers compared", String(counts.compared)],
    ["wrong answers", String(counts.wrong)],
    ["status 500", String(counts.serverErrors)],
    ["status 503, overload", String(counts.unavailable)],
    ["hostile requests (refused)", `${counts.hostile} (${counts.refused})`],
    ["clients that left", String(counts.left)],
    ["leaks", leaks.length === 0 ? "none" : leaks.join("; ")],
    ["RSS, start and end", `${mebibytes(before.rssBytes)}, ${mebibytes(after.rssBytes)}`],
    ["heap and buffers, start and end", `${mebibytes(before.numBytesInUse)}, ${mebibytes(after.numBytesInUse)}`],
    ["event-loop delay p99, p99.9", `${after.loopDelayMs99.toFixed(1)} ms, ${after.loopDelayMs.toFixed(1)} ms`],
    ["gap between tokens: p50, p99, max", gapText(loadGaps)],
  ]);
  for (const problem of problems) process.stdout.write(`${problem}\n`);
  return counts.wrong === 0 && counts.serverErrors === 0 && leaks.length === 0;
}

/** Measures a stream beside each hostile request. The first of each also lets caches and heaps grow to their bounds. */
async function gapsBesideEach(): Promise<[string, string][]> {
  const rows: [string, string][] = [];
  for (const request of hostileRequests) {
    const gaps = await gapReader.during(
      (async () => {
        await delay(200);
        for (let time = 0; time < 3; time++) await hostile(request);
      })(),
    );
    rows.push([request.name, gapText(gaps)]);
  }
  return rows;
}

async function compared(answers: ReadonlyMap<object, string>): Promise<void> {
  const fields = ASKS[Math.floor(Math.random() * ASKS.length)]!;
  const response = await ask(fields);
  if (!response.ok) return seen(response);
  counts.compared++;
  if (textOf((await response.json()) as Completion) === answers.get(fields)) return;
  counts.wrong++;
  problems.add(`wrong: ${JSON.stringify(fields)}`);
}

/** A client that closes its stream at a random time. */
async function leaves(answers: ReadonlyMap<object, string>): Promise<void> {
  const [fields] = [...answers][Math.floor(Math.random() * answers.size)]!;
  const leave = new AbortController();
  setTimeout(() => leave.abort(), Math.random() * 400);
  try {
    const response = await ask({ ...fields, n: 8, stream: true }, { signal: leave.signal });
    await response.text();
  } catch {
    counts.left++;
  }
}

async function hostile({ name, path, body }: (typeof hostileRequests)[number]): Promise<void> {
  const response = await post(`${server.url}/v1/${path}`, body);
  counts.hostile++;
  if (response.status >= 400 && response.status < 500) counts.refused++;
  if (response.status === 500) problems.add(`status 500: ${name}`);
  await seen(response);
}

/** A client that starts large streams and reads nothing. */
async function neverReads(end: AbortSignal): Promise<void> {
  await raw(
    "POST /v1/chat/completions",
    chatBody({ n: 128, max_tokens: 400, logprobs: true, top_logprobs: 20, stream: true }),
    1,
    5000,
    end,
  );
}

/** Clients that send most of a body of 1 MB and then nothing. */
async function unfinished(end: AbortSignal): Promise<void> {
  const body = `{"model":"tiny","messages":[{"role":"user","content":"${"x".repeat(1e6)}`;
  await Promise.all(Array.from({ length: 20 }, () => raw("POST /v1/chat/completions", body, 1.1, 3000, end)));
}

async function garbage(): Promise<void> {
  const socket = connectTo();
  socket.end("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n\0\0garbage\r\n\r\n");
  await delay(200);
  socket.destroy();
}

/** @param promised factor by which the announced length exceeds the body that is sent */
async function raw(line: string, body: string, promised: number, timeMs: number, end: AbortSignal): Promise<void> {
  const socket = connectTo();
  socket.pause();
  const length = Math.floor(Buffer.byteLength(body) * promised);
  socket.write(
    `${line} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n${body}`,
  );
  await delay(timeMs, undefined, { signal: end }).catch(() => {});
  socket.destroy();
}

function connectTo() {
  const { hostname, port } = new URL(server.url);
  return connect(Number(port), hostname).on("error", () => {});
}

interface Completion {
  readonly choices: readonly { readonly index: number; readonly message: object; readonly logprobs?: unknown }[];
}

function ask(fields: object, init: RequestInit = {}): Promise<Response> {
  return post(`${server.url}/v1/chat/completions`, chatBody(fields), init);
}

async function wholeAnswer(fields: object): Promise<string> {
  const response = await ask(fields);
  if (!response.ok) throw new Error(`${JSON.stringify(fields)}: ${response.status} ${await response.text()}`);
  return textOf((await response.json()) as Completion);
}

function textOf({ choices }: Completion): string {
  return JSON.stringify(choices);
}

/** Counts the status of an answer that is not compared. */
async function seen(response: Response): Promise<void> {
  const text = await response.text();
  if (response.status === 503 || response.status === 429) counts.unavailable++;
  else if (response.status >= 500) {
    counts.serverErrors++;
    problems.add(`status ${response.status}: ${text.slice(0, 200)}`);
  }
}

/** Waits until nothing runs any more, and returns what still does. */
async function leaksOf(): Promise<string[]> {
  const gauges = async (): Promise<string[]> => {
    const text = await (await fetch(`${server.url}/metrics`)).text();
    return [...text.matchAll(/^(vllm:num_requests_(?:running|waiting))\{[^}]+\} (\d+)$/gm)]
      .filter(([, , value]) => value !== "0")
      .map(([, name, value]) => `${name} ${value}`);
  };
  await until(async () => (await gauges()).length === 0, 30_000).catch(() => {});
  return gauges();
}

function gapText(gaps: readonly number[]): string {
  const sorted = [...gaps].sort((a, b) => a - b);
  const at = (share: number): string => `${(sorted[Math.floor(share * (sorted.length - 1))] ?? NaN).toFixed(1)} ms`;
  return `${at(0.5)}, ${at(0.99)}, ${at(1)} (${sorted.length} gaps)`;
}

function mebibytes(byteLength: number): string {
  return `${Math.round(byteLength / 2 ** 20)} MiB`;
}

function print(rows: readonly (readonly [string, string])[]): void {
  const width = Math.max(...rows.map(([name]) => name.length));
  for (const [name, value] of rows) process.stdout.write(`${name.padEnd(width)}  ${value}\n`);
}
