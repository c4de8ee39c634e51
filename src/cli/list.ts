/** `touchstone list`: lists the local models: the embedded one, downloads from the hub, packs. */

import { Command } from "commander";

import { listModels, type ModelSummary } from "../../engine/models.js";
import { megabytes } from "./terminal.js";

export function listCommand(): Command {
  return new Command("list").description("list downloaded and converted models").action(async () => {
    const rows = [
      ["name", "revision", "architecture", "weights", "size", "last used", "from"],
      ...(await listModels()).map(row),
    ];
    const widths = rows[0]!.map((_, column) => Math.max(...rows.map((cells) => cells[column]!.length)));
    for (const cells of rows)
      process.stdout.write(
        `${cells
          .map((cell, column) => cell.padEnd(widths[column]!))
          .join("  ")
          .trimEnd()}\n`,
      );
  });
}

/** Formats one table row; commit hashes are shortened to 8 digits. */
function row({
  name,
  revision,
  architecture,
  format,
  isFinished,
  byteLength,
  source,
  lastUsedMs,
}: ModelSummary): string[] {
  return [
    name,
    (revision ?? "").replaceAll(/\b([0-9a-f]{8})[0-9a-f]{32}\b/g, "$1"),
    architecture,
    format ?? (isFinished ? "as downloaded" : "unfinished"),
    megabytes(byteLength),
    lastUsedMs === null ? "" : new Date(lastUsedMs).toISOString().slice(0, 16).replace("T", " "),
    source === null ? "embedded" : revision === null ? source : "hub",
  ];
}
