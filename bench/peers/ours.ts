/** This project's engine, through its library. */

import { readFileSync } from "node:fs";

import type { Engine, EngineOptions, Library } from "./engine.js";

export async function start(): Promise<Library> {
  const { loadModel } = await import("../../engine/index.js");
  const { version } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  return {
    version: `touchstone ${version}`,
    async load({ path, profile, numThreads }: EngineOptions): Promise<Engine> {
      // Random weights soon repeat themselves, so drafts would be right far more often than in a real answer.
      const options = { model: path, numThreads, speculate: "off" as const };
      const model = await loadModel({ ...options, ...(profile === null ? {} : { profile }) });
      return {
        kernels: model.kernelVariant,
        async generate(prompts, numTokens, onTokens) {
          return Promise.all(
            prompts.map(async (prompt, sequence) => {
              const ids: number[] = [];
              const stream = model.generate({ prompt: prompt.text, maxTokens: numTokens, temperature: 0 });
              for await (const { tokenIds } of stream) {
                ids.push(...tokenIds);
                if (tokenIds.length > 0) onTokens(sequence, tokenIds.length);
              }
              if (stream.promptTokenIds.join() !== prompt.tokenIds.join())
                throw new Error("The prompt has other token ids than those given to other engines");
              return ids;
            }),
          );
        },
      };
    },
  };
}
