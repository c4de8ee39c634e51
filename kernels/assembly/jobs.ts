/** How jobs start, on the host's thread and on workers. */

import { Decode, decode } from "./decoder";
import { Matmul, matmul } from "./matmul";
import { closeJob, enterJob, leaveJob, openJob, setThread, startAlone } from "./threads";

/** Mirrored in kernels.ts. */
export const enum Job {
  /** Ends the workers. */
  Stop,
  Matmul,
  Decode,
}

/** What all threads run; written by the host's thread while no job is open. */
const JOB: usize = memory.data(16, 16);

/** Runs a job of at most `numPhases` phases on all threads. */
export function run(job: Job, argument: usize, numPhases: i32): void {
  store<i32>(JOB, job);
  store<usize>(JOB, argument, 4);
  openJob(numPhases);
  runJob(job, argument);
  closeJob();
}

/** Runs a job on the caller's thread alone: what takes less time than waking the others does. */
export function runAlone(job: Job, argument: usize, numPhases: i32): void {
  startAlone(numPhases);
  runJob(job, argument);
}

/** A worker's life: job after job until the pool stops. */
export function work(index: i32): void {
  setThread(index);
  let generation = 0;
  while (true) {
    generation = enterJob(generation);
    const job: Job = load<i32>(JOB);
    runJob(job, load<usize>(JOB, 4));
    leaveJob();
    if (job == Job.Stop) return;
  }
}

function runJob(job: Job, argument: usize): void {
  if (job == Job.Matmul) matmul(changetype<Matmul>(argument));
  else if (job == Job.Decode) decode(changetype<Decode>(argument));
}
