/** All skills, how often each is trained on, and the streams of examples for training and evaluation. */

import { arithmetic } from "./arithmetic.js";
import { smallTalk } from "./chat.js";
import { type Example, type Skill, splitOf } from "./example.js";
import { facts } from "./facts.js";
import { followUps } from "./followups.js";
import { instructions } from "./instructions.js";
import { json } from "./json.js";
import { count, reverse } from "./letters.js";
import { limits } from "./limits.js";
import { longExample } from "./long.js";
import { memory } from "./memory.js";
import { compare, sort } from "./numbers.js";
import { Random } from "./random.js";
import { repeat } from "./repeat.js";
import { stories } from "./stories.js";
import { noTool, severalCalls, toolCall, toolResult } from "./tools.js";

export const SKILLS: readonly Skill[] = [
  arithmetic,
  compare,
  sort,
  count,
  reverse,
  facts,
  instructions,
  followUps,
  smallTalk,
  stories,
  json,
];

/** What the second stage adds. */
export const TOOL_SKILLS: readonly Skill[] = [toolCall, severalCalls, toolResult, noTool, memory, repeat, limits];

/**
 * Part one teaches the skills without tools; part two has more of those that are slow to learn. Part three adds tools,
 * what was told, repeating and limits; one in seven conversations of part four is long.
 */
export const PARTS = ["one", "two", "three", "four"] as const;
export type Part = (typeof PARTS)[number];

const EARLIER = {
  arithmetic: 8,
  compare: 6,
  sort: 6,
  "count letters": 5,
  "reverse letters": 5,
  facts: 4,
  "system message": 4,
  "two turns": 4,
  "small talk": 3,
  stories: 2,
  JSON: 4,
};
const LATER = {
  ...EARLIER,
  "tool call": 24,
  "several calls": 6,
  "tool result": 8,
  "no tool fits": 6,
  "told before": 5,
  repeat: 4,
  "out of range": 3,
};

/** Out of 100 examples of each part. */
const SHARES: Record<Part, Record<string, number>> = {
  one: {
    arithmetic: 28,
    compare: 5,
    sort: 7,
    "count letters": 12,
    "reverse letters": 10,
    facts: 7,
    "system message": 9,
    "two turns": 8,
    "small talk": 4,
    stories: 4,
    JSON: 6,
  },
  two: {
    arithmetic: 15,
    compare: 16,
    sort: 15,
    "count letters": 11,
    "reverse letters": 10,
    facts: 5,
    "system message": 8,
    "two turns": 5,
    "small talk": 4,
    stories: 3,
    JSON: 8,
  },
  three: LATER,
  four: LATER,
};

const SEEDS: Record<Part, number> = { one: 1, two: 3, three: 4, four: 5 };
const EVAL_SEED = 2;
const MAX_DRAWS_PER_SKILL = 1_000_000;

/** Endless; only examples whose keys all fall on the training side. */
export function* trainingExamples(part: Part = "one", seed: number = SEEDS[part]): Generator<Example> {
  const random = new Random(seed);
  const skills = part === "one" || part === "two" ? SKILLS : [...SKILLS, ...TOOL_SKILLS];
  const drawer = skills.flatMap((skill) => Array.from({ length: SHARES[part][skill.name] ?? 0 }, () => skill));
  for (;;) {
    const isLong = part === "four" && random.chance(0.15);
    const example = isLong ? longExample(random) : random.pick(drawer).generate(random);
    if (splitOf(example.contentKeys) === "train") yield example;
  }
}

/** `count` examples of one skill, all different, whose keys all fall on the evaluation side. */
export function evaluationExamples(skill: Skill, count: number, seed: number = EVAL_SEED): Example[] {
  const random = new Random(seed);
  const seen = new Set<string>();
  const examples: Example[] = [];
  for (let draw = 0; examples.length < count; draw++) {
    if (draw === MAX_DRAWS_PER_SKILL)
      throw new Error(`${skill.name}: only ${examples.length} unseen questions in ${draw} draws`);
    const example = skill.generate(random);
    const identity = example.contentKeys.join();
    if (splitOf(example.contentKeys) !== "eval" || seen.has(identity)) continue;
    seen.add(identity);
    examples.push(example);
  }
  return examples;
}
