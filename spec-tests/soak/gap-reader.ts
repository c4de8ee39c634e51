/**
 * Measures the times between the events of streams, in a thread of its own, so that the soak's requests do not delay the
 * measurement.
 */

import { once } from "node:events";
import { request } from "node:http";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

import { chatBody } from "../fixtures/chat-client.js";

export class GapReader {
  readonly #worker: Worker;

  /** @param url the server's address */
  constructor(url: string) {
    this.#worker = new Worker(new URL(import.meta.url), { workerData: url });
  }

  /**
   * Reads one stream after the other while some work goes on.
   * @returns the times between their events, in milliseconds
   */
  async during(work: Promise<unknown>): Promise<readonly number[]> {
    this.#worker.postMessage("start", []);
    await work;
    this.#worker.postMessage("stop", []);
    const [gaps] = (await once(this.#worker, "message")) as [readonly number[]];
    return gaps;
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}

if (!isMainThread) {
  const port = parentPort!;
  let isReading = false;
  let gaps: number[] = [];
  port.on("message", (message: "start" | "stop") => {
    isReading = message === "start";
    if (isReading) readStream();
    else {
      port.postMessage(gaps);
      gaps = [];
    }
  });

  function readStream(): void {
    const stream = request(`${workerData as string}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
    });
    let lastMs: number | null = null;
    stream.on("response", (response) => {
      response.on("data", () => {
        if (!isReading) {
          stream.destroy();
          return;
        }
        const nowMs = performance.now();
        if (lastMs !== null && response.statusCode === 200) gaps.push(nowMs - lastMs);
        lastMs = nowMs;
      });
      response.on("end", () => isReading && readStream());
    });
    stream.on("error", () => {});
    stream.end(chatBody({ seed: 11, max_tokens: 300, stream: true }));
  }
}
