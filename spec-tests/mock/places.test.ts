/** Queue properties for any arrivals and departures: places are never exceeded, order is kept, nobody is forgotten. */

import fc from "fast-check";
import { expect, test } from "vitest";

import { Places } from "./places.js";

const settled = () => new Promise((resolve) => setImmediate(resolve));

test("places, order and refusals equal those of a simple FIFO model", async () => {
  const step = fc.oneof(
    fc.record({ type: fc.constant("enter" as const), numChoices: fc.integer({ min: 1, max: 6 }) }),
    fc.record({ type: fc.constantFrom("leave" as const, "abort" as const), index: fc.nat(8) }),
  );
  const property = fc.asyncProperty(
    fc.integer({ min: 1, max: 4 }),
    fc.integer({ min: 0, max: 5 }),
    fc.array(step, { maxLength: 40, size: "max" }),
    async (numPlaces, maxWaiting, steps) => {
      const admission = new Places({ numPlaces, maxWaiting });
      const running = new Map<number, { places: number; leave: () => void }>();
      const waiting = new Map<number, { places: number; abort: AbortController }>();
      const expectedRunning = new Map<number, number>();
      const expectedWaiting: { id: number; places: number }[] = [];
      const sum = () => [...expectedRunning.values()].reduce((total, places) => total + places, 0);
      const admit = () => {
        while (expectedWaiting.length > 0 && sum() + expectedWaiting[0]!.places <= numPlaces) {
          const next = expectedWaiting.shift()!;
          expectedRunning.set(next.id, next.places);
        }
      };

      for (const [id, action] of steps.entries()) {
        if (action.type === "enter") {
          const places = Math.min(action.numChoices, numPlaces);
          const fits = expectedWaiting.length === 0 && sum() + places <= numPlaces;
          const isRefused = !fits && expectedWaiting.length >= maxWaiting;
          const abort = new AbortController();
          let refusal: unknown = null;
          waiting.set(id, { places, abort });
          admission.enter(action.numChoices, abort.signal).then(
            (leave) => {
              waiting.delete(id);
              running.set(id, { places, leave });
            },
            (error: unknown) => {
              waiting.delete(id);
              refusal = error;
            },
          );
          await settled();
          expect(refusal !== null).toBe(isRefused);
          if (fits) expectedRunning.set(id, places);
          else if (!isRefused) expectedWaiting.push({ id, places });
        } else if (action.type === "leave") {
          const [key, entry] = [...running][action.index % running.size] ?? [];
          if (key === undefined || entry === undefined) continue;
          entry.leave();
          entry.leave(); // a second call must have no effect
          running.delete(key);
          expectedRunning.delete(key);
          admit();
        } else {
          const [key, entry] = [...waiting][action.index % waiting.size] ?? [];
          if (key === undefined || entry === undefined) continue;
          entry.abort.abort();
          expectedWaiting.splice(
            expectedWaiting.findIndex(({ id }) => id === key),
            1,
          );
          admit();
        }
        await settled();
        expect([...running.keys()].sort()).toEqual([...expectedRunning.keys()].sort());
        expect([admission.numRunning, admission.numWaiting]).toEqual([expectedRunning.size, expectedWaiting.length]);
        expect(sum()).toBeLessThanOrEqual(numPlaces);
      }
    },
  );
  await fc.assert(property, { numRuns: 300 });
});
