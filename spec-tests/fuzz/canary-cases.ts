/** Cases whose verdicts are known, by the name of their kind: they show that run-cases.ts notices every kind of fault. */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { Outcome, PrepareCase } from "./run-cases.js";

export async function openCases(): Promise<PrepareCase> {
  return async (kind, seed, folder) => {
    await writeFile(join(folder, "case"), `${seed}`);
    return USES[kind]!;
  };
}

const ACCEPTED: Outcome = { type: "accepted", refusals: [] };
const kept: unknown[] = [];

const USES: Readonly<Record<string, () => Promise<Outcome>>> = {
  accepted: async () => ACCEPTED,
  refused: async () => ({ type: "refused", message: "no" }),
  fault: async () => ({ type: "fault", message: "TypeError" }),
  waits: () => new Promise(() => {}),
  blocks: async () => {
    for (;;);
  },
  computes: async () => {
    const start = process.cpuUsage();
    while (process.cpuUsage(start).user < 2_500_000);
    return ACCEPTED;
  },
  throws: () =>
    new Promise(() => {
      setImmediate(() => {
        throw new Error("nobody catches this");
      });
    }),
  rejects: async () => {
    void Promise.reject(new Error("nobody awaits this"));
    return ACCEPTED;
  },
  exits: async () => process.exit(3),
  heap: async () => {
    for (;;) kept.push(new Array<number>(1 << 20).fill(0.5));
  },
  memory: async () => {
    kept.push(Buffer.alloc(300 << 20, 1));
    return ACCEPTED;
  },
};
