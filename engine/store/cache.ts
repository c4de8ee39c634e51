/** Cache folder of this program, with the packs converted from models, and the pack that comes with the program. */

import { homedir, platform } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import type { MatrixFormat } from "../../kernels/index.js";
import { EngineError, fileSystemCode, writeFailure } from "../errors.js";
import { FORMAT_VERSION, MANIFEST_FILE } from "../folder/index.js";
import { fileExists } from "../formats/index.js";

/** Returns the folder for everything this program caches: `TOUCHSTONE_CACHE`, else the platform's cache folder. */
export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const chosen = environment["TOUCHSTONE_CACHE"];
  if (chosen !== undefined && chosen !== "") return chosen;
  switch (platform()) {
    case "win32":
      return join(environment["LOCALAPPDATA"] || join(homedir(), "AppData", "Local"), "touchstone", "cache");
    case "darwin":
      return join(homedir(), "Library", "Caches", "touchstone");
    default:
      return join(environment["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "touchstone");
  }
}

/** Subfolder of the cache that holds packs. */
export const PACKS = "packs";
/** Number of hexadecimal digits of a sha256 that file names in the cache contain. */
const HASH_DIGITS = 32;

export function packName(hash: string, format: MatrixFormat): string {
  return `${packPrefix(hash)}${format}-v${FORMAT_VERSION}`;
}

/** Returns the prefix of the names of all packs of one model. */
export function packPrefix(hash: string): string {
  return `${hash.slice(0, HASH_DIGITS)}-`;
}

/** Turns a file system error during a write to the cache into an error about the cache, not about the model. */
export function cacheError(cause: unknown): unknown {
  const code = fileSystemCode(cause);
  if (code === null) return cause;
  return new EngineError(
    "cache_unavailable",
    `cannot write to the cache folder ${cacheFolder()} (${writeFailure(code)}); set TOUCHSTONE_CACHE to a writable folder with enough space`,
    null,
    { cause },
  );
}

/**
 * Returns the pack that comes with the package, next to the compiled program or in a source tree that has been built;
 * null if it is missing.
 */
export async function embeddedPack(): Promise<string | null> {
  for (const place of ["../../models/tiny/pack", "../../dist/models/tiny/pack"]) {
    const dir = fileURLToPath(new URL(place, import.meta.url));
    if (await fileExists(join(dir, MANIFEST_FILE))) return dir;
  }
  return null;
}
