/** Tools that laws send, and the checks of the calls in an answer. */

import fc, { type Arbitrary } from "fast-check";

import { quoted } from "./answers.js";
import { parseJson } from "./bounds.js";
import { schemaFault, type Schema } from "./json-schema.js";
import { readAnswer } from "./client.js";
import { Violation, type Answer, type ChatRequest, type Choice, type Feature, type Probe } from "./law.js";
import { apart, limit, seeds, user } from "./requests.js";
import { objects } from "./schemas.js";

/** A tool as requests list it. */
export interface Tool {
  readonly type: "function";
  readonly function: { readonly name: string; readonly description?: string; readonly parameters?: Schema };
}

export function toolOf(name: string, parameters?: Schema): Tool {
  return { type: "function", function: { name, ...(parameters === undefined ? {} : { parameters }) } };
}

/** An object whose properties are all required. */
export function objectOf(properties: Readonly<Record<string, Schema>>): Schema {
  return { type: "object", properties, required: Object.keys(properties), additionalProperties: false };
}

/** Tools for laws that do not vary them. */
export const TOOLS: readonly Tool[] = [
  toolOf(
    "get_weather",
    objectOf({ days: { type: "integer", minimum: 0, maximum: 9 }, city: { type: "string", maxLength: 6 } }),
  ),
  toolOf("roll-dice", objectOf({ sides: { type: "integer", minimum: 2, maximum: 20 } })),
  toolOf("now"),
];

/** A choice of one tool. */
export function named(name: string): ChatRequest {
  return { type: "function", function: { name } };
}

export interface ToolRequest extends ChatRequest {
  readonly tools: readonly Tool[];
}

export interface ToolRequestOptions {
  readonly tools?: Arbitrary<readonly Tool[]>;
  /** Values of `tool_choice`. */
  readonly toolChoices?: readonly unknown[];
  /** Maximum of the parameter `n`. */
  readonly n?: number;
}

/** Requests with tools, with seeds if the endpoint supports them. */
export function toolRequests(
  probe: Probe,
  { tools = toolLists, toolChoices = ["auto", "required"], n = 1 }: ToolRequestOptions = {},
): Arbitrary<ToolRequest> {
  const { features } = probe;
  const fields = {
    messages: fc.constantFrom(...TOOL_PROMPTS).map((content) => user(content).messages),
    tools,
    tool_choice: fc.constantFrom(...toolChoices),
    ...(features.has("seed") ? { seed: seeds } : {}),
    ...(n > 1 && features.has("n") ? { n: fc.integer({ min: 1, max: n }) } : {}),
  };
  const optional = features.has("temperature") ? { temperature: fc.constantFrom(1.3, 0) } : {};
  return fc
    .record({ ...fields, ...optional }, { requiredKeys: Object.keys(fields) as (keyof typeof fields)[] })
    .map((request) => ({ ...request, ...limit(probe, CALL_TOKENS), ...apart(probe) }) as ToolRequest);
}

/** A question that needs a tool, an order, a greeting that needs none, and another question. */
export const TOOL_PROMPTS: readonly string[] = [
  "What is the weather in Oslo?",
  "Roll two dice.",
  "Hello!",
  "Which animals live in the sea, and why?",
];

/** Enough tokens for some short calls. */
const CALL_TOKENS = 300;

/** One to three tools, with parameters of all types or without any. */
const toolLists: Arbitrary<readonly Tool[]> = fc.uniqueArray(
  fc
    .tuple(
      fc.constantFrom("get_weather", "roll-dice", "now", "f"),
      fc.oneof(
        { weight: 3, arbitrary: objects },
        { weight: 2, arbitrary: fc.constantFrom<Schema | undefined>(undefined, { type: "object", properties: {} }) },
      ),
    )
    .map(([name, parameters]) => toolOf(name, parameters)),
  { minLength: 1, maxLength: 3, selector: (tool) => tool.function.name },
);

/** Asks, unless the endpoint refuses the request, which breaks no law: null then, and a note of what was not checked. */
export async function askIfSupported(probe: Probe, request: ChatRequest, what: string): Promise<Answer | null> {
  const exchange = await probe.send(request);
  if (exchange.status < 400 || exchange.status >= 500) return readAnswer(exchange, request["stream"] === true);
  probe.note(`The endpoint refuses ${what}, which was not checked.`);
  return null;
}

/** Checks all calls of an answer. @throws Violation */
export function demandWholeCalls({ features }: Probe, answer: Answer, tools: readonly Tool[]): void {
  for (const choice of answer.choices) {
    const fault = callsFault(choice, tools) ?? markupFault(choice, features);
    if (fault !== null) throw new Violation(`Choice ${choice.index}: ${fault}`, [answer.exchange], "TS-11.5");
  }
}

/** Describes the first fault of a choice's calls, or returns null. */
function callsFault({ toolCalls, finishReason }: Choice, tools: readonly Tool[]): string | null {
  for (const [index, { id, type, name, arguments: text }] of toolCalls.entries()) {
    const tool = tools.find((tool) => tool.function.name === name);
    if (tool === undefined) return `call ${index} is of ${quoted(name)}, which is none of the tools`;
    if (type !== "function") return `the type of call ${index} is ${quoted(type)}, not "function"`;
    if (id === "") return `the id of call ${index} is empty`;
    if (toolCalls.slice(0, index).some((earlier) => earlier.id === id))
      return `call ${index} has the id ${quoted(id)} of an earlier call`;
    // The limit of tokens may cut the last call.
    if (finishReason === "length" && index === toolCalls.length - 1) continue;
    const fault = argumentsFault(text, tool);
    if (fault !== null) return `the arguments of call ${index}, of ${quoted(name)}, are ${quoted(text)}: ${fault}`;
  }
  return null;
}

function argumentsFault(text: string, { function: { parameters } }: Tool): string | null {
  try {
    const value = parseJson(text);
    if (parameters === undefined || isWithoutProperties(parameters))
      return schemaFault(value, { type: "object", additionalProperties: false });
    return schemaFault(value, parameters);
  } catch (error) {
    if (error instanceof SyntaxError) return "they are not JSON";
    throw error;
  }
}

function isWithoutProperties(parameters: Schema): boolean {
  return typeof parameters === "object" && Object.keys(parameters["properties"] ?? {}).length === 0;
}

/** Describes markup of calls or of reasoning in the content, or returns null. */
function markupFault({ content, toolCalls }: Choice, features: ReadonlySet<Feature>): string | null {
  if (features.has("reasoning") && /^\s*<think>/.test(content))
    return `the content ${quoted(content)} begins with reasoning, which must be separate`;
  // Without calls, the text may be about markup.
  const isRaw = MARKUP.test(content) && toolCalls.some(({ name }) => content.includes(name));
  return isRaw ? `the content ${quoted(content)} contains the markup of a call` : null;
}

/** Tags and keys that models write around calls. */
const MARKUP = /[<[]\/?\|?\w{0,20}(?:call|tool|function)\w{0,20}[|=>\]]|"name"\s{0,4}:\s{0,4}"/i;
