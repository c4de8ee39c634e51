/** Token masks for any engine: which tokens can continue an answer that a JSON schema or a regular expression describes. */

import { parseJsonObject } from "./formats/index.js";
import { VocabularyTrie } from "./grammar/index.js";
import { Tokenizer } from "./text/index.js";

export { EngineError, type EngineErrorCode } from "./errors.js";
export { compileGrammar, GrammarMatcher, VocabularyTrie, type AnswerFormat, type Grammar } from "./grammar/index.js";

/**
 * @param tokenizerJson the bytes of a model's `tokenizer.json`
 * @returns its tokens; special ones have no bytes, so that no answer contains one
 * @throws EngineError invalid_model or unsupported_model
 */
export function readVocabulary(tokenizerJson: Uint8Array): VocabularyTrie {
  const tokenizer = new Tokenizer(parseJsonObject(tokenizerJson, "tokenizer.json"), {});
  return VocabularyTrie.build(Array.from({ length: tokenizer.vocabSize }, (_, id) => tokenizer.tokenBytes(id)));
}
