/** `touchstone serve` as a process: output, refusals, shutdown. Runs the built command. */

import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";

import { randomModel } from "../../spec-tests/fixtures/random-model.js";
import type { ChatCompletion, ChatCompletionChunk } from "../openai/response-schema.js";
import { concatenated } from "../../spec-tests/fixtures/chat-requests.js";
import { events, raw } from "../../spec-tests/fixtures/server.js";

const MAIN = resolve("dist/src/cli/main.js");
const PACK = resolve("dist/models/tiny/pack");
const children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

function serve(args: string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [MAIN, "serve", "--port", "0", "--threads", "1", ...args], {
    env: { ...process.env, ...env },
  });
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
  const body = JSON.stringify({
    model: "tiny",
    messages: [{ role: "user", content: "What is 27 + 38?" }],
    max_tokens: 8,
    ...fields,
  });
  return fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    body,
    headers: { "content-type": "application/json", ...headers },
  });
}

interface Choice {
  readonly message: object;
  readonly logprobs: { readonly content: { readonly top_logprobs: { readonly logprob: number }[] }[] };
}

interface ChunkChoice {
  readonly index: number;
  readonly delta: { readonly content?: string; readonly reasoning_content?: string };
  readonly finish_reason: string | null;
}

/** Returns a stream's text of each choice, and the maximum number of choices in progress at once. */
async function read(response: Response): Promise<{ contents: string[]; maxOpen: number }> {
  const contents: string[] = [];
  const open = new Set<number>();
  let maxOpen = 0;
  for (const event of (await response.text()).split("\n\n")) {
    if (!event.startsWith("data: {")) continue;
    const { choices } = JSON.parse(event.slice("data: ".length)) as { choices: ChunkChoice[] };
    for (const { index, delta, finish_reason: finishReason } of choices) {
      const text = (delta.reasoning_content ?? "") + (delta.content ?? "");
      contents[index] = (contents[index] ?? "") + text;
      if (text !== "") open.add(index);
      maxOpen = Math.max(maxOpen, open.size);
      if (finishReason !== null) open.delete(index);
    }
  }
  return { contents, maxOpen };
}

/** Expects exit code 1, nothing on stdout, one line on stderr. */
async function refuses(args: string[], message: RegExp, env: Record<string, string> = {}): Promise<void> {
  const { exit, output } = serve(args, env);
  expect(await exit).toBe(1);
  expect(output.stdout).toBe("");
  expect(output.stderr).toMatch(message);
  expect(output.stderr.trimEnd().split("\n")).toHaveLength(1);
}

describe("serves", () => {
  test("without a key, and says that the client's variable sets none", async () => {
    const { url, output } = serve([], { TOUCHSTONE_API_KEY: "secret" });
    await url;
    expect(output.stderr).toContain("the keys of a server are set with TOUCHSTONE_API_KEYS");
    expect(output.stderr).not.toContain("secret");
  });

  test("several models under their names and aliases, with keys from the environment", async () => {
    const args = ["--model", `first=${PACK}`, "--model", "org/second=tiny", "--alias", "other=org/second"];
    const { url, output } = serve([...args, "--date", "2026-11-30"], { TOUCHSTONE_API_KEYS: " k1, k2 " });
    const base = await url;
    expect(output.stdout).toBe(
      `Listening on ${base}/v1 (first, org/second, other, deepseek/deepseek-r1-turbo; profile: first fast, org/second exact)\n`,
    );
    expect((await chat(base, { model: "first" })).status).toBe(401);
    for (const model of ["first", "org/second", "other", "deepseek/deepseek-r1-turbo"]) {
      const response = await chat(base, { model }, { authorization: "Bearer k2" });
      expect(response.headers.get("x-touchstone-date")).toBe("2026-11-30");
      expect({ status: response.status, answer: await response.json() }).toMatchObject({
        status: 200,
        answer: { model },
      });
    }
    expect((await chat(base, {}, { authorization: "Bearer k2" })).status).toBe(404);
  });

  test("requests to this machine and to allowed hosts only, without a key", async () => {
    const { url, exit, child } = serve(["--allowed-host", "proxy.example"]);
    const base = await url;
    const status = async (host: string) =>
      /^HTTP\/1\.1 (\d+)/.exec(
        await raw(base, `GET /v1/models HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`),
      )![1];
    expect(await Promise.all(["localhost:1", "proxy.example", "evil.example"].map(status))).toEqual([
      "200",
      "200",
      "403",
    ]);
    child.kill("SIGTERM");
    expect(await exit).toBe(0);
  });

  test("the requested profile, and reports it", async () => {
    const base = await serve(["--profile", "exact", "--kv-cache", "q8"]).url;
    const answer = (await (await chat(base, { temperature: 0 })).json()) as { system_fingerprint: string };
    expect(answer.system_fingerprint).toMatch(/^[0-9a-f]{16}-exact-kvq8-\d/);
    const capabilities = (await (await fetch(`${base}/v1/capabilities`)).json()) as object;
    expect(capabilities).toMatchObject({ models: [{ id: "tiny", profile: "exact" }] });
  });

  test("--max-concurrency also limits the choices of one request, without changing answers", async () => {
    const ask = { n: 6, seed: 7, max_tokens: 12, stream: true };
    const answers = [];
    for (const places of [1, 2, 6]) {
      const response = await chat(await serve(["--max-concurrency", String(places)]).url, ask);
      const { contents, maxOpen } = await read(response);
      expect(maxOpen).toBe(places);
      answers.push(contents);
    }
    expect(answers[0]).toHaveLength(6);
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[2]).toEqual(answers[0]);
  });

  test("--logprobs processed omits the tokens that sampling removes, without changing answers", async () => {
    const ask = { seed: 7, top_k: 3, logprobs: true, top_logprobs: 5 };
    const choices = [];
    for (const args of [[], ["--logprobs", "processed"]]) {
      const {
        choices: [choice],
      } = (await (await chat(await serve(args).url, ask)).json()) as { choices: [Choice] };
      choices.push(choice);
    }
    const [raw, processed] = choices as [Choice, Choice];
    expect(processed.message).toEqual(raw.message);
    expect(new Set(raw.logprobs.content.map(({ top_logprobs: top }) => top.length))).toEqual(new Set([5]));
    expect(new Set(processed.logprobs.content.map(({ top_logprobs: top }) => top.length))).toEqual(new Set([3]));
    for (const { top_logprobs: top } of processed.logprobs.content) {
      expect(top.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0)).toBeCloseTo(1, 6);
    }
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

  test("a second signal ends the process immediately", async () => {
    const { url, child, exit, output } = serve([]);
    const response = await chat(await url, { n: 128, max_tokens: 400, stream: true });
    child.kill("SIGTERM");
    await vi.waitUntil(() => output.stderr.includes("shutting down"), { timeout: 10_000 });
    child.kill("SIGTERM");
    expect([await exit, child.signalCode]).toEqual([null, "SIGTERM"]);
    await expect(response.text()).rejects.toThrow();
  });
});

describe("a given or drawn seed", () => {
  test("replays its answer in another process, streamed and unstreamed", async () => {
    const story = {
      messages: [{ role: "user", content: "Tell me a story about a fox." }],
      max_tokens: 48,
      n: 2,
      logprobs: true,
      top_logprobs: 2,
    };
    /** Starts a server and requests the story with each seed, first unstreamed, then streamed. */
    const answers = async (seeds: readonly (number | undefined)[]) => {
      const { url, child, exit } = serve([]);
      const base = await url;
      const told = [];
      for (const seed of seeds) {
        for (const stream of [false, true]) {
          const usage = stream ? { stream_options: { include_usage: true } } : {};
          const response = await chat(base, { ...story, stream, ...usage, ...(seed === undefined ? {} : { seed }) });
          told.push({
            seed: Number(response.headers.get("x-touchstone-seed")),
            answer: stream ? await streamedAnswer(response) : await wholeAnswer(response),
          });
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

/** Returns the reproducible part of an answer: without id, time and cached tokens. */
async function wholeAnswer(response: Response): Promise<object> {
  const { choices, usage } = (await response.json()) as ChatCompletion;
  const { prompt_tokens_details: _, ...counts } = usage;
  return { choices, counts };
}

async function streamedAnswer(response: Response): Promise<object> {
  const { choices, usage } = concatenated((await events(response)) as unknown as ChatCompletionChunk[], true);
  const { prompt_tokens_details: _, ...counts } = usage!;
  return { choices, counts };
}

describe("while a model is being converted", () => {
  let scratch: string;
  let folder: string;
  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), "touchstone-serve-"));
    folder = await randomModel(join(scratch, "large"), {
      config: { hidden_size: 512, vocab_size: 50_000, intermediate_size: 2048 },
      dtype: "BF16",
    });
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  /** Runs a server that converts the folder into a new cache; returns its exit and the files left in the cache. */
  async function converting(args: string[], stop: (child: ChildProcess) => void) {
    const cache = mkdtempSync(join(scratch, "cache-"));
    const packs = (): string[] => (existsSync(join(cache, "packs")) ? readdirSync(join(cache, "packs")) : []);
    const { child, exit, output } = serve(["--model", folder, "--quant", "q4", ...args], { TOUCHSTONE_CACHE: cache });
    await vi.waitUntil(() => packs().some((name) => name.startsWith(".staging-")) || child.exitCode !== null, {
      timeout: 20_000,
      interval: 5,
    });
    const startMs = performance.now();
    stop(child);
    const code = await exit;
    return { code, stdout: output.stdout, ms: performance.now() - startMs, left: packs() };
  }

  test.each(["SIGTERM", "SIGINT"] as const)("%s ends it immediately and leaves no files", async (signal) => {
    const { ms, ...ended } = await converting([], (child) => child.kill(signal));
    expect(ended).toEqual({ code: 0, stdout: "", left: [] });
    expect(ms).toBeLessThan(3000);
  });

  test.each([
    ["another model that cannot be loaded", ["--model", "nowhere"]],
    ["an alias of an unknown model", ["--alias", "a=b"]],
    ["an address that is not available", ["--host", "203.0.113.1", "--insecure"]],
  ])("%s also ends it without leaving files", async (_, args) => {
    const { ms, ...ended } = await converting(args, () => {});
    expect(ended).toEqual({ code: 1, stdout: "", left: [] });
    expect(ms).toBeLessThan(3000);
  });
});

describe("refuses", () => {
  test("to listen on a non-loopback address without a key", async () => {
    await refuses(
      ["--host", "0.0.0.0"],
      /^touchstone: Listening on 0\.0\.0\.0 lets other machines use the server without a key\. Set an API key, or allow it with --insecure\.$/m,
    );
  });

  const KEY_FORM = /^touchstone: Key \d of --api-key or TOUCHSTONE_API_KEYS .*visible ASCII characters\.$/m;

  // The unit tests of createServer try more values.
  test.each<[args: string[], list: string | null, message: RegExp]>([
    [
      [],
      "",
      /^touchstone: TOUCHSTONE_API_KEYS is set, but empty\. Set it to keys separated by commas, or unset it\.$/m,
    ],
    [[], " , ", /^touchstone: TOUCHSTONE_API_KEYS is set, but empty/],
    [["--api-key", "key"], "", /^touchstone: TOUCHSTONE_API_KEYS is set, but empty/],
    [[], "a,,b", /^touchstone: TOUCHSTONE_API_KEYS has an empty entry/],
    [[], "a,schlüssel", KEY_FORM],
    [["--api-key", ""], null, KEY_FORM],
    [["--api-key", "right", "--api-key", "a b"], null, KEY_FORM],
  ])("keys that are empty or never match: %j and %j", async (args, list, message) => {
    await refuses(args, message, list === null ? {} : { TOUCHSTONE_API_KEYS: list });
  });

  test.each([
    [["--host", "", "--api-key", "key"], /^touchstone: --host must name an address/],
    [["--allowed-host", ""], /^touchstone: --allowed-host must be a host name or an IP address/],
    [["--allowed-host", "https://example.com"], /^touchstone: --allowed-host must be a host name or an IP address/],
    [["--cors-origin", ""], /^touchstone: .*It must be \* or an origin/],
    [["--cors-origin", "https://example.com:443"], /^touchstone: .*Browsers send it as "https:\/\/example\.com"/],
    [["--alias", ""], /^touchstone: .*name=model/],
    [["--model", "name="], /^touchstone: .*name is empty/],
    [["--model", "/"], /^touchstone: The name of a model must not be empty/],
  ])("options that open the server or never match: %j", async (args, message) => {
    await refuses(args, message);
  });

  test("invalid options", async () => {
    await Promise.all([
      refuses(["--date", "30.11.2026"], /^touchstone: --date must be a date.*"30\.11\.2026"/),
      refuses(["--grace", "86401"], /argument '86401' is invalid\. It must be in 0\.\.86400\./),
      refuses(["--logprobs", "model"], /^touchstone: .*raw, processed/),
      refuses(
        ["--cors-origin", "example.com"],
        /^touchstone: .*It must be \* or an origin such as https:\/\/example\.com/,
      ),
      refuses(["--model", "nowhere"], /^touchstone: (?!internal error).*nowhere/),
      refuses(["--alias", "a=b"], /^touchstone: The alias a refers to b, which is not served\. Served: tiny$/m),
      refuses(["--model", PACK, "--model", PACK], /^touchstone: Two models are named pack/),
      refuses(["--max-concurrency", "129"], /^touchstone: .*1\.\.128/),
      refuses(["--max-concurrency", "0"], /^touchstone: .*at least 1/),
      refuses(
        ["--threads", "none"],
        /^touchstone: .*--threads <count>' argument 'none' is invalid. It must be a number/,
      ),
      refuses(["--profile", "other"], /^touchstone: .*auto, fast, exact/),
      refuses(["--kv-cache", "f16"], /^touchstone: .*f32, bf16, q8/),
      refuses(["--max-body", "8MB"], /^touchstone: .*8MiB/),
      refuses(["--dialect", "other"], /^touchstone: .*openai, ppio/),
    ]);
  });

  test("a port that is in use", async () => {
    const base = await serve([]).url;
    await refuses(["--port", new URL(base).port], /^touchstone: Cannot listen on 127\.0\.0\.1, port \d+: .*EADDRINUSE/);
  });
});
