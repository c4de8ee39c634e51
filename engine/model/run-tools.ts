/**
 * Runs the tools that a model calls: answer, run the calls, answer again, until an answer has no calls. It uses the model
 * through `chat` only.
 */

import type { AnswerChoice, AnswerResult, OutputDelta, ToolCall } from "../core/index.js";
import { EngineError, fieldPath, outOfRange, wrongType } from "../errors.js";
import { isObject, jsonText, type JsonObject } from "../json.js";
import { LIMITS } from "../limits.js";
import type { Tool, ToolChoice } from "../message/index.js";
import type { ChatMessage } from "../template/index.js";
import type { Answer } from "./answer.js";
import type { ChatOptions } from "./preparer.js";

/**
 * A tool with the function that runs it.
 *
 * @typeParam Arguments type of the arguments that `parameters` describes, as a type alias; nothing compares it with
 *   `parameters`
 */
export interface RunnableTool<Arguments extends object = Record<string, unknown>> {
  readonly description?: string | null | undefined;
  /** JSON schema of the arguments, which are an object. Absent: the tool has no parameters. */
  readonly parameters?: JsonObject | null | undefined;
  /** Refuses a schema that cannot be enforced; otherwise the arguments are then some object. */
  readonly strict?: boolean | null | undefined;
  /**
   * Runs a call. The model reads a text as it is and any other result as JSON. If it throws, the model reads `Error: `
   * and the error's message.
   *
   * @param args valid against `parameters`
   */
  execute(args: Arguments, context: ToolContext): unknown;
}

export interface ToolContext {
  /** The signal of `runTools`; never aborted if none was given. */
  readonly signal: AbortSignal;
}

/** Options of `chat`, for each answer. There is one choice, and the seed is the same for all answers. */
export interface RunToolsOptions extends Omit<ChatOptions, "tools" | "n" | "toolChoice"> {
  /** Tools by name: 1 to 64 characters of `[A-Za-z0-9_-]`. */
  readonly tools: { readonly [name: string]: RunnableTool };
  /** Choice for the first answer. What it requires is not required of later answers, which would never end otherwise. */
  readonly toolChoice?: ToolChoice | null | undefined;
  /** Largest number of answers, 1 to 1000; 10 by default. */
  readonly maxSteps?: number | undefined;
  /** Called with each delta of each answer. */
  readonly onDelta?: ((delta: OutputDelta) => void) | undefined;
}

export interface RunToolsResult {
  /** The last answer: it has no calls, or the limit of tokens has cut it. */
  readonly answer: AnswerResult;
  /** The given messages, calls, results and the last answer, to go on with. A call that was cut is left out. */
  readonly messages: readonly ChatMessage[];
}

/**
 * @throws EngineError for an invalid request, or `too_many_steps` if the last permitted answer has calls
 * @throws the signal's reason if it was aborted
 */
export async function runTools(
  chat: (options: ChatOptions) => Answer,
  options: RunToolsOptions,
): Promise<RunToolsResult> {
  const { tools, toolChoice, maxSteps = LIMITS.toolStepsDefault, onDelta, ...others } = checked(options);
  const { signal = new AbortController().signal } = others;
  const names = Object.keys(tools);
  const offered = names.map((name) => offeredTool(name, tools[name]!));
  const messages = [...others.messages];
  for (let step = 1; ; step++) {
    const choice = step === 1 ? toolChoice : relaxed(toolChoice);
    const begun = started(() => chat({ ...others, messages, tools: offered, toolChoice: choice }), names);
    const answer = await begun.result(onDelta);
    const [given] = answer.choices as [AnswerChoice];
    messages.push(answerMessage(given));
    const calls = wholeCalls(given);
    if (calls.length === 0) return { answer, messages };
    if (step === maxSteps) throw tooManySteps(maxSteps, calls);
    const results = await Promise.all(calls.map((call) => resultOf(call, tools[call.name]!, signal)));
    messages.push(...results);
  }
}

/** Returns the calls to run: none if the limit of tokens has cut the answer, because the last one may be incomplete. */
export function wholeCalls({ toolCalls, finishReason }: AnswerChoice): readonly ToolCall[] {
  return finishReason === "length" ? [] : toolCalls;
}

/** Returns the message of an answer, with the calls that are to be run. */
export function answerMessage(choice: AnswerChoice): ChatMessage {
  const calls = wholeCalls(choice).map(({ id, name, arguments: json }) => ({
    id,
    type: "function" as const,
    function: { name, arguments: json },
  }));
  return {
    role: "assistant",
    content: choice.content,
    ...(choice.reasoning === null ? {} : { reasoning_content: choice.reasoning }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  };
}

function tooManySteps(maxSteps: number, calls: readonly ToolCall[]): EngineError {
  const names = calls.map(({ name }) => name).join(", ");
  const rule = `is ${maxSteps}, and the last of so many answers calls tools too (${names}).`;
  return new EngineError("too_many_steps", (name) => `${name("maxSteps")} ${rule}`, "maxSteps");
}

/** Checks what `chat` does not. TypeScript checks this only for callers in TypeScript. */
function checked(options: RunToolsOptions): RunToolsOptions {
  if (!isObject(options)) throw wrongType("options", "an object", options);
  const { tools, maxSteps = 1, onDelta, n = null, messages } = options as { readonly [name: string]: unknown };
  if (!Array.isArray(messages)) throw wrongType("messages", "an array of messages", messages);
  if (!isObject(tools)) throw wrongType("tools", "an object of tools by name", tools);
  for (const [name, tool] of Object.entries(tools)) {
    const path = fieldPath("tools", name);
    if (!isObject(tool)) throw wrongType(path, "an object", tool);
    if (typeof tool["execute"] !== "function") throw wrongType(`${path}.execute`, "a function", tool["execute"]);
  }
  if (n !== null && n !== 1) throw outOfRange("n", "must be 1 where tools are run", n);
  if (typeof maxSteps !== "number" || !Number.isInteger(maxSteps)) throw wrongType("maxSteps", "an integer", maxSteps);
  if (maxSteps < 1 || maxSteps > LIMITS.maxToolSteps)
    throw outOfRange("maxSteps", `must be in 1..${LIMITS.maxToolSteps}`, maxSteps);
  if (onDelta !== undefined && typeof onDelta !== "function") throw wrongType("onDelta", "a function", onDelta);
  return options;
}

/** Unknown fields stay, and are refused with those of any tool. */
function offeredTool(name: string, tool: RunnableTool): Tool {
  const { execute: _, ...rest } = tool;
  return { type: "function", function: { name, ...rest } };
}

/** Starts an answer. Errors about tools name them as the caller wrote them: `tools.add`, not `tools[0].function`. */
function started(start: () => Answer, names: readonly string[]): Answer {
  try {
    return start();
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    throw error.renamed((path) =>
      path.replace(/^tools\[(\d+)\](\.function)?/, (_, index: string) => fieldPath("tools", names[Number(index)]!)),
    );
  }
}

/** Returns the choice without what it requires. */
function relaxed(choice: ToolChoice | null | undefined): ToolChoice | null | undefined {
  if (typeof choice === "string") return choice === "required" ? "auto" : choice;
  if (choice?.type === "function") return "auto";
  return choice && { ...choice, allowed_tools: { ...choice.allowed_tools, mode: "auto" } };
}

async function resultOf(call: ToolCall, tool: RunnableTool, signal: AbortSignal): Promise<ChatMessage> {
  const content = await unlessAborted(signal, async () => {
    try {
      const result = await tool.execute(JSON.parse(call.arguments) as Record<string, unknown>, { signal });
      return typeof result === "string" ? result : jsonText(result ?? null);
    } catch (error) {
      return errorResult(error);
    }
  });
  return { role: "tool", tool_call_id: call.id, content };
}

/** Returns what the model reads of a call that has failed. */
export function errorResult(error: unknown): string {
  return `Error: ${error instanceof Error ? error.message : String(error)}`;
}

/** Waits for work, but no longer than until the signal is aborted. @throws the signal's reason */
export async function unlessAborted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  let stop!: () => void;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason as Error);
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([work(), aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
