/** Servers with default settings, started as users start them. */

import { spawn, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";

import { afterAll } from "vitest";

const MAIN = fileURLToPath(new URL("../../dist/src/cli/main.js", import.meta.url));
const servers: ChildProcess[] = [];
afterAll(() => {
  for (const server of servers) server.kill();
});

/** Starts a server that runs until the end of the test file, and returns its base URL. */
export function serve(flags: readonly string[] = []): Promise<string> {
  const server = spawn(process.execPath, [MAIN, "serve", "--port", "0", "--log-level", "warn", ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  servers.push(server);
  return new Promise((listening, failed) => {
    server.stdout.setEncoding("utf8").on("data", (text: string) => {
      const match = /^Listening on (\S+\/v1) /m.exec(text);
      if (match !== null) listening(match[1]!);
    });
    server.once("close", (code) => failed(new Error(`The server ended with ${code}`)));
  });
}
