/** How requests leave this machine: through the proxies that the environment names, which Node's own fetch does not look at by itself. */

import { EngineError } from "../../errors.js";

export type Fetch = typeof globalThis.fetch;

/**
 * A fetch that obeys HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, in either case; this machine is never asked through a proxy.
 *
 * @throws EngineError where a proxy is none that can be used. What is refused is not repeated: it may hold a password.
 */
export async function proxiedFetch(environment: NodeJS.ProcessEnv): Promise<Fetch> {
  const httpProxy = proxyAddress(environment, ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]);
  const httpsProxy = proxyAddress(environment, ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]);
  const bypass = environment["no_proxy"] || environment["NO_PROXY"] || "";
  if ((httpProxy === "" && httpsProxy === "") || bypass.trim() === "*") return globalThis.fetch;
  // Opened by those alone who have a proxy: it takes as long as all the rest of a start.
  const { EnvHttpProxyAgent, fetch } = await import("undici");
  const dispatcher = new EnvHttpProxyAgent({ httpProxy, httpsProxy, noProxy: `${THIS_MACHINE},${bypass}` });
  // Of the same kind as Node's, declared once more by the package.
  return ((url: never, init: object) => fetch(url, { ...init, dispatcher })) as unknown as Fetch;
}

const THIS_MACHINE = "localhost,127.0.0.1,[::1]";

/** "" for none: null would make the library look for itself. */
function proxyAddress(environment: NodeJS.ProcessEnv, names: readonly string[]): string {
  const name = names.find((candidate) => environment[candidate]);
  if (name === undefined) return "";
  const given = environment[name]!.trim();
  // "proxy:3128" is what many write, and other programs take.
  const text = given.includes("://") ? given : `http://${given}`;
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text;
  throw new EngineError(
    "unsupported_value",
    `${name} must look like http://proxy:3128; proxies speak http or https here.`,
  );
}
