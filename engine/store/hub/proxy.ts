/** Sends requests through the proxies that the environment sets, which Node's own fetch ignores by default. */

import { EngineError } from "../../errors.js";

export type Fetch = typeof globalThis.fetch;

/**
 * Returns a fetch that obeys HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, in upper or lower case. Requests to this
 * machine never go through a proxy.
 *
 * @throws EngineError if a proxy's address cannot be used. The error does not contain the address, which may hold a
 *   password.
 */
export async function proxiedFetch(environment: NodeJS.ProcessEnv): Promise<Fetch> {
  const httpProxy = proxyAddress(environment, ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]);
  const httpsProxy = proxyAddress(environment, ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]);
  const bypass = environment["no_proxy"] || environment["NO_PROXY"] || "";
  if ((httpProxy === "" && httpsProxy === "") || bypass.trim() === "*") return globalThis.fetch;
  // Loaded only if a proxy is set, because loading takes as long as the rest of the start.
  const { EnvHttpProxyAgent, fetch } = await import("undici");
  const dispatcher = new EnvHttpProxyAgent({ httpProxy, httpsProxy, noProxy: `${THIS_MACHINE},${bypass}` });
  // The package declares its own type for the same function as Node's.
  return ((url: never, init: object) => fetch(url, { ...init, dispatcher })) as unknown as Fetch;
}

const THIS_MACHINE = "localhost,127.0.0.1,[::1]";

/** Returns "" if no proxy is set: null would make the library read the environment itself. */
function proxyAddress(environment: NodeJS.ProcessEnv, names: readonly string[]): string {
  const name = names.find((candidate) => environment[candidate]);
  if (name === undefined) return "";
  const given = environment[name]!.trim();
  // Many people write "proxy:3128", and other programs accept it.
  const text = given.includes("://") ? given : `http://${given}`;
  if (isProxyAddress(text)) return text;
  throw new EngineError(
    "unsupported_value",
    `${name} must look like http://proxy:3128; only http and https proxies are supported.`,
  );
}

function isProxyAddress(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) return false;
  try {
    // The library decodes both for its header.
    decodeURIComponent(`${url.username}${url.password}`);
    return true;
  } catch {
    return false;
  }
}
