/** Reads the tokens that end an answer from a model's text files. */

import { type JsonObject, isObject } from "../json.js";
import { EngineError } from "../errors.js";
import { tokenIdOf } from "../text/index.js";

/**
 * Returns the tokens that end an answer: generation_config.json's `eos_token_id`, else config.json's, else the id of
 * tokenizer_config.json's `eos_token`. Empty if none of the files sets one.
 */
export function readEndTokenIds(files: {
  config: JsonObject;
  generationConfig: JsonObject | null;
  tokenizerConfig: JsonObject;
  tokenizer: JsonObject;
}): number[] {
  for (const [file, object] of [
    ["generation_config.json", files.generationConfig],
    ["config.json", files.config],
  ] as const) {
    const value = object?.["eos_token_id"] ?? null;
    if (value === null) continue;
    const ids: unknown[] = Array.isArray(value) ? value : [value];
    for (const id of ids) {
      if (!Number.isSafeInteger(id) || (id as number) < 0) {
        throw new EngineError(
          "invalid_model",
          `${file}: eos_token_id must be a token id or a list of them, not ${shown(value)}`,
        );
      }
    }
    return [...new Set(ids as number[])];
  }
  const token = files.tokenizerConfig["eos_token"];
  const content = isObject(token) ? token["content"] : token;
  const id = typeof content === "string" ? tokenIdOf(files.tokenizer, content) : null;
  return id === null ? [] : [id];
}

/** Formats a value for an error message, cut to a readable length. */
function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}
