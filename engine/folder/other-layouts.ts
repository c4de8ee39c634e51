/** Names what a folder holds that is not a model in a layout that this engine reads, and what to do with it. */

import { readdir } from "node:fs/promises";
import { join } from "node:path";

import { EngineError } from "../errors.js";
import { INDEX_FILE, SINGLE_FILE } from "../formats/index.js";
import { ONNX_FOLDER } from "./file-names.js";

/**
 * Checks a folder in which safetensors are looked for.
 * @throws EngineError `unsupported_model` if it has none, but something else that is recognized
 */
export async function refuseOtherLayout(dir: string): Promise<void> {
  // A folder that cannot be read has no files here; the error comes from the file that is needed.
  const [top, onnx] = await Promise.all(
    [dir, join(dir, ONNX_FOLDER)].map((path) => readdir(path).catch((): string[] => [])),
  );
  if (top!.includes(SINGLE_FILE) || top!.includes(INDEX_FILE)) return;
  const other = describeOtherLayout([...top!, ...onnx!.map((name) => `${ONNX_FOLDER}/${name}`)]);
  if (other !== null) throw new EngineError("unsupported_model", `${dir} ${other}`);
}

/**
 * @param paths files relative to the folder, with slashes
 * @returns the rest of a sentence that begins with the name of the folder, or null if nothing is recognized
 */
export function describeOtherLayout(paths: Iterable<string>): string | null {
  const files = [...paths].sort();
  for (const { pattern, describe } of LAYOUTS) {
    const found = files.find((path) => pattern.test(path));
    if (found !== undefined) return describe(found);
  }
  return null;
}

/** The first that fits is named: the special ones come first. */
const LAYOUTS: readonly { readonly pattern: RegExp; readonly describe: (file: string) => string }[] = [
  {
    pattern: /^(?:onnx\/)?encoder_model(?:_[a-z0-9]+)?\.onnx$/,
    describe: (file) => `holds an encoder with its decoder (${file}): only models that continue a text can be run`,
  },
  {
    pattern: /^adapter_(?:config\.json|model\.(?:safetensors|bin))$/,
    describe: (file) =>
      `holds an adapter (${file}), which changes another model: merge it into its base model, for example with merge_and_unload of peft, and save the result`,
  },
  {
    pattern: /^(?:onnx\/)?decoder(?:_with_past)?_model(?:_merged)?(?:_[a-z0-9]+)?\.onnx$/,
    describe: (file) =>
      `holds ONNX files of an older layout (${file}): export the model again, so that it has onnx/model.onnx with inputs for keys and values`,
  },
  {
    pattern: /^model(?:_[a-z0-9]+)?\.onnx$/,
    describe: (file) =>
      `has ${file} at its top: ONNX files are looked for in the folder onnx, so move it there with its data files`,
  },
  {
    pattern: /^[^/]+\.gguf$/,
    describe: (file) =>
      `holds GGUF (${file}): download the file and give its path, or use the repository with the model's safetensors`,
  },
  {
    pattern: /^[^/]+\.safetensors$/,
    describe: (file) =>
      `has ${file}, but neither model.safetensors nor model.safetensors.index.json, which names the shards: download the whole repository`,
  },
  {
    pattern: /^weights\.bin$/,
    describe: (file) => `has ${file} without manifest.json: it is an incomplete pack, so convert the model again`,
  },
  {
    pattern: /^(?:(?:pytorch_model|model|consolidated)[^/]*\.(?:bin|pt|pth)|[^/]+\.ckpt)$/,
    describe: (file) =>
      `holds weights of PyTorch (${file}): load the model in transformers and save it with save_pretrained, which writes safetensors`,
  },
  {
    pattern: /^(?:(?:tf_model|flax_model|model)[^/]*\.(?:h5|msgpack|npz)|[^/]+\.(?:tflite|nemo|mlmodel))$/,
    describe: (file) =>
      `holds weights in another format (${file}): only safetensors and ONNX are read, so convert them or use another repository`,
  },
];
