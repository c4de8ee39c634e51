/** Tests of the library with a minimal server: options, results, aborting a run, and reports. */

import { setTimeout as pause } from "node:timers/promises";

import { afterEach, describe, expect, test } from "vitest";

import { completion, json, tinyServer, type TinyServer } from "../fixtures/tiny-server.js";
import { conform, ConformError, LAWS, report, type ConformOptions, type Progress } from "./index.js";

const servers: TinyServer[] = [];
afterEach(() => servers.splice(0).forEach((server) => server.close()));

/** A server that answers every request and ignores all parameters. */
async function careless(content = "Hello!"): Promise<TinyServer> {
  const server = await tinyServer((_, response) => json(response, 200, completion(content)));
  servers.push(server);
  return server;
}

describe("a result", () => {
  test("has the laws in order, all findings, and a summary", async () => {
    const { baseUrl } = await careless();
    const result = await conform({ baseUrl: `${baseUrl}/`, only: ["P8", "P1", "P8"], budget: { calls: 200 }, seed: 7 });
    expect(result).toMatchObject({ baseUrl, seed: 7, budget: { calls: 200, seconds: 400 }, profile: { model: "m" } });
    expect(result.laws.map(({ law, outcome }) => [law.id, outcome])).toEqual([
      ["P1", "holds"],
      ["P8", "broken"],
    ]);
    expect(result.findings.length).toBeGreaterThan(0);
    expect(result.findings).toEqual(result.laws[1]!.findings);
    expect(result.findings.every(({ lawId }) => lawId === "P8")).toBe(true);
    expect(result.summary).toBe("2 laws: 1 broken, 1 hold");
  });

  test("has the same findings for the same seed, and a random seed by default", async () => {
    const { baseUrl } = await careless();
    const findings = async (seed: number): Promise<unknown> =>
      (await conform({ baseUrl, only: ["P8"], seed })).findings.map(({ path, counterexample }) => [
        path,
        counterexample,
      ]);
    expect(await findings(7)).toEqual(await findings(7));
    const seeds = [await conform({ baseUrl, only: ["P1"] }), await conform({ baseUrl, only: ["P1"] })];
    expect(seeds[0]!.seed).not.toBe(seeds[1]!.seed);
  });

  test("progress is reported at the end of each law", async () => {
    const told: Progress[] = [];
    const { baseUrl } = await careless();
    await conform({ baseUrl, only: ["P1", "P8"], onProgress: (progress) => told.push(progress) });
    expect(told.flatMap(({ result }) => (result === null ? [] : [[result.law.id, result.outcome]]))).toEqual([
      ["P1", "holds"],
      ["P8", "broken"],
    ]);
    expect(told.at(-1)!.share).toBe(1);
  });
});

describe("a signal", () => {
  test.each<[string, (request: Record<string, unknown>, numRequests: number) => boolean]>([
    ["while features are probed", (_, numRequests) => numRequests === 3],
    ["while a law is checked", (_, numRequests) => numRequests === 30],
  ])("ends the run at once: %s", { timeout: 10_000 }, async (_, isReached) => {
    const controller = new AbortController();
    const reason = new Error("Enough");
    let numOpen = 0;
    const server = await tinyServer((request, response, incoming) => {
      if (!isReached(request, server.requests.length)) return json(response, 200, completion("Hello!"));
      // This request is never answered. The run ends because the request is aborted.
      numOpen++;
      incoming.socket.on("close", () => numOpen--);
      controller.abort(reason);
    });
    servers.push(server);
    await expect(conform({ baseUrl: server.baseUrl, signal: controller.signal })).rejects.toBe(reason);
    await pause(100); // for requests in flight
    const { length } = server.requests;
    await pause(200);
    expect({ numOpen, length: server.requests.length }).toEqual({ numOpen: 0, length });
  });

  test("that is already aborted prevents every request", async () => {
    const server = await careless();
    await expect(conform({ baseUrl: server.baseUrl, signal: AbortSignal.abort() })).rejects.toThrow(/aborted/);
    expect(server.requests).toEqual([]);
  });
});

describe("refuses", () => {
  const baseUrl = "http://127.0.0.1:1/v1";
  test.each<[string, unknown, RegExp]>([
    ["no base URL", {}, /^baseUrl is missing\.$/],
    ["an invalid base URL", { baseUrl: "127.0.0.1:8000" }, /^baseUrl must be an http or https URL.*"127\.0/],
    ["a base URL with a query", { baseUrl: `${baseUrl}?a=1` }, /^baseUrl must be/],
    ["an unknown option", { baseUrl, base_url: "x" }, /^Unknown option: base_url\. Options: baseUrl, apiKey, /],
    [
      "a key that is not valid in a header",
      { baseUrl, apiKey: "sk-秘密" },
      /^apiKey must be .*Given: a key with other/,
    ],
    [
      "a base URL with a password",
      { baseUrl: "http://:secret@h/v1" },
      /^baseUrl must be an http or https URL without user, query and fragment, .*Given: a URL with a user$/,
    ],
    ["an empty model name", { baseUrl, model: "" }, /^model must be a name\. Given: ""$/],
    ["an unknown dialect", { baseUrl, dialect: "vllm" }, /^dialect must be ppio or openai\. Given: "vllm"$/],
    ["an unknown law", { baseUrl, only: ["P8", "P99"] }, /^Unknown law: P99\. Laws: P1, .*validation\.$/],
    ["laws as a string", { baseUrl, only: "P8" }, /^only must be an array of at least one law's id/],
    ["an empty list of laws", { baseUrl, only: [] }, /^only must be .*Given: \[\]$/],
    ["a budget with an unknown name", { baseUrl, budget: { tokens: 5 } }, /^budget must be .*Given: \{"tokens":5\}$/],
    ["a budget of zero calls", { baseUrl, budget: { calls: 0 } }, /^budget must be/],
    [
      "a seed that is not an integer",
      { baseUrl, seed: 0.5 },
      /^seed must be an integer of at most 15 digits\. Given: 0\.5$/,
    ],
    ["a seed with too many digits", { baseUrl, seed: 1e15 }, /^seed must be/],
    ["an invalid signal", { baseUrl, signal: {} }, /^signal must be an AbortSignal\. Given: \{\}$/],
    ["an invalid listener", { baseUrl, onProgress: true }, /^onProgress must be a function\. Given: true$/],
  ])("%s", async (_, options, message) => {
    const refused = await conform(options as ConformOptions).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ConformError);
    expect(refused).toMatchObject({ code: "invalid_option", message: expect.stringMatching(message) as string });
  });

  test("an unreachable server, with the code cannot_run", async () => {
    await expect(conform({ baseUrl })).rejects.toMatchObject({
      code: "cannot_run",
      message: expect.stringMatching(/^The server does not answer at/) as string,
    });
  });

  test("undefined options count as absent", async () => {
    const { baseUrl } = await careless();
    const options = { baseUrl, only: ["P1"], model: undefined, apiKey: undefined, seed: undefined, signal: undefined };
    expect((await conform(options as unknown as ConformOptions)).summary).toBe("1 law: 1 hold");
  });
});

test("reports in every format contain the law, and none contains the API key", async () => {
  const { baseUrl } = await careless("You are sk-very-secret");
  const result = await conform({ baseUrl, apiKey: "sk-very-secret", only: ["P8"], budget: { calls: 60 } });
  const reports = (["text", "html", "json", "junit"] as const).map((format) => report(result, format));
  for (const text of reports) {
    expect(text).toContain("P8");
    expect(text).not.toContain("very-secret");
  }
  expect(reports[0]).toMatch(/^1 law: 1 broken · /m);
  expect(reports[1]).toMatch(/^<!doctype html>/);
  expect(JSON.parse(reports[2]!)).toMatchObject({ laws: [{ id: "P8", outcome: "broken" }] });
  expect(reports[3]).toMatch(/^<\?xml/);
  expect(JSON.stringify(result)).not.toContain("very-secret");
});

test("an unknown report format is refused", async () => {
  const result = await conform({ baseUrl: (await careless()).baseUrl, only: ["P1"] });
  expect(() => report(result, "pdf" as "html")).toThrow(
    new ConformError("invalid_option", 'format must be text, html, json or junit. Given: "pdf"'),
  );
});

test("LAWS lists the laws that can be selected", () => {
  expect(LAWS.map(({ id }) => id)).toContain("validation");
});
