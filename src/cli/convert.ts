/** `touchstone convert`: a Hugging Face folder, or a model of the hub, into a pack or into what transformers.js runs, at a place of one's choice. */

import { Command, Option } from "commander";

import type { MatrixFormat } from "../../engine/index.js";
import { convertModel } from "../../engine/models.js";
import { offlineOption } from "./request-options.js";
import { showLoading } from "./terminal.js";

interface ConvertFlags {
  out: string;
  quant: MatrixFormat;
  layout: "pack" | "onnx";
  force?: boolean;
  offline?: boolean;
}

export function convertCommand(): Command {
  return new Command("convert")
    .description("convert a model folder into a pack, or into ONNX files in the layout of transformers.js")
    .argument(
      "<model>",
      "a Hugging Face folder (config.json, tokenizer.json, safetensors) or a model of the hub (org/name[@revision])",
    )
    .requiredOption("--out <dir>", "where it goes")
    .option("--force", "replace a folder of the same kind that is there already")
    .addOption(new Option("--quant <format>", "weights").choices(["q8", "q4", "f32"]).default("q8"))
    .addOption(new Option("--layout <name>", "what is written").choices(["pack", "onnx"]).default("pack"))
    .addOption(offlineOption())
    .action(async (model: string, flags: ConvertFlags) => {
      const { quant: format, layout, offline } = flags;
      await showLoading((display) =>
        convertModel(model, flags.out, { format, layout, offline, replace: flags.force === true, ...display }),
      );
      process.stderr.write(`Wrote ${flags.out}\n`);
    });
}
