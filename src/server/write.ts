/** Writing to a client at its pace: a client that has left, or stopped reading, never blocks the writer. */

import type { ServerResponse } from "node:http";

/**
 * Writes a part of a response. Resolves when more can be written or the response is closed. Destroys the response if
 * the client does not take the text within `stallMs`: its reader counts as gone.
 */
export async function write(response: ServerResponse, part: string | Buffer, stallMs: number): Promise<void> {
  if (response.destroyed || response.writableEnded || response.write(part)) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => response.destroy(), stallMs);
    const settle = (): void => {
      clearTimeout(timer);
      for (const event of EVENTS) response.off(event, settle);
      resolve();
    };
    for (const event of EVENTS) response.on(event, settle);
  });
}

const EVENTS = ["drain", "close", "error"] as const;
