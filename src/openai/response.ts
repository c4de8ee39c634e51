/**
 * Converts the engine's deltas to responses (contract, sections 4, 6 and 8): one object, or the chunks of a stream.
 * Invariant: the concatenated chunks equal the object, field by field.
 */

import type {
  AnswerResult,
  CallDelta,
  FinishReason,
  OutputDelta,
  TokenAlternative,
  TokenLogprob,
  ToolCall,
  Usage,
} from "../../engine/index.js";
import type { ChatRequest } from "./chat-request.js";
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChoiceLogprobs,
  LogprobEntry,
  WireUsage,
} from "./response-schema.js";

/** Fields shared by all chunks of a response, and the request it answers. */
export interface ResponseContext {
  /** `chatcmpl-` followed by 24 characters. */
  readonly id: string;
  /** Unix time in seconds. */
  readonly created: number;
  /** Model name as requested. */
  readonly model: string;
  readonly systemFingerprint: string;
  readonly request: Pick<ChatRequest, "n" | "logprobs" | "separateReasoning" | "streamUsage" | "mayCall">;
}

/** Returns the answer as one object. */
export function chatCompletion(context: ResponseContext, { choices, usage }: AnswerResult): ChatCompletion {
  const { request } = context;
  return {
    ...envelope(context),
    object: "chat.completion",
    choices: choices.map(({ content, reasoning, toolCalls, logprobs, finishReason }, index) => ({
      index,
      message: {
        role: "assistant",
        content: request.mayCall && content === "" ? null : content,
        ...(request.separateReasoning ? { reasoning_content: reasoning } : {}),
        refusal: null,
        ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls.map(wireCall) }),
      },
      logprobs: choiceLogprobs(request.logprobs, logprobs),
      finish_reason: finishReason,
    })),
    usage: wireUsage(usage),
  };
}

/** Converts deltas to chunks, in the order in which they must be sent. */
export class ChunkWriter {
  readonly #context: ResponseContext;
  readonly #choices: StreamedChoice[];

  constructor(context: ResponseContext) {
    this.#context = context;
    this.#choices = Array.from({ length: context.request.n }, () => ({ begun: false, reasoned: false, unsent: [] }));
  }

  /** Sends the role before a choice's first delta, and the usage, if requested, with or after the last delta. */
  write(delta: OutputDelta): ChatCompletionChunk[] {
    const { separateReasoning, streamUsage, mayCall } = this.#context.request;
    const choice = this.#choices[delta.choice];
    if (choice === undefined)
      throw new Error(`A delta of choice ${delta.choice}; the request has ${this.#choices.length}`);
    const chunks: ChatCompletionChunk[] = [];
    const send = (content: WireDelta, finishReason: FinishReason | null = null) =>
      chunks.push(this.#chunk(delta.choice, content, choice.unsent.splice(0), finishReason));

    if (!choice.begun) send({ role: "assistant", content: mayCall ? null : "" });
    choice.begun = true;
    for (const entry of delta.logprobs) choice.unsent.push(entry);
    // Present but empty reasoning is sent once as an empty string; without it the client would read it as null.
    if (separateReasoning && delta.reasoning !== null && (delta.reasoning !== "" || !choice.reasoned)) {
      send({ reasoning_content: delta.reasoning });
      choice.reasoned = true;
    }
    if (delta.content !== "") send({ content: delta.content });
    for (const call of delta.toolCalls) send({ tool_calls: [callPiece(call)] });
    if (delta.finishReason !== null) send({}, delta.finishReason);

    const last = chunks.at(-1);
    if (delta.usage !== null && last !== undefined && streamUsage === "on_finish") last.usage = wireUsage(delta.usage);
    if (delta.usage !== null && streamUsage === "last_chunk") {
      chunks.push({ ...this.#envelope(), choices: [], usage: wireUsage(delta.usage) });
    }
    return chunks;
  }

  #chunk(
    index: number,
    delta: WireDelta,
    entries: readonly TokenLogprob[],
    finishReason: FinishReason | null,
  ): ChatCompletionChunk {
    const { logprobs, streamUsage } = this.#context.request;
    return {
      ...this.#envelope(),
      choices: [{ index, delta, logprobs: choiceLogprobs(logprobs, entries), finish_reason: finishReason }],
      ...(streamUsage === "last_chunk" ? { usage: null } : {}),
    };
  }

  #envelope() {
    return { ...envelope(this.#context), object: "chat.completion.chunk" as const };
  }
}

/** Converts a call to the wire format. */
export const wireCall = ({ id, name, arguments: json }: ToolCall) => ({
  id,
  type: "function" as const,
  function: { name, arguments: json },
});

const callPiece = ({ index, id, name, arguments: json }: CallDelta) => ({
  index,
  ...(id === null ? {} : { id, type: "function" as const }),
  function: { ...(name === null ? {} : { name }), arguments: json },
});

type WireDelta = ChatCompletionChunk["choices"][number]["delta"];

interface StreamedChoice {
  begun: boolean;
  /** True once a reasoning chunk, possibly empty, has been sent. */
  reasoned: boolean;
  /** Logprob entries of tokens whose text has not been sent yet. */
  readonly unsent: TokenLogprob[];
}

function envelope({ id, created, model, systemFingerprint }: ResponseContext) {
  return { id, created, model, system_fingerprint: systemFingerprint };
}

function choiceLogprobs(asked: boolean, entries: readonly TokenLogprob[]): ChoiceLogprobs {
  return asked ? { content: entries.map(logprobEntry), refusal: null } : null;
}

/** Converts one token's log-probabilities to the wire format. */
export function logprobEntry(entry: TokenLogprob): LogprobEntry {
  return { ...alternative(entry), top_logprobs: entry.topLogprobs.map(alternative) };
}

function alternative({ token, logprob, bytes }: TokenAlternative) {
  return { token, logprob, bytes: [...bytes] };
}

export function wireUsage(usage: Usage): WireUsage {
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.totalTokens,
    prompt_tokens_details: { cached_tokens: usage.cachedTokens },
    completion_tokens_details: { reasoning_tokens: usage.reasoningTokens },
  };
}
