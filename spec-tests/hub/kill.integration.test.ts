/**
 * Tests of downloads in separate processes of the built program: repeatedly killed, two concurrently, and after a
 * process that left its lock. `HUB_MEBIBYTES` is the size of the model, `HUB_SEED` determines the points where it is
 * killed.
 */

import { spawn, type ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

import { afterEach, beforeEach, expect, test } from "vitest";

import { randomSource } from "../fixtures/random-model.js";
import { HubServer, randomFile, textRepository, type HubRepository } from "./hub-server.js";

const NUM_KILLS = 50;
const NUM_BYTES = (Number(process.env["HUB_MEBIBYTES"] ?? 30) << 20) + 4321;
const SEED = Number(process.env["HUB_SEED"] ?? Date.now() % 1e6);
const NAME = "org/model";

const PROGRAM = `
  import { hubReference, locateModel } from ${JSON.stringify(pathToFileURL(resolve("dist/engine/store/hub/index.js")).href)};
  const onNotice = (message) => console.error(message);
  console.log((await locateModel(hubReference(${JSON.stringify(NAME)}), { onNotice })).dir);
`;

let hub: HubServer;
let scratch: string;
let repository: HubRepository;

beforeEach(async () => {
  hub = await HubServer.start();
  scratch = await mkdtemp(join(tmpdir(), "touchstone-kill-"));
  repository = textRepository({
    "config.json": "{}",
    "tokenizer.json": "{}",
    "model.safetensors": randomFile(NUM_BYTES, SEED),
  });
  hub.repositories.set(NAME, repository);
});
afterEach(async () => {
  await hub.close();
  await rm(scratch, { recursive: true, force: true });
});

interface Run {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
}

interface Pull {
  /** Number of bytes after which the process is killed, unless it needs fewer. */
  readonly killAfter?: number;
  readonly environment?: Record<string, string>;
  readonly onStart?: (child: ChildProcess) => void;
  readonly onNotice?: () => void;
}

function pull({ killAfter, environment, onStart, onNotice }: Pull = {}): Promise<Run> {
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, ["--input-type=module", "-e", PROGRAM], {
      env: { ...process.env, ...hub.environment(scratch), ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    onStart?.(child);
    if (killAfter !== undefined) {
      const killAt = hub.numSent + killAfter;
      hub.onSent = (numSent) => void (numSent >= killAt && child.kill("SIGKILL"));
    }
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
      onNotice?.();
    });
    child.on("error", failed);
    child.on("close", (code) => done({ stdout, stderr, code }));
  });
}

/** Returns the first requested byte of the weights, or null if they were not requested. */
function firstByteAsked(): number | null {
  const starts = hub.requests.flatMap(({ server, headers }) =>
    server === "files" ? Number(/^bytes=(\d+)-/.exec(headers.range ?? "bytes=0-")![1]) : [],
  );
  return starts.length === 0 ? null : Math.min(...starts);
}

async function checkFiles(dir: string): Promise<void> {
  for (const [name, { hash, isLarge }] of repository.files) {
    if (!isLarge) continue;
    const digest = createHash("sha256");
    for await (const chunk of createReadStream(join(dir, name))) digest.update(chunk as Buffer);
    expect(digest.digest("hex")).toBe(hash);
  }
}

test(
  `a download of ${NUM_BYTES} bytes that is killed ${NUM_KILLS} times completes (seed ${SEED})`,
  { timeout: 600_000 },
  async () => {
    const random = randomSource(SEED);
    const blobs = join(scratch, "hub", "models--org--model", "blobs");
    const weights = repository.files.get("model.safetensors")!;
    let numKilled = 0;
    let numResumed = 0;
    let begin = 0;
    hub.faults.pauseMs = 1;
    while (numKilled < NUM_KILLS) {
      hub.requests.length = 0;
      const run = await pull({ killAfter: (random() * 2 * NUM_BYTES) / NUM_KILLS });
      // Bytes that have been written are never requested again.
      const asked = firstByteAsked();
      if (asked !== null) expect(asked).toBeGreaterThanOrEqual(begin);
      if (begin > 0) numResumed++;
      begin = (await stat(join(blobs, `${weights.hash}.incomplete`)).catch(() => null))?.size ?? begin;
      // A file with its final name is complete, whenever the process was killed.
      if ((await readdir(blobs).catch((): string[] => [])).includes(weights.hash))
        expect((await stat(join(blobs, weights.hash))).size).toBe(NUM_BYTES);
      if (run.code !== 0) numKilled++;
      else {
        // The download completed between two kills, so start again.
        await checkFiles(run.stdout.trim());
        await rm(join(scratch, "hub"), { recursive: true });
        begin = 0;
      }
    }
    hub.onSent = () => {};
    hub.faults = {};
    const finished = await pull();
    expect(finished).toMatchObject({ code: 0, stderr: "" });
    await checkFiles(finished.stdout.trim());
    expect(numResumed).toBeGreaterThan(NUM_KILLS / 4);
    expect((await readdir(blobs)).sort()).toEqual(
      [...new Set([...repository.files.values()].map(({ hash }) => hash))].sort(),
    );

    hub.requests.length = 0;
    expect(await pull({ environment: { HF_HUB_OFFLINE: "1" } })).toEqual(finished);
    expect(await pull()).toEqual(finished);
    expect(hub.requests).toEqual([]);
  },
);

test("of two concurrent processes, one downloads and the other waits for it", async () => {
  // The download is slow until one process has found the other.
  hub.faults.pauseMs = 50;
  const onNotice = (): void => void (hub.faults = {});
  const runs = await Promise.all([pull({ onNotice }), pull({ onNotice })]);
  for (const { code, stdout } of runs) {
    expect(code).toBe(0);
    await checkFiles(stdout.trim());
  }
  expect(runs.map(({ stderr }) => stderr).sort()).toEqual([
    "",
    "another process is downloading org/model; waiting for it\n",
  ]);
  expect(hub.numSent).toBeLessThan(1.1 * NUM_BYTES);
});

test("a waiting process continues where the other one was killed", async () => {
  hub.faults.cut = ({ server }) => (server === "files" ? { after: 4 << 20, how: "stall" } : null);
  let first: ChildProcess;
  const begun = new Promise<void>((begun) => (hub.onSent = (numSent) => numSent > 2 << 20 && begun()));
  const killed = pull({ onStart: (child) => (first = child) });
  await begun;
  const waited = await pull({
    onNotice: () => {
      hub.faults = {};
      hub.requests.length = 0;
      first.kill("SIGKILL");
    },
  });
  expect((await killed).code).toBeNull();
  expect(waited).toMatchObject({ code: 0, stderr: "another process is downloading org/model; waiting for it\n" });
  expect(firstByteAsked()).toBeGreaterThan(0);
  await checkFiles(waited.stdout.trim());
});

test("the lock of a dead process is ignored", async () => {
  const lock = join(scratch, "hub", ".locks", "models--org--model");
  await mkdir(lock, { recursive: true });
  await writeFile(join(lock, "touchstone.lock"), `${hostname().replaceAll(/[^A-Za-z0-9]/g, "_")} 4194999 gone`);
  const startMs = performance.now();
  const { code, stdout } = await pull();
  expect(code).toBe(0);
  await checkFiles(stdout.trim());
  expect(performance.now() - startMs).toBeLessThan(10_000);
});
