/**
 * Bugs reported by users of other engines, each as a test that must pass here: over HTTP, through the engine's worker,
 * streamed and unstreamed. Where a test needs specific tokens, a scripted model generates them.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";

import {
  scriptedModel,
  type ScriptedAnswer,
  type ScriptedModelOptions,
} from "../../spec-tests/fixtures/scripted-model.js";
import type { Dialect } from "../openai/index.js";
import type { ChatCompletion, ChatCompletionChunk } from "../openai/response-schema.js";
import { concatenated } from "../../spec-tests/fixtures/chat-requests.js";
import { chatBody, events, post, testServer, type TestServer } from "../../spec-tests/fixtures/server.js";

let scratch: string;
let embedded: Record<Dialect, TestServer>;
const scripted: TestServer[] = [];

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "reported-bugs-"));
  vi.stubEnv("TOUCHSTONE_CACHE", join(scratch, "cache"));
  embedded = { ppio: await testServer({ dialect: "ppio" }), openai: await testServer({ dialect: "openai" }) };
});
afterEach(() => Promise.all(scripted.splice(0).map((server) => server.close())));
afterAll(async () => {
  await Promise.all(Object.values(embedded).map((server) => server.close()));
  vi.unstubAllEnvs();
  await rm(scratch, { recursive: true });
});

/** Starts a server in the openai dialect whose model generates these answers. */
async function saying(answers: readonly ScriptedAnswer[], options: ScriptedModelOptions = {}): Promise<TestServer> {
  const folder = await scriptedModel(await mkdtemp(join(scratch, "model-")), answers, options);
  const server = await testServer({ dialect: "openai", model: { model: folder, quant: "f32" } });
  scripted.push(server);
  return server;
}

async function chunksOf({ url }: TestServer, fields: object): Promise<ChatCompletionChunk[]> {
  const response = await post(`${url}/v1/chat/completions`, chatBody({ seed: 1, ...fields, stream: true }));
  return (await events(response)) as unknown as ChatCompletionChunk[];
}

type Choice = ChatCompletion["choices"][number];

/** Requests the answer unstreamed and streamed, and checks that both agree. */
async function ask(
  server: TestServer,
  fields: object = {},
): Promise<Pick<ChatCompletion, "choices" | "usage"> & { readonly choice: Choice }> {
  const response = await post(`${server.url}/v1/chat/completions`, chatBody({ seed: 1, ...fields }));
  const { choices, usage } = (await response.json()) as ChatCompletion;
  const choice = choices[0]!;
  const chunks = await chunksOf(server, { ...fields, stream_options: { include_usage: true } });
  const streamed = concatenated(chunks, "reasoning_content" in choice.message);
  // The second request has a prefix cache hit, so cached_tokens differs.
  expect(streamed).toEqual({ choices, usage: { ...usage, prompt_tokens_details: expect.anything() } });
  return { choices, usage, choice };
}

/** Reasoning, content and finish reason of a choice. */
const read = ({ message, finish_reason }: Choice) => ({
  reasoning: message.reasoning_content,
  content: message.content,
  finish_reason,
});

const byte = (value: number): Uint8Array => Uint8Array.of(value);
const STORY = { messages: [{ role: "user", content: "Tell me a story about a fox." }] };

describe("the stream", () => {
  test("sends usage once, at the end, and not on every chunk (vllm#7262)", async () => {
    const fields = { n: 2, max_tokens: 8 };
    const usages = async (dialect: Dialect, options: object = {}) =>
      (await chunksOf(embedded[dialect], { ...fields, ...options })).map(({ usage }) => usage);
    const told = { prompt_tokens: expect.any(Number) as number, completion_tokens: 16 };

    const onFinish = await usages("ppio");
    expect(onFinish.at(-1)).toMatchObject(told);
    expect(onFinish.slice(0, -1).every((usage) => usage === undefined)).toBe(true);
    for (const dialect of ["ppio", "openai"] as const) {
      const asked = await chunksOf(embedded[dialect], { ...fields, stream_options: { include_usage: true } });
      expect(asked.at(-1)).toMatchObject({ choices: [], usage: told });
      expect(asked.slice(0, -1).every(({ choices, usage }) => choices.length === 1 && usage === null)).toBe(true);
      expect(
        (await usages(dialect, { stream_options: { include_usage: false } })).every((usage) => usage === undefined),
      ).toBe(true);
    }
  });

  test("does not add usage for an empty stream_options (vllm#36379)", async () => {
    const withUsage = async (dialect: Dialect, fields: object) => {
      const chunks = await chunksOf(embedded[dialect], { max_tokens: 4, ...fields });
      return chunks.flatMap((chunk, index) => ("usage" in chunk ? [index - chunks.length] : []));
    };
    expect(await withUsage("openai", { stream_options: {} })).toEqual([]);
    expect(await withUsage("openai", {})).toEqual([]);
    expect(await withUsage("ppio", { stream_options: {} })).toEqual([-1]);
    expect(await withUsage("ppio", {})).toEqual([-1]);
  });

  test("has finish_reason null, not an empty string, until a choice ends (ollama#4357)", async () => {
    const chunks = await chunksOf(embedded.openai, { ...STORY, n: 2, max_tokens: 12 });
    for (const index of [0, 1]) {
      const reasons = chunks.flatMap(({ choices }) =>
        choices.filter((choice) => choice.index === index).map(({ finish_reason }) => finish_reason),
      );
      expect(reasons.length).toBeGreaterThan(3);
      expect(reasons).toEqual([...reasons.slice(1).map(() => null), "length"]);
    }
  });
});

describe("choices", () => {
  test("of one request differ (vllm#10852)", async () => {
    const { choices } = await ask(embedded.openai, { ...STORY, n: 4, max_tokens: 60 });
    expect(new Set(choices.map(({ message }) => `${message.reasoning_content}${message.content}`)).size).toBe(4);
  });

  test("each have their own reasoning, independent of the others (vllm#42493)", async () => {
    const server = await saying([
      ["<think>", "deep", " thought", "</think>", "\n\n", "So."],
      ["At", " once", "."],
    ]);
    const { choices } = await ask(server, { n: 12 });
    const told = new Set(choices.map((choice) => JSON.stringify(read(choice))));
    expect(
      [...told]
        .map((text) => JSON.parse(text) as object)
        .sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))),
    ).toEqual([
      { reasoning: "deep thought", content: "So.", finish_reason: "stop" },
      { reasoning: null, content: "At once.", finish_reason: "stop" },
    ]);
  });
});

describe("logprobs", () => {
  test("include tokens that are part of a character, as U+FFFD with their byte (vllm#27300)", async () => {
    const server = await saying([
      [byte(0xe4), byte(0xbd), byte(0xa0)],
      [byte(0xf0), byte(0x9f), byte(0x98), byte(0x8a)],
      ["é"],
    ]);
    const { choice } = await ask(server, { logprobs: true, top_logprobs: 3 });
    expect(choice.logprobs!.content[0]!.top_logprobs.map(({ token, bytes }) => ({ token, bytes }))).toEqual([
      { token: "\uFFFD", bytes: [0xe4] },
      { token: "\uFFFD", bytes: [0xf0] },
      { token: "é", bytes: [0xc3, 0xa9] },
    ]);
    expect(["你", "😊", "é"]).toContain(choice.message.content);
  });

  test("show tokens as text, not in the tokenizer's byte alphabet (vllm#19177)", async () => {
    const server = await saying([["是", " 的", "\n", "\t好"]]);
    const { choice } = await ask(server, { logprobs: true, top_logprobs: 1 });
    expect(choice.message.content).toBe("是 的\n\t好");
    const expected = ["是", " 的", "\n", "\t好", "<|end|>"];
    expect(choice.logprobs!.content.map(({ token }) => token)).toEqual(expected);
    expect(choice.logprobs!.content.map(({ top_logprobs }) => top_logprobs[0]!.token)).toEqual(expected);
    expect(choice.logprobs!.content[0]!.bytes).toEqual([0xe6, 0x98, 0xaf]);

    const story = await ask(embedded.openai, { ...STORY, logprobs: true, top_logprobs: 20, max_tokens: 60 });
    const tokens = story.choice.logprobs!.content.flatMap(({ token, top_logprobs }) => [
      token,
      ...top_logprobs.map(({ token }) => token),
    ]);
    expect(tokens.some((token) => token.startsWith(" "))).toBe(true);
    expect(tokens.filter((token) => /[ĠĊâÃ]/.test(token))).toEqual([]);
  });

  test("carry the token's own bytes if it is part of a character (ollama#13497)", async () => {
    const server = await saying([["Hi ", byte(0xf0), byte(0x9f), byte(0x98), byte(0x8a), "!!"]]);
    const { choice } = await ask(server, { logprobs: true });
    const entries = choice.logprobs!.content;
    expect(entries.map(({ bytes }) => bytes)).toEqual([[72, 105, 32], [0xf0], [0x9f], [0x98], [0x8a], [33, 33], []]);
    expect(entries.slice(1, 5).map(({ token }) => token)).toEqual(["\uFFFD", "\uFFFD", "\uFFFD", "\uFFFD"]);
    expect(Buffer.from(entries.flatMap(({ bytes }) => bytes)).toString()).toBe(choice.message.content);
    expect(choice.message.content).toBe("Hi 😊!!");
  });
});

describe("reasoning", () => {
  test("does not swallow an answer in JSON (vllm#16182)", async () => {
    const json = ['{"name"', ': "Ann"', "}"];
    const direct = await saying([json]);
    expect(read((await ask(direct)).choice)).toEqual({
      reasoning: null,
      content: '{"name": "Ann"}',
      finish_reason: "stop",
    });
    const afterwards = await saying([["<think>", "a {}", "</think>", ...json]]);
    expect(read((await ask(afterwards)).choice)).toEqual({
      reasoning: "a {}",
      content: '{"name": "Ann"}',
      finish_reason: "stop",
    });
    const { choice } = await ask(embedded.openai, {
      messages: [{ role: "user", content: "Give name and age of Alice, 30, as JSON." }],
      temperature: 0,
    });
    expect(JSON.parse(choice.message.content!)).toEqual({ name: "Alice", age: 30 });
  });

  test("is null if a reasoning model does not reason (vllm#48863, vllm#26399)", async () => {
    const server = await saying([["I", " <think>", " therefore", " I am", "</think>", "."]]);
    expect(read((await ask(server)).choice)).toEqual({
      reasoning: null,
      content: "I <think> therefore I am</think>.",
      finish_reason: "stop",
    });
    const chunks = await chunksOf(server, {});
    expect(chunks.filter(({ choices }) => "reasoning_content" in choices[0]!.delta)).toEqual([]);
    // The same holds for a truncated answer.
    expect(read((await ask(server, { max_tokens: 2 })).choice)).toEqual({
      reasoning: null,
      content: "I <think>",
      finish_reason: "length",
    });
  });

  test.each([
    ["split at arbitrary places", ["<th", "ink>why", "</", "thi", "nk>\n", "\nBe", "cause"]],
    ["all in one token", ["<think>why</think>\n\nBecause"]],
    ["closing tag and answer in one token", ["<think>wh", "y</think>Be", "cause"]],
    ["opened after white space", ["\n ", "<think>\n", "why\n</think>", " ", "Because"]],
  ])("is recognized if its tags are inside tokens: %s (vllm#55195)", async (_, answer) => {
    const server = await saying([answer]);
    expect(read((await ask(server)).choice)).toEqual({ reasoning: "why", content: "Because", finish_reason: "stop" });
    const apart = await ask(server, { separate_reasoning: false });
    expect(read(apart.choice)).toEqual({ reasoning: undefined, content: answer.join(""), finish_reason: "stop" });
  });
});

describe("structured output", () => {
  const ALICE = { messages: [{ role: "user", content: "Give name and age of Alice, 30, as JSON." }] };
  const SCHEMA = {
    type: "object",
    properties: { name: { type: "string", maxLength: 8 }, age: { type: "integer" } },
    required: ["name", "age"],
    additionalProperties: false,
  };
  const FORMAT = {
    response_format: { type: "json_schema", json_schema: { name: "person", strict: true, schema: SCHEMA } },
  };
  const person = { name: expect.any(String) as string, age: expect.any(Number) as number };

  test("is the content, and reasoning opened by model or template is separated, in both dialects (vllm#16182)", async () => {
    const json = ['{"name"', ': "Ann"', ', "age": 7', "}"];
    const content = json.join("");
    for (const [answer, opensReasoning, reasoning] of [
      [json, false, null],
      [["<think>", "a {}", "</think>", ...json], false, "a {}"],
      [["a {}", "</think>\n\n{", ...json.slice(0, 1).map((token) => token.slice(1)), ...json.slice(1)], true, "a {}"],
    ] as const) {
      const server = await saying([answer], { opensReasoning });
      expect(read((await ask(server, FORMAT)).choice)).toEqual({ reasoning, content, finish_reason: "stop" });
    }
    for (const dialect of ["ppio", "openai"] as const) {
      const { choice } = await ask(embedded[dialect], { ...ALICE, ...FORMAT, temperature: 0 });
      expect(JSON.parse(choice.message.content!)).toEqual({ name: "Alice", age: 30 });
      expect(choice.message.reasoning_content).toMatch(/./);
    }
  });

  test("does not depend on separate_reasoning (vllm#50948, vllm#47027)", async () => {
    const fields = { ...ALICE, ...FORMAT, temperature: 1.5, seed: 4 };
    const apart = (await ask(embedded.ppio, fields)).choice;
    expect(read((await ask(embedded.ppio, { ...fields, separate_reasoning: true })).choice)).toEqual(read(apart));
    const together = (await ask(embedded.ppio, { ...fields, separate_reasoning: false })).choice;
    const [reasoning, answer] = together.message.content!.split("</think>");
    expect(reasoning!.startsWith("<think>")).toBe(true);
    expect(reasoning!.slice("<think>".length).trim()).toBe(apart.message.reasoning_content);
    expect(answer!.trim()).toBe(apart.message.content);
    expect(JSON.parse(answer!)).toEqual(person);
  });

  test("is refused if the schema cannot be enforced (llama.cpp#19051, llama.cpp#24097)", async () => {
    for (const type of ["json_object", "json_schema"]) {
      const response = await post(
        `${embedded.ppio.url}/v1/chat/completions`,
        chatBody({ response_format: { type, schema: { properties: { a: { extends: {} } } } } }),
      );
      const { error } = (await response.json()) as { error: object };
      expect({ status: response.status, error }).toMatchObject({
        status: 400,
        error: { code: "unsupported_schema", param: "response_format.schema/properties/a/extends" },
      });
    }
  });

  test("does not constrain the reasoning (llama.cpp#22537, llama.cpp#12276)", async () => {
    const server = await saying([["<think>", "no {json} <here>", " [at all", "</think>", "Sorry, no."]]);
    const { choice } = await ask(server, FORMAT);
    expect(read(choice)).toMatchObject({ reasoning: "no {json} <here> [at all", finish_reason: "stop" });
    expect(JSON.parse(choice.message.content!)).toEqual(person);
    const free = (await ask(embedded.openai, { temperature: 0 })).choice;
    const bound = (
      await ask(embedded.openai, { temperature: 0, response_format: { type: "json_object" }, max_tokens: 300 })
    ).choice;
    expect(free.message.reasoning_content).toMatch(/./);
    expect(bound.message.reasoning_content).toBe(free.message.reasoning_content);
  });

  test("is enforced from the first token, even if the model prefers another answer", async () => {
    const server = await saying([["Sorry, no."]]);
    const { choices } = await ask(server, { ...FORMAT, n: 6 });
    const finished = choices.filter(({ finish_reason }) => finish_reason === "stop");
    expect(finished.length).toBeGreaterThan(0);
    for (const { message } of finished) expect(JSON.parse(message.content!)).toEqual(person);
    for (const { message } of choices) expect(message.content).toMatch(/^(?:$|[{<])/);
  });

  test("equals the unconstrained answer if the format allows any text, greedy or sampled (llama.cpp#8711)", async () => {
    const anything = { response_format: { type: "regex", regex: "[^]*" } };
    for (const fields of [{ temperature: 0 }, { seed: 3 }, { ...STORY, seed: 8, max_tokens: 60 }]) {
      expect((await ask(embedded.openai, { ...fields, ...anything })).choices).toEqual(
        (await ask(embedded.openai, fields)).choices,
      );
    }
  });

  test("depends only on the seed: alone, in a batch, or as one of several choices (node-llama-cpp#447)", async () => {
    const fields = { ...ALICE, response_format: { type: "json_object" }, seed: 12, temperature: 1.5, max_tokens: 200 };
    const alone = await ask(embedded.openai, fields);
    const beside = await Promise.all(
      [1, 2, 3].map((seed) => ask(embedded.openai, seed === 2 ? fields : { ...fields, seed, ...FORMAT })),
    );
    expect(beside[1]!.choices).toEqual(alone.choices);
    const { choices } = await ask(embedded.openai, { ...fields, n: 3 });
    expect(choices[0]).toEqual(alone.choices[0]);
    expect(new Set(choices.map(({ message }) => message.content)).size).toBeGreaterThan(1);
  });

  test("is complete with finish_reason stop, also at its last token, and has length if it was truncated", async () => {
    const fields = { ...ALICE, ...FORMAT, temperature: 0 };
    const whole = await ask(embedded.openai, fields);
    const numTokens = whole.usage.completion_tokens;
    // The end token is not part of the text, so the answer is complete even without room for it.
    expect(read((await ask(embedded.openai, { ...fields, max_tokens: numTokens - 1 })).choice)).toEqual(
      read(whole.choice),
    );
    const cut = await ask(embedded.openai, { ...fields, max_tokens: numTokens - 2 });
    expect(cut.choice.finish_reason).toBe("length");
    expect(whole.choice.message.content!.startsWith(cut.choice.message.content!)).toBe(true);
    expect(() => JSON.parse(cut.choice.message.content!) as unknown).toThrow();
    const reasoning = await ask(embedded.openai, { ...fields, max_tokens: 2 });
    expect(read(reasoning.choice)).toMatchObject({ content: "", finish_reason: "length" });
  });

  test("reports the model's unconstrained log-probabilities for every token", async () => {
    const { choice } = await ask(embedded.openai, {
      ...ALICE,
      response_format: { type: "regex", regex: "xyz" },
      temperature: 0,
      logprobs: true,
      top_logprobs: 2,
    });
    expect(choice.message.content).toBe("xyz");
    // Only the grammar makes the model generate this token.
    const forced = choice.logprobs!.content.find(({ token }) => token.trim().startsWith("x"))!;
    expect(forced.logprob).toBeLessThan(forced.top_logprobs[1]!.logprob);
  });

  test("ends at a stop sequence in the content, not in the reasoning", async () => {
    const { choice } = await ask(embedded.openai, { ...ALICE, ...FORMAT, temperature: 0, stop: '"age"' });
    expect(read(choice)).toMatchObject({
      content: expect.stringMatching(/^\{\s?"name":\s?"Alice",\s?$/) as string,
      finish_reason: "stop",
    });
  });
});

describe("stop sequences", () => {
  const THINKING = ["a STOP in thought", "</think>", "\n\n", "an answer, ", "ST", "OP", " and more"];

  test.each([
    ["opened by the model", ["<think>", ...THINKING], false],
    ["opened by the template", THINKING, true],
  ])(
    "do not fire inside reasoning %s (vllm#52393, vllm#53066, vllm#38499, vllm#14170)",
    async (_, answer, opensReasoning) => {
      const server = await saying([answer], { opensReasoning });
      const expected = { reasoning: "a STOP in thought", content: "an answer, ", finish_reason: "stop" };
      expect(read((await ask(server, { stop: "STOP" })).choice)).toEqual(expected);
      // Neither the tag nor the white space after it is part of the answer.
      const rest = { ...expected, content: "an answer, STOP and more" };
      expect(read((await ask(server, { stop: ["</think>", "\n\n", "in thought"] })).choice)).toEqual(rest);
      // Truncated inside the reasoning: the stop sequence there did not end it.
      const cut = await ask(server, { stop: "STOP", max_tokens: opensReasoning ? 1 : 2 });
      expect(read(cut.choice)).toEqual({ reasoning: "a STOP in thought", content: "", finish_reason: "length" });
    },
  );

  test("do not fire inside the embedded model's reasoning either (vllm#52393)", async () => {
    const free = (await ask(embedded.openai, { temperature: 0 })).choice;
    expect(free.message.reasoning_content).toContain("38 =");
    const { choice } = await ask(embedded.openai, { temperature: 0, stop: "38 =" });
    expect(read(choice)).toEqual({
      reasoning: free.message.reasoning_content,
      content: "27 + ",
      finish_reason: "stop",
    });
  });

  test("avoid the five defects of sglang#40529", async () => {
    const server = await saying([["<think>", "say STOP, then STOP", "</think>", "first ", "STOP", " second"]]);
    // 1 and 5: the reasoning is complete, and the cut is at the first occurrence in the answer, not in the whole text.
    const apart = await ask(server, { stop: "STOP" });
    expect(read(apart.choice)).toEqual({ reasoning: "say STOP, then STOP", content: "first ", finish_reason: "stop" });
    const together = await ask(server, { stop: "STOP", separate_reasoning: false });
    expect(together.choice.message.content).toBe("<think>say STOP, then STOP</think>first ");
    // 2: the stop sequence ended generation; no tokens were generated after it.
    expect(apart.usage.completion_tokens).toBe(5);
    // 3: text after an opening tag without a closing tag is reasoning; without an opening tag it is the answer.
    const open = await saying([["<think>", "no end"]]);
    expect(read((await ask(open, { stop: "end" })).choice)).toEqual({
      reasoning: "no end",
      content: "",
      finish_reason: "stop",
    });
    // 4: an unsupported switch is refused, not ignored.
    const refused = await post(`${server.url}/v1/chat/completions`, chatBody({ enable_thinking: false }));
    expect({ status: refused.status, body: await refused.json() }).toMatchObject({
      status: 400,
      body: { error: { code: "unknown_parameter", param: "enable_thinking" } },
    });
  });

  test("are found across tokens (llama.cpp#11538)", async () => {
    const server = await saying([["al", "pha b", "e", "ta ga", "mma"]]);
    expect(read((await ask(server, { stop: "a beta g" })).choice)).toMatchObject({
      content: "alph",
      finish_reason: "stop",
    });
    expect(read((await ask(server, { stop: ["gam", "a be"] })).choice)).toMatchObject({
      content: "alph",
      finish_reason: "stop",
    });
    const included = await ask(server, { stop: "a beta g", include_stop_str_in_output: true });
    expect(read(included.choice)).toMatchObject({ content: "alpha beta g", finish_reason: "stop" });
    expect(included.usage.completion_tokens).toBe(4);
    expect(read((await ask(embedded.openai, { temperature: 0, stop: "38 = 6" })).choice)).toMatchObject({
      content: "27 + ",
      finish_reason: "stop",
    });
  });

  test("release held-back text if the sequence does not complete (llama.cpp#9867)", async () => {
    const server = await saying([["one ", "two", byte(0xf0), byte(0x9f)]]);
    expect(read((await ask(server, { stop: "two three" })).choice)).toMatchObject({
      content: "one two\uFFFD",
      finish_reason: "stop",
    });
    expect(read((await ask(server, { stop: "two three", max_tokens: 2 })).choice)).toMatchObject({
      content: "one two",
      finish_reason: "length",
    });
    expect(read((await ask(server, { max_tokens: 3 })).choice)).toMatchObject({
      content: "one two\uFFFD",
      finish_reason: "length",
    });
  });

  test("never leak partially into the stream (llama.cpp#15007)", async () => {
    const server = await saying([["go", " E", "N", "D", " on"]]);
    const chunks = await chunksOf(server, { stop: "END" });
    expect(chunks.map(({ choices }) => choices[0]!.delta.content ?? "")).toEqual(["", "go", " ", ""]);
  });

  test("do not duplicate text (llama.cpp#10914, llama.cpp#13780)", async () => {
    const server = await saying([["ab", "aba", "ba", "bab", "c-", "abab", "-ab"]]);
    const content = "abababababc-abab-ab";
    for (const stop of ["abab!", ["ababc!", "b-ab!", "c-c"], "-ab-"])
      expect((await ask(server, { stop })).choice.message.content).toBe(content);
    expect((await ask(server, { stop: "babc" })).choice.message.content).toBe("abababa");
  });
});
