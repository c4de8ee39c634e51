/**
 * `touchstone serve`: the HTTP server. Logs go to stderr as JSON lines; stdout gets one line when the models
 * answer. SIGTERM and SIGINT let running answers finish; a second one does not wait.
 */

import { existsSync, readFileSync } from "node:fs";
import { basename, resolve } from "node:path";

import { Command, InvalidArgumentError, Option } from "commander";
import type { Logger } from "pino";

import { EMBEDDED_MODEL, EngineError, hubReference, LIMITS, type LogprobsMode } from "../../engine/index.js";
import type { Dialect } from "../openai/index.js";
import type { HostOptions } from "../server/index.js";
import { addMachineOptions, modelOptions, positiveInteger, type ModelFlags } from "./request-options.js";
import { LoadingDisplay } from "./terminal.js";

interface ServeFlags extends Omit<ModelFlags, "model"> {
  model?: string[];
  alias?: Map<string, string>;
  host: string;
  port: number;
  apiKey?: string[];
  insecure?: boolean;
  dialect: Dialect;
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
  const several = (text: string, earlier: string[] | undefined): string[] => [...(earlier ?? []), text];
  const command = new Command("serve")
    .description("answer HTTP requests of the chat-completions API")
    .option(
      "--model <[name=]model>",
      "a Hugging Face folder, a pack, a folder of ONNX files, or a model of the hub (org/name[@revision]); repeatable, the first is the default; the embedded model, tiny, if absent",
      several,
    )
    .option("--alias <name=model>", "another name for a model; repeatable", alias);
  return addMachineOptions(command)
    .option("--host <address>", "where to listen", "127.0.0.1")
    .option("--port <number>", "0 takes any free one", port, 8000)
    .option("--api-key <key>", "requests need it; repeatable; also TOUCHSTONE_API_KEYS, separated by commas", several)
    .option("--insecure", "listen beyond this machine without a key")
    .addOption(
      new Option("--dialect <name>", "whose rules hold where vendors differ")
        .choices(["ppio", "openai"])
        .default("ppio"),
    )
    .option(
      "--max-concurrency <count>",
      "choices of a model that are generated at the same time",
      concurrency,
      LIMITS.runningSequencesDefault,
    )
    .option("--max-queue <count>", "requests to a model that may wait; more are refused with 429", count, 128)
    .option("--max-body <bytes>", "largest request body, such as 8388608 or 8MiB", byteLength, 8 << 20)
    .option("--cors-origin <origin>", "lets web pages of this origin (or *) call the server; repeatable", origin)
    .addOption(
      new Option("--logprobs <which>", "log-probabilities of the model itself, or of the tokens that sampling keeps")
        .choices(["raw", "processed"])
        .default("raw"),
    )
    .addOption(
      new Option("--log-level <level>", "least important lines to log")
        .choices(["trace", "debug", "info", "warn", "error", "fatal", "silent"])
        .default("info"),
    )
    .option("--log-content", "log the text of messages and answers")
    .option("--grace <seconds>", "how long running answers may go on after SIGTERM", count, 30)
    .action(serve);
}

async function serve(flags: ServeFlags): Promise<void> {
  // Not loaded before they are wanted: the other commands start a tenth of a second sooner.
  const { destination, pino } = await import("pino");
  const { EngineHost, isLoopback, ModelRegistry, servedNames, startServer } = await import("../server/index.js");
  const apiKeys = [...(flags.apiKey ?? []), ...(process.env["TOUCHSTONE_API_KEYS"] ?? "").split(",")].filter(
    (key) => key !== "",
  );
  checkFlags(flags, apiKeys, isLoopback(flags.host));
  const log = pino({ level: flags.logLevel, base: null }, destination({ fd: 2, sync: true }));
  const { model: _, maxConcurrency, logprobs: logprobsMode, ...machine } = flags;
  const sources = (flags.model ?? [EMBEDDED_MODEL]).map(modelAndId);
  // What is wrong with the names is said before an engine starts to work.
  servedNames(
    sources.map(({ id }) => id),
    flags.alias,
  );
  const models = sources.map(({ id, ...source }) => ({
    id,
    host: new EngineHost({
      model: { ...modelOptions({ ...machine, ...source }), maxConcurrency, logprobsMode },
      numPlaces: maxConcurrency,
      numWaitingMax: flags.maxQueue,
      log: log.child({ model: id }),
      ...loadingOf(id, log),
    }),
  }));
  const closeHosts = (): Promise<unknown> => Promise.all(models.map(({ host }) => host.close()));
  try {
    const registry = new ModelRegistry(models, flags.alias);
    const server = await startServer({
      host: flags.host,
      port: flags.port,
      models: registry,
      apiKeys,
      corsOrigins: flags.corsOrigin ?? [],
      dialect: flags.dialect,
      maxBodyBytes: flags.maxBody,
      version: programVersion(),
      log,
      logContent: flags.logContent === true,
    }).catch((error: Error) => {
      throw new EngineError(
        "unsupported_value",
        `Cannot listen on ${flags.host}, port ${flags.port}: ${error.message}`,
        "port",
        { cause: error },
      );
    });
    const stopped = stopSignal();
    try {
      const loaded = Promise.all(models.map(({ host }) => host.loaded)).then(() => "loaded" as const);
      if ((await Promise.race([loaded, stopped])) === "loaded") {
        process.stdout.write(`Listening on ${server.url}/v1 (${registry.names().join(", ")})\n`);
        log.info({ url: server.url, signal: await stopped }, "shutting down");
      }
    } finally {
      await server.close(flags.grace * 1000);
    }
  } finally {
    await closeHosts();
  }
}

/** Bars on a terminal, lines of the log elsewhere. */
function loadingOf(id: string, log: Logger): Pick<HostOptions, "onProgress" | "onDownload" | "onNotice"> {
  const { onProgress, onDownload } = new LoadingDisplay(id, (line) => log.info(line));
  return { onProgress, onDownload, onNotice: (message) => log.warn({ model: id }, message) };
}

/** `folder`, whose last part is the id, `org/name`, which is the id whatever the revision, or `id=` one of these. */
function modelAndId(text: string): { id: string; model: string } {
  const equals = text.indexOf("=");
  if (equals <= 0 || existsSync(text)) {
    const reference = existsSync(text) ? null : hubReference(text);
    return { id: reference?.repository ?? basename(resolve(text)), model: text };
  }
  return { id: text.slice(0, equals), model: text.slice(equals + 1) };
}

/** What a browser sends as Origin: no path, and no slash at its end. */
function origin(text: string, earlier: string[] | undefined): string[] {
  if (!/^(\*|null|[a-z][a-z0-9+.-]*:\/\/[^/?#\s]+)$/i.test(text))
    throw new InvalidArgumentError("It must be * or an origin such as https://example.com, without a path.");
  return [...(earlier ?? []), text];
}

function checkFlags({ host, insecure }: ServeFlags, apiKeys: readonly string[], isPrivate: boolean): void {
  if (apiKeys.length === 0 && insecure !== true && !isPrivate) {
    throw new EngineError(
      "unsupported_value",
      `Listening on ${host} lets others reach the server: set an API key, or say --insecure.`,
      "host",
    );
  }
}

/** Resolves with the first signal to stop; the second has its usual effect, and ends the process at once. */
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

function programVersion(): string {
  const manifest = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  return manifest.version;
}

function alias(text: string, earlier: Map<string, string> | undefined): Map<string, string> {
  const equals = text.indexOf("=");
  if (equals <= 0 || equals === text.length - 1) throw new InvalidArgumentError("It must look like name=model.");
  return new Map([...(earlier ?? []), [text.slice(0, equals), text.slice(equals + 1)]]);
}

function count(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("It must be an integer of at least 0.");
  return Number(text);
}

function port(text: string): number {
  const value = count(text);
  if (value > 65535) throw new InvalidArgumentError("It must be in 0..65535.");
  return value;
}

function concurrency(text: string): number {
  const value = positiveInteger(text);
  if (value > LIMITS.runningSequencesMax)
    throw new InvalidArgumentError(`It must be in 1..${LIMITS.runningSequencesMax}.`);
  return value;
}

function byteLength(text: string): number {
  const match = /^([1-9]\d{0,9})(KiB|MiB)?$/.exec(text);
  if (match === null) throw new InvalidArgumentError("It must be a number of bytes, such as 8388608 or 8MiB.");
  return Number(match[1]) * { KiB: 1 << 10, MiB: 1 << 20, "": 1 }[(match[2] as "KiB" | "MiB" | undefined) ?? ""];
}
