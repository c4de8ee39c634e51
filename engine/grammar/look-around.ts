/**
 * Builds the automaton of a pattern that looks behind, or repeats look-around. A state is a set of threads, each with
 * the part of the pattern that it reads, and with the language that the rest of the text must have because of the
 * look-ahead passed on the way. Together with each state, the texts of look-behind are read from the start of the text.
 */

import type { AutomatonState, Language, Languages } from "./language.js";
import { TooManyStates } from "./language.js";
import { type Partition, OUTSIDE } from "./partitions.js";

/** A part of a pattern with everything that follows it. */
export type Node =
  /** The rest of the text belongs to the language. */
  | { readonly kind: "rest"; readonly language: Language }
  | { readonly kind: "match"; readonly of: Language; readonly next: Node }
  | { readonly kind: "choice"; readonly parts: readonly Node[] }
  /** The rest of the text must be read by `of` too, or must not be. */
  | { readonly kind: "ahead"; readonly of: Node; readonly isNegated: boolean; readonly next: Node }
  /** The text read so far must belong to `before`, or must not. */
  | { readonly kind: "behind"; readonly before: Language; readonly isNegated: boolean; readonly next: Node }
  /** A node that leads back to itself; `next` is set when the node is complete. */
  | { readonly kind: "loop"; next: Node | null };

/**
 * One way to go on: the text read next belongs to `of`, and what follows is read by `next`, or ends the text if that is
 * null. The rest of the text must belong to `must`.
 */
interface Thread {
  readonly of: Language;
  readonly next: Node | null;
  readonly must: Language;
}

/** States of the languages of all look-behind after the text read so far. */
type Past = readonly Language[];

interface State {
  readonly past: Past;
  readonly threads: readonly Thread[];
}

export class LookAround {
  /** The languages of look-behind; `#start` has the order of their first use. */
  readonly #behind = new Map<Language, number>();
  readonly #ids = new Map<Node, number>();
  readonly #built = new Map<string, Language>();
  #numStates = 0;

  /** @param maxStates limit for all automata built by this object together */
  constructor(
    readonly languages: Languages,
    readonly maxStates: number,
  ) {}

  /** @returns the texts that a node reads from their start. @throws TooManyStates */
  language(node: Node): Language {
    this.#number(node);
    return this.#languageAfter(node, [...this.#behind.keys()]);
  }

  /** Numbers the nodes and the languages of look-behind. */
  #number(root: Node): void {
    const open: Node[] = [root];
    while (open.length > 0) {
      const node = open.pop()!;
      if (this.#ids.has(node)) continue;
      this.languages.spend();
      this.#ids.set(node, this.#ids.size);
      switch (node.kind) {
        case "choice":
          open.push(...node.parts);
          break;
        case "ahead":
          open.push(node.of, node.next);
          break;
        case "behind":
          if (!this.#behind.has(node.before)) this.#behind.set(node.before, this.#behind.size);
          open.push(node.next);
          break;
        case "match":
        case "loop":
          open.push(node.next!);
          break;
        case "rest":
      }
    }
  }

  #languageAfter(node: Node, past: Past): Language {
    if (node.kind === "rest") return node.language;
    const key = `${this.#ids.get(node)}:${past.map(({ id }) => id).join()}`;
    let language = this.#built.get(key);
    if (language === undefined) this.#built.set(key, (language = this.#build(node, past)));
    return language;
  }

  #build(node: Node, past: Past): Language {
    const { languages } = this;
    const numbers = new Map<string, number>();
    const found: State[] = [];
    const numberOf = (state: State): number | Language => {
      const known = this.#plainLanguage(state.threads);
      if (known !== null) return known;
      const key = this.#key(state);
      let number = numbers.get(key);
      if (number === undefined) {
        if (++this.#numStates > this.maxStates) throw new TooManyStates();
        numbers.set(key, (number = found.length));
        found.push(state);
      }
      return number;
    };
    const first = numberOf({ past, threads: this.#reached([{ node, must: languages.all }], past, []) });
    if (typeof first !== "number") return first;
    const states: AutomatonState[] = [];
    for (const state of found) states.push(this.#stepsOf(state, numberOf));
    return languages.automaton(states);
  }

  /** Returns the language of a state if it is an expression without dead ends. */
  #plainLanguage(threads: readonly Thread[]): Language | null {
    const { languages } = this;
    if (threads.some(({ next, must }) => next !== null || must !== languages.all)) return null;
    const language = languages.union(threads.map(({ of }) => of));
    return language.isPlain ? language : null;
  }

  #key({ past, threads }: State): string {
    const keys = threads.map(({ of, next, must }) => `${of.id},${next === null ? "" : this.#ids.get(next)},${must.id}`);
    this.languages.spend(keys.length);
    return `${past.map(({ id }) => id).join()};${keys.sort().join(";")}`;
  }

  #stepsOf(state: State, numberOf: (state: State) => number | Language): AutomatonState {
    const { languages } = this;
    const { past, threads } = state;
    const read = [...new Set([...past, ...threads.flatMap(({ of, must }) => [of, must])])];
    const partitions = new Map<Partition, number>();
    for (const language of read) {
      const { partition } = languages.steps(language);
      if (!partitions.has(partition)) partitions.set(partition, partitions.size);
    }
    const whole = languages.partitions.overlay([...partitions.keys()]);
    const targets = whole.parts.map((classes) => {
      languages.spend(read.length);
      const after = (language: Language): Language => {
        const { partition, targets: all } = languages.steps(language);
        const found = classes[partitions.get(partition)!]!;
        return found === OUTSIDE ? languages.none : all[found]!;
      };
      const pastAfter = past.map(after);
      const goingOn: Thread[] = [];
      const ended: { node: Node; must: Language }[] = [];
      for (const { of, next, must } of threads) {
        const [ofAfter, mustAfter] = [after(of), after(must)];
        if (ofAfter === languages.none || mustAfter === languages.none) continue;
        goingOn.push({ of: ofAfter, next, must: mustAfter });
        if (next !== null && ofAfter.isAccepting) ended.push({ node: next, must: mustAfter });
      }
      return numberOf({ past: pastAfter, threads: this.#reached(ended, pastAfter, goingOn) });
    });
    return {
      partition: whole.partition,
      targets,
      isAccepting: threads.some(({ of, next, must }) => next === null && of.isAccepting && must.isAccepting),
    };
  }

  /**
   * Returns threads that go on, and those that are reached from nodes without reading a character.
   */
  #reached(
    from: readonly { readonly node: Node; readonly must: Language }[],
    past: Past,
    goingOn: readonly Thread[],
  ): Thread[] {
    const { languages } = this;
    const threads = new Threads(languages);
    for (const thread of goingOn) threads.add(thread);
    const seen = new Set<string>();
    const open = [...from];
    while (open.length > 0) {
      const { node, must } = open.pop()!;
      const key = `${this.#ids.get(node)},${must.id}`;
      languages.spend();
      if (must === languages.none || seen.has(key)) continue;
      seen.add(key);
      switch (node.kind) {
        case "rest":
          threads.add({ of: node.language, next: null, must });
          break;
        case "match":
          threads.add({ of: node.of, next: node.next, must });
          if (node.of.isAccepting) open.push({ node: node.next, must });
          break;
        case "choice":
          for (const part of node.parts) open.push({ node: part, must });
          break;
        case "ahead": {
          const ahead = this.#languageAfter(node.of, past);
          const language = node.isNegated ? languages.not(ahead) : ahead;
          open.push({ node: node.next, must: languages.intersection([must, language]) });
          break;
        }
        case "behind":
          if (past[this.#behind.get(node.before)!]!.isAccepting !== node.isNegated)
            open.push({ node: node.next, must });
          break;
        case "loop":
          open.push({ node: node.next!, must });
      }
    }
    return threads.all();
  }
}

/** Collects threads. Those that differ only in the language that they read become one. */
class Threads {
  readonly #byNext = new Map<Node | null, Map<Language, Language[]>>();

  constructor(readonly languages: Languages) {}

  add({ of, next, must }: Thread): void {
    let byMust = this.#byNext.get(next);
    if (byMust === undefined) this.#byNext.set(next, (byMust = new Map()));
    const known = byMust.get(must);
    if (known === undefined) byMust.set(must, [of]);
    else known.push(of);
  }

  /** Leaves out threads that demand more than another that reads the same. */
  all(): Thread[] {
    const { languages } = this;
    const threads: Thread[] = [];
    for (const [next, byMust] of this.#byNext) {
      const alike = [...byMust].map(([must, parts]) => ({ of: languages.union(parts), next, must }));
      for (const thread of alike) {
        languages.spend(alike.length);
        const isNeeded = alike.every((other) => other === thread || !demandsMore(languages, thread, other));
        // A text that ends here needs no thread that reads nothing before another node: that node was reached.
        if (isNeeded && !(next !== null && thread.of === languages.empty)) threads.push(thread);
      }
    }
    return threads;
  }
}

/** True if all texts that the first thread allows are allowed by the second one, as far as their parts show it. */
function demandsMore(languages: Languages, first: Thread, second: Thread): boolean {
  if (!partsOf(first.of, "union").every((part) => partsOf(second.of, "union").includes(part))) return false;
  if (second.must === languages.all) return true;
  const parts = partsOf(first.must, "intersection");
  return partsOf(second.must, "intersection").every((part) => parts.includes(part));
}

function partsOf(language: Language, kind: "union" | "intersection"): readonly Language[] {
  const { shape } = language;
  return shape.kind === kind ? (shape as { parts: readonly Language[] }).parts : [language];
}
