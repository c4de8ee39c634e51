import fc, { type Arbitrary } from "fast-check";

import { answerOf, difference, quoted } from "../answers.js";
import { Violation, type Answer, type ChatRequest, type Choice, type Law, type Probe } from "../law.js";
import { apart, limit, requests, user } from "../requests.js";

/**
 * Broken by stop sequences that are looked for in tokens instead of text, at the end of a token only, or in the reasoning;
 * by streams that send what may yet become one, or lose or repeat what turned out not to be.
 */
export const stopSequences: Law = {
  id: "P4",
  title: "A stop sequence cuts the answer where the text first completes it, and nothing else",
  clauses: ["TS-5.3", "TS-1.2", "TS-2.15", "TS-2.25", "TS-5.5", "TS-5.6", "TS-5.7", "TS-5.8", "TS-5.10"],
  reports: ["mlx-knife#68", "fastchat#3883", "llama.cpp#15007", "llama.cpp#11538", "vllm#52393", "omlx#1054"],
  needs: ["stop", "seed"],
  errorRate: null,
  async check(probe) {
    const inAnswer = cuts(probe, ["once", "overlapping", "at the end", "almost", "almost at the end"]);
    const cases = fc.record({
      request: requests(probe, { maxTokens: { min: 24, max: 64 } }),
      cuts: fc.tuple(inAnswer, inAnswer, cuts(probe, ["in the reasoning"])),
    });
    let numStopped = 0;
    await probe.forAll(
      cases,
      async ({ request, cuts }) => {
        const unstopped = { ...request, ...apart(probe) };
        const base = await probe.ask(unstopped);
        for (const { stream, ...cut } of cuts) {
          const stop = sequences(base.choices[0]!, cut);
          if (stop === null) continue;
          const isIncluded = probe.dialect === "ppio";
          await demandCut(probe, unstopped, base, { stop, ...(stream ? { stream } : {}) }, isIncluded);
          numStopped++;
        }
      },
      { numRuns: 8, share: 0.65 },
    );
    if (numStopped === 0) probe.note("No answer was long enough to be stopped: its tokens were spent on reasoning.");
    await checkOverride(probe);
  },
};

/** How to make stop sequences from an answer: which part of it, as fractions of its length. */
interface Cut {
  readonly kind: "once" | "overlapping" | "at the end" | "almost" | "almost at the end" | "in the reasoning";
  readonly at: number;
  readonly length: number;
}

function cuts({ features }: Probe, kinds: readonly Cut["kind"][]): Arbitrary<Cut & { readonly stream: boolean }> {
  return fc.record({
    kind: fc.constantFrom(...kinds),
    at: fc.integer({ min: 0, max: 99 }).map((percent) => percent / 100),
    length: fc.integer({ min: 1, max: 8 }),
    // Mostly streamed: what is held back, and let go, shows there only.
    stream: features.has("stream") ? fc.constantFrom(false, true, true, true) : fc.constant(false),
  });
}

/** Is in no answer. */
const NEVER = "\u2603\u2603";

/** null where this answer allows none of the kind. */
function sequences(choice: Choice, { kind, at, length }: Cut): readonly string[] | null {
  const answer = answerOf(choice);
  const text = [...((kind === "in the reasoning" ? choice.reasoning : answer) ?? "")];
  const start = Math.floor(at * text.length);
  const piece = (from: number, to = from + length): string => text.slice(from, to).join("");
  const made: Readonly<Record<Cut["kind"], readonly string[]>> = {
    once: [piece(start)],
    // The second begins within the first and may end behind it, or with it.
    overlapping: [piece(start, start + length), piece(start + 1, start + 1 + length), piece(start + 1, start + length)],
    "at the end": [piece(text.length - length, text.length)],
    // Text is held back where one of them ends with a token.
    almost: [0, 1, 2, 3].map((more) => piece(start, start + length + more) + NEVER),
    "almost at the end": [piece(text.length - length, text.length) + NEVER],
    "in the reasoning": [piece(start, start + length + 2)],
  };
  const stop = [...new Set(made[kind])].filter((sequence) => sequence !== "");
  // What bytes a U+FFFD stands for depends on where the text is cut.
  if (answer === null || text.length === 0 || stop.length === 0 || stop.some((sequence) => sequence.includes("\uFFFD")))
    return null;
  return kind === "in the reasoning" && (stop.some((sequence) => answer.includes(sequence)) || answer === "")
    ? null
    : stop;
}

type Stopping = ChatRequest & { readonly stop: readonly string[] };

async function demandCut(
  probe: Probe,
  unstopped: ChatRequest,
  base: Answer,
  fields: Stopping,
  isIncluded: boolean,
): Promise<void> {
  const stopped = await probe.ask({ ...unstopped, ...fields });
  const [was, got] = [base.choices[0]!, stopped.choices[0]!];
  const match = firstMatch(was.content, fields.stop);
  const expected = match === null ? was.content : was.content.slice(0, isIncluded ? match.end : match.start);
  const finish = match === null ? was.finishReason : "stop";
  if (got.content === expected && got.finishReason === finish && got.reasoning === was.reasoning) return;
  // Answers that differ by themselves are for other laws.
  if (difference(base, await probe.ask(unstopped)) !== null) return;
  const exchanges = [base.exchange, stopped.exchange];
  const what = `With stop ${JSON.stringify(fields.stop)}`;
  if (got.reasoning !== was.reasoning) {
    throw new Violation(
      `${what} the reasoning must stay ${quoted(was.reasoning)}; ${quoted(got.reasoning)} came`,
      exchanges,
      "TS-5.8",
    );
  }
  if (got.content !== expected) {
    const clause =
      match === null
        ? "TS-5.7"
        : got.content === was.content.slice(0, isIncluded ? match.start : match.end)
          ? "TS-1.2"
          : null;
    const whole =
      match === null ? `must stay ${quoted(expected)}` : `${quoted(was.content)} must end as ${quoted(expected)}`;
    throw new Violation(`${what} the answer ${whole}; ${quoted(got.content)} came`, exchanges, clause);
  }
  throw new Violation(
    `${what} the answer ${quoted(was.content)} must have the finish_reason ${quoted(finish)}; ${quoted(got.finishReason)} came`,
    exchanges,
    "TS-5.10",
  );
}

/** The first character that completes a sequence, and of those it completes the one that begins first (TS-5.3, TS-5.4). */
function firstMatch(text: string, stop: readonly string[]): { readonly start: number; readonly end: number } | null {
  for (let end = 1; end <= text.length; end++) {
    const starts = stop.filter((sequence) => text.endsWith(sequence, end)).map((sequence) => end - sequence.length);
    if (starts.length > 0) return { start: Math.min(...starts), end };
  }
  return null;
}

/** include_stop_str_in_output says for itself whether the sequence stays; who refuses it, or takes any field, says nothing. */
async function checkOverride(probe: Probe): Promise<void> {
  const unstopped: ChatRequest = { ...user("Hello!"), seed: 1, ...limit(probe, 64), ...apart(probe) };
  const isKnown = (await probe.send({ ...unstopped, include_stop_str_in_output: true })).status === 200;
  const takesAnything =
    isKnown && (await probe.send({ ...unstopped, include_stop_str_in_outputs: true })).status === 200;
  if (!isKnown || takesAnything)
    return probe.note("include_stop_str_in_output is not known to the endpoint, and was left out.");
  const base = await probe.ask(unstopped);
  const stop = sequences(base.choices[0]!, { kind: "once", at: 0.4, length: 3 });
  if (stop === null) return;
  await probe.forAll(
    fc.constantFrom(true, false),
    (isIncluded) => demandCut(probe, unstopped, base, { stop, include_stop_str_in_output: isIncluded }, isIncluded),
    { examples: [true, false], numRuns: 2 },
  );
}
