import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { type Language, Languages, TooManyStates } from "./language.js";
import { patternLanguage } from "./pattern.js";

/** Characters of the patterns and texts below. */
const ALPHABET = ["a", "b", "é", "😀", "1"];
const texts = fc.string({ unit: fc.constantFrom(...ALPHABET, "\n"), maxLength: 7 });

/** Patterns with all supported syntax, with anchors in unusual places too. */
const patterns = fc.letrec<{ pattern: string; atom: string }>((tie) => ({
  pattern: fc.oneof(
    { maxDepth: 4, depthIdentifier: "pattern" },
    tie("atom"),
    fc.tuple(tie("pattern"), tie("pattern")).map(([first, second]) => first + second),
    fc.tuple(tie("pattern"), tie("pattern")).map(([first, second]) => `(?:${first}|${second})`),
    fc
      .tuple(tie("atom"), fc.constantFrom("*", "+", "?", "{2}", "{1,3}", "{2,}", "*?"))
      .map(([atom, quantifier]) => (/^[$^]$/.test(atom) ? atom : atom + quantifier)),
    fc
      .tuple(tie("pattern"), fc.constantFrom("*", "?", "{0,2}"))
      .map(([pattern, quantifier]) => `(${pattern})${quantifier}`),
  ),
  atom: fc.constantFrom(
    ...ALPHABET,
    "^",
    "$",
    ".",
    "[ab]",
    "[^a]",
    "\\d",
    "\\W",
    "\\p{L}",
    "[\\u{1F600}-\\u{1F64F}]",
    "\\ud83d\\ude00",
    "\\x61",
  ),
})).pattern;

const compiled = (languages: Languages, pattern: string): Language =>
  languages.settle(patternLanguage(languages, pattern, false, 10_000), 20_000);

describe("patterns", () => {
  it("match the same texts as RegExp", () => {
    fc.assert(
      fc.property(patterns, fc.array(texts, { minLength: 10, maxLength: 10 }), (pattern, all) => {
        const languages = new Languages(null);
        const language = compiled(languages, pattern);
        for (const text of all)
          expect(languages.has(language, text), JSON.stringify(text)).toBe(new RegExp(pattern, "u").test(text));
      }),
      { numRuns: numCases(1500) },
    );
  });
});

describe("languages", () => {
  it("form unions, intersections and complements of their sets of texts, and have no dead ends once settled", () => {
    fc.assert(
      fc.property(
        patterns,
        patterns,
        fc.integer({ min: 0, max: 3 }),
        fc.array(texts, { minLength: 10, maxLength: 10 }),
        (first, second, length, all) => {
          const languages = new Languages(null);
          const a = compiled(languages, first);
          const b = compiled(languages, second);
          const short = languages.repeat(languages.any, 1, length + 1);
          const both = languages.settle(languages.intersection([a, languages.not(b), short]), 20_000);
          const either = languages.union([a, b]);
          for (const text of all) {
            const [inA, inB] = [languages.has(a, text), languages.has(b, text)];
            const numCharacters = [...text].length;
            expect(languages.has(both, text)).toBe(inA && !inB && numCharacters >= 1 && numCharacters <= length + 1);
            expect(languages.has(either, text)).toBe(inA || inB);
          }
          expectNoDeadEnds(languages, both, length + 1);
        },
      ),
      { numRuns: numCases(400) },
    );
  });

  it("count their texts", () => {
    const languages = new Languages(null);
    const count = (pattern: string): number =>
      languages.count(languages.settle(patternLanguage(languages, pattern, true, 1000), 1000), 1000);
    expect(count("[ab]{0,2}")).toBe(7);
    expect(count("(foo|bar|foo)x?")).toBe(4);
    expect(count("a|ab*c")).toBe(1000);
    expect(count("[a-j]{3}")).toBe(1000);
    expect(count("[a-j]{2}[a-i]")).toBe(900);
    expect(languages.count(languages.words(["", "a", "ab"]), 1000)).toBe(3);
  });

  it("throw if they need more states than allowed", () => {
    const languages = new Languages(null);
    const wide = patternLanguage(languages, "(a|b)*a(a|b){12}", true, 1000);
    expect(() => languages.settle(languages.not(wide), 1000)).toThrow(TooManyStates);
  });
});

/** Expects that every state reachable within `depth` code points accepts, or has a transition. */
function expectNoDeadEnds(languages: Languages, language: Language, depth: number): void {
  const states = new Set([language]);
  for (let step = 0; step <= depth; step++) {
    for (const state of Array.from(states)) {
      const { targets } = languages.steps(state);
      expect(state === languages.none || state.isAccepting || targets.length > 0).toBe(true);
      for (const target of targets) states.add(target);
    }
  }
}
