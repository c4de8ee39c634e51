/** Converts between text and tokens. */

export { PhraseFinder, tokenContent, tokenIdOf, type AddedToken, type PhraseMatch } from "./added-tokens.js";
export { StopMatcher } from "./stop-matcher.js";
export { StreamingDetokenizer } from "./streaming-detokenizer.js";
export { checkWellFormed, Tokenizer, type EncodingOptions, type RenderedPrompt } from "./tokenizer.js";
export { readTokens, Vocabulary } from "./vocabulary.js";
