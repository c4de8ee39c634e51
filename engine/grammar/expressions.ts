/**
 * The right-hand sides of a context-free grammar, as its syntax reads them. `collapsed` turns everything that is regular
 * into languages, so that only recursion needs a stack.
 */

import { components } from "./components.js";
import type { Language, Languages } from "./language.js";
import type { ValueNode } from "./values.js";

export type Expression =
  | { readonly kind: "text"; readonly language: Language }
  | { readonly kind: "value"; readonly value: ValueNode }
  /** A rule by its name, which is defined. */
  | { readonly kind: "rule"; readonly name: string }
  | { readonly kind: "concat" | "union"; readonly parts: readonly Expression[] }
  /** `max` is Infinity for no bound. */
  | { readonly kind: "repeat"; readonly of: Expression; readonly min: number; readonly max: number };

export const text = (language: Language): Expression => ({ kind: "text", language });

/** @param kind of the list; a list of one part is the part */
export const listOf = (kind: "concat" | "union", parts: readonly Expression[]): Expression =>
  parts.length === 1 ? parts[0]! : { kind, parts };

/**
 * Replaces what is regular by languages: rules without recursion, and parts of the others.
 *
 * @param rules by name; every name in an expression is one of them
 * @returns the rules that the root needs, the root among them
 */
export function collapsed(
  languages: Languages,
  rules: ReadonlyMap<string, Expression>,
  root: string,
): Map<string, Expression> {
  const result = new Map<string, Expression>();
  const collapse = new Collapse(languages, result);
  const given = new Map(rules);
  for (const [name, expression] of rules) leanLeft(given, name, expression);
  const callees = (name: string): string[] => [...namesIn(languages, given.get(name)!)];
  for (const component of components([root], callees)) {
    const isRecursive = component.length > 1 || callees(component[0]!).includes(component[0]!);
    for (const name of component) if (isRecursive) collapse.recursive.add(name);
    for (const name of component) result.set(name, collapse.of(given.get(name)!));
  }
  return result;
}

/**
 * Rewrites `a ::= a op a | b` as `a ::= a op c | c` and `c ::= b`. Both match the same texts, because a chain of
 * operators can be grouped from the left; the second form matches each chain in one way.
 */
function leanLeft(rules: Map<string, Expression>, name: string, expression: Expression): void {
  if (expression.kind !== "union") return;
  const isCall = (part: Expression | undefined): boolean => part?.kind === "rule" && part.name === name;
  const isBothEnds = (part: Expression): boolean =>
    part.kind === "concat" && part.parts.length > 1 && isCall(part.parts[0]) && isCall(part.parts.at(-1));
  const chains = expression.parts.filter(isBothEnds);
  if (chains.length === 0) return;
  // No syntax allows a space in a name.
  const operand = { kind: "rule", name: `operand of ${name}` } as const;
  const others = expression.parts.filter((part) => !isBothEnds(part));
  rules.set(operand.name, { kind: "union", parts: others });
  const leaning = chains.map((chain): Expression => {
    const { parts } = chain as Expression & { kind: "concat" };
    return { kind: "concat", parts: [...parts.slice(0, -1), operand] };
  });
  rules.set(name, { kind: "union", parts: [operand, ...leaning] });
}

/** Returns the names of the rules in an expression. */
export function namesIn(languages: Languages, expression: Expression): Set<string> {
  const names = new Set<string>();
  const open = [expression];
  for (let part = open.pop(); part !== undefined; part = open.pop()) {
    languages.spend();
    if (part.kind === "rule") names.add(part.name);
    else if (part.kind === "repeat") open.push(part.of);
    else if (part.kind === "concat" || part.kind === "union") for (const inner of part.parts) open.push(inner);
  }
  return names;
}

/** A language that joins several parts has at most so many states; larger ones stay apart. */
const MAX_JOINED_STATES = 1000;

class Collapse {
  readonly recursive = new Set<string>();
  readonly #languages: Languages;
  readonly #rules: ReadonlyMap<string, Expression>;
  readonly #fits = new Map<Language, boolean>();

  /** @param rules collapsed so far: those that are not recursive and that an expression needs are there */
  constructor(languages: Languages, rules: ReadonlyMap<string, Expression>) {
    this.#languages = languages;
    this.#rules = rules;
  }

  of(expression: Expression): Expression {
    const languages = this.#languages;
    languages.spend();
    switch (expression.kind) {
      case "text":
      case "value":
        return expression;
      case "rule": {
        const rule = this.recursive.has(expression.name) ? undefined : this.#rules.get(expression.name);
        return rule?.kind === "text" ? rule : expression;
      }
      case "repeat": {
        const { min, max } = expression;
        const of = this.of(expression.of);
        if (of.kind === "text") {
          const language = languages.repeat(of.language, min, max);
          if (this.#isSmall(language)) return text(language);
        }
        return { kind: "repeat", of, min, max };
      }
      case "concat":
        return listOf("concat", this.#joined(expression.parts.map((part) => this.of(part))));
      case "union": {
        const parts = expression.parts.map((part) => this.of(part));
        const texts = parts.flatMap((part) => (part.kind === "text" ? [part.language] : []));
        if (texts.length < 2) return listOf("union", parts);
        const language = languages.union(texts);
        if (!this.#isSmall(language)) return listOf("union", parts);
        return listOf("union", [text(language), ...parts.filter(({ kind }) => kind !== "text")]);
      }
    }
  }

  /** Joins texts that follow each other. */
  #joined(parts: readonly Expression[]): Expression[] {
    const joined: Expression[] = [];
    for (let from = 0; from < parts.length;) {
      let end = from;
      const run: Language[] = [];
      for (let part = parts[end]; part?.kind === "text"; part = parts[++end]) run.push(part.language);
      if (end === from) joined.push(parts[end++]!);
      else joined.push(...this.#joinedRun(run).map(text));
      from = end;
    }
    return joined.length === 0 ? [text(this.#languages.empty)] : joined;
  }

  #joinedRun(run: readonly Language[]): readonly Language[] {
    if (run.length === 1) return run;
    const language = run.reduceRight((rest, first) => this.#languages.concat(first, rest));
    if (this.#isSmall(language)) return [language];
    const middle = run.length >> 1;
    return [...this.#joinedRun(run.slice(0, middle)), ...this.#joinedRun(run.slice(middle))];
  }

  /** True if the language has few states. Unions count as many states as they have parts. */
  #isSmall(language: Language): boolean {
    let fits = this.#fits.get(language);
    if (fits === undefined) this.#fits.set(language, (fits = this.#hasFewStates(language)));
    return fits;
  }

  #hasFewStates(language: Language): boolean {
    const found = new Set([language]);
    let size = 0;
    for (const state of found) {
      size += state.shape.kind === "union" ? state.shape.parts.length : 1;
      if (size > MAX_JOINED_STATES) return false;
      this.#languages.spend();
      for (const target of this.#languages.steps(state).targets) found.add(target);
    }
    return true;
  }
}
