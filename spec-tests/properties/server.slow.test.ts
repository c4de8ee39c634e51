/**
 * Properties of the API with the embedded model: a concatenated stream equals the unstreamed answer, field by field;
 * choices do not depend on their number; every answer and chunk is valid against OpenAI's schemas, apart from vendor
 * fields.
 */

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { ChatCompletion, ChatCompletionChunk } from "../../src/openai/response-schema.js";
import { concatenated, withoutCachedTokens } from "../fixtures/chat-requests.js";
import { events, post, testServer, type TestServer } from "../fixtures/server.js";
import { describeWithAssets } from "../fixtures/assets.js";
import { openAiSchemas, withoutVendorFields } from "../oracles/openai-schemas.js";

const tested: Partial<Record<"ppio" | "openai", TestServer>> = {};

beforeAll(async () => {
  for (const dialect of ["ppio", "openai"] as const) tested[dialect] = await testServer({ dialect });
});
afterAll(() => Promise.all(Object.values(tested).map((server) => server.close())));

const MESSAGES = [
  "What is 27 + 38?",
  "Tell me a story about a fox.",
  "Give name and age of Alice, 30, as JSON.",
  "Wie heißt du? 你好 😊",
];

const requests = fc.record(
  {
    model: fc.constant("tiny"),
    messages: fc.constantFrom(...MESSAGES).map((content) => [{ role: "user", content }]),
    seed: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
    max_tokens: fc.integer({ min: 1, max: 60 }),
    n: fc.integer({ min: 1, max: 3 }),
    temperature: fc.constantFrom(0, 0.7, 1, 2),
    top_p: fc.constantFrom(0.3, 0.9, 1),
    top_k: fc.integer({ min: 1, max: 128 }),
    min_p: fc.constantFrom(0, 0.1),
    frequency_penalty: fc.constantFrom(-1, 0.5),
    repetition_penalty: fc.constantFrom(0.8, 1.2),
    logit_bias: fc.constantFrom({}, { 300: 5, 12: -5.5 }),
    stop: fc.constantFrom("a", ["65", "Once upon"], [" = ", "e", "}"]),
    include_stop_str_in_output: fc.boolean(),
    logprobs: fc.constant(true),
    separate_reasoning: fc.boolean(),
  },
  { requiredKeys: ["model", "messages", "seed", "max_tokens"] },
);
const asks = fc.tuple(fc.constantFrom("ppio" as const, "openai" as const), requests);
type Ask = typeof asks extends fc.Arbitrary<infer T> ? T : never;

async function whole([dialect, request]: Ask): Promise<ChatCompletion> {
  const response = await post(`${tested[dialect]!.url}/v1/chat/completions`, JSON.stringify(request));
  expect(response.status).toBe(200);
  return (await response.json()) as ChatCompletion;
}

async function chunksOf([dialect, request]: Ask, fields: object): Promise<ChatCompletionChunk[]> {
  const response = await post(
    `${tested[dialect]!.url}/v1/chat/completions`,
    JSON.stringify({ ...request, stream: true, ...fields }),
  );
  return (await events(response)) as unknown as ChatCompletionChunk[];
}

describe("the served API", () => {
  test("TS-8.11 a concatenated stream equals the unstreamed answer, including logprobs and usage", async () => {
    await fc.assert(
      fc.asyncProperty(asks, async (ask) => {
        const { choices, usage } = await whole(ask);
        const separates = ask[1].separate_reasoning ?? ask[0] === "openai";
        const chunks = await chunksOf(ask, { stream_options: { include_usage: true } });
        const streamed = concatenated(chunks, separates);
        expect(streamed.choices).toEqual(choices);
        expect(withoutCachedTokens(streamed.usage)).toEqual(withoutCachedTokens(usage));
      }),
      { numRuns: 60 },
    );
  });

  test("TS-2.10 choice i of n is choice i of i + 1", async () => {
    await fc.assert(
      fc.asyncProperty(asks, async ([dialect, request]) => {
        const { choices } = await whole([dialect, { ...request, n: 3 }]);
        for (const n of [1, 2])
          expect((await whole([dialect, { ...request, n }])).choices).toEqual(choices.slice(0, n));
      }),
      { numRuns: 10 },
    );
  });
});

describeWithAssets("OpenAI's schemas", () => {
  test("TS-8.1 hold for every answer and every chunk", async () => {
    const validator = openAiSchemas();
    const isCompletion = validator("CreateChatCompletionResponse");
    const isChunk = validator("CreateChatCompletionStreamResponse");
    await fc.assert(
      fc.asyncProperty(asks, async (ask) => {
        expect(isCompletion(withoutVendorFields(await whole(ask))), JSON.stringify(isCompletion.errors)).toBe(true);
        for (const chunk of await chunksOf(ask, {}))
          expect(isChunk(withoutVendorFields(chunk)), JSON.stringify(isChunk.errors)).toBe(true);
      }),
      { numRuns: 25 },
    );
  });

  test("TS-9.1 hold for every error", async () => {
    const isError = openAiSchemas()("ErrorResponse");
    const damaged = fc
      .tuple(asks, fc.string(), fc.jsonValue(), fc.nat())
      .map(([[dialect, request], name, value, pick]) => {
        const names = [...Object.keys(request), "stream_options", "top_logprobs", "response_format", "tools", name];
        return { dialect, body: { ...request, max_tokens: 1, [names[pick % names.length]!]: value } };
      });
    const codes = new Set<unknown>();
    await fc.assert(
      fc.asyncProperty(damaged, fc.boolean(), async ({ dialect, body }, stream) => {
        const response = await post(`${tested[dialect]!.url}/v1/chat/completions`, JSON.stringify({ ...body, stream }));
        const text = await response.text();
        if (response.status === 200) return;
        const answer = JSON.parse(text) as { error: { code: string } };
        codes.add(answer.error.code);
        expect(isError(answer), JSON.stringify(isError.errors)).toBe(true);
      }),
      { numRuns: 150 },
    );
    expect(codes.size).toBeGreaterThan(3);
  });

  test("TS-8.14 hold for the list of models, and for each of them", async () => {
    const validator = openAiSchemas();
    const [isList, isModel, isError] = [
      validator("ListModelsResponse"),
      validator("Model"),
      validator("ErrorResponse"),
    ];
    const { url } = tested.openai!;
    const get = async (path: string) => (await fetch(`${url}/v1/models${path}`)).json();
    const list = (await get("")) as { data: { id: string }[] };
    expect(isList(list), JSON.stringify(isList.errors)).toBe(true);
    expect(list.data.length).toBeGreaterThan(1);
    for (const { id } of list.data) expect(isModel(await get(`/${id}`)), JSON.stringify(isModel.errors)).toBe(true);
    expect(isError(await get("/none"))).toBe(true);
  });
});
