/**
 * Files that come with the suite. It is compiled into two packages, touchstone-conform and touchstone, which keep these
 * files at different places; `imports` of the nearest package.json says where.
 */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import type { Dialect } from "./law.js";

const require = createRequire(import.meta.url);

/** The parsed vectors of kind `validation`, as vectors/README.md describes them. */
export function validationVectors(dialect: Dialect): unknown {
  return require(`#conform/vectors/validation-${dialect}.json`);
}

/** docs/SPEC.md; null where the suite runs from its sources, beside which there is no copy before the package is built. */
export function specification(): string | null {
  try {
    return readFileSync(require.resolve("#conform/SPEC.md"), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "MODULE_NOT_FOUND") return null;
    throw error;
  }
}

/** Such as `0.1.0`. */
export function version(): string {
  return (require("#conform/package.json") as { version: string }).version;
}
