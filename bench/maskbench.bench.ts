/**
 * Runs MaskBench (guidance-ai/jsonschemabench, folder maskbench/data): real schemas, each with valid and invalid
 * instances. A schema passes if it compiles, all its valid instances are accepted as they are written there, and all
 * invalid ones are rejected. Files are divided by the SHA-1 of their names: the even half is for tuning, the odd half
 * tells how good the engine is.
 *
 * Exit code 1 if an invalid instance is accepted or fewer than 95 % of the schemas pass.
 *
 * With `--walks FILE`, one random answer to each schema is drawn to its end and written there, as a line of JSON with
 * the schema, for a validator to check; a dead end is an error.
 *
 * Run: npm run bench:maskbench -- --data DIR [--half odd|even] [--sample N] [--no-masks] [--failures FILE]
 *   [--walks FILE]
 */

import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { EngineError } from "../engine/errors.js";
import { Grammar, GrammarCache, GrammarMatcher, VocabularyTrie } from "../engine/grammar/index.js";
import { Tokenizer } from "../engine/text/tokenizer.js";
import { describeMachine } from "./measuring.js";

interface Case {
  readonly schema: unknown;
  readonly tests: readonly { readonly valid: boolean; readonly data: Instance }[];
}

/** A JSON value as it is written: with the text of its numbers and the order of its keys. */
type Instance =
  | { readonly text: string }
  | { readonly items: readonly Instance[] }
  | { readonly members: readonly (readonly [key: string, value: Instance])[] };

/** What came of one schema. `otherOrder` counts valid instances that are accepted with their keys in another order. */
interface Outcome {
  readonly file: string;
  readonly error: string | null;
  readonly numValid: number;
  readonly rejected: readonly string[];
  readonly otherOrder: number;
  readonly accepted: readonly string[];
}

/** Published results of llguidance 0.7.10 on the same schemas. */
const LLGUIDANCE = { passing: 78.8, compileErrors: 2377, rejected: 20, medianUs: 46, p99Us: 530, p999Us: 1700 };
const MIN_PASSING = 0.95;
/**
 * Tries to write an instance with its keys in another order, in one search. Searches of valid instances begin again with
 * the keys first for which there was no place.
 */
const MAX_TRIES = 500;
const MAX_SEARCHES = { valid: 30, invalid: 1 };
/** Bytes of a random answer, and bytes after which it should end. */
const MAX_WALK = 5000;
const HURRY_AFTER = 150;
const QWEN2 = join(process.env["TOUCHSTONE_ASSETS"] ?? "../shared/assets", "tokenizers", "qwen2");

const { values: flags } = parseArgs({
  options: {
    data: { type: "string" },
    half: { type: "string" },
    sample: { type: "string" },
    "no-masks": { type: "boolean", default: false },
    failures: { type: "string" },
    walks: { type: "string" },
  },
});
if (flags.data === undefined) throw new Error("--data DIR is missing: the folder maskbench/data of jsonschemabench");
const { data: folder } = flags;
const cache = new GrammarCache(0);
const compileMs: number[] = [];
const maskUs: number[] = [];
const outcomes: Outcome[] = [];
const walks: string[] = [];
const vocabulary = flags["no-masks"] ? null : loadVocabulary();

for (const file of chosenFiles(folder)) {
  outcomes.push(outcomeOf(file, readCase(readFileSync(join(folder, file), "utf8"))));
  // A job keeps all that its weak references led to.
  await new Promise((done) => setImmediate(done));
}
if (flags.walks !== undefined) {
  writeFileSync(flags.walks, walks.map((line) => `${line}\n`).join(""));
  console.log(`${walks.length} random answers, no dead end`);
}
if (flags.failures !== undefined) {
  const failures = outcomes.filter((outcome) => !isPassing(outcome));
  writeFileSync(flags.failures, failures.map((outcome) => `${JSON.stringify(outcome)}\n`).join(""));
}
console.log(
  `${describeMachine()}, ${vocabulary === null ? "no masks" : `vocabulary ${vocabulary.trie.tokens.length}`}`,
);
for (const half of ["odd", "even"]) {
  const found = outcomes.filter(({ file }) => halfOf(file) === half);
  if (found.length > 0) printHalf(half, found);
}
printTimes();
const numAccepted = outcomes.filter(({ accepted }) => accepted.length > 0).length;
const isGood = numAccepted === 0 && outcomes.filter(isPassing).length >= MIN_PASSING * outcomes.length;
process.exitCode = isGood ? 0 : 1;

function chosenFiles(from: string): string[] {
  const files = readdirSync(from).filter(
    (file) => file.endsWith(".json") && [undefined, halfOf(file)].includes(flags.half),
  );
  // In the order of their hashes, so that a sample has schemas of every source.
  files.sort((a, b) => sha1(a).compare(sha1(b)));
  return flags.sample === undefined ? files : files.slice(0, Number(flags.sample));
}

function sha1(text: string): Buffer {
  return createHash("sha1").update(text).digest();
}

function halfOf(file: string): string {
  return (sha1(file).at(-1)! & 1) === 1 ? "odd" : "even";
}

function outcomeOf(file: string, { schema, tests }: Case): Outcome {
  const outcome = { file, numValid: tests.filter(({ valid }) => valid).length };
  const start = performance.now();
  let grammar: Grammar;
  try {
    grammar = Grammar.fromData(cache.get({ type: "json_schema", schema }).data);
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    return { ...outcome, error: error.message, rejected: [], otherOrder: 0, accepted: [] };
  }
  compileMs.push(performance.now() - start);
  if (flags.walks !== undefined) {
    const answer = randomAnswer(grammar, sha1(file));
    if (answer !== null) walks.push(JSON.stringify({ file, schema, answer }));
  }
  const rejected: string[] = [];
  const accepted: string[] = [];
  let otherOrder = 0;
  for (const { valid, data } of tests) {
    const text = written(data);
    const isAccepted = accepts(grammar, text);
    if (isAccepted && !valid) accepted.push(text);
    else if (!isAccepted && !valid && isWritableInSomeOrder(grammar, data, MAX_SEARCHES.invalid)) accepted.push(text);
    else if (!isAccepted && valid) {
      if (isWritableInSomeOrder(grammar, data, MAX_SEARCHES.valid)) otherOrder++;
      else rejected.push(text);
    }
  }
  return { ...outcome, error: null, rejected, otherOrder, accepted };
}

function readCase(text: string): Case {
  const { schema, tests } = JSON.parse(text) as { schema: unknown; tests: readonly { valid: boolean }[] };
  const whole = new Map((instanceOf(text) as Extract<Instance, { members: unknown }>).members);
  const { items } = whole.get("tests") as Extract<Instance, { items: unknown }>;
  return {
    schema,
    tests: items.map((test, index) => {
      const members = new Map((test as Extract<Instance, { members: unknown }>).members);
      return { valid: tests[index]!.valid, data: members.get("data")! };
    }),
  };
}

/** Reads valid JSON. */
function instanceOf(json: string): Instance {
  const tokens = json.match(/[[\]{}:,]|"(?:[^"\\]|\\.)*"|[^\s[\]{}:,"]+/g)!;
  let at = 0;
  const value = (): Instance => {
    const token = tokens[at++]!;
    if (token === "[") {
      const items: Instance[] = [];
      for (; tokens[at] !== "]"; at += Number(tokens[at] === ",")) items.push(value());
      at++;
      return { items };
    }
    if (token === "{") {
      const members: [string, Instance][] = [];
      for (; tokens[at] !== "}"; at += Number(tokens[at] === ",")) {
        const key = JSON.parse(tokens[at]!) as string;
        at += 2;
        members.push([key, value()]);
      }
      at++;
      return { members };
    }
    return { text: token.startsWith('"') ? JSON.stringify(JSON.parse(token)) : token };
  };
  return value();
}

/** Writes JSON on one line, as MaskBench does. */
function written(value: Instance): string {
  if ("text" in value) return value.text;
  if ("items" in value) return `[${value.items.map(written).join(", ")}]`;
  return `{${value.members.map(([key, of]) => `${JSON.stringify(key)}: ${written(of)}`).join(", ")}}`;
}

function accepts(grammar: Grammar, text: string): boolean {
  const bytes = new TextEncoder().encode(text);
  if (vocabulary === null) {
    const end = grammar.automaton.readAll(grammar.automaton.start, bytes);
    return end?.configuration.isComplete ?? false;
  }
  const matcher = new GrammarMatcher(grammar, vocabulary.trie, []);
  for (const tokenId of vocabulary.tokenIds(text)) {
    const start = performance.now();
    const mask = matcher.allowed();
    const isAllowed = ((mask[tokenId >> 5]! >> (tokenId & 31)) & 1) === 1;
    const isAccepted = matcher.acceptToken(tokenId);
    maskUs.push((performance.now() - start) * 1000);
    if (isAllowed !== isAccepted) throw new Error(`The mask and the matcher differ in ${text}`);
    if (!isAccepted) return false;
  }
  return matcher.isComplete;
}

/**
 * Draws bytes uniformly from those that can follow; after many, the ones that end strings, arrays and objects.
 * @returns the answer; null if it does not end in time
 */
function randomAnswer({ automaton }: Grammar, seed: Buffer): string | null {
  const bytes: number[] = [];
  let position: Position = automaton.start;
  for (let step = 0; step < MAX_WALK; step++) {
    const { configuration } = position;
    const draw = sha1(`${seed.toString("hex")}${step}`).readUInt32LE(0);
    if (configuration.isComplete && (step > HURRY_AFTER || draw % 2 === 0)) return Buffer.from(bytes).toString();
    const next: [number, Position][] = [];
    for (let byte = 0; byte < 256; byte++) {
      const after = automaton.readAll(position, Uint8Array.of(byte));
      if (after !== null) next.push([byte, after]);
    }
    if (next.length === 0) {
      if (configuration.isComplete) return Buffer.from(bytes).toString();
      throw new Error(`A dead end after ${Buffer.from(bytes).toString()}`);
    }
    const closing = next.find(([byte]) => step > HURRY_AFTER && '"]}'.includes(String.fromCharCode(byte)));
    const [byte, after] = closing ?? next[draw % next.length]!;
    bytes.push(byte);
    position = after;
  }
  return null;
}

type Position = Grammar["automaton"]["start"];

/** True if the instance is accepted with its keys in some order. Gives up after many tries. */
function isWritableInSomeOrder({ automaton }: Grammar, data: Instance, maxSearches: number): boolean {
  const read = (position: Position, text: string): Position | null =>
    automaton.readAll(position, new TextEncoder().encode(text));
  let numTries = 0;
  /** By key: how often there was no place for it. */
  const misses = new Map<string, number>();
  const numMisses = ([key]: readonly [string, Instance]): number => misses.get(key) ?? 0;
  const afterValue = (position: Position, value: Instance, then: (position: Position) => boolean): boolean => {
    if (++numTries > MAX_TRIES) return false;
    if ("items" in value) return afterItems(position, value.items, 0, then);
    if ("members" in value) return afterMembers(position, value.members, true, then);
    const next = read(position, value.text);
    return next !== null && then(next);
  };
  const afterItems = (
    position: Position,
    items: readonly Instance[],
    index: number,
    then: (position: Position) => boolean,
  ): boolean => {
    if (index === items.length) {
      const end = read(position, index === 0 ? "[]" : "]");
      return end !== null && then(end);
    }
    const next = read(position, index === 0 ? "[" : ", ");
    return next !== null && afterValue(next, items[index]!, (after) => afterItems(after, items, index + 1, then));
  };
  const afterMembers = (
    position: Position,
    members: readonly (readonly [string, Instance])[],
    isFirst: boolean,
    then: (position: Position) => boolean,
  ): boolean => {
    if (members.length === 0) {
      const end = read(position, isFirst ? "{}" : "}");
      return end !== null && then(end);
    }
    let hasPlace = false;
    const isWritten = members
      .toSorted((a, b) => numMisses(b) - numMisses(a))
      .some((member) => {
        if (numTries > MAX_TRIES) return false;
        const [key, value] = member;
        const next = read(position, `${isFirst ? "{" : ", "}${JSON.stringify(key)}: `);
        if (next === null) return false;
        hasPlace = true;
        const others = members.filter((other) => other !== member);
        return afterValue(next, value, (after) => afterMembers(after, others, false, then));
      });
    if (!hasPlace) for (const member of members) misses.set(member[0], numMisses(member) + 1);
    return isWritten;
  };
  for (let search = 0; search < maxSearches; search++) {
    numTries = 0;
    if (afterValue(automaton.start, data, ({ configuration }) => configuration.isComplete)) return true;
    if (numTries <= MAX_TRIES) return false;
  }
  return false;
}

function isPassing({ error, rejected, otherOrder, accepted }: Outcome): boolean {
  return error === null && rejected.length === 0 && otherOrder === 0 && accepted.length === 0;
}

function printHalf(half: string, found: readonly Outcome[]): void {
  console.log(`\n${half} half: ${found.length} schemas`);
  const head = ["source", "schemas", "passing", "errors", "rejected", "order", "accepted"];
  console.log(head.map((cell, index) => (index === 0 ? cell.padEnd(18) : cell.padStart(9))).join(""));
  const sources = [...new Set(found.map(({ file }) => sourceOf(file)))].sort();
  for (const source of sources)
    printRow(
      source,
      found.filter(({ file }) => sourceOf(file) === source),
    );
  printRow("all", found);
  const numValid = found.reduce((sum, { numValid: count }) => sum + count, 0);
  const numRejected = found.reduce((sum, { rejected }) => sum + rejected.length, 0);
  console.log(
    `valid instances rejected, not for their order: ${numRejected} of ${numValid} (${percent(numRejected, numValid)})`,
  );
}

function printRow(name: string, found: readonly Outcome[]): void {
  const count = (has: (outcome: Outcome) => boolean): number => found.filter(has).length;
  const cells = [
    found.length,
    percent(count(isPassing), found.length),
    count(({ error }) => error !== null),
    count(({ rejected }) => rejected.length > 0),
    count(({ otherOrder }) => otherOrder > 0),
    count(({ accepted }) => accepted.length > 0),
  ];
  console.log(name.padEnd(18) + cells.map((cell) => String(cell).padStart(9)).join(""));
}

function sourceOf(file: string): string {
  return file
    .split("---")[0]!
    .replace(/_\w+\.json$/, "")
    .replace(/_(?!easy|hard|medium|trivial|ultra).*$/, "");
}

function percent(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(2)} %`;
}

function printTimes(): void {
  console.log(`\ncompiling: ${quantiles(compileMs, "ms")}`);
  if (maskUs.length > 0) console.log(`masks of ${maskUs.length} tokens: ${quantiles(maskUs, "us")}`);
  const { passing, compileErrors, rejected, medianUs, p99Us, p999Us } = LLGUIDANCE;
  console.log(
    `llguidance 0.7.10, both halves, as published: ${passing} % passing, ${compileErrors} errors, ${rejected} rejected; ` +
      `masks: median ${medianUs}, p99 ${p99Us}, p99.9 ${p999Us} us`,
  );
}

function quantiles(values: number[], unit: string): string {
  values.sort((a, b) => a - b);
  const at = (part: number): string => (values[Math.floor(part * (values.length - 1))] ?? NaN).toFixed(1);
  return `median ${at(0.5)}, p99 ${at(0.99)}, p99.9 ${at(0.999)}, max ${at(1)} ${unit}`;
}

interface Vocabulary {
  readonly trie: VocabularyTrie;
  readonly tokenIds: (text: string) => Iterable<number>;
}

function loadVocabulary(): Vocabulary {
  const from = existsSync(QWEN2) ? QWEN2 : "dist/models/tiny/pack";
  const read = (file: string): object => JSON.parse(readFileSync(join(from, file), "utf8")) as object;
  const tokenizer = new Tokenizer(read("tokenizer.json"), read("tokenizer_config.json"));
  const tokens = Array.from({ length: tokenizer.vocabSize }, (_, tokenId) => tokenizer.tokenBytes(tokenId));
  return { trie: VocabularyTrie.build(tokens), tokenIds: (text) => tokenizer.encode(text) };
}
