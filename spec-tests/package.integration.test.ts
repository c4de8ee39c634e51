/**
 * Tests of the packed package in a user's project: every entry point with `import`, `require` and TypeScript's
 * CommonJS. TOUCHSTONE_NODES has paths of more Node binaries, separated as in PATH.
 */

import { execFile } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

import ts from "typescript";
import { afterAll, describe, expect, test } from "vitest";

import { ONNX_RUNTIME } from "../engine/runner/index.js";
import { entryPoints } from "../scripts/commonjs-doors.js";
import { randomModel } from "./fixtures/random-model.js";
import { manifest, packedFiles, ROOT, UsersFolder } from "./fixtures/package.js";
import { startMock } from "./mock/server.js";

const folder = await UsersFolder.with(ROOT);
folder.link("@types/node");
afterAll(() => folder.close());

const ENTRIES = entryPoints(manifest);
const NODES = [process.execPath, ...(process.env["TOUCHSTONE_NODES"] ?? "").split(delimiter)].filter(Boolean);
/** Each Node with default flags, and with `require` of ES modules disabled, as in older versions. */
const RUNS = NODES.flatMap((node) => [
  { node, flags: [] },
  { node, flags: ["--no-experimental-require-module"] },
]);

const written = (name: string, source: string): string => {
  const path = join(folder.path, name);
  writeFileSync(path, source);
  return path;
};

describe("without optional packages", () => {
  test("the installation is small and does not contain ONNX Runtime", () => {
    const files = folder.files("node_modules");
    expect(files.filter((file) => file.startsWith("onnxruntime"))).toEqual([]);
    const numBytes = files
      .filter((file) => !file.startsWith("@types"))
      .reduce((sum, file) => sum + statSync(join(folder.path, "node_modules", file)).size, 0);
    expect(numBytes).toBeLessThan(40e6);
  });

  test("the embedded model answers at once, without a build", async () => {
    const args = ["touchstone", "chat", "--once", "What is 27 + 38?", "--seed", "7"];
    const { stdout, stderr, code } = await folder.run("npx", args);
    expect(code).toBe(0);
    expect(stderr).toMatch(/^prompt 16 tokens in .* seed 7 · finish stop\n$/);
    expect(stdout).toContain("65");
  });

  test("other models run in the profile exact", async () => {
    const model = await randomModel(join(folder.path, "model"));
    const args = ["touchstone", "generate", "--model", model, "--prompt", "a", "--max-tokens", "3", "--json"];
    const { stdout, stderr, code } = await folder.run("npx", args);
    expect({ stderr, code }).toEqual({ stderr: "", code: 0 });
    // Three tokens, or fewer if an end token was drawn.
    expect((JSON.parse(stdout) as { token_ids: number[] }).token_ids.length).toBeGreaterThan(0);
    const { stdout: table } = await folder.run("npx", ["touchstone", "inspect", "--model", model]);
    expect(table).toMatch(/^profile +exact, /m);
  });

  test.each([
    ["the profile fast", ["chat", "--once", "Hi", "--profile", "fast"]],
    ["the comparison with fast", ["evaluate"]],
    ["a chat with MCP servers", ["chat", "--mcp", "no-such-server", "--yes", "Hi"]],
  ])("%s reports in one line what to install", async (_, args) => {
    const { stdout, stderr, code } = await folder.run("npx", ["touchstone", ...args]);
    expect({ stdout, code }).toEqual({ stdout: "", code: 1 });
    expect(stderr).toMatch(
      /^touchstone: .* npm install (onnxruntime-node@[\d.]+ --ignore-scripts|@modelcontextprotocol\/sdk@1)\n$/,
    );
  });

  test("doctor reports the profile of models", async () => {
    const { stdout } = await folder.run("npx", ["touchstone", "doctor", "--offline"]);
    expect(stdout).toMatch(/^ok +onnxruntime +not installed: .*profile exact/m);
  });
});

test(
  "the package contains the conformance suite, and does not need touchstone-conform",
  { timeout: 120_000 },
  async () => {
    expect(folder.files("node_modules").filter((file) => file.startsWith("touchstone-conform/"))).toEqual([]);
    const mock = await startMock({ dialect: "openai", bugs: ["usage-on-every-chunk"] });
    const args = ["--only", "P12,validation", "--seed", "7", "--budget", "calls=200"];
    const command = ["touchstone", "conform", "--base-url", `${mock.url}/v1`];
    const { stdout, code } = await folder.run("npx", [...command, ...args]);
    await mock.close();
    expect(stdout).toMatch(/^2 laws: 1 broken, 1 hold · /m);
    expect(stdout).toMatch(/^ {4}TS-8\.7 Usage in a stream$/m);
    expect(code).toBe(1);
  },
);

test("the version of ONNX Runtime in error messages is that of the optional dependency", () => {
  const [name, version] = ONNX_RUNTIME.split("@");
  expect(manifest.optionalDependencies).toEqual({ [name!]: version });
});

test("the SDK of MCP is an optional peer, in the version of the tests or later", () => {
  const { peerDependencies, peerDependenciesMeta, devDependencies } = manifest;
  const name = "@modelcontextprotocol/sdk";
  expect(peerDependencies).toEqual({ [name]: `^${devDependencies![name]!}` });
  expect(peerDependenciesMeta).toEqual({ [name]: { optional: true } });
});

test("the files in sideEffects of package.json are packed", () => {
  const packed = packedFiles();
  expect(manifest.sideEffects.filter((path) => !packed.has(path.replace("./", "")))).toEqual([]);
});

test("every entry point except package.json has a CommonJS wrapper", () => {
  const specifiers = Object.keys(manifest.exports).map((subpath) => manifest.name + subpath.slice(1));
  expect(ENTRIES.map(({ specifier }) => specifier)).toEqual(
    specifiers.filter((specifier) => specifier !== "touchstone/package.json"),
  );
});

test("the API reference has every entry point", () => {
  const { entryPoints: documented } = JSON.parse(readFileSync("typedoc.json", "utf8")) as { entryPoints: string[] };
  const sources = ENTRIES.map(({ moduleFile }) => moduleFile.replace(/^\.\/dist\/(.*)\.js$/, "$1.ts"));
  expect(documented).toEqual(sources);
});

test.each(RUNS)("require and import give the same names: $node $flags", async ({ node, flags }) => {
  const path = written(
    "names.cjs",
    `(async () => {
      const names = [];
      for (const entry of ${JSON.stringify(ENTRIES.map(({ specifier }) => specifier))})
        names.push([Object.keys(require(entry)).sort(), Object.keys(await import(entry)).sort()]);
      console.log(JSON.stringify(names));
    })();`,
  );
  const names = JSON.parse(await output(node, [...flags, path])) as [string[], string[]][];
  expect(names).toHaveLength(ENTRIES.length);
  for (const [required, imported] of names) expect(required).toEqual(imported);
});

test.each(RUNS)("a CommonJS program gets an answer: $node $flags", async ({ node, flags }) => {
  const path = written(
    "chat.cjs",
    `const { loadModel } = require("touchstone");
    (async () => {
      const model = await loadModel({ profile: "exact" });
      for await (const delta of model.chat({ messages: [{ role: "user", content: "What is 27 + 38?" }], seed: 7 }))
        process.stdout.write(delta.content);
      await model.close();
    })();`,
  );
  expect(await output(node, [...flags, path])).toContain("65");
});

test("if require cannot load ES modules, unavailable names throw an explanation", async () => {
  const path = written("limits.cjs", 'require("touchstone").EngineError');
  await expect(output(process.execPath, ["--no-experimental-require-module", path])).rejects.toThrow(
    /require\("touchstone"\) has no EngineError in Node .*: use Node 20\.19, 22\.12 or later, or \(await import\("touchstone"\)\)\.EngineError/,
  );
});

const COMPILERS: [string, ts.CompilerOptions][] = [
  ["node16", { module: ts.ModuleKind.Node16 }],
  [
    "commonjs, node10",
    { module: ts.ModuleKind.CommonJS, moduleResolution: ts.ModuleResolutionKind.Node10, esModuleInterop: true },
  ],
];

test.each(COMPILERS)("a CommonJS program is type-checked: %s", (_, options) => {
  const imports = ENTRIES.map(({ specifier }, index) => `import * as entry${index} from "${specifier}";`);
  const uses = ENTRIES.map((_, index) => `void entry${index};`);
  const path = written(
    "chat.cts",
    `import { EngineError, loadModel, type ChatMessage } from "touchstone";
${imports.join("\n")}
const messages: ChatMessage[] = [{ role: "user", content: "Hello" }];
async function chat(): Promise<string | EngineError> {
  try {
    const model = await loadModel({ profile: "exact" });
    for await (const delta of model.chat({ messages })) return delta.content;
    // @ts-expect-error: an option that does not exist
    await loadModel({ profil: "exact" });
  } catch (error) {
    if (error instanceof EngineError) return error;
  }
  return "";
}
void chat();
${uses.join("\n")}
`,
  );
  const program = compiled(path, options);
  const files = program
    .getSourceFiles()
    .filter(({ fileName }) => /chat\.cts$|\/node_modules\/touchstone\//.test(fileName));
  expect(files.length).toBeGreaterThan(2);
  expect(files.flatMap((file) => problems(program, file))).toEqual([]);
});

test.each(ENTRIES)("$specifier declares the same values and types for require as for import", ({ moduleFile }) => {
  const declarations = join(folder.path, "node_modules", manifest.name, moduleFile);
  const imported = declared(declarations.replace(/\.js$/, ".d.ts"));
  expect(imported.size).toBeGreaterThan(0);
  expect(declared(declarations.replace(/\.js$/, ".d.cts"))).toEqual(imported);
});

/** Runs a program and returns its stdout. Rejects if it fails. */
async function output(node: string, args: readonly string[]): Promise<string> {
  return (await promisify(execFile)(node, args, { cwd: folder.path })).stdout;
}

function compiled(path: string, options: ts.CompilerOptions): ts.Program {
  return ts.createProgram([path], {
    strict: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2022,
    types: ["node"],
    typeRoots: [join(folder.path, "node_modules/@types")],
    ...options,
  });
}

/** Returns the compiler's diagnostics of a file. */
function problems(program: ts.Program, file: ts.SourceFile): string[] {
  return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(
    ({ messageText }) => `${file.fileName}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`,
  );
}

/** Returns exported names, and for each whether it is a value and a type. */
function declared(path: string): Map<string, { value: boolean; type: boolean }> {
  const program = compiled(path, { module: ts.ModuleKind.NodeNext });
  const checker = program.getTypeChecker();
  const module = checker.getSymbolAtLocation(program.getSourceFile(path)!)!;
  const names = checker.getExportsOfModule(module).map((symbol): [string, { value: boolean; type: boolean }] => {
    const { flags } = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
    return [symbol.name, { value: (flags & ts.SymbolFlags.Value) !== 0, type: (flags & ts.SymbolFlags.Type) !== 0 }];
  });
  return new Map(names.sort(([a], [b]) => (a < b ? -1 : 1)));
}
