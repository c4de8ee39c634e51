/**
 * Measures compilation of schemas and computation of masks, with Qwen2's vocabulary if the assets exist, else with that
 * of the embedded model. Targets for Qwen2: at most 1.5 s for the trie, 50 ms for a new schema of 1 kB, and for masks
 * of new schemas 1 ms in the median and 10 ms at the 99th percentile. Run: node dist/bench/grammar.bench.js [--quick]
 */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { GrammarMatcher, VocabularyTrie, compileGrammar } from "../engine/grammar/index.js";
import { Tokenizer } from "../engine/text/tokenizer.js";
import { check, describeMachine, inMs, isQuick, time } from "./measuring.js";

const QWEN2 = join(process.env["TOUCHSTONE_ASSETS"] ?? "../shared/assets", "tokenizers", "qwen2");
const folder = !isQuick && existsSync(QWEN2) ? QWEN2 : "dist/models/tiny/pack";
const NUM_ROUNDS = isQuick ? 1 : 8;

const read = (file: string): object => JSON.parse(readFileSync(join(folder, file), "utf8")) as object;
const tokenizer = new Tokenizer(read("tokenizer.json"), read("tokenizer_config.json"));
const tokens = Array.from({ length: tokenizer.vocabSize }, (_, tokenId) => tokenizer.tokenBytes(tokenId));

const ADDRESS = {
  type: "object",
  properties: {
    street: { type: "string", minLength: 1 },
    zip: { type: "string", pattern: "^\\d{5}$" },
    country: { enum: ["de", "fr", "us"] },
  },
  required: ["street", "country"],
  additionalProperties: false,
};
const ORDER = {
  type: "object",
  properties: {
    id: { type: "string", format: "uuid" },
    placed: { type: "string", format: "date-time" },
    status: { enum: ["open", "paid", "shipped", "canceled"] },
    customer: {
      type: "object",
      properties: {
        name: { type: "string", maxLength: 80 },
        email: { type: "string", format: "email" },
        age: { type: ["integer", "null"], minimum: 0, maximum: 150 },
        address: { $ref: "#/$defs/address" },
      },
      required: ["name", "email", "age"],
      additionalProperties: false,
    },
    items: {
      type: "array",
      minItems: 1,
      items: {
        anyOf: [
          {
            type: "object",
            properties: { kind: { const: "book" }, title: { type: "string" }, price: { type: "number", minimum: 0 } },
            required: ["kind", "title", "price"],
          },
          {
            type: "object",
            properties: { kind: { const: "note" }, text: { type: "string" } },
            required: ["kind", "text"],
          },
        ],
      },
    },
  },
  required: ["id", "status", "customer", "items"],
  additionalProperties: false,
  $defs: { address: ADDRESS },
};
const ORDER_ANSWER = {
  id: "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
  placed: "2024-02-29T12:30:00Z",
  status: "shipped",
  customer: {
    name: "Ada Lovelace",
    email: "ada@example.org",
    age: 36,
    address: { street: "12 St James's Square", zip: "10115", country: "de" },
  },
  items: [
    { kind: "book", title: "Sketch of the Analytical Engine", price: 19.95 },
    { kind: "note", text: "Please wrap it well; it is a present, “très fragile”." },
  ],
};
/** Any object: the hardest case for masks, because every name differs from the earlier ones. */
const FREE_ANSWER = {
  title: "Weather report",
  "temperature in °C": -3.5,
  wind: { from: "NW", speed: 12 },
  notes: ["cold", "clear\n"],
  ok: true,
};
const HOSTS = {
  type: "object",
  properties: { hosts: { type: "array", items: { type: "string", format: "hostname" } } },
  required: ["hosts"],
  additionalProperties: false,
};
const HOSTS_ANSWER = {
  hosts: ["books.example", "www.xn-4.x1", "mail.example.org", "a-rather-long-label-of-a-host-name.example.net"],
};
const CASES: readonly { name: string; schema: object; answer: unknown }[] = [
  { name: "an order, 1 kB", schema: ORDER, answer: ORDER_ANSWER },
  { name: "any object", schema: { type: "object" }, answer: FREE_ANSWER },
  { name: "host names", schema: HOSTS, answer: HOSTS_ANSWER },
];

console.log(`${describeMachine()}, vocabulary ${tokens.length}`);
const building = await time(() => VocabularyTrie.build(tokens));
console.log(`${"trie".padEnd(34)} min ${inMs(building.minMs)}, median ${inMs(building.medianMs)}`);
const trie = VocabularyTrie.build(tokens);

const numNew = { schemas: 0 };
for (const { name, schema, answer } of CASES) {
  const first = inTime(() => fresh(schema));
  const compiling = await time(() => fresh(schema));
  console.log(
    `${`${name}: ready`.padEnd(34)} min ${inMs(compiling.minMs)}, median ${inMs(compiling.medianMs)}, first ${inMs(first.ms)}`,
  );
  const times: number[] = [];
  for (let round = 0; round < NUM_ROUNDS; round++) {
    for (const text of [JSON.stringify(answer), JSON.stringify(answer, null, 2)])
      times.push(...maskTimes(schema, text));
  }
  times.sort((a, b) => a - b);
  const at = (share: number): string => inMs(times[Math.min(times.length - 1, Math.floor(share * times.length))]!);
  console.log(`${`${name}: ${times.length} masks`.padEnd(34)} median ${at(0.5)}, p99 ${at(0.99)}, max ${at(1)}`);
}

/** Compiles a grammar that was not compiled before. */
function fresh(schema: object): ReturnType<typeof compileGrammar> {
  return compileGrammar({ type: "json_schema", schema: { ...schema, $comment: `${numNew.schemas++}` } });
}

/** Returns the times of the masks of an answer, and checks that the answer is allowed. */
function maskTimes(schema: object, text: string): number[] {
  const end = tokens.length - 1;
  const matcher = new GrammarMatcher(fresh(schema), trie, [end]);
  const times: number[] = [];
  const begin = tokenizer.beginTokenIds.length;
  for (const tokenId of tokenizer.encode(text).slice(begin)) {
    const { ms, result } = inTime(() => matcher.allowed());
    times.push(ms);
    check(
      ((result[tokenId >> 5]! >> (tokenId & 31)) & 1) === 1,
      `${tokenizer.tokenText(tokenId)} is not allowed in ${text}`,
    );
    matcher.acceptToken(tokenId);
  }
  check(matcher.isFinished, `${text} is not a whole answer`);
  check(
    !new GrammarMatcher(fresh(schema), trie, [end]).acceptBytes(new TextEncoder().encode(`[${text}]`)),
    "an array is allowed",
  );
  return times;
}

function inTime<T>(run: () => T): { ms: number; result: T } {
  const start = performance.now();
  const result = run();
  return { ms: performance.now() - start, result };
}
