/** Starts transformers.mjs and communicates with it. */

import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

export interface ContinuationRequest {
  /** Path of a folder in the layout of transformers.js. */
  readonly path: string;
  readonly dtype: string;
  readonly prompts: readonly (readonly number[])[];
  readonly numTokens: number;
}

/** Returns the greedy continuations of transformers.js for each prompt. */
export async function transformersContinuations(request: ContinuationRequest): Promise<number[][]> {
  const child = fork(fileURLToPath(new URL("./transformers.mjs", import.meta.url)), [], {
    execArgv: [],
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  try {
    return await new Promise<number[][]>((resolve, reject) => {
      child.on("message", (reply: { tokenIds: number[][] } | { error: string }) => {
        if ("error" in reply) reject(new Error(`transformers.js: ${reply.error}`));
        else resolve(reply.tokenIds);
      });
      child.on("exit", (code, signal) => reject(new Error(`transformers.js ended with ${signal ?? code}`)));
      child.send(request);
    });
  } finally {
    child.kill("SIGKILL");
  }
}
