/**
 * Measures the divergence between two ways of running a model: two profiles, or two formats of the weights or of the KV
 * cache. Both read the same token ids in windows of the context, and their predictions are compared at every position (divergence.ts).
 * Only the hidden states of one window and a few rows of logits are in memory at a time.
 */

import type { Kernels, KVFormat } from "../../kernels/index.js";
import { KVCache, LMHead } from "../core/index.js";
import { assert, EngineError } from "../errors.js";
import type { ModelPack } from "../folder/index.js";
import type { Model } from "../model/index.js";
import { openKernels, openPackRunners, type EachTokenRunner, type ModelRunner, type Profile } from "../runner/index.js";
import { Tokenizer } from "../text/index.js";
import { DivergenceMeter, type Divergence } from "./divergence.js";

/** A way of running a model: a pack, and the profile that runs its prefill. */
export interface EvaluatedModel {
  readonly pack: ModelPack;
  readonly profile: Profile;
  /** Format of keys and values, f32 if absent. */
  readonly kvCache?: KVFormat;
}

/** Maximum positions of a window; the context length if that is smaller. */
const WINDOW_POSITIONS = 512;
/** Hidden states that are projected to logits at a time. */
const HEAD_ROWS = 8;

/**
 * Compares two ways of running a model on the given texts.
 *
 * @param texts token ids; at least one text has two or more
 * @throws EngineError if no text has two tokens, or if a token is not in the vocabulary of both models
 */
export async function evaluate(
  reference: EvaluatedModel,
  other: EvaluatedModel,
  texts: readonly (readonly number[])[],
  numThreads: number,
): Promise<Divergence> {
  if (!texts.some(({ length }) => length >= 2)) {
    throw new EngineError(
      "out_of_range",
      "The text has fewer than two tokens, so there is nothing to predict.",
      "text",
    );
  }
  // Two profiles of one pack share its weights.
  const areShared = reference.pack === other.pack && (reference.kvCache ?? "f32") === (other.kvCache ?? "f32");
  const groups = areShared ? [[reference, other]] : [[reference], [other]];
  const open: OpenPack[] = [];
  try {
    for (const models of groups) open.push(await OpenPack.open(models, numThreads));
    return await compare(open[0]!.reader(reference.profile), open.at(-1)!.reader(other.profile), texts);
  } finally {
    for (const pack of open) await pack.close();
  }
}

/**
 * Generates texts with the model at temperature 1; in the profile `exact` they are the same on every machine. With a
 * chat template, the texts are answers to a few fixed messages; otherwise they continue the token that begins a text.
 *
 * @param firstSeed seed of the first answer; each further answer uses the next seed
 * @returns token ids of each text, including the prompt; `minTokens` in total, or slightly more
 */
export async function selfWrittenTexts(model: Model, minTokens: number, firstSeed: number): Promise<number[][]> {
  const texts: number[][] = [];
  const maxTokens = Math.floor(Math.min(WINDOW_POSITIONS, model.folder.contextLength) / 2);
  for (let numTokens = 0; numTokens < minTokens;) {
    const answers = OPENINGS.map((content, index) => {
      const parameters = { temperature: 1, seed: firstSeed + texts.length + index, maxTokens };
      return model.template.canRender
        ? model.chat({ messages: [{ role: "user", content }], ...parameters })
        : model.generate({ prompt: startOfText(model), ...parameters });
    });
    for (const answer of answers) {
      const { choices } = await answer.result();
      const tokenIds = [...answer.promptTokenIds, ...choices[0]!.tokenIds];
      texts.push(tokenIds);
      numTokens += tokenIds.length;
    }
  }
  return texts;
}

const OPENINGS = [
  "Hello! Who are you?",
  "Tell me a story about a fox and a bear.",
  "What is 27 + 38?",
  "What is the capital of France?",
  "Explain why the sky is blue.",
  "Write a short poem about the sea.",
  "List three things to do on a rainy day.",
  "How do I boil an egg?",
];

/** Returns the token that begins a text as raw text, in which special tokens are recognized. */
function startOfText({ tokenizer, folder }: Model): string {
  if (tokenizer.beginTokenIds.length > 0) return "";
  return (
    tokenizer.addedTokens.find(({ id }) => id === (tokenizer.startOfTextId ?? folder.endTokenIds[0]))?.content ?? "\n"
  );
}

async function compare(reference: Reader, other: Reader, texts: readonly (readonly number[])[]): Promise<Divergence> {
  const meter = new DivergenceMeter();
  const windowLength = Math.min(reference.windowLength, other.windowLength);
  for (const text of texts) {
    for (let start = 0; start < text.length; start += windowLength) {
      const window = text.slice(start, start + windowLength);
      const [one, two] = [await reference.read(window), await other.read(window)];
      for (let first = 0; first < window.length; first += HEAD_ROWS) {
        const count = Math.min(HEAD_ROWS, window.length - first);
        const [a, b] = [one(first, count), two(first, count)];
        for (let row = 0; row < count; row++) meter.add(a[row]!, b[row]!, text[start + first + row + 1] ?? null);
      }
    }
  }
  return meter.result();
}

/** @returns logits of `count` rows of the window from `first` on, f32 [vocab_size] each */
type Logits = (first: number, count: number) => Float32Array[];

interface Reader {
  readonly windowLength: number;
  read(window: readonly number[]): Promise<Logits>;
}

/** A pack whose weights are in the kernels' memory, with the runners of the requested profiles. */
class OpenPack {
  readonly #kernels: Kernels;
  readonly #runners: ReadonlyMap<Profile, ModelRunner & EachTokenRunner>;
  readonly #cache: KVCache;
  readonly #lmHead: LMHead;
  readonly #windowLength: number;
  readonly #hiddenSize: number;

  private constructor(pack: ModelPack, kernels: Kernels, runners: Awaited<ReturnType<typeof openPackRunners>>) {
    const tokenizer = new Tokenizer(pack.tokenizerJson, pack.tokenizerConfig);
    const { blockSize: pageSize, pageByteLength, lmHead } = runners;
    this.#kernels = kernels;
    // In the profile fast, the kernels still run the decode steps, so that runner also serves the profile exact.
    this.#runners = new Map([
      ["exact", runners.tokenRunner],
      ["fast", runners.promptRunner],
    ]);
    this.#windowLength = Math.min(WINDOW_POSITIONS, pack.config.contextLength);
    const maxPages = Math.ceil(this.#windowLength / pageSize);
    this.#cache = new KVCache(kernels, { pageSize, pageByteLength, maxPages, reuse: "block" });
    this.#lmHead = new LMHead(kernels, lmHead, {
      maxRows: HEAD_ROWS,
      vocabSize: Math.min(tokenizer.vocabSize, lmHead.rows),
      hasToken: (tokenId) => tokenizer.hasToken(tokenId),
    });
    this.#hiddenSize = pack.config.hiddenSize;
  }

  /** @param models the same pack with the same format of keys and values, in one profile or two */
  static async open(models: readonly EvaluatedModel[], numThreads: number): Promise<OpenPack> {
    const { pack, kvCache = "f32" } = models[0]!;
    const profile = models.some((model) => model.profile === "fast") ? "fast" : "exact";
    const kernels = await openKernels(numThreads);
    try {
      return new OpenPack(pack, kernels, await openPackRunners(pack, kernels, { profile, kvCache, numThreads }));
    } catch (error) {
      await kernels.close();
      throw error;
    }
  }

  reader(profile: Profile): Reader {
    const runner = this.#runners.get(profile)!;
    return {
      windowLength: this.#windowLength,
      read: async (window) => this.#logitsOf(await this.#hiddenStates(runner, window)),
    };
  }

  async close(): Promise<void> {
    for (const runner of new Set(this.#runners.values())) await runner.release();
    await this.#kernels.close();
  }

  /** Returns the hidden states, f32 [positions, hidden_size]. */
  async #hiddenStates(runner: EachTokenRunner, window: readonly number[]): Promise<Float32Array> {
    const unknown = window.find((id) => id >= this.#lmHead.vocabSize);
    if (unknown !== undefined) {
      const message = `The text contains token ${unknown}; the largest token id of this model is ${this.#lmHead.vocabSize - 1}.`;
      throw new EngineError("out_of_range", message, "text");
    }
    const { pageSize } = this.#cache.shape;
    const table = this.#cache.createTable();
    const hidden = new Float32Array(window.length * this.#hiddenSize);
    for (let start = 0; start < window.length; start += pageSize) {
      const tokenIds = window.slice(start, start + pageSize);
      const [block] = await runner.forwardEach([{ tokenIds, table }]);
      hidden.set(block!, start * this.#hiddenSize);
    }
    assert(table.numPositions === window.length, "a window was not read to its end");
    table.release();
    return hidden;
  }

  #logitsOf(hidden: Float32Array): Logits {
    const size = this.#hiddenSize;
    return (first, count) => {
      const rows = Array.from({ length: count }, (_, row) =>
        hidden.subarray((first + row) * size, (first + row + 1) * size),
      );
      return this.#lmHead.project(rows).map((address) => this.#kernels.f32(address, this.#lmHead.vocabSize).slice());
    };
  }
}
