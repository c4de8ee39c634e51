import fc, { type Arbitrary } from "fast-check";

import { answerOf, difference, quoted } from "../answers.js";
import { Violation, type Answer, type ChatRequest, type Choice, type Law, type Probe } from "../law.js";
import { apart, limit, requests, user } from "../requests.js";

/**
 * Broken if stop sequences are matched against tokens instead of text, only at the end of a token, or in the reasoning;
 * or if a stream sends text that may be the beginning of a stop sequence, or loses or repeats held-back text.
 */
export const stopSequences: Law = {
  id: "P4",
  title: "A stop sequence ends the answer where the text first completes it, and changes nothing else",
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
    const holds = await probe.forAll(
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
    if (holds && numStopped === 0)
      probe.note("No answer was long enough to be stopped: its tokens were spent on reasoning.");
    await checkOverride(probe);
  },
};

/**
 * Describes stop sequences made from an answer. `at` is a fraction of the answer's length, `length` is in characters.
 */
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
    // Mostly streamed, because held-back text is visible only in streams.
    stream: features.has("stream") ? fc.constantFrom(false, true, true, true) : fc.constant(false),
  });
}

/** Text that no answer contains. */
const NEVER = "\u2603\u2603";

/** Returns stop sequences of the given kind, or null if the answer does not allow any. */
function sequences(choice: Choice, { kind, at, length }: Cut): readonly string[] | null {
  const answer = answerOf(choice);
  const text = [...((kind === "in the reasoning" ? choice.reasoning : answer) ?? "")];
  const start = Math.floor(at * text.length);
  const piece = (from: number, to = from + length): string => text.slice(from, to).join("");
  const made: Readonly<Record<Cut["kind"], readonly string[]>> = {
    once: [piece(start)],
    // The second sequence begins within the first one and ends with it or after it.
    overlapping: [piece(start, start + length), piece(start + 1, start + 1 + length), piece(start + 1, start + length)],
    "at the end": [piece(text.length - length, text.length)],
    // Several lengths, so that the shared prefix of one of them ends at a token boundary and is held back.
    almost: [0, 1, 2, 3].map((more) => piece(start, start + length + more) + NEVER),
    "almost at the end": [piece(text.length - length, text.length) + NEVER],
    "in the reasoning": [piece(start, start + length + 2)],
  };
  const stop = [...new Set(made[kind])].filter((sequence) => sequence !== "");
  // The bytes behind a U+FFFD depend on where the text is cut.
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
  // Other laws check answers that are not reproducible.
  if (difference(base, await probe.ask(unstopped)) !== null) return;
  const exchanges = [base.exchange, stopped.exchange];
  const what = `With stop ${JSON.stringify(fields.stop)}`;
  if (got.reasoning !== was.reasoning) {
    throw new Violation(
      `${what} the reasoning must stay ${quoted(was.reasoning)}; it is ${quoted(got.reasoning)}`,
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
    throw new Violation(`${what} the answer ${whole}; it is ${quoted(got.content)}`, exchanges, clause);
  }
  throw new Violation(
    `${what} the answer ${quoted(was.content)} must have the finish_reason ${quoted(finish)}; it is ${quoted(got.finishReason)}`,
    exchanges,
    "TS-5.10",
  );
}

/**
 * Finds the first character that completes a sequence. If it completes several, the earliest start counts (TS-5.3,
 * TS-5.4).
 */
function firstMatch(text: string, stop: readonly string[]): { readonly start: number; readonly end: number } | null {
  for (let end = 1; end <= text.length; end++) {
    const starts = stop.filter((sequence) => text.endsWith(sequence, end)).map((sequence) => end - sequence.length);
    if (starts.length > 0) return { start: Math.min(...starts), end };
  }
  return null;
}

/**
 * Checks include_stop_str_in_output, which decides in every dialect whether the sequence is kept. Skipped for servers
 * that refuse the field or accept unknown fields.
 */
async function checkOverride(probe: Probe): Promise<void> {
  const unstopped: ChatRequest = { ...user("Hello!"), seed: 1, ...limit(probe, 64), ...apart(probe) };
  const isKnown = (await probe.send({ ...unstopped, include_stop_str_in_output: true })).status === 200;
  const takesAnything =
    isKnown && (await probe.send({ ...unstopped, include_stop_str_in_outputs: true })).status === 200;
  if (!isKnown || takesAnything)
    return probe.note("The endpoint does not support include_stop_str_in_output, so it was not checked.");
  const base = await probe.ask(unstopped);
  const stop = sequences(base.choices[0]!, { kind: "once", at: 0.4, length: 3 });
  if (stop === null) return;
  await probe.forAll(
    fc.constantFrom(true, false),
    (isIncluded) => demandCut(probe, unstopped, base, { stop, include_stop_str_in_output: isIncluded }, isIncluded),
    { examples: [true, false], numRuns: 2 },
  );
}
