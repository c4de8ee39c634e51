/**
 * Answer formats for any program that samples tokens: compiles a JSON schema, a regular expression, a choice or a
 * context-free grammar, and computes which tokens may come next. It needs the bytes of the tokens and nothing else: no
 * model, and no runtime.
 */

import { EngineError, outOfRange, wrongType } from "./errors.js";
import { type AnswerFormat, Grammar, GrammarMatcher, VocabularyTrie, compileGrammar } from "./grammar/index.js";
import { JsonError, isObject, parseJson } from "./json.js";
import { LIMITS } from "./limits.js";
import { Tokenizer } from "./text/index.js";

export { EngineError, type EngineErrorCode } from "./errors.js";
export type { AnswerFormat, GrammarSyntax, Structure } from "./grammar/index.js";

/**
 * Compiles a format.
 *
 * @returns the compiled format; the same one for equal formats as long as it is kept
 * @throws EngineError invalid_schema or unsupported_schema, whose `param` is a JSON pointer into the schema, "" for its
 * root and for all formats without a schema; others for an invalid format, with the path of the field
 */
export function compile(format: AnswerFormat): CompiledFormat {
  const grammar = compileGrammar(format);
  let compiled = COMPILED.get(grammar);
  if (compiled === undefined) COMPILED.set(grammar, (compiled = new CompiledFormat(grammar)));
  return compiled;
}

/** A compiled format, for any number of answers at the same time. */
export class CompiledFormat {
  readonly #grammar: Grammar;

  /** @internal */
  constructor(grammar: Grammar) {
    this.#grammar = grammar;
  }

  /** Remarks for the author of a schema: unknown keywords that look misspelled, and what is enforced in part. */
  get notes(): readonly string[] {
    return this.#grammar.notes;
  }

  /** @returns the state of one answer, before its first token */
  matcher(vocabulary: Vocabulary): Matcher {
    return new Matcher(new GrammarMatcher(this.#grammar, vocabulary.trie, vocabulary.endTokenIds));
  }
}

const COMPILED = new WeakMap<Grammar, CompiledFormat>();

/** The tokens of a model as bytes. Building it takes about a second for 150,000 tokens: do it once for each model. */
export class Vocabulary {
  /** @internal */
  readonly trie: VocabularyTrie;
  /** Tokens that end an answer; they are allowed where the answer is complete, and nowhere else. */
  readonly endTokenIds: readonly number[];

  private constructor(tokens: readonly (Uint8Array | null)[], endTokenIds: Iterable<number>) {
    this.endTokenIds = [...endTokenIds];
    for (const [index, tokenId] of this.endTokenIds.entries())
      if (!Number.isInteger(tokenId) || tokenId < 0 || tokenId >= tokens.length)
        throw outOfRange(`endTokenIds[${index}]`, `must be a token id in 0..${tokens.length - 1}`, tokenId);
    this.trie = VocabularyTrie.build(tokens);
  }

  /**
   * @param tokens the bytes of each token id, as the token adds them to a text; null for special tokens, which no answer
   * can contain
   * @param endTokenIds tokens that end an answer
   * @throws EngineError invalid_type or out_of_range
   */
  static fromTokens(tokens: readonly (Uint8Array | null)[], endTokenIds: Iterable<number>): Vocabulary {
    if (!Array.isArray(tokens)) throw wrongType("tokens", "an array", tokens);
    for (const [tokenId, bytes] of (tokens as readonly unknown[]).entries())
      if (bytes !== null && !(bytes instanceof Uint8Array))
        throw wrongType(`tokens[${tokenId}]`, "a Uint8Array or null", bytes);
    if (tokens.length > LIMITS.maxVocabSize)
      throw outOfRange("tokens", `must contain at most ${LIMITS.maxVocabSize} tokens`, tokens);
    return new Vocabulary(tokens, endTokenIds);
  }

  /**
   * Reads the tokens of a model, whether they are spelled in the byte-level alphabet or as pieces of text.
   *
   * @param tokenizerJson the bytes of the model's `tokenizer.json`
   * @param endTokenIds tokens that end an answer, such as `eos_token_id` of the model's `generation_config.json`
   * @throws EngineError invalid_model or unsupported_model; out_of_range
   */
  static fromTokenizer(tokenizerJson: Uint8Array, endTokenIds: Iterable<number>): Vocabulary {
    const tokenizer = new Tokenizer(parsedTokenizer(tokenizerJson), {});
    const tokens = Array.from({ length: tokenizer.vocabSize }, (_, tokenId) => tokenizer.tokenBytes(tokenId));
    return new Vocabulary(tokens, endTokenIds);
  }

  /** Number of token ids. */
  get size(): number {
    return this.trie.tokens.length;
  }

  /**
   * @returns the bytes of a token; null for special tokens and for ids that are none
   */
  bytes(tokenId: number): Uint8Array | null {
    return this.trie.tokens[tokenId] ?? null;
  }
}

/**
 * Follows one answer: mask the logits with `allowed`, sample a token, pass it to `accept`, and repeat until `accept` was
 * given an end token, or `isFinished` is true. Whatever is accepted can be completed to an answer in the format.
 */
export class Matcher {
  readonly #matcher: GrammarMatcher;
  /** The states before each accepted token. */
  readonly #before: GrammarMatcher["position"][] = [];

  /** @internal */
  constructor(matcher: GrammarMatcher) {
    this.#matcher = matcher;
  }

  /** True if the answer so far is complete. It may go on unless `isFinished` is true. */
  get isComplete(): boolean {
    return this.#matcher.isComplete;
  }

  /** True if the answer is complete and nothing but an end token can follow. */
  get isFinished(): boolean {
    return this.#matcher.isFinished;
  }

  /** Number of tokens that were accepted, without those that were taken back. */
  get numAccepted(): number {
    return this.#before.length;
  }

  /**
   * @returns u32 [ceil(size / 32)], one bit for each token id, the lowest bit of a word first: the tokens that may
   * follow. Do not change the array; it is valid until the next call of another method
   */
  allowed(): Uint32Array {
    return this.#matcher.allowed();
  }

  /** @returns true if a token may follow, as in `allowed` */
  isAllowed(tokenId: number): boolean {
    return (((this.allowed()[tokenId >> 5] ?? 0) >> (tokenId & 31)) & 1) === 1;
  }

  /**
   * Sets the logits of all tokens that may not follow to -Infinity.
   * @param logits f32 [size], or longer: ids beyond the vocabulary are masked too
   */
  mask(logits: Float32Array): void {
    const allowed = this.allowed();
    for (let tokenId = 0; tokenId < logits.length; tokenId++)
      if ((((allowed[tokenId >> 5] ?? 0) >> (tokenId & 31)) & 1) === 0) logits[tokenId] = -Infinity;
  }

  /** @returns true if the token was accepted; false if it may not follow, and nothing changed */
  accept(tokenId: number): boolean {
    const { position } = this.#matcher;
    if (position === null || !this.#matcher.acceptToken(tokenId)) return false;
    this.#before.push(position);
    return true;
  }

  /**
   * Takes back the last tokens that were accepted, end tokens included.
   * @throws EngineError out_of_range if fewer were accepted
   */
  rollback(numTokens: number): void {
    const numLeft = this.#before.length - numTokens;
    if (!Number.isInteger(numTokens) || numTokens < 0 || numLeft < 0)
      throw outOfRange("numTokens", `must be an integer in 0..${this.#before.length}`, numTokens);
    if (numTokens === 0) return;
    this.#matcher.restore(this.#before[numLeft]!);
    this.#before.length = numLeft;
  }

  /**
   * @returns the bytes with which every complete answer goes on from here, at most 4096; empty if there is a choice, or
   * if the answer may end. They may end inside of a character
   */
  forcedBytes(): Uint8Array {
    return this.#matcher.forcedBytes(LIMITS.maxForcedBytes);
  }
}

function parsedTokenizer(bytes: Uint8Array): object {
  try {
    const tokenizer = parseJson(bytes, { isPython: true });
    if (isObject(tokenizer)) return tokenizer;
    throw new EngineError("invalid_model", "tokenizer.json must contain an object.");
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw new EngineError("invalid_model", `tokenizer.json is no valid JSON: ${error.message}.`, null, {
      cause: error,
    });
  }
}
