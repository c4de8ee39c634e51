/** Finds out how a chat template ends the turn of an assistant. */

import type { JsonObject } from "../json.js";
import { JinjaTemplate } from "./jinja-template.js";
import { RenderBudget } from "./render-budget.js";
import { plain } from "./sourced-text.js";
import { namedTokens } from "./template-variables.js";

/**
 * Returns what a template writes after an answer, without white space at its beginning. The text is empty for a template
 * that cannot be parsed, or does not render a question with its answer.
 *
 * @param template Jinja source
 * @param tokenizerConfig the parsed tokenizer_config.json
 */
export function textAfterAnswer(template: string, tokenizerConfig: JsonObject): string {
  const messages = [
    { role: "user", content: "Hi" },
    { role: "assistant", content: ANSWER },
  ];
  const given = { messages, add_generation_prompt: false, tools: null, documents: null };
  try {
    const text = plain(
      new JinjaTemplate(template).render({ ...namedTokens(tokenizerConfig), ...given }, RenderBudget.forOneSample()),
    );
    const [, after = ""] = text.split(ANSWER);
    return after.trimStart();
  } catch {
    return "";
  }
}

/** A text that no template writes or searches for. */
const ANSWER = "\uFDD0answer\uFDD0";
