/**
 * Mutation tests of the laws: each bug of the mock server is found by its law within the default budget, and a server
 * without bugs gets no findings.
 *
 * By default a bug is checked with its own law only, with as many calls as the law gets in a complete run.
 * MUTATION_WHOLE=1 checks each bug with the complete suite. MUTATION_SEEDS=20 runs 20 seeds without bugs.
 */

import { beforeAll, describe, expect, test } from "vitest";

import { conform, type ConformResult, type Dialect } from "../conform/index.js";
import { BUGS, type BugName } from "./bugs.js";
import { startMock } from "./server.js";

const IS_WHOLE = process.env["MUTATION_WHOLE"] === "1";
const NUM_SEEDS = Number(process.env["MUTATION_SEEDS"] ?? 2);

/** The default budget. */
const BUDGET = { calls: 650, seconds: 400 };
const TIMEOUT = { timeout: 1000 * (BUDGET.seconds + 30) };

interface Trial {
  readonly bugs: readonly BugName[];
  readonly dialect: Dialect;
  readonly seed: number;
  /** Id of the only law to check. Default: all laws. */
  readonly only?: string;
  readonly calls?: number;
}

async function check({ bugs, dialect, seed, only, calls = BUDGET.calls }: Trial): Promise<ConformResult> {
  const mock = await startMock({ bugs, dialect });
  try {
    return await conform({
      baseUrl: `${mock.url}/v1`,
      ...(only === undefined ? {} : { only: [only] }),
      budget: { ...BUDGET, calls },
      seed,
    });
  } finally {
    await mock.close();
  }
}

/** Returns, for each law, the calls with which a run of that law alone gives it the same share as a complete run. */
function callsOf({ numCalls, laws }: ConformResult): ReadonlyMap<string, number> {
  const forProfile = laws.reduce((calls, law) => calls - law.numCalls, numCalls);
  let spent = forProfile;
  return new Map(
    laws.map(({ law, numCalls }, index) => {
      const share = Math.floor((BUDGET.calls - spent) / (laws.length - index));
      spent += numCalls;
      return [law.id, forProfile + share];
    }),
  );
}

const broken = ({ laws }: ConformResult): string[] =>
  laws.filter(({ outcome }) => outcome === "broken").map(({ law }) => law.id);

describe("each bug", () => {
  let calls: ReadonlyMap<string, number>;
  beforeAll(async () => {
    calls = callsOf(await check({ bugs: [], dialect: "openai", seed: 1 }));
  }, TIMEOUT.timeout);

  test.concurrent.each(BUGS)("$name ($report) is found by $law", TIMEOUT, async ({ name, law }) => {
    const run = await check({
      bugs: [name],
      dialect: "openai",
      seed: 1,
      ...(IS_WHOLE ? {} : { only: law, calls: calls.get(law)! }),
    });
    if (IS_WHOLE) console.log(`${name}: ${broken(run).join(", ")}; ${run.numCalls} calls, ${run.seconds.toFixed(0)} s`);
    expect(broken(run)).toContain(law);
    expect(run.numCalls).toBeLessThanOrEqual(BUDGET.calls);
    for (const { curls } of run.findings) expect(curls.join("\n")).toContain("curl");
  });
});

describe("a server without bugs gets no findings", () => {
  const seeds = Array.from({ length: NUM_SEEDS }, (_, index) => index + 1);
  const runs = seeds.flatMap((seed) => (["ppio", "openai"] as const).map((dialect) => ({ seed, dialect })));
  test.concurrent.each(runs)("seed $seed, $dialect", TIMEOUT, async ({ seed, dialect }) => {
    const { findings, laws } = await check({ bugs: [], dialect, seed });
    expect(findings.map(({ lawId, message, counterexample }) => `${lawId}: ${message} (${counterexample})`)).toEqual(
      [],
    );
    expect(
      laws
        .filter(({ outcome }) => outcome !== "holds")
        .map(({ law, outcome, reason }) => `${law.id} ${outcome}: ${reason}`),
    ).toEqual([]);
  });
});
