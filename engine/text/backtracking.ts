/**
 * Checks that a regular expression of an untrusted tokenizer cannot backtrack for long, because JavaScript cannot
 * interrupt it. A few harmless expressions, such as `(?:ab|ac)+`, are refused too.
 *
 * 1. In a repeated group, a character must decide how the matching continues: `(a+)+`, `(a|a)*` and `(a?b?)*`, which take
 *    exponential time, are refused, `(?:\r?\n)+` and `(?:\d{3})+` are not.
 * 2. Two repetitions that can share a run of characters, before something that may not match, take time that is
 *    quadratic in the run for each place where they begin: `a*a*b` and `\s*x?\s+y` are refused, `\s+(?!\S)` is not.
 * 3. The ways through all other alternatives are counted: `a?a?a?b` has eight.
 *
 * A search remains quadratic in the length of a run if a repetition reads it and the match fails then: each place in the
 * run is a beginning. `PatternSearch` bounds this.
 */

/**
 * Characters that an expression may read before a match fails, because a repetition reads as many as there are. Both are
 * patterns of one character.
 */
export interface Run {
  /** The first character; null if it can be any, because the run may lie before the place of the match. */
  readonly first: string | null;
  readonly others: string;
}

/**
 * @returns the runs of all repetitions after which a match can fail
 * @throws SyntaxError that says what can backtrack
 */
export function checkBacktracking({ source }: RegExp): Run[] {
  const parser = new Parser(source, EMPTY);
  const whole = parser.alternatives(0);
  const overlaps = overlapping();
  for (const expression of [whole, ...parser.lookarounds]) checkRepetitions(expression, overlaps);
  const inFull = new Parser(source, ASSERTION).alternatives(0);
  checkWays(inFull);
  return checkChains(inFull, overlaps);
}

type Expression =
  /** One character, as a pattern that matches it. Two atoms are different places of the expression. */
  | { readonly type: "atom"; readonly pattern: string }
  | { readonly type: "sequence"; readonly parts: readonly Expression[] }
  | { readonly type: "choice"; readonly parts: readonly Expression[] }
  | { readonly type: "optional"; readonly part: Expression }
  /** Any number of times, at least `min`, which is 0 or 1. */
  | { readonly type: "repeat"; readonly part: Expression; readonly min: 0 | 1; readonly text: string };

type Atom = Extract<Expression, { type: "atom" }>;

const EMPTY: Expression = { type: "sequence", parts: [] };
/** A condition on a place. As a pattern it overlaps with every other, because it does not separate what is around it. */
const ASSERTION: Expression = { type: "atom", pattern: "" };
const MAX_DEPTH = 64;
/** Copies of a group with a fixed count, of a character with a varying count, and characters of all such copies. */
const MAX_COPIES = 64;
const MAX_OPTIONAL_COPIES = 8;
const MAX_ATOMS = 10_000;
/** Different characters of a repeated group. */
const MAX_PATTERNS = 16;
/** Pairs of atoms that follow each other. */
const MAX_PAIRS = 200_000;
/** Pairs of classes of characters that are compared; each takes some ten milliseconds. */
const MAX_SCANS = 10;
/** Ways through an expression; a repetition that may not match in the end counts as so many ways. */
const MAX_WAYS = 10_000;
const LOOP_WAYS = 256;

/** Parses the source of a valid expression with the flag u. */
class Parser {
  /** The bodies of lookarounds. */
  readonly lookarounds: Expression[] = [];
  readonly #source: string;
  readonly #assertion: Expression;
  #place = 0;
  /** Atoms that are copies. */
  #numAtoms = 0;

  /**
   * @param assertion stands for anchors, and for the ends of lookarounds: with EMPTY, lookarounds are left out of the
   * expression; with ASSERTION, they are parts of it
   */
  constructor(source: string, assertion: Expression) {
    this.#source = source;
    this.#assertion = assertion;
  }

  alternatives(depth: number): Expression {
    if (depth > MAX_DEPTH) throw new SyntaxError(`its groups are nested more than ${MAX_DEPTH} deep`);
    const parts: Expression[] = [];
    do {
      const sequence: Expression[] = [];
      while (this.#place < this.#source.length && !/[|)]/.test(this.#source[this.#place]!))
        sequence.push(this.#quantified(depth));
      parts.push({ type: "sequence", parts: sequence });
    } while (this.#takes("|"));
    return parts.length === 1 ? parts[0]! : { type: "choice", parts };
  }

  #quantified(depth: number): Expression {
    const start = this.#place;
    const numLookarounds = this.lookarounds.length;
    const part = this.#term(depth);
    const quantifier = this.#match(/(?:[*+?]|\{(\d+)(,?)(\d*)\})\??/y);
    if (quantifier === null) return part;
    const [written, least, comma, most] = quantifier;
    const [min, max] =
      least === undefined
        ? [written.startsWith("+") ? 1 : 0, written.startsWith("?") ? 1 : Infinity]
        : [Number(least), comma === "" ? Number(least) : most === "" ? Infinity : Number(most)];
    if (max === 0) return EMPTY;
    if (max === 1) return min === 1 ? part : { type: "optional", part };
    const isShort = part.type === "atom" && max <= MAX_OPTIONAL_COPIES && this.#assertion !== EMPTY;
    if ((min === max && max <= MAX_COPIES) || isShort) {
      this.#numAtoms += (max - 1) * atomsOf(part).length;
      if (this.#numAtoms > MAX_ATOMS) throw new SyntaxError(`it repeats groups to more than ${MAX_ATOMS} characters`);
      const parts = Array.from({ length: max }, () => copy(part));
      return { type: "sequence", parts: parts.map((each, i) => (i < min ? each : { type: "optional", part: each })) };
    }
    const text = this.#source.slice(start, this.#place);
    if (this.lookarounds.slice(numLookarounds).some((inner) => loopsOf(inner).length > 0))
      throw new SyntaxError(`it repeats a lookaround that contains a repetition: ${text}`);
    const repeat = { type: "repeat", part, min: min === 0 ? 0 : 1, text } as const;
    if (min <= 1) return repeat;
    // A match can fail because there are too few: another one must follow.
    this.#numAtoms += atomsOf(part).length;
    return { type: "sequence", parts: [repeat, copy(part)] };
  }

  #term(depth: number): Expression {
    const group = this.#match(/\((?:\?(?:<[=!]|[:=!]|<[^>]*>))?/y)?.[0];
    if (group !== undefined) {
      const inner = this.alternatives(depth + 1);
      this.#place++; // the closing parenthesis
      if (!/[=!]$/.test(group)) return inner;
      this.lookarounds.push(inner);
      if (this.#assertion === EMPTY) return EMPTY;
      const before = group.startsWith("(?<") ? [copy(this.#assertion)] : [];
      return { type: "sequence", parts: [...before, inner, copy(this.#assertion)] };
    }
    if (this.#match(/[\^$]|\\[bB]/y) !== null) return copy(this.#assertion);
    if (this.#match(/\\(?:[1-9]|k<)/y) !== null) throw new SyntaxError("it refers to what it matched before");
    const pattern = this.#match(/\[(?:\\.|[^\]\\])*\]|\\[pP]\{[^}]*\}|\\u\{[^}]*\}|\\u.{4}|\\x..|\\c.|\\.|[^]/suy)![0];
    return { type: "atom", pattern };
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#place;
    const match = pattern.exec(this.#source);
    if (match !== null) this.#place = pattern.lastIndex;
    return match;
  }

  #takes(text: string): boolean {
    if (!this.#source.startsWith(text, this.#place)) return false;
    this.#place += text.length;
    return true;
  }
}

/** Copies an expression, so that each place of it is an atom of its own. */
function copy(expression: Expression): Expression {
  switch (expression.type) {
    case "atom":
      return { ...expression };
    case "optional":
    case "repeat":
      return { ...expression, part: copy(expression.part) };
    default:
      return { ...expression, parts: expression.parts.map(copy) };
  }
}

const partsOf = (expression: Expression): readonly Expression[] =>
  expression.type === "atom" ? [] : "part" in expression ? [expression.part] : expression.parts;

const hasChoice = (expression: Expression): boolean =>
  expression.type === "choice" ||
  expression.type === "optional" ||
  expression.type === "repeat" ||
  partsOf(expression).some(hasChoice);

/** Checks the outermost repetitions, with all that they contain. */
function checkRepetitions(expression: Expression, overlaps: Overlaps): void {
  if (expression.type !== "repeat" || !hasChoice(expression.part)) {
    for (const part of partsOf(expression)) checkRepetitions(part, overlaps);
    return;
  }
  const follow = new Follow();
  const { first } = ends(expression, follow);
  const patterns = new Set(follow.atoms.map(({ pattern }) => pattern));
  if (patterns.size > MAX_PATTERNS)
    throw new SyntaxError(`a repeated group has more than ${MAX_PATTERNS} different characters: ${expression.text}`);
  for (const atoms of [first, ...follow.atoms.map((atom) => follow.of(atom))]) {
    for (const [index, atom] of atoms.entries()) {
      for (const other of atoms.slice(0, index)) {
        if (atom === other || overlaps(atom.pattern, other.pattern))
          throw new SyntaxError(
            `it can match a text in a number of ways that doubles with each character: ${expression.text}`,
          );
      }
    }
  }
}

/**
 * Checks that no repetition is followed by another one that can take over characters of it, unless the expression
 * matches once the second one is reached.
 * @returns the runs of all repetitions after which a match can fail
 */
function checkChains(expression: Expression, overlaps: Overlaps): Run[] {
  const follow = new Follow();
  const { first, last } = ends(expression, follow);
  const final = new Set(last);
  const loops = loopsOf(expression).map((loop) => ({ text: loop.text, atoms: new Set(atomsOf(loop)) }));
  const canFail = loops.filter(({ atoms }) => [...atoms].some((atom) => !final.has(atom)));
  const isOther = (atoms: ReadonlySet<Atom>) => (atom: Atom) =>
    !atoms.has(atom) && canFail.some((loop) => loop.atoms.has(atom));
  for (const { text, atoms } of canFail) {
    // Most loops have no other one after them, and comparing patterns takes long.
    if (![...reachable(atoms, "", follow, overlaps)].some(isOther(atoms))) continue;
    for (const { pattern } of atoms) {
      if ([...reachable(atoms, pattern, follow, overlaps)].some(isOther(atoms)))
        throw new SyntaxError(`two repetitions can share the same characters, and neither ends the match: ${text}`);
    }
  }
  const runs = canFail.map(({ atoms }) => runOf(atoms, first, follow));
  return [...new Map(runs.map((run) => [JSON.stringify(run), run])).values()];
}

/** Returns the characters that can be read up to the end of a loop, from one of the first atoms of the expression. */
function runOf(loop: ReadonlySet<Atom>, first: readonly Atom[], follow: Follow): Run {
  const before = new Set(loop);
  for (const waiting = [...loop]; waiting.length > 0;) {
    for (const atom of follow.before(waiting.pop()!)) {
      if (before.has(atom)) continue;
      before.add(atom);
      waiting.push(atom);
    }
  }
  const firsts = first.filter((atom) => before.has(atom));
  return {
    first: firsts.some(({ pattern }) => pattern === "") ? null : alternatives(firsts),
    others: alternatives(before),
  };
}

/** Returns a pattern of one character of some atoms. */
function alternatives(atoms: Iterable<Atom>): string {
  const patterns = new Set(Array.from(atoms, ({ pattern }) => pattern));
  patterns.delete("");
  return [...patterns].sort().join("|");
}

/** Returns the atoms after a loop that are reached by reading characters of a pattern only. */
function reachable(loop: ReadonlySet<Atom>, pattern: string, follow: Follow, overlaps: Overlaps): Set<Atom> {
  const reached = new Set<Atom>();
  const waiting = [...loop];
  for (let atom = waiting.pop(); atom !== undefined; atom = waiting.pop()) {
    for (const next of follow.of(atom)) {
      if (loop.has(next) || reached.has(next) || !overlaps(pattern, next.pattern)) continue;
      reached.add(next);
      waiting.push(next);
    }
  }
  return reached;
}

type Loop = Extract<Expression, { type: "repeat" }>;

/** Returns the outermost repetitions. */
const loopsOf = (expression: Expression): readonly Loop[] =>
  expression.type === "repeat" ? [expression] : partsOf(expression).flatMap(loopsOf);

const atomsOf = (expression: Expression): readonly Atom[] =>
  expression.type === "atom" ? [expression] : partsOf(expression).flatMap(atomsOf);

/** The atoms that an expression can start and end with. */
interface Ends {
  readonly first: readonly Atom[];
  readonly last: readonly Atom[];
  readonly canBeEmpty: boolean;
}

/** Checks the number of ways to match a text, of which a search may try all. */
function checkWays(expression: Expression): void {
  const { numWays, loopWays } = waysOf(expression, true);
  if (numWays * loopWays > MAX_WAYS) throw new SyntaxError(`it has more than ${MAX_WAYS} ways to match a text`);
}

/** Ways without the repetitions, and those of a repetition. Of several in a row, only one matters, see `checkChains`. */
interface Ways {
  readonly numWays: number;
  readonly loopWays: number;
}

/** @param isEnd true if the whole expression matches once this one does, so that no other way is tried */
function waysOf(expression: Expression, isEnd: boolean): Ways {
  switch (expression.type) {
    case "atom":
      return { numWays: 1, loopWays: 1 };
    case "optional": {
      const { numWays, loopWays } = waysOf(expression.part, isEnd);
      return { numWays: numWays + 1, loopWays };
    }
    case "repeat":
      return { numWays: 1, loopWays: isEnd ? 1 : LOOP_WAYS };
    case "sequence": {
      const lastNeeded = isEnd ? expression.parts.findLastIndex((part) => !canBeEmpty(part)) : Infinity;
      const needed = expression.parts.filter((_, index) => index <= lastNeeded);
      const parts = needed.map((part, index) => waysOf(part, index === lastNeeded));
      return {
        numWays: parts.reduce((product, { numWays }) => product * numWays, 1),
        loopWays: parts.reduce((most, { loopWays }) => Math.max(most, loopWays), 1),
      };
    }
    case "choice": {
      const parts = expression.parts.map((part) => waysOf(part, isEnd));
      const loopWays = parts.reduce((most, part) => Math.max(most, part.loopWays), 1);
      const sum = parts.reduce((total, part) => total + part.numWays * part.loopWays, 0);
      return { numWays: sum / loopWays, loopWays };
    }
  }
}

function canBeEmpty(expression: Expression): boolean {
  switch (expression.type) {
    case "atom":
      return false;
    case "optional":
      return true;
    case "repeat":
      return expression.min === 0;
    case "sequence":
      return expression.parts.every(canBeEmpty);
    case "choice":
      return expression.parts.some(canBeEmpty);
  }
}

/** The atoms that can come after each atom. */
class Follow {
  readonly #next = new Map<Atom, Atom[]>();
  readonly #previous = new Map<Atom, Atom[]>();
  #numPairs = 0;

  get atoms(): readonly Atom[] {
    return [...this.#next.keys()];
  }

  of(atom: Atom): readonly Atom[] {
    return this.#next.get(atom)!;
  }

  /** Returns the atoms that can come directly before an atom. */
  before(atom: Atom): readonly Atom[] {
    return this.#previous.get(atom)!;
  }

  add(atom: Atom): void {
    this.#next.set(atom, []);
    this.#previous.set(atom, []);
  }

  connect(last: readonly Atom[], first: readonly Atom[]): void {
    this.#numPairs += last.length * first.length;
    if (this.#numPairs > MAX_PAIRS) throw new SyntaxError("it has too many alternatives in a row");
    for (const atom of last) {
      for (const next of first) {
        this.#next.get(atom)!.push(next);
        this.#previous.get(next)!.push(atom);
      }
    }
  }
}

/** Computes the ends of an expression, and adds its atoms to `follow` (Glushkov). */
function ends(expression: Expression, follow: Follow): Ends {
  switch (expression.type) {
    case "atom":
      follow.add(expression);
      return { first: [expression], last: [expression], canBeEmpty: false };
    case "optional":
      return { ...ends(expression.part, follow), canBeEmpty: true };
    case "repeat": {
      const inner = ends(expression.part, follow);
      if (inner.canBeEmpty) throw new SyntaxError(`it repeats a group that can be empty: ${expression.text}`);
      follow.connect(inner.last, inner.first);
      return { ...inner, canBeEmpty: expression.min === 0 };
    }
    case "choice": {
      const inner = expression.parts.map((part) => ends(part, follow));
      return {
        first: inner.flatMap(({ first }) => first),
        last: inner.flatMap(({ last }) => last),
        canBeEmpty: inner.some(({ canBeEmpty }) => canBeEmpty),
      };
    }
    case "sequence": {
      let whole: Ends = { first: [], last: [], canBeEmpty: true };
      for (const part of expression.parts) {
        const next = ends(part, follow);
        follow.connect(whole.last, next.first);
        whole = {
          first: whole.canBeEmpty ? [...whole.first, ...next.first] : whole.first,
          last: next.canBeEmpty ? [...whole.last, ...next.last] : next.last,
          canBeEmpty: whole.canBeEmpty && next.canBeEmpty,
        };
      }
      return whole;
    }
  }
}

/** Tells if two patterns match a common character. */
type Overlaps = (a: string, b: string) => boolean;

function overlapping(): Overlaps {
  let text: string | null = null;
  const known = new Map<string, boolean>();
  return (a, b) => {
    if (a === b || a === "" || b === "") return true;
    const [first, second] = [literalOf(a), literalOf(b)];
    if (first !== null && second !== null) return first === second;
    if (first !== null || second !== null) return new RegExp(first === null ? a : b, "u").test((first ?? second)!);
    const both = `(?=${a})${b}`;
    const before = known.get(both);
    if (before !== undefined) return before;
    if (known.size >= MAX_SCANS)
      throw new SyntaxError("it has too many different classes of characters next to repetitions");
    text ??= allCharacters();
    const overlaps = new RegExp(both, "u").test(text);
    known.set(both, overlaps);
    return overlaps;
  };
}

/** Returns the character that a pattern stands for; null if it may match several. */
function literalOf(pattern: string): string | null {
  if (pattern !== "." && [...pattern].length === 1) return pattern;
  const code = /^\\(?:x(..)|u\{(.*)\}|u(.{4}))$/.exec(pattern);
  if (code !== null) return String.fromCodePoint(Number.parseInt(code.slice(1).join(""), 16));
  return LITERAL_ESCAPES.get(pattern) ?? null;
}

const LITERAL_ESCAPES: ReadonlyMap<string, string> = new Map([
  ["\\n", "\n"],
  ["\\r", "\r"],
  ["\\t", "\t"],
]);

/** Returns all characters but surrogates. */
function allCharacters(): string {
  const units = new Uint16Array(0x10000 - 0x800 + 2 * 0x100000);
  let length = 0;
  for (let code = 0; code < 0xd800; code++) units[length++] = code;
  for (let code = 0xe000; code < 0x10000; code++) units[length++] = code;
  for (let code = 0; code < 0x100000; code++) {
    units[length++] = 0xd800 + (code >> 10);
    units[length++] = 0xdc00 + (code & 0x3ff);
  }
  return new TextDecoder("utf-16le").decode(units);
}
