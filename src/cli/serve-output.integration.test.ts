/** `touchstone serve` when stderr or stdout cannot be written: nobody reads, the reader is gone, the disk is full. */

import { spawn, type ChildProcess } from "node:child_process";
import { createServer, type AddressInfo } from "node:net";
import { resolve } from "node:path";
import { text } from "node:stream/consumers";

import { afterEach, describe, expect, test } from "vitest";

import { until } from "../../spec-tests/fixtures/server.js";

const MAIN = resolve("dist/src/cli/main.js");
/** More log lines than a pipe, a socket and the waiting lines have room for. */
const NUM_REQUESTS = 1600;
const NUM_AT_ONCE = 32;

const children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

/** @param redirect redirections in the shell's notation */
async function serve(redirect: string) {
  const port = await freePort();
  const command = `exec "$0" "$1" serve --threads 1 --port ${port} ${redirect}`;
  const child = spawn("bash", ["-c", command, process.execPath, MAIN], { stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  const exit = new Promise<number | null>((done) => child.once("exit", (code) => done(code)));
  const url = `http://127.0.0.1:${port}`;
  await until(async () => (await fetch(`${url}/readyz`).catch(() => null))?.status === 200, 30_000);
  return { child, url, exit };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

/** Sends many requests, each of which writes a long log line, and checks that all are answered. */
async function request(url: string, count: number): Promise<void> {
  const path = `/${"x".repeat(199)}`;
  const left = Array.from({ length: count }).values();
  const client = async (): Promise<void> => {
    for (const _ of left) expect((await fetch(url + path)).status).toBe(404);
  };
  await Promise.all(Array.from({ length: NUM_AT_ONCE }, client));
}

async function numDropped(url: string): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  return Number(/^touchstone_log_lines_dropped_total (\d+)$/m.exec(metrics)![1]);
}

async function stops({ child, exit }: { child: ChildProcess; exit: Promise<number | null> }): Promise<void> {
  child.kill("SIGTERM");
  expect(await exit).toBe(0);
}

describe("stderr", () => {
  test("a full disk costs log lines only", async () => {
    const server = await serve("2>/dev/full");
    await request(server.url, 20);
    await until(async () => (await numDropped(server.url)) >= 20);
    await stops(server);
  });

  test("a reader that is gone costs log lines only", async () => {
    const server = await serve("2> >(exec true)");
    await request(server.url, 20);
    await until(async () => (await numDropped(server.url)) > 0);
    await stops(server);
  });

  test.each([
    ["pipe", "2> >(exec sleep 1000)"],
    ["socket", ""],
  ])("a %s that nobody reads stops neither requests nor SIGTERM", async (_, redirect) => {
    const server = await serve(redirect);
    await request(server.url, NUM_REQUESTS);
    expect(await numDropped(server.url)).toBeGreaterThan(0);
    await stops(server);
  });

  test("a reader that reads again gets the waiting lines, and the number of dropped ones", async () => {
    const server = await serve("");
    await request(server.url, NUM_REQUESTS);
    const logs = text(server.child.stderr!);
    await until(async () => {
      const before = await numDropped(server.url);
      await request(server.url, 1);
      return (await numDropped(server.url)) === before;
    });
    const dropped = await numDropped(server.url);
    expect(dropped).toBeGreaterThan(0);
    await stops(server);
    const lines = (await logs).trimEnd().split("\n");
    const told = lines.map((line) => JSON.parse(line) as { msg: string; numDropped?: number });
    const reported = told.flatMap(({ numDropped: count }) => (count === undefined ? [] : [count]));
    expect(reported.reduce((sum, count) => sum + count, 0)).toBe(dropped);
    expect(told.filter(({ msg }) => msg === "answered").length).toBeGreaterThan(NUM_REQUESTS - dropped);
    // The number of dropped lines may be reported while the last lines are written, and then comes after them.
    expect(told.findLast(({ numDropped: count }) => count === undefined)!.msg).toBe("shutting down");
  });
});

describe("stdout", () => {
  test.each([
    ["is full", ">/dev/full", "ENOSPC"],
    ["has no reader", "> >(exec true)", "EPIPE"],
  ])("%s: the server continues and logs the line", async (_, redirect, code) => {
    const server = await serve(redirect);
    let logs = "";
    server.child.stderr!.setEncoding("utf8").on("data", (part: string) => (logs += part));
    await until(() => logs.includes('"stdout cannot be written"'));
    const told = logs.split("\n").find((line) => line.includes('"stdout cannot be written"'))!;
    expect(JSON.parse(told)).toMatchObject({ code, line: expect.stringContaining(`Listening on ${server.url}/v1 `) });
    await request(server.url, 1);
    await stops(server);
  });

  test("is closed: the server continues", async () => {
    const server = await serve(">&-");
    await request(server.url, 1);
    await stops(server);
  });
});
