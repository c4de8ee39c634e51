/** `touchstone rm`: what the caches hold of a model goes; the user's own folders stay. */

import { Command } from "commander";

import { EngineError, listModels, removeModel } from "../../engine/index.js";
import { nearestName } from "../openai/nearest-name.js";
import { megabytes } from "./terminal.js";

export function rmCommand(): Command {
  return new Command("rm")
    .description("remove a model's download and its packs")
    .argument("<name>", "as list shows it, org/name@revision for one revision, or the path of a folder whose packs shall go")
    .action(async (name: string) => {
      const removal = await removeModel(name);
      if (removal === null) throw await unknownModel(name);
      for (const what of removal.removed) process.stderr.write(`Removed ${what}\n`);
      process.stderr.write(`${megabytes(removal.byteLength)} are free now\n`);
    });
}

async function unknownModel(name: string): Promise<EngineError> {
  const known = (await listModels()).filter(({ source }) => source !== null).map((model) => model.name);
  const nearest = nearestName(name, known);
  const hint = nearest === null ? "no model is kept" : `the nearest name is ${nearest}`;
  return new EngineError("model_not_found", `Nothing is kept of a model ${name}: ${hint}.`, "name");
}
