/**
 * Cases in which JavaScript's rules or a simpler interpreter would give other prompts than Python. Expected results
 * were recorded from Jinja itself.
 */

import { describe, expect, it } from "vitest";
import { EngineError } from "../errors.js";
import { JinjaTemplate } from "./jinja-template.js";
import { type Rows, refusal, render } from "../../spec-tests/fixtures/templates.js";

describe("templates render as in Python", () => {
  it.each([
    [
      "a set in a loop iteration has no effect on the next",
      "{% set x = 0 %}{% for m in messages %}{{ x }}{% set x = x + 1 %}{% endfor %}{{ x }}",
      "0000",
    ],
    [
      "a set inside an if in a loop has no effect on the next iteration either",
      "{% for m in messages %}{% if loop.first %}{% set y = 1 %}{% endif %}{{ y is defined }}{% endfor %}",
      "TrueFalseFalse",
    ],
    ["an if has no scope of its own", "{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}", "2"],
    [
      "a namespace can be changed from inside a loop",
      "{% set ns = namespace(x=1) %}{% for m in messages %}{% set ns.x = ns.x + 1 %}{% endfor %}{{ ns.x }}",
      "4",
    ],
    [
      "a break keeps the output of its iteration",
      "{% for m in messages %}{{ m.role }}{% if loop.index == 2 %}{% break %}{% endif %}{% endfor %}",
      "userassistant",
    ],
    [
      "a continue keeps the output of its iteration",
      "{% for m in messages %}{{ loop.index }}{% if loop.first %}{% continue %}{% endif %}!{% endfor %}",
      "12!3!",
    ],
    [
      "a filtered loop counts the remaining items",
      "{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ loop.length }}{{ loop.last }} {% endfor %}",
      "12False 22True ",
    ],
    ["a loop over an undefined value runs its else", "{% for x in nothing %}a{% else %}empty{% endfor %}", "empty"],
    [
      "constants are printed as in Python",
      "{{ true }}{{ false }}{{ none }}{{ 1.5 }}{{ 2.0 }}|{{ nothing }}|",
      "TrueFalseNone1.52.0||",
    ],
    [
      "lists and mappings are printed as in Python",
      "{{ [1, 'a', none, true, \"it's\"] }}{{ {'a': 1} }}{{ ('a', 'b') }}",
      "[1, 'a', None, True, \"it's\"]{'a': 1}('a', 'b')",
    ],
    [
      "characters are code points",
      "{{ messages[0].content | length }} {{ '🎉ab'[0] }} {{ '🎉ab'[1:] }} {{ '🎉ab'[::-1] }} {{ 'abc'[9] }}",
      "13 🎉 ab ba🎉 ",
    ],
    [
      "none, undefined, false and zero differ",
      "{{ 'a' == none }}{{ nothing == none }}{{ '' == false }}{{ '1' == 1 }}{{ 0 == false }}{{ [1] == [1] }}",
      "FalseFalseFalseFalseTrueTrue",
    ],
    [
      "an undefined value is empty",
      "{{ 'a' in nothing }}{{ nothing | length }}{{ nothing | default('d') }}{{ none | default('d') }}{{ '' | default('d', true) }}",
      "False0dNoned",
    ],
    ["~ joins values of any type", "{{ 'a' ~ 1 ~ none ~ true ~ 1.0 }}", "a1NoneTrue1.0"],
    ["division and remainder", "{{ -7 // 2 }} {{ -7 % 3 }} {{ 4 / 2 }} {{ 7 % 3 }}", "-4 2 2.0 1"],
    [
      "strings",
      "{{ 'a,b,c'.split(',', 1) }}{{ 'a,b,c'.rsplit(',', 1) }}{{ ' a  b '.split() }}{{ 'aBC' | capitalize }}",
      "['a', 'b,c']['a,b', 'c']['a', 'b']Abc",
    ],
    [
      "more strings",
      "{{ 'abc'.find('c') }}{{ 'abc'.removeprefix('a') }}{{ 'abc'.endswith(('x', 'c')) }}{{ 'aaa'.replace('a', 'b', 2) }}{{ '-'.join(['a', 'b']) }}",
      "2bcTruebbaa-b",
    ],
    ["lines", "{{ 'a\\nb\\n\\nc' | indent }}|{{ 'a\\nb\\r\\nc'.splitlines() }}", "a\n    b\n\n    c|['a', 'b', 'c']"],
    [
      "selections",
      "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ messages | rejectattr('role', 'in', ['user']) | map(attribute='content') | join }}{{ ['a', 'b'] | map('upper') | join }}",
      "2okAB",
    ],
    [
      "a selection from none is empty, and true as a condition",
      "{{ tools | selectattr('x') | list }}{{ 'yes' if tools | selectattr('x') else 'no' }}",
      "[]yes",
    ],
    [
      "JSON",
      "{{ {'b': [1, 2.0, none, 'é<'], 'a': {}} | tojson }}{{ {'b': [1], 'a': []} | tojson(indent=2) }}",
      '{"b": [1, 2.0, null, "é<"], "a": {}}{\n  "b": [\n    1\n  ],\n  "a": []\n}',
    ],
    [
      "macros",
      "{% macro f(a, b='d') %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f(b=3, a=none) }}{{ f('x') | upper }}",
      "1dNone3XD",
    ],
    ["call blocks", "{% macro f(a) %}{{ a }}{{ caller() }}{% endmacro %}{% call f(1) %}body{% endcall %}", "1body"],
    [
      "brackets prefer keys, and dots prefer methods",
      "{{ {'items': 1}['items'] }}{{ {'x': none}.x }}{{ {'x': none}.get('x', 2) }}{{ {}.get('x', 2) }}",
      "1NoneNone2",
    ],
    ["white space around blocks", "  {% if true %}\n  x\n  {% endif %}\n y\n", "  x\n y"],
    ["line ends of all systems", "\r\na\r{{ 'x\r\ny' }}\r\n", "\na\nx\ny"],
  ])("%s", (_, source, expected) => {
    expect(render(source)).toBe(expected);
  });

  it.each([
    ["a filter", "{{ 'a' | wordwrap }}", "the filter wordwrap is not supported"],
    ["a test", "{{ 'a' is spaced }}", "the test spaced is not supported"],
    ["a function", "{{ lipsum() }}", "lipsum() is not a supported function"],
    ["a method", "{{ messages[0].content.encode() }}", "messages[0].content.encode() is not a supported function"],
    ["a change of an argument", "{% set _ = messages.append(1) %}", "messages.append() is not a supported function"],
    ["an attribute of an undefined value", "{{ messages[9].content }}", "messages[9] is not defined"],
    ["a sum of a string and a number", "{{ 'a' + 1 }}", "a string + an integer is not supported"],
    ["a range that is too long", "{{ range(100001) }}", "more than 100000"],
    ["a loop over none", "{% for x in tools %}{% endfor %}", "none is not iterable"],
  ])("refuses by name: %s", (_, source, words) => {
    expect(() => render(source)).toThrow(words);
  });

  it.each([
    ["do", "{% do 1 %}"],
    ["block", "{% block x %}{% endblock %}"],
    ["include", "{% include 'x' %}"],
  ])("refuses the tag %s", (name, source) => {
    expect(() => new JinjaTemplate(source)).toThrow(`the tag ${name} is not supported`);
  });
});

describe("statements and expressions give the same results as Jinja", () => {
  it.each<[string, Rows]>([
    [
      "loop variables",
      [
        [
          "{% for x in 'abc' %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('x', 'y') }};{% endfor %}",
          "1032TrueFalse3bx;2121FalseFalse3acy;3210FalseTrue3bx;",
        ],
        [
          "{% for x in 'ab' %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}",
          "FalseTrueTrueFalse",
        ],
        [
          "{% for a in [1, 2] %}{% for b in [3, 4] %}{{ a }}{{ b }}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}",
          "13114212312422",
        ],
        [
          "{% for a in [1, 2] %}{% set outer = loop %}{% for b in [3] %}{{ outer.index }}{{ loop.index }}{% endfor %}{% endfor %}",
          "1121",
        ],
        ["{% for k, v in [['a', 1], ('b', 2)] %}{{ k }}{{ v }}{% endfor %}", "a1b2"],
        ["{% for a, b in ['xy'] %}{{ b }}{{ a }}{% endfor %}", "yx"],
        ["{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "123"],
        ["{% for x in [] %}a{% else %}b{% endfor %}", "b"],
        ["{% for x in [1] %}a{% else %}b{% endfor %}", "a"],
        ["{% for x in [1, 2] if x > 2 %}a{% else %}b{% endfor %}", "b"],
        ["{% for x in [] %}{% endfor %}", ""],
        [
          "{% for x in [1, 2, 3] if x != 2 %}{{ x }}{{ loop.index }}{{ loop.length }}{{ loop.previtem }}{% endfor %}",
          "1123221",
        ],
        ["{% for x in [1, 2, 3] if x is odd %}{{ x }}{% endfor %}", "13"],
        ["{% for k, v in [[1, 0], [2, 1]] if v %}{{ k }}{% endfor %}", "2"],
        ["{% for x in [1, 2, 3] %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}", "1"],
        ["{% for x in [1, 2, 3] %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "13"],
        [
          "{% for x in [1, 2] %}{% for y in [1, 2] %}{% if y == 2 %}{% break %}{% endif %}{{ x }}{{ y }};{% endfor %}{% endfor %}",
          "11;21;",
        ],
        ["{% for x in [1, 2] %}{{ x }}{% break %}{{ x }}{% else %}e{% endfor %}", "1e"],
        ["{% for x in [1, 2] %}{% continue %}{% else %}e{% endfor %}", "e"],
        ["{% for x in [1, 2] %}{% if x == 2 %}{% continue %}{% endif %}{% else %}e{% endfor %}", ""],
        ["{% for x in [1, 2] %}{% if x == 2 %}{% break %}{% endif %}{% else %}e{% endfor %}", ""],
        ["{% for x in [1, 2] %}{% if x == 1 %}{% continue %}{% endif %}{% else %}e{% endfor %}", ""],
        [
          "{% for x in [1, 2] %}{% for y in [] %}{% else %}{% if x == 1 %}{% continue %}{% endif %}{% endfor %}{{ x }}{% endfor %}",
          "2",
        ],
        ["{% for x in ([1, 2] if true else [3]) %}{{ x }}{% endfor %}", "12"],
        ["{% for x in [1, 2] | reverse %}{{ x }}{% endfor %}", "21"],
        ["{% set items = [1, 2] %}{% for items in items %}{{ items }}{% endfor %}{{ items }}", "12[1, 2]"],
        [
          "{{ x is defined }}{% for x in [1, 2] %}{{ x }}{% endfor %}{{ x is defined }}{{ loop is defined }}",
          "False12FalseFalse",
        ],
      ],
    ],
    [
      "scope of set",
      [
        [
          "{% set a = 1 %}{% set a, b = 2, 3 %}{{ a }}{{ b }}{% set c = 'x', 'y' %}{{ c }}{% set a, b = 'xy' %}{{ a }}{{ b }}{% set (d, e) = [1, 2] %}{{ d }}{{ e }}",
          "23('x', 'y')xy12",
        ],
        [
          "{% set x %}a{{ 1 }}b{% endset %}{{ x }}{{ x | length }}{% set x %}{% endset %}[{{ x }}]{% set y %}{% set z = 1 %}{{ z }}{% endset %}{{ y }}{{ z is defined }}",
          "a1b3[]1False",
        ],
        [
          "{% set ns = namespace(a=1, b='x') %}{% set ns.a = ns.a + 1 %}{% set ns.c %}block{% endset %}{{ ns.a }}{{ ns.b }}{{ ns.c }}{{ ns.d }}|{{ ns.d is defined }}",
          "2xblock|False",
        ],
        [
          "{% set ns = namespace({'a': 1, 'b': 2}, b=3) %}{{ ns.a }}{{ ns.b }}{% set d = dict(a=1, b='x') %}{{ d }}{{ dict() }}{% set n2 = namespace() %}{% set n2.x, n2.y = 1, 2 %}{{ n2.x }}{{ n2.y }}",
          "13{'a': 1, 'b': 'x'}{}12",
        ],
        [
          "{% set true_ = True %}{{ true_ }}{{ True }}{{ False }}{{ None }}{{ true }}{{ false }}{{ none }}",
          "TrueTrueFalseNoneTrueFalseNone",
        ],
        [
          "{% if false %}{% set q = 1 %}{% endif %}{{ q is defined }}{% if true %}{% set q = 1 %}{% endif %}{{ q }}",
          "False1",
        ],
        [
          "{% set messages = messages[1:] %}{{ messages | length }}{% for m in messages %}{% set messages = [] %}{{ messages | length }}{% endfor %}{{ messages | length }}",
          "2002",
        ],
        ["{% set range = 1 %}{{ range }}", "1"],
      ],
    ],
    [
      "branches",
      [
        ["{% if 1 %}a{% elif 1 %}b{% else %}c{% endif %}", "a"],
        ["{% if 0 %}a{% elif 1 %}b{% else %}c{% endif %}", "b"],
        ["{% if 0 %}a{% elif 0 %}b{% else %}c{% endif %}", "c"],
        ["{% if 0 %}a{% endif %}", ""],
        ["{% if nothing %}a{% endif %}", ""],
        ["'a' if true else 'b'", "a"],
        ["'a' if false else 'b'", "b"],
        ["'a' if false", ""],
        ["'a' if true", "a"],
        ["('a' if false) is defined", "False"],
        ["'a' if false else 'b' if false else 'c'", "c"],
        ["('x' if false) or 'y'", "y"],
        ["1 and 2", "2"],
        ["0 and 2", "0"],
        ["'' or 'x'", "x"],
        ["'y' or 'x'", "y"],
        ["none or 0", "0"],
        ["nothing and nothing.x.y", ""],
        ["true or nothing.x.y", "True"],
        ["not true", "False"],
        ["not none", "True"],
        ["true and not false", "True"],
        ["not 1 == 2", "True"],
        ["[] and 1", "[]"],
        ["1 and []", "[]"],
        ["false or none", "None"],
      ],
    ],
    [
      "macros",
      [
        [
          "{% macro f(a, b=2, c=3) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }} {{ f(1, 9) }} {{ f(1, c=9) }} {{ f(a=5, b=6) }} {{ f() }} {{ f(1, none) }} {{ f(1, b=none) }} {{ f('x', 'y', 'z') }}",
          "123 193 129 563 23 1None3 1None3 xyz",
        ],
        [
          "{% macro f(a) %}{{ a is defined }}{{ b is defined }}{% endmacro %}{{ f() }}{{ f(1) }}{{ f(none) }}{{ a is defined }}",
          "FalseFalseTrueFalseTrueFalseFalse",
        ],
        [
          "{% macro f(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1) }} {{ f(1, 2, 3) }} {{ f(1, x=2) }} {{ f(1, 2, x=3, y=4) }}",
          "1(){} 1(2, 3){} 1(){'x': 2} 1(2,){'x': 3, 'y': 4}",
        ],
        ["{% macro f(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f('x', 'y') }}", "11xy"],
        ["{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "3210"],
        [
          "{% set x = 1 %}{% macro f() %}{{ x }}{% set x = 2 %}{{ x }}{% endmacro %}{{ f() }}{{ x }}{% set x = 3 %}{{ f() }}",
          "12132",
        ],
        [
          "{% macro f() %}  a {% endmacro %}[{{ f() }}]{{ f() | trim }}{{ f() | length }}{{ f() ~ 'b' }}{{ f() + 'c' }}{{ f() is string }}",
          "[  a ]a4  a b  a cTrue",
        ],
        [
          "{% macro f(x) %}<{{ x }}:{{ caller() }}>{% endmacro %}{% call f(1) %}in{{ 2 }}{% endcall %}{% call f(x='k') %}{% endcall %}",
          "<1:in2><k:>",
        ],
        [
          "{% macro f() %}{{ caller(1, 2) }}{{ caller(3) }}{% endmacro %}{% call(a, b='d') f() %}({{ a }}{{ b }}){% endcall %}",
          "(12)(3d)",
        ],
        ["{% macro f() %}{{ caller() }}{{ kwargs }}{% endmacro %}{% call f(a=1) %}x{% endcall %}", "x{'a': 1}"],
        ["{% macro f() %}{{ caller is defined }}{% endmacro %}{{ f() }}{% call f() %}{% endcall %}", "FalseTrue"],
        ["{% macro g() %}g{% endmacro %}{% macro f(h) %}{{ h() }}{% endmacro %}{{ f(g) }}{{ f(h=g) }}", "gg"],
        [
          "{% macro f(a, b) %}{{ a }}{{ b }}{% endmacro %}{% set args = [1, 2] %}{{ f(*args) }}{{ f(*'xy') }}{{ f(1, *[2]) }}",
          "12xy12",
        ],
        ["{% for x in [1, 2] %}{% macro f() %}{{ x }}{% endmacro %}{{ f() }}{% endfor %}", "12"],
        [
          "{% macro f() %}{% for x in [1, 2, 3] %}{{ x }}{% if x == 2 %}{% break %}{% endif %}{% endfor %}{% endmacro %}{{ f() }}",
          "12",
        ],
        ["{'f': 1}['f']", "1"],
        ["{'f': range}['f'](2) | list", "[0, 1]"],
        ["{'f': range}.f(1, 3) | list", "[1, 2]"],
        ["dict(a=range).a(1) | list", "[0]"],
      ],
    ],
    [
      "ranges",
      [
        ["range(3) | list", "[0, 1, 2]"],
        ["range(1, 4) | list", "[1, 2, 3]"],
        ["range(0, 6, 2) | list", "[0, 2, 4]"],
        ["range(0, 5, 2) | list", "[0, 2, 4]"],
        ["range(3, 0, -1) | list", "[3, 2, 1]"],
        ["range(5, 0, -2) | list", "[5, 3, 1]"],
        ["range(0) | list", "[]"],
        ["range(3, 1) | list", "[]"],
        ["range(-2) | list", "[]"],
        ["range(1, 3, -1) | list", "[]"],
        ["range(2, 2) | list", "[]"],
        ["{% for i in range(2, 4) %}{{ i }}{% endfor %}", "23"],
        ["range(100000) | length", "100000"],
        ["range(0, 200000, 2) | length", "100000"],
      ],
    ],
    [
      "filter blocks",
      [
        [
          "{% filter upper %}a{{ 'b' }}c{% endfilter %}{% filter replace('a', 'b') %}banana{% endfilter %}{% filter trim %}  x  {% endfilter %}",
          "ABCbbnbnbx",
        ],
        ["{% set x = 1 %}{% filter upper %}{% set x = 2 %}{{ x }}{% endfilter %}{{ x }}", "21"],
      ],
    ],
    [
      "comments and white space",
      [
        ["a{# x #}b{#- y -#} c{# {{ z }} #}", "abc"],
        ["a {{- ' b ' -}} c", "a b c"],
        ["{%- if true -%} a {%- endif -%} b", "ab"],
      ],
    ],
    [
      "expressions",
      [
        ["'a' 'b'", "ab"],
        ['"a\\"b"', 'a"b'],
        ["'a\\\\b'", "a\\b"],
        ["'\\u00e9\\x41'", "éA"],
        ["'a\\tb'", "a\tb"],
        ["1.25", "1.25"],
        ["-1", "-1"],
        ["[1, [2, 'a'], (3, 4), {'k': [5]}]", "[1, [2, 'a'], (3, 4), {'k': [5]}]"],
        ["[]", "[]"],
        ["{}", "{}"],
        ["{'a': 1, 'a': 2}", "{'a': 2}"],
        ["{1: 'a', 'b': 2}", "{1: 'a', 'b': 2}"],
        ["{'a' ~ 'b': 1}", "{'ab': 1}"],
        ["(1)", "1"],
        ["('a', 'b')", "('a', 'b')"],
        ["1 + 2 * 3", "7"],
        ["(1 + 2) * 3", "9"],
        ["10 - 2 - 3", "5"],
        ["2 * 3 % 4", "2"],
        ["'a' ~ 'b' | upper", "aB"],
        ["-1 | abs", "1"],
        ["not 'a' in 'abc'", "False"],
        ["1 + 1 == 2", "True"],
        ["'b' in 'a' ~ 'b'", "True"],
        ["messages[0].role", "user"],
        ["messages[0]['role']", "user"],
        ["messages[-1].role", "user"],
        ["messages[0]['ro' ~ 'le']", "user"],
        ["messages[0].content[0]", "H"],
        ["messages[0].content.split()[0].upper()", "HELLO"],
        ["(messages | first).role", "user"],
        ["messages[1:][0].role", "assistant"],
        ["bos_token", "<s>"],
        ["tools", "None"],
        ["tools is none", "True"],
        ["nothing", ""],
        ["nothing is defined", "False"],
        ["1 is defined and 2 is defined", "True"],
        ["nothing is defined or 'x'", "x"],
        ["messages is iterable", "True"],
        ["'a' is string and 1 is not string", "True"],
      ],
    ],
    [
      "white space",
      [
        ["a\n{% if true %}\nb\n{% endif %}\nc\n", "a\nb\nc"],
        ["  {% if true %}a{% endif %}  \n b", "a  \n b"],
        ["{{ 1 }}a\n\n", "1a\n"],
        ["{{ 'a' }}\nb\n", "a\nb"],
        ["{# c #}\na", "a"],
        ["  {# c #}\n a", " a"],
        ["\n{%- if true %} a\n{%- endif %}", " a"],
        ["{% filter indent(1) %}a\nb{% endfilter %}", "a\n b"],
        ["{{ 1 }}\r\nb\r\n", "1\nb"],
        ["{{ 'a\nb' }}", "a\nb"],
      ],
    ],
    [
      "chained comparisons, and copies of mappings",
      [
        ["1 < 2 < 3", "True"],
        ["3 > 2 > 1", "True"],
        ["1 < 3 > 2", "True"],
        ["3 < 2 < 5", "False"],
        ["1 <= 1 <= 1", "True"],
        ["1 < 5 < 4", "False"],
        ["0 < 1 < 2 < 3", "True"],
        ["0 < 1 < 2 < 2", "False"],
        ["(1 == 1) != (2 == 3)", "True"],
        ["1 < 2 and 2 < 3", "True"],
        ["dict({'a': 1})", "{'a': 1}"],
        ["dict({'a': 1}, b=2)", "{'a': 1, 'b': 2}"],
        ["namespace({'a': 1}, a=2).a", "2"],
      ],
    ],
  ])("%s", (_, rows) => {
    expect(rows.map(([source]) => [source, render(source)])).toEqual(rows);
  });
});

describe("macros, objects and generators behave as in Jinja", () => {
  it.each<[string, Rows]>([
    [
      "arguments of macros",
      [
        ["{% macro f() %}{% macro g() %}{{ kwargs }}{% endmacro %}x{% endmacro %}{{ f(a=1) }}", "x"],
        ["{% macro f(a) %}{{ a }}{% endmacro %}{{ f(**{'a': 3}) }}", "3"],
        ["{% macro f(a) %}{{ a }}{{ varargs }}{% endmacro %}{{ f(*[1, 2], **{}) }}", "1(2,)"],
        ["{% macro f() %}[{{ caller() }}]{% endmacro %}{% call f() %}x{% endcall %}", "[x]"],
        ["{% macro f() %}{{ kwargs }}{% endmacro %}{{ f(a=1, **{'b': 2}) }}", "{'a': 1, 'b': 2}"],
      ],
    ],
    [
      "objects of Jinja",
      [
        ["{% for x in 'aab' %}{{ loop.changed(x) }}{% endfor %}", "TrueFalseTrue"],
        ["{% for x in [1, 1] %}{{ loop.changed(x, 2) }}{{ loop.changed() }}{% endfor %}", "TrueTrueTrueTrue"],
        [
          "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.current }}",
          "ababNonea",
        ],
        ["{% set j = joiner('; ') %}{{ j() }}a{{ j() }}b{{ j() }}", "a; b; "],
        ["{% set j = joiner() %}{{ j() }}a{{ j() }}b", "a, b"],
        ["{% set loop = 1 %}{{ loop }}", "1"],
        ["dict([['a', 1], ('b', 2)])", "{'a': 1, 'b': 2}"],
        ["dict(a=1, **{'b': 2})", "{'a': 1, 'b': 2}"],
        ["namespace(**{'a': 1}).a", "1"],
        ["range(3)", "range(0, 3)"],
        ["range(1, 10, 2)", "range(1, 10, 2)"],
        ["range(10)[2:5]", "range(2, 5)"],
        ["range(10)[::-2]", "range(9, -1, -2)"],
        ["range(10)[3]", "3"],
        ["range(3) == [0, 1, 2]", "False"],
        ["range(3) == range(0, 3)", "True"],
        ["range(3) | length", "3"],
        ["range(false, 2) | list", "[0, 1]"],
      ],
    ],
    [
      "generators and views",
      [
        ["{% set g = [1, 2] | select %}{{ g | list }}{{ g | list }}", "[1, 2][]"],
        ["{% set g = [1, 2, 3] | select %}{{ g | first }}{{ g | list }}", "1[2, 3]"],
        ["{% set g = [1, 2, 3] | select %}{{ 2 in g }}{{ g | list }}", "True[3]"],
        ["{% set g = [1, 2, 3] | select %}{{ 9 in g }}{{ g | list }}", "False[]"],
        ["{'a': 1}.items()", "dict_items([('a', 1)])"],
        ["{'a': 1}.keys()", "dict_keys(['a'])"],
        ["{'a': 1}.values()", "dict_values([1])"],
        ["{}.items()", "dict_items([])"],
        ["{'a': 1}.items() | list", "[('a', 1)]"],
        ["{'a': 1}.keys() | first", "a"],
        ["{'b': 1, 'a': 2}.items() | sort", "[('a', 2), ('b', 1)]"],
        ["'yes' if {}.keys() else 'no'", "no"],
        ["{'a': 1}.items() is sequence", "False"],
        ["{'a': 1}.items() is iterable", "True"],
        ["{'a': 1}.items()[0]", ""],
        ["{'a': 1}.keys() | length", "1"],
        ["'a' in {'a': 1}.keys()", "True"],
      ],
    ],
  ])("%s", (_, rows) => {
    expect(rows.map(([source]) => [source, render(source)])).toEqual(rows);
  });

  it("fails where Jinja fails, and reports the reason", () => {
    const rows: Rows = [
      ["{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}", "the macro f takes at most 1 arguments, not 2"],
      ["{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, a=2) }}", "the macro f has no argument a"],
      ["{% macro f(a) %}{{ a }}{% endmacro %}{{ f(b=2) }}", "the macro f has no argument b"],
      ["{% macro f() %}x{% endmacro %}{% call f() %}y{% endcall %}", "the macro f has no argument caller"],
      ["{% macro f(a) %}{% endmacro %}{{ f(a=1, **{'a': 2}) }}", "the argument a is given twice"],
      ["{% macro f(a) %}{% endmacro %}{{ f(**{1: 2}) }}", "the name of an argument must be a string"],
      ["cycler()", "cycler() needs a value"],
      ["{% for x in [1] %}{% set loop.a = 1 %}{% endfor %}", "loop.a cannot be assigned to"],
      ["dict([1])", "an integer is not iterable"],
      ["dict([[1, 2, 3]])", "3 values for a key and its value"],
      ["dict(none)", "none is not a mapping"],
      ["dict({}, {})", "dict() takes at most 1 argument, not 2"],
      ["range(3) + [1]", "a range + a list is not supported"],
      ["range(3) | tojson", "a range cannot be converted to JSON"],
      ["{'a': 1}.items() | tojson", "a view of a mapping cannot be converted to JSON"],
      ["{'a': 1}.keys() + ['b']", "a view of a mapping + a list is not supported"],
    ];
    expect(rows.map(([source]) => [source, refusal(source)])).toEqual(rows);
  });
});

describe("errors", () => {
  it("fails where Jinja fails, and reports the reason", () => {
    const rows: Rows = [
      ["raise_exception('no way')", "refuses the messages: no way"],
      ["raise_exception(1)", "refuses the messages: 1"],
      ["raise_exception(nothing)", "refuses the messages: "],
      ["raise_exception()", "raise_exception() needs the argument message"],
      ["range(0, 1, 0)", "range() with a step of zero"],
      ["range('a')", "an argument of range() must be an integer"],
      ["range(1.5)", "an argument of range() must be an integer"],
      ["range(none)", "an argument of range() must be an integer"],
      ["range()", "range() needs the argument start"],
      ["range(100001) | length", "range() of more than 100000 numbers"],
      ["range(0, 100001) | length", "range() of more than 100000 numbers"],
      ["range(0, 300000, 2) | length", "range() of more than 100000 numbers"],
      ["range(1, 2, 3, 4)", "range() takes at most 3 arguments, not 4"],
      ["{% set a, b = [1] %}", "1 values for 2 names"],
      ["{% set a, b = [1, 2, 3] %}", "3 values for 2 names"],
      ["{% set a, b = 1 %}", "an integer is not iterable"],
      ["{% for a, b in [[1]] %}{% endfor %}", "1 values for 2 names"],
      ["{% for a, b in [1] %}{% endfor %}", "an integer is not iterable"],
      ["{% set messages.a = 1 %}", "messages.a cannot be assigned to"],
      ["{% set nothing.a = 1 %}", "nothing.a cannot be assigned to"],
      ["{% set messages[0] = 1 %}", "expected %}, but found [ (line 1)"],
      ["{% set a.b.c = 1 %}", "expected %}, but found . (line 1)"],
      ["{% set 'a' = 1 %}", "expected a name to assign to, but found a string (line 1)"],
      ["{% set f() = 1 %}", "expected %}, but found ( (line 1)"],
      ["{% set x = {} %}{% set x.a = 1 %}", "x.a cannot be assigned to"],
      ["{[]: 1}", "a list as a key is not supported"],
      ["f()", "f() is not a supported function"],
      ["messages()", "messages() is not a supported function"],
      ["messages[0]()", "messages[0]() is not a supported function"],
      ["messages[0].role()", "messages[0].role() is not a supported function"],
      ["messages[0]['role']()", 'messages[0]["role"]() is not a supported function'],
      ["messages[messages | length - 1].x.y()", "messages[…].x is not defined"],
      ["'a'()", "a value() is not a supported function"],
      ["'a'.b.c", "a value.b is not defined"],
      ["messages[0].a.b", "messages[0].a is not defined"],
      ["messages[0]['a']['b']", 'messages[0]["a"] is not defined'],
      ["messages[0]['a'].b.c", 'messages[0]["a"] is not defined'],
      ["nothing.a", "nothing is not defined"],
      ["nothing[1]", "nothing is not defined"],
      ["nothing['a'][1:]", "nothing is not defined"],
      ["nothing()", "nothing() is not a supported function"],
      ["nothing.a()", "nothing is not defined"],
      ["(1 + 2).a.b", "a value.a is not defined"],
      ["('a' if false).x", "a value is not defined"],
      ["1 | nofilter(1)", "the filter nofilter is not supported"],
      ["'a' | replace('a', 'b')()", "a value() is not a supported function"],
      ["'a' | round(1)['x']", "expected }}, but found [ (line 1)"],
      ["{% filter nofilter %}{% endfilter %}", "the filter nofilter is not supported"],
      ["{% call f() %}{% endcall %}", "f() is not a supported function"],
      ["f(**{'a': 1})", "f() is not a supported function"],
      ["{% macro f(a) %}{{ a.b }}{% endmacro %}{{ f() }}", "a is not defined"],
      ["loop.index", "loop is not defined"],
      ["{% for x in [1] %}{{ loop.nope.x }}{% endfor %}", "loop.nope is not defined"],
      ["{% for x in [1] %}{{ loop(x) }}{% endfor %}", "loop() is not a supported function"],
      ["{% break %}", "a break outside a loop"],
      ["{% if true %}{% continue %}{% endif %}", "a continue outside a loop"],
      ["{% for x in [1] %}{% macro f() %}{% break %}{% endmacro %}{{ f() }}{% endfor %}", "a break outside a loop"],
      ["{% for x in [1] if y.z %}{% endfor %}", "y is not defined"],
      ["'x' is eq", "the test eq needs the argument other"],
      ["'x' is in", "the test in needs the argument seq"],
      ["'x' is gt", "the test gt needs the argument other"],
      ["1 is divisibleby", "the test divisibleby needs the argument num"],
      ["namespace(1)", "an integer is not a mapping"],
      ["dict(1)", "an integer is not a mapping"],
      ["dict(none)", "none is not a mapping"],
      ["ns.a.b", "ns is not defined"],
      [
        "{% for x in [1] %}{{ loop.previtem + x }}{% endfor %}",
        "loop.previtem, which is not defined, + an integer is not supported",
      ],
      [
        "{% for x in [1] %}{{ loop.nextitem + x }}{% endfor %}",
        "loop.nextitem, which is not defined, + an integer is not supported",
      ],
      ["{% for x in [1] %}{{ loop.cycle() + x }}{% endfor %}", "cycle() needs a value"],
      ["('a' if false) + 'b'", "an if without else, which is not defined, + a string is not supported"],
    ];
    expect(rows.map(([source]) => [source, refusal(source)])).toEqual(rows);
  });

  it("refuses unsupported features by name", () => {
    const rows: Rows = [
      ["{none: 1}", "none as a key is not supported"],
      ["{1.5: 1}", "a float as a key is not supported"],
      ["{(1, 2): 1}", "a tuple as a key is not supported"],
      ["namespace()", "a namespace cannot be printed"],
      ["range", "a function cannot be printed"],
      ["[range]", "a function cannot be printed"],
      ["[1] | select", "a generator cannot be printed"],
    ];
    expect(rows.map(([source]) => [source, refusal(source)])).toEqual(rows);
  });
});

describe("variables of a template", () => {
  it("are JSON values; undefined fields are absent", () => {
    const template = new JinjaTemplate(
      "{{ a is defined }}{{ b.c is defined }}{{ b }}{{ d }}{{ e }}{{ f }}{{ g }}{{ range }}",
    );
    const given = { a: undefined, b: { c: undefined, x: null }, d: 1, e: 2.5, f: [true, "x"], g: "text", range: "own" };
    expect(template.render(given)).toBe("FalseFalse{'x': None}12.5[True, 'x']textown");
  });

  it("do not change between renderings", () => {
    const template = new JinjaTemplate(
      "{% set a = a + [1] %}{% set b = 1 %}{{ a }}{{ b }}{{ c is defined }}{% set c = 1 %}",
    );
    const given = { a: [0] };
    expect([template.render(given), template.render(given), given]).toEqual([
      "[0, 1]1False",
      "[0, 1]1False",
      { a: [0] },
    ]);
  });
});

it("an error distinguishes a failure from a refusal, and keeps its cause", () => {
  const errorOf = (source: string): unknown => {
    try {
      return new JinjaTemplate(source).render({});
    } catch (error) {
      return error;
    }
  };
  for (const [source, message] of [
    [
      "{{ raise_exception('roles must ' ~ 'alternate') }}",
      "The model's chat template refuses the messages: roles must alternate",
    ],
    ["{{ 1 / 0 }}", "The model's chat template failed: division by zero"],
  ] as const) {
    const error = errorOf(source);
    expect(error).toBeInstanceOf(EngineError);
    expect(error).toMatchObject({ code: "template_error", param: "messages", message });
    expect((error as Error).cause).toBeInstanceOf(Error);
  }
});
