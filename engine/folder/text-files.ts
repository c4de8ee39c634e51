/** Text files of a model: configuration, tokenizer, chat template. */

import { join } from "node:path";

import type { JsonObject } from "../json.js";
import { EngineError } from "../errors.js";
import { parseJsonObject, readModelFile } from "../formats/index.js";
import { addedContents, deriveReasoning, type MessageFormat } from "../message/index.js";
import { completeToolTemplate, templateOf } from "../template/index.js";

export interface TextFiles {
  /** Contents of the files that exist, by name. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly config: JsonObject;
  readonly generationConfig: JsonObject | null;
  readonly tokenizer: JsonObject;
  /** Empty if the folder has none. */
  readonly tokenizerConfig: JsonObject;
  /** Jinja source, with what it leaves out of tool calling; null if the model has no template. */
  readonly chatTemplate: string | null;
  /** Format in which the model writes a message. */
  readonly format: MessageFormat;
}

/** Text files in the order in which they enter a model's hash. */
export const TEXT_FILES = [
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "chat_template.jinja",
] as const;

/** Reads the text files of a model folder or a pack. */
export async function readTextFiles(dir: string): Promise<TextFiles> {
  const files = new Map<string, Uint8Array>();
  for (const name of TEXT_FILES) {
    const bytes = await readModelFile(dir, name);
    if (bytes !== null) files.set(name, bytes);
  }
  return textsIn(files, dir);
}

/** Interprets the contents of text files. @param dir where they are, for errors */
export function textsIn(files: ReadonlyMap<string, Uint8Array>, dir: string): TextFiles {
  const optional = (name: string): JsonObject | null => {
    const bytes = files.get(name);
    return bytes === undefined ? null : parseJsonObject(bytes, join(dir, name));
  };
  const required = (name: string): JsonObject => {
    const object = optional(name);
    if (object === null) throw new EngineError("invalid_model", `${dir} has no ${name}`);
    return object;
  };
  const tokenizer = required("tokenizer.json");
  const tokenizerConfig = optional("tokenizer_config.json") ?? {};
  const template = chatTemplate(files.get("chat_template.jinja"), tokenizerConfig);
  const complete = template === null ? null : completeToolTemplate(template, tokenizerConfig, addedContents(tokenizer));
  return {
    files,
    config: required("config.json"),
    generationConfig: optional("generation_config.json"),
    tokenizer,
    tokenizerConfig,
    chatTemplate: complete?.source ?? null,
    format: { reasoning: deriveReasoning(tokenizer, template), calls: complete?.calls ?? null },
  };
}

/** Returns chat_template.jinja, else the template of tokenizer_config.json. */
function chatTemplate(file: Uint8Array | undefined, tokenizerConfig: JsonObject): string | null {
  if (file !== undefined) return new TextDecoder().decode(file);
  const template = templateOf(tokenizerConfig);
  if (template !== null || (tokenizerConfig["chat_template"] ?? null) === null) return template;
  throw new EngineError(
    "invalid_model",
    "tokenizer_config.json: chat_template must be a string, or a list that has a template named default",
  );
}
