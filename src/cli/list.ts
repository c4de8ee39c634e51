/** `touchstone list`: the models that are ready to run. */

import { Command } from "commander";

import { listModels } from "../../engine/index.js";

export function listCommand(): Command {
  return new Command("list").description("list models that are ready to run").action(async () => {
    const models = await listModels();
    const rows = models.map(({ name, architecture, format, byteLength, source }) => [
      name,
      architecture,
      format,
      `${(byteLength / 1e6).toFixed(1)} MB`,
      source ?? "embedded",
    ]);
    for (const row of [["name", "architecture", "weights", "size", "from"], ...rows]) {
      process.stdout.write(`${row.map((cell, column) => (column < 4 ? cell.padEnd(column === 0 ? 32 : 14) : cell)).join("")}\n`);
    }
  });
}
