/** Finds the known name that an unknown one stands for: its name in another API, or a misspelling. */

export { nearestName } from "../../engine/nearest-name.js";

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
