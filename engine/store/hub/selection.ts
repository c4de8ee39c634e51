/**
 * Selects the files of a repository that the engine needs: the text files, and one set of weights. Uses only names, so
 * that the result is the same for a list from the hub and for a folder in the cache.
 */

import { EngineError } from "../../errors.js";
import { describeOtherLayout, ONNX_DTYPES, onnxFile, REQUIRED_TEXT_FILES, type OnnxDtype } from "../../folder/index.js";
import { INDEX_FILE, SINGLE_FILE } from "../../formats/index.js";

export type Weights =
  | { readonly kind: "single" }
  /** The index names the shards. */
  | { readonly kind: "sharded" }
  /** One graph, and the files next to it that hold its weights. */
  | { readonly kind: "onnx"; readonly graph: string; readonly data: readonly string[] };

/** Returns null if none of the files are weights that can be run. */
export function selectWeights(paths: ReadonlySet<string>, dtype: OnnxDtype | null): Weights | null {
  if (dtype === null && paths.has(SINGLE_FILE)) return { kind: "single" };
  if (dtype === null && paths.has(INDEX_FILE)) return { kind: "sharded" };
  const graph = (dtype === null ? ONNX_DTYPES : [dtype]).map(onnxFile).find((path) => paths.has(path));
  if (graph === undefined) return null;
  return { kind: "onnx", graph, data: [...paths].filter((path) => isDataOf(path, graph)).sort() };
}

/** Returns the name of a data file of the graph: `model.onnx_data`, `model.onnx_data_1`, … */
export function dataFile(graph: string, index: number): string {
  return index === 0 ? `${graph}_data` : `${graph}_data_${index}`;
}

/** Returns the shards that an index names, which are in the same folder. */
export function shardsOf(index: Uint8Array, where: string): string[] {
  let names: unknown[];
  try {
    const { weight_map } = JSON.parse(Buffer.from(index).toString()) as { weight_map: Record<string, unknown> };
    names = Object.values(weight_map);
  } catch (cause) {
    throw new EngineError("invalid_model", `${where}: ${INDEX_FILE} has no weight_map`, null, { cause });
  }
  const shards = [...new Set(names)].sort();
  for (const name of shards) {
    if (typeof name !== "string" || !/^\w[\w.-]*\.safetensors$/.test(name)) {
      throw new EngineError(
        "invalid_model",
        `${where}: ${INDEX_FILE} names ${JSON.stringify(name)}, which is not a safetensors file in the same folder`,
      );
    }
  }
  return shards as string[];
}

/** Explains why a repository with these files cannot be run. */
export function unsuitable(repository: string, paths: ReadonlySet<string>, dtype: OnnxDtype | null): EngineError {
  const missing = REQUIRED_TEXT_FILES.find((path) => !paths.has(path));
  const weights = [...paths]
    .filter((path) => /\.(safetensors|bin|gguf|pt|pth|ckpt|h5|msgpack|onnx|tflite|nemo|mlmodel)$/.test(path))
    .sort();
  const variants = ONNX_DTYPES.filter((other) => paths.has(onnxFile(other)));
  if (missing === undefined && dtype !== null && selectWeights(paths, null) !== null) {
    const has = variants.length === 0 ? "no ONNX files" : `only ${variants.join(", ")}`;
    return new EngineError(
      "unsupported_value",
      `${repository} has no ${onnxFile(dtype)} for the dtype ${dtype}: it has ${has}`,
      "dtype",
    );
  }
  const other = describeOtherLayout(paths);
  if (other !== null && selectWeights(paths, null) === null)
    return new EngineError("unsupported_model", `${repository} ${other}`);
  const more = weights.length > MAX_NAMED ? `, … (${weights.length} in all)` : "";
  const has = `${weights.slice(0, MAX_NAMED).join(", ")}${more}`;
  if (weights.length > 0 && weights.every((path) => path.includes("/"))) {
    return new EngineError(
      "unsupported_model",
      `${repository} keeps its model in sub-folders, which is not supported: it has ${has}`,
    );
  }
  const needs = missing ?? `${SINGLE_FILE}, ${INDEX_FILE} or ${onnxFile("fp32")}`;
  return new EngineError(
    "unsupported_model",
    `${repository} cannot be run: it has no ${needs}, ${weights.length === 0 ? "and no weights" : `but ${has}`}`,
  );
}

const MAX_NAMED = 5;

function isDataOf(path: string, graph: string): boolean {
  return path.startsWith(`${graph}_data`) && /^(_\d+)?$/.test(path.slice(`${graph}_data`.length));
}
