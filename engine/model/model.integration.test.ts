/** Tests the loading of a model: the effect of each option, the refusals, and the memory requirements. */

import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";

import { randomModel, type RandomTensor } from "../../spec-tests/fixtures/random-model.js";
import { LIMITS } from "../limits.js";
import { LMHead } from "../core/lm-head.js";
import type { Answer } from "./answer.js";
import { loadModel, Model } from "./model.js";
import type { RequestOptions } from "./preparer.js";
import { checkedOptions, type LoadModelOptions } from "./load-options.js";
import type { KVFormat } from "../../kernels/index.js";
import type { Profile } from "../runner/index.js";
import { WasmRunner } from "../runner/wasm-runner.js";
import { openPack } from "../folder/pack.js";
import { AnswerCollector } from "../core/answer-collector.js";
import { Speculation } from "../core/speculation.js";
import { convert } from "../store/convert.js";

afterEach(() => vi.restoreAllMocks());

const MESSAGES = [{ role: "user", content: "What is 27 + 38?" }] as const;

async function withModel<T>(options: LoadModelOptions, use: (model: Model) => Promise<T>): Promise<T> {
  const model = await loadModel({ numThreads: 1, ...options });
  try {
    return await use(model);
  } finally {
    await model.close();
  }
}

/** Returns everything in an answer but its timings. */
async function read(answer: Answer) {
  const { choices, usage } = await answer.result();
  return { choices, usage };
}

describe("profile", () => {
  /**
   * Loads the embedded model in a separate process and generates an answer. Returns true if ONNX Runtime is among the
   * native libraries of that process.
   */
  function loadsOnnxRuntime(profile: string): boolean {
    const program = `
      import { loadModel } from ${JSON.stringify(pathToFileURL(resolve("dist/engine/index.js")).href)};
      const model = await loadModel({ profile: ${JSON.stringify(profile)}, numThreads: 2 });
      for await (const _ of model.generate({ prompt: "a", maxTokens: 2 }));
      console.log(JSON.stringify(process.report.getReport().sharedObjects));
      await model.close();
    `;
    return /onnxruntime/.test(
      execFileSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" }),
    );
  }

  test("exact does not load ONNX Runtime; fast does", () => {
    expect([loadsOnnxRuntime("exact"), loadsOnnxRuntime("fast")]).toEqual([false, true]);
  });

  const profileOf = (options: LoadModelOptions): Promise<string> =>
    withModel(options, async ({ info }) => info.profile);

  test("is exact for the embedded model, else fast if ONNX Runtime loads", async () => {
    const scratch = await mkdtemp(join(tmpdir(), "profile-"));
    const pack = join(scratch, "pack");
    await convert(await randomModel(join(scratch, "model")), pack, { quant: "q8" });
    expect(await profileOf({})).toBe("exact");
    expect(await profileOf({ profile: "fast" })).toBe("fast");
    expect(await profileOf({ model: pack })).toBe("fast");
    expect(await profileOf({ model: pack, profile: "auto", kvCache: "q8" })).toBe("fast");
    expect(await profileOf({ model: pack, profile: "exact" })).toBe("exact");
    await rm(scratch, { recursive: true });
  });

  test("does not depend on drafts", async () => {
    const ask = { prompt: "one two three four. one two three four. one two", maxTokens: 60, n: 3, seed: 7 };
    const answers: object[] = [];
    const forwardEach = vi.spyOn(WasmRunner.prototype, "forwardEach");
    // All drafts run, whatever time passes take: a busy machine would choose fewer, or none.
    vi.spyOn(Speculation.prototype, "choose").mockImplementation((drafts, maxRows) => {
      let numLeft = maxRows - drafts.length;
      return drafts.map(({ tokenIds }) => {
        const length = Math.min(numLeft, tokenIds.length);
        numLeft -= length;
        return length;
      });
    });
    for (const speculate of ["off", "ngram"] as const) {
      await withModel({ speculate }, async (model) => {
        for (const temperature of [0, 0.5])
          answers.push((await model.generate({ ...ask, temperature, logprobs: true }).result()).choices);
        // One token for ever is drafted rightly.
        answers.push((await model.generate({ ...ask, n: 1, logitBias: new Map([[65, 100]]) }).result()).choices);
      });
    }
    expect(answers.slice(3)).toEqual(answers.slice(0, 3));
    const numRows = forwardEach.mock.calls.map(([passes]) => passes.flatMap(({ tokenIds }) => tokenIds).length);
    expect(Math.max(...numRows)).toBeGreaterThan(3);
    forwardEach.mockRestore();
  });

  test("is reported by the model together with its other options", async () => {
    await withModel({ profile: "exact", kvCache: "q8", numThreads: 3, maxConcurrency: 5 }, async ({ info }) => {
      expect(info).toMatchObject({
        profile: "exact",
        kvCache: "q8",
        numThreads: 3,
        maxConcurrency: 5,
        logprobsMode: "raw",
        weights: "q8",
        architecture: "llama",
        contextLength: 1024,
        modelHash: expect.stringMatching(/^[0-9a-f]{64}$/),
      });
    });
  });
});

describe("loadModel", () => {
  test("accepts a model name with options, all options in one object, or no arguments", async () => {
    const models = [await loadModel(), await loadModel(null, { numThreads: 1 }), await loadModel({ numThreads: 1 })];
    expect(new Set(models.map(({ info }) => info.modelHash)).size).toBe(1);
    for (const model of models) await model.close();
    await expect(loadModel("/no/such/folder", { quant: "q8" })).rejects.toMatchObject({ code: "model_not_found" });
    await expect(loadModel("/no/such/folder", { quant: "q9" as "q8" })).rejects.toMatchObject({ param: "quant" });
  });

  test("returns a model that `await using` closes", async () => {
    let model: Model;
    {
      await using scoped = await loadModel({ numThreads: 1 });
      model = scoped;
      expect(await scoped.chat({ messages: MESSAGES, temperature: 0 }).text()).toContain("65");
    }
    expect(() => model.generate({ prompt: "a" })).toThrow("The model is closed.");
  });
});

describe("an answer", () => {
  test("can be read once, delta by delta or as a whole", async () => {
    await withModel({}, async (model) => {
      const ask = (): Answer => model.chat({ messages: MESSAGES, seed: 5, n: 2, logprobs: true });
      const collector = new AnswerCollector();
      for await (const delta of ask()) collector.add(delta);
      const streamed = collector.result(5);
      const deltas: unknown[] = [];
      const answer = ask();
      const result = await answer.result((delta) => deltas.push(delta));
      expect(result.choices).toEqual(streamed.choices);
      expect(deltas.length).toBeGreaterThan(2);
      expect(result.seed).toBe(5);
      expect(await ask().text()).toBe(result.choices[0]!.content);
      await expect(answer.result()).rejects.toThrow(/read already/);
      await expect(answer.text()).rejects.toThrow(/read already/);
      expect(() => answer[Symbol.asyncIterator]()).toThrow(TypeError);
    });
  });

  test("that is not read pauses after a while, ends after a minute, and does not keep the model open", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const model = await loadModel({ numThreads: 1 });
    try {
      const long = {
        messages: MESSAGES,
        seed: 1,
        n: 8,
        maxTokens: 100,
        temperature: 2,
        logprobs: true,
        topLogprobs: 20,
      };
      const short = model.chat({ messages: MESSAGES, seed: 1, maxTokens: 5 });
      const answer = model.chat(long);
      const closing = model.close();
      while (vi.getTimerCount() === 0) await new Promise((resolve) => setImmediate(resolve));
      vi.advanceTimersByTime(LIMITS.maxReaderPauseMs);
      await closing;
      // An answer that is short enough waits for its reader.
      expect((await short.result()).usage.completionTokens).toBe(5);
      const deltas: unknown[] = [];
      await expect(answer.result((delta) => deltas.push(delta))).rejects.toMatchObject({ code: "reader_stalled" });
      expect(deltas.length).toBeGreaterThan(50);
    } finally {
      vi.useRealTimers();
      await model.close();
    }
  });

  test("throws the signal's reason when its request is aborted", async () => {
    await withModel({}, async (model) => {
      const controller = new AbortController();
      const answer = model.chat({ messages: MESSAGES, maxTokens: 500, signal: controller.signal });
      controller.abort(new Error("enough"));
      await expect(answer.result()).rejects.toThrow("enough");
    });
  });
});

test("encodes text and decodes tokens; the error for an invalid id names the parameter as in the library", async () => {
  await withModel({}, async (model) => {
    const ids = model.encode("Hello, fox!");
    expect(model.decode(ids)).toBe("Hello, fox!");
    expect(model.encode(MESSAGES)).toEqual(model.chat({ messages: MESSAGES }).promptTokenIds);
    expect(() => model.decode([1, 1_000_000])).toThrow(
      expect.objectContaining({
        code: "out_of_range",
        param: "tokenIds[1]",
        message: expect.stringMatching(/^tokenIds\[1\] /),
      }),
    );
  });
});

describe("refuses before it loads anything", () => {
  test.each<[LoadModelOptions, object]>([
    [
      { numThreads: 0 },
      { code: "out_of_range", param: "numThreads", message: "numThreads must be in 1..64. Given: 0" },
    ],
    [{ numThreads: 1.5 }, { code: "invalid_type", param: "numThreads" }],
    [{ numThreads: 65 }, { code: "out_of_range", param: "numThreads" }],
    [
      { profile: "slow" as "fast" },
      { code: "unsupported_value", param: "profile", message: 'profile must be auto or fast or exact. Given: "slow"' },
    ],
    [
      { kvCache: "q4" as "q8" },
      { code: "unsupported_value", param: "kvCache", message: 'kvCache must be f32 or bf16 or q8. Given: "q4"' },
    ],
    [
      { speculate: "on" as "ngram" },
      { code: "unsupported_value", param: "speculate", message: 'speculate must be off or ngram. Given: "on"' },
    ],
    [
      { threads: 1 } as object,
      {
        code: "unknown_parameter",
        param: "threads",
        message: expect.stringMatching(/^threads is not an option of a model. Known: model, .*numThreads/),
      },
    ],
    [{ toString: 1 } as object, { code: "unknown_parameter", param: "toString" }],
    [
      { model: 5 as never },
      { code: "invalid_type", param: "model", message: "model must be a string or null. Given: 5" },
    ],
    [
      { model: new URL("file:///model") as never },
      { code: "invalid_type", param: "model", message: "model must be a string or null. Given: an object" },
    ],
    [{ quant: null as never }, { code: "invalid_type", param: "quant" }],
    [
      { offline: "no" as never },
      { code: "invalid_type", param: "offline", message: 'offline must be a boolean. Given: "no"' },
    ],
    [
      { signal: {} as never },
      { code: "invalid_type", param: "signal", message: "signal must be an AbortSignal. Given: an object" },
    ],
    [{ onProgress: 5 as never }, { code: "invalid_type", param: "onProgress" }],
  ])("%o", async (options, error) => {
    await expect(loadModel({ model: "/no/such/folder", ...options })).rejects.toMatchObject(error);
  });
});

test("the embedded model cannot be converted to another format", async () => {
  const message =
    "the embedded model is a pack of q8 weights, not q4; quant applies only to model folders, which are converted";
  await expect(loadModel({ quant: "q4" })).rejects.toMatchObject({
    code: "unsupported_value",
    param: "quant",
    message,
  });
});

test.each([[[]], [5], [true]])("refuses %o as a model and as options", async (given) => {
  await expect(loadModel(given as never)).rejects.toMatchObject({ code: "invalid_type", param: "model" });
  await expect(loadModel("/nowhere", given as never)).rejects.toMatchObject({ code: "invalid_type", param: "options" });
});

test("refuses requests of a wrong type with the name of the parameter, and all requests after close", async () => {
  const model = await loadModel({ numThreads: 1 });
  const chat = (options: unknown) => () => model.chat(options as never);
  const generate = (options: unknown) => () => model.generate(options as never);
  const refusal = (code: string, param: string | null, message: RegExp) =>
    expect.objectContaining({ code, param, message: expect.stringMatching(message) });
  for (const options of [undefined, null, 5, "hi", []]) {
    expect(chat(options)).toThrow(
      refusal("invalid_type", null, /^A request must be an object with messages\. Given: /),
    );
    expect(generate(options)).toThrow(
      refusal("invalid_type", null, /^A request must be an object with prompt\. Given: /),
    );
  }
  expect(chat({})).toThrow(refusal("missing_required_parameter", "messages", /required/));
  expect(chat({ messages: {} })).toThrow(refusal("invalid_type", "messages", /an array of messages/));
  expect(chat({ messages: MESSAGES, signal: 5 })).toThrow(refusal("invalid_type", "signal", /AbortSignal\. Given: 5$/));
  expect(chat({ messages: MESSAGES, contextLengthExceededBehavior: "ask" })).toThrow(
    refusal("unsupported_value", "contextLengthExceededBehavior", /truncate or error\. Given: "ask"$/),
  );
  for (const prompt of [undefined, null, 5, ["a"]])
    expect(generate({ prompt })).toThrow(refusal("invalid_type", "prompt", /^prompt must be a string\. Given: /));

  const closing = model.close();
  expect(chat({ messages: MESSAGES })).toThrow(refusal("model_closed", null, /^The model is closed\.$/));
  await closing;
  await model.close();
  expect(generate({ prompt: "a" })).toThrow(refusal("model_closed", null, /closed/));
});

test("the error for a limit beyond the context quotes the given number", async () => {
  await withModel({}, async (model) => {
    for (const [maxTokens, shown] of [
      [1025, "1025"],
      [1e30, "1e+30"],
    ] as const) {
      const message = expect.stringMatching(RegExp(`maxTokens is ${shown.replace("+", "\\+")};`));
      expect(() => model.chat({ messages: MESSAGES, maxTokens, contextLengthExceededBehavior: "error" })).toThrow(
        expect.objectContaining({ code: "context_length_exceeded", message }),
      );
    }
  });
});

describe("maxConcurrency", () => {
  const ask = (model: Model, changes: RequestOptions) =>
    read(model.chat({ messages: MESSAGES, maxTokens: 6, logprobs: true, topLogprobs: 2, ...changes }));

  test("limits the choices that run at the same time, also within a request, and changes no answer", async () => {
    const project = vi.spyOn(LMHead.prototype, "project");
    const answers = [];
    for (const maxConcurrency of [1, 2, 16, 40]) {
      project.mockClear();
      const both = (model: Model) =>
        Promise.all([ask(model, { n: 50, seed: 1 }), ask(model, { n: 3, seed: 2, temperature: 1.5 })]);
      answers.push(await withModel({ maxConcurrency }, both));
      // A step projects one row per running sequence.
      expect(Math.max(...project.mock.calls.map(([hidden]) => hidden.length))).toBe(maxConcurrency);
    }
    expect(answers[0]!.map(({ choices }) => choices.length)).toEqual([50, 3]);
    for (const answer of answers) expect(answer).toEqual(answers[0]);
  });

  test("is 16 by default", async () => {
    const project = vi.spyOn(LMHead.prototype, "project");
    await withModel({}, (model) => ask(model, { n: 20, seed: 1 }));
    expect(Math.max(...project.mock.calls.map(([hidden]) => hidden.length))).toBe(16);
  });

  test.each([
    [0, "out_of_range", "maxConcurrency must be in 1..128. Given: 0"],
    [129, "out_of_range", "maxConcurrency must be in 1..128. Given: 129"],
    [Number.NaN, "out_of_range", "maxConcurrency must be in 1..128. Given: NaN"],
    [1.5, "invalid_type", "maxConcurrency must be an integer. Given: 1.5"],
    ["2", "invalid_type", 'maxConcurrency must be an integer. Given: "2"'],
  ])("refuses %s before it loads anything", async (maxConcurrency, code, message) => {
    const options = { model: "/nowhere", maxConcurrency } as LoadModelOptions;
    await expect(loadModel(options)).rejects.toMatchObject({ code, message, param: "maxConcurrency" });
  });
});

describe("logprobsMode", () => {
  const ask = (logprobsMode: LoadModelOptions["logprobsMode"], changes: RequestOptions) =>
    withModel(logprobsMode === undefined ? {} : { logprobsMode }, async (model) => {
      const options = { messages: MESSAGES, seed: 3, maxTokens: 12, logprobs: true, topLogprobs: 5, ...changes };
      const { choices } = await read(model.chat(options));
      return choices[0]!;
    });

  test("processed: reports only kept tokens, with probabilities that sum to 1, and draws the same tokens", async () => {
    const filters = { temperature: 1.3, topK: 3 };
    const raw = await ask("raw", filters);
    const processed = await ask("processed", filters);
    expect(processed.tokenIds).toEqual(raw.tokenIds);
    expect(await ask(undefined, filters)).toEqual(raw);
    for (const [index, { topLogprobs, tokenId, logprob }] of processed.logprobs.entries()) {
      expect(topLogprobs.map((entry) => entry.tokenId)).toEqual(
        raw.logprobs[index]!.topLogprobs.slice(0, 3).map((entry) => entry.tokenId),
      );
      expect(topLogprobs.reduce((sum, entry) => sum + Math.exp(entry.logprob), 0)).toBeCloseTo(1, 6);
      expect(topLogprobs.find((entry) => entry.tokenId === tokenId)?.logprob).toBe(logprob);
    }
    expect(processed.logprobs.map(({ logprob }) => logprob)).not.toEqual(raw.logprobs.map(({ logprob }) => logprob));
  });

  test("greedy without adjustments: both modes report the same", async () => {
    expect(await ask("processed", { temperature: 0, topK: 1 })).toEqual(await ask("raw", { temperature: 0, topK: 1 }));
  });

  test("refuses other modes", async () => {
    const options = { logprobsMode: "model" } as unknown as LoadModelOptions;
    const message = 'logprobsMode must be raw or processed. Given: "model"';
    await expect(loadModel(options)).rejects.toMatchObject({
      code: "unsupported_value",
      param: "logprobsMode",
      message,
    });
  });
});

const CONTEXT = 1 << 21;
const NUM_LAYERS = 16;
/** Bytes of keys and values per position: two KV heads of 12 dimensions, float32. */
const BYTES_PER_POSITION = NUM_LAYERS * 2 * 2 * 12 * 4;

describe("memory", () => {
  let scratch: string;
  let pack: string;
  beforeAll(async () => {
    scratch = await mkdtemp(join(tmpdir(), "load-model-"));
    pack = join(scratch, "pack");
    const config = { max_position_embeddings: CONTEXT, num_hidden_layers: NUM_LAYERS };
    await convert(await randomModel(join(scratch, "model"), { config }), pack, { quant: "q8" });
  });
  afterAll(() => rm(scratch, { recursive: true, force: true }));

  const bytesPerPage = BYTES_PER_POSITION * LIMITS.promptBlockTokens;

  test.each<[string, number | undefined, (numPages: number) => boolean]>([
    ["a given number of bytes", 3.9 * bytesPerPage, (numPages) => numPages === 3],
    ["2 GiB by default", undefined, (numPages) => numPages === Math.floor(2 ** 31 / bytesPerPage)],
    [
      "no more than the weights leave of 4 GiB",
      2 ** 40,
      (numPages) => numPages > (3.8 * 2 ** 30) / bytesPerPage && numPages < 2 ** 32 / bytesPerPage,
    ],
  ])("keys and values: %s", async (_, kvCacheBytes, isRight) => {
    const model = await loadModel({
      model: pack,
      ...(kvCacheBytes === undefined ? {} : { kvCacheBytes: Math.floor(kvCacheBytes) }),
    });
    expect(isRight(numPagesOf(model))).toBe(true);
    await model.close();
  });

  test.each<[string, Profile, KVFormat, number]>([
    ["bfloat16 keys and values take a half", "exact", "bf16", 7],
    ["bfloat16 keys and values take a half", "fast", "bf16", 7],
    ["8-bit keys and values take a third: 12 bytes per head and a scale of 4, not 48 bytes", "exact", "q8", 11],
    ["8-bit keys and values take a third: 12 bytes per head and a scale of 4, not 48 bytes", "fast", "q8", 11],
  ])("%s (%s)", async (_, profile, kvCache, numPages) => {
    const model = await loadModel({ model: pack, profile, kvCache, kvCacheBytes: Math.floor(3.9 * bytesPerPage) });
    expect(numPagesOf(model)).toBe(numPages);
    await model.close();
  });

  test("refuses memory that is too small for a page of keys and values", async () => {
    await expect(loadModel({ model: pack, kvCacheBytes: bytesPerPage - 1 })).rejects.toMatchObject({
      code: "out_of_memory",
      message: "Keys and values take 196608 bytes for each 64 positions; 196607 bytes are available.",
    });
  });

  test("refuses weights that do not fit, before they are read", async () => {
    const opened = await openPack(pack);
    const large = {
      ...opened,
      config: { ...opened.config, intermediateSize: 2 ** 23 },
      readWeights: () => Promise.reject(new Error("read")),
    };
    await expect(Model.open(large, { ...checkedOptions({}), profile: "exact" })).rejects.toMatchObject({
      code: "out_of_memory",
      message: expect.stringMatching(
        /weights take \d{4,} MiB; one WebAssembly memory of 4 GiB has room for 4032 MiB\. A smaller model is needed\./,
      ),
    });
  });

  test("refuses a folder that cannot fit by its configuration, before its weights are read", async () => {
    const folder = await randomModel(join(scratch, "huge"), {
      files: { "config.json": JSON.stringify({ model_type: "llama", intermediate_size: 2 ** 23 }) },
    });
    await expect(loadModel({ model: folder, quant: "f32" })).rejects.toMatchObject({
      code: "out_of_memory",
      message: expect.stringContaining("4 GiB"),
    });
  });

  test.each([
    [0, "out_of_range"],
    [-1, "out_of_range"],
    [1.5, "invalid_type"],
    [NaN, "out_of_range"],
    [Infinity, "out_of_range"],
  ])("refuses kvCacheBytes of %d", async (kvCacheBytes, code) => {
    await expect(loadModel({ model: pack, kvCacheBytes })).rejects.toMatchObject({ code, param: "kvCacheBytes" });
  });

  /** Reads the number of pages from the error for a request that can never fit. */
  function numPagesOf(model: Model): number {
    try {
      model.generate({ prompt: "a", maxTokens: model.folder.contextLength });
    } catch (error) {
      const [, numPositions] = /set aside for (\d+) positions/.exec((error as Error).message)!;
      return Number(numPositions) / LIMITS.promptBlockTokens;
    }
    throw new Error("the whole context fits");
  }
});

test("messages that are rendered to no token are refused, and the model goes on", async () => {
  const scratch = await mkdtemp(join(tmpdir(), "bare-template-"));
  const files = {
    "tokenizer_config.json": "{}",
    "chat_template.jinja": "{% for message in messages %}{{ message.content }}{% endfor %}",
  };
  const pack = join(scratch, "pack");
  await convert(await randomModel(join(scratch, "model"), { files }), pack, { quant: "f32" });
  await withModel({ model: pack }, async (model) => {
    const chat = async (content: string): Promise<unknown> =>
      model.chat({ messages: [{ role: "user", content }], maxTokens: 2 }).result();
    await expect(chat("")).rejects.toMatchObject({
      code: "out_of_range",
      param: "messages",
      message:
        "The messages are empty, and this model's chat template adds nothing to them; an answer needs at least one token to start from.",
    });
    await expect(chat("a")).resolves.toMatchObject({ usage: { promptTokens: 1 } });
  });
  await rm(scratch, { recursive: true, force: true });
});

describe("responseFormat", () => {
  const YES_OR_NO = { type: "regex", regex: "yes|no" } as const;
  let scratch: string;
  beforeAll(async () => {
    scratch = await mkdtemp(join(tmpdir(), "response-format-"));
  });
  afterAll(() => rm(scratch, { recursive: true, force: true }));

  test("a random model without reasoning and end tokens begins with the answer and stops after it", async () => {
    const files = {
      "tokenizer_config.json": "{}",
      "generation_config.json": "{}",
      "chat_template.jinja": "{% for message in messages %}{{ message.content }}{% endfor %}",
    };
    const folder = await randomModel(join(scratch, "endless"), { config: { eos_token_id: null }, files });
    const pack = join(scratch, "pack");
    await convert(folder, pack, { quant: "f32" });
    await withModel({ model: pack }, async (model) => {
      expect(model.folder.endTokenIds).toEqual([]);
      const formats = [
        YES_OR_NO,
        { type: "choice", choices: ["yes", "no"] },
        {
          type: "grammar",
          syntax: "gbnf",
          grammar: 'root ::= "yes" | no\nno ::= "n" o\no ::= "o" | "x" o "x" y\ny ::= "y" y',
        },
        { type: "grammar", syntax: "lark", grammar: 'start: "yes" | NO\nNO: "no"' },
      ] as const;
      for (const responseFormat of formats) {
        const options = { messages: MESSAGES, temperature: 2, n: 20, seed: 1, maxTokens: 30, responseFormat };
        const { choices } = await read(model.chat(options));
        expect(new Set(choices.map(({ content, finishReason }) => `${content} ${finishReason}`))).toEqual(
          new Set(["yes stop", "no stop"]),
        );
        expect(choices.every(({ content, tokenIds }) => tokenIds.length <= content.length)).toBe(true);
      }
    });
  });

  test("processed log-probabilities are relative to the tokens that the grammar allows", async () => {
    await withModel({ logprobsMode: "processed" }, async (model) => {
      const { choices } = await read(
        model.chat({
          messages: MESSAGES,
          seed: 2,
          logprobs: true,
          topLogprobs: 20,
          responseFormat: { type: "regex", regex: "x" },
        }),
      );
      expect(choices[0]!.content).toBe("x");
      const end = choices[0]!.logprobs.at(-1)!;
      expect({ numLeft: end.topLogprobs.length, logprob: end.logprob }).toEqual({ numLeft: 1, logprob: 0 });
    });
  });

  test.each<[unknown, object]>([
    [{ type: "xml" }, { code: "unsupported_value", param: "responseFormat.type" }],
    [{}, { code: "missing_required_parameter", param: "responseFormat.type" }],
    [{ type: "json_schema" }, { code: "missing_required_parameter", param: "responseFormat.schema" }],
    [{ type: "regex" }, { code: "invalid_type", param: "responseFormat.regex" }],
    [
      { type: "json_schema", json_schema: {} },
      { code: "unknown_parameter", param: "responseFormat.json_schema" },
    ],
    [
      { type: "json_schema", schema: { items: { uniqueItems: true } } },
      { code: "unsupported_schema", param: "responseFormat.schema/items/uniqueItems" },
    ],
  ])("refuses %j immediately", async (responseFormat, error) => {
    await withModel({}, async (model) => {
      expect(() => model.chat({ messages: MESSAGES, responseFormat: responseFormat as { type: "text" } })).toThrow(
        expect.objectContaining(error),
      );
    });
  });
});

test("a model whose logits overflow ends a request with internal_error and accepts the next request", async () => {
  const scratch = await mkdtemp(join(tmpdir(), "overflow-"));
  const edit = (tensors: Map<string, RandomTensor>): void => void tensors.get("model.norm.weight")!.values.fill(3e38);
  const pack = join(scratch, "pack");
  await convert(await randomModel(join(scratch, "model"), { edit }), pack, { quant: "f32" });
  await withModel({ model: pack }, async (model) => {
    for (let times = 0; times < 2; times++) {
      await expect(read(model.generate({ prompt: "a", maxTokens: 3 }))).rejects.toMatchObject({
        code: "internal_error",
      });
    }
  });
  await rm(scratch, { recursive: true });
});
