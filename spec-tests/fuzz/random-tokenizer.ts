/** Hostile parts for a tokenizer.json: each is well-formed, and the tokenizer is often one that loads. */

import { hostileString } from "./mutate-json.js";
import { randomPattern } from "./random-pattern.js";
import type { Random } from "./random.js";

interface TokenizerJson {
  added_tokens: object[];
  normalizer: unknown;
  pre_tokenizer: unknown;
  decoder: unknown;
  post_processor: unknown;
  model: Model;
}

/** The vocabulary of a Unigram model is a list of pieces and scores. */
interface Model {
  vocab: Record<string, number> | unknown[];
  merges?: unknown[];
  [option: string]: unknown;
}

type BpeModel = Model & { vocab: Record<string, number>; merges: unknown[] };
type UnigramModel = Model & { vocab: unknown[] };

const isUnigram = (model: Model): model is UnigramModel => Array.isArray(model.vocab);

/** Replaces one to three parts of the tokenizer whose JSON text is `json`. */
export function withHostileParts(random: Random, json: string): string {
  const tokenizer = JSON.parse(json) as TokenizerJson;
  const usesBytes = JSON.stringify(tokenizer.pre_tokenizer).includes("ByteLevel");
  for (let left = random.pick([1, 1, 2, 3]); left > 0; left--) replaceOne(random, tokenizer, usesBytes);
  return JSON.stringify(tokenizer);
}

function replaceOne(random: Random, tokenizer: TokenizerJson, usesBytes: boolean): void {
  const { model } = tokenizer;
  const words = isUnigram(model)
    ? model.vocab.map((entry) => String((entry as unknown[] | null)?.[0]))
    : Object.keys(model.vocab);
  switch (random.below(9)) {
    case 0:
    case 1:
      tokenizer.normalizer = normalizer(random, 2);
      break;
    case 2:
    case 3:
      tokenizer.pre_tokenizer = usesBytes ? beforeBytes(random) : preTokenizer(random, 2);
      break;
    case 4:
      tokenizer.decoder = usesBytes && random.chance(0.7) ? random.pick(BYTE_DECODERS) : decoder(random);
      break;
    case 5:
      tokenizer.post_processor = postProcessor(random, 2);
      break;
    case 6:
      if (isUnigram(model)) replacePieces(random, model);
      else model.merges = merges(random, (model as BpeModel).merges, words);
      break;
    case 7:
      tokenizer.added_tokens = addedTokens(random, tokenizer.added_tokens, words.length);
      break;
    default:
      if (isUnigram(model)) replaceInUnigram(random, model);
      else replaceInModel(random, model as BpeModel, words);
  }
}

const chances = (random: Random, ...names: readonly string[]): object =>
  Object.fromEntries(names.map((name) => [name, random.chance(0.5)]));

function pattern(random: Random): object {
  return random.chance(0.7)
    ? { Regex: random.chance(0.3) ? random.pick(PATTERNS) : randomPattern(random) }
    : { String: random.pick([" ", "a", "l", "", "ab", "$&", hostileString(random)]) };
}

function normalizer(random: Random, depth: number): object | null {
  switch (random.below(depth === 0 ? 8 : 10)) {
    case 0:
      return null;
    case 7:
      return { type: "Precompiled", precompiled_charsmap: charsmap(random) };
    case 1:
      return { type: random.pick(["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt"]) };
    case 2:
      return { type: "Strip", ...chances(random, "strip_left", "strip_right") };
    case 3:
      return { type: "Prepend", prepend: random.pick(["▁", " ", hostileString(random)]) };
    case 4:
    case 5:
      return {
        type: "Replace",
        pattern: pattern(random),
        content: random.pick(["▁", "", "$&$&", "aa", hostileString(random)]),
      };
    case 6: {
      // Each step makes the text several times as long.
      const growth = random.pick([
        { type: "Replace", pattern: { String: "a" }, content: "aaaaaaaa" },
        { type: "Replace", pattern: { String: "" }, content: "ab" },
        { type: "Replace", pattern: { Regex: "." }, content: "xy" },
        { type: "Prepend", prepend: "x".repeat(100_000) },
      ]);
      return { type: "Sequence", normalizers: random.times(random.pick([2, 8, 30]), () => growth) };
    }
    default:
      return { type: "Sequence", normalizers: random.times(random.below(4), () => normalizer(random, depth - 1)) };
  }
}

function preTokenizer(random: Random, depth: number): object | null {
  switch (random.below(depth === 0 ? 7 : 9)) {
    case 0:
      return { type: "ByteLevel", ...chances(random, "add_prefix_space", "use_regex", "trim_offsets") };
    case 1:
      if (random.chance(0.5)) return { type: random.pick(["Whitespace", "WhitespaceSplit", "BertPreTokenizer"]) };
      return { type: "Digits", ...chances(random, "individual_digits") };
    case 2:
    case 3:
    case 4:
      return {
        type: "Split",
        pattern: pattern(random),
        ...random.pick([
          { behavior: "Isolated", invert: false },
          { behavior: "Isolated", invert: false },
          { behavior: "Removed", invert: true },
          { behavior: random.pick(["Removed", "MergedWithPrevious", "Contiguous"]), invert: random.chance(0.5) },
        ]),
      };
    case 5:
      return {
        type: "Metaspace",
        replacement: random.pick(["▁", "a", "]", "^", "\\", hostileString(random)]),
        prepend_scheme: random.pick(["always", "first", "never", "none"]),
        ...chances(random, "split", "add_prefix_space"),
      };
    case 6:
      return random.chance(0.5) ? null : { type: "Sequence", pretokenizers: random.times(100, () => DIGITS) };
    default:
      return { type: "Sequence", pretokenizers: random.times(random.below(4), () => preTokenizer(random, depth - 1)) };
  }
}

const DIGITS = { type: "Digits", individual_digits: true };

/** Splits the text, and then spells its bytes, so that a byte-level vocabulary has all words. */
function beforeBytes(random: Random): object {
  const bytes = { type: "ByteLevel", ...chances(random, "add_prefix_space", "use_regex") };
  return { type: "Sequence", pretokenizers: [...random.times(random.below(3), () => preTokenizer(random, 1)), bytes] };
}

const BYTE_DECODERS = [
  { type: "ByteLevel", use_regex: true },
  { type: "Sequence", decoders: [{ type: "ByteLevel" }, { type: "Fuse" }] },
] as const;

function decoder(random: Random): object | null {
  const step = (): object =>
    random.pick([
      { type: "Replace", pattern: { String: random.pick(["▁", "a", "", " "]) }, content: hostileString(random) },
      { type: "Replace", pattern: { String: "a" }, content: "aaaaaaaa" },
      { type: "ByteFallback" },
      { type: "Fuse" },
      { type: "Strip", content: " ", start: random.pick([0, 1, 5, -1, 0.5, 1e308, null, "1"]), stop: 0 },
      { type: "Metaspace", replacement: hostileString(random), ...chances(random, "add_prefix_space") },
      { type: "BPEDecoder", suffix: random.pick(["</w>", "a", "", null, hostileString(random)]) },
      { type: "ByteLevel" },
    ]);
  switch (random.below(5)) {
    case 0:
      return step();
    case 1:
      return {
        type: "Sequence",
        decoders: random.times(30, () => ({ type: "Replace", pattern: { String: "a" }, content: "aaaaaaaa" })),
      };
    case 2:
      return {
        type: "Sequence",
        decoders: [
          ...random.times(random.below(3), step),
          { type: "ByteFallback" },
          { type: "Fuse" },
          { type: "Strip", content: " ", start: random.pick([0, 1, 3, -1, 0.5, 1e308, null, "1"]), stop: 0 },
        ],
      };
    case 3:
      return { type: "Sequence", decoders: random.times(random.below(4), step) };
    default:
      return null;
  }
}

function postProcessor(random: Random, depth: number): object | null {
  const name = random.pick(["<s>", "<|end|>", "__proto__", hostileString(random)]);
  switch (random.below(depth === 0 ? 3 : 4)) {
    case 0:
      return random.pick([null, { type: "ByteLevel" }, { type: "BertProcessing" }]);
    case 1:
    case 2:
      return {
        type: "TemplateProcessing",
        single: random.times(random.below(3), () =>
          random.pick<object>([
            { SpecialToken: { id: name, type_id: 0 } },
            { Sequence: { id: "A", type_id: 0 } },
            { SpecialToken: { id: 5 } },
            {},
          ]),
        ),
        special_tokens: {
          [name]: {
            id: name,
            ids: random.pick([[1], [], [1, 2], [2 ** 31], [-1], [0.5], ["1"], [null]]),
            tokens: [name],
          },
        },
      };
    default:
      return { type: "Sequence", processors: random.times(random.below(4), () => postProcessor(random, depth - 1)) };
  }
}

function merges(random: Random, own: readonly unknown[], words: readonly string[]): unknown[] {
  const merge = (): unknown => {
    const pair = [random.pick(words), random.pick(words)];
    return random.chance(0.5) ? pair : pair.join(" ");
  };
  const others = random.times(random.pick([1, 20, 1000, 1000, 50_000]), merge);
  const broken = random.pick<unknown>([
    [random.pick(words)],
    " ",
    "",
    ["", ""],
    [1, 2],
    null,
    5,
    "a b c",
    ["a", "b", "c"],
  ]);
  return random.pick<unknown[]>([
    [...others, ...own],
    [...own, ...own],
    [...own, ...others],
    [...own, broken],
  ]);
}

function addedTokens(random: Random, own: readonly object[], numWords: number): object[] {
  const count = random.pick([1, 1, 3, 300, 5000]);
  const tokens = random.times(count, () => ({
    id: random.pick([numWords + random.below(count), random.below(300), 300, 2_097_151, 2 ** 40]),
    content: random.pick([`<${random.below(1e6)}>`, "a", "hello", " ", "▁", hostileString(random)]),
    ...chances(random, "special", "normalized", "lstrip", "rstrip", "single_word"),
  }));
  return random.chance(0.7) ? [...own, ...tokens] : tokens;
}

/** A map that is random in its trie, in its replacements, or in all. */
function charsmap(random: Random): unknown {
  const numUnits = random.pick([0, 1, 300, 3000]);
  const bytes = Buffer.alloc(4 + 4 * numUnits + random.pick([0, 1, 40, 5000]));
  for (let index = 4; index < bytes.length; index++) bytes[index] = random.chance(0.3) ? 0 : random.below(256);
  bytes.writeUInt32LE(random.pick([4 * numUnits, 4 * numUnits, 4 * numUnits, 0, 3, 2 ** 32 - 1]), 0);
  // Units of a trie that is all cycles: each byte leads to a unit that ends a key.
  if (random.chance(0.3))
    for (let unit = 0; unit < numUnits; unit++)
      bytes.writeUInt32LE(0x100 | (unit & 0xff) | (random.below(2) << 10), 4 + 4 * unit);
  return random.pick([bytes.toString("base64"), bytes.toString("base64"), hostileString(random), null, 5, ""]);
}

function replacePieces(random: Random, model: UnigramModel): void {
  const own = model.vocab;
  const more = random.times(random.pick([1, 20, 1000]), (): unknown =>
    random.pick<unknown>([
      [hostileString(random), -random.below(20)],
      ["a".repeat(1 + random.below(3000)), random.pick([-1, 5, 1e308, -1e308])],
      [`<${random.below(1e6)}>`, 0],
      [`▁${random.below(1e6)}`, -3],
    ]),
  );
  const broken = random.pick<unknown>([["x"], "x", null, [1, 2], ["x", "1"], ["x", 1, 2], ["a", null], {}]);
  model.vocab = random.pick([
    [...own, ...more],
    [...more, ...own],
    [...own, broken],
    [...own, ...own],
    [],
    own.slice(0, 40),
  ]);
}

function replaceInUnigram(random: Random, model: UnigramModel): void {
  const [option, value] = random.pick<readonly [string, unknown]>([
    ["unk_id", random.pick<unknown>([null, 0, 5, 290, 1e9, -1, 0.5, "2"])],
    ["byte_fallback", random.pick<unknown>([true, false, null, 1])],
    ["alpha", random.pick<unknown>([null, 0.1, 0])],
    ["type", random.pick<unknown>(["BPE", "WordLevel", null])],
  ]);
  model[option] = value;
}

function replaceInModel(random: Random, model: BpeModel, words: readonly string[]): void {
  switch (random.below(4)) {
    case 0:
      Object.assign(model, chances(random, "byte_fallback", "ignore_merges", "fuse_unk"));
      break;
    case 1:
      model[random.pick(["unk_token", "dropout", "continuing_subword_prefix", "end_of_word_suffix"])] = random.pick([
        null,
        0,
        0.5,
        "",
        random.pick(["</w>", "##", "a"]),
        hostileString(random),
      ]);
      break;
    case 2:
      model.vocab[random.pick([...words, "new", "__proto__", hostileString(random)])] = random.pick(TOKEN_IDS);
      break;
    default:
      for (const word of words) if (random.chance(0.1)) delete model.vocab[word];
  }
}

const TOKEN_IDS = [-1, 0.5, 0, 5, 257, 2_097_151, 2_097_152, 2 ** 31, 2 ** 32, 2 ** 53] as const;

/** Regular expressions that are wrong, empty, or take exponential time on the texts of use-model.ts. */
const PATTERNS = [
  "(a+)+$",
  "(a|a)*b",
  "(a*)*b",
  "(\\p{L}+)+\\d",
  "^(\\w+\\s?)*$",
  "(.*)*x",
  "(?=(a+))a*b\\1",
  "a*a*a*a*b",
  ".*.*.*x",
  "(?:a*b|a*c|a*d|a*e)",
  "(?:" + "a*b|".repeat(5000) + "c)",
  "(?:" + "a|b|".repeat(10_000) + "c)*",
  "a*(?=a*a*b)",
  "",
  "|",
  "(?:)",
  "^",
  "\\b",
  "a{1,65536}",
  "(a{1,1000}){1,1000}",
  "(?i:a)",
  "(?<x>a)",
  "[",
  "(",
  "(?<=a+)b",
  "\\p{Nope}",
  "(?>a+)",
  "[[:alpha:]]",
  "\\",
  "(".repeat(5000) + ")".repeat(5000),
  "a|".repeat(50_000),
] as const;
