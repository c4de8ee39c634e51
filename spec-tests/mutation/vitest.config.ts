import { defineConfig } from "vitest/config";

/** Tests that run against each mutant: unit and property tests of the six folders, independent of the assets folder. */
export default defineConfig({
  test: {
    include: [
      "engine/{core,grammar,sampling,text,message,template}/*.test.ts",
      "spec-tests/properties/{sampling,text}.slow.test.ts",
    ],
    exclude: ["engine/text/assets.slow.test.ts", "engine/grammar/rules-against-earley.test.ts"],
    setupFiles: ["spec-tests/mutation/setup.ts"],
    testTimeout: 10_000,
  },
});
