/** `touchstone rm`: what the caches hold of a model goes; the user's own folders stay. */

import { Command } from "commander";

import { EngineError } from "../../engine/index.js";
import { listModels, removeModel } from "../../engine/models.js";
import { nearestName } from "../openai/index.js";
import { megabytes } from "./terminal.js";

export function rmCommand(): Command {
  return new Command("rm")
    .description("remove a model's download and its packs")
    .argument(
      "<name>",
      "as list shows it, org/name@revision for one revision, or the path of a folder whose packs shall go",
    )
    .action(async (name: string) => {
      const removal = await removeModel(name);
      if (removal === null) throw await unknownModel(name);
      for (const what of removal.removed) process.stderr.write(`Removed ${what}\n`);
      for (const what of removal.kept) process.stderr.write(`Kept ${what}\n`);
      process.stderr.write(
        removal.removed.length === 0
          ? `${name} is no longer listed\n`
          : `${megabytes(removal.byteLength)} are free now\n`,
      );
    });
}

/** A name further off than this share of its length is no misspelling. */
const MISSPELLED_SHARE = 1 / 3;

async function unknownModel(name: string): Promise<EngineError> {
  const known = (await listModels()).filter(({ source }) => source !== null).map((model) => model.name);
  const nearest = nearestName(name, known, Math.floor(name.length * MISSPELLED_SHARE));
  const hint =
    nearest !== null
      ? `the nearest name is ${nearest}`
      : known.length === 0
        ? "no model is kept"
        : "list shows what is";
  return new EngineError("model_not_found", `Nothing is kept of a model ${name}: ${hint}.`, "name");
}
