/** Tests of streamed text, stop sequences and reasoning. The last group covers bugs of other engines. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CallForm } from "./call-form.js";
import { PLAIN, THINKING } from "./message-format.js";
import { byteLevelJson } from "../../spec-tests/fixtures/tokenizers.js";
import { TextStream, type TextStreamOptions } from "./text-stream.js";
import { Tokenizer } from "../text/tokenizer.js";

/** A tokenizer with a token for each byte, some longer tokens, and tags as single tokens. */
const tokenizer = new Tokenizer(
  byteLevelJson(
    [
      ["o", "p"],
      ["s", "t"],
      ["st", "op"],
      [">", "a"],
      ["t", "h"],
      ["Ã", "©"],
    ],
    [{ content: "<|end|>", special: true }, { content: "<think>" }, { content: "</think>" }],
  ),
  {},
);

type Options = Partial<Pick<TextStreamOptions, "stop" | "includeStop" | "separateReasoning">> & {
  startsInside?: boolean;
  reasons?: boolean;
};

function run(tokenIds: readonly number[], { startsInside = false, reasons = true, ...options }: Options = {}) {
  const text = new TextStream({
    vocabulary: tokenizer,
    promptIds: [0x41],
    stop: [],
    includeStop: false,
    separateReasoning: true,
    format: reasons ? THINKING : PLAIN,
    insideReasoning: startsInside,
    ...options,
  });
  const deltas = [];
  let stopped: string | null = null;
  let numUsed = 0;
  for (const tokenId of tokenIds) {
    const delta = text.push(tokenId);
    deltas.push(delta);
    numUsed++;
    stopped = delta.stopped;
    if (stopped !== null) break;
  }
  const last = text.finish();
  deltas.push(last);
  return {
    reasoning: text.hasReasoning ? deltas.map(({ reasoning }) => reasoning).join("") : null,
    content: deltas.map(({ content }) => content).join(""),
    stopped: stopped ?? last.stopped,
    numUsed,
    numReasoningTokens: text.numReasoningTokens,
    deltas,
  };
}

const bytesOf = (text: string): number[] => [...new TextEncoder().encode(text)];
const tokensOf = (text: string): number[] => tokenizer.encode(text);

it("does not stop at the special token with which calls begin, if calls may follow", () => {
  const withCalls = new Tokenizer(byteLevelJson([], [{ content: "<|call|>", special: true }]), {}, ["<|call|>"]);
  const form: CallForm = {
    open: "",
    separator: null,
    close: "",
    before: "<|call|>",
    between: " ",
    after: "",
    isNameFirst: true,
    tag: null,
    parameters: null,
    trigger: "<|call|>",
    mayFollowText: true,
    argumentsAs: "object",
    hasShortIds: false,
    tokens: ["<|call|>"],
  };
  const calls = { form, kinds: new Map<string, never>(), finishReason: "tool_calls" as const, idOf: String };
  const read = (given: typeof calls | null) => {
    const text = new TextStream({
      vocabulary: withCalls,
      promptIds: [],
      stop: ["<|call|>"],
      includeStop: false,
      format: { reasoning: null, calls: form },
      insideReasoning: false,
      separateReasoning: true,
      calls: given,
    });
    const deltas = [withCalls.addedTokenId("<|call|>")!, ...bytesOf("f {}")].map((id) => text.push(id));
    return { stopped: deltas[0]!.stopped, names: deltas.flatMap((delta) => delta.calls.map(({ name }) => name)) };
  };
  expect(read(calls)).toEqual({ stopped: null, names: ["f", null, null] });
  expect(read(null).stopped).toBe("<|call|>");
});

describe("a stop sequence that is the name of a special token", () => {
  const end = tokenizer.addedTokenId("<|end|>")!;
  const plain = { reasons: false, stop: ["stop", "<|end|>"] };

  it("ends the answer at this token, which adds nothing", () => {
    for (const includeStop of [false, true]) {
      const { content, stopped, numUsed } = run([...bytesOf("ab"), end, ...bytesOf("cd")], { ...plain, includeStop });
      expect({ content, stopped, numUsed }).toEqual({ content: "ab", stopped: "<|end|>", numUsed: 3 });
    }
  });

  it("releases the text that was held back", () => {
    expect(run([...bytesOf("a sto"), end], plain)).toMatchObject({ content: "a sto", stopped: "<|end|>" });
    expect(run([...bytesOf("é").slice(0, 1), end], plain)).toMatchObject({ content: "\uFFFD", stopped: "<|end|>" });
    expect(run([...bytesOf("stop"), end], plain)).toMatchObject({ content: "", stopped: "stop" });
  });

  it("ends at its text too", () => {
    expect(run(bytesOf("ab<|end|>cd"), plain)).toMatchObject({ content: "ab", stopped: "<|end|>" });
  });

  it("is not searched in the reasoning", () => {
    const tokens = [...bytesOf("a"), end, ...bytesOf("b</think>c"), end, ...bytesOf("d")];
    expect(run(tokens, { startsInside: true, stop: ["<|end|>"] })).toMatchObject({
      reasoning: "ab",
      content: "c",
      stopped: "<|end|>",
      numUsed: tokens.length - 1,
    });
  });

  it("does nothing to other special tokens", () => {
    expect(run([...bytesOf("a"), end, ...bytesOf("b")], { reasons: false, stop: ["<|other|>"] })).toMatchObject({
      content: "ab",
      stopped: null,
    });
  });
});

const piece = fc.constantFrom(
  "<think>",
  "</think>",
  "</thi",
  "<",
  " ",
  "\n",
  "stop",
  "st",
  "op",
  "a",
  "é",
  "€",
  "stopa",
);
const texts = fc.array(piece, { maxLength: 14 }).map((pieces) => pieces.join(""));
const options = fc.record({
  stop: fc.array(fc.constantFrom("stop", "op", "\n", "é", "opa", "</think>", "aa"), { maxLength: 3 }),
  includeStop: fc.boolean(),
  separateReasoning: fc.boolean(),
  startsInside: fc.boolean(),
});

describe("TextStream", () => {
  it("returns the same text for any split into tokens", () => {
    fc.assert(
      fc.property(texts, options, (text, chosen) => {
        const { reasoning, content, stopped } = run(bytesOf(text), chosen);
        expect(run(tokensOf(text), chosen)).toMatchObject({ reasoning, content, stopped });
      }),
      { numRuns: 2000 },
    );
  });

  it("searches stop sequences in the answer only, with separate reasoning and without", () => {
    fc.assert(
      fc.property(texts, options, (text, chosen) => {
        const apart = run(bytesOf(text), { ...chosen, separateReasoning: true });
        const together = run(bytesOf(text), { ...chosen, separateReasoning: false });
        expect(together.stopped).toBe(apart.stopped);
        expect(together.numReasoningTokens).toBe(apart.numReasoningTokens);
        expect(together.content.endsWith(apart.content)).toBe(true);
        const given = (chosen.startsInside ? "<think>" : "") + text;
        expect(given.startsWith(together.content)).toBe(true);
        if (apart.stopped === null) expect(together.content).toBe(given);
      }),
      { numRuns: 2000 },
    );
  });

  it("counts reasoning tokens up to and including the one that completes the closing tag", () => {
    const close = tokenizer.addedTokenId("</think>")!;
    expect(run([0x61, close, 0x62, 0x63], { startsInside: true }).numReasoningTokens).toBe(2);
    expect(run(bytesOf("a</think>bc"), { startsInside: true }).numReasoningTokens).toBe(9);
    // The token that completes the tag also contains the beginning of the answer.
    const both = [...bytesOf("a</think"), ...tokensOf(">a")];
    expect(run(both, { startsInside: true })).toMatchObject({ numReasoningTokens: 9, content: "a" });
    expect(run(bytesOf("abc"), { startsInside: true }).numReasoningTokens).toBe(3);
    expect(run(bytesOf("abc")).numReasoningTokens).toBe(0);
  });

  it("counts an end token inside unfinished reasoning", () => {
    const text = new TextStream({
      vocabulary: tokenizer,
      promptIds: [],
      stop: [],
      includeStop: false,
      separateReasoning: true,
      format: THINKING,
      insideReasoning: true,
    });
    text.push(0x61);
    text.pushEnd();
    expect(text.numReasoningTokens).toBe(2);
  });

  it("finds a stop sequence in text that was held back until the end", () => {
    // The white space could have preceded an opening tag; at the end of the text it is the answer.
    expect(run(bytesOf(" \n"), { stop: ["\n"] })).toMatchObject({ content: " ", stopped: "\n" });
  });

  it("emits no text for a special token", () => {
    expect(run([0x61, tokenizer.addedTokenId("<|end|>")!, 0x62]).content).toBe("ab");
  });
});

describe("issues of other engines", () => {
  it("treats text without tags as the answer, not as reasoning", () => {
    expect(run(bytesOf("Hello."))).toMatchObject({ reasoning: null, content: "Hello." });
  });

  it("does not stop at a stop sequence inside the reasoning", () => {
    const text = "<think>stop, or not stop</think>\n\nI would stop here";
    expect(run(bytesOf(text), { stop: ["stop"] })).toMatchObject({
      reasoning: "stop, or not stop",
      content: "I would ",
      stopped: "stop",
    });
    expect(
      run(bytesOf(text.slice(7)), { stop: ["stop"], startsInside: true, separateReasoning: false, includeStop: true })
        .content,
    ).toBe("<think>stop, or not stop</think>\n\nI would stop");
  });

  it("stops in the answer if a stop sequence is in both parts", () => {
    expect(run(bytesOf("<think>a;b</think>c;d"), { stop: [";"], separateReasoning: false }).content).toBe(
      "<think>a;b</think>c",
    );
  });

  it("does not match a stop sequence across the boundary between reasoning and answer", () => {
    expect(run(bytesOf("<think>a</think>\nb"), { stop: [">\nb", "\nb"] })).toMatchObject({
      content: "b",
      stopped: null,
    });
  });

  it("finds tags inside longer tokens", () => {
    const wide = new Tokenizer(
      byteLevelJson(
        [
          [">", "a"],
          ["b", "<"],
          ["b<", "/"],
          ["</", "t"],
        ],
        [],
      ),
      {},
    );
    const text = new TextStream({
      vocabulary: wide,
      promptIds: [],
      stop: [],
      includeStop: false,
      separateReasoning: true,
      format: THINKING,
      insideReasoning: false,
    });
    const deltas = [...wide.encode("<think>ab</think>ab").map((tokenId) => text.push(tokenId)), text.finish()];
    expect(deltas.map(({ reasoning }) => reasoning).join("")).toBe("ab");
    expect(deltas.map(({ content }) => content).join("")).toBe("ab");
  });

  it("finds a stop sequence that spans several tokens", () => {
    expect(run(bytesOf("go stop now"), { stop: ["stop"] })).toMatchObject({
      content: "go ",
      stopped: "stop",
      numUsed: 7,
    });
  });

  it("ends the text inside a token if a stop sequence ends there", () => {
    const ids = [...bytesOf("a"), ...tokensOf("stop")];
    expect(run(ids, { stop: ["to"], includeStop: true })).toMatchObject({ content: "asto", stopped: "to", numUsed: 2 });
  });

  it("releases text that was held back for a stop sequence at the end", () => {
    expect(run(bytesOf("go sto"), { stop: ["stop"] })).toMatchObject({ content: "go sto", stopped: null });
  });

  it("releases held text exactly once", () => {
    const { deltas } = run(bytesOf("stostost."), { stop: ["stop"] });
    expect(deltas.map(({ content }) => content)).toEqual(["", "", "", "sto", "", "", "sto", "", "st.", ""]);
  });
});
