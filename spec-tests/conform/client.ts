/**
 * HTTP client for the server under test. It sends requests, records each request with its response, and parses streamed
 * and unstreamed answers into one form. A response that cannot be parsed as an answer is a Violation; the content of an
 * answer is left to the laws.
 */

import { request as httpRequest, type ClientRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";

import { parseJson, ResponseBody } from "./bounds.js";
import {
  Violation,
  type Answer,
  type ChatRequest,
  type Choice,
  type Exchange,
  type TokenLogprob,
  type ToolCall,
  type Usage,
} from "./law.js";

export interface Endpoint {
  /** URL up to and including `/v1`. Paths are appended. */
  readonly baseUrl: string;
  readonly apiKey: string | null;
}

export interface Sent {
  readonly method: string;
  readonly path: string;
  /** Headers that are added to the default ones or replace them. An empty value removes a header. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body: string | null;
}

/**
 * Replaces the API key wherever an exchange is recorded, printed or written. It is also the shell variable's reference.
 */
export const KEY_VARIABLE = "$API_KEY";

/** Timeout for one answer. A later answer counts as missing. */
const CALL_TIMEOUT_MS = 60_000;
/** Shorter keys are not replaced, because they would also match unrelated text. */
const MIN_SECRET_LENGTH = 8;

export class Client {
  constructor(
    readonly endpoint: Endpoint,
    private readonly timeoutMs = CALL_TIMEOUT_MS,
  ) {}

  /**
   * Sends a request and returns the exchange whatever the status. A failed connection is an exchange with status 0.
   *
   * @throws the signal's reason if `signal` is aborted
   */
  exchange(sent: Sent, signal: AbortSignal): Promise<Exchange> {
    return this.open(sent, signal, () => false);
  }

  /** Streams an answer and closes the connection after the given number of events or milliseconds, or when it ends. */
  abandon(
    sent: Sent,
    after: { readonly chunks: number } | { readonly ms: number },
    signal: AbortSignal,
  ): Promise<Exchange> {
    if ("ms" in after) return this.open(sent, signal, () => false, after.ms);
    return this.open(sent, signal, (numEvents) => numEvents >= after.chunks);
  }

  /**
   * @param isEnough called with the number of events so far, when the request has been written and after each piece of
   * the answer; true closes the connection
   * @param limitMs time after which the connection is closed on purpose
   */
  private open(
    { method, path, headers = {}, body }: Sent,
    signal: AbortSignal,
    isEnough: (numEvents: number) => boolean,
    limitMs?: number,
  ): Promise<Exchange> {
    const recorded = this.headers(headers, body);
    const startMs = performance.now();
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      const received = new ResponseBody();
      let response: IncomingMessage | null = null;
      const request = this.request(path, method, recorded);
      const end = (settle: () => void): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", abort);
        request.destroy();
        settle();
      };
      const finish = (failure = "", incomplete: string | null = null): void =>
        end(() =>
          resolve({
            method,
            path,
            headers: recorded,
            body,
            status: response?.statusCode ?? 0,
            responseHeaders: response === null ? {} : this.responseHeaders(response),
            text: this.withoutKey(response === null ? failure : received.text()),
            incomplete,
            durationMs: performance.now() - startMs,
          }),
        );
      const abort = (): void => end(() => reject(signal.reason as Error));
      const late = limitMs === undefined ? `it had not ended after ${this.timeoutMs / 1000} seconds` : null;
      const timer = setTimeout(
        () => finish("No answer in time.", response === null ? null : late),
        limitMs ?? this.timeoutMs,
      );
      signal.addEventListener("abort", abort);
      request.on("error", (error) => finish(messageOf(error)));
      // Also after an answer that switches protocols, which is neither a response nor an error.
      request.on("close", () => finish("The connection was closed."));
      request.on("response", (incoming) => {
        response = incoming;
        incoming.on("data", (piece: Buffer) => {
          received.append(piece);
          if (received.excess !== null) finish("", received.excess);
          else if (isEnough(received.numEvents)) finish();
        });
        incoming.on("end", () => finish());
        incoming.on("error", () => finish());
      });
      request.end(body ?? "", () => {
        if (isEnough(0)) finish();
      });
    });
  }

  /** Opens a new connection for each request, so that keep-alive cannot influence what the laws see. */
  private request(path: string, method: string, recorded: Readonly<Record<string, string>>): ClientRequest {
    const url = this.endpoint.baseUrl + path;
    const headers = Object.fromEntries(
      Object.entries(recorded).map(([name, value]) => [
        name,
        value.replace(KEY_VARIABLE, () => this.endpoint.apiKey ?? ""),
      ]),
    );
    return (url.startsWith("https:") ? httpsRequest : httpRequest)(url, { method, headers, agent: false });
  }

  private headers(given: Readonly<Record<string, string>>, body: string | null): Record<string, string> {
    const usual = {
      ...(body === null
        ? {}
        : { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)) }),
      ...(this.endpoint.apiKey === null ? {} : { authorization: `Bearer ${KEY_VARIABLE}` }),
    };
    const lowered = Object.entries(given).map(([name, value]) => [name.toLowerCase(), value] as const);
    return Object.fromEntries(
      Object.entries({ ...usual, ...Object.fromEntries(lowered) }).filter(([, value]) => value !== ""),
    );
  }

  private responseHeaders({ headers }: IncomingMessage): Record<string, string> {
    return Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, this.withoutKey([value].flat().join(", "))]),
    );
  }

  private withoutKey(text: string): string {
    const { apiKey } = this.endpoint;
    return apiKey === null || apiKey.length < MIN_SECRET_LENGTH ? text : text.replaceAll(apiKey, () => KEY_VARIABLE);
  }
}

/** Falls back to the error code: the message is empty if a connection was refused on two addresses. */
function messageOf(error: NodeJS.ErrnoException): string {
  return error.message || (error.code ?? "The connection failed.");
}

/** Parses server-sent events as WHATWG specifies and returns their data. Comments and other fields are ignored. */
export function sseEvents(text: string): string[] {
  const blocks = text
    .replace(/^\uFEFF/, "")
    .replace(/\r\n?/g, "\n")
    .split("\n\n");
  // Text after the last empty line is an incomplete event.
  return blocks.slice(0, -1).flatMap((block) => {
    const lines = block.split("\n").filter((line) => line === "data" || line.startsWith("data:"));
    return lines.length === 0 ? [] : [lines.map((line) => line.slice("data:".length).replace(/^ /, "")).join("\n")];
  });
}

/**
 * Parses an exchange as a chat answer.
 *
 * @throws Violation if the answer cannot be parsed, with the broken clause (of section 4, 5, 8 or 9)
 */
export function readAnswer(exchange: Exchange, isStream: boolean): Answer {
  const fail: Fail = (clause, message) => {
    throw new Violation(message, [exchange], clause);
  };
  if (exchange.status !== 200) fail(exchange.status === 0 ? "TS-8.1" : "TS-9.3", refusal(exchange));
  if (exchange.incomplete !== null)
    fail(isStream ? "TS-8.5" : "TS-8.1", `The answer cannot be read: ${exchange.incomplete}.`);
  const encoding = exchange.responseHeaders["content-encoding"] ?? "identity";
  if (encoding !== "identity")
    fail("TS-8.1", `The content encoding is ${JSON.stringify(encoding)}, which was not requested.`);
  if (isStream) return readStream(exchange, fail);
  const response = objectOf(jsonOf(exchange.text, fail, "TS-8.1", "The answer"), fail, "TS-8.1", "The answer");
  const choices = listOf(response["choices"], fail, "TS-8.3", "choices").map((value, i) => {
    const choice = objectOf(value, fail, "TS-8.3", `choices[${i}]`);
    const draft = newDraft(indexOf(choice, fail, `choices[${i}]`));
    const message = objectOf(choice["message"], fail, "TS-8.3", `choices[${i}].message`);
    add(draft, choice, message, fail, "TS-8.3");
    for (const value of callsIn(message, fail, "TS-11.5")) draft.toolCalls.push(callOf(value, fail, "TS-11.5"));
    return draft;
  });
  const indexes = new Set(choices.map(({ index }) => index));
  if (choices.length === 0 || indexes.size !== choices.length)
    fail("TS-8.3", `choices has ${choices.length} entries with ${indexes.size} different indexes.`);
  return { exchange, choices: ordered(choices), usage: usageOf(response["usage"], fail), chunks: [], isDone: true };
}

function readStream(exchange: Exchange, fail: Fail): Answer {
  const type = exchange.responseHeaders["content-type"] ?? "";
  if (!type.startsWith("text/event-stream"))
    fail("TS-8.5", `A stream was requested, but the content type is ${JSON.stringify(type)}.`);
  const events = sseEvents(exchange.text);
  const done = events.indexOf("[DONE]");
  if (done >= 0 && done < events.length - 1) fail("TS-8.5", "Events follow data: [DONE].");
  const drafts = new Map<number, Draft>();
  let usage: Usage | null = null;
  const chunks = events.slice(0, done < 0 ? undefined : done).map((text, i) => {
    const chunk = objectOf(jsonOf(text, fail, "TS-8.5", `Event ${i}`), fail, "TS-8.5", `Event ${i}`);
    if (chunk["error"] !== undefined) fail("TS-8.9", `The stream ended with an error: ${text}`);
    usage = usageOf(chunk["usage"], fail) ?? usage;
    for (const value of listOf(chunk["choices"], fail, "TS-8.8", `choices of event ${i}`)) {
      const choice = objectOf(value, fail, "TS-8.8", `A choice of event ${i}`);
      const index = indexOf(choice, fail, `A choice of event ${i}`);
      const draft = drafts.get(index) ?? newDraft(index);
      drafts.set(index, draft);
      const delta = objectOf(choice["delta"], fail, "TS-8.6", `delta of event ${i}`);
      add(draft, choice, delta, fail, "TS-8.6");
      for (const value of callsIn(delta, fail, "TS-11.6")) addPiece(draft, value, fail);
    }
    return chunk;
  });
  if (drafts.size === 0) fail("TS-8.5", `No event of ${events.length} has a choice.`);
  return { exchange, choices: ordered([...drafts.values()]), usage, chunks, isDone: done >= 0 };
}

type Fail = (clause: string, message: string) => never;
type Fields = Readonly<Record<string, unknown>>;
type Draft = { -readonly [Key in keyof Omit<Choice, "logprobs" | "toolCalls">]: Choice[Key] } & {
  logprobs: TokenLogprob[] | null;
  readonly toolCalls: ToolCall[];
};

function newDraft(index: number): Draft {
  return { index, content: "", reasoning: null, toolCalls: [], finishReason: null, logprobs: null };
}

function ordered(choices: readonly Choice[]): Choice[] {
  return [...choices].sort((a, b) => a.index - b.index);
}

/** Appends a message, or the delta of a chunk, to a choice. */
function add(draft: Draft, choice: Fields, message: Fields, fail: Fail, clause: string): void {
  const content = textOf(message["content"], fail, clause, "content");
  const reasoning = textOf(message["reasoning_content"] ?? message["reasoning"], fail, clause, "reasoning_content");
  const finishReason = textOf(choice["finish_reason"], fail, "TS-5.10", "finish_reason");
  const { content: entries = null } =
    choice["logprobs"] == null ? {} : objectOf(choice["logprobs"], fail, "TS-4.4", "logprobs");
  const calls = callsIn(message, fail, clause);
  const isMore = (content ?? "") !== "" || (reasoning ?? "") !== "" || calls.length > 0 || finishReason !== null;
  if (draft.finishReason !== null && isMore) {
    fail(clause, `Choice ${draft.index} continues after its finish reason.`);
  }
  draft.content += content ?? "";
  if (reasoning !== null) draft.reasoning = (draft.reasoning ?? "") + reasoning;
  draft.finishReason = finishReason ?? draft.finishReason;
  if (entries === null) return;
  draft.logprobs ??= [];
  for (const entry of listOf(entries, fail, "TS-4.4", "logprobs.content")) draft.logprobs.push(logprobOf(entry, fail));
}

function callsIn(message: Fields, fail: Fail, clause: string): readonly Fields[] {
  const calls = listOf(message["tool_calls"] ?? [], fail, clause, "tool_calls");
  return calls.map((value, i) => objectOf(value, fail, clause, `tool_calls[${i}]`));
}

/** Reads a whole call, or the piece of a stream with which a call begins. */
function callOf(call: Fields, fail: Fail, clause: string): ToolCall {
  const of = objectOf(call["function"], fail, clause, "function of a tool call");
  const text = (value: unknown, name: string): string =>
    typeof value === "string"
      ? value
      : fail(clause, `${name} of a tool call is ${start(JSON.stringify(value))}, not a string.`);
  return {
    id: text(call["id"], "id"),
    type: text(call["type"], "type"),
    name: text(of["name"], "function.name"),
    arguments: text(of["arguments"], "function.arguments"),
  };
}

/** Adds a piece of a streamed call: the beginning of the next call, or more arguments of one that has begun. */
function addPiece({ toolCalls }: Draft, piece: Fields, fail: Fail): void {
  const { index } = piece;
  const begun = toolCalls[index as number];
  if (begun === undefined) {
    if (index !== toolCalls.length)
      fail("TS-11.6", `The index of call ${toolCalls.length} is ${JSON.stringify(index)}: ${JSON.stringify(piece)}`);
    toolCalls.push(callOf(piece, fail, "TS-11.6"));
    return;
  }
  const { id = null, function: of = {} } = piece;
  const { name = null, arguments: more = null } = objectOf(of, fail, "TS-11.6", "function of a tool call");
  if ((id !== null && id !== begun.id) || (name !== null && name !== begun.name))
    fail("TS-11.6", `Call ${JSON.stringify(index)} begins a second time: ${JSON.stringify(piece)}`);
  const text = textOf(more, fail, "TS-11.6", "function.arguments of a tool call") ?? "";
  toolCalls[index as number] = { ...begun, arguments: begun.arguments + text };
}

function logprobOf(value: unknown, fail: Fail): TokenLogprob {
  const entry = objectOf(value, fail, "TS-4.4", "An entry of logprobs.content");
  const top = listOf(entry["top_logprobs"] ?? [], fail, "TS-4.2", "top_logprobs");
  return {
    ...tokenOf(entry, fail),
    topLogprobs: top.map((each) => tokenOf(objectOf(each, fail, "TS-4.2", "An entry of top_logprobs"), fail)),
  };
}

function tokenOf(entry: Fields, fail: Fail): { token: string; logprob: number; bytes: readonly number[] | null } {
  const { token, logprob, bytes = null } = entry;
  if (typeof token !== "string") return fail("TS-4.5", `token is ${JSON.stringify(token)}, not a string.`);
  if (typeof logprob !== "number") return fail("TS-4.1", `logprob is ${JSON.stringify(logprob)}, not a number.`);
  if (bytes === null) return { token, logprob, bytes };
  const list = listOf(bytes, fail, "TS-4.5", "bytes");
  if (!list.every(isByte)) return fail("TS-4.5", `bytes is ${JSON.stringify(bytes)}, not a list of bytes.`);
  return { token, logprob, bytes: list };
}

function isByte(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 255;
}

function usageOf(value: unknown, fail: Fail): Usage | null {
  if (value == null) return null;
  const usage = objectOf(value, fail, "TS-8.4", "usage");
  const count = (fields: Fields, name: string): number => {
    const number = fields[name];
    return Number.isSafeInteger(number) && (number as number) >= 0
      ? (number as number)
      : fail("TS-8.4", `usage: ${name} is ${JSON.stringify(number)}, not a count.`);
  };
  const detail = (group: string, name: string): number | null => {
    const fields = usage[group] == null ? {} : objectOf(usage[group], fail, "TS-5.14", group);
    return fields[name] == null ? null : count(fields, name);
  };
  return {
    promptTokens: count(usage, "prompt_tokens"),
    completionTokens: count(usage, "completion_tokens"),
    totalTokens: count(usage, "total_tokens"),
    cachedTokens: detail("prompt_tokens_details", "cached_tokens"),
    reasoningTokens: detail("completion_tokens_details", "reasoning_tokens"),
  };
}

function jsonOf(text: string, fail: Fail, clause: string, what: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    return fail(clause, `${what} is not JSON (${start((error as Error).message)}): ${start(text)}`);
  }
}

function objectOf(value: unknown, fail: Fail, clause: string, what: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return fail(clause, `${what} is ${start(JSON.stringify(value))}, not an object.`);
  return value as Fields;
}

function listOf(value: unknown, fail: Fail, clause: string, what: string): readonly unknown[] {
  return Array.isArray(value) ? value : fail(clause, `${what} is ${start(JSON.stringify(value))}, not a list.`);
}

function indexOf({ index }: Fields, fail: Fail, what: string): number {
  return Number.isSafeInteger(index) && (index as number) >= 0
    ? (index as number)
    : fail("TS-8.3", `${what}: index is ${JSON.stringify(index)}.`);
}

function textOf(value: unknown, fail: Fail, clause: string, what: string): string | null {
  if (value == null) return null;
  return typeof value === "string" ? value : fail(clause, `${what} is ${start(JSON.stringify(value))}, not a string.`);
}

/** Describes an exchange that was not answered with 200: its status and the beginning of the server's message. */
export function refusal({ status, text, incomplete }: Exchange): string {
  if (status === 0) return `No answer: ${start(text)}`;
  return `Status ${status}${incomplete === null ? "" : `, and ${incomplete}`}: ${start(text)}`;
}

function start(text: string | undefined): string {
  const shown = text ?? "missing";
  return shown.length <= 300 ? shown : `${shown.slice(0, 300)}…`;
}

/** The JSON text of a chat request. `model` is added in front if the request does not name a model. */
export function chatBody(request: ChatRequest, model: string): string {
  return JSON.stringify({ model, ...request });
}
