import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { type Address, Kernels } from "../../kernels/index.js";
import { referenceSample } from "../../spec-tests/oracles/kernels.js";
import { type GenerationOptions, generationConfig } from "./generation-config.js";
import { uniform } from "./philox.js";
import { Sampler } from "./sampler.js";

const kernels = await Kernels.load();
const row = kernels.allocate(4096 * 4);

function place(logits: ArrayLike<number>): Address {
  kernels.f32(row, logits.length).set(Float32Array.from(logits));
  return row;
}

/** The logits of most tests: eight tokens, two of them equal. */
const LOGITS = [0.5, 2, -1, 1.25, 1.25, 0, -2.5, 1.75];
const PROMPT = [0, 3, 3, 6];
const HISTORY = [1, 1, 4];

interface Case {
  name: string;
  options: GenerationOptions;
  /** Logits after bias and penalties, computed by hand; LOGITS if not given. */
  adjusted?: readonly number[];
  temperature?: number;
  /** Tokens that the filters keep; all by default. */
  kept?: readonly number[];
}

const cases: Case[] = [
  { name: "nothing", options: {} },
  { name: "temperature 0.5", options: { temperature: 0.5 }, temperature: 0.5 },
  { name: "temperature 2", options: { temperature: 2 }, temperature: 2 },
  { name: "top_k 4, through a tie", options: { topK: 4 }, kept: [1, 7, 3, 4] },
  { name: "top_k 3, cutting a tie", options: { topK: 3 }, kept: [1, 7, 3] },
  // Weights, relative to the largest: 1, 0.78, 0.47, 0.47, 0.22, 0.14, 0.05, 0.01; half of the total is 1.57.
  { name: "top_p 0.5", options: { topP: 0.5 }, kept: [1, 7] },
  { name: "top_p 0.6", options: { topP: 0.6 }, kept: [1, 7, 3] },
  { name: "min_p 0.2", options: { minP: 0.2 }, kept: [1, 7, 3, 4, 0] },
  { name: "min_p 0.5", options: { minP: 0.5 }, kept: [1, 7] },
  {
    name: "logit_bias",
    options: {
      logitBias: new Map([
        [2, 3],
        [1, -1.5],
        [5, 0.25],
      ]),
    },
    adjusted: [0.5, 0.5, 2, 1.25, 1.25, 0.25, -2.5, 1.75],
  },
  {
    name: "frequency_penalty: output only, by count",
    options: { frequencyPenalty: 0.7 },
    adjusted: [0.5, 2 - 1.4, -1, 1.25, 1.25 - 0.7, 0, -2.5, 1.75],
  },
  {
    name: "presence_penalty: output only, once",
    options: { presencePenalty: -1 },
    adjusted: [0.5, 3, -1, 1.25, 2.25, 0, -2.5, 1.75],
  },
  {
    name: "repetition_penalty: prompt and output, by sign",
    options: { repetitionPenalty: 1.6 },
    adjusted: [0.5 / 1.6, 2 / 1.6, -1, 1.25 / 1.6, 1.25 / 1.6, 0, -2.5 * 1.6, 1.75],
  },
  {
    name: "all options together",
    options: {
      logitBias: new Map([
        [1, 2],
        [2, 4],
      ]),
      repetitionPenalty: 2,
      frequencyPenalty: 0.25,
      presencePenalty: 0.5,
      temperature: 0.8,
      topK: 6,
      topP: 0.95,
      minP: 0.1,
    },
    // 1: (2 + 2) / 2 - 0.5 - 0.5; 4: 1.25 / 2 - 0.25 - 0.5; 0, 3, 6: halved or doubled.
    adjusted: [0.25, 1, 3, 0.625, -0.125, 0, -5, 1.75],
    temperature: 0.8,
    // Weights: 2: 1, 7: 0.21, 1: 0.082, 3: 0.051, 0: 0.032, 5: 0.024; 95 % of their total is 1.329,
    // reached with 3; min_p then drops 1 and 3.
    kept: [2, 7],
  },
];

/** Computes the exact probabilities of a case. */
function expectedProbabilities({ adjusted = LOGITS, temperature = 1, kept }: Case): number[] {
  const weights = adjusted.map((z, tokenId) =>
    kept === undefined || kept.includes(tokenId) ? Math.exp(z / temperature) : 0,
  );
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** Tests counts against probabilities by chi-square; tokens of probability 0 must not have been drawn. */
function expectGoodFit(counts: readonly number[], probabilities: readonly number[]): void {
  const draws = counts.reduce((sum, count) => sum + count, 0);
  let chiSquare = 0;
  let freedom = -1;
  probabilities.forEach((probability, tokenId) => {
    if (probability === 0) {
      expect(counts[tokenId], `token ${tokenId} was removed`).toBe(0);
    } else {
      chiSquare += (counts[tokenId]! - draws * probability) ** 2 / (draws * probability);
      freedom++;
    }
  });
  // Wilson and Hilferty: chi-square is nearly (normal)^3; 4.3 standard deviations, one in 100,000.
  const spread = 2 / (9 * freedom);
  const limit = freedom * (1 - spread + 4.3 * Math.sqrt(spread)) ** 3;
  expect(chiSquare).toBeLessThan(limit);
}

const NUM_DRAWS = numCases(20_000);

describe("distribution", () => {
  it.each(cases)("matches the probabilities over seeds: $name", (given) => {
    const logits = place(LOGITS);
    const counts = LOGITS.map(() => 0);
    for (let seed = 0; seed < NUM_DRAWS; seed++) {
      const sampler = Sampler.ofRequest(
        kernels,
        LOGITS.length,
        generationConfig({ ...given.options, seed }),
        PROMPT,
      )(0);
      for (const tokenId of HISTORY) sampler.accept(tokenId);
      counts[sampler.sample(logits).tokenId]! += 1;
    }
    expectGoodFit(counts, expectedProbabilities(given));
  });

  it("matches the probabilities over positions", () => {
    const logits = place(LOGITS);
    const counts = LOGITS.map(() => 0);
    const sampler = Sampler.ofRequest(kernels, LOGITS.length, generationConfig({ seed: 5 }), [])(0);
    for (let i = 0; i < NUM_DRAWS; i++) {
      const { tokenId } = sampler.sample(logits);
      counts[tokenId]! += 1;
      sampler.accept(tokenId);
    }
    expectGoodFit(counts, expectedProbabilities(cases[0]!));
  });

  it("matches the probabilities over choices", () => {
    const logits = place(LOGITS);
    const config = generationConfig({ seed: 6 });
    const counts = LOGITS.map(() => 0);
    for (let choice = 0; choice < NUM_DRAWS; choice++) {
      counts[Sampler.ofRequest(kernels, LOGITS.length, config, [])(choice).sample(logits).tokenId]! += 1;
    }
    expectGoodFit(counts, expectedProbabilities(cases[0]!));
  });

  it("detects a small error in the counts", () => {
    const probabilities = expectedProbabilities(cases[0]!);
    const counts = probabilities.map((probability) => Math.round(20_000 * probability));
    expectGoodFit(counts, probabilities);
    counts[1]! += 400;
    counts[7]! -= 400;
    expect(() => expectGoodFit(counts, probabilities)).toThrow();
  });
});

describe("Sampler", () => {
  const options = fc.record({
    seed: fc.maxSafeInteger(),
    temperature: fc.constantFrom(0, 0.6, 1),
    repetitionPenalty: fc.constantFrom(1, 1.3, 0.8),
    frequencyPenalty: fc.constantFrom(0, 0.4, -0.3),
    presencePenalty: fc.constantFrom(0, 0.6),
    topP: fc.option(fc.constantFrom(0.9, 0.5)),
    topK: fc.option(fc.constantFrom(3, 20)),
    logitBias: fc.constantFrom(
      new Map<number, number>(),
      new Map([
        [2, 1.5],
        [150, -2],
      ]),
    ),
    logprobs: fc.boolean(),
  });
  const token = fc.integer({ min: 0, max: 199 });

  it("keeps the tokens of one choice from the others", () => {
    const config = generationConfig({ temperature: 0, repetitionPenalty: 2, logitBias: new Map([[1, 1]]) });
    const samplerOf = Sampler.ofRequest(kernels, LOGITS.length, config, PROMPT);
    const drawn = (sampler: Sampler): number => sampler.sample(place(LOGITS)).tokenId;
    const [first, second] = [samplerOf(0), samplerOf(1)];
    // Token 1 has logit 3, and 1.5 once it is penalized; token 7 has 1.75; token 4 then has 1.25.
    expect([drawn(first), drawn(second)]).toEqual([1, 1]);
    first.accept(1);
    expect([drawn(first), drawn(second), drawn(samplerOf(2))]).toEqual([7, 1, 1]);
    first.accept(7);
    second.accept(1);
    expect([drawn(first), drawn(second), drawn(samplerOf(2))]).toEqual([1, 7, 1]);
  });

  it("agrees with a reference that recounts all tokens at every position", () => {
    fc.assert(
      fc.property(
        options,
        fc.array(token, { maxLength: 100 }),
        fc.array(token, { maxLength: 100 }),
        (given, prompt, output) => {
          const config = generationConfig(given);
          const choice = 2;
          const sampler = Sampler.ofRequest(kernels, 200, config, prompt)(choice);
          const logits = Float32Array.from({ length: 200 }, (_, i) => ((i * 7919) % 200) / 40);
          for (const tokenId of output) {
            if (output.length % 7 === 0) sampler.sample(place(logits));
            sampler.accept(tokenId);
          }
          const touched = [...new Set([...prompt, ...output, ...config.logitBias.keys()])];
          const expected = referenceSample(logits, {
            ...config,
            uniform: uniform(config.seed, choice, output.length),
            adjustments: {
              length: touched.length,
              tokenIds: Int32Array.from(touched),
              biases: Float64Array.from(touched, (id) => config.logitBias.get(id) ?? 0),
              counts: Int32Array.from(touched, (id) => output.filter((other) => other === id).length),
              seen: Uint8Array.from(touched, (id) => (prompt.includes(id) || output.includes(id) ? 1 : 0)),
            },
            allowed: null,
            topLogprobs: config.logprobs ? 0 : null,
            logprobsMode: "raw",
          });
          const drawn = sampler.sample(place(logits));
          if (expected.margin > 1e-6) expect(drawn.tokenId).toBe(expected.tokenId);
          expect(drawn.logprob === null).toBe(!config.logprobs);
          expect(sampler.sample(place(logits)), "drawn again").toEqual(drawn);
        },
      ),
      { seed: 8, numRuns: 300 },
    );
  });

  it("gives a choice the same tokens independent of other choices; choices and seeds differ in their tokens", () => {
    const run = (seed: number, choice: number, others: number) => {
      const logits = place(new Float32Array(4096));
      const samplers = Array.from({ length: others + 1 }, (_, i) =>
        Sampler.ofRequest(kernels, 4096, generationConfig({ seed }), [])(choice + i),
      );
      return Array.from({ length: 20 }, () => {
        const drawn = samplers.map((sampler) => sampler.sample(logits).tokenId);
        samplers.forEach((sampler, i) => sampler.accept(drawn[i]!));
        return drawn[0]!;
      });
    };
    expect(run(1, 0, 0)).toEqual(run(1, 0, 3));
    expect(run(1, 0, 0)).not.toEqual(run(1, 1, 0));
    expect(run(1, 0, 0)).not.toEqual(run(2, 0, 0));
    expect(run(1, 0, 0)).not.toEqual(run(-1, 0, 0));
  });

  it("reports log-probabilities before or after penalties and filters, and draws the same token in both modes", () => {
    const changes = { temperature: 0.5, topK: 3, frequencyPenalty: 0.7, logitBias: new Map([[0, 1]]) };
    const options = { seed: 4, logprobs: true, topLogprobs: 20, ...changes };
    const drawn = (["raw", "processed"] as const).map((mode) => {
      const sampler = Sampler.ofRequest(kernels, LOGITS.length, generationConfig(options), PROMPT, mode)(0);
      for (const tokenId of HISTORY) sampler.accept(tokenId);
      return sampler.sample(place(LOGITS));
    });
    const [raw, processed] = drawn;
    expect(processed!.tokenId).toBe(raw!.tokenId);
    expect(raw!.topLogprobs.map(({ tokenId }) => tokenId)).toEqual([1, 7, 3, 4, 0, 5, 2, 6]);
    // 7: 1.75, 0: 0.5 + 1, 3: 1.25; 1 has fallen to 2 - 1.4, 4 to 1.25 - 0.7.
    expect(processed!.topLogprobs.map(({ tokenId }) => tokenId)).toEqual([7, 0, 3]);
    const total = Math.log(1 + Math.exp(-0.5) + Math.exp(-1));
    processed!.topLogprobs.forEach(({ logprob }, i) => expect(logprob).toBeCloseTo(-0.5 * i - total, 6));
  });

  it("ignores the padding after a row of logits", () => {
    const sampler = Sampler.ofRequest(kernels, 3, generationConfig({ temperature: 0 }), [])(0);
    expect(sampler.sample(place([1, 2, 0, 99, NaN])).tokenId).toBe(1);
  });

  it("handles many tokens with adjustments", () => {
    const prompt = Array.from({ length: 4000 }, (_, i) => i);
    const sampler = Sampler.ofRequest(
      kernels,
      4096,
      generationConfig({ temperature: 0, repetitionPenalty: 2 }),
      prompt,
    )(0);
    expect(sampler.sample(place(new Float32Array(4096).fill(1))).tokenId).toBe(4000);
  });

  it("reports raw log-probabilities by default", () => {
    const config = generationConfig({ seed: 4, temperature: 0.5, logprobs: true, topLogprobs: 3 });
    const [byDefault, raw] = [
      Sampler.ofRequest(kernels, 8, config, [])(0),
      Sampler.ofRequest(kernels, 8, config, [], "raw")(0),
    ];
    expect(byDefault.sample(place(LOGITS))).toEqual(raw.sample(place(LOGITS)));
  });

  it("throws if a token is not in the vocabulary", () => {
    const biased = generationConfig({ logitBias: new Map([[8, 1]]) });
    expect(() => Sampler.ofRequest(kernels, 8, biased, [])(0)).toThrow("token 8 is in the vocabulary");
    const penalized = generationConfig({ repetitionPenalty: 2 });
    for (const tokenId of [-1, 0.5, 8]) {
      expect(() => Sampler.ofRequest(kernels, 8, penalized, [tokenId])(0)).toThrow(
        `token ${tokenId} is in the vocabulary`,
      );
    }
  });
});
