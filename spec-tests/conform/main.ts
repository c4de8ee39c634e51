#!/usr/bin/env node
/** The command `touchstone-conform`. It reports an error as one line and an exit code. */

import { Command } from "commander";

import { conformCommand, COULD_NOT_RUN } from "./command.js";
import { ConformError } from "./errors.js";
import { version } from "./package-files.js";
import { exitWithOutput } from "./terminal.js";

const NAME = "touchstone-conform";

const program = conformCommand(
  new Command(NAME)
    .version(version())
    .showSuggestionAfterError()
    .configureOutput({ outputError: (text, write) => write(`${NAME}: ${text.replace(/^error: /, "")}`) }),
);
exitWithOutput(NAME, () => COULD_NOT_RUN);

try {
  await program.parseAsync();
} catch (error) {
  const isKnown = error instanceof ConformError;
  // Any other error is a bug of the suite, so print the stack for its authors.
  process.stderr.write(`${NAME}: ${isKnown ? error.message : `internal error: ${(error as Error).stack}`}\n`);
}
