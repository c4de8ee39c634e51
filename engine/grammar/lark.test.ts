import { describe, expect, it } from "vitest";
import { check, failure, type Format } from "../../spec-tests/fixtures/grammars.js";

const lark = (...lines: string[]): Format => ({ type: "grammar", syntax: "lark", grammar: lines.join("\n") });

describe("Lark", () => {
  const cases: readonly (readonly [string, Format, readonly string[], readonly string[]])[] = [
    ["strings and alternatives", lark('start: "a" | "b" "c"'), ["a", "bc"], ["", "b"]],
    [
      "alternatives on the next lines",
      lark('start: "a"', '  | "b" -> alias', "", '  | "c"', 'x: "x"'),
      ["a", "b", "c"],
      ["x"],
    ],
    ["escapes", lark('start: "\\n\\t\\\\\\"\\x41\\u00e9\\U0001F600"'), ['\n\t\\"Aé😀'], ["n"]],
    ["strings of any case", lark('start: "Ab1ß"i'), ["ab1ß", "AB1ß", "aB1ß"], ["ab1", "ab1SS"]],
    ["ranges", lark('start: "a".."c" "0".."9"+'), ["a0", "c123"], ["d0", "a"]],
    [
      "repetitions",
      lark('start: "a"~2 "b"~1..2 "c"? ("d" | "e")* ["f"] "g"{2} "h"{,1} "i"{1,}'),
      ["aabggi", "aabbcdefgghii"],
      ["abggi", "aabbbggi", "aabg"],
    ],
    ["regular expressions", lark("start: /[a-c]+\\/./ /x.y/s"), ["ab/\rx\ny", "a/ax.y"], ["a/\nxzy", "/axzy"]],
    [
      "terminals of terminals",
      lark("start: NUMBER", "NUMBER: INT [FRACTION]", "INT: DIGIT+", 'FRACTION: "." DIGIT+', 'DIGIT: "0".."9"'),
      ["1", "12.5"],
      ["1.", "x"],
    ],
    [
      "recursion",
      lark("?start: sum", '!sum: sum "+" item | item', 'item: /[0-9]+/ | "(" sum ")"'),
      ["1", "1+(2+3)"],
      ["1+", "(1"],
    ],
    [
      "ignored text stands before terminals and at the end",
      lark(
        'start: WORD "," list',
        "list: WORD*",
        "WORD: LETTER LETTER",
        "%import common.LETTER",
        "%ignore / +/",
        '%ignore "!"',
      ),
      ["ab,", " ab ! ,cdef  gh!! "],
      ["a b,", "ab;", "ab,c d"],
    ],
    [
      "imports",
      lark(
        "start: ESCAPED_STRING | NUM | C_COMMENT",
        "%import common.SIGNED_NUMBER -> NUM",
        "%import common (ESCAPED_STRING, C_COMMENT)",
      ),
      ['"a\\"b"', "-1.5e3", ".5", "/* a * b **/"],
      ['"a"b"', "e3", "/* */ */"],
    ],
    ["comments", lark("// one", "start: a # two", "a: // three", ' | "x"'), ["", "x"], ["y"]],
    ["lines in parentheses", lark("start: (", '  "a"', '  | "b"', ") [", '"c"', "]"), ["a", "bc"], ["", "c"]],
    ["names", lark("start: _a-1 _B", '_a-1: "x"', '_B: "y"'), ["xy"], []],
    [
      "JSON",
      lark(
        'start: "call " %json {"type": "object", "properties": {"a{": {"type": "integer"}}, "required": ["a{"]} more?',
        'more: ";" start',
      ),
      ['call {"a{":1}', 'call {"a{": 1};call {"a{":2}'],
      ["call {}", "call 1"],
    ],
    [
      "a number of JSON ends where the rule goes on",
      lark("start: n+", 'n: "<" %json {"type":"integer"} "1>"'),
      ["<11>", "<101><-21>"],
      ["<1>", "<1"],
    ],
  ];
  it.each(cases)("%s", (_, format, right, wrong) => check(format, right, wrong));

  const invalid: readonly (readonly [string, Format, string, string])[] = [
    ["no start", lark('a: "x"'), "invalid_schema", "has no rule start"],
    ["an undefined rule", lark("start: a"), "invalid_schema", '"a" is not defined (line 1, column 8)'],
    ["an undefined terminal", lark("start: A"), "invalid_schema", '"A" is not defined'],
    [
      "a second definition",
      lark('start: "a"', 'start: "b"'),
      "invalid_schema",
      '"start" is defined a second time (line 2',
    ],
    [
      "a recursive terminal",
      lark("start: A", 'A: "a" B', "B: A?"),
      "invalid_schema",
      "a terminal that refers to itself",
    ],
    ["a rule in a terminal", lark("start: A", "A: a", 'a: "x"'), "invalid_schema", 'refers to the rule "a"'],
    ["an open string", lark('start: "a'), "invalid_schema", "the text ends"],
    ["an open group", lark('start: ("a"', 'b: "b"'), "invalid_schema", '")" was expected'],
    ["an empty range", lark('start: "b".."a"'), "invalid_schema", "a range has two characters"],
    ["an unknown escape", lark('start: "\\d"'), "invalid_schema", "is no escape"],
    ["an expression that is none", lark("start: /(/"), "invalid_schema", 'the regular expression "/(/" cannot be used'],
    ["an unknown flag", lark("start: /a/x"), "unsupported_schema", 'the flag "x" is not supported'],
    ["priorities", lark('start.2: "a"'), "unsupported_schema", "priorities"],
    ["templates", lark('start: a{"x"}', "a{x}: x"), "unsupported_schema", "templates"],
    ["templates that are defined", lark("a{x}: x", 'start: "b"'), "unsupported_schema", "templates"],
    ["a line that defines nothing", lark('start: "a"', ': "b"'), "invalid_schema", "a rule, a terminal or a directive"],
    ["a repetition without an end", lark('start: "a"{2,3'), "invalid_schema", '"}" was expected'],
    ["JSON in terminals", lark("start: A", 'A: %json {"type": "null"}'), "unsupported_schema", "can be used in rules"],
    ["back-references", lark("start: /(a)\\1/"), "unsupported_schema", "cannot be used"],
    ["attributes", lark("start: a", 'a[lazy]: "x"'), "unsupported_schema", "attributes"],
    ["special tokens", lark("start: <|end|>"), "unsupported_schema", "special tokens"],
    ["other grammars", lark("start: @other"), "unsupported_schema", "references to other grammars"],
    ["intersections", lark("start: A", "A: /a/ & /b/"), "unsupported_schema", "the operator &"],
    ["complements", lark("start: A", "A: ~/a/"), "unsupported_schema", "the operator ~"],
    ["declarations", lark("%declare A", "start: A"), "unsupported_schema", "%declare is not supported"],
    ["other directives in rules", lark('start: %regex {"x": 1}'), "unsupported_schema", "%regex is not supported"],
    [
      "other libraries",
      lark("%import python.NAME", "start: NAME"),
      "unsupported_schema",
      '"python.NAME" cannot be imported',
    ],
    ["unknown imports", lark("%import common.NAME", "start: NAME"), "invalid_schema", 'no terminal "NAME"'],
    ["a schema that is no JSON", lark("start: %json {1}"), "invalid_schema", "the schema is no JSON"],
    ["a schema that cannot be used", lark('start: %json {"type": "x"}'), "invalid_schema", "A schema of the grammar"],
    ["a start that is never complete", lark('start: "a" start'), "invalid_schema", "allows no text"],
  ];
  it.each(invalid)("refuses %s", (_, format, code, message) => {
    const error = failure(format);
    expect(error.message).toContain(message);
    expect([error.code, error.param]).toEqual([code, ""]);
  });
});
