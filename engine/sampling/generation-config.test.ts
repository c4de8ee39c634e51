import { describe, expect, it } from "vitest";
import { EngineError } from "../errors.js";
import { type GenerationOptions, generationConfig } from "./generation-config.js";

function refusal(options: object): EngineError {
  try {
    generationConfig(options as GenerationOptions);
  } catch (error) {
    if (error instanceof EngineError) return error;
    throw error;
  }
  throw new Error(`Accepted: ${JSON.stringify(options)}`);
}

describe("generationConfig", () => {
  it("has the contract's defaults", () => {
    const { seed, ...rest } = generationConfig();
    expect(Number.isSafeInteger(seed) && seed >= 0).toBe(true);
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
      separateReasoning: false,
    });
  });

  it("draws a new seed each time none is given", () => {
    expect(generationConfig().seed).not.toBe(generationConfig().seed);
  });

  it("reads null and undefined as not given", () => {
    const options: GenerationOptions = { temperature: null, topP: undefined, stop: null, n: null, logprobs: null, seed: 1 };
    expect(generationConfig(options)).toEqual(generationConfig({ seed: 1 }));
  });

  it("accepts the ends of every range, and its own result", () => {
    const accepted: GenerationOptions[] = [
      { maxTokens: 1 },
      { n: 1 },
      { n: 128 },
      { seed: Number.MIN_SAFE_INTEGER },
      { seed: Number.MAX_SAFE_INTEGER },
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
      { logitBias: new Map([[0, -100], [5, 100], [7, 0.5]]) },
      { logprobs: true, topLogprobs: 20 },
    ];
    for (const options of accepted) {
      const config = generationConfig(options);
      expect(generationConfig(config)).toEqual(config);
      expect(config).toMatchObject(options);
    }
  });

  const tooMany = new Map(Array.from({ length: 1025 }, (_, i) => [i, 0]));
  const refused: [object, string, string, string][] = [
    [{ maxTokens: 0 }, "out_of_range", "max_tokens", "Given: 0"],
    [{ maxTokens: 1.5 }, "invalid_type", "max_tokens", "Given: 1.5"],
    [{ maxTokens: "1" }, "invalid_type", "max_tokens", 'Given: "1"'],
    [{ n: 129 }, "out_of_range", "n", "1..128"],
    [{ n: 0 }, "out_of_range", "n", "1..128"],
    [{ seed: 2 ** 53 }, "out_of_range", "seed", "Given: 9007199254740992"],
    [{ seed: 0.5 }, "invalid_type", "seed", "Given: 0.5"],
    [{ frequencyPenalty: 2.1 }, "out_of_range", "frequency_penalty", "-2..2"],
    [{ presencePenalty: -2.1 }, "out_of_range", "presence_penalty", "-2..2"],
    [{ repetitionPenalty: 0 }, "out_of_range", "repetition_penalty", "more than 0"],
    [{ repetitionPenalty: 2.01 }, "out_of_range", "repetition_penalty", "at most 2"],
    [{ stop: "a" }, "invalid_type", "stop", 'Given: "a"'],
    [{ stop: ["a", 1] }, "invalid_type", "stop[1]", "Given: 1"],
    [{ stop: [""] }, "out_of_range", "stop[0]", "empty"],
    [{ stop: ["a", "\ud800"] }, "out_of_range", "stop[1]", "surrogate"],
    [{ stop: ["a", "b", "c", "d", "e"] }, "out_of_range", "stop", "at most 4"],
    [{ includeStop: 1 }, "invalid_type", "include_stop_str_in_output", "Given: 1"],
    [{ temperature: 2.1 }, "out_of_range", "temperature", "0..2"],
    [{ temperature: -1 }, "out_of_range", "temperature", "Given: -1"],
    [{ temperature: NaN }, "out_of_range", "temperature", "Given: NaN"],
    [{ temperature: true }, "invalid_type", "temperature", "Given: true"],
    [{ topP: 1.01 }, "out_of_range", "top_p", "0..1"],
    [{ topK: 0 }, "out_of_range", "top_k", "Given: 0"],
    [{ topK: 2.5 }, "invalid_type", "top_k", "Given: 2.5"],
    [{ minP: -0.1 }, "out_of_range", "min_p", "0..1"],
    [{ logitBias: { 1: 2 } }, "invalid_type", "logit_bias", "Map"],
    [{ logitBias: new Map([[-1, 0]]) }, "out_of_range", "logit_bias.-1", "token ids"],
    [{ logitBias: new Map([[17, 101]]) }, "out_of_range", "logit_bias.17", "-100..100"],
    [{ logitBias: new Map([[17, "1"]]) }, "invalid_type", "logit_bias.17", 'Given: "1"'],
    [{ logitBias: new Map([[17, NaN]]) }, "out_of_range", "logit_bias.17", "Given: NaN"],
    [{ logitBias: tooMany }, "out_of_range", "logit_bias", "1024"],
    [{ logprobs: "yes" }, "invalid_type", "logprobs", 'Given: "yes"'],
    [{ logprobs: true, topLogprobs: 21 }, "out_of_range", "top_logprobs", "0..20"],
    [{ topLogprobs: 1 }, "unsupported_value", "top_logprobs", "needs logprobs"],
    [{ separateReasoning: 0 }, "invalid_type", "separate_reasoning", "Given: 0"],
    [{ topk: 5 }, "unsupported_parameter", "topk", "not a generation option"],
  ];
  it.each(refused)("refuses %j with %s", (options, code, param, message) => {
    const error = refusal(options);
    expect(error.code).toBe(code);
    expect(error.param).toBe(param);
    expect(error.message).toContain(message);
  });

  it("names the first bad parameter in the contract's order", () => {
    expect(refusal({ topK: 0, temperature: 3, n: 0 }).param).toBe("n");
    expect(refusal({ topP: 3, temperature: 3 }).param).toBe("temperature");
  });
});
