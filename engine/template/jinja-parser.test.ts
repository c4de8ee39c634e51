/** The grammar of templates. Expected results, except error messages, were recorded from Jinja itself. */

import { describe, expect, it } from "vitest";
import { type Rows, refusal, render } from "../../spec-tests/fixtures/templates.js";

describe("the grammar is Jinja's", () => {
  it.each<[string, Rows]>([
    [
      "raw blocks",
      [
        ["{% raw %}{{ x }}{% endraw %}|", "{{ x }}|"],
        ["  {% raw %}\n a {% endraw %}\n b", "\n a  b"],
        ["{%- raw -%}  {{ a }}  {%- endraw -%}  x", "{{ a }}x"],
        ["a{% raw %}{% if %}{# c #}{% endraw %}b", "a{% if %}{# c #}b"],
        ["{% raw %}  \n  {%+ endraw +%}\nx", "  \n  \nx"],
        ["  {%raw%}a{%endraw%}", "a"],
      ],
    ],
    [
      "with blocks",
      [
        ["{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}", "12False"],
        ["{% set a = 5 %}{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}", "155"],
        ["{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q is defined }}", "1False"],
        ["{% with a, b = (1, 2) %}{{ a + b }}{% endwith %}", "3"],
        [
          "{% for x in [1, 2] %}{% with y = x %}{% if y == 2 %}{% break %}{% endif %}{{ y }}{% endwith %}{% endfor %}",
          "1",
        ],
      ],
    ],
    [
      "signs in tags",
      [
        ["  {%+ if true %}x{% endif %}", "  x"],
        ["{% if true +%}\nx{% endif %}", "\nx"],
        ["a\n  {%- if true -%}  \n x{% endif %}", "ax"],
        ["  {#+ c #}x", "  x"],
        ["{# c +#}\nx", "\nx"],
        ["a {#- c -#} b", "ab"],
        ["  {{+ 1 }}", "  1"],
        ["{{ 1 -}}  x", "1x"],
        ["{{ - 1 }}", "-1"],
        ["\n\n{%- set a = 1 %}\n\nb", "\nb"],
      ],
    ],
    [
      "recursive loops",
      [
        [
          "{% for i in [{'v': 1, 'c': [{'v': 2, 'c': []}]}] recursive %}{{ i.v }}:{{ loop.depth }}{{ loop.depth0 }}({{ loop(i.c) }}){% endfor %}",
          "1:10(2:21())",
        ],
        ["{% for x in [] recursive %}{% else %}e{% endfor %}", "e"],
        ["{% for x in [1, [2, 3]] if x recursive %}{{ loop(x) if x is iterable else x }}{% endfor %}", "123"],
      ],
    ],
    [
      "filters of blocks",
      [
        ["{% set x | upper %}abc{% endset %}{{ x }}", "ABC"],
        ["{% set x | replace('a', 'b') | upper %}abc{% endset %}{{ x }}", "BBC"],
        ["{% filter upper | replace('A', 'x') %}abc{% endfilter %}", "xBC"],
        ["{% set x | length %}abc{% endset %}{{ x + 1 }}", "4"],
      ],
    ],
    [
      "tuples",
      [
        ["{{ 1, 2 }}", "(1, 2)"],
        ["()", "()"],
        ["(1,)", "(1,)"],
        ["{% set a = 1, %}{{ a }}", "(1,)"],
        ["{% for x in 1, 2 %}{{ x }}{% endfor %}", "12"],
        ["(1, 2) + (3,)", "(1, 2, 3)"],
        ["{% if 0, %}y{% endif %}", "y"],
        ["[(1, 2), ()]", "[(1, 2), ()]"],
        ["{% set (a, (b, c)) = 1, (2, 3) %}{{ a }}{{ b }}{{ c }}", "123"],
      ],
    ],
    [
      "tests",
      [
        ["6 is divisibleby 3", "True"],
        ["6 is divisibleby(4)", "False"],
        ["6 is divisibleby(num=3)", "True"],
        ["1 is in [1, 2]", "True"],
        ["1 is not in [1, 2]", "False"],
        ["'a' is in 'abc'", "True"],
        ["3 is sameas 3", "True"],
        ["3 is gt 2 and 2 is lt 3", "True"],
        ["'x' is filter", "False"],
        ["'upper' is filter", "True"],
        ["'odd' is test", "True"],
        ["'a' if x is defined else 'b'", "b"],
        ["not 1 is odd", "False"],
        ["1 is not odd or true", "True"],
      ],
    ],
    [
      "operators",
      [
        ["2 ** 10", "1024"],
        ["2 ** -1", "0.5"],
        ["-2 ** 2", "4"],
        ["2 ** 3 ** 2", "64"],
        ["0 ** 0", "1"],
        ["10 % 3", "1"],
        ["-7.5 // 2", "-4.0"],
        ["-7.5 % 2", "0.5"],
        ["7.5 % -2", "-0.5"],
        ["-0.5 // -2", "0.0"],
        ["0.5 // -2", "-1.0"],
        ["-0.0 // 2", "-0.0"],
        ["3 % -0.5", "-0.0"],
        ["-3 % 0.5", "0.0"],
        ["6 % -3", "0"],
        ["-7 // 2", "-4"],
        ["7 // -2", "-4"],
        ["-7 % 3", "2"],
        ["1 < 2 == true", "False"],
        ["1 == 1 == 1", "True"],
        ["1 in [1] == true", "False"],
        ["2 not in [1] != false", "True"],
        ["3 * 'ab'", "ababab"],
        ["(1, 2) * 2", "(1, 2, 1, 2)"],
        ["[1] * true", "[1]"],
        ["'a' * -1", ""],
      ],
    ],
    [
      "literals",
      [
        ["'a' 'b' ~ 'c'", "abc"],
        ["'\\x41\\u0042\\103\\q\\a\\b'", "ABC\\q\u0007\b"],
        ["'a\\\nb'", "ab"],
        ["'\\U0001f389'", "🎉"],
        ["0x1f + 0b11 + 0o17 + 1_000", "1049"],
        ["1.5e3", "1500.0"],
        ["1e-7", "1e-07"],
        ["1_0.5_0", "10.5"],
        ["{{ {'a': {'b': 1}}}}", "{'a': {'b': 1}}"],
        ["{'a': 1,}", "{'a': 1}"],
        ["[1, 2,]", "[1, 2]"],
        ["messages.0.role", "user"],
        ["messages[0]['role']|upper", "USER"],
        ["'é' ~ \"ü\"", "éü"],
        ["\"a'b\" ~ 'a\"b'", "a'ba\"b"],
        ["[[1, 2], [3]].0.1", "2"],
      ],
    ],
    [
      "other tags",
      [
        ["{% generation %}x{% endgeneration %}", "x"],
        ["{% print 1, 2 %}", "12"],
        ["{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}", "21"],
      ],
    ],
    [
      "targets",
      [
        ["{% set ns = namespace(a=1) %}{% set ns.a, b = 2, 3 %}{{ ns.a }}{{ b }}", "23"],
        ["{% for k, (v, w) in [(1, (2, 3))] %}{{ k }}{{ v }}{{ w }}{% endfor %}", "123"],
      ],
    ],
  ])("%s", (_, rows) => {
    expect(rows.map(([source]) => [source, render(source)])).toEqual(rows);
  });

  it("fails where Jinja fails, and reports the reason", () => {
    const rows: Rows = [
      ["{% for x in [1] %}{{ loop([2]) }}{% endfor %}", "loop() is not a supported function"],
      ["1 is odd is true", "a test of the result of a test needs parentheses (line 1)"],
      ["x is defined if y else z", "expected }}, but found y (line 1)"],
      ["1 if 2 if 3 else 4 else 5", "expected }}, but found else (line 1)"],
      ["1 + 2 ~ 3 + 4", "an integer + a string is not supported"],
      ["0 ** -1", "zero to a negative power"],
      ["{% set true = 1 %}", "true cannot be assigned to (line 1)"],
      ["{% set a.b = 1 %}", "a.b cannot be assigned to"],
      ["{% for a.b in [1] %}{% endfor %}", "a.b cannot be assigned to"],
      ["{% if %}", "expected an expression, but found %} (line 1)"],
      ["{% for x %}{% endfor %}", "expected in, but found %} (line 1)"],
      ["{% for in y %}", "expected in, but found y (line 1)"],
      ["{% endfor %}", "the tag endfor is not supported here (line 1)"],
      ["{% if 1 %}{% endfor %}", "the tag endfor is not supported here (line 1)"],
      ["{{ }}", "expected an expression, but found }} (line 1)"],
      ["{{ 1 2 }}", "expected }}, but found a number (line 1)"],
      ["{{ 'a }}", 'the character "\'" is not expected (line 1)'],
      ["{{ (1] }}", "the bracket ] closes nothing (line 1)"],
      ["{{ 1 + }}", "expected an expression, but found }} (line 1)"],
      ["{{ a..b }}", "expected an attribute, but found . (line 1)"],
      ["{{ a[] }}", "expected an index, but found ] (line 1)"],
      ["{{ a[1, 2] }}", "an index of several values is not supported (line 1)"],
      ["{% set %}", "expected a name to assign to, but found %} (line 1)"],
      ["{% macro f(a=1, b) %}{% endmacro %}", "the parameter b without a default follows one with a default (line 1)"],
      ["{% macro f(caller) %}{% endmacro %}", "the parameter caller needs a default (line 1)"],
      ["{% call(caller) f() %}{% endcall %}", "the parameter caller needs a default (line 1)"],
      ["{% call 1 %}{% endcall %}", "a call block must call a macro (line 1)"],
      ["{{ f(a=1, 2) }}", "an argument without a name follows one with a name (line 1)"],
      ["{{ f(**a, b) }}", "an argument without a name follows one with a name (line 1)"],
      ["{{ f(*a, *b) }}", "a call spreads two lists, or a list after a mapping (line 1)"],
      ["{% raw %}a", "a raw block has no end (line 1)"],
      ["{# c", "a comment has no end (line 1)"],
      ["{{ 1 is odd is even }}", "a test of the result of a test needs parentheses (line 1)"],
      ["{{ 'a' is }}", "expected the name of a test, but found }} (line 1)"],
      ["{{ a | }}", "expected the name of a filter, but found }} (line 1)"],
      ["{% set x | %}{% endset %}", "expected the name of a filter, but found %} (line 1)"],
      ["{{ ! }}", 'the character "!" is not expected (line 1)'],
      ["{% do 1 %}", "the tag do is not supported here (line 1)"],
      ["{% include 'x' %}", "the tag include is not supported here (line 1)"],
      ["{% extends 'x' %}", "the tag extends is not supported here (line 1)"],
      ["{% with a %}{% endwith %}", "expected =, but found %} (line 1)"],
      ["{{ {1} }}", "expected :, but found } (line 1)"],
      ["{{ 1__0 }}", "expected }}, but found __0 (line 1)"],
      ["{% for x in y if z else w %}{% endfor %}", "expected %}, but found else (line 1)"],
    ];
    expect(rows.map(([source]) => [source, refusal(source)])).toEqual(rows);
  });
});

describe("the time to parse", () => {
  it("grows with the length of a template of many names and macros, not with their product", () => {
    const names = Array.from({ length: 20_000 }, (_, index) => `a${index.toString(36)}`).join();
    const source = `{% set x = [${names}] %}${"{%macro a()%}{%endmacro%}".repeat(5000)}ok`;
    const start = performance.now();
    expect(render(source)).toBe("ok");
    expect(performance.now() - start).toBeLessThan(3000);
  });
});

describe("parameters of macros with special names", () => {
  it("are parameters as in Jinja", () => {
    const rows: Rows = [
      ["{% macro f(kwargs) %}{{ kwargs }}{% endmacro %}{{ f(1) }}", "1"],
      ["{% macro f(varargs) %}{{ varargs }}{% endmacro %}{{ f(1) }}", "1"],
      ["{% macro f(caller=1) %}{{ caller }}{% endmacro %}{{ f() }}|{{ f(caller=5) }}|{{ f(6) }}", "1|5|6"],
      ["{% macro f(caller=1) %}{{ caller() }}{% endmacro %}{% call f() %}x{% endcall %}", "x"],
      [
        "{% macro f(kwargs) %}{% macro g() %}{{ kwargs }}{% endmacro %}{{ g(b=1) }}{% endmacro %}{{ f(1) }}",
        "{'b': 1}",
      ],
    ];
    expect(rows.map(([source]) => [source, render(source)])).toEqual(rows);
  });

  it("take no further arguments, and macros have no attributes", () => {
    const rows: Rows = [
      ["{% macro f(kwargs) %}{{ kwargs }}{% endmacro %}{{ f(1, b=2) }}", "the macro f has no argument b"],
      [
        "{% macro f(varargs) %}{{ varargs }}{% endmacro %}{{ f(1, 2) }}",
        "the macro f takes at most 1 arguments, not 2",
      ],
      ["{% macro f() %}{% endmacro %}{{ f.name }}", "the attribute name of a function is not supported"],
      ["{% macro f() %}{% endmacro %}{{ f['arguments'] }}", "the attribute arguments of a function is not supported"],
    ];
    expect(rows.map(([source]) => [source, refusal(source)])).toEqual(rows);
  });
});
