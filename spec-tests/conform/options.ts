/** What a caller may ask for, checked before anything is sent. Knows no law, so that a command line can load it at once. */

import { ConformError } from "./errors.js";
import type { Dialect } from "./law.js";
import type { Budget, Progress } from "./run.js";

export interface ConformOptions {
  /** Where the server's API begins, so that `/chat/completions` can follow: `http://127.0.0.1:8000/v1`. */
  readonly baseUrl: string;
  /** Sent as bearer token with every request; results and reports have `$API_KEY` in its place. Default: none is sent. */
  readonly apiKey?: string;
  /** The model to ask. Default: the first one that the server lists. */
  readonly model?: string;
  /** Whose rules hold where vendors differ. Default: what the server says of itself, else `openai`. */
  readonly dialect?: Dialect;
  /** Ids of the laws to check: `["P4", "validation"]`. They are checked in the order of `LAWS`. Default: all. */
  readonly only?: readonly string[];
  /** The most requests to send, and seconds to take. Default: 500 calls and 300 seconds. */
  readonly budget?: Partial<Budget>;
  /** An integer of at most 15 digits. The same seed tries the same cases. Default: a random one, which the result tells. */
  readonly seed?: number;
  /** Ends the run; `conform` then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called after each answer of the server, and where a law ends. */
  readonly onProgress?: (progress: Progress) => void;
}

export const DEFAULT_BUDGET: Budget = { calls: 500, seconds: 300 };
const MAX_BUDGET = 9_999_999;
const MAX_SEED = 1e15 - 1;

/** @throws ConformError `invalid_option` for an option that is not known, or whose value cannot be used */
export function checkOptions(options: ConformOptions): void {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  for (const [name, value] of given) {
    const rule = (RULES as Readonly<Record<string, Rule | undefined>>)[name];
    if (rule === undefined) {
      throw new ConformError("invalid_option", `There is no option ${name}, but ${Object.keys(RULES).join(", ")}.`);
    }
    if (!rule.allows(value)) {
      const shown = name === "apiKey" ? "one that is not" : described(value);
      throw new ConformError("invalid_option", `${name} must be ${rule.expected}. Given: ${shown}`);
    }
  }
  if (options.baseUrl === undefined) throw new ConformError("invalid_option", "baseUrl is missing.");
}

/** The URL without a slash at its end; null where nothing can be appended to it. */
export function normalizedBaseUrl(text: string): string | null {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.search !== "" || url.hash !== "" || url.username !== "")
    return null;
  return url.href.replace(/\/+$/, "");
}

interface Rule {
  /** After "must be". */
  readonly expected: string;
  readonly allows: (value: unknown) => boolean;
}

const RULES: Readonly<Record<keyof ConformOptions, Rule>> = {
  baseUrl: {
    expected: "an http or https URL without user, query and fragment, such as http://127.0.0.1:8000/v1",
    allows: (value) => typeof value === "string" && normalizedBaseUrl(value) !== null,
  },
  apiKey: {
    expected: "a string of printable ASCII characters, as HTTP headers are",
    allows: (value) => typeof value === "string" && /^[ -~]*$/.test(value),
  },
  model: { expected: "a name", allows: (value) => typeof value === "string" && value !== "" },
  dialect: { expected: "ppio or openai", allows: (value) => value === "ppio" || value === "openai" },
  only: {
    expected: 'an array of at least one law\'s id, such as ["P4", "validation"]',
    allows: (value) => Array.isArray(value) && value.length > 0 && value.every((id) => typeof id === "string"),
  },
  budget: {
    expected: `{ calls, seconds }, each an integer from 1 to ${MAX_BUDGET} or left out`,
    allows: (value) =>
      typeof value === "object" &&
      value !== null &&
      Object.entries(value).every(([name, limit]) => name in DEFAULT_BUDGET && isIntegerIn(limit, 1, MAX_BUDGET)),
  },
  seed: { expected: "an integer of at most 15 digits", allows: (value) => isIntegerIn(value, -MAX_SEED, MAX_SEED) },
  signal: { expected: "an AbortSignal", allows: (value) => value instanceof AbortSignal },
  onProgress: { expected: "a function", allows: (value) => typeof value === "function" },
};

function isIntegerIn(value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}

function described(value: unknown): string {
  const text = typeof value === "function" ? "a function" : (JSON.stringify(value) ?? String(value));
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
