import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InvalidLogitsError, type LogitAdjustments, type SampleRequest, type SampledToken } from "./index.js";
import { type ReferenceSample, referenceSample } from "../spec-tests/oracles/kernels.js";
import { numCases } from "../spec-tests/fixtures/property-size.js";
import { loadBuilds, placeFloats, randomNumbers, request } from "../spec-tests/fixtures/kernels.js";

const builds = await loadBuilds();
const MAX_VOCABULARY = 200_000;
const rows = builds.map((kernels) => kernels.allocate(MAX_VOCABULARY * 4));

/** Draws once on every build and checks that the answers are equal and the row is unchanged. */
function sample(logits: ArrayLike<number>, changes: Partial<SampleRequest>): SampledToken {
  const given = Float32Array.from(logits);
  const answers = builds.map((kernels, i) => {
    kernels.f32(rows[i]!, given.length).set(given);
    const answer = kernels.sample(rows[i]!, given.length, request(changes));
    const left = kernels.f32(rows[i]!, given.length);
    expect(Buffer.from(left.slice().buffer).equals(Buffer.from(given.buffer)), "the row after the draw").toBe(true);
    return answer;
  });
  for (const answer of answers) expect(answer).toEqual(answers[0]);
  return answers[0]!;
}

/** Returns the tokens that can be drawn, in the order in which an increasing `uniform` draws them. */
function reachable(logits: ArrayLike<number>, changes: Partial<SampleRequest>): number[] {
  const found: number[] = [];
  for (let i = 0; i < 400; i++) {
    const { tokenId } = sample(logits, { ...changes, uniform: i / 400 });
    if (found.at(-1) !== tokenId) found.push(tokenId);
  }
  return found;
}

function adjustments(
  entries: readonly Partial<{ id: number; bias: number; count: number; seen: boolean }>[],
): LogitAdjustments {
  return {
    length: entries.length,
    tokenIds: Int32Array.from(entries, ({ id }) => id ?? 0),
    biases: Float64Array.from(entries, ({ bias }) => bias ?? 0),
    counts: Int32Array.from(entries, ({ count }) => count ?? 0),
    seen: Uint8Array.from(entries, ({ seen }) => (seen ? 1 : 0)),
  };
}

const logs = (probabilities: readonly number[]) => probabilities.map(Math.log);
const FOUR = logs([0.4, 0.3, 0.2, 0.1]);

describe("order of the steps", () => {
  it("V1: temperature comes before top_p", () =>
    expect(reachable(FOUR, { temperature: 2, topP: 0.65 })).toEqual([0, 1, 2]));
  it("V2: top_p comes before min_p", () => expect(reachable(FOUR, { minP: 0.3, topP: 0.75 })).toEqual([0, 1, 2]));
  it("V3: top_p counts only the tokens that top_k keeps", () =>
    expect(reachable(FOUR, { topK: 2, topP: 0.5 })).toEqual([0]));
  it("V4: bias comes before repetition_penalty", () => {
    // (2 + 2) / 2 = 2, and not 2 / 2 + 2 = 3.
    const changes = {
      repetitionPenalty: 2,
      adjustments: adjustments([{ id: 0, bias: 2, seen: true }]),
      temperature: 0,
    };
    expect(sample([2, 2.5], changes).tokenId).toBe(1);
    expect(sample([2, 1.99], changes).tokenId).toBe(0);
  });
  it("V5: repetition_penalty comes before frequency_penalty", () => {
    // 2 / 2 - 1 = 0, and not (2 - 1) / 2 = 0.5.
    const changes = {
      repetitionPenalty: 2,
      frequencyPenalty: 1,
      adjustments: adjustments([{ id: 0, count: 1, seen: true }]),
      temperature: 0,
    };
    expect(sample([2, 0.25], changes).tokenId).toBe(1);
    expect(sample([2, -0.01], changes).tokenId).toBe(0);
  });
  it("V6: top_k keeps exactly k, the lower ids of a tie", () =>
    expect(reachable([1, 1, 1, 0], { topK: 2 })).toEqual([0, 1]));
  it("V7: top_p keeps the smallest prefix that reaches p", () => {
    // 0.5 + 0.3 equals p up to rounding, so the test uses values two millionths below and above p.
    const probabilities = logs([0.3, 0.1, 0.1, 0.5]);
    expect(reachable(probabilities, { topP: 0.8 * (1 - 2e-6) })).toEqual([3, 0]);
    expect(reachable(probabilities, { topP: 0.8 * (1 + 2e-6) })).toEqual([3, 0, 1]);
  });
  it("V8: top_p keeps the smallest prefix that reaches 0.9", () => {
    expect(reachable(FOUR, { topP: 0.9 * (1 - 2e-6) })).toEqual([0, 1, 2]);
    expect(reachable(FOUR, { topP: 0.9 * (1 + 2e-6) })).toEqual([0, 1, 2, 3]);
  });
  it("the grammar comes first: top_k and top_p count allowed tokens only", () => {
    const allowed = Uint32Array.of(0b1010);
    expect(reachable(FOUR, { allowed })).toEqual([1, 3]);
    expect(reachable(FOUR, { allowed, topK: 2 })).toEqual([1, 3]);
    expect(reachable(FOUR, { allowed, topP: 0.74 })).toEqual([1]);
    expect(sample(FOUR, { allowed, temperature: 0 }).tokenId).toBe(1);
  });
  it("min_p compares with the largest weight after the temperature", () => {
    expect(reachable(FOUR, { minP: 0.6 })).toEqual([0, 1]);
    expect(reachable(FOUR, { minP: 0.6, temperature: 2 })).toEqual([0, 1, 2]);
    expect(reachable(FOUR, { minP: 1 })).toEqual([0]);
  });
});

describe("exact boundaries", () => {
  // Equal logits have weights of exactly 1, so sums and targets are exact too. The cases cover both methods:
  // the short list with top_k, and the whole row without it.
  const equal = [1, 1, 1, 1];
  it.each([[{}], [{ topK: 4 }]])("top_p stops when the cumulative weight equals the target: %j", (changes) => {
    expect(reachable(equal, { ...changes, topP: 0.25 })).toEqual([0]);
    expect(reachable(equal, { ...changes, topP: 0.5 })).toEqual([0, 1]);
    expect(reachable(equal, { ...changes, topP: 0.5 + 2 ** -50 })).toEqual([0, 1, 2]);
  });
  it.each([[{}], [{ topK: 4 }], [{ topP: 1 - 2 ** -50 }]])(
    "min_p keeps a weight that equals the threshold: %j",
    (changes) => {
      expect(reachable([0, 1, 1, 0, 1], { ...changes, minP: 1 })).toEqual([1, 2, 4]);
    },
  );
  it.each([[{}], [{ topK: 4 }], [{ minP: 0.5 }]])(
    "the draw takes the first token whose cumulative weight exceeds u * total: %j",
    (changes) => {
      expect(sample(equal, { ...changes, uniform: 0.25 }).tokenId).toBe(1);
      expect(sample(equal, { ...changes, uniform: 0.25 - 2 ** -53 }).tokenId).toBe(0);
      expect(sample(equal, { ...changes, uniform: 0.75 }).tokenId).toBe(3);
    },
  );
});

describe("edges", () => {
  it("greedy takes the lowest id of a tie, -0 and 0 included", () => {
    expect(sample([1, 3, 3, 2], { temperature: 0 }).tokenId).toBe(1);
    expect(sample([-0, 0], { temperature: 0 }).tokenId).toBe(0);
    expect(sample([0, -0], { temperature: 0 }).tokenId).toBe(0);
    expect(reachable([-0, 0, -0], { topK: 2 })).toEqual([0, 1]);
  });
  it("top_p 0 and a vanishing temperature keep one token", () => {
    expect(reachable(FOUR, { topP: 0 })).toEqual([0]);
    expect(reachable([1, 1], { topP: 0 })).toEqual([0]);
    for (const temperature of [1e-10, 1e-100, 5e-324]) expect(reachable(FOUR, { temperature })).toEqual([0]);
  });
  it("top_p 1, min_p 0 and top_k of the vocabulary size or more remove nothing", () => {
    for (const changes of [{ topP: 1 }, { minP: 0 }, { topK: 4 }, { topK: 2 ** 40 }]) {
      expect(reachable(FOUR, changes)).toEqual([0, 1, 2, 3]);
    }
  });
  it("draws the last kept token for the largest uniform, and the first for 0", () => {
    const uniform = 1 - 2 ** -53;
    expect(sample(FOUR, { uniform }).tokenId).toBe(3);
    expect(sample(FOUR, { uniform, topK: 2 }).tokenId).toBe(1);
    expect(sample(new Float32Array(100_000), { uniform }).tokenId).toBe(99_999);
    expect(sample(new Float32Array(100_000), { uniform, topP: 0.5000001 }).tokenId).toBe(50_000);
    expect(sample(new Float32Array(100_000), { uniform: 0 }).tokenId).toBe(0);
  });
  it("clamps a logit to finite numbers after bias and penalties", () => {
    const high = adjustments([{ id: 1, bias: 100 }]);
    expect(sample([0, 3.4e38], { adjustments: high, temperature: 0 }).tokenId).toBe(1);
    const low = adjustments([{ id: 0, seen: true }]);
    expect(sample([-3.4e38, -3.4e38], { adjustments: low, repetitionPenalty: 2, temperature: 0 }).tokenId).toBe(1);
    expect(sample([-3.4e38], { adjustments: low, repetitionPenalty: 2 }).tokenId).toBe(0);
  });
  it("never draws a token with a logit of -Infinity", () => {
    const logits = [-Infinity, 0, -Infinity, -300];
    expect(sample(logits, { uniform: 1 - 2 ** -53, temperature: 2 }).tokenId).toBe(1);
    expect(reachable(logits, { topK: 3 })).toEqual([1]);
    expect(sample([-Infinity, 5], { topLogprobs: 0 }).logprob).toBe(0);
  });
  it("a forbidden token stays forbidden with any bias", () => {
    const bias = adjustments([{ id: 0, bias: 100 }]);
    for (const temperature of [0, 1]) {
      expect(sample([5, 0], { allowed: Uint32Array.of(0b10), adjustments: bias, temperature }).tokenId).toBe(1);
    }
  });
  it("reads no logits past the vocabulary, such as padding of the LM head", () => {
    const answers = builds.map((kernels) => {
      const address = placeFloats(kernels, [1, 2, 50, NaN, Infinity]);
      return kernels.sample(address, 2, request({ temperature: 0, topLogprobs: 5 }));
    });
    for (const { tokenId, logprob, topLogprobs } of answers) {
      expect(tokenId).toBe(1);
      expect(logprob).toBeCloseTo(-Math.log(1 + Math.exp(-1)), 6);
      expect(topLogprobs.map((entry) => entry.tokenId)).toEqual([1, 0]);
    }
  });
});

describe("log-probabilities", () => {
  it("are those of the raw row, before grammar, bias, penalties and temperature", () => {
    const plain = sample(FOUR, { topLogprobs: 4, temperature: 0 });
    const changed = sample(FOUR, {
      topLogprobs: 4,
      temperature: 0,
      allowed: Uint32Array.of(0b1000),
      adjustments: adjustments([{ id: 3, bias: 50, count: 2, seen: true }]),
      repetitionPenalty: 1.5,
      frequencyPenalty: 1,
      presencePenalty: 1,
    });
    expect(changed.topLogprobs).toEqual(plain.topLogprobs);
    expect(changed.tokenId).toBe(3);
    expect(changed.logprob).toBe(plain.topLogprobs[3]!.logprob);
    expect(plain.topLogprobs.map(({ logprob }) => Math.round(Math.exp(logprob) * 1e6) / 1e6)).toEqual([
      0.4, 0.3, 0.2, 0.1,
    ]);
  });
  it("have exactly k entries, ties by ascending id, and the drawn token only if it is among the largest", () => {
    const { tokenId, topLogprobs } = sample([1, 2, 2, 1, 2], { topLogprobs: 4, temperature: 0 });
    expect(tokenId).toBe(1);
    expect(topLogprobs.map((entry) => entry.tokenId)).toEqual([1, 2, 4, 0]);
    const drawnLast = sample(FOUR, { topLogprobs: 1, uniform: 0.95 });
    expect(drawnLast.tokenId).toBe(3);
    expect(drawnLast.topLogprobs.map((entry) => entry.tokenId)).toEqual([0]);
    expect(sample(FOUR, { topLogprobs: 0 }).topLogprobs).toEqual([]);
    expect(sample(FOUR, {}).logprob).toBeNull();
  });
  it("are never -0", () => {
    const { logprob, topLogprobs } = sample([200, 0], { topLogprobs: 1 });
    expect(Object.is(logprob, 0)).toBe(true);
    expect(Object.is(topLogprobs[0]!.logprob, 0)).toBe(true);
  });
});

describe("processed log-probabilities", () => {
  const processed = (changes: Partial<SampleRequest>) =>
    sample(FOUR, { topLogprobs: 20, logprobsMode: "processed", ...changes });
  const drawnOnce = (id: number) => adjustments([{ id, count: 1, seen: true }]);
  const rounded = (logprob: number) => Math.round(Math.exp(logprob) * 1e6) / 1e6;
  const listed = ({ topLogprobs }: SampledToken) =>
    topLogprobs.map(({ tokenId, logprob }) => [tokenId, rounded(logprob)]);
  const share = (part: number, ...all: number[]) =>
    Math.round((part / all.reduce((sum, weight) => sum + weight)) * 1e6) / 1e6;
  const [a, b, c] = [0.4, 0.3, 0.2].map(Math.sqrt) as [number, number, number];

  it.each<[string, Partial<SampleRequest>, [number, number][]]>([
    [
      "nothing removed",
      {},
      [
        [0, 0.4],
        [1, 0.3],
        [2, 0.2],
        [3, 0.1],
      ],
    ],
    [
      "top_k",
      { topK: 2 },
      [
        [0, share(4, 4, 3)],
        [1, share(3, 4, 3)],
      ],
    ],
    [
      "temperature, then top_p",
      { temperature: 2, topP: 0.65 },
      [
        [0, share(a, a, b, c)],
        [1, share(b, a, b, c)],
        [2, share(c, a, b, c)],
      ],
    ],
    [
      "min_p",
      { minP: 0.6 },
      [
        [0, share(4, 4, 3)],
        [1, share(3, 4, 3)],
      ],
    ],
    [
      "top_p, then min_p",
      { topP: 0.85, minP: 0.6 },
      [
        [0, share(4, 4, 3)],
        [1, share(3, 4, 3)],
      ],
    ],
    [
      "the grammar",
      { allowed: Uint32Array.of(0b1010) },
      [
        [1, 0.75],
        [3, 0.25],
      ],
    ],
    [
      "a bias",
      { adjustments: adjustments([{ id: 3, bias: Math.log(11) }]) },
      [
        [3, 0.55],
        [0, 0.2],
        [1, 0.15],
        [2, 0.1],
      ],
    ],
    [
      "a penalty",
      { adjustments: drawnOnce(0), presencePenalty: Math.log(4), topK: 2 },
      [
        [1, 0.6],
        [2, 0.4],
      ],
    ],
  ])("are those of the kept tokens, and no other tokens are listed: %s", (_, changes, expected) => {
    for (const uniform of [0, 0.3, 0.6, 0.99]) {
      const answer = processed({ ...changes, uniform });
      expect(listed(answer)).toEqual(expected);
      expect([answer.tokenId, rounded(answer.logprob!)]).toEqual(
        expected.find(([tokenId]) => tokenId === answer.tokenId),
      );
    }
    expect(listed(processed({ ...changes, topLogprobs: 1 }))).toEqual(expected.slice(0, 1));
    expect(processed({ ...changes, topLogprobs: 0 }).topLogprobs).toEqual([]);
  });

  it("of a greedy draw are those of the row after step 3, without temperature, top_k, top_p and min_p", () => {
    const ignored = { temperature: 0, topK: 1, topP: 0.1, minP: 1 };
    expect(listed(processed(ignored))).toEqual([
      [0, 0.4],
      [1, 0.3],
      [2, 0.2],
      [3, 0.1],
    ]);
    const changed = {
      ...ignored,
      allowed: Uint32Array.of(0b1110),
      adjustments: drawnOnce(1),
      presencePenalty: Math.log(3),
    };
    expect(processed(changed).tokenId).toBe(2);
    expect(listed(processed(changed))).toEqual([
      [2, 0.5],
      [1, 0.25],
      [3, 0.25],
    ]);
  });

  it("list ties by ascending id", () => {
    const { topLogprobs } = sample([1, 2, 2, 1, 2], { topLogprobs: 4, logprobsMode: "processed", topK: 4 });
    expect(topLogprobs.map(({ tokenId }) => tokenId)).toEqual([1, 2, 4, 0]);
  });

  it("are finite and never -0 at any temperature", () => {
    for (const temperature of [1e-3, 1e-100, 5e-324]) {
      const { logprob, topLogprobs } = sample([200, 0], { topLogprobs: 2, logprobsMode: "processed", temperature });
      expect(Object.is(logprob, 0)).toBe(true);
      expect(Object.is(topLogprobs[0]!.logprob, 0)).toBe(true);
      expect(topLogprobs[1]!.logprob).toBeLessThan(-100_000);
      expect(Number.isFinite(topLogprobs[1]!.logprob)).toBe(true);
    }
    const kept = sample([200, 0], { topLogprobs: 2, logprobsMode: "processed", topK: 1 });
    expect(kept.topLogprobs).toEqual([{ tokenId: 0, logprob: 0 }]);
  });
});

describe("rows without a distribution", () => {
  const cases: [string, number[], Partial<SampleRequest>][] = [
    ["NaN", [1, NaN, 2], {}],
    ["NaN in a long row", Array.from({ length: 1000 }, (_, i) => (i === 100 ? NaN : i)), { topK: 5 }],
    ["NaN at a forbidden token", [1, NaN, 2], { allowed: Uint32Array.of(0b101) }],
    ["nothing finite", [-Infinity, -Infinity], {}],
    ["+Infinity", [1, Infinity], { temperature: 0 }],
    ["everything forbidden", [1, 2], { allowed: Uint32Array.of(0) }],
    ["only -Infinity allowed", [-Infinity, 2], { allowed: Uint32Array.of(1) }],
  ];
  it.each(cases)("are refused: %s", (_, logits, changes) => {
    for (const kernels of builds) {
      expect(() => kernels.sample(placeFloats(kernels, logits), logits.length, request(changes))).toThrow(
        InvalidLogitsError,
      );
    }
  });
});

describe("misuse", () => {
  const refused: [string, Partial<SampleRequest>][] = [
    ["temperature", { temperature: -1 }],
    ["temperature", { temperature: NaN }],
    ["topP", { topP: 1.1 }],
    ["minP", { minP: -0.1 }],
    ["topK", { topK: 0 }],
    ["uniform", { uniform: 1 }],
    ["topLogprobs", { topLogprobs: 21 }],
    ["repetitionPenalty", { repetitionPenalty: 0 }],
    ["allowed", { allowed: new Uint32Array(0) }],
    ["adjustments.length", { adjustments: { ...adjustments([{}]), length: 2 } }],
    ["adjustments.tokenIds", { adjustments: adjustments([{ id: 2 }]) }],
    ["adjustments.tokenIds", { adjustments: adjustments([{ id: -1 }]) }],
  ];
  it.each(refused)("an invalid %s is refused", (name, changes) => {
    const kernels = builds[0]!;
    expect(() => kernels.sample(placeFloats(kernels, [1, 2]), 2, request(changes))).toThrow(name);
  });
});

/**
 * Rows of many shapes: spread, ties, peaks, clusters (thousands of tokens in one bucket), ramps, signed zeros,
 * removed tokens, tiny and huge scales.
 */
const row = fc
  .record({
    size: fc.constantFrom(1, 2, 5, 63, 64, 65, 130, 700, 2500, 9000),
    shape: fc.constantFrom("bell", "few values", "peak", "cluster", "ramp", "zeros", "holes"),
    scale: fc.constantFrom(1e-30, 0.01, 0.3, 1, 5, 30, 1e30),
    seed: fc.nat(),
  })
  .map(({ size, shape, scale, seed }) => {
    const random = randomNumbers(seed);
    const values: Record<typeof shape, (i: number) => number> = {
      bell: () => (random() + random() + random() - 1.5) * scale,
      "few values": () => (Math.floor(random() * 4) - 1) * scale,
      peak: (i) => (i === size >> 1 ? 3 * scale : random() * scale),
      cluster: (i) =>
        i % 4000 === 7 ? 3 + random() : (random() + 0.001 * Math.floor(3 * random())) * 1e-4 * Math.min(1, scale),
      ramp: (i) => (i * scale) / size,
      zeros: () => (random() < 0.5 ? 0 : -0),
      holes: (i) => (i > 0 && random() < 0.6 ? -Infinity : random() * scale),
    };
    return Float32Array.from({ length: size }, (_, i) => values[shape](i));
  });

const changes = fc.record({
  temperature: fc.constantFrom(0, 1e-3, 0.2, 0.7, 1, 1.3, 2),
  topK: fc.option(fc.constantFrom(1, 2, 7, 40, 500, 1024, 1025, 4000)),
  topP: fc.option(fc.constantFrom(0, 0.1, 0.5, 0.9, 0.999, 1)),
  minP: fc.option(fc.constantFrom(0, 1e-8, 0.01, 0.2, 1)),
  uniform: fc.integer({ min: 0, max: 2 ** 53 - 1 }).map((bits) => bits / 2 ** 53),
  repetitionPenalty: fc.constantFrom(1, 0.5, 1.2, 2),
  frequencyPenalty: fc.constantFrom(0, -2, 0.3),
  presencePenalty: fc.constantFrom(0, 1.5, -0.1),
  topLogprobs: fc.option(fc.constantFrom(0, 1, 20)),
});

/** Returns adjusted tokens and a token mask for a row of this size, from a seed. */
function context(size: number, seed: number): Pick<SampleRequest, "adjustments" | "allowed"> {
  const random = randomNumbers(seed);
  const ids = new Set(Array.from({ length: Math.floor(random() * 40) }, () => Math.floor(random() * size)));
  const touched = adjustments(
    Array.from(ids, (id) => ({
      id,
      bias: random() < 0.5 ? 0 : (random() - 0.5) * 30,
      count: Math.floor(random() * 4),
      seen: random() < 0.7,
    })),
  );
  const words = Uint32Array.from({ length: Math.ceil(size / 32) }, () => (random() < 0.2 ? 0 : random() * 2 ** 32));
  return { adjustments: random() < 0.5 ? touched : null, allowed: random() < 0.6 ? null : words };
}

/** In `processed` mode the draw must be the same, and the log-probabilities must match the reference. */
function expectProcessed(logits: Float32Array, given: Partial<SampleRequest>): void {
  if (given.topLogprobs === null) return;
  const changed = { ...given, logprobsMode: "processed" as const };
  let expected: ReferenceSample;
  try {
    expected = referenceSample(logits, request(changed));
  } catch {
    expect(() => sample(logits, changed)).toThrow(InvalidLogitsError);
    return;
  }
  const answer = sample(logits, changed);
  expect(answer.tokenId).toBe(sample(logits, given).tokenId);
  if (expected.margin <= 1e-6) return;
  expect(answer.topLogprobs.map(({ tokenId }) => tokenId)).toEqual(expected.topLogprobs.map(({ tokenId }) => tokenId));
  const near = (logprob: number, other: number) =>
    expect(Math.abs(logprob - other)).toBeLessThanOrEqual(1e-15 + 2e-7 * Math.abs(other));
  near(answer.logprob!, expected.logprob!);
  answer.topLogprobs.forEach(({ logprob }, i) => near(logprob, expected.topLogprobs[i]!.logprob));
}

describe("compared with the float64 reference", () => {
  it("draws the same token from any row with any parameters, away from boundaries", () => {
    let compared = 0;
    fc.assert(
      fc.property(row, changes, fc.nat(), (logits, drawn, seed) => {
        const changed = { ...drawn, ...context(logits.length, seed) };
        expectProcessed(logits, changed);
        let expected: ReferenceSample;
        try {
          expected = referenceSample(logits, request(changed));
        } catch {
          expect(() => sample(logits, changed)).toThrow(InvalidLogitsError);
          return;
        }
        const answer = sample(logits, changed);
        if (expected.margin > 1e-6) {
          expect(answer.tokenId).toBe(expected.tokenId);
          compared++;
          if (expected.logprob !== answer.logprob) {
            expect(Math.abs(answer.logprob! - expected.logprob!)).toBeLessThanOrEqual(
              1e-15 + 2e-7 * Math.abs(expected.logprob!),
            );
          }
        }
        expect(answer.topLogprobs.map((entry) => entry.tokenId)).toEqual(
          expected.topLogprobs.map((entry) => entry.tokenId),
        );
      }),
      { seed: 2026, numRuns: numCases(1500) },
    );
    expect(compared).toBeGreaterThan(numCases(1000));
  });

  it("gives the same results for a large vocabulary", () => {
    const random = randomNumbers(4);
    const logits = Float32Array.from({ length: numCases(151_936) }, (_, i) =>
      i === 5 ? 12 : 2 * (random() + random() + random() + random() - 2),
    );
    for (const changed of [
      {},
      { topP: 0.9 },
      { minP: 0.001 },
      { topK: 40 },
      { topK: 5000, topP: 0.7 },
      { temperature: 0.5, topP: 0.99, minP: 1e-4 },
    ]) {
      for (const uniform of [0.123456, 0.87654321]) {
        const expected = referenceSample(logits, request({ ...changed, uniform, topLogprobs: 20 }));
        expectProcessed(logits, { ...changed, uniform, topLogprobs: 20 });
        const { tokenId, logprob, topLogprobs } = sample(logits, { ...changed, uniform, topLogprobs: 20 });
        expect(expected.margin).toBeGreaterThan(1e-10);
        expect({ tokenId, logprob, topLogprobs }).toEqual({
          tokenId: expected.tokenId,
          logprob: expected.logprob,
          topLogprobs: expected.topLogprobs,
        });
      }
    }
  });

  it("truncates and draws inside a bucket of thousands of tokens", () => {
    // All logits but one are within a thousandth of each other; the distant one makes the buckets wide.
    const random = randomNumbers(12);
    const logits = Float32Array.from({ length: 6000 }, (_, i) => (i === 9 ? -20 : 5 - random() * 1e-3));
    for (const changed of [
      {},
      { topP: 0.37 },
      { topP: 0.9, minP: Math.exp(-6.1e-4) },
      { topP: 0.2, minP: Math.exp(-6.1e-4) },
    ]) {
      for (const uniform of [0.03, 0.31, 0.5001, 0.7772, 0.999]) {
        const expected = referenceSample(logits, request({ ...changed, uniform }));
        expect(expected.margin).toBeGreaterThan(1e-9);
        expect(sample(logits, { ...changed, uniform }).tokenId).toBe(expected.tokenId);
      }
    }
  });

  it("switches to another token at exactly the same u in every build", () => {
    const random = randomNumbers(9);
    for (const [size, spread, changed] of [
      [1003, 3, {}],
      [4001, 1e-5, {}],
      [4002, 2, { topP: 0.8 }],
      [4003, 2, { topP: 0.9, minP: 0.1 }],
      [3000, 2, { topK: 900, topP: 0.7 }],
    ] as const) {
      const logits = Float32Array.from({ length: size }, (_, i) => (i === 50 ? 4 : spread * (random() + random())));
      const switches = builds.map((kernels) => {
        const address = placeFloats(kernels, logits);
        const drawn = (bits: number) =>
          kernels.sample(address, size, request({ ...changed, uniform: bits / 2 ** 53 })).tokenId;
        // Bisection keeps two ends with different tokens, so it ends at two adjacent values with different tokens.
        let below = 0.6 * 2 ** 53;
        let above = 0.61 * 2 ** 53;
        if (drawn(below) === drawn(above)) above = 2 ** 53 - 1;
        const first = drawn(below);
        while (above - below > 1) {
          const middle = Math.floor((below + above) / 2);
          if (drawn(middle) === first) below = middle;
          else above = middle;
        }
        return above;
      });
      expect(new Set(switches).size, `${size} tokens: ${switches.join(", ")}`).toBe(1);
    }
  });

  it("computes weights that match exp to the last few bits", () => {
    // With two tokens, the second is drawn for u >= 1 / (1 + w), so bisection over u measures w.
    const kernels = builds[1]!;
    for (const distance of [1e-6, 0.001, 0.1, 0.5, 0.6931, 1, 1.7, 2.5, 3]) {
      const logits = placeFloats(kernels, [0, -distance]);
      const exact = Math.exp(-Math.fround(distance) / 0.9);
      let below = 0;
      let above = 2 ** 53;
      while (above - below > 1) {
        const middle = Math.floor((below + above) / 2);
        const { tokenId } = kernels.sample(logits, 2, request({ temperature: 0.9, uniform: middle / 2 ** 53 }));
        if (tokenId === 0) below = middle;
        else above = middle;
      }
      const weight = 2 ** 53 / above - 1;
      expect(Math.abs(weight - exact)).toBeLessThan(4 * 2 ** -52 * (1 + exact));
    }
  });
});
