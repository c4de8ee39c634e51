/**
 * Checks that a regular expression of an untrusted tokenizer cannot backtrack exponentially, because JavaScript cannot
 * interrupt it. In a repeated group, a character must decide how the matching continues: `(a+)+`, `(a|a)*` and `(a?b?)*`
 * are refused, `(?:\r?\n)+` and `(?:\d{3})+` are not. A few harmless expressions, such as `(?:ab|ac)+`, are refused too.
 * Backtracking in a time polynomial in the length of a text remains possible.
 */

/** @throws SyntaxError that says what can backtrack */
export function checkBacktracking({ source }: RegExp): void {
  const parser = new Parser(source);
  const whole = parser.alternatives(0);
  for (const expression of [whole, ...parser.lookarounds]) checkRepetitions(expression);
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
const MAX_DEPTH = 64;
/** Copies of a group with a fixed count, and different characters of a repeated group. */
const MAX_COPIES = 64;
const MAX_PATTERNS = 16;

/** Parses the source of a valid expression with the flag u. */
class Parser {
  /** The bodies of lookarounds, which are checked separately. */
  readonly lookarounds: Expression[] = [];
  readonly #source: string;
  #place = 0;

  constructor(source: string) {
    this.#source = source;
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
    if (min === max && max <= MAX_COPIES)
      return { type: "sequence", parts: Array.from({ length: max }, () => copy(part)) };
    return { type: "repeat", part, min: min === 0 ? 0 : 1, text: this.#source.slice(start, this.#place) };
  }

  #term(depth: number): Expression {
    const group = this.#match(/\((?:\?(?:<[=!]|[:=!]|<[^>]*>))?/y)?.[0];
    if (group !== undefined) {
      const inner = this.alternatives(depth + 1);
      this.#place++; // the closing parenthesis
      if (!/[=!]$/.test(group)) return inner;
      this.lookarounds.push(inner);
      return EMPTY;
    }
    if (this.#match(/[\^$]|\\[bB]/y) !== null) return EMPTY;
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
function checkRepetitions(expression: Expression): void {
  if (expression.type !== "repeat" || !hasChoice(expression.part)) {
    partsOf(expression).forEach(checkRepetitions);
    return;
  }
  const follow = new Map<Atom, Atom[]>();
  const { first } = ends(expression, follow);
  const patterns = new Set([...follow.keys()].map(({ pattern }) => pattern));
  if (patterns.size > MAX_PATTERNS)
    throw new SyntaxError(`a repeated group has more than ${MAX_PATTERNS} different characters: ${expression.text}`);
  const overlaps = overlapping();
  for (const atoms of [first, ...follow.values()]) {
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

/** The atoms that an expression can start and end with. */
interface Ends {
  readonly first: readonly Atom[];
  readonly last: readonly Atom[];
  readonly canBeEmpty: boolean;
}

/** Computes the ends of an expression, and adds the atoms that can come after each one to `follow` (Glushkov). */
function ends(expression: Expression, follow: Map<Atom, Atom[]>): Ends {
  const connect = (last: readonly Atom[], first: readonly Atom[]): void => {
    for (const atom of last) follow.get(atom)!.push(...first);
  };
  switch (expression.type) {
    case "atom":
      follow.set(expression, []);
      return { first: [expression], last: [expression], canBeEmpty: false };
    case "optional":
      return { ...ends(expression.part, follow), canBeEmpty: true };
    case "repeat": {
      const inner = ends(expression.part, follow);
      if (inner.canBeEmpty) throw new SyntaxError(`it repeats a group that can be empty: ${expression.text}`);
      connect(inner.last, inner.first);
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
        connect(whole.last, next.first);
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

/** Returns a function that tells if two patterns match a common character. */
function overlapping(): (a: string, b: string) => boolean {
  let text: string | null = null;
  const known = new Map<string, boolean>();
  return (a, b) => {
    if (a === b) return true;
    text ??= allCharacters();
    const both = `(?=${a})${b}`;
    const overlaps = known.get(both) ?? new RegExp(both, "u").test(text);
    known.set(both, overlaps);
    return overlaps;
  };
}

function allCharacters(): string {
  const all: string[] = [];
  for (let code = 0; code <= 0x10ffff; code++) if (code < 0xd800 || code > 0xdfff) all.push(String.fromCodePoint(code));
  return all.join("");
}
