import { expect, test } from "vitest";

import { LAWS } from "./all.js";

test("P1 to P16 come in order, and the rows of validation last", () => {
  expect(LAWS.map(({ id }) => id)).toEqual([...Array.from({ length: 16 }, (_, i) => `P${i + 1}`), "validation"]);
});

test("each says which clauses it holds a server to, and who broke it", () => {
  for (const { clauses, reports } of LAWS) {
    expect(clauses.length).toBeGreaterThan(0);
    expect(new Set(clauses).size).toBe(clauses.length);
    for (const clause of clauses) expect(clause).toMatch(/^TS-\d+\.\d+$/);
    expect(reports.length).toBeGreaterThan(0);
    for (const report of reports) expect(report).toMatch(/^[\w.-]+#\d+$/);
  }
});
