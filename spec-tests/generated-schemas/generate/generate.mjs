/** Writes what zod 4 and 3, TypeBox and Valibot make of models, with an instance that is valid and one that is not. */

import { writeFileSync } from "node:fs";

import * as valibot from "./valibot-models.mjs";
import * as typebox from "./typebox-models.mjs";
import * as zod3 from "./zod3-models.mjs";
import * as zod4 from "./zod4-models.mjs";

for (const { generator, cases } of [...zod4.generated(), zod3.generated(), typebox.generated(), valibot.generated()]) {
  const file = new URL(`../fixtures/${generator}.json`, import.meta.url);
  writeFileSync(file, `${JSON.stringify(cases, null, 2)}\n`);
}
