/**
 * Converts the tree of a pattern to the language of the texts that match it. Each part is converted together with what
 * may follow it to the end of the text, so that look-ahead is an intersection with what follows and `$` allows nothing
 * to follow. Parts that repeat look-around or look behind become an automaton: see look-around.ts.
 */

import { ANY, complement, intersect } from "./code-points.js";
import { alphabetOf } from "./exploration.js";
import type { Language, Languages } from "./language.js";
import { LookAround, type Node } from "./look-around.js";
import { PatternError } from "./pattern-error.js";
import { type Tree, concatTree, repeatTree, setTree } from "./pattern-tree.js";

/**
 * @param isWhole true if the pattern must match the whole text; false to search for it in the text
 * @param maxStates limit for the states of automata
 * @throws PatternError, TooManyStates
 */
export function treeLanguage(languages: Languages, tree: Tree, isWhole: boolean, maxStates: number): Language {
  return new TreeLanguage(languages, maxStates).language(tree, isWhole);
}

/**
 * What may follow: `here` if no character was read before this place, `later` otherwise. Where the place is known not
 * to be the start of the text, `here` is null.
 */
interface Following {
  readonly here: Node | null;
  readonly later: Node;
}

class TreeLanguage {
  readonly #plain = new Map<Tree, Language>();
  readonly #look: LookAround;

  constructor(
    readonly languages: Languages,
    maxStates: number,
  ) {
    this.#look = new LookAround(languages, maxStates);
  }

  language(tree: Tree, isWhole: boolean): Language {
    const { languages } = this;
    const after = rest(isWhole ? languages.empty : languages.all);
    const here = this.#node(tree, { here: after, later: after });
    if (isWhole) return this.#look.language(here);
    // A match that begins later is the same, except that ^ cannot match.
    if (!tree.hasStart) return this.#look.language(this.#match(languages.all, here));
    const later = this.#node(tree, { here: null, later: after });
    const all = languages.concat(languages.any, languages.all);
    return this.#look.language(this.#choice([here, this.#match(all, later)]));
  }

  #node(tree: Tree, following: Following): Node {
    const { languages } = this;
    languages.spend();
    const { here, later } = following;
    const next = here ?? later;
    if (tree.isPlain) return this.#text(this.#plainLanguage(tree), following);
    switch (tree.kind) {
      case "start":
        return here ?? rest(languages.none);
      case "end":
        return this.#ahead(rest(languages.empty), false, next);
      case "look":
        return tree.isBehind ? this.#behind(tree, next) : this.#lookAhead(tree, here !== null, next);
      case "union":
        return this.#choice(tree.parts.map((part) => this.#node(part, following)));
      case "concat": {
        let follows = following;
        for (const part of tree.parts.toReversed()) follows = this.#before(part, follows);
        return follows.here ?? follows.later;
      }
      case "repeat":
        return this.#repeat(tree, following);
      case "set":
        throw new Error("A set is plain");
    }
  }

  /** Returns what may follow before a tree. */
  #before(tree: Tree, { here, later }: Following): Following {
    const after = this.#node(tree, { here: null, later });
    if (here === null) return { here, later: after };
    return { here: here === later && !tree.hasStart ? after : this.#node(tree, { here, later }), later: after };
  }

  #text(language: Language, { here, later }: Following): Node {
    if (here === null || here === later) return this.#match(language, later);
    if (!language.isAccepting) return this.#match(language, later);
    return this.#choice([here, this.#match(this.#notEmpty(language), later)]);
  }

  #notEmpty(language: Language): Language {
    const { languages } = this;
    const { shape } = language;
    if (shape.kind === "repeat" && !shape.of.isAccepting)
      return languages.concat(shape.of, languages.repeat(shape.of, 0, shape.max - 1));
    return languages.intersection([language, languages.not(languages.empty)]);
  }

  #repeat(tree: Tree & { kind: "repeat" }, following: Following): Node {
    const { of, min, max } = tree;
    let follows = following;
    if (max === Infinity) {
      const loop: Node = { kind: "loop", next: null };
      const again = this.#node(of, { here: null, later: loop });
      loop.next = this.#choice([following.later, again]);
      const later = again.kind === "rest" && again.language === this.languages.none ? following.later : loop;
      // An iteration that reads nothing adds nothing, so the first one reads a character or does not take place.
      const none = rest(this.languages.none);
      follows = {
        here: following.here === null ? null : this.#choice([following.here, this.#node(of, { here: none, later })]),
        later,
      };
    }
    for (let copy = max === Infinity ? min : max; copy > 0; copy--) {
      const once = this.#before(of, follows);
      const isOptional = copy > min;
      follows = isOptional
        ? {
            here: following.here === null ? null : this.#choice([following.here, once.here!]),
            later: this.#choice([following.later, once.later]),
          }
        : once;
    }
    return follows.here ?? follows.later;
  }

  #lookAhead(tree: Tree & { kind: "look" }, atStart: boolean, next: Node): Node {
    const after = rest(this.languages.all);
    return this.#ahead(this.#node(tree.of, { here: atStart ? after : null, later: after }), tree.isNegated, next);
  }

  #ahead(of: Node, isNegated: boolean, next: Node): Node {
    const { languages } = this;
    if (of.kind !== "rest") return { kind: "ahead", of, isNegated, next };
    const language = isNegated ? languages.not(of.language) : of.language;
    if (next.kind === "rest")
      return rest(languages.intersection([this.#lengthOf(language, next.language), next.language]));
    if (language === languages.all) return next;
    return language === languages.none ? rest(language) : { kind: "ahead", of: rest(language), isNegated: false, next };
  }

  /**
   * Returns the texts of the same lengths if a look-ahead such as `(?=.{1,253}$)` restricts only the length of what
   * follows. Their intersection with what follows needs no search for dead ends.
   */
  #lengthOf(ahead: Language, next: Language): Language {
    const { languages } = this;
    const { shape } = ahead;
    if (shape.kind !== "repeat" || shape.of.shape.kind !== "set" || !next.isPlain) return ahead;
    const others = complement(shape.of.shape.set);
    const alphabet = alphabetOf(languages, next);
    if (alphabet === null || intersect(alphabet, others).length > 0) return ahead;
    return languages.repeat(languages.any, shape.min, shape.max);
  }

  #behind(tree: Tree & { kind: "look" }, next: Node): Node {
    const empty = rest(this.languages.empty);
    if (looksAhead(tree.of)) throw unsupported("$ and look-ahead inside look-behind are");
    const before = this.#node(concatTree([EVERYTHING, tree.of]), { here: empty, later: empty });
    if (before.kind !== "rest") throw unsupported("look-behind inside look-behind is");
    if (next.kind === "rest" && next.language === this.languages.none) return next;
    return { kind: "behind", before: before.language, isNegated: tree.isNegated, next };
  }

  #match(of: Language, next: Node): Node {
    const { languages } = this;
    if (next.kind === "rest") return rest(languages.concat(of, next.language));
    if (of === languages.none) return rest(of);
    return of === languages.empty ? next : { kind: "match", of, next };
  }

  #choice(nodes: readonly Node[]): Node {
    const { languages } = this;
    const parts = new Set(nodes.flatMap((node) => (node.kind === "choice" ? node.parts : [node])));
    const rests = [...parts].filter((node) => node.kind === "rest");
    for (const node of rests) parts.delete(node);
    const together = languages.union(rests.map(({ language }) => language));
    languages.spend(parts.size);
    if (parts.size === 0) return rest(together);
    if (together !== languages.none) parts.add(rest(together));
    return parts.size === 1 ? [...parts][0]! : { kind: "choice", parts: [...parts] };
  }

  /** Returns the language of a tree without anchors and look-around. */
  #plainLanguage(tree: Tree): Language {
    let language = this.#plain.get(tree);
    if (language === undefined) this.#plain.set(tree, (language = this.#convert(tree)));
    return language;
  }

  #convert(tree: Tree): Language {
    const { languages } = this;
    languages.spend();
    switch (tree.kind) {
      case "set":
        return languages.set(tree.set);
      case "concat":
        return tree.parts.reduceRight((end, part) => languages.concat(this.#plainLanguage(part), end), languages.empty);
      case "union":
        return languages.union(tree.parts.map((part) => this.#plainLanguage(part)));
      case "repeat":
        return languages.repeat(this.#plainLanguage(tree.of), tree.min, tree.max);
      case "start":
      case "end":
      case "look":
        throw new Error(`${tree.kind} is not plain`);
    }
  }
}

const EVERYTHING = repeatTree(setTree(ANY), 0, Infinity);

const rest = (language: Language): Node & { kind: "rest" } => ({ kind: "rest", language });

function looksAhead(tree: Tree): boolean {
  if (tree.isPlain) return false;
  switch (tree.kind) {
    case "end":
      return true;
    case "look":
      return !tree.isBehind || looksAhead(tree.of);
    case "concat":
    case "union":
      return tree.parts.some(looksAhead);
    case "repeat":
      return looksAhead(tree.of);
    default:
      return false;
  }
}

const unsupported = (what: string): PatternError => new PatternError("unsupported", `${what} not supported`);
