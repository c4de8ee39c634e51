/** Calls of tools as an expression: one or more calls in their markup, or another answer. */

import type { CallsFormat } from "./answer-format.js";
import type { CallMarkup, CallTag } from "./call-markup.js";
import { type Expression, listOf, text } from "./expressions.js";
import type { Language, Languages } from "./language.js";
import { boundedPattern } from "./pattern.js";
import { Triggers } from "./tagged-text.js";

/** A format with the compiled arguments of its calls. */
export interface CallTexts extends Omit<CallsFormat, "calls"> {
  readonly calls: readonly { readonly name: string; readonly content: Expression }[];
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
function calls(languages: Languages, { markup, calls: tools, maxCalls }: CallTexts, read: string): Expression {
  const { open, separator, close, before, tag } = markup;
  const word = (value: string): Expression => text(languages.words([value]));
  const tagged = tag?.isBeforeName === true ? [tagOf(languages, tag), word(tag.text)] : [];
  const anyCall = listOf(
    "union",
    tools.map(({ name, content }) => call(languages, markup, name, content)),
  );
  const first: Expression = { kind: "concat", parts: [word((open + before).slice(read.length)), ...tagged, anyCall] };
  const next: Expression = { kind: "concat", parts: [word((separator ?? "") + before), ...tagged, anyCall] };
  const more: Expression = { kind: "repeat", of: next, min: 0, max: maxCalls - 1 };
  return { kind: "concat", parts: [first, ...(maxCalls > 1 ? [more] : []), word(close)] };
}

/** A call without what is before it. */
function call(
  languages: Languages,
  { between, after, isNameFirst, tag }: CallMarkup,
  name: string,
  content: Expression,
): Expression {
  const word = (value: string): Expression => text(languages.words([value]));
  if (!isNameFirst) return { kind: "concat", parts: [content, word(between + name + after)] };
  const tagged = tag === null || tag.isBeforeName ? [] : [word(tag.text), tagOf(languages, tag)];
  return { kind: "concat", parts: [word(name), ...tagged, word(between), content, word(after)] };
}

function tagOf(languages: Languages, { kind }: CallTag): Expression {
  return text(boundedPattern(languages, TAGS[kind], true));
}

const TAGS = { number: "0|[1-9][0-9]{0,5}", id: "[A-Za-z0-9]{9}" } as const;
