/**
 * `touchstone serve`: the HTTP server. Logs go to stderr, as JSON lines unless it is a terminal; stdout gets one line
 * when the models are loaded, and on a terminal a command to try. After SIGTERM or SIGINT, running answers may finish; a
 * second signal ends the process immediately. Nothing waits for a reader of stderr or stdout.
 */

import { existsSync } from "node:fs";
import { basename, resolve } from "node:path";

import { Command, InvalidArgumentError, Option } from "commander";
import type { Logger } from "pino";

import { EngineError, type LogprobsMode } from "../../engine/index.js";
import { LIMITS } from "../../engine/limits.js";
import { EMBEDDED_MODEL, hubReference } from "../../engine/store/index.js";
import { DIALECT_NAMES, type Dialect } from "../openai/dialects.js";
import type { LoadingCallbacks } from "../server/index.js";
import { print, printLine, visibleLine } from "../../spec-tests/conform/terminal.js";
import { readableLogLine } from "./log-line.js";
import { LogOutput } from "./log-output.js";
import {
  addMachineOptions,
  collect,
  dateOption,
  modelOptions,
  positiveInteger,
  type ModelFlags,
} from "./request-options.js";
import { columnsOfTerminal, LoadingDisplay, printRemark } from "./terminal.js";
import { wrapped } from "./word-wrap.js";

interface ModelSource {
  readonly id: string;
  readonly model: string;
}

interface ServeFlags extends Omit<ModelFlags, "model"> {
  model?: string[];
  alias?: Map<string, string>;
  host: string;
  port: number;
  apiKey?: string[];
  allowedHost?: string[];
  insecure?: boolean;
  dialect?: Dialect;
  date?: string;
  maxConcurrency: number;
  maxQueue: number;
  maxBody: number;
  corsOrigin?: string[];
  logprobs: LogprobsMode;
  logLevel: string;
  logContent?: boolean;
  grace: number;
}

export function serveCommand(): Command {
  const command = new Command("serve")
    .description("serve the chat-completions API over HTTP")
    .option(
      "--model <[name=]model>",
      "a Hugging Face folder, a pack (made by convert), a folder of ONNX files, or a model on the Hugging Face Hub (org/name[@revision]); repeatable, the first is the default model (default: the embedded model, tiny)",
      collect,
    )
    .option("--alias <name=model>", "another name for a model; repeatable", alias);
  return addMachineOptions(command)
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--port <number>", "port to listen on; 0 for any free port", port, 8000)
    .option(
      "--api-key <key>",
      "key that requests must carry; repeatable; also TOUCHSTONE_API_KEYS, separated by commas",
      collect,
    )
    .option(
      "--allowed-host <name>",
      "also answer requests to this host name without a key, such as the name of a proxy; repeatable (default: names of this machine, and IP addresses with --insecure)",
      collect,
    )
    .option("--insecure", "allow other machines to use the server without a key")
    .addOption(
      new Option(
        "--dialect <name>",
        "request format of all paths (default: openai under /v1, ppio under /v3/openai and /openai/v1)",
      ).choices(DIALECT_NAMES),
    )
    .addOption(dateOption())
    .option(
      "--max-concurrency <count>",
      "maximum number of choices per model generated at the same time",
      concurrency,
      LIMITS.runningSequencesDefault,
    )
    .option(
      "--max-queue <count>",
      "maximum number of waiting requests per model; more are refused with 429",
      count,
      128,
    )
    .option("--max-body <bytes>", "maximum size of a request body, such as 8388608 or 8MiB", byteLength, 8 << 20)
    .option(
      "--cors-origin <origin>",
      "allow web pages of this origin (or * for all) to call the server; repeatable",
      collect,
    )
    .addOption(
      new Option(
        "--logprobs <which>",
        "log-probabilities to report: of the model (raw), or after sampling filters (processed)",
      )
        .choices(["raw", "processed"])
        .default("raw"),
    )
    .addOption(
      new Option("--log-level <level>", "minimum level of log lines")
        .choices(["trace", "debug", "info", "warn", "error", "fatal", "silent"])
        .default("info"),
    )
    .option("--log-content", "log the text of messages and answers")
    .option(
      "--grace <seconds>",
      "time for running answers to finish after SIGTERM, and for requests to wait while a model loads",
      grace,
      30,
    )
    .action(serve);
}

async function serve(flags: ServeFlags): Promise<void> {
  if (process.stderr.isTTY) printRemark(`Loading ${sourcesOf(flags).map(described).join(", ")}`);
  // Imported here, so that the other commands start a tenth of a second faster.
  const { pino } = await import("pino");
  const output = new LogOutput((numDropped) =>
    log.warn({ numDropped }, "log lines were dropped, because stderr could not be written in time"),
  );
  const lines = process.stderr.isTTY
    ? { write: (line: string) => output.write(readableLogLine(line, columnsOfTerminal(process.stderr))) }
    : output;
  const log = pino({ level: flags.logLevel, base: null }, lines);
  try {
    await runServer(flags, log, () => output.numDropped);
  } finally {
    await output.flush(LAST_LINES_MS);
    // Text that nobody reads, on stdout or stderr, would keep the process alive.
    setTimeout(() => process.exit(), LAST_LINES_MS).unref();
  }
}

async function runServer(flags: ServeFlags, log: Logger, numDroppedLogLines: () => number): Promise<void> {
  const { listen } = await import("../server/index.js");
  const { model: _, maxConcurrency, logprobs: logprobsMode, ...machine } = flags;
  const sources = sourcesOf(flags);
  const options = {
    models: sources.map(({ id, ...source }) => ({
      id,
      ...modelOptions({ ...machine, ...source }),
      maxConcurrency,
      logprobsMode,
    })),
    aliases: Object.fromEntries(flags.alias ?? []),
    host: flags.host,
    port: flags.port,
    apiKeys: apiKeys(flags, log),
    allowedHosts: flags.allowedHost ?? [],
    insecure: flags.insecure === true,
    corsOrigins: flags.corsOrigin ?? [],
    dialect: flags.dialect ?? null,
    date: flags.date ?? null,
    maxQueue: flags.maxQueue,
    maxBodyBytes: flags.maxBody,
    log,
    logContent: flags.logContent === true,
    onLoading: (id: string) => loadingOf(id, log),
  };
  const graceMs = flags.grace * 1000;
  const server = await listen(options, { numDroppedLogLines, holdMs: graceMs });
  try {
    const signal = stopSignal();
    const profiles = await Promise.race([server.loaded, signal]);
    if (typeof profiles === "string") return;
    const served = [...profiles].map(([id, profile]) => `${id} ${profile}`).join(", ");
    announce(`Listening on ${server.url}/v1 (${server.modelNames.join(", ")}; profile: ${served})`, log);
    if (process.stdout.isTTY) print(process.stdout, howToTry(server.url, sources[0]!.id, options.apiKeys.length > 0));
    const end = await Promise.race([signal, server.failed]);
    if (typeof end !== "string") throw end;
    log.info({ url: server.url, signal: end }, "shutting down");
  } finally {
    await server.close(graceMs);
  }
}

/** Time for the last log lines, and then for the last text on stdout and stderr. */
const LAST_LINES_MS = 500;

/** Prints a line on stdout. Other commands end if stdout cannot be written; a server continues. */
function announce(line: string, log: Logger): void {
  process.stdout
    .removeAllListeners("error")
    .on("error", ({ code }: NodeJS.ErrnoException) => log.warn({ code, line }, "stdout cannot be written"));
  if (process.stdout.isTTY) print(process.stdout, `${wrapped(visibleLine(line), columnsOfTerminal(process.stdout))}\n`);
  else printLine(process.stdout, line);
}

const sourcesOf = ({ model = [EMBEDDED_MODEL] }: ServeFlags): ModelSource[] => model.map(modelAndId);

/** Describes a model to load: its id, and where it is from unless that is the same. */
function described({ id, model }: ModelSource): string {
  if (model === id) return id === EMBEDDED_MODEL && !existsSync(id) ? `${id}, the embedded model` : id;
  return `${id} from ${model}`;
}

function howToTry(url: string, model: string, needsKey: boolean): string {
  const body = `{"model": ${JSON.stringify(model)}, "messages": [\n      {"role": "user", "content": "What is 27 + 38?"}]}`;
  return `
Try it, or open ${url} in a browser:

  curl ${url}/v1/chat/completions \\${needsKey ? '\n    -H "authorization: Bearer KEY" \\' : ""}
    -H "content-type: application/json" \\
    -d '${body.replaceAll("'", "'\\''")}'

Ctrl-C stops the server.
`;
}

/**
 * Joins the keys of the command line and the environment.
 *
 * @throws EngineError if TOUCHSTONE_API_KEYS is set without a key, as by an unset variable in a compose file: the server
 *   would be open to everyone
 */
function apiKeys({ apiKey = [] }: ServeFlags, log: Logger): string[] {
  const list = process.env["TOUCHSTONE_API_KEYS"];
  if (list === undefined) {
    if (apiKey.length === 0 && process.env["TOUCHSTONE_API_KEY"] !== undefined)
      log.warn(
        "TOUCHSTONE_API_KEY is for conform; the keys of a server are set with TOUCHSTONE_API_KEYS. It has none.",
      );
    return apiKey;
  }
  const keys = list.split(",").map((key) => key.trim());
  if (keys.includes("")) {
    const fault = /[^\s,]/.test(list) ? "has an empty entry" : "is set, but empty";
    throw new EngineError(
      "out_of_range",
      `TOUCHSTONE_API_KEYS ${fault}. Set it to keys separated by commas, or unset it.`,
      "apiKeys",
    );
  }
  return [...apiKey, ...keys];
}

/** Shows loading as progress bars on a terminal, else as log lines. */
function loadingOf(id: string, log: Logger): LoadingCallbacks {
  const { onProgress, onDownload } = new LoadingDisplay(id, (line) => log.info(line));
  return { onProgress, onDownload, onNotice: (message) => log.warn({ model: id }, message) };
}

/**
 * Parses `--model`: a folder, whose last path component is the id; `org/name[@revision]`, whose id is `org/name`; or
 * `id=` followed by one of these.
 */
function modelAndId(text: string): ModelSource {
  const equals = text.indexOf("=");
  if (equals <= 0 || existsSync(text)) {
    const reference = existsSync(text) ? null : hubReference(text);
    return { id: reference?.repository ?? basename(resolve(text)), model: text };
  }
  return { id: text.slice(0, equals), model: text.slice(equals + 1) };
}

/** Resolves with the first stop signal; a second one has its default effect and ends the process immediately. */
function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const stop = (signal: NodeJS.Signals): void => {
      for (const name of STOP_SIGNALS) process.off(name, stop);
      resolve(signal);
    };
    for (const name of STOP_SIGNALS) process.on(name, stop);
  });
}

const STOP_SIGNALS = ["SIGTERM", "SIGINT"] as const;

function alias(text: string, earlier: Map<string, string> | undefined): Map<string, string> {
  const equals = text.indexOf("=");
  if (equals <= 0 || equals === text.length - 1) throw new InvalidArgumentError("It must look like name=model.");
  return new Map([...(earlier ?? []), [text.slice(0, equals), text.slice(equals + 1)]]);
}

function count(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("It must be an integer of at least 0.");
  return Number(text);
}

function grace(text: string): number {
  const seconds = count(text);
  if (seconds > MAX_GRACE_SECONDS) throw new InvalidArgumentError(`It must be in 0..${MAX_GRACE_SECONDS}.`);
  return seconds;
}

/** A day; timers end at 24. */
const MAX_GRACE_SECONDS = 86_400;

function port(text: string): number {
  const value = count(text);
  if (value > 65535) throw new InvalidArgumentError("It must be in 0..65535.");
  return value;
}

function concurrency(text: string): number {
  const value = positiveInteger(text);
  if (value > LIMITS.maxRunningSequences)
    throw new InvalidArgumentError(`It must be in 1..${LIMITS.maxRunningSequences}.`);
  return value;
}

function byteLength(text: string): number {
  const match = /^([1-9]\d{0,9})(KiB|MiB)?$/.exec(text);
  if (match === null) throw new InvalidArgumentError("It must be a number of bytes, such as 8388608 or 8MiB.");
  return Number(match[1]) * { KiB: 1 << 10, MiB: 1 << 20, "": 1 }[(match[2] as "KiB" | "MiB" | undefined) ?? ""];
}
