/** Contract, section 1, over HTTP: each row of the dialect table on the paths of both dialects, with its overrides. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { Dialect } from "../openai/index.js";
import type { ChatCompletion, ChatCompletionChunk } from "../openai/response-schema.js";
import { chatBody, events, post, testServer, type TestServer } from "../../spec-tests/fixtures/server.js";

const DIALECTS = ["ppio", "openai"] as const;
const PREFIXES = { ppio: "/v3/openai", openai: "/v1" } as const;

let server: TestServer;
beforeAll(async () => {
  server = await testServer({ dialect: null });
});
afterAll(() => server.close());

const send = (dialect: Dialect, fields: object): Promise<Response> =>
  post(`${server.url}${PREFIXES[dialect]}/chat/completions`, chatBody({ temperature: 0, ...fields }));

async function answer(dialect: Dialect, fields: object = {}): Promise<ChatCompletion> {
  const response = await send(dialect, fields);
  expect(response.status).toBe(200);
  return (await response.json()) as ChatCompletion;
}

async function refusal(dialect: Dialect, fields: object): Promise<object> {
  const response = await send(dialect, fields);
  const { error } = (await response.json()) as { error: { code: string; param: string | null } };
  return { status: response.status, code: error.code, param: error.param };
}

const refused = (code: string, param: string) => ({ status: 400, code, param });
const text = ({ choices }: ChatCompletion): string => choices[0]!.message.content!;

describe("a path", () => {
  /** Returns the dialect of each prefix, as reported by the capabilities route and as shown by an answer. */
  async function spoken(url: string): Promise<unknown[]> {
    const dialects = [];
    for (const prefix of ["/v1", "/v3/openai", "/openai/v1"]) {
      const { dialect } = (await (await fetch(`${url}${prefix}/capabilities`)).json()) as { dialect: string };
      const response = await post(`${url}${prefix}/chat/completions`, chatBody({ temperature: 0, stop: "38" }));
      const { message } = ((await response.json()) as ChatCompletion).choices[0]!;
      dialects.push([dialect, message.reasoning_content === undefined ? "ppio" : "openai"]);
    }
    return dialects;
  }

  test("has its dialect: openai for /v1, ppio for the vendor's paths", async () => {
    expect(await spoken(server.url)).toEqual([
      ["openai", "openai"],
      ["ppio", "ppio"],
      ["ppio", "ppio"],
    ]);
  });

  test.each(DIALECTS)("has the forced dialect: %s", async (dialect) => {
    const forced = await testServer({ dialect });
    expect(await spoken(forced.url)).toEqual(Array.from({ length: 3 }, () => [dialect, dialect]));
    await forced.close();
  });

  test("serves the vendor's name of the default model", async () => {
    for (const prefix of ["/v1", "/v3/openai", "/openai/v1"]) {
      const body = chatBody({ model: "deepseek/deepseek-r1-turbo", max_tokens: 1 });
      expect((await post(`${server.url}${prefix}/chat/completions`, body)).status).toBe(200);
    }
  });
});

describe("a stop sequence in the returned text", () => {
  test.each([
    ["ppio", "27 + 38"],
    ["openai", "27 + "],
  ] as const)("%s: %j", async (dialect, expected) => {
    const request = { stop: "38", separate_reasoning: true };
    expect(text(await answer(dialect, request))).toBe(expected);
    expect(text(await answer(dialect, { ...request, include_stop_str_in_output: null }))).toBe(expected);
    expect(text(await answer(dialect, { ...request, include_stop_str_in_output: true }))).toBe("27 + 38");
    expect(text(await answer(dialect, { ...request, include_stop_str_in_output: false }))).toBe("27 + ");
  });
});

describe("usage while streaming", () => {
  /** Returns the chunks with usage, counted from the end, and the values of `usage` on the other chunks. */
  async function usage(dialect: Dialect, fields: object): Promise<object> {
    const chunks = (await events(
      await send(dialect, { max_tokens: 3, n: 2, stream: true, ...fields }),
    )) as unknown as ChatCompletionChunk[];
    const told = chunks.flatMap((chunk, index) =>
      chunk.usage ? [{ fromEnd: chunks.length - index, numChoices: chunk.choices.length }] : [],
    );
    return { told, others: new Set(chunks.filter(({ usage }) => !usage).map(({ usage }) => usage)) };
  }
  const never = { told: [], others: new Set([undefined]) };
  const onFinish = { told: [{ fromEnd: 1, numChoices: 1 }], others: new Set([undefined]) };
  const onItsOwn = { told: [{ fromEnd: 1, numChoices: 0 }], others: new Set([null]) };

  test.each([
    ["ppio", onFinish],
    ["openai", never],
  ] as const)("%s", async (dialect, expected) => {
    for (const absent of [
      {},
      { stream_options: null },
      { stream_options: {} },
      { stream_options: { include_usage: null } },
    ])
      expect(await usage(dialect, absent)).toEqual(expected);
    expect(await usage(dialect, { stream_options: { include_usage: true } })).toEqual(onItsOwn);
    expect(await usage(dialect, { stream_options: { include_usage: false } })).toEqual(never);
  });
});

describe("prompt and max_tokens over the context", () => {
  /** A prompt that, with the template's tokens, leaves ten tokens of the embedded model's context of 1024. */
  const prompt = { messages: [{ role: "user", content: "1".repeat(1008) }] };

  test.each(DIALECTS)("%s", async (dialect) => {
    const left = { prompt_tokens: 1014, completion_tokens: 10, total_tokens: 1024 };
    const fits = async (fields: object) =>
      expect((await answer(dialect, { ...prompt, ...fields })).usage).toMatchObject(left);
    await fits({ max_tokens: 10 });
    await fits({});
    for (const limit of [{ max_tokens: 11 }, { max_completion_tokens: 11 }]) {
      await fits({ ...limit, context_length_exceeded_behavior: "truncate" });
      expect(await refusal(dialect, { ...prompt, ...limit, context_length_exceeded_behavior: "error" })).toEqual(
        refused("context_length_exceeded", Object.keys(limit)[0]!),
      );
      await fits(limit);
    }
  });
});

describe("top_p and top_k", () => {
  test("ppio: top_p more than 0 and at most 1; top_k 1 to 128", async () => {
    for (const fields of [{ top_p: Number.MIN_VALUE }, { top_p: 1 }, { top_k: 1 }, { top_k: 128 }])
      await answer("ppio", { ...fields, max_tokens: 1 });
    for (const top_p of [0, 1.01]) expect(await refusal("ppio", { top_p })).toEqual(refused("out_of_range", "top_p"));
    for (const top_k of [-1, 0, 129])
      expect(await refusal("ppio", { top_k })).toEqual(refused("out_of_range", "top_k"));
  });

  test("openai: top_p 0 to 1, where 0 keeps one token; top_k -1 and 0 are off, and it has no maximum", async () => {
    const request = { temperature: 2, seed: 3, max_tokens: 20 };
    const free = text(await answer("openai", { ...request, separate_reasoning: false }));
    for (const top_k of [-1, 0, 1e300])
      expect(text(await answer("openai", { ...request, separate_reasoning: false, top_k }))).toBe(free);
    const greedy = await answer("openai", { temperature: 0, max_tokens: 20 });
    for (const one of [{ top_p: 0 }, { top_k: 1 }])
      expect((await answer("openai", { ...request, ...one })).choices).toEqual(greedy.choices);
    for (const top_p of [-0.01, 1.01])
      expect(await refusal("openai", { top_p })).toEqual(refused("out_of_range", "top_p"));
    expect(await refusal("openai", { top_k: -2 })).toEqual(refused("out_of_range", "top_k"));
  });
});

describe("separate_reasoning", () => {
  test.each([
    ["ppio", false],
    ["openai", true],
  ] as const)("%s: defaults to %j, or to true with a structured response_format", async (dialect, separates) => {
    const apart = { content: "27 + 38 = 65", reasoning_content: expect.stringContaining("7+8=15") as string };
    const together = { content: expect.stringMatching(/^<think>[^]*7\+8=15[^]*<\/think>\s*27 \+ 38 = 65$/) as string };
    const message = async (fields: object) => (await answer(dialect, fields)).choices[0]!.message;
    const shape = (isApart: boolean) => ({ role: "assistant", refusal: null, ...(isApart ? apart : together) });
    for (const fields of [{}, { separate_reasoning: null }, { response_format: { type: "text" } }])
      expect(await message(fields)).toEqual(shape(separates));
    const sum = { response_format: { type: "regex", regex: "27 \\+ 38 = \\d+" } };
    expect(await message(sum)).toEqual(shape(true));
    expect(await message({ ...sum, separate_reasoning: false })).toEqual(shape(false));
    for (const separate_reasoning of [true, false])
      expect(await message({ separate_reasoning })).toEqual(shape(separate_reasoning));
  });
});
