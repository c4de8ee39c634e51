/**
 * A small engine. Sampling is the float64 reference, the model is a fake, and text, reasoning and grammars use the real
 * engine's components. Running requests advance together, one token per choice every millisecond. A prefix cache keeps
 * the states of earlier prompts. The bugs of bugs.ts are implemented where a real engine would have them.
 */

import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";

import { LIMITS } from "../../engine/limits.js";
import { AnswerMask, AnswerVocabulary } from "../../engine/message/answer-mask.js";
import { EngineError } from "../../engine/errors.js";
import { type Grammar, GrammarCache, LoadedGrammars } from "../../engine/grammar/index.js";
import type { FinishReason, OutputDelta, TokenAlternative, TokenLogprob } from "../../engine/index.js";
import { answerFormat, answerGrammar, type ResponseFormat } from "../../engine/message/response-format.js";
import { callsGrammar, checkTools, type CheckedTools, type ToolOptions } from "../../engine/message/tools.js";
import { generationConfig, type GenerationConfig } from "../../engine/sampling/generation-config.js";
import { uniform } from "../../engine/sampling/philox.js";
import { ChatTemplate } from "../../engine/template/chat-template.js";
import type { TemplateVariables } from "../../engine/template/template-variables.js";
import type { TextDelta } from "../../engine/message/text-stream.js";
import type { SampleRequest } from "../../kernels/index.js";
import { referenceSample } from "../oracles/kernels.js";
import type { ChatRequest } from "../../src/openai/index.js";
import { Call, type DeltaBatches } from "../../src/server/call.js";
import { byteSymbols } from "../fixtures/byte-tokenizer.js";
import type { BugName } from "./bugs.js";
import { type Hidden, logitsOf, mixed, NOTHING_READ, read } from "./fake-model.js";
import type { MockCallsOptions } from "./mock-calls.js";
import { MockText } from "./mock-text.js";
import { Places } from "./places.js";
import { END, FORMAT, mockTokenizer, TOKENIZER_CONFIG, VOCABULARY_SIZE } from "./vocabulary.js";

/** Maximum number of tokens of prompt and answer. */
export const CONTEXT_LENGTH = 1024;
/** Maximum number of choices that run concurrently. */
export const NUM_PLACES = 8;

interface Request {
  readonly config: GenerationConfig;
  /** True if the client gave a seed. */
  readonly isSeeded: boolean;
  readonly isStreamed: boolean;
  readonly promptIds: readonly number[];
  readonly isStructured: boolean;
  readonly hasTools: boolean;
  readonly maxTokens: number;
  readonly numCached: number;
  readonly call: Call;
  readonly sequences: readonly Sequence[];
  readonly leave: () => void;
  numCompletionTokens: number;
  numReasoningTokens: number;
  numTexts: number;
}

interface Sequence {
  readonly choice: number;
  readonly text: MockText;
  grammar: AnswerMask | null;
  readonly counts: Map<number, number>;
  hidden: Hidden;
  numTokens: number;
  pending: TokenLogprob[];
  isDone: boolean;
}

export class MockEngine {
  readonly tokenizer = mockTokenizer();
  readonly template = new ChatTemplate(null, TOKENIZER_CONFIG, this.tokenizer, FORMAT);
  readonly #bugs: ReadonlySet<BugName>;
  readonly #places = new Places({ numPlaces: NUM_PLACES, maxWaiting: 256 });
  readonly #vocabulary = new AnswerVocabulary(tokenBytes(this.tokenizer), [END], FORMAT);
  readonly #grammars = new GrammarCache(LIMITS.maxGrammarCacheBytes);
  readonly #loadedGrammars = new LoadedGrammars(LIMITS.maxLoadedGrammarBytes);
  readonly #running = new Set<Request>();
  /** Earlier prompts with the states after each prefix. The latest prompt is last. */
  #cache: { readonly promptIds: readonly number[]; readonly states: readonly Hidden[] }[] = [];
  #isStepping = false;
  /** For the bug one-generator-for-all. */
  #generator: { seed: number | bigint; position: number } = { seed: 0, position: 0 };
  /** For the bug answers-swapped. */
  #strayText = "";

  constructor(bugs: ReadonlySet<BugName>) {
    this.#bugs = bugs;
  }

  /** Starts an answer. @throws ApiError queue_full, EngineError for an invalid request, or the signal's reason */
  async chat(
    { messages, options, stream }: ChatRequest,
    signal: AbortSignal,
  ): Promise<{ readonly seed: number | bigint; readonly deltas: DeltaBatches }> {
    const { responseFormat = null, templateVariables = null, ...others } = options;
    const { tools: given, toolChoice, parallelToolCalls, ...sampling } = others;
    const config = this.#config(sampling);
    const answer = this.#grammar(responseFormat, config.separateReasoning);
    const tools = this.#tools({ tools: given, toolChoice, parallelToolCalls });
    const grammar = tools === null ? answer : this.#callsGrammar(tools, responseFormat);
    const promptIds = this.#encode(messages, templateVariables, tools);
    const maxTokens = maxTokensOf(promptIds, config.maxTokens, config.contextLengthExceededBehavior);

    // With this bug the engine also ignores clients that disconnect while their requests wait.
    const isBlind = this.#bugs.has("disconnect-in-prefill-ignored");
    const leave = await this.#places.enter(config.n, isBlind ? new AbortController().signal : signal);
    let hasStarted = false;
    const abandoned = (): void => {
      const isIgnored = this.#bugs.has("disconnect-ignored") || (!hasStarted && isBlind);
      if (isIgnored) setTimeout(leave, CONTEXT_LENGTH * IGNORED_TOKEN_MS).unref();
      else leave();
    };
    const { hidden, numCached } = this.#prefill(promptIds);
    try {
      await delay(PREFILL_MS + (promptIds.length - numCached) / PROMPT_TOKENS_PER_MS, undefined, { signal });
    } catch {
      abandoned();
      throw signal.reason;
    }
    hasStarted = true;
    const request: Request = {
      config,
      isSeeded: (sampling.seed ?? null) !== null,
      isStreamed: stream,
      promptIds,
      isStructured: responseFormat !== null && responseFormat.type !== "text",
      hasTools: tools !== null,
      maxTokens,
      numCached,
      call: new Call({ onRead: () => {}, onEnd: () => {} }),
      sequences: this.#createSequences({ config, promptIds, hidden, grammar, isStreamed: stream, tools }),
      leave,
      numCompletionTokens: 0,
      numReasoningTokens: 0,
      numTexts: 0,
    };
    signal.addEventListener("abort", () => {
      if (!this.#running.has(request)) return;
      this.#cancel(request, abandoned);
      request.call.fail(signal.reason);
    });
    this.#generator = { seed: config.seed, position: 0 };
    this.#running.add(request);
    void this.#run();
    return { seed: config.seed, deltas: request.call.deltas };
  }

  #cancel(request: Request, abandoned: () => void): void {
    this.#running.delete(request);
    abandoned();
    if (!this.#bugs.has("cancel-ends-neighbors")) return;
    for (const other of this.#running)
      for (const sequence of other.sequences) if (!sequence.isDone) this.#end(other, sequence, NO_TEXT, "stop");
  }

  #config(sampling: Omit<ChatRequest["options"], "responseFormat">): GenerationConfig {
    const config = generationConfig(sampling);
    for (const tokenId of config.logitBias.keys()) {
      if (tokenId < VOCABULARY_SIZE) continue;
      throw new EngineError(
        "out_of_range",
        `logitBias names ${tokenId}, which is not a token of this model; ids are 0 to ${VOCABULARY_SIZE - 1}.`,
        `logitBias.${tokenId}`,
      );
    }
    const isGreedy =
      (this.#bugs.has("seed-means-greedy") && (sampling.seed ?? null) !== null) ||
      (this.#bugs.has("temperature-one-is-greedy") && config.temperature === 1);
    const isUnfiltered = this.#bugs.has("top-k-and-min-p-ignored");
    return {
      ...config,
      seed: this.#bugs.has("seed-ignored") ? generationConfig().seed : config.seed,
      temperature: isGreedy ? 0 : config.temperature,
      topK: isUnfiltered ? null : (config.topK ?? (this.#bugs.has("top-k-of-the-model") ? 20 : null)),
      minP: isUnfiltered ? null : config.minP,
      repetitionPenalty: this.#bugs.has("repetition-penalty-ignored") ? 1 : config.repetitionPenalty,
      logitBias: this.#bugs.has("logit-bias-ignored") ? new Map() : config.logitBias,
    };
  }

  #grammar(format: ResponseFormat | null, separateReasoning: boolean): Grammar | null {
    if (this.#bugs.has("schema-needs-separate-reasoning") && !separateReasoning) return null;
    if (this.#bugs.has("schema-means-any-object") && format?.type === "json_schema")
      return this.#compiled({ type: "json_object" });
    try {
      return this.#compiled(format);
    } catch (error) {
      if (this.#bugs.has("schema-fails-open")) return null;
      throw error;
    }
  }

  #compiled(format: ResponseFormat | null): Grammar | null {
    const compiled = answerGrammar(format, true, this.#grammars);
    return compiled === null ? null : this.#loadedGrammars.get(compiled);
  }

  /** Checks the tools, and changes the choice as the bugs require. */
  #tools(options: ToolOptions): CheckedTools | null {
    const { toolChoice } = options;
    const tools = checkTools(options);
    if (tools === null) return null;
    if (this.#bugs.has("many-tools-fail") && tools.tools.length >= 22)
      throw new Error("The grammar of the tools cannot be parsed");
    const isNamed = this.#bugs.has("named-tool-ignored") && tools.isNamed;
    const isAllowed = typeof toolChoice === "object" && toolChoice?.type === "allowed_tools";
    const isNone = toolChoice === "none" && this.#bugs.has("no-calls-ignored");
    const mayCallAll = isNamed || isNone || (isAllowed && this.#bugs.has("allowed-tools-ignored"));
    return {
      ...tools,
      callable: mayCallAll ? [...tools.tools.keys()] : tools.callable,
      isRequired: tools.isRequired && !(toolChoice === "required" && this.#bugs.has("required-call-ignored")),
      isParallel: tools.isParallel || this.#bugs.has("parallel-calls-anyway"),
    };
  }

  #callsGrammar(tools: CheckedTools, format: ResponseFormat | null): Grammar {
    return this.#loadedGrammars.get(callsGrammar(tools, FORMAT.calls, answerFormat(format), this.#grammars));
  }

  #encode(
    messages: ChatRequest["messages"],
    variables: TemplateVariables | null,
    tools: CheckedTools | null,
  ): readonly number[] {
    const prompt = this.template.render(this.#changed(messages), { variables, tools: tools?.tools ?? null });
    if (this.#bugs.has("prompt-truncated")) return this.tokenizer.encodePrompt(prompt).slice(-(CONTEXT_LENGTH - 64));
    const isHalved = this.#bugs.has("prompt-halved");
    // Each byte is a token, so a text of this length exceeds the context without being encoded.
    const isLong = prompt.text.length >= CONTEXT_LENGTH;
    const promptIds = isLong && !isHalved ? [] : this.tokenizer.encodePrompt(prompt);
    if (!isLong && promptIds.length < CONTEXT_LENGTH) return promptIds;
    if (isHalved) return promptIds.slice(-CONTEXT_LENGTH / 2);
    throw new EngineError(
      "context_length_exceeded",
      `The prompt has ${Math.max(promptIds.length, prompt.text.length)} tokens or more; the context holds ${CONTEXT_LENGTH}, of which at least one must be left for the answer.`,
      "messages",
    );
  }

  /** Changes messages with calls and results as the bugs require. */
  #changed(messages: ChatRequest["messages"]): ChatRequest["messages"] {
    return messages.map((message) => {
      const { role, content } = message;
      const isCall = role === "assistant" && (message.tool_calls ?? null) !== null;
      if (isCall && content === null && this.#bugs.has("call-without-content-fails"))
        throw new Error("The content is missing");
      if (role === "tool" && this.#bugs.has("tool-messages-dropped")) return { ...message, content: "" };
      if (!this.#bugs.has("unanswered-calls-accepted") || (!isCall && role !== "tool")) return message;
      return isCall ? { role, content: content ?? "" } : { role: "user", content };
    });
  }

  /** Reuses the longest prefix shared with an earlier prompt, and reports all but the last token as cached. */
  #prefill(promptIds: readonly number[]): { readonly hidden: Hidden; readonly numCached: number } {
    let numCached = 0;
    let states: Hidden[] = [NOTHING_READ];
    for (const earlier of this.#cache) {
      const numShared = numSharedTokens(earlier.promptIds, promptIds);
      if (numShared < MIN_SHARED || numShared <= numCached) continue;
      numCached = numShared;
      states = earlier.states.slice(0, numShared + 1);
      const isOff = this.#bugs.has("prefix-off-by-one") && numShared < earlier.promptIds.length;
      if (isOff) states[numShared] = { ...states[numShared]!, hash: earlier.states[numShared + 1]!.hash };
    }
    const isRepeat = numCached === promptIds.length;
    for (const tokenId of promptIds.slice(numCached)) states.push(read(states.at(-1)!, tokenId));
    this.#cache = [
      ...this.#cache.filter((earlier) => earlier.states.at(-1) !== states.at(-1)),
      { promptIds, states },
    ].slice(-PROMPTS_KEPT);
    const hidden = states.at(-1)!;
    if (isRepeat && this.#bugs.has("cached-repeat-differs"))
      return { hidden: { ...hidden, hash: mixed(hidden.hash, 1) }, numCached: promptIds.length - 1 };
    return { hidden, numCached: Math.min(numCached, promptIds.length - 1) };
  }

  #createSequences({ config, promptIds, hidden, grammar, isStreamed, tools }: SequencesOptions): Sequence[] {
    const sequences: Sequence[] = [];
    for (let choice = 0; choice < config.n; choice++) {
      const { stop, includeStop, separateReasoning } = config;
      const calls = callsOptions(config, choice, tools);
      const parser = sequences[0]?.text.parser ?? null;
      sequences.push({
        choice,
        text: new MockText(
          { tokenizer: this.tokenizer, promptIds, stop, includeStop, separateReasoning, isStreamed, parser, calls },
          this.#bugs,
        ),
        grammar: grammar === null ? null : new AnswerMask(grammar, this.#vocabulary, false),
        counts: new Map(),
        hidden,
        numTokens: 0,
        pending: [],
        isDone: false,
      });
    }
    return sequences;
  }

  async #run(): Promise<void> {
    if (this.#isStepping) return;
    this.#isStepping = true;
    while (this.#running.size > 0) {
      for (const request of this.#running) this.#step(request);
      await delay(TOKEN_MS);
    }
    this.#isStepping = false;
  }

  /** Draws one token for each choice of a request. */
  #step(request: Request): void {
    try {
      for (const sequence of request.sequences) if (!sequence.isDone) this.#draw(request, sequence);
    } catch (error) {
      this.#running.delete(request);
      request.leave();
      request.call.fail(error);
    }
  }

  #draw(request: Request, sequence: Sequence): void {
    const { config } = request;
    const logits = this.#logits(sequence.hidden);
    const isFree = request.hasTools && !sequence.text.hasReasoning && this.#bugs.has("calls-only-after-reasoning");
    const allowed = sequence.grammar?.allowed() ?? null;
    const { tokenId } = referenceSample(logits, {
      ...this.#sampleRequest(request, sequence),
      allowed: isFree ? null : allowed,
    });
    sequence.numTokens++;
    request.numCompletionTokens++;
    sequence.counts.set(tokenId, (sequence.counts.get(tokenId) ?? 0) + 1);
    sequence.hidden = read(sequence.hidden, tokenId);
    if (allowed !== null && (allowed[tokenId >> 5]! & (1 << (tokenId & 31))) === 0) sequence.grammar = null;
    sequence.grammar?.accept(tokenId);
    if (config.logprobs) sequence.pending.push(this.#tokenLogprob(logits, tokenId, config));

    const { text } = sequence;
    if (tokenId === END) text.pushEnd();
    const gained = tokenId === END ? NO_TEXT : text.push(tokenId);
    if (gained.stopped !== null) return this.#end(request, sequence, gained, "stop");
    if (tokenId === END || (sequence.numTokens === request.maxTokens && (sequence.grammar?.isFinished ?? false)))
      return this.#end(request, sequence, gained, text.finishReason);
    if (sequence.numTokens === request.maxTokens) {
      const isHidden = text.hasCalls && this.#bugs.has("cut-call-counts-as-whole");
      return this.#end(request, sequence, gained, isHidden ? "tool_calls" : "length");
    }
    if (gained.content !== "" || gained.reasoning !== "" || gained.calls.length > 0)
      this.#emit(request, sequence, gained, null);
  }

  #logits(hidden: Hidden): Float32Array {
    const logits = logitsOf(hidden);
    const numRequests = this.#running.size;
    if (this.#bugs.has("batch-size-changes-logits") && numRequests > 1) {
      logits.forEach((logit, tokenId) => (logits[tokenId] = logit + mixed(numRequests, tokenId) / 2 ** 32));
    }
    return logits;
  }

  #sampleRequest(request: Request, { choice, counts, numTokens }: Sequence): Omit<SampleRequest, "allowed"> {
    const { config, promptIds } = request;
    const touched = [
      ...new Set([...config.logitBias.keys(), ...counts.keys(), ...(config.repetitionPenalty === 1 ? [] : promptIds)]),
    ];
    const seen = new Set([...promptIds, ...counts.keys()]);
    return {
      ...config,
      uniform: this.#uniform(request, choice, numTokens),
      adjustments: {
        length: touched.length,
        tokenIds: Int32Array.from(touched),
        biases: Float64Array.from(touched, (tokenId) => config.logitBias.get(tokenId) ?? 0),
        counts: Int32Array.from(touched, (tokenId) => counts.get(tokenId) ?? 0),
        seen: Uint8Array.from(touched, (tokenId) => (seen.has(tokenId) ? 1 : 0)),
      },
      topLogprobs: null,
      logprobsMode: "raw",
    };
  }

  #uniform(request: Request, choice: number, position: number): number {
    const { seed } = request.config;
    if (this.#bugs.has("one-generator-for-all")) return uniform(this.#generator.seed, 0, this.#generator.position++);
    const hasUnseededMate = [...this.#running].some((other) => other !== request && !other.isSeeded);
    if (this.#bugs.has("seed-lost-beside-unseeded") && hasUnseededMate) return Math.random();
    return uniform(seed, this.#bugs.has("choices-identical") ? 0 : choice, position);
  }

  /** Emits the last delta of a choice, with all held-back text. */
  #end(request: Request, sequence: Sequence, gained: TextDelta, reason: FinishReason): void {
    const rest = gained.stopped === null ? sequence.text.finish() : NO_TEXT;
    const all = {
      reasoning: gained.reasoning + rest.reasoning,
      content: gained.content + rest.content,
      calls: [...gained.calls, ...rest.calls],
      stopped: null,
    };
    sequence.isDone = true;
    request.numReasoningTokens += sequence.text.numReasoningTokens;
    const isLast = request.sequences.every(({ isDone }) => isDone);
    const isHidden = this.#bugs.has("streamed-length-says-stop") && request.isStreamed;
    // Text that was held back until the end may complete a stop sequence.
    this.#emit(request, sequence, all, rest.stopped !== null || isHidden ? "stop" : reason, isLast);
    if (!isLast) return;
    this.#running.delete(request);
    request.leave();
  }

  #emit(
    request: Request,
    sequence: Sequence,
    gained: TextDelta,
    finishReason: FinishReason | null,
    isLast = false,
  ): void {
    const { promptIds, config } = request;
    const logprobs = sequence.pending;
    sequence.pending = [];
    if (gained.content !== "" || gained.reasoning !== "") request.numTexts++;
    const countsTexts = this.#bugs.has("stream-usage-counts-chunks") && request.isStreamed;
    const completionTokens = countsTexts ? request.numTexts : request.numCompletionTokens;
    const usage = {
      promptTokens: promptIds.length,
      completionTokens,
      totalTokens: promptIds.length + completionTokens,
      reasoningTokens: request.numReasoningTokens,
      cachedTokens: request.numCached,
    };
    const isMisplaced =
      this.#bugs.has("json-in-reasoning") &&
      request.isStructured &&
      config.separateReasoning &&
      !sequence.text.hasReasoning;
    const content = this.#swapped(gained.content);
    const delta: OutputDelta = {
      choice: sequence.choice,
      content: isMisplaced ? "" : content,
      reasoning: isMisplaced ? content : sequence.text.hasReasoning ? gained.reasoning : null,
      toolCalls: gained.calls,
      tokenIds: [],
      logprobs,
      finishReason,
      usage: isLast ? usage : null,
      timings: isLast ? { promptMs: 0, completionMs: 0 } : null,
    };
    request.call.receive({ type: "delta", call: 0, delta });
  }

  /**
   * With the bug answers-swapped and concurrent requests: returns the previous text, which may belong to another
   * client.
   */
  #swapped(content: string): string {
    if (!this.#bugs.has("answers-swapped") || this.#running.size < 2) return content;
    const stray = this.#strayText;
    this.#strayText = content;
    return stray;
  }

  #tokenLogprob(logits: Float32Array, tokenId: number, { temperature, topLogprobs }: GenerationConfig): TokenLogprob {
    const scale = this.#bugs.has("logprobs-after-temperature") && temperature > 0 ? temperature : 1;
    const order = Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b);
    const distanceOf = (id: number): number => (logits[id]! - logits[order[0]!]!) / scale;
    const logTotal = Math.log(order.reduce((sum, id) => sum + Math.exp(distanceOf(id)), 0));
    const alternative = (id: number): TokenAlternative =>
      this.#alternative(id, Math.fround(distanceOf(id) - logTotal) + 0);
    return { ...alternative(tokenId), topLogprobs: order.slice(0, topLogprobs).map(alternative) };
  }

  #alternative(tokenId: number, exact: number): TokenAlternative {
    const logprob = this.#bugs.has("logprobs-positive") ? Math.exp(exact) : exact;
    const token = this.tokenizer.tokenText(tokenId);
    const bytes = [...this.tokenizer.tokenBytes(tokenId)];
    if (this.#bugs.has("bytes-of-replacement-character") && bytes.length > 0)
      return { tokenId, token, logprob, bytes: [...Buffer.from(token)] };
    if (this.#bugs.has("fragments-are-empty") && token.includes("\uFFFD"))
      return { tokenId, token: "", logprob, bytes: [] };
    if (!this.#bugs.has("token-alphabet")) return { tokenId, token, logprob, bytes };
    const spelled = bytes.map((byte) => SYMBOLS[byte]).join("");
    return { tokenId, token: spelled, logprob, bytes: [...Buffer.from(spelled)] };
  }
}

interface SequencesOptions {
  readonly config: GenerationConfig;
  readonly promptIds: readonly number[];
  readonly hidden: Hidden;
  readonly grammar: Grammar | null;
  readonly isStreamed: boolean;
  readonly tools: CheckedTools | null;
}

function callsOptions({ seed }: GenerationConfig, choice: number, tools: CheckedTools | null): MockCallsOptions | null {
  if (tools === null || tools.callable.length === 0) return null;
  return {
    finishReason: tools.isNamed ? "stop" : "tool_calls",
    isRequired: tools.isRequired,
    idOf: (index) => {
      const digest = createHash("sha256").update(`${seed} ${choice} ${index}`).digest("hex");
      return `call_${digest.slice(0, 24)}`;
    },
  };
}

const NO_TEXT: TextDelta = { content: "", reasoning: "", calls: [], stopped: null };
const SYMBOLS = byteSymbols();

/** Minimum prefill time, so that requests that are sent together also run together. */
const PREFILL_MS = 5;
const PROMPT_TOKENS_PER_MS = 200;
const TOKEN_MS = 1;
/** Time per token of an abandoned answer that a bug continues to compute. */
const IGNORED_TOKEN_MS = 3;
/** Size of the prompt cache. Small, so that earlier prompts are soon evicted. */
const PROMPTS_KEPT = 4;
/** Shared prefixes with fewer tokens are not reused. */
const MIN_SHARED = 16;

function tokenBytes(tokenizer: MockEngine["tokenizer"]): Uint8Array[] {
  return Array.from({ length: VOCABULARY_SIZE }, (_, tokenId) => tokenizer.tokenBytes(tokenId));
}

function numSharedTokens(a: readonly number[], b: readonly number[]): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}

function maxTokensOf({ length }: readonly number[], asked: number | null, behavior: "truncate" | "error"): number {
  const left = CONTEXT_LENGTH - length;
  if (asked !== null && asked > left && behavior === "error") {
    throw new EngineError(
      "context_length_exceeded",
      (name) =>
        `The prompt has ${length} tokens and ${name("maxTokens")} is ${asked}; together they may be at most ${CONTEXT_LENGTH}.`,
      "maxTokens",
    );
  }
  return Math.min(asked ?? left, left);
}
