/** `touchstone serve` as a process: what it prints, what it refuses, how it stops. Runs the built command. */

import { spawn, type ChildProcess } from "node:child_process";
import { resolve } from "node:path";

import { afterEach, describe, expect, test, vi } from "vitest";

import type { ChatCompletion, ChatCompletionChunk } from "../openai/response-schema.js";
import { concatenated } from "../openai/testing.js";
import { events } from "../server/testing.js";

const MAIN = resolve("dist/src/cli/main.js");
const PACK = resolve("dist/models/tiny/pack");
const children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

function serve(args: string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [MAIN, "serve", "--port", "0", "--threads", "1", ...args], { env: { ...process.env, ...env } });
  children.push(child);
  const output = { stdout: "", stderr: "" };
  child.stderr.setEncoding("utf8").on("data", (text: string) => (output.stderr += text));
  const exit = new Promise<number | null>((done) => child.once("close", (code) => done(code)));
  const url = new Promise<string>((done, failed) => {
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output.stdout += text;
      const match = /^Listening on (http:\/\/\S+)\/v1 /m.exec(output.stdout);
      if (match !== null) done(match[1]!);
    });
    void exit.then((code) => failed(new Error(`Ended with ${code}: ${output.stderr}`)));
  });
  url.catch(() => {});
  return { child, output, exit, url };
}

function chat(url: string, fields: object, headers: Record<string, string> = {}): Promise<Response> {
  const body = JSON.stringify({ model: "tiny", messages: [{ role: "user", content: "What is 27 + 38?" }], max_tokens: 8, ...fields });
  return fetch(`${url}/v1/chat/completions`, { method: "POST", body, headers: { "content-type": "application/json", ...headers } });
}

/** Exit code 1, nothing on stdout, one line on stderr. */
async function refuses(args: string[], message: RegExp): Promise<void> {
  const { exit, output } = serve(args);
  expect(await exit).toBe(1);
  expect(output.stdout).toBe("");
  expect(output.stderr).toMatch(message);
  expect(output.stderr.trimEnd().split("\n")).toHaveLength(1);
}

describe("serves", () => {
  test("several models under their names and aliases, with keys from the environment", async () => {
    const args = ["--model", `first=${PACK}`, "--model", "org/second=tiny", "--alias", "other=org/second"];
    const { url, output } = serve(args, { TOUCHSTONE_API_KEYS: "k1,k2" });
    const base = await url;
    expect(output.stdout).toBe(`Listening on ${base}/v1 (first, org/second, other, deepseek/deepseek-r1-turbo)\n`);
    expect((await chat(base, { model: "first" })).status).toBe(401);
    for (const model of ["first", "org/second", "other", "deepseek/deepseek-r1-turbo"]) {
      const response = await chat(base, { model }, { authorization: "Bearer k2" });
      expect({ status: response.status, answer: await response.json() }).toMatchObject({ status: 200, answer: { model } });
    }
    expect((await chat(base, {}, { authorization: "Bearer k2" })).status).toBe(404);
  });

  test.each(["SIGTERM", "SIGINT"] as const)("%s: running answers finish, then exit code 0", async (signal) => {
    const { url, child, exit, output } = serve([]);
    const response = await chat(await url, { n: 4, max_tokens: 200, stream: true });
    child.kill(signal);
    expect(await response.text()).toMatch(/data: \[DONE\]\n\n$/);
    expect(await exit).toBe(0);
    expect(output.stderr).toContain('"shutting down"');
  });

  test("--grace 0 ends running answers with an error; the exit code is still 0", async () => {
    const { url, child, exit } = serve(["--grace", "0"]);
    const response = await chat(await url, { n: 128, max_tokens: 400, stream: true });
    child.kill("SIGTERM");
    expect(await response.text()).toMatch(/"code":"shutting_down"\}\}\n\ndata: \[DONE\]\n\n$/);
    expect(await exit).toBe(0);
  });

  test("a second signal does not wait", async () => {
    const { url, child, exit, output } = serve([]);
    const response = await chat(await url, { n: 128, max_tokens: 400, stream: true });
    child.kill("SIGTERM");
    await vi.waitUntil(() => output.stderr.includes("shutting down"), { timeout: 10_000 });
    child.kill("SIGTERM");
    expect([await exit, child.signalCode]).toEqual([null, "SIGTERM"]);
    await expect(response.text()).rejects.toThrow();
  });
});

describe("a seed, given or drawn", () => {
  test("replays its answer in another process, streamed and not", async () => {
    const story = { messages: [{ role: "user", content: "Tell me a story about a fox." }], max_tokens: 48, n: 2, logprobs: true, top_logprobs: 2 };
    /** Asks a server of its own, with each seed unstreamed, then streamed. */
    const answers = async (seeds: readonly (number | undefined)[]) => {
      const { url, child, exit } = serve([]);
      const base = await url;
      const told = [];
      for (const seed of seeds) {
        for (const stream of [false, true]) {
          const response = await chat(base, { ...story, stream, ...(seed === undefined ? {} : { seed }) });
          told.push({ seed: Number(response.headers.get("x-touchstone-seed")), answer: stream ? await streamedAnswer(response) : await wholeAnswer(response) });
        }
      }
      child.kill("SIGTERM");
      expect(await exit).toBe(0);
      return told;
    };
    const first = await answers([7, undefined]);
    const [whole, streamed, drawnWhole, drawnStreamed] = first;
    expect([whole!.seed, streamed!.seed]).toEqual([7, 7]);
    expect(new Set(first.map(({ seed }) => seed)).size).toBe(3);
    expect(streamed!.answer).toEqual(whole!.answer);
    expect(drawnWhole!.answer).not.toEqual(whole!.answer);
    const again = await answers([7, drawnWhole!.seed, drawnStreamed!.seed]);
    expect([again[0], again[1], again[2], again[5]]).toEqual(first);
  });
});

/** What must be the same again: not what names the answer and its time, nor what was cached. */
async function wholeAnswer(response: Response): Promise<object> {
  const { choices, usage } = (await response.json()) as ChatCompletion;
  const { prompt_tokens_details: _, ...counts } = usage;
  return { choices, counts };
}

async function streamedAnswer(response: Response): Promise<object> {
  const { choices, usage } = concatenated((await events(response)) as unknown as ChatCompletionChunk[], false);
  const { prompt_tokens_details: _, ...counts } = usage!;
  return { choices, counts };
}

describe("refuses", () => {
  test("to listen beyond this machine without a key", async () => {
    await refuses(["--host", "0.0.0.0"], /^touchstone: Listening on 0\.0\.0\.0 lets others reach the server: set an API key, or say --insecure\.$/m);
  });

  test("what it cannot do", async () => {
    await Promise.all([
      refuses(["--logprobs", "processed"], /^touchstone: --logprobs processed is not built yet/),
      refuses(["--model", "nowhere"], /^touchstone: (?!internal error).*nowhere/),
      refuses(["--alias", "a=b"], /^touchstone: The alias a names b, which is not served\. Served: tiny$/m),
      refuses(["--model", PACK, "--model", PACK], /^touchstone: Two models are called pack/),
      refuses(["--max-concurrency", "17"], /^touchstone: .*1\.\.16/),
      refuses(["--max-body", "8MB"], /^touchstone: .*8MiB/),
      refuses(["--dialect", "other"], /^touchstone: .*ppio, openai/),
    ]);
  });

  test("a port that is taken", async () => {
    const base = await serve([]).url;
    await refuses(["--port", new URL(base).port], /^touchstone: Cannot listen on 127\.0\.0\.1, port \d+: .*EADDRINUSE/);
  });
});
