/**
 * Measures what drafts from n-grams gain: the time of an answer with them / without, in turns, for answers that repeat
 * their prompt (an edited file, extracted records, a summary) and one that does not (a story). The model has random
 * weights in the shape of SmolLM2-135M, and the next token of the given answer gets the highest logit, so the work of
 * every pass is real and the answers are those that a person would expect. Tokens are words and signs.
 * Run: node dist/bench/speculation.bench.js [--quick]
 */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { Engine, KVCache, LMHead } from "../engine/core/index.js";
import { openPack, type ModelPack } from "../engine/folder/pack.js";
import { LIMITS } from "../engine/limits.js";
import type { TextDelta, TextStream } from "../engine/message/index.js";
import type { EachTokenRunner, ForwardPass, ModelRunner } from "../engine/runner/model-runner.js";
import { openPackRunners } from "../engine/runner/open-runners.js";
import { generationConfig } from "../engine/sampling/generation-config.js";
import { Vocabulary, readTokens } from "../engine/text/index.js";
import { Kernels, type Address } from "../kernels/index.js";
import { check, describeMachine, isQuick } from "./measuring.js";
import { Models } from "./peers/models.js";
import { medianOf } from "./peers/report.js";

const { values: given } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    models: { type: "string" },
    rounds: { type: "string", default: "5" },
    threads: { type: "string", default: "2" },
  },
});
const ROUNDS = isQuick ? 1 : Number(given.rounds);
const MAX_TOKENS = isQuick ? 40 : 400;

interface Task {
  readonly name: string;
  readonly prompt: string;
  readonly answer: string;
}

async function tasks(): Promise<Task[]> {
  const read = (path: string): Promise<string> => readFile(new URL(`../../${path}`, import.meta.url), "utf8");
  const source = await read("engine/core/prefix-index.ts");
  const edited = source.replaceAll("PrefixIndex", "PageIndex").replaceAll("nearestOf", "nearestNode");
  const records = PEOPLE.map(([name, age, city, work]) => ({ name, age, city, work }));
  const sentences = records.map(
    ({ name, age, city, work }) => `${name}, who is ${age}, lives in ${city}. Work: ${work}.`,
  );
  return [
    { name: "code edit", prompt: `Rename PrefixIndex and nearestOf:\n${source}`, answer: edited },
    {
      name: "JSON",
      prompt: `List these people as JSON:\n${sentences.join("\n")}`,
      answer: JSON.stringify(records, null, 2),
    },
    { name: "summary", prompt: `${await read("README.md")}\nSummarize this in some sentences.`, answer: SUMMARY },
    { name: "story", prompt: "Tell a story of a lighthouse.", answer: STORY },
  ];
}

const PEOPLE = [
  ["Ada Marsh", 34, "Lisbon", "nurse"],
  ["Tomas Berg", 51, "Oslo", "carpenter"],
  ["Ines Duarte", 28, "Porto", "architect"],
  ["Kofi Mensah", 45, "Accra", "teacher"],
  ["Yuki Tanaka", 39, "Osaka", "translator"],
  ["Lena Vogel", 62, "Graz", "retired judge"],
  ["Omar Haddad", 23, "Tunis", "student of law"],
  ["Maeve Kelly", 31, "Galway", "sound engineer"],
  ["Piotr Nowak", 57, "Gdansk", "ship builder"],
  ["Rosa Fuentes", 42, "Quito", "botanist"],
  ["Ravi Menon", 36, "Kochi", "baker"],
  ["Elsa Lind", 48, "Turku", "librarian"],
] as const;

const SUMMARY = `Touchstone runs language models on a CPU, from TypeScript, without a network. \`npm install\` and one
command are enough: the package contains an embedded model, so \`chat --once\` answers at once, and \`serve\` speaks the
chat-completions API, which clients of OpenAI understand. Models come from a folder, a pack or the hub; \`--quant\` chooses
8 or 4 bits. There are two profiles: \`exact\` gives the same bytes on every machine, and \`fast\` lets ONNX Runtime
compute the prompt. Everything is seeded, so an answer can be repeated, and every parameter does what the contract in
docs/SPEC.md says or is refused. Structured output follows a JSON schema; log-probabilities are those of the model. The
suite \`conform\` checks other servers by the same laws, and docs/CONFORMANCE.md explains how. docs/PERFORMANCE.md shows
where the time goes. The license is Apache-2.0.`;

const STORY = `The lamp had not been lit for eleven years when Marit climbed the stairs with a can of oil under her arm.
Nobody in the village asked why. They had seen the letter arrive, thin and blue, and they remembered whose handwriting
looked like that. She counted ninety steps, stopped to breathe beside a broken window, then counted forty more. Gulls
argued above the roof. Inside the glass room, dust lay so thick that her sleeves turned grey before she found the wick.
It crumbled between two fingers. She tore a strip from her scarf instead, soaked it, and struck a match. First came
smoke, sour as old bread; afterwards a small yellow tongue that bent, nearly died, straightened. Far out, where evening
had already swallowed the horizon, something answered: one blink, a pause, three blinks. Her grandfather used to say
that ships forget nothing. Until midnight she turned the mirror by hand, because its clockwork had rusted solid, and
sang whatever songs she could recall, some of them twice as slowly as they deserved. When dawn lifted the fog, a boat
was lying on the shingle below, empty except for a tin box, a pair of dry boots, and a child's drawing of this very
tower, dated tomorrow.`;

/** Numbers the distinct words and signs of texts. */
class Words {
  readonly #ids = new Map<string, number>();

  /** @param length the number of words at the beginning, or at the end if it is negative */
  encode(text: string, length: number): number[] {
    const pieces = text.match(/ ?[A-Za-z0-9]+| ?[^\sA-Za-z0-9]+|\s+/g) ?? [];
    return (length < 0 ? pieces.slice(length) : pieces.slice(0, length)).map((piece) => {
      const id = this.#ids.get(piece) ?? this.#ids.size;
      this.#ids.set(piece, id);
      return id;
    });
  }
}

/** Notes the positions whose results the head gets. */
class NotedRunner implements ModelRunner, EachTokenRunner {
  /** Position of each token of the last call. */
  positions: number[] = [];
  numCalls = 0;

  constructor(readonly inner: ModelRunner & EachTokenRunner) {}

  forward(passes: readonly ForwardPass[]): Promise<Float32Array[]> {
    this.numCalls++;
    this.positions = passes.map(({ tokenIds, table }) => table.numPositions + tokenIds.length - 1);
    return this.inner.forward(passes);
  }

  forwardEach(passes: readonly ForwardPass[]): Promise<Float32Array[]> {
    this.numCalls++;
    this.positions = passes.flatMap(({ tokenIds, table }) => tokenIds.map((_, index) => table.numPositions + index));
    return this.inner.forwardEach(passes);
  }

  async release(): Promise<void> {}
}

/** Gives the token that follows in a text the highest logit. */
class TextHead extends LMHead {
  runner: NotedRunner | null = null;
  tokenIds: readonly number[] = [];

  constructor(
    readonly kernels: Kernels,
    ...parts: [ConstructorParameters<typeof LMHead>[1], ConstructorParameters<typeof LMHead>[2]]
  ) {
    super(kernels, ...parts);
  }

  override project(rows: readonly Float32Array[]): Address[] {
    const addresses = super.project(rows);
    for (const [index, address] of addresses.entries()) {
      const next = this.tokenIds[this.runner!.positions[index]! + 1];
      if (next !== undefined) this.kernels.f32(address, this.vocabSize)[next] = 1e6;
    }
    return addresses;
  }
}

const NO_TEXT: TextDelta = { content: "", reasoning: "", calls: [], stopped: null };
const noText = {
  push: () => NO_TEXT,
  pushEnd: () => {},
  finish: () => NO_TEXT,
  hasReasoning: false,
  numReasoningTokens: 0,
} as unknown as TextStream;

async function main(): Promise<void> {
  console.log(describeMachine());
  const dir = given.models ?? (await mkdtemp(join(tmpdir(), "touchstone-bench-")));
  try {
    const models = new Models(dir, isQuick ? "tiny" : "smollm2-135m");
    for (const task of await tasks()) await measure(task, await openPack(await models.in("pack", "q4")));
  } finally {
    if (given.models === undefined) await rm(dir, { recursive: true, force: true });
  }
}

/** Prints the time of the answer with drafts / without. */
async function measure({ name, prompt, answer }: Task, pack: ModelPack): Promise<void> {
  const kernels = await Kernels.load({ numThreads: Number(given.threads) });
  const runners = await openPackRunners(pack, kernels, {
    profile: "exact",
    kvCache: "f32",
    numThreads: kernels.numThreads,
  });
  const head = new TextHead(kernels, runners.lmHead, {
    maxRows: 1 + LIMITS.maxDraftTokens,
    vocabSize: runners.lmHead.rows,
    hasToken: () => true,
  });
  const { blockSize, pageByteLength, reuse } = runners;
  const words = new Words();
  const promptTokenIds = words.encode(prompt, isQuick ? -200 : -1500);
  const answerIds = words.encode(answer, MAX_TOKENS);
  check(Math.max(...promptTokenIds, ...answerIds) < runners.lmHead.rows, `${name} has too many words`);

  /** Returns the milliseconds after the prompt, and the number of passes. */
  const run = async (drafts: boolean): Promise<{ ms: number; numPasses: number }> => {
    const runner = new NotedRunner(runners.tokenRunner);
    head.runner = runner;
    head.tokenIds = [...promptTokenIds, ...answerIds];
    const engine = new Engine({
      kernels,
      promptRunner: runner,
      tokenRunner: runner,
      draftRunner: drafts ? runner : null,
      blockSize,
      maxBlocks: 1,
      numPlaces: 1,
      lmHead: head,
      cache: new KVCache(kernels, { pageSize: blockSize, pageByteLength, maxPages: 64, reuse }),
      vocabulary: new Vocabulary(readTokens(pack.tokenizerJson, pack.tokenizerConfig, [])),
      endTokenIds: new Set(),
      contextLength: 8192,
    });
    const drawn: number[] = [];
    let ms = 0;
    for await (const delta of engine.submit({
      promptTokenIds,
      promptParam: "prompt",
      config: generationConfig({ seed: 1, temperature: 0, maxTokens: answerIds.length }),
      createText: () => noText,
    })) {
      drawn.push(...delta.tokenIds);
      ms = delta.timings?.completionMs ?? ms;
    }
    check(
      drawn.every((tokenId, index) => tokenId === answerIds[index]) && drawn.length === answerIds.length,
      `${name} was not answered as given`,
    );
    return { ms, numPasses: runner.numCalls - Math.ceil(promptTokenIds.length / blockSize) };
  };

  await run(true);
  const ratios: number[] = [];
  let passes = 0;
  let plainMs = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const plain = await run(false);
    const drafted = await run(true);
    ratios.push(plain.ms / drafted.ms);
    plainMs = Math.min(plainMs, plain.ms);
    passes = drafted.numPasses;
  }
  await kernels.close();
  const [lowest, highest] = [Math.min(...ratios), Math.max(...ratios)];
  console.log(
    `${name}: ${medianOf(ratios).toFixed(2)} times as fast (${lowest.toFixed(2)} to ${highest.toFixed(2)}); ` +
      `prompt ${promptTokenIds.length}, answer ${answerIds.length} tokens, ${passes} passes; ` +
      `${(plainMs / answerIds.length).toFixed(2)} ms per token without drafts`,
  );
}

await main();
