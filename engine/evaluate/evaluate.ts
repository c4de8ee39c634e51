/**
 * Measures how far one way of running a model drifts from another: a profile from the other, or a format of the
 * weights from another. Both read the same token ids in windows of the context; at every position their
 * predictions are compared (drift.ts). Holds one window's hidden states and a few rows of logits at a time.
 */

import { Kernels, kvPageByteLength, type Address } from "../../kernels/index.js";
import { DriftMeter, type Drift } from "./divergence.js";
import { assert, EngineError } from "../errors.js";
import { KVCache, LMHead } from "../core/index.js";
import { LIMITS } from "../limits.js";
import type { ModelPack } from "../folder/index.js";
import type { Model } from "../model/index.js";
import {
  loadOnnxRunner,
  loadWeights,
  WasmRunner,
  type EachTokenRunner,
  type KernelWeights,
  type ModelRunner,
  type Profile,
} from "../runner/index.js";
import { Tokenizer } from "../text/index.js";

/** A way of running a model: its prompts as this profile computes them. */
export interface DriftSide {
  readonly pack: ModelPack;
  readonly profile: Profile;
}

/** Positions that are read in one go: the context, where it is smaller. */
const WINDOW_POSITIONS = 512;
/** Rows projected on the vocabulary at a time. */
const HEAD_ROWS = 8;

/**
 * @param texts token ids, at least two in one of them
 * @throws EngineError where nothing can be predicted, or a token is none of both models
 */
export async function measureDrift(
  reference: DriftSide,
  other: DriftSide,
  texts: readonly (readonly number[])[],
  numThreads: number,
): Promise<Drift> {
  if (!texts.some(({ length }) => length >= 2)) {
    throw new EngineError("out_of_range", "The text has fewer than two tokens: there is nothing to predict.", "text");
  }
  // Two profiles of one pack share its weights.
  const loaded = new Map<ModelPack, LoadedPack>();
  const sides: Side[] = [];
  try {
    for (const { pack, profile } of [reference, other]) {
      if (!loaded.has(pack)) loaded.set(pack, await loadPack(pack, numThreads));
      sides.push(await Side.open(loaded.get(pack)!, profile));
    }
    return await compare(sides[0]!, sides[1]!, texts);
  } finally {
    for (const side of sides) await side.release();
    for (const { kernels } of loaded.values()) await kernels.close();
  }
}

/**
 * Text that a model writes by itself at temperature 1, the same on every machine in the profile `exact`: answers to
 * a few openings where it has a chat template, otherwise whatever comes after the token that begins a text.
 *
 * @param firstSeed of the first answer; each later one has the next
 * @returns token ids of each text, prompt included: `numTokensMin` in all, or a little more
 */
export async function selfWrittenTexts(model: Model, numTokensMin: number, firstSeed: number): Promise<number[][]> {
  const texts: number[][] = [];
  const maxTokens = Math.min(WINDOW_POSITIONS, model.folder.contextLength) / 2;
  for (let numTokens = 0; numTokens < numTokensMin;) {
    const streams = OPENINGS.map((content, index) => {
      const parameters = { temperature: 1, seed: firstSeed + texts.length + index, maxTokens };
      return model.template.canRender
        ? model.chat({ messages: [{ role: "user", content }], ...parameters })
        : model.generate({ prompt: startOfText(model), ...parameters });
    });
    for (const stream of streams) {
      const tokenIds = [...stream.promptTokenIds];
      for await (const delta of stream) tokenIds.push(...delta.tokenIds);
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

/** As raw text, in which special tokens are recognised. */
function startOfText({ tokenizer, folder }: Model): string {
  if (tokenizer.beginTokenId !== null) return "";
  return (
    tokenizer.addedTokens.find(({ id }) => id === (tokenizer.startOfTextId ?? folder.endTokenIds[0]))?.content ?? "\n"
  );
}

async function compare(reference: Side, other: Side, texts: readonly (readonly number[])[]): Promise<Drift> {
  const meter = new DriftMeter();
  const windowLength = Math.min(reference.windowLength, other.windowLength);
  for (const text of texts) {
    for (let start = 0; start < text.length; start += windowLength) {
      const window = text.slice(start, start + windowLength);
      const states = [await reference.hiddenStates(window), await other.hiddenStates(window)] as const;
      for (let first = 0; first < window.length; first += HEAD_ROWS) {
        const count = Math.min(HEAD_ROWS, window.length - first);
        const logits = [reference.project(states[0], first, count), other.project(states[1], first, count)] as const;
        for (let row = 0; row < count; row++) {
          meter.add(
            reference.logits(logits[0][row]!),
            other.logits(logits[1][row]!),
            text[start + first + row + 1] ?? null,
          );
        }
      }
    }
  }
  return meter.result();
}

interface LoadedPack {
  readonly pack: ModelPack;
  readonly kernels: Kernels;
  readonly weights: KernelWeights;
}

async function loadPack(pack: ModelPack, numThreads: number): Promise<LoadedPack> {
  const kernels = await Kernels.load({ numThreads });
  try {
    return { pack, kernels, weights: await loadWeights(kernels, pack) };
  } catch (error) {
    await kernels.close();
    throw error;
  }
}

type DriftRunner = ModelRunner & EachTokenRunner;

class Side {
  readonly windowLength: number;
  readonly #kernels: Kernels;
  readonly #runner: DriftRunner;
  readonly #cache: KVCache;
  readonly #lmHead: LMHead;
  readonly #hiddenSize: number;

  private constructor({ pack, kernels, weights }: LoadedPack, runner: DriftRunner) {
    const { config } = pack;
    const { promptBlockTokens: pageSize } = LIMITS;
    const tokenizer = new Tokenizer(pack.tokenizerJson, pack.tokenizerConfig);
    this.windowLength = Math.min(WINDOW_POSITIONS, config.contextLength);
    this.#kernels = kernels;
    this.#runner = runner;
    this.#cache = new KVCache(kernels, {
      pageSize,
      pageByteLength: kvPageByteLength({ ...config, pageSize, kvFormat: "f32" }),
      pagesMax: Math.ceil(this.windowLength / pageSize),
      reuse: "block",
    });
    this.#lmHead = new LMHead(kernels, weights.lmHead, {
      numRowsMax: HEAD_ROWS,
      vocabSize: Math.min(tokenizer.vocabSize, weights.lmHead.rows),
      hasToken: (tokenId) => tokenizer.hasToken(tokenId),
    });
    this.#hiddenSize = config.hiddenSize;
  }

  static async open(loaded: LoadedPack, profile: Profile): Promise<Side> {
    const { pack, kernels, weights } = loaded;
    const { config } = pack;
    const { promptBlockTokens: pageSize } = LIMITS;
    const runner =
      profile === "exact"
        ? new WasmRunner({ kernels, weights, config, numRowsMax: pageSize, pageSize, kvFormat: "f32" })
        : await loadOnnxRunner(pack, kernels, weights.embedding, kernels.numThreads);
    return new Side(loaded, runner);
  }

  /** f32 [positions, hidden_size] */
  async hiddenStates(window: readonly number[]): Promise<Float32Array> {
    const unknown = window.find((id) => id >= this.#lmHead.vocabSize);
    if (unknown !== undefined) {
      const message = `The text holds token ${unknown}; this model's tokens end at ${this.#lmHead.vocabSize - 1}.`;
      throw new EngineError("out_of_range", message, "text");
    }
    const { pageSize } = this.#cache.shape;
    const table = this.#cache.createTable();
    const hidden = new Float32Array(window.length * this.#hiddenSize);
    for (let start = 0; start < window.length; start += pageSize) {
      hidden.set(
        await this.#runner.forwardEach({ tokenIds: window.slice(start, start + pageSize), table }),
        start * this.#hiddenSize,
      );
    }
    assert(table.numPositions === window.length, "a window was not read to its end");
    table.release();
    return hidden;
  }

  /** @returns of each of `count` rows the address of its logits, valid until the next call */
  project(hidden: Float32Array, first: number, count: number): Address[] {
    const size = this.#hiddenSize;
    return this.#lmHead.project(
      Array.from({ length: count }, (_, row) => hidden.subarray((first + row) * size, (first + row + 1) * size)),
    );
  }

  /** f32 [vocab_size] */
  logits(address: Address): Float32Array {
    return this.#kernels.f32(address, this.#lmHead.vocabSize);
  }

  release(): Promise<void> {
    return this.#runner.release();
  }
}
