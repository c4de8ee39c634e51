/** Processor time of another process, and whether it does anything. Linux tells this in /proc. */

import { readdirSync, readFileSync } from "node:fs";

export interface Activity {
  /** Processor time of all threads so far. */
  readonly cpuMs: number;
  /** True if every thread waits for something; a thread that waits for a processor does not count as waiting. */
  readonly isIdle: boolean;
}

/** Returns null if the process has ended, or where the operating system does not tell. */
export function activityOf(pid: number): Activity | null {
  try {
    const threads = readdirSync(`/proc/${pid}/task`).map((id) => fieldsOf(`/proc/${pid}/task/${id}/stat`));
    const fields = fieldsOf(`/proc/${pid}/stat`);
    const [user, system] = [Number(fields[11]), Number(fields[12])];
    return { cpuMs: (user + system) * MS_PER_TICK, isIdle: threads.every(([state]) => state === "S") };
  } catch {
    return null;
  }
}

/** Returns the fields after the name of the program, which may contain spaces; the first is the state. */
function fieldsOf(path: string): string[] {
  const text = readFileSync(path, "utf8");
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

/** The unit of times in /proc, on every machine that Node runs on. */
const MS_PER_TICK = 10;
