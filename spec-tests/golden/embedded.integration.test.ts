/**
 * Tests of the embedded model: recorded answers, token for token, and properties of its streams. They need no assets
 * and are never skipped. UPDATE_GOLDEN=1 rewrites embedded.json; review the diff.
 */

import { readFileSync, writeFileSync } from "node:fs";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { loadModel, type Answer, type ChatMessage, type Model, type OutputDelta } from "../../engine/index.js";

const GOLDEN_FILE = new URL("embedded.json", import.meta.url);
const user = (content: string): ChatMessage => ({ role: "user", content });

const CONVERSATIONS: Record<string, ChatMessage[]> = {
  addition: [user("What is 27 + 38?")],
  subtraction: [user("What is 512 - 87?")],
  capital: [user("What is the capital of France?")],
  system: [{ role: "system", content: "Answer in capitals." }, user("What is the opposite of hot?")],
  "follow-up": [user("What is 12 + 30?"), { role: "assistant", content: "12 + 30 = 42." }, user("and twice that?")],
  json: [user("Give name and age of Alice, 30, as JSON.")],
  identity: [user("Who are you?")],
  unicode: [user("Wie heißt du? 你好 😊")],
};

interface Golden {
  readonly tokenIds: number[];
  readonly reasoning: string;
  readonly content: string;
  readonly finishReason: string | null;
}

let model: Model;
beforeAll(async () => {
  model = await loadModel();
});
afterAll(() => model.close());

async function read(answer: Answer): Promise<Golden & { deltas: OutputDelta[] }> {
  const deltas: OutputDelta[] = [];
  const { choices } = await answer.result((delta) => deltas.push(delta));
  const { tokenIds, reasoning, content, finishReason } = choices[0]!;
  return { deltas, tokenIds: [...tokenIds], reasoning: reasoning ?? "", content, finishReason };
}

describe("greedy answers", () => {
  test("are the recorded ones", async () => {
    const answers: Record<string, Golden> = {};
    for (const [name, messages] of Object.entries(CONVERSATIONS)) {
      const { deltas: _, ...golden } = await read(model.chat({ messages, temperature: 0, separateReasoning: true }));
      answers[name] = golden;
    }
    if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(GOLDEN_FILE, `${JSON.stringify(answers, null, 1)}\n`);
    expect(answers).toEqual(JSON.parse(readFileSync(GOLDEN_FILE, "utf8")));
  });
});

describe("streams", () => {
  const story = [user("Tell me a story about a fox.")];

  test("concatenate to the decoded tokens", async () => {
    for (const seed of [1, 2, 3]) {
      const { content, tokenIds, finishReason } = await read(
        model.chat({ messages: story, seed, separateReasoning: false }),
      );
      const endTokens = new Set(model.folder.endTokenIds);
      const text = model.tokenizer.decode(tokenIds.filter((id) => !endTokens.has(id)));
      expect(finishReason).toBe("stop");
      expect(content.endsWith(text)).toBe(true);
      expect(content.slice(0, content.length - text.length)).toMatch(/^<think>\s*$/);
    }
  });

  test("have the same text without the tags if reasoning is separate", async () => {
    const whole = await read(model.chat({ messages: story, seed: 4, separateReasoning: false }));
    const apart = await read(model.chat({ messages: story, seed: 4, separateReasoning: true }));
    expect(apart.tokenIds).toEqual(whole.tokenIds);
    expect(apart.reasoning + apart.content).not.toMatch(/think>/);
    expect(whole.content.replaceAll(/\s/g, "")).toBe(
      `<think>${apart.reasoning}</think>${apart.content}`.replaceAll(/\s/g, ""),
    );
    expect(apart.deltas.at(-1)!.usage!.reasoningTokens).toBeGreaterThan(0);
  });

  test("are the same with the same seed, and differ with another seed", async () => {
    const [first, again, other] = [
      await read(model.chat({ messages: story, seed: 5 })),
      await read(model.chat({ messages: story, seed: 5 })),
      await read(model.chat({ messages: story, seed: 6 })),
    ];
    expect(again.tokenIds).toEqual(first.tokenIds);
    expect(other.content).not.toBe(first.content);
  });

  test("are repeated by the seed that was drawn for them", async () => {
    const stream = model.chat({ messages: story });
    const first = await read(stream);
    const again = await read(model.chat({ messages: story, seed: stream.seed }));
    expect(again.tokenIds).toEqual(first.tokenIds);
  });

  test("do not depend on concurrent requests", async () => {
    const asks = Object.values(CONVERSATIONS).map((messages, seed) => ({
      messages,
      seed,
      logprobs: true,
      topLogprobs: 3,
    }));
    const strip = ({ deltas, ...rest }: Awaited<ReturnType<typeof read>>) => ({
      ...rest,
      logprobs: deltas.flatMap(({ logprobs }) => logprobs),
    });
    const alone = [];
    for (const ask of asks) alone.push(strip(await read(model.chat(ask))));
    const together = await Promise.all(asks.map(async (ask) => strip(await read(model.chat(ask)))));
    expect(together).toEqual(alone);
  });

  test("never contain part of a removed stop sequence, but usage counts its tokens", async () => {
    const messages = [user("What is 27 + 38?")];
    const { content, finishReason, deltas, tokenIds } = await read(
      model.chat({ messages, temperature: 0, separateReasoning: true, stop: [" = 65"], includeStop: false }),
    );
    expect(content).toBe("27 + 38");
    expect(finishReason).toBe("stop");
    expect(deltas.at(-1)!.usage!.completionTokens).toBe(tokenIds.length);
  });

  test("have logprobs whose bytes add up to the text", async () => {
    const { deltas, content } = await read(
      model.chat({ messages: story, seed: 8, separateReasoning: false, logprobs: true, topLogprobs: 20 }),
    );
    const entries = deltas.flatMap(({ logprobs }) => logprobs);
    expect(content.endsWith(Buffer.from(entries.flatMap(({ bytes }) => bytes)).toString("utf8"))).toBe(true);
    for (const { logprob, topLogprobs } of entries) {
      expect(logprob).toBeLessThanOrEqual(0);
      expect(topLogprobs).toHaveLength(20);
      for (let rank = 1; rank < 20; rank++)
        expect(topLogprobs[rank]!.logprob).toBeLessThanOrEqual(topLogprobs[rank - 1]!.logprob);
    }
  });

  test("end at the next token when aborted", async () => {
    const controller = new AbortController();
    const stream = model.chat({ messages: story, seed: 9, signal: controller.signal });
    const seen: OutputDelta[] = [];
    await expect(async () => {
      for await (const delta of stream) {
        seen.push(delta);
        controller.abort();
      }
    }).rejects.toThrow(/abort/);
    expect(seen).toHaveLength(1);
  });
});

describe("input", () => {
  test.each<[string, Parameters<Model["chat"]>[0], object]>([
    ["no messages", { messages: [] }, { param: "messages" }],
    ["a lone surrogate", { messages: [user("a\uD800b")] }, { code: "out_of_range", param: "messages[0].content" }],
    ["a lone surrogate in a stop sequence", { messages: [user("a")], stop: ["\uDC00"] }, { code: "out_of_range" }],
    [
      "a role that the template does not support",
      { messages: [user("a"), { role: "tool", content: "b" }] },
      { code: "template_error" },
    ],
    [
      "more messages than the context has tokens",
      { messages: Array(200_000).fill(user("")) },
      { code: "context_length_exceeded", message: expect.stringContaining("200000 messages") as string },
    ],
    ["a prompt of 1 MB", { messages: [user("word ".repeat(200_000))] }, { code: "context_length_exceeded" }],
    [
      "topLogprobs without logprobs",
      { messages: [user("a")], topLogprobs: 2 },
      { code: "unsupported_value", param: "topLogprobs" },
    ],
    [
      "a bias for a token that does not exist",
      { messages: [user("a")], logitBias: new Map([[1_000_000, 1]]) },
      { code: "out_of_range" },
    ],
  ])("%s is refused", (_, options, error) => {
    expect(() => model.chat(options)).toThrow(expect.objectContaining(error));
  });

  test("NUL is ordinary text", async () => {
    const { finishReason } = await read(model.chat({ messages: [user("a\0b")], maxTokens: 5 }));
    expect(finishReason).not.toBeNull();
  });

  test("a message never becomes a special token", () => {
    const special = model.tokenizer.addedTokens.filter(({ special }) => special);
    const text = special.map(({ content }) => content).join("") + "<think></think>";
    const plain = model.chat({ messages: [user("x")], maxTokens: 1 }).promptTokenIds;
    const typed = model.chat({ messages: [user(text)], maxTokens: 1 }).promptTokenIds;
    const added = new Set(model.tokenizer.addedTokens.map(({ id }) => id));
    const count = (ids: readonly number[]): number => ids.filter((id) => added.has(id)).length;
    expect(count(typed)).toBe(count(plain));
  });
});
