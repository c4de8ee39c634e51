/**
 * Chat templates that leave out a part of tool calling, which their models have learnt all the same: some write the
 * tools and no calls, others calls and not the tools. Statements before the template put what is missing into texts.
 */

import { EngineError } from "../errors.js";
import type { JsonObject } from "../json.js";
import { type CallForm, writtenCalls } from "../message/index.js";
import { callFormOf, formWithoutTools, promptWithTools, writesNoCalls } from "./call-probes.js";

/** A chat template, with the form in which its model writes calls; null if that is not understood. */
export interface ToolTemplate {
  readonly source: string;
  readonly calls: CallForm | null;
}

/** A way to write calls as text, in Jinja. */
interface TextForm {
  /** Texts of the tokenizer or the template that tell that a model writes calls so. */
  readonly marks: readonly string[];
  /** Expressions: before the first call, if there is text or not, between calls and after the last one. */
  readonly open: string;
  readonly separator: string;
  readonly close: string;
  /** Statements that add the call `function` to `calling.text`. */
  readonly call: string;
}

const NAME_AND_ARGUMENTS = `'{"name": "' + function.name + '", "arguments": ' + (function.arguments | tojson) + '}'`;

const HERMES_CALLS: TextForm = {
  marks: ["<tool_call>", '"arguments"'],
  open: "('\\n' if calling.text else '')",
  separator: "'\\n'",
  close: "''",
  call: `{%- set calling.text = calling.text + '<tool_call>\\n' + ${NAME_AND_ARGUMENTS} + '\\n</tool_call>' %}`,
};

/** Of LFM2, as its documentation has it: Python's calls with strings in double quotation marks. */
const PYTHON_CALLS: TextForm = {
  marks: ["<|tool_call_start|>", "<|tool_call_end|>"],
  open: "'<|tool_call_start|>['",
  separator: "', '",
  close: "']<|tool_call_end|>'",
  call: `{%- set calling.text = calling.text + function.name + '(' %}
        {%- for key, value in function.arguments.items() %}
          {%- set shown = '"' + value + '"' if value is string else value | tojson if value is mapping or value is sequence else value | string %}
          {%- set calling.text = calling.text + (', ' if not loop.first else '') + key + '=' + shown %}
        {%- endfor %}
        {%- set calling.text = calling.text + ')' %}`,
};

/** Of Granite 3. */
const LISTED_CALLS: TextForm = {
  marks: ["<|tool_call|>"],
  open: "'<|tool_call|>['",
  separator: "', '",
  close: "']'",
  call: `{%- set calling.text = calling.text + ${NAME_AND_ARGUMENTS} %}`,
};

const TEXT_FORMS: readonly TextForm[] = [HERMES_CALLS, PYTHON_CALLS, LISTED_CALLS];

/** Statements that put the calls of earlier turns into the texts of their messages. */
const callsInTexts = ({ open, separator, close, call }: TextForm): string => `
{%- if messages | selectattr('tool_calls') | list %}
  {%- set calling = namespace(messages=[], text='') %}
  {%- for message in messages %}
    {%- if message.tool_calls %}
      {%- set calling.text = message.content or '' %}
      {%- set calling.text = calling.text + ${open} %}
      {%- for one in message.tool_calls %}
        {%- set function = one.function %}
        {%- set calling.text = calling.text + (${separator} if not loop.first else '') %}
        ${call}
      {%- endfor %}
      {%- set calling.text = calling.text + ${close} %}
      {%- set calling.messages = calling.messages + [{'role': message.role, 'content': calling.text}] %}
    {%- else %}
      {%- set calling.messages = calling.messages + [message] %}
    {%- endif %}
  {%- endfor %}
  {%- set messages = calling.messages %}
{%- endif %}`;

/** Statements that put the tools into the system message. @param example of a call */
const toolsInText = (example: string): string => `
{%- if tools %}
  {%- set calling = namespace(text='') %}
  {%- set calling.text = messages[0].content + '\\n\\n' if messages[0].role == 'system' else '' %}
  {%- set calling.text = calling.text + 'You can call these functions, one JSON schema in each line:\\n<tools>' %}
  {%- for tool in tools %}{%- set calling.text = calling.text + '\\n' + (tool | tojson) %}{%- endfor %}
  {%- set calling.text = calling.text + '\\n</tools>\\n\\nTo call a function, write its name and its arguments like this:\\n' + ${JSON.stringify(example)} %}
  {%- set messages = [{'role': 'system', 'content': calling.text}] + (messages[1:] if messages[0].role == 'system' else messages) %}
{%- endif %}`;

/** Statements that join the results of calls into user messages. */
const RESULTS_IN_TEXTS = `
{%- if messages | selectattr('role', 'equalto', 'tool') | list %}
  {%- set calling = namespace(messages=[], text='') %}
  {%- for message in messages %}
    {%- if message.role == 'tool' %}
      {%- set calling.text = calling.text + ('\\n' if calling.text else '') + '<tool_response>\\n' + message.content + '\\n</tool_response>' %}
      {%- if loop.last or loop.nextitem.role != 'tool' %}
        {%- set calling.messages = calling.messages + [{'role': 'user', 'content': calling.text}] %}
        {%- set calling.text = '' %}
      {%- endif %}
    {%- else %}
      {%- set calling.messages = calling.messages + [message] %}
    {%- endif %}
  {%- endfor %}
  {%- set messages = calling.messages %}
{%- endif %}`;

/** Statements before a template that know tools in the form of Hermes 2 Pro, whatever the template knows. */
export const HERMES = [
  "{%- if tools %}",
  toolsInText('<tool_call>\n{"name": <name>, "arguments": <object>}\n</tool_call>'),
  callsInTexts(HERMES_CALLS),
  RESULTS_IN_TEXTS,
  "{%- set tools = none %}",
  "{%- endif %}\n",
].join("");

/**
 * Returns a model's template with what it leaves out of tool calling.
 *
 * @param source of the template
 * @param tokens contents of the tokenizer's added tokens
 */
export function completeToolTemplate(
  source: string,
  tokenizerConfig: JsonObject,
  tokens: readonly string[],
): ToolTemplate {
  const calls = callFormOf(source, tokenizerConfig, tokens);
  if (calls !== null) return { source, calls };
  try {
    const addition = missingPart(source, tokenizerConfig, tokens);
    const completed = addition === null ? source : `${addition}\n${source}`;
    return { source: completed, calls: callFormOf(completed, tokenizerConfig, tokens) };
  } catch (error) {
    if (error instanceof EngineError || error instanceof SyntaxError) return { source, calls: null };
    throw error;
  }
}

function missingPart(source: string, tokenizerConfig: JsonObject, tokens: readonly string[]): string | null {
  const prompt = promptWithTools(source, tokenizerConfig);
  if (prompt === null) return toolsInText(exampleOf(formWithoutTools(source, tokenizerConfig, tokens)));
  if (!writesNoCalls(source, tokenizerConfig)) return null;
  const isKnown = (mark: string): boolean => tokens.includes(mark) || prompt.includes(mark);
  const form = TEXT_FORMS.find(({ marks }) => marks.every(isKnown));
  return form === undefined ? null : callsInTexts(form);
}

function exampleOf(form: CallForm): string {
  return writtenCalls(form, [{ name: "<name>", json: form.parameters === null ? "<object>" : '{"<key>":"<value>"}' }]);
}
