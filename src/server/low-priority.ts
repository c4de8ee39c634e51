/** Priority of the threads that prepare requests: below that of the threads that make and send tokens. */

import { getPriority, setPriority } from "node:os";

/** Lets the other threads run first, from now on, where the operating system has a priority for each thread. */
export function lowerPriority(): void {
  // Elsewhere, this would be the priority of the whole process.
  if (process.platform !== "linux") return;
  try {
    setPriority(Math.min(getPriority() + 10, LOWEST));
  } catch {
    // A sandbox may forbid it. Tokens may then wait a few milliseconds for their turn.
  }
}

const LOWEST = 19;
