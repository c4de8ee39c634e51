/** Converts a source model into a pack or into the layout of transformers.js. */

export { writeOnnxLayout } from "./onnx-layout.js";
export { writePack, type WriteOptions } from "./write-pack.js";
