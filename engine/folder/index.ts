/** Opens and checks model folders on this machine: folders with safetensors, packs, and folders with ONNX files. */

import type { OnnxFolder } from "./onnx-folder.js";
import type { ModelPack } from "./pack.js";

/** A model that an engine runs without conversion. */
export type RunnableModel = ModelPack | OnnxFolder;

export { readEndTokenIds } from "./end-tokens.js";
export type { ModelFolder } from "./model-folder.js";
export {
  ONNX_DTYPES,
  ONNX_FOLDER,
  onnxFile,
  OPTIONAL_TEXT_FILES,
  REQUIRED_TEXT_FILES,
  type OnnxDtype,
} from "./file-names.js";
export type { CacheTensor, FloatType, IntegerInputName, IntegerType, OnnxHead } from "./onnx-decoder.js";
export { onnxDtypesOf, openOnnxFolder, readHead, type OnnxFolder } from "./onnx-folder.js";
export {
  BODY_DATA_FILE,
  BODY_FILE,
  forgetPack,
  FORMAT_VERSION,
  MANIFEST_FILE,
  openPack,
  TENSOR_ALIGNMENT,
  verifyPack,
  WEIGHTS_FILE,
  writeManifest,
  type Manifest,
  type ModelPack,
  type PackedTensor,
} from "./pack.js";
export { describeOtherLayout, refuseOtherLayout } from "./other-layouts.js";
export { forgetSource, identifySource, rememberedSources, type SourceIdentity } from "./source-identity.js";
export { isGguf, readGgufTexts } from "./gguf-file.js";
export { checkConfig, checkTextFiles, checkTokenizer, openSourceModel, type SourceModel } from "./source-model.js";
export { readTextFiles, TEXT_FILES } from "./text-files.js";
export { hashWithToolFormat, TOOL_FORMATS, type ToolFormat, withToolFormat } from "./tool-format.js";
