/** Tests of the runner with a minimal server: shrinking, budgets, seeds, and the ends of laws and runs. */

import { setTimeout as pause } from "node:timers/promises";

import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";

import { Violation, type Law, type Probe } from "./law.js";
import { runLaws, type Progress, type Run, type RunOptions } from "./run.js";
import { completion, json, tinyServer, type TinyServer } from "../fixtures/tiny-server.js";

const servers: TinyServer[] = [];
afterEach(() => servers.splice(0).forEach((server) => server.close()));

type Answer = Parameters<typeof tinyServer>[0];

const echo: Answer = ({ max_tokens: limit }, response) => json(response, 200, completion(String(limit)));

async function serve(answer: Answer = echo): Promise<TinyServer> {
  const server = await tinyServer(answer);
  servers.push(server);
  return server;
}

function law(id: string, check: Law["check"], fields: Partial<Law> = {}): Law {
  return { id, title: `Law ${id}`, clauses: ["TS-1.1"], reports: [], needs: [], errorRate: null, check, ...fields };
}

function run({ baseUrl }: TinyServer, laws: readonly Law[], options: Partial<RunOptions> = {}): Promise<Run> {
  return runLaws({
    endpoint: { baseUrl, apiKey: null },
    model: null,
    dialect: null,
    laws,
    budget: { calls: 500, seconds: 60 },
    seed: 1,
    ...options,
  });
}

/** Number of calls that probe the endpoint's features. */
const NUM_PROFILE_CALLS = 22;

/** Requires that the answer is the value of max_tokens, as `echo` returns it. */
const echoes =
  (limit: number) =>
  async (probe: Probe): Promise<void> => {
    const { choices, exchange } = await probe.ask({ max_tokens: limit });
    if (choices[0]!.content !== String(limit))
      throw new Violation(`Not ${limit}, but ${choices[0]!.content}`, [exchange]);
  };

const echoesAll =
  (max = 1000, options: Parameters<Probe["forAll"]>[2] = {}) =>
  async (probe: Probe): Promise<void> => {
    await probe.forAll(fc.integer({ min: 1, max }), (limit) => echoes(limit)(probe), options as object);
  };

const wrongFrom =
  (first: number): Answer =>
  ({ max_tokens: limit }, response) =>
    json(response, 200, completion((limit as number) < first ? String(limit) : "!"));

describe("findings", () => {
  test("contain the smallest failing case and its exchange", async () => {
    const server = await serve(wrongFrom(38));
    const { laws: results } = await run(server, [law("P1", echoesAll())]);
    const { outcome, findings } = results[0]!;
    expect(outcome).toBe("broken");
    expect(findings).toHaveLength(1);
    expect(findings[0]).toMatchObject({
      clause: "TS-1.1",
      message: "Not 38, but !",
      counterexample: "38",
      path: expect.stringMatching(/^\d+(:\d+)+$/) as string,
    });
    expect(findings[0]!.exchanges[0]!.body).toBe('{"model":"m","max_tokens":38}');
    expect(findings[0]!.curls[0]).toContain(`--data-raw '{"model":"m","max_tokens":38}'`);
  });

  test("shrinking ignores smaller cases that break another clause or get no answer", async () => {
    const server = await serve(({ max_tokens }, response) => {
      const limit = max_tokens as number;
      if (limit === 61) return void response.destroy();
      if (limit < 38) return json(response, 200, completion(String(limit)));
      json(response, 200, limit <= 60 ? {} : completion("!"));
    });
    const { laws: results } = await run(server, [law("P1", echoesAll(100, { examples: [100] }))]);
    expect(results[0]!.findings[0]).toMatchObject({ counterexample: "62", clause: "TS-1.1" });
  });

  test("a violation outside of cases is also a finding, and a law continues after a broken forAll", async () => {
    const server = await serve(wrongFrom(1));
    const twice = law("P2", async (probe) => {
      await echoesAll()(probe);
      await echoesAll()(probe);
      throw new Violation("At last", [], "TS-2.2");
    });
    const { laws: results } = await run(server, [twice]);
    expect(
      results[0]!.findings.map(({ clause, counterexample, path }) => ({
        clause,
        counterexample,
        hasPath: path !== null,
      })),
    ).toEqual([
      { clause: "TS-1.1", counterexample: "1", hasPath: true },
      { clause: "TS-1.1", counterexample: "1", hasPath: true },
      { clause: "TS-2.2", counterexample: null, hasPath: false },
    ]);
  });

  test("examples are checked first", async () => {
    const server = await serve();
    await run(server, [law("P1", echoesAll(1000, { numRuns: 3, examples: [999, 998] }))]);
    const limits = server.requests.slice(NUM_PROFILE_CALLS - 2).map(({ max_tokens: limit }) => limit);
    expect(limits).toHaveLength(3);
    expect(limits.slice(0, 2)).toEqual([999, 998]);
  });

  test("an example that its arbitrary cannot shrink is reported unchanged", async () => {
    const unmapped = (): never => {
      throw new Error("Not one of mine");
    };
    const cases = fc.integer({ min: 1, max: 9 }).map((limit) => `${limit}`, unmapped);
    const strings = law("P1", (probe) =>
      probe.forAll(cases, (limit) => echoes(Number(limit))(probe), { examples: ["50"] }),
    );
    const { laws: results } = await run(await serve(wrongFrom(1)), [strings]);
    expect(results[0]!.findings[0]).toMatchObject({ counterexample: '"50"', path: "0" });
  });

  test("records are printed as literals, even without a prototype", async () => {
    const bare = Object.assign(Object.create(null) as object, { limits: [{ limit: 50 }] });
    const records = law("P1", (probe) =>
      probe.forAll(fc.constant({ bare, at: 0 }), ({ at }) => echoes([50][at]!)(probe)),
    );
    const { laws: results } = await run(await serve(wrongFrom(1)), [records]);
    expect(results[0]!.findings[0]!.counterexample).toBe('{"bare":{"limits":[{"limit":50}]},"at":0}');
  });

  test("the seed determines every request and finding, also with a subset of the laws", async () => {
    const laws = [law("P1", echoesAll()), law("P2", echoesAll())];
    const ask = async (
      options: Partial<RunOptions>,
      chosen = laws,
    ): Promise<{ requests: unknown; findings: unknown }> => {
      const server = await serve(wrongFrom(900));
      const { laws: results } = await run(server, chosen, options);
      return {
        requests: server.requests,
        findings: results.map(({ findings }) =>
          findings.map(({ seed, path, counterexample }) => ({ seed, path, counterexample })),
        ),
      };
    };
    const first = await ask({ seed: 7 });
    expect(await ask({ seed: 7 })).toEqual(first);
    expect((await ask({ seed: 8 })).requests).not.toEqual(first.requests);
    expect((await ask({ seed: 7 }, [laws[1]!])).findings).toEqual([(first.findings as unknown[])[1]]);
  });

  test("calls of a failed case end before the next case begins", async () => {
    let running = 0;
    const overlaps: number[] = [];
    const server = await serve(async ({ max_tokens: limit, slow }, response) => {
      running++;
      if (slow === true) await pause(30);
      else overlaps.push(running);
      running--;
      json(response, 200, completion(slow === true ? String(limit) : "!"));
    });
    const both = law("P1", (probe) =>
      probe.forAll(fc.integer({ min: 1, max: 9 }), async (limit) => {
        const { choices } = await probe.ask({ max_tokens: limit });
        void probe.ask({ max_tokens: limit, slow: true });
        throw new Violation(choices[0]!.content, []);
      }),
    );
    await run(server, [both]);
    expect(overlaps.length).toBeGreaterThan(NUM_PROFILE_CALLS - 2);
    expect(Math.max(...overlaps)).toBe(1);
  });
});

describe("the budget", () => {
  test("is shared evenly among laws, and unused parts go to later laws", async () => {
    const server = await serve();
    const greedy = (id: string): Law =>
      law(id, async (probe) => {
        for (;;) await echoes(1)(probe);
      });
    const modest = law("P3", echoes(1));
    const { laws: results, numCalls } = await run(
      server,
      [modest, greedy("P1"), law("P2", echoesAll(9, { numRuns: 1000 }))],
      { budget: { calls: NUM_PROFILE_CALLS + 61, seconds: 60 } },
    );
    expect(results.map(({ outcome, numCalls }) => [outcome, numCalls])).toEqual([
      ["holds", 1],
      ["unchecked", 30],
      ["holds", 23],
    ]);
    expect(results[1]!.reason).toMatch(/spent/);
    expect(numCalls).toBe(NUM_PROFILE_CALLS + 54);
    expect(server.requests).toHaveLength(numCalls - 2);
  });

  test("a law can limit the part that its first cases use", async () => {
    const server = await serve();
    const numCases: number[] = [];
    const both = law("P1", async (probe) => {
      for (const share of [0.4, 1]) {
        const before = server.requests.length;
        await echoesAll(9, { numRuns: 1000, share })(probe);
        numCases.push(server.requests.length - before);
      }
    });
    await run(server, [both], { budget: { calls: NUM_PROFILE_CALLS + 50, seconds: 60 } });
    expect(numCases).toEqual([20, 30]);
  });

  test("shrinking stops when the law's share is spent, and the finding is kept", async () => {
    const server = await serve(wrongFrom(1000));
    const { laws: results, numCalls } = await run(
      server,
      [law("P1", echoesAll(2 ** 30, { examples: [2 ** 30] })), law("P2", echoes(1000))],
      { budget: { calls: NUM_PROFILE_CALLS + 4, seconds: 60 } },
    );
    expect(results.map(({ outcome, numCalls }) => [outcome, numCalls])).toEqual([
      ["broken", 2],
      ["broken", 1],
    ]);
    expect(results[0]).toMatchObject({ notes: [], shortOf: "calls", findings: [{ isSmallest: false }] });
    expect(numCalls).toBeLessThanOrEqual(NUM_PROFILE_CALLS + 4);
  });

  test("a note stays with the answers that it is about: not those of smaller cases, nor of a broken law", async () => {
    const server = await serve(wrongFrom(3));
    const noting = law("P1", async (probe) => {
      const holds = await probe.forAll(
        fc.integer({ min: 1, max: 9 }),
        async (limit) => {
          if (limit < 9) probe.note("smaller");
          await echoes(limit)(probe);
        },
        { examples: [9], numRuns: 1 },
      );
      probe.note(`holds: ${holds}`);
    });
    const [broken] = (await run(server, [noting])).laws;
    expect(broken).toMatchObject({ outcome: "broken", notes: ["holds: false"] });
    const correct = await serve();
    expect((await run(correct, [noting])).laws[0]).toMatchObject({ outcome: "holds", notes: ["holds: true"] });
  });

  test("a case that the budget interrupts does not count, and a note says that the law ended early", async () => {
    const server = await serve();
    const threeCalls = law("P1", (probe) =>
      probe.forAll(
        fc.integer({ min: 1, max: 9 }),
        async (limit) => {
          for (let i = 0; i < 3; i++) await echoes(limit)(probe);
        },
        { share: 1 },
      ),
    );
    const { laws: results } = await run(server, [threeCalls], {
      budget: { calls: NUM_PROFILE_CALLS + 8, seconds: 60 },
    });
    expect(results[0]).toMatchObject({
      outcome: "holds",
      numCases: 2,
      numCalls: 8,
      shortOf: "calls",
      notes: [expect.stringMatching(/^Ended early/)],
    });
  });

  test("a call that hangs ends at the time limit and is not a finding", async () => {
    const server = await serve(({ hang }, response) => {
      if (hang === undefined) json(response, 200, completion("8"));
    });
    const start = performance.now();
    const hanging = law("P1", async (probe) => void (await probe.ask({ hang: true })));
    const { laws: results } = await run(server, [hanging, law("P2", echoes(8))], {
      budget: { calls: 500, seconds: 2 },
    });
    expect(results.map(({ outcome }) => outcome)).toEqual(["unchecked", "holds"]);
    expect(performance.now() - start).toBeLessThan(2500);
  });

  test("a busy server gets retries; if it stays busy, the law ends without a finding", async () => {
    let numBusy = 0;
    const server = await serve(({ busy, max_tokens: limit }, response) => {
      if (busy === undefined || numBusy++ >= (busy as number)) return json(response, 200, completion(String(limit)));
      response.setHeader("retry-after", "0.01");
      json(response, numBusy % 2 === 0 ? 503 : 429, {});
    });
    const asks = (id: string, busy: number): Law =>
      law(id, async (probe) => {
        numBusy = 0;
        await probe.ask({ busy });
      });
    const { laws: results } = await run(server, [asks("P1", 3), asks("P2", 1000)]);
    expect(results.map(({ outcome, numCalls, reason }) => [outcome, numCalls, reason])).toEqual([
      ["holds", 4, null],
      ["unchecked", 4, "The endpoint accepts no more requests: status 503."],
    ]);
  });
});

describe("laws that are not checked", () => {
  test("a law is skipped, with a reason, if the endpoint lacks a required feature", async () => {
    const server = await serve((request, response) =>
      "top_k" in request ? json(response, 400, { error: "no top_k" }) : echo(request, response, undefined as never),
    );
    const { laws: results } = await run(server, [
      law("P1", () => Promise.reject(new Error("was checked")), { needs: ["seed", "top_k"] }),
      law("P2", echoes(1)),
    ]);
    expect(results.map(({ outcome, reason }) => [outcome, reason])).toEqual([
      ["skipped", 'top_k: Status 400: {"error":"no top_k"}'],
      ["holds", null],
    ]);
  });

  test("after the endpoint has died, the remaining laws are unchecked and nothing is shrunk", async () => {
    const server = await serve((request, response, incoming) =>
      request["max_tokens"] === 5 ? (server.close(), incoming.socket.destroy()) : echo(request, response, incoming),
    );
    const { laws: results } = await run(server, [
      law("P1", echoesAll(4)),
      law("P2", echoesAll(1000, { examples: [5] })),
      law("P3", echoes(1)),
    ]);
    expect(results.map(({ outcome }) => outcome)).toEqual(["holds", "broken", "unchecked"]);
    expect(results[1]!.findings[0]).toMatchObject({ counterexample: "5", path: "0", exchanges: [{ status: 0 }] });
    expect(results[2]!.reason).toBe("The endpoint no longer answers.");
  });

  test("a server that dies in a case gets a finding for that case only", async () => {
    const server = await serve(({ max_tokens: limit }, response) => {
      if (limit !== 7) return json(response, 200, completion(String(limit)));
      server.close();
      response.destroy();
    });
    const thrice = law("P1", async (probe) => {
      for (const first of [6, 7, 8])
        await probe.forAll(fc.constant(first), (limit) => echoes(limit)(probe), { numRuns: 1 });
    });
    const { laws: results } = await run(server, [thrice]);
    expect(results[0]!.findings).toMatchObject([{ counterexample: "7" }]);
    expect(results[0]!.notes).toContain("Ended early. The endpoint no longer answers.");
  });

  test("a bug in a law ends the run", async () => {
    const server = await serve();
    await expect(run(server, [law("P1", () => Promise.reject(new TypeError("x is undefined")))])).rejects.toThrow(
      TypeError,
    );
    await expect(
      run(server, [law("P1", (probe) => probe.forAll(fc.nat(), () => Promise.reject(new TypeError("y"))))]),
    ).rejects.toThrow(TypeError);
  });

  test("a run is refused if the error rates add up to 1 in 1000", async () => {
    const server = await serve();
    const laws = [law("P1", echoes(1), { errorRate: 6e-4 }), law("P2", echoes(1), { errorRate: 4e-4 })];
    await expect(run(server, laws)).rejects.toThrow(/0\.001/);
    expect((await run(server, [laws[0]!])).errorRate).toBe(6e-4);
  });

  test.each([
    [
      "too few calls to probe features",
      { calls: 5, seconds: 60 },
      /The budget is too small.* Raise it: --budget calls=100,seconds=60\.$/,
    ],
    [
      "too few calls for a single case",
      { calls: NUM_PROFILE_CALLS, seconds: 60 },
      /No law could be checked within 22 calls.*P1 unchecked \(Its share of the budget is spent\.\)\. Raise the budget: --budget calls=100,seconds=60\.$/,
    ],
  ])("a run fails with %s", async (_, budget, message) => {
    const failed = run(await serve(), [law("P1", echoes(1))], { budget });
    await expect(failed).rejects.toMatchObject({ code: "cannot_run" });
    await expect(failed).rejects.toThrow(message);
  });

  test("a run fails if all laws are skipped or the list of laws is empty", async () => {
    const server = await serve((request, response) =>
      "seed" in request ? json(response, 400, {}) : echo(request, response, undefined as never),
    );
    await expect(run(server, [law("P1", echoes(1), { needs: ["seed"] })])).rejects.toThrow(
      /P1 skipped \(seed: Status 400/,
    );
    await expect(run(server, [])).rejects.toMatchObject({ code: "cannot_run" });
  });
});

test("a law can send any request, abandon streams and add notes; the model is filled in", async () => {
  const server = await serve((request, response) => json(response, "bad" in request ? 400 : 200, completion("")));
  const { laws: results } = await run(server, [
    law("P1", async (probe) => {
      const refused = await probe.send({ bad: true });
      const other = await probe.send("", { path: "/models", method: "GET" });
      probe.note(`${refused.status} ${other.status}`);
      probe.note("400 200");
      await probe.abandon({ model: "other" }, { chunks: 1 });
      expect(await probe.abandon({ bad: true }, { ms: 1000 }).catch((error: unknown) => error)).toBeInstanceOf(
        Violation,
      );
    }),
  ]);
  expect(results[0]!.notes).toEqual(["400 200"]);
  expect(server.requests.slice(NUM_PROFILE_CALLS - 2)).toEqual([
    { model: "m", bad: true },
    { model: "other", stream: true },
    { model: "m", bad: true, stream: true },
  ]);
});

test("progress rises from 0 to 1 and reports the end of each law", async () => {
  const told: Progress[] = [];
  await run(await serve(), [law("P1", echoesAll()), law("P2", echoes(1))], {
    onProgress: (progress) => told.push(progress),
  });
  expect(told.map(({ share }) => share)).toEqual(told.map(({ share }) => share).sort((a, b) => a - b));
  expect(told.filter(({ result }) => result !== null).map(({ lawId, share }) => [lawId, share])).toEqual([
    ["P1", 0.5],
    ["P2", 1],
  ]);
  expect(told.length).toBeGreaterThan(20);
});
