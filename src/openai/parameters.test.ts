/** Contract, section 2. For each parameter: accepted boundary values, the nearest refused values, wrong types, null. */

import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { asset, describeWithAssets } from "../../spec-tests/fixtures/assets.js";
import { CHAT_REQUEST_SCHEMAS, parseChatRequest } from "./chat-request.js";
import type { Dialect } from "./dialects.js";
import { described } from "../../engine/errors.js";
import { USER, bodyWith, errorOf, parse, refusalOf, refused } from "../../spec-tests/fixtures/chat-requests.js";

const DIALECTS = ["ppio", "openai"] as const;
const ABOVE_2 = 2.0000000000000004;
const SAFE = Number.MAX_SAFE_INTEGER;
const ids = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, id) => [id, 1]));

interface Row {
  readonly field: string;
  readonly dialects?: readonly Dialect[];
  /** Other fields that the body needs. */
  readonly given?: object;
  readonly accepted: readonly unknown[];
  /** Refused values with their error code and, if it differs from `field`, their `param`. */
  readonly refused: readonly (readonly [value: unknown, code: string, param?: string])[];
}

const T = "invalid_type";
const R = "out_of_range";
const U = "unsupported_value";
const P = "unsupported_parameter";
const M = "missing_required_parameter";
const TOOL = { type: "function", function: { name: "f" } };
const notNumbers = (...more: unknown[]) => ["1", true, [], {}, ...more].map((value) => [value, T] as const);
const notStrings = [1, true, [], {}].map((value) => [value, T] as const);
const notBooleans = [1, 0, "true", [], {}].map((value) => [value, T] as const);

const ROWS: readonly Row[] = [
  ...["max_tokens", "max_completion_tokens"].flatMap((field): Row[] => [
    {
      field,
      dialects: ["ppio"],
      accepted: [1, 1e3, SAFE, 1e300],
      refused: [[0, R], [-1, R], [Infinity, R], ...notNumbers(1.5)],
    },
    {
      field,
      dialects: ["openai"],
      accepted: [-1, 1, 1e3, SAFE, 1e300],
      refused: [[0, R], [-2, R], [Infinity, R], ...notNumbers(1.5, -1.5)],
    },
  ]),
  {
    field: "max_tokens",
    given: { max_completion_tokens: 5 },
    accepted: [5, null],
    refused: [
      [6, U],
      [4, U],
    ],
  },
  { field: "max_completion_tokens", given: { max_tokens: 5 }, accepted: [5, null], refused: [[6, U, "max_tokens"]] },
  { field: "stream", accepted: [true, false], refused: notBooleans },
  {
    field: "stream_options",
    given: { stream: true },
    accepted: [
      {},
      { include_usage: true },
      { include_usage: false },
      { include_usage: null },
      { include_obfuscation: false },
      { include_obfuscation: null },
    ],
    refused: [
      ["x", T],
      [[], T],
      [true, T],
      [{ include_usage: 1 }, T, "stream_options.include_usage"],
      [{ include_obfuscation: true }, P, "stream_options.include_obfuscation"],
      [{ other: null }, "unknown_parameter", "stream_options.other"],
    ],
  },
  {
    field: "stream_options",
    accepted: [null, {}, { include_usage: false }, { include_usage: null }, { include_obfuscation: false }],
    refused: [[{ include_usage: true }, U]],
  },
  ...[false, null].map((stream) => ({
    field: "stream_options",
    given: { stream },
    accepted: [null, {}],
    refused: [[{ include_usage: true }, U]] as const,
  })),
  { field: "n", accepted: [1, 2, 128], refused: [[0, R], [-1, R], [129, R], ...notNumbers(1.5)] },
  {
    field: "seed",
    accepted: [0, -1, SAFE, -SAFE],
    refused: [[SAFE + 1, R], [-SAFE - 1, R], [Infinity, R], ...notNumbers(0.5)],
  },
  ...["frequency_penalty", "presence_penalty"].map((field) => ({
    field,
    accepted: [-2, 0, 0.5, 2],
    refused: [[ABOVE_2, R], [-ABOVE_2, R], [Infinity, R], ...notNumbers()] as Row["refused"],
  })),
  {
    field: "repetition_penalty",
    accepted: [Number.MIN_VALUE, 1, 2],
    refused: [[0, R], [-0, R], [-1, R], [ABOVE_2, R], ...notNumbers()],
  },
  {
    field: "stop",
    accepted: ["a", "\0", [], ["a"], ["a", "b", "c", "d"], ["a", "a"]],
    refused: [
      ["", R],
      [["a", "b", "c", "d", "e"], R],
      [["a", ""], R, "stop[1]"],
      [["a", null], T, "stop[1]"],
      [["a", 1], T, "stop[1]"],
      ["\ud800", R],
      [["a", "b\udc00"], R, "stop[1]"],
      [1, T],
      [true, T],
      [{}, T],
    ],
  },
  {
    field: "temperature",
    accepted: [0, Number.MIN_VALUE, 1, 2],
    refused: [[-Number.MIN_VALUE, R], [ABOVE_2, R], [Infinity, R], ...notNumbers()],
  },
  {
    field: "top_p",
    dialects: ["ppio"],
    accepted: [Number.MIN_VALUE, 1],
    refused: [[0, R], [-0, R], [-1, R], [1 + Number.EPSILON, R], ...notNumbers()],
  },
  {
    field: "top_p",
    dialects: ["openai"],
    accepted: [0, 1],
    refused: [[-Number.MIN_VALUE, R], [1 + Number.EPSILON, R], ...notNumbers()],
  },
  { field: "top_k", dialects: ["ppio"], accepted: [1, 128], refused: [[0, R], [-1, R], [129, R], ...notNumbers(1.5)] },
  {
    field: "top_k",
    dialects: ["openai"],
    accepted: [-1, 0, 1, 129, SAFE, 1e300],
    refused: [[-2, R], [Infinity, R], ...notNumbers(1.5)],
  },
  {
    field: "min_p",
    accepted: [0, 0.5, 1],
    refused: [[-Number.MIN_VALUE, R], [1 + Number.EPSILON, R], ...notNumbers()],
  },
  {
    field: "logit_bias",
    accepted: [{}, { 0: 1 }, { 17: -100, 18: 100, 19: 0.5 }, ids(1024)],
    refused: [
      [ids(1025), R],
      [{ 17: 100.00000000000001 }, R, "logit_bias.17"],
      [{ 17: -100.00000000000001 }, R, "logit_bias.17"],
      [{ 17: Infinity }, R, "logit_bias.17"],
      [{ 17: "1" }, T, "logit_bias.17"],
      [{ 17: null }, T, "logit_bias.17"],
      [{ "01": 1 }, R, "logit_bias.01"],
      [{ "-1": 1 }, R, "logit_bias.-1"],
      [{ "1.0": 1 }, R, "logit_bias.1.0"],
      [{ "": 1 }, R, "logit_bias."],
      [{ "99999999999999999999": 1 }, R, "logit_bias.99999999999999999999"],
      [{ hello: 1 }, R, "logit_bias.hello"],
      ["x", T],
      [[], T],
      [1, T],
      [true, T],
    ],
  },
  { field: "logprobs", accepted: [true, false], refused: notBooleans },
  {
    field: "top_logprobs",
    given: { logprobs: true },
    accepted: [0, 20],
    refused: [[-1, R], [21, R], ...notNumbers(1.5)],
  },
  {
    field: "top_logprobs",
    accepted: [null],
    refused: [
      [5, U],
      [0, U],
      [21, R],
    ],
  },
  { field: "top_logprobs", given: { logprobs: false }, accepted: [null], refused: [[5, U]] },
  {
    field: "response_format",
    accepted: [
      { type: "text" },
      { type: "json_object" },
      { type: "json_object", schema: null },
      { type: "json_object", schema: {} },
      { type: "json_schema", schema: {} },
      { type: "json_schema", schema: true, json_schema: null },
      { type: "json_schema", json_schema: { name: "a", schema: {} } },
      {
        type: "json_schema",
        json_schema: { name: "A_-9".repeat(16), schema: { not: {} }, strict: false, description: "" },
        schema: null,
      },
      { type: "json_schema", json_schema: { name: "a", schema: {}, strict: null, description: null } },
      { type: "regex", regex: "[" },
      { type: "choice", choices: ["a", "a"] },
      { type: "grammar", syntax: "gbnf", grammar: "" },
      { type: "grammar", syntax: "lark", grammar: "start:" },
      { type: "structural_tag", structures: [{ begin: "<", schema: true, end: "" }], triggers: ["<"] },
    ],
    refused: [
      [{}, "missing_required_parameter", "response_format.type"],
      [{ type: null }, "missing_required_parameter", "response_format.type"],
      [{ type: 1 }, T, "response_format.type"],
      [{ type: "text", schema: {} }, "unknown_parameter", "response_format.schema"],
      [{ type: "json_object", schema: "{}" }, T, "response_format.schema"],
      [{ type: "json_object", schema: [] }, T, "response_format.schema"],
      [{ type: "json_object", json_schema: {} }, "unknown_parameter", "response_format.json_schema"],
      [{ type: "json_schema" }, "missing_required_parameter", "response_format.json_schema"],
      [
        { type: "json_schema", json_schema: null, schema: null },
        "missing_required_parameter",
        "response_format.json_schema",
      ],
      [{ type: "json_schema", json_schema: { name: "a", schema: {} }, schema: {} }, U, "response_format.schema"],
      [{ type: "json_schema", schema: 1 }, T, "response_format.schema"],
      [{ type: "json_schema", schema: {}, name: "a" }, "unknown_parameter", "response_format.name"],
      [{ type: "json_schema", json_schema: "{}" }, T, "response_format.json_schema"],
      [
        { type: "json_schema", json_schema: { schema: {} } },
        "missing_required_parameter",
        "response_format.json_schema.name",
      ],
      [{ type: "json_schema", json_schema: { name: "", schema: {} } }, R, "response_format.json_schema.name"],
      [{ type: "json_schema", json_schema: { name: "a b", schema: {} } }, R, "response_format.json_schema.name"],
      [
        { type: "json_schema", json_schema: { name: "x".repeat(65), schema: {} } },
        R,
        "response_format.json_schema.name",
      ],
      [{ type: "json_schema", json_schema: { name: 1, schema: {} } }, T, "response_format.json_schema.name"],
      [
        { type: "json_schema", json_schema: { name: "a" } },
        "missing_required_parameter",
        "response_format.json_schema.schema",
      ],
      [
        { type: "json_schema", json_schema: { name: "a", schema: null } },
        "missing_required_parameter",
        "response_format.json_schema.schema",
      ],
      [{ type: "json_schema", json_schema: { name: "a", schema: "{}" } }, T, "response_format.json_schema.schema"],
      [
        { type: "json_schema", json_schema: { name: "a", schema: {}, strict: 1 } },
        T,
        "response_format.json_schema.strict",
      ],
      [
        { type: "json_schema", json_schema: { name: "a", schema: {}, description: 1 } },
        T,
        "response_format.json_schema.description",
      ],
      [
        { type: "json_schema", json_schema: { name: "a", schema: {}, scheme: {} } },
        "unknown_parameter",
        "response_format.json_schema.scheme",
      ],
      [{ type: "regex" }, "missing_required_parameter", "response_format.regex"],
      [{ type: "regex", regex: null }, "missing_required_parameter", "response_format.regex"],
      [{ type: "regex", regex: 1 }, T, "response_format.regex"],
      [{ type: "regex", regex: "\ud800" }, R, "response_format.regex"],
      [{ type: "regex", regex: "a", pattern: "a" }, "unknown_parameter", "response_format.pattern"],
      [{ type: "choice" }, "missing_required_parameter", "response_format.choices"],
      [{ type: "choice", choices: "a" }, T, "response_format.choices"],
      [{ type: "choice", choices: [] }, R, "response_format.choices"],
      [{ type: "choice", choices: ["a", 1] }, T, "response_format.choices[1]"],
      [{ type: "choice", choices: [""] }, R, "response_format.choices[0]"],
      [{ type: "choice", choices: ["\ud800"] }, R, "response_format.choices[0]"],
      [{ type: "choice", choices: ["a"], choice: "a" }, "unknown_parameter", "response_format.choice"],
      [{ type: "grammar", grammar: "" }, "missing_required_parameter", "response_format.syntax"],
      [{ type: "grammar", syntax: "gbnf" }, "missing_required_parameter", "response_format.grammar"],
      [{ type: "grammar", syntax: "ebnf", grammar: "" }, U, "response_format.syntax"],
      [{ type: "grammar", syntax: "lark", grammar: 1 }, T, "response_format.grammar"],
      [{ type: "structural_tag", triggers: ["<"] }, "missing_required_parameter", "response_format.structures"],
      [{ type: "structural_tag", format: {} }, "missing_required_parameter", "response_format.structures"],
      [
        { type: "structural_tag", structures: [{ begin: "<", schema: {}, end: "" }] },
        "missing_required_parameter",
        "response_format.triggers",
      ],
      [
        { type: "structural_tag", structures: [{ begin: "<", end: "" }], triggers: ["<"] },
        "missing_required_parameter",
        "response_format.structures[0].schema",
      ],
      [
        { type: "structural_tag", structures: [{ begin: "<", schema: 1, end: "" }], triggers: ["<"] },
        T,
        "response_format.structures[0].schema",
      ],
      [{ type: "xml" }, U, "response_format.type"],
      [{ type: "text", other: 1 }, "unknown_parameter", "response_format.other"],
      ["text", T],
      [[], T],
    ],
  },
  { field: "separate_reasoning", accepted: [true, false], refused: notBooleans },
  { field: "user", accepted: ["", "u"], refused: notStrings },
  {
    field: "metadata",
    accepted: [{}, { a: "b", b: 1.5, c: true }],
    refused: [
      [{ a: [] }, T, "metadata.a"],
      [{ a: null }, T, "metadata.a"],
      ["x", T],
      [[], T],
    ],
  },
  { field: "service_tier", accepted: ["auto", "priority"], refused: [["gold", U], ...notStrings] },
  { field: "prompt_cache_key", accepted: ["k"], refused: notStrings },
  {
    field: "safety_identifier",
    accepted: ["x".repeat(64), "😀".repeat(64)],
    refused: [["x".repeat(65), R], ...notStrings],
  },
  {
    field: "modalities",
    accepted: [["text"]],
    refused: [
      [["text", "audio"], P],
      [[], P],
      ["text", P],
    ],
  },
  { field: "verbosity", accepted: ["low", "medium", "high"], refused: [["most", U], ...notStrings] },
  {
    field: "reasoning_effort",
    accepted: ["none", "minimal", "low", "medium", "high", "xhigh"],
    refused: [["max", U], ...notStrings],
  },
  {
    field: "reasoning_effort",
    given: { chat_template_kwargs: { reasoning_effort: "low" } },
    accepted: ["low", null],
    refused: [["high", U]],
  },
  {
    field: "chat_template_kwargs",
    accepted: [{}, { enable_thinking: false }, { a: [1, { b: null }] }],
    refused: [
      [ids(65), R],
      ["x", T],
      [[], T],
      [true, T],
    ],
  },
  { field: "web_search_options", accepted: [], refused: [[{}, P]] },
  { field: "audio", accepted: [], refused: [[{ voice: "alloy", format: "wav" }, P]] },
  {
    field: "store",
    accepted: [false],
    refused: [
      [true, P],
      ["false", P],
    ],
  },
  { field: "moderation", accepted: [], refused: [[{ model: "m" }, P]] },
  { field: "prediction", accepted: [], refused: [[{ type: "content", content: "x" }, P]] },
  {
    field: "tools",
    accepted: [
      [],
      [TOOL],
      [{ ...TOOL, function: { name: "x".repeat(64), description: null, parameters: {}, strict: true } }],
      Array.from({ length: 128 }, () => TOOL),
    ],
    refused: [
      [{}, T],
      ["f", T],
      [[1], T, "tools[0]"],
      [[{ function: {} }], M, "tools[0].type"],
      [[{ type: "custom", custom: {} }], U, "tools[0].type"],
      [[TOOL, { type: "function" }], M, "tools[1].function"],
      [[{ ...TOOL, function: { name: "a b" } }], R, "tools[0].function.name"],
      [[{ ...TOOL, function: { name: "f", parameters: true } }], T, "tools[0].function.parameters"],
      [[{ ...TOOL, function: { name: "f", odd: 1 } }], "unknown_parameter", "tools[0].function.odd"],
      [Array.from({ length: 129 }, () => TOOL), R],
    ],
  },
  {
    field: "tool_choice",
    given: { tools: [TOOL] },
    accepted: [
      "none",
      "auto",
      "required",
      TOOL,
      { type: "allowed_tools", allowed_tools: { mode: "required", tools: [TOOL] } },
    ],
    refused: [
      ["any", U],
      [1, T],
      [{ type: "tool" }, U, "tool_choice.type"],
      [{ type: "function", function: {} }, M, "tool_choice.function.name"],
      [{ type: "allowed_tools", allowed_tools: { mode: "none", tools: [TOOL] } }, U, "tool_choice.allowed_tools.mode"],
      [{ type: "allowed_tools", allowed_tools: { mode: "auto", tools: [] } }, R, "tool_choice.allowed_tools.tools"],
    ],
  },
  { field: "parallel_tool_calls", accepted: [true, false], refused: notBooleans },
  { field: "function_call", accepted: ["none"], refused: [["auto", P]] },
  { field: "functions", accepted: [[]], refused: [[[{ name: "f" }], P]] },
  { field: "prompt_cache_options", accepted: [], refused: [[{ mode: "explicit" }, P]] },
  { field: "prompt_cache_retention", accepted: [], refused: [["24h", P]] },
  { field: "include_stop_str_in_output", accepted: [true, false], refused: notBooleans },
  { field: "context_length_exceeded_behavior", accepted: ["truncate", "error"], refused: [["cut", U], ...notStrings] },
];

/** Fields in the order of the table, followed by an unknown one. */
const IN_ORDER = [
  "model",
  "messages",
  "max_tokens",
  "max_completion_tokens",
  "stream",
  "stream_options",
  "n",
  "seed",
  "frequency_penalty",
  "presence_penalty",
  "repetition_penalty",
  "stop",
  "temperature",
  "top_p",
  "top_k",
  "min_p",
  "logit_bias",
  "logprobs",
  "top_logprobs",
  "response_format",
  "tools",
  "tool_choice",
  "parallel_tool_calls",
  "separate_reasoning",
  "reasoning_effort",
  "chat_template_kwargs",
  "user",
  "metadata",
  "service_tier",
  "prompt_cache_key",
  "safety_identifier",
  "verbosity",
  "functions",
  "odd",
];

for (const row of ROWS) {
  for (const dialect of row.dialects ?? DIALECTS) {
    describe(`${row.field} (${dialect}${row.given === undefined ? "" : `, with ${JSON.stringify(row.given)}`})`, () => {
      const read = (value: unknown) => parse({ ...row.given, [row.field]: value }, dialect);

      it("accepts its boundary values, and treats null as absent", () => {
        for (const value of row.accepted) expect(() => read(value)).not.toThrow();
        expect(read(null)).toEqual(parse(row.given, dialect));
      });

      for (const [value, code, param = row.field] of row.refused) {
        it(`refuses ${described(value)}: ${code}`, () => {
          expect(refusalOf(() => read(value))).toEqual(refused(code, param));
        });
      }
    });
  }
}

it("has a row for every parameter of the table", () => {
  const tested = new Set([...ROWS.map(({ field }) => field), "model", "messages"]);
  expect(Object.keys(CHAT_REQUEST_SCHEMAS.ppio.properties ?? {}).filter((name) => !tested.has(name))).toEqual([]);
});

describe.each(DIALECTS)("model and messages (%s)", (dialect) => {
  it.each([
    [{ messages: [USER] }, "missing_required_parameter", "model"],
    [{ model: null, messages: [USER] }, "missing_required_parameter", "model"],
    [{ model: 1, messages: [USER] }, T, "model"],
    [{ model: "m" }, "missing_required_parameter", "messages"],
    [{ model: "m", messages: null }, "missing_required_parameter", "messages"],
    [{ model: "m", messages: [] }, R, "messages"],
    [{ model: "m", messages: USER }, T, "messages"],
    [{ model: "m", messages: "Hi" }, T, "messages"],
    [{ model: "m", messages: [null] }, T, "messages[0]"],
    [{ model: "m", messages: [USER, "Hi"] }, T, "messages[1]"],
  ])("refuses %j", (body, code, param) => {
    expect(refusalOf(() => parseChatRequest(body, dialect))).toEqual(refused(code, param));
  });

  it.each([[null], [[]], ["x"], [1], [true]])("refuses the body %j", (body) => {
    expect(refusalOf(() => parseChatRequest(body, dialect))).toEqual(refused(T, null));
  });
});

describe.each(DIALECTS)("unknown fields (%s)", (dialect) => {
  it.each([
    ["temprature", '"temperature"'],
    ["maxTokens", '"max_tokens"'],
    ["TOP_P", '"top_p"'],
    ["topk", '"top_k"'],
  ])("refuses %s, even if it is null, and suggests %s", (name, nearest) => {
    expect(messagesFor(name)).toEqual([
      `${name} is not a known field. The nearest known name is ${nearest}.`,
      `${name} is not a known field. The nearest known name is ${nearest}.`,
    ]);
  });

  it.each([
    ["stop_sequences", "stop"],
    ["max_new_tokens", "max_tokens"],
    ["num_predict", "max_tokens"],
    ["repeat_penalty", "repetition_penalty"],
    ["Guided_JSON", "response_format"],
  ])("names what %s is here: %s", (name, here) => {
    expect(messagesFor(name)[0]).toBe(`${name} is not a known field. What it means elsewhere is "${here}" here.`);
  });

  it.each(["foo", "__proto__", "constructor", "toString", "x"])("suggests nothing for %s", (name) => {
    expect(messagesFor(name)[0]).toBe(`${name} is not a known field.`);
  });

  it("lists the fields of a small object", () => {
    const { message } = errorOf(() => parse({ stream: true, stream_options: { foo: 1 } }, dialect));
    expect(message).toBe("stream_options.foo is not a known field. Known fields: include_usage, include_obfuscation.");
  });

  /** Returns the messages for the field with a value, and with null. */
  function messagesFor(name: string): string[] {
    return [1, null].map((value) => {
      const body = JSON.parse(JSON.stringify(bodyWith()).replace("{", `{${JSON.stringify(name)}:${value},`));
      const error = errorOf(() => parseChatRequest(body, dialect));
      expect(error).toMatchObject({ status: 400, code: "unknown_parameter", param: name });
      return error.message;
    });
  }

  it("shortens message and param for a long name", () => {
    const error = errorOf(() => parse({ ["x".repeat(1 << 20)]: 1 }, dialect));
    expect(error.message.length).toBeLessThan(300);
    expect(error.param?.length).toBeLessThan(100);
  });
});

describe("error messages", () => {
  it.each([
    [{ temperature: 3 }, "temperature must be a number in 0..2. Given: 3"],
    [{ temperature: "hot" }, 'temperature must be a number in 0..2. Given: "hot"'],
    [{ repetition_penalty: 0 }, "repetition_penalty must be a number more than 0 and at most 2. Given: 0"],
    [{ max_tokens: 1.5 }, "max_tokens must be an integer of at least 1. Given: 1.5"],
    [
      { stop: ["a", "b", "c", "d", "e"] },
      "stop must be an array of at most 4, each a non-empty string. Given: an array of 5",
    ],
    [{ stop: 1 }, "stop must be a non-empty string or an array of at most 4, each a non-empty string. Given: 1"],
    [{ logit_bias: ids(1025) }, "logit_bias must be an object of at most 1024 entries. Given: 1025 entries"],
    [
      { functions: [1] },
      "functions is not supported; tools takes its place; it may only be null or []. Given: an array of 1",
    ],
    [{ tools: [1] }, "tools[0] must be an object. Given: 1"],
    [
      { messages: [{ role: "bot", content: "" }] },
      'messages[0].role must be "system", "developer", "user", "assistant" or "tool". Given: "bot"',
    ],
    [
      { response_format: "text" },
      'response_format must be an object whose type is "text", "json_object", "json_schema", "regex", "choice", "grammar" or "structural_tag". Given: "text"',
    ],
    [
      { max_tokens: 1, max_completion_tokens: 2 },
      "max_tokens is 1 and max_completion_tokens is 2; if both are given, they must be equal.",
    ],
  ])("state the given and the allowed values (%#)", (fields, message) => {
    expect(errorOf(() => parse(fields)).message).toBe(message);
  });
});

describe.each(DIALECTS)("the first failure is reported (%s)", (dialect) => {
  it.each([
    [{ temperature: 9, n: 0 }, "n"],
    [{ unknown: 1, context_length_exceeded_behavior: "x" }, "context_length_exceeded_behavior"],
    [{ unknown: 1, functions: [1] }, "functions"],
    [{ functions: [1], user: 1 }, "user"],
    [{ tools: [1], user: 1 }, "tools[0]"],
    [{ stream_options: { include_usage: true }, temperature: 9 }, "stream_options"],
    [{ stream_options: { include_usage: 1 }, n: 0 }, "stream_options.include_usage"],
    [{ max_tokens: 1, max_completion_tokens: 2, stream: 1 }, "max_tokens"],
    [{ top_logprobs: 5, response_format: 1 }, "top_logprobs"],
    [{ response_format: { type: "json_schema" }, separate_reasoning: 1 }, "response_format.json_schema"],
    [{ top_logprobs: 5, logprobs: 1 }, "logprobs"],
    [{ messages: [{ role: "user", content: "a", odd: 1 }, { role: "bot" }] }, "messages[0].odd"],
    [{ messages: [{ role: "bot" }], model: 1 }, "model"],
    [{ messages: [USER, { content: 1 }], max_tokens: 0 }, "messages[1].role"],
  ])("for %j: %s", (fields, param) => {
    expect(errorOf(() => parse(fields, dialect)).param).toBe(param);
  });

  it("follows the order of the contract's table for any two invalid fields", () => {
    const wrong = [[]];
    for (const [index, first] of IN_ORDER.entries()) {
      for (const second of IN_ORDER.slice(index + 1)) {
        const { param } = errorOf(() => parse({ [second]: wrong, [first]: wrong }, dialect));
        expect({ first, second, param: param?.split(/[.[]/, 1)[0] }).toEqual({ first, second, param: first });
      }
    }
  });
});

describeWithAssets("OpenAI's request", () => {
  it("has no field that is missing from the table", () => {
    const subset = JSON.parse(readFileSync(asset("openai-openapi-subset.json"), "utf8")) as {
      components: { schemas: Record<string, OpenApiSchema> };
    };
    const { schemas } = subset.components;
    const names = fieldsOf({ $ref: "#/components/schemas/CreateChatCompletionRequest" }, schemas);
    expect(names.length).toBeGreaterThan(30);
    expect(names.filter((name) => !(name in CHAT_REQUEST_SCHEMAS.openai.properties!))).toEqual([]);
  });
});

interface OpenApiSchema {
  readonly $ref?: string;
  readonly allOf?: readonly OpenApiSchema[];
  readonly properties?: Readonly<Record<string, unknown>>;
}

function fieldsOf(
  { $ref, allOf = [], properties = {} }: OpenApiSchema,
  schemas: Readonly<Record<string, OpenApiSchema>>,
): string[] {
  const referred = $ref === undefined ? [] : fieldsOf(schemas[$ref.split("/").at(-1)!]!, schemas);
  return [...referred, ...allOf.flatMap((part) => fieldsOf(part, schemas)), ...Object.keys(properties)];
}
