/** Where Python's rules and JavaScript's, or a simpler interpreter's, give different prompts. What is expected was read from Jinja itself. */

import { describe, expect, it } from "vitest";
import { JinjaTemplate } from "./jinja-template.js";

const messages = [
  { role: "user", content: "Hello 🎉 wörld" },
  { role: "assistant", content: "ok" },
  { role: "user", content: "" },
];
const render = (source: string): unknown => new JinjaTemplate(source).render({ messages, tools: null, bos_token: "<s>" });

describe("templates mean what they mean in Python", () => {
  it.each([
    ["what is set in a turn of a loop is gone in the next", "{% set x = 0 %}{% for m in messages %}{{ x }}{% set x = x + 1 %}{% endfor %}{{ x }}", "0000"],
    ["also behind an if", "{% for m in messages %}{% if loop.first %}{% set y = 1 %}{% endif %}{{ y is defined }}{% endfor %}", "TrueFalseFalse"],
    ["but an if is no scope", "{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}", "2"],
    ["a namespace reaches out", "{% set ns = namespace(x=1) %}{% for m in messages %}{% set ns.x = ns.x + 1 %}{% endfor %}{{ ns.x }}", "4"],
    ["a break keeps what its turn has written", "{% for m in messages %}{{ m.role }}{% if loop.index == 2 %}{% break %}{% endif %}{% endfor %}", "userassistant"],
    ["and so does a continue", "{% for m in messages %}{{ loop.index }}{% if loop.first %}{% continue %}{% endif %}!{% endfor %}", "12!3!"],
    ["a filtered loop counts what is left", "{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ loop.length }}{{ loop.last }} {% endfor %}", "12False 22True "],
    ["a loop over nothing has an else", "{% for x in nothing %}a{% else %}empty{% endfor %}", "empty"],
    ["constants are printed", "{{ true }}{{ false }}{{ none }}{{ 1.5 }}{{ 2.0 }}|{{ nothing }}|", "TrueFalseNone1.52.0||"],
    ["lists too", "{{ [1, 'a', none, true, \"it's\"] }}{{ {'a': 1} }}{{ ('a', 'b') }}", "[1, 'a', None, True, \"it's\"]{'a': 1}('a', 'b')"],
    ["characters are code points", "{{ messages[0].content | length }} {{ '🎉ab'[0] }} {{ '🎉ab'[1:] }} {{ '🎉ab'[::-1] }} {{ 'abc'[9] }}", "13 🎉 ab ba🎉 "],
    ["none, nothing, false and zero differ", "{{ 'a' == none }}{{ nothing == none }}{{ '' == false }}{{ '1' == 1 }}{{ 0 == false }}{{ [1] == [1] }}", "FalseFalseFalseFalseTrueTrue"],
    ["nothing is in nothing, and has no length", "{{ 'a' in nothing }}{{ nothing | length }}{{ nothing | default('d') }}{{ none | default('d') }}{{ '' | default('d', true) }}", "False0dNoned"],
    ["all is joined with ~", "{{ 'a' ~ 1 ~ none ~ true ~ 1.0 }}", "a1NoneTrue1.0"],
    ["division and remainder", "{{ -7 // 2 }} {{ -7 % 3 }} {{ 4 / 2 }} {{ 7 % 3 }}", "-4 2 2.0 1"],
    ["strings", "{{ 'a,b,c'.split(',', 1) }}{{ 'a,b,c'.rsplit(',', 1) }}{{ ' a  b '.split() }}{{ 'aBC' | capitalize }}", "['a', 'b,c']['a,b', 'c']['a', 'b']Abc"],
    ["more strings", "{{ 'abc'.find('c') }}{{ 'abc'.removeprefix('a') }}{{ 'abc'.endswith(('x', 'c')) }}{{ 'aaa'.replace('a', 'b', 2) }}{{ '-'.join(['a', 'b']) }}", "2bcTruebbaa-b"],
    ["lines", "{{ 'a\\nb\\n\\nc' | indent }}|{{ 'a\\nb\\r\\nc'.splitlines() }}", "a\n    b\n\n    c|['a', 'b', 'c']"],
    ["selections", "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ messages | rejectattr('role', 'in', ['user']) | map(attribute='content') | join }}{{ ['a', 'b'] | map('upper') | join }}", "2okAB"],
    ["a selection from none is empty, and true", "{{ tools | selectattr('x') | list }}{{ 'yes' if tools | selectattr('x') else 'no' }}", "[]yes"],
    ["JSON", "{{ {'b': [1, 2.0, none, 'é<'], 'a': {}} | tojson }}{{ {'b': [1], 'a': []} | tojson(indent=2) }}", '{"b": [1, 2.0, null, "é<"], "a": {}}{\n  "b": [\n    1\n  ],\n  "a": []\n}'],
    ["macros", "{% macro f(a, b='d') %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f(b=3, a=none) }}{{ f('x') | upper }}", "1dNone3XD"],
    ["call blocks", "{% macro f(a) %}{{ a }}{{ caller() }}{% endmacro %}{% call f(1) %}body{% endcall %}", "1body"],
    ["keys come before methods in brackets only", "{{ {'items': 1}['items'] }}{{ {'x': none}.x }}{{ {'x': none}.get('x', 2) }}{{ {}.get('x', 2) }}", "1NoneNone2"],
    ["white space around blocks", "  {% if true %}\n  x\n  {% endif %}\n y\n", "  x\n y"],
    ["lines of any system", "\r\na\r{{ 'x\r\ny' }}\r\n", "\na\nx\ny"],
  ])("%s", (_, source, expected) => {
    expect(render(source)).toBe(expected);
  });

  it.each([
    ["a filter", "{{ 'a' | wordwrap }}", "the filter wordwrap is not known"],
    ["a test", "{{ 'a' is escaped }}", "the test escaped is not known"],
    ["a function", "{{ cycler('a') }}", "cycler(), which is not known"],
    ["a method", "{{ messages[0].content.zfill(3) }}", "messages[0].content.zfill(), which is not known"],
    ["a change of what is given", "{% set _ = messages.append(1) %}", "messages.append(), which is not known"],
    ["a part of nothing", "{{ messages[9].content }}", "messages[9] is not defined"],
    ["a sum of string and number", "{{ 'a' + 1 }}", "a string + an integer has no meaning"],
    ["an operator", "{{ 2 ** 3 }}", "the operator ** is not known"],
    ["the date", "{{ strftime_now('%d') }}", "strftime_now(), which is not known (the date is not given"],
    ["too long a range", "{{ range(100001) }}", "more than 100000"],
    ["a loop over none", "{% for x in tools %}{% endfor %}", "none cannot be walked"],
  ])("what is not there is refused by name: %s", (_, source, words) => {
    expect(() => render(source)).toThrow(words);
  });

  it.each([
    ["do", "{% do 1 %}"],
    ["with", "{% with a = 1 %}{% endwith %}"],
    ["include", "{% include 'x' %}"],
  ])("and so is the tag %s", (name, source) => {
    expect(() => new JinjaTemplate(source)).toThrow(name);
  });
});
