/** Random chat templates: valid Jinja, wrong Jinja, and programs that grow or do not end. */

import { hostileString } from "./mutate-json.js";
import type { Random } from "./random.js";

/** A template as models have it. */
export const CHAT_TEMPLATE =
  "{% for message in messages %}{{ '<|' + message['role'] + '|>' }}{{ message['content'] | trim }}{% if not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

export function randomTemplate(random: Random): string {
  if (random.chance(0.05)) return random.pick(BOMBS);
  switch (random.below(8)) {
    case 0:
      return spliced(random, CHAT_TEMPLATE);
    case 1:
    case 2:
      return random.times(1 + random.below(4), () => statement(random, 3)).join("");
    default:
      return chatProgram(random);
  }
}

/** A template that writes the messages, and computes other things on the way that are mostly valid. */
function chatProgram(random: Random): string {
  const before = random.times(random.below(3), () => `{% set ${random.pick(["x", "y"])} = ${value(random, 3)} %}`);
  const isBounded = random.chance(0.9);
  const inner = random.times(random.below(3), () => command(random, 2)).join("");
  const text = random.pick(["m.content", "m['content']", "m.content | trim", `(${value(random, 1)}) ~ m.content`]);
  return [
    ...before,
    isBounded ? "" : statement(random, 2),
    `{% for m in messages %}<${random.pick(["{{ m.role }}", "{{ m['role'] | upper }}"])}>${inner}{{ ${text} }}{% endfor %}`,
    random.chance(0.3) ? command(random, 2) : "",
  ].join("");
}

function command(random: Random, depth: number): string {
  const inner = (): string => (depth === 0 ? "" : command(random, depth - 1));
  switch (random.below(depth === 0 ? 2 : 7)) {
    case 0:
    case 1:
      return `{{ (${value(random, 3)}) | string | ${random.pick(["length", "upper", "first", "trim | length"])} }}`;
    case 2:
      return `{% if ${value(random, 2)} %}${inner()}{% elif ${value(random, 1)} %}${inner()}{% endif %}`;
    case 3:
      return `{% for i in ${list(random, 2)} %}${inner()}{{ loop.index }}{% endfor %}`;
    case 4:
      return `{% macro f(a, b=${value(random, 1)}) %}${inner()}{{ a }}{% endmacro %}{{ f(${value(random, 1)}) | length }}`;
    case 5:
      return `{% set ns = namespace(n=${number(random, 1)}) %}{% for i in ${list(random, 1)} %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}`;
    default:
      return `{% set z %}${inner()}{% endset %}{{ z | length }}`;
  }
}

function value(random: Random, depth: number): string {
  return random.pick([text, number, list])(random, depth);
}

function text(random: Random, depth: number): string {
  if (depth === 0)
    return random.pick(["messages[0].content", "messages[-1]['content']", "'ab c'", "''", "'é😀'", "'x' * 9"]);
  const own = `(${text(random, depth - 1)})`;
  const other = `(${text(random, depth - 1)})`;
  return random.pick([
    `${own} ~ ${other}`,
    `${own} + ${other}`,
    `${own} * ${random.pick(["0", "-1", "3", "999", "99999"])}`,
    `${own}.${random.pick(["upper", "lower", "title", "strip", "lstrip", "rstrip", "capitalize"])}()`,
    `${own}.replace(${other}, ${random.pick(["''", "'ab'", other])})`,
    `${own}[${random.pick(["1:", ":-1", "::2", "::-1", "5:2", "-3:"])}]`,
    `${own}.strip(${other})`,
    `${list(random, depth - 1)} | join(${other})`,
    `(${value(random, depth - 1)}) | ${random.pick(["tojson", "string", "tojson(indent=2)", "tojson(ensure_ascii=true)"])}`,
    `(${own} if ${own} == ${other} else ${other})`,
    `${own} | ${random.pick(["indent", "indent(3, true)", "reverse", "default('x', true)", "replace('a', 'bb')", "escape"])}`,
    `${own}.partition('a')[2]`,
  ]);
}

function number(random: Random, depth: number): string {
  if (depth === 0) return random.pick(["0", "1", "-3", "7", "2.5", "true"]);
  return random.pick([
    `(${value(random, depth - 1)} | string | length)`,
    `(${number(random, depth - 1)} ${random.pick(["+", "-", "*"])} ${number(random, depth - 1)})`,
    `(${number(random, depth - 1)} ${random.pick(["//", "%", "/"])} ${random.pick(["2", "7", "-3"])})`,
    `${text(random, depth - 1)} | int(5)`,
    `(${text(random, depth - 1)}).find('a')`,
    `(${text(random, depth - 1)}).count('a')`,
    `(${list(random, depth - 1)} | length)`,
    `(${value(random, depth - 1)} is ${random.pick(["string", "iterable", "none", "mapping", "defined", "sequence"])})`,
  ]);
}

function list(random: Random, depth: number): string {
  if (depth === 0)
    return random.pick(["messages", "[]", "range(4)", "[1, 2.5, none]", "'abc'", "('a', 'b')", "range(9, 0, -2)"]);
  const own = list(random, depth - 1);
  return random.pick([
    `[${value(random, depth - 1)}, ${value(random, depth - 1)}]`,
    `(${own} | list)`,
    `(${own} | list | reverse | list)`,
    `(${own} | map('string') | sort)`,
    `(${own} | map('string') | unique | list)`,
    `(${own} | list)[${random.pick(["1:", "::-1", ":2"])}]`,
    `(${own} | list + [${value(random, depth - 1)}])`,
    `(${text(random, depth - 1)}).split(${random.pick(["", "'a'", "' ', 1"])})`,
    `(${text(random, depth - 1)}).splitlines()`,
    `(messages | ${random.pick(["selectattr('role', 'equalto', 'user') | list", "map(attribute='content') | list", "rejectattr('content') | list"])})`,
    `(messages[0] | ${random.pick(["items | list", "dictsort", "list"])})`,
    `range(${random.pick(["3", "50", "1000"])}) | list`,
  ]);
}

/** Programs whose time, memory or depth grows out of proportion to their length. */
const BOMBS = [
  "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
  "{% set l = 'a' %}{% for i in range(1) %}{% endfor %}" + "{% set l = l + l %}".repeat(40) + "{{ l }}",
  "{% set l = [1] %}" + "{% set l = l + l %}".repeat(40) + "{{ l | length }}",
  "{{ 'x' * 999999999 }}",
  "{{ 'x' * 999999999 | length }}",
  "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
  "{% set ns = namespace(s='a') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
  "{{ range(999999999) | list | length }}",
  "{{ 'ab' | replace('', 'abcdefgh') | replace('', 'abcdefgh') | replace('', 'abcdefgh') | replace('', 'abcdefgh') }}",
  "{{ (messages | tojson) * 100000 }}",
  "{{ 'a' | center(999999999) }}",
  "{{ '%999999999d' | format(1) }}",
  "{% set x = [] %}{{ x.append(x) }}{{ x | tojson }}",
  "{% set x = [] %}{{ x.append(x) }}{{ x }}",
  "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
  "{{ " + "(".repeat(5000) + "1" + ")".repeat(5000) + " }}",
  "{{ " + "not ".repeat(20000) + "1 }}",
  "{{ 1" + " + 1".repeat(20000) + " }}",
  "{{ " + "[".repeat(3000) + "]".repeat(3000) + " }}",
  "{% if 1 %}".repeat(3000) + "{% endif %}".repeat(3000),
  "{{ messages" + "[0]".repeat(5000) + " }}",
  "{{ 'a' " + "| upper ".repeat(20000) + "}}",
  "{{ 2 ** 99999999 }}",
  "{{ '" + "a".repeat(100000) + "' | split('a') | join('b' * 1000) }}",
  "{{ 'a,b' | indent(999999999) }}",
  "{{ messages | map(attribute='content') | join('" + "x".repeat(1000) + "') }}",
] as const;

const NAMES = [
  "messages",
  "message",
  "x",
  "y",
  "bos_token",
  "tools",
  "add_generation_prompt",
  "loop",
  "ns",
  "undefined_name",
  "__proto__",
  "constructor",
];

function statement(random: Random, depth: number): string {
  const inner = (): string => (depth === 0 ? "x" : statement(random, depth - 1));
  switch (random.below(depth === 0 ? 3 : 9)) {
    case 0:
      return hostileString(random).slice(0, 400);
    case 1:
    case 2:
      return `{{${random.pick(["", "-"])} ${expression(random, 3)} ${random.pick(["", "-"])}}}`;
    case 3:
      return `{% for ${random.pick(NAMES)} in ${random.pick(["messages", "range(3)", "range(100000)", expression(random, 2)])} %}${inner()}${inner()}{% endfor %}`;
    case 4:
      return `{% if ${expression(random, 3)} %}${inner()}{% else %}${inner()}{% endif %}`;
    case 5:
      return `{% set ${random.pick(NAMES)} = ${expression(random, 3)} %}`;
    case 6:
      return `{% macro m(x, y=${expression(random, 1)}) %}${inner()}{% endmacro %}{{ m(${expression(random, 2)}) }}`;
    case 7:
      return `{% set ns = namespace(x=${expression(random, 2)}) %}{% set ns.x = ${expression(random, 2)} %}{{ ns.x }}`;
    default:
      return random.pick([
        "{% break %}",
        "{% continue %}",
        "{% endfor %}",
        "{% else %}",
        "{#",
        "{% raw %}{{{% endraw %}",
        "{% with x = messages %}{{ x }}{% endwith %}",
        "{% for x in messages recursive %}{{ loop(x) }}{% endfor %}",
        "{% set x | upper %}a{% endset %}",
        "{{ strftime_now('%Y-%m-%d %q') }}",
        "{{ '%s %*d' % (messages, 99999) }}{{ '{:{}}'.format(1, 99999) }}",
        "{% include 'x' %}",
        "{% generation %}x{% endgeneration %}",
        "{{ raise_exception('no') }}",
        "{% call m() %}x{% endcall %}",
        "{% filter upper %}x{% endfilter %}",
      ]);
  }
}

function expression(random: Random, depth: number): string {
  const inner = (): string => (depth === 0 ? random.pick(NAMES) : expression(random, depth - 1));
  switch (random.below(depth === 0 ? 5 : 13)) {
    case 0:
    case 1:
      return random.pick(NAMES);
    case 2:
      return random.pick(["0", "1", "-1", "3.5", "999999999", "9007199254740993", "1e400", "true", "none", "0x10"]);
    case 3:
    case 4:
      return JSON.stringify(random.pick(["", "a", "\ud83d", "user", "content", "%s", "\\"]));
    case 5:
      return `[${inner()}, ${inner()}]`;
    case 6:
      return `{'a': ${inner()}, ${inner()}: 1}`;
    case 7:
      return `(${inner()} ${random.pick(["+", "-", "*", "/", "//", "%", "**", "~", "==", "<", "in", "and", "or", "is", "not in"])} ${inner()})`;
    case 8:
      return `${inner()}${random.pick([".content", ".role", "[0]", "[-1]", "[::-1]", "[1:]", "['x']", ".__proto__", ".constructor", ".items()", ".split()", ".strip('a')", ".append(1)", ".replace('a', 'b')", "()"])}`;
    case 9:
      return `${inner()} | ${random.pick(["trim", "length", "tojson", "list", "join(',')", "upper", "replace('', 'x')", "sort", "reverse", "unique", "map('upper')", "selectattr('role')", "default(1)", "int", "string", "first", "items", "batch(2)", "groupby('role')", "sum", "tojson(indent=999999999)", "indent(100000000)", "unknown_filter", "dictsort", "float", "round(400)", "format(1)", "escape"])}`;
    case 10:
      return `(${inner()} if ${inner()} else ${inner()})`;
    case 11:
      return `${random.pick(["range", "namespace", "dict", "strftime_now", "raise_exception", "cycler", "joiner", "m", "lipsum"])}(${inner()})`;
    default:
      return `(${inner()} is ${random.pick(["defined", "none", "string", "mapping", "iterable", "number", "odd", "sequence", "callable", "unknown_test"])})`;
  }
}

function spliced(random: Random, template: string): string {
  const at = random.below(template.length + 1);
  const to = Math.min(template.length, at + random.pick([0, 1, 2, 5, 30]));
  const other = random.pick([
    "",
    "{%",
    "%}",
    "{{",
    "}}",
    "'",
    "\\",
    "-",
    statement(random, 2),
    template,
    expression(random, 2),
  ]);
  return template.slice(0, at) + other + template.slice(to);
}
