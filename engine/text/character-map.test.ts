import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { characterMap } from "../../spec-tests/fixtures/character-map.js";
import { Budget } from "../budget.js";
import { LIMITS } from "../limits.js";
import { CharacterMap } from "./character-map.js";
import { Normalizer } from "./normalizer.js";

const budget = (numSteps = 1e9): Budget => new Budget(numSteps, () => new Error("no steps left"));

function replaced(base64: unknown, text: string): string {
  const parts: string[] = [];
  new CharacterMap(base64).replace(text, budget(), (part) => parts.push(part));
  return parts.join("");
}

const map = (entries: Readonly<Record<string, string>>): string => characterMap(new Map(Object.entries(entries)));

/** The trie of a map, in units, and its replacements. */
function mapOf(units: readonly number[], replacements: string, numTrieBytes = 4 * units.length): string {
  const trie = Buffer.alloc(4 + 4 * units.length);
  trie.writeUInt32LE(numTrieBytes, 0);
  units.forEach((unit, index) => trie.writeUInt32LE(unit, 4 + 4 * index));
  return Buffer.concat([trie, Buffer.from(replacements)]).toString("base64");
}

describe("CharacterMap", () => {
  it("replaces characters", () => {
    const base64 = map({ ﬁ: "fi", "\t": " ", "①": "1", "\u200b": "", A: "aa" });
    expect(replaced(base64, "ﬁn\tA①\u200bAAz")).toBe("fin aa1aaaaz");
    expect(replaced(base64, "")).toBe("");
    expect(replaced(base64, "xyz")).toBe("xyz");
  });

  it("replaces a short grapheme as a whole by what its shortest known beginning is replaced by", () => {
    const base64 = map({ "e\u0301": "é", a: "b", "\u0301": "'" });
    expect(replaced(base64, "e\u0301x")).toBe("éx");
    expect(replaced(base64, "xe\u0301\u0301")).toBe("xé"); // five bytes
    expect(replaced(base64, "e\u0301\u0301\u0301")).toBe("e'''"); // seven bytes: character by character
    expect(replaced(base64, "a\u0301")).toBe("b");
    expect(replaced(base64, "o\u0301")).toBe("o'");
  });

  it("treats CR LF as a grapheme", () => {
    const base64 = map({ "\r": "1", "\n": "2" });
    expect(replaced(base64, "\r\n")).toBe("1");
    expect(replaced(base64, "\n\r")).toBe("21");
    expect(replaced(base64, "a\r\r\nb")).toBe("a11b");
  });

  it("finds the graphemes of the whole text, though it segments only parts", () => {
    const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });
    const keys = ["a", "\r", "\n", "\u0301", "é", "🇩", "👍", "\u0600", "1"];
    const base64 = map(Object.fromEntries(keys.map((key) => [key, `<${key.codePointAt(0)!.toString(16)}>`])));
    const character = fc.constantFrom(...keys, "b", "\u200d", "\ufe0f", "\u20e3", "🏽", "क", "\u094d", "한", "ᄀ", "ᅡ");
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: character, maxLength: 12 }), fc.string({ unit: character, maxLength: 400 })),
        (text) => {
          const expected = Array.from(segmenter.segment(text), ({ segment }) => {
            const of = (part: string): string | undefined =>
              keys.includes([...part][0]!) ? `<${part.codePointAt(0)!.toString(16)}>` : undefined;
            if (Buffer.byteLength(segment) < 6) {
              const whole = of(segment);
              if (whole !== undefined) return whole;
            }
            return Array.from(segment, (each) => of(each) ?? each).join("");
          });
          expect(replaced(base64, text)).toBe(expected.join(""));
        },
      ),
    );
  });

  it("segments no part that ends within a character", () => {
    const base64 = map({ "e\u0301": "é", A: "a" });
    // U+E0100 continues the grapheme before it, and takes two code units.
    for (let length = 55; length < 70; length++) {
      const before = "ö".repeat(length);
      expect(replaced(base64, `${before}e\u0301\u{E0100}ö`)).toBe(`${before}e\u0301\u{E0100}ö`);
      expect(replaced(base64, `${before}A\u{E0100}ö`)).toBe(`${before}aö`);
    }
  });

  it("finds the runs of millions of characters", () => {
    const base64 = map({ é: "e" });
    expect(replaced(base64, "é1".repeat(numCases(4_000_000)))).toBe("e1".repeat(numCases(4_000_000)));
  });

  it("takes a linear time for long runs and for long graphemes", () => {
    const base64 = map({ é: "e", "\u0301": "'" });
    for (const unit of ["é", "a\u0301", "🇩", "\r\n", "\u0301", "👩\u200d"]) {
      const started = performance.now();
      replaced(base64, unit.repeat(100_000 / unit.length));
      // This took up to 0.1 s when it was written; in one part, it would take a minute.
      expect(performance.now() - started).toBeLessThan(10_000);
    }
  });

  it("agrees with a map of any replacements", () => {
    const key = fc.string({ unit: "grapheme", minLength: 1, maxLength: 1 }).filter((each) => !each.includes("\0"));
    const value = fc.string({ maxLength: 4 }).filter((each) => !each.includes("\0"));
    fc.assert(
      fc.property(fc.dictionary(key, value, { maxKeys: 20 }), fc.array(key), (own, others) => {
        const entries = Object.entries(own).filter(([each]) => [...each].length === 1);
        const base64 = characterMap(new Map(entries));
        for (const each of [...entries.map(([name]) => name), ...others.filter((name) => [...name].length === 1)])
          expect(replaced(base64, each)).toBe(new Map(entries).get(each) ?? each);
      }),
    );
  });

  it("ends at NUL in keys, and at the end of the replacements", () => {
    const base64 = map({ a: "b" });
    expect(replaced(base64, "\0a\0")).toBe("\0b\0");
    // The unit of "a" is a leaf whose place is beyond the replacements.
    const units = new Array<number>(256).fill(0);
    units[0] = 0x80 << 10;
    units[0x80 ^ 0x61] = 0x61 | 0x100;
    units[0x80 ^ 0x61 ^ 0] = 0x61 | 0x100;
    expect(replaced(mapOf(units, "xyz"), "b")).toBe("b");
    expect(replaced(mapOf([0x3ff << 10], ""), "abc")).toBe("abc");
  });

  it.each<[unknown, string, string]>([
    [undefined, "invalid_model", "tokenizer.json: a precompiled_charsmap must be base64. Given: "],
    [5, "invalid_model", "must be base64. Given: 5"],
    ["!!!!", "invalid_model", "must be base64"],
    ["abc", "invalid_model", "must be base64"],
    ["", "invalid_model", "a precompiled_charsmap has no complete trie: 0 bytes in 0"],
    [mapOf([], "abc"), "invalid_model", "a precompiled_charsmap has no complete trie: 0 bytes in 7"],
    [mapOf([0], "", 400), "invalid_model", "a precompiled_charsmap has no complete trie: 400 bytes in 8"],
    [
      mapOf([0], "x".repeat(LIMITS.maxCharacterReplacementBytes + 1)),
      "unsupported_model",
      "tokenizer.json has a precompiled_charsmap with a replacement of 1025 bytes; supported: up to 1024",
    ],
    [
      Buffer.alloc(LIMITS.maxCharacterMapBytes + 1).toString("base64"),
      "unsupported_model",
      "tokenizer.json has a precompiled_charsmap of 4194305 bytes; supported: up to 4194304",
    ],
  ])("refuses map %#", (base64, code, message) => {
    expect(() => new CharacterMap(base64)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) as string }),
    );
  });
});

describe("the normalizer Precompiled", () => {
  const normalize = (text: string, entries: Readonly<Record<string, string>>, steps: Budget): string => {
    const definition = { type: "Precompiled", precompiled_charsmap: map(entries) };
    const none = (): never => {
      throw new Error("it has no pattern");
    };
    return new Normalizer(definition, none).normalize(text, steps, "text");
  };

  it("is bounded in steps and in the length of its result", () => {
    expect(normalize("a".repeat(1000), { a: "bc" }, budget())).toBe("bc".repeat(1000));
    expect(() => normalize("a".repeat(1000), { a: "bc" }, budget(999))).toThrow("no steps left");
    expect(() => normalize("é".repeat(1000), { a: "bc" }, budget(5000))).toThrow("no steps left");
    const long = { a: "x".repeat(1000) };
    expect(() => normalize("a".repeat(20_000), long, budget())).toThrow(
      expect.objectContaining({ code: "out_of_range", param: "text" }),
    );
  });
});
