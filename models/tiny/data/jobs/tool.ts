/**
 * Tools that are made up, and the pieces of which their requests consist. Names, parameters and wording vary, so that a model has to read
 * the tools that it gets.
 */

import { capitalize } from "../example.js";
import type { Random } from "../random.js";
import { COMMON_WORDS, madeUpWord } from "../words.js";

export type Json = Record<string, unknown>;

export interface Tool {
  type: "function";
  function: { name: string; description?: string; parameters?: Json };
}

export interface Request {
  text: string;
  /** In the order of the tool's parameters. */
  args: Json;
}

export interface Job {
  tool: Tool;
  /** What the requests are about; two jobs with the same topic could be confused. */
  topic: string;
  request(random: Random): Request;
  /** Two requests in one sentence. */
  both?(random: Random): { text: string; args: readonly [Json, Json] };
  /** A request that is short after another one. */
  again?(random: Random): Request;
}

/** The name and the parameters of a tool: it is unseen if no tool with these was trained on. */
export function toolKey({ function: { name: called, parameters } }: Tool): string {
  return `tool:${called}:${Object.keys((parameters?.["properties"] ?? {}) as Json).join(":")}`;
}

export interface Parameter {
  name: string;
  schema: Json;
  isOptional: boolean;
  /** True for an optional parameter that is required and may be null. */
  isNullable?: boolean;
}

export function parameter(
  random: Random,
  names: readonly string[],
  schema: Json,
  descriptions: readonly string[] = [],
  isOptional = false,
): Parameter {
  const called = random.chance(0.95) ? random.pick(names) : madeUpWord(random);
  const described = descriptions.length > 0 && random.chance(0.5);
  return {
    name: called,
    schema: described ? { ...schema, description: random.pick(descriptions) } : schema,
    isOptional,
    ...(isOptional && random.chance(0.5) ? { isNullable: true } : {}),
  };
}

export function makeTool(
  random: Random,
  called: string,
  descriptions: readonly string[],
  parameters: readonly Parameter[],
): Tool {
  const taken = new Set<string>();
  for (const one of parameters) {
    while (taken.has(one.name)) one.name += random.pick(["2", "_b", "_two"]);
    taken.add(one.name);
  }
  const more = random.chance(0.12) ? ` ${remark(random)}` : "";
  const described = random.chance(0.9) ? { description: random.pick(descriptions) + more } : {};
  const required = parameters
    .filter(({ isOptional, isNullable }) => !isOptional || isNullable === true)
    .map((one) => one.name);
  const schema: Json = {
    type: "object",
    properties: Object.fromEntries(
      parameters.map((one) => [one.name, one.isNullable === true ? nullable(random, one.schema) : one.schema]),
    ),
    ...(required.length > 0 || random.chance(0.5) ? { required } : {}),
    ...(random.chance(0.5) ? { additionalProperties: false } : {}),
  };
  const isBare = parameters.length === 0 && random.chance(0.5);
  return { type: "function", function: { name: called, ...described, ...(isBare ? {} : { parameters: schema }) } };
}

/** What people add to the description of a tool, and which does not tell it from others. */
function remark(random: Random): string {
  const word = random.pick(COMMON_WORDS);
  return random.pick([
    "Use it when the user asks.",
    `Returns a ${word}.`,
    "Returns JSON.",
    "Call it only once.",
    `It needs a ${word}.`,
    `Ask for the ${word} first.`,
    "The result is a text.",
    `Does not work without the ${word}.`,
    "Use this tool to help the user.",
  ]);
}

/** As clients write an optional parameter where all parameters must be required. */
function nullable(random: Random, { description, ...schema }: Json): Json {
  const described = description === undefined ? {} : { description };
  if (typeof schema["type"] === "string" && schema["enum"] === undefined && random.chance(0.3))
    return { ...schema, type: [schema["type"], "null"], ...described };
  return { anyOf: [schema, { type: "null" }], ...described };
}

/** The given values under the parameters' names; undefined for those that are left out. */
export function valuesOf(parameters: readonly Parameter[], values: readonly unknown[]): Json {
  return Object.fromEntries(
    parameters.flatMap((one, index) => {
      const value = values[index];
      if (value !== undefined) return [[one.name, value]];
      return one.isNullable === true ? [[one.name, null]] : [];
    }),
  );
}

export const STRING = { type: "string" };
export const NUMBER = { type: "number" };
export const INTEGER = { type: "integer" };

export function numeric(random: Random): Json {
  return random.chance(0.6) ? NUMBER : INTEGER;
}

/** get_weather, getWeather, get-weather, or weather. */
export function compound(random: Random, verbs: readonly string[], noun: string): string {
  const words = noun.split(" ");
  const verb = random.pick(verbs);
  const style = random.float();
  if (style < 0.62) return [verb, ...words].join("_");
  if (style < 0.8) return verb + words.map(capitalize).join("");
  if (style < 0.86) return [verb, ...words].join("-");
  if (style < 0.93) return [...words, verb].join("_");
  return words.join("_");
}

export function amount(random: Random): number {
  const digits = random.pick([1, 1, 2, 2, 3, 3, 4, 5, 6]);
  const whole = random.integer(digits === 1 ? 0 : 10 ** (digits - 1), 10 ** digits - 1);
  return whole;
}

export function decimal(random: Random): number {
  return random.integer(1, 9999) / random.pick([10, 100]);
}

export function words(random: Random, low: number, high: number): string {
  return Array.from({ length: random.integer(low, high) }, () =>
    random.chance(0.85) ? random.pick(COMMON_WORDS) : madeUpWord(random),
  ).join(" ");
}

export function noun(random: Random, nouns: readonly string[]): string {
  const kind = random.float();
  if (kind < 0.5) return random.pick(nouns);
  if (kind < 0.85) return random.pick(COMMON_WORDS);
  return madeUpWord(random);
}

export function spread(text: string): readonly string[] {
  return text.trim().split(/\s*,\s*/);
}
