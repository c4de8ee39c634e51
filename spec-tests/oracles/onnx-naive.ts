/**
 * A naive way to run a folder of ONNX files: unmodified file, prompt in one pass, cache tensors passed from call to
 * call.
 */

import { dirname } from "node:path";

import type { OnnxFolder } from "../../engine/folder/onnx-folder.js";
import { halfTable, widenHalf } from "../../engine/formats/safetensors.js";
import { openSession, Tensor } from "../../engine/runner/onnx-session.js";

/** @returns the logits after the prompt and after each of `nextIds` */
export async function naiveLogits(
  { path, decoder }: OnnxFolder,
  promptIds: readonly number[],
  nextIds: readonly number[],
): Promise<Float32Array[]> {
  const session = await openSession(path, { numThreads: 1, optimizes: true, weightsFolder: dirname(path) });
  try {
    const presentOf = (past: string): string => past.replace("past_key_values", "present");
    let past: Tensor[] = decoder.caches.map(
      ({ type, numHeads, headDim }) =>
        new Tensor(type, type === "float32" ? new Float32Array(0) : (new Uint16Array(0) as never), [
          1,
          numHeads,
          0,
          headDim,
        ]),
    );
    let numPast = 0;
    const rows: Float32Array[] = [];
    for (const ids of [promptIds, ...nextIds.map((id) => [id])]) {
      const ones = new BigInt64Array(numPast + ids.length).fill(1n);
      const feeds: Record<string, Tensor> = {
        input_ids: new Tensor("int64", BigInt64Array.from(ids, BigInt), [1, ids.length]),
        attention_mask: new Tensor("int64", ones, [1, ones.length]),
      };
      if (decoder.inputs.position_ids !== undefined)
        feeds["position_ids"] = new Tensor(
          "int64",
          BigInt64Array.from(ids, (_, index) => BigInt(numPast + index)),
          [1, ids.length],
        );
      if (decoder.inputs.num_logits_to_keep !== undefined)
        feeds["num_logits_to_keep"] = new Tensor("int64", BigInt64Array.of(0n), decoder.numLogitsShape);
      decoder.caches.forEach((cache, index) => (feeds[cache.past] = past[index]!));
      const outputs = await session.run(feeds);
      past = decoder.caches.map((cache) => outputs[presentOf(cache.past)]!);
      numPast += ids.length;
      rows.push(lastRow(outputs["logits"]!));
    }
    return rows;
  } finally {
    await session.release();
  }
}

function lastRow({ data, dims, type }: Tensor): Float32Array {
  const width = dims.at(-1)!;
  if (type === "float32") return (data as Float32Array).slice(-width);
  const bytes = new Uint8Array(
    (data as Uint16Array).buffer,
    (data as Uint16Array).byteOffset,
    (data as Uint16Array).byteLength,
  ).slice(-2 * width);
  const row = new Float32Array(width);
  widenHalf(bytes, row, halfTable());
  return row;
}
