/**
 * Properties of structured output through the API, with the embedded model at temperature 2: answers with finish_reason
 * `stop` are valid against their schema (checked by Ajv), a concatenated stream equals the unstreamed answer, and
 * choices do not depend on their number.
 */

import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";

import type { ChatCompletion, ChatCompletionChunk } from "../../src/openai/response-schema.js";
import { concatenated } from "../fixtures/chat-requests.js";
import { chatBody, events, post, testServer, type TestServer } from "../fixtures/server.js";

let server: TestServer;

beforeAll(async () => {
  server = await testServer();
});
afterAll(() => server.close());

/** Schemas whose answers are short. */
const { schema: schemas } = fc.letrec<{ schema: object; scalar: object; list: object; record: object }>((tie) => ({
  schema: fc.oneof({ maxDepth: 2 }, tie("scalar"), tie("list"), tie("record")),
  scalar: fc.oneof(
    fc.constantFrom(
      { type: "boolean" },
      { type: "null" },
      { type: "string", maxLength: 4 },
      { type: "string", format: "date" },
      { type: "string", pattern: "^[a-c]{1,3}$" },
    ),
    fc.record({
      type: fc.constant("integer"),
      minimum: fc.integer({ min: -20, max: 0 }),
      maximum: fc.integer({ min: 1, max: 200 }),
    }),
    fc
      .uniqueArray(fc.constantFrom(1, "a", "é😊", null, [true]), {
        minLength: 1,
        maxLength: 3,
        selector: (value) => JSON.stringify(value),
      })
      .map((values) => ({ enum: values })),
  ),
  list: fc.record({
    type: fc.constant("array"),
    items: tie("schema"),
    minItems: fc.nat(1),
    maxItems: fc.integer({ min: 1, max: 3 }),
  }),
  record: fc
    .dictionary(fc.constantFrom("a", "b", "ключ"), tie("schema"), { maxKeys: 3, noNullPrototype: true })
    .chain((properties) =>
      fc
        .subarray(Object.keys(properties))
        .map((required) => ({ type: "object", properties, required, additionalProperties: false })),
    ),
}));

const formats = fc.tuple(schemas, fc.nat(2)).map(([schema, form]) => ({
  schema,
  format: [
    { type: "json_object", schema },
    { type: "json_schema", schema },
    { type: "json_schema", json_schema: { name: "a", schema } },
  ][form],
}));

async function choicesOf(fields: object): Promise<ChatCompletion["choices"]> {
  const response = await post(`${server.url}/v1/chat/completions`, chatBody(fields));
  expect(response.status).toBe(200);
  return ((await response.json()) as ChatCompletion).choices;
}

async function streamedChoicesOf(fields: object): Promise<ChatCompletion["choices"]> {
  const response = await post(`${server.url}/v1/chat/completions`, chatBody({ ...fields, stream: true }));
  return concatenated((await events(response)) as unknown as ChatCompletionChunk[], true).choices!;
}

test(
  "TS-7.4 finished answers are valid, streamed or not, and choices do not depend on their number",
  { timeout: 300_000 },
  async () => {
    const tokenize = await post(`${server.url}/v1/tokenize`, JSON.stringify({ model: "tiny", text: "</think>" }));
    const { token_ids: closing } = (await tokenize.json()) as { token_ids: number[] };
    // The bias ends the reasoning, which a small model would seldom do at this temperature.
    const request = { temperature: 2, max_tokens: 500, n: 3, logit_bias: { [closing[0]!]: 12 }, logprobs: true };
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    let numFinished = 0;
    await fc.assert(
      fc.asyncProperty(formats, fc.nat(), async ({ schema, format }, seed) => {
        const fields = { ...request, seed, response_format: format };
        const choices = await choicesOf(fields);
        for (const { message, finish_reason: reason } of choices) {
          if (reason !== "stop") continue;
          numFinished++;
          expect(ajv.validate(schema, JSON.parse(message.content!)), message.content!).toBe(true);
        }
        expect(await streamedChoicesOf(fields)).toEqual(choices);
        expect(await choicesOf({ ...fields, n: 2 })).toEqual(choices.slice(0, 2));
      }),
      { numRuns: NUM_RUNS },
    );
    expect(numFinished).toBeGreaterThan(NUM_RUNS * 2);
  },
);

test("TS-7.12 a schema that is too large for the main thread is parsed completely", async () => {
  const schema = { const: true, description: "x".repeat(100_000) };
  const [choice] = await choicesOf({ response_format: { type: "json_schema", schema } });
  expect(choice!.message.content).toBe("true");
  const refused = await post(
    `${server.url}/v1/chat/completions`,
    chatBody({ response_format: { type: "json_object", schema: { allOf: [schema, { extends: {} }] } } }),
  );
  expect(await refused.json()).toMatchObject({
    error: { code: "unsupported_schema", param: "response_format.schema/allOf/1/extends" },
  });
});

const NUM_RUNS = 40;
