/** Tools that the library runs, with a model that calls them by a script. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";

import { ANSWERED, callingModel, UNCALLED } from "../../spec-tests/fixtures/calling-model.js";
import { loadModel, type Model, type RunnableTool, type RunToolsOptions } from "../index.js";

let dir: string;
let model: Model;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "touchstone-run-tools-"));
  model = await loadModel(await callingModel(dir), { profile: "exact" });
});
afterAll(async () => {
  await model.close();
  await rm(dir, { recursive: true, force: true });
});

const INTEGER = { type: "integer" } as const;
const NUMBERS = { type: "object", properties: { a: INTEGER, b: INTEGER }, required: ["a", "b"] } as const;
const WORD = { type: "object", properties: { word: { type: "string" } }, required: ["word"] } as const;

type Numbers = { a: number; b: number };
const add: RunnableTool<Numbers> = { parameters: NUMBERS, execute: ({ a, b }) => ({ sum: a + b }) };
const look_up: RunnableTool<{ word: string }> = { parameters: WORD, execute: ({ word }) => `${word} is a metal` };

/** Options for a message whose last character chooses what the model does. */
const asked = (content: string, changes: Partial<RunToolsOptions> = {}): RunToolsOptions => ({
  messages: [{ role: "user", content }],
  tools: { add, look_up },
  ...changes,
});
const NEVER = new Promise<never>(() => {});

describe("the messages", () => {
  test("have each call and its result, and the answer to them", async () => {
    const { answer, messages } = await model.runTools(asked("A", { seed: 7 }));
    const [, called] = messages;
    const { id } = called!.tool_calls![0]!;
    expect(messages).toEqual([
      { role: "user", content: "A" },
      {
        role: "assistant",
        content: "",
        tool_calls: [{ id, type: "function", function: { name: "add", arguments: '{"a": 1, "b": 2}' } }],
      },
      { role: "tool", tool_call_id: id, content: '{"sum":3}' },
      { role: "assistant", content: ANSWERED },
    ]);
    expect(answer).toMatchObject({ seed: 7, choices: [{ content: ANSWERED, finishReason: "stop" }] });
    const next = await model.runTools({
      tools: { add },
      messages: [...messages, { role: "user", content: "Thanks." }],
    });
    expect(next.messages.length).toBe(messages.length + 2 + 2);
  });

  test("without calls are the given ones and the answer", async () => {
    const { messages } = await model.runTools(asked("Hi"));
    expect(messages).toEqual([
      { role: "user", content: "Hi" },
      { role: "assistant", content: UNCALLED },
    ]);
  });

  test("the given ones are not changed", async () => {
    const options = asked("A");
    await model.runTools(options);
    expect(options.messages).toHaveLength(1);
  });

  test("onDelta gets the deltas of all answers", async () => {
    let text = "";
    let numCalls = 0;
    await model.runTools(
      asked("B", {
        onDelta: ({ content, toolCalls }) => {
          text += content;
          numCalls += toolCalls.filter(({ id }) => id !== null).length;
        },
      }),
    );
    expect({ text, numCalls }).toEqual({ text: ANSWERED, numCalls: 3 });
  });
});

describe("the calls of one answer", () => {
  test("run at the same time, and their results have the order of the calls", async () => {
    const ends: (() => void)[] = [];
    const slow = (result: unknown) => (): Promise<unknown> =>
      new Promise((resolve) => {
        ends.push(() => resolve(result));
        // The last one ends first.
        if (ends.length === 3) for (const end of ends.toReversed()) end();
      });
    const tools = {
      add: { parameters: NUMBERS, execute: ({ a, b }: Numbers) => slow(a + b)() },
      look_up: { ...look_up, execute: slow("a metal") },
    };
    const { messages } = await model.runTools(asked("B", { tools }));
    expect(messages.slice(2, 5).map(({ content }) => content)).toEqual(["2", "a metal", "5"]);
    const ids = messages[1]!.tool_calls!.map(({ id }) => id);
    expect(messages.slice(2, 5).map((message) => message.tool_call_id)).toEqual(ids);
  });

  test.each<[string, () => unknown, string]>([
    ["a text", () => "as it is", "as it is"],
    ["a value", () => [1n, { x: null }], '[1,{"x":null}]'],
    ["nothing", () => undefined, "null"],
    [
      "an error",
      () => {
        throw new Error("no network");
      },
      "Error: no network",
    ],
    ["a rejection with no error", () => Promise.reject("offline" as unknown as Error), "Error: offline"],
    ["a value that JSON cannot have", () => () => {}, "Error: "],
  ])("give the model %s", async (_, execute, expected) => {
    const { messages } = await model.runTools(asked("A", { tools: { add: { ...add, execute } } }));
    expect(messages[2]!.content).toContain(expected);
    if (expected !== "Error: ") expect(messages[2]!.content).toBe(expected);
    expect(messages[3]).toEqual({ role: "assistant", content: ANSWERED });
  });

  test("have typed arguments", async () => {
    const tools: RunToolsOptions["tools"] = {
      add,
      look_up: {
        parameters: WORD,
        execute(args) {
          const { word } = args;
          // @ts-expect-error: without a type, the values of the arguments are unknown
          return word.length as number;
        },
      },
    };
    // @ts-expect-error: no such argument
    const wrong: RunnableTool<Numbers> = { execute: ({ c }) => c as number };
    const { messages } = await model.runTools(
      asked("B", { tools: { ...tools, add: { ...wrong, parameters: NUMBERS } } }),
    );
    expect(messages.slice(2, 5).map(({ content }) => content)).toEqual(["null", "3", "null"]);
  });
});

describe("the number of steps", () => {
  test.each([
    [undefined, 10],
    [1, 1],
    [3, 3],
  ])("maxSteps %s permits %i answers", async (maxSteps, numAnswers) => {
    const execute = vi.fn<() => string>(() => "0");
    const tools = { add: { ...add, execute } };
    const given = { tools, ...(maxSteps === undefined ? {} : { maxSteps }) };
    await expect(model.runTools(asked("C", given))).rejects.toMatchObject({
      code: "too_many_steps",
      param: "maxSteps",
      message: `maxSteps is ${numAnswers}, and the last of so many answers calls tools too (add).`,
    });
    expect(execute).toHaveBeenCalledTimes(numAnswers - 1);
  });

  test("an answer without calls may be the last permitted one", async () => {
    const { messages } = await model.runTools(asked("A", { maxSteps: 2 }));
    expect(messages).toHaveLength(4);
  });
});

describe("an abort", () => {
  test("ends the wait for a tool that never ends, which learns of it", async () => {
    const stop = new AbortController();
    const seen: AbortSignal[] = [];
    const execute: RunnableTool["execute"] = (_, { signal }) => {
      seen.push(signal);
      setImmediate(() => stop.abort(new Error("enough")));
      return NEVER;
    };
    const run = model.runTools(asked("A", { tools: { add: { ...add, execute } }, signal: stop.signal }));
    await expect(run).rejects.toThrow("enough");
    expect(seen).toEqual([stop.signal]);
    expect(seen[0]!.aborted).toBe(true);
  });

  test("is no result, even if the tool throws because of it", async () => {
    const stop = new AbortController();
    const execute = (): never => {
      stop.abort(new Error("enough"));
      throw new Error("stopped");
    };
    const run = model.runTools(asked("A", { tools: { add: { ...add, execute } }, signal: stop.signal }));
    await expect(run).rejects.toThrow("enough");
  });

  test("ends an answer, and runs no tool after it", async () => {
    const stop = new AbortController();
    const execute = vi.fn<() => void>();
    const run = model.runTools(
      asked("A", {
        tools: { add: { ...add, execute } },
        signal: stop.signal,
        onDelta: () => stop.abort(new Error("enough")),
      }),
    );
    await expect(run).rejects.toThrow("enough");
    expect(execute).not.toHaveBeenCalled();
  });

  test("before the run is its only effect", async () => {
    const onDelta = vi.fn<() => void>();
    await expect(model.runTools(asked("A", { signal: AbortSignal.abort("no"), onDelta }))).rejects.toBe("no");
    expect(onDelta).not.toHaveBeenCalled();
  });
});

test("the limit of tokens ends the run with the answer as it is, and messages to go on with", async () => {
  const execute = vi.fn<() => void>();
  const { answer, messages } = await model.runTools(asked("D", { tools: { add: { ...add, execute } }, maxTokens: 1 }));
  expect(answer.choices).toMatchObject([
    { finishReason: "length", toolCalls: [{ name: "add", arguments: expect.stringMatching(/^\{"a": 7$/) as string }] },
  ]);
  expect(execute).not.toHaveBeenCalled();
  expect(messages).toEqual([
    { role: "user", content: "D" },
    { role: "assistant", content: "" },
  ]);
  await model.chat({ messages: [...messages, { role: "user", content: "Go on." }] }).text();
});

test.each<[string, RunToolsOptions["toolChoice"]]>([
  ["required", "required"],
  ["of a named tool", { type: "function", function: { name: "add" } }],
  [
    "of allowed tools",
    {
      type: "allowed_tools",
      allowed_tools: { mode: "required", tools: [{ type: "function", function: { name: "add" } }] },
    },
  ],
])("a choice that is %s holds for the first answer only", async (_, toolChoice) => {
  const { messages } = await model.runTools(asked("D", { toolChoice }));
  expect(messages[1]!.tool_calls).toHaveLength(1);
  expect(messages.at(-1)!.content).toBe(ANSWERED);
});

test("the choice none holds for all answers", async () => {
  const { messages } = await model.runTools(asked("A", { toolChoice: "none", maxTokens: 3, logitBias: new Map() }));
  expect(messages).toHaveLength(2);
  expect(messages[1]!.tool_calls).toBeUndefined();
});

test.each<[string, object, string, RegExp]>([
  ["several choices", { n: 2 }, "n", /^n must be 1 where tools are run. Given: 2$/],
  ["no step", { maxSteps: 0 }, "maxSteps", /^maxSteps must be in 1\.\.1000. Given: 0$/],
  ["too many steps", { maxSteps: 1001 }, "maxSteps", /1\.\.1000/],
  ["half a step", { maxSteps: 1.5 }, "maxSteps", /an integer/],
  ["tools in an array", { tools: [] }, "tools", /an object of tools by name/],
  ["a tool that is none", { tools: { add: 1 } }, "tools.add", /an object/],
  ["a tool without a function", { tools: { add: {} } }, "tools.add.execute", /a function/],
  ["a name with a space", { tools: { add, "a b": add } }, 'tools["a b"].name', /^tools\["a b"\]\.name must be 1 to 64/],
  ["an unknown field", { tools: { add: { ...add, params: {} } } }, "tools.add.params", /^tools\.add\.params is not/],
  [
    "an invalid schema",
    { tools: { add: { ...add, parameters: { properties: 1 } } } },
    "tools.add.parameters/properties",
    /./,
  ],
  ["an onDelta that is none", { onDelta: null }, "onDelta", /a function/],
  ["messages that are none", { messages: undefined }, "messages", /an array/],
  ["another parameter out of range", { temperature: 3 }, "temperature", /0\.\.2/],
])("refuses %s", async (_, changes, param, message) => {
  const run = model.runTools({ ...asked("A"), ...changes } as RunToolsOptions);
  await expect(run).rejects.toMatchObject({
    name: "EngineError",
    param,
    message: expect.stringMatching(message) as string,
  });
});
