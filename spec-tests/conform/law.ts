/**
 * What a law is, and what it sees of the server under test. Laws are black boxes: they import nothing of the engine and
 * know an endpoint only through its answers, so they can be pointed at any server that speaks chat completions.
 */

import type { Arbitrary } from "fast-check";

/** What a law may need of an endpoint. Found out by asking, before any law runs. */
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
  | "reasoning";

/** Whose rules hold where vendors differ: PPIO and Novita, or OpenAI. */
export type Dialect = "ppio" | "openai";

/** A law as results and reports name it. */
export interface LawDescription {
  /** `P1` to `P16`, or `validation`. */
  readonly id: string;
  /** One line, as a statement that holds: "A seeded answer does not depend on what else runs". */
  readonly title: string;
  /** The clauses of docs/SPEC.md that a violation breaks; the first one is the main one. */
  readonly clauses: readonly string[];
  /** Reports of real servers that broke it: `vllm#51226`. */
  readonly reports: readonly string[];
  /** Without all of these the law is skipped, and says which are missing. */
  readonly needs: readonly Feature[];
  /** For laws that compare distributions: the chance of a false alarm of one whole run, at most; null where none is possible. */
  readonly errorRate: number | null;
}

export interface Law extends LawDescription {
  check(probe: Probe): Promise<void>;
}

export type ChatRequest = Readonly<Record<string, unknown>>;

/** One request and what came back. */
export interface Exchange {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** As sent: the JSON text or what was sent instead of it. */
  readonly body: string | null;
  /** 0 if the connection failed or the server sent nothing in time. */
  readonly status: number;
  readonly responseHeaders: Readonly<Record<string, string>>;
  /** The response's text, whole. */
  readonly text: string;
  /** Milliseconds. */
  readonly durationMs: number;
}

/** One choice of an answer, streamed or not, in one form. */
export interface Choice {
  readonly index: number;
  readonly content: string;
  /** null where the answer has none. */
  readonly reasoning: string | null;
  readonly finishReason: string | null;
  /** null where none were given. */
  readonly logprobs: readonly TokenLogprob[] | null;
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
  /** In the order of their index. */
  readonly choices: readonly Choice[];
  readonly usage: Usage | null;
  /** The chunks of a stream as they came, parsed; [] for an answer in one piece. */
  readonly chunks: readonly unknown[];
  /** Whether a stream ended with `data: [DONE]`; true for an answer in one piece. */
  readonly isDone: boolean;
}

export interface CaseOptions<T> {
  readonly numRuns?: number;
  /** Checked first. */
  readonly examples?: readonly T[];
  readonly share?: number;
}

/** What a law asks with. Every call counts against the budget; when that is spent, calls throw `BudgetSpent`. */
export interface Probe {
  readonly features: ReadonlySet<Feature>;
  readonly dialect: Dialect;
  /** Tokens of context, where the endpoint tells; else null. */
  readonly contextLength: number | null;
  /** Sends `request`, `model` added where absent; streamed if it says so. @throws Violation for a status other than 200 or an unreadable answer */
  ask(request: ChatRequest): Promise<Answer>;
  /** The same without judging the status: for requests that ought to be refused. */
  send(
    request: ChatRequest | string,
    options?: { readonly path?: string; readonly method?: string; readonly headers?: Readonly<Record<string, string>> },
  ): Promise<Exchange>;
  /** Streams and goes away after so many chunks (0: at once after the request is written) or so many milliseconds. */
  abandon(request: ChatRequest, after: { readonly chunks: number } | { readonly ms: number }): Promise<void>;
  /**
   * Checks cases one after the other until `numRuns` (default 20) or the law's share of the budget is spent. The first
   * case whose check throws a Violation is shrunk, within the budget, and becomes a finding of the law; `forAll` then returns.
   * `share` is how much of what is left of the law's budget new cases may take (default 0.75; the rest is kept for
   * shrinking): a law that calls `forAll` twice says what it leaves for the second. Errors other than Violation end the run.
   */
  forAll<T>(cases: Arbitrary<T>, check: (value: T) => Promise<void>, options?: CaseOptions<T>): Promise<void>;
  /** Says in the report that something was left out, and why. */
  note(text: string): void;
}

/** A law that does not hold, with the exchanges that show it: printed as curl commands that reproduce it. */
export class Violation extends Error {
  constructor(
    message: string,
    readonly exchanges: readonly Exchange[],
    /** The clause broken, where it is not the law's main one. */
    readonly clause: string | null = null,
  ) {
    super(message);
  }
}

export class BudgetSpent extends Error {}
