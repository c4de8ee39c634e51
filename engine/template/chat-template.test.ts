import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EngineError } from "../errors.js";
import { markupOf, THINKING } from "../message/message-format.js";
import { ChatTemplate, templateOf } from "./chat-template.js";
import type { ChatMessage } from "./messages.js";
import { JinjaTemplate } from "./jinja-template.js";
import { plain } from "./sourced-text.js";
import { byteLevelJson, sentencePieceJson } from "../../spec-tests/fixtures/tokenizers.js";
import { type RenderedPrompt, Tokenizer } from "../text/tokenizer.js";

const REPLACEMENT = "ï¿½"; // U+FFFD in byte-level characters; a special token here, as in SmolLM2's tokenizer
const tokenizer = new Tokenizer(
  byteLevelJson(
    [
      ["ï", "¿"],
      ["ï¿", "½"],
      ["i", "m"],
    ],
    [
      { content: "<|start|>", special: true },
      { content: "<|end|>", special: true },
      { content: "<|user|>", special: true },
      { content: "<|im|>", special: true },
      { content: "<｜User｜>" },
      { content: "<tool_call>" },
      { content: "<think>" },
      { content: "</think>" },
      { content: REPLACEMENT, special: true },
    ],
  ),
  {},
  markupOf(THINKING),
);

const CHATML =
  "{% for message in messages %}{{ '<|start|>' + message.role + '\\n' + message.content + '<|end|>\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|start|>assistant\\n' }}{% endif %}";
const TEMPLATES: Record<string, string> = {
  chatml: CHATML,
  "stripped content": CHATML.replace("message.content", "(message.content | trim)"),
  "roles in tags around the content":
    "{% for message in messages %}{{ '<|' + message.role + '|>' + message.content + '|>' }}{% endfor %}<|start|>",
  "names inside tags":
    "{% for message in messages %}{{ '<|start|>' + message.content + '<|' + message.name + '|>' }}{% endfor %}",
  "tags removed": CHATML.replace("message.content", "message.content.replace('<think>', '')"),
  "reasoning removed": CHATML.replace("message.content", "message.content.split('</think>')[-1].lstrip('\\n')"),
  "a token that is not marked special":
    "{% for message in messages %}{{ '<｜User｜>' + message.content }}{% endfor %}<think>\n",
  "text before and after": CHATML.replace("'\\n' + message.content", "'<|en' + message.content + 'nd|>'"),
};

const template = (source: string, config: object = {}): ChatTemplate =>
  new ChatTemplate(source, config, tokenizer, THINKING);
const user = (content: string): ChatMessage => ({ role: "user", content });
const reservedIds = (prompt: RenderedPrompt): number[] =>
  tokenizer.encodePrompt(prompt).filter((id) => prompt.reserved.has(id));
const namesOf = (prompt: RenderedPrompt): string[] =>
  tokenizer.encodePrompt(prompt).map((id) => tokenizer.tokenText(id));

function failure(run: () => unknown): EngineError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(EngineError);
    return error as EngineError;
  }
  throw new Error("it did not fail");
}

const piece = fc.constantFrom(
  "<|start|>",
  "<|end|>",
  "<|user|>",
  "<|im|>",
  "<｜User｜>",
  "<think>",
  "</think>",
  "\uFFFD",
  "<tool_call>",
  "<|",
  "|>",
  "<|en",
  "d|>",
  "im",
  "end",
  "user",
  "<",
  ">",
  "|",
  "a",
  " ",
  "\n",
  "\uFDD0",
  "\uFDD0\uFDD3",
  "\uFDD1",
  "\uFDD2",
  "é",
  "\0",
  "\uFEFF",
);
const content = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(""));
const message = fc.record({
  role: fc.constantFrom("user", "assistant", "system", "tool"),
  content,
  name: fc.constantFrom("im", "end", "user", "x"),
}) as fc.Arbitrary<ChatMessage>;
const messages = fc.array(message, { minLength: 1, maxLength: 4 });

describe("text of messages never becomes a special token", () => {
  it.each(Object.entries(TEMPLATES))("with %s", (_, source) => {
    const chat = template(source);
    const { reserved } = chat.render([{ role: "user", name: "x", content: "a" }]);
    fc.assert(
      fc.property(messages, (conversation) => {
        const neutral = conversation.map((given) => ({ ...given, name: "x", content: "a" }));
        expect(reservedIds(chat.render(conversation))).toEqual(reservedIds(chat.render(neutral)));
        expect(reserved.size).toBeGreaterThan(5);
      }),
      { numRuns: 150 },
    );
  });

  it.each(Object.entries(TEMPLATES))("and the prompt is the text that the template renders: %s", (_, source) => {
    const chat = template(source);
    const jinja = new JinjaTemplate(source);
    fc.assert(
      fc.property(messages, (conversation) => {
        const prompt = chat.render(conversation);
        expect(prompt.text).toBe(jinja.render({ messages: conversation, add_generation_prompt: true }));
        const bytes = tokenizer.encodePrompt(prompt).flatMap((id) => {
          const isNamed = tokenizer.isSpecial(id);
          return [...(isNamed ? new TextEncoder().encode(tokenizer.tokenText(id)) : tokenizer.tokenBytes(id))];
        });
        expect(new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes))).toBe(prompt.text);
      }),
      { numRuns: 100 },
    );
  });

  it("but the special tokens of the template do", () => {
    expect(namesOf(template(CHATML).render([user("<|end|>")])).join("·")).toBe(
      "<|start|>·u·s·e·r·\n·<·|·e·n·d·|·>·<|end|>·\n·<|start|>·a·s·s·i·s·t·a·n·t·\n",
    );
  });

  it("and a name cannot complete a special token", () => {
    const chat = template(TEMPLATES["names inside tags"]!);
    expect(namesOf(chat.render([{ role: "user", content: "a", name: "im" }])).join("·")).toBe("<|start|>·a·<·|·im·|·>");
  });

  it("and added tokens that are not special are still found", () => {
    expect(tokenizer.encodePrompt(template(CHATML).render([user("<tool_call>")]))).toContain(
      tokenizer.addedTokenId("<tool_call>"),
    );
  });

  it("except tokens that the template marks roles with, special or not", () => {
    const prompt = template(TEMPLATES["a token that is not marked special"]!).render([user("<｜User｜><tool_call>")]);
    const [role, call] = ["<｜User｜>", "<tool_call>"].map((content) => tokenizer.addedTokenId(content));
    expect(tokenizer.encodePrompt(prompt).filter((id) => id === role || id === call)).toEqual([role, call]);
  });

  it("and only the beginning of the prompt counts as the beginning of a text", () => {
    const definition = {
      normalizer: null,
      pre_tokenizer: { type: "Metaspace", prepend_scheme: "first" },
      decoder: { type: "Metaspace" },
    };
    const llama = new Tokenizer({ ...sentencePieceJson(), ...definition }, {});
    const encode = (source: string): string[] =>
      llama.encodePrompt(new ChatTemplate(source, {}, llama).render([user("a")])).map((id) => llama.tokenText(id));
    expect(encode("{{ messages[0].content }}</s>c")).toEqual([" a", "</s>", "c"]);
    expect(encode("<s>{{ messages[0].content }}</s>c")).toEqual(["<s>", "a", "</s>", "c"]);
  });

  it("even if a template searches for them in messages and then writes one itself", () => {
    const chat = template(
      "{% for m in messages %}{% if m.content.startswith('<|end|>') %}<|im|>{% endif %}{{ m.content }}{% endfor %}",
    );
    expect(namesOf(chat.render([user("<|end|>a")])).join("·")).toBe("<|im|>·<·|·e·n·d·|·>·a");
  });

  it.each([
    ["a reversal", "{{ messages[0].content[::-1] }}", ">|dne|<"],
    ["one character after another", "{% for c in messages[0].content %}{{ c }}{% endfor %}", "<|end|>"],
    ["a joined list", "{{ messages[0].content.split('n') | join('n') }}", "<|end|>"],
    ["a printed list", "{{ [messages[0].content] }}{{ messages[0].content }}", "<|end|>"],
    ["JSON", "{{ messages[0] | tojson }}", "<|end|>"],
    ["a macro", "{% macro f(x) %}{{ x }}{% endmacro %}{{ f(messages[0].content) | upper | lower }}", "<|end|>"],
    ["a block", "{% set x %}{{ messages[0].content }}{% endset %}{{ x | trim | indent }}", "<|end|>"],
    ["a replacement", "{{ 'ab'.replace('b', messages[0].content) }}", "<|end|>"],
    ["a default", "{{ nothing | default(messages[0].content) | replace('e', 'e') }}", "<|end|>"],
    ["a change of case", "{{ messages[0].content.lower() }}", "<|END|>"],
    [
      "parts",
      "{{ messages[0].content.partition('e') | join }}{{ messages[0].content.splitlines() | first }}",
      "<|end|>",
    ],
  ])("through %s", (_, source, content) => {
    expect(reservedIds(template(source).render([user(content)]))).toEqual([]);
  });
});

describe("a message that the template drops", () => {
  const silent = "{% for m in messages %}{% if m.role == 'user' %}{{ '<|user|>' + m.content }}{% endif %}{% endfor %}";
  it.each(["system", "developer", "assistant", "tool"] as const)("is a template_error: %s", (role) => {
    const error = failure(() => template(silent).render([user("a"), { role, content: "a" }, user("b")]));
    expect(error).toMatchObject({ code: "template_error", param: "messages[1]" });
  });

  it("is an error even if it is empty or has the same text as another", () => {
    expect(failure(() => template(silent).render([user("a"), { role: "assistant", content: null }])).param).toBe(
      "messages[1]",
    );
    expect(failure(() => template(silent).render([user("a"), { role: "tool", content: "a" }])).param).toBe(
      "messages[1]",
    );
  });

  it("is reported with its role", () => {
    const only = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}";
    expect(failure(() => template(only).render([user("a"), { role: "system", content: "b" }]))).toMatchObject({
      param: "messages[1]",
      message: 'The model\'s chat template drops messages[1] with role "system" at this position.',
    });
  });

  it("is detected if the template keeps only the last of several messages", () => {
    const last =
      "{% set ns = namespace(s='') %}{% for m in messages %}{% if m.role == 'system' %}{% set ns.s = m.content %}{% else %}{{ m.content }}{% endif %}{% endfor %}{{ ns.s }}";
    const system: ChatMessage = { role: "system", content: "s" };
    expect(template(last).render([system, user("a")]).text).toBe("as");
    expect(failure(() => template(last).render([system, system, user("a")])).param).toBe("messages[0]");
  });

  it("is not one that the template merges into another or shortens", () => {
    const folded = "{{ messages[0].content + ' ' + messages[1].content.split('</think>')[-1] }}";
    expect(
      template(folded).render([
        { role: "system", content: "s" },
        { role: "assistant", content: "why</think>a" },
      ]).text,
    ).toBe("s a");
    expect(template(CHATML).render([user("")]).text).toContain("user\n<|end|>");
  });
});

describe("rendering", () => {
  it("maps developer to system, null to an empty text, and parts to lines", () => {
    const shown = "{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}";
    const conversation: ChatMessage[] = [
      {
        role: "developer",
        content: [
          { type: "text", text: "a" },
          { type: "text", text: "b" },
        ],
      },
      { role: "assistant", content: null },
    ];
    expect(template(shown).render(conversation).text).toBe("[system:a\nb][assistant:]");
  });

  it("passes name and reasoning_content to the template; absent fields stay undefined", () => {
    const shown =
      "{% for m in messages %}[{{ m.name if m.name is defined else '-' }}:{{ m.reasoning_content if m.reasoning_content is defined else '-' }}:{{ m.content }}]{% endfor %}";
    const conversation: ChatMessage[] = [
      { role: "user", name: "Bo", content: "a" },
      {
        role: "assistant",
        reasoning_content: "why",
        content: "b",
        refusal: null,
        annotations: [],
        parsed: { b: 1 },
        provider_specific_fields: { refusal: null },
        audio: null,
        function_call: null,
        tool_calls: [],
      },
      { role: "assistant", name: null, reasoning_content: null, tool_calls: null, content: "c" },
    ];
    expect(template(shown).render(conversation).text).toBe("[Bo:-:a][-:why:b][-:-:c]");
  });

  it("joins the reasoning of a message and of its parts with newlines", () => {
    const shown = "{% for m in messages %}[{{ m.reasoning_content }}:{{ m.content }}]{% endfor %}";
    const answer = (fields: Partial<ChatMessage>, ...reasoning: (string | null)[]): ChatMessage => ({
      role: "assistant",
      content: reasoning.map((each) => ({ type: "text", text: "x", role: "assistant", reasoning_content: each })),
      ...fields,
    });
    const conversation = [answer({}, "a"), answer({ reasoning_content: "a" }, "b", null, "c")];
    expect(template(shown).render(conversation).text).toBe("[a:x][a\nb\nc:x\nx\nx]");
  });

  it("sets the variables that templates expect", () => {
    const config = { bos_token: { content: "<s>" }, eos_token: "</s>", pad_token: null };
    expect(
      template(
        "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ pad_token is defined }}{{ tools is none }}",
        config,
      ).render([user("a")]).text,
    ).toBe("<s>a</s>FalseTrue");
  });

  it("strips the same white space as Python", () => {
    const shown =
      "{{ messages[0].content.strip('\\n') }}|{{ messages[0].content.lstrip() }}|{{ messages[0].content | trim }}|{{ messages[0].content.rstrip(' \\n') }}";
    expect(template(shown).render([user("\n \uFEFFa\u0085 \n")]).text).toBe(
      " \uFEFFa\u0085 |\uFEFFa\u0085 \n|\uFEFFa|\n \uFEFFa\u0085",
    );
  });

  it("reports the message of raise_exception", () => {
    const error = failure(() => template("{{ raise_exception('Roles must alternate!') }}").render([user("a")]));
    expect(error).toMatchObject({ code: "template_error", param: "messages" });
    expect(error.message).toContain("Roles must alternate!");
  });

  it.each([
    ["a template with a syntax error", "{% for %}", "cannot be parsed"],
    ["an unknown filter", "{{ messages[0].content | nosuchfilter }}", "nosuchfilter"],
  ])("refuses %s", (_, source, words) => {
    const error = failure(() => template(source).render([user("a")]));
    expect(error.code).toBe("template_error");
    expect(error.message).toContain(words);
  });
});

describe("the date", () => {
  const DATED = "{{ strftime_now('%d %b %Y') }}: {{ messages[0].content }}";

  it("is the one that the caller gives", () => {
    expect(template(DATED).render([user("a")], { date: "2026-11-30" }).text).toBe("30 Nov 2026: a");
    expect(template(DATED).render([user("a")], { date: "2027-01-02" }).text).toBe("02 Jan 2027: a");
  });

  it("never depends on the clock", () => {
    expect(template(DATED).render([user("a")]).text).toBe("01 Jan 2000: a");
  });

  it("is text of the template, so a token can contain it", () => {
    const prompt = template("<|{{ strftime_now('%p').lower() }}|>{{ messages[0].content }}").render([user("a")]);
    expect(prompt.text).toBe("<|am|>a");
  });
});

/** Prompt formats of model families, in templates written for these tests. */
describe("families", () => {
  const CLOSED: ChatMessage[] = [user("q"), { role: "assistant", content: "<think>\nwhy\n</think>\n\nans" }];
  /** Like Qwen3: takes the reasoning of the last answer out of the content and puts it into new tags. */
  const REFRAMED =
    "{%- for m in messages %}{%- set body = m.content %}{%- set why = '' %}" +
    "{%- if m.reasoning_content is string %}{%- set why = m.reasoning_content %}" +
    "{%- elif '</think>' in body %}{%- set why = body.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}" +
    "{%- set body = body.split('</think>')[-1].lstrip('\\n') %}{%- endif %}" +
    "{{- '<|start|>' + m.role + '\\n' }}{%- if why and loop.last %}{{- '<think>\\n' + why.strip('\\n') + '\\n</think>\\n\\n' }}{%- endif %}" +
    "{{- body + '<|end|>\\n' }}{%- endfor %}" +
    "{%- if add_generation_prompt %}{{- '<|start|>assistant\\n' }}{%- if think is defined and think is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}";

  it("puts reasoning from a client into the template's tags, from the content or from reasoning_content", () => {
    const expected =
      "<|start|>·u·s·e·r·\n·q·<|end|>·\n·<|start|>·a·s·s·i·s·t·a·n·t·\n·<think>·\n·w·h·y·\n·</think>·\n·\n·a·n·s·<|end|>·\n·<|start|>·a·s·s·i·s·t·a·n·t·\n";
    const apart: ChatMessage[] = [user("q"), { role: "assistant", reasoning_content: "why", content: "ans" }];
    for (const conversation of [CLOSED, apart]) {
      const prompt = template(REFRAMED).render(conversation);
      expect(namesOf(prompt).join("·")).toBe(expected);
      const special = tokenizer.encodePrompt(prompt).filter((id) => prompt.reserved.has(id));
      expect(special).toContain(tokenizer.addedTokenId("<think>"));
      expect(special).toContain(tokenizer.addedTokenId("</think>"));
      expect(prompt.opensReasoning).toBe(false);
    }
  });

  it("treats empty reasoning that a template writes to disable reasoning as closed", () => {
    const off = REFRAMED.replace("think is defined and think is false", "true");
    expect(template(off).render([user("q")])).toMatchObject({
      opensReasoning: false,
      text: expect.stringMatching(/<think>\n\n<\/think>\n\n$/),
    });
  });

  it.each<[string, string, ChatMessage[], string]>([
    [
      "a first system message that goes into the user's turn (Mistral, Gemma)",
      "{%- if messages[0].role == 'system' %}{% set first = messages[0].content %}{% set rest = messages[1:] %}{%- else %}{% set rest = messages %}{%- endif %}" +
        "{{- bos_token }}{%- for m in rest %}{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{- raise_exception('turns must alternate') }}{%- endif %}" +
        "{%- if m.role == 'user' %}{{- '[INST] ' }}{%- if loop.last and first is defined %}{{- first + '\\n\\n' }}{%- endif %}{{- m.content + '[/INST]' }}" +
        "{%- else %}{{- ' ' + m.content | trim + eos_token }}{%- endif %}{%- endfor %}",
      [{ role: "system", content: "s" }, user(" a "), { role: "assistant", content: " b " }, user("c")],
      "<s>[INST]  a [/INST] b</s>[INST] s\n\nc[/INST]",
    ],
    [
      "system text collected before anything is written (DeepSeek)",
      "{% set ns = namespace(first=true, system='') %}{%- for m in messages %}{%- if m['role'] == 'system' %}" +
        "{%- if ns.first %}{% set ns.system = ns.system + m['content'] %}{% set ns.first = false %}{%- else %}{% set ns.system = ns.system + '\\n\\n' + m['content'] %}{%- endif %}" +
        "{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system }}{%- for m in messages %}{%- if m['role'] == 'user' %}{{ '<U>' + m['content'] }}" +
        "{%- elif m['role'] == 'assistant' %}{% set body = m['content'] %}{% if '</think>' in body %}{% set body = body.split('</think>')[-1] %}{% endif %}{{ '<A>' + body + eos_token }}{%- endif %}{%- endfor %}" +
        "{% if add_generation_prompt %}{{ '<A><think>\\n' }}{% endif %}",
      [{ role: "system", content: "s" }, { role: "system", content: "t" }, ...CLOSED, user("r")],
      "<s>s\n\nt<U>q<A>\n\nans</s><U>r<A><think>\n",
    ],
    [
      "a date that is used only if it is defined (Llama 3)",
      "{{- bos_token }}{%- if not date is defined %}{%- if strftime_now is defined %}{%- set date = strftime_now('%d %b') %}{%- else %}{%- set date = '26 Jul' %}{%- endif %}{%- endif %}" +
        "{{- 'Today: ' + date + '\\n' }}{%- for m in messages %}{%- if not (m.role == 'tool' or 'tool_calls' in m) %}{{- '<' + m['role'] + '>\\n\\n' + m['content'] | trim + '<eot>' }}{%- endif %}{%- endfor %}",
      [user(" a\n")],
      "<s>Today: 26 Jul\n<user>\n\na<eot>",
    ],
    [
      "a default system message (SmolLM2, Qwen2.5, Phi)",
      "{% for m in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|system|>d<|x|>\\n' }}{% endif %}{{'<|' + m['role'] + '|>' + '\\n' + m['content'] + '<|x|>' + '\\n'}}{% endfor %}",
      [user("a")],
      "<|system|>d<|x|>\n<|user|>\na<|x|>\n",
    ],
    [
      "the last question searched from the end, and tool results collected in one turn (Qwen3, Phi-4)",
      "{%- set ns = namespace(tool=true, last=messages | length - 1) %}{%- for m in messages[::-1] %}{%- set index = (messages | length - 1) - loop.index0 %}" +
        "{%- if ns.tool and m.role == 'user' and not (m.content.startswith('<r>') and m.content.endswith('</r>')) %}{%- set ns.tool = false %}{%- set ns.last = index %}{%- endif %}{%- endfor %}" +
        "{%- for m in messages %}{%- if m.role == 'tool' %}{%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<T>' }}{%- endif %}{{- m.content }}" +
        "{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '</T>' }}{%- endif %}{%- else %}{{- loop.index0 ~ ('!' if loop.index0 == ns.last else '') ~ m.content }}{%- endif %}{%- endfor %}",
      [
        user("a"),
        { role: "assistant", content: "b" },
        { role: "tool", content: "x" },
        { role: "tool", content: "y" },
        user("<r>z</r>"),
      ],
      "0!a1b<T>xy</T>4<r>z</r>",
    ],
    [
      "the tag that marks text for training (SmolLM3)",
      "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %};{% endfor %}",
      [user("a"), { role: "assistant", content: "b" }],
      "a;b;",
    ],
  ])("renders %s", (_, source, conversation, expected) => {
    expect(
      template(source, { bos_token: "<s>", eos_token: "</s>" }).render(conversation, { date: "2026-07-26" }).text,
    ).toBe(expected);
  });

  it("recognizes reasoning tags with other names in the template, but not in messages", () => {
    const tags = { open: "[THINK]", close: "[/THINK]" };
    const other = new Tokenizer(
      byteLevelJson(
        [],
        [
          { content: "[THINK]", special: true },
          { content: "[/THINK]", special: true },
        ],
      ),
      {},
      [tags.open, tags.close],
    );
    const prompt = new ChatTemplate("{{ messages[0].content }}[THINK]", {}, other, {
      reasoning: tags,
      calls: null,
    }).render([user("[THINK]")]);
    expect(prompt.opensReasoning).toBe(true);
    const ids = other.encodePrompt(prompt);
    expect(ids.filter((id) => id === other.addedTokenId("[THINK]"))).toHaveLength(1);
    expect(other.decode(ids)).toBe("[THINK][THINK]");
    expect(other.isSpecial(ids.at(-1)!)).toBe(false);
  });
});

describe("choice of the template", () => {
  const make = (file: string | null, config: object): ChatTemplate => new ChatTemplate(file, config, tokenizer);
  it("prefers the file, then the configuration; of several, the one named default or that with tools", () => {
    const named = [
      { name: "tool_use", template: "\nt{{ messages[0].content }} \n" },
      { name: "default", template: "d{{ messages[0].content }}" },
    ];
    expect(make("f{{ messages[0].content }}", { chat_template: "c" }).render([user("a")]).text).toBe("fa");
    expect(make(null, { chat_template: "c{{ messages[0].content }}" }).render([user("a")]).text).toBe("ca");
    expect(make(null, { chat_template: named }).render([user("a")]).text).toBe("da");
    const either = new JinjaTemplate(templateOf({ chat_template: named })!);
    const given = { messages: [user("a")], tools: [] };
    expect(plain(either.render(given as never))).toBe("da");
    expect(plain(either.render({ ...given, tools: [{}] } as never))).toBe("\nta ");
  });

  it("reports a missing template only when rendering", () => {
    const error = failure(() => make(null, {}).render([user("a")]));
    expect(error).toMatchObject({ code: "template_error", message: "The model has no chat template." });
  });
});

describe("a template that cannot be used", () => {
  it("reports the reason when rendering", () => {
    const broken = template("{% if %}");
    expect([broken.canRender, template(CHATML).canRender, new ChatTemplate(null, {}, tokenizer).canRender]).toEqual([
      false,
      true,
      false,
    ]);
    expect(failure(() => broken.render([user("a")]))).toMatchObject({
      code: "template_error",
      param: "messages",
      message: expect.stringMatching(/^The model's chat template cannot be parsed: ./) as string,
      cause: expect.any(Error) as Error,
    });
    expect(failure(() => new ChatTemplate(null, {}, tokenizer).render([user("a")]))).toMatchObject({
      param: "messages",
      message: "The model has no chat template.",
    });
  });

  it("is a list without a default, or a default that is not a string", () => {
    for (const chatTemplate of [
      [],
      {},
      7,
      [{ name: "tools", template: CHATML }],
      [{ name: "default", template: 7 }],
      [null, "default"],
    ]) {
      expect(new ChatTemplate(null, { chat_template: chatTemplate }, tokenizer).canRender).toBe(false);
    }
  });
});

describe("special tokens by name", () => {
  const shown = (name: string, config: object): string =>
    template(`{{ ${name} }}{{ messages[0].content }}`, config).render([user("")]).text;

  it.each(["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"])(
    "defines %s",
    (name) => {
      expect(shown(name, { [name]: "<x>" })).toBe("<x>");
      expect(shown(name, { [name]: { content: "<y>" } })).toBe("<y>");
      expect(shown(name, { [name]: null })).toBe("");
      expect(shown(name, { other: "<x>" })).toBe("");
    },
  );

  it("defines extra and additional special tokens", () => {
    const config = {
      extra_special_tokens: { image_token: "<i>", video_token: { content: "<v>" } },
      additional_special_tokens: ["<a>", { content: "<b>" }],
    };
    expect(shown("image_token + video_token", config)).toBe("<i><v>");
    expect(shown("additional_special_tokens | join", config)).toBe("<a><b>");
    expect(shown("additional_special_tokens is defined", {})).toBe("False");
  });
});

describe("keys of variables that are arguments of a call", () => {
  const f = (body: string): string => `{% macro f() %}${body}{% endmacro %}`;
  it.each([
    `${f("{{ kwargs | tojson }}")}{{ f(**v) }}`,
    `${f("{{ kwargs }}")}{{ f(a=1, **v) }}`,
    `${f("{% for k in kwargs %}{{ k }}{% endfor %}")}{{ f(**v) }}`,
    `${f("{{ kwargs | first }}{{ caller() }}")}{% call f(**v) %}{% endcall %}`,
    `${f("{{ dict(**kwargs) }}")}{{ f(**v) }}`,
    "{{ dict(**v) }}",
    "{{ dict(**dict(**v)) | list }}",
    "{{ '%s' | format(**v) }}",
  ])("never become special tokens: %s", (source) => {
    const token = "<|start|>";
    const written = (variables: object): string[] =>
      template(`{{ messages[0].content }}${source}`)
        .render([user("a")], { variables: { v: variables } })
        .templateTokens.map((each) => each.token.content);
    expect(written({ [token]: 1 })).toEqual([]);
    expect(written({ b: 1 })).toEqual([]);
    // The same key is a token if the template writes it.
    const own = `{{ messages[0].content }}{% set v = {'${token}': 1} %}${source}`;
    expect(template(own).render([user("a")]).templateTokens.length).toBeGreaterThan(0);
  });
});

describe("texts that are no sequence of characters", () => {
  it.each(["{{ '\\ud83d' }}", "{{ '\\ude00' }}", "{{ '%c' % 55357 }}", "{{ '{:c}'.format(55357) }}"])(
    "are refused: %s",
    (source) => {
      const error = failure(() => template(`${source}{{ messages[0].content }}`).render([user("a")]));
      expect(error).toMatchObject({ code: "template_error", param: "messages" });
      expect(error.message).toContain("a part of a surrogate pair");
    },
  );

  it("are none of the characters that two code units stand for", () => {
    expect(template("{{ '%c' % 128512 }}{{ messages[0].content }}").render([user("🎉")]).text).toBe("😀🎉");
  });
});

describe("integers of a request", () => {
  it("are refused if they may not be exact", () => {
    const render = (x: unknown): unknown =>
      template("{{ x }}{{ messages[0].content }}").render([user("a")], { variables: { x } });
    for (const x of [1152921504606846976, 2 ** 53, -(2 ** 53), 1e21, [{ y: 1e300 }]]) {
      const error = failure(() => render(x));
      expect(error).toMatchObject({ code: "template_error" });
      expect(error.message).toContain("an integer beyond 2^53 is not supported");
    }
    expect(render(2 ** 53 - 1)).toMatchObject({ text: "9007199254740991a" });
    expect(render(1.5)).toMatchObject({ text: "1.5a" });
  });
});

describe("tokens that are not marked special", () => {
  const reserves = (source: string): boolean =>
    template(source)
      .render([user("hello")])
      .reserved.has(tokenizer.addedTokenId("<tool_call>")!);

  it("are reserved if the template writes them in any conversation that it accepts", () => {
    expect(reserves("{{ '<tool_call>' + messages[0].content }}")).toBe(true);
    const last = "{% for m in messages %}{{ m.content }}{% if m.role == 'tool' %}<tool_call>{% endif %}{% endfor %}";
    expect(reserves(last)).toBe(true);
    expect(reserves(last.replace("'tool'", "'system'"))).toBe(true);
    expect(reserves(last.replace("'tool'", "'assistant'"))).toBe(true);
    // A refused conversation shows nothing about the others.
    expect(reserves(`{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}${last}`)).toBe(true);
  });

  it("are not reserved if the template does not write them, or only in conversations that it refuses", () => {
    expect(reserves(CHATML)).toBe(false);
    const picky =
      "{% if messages | length > 1 %}{{ raise_exception('one at a time') }}{% endif %}{{ messages[0].content }}";
    expect(reserves(`${picky}{% if messages | length > 1 %}<tool_call>{% endif %}`)).toBe(false);
  });

  it("are never reserved if they are plain words", () => {
    const words = new Tokenizer(byteLevelJson([], [{ content: "user" }, { content: "\n\n" }, { content: "<u>" }]), {});
    const { reserved } = new ChatTemplate("user\n\n<u>{{ messages[0].content }}", {}, words).render([user("a")]);
    expect([...reserved]).toEqual([words.addedTokenId("<u>")]);
  });
});

describe("opensReasoning", () => {
  it.each([
    ["a template that opens the reasoning", "{{ messages[0].content }}<think>\n", "a", true],
    ["a template with white space after the tag", "{{ messages[0].content }}<think>\n\n \n\n", "a", true],
    ["a template that opens and closes the reasoning", "{{ messages[0].content }}<think>\n\n</think>\n\n", "a", false],
    ["a template without reasoning", "{{ messages[0].content }}", "a", false],
    ["a user message with the tag", "{{ messages[0].content }}", "<think>", false],
    [
      "a user message with the tag after closed reasoning",
      "<think></think>{{ messages[0].content }}",
      "<think>\n",
      false,
    ],
    ["a tag followed by other text", "<think> in this tag {{ messages[0].content }}", "a", false],
  ])("is right for %s", (_, source, text, expected) => {
    expect(template(source).render([user(text)]).opensReasoning).toBe(expected);
    // The result is the same if the tokenizer has no tokens for the tags.
    const plain = new Tokenizer(byteLevelJson([], []), {});
    const prompt = new ChatTemplate(source, {}, plain, THINKING).render([user(text)]);
    expect({ opensReasoning: prompt.opensReasoning, templateTokens: prompt.templateTokens }).toEqual({
      opensReasoning: expected,
      templateTokens: [],
    });
  });
});

describe("validation of messages", () => {
  const lone = "\uD800";
  it.each<[string, unknown, string, string | null]>([
    ["missing messages", undefined, "missing_required_parameter", "messages"],
    ["a string", "hi", "invalid_type", "messages"],
    ["an empty list", [], "out_of_range", "messages"],
    ["a message that is not an object", ["hi"], "invalid_type", "messages[0]"],
    ["a message without a role", [{ content: "a" }], "missing_required_parameter", "messages[0].role"],
    ["a role of another type", [{ role: 1, content: "a" }], "invalid_type", "messages[0].role"],
    ["an unknown role", [{ role: "bot", content: "a" }], "unsupported_value", "messages[0].role"],
    ["a message without content", [user("a"), { role: "user" }], "missing_required_parameter", "messages[1].content"],
    ["null content of a user", [{ role: "user", content: null }], "missing_required_parameter", "messages[0].content"],
    ["a number as content", [{ role: "user", content: 1 }], "invalid_type", "messages[0].content"],
    ["an empty list of parts", [{ role: "user", content: [] }], "out_of_range", "messages[0].content"],
    [
      "an image",
      [{ role: "user", content: [{ type: "image_url" }] }],
      "unsupported_value",
      "messages[0].content[0].type",
    ],
    [
      "a part without text",
      [{ role: "user", content: [{ type: "text" }] }],
      "missing_required_parameter",
      "messages[0].content[0].text",
    ],
    [
      "a part with another field",
      [{ role: "user", content: [{ type: "text", text: "", x: 1 }] }],
      "unknown_parameter",
      "messages[0].content[0].x",
    ],
    ["a lone surrogate", [{ role: "user", content: lone }], "out_of_range", "messages[0].content"],
    [
      "a lone surrogate in a part",
      [{ role: "user", content: [{ type: "text", text: lone }] }],
      "out_of_range",
      "messages[0].content[0].text",
    ],
    [
      "a lone surrogate in the reasoning",
      [{ role: "assistant", content: "", reasoning_content: lone }],
      "out_of_range",
      "messages[0].reasoning_content",
    ],
    ["a long name", [{ role: "user", content: "a", name: "x".repeat(65) }], "out_of_range", "messages[0].name"],
    ["a name with a space", [{ role: "user", content: "a", name: "a b" }], "out_of_range", "messages[0].name"],
    ["an empty name", [{ role: "user", content: "a", name: "" }], "out_of_range", "messages[0].name"],
    ["a name that is not a string", [{ role: "user", content: "a", name: 1 }], "invalid_type", "messages[0].name"],
    [
      "reasoning of a user",
      [{ role: "user", content: "a", reasoning_content: "b" }],
      "unknown_parameter",
      "messages[0].reasoning_content",
    ],
    [
      "a call without an id",
      [{ role: "assistant", content: "a", tool_calls: [{}] }],
      "missing_required_parameter",
      "messages[0].tool_calls[0].id",
    ],
    ["a refusal", [{ role: "assistant", content: "a", refusal: "no" }], "unsupported_parameter", "messages[0].refusal"],
    ["another field", [{ role: "user", content: "a", color: null }], "unknown_parameter", "messages[0].color"],
    [
      "a field with the name of an inherited property",
      [{ role: "assistant", content: "a", toString: null }],
      "unknown_parameter",
      "messages[0].toString",
    ],
  ])("%s is refused", (_, given, code, param) => {
    expect(failure(() => template(CHATML).render(given as ChatMessage[]))).toMatchObject({ code, param });
  });

  const given = (message: object): unknown => [{ role: "user", content: "a", ...message }];
  const answered = (message: object): unknown => given({ role: "assistant", ...message });
  it.each<[unknown, string]>([
    [null, "messages is required and is absent or null."],
    ["hi", 'messages must be an array of messages. Given: "hi"'],
    [[], "messages must have at least 1 message. Given: an empty array"],
    [[null], "messages[0] must be an object. Given: null"],
    [given({ role: null }), "messages[0].role is required and is absent or null."],
    [given({ role: [] }), "messages[0].role must be a string. Given: an empty array"],
    [
      given({ role: "bot" }),
      'messages[0].role must be "system" or "developer" or "user" or "assistant" or "tool". Given: "bot"',
    ],
    [given({ content: 1 }), "messages[0].content must be a string or an array of text parts. Given: 1"],
    [given({ content: [] }), "messages[0].content must have at least 1 part. Given: an empty array"],
    [given({ content: ["a"] }), 'messages[0].content[0] must be an object. Given: "a"'],
    [given({ content: [{ text: "a" }] }), "messages[0].content[0].type is required and is absent or null."],
    [given({ content: [{ type: null }] }), "messages[0].content[0].type is required and is absent or null."],
    [given({ content: [{ type: 1 }] }), "messages[0].content[0].type must be a string. Given: 1"],
    [given({ content: [{ type: "x" }] }), 'messages[0].content[0].type must be "text". Given: "x"'],
    [
      given({ content: [{ type: "text", text: null }] }),
      "messages[0].content[0].text is required and is absent or null.",
    ],
    [given({ content: [{ type: "text", text: 1 }] }), "messages[0].content[0].text must be a string. Given: 1"],
    [given({ name: 1 }), "messages[0].name must be a string. Given: 1"],
    [
      given({ name: `${"a".repeat(70)} ${"b".repeat(20)}` }),
      `messages[0].name must be 1 to 64 of A-Z, a-z, 0-9, _ and -. Given: "${"a".repeat(70)} ${"b".repeat(9)}..."`,
    ],
    [given({ name: "-é" }), 'messages[0].name must be 1 to 64 of A-Z, a-z, 0-9, _ and -. Given: "-é"'],
    [given({ color: 1 }), "messages[0].color is not a known field."],
    [given({ refusal: null }), "messages[0].refusal is not a known field."],
    [answered({ audio: [] }), "messages[0].audio is not supported; it may only be null. Given: an empty array"],
    [
      answered({ function_call: {} }),
      "messages[0].function_call is not supported; it may only be null. Given: an object",
    ],
    [answered({ annotations: {} }), "messages[0].annotations must be an array. Given: an object"],
    [given({ id: 1 }), "messages[0].id must be a string. Given: 1"],
    [given({ cache_control: "a" }), 'messages[0].cache_control must be an object. Given: "a"'],
    [
      given({ content: [{ type: "text", text: "a", refusal: "no" }] }),
      'messages[0].content[0].refusal is not supported; it may only be null. Given: "no"',
    ],
    [answered({ tool_calls: {} }), "messages[0].tool_calls must be an array of calls. Given: an object"],
    [answered({ reasoning_content: 1 }), "messages[0].reasoning_content must be a string. Given: 1"],
    [
      answered({ provider_specific_fields: [] }),
      "messages[0].provider_specific_fields must be an object. Given: an empty array",
    ],
    [given({ parsed: 1 }), "messages[0].parsed is not a known field."],
    [
      answered({ content: [{ type: "text", text: "a", reasoning_content: 1 }] }),
      "messages[0].content[0].reasoning_content must be a string. Given: 1",
    ],
    [
      given({ content: [{ type: "text", text: "a", reasoning_content: "a" }] }),
      "messages[0].content[0].reasoning_content is not a known field.",
    ],
  ])("%j: the error states what is allowed and what was given", (messages, text) => {
    expect(failure(() => template(CHATML).render(messages as ChatMessage[])).message).toBe(text);
  });

  it("undefined fields and a name of 64 characters are accepted", () => {
    const name = "aZ0_-".padEnd(64, "x");
    const chat = template("{% for m in messages %}[{{ m.name }}:{{ m.content }}]{% endfor %}");
    expect(chat.render([{ role: "user", content: "a", name, color: undefined } as ChatMessage]).text).toBe(
      `[${name}:a]`,
    );
  });

  it("NUL is accepted as ordinary text", () => {
    expect(template(CHATML).render([user("a\0b")]).text).toContain("a\0b");
  });
});
