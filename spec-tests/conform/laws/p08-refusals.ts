import fc from "fast-check";

import { quoted } from "../answers.js";
import { Violation, type ChatRequest, type Feature, type Law, type Probe } from "../law.js";
import { user } from "../requests.js";

/**
 * Broken if a server drops unknown fields or clamps values that are out of range: the client gets an answer to a
 * different request without any notice.
 */
export const refusals: Law = {
  id: "P8",
  title: "A server refuses what it cannot do, and does what it accepts",
  clauses: ["TS-2.1", "TS-2.29", "TS-2.9", "TS-2.28", "TS-2.3"],
  reports: ["ollama#6948", "OrcaRouter-Lite#126", "OrcaRouter-Lite#135", "mtplx#191", "mlx-vlm#1331"],
  needs: [],
  errorRate: null,
  async check(probe) {
    const cheap = { ...user("Hello!"), ...(probe.features.has("max_tokens") ? { max_tokens: 1 } : {}) };
    const demandRefused = async (fields: ChatRequest, why: string, clause: string): Promise<void> => {
      const exchange = await probe.send({ ...cheap, ...fields });
      if (exchange.status >= 400 && exchange.status < 500) return;
      throw new Violation(
        `${why}: ${JSON.stringify(fields)} must be refused with status 400; the status is ${exchange.status}`,
        [exchange],
        clause,
      );
    };
    await checkEffects(probe);
    for (const [feature, values] of Object.entries(OUT_OF_RANGE)) {
      const cases = fc.constantFrom(...values);
      await probe.forAll(cases, (fields) => demandRefused(fields, `Outside the range of ${feature}`, "TS-2.3"), {
        examples: values,
        numRuns: values.length,
      });
    }
    const made = fc.stringMatching(/^[a-z]{3,6}_[a-z]{3,8}$/).filter((name) => !MAYBE_KNOWN.test(name));
    const unknown = fc.record({
      name: fc.oneof(made, fc.constantFrom(...MISSPELLED)),
      value: fc.constantFrom<unknown>(1, true, "yes"),
    });
    await probe.forAll(unknown, ({ name, value }) => demandRefused({ [name]: value }, "An unknown field", "TS-2.29"), {
      numRuns: 4,
      share: 0.9,
    });
    const inside = (fields: ChatRequest) => demandRefused(fields, "An unknown field inside another field", "TS-2.29");
    await probe.forAll(fc.constantFrom(...UNKNOWN_INSIDE), inside, {
      examples: UNKNOWN_INSIDE,
      numRuns: 3,
      share: 0.9,
    });
    const alone = (fields: ChatRequest) => demandRefused(fields, "A field without a field that it requires", "TS-2.1");
    await probe.forAll(fc.constantFrom(...CONFLICTS), alone, { examples: CONFLICTS, numRuns: 2, share: 0.9 });
  },
};

/** Checks effects that are visible in a short answer: the number of choices, and a tool call if one is required. */
async function checkEffects(probe: Probe): Promise<void> {
  const cheap = { ...user("Hello!"), ...(probe.features.has("max_tokens") ? { max_tokens: 2 } : {}) };
  if (probe.features.has("n")) {
    await probe.forAll(
      fc.integer({ min: 2, max: 3 }),
      async (n) => {
        const { choices, exchange } = await probe.ask({ ...cheap, n });
        if (choices.length !== n)
          throw new Violation(`n is ${n}, but the answer has ${choices.length} choices`, [exchange], "TS-2.1");
      },
      { numRuns: 1 },
    );
  }
  const tools = {
    tools: [{ type: "function", function: { name: "roll", parameters: { type: "object", properties: {} } } }],
    tool_choice: "required",
  };
  await probe.forAll(
    fc.constant(tools),
    async (fields) => {
      // A tool call needs more tokens. An answer that is cut by the limit cannot be judged.
      const exchange = await probe.send({
        ...cheap,
        ...(probe.features.has("max_tokens") ? { max_tokens: 64 } : {}),
        ...fields,
      });
      if (exchange.status !== 200 || /"tool_calls"\s*:\s*\[\s*\{|"finish_reason"\s*:\s*"length"/.test(exchange.text))
        return;
      throw new Violation(`A tool call was required; the answer is ${quoted(exchange.text)}`, [exchange], "TS-11.2");
    },
    { numRuns: 1 },
  );
}

/** Values outside the bounds that OpenAI publishes. For other parameters, outside the widest bounds of any engine. */
const OUT_OF_RANGE: Readonly<Partial<Record<Feature | "messages", readonly ChatRequest[]>>> = {
  temperature: [{ temperature: -0.1 }, { temperature: 2.5 }],
  top_p: [{ top_p: 1.5 }, { top_p: -0.5 }],
  top_k: [{ top_k: -2 }, { top_k: 1.5 }],
  min_p: [{ min_p: 1.5 }, { min_p: -0.1 }],
  frequency_penalty: [{ frequency_penalty: 2.5 }],
  presence_penalty: [{ presence_penalty: -2.5 }],
  repetition_penalty: [{ repetition_penalty: 0 }],
  logit_bias: [{ logit_bias: { "5": 101 } }],
  max_tokens: [{ max_tokens: 0 }],
  n: [{ n: 0 }],
  seed: [{ seed: 1.5 }],
  stop: [{ stop: ["a", "b", "c", "d", "e"] }],
  top_logprobs: [{ logprobs: true, top_logprobs: -1 }],
  messages: [{ messages: [] }],
};

const MISSPELLED = [
  "temprature",
  "max_token",
  "topp",
  "Temperature",
  "stop_sequence",
  "response_fromat",
  "repeat_penality",
];

/** Beginnings of names that some server might support. */
const MAYBE_KNOWN =
  /^(add|bad|ban|beam|best|cache|dry|early|echo|guided|ignore|length|log|max|min|num|penal|prompt|repeat|safe|seed|skip|space|stop|system|tfs|think|tool|top|typical|use|xtc)/;

const UNKNOWN_INSIDE: readonly ChatRequest[] = [
  { messages: [{ role: "user", content: "Hello!", color: "red" }] },
  { response_format: { type: "text", color: "red" } },
  { stream: true, stream_options: { include_color: true } },
];

const CONFLICTS: readonly ChatRequest[] = [{ stream_options: { include_usage: true } }, { top_logprobs: 2 }];
