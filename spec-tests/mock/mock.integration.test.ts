/**
 * Tests of the mock server: without bugs its answers satisfy the specification, and each bug has a visible effect, so
 * that no switch is dead.
 */

import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { ChatCompletion, ChatCompletionChunk } from "../../src/openai/response-schema.js";
import { concatenated, withoutCachedTokens } from "../fixtures/chat-requests.js";
import { events, post } from "../fixtures/server.js";
import { describeWithAssets } from "../fixtures/assets.js";
import { openAiSchemas, withoutVendorFields } from "../oracles/openai-schemas.js";
import { BUGS, type BugName } from "./bugs.js";
import { startMock, type Mock } from "./server.js";

const QUESTION = { messages: [{ role: "user", content: "Which fox is that?" }], seed: 1 };
const STORY = { messages: [{ role: "user", content: "Tell me a long story" }], seed: 2 };
const SCHEMA = {
  type: "object",
  properties: {
    a: { type: "integer", minimum: 3, maximum: 90 },
    b: { type: "string", maxLength: 6 },
    c: { enum: ["x", "é😊"] },
  },
  required: ["a", "b", "c"],
  additionalProperties: false,
};
const FORMAT = { type: "json_schema", schema: SCHEMA };

const NOW = { type: "function", function: { name: "now" } };
const ROLL = {
  type: "function",
  function: {
    name: "roll",
    parameters: {
      type: "object",
      properties: { sides: { type: "integer", minimum: 2, maximum: 20 }, of: { type: "string", maxLength: 6 } },
      required: ["sides", "of"],
      additionalProperties: false,
    },
  },
};
/** A question in whose answers tools may be called, after reasoning or after text. */
const MAY_CALL = { ...QUESTION, n: 12, tools: [NOW, ROLL], separate_reasoning: true };
/** A greeting whose answers are calls, without reasoning. */
const CALLING = { ...MAY_CALL, messages: [{ role: "user", content: "Hello!" }], tool_choice: "required" };
/** A question, a call, and its result. */
const CALLED = [
  ...QUESTION.messages,
  {
    role: "assistant",
    content: null,
    tool_calls: [{ ...NOW, id: "call_1", function: { name: "now", arguments: "{}" } }],
  },
  { role: "tool", tool_call_id: "call_1", content: "noon" },
];

let clean: Mock;
beforeAll(async () => {
  clean = await startMock();
});
afterAll(() => clean.close());

const send = ({ url }: Mock, fields: object, init: RequestInit = {}): Promise<Response> =>
  post(`${url}/v1/chat/completions`, JSON.stringify({ model: "mock", ...fields }), init);

async function ask(mock: Mock, fields: object): Promise<ChatCompletion> {
  const response = await send(mock, fields);
  if (response.status !== 200) throw new Error(await response.text());
  return (await response.json()) as ChatCompletion;
}

const chunksOf = async (mock: Mock, fields: object): Promise<ChatCompletionChunk[]> =>
  (await events(await send(mock, { ...fields, stream: true }))) as unknown as ChatCompletionChunk[];

const choicesOf = async (mock: Mock, fields: object): Promise<ChatCompletion["choices"]> =>
  (await ask(mock, fields)).choices;
const textsOf = async (mock: Mock, fields: object): Promise<string[]> =>
  (await choicesOf(mock, fields)).map(({ message }) => message.content!);
const streamedTextsOf = async (mock: Mock, fields: object): Promise<(string | undefined)[]> =>
  (concatenated(await chunksOf(mock, fields), true).choices ?? []).map(({ message }) => message.content!);
const statusOf = async (mock: Mock, fields: object): Promise<number> => (await send(mock, fields)).status;

const calls = async (mock: Mock, fields: object = CALLING) =>
  (await choicesOf(mock, fields)).map(({ message }) => message.tool_calls?.map((call) => call.function) ?? []);
const reasonsOf = async (mock: Mock, fields: object) =>
  (await choicesOf(mock, fields)).map((choice) => choice.finish_reason);
const streamedPieces = async (mock: Mock) => {
  const choices = (await chunksOf(mock, CALLING)).flatMap((chunk) => chunk.choices);
  return choices.flatMap(({ index, delta }) => (delta.tool_calls ?? []).map((piece) => ({ of: index, ...piece })));
};
const streamedReasons = async (mock: Mock) =>
  (await chunksOf(mock, CALLING)).flatMap((chunk) =>
    chunk.choices.flatMap(({ index, finish_reason: reason }) => (reason === null ? [] : [{ index, reason }])),
  );

/** Disconnects after the given number of milliseconds, or after the first chunk if it is null. */
async function abandon(mock: Mock, fields: object, afterMs: number | null): Promise<void> {
  const controller = new AbortController();
  const answer = send(mock, { ...fields, stream: true }, { signal: controller.signal });
  if (afterMs === null) await (await answer).body!.getReader().read();
  else await new Promise((resolve) => setTimeout(resolve, afterMs));
  controller.abort();
  await answer.catch(() => {});
}

describe("without bugs", () => {
  test.each(["ppio", "openai"] as const)(
    "a stream equals the unstreamed answer, also with concurrent requests (%s)",
    async (dialect) => {
      const mock = await startMock({ dialect });
      for (const separateReasoning of [false, true]) {
        for (const extra of [
          {},
          { stop: ["aba", "\n", "the"] },
          { response_format: FORMAT },
          { temperature: 0, max_tokens: 12 },
        ]) {
          const fields = {
            ...QUESTION,
            n: 5,
            logprobs: true,
            top_logprobs: 3,
            separate_reasoning: separateReasoning,
            max_tokens: 120,
            ...extra,
          };
          const whole = await ask(mock, fields);
          const [chunks] = await Promise.all([
            chunksOf(mock, { ...fields, stream_options: { include_usage: true } }),
            ask(mock, STORY),
            ask(mock, { ...QUESTION, seed: null }),
          ]);
          const streamed = concatenated(chunks, separateReasoning);
          expect(streamed.choices).toEqual(whole.choices);
          expect(withoutCachedTokens(streamed.usage)).toEqual(withoutCachedTokens(whole.usage));
          expect(await choicesOf(mock, { ...fields, n: 2 })).toEqual(whole.choices.slice(0, 2));
        }
      }
      await mock.close();
    },
  );

  test("the bytes of tokens add up to the text, and some tokens are fragments of characters", async () => {
    const choices = await choicesOf(clean, { ...QUESTION, n: 30, logprobs: true, top_logprobs: 20 });
    for (const { message, logprobs, finish_reason: reason } of choices) {
      expect(reason).toBe("stop");
      expect(Buffer.from(logprobs!.content.flatMap(({ bytes }) => bytes)).toString()).toBe(message.content);
      for (const { logprob, bytes, top_logprobs: top } of logprobs!.content) {
        expect(top).toHaveLength(20);
        expect(top.map((entry) => entry.logprob)).toEqual(top.map((entry) => entry.logprob).sort((a, b) => b - a));
        expect(top.find((entry) => String(entry.bytes) === String(bytes))?.logprob ?? logprob).toBe(logprob);
      }
    }
    const tokens = choices.flatMap(({ logprobs }) => logprobs!.content.map(({ token }) => token));
    expect(tokens.filter((token) => token === "\uFFFD").length).toBeGreaterThan(5);
    expect(choices.some(({ message }) => message.content!.includes("😊"))).toBe(true);
  });

  test("some answers reason, with tags of one token or of several", async () => {
    const choices = await choicesOf(clean, { ...QUESTION, n: 60, logprobs: true, separate_reasoning: true });
    const reasoned = choices.filter(({ message }) => message.reasoning_content !== null);
    expect(reasoned.length).toBeGreaterThan(20);
    expect(reasoned.length).toBeLessThan(60);
    const closesInOne = reasoned.filter(({ logprobs }) => logprobs!.content.some(({ token }) => token === "</think>"));
    expect(closesInOne.length).toBeGreaterThan(5);
    expect(reasoned.length - closesInOne.length).toBeGreaterThan(5);
    for (const { message } of choices)
      expect(`${message.reasoning_content}${message.content}`).not.toMatch(/<\/?think>/);
  });

  test("finished answers are valid against their schema, and most answers finish", async () => {
    const choices = await choicesOf(clean, { ...QUESTION, n: 40, response_format: FORMAT, max_tokens: 200 });
    const finished = choices.filter(({ finish_reason: reason }) => reason === "stop");
    expect(finished.length).toBeGreaterThan(35);
    const validate = new Ajv2020().compile(SCHEMA);
    for (const { message } of finished) expect(validate(JSON.parse(message.content!)), message.content!).toBe(true);
  });

  test("calls come alone, after text, after reasoning and in parallel, with valid arguments", async () => {
    const choices = await choicesOf(clean, { ...MAY_CALL, n: 60 });
    const called = choices.filter(({ message }) => message.tool_calls !== undefined);
    expect(called.length).toBeGreaterThan(20);
    expect(called.length).toBeLessThan(60);
    for (const { finish_reason: reason } of called) expect(reason).toBe("tool_calls");
    expect(called.filter(({ message }) => message.content !== null).length).toBeGreaterThan(2);
    expect(called.filter(({ message }) => message.reasoning_content !== null).length).toBeGreaterThan(5);
    expect(called.filter(({ message }) => message.reasoning_content === null).length).toBeGreaterThan(5);
    expect(called.filter(({ message }) => message.tool_calls!.length > 1).length).toBeGreaterThan(5);
    const validate = new Ajv2020().compile(ROLL.function.parameters);
    for (const { name, arguments: text } of called.flatMap(({ message }) => message.tool_calls!.map((c) => c.function)))
      expect(name === "now" ? text === "{}" : validate(JSON.parse(text)), `${name} ${text}`).toBe(true);
  });

  test("streamed calls equal unstreamed ones, in pieces of many kinds", async () => {
    const whole = await calls(clean);
    const pieces = (await streamedPieces(clean)) as { of: number; index: number; function: { arguments: string } }[];
    const joined = whole.map((expected, of) =>
      expected.map((_, index) =>
        pieces
          .filter((piece) => piece.of === of && piece.index === index)
          .map((piece) => piece.function.arguments)
          .join(""),
      ),
    );
    expect(joined).toEqual(whole.map((expected) => expected.map((call) => call.arguments)));
    expect(new Set(pieces.map((piece) => piece.function.arguments)).size).toBeGreaterThan(10);
  });

  test("a long story is long, and the context is never exceeded", async () => {
    const { choices, usage } = await ask(clean, STORY);
    expect(usage.completion_tokens).toBeGreaterThan(200);
    expect(usage.total_tokens).toBeLessThanOrEqual(1024);
    expect(choices[0]!.finish_reason).toBe("stop");
  });

  test("paths, methods, keys and models are checked", async () => {
    const mock = await startMock({ apiKey: "secret" });
    const get = async (path: string, init: RequestInit = {}) => (await fetch(mock.url + path, init)).status;
    const authorized = { headers: { authorization: "Bearer secret" } };
    expect(await get("/healthz")).toBe(200);
    expect(await get("/v1/models")).toBe(401);
    for (const path of ["/v1/models", "/v3/openai/models/mock", "/openai/v1/capabilities"])
      expect(await get(path, authorized)).toBe(200);
    expect(await get("/v1/models/other", authorized)).toBe(404);
    expect(await get("/v1/nothing", authorized)).toBe(404);
    expect(await get("/v1/chat/completions", authorized)).toBe(405);
    await mock.close();
    expect((await post(`${clean.url}/v1/tokenize`, JSON.stringify({ model: "mock", text: "é" }))).status).toBe(200);
    const { text } = (await (
      await post(`${clean.url}/v1/detokenize`, JSON.stringify({ model: "mock", token_ids: [195, 169] }))
    ).json()) as { text: string };
    expect(text).toBe("é");
  });

  describeWithAssets("OpenAI's schemas", () => {
    test("accept answers, chunks and errors", async () => {
      const schemas = openAiSchemas();
      const cases = [
        ["CreateChatCompletionResponse", await ask(clean, { ...QUESTION, n: 3, logprobs: true, top_logprobs: 2 })],
        ...(await chunksOf(clean, { ...QUESTION, n: 2, logprobs: true, stream_options: { include_usage: true } })).map(
          (chunk) => ["CreateChatCompletionStreamResponse", chunk] as const,
        ),
        ["ErrorResponse", await (await send(clean, { ...QUESTION, temperature: 3 })).json()],
      ] as const;
      for (const [name, value] of cases) {
        const validate = schemas(name);
        expect(validate(withoutVendorFields(value as object)), JSON.stringify(validate.errors)).toBe(true);
      }
    });
  });
});

const SEPARATE = { ...QUESTION, n: 12, separate_reasoning: true };
/** Texts of answers to QUESTION while another answer runs. */
const beside = async (mock: Mock, other: object): Promise<string[]> => {
  const long = ask(mock, { ...STORY, ...other });
  await new Promise((resolve) => setTimeout(resolve, 20));
  const texts = await textsOf(mock, QUESTION);
  await long;
  return texts;
};
/** Checks whether a question waits long after so many answers were abandoned that they fill all places. */
const waiting = async (mock: Mock, isInPrefill: boolean): Promise<boolean> => {
  // The arrival time of a request varies, so several delays are tried. Some of them fall into its prefill.
  for (let round = 0; round < (isInPrefill ? 16 : 2); round++)
    await abandon(mock, { ...STORY, n: 4 }, isInPrefill ? 1 + (round % 8) : null);
  const answer = send(mock, QUESTION, { signal: AbortSignal.timeout(1_000) }).then((response) =>
    response.arrayBuffer(),
  );
  return answer.then(
    () => false,
    () => true,
  );
};
const told = async (mock: Mock, fields: object) => {
  const choices = await choicesOf(mock, { ...fields, logprobs: true });
  return choices.map(
    ({ logprobs }) => logprobs?.content.map(({ token, bytes, logprob }) => ({ token, bytes, logprob })) ?? null,
  );
};
const FRAGMENTED = { ...QUESTION, n: 6, temperature: 1.2 };
const overlong = async (mock: Mock) =>
  statusOf(mock, { messages: [{ role: "user", content: "x".repeat(5000) }], max_tokens: 4 });
const unusual = async (mock: Mock) => {
  const response = await send(mock, { ...QUESTION, max_tokens: 0 });
  return Object.keys((await response.json()) as object);
};

/** Visible effect of each bug: equal results for two servers without the bug, and another result with it. */
const SEEN: Readonly<Record<BugName, (mock: Mock) => Promise<unknown>>> = {
  "seed-lost-beside-unseeded": (mock) => beside(mock, { seed: null }),
  "one-generator-for-all": (mock) => beside(mock, {}),
  "batch-size-changes-logits": (mock) => beside(mock, {}),
  "cached-repeat-differs": async (mock) => [await textsOf(mock, QUESTION), await textsOf(mock, QUESTION)],
  "prefix-off-by-one": async (mock) => {
    await ask(mock, { messages: [{ role: "user", content: "Which fox is that? Or is it a bear?" }], max_tokens: 1 });
    return textsOf(mock, QUESTION);
  },
  "stream-drops-reasoning-logprobs": async (mock) =>
    concatenated(await chunksOf(mock, { ...SEPARATE, logprobs: true }), true).choices,
  "stream-misses-split-tags": (mock) => streamedTextsOf(mock, SEPARATE),
  "stream-without-reasoning": async (mock) => concatenated(await chunksOf(mock, SEPARATE), true).choices,
  "stop-within-one-token": (mock) => textsOf(mock, { ...QUESTION, n: 20, stop: ["d ", "e ", "y ", "n "] }),
  "held-back-tail-lost": (mock) =>
    textsOf(mock, { ...QUESTION, n: 20, max_tokens: 20, stop: ["the end", '"}!!', "]!!", "}!!"] }),
  "stop-leaks-in-stream": (mock) =>
    streamedTextsOf(mock, { ...QUESTION, n: 20, stop: ["the", '"}'], include_stop_str_in_output: false }),
  "stop-inside-reasoning": (mock) => textsOf(mock, { ...SEPARATE, stop: ['"', "a"] }),
  "held-back-text-twice": (mock) => streamedTextsOf(mock, { ...QUESTION, n: 20, stop: ["aba!!", '"!!', "}!!"] }),
  "streamed-length-says-stop": async (mock) =>
    (await chunksOf(mock, { ...QUESTION, max_tokens: 3 })).at(-1)!.choices[0]!.finish_reason,
  "finish-reason-empty": async (mock) =>
    (await chunksOf(mock, { ...QUESTION, max_tokens: 3 }))[0]!.choices[0]!.finish_reason,
  "bytes-of-replacement-character": (mock) => told(mock, FRAGMENTED),
  "characters-split": (mock) => textsOf(mock, { ...QUESTION, n: 10 }),
  "token-alphabet": (mock) => told(mock, FRAGMENTED),
  "fragments-are-empty": (mock) => told(mock, FRAGMENTED),
  "logprobs-after-temperature": (mock) => told(mock, { ...QUESTION, temperature: 0.5, top_k: 1 }),
  "logprobs-positive": (mock) => told(mock, QUESTION),
  "logprobs-null": (mock) => told(mock, QUESTION),
  "unknown-fields-accepted": (mock) => statusOf(mock, { ...QUESTION, temprature: 1 }),
  "out-of-range-accepted": (mock) => statusOf(mock, { ...QUESTION, temperature: 3 }),
  "n-ignored": async (mock) => (await choicesOf(mock, { ...QUESTION, n: 3 })).length,
  "schema-fails-open": (mock) =>
    statusOf(mock, { ...QUESTION, response_format: { type: "json_schema", schema: { not: {} } } }),
  "schema-means-any-object": (mock) => textsOf(mock, { ...QUESTION, response_format: FORMAT }),
  "schema-needs-separate-reasoning": (mock) =>
    textsOf(mock, { ...QUESTION, response_format: FORMAT, separate_reasoning: false }),
  "json-in-reasoning": (mock) =>
    textsOf(mock, {
      messages: [{ role: "user", content: "Hello" }],
      seed: 1,
      n: 12,
      separate_reasoning: true,
      response_format: FORMAT,
      max_tokens: 100,
    }),
  "prompt-truncated": overlong,
  "prompt-halved": overlong,
  "stream-usage-counts-chunks": async (mock) =>
    (await chunksOf(mock, { ...QUESTION, n: 4 })).at(-1)!.usage?.completion_tokens,
  "usage-on-every-chunk": async (mock) => (await chunksOf(mock, QUESTION)).map((chunk) => "usage" in chunk),
  "usage-unasked": async (mock) => (await chunksOf(mock, { ...QUESTION, stream_options: {} })).at(-1)!.choices.length,
  "disconnect-ignored": (mock) => waiting(mock, false),
  "disconnect-in-prefill-ignored": (mock) => waiting(mock, true),
  "cancel-ends-neighbors": async (mock) => {
    const story = textsOf(mock, STORY);
    await new Promise((resolve) => setTimeout(resolve, 30));
    await abandon(mock, { ...STORY, seed: 3 }, null);
    return story;
  },
  "seed-means-greedy": (mock) => textsOf(mock, QUESTION),
  "seed-ignored": (mock) => textsOf(mock, QUESTION),
  "choices-identical": async (mock) => new Set(await textsOf(mock, { ...QUESTION, n: 4 })).size,
  "temperature-one-is-greedy": (mock) => textsOf(mock, { ...QUESTION, temperature: 1 }),
  "top-k-of-the-model": (mock) => textsOf(mock, QUESTION),
  "top-k-and-min-p-ignored": (mock) => textsOf(mock, { ...QUESTION, top_k: 3 }),
  "repetition-penalty-ignored": (mock) => textsOf(mock, { ...QUESTION, repetition_penalty: 1.8 }),
  "logit-bias-ignored": (mock) => textsOf(mock, { ...QUESTION, logit_bias: { 120: 100 }, max_tokens: 5 }),
  "answers-swapped": (mock) => beside(mock, {}),
  "choices-share-parser": (mock) => textsOf(mock, SEPARATE),
  "no-arguments-are-empty-text": calls,
  "first-argument-lost": calls,
  "arguments-are-object": calls,
  "calls-share-id": async (mock) => {
    const answers = await choicesOf(mock, CALLING);
    return answers.map(({ message }) => new Set(message.tool_calls!.map(({ id }) => id)).size);
  },
  "markup-in-content": (mock) => textsOf(mock, CALLING),
  "reasoning-read-as-calls": (mock) => calls(mock, { ...MAY_CALL, n: 60, tool_choice: "required" }),
  "call-alone-fails": (mock) => statusOf(mock, CALLING),
  "text-before-call-fails": (mock) => statusOf(mock, { ...MAY_CALL, n: 30 }),
  "white-space-between-calls-fails": (mock) => statusOf(mock, CALLING),
  "streamed-arguments-lost": streamedPieces,
  "call-index-missing": streamedPieces,
  "call-index-zero": streamedPieces,
  "finishes-twice": streamedReasons,
  "calls-of-last-choice-only": streamedPieces,
  "streamed-calls-say-stop": streamedReasons,
  "last-call-only": calls,
  "required-call-ignored": calls,
  "calls-after-reasoning-lost": (mock) => calls(mock, { ...MAY_CALL, tool_choice: "required" }),
  "calls-only-after-reasoning": calls,
  "integer-argument-drops-call": calls,
  "special-token-stripped": calls,
  "no-calls-ignored": (mock) => calls(mock, { ...MAY_CALL, tool_choice: "none" }),
  "named-tool-ignored": (mock) => calls(mock, { ...MAY_CALL, tool_choice: NOW }),
  "allowed-tools-ignored": (mock) =>
    calls(mock, {
      ...MAY_CALL,
      tool_choice: { type: "allowed_tools", allowed_tools: { mode: "required", tools: [NOW] } },
    }),
  "parallel-calls-anyway": (mock) => calls(mock, { ...CALLING, parallel_tool_calls: false }),
  "call-in-prompt-ends-reasoning": (mock) => textsOf(mock, { ...MAY_CALL, messages: CALLED }),
  "tool-messages-dropped": async (mock) => (await ask(mock, { ...MAY_CALL, messages: CALLED })).usage.prompt_tokens,
  "call-without-content-fails": (mock) => statusOf(mock, { ...MAY_CALL, messages: CALLED }),
  "unanswered-calls-accepted": (mock) => statusOf(mock, { ...MAY_CALL, messages: CALLED.slice(0, -1) }),
  "token-across-arguments-dropped": calls,
  "many-tools-fail": (mock) =>
    statusOf(mock, {
      ...CALLING,
      tools: Array.from({ length: 22 }, (_, i) => ({ type: "function", function: { name: `t${i}` } })),
    }),
  "finish-reason-without-calls": (mock) => reasonsOf(mock, { ...MAY_CALL, n: 30 }),
  "named-call-ends-with-tool-calls": (mock) => reasonsOf(mock, { ...MAY_CALL, tool_choice: NOW }),
  "required-call-ends-with-stop": (mock) => reasonsOf(mock, CALLING),
  "text-without-calls-lost": (mock) => textsOf(mock, { ...MAY_CALL, n: 30 }),
  "cut-call-counts-as-whole": (mock) => reasonsOf(mock, { ...CALLING, max_tokens: 16 }),
  "error-not-nested": unusual,
  "conflicts-accepted": (mock) => statusOf(mock, { ...QUESTION, stream_options: { include_usage: true } }),
  "tools-accepted": (mock) => statusOf(mock, { ...QUESTION, tools: "f" }),
};

describe("with a bug", () => {
  const differs = async ({ name }: { readonly name: BugName }): Promise<void> => {
    const same = await startMock();
    const broken = await startMock({ bugs: [name] });
    const expected = await SEEN[name](clean);
    expect(await SEEN[name](same)).toEqual(expected);
    expect(await SEEN[name](broken)).not.toEqual(expected);
    await Promise.all([same.close(), broken.close()]);
  };
  // Durations show these bugs, so nothing runs beside them.
  const isTimed = ({ name }: { readonly name: BugName }): boolean => name.startsWith("disconnect-");
  test.concurrent.each(BUGS.filter((bug) => !isTimed(bug)))("$name ($report): $description", differs);
  test.each(BUGS.filter(isTimed))("$name ($report): $description", differs);

  test("names are unique, and every law has a bug", () => {
    expect(new Set(BUGS.map(({ name }) => name)).size).toBe(BUGS.length);
    const laws = [...Array.from({ length: 22 }, (_, index) => `P${index + 1}`), "validation"];
    expect(laws.filter((law) => !BUGS.some((bug) => bug.law === law))).toEqual([]);
    expect(BUGS.filter(({ law }) => !laws.includes(law))).toEqual([]);
  });
});
