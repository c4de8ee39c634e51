/** Arguments of calls as a list of parameters: the expression of what a tool may get. */

import { LIMITS } from "../limits.js";
import { JSON_LIKE, type Enclosure, type ParameterKind, type ParameterMarkup, isAlike } from "./call-markup.js";
import { type Expression, listOf, text } from "./expressions.js";
import type { Language, Languages } from "./language.js";
import { isEmptySet } from "./numbers.js";
import type { ObjectShape, Slot } from "./objects.js";
import { boundedPattern } from "./pattern.js";
import { TYPE, unsupported } from "./schema.js";
import { Triggers } from "./tagged-text.js";
import type { ValueNode } from "./values.js";

/** Adds a rule. @returns the expression that refers to it */
export type Define = (expression: Expression) => Expression;

export interface Parameters {
  readonly expression: Expression;
  readonly kinds: ReadonlyMap<string, ParameterKind>;
}

/**
 * Returns the expression of the parameters that make an object which the node allows: those that the schema declares,
 * in its order.
 *
 * @param node allows objects only
 * @throws EngineError unsupported_schema
 */
export function parametersOf(
  languages: Languages,
  markup: ParameterMarkup,
  node: ValueNode,
  define: Define,
): Parameters {
  const writer = new ParameterWriter(languages, markup, define);
  const kinds = kindsOf(node.objects, languages);
  const alternatives = node.objects.map((shape) => writer.object(shape, kinds));
  return { expression: listOf("union", alternatives), kinds };
}

/** A parameter is of one kind in all alternatives, so that what is written can be read again. */
function kindsOf(shapes: readonly ObjectShape<ValueNode>[], languages: Languages): Map<string, ParameterKind> {
  const kinds = new Map<string, ParameterKind>();
  for (const { slots } of shapes)
    for (const { name, value } of slots) {
      const kind = kindOf(value, languages);
      const other = kinds.get(name) ?? kind;
      if (kind !== null) kinds.set(name, other === null || other === kind ? kind : "either");
    }
  return kinds;
}

/** @returns null if there is no value */
function kindOf(value: ValueNode, languages: Languages): ParameterKind | null {
  const hasStrings = value.strings !== languages.none;
  if (hasOthers(value)) return hasStrings ? "either" : "json";
  return hasStrings ? "string" : null;
}

function hasOthers({ words, numbers, arrays, objects }: ValueNode): boolean {
  return words !== 0 || !isEmptySet(numbers) || arrays.length > 0 || objects.length > 0;
}

class ParameterWriter {
  readonly #languages: Languages;
  readonly #markup: ParameterMarkup;
  readonly #define: Define;
  /** Texts that do not contain the end of a string, and among them those that are taken for no other value. */
  readonly #texts: Language;
  readonly #textsOnly: Language;

  constructor(languages: Languages, markup: ParameterMarkup, define: Define) {
    this.#languages = languages;
    this.#markup = markup;
    this.#define = define;
    this.#texts = new Triggers(languages, [markup.strings.after]).free;
    const jsonLike = languages.union([
      boundedPattern(languages, JSON_LIKE, true),
      languages.words(Object.values(markup.words)),
    ]);
    this.#textsOnly = languages.intersection([this.#texts, languages.not(jsonLike)]);
  }

  object(shape: ObjectShape<ValueNode>, kinds: ReadonlyMap<string, ParameterKind>): Expression {
    const slots = shape.slots.filter(({ value }) => kindOf(value, this.#languages) !== null);
    this.#check(shape, slots);
    const { open, separator } = this.#markup;
    const parameter = ({ name, value }: Slot<ValueNode>, isFirst: boolean): Expression => ({
      kind: "concat",
      parts: [this.#word((isFirst ? "" : separator) + open + name), this.#value(name, value, kinds.get(name)!)],
    });
    // What may follow if no parameter has been written yet, and if one has.
    let first: Expression = this.#word("");
    let later: Expression = first;
    for (const slot of slots.toReversed()) {
      const after = (isFirst: boolean): Expression => ({ kind: "concat", parts: [parameter(slot, isFirst), later] });
      const orLeftOut = (written: Expression, rest: Expression): Expression =>
        slot.isRequired ? written : this.#define({ kind: "union", parts: [written, rest] });
      const isAgainFirst = orLeftOut(after(true), first);
      later = separator === "" ? isAgainFirst : orLeftOut(after(false), later);
      first = isAgainFirst;
    }
    return first;
  }

  #check({ min, max, hasNeeds }: ObjectShape<ValueNode>, slots: readonly Slot<ValueNode>[]): void {
    const numRequired = slots.filter(({ isRequired }) => isRequired).length;
    if (hasNeeds || min > numRequired || max < slots.length) {
      const keywords = "dependentRequired, minProperties and maxProperties";
      throw unsupported("", `In the form in which this model writes calls, ${keywords} are not supported.`);
    }
    const { open, strings, others } = this.#markup;
    // Where nothing is before a name, its first character tells it from the end of the arguments.
    const begin = open === "" ? /^[\p{L}\p{N}_]/u : /^[^]/;
    for (const { name } of slots) {
      const isNamed = begin.test(name) && !name.includes(strings.before[0]!) && !name.includes(others.before[0]!);
      if (isNamed) continue;
      throw unsupported(
        "",
        `A parameter cannot have the name ${JSON.stringify(name)} in the form in which this model writes calls.`,
      );
    }
  }

  #value(name: string, value: ValueNode, kind: ParameterKind): Expression {
    const { strings, others, words } = this.#markup;
    const languages = this.#languages;
    const isTextOnly = kind === "either" && isAlike(this.#markup);
    const allowed = languages.intersection([value.strings, isTextOnly ? this.#textsOnly : this.#texts]);
    const language = languages.settle(allowed, LIMITS.maxGrammarStates);
    const parts: Expression[] = [];
    if (language !== languages.none) parts.push(this.#enclosed(strings, text(language)));
    const named = WORDS.filter((word) => (value.words & TYPE[word]) !== 0 && words[word] !== word);
    if (named.length > 0) parts.push(this.#enclosed(others, text(languages.words(named.map((word) => words[word])))));
    const rest = {
      ...value,
      words: value.words & ~named.reduce((bits, word) => bits | TYPE[word], 0),
      strings: languages.none,
    };
    if (hasOthers(rest)) parts.push(this.#enclosed(others, { kind: "value", value: rest }));
    if (parts.length > 0) return listOf("union", parts);
    throw unsupported(
      "",
      `In the form in which this model writes calls, no value of ${JSON.stringify(name)} can be written.`,
    );
  }

  #enclosed({ before, after }: Enclosure, value: Expression): Expression {
    return { kind: "concat", parts: [this.#word(before), value, this.#word(after)] };
  }

  #word(value: string): Expression {
    return text(this.#languages.words([value]));
  }
}

const WORDS = ["null", "true", "false"] as const;
