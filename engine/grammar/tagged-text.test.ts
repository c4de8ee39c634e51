import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { accepts, begins, check, failure, type Format } from "../../spec-tests/fixtures/grammars.js";
import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { EngineError } from "../errors.js";
import { compileGrammar } from "./index.js";

type Tag = readonly [begin: string, schema: unknown, end: string];
const tags = (triggers: readonly string[], ...structures: readonly Tag[]): Format => ({
  type: "structural_tag",
  triggers,
  structures: structures.map(([begin, schema, end]) => ({ begin, schema, end })),
});
const INTEGER = { type: "integer" };
const WORD = { enum: ["a", "b"] };

describe("structural tags", () => {
  const calls = tags(["<f="], ["<f=add>", { type: "array", items: INTEGER }, "</f>"], ["<f=say>", WORD, "</f>"]);
  const cases: readonly (readonly [string, Format, readonly string[], readonly string[]])[] = [
    ["free text", calls, ["", "Hello, wörld 😀\n", "<f", "<", "a <f <f<", "{}", "</f>"], ["<f=", "a<f=x", "<f=add>"]],
    [
      "a structure anywhere",
      calls,
      ['<f=say>"a"</f>', "Hi <f=add>[1, 2]</f> there", "<<f=add>[]</f>"],
      ['<f=say>"c"</f>', '<f=say>"a"', "<f=add>1</f>", '<f=say> "a"</f>'],
    ],
    [
      "structures after each other",
      calls,
      ['<f=say>"a"</f><f=say>"b"</f>', 'x<f=say>"a"</f>y<f=add>[]</f>z'],
      ['<f=say>"a"</f><f=', '<f=say>"a"</f>x<f=say>'],
    ],
    ["a partial trigger before a whole one", calls, ['<f<f=say>"a"</f>', '<<f=say>"a"</f>'], ["<f<f="]],
    [
      "a trigger that begins another: the shorter one counts",
      tags(["<a", "<ab"], ["<abc", INTEGER, ">"], ["<ax", INTEGER, ">"]),
      ["<abc1>", "<ax1> <abc2>", "<"],
      ["<a", "<ab", "<ay"],
    ],
    [
      "a trigger that ends with another",
      tags(["bc", "abc"], ["bcx", INTEGER, ";"], ["abcy", INTEGER, ";"]),
      ["abcx1;", "abcy1;", "zbcx1;", "b", "ab"],
      ["bcy1;", "zbcy1;", "abc"],
    ],
    [
      "a trigger that overlaps itself",
      tags(["aab"], ["aab!", INTEGER, "."]),
      ["aaab!1.", "aa", "aaaa", "aabab".slice(0, 2)],
      ["aaab", "aab1"],
    ],
    ["an end without text", tags(["$"], ["$", INTEGER, ""]), ["$1", "$1 and $23!", "$1$2"], ["$", "$x", "1$"]],
    [
      "a number of which the end could be a part",
      tags(["$"], ["$", INTEGER, "0"]),
      ["$10", "$100", "$10 5"],
      ["$1", "$0"],
    ],
    [
      "two structures with one beginning",
      tags(["<"], ["<x>", INTEGER, "!"], ["<x>", WORD, "?"]),
      ["<x>1!", '<x>"a"?'],
      ["<x>1?", '<x>"b"!'],
    ],
    ["characters of several bytes", tags(["→"], ["→é", WORD, "😀"]), ['⇒ →é"a"😀 ←'], ["→", "→e"]],
  ];
  it.each(cases)("%s", (_, format, right, wrong) => check(format, right, wrong));

  it("no beginning leads nowhere", () => {
    for (const text of ["<f=", "<f=s", '<f=say>"', "a<f=add>[1,"]) expect(begins(calls, text), text).toBe(true);
    for (const text of ["<f=x", "<f= ", "<f=say>x", '<f=say>"a"<']) expect(begins(calls, `${text}x`), text).toBe(false);
  });

  it("allow exactly the texts that a search for the first trigger allows", { timeout: 300_000 }, () => {
    const texts = [""];
    for (let from = 0; texts.length < 3 ** 7; from++) for (const letter of "ab1") texts.push(texts[from]! + letter);
    const counts = { accepted: 0, refused: 0 };
    const word = (minLength: number): fc.Arbitrary<string> =>
      fc.string({ unit: fc.constantFrom("a", "b"), minLength, maxLength: 3 });
    const triggers = fc.uniqueArray(word(1), { minLength: 1, maxLength: 3 });
    const structures = triggers.chain((all) =>
      fc.tuple(
        fc.constant(all),
        fc.array(fc.tuple(fc.constantFrom(...all), word(0), word(0)), { minLength: 1, maxLength: 3 }),
      ),
    );
    fc.assert(
      fc.property(structures, ([all, parts]) => {
        const used = all.filter((trigger) => parts.some(([of, rest]) => (of + rest).startsWith(trigger)));
        const format = tags(used, ...parts.map(([of, rest, end]): Tag => [of + rest, { const: 1 }, end]));
        try {
          const grammar = compileGrammar(format);
          for (const text of texts) {
            const expected = isTagged(
              text,
              used,
              parts.map(([of, rest, end]) => [of + rest, end] as const),
            );
            if (accepts(grammar, text) !== expected) expect.fail(JSON.stringify({ used, parts, text, expected }));
            counts[expected ? "accepted" : "refused"]++;
          }
        } catch (error) {
          if (!(error instanceof EngineError)) throw error;
          expect(error.message).toContain("Another trigger is complete before");
        }
      }),
      { numRuns: numCases(1000) },
    );
    expect(Math.min(counts.accepted, counts.refused)).toBeGreaterThan(1000);
  });

  const valid = { begin: "<a>", schema: {}, end: "" };
  const invalid: readonly (readonly [unknown, string, string])[] = [
    [{ triggers: ["<a>"] }, "missing_required_parameter", "format.structures"],
    [{ structures: [valid] }, "missing_required_parameter", "format.triggers"],
    [{ structures: {}, triggers: ["<"] }, "invalid_type", "format.structures"],
    [{ structures: [], triggers: ["<"] }, "out_of_range", "format.structures"],
    [{ structures: [valid], triggers: [] }, "out_of_range", "format.triggers"],
    [{ structures: [valid], triggers: [1] }, "invalid_type", "format.triggers[0]"],
    [{ structures: [valid], triggers: [""] }, "out_of_range", "format.triggers[0]"],
    [{ structures: [valid], triggers: ["<", "<"] }, "out_of_range", "format.triggers[1]"],
    [{ structures: [valid], triggers: ["<", "["] }, "out_of_range", "format.triggers[1]"],
    [{ structures: [1], triggers: ["<"] }, "invalid_type", "format.structures[0]"],
    [{ structures: [{ ...valid, begin: "a" }], triggers: ["<"] }, "out_of_range", "format.structures[0].begin"],
    [{ structures: [{ ...valid, end: 1 }], triggers: ["<"] }, "invalid_type", "format.structures[0].end"],
    [
      { structures: [{ begin: "<", end: "" }], triggers: ["<"] },
      "missing_required_parameter",
      "format.structures[0].schema",
    ],
    [{ structures: [{ ...valid, name: "x" }], triggers: ["<"] }, "unknown_parameter", "format.structures[0].name"],
    [
      { structures: [{ ...valid, end: "x".repeat(2000) }], triggers: ["<"] },
      "out_of_range",
      "format.structures[0].end",
    ],
    [
      { structures: [{ ...valid, schema: { type: "x" } }], triggers: ["<"] },
      "invalid_schema",
      ".structures[0].schema/type",
    ],
    [
      { structures: [{ ...valid, begin: "a<b" }, valid], triggers: ["a<b", "<"] },
      "invalid_schema",
      ".structures[0].begin",
    ],
  ];
  it.each(invalid)("refuses %j", (fields, code, param) => {
    const error = failure({ type: "structural_tag", ...(fields as object) } as unknown as Format);
    expect([error.code, error.param]).toEqual([code, param]);
  });
});

/** True if a text is free text with structures, whose values are all 1. */
function isTagged(
  text: string,
  triggers: readonly string[],
  structures: readonly (readonly [string, string])[],
): boolean {
  for (let end = 1; end <= text.length; end++) {
    const found = triggers.filter((trigger) => text.slice(0, end).endsWith(trigger));
    if (found.length === 0) continue;
    return found.some((trigger) => {
      const begun = text.slice(end - trigger.length);
      return structures.some(([begin, last]) => {
        const whole = `${begin}1${last}`;
        return (
          begin.startsWith(trigger) &&
          begun.startsWith(whole) &&
          isTagged(begun.slice(whole.length), triggers, structures)
        );
      });
    });
  }
  return true;
}
