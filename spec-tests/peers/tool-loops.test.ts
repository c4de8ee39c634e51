/**
 * Tool loops of unmodified clients with a served model, to the final answer, streamed and not. A proxy records what they
 * send: each field must be in the recordings of docs/CLIENTS.md.
 *
 * `TOUCHSTONE_TOOL_MODEL` is a folder named `tiny` with a model that calls tools, such as that of the second stage of
 * models/tiny; without it, the tests are skipped.
 */

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import type { AIMessageChunk } from "@langchain/core/messages";
import { ChatOpenAI } from "@langchain/openai";
import {
  Agent,
  OpenAIChatCompletionsModel,
  Runner,
  setOpenAIAPI,
  setTracingDisabled,
  tool as agentTool,
} from "@openai/agents";
import { generateText, stepCountIs, streamText, tool as aiTool, type LanguageModel } from "ai";
import { createAgent, tool as langchainTool } from "langchain";
import { zodFunction } from "openai/helpers/zod";
import OpenAI from "openai";
import { beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";

import type { Body } from "../clients/recordings.js";
import { expectKnown, recorded } from "./recorded.js";
import { serve } from "./served.js";

const MODEL = process.env["TOUCHSTONE_TOOL_MODEL"] ?? "";
const describeLoops = describe.skipIf(MODEL === "");
const apiKey = "none";
const WEATHER = "What is the weather in Paris?";

interface TestTool {
  readonly name: string;
  readonly description: string;
  readonly schema: z.ZodObject;
  run(args: never): string;
}
const two = z.object({ a: z.number(), b: z.number() });
const TOOLS: readonly TestTool[] = [
  {
    name: "add",
    description: "Add two numbers.",
    schema: two,
    run: ({ a, b }: { a: number; b: number }) => String(a + b),
  },
  {
    name: "multiply",
    description: "Multiply two numbers.",
    schema: two,
    run: ({ a, b }: { a: number; b: number }) => String(a * b),
  },
  {
    name: "get_weather",
    description: "Get the weather in a city.",
    schema: z.object({ city: z.string() }),
    run: ({ city }: { city: string }) => `It is sunny in ${city}.`,
  },
];

/** One conversation with tools. */
interface Loop {
  readonly answer: unknown;
  /** Calls that the client ran. */
  readonly ran: readonly (readonly [name: string, args: object])[];
  /** Results of calls in each request. */
  readonly numResults: readonly number[];
}

/** Runs a conversation with a client. */
type Client = (
  baseURL: string,
  question: string,
  tools: readonly TestTool[],
  settings: { stream: boolean },
) => Promise<unknown>;

const openaiAt = (baseURL: string): OpenAI => new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const chatOpenAI = (baseURL: string, fields: object = {}): ChatOpenAI =>
  new ChatOpenAI({ model: "tiny", apiKey, temperature: 0, maxRetries: 0, configuration: { baseURL }, ...fields });
const compatible = (baseURL: string): LanguageModel =>
  createOpenAICompatible({ name: "touchstone", baseURL, apiKey, includeUsage: true })("tiny");

const runTools: Client = async (baseURL, question, tools, { stream }) => {
  const request = {
    model: "tiny",
    temperature: 0,
    messages: [{ role: "user" as const, content: question }],
    tools: tools.map(({ name, description, schema, run }) => ({
      type: "function" as const,
      function: {
        name,
        description,
        parameters: { ...z.toJSONSchema(schema) },
        parse: (json: string) => JSON.parse(json) as object,
        function: run as (args: object) => string,
      },
    })),
  };
  const { completions } = openaiAt(baseURL).chat;
  const runner = stream ? completions.runTools({ ...request, stream }) : completions.runTools(request);
  return runner.finalContent();
};

const zodTools: Client = async (baseURL, question, tools, { stream }) => {
  const request = {
    model: "tiny",
    temperature: 0,
    messages: [{ role: "user" as const, content: question }],
    tools: tools.map(({ name, description, schema, run }) =>
      zodFunction({ name, description, parameters: schema, function: run as (args: object) => string }),
    ),
  };
  const { completions } = openaiAt(baseURL).chat;
  const runner = stream ? completions.runTools({ ...request, stream }) : completions.runTools(request);
  return runner.finalContent();
};

const aiSdk =
  (modelAt: (baseURL: string) => LanguageModel): Client =>
  async (baseURL, prompt, tools, { stream }) => {
    const request = {
      model: modelAt(baseURL),
      temperature: 0,
      maxRetries: 0,
      prompt,
      stopWhen: stepCountIs(5),
      tools: Object.fromEntries(
        tools.map(({ name, description, schema, run }) => [
          name,
          aiTool({ description, inputSchema: schema, execute: async (args) => run(args as never) }),
        ]),
      ),
    };
    return stream ? await streamText(request).text : (await generateText(request)).text;
  };

const langchain: Client = async (baseURL, content, tools, { stream }) => {
  const agent = createAgent({
    model: chatOpenAI(baseURL),
    tools: tools.map(({ name, description, schema, run }) =>
      langchainTool((args) => run(args as never), { name, description, schema }),
    ),
  });
  const input = { messages: [{ role: "user", content }] };
  if (!stream) return (await agent.invoke(input)).messages.at(-1)!.content;
  let answer = "";
  for await (const [message] of await agent.stream(input, { streamMode: "messages" }))
    answer = message.type === "tool" ? "" : answer + message.text;
  return answer;
};

const agents: Client = async (baseURL, question, tools, { stream }) =>
  answerOf(
    baseURL,
    new Agent({
      name: "Helper",
      instructions: "Use the tools.",
      tools: tools.map(({ name, description, schema, run }) =>
        agentTool({ name, description, parameters: schema, execute: async (args) => run(args as never) }),
      ),
    }),
    question,
    stream,
  ).then(({ finalOutput }) => finalOutput);

/** Runs an agent of @openai/agents. */
async function answerOf(baseURL: string, agent: Agent, question: string, stream: boolean, modelSettings: object = {}) {
  // The package has types of an openai of its own.
  const client = openaiAt(baseURL) as unknown as ConstructorParameters<typeof OpenAIChatCompletionsModel>[0];
  const model = new OpenAIChatCompletionsModel(client, "tiny");
  const runner = new Runner({ model, modelSettings: { temperature: 0, ...modelSettings } });
  if (!stream) return runner.run(agent, question, { maxTurns: 4 });
  const streamed = await runner.run(agent, question, { maxTurns: 4, stream });
  await streamed.completed;
  return streamed;
}

/** Has a client run a conversation with some of the tools. @param name of the client in docs/CLIENTS.md */
async function loop(
  client: Client,
  name: string,
  question: string,
  toolNames: readonly string[],
  stream: boolean,
): Promise<Loop> {
  const ran: [string, object][] = [];
  const tools = TOOLS.filter((tool) => toolNames.includes(tool.name)).map((tool) => ({
    ...tool,
    run: (args: never) => {
      ran.push([tool.name, args]);
      return tool.run(args);
    },
  }));
  let answer: unknown;
  const bodies = await recorded(url, async (baseURL) => {
    answer = await client(baseURL, question, tools, { stream });
  });
  expect(bodies.map((body) => body.stream ?? false)).toEqual(bodies.map(() => stream));
  expectKnown(name, bodies);
  return { answer, ran, numResults: bodies.map(numResultsIn) };
}

function numResultsIn(body: Body): number {
  return (body["messages"] as { role: string }[]).filter(({ role }) => role === "tool").length;
}

let url: string;
beforeAll(async () => {
  setTracingDisabled(true);
  setOpenAIAPI("chat_completions");
  if (MODEL !== "") url = await serve(["--model", MODEL]);
});

describeLoops.each<[string, string, Client]>([
  ["openai", "runTools", runTools],
  ["openai", "runTools with zodFunction", zodTools],
  ["AI SDK", "@ai-sdk/openai-compatible", aiSdk(compatible)],
  ["AI SDK", "@ai-sdk/openai", aiSdk((baseURL) => createOpenAI({ baseURL, apiKey }).chat("tiny"))],
  ["LangChain.js", "createAgent", langchain],
  ["@openai/agents", "an agent", agents],
])("%s: %s", (name, _, client) => {
  const run = (question: string, tools: readonly string[], stream: boolean): Promise<Loop> =>
    loop(client, name, question, tools, stream);

  test.each([false, true])("one call, streamed: %s", async (stream) => {
    expect(await run(WEATHER, ["get_weather", "add"], stream)).toEqual({
      answer: "It is sunny in Paris.",
      ran: [["get_weather", { city: "Paris" }]],
      numResults: [0, 1],
    });
  });

  test.each([false, true])("two calls at once, streamed: %s", async (stream) => {
    expect(await run("What is the weather in Paris and in London?", ["get_weather"], stream)).toEqual({
      answer: expect.stringMatching(/^It is sunny in Paris\. It is sunny in London\./) as string,
      ran: [
        ["get_weather", { city: "Paris" }],
        ["get_weather", { city: "London" }],
      ],
      numResults: [0, 2],
    });
  });

  test.each([false, true])("a second call with the result of the first, streamed: %s", async (stream) => {
    expect(await run("Add 12 and 30, then multiply the result by 5.", ["add", "multiply"], stream)).toEqual({
      answer: "The result is 210.",
      ran: [
        ["add", { a: 12, b: 30 }],
        ["multiply", { a: 42, b: 5 }],
      ],
      numResults: [0, 1, 2],
    });
  });

  test("no call where no tool fits", async () => {
    expect(await run("What is the capital of France?", ["get_weather"], false)).toEqual({
      answer: "The capital of France is Paris.",
      ran: [],
      numResults: [0],
    });
  });
});

describeLoops("openai", () => {
  const Place = z.object({ city: z.string(), unit: z.enum(["celsius", "fahrenheit"]) });
  const question = { role: "user" as const, content: "What is the weather in Paris in celsius?" };
  const request = {
    model: "tiny",
    messages: [question],
    temperature: 0,
    seed: 7,
    tools: [zodFunction({ name: "get_weather", description: "Get the weather in a city.", parameters: Place })],
  };
  const parsed = { name: "get_weather", parsed_arguments: { city: "Paris", unit: "celsius" } };

  test("parse and .stream() have the same strict calls with parsed arguments, and both can be sent back", async () => {
    const bodies = await recorded(url, async (baseURL) => {
      const { completions } = openaiAt(baseURL).chat;
      const whole = (await completions.parse(request)).choices[0]!.message;
      expect(whole.tool_calls).toMatchObject([{ type: "function", function: parsed }]);
      const stream = completions.stream(request);
      let pieces = "";
      stream.on("tool_calls.function.arguments.delta", ({ arguments_delta }) => (pieces += arguments_delta));
      const streamed = (await stream.finalChatCompletion()).choices[0]!;
      expect(streamed.finish_reason).toBe("tool_calls");
      expect(streamed.message.tool_calls).toEqual(whole.tool_calls);
      expect(pieces).toBe(whole.tool_calls![0]!.function.arguments);
      for (const message of [whole, streamed.message]) {
        const result = { role: "tool" as const, tool_call_id: message.tool_calls![0]!.id, content: "It is sunny." };
        const next = await completions.create({ ...request, messages: [question, message, result] });
        expect(next.choices[0]!.message.content).toBe("It is sunny.");
      }
    });
    expectKnown("openai", bodies);
  });

  test.each<[string, OpenAI.ChatCompletionToolChoiceOption, string]>([
    ["a name", { type: "function", function: { name: "find_hotel" } }, "stop"],
    [
      "allowed tools",
      {
        type: "allowed_tools",
        allowed_tools: { mode: "required", tools: [{ type: "function", function: { name: "find_hotel" } }] },
      },
      "tool_calls",
    ],
  ])("tool_choice with %s: a call of another tool than the one that fits", async (_, tool_choice, reason) => {
    const hotel = zodFunction({ name: "find_hotel", parameters: Place.pick({ unit: true }) });
    const { choices } = await openaiAt(url).chat.completions.parse({
      ...request,
      tools: [...request.tools, hotel],
      tool_choice,
      parallel_tool_calls: false,
      store: false,
    });
    expect(choices[0]!.finish_reason).toBe(reason);
    expect(choices[0]!.message.tool_calls).toMatchObject([
      { function: { name: "find_hotel", parsed_arguments: { unit: expect.stringMatching(/^(celsius|fahrenheit)$/) } } },
    ]);
  });

  test("tool_choice none: no call where one fits", async () => {
    const { choices } = await openaiAt(url).chat.completions.create({ ...request, tool_choice: "none" });
    expect(choices[0]!.finish_reason).toBe("stop");
    expect(choices[0]!.message).not.toHaveProperty("tool_calls");
    expect(choices[0]!.message.content).toMatch(/./);
  });
});

describeLoops("AI SDK", () => {
  const tools = {
    get_weather: aiTool({ description: "Get the weather in a city.", inputSchema: z.object({ city: z.string() }) }),
  };

  test("streams the input of a tool in pieces", async () => {
    let pieces = "";
    const request = { model: compatible(url), temperature: 0, prompt: WEATHER, tools };
    const { fullStream, finishReason, toolCalls } = streamText(request);
    for await (const part of fullStream) if (part.type === "tool-input-delta") pieces += part.delta;
    expect(await finishReason).toBe("tool-calls");
    expect(await toolCalls).toMatchObject([{ toolName: "get_weather", input: { city: "Paris" } }]);
    expect(JSON.parse(pieces)).toEqual({ city: "Paris" });
  });

  test("toolChoice with a tool: a call where none fits", async () => {
    const toolChoice = { type: "tool", toolName: "get_time" } as const;
    const withTime = { ...tools, get_time: aiTool({ description: "Get the time.", inputSchema: z.object({}) }) };
    const request = { model: compatible(url), temperature: 0, prompt: WEATHER, tools: withTime, toolChoice };
    const { toolCalls, finishReason } = await generateText({
      ...request,
      providerOptions: { touchstone: { parallel_tool_calls: false } },
    });
    expect(toolCalls).toMatchObject([{ toolName: "get_time", input: {} }]);
    expect(finishReason).toBe("stop");
  });

  test("an error of a tool is its result", async () => {
    const failing = aiTool({
      description: "Get the weather in a city.",
      inputSchema: z.object({ city: z.string() }),
      execute: async (): Promise<string> => {
        throw new Error("Error: city not found");
      },
    });
    const { steps } = await generateText({
      model: compatible(url),
      temperature: 0,
      prompt: WEATHER,
      tools: { get_weather: failing },
      stopWhen: stepCountIs(2),
    });
    expect(steps[0]!.content).toContainEqual(expect.objectContaining({ type: "tool-error", toolName: "get_weather" }));
    expect(steps[1]!.text).toBe("Error: city not found");
  });
});

describeLoops("LangChain.js", () => {
  const place = langchainTool(() => "", {
    name: "get_weather",
    description: "Get the weather in a city.",
    schema: z.object({ city: z.string() }),
  });

  test("bindTools: a stream has the calls of invoke", async () => {
    const bound = chatOpenAI(url, { modelKwargs: { seed: 7 } }).bindTools([place], { strict: true });
    const { tool_calls: calls } = await bound.invoke(WEATHER);
    expect(calls).toMatchObject([{ name: "get_weather", args: { city: "Paris" } }]);
    let streamed: AIMessageChunk | undefined;
    for await (const chunk of await bound.stream(WEATHER)) streamed = streamed?.concat(chunk) ?? chunk;
    expect(streamed!.tool_calls).toEqual(calls);
    expect(streamed!.response_metadata["finish_reason"]).toBe("tool_calls");
  });

  test("tool_choice any and a name: a call where none fits", async () => {
    const time = langchainTool(() => "", { name: "get_time", description: "Get the time.", schema: z.object({}) });
    const calls = async (tool_choice: string): Promise<unknown> => {
      const bound = chatOpenAI(url).bindTools([time, place], { tool_choice, parallel_tool_calls: false });
      return (await bound.invoke(WEATHER)).tool_calls;
    };
    expect(await calls("any")).toHaveLength(1);
    expect(await calls("get_time")).toMatchObject([{ name: "get_time", args: {} }]);
  });

  test("withStructuredOutput by a call", async () => {
    const schema = z.object({ city: z.string() });
    const structured = chatOpenAI(url).withStructuredOutput(schema, { name: "get_weather", method: "functionCalling" });
    expect(await structured.invoke(WEATHER)).toEqual({ city: "Paris" });
  });
});

describeLoops("@openai/agents", () => {
  const ran: object[] = [];
  const weather = agentTool({
    name: "get_weather",
    description: "Get the weather in a city.",
    parameters: z.object({ city: z.string() }),
    execute: async (args) => {
      ran.push(args);
      return `It is sunny in ${args.city}.`;
    },
  });
  const expert = new Agent({
    name: "Weather",
    handoffDescription: "For questions about weather",
    instructions: "Use the tools.",
    tools: [weather],
  });
  const triage = Agent.create({
    name: "Triage",
    instructions: "Hand the conversation over to the agent that fits.",
    handoffs: [expert],
  });

  test.each([false, true])("an agent hands over to another one, which calls its tool, streamed: %s", async (stream) => {
    ran.length = 0;
    const bodies = await recorded(url, async (baseURL) => {
      const { finalOutput, lastAgent } = await answerOf(baseURL, triage, WEATHER, stream);
      expect(finalOutput).toBe("It is sunny in Paris.");
      expect(lastAgent).toBe(expert);
    });
    expect(ran).toEqual([{ city: "Paris" }]);
    expect(bodies.map(({ tools }) => (tools as { function: object }[]).map((tool) => tool.function))).toMatchObject([
      [{ name: "transfer_to_Weather" }],
      [{ name: "get_weather" }],
      [{ name: "get_weather" }],
    ]);
    expectKnown("@openai/agents", bodies);
  });

  test("with a fixed seed, the call of each step is run", async () => {
    ran.length = 0;
    const agent = new Agent({ name: "Helper", tools: [weather], resetToolChoice: false });
    const settings = { toolChoice: "required", parallelToolCalls: false, providerData: { seed: 7 } };
    await expect(answerOf(url, agent, WEATHER, false, settings)).rejects.toThrow("Max turns (4) exceeded");
    expect(ran).toHaveLength(4);
  });

  test("an agent as a tool of another one", async () => {
    ran.length = 0;
    const asked = expert.asTool({ toolName: "get_weather", toolDescription: "Get the weather in a city." });
    const { finalOutput } = await answerOf(url, new Agent({ name: "Helper", tools: [asked] }), WEATHER, false);
    expect(ran).toHaveLength(1);
    expect(finalOutput).toMatch(/^It is sunny in/);
  });
});
