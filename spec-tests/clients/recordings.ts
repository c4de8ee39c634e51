/** Requests of widely used clients, as they send them. `requests.json` says for each client how they were obtained. */

import { readFileSync } from "node:fs";

export interface Client {
  readonly name: string;
  readonly version: string;
  /** Whether the requests were recorded, or written from the client's source code. */
  readonly origin: string;
  /** How the client gets the base URL, in Markdown. */
  readonly connect: string;
  readonly requests: readonly Recording[];
}

export interface Recording {
  readonly title: string;
  readonly method: "GET" | "POST";
  /** Path after the base URL. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Absent with GET. */
  readonly body?: Body;
  /** Error of a request that asks for something that is not built. */
  readonly refused?: { readonly code: string; readonly param: string };
}

export interface Body {
  readonly [field: string]: unknown;
  readonly stream?: boolean;
  readonly n?: number;
  readonly stream_options?: { readonly include_usage?: boolean };
  readonly response_format?: { readonly type: string };
  readonly tools?: readonly { readonly function: { readonly name: string } }[];
}

export const CLIENTS = JSON.parse(readFileSync(new URL("requests.json", import.meta.url), "utf8")) as readonly Client[];
