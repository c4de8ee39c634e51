/** Texts of servers as the messages of findings show them. */

import { expect, test } from "vitest";

import { quoted } from "./answers.js";

test.each<[string | null, string]>([
  [null, "null"],
  ["plain text", '"plain text"'],
  ["two\nlines", String.raw`"two\nlines"`],
  ["a \u001b escape", String.raw`"a \u001b escape"`],
  ['he said "no"', '`he said "no"`'],
  ['{"error":{"message":"\\"a\\" is wrong"}}', '`{"error":{"message":"\\"a\\" is wrong"}}`'],
  ['{\n  "error": [\n    "a"\n  ]\n}\n', '`{ "error": [ "a" ] }`'],
  ['not {"json": \n', String.raw`"not {\"json\": \n"`],
  ['a "\\" b', String.raw`"a \"\\\" b"`],
  ['`"', String.raw`"` + '`\\""'],
])("%j is shown as %s", (text, shown) => {
  expect(quoted(text)).toBe(shown);
});

test("a long text is cut", () => {
  expect(quoted("a".repeat(500))).toBe(`"${"a".repeat(159)}…`);
  expect(quoted(JSON.stringify({ a: "b".repeat(500) }))).toBe(`\`{"a":"${"b".repeat(154)}…\``);
});
