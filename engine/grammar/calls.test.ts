import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { accepts, matcherOf, tokensOf, utf8 } from "../../spec-tests/fixtures/grammars.js";
import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { type CallMarkup, type CallsFormat, Grammar, GrammarCache, VocabularyTrie } from "./index.js";

const MARKUP: CallMarkup = {
  open: "",
  separator: "\n",
  close: "",
  before: '<call>\n{"name": "',
  between: '", "arguments": ',
  after: "}\n</call>",
  isNameFirst: true,
  tag: null,
  parameters: null,
};
const HERMES: CallsFormat = {
  type: "calls",
  markup: MARKUP,
  calls: [
    { name: "add", schema: { type: "array", items: { type: "integer" } } },
    { name: "say", schema: { enum: [{ text: "a" }] } },
  ],
  isRequired: false,
  maxCalls: Infinity,
  trigger: "<call>",
  isTriggerAnywhere: true,
  mayFollowText: true,
  otherwise: null,
  notes: [],
};
const LIST: CallsFormat = {
  ...HERMES,
  markup: { ...MARKUP, open: "[CALLS][", separator: ", ", close: "]" },
  trigger: "[CALLS]",
};
const ADD = '<call>\n{"name": "add", "arguments": [1, 2]}\n</call>';
const SAY = '<call>\n{"name": "say", "arguments": {"text": "a"}}\n</call>';

const cache = new GrammarCache(1e8);
const grammarOf = (format: CallsFormat): Grammar => Grammar.fromData(cache.get(format).data);

describe("calls of tools", () => {
  it.each<[string, CallsFormat, readonly string[], readonly string[]]>([
    [
      "after free text",
      HERMES,
      ["", "Hi", ADD, `Hi\n${ADD}\n${SAY}`, "<call", `<<call>${SAY.slice(6)}`],
      ["<call>", `${ADD}${ADD}`, `${ADD}\n`, `${ADD} bye`, `${ADD}\nbye`, ADD.replace("add", "sub")],
    ],
    ["required", { ...HERMES, isRequired: true }, [ADD, `${SAY}\n${ADD}\n${SAY}`], ["", "Hi", `Hi ${ADD}`, ` ${ADD}`]],
    ["one at most", { ...HERMES, maxCalls: 1 }, ["Hi", ADD, `Hi ${SAY}`], [`${ADD}\n${SAY}`, `${ADD}\n`]],
    [
      "in a list",
      LIST,
      [`[CALLS][${ADD}]`, `so [CALLS][${ADD}, ${SAY}]`, ADD, "[CALLS"],
      ["[CALLS]", "[CALLS][]", `[CALLS][${ADD},]`, `[CALLS][${ADD}`, `[CALLS][${ADD}] [CALLS][${SAY}]`],
    ],
    [
      "without an own beginning: only at the start",
      { ...HERMES, trigger: '<call>\n{"name": "', isTriggerAnywhere: false },
      ["", "Hi", ADD, `${ADD}\n${SAY}`, `Hi ${ADD} there`, '<call>\n{"name'],
      [`${ADD} bye`, '<call>\n{"name": "a', '<call>\n{"name": "add", "arguments": x'],
    ],
    ["or text without calls", { ...HERMES, mayFollowText: false }, ["Hi", ADD, "<call"], [`Hi ${ADD}`, "Hi <call>"]],
    [
      "with numbers after the names",
      { ...HERMES, markup: { ...MARKUP, tag: { kind: "number", isBeforeName: false, text: ":" } } },
      [ADD.replace("add", "add:0"), SAY.replace("say", "say:12")],
      [ADD, ADD.replace("add", "add:"), ADD.replace("add", "add:01"), ADD.replace("add", "add0")],
    ],
    [
      "with ids after the names",
      { ...HERMES, markup: { ...MARKUP, tag: { kind: "id", isBeforeName: false, text: "#" } } },
      [ADD.replace("add", "add#0aZ456789")],
      [ADD, ADD.replace("add", "add#0aZ45678"), ADD.replace("add", "add#0aZ45678-")],
    ],
    [
      "after their arguments",
      {
        ...HERMES,
        markup: { ...MARKUP, before: '<call>{"a": ', between: ', "name": "', after: '"}</call>', isNameFirst: false },
      },
      ['<call>{"a": [1], "name": "add"}</call>', 'Hi<call>{"a": {"text":"a"}, "name": "say"}</call>'],
      ['<call>{"a": [1], "name": "say"}</call>', '<call>{"name": "add", "a": [1]}</call>'],
    ],
    ["never", { ...HERMES, calls: [], maxCalls: 0 }, ["", "Hi", "<call"], [ADD, "Hi <call>"]],
    [
      "never at the start",
      { ...HERMES, calls: [], maxCalls: 0, trigger: '{"name": "', isTriggerAnywhere: false },
      ["", "Hi", '{"name"', 'x{"name": "'],
      ['{"name": "', '{"name": "add'],
    ],
    [
      "or an answer in a format",
      { ...HERMES, otherwise: { type: "json_schema", schema: { type: "boolean" } } },
      ["true", ADD, `${ADD}\n${ADD}`],
      ["Hi", "", `true ${ADD}`, "1"],
    ],
    [
      "or an answer of a grammar",
      { ...HERMES, otherwise: { type: "grammar", syntax: "gbnf", grammar: 'root ::= "(" root? ")"' } },
      ["()", "((()))", SAY],
      ["(", "", `()${ADD}`],
    ],
    [
      "or an answer with structures",
      {
        ...HERMES,
        otherwise: {
          type: "structural_tag",
          triggers: ["<f>"],
          structures: [{ begin: "<f>", schema: { const: 1 }, end: "</f>" }],
        },
      },
      ["a <f>1</f> b", SAY, ADD],
      ["<f>2</f>"],
    ],
  ])("%s", (_, format, right, wrong) => {
    const grammar = grammarOf(format);
    for (const text of right) expect(accepts(grammar, text), text).toBe(true);
    for (const text of wrong) expect(accepts(grammar, text), text).toBe(false);
  });

  it("are finished after the last call, and not before it", () => {
    const matcher = matcherOf(grammarOf({ ...LIST, maxCalls: 1 }));
    for (const byte of utf8.encode(`Hi [CALLS][${ADD}]`)) {
      expect(matcher.isFinished).toBe(false);
      expect(matcher.acceptToken(byte)).toBe(true);
    }
    expect(matcher.isFinished).toBe(true);
  });

  it("end in random walks, and are as the format says", () => {
    const words = [
      "<call>",
      "\n{",
      '{"name": "',
      'add", "arg',
      "uments",
      '": [',
      "1, ",
      "]}\n</",
      "call>\n<call>",
      "Hi",
    ];
    const tokens = [
      ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
      ...words.map((word) => utf8.encode(word)),
    ];
    const trie = VocabularyTrie.build([...tokens, null]);
    const form = new RegExp(
      `^(?:<call>\\n\\{"name": "(?:add", "arguments": \\[[^]*?\\]|say", "arguments": \\{[^]*?\\})\\}\\n</call>(?:\\n(?=<)|$))+$`,
    );
    const property = fc.property(fc.boolean(), fc.infiniteStream(fc.nat()), (isRequired, choices) => {
      const matcher = matcherOf(grammarOf({ ...HERMES, isRequired }), trie, [tokens.length]);
      const bytes: number[] = [];
      for (let step = 0; !matcher.isFinished; step++) {
        const allowed = tokensOf(matcher.allowed());
        const ending = allowed.filter(
          (tokenId) => tokenId === tokens.length || '"]}'.includes(String.fromCharCode(tokenId)),
        );
        const from = step > 60 && ending.length > 0 ? ending : allowed;
        const tokenId = from[choices.next().value! % from.length]!;
        matcher.acceptToken(tokenId);
        bytes.push(...(tokens[tokenId] ?? []));
      }
      const text = Buffer.from(bytes).toString();
      const start = text.indexOf("<call>");
      if (isRequired) expect(start).toBe(0);
      if (start >= 0) expect(text.slice(start)).toMatch(form);
    });
    fc.assert(property, { numRuns: numCases(400) });
  });
});
