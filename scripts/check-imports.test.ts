import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

import { importProblems, productSources } from "./check-imports.js";
import { ROOMS, roomsMarkdown, type Room } from "./rooms.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const sources = productSources(ROOT);

const isFolder = ({ path }: Room): boolean => !path.includes("*");
/** Returns a file of a room that other rooms may import. */
const doorOf = ({ path, doors }: Room): string =>
  isFolder({ path } as Room) ? `${path}/${doors[0]}` : `engine/${doors[0]}`;
const fileIn = (room: Room): string => (isFolder(room) ? `${room.path}/new-file.ts` : doorOf(room));

/** Returns the problems of a program in which a file imports another one. */
function problemsOf(file: string, imported: string): string[] {
  const depth = file.split("/").length - 1;
  const line = `import type { X } from "${"../".repeat(depth)}${imported.replace(/\.ts$/, ".js")}";\n`;
  return importProblems(
    new Map([
      [file, line],
      [imported, ""],
    ]),
  );
}

describe("imports", () => {
  it("follow the table", () => {
    expect(sources.size).toBeGreaterThan(100);
    expect(importProblems(sources)).toEqual([]);
  });

  it.each(ROOMS.map((room) => [room.path, room] as const))("a forbidden import is found: %s", (_, room) => {
    for (const other of ROOMS.filter(
      ({ path, doors }) => path !== room.path && !room.uses.includes(path) && doors.length > 0,
    )) {
      expect(problemsOf(fileIn(room), doorOf(other)).length, other.path).toBeGreaterThan(0);
    }
  });

  it.each(ROOMS.filter((room) => isFolder(room)).map((room) => [room.path, room] as const))(
    "an import past the door is found: %s",
    (_, room) => {
      const hidden = `${room.path}/hidden.ts`;
      for (const other of ROOMS.filter(({ uses }) => uses.includes(room.path))) {
        expect(problemsOf(fileIn(other), hidden), other.path).toContainEqual(
          expect.stringContaining(`the door of ${room.path}`),
        );
      }
    },
  );

  it("a cycle of type imports is found", () => {
    const circle = new Map([
      ...sources,
      ["engine/text/a.ts", 'import type { B } from "./b.js";'],
      ["engine/text/b.ts", 'import type { A } from "./a.js";'],
    ]);
    expect(importProblems(circle)).toEqual(["circle: engine/text/a.ts -> engine/text/b.ts -> engine/text/a.ts"]);
  });

  it("a package in the wrong place is found", () => {
    expect(importProblems(new Map([...sources, ["engine/core/new.ts", 'import "onnxruntime-node";']]))).toHaveLength(1);
  });
});

it("docs/ARCHITECTURE.md prints the table", () => {
  expect(readFileSync(join(ROOT, "docs/ARCHITECTURE.md"), "utf8")).toContain(roomsMarkdown());
});
