/** Kinds of hostile models: which valid models each starts from, and what it changes in them. */

import { createHash } from "node:crypto";

import { BASES } from "./bases.js";
import { joined, mutateBytes, mutateValues } from "./mutate-bytes.js";
import { hostileJson, mutateJson } from "./mutate-json.js";
import { mutateOnnx } from "./mutate-onnx.js";
import { randomTemplate } from "./random-template.js";
import { withHostileParts } from "./random-tokenizer.js";
import type { Random } from "./random.js";

/** An entry of a model's folder: a file's contents, or something that is not a plain file. */
export type Entry =
  | Uint8Array
  | { readonly kind: "link"; readonly to: string }
  | { readonly kind: "folder" }
  | { readonly kind: "pipe" }
  | { readonly kind: "sparse"; readonly byteLength: number };

/** The entries of a model's folder by their paths in it. */
export type Files = Map<string, Entry>;

export interface Kind {
  readonly bases: readonly string[];
  /** Share of the models that run with the profile `exact`, which starts sooner. */
  readonly exactShare: number;
  /** Changes `files`, which are those of a valid model. */
  readonly mutate: (random: Random, files: Files) => void;
}

/** A text file is read in the same way from every folder; packs, which need no conversion, start the soonest. */
const TEXT_BASES = [
  ...BASES.packs,
  ...BASES.packs,
  ...BASES.packs,
  ...BASES.packs,
  ...BASES.safetensors,
  ...BASES.onnx,
];

export const KINDS = {
  safetensors: { bases: BASES.safetensors, exactShare: 0.5, mutate: mutateSafetensors },
  onnx: { bases: BASES.onnx, exactShare: 0.5, mutate: mutateGraph },
  tokenizer: { bases: TEXT_BASES, exactShare: 0.9, mutate: mutateTokenizer },
  template: { bases: TEXT_BASES, exactShare: 0.9, mutate: mutateTemplate },
  config: { bases: TEXT_BASES, exactShare: 0.5, mutate: mutateConfig },
  pack: { bases: BASES.packs, exactShare: 0.5, mutate: mutatePack },
  folder: { bases: [...BASES.packs, ...BASES.safetensors, ...BASES.onnx], exactShare: 0.5, mutate: mutateFolder },
} as const satisfies Readonly<Record<string, Kind>>;

export type KindName = keyof typeof KINDS;

export const KIND_NAMES = Object.keys(KINDS) as KindName[];

function mutateSafetensors(random: Random, files: Files): void {
  const shards = [...files.keys()].filter((name) => name.endsWith(".safetensors"));
  const index = "model.safetensors.index.json";
  if (files.has(index) && random.chance(0.3)) {
    change(files, index, (bytes) => mutatedText(random, bytes));
    return;
  }
  change(files, random.pick(shards), (bytes) => {
    if (random.chance(0.2)) return mutateBytes(random, bytes);
    const headerBytes = Number(Buffer.from(bytes).readBigUInt64LE());
    const header = Buffer.from(bytes.subarray(8, 8 + headerBytes)).toString();
    const data = bytes.subarray(8 + headerBytes);
    if (random.chance(0.15)) return safetensorsFile(header, random.pick(LENGTHS), data);
    if (random.chance(0.3)) return safetensorsFile(header, null, mutateValues(random, data));
    if (random.chance(0.1)) return safetensorsFile(withoutMetadata(random, header), null, data);
    return safetensorsFile(mutateJson(random, header), null, random.chance(0.9) ? data : mutateBytes(random, data));
  });
}

const LENGTHS = [0n, 1n, 2n, 100_000_000n, 100_000_001n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];

/** A header with sizes whose product overflows, or with offsets at the end of what numbers can hold. */
function withoutMetadata(random: Random, header: string): string {
  const tensors = JSON.parse(header) as Record<string, { shape: number[]; data_offsets: number[] }>;
  const names = Object.keys(tensors).filter((name) => name !== "__metadata__");
  const tensor = tensors[random.pick(names)]!;
  const huge = random.pick([2 ** 31, 2 ** 32, 2 ** 53 - 1, 1e15]);
  if (random.chance(0.5))
    tensor.shape = random.pick([[huge, huge], [huge, 0], [0], [], Array<number>(100_000).fill(2), [-1, -1]]);
  else tensor.data_offsets = random.pick([[0, huge], [huge, huge], [huge, 0], [0, 0], [0], []]);
  return JSON.stringify(tensors);
}

function safetensorsFile(header: string, byteLength: bigint | null, data: Uint8Array): Uint8Array {
  const json = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(byteLength ?? BigInt(json.length));
  return joined(length, json, data);
}

function mutateGraph(random: Random, files: Files): void {
  const graphs = [...files.keys()].filter((name) => name.startsWith("onnx/"));
  change(files, random.pick(graphs), (bytes, name) =>
    name.endsWith(".onnx") && random.chance(0.85) ? mutateOnnx(random, bytes) : mutateBytes(random, bytes),
  );
  if (random.chance(0.1)) mutateFolder(random, files, graphs);
}

function mutateTokenizer(random: Random, files: Files): void {
  if (random.chance(0.15)) change(files, "tokenizer_config.json", (bytes) => mutatedText(random, bytes));
  else if (random.chance(0.7))
    change(files, "tokenizer.json", (bytes) => Buffer.from(withHostileParts(random, Buffer.from(bytes).toString())));
  else change(files, "tokenizer.json", (bytes) => mutatedText(random, bytes));
  signed(files);
}

function mutateTemplate(random: Random, files: Files): void {
  const template = random.chance(0.1)
    ? Buffer.from(mutateBytes(random, Buffer.from(randomTemplate(random))))
    : Buffer.from(randomTemplate(random));
  if (random.chance(0.5)) files.set("chat_template.jinja", new Uint8Array(template));
  else {
    change(files, "tokenizer_config.json", (bytes) => {
      const config = JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>;
      const list = [{ name: "default", template: template.toString() }];
      return Buffer.from(JSON.stringify({ ...config, chat_template: random.chance(0.9) ? template.toString() : list }));
    });
  }
  signed(files);
}

function mutateConfig(random: Random, files: Files): void {
  const isGeneration = random.chance(0.2) && files.has("generation_config.json");
  change(files, isGeneration ? "generation_config.json" : "config.json", (bytes) => {
    if (random.chance(0.5)) return mutatedText(random, bytes);
    const config = JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>;
    const lines = Object.entries({ ...config, [random.pick(CONFIG_KEYS)]: MARK }).map(
      ([key, value]) => `${JSON.stringify(key)}:${value === MARK ? hostileJson(random) : JSON.stringify(value)}`,
    );
    return Buffer.from(`{${lines.join(",")}}`);
  });
  signed(files);
}

const MARK = Symbol("hostile");

const CONFIG_KEYS = [
  "hidden_size",
  "intermediate_size",
  "num_hidden_layers",
  "num_attention_heads",
  "num_key_value_heads",
  "head_dim",
  "vocab_size",
  "max_position_embeddings",
  "rms_norm_eps",
  "rope_theta",
  "rope_scaling",
  "rope_parameters",
  "tie_word_embeddings",
  "attention_bias",
  "sliding_window",
  "use_sliding_window",
  "max_window_layers",
  "layer_types",
  "architectures",
  "model_type",
  "eos_token_id",
  "quantization_config",
  "text_config",
  "n_positions",
] as const;

function mutatePack(random: Random, files: Files): void {
  switch (random.below(7)) {
    case 6:
      addSparseFile(random, files);
      return;
    case 0:
    case 1:
      change(files, "manifest.json", (bytes) => mutatedText(random, bytes));
      return;
    case 2:
      change(files, "manifest.json", (bytes) => withOtherTensor(random, bytes));
      return;
    case 3:
      change(files, "body.onnx", (bytes) =>
        random.chance(0.8) ? mutateOnnx(random, bytes) : mutateBytes(random, bytes),
      );
      signed(files);
      return;
    case 4:
      change(files, "weights.bin", (bytes) =>
        random.chance(0.6) ? mutateValues(random, bytes) : mutateBytes(random, bytes),
      );
      signed(files);
      return;
    default: {
      const name = random.pick([...files.keys()]);
      change(files, name, (bytes) => mutateBytes(random, bytes));
      if (name !== "manifest.json" && random.chance(0.5)) signed(files);
    }
  }
}

/** Makes one file so large that it cannot be read in time, with a record of its size. */
function addSparseFile(random: Random, files: Files): void {
  const name = random.pick(["weights.bin", "body.onnx", "body.onnx.data", "other.bin", "config.json"]);
  const byteLength = random.pick([1 << 20, 2 ** 33, 2 ** 40]);
  files.set(name, { kind: "sparse", byteLength });
  change(files, "manifest.json", (bytes) => {
    const manifest = JSON.parse(Buffer.from(bytes).toString()) as { files: object };
    const record = { byteLength, sha256: "0".repeat(64) };
    return Buffer.from(JSON.stringify({ ...manifest, files: { ...manifest.files, [name]: record } }));
  });
}

/** Changes one number of one tensor, or gives it the place of another. */
function withOtherTensor(random: Random, bytes: Uint8Array): Uint8Array {
  const manifest = JSON.parse(Buffer.from(bytes).toString()) as { tensors: Record<string, Record<string, unknown>> };
  const names = Object.keys(manifest.tensors);
  const tensor = manifest.tensors[random.pick(names)]!;
  const other = manifest.tensors[random.pick(names)]!;
  const key = random.pick(["offset", "byteLength", "rows", "cols", "format"]);
  const near =
    typeof tensor[key] === "number" ? (tensor[key] as number) + random.pick([-64, -4, -1, 1, 3, 4, 64]) : "q9";
  tensor[key] = random.pick<unknown>([near, near, other[key], 0, 2 ** 32, 2 ** 53 - 1, "q4", "f32", "vector"]);
  return Buffer.from(JSON.stringify(manifest));
}

/** Puts something that is not a plain file in the place of one, or a file of another size. */
function mutateFolder(random: Random, files: Files, among: readonly string[] = [...files.keys()]): void {
  const name = random.pick(among);
  if (random.chance(0.2)) {
    const moved = `${name}.moved`;
    files.set(moved, files.get(name)!);
    files.set(name, { kind: "link", to: moved.slice(moved.lastIndexOf("/") + 1) });
    return;
  }
  const other = random.pick([...files.keys()]);
  const entries: Entry[] = [
    { kind: "folder" },
    { kind: "pipe" },
    { kind: "sparse", byteLength: random.pick([0, 1 << 20, 300 << 20, 2 ** 33, 2 ** 40]) },
    {
      kind: "link",
      to: random.pick([
        "/dev/zero",
        "/dev/full",
        "/dev/stdin",
        "/proc/self/mem",
        "/proc/kmsg",
        "/proc/self/maps",
        "/etc/passwd",
        "/nowhere",
        ".",
        "..",
        name,
        other,
        "/dev/tty",
      ]),
    },
    new Uint8Array(0),
  ];
  files.set(name, random.pick(entries));
}

function change(files: Files, name: string, mutate: (bytes: Uint8Array, name: string) => Uint8Array): void {
  const bytes = files.get(name);
  if (bytes instanceof Uint8Array) files.set(name, mutate(bytes, name));
}

function mutatedText(random: Random, bytes: Uint8Array): Uint8Array {
  if (random.chance(0.05)) return mutateBytes(random, bytes);
  return Buffer.from(mutateJson(random, Buffer.from(bytes).toString()));
}

/** Records the new sizes and hashes in a pack's manifest: whoever makes a hostile pack would do so. */
function signed(files: Files): void {
  change(files, "manifest.json", (bytes) => {
    const manifest = JSON.parse(Buffer.from(bytes).toString()) as { files: object };
    const records = [...files].flatMap(([name, contents]) =>
      name === "manifest.json" || !(contents instanceof Uint8Array)
        ? []
        : [[name, { byteLength: contents.length, sha256: createHash("sha256").update(contents).digest("hex") }]],
    );
    return Buffer.from(JSON.stringify({ ...manifest, files: Object.fromEntries(records) as object }));
  });
}
