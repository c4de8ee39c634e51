/**
 * Answers of the profile `exact`, which must be the same everywhere: a fixed list of requests to the embedded model,
 * with token ids and the bits of their log-probabilities, and the hashes of the converted weights. `node
 * dist/spec-tests/golden/exact-answers.js [threads]` computes and prints them.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import {
  loadModel,
  type ChatOptions,
  type GenerateOptions,
  type Model,
  type TokenLogprob,
} from "../../engine/index.js";
import { convertModel } from "../../engine/models.js";
import { openPack } from "../../engine/folder/pack.js";

export interface ExactAnswers {
  /** sha256 of weights.bin, by format. */
  readonly weights: Readonly<Record<string, string>>;
  readonly answers: Readonly<Record<string, ExactAnswer>>;
}

export interface ExactAnswer {
  /** [choice][token] */
  readonly tokenIds: number[][];
  /** [choice]: float32 log-probabilities of each token and of its two most likely alternatives, in base64. */
  readonly logprobBits: string[];
}

/** Requests with prompts of one or several blocks, greedy and sampled, that cover every step of the logit pipeline. */
export const REQUESTS: Readonly<Record<string, ChatOptions | GenerateOptions>> = {
  greedy: { messages: [user("What is 27 + 38?")], temperature: 0 },
  drawn: { messages: [user("Tell me a story about a fox.")], seed: 1 },
  choices: {
    messages: [user("Give name and age of Alice, 30, as JSON.")],
    seed: 2,
    n: 3,
    temperature: 1.5,
    maxTokens: 40,
  },
  filtered: {
    messages: [user("Tell me a story about a bear.")],
    seed: 3,
    topK: 20,
    topP: 0.9,
    minP: 0.02,
    temperature: 0.8,
  },
  penalised: {
    prompt: "Once upon a time",
    seed: 4,
    repetitionPenalty: 1.2,
    frequencyPenalty: 0.3,
    presencePenalty: -0.1,
    maxTokens: 120,
  },
  biased: {
    messages: [user("What is the capital of France?")],
    seed: 5,
    logitBias: new Map([
      [300, 2.5],
      [12, -7],
    ]),
    maxTokens: 50,
  },
  "a block and one token": { prompt: "ab ".repeat(64), seed: 6, maxTokens: 8 },
  "a long prompt": { prompt: "The fox said to the bear: what is 12 + 30? ".repeat(12), seed: 7, maxTokens: 60 },
};

export async function exactAnswers(numThreads: number): Promise<ExactAnswers> {
  const weights: Record<string, string> = {};
  for (const format of ["q8", "q4", "f32"] as const) weights[format] = await weightsHash(format);
  const model = await loadModel({ profile: "exact", numThreads });
  const answers: Record<string, ExactAnswer> = {};
  for (const [name, request] of Object.entries(REQUESTS)) answers[name] = await exactAnswer(model, request);
  await model.close();
  return { weights, answers };
}

export async function exactAnswer(model: Model, request: ChatOptions | GenerateOptions): Promise<ExactAnswer> {
  const options = { ...request, logprobs: true, topLogprobs: 2 };
  const { choices } = await ("prompt" in options ? model.generate(options) : model.chat(options)).result();
  return {
    tokenIds: choices.map(({ tokenIds }) => [...tokenIds]),
    logprobBits: choices.map(({ logprobs }) => bitsOf(logprobs)),
  };
}

function bitsOf(logprobs: readonly TokenLogprob[]): string {
  const values = logprobs.flatMap(({ logprob, topLogprobs }) => [logprob, ...topLogprobs.map((top) => top.logprob)]);
  return Buffer.from(Float32Array.from(values).buffer).toString("base64");
}

async function weightsHash(format: "q8" | "q4" | "f32"): Promise<string> {
  const scratch = await mkdtemp(join(tmpdir(), "exact-answers-"));
  try {
    await convertModel("models/tiny", join(scratch, "pack"), { quant: format });
    return (await openPack(join(scratch, "pack"))).manifest.files["weights.bin"]!.sha256;
  } finally {
    await rm(scratch, { recursive: true });
  }
}

function user(content: string): { role: "user"; content: string } {
  return { role: "user", content };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  process.stdout.write(JSON.stringify(await exactAnswers(Number(process.argv[2] ?? 1))));
}
