/**
 * The engine with a scripted model: a vector gives the row of logits at each position. LM head, sampler, text stream,
 * log-probabilities and the API response are the real ones.
 */

import type { AnswerMask } from "../../engine/message/answer-mask.js";
import { AnswerCollector } from "../../engine/core/answer-collector.js";
import { PLAIN } from "../../engine/message/message-format.js";
import { Engine } from "../../engine/core/engine.js";
import { KVCache } from "../../engine/core/kv-cache.js";
import { LMHead } from "../../engine/core/lm-head.js";
import type { ForwardPass, ModelRunner } from "../../engine/runner/model-runner.js";
import { generationConfig, type GenerationOptions } from "../../engine/sampling/generation-config.js";
import { TextStream, type TextStreamOptions } from "../../engine/message/text-stream.js";
import type { Tokenizer } from "../../engine/text/tokenizer.js";
import { type Kernels, pack } from "../../kernels/index.js";
import { chatCompletion } from "../../src/openai/index.js";
import type { ChatCompletion } from "../../src/openai/response-schema.js";

export interface Script {
  readonly kernels: Kernels;
  readonly tokenizer: Tokenizer;
  /** Logits at each position of the answer. All rows have the same length. */
  readonly rows: readonly (readonly number[])[];
  readonly vocabSize: number;
  readonly endTokenId?: number;
  readonly options: GenerationOptions;
  readonly text?: Partial<TextStreamOptions>;
  /** The only token that may be drawn. */
  readonly drawn?: number;
}

/** Returns the response that a client gets. */
export async function answer({
  kernels,
  tokenizer,
  rows,
  vocabSize,
  endTokenId,
  options,
  text = {},
  drawn,
}: Script): Promise<ChatCompletion> {
  const promptTokenIds = [0];
  const runner = new ScriptedRunner(promptTokenIds.length, rows.length);
  const engine = new Engine({
    kernels,
    promptRunner: runner,
    tokenRunner: runner,
    draftRunner: null,
    blockSize: PAGE_SIZE,
    maxBlocks: 1,
    numPlaces: 1,
    lmHead: headOf(kernels, rows, vocabSize, (tokenId) => tokenizer.hasToken(tokenId)),
    cache: new KVCache(kernels, { pageSize: PAGE_SIZE, pageByteLength: 4, maxPages: 16, reuse: "token" }),
    vocabulary: tokenizer,
    endTokenIds: new Set(endTokenId === undefined ? [] : [endTokenId]),
    contextLength: 1024,
  });
  const config = generationConfig({ seed: 0, ...options, maxTokens: rows.length });
  const separateReasoning = text.separateReasoning ?? false;
  const createText = (): TextStream =>
    new TextStream({
      vocabulary: tokenizer,
      promptIds: promptTokenIds,
      stop: [],
      includeStop: false,
      format: PLAIN,
      insideReasoning: false,
      separateReasoning,
      ...text,
    });
  const createMask = drawn === undefined ? undefined : () => onlyToken(drawn, vocabSize);
  const request = { n: 1, logprobs: config.logprobs, separateReasoning, streamUsage: "none" as const, mayCall: false };
  const collector = new AnswerCollector();
  for await (const delta of engine.submit({
    promptTokenIds,
    promptParam: "messages",
    config,
    createText,
    createMask,
  }))
    collector.add(delta);
  const context = { id: "", created: 0, model: "", systemFingerprint: "", request };
  return chatCompletion(context, collector.result(config.seed));
}

const PAGE_SIZE = 8;

/** Returns an LM head that maps the k-th unit vector to the k-th row. */
export function headOf(
  kernels: Kernels,
  rows: readonly (readonly number[])[],
  vocabSize: number,
  hasToken: (tokenId: number) => boolean,
): LMHead {
  const [first = []] = rows;
  const values = Float32Array.from(
    { length: first.length * rows.length },
    (_, index) => rows[index % rows.length]![Math.floor(index / rows.length)]!,
  );
  const matrix = kernels.allocateMatrix("f32", first.length, rows.length);
  kernels
    .bytes(matrix.address, matrix.byteLength)
    .set(pack({ format: "f32", rows: first.length, cols: rows.length, values }));
  return new LMHead(kernels, matrix, { maxRows: 1, vocabSize, hasToken });
}

/** Returns the unit vector of the position as hidden state, after the prompt and after each token of the answer. */
class ScriptedRunner implements ModelRunner {
  readonly #numPromptTokens: number;
  readonly #numRows: number;

  constructor(numPromptTokens: number, numRows: number) {
    this.#numPromptTokens = numPromptTokens;
    this.#numRows = numRows;
  }

  async forward(passes: readonly ForwardPass[]): Promise<Float32Array[]> {
    return passes.map(({ tokenIds, table }) => {
      table.extend(tokenIds.length);
      const position = table.numPositions - this.#numPromptTokens;
      return Float32Array.from({ length: this.#numRows }, (_, index) => Number(index === position));
    });
  }

  async release(): Promise<void> {}
}

/** Returns a mask that allows only one token. It implements the part of the interface that the engine uses. */
function onlyToken(tokenId: number, vocabSize: number): AnswerMask {
  const allowed = new Uint32Array(Math.ceil(vocabSize / 32));
  allowed[tokenId >> 5]! |= 1 << (tokenId & 31);
  const grammar: Pick<AnswerMask, "prepare" | "allowed" | "accept" | "isFinished"> = {
    prepare: () => true,
    allowed: () => allowed,
    accept: () => {},
    isFinished: false,
  };
  return grammar as AnswerMask;
}
