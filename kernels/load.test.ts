import { afterEach, expect, it, vi } from "vitest";

import { KernelChoiceError, loadKernels } from "./load.js";

afterEach(() => vi.unstubAllEnvs());

const isNode20 = process.versions.node.startsWith("20.");

const variants = ["scalar", "simd", "relaxed", ...(isNode20 ? [] : (["dot"] as const))] as const;

it.each(variants)("loads the build %s that TOUCHSTONE_KERNELS names", async (variant) => {
  vi.stubEnv("TOUCHSTONE_KERNELS", variant);
  expect((await loadKernels(null)).variant).toBe(variant);
  expect((await loadKernels("simd")).variant).toBe("simd");
});

it("loads the fastest build without a name; a comparison decides between the two dot products", async () => {
  vi.stubEnv("TOUCHSTONE_KERNELS", "");
  expect(isNode20 ? ["relaxed"] : ["relaxed", "dot"]).toContain((await loadKernels(null)).variant);
});

it("refuses an unknown name", async () => {
  vi.stubEnv("TOUCHSTONE_KERNELS", "fast");
  await expect(loadKernels(null)).rejects.toThrow(
    new KernelChoiceError('TOUCHSTONE_KERNELS must be dot, relaxed, simd, scalar or unset. Given: "fast"'),
  );
});

it.runIf(isNode20)("refuses the build dot in Node 20, whose compilers disagree about its product", async () => {
  vi.stubEnv("TOUCHSTONE_KERNELS", "dot");
  await expect(loadKernels(null)).rejects.toThrow("This JavaScript engine cannot run the dot build of the kernels");
});

it("gives the same result of the probe in every build that runs", async () => {
  const builds = await Promise.all(variants.map((variant) => loadKernels(variant)));
  const results = builds.map(({ exports }) => exports.probe(1));
  expect(new Set(results).size).toBe(1);
  // Many rounds, so that unoptimized and optimized code take part.
  for (const { exports } of builds) expect(exports.probe(300)).toBe(results[0]);
});
