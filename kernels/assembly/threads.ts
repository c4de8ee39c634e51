/**
 * One job on several threads. Every thread runs the same function; a job is a sequence of phases, the
 * same on every thread, and a phase is a number of units of work that the threads claim:
 *
 *   for (let unit = claim(numUnits); unit < numUnits; unit = claim(numUnits)) { ...; completed++ }
 *   endPhase(numUnits, completed);
 *
 * Each thread has an equal share of a phase's units, in one piece, and takes units of the others' when
 * its own are gone. So a thread meets the same weights, keys and values again in its own caches token
 * after token, and threads touch each other's cache lines only at the end of a phase: between cores
 * that share no cache each touch costs as much as a unit does.
 *
 * A phase ends when its units are done, not when every thread has arrived: a thread that the machine
 * takes away between two units, or that has not woken up yet, holds nobody up. Which thread does a unit
 * never shows in its result.
 *
 * Thread 0 is the host's caller. It opens a job by making the generation odd and closes it by making it
 * even; workers enter an open job and are counted while inside. Waiting spins first and then sleeps.
 */

/** Phases of one job, at most. */
export const MAX_PHASES: i32 = 2048;
export const MAX_THREADS: i32 = 64;

/** The words that threads share lie on cache lines of their own. */
export const LINE: usize = 64;
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
/** i64: number of the job's first phase; phases are numbered on and on. i32: threads that share its units. */
const JOB_STATE: usize = memory.data(64, 64);
/** [MAX_THREADS] lines: i64, number of a phase << UNIT_BITS | units claimed of the thread's share of it. */
const SHARES: usize = memory.data(MAX_THREADS * 64, 64);
const UNIT_BITS: i64 = 20;
/** [MAX_PHASES] lines: i32 units done. */
const PHASES: usize = memory.data(MAX_PHASES * 64, 64);

/** Looks at a word before a thread sleeps: some 10 microseconds, about what sleeping and waking cost. */
const SPINS_IN_JOB: i32 = 10000;
/** Between jobs a worker stays awake a little longer: the next token's job follows soon. */
const SPINS_IDLE: i32 = 50000;
/** Sleeping threads look up this often, in nanoseconds, to see whether another thread has died. */
const LOOK_UP_NS: i64 = 100_000_000;
/** A phase without progress for so many looks is stuck: its thread died without a word. */
const MAX_LOOKS: i32 = 300;

/** 0 for the host's caller. These globals belong to the instance, hence to the thread. */
let threadIndex: i32 = 0;
let numThreads: i32 = 1;
/** The line of the phase the thread is in, and its number. */
let phase: usize = PHASES;
let phaseNumber: i64 = 0;
/** Shares that had nothing left, the thread's own one first. */
let sharesEmptied: i32 = 0;

/** Rounded up to whole cache lines, so that what follows begins on one of its own. */
// @ts-ignore: decorator
@inline
export function wholeLines(byteLength: u64): u64 {
  return (byteLength + LINE - 1) & ~(<u64>LINE - 1);
}

// @ts-ignore: decorator
@inline
export function thread(): i32 {
  return threadIndex;
}

/** A unit of the phase that nobody has claimed; `numUnits`, at most 2^20, when there is none. */
export function claim(numUnits: i32): i32 {
  for (; sharesEmptied < numThreads; sharesEmptied++) {
    const unit = claimOf((threadIndex + sharesEmptied) % numThreads, numUnits);
    if (unit >= 0) return unit;
  }
  return numUnits;
}

/** The next unit of one thread's share, or -1. Whoever comes first to a share of a phase opens it. */
function claimOf(owner: i32, numUnits: i32): i32 {
  const word = SHARES + <usize>owner * LINE;
  const first = (owner * numUnits) / numThreads;
  const count = ((owner + 1) * numUnits) / numThreads - first;
  while (true) {
    const seen = atomic.load<i64>(word);
    const number = seen >> UNIT_BITS;
    if (number > phaseNumber) return -1;
    const claimed = number == phaseNumber ? <i32>(seen & ((1 << UNIT_BITS) - 1)) : 0;
    if (claimed >= count) return -1;
    const next = (phaseNumber << UNIT_BITS) | <i64>(claimed + 1);
    if (atomic.cmpxchg<i64>(word, seen, next) == seen) return first + claimed;
  }
}

/** Reports the units this thread has completed and waits until all `numUnits` are. */
export function endPhase(numUnits: i32, completed: i32): void {
  const done = phase;
  phase += LINE;
  phaseNumber++;
  sharesEmptied = 0;
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
    if (++looks == MAX_LOOKS) fail();
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

/** Opens a job of at most `numPhases` phases; what it reads is in memory by now. @param count threads; 1: no worker takes part */
export function openJob(numPhases: i32, count: i32): void {
  checkAlive();
  memory.fill(PHASES, 0, <usize>numPhases * LINE);
  store<i64>(JOB_STATE, load<i64>(JOB_STATE) + <i64>MAX_PHASES);
  store<i32>(JOB_STATE, count, 8);
  beginJob();
  if (count == 1) return;
  atomic.add<i32>(GENERATION, 1);
  if (atomic.load<i32>(NUM_IDLE) > 0) atomic.notify(GENERATION);
}

function beginJob(): void {
  phase = PHASES;
  phaseNumber = load<i64>(JOB_STATE);
  numThreads = load<i32>(JOB_STATE, 8);
  sharesEmptied = 0;
}

/** Closes the job: no worker is inside afterwards, so its description may be overwritten. */
export function closeJob(): void {
  if (numThreads == 1) return;
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
      beginJob();
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
