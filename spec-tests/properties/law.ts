/**
 * A law is a property under the number of its clause in docs/SPEC.md. A failure prints the counterexample, shrunk, with
 * seed and path: what it found goes into `examples`, and is tried first from then on.
 */

import fc from "fast-check";
import { test } from "vitest";

type Clause = `TS-${number}.${number}`;

export interface LawOptions<Values> {
  /** Counterexamples of the past. */
  readonly examples?: Values[];
  /** Cases tried, beside the examples. */
  readonly numRuns?: number;
}

/** Declares the test `TS-3.11 <statement>`. */
export function law<Values extends unknown[]>(
  clause: Clause,
  statement: string,
  property: fc.IProperty<Values> | fc.IAsyncProperty<Values>,
  options: LawOptions<Values> = {},
): void {
  test(`${clause} ${statement}`, () => fc.assert(property, { numRuns: 300, ...options }));
}
