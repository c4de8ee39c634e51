/** Tests the conversion of a model folder to a pack, opening the pack, and every failure in between. */

import { execFile, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { promisify } from "node:util";

import * as ort from "onnxruntime-node";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";

import { dequantize, pack as packMatrix, quantize, type MatrixFormat } from "../../kernels/index.js";
import { byteTokenizerJson } from "../../spec-tests/fixtures/byte-tokenizer.js";
import { equalizedWeights } from "../../spec-tests/oracles/equalized-weights.js";
import { writeExport } from "../../spec-tests/fixtures/onnx-export.js";
import {
  randomModel,
  writeRandomModel,
  type RandomModelOptions,
  type RandomTensor,
} from "../../spec-tests/fixtures/random-model.js";
import { EngineError } from "../errors.js";
import { convert, type ConvertOptions } from "../store/convert.js";
import { FileSink } from "../formats/file-sink.js";
import { openPack, type ModelPack } from "../folder/pack.js";
import { prepareModel, type PrepareOptions } from "../store/prepare.js";
import { cacheFolder } from "../store/cache.js";
import { processNamespace } from "../store/hub/index.js";
import { readTextFiles } from "../folder/text-files.js";
import { pullModel } from "../store/locate.js";
import { listModels, removeModel } from "../store/stored-models.js";
import { modelWeights, packedWeights } from "../architecture/weights.js";

let root: string;
let scratch: string;
let cache: string;
let numFolders = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "convert-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));
beforeEach(async () => {
  scratch = join(root, `${numFolders++}`);
  cache = join(scratch, "cache");
  await mkdir(scratch);
  vi.stubEnv("TOUCHSTONE_CACHE", cache);
});
afterEach(() => {
  vi.unstubAllEnvs();
});

const LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 11422654\n";

/** A tensor that old checkpoints store and that is not read. */
const DERIVED = "model.layers.0.self_attn.rotary_emb.inv_freq";

/** Adds a tensor without content, which takes no space on the disk, to the end of a safetensors file. */
async function appendTensor(path: string, byteLength: number): Promise<void> {
  const bytes = await readFile(path);
  const headerLength = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + headerLength)) as object;
  const data = bytes.subarray(8 + headerLength);
  const large = { dtype: "F32", shape: [byteLength / 4], data_offsets: [data.length, data.length + byteLength] };
  const text = Buffer.from(JSON.stringify({ ...header, [DERIVED]: large }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  await writeFile(path, Buffer.concat([length, text, data]));
  await truncate(path, 8 + text.length + data.length + byteLength);
}

/** A model folder in this test's scratch folder. */
function model(options: RandomModelOptions = {}): Promise<string> {
  return randomModel(join(scratch, "model"), options);
}

async function preparePack(options: Omit<PrepareOptions, "dtype">): Promise<ModelPack> {
  const folder = await prepareModel(options);
  if (folder.kind !== "pack") throw new Error(`${folder.dir} is not a pack`);
  return folder;
}

/** Returns the names of everything below a folder; empty if it does not exist. */
async function filesBelow(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.map((entry) => entry.name).sort();
}

/** Changes one bit in the middle of a file. */
async function flip(file: string): Promise<void> {
  const bytes = await readFile(file);
  bytes[bytes.length >> 1]! ^= 1;
  await writeFile(file, bytes);
}

const sha256 = async (file: string): Promise<string> =>
  createHash("sha256")
    .update(await readFile(file))
    .digest("hex");

/** Waits until files that exist now are old enough for their time stamps to be trusted. */
const settle = (): Promise<void> => new Promise((done) => setTimeout(done, 2100));

/** True where a user may mount a disk in a namespace of its own. */
const hasReadOnlyDisks = spawnSync("unshare", ["-rm", "mount", "-t", "tmpfs", "-o", "ro", "none", "/mnt"]).status === 0;

/** Runs a module while an empty read-only disk is mounted at `disk`, and returns its output. */
async function onReadOnlyDisk(disk: string, code: string): Promise<string> {
  const script = `import { createServer } from "vite";
    const vite = await createServer({ configFile: false, logLevel: "silent", server: { middlewareMode: true, ws: false }, appType: "custom" });
    const load = (path) => vite.ssrLoadModule(path);
    ${code}
    process.exit(0);`;
  const command = 'mount -t tmpfs -o ro none "$0" && exec "$1" --input-type=module -e "$2"';
  const { stdout, stderr } = await promisify(execFile)("unshare", [
    "-rm",
    "sh",
    "-c",
    command,
    disk,
    process.execPath,
    script,
  ]);
  if (stdout === "") throw new Error(stderr);
  return stdout;
}

const PACK_FILES = [
  "body.onnx",
  "config.json",
  "generation_config.json",
  "manifest.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "weights.bin",
];

describe("a pack", () => {
  test.each<MatrixFormat>(["q8", "q4", "f32"])(
    "%s: holds every weight in the kernels' layout, equalized if it is quantized",
    async (format) => {
      // More rows than one chunk holds, and stacked parts whose rows are not a multiple of the kernels' granularity.
      const source = join(scratch, "model");
      const config = { vocab_size: 45_003, intermediate_size: 35, head_dim: 6, attention_bias: true };
      const tensors = await writeRandomModel(source, { config, dtype: "BF16" });
      const steps: [number, number][] = [];
      await convert(source, join(scratch, "pack"), {
        quant: format,
        onProgress: (done, total) => steps.push([done, total]),
      });
      const pack = await openPack(join(scratch, "pack"));
      const weights = [...packedWeights(modelWeights(pack.config))];
      const packedBytes = new Uint8Array(pack.weightsByteLength);
      await pack.readWeights(packedBytes);
      expect([...pack.tensors.keys()]).toEqual(weights.map(({ name }) => name));
      const equalized = await equalizedWeights(pack.config, tensors);
      for (const { name, kind, rows, cols, parts } of weights) {
        const packed = pack.tensors.get(name)!;
        expect(packed).toMatchObject({ format: kind === "vector" ? "vector" : format, rows, cols });
        expect(packed.offset % 64).toBe(0);
        const bytes = packedBytes.subarray(packed.offset, packed.offset + packed.byteLength);
        const asTheyAre = Float32Array.from(parts.flatMap((part) => [...tensors.get(part.name)!.values]));
        const values = format === "f32" ? asTheyAre : equalized.get(name)!.values;
        const expected =
          kind === "vector"
            ? new Uint8Array(values.buffer)
            : packMatrix(asMatrix({ shape: [rows, cols], values }, format));
        expect(Buffer.from(expected).equals(bytes), name).toBe(true);
      }
      expect(steps.at(-1)![0]).toBe(steps.at(-1)![1]);
      expect(steps.every(([done], i) => i === 0 || done > steps[i - 1]![0])).toBe(true);
    },
  );

  test.each<["q8" | "q4", number]>([
    ["q8", 127],
    ["q4", 7],
  ])("%s: a weight is off by at most half a step, or by one and a half if it is clamped", (format, range) => {
    const values = Float32Array.from({ length: 3200 }, (_, i) => Math.sin(i * i));
    const quantized = quantize(format, values, 1, values.length);
    const restored = dequantize(quantized);
    for (const [i, value] of values.entries()) {
      const scale = Math.abs(quantized.scales[Math.floor(i / 32)]!);
      const isClamped = Math.abs(quantized.values[i]!) >= range;
      expect(Math.abs(restored[i]! - value)).toBeLessThanOrEqual((isClamped ? 1.5 : 0.5001) * scale);
    }
  });

  test("stores tied embeddings once, and checks a copy of the head in the file against them", async () => {
    const source = await model({
      config: { tie_word_embeddings: true },
      edit: (tensors) => tensors.set("lm_head.weight", tensors.get("model.embed_tokens.weight")!),
    });
    const pack = await preparePack({ model: source });
    expect([...pack.tensors.keys()]).toContain("lm_head");
    expect([...pack.tensors.keys()]).not.toContain("embed_tokens");
  });

  test("uses the embedding as head where the weights have no head and config.json does not say", async () => {
    const packOf = async (name: string, isTied: boolean | undefined, hasHead: boolean): Promise<ModelPack> => {
      const source = await randomModel(join(scratch, name), {
        config: { tie_word_embeddings: isTied },
        edit: (tensors) => void (hasHead || tensors.delete("lm_head.weight")),
      });
      const { dir } = await preparePack({ model: source });
      return openPack(dir);
    };
    const silent = await packOf("silent", undefined, false);
    const tied = await packOf("tied", true, false);
    expect(silent.config).toEqual(tied.config);
    expect(silent.tensors).toEqual(tied.tensors);
    expect(silent.manifest.files["weights.bin"]).toEqual(tied.manifest.files["weights.bin"]);
    expect((await packOf("with a head", undefined, true)).config.tiedEmbeddings).toBe(false);
    await expect(packOf("untied", false, false)).rejects.toThrow('the weights lack tensor "lm_head.weight"');
  });

  test("contains the model's text files", async () => {
    const tokenizerConfig = {
      eos_token: "<|end|>",
      chat_template: [
        { name: "default", template: "{{ 1 }}" },
        { name: "tools", template: "{{ 2 }}" },
      ],
    };
    const files = {
      "tokenizer_config.json": JSON.stringify(tokenizerConfig),
      "generation_config.json": JSON.stringify({ eos_token_id: [3, 256] }),
    };
    const pack = await preparePack({ model: await model({ files }) });
    expect(pack).toMatchObject({
      tokenizerConfig,
      chatTemplate: "{{ 1 }}",
      messageFormat: { reasoning: null, calls: null },
      config: { endTokenIds: [3, 256], vocabSize: 257 },
    });
    expect(pack.tokenizerJson["model"]).toBeDefined();
    expect(await filesBelow(pack.dir)).toEqual(PACK_FILES);
  });

  test("prefers chat_template.jinja to tokenizer_config.json, and finds the reasoning tags in it", async () => {
    const files = {
      "tokenizer_config.json": JSON.stringify({ chat_template: "old" }),
      "chat_template.jinja": "new <think> </think>",
      "generation_config.json": null,
    };
    const pack = await preparePack({ model: await model({ files }) });
    expect(pack).toMatchObject({
      chatTemplate: "new <think> </think>",
      messageFormat: { reasoning: { open: "<think>", close: "</think>" } },
    });
    expect(await filesBelow(pack.dir)).toContain("chat_template.jinja");
  });

  test.each<[string, string[], string | null, object | null]>([
    ["only tokens", ["<think>", "</think>"], null, { open: "<think>", close: "</think>" }],
    ["tokens with another name", ["[THINK]", "[/THINK]"], "no tag", { open: "[THINK]", close: "[/THINK]" }],
    [
      "tokens with words for opening and closing",
      ["<|START_THINKING|>", "<|END_THINKING|>"],
      null,
      { open: "<|START_THINKING|>", close: "<|END_THINKING|>" },
    ],
    [
      "only the template",
      [],
      "x <|begin_of_thought|>, <|end_of_thought|>",
      { open: "<|begin_of_thought|>", close: "<|end_of_thought|>" },
    ],
    [
      "the usual tags before others",
      ["[THINK]", "[/THINK]"],
      "{{ '<think>' }}</think>",
      { open: "<think>", close: "</think>" },
    ],
    ["one of two tokens", ["<think>"], null, null],
    ["a closing tag that the template cuts at", [], "{{ content.split('</think>')[-1] }}", null],
    ["one tag in the tokens, the other in the template", ["<think>"], "</think>", null],
    ["other tags in pairs", ["<tool_call>", "</tool_call>"], "<response></response>", null],
    [
      "channels, which open both reasoning and answers",
      ["<|channel|>", "<|message|>"],
      "<|channel|>analysis<|message|>",
      null,
    ],
  ])("reasoning tags: %s", async (_, tokens, template, expected) => {
    const json = byteTokenizerJson() as { added_tokens: object[] };
    const added = tokens.map((content, index) => ({ id: 257 + index, content, special: true }));
    const files = {
      "tokenizer.json": JSON.stringify({ ...json, added_tokens: [...json.added_tokens, ...added] }),
      ...(template === null ? {} : { "chat_template.jinja": template }),
    };
    expect((await readTextFiles(await model({ files }))).format.reasoning).toEqual(expected);
  });

  test("a model without tokenizer_config.json has no template", async () => {
    expect(await preparePack({ model: await model({ files: { "tokenizer_config.json": null } }) })).toMatchObject({
      tokenizerConfig: {},
      chatTemplate: null,
    });
  });

  test("from a size on, the body's weights are in a second file, and the body computes the same", async () => {
    const source = await model({ config: { attention_bias: true, intermediate_size: 720 } });
    await convert(source, join(scratch, "joined"), { quant: "q8" });
    await convert(source, join(scratch, "apart"), { quant: "q8", externalFromBytes: 1000 });
    expect(await filesBelow(join(scratch, "joined"))).toEqual(PACK_FILES);
    expect(await filesBelow(join(scratch, "apart"))).toEqual([...PACK_FILES, "body.onnx.data"].sort());
    const [joined, apart] = [await openPack(join(scratch, "joined")), await openPack(join(scratch, "apart"))];
    expect(await firstHidden(apart.bodyPath)).toEqual(await firstHidden(joined.bodyPath));
    expect(apart.manifest.files["body.onnx"]!.byteLength).toBeLessThan(
      joined.manifest.files["body.onnx"]!.byteLength / 2,
    );
  });

  test("the same files give the same bytes", async () => {
    const source = await model({ dtype: "F16", numShards: 3 });
    for (const out of ["a", "b"]) await convert(source, join(scratch, out), { quant: "q4" });
    for (const file of PACK_FILES) {
      expect((await readFile(join(scratch, "a", file))).equals(await readFile(join(scratch, "b", file)))).toBe(true);
    }
  });
});

function replaced(name: string, shape: number[]): NonNullable<RandomModelOptions["edit"]> {
  return (tensors) => void tensors.set(name, { shape, values: new Float32Array(shape.reduce((a, b) => a * b)) });
}

function withValue(name: string, index: number, value: number): NonNullable<RandomModelOptions["edit"]> {
  return (tensors) => {
    tensors.get(name)!.values[index] = value;
  };
}

describe("a model that cannot be converted leaves nothing behind:", () => {
  test.each<[string, RandomModelOptions, EngineError["code"], RegExp]>([
    [
      "NaN",
      { edit: withValue("model.layers.1.mlp.up_proj.weight", 50, NaN) },
      "invalid_model",
      /^model\.safetensors: tensor "model\.layers\.1\.mlp\.up_proj\.weight" holds NaN at \[1, 2\]$/,
    ],
    [
      "NaN in a head",
      { edit: withValue("lm_head.weight", 0, NaN), dtype: "BF16" },
      "invalid_model",
      /"lm_head\.weight" holds NaN at \[0, 0\]$/,
    ],
    [
      "infinity in a norm",
      { edit: withValue("model.norm.weight", 3, Infinity), dtype: "F16" },
      "invalid_model",
      /"model\.norm\.weight" holds an infinite value at \[3\]$/,
    ],
    [
      "a missing tensor",
      { edit: (tensors) => tensors.delete("model.layers.1.self_attn.q_proj.weight") },
      "invalid_model",
      /lack tensor "model\.layers\.1\.self_attn\.q_proj\.weight"$/,
    ],
    [
      "a missing head",
      { edit: (tensors) => tensors.delete("lm_head.weight") },
      "invalid_model",
      /lack tensor "lm_head\.weight"$/,
    ],
    [
      "a wrong shape",
      { edit: replaced("model.layers.0.mlp.down_proj.weight", [72, 48]) },
      "invalid_model",
      /^model\.safetensors: tensor "model\.layers\.0\.mlp\.down_proj\.weight" has shape \[72, 48\]; config\.json requires \[48, 72\]$/,
    ],
    [
      "a wrong rank",
      { edit: replaced("model.norm.weight", [1, 48]) },
      "invalid_model",
      /"model\.norm\.weight" has shape \[1, 48\]; config\.json requires \[48\]$/,
    ],
    [
      "a tensor of another kind of model",
      { edit: replaced("model.layers.0.self_attn.q_norm.weight", [12]) },
      "unsupported_model",
      /tensor "model\.layers\.0\.self_attn\.q_norm\.weight" is not part of a llama decoder of 2 layers$/,
    ],
    [
      "a layer too many",
      { edit: replaced("model.layers.2.input_layernorm.weight", [48]) },
      "unsupported_model",
      /"model\.layers\.2\.input_layernorm\.weight" is not part/,
    ],
    [
      "a head that differs from the tied embedding",
      { config: { tie_word_embeddings: true }, edit: replaced("lm_head.weight", [257, 48]) },
      "invalid_model",
      /"lm_head\.weight" differs from "model\.embed_tokens\.weight"$/,
    ],
    ["no tokenizer", { files: { "tokenizer.json": null } }, "invalid_model", /model has no tokenizer\.json$/],
    [
      "a tokenizer without a model",
      { files: { "tokenizer.json": "{}" } },
      "invalid_model",
      /^tokenizer\.json has no model$/,
    ],
    ["a broken tokenizer", { files: { "tokenizer.json": "{" } }, "invalid_model", /tokenizer\.json is not valid JSON/],
    [
      "a config.json with a key twice",
      { files: { "config.json": '{"model_type":"llama","model_type":"qwen2"}' } },
      "invalid_model",
      /config\.json is not valid JSON: The key "model_type" is repeated/,
    ],
    [
      "another architecture",
      { config: { model_type: "gemma2" } },
      "unsupported_model",
      /model_type "gemma2" is not supported/,
    ],
    [
      "weights of PyTorch",
      { files: { "model.safetensors": null, "pytorch_model.bin": "x" } },
      "unsupported_model",
      /model holds weights of PyTorch \(pytorch_model\.bin\)/,
    ],
    [
      "a pointer of Git LFS instead of weights",
      { files: { "model.safetensors": LFS_POINTER } },
      "invalid_model",
      /model\.safetensors is a pointer of Git LFS, not the file itself: run "git lfs pull"/,
    ],
    [
      "a pointer of Git LFS instead of the tokenizer",
      { files: { "tokenizer.json": LFS_POINTER } },
      "invalid_model",
      /tokenizer\.json is a pointer of Git LFS/,
    ],
    [
      "no weights",
      { files: { "model.safetensors": null } },
      "invalid_model",
      /has neither model\.safetensors nor model\.safetensors\.index\.json$/,
    ],
    [
      "templates without a default",
      { files: { "tokenizer_config.json": '{"chat_template":[{"name":"rag","template":""}]}' } },
      "invalid_model",
      /chat_template must be a string, or a list that has a template named default$/,
    ],
  ])("%s", async (_, options, code, message) => {
    const source = await model(options);
    const attempts = [
      () => preparePack({ model: source }),
      () => convert(source, join(scratch, "out"), { quant: "q4" }),
    ];
    for (const attempt of attempts) {
      const error: unknown = await attempt().then(
        () => null,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(EngineError);
      expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
      expect((error as Error).message).not.toContain("\n");
    }
    expect(await readdir(scratch)).toEqual(["model"]);
  });

  test("truncated weights", async () => {
    const source = await model();
    await truncate(join(source, "model.safetensors"), 20_000);
    await expect(preparePack({ model: source })).rejects.toThrow(
      /^model\.safetensors: tensor "[^"]+": data_offsets \[\d+, \d+\] lie outside the file/,
    );
    expect(await readdir(scratch)).toEqual(["model"]);
  });

  test("weights that change while they are being read", async () => {
    const source = await model();
    const touch = (): void => void utimes(join(source, "config.json"), new Date(), new Date());
    await expect(preparePack({ model: source, onProgress: touch })).rejects.toThrow(
      /model changed while it was being converted$/,
    );
    expect(await readdir(scratch)).toEqual(["model"]);
  });

  test.each<["q8" | "f32", "pack" | "onnx", number]>([
    ["q8", "pack", 0],
    ["q8", "pack", 0.3],
    ["q8", "pack", 0.9],
    ["f32", "pack", 0.5],
    ["q8", "onnx", 0.5],
  ])("an abort of a conversion to %s, %s, after a share of %f", async (format, layout, share) => {
    const source = await model({ config: { head_dim: 8 } });
    const attempts = [
      (options: Pick<ConvertOptions, "signal" | "onProgress">) =>
        convert(source, join(scratch, "out"), { quant: format, layout, ...options }),
      ...(layout === "pack"
        ? [
            (options: Pick<ConvertOptions, "signal" | "onProgress">) =>
              preparePack({ model: source, format, ...options }),
          ]
        : []),
    ];
    for (const attempt of attempts) {
      const abort = new AbortController();
      if (share === 0) abort.abort();
      let numChunksLater = 0;
      const onProgress = (done: number, total: number): void => {
        if (abort.signal.aborted) numChunksLater++;
        if (done >= share * total) abort.abort();
      };
      await expect(attempt({ signal: abort.signal, onProgress })).rejects.toMatchObject({ name: "AbortError" });
      expect(numChunksLater).toBe(0);
      expect(await readdir(scratch)).toEqual(["model"]);
    }
  });

  test("an abort while the files are hashed", async () => {
    const source = await model();
    await appendTensor(join(source, "model.safetensors"), 2 ** 33);
    const startMs = performance.now();
    await expect(preparePack({ model: source, signal: AbortSignal.timeout(100) })).rejects.toMatchObject({
      name: "TimeoutError",
    });
    expect(performance.now() - startMs).toBeLessThan(5000);
  });

  test.each([
    ["SIGINT", 1],
    ["SIGTERM", 1],
    ["SIGINT", 2],
  ] as const)("%s during %i conversions", async (signal, numModels) => {
    // A separate process, which interrupts itself once each conversion has read its first chunk.
    const sources = await Promise.all(
      Array.from({ length: numModels }, (_, seed) => randomModel(join(scratch, `model${seed}`), { seed })),
    );
    const ended = await endOf(`
      const { prepareModel } = await load("/engine/store/prepare.ts");
      const begun = new Set();
      const onProgress = (model) => begun.add(model).size === ${numModels} && process.kill(process.pid, "${signal}");
      await Promise.all(${JSON.stringify(sources)}.map((model) => prepareModel({ model, onProgress: () => onProgress(model) })));
      process.exit();
    `);
    expect(ended).toBe(signal);
    expect(await filesBelow(cache)).toEqual(["packs"]);
  });

  test("SIGHUP during one write after another has finished", async () => {
    const ended = await endOf(`
      const { writeFolder } = await load("/engine/store/staging.ts");
      await writeFolder(${JSON.stringify(join(scratch, "one"))}, async () => {
        await writeFolder(${JSON.stringify(join(scratch, "another"))}, async () => {});
        process.kill(process.pid, "SIGHUP");
        await new Promise((resolve) => setTimeout(resolve, 10_000));
      });
    `);
    expect(ended).toBe("SIGHUP");
    expect(await readdir(scratch)).toEqual(["another"]);
  });
});

/** Runs `program` in a separate process and returns the signal that ended it. */
function endOf(program: string): Promise<NodeJS.Signals | null> {
  const loading = `
    const { createServer } = await import("vite");
    const server = await createServer({ configFile: false, logLevel: "silent", server: { middlewareMode: true, ws: false }, appType: "custom" });
    const load = (path) => server.ssrLoadModule(path);
  `;
  const child = spawn(process.execPath, ["--input-type=module", "-e", loading + program], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  return new Promise((resolve) => child.on("close", (_, endedBy) => resolve(endedBy)));
}

describe("the cache", () => {
  test("a second start converts nothing, even for a copy or a link; a change of one weight converts again", async () => {
    const source = await model();
    const first = await preparePack({ model: source });
    const onProgress = vi.fn<(done: number, total: number) => void>();
    expect((await preparePack({ model: source, onProgress })).dir).toBe(first.dir);
    const copy = await randomModel(join(scratch, "copy"));
    expect((await preparePack({ model: copy, onProgress })).dir).toBe(first.dir);
    await symlink(source, join(scratch, "link"));
    expect((await preparePack({ model: join(scratch, "link"), onProgress })).dir).toBe(first.dir);
    expect(onProgress).not.toHaveBeenCalled();

    const weights = await readFile(join(source, "model.safetensors"));
    weights[weights.length - 1]! ^= 1;
    await writeFile(join(source, "model.safetensors"), weights);
    expect((await preparePack({ model: source })).manifest.modelHash).not.toBe(first.manifest.modelHash);
  });

  test("a remembered hash is valid until a file's state changes, even if its time stamps are restored", async () => {
    const source = await model();
    const old = new Date("2020-01-01T00:00:00Z");
    await utimes(join(source, "model.safetensors"), old, old);
    const first = await preparePack({ model: source });
    const [memory] = await readdir(join(cache, "sources"));
    const path = join(cache, "sources", memory!);
    // As if the files had not changed for a long time when they were hashed.
    const remembered = JSON.parse(await readFile(path, "utf8")) as { takenMs: number; hash: string };
    await writeFile(path, JSON.stringify({ ...remembered, takenMs: remembered.takenMs + 60_000 }));
    expect((await preparePack({ model: source })).dir).toBe(first.dir);

    const weights = await readFile(join(source, "model.safetensors"));
    weights[weights.length - 1]! ^= 1;
    await writeFile(join(source, "model.safetensors"), weights);
    await utimes(join(source, "model.safetensors"), old, old);
    expect((await preparePack({ model: source })).dir).not.toBe(first.dir);
  });

  test("packs and remembered hashes of a folder are removed by its name, its path or a link; then nothing is left", async () => {
    const source = join(scratch, "model");
    const tensors = await writeRandomModel(source);
    const shape = {
      hidden: 48,
      inner: 72,
      layers: 2,
      heads: 4,
      kvHeads: 2,
      vocab: 257,
      positions: 256,
      ropeTheta: 10_000,
      epsilon: 1e-5,
    };
    await writeExport(source, source, shape, tensors, { dtype: "fp32" });
    await symlink(source, join(scratch, "link"));
    vi.stubEnv("HF_HUB_CACHE", join(scratch, "hub"));
    for (const name of ["model", source, join(scratch, "link")]) {
      await preparePack({ model: source });
      await prepareModel({ model: source, dtype: "fp32" });
      const removal = await removeModel(name);
      expect(removal!.removed).toEqual(["the pack model q8"]);
      expect(removal!.byteLength).toBeGreaterThan(0);
      expect(await filesBelow(cache)).toEqual(["packs", "sources", "verified"]);
      expect(await removeModel(name)).toBeNull();
    }
  });

  test("folders with the same name are distinguished by path; a pack that two folders share stays for the other one", async () => {
    const sources = await Promise.all(["a", "b"].map((name) => randomModel(join(scratch, name, "model"))));
    for (const source of sources) await preparePack({ model: source });
    vi.stubEnv("HF_HUB_CACHE", join(scratch, "hub"));
    await expect(removeModel("model")).rejects.toThrow(
      `several models are called model: give one of the paths ${sources.join(", ")}`,
    );
    expect(await removeModel(sources[0]!)).toEqual({
      removed: [],
      kept: [`the packs, which ${sources[1]} needs too: it has the same files`],
      isForgotten: true,
      byteLength: 0,
    });
    expect(await removeModel("model")).toMatchObject({ removed: ["the pack model q8"] });
  });

  test("each format has its own pack, and all are listed", async () => {
    const source = await model();
    for (const format of ["q8", "f32"] as const) await preparePack({ model: source, format });
    const cached = (await listModels()).filter((pack) => pack.source === source);
    expect(cached.map(({ format }) => format).sort()).toEqual(["f32", "q8"]);
    for (const pack of cached)
      expect(pack).toMatchObject({ name: "model", revision: null, architecture: "llama", source });
  });

  test("concurrent conversions give one pack", async () => {
    const source = await model();
    const packs = await Promise.all(Array.from({ length: 4 }, () => preparePack({ model: source })));
    expect(new Set(packs.map(({ dir }) => dir)).size).toBe(1);
    expect(await readdir(join(cache, "packs"))).toHaveLength(1);
    expect(await filesBelow(packs[0]!.dir)).toEqual(PACK_FILES);
  });

  test("folders left by killed conversions are removed, but not those that another machine may be writing", async () => {
    const packs = join(cache, "packs");
    const mine = hostname().replaceAll(/[^A-Za-z0-9]/g, "_");
    const dead = `.staging-${mine}-4194305-abc123`; // above Linux's largest process id
    const reused = `.staging-${mine}-${process.pid}-abc123`; // in a container, where every run has the same id
    const alive = `.staging-${mine}-${process.ppid}-abc123`;
    const foreign = ".staging-another_machine-4194305-abc123";
    const forgotten = ".staging-another_machine-4194305-abc124";
    // Written to recently; its process may not be visible from here.
    const busy = [`.staging-${mine}-4194305-abc124`, `.staging-${mine}-${process.pid}-abc124`];
    for (const name of [dead, reused, alive, foreign, forgotten, ...busy]) {
      const minutes = name === forgotten ? 2000 : 60;
      const old = new Date(Date.now() - minutes * 60_000);
      await mkdir(join(packs, name), { recursive: true });
      await writeFile(join(packs, name, "weights.bin"), "");
      if (!busy.includes(name)) await utimes(join(packs, name, "weights.bin"), old, old);
      await utimes(join(packs, name), old, old);
    }
    const { dir } = await preparePack({ model: await model() });
    expect((await readdir(packs)).sort()).toEqual([alive, foreign, ...busy, basename(dir)].sort());
  });

  test("a folder that a killed conversion left is removed by the next run at once, even one that converts nothing", async () => {
    const packs = join(cache, "packs");
    const source = await model();
    const { dir } = await preparePack({ model: source });
    const mine = `${hostname().replaceAll(/[^A-Za-z0-9]/g, "_")}-${processNamespace()}`;
    const dead = `.staging-${mine}-4194305-abc123`;
    const ended = spawn(process.execPath, ["-e", ""]);
    await once(ended, "close");
    const killed = `.staging-${mine}-${ended.pid}-abc123`;
    // A running process, another thread of this one, and a process in another container.
    const running = [process.ppid, process.pid].map((pid) => `.staging-${mine}-${pid}-abc123`);
    const elsewhere = `.staging-${mine.replace(/-.*/, "-0123456789ab")}-4194305-abc123`;
    for (const name of [dead, killed, ...running, elsewhere]) await mkdir(join(packs, name));
    await preparePack({ model: source });
    const kept = [...running, elsewhere, basename(dir)].sort();
    expect((await readdir(packs)).sort()).toEqual(kept);
  });

  test("a pack in which one bit has changed is converted again", async () => {
    const source = await model();
    const pack = await preparePack({ model: source });
    await flip(join(pack.dir, "weights.bin"));
    const again = await preparePack({ model: source });
    expect(await sha256(join(again.dir, "weights.bin"))).toBe(again.manifest.files["weights.bin"]!.sha256);
  });

  test("a damaged pack is converted again", async () => {
    const source = await model();
    const pack = await preparePack({ model: source });
    await truncate(pack.bodyPath, 100);
    const again = await preparePack({ model: source });
    expect(again.dir).toBe(pack.dir);
    expect(await readdir(join(cache, "packs"))).toHaveLength(1);
  });

  test.runIf(hasReadOnlyDisks)("a cache on a read-only disk is refused with that reason", async () => {
    const source = await model();
    const disk = join(scratch, "disk");
    await mkdir(disk);
    const stdout = await onReadOnlyDisk(
      disk,
      `const { prepareModel } = await load("/engine/store/prepare.ts");
       const { convert } = await load("/engine/store/convert.ts");
       process.env.TOUCHSTONE_CACHE = ${JSON.stringify(join(disk, "a", "b"))};
       process.env.HF_HUB_CACHE = ${JSON.stringify(join(disk, "c", "d"))};
       const source = ${JSON.stringify(source)};
       const { CachedRepository, hubCacheError } = await load("/engine/store/hub/cache.ts");
       const { acquireLock } = await load("/engine/store/hub/lock.ts");
       for (const write of [
         () => prepareModel({ model: source }),
         () => convert(source, ${JSON.stringify(join(disk, "e", "f"))}),
         () => acquireLock(new CachedRepository(process.env.HF_HUB_CACHE, "org/name").lockFile, new AbortController().signal, () => {})
           .catch((error) => { throw hubCacheError(error, process.env.HF_HUB_CACHE); }),
       ]) await write().catch((error) => console.log(error.code, error.message));`,
    );
    expect(stdout.trimEnd().split("\n")).toEqual([
      `cache_unavailable cannot write to the cache folder ${disk}/a/b (EROFS: the disk is read-only); set TOUCHSTONE_CACHE to a writable folder with enough space`,
      `output_unavailable cannot write ${disk}/e/f (EROFS: the disk is read-only)`,
      `cache_unavailable the folder for downloaded models, ${disk}/c/d, cannot be written (EROFS: the disk is read-only); set HF_HUB_CACHE to another folder`,
    ]);
  });

  test("a cache that cannot be written is refused by name", async () => {
    vi.stubEnv("TOUCHSTONE_CACHE", join(scratch, "file"));
    await writeFile(join(scratch, "file"), "");
    const refused = preparePack({ model: await model() });
    await expect(refused).rejects.toMatchObject({ code: "cache_unavailable" });
    await expect(refused).rejects.toThrow(
      /^cannot write to the cache folder .*\/file \((ENOTDIR|EEXIST)\); set TOUCHSTONE_CACHE/,
    );
  });

  test("its folder is TOUCHSTONE_CACHE, else the platform's cache folder", () => {
    expect(cacheFolder()).toBe(cache);
    expect(cacheFolder({})).toMatch(/touchstone/);
  });

  test.runIf(process.platform === "linux")("its folder on Linux follows XDG_CACHE_HOME", () => {
    expect(cacheFolder({ XDG_CACHE_HOME: "/x" })).toBe("/x/touchstone");
  });
});

describe("a pack whose large files have other contents of the same size", () => {
  const ask = (dir: string): Promise<ModelPack> => preparePack({ model: dir });
  const pack = async (): Promise<string> => {
    await convert(await model(), join(scratch, "pack"));
    return join(scratch, "pack");
  };
  const memories = async (): Promise<string[]> => {
    const names = await readdir(join(cache, "verified"));
    return Promise.all(names.map((name) => readFile(join(cache, "verified", name), "utf8")));
  };

  test.each(["weights.bin", "body.onnx"])(
    "is refused by name when it is loaded for the first time: %s",
    async (name) => {
      const dir = await pack();
      await flip(join(dir, name));
      await expect(ask(dir)).rejects.toMatchObject({
        code: "invalid_model",
        message: `the pack is damaged: ${join(dir, name)}: its contents are not what manifest.json records`,
      });
      await expect(readdir(join(cache, "verified"))).rejects.toThrow(/ENOENT/);
    },
  );

  test("is refused after it was correct, also if its modification time is the old one", async () => {
    const dir = await pack();
    await settle();
    await ask(dir);
    const file = join(dir, "weights.bin");
    const { atime, mtime } = await stat(file);
    await flip(file);
    await utimes(file, atime, mtime);
    await expect(ask(dir)).rejects.toThrow(/weights\.bin: its contents are not what manifest\.json records$/);
    await flip(file);
    await ask(dir);
  });

  test("is read once, until its files change", async () => {
    const dir = await pack();
    await settle();
    await ask(dir);
    const remembered = await memories();
    expect(remembered).toHaveLength(1);
    await ask(dir);
    expect(await memories()).toEqual(remembered);
    await utimes(join(dir, "weights.bin"), new Date(), new Date());
    await ask(dir);
    expect(await memories()).not.toEqual(remembered);
    await rename(dir, join(scratch, "moved"));
    await ask(join(scratch, "moved"));
    expect(await memories()).toHaveLength(2);
  });

  test("a file that has just been written is read again: a change might not show in its time stamps", async () => {
    const dir = await pack();
    await ask(dir);
    const remembered = await memories();
    await ask(dir);
    expect(await memories()).not.toEqual(remembered);
  });

  test.each(["{", "[]", '{"files":{"weights.bin":1}}', '{"files":null}'])(
    "a broken memory is ignored: %s",
    async (text) => {
      const dir = await pack();
      await ask(dir);
      const [name] = await readdir(join(cache, "verified"));
      await writeFile(join(cache, "verified", name!), text);
      await ask(dir);
      await flip(join(dir, "weights.bin"));
      await expect(ask(dir)).rejects.toThrow(/weights\.bin/);
    },
  );

  test("loads without a cache that can be written, and is checked every time", async () => {
    const dir = await pack();
    vi.stubEnv("TOUCHSTONE_CACHE", join(scratch, "file"));
    await writeFile(join(scratch, "file"), "");
    await ask(dir);
    await flip(join(dir, "weights.bin"));
    await expect(ask(dir)).rejects.toThrow(/weights\.bin/);
  });

  test("the check can be aborted, and rm forgets it", async () => {
    const source = await model();
    await preparePack({ model: source });
    expect(await memories()).toHaveLength(1);
    const again = preparePack({ model: await pack(), signal: AbortSignal.abort(new Error("enough")) });
    await expect(again).rejects.toThrow("enough");
    await removeModel(source);
    expect(await memories()).toHaveLength(0);
  });
});

describe("the model that the user named", () => {
  test.each<[string, (dir: string) => Promise<void>, RegExp]>([
    ["does not exist", async () => undefined, /^there is no model folder at .*\/it$/],
    ["is a file", (dir) => writeFile(dir, ""), /\/it is a file; a model is a folder with config\.json/],
    [
      "is an empty folder",
      async (dir) => void (await mkdir(dir)),
      /\/it is not a model: it has neither config\.json \(a model folder\) nor manifest\.json \(a pack\)$/,
    ],
  ])("%s", async (_, create, message) => {
    await create(join(scratch, "it"));
    const refused = preparePack({ model: join(scratch, "it") });
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toMatchObject({ code: "model_not_found" });
  });

  test("is a pack: opened in place, and only in its own format", async () => {
    const out = join(scratch, "pack");
    await convert(await model(), out, { quant: "q4" });
    expect((await preparePack({ model: out })).dir).toBe(out);
    await expect(preparePack({ model: out, format: "q8" })).rejects.toThrow(/pack is a pack of q4 weights, not q8/);
    expect(await readdir(cache)).toEqual(["verified"]);
  });

  test.each<[string, (dir: string) => Promise<void>, RegExp]>([
    ["lacks its body", (dir) => rm(join(dir, "body.onnx")), /the pack is damaged: .*body\.onnx: the file is missing$/],
    [
      "has short weights",
      (dir) => truncate(join(dir, "weights.bin"), 10),
      /weights\.bin: it has 10 bytes, manifest\.json records \d+$/,
    ],
    [
      "has another tokenizer",
      (dir) => writeFile(join(dir, "tokenizer.json"), "{}"),
      /tokenizer\.json: its contents are not what manifest\.json records$/,
    ],
    [
      "has an additional file",
      (dir) => writeFile(join(dir, "chat_template.jinja"), ""),
      /chat_template\.jinja: its contents are not/,
    ],
    [
      "is of another version",
      (dir) => edited(dir, { formatVersion: 99 }),
      /is a pack of format version 99; this program reads version \d+: convert the model again$/,
    ],
    [
      "has half a manifest",
      (dir) => edited(dir, { tensors: { lm_head: { rows: 3 } } }),
      /manifest\.json: it is incomplete$/,
    ],
    [
      "lists tensors that do not fit",
      (dir) => edited(dir, { tensors: {} }),
      /tensor lm_head does not fit config\.json/,
    ],
    [
      "lists files outside its folder",
      (dir) => editedFiles(dir),
      /"\.\.\/config\.json" is not the name of a file in this folder$/,
    ],
    ...(["weights.bin", "body.onnx", "body.onnx.data"] as const).map(
      (name): [string, (dir: string) => Promise<void>, RegExp] => [
        `has a sparse ${name} of a terabyte, which would be hashed for an hour`,
        (dir) => extended(dir, name),
        /: it has 1099511627776 bytes; its tensors need at most \d+$/,
      ],
    ),
    ["lists a file that no pack has", (dir) => extended(dir, "other"), /other: a pack has no such file$/],
  ])("is a pack that %s", async (_, damage, message) => {
    const out = join(scratch, "pack");
    await convert(await model(), out, { quant: "q4" });
    await damage(out);
    const refused = preparePack({ model: out });
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toBeInstanceOf(EngineError);
  });
});

test("weights that disappear between opening a pack and reading them are reported", async () => {
  const pack = await preparePack({ model: await model() });
  await rm(join(pack.dir, "weights.bin"));
  const reading = pack.readWeights(new Uint8Array(pack.weightsByteLength));
  await expect(reading).rejects.toMatchObject({
    code: "invalid_model",
    message: expect.stringMatching(/weights\.bin: it cannot be read \(ENOENT\)$/) as string,
  });
});

test("a file is written as given, even if the caller changes its buffer afterwards", async () => {
  const path = join(scratch, "file");
  const sink = await FileSink.create(path);
  const bytes = Buffer.from("first");
  await sink.write(bytes);
  bytes.write("other");
  const { sha256 } = await sink.finish();
  const written = await readFile(path);
  expect(written.toString()).toBe("first");
  expect(createHash("sha256").update(written).digest("hex")).toBe(sha256);
});

describe("convert", () => {
  test("writes into an empty folder, never over existing files; replaces a pack on request", async () => {
    const source = await model();
    const out = join(scratch, "new", "pack");
    await mkdir(out, { recursive: true });
    await convert(source, out, { quant: "q4" });
    await expect(convert(source, out, { quant: "q8" })).rejects.toThrow(/pack exists already$/);
    await convert(source, out, { quant: "q8", replace: true });
    expect((await openPack(out)).manifest.format).toBe("q8");
    await expect(convert(source, source, { quant: "q8", replace: true })).rejects.toThrow(
      /model exists and is not a pack/,
    );
    expect(await readdir(join(scratch, "new"))).toEqual(["pack"]);
  });

  test("keeps the old pack if a replacement fails", async () => {
    const out = join(scratch, "pack");
    await convert(await model(), out, { quant: "q4" });
    const broken = await randomModel(join(scratch, "broken"), {
      edit: (tensors) => tensors.get("model.norm.weight")!.values.fill(NaN),
    });
    await expect(convert(broken, out, { quant: "q8", replace: true })).rejects.toThrow(/NaN/);
    expect((await openPack(out)).manifest.format).toBe("q4");
    expect((await readdir(scratch)).sort()).toEqual(["broken", "model", "pack"]);
  });

  test("reports a target that cannot be written", async () => {
    await writeFile(join(scratch, "file"), "");
    const refused = convert(await model(), join(scratch, "file", "pack"), { quant: "q4" });
    await expect(refused).rejects.toMatchObject({
      code: "output_unavailable",
      message: expect.stringMatching(/^cannot write .*\/file\/pack \((ENOTDIR|EEXIST)\)$/),
    });
  });
});

function asMatrix({ shape, values }: RandomTensor, format: MatrixFormat): Parameters<typeof packMatrix>[0] {
  const [rows, cols] = shape as [number, number];
  return format === "f32" ? { format, rows, cols, values } : quantize(format, values, rows, cols);
}

/** Returns the hidden state of one token at position 0, computed by a body of the default random model. */
async function firstHidden(bodyPath: string): Promise<Float32Array> {
  const session = await ort.InferenceSession.create(bodyPath, { executionProviders: ["cpu"], logSeverityLevel: 3 });
  const feeds: Record<string, ort.Tensor> = {
    inputs_embeds: tensor([4, 48], Math.cos),
    rope_cos: tensor([4, 8], () => 1),
    rope_sin: tensor([4, 8], () => 0),
    last_position: new ort.Tensor("int32", Int32Array.of(3), [1]),
    num_positions: new ort.Tensor("int32", Int32Array.of(4), []),
  };
  for (const layer of [0, 1])
    for (const plane of ["key", "value"]) feeds[`past_${plane}.${layer}`] = tensor([1, 2, 4, 16], () => 0);
  const { hidden } = await session.run(feeds);
  await session.release();
  return hidden!.data as Float32Array;
}

function tensor(dims: number[], fill: (i: number) => number): ort.Tensor {
  return new ort.Tensor(
    "float32",
    Float32Array.from({ length: dims.reduce((a, b) => a * b) }, (_, i) => fill(i)),
    dims,
  );
}

async function edited(dir: string, changes: object): Promise<void> {
  const path = join(dir, "manifest.json");
  const manifest = JSON.parse(await readFile(path, "utf8")) as object;
  await writeFile(path, JSON.stringify({ ...manifest, ...changes }));
}

async function editedFiles(dir: string): Promise<void> {
  const { files } = JSON.parse(await readFile(join(dir, "manifest.json"), "utf8")) as {
    files: Record<string, unknown>;
  };
  await edited(dir, { files: { ...files, "../config.json": files["config.json"] } });
}

/** Extends a file of a pack by a terabyte that takes no space on the disk, and records its new size. */
async function extended(dir: string, name: string): Promise<void> {
  await writeFile(join(dir, name), "", { flag: "a" });
  await truncate(join(dir, name), 2 ** 40);
  const { files } = JSON.parse(await readFile(join(dir, "manifest.json"), "utf8")) as { files: object };
  await edited(dir, { files: { ...files, [name]: { byteLength: 2 ** 40, sha256: "0".repeat(64) } } });
}

test("refuses arguments of the wrong type and unknown options", async () => {
  await expect(convert(undefined as never, "out")).rejects.toMatchObject({ code: "invalid_type", param: "model" });
  await expect(convert("model", "out", { format: "q4" } as never)).rejects.toMatchObject({
    code: "unknown_parameter",
    param: "format",
  });
  await expect(removeModel(undefined as never)).rejects.toMatchObject({ code: "invalid_type", param: "name" });
  await expect(pullModel("org/name", { dtyp: "q4" } as never)).rejects.toMatchObject({ param: "dtyp" });
});
