#!/usr/bin/env node
/** The `touchstone` command: parses arguments, runs a command, turns errors into one line and an exit code. */

import { readFileSync } from "node:fs";

import { Command } from "commander";

import { EngineError } from "../../engine/index.js";
import { chatCommand } from "./chat.js";
import { COULD_NOT_RUN, conformCommand } from "./conform.js";
import { convertCommand } from "./convert.js";
import { doctorCommand } from "./doctor.js";
import { evaluateCommand } from "./evaluate.js";
import { generateCommand } from "./generate.js";
import { inspectCommand } from "./inspect.js";
import { listCommand } from "./list.js";
import { pullCommand } from "./pull.js";
import { flagName } from "./request-options.js";
import { rmCommand } from "./rm.js";
import { serveCommand } from "./serve.js";

const { version } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

const program = new Command("touchstone")
  .description("Runs language models offline on a CPU.")
  .version(version)
  .option("--debug", "print stack traces")
  .showSuggestionAfterError()
  .configureOutput({ outputError: (text, write) => write(`touchstone: ${text.replace(/^error: /, "")}`) });

const commands = [
  chatCommand,
  generateCommand,
  serveCommand,
  pullCommand,
  convertCommand,
  inspectCommand,
  evaluateCommand,
  listCommand,
  rmCommand,
  doctorCommand,
];
for (const command of commands.map((create) => create())) {
  program.addCommand(command.copyInheritedSettings(program));
}

// Of conform, 1 means findings: what commander refuses is something else.
program.addCommand(
  conformCommand()
    .copyInheritedSettings(program)
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : COULD_NOT_RUN)),
);

// A reader that goes away (`| head`) is no error.
process.stdout.on("error", ({ code, message }: NodeJS.ErrnoException) => {
  if (code === "EPIPE") process.exit(0);
  process.stderr.write(`touchstone: the output cannot be written (${code ?? message})\n`);
  process.exit(program.args[0] === "conform" ? COULD_NOT_RUN : 1);
});

try {
  await program.parseAsync();
} catch (error) {
  const message =
    error instanceof EngineError
      ? error.renamed(flagName).message
      : error instanceof Error
        ? error.message
        : String(error);
  const isCallersMistake = error instanceof EngineError && error.code !== "internal_error";
  process.stderr.write(`touchstone: ${isCallersMistake ? "" : "internal error: "}${message}\n`);
  if (program.opts()["debug"] === true && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  process.exitCode ??= 1;
}
