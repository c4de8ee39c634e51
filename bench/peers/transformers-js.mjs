// @ts-check
/** The engine transformers.js, on onnxruntime-node. */

import { basename, dirname } from "node:path";

import { DTYPE_OF_FORMAT } from "../../dist/engine/convert/onnx-layout.js";

/** @param {number} numThreads @returns {Promise<import("../../dist/bench/peers/engine.js").Library>} */
export async function start(numThreads) {
  const { AutoModelForCausalLM, env, StoppingCriteria, Tensor } = await import("@huggingface/transformers");

  /** Reports every step, in which all sequences advance. */
  class OnStep extends StoppingCriteria {
    /** @param {() => void} report */
    constructor(report) {
      super();
      this.report = report;
    }

    /** @param {number[][]} inputIds */
    _call(inputIds) {
      this.report();
      return inputIds.map(() => false);
    }
  }

  return {
    version: `@huggingface/transformers ${env.version}`,
    async load({ path, quant }) {
      env.localModelPath = dirname(path);
      env.allowRemoteModels = false;
      const model = await AutoModelForCausalLM.from_pretrained(basename(path), {
        dtype: /** @type {any} */ (DTYPE_OF_FORMAT[quant]),
        device: "cpu",
        session_options: { intraOpNumThreads: numThreads, interOpNumThreads: 1 },
      });
      return {
        async generate(prompts, numTokens, onTokens) {
          const length = prompts[0].tokenIds.length;
          const shape = [prompts.length, length];
          const output = /** @type {import("@huggingface/transformers").Tensor} */ (
            await model.generate({
              inputs: new Tensor(
                "int64",
                BigInt64Array.from(
                  prompts.flatMap(({ tokenIds }) => tokenIds),
                  BigInt,
                ),
                shape,
              ),
              attention_mask: new Tensor("int64", new BigInt64Array(prompts.length * length).fill(1n), shape),
              max_new_tokens: numTokens,
              do_sample: false,
              stopping_criteria: new OnStep(() => prompts.forEach((_, sequence) => onTokens(sequence, 1))),
            })
          );
          return output.tolist().map((/** @type {(number | bigint)[]} */ ids) => ids.slice(length).map(Number));
        },
      };
    },
  };
}
