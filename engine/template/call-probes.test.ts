import { describe, expect, it } from "vitest";
import { EngineError } from "../errors.js";
import { type CallForm, writtenCalls } from "../message/index.js";
import { callFormOf, deriveCallForm } from "./call-probes.js";
import { JinjaTemplate } from "./jinja-template.js";

interface Parts {
  /** What a template writes for an assistant message with calls. */
  readonly assistant: string;
  readonly tools?: string;
  /** What it adds to be answered. */
  readonly prompt?: string;
  /** What it writes after a message. */
  readonly end?: string;
}

/** A template that writes tools and turns, with this text for the answers. */
const template = ({ assistant, tools = "{{ tools | tojson }}", prompt = "", end = "<end>" }: Parts): string =>
  `{{ bos }}{% if tools %}${tools}{% endif %}{% for m in messages %}[{{ m.role }}]{% if m.role == "assistant" %}${assistant}{% else %}{{ m.content }}{% endif %}${end}\n{% endfor %}{% if add_generation_prompt %}${prompt}{% endif %}`;

const each = (call: string, separator = ""): string =>
  `{% for c in m.tool_calls %}{% if not loop.first %}{{ ${JSON.stringify(separator)} }}{% endif %}${call}{% endfor %}`;
const JSON_CALL = '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}';
const TEXT_JSON_CALL = '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments }}}';

const derived = (parts: Parts, tokens: readonly string[] = []): CallForm =>
  deriveCallForm(new JinjaTemplate(template(parts)), { bos: "<s>" }, tokens);

const CALLS = [
  { name: "f", json: '{"a": 1}' },
  { name: "g", json: "{}" },
];

describe("the form of calls", () => {
  it.each<[string, Parts, readonly string[], Partial<CallForm>, string]>([
    [
      "each in tags, after text",
      {
        assistant: `{{ m.content }}{% if m.content and m.tool_calls %}{{ "\\n" }}{% endif %}${each(`<call>\n${JSON_CALL}\n</call>`, "\n")}`,
      },
      [],
      { trigger: "<call>", mayFollowText: true, argumentsAs: "object" },
      '<call>\n{"name": "f", "arguments": {"a": 1}}\n</call>\n<call>\n{"name": "g", "arguments": {}}\n</call>',
    ],
    [
      "a list after a token, without text",
      { assistant: `{% if m.tool_calls %}[CALLS] [${each(JSON_CALL, ", ")}]{% else %}{{ m.content }}{% endif %}` },
      ["[CALLS]", "[OTHER]"],
      { trigger: "[CALLS]", mayFollowText: false, tokens: ["[CALLS]"], open: "[CALLS] [", close: "]" },
      '[CALLS] [{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": {}}]',
    ],
    [
      "a list with ids, which models do not write",
      {
        assistant: `{% if m.tool_calls %}[CALLS][${each('{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}, "id": "{{ c.id }}"}', ", ")}]{% else %}{{ m.content }}{% endif %}`,
      },
      ["[CALLS]"],
      { after: "}" },
      '[CALLS][{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": {}}]',
    ],
    [
      "names between tokens",
      {
        assistant: `{{ m.content }}{% if m.tool_calls %}<calls>${each("<call>{{ c.function.name }}<args>{{ c.function.arguments | tojson }}</call>")}</calls>{% endif %}`,
      },
      ["<calls>", "</calls>", "<call>", "<args>", "</call>"],
      { trigger: "<calls>", between: "<args>" },
      '<calls><call>f<args>{"a": 1}</call><call>g<args>{}</call></calls>',
    ],
    [
      "names in tags",
      {
        assistant: `{{ m.content }}${each("<function={{ c.function.name }}>{{ c.function.arguments | tojson }}</function>")}`,
      },
      [],
      { trigger: "<function=", before: "<function=", between: ">", after: "</function>" },
      '<function=f>{"a": 1}</function><function=g>{}</function>',
    ],
    [
      "arguments as text",
      { assistant: `{{ m.content }}${each(`<call>${TEXT_JSON_CALL}</call>`)}` },
      [],
      { argumentsAs: "text" },
      '<call>{"name": "f", "arguments": {"a": 1}}</call><call>{"name": "g", "arguments": {}}</call>',
    ],
    [
      "arguments before names",
      {
        assistant: `{{ m.content }}${each('<call>{"arguments": {{ c.function.arguments | tojson }}, "name": "{{ c.function.name }}"}</call>', "\n")}`,
      },
      [],
      { isNameFirst: false, before: '<call>{"arguments": ', after: '"}</call>' },
      '<call>{"arguments": {"a": 1}, "name": "f"}</call>\n<call>{"arguments": {}, "name": "g"}</call>',
    ],
    [
      "one call of JSON alone",
      {
        assistant: `{% if m.tool_calls %}{% if m.tool_calls | length > 1 %}{{ raise_exception("one at most") }}{% endif %}${each(JSON_CALL)}{% else %}{{ m.content }}{% endif %}`,
      },
      [],
      { separator: null, trigger: null, mayFollowText: false },
      '{"name": "f", "arguments": {"a": 1}}',
    ],
    [
      "arguments over several lines",
      {
        assistant: `{{ m.content }}${each("<call>{{ c.function.name }}\n{{ c.function.arguments | tojson(indent=2) }}</call>")}`,
      },
      [],
      { between: "\n" },
      '<call>f\n{"a": 1}</call><call>g\n{}</call>',
    ],
    [
      "numbers after names",
      {
        assistant: `{{ m.content }}${each("<call>f.{{ c.function.name }}:{{ loop.index0 }} {{ c.function.arguments | tojson }}</call>")}`,
      },
      [],
      { before: "<call>f.", between: " ", tag: { kind: "number", isBeforeName: false, text: ":" } },
      '<call>f.f:0 {"a": 1}</call><call>f.g:1 {}</call>',
    ],
    [
      "ids after names, of nine characters only",
      {
        assistant: `{{ m.content }}${each('{% if c.id | length != 9 %}{{ raise_exception("nine!") }}{% endif %}[CALL]{{ c.function.name }}[ID]{{ c.id }}[ARGS]{{ c.function.arguments | tojson }}')}`,
      },
      ["[CALL]"],
      { between: "[ARGS]", tag: { kind: "id", isBeforeName: false, text: "[ID]" }, hasShortIds: true },
      '[CALL]f[ID]000000000[ARGS]{"a": 1}[CALL]g[ID]000000001[ARGS]{}',
    ],
    [
      "numbers before names",
      {
        assistant: `{{ m.content }}${each('<call>{"id": "{{ loop.index0 }}", "name": "{{ c.function.name }}", "parameters": {{ c.function.arguments | tojson }}}</call>', ",\n")}`,
      },
      [],
      { before: '<call>{"id": "', tag: { kind: "number", isBeforeName: true, text: '", "name": "' } },
      '<call>{"id": "0", "name": "f", "parameters": {"a": 1}}</call>,\n<call>{"id": "1", "name": "g", "parameters": {}}</call>',
    ],
    [
      "ids before names",
      {
        assistant: `{{ m.content }}{% if m.tool_calls %}<calls>${each("<call>{{ c.id }}<name>{{ c.function.name }}<args>{{ c.function.arguments | tojson }}</call>")}</calls>{% endif %}`,
      },
      ["<calls>", "</calls>", "<call>", "<name>", "<args>", "</call>"],
      { between: "<args>", tag: { kind: "id", isBeforeName: true, text: "<name>" } },
      '<calls><call>000000000<name>f<args>{"a": 1}</call><call>000000001<name>g<args>{}</call></calls>',
    ],
    [
      "tokens before and after the text of an answer only",
      {
        assistant: `{% if m.tool_calls %}<calls>${each(JSON_CALL, ", ")}</calls>{% else %}<text>{{ m.content }}</text>{% endif %}`,
        prompt: "[assistant]",
      },
      ["<text>", "</text>", "<calls>", "</calls>"],
      { trigger: "<calls>", mayFollowText: false },
      '<calls>{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": {}}',
    ],
    [
      "reasoning before the text of an answer only",
      {
        assistant: `{% if m.tool_calls %}<calls>${each(JSON_CALL, ", ")}</calls><end>{% else %}<think>\n{{ m.content }}\n<end>{% endif %}`,
        end: "",
      },
      ["<end>"],
      { trigger: "<calls>", close: "</calls>" },
      '<calls>{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": {}}</calls>',
    ],
    [
      "the first call only",
      {
        assistant: `{% if m.tool_calls %}{% set c = m.tool_calls[0] %}<call>${JSON_CALL}</call>{% else %}{{ m.content }}{% endif %}`,
      },
      [],
      { separator: null },
      '<call>{"name": "f", "arguments": {"a": 1}}</call>',
    ],
    [
      "parameters in tags, with Python's words",
      {
        assistant: `{{ m.content }}${each("<call>\n<function={{ c.function.name }}>\n{% for k, v in c.function.arguments | items %}<parameter={{ k }}>\n{{ v | tojson if v is mapping else v | string }}\n</parameter>\n{% endfor %}</function>\n</call>", "\n")}`,
      },
      [],
      { trigger: "<call>", before: "<call>\n<function=" },
      "<call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n</function>\n</call>\n<call>\n<function=g>\n</function>\n</call>",
    ],
    [
      "keys and values in tags",
      {
        assistant: `{{ m.content }}${each("<call>{{ c.function.name }}\n{% for k, v in c.function.arguments.items() %}<key>{{ k }}</key>\n<value>{{ v | tojson if v is not string else v }}</value>\n{% endfor %}</call>")}`,
      },
      [],
      { trigger: "<call>" },
      "<call>f\n<key>a</key>\n<value>1</value>\n</call><call>g\n</call>",
    ],
    [
      "strings that are marked",
      {
        assistant: `{{ m.content }}${each("<call><i n={{ c.function.name }}>{% for k, v in c.function.arguments.items() %}<p n={{ k }} string={{ 'true' if v is string else 'false' }}>{{ v if v is string else v | tojson }}</p>{% endfor %}</i></call>")}`,
      },
      [],
      { trigger: "<call>" },
      "<call><i n=f><p n=a string=false>1</p></i></call><call><i n=g></i></call>",
    ],
    [
      "keyword arguments",
      {
        assistant: `{{ m.content }}{% if m.tool_calls %}<|call|>[${each(`{{ c.function.name }}({% for k, v in c.function.arguments.items() %}{{ ", " if not loop.first }}{{ k }}={{ "'" + v + "'" if v is string else v | string }}{% endfor %})`, ", ")}]<|end|>{% endif %}`,
      },
      ["<|call|>", "<|end|>"],
      { open: "<|call|>[", close: "]<|end|>", between: "(", after: ")" },
      "<|call|>[f(a=1), g()]<|end|>",
    ],
    [
      "a token at the end that begins like the end of a turn",
      {
        assistant: `{% if m.tool_calls %}<call>${JSON_CALL.replaceAll("c.", "m.tool_calls[0].")}</call><eom{% else %}{{ m.content }}<eot{% endif %}`,
      },
      ["<eom<end>", "<eot<end>"],
      { close: "", after: "}</call>" },
      '<call>{"name": "f", "arguments": {"a": 1}}</call>',
    ],
  ])("%s", (_, parts, tokens, expected, text) => {
    const form = derived(parts, tokens);
    expect(form).toMatchObject(expected);
    expect(writtenCalls(form, form.separator === null ? CALLS.slice(0, 1) : CALLS)).toBe(text);
  });

  it.each<[string, Parts, RegExp]>([
    ["a template without tools", { assistant: each(JSON_CALL), tools: "Tools!" }, /does not write the tools/],
    ["calls that are not written", { assistant: "{{ m.content }}" }, /form that is not known: ""/],
    [
      "other syntax",
      { assistant: `{{ m.content }}${each("{{ c.function.name }}(key_zq_one=1)")}` },
      /not known: "name_zq_one\(/,
    ],
    [
      "parameters whose strings are escaped",
      {
        assistant: `{{ m.content }}${each("<f>{{ c.function.name }}({% for k, v in c.function.arguments.items() %}{{ ', ' if not loop.first }}{{ k }}={{ v | tojson }}{% endfor %})</f>")}`,
      },
      /not known: "<f>name_zq_one\(key_zq_one=\\"value zq one\\"\)<\/f>"/,
    ],
    [
      "parameters without ends",
      {
        assistant: `{{ m.content }}${each("<f {{ c.function.name }}>{% for k, v in c.function.arguments.items() %} {{ k }} {{ v }}{% endfor %}</f>")}`,
      },
      /not known: "<f name_zq_one> key_zq_one value zq one<\/f>"/,
    ],
    [
      "an id of a call twice",
      { assistant: `{{ m.content }}${each(`{{ c.id }}, {{ c.id }}: ${JSON_CALL}`)}` },
      /writes the id of a call: "call_0123456789abcdefzqid000/,
    ],
    [
      "a name without an end",
      { assistant: `{{ m.content }}${each("<call>{{ c.function.name }}{{ c.function.arguments | tojson }}")}` },
      /no end after the name/,
    ],
    [
      "numbered calls",
      { assistant: `{{ m.content }}${each(`{{ loop.index }}. ${JSON_CALL}`, "\n")}` },
      /form that is not known/,
    ],
    ["a template that fails", { assistant: "{{ m.content.x.y }}" }, /The model's chat template failed/],
  ])("is refused with its text: %s", (_, parts, message) => {
    expect(() => derived(parts)).toThrow(
      expect.objectContaining({ code: "template_error", message: expect.stringMatching(message) as string }),
    );
    expect(() => derived(parts)).toThrow(EngineError);
    expect(callFormOf(template(parts), {}, [])).toBeNull();
  });

  it("is null without a template, and for one that cannot be parsed", () => {
    expect(callFormOf(null, {}, [])).toBeNull();
    expect(callFormOf("{% if %}", {}, [])).toBeNull();
  });
});
