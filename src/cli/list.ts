/** `touchstone list`: the models that are ready to run. */

import { Command } from "commander";

import { listPacks } from "../../engine/index.js";

export function listCommand(): Command {
  return new Command("list").description("list converted models").action(async () => {
    const packs = await listPacks();
    const rows = packs.map(({ name, architecture, format, byteLength, source }) => [
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
