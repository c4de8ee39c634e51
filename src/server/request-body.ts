/**
 * Reads a request's body and enforces media type, size and time limit. A body that is too large is still read, and
 * discarded, until the time limit, because a client that is still sending would not see the response.
 */

import type { IncomingMessage, ServerResponse } from "node:http";

import { ApiError } from "../openai/index.js";

export interface BodyLimits {
  readonly maxBytes: number;
  /** Time limit for the whole body, from the start of reading. */
  readonly timeoutMs: number;
}

/**
 * @param signal aborts when the client disconnects
 * @throws ApiError unsupported_media_type, request_too_large or request_timeout; the signal's reason
 */
export async function readJsonBody(
  request: IncomingMessage,
  response: ServerResponse,
  limits: BodyLimits,
  signal: AbortSignal,
): Promise<Uint8Array> {
  checkMediaType(request);
  const { maxBytes } = limits;
  if (request.headers.expect?.toLowerCase() === "100-continue") {
    const declared = Number(request.headers["content-length"] ?? 0);
    if (declared > maxBytes) throw tooLarge(maxBytes, declared);
    response.writeContinue();
  }
  try {
    return await collect(request, limits, signal);
  } catch (error) {
    if (!request.complete) response.setHeader("connection", "close");
    throw error;
  }
}

function collect(
  request: IncomingMessage,
  { maxBytes, timeoutMs }: BodyLimits,
  signal: AbortSignal,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let numBytes = 0;
    const onData = (chunk: Buffer): void => {
      numBytes += chunk.length;
      if (numBytes <= maxBytes) chunks.push(chunk);
      else chunks.length = 0;
    };
    const onEnd = (): void =>
      settle(() => {
        if (numBytes > maxBytes) reject(tooLarge(maxBytes, numBytes));
        else resolve(Buffer.concat(chunks, numBytes));
      });
    const onAbort = (): void => settle(() => reject(signal.reason));
    const timer = setTimeout(() => {
      const isTooLarge = numBytes > maxBytes;
      settle(() =>
        reject(
          isTooLarge
            ? tooLarge(maxBytes, numBytes)
            : new ApiError("request_timeout", `The body did not arrive within ${timeoutMs / 1000} s.`),
        ),
      );
    }, timeoutMs);
    const settle = (outcome: () => void): void => {
      clearTimeout(timer);
      request.off("data", onData).off("end", onEnd);
      signal.removeEventListener("abort", onAbort);
      outcome();
    };
    request.on("data", onData).on("end", onEnd);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
}

function checkMediaType({ headers }: IncomingMessage): void {
  const given = headers["content-type"];
  if (given === undefined) throw wrongMediaType("The request has no Content-Type; it must be application/json.");
  const [type = "", ...parameters] = given.split(";").map((part) => part.trim().toLowerCase());
  const charset = parameters
    .find((parameter) => /^charset\s*=/.test(parameter))
    ?.split("=")[1]!
    .trim()
    .replaceAll('"', "");
  if (type !== "application/json" || (charset !== undefined && charset !== "utf-8" && charset !== "utf8")) {
    throw wrongMediaType(`Content-Type is ${JSON.stringify(given)}; it must be application/json in UTF-8.`);
  }
  const encoding = headers["content-encoding"] ?? "identity";
  if (encoding.toLowerCase() !== "identity") {
    throw wrongMediaType(`Content-Encoding is ${JSON.stringify(encoding)}; encoded bodies are not supported.`);
  }
}

function wrongMediaType(message: string): ApiError {
  return new ApiError("unsupported_media_type", message);
}

function tooLarge(maxBytes: number, numBytes: number): ApiError {
  return new ApiError("request_too_large", `The body must be at most ${maxBytes} bytes. Given: ${numBytes} or more`);
}
