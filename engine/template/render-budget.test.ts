/** Tests that hostile templates are refused soon, whatever they do, and that long chats are rendered. */

import { describe, expect, it } from "vitest";

import { byteLevelJson } from "../../spec-tests/fixtures/tokenizers.js";
import { Canceled } from "../budget.js";
import { EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import { Tokenizer } from "../text/index.js";
import { ChatTemplate } from "./chat-template.js";
import { JinjaTemplate } from "./jinja-template.js";
import { SourcedText } from "./sourced-text.js";

function failure(run: () => unknown): EngineError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(EngineError);
    return error as EngineError;
  }
  throw new Error("it did not fail");
}

const STEPS = /takes more than \d+ steps/;
const CHARACTERS = /creates texts and lists of more than \d+ characters in total/;
const DEPTH = /nests calls, blocks or values more than 400 deep/;
const ANY = /^/;

const many = (body: string, times = 40): string =>
  `{% set ns = namespace(l=[0], s='x', t=('x','y'), v=[], w=[]) %}{% for i in range(${times}) %}${body}{% endfor %}`;
const nested = (body: string, depth = 4): string =>
  "{% for i in range(99999) %}".repeat(depth) + body + "{% endfor %}".repeat(depth);

const NAMES = Array.from({ length: 999 }, (_, index) => `a${index}`).join();
/** Repeats a body in which `s` and `p` are long texts that are equal, and `m` a mapping. */
const twoTexts = (body: string): string =>
  `{% set s = 'a' * 4000000 %}{% set p = 'a' * 4000000 %}{% set m = {'a': 1} %}${many(body, 99)}`;

const HOSTILE: readonly (readonly [name: string, source: string, limit: RegExp])[] = [
  ["nested loops", nested(""), STEPS],
  ["nested loops that print", nested("x"), STEPS],
  ["nested loops that set", nested("{% set a = i %}"), STEPS],
  ["a loop that breaks the inner one", nested("{% break %}"), CHARACTERS],
  ["doubled lists", many("{% set ns.l = ns.l + ns.l %}"), CHARACTERS],
  ["doubled tuples", many("{% set ns.t = ns.t + ns.t %}"), CHARACTERS],
  ["doubled strings", many("{% set ns.s = ns.s + ns.s %}"), CHARACTERS],
  ["strings doubled by ~", many("{% set ns.s = ns.s ~ ns.s %}"), CHARACTERS],
  ["strings doubled by a block", many("{% set b %}{{ ns.s }}{{ ns.s }}{% endset %}{% set ns.s = b %}"), CHARACTERS],
  ["strings doubled by join", many("{% set ns.s = [ns.s, ns.s] | join %}"), CHARACTERS],
  ["strings doubled by a method", many("{% set ns.s = ns.s.join(['a', 'b', 'c']) %}"), CHARACTERS],
  ["strings squared by replace", many("{% set ns.s = ns.s.replace('x', ns.s ~ 'x') %}"), CHARACTERS],
  ["strings squared by the filter replace", many("{% set ns.s = ns.s | replace('', ns.s) %}"), CHARACTERS],
  ["a list of lists of lists, printed", many("{% set ns.v = [ns.v, ns.v] %}") + "{{ ns.v }}", STEPS],
  ["a list of lists of lists, as JSON", many("{% set ns.v = [ns.v, ns.v] %}") + "{{ ns.v | tojson }}", STEPS],
  ["a mapping of mappings, printed", many("{% set ns.v = {'a': ns.v, 'b': ns.v} %}") + "{{ ns.v }}", CHARACTERS],
  [
    "lists of equal lists, compared",
    many("{% set ns.v = [ns.v, ns.v] %}{% set ns.w = [ns.w, ns.w] %}") + "{{ ns.v == ns.w }}",
    STEPS,
  ],
  ["a repeated string", "{{ 'x' * 999999999 }}", CHARACTERS],
  ["a repeated message", "{{ messages[0].content * 999999999 }}", CHARACTERS],
  ["a string repeated 2^52 times", "{{ 'x' * 4503599627370496 }}", CHARACTERS],
  ["a repeated list", "{{ [1] * 999999999 }}", CHARACTERS],
  ["a repeated long list", "{{ (range(99999) | list * 999999) | length }}", CHARACTERS],
  ["a long range", "{{ range(999999999) }}", /range\(\) of more than 100000 numbers/],
  ["many long ranges", "{% for i in range(99999) %}{% set a = range(99999) %}{% endfor %}", CHARACTERS],
  ["an indented text", "{{ 'a\nb' | indent(999999999) }}", CHARACTERS],
  ["an indented text with a long margin", "{{ ('a\n' * 99999) | indent('x' * 99999) }}", CHARACTERS],
  ["indented JSON", "{{ [1] | tojson(indent=999999999) }}", CHARACTERS],
  ["JSON with a long separator", "{{ range(9999) | list | tojson(separators=('x' * 99999, ':')) }}", CHARACTERS],
  [
    "quotes of quotes",
    "{% set ns = namespace(s='\\\\') %}{% for i in range(99) %}{% set ns.s = ns.s | tojson %}{% endfor %}",
    CHARACTERS,
  ],
  ["a text that is cut into words", "{{ ('x ' * 9999999).split() | length }}", CHARACTERS],
  ["a text that is cut into parts", "{{ ('x ' * 9999999).split(' ') | length }}", CHARACTERS],
  ["a text that is cut into lines", "{{ ('x\n' * 9999999).splitlines() | length }}", CHARACTERS],
  ["a text that is cut into characters", "{{ ('x' * 9999999) | list | length }}", CHARACTERS],
  ["searches that backtrack", many("{{ ('a' * 999999).find('b' ~ 'a' * 99999) }}", 9999), ANY],
  ["searches for a text in itself", many("{{ ('b' ~ 'a' * 999999) in ('a' * 9999999) }}", 9999), ANY],
  ["a macro that calls itself", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", DEPTH],
  [
    "a macro that calls itself twice",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    STEPS,
  ],
  [
    "a call block that calls itself",
    "{% macro f() %}{% if caller %}{% endif %}{% call f() %}{% endcall %}{% endmacro %}{{ f() }}",
    DEPTH,
  ],
  ["a value that nests deeply", many("{% set ns.v = [ns.v] %}", 9999) + "{{ ns.v }}", DEPTH],
  ["a value that nests deeply, as JSON", many("{% set ns.v = [ns.v] %}", 9999) + "{{ ns.v | tojson }}", DEPTH],
  ["mapped generators", many("{% set ns.l = ns.l | map('string') %}", 9999) + "{{ ns.l | list }}", DEPTH],
  ["a long sum", `{{ 1${"+1".repeat(50_000)} }}`, DEPTH],
  ["a long chain of attributes", `{{ x${".a".repeat(50_000)} }}`, DEPTH],
  ["a long chain of comparisons", many(`{{ 1${"!=2!=1".repeat(25_000)} }}`, 99), STEPS],
  ["a long chain of filters", `{{ x${"|trim".repeat(50_000)} }}`, DEPTH],
  ["many branches", `{% if false %}${"{% elif false %}".repeat(5000)}{% endif %}`, ANY],
  ["sorting", "{% for i in range(99) %}{{ range(99999) | sort(reverse=true) | length }}{% endfor %}", STEPS],
  [
    "stripping of many characters",
    "{% set x = 'b' * 99999 %}{% for i in range(99999) %}{{ 'a'.strip(x) }}{% endfor %}",
    STEPS,
  ],
  ["different items", "{{ range(99999) | unique | list }}", STEPS],
  ["a huge power", "{{ 9 ** 999999999 }}", /an integer beyond 2\^53 is not supported/],
  ["a huge product", "{{ 999999999 * 999999999 }}", /an integer beyond 2\^53 is not supported/],
  [
    "a power that takes long",
    "{{ 1 ** 9007199254740991 + 2 ** 9007199254740991 }}",
    /an integer beyond 2\^53 is not supported/,
  ],
  ["a wide format", "{{ '%999999999d' % 1 }}", CHARACTERS],
  ["a wide format of a text", "{{ '%*s' % (999999999, 'a') }}", CHARACTERS],
  ["a format with many zeros", "{{ '%.999999999d' % 1 }}", CHARACTERS],
  ["a format with many digits", "{{ '%.999999999f' % 1.5 }}", /more than 400 digits/],
  ["a wide field", "{{ '{:>999999999}'.format(1) }}", CHARACTERS],
  ["a wide field whose width is a value", "{{ '{:{}}'.format('a', 999999999) }}", CHARACTERS],
  ["a field with many digits", "{{ '{:.999999999e}'.format(1.5) }}", /more than 400 digits/],
  ["a format of many fields", "{{ ('{0}' * 999999).format('x' * 999999) }}", CHARACTERS],
  ["formats of formats", many("{% set ns.s = (ns.s ~ '{0}{0}').format(ns.s) %}"), CHARACTERS],
  ["deep fields", "{{ '{' * 99999 }}{{ ('{' * 99999 ~ '}' * 99999).format(1) }}", ANY],
  ["a centered text", "{{ 'a' | center(999999999) }}", CHARACTERS],
  ["a text with zeros before it", "{{ 'a'.zfill(999999999) }}", CHARACTERS],
  ["a text with a wide margin", "{{ 'a'.rjust(999999999, 'b') ~ 'a'.ljust(999999999) }}", CHARACTERS],
  ["a filled batch", "{{ [1] | batch(999999999, 0) | list | length }}", CHARACTERS],
  ["many columns", "{{ [1] | slice(999999999, 0) | list | length }}", STEPS],
  ["groups", many("{{ range(9999) | groupby('a', default=1) | length }}", 999), ANY],
  ["groups of different values", many("{% set a = range(99999) | map('list') | list %}"), ANY],
  ["sums of lists", "{{ range(99999) | map('string') | map('list') | sum(start=[]) | length }}", CHARACTERS],
  ["a spread list", many("{% set ns.l = range(*([1] * 99999)) %}", 9999), ANY],
  ["a recursive loop", "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", DEPTH],
  [
    "a recursive loop that doubles",
    "{% for x in [1, 2] recursive %}{{ loop([1, 2]) if loop.depth < 60 }}{% endfor %}",
    STEPS,
  ],
  ["a date that is repeated", "{{ strftime_now('%A' * 9999999) }}", CHARACTERS],
  ["a generator of a generator of itself", many("{% set ns.l = ns.l | batch(2) %}", 9999) + "{{ ns.l | list }}", DEPTH],
  ["views", nested("{% set a = {'a': 1, 'b': 2}.items() %}"), STEPS],
  [
    "nested lists, compared by order",
    many("{% set ns.v = [ns.v, ns.v] %}{% set ns.w = [ns.w, ns.w] %}") + "{{ ns.v < ns.w }}",
    STEPS,
  ],
  ["places in a long text", many("{{ ('🎉' * 99999).find('a', 5) }}", 9999), CHARACTERS],
  ["a long path", "{{ range(99999) | map(attribute='a.' * 99999, default={}) | list | length }}", STEPS],
  [
    "a path that is found again and again",
    "{% set x = [[[[[[1]]]]]] * 999 %}{% for i in range(999) %}{{ x | map(attribute='0.0.0.0.0') | list | length }}{% endfor %}",
    STEPS,
  ],
  ["calls of a macro with many parameters", `{% macro f(${NAMES}) %}{% endmacro %}` + many("{{ f() }}", 9999), STEPS],
  ["assignments to many names", "{% set x = range(999) %}" + many(`{% set ${NAMES} = x %}`, 9999), STEPS],
  ["a long key that is not found", "{% set x = {} %}" + many(`{% set y = x['${"a".repeat(99_999)}'] %}`, 9999), STEPS],
  ["comparisons of a long prefix", twoTexts("{% set y = s.removeprefix(p) %}"), STEPS],
  ["comparisons of a long suffix", twoTexts("{% set y = s.removesuffix(p) %}"), STEPS],
  ["comparisons of identity", twoTexts("{% set y = s is sameas p %}"), STEPS],
  ["searches of a long key", twoTexts("{% set y = m[p] %}"), STEPS],
  ["searches of a long key with in", twoTexts("{% set y = p in m %}"), STEPS],
  ["searches of a long key with get", twoTexts("{% set y = m.get(p) %}"), STEPS],
  ["searches of a long attribute", twoTexts("{% set y = m | attr(p) %}"), STEPS],
  ["a long key", "{{ {'a' * 16001: 1} | length }}", /a key of more than 16000 characters/],
  ["long keys of pairs", "{{ dict([['a' * 16001, 1]]) | length }}", /a key of more than 16000 characters/],
  [
    "names in many scopes",
    "{% with %}".repeat(380) + many(`{% set y = [${"q,".repeat(10)}] %}`, 9999) + "{% endwith %}".repeat(380),
    STEPS,
  ],
  [
    "a long prompt",
    "{{ messages[0].content * 1100000 }}",
    /its prompt has \d{7} characters; at most \d{7} are allowed/,
  ],
  ["a long error", "{{ raise_exception('x' * 9999999) }}", /refuses the messages: xxx/],
];

describe("hostile templates", () => {
  it.each(HOSTILE)("are refused: %s", (_, source, limit) => {
    const error = failure(() => {
      const text = new ChatTemplate(`${source}{{ messages }}`, {}, tokenizer());
      return text.render([{ role: "user", content: "a" }]);
    });
    expect(error).toMatchObject({ code: "template_error" });
    expect(error.message).toMatch(limit);
    expect(error.message.length).toBeLessThan(1100);
  });

  it.each([
    ["parentheses", `{{ ${"(".repeat(20_000)}1${")".repeat(20_000)} }}`, "nested more than 400 deep"],
    ["lists", `{{ ${"[".repeat(20_000)}`, "nested more than 400 deep"],
    ["blocks", "{% if true %}".repeat(15_000), "nested more than 400 deep"],
    ["negations", `{{ ${"not ".repeat(50_000)}1 }}`, "nested more than 400 deep"],
    ["its length", "x".repeat(LIMITS.maxTemplateCharacters + 1), "at most 262144 are supported"],
    ["an open block", "{% for x in y %}", "a block has no end; expected endfor or else (line 1)"],
    ["an open list", "{{ [", "expected an expression, but found the end of the template (line 1)"],
    ["an open tag", "{%", "expected the name of a tag, but found the end of the template"],
    ["an open call", "{{\nf(", "expected an expression, but found the end of the template (line 2)"],
    ["a missing parenthesis", "{{ (1 }}", "the bracket } closes nothing"],
    ["an unexpected line", "{{ 1 \u0000\n }}", 'the character "\\u0000" is not expected'],
  ])("cannot be parsed: %s", (_, source, words) => {
    const error = failure(() => new ChatTemplate(source, {}, tokenizer()).render([{ role: "user", content: "a" }]));
    expect(error.code).toBe("template_error");
    expect(error.message).toContain("cannot be parsed");
    expect(error.message).toContain(words);
    expect(error.message).not.toMatch(/\p{Cc}|undefined|\$\{/u);
  });

  it("raise errors of one line", () => {
    const source = "{{ raise_exception('a\\n\\n b\u001b[31m c\\r') }}";
    const error = failure(() => new ChatTemplate(source, {}, tokenizer()).render([{ role: "user", content: "a" }]));
    expect(error.message).toBe("The model's chat template refuses the messages: a b [31m c");
  });

  it("are bounded when the model is loaded, however many tokens it has", () => {
    const added = Array.from({ length: 5000 }, (_, i) => ({ id: 1000 + i, content: `<|${i}|>`, special: false }));
    const json = { ...byteLevelJson([], []), added_tokens: added };
    const template = new ChatTemplate(nested("<|1|>"), {}, new Tokenizer(json, {}));
    expect(failure(() => template.render([{ role: "user", content: "a" }])).message).toMatch(STEPS);
  });

  it("stop when they are canceled", () => {
    const template = new ChatTemplate(nested(""), {}, tokenizer());
    expect(() => template.render([{ role: "user", content: "a" }], { isCanceled: () => true })).toThrow(Canceled);
  });
});

const CHATML =
  "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.content is string %}{% set c = m.content.split('</think>')[-1].lstrip('\n') %}" +
  "{{ (c | trim) + '<|im_end|>' + '\n' }}{% endif %}{% endfor %}";
/** As in Qwen3: a loop over reversed messages finds the last question. */
const REVERSED =
  "{% set ns = namespace(last=messages | length - 1, open=true) %}{% for m in messages[::-1] %}{% set i = (messages | length - 1) - loop.index0 %}" +
  "{% if ns.open and m.role == 'user' and not (m.content.startswith('<tool>') and m.content.endswith('</tool>')) %}{% set ns.open = false %}{% set ns.last = i %}{% endif %}{% endfor %}";

describe("places in long lists", () => {
  it("are searched from the given start on", () => {
    const source = "{% set l = range(99999) | list %}" + many("{% set y = l.index(99998, 99998) %}", 20_000) + "ok";
    const start = performance.now();
    expect(new JinjaTemplate(source).render({})).toBe("ok");
    expect(performance.now() - start).toBeLessThan(1500);
  });
});

describe("long keys of a request", () => {
  it("are refused, because a mapping of them takes quadratic time", () => {
    const template = new ChatTemplate("{{ messages[0].content }}", {}, tokenizer());
    const render = (length: number): unknown =>
      template.render([{ role: "user", content: "a" }], { variables: { v: { ["k".repeat(length)]: 1 } } });
    expect(failure(() => render(16_001)).message).toContain("a key of more than 16000 characters is not supported");
    expect(render(16_000)).toMatchObject({ text: "a" });
  });
});

describe("long chats", () => {
  it.each([
    ["one message of 8 MiB", 1, 8 << 20],
    ["many messages", 20_000, 400],
    ["very many empty messages", 200_000, 0],
  ])("are rendered: %s", (_, count, length) => {
    const messages = Array.from({ length: count }, (_, i) => ({
      role: i % 2 === 0 ? ("user" as const) : ("assistant" as const),
      content: "ü".repeat(length),
    }));
    const { text } = new ChatTemplate(REVERSED + CHATML, {}, tokenizer()).render(messages);
    expect(text.length).toBeGreaterThan(count * length);
  });

  it("create no text so long that replacing parts of it would end the process", () => {
    const template = new ChatTemplate("{{ (messages[0].content * 20) | title }}", {}, tokenizer());
    const { message } = failure(() => template.render([{ role: "user", content: "a ".repeat(1 << 20) }]));
    expect(message).toContain(`it creates a text of more than ${LIMITS.maxRenderedTextCharacters} characters`);
  });

  it.each([
    ["{{ messages[0].content | length }}", "300001"],
    ["{{ messages[0].content[1:] | length }}{{ messages[0].content[:2] }}", "300000😀a"],
    ["{{ messages[0].content[-1] }}{{ messages[0].content[0] }}{{ messages[0].content[300001] }}", "a😀"],
    ["{{ messages[0].content | truncate(9, true) }}", "😀aaaaa..."],
    ["{{ '%.2s' % messages[0].content }}", "😀a"],
  ])("count and cut characters of two code units: %s", (source, expected) => {
    const content = "😀" + "a".repeat(300_000);
    const template = new ChatTemplate(`${source}{{ messages[0].content }}`, {}, tokenizer());
    expect(template.render([{ role: "user", content }]).text).toBe(expected + content);
  });

  it("keeps the origin of a long message", () => {
    const text = new JinjaTemplate("<{{ x[:5] }}{{ x[-1] }}{{ x[2:4][::-1] }}>").render({
      x: SourcedText.ofMessage("abcdefgh"),
    });
    expect(text).toMatchObject({ text: "<abcdehdc>", isMessage: Uint8Array.from([0, 1, 1, 1, 1, 1, 1, 1, 1, 0]) });
  });
});

function tokenizer(): Tokenizer {
  return new Tokenizer(byteLevelJson([], []), {});
}
