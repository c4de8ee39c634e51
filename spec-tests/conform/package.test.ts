/**
 * The two tarballs as a stranger gets them, installed without a registry: touchstone-conform in an empty folder, with its
 * dependencies packed from this repository's own; and touchstone, which has the suite inside.
 */

import { execFile } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

import type { BugName } from "../mock/bugs.js";
import { startMock, type Mock } from "../mock/server.js";
import { LAWS } from "./index.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const README = readFileSync(join(ROOT, "spec-tests/conform/README.md"), "utf8");
const INSTALLED_BYTES_MAX = 15e6;
const TIMEOUT = { timeout: 120_000 };

const scratch = mkdtempSync(join(tmpdir(), "conform-package-"));
const reader = join(scratch, "reader");
const installed = join(reader, "node_modules/touchstone-conform");
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const mocks: Mock[] = [];
afterEach(() => Promise.all(mocks.splice(0).map((mock) => mock.close())));

async function mockUrl(...bugs: BugName[]): Promise<string> {
  const mock = await startMock({ dialect: "openai", bugs });
  mocks.push(mock);
  return `${mock.url}/v1`;
}

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: unknown;
}

/** Without what `npm test` tells the programs that it starts, and away from everybody's cache. */
const ENVIRONMENT = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name))),
  npm_config_cache: join(scratch, "cache"),
  npm_config_offline: "true",
  npm_config_audit: "false",
  npm_config_fund: "false",
  npm_config_update_notifier: "false",
};

function run(program: string, args: readonly string[], cwd: string): Promise<Outcome> {
  return new Promise((done) => {
    const shell = process.platform === "win32" && program !== process.execPath;
    execFile(program, args, { cwd, shell, env: ENVIRONMENT, maxBuffer: 1 << 26 }, (error, stdout, stderr) =>
      done({ stdout, stderr, code: error === null ? 0 : error.code }),
    );
  });
}

/** What it prints. */
async function succeed(program: string, args: readonly string[], cwd: string): Promise<string> {
  const { stdout, stderr, code } = await run(program, args, cwd);
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${String(code)}:\n${stdout}${stderr}`);
  return stdout;
}

const npx = (...args: string[]): Promise<Outcome> => run("npx", ["touchstone-conform", ...args], reader);

interface PackageJson {
  readonly version: string;
  readonly license: string;
  readonly engines: unknown;
  readonly dependencies?: Readonly<Record<string, string>>;
}

function packageJson(folder: string): PackageJson {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as PackageJson;
}

const moduleFolder = (name: string): string => join(ROOT, "node_modules", name);

/** The packages that a package needs to run, and those that these need. */
function dependenciesOf(folder: string, found = new Set<string>()): Set<string> {
  for (const name of Object.keys(packageJson(folder).dependencies ?? {})) {
    if (found.has(name)) continue;
    found.add(name);
    dependenciesOf(moduleFolder(name), found);
  }
  return found;
}

/** Packs folders into the scratch folder. Returns the tarballs. */
async function pack(...args: string[]): Promise<string[]> {
  const names = await succeed("npm", ["pack", "--ignore-scripts", "--pack-destination", scratch, ...args], ROOT);
  return names
    .trim()
    .split("\n")
    .map((name) => join(scratch, name));
}

/** Paths of all files below a folder, with `/`. */
function filesIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .replaceAll("\\", "/"),
    );
}

/** The one code block of the README that has this text. */
function codeBlock(text: string): string {
  const blocks = [...README.matchAll(/^```\w*\n([^]*?)^```$/gm)].map(([, code]) => code!);
  const found = blocks.filter((code) => code.includes(text));
  expect(found).toHaveLength(1);
  return found[0]!;
}

describe("touchstone-conform", () => {
  beforeAll(async () => {
    mkdirSync(reader);
    writeFileSync(join(reader, "package.json"), '{ "name": "reader", "private": true }\n');
    await succeed("npm", ["run", "build", "--workspace", "touchstone-conform"], ROOT);
    const own = await pack("--workspace", "touchstone-conform");
    const others = await pack(...[...dependenciesOf(join(ROOT, "spec-tests/conform"))].map(moduleFolder));
    await succeed("npm", ["install", ...own, ...others], reader);
  }, 2 * TIMEOUT.timeout);

  test("installs in less than 15 MB, and nothing of an engine", () => {
    const packages = readdirSync(join(reader, "node_modules")).filter((name) => !name.startsWith("."));
    expect(packages.sort()).toEqual(["commander", "fast-check", "pure-rand", "touchstone-conform"]);
    const numBytes = filesIn(reader).reduce((sum, file) => sum + statSync(join(reader, file)).size, 0);
    expect(numBytes).toBeGreaterThan(1e6);
    expect(numBytes).toBeLessThan(INSTALLED_BYTES_MAX);
  });

  test("has its license, its specification and the sources that its types point to, but no tests", () => {
    const files = filesIn(installed);
    for (const file of ["LICENSE", "README.md", "SPEC.md", "vectors/README.md", "vectors/schema.json"])
      expect(files).toContain(file);
    expect(files.filter((file) => /test/.test(file))).toEqual([]);
    const maps = files.filter((file) => file.endsWith(".d.ts.map"));
    expect(maps.length).toBeGreaterThan(20);
    for (const map of maps) {
      const { sources } = JSON.parse(readFileSync(join(installed, map), "utf8")) as { sources: string[] };
      for (const source of sources) expect(files).toContain(join(dirname(map), source).replaceAll("\\", "/"));
    }
  });

  test("--help and --version", async () => {
    const help = await npx("--help");
    expect(help).toMatchObject({ stderr: "", code: 0 });
    expect(help.stdout).toMatch(/^Usage: touchstone-conform \[options\]/);
    const { version } = packageJson(installed);
    expect(await npx("--version")).toEqual({ stdout: `${version}\n`, stderr: "", code: 0 });
  });

  test("0: a server that keeps the laws", TIMEOUT, async () => {
    const { stdout, code } = await npx("--base-url", await mockUrl(), "--only", "P3,P12,validation", "--seed", "7");
    expect(stdout).toMatch(/^3 laws: 3 hold · /m);
    expect(stdout).toMatch(/^holds {6}validation {2}.*\((\d{3}) cases/m);
    expect(code).toBe(0);
  });

  test("1: a server with a bug; findings name the clause, and the page has its text", TIMEOUT, async () => {
    const page = join(reader, "findings.html");
    const baseUrl = await mockUrl("usage-on-every-chunk");
    const { stdout, code } = await npx("--base-url", baseUrl, "--only", "P3,P12", "--seed", "7", "--report", page);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^2 laws: 1 broken, 1 hold · /m);
    expect(stdout).toMatch(/^ {4}TS-8\.7 Usage in a stream$/m);
    expect(stdout).toContain(`curl -sSN '${baseUrl}/chat/completions'`);
    expect(readFileSync(page, "utf8")).toMatch(/TS-8\.7<\/span> Usage in a stream<\/summary><p>/);
  });

  test("2: nobody there", async () => {
    expect(await npx("--base-url", "http://127.0.0.1:1/v1")).toMatchObject({
      stdout: "",
      stderr: expect.stringMatching(/^touchstone-conform: Nobody answers at http:\/\/127\.0\.0\.1:1\/v1: /m) as string,
      code: 2,
    });
  });

  test(
    "the README's program runs as it is printed, and compiles where Node's types are the only ones",
    TIMEOUT,
    async () => {
      const printed = codeBlock('from "touchstone-conform"');
      const baseUrl = await mockUrl("usage-on-every-chunk");
      writeFileSync(join(reader, "program.mjs"), printed.replace("http://127.0.0.1:8000/v1", baseUrl));
      const output = await succeed(process.execPath, ["program.mjs"], reader);
      expect(output).toMatch(/^2 laws: 1 broken, 1 hold\nP12 breaks TS-8\.7: [^]*\ncurl -sSN /);
      expect(readFileSync(join(reader, "findings.html"), "utf8")).toMatch(/^<!doctype html>/);

      const types = `
      import type { Budget, ConformErrorCode, ConformOptions, ConformResult, Dialect, Exchange, Feature, Finding,
        LawDescription, LawResult, Outcome, Profile, Progress, ReportFormat } from "touchstone-conform";
      export type All = [Budget, ConformErrorCode, ConformOptions, ConformResult, Dialect, Exchange, Feature, Finding,
        LawDescription, LawResult, Outcome, Profile, Progress, ReportFormat];
    `;
      writeFileSync(join(reader, "program.mts"), printed + types);
      const compiler = moduleFolder("typescript/bin/tsc");
      const options = ["--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022", "--noEmit"];
      const onlyNode = ["--types", "node", "--typeRoots", moduleFolder("@types"), "--skipLibCheck", "false"];
      await succeed(process.execPath, [compiler, ...options, ...onlyNode, "program.mts"], reader);
    },
  );

  test("the vectors are its data", async () => {
    const source = `
      import { readdirSync, readFileSync } from "node:fs";
      import { fileURLToPath } from "node:url";
      const read = (name) => JSON.parse(readFileSync(fileURLToPath(import.meta.resolve(\`touchstone-conform/vectors/\${name}\`)), "utf8"));
      const names = readdirSync("node_modules/touchstone-conform/vectors").filter((name) => /^(?!schema).*json$/.test(name));
      console.log(names.reduce((sum, name) => sum + read(name).cases.length, 0));
    `;
    writeFileSync(join(reader, "vectors.mjs"), source);
    const numCases = Number(await succeed(process.execPath, ["vectors.mjs"], reader));
    expect(README).toContain(`\`vectors/\` holds ${numCases.toLocaleString("en-US")} cases`);
  });

  test("a deep import is refused", async () => {
    const source = 'import "touchstone-conform/dist/run.js";';
    const { stderr, code } = await run(process.execPath, ["--input-type=module", "-e", source], reader);
    expect(code).toBe(1);
    expect(stderr).toContain("ERR_PACKAGE_PATH_NOT_EXPORTED");
  });
});

describe("touchstone", () => {
  test("has the suite inside, and needs no touchstone-conform", TIMEOUT, async () => {
    const [tarball] = await pack();
    const packages = join(scratch, "alone/node_modules");
    mkdirSync(packages, { recursive: true });
    await succeed("tar", ["-xzf", tarball!, "-C", packages], scratch);
    const folder = join(packages, "package");
    for (const name of dependenciesOf(ROOT)) {
      mkdirSync(dirname(join(packages, name)), { recursive: true });
      symlinkSync(moduleFolder(name), join(packages, name), "junction");
    }
    expect(readdirSync(packages)).not.toContain("touchstone-conform");

    const args = ["--only", "P12,validation", "--seed", "7", "--budget", "calls=200"];
    const command = [
      join(folder, "dist/src/cli/main.js"),
      "conform",
      "--base-url",
      await mockUrl("usage-on-every-chunk"),
    ];
    const { stdout, code } = await run(process.execPath, [...command, ...args], scratch);
    expect(stdout).toMatch(/^2 laws: 1 broken, 1 hold · /m);
    expect(stdout).toMatch(/^ {4}TS-8\.7 Usage in a stream$/m);
    expect(code).toBe(1);
  });

  test("and touchstone-conform are one: version, license, Node, and the versions of what both need", () => {
    const [root, own] = [packageJson(ROOT), packageJson(join(ROOT, "spec-tests/conform"))];
    expect({ ...own, dependencies: null }).toMatchObject({
      version: root.version,
      license: root.license,
      engines: root.engines,
    });
    expect(root.dependencies).toMatchObject(own.dependencies!);
  });
});

describe("the README", () => {
  test("lists the laws", () => {
    const rows = [...README.matchAll(/^\| `(P\d+|validation)` \| (.*) \|$/gm)].map(([, id, title]) => [id, title]);
    expect(rows).toEqual(LAWS.map(({ id, title }) => [id, title]));
  });

  test("lists the options of the command", async () => {
    const help = await succeed(process.execPath, [join(ROOT, "dist/spec-tests/conform/main.js"), "--help"], ROOT);
    const options = [...help.matchAll(/^ {2}(--[a-z-]+ <\w+>)/gm)].map(([, option]) => option);
    expect(options.length).toBeGreaterThan(5);
    expect([...README.matchAll(/^\| `(--[^`]*)` \|/gm)].map(([, option]) => option)).toEqual(options);
  });

  test("shows a finding as the command prints it", TIMEOUT, async () => {
    const baseUrl = await mockUrl("stream-usage-counts-chunks");
    const main = join(ROOT, "dist/spec-tests/conform/main.js");
    const args = ["--base-url", baseUrl, "--only", "P12", "--seed", "7"];
    const { stdout } = await run(process.execPath, [main, ...args], ROOT);
    const shown = codeBlock("smallest case found");
    expect(stdout.replaceAll(baseUrl, "http://127.0.0.1:8000/v1")).toContain(shown);
  });
});
