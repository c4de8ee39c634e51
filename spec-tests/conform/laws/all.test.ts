import { expect, test } from "vitest";

import { LAWS } from "./all.js";

test("the laws are P1 to P22, in order, and then validation", () => {
  expect(LAWS.map(({ id }) => id)).toEqual([...Array.from({ length: 22 }, (_, i) => `P${i + 1}`), "validation"]);
});

test("each law lists its clauses and issues of servers that broke it", () => {
  for (const { clauses, reports } of LAWS) {
    expect(clauses.length).toBeGreaterThan(0);
    expect(new Set(clauses).size).toBe(clauses.length);
    for (const clause of clauses) expect(clause).toMatch(/^TS-\d+\.\d+$/);
    expect(reports.length).toBeGreaterThan(0);
    for (const report of reports) expect(report).toMatch(/^[\w.-]+#\d+$/);
  }
});
