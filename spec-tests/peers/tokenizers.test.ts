/**
 * Compares encoding and decoding with Hugging Face's Rust library, for tokenizers of many families and for many layouts
 * of pre-tokenizers. Differences are counted and printed; there must be none.
 *
 * Two differences are part of the contract and not counted. A text for which the library gives the unknown token is
 * refused (TS-2.35). Invalid UTF-8 becomes U+FFFD by other rules (TS-5.2), so random tokens are compared only where the
 * library's text has none.
 */

import { readFileSync } from "node:fs";

import { Tokenizer as RustTokenizer } from "tokenizers";
import { expect, it } from "vitest";

import { EngineError } from "../../engine/errors.js";
import { StreamingDetokenizer } from "../../engine/text/streaming-detokenizer.js";
import { Tokenizer } from "../../engine/text/tokenizer.js";
import { describeWithAssets } from "../fixtures/assets.js";
import { randomSource } from "../fixtures/random-model.js";
import { tokenizerFamilies } from "./tokenizer-families.js";
import { LAYOUTS } from "./tokenizer-layouts.js";
import { tokenizerTexts } from "./tokenizer-texts.js";

interface Comparison {
  numTexts: number;
  numRefused: number;
  numSequences: number;
  readonly encode: string[];
  readonly decode: string[];
  readonly streamed: string[];
}

function streamed(tokenizer: Tokenizer, ids: readonly number[]): string {
  const detokenizer = new StreamingDetokenizer(tokenizer, []);
  return ids.map((id) => detokenizer.push(id)).join("") + detokenizer.finish();
}

async function compare(json: object, texts: readonly string[], numSequences: number): Promise<Comparison> {
  const ours = new Tokenizer(JSON.parse(JSON.stringify(json)) as object, {});
  const theirs = RustTokenizer.fromString(JSON.stringify(json));
  const result: Comparison = { numTexts: 0, numRefused: 0, numSequences: 0, encode: [], decode: [], streamed: [] };
  const compareTexts = async (ids: number[]): Promise<void> => {
    const expected = await theirs.decode(ids, true);
    if (expected.includes("\uFFFD")) return;
    result.numSequences++;
    const show = (got: string): string =>
      `${JSON.stringify(ids)}: ${JSON.stringify(got)}, not ${JSON.stringify(expected)}`;
    if (ours.decode(ids) !== expected) result.decode.push(show(ours.decode(ids)));
    if (streamed(ours, ids) !== expected) result.streamed.push(show(streamed(ours, ids)));
  };
  for (const text of texts) {
    const ids = (await theirs.encode(text, null, { addSpecialTokens: false })).getIds();
    const got = encoded(ours, text);
    result.numTexts++;
    if (got === null) {
      // The library's unknown token is special in all these tokenizers, and no text contains its name.
      if (ids.some((id) => ours.isSpecial(id)) || ids.length === 0) result.numRefused++;
      else result.encode.push(`${JSON.stringify(text)} is refused`);
      continue;
    }
    if (JSON.stringify(got) !== JSON.stringify(ids))
      result.encode.push(`${JSON.stringify(text)}: ${JSON.stringify(got)}, not ${JSON.stringify(ids)}`);
    await compareTexts(ids);
  }
  const random = randomSource(3);
  for (let count = 0; count < numSequences; count++) {
    const ids = Array.from({ length: 1 + Math.floor(random() * 12) }, () => Math.floor(random() * ours.vocabSize));
    await compareTexts(ids.filter((id) => ours.hasToken(id)));
  }
  return result;
}

/** Returns the ids without the begin tokens; null for a text with a character that has no token. */
function encoded(tokenizer: Tokenizer, text: string): number[] | null {
  try {
    return tokenizer.encode(text).slice(tokenizer.beginTokenIds.length);
  } catch (error) {
    if (error instanceof EngineError && error.code === "out_of_range" && error.message.includes("no token for"))
      return null;
    throw error;
  }
}

const differences = ({ encode, decode, streamed: stream }: Comparison): string[] => [...encode, ...decode, ...stream];

describeWithAssets("families of tokenizers", () => {
  it("encode and decode as the Rust library does", async () => {
    const texts = tokenizerTexts(200);
    const rows: Record<string, object> = {};
    const wrong: string[] = [];
    for (const [name, json] of tokenizerFamilies(texts)) {
      const result = await compare(json, texts, 200);
      rows[name] = {
        texts: result.numTexts,
        "of these refused": result.numRefused,
        "token sequences": result.numSequences,
        "encode ≠": result.encode.length,
        "decode ≠": result.decode.length,
        "streamed ≠": result.streamed.length,
      };
      expect(result.numSequences, name).toBeGreaterThan(100);
      wrong.push(...differences(result).map((difference) => `${name}: ${difference.slice(0, 400)}`));
    }
    console.table(rows);
    expect(Object.keys(rows).length).toBeGreaterThanOrEqual(20);
    expect(wrong.slice(0, 20)).toEqual([]);
  }, 600_000);
});

it("55 layouts of pre-tokenizers split text as the Rust library does", async () => {
  const json = JSON.parse(readFileSync("models/tiny/tokenizer.json", "utf8")) as object;
  const texts = tokenizerTexts(300);
  const wrong: string[] = [];
  for (const layout of LAYOUTS) {
    const result = await compare({ ...json, pre_tokenizer: layout }, texts, 0);
    expect(result.numTexts).toBe(texts.length);
    wrong.push(...differences(result).map((difference) => `${JSON.stringify(layout)}: ${difference.slice(0, 400)}`));
  }
  console.log(`${LAYOUTS.length} layouts, ${texts.length} texts each: ${wrong.length} differences`);
  expect(LAYOUTS.length).toBeGreaterThanOrEqual(55);
  expect(wrong.slice(0, 20)).toEqual([]);
}, 600_000);

it("small random vocabularies, in which many divisions are equal, are the Rust library's", async () => {
  const random = randomSource(11);
  const below = (count: number): number => Math.floor(random() * count);
  const letters = ["a", "b", "é", "▁", "😀", "c"];
  const word = (maxLength: number): string =>
    Array.from({ length: 1 + below(maxLength) }, () => letters[below(letters.length)]!).join("");
  const special = ["<unk>", "<s>"].map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  const metaspace = { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true };
  const wrong: string[] = [];
  let numTexts = 0;
  for (let count = 0; count < 400; count++) {
    const pieces = new Set([...letters.filter(() => random() < 0.9), ...Array.from({ length: 20 }, () => word(5))]);
    const vocab = ["<unk>", "<s>", ...pieces].map((piece) => [piece, -below(6) / 2]);
    const unigram = { type: "Unigram", unk_id: 0, vocab, byte_fallback: false };
    const [prefix, suffix] = [["", "##", "a"][below(3)]!, ["", "</w>"][below(2)]!];
    const names = [
      ...new Set(
        letters.flatMap((letter) => ["", prefix].flatMap((start) => ["", suffix].map((end) => start + letter + end))),
      ),
    ];
    const merges = Array.from({ length: 25 }, (): [string, string] => [
      names[below(names.length)]!,
      names[below(names.length)]!,
    ]);
    const known = merges.filter(([left, right]) => {
      if (!right.startsWith(prefix) || left === "") return false;
      const merged = left + right.slice(prefix.length);
      // The decoder takes a suffix within a token for a space too.
      if (suffix !== "" && merged.slice(0, -1).includes(suffix)) return false;
      if (!names.includes(merged)) names.push(merged);
      return true;
    });
    const bpe = {
      type: "BPE",
      dropout: null,
      unk_token: "<unk>",
      continuing_subword_prefix: prefix,
      end_of_word_suffix: suffix,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(["<unk>", "<s>", ...names].map((name, id) => [name, id])),
      merges: known,
    };
    const base = {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: special,
      normalizer: null,
      post_processor: null,
    };
    const texts = Array.from({ length: 10 }, () => [word(30), word(8), word(3)].join(" "));
    for (const json of [
      { ...base, pre_tokenizer: metaspace, decoder: metaspace, model: unigram },
      { ...base, pre_tokenizer: null, decoder: { ...metaspace, prepend_scheme: "never" }, model: unigram },
      {
        ...base,
        pre_tokenizer: { type: "WhitespaceSplit" },
        decoder: suffix === "" ? { type: "Fuse" } : { type: "BPEDecoder", suffix },
        model: bpe,
      },
    ]) {
      const result = await compare(json, texts, 10);
      numTexts += result.numTexts;
      wrong.push(
        ...differences(result).map((difference) => `${JSON.stringify(json.model).slice(0, 2000)}: ${difference}`),
      );
    }
  }
  console.log(`${numTexts} texts of random vocabularies: ${wrong.length} differences`);
  expect(wrong.slice(0, 3)).toEqual([]);
}, 600_000);
