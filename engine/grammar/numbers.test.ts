import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { type Decimal, ONE, compare, decimalOf, greatestBelow, isMultiple, leastAbove } from "./decimal.js";
import {
  type NumberPrefix,
  type NumberRange,
  beginNumber,
  continueNumber,
  isEmptySet,
  isNumber,
  numberSet,
} from "./numbers.js";

const values = fc.oneof(
  fc.integer({ min: -200, max: 200 }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer({ min: -2000, max: 2000 }).map((value) => value / 100),
  fc.constantFrom(0, -0, 5e-324, Number.MAX_VALUE, -Number.MAX_VALUE, 2 ** 53, 1e21, 1e-7, 0.1),
);
const steps = fc.constantFrom(1, 2, 7, 0.5, 0.01, 1.5, 0.0001, 12);
const ranges = fc
  .record({ min: fc.option(values), max: fc.option(values), step: fc.option(steps) })
  .map(({ min, max, step }): NumberRange => ({ min: decimal(min), max: decimal(max), step: decimal(step) }));

function decimal(value: number | null): Decimal | null {
  return value === null ? null : decimalOf(value);
}

function read(range: NumberRange, text: string): NumberPrefix | null {
  const set = numberSet([range]);
  let prefix = beginNumber(set, text.charCodeAt(0));
  for (let index = 1; prefix !== null && index < text.length; index++)
    prefix = continueNumber(set, prefix, text.charCodeAt(index));
  return prefix;
}

function accepts(range: NumberRange, text: string): boolean {
  const prefix = read(range, text);
  return prefix !== null && isNumber(numberSet([range]), prefix);
}

function exact(text: string): Decimal {
  const [mantissa = "", exponent = "0"] = text.toLowerCase().split("e");
  const [whole = "", fraction = ""] = mantissa.split(".");
  return { digits: BigInt(whole + fraction), exponent: Number(exponent) - fraction.length };
}

function isWithin({ min, max, step }: NumberRange, text: string): boolean {
  const value = exact(text);
  if (min !== null && compare(value, min) < 0) return false;
  return (
    (max === null || compare(value, max) <= 0) &&
    (step === null || isMultiple(value, step)) &&
    Number.isFinite(Number(text))
  );
}

describe("numbers", () => {
  it("accept the output of JSON.stringify if and only if it is within the range", () => {
    fc.assert(
      fc.property(ranges, values, (range, value) => {
        const text = JSON.stringify(value);
        fc.pre(!text.includes("e"));
        // Above 2^53 multiples are not distinguished: numbers are accepted only if every integer is a multiple.
        fc.pre(range.step === null || Math.abs(value) <= 2 ** 53);
        expect(accepts(range, text), text).toBe(isWithin(range, text));
      }),
      { numRuns: numCases(3000) },
    );
  });

  it("end in numbers of the range after random choices, without dead ends", () => {
    fc.assert(
      fc.property(ranges, fc.infiniteStream(fc.nat(1_000_000)), (range, choices) => {
        const set = numberSet([range]);
        if (isEmptySet(set)) {
          const bounded = range.min !== null && range.max !== null;
          expect(bounded || range.step !== null || isNearTheEnds(range)).toBe(true);
          return;
        }
        let text = "";
        let prefix: NumberPrefix | null = null;
        for (;;) {
          const from: NumberPrefix | null = prefix;
          const next: { character: string; reached: NumberPrefix }[] = [..."0123456789.-+eE"].flatMap((character) => {
            const byte = character.charCodeAt(0);
            const reached: NumberPrefix | null =
              from === null ? beginNumber(set, byte) : continueNumber(set, from, byte);
            return reached === null ? [] : [{ character, reached }];
          });
          const isWhole = prefix !== null && isNumber(set, prefix);
          const choice = choices.next().value!;
          if (isWhole && (next.length === 0 || choice % 4 === 0)) break;
          expect(next.length, `after ${JSON.stringify(text)}`).toBeGreaterThan(0);
          const { character, reached } = next[choice % next.length]!;
          text += character;
          prefix = reached;
        }
        expect(text).toMatch(/^(0|-?[1-9]\d*|-?(0|[1-9]\d*)\.(\d|\d*[1-9])|-?[1-9](\.\d*[1-9])?e[+-]?[1-9]\d*)$/);
        expect(JSON.parse(text)).toBe(Number(text));
        expect(isWithin(range, text), text).toBe(true);
        if (range.step !== null && isMultiple(range.step, ONE) && !text.includes("e")) expect(text).not.toContain(".");
      }),
      { numRuns: numCases(1500) },
    );
  });

  it.each([
    [
      { min: 1, max: 10, step: 1 },
      ["1", "10"],
      ["0", "11", "1.5", "1e2", "-1", "01", "1.", ".5", "+1", "1e", "2.0", "1e1", "0.5e1", "100e-1"],
    ],
    [
      { min: 0, max: null, step: null },
      ["0", "0.0", "5.0", "0.5", "1234567890123456.0", "100000000000000000000", "0.0000012345678901234567"],
      ["-1", "-0", "-", "0.00", "5.50", "5.00", "1e+308", "1E2", "1e-400", "12345678901234567.0"],
    ],
    [
      { min: null, max: null, step: 1 },
      ["0", "-9223372036854775808", "9223372036854775807", "123456789012345678"],
      ["-0", "1e21", "1e+21", "1.5e300", "12345678901234567890", "123456789012345680000", "1.0", "1.5"],
    ],
    [
      { min: null, max: null, step: 0.01 },
      ["0.07", "19.99", "19.9", "19.0", "19"],
      ["0.075", "1e-2", "19.90", "19.00"],
    ],
    [
      { min: null, max: null, step: null },
      ["12345678901234567", "0.00000000000000000000001", "-0.5", "6.022e23", "-6.626e-34", "1e21", "1e-7", "5e-324"],
      [
        "-0.0",
        "1e5",
        "1e20",
        "1e-6",
        "1e+21",
        "10e21",
        "1.0e21",
        "1e309",
        "1e-324",
        "123456789012345678",
        "0.123456789012345678",
        "0.000000000000000000000001",
      ],
    ],
    // No number without an exponent.
    [
      { min: 1e25, max: null, step: null },
      ["1e25", "6.5e25", "1.7976931348623157e308"],
      ["1e24", "1e+25", "1.0e25", "10e24", "1E25", "1e025", "10000000000000000000000000", "1.50e25", "1e309", "1"],
    ],
    [{ min: 1e25, max: null, step: 7 }, [], ["1e25", "7e25"]],
    [{ min: 1e25, max: null, step: 1 }, ["1e25", "6.5e30"], ["1e24", "1.5", "10000000000000000000000000"]],
    [{ min: 0, max: 1e-30, step: null }, ["0", "0.0"], ["1e-30", "0.1"]],
    [{ min: 0, max: 100, step: null }, ["0.0000001", "99.9", "100.0"], ["1e-7", "1e2"]],
    [{ min: 1e-40, max: 1e-30, step: null }, ["1e-30", "5.5e-31", "1e-40"], ["1e-29", "0", "1e-41", "1e-300"]],
    [{ min: -1e-30, max: -1e-40, step: null }, ["-1e-30", "-5.5e-31"], ["-1e-29", "1e-30", "-0"]],
    // Integers of more than 64 bits.
    [
      { min: 1e20, max: 2e20, step: 1 },
      ["100000000000000000000", "123456789012345678900"],
      ["123456789012345678901", "1e20"],
    ],
    // Single numbers.
    [{ min: 5, max: 5, step: null }, ["5"], ["5.0", "5e0", "50"]],
    [{ min: -0.5, max: -0.5, step: null }, ["-0.5"], ["-0.50", "0.5", "-5e-1"]],
    [{ min: 1e21, max: 1e21, step: 1 }, ["1e+21"], ["1e21", "1000000000000000000000"]],
    [{ min: 1e-7, max: 1e-7, step: null }, ["1e-7"], ["0.0000001"]],
    [{ min: 0, max: 0, step: null }, ["0"], ["-0", "0.0"]],
    [{ min: -1, max: 0, step: 1 }, ["-1", "0"], ["-0"]],
    [{ min: 5, max: 5, step: 2 }, [], ["5", "4", "6"]],
  ])("%j", (bounds, right, wrong) => {
    const range = { min: decimal(bounds.min), max: decimal(bounds.max), step: decimal(bounds.step) };
    for (const text of right) expect(accepts(range, text), text).toBe(true);
    for (const text of wrong) expect(accepts(range, text), text).toBe(false);
  });

  it("write single numbers as JSON.stringify does", () => {
    fc.assert(
      fc.property(values, (value) => {
        expect(numberSet([{ min: decimal(value), max: decimal(value), step: null }]).points).toEqual([
          JSON.stringify(value),
        ]);
      }),
      { numRuns: numCases(2000) },
    );
  });

  it("respect exclusive bounds for the doubles that decimals parse to", () => {
    const above = { min: leastAbove(1), max: null, step: null };
    expect(accepts(above, "1.0000000000000001")).toBe(false);
    expect(accepts(above, "1.0000000000000002")).toBe(true);
    fc.assert(
      fc.property(values, (value) => {
        if (value === Number.MAX_VALUE || value === -Number.MAX_VALUE) return;
        const up = leastAbove(value);
        const down = greatestBelow(value);
        expect(Number(`${up.digits}e${up.exponent}`)).toBeGreaterThan(value);
        expect(Number(`${down.digits}e${down.exponent}`)).toBeLessThan(value);
      }),
      { numRuns: numCases(2000) },
    );
  });
});

/** True if the range is so close to the largest doubles that it may contain none. */
function isNearTheEnds({ min, max }: NumberRange): boolean {
  const far = 1.7e308;
  return (min !== null && compare(min, decimalOf(far)) > 0) || (max !== null && compare(max, decimalOf(-far)) < 0);
}
