/** A proxy that passes requests on and keeps their bodies, to see what a client really sends. */

import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";

import type { Body } from "./recordings.js";

export interface RecordingProxy {
  readonly url: string;
  /** Bodies in the order of their requests. */
  readonly bodies: readonly Body[];
  close(): void;
}

/** @param target URL of the server, without a path */
export async function recordingProxy(target: string): Promise<RecordingProxy> {
  const bodies: Body[] = [];
  const proxy = createServer((request, response) => {
    void (async () => {
      const sent = await textOf(request);
      if (sent !== "") bodies.push(JSON.parse(sent) as Body);
      const { authorization = "", "content-type": type = "application/json" } = request.headers;
      const answer = await fetch(`${target}${request.url}`, {
        method: request.method!,
        headers: { authorization, "content-type": type },
        ...(sent === "" ? {} : { body: sent }),
      });
      response.writeHead(answer.status, { "content-type": answer.headers.get("content-type")! });
      await pipeline(answer.body!, response);
    })().catch((error: Error) => response.destroy(error));
  });
  await new Promise<void>((listening) => proxy.listen(0, "127.0.0.1", listening));
  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    bodies,
    close: () => proxy.close(),
  };
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const part of request.setEncoding("utf8")) text += part as string;
  return text;
}
