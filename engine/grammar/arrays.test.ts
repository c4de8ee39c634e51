import fc from "fast-check";
import { expect, it } from "vitest";

import { ArrayShape } from "./arrays.js";

/** Which values an item can have: 1 for others, 2 for counted ones, 3 for both. */
const kind = fc.integer({ min: 0, max: 3 });
const LONGEST = 9;

it("an array can be finished if and only if some further items complete it", () => {
  const counts = { yes: 0, no: 0 };
  fc.assert(
    fc.property(
      fc.record({
        kinds: fc.array(kind, { maxLength: 3 }),
        rest: kind,
        min: fc.nat(4),
        max: fc.oneof(fc.nat(6), fc.constant(Infinity)),
        least: fc.nat(3),
        most: fc.oneof(fc.nat(3), fc.constant(Infinity)),
      }),
      ({ kinds, rest, min, max, least, most }) => {
        const items = { prefix: kinds.map((of) => of & 1), rest: rest & 1 };
        const counted = { items: { prefix: kinds.map((of) => of & 2), rest: rest & 2 }, min: least, max: most };
        const shape = new ArrayShape<number>(0, items, min, max, counted, false);
        shape.settle(
          (value) => value !== 0,
          () => Infinity,
        );
        const completes = (numItems: number, numCounted: number): boolean => {
          if (numItems > max || numCounted > most || numItems > LONGEST) return false;
          if (numItems >= min && numCounted >= least) return true;
          const of = kinds[numItems] ?? rest;
          return (
            ((of & 1) !== 0 && completes(numItems + 1, numCounted)) ||
            ((of & 2) !== 0 && completes(numItems + 1, numCounted + 1))
          );
        };
        for (let numItems = 0; numItems < 5; numItems++)
          for (let numCounted = 0; numCounted <= numItems; numCounted++) {
            const expected = completes(numItems, numCounted);
            expect(shape.canFinish(numItems, numCounted), `${numItems}, ${numCounted}`).toBe(expected);
            counts[expected ? "yes" : "no"]++;
          }
      },
    ),
    { numRuns: 3000 },
  );
  expect(Math.min(counts.yes, counts.no)).toBeGreaterThan(1000);
});

it("long arrays are decided without work for each item", () => {
  const length = 100_000;
  const items = { prefix: new Array<number>(length).fill(1), rest: 1 };
  const shape = new ArrayShape<number>(0, items, 0, length, { items, min: length / 2, max: length / 2 }, false);
  expect(
    shape.settle(
      () => true,
      () => Infinity,
    ),
  ).toBe(true);
  expect(shape.canFinish(length / 2, 0)).toBe(true);
  expect(shape.canFinish(length / 2 + 1, 0)).toBe(false);
});
