/**
 * First step of the recipe: trains the tokenizer on the generator's output and
 * encodes the training set. Writes tokenizer.json, tokenizer_config.json and
 * generation_config.json to models/tiny/. For each part of the training it writes,
 * to models/tiny/.work/part-one/ and part-two/, the token ids (u16), the loss mask
 * (u8) and the start of each conversation (u32). With --part, the tokenizer and the
 * other part remain unchanged.
 *
 *   node dist/models/tiny/prepare.js [--part one|two]
 */

import { once } from "node:events";
import { createWriteStream, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { finished } from "node:stream/promises";
import { parseArgs } from "node:util";
import { ExampleEncoder } from "./data/encode.js";
import { plain } from "./data/example.js";
import { type Part, trainingExamples } from "./data/skills.js";
import { tokenizerConfig, trainTokenizer } from "./data/tokenizer.js";

const VOCAB_SIZE = 1024;
const NUM_TOKENIZER_EXAMPLES = 40_000;
const NUM_TOKENS: Record<Part, number> = { one: 24_000_000, two: 8_000_000 };

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { part: { type: "string" } } });
  const folder = resolve("models/tiny");
  const parts = (["one", "two"] as const).filter((part) => values.part === undefined || values.part === part);
  if (parts.length === 0) throw new Error(`--part must be one or two. Given: ${values.part}`);

  if (values.part === undefined) writeTokenizer(folder);
  const encoder = new ExampleEncoder(JSON.parse(readFileSync(join(folder, "tokenizer.json"), "utf8")) as object);
  for (const part of parts) await writeTrainingSet(encoder, part, join(folder, ".work", `part-${part}`));
}

function writeTokenizer(folder: string): void {
  const tokenizerJson = trainTokenizer(tokenizerTexts(), VOCAB_SIZE);
  writeJson(join(folder, "tokenizer.json"), tokenizerJson);
  writeJson(join(folder, "tokenizer_config.json"), tokenizerConfig());
  const idOf = (content: string) => tokenizerJson.added_tokens.find((token) => token.content === content)?.id;
  writeJson(join(folder, "generation_config.json"), { bos_token_id: idOf("<|begin|>"), eos_token_id: idOf("<|end|>") });
}

function* tokenizerTexts(): Generator<string> {
  let left = NUM_TOKENIZER_EXAMPLES;
  for (const example of trainingExamples("one")) {
    if (left-- === 0) return;
    yield* example.messages.map((message) => message.content);
    yield plain(example.reasoning);
    yield plain(example.answer);
  }
}

async function writeTrainingSet(encoder: ExampleEncoder, part: Part, folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const [ids, mask, starts] = ["ids.u16", "mask.u8", "starts.u32"].map((name) => createWriteStream(join(folder, name)));
  if (ids === undefined || mask === undefined || starts === undefined) throw new Error("unreachable");
  let numTokens = 0;
  let numExamples = 0;
  for (const example of trainingExamples(part)) {
    if (numTokens >= NUM_TOKENS[part]) break;
    const encoded = encoder.encode(example);
    starts.write(Buffer.from(Uint32Array.of(numTokens).buffer));
    mask.write(Buffer.from(encoded.mask));
    if (!ids.write(Buffer.from(Uint16Array.from(encoded.ids).buffer))) await once(ids, "drain");
    numTokens += encoded.ids.length;
    if (++numExamples % 20_000 === 0) console.log(`${numExamples} examples, ${numTokens} tokens`);
  }
  for (const stream of [ids, mask, starts]) stream.end();
  await Promise.all([ids, mask, starts].map((stream) => finished(stream)));
  console.log(`${numExamples} examples, ${numTokens} tokens in ${folder}`);
}

function writeJson(path: string, value: unknown): void {
  writeFileSync(path, `${JSON.stringify(value, null, 1)}\n`);
}

await main();
