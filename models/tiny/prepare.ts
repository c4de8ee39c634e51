/**
 * First step of the recipe: encodes the training set. For each part of the
 * training it writes, to models/tiny/.work/part-one/ and so on, the token ids (u16),
 * the loss mask (u8) and the start of each conversation (u32), and to .work/tiny/
 * the tokenizer of the second stage. With --tokenizer it first trains the tokenizer
 * on the generator's output, and writes tokenizer.json, tokenizer_config.json and
 * generation_config.json to models/tiny/.
 *
 *   node dist/models/tiny/prepare.js [--tokenizer] [--part one|two|three|four]
 */

import { once } from "node:events";
import { copyFileSync, createWriteStream, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { finished } from "node:stream/promises";
import { parseArgs } from "node:util";
import { ExampleEncoder } from "./data/encode.js";
import { plain } from "./data/example.js";
import { type Part, PARTS, trainingExamples } from "./data/skills.js";
import {
  TOOL_TEMPLATE,
  tokenizerConfig,
  type TokenizerJson,
  trainTokenizer,
  withToolTokens,
} from "./data/tokenizer.js";

const VOCAB_SIZE = 1024;
const NUM_TOKENIZER_EXAMPLES = 40_000;
const NUM_TOKENS: Record<Part, number> = { one: 24_000_000, two: 8_000_000, three: 20_000_000, four: 2_000_000 };

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { tokenizer: { type: "boolean" }, part: { type: "string" } } });
  const folder = resolve("models/tiny");
  const parts = PARTS.filter((part) => values.part === undefined || values.part === part);
  if (parts.length === 0) throw new Error(`--part must be ${PARTS.join(" or ")}. Given: ${values.part}`);

  if (values.tokenizer === true) writeTokenizer(folder);
  const first = JSON.parse(readFileSync(join(folder, "tokenizer.json"), "utf8")) as TokenizerJson;
  const second = withToolTokens(first);
  const encoders = { first: new ExampleEncoder(first), second: new ExampleEncoder(second, TOOL_TEMPLATE) };
  writeSecondStage(folder, second);
  for (const part of parts) {
    const encoder = part === "one" || part === "two" ? encoders.first : encoders.second;
    await writeTrainingSet(encoder, part, join(folder, ".work", `part-${part}`));
  }
}

/** Writes the text files of the second stage's model, to which train.py adds the others. */
function writeSecondStage(folder: string, tokenizerJson: TokenizerJson): void {
  const out = join(folder, ".work", "tiny");
  mkdirSync(out, { recursive: true });
  writeJson(join(out, "tokenizer.json"), tokenizerJson);
  writeJson(join(out, "tokenizer_config.json"), tokenizerConfig(TOOL_TEMPLATE, 4096));
  copyFileSync(join(folder, "generation_config.json"), join(out, "generation_config.json"));
}

function writeTokenizer(folder: string): void {
  const tokenizerJson = trainTokenizer(tokenizerTexts(), VOCAB_SIZE);
  writeJson(join(folder, "tokenizer.json"), tokenizerJson);
  writeJson(join(folder, "tokenizer_config.json"), tokenizerConfig());
  const idOf = (content: string) => tokenizerJson.model.vocab[content];
  writeJson(join(folder, "generation_config.json"), { bos_token_id: idOf("<|begin|>"), eos_token_id: idOf("<|end|>") });
}

function* tokenizerTexts(): Generator<string> {
  let left = NUM_TOKENIZER_EXAMPLES;
  for (const example of trainingExamples("one")) {
    if (left-- === 0) return;
    yield* example.messages.map((message) => message.content ?? "");
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
