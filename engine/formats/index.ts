/** File formats: strict JSON, safetensors, ONNX. This folder knows nothing about models. */

export { GgufReader, type GgufMetadata, type GgufValue } from "./gguf.js";
export { FileSink, type FileRecord } from "./file-sink.js";
export { parseJsonObject } from "./json.js";
export {
  entryAt,
  fileExists,
  isMissing,
  makeFolder,
  openModelFile,
  readFully,
  readModelFile,
  readModelJson,
  unreadable,
} from "./model-files.js";
export {
  fieldsOf,
  message,
  readOnnxFile,
  rewriteOnnx,
  type OnnxFile,
  type RewrittenModel,
  type StoredNode,
  type StoredTensor as StoredOnnxTensor,
  type StoredValueInfo,
} from "./onnx-file.js";
export {
  encodeNode,
  float,
  int,
  ints,
  NODE_INPUT_FIELD,
  ONNX_DATA_TYPE,
  onnxFileBytes,
  TensorProto,
  ValueInfoProto,
  writeOnnx,
  type Attribute,
  type DataType,
  type Graph,
  type GraphNode,
  type Initializer,
  type InitializerPiece,
  type ValueInfo,
} from "./onnx.js";
export { halfTable, INDEX_FILE, SafetensorsReader, SINGLE_FILE, weightFiles, widenHalf } from "./safetensors.js";
export type { Tensor, TensorReader } from "./tensor-reader.js";
