/**
 * Data files of the suite. The suite is part of two packages, touchstone-conform and touchstone, which keep these files
 * in different places. The field `imports` of the nearest package.json resolves the paths.
 */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import type { Dialect } from "./law.js";

const require = createRequire(import.meta.url);

/** The parsed vectors of kind `validation`, as vectors/README.md describes them. */
export function validationVectors(dialect: Dialect): unknown {
  return require(`#conform/vectors/validation-${dialect}.json`);
}

/**
 * The text of docs/SPEC.md. null if the suite runs from its sources and the package, which has a copy, is not built.
 */
export function specification(): string | null {
  try {
    return readFileSync(require.resolve("#conform/SPEC.md"), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "MODULE_NOT_FOUND") return null;
    throw error;
  }
}

/** Version of the package, such as `0.1.0`. */
export function version(): string {
  return (require("#conform/package.json") as { version: string }).version;
}
