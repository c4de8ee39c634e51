/**
 * Prometheus metrics. Where vLLM has an equivalent metric, its name is used, so that dashboards for vLLM work. Other
 * metrics start with `touchstone_`.
 */

import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

import type { FinishReason, OutputDelta } from "../../engine/index.js";
import type { ModelRegistry, ServedModel } from "./models.js";

export class Metrics {
  readonly #registry = new Registry();
  readonly #numRequests: Counter<"route" | "status">;
  readonly #numRefused: Counter<"code">;
  readonly #promptTokens: Counter<"model_name">;
  readonly #numFinished: Counter<"model_name" | "finished_reason">;
  readonly #firstToken: Histogram<"model_name">;
  readonly #perToken: Histogram<"model_name">;
  readonly #latency: Histogram<"model_name">;

  /**
   * @param models read for their gauges whenever metrics are collected
   * @param numDroppedLogLines likewise; undefined if the logger's destination does not count them
   */
  constructor(models: ModelRegistry, numDroppedLogLines?: () => number) {
    const registers = [this.#registry];
    const byModel = { registers, labelNames: ["model_name"] as const };
    collectDefaultMetrics({ register: this.#registry });

    const perModel = (name: string, help: string, read: (model: ServedModel) => number): void => {
      const gauge = new Gauge({
        name,
        help,
        labelNames: byModel.labelNames,
        registers: [],
        collect() {
          for (const model of models.all()) this.set({ model_name: model.id }, read(model));
        },
      });
      this.#registry.registerMetric(gauge);
    };
    perModel("vllm:num_requests_running", "Requests being generated.", ({ host }) => host.numRunning);
    perModel("vllm:num_requests_waiting", "Requests waiting in the queue.", ({ host }) => host.numWaiting);
    perModel("touchstone_model_ready", "1 if the model is ready to answer requests, else 0.", ({ host }) =>
      host.state === "ready" ? 1 : 0,
    );
    perModel(
      "touchstone_engine_restarts",
      "Unexpected stops of the model's engine, each followed by a restart.",
      ({ host }) => host.numRestarts,
    );

    this.#registry.registerMetric(
      new Counter({
        name: "vllm:generation_tokens_total",
        help: "Generated tokens.",
        labelNames: byModel.labelNames,
        registers: [],
        collect() {
          this.reset();
          for (const { id, host } of models.all()) this.inc({ model_name: id }, host.numGeneratedTokens);
        },
      }),
    );
    this.#promptTokens = new Counter({ name: "vllm:prompt_tokens_total", help: "Prompt tokens.", ...byModel });
    this.#numFinished = new Counter({
      name: "vllm:request_success_total",
      help: "Finished choices, by finish reason.",
      registers,
      labelNames: ["model_name", "finished_reason"],
    });
    this.#firstToken = new Histogram({
      name: "vllm:time_to_first_token_seconds",
      help: "Time from the arrival of a request to its first delta, in seconds.",
      ...byModel,
      buckets: [0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120],
    });
    this.#perToken = new Histogram({
      name: "vllm:request_time_per_output_token_seconds",
      help: "Time per generated token after the first one, averaged over a request, in seconds.",
      ...byModel,
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    });
    this.#latency = new Histogram({
      name: "vllm:e2e_request_latency_seconds",
      help: "Time from the arrival of a request to the end of its answer, in seconds.",
      ...byModel,
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600],
    });
    this.#numRequests = new Counter({
      name: "touchstone_http_requests_total",
      help: "HTTP requests, by route and status.",
      registers,
      labelNames: ["route", "status"],
    });
    this.#numRefused = new Counter({
      name: "touchstone_errors_total",
      help: "Requests that ended with an error, by error code.",
      registers,
      labelNames: ["code"],
    });
    if (numDroppedLogLines !== undefined) {
      this.#registry.registerMetric(
        new Counter({
          name: "touchstone_log_lines_dropped_total",
          help: "Log lines that were dropped because they could not be written in time.",
          registers: [],
          collect() {
            this.reset();
            this.inc(numDroppedLogLines());
          },
        }),
      );
    }
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  read(): Promise<string> {
    return this.#registry.metrics();
  }

  /** @param status status as sent; 0 if the client disconnected before, which is counted as 499, as nginx does */
  countRequest(route: string, status: number): void {
    this.#numRequests.inc({ route, status: String(status === 0 ? 499 : status) });
  }

  countError(code: string): void {
    this.#numRefused.inc({ code });
  }

  /** Starts recording one answer. */
  generation(modelId: string, numPromptTokens: number, arrivedAtMs: number): GenerationMetrics {
    const model = { model_name: modelId };
    this.#promptTokens.inc(model, numPromptTokens);
    let firstAtMs: number | null = null;
    let numTokens = 0;
    return {
      add: (deltas) => {
        if (firstAtMs === null) {
          firstAtMs = performance.now();
          this.#firstToken.observe(model, (firstAtMs - arrivedAtMs) / 1000);
        }
        for (const { tokenIds, finishReason } of deltas) {
          numTokens += tokenIds.length;
          if (finishReason !== null)
            this.#numFinished.inc({ ...model, finished_reason: finishReason satisfies FinishReason });
        }
      },
      finish: () => {
        const nowMs = performance.now();
        this.#latency.observe(model, (nowMs - arrivedAtMs) / 1000);
        if (firstAtMs !== null && numTokens > 1)
          this.#perToken.observe(model, (nowMs - firstAtMs) / 1000 / (numTokens - 1));
        return { numTokens, firstTokenMs: firstAtMs === null ? null : firstAtMs - arrivedAtMs };
      },
    };
  }
}

export interface GenerationMetrics {
  add(deltas: readonly OutputDelta[]): void;
  /** Records the end of the answer, complete or aborted, and returns the numbers for the log. */
  finish(): { readonly numTokens: number; readonly firstTokenMs: number | null };
}
