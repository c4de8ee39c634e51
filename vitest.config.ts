import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{kernels,engine,src,spec-tests,models}/**/*.test.ts"],
    exclude: ["**/node_modules/**", "dist/**", "spec-tests/peers/**"],
    reporters: ["default", "./spec-tests/summary-reporter.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
