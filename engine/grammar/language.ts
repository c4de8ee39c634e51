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

import type { Budget } from "../budget.js";
import { ANY, type CodePointSet } from "./code-points.js";
import { OUTSIDE, type Partition, Partitions, classOf } from "./partitions.js";

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

/** Transitions: the target of each class of code points. Other code points are not allowed. */
export interface Steps {
  readonly partition: Partition;
  readonly targets: readonly Language[];
}

export type Shape =
  | { readonly kind: "none" | "empty" }
  /** A state of an automaton: its transitions are known from the beginning. */
  | { readonly kind: "state" }
  | { readonly kind: "set"; readonly set: CodePointSet }
  | Words
  | { readonly kind: "concat"; readonly first: Language; readonly rest: Language }
  | { readonly kind: "union" | "intersection"; readonly parts: readonly Language[] }
  | { readonly kind: "not"; readonly of: Language }
  | { readonly kind: "repeat"; readonly of: Language; readonly min: number; readonly max: number };

/** The rests of some words of a list, which all begin alike. A state shares the list, whatever its size. */
export interface Words {
  readonly kind: "words";
  readonly list: WordList;
  /** The words, first to end (exclusive). */
  readonly first: number;
  readonly end: number;
  /** Start of the rests, in UTF-16 code units and in code points. */
  readonly at: number;
  readonly atPoint: number;
}

export interface WordList {
  readonly id: number;
  /** True if equal rests of different words are different states: see `Languages.wordsApart`. */
  readonly isApart: boolean;
  /** Sorted, each once. */
  readonly words: readonly string[];
  /** Code points of each word. */
  readonly lengths: ArrayLike<number>;
}

/** A state of an automaton before it is a language. A target is the index of a state, or a plain language. */
export interface AutomatonState {
  readonly isAccepting: boolean;
  readonly partition: Partition;
  readonly targets: readonly (number | Language)[];
}

/** Thrown when a language has more states than the limit. */
export class TooManyStates extends Error {}

export class Languages {
  readonly none: Language;
  readonly empty: Language;
  readonly any: Language;
  /** The language of every text. */
  readonly all: Language;
  readonly partitions: Partitions;
  /** JSON pointer of the schema that is being compiled, for the budget's error. */
  place = "";
  /** Size of all that was visited: see exploration.ts. */
  numExplored = 0;
  readonly #budget: Budget | null;
  #known = new Map<string, Language>();
  readonly #counts = new Map<Language, number>();
  #numIds = 0;
  #numLists = 0;
  #numSettled = 0;
  #numAutomata = 0;

  /** @param budget for the work of compiling; null once a grammar is in use, where each step derives few states */
  constructor(budget: Budget | null) {
    this.#budget = budget;
    this.partitions = new Partitions(budget);
    this.none = this.#make("none", { kind: "none" }, false, true);
    this.empty = this.#make("empty", { kind: "empty" }, true, true);
    this.any = this.set(ANY);
    this.all = this.repeat(this.any, 0, Infinity);
  }

  /** Number of states in the tables; the ranges that they share count as a part of a state each. */
  get numStates(): number {
    return this.#known.size + (this.partitions.size >> 4);
  }

  /**
   * Drops the tables. States in use stay valid, and equal ones are built again when they are reached. Ids are not
   * reused.
   */
  forget(): void {
    this.partitions.forget();
    this.#counts.clear();
    this.#known = new Map();
    for (const [key, language] of Object.entries({ none: this.none, empty: this.empty }))
      this.#known.set(key, language);
    this.#known.set(setKey(ANY), this.any);
    this.#known.set(repeatKey(this.any, 0, Infinity), this.all);
  }

  /** Numbers new states and lists from these on; those below belong to a compiled grammar. */
  reserve(numStates: number, numLists: number): void {
    this.#numIds = Math.max(this.#numIds, numStates);
    this.#numLists = Math.max(this.#numLists, numLists);
  }

  /** Counts steps of compiling. @throws the error of the budget, or Canceled */
  spend(numSteps = 1): void {
    this.#budget?.spend(numSteps);
  }

  set(set: CodePointSet): Language {
    this.#budget?.spend(1 + (set.length >> 3));
    return set.length === 0 ? this.none : this.#make(setKey(set), { kind: "set", set }, false, true);
  }

  /** Returns the language of exactly these texts, which must not contain lone surrogates. */
  words(words: Iterable<string>): Language {
    const sorted = [...new Set(words)].sort();
    if (sorted.length === 0) return this.none;
    if (sorted.length === 1 && sorted[0] === "") return this.empty;
    const key = `w${JSON.stringify(sorted)}`;
    this.#budget?.spend(sorted.length + (key.length >> 4));
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    return this.#list(key, sorted, false);
  }

  /** Like `words`, for at least one word; `wordRead` tells which word was read. The language equals no other. */
  wordsApart(words: readonly string[]): Language {
    return this.#list(`a${this.#numLists}`, [...words].sort(), true);
  }

  #list(key: string, words: readonly string[], isApart: boolean): Language {
    const list = { id: this.#numLists++, isApart, words, lengths: words.map(numCodePoints) };
    return this.#make(
      key,
      { kind: "words", list, first: 0, end: words.length, at: 0, atPoint: 0 },
      words[0] === "",
      true,
    );
  }

  concat(first: Language, rest: Language): Language {
    if (first === this.none || rest === this.none) return this.none;
    if (first === this.empty) return rest;
    if (rest === this.empty) return first;
    if (rest === this.all && first.isAccepting) return this.all;
    if (first.shape.kind === "concat") return this.#concatChain(first, rest);
    const isAccepting = first.isAccepting && rest.isAccepting;
    return this.#make(
      `c${first.id},${rest.id}`,
      { kind: "concat", first, rest },
      isAccepting,
      first.isPlain && rest.isPlain,
    );
  }

  /** Concatenates a concatenation: chains nest to the right only. */
  #concatChain(first: Language, rest: Language): Language {
    const parts: Language[] = [];
    let last = first;
    for (; last.shape.kind === "concat"; last = last.shape.rest) parts.push(last.shape.first);
    this.#budget?.spend(parts.length);
    return parts.reduceRight((end, part) => this.concat(part, end), this.concat(last, rest));
  }

  union(languages: readonly Language[]): Language {
    const parts = flatten(languages, "union");
    this.#budget?.spend(parts.size >> 1);
    parts.delete(this.none);
    if (parts.has(this.all)) return this.all;
    const lists = [...parts].filter(({ shape }) => shape.kind === "words");
    if (lists.length > 1) {
      for (const list of lists) parts.delete(list);
      parts.add(this.words(lists.flatMap(({ shape }) => (shape.kind === "words" ? restsOf(shape) : []))));
    }
    if (parts.has(this.empty) && [...parts].some((part) => part !== this.empty && part.isAccepting))
      parts.delete(this.empty);
    this.#joinCounts(parts);
    return this.#combined("union", parts, this.none, (all) => all.some(({ isAccepting }) => isAccepting));
  }

  /**
   * Replaces parts that differ only in the counts of one repetition by one part, where the counts overlap or follow one
   * another. Otherwise `(a+ ?){1,500}` would have as many parts as it has ways to divide a text.
   */
  #joinCounts(parts: Set<Language>): void {
    if (parts.size < 2) return;
    const alike = new Map<string, Counted[]>();
    for (const part of parts) {
      const counted = countedPart(part);
      if (counted === null) continue;
      const known = alike.get(counted.key);
      if (known === undefined) alike.set(counted.key, [counted]);
      else known.push(counted);
    }
    for (const all of alike.values()) {
      if (all.length === 1) continue;
      this.#budget?.spend(all.length);
      all.sort((a, b) => a.min - b.min);
      const { before, of, after } = all[0]!;
      for (const { part } of all) parts.delete(part);
      for (let i = 0; i < all.length;) {
        const { min } = all[i]!;
        let { max } = all[i]!;
        for (i++; i < all.length && all[i]!.min <= max + 1; i++) max = Math.max(max, all[i]!.max);
        const repeated = this.concat(this.repeat(of, min, max), after ?? this.empty);
        parts.add(before.reduceRight((end, part) => this.concat(part, end), repeated));
      }
    }
  }

  intersection(languages: readonly Language[]): Language {
    const parts = flatten(languages, "intersection");
    this.#budget?.spend(parts.size >> 1);
    parts.delete(this.all);
    if (parts.has(this.none)) return this.none;
    const list = [...parts].find(({ shape }) => shape.kind === "words");
    if (list?.shape.kind === "words") {
      return this.words(
        restsOf(list.shape).filter((word) => [...parts].every((part) => part === list || this.has(part, word))),
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
    return this.#make(repeatKey(of, least, max), { kind: "repeat", of, min: least, max }, least === 0, of.isPlain);
  }

  /** Returns the language of an automaton that begins in the first state. States that can never accept are dropped. */
  automaton(states: readonly AutomatonState[]): Language {
    const cameFrom: number[][] = states.map(() => []);
    states.forEach(({ targets }, index) => {
      for (const target of targets) if (typeof target === "number") cameFrom[target]!.push(index);
    });
    const outside = (target: number | Language): number => (typeof target === "number" ? Infinity : target.shortest);
    const shortest = states.map(({ isAccepting, targets }) =>
      isAccepting ? 0 : 1 + targets.reduce((least: number, target) => Math.min(least, outside(target)), Infinity),
    );
    const open = shortest.flatMap((length, index) => (length < Infinity ? [index] : []));
    for (const index of open) {
      for (const before of cameFrom[index]!) {
        if (shortest[before]! <= shortest[index]! + 1) continue;
        shortest[before] = shortest[index]! + 1;
        open.push(before);
      }
      this.#budget?.spend(1 + cameFrom[index]!.length);
    }
    const id = this.#numAutomata++;
    const made = states.map(({ isAccepting }, index) => {
      if (shortest[index] === Infinity) return this.none;
      const lengths = { shortest: shortest[index]!, longest: Infinity };
      return this.#make(`t${id},${index}`, { kind: "state" }, isAccepting, true, lengths);
    });
    states.forEach(({ partition, targets }, index) => {
      if (made[index] === this.none) return;
      made[index]!.steps = this.#joined(
        partition,
        targets.map((target) => (typeof target === "number" ? made[target]! : target)),
      );
    });
    return made[0]!;
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
    if (language.steps !== null) return language.steps;
    // The parts come first, without recursion: expressions can be nested as deep as they are long.
    const open = [{ language, parts: neededFor(language), next: 0 }];
    while (open.length > 0) {
      const top = open.at(-1)!;
      const part = top.parts[top.next++];
      if (part !== undefined) {
        if (part.steps === null) open.push({ language: part, parts: neededFor(part), next: 0 });
        continue;
      }
      top.language.steps ??= this.#derive(top.language);
      open.pop();
    }
    return language.steps!;
  }

  /** @returns the state after a code point, or null if it is not allowed */
  next(language: Language, codePoint: number): Language | null {
    const { partition, targets } = this.steps(language);
    return targets[classOf(partition, codePoint)] ?? null;
  }

  has(language: Language, text: string): boolean {
    let state: Language | null = language;
    this.#budget?.spend(text.length);
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
      for (const target of this.steps(state).targets) {
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
      for (const before of cameFrom.get(state)!) live.push(before);
    }
    for (const state of found) state.isLive ??= false;
    for (const state of found) state.steps = this.#onlyLive(this.steps(state));
    return language.isLive ? language : this.none;
  }

  /** Counts the texts of a settled language, up to `most`. */
  count(language: Language, most: number): number {
    const open = new Map<Language, { sizes: readonly number[]; next: number; sum: number }>();
    const stack: Language[] = [language];
    while (stack.length > 0) {
      const state = stack.at(-1)!;
      this.#budget?.spend();
      if (this.#counts.has(state)) {
        stack.pop();
        continue;
      }
      const { partition, targets } = this.steps(state);
      let visit = open.get(state);
      if (visit === undefined) {
        const sizes = classSizes(partition);
        this.#budget?.spend(partition.firsts.length >> 2);
        const isMany = state === this.all || sizes.some((size) => size >= most);
        visit = { sizes, next: 0, sum: isMany ? most : Number(state.isAccepting) };
        open.set(state, visit);
      }
      let isWaiting = false;
      for (; visit.next < targets.length && visit.sum < most; visit.next++) {
        const target = targets[visit.next]!;
        const count = this.#counts.get(target);
        if (count !== undefined) visit.sum += visit.sizes[visit.next]! * count;
        // A cycle of states that can all still accept makes the count infinite.
        else if (open.has(target)) visit.sum = most;
        else {
          stack.push(target);
          isWaiting = true;
          break;
        }
      }
      if (isWaiting) continue;
      this.#counts.set(state, Math.min(visit.sum, most));
      open.delete(state);
      stack.pop();
    }
    return this.#counts.get(language)!;
  }

  /** Computes the transitions; those of the parts are known. */
  #derive(language: Language): Steps {
    const { partitions } = this;
    const { shape } = language;
    this.#budget?.spend(4);
    switch (shape.kind) {
      case "none":
      case "empty":
        return { partition: partitions.ofSet([]), targets: [] };
      case "state":
        throw new Error("The transitions of an automaton are always known");
      case "set":
        return { partition: partitions.ofSet(shape.set), targets: [this.empty] };
      case "words":
        return this.#afterFirst(shape);
      case "concat": {
        const begun = this.#mapped(this.steps(shape.first), (target) => this.concat(target, shape.rest));
        return shape.first.isAccepting ? this.#overlaid([begun, this.steps(shape.rest)]) : begun;
      }
      case "union":
        return this.#overlaid(shape.parts.map((part) => this.steps(part)));
      case "intersection": {
        const all = shape.parts.map((part) => this.steps(part));
        return this.#overlay(all, (targets) => (targets.length < all.length ? this.none : this.intersection(targets)));
      }
      case "not": {
        const { partition, targets } = this.steps(shape.of);
        const whole = partitions.overlay([partition, partitions.ofSet(ANY)]);
        return this.#joined(
          whole.partition,
          whole.parts.map(([inside]) => (inside === OUTSIDE ? this.all : this.not(targets[inside!]!))),
        );
      }
      case "repeat": {
        const rest = this.repeat(shape.of, Math.max(0, shape.min - 1), shape.max - 1);
        return this.#mapped(this.steps(shape.of), (target) => this.concat(target, rest));
      }
    }
  }

  #overlaid(all: readonly Steps[]): Steps {
    return this.#overlay(all, (targets) => (targets.length === 1 ? targets[0]! : this.union(targets)));
  }

  /** Combines the targets of all transitions that allow a code point. */
  #overlay(all: readonly Steps[], combine: (targets: readonly Language[]) => Language): Steps {
    const indexes = new Map<Partition, number>();
    for (const { partition } of all) if (!indexes.has(partition)) indexes.set(partition, indexes.size);
    const whole = this.partitions.overlay([...indexes.keys()]);
    const places = all.map(({ partition }) => indexes.get(partition)!);
    this.#budget?.spend(whole.parts.length * (1 + (all.length >> 3)));
    const targets = whole.parts.map((classes) => {
      const found: Language[] = [];
      for (let i = 0; i < all.length; i++) {
        const target = all[i]!.targets[classes[places[i]!]!];
        if (target !== undefined) found.push(target);
      }
      return combine(found);
    });
    return this.#joined(whole.partition, targets);
  }

  #mapped({ partition, targets }: Steps, map: (target: Language) => Language): Steps {
    return this.#joined(partition, targets.map(map));
  }

  /** Joins the classes that have the same target, and drops those whose target is `none`. */
  #joined(partition: Partition, targets: readonly Language[]): Steps {
    this.#budget?.spend(targets.length >> 1);
    const places = new Map<Language, number>();
    const joined = targets.map((target) => {
      if (target === this.none) return OUTSIDE;
      const known = places.get(target);
      if (known !== undefined) return known;
      places.set(target, places.size);
      return places.size - 1;
    });
    if (places.size === targets.length) return { partition, targets };
    return { partition: this.partitions.coarser(partition, joined), targets: [...places.keys()] };
  }

  #onlyLive({ partition, targets }: Steps): Steps {
    return this.#joined(
      partition,
      targets.map((target) => (target.isPlain || target.isLive === true ? target : this.none)),
    );
  }

  #afterFirst({ list, first, end, at, atPoint }: Words): Steps {
    const { words } = list;
    const groups: { readonly codePoint: number; readonly first: number; readonly end: number }[] = [];
    for (let from = first + Number(words[first]!.length === at); from < end;) {
      const codePoint = words[from]!.codePointAt(at)!;
      let low = from + 1;
      let high = end;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (words[middle]!.codePointAt(at) === codePoint) low = middle + 1;
        else high = middle;
      }
      groups.push({ codePoint, first: from, end: low });
      from = low;
    }
    this.#budget?.spend(4 * groups.length);
    groups.sort((a, b) => a.codePoint - b.codePoint);
    return {
      partition: this.partitions.ofSingles(groups.map(({ codePoint }) => codePoint)),
      targets: groups.map((group) =>
        this.#rest({
          kind: "words",
          list,
          first: group.first,
          end: group.end,
          at: at + (group.codePoint > 0xffff ? 2 : 1),
          atPoint: atPoint + 1,
        }),
      ),
    };
  }

  #rest(rests: Words): Language {
    const { list, first, end, at } = rests;
    const { words, isApart } = list;
    if (isApart) return this.#restOfList(rests);
    if (end - first === 1 && words[first]!.length === at) return this.empty;
    // Short rests become one object even if they come from different words, as "Z" of many times of day does.
    if (end - first <= 4 && words[first]!.length + words[end - 1]!.length - 2 * at <= 32) {
      const texts = restsOf(rests);
      if (texts.every((text) => text.length <= 32)) return this.words(texts);
    }
    return this.#restOfList(rests);
  }

  #restOfList(rests: Words): Language {
    const { list, first, end, at } = rests;
    return this.#make(`l${list.id},${first},${end},${at}`, rests, list.words[first]!.length === at, true);
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
      this.#budget?.spend(2);
      language = { id: this.#numIds++, shape, isAccepting, isPlain, ...lengths, steps: null, isLive: null };
      this.#known.set(key, language);
    }
    return language;
  }
}

/** A part of a union with the counts of its first counted repetition, and what is before and after it. */
interface Counted {
  readonly part: Language;
  readonly before: readonly Language[];
  readonly of: Language;
  readonly min: number;
  readonly max: number;
  /** Null if nothing follows. */
  readonly after: Language | null;
  /** Equal for parts that differ only in the counts. */
  readonly key: string;
}

/** A counted repetition that is preceded by more parts than these is not looked for. */
const MAX_BEFORE_COUNTED = 4;

function countedPart(part: Language): Counted | null {
  const before: Language[] = [];
  for (let rest = part; before.length <= MAX_BEFORE_COUNTED;) {
    const { shape } = rest;
    const first = shape.kind === "concat" ? shape.first : rest;
    // Optional parts have no counts worth joining.
    if (first.shape.kind === "repeat" && (first.shape.min > 0 || (first.shape.max > 1 && first.shape.max < Infinity))) {
      const { of, min, max } = first.shape;
      const after = shape.kind === "concat" ? shape.rest : null;
      const key = `${before.map(({ id }) => id).join()};${of.id};${after === null ? "" : after.id}`;
      return { part, before, of, min, max, after, key };
    }
    if (shape.kind !== "concat") return null;
    before.push(first);
    rest = shape.rest;
  }
  return null;
}

const setKey = (set: CodePointSet): string => `s${set.join()}`;
const repeatKey = (of: Language, min: number, max: number): string => `r${of.id},${min},${max}`;

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
      const { list, first, end, atPoint } = shape;
      let shortest = Infinity;
      let longest = 0;
      for (let index = first; index < end; index++) {
        shortest = Math.min(shortest, list.lengths[index]! - atPoint);
        longest = Math.max(longest, list.lengths[index]! - atPoint);
      }
      return { shortest, longest };
    }
    case "concat":
      return {
        shortest: shape.first.shortest + shape.rest.shortest,
        longest: shape.first.longest + shape.rest.longest,
      };
    case "union": {
      let shortest = Infinity;
      let longest = -Infinity;
      for (const part of shape.parts) {
        shortest = Math.min(shortest, part.shortest);
        longest = Math.max(longest, part.longest);
      }
      return { shortest, longest };
    }
    case "repeat": {
      const { of, min, max } = shape;
      return { shortest: min === 0 ? 0 : min * of.shortest, longest: of.longest === 0 ? 0 : max * of.longest };
    }
    case "intersection":
    case "not":
    case "state":
      return { shortest: 0, longest: Infinity };
  }
}

function numCodePoints(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; count++) at += text.codePointAt(at)! > 0xffff ? 2 : 1;
  return count;
}

/** Returns the texts of a list of words; null for every other language. */
export function listOf({ shape }: Language): readonly string[] | null {
  return shape.kind === "words" ? restsOf(shape) : null;
}

/** Returns the word of `wordsApart` that ends in this state, or null if none does. */
export function wordRead({ shape }: Language): string | null {
  if (shape.kind !== "words") return null;
  const word = shape.list.words[shape.first]!;
  return word.length === shape.at ? word : null;
}

function restsOf({ list, first, end, at }: Words): string[] {
  return list.words.slice(first, end).map((word) => word.slice(at));
}

/** Returns the languages whose transitions those of a language are made of. */
function neededFor({ shape }: Language): readonly Language[] {
  switch (shape.kind) {
    case "none":
    case "empty":
    case "set":
    case "words":
    case "state":
      return [];
    case "concat":
      return shape.first.isAccepting ? [shape.first, shape.rest] : [shape.first];
    case "union":
    case "intersection":
      return shape.parts;
    case "not":
    case "repeat":
      return [shape.of];
  }
}

function flatten(languages: readonly Language[], kind: "union" | "intersection"): Set<Language> {
  const parts = new Set<Language>();
  for (const language of languages) {
    if (language.shape.kind === kind)
      for (const part of (language.shape as { parts: readonly Language[] }).parts) parts.add(part);
    else parts.add(language);
  }
  return parts;
}

/** Returns the number of code points of each class. */
function classSizes({ firsts, ends, classes, numClasses }: Partition): number[] {
  const sizes = new Array<number>(numClasses).fill(0);
  for (let i = 0; i < firsts.length; i++) sizes[classes[i]!]! += ends[i]! - firsts[i]!;
  return sizes;
}
