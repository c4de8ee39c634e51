/**
 * Describes the form in which a model writes calls of tools (contract, section 11): the texts around the names and the
 * arguments. The grammar of calls and their parser both read this description.
 */

/** Calls are written as `open`, the calls with `separator` between them, and `close`. */
export interface CallForm {
  readonly open: string;
  /** Null if the model writes one call at most. */
  readonly separator: string | null;
  readonly close: string;
  /** The texts of a call before, between and after its name and its arguments, which are JSON. */
  readonly before: string;
  readonly between: string;
  readonly after: string;
  readonly isNameFirst: boolean;
  /** The text with which calls begin wherever it is written; null if calls are recognized at the start of an answer only. */
  readonly trigger: string | null;
  /** True if an answer may begin with text before the calls. */
  readonly mayFollowText: boolean;
  /** The chat template reads the arguments of earlier calls as an object, or as JSON text. */
  readonly argumentsAs: "object" | "text";
  /** Tokens of the tokenizer that occur in these texts. Those that are special have text, unlike other special tokens. */
  readonly tokens: readonly string[];
}

/** A call as a text: `json` is the JSON of the arguments. */
export interface WrittenCall {
  readonly name: string;
  readonly json: string;
}

/** Writes calls as the model does. @param calls not empty */
export function writtenCalls(form: CallForm, calls: readonly WrittenCall[]): string {
  const { open, separator, close, before, between, after, isNameFirst } = form;
  const texts = calls.map(({ name, json }) => {
    const [first, last] = isNameFirst ? [name, json] : [json, name];
    return before + first + between + last + after;
  });
  return open + texts.join(separator ?? "") + close;
}
