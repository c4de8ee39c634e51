/** Tools for models whose chat template knows none: the template gets them as text. */

import { createHash } from "node:crypto";

import { addedContents } from "../message/index.js";
import { callFormOf, HERMES } from "../template/index.js";
import type { ModelFolder } from "./model-folder.js";

/** `hermes`: tools and calls as JSON in tags, in the form of Hermes 2 Pro and Qwen2.5. */
export const TOOL_FORMATS = ["hermes"] as const;
export type ToolFormat = (typeof TOOL_FORMATS)[number];

type Texts = Pick<ModelFolder, "tokenizerJson" | "tokenizerConfig" | "chatTemplate" | "messageFormat">;

/** Returns the texts of a model with tools in a given format. A model without a template stays as it is. */
export function withToolFormat<T extends Texts>(texts: T, format: ToolFormat | undefined): T {
  const { chatTemplate: template, tokenizerJson, tokenizerConfig, messageFormat } = texts;
  if (format === undefined || template === null) return texts;
  const chatTemplate = HERMES + template;
  const calls = callFormOf(chatTemplate, tokenizerConfig, addedContents(tokenizerJson));
  return { ...texts, chatTemplate, messageFormat: { ...messageFormat, calls } };
}

/** Returns a model's hash that depends on the format too. */
export function hashWithToolFormat(modelHash: string, format: ToolFormat | undefined): string {
  return format === undefined ? modelHash : createHash("sha256").update(`${modelHash} ${format}`).digest("hex");
}
