import fc from "fast-check";

import { choiceDifference, labelOf, quoted } from "../answers.js";
import { readAnswer } from "../client.js";
import {
  Violation,
  type Answer,
  type ChatRequest,
  type Choice,
  type Law,
  type Probe,
  type TokenLogprob,
} from "../law.js";
import { limit, seeds, user } from "../requests.js";
import { binomialTail } from "../statistics.js";

/** Probability of a false alarm of one test. */
const ALPHA = 1e-5;

/**
 * Broken if a seed also makes sampling greedy, if the server applies undocumented defaults, or if sampling parameters
 * are accepted without effect. A random deviation counts only if its probability is below `ALPHA`.
 */
export const sampling: Law = {
  id: "P15",
  title: "A seed selects one of many answers, and sampling parameters take effect",
  clauses: [
    "TS-10.11",
    "TS-2.11",
    "TS-2.16",
    "TS-3.4",
    "TS-3.5",
    "TS-3.6",
    "TS-3.7",
    "TS-3.9",
    "TS-3.10",
    "TS-3.11",
    "TS-3.12",
    "TS-3.13",
  ],
  reports: [
    "ollama#5044",
    "sglang#15746",
    "vllm#10852",
    "tgi#687",
    "vllm#17075",
    "mlx-vlm#1353",
    "llama.cpp#7109",
    "ollama#3795",
  ],
  needs: ["seed"],
  // Two tests of seeds and five tests of draws, each with an error rate below ALPHA.
  errorRate: 7 * ALPHA,
  async check(probe) {
    await checkSeeds(probe);
    await checkGreedy(probe);
    const row = await flattest(probe);
    if (row !== null) {
      await checkDraws(probe, row);
      await checkBias(probe, row);
    }
    await checkPenalties(probe);
    await checkRepetition(probe);
  },
};

const STORY = user("Tell me a story");
const prompts = fc.constantFrom("Tell me a story", "What is 25 + 38?", "Name three colors.");

/** Checks that the same seed gives the same answer, and that seeds give as varied answers as choices without a seed. */
async function checkSeeds(probe: Probe): Promise<void> {
  const request = { ...STORY, ...limit(probe, 16), ...(probe.features.has("temperature") ? { temperature: 1.5 } : {}) };
  await probe.forAll(
    fc.record({ firstSeed: fc.nat(2 ** 20) }),
    async ({ firstSeed }) => {
      const seeded: Answer[] = [];
      for (let i = 0; i < NUM_SEEDS; i++) seeded.push(await probe.ask({ ...request, seed: firstSeed + i }));
      const again = await probe.ask({ ...request, seed: firstSeed });
      const found = choiceDifference(seeded[0]!.choices[0]!, again.choices[0]!);
      if (found !== null)
        throw new Violation(
          `The same seed gave two answers: ${found}`,
          [seeded[0]!.exchange, again.exchange],
          "TS-2.11",
        );
      if (!probe.features.has("n") || !(await isTaken(probe, { n: NUM_UNSEEDED }))) {
        return probe.note(
          `The endpoint does not accept n ${NUM_UNSEEDED}, so the variety of seeded answers was not compared with that of choices.`,
        );
      }
      const unseeded = await probe.ask({ ...request, n: NUM_UNSEEDED });
      const [bySeed, byChoice] = [seeded.map(({ choices }) => textOf(choices[0]!)), unseeded.choices.map(textOf)];
      const exchanges = [seeded[0]!.exchange, seeded[1]!.exchange, unseeded.exchange];
      if (chanceOfOne(bySeed, byChoice) < ALPHA) {
        const varied = `${NUM_UNSEEDED} choices without a seed gave ${new Set(byChoice).size} different answers`;
        throw new Violation(`${NUM_SEEDS} seeds all gave ${quoted(bySeed[0]!)}; ${varied}`, exchanges);
      }
      if (chanceOfOne(byChoice, bySeed) < ALPHA) {
        throw new Violation(
          `${NUM_UNSEEDED} choices all are ${quoted(byChoice[0]!)}; ${NUM_SEEDS} seeds gave ${new Set(bySeed).size} different answers`,
          exchanges,
        );
      }
    },
    { numRuns: 1 },
  );
}

/**
 * Chosen so that it has a probability below ALPHA that all seeds, or all choices, share one answer that the others
 * lack.
 */
const NUM_SEEDS = 5;
const NUM_UNSEEDED = 40;

function textOf({ reasoning, content }: Choice): string {
  return JSON.stringify([reasoning, content]);
}

/**
 * Probability that a group has only copies of one answer if both groups draw from the same distribution: the fraction
 * of all assignments of the answers to the two groups that give the group only copies of that answer. Exact for any
 * answers. Returns 1 if the group has different answers.
 */
function chanceOfOne(own: readonly string[], other: readonly string[]): number {
  if (new Set(own).size > 1) return 1;
  const numCopies = own.length + other.filter((text) => text === own[0]).length;
  return own.reduce((chance, _, i) => (chance * (numCopies - i)) / (own.length + other.length - i), 1);
}

/** Checks that parameters that keep only one token keep the most likely token. */
async function checkGreedy(probe: Probe): Promise<void> {
  const { features } = probe;
  const ways: readonly ChatRequest[] = [
    ...(features.has("top_k") ? [{ top_k: 1 }] : []),
    ...(features.has("top_p") ? [{ top_p: 1e-6 }] : []),
  ];
  if (!features.has("temperature") || ways.length === 0) return;
  const request = { ...STORY, ...limit(probe, 12) };
  const greedy = await probe.ask({ ...request, temperature: 0 });
  await probe.forAll(
    fc.record({ way: fc.constantFrom(...ways), seed: seeds }),
    async ({ way, seed }) => {
      const single = await probe.ask({ ...request, ...way, seed });
      const found = choiceDifference(greedy.choices[0]!, single.choices[0]!);
      if (found === null) return;
      const message = `With ${JSON.stringify(way)} only the most likely token is left, as at temperature 0: ${found}`;
      throw new Violation(message, [greedy.exchange, single.exchange], "top_k" in way ? "TS-3.11" : "TS-3.12");
    },
    { numRuns: ways.length, examples: ways.map((way) => ({ way, seed: 1 })), share: 0.3 },
  );
}

/** The most likely first tokens after a prompt. */
interface Row {
  readonly request: ChatRequest;
  readonly answer: Answer;
  readonly tokens: TokenLogprob["topLogprobs"];
}

/** Returns the row of the prompt with the least likely top token, or null if the endpoint's features do not suffice. */
async function flattest(probe: Probe): Promise<Row | null> {
  const { features } = probe;
  if (!features.has("logprobs") || !features.has("top_logprobs") || !features.has("max_tokens")) {
    probe.note(
      "Draws were not compared with the model's distribution: the endpoint lacks logprobs, top_logprobs or max_tokens.",
    );
    return null;
  }
  const rows: Row[] = [];
  for (const prompt of ["Tell me something.", "Write a poem about rain"]) {
    const long = { ...user(prompt), max_tokens: 1, logprobs: true, top_logprobs: 20 };
    const asked = await probe.send(long);
    const request = asked.status === 200 ? long : { ...long, top_logprobs: 5 };
    const answer = asked.status === 200 ? readAnswer(asked, false) : await probe.ask(request);
    const tokens = answer.choices[0]?.logprobs?.[0]?.topLogprobs ?? [];
    // Two tokens with the same label could not be distinguished.
    if (tokens.length > 4 && new Set(tokens.map(labelOf)).size === tokens.length)
      rows.push({ request, answer, tokens });
  }
  const [best] = rows.sort((a, b) => a.tokens[0]!.logprob - b.tokens[0]!.logprob);
  if (best !== undefined) return best;
  probe.note("Draws were not compared with the model's distribution: no list of top_logprobs had more than 4 tokens.");
  return null;
}

async function isTaken(probe: Probe, fields: ChatRequest): Promise<boolean> {
  return (await probe.send({ ...STORY, ...limit(probe, 1), ...fields })).status === 200;
}

/**
 * Checks that draws of the first token follow its logprobs at any temperature and stay among the tokens that are kept.
 */
async function checkDraws(probe: Probe, row: Row): Promise<void> {
  const settings = [{}, ...settingsOf(probe, row)];
  if (!probe.features.has("n"))
    return probe.note("Draws were not compared with the model's distribution: the endpoint does not support n.");
  await probe.forAll(
    fc.record({ setting: fc.constantFrom(...settings), seed: seeds }),
    async ({ setting, seed }) => {
      const exchange = await probe.send({ ...row.request, ...setting, n: NUM_DRAWS, seed });
      if (exchange.status === 200) return demandDraws(readAnswer(exchange, false), row, setting);
      probe.note(`Draws were not compared with the model's distribution: the endpoint does not accept n ${NUM_DRAWS}.`);
    },
    { numRuns: settings.length, examples: settings.map((setting, i) => ({ setting, seed: i })) },
  );
}

/** Draws in one call. Enough to detect deviations of tokens with a probability of a tenth. */
const NUM_DRAWS = 120;

interface Setting extends ChatRequest {
  readonly temperature?: number;
  readonly top_k?: number;
  readonly top_p?: number;
  readonly min_p?: number;
}

/** Each setting cuts the row between two tokens, far from both, so that rounding cannot change the result. */
function settingsOf({ features }: Probe, { tokens }: Row): Setting[] {
  const probabilities = tokens.map(({ logprob }) => Math.exp(logprob));
  const gaps = probabilities.map((probability, i) => probability - (probabilities[i + 1] ?? probability));
  // The number of kept tokens, 2 to 4, after which the probability falls most.
  const kept = [2, 3, 4]
    .filter((count) => count < tokens.length)
    .reduce((best, count) => (gaps[count - 1]! > gaps[best - 1]! ? count : best), 2);
  if (gaps[kept - 1]! < 1e-3) return [];
  const sum = probabilities.slice(0, kept).reduce((total, probability) => total + probability, 0);
  return [
    ...(features.has("temperature") ? [{ temperature: 2 }] : []),
    ...(features.has("top_k") ? [{ top_k: kept }] : []),
    ...(features.has("top_p") ? [{ top_p: sum - probabilities[kept - 1]! / 2 }] : []),
    ...(features.has("min_p")
      ? [{ min_p: (probabilities[kept - 1]! + probabilities[kept]!) / 2 / probabilities[0]! }]
      : []),
  ];
}

function numKept({ tokens }: Row, { top_k: topK, top_p: topP, min_p: minP }: Setting): number {
  const probabilities = tokens.map(({ logprob }) => Math.exp(logprob));
  if (topK !== undefined) return topK;
  if (minP !== undefined) return probabilities.filter((probability) => probability >= minP * probabilities[0]!).length;
  if (topP === undefined) return Infinity;
  let sum = 0;
  return probabilities.findIndex((probability) => (sum += probability) >= topP) + 1;
}

function demandDraws({ choices, exchange }: Answer, row: Row, setting: Setting): void {
  const exchanges = [row.answer.exchange, exchange];
  const what = Object.keys(setting).length === 0 ? "Without parameters" : `With ${JSON.stringify(setting)}`;
  const clause =
    "top_k" in setting
      ? "TS-3.11"
      : "top_p" in setting
        ? "TS-3.12"
        : "min_p" in setting
          ? "TS-3.13"
          : "temperature" in setting
            ? "TS-3.9"
            : "TS-10.11";
  const kept = numKept(row, setting);
  const labels = row.tokens.map(labelOf);
  // A place of -1: the token is not listed.
  const drawn = choices.flatMap(({ logprobs }) =>
    logprobs?.[0] === undefined ? [] : [{ place: labels.indexOf(labelOf(logprobs[0])), token: logprobs[0].token }],
  );
  const stranger = drawn.find(({ place }) => Number.isFinite(kept) && (place < 0 || place >= kept));
  if (stranger !== undefined) {
    const left = row.tokens.slice(0, kept).map(({ token }) => quoted(token));
    throw new Violation(
      `${what}, only ${left.join(", ")} can be drawn; ${quoted(stranger.token)} was drawn`,
      exchanges,
      clause,
    );
  }

  const weights = row.tokens
    .slice(0, kept === Infinity ? undefined : kept)
    .map(({ logprob }) => Math.exp(logprob / (setting.temperature ?? 1)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const tests: Count[] = [];
  const listed = drawn.filter(({ place }) => place >= 0).length;
  if (kept === Infinity) {
    const chance = chanceOfOthers(row, setting.temperature ?? 1, total);
    tests.push({
      what: "a token outside top_logprobs",
      count: drawn.length - listed,
      trials: drawn.length,
      ...chance,
    });
  }
  // Given that a listed token is drawn, its distribution does not depend on unlisted tokens.
  for (const [place, weight] of weights.entries()) {
    const count = drawn.filter((each) => each.place === place).length;
    tests.push({
      what: quoted(row.tokens[place]!.token),
      count,
      trials: listed,
      least: weight / total,
      most: weight / total,
    });
  }
  for (const { what: token, count, trials, least, most } of tests) {
    const tooMany = binomialTail(count, trials, Math.min(1, most * (1 + NOISE)));
    const tooFew = binomialTail(trials - count, trials, Math.min(1, 1 - least * (1 - NOISE)));
    if (Math.min(tooMany, tooFew) * 2 * tests.length >= ALPHA) continue;
    const probability = least === most ? least.toFixed(3) : `${least.toFixed(3)} to ${most.toFixed(3)}`;
    throw new Violation(
      `${what}, ${token} has the probability ${probability}; it was drawn ${count} times out of ${trials}`,
      exchanges,
      clause,
    );
  }
}

/** Number of draws of a token or group of tokens, and bounds of its probability. */
interface Count {
  readonly what: string;
  readonly count: number;
  readonly trials: number;
  readonly least: number;
  readonly most: number;
}

/** Relative tolerance for servers whose logprobs of the same prompt vary slightly. */
const NOISE = 0.02;

/**
 * Bounds of the probability that an unlisted token is drawn. At temperature 1 the total probability of unlisted tokens
 * is known, but not the individual ones. Each has at most the probability of the last listed token, which gives a
 * one-sided bound at other temperatures.
 */
function chanceOfOthers(
  { tokens }: Row,
  temperature: number,
  total: number,
): { readonly least: number; readonly most: number } {
  const probabilities = tokens.map(({ logprob }) => Math.exp(logprob));
  const rest = Math.max(0, 1 - probabilities.reduce((sum, probability) => sum + probability, 0));
  const bound = rest * probabilities.at(-1)! ** (1 / temperature - 1);
  const chance = bound / (bound + total);
  if (temperature === 1) return { least: chance, most: chance };
  return temperature > 1 ? { least: chance, most: 1 } : { least: 0, most: chance };
}

/**
 * Checks that a bias is added to the logit: slightly less than a token lacks to be the most likely one has no effect,
 * slightly more makes it the most likely one.
 */
async function checkBias(probe: Probe, row: Row): Promise<void> {
  if (!probe.features.has("logit_bias") || !probe.features.has("temperature")) return;
  const greedy = { ...row.request, temperature: 0 };
  await probe.forAll(
    fc.record({ tokenId: fc.constantFrom(...MANY_TOKENS) }),
    async ({ tokenId }) => {
      const first = async (tokenIds: readonly number[], bias: number) => {
        const { choices, exchange } = await probe.ask({
          ...greedy,
          logit_bias: Object.fromEntries(tokenIds.map((id) => [id, bias])),
        });
        // A token that is no text, or ends the answer, may have no entry.
        const entry = choices[0]?.logprobs?.[0];
        return entry === undefined ? null : { entry, exchange };
      };
      const pushed = await first([tokenId], 100);
      if (pushed === null)
        return probe.note("An answer with logit_bias has no logprobs, so its size was not measured.");
      const top = row.tokens[0]!;
      const isRaw = pushed.entry.topLogprobs.every(
        (other, i) => Math.abs(other.logprob - (row.tokens[i]?.logprob ?? 0)) < 0.01,
      );
      if (!isRaw) return probe.note("Logprobs change with logit_bias, so its size was not measured.");
      const lack = top.logprob - pushed.entry.logprob;
      if (labelOf(pushed.entry) === labelOf(top)) {
        // This token may be the most likely one anyway, or far from it. That cannot be true of so many tokens.
        const [up, down] = [await first(MANY_TOKENS, 100), await first(MANY_TOKENS, -100)];
        if (up === null || down === null) return;
        if (labelOf(up.entry) !== labelOf(top) || labelOf(down.entry) !== labelOf(top)) return;
        const message = `Neither 100 nor -100 on ${MANY_TOKENS.length} tokens changes the first token ${quoted(top.token)}`;
        throw new Violation(message, [row.answer.exchange, up.exchange, down.exchange], "TS-3.4");
      }
      for (const [bias, expected] of [
        [lack + 1, pushed.entry],
        [lack - 1, top],
      ] as const) {
        if (bias > 100 || bias < -100) continue;
        const drawn = await first([tokenId], bias);
        if (drawn === null || labelOf(drawn.entry) === labelOf(expected)) continue;
        const { entry, exchange } = drawn;
        const lacks = `Token ${tokenId}, ${quoted(pushed.entry.token)}, lacks ${lack.toFixed(3)} to be the most likely token`;
        const came = `with a bias of ${bias.toFixed(3)} ${quoted(expected.token)} must be drawn, but ${quoted(entry.token)} was`;
        throw new Violation(`${lacks}; ${came}`, [pushed.exchange, exchange], "TS-3.4");
      }
    },
    { numRuns: 1 },
  );
}

/** Ids that are text tokens in every vocabulary. */
const MANY_TOKENS: readonly number[] = Array.from({ length: 200 }, (_, i) => 40 + i);

/**
 * Checks that at temperature 0 each token is the most likely one after penalties, which are computed from the answer.
 */
async function checkPenalties(probe: Probe): Promise<void> {
  const { features } = probe;
  const names = (["frequency_penalty", "presence_penalty"] as const).filter((name) => features.has(name));
  if (
    names.length === 0 ||
    !features.has("top_logprobs") ||
    !features.has("temperature") ||
    !(await isUnprocessed(probe))
  )
    return;
  const penalties = fc.record(Object.fromEntries(names.map((name) => [name, fc.constantFrom(2, 1, -2, -1.5)])), {
    requiredKeys: [],
  });
  await probe.forAll(
    fc.record({ prompt: prompts, penalties }),
    async ({ prompt, penalties }) => {
      const answer = await probe.ask({
        ...user(prompt),
        ...limit(probe, 40),
        temperature: 0,
        logprobs: true,
        top_logprobs: 5,
        ...penalties,
      });
      const { frequency_penalty: frequency = 0, presence_penalty: presence = 0 } = penalties;
      const counts = new Map<string, number>();
      for (const [i, entry] of (answer.choices[0]!.logprobs ?? []).entries()) {
        const score = (other: Pick<TokenLogprob, "token" | "bytes" | "logprob">): number => {
          const count = counts.get(labelOf(other)) ?? 0;
          return other.logprob - frequency * count - (count > 0 ? presence : 0);
        };
        // Two tokens with the same text cannot be distinguished, so later counts are unknown.
        if (new Set(entry.topLogprobs.map(labelOf)).size < entry.topLogprobs.length) return;
        const better = entry.topLogprobs.find((other) => score(other) > score(entry) + 1e-3);
        if (better !== undefined) {
          const scored = (other: typeof better) => `${quoted(other.token)}, ${score(other).toFixed(3)} after penalties`;
          const message = `With ${JSON.stringify(penalties)} at temperature 0 token ${i} must be ${scored(better)}; it is ${scored(entry)}`;
          throw new Violation(message, [answer.exchange], frequency === 0 ? "TS-3.7" : "TS-3.6");
        }
        counts.set(labelOf(entry), (counts.get(labelOf(entry)) ?? 0) + 1);
      }
    },
    { numRuns: 3 },
  );
}

/** Checks that logprobs are computed before penalties; otherwise penalties cannot be verified. */
async function isUnprocessed(probe: Probe): Promise<boolean> {
  const capabilities = await probe.send("", { method: "GET", path: "/capabilities" });
  return !/"logprobs"\s*:\s*"processed"/.test(capabilities.text);
}

/**
 * Checks repetition_penalty. 0.01 multiplies a positive logit by 100 and moves a negative one close to 0, so earlier
 * tokens soon outweigh all new ones. If an answer of many different tokens does not change, the penalty was not
 * applied.
 */
async function checkRepetition(probe: Probe): Promise<void> {
  const { features } = probe;
  if (!features.has("repetition_penalty")) return;
  await probe.forAll(
    fc.record({ prompt: prompts, seed: seeds }),
    async ({ prompt, seed }) => {
      const request = {
        ...user(prompt),
        ...limit(probe, 40),
        seed,
        ...(features.has("logprobs") ? { logprobs: true } : {}),
      };
      const plain = await probe.ask(request);
      const off = await probe.ask({ ...request, repetition_penalty: 1 });
      const found = choiceDifference(plain.choices[0]!, off.choices[0]!);
      if (found !== null)
        throw new Violation(
          `repetition_penalty 1 must have no effect, but changed the answer: ${found}`,
          [plain.exchange, off.exchange],
          "TS-3.5",
        );
      const { logprobs, content } = plain.choices[0]!;
      if (new Set(logprobs?.map(labelOf) ?? content.split(/\s+/)).size < NUM_DIFFERENT) return;
      const rewarded = await probe.ask({ ...request, repetition_penalty: 0.01 });
      if (textOf(plain.choices[0]!) !== textOf(rewarded.choices[0]!)) return;
      throw new Violation(
        `repetition_penalty 0.01 does not change ${quoted(content)}`,
        [plain.exchange, rewarded.exchange],
        "TS-3.5",
      );
    },
    { numRuns: 2 },
  );
}

/** Minimum number of different tokens of an answer, or of words if the endpoint does not support logprobs. */
const NUM_DIFFERENT = 8;
