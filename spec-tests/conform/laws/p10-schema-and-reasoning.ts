import fc from "fast-check";

import { quoted } from "../answers.js";
import { Violation, type Answer, type ChatRequest, type Choice, type Law, type Probe } from "../law.js";
import { limit, requests, user } from "../requests.js";
import type { Schema } from "../json-schema.js";
import { faultOf, formatOf } from "./p09-schemas.js";

/**
 * Broken by grammars that reach into the reasoning or stay off behind it, by answers that land in the reasoning, and by
 * formats that hold only where the reasoning is shown in one of the two ways.
 */
export const schemaAndReasoning: Law = {
  id: "P10",
  title: "A format holds for the answer, however the reasoning is shown, and leaves the reasoning alone",
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
    await probe.forAll(
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
    if (numWhole === 0) probe.note("No structured answer was whole: its tokens were spent on reasoning.");
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

/** Both values of separate_reasoning where the endpoint knows it, and nothing said. */
async function waysToShow(probe: Probe): Promise<readonly ChatRequest[]> {
  const isTaken = (fields: ChatRequest) =>
    probe.send({ ...user("Hello!"), ...limit(probe, 1), ...fields }).then(({ status }) => status === 200);
  const isKnown = (await isTaken({ separate_reasoning: false })) && !(await isTaken({ separate_reasonings: false }));
  if (isKnown) return [{}, { separate_reasoning: true }, { separate_reasoning: false }];
  probe.note("separate_reasoning is not known to the endpoint, so formats were tried in one way only.");
  return [{}];
}

function demandValid({ content, reasoning }: Choice, { exchange }: Answer, schema: Schema, way: ChatRequest): void {
  const isApart = way["separate_reasoning"] !== false;
  // In one text the answer stands behind the closing tag.
  const answer = isApart ? content : content.replace(/^\s*<think>[^]*?<\/think>\s*/, "");
  const fault = faultOf(answer, schema);
  if (fault === null) return;
  const shown = `${quoted(content)}${reasoning === null ? "" : `, behind the reasoning ${quoted(reasoning)}`}`;
  throw new Violation(
    `With ${JSON.stringify(way)} and the schema ${JSON.stringify(schema)} the answer is ${shown}: ${fault}`,
    [exchange],
  );
}

/** At temperature 0 a format changes nothing before the answer begins. */
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
      // A server may tell the model of the format: then it is another prompt.
      const isSamePrompt = free.usage !== null && free.usage.promptTokens === formatted.usage?.promptTokens;
      const [was, got] = [free.choices[0]!, formatted.choices[0]!];
      // Reasoning that did not end in time, or in a token of its own, may have had to go on another way.
      if (
        !isSamePrompt ||
        was.content === "" ||
        was.reasoning === null ||
        got.reasoning === was.reasoning ||
        got.finishReason === "length"
      )
        return;
      if (got.reasoning?.startsWith(was.reasoning)) return;
      const message = `The reasoning is ${quoted(was.reasoning)}, and with a response_format ${quoted(got.reasoning)}`;
      throw new Violation(message, [free.exchange, formatted.exchange]);
    },
    { numRuns: 3 },
  );
}
