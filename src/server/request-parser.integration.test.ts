/** Inline and worker-thread parsing give the same result; the worker may die, hang or lose its client. */

import { pathToFileURL } from "node:url";
import { deserialize } from "node:v8";

import fc from "fast-check";
import { afterAll, afterEach, describe, expect, test } from "vitest";

import { ApiError, type Dialect } from "../openai/index.js";
import { chatBodies } from "../../spec-tests/fixtures/chat-requests.js";
import { parseRequest, type RequestKind } from "./parse-request.js";
import { RequestParser, type RequestParserOptions } from "./request-parser.js";
import { BUILT_PARSER, chatBody, scratchFile, until } from "../../spec-tests/fixtures/server.js";

const never = new AbortController().signal;
const wide = new RequestParser({ workerUrl: BUILT_PARSER });

afterAll(() => wide.close());

/** White space that makes a body large enough for the worker; the added line changes only line numbers of errors. */
const SPACE = Buffer.from(`${" ".repeat(40_000)}\n`);
const large = (body: string | Uint8Array): Buffer => Buffer.concat([SPACE, Buffer.from(body)]);

async function outcomeOf(parse: () => unknown): Promise<object> {
  try {
    const request = (await parse()) as { work: object };
    return {
      ...request,
      work: request.work instanceof Uint8Array ? (deserialize(request.work) as unknown) : request.work,
    };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const { status, code, param, message, headers } = error;
    return { status, code, param, message, headers };
  }
}

async function outcomes(
  kind: RequestKind,
  body: string | Uint8Array,
  dialect: Dialect = "ppio",
): Promise<{ atOnce: object; inThread: object }> {
  const atOnce = await outcomeOf(() => parseRequest(kind, large(body), dialect));
  const inThread = await outcomeOf(() => wide.parse(kind, dialect, large(body), never));
  return { atOnce, inThread };
}

describe("inline and worker parsing agree", () => {
  test.each(["ppio", "openai"] as const)(
    "on bodies that the schema of %s accepts, complete and truncated",
    async (dialect) => {
      let numAccepted = 0;
      const cut = fc.oneof({ weight: 3, arbitrary: fc.constant(1) }, fc.double({ min: 0, max: 1, noNaN: true }));
      const property = fc.asyncProperty(chatBodies(dialect), cut, async (body, share) => {
        const text = JSON.stringify(body);
        const { atOnce, inThread } = await outcomes("chat", text.slice(0, Math.ceil(text.length * share)), dialect);
        expect(inThread).toStrictEqual(atOnce);
        if ("work" in atOnce) numAccepted++;
      });
      await fc.assert(property, { numRuns: 400 });
      expect(numAccepted).toBeGreaterThan(20);
    },
  );

  test("on fields with any value", async () => {
    const names = fc.oneof(
      fc.constantFrom(
        "model",
        "messages",
        "n",
        "stop",
        "logit_bias",
        "stream_options",
        "tools",
        "response_format",
        "__proto__",
      ),
      fc.string(),
    );
    const values = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom("\ud800", [], {}, [[]], -1e308),
      fc.array(fc.string(), { minLength: 5 }),
    );
    const property = fc.asyncProperty(names, values, async (name, value) => {
      const { atOnce, inThread } = await outcomes(
        "chat",
        chatBody().replace(/\}$/, `,${JSON.stringify(name)}:${JSON.stringify(value)}}`),
      );
      expect(inThread).toStrictEqual(atOnce);
    });
    await fc.assert(property, { numRuns: 400 });
  });

  const bodies: readonly (readonly [RequestKind, string | Uint8Array, object])[] = [
    ["chat", "", { code: "invalid_json" }],
    ["chat", '{"model":"a","model":"b"}', { code: "invalid_json" }],
    ["chat", Uint8Array.of(0x22, 0xff, 0x22), { code: "invalid_json" }],
    ["chat", "[".repeat(300), { code: "invalid_json" }],
    ["chat", chatBody({ stop: Array(10_000).fill("x") }), { code: "out_of_range", param: "stop" }],
    [
      "chat",
      chatBody({ logit_bias: Object.fromEntries(Array.from({ length: 1025 }, (_, id) => [id, 1])) }),
      { code: "out_of_range", param: "logit_bias" },
    ],
    ["chat", chatBody({ messages: [[], []] }), { code: "invalid_type", param: "messages[0]" }],
    [
      "chat",
      chatBody({ messages: [{ role: "user", content: "\ud800" }] }),
      { code: "out_of_range", param: "messages[0].content" },
    ],
    ["chat", chatBody({ logit_bias: { 7: -1.5 }, seed: -3, stop: "é\u2028" }), { model: "tiny" }],
    ["tokenize", '{"model":"m","text":"a\\u0000\u{1f600}"}', { work: { text: "a\0\u{1f600}" } }],
    ["tokenize", '{"model":"m"}', { code: "missing_required_parameter", param: "text" }],
    [
      "detokenize",
      '{"model":"m","token_ids":[0,9007199254740991]}',
      { model: "m", work: [0, Number.MAX_SAFE_INTEGER] },
    ],
    ["detokenize", '{"model":"m","token_ids":[-1]}', { code: "out_of_range", param: "token_ids[0]" }],
  ];
  test.each(bodies)("%s, body %#", async (kind, body, expected) => {
    const { atOnce, inThread } = await outcomes(kind, body);
    expect(inThread).toStrictEqual(atOnce);
    expect(inThread).toMatchObject(expected);
  });
});

/** A worker that replies with its thread id, or dies or hangs if the body says so. */
const MOODY = pathToFileURL(
  scratchFile(
    "moody.mjs",
    `
import { parentPort, threadId } from "node:worker_threads";
parentPort.on("message", ({ body }) => {
  const mood = new TextDecoder().decode(body).trim();
  if (mood === "die") throw new Error("died as asked");
  if (mood === "exit") process.exit(3);
  while (mood === "hang");
  parentPort.postMessage({ request: { model: mood, work: threadId } });
});
`,
  ),
);

describe("the worker", () => {
  const parsers: RequestParser[] = [];
  const moodyParser = (
    options: RequestParserOptions = {},
  ): ((mood: string, signal?: AbortSignal) => Promise<{ model: string; work: unknown }>) => {
    const parser = new RequestParser({ workerUrl: MOODY, ...options });
    parsers.push(parser);
    return (mood, signal = never) => parser.parse("tokenize", "ppio", large(mood), signal);
  };

  afterEach(async () => void (await Promise.all(parsers.splice(0).map((parser) => parser.close()))));

  test("fails only the body during which it dies", async () => {
    const parse = moodyParser();
    const results = await Promise.allSettled(["a", "die", "b", "exit", "c"].map((mood) => parse(mood)));
    expect(
      results.map((result) => (result.status === "fulfilled" ? result.value.model : (result.reason as Error).message)),
    ).toEqual(["a", "died as asked", "b", "The worker ended with code 3", "c"]);
  });

  test("is terminated when it hangs", async () => {
    const parse = moodyParser({ timeoutMs: 1000 });
    const hung = parse("hang");
    const next = parse("next");
    await expect(hung).rejects.toThrow("was silent for 1 s");
    expect((await next).model).toBe("next");
  });

  test("does not block a client that disconnects, nor receive the waiting body of one that did", async () => {
    const parse = moodyParser({ timeoutMs: 1000 });
    const { work: thread } = await parse("first");
    const leave = new AbortController();
    const left = [parse("hang", leave.signal), parse("die", leave.signal)];
    const stays = parse("stays");
    const reason = new Error("left");
    leave.abort(reason);
    expect(await Promise.allSettled(left)).toEqual(left.map(() => ({ status: "rejected", reason })));
    // Only the hung worker is replaced. If the body "die" had reached the next worker, it would be replaced as well.
    expect((await stays).work).toBe((thread as number) + 1);
    await expect(parse("late", leave.signal)).rejects.toBe(reason);
  });

  test("is kept while bodies arrive and ended when idle", async () => {
    const parse = moodyParser({ idleMs: 300 });
    const { work: first } = await parse("a");
    expect((await parse("b")).work).toBe(first);
    await until(async () => {
      await new Promise((resolve) => setTimeout(resolve, 400));
      return (await parse("c")).work !== first;
    });
  });

  test("fails each body if it cannot start", async () => {
    const workerUrl = pathToFileURL("/nowhere/parser.js");
    const parse = moodyParser({ workerUrl });
    for (let round = 0; round < 2; round++) await expect(parse("a")).rejects.toThrow("Cannot find module");
  });
});
