import fc from "fast-check";

import { answerOf, quoted } from "../answers.js";
import { Violation, type Answer, type ChatRequest, type Law } from "../law.js";
import { apart, requests, user } from "../requests.js";

/**
 * Broken if the limit is checked before the end token or the stop sequence, if streams report another reason than
 * unstreamed responses, or if limits are exceeded. A client then cannot know whether an answer is complete.
 */
export const finishReason: Law = {
  id: "P5",
  title: "finish_reason is the true reason why an answer ended",
  clauses: ["TS-5.10", "TS-2.7", "TS-5.9", "TS-5.11", "TS-7.5", "TS-7.10"],
  reports: ["vllm#47963", "vllm#35705", "ollama#4357", "sglang#28446"],
  needs: ["max_tokens", "seed"],
  errorRate: null,
  async check(probe) {
    const cases = fc.record({
      request: requests(probe, { maxTokens: { min: 2, max: 40 } }),
      cut: fc.integer({ min: 0, max: 99 }),
      stream: probe.features.has("stream") ? fc.boolean() : fc.constant(false),
    });
    await probe.forAll(
      cases,
      async ({ request, cut, stream }) => {
        const whole = { ...request, ...apart(probe) };
        const again = (fields: ChatRequest) => probe.ask({ ...whole, ...fields, ...(stream ? { stream } : {}) });
        const base = await probe.ask(whole);
        const numTokens = base.usage?.completionTokens ?? null;
        const maxTokens = request["max_tokens"] as number;
        demandLimit(base, maxTokens);
        if (base.choices[0]!.finishReason === "length") {
          const shorter = Math.max(1, Math.floor((cut / 100) * maxTokens));
          demandReason(
            base,
            await again({ max_tokens: shorter }),
            "length",
            `max_tokens is ${shorter} and the answer is longer`,
          );
          const stop = lastOnly(answerOf(base.choices[0]!));
          if (probe.features.has("stop") && stop !== null) {
            demandReason(
              base,
              await again({ stop: [stop] }),
              "stop",
              `the last of ${maxTokens} tokens completes the stop sequence ${JSON.stringify(stop)}`,
            );
          }
        } else if (numTokens !== null) {
          demandReason(
            base,
            await again({ max_tokens: numTokens }),
            "stop",
            `the model ends the answer after ${numTokens} tokens`,
          );
          if (numTokens > 1)
            demandReason(
              base,
              await again({ max_tokens: numTokens - 1 }),
              "length",
              `max_tokens excludes the last of ${numTokens} tokens`,
            );
        }
      },
      { numRuns: 8, share: 0.8 },
    );
    if (!probe.features.has("json_schema")) return;
    await probe.forAll(
      fc.record({ maxTokens: fc.integer({ min: 1, max: 12 }), seed: fc.nat(1000) }),
      async ({ maxTokens, seed }) => {
        const answer = await probe.ask({
          ...user("Hello!"),
          response_format: LONG,
          max_tokens: maxTokens,
          seed,
          ...apart(probe),
        });
        const [choice] = answer.choices;
        if (choice!.finishReason === "length" || isJson(choice!.content)) return;
        const ends = `${quoted(choice!.content)} ends with ${quoted(choice!.finishReason)}`;
        throw new Violation(
          `A structured answer that is cut by max_tokens ${maxTokens} must end with "length"; ${ends}`,
          [answer.exchange],
          "TS-7.10",
        );
      },
      { numRuns: 4 },
    );
  },
};

const PROPERTY = "a rather long name";
const SCHEMA = {
  type: "object",
  properties: { [PROPERTY]: { type: "string", minLength: 20, maxLength: 40 } },
  required: [PROPERTY],
  additionalProperties: false,
};
const LONG = { type: "json_schema", json_schema: { name: "long", schema: SCHEMA } };

function demandLimit({ choices: [choice], usage, exchange }: Answer, maxTokens: number): void {
  const { finishReason } = choice!;
  if (finishReason !== "stop" && finishReason !== "length") {
    throw new Violation(`finish_reason must be "stop" or "length"; it is ${quoted(finishReason)}`, [exchange]);
  }
  if (usage === null) return;
  const isTrue = finishReason === "length" ? usage.completionTokens === maxTokens : usage.completionTokens <= maxTokens;
  if (!isTrue) {
    throw new Violation(
      `With max_tokens ${maxTokens} an answer of ${usage.completionTokens} tokens ends with ${quoted(finishReason)}`,
      [exchange],
      "TS-5.11",
    );
  }
}

function demandReason(base: Answer, got: Answer, expected: "stop" | "length", why: string): void {
  const { finishReason, content } = got.choices[0]!;
  // If the tokens differ, the expected end is unknown. Other laws check that.
  const isSame = textOf(base).startsWith(textOf(got));
  if (!isSame || finishReason === expected) return;
  throw new Violation(
    `finish_reason must be "${expected}", because ${why}; ${quoted(content)} ends with ${quoted(finishReason)}`,
    [base.exchange, got.exchange],
  );
}

/** Text of a choice without the parts that a cut may change: white space at the end and incomplete characters. */
function textOf({ choices: [choice] }: Answer): string {
  return `${choice!.reasoning ?? ""}${choice!.content}`.replace(/[\s\uFFFD]+$/, "");
}

/** Returns the shortest suffix of a text that does not occur earlier in it, or null. */
function lastOnly(text: string | null): string | null {
  const characters = [...(text ?? "")];
  for (let length = 1; length <= characters.length; length++) {
    const end = characters.slice(-length).join("");
    if (end.includes("\uFFFD")) return null;
    if (text!.indexOf(end) === text!.length - end.length) return end;
  }
  return null;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
