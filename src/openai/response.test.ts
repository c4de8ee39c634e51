/** Contract, sections 1 (usage), 4, 6 and 8: the complete answer, the stream, and their equality. */

import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { AnswerCollector } from "../../engine/core/answer-collector.js";
import type { OutputDelta, Timings, TokenLogprob, Usage } from "../../engine/index.js";
import { describeWithAssets } from "../../spec-tests/fixtures/assets.js";
import { openAiSchemas, withoutVendorFields } from "../../spec-tests/oracles/openai-schemas.js";
import { ApiError } from "./api-error.js";
import { chatCompletion, ChunkWriter, type ResponseContext } from "./response.js";
import {
  chatCompletionChunkSchema,
  chatCompletionSchema,
  errorSchema,
  type ChatCompletion,
  type ChatCompletionChunk,
} from "./response-schema.js";
import { concatenated } from "../../spec-tests/fixtures/chat-requests.js";

type Request = ResponseContext["request"];

const contextOf = (request: Partial<Request> = {}): ResponseContext => ({
  id: `chatcmpl-${"a".repeat(24)}`,
  created: 1_700_000_000,
  model: "alias/of-it",
  systemFingerprint: "tiny-fast-0.1.0",
  request: { n: 1, logprobs: false, separateReasoning: false, streamUsage: "none", mayCall: false, ...request },
});

const USAGE: Usage = { promptTokens: 5, completionTokens: 7, totalTokens: 12, reasoningTokens: 2, cachedTokens: 3 };
const TIMINGS: Timings = { promptMs: 1, completionMs: 2 };
const WIRE_USAGE = {
  prompt_tokens: 5,
  completion_tokens: 7,
  total_tokens: 12,
  prompt_tokens_details: { cached_tokens: 3 },
  completion_tokens_details: { reasoning_tokens: 2 },
};

const delta = (fields: Partial<OutputDelta> = {}): OutputDelta => ({
  choice: 0,
  content: "",
  reasoning: null,
  toolCalls: [],
  tokenIds: [],
  logprobs: [],
  finishReason: null,
  usage: null,
  timings: fields.usage ? TIMINGS : null,
  ...fields,
});

const logprob = (token: string): TokenLogprob => {
  const bytes = [...new TextEncoder().encode(token)];
  return {
    tokenId: 1,
    token,
    logprob: -0.5,
    bytes,
    topLogprobs: [{ tokenId: 2, token: "x", logprob: -0.25, bytes: [120] }],
  };
};
const entry = (token: string) => ({
  token,
  logprob: -0.5,
  bytes: [...new TextEncoder().encode(token)],
  top_logprobs: [{ token: "x", logprob: -0.25, bytes: [120] }],
});

function whole(deltas: readonly OutputDelta[], request: Partial<Request>): ChatCompletion {
  const collector = new AnswerCollector();
  for (const one of deltas) collector.add(one);
  return chatCompletion(contextOf(request), collector.result(1));
}

function streamed(deltas: readonly OutputDelta[], request: Partial<Request>): ChatCompletionChunk[] {
  const writer = new ChunkWriter(contextOf(request));
  return deltas.flatMap((one) => writer.write(one));
}

const choicesOf = (chunks: readonly ChatCompletionChunk[]) => chunks.map(({ choices }) => choices[0]);

const ANSWER = [
  delta({ content: "Hel" }),
  delta({ content: "lo" }),
  delta({ content: "!", finishReason: "stop", usage: USAGE }),
];

describe("chatCompletion", () => {
  it("concatenates the deltas", () => {
    expect(whole(ANSWER, {})).toEqual({
      id: `chatcmpl-${"a".repeat(24)}`,
      object: "chat.completion",
      created: 1_700_000_000,
      model: "alias/of-it",
      system_fingerprint: "tiny-fast-0.1.0",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: "Hello!", refusal: null },
          logprobs: null,
          finish_reason: "stop",
        },
      ],
      usage: WIRE_USAGE,
    });
  });

  it("separates reasoning if requested (null without reasoning), and omits the field otherwise", () => {
    const end = delta({ content: "4", reasoning: "", finishReason: "stop", usage: USAGE });
    const message = (deltas: OutputDelta[], separateReasoning: boolean) =>
      whole(deltas, { separateReasoning }).choices[0]?.message;
    expect(message([delta({ reasoning: "2 + 2" }), end], true)).toEqual({
      role: "assistant",
      content: "4",
      reasoning_content: "2 + 2",
      refusal: null,
    });
    expect(message([end], true)).toMatchObject({ reasoning_content: "" });
    expect(message([{ ...end, reasoning: null }], true)).toMatchObject({ reasoning_content: null });
    expect(message([end], false)).toEqual({ role: "assistant", content: "4", refusal: null });
  });

  it("lists the logprobs of every token", () => {
    const deltas = [
      delta({ content: "a", logprobs: [logprob("a")] }),
      delta({ logprobs: [logprob("b")], finishReason: "length", usage: USAGE }),
    ];
    expect(whole(deltas, { logprobs: true }).choices[0]?.logprobs).toEqual({
      content: [entry("a"), entry("b")],
      refusal: null,
    });
  });

  it("throws for an incomplete answer, which would be a bug", () => {
    expect(() => whole(ANSWER.slice(0, 2), {})).toThrow("before its last delta");
    expect(() => whole([delta({ choice: 1 }), ...ANSWER], { n: 2 })).toThrow("choice 1 has no finish reason");
  });
});

describe("ChunkWriter", () => {
  it("sends role, text and finish chunks that share one envelope", () => {
    const chunks = streamed(ANSWER, {});
    expect(choicesOf(chunks)).toEqual([
      { index: 0, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null },
      { index: 0, delta: { content: "Hel" }, logprobs: null, finish_reason: null },
      { index: 0, delta: { content: "lo" }, logprobs: null, finish_reason: null },
      { index: 0, delta: { content: "!" }, logprobs: null, finish_reason: null },
      { index: 0, delta: {}, logprobs: null, finish_reason: "stop" },
    ]);
    for (const { choices: _, ...envelope } of chunks) {
      expect(envelope).toEqual({
        id: `chatcmpl-${"a".repeat(24)}`,
        object: "chat.completion.chunk",
        created: 1_700_000_000,
        model: "alias/of-it",
        system_fingerprint: "tiny-fast-0.1.0",
      });
    }
  });

  it("sends usage as requested: never, on the last finish chunk, or on an extra chunk with null on all others", () => {
    const usages = (streamUsage: Request["streamUsage"]) =>
      streamed(ANSWER, { streamUsage }).map((chunk) => chunk.usage);
    expect(usages("none")).toEqual([undefined, undefined, undefined, undefined, undefined]);
    expect(usages("on_finish")).toEqual([undefined, undefined, undefined, undefined, WIRE_USAGE]);
    expect(usages("last_chunk")).toEqual([null, null, null, null, null, WIRE_USAGE]);
    expect(streamed(ANSWER, { streamUsage: "last_chunk" }).at(-1)?.choices).toEqual([]);
    expect(streamed(ANSWER, { streamUsage: "none", mayCall: false }).every((chunk) => !("usage" in chunk))).toBe(true);
  });

  it("sends usage on the finish chunk of the choice that ends last, whatever its index", () => {
    const deltas = [
      delta({ choice: 1, content: "b", finishReason: "stop" }),
      delta({ choice: 0, content: "a", finishReason: "length", usage: USAGE }),
    ];
    const chunks = streamed(deltas, { n: 2, streamUsage: "on_finish" });
    expect(chunks.filter((chunk) => "usage" in chunk)).toEqual([chunks.at(-1)]);
    expect(chunks.at(-1)?.choices[0]).toMatchObject({ index: 0, finish_reason: "length" });
  });

  it("sends reasoning before the answer, each in its own chunk", () => {
    const deltas = [
      delta({ reasoning: "hm" }),
      delta({ reasoning: "!", content: "4" }),
      delta({ reasoning: "", finishReason: "stop", usage: USAGE }),
    ];
    expect(choicesOf(streamed(deltas, { separateReasoning: true })).map((choice) => choice?.delta)).toEqual([
      { role: "assistant", content: "" },
      { reasoning_content: "hm" },
      { reasoning_content: "!" },
      { content: "4" },
      {},
    ]);
  });

  it("sends the name of a call once, then pieces of its arguments", () => {
    const deltas = [
      delta({ toolCalls: [{ index: 0, id: "call_a", name: "f", arguments: "" }] }),
      delta({ toolCalls: [{ index: 0, id: null, name: null, arguments: '{"a":' }] }),
      delta({
        toolCalls: [
          { index: 0, id: null, name: null, arguments: "1}" },
          { index: 1, id: "call_b", name: "g", arguments: "" },
          { index: 1, id: null, name: null, arguments: "{}" },
        ],
        finishReason: "tool_calls",
        usage: USAGE,
      }),
    ];
    const choices = choicesOf(streamed(deltas, { mayCall: true }));
    expect(choices.map((choice) => choice?.delta)).toEqual([
      { role: "assistant", content: null },
      { tool_calls: [{ index: 0, id: "call_a", type: "function", function: { name: "f", arguments: "" } }] },
      { tool_calls: [{ index: 0, function: { arguments: '{"a":' } }] },
      { tool_calls: [{ index: 0, function: { arguments: "1}" } }] },
      { tool_calls: [{ index: 1, id: "call_b", type: "function", function: { name: "g", arguments: "" } }] },
      { tool_calls: [{ index: 1, function: { arguments: "{}" } }] },
      {},
    ]);
    expect(choices.at(-1)?.finish_reason).toBe("tool_calls");
    expect(whole(deltas, { mayCall: true }).choices).toMatchObject([
      {
        message: {
          content: null,
          tool_calls: [
            { id: "call_a", type: "function", function: { name: "f", arguments: '{"a":1}' } },
            { id: "call_b", type: "function", function: { name: "g", arguments: "{}" } },
          ],
        },
        finish_reason: "tool_calls",
      },
    ]);
  });

  it("sends empty reasoning exactly once", () => {
    const deltas = [
      delta({ reasoning: "", content: "4" }),
      delta({ reasoning: "", content: "2", finishReason: "stop", usage: USAGE }),
    ];
    const sent = (separateReasoning: boolean) =>
      choicesOf(streamed(deltas, { separateReasoning })).map((choice) => choice?.delta);
    expect(sent(true)).toEqual([
      { role: "assistant", content: "" },
      { reasoning_content: "" },
      { content: "4" },
      { content: "2" },
      {},
    ]);
    expect(sent(false)).toEqual([{ role: "assistant", content: "" }, { content: "4" }, { content: "2" }, {}]);
  });

  it("sends a token's logprobs with the next chunk that has text, and the rest with the finish chunk", () => {
    const deltas = [
      delta({ logprobs: [logprob("a")] }),
      delta({ content: "ab", logprobs: [logprob("b")] }),
      delta({ logprobs: [logprob("</s>")], finishReason: "stop", usage: USAGE }),
    ];
    expect(choicesOf(streamed(deltas, { logprobs: true })).map((choice) => choice?.logprobs)).toEqual([
      { content: [], refusal: null },
      { content: [entry("a"), entry("b")], refusal: null },
      { content: [entry("</s>")], refusal: null },
    ]);
  });
});

const requests: fc.Arbitrary<Request> = fc.record({
  n: fc.integer({ min: 1, max: 4 }),
  logprobs: fc.boolean(),
  separateReasoning: fc.boolean(),
  streamUsage: fc.constantFrom("none", "on_finish", "last_chunk"),
  mayCall: fc.constant(false),
});

/** Generates deltas as the engine sends them: choices interleaved, each finishing once, usage on the last delta. */
function deltasOf({ n, logprobs, separateReasoning }: Request): fc.Arbitrary<OutputDelta[]> {
  const word = fc.string({ maxLength: 3, unit: "grapheme" });
  const part = fc.record({
    content: word,
    reasoning: separateReasoning ? fc.option(word) : fc.constantFrom(null, ""),
    tokens: fc.array(word, { maxLength: 3 }),
  });
  const choices = fc.tuple(
    ...Array.from({ length: n }, () =>
      fc.tuple(fc.array(part, { minLength: 1, maxLength: 5 }), fc.constantFrom("stop" as const, "length" as const)),
    ),
  );
  return fc.tuple(choices, fc.infiniteStream(fc.nat({ max: 3 }))).map(([parts, turns]) => {
    const queues = parts.map(([list, finishReason], choice) =>
      list.map(({ content, reasoning, tokens }, index) =>
        delta({
          choice,
          content,
          reasoning,
          logprobs: logprobs ? tokens.map(logprob) : [],
          finishReason: index === list.length - 1 ? finishReason : null,
        }),
      ),
    );
    const deltas: OutputDelta[] = [];
    while (queues.some((queue) => queue.length > 0)) {
      const open = queues.filter((queue) => queue.length > 0);
      deltas.push(open[turns.next().value! % open.length]!.shift()!);
    }
    return [...deltas.slice(0, -1), { ...deltas.at(-1)!, usage: USAGE, timings: TIMINGS }];
  });
}

const answers = requests.chain((request) => fc.tuple(fc.constant(request), deltasOf(request)));

describe("the stream", () => {
  it("equals the complete answer when concatenated, field by field", () => {
    fc.assert(
      fc.property(answers, ([request, deltas]) => {
        const { choices, usage } = whole(deltas, request);
        const expected = request.streamUsage === "none" ? { choices } : { choices, usage };
        expect(concatenated(streamed(deltas, request), request.separateReasoning)).toEqual(expected);
      }),
      { numRuns: numCases(300) },
    );
  });

  it("has one role chunk first and one finish chunk last for each choice, neither of them with text", () => {
    fc.assert(
      fc.property(answers, ([request, deltas]) => {
        const chunks = streamed(deltas, request).flatMap(({ choices }) => choices);
        for (let index = 0; index < request.n; index++) {
          const own = chunks.filter((choice) => choice.index === index);
          expect(own[0]?.delta).toEqual({ role: "assistant", content: "" });
          expect(own.slice(1).some((choice) => "role" in choice.delta)).toBe(false);
          expect(own.at(-1)).toMatchObject({
            delta: {},
            finish_reason: expect.stringMatching(/^(?:stop|length)$/) as string,
          });
          expect(
            own.slice(0, -1).every((choice) => choice.finish_reason === null && Object.keys(choice.delta).length > 0),
          ).toBe(true);
        }
      }),
      { numRuns: numCases(100) },
    );
  });
});

describe("the response schemas", () => {
  const ajv = new Ajv2020({ strict: false });
  it("accept every answer, every chunk and an error", () => {
    const isCompletion = ajv.compile(chatCompletionSchema);
    const isChunk = ajv.compile(chatCompletionChunkSchema);
    fc.assert(
      fc.property(answers, ([request, deltas]) => {
        expect(isCompletion(whole(deltas, request)), JSON.stringify(isCompletion.errors)).toBe(true);
        for (const chunk of streamed(deltas, request))
          expect(isChunk(chunk), JSON.stringify(isChunk.errors)).toBe(true);
      }),
      { numRuns: numCases(100) },
    );
    expect(ajv.validate(errorSchema, new ApiError("out_of_range", "m", "n").toBody())).toBe(true);
  });
});

describeWithAssets("OpenAI's schema", () => {
  it("accepts every answer, chunk and error once vendor fields are removed", () => {
    const validator = openAiSchemas();
    const isCompletion = validator("CreateChatCompletionResponse");
    const isChunk = validator("CreateChatCompletionStreamResponse");
    const isError = validator("ErrorResponse");
    fc.assert(
      fc.property(answers, ([request, deltas]) => {
        expect(isCompletion(withoutVendorFields(whole(deltas, request))), JSON.stringify(isCompletion.errors)).toBe(
          true,
        );
        for (const chunk of streamed(deltas, request))
          expect(isChunk(withoutVendorFields(chunk)), JSON.stringify(isChunk.errors)).toBe(true);
      }),
      { numRuns: numCases(100) },
    );
    for (const param of [null, "messages[2].content"])
      expect(isError(new ApiError("invalid_type", "m", param).toBody())).toBe(true);
    // Sanity check: the schemas also reject invalid objects.
    expect(isChunk({ ...streamed(ANSWER, {})[0], vendor: 1 })).toBe(false);
    expect(isCompletion({ ...whole(ANSWER, {}), object: "other" })).toBe(false);
  });
});
