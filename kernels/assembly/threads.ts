/**
 * Runs one job on several threads. Every thread runs the same function. A job is a sequence of phases, the
 * same on every thread, and a phase is a number of units of work that the threads claim:
 *
 *   for (let unit = claim(numUnits); unit < numUnits; unit = claim(numUnits)) { ...; completed++ }
 *   endPhase(numUnits, completed);
 *
 * Each thread owns an equal, contiguous share of a phase's units and takes units from other shares when
 * its own is used up. So a thread finds the same weights, keys and values in its own caches for every
 * token, and threads access each other's cache lines only at the end of a phase. (Between cores that
 * share no cache, each such access costs as much as a unit.)
 *
 * A phase ends when its units are done, not when every thread has arrived: a thread that is descheduled
 * between two units, or that has not woken up yet, does not delay the others. Results do not depend on
 * which thread computes a unit.
 *
 * Thread 0 is the host's caller. It opens a job by making the generation odd and closes it by making it
 * even; workers enter an open job and are counted while inside. A waiting thread spins first and then sleeps.
 */

/** Maximum number of phases of one job. */
export const MAX_PHASES: i32 = 2048;
export const MAX_THREADS: i32 = 64;

/** Bytes of a cache line. Each word that threads share has its own cache line. */
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
/** i64: number of the job's first phase (numbers continue from job to job). i32: threads that share its units. */
const JOB_STATE: usize = memory.data(64, 64);
/** [MAX_THREADS] lines: i64, phase number << UNIT_BITS | units claimed from the thread's share of that phase. */
const SHARES: usize = memory.data(MAX_THREADS * 64, 64);
const UNIT_BITS: i64 = 20;
/** [MAX_PHASES] lines: i32 units done. */
const PHASES: usize = memory.data(MAX_PHASES * 64, 64);

/** Reads of a word before a thread sleeps: about 10 microseconds, roughly the cost of sleeping and waking. */
const SPINS_IN_JOB: i32 = 10000;
/** Reads before a worker sleeps between jobs: more of them, because the next token's job follows soon. */
const SPINS_IDLE: i32 = 50000;
/** Interval in nanoseconds at which a sleeping thread checks whether another thread has died. */
const LOOK_UP_NS: i64 = 100_000_000;
/** Timeouts of one wait after which the wait counts as stuck, because a thread died without reporting it. */
const MAX_LOOKS: i32 = 300;

/** 0 for the host's caller. Each thread has its own instance and therefore its own globals. */
let threadIndex: i32 = 0;
let numThreads: i32 = 1;
/** Cache line and number of the thread's current phase. */
let phase: usize = PHASES;
let phaseNumber: i64 = 0;
/** Number of shares found empty, starting with the thread's own. */
let sharesEmptied: i32 = 0;

/** Rounds up to whole cache lines, so that the data after it starts on a new line. */
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

/** Claims a free unit of the phase; returns `numUnits` (at most 2^20) if none is left. */
export function claim(numUnits: i32): i32 {
  for (; sharesEmptied < numThreads; sharesEmptied++) {
    const unit = claimOf((threadIndex + sharesEmptied) % numThreads, numUnits);
    if (unit >= 0) return unit;
  }
  return numUnits;
}

/** Claims the next unit of one thread's share, or returns -1. The first claim in a phase resets the share's count. */
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

/** Reports the units that this thread has completed and waits until all `numUnits` are complete. */
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

/** Waits until a word that other threads change reaches `value`. */
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

/** Marks the pool as dead: every thread that waits, now or later, traps. */
export function fail(): void {
  atomic.store<i32>(FAILED, 1);
}

function checkAlive(): void {
  if (atomic.load<i32>(FAILED) != 0) unreachable();
}

/**
 * Opens a job of at most `numPhases` phases. Its input must already be in memory.
 * @param count number of threads; 1 if no worker takes part
 */
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

/** Makes this instance the worker with the given number. */
export function setThread(index: i32): void {
  threadIndex = index;
}

/** Waits for an open job other than generation `last`, enters it and returns its generation. */
export function enterJob(last: i32): i32 {
  while (true) {
    const generation = awaitJob(last);
    atomic.add<i32>(NUM_INSIDE, 1);
    // Thread 0 makes the generation even and then reads the count, so at least one of the two notices the other.
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
