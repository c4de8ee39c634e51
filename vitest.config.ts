import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{kernels,engine,src,spec-tests,bench,models,scripts}/**/*.test.ts"],
    exclude: ["**/node_modules/**", "dist/**", "spec-tests/peers/**", "bench/peers/**"],
    reporters: ["default", "./spec-tests/summary-reporter.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
