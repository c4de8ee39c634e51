/** Reads off a chat template how its model writes arguments as a list of parameters (see call-probes.ts). */

import type { Enclosure, ParameterMarkup } from "../message/index.js";

/** The texts after a name: between it and the arguments, and after them. */
export interface DerivedParameters {
  readonly between: string;
  readonly after: string;
  readonly parameters: ParameterMarkup;
}

const FIRST = { key: "key_zq_one", value: "value zq one" } as const;
const SECOND = { key: "key_zq_two", value: "value zq two" } as const;
const NUMBER = 918273645;
/** A string that JSON and Python would escape: what is derived writes strings as they are. */
const UNESCAPED = 'zq "one" \\ two\n</zq>';

/**
 * @param written returns what a template writes after the name of a call with these arguments
 * @returns null if the arguments are not written so
 */
export function deriveParameters(written: (args: object) => string): DerivedParameters | null {
  const one = divided(written({ [FIRST.key]: FIRST.value }), FIRST.key, FIRST.value);
  const two = divided(written({ [FIRST.key]: FIRST.value, [SECOND.key]: SECOND.value }), FIRST.key, FIRST.value);
  const second = two === null ? null : divided(two.after, SECOND.key, SECOND.value);
  if (one === null || second === null) return null;
  const open = one.before.slice(one.before.length - sharedEnd(one.before, second.before));
  const between = one.before.slice(0, one.before.length - open.length);
  const gap = second.before.slice(0, second.before.length - open.length);
  const numAfter = sharedStart(gap, one.after);
  const strings: Enclosure = { before: one.between, after: gap.slice(0, numAfter) };
  const after = one.after.slice(numAfter);
  const inserted = (value: unknown): string | null => {
    const rest = written({ [FIRST.key]: value });
    const start = between + open + FIRST.key;
    return rest.startsWith(start) && rest.endsWith(after) ? rest.slice(start.length, rest.length - after.length) : null;
  };
  if (inserted(UNESCAPED) !== strings.before + UNESCAPED + strings.after) return null;
  const number = inserted(NUMBER)?.split(String(NUMBER));
  if (number?.length !== 2) return null;
  const others: Enclosure = { before: number[0]!, after: number[1]! };
  const word = (value: boolean | null): string =>
    inserted(value)
      ?.slice(others.before.length)
      .slice(0, -others.after.length || undefined) ?? "";
  const words = { null: word(null), true: word(true), false: word(false) };
  const parameters = { open, separator: gap.slice(numAfter), strings, others, words };
  const isUsable = canBeRead(parameters, after) && written({}) === between + after;
  return isUsable ? { between, after, parameters } : null;
}

/** True if it is certain, wherever a text is read up to, what follows. */
function canBeRead({ open, separator, strings, others, words }: ParameterMarkup, after: string): boolean {
  const beginAlike = (a: string, b: string): boolean => a !== "" && (a.startsWith(b) || b.startsWith(a));
  const isUnique =
    strings.before === others.before
      ? strings.after === others.after
      : !strings.before.startsWith(others.before) || others.after === "";
  return (
    [strings.before, strings.after, others.before, after, ...Object.values(words)].every((text) => text !== "") &&
    sharedWithin(strings.after) === 0 &&
    !beginAlike(open, after) &&
    !beginAlike(separator + open, after) &&
    isUnique
  );
}

/** Length of the longest beginning of a text, but for the whole, that is its end too. */
function sharedWithin(text: string): number {
  for (let length = text.length - 1; length > 0; length--) if (text.endsWith(text.slice(0, length))) return length;
  return 0;
}

/** Divides a text around a key and the value after it. */
function divided(
  text: string,
  key: string,
  value: string,
): { readonly before: string; readonly between: string; readonly after: string } | null {
  const at = text.indexOf(key);
  const valueAt = text.indexOf(value, at + key.length);
  if (at < 0 || valueAt < 0) return null;
  return {
    before: text.slice(0, at),
    between: text.slice(at + key.length, valueAt),
    after: text.slice(valueAt + value.length),
  };
}

export function sharedStart(a: string, b: string): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}

export function sharedEnd(a: string, b: string): number {
  let length = 0;
  while (length < a.length && length < b.length && a.at(-1 - length) === b.at(-1 - length)) length++;
  return length;
}
