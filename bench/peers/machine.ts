/** Describes what a run depends on: the processor, and the commit of the sources. */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus } from "node:os";

/** Returns the processor's name, which may be as short as "AMD EPYC", with the instructions that decide the speed. */
export function processorName(): string {
  const model = cpus()[0]?.model.trim() ?? "unknown processor";
  let flags: string;
  try {
    flags = readFileSync("/proc/cpuinfo", "latin1");
  } catch {
    return model; // Another operating system.
  }
  const found = [
    ["avx512f", "AVX-512"],
    ["avx2", "AVX2"],
    ["avx512_vnni", "AVX-512 VNNI"],
    ["avx_vnni", "AVX-VNNI"],
    ["amx_int8", "AMX"],
  ].flatMap(([flag, name]) => (new RegExp(`\\b${flag}\\b`).test(flags) ? [name!] : []));
  return found.length === 0 ? model : `${model} (${found.join(", ")})`;
}

/** Returns the commit, marked as changed if a file other than documents and results differs from it. */
export function commitName(): string {
  try {
    const git = (...args: string[]): string =>
      execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    const changes = git("status", "--porcelain", "--untracked-files=no", "--", ":!*.md", ":!bench/peers/results");
    return git("rev-parse", "--short", "HEAD") + (changes === "" ? "" : " (changed)");
  } catch {
    return "unknown";
  }
}
