/** Hub models on the command line: pull, use by name, list, remove. Runs the built command. */

import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { folderRepository, HubServer, randomFile, textRepository } from "../../spec-tests/hub/hub-server.js";
import { randomModel } from "../../spec-tests/fixtures/random-model.js";

const MAIN = resolve("dist/src/cli/main.js");
const NAME = "org/random-model";

let hub: HubServer;
let scratch: string;
let folder: string;
const ask = ["--once", "Hi", "--max-tokens", "3", "--seed", "1", "--json"];

beforeAll(async () => {
  hub = await HubServer.start();
  scratch = mkdtempSync(join(tmpdir(), "touchstone-cli-hub-"));
  folder = await randomModel(join(scratch, "model"), { files: { "chat_template.jinja": "{{ messages[0].content }}" } });
  hub.repositories.set(NAME, folderRepository(folder));
});
afterAll(async () => {
  await hub.close();
  rmSync(scratch, { recursive: true, force: true });
});
beforeEach(() => {
  hub.requests.length = 0;
  hub.faults = {};
  rmSync(join(scratch, "hub"), { recursive: true, force: true });
  rmSync(join(scratch, "packs"), { recursive: true, force: true });
});

/** Returns the text files of the random model. */
function texts(): Record<string, string> {
  return Object.fromEntries(
    readdirSync(folder)
      .filter((name) => !name.endsWith("safetensors"))
      .map((name) => [name, readFileSync(join(folder, name), "utf8")]),
  );
}

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
}

function touchstone(
  args: string[],
  env: Record<string, string> = {},
  onStart: (pid: number) => void = () => {},
  onOutput: (stdout: string) => unknown = () => {},
): Promise<Outcome> {
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, [MAIN, ...args], {
      env: { ...process.env, ...hub.environment(scratch), TOUCHSTONE_CACHE: join(scratch, "packs"), ...env },
      cwd: scratch,
      stdio: ["ignore", "pipe", "pipe"],
    });
    onStart(child.pid!);
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      onOutput(stdout);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.on("error", failed);
    child.on("close", (code) => done({ stdout, stderr, code }));
  });
}

test("pull prints the folder and a line per file; then chat runs offline, by variable or by flag", async () => {
  const pulled = await touchstone(["pull", NAME]);
  expect(pulled).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^\S+\/hub\/models--org--random-model\/snapshots\/[0-9a-f]{40}\n$/) as string,
  });
  const lines = pulled.stderr.trimEnd().split("\n");
  expect(lines.map((line) => line.split(":")[0]).sort()).toEqual([
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
  ]);
  for (const line of lines) expect(line).toMatch(/^[\w.]+: (\d+\.\d [kM]B|\d+ bytes)$/);
  hub.requests.length = 0;
  const answers = [
    await touchstone(["chat", "--model", NAME, ...ask], { HF_HUB_OFFLINE: "1" }),
    await touchstone(["chat", "--model", NAME, "--offline", ...ask]),
    await touchstone(["chat", "--model", `${NAME}@main`, ...ask]),
    await touchstone(["chat", "--model", folder, ...ask]),
  ].map(({ stdout, code }) => ({ code, ids: (JSON.parse(stdout) as { token_ids: number[] }).token_ids }));
  for (const answer of answers) expect(answer).toEqual({ code: 0, ids: answers[3]!.ids });
  expect(hub.requests).toEqual([]);
});

test("a name that is not a folder is downloaded on its first use, by every command that takes a model", async () => {
  expect(await touchstone(["convert", NAME, "--out", join(scratch, "converted"), "--force"])).toMatchObject({
    code: 0,
    stdout: "",
  });
  expect(hub.requests.length).toBeGreaterThan(3);
  hub.requests.length = 0;
  const inspected = await touchstone(["inspect", "--model", NAME]);
  expect(inspected.stdout).toMatch(/^architecture +llama$/m);
  expect(hub.requests).toEqual([]);
});

test("a folder with the name takes precedence over the hub", async () => {
  mkdirSync(join(scratch, "org", "random-model"), { recursive: true });
  const { code, stderr } = await touchstone(["generate", "--model", NAME, "--prompt", "x"]);
  rmSync(join(scratch, "org"), { recursive: true });
  expect({ code, stderr }).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^touchstone: org\/random-model is not a model/) as string,
  });
  expect(hub.requests).toEqual([]);
});

test("serve downloads its models before it prints Listening, and serves them under their names", async () => {
  let pid = 0;
  const { code, stdout, stderr } = await touchstone(
    ["serve", "--port", "0", "--model", `${NAME}@main`, "--grace", "0", "--threads", "1"],
    {},
    (started) => (pid = started),
    (printed) => printed.includes("Listening") && process.kill(pid, "SIGTERM"),
  );
  expect(code).toBe(0);
  expect(stdout).toMatch(/^Listening on http:\S+ \(org\/random-model[,)]/);
  expect(stderr).toMatch(/^\{.*"msg":"org\/random-model model\.safetensors: \d+\.\d [kM]B"\}$/m);
  for (const line of stderr.trimEnd().split("\n")) expect(JSON.parse(line)).toHaveProperty("msg");
});

test("serve stops immediately while a model is downloading", async () => {
  hub.faults.cut = ({ server }) => (server === "files" ? { after: 1000, how: "stall" } : null);
  let pid = 0;
  let startMs = 0;
  hub.onSent = () => {
    startMs = performance.now();
    if (hub.requests.some(({ server }) => server === "files")) process.kill(pid, "SIGTERM");
  };
  const { code, stdout } = await touchstone(
    ["serve", "--port", "0", "--model", NAME],
    {},
    (started) => (pid = started),
  );
  hub.onSent = () => {};
  expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
  expect(performance.now() - startMs).toBeLessThan(5000);
});

describe("list and rm", () => {
  test("list shows names, revisions, sizes and times of downloads and packs; rm removes them", async () => {
    await touchstone(["generate", "--model", NAME, "--prompt", "x", "--max-tokens", "1"]);
    await touchstone(["generate", "--model", folder, "--quant", "q4", "--prompt", "x", "--max-tokens", "1"]);
    const { stdout } = await touchstone(["list"]);
    const time = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d`;
    expect(stdout).toMatch(/^name +revision +architecture +weights +size +last used +from\n/);
    expect(stdout).toMatch(/^tiny +llama +q8 +\d+\.\d MB +embedded$/m);
    expect(stdout).toMatch(
      new RegExp(`^org/random-model +main +llama +as downloaded +\\d+\\.\\d [kM]B +${time} +hub$`, "m"),
    );
    expect(stdout).toMatch(new RegExp(`^org/random-model +main +llama +q8 +\\d+\\.\\d [kM]B +${time} +hub$`, "m"));
    expect(stdout).toMatch(new RegExp(`^model +llama +q4 +\\d+\\.\\d [kM]B +${time} +\\S+/model$`, "m"));

    expect(await touchstone(["rm", "org/random-modle"])).toMatchObject({
      code: 1,
      stderr: "touchstone: No stored model is named org/random-modle. The nearest name is org/random-model.\n",
    });
    expect(await touchstone(["rm", "mo"])).toMatchObject({
      code: 1,
      stderr: 'touchstone: No stored model is named mo. See "touchstone list" for the stored models.\n',
    });
    // Both sources have the same files, so the packs are kept for the remaining one.
    expect((await touchstone(["rm", NAME])).stderr).toMatch(
      /^Removed org\/random-model, as downloaded\nKept the packs, which \S+\/model needs too: it has the same files\nFreed \d+\.\d [kM]B\n$/,
    );
    expect((await touchstone(["list"])).stdout).not.toContain("org/");
    expect((await touchstone(["rm", "model"])).stderr).toMatch(
      /^Removed the pack model q4\nRemoved the pack model q8\nFreed \d+\.\d [kM]B\n$/,
    );
    expect((await touchstone(["list"])).stdout.trimEnd().split("\n")).toHaveLength(2);
    expect(existsSync(join(folder, "config.json"))).toBe(true);
    expect(await touchstone(["rm", "tiny"])).toMatchObject({
      code: 1,
      stderr: "touchstone: tiny comes with the program and cannot be removed\n",
    });
  });

  test("rm of an ONNX folder, or of one whose pack is shared, removes only the list entry", async () => {
    const onnx = join(scratch, "onnx", "tiny");
    const source = await randomModel(join(scratch, "even-heads"), { config: { head_dim: 16 } });
    await touchstone(["convert", source, "--out", onnx, "--layout", "onnx"]);
    const copy = join(scratch, "copy");
    cpSync(folder, copy, { recursive: true });
    for (const model of [onnx, folder, copy])
      await touchstone(["generate", "--model", model, "--prompt", "x", "--max-tokens", "1"]);
    expect((await touchstone(["rm", "tiny"])).stderr).toBe(
      `touchstone: tiny comes with the program and cannot be removed; to remove the other model of that name, give its path: ${onnx}\n`,
    );
    expect(await touchstone(["rm", onnx])).toEqual({
      code: 0,
      stdout: "",
      stderr: `Kept the folder ${onnx} itself\n${onnx} is no longer listed\n`,
    });
    expect(await touchstone(["rm", "copy"])).toEqual({
      code: 0,
      stdout: "",
      stderr: `Kept the packs, which ${folder} needs too: it has the same files\ncopy is no longer listed\n`,
    });
    expect((await touchstone(["list"])).stdout).not.toMatch(/onnx|copy/);
  });

  test("rm removes a single revision with its packs", async () => {
    await touchstone(["generate", "--model", NAME, "--prompt", "x", "--max-tokens", "1"]);
    expect(await touchstone(["rm", `${NAME}@v2`])).toMatchObject({ code: 1 });
    expect((await touchstone(["rm", `${NAME}@main`])).stderr).toMatch(
      /^Removed org\/random-model@main, as downloaded\nRemoved the pack org\/random-model q8\n/,
    );
    expect((await touchstone(["list"])).stdout.trimEnd().split("\n")).toHaveLength(2);
  });
});

describe("refusals", () => {
  const refuses = async (args: string[], message: RegExp, env: Record<string, string> = {}): Promise<void> => {
    const { code, stdout, stderr } = await touchstone(args, env);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  };

  test.each<[string, string[], RegExp, Record<string, string>?]>([
    [
      "a name without a slash",
      ["chat", "--model", "nosuchdir", "--once", "x"],
      /^touchstone: there is no folder "nosuchdir"; on the hub, models are named org\/name \(none is downloaded yet\)$/m,
    ],
    [
      "a path",
      ["chat", "--model", "./nosuchdir", "--once", "x"],
      /^touchstone: there is no model folder at \.\/nosuchdir$/m,
    ],
    [
      "a name that cannot be pulled",
      ["pull", "nosuchdir"],
      /^touchstone: nosuchdir is not the name of a model on the hub, such as org\/name or org\/name@revision$/m,
    ],
    [
      "neither a folder nor on the hub",
      ["chat", "--model", "org/none", "--once", "x"],
      /^touchstone: there is no folder org\/none here, and there is no model org\/none at http\S+, or it is private: then set HF_TOKEN$/m,
    ],
    [
      "neither a folder nor in the cache",
      ["chat", "--model", "org/none", "--offline", "--once", "x"],
      /^touchstone: there is no folder org\/none here, and org\/none is not in \S+, and the hub is not contacted while offline$/m,
    ],
    [
      "a hub that cannot be reached",
      ["chat", "--model", "org/none", "--once", "x"],
      /^touchstone: there is no folder org\/none here, and the hub cannot be reached: localhost\.invalid: /m,
      { HF_ENDPOINT: "http://localhost.invalid" },
    ],
    ["an unknown dtype", ["pull", NAME, "--dtype", "q5"], /--dtype <name>' argument 'q5' is invalid/],
  ])("%s", async (_, args, message, env) => refuses(args, message, env));

  test("the error for a gated model explains how to get access", async () => {
    hub.repositories.set("org/gated", folderRepository(folder, { access: "gated" }));
    await refuses(
      ["chat", "--model", "org/gated", "--once", "x"],
      /^touchstone: org\/gated is gated: accept its terms at http\S+\/org\/gated, then set HF_TOKEN/,
    );
  });
});

describe("an unsupported model is refused by its text files, before its weights are downloaded", () => {
  const commands = [
    ["pull", "org/unfit"],
    ["chat", "--model", "org/unfit", "--once", "x"],
    ["convert", "org/unfit", "--out", "unfit"],
    ["serve", "--port", "0", "--model", "org/unfit"],
  ];

  async function refused(contents: Record<string, string>, args: string[], message: RegExp): Promise<void> {
    hub.repositories.set(
      "org/unfit",
      textRepository({ ...texts(), ...contents, "model.safetensors": randomFile(1 << 20) }),
    );
    const { code, stdout, stderr } = await touchstone(args);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    const errors = stderr.split("\n").filter((line) => line.startsWith("touchstone:"));
    expect(errors).toEqual([expect.stringMatching(message)]);
    expect(hub.requests.map(({ path }) => path).filter((path) => path.endsWith("safetensors"))).toEqual([]);
    expect(hub.requests.map(({ server }) => server)).not.toContain("files");
    expect(existsSync(join(scratch, "packs", "packs"))).toBe(false);
  }

  test.each(commands)("for its architecture: %s", async (...args) => {
    await refused(
      { "config.json": '{"model_type":"gpt2"}' },
      args,
      /^touchstone: config\.json: model_type "gpt2" is not supported \(supported: llama, mistral, qwen2, qwen3\)$/,
    );
  });

  test.each(commands)("for its tokenizer: %s", async (...args) => {
    await refused({ "tokenizer.json": "{}" }, args, /^touchstone: tokenizer\.json has no model$/);
  });

  test("for its size", async () => {
    const config = JSON.parse(texts()["config.json"]!) as object;
    const huge = JSON.stringify({
      ...config,
      hidden_size: 65536,
      head_dim: 128,
      intermediate_size: 65536,
      num_hidden_layers: 64,
    });
    await refused({ "config.json": huge }, commands[1]!, /^touchstone: The model's weights take \d+ MiB; /);
  });
});

test("Ctrl-C stops a download, and the same command resumes it", async () => {
  const weights = randomFile(40 << 20);
  hub.repositories.set("org/large", textRepository({ ...texts(), "model.safetensors": weights }));
  const before = hub.numSent;
  let pid = 0;
  hub.onSent = (numSent) => numSent - before > 20 << 20 && process.kill(pid, "SIGINT") && (hub.onSent = () => {});
  const stopped = await touchstone(["pull", "org/large"], {}, (started) => (pid = started));
  hub.onSent = () => {};
  expect(stopped).toMatchObject({ code: 130, stdout: "" });
  expect(stopped.stderr).toMatch(/touchstone: stopped; run the same command again to resume\n$/);
  expect((await touchstone(["list"])).stdout).toMatch(
    /^org\/large +[0-9a-f]{8} +llama +unfinished +\d+\.\d MB .* hub$/m,
  );
  const again = await touchstone(["pull", "org/large"]);
  expect(again.code).toBe(0);
  expect((await touchstone(["list"])).stdout).toMatch(/^org\/large +main +llama +as downloaded +41\.9 MB .* hub$/m);
  expect(again.stderr).toMatch(/^model\.safetensors: 41\.9 MB.*, \d+\.\d [kM]B downloaded earlier$/m);
});
