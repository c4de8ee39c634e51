/**
 * The host that a request names, and the hosts that are answered without a key. A web page can let its own name resolve
 * to this machine (DNS rebinding); the browser then treats this server as part of the page, but still sends the name.
 */

import type { IncomingMessage } from "node:http";
import { isIP, isIPv6 } from "node:net";

import { quoted } from "../../engine/errors.js";
import { ApiError } from "../openai/index.js";
import { isLoopback } from "./keys.js";

/**
 * Reads the host of a request (RFC 9112, section 3.2): the one in an absolute request target, else the `Host` header's.
 *
 * @returns the host without its port, in its canonical form; null for a request in HTTP/1.0 that names none
 * @throws ApiError invalid_host
 */
export function requestHost({ url = "", httpVersion, headersDistinct }: IncomingMessage): string | null {
  const fields = headersDistinct["host"] ?? [];
  if (fields.length > 1) throw invalid(`The request has ${fields.length} Host headers. Allowed: one`);
  if (fields.length === 0 && httpVersion === "1.1") throw invalid("A request in HTTP/1.1 must have a Host header.");
  const target = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(url)?.[1];
  const hosts = [...fields, ...(target === undefined ? [] : [target])].map(hostOf);
  return hosts.at(-1) ?? null;
}

/** The hosts that are answered without a key. */
export class AllowedHosts {
  readonly #names: ReadonlySet<string>;
  readonly #allowsAddresses: boolean;

  /**
   * @param listensOn address or name that the server listens on. Unless it is this machine's own (loopback), all
   *   addresses are allowed, because DNS rebinding needs a name.
   * @param names further names, valid ones
   */
  constructor(listensOn: string, names: readonly string[]) {
    this.#names = new Set([listensOn, ...names].map(canonicalHost));
    this.#allowsAddresses = !isLoopback(listensOn);
  }

  /** @throws ApiError host_not_allowed */
  check(host: string | null): void {
    // Browsers do not use HTTP/1.0, the only version in which a request may name no host.
    if (host === null || this.#allows(host)) return;
    const name = quoted(host);
    throw new ApiError(
      "host_not_allowed",
      `Requests to the host ${name} are not answered without an API key, because a web page could send them (DNS rebinding). Start the server with --allowed-host and this name, or with a key.`,
    );
  }

  #allows(host: string): boolean {
    if (this.#names.has(host)) return true;
    // Browsers resolve names under `localhost` to this machine, whatever the DNS says (RFC 6761, section 6.3).
    if (isLoopback(host) || host.endsWith(".localhost")) return true;
    return this.#allowsAddresses && isIP(host) !== 0;
  }
}

/** Returns true for a host name or an IP address, without a port. */
export function isHostName(text: string): boolean {
  return HOST_NAME.test(text) || isIPv6(unbracketed(text));
}

const HOST_NAME = /^[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?\.?$/i;

/** A host of RFC 3986, section 3.2.2, and an optional port. */
const AUTHORITY = /^(\[[0-9a-f:.]+\]|[a-z0-9._~!$&'()*+,;=%-]+)(?::\d*)?$/i;

function hostOf(authority: string): string {
  const host = AUTHORITY.exec(authority)?.[1];
  if (host === undefined || (host.startsWith("[") && !isIPv6(unbracketed(host))))
    throw invalid(`${quoted(authority)} is not a host with an optional port.`);
  return canonicalHost(host);
}

/** Returns a name in lower case without the root's dot, and an IPv6 address without brackets in its shortest form. */
function canonicalHost(host: string): string {
  const address = unbracketed(host);
  if (isIPv6(address)) return unbracketed(new URL(`http://[${address}]`).hostname);
  return host.toLowerCase().replace(/\.$/, "");
}

function unbracketed(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1");
}

function invalid(message: string): ApiError {
  return new ApiError("invalid_host", message);
}
