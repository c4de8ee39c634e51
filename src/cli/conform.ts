/** `touchstone conform`: the command of the package touchstone-conform as a subcommand. */

import { Command } from "commander";

import { conformCommand as withConform } from "../../spec-tests/conform/command.js";

export { ConformError, COULD_NOT_RUN } from "../../spec-tests/conform/command.js";

/** @param program the parent command, whose settings are inherited */
export function conformCommand(program: Command): Command {
  return withConform(new Command("conform").copyInheritedSettings(program));
}
