/** Reads small files of a model folder, up to a size limit, and checks whether files exist. */

import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";

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

/** @throws EngineError invalid_model if the disk does not tell */
export async function fileExists(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (cause) {
    const code = fileSystemCode(cause);
    if (code === null || !UNTOLD.has(code)) return false;
    throw new EngineError("invalid_model", `${path} cannot be read (${code})`, null, { cause });
  }
}

/** Errors of a disk or a process that say nothing about the file. */
const UNTOLD: ReadonlySet<string> = new Set(["EIO", "EMFILE", "ENFILE", "ENOMEM"]);
