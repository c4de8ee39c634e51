/** Access control: API keys, compared in constant time, and the addresses allowed without keys. */

import { createHash, timingSafeEqual } from "node:crypto";
import { BlockList, isIP } from "node:net";

import { ApiError } from "../openai/index.js";

export class ApiKeys {
  readonly #hashes: readonly Buffer[];

  /** @param keys keys of visible ASCII characters, as createServer checks */
  constructor(keys: readonly string[]) {
    this.#hashes = keys.map(hash);
  }

  get isEmpty(): boolean {
    return this.#hashes.length === 0;
  }

  /**
   * @param authorization the request's `Authorization` header
   * @throws ApiError invalid_api_key unless the header carries a valid key or no keys are configured
   */
  check(authorization: string | undefined): void {
    if (this.isEmpty) return;
    const given = /^Bearer +(\S+) *$/i.exec(authorization ?? "")?.[1];
    if (given === undefined) throw refused("An API key is required: send it as Authorization: Bearer <key>.");
    // Comparing hashes of equal length with every key keeps the timing independent of the key's length and position.
    const digest = hash(given);
    const matches = this.#hashes.map((known) => timingSafeEqual(known, digest));
    if (!matches.includes(true)) throw refused("The API key is not valid for this server.");
  }
}

/** Returns true if only this machine can reach the address. Host names other than localhost may be any address. */
export function isLoopback(host: string): boolean {
  if (host === "localhost") return true;
  const family = isIP(host);
  if (family === 0) return false;
  return LOOPBACK.check(host, family === 4 ? "ipv4" : "ipv6");
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

function hash(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}

function refused(message: string): ApiError {
  return new ApiError("invalid_api_key", message, null, { headers: { "www-authenticate": "Bearer" } });
}
