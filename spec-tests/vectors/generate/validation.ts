/**
 * Sections 2 and 9: requests with the required status and, if they are refused, `type`, `code` and `param`. Each
 * dialect has a file; rows that do not depend on the dialect are in both.
 */

import { CaseList, type Json, type VectorFile } from "./case-list.js";

type Dialect = "ppio" | "openai";
type Fields = Readonly<Record<string, unknown>>;

interface Expected {
  readonly status: number;
  readonly type?: string;
  readonly code?: string;
  readonly param?: string | null;
}

/** The request part of a row. */
interface Sent {
  readonly request?: Fields;
  readonly body?: unknown;
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string | null>>;
  readonly needs?: readonly string[];
}

const USER = { role: "user", content: "Hi" };
/** A minimal request. With one token, a server that accepts an invalid request answers soon. */
const BASE = { model: "$MODEL", messages: [USER], max_tokens: 1 };
const ACCEPTED: Expected = { status: 200 };

const refused = (code: string, param: string | null, status = 400, type = "invalid_request_error"): Expected => ({
  status,
  type,
  code,
  param,
});

/** The rows of one dialect. */
class Rows {
  readonly list: CaseList<{ expected: Json }>;

  constructor(readonly dialect: Dialect) {
    this.list = new CaseList(`validation-${dialect}`);
  }

  sends(group: string, clause: string, what: string, sent: Sent, expected: Expected): void {
    this.list.add(group, clause, what, { ...sent, expected } as unknown as { expected: Json });
  }

  /** Adds a row with valid fields, merged into a complete request. */
  takes(group: string, clause: string, what: string, fields: Fields, needs?: readonly string[]): void {
    this.sends(
      group,
      clause,
      what,
      { request: { ...BASE, ...fields }, ...(needs === undefined ? {} : { needs }) },
      ACCEPTED,
    );
  }

  refuses(
    group: string,
    clause: string,
    what: string,
    fields: Fields,
    code: string,
    param: string | null,
    needs?: readonly string[],
  ): void {
    this.sends(
      group,
      clause,
      what,
      { request: { ...BASE, ...fields }, ...(needs === undefined ? {} : { needs }) },
      refused(code, param),
    );
  }

  /** Adds a row with a body as text, in which `{}` is replaced by the fields of a request. */
  refusesText(
    group: string,
    clause: string,
    what: string,
    body: unknown,
    code: string,
    param: string | null,
    needs?: readonly string[],
  ): void {
    this.sends(group, clause, what, { body, ...(needs === undefined ? {} : { needs }) }, refused(code, param));
  }
}

/** Text of a request that ends with the given fields, for JSON that a serializer cannot write. */
const bodyWith = (fields: string): string =>
  `{"model":"$MODEL","messages":[{"role":"user","content":"Hi"}],"max_tokens":1,${fields}}`;

interface Field {
  readonly name: string;
  readonly clause: string;
  readonly accepted: readonly unknown[];
  readonly outOfRange?: readonly unknown[];
  readonly unlisted?: readonly unknown[];
  readonly wrongType?: readonly unknown[];
  readonly unsupported?: readonly unknown[];
}

const NO_NUMBER = ["1", true, [1], {}];
const NO_BOOLEAN = ["true", 1, [true], {}];
const NO_STRING = [1, false, ["a"], {}];

/** Fields whose rule depends only on their value. */
function fieldsOf(dialect: Dialect): Field[] {
  const isPpio = dialect === "ppio";
  return [
    ...["max_tokens", "max_completion_tokens"].map((name) => ({
      name,
      clause: "TS-2.7",
      accepted: [1, null],
      outOfRange: isPpio ? [0, -1] : [0, -2],
      wrongType: [1.5, -1.5, ...NO_NUMBER],
    })),
    { name: "stream", clause: "TS-2.8", accepted: [false, true, null], wrongType: NO_BOOLEAN },
    {
      name: "n",
      clause: "TS-2.10",
      accepted: [1, 2, 128, null],
      outOfRange: [0, -1, 129],
      wrongType: [1.5, ...NO_NUMBER],
    },
    {
      name: "seed",
      clause: "TS-2.11",
      accepted: [0, -1, 2 ** 53 - 1, -(2 ** 53 - 1), null],
      outOfRange: [1e20, -1e20],
      wrongType: [0.5, ...NO_NUMBER],
    },
    {
      name: "frequency_penalty",
      clause: "TS-2.12",
      accepted: [-2, 2, 0.5, 0, null],
      outOfRange: [-2.001, 2.001],
      wrongType: NO_NUMBER,
    },
    {
      name: "presence_penalty",
      clause: "TS-2.13",
      accepted: [-2, 2, 0.5, 0, null],
      outOfRange: [-2.001, 2.001],
      wrongType: NO_NUMBER,
    },
    {
      name: "repetition_penalty",
      clause: "TS-2.14",
      accepted: [0.001, 1, 2, null],
      outOfRange: [0, -1, 2.001],
      wrongType: NO_NUMBER,
    },
    {
      name: "temperature",
      clause: "TS-2.16",
      accepted: [0, 1e-9, 1, 2, null],
      outOfRange: [-0.001, 2.001],
      wrongType: NO_NUMBER,
    },
    {
      name: "top_p",
      clause: "TS-1.5",
      accepted: [0.001, 1, null, ...(isPpio ? [] : [0])],
      outOfRange: [-0.001, 1.001, ...(isPpio ? [0] : [])],
      wrongType: NO_NUMBER,
    },
    {
      name: "top_k",
      clause: "TS-1.6",
      accepted: [1, 128, null, ...(isPpio ? [] : [-1, 0, 129, 1_000_000])],
      outOfRange: isPpio ? [0, -1, 129] : [-2],
      wrongType: [1.5, ...NO_NUMBER],
    },
    {
      name: "min_p",
      clause: "TS-2.19",
      accepted: [0, 0.5, 1, null],
      outOfRange: [-0.001, 1.001],
      wrongType: NO_NUMBER,
    },
    { name: "logprobs", clause: "TS-2.21", accepted: [true, false, null], wrongType: NO_BOOLEAN },
    { name: "separate_reasoning", clause: "TS-2.24", accepted: [true, false, null], wrongType: NO_BOOLEAN },
    { name: "user", clause: "TS-2.27", accepted: ["somebody", "", null], wrongType: NO_STRING },
    {
      name: "metadata",
      clause: "TS-2.27",
      accepted: [{}, { a: "b", b: 1.5, c: false }, null],
      wrongType: ["a", 1, []],
    },
    {
      name: "service_tier",
      clause: "TS-2.27",
      accepted: ["auto", "priority", null],
      unlisted: ["none", ""],
      wrongType: [1, ["auto"]],
    },
    { name: "prompt_cache_key", clause: "TS-2.27", accepted: ["a", null], wrongType: [1, {}] },
    {
      name: "safety_identifier",
      clause: "TS-2.27",
      accepted: ["x".repeat(64), "\u{1f600}".repeat(64), null],
      outOfRange: ["x".repeat(65)],
      wrongType: [1, {}],
    },
    {
      name: "verbosity",
      clause: "TS-2.27",
      accepted: ["low", "medium", "high", null],
      unlisted: ["", "none"],
      wrongType: [1, ["low"]],
    },
    {
      name: "reasoning_effort",
      clause: "TS-2.40",
      accepted: ["none", "minimal", "low", "medium", "high", "xhigh", null],
      unlisted: ["", "max"],
      wrongType: [1, ["low"]],
    },
    {
      name: "chat_template_kwargs",
      clause: "TS-2.40",
      accepted: [{}, { enable_thinking: false, other: [1, { a: null }] }, null],
      wrongType: ["a", 1, []],
    },
    { name: "modalities", clause: "TS-2.28", accepted: [["text"], null], unsupported: [["text", "audio"], [], "text"] },
    { name: "web_search_options", clause: "TS-2.28", accepted: [null], unsupported: [{}] },
    { name: "audio", clause: "TS-2.28", accepted: [null], unsupported: [{ voice: "alloy", format: "mp3" }] },
    { name: "store", clause: "TS-2.28", accepted: [false, null], unsupported: [true] },
    { name: "moderation", clause: "TS-2.28", accepted: [null], unsupported: [{}] },
    { name: "prediction", clause: "TS-2.28", accepted: [null], unsupported: [{ type: "content", content: "a" }] },
    { name: "tools", clause: "TS-11.1", accepted: [[], null], wrongType: ["f", 1, {}] },
    { name: "tool_choice", clause: "TS-11.2", accepted: ["none", "auto", null], unlisted: ["any"], wrongType: [1, []] },
    { name: "parallel_tool_calls", clause: "TS-11.3", accepted: [true, false, null], wrongType: NO_BOOLEAN },
    { name: "function_call", clause: "TS-2.28", accepted: ["none", null], unsupported: ["auto"] },
    { name: "functions", clause: "TS-2.28", accepted: [[], null], unsupported: [[{ name: "f" }]] },
    { name: "prompt_cache_options", clause: "TS-2.28", accepted: [null], unsupported: [{}] },
    { name: "prompt_cache_retention", clause: "TS-2.28", accepted: [null], unsupported: ["24h"] },
    { name: "include_stop_str_in_output", clause: "TS-2.25", accepted: [true, false, null], wrongType: NO_BOOLEAN },
    {
      name: "context_length_exceeded_behavior",
      clause: "TS-2.26",
      accepted: ["truncate", "error", null],
      unlisted: ["none", ""],
      wrongType: [1, true],
    },
  ];
}

/** Every field in the order of TS-9.8, with a value that is refused. */
const IN_ORDER: readonly (readonly [name: string, wrong: unknown, code: string, param?: string])[] = [
  ["model", 1, "invalid_type"],
  ["messages", "Hi", "invalid_type"],
  ["max_tokens", 0, "out_of_range"],
  ["max_completion_tokens", "1", "invalid_type"],
  ["stream", 1, "invalid_type"],
  ["stream_options", [], "invalid_type"],
  ["n", 129, "out_of_range"],
  ["seed", 0.5, "invalid_type"],
  ["frequency_penalty", 3, "out_of_range"],
  ["presence_penalty", "0", "invalid_type"],
  ["repetition_penalty", 0, "out_of_range"],
  ["stop", "", "out_of_range"],
  ["temperature", 2.5, "out_of_range"],
  ["top_p", 2, "out_of_range"],
  ["top_k", "1", "invalid_type"],
  ["min_p", -1, "out_of_range"],
  ["logit_bias", { 0: 101 }, "out_of_range", "logit_bias.0"],
  ["logprobs", 1, "invalid_type"],
  ["top_logprobs", 21, "out_of_range"],
  ["response_format", { type: "xml" }, "unsupported_value", "response_format.type"],
  ["tools", [{}], "missing_required_parameter", "tools[0].type"],
  ["tool_choice", "any", "unsupported_value"],
  ["parallel_tool_calls", 1, "invalid_type"],
  ["separate_reasoning", "yes", "invalid_type"],
  ["reasoning_effort", "max", "unsupported_value"],
  ["chat_template_kwargs", 1, "invalid_type"],
  ["user", 1, "invalid_type"],
  ["metadata", { a: [] }, "invalid_type", "metadata.a"],
  ["service_tier", "gold", "unsupported_value"],
  ["prompt_cache_key", 1, "invalid_type"],
  ["safety_identifier", "x".repeat(65), "out_of_range"],
  ["verbosity", "most", "unsupported_value"],
  ["modalities", ["audio"], "unsupported_parameter"],
  ["web_search_options", {}, "unsupported_parameter"],
  ["audio", {}, "unsupported_parameter"],
  ["store", true, "unsupported_parameter"],
  ["moderation", {}, "unsupported_parameter"],
  ["prediction", {}, "unsupported_parameter"],
  ["function_call", "auto", "unsupported_parameter"],
  ["functions", [{}], "unsupported_parameter"],
  ["prompt_cache_options", {}, "unsupported_parameter"],
  ["prompt_cache_retention", "24h", "unsupported_parameter"],
  ["include_stop_str_in_output", 1, "invalid_type"],
  ["context_length_exceeded_behavior", "cut", "unsupported_value"],
  ["unheard_of", 1, "unknown_parameter"],
];

export function validationVectors(dialect: Dialect): VectorFile {
  const rows = new Rows(dialect);
  addValues(rows);
  addModel(rows);
  addMessages(rows);
  addLimits(rows);
  addStream(rows);
  addStop(rows);
  addBias(rows);
  addLogprobs(rows);
  addFormats(rows);
  addSchemas(rows);
  addUnknown(rows);
  addNumbers(rows);
  addJson(rows);
  addHttp(rows);
  addContext(rows);
  addOrder(rows);
  return { name: `validation-${dialect}`, kind: "validation", dialect, cases: rows.list.cases };
}

const shortly = (value: unknown): string => {
  const text = JSON.stringify(value);
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
};

function addValues(rows: Rows): void {
  for (const { name, clause, accepted, outOfRange = [], unlisted = [], wrongType = [], unsupported = [] } of fieldsOf(
    rows.dialect,
  )) {
    for (const value of accepted)
      rows.takes(name, value === null ? "TS-2.2" : clause, `${name} ${shortly(value)}`, { [name]: value });
    for (const value of outOfRange)
      rows.refuses(name, clause, `${name} ${shortly(value)}`, { [name]: value }, "out_of_range", name);
    for (const value of unlisted)
      rows.refuses(name, clause, `${name} ${shortly(value)}`, { [name]: value }, "unsupported_value", name);
    for (const value of wrongType)
      rows.refuses(name, "TS-9.4", `${name} ${shortly(value)}`, { [name]: value }, "invalid_type", name);
    for (const value of unsupported)
      rows.refuses(name, clause, `${name} ${shortly(value)}`, { [name]: value }, "unsupported_parameter", name);
  }
  rows.refuses(
    "metadata",
    "TS-2.27",
    "a value of metadata that is a list",
    { metadata: { a: ["b"] } },
    "invalid_type",
    "metadata.a",
  );
  rows.refuses(
    "metadata",
    "TS-2.2",
    "a value of metadata that is null: it is no field",
    { metadata: { a: null } },
    "invalid_type",
    "metadata.a",
  );
}

function addModel(rows: Rows): void {
  const refuses = (what: string, request: Fields, code: string): void =>
    rows.sends("model", "TS-2.5", what, { request }, refused(code, "model"));
  refuses("no model", { messages: [USER] }, "missing_required_parameter");
  refuses("model null", { ...BASE, model: null }, "missing_required_parameter");
  for (const value of [1, true, ["$MODEL"], {}])
    refuses(`model ${shortly(value)}`, { ...BASE, model: value }, "invalid_type");
  const unknown = refused("model_not_found", "model", 404);
  rows.sends(
    "model",
    "TS-2.5",
    "a model that is not served",
    { request: { ...BASE, model: "no-such-model/at-all" } },
    unknown,
  );
  rows.sends("model", "TS-2.5", "the empty name", { request: { ...BASE, model: "" } }, unknown);
  rows.sends(
    "model",
    "TS-9.8",
    "fields come before the model",
    { request: { ...BASE, model: "no-such-model/at-all", temperature: 3 } },
    refused("out_of_range", "temperature"),
  );
  rows.sends(
    "model",
    "TS-9.8",
    "unknown fields come before the model",
    { request: { ...BASE, model: "no-such-model/at-all", unheard_of: 1 } },
    refused("unknown_parameter", "unheard_of"),
  );
  rows.sends(
    "model",
    "TS-9.8",
    "the model comes before the schema",
    {
      request: {
        ...BASE,
        model: "no-such-model/at-all",
        response_format: { type: "json_object", schema: { type: "text" } },
      },
    },
    unknown,
  );
  rows.sends(
    "model",
    "TS-9.8",
    "the model comes before the tokens of logit_bias",
    { request: { ...BASE, model: "no-such-model/at-all", logit_bias: { 999999999999999: 1 } } },
    unknown,
  );
}

function addMessages(rows: Rows): void {
  const takes = (clause: string, what: string, messages: readonly unknown[], needs?: readonly string[]): void =>
    rows.takes("messages", clause, what, { messages }, needs);
  const refuses = (clause: string, what: string, messages: unknown, code: string, param: string): void =>
    rows.refuses("messages", clause, what, { messages }, code, param);
  const assistant = (fields: Fields) => [USER, { role: "assistant", content: "Hello", ...fields }, USER];

  rows.sends(
    "messages",
    "TS-2.6",
    "no messages",
    { request: { model: "$MODEL" } },
    refused("missing_required_parameter", "messages"),
  );
  refuses("TS-2.6", "messages null", null, "missing_required_parameter", "messages");
  refuses("TS-2.6", "an empty array", [], "out_of_range", "messages");
  for (const value of ["Hi", 1, {}]) refuses("TS-9.4", `messages ${shortly(value)}`, value, "invalid_type", "messages");
  refuses("TS-9.4", "a message that is a string", ["Hi"], "invalid_type", "messages[0]");
  refuses(
    "TS-2.2",
    "a message that is null: an element of an array is no field",
    [USER, null],
    "invalid_type",
    "messages[1]",
  );

  takes("TS-2.31", "system, user", [{ role: "system", content: "Be brief." }, USER]);
  takes("TS-2.31", "developer, user", [{ role: "developer", content: "Be brief." }, USER]);
  takes("TS-2.31", "user, assistant, user", assistant({}));
  refuses("TS-2.31", "no role", [{ content: "Hi" }], "missing_required_parameter", "messages[0].role");
  refuses("TS-2.31", "role null", [{ role: null, content: "Hi" }], "missing_required_parameter", "messages[0].role");
  for (const role of ["robot", "User", "function", ""])
    refuses("TS-2.31", `role ${shortly(role)}`, [{ role, content: "Hi" }], "unsupported_value", "messages[0].role");
  refuses("TS-9.4", "role 1", [{ role: 1, content: "Hi" }], "invalid_type", "messages[0].role");
  refuses(
    "TS-2.31",
    "a wrong role in the third message",
    [USER, { role: "assistant", content: "a" }, { role: "x", content: "b" }],
    "unsupported_value",
    "messages[2].role",
  );

  takes("TS-2.32", "content of one part", [{ role: "user", content: [{ type: "text", text: "Hi" }] }]);
  takes("TS-2.32", "content of two parts", [
    {
      role: "user",
      content: [
        { type: "text", text: "Hi" },
        { type: "text", text: "you" },
      ],
    },
  ]);
  takes("TS-2.32", "an assistant's content null", assistant({ content: null }));
  takes("TS-2.32", "an assistant without content", [USER, { role: "assistant" }, USER]);
  takes("TS-2.32", "the empty text", [{ role: "system", content: "" }, USER], ["embedded_model"]);
  for (const role of ["system", "developer", "user", "tool"]) {
    refuses("TS-2.32", `${role} without content`, [{ role }], "missing_required_parameter", "messages[0].content");
    refuses(
      "TS-2.32",
      `${role} with content null`,
      [{ role, content: null }],
      "missing_required_parameter",
      "messages[0].content",
    );
  }
  for (const value of [1, true, {}])
    refuses(
      "TS-9.4",
      `content ${shortly(value)}`,
      [{ role: "user", content: value }],
      "invalid_type",
      "messages[0].content",
    );
  refuses("TS-2.32", "no parts", [{ role: "user", content: [] }], "out_of_range", "messages[0].content");
  refuses(
    "TS-2.32",
    "a part of an image",
    [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:," } }] }],
    "unsupported_value",
    "messages[0].content[0].type",
  );
  refuses(
    "TS-2.32",
    "the second part is sound",
    [{ role: "user", content: [{ type: "text", text: "a" }, { type: "input_audio" }] }],
    "unsupported_value",
    "messages[0].content[1].type",
  );
  refuses(
    "TS-9.4",
    "a part that is a string",
    [{ role: "user", content: ["Hi"] }],
    "invalid_type",
    "messages[0].content[0]",
  );
  refuses(
    "TS-2.2",
    "a part that is null",
    [{ role: "user", content: [null] }],
    "invalid_type",
    "messages[0].content[0]",
  );
  refuses(
    "TS-9.7",
    "a part without type",
    [{ role: "user", content: [{ text: "Hi" }] }],
    "missing_required_parameter",
    "messages[0].content[0].type",
  );
  refuses(
    "TS-9.7",
    "a part without text",
    [{ role: "user", content: [{ type: "text" }] }],
    "missing_required_parameter",
    "messages[0].content[0].text",
  );
  refuses(
    "TS-9.4",
    "a part's text 1",
    [{ role: "user", content: [{ type: "text", text: 1 }] }],
    "invalid_type",
    "messages[0].content[0].text",
  );
  refuses(
    "TS-2.29",
    "an unknown field of a part",
    [{ role: "user", content: [{ type: "text", text: "Hi", weight: 1 }] }],
    "unknown_parameter",
    "messages[0].content[0].weight",
  );

  takes("TS-2.33", "a name", [{ role: "user", content: "Hi", name: "Ada_1-x" }]);
  takes("TS-2.33", "a name of 64 characters", [{ role: "user", content: "Hi", name: "a".repeat(64) }]);
  takes("TS-2.2", "a name null", [{ role: "user", content: "Hi", name: null }]);
  for (const name of ["", "a".repeat(65), "Ada Lovelace", "\u00c5da", "a.b"])
    refuses(
      "TS-2.33",
      `name ${shortly(name)}`,
      [{ role: "user", content: "Hi", name }],
      "out_of_range",
      "messages[0].name",
    );
  refuses("TS-9.4", "name 1", [{ role: "user", content: "Hi", name: 1 }], "invalid_type", "messages[0].name");

  takes(
    "TS-2.34",
    "an answer sent back as it was received",
    assistant({ refusal: null, annotations: [], audio: null, function_call: null, tool_calls: null }),
  );
  takes("TS-2.34", "tool_calls []", assistant({ tool_calls: [] }));
  takes("TS-2.34", "annotations", assistant({ annotations: [{ type: "url_citation", url_citation: { url: "a" } }] }));
  takes("TS-2.34", "an id", assistant({ id: "msg_1" }));
  takes("TS-2.34", "a part of an answer sent back", [
    USER,
    {
      role: "assistant",
      content: [{ type: "text", text: "Hi", role: "assistant", refusal: null, annotations: [], id: "a" }],
    },
    USER,
  ]);
  takes("TS-2.34", "an answer with openai's copy of it", assistant({ parsed: { name: "Ada" } }));
  takes("TS-2.34", "an answer with LiteLLM's copy", assistant({ provider_specific_fields: { refusal: null } }));
  takes("TS-2.34", "the fields of an answer in a part", [
    USER,
    {
      role: "assistant",
      content: [
        {
          type: "text",
          text: "Hi",
          reasoning_content: "Hm.",
          refusal: null,
          annotations: [],
          parsed: null,
          provider_specific_fields: {},
          audio: null,
          function_call: null,
          tool_calls: [],
          role: "assistant",
        },
      ],
    },
    USER,
  ]);
  refuses(
    "TS-9.4",
    "provider_specific_fields []",
    assistant({ provider_specific_fields: [] }),
    "invalid_type",
    "messages[1].provider_specific_fields",
  );
  refuses(
    "TS-2.35",
    "a lone surrogate in the reasoning of a part",
    assistant({ content: [{ type: "text", text: "Hi", reasoning_content: "\ud800" }] }),
    "out_of_range",
    "messages[1].content[0].reasoning_content",
  );
  for (const field of ["parsed", "provider_specific_fields"])
    refuses(
      "TS-2.34",
      `${field} of a user message`,
      [{ role: "user", content: "Hi", [field]: {} }],
      "unknown_parameter",
      `messages[0].${field}`,
    );
  refuses(
    "TS-2.34",
    "reasoning_content of a part of a user message",
    [{ role: "user", content: [{ type: "text", text: "Hi", reasoning_content: "Hm." }] }],
    "unknown_parameter",
    "messages[0].content[0].reasoning_content",
  );
  takes("TS-2.34", "cache_control of a part and of a message", [
    {
      role: "user",
      content: [{ type: "text", text: "Hi", cache_control: { type: "ephemeral" } }],
      cache_control: { type: "ephemeral" },
    },
  ]);
  for (const [field, value] of [
    ["cache_control", "ephemeral"],
    ["id", 1],
    ["annotations", {}],
    ["role", 1],
  ] as const)
    refuses(
      "TS-9.4",
      `${field} ${shortly(value)} of a part`,
      [{ role: "user", content: [{ type: "text", text: "Hi", [field]: value }] }],
      "invalid_type",
      `messages[0].content[0].${field}`,
    );
  refuses(
    "TS-2.34",
    "a refusal in a part",
    [{ role: "user", content: [{ type: "text", text: "Hi", refusal: "No." }] }],
    "unsupported_parameter",
    "messages[0].content[0].refusal",
  );
  takes("TS-2.34", "reasoning_content", assistant({ reasoning_content: "Hm." }));
  takes("TS-2.34", "reasoning_content null", assistant({ reasoning_content: null }));
  refuses(
    "TS-9.4",
    "reasoning_content 1",
    assistant({ reasoning_content: 1 }),
    "invalid_type",
    "messages[1].reasoning_content",
  );
  for (const [name, value] of [
    ["refusal", "No."],
    ["audio", { id: "a" }],
    ["function_call", { name: "f" }],
  ] as const) {
    refuses(
      "TS-2.34",
      `an assistant's ${name}`,
      assistant({ [name]: value }),
      "unsupported_parameter",
      `messages[1].${name}`,
    );
  }
  refuses(
    "TS-11.7",
    "a call without a type",
    assistant({ tool_calls: [{ id: "a" }] }),
    "missing_required_parameter",
    "messages[1].tool_calls[0].type",
  );
  refuses(
    "TS-11.7",
    "arguments that are an array",
    assistant({ tool_calls: [{ id: "a", type: "function", function: { name: "f", arguments: "[1]" } }] }),
    "out_of_range",
    "messages[1].tool_calls[0].function.arguments",
  );
  refuses(
    "TS-11.7",
    "a call that only a part has",
    assistant({ content: [{ type: "text", text: "Hi", tool_calls: [{ id: "a" }] }] }),
    "out_of_range",
    "messages[1].content[0].tool_calls[0].id",
  );
  for (const name of ["tool_calls", "reasoning_content", "refusal"]) {
    refuses(
      "TS-2.34",
      `${name} of a user, null`,
      [{ ...USER, [name]: null }],
      "unknown_parameter",
      `messages[0].${name}`,
    );
  }
  refuses(
    "TS-2.34",
    "an unknown field of a message",
    [{ ...USER, weight: 1 }],
    "unknown_parameter",
    "messages[0].weight",
  );
  refuses(
    "TS-2.34",
    "an unknown field of a message, null",
    [{ ...USER, weight: null }],
    "unknown_parameter",
    "messages[0].weight",
  );
  refuses(
    "TS-11.7",
    "a result without a call",
    [USER, { role: "tool", content: "1", tool_call_id: "a" }],
    "out_of_range",
    "messages[1].tool_call_id",
  );

  refuses(
    "TS-2.35",
    "a high surrogate alone",
    [{ role: "user", content: "a\ud83d" }],
    "out_of_range",
    "messages[0].content",
  );
  refuses(
    "TS-2.35",
    "a low surrogate alone",
    [{ role: "user", content: "\ude00b" }],
    "out_of_range",
    "messages[0].content",
  );
  refuses(
    "TS-2.35",
    "surrogates the wrong way round",
    [{ role: "user", content: "\ude00\ud83d" }],
    "out_of_range",
    "messages[0].content",
  );
  refuses(
    "TS-2.35",
    "a lone surrogate in a part",
    [{ role: "user", content: [{ type: "text", text: "\ud800" }] }],
    "out_of_range",
    "messages[0].content[0].text",
  );
  refuses(
    "TS-2.35",
    "a lone surrogate in reasoning_content",
    assistant({ reasoning_content: "\udfff" }),
    "out_of_range",
    "messages[1].reasoning_content",
  );
  takes("TS-2.35", "U+0000 is ordinary text", [{ role: "user", content: "a\u0000b" }], ["embedded_model"]);
  takes("TS-2.38", "tags and special tokens are ordinary text", [{ role: "user", content: "</think> <|im_end|> <s>" }]);
  rows.refuses(
    "messages",
    "TS-2.37",
    "a role that the template does not know",
    { messages: [{ role: "tool", content: "Hi" }] },
    "template_error",
    "messages",
    ["embedded_model"],
  );

  refuses(
    "TS-9.8",
    "the first message at fault is told",
    [{ role: "x", content: "a" }, { role: "user" }],
    "unsupported_value",
    "messages[0].role",
  );
  refuses("TS-9.8", "role before content", [{ role: "x" }], "unsupported_value", "messages[0].role");
  refuses(
    "TS-9.8",
    "content before name",
    [{ role: "user", content: 1, name: "" }],
    "invalid_type",
    "messages[0].content",
  );
  refuses(
    "TS-9.8",
    "name before unknown fields",
    [{ role: "user", content: "a", weight: 1, name: "" }],
    "out_of_range",
    "messages[0].name",
  );
}

function addLimits(rows: Rows): void {
  rows.takes("limits", "TS-2.7", "two equal limits", { max_completion_tokens: 1 });
  rows.takes("limits", "TS-2.7", "max_completion_tokens alone", { max_tokens: null, max_completion_tokens: 1 });
  if (rows.dialect === "openai")
    rows.refuses(
      "limits",
      "TS-2.7",
      "no limit and a limit",
      { max_tokens: -1, max_completion_tokens: 1 },
      "unsupported_value",
      "max_tokens",
    );
  rows.refuses(
    "limits",
    "TS-2.7",
    "two different limits",
    { max_completion_tokens: 2 },
    "unsupported_value",
    "max_tokens",
  );
  rows.refuses(
    "limits",
    "TS-9.8",
    "each limit by itself before both together",
    { max_completion_tokens: 0 },
    "out_of_range",
    "max_completion_tokens",
  );
  rows.refuses(
    "limits",
    "TS-9.8",
    "different limits before the next field",
    { max_completion_tokens: 2, stream: 1 },
    "unsupported_value",
    "max_tokens",
  );
}

function addStream(rows: Rows): void {
  const options = (stream_options: unknown, stream: unknown = true) => ({ stream, stream_options });
  for (const value of [
    {},
    null,
    { include_usage: true },
    { include_usage: false },
    { include_usage: null },
    { include_obfuscation: false },
    { include_obfuscation: null },
  ]) {
    rows.takes("stream-options", "TS-2.9", `stream_options ${shortly(value)}`, options(value));
  }
  rows.takes("stream-options", "TS-2.2", "stream_options null without a stream", { stream_options: null });
  for (const stream of [undefined, false, null]) {
    rows.refuses(
      "stream-options",
      "TS-2.9",
      `include_usage without stream: true (${String(stream)})`,
      { stream_options: { include_usage: true }, ...(stream === undefined ? {} : { stream }) },
      "unsupported_value",
      "stream_options",
    );
  }
  for (const value of [{}, { include_usage: false }, { include_usage: null }, { include_obfuscation: false }])
    rows.takes("stream-options", "TS-2.9", `stream_options ${shortly(value)} without a stream`, {
      stream_options: value,
    });
  for (const value of ["", 1, true, []])
    rows.refuses(
      "stream-options",
      "TS-9.4",
      `stream_options ${shortly(value)}`,
      options(value),
      "invalid_type",
      "stream_options",
    );
  for (const value of ["yes", 1])
    rows.refuses(
      "stream-options",
      "TS-9.4",
      `include_usage ${shortly(value)}`,
      options({ include_usage: value }),
      "invalid_type",
      "stream_options.include_usage",
    );
  rows.refuses(
    "stream-options",
    "TS-2.9",
    "include_obfuscation true",
    options({ include_obfuscation: true }),
    "unsupported_parameter",
    "stream_options.include_obfuscation",
  );
  rows.refuses(
    "stream-options",
    "TS-2.29",
    "an unknown option",
    options({ usage: true }),
    "unknown_parameter",
    "stream_options.usage",
  );
  rows.refuses(
    "stream-options",
    "TS-2.29",
    "an unknown option, null",
    options({ usage: null }),
    "unknown_parameter",
    "stream_options.usage",
  );
  rows.refuses(
    "stream-options",
    "TS-9.8",
    "stream_options by itself before the stream it needs",
    { stream_options: { include_usage: 1 } },
    "invalid_type",
    "stream_options.include_usage",
  );
  rows.refuses(
    "stream-options",
    "TS-9.8",
    "the stream it needs before the next field",
    { stream_options: { include_usage: true }, n: 0 },
    "unsupported_value",
    "stream_options",
  );
}

function addStop(rows: Rows): void {
  for (const value of ["x", ["x"], [], ["a", "b", "c", "d"], ["a", "a"], "\u0000", "\u{1f600}", null])
    rows.takes("stop", "TS-2.15", `stop ${shortly(value)}`, { stop: value });
  const refuses = (what: string, value: unknown, code: string, param: string): void =>
    rows.refuses("stop", "TS-2.15", what, { stop: value }, code, param);
  refuses("the empty text", "", "out_of_range", "stop");
  refuses("five sequences", ["a", "b", "c", "d", "e"], "out_of_range", "stop");
  refuses("an empty one among them", ["a", ""], "out_of_range", "stop[1]");
  refuses("a lone surrogate", "\ud83d", "out_of_range", "stop");
  refuses("a lone surrogate among them", ["a", "b", "\ude00"], "out_of_range", "stop[2]");
  for (const value of [1, true, {}]) refuses(`stop ${shortly(value)}`, value, "invalid_type", "stop");
  refuses("a number among them", ["a", 1], "invalid_type", "stop[1]");
  refuses("null among them: it is no field", [null], "invalid_type", "stop[0]");
  refuses("how many before which", ["", "b", "c", "d", "e"], "out_of_range", "stop");
}

function addBias(rows: Rows): void {
  for (const value of [{}, { 0: -100 }, { 0: 100 }, { 0: 0.5 }, { 0: 0, 1: -0.25 }, null])
    rows.takes("logit-bias", "TS-2.20", `logit_bias ${shortly(value)}`, { logit_bias: value });
  const refuses = (what: string, value: unknown, code: string, param: string): void =>
    rows.refuses("logit-bias", "TS-2.20", what, { logit_bias: value }, code, param);
  for (const key of ["01", "-1", "+1", "1.0", "1e1", " 1", "a", "", "0x1", "00"])
    refuses(`the key ${shortly(key)}`, { [key]: 1 }, "out_of_range", `logit_bias.${key}`);
  refuses("the id of no token", { 999999999999999: 1 }, "out_of_range", "logit_bias.999999999999999");
  refuses(
    "the id of no token, of which it is no matter what is added",
    { 999999999999999: 0 },
    "out_of_range",
    "logit_bias.999999999999999",
  );
  refuses(
    "an id that no number holds",
    { "99999999999999999999": 1 },
    "out_of_range",
    "logit_bias.99999999999999999999",
  );
  for (const value of [100.001, -100.001]) refuses(`a bias of ${value}`, { 0: value }, "out_of_range", "logit_bias.0");
  for (const value of ["1", true, null, []])
    refuses(`a bias of ${shortly(value)}`, { 0: value }, "invalid_type", "logit_bias.0");
  for (const value of ["", 1, []]) refuses(`logit_bias ${shortly(value)}`, value, "invalid_type", "logit_bias");
  const entries = (count: number): Fields => Object.fromEntries(Array.from({ length: count }, (_, id) => [id, 1]));
  refuses("1,025 entries", entries(1025), "out_of_range", "logit_bias");
  rows.takes("logit-bias", "TS-2.20", "1,024 entries", { logit_bias: entries(1024) }, ["embedded_model"]);
  rows.refuses(
    "logit-bias",
    "TS-9.8",
    "the form of keys before other fields, their tokens behind",
    { logit_bias: { 999999999999999: 1 }, logprobs: 1 },
    "invalid_type",
    "logprobs",
  );
}

function addLogprobs(rows: Rows): void {
  for (const value of [0, 1, 20, null])
    rows.takes("top-logprobs", "TS-2.22", `top_logprobs ${value}`, { logprobs: true, top_logprobs: value });
  rows.takes("top-logprobs", "TS-2.2", "top_logprobs null without logprobs", { top_logprobs: null });
  for (const value of [21, -1])
    rows.refuses(
      "top-logprobs",
      "TS-2.22",
      `top_logprobs ${value}`,
      { logprobs: true, top_logprobs: value },
      "out_of_range",
      "top_logprobs",
    );
  for (const value of [1.5, "1", true, []])
    rows.refuses(
      "top-logprobs",
      "TS-9.4",
      `top_logprobs ${shortly(value)}`,
      { logprobs: true, top_logprobs: value },
      "invalid_type",
      "top_logprobs",
    );
  for (const value of [0, 3])
    rows.refuses(
      "top-logprobs",
      "TS-2.22",
      `top_logprobs ${value} without logprobs`,
      { top_logprobs: value },
      "unsupported_value",
      "top_logprobs",
    );
  rows.refuses(
    "top-logprobs",
    "TS-2.22",
    "top_logprobs with logprobs false",
    { logprobs: false, top_logprobs: 3 },
    "unsupported_value",
    "top_logprobs",
  );
  rows.refuses(
    "top-logprobs",
    "TS-2.22",
    "top_logprobs with logprobs null",
    { logprobs: null, top_logprobs: 3 },
    "unsupported_value",
    "top_logprobs",
  );
  rows.refuses(
    "top-logprobs",
    "TS-9.8",
    "top_logprobs by itself before the logprobs it needs",
    { top_logprobs: 21 },
    "out_of_range",
    "top_logprobs",
  );
}

function addFormats(rows: Rows): void {
  const format = (value: unknown) => ({ response_format: value });
  const named = (fields: Fields) =>
    format({ type: "json_schema", json_schema: { name: "a", schema: { type: "object" }, ...fields } });
  const takes = (what: string, fields: Fields): void => rows.takes("response-format", "TS-2.23", what, fields);
  const refuses = (clause: string, what: string, fields: Fields, code: string, param: string): void =>
    rows.refuses("response-format", clause, what, fields, code, param);
  const path = (rest: string): string => `response_format.${rest}`;

  takes("null", format(null));
  takes("text", format({ type: "text" }));
  takes("json_object", format({ type: "json_object" }));
  takes("json_object with a schema", format({ type: "json_object", schema: { type: "object" } }));
  takes("json_object with the schema null", format({ type: "json_object", schema: null }));
  takes("json_schema, named", named({}));
  takes("json_schema with everything", named({ strict: true, description: "What it is." }));
  takes("strict false", named({ strict: false }));
  takes("strict and description null", named({ strict: null, description: null }));
  takes("a name of 64 characters", named({ name: "A_z-9".padEnd(64, "x") }));
  takes("a schema that is true", named({ schema: true }));
  takes("json_schema with a bare schema", format({ type: "json_schema", schema: { type: "object" } }));
  takes(
    "json_schema null beside a bare schema",
    format({ type: "json_schema", json_schema: null, schema: { type: "object" } }),
  );
  takes("regex", format({ type: "regex", regex: "yes|no" }));

  for (const value of ["json", 1, []])
    refuses("TS-9.4", `response_format ${shortly(value)}`, format(value), "invalid_type", "response_format");
  refuses("TS-9.7", "no type", format({}), "missing_required_parameter", path("type"));
  refuses("TS-9.7", "type null", format({ type: null }), "missing_required_parameter", path("type"));
  for (const type of ["xml", "JSON_OBJECT", ""])
    refuses("TS-2.23", `type ${shortly(type)}`, format({ type }), "unsupported_value", path("type"));
  refuses("TS-9.4", "type 1", format({ type: 1 }), "invalid_type", path("type"));
  refuses("TS-2.23", "text with a schema", format({ type: "text", schema: {} }), "unknown_parameter", path("schema"));
  refuses(
    "TS-2.23",
    "json_object with json_schema",
    format({ type: "json_object", json_schema: {} }),
    "unknown_parameter",
    path("json_schema"),
  );
  refuses(
    "TS-2.23",
    "an unknown field",
    format({ type: "json_object", strict: true }),
    "unknown_parameter",
    path("strict"),
  );
  refuses(
    "TS-2.23",
    "json_schema without a schema in either place",
    format({ type: "json_schema" }),
    "missing_required_parameter",
    path("json_schema"),
  );
  refuses(
    "TS-2.23",
    "both places null",
    format({ type: "json_schema", json_schema: null, schema: null }),
    "missing_required_parameter",
    path("json_schema"),
  );
  refuses(
    "TS-2.23",
    "both places at once",
    format({ type: "json_schema", json_schema: { name: "a", schema: {} }, schema: {} }),
    "unsupported_value",
    path("schema"),
  );
  refuses(
    "TS-9.7",
    "no name",
    format({ type: "json_schema", json_schema: { schema: {} } }),
    "missing_required_parameter",
    path("json_schema.name"),
  );
  refuses(
    "TS-9.7",
    "no schema beside the name",
    format({ type: "json_schema", json_schema: { name: "a" } }),
    "missing_required_parameter",
    path("json_schema.schema"),
  );
  for (const name of ["", "a b", "a".repeat(65), "\u00e9"])
    refuses("TS-2.23", `name ${shortly(name)}`, named({ name }), "out_of_range", path("json_schema.name"));
  refuses("TS-9.4", "name 1", named({ name: 1 }), "invalid_type", path("json_schema.name"));
  for (const schema of ["{}", 1, []])
    refuses("TS-9.4", `schema ${shortly(schema)}`, named({ schema }), "invalid_type", path("json_schema.schema"));
  refuses("TS-9.4", 'strict "yes"', named({ strict: "yes" }), "invalid_type", path("json_schema.strict"));
  refuses("TS-9.4", "description 1", named({ description: 1 }), "invalid_type", path("json_schema.description"));
  refuses(
    "TS-2.29",
    "an unknown field beside the schema",
    named({ version: 1 }),
    "unknown_parameter",
    path("json_schema.version"),
  );
  refuses(
    "TS-9.4",
    "a schema of json_object that is a string",
    format({ type: "json_object", schema: "{}" }),
    "invalid_type",
    path("schema"),
  );
  refuses(
    "TS-9.7",
    "regex without an expression",
    format({ type: "regex" }),
    "missing_required_parameter",
    path("regex"),
  );
  refuses("TS-9.4", "regex 1", format({ type: "regex", regex: 1 }), "invalid_type", path("regex"));
  refuses(
    "TS-2.35",
    "a lone surrogate in the expression",
    format({ type: "regex", regex: "\ud800" }),
    "out_of_range",
    path("regex"),
  );
  addTextFormats(rows);
}

function addTextFormats(rows: Rows): void {
  const path = (name: string): string => `response_format.${name}`;
  const takes = (what: string, format: unknown): void =>
    rows.takes("text_format", "TS-2.23", what, { response_format: format });
  const refuses = (clause: string, what: string, format: unknown, code: string, param: string): void =>
    rows.refuses("text_format", clause, what, { response_format: format }, code, path(param));
  const absent = "missing_required_parameter";
  takes("choice", { type: "choice", choices: ["yes", "no"] });
  refuses("TS-9.7", "choice without choices", { type: "choice" }, absent, "choices");
  refuses("TS-9.4", "choices that are a string", { type: "choice", choices: "yes" }, "invalid_type", "choices");
  refuses("TS-7.22", "no choice", { type: "choice", choices: [] }, "out_of_range", "choices");
  refuses("TS-7.22", "an empty choice", { type: "choice", choices: ["a", ""] }, "out_of_range", "choices[1]");
  refuses(
    "TS-7.22",
    "a choice that occurs twice",
    { type: "choice", choices: ["a", "a"] },
    "out_of_range",
    "choices[1]",
  );
  refuses("TS-9.4", "a choice that is a number", { type: "choice", choices: [1] }, "invalid_type", "choices[0]");
  refuses("TS-2.35", "a lone surrogate", { type: "choice", choices: ["\ud800"] }, "out_of_range", "choices[0]");

  takes("grammar in GBNF", { type: "grammar", syntax: "gbnf", grammar: 'root ::= "a"' });
  takes("grammar in Lark", { type: "grammar", syntax: "lark", grammar: 'start: "a"' });
  refuses("TS-9.7", "no syntax", { type: "grammar", grammar: 'root ::= "a"' }, absent, "syntax");
  refuses("TS-9.7", "no grammar", { type: "grammar", syntax: "gbnf" }, absent, "grammar");
  const ebnf = { type: "grammar", syntax: "ebnf", grammar: "" };
  refuses("TS-2.23", "another syntax", ebnf, "unsupported_value", "syntax");
  const undefinedRule = { type: "grammar", syntax: "gbnf", grammar: "root ::= a" };
  refuses("TS-7.23", "a rule that is not defined", undefinedRule, "invalid_schema", "grammar");
  const token = { type: "grammar", syntax: "gbnf", grammar: "root ::= <[1]>" };
  refuses("TS-7.24", "a token in a grammar", token, "unsupported_schema", "grammar");

  const structure = { begin: "<a>", schema: {}, end: "</a>" };
  const tag = (structures: unknown, triggers: unknown = ["<"]) => ({ type: "structural_tag", structures, triggers });
  takes("structural_tag", tag([structure]));
  refuses("TS-9.7", "no structures", { type: "structural_tag", triggers: ["<"] }, absent, "structures");
  refuses("TS-9.7", "no triggers", { type: "structural_tag", structures: [structure] }, absent, "triggers");
  refuses("TS-7.26", "an empty list of structures", tag([]), "out_of_range", "structures");
  refuses("TS-7.26", "an empty trigger", tag([structure], [""]), "out_of_range", "triggers[0]");
  refuses("TS-7.26", "a trigger that begins nothing", tag([structure], ["<", "["]), "out_of_range", "triggers[1]");
  const other = { ...structure, begin: "[a]" };
  refuses("TS-7.26", "a structure without a trigger", tag([other]), "out_of_range", "structures[0].begin");
  refuses("TS-9.7", "a structure without an end", tag([{ begin: "<", schema: {} }]), absent, "structures[0].end");
  const wrong = { ...structure, schema: { type: "text" } };
  refuses("TS-7.13", "a fault of a structure's schema", tag([wrong]), "invalid_schema", "structures[0].schema/type");
}

function addSchemas(rows: Rows): void {
  const named = (schema: unknown) => ({ response_format: { type: "json_schema", json_schema: { name: "a", schema } } });
  const at = "response_format.json_schema.schema";
  const refuses = (clause: string, what: string, fields: Fields, code: string, param: string): void =>
    rows.refuses("schema", clause, what, fields, code, param);
  refuses("TS-7.12", "extends", named({ extends: {} }), "unsupported_schema", `${at}/extends`);
  refuses(
    "TS-7.12",
    "extends, deeper",
    named({ properties: { a: { extends: {} } } }),
    "unsupported_schema",
    `${at}/properties/a/extends`,
  );
  refuses(
    "TS-7.12",
    "distinct objects",
    named({ type: "array", uniqueItems: true, items: { type: "object" } }),
    "unsupported_schema",
    `${at}/uniqueItems`,
  );
  refuses("TS-7.13", "a type that is none", named({ type: "text" }), "invalid_schema", `${at}/type`);
  refuses("TS-7.13", "a bound that is a string", named({ minimum: "0" }), "invalid_schema", `${at}/minimum`);
  refuses("TS-7.13", "a schema that is false", named(false), "invalid_schema", at);
  refuses("TS-7.13", "a reference to nothing", named({ $ref: "#/$defs/a" }), "invalid_schema", `${at}/$ref`);
  refuses(
    "TS-7.14",
    "a reference out of the document",
    named({ $ref: "https://example.com/schema" }),
    "unsupported_schema",
    `${at}/$ref`,
  );
  refuses(
    "TS-7.16",
    "a pattern that is no expression",
    named({ type: "string", pattern: "(" }),
    "invalid_schema",
    `${at}/pattern`,
  );
  const backReference = named({ type: "string", pattern: "(a)\\1" });
  refuses("TS-7.16", "a back-reference", backReference, "unsupported_schema", `${at}/pattern`);
  refuses(
    "TS-7.12",
    "the place of a bare schema",
    { response_format: { type: "json_schema", schema: { extends: {} } } },
    "unsupported_schema",
    "response_format.schema/extends",
  );
  refuses(
    "TS-7.12",
    "the place of json_object's schema",
    { response_format: { type: "json_object", schema: { extends: {} } } },
    "unsupported_schema",
    "response_format.schema/extends",
  );
  refuses(
    "TS-7.3",
    "a regex that is none",
    { response_format: { type: "regex", regex: "(" } },
    "invalid_schema",
    "response_format.regex",
  );
  refuses(
    "TS-7.3",
    "a regex that matches nothing",
    { response_format: { type: "regex", regex: "[]" } },
    "invalid_schema",
    "response_format.regex",
  );
  refuses(
    "TS-7.16",
    "a back-reference",
    { response_format: { type: "regex", regex: "(a)\\1" } },
    "unsupported_schema",
    "response_format.regex",
  );
  refuses(
    "TS-9.8",
    "the tokens of logit_bias before the schema",
    { logit_bias: { 999999999999999: 1 }, ...named({ extends: {} }) },
    "out_of_range",
    "logit_bias.999999999999999",
  );
  refuses(
    "TS-9.8",
    "later fields before the schema",
    { ...named({ extends: {} }), store: true },
    "unsupported_parameter",
    "store",
  );
  rows.refuses(
    "schema",
    "TS-9.8",
    "the schema before the template",
    { messages: [{ role: "tool", content: "a" }], ...named({ extends: {} }) },
    "unsupported_schema",
    `${at}/extends`,
    ["embedded_model"],
  );
}

function addUnknown(rows: Rows): void {
  for (const name of [
    "temprature",
    "max_token",
    "Temperature",
    "topk",
    "repeat_penalty",
    "best_of",
    "min_tokens",
    "ignore_eos",
    "enable_thinking",
    "extra_body",
    "constructor",
  ]) {
    rows.refuses("unknown", "TS-2.29", `${name}`, { [name]: 1 }, "unknown_parameter", name);
  }
  rows.refuses("unknown", "TS-2.29", "null", { temprature: null }, "unknown_parameter", "temprature");
  rows.refuses("unknown", "TS-2.29", "the empty name", { "": 1 }, "unknown_parameter", "");
  rows.refuses(
    "unknown",
    "TS-2.29",
    "a known name within a path",
    { "stream_options.include_usage": true },
    "unknown_parameter",
    "stream_options.include_usage",
  );
  rows.refusesText(
    "unknown",
    "TS-2.29",
    "__proto__ is a field like any other",
    bodyWith('"__proto__":{"temperature":0}'),
    "unknown_parameter",
    "__proto__",
  );
}

function addNumbers(rows: Rows): void {
  const takes = (what: string, fields: string): void =>
    rows.sends("number", "TS-2.3", what, { body: bodyWith(fields) }, ACCEPTED);
  const refuses = (what: string, fields: string, code: string, param: string): void =>
    rows.refusesText("number", "TS-2.3", what, bodyWith(fields), code, param);
  takes("1.0 is an integer", '"n":1.0');
  takes("1e0 is an integer", '"n":1e0');
  takes("an exponent", '"temperature":5e-1');
  takes("a seed with an exponent", '"seed":1.5e3');
  takes("-0 is 0", '"temperature":-0');
  takes("the last bits of a bound are rounded away", '"top_p":1.00000000000000000001');
  refuses("1.5e0 is no integer", '"n":1.5e0', "invalid_type", "n");
  refuses("beyond every float64", '"temperature":1e999', "out_of_range", "temperature");
  refuses("beyond every float64, negative", '"frequency_penalty":-1e999', "out_of_range", "frequency_penalty");
  refuses("beyond every float64, where an integer belongs", '"seed":1e999', "out_of_range", "seed");
  refuses("beyond every float64, in logit_bias", '"logit_bias":{"0":1e999}', "out_of_range", "logit_bias.0");
  for (const seed of ["9007199254740993", "-9223372036854775808", "18446744073709551615"])
    takes("a seed of 64 bits", `"seed":${seed}`);
  for (const seed of ["18446744073709551616", "-9223372036854775809", "9007199254740993.0", "1e19"])
    refuses("a seed beyond 64 bits, or one that is not exact", `"seed":${seed}`, "out_of_range", "seed");
}

function addJson(rows: Rows): void {
  const refuses = (what: string, body: unknown): void =>
    rows.refusesText("json", "TS-9.9", what, body, "invalid_json", null);
  refuses("no body", "");
  refuses("white space", " \n");
  refuses("a half object", "{");
  refuses("a comma behind the last field", bodyWith('"n":1,'));
  refuses("single quotes", "{'model':'$MODEL'}");
  refuses("a comment", `${bodyWith('"n":1')} // one`);
  refuses("two texts", `${bodyWith('"n":1')}{}`);
  refuses("NaN", bodyWith('"temperature":NaN'));
  refuses("Infinity", bodyWith('"temperature":Infinity'));
  refuses("a leading zero", bodyWith('"n":01'));
  refuses("a leading plus", bodyWith('"n":+1'));
  refuses("a point without digits", bodyWith('"temperature":1.'));
  refuses("a control character in a string", bodyWith('"user":"a\u0001b"'));
  refuses("an escape that is none", bodyWith('"user":"\\x41"'));
  refuses("a byte order mark", [{ bytes: [0xef, 0xbb, 0xbf] }, bodyWith('"n":1')]);
  refuses("bytes that are no UTF-8", [bodyWith('"user":"').slice(0, -1), { bytes: [0xff] }, '"}']);
  refuses("a surrogate in UTF-8", [bodyWith('"user":"').slice(0, -1), { bytes: [0xed, 0xa0, 0x80] }, '"}']);
  refuses("a repeated field", bodyWith('"n":1,"n":1'));
  refuses("a field repeated by an escape", bodyWith('"n":1,"\\u006e":1'));
  refuses("a repeated key deep inside", bodyWith('"metadata":{"a":"1","a":"2"}'));
  refuses(
    "a repeated key in a schema",
    bodyWith('"response_format":{"type":"json_object","schema":{"type":"object","type":"object"}}'),
  );
  refuses("arrays 257 deep", ['{"a":', { repeat: "[", times: 257 }, { repeat: "]", times: 257 }, "}"]);
  for (const [what, body] of [
    ["an array", "[]"],
    ["a string", '"Hi"'],
    ["a number", "1"],
    ["null", "null"],
    ["true", "true"],
  ] as const) {
    rows.refusesText("json", "TS-9.4", `a body that is ${what}`, body, "invalid_type", null);
  }
  rows.sends("json", "TS-9.9", "white space around the object", { body: ` \n\t\r${bodyWith('"n":1')}\n ` }, ACCEPTED);
  rows.sends(
    "json",
    "TS-9.9",
    "names and values with escapes",
    { body: bodyWith('"us\\u0065r":"\\ud83d\\ude00\\/"') },
    ACCEPTED,
  );
}

function addHttp(rows: Rows): void {
  const request = BASE;
  const sends = (clause: string, what: string, sent: Sent, expected: Expected): void =>
    rows.sends("http", clause, what, sent, expected);
  for (const path of ["/v3/openai/chat/completions", "/openai/v1/chat/completions"])
    sends("TS-1.9", path, { path, request }, ACCEPTED);
  for (const path of [
    "/v1/chat/completion",
    "/v1/chat/completions/",
    "/chat/completions",
    "/v2/chat/completions",
    "/v1/v1/chat/completions",
    "/v1/completions",
  ]) {
    sends("TS-9.14", `the path ${path}`, { path, request }, refused("not_found", null, 404));
  }
  for (const method of ["GET", "PUT", "DELETE", "PATCH"]) {
    sends(
      "TS-9.14",
      `the method ${method}`,
      { method, ...(method === "GET" ? {} : { request }) },
      refused("method_not_allowed", null, 405),
    );
  }
  sends("TS-9.14", "POST to a route of GET", { path: "/v1/models", request }, refused("method_not_allowed", null, 405));
  const type = (value: string | null, expected: Expected, what = String(value)): void =>
    sends("TS-9.10", `Content-Type: ${what}`, { headers: { "content-type": value }, request }, expected);
  const unsupported = refused("unsupported_media_type", null, 415);
  type("application/json; charset=utf-8", ACCEPTED);
  type("Application/JSON;charset=UTF-8", ACCEPTED);
  type('application/json; charset="utf-8"', ACCEPTED);
  type("text/plain", unsupported);
  type("text/json", unsupported);
  type("application/x-www-form-urlencoded", unsupported);
  type("application/json; charset=latin1", unsupported);
  sends("TS-9.10", "Content-Encoding: identity", { headers: { "content-encoding": "identity" }, request }, ACCEPTED);
  sends("TS-9.10", "Content-Encoding: gzip", { headers: { "content-encoding": "gzip" }, request }, unsupported);
  sends(
    "TS-9.8",
    "the path before the method",
    { path: "/v1/nothing", method: "PUT", request },
    refused("not_found", null, 404),
  );
  sends(
    "TS-9.8",
    "the method before the media type",
    { method: "PUT", headers: { "content-type": "text/plain" }, request },
    refused("method_not_allowed", null, 405),
  );
  sends("TS-9.8", "the media type before JSON", { headers: { "content-type": "text/plain" }, body: "{" }, unsupported);
  sends("TS-9.8", "JSON before the fields", { body: '{"model":1,' }, refused("invalid_json", null));
  const keyed = { needs: ["api_key"] };
  const noKey = refused("invalid_api_key", null, 401, "authentication_error");
  sends("TS-9.12", "no key", { headers: { authorization: null }, request, ...keyed }, noKey);
  sends("TS-9.12", "a wrong key", { headers: { authorization: "Bearer wrong" }, request, ...keyed }, noKey);
  sends("TS-9.12", "another scheme", { headers: { authorization: "Basic d3Jvbmc6a2V5" }, request, ...keyed }, noKey);
  sends(
    "TS-9.8",
    "the key before the media type",
    { headers: { authorization: null, "content-type": "text/plain" }, request, ...keyed },
    noKey,
  );
  sends(
    "TS-9.8",
    "the method before the key",
    { method: "PUT", headers: { authorization: null }, request, ...keyed },
    refused("method_not_allowed", null, 405),
  );
  sends(
    "TS-9.8",
    "the path before the key",
    { path: "/v1/nothing", headers: { authorization: null }, request, ...keyed },
    refused("not_found", null, 404),
  );
  const filler = (times: number): readonly unknown[] => [
    bodyWith('"user":"').slice(0, -1),
    { repeat: "x", times },
    '"}',
  ];
  const size = 8 << 20;
  sends(
    "TS-9.10",
    "a body of a little less than 8 MiB",
    { body: filler(size - 2000), needs: ["default_limits"] },
    ACCEPTED,
  );
  sends(
    "TS-9.10",
    "a body of more than 8 MiB",
    { body: filler(size), needs: ["default_limits"] },
    refused("request_too_large", null, 413),
  );
  sends(
    "TS-9.8",
    "the media type before the size",
    { headers: { "content-type": "text/plain" }, body: filler(size), needs: ["default_limits"] },
    unsupported,
  );
  sends(
    "TS-9.8",
    "the size before JSON",
    { body: ["{", { repeat: " ", times: size }], needs: ["default_limits"] },
    refused("request_too_large", null, 413),
  );
}

function addContext(rows: Rows): void {
  const long = (fields: string): readonly unknown[] => [
    '{"model":"$MODEL","messages":[{"role":"user","content":"',
    { repeat: "0123456789 ", times: 4096 },
    `"}]${fields}}`,
  ];
  const sends = (clause: string, what: string, sent: Sent, expected: Expected): void =>
    rows.sends("context", clause, what, sent, expected);
  const small = { needs: ["context_4096"] };
  sends(
    "TS-1.8",
    "a prompt longer than the context",
    { body: long(',"max_tokens":1'), ...small },
    refused("context_length_exceeded", "messages"),
  );
  for (const behavior of ["truncate", "error"]) {
    sends(
      "TS-1.8",
      `a prompt longer than the context, with ${behavior}`,
      { body: long(`,"max_tokens":1,"context_length_exceeded_behavior":"${behavior}"`), ...small },
      refused("context_length_exceeded", "messages"),
    );
  }
  const many = { ...BASE, max_tokens: 1e15 };
  sends(
    "TS-1.4",
    "max_tokens over the context, as an error",
    { request: { ...many, context_length_exceeded_behavior: "error" } },
    refused("context_length_exceeded", "max_tokens"),
  );
  sends(
    "TS-2.7",
    "max_completion_tokens over the context, as an error",
    { request: { ...BASE, max_tokens: null, max_completion_tokens: 1e15, context_length_exceeded_behavior: "error" } },
    refused("context_length_exceeded", "max_completion_tokens"),
  );
  // The answer is one character, so the lowered limit is not used up.
  const cheap = { response_format: { type: "regex", regex: "a" } };
  sends(
    "TS-1.4",
    "max_tokens over the context, to be lowered",
    { request: { ...many, ...cheap, context_length_exceeded_behavior: "truncate" }, needs: ["embedded_model"] },
    ACCEPTED,
  );
  sends(
    "TS-1.4",
    "max_tokens over the context is lowered",
    { request: { ...many, ...cheap }, needs: ["embedded_model"] },
    ACCEPTED,
  );
  sends(
    "TS-9.8",
    "the template before the context",
    {
      body: ['{"model":"$MODEL","messages":[{"role":"tool","content":"', { repeat: "0", times: 2000 }, '"}]}'],
      needs: ["embedded_model"],
    },
    refused("template_error", "messages"),
  );
}

/** Rows with two invalid fields: the first in the order of TS-9.8 is reported, although it is the last in the body. */
function addOrder(rows: Rows): void {
  for (const [index, [first, wrong, code, param = first]] of IN_ORDER.entries()) {
    const next = IN_ORDER[index + 1];
    if (next === undefined) continue;
    const [second, other] = next;
    const { [first]: _, ...base } = { ...BASE } as Fields;
    rows.sends(
      "order",
      "TS-9.8",
      `${first} before ${second}`,
      { request: { [second]: other, ...withoutField(base, second), [first]: wrong } },
      refused(code, param),
    );
  }
  const all = Object.fromEntries([...IN_ORDER].reverse().map(([name, wrong]) => [name, wrong]));
  for (let count = 4; count < IN_ORDER.length - 1; count += 9) {
    const [name, , code, param = name] = IN_ORDER[count]!;
    const wrong = Object.fromEntries(
      Object.entries(all).filter(([one]) => IN_ORDER.findIndex(([known]) => known === one) >= count),
    );
    rows.sends(
      "order",
      "TS-9.8",
      `everything from ${name} on is wrong`,
      { request: { ...wrong, ...BASE } },
      refused(code, param),
    );
  }
}

const withoutField = (fields: Fields, name: string): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([one]) => one !== name));
