import fc from "fast-check";

import { answerOf, quoted } from "../answers.js";
import { parseJson } from "../bounds.js";
import { readAnswer } from "../client.js";
import { schemaFault, type Schema } from "../json-schema.js";
import { Violation, type ChatRequest, type Law, type Probe } from "../law.js";
import { apart, limit, seeds, user } from "../requests.js";
import { objects } from "../schemas.js";

/**
 * Broken by schemas that fail open: the server ignores an unsupported keyword, or the whole schema, and answers with
 * status 200 and unconstrained text.
 */
export const structuredAnswers: Law = {
  id: "P9",
  title: "A structured answer is valid, or its schema is refused",
  clauses: ["TS-7.2", "TS-2.23", "TS-7.1", "TS-7.4", "TS-7.5", "TS-7.10", "TS-7.12", "TS-7.13"],
  reports: ["llama.cpp#24097", "llama.cpp#19051", "ollama#17183", "ollama#8063"],
  needs: ["json_schema"],
  errorRate: null,
  async check(probe) {
    const seed = probe.features.has("seed") ? seeds.map((seed) => ({ seed })) : fc.constant({});
    const format = fc.constantFrom<Form>(
      "json_schema",
      ...(probe.dialect === "ppio" ? (["json_object"] as const) : []),
    );
    const stream = probe.features.has("stream") ? fc.boolean() : fc.constant(false);
    let numWhole = 0;
    const demandValid = async (schema: Schema, form: Form, fields: ChatRequest): Promise<void> => {
      const request: ChatRequest = {
        ...user(PROMPT),
        ...limit(probe, 400),
        ...apart(probe),
        ...fields,
        response_format: formatOf(schema, form),
      };
      const exchange = await probe.send(request);
      if (exchange.status >= 400 && exchange.status < 500) return;
      for (const choice of readAnswer(exchange, request["stream"] === true).choices) {
        if (choice.finishReason === "length") continue;
        const answer = answerOf(choice);
        if (answer === null) continue;
        const fault = faultOf(answer, schema);
        if (fault !== null)
          throw new Violation(`The schema is ${JSON.stringify(schema)}; the answer ${quoted(answer)}: ${fault}`, [
            exchange,
          ]);
        numWhole++;
      }
    };
    // Models would not write these values by themselves, so only a server that enforces the schema passes.
    const narrow = fc.record({ schema: fc.constantFrom(...NARROW), form: format, fields: seed });
    const examples = NARROW.slice(0, 3).map((schema) => ({ schema, form: "json_schema", fields: {} }) as const);
    await probe.forAll(narrow, ({ schema, form, fields }) => demandValid(schema, form, fields), {
      numRuns: NARROW.length,
      share: 0.4,
      examples,
    });
    const cases = fc.record({ schema: objects, form: format, fields: seed, stream });
    const holds = await probe.forAll(
      cases,
      ({ schema, form, fields, stream }) => demandValid(schema, form, { ...fields, ...(stream ? { stream } : {}) }),
      { numRuns: 6, share: 0.5 },
    );
    if (holds && numWhole === 0)
      probe.note("No structured answer was complete: its tokens were spent on reasoning, or its schema was refused.");
    await checkNonsense(probe);
    if (probe.features.has("json_object")) await checkAnyObject(probe);
  },
};

const PROMPT = "Describe a house in JSON.";

type Form = "json_schema" | "json_object";

export function formatOf(schema: unknown, form: Form = "json_schema"): ChatRequest {
  return form === "json_object"
    ? { type: "json_object", schema }
    : { type: "json_schema", json_schema: { name: "answer", strict: true, schema } };
}

export function faultOf(answer: string, schema: Schema): string | null {
  try {
    return schemaFault(parseJson(answer), schema);
  } catch (error) {
    if (error instanceof SyntaxError) return "it is not JSON";
    throw error;
  }
}

function closed(value: Schema): Schema {
  return { type: "object", properties: { x: value }, required: ["x"], additionalProperties: false };
}

const NARROW: readonly Schema[] = [
  closed({ const: { deep: [1, null, "ü"] } }),
  closed({ type: "integer", multipleOf: 7, minimum: 50, maximum: 60 }),
  closed({ type: "string", pattern: "^[0-9]{3}-[xyz]{2}$" }),
  closed({
    type: "array",
    items: { type: "integer", minimum: 0, maximum: 9 },
    contains: { const: 5 },
    minItems: 1,
    maxItems: 1,
  }),
  closed({ type: "integer", minimum: 1, maximum: 9, not: { enum: [1, 2, 3, 4, 5, 6, 8, 9] } }),
  closed({ type: "array", items: { enum: ["p", "q"] }, minItems: 2, maxItems: 2, uniqueItems: true }),
  closed({ anyOf: [{ const: "zebra" }, { type: "integer", minimum: 1000, maximum: 1001 }] }),
];

/** Invalid schemas, and schemas that no value satisfies. */
const NONSENSE: readonly unknown[] = [
  { type: "hiccup" },
  {
    type: "object",
    properties: { x: { type: "integer", minimum: 5, maximum: 1 } },
    required: ["x"],
    additionalProperties: false,
  },
  { type: "object", properties: { x: { $ref: "#/$defs/nowhere" } }, required: ["x"], additionalProperties: false },
  { type: "object", properties: { x: { enum: [] } }, required: ["x"], additionalProperties: false },
  123,
];

async function checkNonsense(probe: Probe): Promise<void> {
  await probe.forAll(
    fc.constantFrom(...NONSENSE),
    async (schema) => {
      const exchange = await probe.send({ ...user(PROMPT), ...limit(probe, 8), response_format: formatOf(schema) });
      if (exchange.status >= 400 && exchange.status < 500) return;
      const message = `${JSON.stringify(schema)} is not a schema that a value can satisfy; it must be refused, but the status is ${exchange.status}`;
      throw new Violation(message, [exchange], "TS-7.13");
    },
    { numRuns: NONSENSE.length, examples: NONSENSE, share: 0.8 },
  );
}

async function checkAnyObject(probe: Probe): Promise<void> {
  await probe.forAll(
    probe.features.has("seed") ? seeds.map((seed) => ({ seed })) : fc.constant({}),
    async (fields) => {
      const { choices, exchange } = await probe.ask({
        ...user(PROMPT),
        ...limit(probe, 200),
        ...apart(probe),
        ...fields,
        response_format: { type: "json_object" },
      });
      const [choice] = choices;
      const answer = answerOf(choice!);
      if (choice!.finishReason === "length" || answer === null) return;
      const fault = faultOf(answer, { type: "object" });
      if (fault !== null)
        throw new Violation(
          `json_object must give one JSON object; the answer is ${quoted(answer)}: ${fault}`,
          [exchange],
          "TS-7.1",
        );
    },
    { numRuns: 2 },
  );
}
