/** Checks that the folders of `convert --layout onnx` predict the same in this engine as a pack of the same format. */

import { access, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { randomSource, writeRandomModel } from "../../spec-tests/fixtures/random-model.js";
import { loadModel } from "../model/model.js";
import { convert } from "../store/convert.js";

let scratch: string;
const kept = process.env["TOUCHSTONE_CACHE"];
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "onnx-layout-"));
  process.env["TOUCHSTONE_CACHE"] = join(scratch, "cache");
});
afterAll(async () => {
  if (kept === undefined) delete process.env["TOUCHSTONE_CACHE"];
  else process.env["TOUCHSTONE_CACHE"] = kept;
  await rm(scratch, { recursive: true, force: true });
});

const LLAMA3 = {
  rope_type: "llama3",
  factor: 4,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 32,
};
const MODELS: readonly [string, Record<string, unknown>][] = [
  ["llama", { head_dim: 8 }],
  ["llama, tied, heads that the operator rotates", { tie_word_embeddings: true, head_dim: 16 }],
  ["llama, scaled rotation, biases", { rope_scaling: LLAMA3, rope_theta: 100, attention_bias: true, head_dim: 8 }],
  ["mistral", { model_type: "mistral", sliding_window: null, head_dim: 32 }],
  ["qwen2", { model_type: "qwen2", hidden_size: 64 }],
  ["qwen3", { model_type: "qwen3", head_dim: 16, tie_word_embeddings: true }],
  ["qwen3, heads that the operator does not rotate", { model_type: "qwen3", head_dim: 24 }],
];

/** Returns a model's first predictions after prompts of up to two blocks, and its answer to the longest prompt. */
async function predictions(model: string): Promise<{ first: Map<number, number>[]; tokenIds: number[] }> {
  const loaded = await loadModel({ model, numThreads: 1 });
  const random = randomSource(8);
  const prompt = Array.from({ length: 140 }, () => String.fromCharCode(97 + Math.floor(random() * 26))).join("");
  const first: Map<number, number>[] = [];
  let tokenIds: number[] = [];
  for (const length of [1, 40, 128, 140]) {
    tokenIds = [];
    const stream = loaded.generate({
      prompt: prompt.slice(0, length),
      temperature: 0,
      maxTokens: 20,
      logprobs: true,
      topLogprobs: 20,
      logitBias: new Map([[256, -100]]),
    });
    let tops: Map<number, number> | null = null;
    for await (const delta of stream) {
      tokenIds.push(...delta.tokenIds);
      tops ??= new Map(delta.logprobs[0]?.topLogprobs.map(({ tokenId, logprob }) => [tokenId, logprob]));
    }
    first.push(tops!);
  }
  await loaded.close();
  return { first, tokenIds };
}

describe.each(MODELS)("%s", (name, config) => {
  // With 8 and 4 bits the weights are equal, but the activations are rounded differently.
  test.each([
    ["f32", 1e-4],
    ["q8", 0.1],
    ["q4", 0.6],
  ] as const)("%s: predicts the same as the pack", async (format, bound) => {
    const source = join(scratch, name, `${format} source`);
    await writeRandomModel(source, { config: { max_position_embeddings: 256, ...config }, seed: name.length });
    const [packDir, onnxDir] = [join(scratch, name, `${format} pack`), join(scratch, name, `${format} onnx`)];
    await convert(source, packDir, { quant: format });
    await convert(source, onnxDir, { quant: format, layout: "onnx" });
    const [expected, actual] = [await predictions(packDir), await predictions(onnxDir)];
    for (const [index, tops] of actual.first.entries()) {
      const common = [...tops].filter(([tokenId]) => expected.first[index]!.has(tokenId));
      expect(common.length).toBeGreaterThan(10);
      for (const [tokenId, logprob] of common)
        expect(Math.abs(logprob - expected.first[index]!.get(tokenId)!)).toBeLessThanOrEqual(bound);
    }
    if (format === "f32") expect(actual.tokenIds).toEqual(expected.tokenIds);
  });
});

describe("the folder", () => {
  test("has the text files and one ONNX file; from a size on, a second file holds the weights and config.json says so", async () => {
    const source = join(scratch, "source");
    await writeRandomModel(source, {
      config: { tie_word_embeddings: true, head_dim: 8, max_position_embeddings: 256 },
      files: { "chat_template.jinja": "{{ messages }}" },
    });
    const [inside, beside] = [join(scratch, "inside"), join(scratch, "beside")];
    await convert(source, inside, { quant: "q8", layout: "onnx" });
    await convert(source, beside, { quant: "q8", layout: "onnx", externalFromBytes: 1 });
    const texts = [
      "chat_template.jinja",
      "config.json",
      "generation_config.json",
      "onnx",
      "tokenizer.json",
      "tokenizer_config.json",
    ];
    expect((await readdir(inside)).sort()).toEqual(texts);
    expect(await readdir(join(inside, "onnx"))).toEqual(["model_quantized.onnx"]);
    expect((await readdir(join(beside, "onnx"))).sort()).toEqual(["model_quantized.onnx", "model_quantized.onnx_data"]);
    expect(await readFile(join(inside, "config.json"))).toEqual(await readFile(join(source, "config.json")));
    const config = JSON.parse(await readFile(join(beside, "config.json"), "utf8")) as object;
    expect(config).toMatchObject({
      hidden_size: 48,
      "transformers.js_config": { use_external_data_format: { "model_quantized.onnx": 1 } },
    });
    expect(await predictions(beside)).toEqual(await predictions(inside));
  });

  test("replaces such a folder on request, and never anything else", async () => {
    const source = join(scratch, "source of many");
    await writeRandomModel(source, { config: { head_dim: 8 } });
    const out = join(scratch, "out");
    const options = { quant: "f32", layout: "onnx" } as const;
    await convert(source, out, options);
    await expect(convert(source, out, options)).rejects.toMatchObject({ code: "output_unavailable" });
    await convert(source, out, { ...options, quant: "q4", replace: true });
    expect(await readdir(join(out, "onnx"))).toEqual(["model_q4.onnx"]);
    await writeFile(join(out, "notes.txt"), "mine");
    await expect(convert(source, out, { ...options, replace: true })).rejects.toMatchObject({
      code: "output_unavailable",
    });
    await access(join(out, "notes.txt"));
    const pack = join(scratch, "pack");
    await convert(source, pack, { quant: "f32" });
    await expect(convert(source, pack, { ...options, replace: true })).rejects.toMatchObject({
      code: "output_unavailable",
    });
  });

  test("is refused for heads that the operator does not support", async () => {
    const source = join(scratch, "source with odd heads");
    await writeRandomModel(source, { config: { head_dim: 12 } });
    const refused = convert(source, join(scratch, "odd heads"), { quant: "f32", layout: "onnx" });
    await expect(refused).rejects.toMatchObject({
      code: "unsupported_model",
      message: expect.stringContaining("head_dim 12") as string,
    });
  });

  test("reports its progress until everything is done", async () => {
    const source = join(scratch, "source with progress");
    await writeRandomModel(source, { config: { tie_word_embeddings: true, head_dim: 8 } });
    for (const format of ["f32", "q8"] as const) {
      const seen: number[] = [];
      await convert(source, join(scratch, `progress ${format}`), {
        quant: format,
        layout: "onnx",
        onProgress: (done, total) => seen.push(done / total),
      });
      expect(seen.at(-1)).toBe(1);
      expect(seen).toEqual([...seen].sort((a, b) => a - b));
    }
  });
});
