/**
 * `touchstone chat`: a conversation with history. Ctrl-C stops the answer and keeps the text generated so far; Ctrl-D,
 * or Ctrl-C at the prompt, exits.
 */

import { createInterface, type Interface } from "node:readline/promises";

import { Command } from "commander";

import { EngineError, loadModel, type AnswerChoice, type ChatMessage, type Model } from "../../engine/index.js";
import {
  addModelOptions,
  addRequestOptions,
  checkJsonFlags,
  modelOptions,
  requestOptions,
  type ModelFlags,
  type ParsedRequestOptions,
} from "./request-options.js";
import { hasColors, print, printLine } from "../../spec-tests/conform/terminal.js";
import { jsonLine } from "./json-line.js";
import { INTERRUPTED, showLoading, statistics } from "./terminal.js";

interface ChatFlags extends ModelFlags, ParsedRequestOptions {
  once?: string;
  system?: string;
  json?: boolean;
  separateReasoning?: boolean;
}

export function chatCommand(): Command {
  const command = new Command("chat")
    .description("chat with a model")
    .option("--once <text>", "answer one message and exit")
    .option("--system <text>", "system message of the conversation")
    .option("--json", "print one JSON line for each answer")
    .option("--no-separate-reasoning", "with --json: keep the reasoning and its tags in the content")
    .addHelpText(
      "after",
      "\nIf the input is a pipe, each line is one message. A message that fails gets no answer and no JSON line, and sets the exit code to 1.",
    );
  return addRequestOptions(addModelOptions(command)).action(chat);
}

async function chat(flags: ChatFlags): Promise<void> {
  checkJsonFlags(flags);
  const model = await showLoading((display) => loadModel({ ...modelOptions(flags), ...display }));
  const messages: ChatMessage[] = flags.system === undefined ? [] : [{ role: "system", content: flags.system }];
  if (flags.once === undefined) {
    await converse(model, messages, flags);
  } else {
    const interrupt = new AbortController();
    process.once("SIGINT", () => interrupt.abort());
    await answer(model, [...messages, { role: "user", content: flags.once }], flags, interrupt.signal);
    if (interrupt.signal.aborted) process.exitCode = INTERRUPTED;
  }
  await model.close();
}

/** Reads and answers messages until the input ends. */
async function converse(model: Model, messages: ChatMessage[], flags: ChatFlags): Promise<void> {
  refuseEarly(model, messages, flags);
  const { isTTY } = process.stdin;
  const lines = createInterface({ input: process.stdin, ...(isTTY ? { output: process.stderr, prompt: "> " } : {}) });
  if (isTTY) printLine(process.stderr, "Ctrl-C stops an answer, Ctrl-D exits.", "dim");
  if (isTTY) lines.prompt();
  for await (const line of lines) {
    if (line.trim() !== "") await takeTurn(model, messages, line, flags, lines);
    if (isTTY) lines.prompt();
  }
}

/**
 * Checks, before the first message, conditions that would make every turn fail: flag values and the chat template.
 *
 * @throws EngineError for a flag out of range or a missing chat template
 */
function refuseEarly(model: Model, messages: readonly ChatMessage[], flags: ChatFlags): void {
  const signal = AbortSignal.abort();
  try {
    model.chat({ messages: [...messages, { role: "user", content: "?" }], ...requestOptions(flags), signal });
  } catch (error) {
    if (error !== signal.reason) throw error;
  }
}

/** Adds a message and its answer to the history; if the turn fails, prints the error and removes the message. */
async function takeTurn(
  model: Model,
  messages: ChatMessage[],
  line: string,
  flags: ChatFlags,
  lines: Interface,
): Promise<void> {
  const interrupt = new AbortController();
  const stop = (): void => interrupt.abort();
  lines.on("SIGINT", stop);
  messages.push({ role: "user", content: line });
  try {
    messages.push({ role: "assistant", content: await answer(model, messages, flags, interrupt.signal) });
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    messages.pop();
    printLine(process.stderr, `touchstone: ${error.message}`);
    if (!process.stdin.isTTY) process.exitCode = 1;
  } finally {
    lines.off("SIGINT", stop);
  }
}

/**
 * Streams one answer to stdout.
 *
 * @returns the content, incomplete if the signal aborted the answer
 */
async function answer(
  model: Model,
  messages: readonly ChatMessage[],
  flags: ChatFlags,
  signal: AbortSignal,
): Promise<string> {
  const stream = model.chat({
    messages,
    ...requestOptions(flags),
    separateReasoning: flags.json !== true || flags.separateReasoning !== false,
    signal,
  });
  const streamsText = flags.json !== true && (flags.n ?? 1) === 1;
  const display = new AnswerDisplay();
  let said = "";
  try {
    const result = await stream.result((delta) => {
      if (delta.choice === 0) said += delta.content;
      if (streamsText) display.print(delta);
    });
    if (flags.json === true) {
      const line = jsonLine(result, ({ content, reasoning }) => ({ content, reasoning_content: reasoning }));
      printLine(process.stdout, line);
      return said;
    }
    if (streamsText) print(process.stdout, "\n");
    else result.choices.forEach(writeChoice);
    printLine(process.stderr, statistics(result), "dim");
  } catch (error) {
    if (!signal.aborted) throw error;
    if (streamsText) print(process.stdout, "\n");
    printLine(process.stderr, "(stopped)", "dim");
  }
  return said;
}

function writeChoice(choice: AnswerChoice, index: number): void {
  print(process.stdout, `--- ${index} ---\n`);
  new AnswerDisplay().print(choice);
  print(process.stdout, "\n");
}

/** Prints an answer: reasoning is dimmed if the output has colors, else enclosed in tags. */
class AnswerDisplay {
  #inside: "nothing" | "reasoning" | "answer" = "nothing";

  print({ reasoning, content }: { readonly reasoning: string | null; readonly content: string }): void {
    const isColored = hasColors(process.stdout);
    if (reasoning !== null && reasoning !== "") {
      if (this.#inside === "nothing" && !isColored) print(process.stdout, "<think>\n");
      this.#inside = "reasoning";
      print(process.stdout, reasoning, "dim");
    }
    if (content !== "") {
      if (this.#inside === "reasoning") print(process.stdout, isColored ? "\n\n" : "\n</think>\n\n");
      this.#inside = "answer";
      print(process.stdout, content);
    }
  }
}
