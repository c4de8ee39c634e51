/**
 * Tests that links and npm scripts in documents exist. npm shows README.md only with the packed files, so its links
 * must be packed files or URLs in the repository that package.json names.
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

import { expect, test } from "vitest";

import { manifest, packedFiles } from "./fixtures/package.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const REPOSITORY = manifest.repository.url.replace(/^git\+|\.git$/g, "");

const inFolder = (folder: string, recursive = false): string[] =>
  readdirSync(join(ROOT, folder), { recursive, encoding: "utf8" })
    .filter((file) => file.endsWith(".md"))
    .map((file) => join(folder, file).replaceAll("\\", "/"))
    .sort();
const DOCUMENTS = [
  ...[
    ".",
    ".github",
    "bench/peers",
    "models/tiny",
    "spec-tests/conform",
    "spec-tests/conform/vectors",
    "spec-tests/mutation",
  ].flatMap((folder) => inFolder(folder)),
  ...inFolder("docs", true),
];

const read = (document: string): string => readFileSync(join(ROOT, document), "utf8");

/** Returns the targets of a document's links and images, without fragments. */
function links(document: string): string[] {
  const prose = read(document).replace(/^ *```[^]*?^ *```$/gm, "");
  const found = [...prose.matchAll(/\]\(([^()\s]+)\)|^\[[^\]]+\]: *(\S+)|\b(?:src|srcset|href)="([^"\s]+)"/gm)];
  return found
    .map(([, inline, reference, html]) => (inline ?? reference ?? html)!.replace(/#.*$/, ""))
    .filter((link) => link !== "");
}

const isRelative = (link: string): boolean => !/^[a-z]+:/.test(link);

test("README.md links to packed files or to the repository", () => {
  const packed = packedFiles();
  const relative = links("README.md").filter(isRelative);
  expect(relative.length).toBeGreaterThan(0);
  expect(relative.filter((link) => !packed.has(link))).toEqual([]);
});

test.each(DOCUMENTS)("links of %s point to existing files", (document) => {
  const targets = links(document)
    .filter((link) => isRelative(link) || link.startsWith(REPOSITORY))
    .map((link) => (isRelative(link) ? normalize(join(dirname(document), link)) : pathInRepository(link)));
  expect(targets.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});

test("no document names another repository of this project", () => {
  const addresses = DOCUMENTS.flatMap(
    (document) => read(document).match(/https:\/\/github\.com\/[\w-]+\/touchstone\b/g) ?? [],
  );
  expect(addresses.length).toBeGreaterThan(0);
  expect(addresses.filter((address) => address !== REPOSITORY)).toEqual([]);
});

test("docs/README.md lists the documents of its folder", () => {
  const others = inFolder("docs", true).filter((document) => document !== "docs/README.md");
  expect(others.length).toBeGreaterThan(0);
  const listed = new Set(links("docs/README.md").map((link) => join("docs", link).replaceAll("\\", "/")));
  expect(others.filter((document) => !listed.has(document))).toEqual([]);
});

test.each(DOCUMENTS)("npm scripts in %s exist", (document) => {
  const named = [...read(document).matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name!);
  expect(named.filter((name) => !(name in manifest.scripts))).toEqual([]);
});

/**
 * Returns the path of a URL in the repository. `blob` is the page of a file, `tree` of a folder, `raw` the file itself.
 */
function pathInRepository(address: string): string {
  const path = /^\/(?:blob|tree|raw)\/main\/(.+)$/.exec(address.slice(REPOSITORY.length))?.[1];
  if (path === undefined) throw new Error(`${address} is not a file of the branch main`);
  return path;
}
