/** Which files a model's folder has, whoever wrote it: the layout of Hugging Face, with that of transformers.js below onnx/. */

export const REQUIRED_TEXT_FILES = ["config.json", "tokenizer.json"] as const;
export const OPTIONAL_TEXT_FILES = ["generation_config.json", "tokenizer_config.json", "chat_template.jinja"] as const;

/** The folder of the ONNX files. */
export const ONNX_FOLDER = "onnx";

/** The ONNX variants of a model, by the names that transformers.js gives them, in order of preference. */
export const ONNX_DTYPES = ["fp32", "fp16", "q8", "int8", "uint8", "q4", "q4f16", "bnb4"] as const;

export type OnnxDtype = (typeof ONNX_DTYPES)[number];

/** The path of a variant's graph in the model's folder. */
export function onnxFile(dtype: OnnxDtype): string {
  const suffix = dtype === "fp32" ? "" : dtype === "q8" ? "_quantized" : `_${dtype}`;
  return `${ONNX_FOLDER}/model${suffix}.onnx`;
}
