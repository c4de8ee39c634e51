/** Implements the bugs of calls that servers have where they write answers and chunks. */

import type { ChatCompletion, ChatCompletionChunk } from "../../src/openai/index.js";
import type { BugName } from "./bugs.js";

export function spoiltAnswer(answer: ChatCompletion, bugs: ReadonlySet<BugName>): object {
  const choices = answer.choices.map(({ message, ...choice }) => {
    const { tool_calls: calls } = message;
    if (calls === undefined) return { ...choice, message };
    const kept = bugs.has("last-call-only") ? calls.slice(-1) : calls;
    const written = bugs.has("arguments-are-object") ? kept.map(withObject) : kept;
    return { ...choice, message: { ...message, tool_calls: written } };
  });
  return { ...answer, choices };
}

type WholeCall = NonNullable<ChatCompletion["choices"][number]["message"]["tool_calls"]>[number];

/** Replaces the JSON text of the arguments by the object. Arguments that max_tokens cut have none. */
function withObject({ function: { name, arguments: text }, ...call }: WholeCall): object {
  try {
    return { ...call, function: { name, arguments: JSON.parse(text) as unknown } };
  } catch {
    return { ...call, function: { name, arguments: {} } };
  }
}

/** @param n number of choices */
export function spoiltChunks(
  chunk: ChatCompletionChunk,
  n: number,
  bugs: ReadonlySet<BugName>,
): readonly ChatCompletionChunk[] {
  const [choice] = chunk.choices;
  if (choice === undefined) return [chunk];
  const { index, delta, finish_reason: reason } = choice;
  const withChoice = (fields: object): ChatCompletionChunk => ({ ...chunk, choices: [{ ...choice, ...fields }] });
  if (reason === "tool_calls" && bugs.has("finishes-twice")) return [chunk, withChoice({ finish_reason: "stop" })];
  if (reason === "tool_calls" && bugs.has("streamed-calls-say-stop")) return [withChoice({ finish_reason: "stop" })];
  const [piece] = delta.tool_calls ?? [];
  if (piece === undefined) return [chunk];
  if (bugs.has("calls-of-last-choice-only") && index !== n - 1) return [];
  if (bugs.has("streamed-arguments-lost") && piece.function.arguments.endsWith("}")) return [];
  const { index: ofCall, ...rest } = piece;
  if (bugs.has("call-index-missing")) return [withChoice({ delta: { ...delta, tool_calls: [rest] } })];
  const changed = { ...rest, index: bugs.has("call-index-zero") ? 0 : ofCall };
  return [withChoice({ delta: { ...delta, tool_calls: [changed] } })];
}
