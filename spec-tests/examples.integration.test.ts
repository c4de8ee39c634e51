/** Tests of the examples that need other programs, with stand-ins for these. */

import { expect, it } from "vitest";
import { Vocabulary } from "touchstone/grammar";

import { constrained } from "../examples/transformers-js.js";

const [YES, END] = [256, 257];
const VOCABULARY = Vocabulary.fromTokens(
  [...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)), new TextEncoder().encode("yes"), null],
  [END],
);

it("the example for transformers.js masks each row by its own tokens", () => {
  const processor = constrained({ type: "choice", choices: ["yes", "no"] }, VOCABULARY);
  const logits = (): { dims: number[]; data: Float32Array } => ({
    dims: [2, VOCABULARY.size],
    data: new Float32Array(2 * VOCABULARY.size),
  });
  const open = (data: Float32Array, row: number): number[] =>
    [...data.subarray(row * VOCABULARY.size, (row + 1) * VOCABULARY.size).entries()]
      .filter(([, logit]) => logit === 0)
      .map(([tokenId]) => tokenId);
  const prompt = [7n, 8n];
  processor([prompt, prompt], logits());
  const { data } = processor(
    [
      [...prompt, BigInt(YES)],
      [...prompt, BigInt("n".charCodeAt(0))],
    ],
    logits(),
  );
  expect([open(data, 0), open(data, 1)]).toEqual([[END], ["o".charCodeAt(0)]]);
});
