/** Tools for models whose chat template knows none: the template gets them as text. */

import { createHash } from "node:crypto";

import { addedContents } from "../message/index.js";
import { callFormOf } from "../template/index.js";
import type { ModelFolder } from "./model-folder.js";

/** `hermes`: tools and calls as JSON in tags, in the form of Hermes 2 Pro and Qwen2.5. */
export const TOOL_FORMATS = ["hermes"] as const;
export type ToolFormat = (typeof TOOL_FORMATS)[number];

/**
 * Before the template of the model: puts the tools into the system message, and calls and results into the texts of
 * assistant and user messages.
 */
const HERMES = `{%- if tools %}
  {%- set hermes = namespace(messages=[], results='', text='') %}
  {%- set hermes.text = messages[0].content + '\\n\\n' if messages[0].role == 'system' else '' %}
  {%- set hermes.text = hermes.text + 'You can call these functions, one JSON schema in each line:\\n<tools>' %}
  {%- for tool in tools %}{%- set hermes.text = hermes.text + '\\n' + (tool | tojson) %}{%- endfor %}
  {%- set hermes.text = hermes.text + '\\n</tools>\\n\\nTo call a function, write its name and its arguments as JSON in these tags:\\n<tool_call>\\n{"name": <name>, "arguments": <object>}\\n</tool_call>' %}
  {%- set hermes.messages = [{'role': 'system', 'content': hermes.text}] %}
  {%- for message in messages %}
    {%- if message.role == 'tool' %}
      {%- set hermes.results = hermes.results + ('\\n' if hermes.results else '') + '<tool_response>\\n' + message.content + '\\n</tool_response>' %}
    {%- endif %}
    {%- if hermes.results and (loop.last or loop.nextitem.role != 'tool') %}
      {%- set hermes.messages = hermes.messages + [{'role': 'user', 'content': hermes.results}] %}
      {%- set hermes.results = '' %}
    {%- endif %}
    {%- if message.role == 'assistant' and message.tool_calls %}
      {%- set hermes.text = message.content or '' %}
      {%- for call in message.tool_calls %}
        {%- set hermes.text = hermes.text + ('\\n' if hermes.text else '') + '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' + (call.function.arguments | tojson) + '}\\n</tool_call>' %}
      {%- endfor %}
      {%- set hermes.messages = hermes.messages + [{'role': 'assistant', 'content': hermes.text}] %}
    {%- elif message.role != 'tool' and not (message.role == 'system' and loop.first) %}
      {%- set hermes.messages = hermes.messages + [message] %}
    {%- endif %}
  {%- endfor %}
  {%- set messages = hermes.messages %}
  {%- set tools = none %}
{%- endif %}
`;

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
