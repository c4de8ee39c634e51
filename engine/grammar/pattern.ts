/** Patterns from requests, as languages: regular expressions are read by pattern-reader.ts. */

import { LIMITS } from "../limits.js";
import { explore } from "./exploration.js";
import { type Language, type Languages, TooManyStates } from "./language.js";
import { PatternError } from "./pattern-error.js";
import { treeLanguage } from "./pattern-language.js";
import { readPattern } from "./pattern-reader.js";

export { PatternError } from "./pattern-error.js";

/**
 * Returns the language of the texts that match a pattern.
 * @param isWhole true if the pattern must match the whole text; false to search for it in the text, as `pattern` does
 * @param maxPositions limit on the characters of the pattern after repetitions of look-around are expanded
 * @throws PatternError
 */
export function patternLanguage(
  languages: Languages,
  source: string,
  isWhole: boolean,
  maxPositions: number,
): Language {
  const tree = readPattern(languages, source);
  if (tree.size > maxPositions) {
    throw new PatternError(
      "unsupported",
      `the pattern has more than ${maxPositions} positions after repetitions of look-around are expanded`,
    );
  }
  return withinStates(() => treeLanguage(languages, tree, isWhole, LIMITS.maxGrammarStates));
}

/**
 * Returns the language of a pattern from a request, and checks that all its states together are within the limits.
 * @throws PatternError
 */
export function boundedPattern(languages: Languages, source: string, isWhole: boolean): Language {
  const language = patternLanguage(languages, source, isWhole, LIMITS.maxPatternPositions);
  withinStates(() => explore(languages, language, LIMITS.maxGrammarStates));
  return language;
}

function withinStates<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof TooManyStates)) throw error;
    throw new PatternError("unsupported", `the patterns need more than ${LIMITS.maxGrammarStates} states`);
  }
}
