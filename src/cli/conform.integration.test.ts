/**
 * `touchstone conform` is the command of touchstone-conform under another name. Its behavior is tested in
 * spec-tests/conform/command.integration.test.ts; these tests cover possible differences between the two.
 */

import { spawn } from "node:child_process";
import { openSync } from "node:fs";
import { resolve } from "node:path";

import { expect, test } from "vitest";

import { completion, json, tinyServer } from "../../spec-tests/fixtures/tiny-server.js";

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
}

function run(program: readonly string[], args: readonly string[], output: "pipe" | number = "pipe"): Promise<Outcome> {
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, [...program, ...args], { stdio: ["ignore", output, "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.on("error", failed);
    child.on("close", (code) => done({ stdout, stderr, code }));
  });
}

const OURS = [resolve("dist/src/cli/main.js"), "conform"];
const THEIRS = [resolve("dist/spec-tests/conform/main.js")];

/** Replaces the command's name and removes times, so that the outputs are comparable. */
const comparable = ({ stdout, stderr, code }: Outcome): Outcome => {
  const plain = (text: string): string =>
    text.replaceAll(/\btouchstone(-| )conform\b|\btouchstone(?=: )/g, "NAME").replace(/\d+ of \d+ seconds/, "");
  return { stdout: plain(stdout), stderr: plain(stderr), code };
};

test("has the same exit codes 0, 1 and 2 and the same output as touchstone-conform", async () => {
  const server = await tinyServer(({ n }, response) => {
    const isRefused = typeof n === "string";
    json(response, isRefused ? 400 : 200, isRefused ? { error: { message: "No." } } : completion("Hello!"));
  });
  const against = ["--base-url", server.baseUrl, "--seed", "5", "--budget", "calls=60"];
  const runs = [
    [...against, "--only", "P1"],
    [...against, "--only", "P8"],
    [...against, "--only", "P99"],
    [...against, "--onyl", "P8"],
    ["--base-url", "http://127.0.0.1:1/v1"],
    [],
  ].map(async (args) => {
    const [ours, theirs] = await Promise.all([run(OURS, args), run(THEIRS, args)]);
    expect(comparable(ours)).toEqual(comparable(theirs));
    return ours.code;
  });
  const codes = await Promise.all(runs);
  server.close();
  expect(codes).toEqual([0, 1, 2, 2, 2, 2]);
});

test("--help differs only in the name and in --version, which is an option of touchstone itself", async () => {
  const ours = comparable(await run(OURS, ["--help"]));
  const theirs = comparable(await run(THEIRS, ["--help"]));
  expect(theirs.stdout).toMatch(/^ {2}-V, --version .*$/m);
  expect(ours.stdout).toBe(theirs.stdout.replace(/^ {2}-V, --version .*\n/m, ""));
  expect(await run(OURS.slice(0, 1), ["help", "conform"])).toEqual(await run(OURS, ["--help"]));
});

test.runIf(process.platform === "linux")("exits with 2 if the summary cannot be written", async () => {
  const server = await tinyServer((_, response) => json(response, 200, completion("Hello!")));
  const args = ["--base-url", server.baseUrl, "--only", "P1", "--budget", "calls=60"];
  const { stderr, code } = await run(OURS, args, openSync("/dev/full", "w"));
  server.close();
  expect({ stderr, code }).toEqual({
    stderr: "100 % P1 holds\ntouchstone: the output cannot be written (ENOSPC)\n",
    code: 2,
  });
});
