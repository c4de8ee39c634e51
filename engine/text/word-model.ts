/** What the two kinds of models, byte-pair encoding and Unigram, have in common. */

import type { Budget } from "../budget.js";
import { EngineError } from "../errors.js";

/** Converts words to token ids. */
export interface WordModel {
  /**
   * Appends the token ids of a word to `ids`.
   *
   * @throws EngineError out_of_range for a character that the tokenizer has no token for
   */
  encode(word: string, ids: number[], budget: Budget, param: string | null): void;

  /**
   * Returns a model that never produces the given tokens; their text is encoded with others.
   *
   * @param tokens token strings by id
   */
  without(tokens: ReadonlyMap<number, string>): WordModel;
}

/** Returns the error for a character that the tokenizer has no token for. */
export const noToken = (param: string | null): EngineError =>
  new EngineError("out_of_range", "The text has a character that the model's tokenizer has no token for.", param);
