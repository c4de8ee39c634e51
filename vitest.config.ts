import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { defineConfig } from "vitest/config";
import type { ProjectConfig } from "vitest/node";

const TESTS = "{kernels,engine,src,spec-tests,bench,models,scripts}/**/*";

/** Tests that `npm run test:peers` runs, because they need other engines and clients. */
const PEERS = "spec-tests/peers/**";

/** Tests with properties that run in `unit` with few cases and in `slow` with all of them. */
const PROPERTIES = [
  "engine/{core,formats,grammar,runner,sampling}/*.test.ts",
  "kernels/*.test.ts",
  "models/tiny/data/*.test.ts",
  "spec-tests/conform/json-schema.test.ts",
  "src/openai/*.test.ts",
];

const INTEGRATION = [`${TESTS}.integration.test.ts`];
const SLOW = [`${TESTS}.slow.test.ts`];

/** Files without changes of process-wide state share a worker's modules, which saves loading them for each file. */
const SHARED = { isolate: false };

/** Every run converts models again: a pack of an earlier run would hide a fault of the converter. */
const TOUCHSTONE_CACHE = mkdtempSync(join(tmpdir(), "touchstone-tests-"));
process.on("exit", () => rmSync(TOUCHSTONE_CACHE, { recursive: true, force: true }));

/** CONTRIBUTING.md says which project a test belongs to. */
export default defineConfig({
  test: {
    projects: [
      project("unit", [`${TESTS}.test.ts`], [...INTEGRATION, ...SLOW], SHARED),
      project("integration", INTEGRATION),
      project("slow", [...SLOW, ...PROPERTIES], INTEGRATION, {
        ...SHARED,
        testTimeout: 180_000,
        env: { TOUCHSTONE_CACHE, PROPERTY_SIZE: "full" },
      }),
    ],
    // The number of processors, where Vitest leaves one out by default.
    maxWorkers: "100%",
    maxConcurrency: 3,
    reporters: ["default", "./spec-tests/summary-reporter.ts"],
  },
});

function project(name: string, include: string[], exclude: string[] = [], options: ProjectConfig = {}) {
  return {
    test: {
      name,
      include,
      exclude: ["**/node_modules/**", "dist/**", PEERS, ...exclude],
      env: { TOUCHSTONE_CACHE },
      globalSetup: "./scripts/build.mjs",
      testTimeout: 60_000,
      hookTimeout: 120_000,
      ...options,
    },
  };
}
