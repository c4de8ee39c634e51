#!/usr/bin/env node
/** The command `touchstone-conform`. It reports an error as one line and an exit code. */

import { Command } from "commander";

import { conformCommand, COULD_NOT_RUN } from "./command.js";
import { ConformError } from "./errors.js";
import { version } from "./package-files.js";
import { exitWithOutput, print, printLine } from "./terminal.js";

const NAME = "touchstone-conform";

const program = conformCommand(
  new Command(NAME)
    .version(version())
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: (text) => print(process.stdout, text),
      writeErr: (text) => print(process.stderr, text),
      outputError: (text, write) => write(`${NAME}: ${text.replace(/^error: /, "")}`),
    }),
);
exitWithOutput(NAME, () => COULD_NOT_RUN);

try {
  await program.parseAsync();
} catch (error) {
  // Any other error is a bug of the suite, so print the stack for its authors.
  if (error instanceof ConformError) printLine(process.stderr, `${NAME}: ${error.message}`);
  else print(process.stderr, `${NAME}: internal error: ${(error as Error).stack}\n`);
}
