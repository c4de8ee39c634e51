import fc from "fast-check";
import { expect, test } from "vitest";

import { jsonPieces } from "./json-pieces.js";

test("the joined pieces equal the output of JSON.stringify at any depth", () => {
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: "medium" },
      fc.string(),
      fc.double(),
      fc.boolean(),
      fc.constantFrom(null, undefined),
      fc.array(tie("value")),
      fc.dictionary(fc.string(), tie("value")),
    ),
  }));
  fc.assert(
    fc.property(fc.dictionary(fc.string(), value), fc.nat(7), (object, depth) => {
      expect([...jsonPieces(object, depth)].join("")).toBe(JSON.stringify(object));
    }),
  );
});

test("each logprobs entry of an answer is a separate piece", () => {
  const entries = Array.from({ length: 100 }, (_, index) => ({
    token: `t${index}`,
    top_logprobs: [{ token: "x".repeat(100) }],
  }));
  const pieces = [...jsonPieces({ choices: [{ logprobs: { content: entries } }, { logprobs: null }] })];
  expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThan(200);
});
