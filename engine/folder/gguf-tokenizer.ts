/**
 * The tokenizer of a GGUF file, as tokenizer.json and tokenizer_config.json would describe it. Patterns that divide a
 * text into words are those of llama.cpp, by `tokenizer.ggml.pre`.
 */

import { EngineError, quoted } from "../errors.js";
import type { GgufMetadata, GgufValue } from "../formats/index.js";
import type { JsonObject } from "../json.js";

export interface GgufTokenizer {
  readonly tokenizer: JsonObject;
  readonly tokenizerConfig: JsonObject;
  /** Tokens that end an answer. */
  readonly endTokenIds: readonly number[];
}

/** @throws EngineError `unsupported_model` for a kind that is not built, `invalid_model` for metadata of the wrong type */
export function ggufTokenizer(metadata: GgufMetadata, file: string): GgufTokenizer {
  const vocabulary = new Vocabulary(metadata, file);
  const kind = metadata.get("tokenizer.ggml.model");
  const addsBos = flag(metadata, "tokenizer.ggml.add_bos_token", kind === "llama" || addsBosByDefault(metadata), file);
  const addsEos = flag(metadata, "tokenizer.ggml.add_eos_token", false, file);
  const model =
    kind === "llama"
      ? sentencePieces(metadata, vocabulary, file)
      : kind === "gpt2"
        ? byteLevel(metadata, vocabulary, file)
        : null;
  if (model === null) throw unsupported(file, "tokenizer.ggml.model", kind, "supported: gpt2, llama");
  const special = (name: string): string | null => vocabulary.textOf(`tokenizer.ggml.${name}_token_id`);
  const [bos, eos, unknown] = [special("bos"), special("eos"), special("unknown")];
  const named = { bos_token: bos, eos_token: eos, unk_token: unknown, pad_token: special("padding") };
  const template = metadata.get("tokenizer.chat_template");
  return {
    tokenizer: {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: vocabulary.addedTokens(),
      ...model,
      post_processor: frame(addsBos ? vocabulary.named("bos") : null, addsEos ? vocabulary.named("eos") : null),
    },
    tokenizerConfig: {
      ...Object.fromEntries(Object.entries(named).filter(([, token]) => token !== null)),
      add_bos_token: addsBos,
      add_eos_token: addsEos,
      clean_up_tokenization_spaces: false,
      ...(typeof template === "string" ? { chat_template: template } : {}),
    },
    endTokenIds: vocabulary.endTokenIds(),
  };
}

/** An id that some files have for no token: -1 as an unsigned number. */
const NONE = 2 ** 32 - 1;

/** Types of tokens. */
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;
const BYTE = 6;

class Vocabulary {
  readonly tokens: readonly string[];
  readonly types: readonly number[];
  readonly ids: ReadonlyMap<string, number>;
  readonly #metadata: GgufMetadata;
  readonly #file: string;

  constructor(metadata: GgufMetadata, file: string) {
    this.#metadata = metadata;
    this.#file = file;
    this.tokens = list(metadata, "tokenizer.ggml.tokens", "string", file) as string[];
    if (this.tokens.length === 0) throw new EngineError("invalid_model", `${file}: tokenizer.ggml.tokens is empty`);
    const types = list(metadata, "tokenizer.ggml.token_type", "number", file) as number[];
    this.types = types.length === 0 ? this.tokens.map(() => 1) : types;
    if (this.types.length !== this.tokens.length)
      throw new EngineError(
        "invalid_model",
        `${file}: tokenizer.ggml.token_type has ${types.length} entries for ${this.tokens.length} tokens`,
      );
    this.ids = new Map(this.tokens.map((token, id) => [token, id]));
  }

  /** Returns the id that the metadata name; null if they name none. */
  idOf(key: string): number | null {
    const id = this.#metadata.get(key);
    if (id === undefined || id === NONE || id === -1) return null;
    if (typeof id === "number" && this.tokens[id] !== undefined) return id;
    throw new EngineError(
      "invalid_model",
      `${this.#file}: ${key} must be the id of a token; it is ${quoted(String(id))}`,
    );
  }

  textOf(key: string): string | null {
    const id = this.idOf(key);
    return id === null ? null : this.tokens[id]!;
  }

  named(name: string): { readonly id: number; readonly text: string } | null {
    const id = this.idOf(`tokenizer.ggml.${name}_token_id`);
    return id === null ? null : { id, text: this.tokens[id]! };
  }

  endTokenIds(): number[] {
    const named = ["eos", "eot", "eom"].map((name) => this.idOf(`tokenizer.ggml.${name}_token_id`));
    return [...new Set(named.filter((id) => id !== null))];
  }

  addedTokens(): JsonObject[] {
    return this.tokens.flatMap((content, id) => {
      const type = this.types[id];
      if ((type !== UNKNOWN && type !== CONTROL && type !== USER_DEFINED) || content === "") return [];
      const fields = { single_word: false, lstrip: false, rstrip: false, normalized: false };
      return [{ id, content, ...fields, special: type !== USER_DEFINED }];
    });
  }
}

/** Byte-level BPE, as of GPT-2. */
function byteLevel(metadata: GgufMetadata, { tokens }: Vocabulary, file: string): JsonObject {
  const merges = list(metadata, "tokenizer.ggml.merges", "string", file) as string[];
  const pre = metadata.get("tokenizer.ggml.pre") ?? "default";
  const words = typeof pre === "string" ? WORDS.find(({ names }) => names.includes(pre)) : undefined;
  if (words === undefined) throw unsupported(file, "tokenizer.ggml.pre", pre, "this kind of words is not known");
  const split = (Regex: string): JsonObject => ({
    type: "Split",
    pattern: { Regex },
    behavior: "Isolated",
    invert: false,
  });
  return {
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        ...words.patterns.map(split),
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: words.ignoresMerges ?? false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
}

/** SentencePiece's BPE: pairs are joined in the order of the scores of what they make. */
function sentencePieces(metadata: GgufMetadata, vocabulary: Vocabulary, file: string): JsonObject {
  const { tokens, types, ids } = vocabulary;
  const scores = list(metadata, "tokenizer.ggml.scores", "number", file) as number[];
  if (scores.length !== tokens.length)
    throw new EngineError(
      "invalid_model",
      `${file}: tokenizer.ggml.scores has ${scores.length} entries for ${tokens.length} tokens`,
    );
  const hasPrefix = flag(metadata, "tokenizer.ggml.add_space_prefix", true, file);
  const unknown = vocabulary.textOf("tokenizer.ggml.unknown_token_id") ?? tokens[types.indexOf(UNKNOWN)] ?? null;
  return {
    normalizer: {
      type: "Sequence",
      normalizers: [
        ...(hasPrefix ? [{ type: "Prepend", prepend: "▁" }] : []),
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    pre_tokenizer: null,
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        ...(hasPrefix ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: unknown,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: types.includes(BYTE),
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: mergesOf(tokens, types, ids, scores),
    },
  };
}

/** Returns all pairs of pieces that make a piece, those of the best score first. */
function mergesOf(
  tokens: readonly string[],
  types: readonly number[],
  ids: ReadonlyMap<string, number>,
  scores: readonly number[],
): [string, string][] {
  const pairs: { readonly left: string; readonly right: string; readonly score: number }[] = [];
  for (const [id, token] of tokens.entries()) {
    if (types[id] !== 1) continue;
    const characters = Array.from(token);
    for (let at = 1; at < characters.length; at++) {
      const [left, right] = [characters.slice(0, at).join(""), characters.slice(at).join("")];
      if (ids.has(left) && ids.has(right)) pairs.push({ left, right, score: scores[id]! });
    }
  }
  const idOf = (text: string): number => ids.get(text)!;
  pairs.sort((a, b) => b.score - a.score || idOf(a.left) - idOf(b.left) || idOf(a.right) - idOf(b.right));
  return pairs.map(({ left, right }) => [left, right]);
}

interface Words {
  /** Values of `tokenizer.ggml.pre`. */
  readonly names: readonly string[];
  /** Each divides what the ones before it left. */
  readonly patterns: readonly string[];
  /** A word that is a token is that token, whatever its merges. */
  readonly ignoresMerges?: boolean;
}

const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
/** @param digits pattern of a number */
const withWords = (digits: string): string =>
  `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const UPPER = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
const LOWER = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
const withCase = (ending: string, digits: string): string =>
  `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+${ending}|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*${ending}|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

const WORDS: readonly Words[] = [
  {
    names: ["llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
    patterns: [withWords("\\p{N}{1,3}")],
    ignoresMerges: true,
  },
  { names: ["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"], patterns: [withWords("\\p{N}{1,3}")] },
  {
    names: ["qwen2", "deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2"],
    patterns: [withWords("\\p{N}")],
  },
  {
    names: ["gpt-2", "phi-2", "mpt", "olmo", "jais", "exaone4", "trillion", "granite-docling", "gigachat"],
    patterns: [GPT2],
  },
  {
    names: ["starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b"],
    patterns: ["\\p{N}", GPT2],
  },
  { names: ["tekken"], patterns: [withCase("", "\\p{N}")], ignoresMerges: true },
  { names: ["gpt-4o", "llama4", "kanana2", "minimax-m2"], patterns: [withCase(`${CONTRACTIONS}?`, "\\p{N}{1,3}")] },
  {
    names: ["deepseek-v3", "hunyuan-dense"],
    patterns: [
      "\\p{N}{1,3}",
      "[一-龥\\u3040-ゟ゠-ヿ]+",
      "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    ],
  },
  { names: ["falcon"], patterns: ["[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"] },
  { names: ["default"], patterns: ["[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"] },
];

function addsBosByDefault(metadata: GgufMetadata): boolean {
  const pre = metadata.get("tokenizer.ggml.pre");
  return pre === "tekken" || WORDS[0]!.names.includes(String(pre));
}

interface Named {
  readonly id: number;
  readonly text: string;
}

/** Returns what is written around a text. */
function frame(bos: Named | null, eos: Named | null): JsonObject | null {
  const tokens = [bos, eos].filter((token) => token !== null);
  if (tokens.length === 0) return null;
  const part = ({ text }: Named): JsonObject => ({ SpecialToken: { id: text, type_id: 0 } });
  const single = [
    ...(bos === null ? [] : [part(bos)]),
    { Sequence: { id: "A", type_id: 0 } },
    ...(eos === null ? [] : [part(eos)]),
  ];
  return {
    type: "TemplateProcessing",
    single,
    pair: [...single, { Sequence: { id: "B", type_id: 1 } }],
    special_tokens: Object.fromEntries(tokens.map(({ id, text }) => [text, { id: text, ids: [id], tokens: [text] }])),
  };
}

function list(metadata: GgufMetadata, key: string, type: "string" | "number", file: string): readonly GgufValue[] {
  const value = metadata.get(key) ?? [];
  if (Array.isArray(value) && value.every((item: GgufValue) => typeof item === type)) return value as GgufValue[];
  throw new EngineError("invalid_model", `${file}: ${key} must be a list of ${type}s`);
}

function flag(metadata: GgufMetadata, key: string, byDefault: boolean, file: string): boolean {
  const value = metadata.get(key) ?? byDefault;
  if (typeof value === "boolean") return value;
  throw new EngineError("invalid_model", `${file}: ${key} must be true or false`);
}

function unsupported(file: string, key: string, value: GgufValue | undefined, rule: string): EngineError {
  return new EngineError(
    "unsupported_model",
    `${file}: ${key} ${quoted(String(value ?? "absent"))} is not supported (${rule})`,
  );
}
