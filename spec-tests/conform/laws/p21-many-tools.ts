import fc, { type Arbitrary } from "fast-check";

import { quoted } from "../answers.js";
import { readAnswer } from "../client.js";
import type { Schema } from "../json-schema.js";
import { Violation, type ChatRequest, type Law, type Probe } from "../law.js";
import { apart, limit, user } from "../requests.js";
import { askIfSupported, demandWholeCalls, named, objectOf, toolOf, toolRequests, type Tool } from "../tools.js";

/**
 * Broken if the grammar of calls has limits of its own, or if the parser relies on where tokens end: on a brace, a tag
 * or a name that is a token of its own.
 */
export const manyTools: Law = {
  id: "P21",
  title: "Calls do not depend on the number of tools, the order of properties or the tokens of names and values",
  clauses: ["TS-11.5", "TS-11.1"],
  reports: ["llama.cpp#24658", "vllm#21360"],
  needs: ["tools"],
  errorRate: null,
  async check(probe) {
    await checkNumbers(probe);
    let numWhole = 0;
    await probe.forAll(
      toolRequests(probe, { tools: oddTools, toolChoices: ["required"], n: 4 }),
      async (request) => {
        const answer = await askIfSupported(probe, request, "some tools, or the tool_choice required");
        if (answer === null) return;
        demandWholeCalls(probe, answer, request.tools);
        numWhole += answer.choices.filter((choice) => choice.toolCalls.length > 0).length;
      },
      { numRuns: 10 },
    );
    if (numWhole === 0) probe.note("No answer had a call, so none was checked.");
  },
};

const NUMBERS: readonly number[] = [64, 22, 8, 1];

/** Checks calls of any of many tools, and of the last of them. */
async function checkNumbers(probe: Probe): Promise<void> {
  await probe.forAll(
    fc.constantFrom(...NUMBERS),
    async (numTools) => {
      const tools = Array.from({ length: numTools }, (_, index) =>
        toolOf(`t${index}`, objectOf({ x: VALUES[index % VALUES.length]! })),
      );
      const last = `t${numTools - 1}`;
      for (const tool_choice of ["auto", named(last)]) {
        const request = { ...user("Hello!"), tools, tool_choice, ...limit(probe, 100), ...apart(probe) };
        const exchange = await probe.send(request);
        if (exchange.status >= 400 && exchange.status < 500) {
          if (await couldAnswer(probe, request, tools))
            throw new Violation(
              `A request with ${numTools} tools must be accepted, as one with a single tool is, and one with twice as much text; the answer is ${quoted(exchange.text)}`,
              [exchange],
              "TS-11.1",
            );
          probe.note(`The endpoint refuses a prompt with ${numTools} tools, which was not checked.`);
          return;
        }
        const answer = readAnswer(exchange, false);
        demandWholeCalls(probe, answer, tools);
        const other = answer.choices[0]!.toolCalls.find((call) => tool_choice !== "auto" && call.name !== last);
        if (other !== undefined)
          throw new Violation(`Only ${last} may be called; ${other.name} is`, [exchange], "TS-11.2");
      }
    },
    { examples: NUMBERS, numRuns: NUMBERS.length, share: 0.6 },
  );
}

/**
 * True if the endpoint accepts a request with the last tool only, and a prompt with twice the text of all tools: what a
 * chat template writes around tools counts too.
 */
async function couldAnswer(probe: Probe, request: ChatRequest, tools: readonly Tool[]): Promise<boolean> {
  const alone = { ...request, tools: tools.slice(-1) };
  const written = { ...user(JSON.stringify([tools, tools])), ...limit(probe, 100) };
  return (await probe.send(alone)).status === 200 && (await probe.send(written)).status === 200;
}

/** Values of all types, among them texts that look like the end of a call or of its arguments. */
const VALUES: readonly Schema[] = [
  { type: "integer", minimum: -5, maximum: 120 },
  { enum: ['"}}', "</tool_call>", '[{"', '": {"', "\n\n", "\\", "é😊"] },
  { type: "boolean" },
  { type: "string", maxLength: 5 },
  { type: "array", items: { type: "number", minimum: 0, maximum: 1 }, maxItems: 2 },
  objectOf({ "}": { enum: [{ a: [] }, "}", null] } }),
  { type: ["null", "boolean"] },
];

/** Names that begin with one another, and properties in any order. */
const oddTools: Arbitrary<readonly Tool[]> = fc
  .tuple(
    fc.shuffledSubarray(["get", "get_weather", "get-weather-2", "g"], { minLength: 1, maxLength: 3 }),
    fc.shuffledSubarray([...VALUES.keys()], { minLength: 2, maxLength: 4 }),
    fc.shuffledSubarray(['a"b', "{", "naïve", "get", "arguments"], { minLength: 4 }),
  )
  .map(([names, values, properties]) =>
    names.map((name) => {
      const entries = values.map((value, index) => [properties[index]!, VALUES[value]!] as const);
      return toolOf(name, objectOf(Object.fromEntries(entries)));
    }),
  );
