import { expect, it } from "vitest";

import { misspelled } from "./dialects.js";

const KNOWN = ["type", "pattern", "required", "additionalProperties"];

it.each([
  // One edit in names of less than 8 characters, two in longer ones.
  ["typ", "type"],
  ["types", "type"],
  ["ty", null],
  ["pattrn", "pattern"],
  ["pattr", null],
  ["requred", "required"],
  ["requrd", "required"],
  ["requr", null],
  ["additonalProperties", "additionalProperties"],
  ["aditonalProperties", "additionalProperties"],
  ["aditonalProperty", null],
  ["x-note", null],
])("%s may be a misspelling of %s", (keyword, expected) => {
  expect(misspelled(keyword, KNOWN)).toBe(expected);
});
