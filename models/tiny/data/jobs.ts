/** All tools that are made up, and how often each kind of them is trained on. */

import { buy, control, message, reminder, trip } from "./jobs/actions.js";
import { delegate, handOff, mathHandOff } from "./jobs/agents.js";
import { bare, entity, lookup, plainTool, search } from "./jobs/questions.js";
import { file, generic, language, nested, person } from "./jobs/records.js";
import { calculator, compute, convert, list } from "./jobs/sums.js";
import type { Job } from "./jobs/tool.js";
import type { Random } from "./random.js";

/** A random tool with its requests. */
export function randomJob(random: Random): Job {
  return random.pick(DRAWER)(random);
}

const FAMILIES: readonly (readonly [number, (random: Random) => Job])[] = [
  [5, lookup],
  [3, entity],
  [9, compute],
  [2, calculator],
  [2, plainTool],
  [2, delegate],
  [1, mathHandOff],
  [3, message],
  [3, search],
  [3, control],
  [2, convert],
  [3, reminder],
  [2, trip],
  [2, buy],
  [3, bare],
  [2, handOff],
  [2, list],
  [2, language],
  [2, file],
  [2, person],
  [6, generic],
  [1, nested],
];

const DRAWER = FAMILIES.flatMap(([share, family]) => Array.from({ length: share }, () => family));
