/**
 * One job on several threads. Every thread runs the same function; a job is a sequence of phases, the
 * same on every thread, and a phase is a number of units of work that the threads claim from a counter:
 *
 *   for (let unit = claim(); unit < numUnits; unit = claim()) { ...; completed++ }
 *   endPhase(numUnits, completed);
 *
 * A phase ends when its units are done, not when every thread has arrived: a thread that the machine
 * takes away between two units, or that has not woken up yet, holds nobody up. Which thread does a unit
 * never shows in its result.
 *
 * Thread 0 is the host's caller. It opens a job by making the generation odd and closes it by making it
 * even; workers enter an open job and are counted while inside. Waiting spins first and then sleeps.
 */

/** Phases of one job, at most. */
export const PHASES_MAX: i32 = 2048;
export const THREADS_MAX: i32 = 64;

/** The words that threads share lie on cache lines of their own. */
const LINE: usize = 64;
/** i32: odd while a job is open. */
const GENERATION: usize = memory.data(64, 64);
/** i32: workers asleep between jobs. */
const NUM_IDLE: usize = memory.data(64, 64);
/** i32: workers inside a job. */
const NUM_INSIDE: usize = memory.data(64, 64);
/** i32: threads asleep inside a job. */
const NUM_SLEEPING: usize = memory.data(64, 64);
/** i32: 1 once a thread has died; every wait then ends in a trap. */
const FAILED: usize = memory.data(64, 64);
/** [PHASES_MAX] lines: i32 units claimed, i32 units done. */
const PHASES: usize = memory.data(131072, 64);

/** Looks at a word before a thread sleeps: some 10 microseconds, about what sleeping and waking cost. */
const SPINS_IN_JOB: i32 = 10000;
/** Between jobs a worker stays awake a little longer: the next token's job follows soon. */
const SPINS_IDLE: i32 = 50000;
/** Sleeping threads look up this often, in nanoseconds, to see whether another thread has died. */
const LOOK_UP_NS: i64 = 100_000_000;
/** A phase without progress for so many looks is stuck: its thread died without a word. */
const LOOKS_MAX: i32 = 300;

/** 0 for the host's caller. These globals belong to the instance, hence to the thread. */
let threadIndex: i32 = 0;
let phase: usize = PHASES;

// @ts-ignore: decorator
@inline
export function thread(): i32 {
  return threadIndex;
}

/** The next unit of the phase that nobody has claimed; past the last one when there is none. */
// @ts-ignore: decorator
@inline
export function claim(): i32 {
  return atomic.add<i32>(phase, 1);
}

/** Reports the units this thread has completed and waits until all `numUnits` are. */
export function endPhase(numUnits: i32, completed: i32): void {
  const done = phase + 4;
  phase += LINE;
  if (completed > 0 && atomic.add<i32>(done, completed) + completed == numUnits) {
    if (atomic.load<i32>(NUM_SLEEPING) > 0) atomic.notify(done);
    return;
  }
  awaitValue(done, numUnits);
}

/** Waits for a word that others change to reach `value`. */
function awaitValue(address: usize, value: i32): void {
  for (let i = 0; i < SPINS_IN_JOB; i++) {
    if (atomic.load<i32>(address) == value) return;
  }
  atomic.add<i32>(NUM_SLEEPING, 1);
  let looks = 0;
  while (true) {
    const seen = atomic.load<i32>(address);
    if (seen == value) break;
    if (atomic.wait<i32>(address, seen, LOOK_UP_NS) != AtomicWaitResult.TIMED_OUT) {
      looks = 0;
      continue;
    }
    if (++looks == LOOKS_MAX) fail();
    checkAlive();
  }
  atomic.sub<i32>(NUM_SLEEPING, 1);
}

/** Marks the pool as dead: threads that wait, now or later, trap. */
export function fail(): void {
  atomic.store<i32>(FAILED, 1);
}

function checkAlive(): void {
  if (atomic.load<i32>(FAILED) != 0) unreachable();
}

/** Starts a job of at most `numPhases` phases that no worker takes part in. */
export function startAlone(numPhases: i32): void {
  checkAlive();
  phase = PHASES;
  memory.fill(PHASES, 0, <usize>numPhases * LINE);
}

/** Opens a job to the workers; what it reads is in memory by now. */
export function openJob(numPhases: i32): void {
  startAlone(numPhases);
  atomic.add<i32>(GENERATION, 1);
  if (atomic.load<i32>(NUM_IDLE) > 0) atomic.notify(GENERATION);
}

/** Closes the job: no worker is inside afterwards, so its description may be overwritten. */
export function closeJob(): void {
  atomic.add<i32>(GENERATION, 1);
  awaitValue(NUM_INSIDE, 0);
}

/** Makes this instance a worker's. */
export function setThread(index: i32): void {
  threadIndex = index;
}

/** Waits for an open job other than generation `last` and enters it; returns its generation. */
export function enterJob(last: i32): i32 {
  while (true) {
    const generation = awaitJob(last);
    atomic.add<i32>(NUM_INSIDE, 1);
    // Thread 0 makes the generation even and then looks at the count, so one of the two sees the other.
    if (atomic.load<i32>(GENERATION) == generation) {
      phase = PHASES;
      return generation;
    }
    leaveJob();
  }
}

export function leaveJob(): void {
  if (atomic.sub<i32>(NUM_INSIDE, 1) == 1 && atomic.load<i32>(NUM_SLEEPING) > 0) atomic.notify(NUM_INSIDE);
}

function awaitJob(last: i32): i32 {
  for (let i = 0; i < SPINS_IDLE; i++) {
    const generation = atomic.load<i32>(GENERATION);
    if (isOpen(generation, last)) return generation;
  }
  atomic.add<i32>(NUM_IDLE, 1);
  let generation = atomic.load<i32>(GENERATION);
  while (!isOpen(generation, last)) {
    atomic.wait<i32>(GENERATION, generation, -1);
    generation = atomic.load<i32>(GENERATION);
  }
  atomic.sub<i32>(NUM_IDLE, 1);
  return generation;
}

// @ts-ignore: decorator
@inline
function isOpen(generation: i32, last: i32): bool {
  return (generation & 1) != 0 && generation != last;
}
