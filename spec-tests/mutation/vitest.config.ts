import { defineConfig } from "vitest/config";

/** The tests that ought to notice: those of the two folders, and their laws. The same with and without the assets folder. */
export default defineConfig({
  test: {
    include: ["engine/{sampling,text}/*.test.ts", "spec-tests/properties/{sampling,text}.test.ts"],
    exclude: ["engine/text/assets.test.ts"],
    setupFiles: ["spec-tests/mutation/setup.ts"],
    testTimeout: 60_000,
  },
});
