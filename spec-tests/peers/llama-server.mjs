/**
 * A server with another engine, for `touchstone conform`: node-llama-cpp with a minimal chat-completions route.
 * Messages are joined and continued as plain text, options are passed to the library without checks, and unknown fields
 * are ignored.
 *
 *   node spec-tests/peers/llama-server.mjs MODEL.gguf [PORT]
 */

import { randomUUID } from "node:crypto";
import { createServer } from "node:http";

import { getLlama, LlamaCompletion, LlamaLogLevel } from "node-llama-cpp";

const NUM_SEQUENCES = 4;
const [modelPath, port = "0"] = process.argv.slice(2);
const llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({ contextSize: 512, sequences: NUM_SEQUENCES, threads: 1 });
const free = Array.from({ length: NUM_SEQUENCES }, () => context.getSequence());
const waiting = [];

const server = createServer(async (request, response) => {
  try {
    if (request.url === "/v1/models")
      return json(response, 200, {
        object: "list",
        data: [{ id: "stories260K", object: "model", created: 0, owned_by: "nobody" }],
      });
    if (request.url !== "/v1/chat/completions") return json(response, 404, { error: { message: "Not found" } });
    await complete(JSON.parse(await text(request)), response);
  } catch (error) {
    if (response.headersSent) response.destroy();
    else json(response, 500, { error: { message: String(error) } });
  }
});
server.listen(Number(port), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/v1`));

async function complete(body, response) {
  const abort = new AbortController();
  response.on("close", () => abort.abort());
  const prompt = body.messages.map(({ content }) => content).join("\n");
  const envelope = { id: `chatcmpl-${randomUUID()}`, created: Math.floor(Date.now() / 1000), model: body.model };
  const send = (delta, finishReason = null) =>
    response.write(
      `data: ${JSON.stringify({ ...envelope, object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: finishReason }] })}\n\n`,
    );
  if (body.stream) {
    response.writeHead(200, { "content-type": "text/event-stream" });
    send({ role: "assistant", content: "" });
  }
  let numTokens = 0;
  const { response: content, metadata } = await withSequence((contextSequence) =>
    new LlamaCompletion({ contextSequence }).generateCompletionWithMeta(prompt, {
      signal: abort.signal,
      temperature: body.temperature ?? 1,
      topK: body.top_k,
      topP: body.top_p,
      minP: body.min_p,
      seed: body.seed,
      maxTokens: body.max_tokens,
      customStopTriggers: body.stop === undefined ? undefined : [body.stop].flat(),
      onToken: (tokens) => (numTokens += tokens.length),
      onTextChunk: body.stream ? (content) => send({ content }) : undefined,
    }),
  );
  const finishReason = metadata.stopReason === "maxTokens" ? "length" : "stop";
  if (body.stream) {
    send({}, finishReason);
    return response.end("data: [DONE]\n\n");
  }
  const promptTokens = model.tokenize(prompt).length;
  json(response, 200, {
    ...envelope,
    object: "chat.completion",
    choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: finishReason }],
    usage: { prompt_tokens: promptTokens, completion_tokens: numTokens, total_tokens: promptTokens + numTokens },
  });
}

async function withSequence(work) {
  if (free.length === 0) await new Promise((resolve) => waiting.push(resolve));
  const sequence = free.pop();
  try {
    return await work(sequence);
  } finally {
    free.push(sequence);
    waiting.shift()?.();
  }
}

function json(response, status, body) {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

async function text(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}
