/** `touchstone pull`: downloads a hub model into the shared Hugging Face cache; afterwards it runs without network. */

import { Command, Option } from "commander";

import { ONNX_DTYPES } from "../../engine/folder/index.js";
import type { OnnxDtype } from "../../engine/index.js";
import { pullModel } from "../../engine/models.js";
import { printLine } from "../../spec-tests/conform/terminal.js";
import { INTERRUPTED, showLoading } from "./terminal.js";

export function pullCommand(): Command {
  return new Command("pull")
    .description("download or update a model from the Hugging Face Hub and print its folder")
    .argument("<model>", "org/name or org/name@revision, where a revision is a branch, a tag or a commit")
    .addOption(
      new Option(
        "--dtype <name>",
        "download ONNX files of this data type (default: safetensors, or else the first available of these types)",
      ).choices(ONNX_DTYPES),
    )
    .addHelpText(
      "after",
      "\nEnvironment variables: HF_ENDPOINT (URL of another hub), HF_TOKEN (access to\nprivate and gated models), HF_HUB_CACHE (download folder).",
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
    printLine(process.stdout, dir);
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    printLine(process.stderr, "touchstone: stopped; run the same command again to resume");
    process.exitCode = INTERRUPTED;
  }
}
