/**
 * What a skill produces: one conversation whose last answer is known, and the
 * keys that say what its question is about. The keys decide, by hash, whether
 * an example may be trained on or only asked in the evaluation.
 */

import type { Tool } from "./jobs/tool.js";
import type { Random } from "./random.js";

export interface Message {
  role: "system" | "user" | "assistant" | "tool";
  /** Null beside calls. */
  content: string | null;
  calls?: Call[];
}

/** A call of a tool, with its arguments in the order of the tool's parameters. */
export interface Call {
  name: string;
  args: Record<string, unknown>;
}

export interface Example {
  skill: string;
  /** Ends with the message to be answered, of the user or of a tool. */
  messages: Message[];
  tools?: Tool[];
  /** Without the tags. May hold `letterwise` runs, as may `answer`. */
  reasoning: string;
  answer: string;
  /** The calls that the answer consists of, if it does. */
  calls?: Call[];
  /** Content of the question: operands, word, numbers, phrasing x fact. */
  contentKeys: string[];
}

export interface Reply {
  reasoning: string | null;
  content: string;
  calls: Call[];
  finishReason: string | null;
}

export interface Skill {
  name: string;
  generate(random: Random): Example;
  /** Whether `content` answers `example`; by default, equality after trimming. */
  grade?(example: Example, content: string): boolean;
}

export type Split = "train" | "eval";

const EVAL_PERCENT = 10;

/** Null where the keys fall on both sides: such an example is used by neither. */
export function splitOf(contentKeys: readonly string[]): Split | null {
  const sides = new Set(contentKeys.map((key) => (fnv1a(key) % 100 < EVAL_PERCENT ? "eval" : "train")));
  const [side] = sides;
  return sides.size === 1 && side !== undefined ? side : null;
}

export function grade(skill: Skill, example: Example, content: string): boolean {
  if (skill.grade !== undefined) return skill.grade(example, content.trim());
  return content.trim() === plain(example.answer);
}

const LETTERWISE_MARK = "\u2060"; // word joiner: invisible, in no other data

/** Marks text to be encoded one byte per token, since spelling has no words. */
export function letterwise(text: string): string {
  return LETTERWISE_MARK + text + LETTERWISE_MARK;
}

/** Splits at the marks: odd pieces are letterwise. */
export function letterwisePieces(text: string): string[] {
  return text.split(LETTERWISE_MARK);
}

export function plain(text: string): string {
  return text.replaceAll(LETTERWISE_MARK, "");
}

/** Replaces each {name}; a missing name is a mistake in the template. */
export function fill(template: string, values: Record<string, string | number>): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`no value for {${name}} in "${template}"`);
    return String(value);
  });
}

export function capitalize(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

/** Small liberties people take when typing; the content stays the same. */
export function casually(random: Random, text: string): string {
  let result = text;
  if (random.chance(0.12)) result = result.slice(0, 1).toLowerCase() + result.slice(1);
  if (random.chance(0.15)) result = result.replace(/[?.!]$/, "");
  if (random.chance(0.06)) result = `Please ${result.slice(0, 1).toLowerCase()}${result.slice(1)}`;
  else if (random.chance(0.05))
    result = `${random.pick(["Hi", "Hello", "Hey"])}, ${result.slice(0, 1).toLowerCase()}${result.slice(1)}`;
  return result;
}

function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  hash ^= hash >>> 16; // FNV's low bits alone are weak on short keys
  hash = Math.imul(hash, 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}
