/**
 * Tests of the reading of package.json. spec-tests/package.integration.test.ts tests the CommonJS wrappers in the packed package.
 */

import { expect, test } from "vitest";

import { entryPoints } from "./commonjs-doors.js";

const found = (exports: object): unknown => entryPoints({ name: "engine", exports });

test("finds the entry points with a CommonJS wrapper and their import specifiers", () => {
  expect(
    found({
      ".": { require: "./dist/index.cjs", default: "./dist/index.js" },
      "./models": { require: "./dist/models.cjs", default: "./dist/models.js" },
      "./package.json": "./package.json",
    }),
  ).toEqual([
    { specifier: "engine", moduleFile: "./dist/index.js", doorFile: "./dist/index.cjs" },
    { specifier: "engine/models", moduleFile: "./dist/models.js", doorFile: "./dist/models.cjs" },
  ]);
});

test.each([
  [{ default: "./dist/models.js" }, 'exports["./models"] needs "require" (a .cjs) and "default" (a .js)'],
  [{ require: "./dist/models.cjs" }, 'exports["./models"] needs "require" (a .cjs) and "default" (a .js)'],
  [
    { require: "./dist/index.cjs", default: "./dist/models.js" },
    '"require" of exports["./models"] is ./dist/index.cjs, not the .cjs of ./dist/models.js',
  ],
  [
    { require: "./dist/models.js", default: "./dist/models.js" },
    '"require" of exports["./models"] is ./dist/models.js, not the .cjs of ./dist/models.js',
  ],
])("is refused: %j", (target, message) => {
  expect(() => found({ "./models": target })).toThrow(message);
});
