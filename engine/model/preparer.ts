/**
 * Prepares requests: checks them, renders and encodes the prompt, and compiles the grammar of the answer. All work that
 * grows with a request happens here, so that a server can run it in another thread than the token loop. It needs only
 * the text files of a model.
 */

import { createHash } from "node:crypto";

import { described, EngineError, outOfRange, quoted, wrongType } from "../errors.js";
import { readTextFiles, type ModelFolder, type ToolFormat, withToolFormat } from "../folder/index.js";
import { GrammarCache, type CompiledGrammar } from "../grammar/index.js";
import { isObject } from "../json.js";
import { LIMITS } from "../limits.js";
import {
  answerFormat,
  answerGrammar,
  callsGrammar,
  type CallsOptions,
  checkTools,
  kindsByTool,
  markupOf,
  PLAIN,
  type CheckedTools,
  type MessageFormat,
  type ResponseFormat,
  type ToolOptions,
} from "../message/index.js";
import { generationConfig, type GenerationConfig, type GenerationOptions } from "../sampling/index.js";
import {
  ChatTemplate,
  checkDate,
  checkVariables,
  dateOf,
  textLengthOf,
  variablesLength,
  type ChatMessage,
  type TemplateVariables,
} from "../template/index.js";
import { Tokenizer, type EncodingOptions } from "../text/index.js";
import { checkSignal } from "./load-options.js";

/**
 * Sampling parameters, and a signal that ends the request at the next step; reading the answer then throws the
 * signal's reason.
 */
export interface RequestOptions extends GenerationOptions {
  readonly signal?: AbortSignal | undefined;
}

/** What the chat template gets in addition to the messages. */
export interface PromptOptions {
  /**
   * Further variables of the chat template, as JSON values, such as `{ enable_thinking: false }` for Qwen 3. A template
   * ignores those that it does not know. `messages`, `tools`, `documents` and `add_generation_prompt` cannot be set.
   */
  readonly templateVariables?: TemplateVariables | null | undefined;
  /**
   * The date that templates write with `strftime_now`, such as `2026-11-30`. A `date` in `templateVariables` takes
   * precedence. Today's date in UTC by default, so a request with a date has the same prompt on any day.
   */
  readonly date?: string | null | undefined;
}

export interface ChatOptions extends RequestOptions, PromptOptions, ToolOptions {
  readonly messages: readonly ChatMessage[];
  /** Required format of the answer after the reasoning; `{ type: "text" }` by default. */
  readonly responseFormat?: ResponseFormat | null | undefined;
}

export interface GenerateOptions extends RequestOptions {
  /** Raw text. Special tokens in it are recognized, and the begin token is added if the tokenizer has that setting. */
  readonly prompt: string;
}

/** A checked request in the form that the engine runs. */
export interface PreparedRequest {
  readonly promptTokenIds: readonly number[];
  /** Name of the parameter that the prompt comes from, for errors. */
  readonly promptParam: "messages" | "prompt";
  /** Date that the chat template got, given or today's; null for raw text. */
  readonly date: string | null;
  readonly config: GenerationConfig;
  readonly format: MessageFormat;
  /** True if the prompt ends inside the reasoning. */
  readonly insideReasoning: boolean;
  /** Null if the answer may be any text. */
  readonly grammar: CompiledGrammar | null;
  /** Null if no tool can be called. */
  readonly calls: PreparedCalls | null;
}

/** How a choice calls tools, but for the ids of calls, which depend on the prompt. */
interface PreparedCalls extends Omit<CallsOptions, "idOf"> {
  /** SHA-256 of the prompt's token ids. */
  readonly promptDigest: string;
}

/** The properties of a model on which prompts and grammars depend. */
export type ModelTexts = Pick<
  ModelFolder,
  "contextLength" | "vocabSize" | "tokenizerJson" | "tokenizerConfig" | "chatTemplate" | "messageFormat"
>;

/** Place of a model's text files, and the properties of the model that they do not contain. */
export interface PreparerSource extends Pick<ModelFolder, "contextLength" | "vocabSize"> {
  /** Folder of the text files. */
  readonly dir: string;
  readonly toolFormat: ToolFormat | undefined;
}

/**
 * Reads the text files of a model that `prepare` has checked.
 * @param isCanceled returns true if the current request's result is no longer needed
 * @throws EngineError for files that cannot be used
 */
export async function openPreparer(source: PreparerSource, isCanceled: () => boolean): Promise<Preparer> {
  const { tokenizer, tokenizerConfig, chatTemplate, format } = await readTextFiles(source.dir);
  const texts = { ...source, tokenizerJson: tokenizer, tokenizerConfig, chatTemplate, messageFormat: format };
  return new Preparer(withToolFormat(texts, source.toolFormat), isCanceled);
}

export class Preparer {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  readonly #texts: ModelTexts;
  readonly #isCanceled: () => boolean;
  readonly #grammars = new GrammarCache(LIMITS.maxGrammarCacheBytes);

  /**
   * @param isCanceled returns true if the current request's result is no longer needed; the work then ends soon
   * @throws EngineError for a tokenizer that cannot be used
   */
  constructor(texts: ModelTexts, isCanceled: () => boolean = () => false) {
    const { tokenizerJson, tokenizerConfig, chatTemplate, messageFormat } = texts;
    this.tokenizer = new Tokenizer(tokenizerJson, tokenizerConfig, markupOf(messageFormat));
    this.template = new ChatTemplate(chatTemplate, tokenizerConfig, this.tokenizer, messageFormat);
    this.#texts = texts;
    this.#isCanceled = isCanceled;
  }

  /** @throws EngineError for an invalid request */
  chat(options: ChatOptions): PreparedRequest {
    checkRequest(options, "messages");
    const { messages, responseFormat = null, templateVariables, date: given, signal: _, ...others } = options;
    const { tools: givenTools, toolChoice, parallelToolCalls, ...parameters } = others;
    const { messageFormat: format } = this.#texts;
    const config = this.#checkedConfig(parameters);
    const answer = answerGrammar(responseFormat, format.reasoning !== null, this.#grammars, this.#isCanceled);
    const tools = checkTools({ tools: givenTools, toolChoice, parallelToolCalls });
    const ofCalls = this.#callsGrammar(tools, responseFormat);
    // Before their length is computed: a value that is not JSON has none.
    const { variables, date } = checkedPromptOptions({ templateVariables, date: given });
    this.#checkMessages(messages, variables, tools);
    const prompt = this.template.render(messages, {
      variables,
      tools: tools?.tools ?? null,
      date,
      isCanceled: this.#isCanceled,
    });
    this.#checkTextLength(prompt.text, "messages");
    const promptTokenIds = this.tokenizer.encodePrompt(prompt, this.#encodingOptions);
    this.#checkPrompt(promptTokenIds, "messages");
    const insideReasoning = prompt.opensReasoning;
    const grammar = ofCalls ?? answer;
    const calls = tools === null || ofCalls === null ? null : this.#callsOptions(tools, ofCalls, promptTokenIds);
    return { promptTokenIds, promptParam: "messages", date, config, format, insideReasoning, grammar, calls };
  }

  /** @returns null without tools, or if the model's calls are not understood, which the template then reports */
  #callsGrammar(tools: CheckedTools | null, otherwise: ResponseFormat | null): CompiledGrammar | null {
    const { calls } = this.#texts.messageFormat;
    if (tools === null || calls === null) return null;
    return callsGrammar(tools, calls, answerFormat(otherwise), this.#grammars, this.#isCanceled);
  }

  /** @returns null if no tool may be called */
  #callsOptions(
    tools: CheckedTools,
    grammar: CompiledGrammar,
    promptTokenIds: readonly number[],
  ): PreparedRequest["calls"] {
    if (tools.callable.length === 0) return null;
    return {
      form: this.#texts.messageFormat.calls!,
      kinds: kindsByTool(tools, grammar),
      finishReason: tools.isNamed ? "stop" : "tool_calls",
      promptDigest: createHash("sha256").update(Int32Array.from(promptTokenIds)).digest("hex"),
    };
  }

  /** @throws EngineError for an invalid request */
  generate(options: GenerateOptions): PreparedRequest {
    checkRequest(options, "prompt");
    const { prompt, signal: _, ...parameters } = options;
    const config = this.#checkedConfig(parameters);
    if (typeof prompt !== "string") throw wrongType("prompt", "a string", prompt);
    this.#checkTextLength(prompt, "prompt");
    const promptTokenIds = this.tokenizer.encode(prompt, "prompt", this.#encodingOptions);
    this.#checkPrompt(promptTokenIds, "prompt");
    const rest = { format: PLAIN, insideReasoning: false, grammar: null, calls: null };
    return { promptTokenIds, promptParam: "prompt", date: null, config, ...rest };
  }

  /**
   * Encodes text or messages.
   * @param input raw text, in which special tokens are recognized, or messages, which the chat template renders
   * @param options for messages
   * @returns the token ids that the model would read, and the date that the template got; null for raw text
   * @throws EngineError for text that cannot be encoded, or messages that the template refuses
   */
  encode(
    input: string | readonly ChatMessage[],
    options: PromptOptions = {},
  ): { readonly tokenIds: number[]; readonly date: string | null } {
    const isCanceled = this.#isCanceled;
    if (typeof input === "string")
      return { tokenIds: this.tokenizer.encode(input, "text", { isCanceled }), date: null };
    const { variables, date } = checkedPromptOptions(options);
    const prompt = this.template.render(input, { variables, date, isCanceled });
    return { tokenIds: this.tokenizer.encodePrompt(prompt, { isCanceled }), date };
  }

  /**
   * Decodes token ids to text.
   * @throws EngineError for an id that is not a token of this model
   */
  decode(tokenIds: readonly number[]): string {
    const { tokenizer } = this;
    const index = tokenIds.findIndex((id) => id >= tokenizer.vocabSize || !tokenizer.hasToken(id));
    if (index >= 0)
      throw outOfRange(
        `tokenIds[${index}]`,
        `is not a token of this model; ids are 0 to ${tokenizer.vocabSize - 1}`,
        tokenIds[index],
      );
    return tokenizer.decode(tokenIds);
  }

  /**
   * Refuses more messages, and far more text, than can fit, before they are rendered and encoded: for megabytes this
   * takes seconds, during which nothing else is prepared.
   */
  #checkMessages(
    messages: readonly ChatMessage[],
    variables: TemplateVariables | null,
    tools: CheckedTools | null,
  ): void {
    // A value that is not an array is refused later, when the messages are checked.
    if (!Array.isArray(messages)) return;
    const { contextLength } = this.#texts;
    const limit = `the context's ${contextLength} tokens hold at most`;
    if (messages.length > contextLength) {
      throw new EngineError(
        "context_length_exceeded",
        `There are ${messages.length} messages; ${limit} ${contextLength}.`,
        "messages",
      );
    }
    const ofTools = tools === null ? 0 : JSON.stringify(tools.tools).length;
    const numCharacters = textLengthOf(messages) + variablesLength(variables) + ofTools;
    if (numCharacters <= MAX_DROPPED_FACTOR * this.#maxTextLength) return;
    throw new EngineError(
      "context_length_exceeded",
      `The messages have ${numCharacters} characters; ${limit} ${this.#maxTextLength}.`,
      "messages",
    );
  }

  #checkTextLength({ length }: string, param: string): void {
    if (length <= this.#maxTextLength) return;
    const limit = `the context's ${this.#texts.contextLength} tokens hold at most ${this.#maxTextLength}`;
    throw new EngineError("context_length_exceeded", `The prompt has ${length} characters; ${limit}.`, param);
  }

  /** Number of characters beyond which a prompt cannot fit. */
  get #maxTextLength(): number {
    return this.#texts.contextLength * this.tokenizer.maxTokenLength * NORMALIZATION_FACTOR;
  }

  get #encodingOptions(): EncodingOptions {
    return { maxTokens: this.#maxCountedTokens, isCanceled: this.#isCanceled };
  }

  get #maxCountedTokens(): number {
    return Math.max(2 * this.#texts.contextLength, LIMITS.countedPromptTokens);
  }

  #checkPrompt(promptTokenIds: readonly number[], param: "messages" | "prompt"): void {
    const { contextLength } = this.#texts;
    if (promptTokenIds.length === 0) {
      const reason =
        param === "prompt"
          ? "The prompt is empty, and this model's tokenizer has no begin token to start from."
          : "The messages are empty, and this model's chat template adds nothing to them; an answer needs at least one token to start from.";
      throw new EngineError("out_of_range", reason, param);
    }
    if (promptTokenIds.length > this.#maxCountedTokens) {
      throw new EngineError(
        "context_length_exceeded",
        `The prompt has more than ${this.#maxCountedTokens} tokens; the context holds ${contextLength}, of which at least one must be left for the answer.`,
        param,
      );
    }
    const last = this.#lastTokenId;
    const unknown = promptTokenIds.find((id) => id > last);
    if (unknown === undefined) return;
    throw new EngineError(
      "out_of_range",
      `The prompt contains token ${unknown} (${quoted(this.tokenizer.tokenText(unknown))}); the largest token id of this model is ${last}.`,
      param,
    );
  }

  /** Checks the sampling parameters; called before the prompt is checked. */
  #checkedConfig(parameters: GenerationOptions): GenerationConfig {
    const config = generationConfig(parameters);
    const last = this.#lastTokenId;
    for (const id of config.logitBias.keys()) {
      if (id <= last && this.tokenizer.hasToken(id)) continue;
      const rule = `which is not a token of this model; ids are 0 to ${last}.`;
      throw new EngineError("out_of_range", (name) => `${name("logitBias")} names ${id}, ${rule}`, `logitBias.${id}`);
    }
    return config;
  }

  get #lastTokenId(): number {
    return Math.min(this.#texts.vocabSize, this.tokenizer.vocabSize) - 1;
  }
}

/** Returns the variables and the date of a prompt. @throws EngineError that names the variable */
function checkedPromptOptions({ templateVariables: variables = null, date = null }: PromptOptions): {
  readonly variables: TemplateVariables | null;
  readonly date: string;
} {
  checkVariables(variables);
  checkDate(date, "date");
  const own = variables?.["date"] as string | null | undefined;
  return { variables, date: own ?? date ?? dateOf(new Date()) };
}

/** Checks everything but the sampling parameters, because TypeScript checks it only for callers in TypeScript. */
function checkRequest(options: RequestOptions, text: string): void {
  if (!isObject(options))
    throw new EngineError("invalid_type", `A request must be an object with ${text}. Given: ${described(options)}`);
  checkSignal(options.signal);
}

/** Maximum number of code units that Unicode composition (NFC, NFKC) turns into one. */
const NORMALIZATION_FACTOR = 4;
/** A template may drop the reasoning of earlier answers; most of the messages' text is in the prompt. */
const MAX_DROPPED_FACTOR = 16;
