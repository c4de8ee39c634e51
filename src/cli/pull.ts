/** `touchstone pull`: a model of the hub into the cache that all programs share; from then on it needs no network. */

import { Command, Option } from "commander";

import { ONNX_DTYPES } from "../../engine/folder/index.js";
import type { OnnxDtype } from "../../engine/index.js";
import { pullModel } from "../../engine/models.js";
import { INTERRUPTED, showLoading } from "./terminal.js";

export function pullCommand(): Command {
  return new Command("pull")
    .description("download a model from the hub, or what has changed of it since; prints its folder")
    .argument("<model>", "org/name or org/name@revision, where a revision is a branch, a tag or a commit")
    .addOption(
      new Option(
        "--dtype <name>",
        "take these ONNX files (default: safetensors, or else the first of these that is there)",
      ).choices(ONNX_DTYPES),
    )
    .addHelpText(
      "after",
      "\nHF_ENDPOINT names another hub, HF_TOKEN gives access to private and gated models, HF_HUB_CACHE says where models go.",
    )
    .action(pull);
}

async function pull(name: string, { dtype }: { dtype?: OnnxDtype }): Promise<void> {
  const interrupt = new AbortController();
  process.once("SIGINT", () => interrupt.abort());
  try {
    const { dir } = await showLoading(({ onDownload, onNotice }) => {
      return pullModel(name, { dtype, signal: interrupt.signal, onDownload, onNotice });
    });
    process.stdout.write(`${dir}\n`);
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    process.stderr.write("touchstone: stopped; the same command goes on from here\n");
    process.exitCode = INTERRUPTED;
  }
}
