import fc from "fast-check";

import { quoted } from "../answers.js";
import { Violation, type Answer, type ChatRequest, type Choice, type Law, type Probe } from "../law.js";
import { limit, requests, user } from "../requests.js";
import type { Schema } from "../json-schema.js";
import { faultOf, formatOf } from "./p09-schemas.js";

/**
 * Broken if a grammar constrains the reasoning or is not active after it, if the answer ends up in the reasoning, or if
 * the format applies only in one of the two ways in which reasoning is shown.
 */
export const schemaAndReasoning: Law = {
  id: "P10",
  title: "A response format applies to the answer, however the reasoning is shown, and not to the reasoning",
  clauses: ["TS-7.6", "TS-7.2", "TS-1.7", "TS-2.24", "TS-7.21"],
  reports: ["ollama#15260", "ollama#14645", "ollama#14850", "ollama#10929", "vllm#47027", "vllm#16182"],
  needs: ["json_schema", "reasoning"],
  errorRate: null,
  async check(probe) {
    const ways = await waysToShow(probe);
    const stream = probe.features.has("stream") ? fc.boolean() : fc.constant(false);
    const seed = probe.features.has("seed");
    const request = requests(probe, { maxTokens: { min: 300, max: 400 }, prompts: PROMPTS, seed, n: 4 });
    const cases = fc.record({ request, schema: fc.constantFrom(...SCHEMAS), stream });
    let numWhole = 0;
    const holds = await probe.forAll(
      cases,
      async ({ request, schema, stream }) => {
        for (const way of ways) {
          const answer = await probe.ask({
            ...request,
            ...way,
            response_format: formatOf(schema),
            ...(stream ? { stream } : {}),
          });
          for (const choice of answer.choices.filter(({ finishReason }) => finishReason !== "length")) {
            demandValid(choice, answer, schema, way);
            numWhole++;
          }
        }
      },
      { numRuns: 6, share: 0.7 },
    );
    if (holds && numWhole === 0) probe.note("No structured answer was complete: its tokens were spent on reasoning.");
    await checkFreedom(probe);
  },
};

const PROMPTS = ["What is 2 + 3?", "Give name and age of Alice, 30, as JSON.", "Hello!", "Which is larger, 17 or 71?"];

const SCHEMAS: readonly Schema[] = [
  {
    type: "object",
    properties: { sum: { type: "integer", minimum: 0, maximum: 99 } },
    required: ["sum"],
    additionalProperties: false,
  },
  {
    type: "object",
    properties: { answer: { enum: ["yes", "no"] }, sure: { type: "boolean" } },
    required: ["answer", "sure"],
    additionalProperties: false,
  },
];

/**
 * Requests with each value of separate_reasoning and without it. Only without it if the endpoint does not support it.
 */
async function waysToShow(probe: Probe): Promise<readonly ChatRequest[]> {
  const isTaken = (fields: ChatRequest) =>
    probe.send({ ...user("Hello!"), ...limit(probe, 1), ...fields }).then(({ status }) => status === 200);
  const isKnown = (await isTaken({ separate_reasoning: false })) && !(await isTaken({ separate_reasonings: false }));
  if (isKnown) return [{}, { separate_reasoning: true }, { separate_reasoning: false }];
  probe.note("The endpoint does not support separate_reasoning, so formats were checked only without it.");
  return [{}];
}

function demandValid({ content, reasoning }: Choice, { exchange }: Answer, schema: Schema, way: ChatRequest): void {
  const isApart = way["separate_reasoning"] !== false;
  // If reasoning is part of the content, the answer follows the closing tag.
  const answer = isApart ? content : content.replace(/^\s*<think>[^]*?<\/think>\s*/, "");
  const fault = faultOf(answer, schema);
  if (fault === null) return;
  const shown = `${quoted(content)}${reasoning === null ? "" : `, after the reasoning ${quoted(reasoning)}`}`;
  throw new Violation(
    `With ${JSON.stringify(way)} and the schema ${JSON.stringify(schema)} the answer is ${shown}: ${fault}`,
    [exchange],
  );
}

/** Checks that at temperature 0 a response format does not change the reasoning. */
async function checkFreedom(probe: Probe): Promise<void> {
  if (!probe.features.has("temperature")) return;
  await probe.forAll(
    fc.record({ prompt: fc.constantFrom(...PROMPTS), schema: fc.constantFrom(...SCHEMAS) }),
    async ({ prompt, schema }) => {
      const request = {
        ...user(prompt),
        ...limit(probe, 400),
        temperature: 0,
        ...(probe.dialect === "ppio" ? { separate_reasoning: true } : {}),
      };
      const [free, formatted] = [
        await probe.ask(request),
        await probe.ask({ ...request, response_format: formatOf(schema) }),
      ];
      // A server may add the format to the prompt. Then the prompts differ.
      const isSamePrompt = free.usage !== null && free.usage.promptTokens === formatted.usage?.promptTokens;
      const [was, got] = [free.choices[0]!, formatted.choices[0]!];
      // Reasoning that was cut, or that ended in the same token as the answer began, may continue differently.
      if (
        !isSamePrompt ||
        was.content === "" ||
        was.reasoning === null ||
        got.reasoning === was.reasoning ||
        got.finishReason === "length"
      )
        return;
      if (got.reasoning?.startsWith(was.reasoning)) return;
      const message = `The reasoning is ${quoted(was.reasoning)}, but with a response_format it is ${quoted(got.reasoning)}`;
      throw new Violation(message, [free.exchange, formatted.exchange]);
    },
    { numRuns: 3 },
  );
}
