/**
 * Compares this engine with other engines: the same weights, prompts and number of threads, in turns.
 *
 * Run: npm run bench:peers -- --help
 */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { Bench } from "./bench.js";
import { documentOf } from "./markdown.js";
import { type Command, commandOf, HELP, OptionError, type Options } from "./options.js";
import { jsonOf } from "./report.js";
import { addReport, render } from "./results.js";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

async function run(command: Command): Promise<void> {
  switch (command.kind) {
    case "help":
      return console.log(HELP);
    case "render":
      return render(ROOT, command.dir);
    case "measure":
      return measure(command.options);
  }
}

async function measure(options: Options): Promise<void> {
  const dir = options.models ?? (await mkdtemp(join(tmpdir(), "touchstone-bench-")));
  try {
    const bench = await Bench.prepare(dir, options);
    const report = await bench.run();
    console.log(documentOf([report]));
    if (options.json !== null) await writeFile(options.json, `${JSON.stringify(jsonOf(report), null, 2)}\n`);
    if (options.out !== null) {
      addReport(options.out, report);
      render(ROOT, options.out);
    }
  } finally {
    if (options.models === null) await rm(dir, { recursive: true, force: true });
  }
}

try {
  await run(commandOf(process.argv.slice(2)));
} catch (error) {
  if (!(error instanceof OptionError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
