/**
 * Which tokens a choice may draw next when its answer has a grammar (contract, sections 6 and 7). Like text-stream.ts it
 * knows where the answer begins, but before a token is drawn, and from bytes: tags and white space are ASCII.
 *
 * 1. start: the opening tag, or the answer. White space before the tag is not allowed: only the tag could follow it.
 * 2. reasoning: every token but an end token. One that closes the reasoning goes on as the gap does.
 * 3. gap: a bounded run of white space, then the answer.
 * 4. answer: what the grammar allows.
 */

import { assert, EngineError } from "../errors.js";
import { type Grammar, GrammarMatcher, VocabularyTrie } from "../grammar/index.js";
import { LIMITS } from "../limits.js";
import type { Markup } from "./message-format.js";
import type { Reasoning } from "./reasoning-parser.js";

/** A model's tokens, as grammars need them. Worked out once, the rarer parts when they are first asked for. */
export class AnswerVocabulary {
  readonly trie: VocabularyTrie;
  readonly endTokenIds: readonly number[];
  readonly #tags: Markup | null;
  readonly #openers: (readonly TokenText[])[] = [];
  readonly #closers: (readonly TokenText[])[] = [];
  #afterBlank: ReadonlyMap<number | null, readonly TokenText[]> | null = null;

  /** @param tokens the bytes of each token id; null or empty: a token without text */
  constructor(tokens: readonly (Uint8Array | null)[], endTokenIds: Iterable<number>, tags: Markup | null) {
    this.trie = VocabularyTrie.build(tokens);
    this.endTokenIds = [...endTokenIds].filter((tokenId) => tokenId < tokens.length);
    this.#tags = tags;
  }

  get tags(): Markup {
    assert(this.#tags !== null, "a model that does not reason has tags");
    return this.#tags;
  }

  /** Tokens that go on with the opening tag, of which so many bytes are there: through its end, or a part of the way. */
  openers(numThere: number): readonly TokenText[] {
    const rest = this.tags.open.slice(numThere);
    return (this.#openers[numThere] ??= this.#select(
      (bytes) => bytes[0] === rest.charCodeAt(0),
      (text) => text.startsWith(rest) || rest.startsWith(text),
    ));
  }

  /** Tokens with which the closing tag is complete, of which so many bytes are there. */
  closers(numThere: number): readonly TokenText[] {
    const { close } = this.tags;
    const there = close.slice(0, numThere);
    const last = close.charCodeAt(close.length - 1);
    return (this.#closers[numThere] ??= this.#select(
      (bytes) => bytes.includes(last),
      (text) => (there + text).includes(close),
    ));
  }

  /** Tokens that begin with white space, by the byte that ends it; null: nothing but white space. */
  get afterBlank(): ReadonlyMap<number | null, readonly TokenText[]> {
    if (this.#afterBlank !== null) return this.#afterBlank;
    const groups = new Map<number | null, TokenText[]>();
    for (const token of this.#select(
      (bytes) => isBlank(bytes[0]!),
      () => true,
    )) {
      const numBlank = numLeadingBlank(token.text);
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

/** A token and its bytes, one character for each. */
interface TokenText {
  readonly tokenId: number;
  readonly text: string;
}

type State =
  | { readonly phase: "start"; readonly head: string }
  | { readonly phase: "reasoning"; readonly partial: string }
  | { readonly phase: "gap"; readonly numBlank: number }
  | { readonly phase: "answer" };

/** One choice's. */
export class AnswerGrammar {
  readonly #vocabulary: AnswerVocabulary;
  /** Of the answer behind the reasoning, where there is one: at its beginning until the answer begins. */
  #matcher: GrammarMatcher;
  /** At the start: of an answer without reasoning; null once the text is none. */
  #direct: GrammarMatcher | null = null;
  #state: State;
  /** u32 [ceil(vocabulary / 32)] */
  readonly #mask: Uint32Array;

  /** @param reasoning null for a model that does not reason: the grammar applies from the first token */
  constructor(grammar: Grammar, vocabulary: AnswerVocabulary, reasoning: Reasoning | null) {
    const { trie, endTokenIds } = vocabulary;
    this.#vocabulary = vocabulary;
    this.#matcher = new GrammarMatcher(grammar, trie, endTokenIds);
    this.#mask = new Uint32Array(Math.ceil(trie.tokens.length / 32));
    if (reasoning === null) {
      this.#state = { phase: "answer" };
    } else if (reasoning.startsInside) {
      this.#state = { phase: "reasoning", partial: "" };
    } else {
      this.#state = { phase: "start", head: "" };
      this.#direct = new GrammarMatcher(grammar, trie, endTokenIds);
    }
  }

  /** The answer is whole and nothing may follow. */
  get isFinished(): boolean {
    switch (this.#state.phase) {
      case "start":
        return !this.#mayOpen && this.#direct !== null && this.#direct.isFinished;
      case "reasoning":
        return false;
      default:
        return this.#matcher.isFinished;
    }
  }

  /**
   * @returns u32 [ceil(vocabulary / 32)]: the tokens that may come next, bit by bit; valid until the next call
   * @throws EngineError internal_error if there are none
   */
  allowed(): Uint32Array {
    const mask = this.#computeMask();
    if (mask.some((word) => word !== 0)) return mask;
    throw new EngineError(
      "internal_error",
      "No token of this model goes on with an answer as response_format asks for: its vocabulary lacks bytes.",
    );
  }

  /** @param tokenId one of the allowed ones */
  accept(tokenId: number): void {
    if (this.#vocabulary.endTokenIds.includes(tokenId)) return;
    const bytes = this.#vocabulary.trie.tokens[tokenId] ?? NO_BYTES;
    switch (this.#state.phase) {
      case "start":
        return this.#start(this.#state.head + latin1(bytes), bytes);
      case "reasoning":
        return this.#reason(this.#state.partial + latin1(bytes));
      case "gap":
        return this.#leaveGap(this.#state.numBlank, latin1(bytes));
      case "answer":
        return this.#matcher.acceptToken(tokenId);
    }
  }

  #computeMask(): Uint32Array {
    const state = this.#state;
    switch (state.phase) {
      case "start":
        return this.#startMask(state.head);
      case "reasoning":
        return this.#reasoningMask(state.partial);
      case "gap":
        return this.#gapMask(state.numBlank);
      case "answer":
        return this.#matcher.allowed();
    }
  }

  #startMask(head: string): Uint32Array {
    const mask = this.#mask;
    if (this.#direct === null) mask.fill(0);
    else mask.set(this.#direct.allowed());
    if (!this.#mayOpen) return mask;
    const { open } = this.#vocabulary.tags;
    for (const { tokenId, text } of this.#vocabulary.openers(head.length)) {
      const reasoned = (head + text).slice(open.length);
      setBit(mask, tokenId, this.#mayReason(reasoned));
    }
    return mask;
  }

  #reasoningMask(partial: string): Uint32Array {
    const mask = this.#mask.fill(-1);
    for (const tokenId of this.#vocabulary.endTokenIds) setBit(mask, tokenId, false);
    for (const { tokenId, text } of this.#vocabulary.closers(partial.length)) {
      if (!this.#mayReason(partial + text)) setBit(mask, tokenId, false);
    }
    return mask;
  }

  #gapMask(numBlank: number): Uint32Array {
    const mask = this.#mask;
    mask.set(this.#matcher.allowed());
    for (const [byte, tokens] of this.#vocabulary.afterBlank) {
      const mayBegin = byte === null || this.#matcher.allowsBytes(Uint8Array.of(byte));
      for (const { tokenId, text } of tokens) setBit(mask, tokenId, mayBegin && this.#mayFollowTag(numBlank, text));
    }
    return mask;
  }

  /** Nothing but a beginning of the opening tag has come. */
  get #mayOpen(): boolean {
    return this.#state.phase === "start" && this.#vocabulary.tags.open.startsWith(this.#state.head);
  }

  /** @param text of the reasoning, from a beginning of the closing tag on */
  #mayReason(text: string): boolean {
    const { close } = this.#vocabulary.tags;
    const index = text.indexOf(close);
    return index < 0 || this.#mayFollowTag(0, text.slice(index + close.length));
  }

  /** @param numBlank white space between the closing tag and `text` */
  #mayFollowTag(numBlank: number, text: string): boolean {
    const numMore = numLeadingBlank(text);
    if (numMore > 0 && numBlank + numMore > LIMITS.blankBeforeAnswerMax) return false;
    return numMore === text.length || this.#matcher.allowsBytes(bytesOf(text.slice(numMore)));
  }

  #start(head: string, bytes: Uint8Array): void {
    const { open } = this.#vocabulary.tags;
    const body = head.slice(numLeadingBlank(head));
    if (body.startsWith(open)) {
      this.#direct = null;
      return this.#reason(body.slice(open.length));
    }
    if (this.#direct?.acceptBytes(bytes) !== true) this.#direct = null;
    this.#state = { phase: "start", head };
    if (open.startsWith(body)) return;
    assert(this.#direct !== null, "the answer begins with bytes that its grammar allows");
    this.#matcher = this.#direct;
    this.#state = { phase: "answer" };
  }

  #reason(text: string): void {
    const { close } = this.#vocabulary.tags;
    const index = text.indexOf(close);
    if (index >= 0) return this.#leaveGap(0, text.slice(index + close.length));
    let numHeld = Math.min(text.length, close.length - 1);
    while (!close.startsWith(text.slice(text.length - numHeld))) numHeld--;
    this.#state = { phase: "reasoning", partial: text.slice(text.length - numHeld) };
  }

  #leaveGap(numBlank: number, text: string): void {
    const numMore = numLeadingBlank(text);
    this.#state = { phase: "gap", numBlank: numBlank + numMore };
    if (numMore === text.length) return;
    assert(
      this.#matcher.acceptBytes(bytesOf(text.slice(numMore))),
      "the answer begins with bytes that its grammar allows",
    );
    this.#state = { phase: "answer" };
  }
}

const NO_BYTES = new Uint8Array(0);

/** White space as the contract has it around the reasoning. */
const isBlank = (byte: number): boolean => byte === 0x20 || byte === 0x09 || byte === 0x0d || byte === 0x0a;

function numLeadingBlank(text: string): number {
  let length = 0;
  while (length < text.length && isBlank(text.charCodeAt(length))) length++;
  return length;
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
