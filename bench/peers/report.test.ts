import { expect, test } from "vitest";

import { exampleReport } from "./example-report.js";
import { ratiosOf } from "./report.js";

test("ratios ours / theirs are computed within a round; for times and memory smaller is better, for rates larger", () => {
  const spreads = ratiosOf(exampleReport({ fastMs: 10 }));
  const medians = Object.fromEntries(Object.entries(spreads).map(([name, { median }]) => [name, median]));
  expect(medians).toMatchObject({
    token_ctx128_vs_node_llama_cpp: 0.5,
    token_ctx512_vs_node_llama_cpp: 0.5,
    token_ctx512_vs_transformers_js: 0.125,
    prompt512_fast_vs_node_llama_cpp: 2,
    prompt512_exact_vs_node_llama_cpp: 20 / 30,
    prompt512_fast_vs_transformers_js: 8,
    batch8_vs_batch1: 3,
    memory_exact_vs_node_llama_cpp: 1.5,
    memory_fast_vs_node_llama_cpp: 0.5,
    load_vs_node_llama_cpp: 0.5,
    load_exact_vs_node_llama_cpp: 1.5,
  });
  expect(spreads["batch8_vs_batch1"]).toEqual({ median: 3, min: 2, max: 4 });
  expect(spreads["token_ctx1500_vs_node_llama_cpp"]).toBeUndefined();
});
