/** How models write calls of tools: the texts around names and arguments. */

/** Calls are written as `open`, the calls with `separator` between them, and `close`. */
export interface CallMarkup {
  readonly open: string;
  /** Null if the model writes one call at most. */
  readonly separator: string | null;
  readonly close: string;
  /** The texts of a call before, between and after its name and its arguments. */
  readonly before: string;
  readonly between: string;
  readonly after: string;
  readonly isNameFirst: boolean;
  /** Stands between `before` and the name, or the name and `between`, if the name is first. */
  readonly tag: CallTag | null;
  /** Null if the arguments are JSON. Otherwise the name is first, and `after` is not empty. */
  readonly parameters: ParameterMarkup | null;
}

/** A number, or an id of nine letters and digits, which mean nothing here. */
export interface CallTag {
  readonly kind: "number" | "id";
  readonly isBeforeName: boolean;
  /** Between the name and the tag. */
  readonly text: string;
}

/** Arguments as a list of parameters. Each is `open`, its name and its value in an enclosure. */
export interface ParameterMarkup {
  readonly open: string;
  /** Between two parameters. */
  readonly separator: string;
  /** The enclosure of a string, which stands in it as it is. No string contains `after`. */
  readonly strings: Enclosure;
  /** The enclosure of the other values, which are JSON, but for the words below. */
  readonly others: Enclosure;
  readonly words: Readonly<Record<"null" | "true" | "false", string>>;
}

/** Texts before and after a value. */
export interface Enclosure {
  readonly before: string;
  readonly after: string;
}

/** What a parameter's value may be. `either`: a string or another value. */
export type ParameterKind = "string" | "json" | "either";

/** By the name of a parameter. */
export type ParameterKinds = ReadonlyMap<string, ParameterKind>;

/** True if strings and other values cannot be told apart by what is around them. */
export function isAlike({ strings, others }: ParameterMarkup): boolean {
  return strings.before === others.before;
}

/** A number, or the beginning of an array or object: a parameter that can be another value is not a string like this. */
const JSON_NUMBER = "-?[0-9]+(\\.[0-9]+)?([eE][+\\-]?[0-9]+)?";
export const JSON_LIKE = `(${JSON_NUMBER}|[\\[{][\\s\\S]*)`;
