/** Every law, in the order they are checked. */

import type { Law } from "./law.js";

export const LAWS: readonly Law[] = [];
