/** Calls of tools as an expression: one or more calls in their markup, or another answer. */

import { type Expression, listOf, text } from "./expressions.js";
import type { Languages } from "./language.js";
import { type TaggedPart, Triggers } from "./tagged-text.js";

/** The texts of calls: see `CallsFormat`. */
export interface CallTexts {
  readonly open: string;
  readonly separator: string;
  readonly close: string;
  readonly calls: readonly TaggedPart[];
  readonly maxCalls: number;
  readonly trigger: string | null;
  /** Null if an answer without calls may be any text. */
  readonly otherwise: unknown;
}

/** @param other an answer without calls; null if there must be one. It is not read if it may be any text. */
export function callsExpression(languages: Languages, format: CallTexts, other: Expression | null): Expression {
  const { trigger } = format;
  if (other === null) return calls(languages, format, "");
  if (format.otherwise !== null) return { kind: "union", parts: [calls(languages, format, ""), other] };
  if (trigger === null) {
    const begins = languages.words(format.calls.map(({ begin }) => format.open + begin));
    const free = languages.not(languages.concat(begins, languages.all));
    return { kind: "union", parts: [calls(languages, format, ""), text(free)] };
  }
  const triggers = new Triggers(languages, [trigger]);
  const before: Expression = {
    kind: "concat",
    parts: [text(triggers.upTo(trigger)), calls(languages, format, trigger)],
  };
  return { kind: "union", parts: [before, text(triggers.free)] };
}

/** @param read the beginning of the calls, which is left out */
function calls(languages: Languages, format: CallTexts, read: string): Expression {
  const { open, separator, close, maxCalls } = format;
  const word = (value: string): Expression => text(languages.words([value]));
  const call = (before: string, numRead: number): Expression =>
    listOf(
      "union",
      format.calls.map(({ begin, content, end }): Expression => ({
        kind: "concat",
        parts: [word((before + begin).slice(numRead)), content, word(end)],
      })),
    );
  const more: Expression = { kind: "repeat", of: call(separator, 0), min: 0, max: maxCalls - 1 };
  return { kind: "concat", parts: [call(open, read.length), ...(maxCalls > 1 ? [more] : []), word(close)] };
}
