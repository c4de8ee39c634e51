/**
 * The tokens of a model: their bytes and names, for decoding. An engine needs no more of a tokenizer; encoding is in
 * tokenizer.ts.
 */

import { described, EngineError, quoted } from "../errors.js";
import { type JsonObject, isObject } from "../json.js";
import { LIMITS } from "../limits.js";
import { type AddedToken, readAddedTokens, tokenContent } from "./added-tokens.js";
import { readBeginToken } from "./begin-token.js";
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
  const ids = readIds(model["vocab"] as JsonObject);
  const addedTokens = readAddedTokens(json, config, ids);
  return { json, config, model, ids, preTokenizer, addedTokens, markup: new Set(markup) };
}

export class Vocabulary {
  /** The largest token id + 1. Smaller ids may be unused, see `hasToken`. */
  readonly vocabSize: number;
  /** The token that `encode` adds first; null if it adds none, so that an empty text has no tokens. */
  readonly beginTokenId: number | null;
  /** The token that begins a text, added by `encode` or by a template; null if the tokenizer has none. */
  readonly startOfTextId: number | null;
  /** Number of spaces that decoding drops directly after the token that begins a text. */
  readonly numLeadingSpaces: number;
  readonly addedTokens: readonly AddedToken[];
  /** Tags around the parts of a message, such as `<think>`. A special token with this content has text. */
  readonly markup: ReadonlySet<string>;
  readonly #added: ReadonlyMap<number, AddedToken>;
  readonly #present: Uint8Array;
  readonly #bytes: TokenBytes;

  /** @throws EngineError invalid_model, or unsupported_model if the tokens cannot be decoded exactly */
  constructor({ json, config, ids, preTokenizer, addedTokens, markup }: TokenDefinitions) {
    this.markup = markup;
    this.addedTokens = addedTokens;
    this.#added = new Map(addedTokens.map((token) => [token.id, token]));
    this.beginTokenId = readBeginToken(json, config, addedTokens);
    const bos = tokenContent(config["bos_token"]);
    this.startOfTextId = addedTokens.find((token) => token.content === bos)?.id ?? this.beginTokenId;
    const decoder = byteDecoder(json["decoder"], isByteLevel(preTokenizer));
    this.numLeadingSpaces = decoder.numLeadingSpaces;
    const names = new Map<number, string>();
    for (const [name, id] of ids) names.set(id, name);
    this.vocabSize = 1 + largest(names.keys(), this.#added.keys());
    if (!(this.vocabSize > 0 && this.vocabSize <= LIMITS.maxVocabSize)) {
      throw new EngineError(
        "unsupported_model",
        `tokenizer.json has ids up to ${this.vocabSize - 1}; supported: up to ${LIMITS.maxVocabSize - 1}`,
      );
    }
    this.#present = new Uint8Array(this.vocabSize);
    this.#bytes = new TokenBytes(this.vocabSize, (tokenId) => {
      const added = this.#added.get(tokenId);
      const name = names.get(tokenId);
      this.#present[tokenId] = added !== undefined || name !== undefined ? 1 : 0;
      if (added !== undefined) return this.isSpecial(tokenId) ? NO_BYTES : decoder.addedBytes(added.content);
      return name === undefined ? NO_BYTES : decoder.vocabBytes(name);
    });
    if (this.beginTokenId !== null && !this.hasToken(this.beginTokenId)) {
      const message = `tokenizer.json begins texts with token ${this.beginTokenId}, which does not exist`;
      throw new EngineError("invalid_model", message);
    }
  }

  /** @returns the text of a whole sequence; a leading space is dropped only directly after the begin token */
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
  if (model["type"] !== "BPE")
    throw new EngineError("unsupported_model", `tokenizer.json has the model ${typeOf(model)}; supported: BPE`);
  if (!isObject(model["vocab"]) || !Array.isArray(model["merges"])) {
    throw new EngineError("invalid_model", "tokenizer.json: the BPE model has no vocab or no merges");
  }
  for (const option of ["continuing_subword_prefix", "end_of_word_suffix", "dropout"]) {
    const value = model[option];
    if (value !== undefined && value !== null && value !== "" && value !== 0) {
      throw new EngineError(
        "unsupported_model",
        `tokenizer.json has a BPE model with ${option} ${described(value)}, which is not supported`,
      );
    }
  }
  return model;
}

function readIds(vocab: JsonObject): ReadonlyMap<string, number> {
  const ids = new Map<string, number>();
  for (const [name, id] of Object.entries(vocab)) {
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
