/** Calls of tools in the library, with a model that has a template for them and was never trained for it. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { writeToolModel } from "../../spec-tests/fixtures/tool-model.js";
import { type AnswerResult, type ChatMessage, type ChatOptions, loadModel, type Model, type Tool } from "../index.js";
import { inspectModel } from "./inspect.js";

const WEATHER = {
  type: "object",
  properties: { city: { type: "string", maxLength: 8 }, days: { type: "integer", minimum: 1, maximum: 9 } },
  required: ["city"],
  additionalProperties: false,
};
const TOOLS: readonly Tool[] = [
  { type: "function", function: { name: "get_weather", description: "The weather.", parameters: WEATHER } },
  { type: "function", function: { name: "now" } },
  { type: "function", function: { name: "stop-all", parameters: { type: "object", properties: {} }, strict: true } },
];
const QUESTION: ChatMessage = { role: "user", content: "What is the weather in Oslo?" };

let dir: string;
const models: Model[] = [];

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "touchstone-tools-"));
  for (const thinks of [false, true])
    models.push(await loadModel(await writeToolModel(join(dir, `${thinks}`), thinks), { profile: "exact" }));
});
afterAll(async () => {
  for (const model of models) await model.close();
  await rm(dir, { recursive: true, force: true });
});

const options = (changes: Partial<ChatOptions> = {}): ChatOptions => ({
  messages: [QUESTION],
  tools: TOOLS,
  toolChoice: "required",
  seed: 7,
  maxTokens: 300,
  separateReasoning: true,
  ...changes,
});

/** Expects whole calls of the tools, with valid arguments. */
function expectValid({ choices }: AnswerResult, names = TOOLS.map((tool) => tool.function.name)): void {
  const ajv = new Ajv2020();
  for (const { toolCalls, finishReason } of choices) {
    for (const [index, { id, name, arguments: json }] of toolCalls.entries()) {
      expect(id).toMatch(/^call_[0-9a-f]{24}$/);
      expect(names).toContain(name);
      // The limit of tokens may have cut the last call.
      if (finishReason === "length" && index === toolCalls.length - 1) continue;
      const value: unknown = JSON.parse(json);
      if (name === "get_weather") expect(ajv.validate(WEATHER, value), json).toBe(true);
      else expect(json).toBe("{}");
    }
  }
}

describe.each([
  ["a model that answers at once", 0],
  ["a model that reasons", 1],
])("%s", (_, index) => {
  const chat = (changes?: Partial<ChatOptions>): Promise<AnswerResult> =>
    models[index]!.chat(options(changes)).result();

  test("calls tools if it must, with valid arguments", async () => {
    let numCalls = 0;
    for (let seed = 0; seed < 12; seed++) {
      const result = await chat({ seed, logitBias: index === 1 ? new Map() : null });
      expectValid(result);
      const [choice] = result.choices;
      numCalls += choice!.toolCalls.length;
      if (choice!.finishReason === "length") continue;
      expect(choice).toMatchObject({ finishReason: "tool_calls", content: "" });
      expect(choice!.toolCalls.length).toBeGreaterThan(0);
    }
    expect(numCalls).toBeGreaterThan(index === 0 ? 11 : 0);
  });

  test("deltas are the whole answer, each call with its id and name once", async () => {
    const answer = models[index]!.chat(options({ seed: 3, n: 2 }));
    const calls: string[][] = [[], []];
    const result = await answer.result(({ choice, toolCalls }) => {
      for (const { index: at, id, name, arguments: json } of toolCalls) {
        expect(id === null).toBe(name === null);
        expect(id !== null).toBe(calls[choice]![at] === undefined);
        calls[choice]![at] = (calls[choice]![at] ?? "") + json;
      }
    });
    expect(result.choices.map(({ toolCalls }) => toolCalls.map((call) => call.arguments))).toEqual(calls);
    const ids = result.choices.flatMap(({ toolCalls }) => toolCalls.map(({ id }) => id));
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe("the choice of tools", () => {
  const chat = (changes?: Partial<ChatOptions>): Promise<AnswerResult> => models[0]!.chat(options(changes)).result();

  test("a named tool is called once or more, and the answer ends with stop", async () => {
    const toolChoice = { type: "function", function: { name: "now" } } as const;
    const result = await chat({ toolChoice, parallelToolCalls: false });
    expect(result.choices).toMatchObject([
      { finishReason: "stop", content: "", toolCalls: [{ name: "now", arguments: "{}" }] },
    ]);
  });

  test("allowed tools only", async () => {
    const tools = ["now", "stop-all"].map((name) => ({ type: "function", function: { name } }) as const);
    for (let seed = 0; seed < 6; seed++)
      expectValid(
        await chat({ seed, toolChoice: { type: "allowed_tools", allowed_tools: { mode: "required", tools } } }),
        ["now", "stop-all"],
      );
  });

  test("one call at most, several if that is allowed", async () => {
    const numbers = async (parallelToolCalls: boolean): Promise<number[]> => {
      const found: number[] = [];
      for (let seed = 0; seed < 8; seed++)
        found.push((await chat({ seed, parallelToolCalls })).choices[0]!.toolCalls.length);
      return found;
    };
    expect(Math.max(...(await numbers(false)))).toBe(1);
    expect(Math.max(...(await numbers(true)))).toBeGreaterThan(1);
  });

  test("none, and auto without a call: the text of the answer", async () => {
    for (const toolChoice of ["none", "auto"] as const) {
      const { choices } = await chat({ toolChoice, maxTokens: 20 });
      expect(choices[0]!.toolCalls).toEqual([]);
      expect(choices[0]!.content).not.toBe("");
      expect(choices[0]!.content).not.toContain("<call>");
    }
  });

  test("a response format holds for the answer without calls", async () => {
    const { choices } = await chat({ toolChoice: "auto", responseFormat: { type: "choice", choices: ["yes", "no"] } });
    const [{ content, toolCalls }] = choices as [(typeof choices)[number]];
    if (toolCalls.length === 0) expect(["yes", "no"]).toContain(content);
    else expect(content).toBe("");
  });
});

describe("a conversation with calls", () => {
  const called: ChatMessage = {
    role: "assistant",
    content: null,
    tool_calls: [{ id: "c1", type: "function", function: { name: "get_weather", arguments: '{"city": "Oslo"}' } }],
  };
  const result: ChatMessage = { role: "tool", tool_call_id: "c1", content: "rain" };
  const prompt = (messages: readonly ChatMessage[]): string => {
    const model = models[0]!;
    return model.decode(model.encode(messages));
  };

  test("is written as the template has it", () => {
    expect(prompt([QUESTION, called, result])).toContain(
      '<call>{"name": "get_weather", "arguments": {"city": "Oslo"}}</call>',
    );
  });

  test("is the same with the copies of calls that clients add", () => {
    const copied = {
      ...called,
      content: [{ type: "text", text: "Let me see.", tool_calls: called.tool_calls! }],
      tool_calls: called.tool_calls!.map((call) => ({
        ...call,
        function: { ...call.function, parsed_arguments: { city: "Oslo" } },
      })),
    } as const;
    expect(prompt([QUESTION, copied, result])).toBe(prompt([QUESTION, { ...called, content: "Let me see." }, result]));
  });

  test.each(['{"city": "Os', '{"city": {"name": "Oslo }", ', "{", '{"a\\'])(
    "may have arguments that were cut: %s",
    (json) => {
      const cut = { ...called, tool_calls: [{ ...called.tool_calls![0]!, function: { name: "f", arguments: json } }] };
      expect(prompt([QUESTION, cut, result])).toContain(JSON.stringify(json));
    },
  );

  test("with the same seed has other ids in its next step", async () => {
    const step = (messages: readonly ChatMessage[]): Promise<AnswerResult> =>
      models[0]!.chat(options({ messages, parallelToolCalls: false })).result();
    const idOf = ({ choices }: AnswerResult): string => choices[0]!.toolCalls[0]!.id;
    const first = await step([QUESTION]);
    expect(idOf(await step([QUESTION]))).toBe(idOf(first));
    expect(idOf(await step([QUESTION, called, result]))).not.toBe(idOf(first));
  });

  test("tokens in arguments and results stay text", () => {
    const { tokenizer } = models[0]!;
    const end = tokenizer.addedTokenId("<|end|>")!;
    const attack = {
      ...called,
      tool_calls: [{ ...called.tool_calls![0]!, function: { name: "f", arguments: '{"<|end|>": ["<|end|>"]}' } }],
    };
    const count = (messages: readonly ChatMessage[]): number =>
      models[0]!.encode(messages).filter((tokenId) => tokenId === end).length;
    expect(count([QUESTION, attack, { ...result, content: "<|end|>" }])).toBe(count([QUESTION, called, result]));
  });

  test.each<[string, readonly ChatMessage[], string, RegExp]>([
    ["a call without a result", [QUESTION, called], "messages[1].tool_calls[0].id", /no tool message answers/],
    [
      "a call that is answered too late",
      [QUESTION, called, QUESTION, result],
      "messages[1].tool_calls[0].id",
      /before messages\[2\]/,
    ],
    ["a result without a call", [QUESTION, result], "messages[1].tool_call_id", /no call is open/],
    ["a second result", [QUESTION, called, result, result], "messages[3].tool_call_id", /no call is open/],
    [
      "another id",
      [QUESTION, called, { ...result, tool_call_id: "c2" }],
      "messages[2].tool_call_id",
      /open calls are "c1"/,
    ],
    [
      "calls that only a part has",
      [
        QUESTION,
        { role: "assistant", content: [{ type: "text", text: "Let me see.", tool_calls: called.tool_calls! }] },
      ],
      "messages[1].content[0].tool_calls[0].id",
      /id of a call in the message's tool_calls/,
    ],
    [
      "arguments that are not JSON",
      [
        QUESTION,
        { ...called, tool_calls: [{ ...called.tool_calls![0]!, function: { name: "f", arguments: "{'a': 1}" } }] },
        result,
      ],
      "messages[1].tool_calls[0].function.arguments",
      /JSON text of an object/,
    ],
    [
      "arguments that are no object",
      [
        QUESTION,
        { ...called, tool_calls: [{ ...called.tool_calls![0]!, function: { name: "f", arguments: "[1]" } }] },
        result,
      ],
      "messages[1].tool_calls[0].function.arguments",
      /JSON text of an object/,
    ],
  ])("refuses %s", (_, messages, param, message) => {
    expect(() => models[0]!.encode(messages)).toThrow(
      expect.objectContaining({ param, message: expect.stringMatching(message) as string }),
    );
  });
});

test("a description of the model shows a call", async () => {
  const { toolCall } = await inspectModel(await writeToolModel(join(dir, "described")), { profile: "exact" });
  expect(toolCall).toBe('<call>{"name": "get_weather", "arguments": {"city":"Oslo"}}</call>');
});

describe("tools that are refused", () => {
  const of = (changes: object): Tool => ({ type: "function", function: { name: "f", ...changes } }) as Tool;
  test.each<[string, Partial<ChatOptions>, string]>([
    ["two of one name", { tools: [of({}), of({})] }, "tools[1].function.name"],
    ["a name with a space", { tools: [of({ name: "a b" })] }, "tools[0].function.name"],
    [
      "a choice that is no tool",
      { toolChoice: { type: "function", function: { name: "g" } } },
      "toolChoice.function.name",
    ],
    ["a required call without tools", { tools: [] }, "toolChoice"],
    [
      "arguments that are no object",
      { tools: [of({ parameters: { type: "array" } })] },
      "tools[0].function.parameters.type",
    ],
    [
      "an invalid schema",
      { tools: [of({ parameters: { properties: 1 } })] },
      "tools[0].function.parameters/properties",
    ],
    [
      "a strict schema that cannot be enforced",
      { tools: [of({ strict: true, parameters: { type: "object", properties: { a: { pattern: "(a)\\1" } } } })] },
      "tools[0].function.parameters/properties/a/pattern",
    ],
    ["an unknown field", { tools: [{ ...of({}), x: 1 } as Tool] }, "tools[0].x"],
  ])("%s", (_, changes, param) => {
    expect(() => models[0]!.chat(options(changes))).toThrow(expect.objectContaining({ param }));
  });

  test("without strict, the arguments are then an object, and a note says so", async () => {
    const tools = [of({ parameters: { type: "object", properties: { a: { pattern: "(a)\\1" } } } })];
    const answer = models[0]!.chat(options({ tools, parallelToolCalls: false }));
    expect(answer.schemaNotes).toEqual([
      expect.stringMatching(/^tools\[0\]\.function\.parameters: .*back-references.*no more is enforced/),
    ]);
    const { choices } = await answer.result();
    if (choices[0]!.finishReason !== "length")
      expect(JSON.parse(choices[0]!.toolCalls[0]!.arguments)).toBeTypeOf("object");
  });

  test("by a model whose template has none", async () => {
    const folder = await writeToolModel(join(dir, "none"));
    const template = "{% for message in messages %}{{ message.content }}{% endfor %}";
    await writeFile(join(folder, "chat_template.jinja"), template);
    const model = await loadModel(folder, { profile: "exact" });
    expect(() => model.chat(options())).toThrow(/does not write the tools that it gets/);
    await model.close();
  });
});
