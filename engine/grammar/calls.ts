/** Calls of tools as an expression: one or more calls in their markup, or another answer. */

import type { CallsFormat } from "./answer-format.js";
import { type Expression, listOf, text } from "./expressions.js";
import type { Language, Languages } from "./language.js";
import { type TaggedPart, Triggers } from "./tagged-text.js";

/** A format with the compiled parts of its calls. */
export interface CallTexts extends Omit<CallsFormat, "calls"> {
  readonly calls: readonly TaggedPart[];
}

/** @param other an answer without calls in its format, which is not read if any text is allowed; null if calls are required */
export function callsExpression(languages: Languages, format: CallTexts, other: Expression | null): Expression {
  const { trigger, isTriggerAnywhere, mayFollowText, otherwise, maxCalls } = format;
  const orCalls = (answer: Expression): Expression =>
    maxCalls === 0 ? answer : { kind: "union", parts: [calls(languages, format, ""), answer] };
  if (other === null) return calls(languages, format, "");
  if (otherwise !== null) return orCalls(other);
  if (!isTriggerAnywhere) return orCalls(text(notBeginningWith(languages, trigger)));
  const triggers = new Triggers(languages, [trigger]);
  const free = text(triggers.free);
  if (!mayFollowText || maxCalls === 0) return orCalls(free);
  const after: Expression = {
    kind: "concat",
    parts: [text(triggers.upTo(trigger)), calls(languages, format, trigger)],
  };
  return { kind: "union", parts: [after, free] };
}

function notBeginningWith(languages: Languages, begin: string): Language {
  return languages.not(languages.concat(languages.words([begin]), languages.all));
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
