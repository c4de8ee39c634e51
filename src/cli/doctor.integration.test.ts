/** `touchstone doctor` on machines that lack something. Runs the built command, or calls a check directly. */

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, describe, expect, test } from "vitest";

import { type Finding, checkMemory, checkNode } from "./doctor.js";

const scratch = mkdtempSync(join(tmpdir(), "touchstone-doctor-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Report {
  readonly code: number | null;
  readonly stdout: string;
}

function doctor(args: string[], env: Record<string, string>): Promise<Report> {
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, [resolve("dist/src/cli/main.js"), "doctor", ...args], {
      env: { ...process.env, TOUCHSTONE_CACHE: join(scratch, "cache"), HF_HUB_CACHE: join(scratch, "hub"), ...env },
    });
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.on("error", failed);
    child.on("close", (code) => done({ code, stdout }));
  });
}

async function listening(server: Server): Promise<string> {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function findings(
  env: Record<string, string>,
  args: string[] = [],
): Promise<{ code: number | null; of: (name: string) => Finding }> {
  const { code, stdout } = await doctor(["--json", ...args], env);
  const all = (JSON.parse(stdout) as { findings: Finding[] }).findings;
  return { code, of: (name) => all.find((finding) => finding.name === name)! };
}

describe("doctor", () => {
  test("prints a line for each check and finds no problems on a working machine", async () => {
    mkdirSync(join(scratch, "hub", "models--a--empty"), { recursive: true });
    mkdirSync(join(scratch, "hub", "models--a--begun", "blobs"), { recursive: true });
    writeFileSync(join(scratch, "hub", "models--a--begun", "blobs", "0f.incomplete"), "part");
    const { code, stdout } = await doctor(["--offline"], {});
    expect(code).toBe(0);
    for (const name of [
      "node",
      "processor",
      "embedded model",
      "kernels",
      "onnxruntime",
      "memory",
      "cache",
      "hub cache",
      "hub",
    ]) {
      expect(stdout).toMatch(new RegExp(`^(ok|warning) +${name} +\\S`, "m"));
    }
    expect(stdout).toMatch(/^ok +kernels +WebAssembly with .*SIMD.*, \d+ threads?$/m);
    expect(stdout).toMatch(/^ok +hub cache .*: 0 models, 1 unfinished, \d+\.\d GiB free/m);
    expect(stdout).toMatch(/^ok +hub +not checked \(offline\)$/m);
    expect(stdout).toMatch(/\n0 problems, \d+ warnings?\n$/);
  });

  test("a cache folder that cannot be created is a problem, with a suggested fix", async () => {
    const file = join(scratch, "file");
    writeFileSync(file, "");
    const { code, of } = await findings({ TOUCHSTONE_CACHE: join(file, "cache") }, ["--offline"]);
    expect(code).toBe(1);
    expect(of("cache")).toMatchObject({
      status: "problem",
      text: expect.stringContaining("file"),
      fix: expect.stringContaining("TOUCHSTONE_CACHE"),
    });
    expect(of("hub cache").status).not.toBe("problem");
  });

  test.each(["fast", "DOT"])("a build of the kernels that does not exist is a problem: %s", async (name) => {
    const { code, of } = await findings({ TOUCHSTONE_KERNELS: name }, ["--offline"]);
    expect(code).toBe(1);
    expect(of("kernels")).toMatchObject({
      status: "problem",
      text: `TOUCHSTONE_KERNELS must be dot, relaxed, simd, scalar or unset. Given: "${name}"`,
      fix: "unset TOUCHSTONE_KERNELS",
    });
  });

  test("an unreachable hub is a warning", async () => {
    const server = createServer();
    const endpoint = await listening(server);
    await new Promise((closed) => server.close(closed));
    const { code, of } = await findings({ HF_ENDPOINT: endpoint, HF_HUB_OFFLINE: "" });
    expect(code).toBe(0);
    expect(of("hub")).toMatchObject({
      status: "warning",
      text: `${endpoint} cannot be reached (ECONNREFUSED)`,
      fix: expect.stringContaining("HF_ENDPOINT"),
    });
  });

  test("a hub that answers is ok, a broken one is a warning, and offline no request is sent", async () => {
    let numAsked = 0;
    let status = 200;
    const server = createServer((_, response) => {
      numAsked++;
      response.writeHead(status).end();
    });
    const endpoint = await listening(server);
    expect((await findings({ HF_ENDPOINT: endpoint, HF_HUB_OFFLINE: "0" })).of("hub")).toMatchObject({
      status: "ok",
      text: `${endpoint} answers`,
    });
    status = 503;
    expect((await findings({ HF_ENDPOINT: endpoint, HF_HUB_OFFLINE: "" })).of("hub")).toMatchObject({
      status: "warning",
      text: `${endpoint} answers with 503`,
    });
    expect((await findings({ HF_ENDPOINT: endpoint, HF_HUB_OFFLINE: "1" })).of("hub").status).toBe("ok");
    expect(numAsked).toBe(2);
    server.close();
  });
});

describe("checks", () => {
  test.each([
    ["20.12.0", "20.12", "ok"],
    ["20.11.1", "20.12", "problem"],
    ["18.20.4", "20.12", "problem"],
    ["22.1.0", "20.12", "ok"],
    ["26.0.0", "20.12", "ok"],
  ])("Node %s with %s required: %s", (version, floor, status) => {
    expect(checkNode(version, floor).status).toBe(status);
  });

  test("memory lists the model sizes that fit, with their format", () => {
    const GIB = 2 ** 30;
    expect(checkMemory(16 * GIB, 8 * GIB).text).toBe(
      "16.0 GiB, 8.0 GiB of it free; fits models of 0.1B (q8), 0.5B (q8), 1.5B (q8), 3B (q8), 7B (q4)",
    );
    expect(checkMemory(2 * GIB, GIB).text).toBe("2.0 GiB, 1.0 GiB of it free; fits models of 0.1B (q8), 0.5B (q8)");
    expect(checkMemory(GIB / 4, GIB / 8)).toMatchObject({
      status: "warning",
      text: expect.stringContaining("less than 0.1B"),
      fix: expect.any(String),
    });
  });
});
