/**
 * A small chat-completions server with a fake model, for tests of the laws in spec-tests/conform. Bugs can be switched
 * on by name. Without bugs it satisfies the specification in everything that it offers.
 *
 *   node dist/spec-tests/mock/server.js --port 0 --dialect openai --bug seed-ignored
 */

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { randomBytes } from "node:crypto";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

import { AnswerCollector } from "../../engine/core/answer-collector.js";
import { EngineError } from "../../engine/errors.js";
import { dateOf } from "../../engine/template/index.js";
import { CHAT_REQUEST_SCHEMAS } from "../../src/openai/chat-request.js";
import {
  ApiError,
  apiErrorOf,
  capabilities,
  ChunkWriter,
  parseChatRequest,
  parseDetokenizeRequest,
  parseJson,
  parseTokenizeRequest,
  wireName,
  chatCompletion,
  type ChatCompletionChunk,
  type ChatRequest,
  type Dialect,
} from "../../src/openai/index.js";
import { Exchange } from "../../src/server/exchange.js";
import { BodyRoom } from "../../src/server/request-body.js";
import { ApiKeys } from "../../src/server/keys.js";
import { BUGS, type BugName } from "./bugs.js";
import { CONTEXT_LENGTH, MockEngine, NUM_PLACES } from "./mock-engine.js";
import { spoiltAnswer, spoiltChunks } from "./spoilt-calls.js";

export interface MockOptions {
  readonly bugs?: readonly BugName[];
  /** Default: `ppio`. */
  readonly dialect?: Dialect;
  /** Default: a free port. */
  readonly port?: number;
  /** Default: no key is required. */
  readonly apiKey?: string;
}

export interface Mock {
  readonly url: string;
  close(): Promise<void>;
}

/** Starts the server on 127.0.0.1. Resolves when it listens. */
export async function startMock(options: MockOptions = {}): Promise<Mock> {
  const mock = new MockServer(options);
  const server = createServer((request, response) => void mock.receive(new Exchange(request, response)));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, "127.0.0.1", resolve);
  });
  const close = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}

const MODELS = ["mock", "deepseek/deepseek-r1-turbo"];
const PREFIXES = /^\/(v1|v3\/openai|openai\/v1)\//;
const BODY_LIMITS = { maxBytes: 8 << 20, timeoutMs: 30_000, room: new BodyRoom(Number.POSITIVE_INFINITY) };
const HEARTBEAT_MS = 15_000;

class MockServer {
  readonly #bugs: ReadonlySet<BugName>;
  readonly #dialect: Dialect;
  readonly #keys: ApiKeys;
  readonly #engine: MockEngine;

  constructor({ bugs = [], dialect = "ppio", apiKey }: MockOptions) {
    this.#bugs = new Set(bugs);
    this.#dialect = dialect;
    this.#keys = new ApiKeys(apiKey === undefined ? [] : [apiKey]);
    this.#engine = new MockEngine(this.#bugs);
  }

  async receive(exchange: Exchange): Promise<void> {
    try {
      await this.#answer(exchange);
    } catch (error) {
      if (this.#bugs.has("error-not-nested") && !exchange.isClientGone && exchange.status === 0)
        failFlat(exchange, error);
      else exchange.fail(error);
    }
  }

  async #answer(exchange: Exchange): Promise<void> {
    const { method, path } = exchange;
    const isHealth = path === "/healthz" || path === "/readyz";
    const name = isHealth ? "health" : path.replace(PREFIXES, "");
    const model = name.startsWith("models/") ? decodeURIComponent(name.slice("models/".length)) : null;
    const route = this.#routes[model === null ? name : "models/"];
    if (route === undefined || (!isHealth && !PREFIXES.test(path)))
      throw new ApiError("not_found", `Unknown path: ${JSON.stringify(path)}.`);
    const [allowed, answer] = route;
    if (!allowed.includes(method))
      throw new ApiError("method_not_allowed", `${method} is not allowed here; allowed: ${allowed.join(", ")}.`, null, {
        headers: { allow: allowed.join(", ") },
      });
    if (!isHealth) this.#keys.check(exchange.header("authorization"));
    await answer(exchange, model ?? "");
  }

  readonly #routes: Readonly<
    Record<
      string,
      readonly [methods: readonly string[], answer: (exchange: Exchange, model: string) => void | Promise<void>]
    >
  > = {
    health: [GET, (exchange) => exchange.sendJson({ status: "ok" })],
    models: [GET, (exchange) => exchange.sendJson({ object: "list", data: MODELS.map(modelObject) })],
    "models/": [GET, (exchange, model) => exchange.sendJson(modelObject(known(model)))],
    capabilities: [GET, (exchange) => exchange.sendJson(this.#capabilities())],
    tokenize: [POST, (exchange) => this.#tokenize(exchange)],
    detokenize: [POST, (exchange) => this.#detokenize(exchange)],
    "chat/completions": [POST, (exchange) => this.#chat(exchange)],
  };

  #capabilities(): object {
    const [id, ...aliases] = MODELS as [string, ...string[]];
    const model = {
      id,
      aliases,
      contextLength: CONTEXT_LENGTH,
      profile: "exact" as const,
      maxConcurrency: NUM_PLACES,
      logprobsMode: "raw" as const,
      callsTools: true,
    };
    return capabilities({
      dialect: this.#dialect,
      version: "0.0.0",
      models: [model],
      maxBodyBytes: BODY_LIMITS.maxBytes,
    });
  }

  async #tokenize(exchange: Exchange): Promise<void> {
    const { model, input } = parseTokenizeRequest(parseJson(await exchange.readJsonBody(BODY_LIMITS)));
    known(model);
    const { tokenizer, template } = this.#engine;
    const isText = "text" in input;
    const tokenIds = isText
      ? tokenizer.encode(input.text, "text")
      : tokenizer.encodePrompt(template.render(input.messages, { variables: input.templateVariables }));
    if (!isText) exchange.setHeader("x-touchstone-date", dateIn(input.templateVariables));
    exchange.sendJson({ token_ids: tokenIds, tokens: tokenIds.map((id) => tokenizer.tokenText(id)) });
  }

  async #detokenize(exchange: Exchange): Promise<void> {
    const { model, tokenIds } = parseDetokenizeRequest(parseJson(await exchange.readJsonBody(BODY_LIMITS)));
    known(model);
    const { tokenizer } = this.#engine;
    const index = tokenIds.findIndex((id) => !tokenizer.hasToken(id));
    if (index >= 0)
      throw new EngineError(
        "out_of_range",
        `token_ids[${index}] is ${tokenIds[index]}, which is not a token of this model.`,
        `token_ids[${index}]`,
      );
    exchange.sendJson({ text: tokenizer.decode(tokenIds) });
  }

  async #chat(exchange: Exchange): Promise<void> {
    const body = this.#loosened(parseJson(await exchange.readJsonBody(BODY_LIMITS)));
    const request = this.#parsed(body);
    known(request.model);
    const { seed, deltas } = await this.#engine.chat(request, exchange.signal).catch((error: unknown) => {
      throw error instanceof EngineError ? error.renamed((path) => wireName(path, request.sentNames)) : error;
    });
    exchange.setHeader("x-touchstone-seed", String(seed));
    exchange.setHeader("x-touchstone-date", dateIn(request.options.templateVariables));
    const id = `chatcmpl-${randomBytes(12).toString("hex")}`;
    const context = {
      id,
      created: Math.floor(Date.now() / 1000),
      model: request.model,
      systemFingerprint: "mock-exact-0.0.0",
      request,
    };
    if (request.stream) return this.#stream(exchange, context, deltas);
    const collector = new AnswerCollector();
    for await (const batch of deltas) for (const delta of batch) collector.add(delta);
    exchange.sendJson(spoiltAnswer(chatCompletion(context, collector.result(seed)), this.#bugs));
  }

  async #stream(
    exchange: Exchange,
    context: ConstructorParameters<typeof ChunkWriter>[0],
    deltas: AsyncIterable<readonly Parameters<ChunkWriter["write"]>[0][]>,
  ): Promise<void> {
    const stream = exchange.stream({ heartbeatMs: HEARTBEAT_MS, stallMs: 60_000 });
    const writer = new ChunkWriter(context);
    exchange.signal.addEventListener("abort", () => stream.abandon());
    try {
      for await (const batch of deltas)
        await stream.send(
          batch
            .flatMap((delta) => writer.write(delta))
            .flatMap((chunk) => spoiltChunks(chunk, context.request.n, this.#bugs))
            .flatMap((chunk) => this.#spoilt(chunk)),
        );
    } catch (error) {
      await stream.send([apiErrorOf(error).toBody()]);
    }
    stream.done();
  }

  /** Removes the fields of a body that a bug accepts and ignores. */
  #loosened(body: unknown): unknown {
    if (typeof body !== "object" || body === null || Array.isArray(body)) return body;
    const fields: Record<string, unknown> = { ...body };
    const known = CHAT_REQUEST_SCHEMAS[this.#dialect].properties ?? {};
    for (const name of Object.keys(fields)) {
      if (this.#bugs.has("unknown-fields-accepted") && !(name in known)) delete fields[name];
      if (
        this.#bugs.has("tools-accepted") &&
        ["tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"].includes(name)
      )
        delete fields[name];
    }
    if (this.#bugs.has("n-ignored")) delete fields["n"];
    if (this.#bugs.has("conflicts-accepted")) {
      if (fields["stream"] !== true) delete fields["stream_options"];
      if (fields["logprobs"] !== true) delete fields["top_logprobs"];
    }
    if (this.#bugs.has("out-of-range-accepted")) {
      for (const [name, [lowest, highest]] of Object.entries(RANGES)) {
        const value = fields[name];
        if (typeof value === "number") fields[name] = Math.min(highest, Math.max(lowest, value));
      }
    }
    return fields;
  }

  #parsed(body: unknown): ChatRequest {
    const request = parseChatRequest(body, this.#dialect);
    const { stream_options: streamOptions } = body as {
      readonly stream_options?: { readonly include_usage?: boolean | null } | null;
    };
    const isUnasked =
      this.#bugs.has("usage-unasked") &&
      (streamOptions ?? null) !== null &&
      (streamOptions?.include_usage ?? null) === null;
    return {
      ...request,
      ...(isUnasked ? { streamUsage: "last_chunk" } : {}),
      ...(this.#bugs.has("logprobs-null") ? { logprobs: false } : {}),
    };
  }

  #spoilt(chunk: ChatCompletionChunk): object[] {
    const hasReasoning = chunk.choices.some(({ delta }) => delta.reasoning_content !== undefined);
    if (hasReasoning && this.#bugs.has("stream-without-reasoning")) return [];
    const choices = chunk.choices.map((choice) => ({
      ...choice,
      ...(hasReasoning && this.#bugs.has("stream-drops-reasoning-logprobs") ? { logprobs: null } : {}),
      ...(choice.finish_reason === null && this.#bugs.has("finish-reason-empty") ? { finish_reason: "" } : {}),
    }));
    const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
    return [{ ...chunk, choices, ...(this.#bugs.has("usage-on-every-chunk") ? { usage: chunk.usage ?? usage } : {}) }];
  }
}

const GET = ["GET", "HEAD"];
const POST = ["POST"];

/** Ranges to which the bug out-of-range-accepted clamps. */
const RANGES: Readonly<Record<string, readonly [lowest: number, highest: number]>> = {
  temperature: [0, 2],
  top_p: [0.01, 1],
  top_k: [1, 128],
  min_p: [0, 1],
  frequency_penalty: [-2, 2],
  presence_penalty: [-2, 2],
};

const STARTED_AT = Math.floor(Date.now() / 1000);
/** Returns the date that a request's chat template gets. */
const dateIn = (variables: Readonly<Record<string, unknown>> | null | undefined): string =>
  (variables?.["date"] as string | null | undefined) ?? dateOf(new Date());

const modelObject = (id: string): object => ({ id, object: "model", created: STARTED_AT, owned_by: "touchstone" });

/** @throws ApiError model_not_found */
function known(model: string): string {
  if (MODELS.includes(model)) return model;
  throw new ApiError(
    "model_not_found",
    `The model ${JSON.stringify(model)} is not served here. Served: ${MODELS.join(", ")}`,
    "model",
  );
}

function failFlat(exchange: Exchange, error: unknown): void {
  const { message, type, param, status } = apiErrorOf(error);
  exchange.sendJson({ object: "error", message, type, param, code: status }, status);
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { values } = parseArgs({
    options: {
      port: { type: "string", default: "0" },
      bug: { type: "string", multiple: true, default: [] },
      dialect: { type: "string", default: "ppio" },
      "api-key": { type: "string" },
    },
  });
  const unknown = values.bug.filter((name) => !BUGS.some((bug) => bug.name === name));
  if (unknown.length > 0)
    throw new Error(`Unknown bug: ${unknown.join(", ")}. Bugs: ${BUGS.map(({ name }) => name).join(", ")}`);
  const apiKey = values["api-key"];
  const mock = await startMock({
    bugs: values.bug as BugName[],
    port: Number(values.port),
    dialect: values.dialect === "openai" ? "openai" : "ppio",
    ...(apiKey === undefined ? {} : { apiKey }),
  });
  console.log(mock.url);
}
