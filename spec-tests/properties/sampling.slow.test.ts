/**
 * Properties of sampling (section 3 of SPEC.md) and of log-probabilities, on the sampler and its kernels. Most of them
 * check the tokens that are left after step 7: in the mode `processed`, the log-probabilities of a short row list
 * exactly those.
 */

import fc from "fast-check";
import { describe, expect } from "vitest";

import { type GenerationOptions, generationConfig } from "../../engine/sampling/generation-config.js";
import { uniform } from "../../engine/sampling/philox.js";
import { Sampler } from "../../engine/sampling/sampler.js";
import { InvalidLogitsError, Kernels, type LogprobsMode, type SampledToken } from "../../kernels/index.js";
import { law } from "./law.js";

/** Length of rows whose tokens can all be listed. */
const SHORT = 20;
const LONG = 1000;

const kernels = await Kernels.load();
const address = kernels.allocate(2 * LONG * 4);

interface Context {
  readonly prompt?: readonly number[];
  readonly output?: readonly number[];
  readonly choice?: number;
  readonly allowed?: readonly number[] | null;
  readonly mode?: LogprobsMode;
  /** Number of tokens of the tokenizer, if the row is longer. */
  readonly vocabSize?: number;
}

/** Draws the token that follows `output`. */
function draw(row: readonly number[], options: GenerationOptions, context: Context = {}): SampledToken {
  const { prompt = [], output = [], choice = 0, allowed = null, mode = "raw", vocabSize = row.length } = context;
  kernels.f32(address, row.length).set(row);
  const sampler = Sampler.ofRequest(kernels, vocabSize, generationConfig(options), prompt, mode)(choice);
  for (const tokenId of output) sampler.accept(tokenId);
  return sampler.sample(address, allowed === null ? null : bitsOf(allowed, vocabSize));
}

function bitsOf(tokenIds: readonly number[], vocabSize: number): Uint32Array {
  const bits = new Uint32Array(Math.ceil(vocabSize / 32));
  for (const tokenId of tokenIds) bits[tokenId >> 5]! |= 1 << (tokenId & 31);
  return bits;
}

/** Returns the tokens of a short row that are left after step 7, most likely first. */
function kept(row: readonly number[], options: GenerationOptions, context: Context = {}): SampledToken["topLogprobs"] {
  return draw(row, { ...options, logprobs: true, topLogprobs: SHORT }, { ...context, mode: "processed" }).topLogprobs;
}

/** Makes tokens comparable: another order of additions may change the last bits of a log-probability (TS-3.9). */
const alike = (tokens: SampledToken["topLogprobs"]): unknown[] =>
  tokens.map(({ tokenId, logprob }) => ({ tokenId, logprob: expect.closeTo(logprob, 5) as number }));

const idsOf = (tokens: SampledToken["topLogprobs"]): number[] => tokens.map(({ tokenId }) => tokenId);

/** Returns the row with all other tokens removed. */
const only = (row: readonly number[], tokenIds: readonly number[]): number[] =>
  row.map((z, id) => (tokenIds.includes(id) ? z : -Infinity));

/** Returns token ids in descending order, the lower id first on a tie. Tokens of weight 0 are left out. */
function descending(row: readonly number[]): number[] {
  return [...row.keys()].filter((id) => row[id]! > -Infinity).sort((a, b) => row[b]! - row[a]! || a - b);
}

const weightOf = (row: readonly number[], temperature: number, id: number): number =>
  Math.exp((row[id]! - Math.max(...row)) / temperature);
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const logprobOf = (tokens: SampledToken["topLogprobs"], tokenId: number): number =>
  tokens.find((token) => token.tokenId === tokenId)?.logprob ?? -Infinity;

/** Logits of ordinary size, some of them equal, and of every magnitude; most of the latter are nearly 0. */
const logit = fc.oneof(
  { arbitrary: fc.integer({ min: -12000, max: 12000 }).map((value) => Math.fround(value / 1000)), weight: 4 },
  fc.float({ min: -12, max: 12, noNaN: true }),
  fc.constantFrom(0, -0, 1, 1, 2.5, -3),
);
const finiteRows = fc.array(logit, { minLength: 1, maxLength: SHORT });
/** Rows in which some tokens have weight 0. */
const rows = fc
  .array(fc.oneof({ arbitrary: logit, weight: 9 }, fc.constant(-Infinity)), { minLength: 1, maxLength: SHORT })
  .filter((row) => row.some(Number.isFinite));
const longRows = fc.oneof(rows, fc.array(logit, { minLength: 100, maxLength: LONG, size: "max" }));
/** Logits whose sums are exact. */
const eighths = fc.integer({ min: -80, max: 80 }).map((value) => value / 8);
const exactRows = fc.array(eighths, { minLength: 2, maxLength: SHORT });
const exactBiases = fc.array(eighths, { minLength: SHORT, maxLength: SHORT });

const seeds = fc.maxSafeInteger();
const temperatures = fc.constantFrom(0.1, 0.5, 0.7, 1, 1.3, 2);
const shares = fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.constantFrom(0, 0.5, 0.9, 1));
const repetitions = fc.double({ min: 0.01, max: 2, noNaN: true });
const topKs = fc.integer({ min: 1, max: SHORT + 5 });
const filters = fc.record({
  temperature: temperatures,
  topK: fc.option(topKs),
  topP: fc.option(shares),
  minP: fc.option(shares),
});
const penalties = fc.record({
  repetitionPenalty: fc.constantFrom(1, 0.5, 1.3, 2),
  frequencyPenalty: fc.constantFrom(0, -2, 0.3, 2),
  presencePenalty: fc.constantFrom(0, -1, 0.7, 2),
});
const biases = fc.oneof(fc.double({ min: -100, max: 100, noNaN: true }), eighths);
/** All sampling parameters of a request. */
const settings = fc.tuple(filters, penalties, fc.constantFrom(0, 1), seeds).map(([chosen, penalized, scale, seed]) => ({
  ...chosen,
  ...penalized,
  temperature: chosen.temperature * scale,
  seed,
}));

/** Rows with tokens of a prompt and of an output. */
const withTokens = (given: fc.Arbitrary<number[]>): fc.Arbitrary<[number[], number[], number[]]> => {
  const places = fc.array(fc.nat(), { maxLength: 30 });
  return fc.tuple(given, places, places).map(([row, ...both]) => {
    const [prompt, output] = both.map((all) => all.map((place) => place % row.length));
    return [row, prompt!, output!];
  });
};

describe("the row", () => {
  law(
    "TS-3.1",
    "padding of a row has no effect",
    fc.property(
      rows,
      fc.array(fc.oneof(logit, fc.constantFrom(NaN, Infinity, 1e30))),
      settings,
      (row, padding, options) => {
        const asked = { ...options, logprobs: true, topLogprobs: SHORT };
        expect(draw([...row, ...padding], asked, { vocabSize: row.length })).toEqual(draw(row, asked));
      },
    ),
  );

  law(
    "TS-3.1",
    "a token of weight 0 is never drawn",
    fc.property(rows, settings, (row, options) => {
      expect(row[draw(row, options).tokenId]).toBeGreaterThan(-Infinity);
    }),
  );

  law(
    "TS-3.15",
    "no token is drawn from a row with NaN or +Infinity or without finite values",
    fc.property(longRows, fc.nat(), fc.constantFrom(NaN, Infinity, -Infinity), settings, (row, place, bad, options) => {
      const spoilt = bad === -Infinity ? row.map(() => bad) : row.with(place % row.length, bad);
      expect(() => draw(spoilt, options)).toThrow(InvalidLogitsError);
    }),
  );
});

describe("order of the steps", () => {
  law(
    "TS-3.2",
    "each filter applies to the tokens that the previous one has left",
    fc.property(rows, filters, (row, { temperature, topK, topP, minP }) => {
      const step5 = only(row, idsOf(kept(row, { temperature, topK })));
      const step6 = only(step5, idsOf(kept(step5, { temperature, topP })));
      expect(kept(row, { temperature, topK, topP, minP })).toEqual(alike(kept(step6, { temperature, minP })));
    }),
  );

  law(
    "TS-3.2",
    "after top_k only the k largest tokens are left, however long the row is",
    fc.property(
      longRows,
      fc.integer({ min: 1, max: SHORT }),
      filters,
      seeds,
      (row, topK, { temperature, topP, minP }, seed) => {
        const options = { temperature, topP, minP, seed };
        const order = descending(row).slice(0, topK);
        const short = order.map((id) => row[id]!);
        expect(order[draw(short, options).tokenId]).toBe(draw(row, { ...options, topK }).tokenId);
        const left = kept(short, options).map((token) => ({ ...token, tokenId: order[token.tokenId]! }));
        expect(kept(row, { ...options, topK })).toEqual(alike(left));
      },
    ),
  );

  law(
    "TS-3.8",
    "bias and then penalties are applied first, in float64 and rounded once",
    fc.property(
      withTokens(finiteRows),
      fc.array(biases, { maxLength: SHORT }),
      settings,
      ([row, prompt, output], given, options) => {
        const logitBias = new Map(given.slice(0, row.length).map((bias, id) => [id, bias]));
        const { repetitionPenalty: r, frequencyPenalty, presencePenalty, ...others } = options;
        const adjusted = row.map((logit, id) => {
          const count = output.filter((other) => other === id).length;
          let z = logit + (logitBias.get(id) ?? 0);
          if (count > 0 || prompt.includes(id)) z = z > 0 ? z / r : z * r;
          return Math.fround(z - frequencyPenalty * count - presencePenalty * Math.sign(count));
        });
        const context: Context = { output, mode: "processed" };
        const asked = { logprobs: true, topLogprobs: SHORT };
        const drawn = draw(row, { ...options, ...asked, logitBias }, { ...context, prompt });
        expect(drawn).toEqual(draw(adjusted, { ...others, ...asked }, context));
      },
    ),
  );
});

describe("the grammar's mask", () => {
  /** Rows with a non-empty subset of their tokens. */
  const masked = fc
    .tuple(longRows, fc.nat(), fc.array(fc.boolean()))
    .map(([row, place, pattern]): [number[], number[]] => {
      const order = descending(row);
      return [row, order.filter((_, index) => index === place % order.length || pattern[index % pattern.length])];
    });

  law(
    "TS-3.3",
    "a removed token is never drawn, whatever is added to its logit",
    fc.property(masked, settings, ([row, allowed], options) => {
      const logitBias = new Map([...row.keys()].filter((id) => !allowed.includes(id)).map((id) => [id, 100]));
      expect(allowed).toContain(draw(row, { ...options, logitBias }, { allowed }).tokenId);
    }),
  );

  law(
    "TS-7.21",
    "removes tokens and changes nothing else",
    fc.property(masked, settings, ([row, allowed], options) => {
      expect(draw(row, options, { allowed })).toEqual(draw(only(row, allowed), options));
      const reported = { ...options, logprobs: true, topLogprobs: SHORT };
      const context: Context = { mode: "processed" };
      expect(draw(row, reported, { ...context, allowed })).toEqual(draw(only(row, allowed), reported, context));
    }),
  );

  law(
    "TS-3.3",
    "no token is drawn if none is allowed",
    fc.property(rows, settings, (row, options) => {
      expect(() => draw(row, options, { allowed: [] })).toThrow(InvalidLogitsError);
    }),
    { numRuns: 50 },
  );
});

describe("logit_bias", () => {
  law(
    "TS-3.4",
    "0 has no effect",
    fc.property(withTokens(rows), settings, ([row, prompt, output], options) => {
      const logitBias = new Map(row.map((_, id) => [id, 0]));
      expect(draw(row, { ...options, logitBias }, { prompt, output })).toEqual(draw(row, options, { prompt, output }));
      expect(kept(row, { ...options, logitBias })).toEqual(kept(row, options));
    }),
  );

  law(
    "TS-3.4",
    "is added: moving a part of it into the row gives the same result",
    fc.property(exactRows, exactBiases, exactBiases, settings, (row, first, second, options) => {
      const biasOf = (values: readonly number[]): Map<number, number> => new Map(row.map((_, id) => [id, values[id]!]));
      const moved = row.map((z, id) => z + first[id]!);
      const both = first.map((bias, index) => bias + second[index]!);
      expect(kept(row, { ...options, logitBias: biasOf(both) })).toEqual(
        kept(moved, { ...options, logitBias: biasOf(second) }),
      );
    }),
  );

  law(
    "TS-3.4",
    "an equal bias on all tokens has no effect, and more on one token makes it more likely",
    fc.property(exactRows, eighths, eighths, fc.nat(), temperatures, (row, everywhere, more, place, temperature) => {
      const tokenId = place % row.length;
      const all = new Map(row.map((_, id) => [id, everywhere]));
      const plain = kept(row, { temperature });
      expect(kept(row, { temperature, logitBias: all })).toEqual(plain);
      const moved = kept(row, { temperature, logitBias: all.set(tokenId, everywhere + Math.abs(more)) });
      expect(logprobOf(moved, tokenId)).toBeGreaterThanOrEqual(logprobOf(plain, tokenId));
    }),
  );
});

describe("penalties", () => {
  law(
    "TS-3.5",
    "penalties of 1, 0 and 0 have no effect, whatever the prompt and output",
    fc.property(withTokens(rows), filters, ([row, prompt, output], options) => {
      const off = { repetitionPenalty: 1, frequencyPenalty: 0, presencePenalty: 0 };
      expect(kept(row, { ...options, ...off }, { prompt, output })).toEqual(kept(row, options));
    }),
  );

  law(
    "TS-3.5",
    "repetition_penalty depends on whether a token occurred in prompt or output, not on how often or where",
    fc.property(withTokens(rows), fc.constantFrom(0.5, 1.3, 2), ([row, prompt, output], repetitionPenalty) => {
      const once = [...new Set([...output, ...prompt])];
      const seen = kept(row, { repetitionPenalty }, { prompt, output });
      expect(seen).toEqual(kept(row, { repetitionPenalty }, { prompt: once }));
      expect(seen).toEqual(kept(row, { repetitionPenalty }, { output: once }));
    }),
  );

  law(
    "TS-3.5",
    "a larger repetition_penalty makes the only token that occurred less likely",
    fc.property(finiteRows, fc.nat(), repetitions, repetitions, (row, place, a, b) => {
      const prompt = [place % row.length];
      const [smaller, larger] = [a, b]
        .toSorted((x, y) => x - y)
        .map((repetitionPenalty) => kept(row, { repetitionPenalty }, { prompt }));
      expect(logprobOf(larger!, prompt[0]!)).toBeLessThanOrEqual(logprobOf(smaller!, prompt[0]!) + 1e-6);
    }),
  );

  law(
    "TS-3.6",
    "frequency_penalty and presence_penalty ignore the prompt and the order of the output",
    fc.property(withTokens(rows), penalties, ([row, prompt, output], { frequencyPenalty, presencePenalty }) => {
      const options = { frequencyPenalty, presencePenalty };
      const plain = kept(row, options, { output });
      expect(kept(row, options, { prompt, output })).toEqual(plain);
      expect(kept(row, options, { output: output.toReversed() })).toEqual(plain);
    }),
  );

  law(
    "TS-3.6",
    "frequency_penalty subtracts the same amount for each occurrence",
    fc.property(
      exactRows,
      fc.nat(),
      fc.nat(20),
      fc.constantFrom(-2, -0.5, 0.25, 2),
      (row, place, count, frequencyPenalty) => {
        const tokenId = place % row.length;
        const expected = row.with(tokenId, row[tokenId]! - count * frequencyPenalty);
        expect(kept(row, { frequencyPenalty }, { output: new Array<number>(count).fill(tokenId) })).toEqual(
          kept(expected, {}),
        );
      },
    ),
  );

  law(
    "TS-3.6",
    "another occurrence makes a token less likely if the penalty is positive, and more likely if it is negative",
    fc.property(
      withTokens(finiteRows),
      fc.nat(),
      fc.constantFrom(-2, -0.3, 0.3, 2),
      ([row, , output], place, frequencyPenalty) => {
        const tokenId = place % row.length;
        const before = logprobOf(kept(row, { frequencyPenalty }, { output }), tokenId);
        const after = logprobOf(kept(row, { frequencyPenalty }, { output: [...output, tokenId] }), tokenId);
        expect(Math.sign(frequencyPenalty) * (after - before)).toBeLessThanOrEqual(1e-6);
      },
    ),
  );

  law(
    "TS-3.7",
    "presence_penalty is subtracted once",
    fc.property(exactRows, fc.nat(), fc.integer({ min: 1, max: 20 }), eighths, (row, place, count, eighth) => {
      const presencePenalty = eighth / 5;
      const tokenId = place % row.length;
      const expected = row.with(tokenId, row[tokenId]! - presencePenalty);
      expect(kept(row, { presencePenalty }, { output: new Array<number>(count).fill(tokenId) })).toEqual(
        kept(expected, {}),
      );
    }),
  );
});

describe("temperature", () => {
  law(
    "TS-3.9",
    "divides the logits",
    fc.property(
      exactRows,
      fc.constantFrom(0.25, 0.5, 2),
      filters,
      seeds,
      (row, temperature, { topK, topP, minP }, seed) => {
        const options = { topK, topP, minP, seed };
        const divided = row.map((z) => z / temperature);
        expect(kept(row, { ...options, temperature })).toEqual(kept(divided, { ...options, temperature: 1 }));
        expect(draw(row, { ...options, temperature })).toEqual(draw(divided, { ...options, temperature: 1 }));
      },
    ),
  );

  law(
    "TS-3.9",
    "a lower temperature makes the most likely token more likely",
    fc.property(
      finiteRows,
      fc.double({ min: 1e-3, max: 2, noNaN: true }),
      fc.double({ min: 1e-3, max: 2, noNaN: true }),
      (row, a, b) => {
        const [cold, hot] = [a, b].toSorted((x, y) => x - y).map((temperature) => kept(row, { temperature }));
        expect(cold![0]!.tokenId).toBe(hot![0]!.tokenId);
        expect(cold![0]!.logprob).toBeGreaterThanOrEqual(hot![0]!.logprob - 1e-6);
      },
    ),
  );

  law(
    "TS-3.9",
    "close to 0 only the largest logits are drawn",
    fc.property(exactRows, fc.constantFrom(1e-3, 1e-100, 5e-324), seeds, (row, temperature, seed) => {
      expect(row[draw(row, { temperature, seed }).tokenId]).toBe(Math.max(...row));
    }),
  );

  law(
    "TS-3.10",
    "0 selects the largest logit, the lowest id on a tie, whatever the filters and the seed",
    fc.property(longRows, filters, seeds, (row, options, seed) => {
      expect(draw(row, { ...options, seed, temperature: 0 }).tokenId).toBe(descending(row)[0]);
    }),
  );
});

describe("top_k", () => {
  law(
    "TS-3.11",
    "keeps the k largest tokens, or all if the row has fewer",
    fc.property(rows, topKs, temperatures, (row, topK, temperature) => {
      expect(idsOf(kept(row, { topK, temperature }))).toEqual(descending(row).slice(0, topK));
    }),
  );

  law(
    "TS-3.11",
    "never draws a token of a long row beyond the first k",
    fc.property(longRows, topKs, seeds, temperatures, (row, topK, seed, temperature) => {
      expect(descending(row).slice(0, topK)).toContain(draw(row, { topK, seed, temperature }).tokenId);
    }),
  );
});

describe("top_p", () => {
  law(
    "TS-3.12",
    "keeps the shortest prefix that reaches p, and at least one token",
    fc.property(rows, shares, temperatures, (row, topP, temperature) => {
      const order = descending(row);
      const ids = idsOf(kept(row, { topP, temperature }));
      expect(ids.length).toBeGreaterThan(0);
      expect(ids).toEqual(order.slice(0, ids.length));
      const weights = order.map((id) => weightOf(row, temperature, id));
      const target = topP * sum(weights);
      if (topP < 1)
        expect(sum(weights.slice(0, ids.length - 1))).toBeLessThanOrEqual(ids.length === 1 ? 0 : target * (1 + 1e-9));
      expect(sum(weights.slice(0, ids.length))).toBeGreaterThanOrEqual(target * (1 - 1e-9));
    }),
  );

  law(
    "TS-3.12",
    "a larger p keeps all tokens of a smaller p; 0 keeps one token and 1 all",
    fc.property(rows, shares, shares, temperatures, (row, a, b, temperature) => {
      const [fewer, more] = [a, b].toSorted((x, y) => x - y).map((topP) => idsOf(kept(row, { topP, temperature })));
      expect(more!.slice(0, fewer!.length)).toEqual(fewer);
      expect(idsOf(kept(row, { topP: 0, temperature }))).toEqual(descending(row).slice(0, 1));
      expect(kept(row, { topP: 1, temperature })).toEqual(kept(row, { temperature }));
    }),
  );
});

describe("min_p", () => {
  law(
    "TS-3.13",
    "keeps exactly the tokens with at least min_p of the largest weight",
    fc.property(rows, shares, temperatures, (row, minP, temperature) => {
      const ids = idsOf(kept(row, { minP, temperature }));
      for (const id of descending(row)) {
        const weight = weightOf(row, temperature, id);
        if (weight >= minP * (1 + 1e-9) || weight === 1) expect(ids).toContain(id);
        if (weight < minP * (1 - 1e-9)) expect(ids).not.toContain(id);
      }
    }),
  );

  law(
    "TS-3.13",
    "a smaller min_p keeps all tokens of a larger min_p; 0 keeps all and 1 the largest",
    fc.property(rows, shares, shares, temperatures, (row, a, b, temperature) => {
      const [more, fewer] = [a, b].toSorted((x, y) => x - y).map((minP) => idsOf(kept(row, { minP, temperature })));
      expect(more!.slice(0, fewer!.length)).toEqual(fewer);
      expect(kept(row, { minP: 0, temperature })).toEqual(kept(row, { temperature }));
      for (const id of idsOf(kept(row, { minP: 1, temperature })))
        expect(weightOf(row, temperature, id)).toBeCloseTo(1, 9);
    }),
    // A logit that is smaller by so little has the same weight.
    { examples: [[[0, -1.401298464324817e-45], 0, 0, 0.1]] },
  );
});

describe("the draw", () => {
  /** Seed, choice and position. Some seeds differ only in their high words. */
  const places = fc.tuple(fc.oneof(seeds, fc.constantFrom(0, 2 ** 32, -(2 ** 32), 3 * 2 ** 40)), fc.nat(127), fc.nat());

  law(
    "TS-3.14",
    "the token is the first whose cumulative share exceeds u",
    fc.property(rows, settings, (row, options) => {
      fc.pre(options.temperature > 0);
      const order = kept(row, options);
      const place = idsOf(order).indexOf(draw(row, options).tokenId);
      const u = uniform(options.seed, 0, 0);
      const shareOf = (end: number): number => sum(order.slice(0, end).map(({ logprob }) => Math.exp(logprob)));
      expect(place).toBeGreaterThanOrEqual(0);
      expect(shareOf(place)).toBeLessThanOrEqual(u + 1e-5);
      if (place < order.length - 1) expect(shareOf(place + 1)).toBeGreaterThan(u - 1e-5);
    }),
    { numRuns: 1000 },
  );

  law(
    "TS-3.14",
    "a larger u selects a token further down the order",
    fc.property(longRows, filters, fc.array(seeds, { minLength: 2, maxLength: 10 }), (row, options, all) => {
      const order = descending(row);
      const ascending = all.toSorted((a, b) => uniform(a, 0, 0) - uniform(b, 0, 0));
      const places = ascending.map((seed) => order.indexOf(draw(row, { ...options, seed }).tokenId));
      expect(places).toEqual(places.toSorted((a, b) => a - b));
    }),
  );

  law(
    "TS-3.19",
    "u is in [0, 1) and a multiple of 2^-53",
    fc.property(seeds, fc.nat(), fc.nat(), (seed, choice, position) => {
      const u = uniform(seed, choice, position);
      expect(u >= 0 && u < 1).toBe(true);
      expect(Number.isSafeInteger(u * 2 ** 53)).toBe(true);
    }),
  );

  law(
    "TS-3.18",
    "another seed, choice or position gives another number",
    fc.property(places, places, fc.subarray([0, 1, 2], { minLength: 1 }), (a, b, changed) => {
      const c = a.map((value, index) => (changed.includes(index) ? b[index]! : value)) as [number, number, number];
      fc.pre(c.some((value, index) => value !== a[index]));
      expect(uniform(...c)).not.toBe(uniform(...a));
    }),
  );

  law(
    "TS-3.20",
    "earlier tokens, concurrent draws and repetitions do not change a draw",
    fc.property(
      withTokens(rows),
      rows,
      filters,
      seeds,
      fc.nat(127),
      ([row, prompt, output], other, options, seed, choice) => {
        const expected = draw(row, { ...options, seed }, { output, choice });
        expect(draw(row, { ...options, seed }, { prompt, output: output.map(() => 0), choice })).toEqual(expected);
        const config = generationConfig({ ...options, seed });
        const [own, beside] = [row, other].map(({ length }) => Sampler.ofRequest(kernels, length, config, [])(choice));
        for (const tokenId of output) {
          kernels.f32(address, other.length).set(other);
          beside!.accept(beside!.sample(address).tokenId);
          own!.accept(tokenId);
        }
        kernels.f32(address, row.length).set(row);
        expect([own!.sample(address), own!.sample(address)]).toEqual([expected, expected]);
      },
    ),
  );

  law(
    "TS-10.11",
    "over seeds, choices and positions, frequencies of tokens match the distribution that is left",
    fc.property(
      fc.array(logit, { minLength: 2, maxLength: 6 }),
      filters,
      seeds,
      fc.nat(2),
      (row, options, seed, axis) => {
        const NUM_DRAWS = 3000;
        kernels.f32(address, row.length).set(row);
        const counts = new Map<number, number>();
        const samplerOf = (seed: number, choice: number): Sampler =>
          Sampler.ofRequest(kernels, row.length, generationConfig({ ...options, seed }), [])(choice);
        const walker = samplerOf(seed, 0);
        for (let i = 0; i < NUM_DRAWS; i++) {
          const sampler = [samplerOf(Math.trunc(seed / 2) + i, 0), samplerOf(seed, i), walker][axis]!;
          const { tokenId } = sampler.sample(address);
          counts.set(tokenId, (counts.get(tokenId) ?? 0) + 1);
          sampler.accept(tokenId);
        }
        const expected = new Map(kept(row, options).map(({ tokenId, logprob }) => [tokenId, Math.exp(logprob)]));
        for (const tokenId of counts.keys()) expect(expected.has(tokenId)).toBe(true);
        // By Bernstein's inequality a larger deviation has a probability below 1e-7.
        for (const [tokenId, p] of expected) {
          expect(Math.abs((counts.get(tokenId) ?? 0) - NUM_DRAWS * p)).toBeLessThan(
            8 + 6 * Math.sqrt(NUM_DRAWS * p * (1 - p)),
          );
        }
      },
    ),
    { numRuns: 30 },
  );
});

describe("log-probabilities", () => {
  const asked = (options: GenerationOptions, topLogprobs: number): GenerationOptions => ({
    ...options,
    logprobs: true,
    topLogprobs,
  });

  law(
    "TS-4.1",
    "are the log-softmax of the row itself: at most 0, finite, float32, with a probability sum of 1",
    fc.property(withTokens(finiteRows), settings, ([row, prompt, output], options) => {
      const { tokenId, logprob, topLogprobs } = draw(row, asked(options, SHORT), { prompt, output });
      const logTotal = Math.log(sum(row.map((z) => Math.exp(z - Math.max(...row)))));
      for (const { tokenId: id, logprob: given } of topLogprobs) {
        expect(given <= 0 && Number.isFinite(given) && Math.fround(given) === given && !Object.is(given, -0)).toBe(
          true,
        );
        expect(Math.abs(given - (row[id]! - Math.max(...row) - logTotal))).toBeLessThan(1e-5);
      }
      expect(sum(topLogprobs.map((top) => Math.exp(top.logprob)))).toBeCloseTo(1, 5);
      expect(logprob).toBe(logprobOf(topLogprobs, tokenId));
    }),
  );

  law(
    "TS-4.2",
    "have the requested number, ordered by log-probability and then id; a shorter list is a prefix of a longer one",
    fc.property(rows, settings, fc.nat(SHORT), (row, options, count) => {
      const { topLogprobs } = draw(row, asked(options, count));
      const order = descending(row);
      expect(idsOf(topLogprobs)).toEqual(order.slice(0, count));
      expect(topLogprobs).toEqual(draw(row, asked(options, SHORT)).topLogprobs.slice(0, count));
    }),
  );

  law(
    "TS-4.3",
    "in the mode processed have a probability sum of 1 and include the drawn token",
    fc.property(rows, settings, (row, options) => {
      const { tokenId, logprob, topLogprobs } = draw(row, asked(options, SHORT), { mode: "processed" });
      expect(sum(topLogprobs.map((top) => Math.exp(top.logprob)))).toBeCloseTo(1, 5);
      expect(logprobOf(topLogprobs, tokenId)).toBe(logprob);
    }),
  );

  law(
    "TS-4.10",
    "requesting them, in either mode, does not change a draw",
    fc.property(
      longRows,
      settings,
      fc.nat(SHORT),
      fc.constantFrom<LogprobsMode>("raw", "processed"),
      (row, options, count, mode) => {
        const plain = draw(row, options);
        expect(plain).toEqual({ tokenId: plain.tokenId, logprob: null, topLogprobs: [] });
        expect(draw(row, asked(options, count), { mode }).tokenId).toBe(plain.tokenId);
      },
    ),
  );
});
