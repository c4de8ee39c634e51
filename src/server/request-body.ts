/**
 * Reads a request's body and enforces media type, size and time limit, and a limit for the bodies of all requests
 * together. A body that is too large is still read, and discarded, until the time limit, because a client that is still
 * sending would not see the response.
 */

import type { IncomingMessage, ServerResponse } from "node:http";

import { quoted } from "../../engine/errors.js";
import { ApiError, RETRY_SOON } from "../openai/index.js";

export interface BodyLimits {
  readonly maxBytes: number;
  /** Time limit for the whole body, from the start of reading. */
  readonly timeoutMs: number;
  readonly room: BodyRoom;
}

/** The part of a body that is held in memory. */
interface HeldBody {
  numBytes: number;
  /** Refuses a body that is still arriving. */
  readonly giveWay: () => void;
}

/**
 * Bounds the memory for the bodies of all requests in progress, by the bytes that have arrived. If there is no room for
 * more, the largest body that is still arriving is refused, so that a few slow large ones do not shut out small ones.
 */
export class BodyRoom {
  readonly maxBytes: number;
  readonly #arriving = new Set<HeldBody>();
  #numBytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** @param body a body that is still arriving */
  add(body: HeldBody, numBytes: number): void {
    this.#arriving.add(body);
    body.numBytes += numBytes;
    this.#numBytes += numBytes;
    while (this.#numBytes > this.maxBytes) {
      const largest = [...this.#arriving].reduce((one, other) => (other.numBytes >= one.numBytes ? other : one));
      this.release(largest);
      largest.giveWay();
    }
  }

  /** Notes that a body has arrived: from now on it is held until it is released. */
  arrived(body: HeldBody): void {
    this.#arriving.delete(body);
  }

  /** Has no effect on a body that holds nothing. */
  release(body: HeldBody): void {
    this.#arriving.delete(body);
    this.#numBytes -= body.numBytes;
    body.numBytes = 0;
  }
}

/**
 * @param signal aborts when the request is over or its client has disconnected; until then the body counts as held
 * @throws ApiError unsupported_transfer_encoding, unsupported_media_type, request_too_large, request_timeout or
 *   server_overloaded; the signal's reason
 */
export async function readJsonBody(
  request: IncomingMessage,
  response: ServerResponse,
  limits: BodyLimits,
  signal: AbortSignal,
): Promise<Uint8Array> {
  checkTransferEncoding(request);
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
    // After server_overloaded the rest is discarded, so that the client sees the response when it has sent everything.
    const isOverloaded = error instanceof ApiError && error.code === "server_overloaded";
    if (!request.complete && !isOverloaded) response.setHeader("connection", "close");
    throw error;
  }
}

function collect(
  request: IncomingMessage,
  { maxBytes, timeoutMs, room }: BodyLimits,
  signal: AbortSignal,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const blocks: Buffer[] = [];
    let chunks: Buffer[] = [];
    let numBytes = 0;
    const held: HeldBody = { numBytes: 0, giveWay: () => settle(() => reject(overloaded(room))) };
    const onData = (chunk: Buffer): void => {
      numBytes += chunk.length;
      if (numBytes > maxBytes) {
        blocks.length = chunks.length = 0;
        room.release(held);
        return;
      }
      chunks.push(chunk);
      // A chunk takes more memory than its bytes: small ones, of which a client may send millions, are joined.
      if (chunks.length === MAX_CHUNKS) {
        const joined = concatenated(chunks);
        if (joined === null) return;
        blocks.push(joined);
        chunks = [];
      }
      room.add(held, chunk.length);
    };
    const onEnd = (): void =>
      settle(() => {
        room.arrived(held);
        if (numBytes > maxBytes) return reject(tooLarge(maxBytes, numBytes));
        const body = concatenated([...blocks, ...chunks]);
        if (body !== null) resolve(body);
      });
    // An exception in a listener would end the process; a body for which no memory is left ends only its request.
    const concatenated = (parts: readonly Buffer[]): Buffer | null => {
      try {
        return Buffer.concat(parts);
      } catch (error) {
        settle(() => reject(error));
        return null;
      }
    };
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
    signal.addEventListener("abort", () => room.release(held), { once: true });
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
}

const MAX_CHUNKS = 1024;

/** Node decodes `chunked` only, but accepts other encodings before it. */
function checkTransferEncoding({ headers }: IncomingMessage): void {
  const given = headers["transfer-encoding"];
  const codings = (given ?? "").split(",").map((coding) => coding.trim().toLowerCase());
  if (codings.every((coding) => coding === "" || coding === "chunked")) return;
  throw new ApiError(
    "unsupported_transfer_encoding",
    `Transfer-Encoding is ${quoted(given!)}; the only supported encoding is chunked.`,
  );
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

function overloaded({ maxBytes }: BodyRoom): ApiError {
  return new ApiError(
    "server_overloaded",
    `The bodies of all requests in progress take ${maxBytes} bytes together, which is the limit. Try again later.`,
    null,
    RETRY_SOON,
  );
}

function tooLarge(maxBytes: number, numBytes: number): ApiError {
  return new ApiError("request_too_large", `The body must be at most ${maxBytes} bytes. Given: ${numBytes} or more`);
}
