/** Decimal texts of floats, compared with JavaScript's own where both agree, and with known ties elsewhere. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MAX_DIGITS, exponentText, fixedText, floatText, generalText, roundedTo } from "./number-text.js";

const size = fc.double({ min: 0, noNaN: true, noDefaultInfinity: true });
const modestSize = fc.double({ min: 0, max: 1e20, noNaN: true });

describe("digits of floats", () => {
  it("are JavaScript's, except for ties", () => {
    fc.assert(
      fc.property(modestSize, fc.nat(20), (value, numDigits) => {
        const isTie = fixedText(value, 400).slice(fixedText(value, numDigits).length).startsWith("5");
        if (!isTie) expect(fixedText(value, numDigits)).toBe(value.toFixed(numDigits));
      }),
    );
  });

  it("are rounded to even at a tie", () => {
    expect([0.5, 1.5, 2.5, 3.5].map((value) => fixedText(value, 0))).toEqual(["0", "2", "2", "4"]);
    expect([0.125, 0.375].map((value) => fixedText(value, 2))).toEqual(["0.12", "0.38"]);
    expect([2.5, 3.5].map((value) => exponentText(value, 0))).toEqual(["2e+00", "4e+00"]);
  });

  it("of 17 digits read back as the same number, in each form", () => {
    fc.assert(
      fc.property(size, (value) => {
        expect(Number(exponentText(value, 16))).toBe(value);
        expect(Number(generalText(value, 17, false))).toBe(value);
        expect(Number(floatText(value))).toBe(value);
      }),
    );
  });

  it("with an exponent have one digit from 1 to 9 before the point", () => {
    fc.assert(
      fc.property(size, fc.nat(20), (value, numDigits) => {
        const text = exponentText(value, numDigits);
        expect(text).toMatch(value === 0 ? /^0(\.0+)?e\+00$/ : /^[1-9](\.\d+)?e[+-]\d\d+$/);
        expect(text.split("e")[0]).toHaveLength(numDigits === 0 ? 1 : numDigits + 2);
      }),
    );
    expect(exponentText(9.996, 2)).toBe("1.00e+01");
    expect(exponentText(1e23, 16)).toBe("9.9999999999999992e+22");
  });

  it("rounding again changes nothing", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true }), fc.integer({ min: -20, max: 20 }), (value, numDigits) => {
        const once = roundedTo(value, numDigits);
        expect(roundedTo(once, numDigits)).toBe(once);
      }),
    );
  });

  it("are bounded", () => {
    expect(() => fixedText(1, MAX_DIGITS + 1)).toThrow("more than 400 digits");
    expect(() => exponentText(1, MAX_DIGITS)).toThrow("more than 400 digits");
    expect(() => roundedTo(1, -MAX_DIGITS - 1)).toThrow("more than 400 digits");
  });
});
