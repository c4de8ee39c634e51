import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PLAIN, THINK, THINKING } from "./message-format.js";
import { ReasoningParser } from "./reasoning-parser.js";

const CLOSE = THINK.close;

interface Parsed {
  hasReasoning: boolean;
  reasoning: string;
  content: string;
  answer: string;
}

function parse(chunks: readonly string[], startsInside: boolean, separate: boolean): Parsed {
  const parser = new ReasoningParser({ format: THINKING, insideReasoning: startsInside, separate });
  const segments = [...chunks.flatMap((chunk) => parser.push(chunk)), ...parser.finish()];
  const join = (...channels: string[]): string =>
    segments
      .filter(({ channel }) => channels.includes(channel))
      .map(({ text }) => text)
      .join("");
  return {
    hasReasoning: parser.hasReasoning,
    reasoning: join("reasoning"),
    content: join("frame", "answer"),
    answer: join("answer"),
  };
}

/** Section 6 of the contract, implemented for a whole text. */
function oracle(text: string, startsInside: boolean, separate: boolean): Parsed {
  const opening = startsInside ? "" : /^[ \t\r\n]*<think>/.exec(text)?.[0];
  if (opening === undefined) return { hasReasoning: false, reasoning: "", content: text, answer: text };
  const body = text.slice(opening.length);
  const end = body.indexOf(CLOSE);
  const answer = end < 0 ? "" : body.slice(end + CLOSE.length).replace(/^[ \t\r\n]+/, "");
  if (!separate) return { hasReasoning: true, reasoning: "", content: (startsInside ? "<think>" : "") + text, answer };
  let inner = end < 0 ? body : body.slice(0, end);
  if (end < 0) {
    for (let length = CLOSE.length - 1; length > 0; length--) {
      if (!inner.endsWith(CLOSE.slice(0, length))) continue;
      inner = inner.slice(0, -length);
      break;
    }
  }
  return { hasReasoning: true, reasoning: inner.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, ""), content: answer, answer };
}

const piece = fc.constantFrom(
  "<think>",
  "</think>",
  "<",
  "</",
  "think>",
  "th",
  "ink>",
  ">",
  " ",
  "\n",
  "\r",
  "\t",
  "\u00a0",
  "\v",
  "a",
  "é",
  "</thi",
);
const chunked = fc.array(
  fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join("")),
  { maxLength: 8 },
);

describe("ReasoningParser", () => {
  it("agrees with the rules for a whole text, for any split into chunks", () => {
    fc.assert(
      fc.property(chunked, fc.boolean(), fc.boolean(), (chunks, startsInside, separate) => {
        const expected = oracle(chunks.join(""), startsInside, separate);
        expect(parse(chunks, startsInside, separate)).toEqual(expected);
        expect(parse([...chunks.join("")], startsInside, separate)).toEqual(expected);
      }),
      { numRuns: 3000 },
    );
  });

  it("returns the complete text in one-text mode", () => {
    fc.assert(
      fc.property(chunked, fc.boolean(), (chunks, startsInside) => {
        expect(parse(chunks, startsInside, false).content).toBe((startsInside ? "<think>" : "") + chunks.join(""));
      }),
    );
  });

  it("holds back no text once the answer has begun", () => {
    fc.assert(
      fc.property(chunked, (chunks) => {
        const parser = new ReasoningParser({ format: THINKING, insideReasoning: true, separate: true });
        parser.push("why</think>\n\nA");
        for (const chunk of chunks)
          expect(
            parser
              .push(chunk)
              .map(({ text }) => text)
              .join(""),
          ).toBe(chunk);
        expect(parser.finish()).toEqual([]);
      }),
    );
  });

  it.each([
    ["text without tags", ["Hi."], { hasReasoning: false, reasoning: "", content: "Hi." }],
    ["white space only", [" ", "\n"], { hasReasoning: false, reasoning: "", content: " \n" }],
    ["an opening tag that never completes", ["\n<thi"], { hasReasoning: false, reasoning: "", content: "\n<thi" }],
    [
      "a tag after other text",
      ["a<think>b</think>c"],
      { hasReasoning: false, reasoning: "", content: "a<think>b</think>c" },
    ],
    ["a closing tag at the start", ["</think>a"], { hasReasoning: false, reasoning: "", content: "</think>a" }],
    ["empty reasoning", ["<think></think>a"], { hasReasoning: true, reasoning: "", content: "a" }],
    [
      "a second opening tag inside",
      ["<think>a<think>b</think>c"],
      { hasReasoning: true, reasoning: "a<think>b", content: "c" },
    ],
    [
      "tags in the answer",
      ["<think>a</think>b</think><think>"],
      { hasReasoning: true, reasoning: "a", content: "b</think><think>" },
    ],
    [
      "tags cut across chunks",
      ["<th", "ink>a", "b</th", "ink>c"],
      { hasReasoning: true, reasoning: "ab", content: "c" },
    ],
    ["several tags in one chunk", ["<think>a</think>b"], { hasReasoning: true, reasoning: "a", content: "b" }],
    ["a cut within the closing tag", ["<think>a \n</thin"], { hasReasoning: true, reasoning: "a", content: "" }],
    [
      "white space that the contract does not count as such",
      ["<think>\u00a0a\v</think>\u00a0b"],
      { hasReasoning: true, reasoning: "\u00a0a\v", content: "\u00a0b" },
    ],
  ])("parses %s", (_, chunks, expected) => {
    const { answer: _answer, ...parsed } = parse(chunks, false, true);
    expect(parsed).toEqual(expected);
  });

  it("restores the opening tag of the prompt in one-text mode", () => {
    expect(parse(["\nwhy</think>\n\nbecause"], true, false).content).toBe("<think>\nwhy</think>\n\nbecause");
    expect(parse([], true, false).content).toBe("<think>");
  });

  it("treats all text of a model without reasoning as the answer", () => {
    const parser = new ReasoningParser({ format: PLAIN, insideReasoning: false, separate: true });
    expect(parser.push(" <think>a")).toEqual([{ channel: "answer", text: " <think>a" }]);
    expect(parser.hasReasoning).toBe(false);
  });

  it("parses long white space in linear time", () => {
    const parser = new ReasoningParser({ format: THINKING, insideReasoning: true, separate: true });
    for (let index = 0; index < 100_000; index++) parser.push("\n");
    parser.push("a");
    for (let index = 0; index < 100_000; index++) parser.push(" ");
    expect(parser.push("b").map(({ text }) => text.length)).toEqual([100_001]);
  });
});
