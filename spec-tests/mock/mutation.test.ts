/**
 * The laws find every bug of the mock server within the default budget, each by the law that is named for it, and find
 * nothing where there is none.
 *
 * As a rule a bug is tried with its own law alone, and with the calls that a whole run leaves that law; MUTATION_WHOLE=1
 * tries each with the whole suite. MUTATION_SEEDS=20 tries as many seeds without bugs.
 */

import { beforeAll, describe, expect, test } from "vitest";

import { LAWS } from "../conform/all.js";
import { runLaws, type Run } from "../conform/run.js";
import { BUGS, type BugName } from "./bugs.js";
import { startMock } from "./server.js";

const IS_WHOLE = process.env["MUTATION_WHOLE"] === "1";
const NUM_SEEDS = Number(process.env["MUTATION_SEEDS"] ?? 2);

/** Of `touchstone conform`, where it is not told otherwise. */
const BUDGET = { calls: 500, seconds: 300 };
const TIMEOUT = { timeout: 1000 * (BUDGET.seconds + 30) };

type Dialect = "ppio" | "openai";

interface Trial {
  readonly bugs: readonly BugName[];
  readonly dialect: Dialect;
  readonly seed: number;
  /** All laws unless given. */
  readonly only?: string;
  readonly calls?: number;
}

async function conform({ bugs, dialect, seed, only, calls = BUDGET.calls }: Trial): Promise<Run> {
  const mock = await startMock({ bugs, dialect });
  const laws = LAWS.filter(({ id }) => only === undefined || id === only);
  try {
    return await runLaws({
      endpoint: { baseUrl: `${mock.url}/v1`, apiKey: null },
      model: null,
      dialect: null,
      laws,
      budget: { ...BUDGET, calls },
      seed,
    });
  } finally {
    await mock.close();
  }
}

/** What a run with one law alone may use, so that the law has what it has in this run of all. */
function callsOf({ numCalls, results }: Run): ReadonlyMap<string, number> {
  const forProfile = results.reduce((calls, result) => calls - result.numCalls, numCalls);
  let spent = forProfile;
  return new Map(
    results.map(({ law, numCalls }, index) => {
      const share = Math.floor((BUDGET.calls - spent) / (results.length - index));
      spent += numCalls;
      return [law.id, forProfile + share];
    }),
  );
}

const broken = ({ results }: Run): string[] =>
  results.filter(({ findings }) => findings.length > 0).map(({ law }) => law.id);

describe("each bug is found by its law", () => {
  let calls: ReadonlyMap<string, number>;
  beforeAll(async () => {
    calls = callsOf(await conform({ bugs: [], dialect: "openai", seed: 1 }));
  }, TIMEOUT.timeout);

  test.each(BUGS)("$law finds $name ($report)", TIMEOUT, async ({ name, law }) => {
    const run = await conform({
      bugs: [name],
      dialect: "openai",
      seed: 1,
      ...(IS_WHOLE ? {} : { only: law, calls: calls.get(law)! }),
    });
    if (IS_WHOLE) console.log(`${name}: ${broken(run).join(", ")}; ${run.numCalls} calls, ${run.seconds.toFixed(0)} s`);
    expect(broken(run)).toContain(law);
    expect(run.numCalls).toBeLessThanOrEqual(BUDGET.calls);
    for (const { findings } of run.results)
      for (const { curls } of findings) expect(curls.join("\n")).toContain("curl");
  });
});

describe("without bugs nothing is found", () => {
  const seeds = Array.from({ length: NUM_SEEDS }, (_, index) => index + 1);
  const runs = seeds.flatMap((seed) => (["ppio", "openai"] as const).map((dialect) => ({ seed, dialect })));
  test.each(runs)("seed $seed, $dialect", TIMEOUT, async ({ seed, dialect }) => {
    const { results } = await conform({ bugs: [], dialect, seed });
    expect(
      results.flatMap(({ law, findings }) =>
        findings.map(({ message, counterexample }) => `${law.id}: ${message} (${counterexample})`),
      ),
    ).toEqual([]);
    expect(
      results
        .filter(({ outcome }) => outcome !== "holds")
        .map(({ law, outcome, reason }) => `${law.id} ${outcome}: ${reason}`),
    ).toEqual([]);
  });
});
