/** Tests of unmodified client libraries with the served embedded model: answers, errors and the queue. */

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { ChatOpenAI } from "@langchain/openai";
import { APICallError, generateText, streamText } from "ai";
import { LengthFinishReasonError } from "openai/core/error";
import { zodResponseFormat } from "openai/helpers/zod";
import OpenAI, {
  APIError,
  APIUserAbortError,
  AuthenticationError,
  BadRequestError,
  NotFoundError,
  RateLimitError,
} from "openai";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { z } from "zod";

import { codeBlock, readersFolder } from "../fixtures/readme.js";
import { serve } from "./served.js";

const QUESTION = { model: "tiny", messages: [{ role: "user" as const, content: "What is 27 + 38?" }], temperature: 0 };
const STORY = {
  model: "tiny",
  messages: [{ role: "user" as const, content: "Tell me a story about a fox." }],
  seed: 7,
};

/** A request that runs long enough to overlap with the next requests. */
const LONG = { ...STORY, n: 128 };
const WRONG = [
  { status: 400, code: "out_of_range", param: "temperature", temperature: 3 },
  { status: 401, code: "invalid_api_key", param: null, apiKey: "wrong" },
  { status: 404, code: "model_not_found", param: "model", model: "none" },
] satisfies {
  status: number;
  code: string;
  param: string | null;
  temperature?: number;
  apiKey?: string;
  model?: string;
}[];

let url: string;
/** URL of a server that gives one answer at a time and has no queue. */
let narrowUrl: string;
let client: OpenAI;

beforeAll(async () => {
  url = await serve(["--api-key", "secret"]);
  narrowUrl = await serve(["--api-key", "secret", "--max-concurrency", "1", "--max-queue", "0"]);
  client = openai({ baseURL: url });
});

const openai = (options: { baseURL: string; apiKey?: string }): OpenAI =>
  new OpenAI({ apiKey: "secret", maxRetries: 0, ...options });
const aiSdk = (baseURL: string, { model = "tiny", apiKey = "secret" } = {}) =>
  createOpenAICompatible({ name: "touchstone", baseURL, apiKey })(model);

/** Runs `work` while the narrow server is busy. */
async function whileBusy(work: () => Promise<void>): Promise<void> {
  const controller = new AbortController();
  const stream = await openai({ baseURL: narrowUrl }).chat.completions.create(
    { ...LONG, stream: true },
    { signal: controller.signal },
  );
  try {
    await work();
  } finally {
    controller.abort();
    await drained(stream);
    await narrowIsFree();
  }
}

/** Reads a stream that was aborted. Clients may end it or throw. */
async function drained(stream: AsyncIterable<unknown>): Promise<void> {
  try {
    for await (const _ of stream);
  } catch (error) {
    expect(error).toBeInstanceOf(APIUserAbortError);
  }
}

/** Checks that the answer of a disconnected client has freed its place. */
async function narrowIsFree(): Promise<void> {
  const ask = () => openai({ baseURL: narrowUrl }).chat.completions.create({ ...QUESTION, max_tokens: 1 });
  await vi.waitFor(() => expect(ask()).resolves.toMatchObject({ object: "chat.completion" }), { timeout: 5_000 });
}

describe("with only a base URL and a model, reasoning is separate and stop sequences are removed", () => {
  const PROMPT = "What is 27 + 38?";
  const markup = /<\/?think>/;

  test("openai", async () => {
    const ask = (fields: object = {}) =>
      client.chat.completions.create({ model: "tiny", messages: [{ role: "user", content: PROMPT }], ...fields });
    const { message } = (await ask()).choices[0]!;
    expect(message.content).not.toMatch(markup);
    expect(message).toHaveProperty("reasoning_content", expect.stringMatching(/./));
    const stopped = (await ask({ stop: "+" })).choices[0]!;
    expect(stopped.message.content).not.toContain("+");
    expect(stopped.finish_reason).toBe("stop");
  });

  test("@ai-sdk/openai-compatible", async () => {
    const { text, reasoningText } = await generateText({ model: aiSdk(url), prompt: PROMPT });
    expect(text).not.toMatch(markup);
    expect(reasoningText).toMatch(/./);
    const stopped = await generateText({ model: aiSdk(url), prompt: PROMPT, stopSequences: ["+"] });
    expect(stopped.text).not.toContain("+");
    expect(stopped.finishReason).toBe("stop");
  });

  test("@langchain/openai", async () => {
    const chat = new ChatOpenAI({ model: "tiny", apiKey: "secret", configuration: { baseURL: url } });
    expect((await chat.invoke(PROMPT)).content).toMatch(/^(?!.*think>).*\d/s);
    let streamed = "";
    for await (const chunk of await chat.stream(PROMPT)) streamed += chunk.text;
    expect(streamed).toMatch(/^(?!.*think>).*\d/s);
    const stopped = await chat.invoke(PROMPT, { stop: ["+"] });
    expect(stopped.content).not.toContain("+");
    expect(stopped.response_metadata["finish_reason"]).toBe("stop");
    expect(stopped.usage_metadata?.input_tokens).toBe(16);
  });
});

describe("openai", () => {
  test("create", async () => {
    const { choices, usage } = await client.chat.completions.create(QUESTION);
    expect(choices[0]).toMatchObject({ finish_reason: "stop", message: { content: "27 + 38 = 65" } });
    expect(usage!.total_tokens).toBe(usage!.prompt_tokens + usage!.completion_tokens);
  });

  test("stream", async () => {
    let content = "";
    for await (const { choices } of await client.chat.completions.create({ ...QUESTION, stream: true }))
      content += choices[0]?.delta.content ?? "";
    expect(content).toBe("27 + 38 = 65");
  });

  test(".stream() aggregates the same as create, including logprobs and three choices", async () => {
    const request = { ...STORY, n: 3, logprobs: true, top_logprobs: 2 };
    const whole = await client.chat.completions.create(request);
    const streamed = await client.chat.completions.stream(request).finalChatCompletion();
    expect(streamed.choices).toHaveLength(3);
    for (const [index, { message, logprobs, finish_reason }] of whole.choices.entries()) {
      expect(streamed.choices[index]).toMatchObject({ finish_reason, logprobs, message: { content: message.content } });
    }
  });

  test("abort", async () => {
    const controller = new AbortController();
    const stream = await client.chat.completions.create({ ...LONG, stream: true }, { signal: controller.signal });
    let numChunks = 0;
    const reading = (async () => {
      for await (const _ of stream) if (++numChunks === 3) controller.abort();
    })();
    // The client may end the loop or throw, and reads what has arrived. The server must end the stream early.
    await reading.catch((error: unknown) => expect(error).toBeInstanceOf(APIUserAbortError));
    expect(numChunks).toBeLessThan(LONG.n * 10);
  });

  test("its typed errors", async () => {
    await expect(client.chat.completions.create({ ...QUESTION, temperature: 3 })).rejects.toBeInstanceOf(
      BadRequestError,
    );
    await expect(client.chat.completions.create({ ...QUESTION, model: "none" })).rejects.toBeInstanceOf(NotFoundError);
    await expect(openai({ baseURL: url, apiKey: "wrong" }).chat.completions.create(QUESTION)).rejects.toBeInstanceOf(
      AuthenticationError,
    );
    for (const { status, code, param, apiKey = "secret", ...fields } of WRONG) {
      const error: unknown = await openai({ baseURL: url, apiKey })
        .chat.completions.create({ ...QUESTION, ...fields })
        .catch((error: unknown) => error);
      expect(error).toBeInstanceOf(APIError);
      expect(error).toMatchObject({ status, code, param });
    }
  });

  test("its typed error for a full queue, with Retry-After", async () => {
    await whileBusy(async () => {
      const error: unknown = await openai({ baseURL: narrowUrl })
        .chat.completions.create(QUESTION)
        .catch((error: unknown) => error);
      expect(error).toBeInstanceOf(RateLimitError);
      const { status, code, type, headers } = error as RateLimitError;
      expect({ status, code, type }).toEqual({ status: 429, code: "queue_full", type: "rate_limit_error" });
      expect(headers.get("retry-after")).toMatch(/^[1-9]\d*$/);
    });
  });

  test("retries automatically when the queue is full", async () => {
    const patient = new OpenAI({ baseURL: narrowUrl, apiKey: "secret", maxRetries: 5 });
    let answer: Promise<OpenAI.ChatCompletion> | undefined;
    await whileBusy(async () => {
      answer = patient.chat.completions.create(QUESTION);
      await new Promise((resolve) => setTimeout(resolve, 300));
    });
    expect((await answer!).choices[0]!.message.content).toBe("27 + 38 = 65");
  });

  test("the README's example", async () => {
    const folder = readersFolder({ openai: fileURLToPath(new URL("node_modules/openai", import.meta.url)) });
    try {
      await folder.serve(codeBlock("touchstone serve --port"));
      expect(await folder.runProgram(codeBlock('from "openai"'))).toContain("65");
    } finally {
      await folder.close();
    }
  });

  test("models", async () => {
    const { data } = await client.models.list();
    expect(data.map(({ id }) => id)).toContain("tiny");
  });
});

describe("openai's zodResponseFormat", () => {
  const Person = z.object({
    name: z.string().max(12),
    age: z.number().int(),
    kind: z.enum(["adult", "child"]),
    nick: z.union([z.string().max(6), z.null()]),
    tags: z.array(z.boolean()).max(2),
  });
  const request = {
    model: "tiny",
    messages: [{ role: "user" as const, content: "Give name and age of Alice, 30, as JSON." }],
    seed: 5,
    response_format: zodResponseFormat(Person, "person"),
  };
  /** Checks that the answer is valid against the schema, whatever its content. */
  const isPerson = (value: unknown) => expect(Person.safeParse(value).error).toBeUndefined();

  test.each([
    ["by default", {}],
    ["with separate_reasoning: true", { separate_reasoning: true }],
  ])("parses the answer %s, of three choices, whole and streamed", async (_, fields) => {
    const { choices } = await client.chat.completions.parse({ ...request, ...fields, n: 3 });
    expect(choices.map(({ finish_reason }) => finish_reason)).toEqual(["stop", "stop", "stop"]);
    for (const { message } of choices) {
      isPerson(message.parsed);
      expect(JSON.parse(message.content!)).toEqual(message.parsed);
    }
    const streamed = await client.chat.completions.stream({ ...request, ...fields, n: 3 }).finalChatCompletion();
    expect(streamed.choices.map(({ message }) => message.parsed)).toEqual(choices.map(({ message }) => message.parsed));
    const alone = await client.chat.completions.parse({ ...request, ...fields });
    expect(alone.choices[0]!.message.parsed).toEqual(choices[0]!.message.parsed);
  });

  test("with separate_reasoning: false the text after the closing tag is the JSON", async () => {
    const apart = await client.chat.completions.create(request);
    const together = { ...request, separate_reasoning: false };
    const { choices } = await client.chat.completions.create(together);
    const [reasoning, answer] = choices[0]!.message.content!.split("</think>") as [string, string];
    expect(reasoning).toMatch(/^<think>/);
    isPerson(JSON.parse(answer));
    expect(answer.trim()).toBe(apart.choices[0]!.message.content);
  });

  test("an answer cut by max_tokens has the finish_reason length, which the client reports", async () => {
    const whole = await client.chat.completions.create(request);
    const cut = { ...request, max_tokens: whole.usage!.completion_tokens - 3 };
    expect((await client.chat.completions.create(cut)).choices[0]!.finish_reason).toBe("length");
    await expect(client.chat.completions.parse(cut)).rejects.toThrow(LengthFinishReasonError);
  });

  test("a schema that cannot be enforced is refused with its location", async () => {
    const given = {
      type: "json_schema" as const,
      json_schema: { name: "a", schema: { properties: { a: { pattern: "(a)\\1" } } } },
    };
    const error: unknown = await client.chat.completions
      .create({ ...request, response_format: given })
      .catch((error: unknown) => error);
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({
      code: "unsupported_schema",
      param: "response_format.json_schema.schema/properties/a/pattern",
    });
  });
});

describe("@ai-sdk/openai-compatible", () => {
  test("generateText", async () => {
    const { text, reasoningText, finishReason } = await generateText({
      model: aiSdk(url),
      prompt: "What is 27 + 38?",
      temperature: 0,
    });
    expect({ text, finishReason }).toEqual({ text: "27 + 38 = 65", finishReason: "stop" });
    expect(reasoningText).toContain("7+8=15");
  });

  test("streamText", async () => {
    let text = "";
    for await (const part of streamText({ model: aiSdk(url), prompt: "What is 27 + 38?", temperature: 0 }).textStream)
      text += part;
    expect(text).toBe("27 + 38 = 65");
  });

  test("its errors have the status and the server's message", async () => {
    const errorOf = async (
      baseURL: string,
      { temperature = 0, ...options }: { temperature?: number; model?: string; apiKey?: string } = {},
    ) => {
      const error: unknown = await generateText({
        model: aiSdk(baseURL, options),
        prompt: "Hello",
        temperature,
        maxRetries: 0,
      }).catch((error: unknown) => error);
      if (!APICallError.isInstance(error)) throw new Error(`No APICallError: ${String(error)}`);
      return error;
    };
    for (const { status, code, param, ...given } of WRONG) {
      const error = await errorOf(url, given);
      expect(error.statusCode).toBe(status);
      expect(JSON.parse(error.responseBody!)).toEqual({
        error: { message: error.message, type: expect.any(String), param, code },
      });
    }
    await whileBusy(async () => {
      const error = await errorOf(narrowUrl);
      expect({ status: error.statusCode, isRetryable: error.isRetryable }).toEqual({ status: 429, isRetryable: true });
      expect(error.responseHeaders!["retry-after"]).toMatch(/^[1-9]\d*$/);
    });
  });

  test("abort ends the stream and frees the server", async () => {
    const controller = new AbortController();
    const { textStream } = streamText({
      model: aiSdk(narrowUrl),
      prompt: "Tell me a story about a fox.",
      providerOptions: { touchstone: { n: 128 } },
      abortSignal: controller.signal,
    });
    let numParts = 0;
    for await (const _ of textStream) if (++numParts === 3) controller.abort();
    expect(numParts).toBeLessThan(LONG.n * 10);
    await narrowIsFree();
  });
});

describe("curl", () => {
  const curl = async (
    baseURL: string,
    body: object,
    { apiKey = "secret", flags = [] }: { apiKey?: string | undefined; flags?: readonly string[] } = {},
  ) => {
    const headers = ["-H", "content-type: application/json", "-H", `authorization: Bearer ${apiKey}`];
    return (
      await promisify(execFile)("curl", [
        ...flags,
        "-s",
        `${baseURL}/chat/completions`,
        ...headers,
        "-d",
        JSON.stringify(body),
      ])
    ).stdout;
  };

  test("-N", async () => {
    const events = (await curl(url, { ...QUESTION, stream: true }, { flags: ["-N"] })).trimEnd().split("\n\n");
    expect(events.at(-1)).toBe("data: [DONE]");
    const content = events
      .slice(0, -1)
      .map(
        (event) =>
          (JSON.parse(event.slice("data: ".length)) as OpenAI.ChatCompletionChunk).choices[0]?.delta.content ?? "",
      );
    expect(content.join("")).toBe("27 + 38 = 65");
  });

  test("errors", async () => {
    const refused = async (baseURL: string, body: object, apiKey?: string) => {
      const answer = await curl(baseURL, body, { apiKey, flags: ["-D", "-"] });
      const [head, json] = answer.split("\r\n\r\n") as [string, string];
      return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]), head, body: JSON.parse(json) as unknown };
    };
    for (const { status, code, param, apiKey, ...fields } of WRONG) {
      const type = status === 401 ? "authentication_error" : "invalid_request_error";
      expect(await refused(url, { ...QUESTION, ...fields }, apiKey)).toMatchObject({
        status,
        body: { error: { message: expect.any(String), type, param, code } },
      });
    }
    await whileBusy(async () => {
      const full = await refused(narrowUrl, QUESTION);
      expect(full).toMatchObject({
        status: 429,
        body: { error: { message: expect.any(String), type: "rate_limit_error", param: null, code: "queue_full" } },
      });
      expect(full.head).toMatch(/^retry-after: [1-9]\d*\r?$/im);
    });
  });
});
