/** Names of the files in a model folder: Hugging Face's layout, with transformers.js's layout below onnx/. */

export const REQUIRED_TEXT_FILES = ["config.json", "tokenizer.json"] as const;
export const OPTIONAL_TEXT_FILES = ["generation_config.json", "tokenizer_config.json", "chat_template.jinja"] as const;

/** Folder of the ONNX files. */
export const ONNX_FOLDER = "onnx";

/** ONNX variants of a model under the names that transformers.js gives them, in order of preference. */
export const ONNX_DTYPES = ["fp32", "fp16", "q8", "int8", "uint8", "q4", "q4f16", "bnb4"] as const;

export type OnnxDtype = (typeof ONNX_DTYPES)[number];

/** Returns the path of a variant's graph within the model's folder. */
export function onnxFile(dtype: OnnxDtype): string {
  const suffix = dtype === "fp32" ? "" : dtype === "q8" ? "_quantized" : `_${dtype}`;
  return `${ONNX_FOLDER}/model${suffix}.onnx`;
}
