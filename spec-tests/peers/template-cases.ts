/** Templates with variables, for a comparison with Jinja: published ones, those of another package's tests, random ones. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { runInNewContext } from "node:vm";

import { Random } from "../fuzz/random.js";

export interface TemplateCase {
  readonly name: string;
  readonly template: string;
  /** JSON values by name. */
  readonly variables: Readonly<Record<string, unknown>>;
  readonly date: string;
}

export const DATE = "2026-11-30";

/**
 * Reads the templates of a folder: `*.jinja`, the field `chat_template` of `*.json`, and the constants of
 * `*.test.js`, the tests of \@huggingface/jinja. Each published template gets several conversations.
 */
export function casesIn(folder: string): TemplateCase[] {
  return readdirSync(folder)
    .sort()
    .flatMap((file) => {
      const text = readFileSync(join(folder, file), "utf8");
      if (file.endsWith(".test.js")) return casesOfTest(file, text);
      const sources = file.endsWith(".jinja") ? [text] : file.endsWith(".json") ? templatesOf(JSON.parse(text)) : [];
      return sources.flatMap((template, index) =>
        conversations().map((variables, number) => ({
          name: `${file}${index > 0 ? ` (${index})` : ""}, conversation ${number}`,
          template,
          variables,
          date: DATE,
        })),
      );
    });
}

function templatesOf({ chat_template: given }: { chat_template?: unknown }): string[] {
  if (typeof given === "string") return [given];
  return Array.isArray(given) ? given.map(({ template }: { template: string }) => template) : [];
}

/** Evaluates the constants of a test file without its imports and tests. */
function casesOfTest(file: string, source: string): TemplateCase[] {
  const constants = source.slice(0, source.search(/^describe\(/m)).replace(/^import [^;]*;$/gm, "");
  const names = [...constants.matchAll(/^const ([A-Z_]+) =/gm)].map(([, name]) => name);
  const values = runInNewContext(`${constants};({${names.join(", ")}})`) as Record<string, unknown>;
  const {
    TEST_STRINGS: strings = {},
    TEST_CONTEXT: contexts = {},
    ...others
  } = values as Record<string, Record<string, unknown>>;
  const small = Object.entries(strings).map(([name, template]) => [name, template, contexts[name] ?? {}]);
  const whole = Object.values(others).flatMap((group) =>
    Object.entries(group ?? {}).map(([name, test]) => {
      const { chat_template, template = chat_template, data = {} } = (test ?? {}) as Record<string, unknown>;
      return [name, template, data];
    }),
  );
  return [...small, ...whole].flatMap(([name, template, data]) =>
    typeof template === "string"
      ? [{ name: `${file}, ${name as string}`, template, variables: jsonOf(data), date: DATE }]
      : [],
  );
}

/** Drops what is not JSON, such as functions. */
const jsonOf = (value: unknown): Record<string, unknown> =>
  JSON.parse(JSON.stringify(value)) as Record<string, unknown>;

const TOOL = {
  type: "function",
  function: {
    name: "weather",
    description: "Weather of a <city>",
    parameters: { type: "object", properties: { city: { type: "string", description: "Name" } }, required: ["city"] },
  },
};

/** Returns the variables of conversations as they reach published templates. */
function conversations(): Record<string, unknown>[] {
  const tokens = { bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>", pad_token: "<pad>" };
  const user = (content: string) => ({ role: "user", content });
  const call = { type: "function", id: "abcdefghi", function: { name: "weather", arguments: { city: "Hà Nội" } } };
  const chats: object[][] = [
    [user("Hello")],
    [
      { role: "system", content: "Be brief.\n" },
      user(" Hello 🎉 "),
      { role: "assistant", content: "Hi!" },
      user("Again"),
    ],
    [user("a"), { role: "assistant", content: "<think>\nwhy\n</think>\n\nb" }, user("c")],
    [
      user("a"),
      { role: "assistant", content: "b", reasoning_content: "why" },
      user("c"),
      { role: "assistant", content: "" },
    ],
    [
      user("a"),
      { role: "assistant", content: "", tool_calls: [call] },
      { role: "tool", content: '{"t": 30}', name: "weather", tool_call_id: "abcdefghi" },
    ],
    [
      {
        role: "user",
        content: [
          { type: "text", text: "a" },
          { type: "text", text: "b" },
        ],
      },
    ],
    [{ role: "system", content: "x" }],
    [],
  ];
  const settings: object[] = [
    { add_generation_prompt: true, tools: null, documents: null },
    { add_generation_prompt: false, tools: [TOOL], documents: [{ title: "t", text: "d" }], enable_thinking: false },
    { add_generation_prompt: true, tools: [TOOL], enable_thinking: true, reasoning_effort: "high" },
  ];
  return chats.flatMap((messages) => settings.map((setting) => ({ ...tokens, messages, ...setting })));
}

const VARIABLES = {
  messages: [
    { role: "user", content: "Hello 🎉 wörld" },
    { role: "assistant", content: "a,b\nc" },
  ],
  none_value: null,
  items: [3, 1, 2],
  words: ["b", "A", "a"],
  rows: [
    { k: "b", v: 2 },
    { k: "A", v: 1 },
    { k: "B", v: 2.5 },
  ],
  table: { b: 1, A: [2], c: null },
};

/** Returns an expression with builtins and arguments, right and wrong ones. */
export function randomCase(seed: number): TemplateCase {
  const random = new Random(seed);
  const template = random.chance(0.25) ? statement(random) : `{{ ${value(random, 2)} }}`;
  return { name: `random ${seed}`, template, variables: VARIABLES, date: DATE };
}

const ATOMS = [
  "'abc'",
  "'aXbXc'",
  "''",
  "' a b '",
  "'é🎉'",
  "'a\\nb\\r\\nc'",
  "'12'",
  "'-3.5'",
  "'0x1F'",
  "'%s|%d'",
  "'{}-{:>4}'",
  "0",
  "1",
  "-2",
  "3",
  "7",
  "2.5",
  "-0.5",
  "1e3",
  "true",
  "false",
  "none",
  "nothing",
  "items",
  "words",
  "rows",
  "table",
  "messages",
  "messages[0].content",
  "messages[1]['content']",
  "none_value",
  "[]",
  "{}",
  "()",
  "(1, 'a')",
  "[1, 'a', none]",
  "{'a': 1, 'b': [2]}",
  "range(4)",
  "namespace(a=1).a",
] as const;

const METHODS: Readonly<Record<string, string>> = {
  capitalize: "",
  center: "9|8, '-'",
  count: "'a'|'b', 1|'', 0, 2",
  endswith: "'c'|('b', 'c')|'b', 0, 2",
  find: "'b'|'c', -2|'', 9",
  format: "1, 2|'x', 'y'|1.5, a=2",
  index: "'a'|'b', 1",
  isalnum: "",
  isalpha: "",
  isascii: "",
  isdecimal: "",
  isdigit: "",
  islower: "",
  isspace: "",
  istitle: "",
  isupper: "",
  join: "words|'xy'|table",
  ljust: "8|8, '🎉'",
  lower: "",
  lstrip: "|'a'",
  partition: "'b'|' '",
  removeprefix: "'a'",
  removesuffix: "'c'",
  replace: "'a', 'Z'|'', '-'|'b', '', 1",
  rfind: "'a'|'', 0, 2",
  rindex: "'a'",
  rjust: "8",
  rpartition: "'b'",
  rsplit: "|'X'|none, 1",
  rstrip: "|'c'",
  split: "|'X'|' ', 1|maxsplit=1",
  splitlines: "|true|keepends=true",
  startswith: "'a'|('a', 'b')|'b', 1",
  strip: "|' a'",
  swapcase: "",
  title: "",
  upper: "",
  zfill: "8",
};

const MAPPING_METHODS: Readonly<Record<string, string>> = {
  get: "'b'|'zz'|'zz', 1|1",
  items: "",
  keys: "",
  values: "",
  copy: "",
};

const FILTERS: Readonly<Record<string, string>> = {
  abs: "",
  attr: "'upper'|'a'",
  batch: "2|2, 'x'|linecount=3",
  capitalize: "",
  center: "9|width=8",
  count: "",
  d: "1|'x', true",
  default: "1|default_value='d', boolean=true",
  dictsort: "|true|by='value'|reverse=true",
  first: "",
  float: "|7|default='d'",
  format: "1|'a', 2|a=1",
  groupby: "'k'|'v'|attribute='k', case_sensitive=true|'zz', default=1|0",
  indent: "|2|'> ', true|width=1, blank=true",
  int: "|9|5, 16|base=0|0, 2",
  items: "",
  join: "|', '|'-', 'k'|attribute='v'",
  last: "",
  length: "",
  list: "",
  lower: "",
  map: "'upper'|attribute='k'|attribute='zz', default=1|'int'|'replace', 'a', 'b'|'default', 'q'|'string'",
  max: "|true|attribute='v'",
  min: "|case_sensitive=true|attribute='k'",
  reject: "|'odd'|'string'|'in', words",
  rejectattr: "'k'|'v', 'gt', 1|'k', 'equalto', 'b'",
  replace: "'a', 'Z'|'b', '', 1|1, 2|old='a', new='b'",
  reverse: "",
  round: "|1|-1|2, 'floor'|1, 'ceil'|method='ceil'",
  safe: "",
  select: "|'string'|'gt', 1|'defined'",
  selectattr: "'k'|'v', 'odd'|'k', 'in', ['b']",
  slice: "2|3, 'x'",
  sort: "|true|reverse=true|attribute='k'|attribute='k,v'|case_sensitive=true",
  string: "",
  sum: "|attribute='v'|'v', 1|start=2.5",
  title: "",
  tojson: "|indent=2|true|sort_keys=true|separators=(',', ':')",
  trim: "|'a'|chars=' b'",
  truncate: "2|5, true, '', 0|3, leeway=0|length=4, end='…', leeway=0",
  unique: "|true|attribute='k'",
  upper: "",
  wordcount: "",
};

const TESTS: Readonly<Record<string, string>> = {
  boolean: "",
  callable: "",
  defined: "",
  divisibleby: "2|num=3|0",
  eq: "1|'a'",
  equalto: "'b'",
  even: "",
  false: "",
  filter: "",
  float: "",
  ge: "1|'b'",
  greaterthan: "2",
  gt: "1|'a'",
  in: "words|'abc'|[1]|seq=(1, 2)",
  integer: "",
  iterable: "",
  le: "1",
  lessthan: "'b'",
  lower: "",
  lt: "2",
  mapping: "",
  ne: "1",
  none: "",
  number: "",
  odd: "",
  sameas: "none|true",
  sequence: "",
  string: "",
  test: "",
  true: "",
  undefined: "",
  upper: "",
};

const ARGUMENTS = [
  "",
  "",
  "'a'",
  "'b'",
  "'X'",
  "','",
  "' '",
  "1",
  "2",
  "-1",
  "0",
  "none",
  "true",
  "'a', 'b'",
  "'a', 1",
  "'a', 1, 2",
  "2, '*'",
  "8, '-'",
  "1, true",
  "2, 'x'",
  "'k'",
  "'v'",
  "'upper'",
  "'k', 'eq', 'b'",
  "'odd'",
  "'gt', 1",
  "attribute='k'",
  "attribute='v', default=0",
  "case_sensitive=true",
  "reverse=true",
  "by='value'",
  "indent=2",
  "default=9",
  "base=16",
  "0, 16",
  "'d', true",
  "('a', 'b')",
  "'a', none, -1",
  "keepends=true",
  "maxsplit=1",
  "sep='X'",
  "count=1",
  "'a', 'b', 1",
  "width=2",
  "2, 'floor'",
  "1, 'ceil'",
  "nope=1",
  "['x', 'y']",
  "5, true, '', 0",
] as const;

const OPERATORS = [
  "+",
  "-",
  "*",
  "/",
  "//",
  "%",
  "**",
  "~",
  "==",
  "!=",
  "<",
  "<=",
  ">",
  ">=",
  "in",
  "not in",
  "and",
  "or",
] as const;

const TEXTS = [
  "'abc'",
  "'aXbXc'",
  "''",
  "' a b '",
  "'é🎉ab'",
  "'a\\nb\\r\\nc'",
  "'12'",
  "'%s|%d'",
  "'{}-{:>4}'",
  "messages[0].content",
  "words[0]",
  "('a' ~ items)",
] as const;
const LISTS = [
  "items",
  "words",
  "rows",
  "messages",
  "[1, 'a', none]",
  "range(5)",
  "(2.5, 1)",
  "'abc'",
  "[[2, 1], [1, 2]]",
  "table",
] as const;
const NUMBERS = ["0", "1", "-2", "3", "2.5", "-0.5", "1e3", "true", "items[0]", "(words | length)"] as const;

/** Returns the name of a builtin with arguments, which are wrong at times. */
function call(
  random: Random,
  builtins: Readonly<Record<string, string>>,
): { readonly name: string; readonly args: string } {
  const name = random.pick(Object.keys(builtins));
  return { name, args: random.chance(0.1) ? random.pick(ARGUMENTS) : random.pick(builtins[name]!.split("|")) };
}

function value(random: Random, depth: number): string {
  if (depth === 0) return random.pick(random.chance(0.4) ? ATOMS : random.pick([TEXTS, LISTS, NUMBERS]));
  const inner = (): string => value(random, depth - 1);
  const of = (texts: readonly string[]): string => (random.chance(0.4) ? inner() : random.pick(texts));
  switch (random.below(10)) {
    case 0:
    case 1: {
      const { name, args } = call(random, METHODS);
      return `(${of(TEXTS)}).${name}(${args})`;
    }
    case 2: {
      const { name, args } = call(random, MAPPING_METHODS);
      return `(${of(["table", "{}", "{1: 2, 'b': 3}", "rows[0]"])}).${name}(${args})${random.chance(0.5) ? " | list" : ""}`;
    }
    case 3:
    case 4:
    case 5: {
      const { name, args } = call(random, FILTERS);
      return `(${of(random.pick([TEXTS, LISTS, LISTS, NUMBERS]))} | ${name}${args === "" ? "" : `(${args})`}${random.chance(0.4) ? " | list" : ""})`;
    }
    case 6: {
      const { name, args } = call(random, TESTS);
      return `(${inner()} is ${random.chance(0.2) ? "not " : ""}${name}${args === "" ? "" : `(${args})`})`;
    }
    case 7: {
      const kind = random.pick([NUMBERS, NUMBERS, TEXTS, LISTS]);
      return `(${of(kind)} ${random.pick(OPERATORS)} ${of(kind)})`;
    }
    case 8:
      return `(${of(random.pick([LISTS, TEXTS]))})${random.pick(["[0]", "[-1]", "[1:]", "[::-1]", "[:2]", "['k']", ".k", "[::2]", ".0", "[true]", "[9]", "[-2:5]"])}`;
    default:
      return random.pick([
        `[${inner()}, ${inner()}]`,
        `(${inner()}, ${inner()})`,
        `{'k': ${inner()}, 'v': ${inner()}}`,
        `(${inner()} if ${inner()} else ${inner()})`,
        `not ${inner()}`,
        `-${inner()}`,
      ]);
  }
}

function statement(random: Random): string {
  const inner = (): string => value(random, 1);
  const text = (): string =>
    random.pick(["x", " y ", "\n", "  ", "{{ loop.index }}", `{{ ${inner()} }}`, "{# c #}", "\n  {#- c #}\n"]);
  const sign = (): string => random.pick(["", "", "-", "+"]);
  const tag = (content: string): string =>
    `${random.pick(["", " ", "\n", "\n  "])}{%${sign()} ${content} ${sign()}%}${random.pick(["", " ", "\n", "\n  "])}`;
  switch (random.below(9)) {
    case 0:
      return `${tag(`for x in ${inner()}`)}${text()}{{ x }}${text()}${tag("else")}${text()}${tag("endfor")}`;
    case 1:
      return `${tag(`for x in ${inner()} if x is ${random.pick(["odd", "string", "defined", "mapping"])}`)}{{ loop.${random.pick(["index", "length", "last", "first", "revindex", "previtem", "depth"])} }}${tag("endfor")}`;
    case 2:
      return `${tag(`if ${inner()}`)}${text()}${tag(`elif ${inner()}`)}${text()}${tag("else")}${text()}${tag("endif")}`;
    case 3:
      return `${tag(`set x = ${inner()}`)}{{ x }}${tag(`set y | ${random.pick(["upper", "trim", "length", "replace('x', 'z')"])}`)}${text()}${tag("endset")}{{ y }}`;
    case 4:
      return `${tag(`macro f(a, b=${inner()})`)}{{ a }}${text()}{{ b }}${tag("endmacro")}{{ f(${random.pick(ARGUMENTS)}) }}{{ f(1, b=2) }}`;
    case 5:
      return `${tag(`with x = ${inner()}, y = x`)}{{ x }}{{ y }}${tag("endwith")}{{ x is defined }}`;
    case 6:
      return `${tag("raw")}{{ a }}{% b %}${tag("endraw")}${text()}`;
    case 7:
      return `${tag(`filter ${random.pick(["upper", "indent", "replace(' ', '_') | trim", "title"])}`)}${text()}${text()}${tag("endfilter")}`;
    default:
      return `${tag(`for x in ${random.pick(["words", "rows", "[1, [2, [3]]]"])} recursive`)}{{ x if x is not iterable or x is string else loop(x) }}${tag("endfor")}`;
  }
}
