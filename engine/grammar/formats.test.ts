import fc from "fast-check";
import { domainToASCII, domainToUnicode } from "node:url";
import { describe, expect, it } from "vitest";
import { check, schema } from "../../spec-tests/fixtures/grammars.js";
import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { FORMATS, formatLanguage, numberFormat } from "./formats.js";
import { type Language, Languages } from "./language.js";

const languages = new Languages(null);

function strings(format: string): Language {
  return languages.settle(formatLanguage(languages, format)!, 20_000);
}

/** Reads a text of the language: each number chooses a character, and at the end the shortest way is taken. */
function textOf(language: Language, choices: readonly number[]): string {
  let text = "";
  let state = language;
  for (let step = 0; ; step++) {
    const { partition, targets } = languages.steps(state);
    const choice = choices[step];
    if (targets.length === 0 || (state.isAccepting && (choice === undefined || choice % 16 === 0))) return text;
    let index = targets.indexOf(targets.reduce((least, target) => (target.shortest < least.shortest ? target : least)));
    if (choice !== undefined) index = (choice >> 4) % targets.length;
    const ranges = Array.from(partition.firsts, (first, at) => ({
      first,
      end: partition.ends[at]!,
      in: partition.classes[at],
    }));
    const own = ranges.filter((one) => one.in === index);
    const { first, end } = own[((choice ?? 0) >> 10) % own.length]!;
    text += String.fromCodePoint(first + (((choice ?? 0) >> 14) % (end - first)));
    state = targets[index]!;
  }
}

const choices = fc.array(fc.nat(), { maxLength: 40 });

/** Expects that texts of a format fulfil a condition, and that they are not all alike. */
function expectAll(format: string, condition: (text: string) => void): void {
  const language = strings(format);
  const seen = new Set<string>();
  const property = fc.property(choices, (chosen) => {
    const text = textOf(language, chosen);
    expect(languages.has(language, text)).toBe(true);
    seen.add(text);
    condition(text);
  });
  fc.assert(property, { numRuns: numCases(4000) });
  expect(seen.size).toBeGreaterThan(numCases(1000) / 2);
}

/** Expects that a format contains the same texts as a reference. */
function expectSame(format: string, alphabet: readonly string[], isValid: (text: string) => boolean): void {
  const language = strings(format);
  const some = fc.oneof(
    fc.string({ unit: fc.constantFrom(...alphabet), maxLength: 9 }),
    // Texts of the format with one part replaced, which may be still valid.
    fc.tuple(choices, fc.nat(), fc.nat(2), fc.constantFrom(...alphabet, "")).map(([chosen, at, length, part]) => {
      const text = [...textOf(language, chosen)];
      const place = at % (text.length + 1);
      return [...text.slice(0, place), part, ...text.slice(place + length)].join("");
    }),
  );
  const property = fc.property(some, (text) => {
    expect(languages.has(language, text), JSON.stringify(text)).toBe(isValid(text));
  });
  fc.assert(property, { numRuns: numCases(8000) });
}

const UNRESERVED = "[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2}";
const of = (more: string): RegExp => new RegExp(`^(?:${UNRESERVED}|[${more}])*$`);

/** RFC 3986, appendix B: splits a reference, and checks each component. */
function isReference(text: string, needsScheme: boolean): boolean {
  const [, , scheme, , authority, path, , query = "", , fragment = ""] =
    /^(([^:/?#]+):)?(\/\/([^/?#]*))?([^?#]*)(\?([^#]*))?(#([^]*))?$/.exec(text) ?? [];
  if (path === undefined) return false;
  if (scheme !== undefined ? !/^[A-Za-z][A-Za-z0-9+.-]*$/.test(scheme) : needsScheme) return false;
  if (scheme === undefined && authority === undefined && /^[^/]*:/.test(path)) return false;
  if (authority !== undefined) {
    const [, , user = "", host = "", , port = ""] = /^(([^@]*)@)?(\[[^\]]*\]|[^:@]*)(:(.*))?$/s.exec(authority) ?? [];
    if (!/^(?:([^@]*)@)?(\[[^\]]*\]|[^:@]*)(:(.*))?$/s.test(authority)) return false;
    if (!of(":").test(user) || !/^\d*$/.test(port)) return false;
    if (host.startsWith("[")) {
      if (!host.endsWith("]")) return false;
      const address = host.slice(1, -1);
      if (!/^v[\da-f]+\.[\w.~!$&'()*+,;=:-]+$/i.test(address) && !languages.has(strings("ipv6"), address)) return false;
    } else if (!of("%").test(host.replace(/%(?![\da-fA-F]{2})/, "\0"))) return false;
  }
  return of(":@/").test(path) && of(":@/?").test(query) && of(":@/?").test(fragment);
}

/** RFC 3987, section 3.1: an IRI is valid if the URI is with each further character percent-encoded. */
function isIri(text: string, needsScheme: boolean): boolean {
  const privateInQuery = /(?<=^[^#?]*\?[^#]*)[\ue000-\uf8ff\u{f0000}-\u{ffffd}\u{100000}-\u{10fffd}]/gu;
  const allowed = text.replace(privateInQuery, "é");
  if (/[\x80-\x9f\ue000-\uf8ff\ufdd0-\ufdef\ufff0-\uffff\u{e0000}-\u{e0fff}\u{f0000}-\u{10ffff}]/u.test(allowed))
    return false;
  if ([...allowed].some((character) => (character.codePointAt(0)! & 0xfffe) === 0xfffe)) return false;
  return isReference(allowed.replace(/[\x80-\u{10ffff}]/gu, encodeURIComponent), needsScheme);
}

const URI_PARTS = [
  "a",
  ":",
  "/",
  "//",
  "?",
  "#",
  "@",
  "[",
  "]",
  "::1",
  "%41",
  "%",
  "1",
  "v1.",
  "é",
  " ",
  "\\",
  "a:",
  "\n",
];
const IRI_PARTS = [
  ...URI_PARTS,
  "é",
  "龥",
  "\ue000",
  "\u{f0000}",
  "\ufdd0",
  "\u{1fffe}",
  "\u{1fffd}",
  "\u{e0000}",
  "\x85",
  "\xa0",
];

describe("formats contain the same strings as their RFC", () => {
  it.each([
    ["uri", URI_PARTS, (text: string) => isReference(text, true)],
    ["uri-reference", URI_PARTS, (text: string) => isReference(text, false)],
    ["iri", IRI_PARTS, (text: string) => isIri(text, true)],
    ["iri-reference", IRI_PARTS, (text: string) => isIri(text, false)],
    [
      "json-pointer",
      ["/", "~", "~0", "~1", "a", "é", "0", "\n"],
      (text: string) => text === "" || (text.startsWith("/") && !/~(?![01])/.test(text)),
    ],
    [
      "relative-json-pointer",
      ["/", "~", "~0", "a", "0", "1", "01", "#", "-"],
      (text: string) => {
        const [, up, rest] = /^(\d+)([^]*)$/.exec(text) ?? [];
        return (
          up !== undefined &&
          String(BigInt(up)) === up &&
          (rest === "#" || rest === "" || (rest!.startsWith("/") && !/~(?![01])/.test(rest!)))
        );
      },
    ],
    [
      "byte",
      ["A", "Q", "/", "+", "=", "==", "AAAA", "g", "-"],
      (text: string) => Buffer.from(text, "base64").toString("base64") === text,
    ],
    [
      "uri-template",
      [
        "{",
        "}",
        "a",
        "+",
        "#",
        "?",
        ":1",
        "*",
        ",",
        ".",
        "%41",
        "%",
        " ",
        "é",
        "'",
        "<",
        "|",
        "=",
        "!",
        "{a}",
        ":0",
        ":10000",
      ],
      (text: string) =>
        text.split(/(\{[^{}]*\})/).every((part, index) =>
          index % 2 === 0
            ? !/[\x00- "<>\\^`{|}\x7f-\x9f\ufdd0-\ufdef\ufff0-\uffff\u{e0000}-\u{e0fff}]|%(?![\da-fA-F]{2})/u.test(
                part,
              ) && ![...part].some((character) => (character.codePointAt(0)! & 0xfffe) === 0xfffe)
            : part
                .slice(1, -1)
                .replace(/^[+#./;?&]/, "")
                .split(",")
                .every((variable) =>
                  /^(?:\w|%[\da-fA-F]{2})+(?:\.(?:\w|%[\da-fA-F]{2})+)*(?::[1-9]\d{0,3}|\*)?$/.test(variable),
                ),
        ),
    ],
  ] as const)("%s", (format, alphabet, isValid) => expectSame(format, alphabet, isValid));
});

describe("formats that contain a part of the valid strings", () => {
  it("regex: all are expressions of ECMA-262, with and without the u flag", () => {
    expectAll("regex", (text) => {
      for (const flags of ["u", ""]) expect(() => new RegExp(text, flags), JSON.stringify(text)).not.toThrow();
    });
  });

  it("regex: usual expressions are among them", () => {
    const usual = [
      "",
      "^[a-z0-9]+(?:-[a-z0-9]+)*$",
      "^\\d{4}-\\d{2}-\\d{2}$",
      "^[\\w.%+-]+@[\\w.-]+\\.[A-Za-z]{2,}$",
      "(a|b)*?c",
      "^(?!.*--)(?=.{1,253}$)[^\\s/]+$",
      "^\\s*$",
      "^https?://[^/\\s]+/.*$",
      "[\\u4e00-\\u9fa5]+",
      "^\\+?[1-9]\\d{1,14}$",
      "^((25[0-5]|2[0-4]\\d|1?\\d?\\d)(\\.|$)){4}",
      "^[À-ÿ \\-']{2,64}$",
      "\\bfoo\\b",
      "^[^\\n\\r]{0,255}$",
      "[ -~]",
      "[\u00e0-\u{1f600}]",
      "[\ue000-\uffff]",
      "(((((a)))))",
    ];
    const language = strings("regex");
    for (const text of usual) expect(languages.has(language, text), text).toBe(!text.startsWith("((((("));
    for (const text of [
      "(",
      ")",
      "[b-a]",
      "a**",
      "{1}",
      "a{2,1}",
      "[",
      "\\",
      "\\1",
      "a{",
      "(?<=a)",
      "[\\d-z]",
      "(?=a)*",
      "^*",
      "]",
      // Without the u flag, the range ends with the first half of the last character.
      "[\ue000-\u{1f600}]",
    ])
      expect(languages.has(language, text), text).toBe(false);
  });

  it("idn-hostname: the A-labels of all are valid", () => {
    expectAll("idn-hostname", (text) => {
      const ascii = domainToASCII(text);
      // Host names that end in a number are addresses for Node.
      if (/(?:^|\.)\d[^.]*$/.test(text) || /[A-Z]/.test(text)) return;
      expect(ascii, text).not.toBe("");
      expect(domainToUnicode(ascii)).toBe(text);
      expect(ascii.length).toBeLessThanOrEqual(253);
      for (const label of ascii.split(".")) expect(label.length, text).toBeLessThanOrEqual(63);
    });
  });

  it("idn-hostname and idn-email: usual names are among them", () => {
    check(
      schema({ type: "string", format: "idn-hostname" }),
      [
        '"bücher.example"',
        '"παράδειγμα.δοκιμή"',
        '"例え.テスト"',
        '"실례.테스트"',
        '"www.почта.рф"',
        '"a-b.example"',
        '"straße.de"',
      ],
      [
        '"bü--cher.de"',
        '"-ü.de"',
        '"ü-.de"',
        '"Bücher.de"',
        '"xn--bcher-kva.de"',
        '"ü..de"',
        `"${"ü".repeat(15)}.de"`,
        '"аa.example"',
      ],
    );
    check(
      schema({ type: "string", format: "idn-email" }),
      ['"jörg@bücher.example"', '"a@b.c"', '"δοκιμή@παράδειγμα.δοκιμή"', '"a@[127.0.0.1]"'],
      ['"jörg"', '"a@ü-"', '"a b@c"', '"@c"'],
    );
  });
});

describe("formats of numbers", () => {
  it("have the ranges of their integers", () => {
    expect(numberFormat("int32")!.max!.digits).toBe(2147483647n);
    expect(numberFormat("int64")!.min!.digits).toBe(-9223372036854775808n);
    for (const format of ["float", "double", "date", "int", "__proto__"]) expect(numberFormat(format)).toBe(null);
  });
});

it("leap seconds have offsets of whole quarters of an hour", () => {
  check(
    schema({ type: "string", format: "time" }),
    ['"23:59:60Z"', '"23:59:60.5+00:00"', '"15:59:60-08:00"', '"05:44:60+05:45"', '"20:29:60-03:30"'],
    ['"23:58:60Z"', '"23:59:60+01:00"', '"00:00:60+00:01"', '"15:59:60+08:00"'],
  );
});

it("every enforced format is a language without dead ends", () => {
  for (const { format, note } of FORMATS)
    if (note !== "numbers") expect(strings(format), format).not.toBe(languages.none);
});
