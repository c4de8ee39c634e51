/** Tests that files which a disk or a process cannot read for a while are reported as such: not as missing or damaged. */

import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { randomModel } from "../../spec-tests/fixtures/random-model.js";
import { openSourceModel } from "../folder/index.js";
import { fileExists } from "../formats/index.js";
import { convert } from "./convert.js";
import { modelFolder } from "./locate.js";
import { prepareModel } from "./prepare.js";

/** Paths at which a call fails, with the code of its error. */
const failing = vi.hoisted(() => new Map<string, string>());

vi.mock("node:fs/promises", async (importOriginal) => {
  const actual = await importOriginal<typeof import("node:fs/promises")>();
  const checked =
    <Args extends readonly unknown[], Result>(syscall: string, call: (...args: Args) => Promise<Result>) =>
    async (...args: Args): Promise<Result> => {
      const path = `${String(args[0])}`;
      const code = [...failing].find(([end]) => path.endsWith(end))?.[1];
      if (code !== undefined) throw Object.assign(new Error(`${code}: ${syscall} '${path}'`), { code, syscall, path });
      return call(...args);
    };
  return { ...actual, stat: checked("stat", actual.stat), open: checked("open", actual.open) };
});

let scratch: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "unreadable-"));
  vi.stubEnv("TOUCHSTONE_CACHE", join(scratch, "cache"));
});
afterEach(async () => {
  failing.clear();
  vi.unstubAllEnvs();
  await rm(scratch, { recursive: true, force: true });
});

const CODES = ["EIO", "EACCES", "EMFILE", "ELOOP"];

test.each(CODES)("%s of a model's folder or file is reported as it is", async (code) => {
  const model = await randomModel(join(scratch, "model"), {});
  const refused = (path: string): object => ({ code: "invalid_model", message: `${path} cannot be read (${code})` });
  failing.set("/model", code);
  await expect(prepareModel({ model })).rejects.toMatchObject(refused(model));
  await expect(openSourceModel(model)).rejects.toMatchObject(refused(model));
  await expect(convert(model, join(scratch, "pack"))).rejects.toMatchObject(refused(model));
  failing.clear();
  for (const name of ["config.json", "tokenizer_config.json", "model.safetensors"]) {
    failing.set(`/${name}`, code);
    await expect(prepareModel({ model })).rejects.toMatchObject(refused(join(model, name)));
    failing.clear();
  }
  failing.set("owner/name", code);
  await expect(modelFolder("owner/name", { offline: true })).rejects.toMatchObject(refused("owner/name"));
});

test.each(CODES)("%s of a conversion's target is reported as it is", async (code) => {
  const model = await randomModel(join(scratch, "model"), {});
  failing.set("/target", code);
  await expect(convert(model, join(scratch, "target"))).rejects.toMatchObject({
    code: "output_unavailable",
    message: expect.stringMatching(new RegExp(`^cannot write .*target \\(${code}`)) as string,
  });
});

test.each(CODES)("%s keeps a cached pack; a damaged one is made again", async (code) => {
  const model = await randomModel(join(scratch, "model"), {});
  const { dir } = await prepareModel({ model });
  const packs = join(scratch, "cache", "packs");
  const numFiles = (await readdir(dir)).length;
  for (const name of ["", "/manifest.json", "/weights.bin", "/tokenizer.json"]) {
    failing.set(`${dir}${name}`, code);
    await expect(prepareModel({ model })).rejects.toMatchObject({
      code: "invalid_model",
      message: `${dir}${name} cannot be read (${code})`,
    });
    failing.clear();
    expect(await readdir(packs)).toEqual([dir.slice(packs.length + 1)]);
    expect(await readdir(dir)).toHaveLength(numFiles);
  }
  await rm(join(dir, "weights.bin"));
  await prepareModel({ model });
  expect(await readdir(dir)).toHaveLength(numFiles);
});

test("a path that leads to nothing is missing", async () => {
  const model = await randomModel(join(scratch, "model"), {});
  const paths = ["none", "config.json/none", "x".repeat(300), "a\0b"].map((name) => join(model, name));
  for (const path of paths) {
    expect(await fileExists(path)).toBe(false);
    await expect(prepareModel({ model: path })).rejects.toMatchObject({ code: "model_not_found" });
  }
});
