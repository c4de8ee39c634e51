/**
 * Reads a grammar in GBNF, as llama.cpp's README of grammars describes it, into productions for the recogniser in
 * earley.ts. It shares no code with the engine. It reads correct grammars only.
 */

import type { Productions, Symbol } from "./earley.js";

const MAX_CODE_POINT = 0x10ffff;
const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };
const DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

type Ranges = (readonly [number, number])[];

export function readGbnf(source: string): Productions {
  return new Reader(source).rules();
}

class Reader {
  readonly #source: string;
  readonly #productions = new Map<string, (readonly Symbol[])[]>();
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  rules(): Productions {
    this.#skip(/(?:\s|#.*)*/y);
    while (this.#at < this.#source.length) {
      const name = this.#take(/[A-Za-z0-9-]+/y);
      this.#skip(BLANK);
      this.#take(/::=/y);
      this.#skip(BLANK_LINES);
      this.#productions.set(name, this.#alternatives(BLANK));
      this.#skip(BLANK_LINES);
    }
    return this.#productions;
  }

  /** @param blank what may stand between items: line ends only within parentheses */
  #alternatives(blank: RegExp): (readonly Symbol[])[] {
    const alternatives: Symbol[][] = [[]];
    for (;;) {
      this.#skip(blank);
      if (this.#skip(/\|/y)) {
        this.#skip(BLANK_LINES);
        alternatives.push([]);
      }
      const item = this.#item();
      if (item === null) {
        if (!/^[|]/.test(this.#source.slice(this.#at))) return alternatives;
      } else alternatives.at(-1)!.push(...this.#repeated(item));
    }
  }

  #item(): Symbol[] | null {
    const first = this.#source[this.#at];
    if (first === '"') {
      this.#at++;
      const symbols: Symbol[] = [];
      while (!this.#skip(/"/y)) symbols.push(oneOf(this.#character()));
      return symbols;
    }
    if (first === "[") return [this.#set()];
    if (this.#skip(/\./y)) return [{ ranges: [[0, MAX_CODE_POINT]] }];
    if (this.#skip(/\(/y)) {
      const rule = this.#newRule(this.#alternatives(BLANK_LINES));
      this.#take(/\)/y);
      return [rule];
    }
    const name = /[A-Za-z0-9-]+(?!\s*::=)/y;
    name.lastIndex = this.#at;
    const found = name.exec(this.#source)?.[0];
    if (found === undefined || /^[A-Za-z0-9-]*\s*::=/.test(this.#source.slice(this.#at))) return null;
    this.#at += found.length;
    return [{ rule: found }];
  }

  #set(): Symbol {
    this.#take(/\[/y);
    const isNegated = this.#skip(/\^/y);
    const ranges: Ranges = [];
    while (!this.#skip(/\]/y)) {
      const first = this.#character();
      ranges.push([first, this.#skip(/-(?!\])/y) ? this.#character() : first]);
    }
    return { ranges: isNegated ? complement(ranges) : ranges };
  }

  #character(): number {
    if (!this.#skip(/\\/y)) return this.#take(/[^]/uy).codePointAt(0)!;
    const escaped = this.#take(/[^]/uy);
    const numDigits = DIGITS[escaped];
    if (numDigits !== undefined) return parseInt(this.#take(new RegExp(`[0-9A-Fa-f]{${numDigits}}`, "y")), 16);
    return (ESCAPES[escaped] ?? escaped).codePointAt(0)!;
  }

  #repeated(item: readonly Symbol[]): readonly Symbol[] {
    let symbols = item;
    for (let bounds = this.#bounds(); bounds !== null; bounds = this.#bounds())
      symbols = this.#times(symbols, ...bounds);
    return symbols;
  }

  #times(item: readonly Symbol[], min: number, max: number): readonly Symbol[] {
    const symbols = Array.from({ length: min }, () => item).flat();
    if (max === Infinity) {
      const rule = this.#newRule([[]]);
      this.#productions.get(rule.rule)!.push([...item, rule]);
      return [...symbols, rule];
    }
    let rest: readonly Symbol[] = [];
    for (let count = min; count < max; count++) rest = [this.#newRule([[], [...item, ...rest]])];
    return [...symbols, ...rest];
  }

  #bounds(): readonly [number, number] | null {
    if (this.#skip(/\*/y)) return [0, Infinity];
    if (this.#skip(/\+/y)) return [1, Infinity];
    if (this.#skip(/\?/y)) return [0, 1];
    if (!this.#skip(/\{/y)) return null;
    const [, min, comma, max] = /^\s*(\d+)\s*(,?)\s*(\d*)\s*$/.exec(this.#take(/[^}]*/y))!;
    this.#take(/\}/y);
    return [Number(min), max !== "" ? Number(max) : comma === "" ? Number(min) : Infinity];
  }

  #newRule(alternatives: (readonly Symbol[])[]): { rule: string } {
    const rule = `(${this.#productions.size})`;
    this.#productions.set(rule, alternatives);
    return { rule };
  }

  #skip(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    const length = pattern.exec(this.#source)?.[0].length ?? 0;
    this.#at += length;
    return length > 0;
  }

  #take(pattern: RegExp): string {
    const start = this.#at;
    if (!this.#skip(pattern))
      throw new Error(`expected ${pattern} at ${JSON.stringify(this.#source.slice(start, start + 20))}`);
    return this.#source.slice(start, this.#at);
  }
}

const BLANK = /(?:[ \t]|#.*)*/y;
const BLANK_LINES = /(?:\s|#.*)*/y;

function oneOf(codePoint: number): Symbol {
  return { ranges: [[codePoint, codePoint]] };
}

function complement(ranges: Ranges): Ranges {
  const left: Ranges = [];
  let next = 0;
  for (const [first, last] of ranges.toSorted((a, b) => a[0] - b[0])) {
    if (first > next) left.push([next, first - 1]);
    next = Math.max(next, last + 1);
  }
  return next > MAX_CODE_POINT ? left : [...left, [next, MAX_CODE_POINT]];
}
