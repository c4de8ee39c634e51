/** Random regular expressions as tokenizers have them: classes of characters, repetitions, alternatives, lookarounds. */

import type { Random } from "./random.js";

export function randomPattern(random: Random): string {
  return alternatives(random, 3);
}

function alternatives(random: Random, depth: number): string {
  return random.times(random.pick([1, 1, 2, 3]), () => sequence(random, depth)).join("|");
}

function sequence(random: Random, depth: number): string {
  return random
    .times(1 + random.below(4), () =>
      random.chance(0.15) ? random.pick(CONDITIONS) : term(random, depth) + random.pick(QUANTIFIERS),
    )
    .join("");
}

function term(random: Random, depth: number): string {
  if (depth === 0 || random.chance(0.7)) return random.pick(CHARACTERS);
  const inner = alternatives(random, depth - 1);
  return random.chance(0.8) ? `(?:${inner})` : `(${inner})`;
}

const QUANTIFIERS = ["", "", "", "", "", "*", "+", "?", "*?", "+?", "{2}", "{1,3}", "{0,}", "{2,1000}"] as const;

const CHARACTERS = [
  "a",
  "b",
  " ",
  "!",
  ".",
  "\\p{L}",
  "\\p{N}",
  "\\p{Lu}",
  "\\s",
  "\\S",
  "\\w",
  "\\d",
  "[ab]",
  "[^a]",
  "[^\\s\\p{L}\\p{N}]",
  "[\\r\\n]",
] as const;

const CONDITIONS = ["\\b", "^", "$", "(?!\\S)", "(?=\\d+x)", "(?<=a)", "(?!(?:ab)*c)", "(?<!b+)"] as const;
