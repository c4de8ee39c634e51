/** The module of cases for hostile models (run-cases.ts). Its setting is the folder of the valid models. */

import { execFileSync } from "node:child_process";
import { mkdir, readdir, readFile, symlink, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { KINDS, type Entry, type Files, type Kind, type KindName } from "./kinds.js";
import { Random } from "./random.js";
import type { PrepareCase } from "./run-cases.js";
import { useModel } from "./use-model.js";

export async function openCases(bases: string): Promise<PrepareCase> {
  const known = new Map<string, Files>();
  for (const name of await readdir(bases)) known.set(name, await readFiles(join(bases, name)));
  // The first model takes longer, because everything is compiled for it.
  process.env["TOUCHSTONE_CACHE"] = join(bases, "..", `cache-${process.pid}`);
  for (const name of ["pack-q8", "onnx-fp32"]) await useModel(new Random(3), join(bases, name), join(bases, "none"), 0);
  return async (kind, seed, folder) => {
    const random = new Random(seed);
    const { bases: names, exactShare, mutate }: Kind = KINDS[kind as KindName];
    const base = random.pick(names);
    const files = new Map(known.get(base)!);
    mutate(random, files);
    const model = join(folder, "model");
    await writeFiles(files, model);
    process.env["TOUCHSTONE_CACHE"] = join(folder, "cache");
    // The profile `exact` refuses models that have ONNX files only.
    const share = base.startsWith("onnx-") ? 0.05 : exactShare;
    return () => useModel(random, model, join(folder, "converted"), share);
  };
}

async function readFiles(folder: string): Promise<Files> {
  const files: Files = new Map();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(folder.length + 1), new Uint8Array(await readFile(path)));
  }
  return files;
}

async function writeFiles(files: Files, folder: string): Promise<void> {
  for (const [name, entry] of files) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeEntry(entry, path);
  }
}

async function writeEntry(entry: Entry, path: string): Promise<void> {
  if (entry instanceof Uint8Array) {
    await writeFile(path, entry);
    return;
  }
  switch (entry.kind) {
    case "folder":
      await mkdir(path);
      return;
    case "pipe":
      execFileSync("mkfifo", [path]);
      return;
    case "link":
      await symlink(entry.to, path);
      return;
    case "sparse":
      await writeFile(path, "");
      await truncate(path, entry.byteLength);
  }
}
