/** Visits the states of a language when a grammar is compiled, without one visit for each number of repetitions. */

import { type CodePointSet, fromPairs, intersect } from "./code-points.js";
import { type Language, type Languages, TooManyStates } from "./language.js";

/**
 * Visits every state once, so that the cost of each step is known to be small whatever text is read. States that differ
 * only in the number of repetitions left are one.
 * @param maxSize limit for all that is visited in these languages: number of states, where a union counts as many as it
 * has parts
 * @throws TooManyStates
 */
export function explore(languages: Languages, language: Language, maxSize: number): void {
  const exploration = new Exploration(languages);
  const found = new Set([language]);
  for (const state of found) {
    languages.numExplored += state.shape.kind === "union" ? state.shape.parts.length : 1;
    if (languages.numExplored > maxSize) throw new TooManyStates();
    for (const next of exploration.withoutCounts(state) ?? languages.steps(state).targets) found.add(next);
  }
}

class Exploration {
  readonly #afterEnds = new Map<Language, CodePointSet | null>();

  constructor(readonly languages: Languages) {}

  /**
   * Returns the languages whose states are those of the given one, apart from numbers of repetitions and characters
   * that are left; null if its states must be visited one by one.
   */
  withoutCounts(language: Language): readonly Language[] | null {
    const { shape } = language;
    if (shape.kind === "intersection" && language.isPlain)
      return shape.parts.filter((part) => part.shape.kind !== "repeat" || part.shape.of !== this.languages.any);
    const repeated = shape.kind === "concat" ? shape.first : language;
    const after = shape.kind === "concat" ? shape.rest : this.languages.empty;
    if (repeated.shape.kind !== "repeat" || !this.#isCounter(repeated.shape.of, after)) return null;
    return [repeated.shape.of, after];
  }

  /**
   * True if each text can be divided in one way only into repetitions of `of` and what follows, character by character:
   * then each state is one of `of` or `after`, whatever the number of repetitions read.
   */
  #isCounter(of: Language, after: Language): boolean {
    if (of.isAccepting) return false;
    const [begins, follows] = [this.#firsts(of), this.#firsts(after)];
    const goesOn = this.#afterEnd(of);
    return goesOn !== null && areDisjoint(begins, follows) && areDisjoint(goesOn, joined([begins, follows]));
  }

  /** Returns the code points that texts of a language begin with. */
  #firsts(language: Language): CodePointSet {
    const { firsts, ends } = this.languages.steps(language).partition;
    this.languages.spend(firsts.length);
    return fromPairs(Array.from(firsts, (first, index): [number, number] => [first, ends[index]!]));
  }

  /**
   * Returns all code points that may go on from a text of the language to a longer one; null if that is not known, or
   * if a text can be divided into the parts of the language in several ways.
   */
  #afterEnd(language: Language): CodePointSet | null {
    // From the last part of a concatenation to the first, without recursion: it can have thousands of parts.
    const open: Language[] = [];
    for (let rest = language; !this.#afterEnds.has(rest); rest = rest.shape.rest) {
      open.push(rest);
      if (rest.shape.kind !== "concat") break;
    }
    for (const part of open.toReversed()) this.#afterEnds.set(part, this.#findAfterEnd(part));
    return this.#afterEnds.get(language)!;
  }

  #findAfterEnd({ shape }: Language): CodePointSet | null {
    this.languages.spend();
    switch (shape.kind) {
      case "none":
      case "empty":
      case "set":
        return [];
      case "words":
        return shape.end - shape.first === 1 ? [] : null;
      case "concat": {
        const { first, rest } = shape;
        const [firstGoesOn, restGoesOn] = [this.#afterEnd(first), this.#afterEnd(rest)];
        const restBegins = this.#firsts(rest);
        if (firstGoesOn === null || restGoesOn === null || !areDisjoint(firstGoesOn, restBegins)) return null;
        return rest.isAccepting ? joined([firstGoesOn, restGoesOn, restBegins]) : restGoesOn;
      }
      case "repeat": {
        const [begins, goesOn] = [this.#firsts(shape.of), this.#afterEnd(shape.of)];
        return goesOn === null || shape.of.isAccepting || !areDisjoint(goesOn, begins)
          ? null
          : joined([goesOn, begins]);
      }
      case "union": {
        let begun: CodePointSet = [];
        const goingOn: CodePointSet[] = [];
        for (const part of shape.parts) {
          const [begins, goesOn] = [this.#firsts(part), this.#afterEnd(part)];
          if (goesOn === null || part.isAccepting || !areDisjoint(begun, begins)) return null;
          begun = joined([begun, begins]);
          goingOn.push(goesOn);
        }
        return joined(goingOn);
      }
      default:
        return null;
    }
  }
}

/** Returns code points of which all texts of a language consist; null if that is not known. */
export function alphabetOf(languages: Languages, language: Language): CodePointSet | null {
  const sets = new Set<CodePointSet>();
  const found = new Set([language]);
  for (const { shape } of found) {
    languages.spend();
    if (shape.kind === "set") sets.add(shape.set);
    else if (shape.kind === "concat") found.add(shape.first).add(shape.rest);
    else if (shape.kind === "union") for (const part of shape.parts) found.add(part);
    else if (shape.kind === "repeat") found.add(shape.of);
    else if (shape.kind !== "none" && shape.kind !== "empty") return null;
  }
  languages.spend([...sets].reduce((sum, { length }) => sum + length, 0));
  return joined([...sets]);
}

function joined(sets: readonly CodePointSet[]): CodePointSet {
  const pairs: [number, number][] = [];
  for (const set of sets) for (let i = 0; i < set.length; i += 2) pairs.push([set[i]!, set[i + 1]!]);
  return fromPairs(pairs);
}

const areDisjoint = (a: CodePointSet, b: CodePointSet): boolean => intersect(a, b).length === 0;
