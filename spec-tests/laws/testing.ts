/** What tests of the laws' framework share: a server of a few lines, and exchanges without one. */

import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import type { Exchange } from "./law.js";

export interface TinyServer {
  readonly baseUrl: string;
  /** Bodies of the chat requests so far, parsed. */
  readonly requests: Record<string, unknown>[];
  close(): void;
}

/** Answers every chat request with what `answer` makes of it; knows one model, `m`. */
export async function tinyServer(answer: (request: Record<string, unknown>, response: ServerResponse, incoming: IncomingMessage) => void): Promise<TinyServer> {
  const requests: Record<string, unknown>[] = [];
  const server = createServer(async (incoming, response) => {
    let text = "";
    for await (const piece of incoming.setEncoding("utf8")) text += piece as string;
    if (incoming.url === "/v1/models") return json(response, 200, { object: "list", data: [{ id: "m", object: "model" }] });
    if (incoming.url !== "/v1/chat/completions") return json(response, 404, { error: { message: "Not here." } });
    const request = JSON.parse(text) as Record<string, unknown>;
    requests.push(request);
    answer(request, response, incoming);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, requests, close };
}

export function json(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
}

export function sse(response: ServerResponse, ...events: unknown[]): void {
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
  response.end([...events.map((event) => JSON.stringify(event)), "[DONE]"].map((data) => `data: ${data}\n\n`).join(""));
}

/** A completion that says `content`. */
export function completion(content: string): object {
  return {
    choices: [{ index: 0, message: { role: "assistant", content }, logprobs: null, finish_reason: "stop" }],
    usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 },
  };
}

export function exchangeWith(fields: Partial<Exchange>): Exchange {
  return { method: "POST", path: "/chat/completions", headers: {}, body: null, status: 200, responseHeaders: {}, text: "", durationMs: 1, ...fields };
}
