// @ts-check
/**
 * Runs transformers.js in a separate process, because it has its own ONNX Runtime. Answers { path, dtype, prompts,
 * numTokens } with the greedy continuation of each prompt, as token ids.
 */

import { basename, dirname } from "node:path";

import { AutoModelForCausalLM, env, Tensor } from "@huggingface/transformers";

env.allowRemoteModels = false;

process.on("message", (/** @type {{ path: string, dtype: any, prompts: number[][], numTokens: number }} */ request) => {
  continuations(request).then(
    (tokenIds) => process.send?.({ tokenIds }),
    (error) => process.send?.({ error: String(error?.stack ?? error) }),
  );
});
process.on("disconnect", () => process.exit());

/** @param {{ path: string, dtype: any, prompts: number[][], numTokens: number }} request */
async function continuations({ path, dtype, prompts, numTokens }) {
  env.localModelPath = dirname(path);
  const model = await AutoModelForCausalLM.from_pretrained(basename(path), {
    dtype,
    device: "cpu",
    session_options: { intraOpNumThreads: 1, interOpNumThreads: 1 },
  });
  const all = [];
  for (const prompt of prompts) {
    const shape = [1, prompt.length];
    const output = /** @type {Tensor} */ (
      await model.generate({
        inputs: new Tensor("int64", BigInt64Array.from(prompt, BigInt), shape),
        attention_mask: new Tensor("int64", new BigInt64Array(prompt.length).fill(1n), shape),
        max_new_tokens: numTokens,
        do_sample: false,
      })
    );
    all.push(output.tolist()[0].slice(prompt.length).map(Number));
  }
  await model.dispose();
  return all;
}
