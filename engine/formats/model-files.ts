/** Reads small files of a model folder, up to a size limit, checks whether files exist, and makes folders. */

import { mkdir, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";

import type { JsonObject } from "../json.js";
import { EngineError, fileSystemCode } from "../errors.js";
import { LIMITS } from "../limits.js";
import { parseJsonObject } from "./json.js";

/** Returns the bytes of `dir/name`, or null if the file does not exist. */
export async function readModelFile(dir: string, name: string): Promise<Uint8Array | null> {
  const path = join(dir, name);
  try {
    const { size } = await stat(path);
    if (size > LIMITS.maxModelJsonBytes) {
      throw new EngineError(
        "invalid_model",
        `${path} has ${size} bytes; at most ${LIMITS.maxModelJsonBytes} are allowed`,
      );
    }
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof EngineError) throw cause;
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === "ENOENT") return null;
    throw new EngineError("invalid_model", `${path} cannot be read (${code})`, null, { cause });
  }
}

export async function readModelJson(dir: string, name: string): Promise<JsonObject | null> {
  const bytes = await readModelFile(dir, name);
  return bytes === null ? null : parseJsonObject(bytes, join(dir, name));
}

export async function fileExists(path: string): Promise<boolean> {
  return stat(path).then(
    (entry) => entry.isFile(),
    () => false,
  );
}

/**
 * Creates a folder and its missing parents. Where a disk is read-only, Node's `mkdir` with `recursive` reports that the
 * folder does not exist (ENOENT); this function reports the reason.
 *
 * @returns the first folder that was created; undefined if all existed
 */
export async function makeFolder(path: string): Promise<string | undefined> {
  try {
    return await mkdir(path, { recursive: true });
  } catch (error) {
    if (fileSystemCode(error) !== "ENOENT") throw error;
    const first = await firstMissing(path);
    await mkdir(first).catch((reason: unknown) => {
      throw fileSystemCode(reason) === "EEXIST" ? error : reason;
    });
    await mkdir(path, { recursive: true });
    return first;
  }
}

/** Returns the topmost folder of a path that does not exist. */
async function firstMissing(path: string): Promise<string> {
  const parent = dirname(path);
  const hasParent = await stat(parent).then(
    () => true,
    () => false,
  );
  return hasParent || parent === path ? path : firstMissing(parent);
}
