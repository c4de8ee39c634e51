/** Finds the known name that an unknown one stands for: its name in another API, or a misspelling. */

/** Only the beginning of longer names is compared: a name this long is not a misspelling. */
const COMPARED_CHARS = 64;

/** Names of request fields in other APIs. */
const OTHER_NAMES: ReadonlyMap<string, string> = new Map([
  ["best_of", "n"],
  ["candidate_count", "n"],
  ["num_return_sequences", "n"],
  ["enable_thinking", "chat_template_kwargs"],
  ["thinking", "chat_template_kwargs"],
  ["format", "response_format"],
  ["grammar", "response_format"],
  ["guided_choice", "response_format"],
  ["guided_grammar", "response_format"],
  ["guided_json", "response_format"],
  ["guided_regex", "response_format"],
  ["structural_tag", "response_format"],
  ["structured_outputs", "response_format"],
  ["json_schema", "response_format"],
  ["include_reasoning", "separate_reasoning"],
  ["input", "messages"],
  ["prompt", "messages"],
  ["system", "messages"],
  ["max_length", "max_tokens"],
  ["max_new_tokens", "max_tokens"],
  ["max_output_tokens", "max_tokens"],
  ["n_predict", "max_tokens"],
  ["num_predict", "max_tokens"],
  ["n_probs", "top_logprobs"],
  ["random_seed", "seed"],
  ["repeat_penalty", "repetition_penalty"],
  ["stop_sequences", "stop"],
]);

/** Returns the known name that a field of another API has here, or null. */
export function nameHere(name: string, known: readonly string[]): string | null {
  const here = OTHER_NAMES.get(name.toLowerCase());
  return here !== undefined && known.includes(here) ? here : null;
}

/** Returns the number of characters in which a misspelling may differ from the name that was meant. */
export const misspelledCharacters = (name: string): number => Math.floor(name.length / 3);

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
