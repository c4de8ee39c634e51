/** Prints the skipped tests by reason and one line of counts at the end of a test run. */

import type { Reporter, TestCase, TestModule } from "vitest/node";

export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const counts = { passed: 0, failed: 0, skipped: 0, pending: 0 };
    const skippedByReason = new Map<string, number>();
    for (const module of modules) {
      if (module.state() === "failed" && module.errors().length > 0) counts.failed++;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        counts[state]++;
        if (state === "skipped") {
          const reason = skipReason(test);
          skippedByReason.set(reason, (skippedByReason.get(reason) ?? 0) + 1);
        }
      }
    }
    for (const [reason, count] of skippedByReason) console.log(`skipped ${count}: ${reason}`);
    console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  }
}

/** The reason of a skip: its note, or the "(needs ...)" in the name of a suite. */
function skipReason(test: TestCase): string {
  const result = test.result();
  if (result.state === "skipped" && result.note !== undefined) return result.note;
  return /\((needs [^)]+)\)/.exec(test.fullName)?.[1] ?? `no reason given (${test.fullName})`;
}
