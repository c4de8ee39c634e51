/** Grammars as people write them in GBNF, compared with a reader and a recogniser that share no code with the engine. */

import fc from "fast-check";
import { expect, it } from "vitest";

import { numCases } from "../fixtures/property-size.js";
import { gbnfOf, productionsOf, randomGrammars } from "../fixtures/random-grammars.js";
import { compareGbnf } from "./compare-gbnf.js";
import { Earley, productiveRules } from "./earley.js";
import { readGbnf } from "./gbnf.js";

const GRAMMARS = {
  sums: String.raw`
root   ::= (sum "=" blank term "\n")+
sum    ::= term ([-+*/] term)*   # from left to right
term   ::= name | number | "(" blank sum ")" blank
name   ::= [a-z] [a-z0-9_]* blank
number ::= [0-9]+ ("." [0-9]{1,3})? blank
blank  ::= [ \t\n]*
`,
  records: String.raw`
# values with strings
root ::= object
value ::=
  object | list |
  string |
  ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
list ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
ws ::= | " " | "\n" [ \t]{0,20}
`,
  games: String.raw`
root ::= "1. " move " " move "\n" ([1-9] [0-9]? ". " move " " move "\n")+
move ::= (pawn | piece | castle) [+#]?
piece ::= [NBKQR] [a-h]? [1-8]? "x"? [a-h] [1-8]
pawn ::= ([a-h] "x")? [a-h] [1-8] ("=" [NBKQR])?
castle ::= "O-O" "-O"?
`,
  words: String.raw`
root ::= line+ "."
line ::= "- " [^\r\n\x0b\x85\u2028\u2029]{1,12} "\n"
`,
  scripts: String.raw`
root ::= letter+ ([ \t\n] letter+)*
letter ::= kana | [\u4E00-\u9FFF] | "\u3001" | "é"
kana ::= [ぁ-ゟ] | [ァ-ヿ] | [!-~]
`,
};

it.each(Object.entries(GRAMMARS))("%s: the same texts and beginnings", (_, source) => {
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat()), (choices) => {
      const { differences } = compareGbnf(source, 1, (below) => choices.next().value! % below);
      expect(differences).toEqual([]);
    }),
    { numRuns: numCases(200) },
  );
});

it("reads random grammars as they were written", () => {
  fc.assert(
    fc.property(randomGrammars(4), fc.array(fc.constantFrom(..."abc"), { maxLength: 6 }), (rules, letters) => {
      const expected = productionsOf(rules);
      const read = readGbnf(gbnfOf(rules));
      fc.pre(productiveRules(expected).has("0"));
      const text = letters.join("");
      expect(new Earley(read, "root").read(text)).toEqual(new Earley(expected, "0").read(text));
    }),
    { numRuns: numCases(300) },
  );
});
