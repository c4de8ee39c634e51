/** The weights of a model, tensor by tensor, in whatever files they are. */

export interface TensorReader {
  /** By name, in the order of their bytes. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Types that can be read as float32. */
  readonly readable: readonly string[];
  /**
   * Reads rows `firstRow` up to `firstRow + numRows` as float32.
   *
   * @param into f32 [numRows, cols]: rows are the first dimension, cols the product of the others, 1 for a vector
   * @throws EngineError `invalid_model` if a value is NaN or infinite, or the file has become shorter
   */
  readRows(name: string, firstRow: number, numRows: number, into: Float32Array): Promise<void>;
  /** Returns true if two tensors have the same type, byte length and bytes. */
  sameBytes(first: string, second: string): Promise<boolean>;
  close(): Promise<void>;
}

export interface Tensor {
  readonly file: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}
