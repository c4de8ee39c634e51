// @ts-check
/** The engine node-llama-cpp, with llama.cpp's prebuilt CPU binary. */

/** @typedef {import("node-llama-cpp").LlamaContextSequence} Sequence */

/** @param {number} numThreads @returns {Promise<import("../../dist/bench/peers/engine.js").Library>} */
export async function start(numThreads) {
  const { getLlama, getModuleVersion, LlamaLogLevel } = await import("node-llama-cpp");
  const llama = await getLlama({ gpu: false, build: "never", maxThreads: numThreads, logLevel: LlamaLogLevel.error });
  return {
    version: `node-llama-cpp ${await getModuleVersion()}`,
    async load({ path, contextLength }) {
      const model = await llama.loadModel({ modelPath: path });
      /**
       * A context has a fixed number of sequences, so contexts are stored by that number. @type {Map<number,
       * Sequence[]>}
       */
      const contexts = new Map();

      /** @param {number} numSequences */
      async function sequencesOf(numSequences) {
        let sequences = contexts.get(numSequences);
        if (sequences === undefined) {
          const context = await model.createContext({
            contextSize: contextLength,
            sequences: numSequences,
            threads: numThreads,
          });
          sequences = Array.from({ length: numSequences }, () => context.getSequence());
          contexts.set(numSequences, sequences);
        }
        return sequences;
      }
      await sequencesOf(1);

      return {
        async generate(prompts, numTokens, onTokens) {
          const sequences = await sequencesOf(prompts.length);
          for (const sequence of sequences) await sequence.clearHistory();
          return Promise.all(
            prompts.map(async ({ tokenIds }, index) => {
              const ids = [];
              const tokens = /** @type {import("node-llama-cpp").Token[]} */ ([...tokenIds]);
              for await (const token of sequences[index].evaluate(tokens, { temperature: 0, yieldEogToken: true })) {
                ids.push(token);
                onTokens(index, 1);
                if (ids.length === numTokens) break;
              }
              return ids;
            }),
          );
        },
      };
    },
  };
}
