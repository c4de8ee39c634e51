import fc from "fast-check";
import { expect, test } from "vitest";

import { jsonPieces } from "./json-pieces.js";

test("together the pieces are what JSON.stringify writes, however deep they go", () => {
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

test("an answer's log-probabilities come one by one", () => {
  const entries = Array.from({ length: 100 }, (_, index) => ({
    token: `t${index}`,
    top_logprobs: [{ token: "x".repeat(100) }],
  }));
  const pieces = [...jsonPieces({ choices: [{ logprobs: { content: entries } }, { logprobs: null }] })];
  expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThan(200);
});
