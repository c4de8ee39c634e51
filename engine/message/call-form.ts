/**
 * Describes the form in which a model writes calls of tools (contract, section 11): the texts around the names and the
 * arguments. The grammar of calls and their parser both read this description.
 */

import { type CallMarkup, type CallTag, JSON_LIKE, type ParameterMarkup } from "../grammar/index.js";

export interface CallForm extends CallMarkup {
  /** The text with which calls begin wherever it is written; null if calls are recognized at the start of an answer only. */
  readonly trigger: string | null;
  /** True if an answer may begin with text before the calls. */
  readonly mayFollowText: boolean;
  /** The chat template reads the arguments of earlier calls as an object, or as JSON text. */
  readonly argumentsAs: "object" | "text";
  /** True if the chat template accepts ids of nine letters and digits only. */
  readonly hasShortIds: boolean;
  /** Tokens of the tokenizer that occur in these texts. Those that are special have text, unlike other special tokens. */
  readonly tokens: readonly string[];
}

/** A call as a text: `json` is the JSON of the arguments. */
export interface WrittenCall {
  readonly name: string;
  readonly json: string;
}

/** Writes calls as the model does. @param calls not empty */
export function writtenCalls(markup: CallMarkup, calls: readonly WrittenCall[]): string {
  const { open, separator, close, before, between, after, isNameFirst, tag, parameters } = markup;
  const texts = calls.map(({ name, json }, index) => {
    const args = parameters === null ? json : writtenParameters(parameters, json);
    if (!isNameFirst) return before + args + between + name + after;
    const value = tag === null ? "" : writtenTag(tag, index);
    const named = tag === null ? name : tag.isBeforeName ? value + tag.text + name : name + tag.text + value;
    return before + named + between + args + after;
  });
  return open + texts.join(separator ?? "") + close;
}

function writtenTag({ kind }: CallTag, index: number): string {
  return kind === "number" ? `${index}` : `${index}`.padStart(9, "0");
}

function writtenParameters({ open, separator, strings, others, words }: ParameterMarkup, json: string): string {
  const values = Object.entries(JSON.parse(json) as Record<string, unknown>);
  const texts = values.map(([name, value]) => {
    if (typeof value === "string") return open + name + strings.before + value + strings.after;
    const text = JSON.stringify(value);
    return open + name + others.before + (words[text as keyof typeof words] ?? text) + others.after;
  });
  return texts.join(separator);
}

/** Returns the JSON of a parameter that may be a string or another value, which is not marked as either. */
export function jsonOfEither({ words }: ParameterMarkup, text: string): string {
  return jsonOfWord(words, text) ?? (LIKE_JSON.test(text) ? text : JSON.stringify(text));
}

const LIKE_JSON = new RegExp(`^${JSON_LIKE}$`);

/** @returns null if the text is none of the words */
export function jsonOfWord(words: ParameterMarkup["words"], text: string): string | null {
  return Object.entries(words).find(([, written]) => written === text)?.[0] ?? null;
}
