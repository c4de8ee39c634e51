/** `touchstone rm`: removes a model from the caches; the user's own folders are kept. */

import { Command } from "commander";

import { sizeText } from "../../engine/errors.js";
import { EngineError } from "../../engine/index.js";
import { listModels, removeModel } from "../../engine/models.js";
import { printLine } from "../../spec-tests/conform/terminal.js";
import { misspelledCharacters, nearestName } from "../openai/nearest-name.js";

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
      for (const what of removal.removed) printLine(process.stderr, `Removed ${what}`);
      for (const what of removal.kept) printLine(process.stderr, `Kept ${what}`);
      if (removal.removed.length > 0) printLine(process.stderr, `Freed ${sizeText(removal.byteLength)}`);
      else if (removal.isForgotten) printLine(process.stderr, `${name} is no longer listed`);
    });
}

async function unknownModel(name: string): Promise<EngineError> {
  const known = (await listModels()).filter(({ source }) => source !== null).map((model) => model.name);
  const nearest = nearestName(name, known, misspelledCharacters(name));
  const hint =
    nearest !== null
      ? `The nearest name is ${nearest}.`
      : known.length === 0
        ? "No models are stored."
        : 'See "touchstone list" for the stored models.';
  return new EngineError("model_not_found", `No stored model is named ${name}. ${hint}`, "name");
}
