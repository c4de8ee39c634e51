/**
 * First step of the recipe: trains the tokenizer on the generator's output and
 * encodes the training set. Writes tokenizer.json, tokenizer_config.json and
 * generation_config.json to models/tiny/, and to models/tiny/.work/ the token
 * ids (u16), the loss mask (u8) and where each conversation starts (u32).
 *
 *   node dist/models/tiny/prepare.js [--tokens 24000000]
 */

import { once } from "node:events";
import { createWriteStream, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { finished } from "node:stream/promises";
import { parseArgs } from "node:util";
import { ExampleEncoder } from "./data/encode.js";
import { plain } from "./data/example.js";
import { trainingExamples } from "./data/skills.js";
import { tokenizerConfig, trainTokenizer } from "./data/tokenizer.js";

const VOCAB_SIZE = 1024;
const NUM_TOKENIZER_EXAMPLES = 40_000;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { tokens: { type: "string", default: "24000000" } } });
  const folder = resolve("models/tiny");
  const work = join(folder, ".work");
  mkdirSync(work, { recursive: true });

  const tokenizerJson = trainTokenizer(tokenizerTexts(), VOCAB_SIZE);
  writeJson(join(folder, "tokenizer.json"), tokenizerJson);
  writeJson(join(folder, "tokenizer_config.json"), tokenizerConfig());
  const idOf = (content: string) => tokenizerJson.added_tokens.find((token) => token.content === content)?.id;
  writeJson(join(folder, "generation_config.json"), { bos_token_id: idOf("<|begin|>"), eos_token_id: idOf("<|end|>") });

  await writeTrainingSet(new ExampleEncoder(tokenizerJson), work, Number(values.tokens));
}

function* tokenizerTexts(): Generator<string> {
  let left = NUM_TOKENIZER_EXAMPLES;
  for (const example of trainingExamples()) {
    if (left-- === 0) return;
    yield* example.messages.map((message) => message.content);
    yield plain(example.reasoning);
    yield plain(example.answer);
  }
}

async function writeTrainingSet(encoder: ExampleEncoder, work: string, numTokensMin: number): Promise<void> {
  const [ids, mask, starts] = ["ids.u16", "mask.u8", "starts.u32"].map((name) => createWriteStream(join(work, name)));
  if (ids === undefined || mask === undefined || starts === undefined) throw new Error("unreachable");
  let numTokens = 0;
  let numExamples = 0;
  for (const example of trainingExamples()) {
    if (numTokens >= numTokensMin) break;
    const encoded = encoder.encode(example);
    starts.write(Buffer.from(Uint32Array.of(numTokens).buffer));
    mask.write(Buffer.from(encoded.mask));
    if (!ids.write(Buffer.from(Uint16Array.from(encoded.ids).buffer))) await once(ids, "drain");
    numTokens += encoded.ids.length;
    if (++numExamples % 20_000 === 0) console.log(`${numExamples} examples, ${numTokens} tokens`);
  }
  for (const stream of [ids, mask, starts]) stream.end();
  await Promise.all([ids, mask, starts].map((stream) => finished(stream)));
  console.log(`${numExamples} examples, ${numTokens} tokens in ${work}`);
}

function writeJson(path: string, value: unknown): void {
  writeFileSync(path, `${JSON.stringify(value, null, 1)}\n`);
}

await main();
