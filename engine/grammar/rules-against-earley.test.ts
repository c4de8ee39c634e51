/** Random context-free grammars, compared with Earley's recogniser. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { accepts, begins, matcherOf, tokensOf, type Format } from "../../spec-tests/fixtures/grammars.js";
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
import { compileGrammar } from "./index.js";

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
        const format = written(rules);
        if (!isCompiled(format, rules)) {
          counts.empty++;
          return;
        }
        const reference = new Earley(productionsOf(rules), "0");
        for (const text of texts) {
          const { isAccepted, viable } = reference.read(text);
          expect([text, begins(format, text), accepts(format, text)]).toEqual([
            text,
            viable === text.length,
            isAccepted,
          ]);
          counts[isAccepted ? "accepted" : viable === text.length ? "begun" : "refused"]++;
        }
      }),
      { numRuns: numCases(1000) },
    );
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(10);
  });

  it("random walks through the masks end with texts that the reference accepts", { timeout: 600_000 }, () => {
    let numFinished = 0;
    fc.assert(
      fc.property(randomGrammars(5), fc.infiniteStream(fc.nat()), (rules, choices) => {
        const format = written(rules);
        if (!isCompiled(format, rules)) return;
        const reference = new Earley(productionsOf(rules), "0");
        const matcher = matcherOf(format);
        let text = "";
        for (let step = 0; step < 40; step++) {
          // Other characters than letters can be long in UTF-8.
          const tokens = tokensOf(matcher.allowed()).filter((token) => token < 0x80 || token === 256);
          expect(tokens.length, text).toBeGreaterThan(0);
          const token = tokens[choices.next().value! % tokens.length]!;
          expect(matcher.acceptToken(token)).toBe(true);
          if (token === 256) {
            expect(reference.read(text)).toEqual({ isAccepted: true, viable: text.length });
            numFinished++;
            return;
          }
          text += String.fromCharCode(token);
        }
        expect(reference.read(text).viable, text).toBe(text.length);
      }),
      { numRuns: numCases(1000) },
    );
    expect(numFinished).toBeGreaterThan(20);
  });
});

/** Compiles a grammar. @returns false if the grammar allows no text, as the reference finds too */
function isCompiled(format: Format, rules: RandomGrammar): boolean {
  const isProductive = productiveRules(productionsOf(rules)).has("0");
  try {
    compileGrammar(format);
    expect(isProductive).toBe(true);
    return true;
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    expect(error.message).toContain("allows no text");
    expect(isProductive).toBe(false);
    return false;
  }
}
