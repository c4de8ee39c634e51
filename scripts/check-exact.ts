/**
 * Checks that the profile `exact` gives the same results on every machine (section 10 of the specification): the builds
 * of the kernels contain no instructions and import no functions whose results may differ between machines, and the
 * sources call no functions whose last bit may differ. Prints each violation and exits with 1.
 */

import { readFileSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";

import { WasmReader } from "./wasm-reader.js";

/** Imports that a build may have. None of them computes results. */
const IMPORTS_ALLOWED = new Set(["env.memory", "env.abort"]);

/** First number of the relaxed SIMD instructions, whose results may depend on the machine. */
const RELAXED_FIRST = 0x100;
const RELAXED_LAST = 0x13f;
/**
 * The only relaxed instructions in use: i16x8.relaxed_dot_i8x16_i7x16_s, and i32x4.relaxed_dot_i8x16_i7x16_add_s, which
 * also adds. Both are exact if their second operand is in 0..127. (Node 20 computes the second one wrongly, so load.ts
 * does not load its build there.)
 */
const RELAXED_ALLOWED: Readonly<Record<string, number>> = { relaxed: 0x112, dot: 0x113 };

/** Folders whose code computes results. Tests, test oracles and code that measures results are excluded. */
const SOURCES = ["kernels", "engine"];
const NOT_COMPUTING = /\.test\.ts$|\/engine\/evaluate\//;

/** Functions whose last bit depends on the JavaScript engine. + - * / sqrt, rounding and conversions are exact. */
const TRANSCENDENTAL =
  /\b(?:Math|NativeMath|NativeMathf|Mathf|JSMath)\.(?:a?(?:sin|cos|tan)h?|atan2|exp|expm1|log|log2|log10|log1p|pow|cbrt|hypot)\b/;
/** The last bit of `**` also depends on the engine, except for integer powers of powers of 2 and for BigInt. */
const POWER = /(?:^|[^*/])\*\*(?!\/)/;
const EXACT_POWER = /\b(?:2|16|64|[0-9]+n) \*\* /g;
/** Names of the operator, in code that implements it for chat templates. */
const POWER_NAME = /"\*\*"/g;

/** Numbers of immediates of the instructions that have any. */
// memory.init, data.drop, memory.copy, memory.fill, table.init, elem.drop, table.copy, table.grow, table.size, table.fill
const BULK_IMMEDIATES: Readonly<Record<number, number>> = {
  8: 2,
  9: 1,
  10: 2,
  11: 1,
  12: 2,
  13: 1,
  14: 2,
  15: 1,
  16: 1,
  17: 1,
};
// block, loop, if, br, br_if, call, the variables and tables, memory.size, memory.grow, i32.const, i64.const, ref.null, ref.func
const ONE_IMMEDIATE = new Set([
  2, 3, 4, 0x0c, 0x0d, 0x10, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x3f, 0x40, 0x41, 0x42, 0xd0, 0xd2,
]);

const root = process.cwd();
const problems: string[] = [];
let numInstructions = 0;

const BUILDS = ["scalar", "simd", "relaxed", "dot"];
for (const build of BUILDS) checkBuild(build, readFileSync(join(root, "dist/kernels", `${build}.wasm`)));
for (const folder of SOURCES) {
  for (const file of typescriptFiles(join(root, folder))) checkSource(relative(root, file), readFileSync(file, "utf8"));
}
for (const problem of problems) console.error(problem);
console.log(`Exactness: ${numInstructions} instructions of ${BUILDS.length} builds, ${problems.length} problems`);
process.exitCode = problems.length === 0 && numInstructions > 0 ? 0 : 1;

function checkSource(file: string, source: string): void {
  const withoutComments = source
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, " "))
    .replace(/\/\/.*/g, "");
  withoutComments.split("\n").forEach((line, index) => {
    const found =
      TRANSCENDENTAL.exec(line)?.[0] ??
      (POWER.test(line.replace(EXACT_POWER, "").replace(POWER_NAME, "")) ? "**" : undefined);
    if (found !== undefined)
      problems.push(`${file}:${index + 1}: ${found} may differ in its last bit between JavaScript engines`);
  });
}

function typescriptFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !NOT_COMPUTING.test(file));
}

function checkBuild(build: string, bytes: Uint8Array): void {
  const reader = new WasmReader(bytes, 8);
  while (!reader.atEnd) {
    const section = reader.byte();
    const body = reader.sub(reader.uint());
    if (section === 2) checkImports(build, body);
    if (section === 10) checkCode(build, body);
  }
}

function checkImports(build: string, section: WasmReader): void {
  for (let left = section.uint(); left > 0; left--) {
    const name = `${section.name()}.${section.name()}`;
    if (!IMPORTS_ALLOWED.has(name)) problems.push(`${build}.wasm imports ${name}`);
    const kind = section.byte();
    if (kind === 0) section.uint();
    else if (kind === 2) section.limits();
    else throw new Error(`${build}.wasm imports ${name}, which is neither a function nor a memory`);
  }
}

function checkCode(build: string, section: WasmReader): void {
  for (let left = section.uint(); left > 0; left--) {
    const body = section.sub(section.uint());
    for (let groups = body.uint(); groups > 0; groups--) {
      body.uint();
      body.byte();
    }
    while (!body.atEnd) checkInstruction(build, body);
  }
}

function checkInstruction(build: string, body: WasmReader): void {
  numInstructions++;
  const vector = skipInstruction(body);
  if (vector === null || vector < RELAXED_FIRST || vector > RELAXED_LAST) return;
  if (vector !== RELAXED_ALLOWED[build])
    problems.push(`${build}.wasm contains the relaxed instruction 0x${vector.toString(16)}`);
}

/** Skips one instruction. Returns its number if it is a vector instruction, else null. */
function skipInstruction(body: WasmReader): number | null {
  const opcode = body.byte();
  if (opcode === 0xfd) {
    const vector = body.uint();
    skipVectorImmediates(body, vector);
    return vector;
  }
  if (opcode === 0xfc) {
    body.skipInts(BULK_IMMEDIATES[body.uint()] ?? 0);
  } else if (opcode === 0xfe) {
    // A fence has one zero byte; all others have alignment and offset.
    if (body.uint() === 3) body.byte();
    else body.skipInts(2);
  } else if (opcode === 0x0e || opcode === 0x1c) {
    // Labels and default of br_table, or types of select.
    body.skipInts(body.uint() + (opcode === 0x0e ? 1 : 0));
  } else if (opcode === 0x43 || opcode === 0x44) {
    body.sub(opcode === 0x43 ? 4 : 8);
  } else if ((opcode >= 0x28 && opcode <= 0x3e) || opcode === 0x11) {
    body.skipInts(2);
  } else if (ONE_IMMEDIATE.has(opcode)) {
    body.skipInts(1);
  } else if (opcode > 0xc4) {
    throw new Error(`Instruction 0x${opcode.toString(16)} is unknown to this check`);
  }
  return null;
}

function skipVectorImmediates(body: WasmReader, vector: number): void {
  if (vector <= 11 || vector === 92 || vector === 93) body.skipInts(2);
  else if (vector === 12 || vector === 13) body.sub(16);
  else if (vector >= 21 && vector <= 34) body.byte();
  else if (vector >= 84 && vector <= 91) {
    body.skipInts(2);
    body.byte();
  }
}
