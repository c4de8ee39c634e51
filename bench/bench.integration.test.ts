/** Runs every bench in its quick mode, which checks its results against the reference, so that benches stay usable. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { expect, test } from "vitest";

import { ratiosOf, type EngineSamples } from "./peers/report.js";

test.each(["lm-head", "decoder", "logits", "grammar"])("%s.bench runs", (name) => {
  const output = execFileSync(process.execPath, [resolve(`dist/bench/${name}.bench.js`), "--quick"], {
    encoding: "utf8",
  });
  expect(output).toMatch(/\d ms/);
});

test("peers.bench --tiny compares our profiles and reports", () => {
  const dir = mkdtempSync(join(tmpdir(), "touchstone-peers-"));
  try {
    const json = join(dir, "report.json");
    const bench = resolve("dist/bench/peers/peers.bench.js");
    const options = ["--tiny", "--threads", "1", "--json", json, "--out", dir];
    const markdown = execFileSync(process.execPath, [bench, ...options], { encoding: "utf8", stdio: "pipe" });
    const report = JSON.parse(readFileSync(json, "utf8"));
    expect(report.engines.map(({ name }: { name: string }) => name)).toEqual(["touchstone-fast", "touchstone-exact"]);
    for (const engine of report.engines) {
      const samples = [
        engine.firstTokenMs[128],
        engine.tokenMs[128],
        engine.batchRate[1],
        engine.batchRate[8],
        engine.loadMs.q4,
        engine.peakBytes.q8,
      ];
      for (const [value, ...others] of samples) {
        expect(value).toBeGreaterThan(0);
        expect(others).toEqual([]);
      }
    }
    expect(report.ratios.batch8_vs_batch1).toBe(report.engines[0].batchRate[8][0] / report.engines[0].batchRate[1][0]);
    const alike = { numPrompts: 8, sameFirst: 8, sameAll: 8 };
    expect(report.agreement).toContainEqual({ engine: "touchstone-fast", quant: "f32", ...alike });
    expect(readFileSync(join(dir, "tiny.md"), "utf8")).toBe(markdown.trimEnd() + "\n");
    expect(readFileSync(join(dir, "tiny.svg"), "utf8")).toMatch(/^<svg [^]*touchstone-exact[^]*<\/svg>\n$/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("ratios ours / theirs are computed within a round; for times and memory smaller is better, for rates larger", () => {
  // A machine that slows down in the second round slows all engines down.
  const samples = (name: string, ms: number): EngineSamples => ({
    name,
    version: "1",
    firstTokenMs: { 128: [ms, 2 * ms], 512: [4 * ms, 8 * ms] },
    tokenMs: { 128: [ms, 2 * ms, 3 * ms], 512: [ms, 2 * ms] },
    batchRate: { 1: [1000 / ms, 500 / ms], 8: [4000 / ms, 1000 / ms] },
    startMs: [ms],
    loadMs: { q4: [ms], q8: [ms] },
    peakBytes: { q4: [ms], q8: [3 * ms] },
  });
  const engines = [
    samples("touchstone-fast", 10),
    samples("touchstone-exact", 30),
    samples("node-llama-cpp", 20),
    samples("transformers-js", 80),
  ];
  const spreads = ratiosOf({ quant: "q4", engines });
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
