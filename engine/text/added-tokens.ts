/**
 * The tokens a tokenizer has on top of its vocabulary's merges (special tokens, tags, runs of spaces), and finding them
 * in text. The matching is the Rust tokenizers': leftmost, then longest; `single_word` needs no word character beside
 * it; `lstrip` and `rstrip` take the white space beside it too.
 */

import { EngineError } from "../errors.js";
import { isObject, type JsonObject } from "../json.js";

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Special tokens have no text: they never reach a client. */
  readonly special: boolean;
  /** Whether it is looked for in the normalized text instead of the text as it was given. */
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
 * Reads the added tokens of tokenizer.json and of tokenizer_config.json, which may name further special ones.
 *
 * @param vocab the model's own vocabulary
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
  // Padding and the unknown token are sometimes ordinary words, such as "!": those stay what they are.
  for (const content of contentsOf(tokenizerConfig, ["bos_token", "eos_token", "additional_special_tokens"])) {
    const id = named.has(content) ? vocab.get(content) : undefined;
    if (id !== undefined) tokens.set(id, addedToken({ content, special: true }, id));
  }
  return [...tokens.values()];
}

/** Looks for a fixed set of added tokens. */
export class AddedTokenFinder {
  readonly #byPhrase = new Map<string, AddedToken>();
  readonly #finder: PhraseFinder;

  /** @param phrase the text that stands for a token; its content unless the text searched is normalized */
  constructor(tokens: Iterable<AddedToken>, phrase: (token: AddedToken) => string = (token) => token.content) {
    for (const token of tokens) {
      const text = phrase(token);
      if (text !== "" && !this.#byPhrase.has(text)) this.#byPhrase.set(text, token);
    }
    this.#finder = new PhraseFinder([...this.#byPhrase.keys()]);
  }

  /** @returns the tokens in `text`, from left to right, the longest at each place, none overlapping */
  find(text: string): TokenMatch[] {
    const matches: TokenMatch[] = [];
    for (const { start, end, phrase } of this.#finder.find(text)) {
      const token = this.#byPhrase.get(phrase)!;
      if (token.singleWord && (WORD.test(characterBefore(text, start)) || WORD.test(characterAt(text, end)))) continue;
      matches.push({ start, end, token });
    }
    return matches;
  }
}

/** A phrase found at `start`, up to but not including `end`, in UTF-16 code units. */
export interface PhraseMatch {
  readonly start: number;
  readonly end: number;
  readonly phrase: string;
}

/** Looks for a fixed set of non-empty strings. */
export class PhraseFinder {
  /** The strings looked for, the longest first. */
  readonly phrases: readonly string[];
  readonly #set: ReadonlySet<string>;
  /** Every length a phrase has, in descending order. */
  readonly #lengths: readonly number[];
  readonly #alternatives: string;

  constructor(phrases: readonly string[]) {
    this.phrases = [...phrases].sort((a, b) => b.length - a.length);
    this.#set = new Set(phrases);
    this.#lengths = [...new Set(this.phrases.map(({ length }) => length))];
    this.#alternatives = this.phrases.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|");
  }

  /** @returns the phrases in `text`, from left to right, the longest at each place, none overlapping */
  find(text: string): PhraseMatch[] {
    if (this.phrases.length === 0) return [];
    const found = text.matchAll(new RegExp(this.#alternatives, "g"));
    return Array.from(found, ({ 0: phrase, index }) => ({ start: index, end: index + phrase.length, phrase }));
  }

  /** @returns every phrase in `text`, overlapping ones included: by where it begins, then the longest first */
  *findAll(text: string): Generator<PhraseMatch> {
    if (this.phrases.length === 0) return;
    for (const { index: start } of text.matchAll(new RegExp(`(?=${this.#alternatives})`, "g"))) {
      for (const length of this.#lengths) {
        const phrase = text.slice(start, start + length);
        if (phrase.length === length && this.#set.has(phrase)) yield { start, end: start + length, phrase };
      }
    }
  }
}

/**
 * Cuts `text` at the tokens found in it.
 *
 * @param matches ascending and not overlapping
 * @returns tokens, and the non-empty texts between them with where they start
 */
export function* cutAtTokens(
  text: string,
  matches: Iterable<TokenMatch>,
): Generator<AddedToken | { text: string; start: number }> {
  let position = 0;
  for (const { start, end, token } of matches) {
    if (end <= position) continue; // swallowed by the white space of the token before
    let stop = Math.max(start, position);
    while (token.lstrip && stop > position && WHITE_SPACE.test(text[stop - 1]!)) stop--;
    if (stop > position) yield { text: text.slice(position, stop), start: position };
    yield token;
    position = end;
    while (token.rstrip && position < text.length && WHITE_SPACE.test(text[position]!)) position++;
  }
  if (position < text.length) yield { text: text.slice(position), start: position };
}

/** A token of tokenizer_config.json: its content, or an object that has it. */
export function tokenContent(value: unknown): string | null {
  if (typeof value === "string") return value;
  return isObject(value) && typeof value["content"] === "string" ? value["content"] : null;
}

/** The id that tokenizer.json gives to exactly this token, or null. */
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

/** Unicode's white space lies in the basic plane: testing code units is enough. */
const WHITE_SPACE = /\p{White_Space}/u;
const WORD = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]/u;

const characterAt = (text: string, index: number): string =>
  index < text.length ? String.fromCodePoint(text.codePointAt(index)!) : "";

function characterBefore(text: string, index: number): string {
  const pair = text.slice(Math.max(0, index - 2), index);
  return pair.length === 2 && pair.codePointAt(0)! > 0xffff ? pair : pair.slice(-1);
}
