/** How jobs start, on the host's thread and on workers. */

import { Decode, decode, prepareDecode } from "./decoder";
import { MATMUL_PHASES, Matmul, matmul } from "./matmul";
import { closeJob, enterJob, leaveJob, openJob, setThread } from "./threads";

export const enum Job {
  Matmul = 1,
  Decode,
}

/** What all threads run; written by the host's thread while no job is open. */
const JOB: usize = memory.data(16, 16);

/**
 * Runs a job.
 * @param argument its Matmul or Decode
 * @param numThreads all of them, or 1 for what takes less time than waking the others does
 */
export function run(job: Job, argument: usize, numThreads: i32): void {
  store<i32>(JOB, job);
  store<usize>(JOB, argument, 4);
  openJob(job == Job.Decode ? prepareDecode(changetype<Decode>(argument)) : MATMUL_PHASES, numThreads);
  runJob(job, argument);
  closeJob();
}

/** A worker's life: job after job until the pool ends it. */
export function work(index: i32): void {
  setThread(index);
  let generation = 0;
  while (true) {
    generation = enterJob(generation);
    runJob(load<i32>(JOB), load<usize>(JOB, 4));
    leaveJob();
  }
}

function runJob(job: Job, argument: usize): void {
  if (job == Job.Matmul) matmul(changetype<Matmul>(argument));
  else if (job == Job.Decode) decode(changetype<Decode>(argument));
}
