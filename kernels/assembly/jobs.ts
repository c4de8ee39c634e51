/** Starts jobs on the host's thread and on workers. */

import { Decode, decode, prepareDecode } from "./decoder";
import { MATMUL_PHASES, Matmul, matmul } from "./matmul";
import { closeJob, enterJob, leaveJob, openJob, setThread } from "./threads";

export const enum Job {
  Matmul = 1,
  Decode,
}

/** i32 job, i32 argument: the job that all threads run. The host's thread writes it while no job is open. */
const JOB: usize = memory.data(16, 16);

/**
 * Runs a job.
 * @param argument address of the job's Matmul or Decode
 * @param numThreads all threads, or 1 for a job that takes less time than waking the others
 */
export function run(job: Job, argument: usize, numThreads: i32): void {
  store<i32>(JOB, job);
  store<usize>(JOB, argument, 4);
  openJob(job == Job.Decode ? prepareDecode(changetype<Decode>(argument)) : MATMUL_PHASES, numThreads);
  runJob(job, argument);
  closeJob();
}

/** Runs a worker: executes one job after another until the pool ends the thread. */
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
