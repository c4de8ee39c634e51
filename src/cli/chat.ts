/**
 * `touchstone chat`: a conversation with history. At a terminal it has commands (chat-commands.ts), and Ctrl-C stops the
 * answer and keeps the text generated so far. In a pipe, each line is one message.
 */

import { readFile, writeFile } from "node:fs/promises";
import { homedir } from "node:os";

import { Command } from "commander";

import { EngineError, fileSystemCode, writeFailure, type Naming } from "../../engine/errors.js";
import { loadModel, type ChatMessage, type ChatOptions, type Model } from "../../engine/index.js";
import { EMBEDDED_MODEL } from "../../engine/store/index.js";
import { printLine } from "../../spec-tests/conform/terminal.js";
import { giveAnswer, type Conversation, type GivenAnswer, type ToolUse } from "./chat-answer.js";
import type { Chat, ChatFacts, CommandResult } from "./chat-commands.js";
import { addToolOptions, openTools, type Ask, type ChatTools, type ToolFlags } from "./chat-tools.js";
import { InputHistory } from "./input-history.js";
import { MessageInput } from "./message-input.js";
import {
  addModelOptions,
  addRequestOptions,
  checkJsonFlags,
  dateOption,
  flagName,
  modelOptions,
  requestOptions,
  type ModelFlags,
  type ParsedRequestOptions,
} from "./request-options.js";
import { counted, INTERRUPTED, printRemark, showLoading } from "./terminal.js";
import { linesOfStdin, textArgument } from "./text-argument.js";

interface ChatFlags extends ModelFlags, ParsedRequestOptions, ToolFlags {
  once?: string;
  system?: string;
  date?: string;
  json?: boolean;
  hideReasoning?: boolean;
  separateReasoning?: boolean;
}

export function chatCommand(): Command {
  const command = new Command("chat")
    .description("chat with a model")
    .argument("[text]", "answer this one message and exit; - reads it from stdin")
    .option("--once <text>", "the same as the argument")
    .option("--system <text>", "system message of the conversation")
    .option("--hide-reasoning", "do not print the reasoning")
    .addOption(dateOption())
    .option("--json", "print one JSON line for each answer")
    .option("--no-separate-reasoning", "with --json: keep the reasoning and its tags in the content")
    .addHelpText(
      "after",
      `
At a terminal, /help lists the commands of the conversation.
In a pipe, each line is one message. A message that fails
gets no answer and no JSON line, and makes the exit code 1.
The line after a message is the result of a call of a tool,
if the model calls one of --tools that has no command.`,
    );
  return addRequestOptions(addModelOptions(addToolOptions(command))).action(chat);
}

async function chat(argument: string | undefined, flags: ChatFlags): Promise<void> {
  checkJsonFlags(flags);
  const text = await textArgument(argument, "--once", flags.once);
  const tools = await openTools(flags);
  try {
    const model = await showLoading((display) => loadModel({ ...modelOptions(flags), ...display }));
    const messages: ChatMessage[] = flags.system === undefined ? [] : [{ role: "system", content: flags.system }];
    if (text === undefined || tools !== null) refuseEarly(model, messages, tools, flags);
    if (text !== undefined) await answerOnce(model, [...messages, { role: "user", content: text }], tools, flags);
    else if (process.stdin.isTTY) await converse(model, messages, tools, flags);
    else await answerLines(model, messages, tools, flags);
    await model.close();
  } finally {
    await tools?.close();
  }
}

async function answerOnce(
  model: Model,
  messages: readonly ChatMessage[],
  tools: ChatTools | null,
  flags: ChatFlags,
): Promise<void> {
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  const input = tools !== null && process.stdin.isTTY ? new MessageInput(new InputHistory(printRemark)) : null;
  const ask = input === null ? askStdin(linesOfStdin()) : askPerson(input, stop);
  try {
    const use = tools === null ? null : { tools, ask };
    await answer(model, { messages, numLeftOut: 0 }, requestOptions(flags), flags, use, stop.signal);
  } finally {
    input?.close();
    // Nothing more is read, and an open pipe would keep the process.
    if (tools !== null && input === null) process.stdin.destroy();
  }
  if (stop.signal.aborted) process.exitCode = INTERRUPTED;
}

/** Answers each line of stdin. */
async function answerLines(
  model: Model,
  start: readonly ChatMessage[],
  tools: ChatTools | null,
  flags: ChatFlags,
): Promise<void> {
  // Ends commands and servers, which a signal alone would leave running.
  if (tools !== null) process.once("SIGINT", () => process.exit(INTERRUPTED));
  let chat: Conversation = { messages: start, numLeftOut: 0 };
  const lines = linesOfStdin();
  const use = tools === null ? null : { tools, ask: askStdin(lines) };
  for await (const line of lines) {
    if (line.trim() === "") continue;
    const asked = { ...chat, messages: [...chat.messages, { role: "user", content: line } as const] };
    const give = (): Promise<GivenAnswer> => answer(model, asked, requestOptions(flags), flags, use, NEVER);
    const given = await answerOrSayWhyNot(flagName, give);
    if (given === null) process.exitCode = 1;
    else chat = given;
  }
}

/** Takes the next line of stdin as the answer to each question. */
function askStdin(lines: AsyncGenerator<string>): Ask {
  return async () => {
    const { value, done } = await lines.next();
    if (done === true) throw new EngineError("input_unavailable", "stdin has ended, and a call needs a result.");
    return value as string;
  };
}

/** Asks at the terminal. Ctrl-C stops the answer. */
function askPerson(input: MessageInput, stop: AbortController): Ask {
  return async (question) => {
    const line = await input.ask(question);
    if (line === null) stop.abort();
    stop.signal.throwIfAborted();
    return line!;
  };
}

/** Reads and answers messages at a terminal until the person leaves. */
async function converse(
  model: Model,
  start: readonly ChatMessage[],
  tools: ChatTools | null,
  flags: ChatFlags,
): Promise<void> {
  if (!process.stderr.isTTY)
    throw new EngineError(
      "unsupported_value",
      "A conversation asks on stderr, which is not a terminal here. Give the message as an argument, or pipe it.",
    );
  // Imported here, so that a single answer starts sooner without the schemas of the API.
  const { answerOptions, isCommand, runCommand, settingsOf } = await import("./chat-commands.js");
  const { wireName } = await import("../openai/index.js");
  const facts: ChatFacts = {
    model: flags.model ?? EMBEDDED_MODEL,
    canSwitchThinking: model.folder.chatTemplate?.includes("enable_thinking") === true,
  };
  let chat: Chat = {
    messages: start,
    settings: settingsOf(requestOptions(flags)),
    numLeftOut: 0,
    hidesReasoning: flags.hideReasoning === true,
    lastSeed: null,
  };
  /** Null while no answer runs. */
  let running: AbortController | null = null;
  const interrupt = (): void => {
    if (running?.signal.aborted === true) process.exit(INTERRUPTED);
    running?.abort();
  };
  const answerTo = async (asked: Chat): Promise<Chat> => {
    const stop = (running = new AbortController());
    const shown = { ...flags, hideReasoning: asked.hidesReasoning };
    const use = tools === null ? null : { tools, ask: askPerson(input, stop) };
    const give = (): Promise<GivenAnswer> => answer(model, asked, answerOptions(asked), shown, use, stop.signal);
    const given = await answerOrSayWhyNot(wireName, give);
    running = null;
    return given === null
      ? chat
      : { ...asked, messages: given.messages, numLeftOut: given.numLeftOut, lastSeed: given.seed };
  };
  // At a prompt, Ctrl-C is a key of the line editor. The second one while an answer is being stopped ends the program.
  process.on("SIGINT", interrupt);
  printRemark(`${facts.model}, context ${model.info.contextLength} tokens. /help lists commands, Ctrl-D leaves.`);
  if (tools !== null) printRemark(tools.description);
  const input = new MessageInput(new InputHistory(printRemark));
  try {
    for (let line = await input.next(); line !== null; line = await input.next()) {
      if (line.trim() === "") continue;
      if (!isCommand(line)) {
        chat = await answerTo({ ...chat, messages: [...chat.messages, { role: "user", content: line }] });
        continue;
      }
      const result = await withFile(runCommand(line, chat, facts), facts);
      if (result.say !== "") printRemark(...result.say.split("\n"));
      if (result.next.type === "leave") break;
      chat = result.next.type === "answer" ? await answerTo(result.chat) : result.chat;
    }
  } finally {
    input.close();
    process.off("SIGINT", interrupt);
  }
}

/**
 * Checks, before the first message, conditions that would make every turn fail: flag values and the chat template.
 *
 * @throws EngineError for a flag out of range, a missing chat template, or one without tools
 */
function refuseEarly(model: Model, messages: readonly ChatMessage[], tools: ChatTools | null, flags: ChatFlags): void {
  const signal = AbortSignal.abort();
  try {
    const question: ChatMessage = { role: "user", content: "?" };
    const options = { ...requestOptions(flags), date: flags.date, tools: tools?.offered, signal };
    model.chat({ messages: [...messages, question], ...options });
  } catch (error) {
    if (error !== signal.reason) throw tools === null ? error : tools.explained(error);
  }
}

function answer(
  model: Model,
  conversation: Conversation,
  options: Omit<ChatOptions, "messages">,
  { json = false, hideReasoning = false, separateReasoning = true, logprobs, topLogprobs, date }: ChatFlags,
  use: ToolUse | null,
  signal: AbortSignal,
): Promise<GivenAnswer> {
  const shown = { separateReasoning: !json || separateReasoning, logprobs, topLogprobs, date };
  return giveAnswer(
    model,
    conversation,
    { ...options, ...shown },
    { json, hidesReasoning: hideReasoning },
    use,
    signal,
  );
}

/** Returns null, and prints why, if a message cannot be answered. */
async function answerOrSayWhyNot(name: Naming, give: () => Promise<GivenAnswer>): Promise<GivenAnswer | null> {
  try {
    return await give();
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    printLine(process.stderr, `touchstone: ${error.renamed((path) => name(path)).message}`);
    return null;
  }
}

/** Reads or writes the file of a command. */
async function withFile(result: CommandResult, facts: ChatFacts): Promise<CommandResult> {
  const { next, chat } = result;
  if (next.type !== "save" && next.type !== "load") return result;
  const { loadedChat, savedChat } = await import("./chat-commands.js");
  const file = next.file.replace(/^~(?=\/)/, homedir());
  const told = (say: string): CommandResult => ({ chat, say, next: { type: "prompt" } });
  try {
    if (next.type === "load") return loadedChat(await readFile(file), next.file, chat, facts);
    await writeFile(file, savedChat(chat, facts), { flag: next.overwrites ? "w" : "wx" });
    return told(`Saved ${counted(chat.messages.length, "message")} to ${next.file}.`);
  } catch (error) {
    if (error instanceof EngineError) return told(error.message);
    const code = fileSystemCode(error);
    if (code === null) throw error;
    if (code === "EEXIST") return told(`${next.file} exists. /save! ${next.file} overwrites it.`);
    return told(`${next.file} cannot be ${next.type === "load" ? "read" : "written"} (${writeFailure(code)}).`);
  }
}

const NEVER = new AbortController().signal;
