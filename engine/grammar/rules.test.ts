import { describe, expect, it } from "vitest";
import {
  accepts,
  begins,
  check,
  failure,
  matcherOf,
  tokensOf,
  utf8,
  type Format,
} from "../../spec-tests/fixtures/grammars.js";
import { LIMITS } from "../limits.js";
import { VocabularyTrie } from "./index.js";

const gbnf = (...lines: string[]): Format => ({ type: "grammar", syntax: "gbnf", grammar: lines.join("\n") });
const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe("context-free grammars", () => {
  const sum = gbnf(
    "root ::= sum",
    'sum ::= sum "+" product | product',
    'product ::= product "*" item | item',
    'item ::= [0-9]+ | "(" sum ")"',
  );
  const cases: readonly (readonly [string, Format, readonly string[], readonly string[]])[] = [
    ["nesting", gbnf('root ::= "a" root "b" | ""'), ["", "ab", "aaabbb"], ["a", "aab", "abb", "ba"]],
    ["two kinds of brackets", gbnf('root ::= ("(" root ")" | "[" root "]")*'), ["", "([])()"], ["([)]", "(", ")"]],
    ["left recursion", sum, ["1", "1+2*(3+4)*5", "((1))"], ["", "1+", "+1", "(1", "1)", "()"]],
    [
      "indirect left recursion",
      gbnf('root ::= a | "r"', 'a ::= b "a"', 'b ::= root "b" | "x"'),
      ["r", "xa", "rba", "xabaRba".replace("R", "")],
      ["x", "ra", "xab"],
    ],
    [
      "left recursion hidden behind a rule that may be empty",
      gbnf('root ::= n root "a" | "b"', 'n ::= "" | "c" n "d"'),
      ["b", "baa", "cdba", "ccddcdbaa"],
      ["ba a", "cdb a", "cba", "cdcdba"],
    ],
    ["a rule that is itself", gbnf('root ::= root | "x" | root'), ["x"], ["", "xx"]],
    ["rules that are each other", gbnf("root ::= a", 'a ::= b | "a"', 'b ::= a | "b" "c"'), ["a", "bc"], ["", "b"]],
    ["rules that are always empty", gbnf('root ::= e e "x" e | e', 'e ::= e e | ""'), ["", "x"], ["xx"]],
    ["ambiguity", gbnf('root ::= root root | "x" | ""'), ["", "x", "x".repeat(400)], ["y"]],
    [
      "a rule of which a part is never complete",
      gbnf('root ::= "a" loop | "a" "b" | loop "c"', 'loop ::= "a" loop'),
      ["ab"],
      ["aa", "a"],
    ],
    [
      "several callers of a rule that ends with a call",
      gbnf('root ::= a "x" | a "y" | "1" b "z"', 'a ::= "1" b', 'b ::= "2" b "3" | "4"'),
      ["14x", "14y", "1243x", "1243y", "1243z"],
      ["14", "124y", "14xy"],
    ],
    ["only the empty text", gbnf('root ::= ""'), [""], ["a"]],
    ["only the empty text, with recursion", gbnf("root ::= r r", 'r ::= "" | r'), [""], ["a"]],
    ["palindromes", gbnf('root ::= "a" root "a" | "b" root "b" | [ab]?'), ["", "a", "abba", "ababa"], ["ab", "abb"]],
    ["code points in several bytes", gbnf('root ::= "é" root "è" | "😀"'), ["😀", "éé😀èè"], ["é😀é"]],
  ];
  it.each(cases)("%s", (_, format, right, wrong) => check(format, right, wrong));

  it("a beginning that nothing can complete is not allowed", () => {
    const format = gbnf('root ::= "a" loop | "a" "b" | "c"', 'loop ::= "a" loop | loop');
    expect(begins(format, "a")).toBe(true);
    expect(begins(format, "aa")).toBe(false);
  });

  it("rules are open only as deep as can be completed within the limit", () => {
    const format = gbnf(
      'root ::= "(" root ")" | "<" a ">"',
      'a ::= "a" b "a" | "[" a "]"',
      'b ::= "b" c "b" | "[" b "]"',
      'c ::= "c" | "[" c "]"',
    );
    const matcher = matcherOf(format);
    let depth = 0;
    while (matcher.acceptBytes(utf8.encode("("))) depth++;
    expect(depth).toBeGreaterThan(LIMITS.maxGrammarStack - 8);
    expect(matcher.acceptBytes(utf8.encode(`<abcba>${")".repeat(depth)}`))).toBe(true);
    expect(matcher.isFinished).toBe(true);
  });

  it("a terminal ends only between code points", () => {
    const format = gbnf('root ::= [é-ü]* ("(" root ")")? [a-z]*');
    expect(accepts(format, "é(ü)x")).toBe(true);
    for (const bytes of [[0xc3], [0xc3, 0x28, 0x29], [0xc3, 0x61]])
      expect(accepts(format, Uint8Array.from(bytes))).toBe(false);
  });

  it("masks are what reading each token gives, with tokens of plain text and others", () => {
    const grammars: readonly Format[] = [
      gbnf('root ::= "\\"" ([^"\\\\\\x7F\\x00-\\x1F] | "\\\\" ["n])* "\\"" | "[" root* "]"'),
      gbnf('root ::= "(" [^()]* (root [^()]*)* ")"'),
      gbnf('root ::= .* "!" | "a" root'),
      gbnf('root ::= .{2,4} "(" root? ")"'),
      { type: "grammar", syntax: "lark", grammar: 'start: "<" %json {"type": "object"} ">" | "(" start ")"' },
      {
        type: "structural_tag",
        structures: [{ begin: "<<a", schema: { type: "integer" }, end: "" }],
        triggers: ["<<"],
      },
    ];
    const words = [
      "ab",
      "é",
      "日本",
      "é(",
      '"',
      'a"',
      "\u007f",
      "\\n",
      "((",
      ")(",
      "))",
      "a!",
      "<",
      "<<",
      "x<<",
      "<<a1",
      "{}",
      '{"',
      '{"a":',
      "1",
      "1}",
      ">",
      "\n",
    ];
    const tokens = [...range(256).map((byte) => Uint8Array.of(byte)), ...words.map((word) => utf8.encode(word))];
    const trie = VocabularyTrie.build([...tokens, null]);
    let seed = 1;
    for (const format of grammars) {
      for (let run = 0; run < 8; run++) {
        const matcher = matcherOf(format, trie, [tokens.length]);
        for (let step = 0; step < 12; step++) {
          const allowed = tokensOf(matcher.allowed()).filter((token) => token < tokens.length);
          expect(allowed).toEqual([...tokens.keys()].filter((token) => matcher.allowsBytes(tokens[token]!)));
          if (allowed.length === 0) break;
          seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
          const texts = allowed.filter((token) => token >= 256 || token === 0x28 || token === 0x29);
          const from = texts.length > 0 ? texts : allowed;
          expect(matcher.acceptToken(from[(seed >>> 8) % from.length]!)).toBe(true);
        }
      }
    }
  });

  it("right recursion needs no depth", () => {
    const format = gbnf('root ::= "[" list "]"', 'list ::= root ("," list)? | "x" list | ""');
    expect(accepts(format, `[${"x".repeat(3000)}]`)).toBe(true);
    expect(accepts(format, `[${"[],".repeat(1000)}[]]`)).toBe(true);
  });

  it("a grammar whose shortest text is too deep is refused", () => {
    const depth = LIMITS.maxGrammarStack + 10;
    const format = gbnf(
      "root ::= r0",
      ...range(depth).map((i) => `r${i} ::= "(" r${i + 1} ")" | "[" r${i} "]"`),
      `r${depth} ::= "x"`,
    );
    const error = failure(format);
    expect(error.code).toBe("unsupported_schema");
    expect(error.message).toContain(`nested deeper than ${LIMITS.maxGrammarStack} levels`);
  });
});

describe("hostile grammars", () => {
  it("10,000 groups in each other are refused", () => {
    const error = failure(gbnf(`root ::= ${"(".repeat(10_000)}"a"${")".repeat(10_000)}`));
    expect([error.code, error.message.includes("nested deeper than 500 levels")]).toEqual(["unsupported_schema", true]);
  });

  it("thousands of rules in a chain compile", () => {
    const nested = gbnf(
      "root ::= r0",
      ...range(3000).map((i) => `r${i} ::= "a" r${i + 1} "b" | "c" r${i + 1}`),
      'r3000 ::= "x" | r0',
    );
    expect(accepts(nested, `${"c".repeat(2990)}${"a".repeat(10)}x${"b".repeat(10)}`)).toBe(true);
    const alternatives = gbnf(
      "root ::= r0 | root",
      ...range(3000).map((i) => `r${i} ::= r${i + 1} | "a${i}" root`),
      'r3000 ::= "x"',
    );
    expect(accepts(alternatives, "a17a2999x")).toBe(true);
  });

  const refused: readonly (readonly [string, Format])[] = [
    ["repetitions of repetitions", gbnf('root ::= ("(" root ")" | "x"){1,1000}{1,1000}')],
    [
      "a component of left recursion with many rules",
      gbnf(
        "root ::= r0",
        ...range(400).map((i) => `r${i} ::= r${(i + 1) % 400} "a${i}" | "(" r${(i * 7) % 400} ")" | "x"`),
      ),
    ],
    [
      "many parts that may be empty",
      gbnf(
        `root ::= ${range(1000)
          .map((i) => `r${i}?`)
          .join(" ")}`,
        ...range(1000).map((i) => `r${i} ::= "(" r${i} ")" | "x${i}"`),
      ),
    ],
  ];
  it.each(refused)("%s: refused within the budget", (_, format) => {
    const before = performance.now();
    const error = failure(format);
    expect(error.code).toBe("unsupported_schema");
    expect(performance.now() - before).toBeLessThan(5000);
  });

  const ambiguous: readonly (readonly [string, Format, string])[] = [
    ["all ways to join", gbnf('root ::= root root | "x" | ""'), "x"],
    ["three at a time", gbnf('root ::= root root root | root root | "x" | "" | "(" root ")"'), "(x(xx)x)"],
    ["two rules", gbnf("root ::= a", 'a ::= "x" a b | "x"', 'b ::= "x" b a | ""'), "x"],
    ["optional ends", gbnf('root ::= "x" root e e e e | "x"', 'e ::= "" | "y" e "z"'), "x"],
  ];
  it.each(ambiguous)(
    "ambiguity (%s): each byte is read in bounded time, and some byte always follows",
    (_, format, piece) => {
      const matcher = matcherOf(format);
      let longest = 0;
      for (let i = 0; i < 1200; i++) {
        const before = performance.now();
        const isRead = matcher.acceptBytes(utf8.encode(piece[i % piece.length]!));
        longest = Math.max(longest, performance.now() - before);
        if (!isRead) break;
      }
      // Some ten milliseconds; the limit leaves room for a busy machine.
      expect(longest).toBeLessThan(500);
      expect(matcher.allowed().some((word) => word !== 0)).toBe(true);
    },
  );
});
