/**
 * Computes the token masks of a choice whose answer has a grammar (contract, sections 6 and 7). The mask divides a
 * message into the same parts as the text stream, but reads the bytes of tokens:
 *
 * 1. start: the opening tag of the reasoning, or the answer. White space before the tag is not allowed, because only
 *    the tag could follow it.
 * 2. reasoning: all tokens except end tokens. Text after the closing tag in the same token must follow the rules of 3.
 * 3. gap: a bounded run of white space, then the answer.
 * 4. answer: the tokens that the grammar allows.
 */

import { assert, EngineError } from "../errors.js";
import { type Grammar, GrammarMatcher, VocabularyTrie } from "../grammar/index.js";
import { LIMITS } from "../limits.js";
import type { Markup, MessageFormat } from "./message-format.js";
import { isBlank, leadingBlank, MessageTracker, type Span } from "./message-tracker.js";

/** Tokens of a model, indexed for masks. Computed once per model; rarely used parts are computed on first use. */
export class AnswerVocabulary {
  readonly trie: VocabularyTrie;
  readonly endTokenIds: readonly number[];
  readonly format: MessageFormat;
  readonly #openers: (readonly TokenText[])[] = [];
  readonly #closers: (readonly TokenText[])[] = [];
  #afterBlank: ReadonlyMap<number | null, readonly TokenText[]> | null = null;

  /** @param tokens the bytes of each token id; null or empty for a token without text */
  constructor(tokens: readonly (Uint8Array | null)[], endTokenIds: Iterable<number>, format: MessageFormat) {
    this.trie = VocabularyTrie.build(tokens);
    this.endTokenIds = [...endTokenIds].filter((tokenId) => tokenId < tokens.length);
    this.format = format;
  }

  get #markup(): Markup {
    assert(this.format.reasoning !== null, "a model that does not reason has markup");
    return this.format.reasoning;
  }

  /** Returns tokens that continue the opening tag after its first `numRead` bytes; they may end before or after it. */
  openers(numRead: number): readonly TokenText[] {
    const rest = this.#markup.open.slice(numRead);
    return (this.#openers[numRead] ??= this.#select(
      (bytes) => bytes[0] === rest.charCodeAt(0),
      (text) => text.startsWith(rest) || rest.startsWith(text),
    ));
  }

  /** Returns tokens that complete the closing tag after its first `numRead` bytes. */
  closers(numRead: number): readonly TokenText[] {
    const { close } = this.#markup;
    const read = close.slice(0, numRead);
    const last = close.charCodeAt(close.length - 1);
    return (this.#closers[numRead] ??= this.#select(
      (bytes) => bytes.includes(last),
      (text) => (read + text).includes(close),
    ));
  }

  /** Tokens that begin with white space, by the first byte after it; null if the token is all white space. */
  get afterBlank(): ReadonlyMap<number | null, readonly TokenText[]> {
    if (this.#afterBlank !== null) return this.#afterBlank;
    const groups = new Map<number | null, TokenText[]>();
    for (const token of this.#select(
      (bytes) => isBlank(bytes[0]!),
      () => true,
    )) {
      const numBlank = leadingBlank(token.text);
      const byte = numBlank === token.text.length ? null : token.text.charCodeAt(numBlank);
      const group = groups.get(byte);
      if (group === undefined) groups.set(byte, [token]);
      else group.push(token);
    }
    return (this.#afterBlank = groups);
  }

  #select(isCandidate: (bytes: Uint8Array) => boolean, isWanted: (text: string) => boolean): TokenText[] {
    const selected: TokenText[] = [];
    for (const [tokenId, bytes] of this.trie.tokens.entries()) {
      if (bytes === null || bytes.length === 0 || !isCandidate(bytes) || this.endTokenIds.includes(tokenId)) continue;
      const text = latin1(bytes);
      if (isWanted(text)) selected.push({ tokenId, text });
    }
    return selected;
  }
}

/** A token and its bytes as text, one character per byte. */
interface TokenText {
  readonly tokenId: number;
  readonly text: string;
}

/** The token mask of one choice. */
export class AnswerMask {
  readonly #vocabulary: AnswerVocabulary;
  readonly #tracker: MessageTracker;
  /** Matches the answer after the reasoning; stays in its initial state until the answer begins. */
  #matcher: GrammarMatcher;
  /** At the start: matches the text as an answer without reasoning; null once the text cannot be one. */
  #direct: GrammarMatcher | null = null;
  /** White-space characters since the closing tag. */
  #numBlank = 0;
  /** Reused token mask, u32 [ceil(vocabulary / 32)]. */
  readonly #mask: Uint32Array;

  /** @param insideReasoning true if the prompt ends inside the reasoning */
  constructor(grammar: Grammar, vocabulary: AnswerVocabulary, insideReasoning: boolean) {
    const { trie, endTokenIds, format } = vocabulary;
    this.#vocabulary = vocabulary;
    this.#tracker = new MessageTracker(format, insideReasoning);
    this.#matcher = new GrammarMatcher(grammar, trie, endTokenIds);
    if (this.#tracker.phase === "start") this.#direct = new GrammarMatcher(grammar, trie, endTokenIds);
    this.#mask = new Uint32Array(Math.ceil(trie.tokens.length / 32));
  }

  /** True if the answer is complete and no text may follow. */
  get isFinished(): boolean {
    switch (this.#tracker.phase) {
      case "start":
        return !this.#mayOpen && this.#direct !== null && this.#direct.isFinished;
      case "reasoning":
        return false;
      case "gap":
      case "answer":
        return this.#matcher.isFinished;
    }
  }

  /**
   * Computes the mask for the next token.
   *
   * @returns u32 [ceil(vocabulary / 32)], one bit per allowed token; valid until the next call
   * @throws EngineError internal_error if no token is allowed
   */
  allowed(): Uint32Array {
    const mask = this.#computeMask();
    if (mask.some((word) => word !== 0)) return mask;
    throw new EngineError(
      "internal_error",
      "No token of this model can continue the answer in the given response_format: its vocabulary lacks bytes.",
    );
  }

  /** @param tokenId an allowed token */
  accept(tokenId: number): void {
    if (this.#vocabulary.endTokenIds.includes(tokenId)) return;
    if (this.#tracker.phase === "answer") {
      assert(this.#matcher.acceptToken(tokenId), `the grammar allows token ${tokenId}`);
      return;
    }
    const bytes = this.#vocabulary.trie.tokens[tokenId] ?? NO_BYTES;
    const isDirect = this.#direct?.acceptBytes(bytes) === true;
    const spans = this.#tracker.push(latin1(bytes));
    this.#numBlank = this.#numBlankAfter(spans);
    if (this.#tracker.phase === "start") {
      if (!isDirect) this.#direct = null;
      return;
    }
    const answer = textOf(spans, "answer");
    if (this.#direct !== null && answer !== "" && !spans.some(({ part }) => part === "markup")) {
      assert(isDirect, "the answer begins with bytes that its grammar allows");
      this.#matcher = this.#direct;
    } else if (answer !== "") {
      assert(this.#matcher.acceptBytes(bytesOf(answer)), "the answer begins with bytes that its grammar allows");
    }
    this.#direct = null;
  }

  #computeMask(): Uint32Array {
    switch (this.#tracker.phase) {
      case "start":
        return this.#startMask();
      case "reasoning":
        return this.#reasoningMask();
      case "gap":
        return this.#gapMask();
      case "answer":
        return this.#matcher.allowed();
    }
  }

  #startMask(): Uint32Array {
    const mask = this.#mask;
    if (this.#direct === null) mask.fill(0);
    else mask.set(this.#direct.allowed());
    if (!this.#mayOpen) return mask;
    for (const { tokenId, text } of this.#vocabulary.openers(this.#tracker.partial.length)) {
      setBit(mask, tokenId, this.#isLegal(text));
    }
    return mask;
  }

  #reasoningMask(): Uint32Array {
    const mask = this.#mask.fill(-1);
    for (const tokenId of this.#vocabulary.endTokenIds) setBit(mask, tokenId, false);
    for (const { tokenId, text } of this.#vocabulary.closers(this.#tracker.partial.length)) {
      if (!this.#isLegal(text)) setBit(mask, tokenId, false);
    }
    return mask;
  }

  #gapMask(): Uint32Array {
    const mask = this.#mask;
    mask.set(this.#matcher.allowed());
    for (const [byte, tokens] of this.#vocabulary.afterBlank) {
      const mayBegin = byte === null || this.#matcher.allowsBytes(Uint8Array.of(byte));
      for (const { tokenId, text } of tokens) setBit(mask, tokenId, mayBegin && this.#isLegal(text));
    }
    return mask;
  }

  /** True if the text so far is empty or a prefix of the opening tag. */
  get #mayOpen(): boolean {
    return this.#tracker.phase === "start" && this.#tracker.blank === "";
  }

  /** @param text the text of a token that opens, continues or closes the reasoning, or follows it */
  #isLegal(text: string): boolean {
    const spans = this.#tracker.peek(text);
    if (this.#numBlankAfter(spans) > LIMITS.maxBlankBeforeAnswer) return false;
    const answer = textOf(spans, "answer");
    return answer === "" || this.#matcher.allowsBytes(bytesOf(answer));
  }

  #numBlankAfter(spans: readonly Span[]): number {
    return this.#numBlank + textOf(spans, "gap").length;
  }
}

const NO_BYTES = new Uint8Array(0);

function textOf(spans: readonly Span[], wanted: Span["part"]): string {
  return spans
    .filter(({ part }) => part === wanted)
    .map(({ text }) => text)
    .join("");
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

const bytesOf = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));

function setBit(mask: Uint32Array, tokenId: number, isSet: boolean): void {
  if (isSet) mask[tokenId >> 5]! |= 1 << (tokenId & 31);
  else mask[tokenId >> 5]! &= ~(1 << (tokenId & 31));
}
