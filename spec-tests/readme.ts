/** The README's commands and programs, run as they are printed, in a folder where touchstone is installed. */

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** Where the README's server listens. */
const PRINTED_PORT = 8000;

/** The one code block that has this text. */
export function codeBlock(text: string): string {
  const blocks = [...readFileSync(join(ROOT, "README.md"), "utf8").matchAll(/^```\w+\n([^]*?)^```$/gm)].map(([, code]) => code!);
  const found = blocks.filter((code) => code.includes(text));
  if (found.length !== 1) throw new Error(`The README has ${found.length} code blocks with ${JSON.stringify(text)}`);
  return found[0]!;
}

export interface ReadersFolder {
  /** What a command prints. */
  run(command: string): Promise<string>;
  /** What a program prints. */
  runProgram(source: string): Promise<string>;
  /** Runs a command that starts a server, and resolves when it listens. If the README's port is taken, all goes to another one. */
  serve(command: string): Promise<void>;
  /** Ends the server and removes the folder. */
  close(): Promise<void>;
}

/** @param packages folders of further installed packages, by name */
export function readersFolder(packages: Readonly<Record<string, string>> = {}): ReadersFolder {
  const folder = mkdtempSync(join(tmpdir(), "readme-"));
  const binaries = join(folder, "node_modules", ".bin");
  mkdirSync(binaries, { recursive: true });
  for (const [name, target] of Object.entries({ touchstone: ROOT, ...packages })) symlinkSync(target, join(folder, "node_modules", name), "dir");
  const command = join(binaries, "touchstone");
  writeFileSync(command, `#!/bin/sh\nexec "${process.execPath}" "${join(ROOT, "dist/src/cli/main.js")}" "$@"\n`);
  chmodSync(command, 0o755);
  const options = () => ({ cwd: folder, env: { ...process.env, PATH: `${binaries}${delimiter}${process.env["PATH"]}` } });
  const ends: (() => Promise<unknown>)[] = [];
  let port = PRINTED_PORT;
  const atPort = (text: string): string => text.replaceAll(`${PRINTED_PORT}`, `${port}`);

  const output = async (program: string, args: readonly string[]): Promise<string> => (await promisify(execFile)(program, args, options())).stdout;
  return {
    run: (command) => output("bash", ["-c", atPort(command)]),
    runProgram: (source) => {
      writeFileSync(join(folder, "program.mjs"), atPort(source));
      return output(process.execPath, ["program.mjs"]);
    },
    serve: async (command) => {
      port = await freePort(PRINTED_PORT);
      // A group of its own, so that whatever the shell has started ends with it.
      const shell = spawn("bash", ["-c", atPort(command)], { ...options(), detached: true, stdio: ["ignore", "pipe", "pipe"] });
      let log = "";
      shell.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
      const exit = once(shell, "exit");
      ends.push(() => {
        if (shell.exitCode === null) process.kill(-shell.pid!, "SIGTERM");
        return exit;
      });
      const listening = new Promise<void>((resolve) => {
        shell.stdout.setEncoding("utf8").on("data", (text: string) => {
          if (text.startsWith("Listening on ")) resolve();
        });
      });
      await Promise.race([listening, exit.then(([code]) => Promise.reject(new Error(`The server ended with ${code}: ${log}`)))]);
    },
    close: async () => {
      for (const end of ends) await end();
      rmSync(folder, { recursive: true });
    },
  };
}

/** This port if it is free, else any. */
async function freePort(wanted: number): Promise<number> {
  const server = createServer();
  const listen = (port: number): Promise<unknown> => {
    server.listen(port, "127.0.0.1");
    return once(server, "listening");
  };
  await listen(wanted).catch(() => listen(0));
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
