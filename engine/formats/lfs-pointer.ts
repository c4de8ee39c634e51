/** Recognizes pointers of Git LFS: small text files that stand for large ones until those are downloaded. */

import { EngineError } from "../errors.js";

/**
 * @param bytes contents of a file, or its first LFS_POINTER_BYTES
 * @param file name of the file in errors
 * @throws EngineError `invalid_model` for a pointer
 */
export function refuseLfsPointer(bytes: Uint8Array, file: string): void {
  if (!BEGINNING.equals(bytes.subarray(0, BEGINNING.length))) return;
  throw new EngineError(
    "invalid_model",
    `${file} is a pointer of Git LFS, not the file itself: run "git lfs pull" in the model's folder`,
  );
}

const BEGINNING = Buffer.from("version https://git-lfs.github.com/spec/");

/** Bytes that tell a pointer from other files. */
export const LFS_POINTER_BYTES = BEGINNING.length;
