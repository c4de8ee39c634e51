/** Random context-free grammars, compared with Earley's recogniser. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { tokensOf, utf8, type Format } from "../../spec-tests/fixtures/grammars.js";
import { numCases } from "../../spec-tests/fixtures/property-size.js";
import {
  type RandomGrammar,
  allTexts,
  gbnfOf,
  larkOf,
  productionsOf,
  randomGrammars,
} from "../../spec-tests/fixtures/random-grammars.js";
import { Earley, productiveRules } from "../../spec-tests/oracles/earley.js";
import { EngineError } from "../errors.js";
import { type Grammar, GrammarMatcher, VocabularyTrie, compileGrammar } from "./index.js";

const END = 256;
const BYTES = VocabularyTrie.build([...Array.from({ length: END }, (_, byte) => Uint8Array.of(byte)), null]);

const SYNTAXES = {
  gbnf: (rules: RandomGrammar): Format => ({ type: "grammar", syntax: "gbnf", grammar: gbnfOf(rules) }),
  lark: (rules: RandomGrammar): Format => ({ type: "grammar", syntax: "lark", grammar: larkOf(rules) }),
};

describe.each(Object.entries(SYNTAXES))("random grammars in %s", (_, written) => {
  it("allow exactly the texts and the beginnings of texts that the reference does", { timeout: 600_000 }, () => {
    const counts = { accepted: 0, begun: 0, refused: 0, empty: 0 };
    const texts = allTexts(5);
    fc.assert(
      fc.property(randomGrammars(4), (rules) => {
        const grammar = compiled(written(rules), rules);
        if (grammar === null) {
          counts.empty++;
          return;
        }
        const reference = new Earley(productionsOf(rules), "0");
        for (const text of texts) {
          const { isAccepted, viable } = reference.read(text);
          const matcher: GrammarMatcher = new GrammarMatcher(grammar, BYTES, [END]);
          const isBegun: boolean = matcher.acceptBytes(utf8.encode(text));
          // Without `expect`, which takes longer than the texts.
          if (isBegun !== (viable === text.length) || (isBegun && matcher.isComplete) !== isAccepted)
            expect.fail(`${text}: begun ${isBegun}, complete ${matcher.isComplete}; expected ${viable}, ${isAccepted}`);
          counts[isAccepted ? "accepted" : viable === text.length ? "begun" : "refused"]++;
        }
      }),
      { numRuns: numCases(700) },
    );
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(0);
  });

  it("random walks through the masks end with texts that the reference accepts", { timeout: 600_000 }, () => {
    let numFinished = 0;
    fc.assert(
      fc.property(randomGrammars(5), fc.infiniteStream(fc.nat()), (rules, choices) => {
        const grammar = compiled(written(rules), rules);
        if (grammar === null) return;
        const reference = new Earley(productionsOf(rules), "0");
        const matcher: GrammarMatcher = new GrammarMatcher(grammar, BYTES, [END]);
        let text = "";
        for (let step = 0; step < 40; step++) {
          // Other characters than letters can be long in UTF-8.
          const tokens = tokensOf(matcher.allowed()).filter((token) => token < 0x80 || token === END);
          expect(tokens.length, text).toBeGreaterThan(0);
          const token = tokens[choices.next().value! % tokens.length]!;
          expect(matcher.acceptToken(token)).toBe(true);
          if (token === END) {
            expect(reference.read(text)).toEqual({ isAccepted: true, viable: text.length });
            numFinished++;
            return;
          }
          text += String.fromCharCode(token);
        }
        expect(reference.read(text).viable, text).toBe(text.length);
      }),
      { numRuns: numCases(400) },
    );
    expect(numFinished).toBeGreaterThan(numCases(400) / 10);
  });
});

/** @returns null if the grammar allows no text, as the reference finds too */
function compiled(format: Format, rules: RandomGrammar): Grammar | null {
  const isProductive = productiveRules(productionsOf(rules)).has("0");
  try {
    const grammar = compileGrammar(format);
    expect(isProductive).toBe(true);
    return grammar;
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    expect(error.message).toContain("allows no text");
    expect(isProductive).toBe(false);
    return null;
  }
}
