/**
 * The process under faults. It starts with `--import hook.js`, runs the commands of subject.ts one at a time, and uses
 * the library as any program does.
 */

import { existsSync, readdirSync, readlinkSync } from "node:fs";

import { EngineError, loadModel } from "../../engine/index.js";
import { convertModel, pullModel } from "../../engine/models.js";
import { createServer, type RunningServer } from "../../src/server/index.js";
import { arm, disarm } from "./injection.js";
import { numLiveWorkers } from "./live-workers.js";
import type { Command, Reply } from "./subject.js";

/** All pages hold 256 positions, so a request without `max_tokens` needs all of them: a lost page is noticed. */
const MODEL = { numThreads: 1, maxConcurrency: 4, profile: "exact", kvCacheBytes: 4 * 196_608 } as const;

let server: RunningServer | null = null;
/** Folder in which Linux lists the open files of this process. */
const DESCRIPTORS = "/proc/self/fd";

process.on("message", (command: Command) => void answer(command));
process.on("disconnect", () => process.exit());

async function answer(command: Command): Promise<void> {
  let reply: Reply;
  try {
    reply = { value: (await run(command)) ?? null };
  } catch (error) {
    reply = { error: described(error) };
  }
  process.send!(reply);
}

function run(command: Command): unknown {
  switch (command.do) {
    case "arm":
      return arm(command.point);
    case "disarm":
      return disarm();
    case "listen":
      return listen();
    case "close":
      return close(command.graceMs);
    case "library":
      return useLibrary();
    case "pull":
      Object.assign(process.env, command.environment);
      return pullModel(command.model).then(({ commit }) => commit);
    case "convert":
      return convertModel(command.model, command.target, { layout: command.layout });
    case "held":
      return { numWorkers: numLiveWorkers(), files: openFiles(command.folder) };
  }
}

async function listen(): Promise<string> {
  server = await createServer({ models: [{ id: "tiny", ...MODEL }], maxQueue: 4 });
  return server.url;
}

async function close(graceMs: number): Promise<void> {
  const closing = server;
  server = null;
  await closing?.close(graceMs);
}

async function useLibrary(): Promise<unknown> {
  const model = await loadModel(null, MODEL);
  try {
    const messages = [{ role: "user" as const, content: "What is 27 + 38?" }];
    const two = await model.chat({ messages, n: 2, seed: 5, maxTokens: 12 }).result();
    const schema = { type: "object", properties: { sum: { type: "integer" } }, required: ["sum"] };
    const responseFormat = { type: "json_schema", schema } as const;
    const json = await model.chat({ messages, seed: 6, maxTokens: 12, responseFormat }).result();
    return [two, json].map(({ choices }) => choices.map(({ content, finishReason }) => ({ content, finishReason })));
  } finally {
    await model.close();
  }
}

function openFiles(folder: string): string[] {
  if (!existsSync(DESCRIPTORS)) return [];
  return readdirSync(DESCRIPTORS)
    .map((name) => {
      try {
        return readlinkSync(`${DESCRIPTORS}/${name}`);
      } catch {
        // The descriptor with which the folder was listed.
        return "";
      }
    })
    .filter((path) => path.startsWith(folder));
}

function described(error: unknown): NonNullable<Reply["error"]> {
  const { name, message, stack = "" } = error instanceof Error ? error : new Error(String(error));
  return { name, message, stack, code: error instanceof EngineError ? error.code : null };
}
