/**
 * Regular languages over code points, as expressions with intersection and complement. An expression is a state:
 * reading a code point gives the expression of the text that may follow (Brzozowski, "Derivatives of regular
 * expressions", JACM 1964), so the automaton is built only as far as it is walked. Equal expressions are one object,
 * which keeps the number of states small.
 *
 * A language without intersection and complement is empty only if it is the object `none`. The same is true of its
 * intersection with a maximum length. For all others `settle` visits every state once; after that, a state that can
 * never accept is never entered.
 */

import { ANY, type CodePointSet, complement } from "./code-points.js";

/** A language: a state, and its transitions by code point. */
export interface Language {
  readonly id: number;
  readonly shape: Shape;
  /** True if the empty text belongs to the language: reading may stop here. */
  readonly isAccepting: boolean;
  /**
   * True if the language is known to have no dead ends: it and every state reachable from it contain some text, unless
   * it is `none`.
   */
  readonly isPlain: boolean;
  /** Code points of its shortest text, and an upper bound for its longest. Meaningful only if `isPlain`. */
  readonly shortest: number;
  readonly longest: number;
  /** Transitions, computed on first use. */
  steps: Steps | null;
  /** True if some text belongs to the language. Set by `settle` if the language is not plain, else null. */
  isLive: boolean | null;
}

/**
 * Transitions by ranges of code points, first to end (exclusive): parallel arrays, ascending, without overlaps. Other
 * code points are not allowed.
 */
export interface Steps {
  readonly firsts: readonly number[];
  readonly ends: readonly number[];
  readonly targets: readonly Language[];
}

type Shape =
  | { readonly kind: "none" | "empty" }
  | { readonly kind: "set"; readonly set: CodePointSet }
  | { readonly kind: "words"; readonly words: readonly string[] }
  | { readonly kind: "concat"; readonly first: Language; readonly rest: Language }
  | { readonly kind: "union" | "intersection"; readonly parts: readonly Language[] }
  | { readonly kind: "not"; readonly of: Language }
  | { readonly kind: "repeat"; readonly of: Language; readonly min: number; readonly max: number };

/** Thrown when a language has more states than the limit. */
export class TooManyStates extends Error {}

export class Languages {
  readonly none: Language;
  readonly empty: Language;
  readonly any: Language;
  /** The language of every text. */
  readonly all: Language;
  readonly #known = new Map<string, Language>();
  readonly #counts = new Map<Language, number>();
  #numSettled = 0;
  #numExplored = 0;

  constructor() {
    this.none = this.#make("none", { kind: "none" }, false, true);
    this.empty = this.#make("empty", { kind: "empty" }, true, true);
    this.any = this.set(ANY);
    this.all = this.repeat(this.any, 0, Infinity);
  }

  /** Number of states created so far. */
  get numStates(): number {
    return this.#known.size;
  }

  set(set: CodePointSet): Language {
    return set.length === 0 ? this.none : this.#make(`s${set.join()}`, { kind: "set", set }, false, true);
  }

  /** Returns the language of exactly these texts, which must not contain lone surrogates. */
  words(words: Iterable<string>): Language {
    const sorted = [...new Set(words)].sort();
    if (sorted.length === 0) return this.none;
    if (sorted.length === 1 && sorted[0] === "") return this.empty;
    return this.#make(`w${JSON.stringify(sorted)}`, { kind: "words", words: sorted }, sorted[0] === "", true);
  }

  concat(first: Language, rest: Language): Language {
    if (first === this.none || rest === this.none) return this.none;
    if (first === this.empty) return rest;
    if (rest === this.empty) return first;
    if (first === this.all && rest === this.all) return this.all;
    if (first.shape.kind === "concat") return this.concat(first.shape.first, this.concat(first.shape.rest, rest));
    const isAccepting = first.isAccepting && rest.isAccepting;
    return this.#make(
      `c${first.id},${rest.id}`,
      { kind: "concat", first, rest },
      isAccepting,
      first.isPlain && rest.isPlain,
    );
  }

  union(languages: readonly Language[]): Language {
    const parts = flatten(languages, "union");
    parts.delete(this.none);
    if (parts.has(this.all)) return this.all;
    const lists = [...parts].filter(({ shape }) => shape.kind === "words");
    if (lists.length > 1) {
      for (const list of lists) parts.delete(list);
      parts.add(this.words(lists.flatMap(({ shape }) => (shape.kind === "words" ? shape.words : []))));
    }
    if (parts.has(this.empty) && [...parts].some((part) => part !== this.empty && part.isAccepting))
      parts.delete(this.empty);
    return this.#combined("union", parts, this.none, (all) => all.some(({ isAccepting }) => isAccepting));
  }

  intersection(languages: readonly Language[]): Language {
    const parts = flatten(languages, "intersection");
    parts.delete(this.all);
    if (parts.has(this.none)) return this.none;
    const list = [...parts].find(({ shape }) => shape.kind === "words");
    if (list?.shape.kind === "words") {
      return this.words(
        list.shape.words.filter((word) => [...parts].every((part) => part === list || this.has(part, word))),
      );
    }
    let min = 0;
    let max = Infinity;
    for (const part of parts) {
      if (part.shape.kind !== "repeat" || part.shape.of !== this.any) continue;
      min = Math.max(min, part.shape.min);
      max = Math.min(max, part.shape.max);
      parts.delete(part);
    }
    const only = parts.size === 1 ? [...parts][0]! : null;
    if (only?.isPlain) {
      if (only.shortest > max || only.longest < min) return this.none;
      if (only.shortest >= min) min = 0;
      if (only.longest <= max) max = Infinity;
    }
    if (min > max) return this.none;
    const length = this.repeat(this.any, min, max);
    if (length !== this.all) parts.add(length);
    if (parts.has(this.empty)) return [...parts].every(({ isAccepting }) => isAccepting) ? this.empty : this.none;
    if (only?.isPlain && min === 0 && max !== Infinity) return this.#bounded(only, length, max);
    return this.#combined("intersection", parts, this.all, (all) => all.every(({ isAccepting }) => isAccepting));
  }

  not(of: Language): Language {
    if (of === this.none) return this.all;
    if (of === this.all) return this.none;
    if (of.shape.kind === "not") return of.shape.of;
    return this.#make(`n${of.id}`, { kind: "not", of }, !of.isAccepting, false);
  }

  /** @param max Infinity for no bound */
  repeat(of: Language, min: number, max: number): Language {
    if (max === 0) return this.empty;
    if (of === this.none) return min === 0 ? this.empty : this.none;
    if (of === this.empty || (min === 1 && max === 1)) return of;
    if (of.shape.kind === "repeat" && of.shape.min === 0 && of.shape.max === Infinity) return of;
    const least = of.isAccepting ? 0 : min;
    return this.#make(`r${of.id},${least},${max}`, { kind: "repeat", of, min: least, max }, least === 0, of.isPlain);
  }

  /**
   * Returns the intersection of a plain language with `length`, which allows at most `max` code points. It has no dead
   * ends: `intersection` returns `none` for every step after which the shortest remaining text would be too long.
   */
  #bounded(of: Language, length: Language, max: number): Language {
    const parts = [of, length].sort((a, b) => a.id - b.id);
    const lengths = { shortest: of.shortest, longest: max };
    return this.#make(
      `intersection${parts.map(({ id }) => id).join()}`,
      { kind: "intersection", parts },
      of.isAccepting,
      true,
      lengths,
    );
  }

  /** Returns the transitions by code point; after `settle`, only those to states that can still accept. */
  steps(language: Language): Steps {
    return (language.steps ??= this.#derive(language));
  }

  /** @returns the state after a code point, or null if it is not allowed */
  next(language: Language, codePoint: number): Language | null {
    const { firsts, ends, targets } = this.steps(language);
    const index = lastAtMost(firsts, codePoint);
    return index >= 0 && codePoint < ends[index]! ? targets[index]! : null;
  }

  has(language: Language, text: string): boolean {
    let state: Language | null = language;
    for (const character of text) {
      state = this.next(state, character.codePointAt(0)!);
      if (state === null) return false;
    }
    return state.isAccepting;
  }

  /**
   * Finds the states of a language that can never accept, and removes the transitions to them.
   * @param maxStates limit for all languages settled by this object together
   * @returns the language itself, or `none` if no text belongs to it
   * @throws TooManyStates
   */
  settle(language: Language, maxStates: number): Language {
    if (language.isPlain || language.isLive === true) return language;
    if (language.isLive === false) return this.none;
    const found: Language[] = [language];
    const cameFrom = new Map<Language, Language[]>([[language, []]]);
    const live: Language[] = [];
    for (const state of found) {
      if (++this.#numSettled > maxStates) throw new TooManyStates();
      let isLive = state.isAccepting;
      for (const target of new Set(this.steps(state).targets)) {
        if (target.isPlain || target.isLive === true) isLive = true;
        else if (target.isLive === null) {
          const known = cameFrom.get(target);
          if (known === undefined) {
            found.push(target);
            cameFrom.set(target, [state]);
          } else known.push(state);
        }
      }
      if (isLive) live.push(state);
    }
    for (const state of live) {
      if (state.isLive === true) continue;
      state.isLive = true;
      live.push(...cameFrom.get(state)!);
    }
    for (const state of found) state.isLive ??= false;
    for (const state of found) state.steps = onlyLive(this.steps(state));
    return language.isLive ? language : this.none;
  }

  /**
   * Visits every state once, so that no text can lead to a new state later.
   * @param maxSize limit for all languages explored by this object together: number of states, where a union counts as
   * many as it has parts
   * @throws TooManyStates
   */
  explore(language: Language, maxSize: number): void {
    const found = new Set([language]);
    for (const state of found) {
      this.#numExplored += state.shape.kind === "union" ? state.shape.parts.length : 1;
      if (this.#numExplored > maxSize) throw new TooManyStates();
      for (const target of this.steps(state).targets) found.add(target);
    }
  }

  /** Counts the texts of a settled language, up to `most`. */
  count(language: Language, most: number): number {
    const open = new Set<Language>();
    const stack: Language[] = [language];
    while (stack.length > 0) {
      const state = stack.at(-1)!;
      if (this.#counts.has(state)) {
        stack.pop();
        continue;
      }
      const { firsts, ends, targets } = this.steps(state);
      const isWide = targets.some((_, i) => ends[i]! - firsts[i]! >= most);
      let sum = state.isAccepting ? 1 : 0;
      for (let i = 0; i < targets.length; i++) sum += (ends[i]! - firsts[i]!) * (this.#counts.get(targets[i]!) ?? 0);
      const next = targets.find((target) => !this.#counts.has(target));
      if (state === this.all || isWide || sum >= most || (next !== undefined && open.has(next))) {
        // The count is large enough, or a cycle of states that can all still accept makes it infinite.
        this.#counts.set(state, most);
      } else if (next === undefined) {
        this.#counts.set(state, sum);
      } else {
        open.add(state);
        stack.push(next);
        continue;
      }
      open.delete(state);
      stack.pop();
    }
    return this.#counts.get(language)!;
  }

  #derive(language: Language): Steps {
    const { shape } = language;
    switch (shape.kind) {
      case "none":
      case "empty":
        return NO_STEPS;
      case "set":
        return onSet(shape.set, this.empty);
      case "words":
        return this.#afterFirst(shape.words);
      case "concat": {
        const begun = mapped(this.steps(shape.first), (target) => this.concat(target, shape.rest));
        return shape.first.isAccepting ? this.#overlaid([begun, this.steps(shape.rest)]) : begun;
      }
      case "union":
        return this.#overlaid(shape.parts.map((part) => this.steps(part)));
      case "intersection": {
        const all = shape.parts.map((part) => this.steps(part));
        return overlay(all, (targets) => (targets.length < all.length ? this.none : this.intersection(targets)));
      }
      case "not": {
        const { firsts, ends, targets } = this.steps(shape.of);
        const read = firsts.flatMap((first, i) => [first, ends[i]!]);
        const rest = onSet(complement(read), this.all);
        return overlay(
          [{ firsts, ends, targets: targets.map((target) => this.not(target)) }, rest],
          ([target]) => target!,
        );
      }
      case "repeat": {
        const rest = this.repeat(shape.of, Math.max(0, shape.min - 1), shape.max - 1);
        return mapped(this.steps(shape.of), (target) => this.concat(target, rest));
      }
    }
  }

  #overlaid(all: readonly Steps[]): Steps {
    return overlay(all, (targets) => (targets.length === 1 ? targets[0]! : this.union(targets)));
  }

  #afterFirst(words: readonly string[]): Steps {
    const rests = new Map<number, string[]>();
    for (const word of words) {
      const codePoint = word.codePointAt(0);
      if (codePoint === undefined) continue;
      const rest = word.slice(codePoint > 0xffff ? 2 : 1);
      const known = rests.get(codePoint);
      if (known === undefined) rests.set(codePoint, [rest]);
      else known.push(rest);
    }
    const firsts = [...rests.keys()].sort((a, b) => a - b);
    return {
      firsts,
      ends: firsts.map((first) => first + 1),
      targets: firsts.map((first) => this.words(rests.get(first)!)),
    };
  }

  #combined(
    kind: "union" | "intersection",
    parts: ReadonlySet<Language>,
    neutral: Language,
    isAccepting: (parts: readonly Language[]) => boolean,
  ): Language {
    const sorted = [...parts].sort((a, b) => a.id - b.id);
    if (sorted.length === 0) return neutral;
    if (sorted.length === 1) return sorted[0]!;
    const isPlain = kind === "union" && sorted.every((part) => part.isPlain);
    return this.#make(
      `${kind}${sorted.map(({ id }) => id).join()}`,
      { kind, parts: sorted },
      isAccepting(sorted),
      isPlain,
    );
  }

  #make(
    key: string,
    shape: Shape,
    isAccepting: boolean,
    isPlain: boolean,
    lengths: Lengths = textLengths(shape),
  ): Language {
    let language = this.#known.get(key);
    if (language === undefined) {
      language = { id: this.#known.size, shape, isAccepting, isPlain, ...lengths, steps: null, isLive: null };
      this.#known.set(key, language);
    }
    return language;
  }
}

interface Lengths {
  readonly shortest: number;
  readonly longest: number;
}

function textLengths(shape: Shape): Lengths {
  switch (shape.kind) {
    case "none":
      return { shortest: Infinity, longest: -Infinity };
    case "empty":
      return { shortest: 0, longest: 0 };
    case "set":
      return { shortest: 1, longest: 1 };
    case "words": {
      const lengths = shape.words.map((word) => [...word].length);
      return { shortest: Math.min(...lengths), longest: Math.max(...lengths) };
    }
    case "concat":
      return {
        shortest: shape.first.shortest + shape.rest.shortest,
        longest: shape.first.longest + shape.rest.longest,
      };
    case "union":
      return {
        shortest: Math.min(...shape.parts.map(({ shortest }) => shortest)),
        longest: Math.max(...shape.parts.map(({ longest }) => longest)),
      };
    case "repeat": {
      const { of, min, max } = shape;
      return { shortest: min === 0 ? 0 : min * of.shortest, longest: of.longest === 0 ? 0 : max * of.longest };
    }
    case "intersection":
    case "not":
      return { shortest: 0, longest: Infinity };
  }
}

/** @returns the index of the last element that is at most `value`, or -1 */
export function lastAtMost(ascending: readonly number[], value: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

const NO_STEPS: Steps = { firsts: [], ends: [], targets: [] };

function flatten(languages: readonly Language[], kind: "union" | "intersection"): Set<Language> {
  const parts = new Set<Language>();
  for (const language of languages) {
    if (language.shape.kind === kind)
      for (const part of (language.shape as { parts: readonly Language[] }).parts) parts.add(part);
    else parts.add(language);
  }
  return parts;
}

function onSet(set: CodePointSet, target: Language): Steps {
  const firsts = set.filter((_, i) => i % 2 === 0);
  return { firsts, ends: set.filter((_, i) => i % 2 === 1), targets: firsts.map(() => target) };
}

function mapped({ firsts, ends, targets }: Steps, map: (target: Language) => Language): Steps {
  const known = new Map<Language, Language>();
  return {
    firsts,
    ends,
    targets: targets.map((target) => {
      let result = known.get(target);
      if (result === undefined) known.set(target, (result = map(target)));
      return result;
    }),
  };
}

function onlyLive({ firsts, ends, targets }: Steps): Steps {
  const keep = targets.map((target) => target.isPlain || target.isLive === true);
  const kept = <T>(values: readonly T[]): T[] => values.filter((_, i) => keep[i]);
  return { firsts: kept(firsts), ends: kept(ends), targets: kept(targets) };
}

/** Overlays transitions: each interval gets the combined targets of all that cover it, or none if nothing covers it. */
function overlay(all: readonly Steps[], combine: (targets: readonly Language[]) => Language): Steps {
  const borders: { at: number; index: number; target: Language | null }[] = [];
  all.forEach(({ firsts, ends, targets }, index) => {
    for (let i = 0; i < firsts.length; i++) {
      borders.push({ at: firsts[i]!, index, target: targets[i]! });
      if (firsts[i + 1] !== ends[i]) borders.push({ at: ends[i]!, index, target: null });
    }
  });
  borders.sort((a, b) => a.at - b.at);
  const covering = new Map<number, Language>();
  const known = new Map<string, Language>();
  const firsts: number[] = [];
  const ends: number[] = [];
  const targets: Language[] = [];
  for (let i = 0; i < borders.length;) {
    const { at } = borders[i]!;
    for (; i < borders.length && borders[i]!.at === at; i++) {
      const { index, target } = borders[i]!;
      if (target === null) covering.delete(index);
      else covering.set(index, target);
    }
    if (covering.size === 0) continue;
    const parts = [...covering.values()];
    const key = parts.map(({ id }) => id).join();
    let target = known.get(key);
    if (target === undefined) known.set(key, (target = combine(parts)));
    if (target.shape.kind === "none") continue;
    const end = borders[i]!.at;
    if (targets.at(-1) === target && ends.at(-1) === at) ends[ends.length - 1] = end;
    else {
      firsts.push(at);
      ends.push(end);
      targets.push(target);
    }
  }
  return { firsts, ends, targets };
}
