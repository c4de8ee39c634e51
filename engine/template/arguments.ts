/**
 * Binds the arguments of a call to the parameters of a builtin, as Python does: an argument that a builtin does not know
 * is an error.
 */

import type { RenderBudget } from "./render-budget.js";
import { type Text, isText, plain } from "./sourced-text.js";
import { type Call, type Value, typeName } from "./jinja-values.js";

/** A method, filter or test; `what` names it in error messages. */
export type Builtin<Own, Result = Value> = (own: Own, call: Call, what: string) => Result;

interface Parameter {
  readonly name: string;
  readonly isRequired: boolean;
  readonly isNamed: boolean;
}

/**
 * Returns a builtin that binds its arguments.
 *
 * @param signature parameters as in `old, new, /, count?`: `?` marks optional ones; those before `/` have no names
 * @param run gets one value for each parameter; undefined for one that is not given
 */
export function builtin<Own, Result = Value>(
  signature: string,
  run: (own: Own, args: readonly (Value | undefined)[], budget: RenderBudget) => Result,
): Builtin<Own, Result> {
  const parameters = parametersOf(signature);
  return (own, call, what) => run(own, bound(parameters, call, what), call.budget);
}

function parametersOf(signature: string): Parameter[] {
  const words = signature === "" ? [] : signature.split(", ");
  const firstNamed = words.indexOf("/") + 1;
  return words.flatMap((word, index) =>
    word === "/"
      ? []
      : [{ name: word.replace("?", ""), isRequired: !word.endsWith("?"), isNamed: index >= firstNamed }],
  );
}

function bound(parameters: readonly Parameter[], { args, named }: Call, what: string): (Value | undefined)[] {
  if (args.length > parameters.length)
    throw new TypeError(`${what} takes at most ${parameters.length} arguments, not ${args.length}`);
  const values: (Value | undefined)[] = parameters.map((_, index) => args[index]);
  for (const [name, value] of named) {
    const index = parameters.findIndex((parameter) => parameter.isNamed && parameter.name === name);
    if (index < 0) throw new TypeError(`${what} has no argument ${name}`);
    if (values[index] !== undefined) throw new TypeError(`${what} has two values for the argument ${name}`);
    values[index] = value;
  }
  const missing = parameters.find(({ isRequired }, index) => isRequired && values[index] === undefined);
  if (missing !== undefined) throw new TypeError(`${what} needs the argument ${missing.name}`);
  return values;
}

/** @throws TypeError that starts with `what`, such as "a prefix" */
export function textOf(value: Value | undefined, what: string): Text {
  if (!isText(value)) throw new TypeError(`${what} must be a string`);
  return value;
}

export const plainTextOf = (value: Value | undefined, what: string): string => plain(textOf(value, what));

/** Returns an integer; as in Python, booleans are integers. */
export function integerOf(value: Value | undefined, absent: number, what: string): number {
  if (value === undefined) return absent;
  if (typeof value === "boolean") return Number(value);
  if (typeof value !== "number") throw new TypeError(`${what} must be an integer`);
  return value;
}

export function mappingOf(value: Value): Map<string | number, Value> {
  if (!(value instanceof Map)) throw new TypeError(`${typeName(value)} is not a mapping`);
  return value;
}
