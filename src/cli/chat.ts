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
import { giveAnswer, type Conversation, type GivenAnswer } from "./chat-answer.js";
import type { Chat, ChatFacts, CommandResult } from "./chat-commands.js";
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

interface ChatFlags extends ModelFlags, ParsedRequestOptions {
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
gets no answer and no JSON line, and makes the exit code 1.`,
    );
  return addRequestOptions(addModelOptions(command)).action(chat);
}

async function chat(argument: string | undefined, flags: ChatFlags): Promise<void> {
  checkJsonFlags(flags);
  const text = await textArgument(argument, "--once", flags.once);
  const model = await showLoading((display) => loadModel({ ...modelOptions(flags), ...display }));
  const messages: ChatMessage[] = flags.system === undefined ? [] : [{ role: "system", content: flags.system }];
  if (text !== undefined) await answerOnce(model, [...messages, { role: "user", content: text }], flags);
  else if (process.stdin.isTTY) await converse(model, messages, flags);
  else await answerLines(model, messages, flags);
  await model.close();
}

async function answerOnce(model: Model, messages: readonly ChatMessage[], flags: ChatFlags): Promise<void> {
  const interrupt = new AbortController();
  process.once("SIGINT", () => interrupt.abort());
  await answer(model, { messages, numLeftOut: 0 }, requestOptions(flags), flags, interrupt.signal);
  if (interrupt.signal.aborted) process.exitCode = INTERRUPTED;
}

/** Answers each line of stdin. */
async function answerLines(model: Model, start: readonly ChatMessage[], flags: ChatFlags): Promise<void> {
  refuseEarly(model, start, flags);
  let chat: Conversation = { messages: start, numLeftOut: 0 };
  for await (const line of linesOfStdin()) {
    if (line.trim() === "") continue;
    const asked = { ...chat, messages: [...chat.messages, { role: "user", content: line } as const] };
    const given = await answerOrSayWhyNot(flagName, () => answer(model, asked, requestOptions(flags), flags, NEVER));
    if (given === null) process.exitCode = 1;
    else chat = continued(asked, given);
  }
}

/** Reads and answers messages at a terminal until the person leaves. */
async function converse(model: Model, start: readonly ChatMessage[], flags: ChatFlags): Promise<void> {
  if (!process.stderr.isTTY)
    throw new EngineError(
      "unsupported_value",
      "A conversation asks on stderr, which is not a terminal here. Give the message as an argument, or pipe it.",
    );
  refuseEarly(model, start, flags);
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
    const { signal } = (running = new AbortController());
    const shown = { ...flags, hideReasoning: asked.hidesReasoning };
    const given = await answerOrSayWhyNot(wireName, () => answer(model, asked, answerOptions(asked), shown, signal));
    running = null;
    return given === null ? chat : { ...continued(asked, given), lastSeed: given.seed };
  };
  // At a prompt, Ctrl-C is a key of the line editor. The second one while an answer is being stopped ends the program.
  process.on("SIGINT", interrupt);
  printRemark(`${facts.model}, context ${model.info.contextLength} tokens. /help lists commands, Ctrl-D leaves.`);
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
 * @throws EngineError for a flag out of range or a missing chat template
 */
function refuseEarly(model: Model, messages: readonly ChatMessage[], flags: ChatFlags): void {
  const signal = AbortSignal.abort();
  try {
    const question: ChatMessage = { role: "user", content: "?" };
    model.chat({ messages: [...messages, question], ...requestOptions(flags), date: flags.date, signal });
  } catch (error) {
    if (error !== signal.reason) throw error;
  }
}

function answer(
  model: Model,
  conversation: Conversation,
  options: Omit<ChatOptions, "messages">,
  { json = false, hideReasoning = false, separateReasoning = true, logprobs, topLogprobs, date }: ChatFlags,
  signal: AbortSignal,
): Promise<GivenAnswer> {
  const shown = { separateReasoning: !json || separateReasoning, logprobs, topLogprobs, date };
  return giveAnswer(model, conversation, { ...options, ...shown }, { json, hidesReasoning: hideReasoning }, signal);
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

function continued<T extends Conversation>(asked: T, { content, numLeftOut }: GivenAnswer): T {
  return { ...asked, messages: [...asked.messages, { role: "assistant", content }], numLeftOut };
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
