/**
 * Tests of touchstone-conform, installed without a registry in an empty folder, with dependencies packed from this
 * repository's node_modules.
 */

import { execFile, execFileSync } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

import { manifest, manifestOf, moduleFolder, ROOT, UsersFolder, type Outcome } from "../fixtures/package.js";
import type { BugName } from "../mock/bugs.js";
import { startMock, type Mock } from "../mock/server.js";
import { LAWS } from "./index.js";

const OWN = join(ROOT, "spec-tests/conform");
const README = readFileSync(join(OWN, "README.md"), "utf8");
const MAIN = join(ROOT, "dist/spec-tests/conform/main.js");
const INSTALLED = "node_modules/touchstone-conform";
const MAX_INSTALLED_BYTES = 15e6;
const TIMEOUT = { timeout: 120_000 };

const folders: UsersFolder[] = [];
afterAll(() => {
  for (const folder of folders) folder.close();
});
async function folderWith(path: string): Promise<UsersFolder> {
  const folder = await UsersFolder.with(path);
  folders.push(folder);
  return folder;
}

const mocks: Mock[] = [];
afterEach(() => Promise.all(mocks.splice(0).map((mock) => mock.close())));

async function mockUrl(...bugs: BugName[]): Promise<string> {
  const mock = await startMock({ dialect: "openai", bugs });
  mocks.push(mock);
  return `${mock.url}/v1`;
}

/** Returns the only code block of the README that contains a text. */
function codeBlock(text: string): string {
  const blocks = [...README.matchAll(/^```\w*\n([^]*?)^```$/gm)].map(([, code]) => code!);
  const found = blocks.filter((code) => code.includes(text));
  expect(found).toHaveLength(1);
  return found[0]!;
}

describe("touchstone-conform", () => {
  let reader: UsersFolder;
  beforeAll(async () => {
    reader = await folderWith(OWN);
  }, 2 * TIMEOUT.timeout);
  const npx = (...args: string[]): Promise<Outcome> => reader.run("npx", ["touchstone-conform", ...args]);

  test("installs in less than 15 MB and without an engine", () => {
    const packages = new Set(reader.files("node_modules").map((file) => file.split("/")[0]!));
    const names = [...packages].filter((name) => !name.startsWith("."));
    expect(names.sort()).toEqual(["commander", "fast-check", "pure-rand", "touchstone-conform"]);
    const numBytes = reader.files().reduce((sum, file) => sum + statSync(join(reader.path, file)).size, 0);
    expect(numBytes).toBeGreaterThan(1e6);
    expect(numBytes).toBeLessThan(MAX_INSTALLED_BYTES);
  });

  test("contains its license, the specification and the sources that its source maps refer to, but no tests", () => {
    const files = reader.files(INSTALLED);
    for (const file of ["LICENSE", "README.md", "SPEC.md", "vectors/README.md", "vectors/schema.json"])
      expect(files).toContain(file);
    expect(files.filter((file) => /test/.test(file))).toEqual([]);
    const maps = files.filter((file) => file.endsWith(".d.ts.map"));
    expect(maps.length).toBeGreaterThan(20);
    for (const map of maps) {
      const { sources } = JSON.parse(readFileSync(join(reader.path, INSTALLED, map), "utf8")) as { sources: string[] };
      for (const source of sources) expect(files).toContain(join(dirname(map), source).replaceAll("\\", "/"));
    }
  });

  test("--help and --version", async () => {
    const help = await npx("--help");
    expect(help).toMatchObject({ stderr: "", code: 0 });
    expect(help.stdout).toMatch(/^Usage: touchstone-conform \[options\]/);
    const { version } = manifestOf(join(reader.path, INSTALLED));
    expect(await npx("--version")).toEqual({ stdout: `${version}\n`, stderr: "", code: 0 });
  });

  test("exits with 0 for a correct server", TIMEOUT, async () => {
    const { stdout, code } = await npx("--base-url", await mockUrl(), "--only", "P3,P12,validation", "--seed", "7");
    expect(stdout).toMatch(/^3 laws: 3 hold · /m);
    expect(stdout).toMatch(/^holds {6}validation {2}.*\((\d{3}) cases/m);
    expect(code).toBe(0);
  });

  test(
    "exits with 1 for a server with a bug; findings name the clause, and the page has its text",
    TIMEOUT,
    async () => {
      const page = join(reader.path, "findings.html");
      const baseUrl = await mockUrl("usage-on-every-chunk");
      const { stdout, code } = await npx("--base-url", baseUrl, "--only", "P3,P12", "--seed", "7", "--report", page);
      expect(code).toBe(1);
      expect(stdout).toMatch(/^2 laws: 1 broken, 1 hold · /m);
      expect(stdout).toMatch(/^ {4}TS-8\.7 Usage in a stream$/m);
      expect(stdout).toContain(`curl -sSN '${baseUrl}/chat/completions'`);
      expect(readFileSync(page, "utf8")).toMatch(/TS-8\.7<\/span> Usage in a stream<\/summary><p>/);
    },
  );

  test("exits with 2 if the server does not answer", async () => {
    expect(await npx("--base-url", "http://127.0.0.1:1/v1")).toMatchObject({
      stdout: "",
      stderr: expect.stringMatching(
        /^touchstone-conform: The server does not answer at http:\/\/127\.0\.0\.1:1\/v1: /m,
      ) as string,
      code: 2,
    });
  });

  test("the README's program runs as printed, and compiles with no other types than Node's", TIMEOUT, async () => {
    const printed = codeBlock('from "touchstone-conform"');
    const baseUrl = await mockUrl("usage-on-every-chunk");
    writeFileSync(join(reader.path, "program.mjs"), printed.replace("http://127.0.0.1:8000/v1", baseUrl));
    const output = await reader.succeed(process.execPath, ["program.mjs"]);
    expect(output).toMatch(/^2 laws: 1 broken, 1 hold\nP12 breaks TS-8\.7: [^]*\ncurl -sSN /);
    expect(readFileSync(join(reader.path, "findings.html"), "utf8")).toMatch(/^<!doctype html>/);

    const types = `
      import type { Budget, ConformErrorCode, ConformOptions, ConformResult, Dialect, Exchange, Feature, Finding,
        LawDescription, LawResult, Outcome, Profile, Progress, ReportFormat } from "touchstone-conform";
      export type All = [Budget, ConformErrorCode, ConformOptions, ConformResult, Dialect, Exchange, Feature, Finding,
        LawDescription, LawResult, Outcome, Profile, Progress, ReportFormat];
    `;
    writeFileSync(join(reader.path, "program.mts"), printed + types);
    const compiler = moduleFolder("typescript/bin/tsc");
    const options = ["--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022", "--noEmit"];
    const onlyNode = ["--types", "node", "--typeRoots", moduleFolder("@types"), "--skipLibCheck", "false"];
    await reader.succeed(process.execPath, [compiler, ...options, ...onlyNode, "program.mts"]);
  });

  test("the vectors can be read as data files of the package", async () => {
    const source = `
      import { readdirSync, readFileSync } from "node:fs";
      import { fileURLToPath } from "node:url";
      const read = (name) => JSON.parse(readFileSync(fileURLToPath(import.meta.resolve(\`touchstone-conform/vectors/\${name}\`)), "utf8"));
      const names = readdirSync("node_modules/touchstone-conform/vectors").filter((name) => /^(?!schema).*json$/.test(name));
      console.log(names.reduce((sum, name) => sum + read(name).cases.length, 0));
    `;
    writeFileSync(join(reader.path, "vectors.mjs"), source);
    const numCases = Number(await reader.succeed(process.execPath, ["vectors.mjs"]));
    expect(README).toContain(`\`vectors/\` holds ${numCases.toLocaleString("en-US")} cases`);
  });

  test("a deep import is refused", async () => {
    const source = 'import "touchstone-conform/dist/run.js";';
    const { stderr, code } = await reader.run(process.execPath, ["--input-type=module", "-e", source]);
    expect(code).toBe(1);
    expect(stderr).toContain("ERR_PACKAGE_PATH_NOT_EXPORTED");
  });
});

test("touchstone and touchstone-conform agree on version, license, Node and the versions of shared dependencies", () => {
  const [root, own] = [manifest, manifestOf(OWN)];
  expect({ ...own, dependencies: null }).toMatchObject({
    version: root.version,
    license: root.license,
    engines: root.engines,
  });
  expect(root.dependencies).toMatchObject(own.dependencies!);
});

describe("the README", () => {
  test("lists the laws", () => {
    const rows = [...README.matchAll(/^\| `(P\d+|validation)` \| (.*) \|$/gm)].map(([, id, title]) => [id, title]);
    expect(rows).toEqual(LAWS.map(({ id, title }) => [id, title]));
  });

  test("lists the options of the command", async () => {
    const help = execFileSync(process.execPath, [MAIN, "--help"], { encoding: "utf8" });
    const options = [...help.matchAll(/^ {2}(--[a-z-]+ <\w+>)/gm)].map(([, option]) => option);
    expect(options.length).toBeGreaterThan(5);
    expect([...README.matchAll(/^\| `(--[^`]*)` \|/gm)].map(([, option]) => option)).toEqual(options);
  });

  test("shows a finding exactly as the command prints it", TIMEOUT, async () => {
    const baseUrl = await mockUrl("stream-usage-counts-chunks");
    const args = ["--base-url", baseUrl, "--only", "P12", "--seed", "7"];
    const { stdout } = await promisify(execFile)(process.execPath, [MAIN, ...args]).catch(
      (error: unknown) => error as { stdout: string },
    );
    const shown = codeBlock("smallest case found");
    expect(stdout.replaceAll(baseUrl, "http://127.0.0.1:8000/v1")).toContain(shown);
  });
});
