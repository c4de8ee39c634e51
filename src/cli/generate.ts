/** `touchstone generate`: continues raw text. Text goes to stdout, statistics to stderr. */

import { Command } from "commander";

import { EngineError, loadModel, type Model } from "../../engine/index.js";
import {
  addModelOptions,
  addRequestOptions,
  checkJsonFlags,
  modelOptions,
  requestOptions,
  type ModelFlags,
  type ParsedRequestOptions,
} from "./request-options.js";
import { print, printLine } from "../../spec-tests/conform/terminal.js";
import { jsonLine } from "./json-line.js";
import { INTERRUPTED, printRemark, showLoading, statistics } from "./terminal.js";
import { textArgument, textOfStdin } from "./text-argument.js";

interface GenerateFlags extends ModelFlags, ParsedRequestOptions {
  prompt?: string;
  json?: boolean;
}

export function generateCommand(): Command {
  const command = new Command("generate")
    .description("continue a text")
    .argument("[text]", "the text to continue; - reads it from stdin, as does no text in a pipe")
    .option("--prompt <text>", "the same as the argument; may be empty if the tokenizer has a begin token")
    .option("--json", "print one JSON line with text, token ids and usage");
  return addRequestOptions(addModelOptions(command)).action(generate);
}

async function generate(argument: string | undefined, flags: GenerateFlags): Promise<void> {
  checkJsonFlags(flags);
  const prompt = await promptOf(argument, flags);
  const model = await showLoading((display) => loadModel({ ...modelOptions(flags), ...display }));
  const interrupt = new AbortController();
  process.once("SIGINT", () => interrupt.abort());
  await complete(model, prompt, flags, interrupt.signal);
  if (interrupt.signal.aborted) process.exitCode = INTERRUPTED;
  await model.close();
}

async function promptOf(argument: string | undefined, { prompt: option }: GenerateFlags): Promise<string> {
  const prompt = await textArgument(argument, "--prompt", option);
  if (prompt !== undefined) return prompt;
  if (process.stdin.isTTY)
    throw new EngineError(
      "missing_required_parameter",
      'There is no text to continue: touchstone generate "Once upon"',
    );
  return textOfStdin();
}

async function complete(model: Model, prompt: string, flags: GenerateFlags, signal: AbortSignal): Promise<void> {
  const answer = model.generate({ prompt, ...requestOptions(flags), signal });
  const streamsText = flags.json !== true && (flags.n ?? 1) === 1;
  try {
    const result = await answer.result((delta) => {
      if (streamsText) print(process.stdout, delta.content);
    });
    if (flags.json === true) {
      printLine(
        process.stdout,
        jsonLine(result, null, ({ content }) => ({ text: content })),
      );
      return;
    }
    if (!streamsText)
      result.choices.forEach(({ content }, choice) => print(process.stdout, `--- ${choice} ---\n${content}\n`));
    else print(process.stdout, "\n");
    printRemark(statistics(result));
  } catch (error) {
    if (!signal.aborted) throw error;
    if (streamsText) print(process.stdout, "\n");
    printRemark("(stopped)");
  }
}
