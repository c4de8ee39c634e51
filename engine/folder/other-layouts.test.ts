import { expect, test } from "vitest";

import { describeOtherLayout } from "./other-layouts.js";

test.each([
  [
    ["config.json", "pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"],
    /^holds weights of PyTorch \(pytorch_model-00001-of-00002\.bin\): .*save_pretrained/,
  ],
  [["README.md", "llama-q4_k_m.gguf"], /^holds GGUF \(llama-q4_k_m\.gguf\)/],
  [["config.json", "model.onnx", "model.onnx_data"], /^has model\.onnx at its top: .* folder onnx/],
  [["config.json", "model_quantized.onnx"], /^has model_quantized\.onnx at its top/],
  [["adapter_config.json", "adapter_model.safetensors"], /^holds an adapter \(adapter_config\.json\).*merge/],
  [
    ["config.json", "onnx/decoder_model_merged.onnx"],
    /^holds ONNX files of an older layout \(onnx\/decoder_model_merged\.onnx\)/,
  ],
  [["onnx/decoder_with_past_model_quantized.onnx"], /^holds ONNX files of an older layout/],
  [
    ["onnx/decoder_model_merged_quantized.onnx", "onnx/encoder_model_quantized.onnx"],
    /^holds an encoder with its decoder/,
  ],
  [["config.json", "model-00001-of-00002.safetensors"], /^has model-00001-of-00002\.safetensors, but neither/],
  [["consolidated.00.pth", "params.json"], /^holds weights of PyTorch \(consolidated\.00\.pth\)/],
  [["body.onnx", "config.json", "weights.bin"], /^has weights\.bin without manifest\.json: it is an incomplete pack/],
  [["config.json", "flax_model.msgpack"], /^holds weights in another format \(flax_model\.msgpack\)/],
])("names what %j holds", (files, description) => {
  expect(describeOtherLayout(files)).toMatch(description);
  expect(describeOtherLayout([...files].reverse())).toMatch(description);
});

test("recognizes nothing in other files", () => {
  expect(describeOtherLayout([])).toBeNull();
  expect(
    describeOtherLayout(["config.json", "README.md", "a/model.gguf", "training_args.bin", "optimizer.pt", "vocab.npz"]),
  ).toBeNull();
});
