/** `touchstone convert`: a Hugging Face folder into a pack at a place of one's choice. */

import { Command, Option } from "commander";

import { convert, type MatrixFormat } from "../../engine/index.js";
import { progressBar } from "./terminal.js";

export function convertCommand(): Command {
  return new Command("convert")
    .description("convert a model folder into a pack")
    .argument("<dir>", "a Hugging Face folder: config.json, tokenizer.json, safetensors")
    .requiredOption("--out <dir>", "where the pack goes")
    .option("--force", "replace a pack that is there already")
    .addOption(new Option("--quant <format>", "weights").choices(["q8", "q4", "f32"]).default("q8"))
    .action(async (dir: string, flags: { out: string; quant: MatrixFormat; force?: boolean }) => {
      await convert(dir, flags.out, {
        format: flags.quant,
        replace: flags.force === true,
        onProgress: progressBar("Converting"),
      });
      process.stderr.write(`Wrote ${flags.out}\n`);
    });
}
