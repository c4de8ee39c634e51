/**
 * POST chat/completions: passes a checked request to the engine and sends its deltas as one JSON object or as a stream
 * of chunks. src/openai defines the format of both.
 */

import { randomBytes } from "node:crypto";

import { assert } from "../../engine/errors.js";
import { AnswerCollector } from "../../engine/core/index.js";
import type { AnswerResult, OutputDelta } from "../../engine/index.js";
import { apiErrorOf, chatCompletion, ChunkWriter, type Dialect, schemaNotesHeader } from "../openai/index.js";
import type { Exchange } from "./exchange.js";
import type { Generation } from "./host.js";
import type { ServedModel } from "./models.js";
import type { Requests } from "./parse-request.js";
import type { Services } from "./services.js";

export async function chatCompletions(exchange: Exchange, dialect: Dialect, services: Services): Promise<void> {
  const body = await exchange.readJsonBody(services.bodyLimits);
  const request = await services.requests.parse("chat", dialect, body, exchange.signal);
  const model = services.models.find(request.model);
  const { work, stream } = request;
  exchange.facts["model"] = model.id;
  if (services.logContent)
    exchange.facts["messages"] = work instanceof Uint8Array ? `${work.length} bytes, too long to log` : work.messages;

  const generation = await model.host.chat(work, services.date(), stream ? null : request, exchange.signal);
  exchange.setHeader("x-touchstone-seed", String(generation.seed));
  exchange.setHeader("x-touchstone-date", generation.date);
  if (generation.schemaNotes.length > 0)
    exchange.setHeader("x-touchstone-schema-notes", schemaNotesHeader(generation.schemaNotes));
  exchange.facts["seed"] = typeof generation.seed === "bigint" ? `${generation.seed}` : generation.seed;
  exchange.facts["date"] = generation.date;
  exchange.facts["promptTokens"] = generation.numPromptTokens;
  const batches = watched(generation, model, exchange, services);
  const answer = { ...identity(model, services), model: request.model, request };
  if (stream) await streamAnswer(batches, answer, exchange, services);
  else
    await exchange.sendLargeJson(
      chatCompletion(answer, await wholeAnswer(batches, generation.seed)),
      services.pace.stallMs,
    );
}

type Answer = ConstructorParameters<typeof ChunkWriter>[0] & { readonly request: Requests["chat"] };

async function wholeAnswer(
  batches: AsyncIterable<readonly OutputDelta[]>,
  seed: number | bigint,
): Promise<AnswerResult> {
  const collector = new AnswerCollector();
  for await (const deltas of batches) for (const delta of deltas) collector.add(delta);
  return collector.result(seed);
}

/** Streams the answer. An error after the first byte is sent as an event; `[DONE]` follows as usual. */
async function streamAnswer(
  batches: AsyncIterable<readonly OutputDelta[]>,
  answer: Answer,
  exchange: Exchange,
  services: Services,
): Promise<void> {
  const stream = exchange.stream(services.pace);
  const writer = new ChunkWriter(answer);
  try {
    for await (const deltas of batches) await stream.send(deltas.flatMap((delta) => writer.write(delta)));
    stream.done();
  } catch (error) {
    if (exchange.isClientGone) return stream.abandon();
    const apiError = apiErrorOf(error);
    services.noteError(exchange, apiError, error);
    await stream.send([apiError.toBody()]);
    stream.done();
  }
}

/** Forwards the deltas and records them for metrics and the log. */
async function* watched(
  { deltas, numPromptTokens }: Generation,
  model: ServedModel,
  exchange: Exchange,
  services: Services,
) {
  const metrics = services.metrics.generation(model.id, numPromptTokens, exchange.arrivedAtMs);
  const texts: string[] = [];
  try {
    for await (const batch of deltas) {
      metrics.add(batch);
      if (services.logContent) for (const { choice, content } of batch) texts[choice] = (texts[choice] ?? "") + content;
      yield batch;
    }
  } finally {
    const { numTokens, firstTokenMs } = metrics.finish();
    exchange.facts["completionTokens"] = numTokens;
    if (firstTokenMs !== null) exchange.facts["firstTokenMs"] = Math.round(firstTokenMs);
    if (services.logContent) exchange.facts["answers"] = texts;
  }
}

/** Returns id, time and fingerprint; the fingerprint has model hash, profile, KV cache format unless f32, version. */
function identity({ host }: ServedModel, { version }: Services) {
  const { info } = host;
  assert(info !== null, "a model answers before it is loaded");
  return {
    id: `chatcmpl-${randomBytes(12).toString("hex")}`,
    created: Math.floor(Date.now() / 1000),
    systemFingerprint: [
      info.modelHash.slice(0, 16),
      info.profile,
      ...(info.kvCache === "f32" ? [] : [`kv${info.kvCache}`]),
      version,
    ].join("-"),
  };
}
