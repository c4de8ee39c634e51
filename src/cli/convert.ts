/** `touchstone convert`: converts a Hugging Face folder or a hub model to a pack or to transformers.js ONNX files. */

import { Command, Option } from "commander";

import type { MatrixFormat } from "../../engine/index.js";
import { convertModel } from "../../engine/models.js";
import { printLine } from "../../spec-tests/conform/terminal.js";
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
    .description(
      "convert a model into a pack (the engine's own format) or into ONNX files in the layout of transformers.js",
    )
    .argument(
      "<model>",
      "a Hugging Face folder (config.json, tokenizer.json, safetensors) or a model on the Hugging Face Hub (org/name[@revision])",
    )
    .requiredOption("--out <dir>", "output folder")
    .option("--force", "replace an existing output folder of the same kind")
    .addOption(new Option("--quant <format>", "weight format").choices(["q8", "q4", "f32"]).default("q8"))
    .addOption(new Option("--layout <name>", "output format").choices(["pack", "onnx"]).default("pack"))
    .addOption(offlineOption())
    .action(async (model: string, flags: ConvertFlags) => {
      const { quant, layout, offline } = flags;
      await showLoading((display) =>
        convertModel(model, flags.out, { quant, layout, offline, replace: flags.force === true, ...display }),
      );
      printLine(process.stderr, `Wrote ${flags.out}`);
    });
}
