/** Dialects (contract, section 1), and the conversion of a checked body to the engine's options. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { ApiError } from "./api-error.js";
import { parseChatRequest } from "./chat-request.js";
import { parseJson } from "./json.js";
import { bodyWith, chatBodies, errorOf, parse, refusalOf, refused } from "../../spec-tests/fixtures/chat-requests.js";
import { parseDetokenizeRequest, parseTokenizeRequest } from "./tokenize-request.js";
import { wireName } from "./wire-names.js";

describe("dialects", () => {
  it("ppio: keeps stop sequences, sends usage on the finish chunk, truncates, leaves reasoning in the text", () => {
    const request = parse({}, "ppio");
    expect(request).toMatchObject({ streamUsage: "on_finish", separateReasoning: false });
    expect(request.options).toMatchObject({
      includeStop: true,
      contextLengthExceededBehavior: "truncate",
      separateReasoning: false,
    });
  });

  it("openai: removes stop sequences, sends no usage, truncates, separates reasoning", () => {
    const request = parse({}, "openai");
    expect(request).toMatchObject({ streamUsage: "none", separateReasoning: true });
    expect(request.options).toMatchObject({
      includeStop: false,
      contextLengthExceededBehavior: "truncate",
      separateReasoning: true,
    });
  });

  describe.each(["ppio", "openai"] as const)("%s: a request overrides", (dialect) => {
    it("the inclusion of the stop sequence", () => {
      expect(parse({ include_stop_str_in_output: true }, dialect).options.includeStop).toBe(true);
      expect(parse({ include_stop_str_in_output: false }, dialect).options.includeStop).toBe(false);
    });

    it("the usage of a stream", () => {
      const usage = (options: object | null) => parse({ stream: true, stream_options: options }, dialect).streamUsage;
      expect(usage({ include_usage: true })).toBe("last_chunk");
      expect(usage({ include_usage: false })).toBe("none");
      for (const absent of [null, {}, { include_usage: null }, { include_obfuscation: false }])
        expect(usage(absent)).toBe(parse({}, dialect).streamUsage);
    });

    it("the behavior at the context limit", () => {
      for (const behavior of ["truncate", "error"]) {
        expect(
          parse({ context_length_exceeded_behavior: behavior }, dialect).options.contextLengthExceededBehavior,
        ).toBe(behavior);
      }
    });

    it("the separation of reasoning", () => {
      for (const separate of [true, false]) {
        expect(parse({ separate_reasoning: separate }, dialect)).toMatchObject({
          separateReasoning: separate,
          options: { separateReasoning: separate },
        });
      }
    });
  });

  it("openai: top_p 0 reaches the engine, and top_k below 1 is off", () => {
    expect(parse({ top_p: 0 }, "openai").options.topP).toBe(0);
    for (const off of [-1, 0, null]) expect(parse({ top_k: off }, "openai").options.topK).toBeNull();
    expect(parse({ top_k: 1e300 }, "openai").options.topK).toBe(1e300);
  });
});

describe("values that request nothing", () => {
  it("openai: max_tokens -1 is no limit, and equal to -1 under the other name", () => {
    for (const fields of [
      { max_tokens: -1 },
      { max_completion_tokens: -1 },
      { max_tokens: -1, max_completion_tokens: -1 },
    ])
      expect(parse(fields, "openai")).toMatchObject({ maxTokens: null, options: { maxTokens: null } });
    expect(refusalOf(() => parse({ max_tokens: -1, max_completion_tokens: 5 }, "openai"))).toEqual(
      refused("unsupported_value", "max_tokens"),
    );
  });

  it.each(["ppio", "openai"] as const)("%s: an empty list of stop sequences is none", (dialect) => {
    expect(parse({ stop: [] }, dialect).options.stop).toEqual([]);
  });
});

describe("variables of the chat template", () => {
  it.each(["ppio", "openai"] as const)("%s: are those of the request, and reasoning_effort", (dialect) => {
    const variables = (fields: object) => parse(fields, dialect).options.templateVariables;
    expect(variables({})).toBeNull();
    expect(variables({ chat_template_kwargs: null, reasoning_effort: null })).toBeNull();
    expect(variables({ chat_template_kwargs: { enable_thinking: false } })).toEqual({ enable_thinking: false });
    expect(variables({ reasoning_effort: "low" })).toEqual({ reasoning_effort: "low" });
    expect(variables({ reasoning_effort: "low", chat_template_kwargs: { a: 1, reasoning_effort: "low" } })).toEqual({
      a: 1,
      reasoning_effort: "low",
    });
  });
});

describe("parseChatRequest", () => {
  it("passes every parameter to the engine", () => {
    const request = parse({
      max_tokens: 7,
      max_completion_tokens: 7,
      stream: true,
      n: 2,
      seed: -3,
      frequency_penalty: 0.1,
      presence_penalty: 0.2,
      repetition_penalty: 1.1,
      stop: "x",
      temperature: 0.5,
      top_p: 0.9,
      top_k: 40,
      min_p: 0.05,
      logit_bias: { 17: -1.5, 0: 100 },
      logprobs: true,
      top_logprobs: 3,
    });
    expect(request).toMatchObject({ model: "m", n: 2, stream: true, logprobs: true });
    expect(request.options).toEqual({
      maxTokens: 7,
      n: 2,
      seed: -3,
      frequencyPenalty: 0.1,
      presencePenalty: 0.2,
      repetitionPenalty: 1.1,
      stop: ["x"],
      includeStop: true,
      temperature: 0.5,
      topP: 0.9,
      topK: 40,
      minP: 0.05,
      logitBias: new Map([
        [0, 100],
        [17, -1.5],
      ]),
      logprobs: true,
      topLogprobs: 3,
      tools: null,
      toolChoice: null,
      parallelToolCalls: null,
      responseFormat: { type: "text" },
      separateReasoning: false,
      contextLengthExceededBehavior: "truncate",
      templateVariables: null,
    });
    expect(structuredClone(request)).toEqual(request);
  });

  it.each([
    [{ type: "text" }, { type: "text" }],
    [{ type: "json_object" }, { type: "json_object" }],
    [
      { type: "json_object", schema: { a: 1 } },
      { type: "json_object", schema: { a: 1 } },
    ],
    [
      { type: "json_schema", schema: { a: 1 } },
      { type: "json_schema", schema: { a: 1 } },
    ],
    [
      { type: "json_schema", json_schema: { name: "n", strict: false, schema: { a: 1 } } },
      { type: "json_schema", schema: { a: 1 } },
    ],
    [
      { type: "regex", regex: "a+" },
      { type: "regex", regex: "a+" },
    ],
  ])("passes the response_format %j to the engine, and separates reasoning unless it is text", (format, expected) => {
    const isText = format.type === "text";
    expect(parse({ response_format: format }).options.responseFormat).toEqual(expected);
    for (const dialect of ["ppio", "openai"] as const) {
      expect(parse({ response_format: format }, dialect).separateReasoning).toBe(dialect === "openai" || !isText);
      for (const given of [true, false])
        expect(parse({ response_format: format, separate_reasoning: given }, dialect).separateReasoning).toBe(given);
    }
  });

  it("accepts either name of max_tokens", () => {
    expect(parse({ max_tokens: 3 }).options.maxTokens).toBe(3);
    expect(parse({ max_completion_tokens: 4 }).options.maxTokens).toBe(4);
    expect(parse({ max_tokens: 1e300 }).options.maxTokens).toBe(1e300);
    expect(parse().options.maxTokens).toBeNull();
  });

  it("accepts integers written with a zero fraction", () => {
    const body = parseJson(
      new TextEncoder().encode(
        '{"model":"m","messages":[{"role":"user","content":""}],"n":1.0,"seed":2e1,"max_tokens":30.00e-1}',
      ),
    );
    expect(parseChatRequest(body, "ppio").options).toMatchObject({ n: 1, seed: 20, maxTokens: 3 });
  });

  it("keeps the name of the limit that the client sent, for errors from the engine", () => {
    const nameFor = (fields: object) => wireName("maxTokens", parse(fields).sentNames);
    expect(nameFor({ max_completion_tokens: 4 })).toBe("max_completion_tokens");
    expect(nameFor({ max_tokens: null, max_completion_tokens: 4 })).toBe("max_completion_tokens");
    for (const fields of [{}, { max_tokens: 4 }, { max_tokens: 4, max_completion_tokens: 4 }])
      expect(nameFor(fields)).toBe("max_tokens");
  });

  it.each([
    [{ chat_template_kwargs: { date: "x" }, user: 5 }, "out_of_range", "chat_template_kwargs.date"],
    [{ chat_template_kwargs: { tools: [] }, user: 5 }, "unsupported_value", "chat_template_kwargs.tools"],
    [{ chat_template_kwargs: { a: "\ud800" }, store: true }, "out_of_range", "chat_template_kwargs.a"],
    [{ chat_template_kwargs: { a: 1 }, user: 5 }, "invalid_type", "user"],
  ])("checks the entries of chat_template_kwargs before the fields behind it: %j", (fields, code, param) => {
    const body = { model: "m", messages: [{ role: "user", content: "" }], ...fields };
    expect(errorOf(() => parseChatRequest(body, "openai"))).toMatchObject({ code, param });
  });

  it.each([
    ['"temperature":1e999', "temperature must be a number in 0..2. Given: 1e999"],
    ['"n":-1E+400', "n must be an integer in 1..128. Given: -1E+400"],
    [
      '"seed":98765432109876543210',
      "seed must be an integer in -9223372036854775808..18446744073709551615, written in digits. Given: 98765432109876543210",
    ],
    [
      '"seed":1e19',
      "seed must be an integer in -9223372036854775808..18446744073709551615, written in digits. Given: 1e19",
    ],
    ['"logit_bias":{"5":1,"6":2e308}', "logit_bias.6 must be a number in -100..100. Given: 2e308"],
    ['"stop":["a",1e999]', "stop[1] must be a non-empty string. Given: 1e999"],
    [`"top_k":1${"0".repeat(400)}`, `top_k must be an integer in 1..128. Given: 1${"0".repeat(79)}...`],
  ])("names a number as the client wrote it: %s", (field, message) => {
    const text = `{"model":"m","messages":[{"role":"user","content":""}],${field}}`;
    expect(errorOf(() => parseChatRequest(parseJson(new TextEncoder().encode(text)), "ppio")).message).toBe(message);
  });

  it.each(["ppio", "openai"] as const)(
    "%s: accepts every body that its schema accepts, except for conflicting fields",
    (dialect) => {
      fc.assert(
        fc.property(chatBodies(dialect), (body) => {
          try {
            expect(parseChatRequest(body, dialect).model).toBe(body["model"]);
          } catch (error) {
            const { code, param } = error as ApiError;
            const isWithoutSchema = code === "missing_required_parameter" && param === "response_format.json_schema";
            if (!isWithoutSchema)
              expect(`${code} ${param}`).toMatch(
                /^unsupported_value (?:max_tokens|stream_options|top_logprobs|response_format\.schema)$/,
              );
          }
        }),
        { numRuns: 200 },
      );
    },
  );

  it("throws only ApiError, for any JSON value and any damaged body", () => {
    const damaged = fc
      .tuple(chatBodies("ppio"), fc.string({ maxLength: 8 }), fc.jsonValue(), fc.nat())
      .map(([body, name, value, pick]) => {
        const names = [...Object.keys(body), name];
        return { ...body, [names[pick % names.length]!]: value };
      });
    fc.assert(
      fc.property(
        fc.oneof(fc.jsonValue(), damaged),
        fc.constantFrom("ppio" as const, "openai" as const),
        (body, dialect) => {
          try {
            parseChatRequest(body, dialect);
          } catch (error) {
            expect(error).toBeInstanceOf(ApiError);
            expect((error as ApiError).status).toBe(400);
          }
        },
      ),
      { numRuns: numCases(1000) },
    );
  });

  it("does not read inherited fields", () => {
    const body = JSON.parse('{"__proto__":{"model":"m"},"messages":[]}') as unknown;
    expect(refusalOf(() => parseChatRequest(body, "ppio"))).toEqual(refused("missing_required_parameter", "model"));
    const safe = JSON.parse(JSON.stringify(bodyWith()).replace("{", '{"__proto__":{"n":0},')) as unknown;
    expect(refusalOf(() => parseChatRequest(safe, "ppio"))).toEqual(refused("unknown_parameter", "__proto__"));
  });
});

describe("tokenize and detokenize", () => {
  it("accept text or messages", () => {
    expect(parseTokenizeRequest({ model: "m", text: "" })).toEqual({ model: "m", input: { text: "" } });
    const messages = [{ role: "user", content: "Hi" }];
    expect(parseTokenizeRequest({ model: "m", messages, text: null })).toEqual({
      model: "m",
      input: { messages, templateVariables: null },
    });
    expect(parseTokenizeRequest({ model: "m", messages, chat_template_kwargs: { a: 1 } })).toEqual({
      model: "m",
      input: { messages, templateVariables: { a: 1 } },
    });
    expect(parseDetokenizeRequest({ model: "m", token_ids: [1, 2.0] })).toEqual({ model: "m", tokenIds: [1, 2] });
    expect(parseDetokenizeRequest({ model: "m", token_ids: [] }).tokenIds).toEqual([]);
  });

  it.each<[object, string, string]>([
    [{ text: "a" }, "missing_required_parameter", "model"],
    [{ model: "m" }, "missing_required_parameter", "text"],
    [{ model: "m", text: "a", messages: [{ role: "user", content: "" }] }, "unsupported_value", "messages"],
    [{ model: "m", text: 1 }, "invalid_type", "text"],
    [{ model: "m", text: "\ud800" }, "out_of_range", "text"],
    [{ model: "m", messages: [{ role: "user" }] }, "missing_required_parameter", "messages[0].content"],
    [{ model: "m", text: "a", add: 1 }, "unknown_parameter", "add"],
    [{ model: "m", text: "a", chat_template_kwargs: {} }, "unsupported_value", "chat_template_kwargs"],
    [{ model: "m", chat_template_kwargs: {} }, "missing_required_parameter", "text"],
    [{ model: "m", messages: [], chat_template_kwargs: 1 }, "out_of_range", "messages"],
    [
      { model: "m", messages: [{ role: "user", content: "" }], chat_template_kwargs: 1 },
      "invalid_type",
      "chat_template_kwargs",
    ],
  ])("tokenize refuses %j", (body, code, param) => {
    expect(refusalOf(() => parseTokenizeRequest(body))).toEqual(refused(code, param));
  });

  it.each<[object, string, string]>([
    [{ model: "m" }, "missing_required_parameter", "token_ids"],
    [{ model: "m", token_ids: 1 }, "invalid_type", "token_ids"],
    [{ model: "m", token_ids: [1, "2"] }, "invalid_type", "token_ids[1]"],
    [{ model: "m", token_ids: [1.5] }, "invalid_type", "token_ids[0]"],
    [{ model: "m", token_ids: [-1] }, "out_of_range", "token_ids[0]"],
  ])("detokenize refuses %j", (body, code, param) => {
    expect(refusalOf(() => parseDetokenizeRequest(body))).toEqual(refused(code, param));
  });
});
