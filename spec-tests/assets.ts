/** Where tests find real models and tokenizers. Where the folder is missing, those tests skip and say so. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { describe } from "vitest";

const folder = process.env["TOUCHSTONE_ASSETS"] ?? fileURLToPath(new URL("../../shared/assets", import.meta.url));

/** A suite that needs the assets folder. */
export function describeWithAssets(name: string, suite: () => void): void {
  describe.skipIf(!existsSync(folder))(`${name} (needs the folder named by TOUCHSTONE_ASSETS)`, () => suite());
}

/** A path in the assets folder, which may be missing. */
export function asset(...names: string[]): string {
  return join(folder, ...names);
}
