/** Runs every bench in its quick mode, which checks its results against the reference, so that benches stay usable. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { expect, test } from "vitest";

test.each(["lm-head", "decoder", "logits", "grammar", "speculation"])("%s.bench runs", (name) => {
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
    const options = ["--tiny", "--threads", "1", "--json", json];
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
    expect(report.isQuick).toBe(true);
    expect(report.machine.kernels).toEqual([expect.stringMatching(/^(dot|relaxed|simd|scalar)$/)]);
    expect(markdown).toContain("# tiny, trained weights in q4");
    expect(markdown).toContain("quick run");
  } finally {
    rmSync(dir, { recursive: true });
  }
});
