/**
 * Tokenizers of 24 families: those in the assets folder, and others with the same parts as the family's tokenizer.json,
 * whose vocabularies are derived from GPT-2's and Qwen 2's.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

import { BYTE_OF_CHARACTER } from "../../engine/text/token-bytes.js";
import { asset } from "../fixtures/assets.js";
import { characterMap } from "../fixtures/character-map.js";

interface TokenizerJson {
  readonly model: { readonly vocab: Readonly<Record<string, number>>; readonly merges: readonly (string | string[])[] };
  readonly [part: string]: unknown;
}

/**
 * @param texts texts whose characters, except a few, the derived vocabularies without bytes have too
 * @returns tokenizer.json of each family, by name
 */
export function tokenizerFamilies(texts: readonly string[]): ReadonlyMap<string, object> {
  const gpt2 = read("gpt2", "tokenizer.json");
  const qwen2 = read("qwen2", "tokenizer.json");
  const llama = JSON.parse(readFileSync(asset("stories260K", "tokenizer.json"), "utf8")) as TokenizerJson;
  const deepseek = JSON.parse(
    gunzipSync(readFileSync(asset("tokenizers", "deepseek-v3", "deepseek-tokenizer.json.gz"))).toString(),
  ) as TokenizerJson;
  const words = textVocabulary(qwen2, texts);
  const scored = scoredPieces(words);
  return new Map<string, object>([
    ["GPT-2", gpt2],
    ["Qwen 2", qwen2],
    ["R1-Distill-Qwen", read("r1-distill-qwen", "tokenizer.json")],
    ["SmolLM2", read("smollm2", "tokenizer.json")],
    ["DeepSeek-V3", { ...deepseek, decoder: { ...byteLevel(true) } }],
    ["Llama 2", llama],
    ["Phi-3", { ...llama, post_processor: null, added_tokens: [...specials(llama), ...PHI3_TOKENS(llama)] }],
    ["Llama 3", { ...gpt2, ...bytes(LLAMA3_PATTERN), model: { ...gpt2.model, ignore_merges: true } }],
    [
      "Falcon",
      {
        ...gpt2,
        pre_tokenizer: sequence(
          { type: "Punctuation", behavior: "Contiguous" },
          byteLevel(true),
          { type: "Digits", individual_digits: false },
          splitAt("[0-9][0-9][0-9]"),
        ),
      },
    ],
    ["BLOOM", { ...gpt2, ...bytes(" ?[^(\\s|[.,!?…。，、।۔،])]+") }],
    ["StarCoder", { ...gpt2, pre_tokenizer: sequence({ type: "Digits", individual_digits: true }, byteLevel(true)) }],
    ["GPT-NeoX", { ...gpt2, normalizer: { type: "NFC" }, added_tokens: spacesFrom(gpt2) }],
    ["RoBERTa", { ...gpt2, pre_tokenizer: { ...byteLevel(true), add_prefix_space: true } }],
    [
      "Mistral",
      sentencePiece(words, {
        pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: false },
      }),
    ],
    ["Gemma", sentencePiece(words, { ...GEMMA, model: { fuse_unk: true } })],
    [
      "Command R",
      {
        ...gpt2,
        normalizer: { type: "NFC" },
        pre_tokenizer: sequence({ type: "Digits", individual_digits: true }, byteLevel(true)),
      },
    ],
    ["T5", unigram(scored, { ...T5, normalizer: sequenceOf(precompiled()) })],
    [
      "XLM-RoBERTa",
      unigram(scored, {
        ...T5,
        pre_tokenizer: METASPACE,
        normalizer: sequenceOf(precompiled(), { type: "Replace", pattern: { Regex: " {2,}" }, content: " " }),
      }),
    ],
    [
      "ALBERT",
      unigram(scored, {
        ...T5,
        normalizer: sequenceOf(
          replace("``", '"'),
          replace("''", '"'),
          { type: "NFKD" },
          { type: "StripAccents" },
          { type: "Lowercase" },
          precompiled(),
        ),
      }),
    ],
    ["UMT5", unigram(scored, { ...T5, normalizer: { type: "Nmt" }, pre_tokenizer: METASPACE, byteFallback: true })],
    [
      "Llama as Unigram",
      unigram(scored, {
        ...GEMMA,
        normalizer: sequenceOf({ type: "Prepend", prepend: "▁" }, replace(" ", "▁")),
        pre_tokenizer: null,
        decoder: LLAMA_DECODER,
        byteFallback: true,
      }),
    ],
    [
      "GPT (1)",
      withSuffix(words, {
        normalizer: sequenceOf({ type: "NFD" }, { type: "StripAccents" }, { type: "Lowercase" }),
        pre_tokenizer: { type: "BertPreTokenizer" },
        decoder: { type: "BPEDecoder", suffix: "</w>" },
      }),
    ],
    ["CLIP", clip(gpt2)],
    ["BPE with ##", withPrefix(words)],
    ["mBART, two begin tokens", unigram(scored, { ...T5, pre_tokenizer: METASPACE, post_processor: TWO_BEGIN_TOKENS })],
  ]);
}

const read = (name: string, file: string): TokenizerJson =>
  JSON.parse(readFileSync(join(asset("tokenizers", name), file), "utf8")) as TokenizerJson;

const sequence = (...pretokenizers: object[]): object => ({ type: "Sequence", pretokenizers });
const sequenceOf = (...normalizers: object[]): object => ({ type: "Sequence", normalizers });
const decoders = (...steps: object[]): object => ({ type: "Sequence", decoders: steps });
const byteLevel = (usesRegex: boolean): object => ({
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: usesRegex,
});
const splitAt = (regex: string, behavior = "Isolated", invert = false): object => ({
  type: "Split",
  pattern: { Regex: regex },
  behavior,
  invert,
});
const replace = (from: string, content: string): object => ({ type: "Replace", pattern: { String: from }, content });
const bytes = (pattern: string): object => ({ pre_tokenizer: sequence(splitAt(pattern), byteLevel(false)) });

const METASPACE = { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true };
const LLAMA_DECODER = decoders(
  replace("▁", " "),
  { type: "ByteFallback" },
  { type: "Fuse" },
  { type: "Strip", content: " ", start: 1, stop: 0 },
);
const GEMMA = {
  normalizer: replace(" ", "▁"),
  pre_tokenizer: { type: "Split", pattern: { String: " " }, behavior: "MergedWithPrevious", invert: false },
  decoder: decoders(replace("▁", " "), { type: "ByteFallback" }, { type: "Fuse" }),
};
const T5 = { pre_tokenizer: sequence({ type: "WhitespaceSplit" }, METASPACE), decoder: METASPACE };
const LLAMA3_PATTERN =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const TWO_BEGIN_TOKENS = {
  type: "TemplateProcessing",
  single: [
    { SpecialToken: { id: "</s>", type_id: 0 } },
    { SpecialToken: { id: "<pad>", type_id: 0 } },
    { Sequence: { id: "A", type_id: 0 } },
  ],
  pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 0 } }],
  special_tokens: {
    "</s>": { id: "</s>", ids: [1], tokens: ["</s>"] },
    "<pad>": { id: "<pad>", ids: [0], tokens: ["<pad>"] },
  },
};

const token = (id: number, content: string, special: boolean, others: object = {}): object => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special,
  ...others,
});
const specials = (json: TokenizerJson): object[] => json["added_tokens"] as object[];
const PHI3_TOKENS = ({ model }: TokenizerJson): object[] =>
  ["<|endoftext|>", "<|assistant|>", "<|user|>", "<|end|>"].map((content, index) =>
    token(Object.keys(model.vocab).length + index, content, true, { rstrip: index > 0 }),
  );
const spacesFrom = (json: TokenizerJson): object[] => {
  const first = Object.keys(json.model.vocab).length;
  const spaces = Array.from({ length: 23 }, (_, index) =>
    token(first + index, " ".repeat(24 - index), false, { normalized: true }),
  );
  return [...specials(json).filter((each) => (each as { id: number }).id < first), ...spaces];
};

interface TextVocabulary {
  /** Tokens that are text, in the order of their ids. A space is U+2581. */
  readonly tokens: readonly string[];
  readonly merges: readonly (readonly [string, string])[];
}

/** Returns the tokens of a byte-level vocabulary that are text with the characters of others, and the merges among them. */
function textVocabulary({ model }: TokenizerJson, others: readonly string[]): TextVocabulary {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const texts = new Map<string, string>();
  for (const name of Object.keys(model.vocab)) {
    try {
      const text = decoder.decode(Uint8Array.from(name, (character) => BYTE_OF_CHARACTER.get(character)!));
      texts.set(name, text.replaceAll(" ", "▁"));
    } catch {
      continue;
    }
  }
  const merges = model.merges.flatMap((merge): [string, string][] => {
    const [left, right] = typeof merge === "string" ? merge.split(" ") : merge;
    const [first, second] = [texts.get(left!), texts.get(right!)];
    return first === undefined || second === undefined ? [] : [[first, second]];
  });
  const forms = others.flatMap((text) => [text, text.toLowerCase(), text.normalize("NFKC"), text.normalize("NFKD")]);
  const characters = new Set([...texts.values(), ...forms].flatMap((text) => [...text]));
  const tokens = [...new Set([...characters, ...texts.values()])];
  return { tokens: tokens.filter((each) => WITHOUT_TOKEN.every((missing) => !each.includes(missing))), merges };
}

const WITHOUT_TOKEN = ["敏", "م"];

/** Scores as a trained model has: the logarithm of a frequency that falls with the rank. */
const scoredPieces = ({ tokens }: TextVocabulary): [string, number][] =>
  tokens.map((piece, rank) => [piece, -2 - Math.log(rank + 1) - 0.1 * [...piece].length]);

const BYTE_TOKENS = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
const NAMES = ["<pad>", "</s>", "<unk>", "<s>"];
const NAMED = NAMES.map((name, id) => token(id, name, true));

function bpe(
  { tokens, merges }: TextVocabulary,
  parts: { readonly model?: object; readonly [part: string]: unknown },
): object {
  const vocab = Object.fromEntries([...new Set([...NAMES, ...tokens])].map((name, id) => [name, id]));
  const known = merges.filter(([left, right]) => left in vocab && right in vocab);
  const base = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: NAMED,
    normalizer: null,
    post_processor: null,
  };
  const model = {
    type: "BPE",
    dropout: null,
    unk_token: "<unk>",
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    ignore_merges: false,
  };
  return { ...base, ...parts, model: { ...model, ...parts.model, vocab, merges: known } };
}

const sentencePiece = (
  { tokens, merges }: TextVocabulary,
  parts: { readonly model?: object; readonly [part: string]: unknown },
): object =>
  bpe(
    { tokens: [...BYTE_TOKENS, ...tokens], merges },
    { decoder: LLAMA_DECODER, ...parts, model: { byte_fallback: true, ...parts.model } },
  );

function unigram(
  pieces: readonly [string, number][],
  { byteFallback = false, ...parts }: { readonly byteFallback?: boolean; readonly [part: string]: unknown },
): object {
  const own = byteFallback ? BYTE_TOKENS.map((name): [string, number] => [name, 0]) : [];
  const names = new Set([...NAMES, ...own.map(([name]) => name)]);
  const vocab = [
    ...NAMES.map((name): [string, number] => [name, 0]),
    ...own,
    ...pieces.filter(([piece]) => !names.has(piece)),
  ];
  const base = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: NAMED,
    normalizer: null,
    post_processor: null,
  };
  return { ...base, ...parts, model: { type: "Unigram", unk_id: 2, vocab, byte_fallback: byteFallback } };
}

/** NFKC of single characters, of letters with one mark, and SentencePiece's treatment of white space and controls. */
function precompiled(): object {
  const map = new Map<string, string>();
  for (let codePoint = 1; codePoint < 0x2fa20; codePoint++) {
    if (codePoint >= 0xd800 && codePoint < 0xe000) continue;
    const character = String.fromCodePoint(codePoint);
    const normalized = character.normalize("NFKC");
    if (/[\t\n\r\f\u2028\u2029\u200b\ufeff]|\p{Zs}/u.test(character)) map.set(character, " ");
    else if (/\p{Cc}/u.test(character)) map.set(character, "");
    else if (normalized !== character) map.set(character, normalized);
    if (codePoint >= 0xc0 && codePoint < 0x250) {
      const decomposed = character.normalize("NFD");
      if (decomposed !== character) map.set(decomposed, character);
    }
  }
  return { type: "Precompiled", precompiled_charsmap: characterMap(map) };
}

/** Words of letters; each token has a twin that ends a word. */
function withSuffix({ tokens, merges }: TextVocabulary, parts: { readonly [part: string]: unknown }): object {
  const plain = tokens.filter((each) => !each.includes("▁")).slice(0, 60_000);
  const own = new Set(plain);
  const twins = merges
    .filter(([left, right]) => own.has(left) && own.has(right) && own.has(left + right))
    .flatMap(([left, right]): [string, string][] => [
      [left, `${right}</w>`],
      [left, right],
    ]);
  return bpe(
    { tokens: plain.flatMap((each) => [each, `${each}</w>`]), merges: twins },
    { ...parts, model: { end_of_word_suffix: "</w>" } },
  );
}

function clip({ model }: TokenizerJson): object {
  const plain = Object.keys(model.vocab)
    .filter((each) => !each.includes("Ġ"))
    .slice(0, 30_000);
  const own = new Set(plain);
  const merges = model.merges.flatMap((merge): [string, string][] => {
    const [left, right] = (typeof merge === "string" ? merge.split(" ") : merge) as [string, string];
    if (!own.has(left) || !own.has(right) || !own.has(left + right)) return [];
    return [
      [left, `${right}</w>`],
      [left, right],
    ];
  });
  return bpe(
    { tokens: [...BYTE_OF_CHARACTER.keys(), ...plain].flatMap((each) => [each, `${each}</w>`]), merges },
    {
      normalizer: sequenceOf(
        { type: "NFC" },
        { type: "Replace", pattern: { Regex: "\\s+" }, content: " " },
        { type: "Lowercase" },
      ),
      pre_tokenizer: sequence(
        splitAt("'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+", "Removed", true),
        byteLevel(false),
      ),
      post_processor: {
        type: "RobertaProcessing",
        sep: ["</s>", 1],
        cls: ["<s>", 3],
        trim_offsets: false,
        add_prefix_space: false,
      },
      decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: { continuing_subword_prefix: "", end_of_word_suffix: "</w>" },
    },
  );
}

/** Tokens inside a word begin with ##. Nothing decodes that byte by byte, so the marks stay in the text. */
function withPrefix({ tokens, merges }: TextVocabulary): object {
  const plain = tokens.filter((each) => !each.includes("▁")).slice(0, 60_000);
  const own = new Set(plain);
  const twins = merges
    .filter(([left, right]) => own.has(left) && own.has(right) && own.has(left + right))
    .flatMap(([left, right]): [string, string][] => [
      [left, `##${right}`],
      [`##${left}`, `##${right}`],
    ]);
  return bpe(
    { tokens: plain.flatMap((each) => [each, `##${each}`]), merges: twins },
    { pre_tokenizer: { type: "Whitespace" }, decoder: { type: "Fuse" }, model: { continuing_subword_prefix: "##" } },
  );
}
