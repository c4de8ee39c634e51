/**
 * Writes a CommonJS wrapper (a "door": a `.cjs` file and its `.d.cts`) for every entry point of package.json that has a
 * `require` condition. Node 20.19, 22.12 and later can load ES modules with `require`; there the wrapper returns the
 * module itself. In earlier versions it returns the asynchronous functions, which import the module when they are
 * called. Access to another export throws an error that names the export.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";

import ts from "typescript";

/**
 * Names that an ES module exports: asynchronous functions, other values, and types. A class is both a value and a type.
 */
interface ModuleExports {
  readonly asynchronous: readonly string[];
  readonly others: readonly string[];
  readonly types: ReadonlySet<string>;
}

interface EntryPoint {
  /** Import specifier, such as `touchstone/models`. */
  readonly specifier: string;
  readonly moduleFile: string;
  readonly doorFile: string;
}

/** Returns the code of a wrapper. @param module file name of the ES module */
function doorCode(specifier: string, module: string, { asynchronous, others }: ModuleExports): string {
  return `"use strict";
try {
  module.exports = require("./${module}");
} catch (error) {
  if (error.code !== "ERR_REQUIRE_ESM") throw error;
  Object.defineProperty(exports, "__esModule", { value: true });
  for (const name of ${JSON.stringify(asynchronous)})
    exports[name] = async (...given) => (await import("./${module}"))[name](...given);
  for (const name of ${JSON.stringify(others)})
    Object.defineProperty(exports, name, {
      enumerable: true,
      get() {
        const problem = \`require("${specifier}") has no \${name} in Node \${process.versions.node}, which cannot load ES modules with require\`;
        throw new Error(\`\${problem}: use Node 20.19, 22.12 or later, or (await import("${specifier}")).\${name}\`);
      },
    });
}
`;
}

/**
 * Returns the declarations of a wrapper. They import the ES module's types with an import attribute, because compilers
 * that do not allow `require` of ES modules refuse `export *` of one.
 */
function doorDeclarations(module: string, { asynchronous, others, types }: ModuleExports): string {
  const imported = `import("./${module}", { with: { "resolution-mode": "import" } })`;
  const lines = [...asynchronous, ...others].flatMap((name) => [
    `export declare const ${name}: typeof library.${name};`,
    ...(types.has(name) ? [`export type ${name} = ${imported}.${name};`] : []),
  ]);
  return [
    `export type * from "./${module}" with { "resolution-mode": "import" };`,
    `declare const library: typeof ${imported};`,
    ...lines,
    "",
  ].join("\n");
}

/** Returns the entry points of a package that have a CommonJS wrapper. */
export function entryPoints(manifest: { readonly name: string; readonly exports: object }): EntryPoint[] {
  return Object.entries(manifest.exports).flatMap(([subpath, target]: [string, unknown]) => {
    if (typeof target !== "object" || target === null) return [];
    const { require: doorFile, default: moduleFile } = target as Record<string, unknown>;
    if (typeof doorFile !== "string" || typeof moduleFile !== "string")
      throw new Error(`package.json: exports["${subpath}"] needs "require" (a .cjs) and "default" (a .js)`);
    if (doorFile !== moduleFile.replace(/\.js$/, ".cjs"))
      throw new Error(`package.json: "require" of exports["${subpath}"] is ${doorFile}, not the .cjs of ${moduleFile}`);
    return [{ specifier: `${manifest.name}${subpath.slice(1)}`, moduleFile, doorFile }];
  });
}

async function exportsOf(moduleFile: string): Promise<ModuleExports> {
  const values = Object.entries((await import(pathToFileURL(moduleFile).href)) as Record<string, unknown>);
  const isAsynchronous = (value: unknown): boolean =>
    typeof value === "function" && value.constructor.name === "AsyncFunction";
  return {
    asynchronous: values.filter(([, value]) => isAsynchronous(value)).map(([name]) => name),
    others: values.filter(([, value]) => !isAsynchronous(value)).map(([name]) => name),
    types: typeNames(moduleFile.replace(/\.js$/, ".d.ts")),
  };
}

/** Returns the names that a declaration file exports as types: interfaces, aliases, classes and enums. */
function typeNames(declarationFile: string): Set<string> {
  const program = ts.createProgram([declarationFile], {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2022,
    types: [],
    noLib: true,
  });
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(declarationFile);
  const module = source && checker.getSymbolAtLocation(source);
  if (module === undefined) throw new Error(`${declarationFile} is not a module`);
  const types = checker
    .getExportsOfModule(module)
    .map((symbol) => ({
      name: symbol.name,
      target: symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol,
    }))
    .filter(({ target }) => target.flags & ts.SymbolFlags.Type);
  return new Set(types.map(({ name }) => name));
}

async function main(): Promise<void> {
  const root = process.cwd();
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { name: string; exports: object };
  for (const { specifier, moduleFile, doorFile } of entryPoints(manifest)) {
    const found = await exportsOf(join(root, moduleFile));
    const module = basename(moduleFile);
    writeFileSync(join(root, doorFile), doorCode(specifier, module, found));
    writeFileSync(join(root, doorFile.replace(/\.cjs$/, ".d.cts")), doorDeclarations(module, found));
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main();
