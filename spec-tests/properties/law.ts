/**
 * Declares property tests that are named by a clause of docs/SPEC.md. A failure prints the shrunk counterexample with
 * seed and path. Add it to `examples`, so that it is tried first from then on.
 */

import fc from "fast-check";
import { test } from "vitest";

type Clause = `TS-${number}.${number}`;

export interface LawOptions<Values> {
  /** Earlier counterexamples. */
  readonly examples?: Values[];
  /** Number of cases, in addition to the examples. Default: 300. */
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
