import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StopMatcher } from "./stop-matcher.js";

/** Pushes the chunks. `released` is all text returned before `finish`. */
function run(chunks: readonly string[], stop: readonly string[], includeStop: boolean) {
  const matcher = new StopMatcher(stop, includeStop);
  let released = "";
  for (const chunk of chunks) released += matcher.push(chunk).text;
  return { released, text: released + matcher.finish(), stopped: matcher.stopped };
}

/** Section 5 of the contract, on the whole text: the stop string that ends first; of several, the longest. */
function oracle(text: string, stop: readonly string[], includeStop: boolean) {
  for (let end = 1; end <= text.length; end++) {
    const ending = stop.filter((string) => text.slice(0, end).endsWith(string));
    const longest = ending.sort((a, b) => b.length - a.length)[0];
    if (longest !== undefined)
      return { text: text.slice(0, includeStop ? end : end - longest.length), stopped: longest };
  }
  return { text, stopped: null };
}

const texts = fc.string({ unit: fc.constantFrom("a", "b", "c", "😀", "é"), maxLength: 40 });
const stops = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "c", "😀"), minLength: 1, maxLength: 5 }), {
  maxLength: 4,
});
const chunked = fc.array(texts, { maxLength: 12 });

describe("StopMatcher", () => {
  it("agrees with a scan of the whole text for any split into chunks", () => {
    fc.assert(
      fc.property(chunked, stops, fc.boolean(), (chunks, stop, includeStop) => {
        const { text, stopped } = run(chunks, stop, includeStop);
        expect({ text, stopped }).toEqual(oracle(chunks.join(""), stop, includeStop));
      }),
      { numRuns: 2000 },
    );
  });

  it("holds back exactly the longest suffix that is a prefix of a stop string", () => {
    fc.assert(
      fc.property(chunked, stops, (chunks, stop) => {
        const text = chunks.join("");
        const { released, stopped } = run(chunks, stop, true);
        fc.pre(stopped === null);
        let numHeld = 0;
        for (let length = 1; length <= text.length; length++) {
          if (stop.some((string) => string.length > length && string.startsWith(text.slice(text.length - length))))
            numHeld = length;
        }
        expect(released).toBe(text.slice(0, text.length - numHeld));
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ["a shorter stop string that ends first", "xabcy", ["bc", "abcy"], "bc"],
    ["the longest of several that end together", "xabc", ["bc", "abc", "c"], "abc"],
    ["a stop string that overlaps itself", "aaab", ["aab"], "aab"],
    ["a stop string after a partial match", "ababac", ["abac"], "abac"],
  ])("finds %s", (_, text, stop, expected) => {
    expect(run([...text], stop, false).stopped).toBe(expected);
  });

  it("keeps or drops the stop string", () => {
    expect(run(["one, tw", "o, three"], ["two"], true).text).toBe("one, two");
    expect(run(["one, tw", "o, three"], ["two"], false).text).toBe("one, ");
  });

  it("drops everything after a stop", () => {
    const matcher = new StopMatcher(["."], false);
    expect(matcher.push("a.b")).toEqual({ text: "a", stopped: "." });
    expect(matcher.push("c")).toEqual({ text: "", stopped: "." });
    expect(matcher.finish()).toBe("");
  });

  it("throws for an empty stop string", () => {
    expect(() => new StopMatcher(["a", ""], false)).toThrow("a stop string is empty");
  });

  it("matches a long stop string against a nearly matching text in linear time", () => {
    const stop = `${"a".repeat(200_000)}b`;
    const matcher = new StopMatcher([stop], false);
    let length = 0;
    for (let index = 0; index < 400_000; index++) length += matcher.push("a").text.length;
    expect(length).toBe(200_000);
    expect(matcher.finish().length).toBe(200_000);
  });
});
