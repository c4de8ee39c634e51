/** `touchstone convert`: a Hugging Face folder, or a model of the hub, into a pack at a place of one's choice. */

import { Command, Option } from "commander";

import { convert, type MatrixFormat } from "../../engine/index.js";
import { offlineOption } from "./request-options.js";
import { showLoading } from "./terminal.js";

export function convertCommand(): Command {
  return new Command("convert")
    .description("convert a model folder into a pack")
    .argument("<model>", "a Hugging Face folder (config.json, tokenizer.json, safetensors) or a model of the hub (org/name[@revision])")
    .requiredOption("--out <dir>", "where the pack goes")
    .option("--force", "replace a pack that is there already")
    .addOption(new Option("--quant <format>", "weights").choices(["q8", "q4", "f32"]).default("q8"))
    .addOption(offlineOption())
    .action(async (model: string, flags: { out: string; quant: MatrixFormat; force?: boolean; offline?: boolean }) => {
      const options = { format: flags.quant, replace: flags.force === true, offline: flags.offline };
      await showLoading((display) => convert(model, flags.out, { ...options, ...display }));
      process.stderr.write(`Wrote ${flags.out}\n`);
    });
}
