import fc from "fast-check";
import { expect, it } from "vitest";

import { ObjectShape, type Slot } from "./objects.js";

const NUM_SLOTS = 5;
const flags = fc.array(fc.boolean(), { minLength: NUM_SLOTS, maxLength: NUM_SLOTS });
const needs = fc.array(fc.array(fc.nat(NUM_SLOTS - 1), { maxLength: 1 }), {
  minLength: NUM_SLOTS,
  maxLength: NUM_SLOTS,
});
const isIn = (set: number, slot: number): boolean => ((set >> slot) & 1) === 1;
const size = (set: number): number => set.toString(2).replaceAll("0", "").length;

it("an object can be finished if and only if some set of further properties completes it", () => {
  const counts = { yes: 0, no: 0 };
  const states = fc.array(fc.tuple(fc.nat(2 ** NUM_SLOTS - 1), fc.nat(2)), { maxLength: 20 });
  fc.assert(
    fc.property(
      fc.record({ needs, required: flags, possible: flags, min: fc.nat(7), more: fc.nat(4), spare: fc.nat(3) }),
      states,
      ({ needs, required, possible, min, more, spare }, states) => {
        const max = min + more;
        const slots = needs.map((of, index): Slot<null> => {
          return {
            name: `p${index}`,
            value: null,
            isRequired: required[index]!,
            isOrdered: required[index]!,
            isNameValid: true,
            needs: of,
          };
        });
        const shape = ObjectShape.settled({ id: 0, slots, classes: [], min, max, isOpen: false }, possible, spare);
        if (!shape.hasNeeds) return;
        const isClosed = (set: number): boolean =>
          slots.every(({ isRequired, needs }, slot) =>
            isIn(set, slot) ? needs.every((other) => isIn(set, other)) : !isRequired,
          );
        const allPossible = possible.reduce((bits, isPossible, slot) => bits | (Number(isPossible) << slot), 0);
        for (const [bits, numAdded] of states) {
          const present = bits & allPossible;
          const count = size(present) + numAdded;
          const sizes: number[] = [];
          for (let set = 0; set < 2 ** NUM_SLOTS; set++) {
            const follows = set & ~present;
            const canFollow = slots.every((_, slot) => !isIn(follows, slot) || possible[slot]!);
            if ((set & present) === present && canFollow && isClosed(set)) sizes.push(size(follows));
          }
          const expected =
            sizes.length > 0 &&
            count + Math.min(...sizes) <= max &&
            count + Math.max(...sizes) + spare - numAdded >= min;
          expect(shape.canFinish(BigInt(present), numAdded)).toBe(expected);
          counts[expected ? "yes" : "no"]++;
          const isWhole = count >= min && count <= max && isClosed(present);
          expect(shape.isWhole(BigInt(present), numAdded)).toBe(isWhole);
        }
      },
    ),
    { numRuns: 1500 },
  );
  expect(counts.yes).toBeGreaterThan(100);
  expect(counts.no).toBeGreaterThan(100);
});
