/** What clients send, compared with the recordings of docs/CLIENTS.md. */

import { expect } from "vitest";

import { outcomesOf } from "../clients/outcomes.js";
import { recordingProxy } from "../clients/recording-proxy.js";
import { CLIENTS, type Body } from "../clients/recordings.js";

/**
 * Runs a conversation, and returns the bodies that were sent for it.
 * @param baseURL of the server
 * @param talk gets a base URL of a proxy
 */
export async function recorded(baseURL: string, talk: (baseURL: string) => Promise<unknown>): Promise<readonly Body[]> {
  const { origin, pathname } = new URL(baseURL);
  const proxy = await recordingProxy(origin);
  try {
    await talk(`${proxy.url}${pathname}`);
    return proxy.bodies;
  } finally {
    proxy.close();
  }
}

/** Checks that the recordings of a client have every field that it sent. */
export function expectKnown(name: string, bodies: readonly Body[]): void {
  const fieldsOf = (each: readonly object[]): Set<string> =>
    new Set(each.flatMap((body) => [...outcomesOf(body, "openai").keys()]));
  const known = fieldsOf(CLIENTS.find((client) => client.name === name)!.requests.map(({ body }) => body ?? {}));
  expect([...fieldsOf(bodies)].filter((field) => !known.has(field))).toEqual([]);
}
