/**
 * `npm run build`: builds what is older than its sources, and reports why. Vitest runs the same code before tests that
 * need it, so that no test meets a stale build. Plain JavaScript, because it runs before TypeScript is compiled.
 */

import { execSync } from "node:child_process";
import { readdirSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SKIPPED = new Set(["dist", "node_modules"]);

/**
 * In the order of the build. A step is due where `output`, which it writes last, is older than one of its inputs: files,
 * and the sources in folders.
 */
const STEPS = {
  kernels: {
    inputs: ["kernels/assembly", "asconfig.json", "scripts/layout-transform.mjs"],
    output: "dist/kernels/dot.wasm",
  },
  ts: {
    inputs: ["bench", "engine", "examples", "kernels", "models", "scripts", "spec-tests", "src", "tsconfig.json"],
    output: "dist/tsconfig.tsbuildinfo",
  },
  conform: {
    inputs: ["spec-tests/conform", "spec-tests/conform/package.json", "docs/SPEC.md", "tsconfig.json"],
    output: "spec-tests/conform/dist/main.js",
  },
  tiny: {
    inputs: [
      ...["config", "generation_config", "tokenizer", "tokenizer_config"].map((name) => `models/tiny/${name}.json`),
      "models/tiny/model.safetensors",
      "engine",
      "kernels",
    ],
    output: "dist/models/tiny/pack/manifest.json",
  },
};

/** @param {(keyof typeof STEPS)[]} names the steps to do where they are due */
export function build(names) {
  for (const name of names) {
    const { inputs, output } = STEPS[name];
    const newer = newestSource(["package-lock.json", "package.json", ...inputs]);
    const built = statSync(join(ROOT, output), { throwIfNoEntry: false })?.mtimeMs;
    if (built !== undefined && built >= newer.mtimeMs) continue;
    const reason = built === undefined ? `there is no ${output}` : `${newer.path} is newer than ${output}`;
    console.log(`build:${name}: ${reason}`);
    const start = new Date();
    execSync(`npm run --silent build:${name}`, { cwd: ROOT, stdio: "inherit" });
    // A source that changes during the build is newer than its result.
    utimesSync(join(ROOT, output), start, start);
  }
}

function newestSource(paths) {
  let newest = { path: "", mtimeMs: -Infinity };
  for (const path of paths) {
    const stats = statSync(join(ROOT, path));
    let found = { path, mtimeMs: stats.mtimeMs };
    if (stats.isDirectory()) {
      found = newestSource(
        readdirSync(join(ROOT, path), { withFileTypes: true })
          .filter((entry) => (entry.isDirectory() ? !SKIPPED.has(entry.name) : entry.name.endsWith(".ts")))
          .map(({ name }) => `${path}/${name}`),
      );
    }
    if (found.mtimeMs > newest.mtimeMs) newest = found;
  }
  return newest;
}

/** Vitest calls this before the tests of a project. Unit tests run the sources, and need the kernels only. */
export function setup({ name }) {
  build(name === "unit" ? ["kernels"] : Object.keys(STEPS));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) build(Object.keys(STEPS));
