/** Tests what a model's folder may hold in place of its files: pipes, devices, folders, files without end. */

import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { SafetensorsReader } from "./safetensors.js";
import { readModelFile } from "./model-files.js";
import { readOnnxFile } from "./onnx-file.js";

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "model-files-"));
  execFileSync("mkfifo", [join(dir, "pipe")]);
  await mkdir(join(dir, "folder"));
  await symlink("/dev/zero", join(dir, "device"));
  await symlink("..", join(dir, "parent"));
  await writeFile(join(dir, "plain"), "text");
  await symlink("plain", join(dir, "link"));
  await writeFile(join(dir, "huge"), "");
  await truncate(join(dir, "huge"), 2 ** 40);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** Windows has neither such pipes nor /dev/zero. */
describe.skipIf(process.platform === "win32")("a model's file", () => {
  test.each(["pipe", "folder", "device", "parent"])("is refused if it is a %s", async (name) => {
    const error = {
      code: "invalid_model",
      message: expect.stringMatching(/is not a file: it is a folder, a pipe or a device$/),
    };
    await expect(readModelFile(dir, name)).rejects.toMatchObject(error);
    expect(() => readOnnxFile(join(dir, name))).toThrow(expect.objectContaining(error));
  });

  test("may be a link to a file, as in the cache of the hub", async () => {
    expect(Buffer.from((await readModelFile(dir, "link"))!).toString()).toBe("text");
  });

  test("is not read if it is larger than any such file", async () => {
    await expect(readModelFile(dir, "huge")).rejects.toMatchObject({
      code: "invalid_model",
      message: expect.stringContaining("has 1099511627776 bytes; at most 268435456 are allowed"),
    });
  });

  test("that holds weights is refused if it is a pipe", async () => {
    const model = join(dir, "model");
    await mkdir(model);
    const index = { weight_map: { a: "a.safetensors" } };
    await writeFile(join(model, "model.safetensors.index.json"), JSON.stringify(index));
    execFileSync("mkfifo", [join(model, "a.safetensors")]);
    await expect(SafetensorsReader.open(model)).rejects.toMatchObject({
      code: "invalid_model",
      message: expect.stringContaining("a.safetensors is not a file"),
    });
  });
});
