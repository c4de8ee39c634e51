/**
 * Converts text to token ids and back: finds added tokens, normalizes the text between them, splits it into words and
 * divides these into tokens. The tokenizer library translates the patterns of tokenizer.json, which are Oniguruma's.
 *
 * `encode` takes raw text and recognizes special tokens anywhere in it. `encodePrompt` takes the output of a chat
 * template and recognizes special tokens only where the template wrote them.
 */

import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { Budget } from "../budget.js";
import { isObject } from "../json.js";
import { described, EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import { AddedTokenFinder, type TokenMatch, cutAtTokens } from "./added-tokens.js";
import { checkBacktracking } from "./backtracking.js";
import { BpeModel } from "./bpe-model.js";
import { Normalizer } from "./normalizer.js";
import { PatternSearch } from "./pattern-search.js";
import { prepareNormalizer } from "./pre-tokenization.js";
import { UnigramModel, unigramVocabulary } from "./unigram-model.js";
import { readTokens, Vocabulary } from "./vocabulary.js";
import type { WordModel } from "./word-model.js";
import { WordSplitter } from "./word-splitter.js";

/** The input of `Tokenizer.encodePrompt`: a prompt's text, and the places where it contains special tokens. */
export interface RenderedPrompt {
  readonly text: string;
  /** Reserved tokens that the template wrote, in ascending order, without overlaps. */
  readonly templateTokens: readonly TokenMatch[];
  /** Token ids that no other text of the prompt is encoded to. */
  readonly reserved: ReadonlySet<number>;
  /** Set if the template's prompt ends inside the reasoning, so that the output begins with reasoning. */
  readonly opensReasoning: boolean;
}

export interface EncodingOptions {
  /** Encoding ends soon after the number of tokens exceeds this; by default, it is not bounded. */
  readonly maxTokens?: number;
  /** Returns true once the tokens are no longer needed; called often. */
  readonly isCanceled?: () => boolean;
}

export class Tokenizer extends Vocabulary {
  /** Length of the longest token's text, in UTF-16 code units. */
  readonly maxTokenLength: number;
  readonly #normalizer: Normalizer | null;
  readonly #splitter: WordSplitter;
  readonly #ids: ReadonlyMap<string, number>;
  /** Encoding of raw text, which has no reserved tokens. */
  readonly #raw: TextEncoding;
  readonly #ordinary = new WeakMap<ReadonlySet<number>, TextEncoding>();

  /**
   * @param tokenizerJson the parsed tokenizer.json
   * @param tokenizerConfig the parsed tokenizer_config.json; `{}` if the model has none
   * @param markup the tags around the parts of a message in the model's message format
   * @throws EngineError invalid_model, or unsupported_model if the tokenizer cannot be reproduced exactly
   */
  constructor(tokenizerJson: object, tokenizerConfig: object, markup: Iterable<string> = []) {
    const tokens = readTokens(tokenizerJson, tokenizerConfig, markup);
    super(tokens);
    const { json, model, ids, preTokenizer, addedTokens } = tokens;
    this.#ids = ids;
    const normalizer = prepareNormalizer(json["normalizer"]);
    this.#normalizer = normalizer === null ? null : new Normalizer(normalizer, compilePattern);
    this.#splitter = new WordSplitter(preTokenizer, compilePattern);
    const contents = [...ids.keys(), ...addedTokens.map(({ content }) => content)];
    this.maxTokenLength = contents.reduce((length, content) => Math.max(length, content.length), 0);
    const isByteLevel = this.#splitter.endsWithBytes;
    const wordModel = Array.isArray(model["vocab"])
      ? new UnigramModel(unigramVocabulary(model, ids, isByteLevel))
      : new BpeModel(model, ids, isByteLevel);
    this.#raw = this.#encoding(NOTHING_RESERVED, wordModel);
  }

  /**
   * Encodes raw text. Recognizes special tokens, and adds the begin tokens if the tokenizer has any.
   *
   * @param param the parameter to name in an error
   * @throws EngineError out_of_range for lone surrogates, for characters that the tokenizer has no token for, and for a
   * text that takes the tokenizer too long; Canceled
   */
  encode(text: string, param: string | null = null, options: EncodingOptions = {}): number[] {
    checkWellFormed(text, param);
    const run = new Run(text.length, param, options);
    run.ids.push(...this.beginTokenIds);
    this.#encodeText(text, true, this.#raw, run);
    return run.ids;
  }

  /**
   * Encodes a rendered chat prompt without adding special tokens. Recognizes those that the template wrote; text of
   * the messages never becomes one of the prompt's reserved tokens.
   *
   * @throws EngineError out_of_range for characters that the tokenizer has no token for, and for a prompt that takes the
   * tokenizer too long; Canceled
   */
  encodePrompt(prompt: RenderedPrompt, options: EncodingOptions = {}): number[] {
    const run = new Run(prompt.text.length, "messages", options);
    const encoding = this.#encodingWithout(prompt.reserved);
    for (const part of cutAtTokens(prompt.text, prompt.templateTokens)) {
      if (run.isEnough) break;
      if ("id" in part) run.ids.push(part.id);
      else this.#encodeText(part.text, part.start === 0, encoding, run);
    }
    return run.ids;
  }

  #encodeText(text: string, isFirst: boolean, encoding: TextEncoding, run: Run): void {
    const { ids, budget, param } = run;
    const each = (word: string): boolean => {
      encoding.model.encode(word, ids, budget, param);
      return !run.isEnough;
    };
    for (const section of cutAtTokens(text, encoding.asGiven.find(text, budget))) {
      if (run.isEnough) return;
      if ("id" in section) {
        ids.push(section.id);
        continue;
      }
      const normalized = this.#normalizer?.normalize(section.text, budget, param) ?? section.text;
      for (const part of cutAtTokens(normalized, encoding.normalized.find(normalized, budget))) {
        if (run.isEnough) return;
        if ("id" in part) {
          ids.push(part.id);
          continue;
        }
        const isBeginning = isFirst && section.start === 0 && part.start === 0;
        this.#splitter.split(part.text, isBeginning, budget, each);
      }
    }
  }

  #encodingWithout(reserved: ReadonlySet<number>): TextEncoding {
    let encoding = this.#ordinary.get(reserved);
    if (encoding === undefined) {
      encoding = this.#encoding(reserved, this.#modelWithout(reserved));
      this.#ordinary.set(reserved, encoding);
    }
    return encoding;
  }

  #encoding(reserved: ReadonlySet<number>, model: WordModel): TextEncoding {
    const tokens = this.addedTokens.filter((token) => !reserved.has(token.id));
    const normalizer = this.#normalizer;
    const budget = new Budget(LIMITS.minEncodingSteps, tokensTooSlow);
    return {
      asGiven: new AddedTokenFinder(tokens.filter((token) => normalizer === null || !token.normalized)),
      normalized: new AddedTokenFinder(
        tokens.filter((token) => normalizer !== null && token.normalized),
        (token) => normalizer!.normalize(token.content, budget, null),
      ),
      model,
    };
  }

  /** Returns the model without reserved tokens; some vocabularies contain such a token as a plain word. */
  #modelWithout(reserved: ReadonlySet<number>): WordModel {
    const spelled = new Map<number, string>();
    for (const { id, content } of this.addedTokens) {
      const own = reserved.has(id) ? this.#ids.get(content) : undefined;
      if (own !== undefined) spelled.set(own, content);
    }
    return spelled.size === 0 ? this.#raw.model : this.#raw.model.without(spelled);
  }
}

/** One call of `encode` or `encodePrompt`. */
class Run {
  readonly ids: number[] = [];
  readonly budget: Budget;
  readonly param: string | null;
  readonly #maxTokens: number;

  constructor(textLength: number, param: string | null, { maxTokens = Infinity, isCanceled }: EncodingOptions) {
    const maxSteps = LIMITS.minEncodingSteps + LIMITS.encodingStepsPerCharacter * textLength;
    this.budget = new Budget(maxSteps, () => tooSlow(param), isCanceled);
    this.param = param;
    this.#maxTokens = maxTokens;
  }

  get isEnough(): boolean {
    return this.ids.length > this.#maxTokens;
  }
}

const tooSlow = (param: string | null): EngineError =>
  new EngineError("out_of_range", "The model's tokenizer takes too long to divide this text into tokens.", param);

const tokensTooSlow = (): EngineError =>
  new EngineError("unsupported_model", "tokenizer.json has a normalizer that takes too long for the added tokens");

/** Encoding rules for one kind of text: the added tokens that it can contain, and the merges. */
interface TextEncoding {
  readonly asGiven: AddedTokenFinder;
  readonly normalized: AddedTokenFinder;
  readonly model: WordModel;
}

const NOTHING_RESERVED: ReadonlySet<number> = new Set();

/** @throws EngineError out_of_range for a lone surrogate */
export function checkWellFormed(text: string, param: string | null): void {
  const index = text.search(/[\uD800-\uDFFF]/u);
  if (index < 0) return;
  const unit = text.charCodeAt(index).toString(16).toUpperCase();
  throw new EngineError(
    "out_of_range",
    `The text has a lone surrogate, U+${unit}, at index ${index}; only whole characters are allowed.`,
    param,
  );
}

/** Definition of a library tokenizer that does nothing. */
const NOTHING = {
  model: { type: "BPE", vocab: {}, merges: [] },
  normalizer: null,
  pre_tokenizer: null,
  added_tokens: [],
  decoder: null,
  post_processor: null,
};

/** Translates a pattern of tokenizer.json. */
function compilePattern(pattern: unknown): PatternSearch {
  const given = isObject(pattern) ? (pattern["Regex"] ?? pattern["String"]) : null;
  if (typeof given !== "string" || given.length > LIMITS.maxTokenizerPatternCharacters) {
    const expected = `a Regex or String of up to ${LIMITS.maxTokenizerPatternCharacters} characters`;
    throw new EngineError("invalid_model", `tokenizer.json: a pattern must be ${expected}. Given: ${described(given)}`);
  }
  try {
    const split = { type: "Split", pattern, behavior: "Isolated", invert: true };
    const definition = { ...NOTHING, pre_tokenizer: split };
    const { pre_tokenizer: splitter } = new LibraryTokenizer(definition, {}) as { pre_tokenizer: { pattern: RegExp } };
    return new PatternSearch(splitter.pattern, checkBacktracking(splitter.pattern));
  } catch (error) {
    throw new EngineError(
      "unsupported_model",
      `tokenizer.json has a pattern that is not supported: ${reasonOf(error)}`,
      null,
      { cause: error },
    );
  }
}

/** Shortens the runtime's error about a pattern, which quotes all of it before it gives the reason. */
function reasonOf(error: unknown): string {
  const { message } = error as Error;
  const reason = /^Invalid regular expression: [^]*\/[a-z]*: (.*)$/.exec(message)?.[1] ?? message;
  return reason.replace(/[\s\p{Cc}]+/gu, " ").slice(0, MAX_REASON_LENGTH);
}

const MAX_REASON_LENGTH = 300;
