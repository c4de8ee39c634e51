/**
 * The tokens of a model: their bytes and names, for decoding. An engine needs no more of a tokenizer; encoding is in
 * tokenizer.ts.
 */

import { described, EngineError, quoted } from "../errors.js";
import { type JsonObject, isObject } from "../json.js";
import { LIMITS } from "../limits.js";
import { type AddedToken, readAddedTokens, tokenContent } from "./added-tokens.js";
import { readBeginTokens } from "./begin-tokens.js";
import { isByteLevel, preparePreTokenizer, typeOf } from "./pre-tokenization.js";
import { StreamingDetokenizer } from "./streaming-detokenizer.js";
import { byteDecoder, TokenBytes } from "./token-bytes.js";

/** Tokens as tokenizer.json and tokenizer_config.json define them. */
export interface TokenDefinitions {
  readonly json: JsonObject;
  readonly config: JsonObject;
  /** `model` of tokenizer.json. */
  readonly model: JsonObject;
  /** Ids of the model's own tokens by name. */
  readonly ids: ReadonlyMap<string, number>;
  readonly preTokenizer: ReturnType<typeof preparePreTokenizer>;
  readonly addedTokens: readonly AddedToken[];
  readonly markup: ReadonlySet<string>;
}

/**
 * @param tokenizerJson the parsed tokenizer.json
 * @param tokenizerConfig the parsed tokenizer_config.json; `{}` if the model has none
 * @param markup the tags around the parts of a message in the model's message format
 * @throws EngineError invalid_model, or unsupported_model if the tokens cannot be reproduced exactly
 */
export function readTokens(tokenizerJson: object, tokenizerConfig: object, markup: Iterable<string>): TokenDefinitions {
  const json = tokenizerJson as JsonObject;
  const config = tokenizerConfig as JsonObject;
  const model = checkedModel(json["model"]);
  const preTokenizer = preparePreTokenizer(json["pre_tokenizer"]);
  const ids = readIds(model["vocab"] as JsonObject | readonly (readonly [string, number])[]);
  const addedTokens = readAddedTokens(json, config, ids);
  return { json, config, model, ids, preTokenizer, addedTokens, markup: new Set(markup) };
}

export class Vocabulary {
  /** The largest token id + 1. Smaller ids may be unused, see `hasToken`. */
  readonly vocabSize: number;
  /** The tokens that `encode` adds first; if there are none, an empty text has no tokens. */
  readonly beginTokenIds: readonly number[];
  /** The token that begins a text, added by `encode` or by a template; null if the tokenizer has none. */
  readonly startOfTextId: number | null;
  /** Number of spaces that decoding drops at the beginning of a text. */
  readonly numLeadingSpaces: number;
  readonly addedTokens: readonly AddedToken[];
  /** Tags around the parts of a message, such as `<think>`. A special token with this content has text. */
  readonly markup: ReadonlySet<string>;
  readonly #added: ReadonlyMap<number, AddedToken>;
  readonly #present: Uint8Array;
  readonly #bytes: TokenBytes;
  /** Bytes of tokens that begin a text; null if they are the same. */
  readonly #firstBytes: TokenBytes | null;
  /** Set for tokens that end with a space that is only written in front of another token, u8 [vocabSize]. */
  readonly #endsWord: Uint8Array | null;

  /** @throws EngineError invalid_model, or unsupported_model if the tokens cannot be decoded exactly */
  constructor({ json, config, ids, preTokenizer, addedTokens, markup }: TokenDefinitions) {
    this.markup = markup;
    this.addedTokens = addedTokens;
    this.#added = new Map(addedTokens.map((token) => [token.id, token]));
    this.beginTokenIds = readBeginTokens(json, config, addedTokens);
    const bos = tokenContent(config["bos_token"]);
    this.startOfTextId = addedTokens.find((token) => token.content === bos)?.id ?? this.beginTokenIds[0] ?? null;
    const decoder = byteDecoder(json["decoder"], isByteLevel(preTokenizer));
    this.numLeadingSpaces = decoder.numLeadingSpaces;
    this.vocabSize = 1 + largest(ids.values(), this.#added.keys());
    if (!(this.vocabSize > 0 && this.vocabSize <= LIMITS.maxVocabSize)) {
      throw new EngineError(
        "unsupported_model",
        `tokenizer.json has ids up to ${this.vocabSize - 1}; supported: up to ${LIMITS.maxVocabSize - 1}`,
      );
    }
    const names = new Array<string | undefined>(this.vocabSize);
    for (const [name, id] of ids) names[id] = name;
    for (const { id, content } of addedTokens) names[id] = content;
    this.#present = Uint8Array.from(names, (name) => (name === undefined ? 0 : 1));
    for (const { id } of addedTokens) if (this.isSpecial(id)) names[id] = undefined;
    const { addedBytes, vocabBytes, firstBytes, endsWord } = decoder;
    const bytes = (bytesOf: (name: string, tokenId: number) => Uint8Array): TokenBytes =>
      new TokenBytes(this.vocabSize, (tokenId) => {
        const name = names[tokenId];
        return name === undefined ? NO_BYTES : bytesOf(name, tokenId);
      });
    this.#bytes = bytes((name, tokenId) => (this.#added.has(tokenId) ? addedBytes(name) : vocabBytes(name)));
    this.#firstBytes = firstBytes === undefined ? null : bytes(firstBytes);
    this.#endsWord =
      endsWord === undefined ? null : Uint8Array.from(names, (name) => (name !== undefined && endsWord(name) ? 1 : 0));
    const missing = this.beginTokenIds.find((tokenId) => !this.hasToken(tokenId));
    if (missing !== undefined) {
      const message = `tokenizer.json begins texts with token ${missing}, which does not exist`;
      throw new EngineError("invalid_model", message);
    }
  }

  /** @returns the text of a whole sequence, as the Rust tokenizers decode it without special tokens */
  decode(tokenIds: Iterable<number>): string {
    const detokenizer = new StreamingDetokenizer(this, []);
    const texts: string[] = [];
    for (const tokenId of tokenIds) texts.push(detokenizer.push(tokenId));
    texts.push(detokenizer.finish());
    return texts.join("");
  }

  /** @returns the token's bytes, possibly part of a code point; empty for special tokens and unused ids. Read only. */
  tokenBytes(tokenId: number): Uint8Array {
    return this.#bytes.of(tokenId);
  }

  /** @returns the bytes of a token before which the text is empty: some decoders drop its spaces. Read only. */
  firstTokenBytes(tokenId: number): Uint8Array {
    return (this.#firstBytes ?? this.#bytes).of(tokenId);
  }

  /** Returns true if the token's bytes end with a space that decoding only writes in front of another token. */
  endsWord(tokenId: number): boolean {
    return this.#endsWord?.[tokenId] === 1;
  }

  /** @returns the token's text in `logprobs`: its bytes as text, with U+FFFD for fragments; a special token's name */
  tokenText(tokenId: number): string {
    if (this.isSpecial(tokenId)) return this.#added.get(tokenId)!.content;
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.tokenBytes(tokenId));
  }

  /** Returns true for a special token that is not message markup; it has no text. */
  isSpecial(tokenId: number): boolean {
    const token = this.#added.get(tokenId);
    return token !== undefined && token.special && !this.markup.has(token.content);
  }

  /** Returns true if the id is used by a token. */
  hasToken(tokenId: number): boolean {
    return this.#present[tokenId] === 1;
  }

  /** @returns the id of the added token with this content, or null */
  addedTokenId(content: string): number | null {
    return this.addedTokens.find((token) => token.content === content)?.id ?? null;
  }
}

const NO_BYTES = new Uint8Array(0);

function checkedModel(model: unknown): JsonObject {
  if (!isObject(model)) throw new EngineError("invalid_model", "tokenizer.json has no model");
  // Older exports name no type; only BPE has merges.
  const type = model["type"] ?? (model["merges"] === undefined ? undefined : "BPE");
  if (type === "BPE") checkBpe(model);
  else if (type === "Unigram") checkUnigram(model);
  else {
    const message = `tokenizer.json has the model ${typeOf(model)}; supported: BPE, Unigram`;
    throw new EngineError("unsupported_model", message);
  }
  return model;
}

function checkBpe(model: JsonObject): void {
  if (!isObject(model["vocab"]) || !Array.isArray(model["merges"])) {
    throw new EngineError("invalid_model", "tokenizer.json: the BPE model has no vocab or no merges");
  }
  const { dropout } = model;
  if (dropout !== undefined && dropout !== null && dropout !== "" && dropout !== 0)
    throw unsupportedOption("BPE", "dropout", dropout);
  for (const option of ["continuing_subword_prefix", "end_of_word_suffix"]) {
    const affix = model[option] ?? "";
    if (typeof affix === "string" && affix.length <= LIMITS.maxAffixCharacters) continue;
    const expected = `a text of up to ${LIMITS.maxAffixCharacters} characters`;
    const message = `tokenizer.json: ${option} must be ${expected}. Given: ${described(affix)}`;
    throw new EngineError("invalid_model", message);
  }
}

function checkUnigram(model: JsonObject): void {
  const { vocab, unk_id: unknownId } = model;
  if (!Array.isArray(vocab)) throw new EngineError("invalid_model", "tokenizer.json: the Unigram model has no vocab");
  for (const entry of vocab as unknown[]) {
    const [piece, score, ...others] = Array.isArray(entry) ? (entry as unknown[]) : [];
    if (typeof piece === "string" && Number.isFinite(score) && others.length === 0) continue;
    const message = `tokenizer.json: a piece must be a text and its score. Given: ${described(entry)}`;
    throw new EngineError("invalid_model", message);
  }
  const isId = Number.isSafeInteger(unknownId) && (unknownId as number) >= 0 && (unknownId as number) < vocab.length;
  if (unknownId !== undefined && unknownId !== null && !isId) {
    const message = `tokenizer.json: unk_id must be an integer from 0 to ${vocab.length - 1}. Given: ${described(unknownId)}`;
    throw new EngineError("invalid_model", message);
  }
  for (const [option, value] of Object.entries(model)) {
    const isKnown = ["type", "vocab", "unk_id", "byte_fallback"].includes(option);
    if (!isKnown && value !== null && value !== false) throw unsupportedOption("Unigram", option, value);
  }
}

const unsupportedOption = (type: string, option: string, value: unknown): EngineError =>
  new EngineError(
    "unsupported_model",
    `tokenizer.json has a ${type} model with ${/^\w{1,80}$/.test(option) ? option : quoted(option)} ${described(value)}, which is not supported`,
  );

/** @param vocab ids by name, or names and scores in the order of their ids */
function readIds(vocab: JsonObject | readonly (readonly [string, number])[]): ReadonlyMap<string, number> {
  const ids = new Map<string, number>();
  if (Array.isArray(vocab)) {
    for (const [id, [piece]] of (vocab as readonly (readonly [string, number])[]).entries()) {
      if (ids.has(piece)) {
        const message = `tokenizer.json lists the piece ${quoted(piece)} twice`;
        throw new EngineError("invalid_model", message);
      }
      ids.set(piece, id);
    }
    return ids;
  }
  for (const name of Object.keys(vocab)) {
    const id = (vocab as JsonObject)[name];
    if (!Number.isSafeInteger(id) || (id as number) < 0) {
      const message = `tokenizer.json: the id of ${quoted(name)} must be an integer from 0. Given: ${described(id)}`;
      throw new EngineError("invalid_model", message);
    }
    ids.set(name, id as number);
  }
  return ids;
}

function largest(...collections: Iterable<number>[]): number {
  let value = -1;
  for (const collection of collections) for (const id of collection) value = Math.max(value, id);
  return value;
}
