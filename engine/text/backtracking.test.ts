/** Tests which expressions of tokenizers are refused because they can backtrack exponentially. */

import { describe, expect, it } from "vitest";

import { byteLevelJson } from "../../spec-tests/fixtures/tokenizers.js";
import { checkBacktracking } from "./backtracking.js";
import { Tokenizer } from "./tokenizer.js";

/** Patterns of published tokenizers: GPT-2, Qwen2, Llama 3, DeepSeek-V3, GPT-4o, and with groups of three digits. */
const PUBLISHED = [
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  "(?:'[sS]|'[tT]|'[rR][eE])|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?:'s|'t)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  "\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))",
  "(?=(\\d{3})+(?!\\d))",
  "▁[^▁]*",
];

describe("checkBacktracking", () => {
  it.each([
    ...PUBLISHED,
    "(?:\\r?\\n)+",
    "(?:[a-z]+ )+",
    "(?:a|b|[0-9])*",
    "(?:a[bc]?d)+",
    "(?<=a)b*",
    "a*b*c",
    "a*xa*",
    "a*xa*b",
    "a*ba*c",
    "[a-z]+:[0-9]+!",
    "x?".repeat(10) + "y",
    "a*b+a?a?a?a?a?",
    "\\p{N}{1,3}!",
    "ab|".repeat(1000) + "c",
    "(a{2}){3,}",
    "^\\b.$",
  ])("accepts %s", (pattern) => expect(() => checkBacktracking(new RegExp(pattern, "gu"))).not.toThrow());

  it.each([
    "(a+)+$",
    "(a*)*b",
    "(a|a)*b",
    "(?:a|aa)+$",
    "(?:\\w|\\d)+$",
    "(?:a?b?)*c",
    "(?:\\s*\\S*)+!",
    "(?:[a-z]+)*!",
    "(?:\\p{L}{1,3})+!",
    "(?:\\p{L}|[ü])+!",
    "(?:x(?:a+)+y)",
    "(?=(?:a+)+b)",
    "(?!(?:(?:a+)+)b)",
    "(?<=(?:a|[ab])*)c",
    "(?:a+?)+?b",
    "(?:(?:a|b)+c?)+d",
    "(?:a{1,50}){1,50}b",
    "(?:a|a){30}(?:a|a)*b",
    "a*a{100000,}",
    "(?:(?!\\S*!)a)+",
    "(?:a(?<!!\\S*))+",
    "(?:(?:(?!.*</x>).)b)*",
    "(a)\\1*",
    "(?:\\u{61}|a)+b",
    "(?:\\x61|a)+b",
    "(?:.|a)+b",
    "(".repeat(70) + "a" + ")".repeat(70),
    "a*a*b",
    "a*[ab]*c",
    "\\s*x?\\s+y",
    "\\s*\\S*\\s*!",
    "\\p{L}+[a-z]+[0-9]",
    "(?:ab)*(?:ab)*c",
    "a*b?(?:c|a)*d",
    "x(?:a+|b)(?:a+|c)y",
    "a*\\ba*b",
    "a*(?=a*b)",
    "(?<=a*)a*b",
    ".*.*x",
    "a{1,1000}a{1,1000}b",
    "a?".repeat(20) + "b",
    "a{0,8}".repeat(5) + "b",
    "(?:a|a)".repeat(20) + "b",
    "a?".repeat(10) + "a*b",
    "(?:" + "a*b|".repeat(100) + "c)",
    "a|".repeat(20_000) + "b",
    `(?:${"a|".repeat(5000)}b)(?:${"a|".repeat(5000)}b)`,
    `(?:${"a|b|".repeat(3000)}c)+`,
    "(?:(?:(?:a{64}){64}){64}){64}",
  ])("refuses %#", (pattern) => expect(() => checkBacktracking(new RegExp(pattern, "gu"))).toThrow(SyntaxError));

  const splits = { type: "Split", pattern: { Regex: "(a+)+$" }, behavior: "Isolated", invert: false };

  it.each([
    ["pre_tokenizer", { type: "Sequence", pretokenizers: [splits, { type: "ByteLevel", add_prefix_space: false }] }],
    ["normalizer", { type: "Replace", pattern: { Regex: "(a+)+$" }, content: "" }],
  ])("refuses a tokenizer by name: %s", (part, definition) => {
    expect(() => new Tokenizer({ ...byteLevelJson([], []), [part]: definition }, {})).toThrow(
      expect.objectContaining({ code: "unsupported_model", message: expect.stringContaining("(a+)+") as string }),
    );
  });
});
