/** Token masks for any engine: the tokens that can continue an answer under a JSON schema or a regular expression. */

import { parseJsonObject } from "./formats/index.js";
import { VocabularyTrie } from "./grammar/index.js";
import { Tokenizer } from "./text/index.js";

export { EngineError, type EngineErrorCode } from "./errors.js";
export { compileGrammar, GrammarMatcher, VocabularyTrie, type AnswerFormat, type Grammar } from "./grammar/index.js";

/**
 * Reads the vocabulary that token masks refer to.
 *
 * @param tokenizerJson the bytes of a model's `tokenizer.json`
 * @returns the model's tokens; special tokens have no bytes, so that no answer can contain one
 * @throws EngineError invalid_model or unsupported_model
 */
export function readVocabulary(tokenizerJson: Uint8Array): VocabularyTrie {
  const tokenizer = new Tokenizer(parseJsonObject(tokenizerJson, "tokenizer.json"), {});
  return VocabularyTrie.build(Array.from({ length: tokenizer.vocabSize }, (_, id) => tokenizer.tokenBytes(id)));
}
