/**
 * Counts the calls of a process and its worker threads to the platform, by kind, and lets one of them fail. The state is
 * one shared memory, which workers inherit. hook.ts makes the calls come here.
 */

import { getEnvironmentData, isMainThread, setEnvironmentData, threadId } from "node:worker_threads";

export const KINDS = ["allocation", "file", "kernel", "tokenizer", "grammar", "message", "socket"] as const;
/** Kind of a call that can fail. `message` includes the start of a worker thread. */
export type Kind = (typeof KINDS)[number];

/** The call that shall fail: the `index`-th of its kind, counted from 1. */
export interface Point {
  readonly kind: Kind;
  readonly index: number;
}

/** Observations between `arm` and `disarm`. */
export interface Observation {
  /** Number of calls of each kind. */
  readonly numCalls: Readonly<Record<Kind, number>>;
  /** Stack of the call that failed; null if the point was not reached. */
  readonly place: string | null;
}

/** Starts counting, and lets the call at the point fail; null lets no call fail. */
export function arm(point: Point | null): void {
  counters.fill(0);
  counters[Cell.Kind] = point === null ? NO_KIND : KINDS.indexOf(point.kind);
  counters[Cell.Index] = point?.index ?? 0;
  Atomics.store(counters, Cell.IsCounting, 1);
}

/** Stops counting. */
export function disarm(): Observation {
  Atomics.store(counters, Cell.IsCounting, 0);
  const numBytes = Atomics.load(counters, Cell.PlaceBytes);
  return {
    numCalls: Object.fromEntries(KINDS.map((kind, index) => [kind, counters[Cell.Counts + index]!])) as Record<
      Kind,
      number
    >,
    place: numBytes === 0 ? null : Buffer.from(place.slice(0, numBytes)).toString(),
  };
}

/** Counts a call. Returns true if it shall fail. */
export function fails(kind: Kind): boolean {
  if (Atomics.load(counters, Cell.IsCounting) === 0) return false;
  const index = KINDS.indexOf(kind);
  const number = Atomics.add(counters, Cell.Counts + index, 1) + 1;
  if (counters[Cell.Kind] !== index || counters[Cell.Index] !== number) return false;
  notePlace();
  return true;
}

/** Keeps the stack of the failing call, as far as there is room. */
function notePlace(): void {
  const frames = new Error().stack!.split("\n").slice(3);
  const thread = isMainThread ? "main thread" : `thread ${threadId}`;
  const text = Buffer.from([thread, ...frames.map((frame) => frame.trim())].join("\n")).subarray(0, PLACE_BYTES);
  place.set(text);
  Atomics.store(counters, Cell.PlaceBytes, text.length);
}

/** Places of the numbers in the shared memory; the counts of all kinds are last. */
const Cell = { IsCounting: 0, Kind: 1, Index: 2, PlaceBytes: 3, Counts: 4 } as const;
const NO_KIND = -1;
const COUNTER_BYTES = 4 * (Cell.Counts + KINDS.length);
const PLACE_BYTES = 4096;
const KEY = "touchstone fault injection";

const shared = sharedMemory();
const counters = new Int32Array(shared, 0, COUNTER_BYTES / 4);
const place = new Uint8Array(shared, COUNTER_BYTES);

function sharedMemory(): SharedArrayBuffer {
  const inherited = getEnvironmentData(KEY);
  if (inherited instanceof SharedArrayBuffer) return inherited;
  const created = new SharedArrayBuffer(COUNTER_BYTES + PLACE_BYTES);
  setEnvironmentData(KEY, created);
  return created;
}
