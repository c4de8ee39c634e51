import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { check, failure, matcherOf, schema, tokensOf } from "../../spec-tests/fixtures/grammars.js";
import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { Budget } from "../budget.js";
import { EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import { compiledData } from "./compile.js";
import { type Language, Languages } from "./language.js";
import { PatternError, patternLanguage } from "./pattern.js";

const textsOf = (alphabet: readonly string[], maxLength: number): fc.Arbitrary<string[]> =>
  fc.array(fc.string({ unit: fc.constantFrom(...alphabet), maxLength }), { minLength: 12, maxLength: 12 });

/** Patterns of these parts, joined in all ways that ECMA-262 has. */
function patternsOf(atoms: readonly string[], groups: readonly string[]): fc.Arbitrary<string> {
  const quantifiers = ["*", "+", "?", "{2}", "{1,3}", "{2,}", "*?", "{0,2}?"];
  return fc.letrec<{ pattern: string; atom: string }>((tie) => ({
    atom: fc.constantFrom(...atoms),
    pattern: fc.oneof(
      { maxDepth: 5, depthIdentifier: "pattern" },
      { arbitrary: tie("atom"), weight: 2 },
      { arbitrary: fc.tuple(tie("pattern"), tie("pattern")).map(([first, second]) => first + second), weight: 3 },
      {
        arbitrary: fc.tuple(tie("pattern"), tie("pattern")).map(([first, second]) => `(?:${first}|${second})`),
        weight: 1,
      },
      {
        arbitrary: fc
          .tuple(tie("pattern"), fc.constantFrom(...quantifiers))
          .map(([of, quantifier]) => `(?:${of})${quantifier}`),
        weight: 2,
      },
      {
        arbitrary: fc.tuple(fc.constantFrom(...groups), tie("pattern")).map(([open, of]) => `${open}${of})`),
        weight: 2,
      },
    ),
  })).pattern;
}

/** Compiles a pattern to a language without dead ends, or returns null if it is refused with one of these reasons. */
function compiled(languages: Languages, pattern: string, isWhole: boolean, refusals: RegExp): Language | null {
  try {
    return languages.settle(patternLanguage(languages, pattern, isWhole, 10_000), 20_000);
  } catch (error) {
    if (error instanceof PatternError && refusals.test(error.message)) return null;
    throw error;
  }
}

function expectSame(
  pattern: string,
  reference: string,
  flags: string,
  texts: readonly string[],
  refusals: RegExp,
): void {
  for (const isWhole of [false, true]) {
    const languages = new Languages(null);
    const language = compiled(languages, pattern, isWhole, refusals);
    if (language === null) return;
    const expected = new RegExp(isWhole ? `(?<![^])(?:${reference})(?![^])` : reference, flags);
    for (const text of texts)
      expect(languages.has(language, text), `${isWhole} ${JSON.stringify(text)}`).toBe(expected.test(text));
    expectNoDeadEnds(languages, language);
  }
}

function expectNoDeadEnds(languages: Languages, language: Language): void {
  const states = new Set([language]);
  for (const state of states) {
    const { targets } = languages.steps(state);
    expect(state === languages.none || state.isAccepting || targets.length > 0).toBe(true);
    for (const target of targets) if (states.size < 300) states.add(target);
  }
}

const NEVER = /^$/;
const LOOK_BEHIND = /inside look-behind/;

describe("patterns match the same texts as RegExp", () => {
  it("with look-around, anchors and word boundaries anywhere", () => {
    const atoms = ["a", "b", "-", "^", "$", "\\b", "\\B", ".", "[ab]", "[^a]", "\\w", "\\W"];
    const groups = ["(", "(?=", "(?!", "(?<=", "(?<!", "(?<=a", "(?!a", "(?=.*"];
    const property = fc.property(patternsOf(atoms, groups), textsOf(["a", "b", "-", "\n"], 6), (pattern, texts) =>
      expectSame(pattern, pattern, "u", texts, LOOK_BEHIND),
    );
    fc.assert(property, { numRuns: numCases(1500) });
  });

  it.each(["^a{0,2}(?:^|x)b$", "^a*(?:^|x)b$", "(?:a{0,2}|x)(?:^|b)a$", "^(?:a|bx){0,3}(?<!a)b", "a{0,2}\\b(?:^x|b)"])(
    "with texts that may be empty before a place where the start counts: %s",
    (pattern) => {
      const texts = [""];
      for (let from = 0; texts.length < 4 ** 5; from++) for (const letter of "abx-") texts.push(texts[from]! + letter);
      expectSame(pattern, pattern, "u", texts, NEVER);
    },
  );

  it("with counted repetitions that overlap, follow one another or leave gaps", () => {
    const counts = fc.tuple(fc.nat(3), fc.option(fc.nat(2), { nil: Infinity }));
    const counted = fc.letrec<{ pattern: string }>((tie) => ({
      pattern: fc.oneof(
        { maxDepth: 2, depthIdentifier: "pattern" },
        fc.constantFrom("a", "b", "a?", "[ab]", "ab"),
        fc
          .tuple(tie("pattern"), counts)
          .map(([of, [min, more]]) => `(?:${of}){${min},${more === Infinity ? "" : min + more}}`),
        fc.tuple(fc.constantFrom("a", "b"), fc.nat(6), fc.nat(6)).map(([of, m, n]) => `(?:${of}{${m}}|${of}{${n}})`),
        fc.tuple(tie("pattern"), tie("pattern")).map(([first, second]) => `(?:${first}|${second})`),
        fc.tuple(tie("pattern"), tie("pattern")).map(([first, second]) => first + second),
      ),
    })).pattern;
    const texts = fc.array(
      fc
        .array(fc.tuple(fc.constantFrom("a", "b"), fc.nat(5)), { maxLength: 3 })
        .map((runs) => runs.map(([text, count]) => text.repeat(count)).join("")),
      { minLength: 12, maxLength: 12 },
    );
    const property = fc.property(counted, texts, (pattern, all) => expectSame(pattern, pattern, "u", all, NEVER));
    fc.assert(property, { numRuns: numCases(2000) });
  });

  it("without the u flag", () => {
    const atoms = [
      "a",
      "b",
      "\\-",
      "\\_",
      "\\@",
      "\\8",
      "{",
      "}",
      "]",
      "{a}",
      "a{,b",
      "x{1",
      "[\\w-.]",
      "[a-\\d]",
      "[{]",
      "[\\-_]",
      "\\101",
      "\\0",
      "[\\101-\\103]",
      "\\7",
      "[\\b]",
      "(?=a)?",
      "(?!a)*",
      "\\cA",
      "\\x61",
      "\\u0061",
    ];
    const alphabet = [
      "a",
      "b",
      "-",
      "_",
      "@",
      "{",
      "}",
      "]",
      "A",
      "B",
      "1",
      "8",
      ".",
      "\0",
      "\x07",
      "\b",
      "\x01",
      ",",
      "x",
    ];
    const property = fc.property(patternsOf(atoms, ["(?:", "(?="]), textsOf(alphabet, 6), (part, texts) => {
      // Makes each pattern invalid with the flag.
      const pattern = `(?:${part})\\_?`;
      expectSame(pattern, pattern, "", texts, NEVER);
    });
    fc.assert(property, { numRuns: numCases(1500) });
  });

  it.each(["i", "s", "m", "is", "ims"])("with the flags %s", (flags) => {
    const atoms = [
      "a",
      "B",
      "^",
      "$",
      "\\b",
      ".",
      "[a-c]",
      "[^a]",
      "\\w",
      "\\W",
      "s",
      "ß",
      "[^K]",
      "\\P{Lu}",
      "\\p{Lu}",
      "ς",
    ];
    const alphabet = ["a", "A", "b", "B", "\n", "s", "ſ", "K", "k", "ß", "ẞ", "Σ", "ς", "-"];
    const property = fc.property(patternsOf(atoms, ["(?:", "(?=", "(?<="]), textsOf(alphabet, 5), (pattern, texts) => {
      for (const spelled of [`(?${flags})${pattern}`, `(?${flags}:${pattern})`, `(?P<n>(?${flags}:${pattern}))`])
        expectSame(spelled, `(?:${pattern})`, `${flags}u`, texts, LOOK_BEHIND);
    });
    fc.assert(property, { numRuns: numCases(300) });
  });

  it("with the letters of all scripts, ignoring case", () => {
    const letters = Array.from({ length: 0x1e944 }, (_, codePoint) => codePoint)
      .filter((codePoint) => codePoint < 0xd800 || codePoint > 0xdfff)
      .map((codePoint) => String.fromCodePoint(codePoint));
    for (const set of ["[a-zµſK]", "[α-ωΐ]", "[Ა-Ჿᲀ-ᲈ]", "[^ﬅ-ﬆÅ]", "\\p{Lu}"]) {
      const languages = new Languages(null);
      const language = patternLanguage(languages, `(?i:${set})`, true, 10);
      const expected = new RegExp(`^${set}$`, "iu");
      const wrong = letters.filter((letter) => languages.has(language, letter) !== expected.test(letter));
      expect(wrong).toEqual([]);
    }
  });
});

/** By pattern: texts that match and texts that do not. */
const TABLE: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  // Python
  ["(?i)^[A-C]x$", ["ax", "BX", "cX"], ["dx", "axx"]],
  ["(?s)^a.b$", ["a\nb", "axb"], ["ab"]],
  ["(?P<year>\\d{4})-(?P<m>\\d\\d)", ["1999-12"], ["199-12"]],
  ["\\A\\d+\\Z", ["12"], ["a12", "12a", "12\n"]],
  ["(?m)^b$", ["a\nb", "b", "b\na"], ["ab", "ba\n"]],
  ["^a(?#a comment)+b$", ["ab", "aab"], ["b"]],
  ["^a{,2}$", ["", "a", "aa"], ["aaa", "a{,2}"]],
  // PCRE and Java
  ["\\A\\d+\\z", ["12"], ["a12", "12a"]],
  ["^a\\hb[\\h\\-]$", ["a b\t", "a\u00a0b-"], ["ab-", "a\nb-"]],
  ["^\\pL\\pN$", ["é1", "ж٣"], ["1é", "éé"]],
  ["^\\p{IsLatin}+\\p{IsAlphabetic}$", ["abé"], ["abж1", "жa"]],
  ["^\\p{Greek}\\P{^Lu}$", ["αA"], ["aA", "αa"]],
  ["^[\\p{Alnum}\\-]\\p{Punct}$", ["a!", "-."], ["é!", "aa"]],
  ["^\\Qa.b*\\E+$", ["a.b*", "a.b**"], ["axb", "a.b"]],
  ["^\\x{41}\\x{1F600}$", ["A😀"], ["x{41}"]],
  ["^(?i:a)b(?-i:c)$", ["Abc", "abc"], ["aBc", "abC"]],
  ["(?i)^a(?-i:b)$", ["Ab"], ["aB"]],
  // What RegExp accepts keeps its meaning, also where other dialects read it differently.
  ["^[[:alpha:]]+$", ["a]]", ":]"], ["b", "a"]],
  ["^\\h|\\_$", ["_"], ["h"]],
  // Forms that are common in schemas
  ["^(?!foo$|bar$).*$", ["fo", "foox", ""], ["foo", "bar"]],
  ["^((?!abc).)*$", ["ab", "acb", ""], ["abc", "xxabcx"]],
  ["^(?=.*[A-Z])(?=.*\\d)[A-Za-z\\d]{4,6}$", ["Abc1", "1AAAAA"], ["abc1", "Abcd", "A1a", "A1aaaaa"]],
  ["^(?!-)[a-z\\d-]{1,5}(?<!-)$", ["a", "a-b"], ["-a", "a-", "aaaaaa"]],
  ["^([^,]+(,|$)){2,}$", ["a,b", "a,b,"], ["a", ",b", "a,,b"]],
  ["(?<=^|,)a(?=,|$)", ["a", "b,a", "a,b"], ["ba", "ab"]],
  ["(?<!\\$)\\bprice\\b", ["the price", "price."], ["$price", "prices"]],
];

describe("patterns of other dialects", () => {
  it.each(TABLE)("%s", (pattern, right, wrong) => {
    const languages = new Languages(null);
    const language = languages.settle(patternLanguage(languages, pattern, false, 1000), 20_000);
    for (const text of right) expect(languages.has(language, text), JSON.stringify(text)).toBe(true);
    for (const text of wrong) expect(languages.has(language, text), JSON.stringify(text)).toBe(false);
    const quoted = (texts: readonly string[]): string[] => texts.map((text) => JSON.stringify(text));
    check(schema({ type: "string", pattern }), quoted(right), quoted(wrong));
  });
});

describe("grammars of patterns with look-around", () => {
  const PATTERNS = [
    "^((?!abc).)*$",
    "^(?=.*b)(?=.{3,9}$)[ab-]+$",
    "^(?!-)(?:[a-c-]{1,4}(?<!-)\\.)+[ab]{2,3}$",
    "^(?:\\b\\w+\\b[ -]*){2,3}$",
    "^([^,]+(,|$)){3,}$",
    "(?<=a|^)b(?!a)",
  ];

  it("reach no dead end, whatever is chosen and however long the text may be", () => {
    const property = fc.property(
      fc.constantFrom(...PATTERNS),
      fc.integer({ min: 6, max: 30 }),
      fc.array(fc.nat(), { minLength: 200, maxLength: 200 }),
      (pattern, maxLength, choices) => {
        const matcher = matcherOf(schema({ type: "string", pattern, maxLength }));
        let text = "";
        for (const choice of choices) {
          const allowed = tokensOf(matcher.allowed());
          expect(allowed, text).not.toEqual([]);
          if (matcher.isFinished) break;
          const usual = allowed.filter((byte) => 'abc-.," '.includes(String.fromCharCode(byte)));
          const from = usual.length > 0 && choice % 8 > 0 ? usual : allowed;
          const byte = from[(choice >> 3) % from.length]!;
          expect(matcher.acceptToken(byte)).toBe(true);
          text += String.fromCharCode(byte);
        }
        expect(matcher.isFinished).toBe(true);
        const answer = JSON.parse(Buffer.from(text, "latin1").toString()) as string;
        expect([...answer].length).toBeLessThanOrEqual(maxLength);
        expect(answer).toMatch(new RegExp(pattern, "u"));
      },
    );
    fc.assert(property, { numRuns: numCases(600) });
  });
});

describe("groups with names", () => {
  it.each([
    ["^(?<ab>c)d$", ["cd"], ["ab>cd", "abcd", "d"]],
    ["^(?P<n>x|y)+$", ["xy"], ["n"]],
    ["^a\\-\\1$", ["a-\u0001"], ["a-a", "a-1"]],
  ])("%s", (pattern, right, wrong) => {
    check(
      schema({ type: "string", pattern }),
      right.map((text) => JSON.stringify(text)),
      wrong.map((text) => JSON.stringify(text)),
    );
  });
});

describe("patterns that are refused", () => {
  it.each([
    ["(a)\\1", "back-references are not supported"],
    ["(?<x>a)\\k<x>", "back-references are not supported"],
    ["(?P<x>a)(?P=x)", "back-references are not supported"],
    ["a*+b", "possessive repetition is not supported"],
    ["(?>a*)b", "a group that begins with (?> is not supported"],
    ["(?x)a b", "a group that begins with (?x is not supported"],
    ["a(?i)b", "a group that begins with (?i is not supported"],
    ["(a)?(?(1)b|c)", "a group that begins with (?( is not supported"],
    ["(*UTF8)a", "a group that begins with (* is not supported"],
    ["^\\a$", "\\a has no meaning in ECMA-262"],
    ["\\Rx", "\\R has no meaning in ECMA-262"],
    ["(?<=a$)b", "inside look-behind"],
    ["(?<=(?<=a)b)c", "look-behind inside look-behind is not supported"],
    ["((?=a{100})a){7000}", "more than 10000 positions"],
    ["((?=a)b{9}){2000}", "more than 10000 positions"],
    ["a{99999999999}", "repeats more than"],
  ])("%s", (pattern, reason) => {
    const error = failure(schema({ pattern }));
    expect(error.code).toBe("unsupported_schema");
    expect(error.message).toContain(reason);
  });

  it.each([
    ["[b-a]", "Range out of order"],
    ["(", "Unterminated group"],
    ["a**", "Nothing to repeat"],
    ["\\p{Klingon}", "the property \\p{Klingon} is not known"],
    ["\\x{110000}", "is no character"],
  ])("%s, which is no regular expression in any dialect", (pattern, reason) => {
    const error = failure(schema({ pattern }));
    expect(error.code).toBe("invalid_schema");
    expect(error.message).toContain(reason);
  });
});

describe("patterns that are long, deep or repeat often", () => {
  const cost = (pattern: string): number => {
    let numSteps = 0;
    const { spend } = Budget.prototype;
    Budget.prototype.spend = function (steps = 1) {
      numSteps += steps;
      spend.call(this, steps);
    };
    try {
      compiledData(schema({ type: "string", pattern }));
    } finally {
      Budget.prototype.spend = spend;
    }
    return numSteps;
  };

  it.each([
    "^.{1,32767}$",
    "^[a-z]{1,65535}$",
    "^(.|\\n){0,5000}$",
    "^[\\s\\S]{0,10000}$",
    "^(\\w{1,20}\\s){1,1000}$",
    "^\\w+(?:\\W+\\w+){0,9999}$",
    "^(?:(?:[a-z]{1,63}\\.){1,500};){1,9999}$",
    "^(?=.{1,253}$)([a-z\\d]([a-z\\d-]{0,61}[a-z\\d])?\\.)+[a-z]{2,63}$",
  ])("%s compiles in few steps", (pattern) => expect(cost(pattern)).toBeLessThan(10_000));

  it.each([
    "^(\\w+ ?){1,500}$",
    "^(?:\\S+\\s+){0,199}\\S+$",
    "^(?:\\b\\w+\\b\\s*){1,250}$",
    "^(?!\\s)[^]{1,5000}(?<!\\s)$",
  ])("%s compiles", (pattern) => expect(cost(pattern)).toBeLessThan(400_000));

  it.each([
    ["a window", "(a|b)*a(a|b){5000}$", "states"],
    ["lengths that drift apart", "^(?:x{17}|x{18}){0,50000}$", "states"],
    ["look-ahead", "^(?=(a|b)*a(a|b){14}$)(?!(a|b)*b(a|b){14}c)", "states"],
    ["look-behind", "(?<=a.{20})b", "states"],
    ["groups", "(".repeat(10_000) + "a" + ")".repeat(10_000), "nested deeper"],
    ["look-ahead in look-ahead", "(?=".repeat(3000) + "a" + ")".repeat(3000), "nested deeper"],
    ["look-behind in look-behind", "(?<!".repeat(3000) + "a" + ")".repeat(3000), "nested deeper"],
    ["groups with flags", "(?i:".repeat(3000) + "a" + ")".repeat(3000), "nested deeper"],
    ["groups without the u flag", "\\_" + "(".repeat(3000) + ")".repeat(3000), "nested deeper"],
    ["repetitions in repetitions", "(?:".repeat(3000) + "a" + "){2}".repeat(3000), "nested deeper"],
    ["look-around in repetitions", "^(?:(?=a)(?:b(?=c)){0,90}){200}", "positions"],
    ["properties ignoring case", "(?i)" + "\\p{Lu}".repeat(5000), "steps to compile"],
    ["letters ignoring case", "(?i)" + "[a-z]".repeat(9000), "states"],
  ])("are refused: %s", (_, pattern, reason) => {
    const error = failure(schema({ type: "string", pattern }));
    expect(error.code).toBe("unsupported_schema");
    expect(error.message).toContain(reason);
    expect(error.message.length).toBeLessThan(400);
  });

  it.each([
    ["look-ahead", (depth: number) => "(?=".repeat(depth) + "a" + ")".repeat(depth) + "a"],
    ["negative look-ahead", (depth: number) => "(?!".repeat(depth) + "a" + ")".repeat(depth) + "b"],
    ["groups with flags", (depth: number) => "(?i:".repeat(depth) + "a" + ")".repeat(depth)],
    ["word boundaries", (depth: number) => "(?:\\b".repeat(depth / 5) + "a" + ")".repeat(depth / 5)],
    [
      "word boundaries in look-ahead",
      (depth: number) => "(?=\\b".repeat(depth / 5) + "a" + ")".repeat(depth / 5) + "a",
    ],
    ["repetitions of look-ahead", (depth: number) => "(?:(?=a)".repeat(depth / 10) + "a" + ")*".repeat(depth / 10)],
  ])("may nest %s up to the limit", (_, pattern) => {
    expect(cost(pattern(LIMITS.maxPatternDepth - 1))).toBeLessThan(LIMITS.maxGrammarSteps);
  });

  it("compile where thousands of parts are repeated", () => {
    expect(cost(`^(?:${"ab".repeat(4900)}){2,5000}$`)).toBeLessThan(LIMITS.maxGrammarSteps);
    expect(cost(`^(?:${"[ab]c?".repeat(2000)}d){2,5000}$`)).toBeLessThan(LIMITS.maxGrammarSteps);
  });

  it("compile or are refused where repetitions are nested up to the limit", () => {
    const { maxPatternDepth: depth } = LIMITS;
    for (const end of ["){1,2}", ")*", "){3}", "x)?", "){0,4}(?=b)"]) {
      const pattern = "(?:".repeat(depth) + "a" + end.repeat(depth);
      try {
        cost(pattern);
      } catch (error) {
        expect(error).toBeInstanceOf(EngineError);
      }
    }
  });
});
