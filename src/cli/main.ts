#!/usr/bin/env node
/** The `touchstone` command: parses arguments, runs a subcommand, reports errors as one line and an exit code. */

import { readFileSync } from "node:fs";

import { Command, Help } from "commander";

import { EngineError } from "../../engine/index.js";
import { exitWithOutput, print, printLine } from "../../spec-tests/conform/terminal.js";
import { chatCommand } from "./chat.js";
import { conformCommand, ConformError, COULD_NOT_RUN } from "./conform.js";
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
import { columnsOfTerminal } from "./terminal.js";

const { version } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

const MAX_HELP_COLUMNS = 80;
/** Columns of flags beside their descriptions; longer flags stand on a line of their own. */
const MAX_TERM_COLUMNS = 26;

const program = new Command("touchstone")
  .description("Runs language models offline on a CPU.")
  .version(version)
  .option("--debug", "print stack traces")
  .showSuggestionAfterError()
  .configureHelp({
    minWidthToWrap: 20,
    padWidth: (command, helper) => Math.min(MAX_TERM_COLUMNS, Help.prototype.padWidth.call(helper, command, helper)),
    formatItem: helpItem,
  })
  .configureOutput({
    getOutHelpWidth: () => helpWidth(process.stdout),
    getErrHelpWidth: () => helpWidth(process.stderr),
    writeOut: (text) => print(process.stdout, text),
    writeErr: (text) => print(process.stderr, text),
    outputError: (text, write) => write(`touchstone: ${text.replace(/^error: /, "")}`),
  });

function helpItem(term: string, termWidth: number, description: string, helper: Help): string {
  const item = (shown: string): string => Help.prototype.formatItem.call(helper, shown, termWidth, description, helper);
  return term.length <= termWidth ? item(term) : `  ${term}\n${item("")}`;
}

/** Wider lines of help are hard to read. */
function helpWidth(stream: NodeJS.WriteStream): number {
  return Math.min(MAX_HELP_COLUMNS, columnsOfTerminal(stream));
}

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

program.addCommand(conformCommand(program));

// Messages on stderr are lost if it cannot be written; that is no reason to fail.
process.stderr.on("error", () => {});
exitWithOutput("touchstone", () => (program.args[0] === "conform" ? COULD_NOT_RUN : 1));

try {
  await program.parseAsync();
} catch (error) {
  const known = error instanceof EngineError ? error.renamed(flagName) : error;
  const message = known instanceof Error ? known.message : String(known);
  const isCallersMistake =
    error instanceof EngineError ? error.code !== "internal_error" : error instanceof ConformError;
  printLine(process.stderr, `touchstone: ${isCallersMistake ? "" : "internal error: "}${message}`);
  if (program.opts()["debug"] === true && error instanceof Error) print(process.stderr, `${error.stack}\n`);
  process.exitCode ??= 1;
}
