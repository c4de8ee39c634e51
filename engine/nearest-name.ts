/** Finds the known name that a misspelled one stands for. */

/**
 * Returns the known name with the smallest edit distance, ignoring case; the first one on a tie.
 *
 * @param maxDistance maximum number of characters replaced, added or left out
 * @returns null if no known name is within `maxDistance`
 */
export function nearestName(name: string, known: readonly string[], maxDistance = Infinity): string | null {
  const start = name.slice(0, COMPARED_CHARS).toLowerCase();
  let nearest: string | null = null;
  let least = maxDistance + 1;
  for (const candidate of known) {
    const distance = editDistance(start, candidate.toLowerCase());
    if (distance >= least) continue;
    nearest = candidate;
    least = distance;
  }
  return nearest;
}

/** Only the beginning of longer names is compared: a name this long is not a misspelling. */
const COMPARED_CHARS = 64;

/** Computes the Levenshtein distance, one row of the table at a time. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}
