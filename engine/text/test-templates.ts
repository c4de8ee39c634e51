/** Templates of the tests, and what becomes of them. */

import { JinjaTemplate } from "./jinja-template.js";
import { plain } from "./sourced-text.js";

/** Templates, or expressions alone, each with what it prints or how it is refused. */
export type Rows = readonly (readonly [source: string, expected: string])[];

const MESSAGES = [
  { role: "user", content: "Hello 🎉 wörld" },
  { role: "assistant", content: "ok" },
  { role: "user", content: "" },
];

export function render(source: string): string {
  const template = /\{[{%#]/.test(source) ? source : `{{ ${source} }}`;
  return plain(new JinjaTemplate(template).render({ messages: MESSAGES, tools: null, bos_token: "<s>" }));
}

export function refusal(source: string): string {
  try {
    return `printed: ${render(source)}`;
  } catch (error) {
    return (error as Error).message.replace(/^The model's chat template (failed: )?/, "");
  }
}
