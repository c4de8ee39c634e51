/** Runs of characters of any length: one match of a pattern over millions of characters overflows V8's stack. */

/**
 * Returns where matches that follow one another end.
 * @param pattern sticky, with matches of a bounded length
 */
export function endOfMatches(text: string, start: number, pattern: RegExp): number {
  let end = start;
  pattern.lastIndex = start;
  while (pattern.test(text)) end = pattern.lastIndex;
  return end;
}
