import { describe, expect, it } from "vitest";
import { check, failure, matcherOf, tokensOf, type Format } from "../../spec-tests/fixtures/grammars.js";
import { LIMITS } from "../limits.js";

const choice = (...choices: string[]): Format => ({ type: "choice", choices });

describe("a choice", () => {
  it("is exactly one of its texts", () => {
    check(
      choice("yes", "no", "not sure", "né"),
      ["yes", "no", "not sure", "né"],
      ["", "ye", "yess", "NO", '"yes"', "nè"],
    );
  });

  it("goes on only where a longer text begins with a shorter one", () => {
    const matcher = matcherOf(choice("no", "not"));
    expect(matcher.acceptBytes(new TextEncoder().encode("no"))).toBe(true);
    expect(tokensOf(matcher.allowed())).toEqual(["t".charCodeAt(0), 256]);
    expect(matcher.acceptToken("t".charCodeAt(0))).toBe(true);
    expect(matcher.isFinished).toBe(true);
  });

  it("takes thousands of texts", () => {
    const texts = Array.from({ length: LIMITS.maxAnswerChoices }, (_, index) => `number ${index}`);
    check(choice(...texts), ["number 0", "number 9999"], ["number 10000", "number "]);
  });

  const invalid: readonly (readonly [unknown, string, string, string])[] = [
    [undefined, "missing_required_parameter", "format.choices", "is required"],
    ["yes", "invalid_type", "format.choices", 'an array of strings. Given: "yes"'],
    [[], "out_of_range", "format.choices", "1 to 10000 strings. Given: an empty array"],
    [["a", 1], "invalid_type", "format.choices[1]", "a string. Given: 1"],
    [["a", ""], "out_of_range", "format.choices[1]", "must not be empty"],
    [["a", "b", "a"], "out_of_range", "format.choices[2]", 'equals [0]. Given: "a"'],
    [["\ud800"], "out_of_range", "format.choices[0]", "surrogate"],
    [["a".repeat(300_000)], "out_of_range", "format.choices", "262144 characters together. Given: 300000"],
  ];
  it.each(invalid)("refuses %j", (choices, code, param, message) => {
    const error = failure({ type: "choice", choices } as unknown as Format);
    expect([error.code, error.param]).toEqual([code, param]);
    expect(error.message).toContain(message);
  });
});
