/**
 * Reads the added tokens of a tokenizer (special tokens, tags, runs of spaces), which are not produced by merges, and
 * finds them in text. Matching follows the Rust tokenizers: leftmost, then longest. A `single_word` token matches only
 * without a word character on either side; `lstrip` and `rstrip` tokens also consume adjacent white space.
 */

import type { Budget } from "../budget.js";
import { EngineError } from "../errors.js";
import { isObject, type JsonObject } from "../json.js";
import { LIMITS } from "../limits.js";

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Set for special tokens, which have no text and are never sent to a client. */
  readonly special: boolean;
  /** Set if the token is searched in the normalized text instead of the original text. */
  readonly normalized: boolean;
  readonly singleWord: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
}

/** An added token found at `start`, up to but not including `end`, in UTF-16 code units. */
export interface TokenMatch {
  readonly start: number;
  readonly end: number;
  readonly token: AddedToken;
}

/**
 * Reads the added tokens of tokenizer.json and of tokenizer_config.json, which can declare further special tokens.
 *
 * @param vocab the vocabulary of the BPE model
 * @returns one entry per id
 */
export function readAddedTokens(
  tokenizerJson: JsonObject,
  tokenizerConfig: JsonObject,
  vocab: ReadonlyMap<string, number>,
): AddedToken[] {
  const tokens = new Map<number, AddedToken>();
  const listed = tokenizerJson["added_tokens"] ?? [];
  if (!Array.isArray(listed)) throw new EngineError("invalid_model", "tokenizer.json: added_tokens is not a list");
  for (const entry of listed) {
    const token = addedToken(entry, undefined);
    tokens.set(token.id, token);
  }
  const decoder = tokenizerConfig["added_tokens_decoder"];
  for (const [id, entry] of Object.entries(isObject(decoder) ? decoder : {})) {
    if (!tokens.has(Number(id))) tokens.set(Number(id), addedToken(entry, Number(id)));
  }
  const named = contentsOf(tokenizerConfig, [
    "bos_token",
    "eos_token",
    "additional_special_tokens",
    "unk_token",
    "pad_token",
  ]);
  for (const token of tokens.values()) {
    if (named.has(token.content)) tokens.set(token.id, { ...token, special: true });
    named.delete(token.content);
  }
  // The padding and unknown tokens are sometimes ordinary words, such as "!"; those remain ordinary tokens.
  for (const content of contentsOf(tokenizerConfig, ["bos_token", "eos_token", "additional_special_tokens"])) {
    const id = named.has(content) ? vocab.get(content) : undefined;
    if (id !== undefined) tokens.set(id, addedToken({ content, special: true }, id));
  }
  return [...tokens.values()];
}

/** Searches text for a fixed set of added tokens. */
export class AddedTokenFinder {
  readonly #byPhrase = new Map<string, AddedToken>();
  readonly #finder: PhraseFinder;

  /** @param phrase maps a token to the text to search for: its content, or the normalized content */
  constructor(tokens: Iterable<AddedToken>, phrase: (token: AddedToken) => string = (token) => token.content) {
    let length = 0;
    for (const token of tokens) {
      const text = phrase(token);
      length += text.length;
      if (text.length > LIMITS.maxAddedTokenCharacters || length > LIMITS.maxAddedTokensCharacters)
        throw tooLong(Math.max(text.length, length));
      if (text !== "" && !this.#byPhrase.has(text)) this.#byPhrase.set(text, token);
    }
    this.#finder = new PhraseFinder([...this.#byPhrase.keys()]);
  }

  /** @returns the tokens in `text`, from left to right, the longest at each position, without overlaps */
  find(text: string, budget: Steps): TokenMatch[] {
    const matches: TokenMatch[] = [];
    for (const { start, end, phrase } of this.#finder.find(text, budget)) {
      const token = this.#byPhrase.get(phrase)!;
      if (token.singleWord && (WORD.test(characterBefore(text, start)) || WORD.test(characterAt(text, end)))) continue;
      matches.push({ start, end, token });
    }
    return matches;
  }
}

function tooLong(length: number): EngineError {
  const limits = `up to ${LIMITS.maxAddedTokenCharacters} in one, and ${LIMITS.maxAddedTokensCharacters} in all`;
  const message = `tokenizer.json has added tokens of ${length} characters, normalized; supported: ${limits}`;
  return new EngineError("unsupported_model", message);
}

type Steps = Pick<Budget, "spend">;

/** A phrase found at `start`, up to but not including `end`, in UTF-16 code units. */
export interface PhraseMatch {
  readonly start: number;
  readonly end: number;
  readonly phrase: string;
}

/** Searches text for a fixed set of non-empty strings, with a trie. */
export class PhraseFinder {
  /** The strings to search for, longest first. */
  readonly phrases: readonly string[];
  /** Child node by node * 65,536 + code unit. Node 0 is the root. */
  readonly #children = new Map<number, number>();
  /** Set for code units that a phrase starts with, u8 [65,536]; and for nodes at which a phrase ends. */
  readonly #starts = new Uint8Array(1 << 16);
  readonly #ends = new Set<number>();

  constructor(phrases: readonly string[]) {
    this.phrases = [...phrases].sort((a, b) => b.length - a.length);
    let numNodes = 1;
    for (const phrase of phrases) {
      let node = 0;
      for (let index = 0; index < phrase.length; index++) {
        const key = node * (1 << 16) + phrase.charCodeAt(index);
        const child = this.#children.get(key);
        if (child === undefined) this.#children.set(key, numNodes);
        node = child ?? numNodes++;
      }
      this.#ends.add(node);
      this.#starts[phrase.charCodeAt(0)] = 1;
    }
  }

  /** @returns the phrases in `text`, from left to right, the longest at each position, without overlaps */
  find(text: string, budget: Steps): PhraseMatch[] {
    const matches: PhraseMatch[] = [];
    for (let start = this.#nextStart(text, 0, budget); start < text.length;) {
      const end = this.#endsAt(text, start, budget).at(-1);
      if (end !== undefined) matches.push({ start, end, phrase: text.slice(start, end) });
      start = this.#nextStart(text, end ?? start + 1, budget);
    }
    return matches;
  }

  /** @returns all phrases in `text`, including overlapping ones, by start position and then longest first */
  *findAll(text: string, budget: Steps): Generator<PhraseMatch> {
    for (let start = this.#nextStart(text, 0, budget); start < text.length;) {
      for (const end of this.#endsAt(text, start, budget).reverse())
        yield { start, end, phrase: text.slice(start, end) };
      start = this.#nextStart(text, start + 1, budget);
    }
  }

  /** Returns the first position from `from` with a character that a phrase starts with; the length if there is none. */
  #nextStart(text: string, from: number, budget: Steps): number {
    let index = from;
    while (index < text.length && this.#starts[text.charCodeAt(index)] === 0) index++;
    budget.spend(1 + ((index - from) >> 4));
    return index;
  }

  /** Returns the ends of the phrases that start at `start`, in ascending order. */
  #endsAt(text: string, start: number, budget: Steps): number[] {
    const ends: number[] = [];
    let node: number | undefined = 0;
    for (let index = start; index < text.length; index++) {
      node = this.#children.get(node * (1 << 16) + text.charCodeAt(index));
      if (node === undefined) break;
      if (this.#ends.has(node)) ends.push(index + 1);
      budget.spend(STEPS_PER_NODE);
    }
    return ends;
  }
}

/** A node takes two look-ups in tables that can be large. */
const STEPS_PER_NODE = 4;

/**
 * Splits `text` at the tokens found in it.
 *
 * @param matches in ascending order, without overlaps
 * @returns the tokens, and the non-empty texts between them with their start positions
 */
export function* cutAtTokens(
  text: string,
  matches: Iterable<TokenMatch>,
): Generator<AddedToken | { text: string; start: number }> {
  let position = 0;
  for (const { start, end, token } of matches) {
    if (end <= position) continue; // already consumed as white space after the previous token
    let stop = Math.max(start, position);
    while (token.lstrip && stop > position && WHITE_SPACE.test(text[stop - 1]!)) stop--;
    if (stop > position) yield { text: text.slice(position, stop), start: position };
    yield token;
    position = end;
    while (token.rstrip && position < text.length && WHITE_SPACE.test(text[position]!)) position++;
  }
  if (position < text.length) yield { text: text.slice(position), start: position };
}

/** Returns the content of a token in tokenizer_config.json, which is a string or an object with `content`; or null. */
export function tokenContent(value: unknown): string | null {
  if (typeof value === "string") return value;
  return isObject(value) && typeof value["content"] === "string" ? value["content"] : null;
}

/** Returns the id of the token with this content in tokenizer.json, or null. */
export function tokenIdOf(tokenizer: JsonObject, content: string): number | null {
  const added = tokenizer["added_tokens"];
  for (const token of Array.isArray(added) ? (added as unknown[]) : []) {
    if (isObject(token) && token["content"] === content && typeof token["id"] === "number") return token["id"];
  }
  const model = tokenizer["model"];
  const vocabulary = isObject(model) ? model["vocab"] : null;
  if (Array.isArray(vocabulary)) {
    const index = vocabulary.findIndex((entry) => Array.isArray(entry) && entry[0] === content);
    return index === -1 ? null : index;
  }
  if (!isObject(vocabulary) || !Object.hasOwn(vocabulary, content)) return null;
  const id = vocabulary[content];
  return typeof id === "number" ? id : null;
}

function addedToken(entry: unknown, givenId: number | undefined): AddedToken {
  const id = givenId ?? (isObject(entry) ? entry["id"] : undefined);
  const content = tokenContent(entry);
  if (!isObject(entry) || content === null || typeof id !== "number" || !Number.isSafeInteger(id) || id < 0) {
    throw new EngineError("invalid_model", "tokenizer.json: an added token has no content or no id");
  }
  const special = entry["special"] === true;
  return {
    id,
    content,
    special,
    normalized: typeof entry["normalized"] === "boolean" ? entry["normalized"] : !special,
    singleWord: entry["single_word"] === true,
    lstrip: entry["lstrip"] === true,
    rstrip: entry["rstrip"] === true,
  };
}

function contentsOf(config: JsonObject, keys: readonly string[]): Set<string> {
  const contents = keys.flatMap((key) => config[key]).map(tokenContent);
  return new Set(contents.filter((content): content is string => content !== null && content !== ""));
}

/** Unicode white space is all in the basic multilingual plane, so it is enough to test single code units. */
const WHITE_SPACE = /\p{White_Space}/u;
const WORD = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]/u;

const characterAt = (text: string, index: number): string =>
  index < text.length ? String.fromCodePoint(text.codePointAt(index)!) : "";

function characterBefore(text: string, index: number): string {
  const pair = text.slice(Math.max(0, index - 2), index);
  return pair.length === 2 && pair.codePointAt(0)! > 0xffff ? pair : pair.slice(-1);
}
