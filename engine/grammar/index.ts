/** Grammars for answers: compiles a format of answers, and computes the tokens that may come next. */

import { LIMITS } from "../limits.js";
import type { AnswerFormat } from "./answer-format.js";
import { GrammarCache, LoadedGrammars } from "./grammar-cache.js";
import type { Grammar } from "./matcher.js";

export {
  checkChoices,
  checkGrammar,
  checkTags,
  type AnswerFormat,
  type CallsFormat,
  type GrammarSyntax,
  type Structure,
} from "./answer-format.js";
export {
  isAlike,
  JSON_LIKE,
  type CallMarkup,
  type CallTag,
  type Enclosure,
  type ParameterKind,
  type ParameterKinds,
  type ParameterMarkup,
} from "./call-markup.js";
export { FORMATS } from "./formats.js";
export { type CompiledGrammar, GrammarCache, LoadedGrammars } from "./grammar-cache.js";
export type { GrammarData } from "./grammar-data.js";
export { Grammar, GrammarMatcher } from "./matcher.js";
export { SCHEMA_KEYWORDS } from "./schema-reader.js";
export { VocabularyTrie } from "./vocabulary-trie.js";

/**
 * Compiles a format, or returns its cached grammar.
 * @throws EngineError invalid_schema or unsupported_schema; `param` is a JSON pointer into the schema, "" for its root
 */
export function compileGrammar(format: AnswerFormat): Grammar {
  return loaded.get(compiled.get(format));
}

const compiled = new GrammarCache(LIMITS.maxGrammarCacheBytes);
const loaded = new LoadedGrammars(LIMITS.maxLoadedGrammarBytes);
