/** Tests the origin of characters in rendered text, written as `m` for a message and `.` for the template. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { JinjaTemplate } from "./jinja-template.js";
import { RenderBudget } from "./render-budget.js";
import {
  SourcedText,
  type Text,
  characters,
  concat,
  cut,
  isText,
  join,
  plain,
  repeat,
  rewrite,
} from "./sourced-text.js";

const budget = RenderBudget.forMessages(0);
const message = SourcedText.ofMessage;
const drawn = (text: Text): [string, string] => {
  const isMessage = typeof text === "string" ? new Uint8Array(text.length) : text.isMessage;
  return [plain(text), Array.from(isMessage, (each) => (each === 1 ? "m" : ".")).join("")];
};

describe("text with an origin", () => {
  it("keeps the origin in slices", () => {
    const text = concat(["<", message("ab"), ">"], budget);
    expect(drawn(text)).toEqual(["<ab>", ".mm."]);
    expect(drawn(cut(text, 0, 2))).toEqual(["<a", ".m"]);
    expect(drawn(cut(text, 2, 4))).toEqual(["b>", "m."]);
    expect(drawn(cut(text, 2, 2))).toEqual(["", ""]);
    expect(cut("abc", 1, 2)).toBe("b");
  });

  it("keeps the origin in concatenations, and stays a plain string if no part is from a message", () => {
    expect(drawn(concat([message("a"), "b", message(""), message("🎉")], budget))).toEqual(["ab🎉", "m.mm"]);
    expect(concat(["a", "b"], budget)).toBe("ab");
    expect(concat([], budget)).toBe("");
    expect(drawn(join([message("a"), "b", message("c")], ", ", budget))).toEqual(["a, b, c", "m.....m"]);
    expect(drawn(join(["1", "2", "3"], message("a"), budget))).toEqual(["1a2a3", ".m.m."]);
    expect(drawn(join([message("a")], "-", budget))).toEqual(["a", "m"]);
    expect(join([], "-", budget)).toBe("");
  });

  it("keeps the origin per character when transformed, or is all message text if the length changes", () => {
    const upper = (text: Text): Text => rewrite(text, (each) => each.toUpperCase(), budget);
    expect(drawn(upper(concat(["x", message("y"), "z"], budget)))).toEqual(["XYZ", ".m."]);
    expect(drawn(upper(concat(["x", message("ß"), "z"], budget)))).toEqual(["XSSZ", "mmmm"]);
    expect(upper("xß")).toBe("XSS");
  });

  it("keeps the origin when repeated", () => {
    expect(drawn(repeat(concat(["<", message("a")], budget), 3, budget))).toEqual(["<a<a<a", ".m.m.m"]);
    expect([repeat("ab", 2, budget), repeat("ab", -1, budget), repeat("", 1e15, budget)]).toEqual(["abab", "", ""]);
  });

  it("splits into code points", () => {
    expect(characters(concat([message("a🎉"), "🎉b"], budget), budget).map(drawn)).toEqual([
      ["a", "m"],
      ["🎉", "mm"],
      ["🎉", ".."],
      ["b", "."],
    ]);
    expect(characters("a🎉", budget)).toEqual(["a", "🎉"]);
  });

  it("is text, like a string", () => {
    expect([message(""), "", 1, null, { text: "" }].map(isText)).toEqual([true, true, false, false, false]);
  });
});

const renderText = (source: string, x: string, y = ""): Text =>
  new JinjaTemplate(source).render({ x: message(x), y: message(y), messages: [{ role: "user", content: message(x) }] });

/** Operations that keep the characters of messages. Text that the templates write themselves has no letters. */
const KEEPING: readonly string[] = [
  "{{ x }}",
  "<{{ x }}>{{ 12 }}",
  "{{ x ~ '1' ~ y }}{{ x + '|' + y }}",
  "{{ x * 3 }}",
  "{{ x[1:] }}.{{ x[:2] }}.{{ x[-1] }}.{{ x[::2] }}.{{ x[::-1] }}",
  "{{ x | reverse }}{{ x | first }}{{ x | last }}",
  "{{ x.upper() }}{{ x.lower() }}{{ x | capitalize }}{{ x | title }}{{ x.title() }}{{ x.capitalize() }}{{ x | upper }}{{ x | lower }}",
  "{{ ('1' ~ x ~ '2').upper() }}{{ ('1' ~ x ~ '2') | title }}",
  "{{ x | trim }}{{ x.strip() }}{{ x.lstrip('a') }}{{ x.rstrip('b') }}{{ ('12' ~ x ~ '34').strip('14') }}",
  "{{ x.removeprefix('a') }}{{ x.removesuffix('b') }}{{ ('1' ~ x).removeprefix('1') }}{{ (x ~ '1').removesuffix('1') }}",
  "{{ x.split('a') | join('1') }}{{ x.split() | join(' , ') }}{{ x.split('b', 1) | join('2') }}{{ x.rsplit('b', 1) | join('3') }}",
  "{{ x.split(none, 1) | join('|') }}{{ x.rsplit(none, 1) | join('|') }}",
  "{{ ('1,' ~ x ~ ',2').split(',') | join('-') }}{{ ('1,' ~ x ~ ',2').rsplit(',', 1) | last }}",
  "{{ x.partition('a')[0] }}{{ x.partition('a')[2] }}{{ x.rpartition('b')[0] }}{{ x.rpartition('b')[2] }}",
  "{{ x.replace('a', '1') }}{{ x | replace('b', '', 1) }}{{ '1-2'.replace('-', x) }}{{ x.replace('', '-') }}",
  "{{ x | indent(2, true) }}{{ x | indent('> ') }}{{ x.splitlines() | join('/') }}",
  "{{ [x, '1', y] | join(', ') }}{{ x.join(['1', '2']) }}{{ '-'.join([x, y]) }}{{ x | join('.') }}{{ ['1', '2'] | join(x) }}",
  "{% for c in x %}{{ c }}{{ loop.nextitem }}-{% endfor %}{{ x | list | join }}{{ x | sort | join }}{{ x | unique | join }}",
  "{{ [x, y] | map('upper') | join('1') }}{{ messages | map(attribute='content') | join('2') }}{{ [x, y] | select | join('3') }}",
  "{{ [x, y] | sort | join }}{{ [x, y] | max }}{{ [x, y] | min }}{{ [x] | reverse | join }}{{ [y, x] | unique | join }}{{ [x, y] | reject('eq', '') | join }}",
  "{{ nothing | default(x) }}{{ x | default('1') }}{{ '' | default(x, true) }}{{ '' or x }}{{ x and y }}{{ x if true else '1' }}",
  "{{ x | string }}{{ x | safe }}{{ {'1': x}['1'] }}{{ {'1': x}.get('1') }}{{ dict(_=x)._ }}{{ (x, y)[0] }}{{ [[x]][0][0] }}",
  "{% for k, v in {'1': x}.items() %}{{ k }}{{ v }}{% endfor %}{% for k, v in {'1': x} | dictsort %}{{ v }}{% endfor %}{{ {'1': x}.values() | join }}",
  "{% set z = x %}{{ z }}{% set z %}1{{ x }}2{% endset %}{{ z }}{% set n = namespace(_='1') %}{% set n._ = n._ + x %}{{ n._ }}",
  "{% macro f(_, __='1') %}<{{ _ }}{{ __ }}>{{ caller() if caller else '' }}{% endmacro %}{{ f(x) }}{{ f('1', __=x) | trim }}{% call f(x) %}{{ x }}!{% endcall %}",
  "{{ (x | safe) + '1' }}{{ '2' + (x | safe) }}{{ (x | e)[0] }}{{ x | safe | upper | trim }}{{ (x | safe) | list | join }}",
  "{% filter upper %}1{{ x }}2{% endfilter %}{% filter replace('1', '2') %}1{{ x }}{% endfilter %}",
  "{{ '%s-%s' % (x, y) }}{{ '%(_)s|' % {'_': x} }}{{ x % () }}{{ '%8s|%-8s|%.2s' % (x, y, x) }}{{ (x ~ '-%d') % 5 }}{{ '%s' | format(x) }}",
  "{{ '{}-{}'.format(x, y) }}{{ x.format() }}{{ (x ~ '{{}}').format() }}{{ '{:>8}|{:^8}|{:.1}|{!s:3}'.format(x, y, x, y) }}{{ '{_[0]}'.format(_=[x]) }}",
  "{{ ('{:' ~ (x ~ '-')[0] ~ '>5}').format(1) }}{{ '{:{}>5}'.format(1, (x ~ '-')[0]) }}{{ '{_}'.format_map({'_': x}) }}",
  "{{ x.center(9) }}{{ x.center(9, (y ~ '-')[0]) }}{{ x | center(7) }}{{ x.ljust(9, '1') }}{{ x.rjust(9, (y ~ '-')[0]) }}{{ x.zfill(9) }}{{ ('-' ~ x).zfill(9) }}",
  "{{ x.swapcase() }}{{ x.splitlines(true) | join }}{{ (x ~ '\\n' ~ y).splitlines(true) | join('1') }}{{ (x | attr('upper'))() }}",
  "{{ (x ~ '12345678') | truncate(9, true, '-', 0) }}{{ (x ~ ' 12345678') | truncate(9, end=y, leeway=0) if y | length < 9 }}",
  "{% for k, l in [{'_': x}, {'_': y}] | groupby('_') %}{{ k }}{{ l[0]._ }}{% endfor %}{{ x | batch(2, '-') | map('join') | join }}{{ x | slice(2) | map('join') | join }}",
  "{{ [y, x] | min(case_sensitive=true) }}{{ [[x], [y]] | sum(start=[]) | join }}{{ ((x,) * 2) | join }}{{ 2 * x }}{{ [x].copy()[0] }}{{ {'_': x}.copy()._ }}",
  "{% for _ in [x, [y]] recursive %}{{ loop(_) if _ is not string else _ }}{% endfor %}{% with _ = x %}{{ _ }}{% endwith %}{% set _ | upper %}1{{ x }}{% endset %}{{ _ }}",
  "{% set c = cycler(x, y) %}{{ c.next() }}{{ c.next() }}{{ c.current }}{% set j = joiner(x) %}{{ j() }}{{ j() }}{% for _ in [1, 2] %}{{ loop.cycle(x, '1') }}{% endfor %}",
  "{{ [1, 2] | tojson(indent=x) }}{{ [1, 2] | tojson(separators=(x, ':')) }}{{ '1\\n2' | indent(x, true) }}{{ strftime_now(x ~ '%d' ~ y) }}{% generation %}{{ x }}{% endgeneration %}",
];

const letters = fc.string({ unit: fc.constantFrom("a", "b", "A", "B", "é", "c", "a", "b"), maxLength: 6 });

describe("operations that keep characters", () => {
  it.each(KEEPING)("%s: exactly the characters of messages count as message text", (source) => {
    fc.assert(
      fc.property(letters, letters, (x, y) => {
        const [text, origin] = drawn(renderText(source, x, y));
        expect(origin).toBe(text.replace(/[a-zé]/gi, "m").replace(/[^m]/g, "."));
      }),
      { numRuns: 60 },
    );
  });

  it.each<[source: string, text: string, origin: string]>([
    ["[{{ x[1:3] }}]", "[ b]", ".mm."],
    ["{{ x.split() | join('  ') }}", "a  b  🎉", "m..m..mm"],
    ["{{ x.split(' ', 1) | join('  ') }}", "a  b 🎉\n", "m..mmmmm"],
    ["{{ (' 1' ~ x ~ '2 ').strip() }}", "1a b 🎉\n2", ".mmmmmmm."],
    ["{{ (' ' ~ x ~ ' ').strip() }}", "a b 🎉", "mmmmmm"],
    ["{{ ('1 ' ~ x).partition(' ') | join('|') }}", "1| |a b 🎉\n", "....mmmmmmm"],
    ["{{ x.partition(' ') | join('|') }}", "a| |b 🎉\n", "m...mmmmm"],
    ["{{ x.replace(' ', '_') }}", "a_b_🎉\n", "m.m.mmm"],
    ["{{ (x ~ '2') | indent(1, true) }}", " a b 🎉\n 2", ".mmmmmm..."],
    ["{{ x | reverse }}", "\n🎉 b a", "mmmmmmm"],
    ["{{ (x ~ 12) | reverse }}", "21\n🎉 b a", "..mmmmmmm"],
    ["{{ x | length }}{{ x is string }}{{ 'a' in x }}{{ x.find('b') }}", "6TrueTrue2", ".........."],
  ])("%s renders %s with the right origin", (source, text, origin) => {
    expect(drawn(renderText(source, "a b 🎉\n"))).toEqual([text, origin]);
  });
});

it("message text compares, sorts and works as a key like the same string", () => {
  const rows: [source: string, expected: string][] = [
    [
      "{{ x == 'ab' }}{{ 'ab' == x }}{{ x != 'ab' }}{{ x == 'a' }}{{ x == y }}{{ x == 1 }}",
      "TrueTrueFalseFalseFalseFalse",
    ],
    [
      "{{ x in ['ab'] }}{{ 'ab' in [x] }}{{ 'b' in x }}{{ x in 'cabc' }}{{ [x] == ['ab'] }}{{ {'k': x} == {'k': 'ab'} }}",
      "TrueTrueTrueTrueTrueTrue",
    ],
    ["{{ x < 'b' }}{{ 'b' < x }}{{ x <= 'ab' }}{{ [x, 'ab'] | unique | list | length }}", "TrueFalseTrue1"],
    [
      "{{ {'ab': 1}[x] }}{{ {'ab': 1}.get(x) }}{{ {'ab': 1} is mapping }}{{ 'upper'[x] is defined }}{{ 'T' if x else 'F' }}{{ 'T' if y else 'F' }}",
      "11TrueFalseTF",
    ],
    [
      "{{ x is string }}{{ x is iterable }}{{ x is sequence }}{{ x is lower }}{{ x | length }}{{ '7' ~ x | int(1) }}",
      "TrueTrueTrueTrue271",
    ],
  ];
  expect(rows.map(([source]) => [source, plain(renderText(source, "ab"))])).toEqual(rows);
});

describe("representations of message text count as message text, including quotes and escapes", () => {
  it.each<[source: string, text: string, origin: string]>([
    ["{{ [x, 'b'] }}", "['a\"\\n', 'b']", ".mmmmmm......"],
    ["{{ (x,'b') }}{{ {'k': x} }}", "('a\"\\n', 'b'){'k': 'a\"\\n'}", ".mmmmmm............mmmmmm."],
    ["{{ x | tojson }}", '"a\\"\\n"', "mmmmmmm"],
    ["{{ {'k': [x, 1]} | tojson }}", '{"k": ["a\\"\\n", 1]}', ".......mmmmmmm....."],
    ["{{ [x, 'b'] | tojson(indent=1) }}", '[\n "a\\"\\n",\n "b"\n]', "...mmmmmmm........"],
    ["{{ messages | tojson }}", '[{"role": "user", "content": "a\\"\\n"}]', ".............................mmmmmmm.."],
    ["{{ [x | string, 1] | string | upper }}", "['A\"\\N', 1]", ".mmmmmm...."],
  ])("%s", (source, text, origin) => {
    expect(drawn(renderText(source, 'a"\n'))).toEqual([text, origin]);
  });

  it("also if a change of case changes the length", () => {
    expect(drawn(renderText("{{ ('1' ~ x) | upper }}", "ß"))).toEqual(["1SS", "mmm"]);
  });
});

it("an entity of escaped text has the origin of its character", () => {
  expect(drawn(renderText("{{ ('<' ~ x) | escape }}{{ ('1' | safe) + x }}", "a<"))).toEqual([
    "&lt;a&lt;1a&lt;",
    "....mmmmm.mmmmm",
  ]);
});
