/** Prompts of an exact number of tokens, each another text, so that no engine can answer from what it computed before. */

import type { Tokenizer } from "../../engine/text/tokenizer.js";
import { randomSource } from "../../spec-tests/fixtures/random-model.js";
import type { Prompt } from "./engine.js";

const WORDS = (
  "the a little big dog cat girl boy bird tree house garden ball cake friend mother day sun rain river " +
  "was had saw went played ran found made said wanted liked helped jumped sat looked " +
  "happy sad red blue small very and then with in on under to from one two three"
).split(" ");

/** @param seed another text for each; prompts of different seeds begin differently */
export function promptOf(tokenizer: Tokenizer, numTokens: number, seed: number): Prompt {
  const random = randomSource(seed);
  const word = (): string => WORDS[Math.floor(random() * WORDS.length)]!;
  let text = `${String.fromCharCode(65 + (seed % 26))}${seed} ${word()}`;
  let tokenIds = tokenizer.encode(text);
  while (tokenIds.length < numTokens) {
    // A word is a handful of tokens at most, so this many cannot be far too many.
    for (let missing = numTokens - tokenIds.length; missing > 0; missing -= 8) text += ` ${word()}`;
    tokenIds = tokenizer.encode(text);
  }
  while (tokenIds.length > numTokens) {
    text = text.slice(0, -1);
    tokenIds = tokenizer.encode(text);
  }
  // Two letters can be one token more than the shorter text and none less: try another text then.
  return tokenIds.length === numTokens ? { text, tokenIds } : promptOf(tokenizer, numTokens, seed + 7919);
}
