/**
 * Worker thread of request-parser.ts: parses large bodies. The engine's input is returned serialized, so that the
 * server's thread can forward it without processing every value.
 */

import { serialize } from "node:v8";
import { parentPort } from "node:worker_threads";

import { ApiError, type Dialect } from "../openai/index.js";
import { lowerPriority } from "./low-priority.js";
import { parseRequest } from "./parse-request.js";
import type { FromParser, ToParser } from "./request-parser.js";

if (parentPort === null) throw new Error("This file runs as a worker thread only");
const port = parentPort;
lowerPriority();

port.on("message", ({ kind, dialect, body }: ToParser) => {
  const reply = parsed(kind, dialect, body);
  port.postMessage(reply, "request" in reply ? [(reply.request.work as Buffer<ArrayBuffer>).buffer] : []);
});

/** Parses one body. An error other than ApiError is a bug and ends this thread. */
function parsed(kind: ToParser["kind"], dialect: Dialect, body: Uint8Array): FromParser {
  try {
    const request = parseRequest(kind, body, dialect);
    return { request: { ...request, work: serialize(request.work) } };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const { code, message, param } = error;
    return { error: { code, message, param } };
  }
}
