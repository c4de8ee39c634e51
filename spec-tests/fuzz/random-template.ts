/** Random chat templates: valid Jinja, wrong Jinja, and programs that grow or do not end. */

import { hostileString } from "./mutate-json.js";
import type { Random } from "./random.js";

/** A template as models have it. */
export const CHAT_TEMPLATE =
  "{% for message in messages %}{{ '<|' + message['role'] + '|>' }}{{ message['content'] | trim }}{% if not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

export function randomTemplate(random: Random): string {
  switch (random.below(4)) {
    case 0:
      return spliced(random, CHAT_TEMPLATE);
    case 1:
      return random.pick(BOMBS);
    default:
      return random.times(1 + random.below(4), () => statement(random, 3)).join("");
  }
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
