/**
 * Keeps the picture of docs/ARCHITECTURE.md true: imports go one way, and some packages have one door.
 * Prints each import that breaks a rule and exits with 1.
 */

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";

/** Which folders a folder may import from, itself aside. Tests may import anything. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  kernels: [],
  engine: ["kernels/index.js"],
  "engine/hub": ["engine/errors.js", "engine/limits.js", "engine/processes.js"],
  src: ["engine/index.js", "engine/limits.js", "engine/errors.js", "engine/grammar/index.js"],
  "src/cli": ["spec-tests/laws", "bench"],
  "spec-tests/laws": [],
};

/** The laws judge other servers too, and know ours from its answers alone. */
const PACKAGES_OF_LAWS = /^node:|^fast-check$/;

/** Packages that only the named files may import. */
const DOORS: readonly { readonly pattern: RegExp; readonly files: RegExp }[] = [
  { pattern: /^onnxruntime-node$/, files: /^engine\/runner\/onnx-session\.ts$/ },
  { pattern: /^@huggingface\/tokenizers$/, files: /^engine\/text\/tokenizer\.ts$|^models\// },
  { pattern: /^@huggingface\/jinja$/, files: /^engine\/text\/jinja-template\.ts$|^models\// },
  { pattern: /^protobufjs/, files: /^engine\/model\/onnx\.ts$/ },
  { pattern: /^node:fs/, files: /^engine\/model\/|^engine\/hub\/|^src\/|^scripts\/|^models\/|^spec-tests\/|^bench\/|^kernels\/load\.ts$|^engine\/runner\/onnx-session\.ts$/ },
];

const root = process.cwd();
const problems: string[] = [];
let numFiles = 0;

for (const folder of ["kernels", "engine", "src", "spec-tests", "bench", "models"]) {
  for (const file of typescriptFiles(join(root, folder))) {
    numFiles++;
    if (!file.endsWith(".test.ts")) check(relative(root, file), readFileSync(file, "utf8"));
  }
}
for (const problem of problems) console.error(problem);
if (numFiles === 0) throw new Error("No source files found: run this from the repository's root");
console.log(`Imports: ${numFiles} files, ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;

function check(file: string, source: string): void {
  for (const [, specifier] of source.matchAll(/(?:\bfrom\s+|\bimport\s*\(?\s*)"([^"]+)"/g)) {
    if (specifier === undefined) continue;
    if (specifier.startsWith(".")) checkDirection(file, normalize(join(dirname(file), specifier)));
    else checkDoor(file, specifier);
  }
}

function checkDirection(file: string, target: string): void {
  if (target.startsWith("engine/hub/") && target !== "engine/hub/index.js" && !file.startsWith("engine/hub/")) {
    problems.push(`${file}: imports ${target}; the door of engine/hub is index.js`);
  }
  const folder = ["spec-tests/laws", "engine/hub"].find((inner) => file.startsWith(`${inner}/`)) ?? file.split("/")[0] ?? "";
  const allowed = MAY_IMPORT[folder];
  if (allowed === undefined || target.startsWith(`${folder}/`)) return;
  const also = file.startsWith("src/cli/") ? (MAY_IMPORT["src/cli"] ?? []) : [];
  if ([...allowed, ...also].some((prefix) => target === prefix || target.startsWith(`${prefix}/`))) return;
  problems.push(`${file}: imports ${target}; ${folder}/ may import only ${allowed.join(", ") || "itself"}`);
}

function checkDoor(file: string, specifier: string): void {
  if (file.startsWith("spec-tests/laws/") && !PACKAGES_OF_LAWS.test(specifier)) problems.push(`${file}: imports ${specifier}; the laws need node and fast-check alone`);
  const door = DOORS.find(({ pattern }) => pattern.test(specifier));
  if (door === undefined || door.files.test(file)) return;
  problems.push(`${file}: imports ${specifier}, which belongs to ${door.files.source}`);
}

function typescriptFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !/\/(node_modules|assembly|peers|\.work)\//.test(file));
}
