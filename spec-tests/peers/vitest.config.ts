import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    root: "spec-tests/peers",
    include: ["*.test.ts"],
    reporters: ["default", "../summary-reporter.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
