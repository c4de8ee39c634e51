/** Formats the server's JSON log lines for a person at a terminal. */

import { visibleLine } from "../../spec-tests/conform/terminal.js";
import { wrapped } from "./word-wrap.js";

interface LogRecord {
  readonly level: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** Returns a line that is wrapped to `width`, and further ones for the stack of an error, without control characters. */
export function readableLogLine(json: string, width: number): string {
  const { level, time, msg, method, path, status, durationMs, requestId, err, ...rest } = JSON.parse(json) as LogRecord;
  const isRequest = method !== undefined;
  const what = isRequest
    ? `${text(method)} ${text(path)} ${text(status)} in ${text(durationMs)} ms${msg === "answered" ? "" : `, ${msg}`}`
    : msg;
  // The id of a request is in the answer's headers; it is needed to find the request of an error.
  const fields = isRequest || requestId === undefined ? rest : { ...rest, requestId };
  const details = Object.entries(fields).map(([name, value]) => `${name} ${text(value)}`);
  const line = [clock(time), ...(level < WARN && level >= INFO ? [] : [NAMES[level] ?? String(level)]), what].join(" ");
  const { stack, message } = (err ?? {}) as { readonly stack?: string; readonly message?: string };
  const lines = [[line, ...details].join(" · "), ...(stack ?? message ?? "").split("\n").filter((each) => each !== "")];
  return `${lines.map((each) => wrapped(visibleLine(each), width)).join("\n  ")}\n`;
}

const text = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

/** Local time of day. */
const clock = (ms: number): string => new Date(ms).toTimeString().slice(0, 8);

const INFO = 30;
const WARN = 40;
const NAMES: Readonly<Record<number, string>> = { 10: "TRACE", 20: "DEBUG", 40: "WARN", 50: "ERROR", 60: "FATAL" };
