/**
 * Does with a model's folder what a user does: looks at it, loads it, renders a chat, encodes and decodes text,
 * generates two tokens with and without a required format, and converts it. A model may be refused, and so may a
 * request; any other outcome is a fault of the engine.
 */

import { EngineError, loadModel, type Model } from "../../engine/index.js";
import { convertModel, inspectModel } from "../../engine/models.js";
import { InvalidLogitsError } from "../../kernels/index.js";
import type { Random } from "./random.js";
import type { Outcome } from "./run-cases.js";

/**
 * @param scratch path for a converted copy, which does not exist
 * @param exactShare probability of the profile `exact`
 */
export async function useModel(random: Random, dir: string, scratch: string, exactShare: number): Promise<Outcome> {
  const profile = random.chance(exactShare) ? "exact" : "auto";
  const faults: string[] = [];
  const refusals: string[] = [];
  /** Returns the result of a step, or the error with which it was refused. */
  const attempt = async <T>(step: string, work: () => T | Promise<T>): Promise<T | EngineError> => {
    try {
      return await work();
    } catch (error) {
      const problem = problemOf(error);
      if (problem !== null) faults.push(`${step}: ${problem}`);
      else refusals.push(`${step}: ${(error as Error).message}`);
      return error instanceof EngineError ? error : new EngineError("internal_error", step);
    }
  };
  const options = { profile, numThreads: 1, offline: true } as const;
  if (random.chance(0.3)) await attempt("inspect", () => inspectModel(dir, options));
  const model = await attempt("load", () => loadModel(dir, options));
  if (random.chance(0.1)) {
    const layout = random.chance(0.5) ? "pack" : "onnx";
    await attempt("convert", () =>
      convertModel(dir, scratch, { layout, quant: random.pick(["f32", "q8", "q4"]), offline: true }),
    );
  }
  if (!(model instanceof EngineError)) {
    for (const [step, work] of Object.entries(STEPS)) await attempt(step, () => work(model));
    await attempt("close", () => model.close());
  }
  if (faults.length > 0) return { type: "fault", message: faults.join("; ") };
  return model instanceof EngineError ? { type: "refused", message: model.message } : { type: "accepted", refusals };
}

const MESSAGES = [
  { role: "system", content: "You are <|im_end|> careful." },
  { role: "user", content: "hello world, 27 + 38?\n\n" },
  { role: "assistant", content: "" },
  { role: "user", content: "é 😀 </think> {{ x }}" },
] as const;

/** Texts that mixed patterns of words meet, and on which careless regular expressions take exponential time. */
const TEXTS = [
  "hello  world",
  "",
  "a".repeat(3000),
  "ab ".repeat(500),
  "é😀\n\t 123,456 <|end|><s>",
  "a".repeat(40) + "!",
];

const STEPS: Readonly<Record<string, (model: Model) => unknown>> = {
  ...Object.fromEntries(
    TEXTS.map((text, index) => [`encode ${index}`, (model: Model): unknown => model.decode(model.encode(text))]),
  ),
  render: (model) => model.encode(MESSAGES),
  generate: (model) => model.generate({ prompt: "hello", maxTokens: 2, temperature: 0 }).text(),
  chat: (model) => model.chat({ messages: MESSAGES, maxTokens: 2, seed: 1, logprobs: true, topLogprobs: 2 }).result(),
  format: (model) =>
    model
      .chat({ messages: MESSAGES.slice(1, 2), maxTokens: 2, seed: 1, responseFormat: { type: "json_object" } })
      .text(),
};

/** Returns why an error is not a readable refusal, or null. */
function problemOf(error: unknown): string | null {
  if (!(error instanceof EngineError)) {
    return error instanceof Error
      ? `${error.name}: ${error.message.slice(0, 200)} ${placeOf(error)}`
      : `threw ${String(error)}`;
  }
  const { code, message, cause } = error;
  // Two internal errors are about the model: weights that give no numbers, and, without a cause, a vocabulary that lacks
  // bytes.
  if (cause instanceof InvalidLogitsError) return null;
  if (code === "internal_error" && cause !== undefined)
    return `internal_error: ${message.slice(0, 200)} ${cause instanceof Error ? `${cause.message.slice(0, 200)} ${placeOf(cause)}` : ""}`;
  if (message === "" || /[\n\r]/.test(message) || message.length > MAX_MESSAGE_CHARACTERS)
    return `not one readable line: ${code}: ${JSON.stringify(message.slice(0, 300))}`;
  return INTERNALS.test(message) || NO_NUMBER.test(message)
    ? `speaks of internals: ${code}: ${message.slice(0, 300)}`
    : null;
}

const MAX_MESSAGE_CHARACTERS = 1000;

/** Words of JavaScript's own errors, which tell a user nothing. Some readable errors have words in common with them. */
const INTERNALS =
  /Cannot read|is not a function|(?<!\ban? \w+|\bnone) is not iterable|call stack|Invalid (?:array|string|count|typed array)|\[object |\bundefined\b/;
/** The same of numbers. A file can hold NaN, and errors about it show its values. */
const NO_NUMBER = /^(?!.*\.json\b).*(?<!\bholds )\bNaN\b/;

function placeOf(error: Error): string {
  const line = error.stack?.split("\n").find((each) => each.includes("    at ")) ?? "";
  return line.trim().replace(/file:\/\/.*\/dist\//, "");
}
