import { afterEach, describe, expect, test } from "vitest";

import { JobWorker } from "./job-worker.js";

const ECHO = new URL(
  `data:text/javascript,${encodeURIComponent(`
    import { parentPort } from "node:worker_threads";
    parentPort.on("message", (job) => parentPort.postMessage({ echo: job.text }));
  `)}`,
);
const NEVER = new AbortController().signal;

describe("a job that cannot be passed on", () => {
  const worker = new JobWorker<object, { readonly echo: string }>({ url: ECHO, timeoutMs: 10_000 });
  afterEach(() => worker.close());

  test("fails alone, and the next jobs are done", async () => {
    const refused = worker.run({ text: () => "not cloneable" }, [], NEVER);
    const next = worker.run({ text: "next" }, [], NEVER);
    await expect(refused).rejects.toThrow(/could not be cloned/);
    expect(await next).toEqual({ echo: "next" });
  });
});

test("a worker that cannot be started fails its job only", async () => {
  const options = { url: new URL("http://localhost/worker.js"), timeoutMs: 10_000 };
  const worker = new JobWorker<object, object>(options);
  await expect(worker.run({}, [], NEVER)).rejects.toThrow(/must be of scheme file/);
  await expect(worker.run({}, [], NEVER)).rejects.toThrow(/must be of scheme file/);
  await worker.close();
});
