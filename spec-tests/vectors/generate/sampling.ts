/**
 * TS-3.1 to TS-3.16: rows of logits with the only token and the only set of kept tokens that the clauses allow. No
 * vector is close to the boundaries of steps 5 to 8. Vectors about one or two parameters have another result if a
 * parameter is ignored or, if the order matters, if the two steps are exchanged.
 */

import { CaseList, number, type Json, type VectorFile } from "./case-list.js";
import { Numbers, uniform } from "./philox.js";

/** The steps in the order of the specification. */
const ORDER = [
  "grammar",
  "logit_bias",
  "repetition_penalty",
  "frequency_penalty",
  "presence_penalty",
  "temperature",
  "top_k",
  "top_p",
  "min_p",
] as const;
type Step = (typeof ORDER)[number];
/** Steps that add to logits. A temperature before one of them divides only the logits so far. */
const ADDING: ReadonlySet<Step> = new Set([
  "logit_bias",
  "repetition_penalty",
  "frequency_penalty",
  "presence_penalty",
]);

const F32_MAX = (2 - 2 ** -23) * 2 ** 127;
/** Minimum relative distance from every boundary. */
const MARGIN = 1e-6;
const DEFAULTS: Parameters = {};

interface Parameters {
  readonly temperature?: number;
  readonly top_k?: number;
  readonly top_p?: number;
  readonly min_p?: number;
  readonly logit_bias?: Readonly<Record<string, number>>;
  readonly repetition_penalty?: number;
  readonly frequency_penalty?: number;
  readonly presence_penalty?: number;
}

interface Row {
  readonly logits: readonly number[];
  /** Default: the number of logits. */
  readonly vocab_size?: number;
  readonly no_token?: readonly number[];
  readonly prompt?: readonly number[];
  readonly output?: readonly number[];
  readonly parameters?: Parameters;
  readonly forbidden?: readonly number[];
  readonly seed?: number;
  readonly choice?: number;
}

interface Drawn {
  readonly token: number;
  readonly kept: readonly number[];
  /** Logits after step 3, of the tokens that steps 2 and 3 changed. */
  readonly adjusted: ReadonlyMap<number, number>;
  /** The smallest relative distance from a boundary. */
  readonly margin: number;
}

/**
 * Computes one draw, or null for a row without a distribution.
 *
 * @param order the specified order, or a wrong one to compare with
 */
function draw(row: Row, order: readonly Step[] = ORDER): Drawn | null {
  const { logits, vocab_size: size = logits.length, no_token: holes = [], parameters = DEFAULTS, output = [] } = row;
  const present = logits
    .slice(0, size)
    .map((z, id) => ({ id, z }))
    .filter(({ id }) => !holes.includes(id));
  if (present.some(({ z }) => Number.isNaN(z) || z === Infinity) || !present.some(({ z }) => Number.isFinite(z)))
    return null;

  let tokens = present.filter(({ z }) => z > -Infinity);
  const touched = new Set<number>();
  let temperature = 1;
  let margin = 1;
  let isGreedy = false;
  let after = new Map<number, number>();
  for (const step of order) {
    if (order.indexOf(step) > order.indexOf("presence_penalty") || step === "temperature")
      tokens = rounded(tokens, touched);
    if (step === "temperature") after = new Map(tokens.filter(({ id }) => touched.has(id)).map(({ id, z }) => [id, z]));
    switch (step) {
      case "grammar":
        tokens = tokens.filter(({ id }) => row.forbidden?.includes(id) !== true);
        break;
      case "temperature":
        temperature = parameters.temperature ?? 1;
        isGreedy = temperature === 0;
        if (isGreedy || !order.slice(order.indexOf(step)).some((one) => ADDING.has(one))) break;
        tokens = scaled(tokens, temperature);
        temperature = 1;
        break;
      case "top_k":
      case "top_p":
      case "min_p":
        if (!isGreedy && parameters[step] !== undefined) {
          const cut = filtered(descending(rounded(tokens, touched)), step, parameters[step], temperature);
          tokens = cut.tokens;
          margin = Math.min(margin, cut.margin);
        }
        break;
      default:
        tokens = tokens.map(({ id, z }) => {
          const value = adjusted(step, z, id, row, parameters);
          if (value !== null) touched.add(id);
          return { id, z: value ?? z };
        });
    }
  }
  const kept = descending(rounded(tokens, touched));
  const largest = kept[0];
  if (largest === undefined) return null;
  if (isGreedy) return { token: largest.id, kept: [largest.id], adjusted: after, margin: 1 };

  const weights = weightsOf(kept, temperature);
  const u = uniform(row.seed ?? 0, row.choice ?? 0, output.length);
  const threshold = u * sum(weights);
  const sums = runningSums(weights);
  margin = Math.min(margin, distance(sums, threshold));
  const index = sums.findIndex((value) => value > threshold);
  return {
    token: kept[index < 0 ? kept.length - 1 : index]!.id,
    kept: kept.map(({ id }) => id),
    adjusted: after,
    margin,
  };
}

interface Token {
  readonly id: number;
  readonly z: number;
}

/** Steps 2 and 3 in float64. @returns null if the step does not apply to the token */
function adjusted(
  step: Step,
  z: number,
  id: number,
  { prompt = [], output = [] }: Row,
  parameters: Parameters,
): number | null {
  const count = output.filter((one) => one === id).length;
  switch (step) {
    case "logit_bias": {
      const bias = parameters.logit_bias?.[String(id)];
      return bias === undefined ? null : z + bias;
    }
    case "repetition_penalty": {
      const { repetition_penalty: r } = parameters;
      if (r === undefined || (count === 0 && !prompt.includes(id))) return null;
      return z > 0 ? z / r : z * r;
    }
    case "frequency_penalty":
      return parameters.frequency_penalty === undefined || count === 0
        ? null
        : z - parameters.frequency_penalty * count;
    case "presence_penalty":
      return parameters.presence_penalty === undefined || count === 0 ? null : z - parameters.presence_penalty;
    default:
      return null;
  }
}

/** Clamps logits and rounds them to float32, once after step 3. */
const rounded = (tokens: readonly Token[], touched: ReadonlySet<number>): Token[] =>
  tokens.map(({ id, z }) => ({ id, z: touched.has(id) ? Math.fround(Math.min(F32_MAX, Math.max(-F32_MAX, z))) : z }));

const scaled = (tokens: readonly Token[], temperature: number): Token[] =>
  tokens.map(({ id, z }) => ({ id, z: z / temperature }));

const descending = (tokens: readonly Token[]): Token[] =>
  [...tokens].sort((a, b) => (a.z === b.z ? a.id - b.id : b.z - a.z));

const weightsOf = (tokens: readonly Token[], temperature: number): number[] =>
  tokens.map(({ z }) => Math.exp((z - tokens[0]!.z) / temperature));

/** Steps 5 to 7. @param tokens in descending order */
function filtered(
  tokens: readonly Token[],
  step: "top_k" | "top_p" | "min_p",
  value: number,
  temperature: number,
): { tokens: Token[]; margin: number } {
  if (tokens.length === 0) return { tokens: [], margin: 1 };
  const weights = weightsOf(tokens, temperature);
  if (step === "top_k") {
    if (value >= tokens.length) return { tokens: [...tokens], margin: 1 };
    const [last, next] = [tokens[value - 1]!, tokens[value]!];
    const gap = Math.abs(last.z - next.z) / Math.max(Math.abs(last.z), Math.abs(next.z), 1e-300);
    return { tokens: tokens.slice(0, value), margin: last.z === next.z ? 1 : gap };
  }
  if (step === "min_p") {
    if (value === 0) return { tokens: [...tokens], margin: 1 };
    // The largest weight is 1 in any arithmetic, so it needs no margin.
    const others = weights.filter((_, index) => tokens[index]!.z !== tokens[0]!.z);
    return { tokens: tokens.filter((_, index) => weights[index]! >= value), margin: distance(others, value) };
  }
  if (value === 1) return { tokens: [...tokens], margin: 1 };
  const target = value * sum(weights);
  const sums = runningSums(weights);
  const end = sums.findIndex((weight) => weight >= target);
  return { tokens: tokens.slice(0, Math.max(1, end + 1)), margin: value === 0 ? 1 : distance(sums, target) };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

function runningSums(values: readonly number[]): number[] {
  let total = 0;
  return values.map((value) => (total += value));
}

const distance = (values: readonly number[], threshold: number): number =>
  values.reduce((least, value) => Math.min(least, Math.abs(value - threshold) / threshold), 1);

/** The observable result of a draw. */
const shown = (drawn: Drawn | null): string => (drawn === null ? "error" : JSON.stringify([drawn.token, drawn.kept]));

export function samplingVectors(): VectorFile {
  const list = new CaseList<{ expected: Json }>("sampling");
  const add = (group: string, clause: string, what: string, row: Row): void => {
    const drawn = draw(row);
    if (drawn !== null && drawn.margin < MARGIN) throw new Error(`${group}: ${what}: ${drawn.margin} from a boundary`);
    list.add(group, clause, what, fieldsOf(row, drawn));
  };
  addOrder(add);
  addAlone(add);
  addPairs(add);
  addTies(add);
  addExtremes(add);
  addPenalties(add);
  addRows(add);
  addTogether(add);
  return { name: "sampling", kind: "sampling", cases: list.cases };
}

type Add = (group: string, clause: string, what: string, row: Row) => void;

function fieldsOf(row: Row, drawn: Drawn | null): { expected: Json } {
  const {
    logits,
    prompt = [],
    output = [],
    parameters = DEFAULTS,
    forbidden,
    no_token: holes,
    seed = 0,
    choice = 0,
  } = row;
  const expected: Json =
    drawn === null
      ? { error: "internal_error" }
      : {
          token: drawn.token,
          kept: drawn.kept,
          ...(drawn.adjusted.size === 0
            ? {}
            : { adjusted: Object.fromEntries([...drawn.adjusted].map(([id, z]) => [id, number(z)])) }),
        };
  return {
    logits: logits.map(number),
    vocab_size: row.vocab_size ?? logits.length,
    ...(holes === undefined ? {} : { no_token: holes }),
    prompt,
    output,
    parameters,
    ...(forbidden === undefined ? {} : { forbidden }),
    seed,
    choice,
    uniform: uniform(seed, choice, output.length),
    expected,
  } as { expected: Json };
}

/** Returns the float32 logits of probabilities. */
const logs = (...probabilities: number[]): number[] => probabilities.map((p) => Math.fround(Math.log(p)));

/** Finds a seed whose uniform number at a position is in a range. Vectors do not depend on which seed it is. */
function seedWithin(low: number, high: number, position = 0): number {
  for (let seed = 1; ; seed++) {
    const u = uniform(seed, 0, position);
    if (u >= low && u < high) return seed;
  }
}

const FOUR = logs(0.4, 0.3, 0.2, 0.1);

/** Cases in which other engines use another order of steps, or count differently, with a visible effect. */
function addOrder(add: Add): void {
  const late = seedWithin(0.97, 0.999);
  add("order", "TS-3.2", "temperature before top_p: three tokens stay; temperature last would keep two", {
    logits: FOUR,
    parameters: { temperature: 2, top_p: 0.65 },
    seed: late,
  });
  add("order", "TS-3.2", "top_p before min_p: three tokens stay; min_p first would keep two", {
    logits: FOUR,
    parameters: { top_p: 0.75, min_p: 0.3 },
    seed: late,
  });
  add("order", "TS-3.12", "top_p of what top_k has left: one token stays; of the whole distribution it would be two", {
    logits: FOUR,
    parameters: { top_k: 2, top_p: 0.5 },
    seed: late,
  });
  add("order", "TS-3.4", "bias before repetition_penalty: (2 + 2) / 2 is 2; the other way round it is 3", {
    logits: [2, 2.5, 0],
    prompt: [0],
    parameters: { logit_bias: { 0: 2 }, repetition_penalty: 2, temperature: 0 },
  });
  add("order", "TS-3.8", "repetition_penalty before frequency_penalty: 2 / 2 - 1 is 0; the other way round it is 0.5", {
    logits: [2, 0.25, -1],
    output: [0],
    parameters: { repetition_penalty: 2, frequency_penalty: 1, temperature: 0 },
  });
  add("order", "TS-3.8", "repetition_penalty before presence_penalty: 2 / 2 - 1 is 0; the other way round it is 0.5", {
    logits: [2, 0.25, -1],
    output: [0],
    parameters: { repetition_penalty: 2, presence_penalty: 1, temperature: 0 },
  });
  add("order", "TS-3.11", "exactly two of three equal tokens stay", {
    logits: [1, 1, 1, 0],
    parameters: { top_k: 2 },
    seed: late,
  });
  add("order", "TS-3.12", "the token that reaches p stays, and no other", {
    logits: FOUR,
    parameters: { top_p: 0.69 },
    seed: late,
  });
  add("order", "TS-3.12", "p a little above the sum of two takes three", {
    logits: FOUR,
    parameters: { top_p: 0.71 },
    seed: late,
  });
  add("order", "TS-3.2", "grammar before top_k: two legal tokens stay; top_k first would leave one", {
    logits: FOUR,
    forbidden: [0],
    parameters: { top_k: 2 },
    seed: late,
  });
  add("order", "TS-3.2", "grammar before top_p: p is a share of what is legal", {
    logits: FOUR,
    forbidden: [0],
    parameters: { top_p: 0.6 },
    seed: late,
  });
  add("order", "TS-3.2", "grammar before min_p: relative to the likeliest legal token", {
    logits: logs(0.9, 0.06, 0.03, 0.01),
    forbidden: [0],
    parameters: { min_p: 0.4 },
    seed: late,
  });
  add("order", "TS-3.2", "bias before top_k: the raised token is among the first two", {
    logits: FOUR,
    parameters: { logit_bias: { 3: 5 }, top_k: 2 },
    seed: late,
  });
  add("order", "TS-3.2", "penalties before top_p: the penalised token is no longer the first", {
    logits: FOUR,
    output: [0],
    parameters: { presence_penalty: 2, top_p: 0.5 },
    seed: seedWithin(0.97, 0.999, 1),
  });
  add("order", "TS-3.2", "penalties are not divided by the temperature a second time", {
    logits: [1, 0.6, 0],
    output: [0],
    parameters: { presence_penalty: 0.5, temperature: 0.5 },
    seed: seedWithin(0.3, 0.5, 1),
  });
  add("order", "TS-3.2", "temperature before min_p: at 2 the second token is above half, at 1 it is not", {
    logits: [0, -1, -4],
    parameters: { temperature: 2, min_p: 0.5 },
    seed: late,
  });
}

/** The clause that specifies each parameter. */
const CLAUSES: Readonly<Record<Step, string>> = {
  grammar: "TS-3.3",
  logit_bias: "TS-3.4",
  repetition_penalty: "TS-3.5",
  frequency_penalty: "TS-3.6",
  presence_penalty: "TS-3.7",
  temperature: "TS-3.9",
  top_k: "TS-3.11",
  top_p: "TS-3.12",
  min_p: "TS-3.13",
};

const ALONE_EACH = 8;

function addAlone(add: Add): void {
  for (const [index, step] of ORDER.entries()) {
    const numbers = new Numbers(100 + index);
    for (let count = 0; count < ALONE_EACH; count++) {
      const row = until(
        step,
        () => rowWith(numbers, [step]),
        (one) => differs(one, without(one, step)),
      );
      add(step, CLAUSES[step], `${step} alone; without it the result is another`, row);
    }
  }
}

/** Pairs of steps whose exchange changes only rounding. */
const COMMUTE = new Set([
  "grammar logit_bias",
  "grammar repetition_penalty",
  "grammar frequency_penalty",
  "grammar presence_penalty",
  "grammar temperature",
  "repetition_penalty temperature",
  "logit_bias frequency_penalty",
  "logit_bias presence_penalty",
  "frequency_penalty presence_penalty",
  "temperature top_k",
  "top_k min_p",
]);

/** Pairs of filters of which the stricter one decides. The cases alternate between the two. */
const LESS_DECIDES = new Set(["top_k min_p", "top_p min_p"]);

const PAIRS_EACH = 3;

function addPairs(add: Add): void {
  let stream = 200;
  for (const [index, first] of ORDER.entries()) {
    for (const second of ORDER.slice(index + 1)) {
      const numbers = new Numbers(stream++);
      const commute = COMMUTE.has(`${first} ${second}`);
      const oneDecides = LESS_DECIDES.has(`${first} ${second}`);
      for (let count = 0; count < PAIRS_EACH; count++) {
        const row = until(
          `${first} and ${second}`,
          () => rowWith(numbers, [first, second]),
          (one) => {
            const needed = oneDecides ? [count % 2 === 0 ? first : second] : [first, second];
            return (
              needed.every((step) => differs(one, without(one, step))) &&
              (commute || shown(draw(one)) !== shown(draw(one, exchanged(first, second))))
            );
          },
        );
        const alone = oneDecides ? "the one that leaves less decides" : "without either the result is another";
        const order = commute ? "" : `; with ${second} before ${first} the result is another`;
        add(`${first}-${second}`, CLAUSES[second], `${first} and ${second}: ${alone}${order}`, row);
      }
    }
  }
}

const differs = (one: Row, other: Row): boolean => shown(draw(one)) !== shown(draw(other));

/** Returns the order in which the second step precedes the first. */
function exchanged(first: Step, second: Step): Step[] {
  const order = ORDER.filter((step) => step !== second);
  order.splice(order.indexOf(first), 0, second);
  return order;
}

function without(row: Row, step: Step): Row {
  if (step === "grammar") return { ...row, forbidden: [] };
  return {
    ...row,
    parameters: Object.fromEntries(Object.entries(row.parameters ?? DEFAULTS).filter(([name]) => name !== step)),
  };
}

/** Returns the first row that satisfies the condition and is not close to a boundary. */
function until(what: string, make: () => Row, isWanted: (row: Row) => boolean): Row {
  for (let attempt = 0; attempt < 20_000; attempt++) {
    const row = make();
    const drawn = draw(row);
    if (drawn !== null && drawn.margin >= 2 * MARGIN && isWanted(row)) return row;
  }
  throw new Error(`No row satisfies the condition of ${what}`);
}

/** Creates a random row with the given steps enabled. Logits are multiples of 1/16, so that ties are frequent. */
function rowWith(numbers: Numbers, steps: readonly Step[]): Row {
  const size = 4 + numbers.below(9);
  const logits = Array.from({ length: size }, () => (numbers.below(129) - 64) / 16);
  const ids = (count: number): number[] => Array.from({ length: count }, () => numbers.below(size));
  const hundredths = (low: number, high: number): number => (low + numbers.below(high - low + 1)) / 100;
  const has = (step: Step): boolean => steps.includes(step);
  const counted = has("frequency_penalty") || has("presence_penalty");
  const parameters: Parameters = {
    ...(has("temperature") ? { temperature: hundredths(10, 200) } : {}),
    ...(has("top_k") ? { top_k: 1 + numbers.below(size - 1) } : {}),
    ...(has("top_p") ? { top_p: hundredths(5, 99) } : {}),
    ...(has("min_p") ? { min_p: hundredths(1, 95) } : {}),
    ...(has("logit_bias")
      ? { logit_bias: Object.fromEntries(ids(1 + numbers.below(3)).map((id) => [id, hundredths(-400, 400)])) }
      : {}),
    ...(has("repetition_penalty") ? { repetition_penalty: hundredths(50, 200) } : {}),
    ...(has("frequency_penalty") ? { frequency_penalty: hundredths(-200, 200) } : {}),
    ...(has("presence_penalty") ? { presence_penalty: hundredths(-200, 200) } : {}),
  };
  return {
    logits,
    prompt: has("repetition_penalty") ? ids(1 + numbers.below(3)) : [],
    output: counted ? ids(1 + numbers.below(5)) : ids(numbers.below(3)),
    parameters,
    ...(has("grammar") ? { forbidden: [...new Set(ids(1 + numbers.below(3)))].sort((a, b) => a - b) } : {}),
    seed: numbers.below(2 ** 32) * (numbers.below(2) === 0 ? 1 : -1),
    choice: numbers.below(4),
  };
}

function addTies(add: Add): void {
  const equal = [0.5, 0.5, 0.5, 0.5, 0.5];
  const ties = (what: string, clause: string, row: Row): void => add("tie", clause, what, row);
  ties("greedy: the lowest id of equal ones", "TS-3.10", { logits: [1, 3, 3, 3], parameters: { temperature: 0 } });
  ties("greedy: all equal", "TS-3.10", { logits: equal, parameters: { temperature: 0 } });
  ties("greedy: 0 and -0 are equal", "TS-3.10", { logits: [-0, 0, -1], parameters: { temperature: 0 } });
  ties("greedy: equal after the bias", "TS-3.10", {
    logits: [1, 2, 0],
    parameters: { temperature: 0, logit_bias: { 0: 1 } },
  });
  ties("greedy: equal after a penalty", "TS-3.10", {
    logits: [1, 2, 0],
    output: [1],
    parameters: { temperature: 0, presence_penalty: 1 },
  });
  ties("greedy: equal only once rounded to float32", "TS-3.8", {
    logits: [1, Math.fround(1 + 2 ** -23), 0],
    parameters: { temperature: 0, logit_bias: { 0: 2 ** -24 + 2 ** -25 } },
  });
  ties("greedy: the lowest id is forbidden", "TS-3.10", {
    logits: [3, 3, 1],
    forbidden: [0],
    parameters: { temperature: 0 },
  });
  for (const k of [1, 2, 3, 4])
    ties(`top_k ${k} of five equal ones keeps the lowest ids`, "TS-3.11", {
      logits: equal,
      parameters: { top_k: k },
      seed: seedWithin(0.9, 0.99),
    });
  ties("top_k cuts through a tie that is not the first", "TS-3.11", {
    logits: [0, 2, 1, 1, 1, 2],
    parameters: { top_k: 4 },
    seed: seedWithin(0.9, 0.99),
  });
  ties("top_k 1 with 0 and -0", "TS-3.11", { logits: [-1, -0, 0], parameters: { top_k: 1 } });
  for (const p of [0.15, 0.35, 0.55, 0.75, 0.95]) {
    ties(`top_p ${p} of five equal ones keeps the lowest ids`, "TS-3.12", {
      logits: equal,
      parameters: { top_p: p },
      seed: seedWithin(0.95, 0.99),
    });
  }
  ties("min_p 1 keeps all that are largest", "TS-3.13", {
    logits: [0, 2, 2, 1, 2],
    parameters: { min_p: 1 },
    seed: seedWithin(0.9, 0.99),
  });
  for (const [low, high, which] of [
    [0.01, 0.19, "first"],
    [0.21, 0.39, "second"],
    [0.81, 0.99, "last"],
  ] as const) {
    ties(`five equal ones are walked by id: the ${which}`, "TS-3.14", { logits: equal, seed: seedWithin(low, high) });
  }
  ties("equal ones are walked by id behind a larger one", "TS-3.14", {
    logits: [1, 3, 1, 1],
    seed: seedWithin(0.85, 0.9),
  });
  ties("0 and -0 are walked by id", "TS-3.14", { logits: [-0, 0], seed: seedWithin(0.6, 0.9) });
}

function addExtremes(add: Add): void {
  const big = Math.fround(3e38);
  const extreme = (clause: string, what: string, row: Row): void => add("extreme", clause, what, row);
  extreme("TS-3.9", "temperature 2", { logits: FOUR, parameters: { temperature: 2 }, seed: seedWithin(0.86, 0.9) });
  extreme("TS-3.9", "temperature 0.01 is no threshold: the second token is drawn", {
    logits: [0, Math.fround(-0.001), -1],
    parameters: { temperature: 0.01 },
    seed: seedWithin(0.6, 0.9),
  });
  extreme("TS-3.9", "temperature 1e-7 divides: two equal ones share", {
    logits: [1, 1, Math.fround(0.9999)],
    parameters: { temperature: 1e-7 },
    seed: seedWithin(0.6, 0.9),
  });
  extreme("TS-3.9", "temperature 1e-7 divides a difference of one unit in the last place", {
    logits: [1, Math.fround(1 - 2 ** -24), 0],
    parameters: { temperature: 1e-7 },
    seed: seedWithin(0.7, 0.9),
  });
  extreme("TS-3.9", "the smallest temperature: all weight is on the largest", {
    logits: [0, 1, 0.5],
    parameters: { temperature: Number.MIN_VALUE },
    seed: seedWithin(0.9, 0.99),
  });
  extreme("TS-3.9", "the smallest temperature, two largest", {
    logits: [0, 1, 1],
    parameters: { temperature: Number.MIN_VALUE },
    seed: seedWithin(0.6, 0.9),
  });
  extreme("TS-3.9", "logits of 3e38 do not overflow", { logits: [big, -big, big], seed: seedWithin(0.6, 0.9) });
  extreme("TS-3.9", "weights that vanish are never drawn", { logits: [0, -1000, -2000], seed: seedWithin(0.999, 1) });
  extreme("TS-3.9", "logits below any exp, relative to the largest", {
    logits: [-10_000, -10_001, -10_002],
    seed: seedWithin(0.7, 0.85),
  });
  extreme("TS-3.1", "a logit of -Infinity is never drawn", {
    logits: [-Infinity, 0, -Infinity, 0],
    seed: seedWithin(0.6, 0.99),
  });
  extreme("TS-3.1", "one finite logit is drawn whatever u is", {
    logits: [-Infinity, -big, -Infinity],
    seed: seedWithin(0.99, 1),
  });
  extreme("TS-3.1", "greedy passes over -Infinity", { logits: [-Infinity, -5, -4], parameters: { temperature: 0 } });
  extreme("TS-3.8", "a bias on 3.4e38 is clamped to the largest float32", {
    logits: [Math.fround(F32_MAX), 0],
    parameters: { logit_bias: { 0: 100 }, temperature: 0 },
  });
  extreme("TS-3.8", "a repetition_penalty below 1 that would overflow is clamped", {
    logits: [big, big, 0],
    prompt: [1],
    parameters: { repetition_penalty: 0.5, temperature: 0 },
  });
  extreme("TS-3.8", "a negative logit that would overflow is clamped", {
    logits: [-big, 0, 1],
    prompt: [0],
    parameters: { repetition_penalty: 2, temperature: 0 },
  });
  extreme("TS-3.8", "steps 2 and 3 round once: five roundings would give another float32", {
    logits: [Math.fround(0.1), 0, 1],
    output: [0, 0, 0],
    parameters: {
      logit_bias: { 0: 33.333 },
      repetition_penalty: 1.7,
      frequency_penalty: 0.31,
      presence_penalty: -1.9,
      temperature: 0,
    },
  });
  extreme("TS-2.20", "a bias of -100 is no ban: a lead of 150 survives it", {
    logits: [150, 0, -1],
    parameters: { logit_bias: { 0: -100 } },
    seed: seedWithin(0.9, 0.99),
  });
  extreme("TS-2.20", "a bias of 100 is no force: it does not make up 150", {
    logits: [150, 0, -1],
    parameters: { logit_bias: { 1: 100 } },
    seed: seedWithin(0.9, 0.99),
  });
  extreme("TS-2.20", "a bias on every token changes nothing", {
    logits: [1, 2, 3],
    parameters: { logit_bias: { 0: 7.25, 1: 7.25, 2: 7.25 } },
    seed: seedWithin(0.7, 0.85),
  });
  extreme("TS-2.20", "a bias of 0 changes nothing", {
    logits: [1, 2, 3],
    parameters: { logit_bias: { 0: 0 } },
    seed: seedWithin(0.7, 0.85),
  });
  extreme("TS-2.20", "a fraction", { logits: [1, 1.25, 0], parameters: { logit_bias: { 0: 0.5 }, temperature: 0 } });
  extreme("TS-2.18", "top_k 1 is the largest", {
    logits: [0, 3, 2],
    parameters: { top_k: 1 },
    seed: seedWithin(0.99, 1),
  });
  extreme("TS-2.18", "a top_k of more than there are tokens is off", {
    logits: [0, 3, 2],
    parameters: { top_k: 128 },
    seed: seedWithin(0.97, 1),
  });
  extreme("TS-2.17", "top_p 1 is off", { logits: [0, 3, 2], parameters: { top_p: 1 }, seed: seedWithin(0.97, 1) });
  extreme("TS-1.5", "top_p 0 keeps one token", {
    logits: [0, 3, 2.5],
    parameters: { top_p: 0 },
    seed: seedWithin(0.97, 1),
  });
  extreme("TS-2.17", "a very small top_p keeps one token", {
    logits: [0, 3, 2.5],
    parameters: { top_p: 1e-9 },
    seed: seedWithin(0.97, 1),
  });
  extreme("TS-2.19", "min_p 0 is off", { logits: [0, 3, 2], parameters: { min_p: 0 }, seed: seedWithin(0.97, 1) });
  extreme("TS-2.19", "min_p 1 keeps the largest", {
    logits: [0, 3, 2.5],
    parameters: { min_p: 1 },
    seed: seedWithin(0.97, 1),
  });
  extreme("TS-3.14", "u near 0 draws the first", { logits: FOUR, seed: seedWithin(0, 0.0005) });
  extreme("TS-3.14", "u near 1 draws the last", { logits: FOUR, seed: seedWithin(0.9995, 1) });
  extreme("TS-3.14", "one token", { logits: [-3], seed: 5 });
}

function addPenalties(add: Add): void {
  const greedy = (clause: string, what: string, logits: readonly number[], rest: Omit<Row, "logits">): void =>
    add("penalty", clause, what, { ...rest, logits, parameters: { ...rest.parameters, temperature: 0 } });
  greedy("TS-3.6", "the prompt does not count", [1, 0.5], { prompt: [0, 0, 0], parameters: { frequency_penalty: 2 } });
  greedy("TS-3.7", "the prompt does not count", [1, 0.5], { prompt: [0, 0, 0], parameters: { presence_penalty: 2 } });
  greedy("TS-3.6", "every occurrence in the output counts", [2, 0], {
    output: [0, 0, 0],
    parameters: { frequency_penalty: 0.75 },
  });
  greedy("TS-3.7", "occurrences are not counted", [2, 0], {
    output: [0, 0, 0],
    parameters: { presence_penalty: 0.75 },
  });
  greedy("TS-3.6", "a negative one rewards", [2, 1], { output: [1, 1], parameters: { frequency_penalty: -0.625 } });
  greedy("TS-3.7", "a negative one rewards", [2, 1], { output: [1, 1], parameters: { presence_penalty: -1.125 } });
  greedy("TS-3.5", "the prompt counts", [2, 1.5], { prompt: [0], parameters: { repetition_penalty: 1.5 } });
  greedy("TS-3.5", "the output counts", [2, 1.5], { output: [0], parameters: { repetition_penalty: 1.5 } });
  greedy("TS-3.5", "once, however often the token occurs", [2, 1.25], {
    prompt: [0, 0],
    output: [0, 0],
    parameters: { repetition_penalty: 1.5 },
  });
  greedy("TS-3.5", "negative logits are multiplied", [-1, -1.5], {
    prompt: [0],
    parameters: { repetition_penalty: 2 },
  });
  greedy("TS-3.5", "below 1 it rewards: negative logits rise", [-1, -1.5], {
    prompt: [1],
    parameters: { repetition_penalty: 0.5 },
  });
  greedy("TS-3.5", "a logit of 0 stays", [0, -0.5], { prompt: [0], parameters: { repetition_penalty: 2 } });
  greedy("TS-3.5", "a logit that the bias made negative is multiplied", [1, -2.5], {
    prompt: [0],
    parameters: { logit_bias: { 0: -2 }, repetition_penalty: 2 },
  });
  greedy("TS-3.5", "a penalty of 1 changes nothing", [2, 1.5], {
    prompt: [0],
    output: [0],
    parameters: { repetition_penalty: 1 },
  });
  greedy("TS-3.6", "a penalty of 0 changes nothing", [2, 1.5], {
    output: [0, 0],
    parameters: { frequency_penalty: 0 },
  });
  greedy("TS-3.7", "a penalty of 0 changes nothing", [2, 1.5], { output: [0, 0], parameters: { presence_penalty: 0 } });
  greedy("TS-3.8", "all three, and a bias", [4, 0], {
    prompt: [0, 1],
    output: [0, 0],
    parameters: { logit_bias: { 0: 2 }, repetition_penalty: 1.5, frequency_penalty: 1, presence_penalty: 0.5 },
  });
}

function addRows(add: Add): void {
  const row = (clause: string, what: string, one: Row): void => add("row", clause, what, one);
  row("TS-3.1", "padding is no token, greedy", { logits: [1, 2, 9, 9], vocab_size: 2, parameters: { temperature: 0 } });
  row("TS-3.1", "padding has no weight", { logits: [1, 1, 50], vocab_size: 2, seed: seedWithin(0.6, 0.9) });
  row("TS-3.1", "padding is not counted by top_k", {
    logits: [1, 2, 9, 9],
    vocab_size: 2,
    parameters: { top_k: 2 },
    seed: seedWithin(0.9, 0.99),
  });
  row("TS-3.1", "padding has no share in top_p", {
    logits: [...FOUR, 0, 0],
    vocab_size: 4,
    parameters: { top_p: 0.65 },
    seed: seedWithin(0.9, 0.99),
  });
  row("TS-3.1", "padding is not what min_p is relative to", {
    logits: [...FOUR, 5],
    vocab_size: 4,
    parameters: { min_p: 0.6 },
    seed: seedWithin(0.9, 0.99),
  });
  row("TS-3.1", "NaN and +Infinity in the padding", {
    logits: [1, 2, NaN, Infinity],
    vocab_size: 2,
    seed: seedWithin(0.9, 0.99),
  });
  row("TS-3.1", "an id without a token, greedy", { logits: [1, 9, 2], no_token: [1], parameters: { temperature: 0 } });
  row("TS-3.1", "an id without a token has no weight", {
    logits: [1, 9, 1],
    no_token: [1],
    seed: seedWithin(0.6, 0.9),
  });
  row("TS-3.1", "an id without a token is not counted by top_k", {
    logits: [1, 9, 2, 0],
    no_token: [1],
    parameters: { top_k: 2 },
    seed: seedWithin(0.9, 0.99),
  });
  row("TS-3.3", "a forbidden token stays removed, whatever is added", {
    logits: [1, 0],
    forbidden: [1],
    parameters: { logit_bias: { 1: 100 }, temperature: 0 },
  });
  row("TS-3.3", "all but one are forbidden", {
    logits: [5, 0, 3, 1],
    forbidden: [0, 2, 3],
    seed: seedWithin(0.9, 0.99),
  });
  row("TS-3.3", "forbidden tokens that could not have been drawn change nothing", {
    logits: [1, -Infinity, 2],
    forbidden: [1],
    seed: seedWithin(0.8, 0.9),
  });
  row("TS-3.3", "all are forbidden", { logits: [1, 2], forbidden: [0, 1] });
  row("TS-3.3", "those that are not forbidden cannot be drawn", { logits: [1, -Infinity], forbidden: [0] });
  row("TS-3.15", "NaN", { logits: [1, NaN, 0] });
  row("TS-3.15", "NaN, greedy", { logits: [1, NaN, 0], parameters: { temperature: 0 } });
  row("TS-3.15", "NaN that is forbidden", { logits: [1, NaN, 0], forbidden: [1] });
  row("TS-3.15", "+Infinity", { logits: [1, Infinity, 0] });
  row("TS-3.15", "+Infinity, greedy", { logits: [1, Infinity, 0], parameters: { temperature: 0 } });
  row("TS-3.15", "nothing finite", { logits: [-Infinity, -Infinity] });
  row("TS-3.15", "nothing finite but padding", { logits: [-Infinity, -Infinity, 3], vocab_size: 2 });
}

/** Cases with all parameters together, and with larger rows. */
function addTogether(add: Add): void {
  const numbers = new Numbers(9);
  for (let count = 0; count < 40; count++) {
    const row = until(
      "many at once",
      () =>
        rowWith(
          numbers,
          ORDER.filter(() => numbers.below(10) < 8),
        ),
      (one) => (draw(one)?.kept.length ?? 0) > 1,
    );
    add("together", "TS-3.2", "many parameters at once", row);
  }
  for (const size of [64, 256, 500]) {
    for (const parameters of [
      {},
      { top_k: 18 },
      { top_p: 0.3 },
      { temperature: 0.7, top_p: 0.2, top_k: 100, min_p: 0.01 },
    ] as const) {
      const row = until(
        `${size} tokens`,
        () => ({
          logits: Array.from({ length: size }, () => (numbers.below(513) - 256) / 32),
          parameters,
          seed: numbers.below(2 ** 20),
        }),
        () => true,
      );
      add("large", "TS-3.14", `${size} tokens, many of them equal`, row);
    }
  }
}
