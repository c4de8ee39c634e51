/** Functions with which laws compare answers and quote them in messages. */

import { Violation, type Answer, type Choice, type TokenLogprob } from "./law.js";

/**
 * Throws unless two answers have the same bytes (TS-10.1): text, reasoning, log-probabilities, finish reasons, usage.
 */
export function demandSame(expected: Answer, got: Answer, what: string, clause: string | null = null): void {
  const found = difference(expected, got);
  if (found !== null) throw new Violation(`${what}: ${found}`, [expected.exchange, got.exchange], clause);
}

/** Describes the first difference between two answers, or returns null. Usage is compared only if both have it. */
export function difference(expected: Answer, got: Answer): string | null {
  if (expected.choices.length !== got.choices.length)
    return `${expected.choices.length} choices were expected, ${got.choices.length} were received`;
  for (const [index, choice] of expected.choices.entries()) {
    const found = choiceDifference(choice, got.choices[index]!);
    if (found !== null) return `choice ${index}: ${found}`;
  }
  if (expected.usage === null || got.usage === null) return null;
  for (const name of ["promptTokens", "completionTokens", "reasoningTokens"] as const) {
    if (expected.usage[name] !== got.usage[name])
      return `${wireName(name)} of usage: ${expected.usage[name]} was expected, ${got.usage[name]} was received`;
  }
  return null;
}

/** Describes the first difference between two choices, or returns null. Indexes are not compared. */
export function choiceDifference(expected: Choice, got: Choice): string | null {
  for (const name of ["reasoning", "content", "finishReason"] as const) {
    if (expected[name] !== got[name])
      return `${wireName(name)}: ${around(expected[name], got[name])} was expected, ${around(got[name], expected[name])} was received`;
  }
  const [expectedCalls, gotCalls] = [callsText(expected), callsText(got)];
  if (expectedCalls !== gotCalls)
    return `tool_calls: ${around(expectedCalls, gotCalls)} were expected, ${around(gotCalls, expectedCalls)} were received`;
  if (expected.logprobs === null || got.logprobs === null) {
    if (expected.logprobs === got.logprobs) return null;
    return `logprobs: ${expected.logprobs === null ? "none were expected, some" : "some were expected, none"} were received`;
  }
  if (expected.logprobs.length !== got.logprobs.length)
    return `logprobs: ${expected.logprobs.length} entries were expected, ${got.logprobs.length} were received`;
  const index = expected.logprobs.findIndex((entry, i) => JSON.stringify(entry) !== JSON.stringify(got.logprobs![i]));
  return index < 0
    ? null
    : `logprobs, entry ${index}: ${JSON.stringify(expected.logprobs[index])} was expected, ${JSON.stringify(got.logprobs[index])} was received`;
}

/** The calls of a choice as one text, without their ids, which a server may draw at random. */
export function callsText({ toolCalls }: Choice): string {
  return JSON.stringify(toolCalls.map((call) => ({ name: call.name, arguments: call.arguments })));
}

/** Converts a camel-case name to the name of the field in an answer: `finish_reason`. */
export function wireName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Quotes the part of a text around its first difference from another text. */
function around(text: string | null, other: string | null): string {
  if (text === null || other === null || text.length <= 60) return quoted(text);
  const at = [...text].findIndex((_, i) => text[i] !== other[i]);
  const from = Math.max(0, (at < 0 ? Math.min(text.length, other.length) : at) - 20);
  return `${from > 0 ? "…" : ""}${quoted(text.slice(from, from + 60))}${from + 60 < text.length ? "…" : ""}`;
}

/** Returns the answer without reasoning, or null if the content may contain the reasoning. */
export function answerOf({ content, reasoning }: Choice): string | null {
  return reasoning === null && /^\s*<think>/.test(content) ? null : content;
}

/**
 * Quotes a text for a message, and truncates it if it is long. A text with quotation marks, such as JSON, stands between
 * backticks as it is, because escapes would hide it; only the line breaks of JSON become spaces.
 */
export function quoted(text: string | null): string {
  if (text === null) return "null";
  const shown = isJson(text) ? text.trim().replaceAll(/\s*\n\s*/g, " ") : text;
  const isReadable = shown.includes('"') && !/[\p{Cc}`]/u.test(shown) && (isJson(text) || !shown.includes("\\"));
  if (!isReadable) return cut(JSON.stringify(text));
  return `\`${cut(shown)}\``;
}

function isJson(text: string): boolean {
  if (!/^\s*[[{]/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const cut = (text: string): string => (text.length <= 160 ? text : `${text.slice(0, 160)}…`);

/** A key that identifies a token as precisely as the answer allows. */
export function labelOf({ token, bytes }: Pick<TokenLogprob, "token" | "bytes">): string {
  return JSON.stringify([token, bytes]);
}
