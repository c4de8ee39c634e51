/**
 * A recogniser for context-free grammars over characters, after Earley's "An efficient context-free parsing algorithm"
 * (1970), with rules that may be empty as Aycock and Horspool describe (2002). It shares no code with the engine.
 */

/** Ranges of code points, first to last (inclusive); a rule by its name. */
export type Symbol = { readonly ranges: readonly (readonly [number, number])[] } | { readonly rule: string };

/** The alternatives of each rule, each a sequence of symbols. */
export type Productions = ReadonlyMap<string, readonly (readonly Symbol[])[]>;

export interface Verdict {
  readonly isAccepted: boolean;
  /** Length in code points of the longest beginning that some text of the language has. */
  readonly viable: number;
}

/** Returns the rules that match some text: a least fixed point. */
export function productiveRules(productions: Productions): Set<string> {
  return fixedPoint(productions, (symbol, known) =>
    "rule" in symbol ? known.has(symbol.rule) : symbol.ranges.length > 0,
  );
}

function fixedPoint(productions: Productions, holds: (symbol: Symbol, known: Set<string>) => boolean): Set<string> {
  const known = new Set<string>();
  for (let size = -1; size < known.size;) {
    size = known.size;
    for (const [name, alternatives] of productions)
      if (alternatives.some((symbols) => symbols.every((symbol) => holds(symbol, known)))) known.add(name);
  }
  return known;
}

export class Earley {
  readonly #alternatives: ReadonlyMap<string, readonly (readonly Symbol[])[]>;
  readonly #root: string;
  readonly #nullable: Set<string>;

  constructor(productions: Productions, root: string) {
    const productive = productiveRules(productions);
    const isUseful = (symbol: Symbol): boolean =>
      "rule" in symbol ? productive.has(symbol.rule) : symbol.ranges.length > 0;
    // Without rules that match no text, every set of items that is not empty stands for a beginning of some text.
    this.#alternatives = new Map(
      [...productions].map(([name, alternatives]) => [name, alternatives.filter((of) => of.every(isUseful))]),
    );
    this.#root = root;
    this.#nullable = fixedPoint(productions, (symbol, known) => "rule" in symbol && known.has(symbol.rule));
  }

  read(text: string): Verdict {
    const codePoints = Array.from(text, (character) => character.codePointAt(0)!);
    const sets: ItemSet[] = [new ItemSet()];
    for (const symbols of this.#alternatives.get(this.#root) ?? [])
      sets[0]!.add({ name: this.#root, symbols, dot: 0, origin: 0 });
    this.#close(sets, 0);
    let viable = 0;
    for (const [index, codePoint] of codePoints.entries()) {
      const next = new ItemSet();
      for (const item of sets[index]!.items) {
        const symbol = item.symbols[item.dot];
        if (symbol === undefined || "rule" in symbol) continue;
        if (symbol.ranges.some(([first, last]) => codePoint >= first && codePoint <= last))
          next.add({ ...item, dot: item.dot + 1 });
      }
      if (next.items.length === 0) return { isAccepted: false, viable };
      sets.push(next);
      this.#close(sets, index + 1);
      viable = index + 1;
    }
    const isAccepted = sets
      .at(-1)!
      .items.some(({ name, symbols, dot, origin }) => name === this.#root && origin === 0 && dot === symbols.length);
    return { isAccepted, viable };
  }

  #close(sets: readonly ItemSet[], at: number): void {
    const set = sets[at]!;
    for (const item of set.items) {
      const symbol = item.symbols[item.dot];
      if (symbol === undefined) {
        for (const caller of sets[item.origin]!.waitingFor(item.name)) set.add({ ...caller, dot: caller.dot + 1 });
      } else if ("rule" in symbol) {
        for (const symbols of this.#alternatives.get(symbol.rule) ?? [])
          set.add({ name: symbol.rule, symbols, dot: 0, origin: at });
        if (this.#nullable.has(symbol.rule)) set.add({ ...item, dot: item.dot + 1 });
      }
    }
  }
}

interface Item {
  readonly name: string;
  readonly symbols: readonly Symbol[];
  readonly dot: number;
  readonly origin: number;
}

class ItemSet {
  readonly items: Item[] = [];
  readonly #known = new Map<readonly Symbol[], Set<string>>();
  readonly #waiting = new Map<string, Item[]>();

  add(item: Item): void {
    let known = this.#known.get(item.symbols);
    if (known === undefined) this.#known.set(item.symbols, (known = new Set()));
    const key = `${item.name} ${item.dot} ${item.origin}`;
    if (known.has(key)) return;
    known.add(key);
    this.items.push(item);
    const symbol = item.symbols[item.dot];
    if (symbol === undefined || !("rule" in symbol)) return;
    const waiting = this.#waiting.get(symbol.rule);
    if (waiting === undefined) this.#waiting.set(symbol.rule, [item]);
    else waiting.push(item);
  }

  waitingFor(name: string): readonly Item[] {
    return this.#waiting.get(name) ?? [];
  }
}
