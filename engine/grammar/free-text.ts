/**
 * Text that can follow in a language whatever it is. Inside most strings, nearly all tokens are such text: a mask takes
 * them from tables, and a walk over the vocabulary looks at the other tokens only.
 */

import type { Language, Languages } from "./language.js";
import { lastAtMost } from "./partitions.js";
import { BETWEEN, type StringState } from "./string-bytes.js";

/** Text of some classes of characters can follow, if it has at most so many code points. */
export interface FreeText {
  /** Bit set of indices in `CHARACTER_CLASSES`. */
  readonly classes: number;
  readonly maxCodePoints: number;
  /** True if no text of all classes can follow that has more. */
  readonly isLimit: boolean;
}

/** Ranges of code points, first to last: which of these a string allows differs from string to string. */
const CHARACTER_CLASSES: readonly (readonly (readonly [first: number, last: number])[])[] = [
  ranges("af"),
  ranges("gz"),
  ranges("AF"),
  ranges("GZ"),
  ranges("09"),
  ranges("  "),
  ranges("--"),
  ranges("__"),
  ranges(".."),
  ranges("//"),
  ranges("::"),
  ranges(",,"),
  ranges("@@"),
  ranges("++"),
  ranges("''"),
  ranges("()"),
  ranges("##%&==??~~"),
  ranges("!!$$\u002a\u002a;<>>[[]^``{}"),
  // White space and line separators.
  ranges("\u00a0\u00a0\u1680\u1680\u2000\u200a\u2028\u2029\u202f\u202f\u205f\u205f\u3000\u3000\ufeff\ufeff"),
  ranges("ÀÖØöøſ"),
  ranges("一龥"),
  ranges(
    "\u0080\u009f¡¿××÷÷ƀ\u167f\u1681\u1fff\u200b\u2027\u202a\u202e\u2030\u205e\u2060\u2fff\u3001\u4dff\u9fa6\ud7ff\ue000\ufefe\uff00\u{10ffff}",
  ),
];

export const EVERY_CLASS = (1 << CHARACTER_CLASSES.length) - 1;

/** A bit that no free text has: of control characters, the quote, the backslash, and parts of code points. */
export const NOT_FREE = 1 << CHARACTER_CLASSES.length;

export const NO_FREE_TEXT: FreeText = { classes: 0, maxCodePoints: 0, isLimit: false };
export const ANY_TEXT: FreeText = { classes: EVERY_CLASS, maxCodePoints: Infinity, isLimit: true };

/** @param ends pairs of characters: the first and the last one of each range */
function ranges(ends: string): (readonly [number, number])[] {
  const codePoints = Array.from(ends, (character) => character.codePointAt(0)!);
  return codePoints.flatMap((first, index) => (index % 2 === 0 ? [[first, codePoints[index + 1]!] as const] : []));
}

/** All ranges, ascending, with the bits of their classes. The characters between them have `NOT_FREE`. */
const RANGES = CHARACTER_CLASSES.flatMap((of, index) => of.map(([first, last]) => ({ first, last, bit: 1 << index })));
RANGES.sort((a, b) => a.first - b.first);
const FIRSTS = RANGES.map(({ first }) => first);

/** Returns the bit of a code point's class, or `NOT_FREE`. */
export function classBit(codePoint: number): number {
  const range = RANGES[lastAtMost(FIRSTS, codePoint)];
  return range !== undefined && codePoint <= range.last ? range.bit : NOT_FREE;
}

/** Letters, of which most tokens consist. Where they are not free, a walk soon skips most tokens. */
const LETTERS = 0b1111;
/** Longer tokens are few. A state is compared with states so many code points later. */
const MAX_CODE_POINTS = 16;
/** From so many code points on, a limit is better than fewer classes. */
const ENOUGH_CODE_POINTS = 4;
const MAX_STATES = 200;

/**
 * Finds free text. What it returns is not all of it: text that it leaves out may be possible too.
 * @param isFree false for states after which text is not free for another reason
 */
export function freeText(
  languages: Languages,
  { language, part }: StringState,
  isFree: (state: Language) => boolean = () => true,
): FreeText {
  if (part !== BETWEEN || !isFree(language)) return NO_FREE_TEXT;
  const { shape } = language;
  if (shape.kind === "repeat" && shape.of === languages.any)
    return { classes: EVERY_CLASS, maxCodePoints: shape.max, isLimit: true };
  const steps = new ClassSteps(languages);
  let { classes } = steps.of(language);
  for (;;) {
    if ((classes & LETTERS) === 0) return NO_FREE_TEXT;
    const { common, numCodePoints } = steps.follow(language, classes, isFree);
    if (common === classes || numCodePoints >= ENOUGH_CODE_POINTS || (common & LETTERS) === 0)
      return { classes, maxCodePoints: numCodePoints, isLimit: numCodePoints === Infinity };
    classes = common;
  }
}

/** The states that classes of characters lead to. */
class ClassSteps {
  readonly #languages: Languages;
  readonly #known = new Map<Language, ClassStep>();

  constructor(languages: Languages) {
    this.#languages = languages;
  }

  /**
   * Follows text of some classes as far as all of it is possible.
   * @returns the number of code points that it can have, and the classes that can follow in all states found
   */
  follow(
    start: Language,
    classes: number,
    isFree: (state: Language) => boolean,
  ): { readonly common: number; readonly numCodePoints: number } {
    const found = new Set([start]);
    let latest = [start];
    for (let numCodePoints = 0; numCodePoints < MAX_CODE_POINTS; numCodePoints++) {
      const common = latest.reduce((all, state) => all & this.of(state).classes, classes);
      if (common !== classes) return { common, numCodePoints };
      const next = new Set<Language>();
      for (const state of latest)
        for (const { bit, targets } of this.of(state).steps)
          if ((bit & classes) !== 0) for (const target of targets) if (!found.has(target)) next.add(target);
      if (next.size === 0) return { common, numCodePoints: Infinity };
      latest = [...next];
      for (const state of latest) found.add(state);
      if (found.size > MAX_STATES || !latest.every(isFree)) return { common, numCodePoints };
    }
    return { common: classes, numCodePoints: MAX_CODE_POINTS };
  }

  of(state: Language): ClassStep {
    let known = this.#known.get(state);
    if (known === undefined) this.#known.set(state, (known = this.#find(state)));
    return known;
  }

  #find(state: Language): ClassStep {
    const { partition, targets } = this.#languages.steps(state);
    const { firsts, ends, classes } = partition;
    let all = 0;
    const steps: ClassStep["steps"][number][] = [];
    for (const [index, of] of CHARACTER_CLASSES.entries()) {
      const reached = new Set<Language>();
      const isWhole = of.every(([first, last]) => {
        for (let at = first, range = lastAtMost(firsts, first); at <= last; at = ends[range++]!) {
          if (range < 0 || !(firsts[range]! <= at && at < ends[range]!)) return false;
          reached.add(targets[classes[range]!]!);
        }
        return true;
      });
      if (!isWhole) continue;
      all |= 1 << index;
      steps.push({ bit: 1 << index, targets: reached });
    }
    return { classes: all, steps };
  }
}

interface ClassStep {
  /** The classes of which each character is possible. */
  readonly classes: number;
  readonly steps: readonly { readonly bit: number; readonly targets: ReadonlySet<Language> }[];
}
