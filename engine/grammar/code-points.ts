/**
 * Sets of code points as flat pairs of first and end (exclusive): [0x30, 0x3a] is the digits. Pairs are sorted, and
 * neither overlap nor touch.
 */

export type CodePointSet = readonly number[];

/** Every code point that text can contain: all except the surrogates. */
export const ANY: CodePointSet = [0, 0xd800, 0xe000, 0x110000];

/** @param pairs first and end (exclusive), in any order */
export function fromPairs(pairs: [number, number][]): CodePointSet {
  pairs.sort((a, b) => a[0] - b[0]);
  const set: number[] = [];
  for (const [first, end] of pairs) {
    if (first >= end) continue;
    const last = set.length - 1;
    if (last > 0 && first <= set[last]!) set[last] = Math.max(set[last]!, end);
    else set.push(first, end);
  }
  return set;
}

export function intersect(a: CodePointSet, b: CodePointSet): CodePointSet {
  const set: number[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const first = Math.max(a[i]!, b[j]!);
    const end = Math.min(a[i + 1]!, b[j + 1]!);
    if (first < end) set.push(first, end);
    if (a[i + 1]! < b[j + 1]!) i += 2;
    else j += 2;
  }
  return set;
}

/** Returns every code point of `ANY` that is not in the set. */
export function complement(set: CodePointSet): CodePointSet {
  const gaps: number[] = [];
  let from = 0;
  for (let i = 0; i < set.length; i += 2) {
    if (from < set[i]!) gaps.push(from, set[i]!);
    from = set[i + 1]!;
  }
  if (from < 0x110000) gaps.push(from, 0x110000);
  return intersect(gaps, ANY);
}
