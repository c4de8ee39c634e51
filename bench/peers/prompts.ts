/** Creates prompts with an exact number of tokens. All texts differ, so that no engine can use a prompt cache. */

import type { Tokenizer } from "../../engine/text/tokenizer.js";
import { randomSource } from "../../spec-tests/fixtures/random-model.js";
import type { Prompt } from "./engine.js";

const WORDS = (
  "the a little big dog cat girl boy bird tree house garden ball cake friend mother day sun rain river " +
  "was had saw went played ran found made said wanted liked helped jumped sat looked " +
  "happy sad red blue small very and then with in on under to from one two three"
).split(" ");

/** @param seed determines the text; prompts of different seeds begin differently */
export function promptOf(tokenizer: Tokenizer, numTokens: number, seed: number): Prompt {
  const random = randomSource(seed);
  const word = (): string => WORDS[Math.floor(random() * WORDS.length)]!;
  let text = `${String.fromCharCode(65 + (seed % 26))}${seed} ${word()}`;
  let tokenIds = tokenizer.encode(text);
  while (tokenIds.length < numTokens) {
    // A word has only a few tokens, so this adds few unnecessary words.
    for (let missing = numTokens - tokenIds.length; missing > 0; missing -= 8) text += ` ${word()}`;
    tokenIds = tokenizer.encode(text);
  }
  while (tokenIds.length > numTokens) {
    text = text.slice(0, -1);
    tokenIds = tokenizer.encode(text);
  }
  // A text cannot always be cut to the exact number of tokens. In that case try another text.
  return tokenIds.length === numTokens ? { text, tokenIds } : promptOf(tokenizer, numTokens, seed + 7919);
}
