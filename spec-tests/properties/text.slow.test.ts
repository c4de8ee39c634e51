/**
 * Properties of the text of one choice (sections 5 and 6 of SPEC.md): decoding of tokens, stop sequences, text that a
 * stream holds back, and reasoning. Tokens split text and code points at any place.
 */

import fc from "fast-check";
import { describe, expect } from "vitest";

import { PLAIN, THINK, THINKING } from "../../engine/message/message-format.js";
import { StreamingDetokenizer } from "../../engine/text/streaming-detokenizer.js";
import { TextStream } from "../../engine/message/text-stream.js";
import { Tokenizer } from "../../engine/text/tokenizer.js";
import { byteTokenizerJson } from "../fixtures/byte-tokenizer.js";
import { law } from "./law.js";

const END = 256;
const encoded = (text: string): number[] => [...new TextEncoder().encode(text)];
const words = [
  "<think>",
  "</think>",
  "<thi",
  "nk>",
  "</th",
  "ink>a",
  "</",
  "stop",
  "st",
  "op",
  "aa",
  "\n\n",
  "é",
  "b</think>\nst",
];
/** Tokens with the end of one code point and the beginning of another. */
const fragments = [
  [0xe2, 0x82],
  [0xac, 0xf0, 0x9f],
  [0x98, 0x8a, 0xc3],
  [0xa9, 0x61],
];
const wide = [...words.map(encoded), ...fragments].map((bytes) => Uint8Array.from(bytes));
const tokenizer = new Tokenizer(byteTokenizerJson(wide), { eos_token: "<|end|>" });

const { open: OPEN, close: CLOSE } = THINK;
const BLANKS = [" ", "\t", "\r", "\n"];

interface Options {
  readonly stop?: readonly string[];
  readonly includeStop?: boolean;
  readonly separateReasoning?: boolean;
  /** null: the model does not reason. */
  readonly startsInside?: boolean | null;
}

/** Runs the text pipeline. Returns the choice and the text that was emitted after each token. */
function run(tokenIds: readonly number[], options: Options = {}) {
  const { stop = [], includeStop = false, separateReasoning = false, startsInside = null } = options;
  const start = { format: startsInside === null ? PLAIN : THINKING, insideReasoning: startsInside === true };
  const stream = new TextStream({
    vocabulary: tokenizer,
    promptIds: [],
    stop,
    includeStop,
    ...start,
    separateReasoning,
  });
  const after: { reasoning: string; content: string }[] = [];
  const given = { reasoning: "", content: "" };
  let stopped: string | null = null;
  for (const tokenId of tokenIds) {
    const delta = stream.push(tokenId);
    given.reasoning += delta.reasoning;
    given.content += delta.content;
    after.push({ ...given });
    stopped = delta.stopped;
    if (stopped !== null) break;
  }
  if (stopped === null) {
    const last = stream.finish();
    given.reasoning += last.reasoning;
    given.content += last.content;
    stopped = last.stopped;
  }
  const { hasReasoning, numReasoningTokens } = stream;
  return { answer: { ...given, stopped, hasReasoning }, after, numReasoningTokens };
}

/** Bytes of tokens, by definition of the tokenizer: ids up to 255 are the bytes, the end token has none. */
const bytesOf = (tokenIds: readonly number[]): number[] =>
  tokenIds.flatMap((tokenId) => (tokenId < END ? [tokenId] : tokenId === END ? [] : [...wide[tokenId - END - 1]!]));
const decoded = (bytes: readonly number[], options = {}): string =>
  new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes), options);
const textOf = (tokenIds: readonly number[]): string => decoded(bytesOf(tokenIds));

const anyToken = fc.integer({ min: 0, max: tokenizer.vocabSize - 1 });
const wideToken = fc.integer({ min: 257, max: tokenizer.vocabSize - 1 });
const usual = fc.oneof({ arbitrary: wideToken, weight: 4 }, fc.constantFrom(...encoded("aabt<> \n\t\r/")));
const outputs = fc.array(fc.oneof({ arbitrary: usual, weight: 9 }, anyToken), { maxLength: 25 });
const joined = (...parts: string[]): fc.Arbitrary<string> =>
  fc.array(fc.constantFrom(...parts), { maxLength: 12 }).map((all) => all.join(""));
const texts = joined(OPEN, CLOSE, "</thi", "<", ">", " ", "\n", "stop", "st", "op", "a", "é", "€", "😊");
/** Reasoning with whitespace that the specification trims (four characters) and whitespace that it does not. */
const reasonings = joined("a", "stop", "</thi", "<think>", " ", "\n", "\t", "\r", "\u00a0", "\v", "é");
const stop = fc.constantFrom("stop", "op", "\n", "\n\n", "é", "opa", CLOSE, "aa", "aaa", "aab", "\uFFFD", "sto", "😊");
const stops = fc.array(stop, { maxLength: 4 });
const settings = fc.record({
  stop: stops,
  includeStop: fc.boolean(),
  separateReasoning: fc.boolean(),
  startsInside: fc.constantFrom(null, false, true),
});

/** Returns the longest suffix of `text` that is a proper prefix of one of `phrases`. */
function endThatBegins(text: string, phrases: readonly string[]): string {
  for (let start = 0; start < text.length; start++) {
    const end = text.slice(start);
    if (phrases.some((phrase) => phrase.startsWith(end) && phrase !== end)) return end;
  }
  return "";
}

describe("text from tokens", () => {
  /** Bytes at the ends of the ranges in the table of valid UTF-8. */
  const borderByte = fc.constantFrom(
    0x41,
    0x80,
    0xbf,
    0xc2,
    0xe0,
    0xa0,
    0xed,
    0x9f,
    0xef,
    0xbb,
    0xbf,
    0xf0,
    0x90,
    0xf4,
    0x8f,
  );

  law(
    "TS-5.1",
    "is the decoding of their bytes; special tokens have none",
    fc.property(outputs, (ids) => {
      expect(run(ids).answer.content).toBe(textOf(ids));
      expect(run(ids.flatMap((id) => [id, END])).answer.content).toBe(textOf(ids));
    }),
  );

  law(
    "TS-5.1",
    "continues the prompt: prompt and output together are the decoding of both",
    fc.property(outputs, outputs, (prompt, output) => {
      const stream = new StreamingDetokenizer(tokenizer, prompt);
      const text = output.map((tokenId) => stream.push(tokenId)).join("") + stream.finish();
      const both = textOf([...prompt, ...output]);
      // A code point that is split between both belongs to the output. If it stays incomplete, its U+FFFD belongs to
      // the prompt.
      const before = both.startsWith(textOf(prompt)) ? textOf(prompt) : textOf(prompt).slice(0, -1);
      expect(before + text).toBe(both);
    }),
  );

  law(
    "TS-5.2",
    "has U+FFFD for each maximal subpart of invalid UTF-8, also if tokens split it",
    fc.property(fc.array(fc.oneof(borderByte, fc.nat(255)), { maxLength: 12 }), (bytes) => {
      expect(run(bytes).answer.content).toBe(decoded(bytes));
    }),
    { numRuns: 1000 },
  );

  law(
    "TS-5.6",
    "is emitted with the token that completes it: only incomplete code points are held back",
    fc.property(outputs, (ids) => {
      const { after } = run(ids);
      for (const [index, { content }] of after.entries()) {
        expect(content).toBe(decoded(bytesOf(ids.slice(0, index + 1)), { stream: true }));
      }
    }),
  );

  law(
    "TS-4.5",
    "a token has its bytes, and their decoding as text with U+FFFD for fragments; the text of a special token is its name",
    fc.property(anyToken, (tokenId) => {
      expect([...tokenizer.tokenBytes(tokenId)]).toEqual(bytesOf([tokenId]));
      expect(tokenizer.tokenText(tokenId)).toBe(tokenId === END ? "<|end|>" : textOf([tokenId]));
    }),
  );

  law(
    "TS-4.9",
    "the bytes of the tokens are those of the content if they are valid UTF-8",
    fc.property(outputs, (ids) => {
      const { content } = run(ids).answer;
      fc.pre(!content.includes("\uFFFD"));
      expect(encoded(content)).toEqual(bytesOf(ids));
    }),
  );

  law(
    "TS-8.14",
    "decoding an encoded text returns the text",
    fc.property(fc.array(fc.oneof(texts, fc.string({ unit: "binary" }))), (parts) => {
      const text = parts.join("");
      fc.pre(!/\p{Surrogate}|<\|end\|>/u.test(text));
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    }),
  );
});

describe("stop sequences", () => {
  law(
    "TS-5.3",
    "end the text at the first character that completes one, wherever tokens split it",
    fc.property(outputs, stops, (ids, stop) => {
      const { content, stopped } = run(ids, { stop, includeStop: true }).answer;
      const text = textOf(ids);
      expect(text.startsWith(content)).toBe(true);
      const isWithout = (part: string): boolean => stop.every((sequence) => !part.includes(sequence));
      if (stopped === null) expect([content, isWithout(content)]).toEqual([text, true]);
      else expect([content.endsWith(stopped), isWithout(content.slice(0, -1))]).toEqual([true, true]);
    }),
    { numRuns: 1000 },
  );

  law(
    "TS-5.3",
    "the text does not depend on how tokens split it",
    fc.property(outputs, settings, (ids, options) => {
      expect(run(ids, options).answer).toEqual(run(bytesOf(ids), options).answer);
    }),
    { numRuns: 1000 },
  );

  law(
    "TS-5.3",
    "their order, duplicates and sequences that do not occur have no effect",
    fc.property(outputs, settings, (ids, options) => {
      const { answer } = run(ids, options);
      expect(run(ids, { ...options, stop: options.stop.toReversed() }).answer).toEqual(answer);
      expect(run(ids, { ...options, stop: [...options.stop, ...options.stop] }).answer).toEqual(answer);
      expect(run(ids, { ...options, stop: [...options.stop, "no such text"] }).answer).toEqual(answer);
    }),
  );

  law(
    "TS-5.4",
    "the longest one counts if one character completes several",
    fc.property(outputs, stops, (ids, stop) => {
      const { content, stopped } = run(ids, { stop, includeStop: true }).answer;
      fc.pre(stopped !== null);
      const completed = stop.filter((sequence) => content.endsWith(sequence));
      expect(stopped!.length).toBe(Math.max(...completed.map(({ length }) => length)));
    }),
  );

  law(
    "TS-5.5",
    "are kept or removed without any other text",
    fc.property(outputs, settings, (ids, options) => {
      const kept = run(ids, { ...options, includeStop: true }).answer;
      const removed = run(ids, { ...options, includeStop: false }).answer;
      expect({ ...removed, content: removed.content + (removed.stopped ?? "") }).toEqual(kept);
    }),
  );

  law(
    "TS-5.6",
    "hold back the longest suffix of the text that is the beginning of one, and no more",
    fc.property(outputs, stops, (ids, stop) => {
      const { after, answer } = run(ids, { stop });
      const numWhole = answer.stopped === null ? after.length : after.length - 1;
      for (const [index, { content }] of after.slice(0, numWhole).entries()) {
        const text = run(ids.slice(0, index + 1)).after.at(-1)!.content;
        expect(content + endThatBegins(text, stop)).toBe(text);
      }
    }),
    { numRuns: 1000 },
  );

  law(
    "TS-5.7",
    "held-back text is emitted at the end, exactly once",
    fc.property(outputs, settings, (ids, options) => {
      const plain = run(ids, { ...options, stop: [] });
      const { answer } = run(ids, options);
      if (answer.stopped === null) expect(answer).toEqual(plain.answer);
      else expect(plain.answer.content.startsWith(answer.content)).toBe(true);
    }),
  );

  law(
    "TS-5.8",
    "apply only to the answer: reasoning does not change where it ends",
    fc.property(reasonings, joined(...BLANKS), texts, settings, (reasoning, gap, text, options) => {
      fc.pre(!/^[ \t\r\n]/.test(text) && !reasoning.includes(CLOSE));
      const alone = run(encoded(text), { ...options, startsInside: null }).answer;
      const startsInside = options.startsInside ?? false;
      const before = (startsInside ? "" : OPEN) + reasoning + CLOSE + gap;
      const { answer } = run(encoded(before + text), { ...options, startsInside });
      expect(answer.stopped).toBe(alone.stopped);
      expect(answer.content).toBe(
        options.separateReasoning ? alone.content : (startsInside ? OPEN : "") + before + alone.content,
      );
    }),
    { numRuns: 1000 },
  );
});

describe("reasoning", () => {
  interface Parts {
    readonly before: string;
    readonly inside: string;
    readonly text: string;
    readonly startsInside: boolean;
  }
  const marked: fc.Arbitrary<Parts> = fc.record({
    before: joined(...BLANKS),
    inside: reasonings,
    text: texts,
    startsInside: fc.boolean(),
  });
  /** Returns the output with its tags, without the opening tag if the template has written it. */
  const outputOf = ({ before, inside, text, startsInside }: Parts): number[] =>
    encoded(`${startsInside ? "" : before + OPEN}${inside}${CLOSE}${text}`);
  const trimmed = (text: string): string => text.replace(/^[ \t\r\n]+/, "").replace(/[ \t\r\n]+$/, "");

  law(
    "TS-6.4",
    "is trimmed if it is separate, and the answer has no leading whitespace",
    fc.property(marked, (parts) => {
      const { answer } = run(outputOf(parts), { separateReasoning: true, startsInside: parts.startsInside });
      const content = parts.text.replace(/^[ \t\r\n]+/, "");
      expect(answer).toEqual({ reasoning: trimmed(parts.inside), content, stopped: null, hasReasoning: true });
    }),
    { numRuns: 1000 },
  );

  law(
    "TS-6.5",
    "nothing is missing if it is part of the content, and the template's opening tag comes first",
    fc.property(outputs, fc.boolean(), (ids, startsInside) => {
      const { answer } = run(ids, { separateReasoning: false, startsInside });
      expect(answer).toMatchObject({ reasoning: "", content: (startsInside ? OPEN : "") + textOf(ids) });
    }),
  );

  law(
    "TS-6.2",
    "exists only if the template opened it or the output begins with the opening tag",
    fc.property(outputs, settings, (ids, options) => {
      const { answer, numReasoningTokens } = run(ids, options);
      const isOpened = options.startsInside === true || /^[ \t\r\n]*<think>/.test(textOf(ids));
      expect(answer.hasReasoning).toBe(options.startsInside !== null && isOpened);
      if (answer.hasReasoning) return;
      expect(answer).toEqual(run(ids, { ...options, startsInside: null }).answer);
      expect([answer.reasoning, numReasoningTokens]).toEqual(["", 0]);
    }),
    { numRuns: 1000 },
  );

  law(
    "TS-5.6",
    "only text that may precede or become an opening tag is held back",
    fc.property(outputs, (ids) => {
      const { answer, after } = run(ids, { startsInside: false });
      fc.pre(!answer.hasReasoning);
      for (const [index, { content }] of after.entries()) {
        const text = decoded(bytesOf(ids.slice(0, index + 1)), { stream: true });
        expect(content).toBe(OPEN.startsWith(text.replace(/^[ \t\r\n]+/, "")) ? "" : text);
      }
    }),
    { numRuns: 1000 },
  );

  law(
    "TS-6.6",
    "is the complete output if it is unfinished, without a partial closing tag",
    fc.property(reasonings, fc.nat(CLOSE.length - 1), (inside, numCut) => {
      const held = CLOSE.slice(0, numCut);
      fc.pre(endThatBegins(inside + held, [CLOSE]) === held);
      const { answer, after, numReasoningTokens } = run(encoded(inside + held), {
        separateReasoning: true,
        startsInside: true,
      });
      expect(answer).toEqual({ reasoning: trimmed(inside), content: "", stopped: null, hasReasoning: true });
      expect(numReasoningTokens).toBe(after.length);
    }),
  );

  law(
    "TS-6.7",
    "includes in its token count the token that completes the closing tag",
    fc.property(outputs, fc.boolean(), fc.boolean(), (ids, startsInside, separateReasoning) => {
      const { answer, numReasoningTokens } = run(ids, { startsInside, separateReasoning });
      const isClosed = (count: number): boolean => {
        const text = textOf(ids.slice(0, count));
        return text.includes(CLOSE, startsInside ? 0 : text.indexOf(OPEN) + OPEN.length);
      };
      const closing = [...ids.keys()].find((index) => isClosed(index + 1));
      expect(numReasoningTokens).toBe(answer.hasReasoning ? (closing ?? ids.length - 1) + 1 : 0);
    }),
    { numRuns: 1000 },
  );

  law(
    "TS-6.8",
    "emits no part of a tag if it is separate, and nothing is held back once the answer has begun",
    fc.property(marked, (parts) => {
      const { answer, after } = run(outputOf(parts), { separateReasoning: true, startsInside: parts.startsInside });
      const text = encoded(parts.text.replace(/^[ \t\r\n]+/, ""));
      for (const [index, given] of after.entries()) {
        expect(answer.reasoning.startsWith(given.reasoning)).toBe(true);
        const numLeft = after.length - 1 - index;
        expect(given.content).toBe(decoded(text.slice(0, Math.max(0, text.length - numLeft)), { stream: true }));
      }
    }),
    { numRuns: 500 },
  );
});
