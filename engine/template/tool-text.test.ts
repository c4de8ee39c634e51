import { describe, expect, it } from "vitest";
import { writtenCalls } from "../message/index.js";
import { JinjaTemplate } from "./jinja-template.js";
import { plain } from "./sourced-text.js";
import { completeToolTemplate } from "./tool-text.js";

const TURNS = "{% for m in messages %}[{{ m.role }}]{{ m.content }}<end>\n{% endfor %}";
const TOOL = { type: "function", function: { name: "add", parameters: { type: "object", properties: {} } } };
const call = (name: string, args: object): object => ({
  id: "a",
  type: "function",
  function: { name, arguments: args },
});
const MESSAGES = [
  { role: "user", content: "Hi" },
  {
    role: "assistant",
    content: "So:",
    tool_calls: [call("add", { x: 1, on: true, of: [2], as: "b c" }), call("now", {})],
  },
  { role: "tool", content: "3", tool_call_id: "a" },
  { role: "assistant", content: "", tool_calls: [call("now", {})] },
];

const rendered = (source: string, messages: readonly object[], tools: readonly object[] | null): string =>
  plain(new JinjaTemplate(source).render({ messages, tools } as never));
const answersOf = (source: string): string[] =>
  [...rendered(source, MESSAGES, [TOOL]).matchAll(/\[assistant\]([^]*?)<end>/g)].map(([, answer]) => answer!);
const CALLS = [
  { name: "f", json: '{"a": "b c"}' },
  { name: "g", json: "{}" },
];

describe("a template that writes tools and no calls", () => {
  const FUNCTIONS = "{% if tools %}{{ tools | tojson }}{% endif %}";

  it.each<[string, string, readonly string[], string[], string]>([
    [
      "in tags that its prompt shows",
      'In <tool_call>: {"name": ..., "arguments": ...}\n',
      [],
      [
        'So:\n<tool_call>\n{"name": "add", "arguments": {"x": 1, "on": true, "of": [2], "as": "b c"}}\n</tool_call>\n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>',
        '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>',
      ],
      '<tool_call>\n{"name": "f", "arguments": {"a": "b c"}}\n</tool_call>\n<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>',
    ],
    [
      "between tokens of LFM2",
      "",
      ["<|tool_call_start|>", "<|tool_call_end|>"],
      [
        'So:<|tool_call_start|>[add(x=1, on=True, of=[2], as="b c"), now()]<|tool_call_end|>',
        "<|tool_call_start|>[now()]<|tool_call_end|>",
      ],
      '<|tool_call_start|>[f(a="b c"), g()]<|tool_call_end|>',
    ],
    [
      "after a token of Granite 3",
      "",
      ["<|tool_call|>"],
      [
        'So:<|tool_call|>[{"name": "add", "arguments": {"x": 1, "on": true, "of": [2], "as": "b c"}}, {"name": "now", "arguments": {}}]',
        '<|tool_call|>[{"name": "now", "arguments": {}}]',
      ],
      '<|tool_call|>[{"name": "f", "arguments": {"a": "b c"}}, {"name": "g", "arguments": {}}]',
    ],
  ])("gets them %s", (_, prompt, tokens, answers, written) => {
    const { source, calls } = completeToolTemplate(prompt + FUNCTIONS + TURNS, {}, ["<end>", ...tokens]);
    expect(answersOf(source)).toEqual(answers);
    expect(writtenCalls(calls!, CALLS)).toBe(written);
    expect(calls!.tokens).toEqual(tokens);
  });

  it("stays as it is for conversations without calls", () => {
    const { source } = completeToolTemplate(FUNCTIONS + TURNS, {}, ["<|tool_call|>"]);
    const messages = [{ role: "system", content: "Be brief." }, MESSAGES[0]!];
    for (const tools of [null, [TOOL]])
      expect(rendered(source, messages, tools)).toBe(rendered(FUNCTIONS + TURNS, messages, tools));
  });

  it("is left alone if it is not known how its model calls", () => {
    const given = FUNCTIONS + TURNS;
    expect(completeToolTemplate(given, {}, [])).toEqual({ source: given, calls: null });
    const other = `<tool_call> "arguments" ${FUNCTIONS}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for c in m.tool_calls %}{{ c.function.name }}?{% endfor %}<end>\n{% endfor %}`;
    expect(completeToolTemplate(other, {}, [])).toEqual({ source: other, calls: null });
  });
});

describe("a template that writes calls and no tools", () => {
  const given = `{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for c in m.tool_calls %}<call>{{ c.function.name }}<args>{{ c.function.arguments | tojson }}</call>{% endfor %}<end>\n{% endfor %}`;
  const { source, calls } = completeToolTemplate(given, {}, ["<call>", "<args>", "</call>", "<end>"]);

  it("gets them in the system message, with an example of a call", () => {
    expect(rendered(source, [{ role: "system", content: "Be brief." }, MESSAGES[0]!], [TOOL])).toBe(
      `[system]Be brief.

You can call these functions, one JSON schema in each line:
<tools>
{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
</tools>

To call a function, write its name and its arguments like this:
<call><name><args><object></call><end>
[user]Hi<end>
`,
    );
    expect(rendered(source, [MESSAGES[0]!], [TOOL])).toMatch(/^\[system\]You can call[^]*<end>\n\[user\]Hi<end>\n$/);
    expect(calls).toMatchObject({ trigger: "<call>", tokens: ["<call>", "<args>", "</call>"] });
  });

  it("stays as it is without tools", () => {
    expect(rendered(source, MESSAGES, null)).toBe(rendered(given, MESSAGES, null));
  });
});

it("leaves a template without tools and calls, and one that fails, alone", () => {
  for (const source of [TURNS, "{{ raise_exception('no') }}", "{% if %}"])
    expect(completeToolTemplate(source, {}, ["<|tool_call|>"])).toEqual({ source, calls: null });
});
