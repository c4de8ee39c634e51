/** What no template does to it: a message's text between the template's, with every way to complete a token. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { PhraseFinder } from "./added-tokens.js";
import { carryMarks, MessageMarker, templateTokens, type MarkedText } from "./message-marks.js";

/** Overlapping, of several lengths, one the beginning and one the end of others. */
const PHRASES = ["<|im|>", "<|im|><|im|>", "|>", "<s>", "</s>", "abab", "bab<"];
const reserved = new PhraseFinder(PHRASES);
const marker = new MessageMarker(reserved);

const ESCAPE = "\uFDD0";
const pieces = [...PHRASES, "<", "|", "<|", "im", ">", "s>", "ab", "ba", "a", " ", "\n", ESCAPE, "\uFDD1", "\uFDD2", "\uFDD3", "\ue000", "x"];
const texts = fc.array(fc.constantFrom(...pieces), { maxLength: 6 }).map((parts) => parts.join(""));
const template = fc.array(fc.constantFrom(...pieces.filter((piece) => !/[\uE000\uFDD0-\uFDD3]/.test(piece))), { maxLength: 4 }).map((parts) => parts.join(""));

/** As a template that changes nothing would render it. */
const rendered = (before: string, message: string, after: string): MarkedText => marker.read(before + marker.mark(message) + after);

const found = (marked: MarkedText): string[] => templateTokens(marked, reserved).map(({ phrase }) => phrase);

describe("MessageMarker", () => {
  it("gives every text back", () => {
    fc.assert(
      fc.property(texts, (text) => {
        expect(marker.read(marker.mark(text)).text).toBe(text);
      }),
      { numRuns: 1000, examples: [[""], [ESCAPE], [`${ESCAPE}\uFDD2`], [`a${ESCAPE}`], [`<s>${ESCAPE}\uFDD1`]] },
    );
  });

  it("reads what it did not write as it is", () => {
    expect(marker.read(`x${ESCAPE}yz`).text).toBe(`x${ESCAPE}yz`);
    expect(marker.read(`${ESCAPE}\uFDD3\ue7ff\ue7ff.`)).toEqual({ text: ".", tokens: new Map([[0, [""]]]), borders: new Set() });
  });

  it("leaves alone what can complete nothing", () => {
    for (const text of ["", "x", " x y\n", "x".repeat(50)]) expect(marker.mark(text)).toBe(text);
    expect(marker.mark("x a")).not.toBe("x a");
    expect(marker.mark("im")).not.toBe("im");
    expect(new MessageMarker(new PhraseFinder([])).mark("<s>")).toBe("<s>");
  });

  it("says which tokens begin where, all of them, and where they end", () => {
    const { tokens, borders } = marker.read(marker.mark("x<|im|><|im|>"));
    expect([...tokens]).toEqual([
      [1, ["<|im|><|im|>", "<|im|>"]],
      [5, ["|>"]],
      [7, ["<|im|>"]],
      [11, ["|>"]],
    ]);
    expect([...borders]).toEqual(expect.arrayContaining([13]));
  });

  it("tells thousands of tokens apart", () => {
    const many = Array.from({ length: 5000 }, (_, index) => `<${index}>`);
    const of = new MessageMarker(new PhraseFinder(many));
    for (const phrase of ["<0>", "<4095>", "<4096>", "<4999>"]) expect(of.read(of.mark(phrase)).tokens.get(0)).toEqual([phrase]);
  });
});

describe("templateTokens", () => {
  it("no token reaches into a message's text, white space around it apart", () => {
    fc.assert(
      fc.property(template, texts, template, (before, message, after) => {
        const marked = rendered(before, message, after);
        const start = before.length + message.length - message.trimStart().length;
        const end = before.length + message.trimEnd().length;
        if (start >= end) return;
        for (const match of templateTokens(marked, reserved)) expect(match.end <= start || match.start >= end, `${match.phrase} at ${match.start}`).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it("around a message that completes nothing they are those that the template wrote", () => {
    fc.assert(
      fc.property(template, template, (before, after) => {
        const inBefore = templateTokens({ text: before, tokens: new Map(), borders: new Set() }, reserved);
        const inAfter = templateTokens({ text: after, tokens: new Map(), borders: new Set() }, reserved);
        expect(found(rendered(before, "xyz", after))).toEqual([...inBefore, ...inAfter].map(({ phrase }) => phrase));
      }),
      { numRuns: 500 },
    );
  });

  it.each<[string, string, string, readonly string[]]>([
    ["<s>", "Hi", "</s>", ["<s>", "</s>"]],
    ["<s>", "<s>", "</s>", ["<s>", "</s>"]],
    ["<", "s>", "", []],
    ["", "<", "s>", []],
    ["<", "s", ">", []],
    ["<|im|>", "<|im|>", "", ["<|im|>"]],
    ["", "<|im|>", "<|im|>", ["<|im|>"]],
    ["ab", " ab", "", []],
  ])("%j around %j and %j: %j", (before, message, after, tokens) => expect(found(rendered(before, message, after))).toEqual(tokens));
});

describe("carryMarks", () => {
  const marked = (text: string): MarkedText => marker.read(text.replace(/\[([^]*?)\]/, (_, message: string) => marker.mark(message)));

  it("keeps marks where the texts are the same", () => {
    const here = marked("User: [<s>] x");
    expect(carryMarks(here, "User: <s> x")).toEqual(here);
  });

  it("moves them where white space was stripped", () => {
    const carried = carryMarks(marked("User:[ \n<s> ]."), "User:<s>.")!;
    expect(carried.text).toBe("User:<s>.");
    expect([...carried.tokens]).toEqual([[5, ["<s>"]]]);
    expect(carried.borders.has(8)).toBe(true);
    expect(found(carried)).toEqual([]);
  });

  it("gives up where anything else differs", () => {
    for (const plain of ["User: <s>", "User: <s> y", "User:  <s> x", "", "User: <s> xx"]) expect(carryMarks(marked("User: [<s>] x"), plain)).toBeNull();
  });
});
