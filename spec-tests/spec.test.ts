/**
 * Tests of docs/SPEC.md: clauses are numbered and have a reason and existing tests, citations are valid, and tables
 * equal the data of the program.
 */

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

import { FORMATS, SCHEMA_KEYWORDS } from "../engine/grammar/index.js";
import { ERROR_CODES } from "../src/openai/api-error.js";
import { CHAT_REQUEST_SCHEMAS } from "../src/openai/chat-request.js";
import { parameterTableMarkdown } from "../src/openai/parameter-table.js";
import { LAWS } from "./conform/laws/all.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SPEC = readFileSync(join(ROOT, "docs/SPEC.md"), "utf8");

const VECTORS = new Set(
  readdirSync(join(ROOT, "spec-tests/conform/vectors"))
    .filter((file) => file.endsWith(".json") && file !== "schema.json")
    .map((file) => file.slice(0, -".json".length)),
);
const LAW_IDS = new Set(LAWS.map(({ id }) => id));

interface Clause {
  readonly section: number;
  readonly number: number;
  readonly title: string;
  readonly body: string;
}

const clauses: readonly Clause[] = SPEC.split(/^(?=#{2,3} )/m).flatMap((part) => {
  const heading = /^### TS-(\d+)\.(\d+) (.+)\n/.exec(part);
  if (heading === null) return [];
  const [line, section, number, title] = heading;
  return [{ section: Number(section), number: Number(number), title: title!, body: part.slice(line.length) }];
});
const idOf = ({ section, number }: Clause): string => `TS-${section}.${number}`;
const clause = (id: string): Clause => clauses.find((one) => idOf(one) === id)!;

describe("clauses", () => {
  it("are numbered from 1 in each of the eleven sections, in order", () => {
    expect(SPEC.match(/^### .*$/gm)).toHaveLength(clauses.length);
    const sections = Array.from({ length: 11 }, (_, index) => clauses.filter(({ section }) => section === index + 1));
    expect(sections.every((section) => section.length > 0)).toBe(true);
    expect(clauses.map(idOf)).toEqual(
      sections.flatMap((section) => section.map(({ section }, index) => `TS-${section}.${index + 1}`)),
    );
    expect([...SPEC.matchAll(/^## (\d+)\. /gm)].map(([, section]) => Number(section))).toEqual(
      sections.map((_, index) => index + 1),
    );
  });

  it("have a text, then Why, optionally Elsewhere, and Tested by", () => {
    const shape = /^\n[^*\n][^]*?\n\n\*Why:\* .+\n(?:\*Elsewhere:\* .+\n)?\*Tested by:\* .+\n*$/;
    expect(clauses.filter(({ body }) => !shape.test(body)).map(idOf)).toEqual([]);
  });

  it("name existing tests", () => {
    const missing = clauses.flatMap((one) =>
      testsOf(one).flatMap(({ kind, name }) => (exists(kind, name) ? [] : [`${idOf(one)}: ${kind} ${name}`])),
    );
    expect(missing).toEqual([]);
  });

  it("exist wherever they are cited", () => {
    const known = new Set(clauses.map(idOf));
    const files = repositoryFiles("*.ts", "*.md", "*.json");
    const unknown = files.flatMap((file) => {
      const path = join(ROOT, file);
      if (!existsSync(path)) return [];
      const cited = readFileSync(path, "utf8").match(/\bTS-\d+\.\d+/g) ?? [];
      return cited.filter((id) => !known.has(id)).map((id) => `${file}: ${id}`);
    });
    expect(unknown).toEqual([]);
    expect(files).toContain("docs/SPEC.md");
  });
});

describe("tables equal the data of the program", () => {
  it("parameters", () => {
    const [, section = ""] = /^## 2\. Request parameters\n([^]*?)^### /m.exec(SPEC) ?? [];
    expect(section).toContain(parameterTableMarkdown());
  });

  it("schema keywords", () => {
    expect(tableOf("TS-7.11")).toEqual(
      SCHEMA_KEYWORDS.map(({ keyword, status, note = "" }) => [`\`${keyword}\``, status, note]),
    );
  });

  it("formats", () => {
    expect(tableOf("TS-7.15")).toEqual(FORMATS.map(({ format, note = "" }) => [`\`${format}\``, note]));
  });

  it("error codes", () => {
    const codes = Object.entries(ERROR_CODES).map(([code, { status, type }]) => [
      `\`${code}\``,
      `${status}`,
      `\`${type}\``,
    ]);
    expect(tableOf("TS-9.3")).toEqual(codes);
  });

  it("parameters, in the order in which they are checked", () => {
    const [list = ""] = /`model`, .*; then unknown ones/.exec(clause("TS-9.8").body) ?? [];
    const listed = [...list.matchAll(/`(\w+)`|those of (TS-2\.\d+) and (TS-2\.\d+)/g)].flatMap(
      ([, name, ...elsewhere]) =>
        name === undefined ? elsewhere.flatMap((id) => tableOf(id!).flatMap(([cell]) => cell!.match(/\w+/g))) : [name],
    );
    expect(listed).toEqual(Object.keys(CHAT_REQUEST_SCHEMAS.ppio.properties ?? {}));
  });
});

/** Parses `*Tested by:*`: kinds of tests with their names, as in "vectors `stop`; laws P4, P5". */
function testsOf({ body }: Clause): { kind: string; name: string }[] {
  const groups = /^\*Tested by:\* (.*)$/m.exec(body)?.[1]?.split("; ") ?? [];
  return groups.flatMap((group) => {
    const [kind = ""] = group.split(" ", 1);
    return group
      .slice(kind.length + 1)
      .split(", ")
      .map((name) => ({ kind, name: name.replaceAll("`", "") }));
  });
}

/** Returns the cells of a clause's table, without the heading. */
function tableOf(id: string): string[][] {
  const rows = clause(id)
    .body.split("\n")
    .filter((line) => line.startsWith("|"));
  return rows.slice(2).map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** Returns the files that match the patterns and are tracked by git or not ignored. */
function repositoryFiles(...patterns: readonly string[]): string[] {
  const options = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  return execFileSync("git", [...options, ...patterns], { cwd: ROOT, encoding: "utf8" })
    .split("\0")
    .filter((file) => file !== "");
}

function exists(kind: string, name: string): boolean {
  switch (kind) {
    case "vectors":
      return VECTORS.has(name);
    case "laws":
      return LAW_IDS.has(name);
    case "checks":
      return Object.hasOwn(
        (JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { scripts: object }).scripts,
        name,
      );
    case "tests":
      return ["", "integration.", "slow."].some((kind) =>
        [name, `spec-tests/${name}`].some((path) => existsSync(join(ROOT, `${path}.${kind}test.ts`))),
      );
    default:
      return false;
  }
}
