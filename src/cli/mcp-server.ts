/**
 * Client of one MCP server (Model Context Protocol), with the official SDK, an optional package that is loaded only for
 * `--mcp`. A server is a command that speaks on stdin and stdout, or a URL of streamable HTTP. Every wait is bounded, so
 * a server that hangs or crashes costs a call, not the chat.
 */

import { EngineError } from "../../engine/errors.js";
import type { JsonObject } from "../../engine/json.js";
import { ShellCommand } from "./shell-command.js";

/** A tool as the server describes it. */
export interface McpTool {
  readonly name: string;
  readonly description: string | null;
  /** JSON schema of the arguments. */
  readonly parameters: JsonObject;
}

export interface McpServer {
  /** As the server calls itself. */
  readonly name: string;
  readonly tools: readonly McpTool[];
  /**
   * Runs a tool.
   * @returns the text parts of the result, one after the other; `Error: ` and the text if the server reports an error
   * @throws Error if there is no result; the signal's reason if it was aborted
   */
  call(name: string, args: JsonObject, signal: AbortSignal): Promise<string>;
  /** Disconnects, and ends the server if it is a command. */
  close(): Promise<void>;
}

/** Longest waits for a server, in ms. */
export interface McpWaits {
  /** For each answer until the tools are known. A command may download its server first. */
  readonly startMs: number;
  /** For the result of a call, or for a sign of its progress. */
  readonly callMs: number;
  /** For the end of a server: before it is terminated, before it is killed, and after that. */
  readonly endMs: number;
}

const WAITS: McpWaits = { startMs: 60_000, callMs: 300_000, endMs: 2000 };

/**
 * Connects a server and lists its tools.
 *
 * @param address URL, or a command for the shell
 * @throws EngineError if the SDK is missing, or if the server cannot be used
 */
export async function connectMcp(address: string, waits: McpWaits = WAITS): Promise<McpServer> {
  const sdk = await loadSdk();
  const client = new sdk.Client({ name: "touchstone", version: "1" });
  const link = /^https?:\/\//i.test(address) ? httpLink(sdk, address, waits) : commandLink(sdk, address, waits);
  const close = async (): Promise<void> => {
    await link.end();
    await client.close();
  };
  try {
    await client.connect(link.transport, { timeout: waits.startMs });
    const tools = await listedTools(client, waits);
    const name = client.getServerVersion()?.name ?? address;
    return { name, tools, close, call: (tool, args, signal) => resultOf(client, link, tool, args, signal, waits) };
  } catch (error) {
    const reason = link.reason(error, waits.startMs);
    await close();
    throw new EngineError("unsupported_value", `The MCP server ${address} cannot be used: ${reason}`, null, {
      cause: error,
    });
  }
}

async function loadSdk() {
  try {
    const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const { StdioServerTransport } = await import("@modelcontextprotocol/sdk/server/stdio.js");
    return { Client, StreamableHTTPClientTransport, StdioServerTransport };
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw cause;
    const hint = "Install it where touchstone is installed: npm install @modelcontextprotocol/sdk@1";
    throw new EngineError("missing_dependency", `--mcp needs the package @modelcontextprotocol/sdk. ${hint}`, null, {
      cause,
    });
  }
}

type Sdk = Awaited<ReturnType<typeof loadSdk>>;
type Client = InstanceType<Sdk["Client"]>;

/** The way to a server. */
interface Link {
  readonly transport: Parameters<Client["connect"]>[0];
  /** Says why a request has failed. @param waitedMs its longest wait */
  reason(error: unknown, waitedMs: number): string;
  /** Ends the session, and the server if it is a command. */
  end(): Promise<void>;
}

function httpLink(sdk: Sdk, address: string, { endMs }: McpWaits): Link {
  if (!URL.canParse(address)) throw new EngineError("unsupported_value", `--mcp ${address} is not a URL.`);
  const transport = new sdk.StreamableHTTPClientTransport(new URL(address));
  return {
    // The SDK's class does not have the exact optional properties of its interface.
    transport: transport as Link["transport"],
    reason: messageOf,
    end: async () => {
      // A server that is gone has no session to end.
      await within(
        endMs,
        transport.terminateSession().catch(() => {}),
      );
    },
  };
}

function commandLink(sdk: Sdk, command: string, { endMs }: McpWaits): Link {
  const server = new ShellCommand(command);
  // The SDK's transport of a server fits both ends: it reads the one stream and writes the other. That of a client would
  // start the process itself, in the group of the terminal, where the Ctrl-C that stops an answer would end it.
  const transport = new sdk.StdioServerTransport(server.stdout, server.stdin);
  let failure: string | null = null;
  void server.ended.then((how) => {
    failure = how ?? "The command has ended.";
    return transport.close();
  });
  return {
    transport,
    reason: (error, waitedMs) => failure ?? messageOf(error, waitedMs),
    end: async () => {
      server.stdin.end();
      for (const signal of ["SIGTERM", "SIGKILL"] as const) {
        await within(endMs, server.ended);
        server.kill(signal);
      }
      await within(endMs, server.ended);
      server.abandon();
    },
  };
}

async function listedTools(client: Client, { startMs }: McpWaits): Promise<McpTool[]> {
  if (client.getServerCapabilities()?.tools === undefined) throw new Error("It has no tools.");
  const tools: McpTool[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.listTools(cursor === undefined ? {} : { cursor }, { timeout: startMs });
    for (const { name, description = null, inputSchema } of page.tools)
      tools.push({ name, description, parameters: inputSchema });
    cursor = page.nextCursor;
  } while (cursor !== undefined && tools.length <= MAX_LISTED_TOOLS);
  return tools;
}

async function resultOf(
  client: Client,
  link: Link,
  name: string,
  args: JsonObject,
  signal: AbortSignal,
  { callMs }: McpWaits,
): Promise<string> {
  try {
    // The SDK never removes its listener from the signal, so each call has its own.
    const ofCall = AbortSignal.any([signal]);
    const options = { signal: ofCall, timeout: callMs, onprogress: () => {}, resetTimeoutOnProgress: true };
    const result = await client.callTool({ name, arguments: args }, undefined, options);
    const parts = result.content as readonly { readonly type: string; readonly text?: unknown }[];
    const texts = parts.map(({ type, text }) => (type === "text" ? String(text) : `[${type} left out]`));
    if (texts.length === 0 && result.structuredContent !== undefined)
      texts.push(JSON.stringify(result.structuredContent));
    return `${result.isError === true ? "Error: " : ""}${texts.join("\n")}`;
  } catch (cause) {
    signal.throwIfAborted();
    throw new Error(link.reason(cause, callMs), { cause });
  }
}

/** Waits until work is done, but no longer than a time. */
async function within(limitMs: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([work, new Promise((resolve) => (timer = setTimeout(resolve, limitMs)))]);
  clearTimeout(timer);
}

function messageOf(error: unknown, waitedMs: number): string {
  if (!(error instanceof Error)) return String(error);
  if ("code" in error && error.code === TIMED_OUT) return `It has not answered for ${waitedMs / 1000} s.`;
  const message = error.message.replace(/^MCP error -?\d+: /, "");
  return error.cause instanceof Error ? `${message} (${error.cause.message})` : message;
}

/** Code of the SDK's errors for a request without an answer. */
const TIMED_OUT = -32001;
/** No request may have so many. */
const MAX_LISTED_TOOLS = 1000;
