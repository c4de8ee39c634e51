/** Values under Python's rules. What is expected was read from Jinja itself, but for the words of errors. */

import { describe, expect, it } from "vitest";
import { type Rows, refusal, render } from "../../spec-tests/fixtures/templates.js";

describe("values are Python's", () => {
  it.each<[string, Rows]>([
    ["what is true", [
      ["{% for x in [true, 1, 0.5, -1, 'a', [0], (0, 1), {'a': 0}, range(1), namespace(), {}.items, dict] %}{{ 'T' if x else 'F' }}{% endfor %}", "TTTTTTTTTTTT"],
      ["{% for x in [false, none, 0, 0.0, -0.0, '', [], {}, range(0), nothing] %}{{ 'T' if x else 'F' }}{% endfor %}", "FFFFFFFFFF"],
      ["not []", "True"], ["not 0.0", "True"], ["not (1, 2)", "False"], ["not nothing", "True"],
      ["'T' if ('ab'.split('b'))[1] else 'F'", "F"], ["'T' if 'x'.partition('y') else 'F'", "T"], ["'T' if (1, 2)[2:] else 'F'", "F"],
      ["'T' if [] | select else 'F'", "T"], ["'T' if {}.items() else 'F'", "F"], ["'T' if [] | map('upper') else 'F'", "T"],
    ]],
    ["what equals what", [
      ["1 == 1.0", "True"], ["true == 1", "True"], ["false == 0.0", "True"], ["true == 1.0", "True"], ["1 == 2", "False"],
      ["0 == none", "False"], ["false == none", "False"], ["'' == none", "False"], ["none == none", "True"], ["'a' == 'a'", "True"],
      ["'a' == 'b'", "False"], ["'a' == ['a']", "False"], ["['a'] == 'a'", "False"], ["'1' == 1", "False"], ["1 == '1'", "False"],
      ["'None' == none", "False"], ["[1, 2] == [1, 2]", "True"], ["[1, 2] == [2, 1]", "False"], ["[1] == [1, 2]", "False"],
      ["[1, 2] == [1]", "False"], ["[] == []", "True"], ["[1.0] == [true]", "True"], ["[[1]] == [[1]]", "True"],
      ["[[1]] == [[2]]", "False"], ["['a'] == ['b']", "False"], ["(1, 2) == (1, 2)", "True"], ["(1, 2) == (1, 3)", "False"],
      ["(1, 2) == [1, 2]", "False"], ["[1, 2] == (1, 2)", "False"], ["(1, 2) == 1", "False"],
      ["{'a': 1, 'b': 2} == {'b': 2, 'a': 1}", "True"], ["{'a': 1} == {'a': 2}", "False"], ["{'a': 1} == {'b': 1}", "False"],
      ["{'a': 1} == {'a': 1, 'b': 2}", "False"], ["{'a': 1, 'b': 2} == {'a': 1}", "False"], ["{} == {}", "True"], ["{} == []", "False"],
      ["[] == {}", "False"], ["{'a': none} == {'b': none}", "False"], ["nothing == nothing", "True"], ["nothing == other", "True"],
      ["nothing == none", "False"], ["none == nothing", "False"], ["nothing == false", "False"], ["'' == nothing", "False"],
      ["nothing == ''", "False"], ["1 != 1.0", "False"], ["'a' != 'b'", "True"], ["none != false", "True"], ["[1] != [1]", "False"],
      ["{% set ns = namespace(a=1) %}{{ ns == ns }}{{ ns == namespace(a=1) }}{{ dict == dict }}{{ dict == range }}", "TrueFalseTrueFalse"],
    ]],
    ["what is in what", [
      ["'b' in 'abc'", "True"], ["'' in 'abc'", "True"], ["'ac' in 'abc'", "False"], ["'d' not in 'abc'", "True"],
      ["'a' in ''", "False"], ["'' in ''", "True"], ["1 in [2, 1.0]", "True"], ["true in [1]", "True"], ["'1' in [1]", "False"],
      ["none in [none]", "True"], ["none in [0, '']", "False"], ["[1] in [[1]]", "True"], ["2 not in [1]", "True"],
      ["'a' in ('b', 'a')", "True"], ["'c' in ('b', 'a')", "False"], ["'a' in {'a': none}", "True"], ["none in {'a': none}", "False"],
      ["1 in {'a': 1}", "False"], ["3 in range(4)", "True"], ["4 in range(4)", "False"], ["'a' in nothing", "False"],
      ["'a' not in nothing", "True"], ["2 in [1, 2] | select", "True"],
    ]],
    ["what comes first", [
      ["1 < 2", "True"], ["2 < 1", "False"], ["1 < 1", "False"], ["1 <= 1", "True"], ["2 <= 1", "False"], ["1 > 1", "False"],
      ["2 > 1", "True"], ["1 >= 1", "True"], ["1 >= 2", "False"], ["1 < 1.5", "True"], ["true < 2", "True"], ["0.5 > false", "True"],
      ["2.0 <= 2", "True"], ["'a' < 'b'", "True"], ["'b' < 'a'", "False"], ["'a' < 'a'", "False"], ["'a' <= 'a'", "True"],
      ["'B' < 'a'", "True"], ["'a' < 'ab'", "True"], ["'ab' < 'a'", "False"], ["'' < 'a'", "True"], ["'a' < ''", "False"],
      ["'' < ''", "False"], ["'ab' > 'aa'", "True"], ["'10' < '9'", "True"], ["'🎉' > '\\uff5e'", "True"], ["'\\uff5e' > '🎉'", "False"],
      ["'a\\u0000' > 'a'", "True"], ["'\\u0000' < 'a'", "True"],
    ]],
    ["sums and products", [
      ["1 + 2", "3"], ["1 - 2", "-1"], ["2 * 3", "6"], ["1 + 2.0", "3.0"], ["1.5 + 1.5", "3.0"], ["0.1 + 0.2", "0.30000000000000004"],
      ["2.5 * 2", "5.0"], ["3 - 0.5", "2.5"], ["true + true", "2"], ["true * 2.0", "2.0"], ["7 / 2", "3.5"], ["6 / 3", "2.0"],
      ["0 / 5", "0.0"], ["-7 // 2", "-4"], ["7 // 2", "3"], ["7.0 // 2", "3.0"], ["-7.5 // 2", "-4.0"], ["7 % 3", "1"], ["-7 % 3", "2"],
      ["7 % -3", "-2"], ["7.5 % 2", "1.5"], ["-7.5 % 2", "0.5"], ["0 * -1", "0"], ["(0 * -1) / 2", "0.0"], ["0 * -1 // 2", "0"],
      ["-0.0", "-0.0"], ["0.0 * -1", "-0.0"], ["5 // 10", "0"], ["6 % 3", "0"], ["-(3)", "-3"], ["+(3)", "3"], ["-(1.5)", "-1.5"],
      ["+(1.5)", "1.5"], ["-true", "-1"], ["+true", "1"], ["- -3", "3"], ["'a' + 'b'", "ab"], ["[1] + [2, 3]", "[1, 2, 3]"],
      ["(1, 2) + (3, 4)", "(1, 2, 3, 4)"], ["[] + []", "[]"], ["[1] + []", "[1]"], ["'ab' * 2", "abab"], ["'ab' * 0", ""],
      ["'ab' * -1", ""], ["[1, 'a'] * 2", "[1, 'a', 1, 'a']"], ["[1] * 0", "[]"], ["[[1]] * 2", "[[1], [1]]"], ["[1] * -1", "[]"],
      ["9007199254740991", "9007199254740991"], ["-9007199254740991", "-9007199254740991"], ["9007199254740990 + 1", "9007199254740991"],
      ["-0 / 2", "0.0"], ["-(0) / 2", "0.0"], ["-0 * 1.5", "0.0"], ["'a' ~ 'b'", "ab"], ["1 ~ 2", "12"], ["[] ~ nothing ~ 'x'", "[]x"],
    ]],
    ["one element", [
      ["'abc'[0]", "a"], ["'abc'[-1]", "c"], ["'abc'[2]", "c"], ["'abc'[-3]", "a"], ["'abc'[3]", ""], ["'abc'[-4]", ""], ["''[0]", ""],
      ["[1, 2, 3][0]", "1"], ["[1, 2, 3][-1]", "3"], ["(1, 2, 3)[1]", "2"], ["[1][1]", ""], ["[1][-2]", ""], ["(1, 2)[2]", ""],
      ["[1, 2].0", "1"], ["[[1, 2], 3].0.1", "2"], ["'abc'.1", "b"], ["{0: 'a'}.0", "a"], ["{'a': 1}['a']", "1"], ["{'a': 1}.a", "1"],
      ["{'a': 1}.b", ""], ["{'a': 1}['b']", ""], ["{1: 'x'}[1]", "x"], ["{1: 'x'}['1']", ""], ["{1: 'x'}[true]", "x"],
      ["{'1': 'x'}[1]", ""], ["[1, 2][true]", "2"], ["[1, 2][false]", "1"], ["'ab'[true]", "b"], ["[1, 2]['a']", ""],
      ["[1, 2][none]", ""], ["'a'['b']", ""], ["1[0]", ""], ["none[0]", ""], ["1.5['a']", ""], ["[1]['upper'] is defined", "False"],
      ["{% set ns = namespace(a=1) %}{{ ns.a }}{{ ns['a'] }}|{{ ns.b }}|{{ ns['b'] }}", "11||"], ["'ab'['upper']()", "AB"],
      ["{'a': 1}['get']('a')", "1"], ["{'get': 1}['get']", "1"], ["{'get': none}['get']", "None"], ["{'get': 1}.get('get')", "1"],
      ["range(3)[1]", "1"], ["range(3)[-1]", "2"], ["range(3)[3]", ""], ["range(5)[1:3] | list", "[1, 2]"],
    ]],
    ["a slice", [
      ["'abcde'[1:3]", "bc"], ["'abcde'[:2]", "ab"], ["'abcde'[3:]", "de"], ["'abcde'[:]", "abcde"], ["'abcde'[-2:]", "de"],
      ["'abcde'[:-2]", "abc"], ["'abcde'[-4:-1]", "bcd"], ["'abcde'[0:0]", ""], ["'abcde'[3:1]", ""], ["'abcde'[0:]", "abcde"],
      ["'abcde'[:0]", ""], ["'abcde'[::2]", "ace"], ["'abcde'[1::2]", "bd"], ["'abcde'[:4:3]", "ad"], ["'abcde'[::-1]", "edcba"],
      ["'abcde'[3::-1]", "dcba"], ["'abcde'[:1:-1]", "edc"], ["'abcde'[::-2]", "eca"], ["'abcde'[-1:0:-1]", "edcb"],
      ["'abcde'[0::-1]", "a"], ["'abcde'[:0:-1]", "edcb"], ["'abcde'[1:3:-1]", ""], ["'abcde'[-2::-2]", "db"], ["'abc'[9:]", ""],
      ["'abc'[:9]", "abc"], ["'abc'[-9:]", "abc"], ["'abc'[:-9]", ""], ["'abc'[9::-1]", "cba"], ["'abc'[-9::-1]", ""],
      ["'abc'[:-9:-1]", "cba"], ["'abc'[:9:-1]", ""], ["''[::-1]", ""], ["''[1:]", ""], ["[1, 2, 3][1:]", "[2, 3]"],
      ["[1, 2, 3][::-1]", "[3, 2, 1]"], ["[1, 2, 3][-2:-1]", "[2]"], ["(1, 2, 3)[:2]", "(1, 2)"], ["(1, 2, 3)[:1]", "(1,)"],
      ["[][1:]", "[]"], ["(1, 2)[2:]", "()"], ["'abc'[none:2]", "ab"], ["'abc'[1:none]", "bc"], ["'abc'[none:none:none]", "abc"],
      ["'a🎉b'[1:2]", "🎉"], ["'a🎉b'[::-1]", "b🎉a"],
    ]],
    ["what is printed", [
      ["none", "None"], ["true", "True"], ["0", "0"], ["-12", "-12"], ["'a'", "a"], ["nothing", ""], ["[]", "[]"], ["{}", "{}"],
      ["[none, true, -1, 1.5, 'a']", "[None, True, -1, 1.5, 'a']"], ["[[1], {'a': {}}]", "[[1], {'a': {}}]"],
      ["[nothing]", "[Undefined]"], ["(1, 2)", "(1, 2)"], ["('a', none)", "('a', None)"], ["'a'.partition('b')", "('a', '', '')"],
      ["{'k': (1, 2)}", "{'k': (1, 2)}"], ["{'a': 1, 'b': [2]}", "{'a': 1, 'b': [2]}"], ["{1: 'a', 'b': none}", "{1: 'a', 'b': None}"],
      ["(1, 2)[:1]", "(1,)"], ["(1, 2)[:0]", "()"], ["[\"it's\", 'a\"b', \"it's \\\"a\\\"\"]", "[\"it's\", 'a\"b', 'it\\'s \"a\"']"],
      ["['a\\\\b', 'a\\nb', 'a\\rb', 'a\\tb']", "['a\\\\b', 'a\\nb', 'a\\rb', 'a\\tb']"],
      ["['\\u0000\\u0001\\u001f\\u007f', '\\u0080\\u00a0\\u00ad', ' ', '\\u3000\\u2028\\u200b\\ufeff', 'é日']", "['\\x00\\x01\\x1f\\x7f', '\\x80\\xa0\\xad', ' ', '\\u3000\\u2028\\u200b\\ufeff', 'é日']"],
      ["['\\u00ff\\u0100\\u200d', '\\ue000\\uf8ff']", "['ÿĀ\\u200d', '\\ue000\\uf8ff']"], ["['🎉', '\u{e0001}']", "['🎉', '\\U000e0001']"],
      ["'a\\nb'", "a\nb"], ["{'a\\n': \"'\"}", "{'a\\n': \"'\"}"],
    ]],
    ["numbers with a fraction", [
      ["1.0", "1.0"], ["0.0", "0.0"], ["-0.0", "-0.0"], ["1.50", "1.5"], ["-2.25", "-2.25"], ["100.0", "100.0"],
      ["1 / 3", "0.3333333333333333"], ["0.0001", "0.0001"], ["0.00012", "0.00012"], ["0.00009", "9e-05"], ["0.00001", "1e-05"],
      ["0.000000000012", "1.2e-11"], ["-0.00001", "-1e-05"], ["1000000000000000.0", "1000000000000000.0"],
      ["9999999999999998.0", "9999999999999998.0"], ["10000000000000000.0", "1e+16"], ["123456789012345680.0", "1.2345678901234568e+17"],
      ["-10000000000000000.0", "-1e+16"], ["[1.0, 0.5]", "[1.0, 0.5]"], ["1.0 ~ 'x'", "1.0x"], ["1.0 | string", "1.0"],
      ["[1.0, 0.00001] | tojson", "[1.0, 1e-05]"],
    ]],
    ["JSON", [
      ["none | tojson", "null"], ["true | tojson", "true"], ["false | tojson", "false"], ["1 | tojson", "1"], ["1.0 | tojson", "1.0"],
      ["'a' | tojson", "\"a\""], ["[] | tojson", "[]"], ["{} | tojson", "{}"], ["(1, 2) | tojson", "[1, 2]"],
      ["[true, none] | tojson", "[true, null]"],
      ["'a\"b\\\\c\\nd\\te\\rf\\u0000\\u001f\\u007f/\\b\\f<é\\u2028' | tojson", "\"a\\\"b\\\\c\\nd\\te\\rf\\u0000\\u001f\u007f/\\b\\f<é\u2028\""],
      ["['é🎉\\u007f\\u0080~a', {'ü': 1}] | tojson(ensure_ascii=true)", "[\"\\u00e9\\ud83c\\udf89\\u007f\\u0080~a\", {\"\\u00fc\": 1}]"],
      ["'é' | tojson(ensure_ascii=false)", "\"é\""], ["'é' | tojson(true)", "\"\\u00e9\""],
      ["{'b': {'d': 1, 'c': 2}, 'a': [{'z': 1, 'y': 2}]} | tojson", "{\"b\": {\"d\": 1, \"c\": 2}, \"a\": [{\"z\": 1, \"y\": 2}]}"],
      ["{'b': {'d': 1, 'c': 2}, 'a': [{'z': 1, 'y': 2}]} | tojson(sort_keys=true)", "{\"a\": [{\"y\": 2, \"z\": 1}], \"b\": {\"c\": 2, \"d\": 1}}"],
      ["{'b': 1, 'a': 2} | tojson(sort_keys=false)", "{\"b\": 1, \"a\": 2}"],
      ["{2: 'a', 1: 'b'} | tojson", "{\"2\": \"a\", \"1\": \"b\"}"],
      ["{2: 'a', 1: 'b'} | tojson(sort_keys=true)", "{\"1\": \"b\", \"2\": \"a\"}"],
      ["{'a': [1, {'b': []}], 'c': {}, 'd': 'x'} | tojson(indent=2)", "{\n  \"a\": [\n    1,\n    {\n      \"b\": []\n    }\n  ],\n  \"c\": {},\n  \"d\": \"x\"\n}"],
      ["[[1, 2], [3]] | tojson(indent=1)", "[\n [\n  1,\n  2\n ],\n [\n  3\n ]\n]"],
      ["[1, [2]] | tojson(indent=0)", "[\n1,\n[\n2\n]\n]"], ["{'a': [1, 2]} | tojson(separators=(',', ':'))", "{\"a\":[1,2]}"],
      ["{'a': [1, 2]} | tojson(separators=[' , ', ' : '])", "{\"a\" : [1 , 2]}"],
      ["{'a': [1, 2]} | tojson(indent=1, separators=(', ', ' = '))", "{\n \"a\" = [\n  1, \n  2\n ]\n}"],
      ["[1, 2] | tojson(false, 1)", "[\n 1,\n 2\n]"], ["[1, 2] | tojson(indent=none)", "[1, 2]"],
      ["[1, 2] | tojson(separators=none)", "[1, 2]"], ["{'b':1,'a':2} | tojson(false, none, none, true)", "{\"a\": 2, \"b\": 1}"],
    ]],
    ["how long it is", [
      ["'abc' | length", "3"], ["'' | length", "0"], ["'é🎉' | length", "2"], ["'🎉🎉' | count", "2"], ["[1, 2] | length", "2"],
      ["(1, 2, 3) | length", "3"], ["{'a': 1} | length", "1"], ["nothing | length", "0"], ["range(5) | length", "5"],
    ]],
    ["what can be walked", [
      ["{% for x in [1, 2] %}{{ x }}{% endfor %}", "12"], ["{% for x in (1, 2) %}{{ x }}{% endfor %}", "12"],
      ["{% for x in {'a': 1} %}{{ x }}{% endfor %}", "a"], ["{% for x in 'é🎉a' %}{{ x }}.{% endfor %}", "é.🎉.a."],
      ["{% for x in nothing %}{{ x }}{% endfor %}", ""], ["{% for x in [1] | select %}{{ x }}{% endfor %}", "1"],
      ["{% for x in range(2) %}{{ x }}{% endfor %}", "01"],
    ]],
  ])("%s", (_, rows) => {
    expect(rows.map(([source]) => [source, render(source)])).toEqual(rows);
  });
});

describe("what fails in Jinja fails here", () => {
  it("with a word on why", () => {
    const rows: Rows = [
      ["1 + 'a'", "an integer + a string has no meaning"], ["'a' - 'b'", "a string - a string has no meaning"],
      ["'a' * 'b'", "a string * a string has no meaning"], ["'a' * 1.5", "a string * a float has no meaning"],
      ["'a' / 2", "a string / an integer has no meaning"], ["[1] + (2, 3)", "a list + a tuple has no meaning"],
      ["(1, 2) + [3]", "a tuple + a list has no meaning"], ["[1] + 'a'", "a list + a string has no meaning"],
      ["'a' + [1]", "a string + a list has no meaning"], ["[1] * [2]", "a list * a list has no meaning"],
      ["[1] - 1", "a list - an integer has no meaning"], ["none + 1", "none + an integer has no meaning"],
      ["{} + {}", "Parser Error: Expected closing expression token. UnaryOperator !== CloseExpression."],
      ["nothing + 'a'", "nothing, which is not defined, + a string has no meaning"],
      ["nothing ~ nothing + 1", "a string + an integer has no meaning"], ["-'a'", "- of a string has no meaning"],
      ["+none", "+ of none has no meaning"], ["1 / 0", "division by zero"], ["1 // 0", "division by zero"],
      ["1 % 0", "division by zero"], ["1.0 / 0", "division by zero"], ["1 < 'a'", "an integer and a string have no order"],
      ["'a' < 1", "a string and an integer have no order"], ["none < 1", "none and an integer have no order"],
      ["nothing < 1", "nothing, which is not defined, and an integer have no order"], ["[1] < 2", "a list and an integer have no order"],
      ["{} < {}", "a mapping and a mapping have no order"], ["1 in 'a'", "an integer is looked for in a string"],
      ["none in 'a'", "none is looked for in a string"], ["1 in 2", "an integer cannot be walked"],
      ["1 in none", "none cannot be walked"], ["1 | length", "an integer cannot be walked"], ["none | length", "none cannot be walked"],
      ["[1] | select | length", "a generator has no length"], ["1.5 | length", "a float cannot be walked"],
      ["true | length", "a boolean cannot be walked"], ["dict | length", "a function cannot be walked"],
      ["namespace() | length", "a namespace cannot be walked"], ["'a'[::0]", "a slice's step is zero"],
      ["[1][:none:0]", "a slice's step is zero"], ["nothing | tojson", "nothing, which is not defined, cannot be written as JSON"],
      ["dict | tojson", "a function cannot be written as JSON"],
      ["[nothing] | tojson", "nothing, which is not defined, cannot be written as JSON"],
      ["namespace() | tojson", "a namespace cannot be written as JSON"],
      ["[1] | select | tojson", "a generator cannot be written as JSON"], ["nothing[0]", "nothing is not defined"],
      ["nothing.a", "nothing is not defined"], ["nothing['a']", "nothing is not defined"],
      ["{'a': 1, 2: 3} | tojson(sort_keys=true)", "an integer and a string have no order"],
      ["'a' % 1", "a string % an integer has no meaning"], ["{% for x in 1 %}{% endfor %}", "an integer cannot be walked"],
      ["{% for x in none %}{% endfor %}", "none cannot be walked"], ["{% for x in 1.5 %}{% endfor %}", "a float cannot be walked"],
      ["{% for x in true %}{% endfor %}", "a boolean cannot be walked"],
    ];
    expect(rows.map(([source]) => [source, refusal(source)])).toEqual(rows);
  });

  it("and what is not built is refused by name", () => {
    const rows: Rows = [
      ["1[1:]", "an integer cannot be cut"], ["{'a': 1}[1:]", "a mapping cannot be cut"], ["none[:1]", "none cannot be cut"],
      ["'a'['b':]", "a string where an integer belongs"], ["'a'[1.0:]", "a float where an integer belongs"],
      ["3 * 'ab'", "an integer * a string has no meaning"], ["(1, 2) * 2", "a tuple * an integer has no meaning"],
      ["'a' * true", "a string * a boolean has no meaning"], ["2 ** 3", "the operator ** is not known"],
      ["'%s' % 'a'", "a string % a string has no meaning"], ["[1] < [2]", "a list and a list have no order"],
      ["'abc'[true:]", "a boolean where an integer belongs"], ["9007199254740992", "an integer beyond 2^53 is not supported"],
      ["9007199254740991 + 1", "an integer beyond 2^53 is not supported"],
      ["-9007199254740991 - 1", "an integer beyond 2^53 is not supported"], ["namespace()", "a namespace cannot be written"],
      ["range", "a function cannot be written"], ["[range]", "a function cannot be written"],
      ["[1] | select", "a generator cannot be written"], ["{'a': [1] | select}", "a generator cannot be written"],
    ];
    expect(rows.map(([source]) => [source, refusal(source)])).toEqual(rows);
  });
});
