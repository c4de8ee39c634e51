/** How much plain text can follow in a language, whatever it is; see VocabularyTrie for plain text. */

import type { Language, Languages } from "./language.js";
import { lastAtMost } from "./partitions.js";
import { BETWEEN, type StringState } from "./string-bytes.js";

/** Code points of plain text, first to end (exclusive): all but control characters, the quote and the backslash. */
const PLAIN: readonly (readonly [number, number])[] = [
  [0x20, 0x22],
  [0x23, 0x5c],
  [0x5d, 0x7f],
  [0x80, 0xd800],
  [0xe000, 0x110000],
];

/** @returns the number of plain code points that can follow, maybe Infinity; -1 if it depends on them, or is not known */
export function plainRoom(languages: Languages, { language, part }: StringState): number {
  if (part !== BETWEEN) return -1;
  const { shape } = language;
  if (shape.kind === "repeat" && shape.of === languages.any) return shape.max;
  return PLAIN.every(([first, end]) => isLoop(languages, language, first, end)) ? Infinity : -1;
}

/** True if each of these code points leads from a language to itself. */
function isLoop(languages: Languages, language: Language, first: number, end: number): boolean {
  const { partition, targets } = languages.steps(language);
  const { firsts, ends, classes } = partition;
  for (let at = first, index = lastAtMost(firsts, first); at < end; at = ends[index++]!)
    if (index < 0 || !(firsts[index]! <= at && at < ends[index]!) || targets[classes[index]!] !== language)
      return false;
  return true;
}
