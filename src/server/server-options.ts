/**
 * Checks options of a server that would otherwise open it to more clients than intended, or never have an effect,
 * before anything starts.
 */

import { EngineError, outOfRange, quoted, wrongType, type Naming } from "../../engine/errors.js";
import { checkDate } from "../../engine/model/index.js";
import { isLoopback } from "./keys.js";
import { isHostName } from "./request-host.js";

/** The options to check; create-server.ts describes them. */
export interface CheckedOptions {
  readonly host?: string;
  readonly port?: number;
  readonly apiKeys?: readonly string[];
  readonly allowedHosts?: readonly string[];
  readonly corsOrigins?: readonly string[];
  readonly insecure?: boolean;
  readonly date?: string | null;
  readonly maxQueue?: number;
  readonly maxBodyBytes?: number;
}

/** @throws EngineError */
export function checkServerOptions(options: CheckedOptions): void {
  const { host = "127.0.0.1", apiKeys = [], allowedHosts = [], corsOrigins = [], insecure = false } = options;
  if (typeof insecure !== "boolean") throw wrongType("insecure", "a boolean", insecure);
  if (typeof host !== "string") throw wrongType("host", "a string", host);
  // Node listens on all addresses if the host is empty.
  if (host.trim() === "") throw outOfRange("host", "must name an address or a host", host);
  checkDate(options.date, "date");
  checkInteger("port", options.port ?? 0, 0, 65_535);
  checkInteger("maxQueue", options.maxQueue ?? 0, 0, Number.MAX_SAFE_INTEGER);
  checkInteger("maxBodyBytes", options.maxBodyBytes ?? 1, 1, Number.MAX_SAFE_INTEGER);
  texts("apiKeys", apiKeys).forEach(checkKey);
  for (const name of texts("allowedHosts", allowedHosts))
    if (!isHostName(name))
      throw outOfRange("allowedHosts", "must be a host name or an IP address, without scheme, port and path", name);
  for (const origin of texts("corsOrigins", corsOrigins)) checkOrigin(origin);
  if (apiKeys.length === 0 && !insecure && !isLoopback(host)) {
    const message = (named: Naming): string =>
      `Listening on ${host} lets other machines use the server without a key. Set an API key, or allow it with ${named("insecure")}.`;
    throw new EngineError("unsupported_value", message, "host");
  }
}

function checkInteger(name: string, value: unknown, minimum: number, maximum: number): void {
  if (!Number.isInteger(value)) throw wrongType(name, "an integer", value);
  if (!((value as number) >= minimum && (value as number) <= maximum))
    throw outOfRange(name, `must be in ${minimum}..${maximum}`, value);
}

function texts(name: string, value: readonly unknown[]): readonly string[] {
  if (!Array.isArray(value) || !value.every((text) => typeof text === "string"))
    throw wrongType(name, "an array of strings", value);
  return value;
}

/** Checks that a key can arrive in a header. The message does not contain the key. */
function checkKey(key: string, index: number): void {
  const fault =
    key === ""
      ? "is empty"
      : /[^\x21-\x7e]/.test(key)
        ? "contains a space, a control character or a character that is not ASCII, which no request can send"
        : key.length > MAX_KEY_CHARS
          ? `has ${key.length} characters`
          : null;
  if (fault === null) return;
  const message = (named: Naming): string =>
    `Key ${index + 1} of ${named("apiKeys")} ${fault}. A key consists of 1 to ${MAX_KEY_CHARS} visible ASCII characters.`;
  throw new EngineError("out_of_range", message, "apiKeys");
}

/** Node refuses requests with more than 16 KiB of headers. */
const MAX_KEY_CHARS = 8192;

/** Checks that browsers send this origin in the same form. */
function checkOrigin(text: string): void {
  if (text === "*" || text === "null") return;
  const isOrigin = /^[a-z][a-z0-9+.-]*:\/\/[^/?#\s@]+$/i.test(text) && URL.canParse(text);
  const { origin, hostname } = new URL(isOrigin ? text : "none:");
  // Browsers send the origin of a scheme of their own, such as chrome-extension, as it is in the address.
  const sent = origin === "null" ? text.toLowerCase() : origin;
  if (!isOrigin || (origin !== "null" && !isHostName(hostname))) {
    const rule = (named: Naming): string =>
      `${quoted(text)} is not an origin for ${named("corsOrigins")}. It must be * or an origin such as https://example.com, without a path.`;
    throw new EngineError("out_of_range", rule, "corsOrigins");
  }
  if (sent === text) return;
  const message = (named: Naming): string =>
    `The origin ${quoted(text)} for ${named("corsOrigins")} never matches. Browsers send it as ${quoted(sent)}.`;
  throw new EngineError("out_of_range", message, "corsOrigins");
}
