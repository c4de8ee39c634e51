/**
 * A language model without weights. Its logits are a pure function of the previous tokens, and change with any of them.
 * It reasons before some answers, spells its tags with one token or with several, splits characters into fragments,
 * ends after about twenty tokens, or a few hundred if the prompt asks for something long, and tends to close open JSON.
 * If the prompt has tools, it often calls some of them, after text or alone, and mentions calls in its reasoning.
 */

import {
  CALL_PIECES,
  CLOSE,
  END,
  OPEN,
  TOKEN_KINDS,
  TOKEN_TEXTS,
  VOCABULARY_SIZE,
  type TokenKind,
} from "./vocabulary.js";

/** State of the model after the tokens that it has read. */
export interface Hidden {
  /** Hash of all tokens, u32. */
  readonly hash: number;
  readonly phase: "prompt" | "start" | "thinking" | "answer";
  /** Number of tokens since the phase began. */
  readonly numTokens: number;
  /** The last bytes, one character per byte. */
  readonly tail: string;
  /** True if the prompt asks for something long. */
  readonly isLong: boolean;
  /** True if the prompt asks a question. */
  readonly isQuestion: boolean;
  /** True if the prompt lists tools. */
  readonly hasTools: boolean;
  /** True inside a call. */
  readonly isCalling: boolean;
  /** Number of calls that have begun. */
  readonly numCalls: number;
}

export const NOTHING_READ: Hidden = {
  hash: 0x9e3779b9,
  phase: "prompt",
  numTokens: 0,
  tail: "",
  isLong: false,
  isQuestion: false,
  hasTools: false,
  isCalling: false,
  numCalls: 0,
};

export function read(hidden: Hidden, tokenId: number): Hidden {
  const tail = (hidden.tail + TOKEN_TEXTS[tokenId]!).slice(-TAIL_LENGTH);
  const phase = nextPhase(hidden, tail);
  const isCalling = phase === "answer" && isInsideCall(tail, hidden.isCalling);
  return {
    hash: mixed(hidden.hash, tokenId + 1),
    phase,
    numTokens: phase === hidden.phase ? hidden.numTokens + 1 : 0,
    tail,
    isLong: hidden.isLong || (hidden.phase === "prompt" && /(long|story)$/i.test(tail)),
    isQuestion: hidden.isQuestion || (hidden.phase === "prompt" && /(\?|think)$/i.test(tail)),
    hasTools: hidden.hasTools || (hidden.phase === "prompt" && tail === "tools:"),
    isCalling,
    numCalls: hidden.numCalls + (isCalling && !hidden.isCalling ? 1 : 0),
  };
}

function isInsideCall(tail: string, wasInside: boolean): boolean {
  const [opened, closed] = [tail.lastIndexOf("<call>"), tail.lastIndexOf("</call>")];
  return opened === closed ? wasInside : opened > closed;
}

/** Returns the logits after a state, f32 [VOCABULARY_SIZE]. */
export function logitsOf(hidden: Hidden): Float32Array {
  const logits = new Float32Array(VOCABULARY_SIZE);
  const isInsideCharacter = numBytesMissing(hidden.tail) > 0;
  for (let tokenId = 0; tokenId < VOCABULARY_SIZE; tokenId++) {
    const kind = TOKEN_KINDS[tokenId]!;
    const noise = 2 * (mixed(hidden.hash, ~tokenId) / 2 ** 31 - 1);
    const fit = kind === "continuation" && isInsideCharacter ? (tokenId < 256 ? 5 : 12) : LIKING[kind];
    logits[tokenId] = fit + noise;
  }
  likeMarks(logits, hidden);
  if (hidden.hasTools) likeCalls(logits, hidden);
  return logits;
}

const LIKING: Readonly<Record<TokenKind, number>> = {
  word: 2,
  json: 1.5,
  tag: -6,
  letter: -1,
  mark: -3,
  digit: -1.5,
  continuation: -9,
  call: -30,
  other: -9,
};

/** Adjusts the logits of the end token, of tags, and of tokens that complete a partial tag. */
function likeMarks(logits: Float32Array, { phase, numTokens, tail, isLong, isQuestion }: Hidden): void {
  const like = (text: string, amount: number): void => {
    const tokenId = TOKEN_TEXTS.indexOf(text);
    logits[tokenId]! += amount - LIKING.tag;
  };
  for (const text of ['"', '"}', '"]', "}", "]"]) logits[TOKEN_TEXTS.indexOf(text)]! += 1.5;
  if (phase === "answer" || phase === "start") logits[END]! += isLong ? 0.02 * numTokens - 3 : 0.4 * numTokens + 4;
  if (phase === "start" && numTokens === 0) {
    logits[OPEN]! += isQuestion ? 15 : 12.5;
    like("<th", isQuestion ? 6 : 3);
    for (const text of ["{", '{"', "["]) logits[TOKEN_TEXTS.indexOf(text)]! += 3.5;
  }
  if (phase === "thinking") {
    logits[CLOSE]! += 1.3 * numTokens + 3;
    like("</th", 1.3 * numTokens - 3);
    like("</", 1.3 * numTokens - 3);
  }
  if (/<\/?th$/.test(tail)) for (const text of ["ink>", "ink>\n\n"]) like(text, 16);
  if (tail.endsWith("</")) like("think", 16);
  if (tail.endsWith("</think")) for (const text of [">", ">\n"]) like(text, 22);
  if (tail.endsWith("</think>")) logits[TOKEN_TEXTS.indexOf("\n\n")]! += 4;
}

/** Adjusts the logits of the tokens of calls, and of the end token after a call. */
function likeCalls(logits: Float32Array, { phase, numTokens, tail, isCalling, numCalls }: Hidden): void {
  const like = (text: string, logit: number): void => void (logits[TOKEN_TEXTS.indexOf(text)]! += logit - LIKING.call);
  if (phase === "thinking") like("<call>", 4);
  if (phase === "start" || (phase === "answer" && !isCalling)) {
    const isFirst = numTokens === 0;
    like("<call>", isFirst ? 6.5 : -2);
    like("<ca", isFirst ? 6 : -2);
    if (numCalls === 0) like("\n<call>", isFirst ? 0 : 0.4 * numTokens - 2);
  }
  if (isCalling) for (const text of CALL_PIECES.slice(5)) like(text, 1.5);
  if (tail.endsWith("<ca")) for (const text of ["ll>", 'll>{"']) logits[TOKEN_TEXTS.indexOf(text)]! += 40;
  if (!tail.endsWith("</call>")) return;
  logits[END] = 10;
  like("\n<call>", 11 - 2 * numCalls);
  logits[TOKEN_TEXTS.indexOf("\n")] = 11 - 2 * numCalls;
}

function nextPhase({ phase }: Hidden, tail: string): Hidden["phase"] {
  if (tail.endsWith("\uFFFF")) return "prompt";
  switch (phase) {
    case "prompt":
      return tail.endsWith("\uFFFFassistant: ") ? "start" : "prompt";
    case "start":
      if (/\uFFFFassistant: \s*<think>\s*$/.test(tail)) return "thinking";
      return /\uFFFFassistant: [ \n\t\r]*(<t?h?i?n?k?)?$/.test(tail) ? "start" : "answer";
    case "thinking":
      return /<\/think>\s*$/.test(tail) ? "answer" : "thinking";
    case "answer":
      return "answer";
  }
}

const TAIL_LENGTH = 40;

/** Returns the number of missing bytes of an incomplete character at the end. */
function numBytesMissing(tail: string): number {
  for (let back = 1; back <= Math.min(3, tail.length); back++) {
    const byte = tail.charCodeAt(tail.length - back);
    if (byte >= 0x80 && byte < 0xc0) continue;
    const length =
      byte >= 0xf0 && byte < 0xff ? 4 : byte >= 0xe0 && byte < 0xf0 ? 3 : byte >= 0xc0 && byte < 0xe0 ? 2 : 1;
    return Math.max(0, length - back);
  }
  return 0;
}

/** Mixes one word into a hash with the functions of MurmurHash3. Returns a u32. */
export function mixed(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  let h = hash ^ k;
  h = Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
