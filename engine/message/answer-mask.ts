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
import { isBlank, MessageTracker, type Span } from "./message-tracker.js";

/** Tokens of a model, indexed for masks. Build it once for each model. */
export class AnswerVocabulary {
  readonly trie: VocabularyTrie;
  readonly endTokenIds: readonly number[];
  readonly format: MessageFormat;
  /**
   * By the number of bytes of the opening tag that were read: tokens that continue the tag; they may end before or
   * after it. Empty for a model that does not reason, like the two tables below.
   */
  readonly openers: readonly (readonly TokenText[])[];
  /** By the number of bytes of the closing tag that were read: tokens that complete the tag. */
  readonly closers: readonly (readonly TokenText[])[];
  /** Tokens that begin with white space, by the first byte after it; null if the token is all white space. */
  readonly afterBlank: ReadonlyMap<number | null, readonly number[]>;

  /** @param tokens the bytes of each token id; null or empty for a token without text */
  constructor(tokens: readonly (Uint8Array | null)[], endTokenIds: Iterable<number>, format: MessageFormat) {
    this.trie = VocabularyTrie.build(tokens);
    this.endTokenIds = [...endTokenIds].filter((tokenId) => tokenId < tokens.length);
    this.format = format;
    const { openers, closers, afterBlank } = taggedTokens(tokens, new Set(this.endTokenIds), format.reasoning);
    this.openers = openers;
    this.closers = closers;
    this.afterBlank = afterBlank;
  }
}

function taggedTokens(
  tokens: readonly (Uint8Array | null)[],
  endTokenIds: ReadonlySet<number>,
  markup: Markup | null,
): Pick<AnswerVocabulary, "openers" | "closers" | "afterBlank"> {
  const afterBlank = new Map<number | null, number[]>();
  if (markup === null) return { openers: [], closers: [], afterBlank };
  const { open, close } = markup;
  const openers = Array.from(open, (): TokenText[] => []);
  const closers = Array.from(close, (): TokenText[] => []);
  const last = close.charCodeAt(close.length - 1);
  for (const [tokenId, bytes] of tokens.entries()) {
    if (bytes === null || bytes.length === 0 || endTokenIds.has(tokenId)) continue;
    for (let numRead = 0; numRead < open.length; numRead++)
      if (agrees(bytes, open, numRead)) openers[numRead]!.push({ tokenId, text: latin1(bytes) });
    if (bytes.includes(last)) {
      const text = latin1(bytes);
      for (let numRead = 0; numRead < close.length; numRead++)
        if ((close.slice(0, numRead) + text).includes(close)) closers[numRead]!.push({ tokenId, text });
    }
    if (!isBlank(bytes[0]!)) continue;
    let numBlank = 1;
    while (numBlank < bytes.length && isBlank(bytes[numBlank]!)) numBlank++;
    const byte = bytes[numBlank] ?? null;
    const group = afterBlank.get(byte);
    if (group === undefined) afterBlank.set(byte, [tokenId]);
    else group.push(tokenId);
  }
  return { openers, closers, afterBlank };
}

/** True if the bytes are equal to the text from `start` on, as far as both go. */
function agrees(bytes: Uint8Array, text: string, start: number): boolean {
  const length = Math.min(bytes.length, text.length - start);
  for (let index = 0; index < length; index++) if (bytes[index] !== text.charCodeAt(start + index)) return false;
  return true;
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
  /** Computes the mask of the next token, except in the phase `answer`; null until that begins. */
  #work: MaskWork | null = null;
  #isReady = false;

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
   * Computes the mask of the next token until `isOver` returns true. It can be called again, and `allowed` computes
   * what is missing. The mask does not depend on it.
   * @returns true once the mask is ready
   */
  prepare(isOver: () => boolean): boolean {
    if (this.#tracker.phase === "answer") return this.#matcher.prepare(isOver);
    this.#work ??= this.#computeMask();
    while (!this.#isReady) {
      if (isOver()) return false;
      this.#isReady = this.#work.next().done === true;
    }
    return true;
  }

  /**
   * Returns the mask for the next token.
   *
   * @returns u32 [ceil(vocabulary / 32)], one bit per allowed token; valid until the next token is accepted
   * @throws EngineError internal_error if no token is allowed
   */
  allowed(): Uint32Array {
    this.prepare(NEVER);
    const mask = this.#tracker.phase === "answer" ? this.#matcher.allowed() : this.#mask;
    if (mask.some((word) => word !== 0)) return mask;
    throw new EngineError(
      "internal_error",
      "No token of this model can continue the answer in the given response_format: its vocabulary lacks bytes.",
    );
  }

  /** @param tokenId an allowed token */
  accept(tokenId: number): void {
    if (this.#vocabulary.endTokenIds.includes(tokenId)) return;
    this.#work = null;
    this.#isReady = false;
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

  /** Writes `#mask`. It pauses after each piece of work that may take long. */
  *#computeMask(): MaskWork {
    switch (this.#tracker.phase) {
      case "start":
        return yield* this.#startMask();
      case "reasoning":
        return yield* this.#reasoningMask();
      case "gap":
        return yield* this.#gapMask();
      case "answer":
        return;
    }
  }

  *#startMask(): MaskWork {
    const mask = this.#mask;
    if (this.#direct === null) mask.fill(0);
    else mask.set(yield* matched(this.#direct));
    if (!this.#mayOpen) return;
    yield* this.#checkEach(this.#vocabulary.openers[this.#tracker.partial.length]!);
  }

  *#reasoningMask(): MaskWork {
    const mask = this.#mask.fill(-1);
    for (const tokenId of this.#vocabulary.endTokenIds) setBit(mask, tokenId, false);
    yield* this.#checkEach(this.#vocabulary.closers[this.#tracker.partial.length]!);
  }

  *#checkEach(tokens: readonly TokenText[]): MaskWork {
    for (const { tokenId, text } of tokens) {
      setBit(this.#mask, tokenId, this.#isLegal(text));
      yield;
    }
  }

  *#gapMask(): MaskWork {
    const mask = this.#mask;
    const { trie, afterBlank } = this.#vocabulary;
    mask.set(yield* matched(this.#matcher));
    for (const [byte, tokenIds] of afterBlank) {
      const mayBegin = byte === null || this.#matcher.allowsBytes(Uint8Array.of(byte));
      yield;
      for (const tokenId of tokenIds) {
        setBit(mask, tokenId, mayBegin && this.#isLegal(latin1(trie.tokens[tokenId]!)));
        if (mayBegin) yield;
      }
    }
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

/** Work on a mask, in pieces. */
type MaskWork<Result = void> = Generator<undefined, Result>;

/** Returns the mask of a grammar alone. */
function* matched(matcher: GrammarMatcher): MaskWork<Uint32Array> {
  while (!matcher.prepare(afterOnePiece())) yield;
  return matcher.allowed();
}

function afterOnePiece(): () => boolean {
  let numPieces = 0;
  return () => numPieces++ > 0;
}

const NEVER = (): boolean => false;

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
