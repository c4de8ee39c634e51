/**
 * `npm run faults`: lets one call to the platform fail in each run of a scenario, and prints a table. The exit code is 1
 * if a run hung, lost something, or ended with a wrong answer or an unclear error.
 */

import { parseArgs } from "node:util";

import { campaign, type Failure, type Row } from "./campaign.js";
import { KINDS, type Kind } from "./injection.js";
import { SCENARIOS } from "./scenarios.js";

const { values } = parseArgs({
  options: {
    scenario: { type: "string", multiple: true },
    kind: { type: "string", multiple: true },
    from: { type: "string", default: "1" },
    to: { type: "string", default: "1000000" },
    points: { type: "string", default: "120" },
    seed: { type: "string", default: "1" },
  },
});

const scenarios = listed("scenario", values.scenario, Object.keys(SCENARIOS));
const kinds = listed("kind", values.kind, KINDS) as Kind[];
const [from, to, maxPoints, seed] = (["from", "to", "points", "seed"] as const).map(number) as [
  number,
  number,
  number,
  number,
];

const rows: Row[] = [];
console.log(
  "| scenario | kind | calls | points tried | right answers | clear errors | failures |\n|---|---|--:|--:|--:|--:|--:|",
);
for (const scenario of scenarios)
  rows.push(
    ...(await campaign({ scenario, kinds, from, to, maxPoints, seed, onFailure: printFailure, onRow: printRow })),
  );
const numFailures = rows.reduce((sum, { failures }) => sum + failures.length, 0);
const numPoints = rows.reduce((sum, row) => sum + row.numPoints, 0);
console.log(`\n${numPoints} points, ${numFailures} failures; at most ${maxPoints} points for each row, seed ${seed}`);
process.exitCode = numFailures === 0 ? 0 : 1;

function printRow({ scenario, kind, numCalls, numPoints, numRight, numErrors, failures }: Row): void {
  // A kind of which a scenario has no calls is no row.
  if (numCalls === 0) return;
  console.log(`| ${[scenario, kind, numCalls, numPoints, numRight, numErrors, failures.length].join(" | ")} |`);
}

function printFailure({ scenario, kind, index, message, place }: Failure): void {
  const lines = [`FAILURE: --scenario ${scenario} --kind ${kind} --from ${index} --to ${index}`, message];
  if (place !== null) lines.push(`The call that failed: ${place}`);
  console.error(`${lines.join("\n")}\n`);
}

function listed(name: string, given: readonly string[] | undefined, allowed: readonly string[]): readonly string[] {
  const unknown = given?.find((value) => !allowed.includes(value));
  if (unknown !== undefined) throw new RangeError(`--${name} must be one of ${allowed.join(", ")}. Given: ${unknown}`);
  return given ?? allowed;
}

function number(name: "from" | "to" | "points" | "seed"): number {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new RangeError(`--${name} must be an integer of at least 1. Given: ${values[name]}`);
}
