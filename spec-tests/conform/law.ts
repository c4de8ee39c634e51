/**
 * The interface of a law and the view that a law has of the server under test. Laws are black-box tests: they import
 * nothing from the engine and see an endpoint only through its answers, so they can check any chat-completions server.
 */

import type { Arbitrary } from "fast-check";

/** Features that a law may require of an endpoint. They are probed with requests before any law runs. */
export type Feature =
  | "stream"
  | "stream_usage"
  | "seed"
  | "n"
  | "stop"
  | "max_tokens"
  | "logprobs"
  | "top_logprobs"
  | "logit_bias"
  | "temperature"
  | "top_p"
  | "top_k"
  | "min_p"
  | "frequency_penalty"
  | "presence_penalty"
  | "repetition_penalty"
  | "json_object"
  | "json_schema"
  | "tools"
  | "reasoning";

/** The vendor's rules that apply where vendors differ: `ppio` for PPIO and Novita, or `openai`. */
export type Dialect = "ppio" | "openai";

/** Description of a law, as it appears in results and reports. */
export interface LawDescription {
  /** `P1` to `P22`, or `validation`. */
  readonly id: string;
  /** One line, a statement about a correct server: "A seeded answer does not depend on concurrent requests". */
  readonly title: string;
  /** Clauses of docs/SPEC.md that a violation breaks. The first is the main clause. */
  readonly clauses: readonly string[];
  /** Issues about real servers that broke the law: `vllm#51226`. */
  readonly reports: readonly string[];
  /** Required features. If any is missing, the law is skipped and the result names the missing ones. */
  readonly needs: readonly Feature[];
  /**
   * For laws that compare distributions: upper bound of the probability of a false alarm in one whole run. null if no
   * false alarm is possible.
   */
  readonly errorRate: number | null;
}

export interface Law extends LawDescription {
  /** The result has no meaning. */
  check(probe: Probe): Promise<unknown>;
}

export type ChatRequest = Readonly<Record<string, unknown>>;

/** One request and its response. */
export interface Exchange {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Request body as sent: JSON text, or the raw text that was sent instead. */
  readonly body: string | null;
  /** 0 if the connection failed or the server sent nothing in time. */
  readonly status: number;
  readonly responseHeaders: Readonly<Record<string, string>>;
  /** The response body. */
  readonly text: string;
  /**
   * Reason why `text` is only the beginning of the response, such as "it has more than 8388608 bytes". null if it is
   * complete, if the connection broke, or if the suite closed it on purpose.
   */
  readonly incomplete: string | null;
  /** Milliseconds. */
  readonly durationMs: number;
}

/** One choice of an answer, in the same form whether it was streamed or not. */
export interface Choice {
  readonly index: number;
  readonly content: string;
  /** null if the answer has no reasoning. */
  readonly reasoning: string | null;
  readonly toolCalls: readonly ToolCall[];
  readonly finishReason: string | null;
  /** null if the answer has no log-probabilities. */
  readonly logprobs: readonly TokenLogprob[] | null;
}

/** A call of a tool in an answer. */
export interface ToolCall {
  readonly id: string;
  readonly type: string;
  readonly name: string;
  /** As the server wrote them: JSON text, if the server is correct. */
  readonly arguments: string;
}

export interface TokenLogprob {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[] | null;
  readonly topLogprobs: readonly {
    readonly token: string;
    readonly logprob: number;
    readonly bytes: readonly number[] | null;
  }[];
}

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly totalTokens: number;
  readonly cachedTokens: number | null;
  readonly reasoningTokens: number | null;
}

/** An answer with status 200. */
export interface Answer {
  readonly exchange: Exchange;
  /** Sorted by index. */
  readonly choices: readonly Choice[];
  readonly usage: Usage | null;
  /** Parsed chunks of a stream, in order of arrival. Empty for an answer that was not streamed. */
  readonly chunks: readonly unknown[];
  /** True if the stream ended with `data: [DONE]`, or if the answer was not streamed. */
  readonly isDone: boolean;
}

export interface CaseOptions<T> {
  readonly numRuns?: number;
  /** Cases that are checked before the generated ones. */
  readonly examples?: readonly T[];
  readonly share?: number;
}

/**
 * The interface through which a law sends requests. Every call counts against the budget. Once the budget is spent,
 * calls throw `BudgetSpent`.
 */
export interface Probe {
  readonly features: ReadonlySet<Feature>;
  readonly dialect: Dialect;
  /** Context length in tokens. null if the endpoint does not report it. */
  readonly contextLength: number | null;
  /**
   * Sends a chat request and reads the answer. Adds `model` if it is absent. Reads a stream if `request.stream` is
   * true.
   *
   * @throws Violation for a status other than 200 or an unreadable answer
   */
  ask(request: ChatRequest): Promise<Answer>;
  /** Sends a request without checking the status. For requests that the server should refuse. */
  send(
    request: ChatRequest | string,
    options?: { readonly path?: string; readonly method?: string; readonly headers?: Readonly<Record<string, string>> },
  ): Promise<Exchange>;
  /**
   * Sends a streaming request and disconnects after the given number of chunks or milliseconds. With 0 chunks it
   * disconnects as soon as the request is written.
   */
  abandon(request: ChatRequest, after: { readonly chunks: number } | { readonly ms: number }): Promise<void>;
  /**
   * Checks cases one after the other until `numRuns` cases (default 20) are done or the law's share of the budget is
   * spent. The first case whose check throws a Violation is shrunk, within the budget, and becomes a finding of the
   * law; `forAll` then returns. `share` is the fraction of the law's remaining budget that new cases may use (default
   * 0.75); the rest is reserved for shrinking. A law that calls `forAll` twice uses `share` to reserve budget for the
   * second call. Errors other than Violation end the run. Returns false if there is a finding.
   */
  forAll<T>(cases: Arbitrary<T>, check: (value: T) => Promise<void>, options?: CaseOptions<T>): Promise<boolean>;
  /** Adds a note to the report, about a check that was left out and the reason. */
  note(text: string): void;
}

/** Thrown when a law is broken. `exchanges` are the evidence; reports print them as curl commands that reproduce it. */
export class Violation extends Error {
  constructor(
    message: string,
    readonly exchanges: readonly Exchange[],
    /** The broken clause. null for the law's main clause. */
    readonly clause: string | null = null,
  ) {
    super(message);
  }
}

export class BudgetSpent extends Error {
  /** @param limit the limit that was reached; null if the endpoint accepts no more requests */
  constructor(
    message: string,
    readonly limit: "calls" | "seconds" | null = null,
  ) {
    super(message);
  }
}
