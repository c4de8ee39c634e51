/**
 * Measures sampling of a token from a row of 151,936 logits, on one thread.
 * Targets: "everything" at most 0.4 ms, "default" at most 1.5 ms, on a peaked and on a flat row.
 * Run: node dist/bench/logits.bench.js [--quick]
 */

import { Kernels, type KernelVariant, type SampleRequest } from "../kernels/index.js";
import { referenceSample } from "../spec-tests/oracles/kernels.js";
import { check, describeMachine, inMs, isQuick, runnableBuilds, time } from "./measuring.js";

const VOCABULARY = isQuick ? 3000 : 151_936;
const VARIANTS: KernelVariant[] = ["dot", "relaxed", "simd", ...(isQuick ? (["scalar"] as const) : [])];
const NUM_TOUCHED = Math.floor(VOCABULARY / 150);

const normal = normals(1);
const ROWS: Record<string, Float32Array> = {
  // One likely token, some competing tokens, a long tail.
  peaked: Float32Array.from({ length: VOCABULARY }, (_, i) =>
    i === 777 ? 25 : i % 5000 === 1 ? 18 + normal() : 2 * normal(),
  ),
  flat: Float32Array.from({ length: VOCABULARY }, () => 0.01 * normal()),
  equal: new Float32Array(VOCABULARY),
};

const PLAIN: SampleRequest = {
  temperature: 1,
  topK: null,
  topP: null,
  minP: null,
  uniform: 0.4321,
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  adjustments: null,
  allowed: null,
  topLogprobs: null,
  logprobsMode: "raw",
};
const EVERYTHING: SampleRequest = {
  ...PLAIN,
  temperature: 0.8,
  topK: 40,
  topP: 0.95,
  minP: 0.02,
  repetitionPenalty: 1.1,
  frequencyPenalty: 0.2,
  presencePenalty: 0.1,
  adjustments: {
    length: NUM_TOUCHED,
    tokenIds: Int32Array.from({ length: NUM_TOUCHED }, (_, i) => i * 149),
    biases: new Float64Array(NUM_TOUCHED).fill(0.5),
    counts: new Int32Array(NUM_TOUCHED).fill(1),
    seen: new Uint8Array(NUM_TOUCHED).fill(1),
  },
};
const MASKED = { ...EVERYTHING, allowed: new Uint32Array(Math.ceil(VOCABULARY / 32)).fill(0xfffeffff) };
const REQUESTS: Record<string, SampleRequest> = {
  greedy: { ...PLAIN, temperature: 0 },
  default: PLAIN,
  "default, 20 logprobs": { ...PLAIN, topLogprobs: 20 },
  "the same, processed logprobs": { ...PLAIN, topLogprobs: 20, logprobsMode: "processed" },
  "top_k 40": { ...PLAIN, topK: 40 },
  "top_p 0.9": { ...PLAIN, topP: 0.9 },
  "min_p 0.05": { ...PLAIN, minP: 0.05 },
  everything: EVERYTHING,
  "everything, mask": MASKED,
  "everything, mask, logprob": { ...MASKED, topLogprobs: 0 },
  "everything, mask, 20 logprobs": { ...MASKED, topLogprobs: 20 },
  "the same, processed": { ...MASKED, topLogprobs: 20, logprobsMode: "processed" },
};

console.log(`${describeMachine()}, vocabulary ${VOCABULARY}, ${NUM_TOUCHED} tokens touched by bias and penalties`);
for (const variant of await runnableBuilds(VARIANTS)) {
  const kernels = await Kernels.load({ variant });
  const address = kernels.allocate(VOCABULARY * 4);
  for (const [rowName, row] of Object.entries(ROWS)) {
    kernels.f32(address, VOCABULARY).set(row);
    for (const [name, request] of Object.entries(REQUESTS)) {
      // The row is constant and u varies, so that draws select different tokens.
      let draws = 0;
      const { minMs, medianMs } = await time(() =>
        kernels.sample(address, VOCABULARY, { ...request, uniform: (draws++ * 0.618) % 1 }),
      );
      compare(kernels, address, row, request, `${variant}, ${rowName}, ${name}`);
      console.log(
        `${variant.padEnd(7)} ${rowName.padEnd(6)} ${name.padEnd(30)} min ${inMs(minMs)}, median ${inMs(medianMs)}`,
      );
    }
  }
}

function compare(kernels: Kernels, address: number, row: Float32Array, request: SampleRequest, what: string): void {
  const { tokenId, logprob } = kernels.sample(address, VOCABULARY, request);
  const expected = referenceSample(row, request);
  check(expected.margin < 1e-9 || tokenId === expected.tokenId, `${what}: token ${tokenId}, not ${expected.tokenId}`);
  if (tokenId !== expected.tokenId || expected.logprob === null) return;
  check(Math.abs(logprob! - expected.logprob) < 1e-5, `${what}: logprob ${logprob}, not ${expected.logprob}`);
}

/** Returns a deterministic generator of approximately normal numbers: sums of twelve uniform numbers. */
function normals(seed: number): () => number {
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return () => Array.from({ length: 12 }, next).reduce((sum, value) => sum + value, -6);
}
