import fc from "fast-check";

import { quoted } from "../answers.js";
import { Violation, type ChatRequest, type Feature, type Law, type Probe } from "../law.js";
import { user } from "../requests.js";

/**
 * Broken by servers that drop what they do not know and clamp what is out of range: the client gets an answer to another
 * request than it sent, and nobody tells it.
 */
export const refusals: Law = {
  id: "P8",
  title: "What a server cannot do it refuses, and what it accepts it does",
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
      await probe.forAll(cases, (fields) => demandRefused(fields, `Out of the range of ${feature}`, "TS-2.3"), {
        examples: values,
        numRuns: values.length,
      });
    }
    const made = fc.stringMatching(/^[a-z]{3,6}_[a-z]{3,8}$/).filter((name) => !MAYBE_KNOWN.test(name));
    const unknown = fc.record({
      name: fc.oneof(made, fc.constantFrom(...MISSPELLED)),
      value: fc.constantFrom<unknown>(1, true, "yes"),
    });
    await probe.forAll(
      unknown,
      ({ name, value }) => demandRefused({ [name]: value }, "A field that nobody knows", "TS-2.29"),
      { numRuns: 4, share: 0.9 },
    );
    const inside = (fields: ChatRequest) =>
      demandRefused(fields, "A field that nobody knows, inside another", "TS-2.29");
    await probe.forAll(fc.constantFrom(...UNKNOWN_INSIDE), inside, {
      examples: UNKNOWN_INSIDE,
      numRuns: 3,
      share: 0.9,
    });
    const alone = (fields: ChatRequest) => demandRefused(fields, "A field without the one that it needs", "TS-2.1");
    await probe.forAll(fc.constantFrom(...CONFLICTS), alone, { examples: CONFLICTS, numRuns: 2, share: 0.9 });
  },
};

/** What can be seen of an answer with so few tokens: as many choices as asked for, a tool call where one is required. */
async function checkEffects(probe: Probe): Promise<void> {
  const cheap = { ...user("Hello!"), ...(probe.features.has("max_tokens") ? { max_tokens: 2 } : {}) };
  if (probe.features.has("n")) {
    await probe.forAll(
      fc.integer({ min: 2, max: 3 }),
      async (n) => {
        const { choices, exchange } = await probe.ask({ ...cheap, n });
        if (choices.length !== n)
          throw new Violation(`n is ${n}, and ${choices.length} choices came`, [exchange], "TS-2.1");
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
      // Calls need more tokens than one; a limit that cuts them leaves nothing to judge.
      const exchange = await probe.send({
        ...cheap,
        ...(probe.features.has("max_tokens") ? { max_tokens: 64 } : {}),
        ...fields,
      });
      if (exchange.status !== 200 || /"tool_calls"\s*:\s*\[\s*\{|"finish_reason"\s*:\s*"length"/.test(exchange.text))
        return;
      throw new Violation(`A tool call was required; the answer is ${quoted(exchange.text)}`, [exchange], "TS-2.28");
    },
    { numRuns: 1 },
  );
}

/** Bounds that OpenAI publishes, and for the rest the widest that any engine knows. */
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

/** Names that some server might know. */
const MAYBE_KNOWN =
  /^(add|bad|ban|beam|best|cache|dry|early|echo|guided|ignore|length|log|max|min|num|penal|prompt|repeat|safe|seed|skip|space|stop|system|tfs|think|tool|top|typical|use|xtc)/;

const UNKNOWN_INSIDE: readonly ChatRequest[] = [
  { messages: [{ role: "user", content: "Hello!", color: "red" }] },
  { response_format: { type: "text", color: "red" } },
  { stream: true, stream_options: { include_color: true } },
];

const CONFLICTS: readonly ChatRequest[] = [{ stream_options: { include_usage: true } }, { top_logprobs: 2 }];
