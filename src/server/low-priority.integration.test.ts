import { readdirSync, readFileSync } from "node:fs";
import { getPriority } from "node:os";
import { resolve } from "node:path";
import { Worker } from "node:worker_threads";

import { expect, test } from "vitest";

import { until } from "../../spec-tests/fixtures/chat-client.js";

/** Returns the priority of each thread of this process. */
function priorities(): number[] {
  return readdirSync("/proc/self/task").map((thread) => {
    const stat = readFileSync(`/proc/self/task/${thread}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")")).split(" ")[17]);
  });
}

test.runIf(process.platform === "linux")(
  "the thread that parses requests has a lower priority, and no other",
  async () => {
    const own = getPriority();
    const numLower = (): number => priorities().filter((priority) => priority === Math.min(own + 10, 19)).length;
    expect(numLower()).toBe(0);
    const worker = new Worker(resolve("dist/src/server/parser-worker.js"));
    await until(() => numLower() > 0);
    expect(numLower()).toBe(1);
    expect(getPriority()).toBe(own);
    await worker.terminate();
  },
);
