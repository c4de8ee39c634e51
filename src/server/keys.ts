/** Who may ask: API keys, compared in constant time, and the addresses a server without keys may listen on. */

import { createHash, timingSafeEqual } from "node:crypto";
import { BlockList, isIP } from "node:net";

import { ApiError } from "../openai/index.js";

export class ApiKeys {
  readonly #hashes: readonly Buffer[];

  constructor(keys: readonly string[]) {
    this.#hashes = keys.map((key) => hash(Buffer.from(key)));
  }

  get isEmpty(): boolean {
    return this.#hashes.length === 0;
  }

  /**
   * @param authorization the request's header
   * @throws ApiError invalid_api_key unless it carries one of the keys, or there are none
   */
  check(authorization: string | undefined): void {
    if (this.isEmpty) return;
    const given = /^Bearer +(\S+) *$/i.exec(authorization ?? "")?.[1];
    if (given === undefined) throw refused("An API key is needed: send it as Authorization: Bearer <key>.");
    // Hashes are of one length, and every key is looked at: time tells neither a key's length nor its place.
    // Node reads the bytes of headers as Latin-1.
    const digest = hash(Buffer.from(given, "latin1"));
    const matches = this.#hashes.map((known) => timingSafeEqual(known, digest));
    if (!matches.includes(true)) throw refused("The API key is not one of this server's.");
  }
}

/** Whether only programs on the same machine reach this address. A name other than localhost may be any address. */
export function isLoopback(host: string): boolean {
  if (host === "localhost") return true;
  const family = isIP(host);
  if (family === 0) return false;
  return LOOPBACK.check(host, family === 4 ? "ipv4" : "ipv6");
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

function hash(key: Uint8Array): Buffer {
  return createHash("sha256").update(key).digest();
}

function refused(message: string): ApiError {
  return new ApiError("invalid_api_key", message, null, { headers: { "www-authenticate": "Bearer" } });
}
