/**
 * The tools of a chat: those of a file, whose calls the person answers or a command runs, and those of MCP servers
 * (mcp-server.ts). Commands and servers run a call only after the person has agreed.
 */

import { readFile } from "node:fs/promises";

import { InvalidArgumentError, Option, type Command } from "commander";

import { EngineError, fileSystemCode, quoted, shortened } from "../../engine/errors.js";
import type { ChatMessage, Tool, ToolCall } from "../../engine/index.js";
import { isObject, JsonError, parseJson, type JsonObject } from "../../engine/json.js";
import { errorResult, unlessAborted } from "../../engine/model/index.js";
import type { McpServer } from "./mcp-server.js";
import { collect } from "./request-options.js";
import { outputOf } from "./shell-command.js";
import { counted, printRemark } from "./terminal.js";

/** Asks the person for a line. @throws if the person stops the answer, or if there is no more input */
export type Ask = (question: string) => Promise<string>;

/** Parsed options of `addToolOptions`. */
export interface ToolFlags {
  tools?: string;
  tool?: ToolCommand[];
  mcp?: string[];
  yes?: boolean;
}

interface ToolCommand {
  readonly name: string;
  readonly command: string;
}

export function addToolOptions(command: Command): Command {
  return command
    .option("--tools <file>", "tools that the model may call, as JSON in the form of the API; you give the results")
    .addOption(
      new Option(
        "--tool <name=command>",
        "run a command for calls of a tool of --tools: it reads the arguments as JSON and writes the result; repeatable",
      ).argParser(toolCommand),
    )
    .addOption(
      new Option(
        "--mcp <server>",
        "offer the tools of an MCP server: the command that starts it, or its URL; repeatable",
      ).argParser(collect),
    )
    .option("--yes", "run commands and MCP servers for calls without asking");
}

function toolCommand(text: string, earlier: ToolCommand[] | undefined): ToolCommand[] {
  const [, name, command] = /^([^=]+)=(.*\S.*)$/s.exec(text) ?? [];
  if (name === undefined) throw new InvalidArgumentError("It must look like name=command.");
  return [...(earlier ?? []), { name, command: command! }];
}

/**
 * Reads the file of tools and connects MCP servers.
 * @returns null if the chat has no tools
 * @throws EngineError for flags, a file or a server that cannot be used
 */
export async function openTools(flags: ToolFlags): Promise<ChatTools | null> {
  const { tools: file, tool: commands = [], mcp: addresses = [], yes = false } = flags;
  if (file === undefined && commands.length > 0)
    throw unusable("--tool needs --tools, the file that describes the tool.");
  if (yes && commands.length === 0 && addresses.length === 0)
    throw unusable("--yes needs --tool or --mcp: nothing else is asked.");
  if (file === undefined && addresses.length === 0) return null;
  const ofFile = file === undefined ? [] : await toolsOfFile(file);
  checkCommands(commands, ofFile, file ?? "");
  const runsPrograms = commands.length > 0 || addresses.length > 0;
  if (runsPrograms && !yes && !(process.stdin.isTTY && process.stderr.isTTY))
    throw unusable("--tool and --mcp ask at a terminal before they run a call, and there is none here: --yes agrees.");
  const servers = await connected(addresses);
  const offered = [
    ...ofFile.map((tool) => ({ tool, run: commandOf(tool.function.name, commands) })),
    ...toolsOfServers(servers, new Set(ofFile.map((tool) => tool.function.name))),
  ];
  return new ChatTools(offered, servers, !yes);
}

/** A tool, and the program that runs its calls; null if the person gives their results. */
interface ChatTool {
  readonly tool: Tool;
  readonly run: Program | null;
}

interface Program {
  /** Asks for the person's consent. */
  readonly question: string;
  /** @throws Error whose message the model reads */
  result(call: ToolCall, signal: AbortSignal): Promise<string>;
}

export class ChatTools {
  readonly offered: readonly Tool[];
  readonly #byName: ReadonlyMap<string, ChatTool>;
  readonly #servers: readonly McpServer[];
  readonly #needsConsent: boolean;

  constructor(tools: readonly ChatTool[], servers: readonly McpServer[], needsConsent: boolean) {
    this.offered = tools.map(({ tool }) => tool);
    this.#byName = new Map(tools.map((tool) => [tool.tool.function.name, tool]));
    this.#servers = servers;
    this.#needsConsent = needsConsent;
  }

  /** Describes the tools in one line. */
  get description(): string {
    return `${counted(this.offered.length, "tool")}: ${this.offered.map((tool) => tool.function.name).join(", ")}.`;
  }

  /**
   * Shows a call and returns its result, from the person or a program.
   * @throws what `ask` throws; the signal's reason if it was aborted
   */
  async result(call: ToolCall, ask: Ask, signal: AbortSignal): Promise<ChatMessage> {
    printRemark(`${call.name}(${call.arguments})`);
    const { run } = this.#byName.get(call.name)!;
    const content =
      run === null
        ? await unlessAborted(signal, () => ask(`Result of ${call.name}: `))
        : await this.#programResult(run, call, ask, signal);
    return { role: "tool", tool_call_id: call.id, content };
  }

  async #programResult(program: Program, call: ToolCall, ask: Ask, signal: AbortSignal): Promise<string> {
    if (this.#needsConsent && !(await unlessAborted(signal, () => agrees(program.question, ask))))
      return "Error: The user does not allow this call.";
    const result = await unlessAborted(signal, () => program.result(call, signal).catch(errorResult));
    printRemark(`Result of ${call.name}: ${shortened(result)}`);
    return result;
  }

  /** Puts the name of a tool before an error about its schema, which tells only a place inside it. */
  explained(error: unknown): unknown {
    const index = error instanceof EngineError ? /^tools\[(\d+)\]/.exec(error.param ?? "")?.[1] : undefined;
    if (index === undefined) return error;
    const { code, message } = error as EngineError;
    const { name } = this.offered[Number(index)]!.function;
    return new EngineError(code, `The tool ${name}: ${message}`, null, { cause: error });
  }

  async close(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.close()));
  }
}

async function agrees(question: string, ask: Ask): Promise<boolean> {
  for (;;) {
    const answer = (await ask(`${question} (y/n) `)).trim().toLowerCase();
    if (answer === "y" || answer === "yes") return true;
    if (answer === "n" || answer === "no") return false;
  }
}

async function toolsOfFile(file: string): Promise<readonly Tool[]> {
  const value = await jsonOfFile(file);
  const tools = isObject(value) ? toolsField(value, file) : value;
  if (!Array.isArray(tools)) throw unusable(`${file} must contain an array of tools, or an object with tools.`);
  if (tools.length === 0) throw unusable(`${file} contains no tool.`);
  // Imported here, so that a chat without tools starts sooner without the schemas of the API.
  const { ApiError, parseChatRequest } = await import("../openai/index.js");
  try {
    const { options } = parseChatRequest(
      { model: "-", messages: [{ role: "user", content: "-" }], tools, tool_choice: "auto" },
      "openai",
    );
    return options.tools!;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    throw unusable(`${file}: ${error.message}`);
  }
}

function toolsField(object: JsonObject, file: string): unknown {
  const { tools, ...others } = object;
  const [other] = Object.keys(others);
  if (other !== undefined) throw unusable(`${file} has the field ${quoted(other)}; only tools is allowed.`);
  return tools;
}

async function jsonOfFile(file: string): Promise<unknown> {
  try {
    return parseJson(await readFile(file));
  } catch (error) {
    if (error instanceof JsonError) throw unusable(`${file} is not JSON: ${error.message}`);
    const code = fileSystemCode(error);
    if (code === null) throw error;
    throw new EngineError("input_unavailable", `${file} cannot be read (${code}).`);
  }
}

/** Refuses commands for unknown tools, and two for one tool. */
function checkCommands(commands: readonly ToolCommand[], tools: readonly Tool[], file: string): void {
  const known = tools.map((tool) => tool.function.name);
  const seen = new Set<string>();
  for (const { name } of commands) {
    if (!known.includes(name))
      throw unusable(`--tool names ${quoted(name)}, and ${file} has only ${known.slice(0, MAX_LISTED).join(", ")}.`);
    if (seen.has(name)) throw unusable(`--tool names ${quoted(name)} twice; a tool has one command.`);
    seen.add(name);
  }
}

function commandOf(name: string, commands: readonly ToolCommand[]): Program | null {
  const found = commands.find((command) => command.name === name);
  if (found === undefined) return null;
  return {
    question: `Run ${found.command}?`,
    result: (call, signal) => outputOf(found.command, call.arguments, signal),
  };
}

/** Connects servers at the same time. If one cannot be used, none stays connected. */
async function connected(addresses: readonly string[]): Promise<readonly McpServer[]> {
  if (addresses.length === 0) return [];
  const { connectMcp } = await import("./mcp-server.js");
  const outcomes = await Promise.allSettled(addresses.map((address) => connectMcp(address)));
  const servers = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  const failed = outcomes.find((outcome) => outcome.status === "rejected");
  if (failed === undefined) return servers;
  await Promise.all(servers.map((server) => server.close()));
  throw failed.reason;
}

/**
 * Offers the tools of servers under names that the API allows. Where two tools would have one name, that of the server
 * is put before it, and a number after it if that is not enough.
 *
 * @param taken names of other tools
 */
export function toolsOfServers(servers: readonly McpServer[], taken: ReadonlySet<string>): ChatTool[] {
  const all = servers.flatMap((server) => server.tools.map((tool) => ({ server, tool, name: validName(tool.name) })));
  const numOf = (wanted: string): number => all.filter(({ name }) => name === wanted).length;
  const used = new Set(taken);
  return all.map(({ server, tool, name }) => {
    const isShared = taken.has(name) || numOf(name) > 1;
    const unique = unusedName(isShared ? validName(`${server.name}_${name}`) : name, used);
    used.add(unique);
    return {
      tool: {
        type: "function",
        function: { name: unique, description: tool.description, parameters: tool.parameters },
      },
      run: {
        question: `Let the MCP server ${shortened(server.name)} run it?`,
        result: (call, signal) => server.call(tool.name, JSON.parse(call.arguments) as JsonObject, signal),
      },
    };
  });
}

const validName = (name: string): string => name.replaceAll(/[^A-Za-z0-9_-]/g, "_").slice(0, MAX_NAME_CHARS) || "_";

function unusedName(name: string, used: ReadonlySet<string>): string {
  for (let number = 1; ; number++) {
    const end = number === 1 ? "" : `_${number}`;
    const candidate = name.slice(0, MAX_NAME_CHARS - end.length) + end;
    if (!used.has(candidate)) return candidate;
  }
}

const MAX_NAME_CHARS = 64;

const unusable = (message: string): EngineError => new EngineError("unsupported_value", message);

const MAX_LISTED = 20;
