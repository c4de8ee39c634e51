/** The same trained weights in another engine: greedy continuations must be the same tokens. */

import { join } from "node:path";

import { getLlama, LlamaLogLevel, type LlamaContextSequence, type Token } from "node-llama-cpp";
import { afterAll, beforeAll, expect, test } from "vitest";

import { loadModel, type Model } from "../../engine/index.js";
import { asset, describeWithAssets } from "../assets.js";

// Prompts whose every greedy choice is clear (checked below). "Lily and Ben went to the zoo." is not among them: its
// 79th token is a tie to 8e-5, which node-llama-cpp decides otherwise than a float64 forward pass does.
const PROMPTS = [
  "",
  "Once upon a time",
  "Lily and Ben went to the farm.",
  "The little dog was very sad because",
  "\"Mom, can I have a cookie?\" asked",
  "One day, a big bear found 3 red apples in the",
  "Tom had a new kite. It was blue and",
  "She smiled and said, \"Thank you!\"\n",
  "In the park there was a tall tree. A bird",
  "Café naïve 😊",
];

const NUM_TOKENS = 120;
/** Far above what the order of float additions changes. */
const CLEAR_MARGIN = 1e-3;

describeWithAssets("stories260K against node-llama-cpp", () => {
  let ours: Model;
  let theirs: LlamaContextSequence;

  beforeAll(async () => {
    const folder = asset("stories260K");
    ours = await loadModel({ model: folder, quant: "f32" });
    const llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error });
    const model = await llama.loadModel({ modelPath: join(folder, "stories260K.gguf") });
    theirs = (await model.createContext({ contextSize: 512, threads: 1 })).getSequence();
  });

  afterAll(() => ours.close());

  test.each(PROMPTS)("continues %j alike", async (prompt) => {
    const stream = ours.generate({ prompt, temperature: 0, maxTokens: NUM_TOKENS, logprobs: true, topLogprobs: 2 });
    const tokenIds: number[] = [];
    for await (const delta of stream) {
      tokenIds.push(...delta.tokenIds);
      for (const { topLogprobs: [first, second] } of delta.logprobs) expect(first!.logprob - second!.logprob).toBeGreaterThan(CLEAR_MARGIN);
    }

    await theirs.clearHistory();
    const expected: number[] = [];
    for await (const token of theirs.evaluate([...stream.promptTokenIds] as Token[], { temperature: 0 })) {
      expected.push(token);
      if (expected.length === NUM_TOKENS) break;
    }
    expect(tokenIds).toEqual(expected);
  });
});
