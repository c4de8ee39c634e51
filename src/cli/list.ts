/** `touchstone list`: lists the local models: the embedded one, downloads from the hub, packs. */

import { Command } from "commander";

import { sizeText } from "../../engine/errors.js";
import { listModels, type ModelSummary } from "../../engine/models.js";
import { printLine, visibleLine } from "../../spec-tests/conform/terminal.js";

export function listCommand(): Command {
  return new Command("list").description("list downloaded and converted models").action(async () => {
    const rows = [
      ["name", "revision", "architecture", "weights", "size", "last used", "from"],
      ...(await listModels()).map(row),
    ].map((cells) => (process.stdout.isTTY ? cells.map(visibleLine) : cells));
    const widths = rows[0]!.map((_, column) => Math.max(...rows.map((cells) => cells[column]!.length)));
    for (const cells of rows)
      printLine(
        process.stdout,
        cells
          .map((cell, column) => cell.padEnd(widths[column]!))
          .join("  ")
          .trimEnd(),
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
    sizeText(byteLength),
    lastUsedMs === null ? "" : new Date(lastUsedMs).toISOString().slice(0, 16).replace("T", " "),
    source === null ? "embedded" : revision === null ? source : "hub",
  ];
}
