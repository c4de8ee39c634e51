/**
 * The commands of a chat at a terminal, such as `/set temperature 0.2`. They map a chat to the next chat; chat.ts asks
 * for messages, reads and writes files, and answers. Settings have the names and the rules of the API, and a saved chat
 * is a request body of the API.
 */

import type { ChatMessage, ChatOptions, GenerationOptions } from "../../engine/index.js";
import { EngineError } from "../../engine/errors.js";
import { isObject, jsonText, type JsonObject } from "../../engine/json.js";
import { PARAMETER_NAMES, PARAMETERS, type ParameterName } from "../../engine/sampling/index.js";
import { systemMessages } from "./chat-answer.js";
import { counted } from "./terminal.js";
import { ApiError, nearestName, parseChatRequest, parseJson } from "../openai/index.js";

export interface Chat {
  /** The conversation; the system message, if there is one, is the first. */
  readonly messages: readonly ChatMessage[];
  /** Parameters that were given, by their names in the API. */
  readonly settings: Settings;
  /** Oldest exchanges that the model does not read any more, because the context is full. */
  readonly numLeftOut: number;
  readonly hidesReasoning: boolean;
  /** Seed of the last answer; null before the first. */
  readonly lastSeed: number | bigint | null;
}

export type Settings = Readonly<Record<string, unknown>>;

/** What commands need to know besides the chat. */
export interface ChatFacts {
  /** Name of the model. */
  readonly model: string;
  /** True if the chat template asks for `enable_thinking`. */
  readonly canSwitchThinking: boolean;
}

export interface CommandResult {
  readonly chat: Chat;
  /** Text for the person; may be empty. */
  readonly say: string;
  readonly next: NextStep;
}

export type NextStep =
  | { readonly type: "prompt" }
  /** The conversation ends with a message without an answer. */
  | { readonly type: "answer" }
  | { readonly type: "leave" }
  | { readonly type: "save"; readonly file: string; readonly overwrites: boolean }
  | { readonly type: "load"; readonly file: string };

/** Returns true for a line that is a command and not a message. A space before the slash makes it a message. */
export const isCommand = (line: string): boolean => line.startsWith("/") && !line.includes("\n");

/** Runs a command. A mistake in it is told in `say`, and changes nothing. */
export function runCommand(line: string, chat: Chat, facts: ChatFacts): CommandResult {
  const [, name = "", argument = ""] = /^\/(\S*)\s*([^]*?)\s*$/.exec(line) ?? [];
  const command = COMMANDS.find((each) => each.names.includes(name));
  if (command === undefined) {
    const names = COMMANDS.flatMap((each) => each.names).filter((each) => /^\w+$/.test(each));
    const nearest = nearestName(name, names, 2);
    const hint = nearest === null ? "/help lists the commands." : `Did you mean /${nearest}?`;
    return told(chat, `/${name} is not a command. ${hint} A line that begins with a space is a message.`);
  }
  if (argument !== "" && !command.usage.includes(" ")) return told(chat, `/${name} takes nothing after it.`);
  try {
    return command.run(argument, chat, facts, name);
  } catch (error) {
    if (!(error instanceof ApiError || error instanceof EngineError)) throw error;
    return told(chat, error.message);
  }
}

/** Converts command-line options, which the engine has checked, to settings. */
export function settingsOf(options: GenerationOptions): Settings {
  const given = PARAMETER_NAMES.filter((name) => isSettable(name) && (options[name] ?? null) !== null);
  return Object.fromEntries(
    given.map((name) => {
      const value = options[name];
      return [PARAMETERS[name].wire, value instanceof Map ? Object.fromEntries(value) : value];
    }),
  );
}

/** Options of the next answer. */
export function answerOptions({ settings }: Chat): Omit<ChatOptions, "messages"> {
  return { ...checked(settings).options, separateReasoning: true };
}

/** Writes a chat as a request body. */
export function savedChat({ messages, settings }: Chat, { model }: ChatFacts): string {
  return `${jsonText({ model, messages, ...settings }, 2)}\n`;
}

/**
 * Reads a saved chat.
 * @throws EngineError that names the file and the fault
 */
export function loadedChat(bytes: Uint8Array, file: string, chat: Chat, facts: ChatFacts): CommandResult {
  const refuse = (fault: string): never => {
    throw new EngineError("invalid_type", `${file} ${fault}`);
  };
  try {
    const body = parseJson(bytes);
    if (!isObject(body)) return refuse("is not a saved chat: it must have an object with messages.");
    const { model = facts.model, messages, ...settings } = body;
    const unusable = Object.keys(settings).find((name) => !SETTABLE.includes(name));
    const request = parseChatRequest({ ...settings, model, messages }, "openai");
    if (unusable !== undefined) return refuse(`has ${unusable}, which a chat cannot use.`);
    const other = request.model === facts.model ? "" : ` They were saved with the model ${request.model}.`;
    return {
      chat: { ...chat, messages: request.messages, settings: withoutNull(settings), numLeftOut: 0 },
      say: `Loaded ${numMessages(request)} from ${file}, in place of ${numMessages(chat)} here.${other}`,
      next: PROMPT,
    };
  } catch (error) {
    if (error instanceof ApiError && error.code === "invalid_json")
      return refuse(error.message.replace(/^The body /, ""));
    if (error instanceof ApiError) return refuse(`is not a saved chat: ${error.message}`);
    throw error;
  }
}

interface ChatCommand {
  /** The first one is shown. */
  readonly names: readonly string[];
  /** Name and arguments, for the help. */
  readonly usage: string;
  readonly help: string;
  run(argument: string, chat: Chat, facts: ChatFacts, name: string): CommandResult;
}

const COMMANDS: readonly ChatCommand[] = [
  { names: ["help", "?"], usage: "/help", help: "this list", run: (_, chat) => told(chat, help()) },
  {
    names: ["clear"],
    usage: "/clear",
    help: "forget the conversation",
    run: (_, chat) => {
      const kept = systemMessages(chat);
      const forgot = `Forgot ${counted(chat.messages.length - kept.length, "message")}.`;
      return told(
        { ...chat, messages: kept, numLeftOut: 0 },
        kept.length === 0 ? forgot : `${forgot} The system message stays.`,
      );
    },
  },
  {
    names: ["system"],
    usage: "/system [TEXT]",
    help: 'the system message; "" for none',
    run: (text, chat) => {
      const [first] = systemMessages(chat);
      if (text === "") return told(chat, first === undefined ? "There is no system message." : textOf(first));
      const rest = chat.messages.slice(systemMessages(chat).length);
      const isNone = text === '""';
      const messages = isNone ? rest : [{ role: "system", content: text } as const, ...rest];
      return told({ ...chat, messages }, isNone ? "The system message is removed." : "The system message is set.");
    },
  },
  { names: ["set"], usage: "/set [NAME VALUE]", help: "set a parameter; null unsets it", run: set },
  {
    names: ["seed"],
    usage: "/seed [NUMBER]",
    help: "set the seed; null draws one",
    run: (text, chat) => {
      if (text !== "") return set(`seed ${text}`, chat);
      const { seed = null } = chat.settings;
      if (seed !== null) return told(chat, `The seed is ${String(seed)}.`);
      const last = chat.lastSeed === null ? "" : ` That of the last answer was ${chat.lastSeed}.`;
      return told(chat, `Each answer draws a seed.${last}`);
    },
  },
  {
    names: ["think"],
    usage: "/think [on|off|show|hide]",
    help: "let the model reason; show it",
    run: think,
  },
  {
    names: ["regenerate"],
    usage: "/regenerate",
    help: "answer the last message again",
    run: (_, chat) => {
      const lastAsked = chat.messages.findLastIndex(({ role }) => role === "user");
      if (lastAsked < 0) return told(chat, "There is no message to answer.");
      const { seed = null } = chat.settings;
      const say = seed === null ? "" : `The seed is still ${String(seed)}; /seed null draws another one.`;
      return { chat: { ...chat, messages: chat.messages.slice(0, lastAsked + 1) }, say, next: { type: "answer" } };
    },
  },
  {
    names: ["save", "save!"],
    usage: "/save[!] FILE",
    help: "write the chat; ! overwrites",
    run: (file, chat, _, name) => {
      if (file === "") return told(chat, "/save needs the name of a file.");
      if (chat.messages.length === 0) return told(chat, "There is no message to save.");
      return { chat, say: "", next: { type: "save", file, overwrites: name === "save!" } };
    },
  },
  {
    names: ["load"],
    usage: "/load FILE",
    help: "continue a saved chat",
    run: (file, chat) =>
      file === "" ? told(chat, "/load needs the name of a file.") : { chat, say: "", next: { type: "load", file } },
  },
  {
    names: ["bye", "exit", "quit"],
    usage: "/bye",
    help: "leave, as Ctrl-D does",
    run: (_, chat) => ({ chat, say: "", next: { type: "leave" } }),
  },
];

function help(): string {
  const width = Math.max(...COMMANDS.map(({ usage }) => usage.length));
  const rows = COMMANDS.map(({ usage, help }) => `${usage.padEnd(width)}  ${help}`);
  return [...rows, "", '""" begins and ends a message of several lines.', "Ctrl-C stops an answer."].join("\n");
}

function set(argument: string, chat: Chat): CommandResult {
  if (argument === "") {
    const given = Object.entries(chat.settings).map(([name, value]) => `${name} ${jsonText(value)}`);
    return told(chat, [...given, `Parameters: ${SETTABLE.join(", ")}.`].join("\n"));
  }
  const [, name = "", text = ""] = /^(\S+)\s*([^]*)$/.exec(argument) ?? [];
  if (!SETTABLE.includes(name)) {
    const nearest = nearestName(name.replaceAll("-", "_"), SETTABLE, 2);
    const hint = nearest === null ? "/set lists them." : `The nearest one is ${nearest}.`;
    return told(chat, `${name} is not a parameter of a chat. ${hint}`);
  }
  if (text === "")
    return told(chat, `${name} is ${name in chat.settings ? jsonText(chat.settings[name]) : "not set"}.`);
  const settings = withoutNull({ ...chat.settings, [name]: valueOf(name, text) });
  checked(settings);
  return told(
    { ...chat, settings },
    name in settings ? `${name} is ${jsonText(settings[name])}.` : `${name} is not set.`,
  );
}

/** Reads JSON, as the field of a request; any other text is a string. */
function valueOf(name: string, text: string): unknown {
  try {
    const body = parseJson(new TextEncoder().encode(`{${JSON.stringify(name)}:${text}\n}`)) as JsonObject;
    return Object.keys(body).length === 1 ? body[name] : text;
  } catch (error) {
    if (error instanceof ApiError) return text;
    throw error;
  }
}

function think(how: string, chat: Chat, { canSwitchThinking }: ChatFacts): CommandResult {
  const { chat_template_kwargs: variables, ...others } = chat.settings;
  const isHidden = (hidesReasoning: boolean): CommandResult =>
    told({ ...chat, hidesReasoning }, `Reasoning is ${hidesReasoning ? "hidden" : "shown"}.`);
  switch (how) {
    case "show":
      return isHidden(false);
    case "hide":
      return isHidden(true);
    case "on":
    case "off": {
      if (!canSwitchThinking)
        return told(chat, "The chat template of this model has no enable_thinking. /think hide hides the reasoning.");
      const enabled = { ...(isObject(variables) ? variables : {}), enable_thinking: how === "on" };
      return told({ ...chat, settings: { ...others, chat_template_kwargs: enabled } }, `Thinking is ${how}.`);
    }
    case "":
      return isHidden(chat.hidesReasoning);
    default:
      return told(chat, "/think takes on, off, show or hide.");
  }
}

/** Checks settings by the rules of the API. @throws ApiError */
function checked(settings: Settings) {
  return parseChatRequest({ ...settings, model: "-", messages: [{ role: "user", content: "-" }] }, "openai");
}

/** Parameters that act on a chat: its text has no log-probabilities, and its reasoning is always separate. */
const isSettable = (name: ParameterName): boolean =>
  name !== "logprobs" && name !== "topLogprobs" && name !== "separateReasoning";

const SETTABLE: readonly string[] = [
  ...PARAMETER_NAMES.filter(isSettable).map((name) => PARAMETERS[name].wire),
  "response_format",
  "reasoning_effort",
  "chat_template_kwargs",
];

const textOf = ({ content }: ChatMessage): string => (typeof content === "string" ? content : JSON.stringify(content));

const withoutNull = (settings: Settings): Settings =>
  Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== null));

const numMessages = ({ messages }: Pick<Chat, "messages">): string => counted(messages.length, "message");

const PROMPT: NextStep = { type: "prompt" };

const told = (chat: Chat, say: string): CommandResult => ({ chat, say, next: PROMPT });
