/** Tools in `touchstone chat`: results from a person, commands and MCP servers. The model calls by a script. */

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { constants, tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";

import { ANSWERED, callingModel } from "../../spec-tests/fixtures/calling-model.js";
import { httpMcpServer, MCP_PROGRAM } from "../../spec-tests/fixtures/mcp-server.js";
import { isRunning } from "../../spec-tests/fixtures/processes.js";
import { hasPseudoTerminal, onPseudoTerminal, type Step } from "../../spec-tests/fixtures/pseudo-terminal.js";

const MAIN = resolve("dist/src/cli/main.js");
const scratch = mkdtempSync(join(tmpdir(), "touchstone-chat-tools-"));
const env = { TOUCHSTONE_CACHE: join(scratch, "cache"), XDG_STATE_HOME: join(scratch, "state") };

const INTEGER = { type: "integer" };
const NUMBERS = { type: "object", properties: { a: INTEGER, b: INTEGER }, required: ["a", "b"] };
const WORD = { type: "object", properties: { word: { type: "string" } }, required: ["word"] };
const tool = (name: string, parameters: object = {}): object => ({ type: "function", function: { name, parameters } });
const TOOLS = [tool("add", NUMBERS), tool("look_up", WORD)];

let numFiles = 0;
const written = (content: string): string => {
  const path = join(scratch, `${numFiles++}.json`);
  writeFileSync(path, content);
  return path;
};
const file = (value: unknown): string => written(JSON.stringify(value));

/** Writes a program that gets a call, and returns the command that runs it. */
function program(source: string): string {
  const path = join(scratch, `${numFiles++}.mjs`);
  writeFileSync(path, source);
  return `"${process.execPath}" "${path}"`;
}
const ADD = program(`import { json } from "node:stream/consumers";
const { a, b } = await json(process.stdin);
console.log(a + b);`);
const MCP = `"${process.execPath}" "${MCP_PROGRAM}"`;

let args: readonly string[];
let http: Awaited<ReturnType<typeof httpMcpServer>>;
beforeAll(async () => {
  args = [MAIN, "chat", "--model", await callingModel(join(scratch, "model")), "--profile", "exact", "--seed", "7"];
  http = await httpMcpServer();
});
afterAll(async () => {
  await http.close();
  rmSync(scratch, { recursive: true, force: true });
});

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
}

/** @param isOpen true leaves stdin open after the input */
function chat(more: readonly string[], input = "", isOpen = false): Promise<Outcome> {
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, [...args, ...more], { env: { ...process.env, ...env } });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.on("error", failed);
    child.on("close", (code) => done({ stdout, stderr, code }));
    child.stdin.write(input);
    if (!isOpen) child.stdin.end();
  });
}

interface JsonLine {
  readonly content: string;
  readonly tool_calls?: readonly { readonly function: { readonly name: string; readonly arguments: string } }[];
  readonly finish_reason: string;
}
const jsonLines = (stdout: string): JsonLine[] =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as JsonLine);

/** Calls and results as they are shown. */
const shown = (stderr: string): string[] => stderr.split("\n").filter((line) => /^\w+\(\{|^Result of /.test(line));

describe("in a pipe", () => {
  test("the next line of stdin is the result of a call", async () => {
    // The result of the second call is empty, and that of the third one is missing.
    const { stdout, stderr, code } = await chat(["--tools", file({ tools: TOOLS })], "A\n3\nagain\n\n\nagain\n");
    expect({ stdout, code }).toEqual({ stdout: `${ANSWERED}\n${ANSWERED}\n`, code: 1 });
    expect(shown(stderr)).toEqual(Array.from({ length: 3 }, () => 'add({"a": 1, "b": 2})'));
    expect(stderr).toMatch(/^touchstone: stdin has ended, and a call needs a result\.$/m);
  });

  test("the model reads the results, of all calls of an answer, in their order", async () => {
    const { stdout, stderr, code } = await chat(["--tools", file(TOOLS), "--json", "B"], "2\ntin is a metal\n\n");
    expect(code).toBe(0);
    const [first, second] = jsonLines(stdout);
    expect(first!.tool_calls!.map((call) => call.function)).toEqual([
      { name: "add", arguments: '{"a": 1, "b": 1}' },
      { name: "look_up", arguments: '{"word": "tin"}' },
      { name: "add", arguments: '{"a": 2, "b": 3}' },
    ]);
    expect(first!.finish_reason).toBe("tool_calls");
    expect(second).toMatchObject({ content: ANSWERED, finish_reason: "stop" });
    expect(second).not.toHaveProperty("tool_calls");
    expect(shown(stderr)).toHaveLength(3);
  });

  test("a single answer does not wait for the end of stdin", async () => {
    const { stdout, code } = await chat(["--tools", file(TOOLS), "A"], "3\n", true);
    expect({ stdout, code }).toEqual({ stdout: `${ANSWERED}\n`, code: 0 });
  });

  test("a command reads the arguments and writes the result", async () => {
    const { stdout, stderr, code } = await chat(["--tools", file(TOOLS), "--tool", `add=${ADD}`, "--yes", "A"]);
    expect({ stdout, code }).toEqual({ stdout: `${ANSWERED}\n`, code: 0 });
    expect(shown(stderr)).toEqual(['add({"a": 1, "b": 2})', "Result of add: 3"]);
  });

  test.each([
    ["fails", 'console.error("first"); console.error("no network\\n"); process.exit(3)', "Error: no network"],
    ["fails in silence", "process.exit(3)", "Error: The command has ended with exit code 3."],
    ["writes no text", "process.stdout.write(Uint8Array.of(255))", "Error: The output of the command is not UTF-8."],
    [
      "writes without end",
      'const more = () => process.stdout.write("x".repeat(65536), more); more();',
      /^Error: .*more than 1048576 bytes\.$/,
    ],
    ["reads nothing", "process.stdin.destroy(); console.log(5)", "5"],
    ["writes several lines", 'console.log("a\\nb")', "a\\nb"],
  ])("a command that %s", async (_, source, expected) => {
    const command = `add=${program(source)}`;
    const { stderr, code } = await chat(["--tools", file(TOOLS), "--tool", command, "--yes", "A"]);
    expect(code).toBe(0);
    const result = stderr.replaceAll("a\nb", "a\\nb").match(/^Result of add: (.*)$/m)![1]!;
    if (typeof expected === "string") expect(result).toBe(expected);
    else expect(result).toMatch(expected);
  });

  test.skipIf(process.platform === "win32").each(["SIGTERM", "SIGINT", "SIGHUP"] as const)(
    "%s ends the program and its command",
    async (signal) => {
      const endless = program("console.error(process.pid); setInterval(() => {}, 1000);");
      const pidFile = join(scratch, `${numFiles++}`);
      const child = spawn(
        process.execPath,
        [...args, "--tools", file(TOOLS), "--tool", `add=${endless} 2>"${pidFile}"`, "--yes"],
        { env: { ...process.env, ...env } },
      );
      child.stdin.write("A\n");
      const pid = await vi.waitFor(
        () => {
          const found = Number(readFileSync(pidFile, "utf8"));
          expect(found).toBeGreaterThan(0);
          return found;
        },
        { timeout: 30_000, interval: 50 },
      );
      expect(isRunning(pid)).toBe(true);
      const ended = once(child, "exit");
      child.kill(signal);
      expect(await ended).toEqual([128 + constants.signals[signal], null]);
      await vi.waitFor(() => expect(isRunning(pid)).toBe(false));
    },
  );

  test("a model that calls without end is stopped", async () => {
    const { stdout, stderr, code } = await chat(["--tools", file(TOOLS), "--tool", `add=${ADD}`, "--yes", "C"]);
    expect({ stdout, code }).toEqual({ stdout: "", code: 1 });
    expect(stderr).toMatch(/^touchstone: The model calls tools in 10 answers, one after the other\.$/m);
    expect(shown(stderr)).toHaveLength(2 * 9);
  });
});

describe("MCP servers", () => {
  test.each([
    ["as a command", () => MCP],
    ["at a URL", () => http.url],
  ])("%s run calls", async (_, address) => {
    const { stdout, stderr, code } = await chat(["--mcp", address(), "--yes", "A"]);
    expect({ stdout, code }).toEqual({ stdout: `${ANSWERED}\n`, code: 0 });
    expect(shown(stderr)).toEqual(['add({"a": 1, "b": 2})', "Result of add: 3"]);
  });

  test("have no effect on tools of a file with the same names", async () => {
    const { stderr, code } = await chat(["--mcp", MCP, "--tools", file(TOOLS), "--yes", "A"], "by hand\n");
    expect(code).toBe(0);
    expect(shown(stderr)).toEqual(['add({"a": 1, "b": 2})']);
  });

  test("that crash in a call cost that call", async () => {
    const { stdout, stderr, code } = await chat(["--mcp", `${MCP} fragile`, "--yes", "A"]);
    expect({ stdout, code }).toEqual({ stdout: `${ANSWERED}\n`, code: 0 });
    expect(shown(stderr)).toEqual(['add({"a": 1, "b": 2})', "Result of add: Error: out of ideas"]);
  });

  test("end the program with one line if one of them cannot be used", async () => {
    const { stdout, stderr, code } = await chat(["--mcp", MCP, "--mcp", `${MCP} crash`, "--yes", "A"]);
    expect({ stdout, code }).toEqual({ stdout: "", code: 1 });
    expect(stderr).toBe(`touchstone: The MCP server ${MCP} crash cannot be used: no configuration\n`);
  });
});

describe.runIf(hasPseudoTerminal)("at a terminal", () => {
  const START = "Ctrl-D leaves.";
  const atStart = (keys: string): Step[] => [
    [START, ""],
    ["> ", keys],
  ];
  const talk = (more: readonly string[], steps: readonly Step[]) =>
    onPseudoTerminal([...args, ...more], env, { steps, columns: 200 });
  const CTRL_C = "\u0003";
  const CTRL_D = "\u0004";
  /** Written when the terminal has its usual mode again: from then on, Ctrl-C is a signal. */
  const EDITOR_OFF = "\u001b[?2004l";

  test("the person is asked for a result, which the saved chat contains", async () => {
    const saved = join(scratch, `${numFiles++}.json`);
    const { screen, code } = await talk(
      ["--tools", file(TOOLS)],
      [
        ...atStart("A\r"),
        ["Result of add: ", "/help is a result\r"],
        ["finish stop", ""],
        ["> ", `/save ${saved}\r`],
        ["Saved 4 messages", `/load ${saved}\r`],
        ["Loaded 4 messages", "/bye\r"],
      ],
    );
    expect(code).toBe(0);
    expect(screen).toContain("2 tools: add, look_up.");
    expect(screen).toContain('add({"a": 1, "b": 2})');
    const { messages } = JSON.parse(readFileSync(saved, "utf8")) as { messages: { role: string; content: string }[] };
    expect(messages.map(({ role }) => role)).toEqual(["user", "assistant", "tool", "assistant"]);
    expect(messages[2]!.content).toBe("/help is a result");
  });

  test("a command runs if the person agrees, and the model learns if not", async () => {
    const { screen } = await talk(
      ["--tools", file(TOOLS), "--tool", `add=${ADD}`],
      [
        ...atStart("A\r"),
        ["(y/n) ", "perhaps\r"],
        ["(y/n) ", "Y\r"],
        ["Result of add: 3", ""],
        ["finish stop", ""],
        ["> ", "again\r"],
        ["(y/n) ", ""],
        ["", CTRL_C],
        ["(stopped)", "/regenerate\r"],
        ["(y/n) ", "n\r"],
        ["finish stop", "/bye\r"],
      ],
    );
    expect(screen).toContain(`Run ${ADD}? (y/n)`);
    expect(screen.match(/Result of add/g)).toHaveLength(1);
  });

  test("an MCP server is asked about by its name, survives Ctrl-C, and ends with the chat", async () => {
    const { screen, code } = await talk(
      ["--mcp", `${MCP} slow`],
      [
        ...atStart("A\r"),
        ["Let the MCP server Test server run it? (y/n) ", "y\r"],
        [EDITOR_OFF, CTRL_C],
        ["(stopped)", "/regenerate\r"],
        ["(y/n) ", "y\r"],
        ["Result of add: 3", ""],
        ["finish stop", ""],
        ["> ", CTRL_D],
      ],
    );
    expect(screen).toContain("8 tools: add, look_up, parts, fail, refuse, hang, die, pid.");
    expect(code).toBe(0);
  });

  test("--yes asks nothing", async () => {
    const { screen } = await talk(
      ["--tools", file(TOOLS), "--tool", `add=${ADD}`, "--yes"],
      [...atStart("A\r"), ["Result of add: 3", ""], ["finish stop", "/bye\r"]],
    );
    expect(screen).not.toContain("(y/n)");
  });

  test("a single answer asks too, and Ctrl-C ends it", async () => {
    const command = ["--tools", file(TOOLS), "--tool", `add=${ADD}`, "A"];
    const agreed = await talk(command, [["(y/n) ", "y\r"]]);
    expect(agreed.screen).toContain(ANSWERED);
    expect(agreed.code).toBe(0);
    const stopped = await talk(command, [["(y/n) ", CTRL_C]]);
    expect(stopped.screen).toContain("(stopped)");
    expect(stopped.code).toBe(130);
  });

  test("Ctrl-C ends a command that does not end, and the conversation goes on", async () => {
    const endless = program("setInterval(() => {}, 1000); console.error('running')");
    const { screen, code } = await talk(
      ["--tools", file(TOOLS), "--tool", `add=${endless}`],
      [...atStart("A\r"), ["(y/n) ", "y\r"], [EDITOR_OFF, CTRL_C], ["(stopped)", "/bye\r"]],
    );
    expect(screen).toContain("(stopped)");
    expect(code).toBe(0);
  });

  test("Ctrl-D at a question stops the answer and leaves", async () => {
    const { code } = await talk(["--tools", file(TOOLS)], [...atStart("A\r"), ["Result of add: ", CTRL_D]]);
    expect(code).toBe(0);
  });
});

describe("refuses", () => {
  test.each<[string, () => string[], RegExp]>([
    ["no such file", () => ["--tools", "/no/such/file"], /\/no\/such\/file cannot be read \(ENOENT\)\.$/],
    ["a file that is no JSON", () => ["--tools", written("[1,")], /\.json is not JSON: .*at line 1, column 4$/],
    ["a file without tools", () => ["--tools", file({})], /must contain an array of tools, or an object with tools\.$/],
    [
      "a file with other fields",
      () => ["--tools", file({ tools: TOOLS, model: "x" })],
      /has the field "model"; only tools/,
    ],
    ["an empty array", () => ["--tools", file([])], /contains no tool\.$/],
    [
      "a tool without a name",
      () => ["--tools", file([{ type: "function", function: {} }])],
      /tools\[0\]\.function\.name/,
    ],
    [
      "two tools of one name",
      () => ["--tools", file([tool("f"), tool("f")])],
      /tools\[1\]\.function\.name must differ/,
    ],
    [
      "an invalid schema",
      () => ["--tools", file([tool("f", { properties: 1 })])],
      /^touchstone: The tool f: #\/properties is/,
    ],
    ["a command without tools", () => ["--tool", "add=x"], /^touchstone: --tool needs --tools/],
    ["a command without a name", () => ["--tools", file(TOOLS), "--tool", "add"], /It must look like name=command\.$/],
    [
      "a command for an unknown tool",
      () => ["--tools", file(TOOLS), "--tool", "sub=x", "--yes"],
      /^touchstone: --tool names "sub", and \S+ has only add, look_up\.$/,
    ],
    [
      "two commands for a tool",
      () => ["--tools", file(TOOLS), "--tool", "add=x", "--tool", "add=y", "--yes"],
      /^touchstone: --tool names "add" twice/,
    ],
    ["commands that nobody agrees to", () => ["--tools", file(TOOLS), "--tool", "add=x"], /--yes agrees\.$/],
    ["servers that nobody agrees to", () => ["--mcp", "x"], /--yes agrees\.$/],
    ["an agreement to nothing", () => ["--tools", file(TOOLS), "--yes"], /^touchstone: --yes needs --tool or --mcp/],
    [
      "several choices",
      () => ["--tools", file(TOOLS), "--n", "2"],
      /^touchstone: --n must be 1 with tools\. Given: 2$/,
    ],
    [
      "a model without tools",
      () => ["--tools", file(TOOLS), "--model", "tiny"],
      /does not write the tools that it gets/,
    ],
  ])("%s", async (_, more, message) => {
    const { stdout, stderr, code } = await chat([...more(), "A"]);
    expect({ stdout, code }).toEqual({ stdout: "", code: 1 });
    expect(stderr.trimEnd()).toMatch(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });
});
