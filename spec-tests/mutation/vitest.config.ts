import { defineConfig } from "vitest/config";

/** The tests that ought to notice: those of the four folders, and their laws. The same with and without the assets folder. */
export default defineConfig({
  test: {
    include: ["engine/{sampling,text,message,template}/*.test.ts", "spec-tests/properties/{sampling,text}.slow.test.ts"],
    exclude: ["engine/text/assets.slow.test.ts"],
    setupFiles: ["spec-tests/mutation/setup.ts"],
    testTimeout: 60_000,
  },
});
