/**
 * The tokens a tokenizer has on top of its vocabulary's merges (special tokens, tags, runs of spaces), and finding them
 * in text. The matching is the Rust tokenizers': leftmost, then longest; `single_word` needs no word character beside
 * it; `lstrip` and `rstrip` take the white space beside it too.
 */

import { EngineError } from "../errors.js";

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
export function readAddedTokens(tokenizerJson: Json, tokenizerConfig: Json, vocab: ReadonlyMap<string, number>): AddedToken[] {
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
  const named = specialTokenNames(tokenizerConfig);
  for (const token of tokens.values()) {
    if (named.has(token.content)) tokens.set(token.id, { ...token, special: true });
    named.delete(token.content);
  }
  for (const content of named) {
    const id = vocab.get(content);
    if (id !== undefined) tokens.set(id, addedToken({ content, special: true }, id));
  }
  return [...tokens.values()];
}

/** Looks for a fixed set of added tokens. */
export class AddedTokenFinder {
  readonly #byPattern = new Map<string, AddedToken>();
  readonly #alternatives: string;

  /** @param pattern the text that stands for a token; its content unless the text searched is normalized */
  constructor(tokens: Iterable<AddedToken>, pattern: (token: AddedToken) => string = (token) => token.content) {
    for (const token of tokens) {
      const text = pattern(token);
      if (text !== "" && !this.#byPattern.has(text)) this.#byPattern.set(text, token);
    }
    const longestFirst = [...this.#byPattern.keys()].sort((a, b) => b.length - a.length);
    this.#alternatives = longestFirst.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|");
  }

  get isEmpty(): boolean {
    return this.#byPattern.size === 0;
  }

  /** @returns the tokens in `text`, from left to right, the longest at each place, none overlapping */
  find(text: string): TokenMatch[] {
    if (this.isEmpty) return [];
    const matches: TokenMatch[] = [];
    for (const { 0: found, index: start } of text.matchAll(new RegExp(this.#alternatives, "g"))) {
      const token = this.#byPattern.get(found)!;
      const end = start + found.length;
      if (token.singleWord && (WORD.test(characterBefore(text, start)) || WORD.test(characterAt(text, end)))) continue;
      matches.push({ start, end, token });
    }
    return matches;
  }

  /** @returns where a token begins in `text`, overlapping ones included, in ascending order */
  starts(text: string): number[] {
    if (this.isEmpty) return [];
    return Array.from(text.matchAll(new RegExp(`(?=${this.#alternatives})`, "g")), (match) => match.index);
  }

  /** @returns the tokens that begin at `start`, the longest first */
  at(text: string, start: number): TokenMatch[] {
    const matches: TokenMatch[] = [];
    for (const [pattern, token] of this.#byPattern) {
      if (text.startsWith(pattern, start)) matches.push({ start, end: start + pattern.length, token });
    }
    return matches.sort((a, b) => b.end - a.end);
  }
}

/**
 * Cuts `text` at the tokens found in it.
 *
 * @param matches ascending and not overlapping
 * @returns tokens, and the non-empty texts between them with where they start
 */
export function* cutAtTokens(text: string, matches: Iterable<TokenMatch>): Generator<AddedToken | { text: string; start: number }> {
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

export type Json = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A token of tokenizer_config.json: its content, or an object that has it. */
export function tokenContent(value: unknown): string | null {
  if (typeof value === "string") return value;
  return isObject(value) && typeof value["content"] === "string" ? value["content"] : null;
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

function specialTokenNames(config: Json): Set<string> {
  const additional = config["additional_special_tokens"];
  const values = [
    ...["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"].map((key) => config[key]),
    ...(Array.isArray(additional) ? additional : []),
  ];
  return new Set(values.map(tokenContent).filter((content): content is string => content !== null && content !== ""));
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
