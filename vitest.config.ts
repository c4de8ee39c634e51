import { defineConfig } from "vitest/config";

const TESTS = "{kernels,engine,src,spec-tests,bench,models,scripts}/**/*";

/** Tests that `npm run test:peers` runs, because they need other engines and clients. */
const PEERS = ["spec-tests/peers/**", "bench/peers/**"];

/** Tests with properties that run in `unit` with few cases and in `slow` with all of them. */
const PROPERTIES = ["engine/{grammar,runner,sampling}/*.test.ts", "kernels/sample.test.ts"];

const INTEGRATION = [`${TESTS}.integration.test.ts`];
const SLOW = [`${TESTS}.slow.test.ts`];

/** CONTRIBUTING.md says which project a test belongs to. */
export default defineConfig({
  test: {
    projects: [
      project("unit", [`${TESTS}.test.ts`], [...INTEGRATION, ...SLOW]),
      project("integration", INTEGRATION),
      project("slow", [...SLOW, ...PROPERTIES], INTEGRATION, { PROPERTY_SIZE: "full" }),
    ],
    // The number of processors, where Vitest leaves one out by default.
    maxWorkers: "100%",
    reporters: ["default", "./spec-tests/summary-reporter.ts"],
  },
});

function project(name: string, include: string[], exclude: string[] = [], env: Record<string, string> = {}) {
  return {
    test: {
      name,
      include,
      exclude: ["**/node_modules/**", "dist/**", ...PEERS, ...exclude],
      env,
      globalSetup: "./scripts/build.mjs",
      testTimeout: 60_000,
      hookTimeout: 120_000,
    },
  };
}
