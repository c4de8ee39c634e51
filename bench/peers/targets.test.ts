import { expect, test } from "vitest";

import { exampleReport } from "./example-report.js";
import { targetsTable } from "./targets.js";

const rowOf = (table: readonly string[], name: string): string => table.find((line) => line.startsWith(`| ${name} |`))!;

test("the table has a column for each report and one for the worst; missed ratios are bold", () => {
  const table = targetsTable([exampleReport({}), exampleReport({ cpu: "Slow CPU", node: "v24.0.0", fastMs: 16 })]);
  expect(table[0]).toBe("|  | target | Example CPU, Node 20 | Slow CPU, Node 24 | worst |");
  expect(rowOf(table, "next token at 128")).toBe("| next token at 128 | at most 0.7 | 0.50 | **0.80** | **0.80** |");
  expect(rowOf(table, "prompt of 512, `fast`")).toBe(
    "| prompt of 512, `fast` | at least 1.5 | 2.00 | **1.25** | **1.25** |",
  );
  expect(rowOf(table, "next token at 1500")).toBe("| next token at 1500 | at most 0.7 | - | - | - |");
});

test("the target of a prompt in exact depends on the build of the kernels", () => {
  const table = targetsTable([exampleReport({ kernels: "dot" }), exampleReport({ kernels: "simd" })]);
  expect(rowOf(table, "prompt of 512, `exact`, kernels `dot`")).toMatch(/at least 0.75 \| \*\*0.67\*\* \| - \|/);
  expect(rowOf(table, "prompt of 512, `exact`, other kernels")).toMatch(/at least 0.5 \| - \| 0.67 \|/);
});

test("one report needs no column for the worst, and a narrow miss does not look like the limit", () => {
  const table = targetsTable([exampleReport({ fastMs: 14.04 })]);
  expect(rowOf(table, "next token at 128")).toBe("| next token at 128 | at most 0.7 | **0.702** |");
});
