import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type CallForm, type WrittenCall, writtenCalls } from "./call-form.js";
import type { ParameterKind, ParameterMarkup } from "../grammar/index.js";
import { CallParser, type CallSegment } from "./call-parser.js";

const TAGGED: CallForm = {
  open: "",
  separator: "\n",
  close: "",
  before: '<call>\n{"name": "',
  between: '", "arguments": ',
  after: "}\n</call>",
  isNameFirst: true,
  tag: null,
  parameters: null,
  trigger: "<call>",
  mayFollowText: true,
  argumentsAs: "object",
  hasShortIds: false,
  tokens: [],
};
const LIST: CallForm = {
  ...TAGGED,
  open: "[CALLS] [",
  separator: ", ",
  close: "]",
  before: '{"name": "',
  after: "}",
  trigger: "[CALLS]",
};
const BARE: CallForm = { ...LIST, open: "", separator: null, close: "", trigger: null, mayFollowText: false };
const NAME_LAST: CallForm = {
  ...LIST,
  before: '{"arguments": ',
  between: ', "name": "',
  after: '"}',
  isNameFirst: false,
};
const MARKED: CallForm = {
  ...LIST,
  open: "[CALLS]",
  separator: "",
  close: "",
  before: "",
  between: "[ARGS]",
  after: "",
};
/** As Qwen3-Coder writes calls. */
const PARAMETERS: CallForm = {
  ...TAGGED,
  before: "<call>\n<function=",
  between: "",
  after: ">\n</function>\n</call>",
  parameters: {
    open: ">\n<parameter=",
    separator: "",
    strings: { before: ">\n", after: "\n</parameter" },
    others: { before: ">\n", after: "\n</parameter" },
    words: { null: "None", true: "True", false: "False" },
  },
};
/** As LFM2.5 writes calls. */
const KEYWORDS: CallForm = {
  ...LIST,
  before: "",
  between: "(",
  after: ")",
  parameters: {
    open: "",
    separator: ", ",
    strings: { before: "='", after: "'" },
    others: { before: "=", after: "" },
    words: { null: "None", true: "True", false: "False" },
  },
};
/** As DeepSeek V3.2 and Gemma 4 mark strings. */
const MARKED_STRINGS: CallForm = {
  ...PARAMETERS,
  between: "{",
  after: "}</call>",
  parameters: {
    open: "",
    separator: ",",
    strings: { before: ':<|"|>', after: '<|"|>' },
    others: { before: ":", after: "" },
    words: { null: "null", true: "true", false: "false" },
  },
};
const FORMS: Readonly<Record<string, CallForm>> = {
  tagged: TAGGED,
  list: LIST,
  bare: BARE,
  "name last": NAME_LAST,
  marked: { ...MARKED, separator: "[CALLS]" },
  "text first only": { ...LIST, mayFollowText: false },
  numbered: { ...TAGGED, tag: { kind: "number", isBeforeName: false, text: ":" } },
  "with ids": { ...TAGGED, tag: { kind: "id", isBeforeName: false, text: "[ID]" } },
  parameters: PARAMETERS,
  keywords: KEYWORDS,
  "marked strings": MARKED_STRINGS,
};

const KINDS: readonly ParameterKind[] = ["string", "json", "either"];

/** Reads a whole text, in pieces. */
function read(form: CallForm, pieces: readonly string[]) {
  const parser = new CallParser(
    form,
    () => new Map(Array.from("abcdefghij", (name, index) => [name, KINDS[index % 3]!])),
  );
  const segments = [...pieces.flatMap((piece) => parser.push(piece)), ...parser.finish()];
  return { ...joined(segments), numWhole: parser.numWhole, segments };
}

function joined(segments: readonly CallSegment[]): { text: string; calls: WrittenCall[] } {
  let text = "";
  const calls: { name: string; json: string }[] = [];
  for (const segment of segments) {
    if (segment.kind === "text") text += segment.text;
    else if (segment.kind === "name") calls[segment.index] = { name: segment.name, json: "" };
    else calls[segment.index]!.json += segment.text;
  }
  return { text, calls };
}

const name = fc.string({ unit: fc.constantFrom(..."aZ09_-"), minLength: 1, maxLength: 5 });
const json = fc
  .dictionary(fc.string({ maxLength: 4 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 })
  .map((value) => JSON.stringify(value));
const text = fc.string({ unit: fc.constantFrom(..."aé🙂 1=<>(){}[]\n\"\\,:|/'"), maxLength: 8 });
const other = fc.jsonValue({ maxDepth: 2 }).filter((value) => typeof value !== "string");

/** Arguments whose values are of the kinds that `read` expects. */
function parametersFor({ strings }: ParameterMarkup): fc.Arbitrary<string> {
  const inside = text.filter((value) => !(value + strings.after).slice(0, -1).includes(strings.after));
  const string = inside.filter(
    (value) => !(value + strings.after).slice(0, -strings.after.length).includes(strings.after),
  );
  const either = fc.oneof(
    string.filter((value) => !/^(?:-?\d+|[[{][^]*|None|True|False|null|true|false)$/.test(value)),
    other,
  );
  const values = Object.fromEntries(
    Array.from("abcdefghij", (key, index) => [key, [string, other, either][index % 3]!]),
  );
  return fc.record(values, { requiredKeys: [] }).map((value) => JSON.stringify(value));
}
const piece = fc.constantFrom("a", " ", "\n", "<", "<call", "[CALLS", "[", "é", "{", '{"name": ');
const words = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(""));

/** Divides a text at random places between code points. */
function divided(text: string, cuts: readonly number[]): string[] {
  const characters = Array.from(text);
  const places = [0, ...cuts.map((cut) => cut % (characters.length + 1)).sort((a, b) => a - b), characters.length];
  return places.slice(1).map((end, index) => characters.slice(places[index], end).join(""));
}
const cuts = fc.array(fc.nat(), { maxLength: 8 });

describe.each(Object.entries(FORMS))("calls: %s", (_, form) => {
  const call = fc.record({ name, json: form.parameters === null ? json : parametersFor(form.parameters) });
  const calls = fc.array(call, { minLength: 1, maxLength: form.separator === null ? 1 : 4 });

  it("are read as they were written, for any division into pieces", () => {
    fc.assert(
      fc.property(calls, form.mayFollowText ? words : fc.constant(""), cuts, (written, before, places) => {
        const found = read(form, divided(before + writtenCalls(form, written), places));
        expect(found).toMatchObject({
          text: before.replace(/[ \n]+$/, ""),
          calls: written,
          numWhole: written.length,
        });
      }),
      { numRuns: 1000 },
    );
  });

  it("that are cut off: each whole call is counted, and what was read of the last one is given", () => {
    fc.assert(
      fc.property(calls, fc.nat(), cuts, (written, cut, places) => {
        const whole = writtenCalls(form, written);
        const text = whole.slice(0, cut % whole.length).replace(/[\ud800-\udbff]$/, "");
        const found = read(form, divided(text, places));
        expect(found.calls.length - found.numWhole).toBeLessThanOrEqual(1);
        expect(found.calls.slice(0, found.numWhole)).toEqual(written.slice(0, found.numWhole));
        const last = found.calls[found.numWhole];
        if (last !== undefined) {
          expect(last.name).toBe(written[found.numWhole]!.name);
          expect(written[found.numWhole]!.json.startsWith(last.json)).toBe(true);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it("leave text without calls as it is", () => {
    fc.assert(
      fc.property(words, cuts, (text, places) => {
        fc.pre(!text.includes(form.trigger ?? form.before));
        expect(read(form, divided(text, places))).toMatchObject({ text, calls: [] });
      }),
      { numRuns: 1000 },
    );
  });
});

describe("calls in a stream", () => {
  it("give a name once, then each piece of the arguments at once", () => {
    const text = `Hi.\n\n${writtenCalls(TAGGED, [{ name: "f", json: '{"a": "}"}' }])}`;
    expect(
      read(TAGGED, ["Hi", ".\n\n<ca", 'll>\n{"name": "f', '", "arguments": {"a"', ': "}', '"}', "}\n</call>"]).segments,
    ).toEqual([
      { kind: "text", text: "Hi" },
      { kind: "text", text: "." },
      { kind: "name", index: 0, name: "f" },
      { kind: "arguments", index: 0, text: '{"a"' },
      { kind: "arguments", index: 0, text: ': "}' },
      { kind: "arguments", index: 0, text: '"}' },
    ]);
    expect(read(TAGGED, [...text]).text).toBe("Hi.");
  });

  it("hold back white space and the beginning of a trigger only", () => {
    const parser = new CallParser(TAGGED, () => new Map());
    expect(parser.push("a \n<call")).toEqual([{ kind: "text", text: "a" }]);
    expect(parser.push("s")).toEqual([{ kind: "text", text: " \n<calls" }]);
    expect(parser.push("\n")).toEqual([]);
    expect(parser.finish()).toEqual([{ kind: "text", text: "\n" }]);
    expect(parser.finish()).toEqual([]);
  });

  it("read long white space in linear time", () => {
    const parser = new CallParser(TAGGED, () => new Map());
    for (let index = 0; index < 100_000; index++) parser.push(" ");
    expect(parser.push("b").map((segment) => (segment.kind === "text" ? segment.text.length : 0))).toEqual([100_001]);
  });
});
