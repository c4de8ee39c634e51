/** `touchstone rm`: removes a model from the caches; the user's own folders are kept. */

import { Command } from "commander";

import { EngineError } from "../../engine/index.js";
import { listModels, removeModel } from "../../engine/models.js";
import { nearestName } from "../openai/nearest-name.js";
import { megabytes } from "./terminal.js";

export function rmCommand(): Command {
  return new Command("rm")
    .description("remove a downloaded model and its packs (converted files)")
    .argument(
      "<name>",
      "name as shown by list, org/name@revision for one revision, or the path of a model folder to remove its packs only",
    )
    .action(async (name: string) => {
      const removal = await removeModel(name);
      if (removal === null) throw await unknownModel(name);
      for (const what of removal.removed) process.stderr.write(`Removed ${what}\n`);
      for (const what of removal.kept) process.stderr.write(`Kept ${what}\n`);
      process.stderr.write(
        removal.removed.length === 0 ? `${name} is no longer listed\n` : `Freed ${megabytes(removal.byteLength)}\n`,
      );
    });
}

/** Maximum edit distance of a suggested name, as a share of the length of the given name. */
const MISSPELLED_SHARE = 1 / 3;

async function unknownModel(name: string): Promise<EngineError> {
  const known = (await listModels()).filter(({ source }) => source !== null).map((model) => model.name);
  const nearest = nearestName(name, known, Math.floor(name.length * MISSPELLED_SHARE));
  const hint =
    nearest !== null
      ? `The nearest name is ${nearest}.`
      : known.length === 0
        ? "No models are stored."
        : 'See "touchstone list" for the stored models.';
  return new EngineError("model_not_found", `No stored model is named ${name}. ${hint}`, "name");
}
