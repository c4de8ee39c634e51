import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseJson } from "./json.js";
import { type AnswerFormat, EngineError, type Matcher, Vocabulary, compile } from "./grammar.js";

const utf8 = new TextEncoder();
const WORDS = ["yes", "no", "not", " ", '{"', "a", '":', "1", "}", "né", "e"];
const END = 256 + WORDS.length;
/** The bytes, some words, and an end token. */
const VOCABULARY = Vocabulary.fromTokens(
  [...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)), ...WORDS.map((word) => utf8.encode(word)), null],
  [END],
);
const word = (text: string): number => 256 + WORDS.indexOf(text);
const matcherOf = (format: AnswerFormat): Matcher => compile(format).matcher(VOCABULARY);
const allowedOf = (matcher: Matcher): number[] =>
  Array.from({ length: VOCABULARY.size }, (_, tokenId) => tokenId).filter((tokenId) => matcher.isAllowed(tokenId));
const ENTRY_SCHEMA: AnswerFormat = {
  type: "json_schema",
  schema: { type: "object", properties: { abc: { const: true } }, required: ["abc"], additionalProperties: false },
};

function failure(run: () => unknown): EngineError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(EngineError);
    return error as EngineError;
  }
  throw new Error("No error was thrown.");
}

describe("a matcher", () => {
  it("allows the tokens that can continue an answer, and the end where it is complete", () => {
    const matcher = matcherOf({ type: "choice", choices: ["no", "note"] });
    expect(allowedOf(matcher)).toEqual(["n".charCodeAt(0), word("no"), word("not")]);
    expect([matcher.accept(word("yes")), matcher.accept(END), matcher.isComplete]).toEqual([false, false, false]);
    expect(matcher.accept(word("no"))).toBe(true);
    expect(allowedOf(matcher)).toEqual(["t".charCodeAt(0), END]);
    expect([matcher.isComplete, matcher.isFinished]).toEqual([true, false]);
    expect(matcher.accept(END)).toBe(true);
    expect([matcher.isFinished, matcher.accept(word("e")), matcher.numAccepted]).toEqual([true, false, 2]);
  });

  it("takes tokens back, with the masks of the states before", () => {
    const matcher = matcherOf({ type: "grammar", syntax: "gbnf", grammar: 'root ::= "a" root "1" | "no"' });
    const masks: number[][] = [];
    for (const token of [word("a"), word("a"), word("no"), word("1"), word("1"), END]) {
      masks.push(allowedOf(matcher));
      expect(matcher.accept(token)).toBe(true);
    }
    for (const numTokens of [1, 2, 3]) {
      matcher.rollback(numTokens);
      expect(allowedOf(matcher)).toEqual(masks[matcher.numAccepted]);
    }
    expect(matcher.numAccepted).toBe(0);
    expect(matcher.isComplete).toBe(false);
    expect(failure(() => matcher.rollback(1)).param).toBe("numTokens");
  });

  it("lists the bytes that must follow", () => {
    const text = (matcher: Matcher): string => new TextDecoder().decode(matcher.forcedBytes());
    const object = matcherOf(ENTRY_SCHEMA);
    expect(text(object)).toBe("{");
    for (const byte of utf8.encode('{"')) object.accept(byte);
    expect(text(object)).toBe('abc"');
    for (const byte of utf8.encode('abc":t')) object.accept(byte);
    expect(text(object)).toBe("rue");
    const choice = matcherOf({ type: "choice", choices: ["note", "not"] });
    expect(text(choice)).toBe("not");
    for (const byte of utf8.encode("not")) choice.accept(byte);
    expect(text(choice)).toBe("");
    expect(matcherOf({ type: "regex", regex: "a{10000}" }).forcedBytes()).toHaveLength(4096);
  });

  it("masks logits", () => {
    const logits = new Float32Array(VOCABULARY.size + 3).fill(1);
    matcherOf({ type: "regex", regex: "yes" }).mask(logits);
    const left = [...logits.keys()].filter((tokenId) => logits[tokenId] === 1);
    expect(left).toEqual(["y".charCodeAt(0), word("yes")]);
  });

  it("any draw from the masks ends with an answer in the format", () => {
    let seed = 1;
    for (let run = 0; run < 50; run++) {
      const matcher = matcherOf(ENTRY_SCHEMA);
      const bytes: number[] = [];
      for (;;) {
        const allowed = allowedOf(matcher).filter((tokenId) => ![0x09, 0x0a, 0x20, word(" ")].includes(tokenId));
        seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
        const token = allowed[(seed >>> 8) % allowed.length]!;
        expect(matcher.accept(token)).toBe(true);
        if (token === END) break;
        bytes.push(...VOCABULARY.bytes(token)!);
      }
      expect(parseJson(Uint8Array.from(bytes))).toEqual({ abc: true });
    }
  });
});

describe("a vocabulary", () => {
  it("is read from a tokenizer.json", () => {
    const vocabulary = Vocabulary.fromTokenizer(readFileSync("models/tiny/tokenizer.json"), [0]);
    const matcher = compile({ type: "regex", regex: "yes" }).matcher(vocabulary);
    const allowed = Array.from({ length: vocabulary.size }, (_, tokenId) => tokenId).filter((tokenId) =>
      matcher.isAllowed(tokenId),
    );
    expect(allowed.length).toBeGreaterThan(0);
    for (const tokenId of allowed) expect("yes").toContain(new TextDecoder().decode(vocabulary.bytes(tokenId)!));
  });

  it.each([
    [() => Vocabulary.fromTokens([null], [1]), "out_of_range", "endTokenIds[0]"],
    [() => Vocabulary.fromTokens("x" as never, []), "invalid_type", "tokens"],
    [() => Vocabulary.fromTokens(["x"] as never, []), "invalid_type", "tokens[0]"],
    [() => Vocabulary.fromTokenizer(utf8.encode("{"), []), "invalid_model", null],
    [() => Vocabulary.fromTokenizer(utf8.encode("[]"), []), "invalid_model", null],
  ])("refuses %s", (run, code, param) => {
    const error = failure(run);
    expect([error.code, error.param]).toEqual([code, param]);
  });
});

it("equal formats are compiled once", () => {
  expect(compile({ type: "regex", regex: "a" })).toBe(compile({ type: "regex", regex: "a" }));
});

it("the entry point loads no model, no runtime and no file format", () => {
  const files = new Set<string>(["engine/grammar.ts"]);
  const packages = new Set<string>();
  for (const file of files) {
    for (const [, from] of readFileSync(file, "utf8").matchAll(/^(?:import|export)(?! type)[^;]*? from "([^"]+)";/gm)) {
      if (from!.startsWith(".")) files.add(join(dirname(file), from!).replace(/\.js$/, ".ts"));
      else packages.add(from!);
    }
  }
  expect([...packages].filter((name) => !name.startsWith("node:"))).toEqual(["@huggingface/tokenizers"]);
  expect([...files].filter((file) => !/^engine\/(grammar|text)\/|^engine\/[a-z-]+\.ts$/.test(file))).toEqual([]);
});
