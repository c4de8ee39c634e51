/** Hostile text of models, files, servers and hubs on a pseudo terminal, and the same text in a pipe. */

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { hasPseudoTerminal, onPseudoTerminal } from "../../spec-tests/fixtures/pseudo-terminal.js";
import { writeRandomModel } from "../../spec-tests/fixtures/random-model.js";
import { completion, json, tinyServer, type TinyServer } from "../../spec-tests/fixtures/tiny-server.js";

const MAIN = resolve("dist/src/cli/main.js");
const scratch = mkdtempSync(join(tmpdir(), "touchstone-terminal-"));
/** Clears the screen, sets the title, recolors (in both forms), overwrites the line, and reverses text. */
const HOSTILE = "a\u001b[2J\u001b]0;title\u0007\u009b31m\r\b\u007f\u202ebc\u2066\u2028d";
const SHOWN = String.raw`a\u001b[2J\u001b]0;title\u0007\u009b31m\r\b\u007f\u202ebc\u2066\u2028d`;
/** A file name cannot have every character. */
const HOSTILE_NAME = HOSTILE.replace("\r", "");
const SHOWN_NAME = SHOWN.replace(String.raw`\r`, "");
const folder = join(scratch, `${HOSTILE_NAME}\nsecond`);
const env = { TOUCHSTONE_CACHE: join(scratch, "cache"), HF_HUB_CACHE: join(scratch, "hub") };
const BIASES = [27, 7, 13, 0x5b, 0xc2, 0x9b].flatMap((byte) => ["--logit-bias", `${byte}=100`]);
const GENERATE = ["generate", "--model", folder, "--prompt", "x", "--max-tokens", "64", "--seed", "3", ...BIASES];

beforeAll(async () => {
  await writeRandomModel(folder, { files: { "chat_template.jinja": `{{ '${HOSTILE}' }}\n\tsecond line` } });
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const run = (
  args: readonly string[],
  more: Record<string, string> = {},
  options: Parameters<typeof onPseudoTerminal>[2] = {},
) => onPseudoTerminal([MAIN, ...args], { ...env, ...more }, options);
const piped = (args: readonly string[]) =>
  spawnSync(process.execPath, [MAIN, ...args], { env: { ...process.env, ...env }, encoding: "utf8" });

/** Expects that the only control characters are line breaks, those of our progress bars, and our own dim text. */
function expectHarmless(screen: string): void {
  const foreign = screen
    .replaceAll(/\u001b\[(2|22|1|31|32|33|39)m/g, "")
    .replaceAll(/\r(?=[^\n]* [\d.]+ %|Converting)/g, "");
  expect(foreign).not.toMatch(/(?![\n\t])[\p{Cc}\u202a-\u202e\u2066-\u2069\u2028\u2029]/u);
}

describe.runIf(hasPseudoTerminal)("on a terminal", () => {
  test("inspect shows the characters of the template", async () => {
    const { screen, code } = await run(["inspect", "--model", folder]);
    expectHarmless(screen);
    expect(screen).toContain(`template:\n{{ '${SHOWN}' }}\n\tsecond line\n`);
    expect(code).toBe(0);
  });

  test("generate streams tokens that would be escape sequences together", async () => {
    const { screen } = await run(GENERATE);
    expectHarmless(screen);
    expect(screen).toMatch(/\\u001b[^]*\\u009b/);
  });

  test("several choices and JSON are harmless too, and the JSON is the same as in a pipe", async () => {
    expectHarmless((await run([...GENERATE, "--n", "2"])).screen);
    const { screen } = await run([...GENERATE, "--json"]);
    expectHarmless(screen);
    const line = screen.split("\n").find((line) => line.startsWith("{"))!;
    const expected = JSON.parse(piped([...GENERATE, "--json"]).stdout) as { text: string };
    expect(expected.text).toMatch(/\u009b/);
    expect((JSON.parse(line) as { text: string }).text).toBe(expected.text);
  });

  test("list, rm, evaluate and errors", async () => {
    const { screen: listed } = await run(["list"]);
    expectHarmless(listed);
    expect(listed).toContain(`${SHOWN_NAME}\\nsecond  `);
    for (const args of [
      ["rm", HOSTILE],
      ["pull", HOSTILE],
      ["chat", "--model", `${HOSTILE}\nforged`],
      ["serve", "--model", HOSTILE],
      ["--debug", "convert", HOSTILE, "--out", join(scratch, "out")],
      ["evaluate", "--text", HOSTILE_NAME],
      [HOSTILE],
    ]) {
      const { screen, code } = await run(args);
      expectHarmless(screen);
      expect(screen).toContain(SHOWN.slice(0, 20));
      expect(code).not.toBe(0);
    }
    expect((await run(["rm", folder])).screen).toContain("Removed the pack");
  });

  test("help fits into a narrow terminal, and uses no more than 80 columns of a wide one", async () => {
    for (const [columns, width] of [
      [60, 60],
      [200, 80],
    ] as const) {
      const { screen, code } = await run(["chat", "--help"], {}, { columns });
      const longest = Math.max(...screen.split("\n").map((line) => line.length));
      expect(longest).toBeLessThanOrEqual(width);
      expect(longest).toBeGreaterThan(width - 10);
      expect(code).toBe(0);
    }
  });

  test("serve says what it loads, where it listens and how to try it, and logs readable lines", async () => {
    const { screen, code } = await run(
      ["serve", "--port", "0"],
      {},
      { steps: [["Ctrl-C stops", "\u0003"]], columns: 60 },
    );
    expect(screen).toMatch(/Loading tiny, the embedded model/);
    const [, url] = /^Listening on (\S+)\/v1 /m.exec(screen)!;
    expect(screen).toContain(`open ${url} in a browser`);
    const command = /^ {2}curl [^]*?'$/m.exec(screen)![0];
    const body = JSON.parse(/-d '([^]*)'$/.exec(command)![1]!) as object;
    expect(body).toEqual({ model: "tiny", messages: [{ role: "user", content: "What is 27 + 38?" }] });
    expect(screen.replaceAll("\n", " ")).toMatch(/\d\d:\d\d:\d\d shutting down · url \S+ · signal SIGINT /);
    for (const line of screen.split("\n")) expect(line.length).toBeLessThanOrEqual(70);
    expectHarmless(screen.replaceAll("^C", ""));
    expect(code).toBe(0);
  });

  test("chat keeps its own colors", async () => {
    const { screen } = await run(["chat", "--once", "What is 27 + 38?", "--temperature", "0"]);
    expect(screen).toMatch(/\u001b\[2m[^]*\u001b\[22m/);
    expect(screen).not.toMatch(/\\u001b/);
    expectHarmless(screen);
  });

  describe("a hub", () => {
    let hub: Server;
    beforeAll(() => {
      hub = createServer((_, response) => {
        response.setHeader("x-error-message", encodeURI(HOSTILE));
        json(response, 200, { sha: "a".repeat(40), siblings: [{ rfilename: `${HOSTILE}.safetensors`, size: 1 }] });
      });
      return new Promise<void>((done) => hub.listen(0, "127.0.0.1", done));
    });
    afterAll(() => hub.close());

    test("whose files have hostile names", async () => {
      const endpoint = `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;
      const { screen, code } = await run(["pull", "org/name"], { HF_ENDPOINT: endpoint });
      expectHarmless(screen);
      expect(screen).toMatch(/org\/name has a\\u001b.*download the whole repository/);
      expect(code).toBe(1);
    });
  });

  describe("conform", () => {
    const servers: TinyServer[] = [];
    afterAll(() => servers.forEach((server) => server.close()));

    test("shows the text of a server in findings and errors", async () => {
      const server = await tinyServer(({ color }, response) =>
        json(response, color === undefined ? 200 : 400, color === undefined ? completion(HOSTILE) : { error: HOSTILE }),
      );
      servers.push(server);
      const args = [
        "conform",
        "--base-url",
        server.baseUrl,
        "--model",
        HOSTILE,
        "--only",
        "P8",
        "--budget",
        "calls=60",
      ];
      const { screen, code } = await run(args);
      expectHarmless(screen);
      expect(screen).toContain(`${SHOWN.slice(0, 30)}`);
      expect(code).toBe(1);
      const refusing = await tinyServer((_, response) => json(response, 400, { error: HOSTILE }));
      servers.push(refusing);
      const { screen: refused } = await run(["conform", "--base-url", refusing.baseUrl]);
      expectHarmless(refused);
      expect(refused).toContain(String.raw`\u009b31m`);
    });
  });
});

test("a pipe gets the exact text", () => {
  const { stdout } = piped(["inspect", "--model", folder]);
  expect(stdout).toContain(`template:\n{{ '${HOSTILE}' }}\n\tsecond line\n`);
  expect(piped(["list"]).stdout).toContain(`${HOSTILE_NAME}\nsecond  `);
  expect(piped(["rm", HOSTILE]).stderr).toContain(HOSTILE);
  const generated = piped(GENERATE).stdout;
  expect(generated).toMatch(/\u001b[^]*\u009b/);
  expect(generated).not.toMatch(/\\u/);
});
