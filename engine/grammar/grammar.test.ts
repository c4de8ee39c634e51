import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import {
  type AnswerFormat,
  FORMATS,
  GrammarMatcher,
  SCHEMA_KEYWORDS,
  VocabularyTrie,
  compileGrammar,
} from "./index.js";

type Format = Exclude<AnswerFormat, { type: "text" }>;

const END = 256;
const BYTES = VocabularyTrie.build([...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)), null]);
const utf8 = new TextEncoder();

const schema = (value: unknown): Format => ({ type: "json_schema", schema: value });

function matcherOf(format: Format, trie = BYTES, ends: readonly number[] = [END]): GrammarMatcher {
  return new GrammarMatcher(compileGrammar(format), trie, ends);
}

/** True if the text is a complete answer. */
function accepts(format: Format, text: string | Uint8Array): boolean {
  const matcher = matcherOf(format);
  return matcher.acceptBytes(typeof text === "string" ? utf8.encode(text) : text) && matcher.isComplete;
}

/** True if the text is the beginning of an answer. */
const begins = (format: Format, text: string): boolean => matcherOf(format).acceptBytes(utf8.encode(text));

function check(format: Format, right: readonly string[], wrong: readonly string[]): void {
  for (const text of right) expect(accepts(format, text), text).toBe(true);
  for (const text of wrong) expect(accepts(format, text), text).toBe(false);
}

function failure(format: Format): EngineError {
  try {
    compileGrammar(format);
  } catch (error) {
    expect(error).toBeInstanceOf(EngineError);
    return error as EngineError;
  }
  throw new Error("The format compiled without an error.");
}

function tokensOf(mask: Uint32Array): number[] {
  return Array.from({ length: mask.length * 32 }, (_, tokenId) => tokenId).filter(
    (tokenId) => ((mask[tokenId >> 5]! >> (tokenId & 31)) & 1) === 1,
  );
}

describe("white space between tokens", () => {
  it("is at most one space, or one newline and 32 characters of indentation", () => {
    const indented = (count: number): string => `{\n${" ".repeat(count)}"a": 1}`;
    check(
      { type: "json_object" },
      ['{"a":1}', '{ "a" : 1 , "b" : [ 1 , 2 ] }', '{\n\t"a": 1\n}', indented(32), "{}", "{ }"],
      ['{  "a":1}', '{\n\n"a":1}', '{ \n"a":1}', indented(33), '{\r\n"a":1}', ' {"a":1}', '{"a":1} ', '{"a":1}\n'],
    );
  });

  it("includes everything that JSON.stringify writes with indentation", () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ maxDepth: 5, stringUnit: "grapheme" }),
        fc.constantFrom(0, 2, 4, "\t"),
        (value, indentation) => {
          expect(accepts(schema(true), JSON.stringify(value, null, indentation))).toBe(true);
        },
      ),
    );
  });
});

describe("strings", () => {
  it("allow every escape of every character, and no lone surrogates", () => {
    check(
      schema({ const: "a😀\n" }),
      ['"a😀\\n"', '"\\u0061\\ud83d\\ude00\\u000a"', '"\\u0061\\uD83D\\uDE00\\u000A"'],
      ['"a😀\n"', '"a\\ud83d\\n"', '"a\\ude00\\ud83d\\n"', '"a\\u{1f600}\\n"'],
    );
    check(
      schema({ type: "string" }),
      ['"\\/\\b\\f\\n\\r\\t\\"\\\\"', '"\u007f\u2028"'],
      ['"\\ud800"', '"\\udc00"', '"\\ud800x"', '"\\x61"', '"\\a"', '"\u0001"', '"a'],
    );
  });

  it("are UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF", () => {
    const quoted = (...bytes: number[]): Uint8Array => Uint8Array.from([0x22, ...bytes, 0x22]);
    for (const format of [schema({ type: "string" }), schema({ type: "string", pattern: "^.*$", maxLength: 9 })]) {
      for (const right of [
        [0xc2, 0x80],
        [0xe0, 0xa0, 0x80],
        [0xed, 0x9f, 0xbf],
        [0xf0, 0x90, 0x80, 0x80],
        [0xf4, 0x8f, 0xbf, 0xbf],
      ]) {
        expect(accepts(format, quoted(...right)), String(right)).toBe(true);
      }
      for (const wrong of [
        [0xc0, 0x80],
        [0xc1, 0xbf],
        [0xe0, 0x80, 0x80],
        [0xe0, 0x9f, 0xbf],
        [0xed, 0xa0, 0x80],
        [0xf0, 0x80, 0x80, 0x80],
        [0xf0, 0x8f, 0xbf, 0xbf],
        [0xf4, 0x90, 0x80, 0x80],
        [0xf5, 0x80, 0x80, 0x80],
        [0x80],
        [0xc2],
        [0xc2, 0x41],
      ]) {
        expect(accepts(format, quoted(...wrong)), String(wrong)).toBe(false);
      }
    }
  });

  it("are accepted by the value that JSON.parse returns, in every spelling", () => {
    const spelled = fc.array(
      fc.oneof(
        fc.string({ unit: "binary", minLength: 1, maxLength: 1 }),
        fc.integer({ min: 0, max: 0xffff }).map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`),
        fc.constantFrom("\\ud83d\\ude00", "\\n", "é", '\\"'),
      ),
      { maxLength: 4 },
    );
    fc.assert(
      fc.property(
        spelled,
        fc.constantFrom({ minLength: 1, maxLength: 2 }, { pattern: "^[^a]+$" }, {}),
        (parts, keywords) => {
          const text = `"${parts.join("")}"`;
          let expected = false;
          try {
            const value = JSON.parse(text) as string;
            const length = [...value].length;
            const isLong = keywords.minLength === undefined || (length >= 1 && length <= 2);
            expected =
              !/[\uD800-\uDFFF]/u.test(value) &&
              isLong &&
              (keywords.pattern === undefined || new RegExp(keywords.pattern, "u").test(value));
          } catch {
            // Not JSON.
          }
          fc.pre(!/[\uD800-\uDFFF]/u.test(text));
          expect(accepts(schema({ type: "string", ...keywords }), text)).toBe(expected);
        },
      ),
      { numRuns: numCases(2000) },
    );
  });

  it("count their length in code points", () => {
    check(
      schema({ type: "string", minLength: 2, maxLength: 2 }),
      ['"ab"', '"😀é"', '"\\ud83d\\ude00a"'],
      ['"a"', '"😀"', '"abc"'],
    );
  });

  it("allow only bytes that begin a character of the pattern", () => {
    const format = schema({ type: "string", pattern: "^é$" });
    expect(tokensOf(after(format, '"').allowed())).toEqual([0x5c, 0xc3]);
    expect(tokensOf(after(format, '"\\').allowed())).toEqual([0x75]);
    expect(tokensOf(after(format, '"\\u00e').allowed())).toEqual([0x39]);
  });
});

function after(format: Format, text: string): GrammarMatcher {
  const matcher = matcherOf(format);
  expect(matcher.acceptBytes(utf8.encode(text))).toBe(true);
  return matcher;
}

describe("objects", () => {
  const person = schema({
    type: "object",
    properties: { name: { type: "string" }, age: { type: "integer" } },
    required: ["name"],
  });

  it("have declared properties in order, may omit optional ones, and have additional ones last", () => {
    check(
      person,
      ['{"name":"x"}', '{"name":"x","age":3}', '{"name":"x","age":3,"b":null,"a":[]}', '{"name":"x","b":1}'],
      ["{}", '{"age":3}', '{"age":3,"name":"x"}', '{"name":"x","b":1,"age":3}', '{"name":1}'],
    );
  });

  it("never repeat a name in any spelling", () => {
    check(
      person,
      ['{"name":"x","b":1,"bb":2,"":3}', '{"name":"x","é":1,"\\u00e9\\u00e9":2}'],
      [
        '{"name":"x","b":1,"b":2}',
        '{"name":"x","b":1,"\\u0062":2}',
        '{"name":"x","n\\u0061me":2}',
        '{"name":"x","age":1,"age":2}',
        '{"name":"x","é":1,"\\u00e9":2}',
        '{"name":"x","b":{"c":1,"c":2}}',
      ],
    );
    check(person, ['{"name":"x","b":{"b":1},"c":{"b":1}}'], []);
  });

  it("allow no beginning of a name if all such names are already used", () => {
    const format = schema({ type: "object", patternProperties: { "^(a|b.*)$": true }, additionalProperties: false });
    expect(begins(format, '{"a":1,"')).toBe(true);
    expect(begins(format, '{"a":1,"a')).toBe(false);
    expect(begins(format, '{"a":1,"\\u0061')).toBe(false);
    expect(begins(format, '{"a":1,"\\u006')).toBe(true);
    const narrow = schema({ type: "object", propertyNames: { enum: ["é", "ä"] } });
    expect(begins(narrow, '{"é":1,"ä":2,')).toBe(false);
    expect(begins(narrow, '{"é":1,"é')).toBe(false);
    expect(begins(narrow, '{"é":1,"ä":2}')).toBe(true);
  });

  it("respect the minimum and the maximum number of properties", () => {
    const names = { propertyNames: { pattern: "^[ab]$" } };
    check(
      schema({ type: "object", minProperties: 2, ...names }),
      ['{"a":1,"b":1}', '{"b":1,"a":1}'],
      ["{}", '{"a":1}', '{"a":1,"b":1,"c":1}'],
    );
    check(schema({ type: "object", maxProperties: 1 }), ["{}", '{"a":1}'], ['{"a":1,"b":1}']);
    expect(failure(schema({ type: "object", minProperties: 3, ...names })).code).toBe("invalid_schema");
    const needed = schema({
      type: "object",
      properties: { a: {}, b: {}, c: {} },
      maxProperties: 2,
      dependentRequired: { a: ["c"] },
    });
    check(
      needed,
      ['{"a":1,"c":1}', '{"b":1,"c":1}', '{"b":1}', "{}"],
      ['{"a":1}', '{"a":1,"b":1}', '{"a":1,"b":1,"c":1}'],
    );
    expect(begins(needed, '{"a":1,"b')).toBe(false);
  });
});

describe("schemas and expressions that are refused", () => {
  it.each([
    [{ properties: { a: { not: {} } } }, "unsupported_schema", "/properties/a/not", '"not"'],
    [
      { type: "object", properties: { "x/y~z": { uniqueItems: true } } },
      "unsupported_schema",
      "/properties/x~1y~0z/uniqueItems",
      '"uniqueItems"',
    ],
    [{ unheardOf: 1 }, "unsupported_schema", "/unheardOf", '"unheardOf"'],
    [{ $ref: "https://example.com/schema" }, "unsupported_schema", "/$ref", "points outside"],
    [{ $ref: "#/$defs/missing" }, "invalid_schema", "/$ref", "points to nothing"],
    [{ $ref: "#" }, "invalid_schema", "", "refers to itself"],
    [{ oneOf: [{ type: "integer" }, { minimum: 2 }] }, "unsupported_schema", "/oneOf", "provably disjoint"],
    [{ pattern: "a(?=b)" }, "unsupported_schema", "/pattern", "look-ahead"],
    [{ pattern: "(" }, "invalid_schema", "/pattern", "cannot be used"],
    [{ format: "iri" }, "unsupported_schema", "/format", '"iri"'],
    [{ type: "text" }, "invalid_schema", "/type", '"text"'],
    [{ items: [{}] }, "invalid_schema", "/items", "an array"],
    [{ minLength: -1 }, "invalid_schema", "/minLength", "non-negative"],
    [{ multipleOf: 0 }, "invalid_schema", "/multipleOf", "above 0"],
    // JSON.parse reads 1e400 as Infinity.
    [{ minimum: Infinity }, "invalid_schema", "/minimum", "beyond the range"],
    [{ const: -Infinity }, "invalid_schema", "/const", "beyond the range"],
    [{ enum: [1, { x: [Infinity] }] }, "invalid_schema", "/enum", "beyond the range"],
    [{ type: ["null", "null"] }, "invalid_schema", "/type", 'names "null" twice'],
    [{ required: ["a", "b", "a"] }, "invalid_schema", "/required", 'names "a" twice'],
    [{ dependentRequired: { a: ["b", "b"] } }, "invalid_schema", "/dependentRequired/a", 'names "b" twice'],
    [{ $anchor: "a b" }, "invalid_schema", "/$anchor", "an anchor contains"],
    [{ $comment: 1 }, "invalid_schema", "/$comment", "expected a string"],
    [{ title: null }, "invalid_schema", "/title", "expected a string"],
    [{ description: [] }, "invalid_schema", "/description", "expected a string"],
    [{ examples: 5 }, "invalid_schema", "/examples", "expected an array"],
    [{ deprecated: "x" }, "invalid_schema", "/deprecated", "expected a boolean"],
    [{ readOnly: 1 }, "invalid_schema", "/readOnly", "expected a boolean"],
    [{ writeOnly: null }, "invalid_schema", "/writeOnly", "expected a boolean"],
    [{ $schema: "https://example.com/dialect" }, "unsupported_schema", "/$schema", "drafts"],
    ["a string", "invalid_schema", "", "a schema is an object or a boolean"],
    [false, "invalid_schema", "", "no instance"],
    [{ type: "integer", minimum: 1.2, maximum: 1.8 }, "invalid_schema", "", "no instance"],
    [{ type: "object", properties: { a: { $ref: "#" } }, required: ["a"] }, "invalid_schema", "", "no instance"],
    [{ type: "string", pattern: "^a", maxLength: 0 }, "invalid_schema", "", "no instance"],
    [{ allOf: [{ type: "string" }, { type: "null" }] }, "invalid_schema", "", "no instance"],
    [{ type: "string", pattern: "^(a|b)*a(a|b){14}$" }, "unsupported_schema", "/pattern", "states"],
    [{ type: "string", pattern: "^(a|bc)*$", minLength: 30_000 }, "unsupported_schema", "", "states"],
  ])("%j: %s at %s", (value, code, pointer, part) => {
    const error = failure(schema(value));
    expect(error.code).toBe(code);
    expect(error.param).toBe(pointer);
    expect(error.message).toContain(part);
  });

  it("include schemas that are too large or too deep", () => {
    const nested = (depth: number): object => (depth === 0 ? {} : { items: nested(depth - 1) });
    expect(failure(schema(nested(LIMITS.maxSchemaDepth + 1))).message).toContain("nested deeper");
    expect(failure(schema({ const: JSON.parse("[".repeat(200) + "]".repeat(200)) })).message).toContain(
      "nested deeper",
    );
    expect(failure(schema({ description: "x".repeat(LIMITS.maxSchemaCharacters) })).message).toContain("characters");
    const many = Object.fromEntries(
      Array.from({ length: LIMITS.maxSchemaProperties + 1 }, (_, index) => [`p${index}`, {}]),
    );
    expect(failure(schema({ properties: many })).message).toContain("entries");
  });

  it("include regular expressions that are invalid, not regular, or match nothing", () => {
    expect(failure({ type: "regex", regex: "(" }).code).toBe("invalid_schema");
    expect(failure({ type: "regex", regex: "(a)\\1" }).code).toBe("unsupported_schema");
    expect(failure({ type: "regex", regex: "a^b" }).code).toBe("invalid_schema");
  });
});

describe("the tables of keywords and formats", () => {
  it("list every supported keyword", () => {
    const keywords = SCHEMA_KEYWORDS.map(({ keyword }) => keyword);
    for (const keyword of [
      "type",
      "enum",
      "const",
      "properties",
      "required",
      "additionalProperties",
      "patternProperties",
      "propertyNames",
      "minProperties",
      "maxProperties",
      "dependentRequired",
      "items",
      "prefixItems",
      "minItems",
      "maxItems",
      "minLength",
      "maxLength",
      "pattern",
      "format",
      "minimum",
      "maximum",
      "exclusiveMinimum",
      "exclusiveMaximum",
      "multipleOf",
      "anyOf",
      "oneOf",
      "allOf",
      "$ref",
      "$defs",
      "$anchor",
    ]) {
      expect(keywords).toContain(keyword);
    }
    expect(SCHEMA_KEYWORDS.filter(({ status }) => status === "annotation").map(({ keyword }) => keyword)).toContain(
      "description",
    );
  });

  it("give the true status of each format; unknown formats are annotations", () => {
    for (const { format, status } of FORMATS) {
      if (status === "enforced")
        expect(accepts(schema({ type: "string", format }), '"never any of them, see?"'), format).toBe(false);
      else expect(failure(schema({ format })).code).toBe("unsupported_schema");
    }
    expect(accepts(schema({ type: "string", format: "password" }), '"anything"')).toBe(true);
  });
});

describe("regular expressions", () => {
  it("describe the whole answer, without quotes", () => {
    check({ type: "regex", regex: "(yes|no)( please)?" }, ["yes", "no please"], ["", "yes!", '"yes"', "maybe"]);
    check({ type: "regex", regex: "[\\s\\S]*" }, ["", 'a\n"b\\', "😀"], []);
  });
});

describe("matchers", () => {
  /** Tokens that span several JSON tokens, tokens that are parts of characters, and tokens without text. */
  const WORDS = ['{"', 'a":', "1", "}", "}}", '"', "é", "\u{1f600}"].map((word) => utf8.encode(word));
  const tokens = [...WORDS, Uint8Array.of(0xf0, 0x9f), Uint8Array.of(0x98, 0x80), null, new Uint8Array(0)];
  const trie = VocabularyTrie.build(tokens);
  const end = 10;

  it("allow tokens that span several JSON tokens or are parts of characters, but no token without text", () => {
    const format = schema({
      type: "object",
      properties: { a: { type: "integer", maximum: 9, minimum: 1 } },
      required: ["a"],
      additionalProperties: false,
    });
    const matcher = matcherOf(format, trie, [end]);
    expect(tokensOf(matcher.allowed())).toEqual([0]);
    matcher.acceptToken(0);
    expect(tokensOf(matcher.allowed())).toEqual([1]);
    matcher.acceptToken(1);
    expect(tokensOf(matcher.allowed())).toEqual([2]);
    matcher.acceptToken(2);
    expect(matcher.isComplete).toBe(false);
    expect(tokensOf(matcher.allowed())).toEqual([3]);
    matcher.acceptToken(3);
    expect(matcher.isFinished).toBe(true);
    expect(tokensOf(matcher.allowed())).toEqual([end]);
    matcher.acceptToken(end);
    expect(tokensOf(matcher.allowed())).toEqual([end]);

    const smile = matcherOf(schema({ const: "\u{1f600}" }), trie, [end]);
    smile.acceptToken(5);
    expect(tokensOf(smile.allowed())).toEqual([7, 8]);
    smile.acceptToken(8);
    expect(tokensOf(smile.allowed())).toEqual([9]);
  });

  it("compare names within a token, and with the name that the token completes", () => {
    const spelled = [
      '{"',
      "x",
      "y",
      'a":1,"a":2}',
      'a":1,"b":2}',
      'a":1,"xa":2}',
      'a":{"a":1},"c":2}',
      'a":1,"x\\u0061":2}',
    ];
    const names = VocabularyTrie.build([...spelled.map((word) => utf8.encode(word)), null]);
    const allowedAfter = (text: string): number[] => {
      const matcher = matcherOf({ type: "json_object" }, names, [spelled.length]);
      expect(matcher.acceptBytes(utf8.encode(text))).toBe(true);
      return tokensOf(matcher.allowed());
    };
    // All calls share one grammar, so the masks of one name must not be cached for another.
    expect(allowedAfter('{"')).toEqual([0, 1, 2, 4, 5, 6, 7]);
    expect(allowedAfter('{"x')).toEqual([0, 1, 2, 3, 4, 6]);
    expect(allowedAfter('{"y')).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(allowedAfter('{"x')).toEqual([0, 1, 2, 3, 4, 6]);
  });

  it("allow the end token and further text if a complete answer may continue", () => {
    const matcher = matcherOf(schema({ type: "integer" }), trie, [end]);
    matcher.acceptToken(2);
    expect(matcher.isComplete).toBe(true);
    expect(matcher.isFinished).toBe(false);
    expect(tokensOf(matcher.allowed())).toEqual([2, end]);
  });

  it("never allow an end token as text", () => {
    const matcher = matcherOf({ type: "regex", regex: "11?" }, trie, [2]);
    expect(tokensOf(matcher.allowed())).toEqual([]);
  });

  it("return false for a token or bytes that are not allowed, and do not change", () => {
    const matcher = matcherOf(schema({ type: "integer" }), trie, [end]);
    expect(matcher.acceptBytes(utf8.encode("1}"))).toBe(false);
    expect(matcher.isComplete).toBe(false);
    expect(matcher.acceptToken(3)).toBe(false);
    expect(matcher.acceptToken(end)).toBe(false);
    expect(matcher.acceptBytes(utf8.encode("1"))).toBe(true);
  });

  it("still work after more states than the tables keep", () => {
    const depth = LIMITS.maxGrammarConfigurations + 1000;
    const deep = '[{"a":'.repeat(depth / 2) + "1" + "}]".repeat(depth / 2);
    expect(accepts(schema(true), deep)).toBe(true);
    expect(accepts(schema(true), `${deep.slice(0, -2)}]]`)).toBe(false);
  });

  it("are independent of each other on one grammar, which is compiled once", () => {
    const format = schema({ type: "array", items: { type: "boolean" } });
    expect(compileGrammar(format)).toBe(compileGrammar(structuredClone(format)));
    const [first, second] = [matcherOf(format), matcherOf(format)];
    first.acceptBytes(utf8.encode("[true"));
    expect(tokensOf(second.allowed())).toEqual([0x5b]);
  });
});

describe("issues of other engines", () => {
  it("a schema that cannot be enforced is refused, never ignored (llama.cpp#19051, #24097)", () => {
    expect(failure(schema({ type: "object", properties: { a: { contains: {} } } })).message).toContain(
      '"contains" at #/properties/a/contains',
    );
  });

  it("a grammar that allows every text allows every token of text (llama.cpp#8711)", () => {
    const matcher = matcherOf({ type: "regex", regex: "[^]*" });
    expect(tokensOf(matcher.allowed())).toHaveLength(1 + 128 + (0xf5 - 0xc2));
  });
});

describe("host names", () => {
  const format = "hostname";
  const host = { type: "string", format };
  const isLabel = (text: string): boolean =>
    /^[a-z\d](?:[a-z\d-]*[a-z\d])?$/i.test(text) && text.length <= 63 && !/^xn--/i.test(text);
  const isHost = (text: string): boolean => text.length <= 253 && text.split(".").every(isLabel);

  it("consist of labels of letters, digits and hyphens that do not begin with xn--", () => {
    let texts = [""];
    for (let length = 1; length <= 6; length++) {
      texts = texts.flatMap((text) => ["x", "N", "-", "1", "."].map((letter) => text + letter));
      for (const text of texts) expect(accepts(schema(host), `"${text}"`), text).toBe(isHost(text));
    }
    const label = "a".repeat(63);
    const most = `${label}.${label}.${label}.${"a".repeat(61)}`;
    check(schema(host), [`"${label}.com"`, `"${most}"`], [`"${label}a.com"`, `"${most}a"`, '"a_b"', '"é"']);
    for (const [text, isLegal] of [
      ["xn--a@x-n.org", true],
      ["a@xn--bcher-kva.example", false],
      ["a@www.XN--bcher-kva", false],
      [`a@${label}`, true],
      [`a@${label}a`, false],
    ] as const)
      expect(accepts(schema({ type: "string", format: "email" }), `"${text}"`), text).toBe(isLegal);
    check(schema({ type: "string", format: "uri" }), ['"http://xn--nw2a.xn--j6w193g/"'], []);
  });

  it("exclude xn-- labels in combination with other keywords too", () => {
    check(schema({ enum: ["xn--bcher-kva", "a"], format }), ['"a"'], ['"xn--bcher-kva"']);
    expect(failure(schema({ const: "xn--bcher-kva", format })).code).toBe("invalid_schema");
    check(schema({ type: "object", propertyNames: { format } }), ['{"www":1}'], ['{"xn--bcher-kva":1}']);
    check(
      schema({ type: "string", oneOf: [{ format }, { pattern: "^xn--[a-z]{3,5}$" }] }),
      ['"xn--abc"', '"abc"'],
      ['"xn--ab"'],
    );
    check(schema({ ...host, maxLength: 5 }), ['"a.b.c"', '"xn-ab"'], ['"xn--a"', '"abcdef"']);
  });

  it("are refused by format name if they are internationalized", () => {
    for (const name of ["idn-hostname", "idn-email"]) {
      const error = failure(schema({ type: "string", format: name }));
      expect(error.code).toBe("unsupported_schema");
      expect(error.message).toBe(`The format "${name}" at #/format is not supported.`);
    }
  });

  it("never reach a dead end, and masks agree with reading each token", () => {
    const words = ["ab", "xn", "n-", "-a", "--", "c.a", 'e"', '."', "\\u0061", "é"];
    const tokens = [
      ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
      ...words.map((word) => utf8.encode(word)),
    ];
    const trie = VocabularyTrie.build([...tokens, null]);
    const holding = (maxLength: number): object => ({
      type: "object",
      properties: { host: { ...host, maxLength } },
      required: ["host"],
      additionalProperties: false,
    });
    const lengths = fc.array(fc.integer({ min: 3, max: 80 }), { minLength: 1, maxLength: 2 });
    const property = fc.property(lengths, fc.infiniteStream(fc.nat()), (maxLengths, choices) => {
      const matcher = matcherOf(schema({ anyOf: maxLengths.map(holding) }), trie, [tokens.length]);
      expect(matcher.acceptBytes(utf8.encode('{"host":"xn-'))).toBe(Math.max(...maxLengths) >= 4);
      while (Math.max(...maxLengths) >= 4) {
        const allowed = tokensOf(matcher.allowed());
        expect(allowed).toEqual(
          matcher.isFinished
            ? [tokens.length]
            : tokens.flatMap((bytes, tokenId) => (matcher.allowsBytes(bytes) ? tokenId : [])),
        );
        if (matcher.isFinished) return;
        matcher.acceptToken(allowed[choices.next().value! % allowed.length]!);
      }
    });
    fc.assert(property, { numRuns: numCases(40) });
  });
});
