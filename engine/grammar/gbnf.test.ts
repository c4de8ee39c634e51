import { describe, expect, it } from "vitest";
import { check, failure, type Format } from "../../spec-tests/fixtures/grammars.js";

const gbnf = (...lines: string[]): Format => ({ type: "grammar", syntax: "gbnf", grammar: lines.join("\n") });

describe("GBNF", () => {
  const cases: readonly (readonly [string, Format, readonly string[], readonly string[]])[] = [
    ["literals and alternatives", gbnf('root ::= "yes" | "no"'), ["yes", "no"], ["", "yesno", "y"]],
    ["an empty alternative", gbnf('root ::= "a" | '), ["", "a"], ["aa"]],
    ["escapes", gbnf('root ::= "\\n\\r\\t\\\\\\"\\x41\\u00e9\\U0001F600\\[\\]"'), ['\n\r\t\\"Aé😀[]'], ["n"]],
    ["classes", gbnf("root ::= [a-c_é]"), ["a", "b", "c", "_", "é"], ["d", "A", "", "ab"]],
    ["negated classes", gbnf('root ::= [^a-c\\n"]'), ["d", "é", "😀"], ["a", "\n", '"', ""]],
    ["a hyphen at the end of a class", gbnf("root ::= [+-]"), ["+", "-"], [","]],
    ["an escaped hyphen and bracket", gbnf("root ::= [a\\-\\]]"), ["a", "-", "]"], ["\\"]],
    ["any character", gbnf("root ::= ."), ["a", "\n", "😀"], ["", "ab"]],
    ["repetitions", gbnf('root ::= "a"* "b"+ "c"?'), ["b", "aabbc"], ["a", "bcc"]],
    ["counted repetitions", gbnf('root ::= "a"{2} "b"{1,} "c"{ 0 , 2 }'), ["aab", "aabbcc"], ["ab", "aa", "aabccc"]],
    ["a repetition of a repetition", gbnf('root ::= "ab"{2}{2}'), ["abababab"], ["abab"]],
    ["a repetition of a rule", gbnf("root ::= p{2,3}", 'p ::= "(" p ")" | "x"'), ["xx", "x(x)((x))"], ["x", "xxxx"]],
    ["groups over several lines", gbnf("root ::= (", '  "a" |  # one', '  "b"', ') "c"'), ["ac", "bc"], ["c"]],
    ["an alternative on the next line", gbnf('root ::= "a" |', '  "b"'), ["a", "b"], ["ab"]],
    ["comments and line ends", gbnf("# head", "", "root ::= a # tail\r", "\r", "a ::=", '  "x"'), ["x"], ["a"]],
    ["names", gbnf("root ::= a-1_B", 'a-1_B ::= "x"'), ["x"], []],
    ["an unused rule that is never complete", gbnf('root ::= "a"', 'b ::= "b" b'), ["a"], ["b"]],
  ];
  it.each(cases)("%s", (_, format, right, wrong) => check(format, right, wrong));

  const invalid: readonly (readonly [string, Format, string, string])[] = [
    ["no rule", gbnf(""), "invalid_schema", "has no rule root"],
    [
      "an undefined rule",
      gbnf('root ::= "a"', "b ::= c"),
      "invalid_schema",
      'rule "c" is not defined (line 2, column 7)',
    ],
    [
      "a rule defined twice",
      gbnf('root ::= "a"', 'root ::= "b"'),
      "invalid_schema",
      '"root" is defined a second time (line 2',
    ],
    ["no ::=", gbnf('root = "a"'), "invalid_schema", '"::=" was expected and "= \\"a\\"" was found (line 1, column 6)'],
    ["an open literal", gbnf('root ::= "a'), "invalid_schema", "the text ends (line 1, column 12)"],
    ["an open group", gbnf('root ::= ("a"'), "invalid_schema", '")" was expected'],
    ["an open class", gbnf("root ::= [a"), "invalid_schema", "the text ends"],
    ["an empty class", gbnf("root ::= []"), "invalid_schema", "the character class is empty"],
    ["a range without characters", gbnf("root ::= [z-a]"), "invalid_schema", "its last character is before its first"],
    ["an unknown escape", gbnf('root ::= "\\d"'), "invalid_schema", '"\\\\d" is no escape'],
    ["half of a pair", gbnf('root ::= "\\uD800"'), "invalid_schema", "U+D800 is half of a surrogate pair"],
    ["no code point", gbnf('root ::= "\\U00110000"'), "invalid_schema", "U+110000 is no character"],
    ["nothing to repeat", gbnf("root ::= *"), "invalid_schema", "* repeats nothing"],
    ["a number of repetitions that is none", gbnf('root ::= "a"{2,1}'), "invalid_schema", "{2,1}"],
    [
      "an alternative outside of a rule",
      gbnf('root ::= "a"', '| "b"'),
      "invalid_schema",
      "the name of a rule was expected",
    ],
    ["tokens", gbnf("root ::= <[1]>"), "unsupported_schema", "tokens such as <[1000]>"],
    ["tokens by name", gbnf("root ::= !<think>"), "unsupported_schema", "tokens such as"],
    ["a root that is never complete", gbnf('root ::= "a" root'), "invalid_schema", "allows no text"],
  ];
  it.each(invalid)("refuses %s", (_, format, code, message) => {
    const error = failure(format);
    expect([error.code, error.param]).toEqual([code, ""]);
    expect(error.message).toContain(message);
  });

  it.each([
    [{ type: "grammar", grammar: "" }, "missing_required_parameter", "format.syntax"],
    [{ type: "grammar", syntax: "gbnf" }, "missing_required_parameter", "format.grammar"],
    [{ type: "grammar", syntax: "gbnf", grammar: 1 }, "invalid_type", "format.grammar"],
    [{ type: "grammar", syntax: "ebnf", grammar: "" }, "unsupported_value", "format.syntax"],
  ])("refuses %j", (format, code, param) => {
    const error = failure(format as unknown as Format);
    expect([error.code, error.param]).toEqual([code, param]);
  });
});
