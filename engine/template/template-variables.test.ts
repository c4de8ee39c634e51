import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import { Tokenizer } from "../text/index.js";
import { ChatTemplate } from "./chat-template.js";
import type { TemplateVariables } from "./template-variables.js";

const read = (file: string): object => JSON.parse(readFileSync(`models/tiny/${file}`, "utf8")) as object;
const tokenizer = new Tokenizer(read("tokenizer.json"), {});
const special = tokenizer.addedTokens.find((token) => token.special)!.content;
const USER = [{ role: "user", content: "Hi" }] as const;

function rendered(template: string, variables: TemplateVariables | null) {
  return new ChatTemplate(`{{ messages[0].content }}${template}`, {}, tokenizer).render(USER, { variables });
}

const textOf = (template: string, variables: TemplateVariables | null): string => rendered(template, variables).text;

describe("variables of a request", () => {
  it("reach the template with their types", () => {
    const thinking = "{% if enable_thinking is defined and enable_thinking is false %}!{% endif %}";
    expect(textOf(thinking, { enable_thinking: false })).toBe("Hi!");
    expect(textOf(thinking, { enable_thinking: true })).toBe("Hi");
    expect(textOf(thinking, {})).toBe("Hi");
    expect(textOf(thinking, null)).toBe("Hi");
    expect(textOf("{{ a.b[1] + 1 }}{{ a.c is none }}{{ a.d == 'x' }}", { a: { b: [1, 2], c: null, d: "x" } })).toBe(
      "Hi3TrueTrue",
    );
    expect(textOf("{{ reasoning_effort | upper }}", { reasoning_effort: "low" })).toBe("HiLOW");
  });

  it("take precedence over the tokens of tokenizer_config.json", () => {
    const config = { bos_token: "<s>" };
    const template = new ChatTemplate("{{ bos_token }}{{ messages[0].content }}", config, tokenizer);
    expect(template.render(USER, { variables: { bos_token: "x" } }).text).toBe("xHi");
    expect(template.render(USER).text).toBe("<s>Hi");
  });

  it("never become special tokens, wherever their texts are", () => {
    const templates = ["{{ a }}", "{{ a.b }}", "{{ a[0].b }}"];
    const values = [special, { b: special }, [{ b: special }]];
    for (const [index, template] of templates.entries())
      expect(rendered(template, { a: values[index] }).templateTokens).toEqual([]);
    // The template itself can write it.
    expect(rendered(special, null).templateTokens).toHaveLength(1);
  });

  it.each([
    "{% for key in a %}{{ key }}{% endfor %}",
    "{% for key, value in a.items() %}{{ key }}{% endfor %}",
    "{% for key, value in a | dictsort %}{{ key }}{% endfor %}",
    "{% for key, value in a | items %}{{ key }}{% endfor %}",
    "{{ a | tojson }}",
    "{{ a }}",
    "{{ a | list | first }}",
    "{{ a.keys() | join }}",
    "{{ dict(a) | first }}",
    "{{ a.copy() | first }}",
    "{{ dict([[a | first, 1]]) | first }}",
    "{{ {a | first: 1} | first }}",
    "{% set b = {a | first: 1} %}{{ b.copy() | tojson }}",
    "{{ {messages[0].content: 1} | first }}",
  ])("never become special tokens where they are keys: %s", (template) => {
    expect(rendered(template, { a: { [special]: 1 } }).templateTokens).toEqual([]);
  });

  it("find the keys that the template has, and are found by its texts", () => {
    expect(textOf("{{ {'k': 5}[a] }}{{ b['k'] }}{{ b.k }}{{ {b | first: 7}['k'] }}", { a: "k", b: { k: 6 } })).toBe(
      "Hi5667",
    );
  });

  it("are objects with their own names only", () => {
    expect(textOf("{{ __proto__ is defined }}{{ constructor is defined }}", {})).toBe("HiFalseFalse");
    expect(textOf("{{ constructor }}", { constructor: "c" })).toBe("Hic");
  });

  const many = Object.fromEntries(
    Array.from({ length: LIMITS.maxTemplateVariables + 1 }, (_, index) => [`a${index}`, 1]),
  );
  let deep: unknown = 1;
  for (let depth = 0; depth < LIMITS.maxJsonDepth + 2; depth++) deep = [deep];
  it.each<[unknown, string, string]>([
    ["a", "invalid_type", "templateVariables"],
    [[], "invalid_type", "templateVariables"],
    [many, "out_of_range", "templateVariables"],
    [{ messages: [] }, "unsupported_value", "templateVariables.messages"],
    [{ tools: [] }, "unsupported_value", "templateVariables.tools"],
    [{ documents: [] }, "unsupported_value", "templateVariables.documents"],
    [{ add_generation_prompt: false }, "unsupported_value", "templateVariables.add_generation_prompt"],
    [{ a: "\ud800" }, "out_of_range", "templateVariables.a"],
    [{ a: { "\ud800": 1 } }, "out_of_range", 'templateVariables.a["\\ud800"]'],
    [{ "\ud800": 1 }, "out_of_range", 'templateVariables["\\ud800"]'],
    [{ ["x\n".repeat(1e6)]: Number.NaN }, "out_of_range", `templateVariables["${"x\\n".repeat(40)}..."]`],
    [{ date: "30 Nov 2026" }, "out_of_range", "templateVariables.date"],
    [{ date: "2026-02-30" }, "out_of_range", "templateVariables.date"],
    [{ date: 20261130 }, "invalid_type", "templateVariables.date"],
    [{ a: { b: ["\ud800"] } }, "out_of_range", "templateVariables.a.b[0]"],
    [{ a: Number.NaN }, "out_of_range", "templateVariables.a"],
    [{ a: undefined }, "invalid_type", "templateVariables.a"],
    [{ a: 1n }, "invalid_type", "templateVariables.a"],
    [{ a: deep }, "out_of_range", `templateVariables.a${"[0]".repeat(LIMITS.maxJsonDepth + 1)}`],
  ])("are refused: case %#", (variables, code, param) => {
    let error: unknown;
    try {
      rendered("", variables as TemplateVariables);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(EngineError);
    expect(error).toMatchObject({ code, param });
  });
});
