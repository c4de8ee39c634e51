/** Reads the tokens that end an answer from a model's text files. */

import { type JsonObject, isObject } from "../json.js";
import { EngineError } from "../errors.js";
import { textAfterAnswer } from "../template/index.js";
import { tokenIdOf } from "../text/index.js";

/** The files that name end tokens. */
export interface EndTokenFiles {
  readonly config: JsonObject;
  readonly generationConfig: JsonObject | null;
  readonly tokenizerConfig: JsonObject;
  readonly tokenizer: JsonObject;
  /** Jinja source, or null if the model has no template. */
  readonly chatTemplate: string | null;
}

/**
 * Returns the tokens that end an answer, from all files that name some:
 *
 * 1. `eos_token_id` of generation_config.json.
 * 2. `eos_token_id` of config.json. Beside the first, only added tokens count: some configurations have the default
 *    number of their architecture, which is an ordinary token.
 * 3. `eos_token` of tokenizer_config.json.
 * 4. The added token that the chat template writes after an answer.
 *
 * @throws EngineError invalid_model for an `eos_token_id` that is no token id
 */
export function readEndTokenIds(files: EndTokenFiles): number[] {
  const { config, generationConfig, tokenizerConfig, tokenizer, chatTemplate } = files;
  const added = addedTokens(tokenizer);
  const addedIds = new Set(added.values());
  const generated = idsIn(generationConfig, "generation_config.json");
  const configured =
    generated.length === 0
      ? idsIn(config, "config.json")
      : [config["eos_token_id"]].flat().filter((id) => addedIds.has(id as number));
  const token = tokenizerConfig["eos_token"];
  const content = isObject(token) ? token["content"] : token;
  const after = chatTemplate === null ? "" : textAfterAnswer(chatTemplate, tokenizerConfig);
  const ids = [
    ...generated,
    ...(configured as number[]),
    typeof content === "string" ? tokenIdOf(tokenizer, content) : null,
    firstToken(after, added),
  ];
  return [...new Set(ids.filter((id) => id !== null))];
}

function idsIn(object: JsonObject | null, file: string): number[] {
  const value = object?.["eos_token_id"] ?? null;
  if (value === null) return [];
  const ids: unknown[] = Array.isArray(value) ? value : [value];
  if (ids.every((id) => Number.isSafeInteger(id) && (id as number) >= 0)) return ids as number[];
  throw new EngineError(
    "invalid_model",
    `${file}: eos_token_id must be a token id or a list of them, not ${shown(value)}`,
  );
}

/** Returns the ids of the added tokens by content. */
function addedTokens(tokenizer: JsonObject): ReadonlyMap<string, number> {
  const tokens = Array.isArray(tokenizer["added_tokens"]) ? (tokenizer["added_tokens"] as unknown[]) : [];
  return new Map(
    tokens.flatMap((token) =>
      isObject(token) && typeof token["content"] === "string" && Number.isSafeInteger(token["id"])
        ? [[token["content"], token["id"] as number]]
        : [],
    ),
  );
}

/** Returns the longest token with which a text begins, or null. */
function firstToken(text: string, added: ReadonlyMap<string, number>): number | null {
  let longest = "";
  for (const content of added.keys())
    if (content.length > longest.length && text.startsWith(content)) longest = content;
  return longest === "" ? null : added.get(longest)!;
}

/** Formats a value for an error message, cut to a readable length. */
function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}
