/** Determines the tokens, if any, that a tokenizer adds before raw text. */

import { type JsonObject, isObject } from "../json.js";
import { described, EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import { type AddedToken, tokenContent } from "./added-tokens.js";
import { typeOf } from "./pre-tokenization.js";

/**
 * Reads the begin tokens from `add_bos_token` in tokenizer_config.json or, if that is absent, from the post-processor in
 * tokenizer.json.
 *
 * @returns the ids of the tokens in order
 */
export function readBeginTokens(
  tokenizerJson: JsonObject,
  tokenizerConfig: JsonObject,
  added: readonly AddedToken[],
): readonly number[] {
  const wanted = tokenizerConfig["add_bos_token"];
  if (wanted === false) return [];
  if (wanted !== true) return fromPostProcessor(tokenizerJson["post_processor"]);
  const bos = tokenContent(tokenizerConfig["bos_token"]);
  const token = added.find(({ content }) => content === bos);
  if (token === undefined) {
    throw new EngineError(
      "invalid_model",
      "tokenizer_config.json sets add_bos_token, but its bos_token is not a token of tokenizer.json",
    );
  }
  return [token.id];
}

function fromPostProcessor(definition: unknown): readonly number[] {
  if (!isObject(definition)) return [];
  switch (definition["type"]) {
    case "ByteLevel":
      return [];
    case "Sequence": {
      const parts = Array.isArray(definition["processors"]) ? definition["processors"] : [];
      const adding = parts.map(fromPostProcessor).filter(({ length }) => length > 0);
      if (adding.length <= 1) return adding[0] ?? [];
      throw new EngineError(
        "unsupported_model",
        `tokenizer.json has ${adding.length} post-processors that put tokens in front of a text; at most one is supported`,
      );
    }
    case "TemplateProcessing":
      return fromTemplate(definition);
    case "BertProcessing":
    case "RobertaProcessing":
      return [fromPair(definition["cls"])];
    default:
      throw new EngineError(
        "unsupported_model",
        `tokenizer.json has the post-processor ${typeOf(definition)}, which is not supported`,
      );
  }
}

/** Returns the id of a token that is given by its name and its id. */
function fromPair(token: unknown): number {
  const [name, id] = Array.isArray(token) ? (token as unknown[]) : [];
  if (typeof name === "string" && typeof id === "number") return id;
  const message = `tokenizer.json: cls of a post-processor must be the name and the id of a token. Given: ${described(token ?? null)}`;
  throw new EngineError("invalid_model", message);
}

function fromTemplate(definition: JsonObject): readonly number[] {
  const single = Array.isArray(definition["single"]) ? definition["single"] : [];
  const tokens = isObject(definition["special_tokens"]) ? definition["special_tokens"] : {};
  const begin: number[] = [];
  for (const item of single) {
    if (!isObject(item) || !isObject(item["SpecialToken"])) break;
    const token = tokens[String(item["SpecialToken"]["id"])];
    const ids: unknown[] = isObject(token) && Array.isArray(token["ids"]) ? token["ids"] : [];
    for (const id of ids) if (typeof id === "number") begin.push(id);
    if (begin.length > LIMITS.maxBeginTokens) {
      const message = `tokenizer.json puts more than ${LIMITS.maxBeginTokens} tokens in front of a text, which is not supported`;
      throw new EngineError("unsupported_model", message);
    }
  }
  return begin;
}
