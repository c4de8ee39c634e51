// @ts-check
/**
 * Measures sampling of a token from a row of logits, in turns with transformers.js's processors and sampler on the same
 * row. transformers.js ignores top_p and min_p, so both run what it supports: repetition penalty, temperature, top_k.
 * Run: npm run bench:peers:logits
 */

import { RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, Tensor } from "@huggingface/transformers";

import { describeMachine, inMs } from "../../dist/bench/measuring.js";
import { Kernels } from "../../dist/kernels/index.js";

// The package does not export the sampler.
const { LogitsSampler } = await import(
  new URL("node_modules/@huggingface/transformers/src/generation/logits_sampler.js", import.meta.url).href
);

const VOCABULARY = 151_936;
const NUM_ROUNDS = 25;
const TEMPERATURE = 0.8;
const PENALTY = 1.1;

const seenIds = Array.from({ length: 1000 }, (_, i) => i * 149);
const kernels = await Kernels.load();
const address = kernels.allocate(VOCABULARY * 4);

console.log(`${describeMachine()}, vocabulary ${VOCABULARY}, @huggingface/transformers 4.3.1`);
for (const [name, scale] of /** @type {const} */ ([
  ["peaked", 4],
  ["flat", 0.01],
])) {
  const row = Float32Array.from({ length: VOCABULARY }, (_, i) => scale * Math.sin(i * 12.9898) * 3);
  for (const topK of [40, null]) {
    /** @type {number[]} */
    const ours = [];
    /** @type {number[]} */
    const theirs = [];
    for (let round = 0; round < NUM_ROUNDS; round++) {
      ours.push(await timeMs(() => drawOurs(row, topK, round / NUM_ROUNDS)));
      theirs.push(await timeMs(() => drawTheirs(row, topK)));
    }
    const ratios = ours.map((ms, round) => theirs[round] / ms).sort((a, b) => a - b);
    console.log(
      `${name.padEnd(6)} top_k ${String(topK ?? "off").padEnd(3)} ours ${inMs(median(ours))}, theirs ${inMs(median(theirs))}, ratio ${median(ratios).toFixed(1)}`,
    );
  }
}

/** @param {Float32Array} row @param {number | null} topK @param {number} uniform */
async function drawOurs(row, topK, uniform) {
  kernels.f32(address, VOCABULARY).set(row);
  const { length } = seenIds;
  kernels.sample(address, VOCABULARY, {
    temperature: TEMPERATURE,
    topK,
    topP: null,
    minP: null,
    uniform,
    repetitionPenalty: PENALTY,
    frequencyPenalty: 0,
    presencePenalty: 0,
    adjustments: {
      length,
      tokenIds: Int32Array.from(seenIds),
      biases: new Float64Array(length),
      counts: new Int32Array(length),
      seen: new Uint8Array(length).fill(1),
    },
    allowed: null,
    topLogprobs: null,
  });
}

/** @param {Float32Array} row @param {number | null} topK */
async function drawTheirs(row, topK) {
  const logits = new Tensor("float32", row.slice(), [1, VOCABULARY]);
  new RepetitionPenaltyLogitsProcessor(PENALTY)._call([seenIds.map(BigInt)], logits);
  new TemperatureLogitsWarper(TEMPERATURE)._call([], logits);
  await LogitsSampler.getSampler({ do_sample: true, top_k: topK ?? 0, num_beams: 1, num_return_sequences: 1 })(
    logits.view(VOCABULARY),
  );
}

/** @param {() => Promise<void>} run */
async function timeMs(run) {
  const startMs = performance.now();
  await run();
  return performance.now() - startMs;
}

/** @param {number[]} values */
function median(values) {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
