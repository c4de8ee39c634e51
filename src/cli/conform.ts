/** `touchstone conform`: the command of the package touchstone-conform, under a name of ours. */

import { Command } from "commander";

import { conformCommand as withConform } from "../../spec-tests/conform/command.js";

export { ConformError, COULD_NOT_RUN } from "../../spec-tests/conform/command.js";

/** @param program whose settings it takes over */
export function conformCommand(program: Command): Command {
  return withConform(new Command("conform").copyInheritedSettings(program));
}
