/** `touchstone convert`: a Hugging Face folder into a pack, or into what transformers.js runs, at a place of one's choice. */

import { Command, Option } from "commander";

import { convert, type MatrixFormat } from "../../engine/index.js";
import { progressBar } from "./terminal.js";

export function convertCommand(): Command {
  return new Command("convert")
    .description("convert a model folder into a pack, or into ONNX files in the layout of transformers.js")
    .argument("<dir>", "a Hugging Face folder: config.json, tokenizer.json, safetensors")
    .requiredOption("--out <dir>", "where it goes")
    .option("--force", "replace a folder of the same kind that is there already")
    .addOption(new Option("--quant <format>", "weights").choices(["q8", "q4", "f32"]).default("q8"))
    .addOption(new Option("--layout <name>", "what is written").choices(["pack", "onnx"]).default("pack"))
    .action(async (dir: string, flags: { out: string; quant: MatrixFormat; layout: "pack" | "onnx"; force?: boolean }) => {
      await convert(dir, flags.out, {
        format: flags.quant,
        layout: flags.layout,
        replace: flags.force === true,
        onProgress: progressBar("Converting"),
      });
      process.stderr.write(`Wrote ${flags.out}\n`);
    });
}
