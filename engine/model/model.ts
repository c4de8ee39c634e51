/** A loaded model: messages or raw text in, an `Answer` out. */

import type { Kernels } from "../../kernels/index.js";
import { wrongType } from "../errors.js";
import type { RunnableModel } from "../folder/index.js";
import { isObject } from "../json.js";
import type { ChatMessage, ChatTemplate } from "../template/index.js";
import type { Tokenizer } from "../text/index.js";
import type { Answer } from "./answer.js";
import { prepare, type EngineOptions, type LoadModelOptions } from "./load-options.js";
import type { MemoryEstimate } from "./memory.js";
import { ModelRuntime, type ModelInfo } from "./model-runtime.js";
import { Preparer, type ChatOptions, type GenerateOptions, type PromptOptions } from "./preparer.js";
import { runTools, type RunToolsOptions, type RunToolsResult } from "./run-tools.js";

/**
 * Loads a model: downloads it from the hub and converts it into a pack in the cache, unless that has been done before.
 *
 * @param model a Hugging Face folder, a pack, a folder of ONNX files, `org/name[@revision]` on the hub, or null for the
 *   embedded model; or all options in one object
 * @throws EngineError for an option or a model that cannot be used
 */
export async function loadModel(
  model: string | null | LoadModelOptions = null,
  options: Omit<LoadModelOptions, "model"> = {},
): Promise<Model> {
  if (!isObject(options)) throw wrongType("options", "an object", options);
  const { folder, options: checked } = await prepare({ ...options, ...(isObject(model) ? model : { model }) });
  return Model.open(folder, checked);
}

/** Prepares requests and runs them on the caller's thread. */
export class Model {
  /** @internal Pack or folder of ONNX files from which the model runs. */
  readonly folder: RunnableModel;
  readonly #preparer: Preparer;
  readonly #runtime: ModelRuntime;

  private constructor(folder: RunnableModel, preparer: Preparer, runtime: ModelRuntime) {
    this.folder = folder;
    this.#preparer = preparer;
    this.#runtime = runtime;
  }

  /** @internal */
  static async open(folder: RunnableModel, options: EngineOptions): Promise<Model> {
    let preparer!: Preparer;
    const runtime = await ModelRuntime.open(folder, options, () => {
      preparer = new Preparer(folder);
      return preparer.tokenizer;
    });
    return new Model(folder, preparer, runtime);
  }

  get info(): ModelInfo {
    return this.#runtime.info;
  }

  /** @internal */
  get tokenizer(): Tokenizer {
    return this.#preparer.tokenizer;
  }

  /** @internal */
  get template(): ChatTemplate {
    return this.#preparer.template;
  }

  /** @internal Memory of the model, as estimated before it was loaded; null for a folder of ONNX files. */
  get memory(): MemoryEstimate | null {
    return this.#runtime.memory;
  }

  /** @internal Build of the kernels that this machine runs. */
  get kernelVariant(): Kernels["variant"] {
    return this.#runtime.kernelVariant;
  }

  /**
   * Answers a conversation.
   * @throws EngineError immediately for an invalid request
   */
  chat(options: ChatOptions): Answer {
    this.#runtime.checkOpen();
    return this.#runtime.submit(this.#preparer.chat(options), options.signal);
  }

  /**
   * Answers a conversation and runs the tools that the model calls, until an answer has no calls. The calls of one answer
   * run at the same time; their results are appended in the order of the calls. An answer that the limit of tokens has
   * cut ends the run, and its calls are not run.
   *
   * @throws EngineError for an invalid request, or `too_many_steps` if the last permitted answer has calls; the signal's
   *   reason if it was aborted, while an answer is generated or a tool is waited for
   */
  async runTools(options: RunToolsOptions): Promise<RunToolsResult> {
    return runTools((step) => this.chat(step), options);
  }

  /**
   * Continues raw text. Reasoning markup is treated as ordinary text.
   * @throws EngineError immediately for an invalid request
   */
  generate(options: GenerateOptions): Answer {
    this.#runtime.checkOpen();
    return this.#runtime.submit(this.#preparer.generate(options), options.signal);
  }

  /**
   * Encodes text or messages.
   * @param input raw text, in which special tokens are recognized, or messages, which the chat template renders
   * @param options variables and date of the chat template, for messages
   * @returns the token ids that the model would read
   * @throws EngineError for text that cannot be encoded, or messages that the template refuses
   */
  encode(input: string | readonly ChatMessage[], options: PromptOptions = {}): number[] {
    return this.#preparer.encode(input, options).tokenIds;
  }

  /**
   * Decodes token ids to text.
   * @throws EngineError for an id that is not a token of this model
   */
  decode(tokenIds: readonly number[]): string {
    return this.#preparer.decode(tokenIds);
  }

  /** Waits for running requests, then frees the model. New requests are refused from now on. */
  close(): Promise<void> {
    return this.#runtime.close();
  }

  /** Closes the model like `close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
