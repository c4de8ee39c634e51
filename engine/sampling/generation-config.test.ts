import { inspect } from "node:util";

import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";

import { generationConfigs } from "../../spec-tests/fixtures/generation-configs.js";
import { EngineError } from "../errors.js";
import { type GenerationOptions, generationConfig } from "./generation-config.js";

const SEED_RANGE = "must be in -9223372036854775808..18446744073709551615, as a bigint beyond 2^53-1";

function refusal(options: object): EngineError {
  try {
    generationConfig(options as GenerationOptions);
  } catch (error) {
    if (error instanceof EngineError) return error;
    throw error;
  }
  throw new Error(`Accepted: ${inspect(options)}`);
}

describe("generationConfig", () => {
  it("has the contract's defaults", () => {
    const { seed, ...rest } = generationConfig();
    expect(Number.isSafeInteger(seed) && (seed as number) >= 0).toBe(true);
    expect(rest).toEqual({
      maxTokens: null,
      n: 1,
      frequencyPenalty: 0,
      presencePenalty: 0,
      repetitionPenalty: 1,
      stop: [],
      includeStop: false,
      temperature: 1,
      topP: null,
      topK: null,
      minP: null,
      logitBias: new Map(),
      logprobs: false,
      topLogprobs: 0,
      separateReasoning: true,
      contextLengthExceededBehavior: "truncate",
    });
  });

  it("returns every valid configuration unchanged", () => {
    fc.assert(
      fc.property(generationConfigs(), (config) => {
        expect(generationConfig(config)).toEqual(config);
      }),
    );
  });

  it("gives a seed that is a small bigint as a number", () => {
    for (const seed of [0, -1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER])
      expect(generationConfig({ seed: BigInt(seed) }).seed).toBe(seed);
  });

  it("draws a new seed each time if none is given", () => {
    expect(generationConfig().seed).not.toBe(generationConfig().seed);
  });

  it("draws the seed from 0..2^53-1", () => {
    for (const [word, seed] of [
      [0, 0],
      [0xffffffff, Number.MAX_SAFE_INTEGER],
    ] as const) {
      const random = vi
        .spyOn(crypto, "getRandomValues")
        .mockImplementation((words) => (words as Uint32Array).fill(word) as never);
      expect(generationConfig().seed).toBe(seed);
      random.mockRestore();
    }
  });

  it("treats null and undefined as not given", () => {
    const options: GenerationOptions = {
      temperature: null,
      topP: undefined,
      stop: null,
      n: null,
      logprobs: null,
      seed: 1,
    };
    expect(generationConfig(options)).toEqual(generationConfig({ seed: 1 }));
  });

  it("accepts the ends of every range, and its own result as input", () => {
    const accepted: GenerationOptions[] = [
      { maxTokens: 1 },
      { n: 1 },
      { n: 128 },
      { seed: Number.MIN_SAFE_INTEGER },
      { seed: Number.MAX_SAFE_INTEGER },
      { seed: -(2n ** 63n) },
      { seed: 2n ** 64n - 1n },
      { seed: 2n ** 53n },
      { frequencyPenalty: -2, presencePenalty: 2 },
      { repetitionPenalty: 2 },
      { repetitionPenalty: Number.MIN_VALUE },
      { stop: ["a", "\u0000", "\u{1f600}", "d"] },
      { temperature: 0 },
      { temperature: 2 },
      { topP: 0 },
      { topP: 1 },
      { topK: 1 },
      { topK: 1_000_000 },
      { minP: 0 },
      { minP: 1 },
      {
        logitBias: new Map([
          [0, -100],
          [5, 100],
          [7, 0.5],
        ]),
      },
      { logitBias: new Map(Array.from({ length: 1024 }, (_, i) => [i, i / 100])) },
      { logprobs: true, topLogprobs: 20 },
    ];
    for (const options of accepted) {
      const config = generationConfig(options);
      expect(generationConfig(config)).toEqual(config);
      expect(config).toMatchObject(options);
    }
  });

  const tooMany = new Map(Array.from({ length: 1025 }, (_, i) => [i, 0]));
  const words = "x".repeat(80);
  const refused: [object, string, string, string][] = [
    [{ maxTokens: 0 }, "out_of_range", "maxTokens", "must be at least 1. Given: 0"],
    [{ maxTokens: 1.5 }, "invalid_type", "maxTokens", "must be an integer. Given: 1.5"],
    [{ maxTokens: "1" }, "invalid_type", "maxTokens", 'must be an integer. Given: "1"'],
    [{ n: 129 }, "out_of_range", "n", "must be in 1..128. Given: 129"],
    [{ n: 0 }, "out_of_range", "n", "must be in 1..128. Given: 0"],
    [{ seed: 2 ** 53 }, "out_of_range", "seed", `${SEED_RANGE}. Given: 9007199254740992`],
    [{ seed: -(2 ** 53) }, "out_of_range", "seed", `${SEED_RANGE}. Given: -9007199254740992`],
    [{ seed: 0.5 }, "invalid_type", "seed", "must be an integer. Given: 0.5"],
    [{ seed: Infinity }, "out_of_range", "seed", `${SEED_RANGE}. Given: Infinity`],
    [{ seed: 2n ** 64n }, "out_of_range", "seed", `${SEED_RANGE}. Given: 18446744073709551616`],
    [{ seed: -(2n ** 63n) - 1n }, "out_of_range", "seed", `${SEED_RANGE}. Given: -9223372036854775809`],
    [{ seed: "5" }, "invalid_type", "seed", 'must be an integer. Given: "5"'],
    [{ frequencyPenalty: 2.1 }, "out_of_range", "frequencyPenalty", "must be in -2..2. Given: 2.1"],
    [{ presencePenalty: -2.1 }, "out_of_range", "presencePenalty", "must be in -2..2. Given: -2.1"],
    [{ repetitionPenalty: 0 }, "out_of_range", "repetitionPenalty", "must be more than 0 and at most 2. Given: 0"],
    [
      { repetitionPenalty: 2.01 },
      "out_of_range",
      "repetitionPenalty",
      "must be more than 0 and at most 2. Given: 2.01",
    ],
    [{ repetitionPenalty: "1" }, "invalid_type", "repetitionPenalty", 'must be a number. Given: "1"'],
    [{ stop: "a" }, "invalid_type", "stop", 'must be an array of strings. Given: "a"'],
    [{ stop: ["a", 1] }, "invalid_type", "stop[1]", "must be a string. Given: 1"],
    [{ stop: [["a"]] }, "invalid_type", "stop[0]", "must be a string. Given: an array of 1"],
    [{ stop: [""] }, "out_of_range", "stop[0]", 'must not be empty. Given: ""'],
    [{ stop: ["a", "\ud800"] }, "out_of_range", "stop[1]", 'must not hold a lone surrogate. Given: "\\ud800"'],
    [{ stop: ["a", "b", "c", "d", "e"] }, "out_of_range", "stop", "must have at most 4 entries. Given: 5"],
    [{ includeStop: 1 }, "invalid_type", "includeStop", "must be a boolean. Given: 1"],
    [{ temperature: 2.1 }, "out_of_range", "temperature", "must be in 0..2. Given: 2.1"],
    [{ temperature: -1 }, "out_of_range", "temperature", "must be in 0..2. Given: -1"],
    [{ temperature: NaN }, "out_of_range", "temperature", "must be in 0..2. Given: NaN"],
    [{ temperature: true }, "invalid_type", "temperature", "must be a number. Given: true"],
    [{ temperature: words }, "invalid_type", "temperature", `must be a number. Given: "${words}"`],
    [{ temperature: `${words}x` }, "invalid_type", "temperature", `must be a number. Given: "${words}..."`],
    [{ topP: 1.01 }, "out_of_range", "topP", "must be in 0..1. Given: 1.01"],
    [{ topK: 0 }, "out_of_range", "topK", "must be at least 1. Given: 0"],
    [{ topK: 2.5 }, "invalid_type", "topK", "must be an integer. Given: 2.5"],
    [{ minP: -0.1 }, "out_of_range", "minP", "must be in 0..1. Given: -0.1"],
    [{ logitBias: { 1: 2 } }, "invalid_type", "logitBias", "must be a Map from token id to number. Given: an object"],
    [{ logitBias: new Map([[-1, 0]]) }, "out_of_range", "logitBias.-1", "must be keyed by token ids. Given: -1"],
    [{ logitBias: new Map([[0.5, 0]]) }, "out_of_range", "logitBias.0.5", "must be keyed by token ids. Given: 0.5"],
    [{ logitBias: new Map([[17, 101]]) }, "out_of_range", "logitBias.17", "must be in -100..100. Given: 101"],
    [{ logitBias: new Map([[17, "1"]]) }, "invalid_type", "logitBias.17", 'must be a number. Given: "1"'],
    [{ logitBias: new Map([[17, NaN]]) }, "out_of_range", "logitBias.17", "must be in -100..100. Given: NaN"],
    [{ logitBias: tooMany }, "out_of_range", "logitBias", "must have at most 1024 entries. Given: 1025"],
    [{ logprobs: "yes" }, "invalid_type", "logprobs", 'must be a boolean. Given: "yes"'],
    [{ logprobs: true, topLogprobs: 21 }, "out_of_range", "topLogprobs", "must be in 0..20. Given: 21"],
    [{ topLogprobs: 1 }, "unsupported_value", "topLogprobs", "needs logprobs: true. Given: 1 without it"],
    [
      { contextLengthExceededBehavior: "ask" },
      "unsupported_value",
      "contextLengthExceededBehavior",
      'must be truncate or error. Given: "ask"',
    ],
    [{ separateReasoning: 0 }, "invalid_type", "separateReasoning", "must be a boolean. Given: 0"],
    [
      { topk: 5 },
      "unknown_parameter",
      "topk",
      `is not a generation option. Known: ${Object.keys(generationConfig()).join(", ")}`,
    ],
  ];
  it.each(refused.map((row) => [inspect(row[0]), ...row] as const))(
    "refuses %s",
    (_, options, code, param, message) => {
      const error = refusal(options);
      expect(error.code).toBe(code);
      expect(error.param).toBe(param);
      expect(error.message).toBe(`${param} ${message}`);
    },
  );

  it("reports the first invalid parameter in the contract's order", () => {
    expect(refusal({ topK: 0, temperature: 3, n: 0 }).param).toBe("n");
    expect(refusal({ topP: 3, temperature: 3 }).param).toBe("temperature");
  });
});
