/**
 * Tests folders of ONNX files, in the forms of common exporters, against a naive loop over ONNX Runtime and against the
 * float64 forward pass, and tests that unsupported graphs are refused by name.
 */

import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";

import { dequantize, quantize } from "../../kernels/index.js";
import { writeExport, type ExportOptions, type ExportShape } from "../../spec-tests/fixtures/onnx-export.js";
import { naiveLogits } from "../../spec-tests/oracles/onnx-naive.js";
import { randomSource, writeRandomModel, type RandomTensor } from "../../spec-tests/fixtures/random-model.js";
import { loadModel, Model } from "../model/model.js";
import type { GenerateOptions } from "../model/preparer.js";
import type { LoadModelOptions } from "../model/load-options.js";
import { readModelConfig } from "../architecture/config.js";
import { openOnnxFolder, readHead, type OnnxFolder } from "../folder/onnx-folder.js";
import { valuesOf } from "../../spec-tests/oracles/estimate.js";
import { hiddenStates } from "../../spec-tests/oracles/forward.js";
import { namedLogits, namedModel } from "../../spec-tests/oracles/named-model.js";

/** Head dimension 16, which GroupQueryAttention can rotate; widths that are multiples of a block of 32. */
const CONFIG = {
  hidden_size: 64,
  intermediate_size: 96,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 512,
};
const SHAPE: ExportShape = {
  hidden: 64,
  inner: 96,
  layers: 2,
  heads: 4,
  kvHeads: 2,
  vocab: 257,
  positions: 512,
  ropeTheta: 10_000,
  epsilon: 1e-5,
};

let scratch: string;
let source: string;
let tensors: Map<string, RandomTensor>;
const kept = process.env["TOUCHSTONE_CACHE"];

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "onnx-graph-"));
  process.env["TOUCHSTONE_CACHE"] = join(scratch, "cache");
  source = join(scratch, "source");
  tensors = await writeRandomModel(source, { config: CONFIG, seed: 3, files: { "model.safetensors": null } });
});
afterAll(async () => {
  if (kept === undefined) delete process.env["TOUCHSTONE_CACHE"];
  else process.env["TOUCHSTONE_CACHE"] = kept;
  await rm(scratch, { recursive: true, force: true });
});

async function exported(name: string, options: ExportOptions): Promise<string> {
  const dir = join(scratch, name);
  await writeExport(source, dir, SHAPE, tensors, options);
  return dir;
}

const open = (dir: string, dtype?: ExportOptions["dtype"]): Promise<OnnxFolder> =>
  openOnnxFolder(dir, dtype, join(scratch, "cache"));

async function withModel<T>(options: LoadModelOptions, use: (model: Model) => Promise<T>): Promise<T> {
  const model = await loadModel({ numThreads: 1, ...options });
  try {
    return await use(model);
  } finally {
    await model.close();
  }
}

/**
 * Continues a prompt, in which each byte is a token. Returns the ids of the prompt and of the continuation, the
 * log-probabilities of the 20 likeliest tokens for each id of the continuation, and the number of cached tokens.
 */
async function continued(model: Model, prompt: string, options: Partial<GenerateOptions> = {}) {
  const stream = model.generate({ prompt, temperature: 0, maxTokens: 24, logprobs: true, topLogprobs: 20, ...options });
  const tokenIds: number[] = [];
  const tops: { tokenId: number; logprob: number }[][] = [];
  let cachedTokens = 0;
  for await (const delta of stream) {
    tokenIds.push(...delta.tokenIds);
    tops.push(...delta.logprobs.map(({ topLogprobs }) => [...topLogprobs]));
    cachedTokens = delta.usage?.cachedTokens ?? cachedTokens;
  }
  return { promptIds: stream.promptTokenIds, tokenIds, tops, cachedTokens };
}

function text(length: number, seed: number): string {
  const random = randomSource(seed);
  return Array.from({ length }, () => String.fromCharCode(97 + Math.floor(random() * 26))).join("");
}

function logProbabilities(logits: ArrayLike<number>): number[] {
  const largest = Math.max(...Array.from(logits));
  const total = Math.log(Array.from(logits).reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
  return Array.from(logits, (logit) => logit - largest - total);
}

/** Returns the largest difference between reported log-probabilities and those computed from logits. */
function largestDifference(
  tops: readonly (readonly { tokenId: number; logprob: number }[])[],
  rows: readonly ArrayLike<number>[],
): number {
  expect(tops.length).toBeGreaterThan(0);
  return Math.max(
    ...tops.map((top, index) => {
      const expected = logProbabilities(rows[index]!);
      expect(top).toHaveLength(20);
      return Math.max(...top.map(({ tokenId, logprob }) => Math.abs(logprob - expected[tokenId]!)));
    }),
  );
}

interface Export {
  readonly options: ExportOptions;
  readonly ending: OnnxFolder["decoder"]["ending"];
  /** Largest allowed difference between log-probabilities and those of a naive run of the same file. */
  readonly bound: number;
  /**
   * Prompt lengths in tokens. Activations quantized to bytes take their range from the whole pass, so with them a
   * prompt of several blocks gives another result than one pass.
   */
  readonly promptLengths: readonly number[];
}

const F32_BOUND = 1e-4;
/** Half precision has 11 bits; the LM head that was cut off does not round its logits, which are about 4, to f16. */
const F16_BOUND = 2e-2;
const LENGTHS = [5, 128, 150, 300];
const EXPORTS: readonly [string, Export][] = [
  ["plain fp32", { options: { dtype: "fp32" }, ending: "cut off", bound: F32_BOUND, promptLengths: LENGTHS }],
  [
    "plain fp32, tied, symbolic cache shapes",
    {
      options: { dtype: "fp32", tied: true, symbolicCaches: true },
      ending: "cut off",
      bound: F32_BOUND,
      promptLengths: LENGTHS,
    },
  ],
  [
    "plain fp32, external weights",
    { options: { dtype: "fp32", external: true }, ending: "cut off", bound: F32_BOUND, promptLengths: LENGTHS },
  ],
  [
    "plain fp32 with num_logits_to_keep",
    { options: { dtype: "fp32", numLogitsToKeep: true }, ending: "cut off", bound: F32_BOUND, promptLengths: LENGTHS },
  ],
  [
    "plain fp32 with a list as num_logits_to_keep",
    {
      options: { dtype: "fp32", numLogitsToKeep: "list" },
      ending: "cut off",
      bound: F32_BOUND,
      promptLengths: LENGTHS,
    },
  ],
  [
    "plain fp32 with capped logits",
    {
      options: { dtype: "fp32", softcap: 3 },
      ending: "of the last position",
      bound: F32_BOUND,
      promptLengths: LENGTHS,
    },
  ],
  [
    "plain fp32, reshaped logits",
    { options: { dtype: "fp32", reshaped: true }, ending: "as it is", bound: F32_BOUND, promptLengths: LENGTHS },
  ],
  ["plain fp16", { options: { dtype: "fp16" }, ending: "cut off", bound: F16_BOUND, promptLengths: LENGTHS }],
  [
    "plain fp16, float32 logits, external weights",
    {
      options: { dtype: "fp16", logitsCastTo: "f32", external: true },
      ending: "cut off",
      bound: F16_BOUND,
      promptLengths: LENGTHS,
    },
  ],
  ["plain q8", { options: { dtype: "q8" }, ending: "of the last position", bound: 0, promptLengths: [5, 128] }],
  ["fused q4", { options: { dtype: "q4" }, ending: "of the last position", bound: F32_BOUND, promptLengths: LENGTHS }],
  [
    "fused q4, external weights",
    {
      options: { dtype: "q4", external: true },
      ending: "of the last position",
      bound: F32_BOUND,
      promptLengths: LENGTHS,
    },
  ],
  [
    "fused q4f16",
    { options: { dtype: "q4f16" }, ending: "of the last position", bound: F16_BOUND, promptLengths: LENGTHS },
  ],
];

describe.each(EXPORTS)("%s", (name, { options, ending, bound, promptLengths }) => {
  test("gives the log-probabilities of a naive run of the same file", async () => {
    const dir = await exported(name, options);
    const folder = await open(dir);
    expect(folder.decoder.ending).toBe(ending);
    await withModel({ model: dir }, async (model) => {
      for (const length of promptLengths) {
        const { promptIds, tokenIds, tops } = await continued(model, text(length, length));
        expect(promptIds).toHaveLength(length);
        const rows = await naiveLogits(folder, promptIds, tokenIds.slice(0, -1));
        expect(largestDifference(tops, rows), `${length} tokens`).toBeLessThanOrEqual(bound === 0 ? 1e-6 : bound);
      }
    });
  });
});

test.each(["fp32", "q4"] as const)("%s matches the float64 forward pass", async (dtype) => {
  const dir = await exported(`float64 ${dtype}`, { dtype });
  const config = readModelConfig(JSON.parse(await readFile(join(dir, "config.json"), "utf8")) as never, []);
  const weights = new Map(
    [...tensors].map(([name, { shape, values }]) => {
      const [rows, cols] = shape;
      const isMatrix = cols !== undefined && name !== "model.embed_tokens.weight";
      return [name, dtype === "q4" && isMatrix ? dequantize(quantize("q4", values, rows!, cols)) : values];
    }),
  );
  await withModel({ model: dir }, async (model) => {
    const { promptIds, tokenIds, tops } = await continued(model, text(140, 9));
    const weight = (name: string): ArrayLike<number> => weights.get(name)!;
    const hidden = hiddenStates(namedModel(config, weight), [...promptIds, ...tokenIds.slice(0, -1)]);
    const rows = hidden.map((state) => namedLogits(config, weight, valuesOf(state)));
    expect(largestDifference(tops, rows.slice(promptIds.length - 1))).toBeLessThan(1e-3);
  });
});

test.each([true, false])(
  "symbolic links, as in the hub's cache, run like regular files (external weights: %s)",
  async (external) => {
    const dir = await exported(`files-${external}`, { dtype: "fp32", external });
    const linked = join(scratch, `links-${external}`, "snapshot");
    const blobs = join(scratch, `links-${external}`, "blobs");
    await mkdir(join(linked, "onnx"), { recursive: true });
    await mkdir(blobs);
    for (const name of await readdir(dir, { recursive: true })) {
      if (name === "onnx") continue;
      const blob = join(blobs, name.replaceAll(/\W/g, "-"));
      await copyFile(join(dir, name), blob);
      await symlink(blob, join(linked, name));
    }
    const answers = await Promise.all(
      [dir, linked].map((model) => withModel({ model }, (loaded) => continued(loaded, "links"))),
    );
    expect(answers[1]).toEqual(answers[0]);
  },
);

describe("a token depends only on its own request", () => {
  test.each(["fp32", "fp16", "q8", "q4f16"] as const)(
    "%s: the answer is the same alone, in a batch, and after a cached prefix",
    async (dtype) => {
      const dir = await exported(`alone ${dtype}`, { dtype });
      const prompts = [text(300, 1), text(300, 1).slice(0, 200) + text(90, 2), text(3, 3), text(128, 1)];
      await withModel({ model: dir }, async (model) => {
        const fresh = await Promise.all(
          prompts.map((prompt) => withModel({ model: dir }, (other) => continued(other, prompt))),
        );
        for (const [index, prompt] of prompts.entries())
          expect((await continued(model, prompt)).tokenIds).toEqual(fresh[index]!.tokenIds);
        const together = await Promise.all(prompts.map((prompt) => continued(model, prompt, { n: 1 })));
        expect(together.map(({ tops }) => tops)).toEqual(fresh.map(({ tops }) => tops));
        // Full blocks of 128 positions are cached, except the block that holds the last token of the prompt.
        expect(together.map(({ cachedTokens }) => cachedTokens)).toEqual([256, 256, 0, 0]);
      });
    },
  );

  test("choices share a prompt and diverge after it", async () => {
    const dir = await exported("choices", { dtype: "fp32" });
    await withModel({ model: dir }, async (model) => {
      const options = { prompt: text(140, 5), temperature: 1, seed: 7, maxTokens: 12, n: 3 };
      const all: number[][] = [[], [], []];
      for await (const { choice, tokenIds } of model.generate(options)) all[choice]!.push(...tokenIds);
      expect(new Set(all.map(String)).size).toBe(3);
      const first: number[] = [];
      for await (const { tokenIds } of model.generate({ ...options, n: 1 })) first.push(...tokenIds);
      expect(first).toEqual(all[0]);
    });
  });
});

describe("selection of an ONNX file", () => {
  test("the first available dtype is the default; the error for a missing dtype lists the others", async () => {
    const dir = await exported("several", { dtype: "q4" });
    await writeExport(dir, dir, SHAPE, tensors, { dtype: "fp16" });
    expect((await open(dir)).dtype).toBe("fp16");
    expect((await open(dir, "q4")).dtype).toBe("q4");
    expect((await open(dir, "q4")).modelHash).not.toBe((await open(dir)).modelHash);
    await expect(loadModel({ model: dir, dtype: "fp32" })).rejects.toMatchObject({
      code: "unsupported_value",
      param: "dtype",
      message: expect.stringMatching(/no onnx\/model\.onnx \(dtype fp32\); available: fp16, q4$/) as string,
    });
    await expect(loadModel({ model: dir, dtype: "q5" as never })).rejects.toMatchObject({
      code: "unsupported_value",
      param: "dtype",
    });
  });

  test("an ONNX file next to safetensors runs only if dtype is given", async () => {
    const dir = join(scratch, "both");
    const weights = await writeRandomModel(dir, { config: CONFIG, seed: 4 });
    await writeExport(dir, dir, SHAPE, weights, { dtype: "fp32" });
    const kinds = await Promise.all(
      [{}, { dtype: "fp32" } as const].map((options) =>
        withModel({ model: dir, ...options }, async ({ folder }) => folder.kind),
      ),
    );
    expect(kinds).toEqual(["pack", "onnx"]);
  });

  test.each<[string, LoadModelOptions, string]>([
    ["the profile exact", { profile: "exact" }, "profile"],
    ["8-bit keys and values", { kvCache: "q8" }, "kvCache"],
    ["speculation", { speculate: "ngram" }, "speculate"],
    ["bfloat16 keys and values", { kvCache: "bf16" }, "kvCache"],
    ["a conversion format", { quant: "q4" }, "quant"],
  ])("%s is refused", async (name, options, param) => {
    const dir = await exported(name, { dtype: "fp32" });
    await expect(loadModel({ model: dir, ...options })).rejects.toMatchObject({ code: "unsupported_value", param });
  });

  test("a dtype is refused if the model has no ONNX files", async () => {
    await expect(loadModel({ dtype: "q4" })).rejects.toMatchObject({ code: "unsupported_value", param: "dtype" });
    await expect(loadModel({ model: join(scratch, "nothing"), dtype: "q4" })).rejects.toMatchObject({
      code: "model_not_found",
    });
  });
});

describe("a graph that cannot run is refused with one clear error", () => {
  test("an unknown input, by its name", async () => {
    const dir = await exported("input", { dtype: "fp32", extraInput: "cache_position" });
    await expect(loadModel({ model: dir })).rejects.toMatchObject({
      code: "unsupported_model",
      message: expect.stringContaining('the input "cache_position"; supported: input_ids') as string,
    });
  });

  test("a file truncated at any point", async () => {
    const dir = await exported("whole", { dtype: "fp32" });
    const bytes = await readFile(join(dir, "onnx", "model.onnx"));
    const cut = join(scratch, "cut");
    for (const share of [0, 0.001, 0.1, 0.5, 0.9, 0.9999]) {
      await rewriteFolder(dir, cut, "model.onnx", bytes.subarray(0, Math.floor(bytes.length * share)));
      await expect(loadModel({ model: cut }), `${share}`).rejects.toMatchObject({
        name: "EngineError",
        code: "invalid_model",
      });
    }
  });

  test("a field that is longer than the message that contains it", async () => {
    const dir = await exported("nested", { dtype: "fp32" });
    const broken = join(scratch, "nested too long");
    // A graph of 4 bytes contains the start of a node of 10 bytes; enough other fields follow for both.
    const others = Array.from({ length: 10 }, () => [0x08, 1]).flat();
    await rewriteFolder(dir, broken, "model.onnx", Uint8Array.of(0x3a, 4, 0x0a, 10, 0x08, 1, ...others));
    await expect(open(broken)).rejects.toMatchObject({
      code: "invalid_model",
      message: expect.stringContaining("after the end of its message") as string,
    });
  });

  test("random bytes, and randomly changed bytes", async () => {
    const dir = await exported("unharmed", { dtype: "fp32" });
    const random = randomSource(5);
    const broken = join(scratch, "broken");
    for (let round = 0; round < 20; round++) {
      await rewriteFolder(
        dir,
        broken,
        "model.onnx",
        Uint8Array.from({ length: 2000 }, () => Math.floor(random() * 256)),
      );
      await expect(open(broken)).rejects.toMatchObject({ name: "EngineError" });
    }
    const bytes = await readFile(join(dir, "onnx", "model.onnx"));
    for (let round = 0; round < 40; round++) {
      const changed = Uint8Array.from(bytes);
      // The graph precedes the weights in the file.
      for (let i = 0; i < 4; i++) changed[Math.floor(random() * 12_000)] = Math.floor(random() * 256);
      await rewriteFolder(dir, broken, "model.onnx", changed);
      const failure = await loadModel({ model: broken, numThreads: 1 }).then(
        async (model) => {
          await model.close();
          return null;
        },
        (error: unknown) => error,
      );
      if (failure !== null)
        expect(failure).toMatchObject({
          name: "EngineError",
          code: expect.stringMatching(/^(invalid|unsupported)_model$/) as string,
        });
    }
  });

  test("external weights that are missing or too short", async () => {
    const dir = await exported("beside", { dtype: "fp32", external: true });
    const data = await readFile(join(dir, "onnx", "model.onnx_data"));
    const short = join(scratch, "short");
    await rewriteFolder(dir, short, "model.onnx", await readFile(join(dir, "onnx", "model.onnx")));
    await expect(loadModel({ model: short })).rejects.toMatchObject({
      code: "invalid_model",
      message: expect.stringContaining('"model.onnx_data", which does not exist') as string,
    });
    await writeFile(join(short, "onnx", "model.onnx_data"), data.subarray(0, data.length - 1000));
    await expect(loadModel({ model: short })).rejects.toMatchObject({
      code: "invalid_model",
      message: expect.stringContaining("ends after the end of model.onnx_data") as string,
    });
  });

  test("external weights that disappear between opening and reading", async () => {
    const { decoder } = await open(await exported("gone", { dtype: "fp32", external: true }));
    await rm(join(scratch, "gone", "onnx", "model.onnx_data"));
    const { rows, cols } = decoder.head!;
    await expect(readHead(decoder.head!, new Uint8Array(4 * rows * cols))).rejects.toMatchObject({
      code: "invalid_model",
      message: expect.stringMatching(/model\.onnx_data cannot be read \(ENOENT\)$/) as string,
    });
  });

  test("an unknown context length", async () => {
    const dir = await exported("context", { dtype: "fp32" });
    await writeFile(join(dir, "config.json"), JSON.stringify({ model_type: "some_decoder" }));
    await expect(loadModel({ model: dir })).rejects.toMatchObject({
      code: "invalid_model",
      message: expect.stringContaining("max_position_embeddings") as string,
    });
  });

  test("a fault that shows only in a request names the file and ends only this request", async () => {
    const dir = await exported("late-fault", { dtype: "fp32" });
    await withModel({ model: dir }, async (model) => {
      const expected = await continued(model, "some text");
      // A class, which the package's types hide.
      const { InferenceSession } = await import("onnxruntime-node");
      const { prototype } = InferenceSession as unknown as { prototype: { run(): Promise<unknown> } };
      const run = vi.spyOn(prototype, "run").mockRejectedValueOnce(new Error("Non-zero status code:\n a node failed"));
      await expect(continued(model, "another text")).rejects.toMatchObject({
        code: "invalid_model",
        message: expect.stringMatching(/\.onnx cannot be run: Non-zero status code: a node failed$/) as string,
      });
      expect(run).toHaveBeenCalled();
      run.mockRestore();
      expect(await continued(model, "some text")).toEqual(expected);
    });
  });

  test("a config.json with only the model type and the context length is accepted", async () => {
    const dir = await exported("bare", { dtype: "fp32" });
    const expected = await withModel({ model: dir }, (model) => continued(model, "some text"));
    await writeFile(
      join(dir, "config.json"),
      JSON.stringify({ model_type: "some_decoder", max_position_embeddings: 512 }),
    );
    expect(await withModel({ model: dir }, (model) => continued(model, "some text"))).toEqual(expected);
  });
});

/** Copies the text files of a folder and writes one ONNX file next to them. */
async function rewriteFolder(from: string, to: string, name: string, bytes: Uint8Array): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await mkdir(join(to, "onnx"), { recursive: true });
  for (const file of ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"])
    await copyFile(join(from, file), join(to, file));
  await writeFile(join(to, "onnx", name), bytes);
}
