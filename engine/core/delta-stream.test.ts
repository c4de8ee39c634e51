import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { LIMITS } from "../limits.js";
import { deltaByteLength } from "./answer-size.js";
import { DeltaStream } from "./delta-stream.js";
import type { OutputDelta } from "./sequence.js";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

function delta(byteLength: number, choice = 0): OutputDelta {
  const empty = { choice, content: "", reasoning: null, toolCalls: [], tokenIds: [], logprobs: [], finishReason: null };
  const none = { ...empty, usage: null, timings: null };
  return { ...none, content: "x".repeat(byteLength - deltaByteLength(none)) };
}

const EIGHTH = LIMITS.maxUnreadBytes / 8;

/** A stream with `numDeltas` deltas of an eighth of the bound. */
function create(numDeltas: number) {
  const onResume = vi.fn<() => void>();
  const onLeave = vi.fn<() => void>();
  const stream = new DeltaStream({ onResume, onLeave });
  const push = (count: number): void => {
    for (let index = 0; index < count; index++) stream.push(delta(EIGHTH, index));
  };
  push(numDeltas);
  return { stream, push, onResume, onLeave };
}

async function readAll(deltas: AsyncIterable<OutputDelta>): Promise<number[]> {
  const choices = [];
  for await (const { choice } of deltas) choices.push(choice);
  return choices;
}

test("yields its deltas in order, also those that were pushed before it was read", async () => {
  const { stream, push, onLeave } = create(2);
  const reading = readAll(stream.read());
  push(3);
  stream.end();
  expect(await reading).toEqual([0, 1, 0, 1, 2]);
  expect(onLeave).toHaveBeenCalled();
});

test("fails after its deltas", async () => {
  const { stream } = create(2);
  stream.fail(new Error("broken"));
  stream.push(delta(EIGHTH));
  const deltas = stream.read();
  expect([(await deltas.next()).value!.choice, (await deltas.next()).value!.choice]).toEqual([0, 1]);
  await expect(deltas.next()).rejects.toThrow("broken");
});

test("is behind when more than the bound waits, until half of it has been taken", async () => {
  const { stream, push, onResume } = create(8);
  expect(stream.isBehind).toBe(false);
  push(1);
  expect(stream.isBehind).toBe(true);
  const deltas = stream.read();
  for (let numRead = 0; numRead < 4; numRead++) await deltas.next();
  expect(stream.isBehind).toBe(true);
  expect(onResume).not.toHaveBeenCalled();
  await deltas.next();
  expect(stream.isBehind).toBe(false);
  expect(onResume).toHaveBeenCalledTimes(1);
  expect(vi.getTimerCount()).toBe(0);

  push(4);
  expect(stream.isBehind).toBe(false);
  push(1);
  expect(stream.isBehind).toBe(true);
  for (let numRead = 0; numRead < 9; numRead++) await deltas.next();
  expect(onResume).toHaveBeenCalledTimes(2);
});

test("a reader that does not take half in time counts as gone, and gets what waits, then an error", async () => {
  const { stream, push, onLeave, onResume } = create(9);
  vi.advanceTimersByTime(LIMITS.maxReaderPauseMs - 1);
  // The time is that of the whole pause: more deltas of the same step do not prolong it.
  push(1);
  expect([stream.isBehind, onLeave.mock.calls.length]).toEqual([true, 0]);
  vi.advanceTimersByTime(1);
  expect([stream.isBehind, onLeave.mock.calls.length]).toEqual([false, 1]);
  push(20);
  expect(vi.getTimerCount()).toBe(0);
  const deltas = stream.read();
  for (let numRead = 0; numRead < 10; numRead++) expect((await deltas.next()).done).toBe(false);
  await expect(deltas.next()).rejects.toMatchObject({
    code: "reader_stalled",
    message: "The answer was not read: 256 KiB of it waited, and half of them were not taken within 60 seconds.",
  });
  expect(onResume).not.toHaveBeenCalled();
});

test.each<[string, (stream: DeltaStream) => unknown]>([
  ["its end", (stream) => stream.end()],
  ["its error", (stream) => stream.fail(new Error("broken"))],
  ["a reader that leaves before it reads", (stream) => stream.read().return()],
  ["a reader that breaks off before it reads", (stream) => expect(stream.read().throw("odd")).rejects.toBe("odd")],
  [
    "a reader that leaves later",
    async (stream) => {
      for await (const _ of stream.read()) break;
    },
  ],
])("does not pause after %s", async (_, finish) => {
  const { stream, push } = create(9);
  await finish(stream);
  expect(stream.isBehind).toBe(false);
  push(9);
  expect(stream.isBehind).toBe(false);
  expect(vi.getTimerCount()).toBe(0);
});

test.each<[string, (stream: DeltaStream) => unknown]>([
  ["before it reads", (stream) => stream.read().return()],
  [
    "after a delta",
    async (stream) => {
      for await (const _ of stream.read()) break;
    },
  ],
])("tells when its reader leaves: %s", async (_, leave) => {
  const { stream, onLeave, onResume } = create(3);
  await leave(stream);
  expect(onLeave).toHaveBeenCalledTimes(1);
  expect(onResume).not.toHaveBeenCalled();
});
