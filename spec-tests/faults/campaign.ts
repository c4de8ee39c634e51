/** Lets the calls of one kind fail during a scenario, one after the other, and judges each run. */

import type { Kind, Observation, Point } from "./injection.js";
import { randomSource } from "../fixtures/random-model.js";
import { isClearEnd, SCENARIOS, type Scenario } from "./scenarios.js";
import { Subject } from "./subject.js";

export interface CampaignOptions {
  readonly scenario: string;
  readonly kinds: readonly Kind[];
  /** First and last index of the calls that fail. */
  readonly from: number;
  readonly to: number;
  /** Number of points of each kind; if there are more calls, some are left out. */
  readonly maxPoints: number;
  readonly seed: number;
  readonly onFailure?: (failure: Failure) => void;
  /** Called when all points of a kind have been tried. */
  readonly onRow?: (row: Row) => void;
}

export interface Row {
  readonly scenario: string;
  readonly kind: Kind;
  /** Calls in a run without faults. */
  readonly numCalls: number;
  /** Points that were reached. */
  numPoints: number;
  numRight: number;
  numErrors: number;
  readonly failures: Failure[];
}

export interface Failure {
  readonly scenario: string;
  readonly kind: Kind;
  readonly index: number;
  readonly message: string;
  /** Stack of the failing call; null if it was not reached or not told. */
  readonly place: string | null;
}

export async function campaign(options: CampaignOptions): Promise<Row[]> {
  const { kinds, from, to, maxPoints, seed } = options;
  const subject = new Subject();
  let scenario = await SCENARIOS[options.scenario]!();
  try {
    const golden = await unharmed(scenario, subject);
    const rows: Row[] = [];
    for (const kind of kinds) {
      const numCalls = golden.numCalls[kind];
      const row: Row = {
        scenario: scenario.name,
        kind,
        numCalls,
        numPoints: 0,
        numRight: 0,
        numErrors: 0,
        failures: [],
      };
      rows.push(row);
      for (const index of chosen(from, Math.min(to, numCalls), maxPoints, seed)) {
        if (await tried(scenario, subject, { kind, index }, golden.result, row)) continue;
        options.onFailure?.(row.failures.at(-1)!);
        // A fresh process and a fresh scenario: the next point shall not suffer from this one.
        subject.kill();
        await scenario.end(subject).catch(() => undefined);
        subject.kill();
        scenario = await SCENARIOS[options.scenario]!();
      }
      options.onRow?.(row);
    }
    await scenario.end(subject);
    return rows;
  } finally {
    subject.kill();
  }
}

/** Runs the scenario without faults and counts its calls. The first run differs: it loads what later ones find loaded. */
async function unharmed(
  scenario: Scenario,
  subject: Subject,
): Promise<{ result: string; numCalls: Observation["numCalls"] }> {
  for (let run = 0; ; run++) {
    await scenario.prepare(subject);
    await subject.arm(null);
    const result = await scenario.run(subject);
    const { numCalls } = await subject.disarm();
    await scenario.recover(subject);
    if (run === 1) return { result, numCalls };
  }
}

/** Runs the scenario with one failing call. Returns false after a failure, which is noted in the row. */
async function tried(scenario: Scenario, subject: Subject, point: Point, golden: string, row: Row): Promise<boolean> {
  let place: string | null = null;
  try {
    await scenario.prepare(subject);
    await subject.arm(point);
    let end: string | Error;
    try {
      end = await scenario.run(subject);
    } catch (error) {
      end = error as Error;
    }
    ({ place } = await subject.disarm());
    await scenario.recover(subject);
    if (place !== null) row.numPoints++;
    if (end instanceof Error) {
      if (place === null || !isClearEnd(end, point.kind === "socket")) throw end;
      row.numErrors++;
      return true;
    }
    if (end !== golden) throw new Error(`the result is ${end}; ${golden} was expected`);
    if (place !== null) row.numRight++;
    return true;
  } catch (error) {
    const { message } = error as Error;
    row.failures.push({ scenario: scenario.name, ...point, message, place });
    return false;
  }
}

/** Returns all indexes if they are few enough; otherwise the first half of them, and then one of each interval. */
function chosen(from: number, to: number, maxPoints: number, seed: number): number[] {
  const numCalls = Math.max(0, to - from + 1);
  if (numCalls <= maxPoints) return Array.from({ length: numCalls }, (_, place) => from + place);
  const random = randomSource(seed);
  const numFirst = Math.ceil(maxPoints / 2);
  const first = Array.from({ length: numFirst }, (_, place) => from + place);
  const stride = (numCalls - numFirst) / (maxPoints - numFirst);
  const rest = Array.from({ length: maxPoints - numFirst }, (_, place) =>
    Math.floor(from + numFirst + (place + random()) * stride),
  );
  return [...first, ...rest];
}
