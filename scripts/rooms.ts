/**
 * The layers of the code. A room is a folder; its doors are the files that other rooms may import. Each room lists the
 * rooms that it may import, which precede it in the table. docs/ARCHITECTURE.md contains this table, and `npm run
 * check:imports` enforces it.
 */

export interface Room {
  /** Path of a folder, or of some files directly in engine/. */
  readonly path: string;
  /** Files that other rooms may import. */
  readonly doors: readonly string[];
  /** Paths of the rooms that this room may import. */
  readonly uses: readonly string[];
  /** Description of the content, for the documentation. */
  readonly holds: string;
}

/** Room that every room may import. */
const GROUND = "engine/*.ts: errors, limits, json, async-queue, budget, nearest-name";

const LIBRARY = "engine/*.ts: the library";

export const ROOMS: readonly Room[] = [
  {
    path: "kernels",
    doors: ["index.ts"],
    uses: [],
    holds:
      "matrix products, the decoder, and sampling from logits: AssemblyScript in four builds, on several threads with one memory",
  },
  {
    path: GROUND,
    doors: ["errors.ts", "limits.ts", "json.ts", "async-queue.ts", "budget.ts", "nearest-name.ts"],
    uses: [],
    holds:
      "the error class for callers' mistakes, all limits, strict JSON, the asynchronous queue, the bound on work for a request, the nearest name to a misspelled one",
  },
  {
    path: "engine/formats",
    doors: ["index.ts"],
    uses: [GROUND],
    holds: "reads and writes files: JSON, safetensors, ONNX protobuf; independent of models",
  },
  {
    path: "engine/grammar",
    doors: ["index.ts"],
    uses: [GROUND],
    holds:
      "JSON schemas, regular expressions and context-free grammars as automata over bytes, and their token masks; independent of models",
  },
  {
    path: "engine/sampling",
    doors: ["index.ts"],
    uses: ["kernels", GROUND],
    holds: "the table of generation parameters, Philox, the sampler of a choice",
  },
  {
    path: "engine/text",
    doors: ["index.ts"],
    uses: [GROUND],
    holds: "tokenizer, streaming detokenizer, stop sequences",
  },
  {
    path: "engine/message",
    doors: ["index.ts"],
    uses: [GROUND, "engine/grammar", "engine/text"],
    holds:
      "the format of a model's messages (reasoning, then answer), followed by both the text stream and the token masks",
  },
  {
    path: "engine/template",
    doors: ["index.ts"],
    uses: [GROUND, "engine/text", "engine/message"],
    holds: "chat templates: from messages to the text of a prompt",
  },
  {
    path: "engine/architecture",
    doors: ["index.ts"],
    uses: [GROUND, "engine/formats"],
    holds: "config.json to a ModelConfig, tensor names of each architecture, rotary positions",
  },
  {
    path: "engine/folder",
    doors: ["index.ts"],
    uses: [
      "kernels",
      GROUND,
      "engine/formats",
      "engine/text",
      "engine/message",
      "engine/template",
      "engine/architecture",
    ],
    holds: "opens and checks a model's folder: safetensors, a pack, or ONNX files",
  },
  {
    path: "engine/convert",
    doors: ["index.ts"],
    uses: ["kernels", GROUND, "engine/formats", "engine/architecture", "engine/folder"],
    holds: "converts safetensors to a pack or to the layout of transformers.js: equalization, quantization, body graph",
  },
  {
    path: "engine/runner",
    doors: ["index.ts"],
    uses: ["kernels", GROUND, "engine/formats", "engine/architecture", "engine/folder"],
    holds: "`ModelRunner`, from token ids to hidden states, and its implementations: kernels, ONNX body, ONNX graph",
  },
  {
    path: "engine/core",
    doors: ["index.ts"],
    uses: ["kernels", GROUND, "engine/sampling", "engine/text", "engine/message", "engine/runner"],
    holds: "the token loop: engine, scheduler, sequences, drafts, KV cache, prefix index, LM head",
  },
  {
    path: "engine/store/hub",
    doors: ["index.ts"],
    uses: [GROUND, "engine/formats", "engine/folder"],
    holds: "downloads from the hub, and the cache shared with Python's huggingface_hub",
  },
  {
    path: "engine/store",
    doors: ["index.ts"],
    uses: [
      "kernels",
      GROUND,
      "engine/formats",
      "engine/architecture",
      "engine/folder",
      "engine/convert",
      "engine/store/hub",
    ],
    holds: "finds models by name; cached packs, staging folders, the list of stored models",
  },
  {
    path: "engine/model",
    doors: ["index.ts"],
    uses: [
      "kernels",
      GROUND,
      "engine/grammar",
      "engine/sampling",
      "engine/text",
      "engine/message",
      "engine/template",
      "engine/architecture",
      "engine/folder",
      "engine/runner",
      "engine/core",
      "engine/store",
    ],
    holds: "a loaded model: options, memory estimate, `chat` and `generate`",
  },
  {
    path: "engine/evaluate",
    doors: ["index.ts"],
    uses: ["kernels", GROUND, "engine/text", "engine/folder", "engine/runner", "engine/core", "engine/model"],
    holds: "compares two ways of computing a model: KL divergence, top-1 agreement, perplexity",
  },
  {
    path: LIBRARY,
    doors: ["index.ts", "models.ts", "grammar.ts"],
    uses: [
      "kernels",
      GROUND,
      "engine/formats",
      "engine/grammar",
      "engine/sampling",
      "engine/text",
      "engine/message",
      "engine/template",
      "engine/folder",
      "engine/runner",
      "engine/core",
      "engine/store",
      "engine/model",
    ],
    holds: "the library's entry points `touchstone`, `touchstone/models` and `touchstone/grammar`",
  },
  {
    path: "src/openai",
    // The command line starts sooner if it does not load the schemas.
    doors: ["index.ts", "dialects.ts", "nearest-name.ts", "response.ts"],
    uses: [GROUND, "engine/grammar", "engine/sampling", "engine/template", LIBRARY],
    holds:
      "the wire format: request schemas from the table of parameters, validation, responses and chunks; pure functions",
  },
  {
    path: "src/server",
    doors: ["index.ts"],
    uses: [GROUND, "engine/core", "engine/model", LIBRARY, "src/openai"],
    holds:
      "HTTP: routes, keys, queue, streams, metrics; the preparer and the engine of each model in two worker threads",
  },
  {
    path: "spec-tests/conform",
    doors: ["index.ts", "command.ts", "terminal.ts"],
    uses: [],
    holds:
      "the package `touchstone-conform`: laws, an HTTP client without access to the engine, the command, the vectors",
  },
  {
    path: "src/cli",
    doors: [],
    uses: [
      GROUND,
      "engine/sampling",
      "engine/architecture",
      "engine/folder",
      "engine/runner",
      "engine/store",
      "engine/model",
      "engine/evaluate",
      LIBRARY,
      "src/openai",
      "src/server",
      "spec-tests/conform",
    ],
    holds: "the command line",
  },
];

/** Packages that only some files may import, with those files. */
export const PACKAGES: readonly { readonly name: RegExp; readonly files: RegExp }[] = [
  { name: /^onnxruntime-node$/, files: /^engine\/runner\/onnx-session\.ts$/ },
  { name: /^@huggingface\/tokenizers$/, files: /^engine\/text\/tokenizer\.ts$/ },
  { name: /^protobufjs/, files: /^engine\/formats\/onnx\.ts$/ },
  { name: /^@modelcontextprotocol\/sdk/, files: /^src\/cli\/mcp-server\.ts$/ },
  { name: /^fast-check$/, files: /^spec-tests\/conform\// },
  {
    name: /^node:fs/,
    files:
      /^engine\/(formats|folder|convert|store)\/|^src\/(cli|server)\/|^spec-tests\/conform\/|^kernels\/load\.ts$|^engine\/runner\/onnx-session\.ts$/,
  },
];

/** Returns the room of a source file, or null for tests, benchmarks and scripts, which may import anything. */
export function roomOf(file: string): Room | null {
  const inside = ROOMS.filter(({ path }) => file.startsWith(`${path}/`)).sort((a, b) => b.path.length - a.path.length);
  if (inside[0] !== undefined) return inside[0];
  const beside = /^engine\/([^/]+\.ts)$/.exec(file)?.[1];
  if (beside === undefined) return null;
  return ROOMS.find(({ path, doors }) => path.startsWith("engine/*.ts") && doors.includes(beside)) ?? null;
}

/** Returns the table for docs/ARCHITECTURE.md. */
export function roomsMarkdown(): string {
  const short = (path: string): string =>
    path === GROUND ? "errors, limits" : path.replace(/^engine\/(?!\*)/, "").replace("engine/*.ts: ", "");
  const rows = ROOMS.map(
    ({ path, doors, uses, holds }) =>
      `| \`${path}\` | ${doors.map((door) => `\`${door}\``).join(", ")} | ${holds} | ${uses.map(short).join(", ")} |`,
  );
  return ["| room | door | what it holds | may import |", "|---|---|---|---|", ...rows].join("\n");
}
