/** Tests of the built command with minimal servers: exit codes, output streams and reports. */

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, describe, expect, test } from "vitest";

import { completion, json, tinyServer, type TinyServer } from "../fixtures/tiny-server.js";

const scratch = mkdtempSync(join(tmpdir(), "touchstone-conform-"));
const folder = join(scratch, "folder.json");
mkdirSync(folder);
const servers: TinyServer[] = [];

afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
  for (const server of servers) server.close();
});

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
}

function conform(args: string[], env: Record<string, string> = {}, output: "pipe" | number = "pipe"): Promise<Outcome> {
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, [resolve("dist/spec-tests/conform/main.js"), ...args], {
      env: { ...process.env, ...env },
      stdio: ["ignore", output, "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.on("error", failed);
    child.on("close", (code) => done({ stdout, stderr, code }));
  });
}

async function serve(...[answer]: Parameters<typeof tinyServer>): Promise<TinyServer> {
  const server = await tinyServer(answer);
  servers.push(server);
  return server;
}

/** A server that answers every request and ignores all parameters. */
const careless = (): Promise<TinyServer> => serve((_, response) => json(response, 200, completion("Hello!")));

/** A server that knows three fields and refuses all others. */
const strict = (): Promise<TinyServer> =>
  serve(({ model, messages, max_tokens: limit, ...others }, response) => {
    const isPlain = (message: object): boolean =>
      Object.keys(message).every((name) => name === "role" || name === "content");
    const isKnown =
      model === "m" &&
      Object.keys(others).length === 0 &&
      (limit as number) >= 1 &&
      (messages as object[]).length > 0 &&
      (messages as object[]).every(isPlain);
    json(response, isKnown ? 200 : 400, isKnown ? completion("Hello!") : { error: { message: "No." } });
  });

describe("exit code", () => {
  test("0: no law is broken; a line for each law goes to stderr, the summary to stdout", async () => {
    const { baseUrl } = await strict();
    const { stdout, stderr, code } = await conform(["--base-url", `${baseUrl}/`, "--only", "P8,P7", "--seed", "5"]);
    expect(stdout).toContain(`${baseUrl} · m · dialect openai · seed 5\n2 laws: 1 skipped, 1 hold · `);
    expect(stdout).toMatch(/^skipped {4}P7 .*logprobs: Status 400: .*No\./m);
    expect(stderr).toBe("50 % P7 skipped\n100 % P8 holds\n");
    expect(code).toBe(0);
  });

  test("1: a law is broken; every report is written; the same seed repeats the findings", async () => {
    const { baseUrl } = await careless();
    const reports = ["html", "json", "xml"].map((ending) => join(scratch, `report.${ending}`));
    const args = ["--base-url", baseUrl, "--only", "P8", "--seed", "7", "--budget", "calls=200,seconds=60"];
    const first = await conform([...args, ...reports.flatMap((file) => ["--report", file])]);
    expect(first.code).toBe(1);
    expect(first.stdout).toMatch(/^1 law: 1 broken · \d+ of 200 calls, \d+ of 60 seconds/m);
    expect(first.stdout).toContain(`curl -sS '${baseUrl}/chat/completions'`);
    const [page, data, xml] = reports.map((file) => readFileSync(file, "utf8"));
    expect(page).toMatch(/^<!doctype html>[^]*P8[^]*<\/html>\n$/);
    expect(JSON.parse(data!)).toMatchObject({
      endpoint: baseUrl,
      seed: 7,
      budget: { calls: 200, seconds: 60 },
      laws: [{ id: "P8", outcome: "broken" }],
    });
    expect(xml).toMatch(/^<\?xml[^]*<failure [^]*<\/testsuites>\n$/);
    const withoutTimes = ({ stdout }: Outcome): string => stdout.replace(/\d+ of \d+ seconds/, "");
    expect(withoutTimes(await conform(args))).toBe(withoutTimes(first));
  });

  test.each<[string, string[], RegExp]>([
    ["no base URL", [], /required option '--base-url <url>' not specified/],
    ["an unknown option", ["--base-url", "http://h/v1", "--laws", "P8"], /unknown option '--laws'/],
    ["an invalid base URL", ["--base-url", "127.0.0.1:8000"], /'127\.0\.0\.1:8000' is invalid\. It must look like/],
    [
      "a base URL with a password, which is not repeated",
      ["--base-url", "http://me:pass word@h/v1"],
      /^touchstone-conform: baseUrl must be an http or https URL without user, .*\. Given: a URL with a user\n$/,
    ],
    ["an unknown law", ["--base-url", "http://h/v1", "--only", "P8,P99"], /Unknown law: P99\. Laws: .*P8/],
    [
      "a budget with an unknown name",
      ["--base-url", "http://h/v1", "--budget", "tokens=5"],
      /It must look like calls=650,seconds=400/,
    ],
    [
      "a budget with a name twice",
      ["--base-url", "http://h/v1", "--budget", "calls=5,calls=6"],
      /It must look like calls=650,seconds=400/,
    ],
    [
      "a key that is not valid in a header",
      ["--base-url", "http://h/v1", "--api-key", "sk-1\nsk-2"],
      /apiKey must be a string of printable ASCII characters, as HTTP headers are\. Given: a key with other characters\n/,
    ],
    ["an invalid seed", ["--base-url", "http://h/v1", "--seed", "x"], /It must be an integer/],
    ["an unknown dialect", ["--base-url", "http://h/v1", "--dialect", "vllm"], /Allowed choices are ppio, openai/],
    [
      "a report with another ending",
      ["--base-url", "http://h/v1", "--report", "report.pdf"],
      /It must end in \.html, \.json or \.xml/,
    ],
    [
      "a report that cannot be written",
      ["--base-url", "http://h/v1", "--report", "/no/such/folder/report.html"],
      /cannot be written: ENOENT/,
    ],
    [
      "a report that is a folder",
      ["--base-url", "http://h/v1", "--report", folder],
      /folder\.json cannot be written: EISDIR/,
    ],
    [
      "a report whose folder is a file",
      ["--base-url", "http://h/v1", "--report", join(resolve("package.json"), "report.xml")],
      /cannot be written: ENOTDIR/,
    ],
    [
      "an unreachable server",
      ["--base-url", "http://127.0.0.1:1/v1"],
      /The server does not answer at http:\/\/127\.0\.0\.1:1\/v1: .*ECONNREFUSED/,
    ],
  ])("2: %s", async (_, args, message) => {
    const { stdout, stderr, code } = await conform(args);
    expect({ stdout, code }).toEqual({ stdout: "", code: 2 });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^touchstone-conform: (?!internal)[^\n]*\n(\(Did you mean .*\n)?$/);
  });

  test("2: a report that cannot be written after the run; the summary is still printed", async () => {
    const report = join(scratch, "taken.json");
    const { baseUrl } = await serve((_, response) => {
      mkdirSync(report, { recursive: true });
      json(response, 200, completion("Hello!"));
    });
    const { stdout, stderr, code } = await conform([
      "--base-url",
      baseUrl,
      "--only",
      "P8",
      "--budget",
      "calls=60",
      "--report",
      report,
    ]);
    expect(code).toBe(2);
    expect(stdout).toMatch(/^1 law: 1 broken/m);
    expect(stderr).toMatch(/^touchstone-conform: The report \S+taken\.json cannot be written: EISDIR/m);
  });

  test.runIf(process.platform === "linux")("2: a summary that cannot be written", async () => {
    const full = openSync("/dev/full", "w");
    const { stderr, code } = await conform(["--base-url", (await strict()).baseUrl, "--only", "P8"], {}, full);
    expect({ stderr, code }).toEqual({
      stderr: "100 % P8 holds\ntouchstone-conform: the output cannot be written (ENOSPC)\n",
      code: 2,
    });
  });

  test("2: an unreachable server; no report file remains", async () => {
    const report = join(scratch, "absent.json");
    await conform(["--base-url", "http://127.0.0.1:1/v1", "--report", report]);
    expect(existsSync(report)).toBe(false);
  });

  test("2: a budget that is too small", async () => {
    const { stderr, code } = await conform(["--base-url", (await strict()).baseUrl, "--budget", "calls=3"]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^touchstone-conform: The budget is too small/);
  });

  test("0: --help, which lists the exit codes, and each default once", async () => {
    const { stdout, code } = await conform(["--help"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /Exit code: 0 if no law is broken, 1 if one is, 2 if nothing could be checked\nor a report could not be written\./,
    );
    expect(stdout.replaceAll(/\s+/g, " ")).toMatch(/of seconds \(default: calls=650,seconds=400\) --seed/);
    expect(stdout).not.toMatch(/default: [[{]/);
  });

  test("0: --version", async () => {
    const { version } = JSON.parse(readFileSync("spec-tests/conform/package.json", "utf8")) as { version: string };
    expect(await conform(["--version"])).toEqual({ stdout: `${version}\n`, stderr: "", code: 0 });
  });
});

test("the API key, from an option or the environment, is sent to the server and is in no report", async () => {
  const keys = new Set<unknown>();
  const { baseUrl } = await serve((_, response, { headers }) => {
    keys.add(headers.authorization);
    json(response, 200, completion(`You are ${headers.authorization}`));
  });
  const report = join(scratch, "key.json");
  const args = ["--base-url", baseUrl, "--only", "P8", "--report", report, "--budget", "calls=60"];
  const outcomes = [
    await conform([...args, "--api-key", "sk-from-option"], { TOUCHSTONE_API_KEY: "sk-other" }),
    await conform(args, { TOUCHSTONE_API_KEY: "sk-from-environment" }),
  ];
  expect(keys).toEqual(new Set(["Bearer sk-from-option", "Bearer sk-from-environment"]));
  for (const { stdout, stderr } of outcomes) {
    expect(stdout + stderr + readFileSync(report, "utf8")).not.toMatch(/sk-from/);
    expect(stdout).toContain('-H "authorization: Bearer $API_KEY"');
  }
});
