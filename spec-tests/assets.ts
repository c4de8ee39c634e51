/** Where tests find real models and tokenizers; null where the folder is missing, and those tests skip. */

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = process.env["TOUCHSTONE_ASSETS"] ?? fileURLToPath(new URL("../../shared/assets", import.meta.url));

export const assetsDir: string | null = existsSync(folder) ? folder : null;
