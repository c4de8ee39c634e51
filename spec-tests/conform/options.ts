/**
 * Options of `conform`, which are validated before any request is sent. This module does not import the laws, so that
 * the command line loads quickly.
 */

import { ConformError } from "./errors.js";
import type { Dialect } from "./law.js";
import type { Budget, Progress } from "./run.js";

export interface ConformOptions {
  /** Base URL of the server's API, to which `/chat/completions` is appended: `http://127.0.0.1:8000/v1`. */
  readonly baseUrl: string;
  /** API key, sent as bearer token. Results and reports show `$API_KEY` instead. Default: no key is sent. */
  readonly apiKey?: string;
  /** Name of the model. Default: the first model that the server lists. */
  readonly model?: string;
  /** Vendor's rules that apply where vendors differ. Default: the dialect that the server reports, else `openai`. */
  readonly dialect?: Dialect;
  /** Ids of the laws to check: `["P4", "validation"]`. Laws are checked in the order of `LAWS`. Default: all. */
  readonly only?: readonly string[];
  /** Maximum number of requests and of seconds. Default: 650 calls and 400 seconds. */
  readonly budget?: Partial<Budget>;
  /** An integer of at most 15 digits. The same seed tries the same cases. Default: random, and part of the result. */
  readonly seed?: number;
  /** Aborts the run. `conform` then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called after each answer of the server and at the end of each law. */
  readonly onProgress?: (progress: Progress) => void;
}

export const DEFAULT_BUDGET: Budget = { calls: 650, seconds: 400 };
const MAX_BUDGET = 9_999_999;
const MAX_SEED = 1e15 - 1;

/** Validates options. @throws ConformError `invalid_option` for an unknown option or an invalid value */
export function checkOptions(options: ConformOptions): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const rule = (RULES as Readonly<Record<string, Rule | undefined>>)[name];
    if (rule === undefined) {
      throw new ConformError("invalid_option", `Unknown option: ${name}. Options: ${Object.keys(RULES).join(", ")}.`);
    }
    if (!rule.allows(value)) {
      throw new ConformError("invalid_option", `${name} must be ${rule.expected}. Given: ${given(name, value)}`);
    }
  }
  if (options.baseUrl === undefined) throw new ConformError("invalid_option", "baseUrl is missing.");
}

/** Removes trailing slashes from a base URL. Returns null if no path can be appended to it. */
export function normalizedBaseUrl(text: string): string | null {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.search !== "" || url.hash !== "" || hasCredentials(text))
    return null;
  return url.href.replace(/\/+$/, "");
}

/** Returns true for a URL with a user or a password, which must not be printed. */
export function hasCredentials(text: string): boolean {
  return /^[a-z]+:\/*[^/?#]*@/i.test(text);
}

interface Rule {
  /** Text that follows "must be" in the error message. */
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

/** Describes a refused value, without secrets. */
function given(name: string, value: unknown): string {
  if (name === "apiKey") return "a key with other characters";
  if (name === "baseUrl" && typeof value === "string" && hasCredentials(value)) return "a URL with a user";
  return described(value);
}

function described(value: unknown): string {
  const text = typeof value === "function" ? "a function" : (JSON.stringify(value) ?? String(value));
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
