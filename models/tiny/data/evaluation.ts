/** The evaluation: unseen questions of every skill, put to anything that can answer a conversation. */

import { isDeepStrictEqual } from "node:util";

import { type Example, type Reply, type Skill, grade } from "./example.js";
import { SKILLS, evaluationExamples } from "./skills.js";

export type Answer = (example: Example) => Promise<Reply>;

export interface Question {
  skill: Skill;
  example: Example;
}

export interface Outcome extends Question {
  reply: Reply;
  passed: boolean;
  /** The reasoning was closed and an answer followed. */
  closed: boolean;
}

export interface Score {
  name: string;
  passed: number;
  total: number;
  targetPercent: number;
}

const NUM_ARITHMETIC = 240;
const NUM_EACH_OTHER_SKILL = 80;
const ARITHMETIC_TARGET_PERCENT = 97;
const OTHER_TARGET_PERCENT = 95;
const CLOSED_TARGET_PERCENT = 99;

/** @param skills those of the published model by default */
export function evaluationSet(skills = SKILLS): Question[] {
  return skills.flatMap((skill) => {
    const count = skill.name === "arithmetic" ? NUM_ARITHMETIC : NUM_EACH_OTHER_SKILL;
    return evaluationExamples(skill, count).map((example) => ({ skill, example }));
  });
}

/** Keeps `numConcurrent` questions in flight; outcomes are in the order of the questions. */
export async function evaluate(
  questions: readonly Question[],
  answer: Answer,
  numConcurrent: number,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const pending = questions.entries();
  const worker = async (): Promise<void> => {
    for (const [index, question] of pending) outcomes[index] = judge(question, await answer(question.example));
  };
  await Promise.all(Array.from({ length: numConcurrent }, worker));
  return outcomes;
}

export function judge({ skill, example }: Question, reply: Reply): Outcome {
  const closed = reply.reasoning !== null && (reply.content.trim() !== "" || reply.calls.length > 0);
  return { skill, example, reply, closed, passed: passes(skill, example, reply) };
}

function passes(skill: Skill, example: Example, { content, calls, finishReason }: Reply): boolean {
  if (example.calls !== undefined) return finishReason === "tool_calls" && isDeepStrictEqual(calls, example.calls);
  return finishReason === "stop" && grade(skill, example, content);
}

/** One score per skill, and one for closed reasoning. */
export function scores(outcomes: readonly Outcome[]): Score[] {
  const names = new Set(outcomes.map(({ skill }) => skill.name));
  const perSkill = [...names].map((name) => {
    const own = outcomes.filter(({ skill }) => skill.name === name);
    const targetPercent = name === "arithmetic" ? ARITHMETIC_TARGET_PERCENT : OTHER_TARGET_PERCENT;
    return { name, passed: own.filter(({ passed }) => passed).length, total: own.length, targetPercent };
  });
  const closed = outcomes.filter((outcome) => outcome.closed).length;
  return [
    ...perSkill,
    { name: "reasoning closed", passed: closed, total: outcomes.length, targetPercent: CLOSED_TARGET_PERCENT },
  ];
}

export function reached({ passed, total, targetPercent }: Score): boolean {
  return total > 0 && (100 * passed) / total >= targetPercent;
}

/** A Markdown table, as it stands in README.md. */
export function table(all: readonly Score[]): string {
  const rows = all.map(({ name, passed, total, targetPercent }) => {
    const percent = total === 0 ? "none asked" : `${((100 * passed) / total).toFixed(1)} %`;
    return `| ${name} | ${passed} / ${total} | ${percent} | ${targetPercent} % |`;
  });
  return ["| Skill | Passed | Share | Target |", "| --- | --- | --- | --- |", ...rows].join("\n");
}
