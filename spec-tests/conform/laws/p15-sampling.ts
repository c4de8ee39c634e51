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

/** The chance of a false alarm of one test. */
const ALPHA = 1e-5;

/**
 * Broken by a seed that also makes sampling greedy, by defaults that nobody asked for, and by sampling parameters that
 * are accepted and forgotten. Where chance decides, only what has the probability of `ALPHA` counts.
 */
export const sampling: Law = {
  id: "P15",
  title: "A seed selects among answers, and sampling parameters do what they say",
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
  // Two tests of seeds and five of draws, each with less than ALPHA.
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

/** The same seed, the same answer; other seeds, choices and no seed, answers of the same variety. */
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
          `The endpoint does not take n ${NUM_UNSEEDED}, so the variety of seeded answers was not compared with that of choices.`,
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

/** Chosen so that one answer for all seeds, which no choice has, has a chance below ALPHA; and one for all choices too. */
const NUM_SEEDS = 5;
const NUM_UNSEEDED = 40;

function textOf({ reasoning, content }: Choice): string {
  return JSON.stringify([reasoning, content]);
}

/**
 * How probable it is that exactly this group has nothing but one answer, if all answers are drawn alike: of all ways to
 * deal the answers to the two groups, those that give this group only copies of that one. Exact, whatever the answers.
 */
function chanceOfOne(own: readonly string[], other: readonly string[]): number {
  if (new Set(own).size > 1) return 1;
  const numCopies = own.length + other.filter((text) => text === own[0]).length;
  return own.reduce((chance, _, i) => (chance * (numCopies - i)) / (own.length + other.length - i), 1);
}

/** Whatever leaves one token only, leaves the likeliest. */
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
      const message = `With ${JSON.stringify(way)} only the likeliest token is left, as at temperature 0: ${found}`;
      throw new Violation(message, [greedy.exchange, single.exchange], "top_k" in way ? "TS-3.11" : "TS-3.12");
    },
    { numRuns: ways.length, examples: ways.map((way) => ({ way, seed: 1 })), share: 0.3 },
  );
}

/** The first token's likeliest alternatives after a prompt. */
interface Row {
  readonly request: ChatRequest;
  readonly answer: Answer;
  readonly tokens: TokenLogprob["topLogprobs"];
}

/** Of some prompts, the one after which the likeliest token is least likely; null if that cannot be told. */
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
    // Two tokens with one label could not be told apart.
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

/** Draws of the first token follow its logprobs, at any temperature, and stay among the tokens that the parameters leave. */
async function checkDraws(probe: Probe, row: Row): Promise<void> {
  const settings = [{}, ...settingsOf(probe, row)];
  if (!probe.features.has("n"))
    return probe.note("Draws were not compared with the model's distribution: the endpoint takes no n.");
  await probe.forAll(
    fc.record({ setting: fc.constantFrom(...settings), seed: seeds }),
    async ({ setting, seed }) => {
      const exchange = await probe.send({ ...row.request, ...setting, n: NUM_DRAWS, seed });
      if (exchange.status === 200) return demandDraws(readAnswer(exchange, false), row, setting);
      probe.note(`Draws were not compared with the model's distribution: the endpoint does not take n ${NUM_DRAWS}.`);
    },
    { numRuns: settings.length, examples: settings.map((setting, i) => ({ setting, seed: i })) },
  );
}

/** In one call: enough to see what has a tenth of the probability. */
const NUM_DRAWS = 120;

interface Setting extends ChatRequest {
  readonly temperature?: number;
  readonly top_k?: number;
  readonly top_p?: number;
  readonly min_p?: number;
}

/** Each cuts the row between two tokens, far from the bound, so that no rounding decides who stays. */
function settingsOf({ features }: Probe, { tokens }: Row): Setting[] {
  const probabilities = tokens.map(({ logprob }) => Math.exp(logprob));
  const gaps = probabilities.map((probability, i) => probability - (probabilities[i + 1] ?? probability));
  // Of the second to fourth tokens the one behind which the probability falls most.
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
  // -1: not among the listed ones.
  const drawn = choices.flatMap(({ logprobs }) =>
    logprobs?.[0] === undefined ? [] : [{ place: labels.indexOf(labelOf(logprobs[0])), token: logprobs[0].token }],
  );
  const stranger = drawn.find(({ place }) => Number.isFinite(kept) && (place < 0 || place >= kept));
  if (stranger !== undefined) {
    const left = row.tokens.slice(0, kept).map(({ token }) => quoted(token));
    throw new Violation(
      `${what}, only ${left.join(", ")} can be drawn; ${quoted(stranger.token)} came`,
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
      what: "a token beside those of top_logprobs",
      count: drawn.length - listed,
      trials: drawn.length,
      ...chance,
    });
  }
  // Given that a listed token is drawn, which one does not depend on the others.
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

/** How often something was drawn, and between which bounds its probability is. */
interface Count {
  readonly what: string;
  readonly count: number;
  readonly trials: number;
  readonly least: number;
  readonly most: number;
}

/** Relative, for machines whose logprobs of one prompt are not always the same to the last digit. */
const NOISE = 0.02;

/**
 * The probability of all tokens that are not listed. What they have at temperature 1 is known together but not one by one;
 * each has at most the last listed one's, so that any other temperature bounds it from one side.
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

/** A bias moves a logit by just so much: a little less than what a token lacks leaves it behind, a little more brings it to the front. */
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
        return { entry: choices[0]!.logprobs![0]!, exchange };
      };
      const pushed = await first([tokenId], 100);
      const top = row.tokens[0]!;
      const isRaw = pushed.entry.topLogprobs.every(
        (other, i) => Math.abs(other.logprob - (row.tokens[i]?.logprob ?? 0)) < 0.01,
      );
      if (!isRaw) return probe.note("Logprobs change with logit_bias, so its size was not measured.");
      const lack = top.logprob - pushed.entry.logprob;
      if (labelOf(pushed.entry) === labelOf(top)) {
        // This one may be the likeliest by itself, or far behind; not all of so many are.
        const [up, down] = [await first(MANY_TOKENS, 100), await first(MANY_TOKENS, -100)];
        if (labelOf(up.entry) !== labelOf(top) || labelOf(down.entry) !== labelOf(top)) return;
        const message = `Neither 100 nor -100 on ${MANY_TOKENS.length} tokens changes the first token ${quoted(top.token)}`;
        throw new Violation(message, [row.answer.exchange, up.exchange, down.exchange], "TS-3.4");
      }
      for (const [bias, expected] of [
        [lack + 1, pushed.entry],
        [lack - 1, top],
      ] as const) {
        if (bias > 100 || bias < -100) continue;
        const { entry, exchange } = await first([tokenId], bias);
        if (labelOf(entry) === labelOf(expected)) continue;
        const lacks = `Token ${tokenId}, ${quoted(pushed.entry.token)}, lacks ${lack.toFixed(3)} to be the likeliest`;
        const came = `with a bias of ${bias.toFixed(3)} ${quoted(expected.token)} must come, and ${quoted(entry.token)} came`;
        throw new Violation(`${lacks}; ${came}`, [pushed.exchange, exchange], "TS-3.4");
      }
    },
    { numRuns: 1 },
  );
}

/** Ids that every vocabulary has, and has tokens of text for. */
const MANY_TOKENS: readonly number[] = Array.from({ length: 200 }, (_, i) => 40 + i);

/** At temperature 0 the token drawn is the likeliest after the penalties, which follow from the answer itself. */
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
        // Two tokens with one text cannot be told apart, so nothing behind them can be counted.
        if (new Set(entry.topLogprobs.map(labelOf)).size < entry.topLogprobs.length) return;
        const better = entry.topLogprobs.find((other) => score(other) > score(entry) + 1e-3);
        if (better !== undefined) {
          const scored = (other: typeof better) => `${quoted(other.token)}, ${score(other).toFixed(3)} after penalties`;
          const message = `With ${JSON.stringify(penalties)} at temperature 0 token ${i} must be ${scored(better)}; ${scored(entry)}, came`;
          throw new Violation(message, [answer.exchange], frequency === 0 ? "TS-3.7" : "TS-3.6");
        }
        counts.set(labelOf(entry), (counts.get(labelOf(entry)) ?? 0) + 1);
      }
    },
    { numRuns: 3 },
  );
}

/** Penalties can be followed only where logprobs are told from before them. */
async function isUnprocessed(probe: Probe): Promise<boolean> {
  const capabilities = await probe.send("", { method: "GET", path: "/capabilities" });
  return !/"logprobs"\s*:\s*"processed"/.test(capabilities.text);
}

/**
 * 0.01 multiplies a positive logit by a hundred and brings a negative one close to 0, so that no token that is new keeps up
 * with those that were there before for long. An answer of many different tokens that it does not change was drawn without it.
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
          `repetition_penalty 1 is none, and changed the answer: ${found}`,
          [plain.exchange, off.exchange],
          "TS-3.5",
        );
      const { logprobs, content } = plain.choices[0]!;
      if (new Set(logprobs?.map(labelOf) ?? content.split(/\s+/)).size < NUM_DIFFERENT) return;
      const rewarded = await probe.ask({ ...request, repetition_penalty: 0.01 });
      if (textOf(plain.choices[0]!) !== textOf(rewarded.choices[0]!)) return;
      throw new Violation(
        `repetition_penalty 0.01 leaves ${quoted(content)} as it is`,
        [plain.exchange, rewarded.exchange],
        "TS-3.5",
      );
    },
    { numRuns: 2 },
  );
}

/** Tokens of an answer, or words where tokens are not told. */
const NUM_DIFFERENT = 8;
