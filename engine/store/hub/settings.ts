/** Settings of the hub, from the environment variables that Python's huggingface_hub reads too. */

import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

import { EngineError } from "../../errors.js";
import { proxiedFetch, type Fetch } from "./proxy.js";

export interface HubSettings {
  /** Address of the hub, without a trailing slash. */
  readonly endpoint: string;
  readonly cache: string;
  /** Sent only to the endpoint. */
  readonly token: string | null;
  readonly isOffline: boolean;
  readonly fetch: Fetch;
  readonly hasSymlinks: boolean;
}

/** @throws EngineError if HF_ENDPOINT or a proxy is not a valid address */
export async function hubSettings(environment: NodeJS.ProcessEnv, offline: boolean): Promise<HubSettings> {
  const isOffline = offline || isTrue(environment["HF_HUB_OFFLINE"] || environment["TRANSFORMERS_OFFLINE"]);
  return {
    endpoint: endpoint(environment["HF_ENDPOINT"]),
    cache: hubCacheFolder(environment),
    token: isOffline ? null : await token(environment),
    isOffline,
    fetch: isOffline ? globalThis.fetch : await proxiedFetch(environment),
    hasSymlinks: !isTrue(environment["HF_HUB_DISABLE_SYMLINKS"]),
  };
}

/** Returns the cache that all programs which use the hub share. */
export function hubCacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  return (
    expanded(environment["HF_HUB_CACHE"] || environment["HUGGINGFACE_HUB_CACHE"]) ?? join(home(environment), "hub")
  );
}

const DEFAULT_ENDPOINT = "https://huggingface.co";

function home(environment: NodeJS.ProcessEnv): string {
  return (
    expanded(environment["HF_HOME"]) ??
    join(expanded(environment["XDG_CACHE_HOME"]) ?? join(homedir(), ".cache"), "huggingface")
  );
}

function expanded(path: string | undefined): string | null {
  if (path === undefined || path === "") return null;
  return path === "~" || path.startsWith("~/") ? join(homedir(), path.slice(1)) : path;
}

/** Checks the endpoint. The error does not contain a refused value, which may hold a password. */
function endpoint(text: string | undefined): string {
  if (text === undefined || text === "") return DEFAULT_ENDPOINT;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (
    url === null ||
    !/^https?:$/.test(url.protocol) ||
    url.username !== "" ||
    url.password !== "" ||
    url.search !== "" ||
    url.hash !== ""
  ) {
    throw new EngineError(
      "unsupported_value",
      `HF_ENDPOINT must look like ${DEFAULT_ENDPOINT}, without user, password or query.`,
    );
  }
  return url.href.replace(/\/+$/, "");
}

async function token(environment: NodeJS.ProcessEnv): Promise<string | null> {
  const given = (environment["HF_TOKEN"] || environment["HUGGING_FACE_HUB_TOKEN"] || "").trim();
  const text =
    given !== ""
      ? given
      : await readFile(expanded(environment["HF_TOKEN_PATH"]) ?? join(home(environment), "token"), "utf8").catch(
          () => "",
        );
  const line = text.trim();
  if (line === "") return null;
  if (!/^[\x21-\x7e]+$/.test(line))
    throw new EngineError(
      "unsupported_value",
      "The token for the hub contains spaces or characters that cannot be sent in a header.",
    );
  return line;
}

function isTrue(text: string | undefined): boolean {
  return /^(1|on|yes|true)$/i.test(text ?? "");
}
