import { describe, expect, it } from "vitest";
import { accepts } from "../../spec-tests/fixtures/grammars.js";
import { EngineError } from "../errors.js";
import { type CallMarkup, type CallsFormat, Grammar, GrammarCache, type ParameterMarkup } from "./index.js";

const TAGS: ParameterMarkup = {
  open: "<p=",
  separator: "",
  strings: { before: ">", after: "</p>" },
  others: { before: ">", after: "</p>" },
  words: { null: "None", true: "True", false: "False" },
};
const KEYWORDS: ParameterMarkup = {
  open: "",
  separator: ", ",
  strings: { before: "='", after: "'" },
  others: { before: "=", after: "" },
  words: { null: "null", true: "true", false: "false" },
};

function formatOf(parameters: ParameterMarkup, schema: object | null): CallsFormat {
  const [between, after] = parameters === TAGS ? ["<f ", "</f>"] : ["(", ")"];
  const markup: CallMarkup = {
    open: "",
    separator: null,
    close: "",
    before: "#",
    between: between!,
    after: after!,
    isNameFirst: true,
    tag: null,
    parameters,
  };
  const rest = { trigger: "#", isTriggerAnywhere: true, mayFollowText: false, otherwise: null, notes: [] };
  return { type: "calls", markup, calls: [{ name: "g", schema }], isRequired: true, maxCalls: 1, ...rest };
}

const cache = new GrammarCache(1e8);
const compiled = (parameters: ParameterMarkup, schema: object | null): Grammar =>
  Grammar.fromData(cache.get(formatOf(parameters, schema)).data);
const object = (properties: object, required: readonly string[] = []): object => ({
  type: "object",
  properties,
  required,
});

const STRING = { type: "string" };
const MIXED = object(
  { s: STRING, n: { type: "integer" }, b: { type: ["boolean", "null"] }, l: { type: "array", items: {} } },
  ["n"],
);

describe("arguments as parameters", () => {
  it.each<[string, ParameterMarkup, object | null, readonly string[], readonly string[]]>([
    [
      "in tags",
      TAGS,
      MIXED,
      [
        "<p=n>1</p>",
        '<p=s>a "quoted" <b>\n5</p><p=n>-12</p><p=b>True</p>',
        '<p=n>0</p><p=b>None</p><p=l>[1,"</p>",{"a":null}]</p>',
        "<p=s></p><p=n>1</p>",
      ],
      [
        "",
        "<p=s>a</p>",
        "<p=n>one</p>",
        "<p=n>1</p><p=s>a</p>",
        "<p=n>1</p><p=n>1</p>",
        "<p=n>1</p><p=b>true</p>",
        "<p=n>1</p><p=x>1</p>",
        "<p=n>1</p><p=l>1</p>",
        "<p=s>a</p>b</p><p=n>1</p>",
      ],
    ],
    [
      "as keywords",
      KEYWORDS,
      MIXED,
      ["n=1", "s='a, b=2', n=3", 'n=1, b=null, l=[{"a":"\'"}]', "n=1, l=[]"],
      ["", ", n=1", "n=1, ", "s='a' n=1", "s='a'', n=1", "s=a, n=1", "n='1'", "n=1, b=None"],
    ],
    [
      "all optional",
      KEYWORDS,
      object({ a: STRING, b: STRING }),
      ["", "a=''", "b='x'", "a='x', b='y'"],
      ["b='x', a='y'", ","],
    ],
    ["none", KEYWORDS, null, [""], ["a=1"]],
    [
      "of a string with keywords",
      TAGS,
      object({
        c: { enum: ["red", "light blue"] },
        d: { type: "string", format: "date" },
        e: { type: "string", maxLength: 2 },
      }),
      ["<p=c>light blue</p>", "<p=d>2026-02-28</p>", "<p=e>éß</p>"],
      ["<p=c>blue</p>", "<p=d>2026-02-30</p>", "<p=e>abc</p>"],
    ],
    [
      "of a string or another value: a string is nothing like it",
      TAGS,
      object({ v: { type: ["string", "number", "null", "object"] } }),
      ["<p=v>abc</p>", "<p=v>12</p>", "<p=v>None</p>", "<p=v>1 2</p>", "<p=v>true</p>", '<p=v>{"a":1}</p>'],
      ["<p=v>01</p>", "<p=v>{a}</p>", "<p=v>True</p>", "<p=v>[x</p>", "<p=v>-0.</p>x"],
    ],
    [
      "with references and alternatives",
      TAGS,
      {
        type: "object",
        $defs: { id: { type: "integer", minimum: 1 } },
        anyOf: [object({ id: { $ref: "#/$defs/id" } }, ["id"]), object({ name: STRING }, ["name"])],
      },
      ["<p=id>1</p>", "<p=name>a</p>"],
      ["", "<p=id>0</p>"],
    ],
  ])("%s", (_, markup, schema, right, wrong) => {
    const grammar = compiled(markup, schema);
    const call = (args: string): string => (markup === TAGS ? `#g<f ${args}</f>` : `#g(${args})`);
    for (const args of right) expect(accepts(grammar, call(args)), args).toBe(true);
    for (const args of wrong) expect(accepts(grammar, call(args)), args).toBe(false);
  });

  it("have kinds", () => {
    const { data } = cache.get(formatOf(TAGS, object({ a: STRING, b: { type: "number" }, c: {}, d: false })));
    expect(data.kinds).toEqual([
      new Map([
        ["a", "string"],
        ["b", "json"],
        ["c", "either"],
      ]),
    ]);
    expect(cache.get(formatOf(TAGS, null)).data.kinds).toEqual([new Map()]);
  });

  it("refuse a name like the end of the arguments, if nothing is before names", () => {
    const schema = object({ ")": STRING });
    expect(() => compiled(KEYWORDS, schema)).toThrow('the name ")"');
    expect(accepts(compiled(TAGS, schema), "#g<f <p=)>a</p></f>")).toBe(true);
  });

  it.each<[string, object, string]>([
    [
      "dependentRequired",
      { ...object({ a: STRING, b: STRING }), dependentRequired: { a: ["b"] } },
      "dependentRequired",
    ],
    ["minProperties", { ...object({ a: STRING, b: STRING }), minProperties: 1 }, "minProperties"],
    ["a name like the markup", object({ "a>b": STRING }), 'the name "a>b"'],
    ["an empty name", object({ "": STRING }), 'the name ""'],
    ["a value that contains the end of a string", object({ a: { const: "x</p>" } }), 'no value of "a"'],
  ])("refuse %s", (_, schema, reason) => {
    const refused = (): unknown => compiled(TAGS, schema);
    expect(refused).toThrow(EngineError);
    expect(refused).toThrow(reason);
  });
});
