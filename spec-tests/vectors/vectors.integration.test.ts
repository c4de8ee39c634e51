/**
 * Runs the vectors against this engine, and checks the vectors themselves: every file equals its generator's output, is
 * valid against the schema and is not empty, and a wrong expectation fails.
 */

import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Grammar, GrammarCache, GrammarMatcher, VocabularyTrie } from "../../engine/grammar/index.js";
import { answerGrammar, type ResponseFormat } from "../../engine/message/response-format.js";
import { generationConfig, type GenerationOptions } from "../../engine/sampling/generation-config.js";
import { philox4x32, uniform, type Counter, type Key } from "../../engine/sampling/philox.js";
import { Sampler } from "../../engine/sampling/sampler.js";
import { PLAIN, THINKING } from "../../engine/message/message-format.js";
import { StreamingDetokenizer } from "../../engine/text/streaming-detokenizer.js";
import { TextStream, type TextStreamOptions } from "../../engine/message/text-stream.js";
import { Tokenizer } from "../../engine/text/tokenizer.js";
import { InvalidLogitsError, Kernels } from "../../kernels/index.js";
import { testServer, type TestServer } from "../fixtures/server.js";
import { byteSymbols, byteTokenizerJson } from "../fixtures/byte-tokenizer.js";
import { fileText, vectorFiles } from "./generate/index.js";
import { answer, headOf } from "./scripted-engine.js";

const FOLDER = fileURLToPath(new URL("../conform/vectors/", import.meta.url));
const GENERATORS = fileURLToPath(new URL("generate/", import.meta.url));
const CHECK = fileURLToPath(new URL("check.py", import.meta.url));

/** The files, with the minimum number of cases of each. */
const FILES = {
  sampling: 300,
  philox: 50,
  stop: 80,
  reasoning: 50,
  "validation-ppio": 200,
  "validation-openai": 200,
  detokenisation: 80,
  logprobs: 40,
  "structured-output": 100,
} as const;
type FileName = keyof typeof FILES;
const NAMES = Object.keys(FILES) as FileName[];

interface Case {
  readonly id: string;
  readonly clause: string;
  readonly what: string;
  readonly expected: unknown;
}

const casesOf = (name: FileName): Case[] =>
  (JSON.parse(readFileSync(join(FOLDER, `${name}.json`), "utf8")) as { cases: Case[] }).cases;

describe("the files", () => {
  it("are what their generators write, byte for byte", () => {
    const files = vectorFiles();
    expect(files.map(({ name }) => name).sort()).toEqual([...NAMES].sort());
    for (const file of files) {
      const path = join(FOLDER, `${file.name}.json`);
      if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(path, fileText(file));
      expect(readFileSync(path, "utf8") === fileText(file), file.name).toBe(true);
    }
  });

  it("are written by generators that import nothing from the engine", () => {
    for (const file of readdirSync(GENERATORS)) {
      const imports = [
        ...readFileSync(join(GENERATORS, file), "utf8").matchAll(/\bfrom\s+"([^"]+)"|\bimport\s*\(?\s*"([^"]+)"/g),
      ];
      for (const [, from, bare] of imports) expect(from ?? bare, file).toMatch(/^\.\/[a-z-]+\.js$/);
    }
  });

  it.each(NAMES)("%s is what the schema says", (name) => {
    const validate = new Ajv2020({ strict: false, allErrors: true }).compile(
      JSON.parse(readFileSync(join(FOLDER, "schema.json"), "utf8")) as object,
    );
    const file = JSON.parse(readFileSync(join(FOLDER, `${name}.json`), "utf8")) as { cases: object[] };
    validate(file);
    expect(validate.errors).toBeNull();
    const [first, ...others] = file.cases;
    expect(validate({ ...file, cases: [{ ...first, unheardOf: 1 }, ...others] })).toBe(false);
    expect(validate({ ...file, cases: [] })).toBe(false);
  });

  it("have cases with unique ids", () => {
    const ids = NAMES.flatMap((name) => {
      const cases = casesOf(name);
      expect(cases.length, name).toBeGreaterThanOrEqual(FILES[name]);
      return cases.map(({ id }) => id);
    });
    expect(new Set(ids).size).toBe(ids.length);
  });
});

let kernels: Kernels;
const servers: Partial<Record<string, TestServer>> = {};

beforeAll(async () => {
  kernels = await Kernels.load();
  for (const dialect of ["ppio", "openai"] as const)
    servers[`validation-${dialect}`] = await testServer({ dialect, apiKeys: [KEY], maxBodyBytes: 8 << 20 });
});
afterAll(async () => {
  await Promise.all(Object.values(servers).map((server) => server?.close()));
  await kernels.close();
});

/** The check of a case for each file. It throws if the engine's result differs. */
const CHECKS: Readonly<Record<FileName, (one: never) => void | Promise<void>>> = {
  sampling: checkSampling,
  philox: checkPhilox,
  stop: checkStop,
  reasoning: checkReasoning,
  "validation-ppio": (one: ValidationCase) => checkValidation("validation-ppio", one),
  "validation-openai": (one: ValidationCase) => checkValidation("validation-openai", one),
  detokenisation: checkDetokenisation,
  logprobs: checkLogprobs,
  "structured-output": checkStructuredOutput,
};

describe.each(NAMES)("%s", (name) => {
  it.each(casesOf(name).map((one) => [one.id, one.clause, one.what, one] as const))("%s (%s): %s", async (...row) => {
    await CHECKS[name](row[3] as never);
  });

  it("a wrong expectation fails", async () => {
    const [first] = casesOf(name);
    await expect(Promise.resolve().then(() => CHECKS[name](wrong(first!) as never))).rejects.toThrow(/expected/);
  });
});

/** Returns the case with the first value of its expectation changed. */
function wrong(one: Case): Case {
  const copy = structuredClone(one);
  let place = copy.expected as Record<string, unknown>;
  for (;;) {
    const [name, value] = Object.entries(place)[0]!;
    if (typeof value === "object" && value !== null && Object.keys(value).length > 0) {
      place = value as Record<string, unknown>;
      continue;
    }
    place[name] = typeof value === "number" ? value + 1 : "wrong";
    return copy;
  }
}

type WrittenNumber = number | "NaN" | "Infinity" | "-Infinity" | "-0";
const numbers = (written: readonly WrittenNumber[]): number[] => written.map(Number);

interface WrittenParameters {
  readonly temperature?: number;
  readonly top_k?: number;
  readonly top_p?: number;
  readonly min_p?: number;
  readonly logit_bias?: Readonly<Record<string, number>>;
  readonly repetition_penalty?: number;
  readonly frequency_penalty?: number;
  readonly presence_penalty?: number;
}

function optionsOf(written: WrittenParameters = {}): GenerationOptions {
  return {
    temperature: written.temperature,
    topK: written.top_k,
    topP: written.top_p,
    minP: written.min_p,
    logitBias: new Map(Object.entries(written.logit_bias ?? {}).map(([id, bias]) => [Number(id), bias])),
    repetitionPenalty: written.repetition_penalty,
    frequencyPenalty: written.frequency_penalty,
    presencePenalty: written.presence_penalty,
  };
}

interface SamplingCase extends Case {
  readonly logits: readonly WrittenNumber[];
  readonly vocab_size: number;
  readonly no_token?: readonly number[];
  readonly prompt: readonly number[];
  readonly output: readonly number[];
  readonly parameters: WrittenParameters;
  readonly forbidden?: readonly number[];
  readonly seed: number;
  readonly choice: number;
  readonly uniform: number;
  readonly expected:
    | { readonly error: string }
    | {
        readonly token: number;
        readonly kept: readonly number[];
        readonly adjusted?: Readonly<Record<string, WrittenNumber>>;
      };
}

/** Maximum length of a list of log-probabilities. */
const LISTED_MAX = 20;

function checkSampling(one: SamplingCase): void {
  const {
    vocab_size: size,
    no_token: holes = [],
    prompt,
    output,
    parameters,
    forbidden = [],
    seed,
    choice,
    expected,
  } = one;
  const [row] = headOf(kernels, [numbers(one.logits)], size, (id) => !holes.includes(id)).project([Float32Array.of(1)]);
  const allowed = new Uint32Array(Math.ceil(size / 32)).fill(0xffffffff);
  for (const id of forbidden) allowed[id >> 5]! &= ~(1 << (id & 31));
  const drawWith = (options: GenerationOptions) => {
    const config = generationConfig({
      ...optionsOf(parameters),
      seed,
      logprobs: true,
      topLogprobs: Math.min(size, LISTED_MAX),
      ...options,
    });
    const sampler = Sampler.ofRequest(kernels, size, config, prompt, "processed")(choice);
    for (const id of output) sampler.accept(id);
    return sampler.sample(row!, forbidden.length === 0 ? null : allowed);
  };
  expect(uniform(seed, choice, output.length)).toBe(one.uniform);
  if ("error" in expected) {
    expect(() => drawWith({})).toThrow(InvalidLogitsError);
    return;
  }
  const { tokenId, topLogprobs } = drawWith({});
  expect(tokenId).toBe(expected.token);
  // Processed log-probabilities show the kept tokens, except at temperature 0, at which nothing is removed.
  if (parameters.temperature !== 0)
    expect(topLogprobs.map((top) => top.tokenId)).toEqual(expected.kept.slice(0, LISTED_MAX));
  if (expected.adjusted !== undefined) checkAdjusted(one, expected.adjusted, drawWith({ temperature: 0 }).topLogprobs);
}

/** Checks the logits after step 3, which follow from the log-probabilities of a greedy draw. */
function checkAdjusted(
  one: SamplingCase,
  adjusted: Readonly<Record<string, WrittenNumber>>,
  listed: readonly { readonly tokenId: number; readonly logprob: number }[],
): void {
  const { no_token: holes = [], forbidden = [] } = one;
  const z = numbers(one.logits).slice(0, one.vocab_size);
  for (const [id, value] of Object.entries(adjusted)) z[Number(id)] = Number(value);
  const left = z.flatMap((value, id) =>
    value === -Infinity || holes.includes(id) || forbidden.includes(id) ? [] : [value],
  );
  const largest = Math.max(...left);
  const logTotal = Math.log(left.reduce((total, value) => total + Math.exp(value - largest), 0));
  expect(listed).toHaveLength(Math.min(left.length, LISTED_MAX));
  for (const { tokenId, logprob } of listed) expectClose(logprob, Math.max(z[tokenId]! - largest - logTotal, -F32_MAX));
}

const F32_MAX = (2 - 2 ** -23) * 2 ** 127;

function expectClose(actual: number, expected: number): void {
  expect(Math.abs(actual - expected), `${actual} and ${expected}`).toBeLessThanOrEqual(
    1e-6 * Math.max(1, Math.abs(expected)),
  );
}

interface PhiloxCase extends Case {
  readonly counter: Counter;
  readonly key: Key;
  /** In decimal if a number cannot hold it. */
  readonly seed?: number | string;
  readonly choice: number;
  readonly position: number;
  readonly expected: {
    readonly words: readonly number[];
    readonly key: Key;
    readonly counter: Counter;
    readonly uniform: number;
  };
}

function checkPhilox({ counter, key, seed, choice, position, expected }: PhiloxCase): void {
  if (seed === undefined) {
    expect(philox4x32(counter, key)).toEqual(expected.words);
    return;
  }
  expect(philox4x32(expected.counter, expected.key)).toEqual(expected.words);
  expect(uniform(typeof seed === "string" ? BigInt(seed) : seed, choice, position)).toBe(expected.uniform);
}

type Piece = string | readonly number[];

interface TextCase extends Case {
  readonly pieces: readonly Piece[];
  readonly stop: readonly string[];
  readonly include: boolean;
  readonly end: "limit" | "end_token";
}

const END_TOKEN = 256;
/** Distance of the intended token's logit from the others. */
const LEAD = 50;

/** Returns a tokenizer with the given pieces, and their ids. */
function tokensOf(pieces: readonly Piece[]): { tokenizer: Tokenizer; ids: number[] } {
  const all = pieces.map((piece) => Uint8Array.from(Buffer.from(piece as string)));
  const words = [
    ...new Set(all.filter(({ length }) => length > 1).map((bytes) => Buffer.from(bytes).toString("latin1"))),
  ];
  const tokenizer = new Tokenizer(byteTokenizerJson(words.map((word) => Buffer.from(word, "latin1"))), {
    eos_token: "<|end|>",
  });
  return {
    tokenizer,
    ids: all.map((bytes) =>
      bytes.length === 1 ? bytes[0]! : END_TOKEN + 1 + words.indexOf(Buffer.from(bytes).toString("latin1")),
    ),
  };
}

/** Returns the output of the engine's text stream after each token and at the end. */
function streamOf(one: TextCase, text: Pick<TextStreamOptions, "format" | "insideReasoning" | "separateReasoning">) {
  const { tokenizer, ids } = tokensOf(one.pieces);
  const options = { stop: one.stop, includeStop: one.include, ...text };
  const stream = new TextStream({ vocabulary: tokenizer, promptIds: [], ...options });
  const deltas: { reasoning: string; content: string }[] = [];
  let stopped: string | null = null;
  for (const id of ids) {
    const { stopped: now, calls: _, ...delta } = stream.push(id);
    deltas.push(delta);
    stopped = now;
    if (stopped !== null) break;
  }
  let final = { reasoning: "", content: "" };
  if (stopped === null) {
    if (one.end === "end_token") stream.pushEnd();
    const { stopped: last, calls: _, ...rest } = stream.finish();
    [stopped, final] = [last, rest];
  }
  return { tokenizer, ids, options, deltas, final, stopped };
}

/** Returns the complete API answer, computed from rows of logits. */
function answerOf(one: TextCase, { tokenizer, ids, options }: ReturnType<typeof streamOf>) {
  const tokenIds = one.end === "end_token" ? [...ids, END_TOKEN] : ids;
  const rows = tokenIds.map((drawn) =>
    Array.from({ length: tokenizer.vocabSize }, (_, id) => (id === drawn ? LEAD : 0)),
  );
  return answer({
    kernels,
    tokenizer,
    rows,
    vocabSize: tokenizer.vocabSize,
    endTokenId: END_TOKEN,
    options: { temperature: 0 },
    text: options,
  });
}

interface StopCase extends TextCase {
  readonly expected: {
    readonly released: readonly string[];
    readonly final: string;
    readonly text: string;
    readonly stopped: string | null;
    readonly finish_reason: string;
    readonly completion_tokens: number;
  };
}

async function checkStop(one: StopCase): Promise<void> {
  const { expected } = one;
  const streamed = streamOf(one, { format: PLAIN, insideReasoning: false, separateReasoning: false });
  const { deltas, final, stopped } = streamed;
  expect({ released: deltas.map(({ content }) => content), final: final.content, stopped }).toEqual({
    released: expected.released,
    final: expected.final,
    stopped: expected.stopped,
  });
  const { choices, usage } = await answerOf(one, streamed);
  expect(choices[0]).toMatchObject({ message: { content: expected.text }, finish_reason: expected.finish_reason });
  expect(usage.completion_tokens).toBe(expected.completion_tokens);
}

interface ReasoningCase extends TextCase {
  readonly opened: boolean;
  readonly separate: boolean;
  readonly expected: {
    readonly deltas?: readonly { readonly reasoning: string; readonly content: string }[];
    readonly final?: { readonly reasoning: string; readonly content: string };
    readonly reasoning_content?: string | null;
    readonly content: string;
    readonly reasoning_tokens: number;
    readonly completion_tokens: number;
    readonly stopped: string | null;
    readonly finish_reason: string;
  };
}

async function checkReasoning(one: ReasoningCase): Promise<void> {
  const { opened, separate, expected } = one;
  const streamed = streamOf(one, { format: THINKING, insideReasoning: opened, separateReasoning: separate });
  const { deltas, final, stopped } = streamed;
  if (separate) expect({ deltas, final }).toEqual({ deltas: expected.deltas, final: expected.final });
  expect([...deltas, final].map(({ content }) => content).join("")).toBe(expected.content);
  expect(stopped).toBe(expected.stopped);
  const { choices, usage } = await answerOf(one, streamed);
  const { message, finish_reason } = choices[0]!;
  expect({ content: message.content, reasoning_content: message.reasoning_content, finish_reason }).toEqual({
    content: expected.content,
    reasoning_content: expected.reasoning_content,
    finish_reason: expected.finish_reason,
  });
  expect(usage).toMatchObject({
    completion_tokens: expected.completion_tokens,
    completion_tokens_details: { reasoning_tokens: expected.reasoning_tokens },
  });
}

interface ValidationCase extends Case {
  readonly request?: object;
  readonly body?: string | readonly BodyPart[];
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string | null>>;
  readonly expected: {
    readonly status: number;
    readonly type?: string;
    readonly code?: string;
    readonly param?: string | null;
  };
}

type BodyPart = string | { readonly repeat: string; readonly times: number } | { readonly bytes: readonly number[] };

const KEY = "vectors";
const MODEL = "tiny";

async function checkValidation(
  name: FileName,
  { request, body, method = "POST", path = "/v1/chat/completions", headers = {}, expected }: ValidationCase,
): Promise<void> {
  const given = Object.entries({
    "content-type": "application/json",
    authorization: `Bearer ${KEY}`,
    ...headers,
  }).filter((entry): entry is [string, string] => entry[1] !== null);
  const bytes = request === undefined ? bytesOf(body ?? "") : bytesOf(JSON.stringify(request));
  const response = await fetch(`${servers[name]!.url}${path}`, {
    method,
    headers: given,
    ...(method === "GET" ? {} : { body: bytes }),
  });
  const text = await response.text();
  if (expected.status === 200) {
    expect(response.status, text).toBe(expected.status);
    return;
  }
  const { error } = JSON.parse(text) as { error?: Record<string, unknown> };
  expect({ status: response.status, ...error }, text).toEqual({
    ...expected,
    message: expect.stringMatching(/./) as string,
  });
}

function bytesOf(body: string | readonly BodyPart[]): Uint8Array<ArrayBuffer> {
  const parts = typeof body === "string" ? [body] : body;
  const chunks = parts.map((part) => {
    if (typeof part === "string") return Buffer.from(part.replaceAll("$MODEL", MODEL));
    return "bytes" in part ? Buffer.from(part.bytes) : Buffer.from(part.repeat.repeat(part.times));
  });
  return Uint8Array.from(Buffer.concat(chunks));
}

type Spelling = string | { readonly special: string } | { readonly added: string };

interface DetokenisationCase extends Case {
  readonly decoder: { readonly type: "byte_level" | "byte_fallback" | "metaspace"; readonly leading_spaces: number };
  readonly begin: string | null;
  readonly prompt: readonly Spelling[];
  readonly output: readonly Spelling[];
  readonly expected: { readonly deltas: readonly string[]; readonly final: string; readonly text: string };
}

function checkDetokenisation({ decoder, begin, prompt, output, expected }: DetokenisationCase): void {
  const keys = [...new Set([...prompt, ...output].map((one) => JSON.stringify(one)))];
  const spellings = keys.map((key) => JSON.parse(key) as Spelling);
  const ids = (tokens: readonly Spelling[]): number[] => tokens.map((one) => idOf(one));
  const tokenizer = new Tokenizer(
    tokenizerJson(decoder, spellings),
    begin === null
      ? {}
      : {
          bos_token: begin,
          add_bos_token: spellings.some((one) => typeof one === "object" && "special" in one && one.special === begin),
        },
  );
  const idOf = (one: Spelling): number => {
    const name = typeof one === "string" ? one : "special" in one ? one.special : one.added;
    return typeof one === "string" ? vocabOf(decoder.type, spellings).indexOf(name) : tokenizer.addedTokenId(name)!;
  };
  const detokenizer = new StreamingDetokenizer(tokenizer, ids(prompt));
  expect({ deltas: ids(output).map((id) => detokenizer.push(id)), final: detokenizer.finish() }).toEqual({
    deltas: expected.deltas,
    final: expected.final,
  });
  expect(expected.deltas.join("") + expected.final).toBe(expected.text);
}

/**
 * Returns the ordinary tokens of a vocabulary with the given spellings, including all bytes if the decoder needs them.
 */
function vocabOf(type: DetokenisationCase["decoder"]["type"], spellings: readonly Spelling[]): string[] {
  const hex = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
  const bytes =
    type === "byte_level"
      ? byteSymbols()
      : type === "byte_fallback"
        ? Array.from({ length: 256 }, (_, byte) => hex(byte))
        : [];
  return [...new Set([...bytes, ...spellings.filter((one) => typeof one === "string")])];
}

function tokenizerJson(
  { type, leading_spaces: spaces }: DetokenisationCase["decoder"],
  spellings: readonly Spelling[],
): object {
  const vocab = vocabOf(type, spellings);
  const named = spellings.filter((one) => typeof one !== "string");
  const added = named.map((one, index) => {
    const special = "special" in one;
    return {
      id: vocab.length + index,
      content: special ? one.special : one.added,
      special,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    };
  });
  const steps = [
    { type: "Replace", pattern: { String: "\u2581" }, content: " " },
    { type: "ByteFallback" },
    { type: "Fuse" },
    { type: "Strip", content: " ", start: spaces, stop: 0 },
  ];
  const decoders = {
    byte_level: { type: "ByteLevel" },
    byte_fallback: { type: "Sequence", decoders: steps },
    metaspace: { type: "Metaspace", replacement: "\u2581", prepend_scheme: spaces === 0 ? "never" : "always" },
  };
  return {
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: type === "byte_level" ? { type: "ByteLevel", add_prefix_space: false, use_regex: false } : null,
    post_processor: null,
    decoder: decoders[type],
    model: {
      type: "BPE",
      vocab: Object.fromEntries(vocab.map((token, id) => [token, id])),
      merges: [],
      byte_fallback: type === "byte_fallback",
    },
  };
}

interface Alternative {
  readonly id: number;
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[];
}

interface LogprobsCase extends Case {
  readonly logits: readonly WrittenNumber[];
  readonly vocab_size: number;
  readonly no_token?: readonly number[];
  readonly tokens: readonly (readonly number[] | { readonly special: string })[];
  readonly drawn: number;
  readonly top_logprobs: number;
  readonly parameters?: WrittenParameters;
  readonly expected: Alternative & { readonly top_logprobs: readonly Alternative[] };
}

async function checkLogprobs({
  logits,
  vocab_size: vocabSize,
  no_token: holes = [],
  tokens,
  drawn,
  top_logprobs: topLogprobs,
  parameters,
  expected,
}: LogprobsCase): Promise<void> {
  const symbols = byteSymbols();
  const named = tokens.map((token, id) => ({
    id,
    name: "special" in token ? token.special : token.map((byte) => symbols[byte]).join(""),
    special: "special" in token,
  }));
  const present = named.filter(({ id }) => !holes.includes(id));
  const others = symbols.filter((symbol) => !present.some(({ name }) => name === symbol));
  const vocab = [
    ...present.filter(({ special }) => !special).map(({ id, name }) => [name, id] as const),
    ...others.map((symbol, index) => [symbol, logits.length + index] as const),
  ];
  const added = present
    .filter(({ special }) => special)
    .map(({ id, name }) => ({
      id,
      content: name,
      special: true,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    }));
  const json = byteTokenizerJson() as { model: object };
  const tokenizer = new Tokenizer(
    { ...json, added_tokens: added, model: { ...json.model, vocab: Object.fromEntries(vocab) } },
    {},
  );
  const options = { ...optionsOf(parameters), logprobs: true, topLogprobs };
  const { choices } = await answer({ kernels, tokenizer, rows: [numbers(logits)], vocabSize, options, drawn });
  const [entry, ...rest] = choices[0]!.logprobs!.content;
  expect(rest).toEqual([]);
  const textOf = ({ token, bytes }: Pick<Alternative, "token" | "bytes">): object => ({ token, bytes });
  expect(textOf(entry!)).toEqual(textOf(expected));
  expect(entry!.top_logprobs.map(textOf)).toEqual(expected.top_logprobs.map(textOf));
  expectLogprob(entry!.logprob, expected.logprob);
  for (const [index, { logprob }] of entry!.top_logprobs.entries())
    expectLogprob(logprob, expected.top_logprobs[index]!.logprob);
  expect(named.find(({ id }) => id === expected.id)?.id).toBe(drawn);
}

/** Checks that a log-probability is a float32, at most 0 and not -0. */
function expectLogprob(actual: number, expected: number): void {
  expect(Math.fround(actual)).toBe(actual);
  expect(actual <= 0 && !Object.is(actual, -0)).toBe(true);
  expectClose(actual, expected);
}

interface StructuredOutputCase extends Case {
  readonly format: ResponseFormat;
  readonly expected:
    | { readonly error: string; readonly pointer: string }
    | {
        readonly legal: readonly string[];
        readonly illegal: readonly string[];
        readonly begins?: readonly string[];
        readonly dead?: readonly string[];
      };
}

/** Places of what is compiled, by the type of the format. */
const PLACES: Readonly<Record<ResponseFormat["type"], string>> = {
  text: "responseFormat",
  json_object: "responseFormat.schema",
  json_schema: "responseFormat.schema",
  regex: "responseFormat.regex",
  choice: "responseFormat.choices",
  grammar: "responseFormat.grammar",
  structural_tag: "responseFormat",
};

const GRAMMARS = new GrammarCache(1 << 24);
const BYTES = VocabularyTrie.build([...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)), null]);

function checkStructuredOutput({ format, expected }: StructuredOutputCase): void {
  if ("error" in expected) {
    const param = PLACES[format.type] + expected.pointer;
    expect(() => answerGrammar(format, false, GRAMMARS)).toThrow(
      expect.objectContaining({ code: expected.error, param }),
    );
    return;
  }
  /** Follows a text through the masks, byte by byte. */
  const walk = (text: string): "whole" | "beginning" | "dead" => {
    const matcher = new GrammarMatcher(Grammar.fromData(answerGrammar(format, false, GRAMMARS)!.data), BYTES, [
      END_TOKEN,
    ]);
    for (const byte of Buffer.from(text)) {
      if (((matcher.allowed()[byte >> 5]! >> (byte & 31)) & 1) === 0) return "dead";
      matcher.acceptToken(byte);
    }
    const mayEnd = ((matcher.allowed()[END_TOKEN >> 5]! >> (END_TOKEN & 31)) & 1) === 1;
    return mayEnd ? "whole" : "beginning";
  };
  const walks = (texts: readonly string[] = []) => texts.map((text) => [text, walk(text)]);
  const all = (texts: readonly string[] = [], end: string) => texts.map((text) => [text, end]);
  expect(walks(expected.legal)).toEqual(all(expected.legal, "whole"));
  for (const [text, end] of walks(expected.illegal)) expect(end, `expected no whole answer: ${text}`).not.toBe("whole");
  for (const [text, end] of walks(expected.begins)) expect(end, `expected a beginning: ${text}`).not.toBe("dead");
  expect(walks(expected.dead)).toEqual(all(expected.dead, "dead"));
}

const hasPython = spawnSync("python3", ["--version"]).status === 0;

describe.skipIf(!hasPython)("check.py, where there is python3", () => {
  const lastLine = (text: string): string | undefined => text.trimEnd().split("\n").at(-1);
  const numCases = (["sampling", "philox", "stop", "reasoning"] as const).reduce(
    (count, name) => count + casesOf(name).length,
    0,
  );

  it("passes", () => {
    expect(lastLine(execFileSync("python3", [CHECK], { encoding: "utf8" }))).toBe(`${numCases} passed, 0 failed`);
  });

  it("fails for a wrong expectation and for a file without cases", () => {
    const folder = mkdtempSync(join(tmpdir(), "vectors-"));
    cpSync(FOLDER, folder, { recursive: true });
    const run = (name: FileName, cases: readonly unknown[]): { status: number | null; last: string | undefined } => {
      writeFileSync(join(folder, `${name}.json`), JSON.stringify({ cases }));
      const { status, stdout } = spawnSync("python3", [CHECK, folder], { encoding: "utf8" });
      cpSync(join(FOLDER, `${name}.json`), join(folder, `${name}.json`));
      return { status, last: lastLine(stdout) };
    };
    for (const name of ["sampling", "philox", "stop", "reasoning"] as const) {
      const [first, ...others] = casesOf(name);
      expect(run(name, [...others, wrong(first!)]), name).toEqual({
        status: 1,
        last: `${numCases - 1} passed, 1 failed`,
      });
      expect(run(name, []), name).toEqual({ status: 1, last: `${numCases - others.length - 1} passed, 1 failed` });
    }
    rmSync(folder, { recursive: true });
  });
});
