/** Determines the token, if any, that a tokenizer adds before raw text. */

import { type JsonObject, isObject } from "../json.js";
import { EngineError } from "../errors.js";
import { type AddedToken, tokenContent } from "./added-tokens.js";
import { typeOf } from "./pre-tokenization.js";

/**
 * Reads the begin token from `add_bos_token` in tokenizer_config.json or, if that is absent, from the post-processor in
 * tokenizer.json.
 *
 * @returns the token's id, or null for none
 */
export function readBeginToken(
  tokenizerJson: JsonObject,
  tokenizerConfig: JsonObject,
  added: readonly AddedToken[],
): number | null {
  const wanted = tokenizerConfig["add_bos_token"];
  if (wanted === false) return null;
  if (wanted !== true) return fromPostProcessor(tokenizerJson["post_processor"]);
  const bos = tokenContent(tokenizerConfig["bos_token"]);
  const token = added.find(({ content }) => content === bos);
  if (token === undefined) {
    throw new EngineError(
      "invalid_model",
      "tokenizer_config.json sets add_bos_token, but its bos_token is not a token of tokenizer.json",
    );
  }
  return token.id;
}

function fromPostProcessor(definition: unknown): number | null {
  if (!isObject(definition)) return null;
  switch (definition["type"]) {
    case "ByteLevel":
      return null;
    case "Sequence": {
      const parts = Array.isArray(definition["processors"]) ? definition["processors"] : [];
      return parts.reduce<number | null>((id, part) => id ?? fromPostProcessor(part), null);
    }
    case "TemplateProcessing":
      return fromTemplate(definition);
    default:
      throw new EngineError(
        "unsupported_model",
        `tokenizer.json has the post-processor ${typeOf(definition)}, which is not supported`,
      );
  }
}

function fromTemplate(definition: JsonObject): number | null {
  const single = Array.isArray(definition["single"]) ? definition["single"] : [];
  const names: string[] = [];
  for (const item of single) {
    if (!isObject(item) || !isObject(item["SpecialToken"])) break;
    names.push(String(item["SpecialToken"]["id"]));
  }
  const tokens = isObject(definition["special_tokens"]) ? definition["special_tokens"] : {};
  const ids = names.flatMap((name) => {
    const token = tokens[name];
    return isObject(token) && Array.isArray(token["ids"]) ? token["ids"] : [];
  });
  if (ids.length > 1) {
    throw new EngineError(
      "unsupported_model",
      `tokenizer.json puts ${ids.length} tokens in front of a text; at most one is supported`,
    );
  }
  return typeof ids[0] === "number" ? ids[0] : null;
}
