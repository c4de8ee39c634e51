/**
 * Tests of the scheduler without a model: a driver plays the engine, and checks after every step who got places, who
 * waits, and which pages are reserved.
 */

import { ok } from "node:assert";

import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";

import { numCases } from "../../spec-tests/fixtures/property-size.js";
import { Kernels } from "../../kernels/index.js";
import { generationConfig } from "../sampling/generation-config.js";
import type { PrefixReuse } from "../runner/model-runner.js";
import { KVCache } from "./kv-cache.js";
import { Scheduler } from "./scheduler.js";
import type { Request, Sequence } from "./sequence.js";

const PAGE_SIZE = 4;

let kernels: Kernels;
beforeAll(async () => {
  kernels = await Kernels.load();
});

interface Ask {
  readonly numPromptTokens: number;
  /** Tokens of the prompt; by default the first one differs from that of every other prompt. */
  readonly promptIds?: readonly number[];
  readonly n: number;
  /** Tokens that each choice draws; the limit of the request is `maxTokens`. */
  readonly lengths: readonly number[];
  readonly maxTokens: number;
  /** Steps after which a sequence is ready for its first token, its second one, and so on in turns. */
  readonly delays?: readonly number[];
}

interface DriverOptions {
  readonly numPlaces: number;
  readonly maxPages: number;
  readonly reuse?: PrefixReuse;
  readonly maxBlocks?: number;
}

/** Plays the engine. Checks what must hold after every step. */
class Driver {
  readonly cache: KVCache;
  readonly scheduler: Scheduler;
  readonly numPlaces: number;
  readonly blockSize: number;
  /** Number of the current step. */
  step = 0;
  /** Choices of each request in the order in which they ended. */
  readonly ended = new Map<Request, number[]>();
  readonly #asks = new Map<Request, Ask>();
  /** Steps in which sequences become ready. */
  readonly #readyAt = new Map<Sequence, number>();
  readonly #behind = new Set<Request>();
  readonly #mostRunning = new Map<Request, number>();
  readonly #waitedRequests = new Map<Request, number>();
  readonly #waitedSequences = new Map<Sequence, number>();
  #numCreated = 0;

  constructor({ numPlaces, maxPages, reuse = "token", maxBlocks = 1 }: DriverOptions) {
    this.cache = new KVCache(kernels, { pageSize: PAGE_SIZE, pageByteLength: PAGE_SIZE * 4, maxPages, reuse });
    this.blockSize = reuse === "token" ? 2 * PAGE_SIZE : PAGE_SIZE;
    this.scheduler = new Scheduler(this.cache, { blockSize: this.blockSize, maxBlocks, numPlaces });
    this.numPlaces = numPlaces;
  }

  add(ask: Ask): Request {
    const { numPromptTokens, n, maxTokens } = ask;
    const ownIds = Array.from({ length: numPromptTokens }, (_, i) => (i === 0 ? this.#numCreated : i % 3));
    const tokenIds = ask.promptIds ?? ownIds;
    this.#numCreated++;
    const request: Request = {
      prompt: { tokenIds, table: this.cache.createTable(), numCached: 0, lastHidden: null },
      config: generationConfig({ n }),
      maxTokens,
      createSequence: (choice) => {
        const table = request.prompt.table.fork();
        const sequence = { request, choice, table, outputIds: [], pending: [] } as unknown as Sequence;
        this.#delay(sequence);
        return sequence;
      },
      nextChoice: 0,
      running: new Set(),
      numChoicesReserved: 0,
      numCompletionTokens: 0,
      numReasoningTokens: 0,
      canceled: false,
      output: Object.defineProperty({}, "isBehind", { get: () => this.#behind.has(request) }) as Request["output"],
      startedAtMs: 0,
      promptDoneAtMs: 0,
    };
    this.#asks.set(request, ask);
    this.ended.set(request, []);
    this.scheduler.add(request);
    return request;
  }

  setBehind(request: Request, isBehind: boolean): void {
    if (isBehind) this.#behind.add(request);
    else this.#behind.delete(request);
  }

  /** Runs one step. Returns the sequences that got places. */
  run(): Sequence[] {
    this.step++;
    const block = this.scheduler.nextPromptBlocks();
    if (block !== null) {
      const { table, tokenIds } = block.request.prompt;
      table.extend(block.tokenIds.length);
      table.insertPrefix(tokenIds.slice(0, table.numPositions));
      if (table.numPositions === tokenIds.length) block.request.prompt.lastHidden = new Float32Array(1);
    }
    const drawing = this.scheduler
      .requests()
      .filter((request) => request.prompt.lastHidden !== null && !request.canceled && !this.#behind.has(request));
    const before = new Map(drawing.map((request) => [request, new Set(request.running)]));
    const sequences = this.scheduler.nextSequences((sequence) => this.#isReady(sequence));
    this.#checkPlaces(sequences, before);
    for (const sequence of sequences) this.#draw(sequence);
    this.#checkPages();
    return sequences;
  }

  /** Runs until no request is left. */
  finish(): void {
    for (const start = this.step; this.scheduler.hasWork;) {
      this.run();
      ok(this.step - start < 10_000);
    }
  }

  #isReady(sequence: Sequence): boolean {
    return this.#readyAt.get(sequence)! <= this.step;
  }

  /** Lets a sequence wait for its next token as long as its request asks for. */
  #delay(sequence: Sequence): void {
    const { delays = [0] } = this.#asks.get(sequence.request)!;
    this.#readyAt.set(sequence, this.step + delays[sequence.outputIds.length % delays.length]!);
  }

  #draw(sequence: Sequence): void {
    const { request, table, outputIds, choice } = sequence;
    if (outputIds.length > 0) table.extend(1);
    outputIds.push(outputIds.length % 5);
    this.#delay(sequence);
    const { lengths } = this.#asks.get(request)!;
    if (outputIds.length < lengths[choice % lengths.length]!) return;
    this.scheduler.finish(sequence);
    this.ended.get(request)!.push(choice);
  }

  /** @param before requests that may draw tokens, with the sequences that they had before the step */
  #checkPlaces(sequences: readonly Sequence[], before: ReadonlyMap<Request, ReadonlySet<Sequence>>): void {
    const drawing = new Set(sequences);
    ok(sequences.length <= this.numPlaces);
    ok(drawing.size === sequences.length);
    const requests = [...before.keys()];
    const placesOf = (request: Request): number => sequences.filter((one) => one.request === request).length;
    for (const sequence of sequences) {
      ok(before.has(sequence.request));
      ok(this.#isReady(sequence));
    }
    const most = Math.max(0, ...requests.map(placesOf));
    for (const request of requests) {
      const numPlaces = placesOf(request);
      const running = before.get(request)!;
      this.#mostRunning.set(request, Math.max(request.running.size, this.#mostRunning.get(request) ?? 0));
      const isReached = numPlaces > 0 || request.running.size > running.size;
      // A choice starts only if every sequence of its request has a place.
      if (request.running.size > running.size) for (const one of running) ok(drawing.has(one));
      // A place is free only if no ready sequence lacks one, and nobody has two more than a request that could use one.
      if ([...request.running].some((one) => this.#isReady(one) && !drawing.has(one))) {
        ok(sequences.length === this.numPlaces);
        ok(numPlaces >= most - 1);
      }
      const isWaiting = !isReached && (running.size === 0 || [...running].some((one) => this.#isReady(one)));
      const numWaited = this.#waitedRequests.get(request) ?? 0;
      this.#waitedRequests.set(request, isReached ? 0 : numWaited + (isWaiting ? 1 : 0));
      for (const one of running) {
        const waited = numPlaces > 0 && this.#isReady(one) ? 1 : 0;
        const total = drawing.has(one) ? 0 : (this.#waitedSequences.get(one) ?? 0) + waited;
        this.#waitedSequences.set(one, total);
        // The sequences of a request get its places in turns.
        ok(total < this.#mostRunning.get(request)!);
      }
    }
    // The requests get places in turns.
    const numAhead = this.ended.size;
    for (const request of requests) ok(this.#waitedRequests.get(request)! <= Math.ceil(numAhead / this.numPlaces));
  }

  /** Checks that the reserved pages are those of the admitted requests, and that no more are used. */
  #checkPages(): void {
    const { maxPages } = this.cache.shape;
    const numReserved = this.scheduler.requests().reduce((sum, request) => {
      const { prompt, maxTokens, numChoicesReserved } = request;
      if (numChoicesReserved === 0) return sum;
      ok(numChoicesReserved >= request.running.size);
      const numShared = Math.floor(prompt.tokenIds.length / PAGE_SIZE);
      const numOwn = Math.ceil((prompt.tokenIds.length + maxTokens) / PAGE_SIZE) - numShared;
      return sum + Math.ceil(prompt.tokenIds.length / PAGE_SIZE) + numChoicesReserved * numOwn;
    }, 0);
    ok(this.cache.numPagesUsed <= numReserved);
    ok(this.cache.reserve(maxPages - numReserved));
    ok(!this.cache.reserve(1));
    this.cache.unreserve(maxPages - numReserved);
  }
}

const ask = (changes: Partial<Ask> = {}): Ask => ({ numPromptTokens: 3, n: 1, lengths: [8], maxTokens: 8, ...changes });

describe("places", () => {
  test("all go to a request that is alone, and are shared when others come", () => {
    const driver = new Driver({ numPlaces: 16, maxPages: 5000 });
    const numOf = (sequences: Sequence[], request: Request): number =>
      sequences.filter((one) => one.request === request).length;
    const big = driver.add(ask({ n: 128, lengths: [100], maxTokens: 100 }));
    expect(driver.run().map(({ choice }) => choice)).toEqual([...Array(16).keys()]);
    expect(driver.run()).toHaveLength(16);

    const newcomer = driver.add(ask({ lengths: [40], maxTokens: 40 }));
    const shared = driver.run();
    // The newcomer's first token is drawn in the step that computes its prompt.
    expect([numOf(shared, big), numOf(shared, newcomer)]).toEqual([15, 1]);
    expect(shared.some(({ request, outputIds }) => request === newcomer && outputIds.length === 1)).toBe(true);
    for (let step = 2; step <= 40; step++) expect(numOf(driver.run(), newcomer)).toBe(1);
    expect(driver.ended.get(newcomer)).toEqual([0]);
    expect(driver.run().map(({ request }) => request)).toEqual(Array(16).fill(big));

    const second = driver.add(ask({ n: 20, lengths: [30], maxTokens: 30 }));
    const halves = driver.run();
    expect([numOf(halves, big), numOf(halves, second)]).toEqual([8, 8]);
    expect(big.running.size).toBe(16);
    expect(second.running.size).toBe(8);
  });

  test("alternate between requests that are more than the places", () => {
    const driver = new Driver({ numPlaces: 2, maxPages: 1000 });
    const requests = Array.from({ length: 5 }, () => driver.add(ask({ n: 3, lengths: [6], maxTokens: 6 })));
    for (let step = 0; step < 5; step++) driver.run();
    const counts = new Map(requests.map((request) => [request, 0]));
    for (let step = 0; step < 10; step++)
      for (const { request } of driver.run()) counts.set(request, counts.get(request)! + 1);
    expect([...counts.values()]).toEqual([4, 4, 4, 4, 4]);
    driver.finish();
  });

  test("of a request whose reader is behind go to others; it continues afterwards", () => {
    const driver = new Driver({ numPlaces: 4, maxPages: 1000 });
    const [one, two] = [0, 1].map(() => driver.add(ask({ n: 6, lengths: [20], maxTokens: 20 })));
    driver.run();
    driver.run();
    driver.setBehind(one!, true);
    for (let step = 0; step < 5; step++) expect(driver.run().map(({ request }) => request)).toEqual(Array(4).fill(two));
    expect(one!.running.size).toBeGreaterThan(0);
    driver.setBehind(one!, false);
    expect(driver.run().filter(({ request }) => request === one)).toHaveLength(2);
    driver.finish();
    expect(driver.ended.get(one!)!.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test("of sequences that are not ready go to others, and their request starts no further choice meanwhile", () => {
    const driver = new Driver({ numPlaces: 4, maxPages: 1000 });
    const slow = driver.add(ask({ n: 6, lengths: [20], maxTokens: 20, delays: [0, 3] }));
    expect(driver.run()).toHaveLength(4);
    expect(driver.run()).toEqual([]);
    const other = driver.add(ask({ n: 6, lengths: [20], maxTokens: 20 }));
    expect(driver.run().map(({ request }) => request)).toEqual(Array(4).fill(other));
    expect(slow.running.size).toBe(4);
    expect(driver.run().filter(({ request }) => request === slow)).toHaveLength(2);
    driver.finish();
    expect(driver.ended.get(slow)!.toSorted()).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test("are not taken by a choice that is not ready when it starts; the next one starts when it draws", () => {
    const driver = new Driver({ numPlaces: 4, maxPages: 1000 });
    const slow = driver.add(ask({ n: 4, delays: [2] }));
    expect([driver.run(), driver.run()]).toEqual([[], []]);
    expect(slow.running.size).toBe(1);
    expect(driver.run().map(({ choice }) => choice)).toEqual([0]);
    expect(slow.running.size).toBe(2);
    driver.finish();
    expect(driver.ended.get(slow)).toHaveLength(4);
  });

  test("nothing runs while all readers are behind", () => {
    const driver = new Driver({ numPlaces: 4, maxPages: 1000 });
    const request = driver.add(ask());
    driver.run();
    driver.setBehind(request, true);
    expect(driver.run()).toEqual([]);
    expect(driver.scheduler.nextPromptBlocks()).toBeNull();
    expect(driver.scheduler.hasWork).toBe(true);
  });
});

describe("memory", () => {
  /** A prompt of 4 tokens and 12 more: one page for the prompt and three for each choice. */
  const FOUR_PAGES = ask({ numPromptTokens: 4, lengths: [12], maxTokens: 12 });

  test("that a request could use for further choices goes to requests that wait for it", () => {
    // Room for a prompt and three choices.
    const driver = new Driver({ numPlaces: 16, maxPages: 10 });
    const big = driver.add({ ...FOUR_PAGES, n: 50 });
    driver.run();
    expect(big.running.size).toBe(3);
    const newcomers = Array.from({ length: 4 }, () => driver.add(FOUR_PAGES));
    for (let step = 0; step < 12; step++) driver.run();
    // The three choices have ended. The big request keeps the reservation of one choice, and others get the rest.
    expect(driver.ended.get(big)).toEqual([0, 1, 2]);
    for (let step = 0; step < 14; step++) driver.run();
    expect(newcomers.map((request) => driver.ended.get(request)!.length)).toEqual([1, 0, 0, 0]);
    expect(driver.ended.get(big)).toEqual([0, 1, 2, 3]);
    driver.finish();
    expect(driver.ended.get(big)).toHaveLength(50);
    expect(newcomers.every((request) => driver.ended.get(request)!.length === 1)).toBe(true);
  });

  test("that a choice gives back is kept for a request that waits, until it is enough", () => {
    const driver = new Driver({ numPlaces: 16, maxPages: 10 });
    const big = driver.add({ ...FOUR_PAGES, n: 50, lengths: [4, 8, 12] });
    driver.run();
    // The newcomer needs a page more than one choice gives back.
    const newcomer = driver.add(FOUR_PAGES);
    for (let step = 0; step < 6; step++) driver.run();
    expect([big.running.size, newcomer.numChoicesReserved]).toEqual([2, 0]);
    for (let step = 0; step < 2; step++) driver.run();
    expect([big.running.size, newcomer.numChoicesReserved]).toEqual([1, 1]);
    driver.finish();
  });

  test("is never taken from a request with many choices, however many others come", () => {
    const driver = new Driver({ numPlaces: 16, maxPages: 10 });
    const big = driver.add({ ...FOUR_PAGES, n: 5 });
    driver.run();
    for (let step = 0; step < 200; step++) {
      if (driver.scheduler.requests().length < 6) driver.add(FOUR_PAGES);
      driver.run();
    }
    expect(driver.ended.get(big)).toEqual([0, 1, 2, 3, 4]);
  });

  test("is given out in order of arrival, also if a later request would fit", () => {
    const driver = new Driver({ numPlaces: 16, maxPages: 8 });
    const first = driver.add(FOUR_PAGES);
    driver.run();
    const large = driver.add({ ...FOUR_PAGES, maxTokens: 20 });
    const small = driver.add(ask({ numPromptTokens: 1, lengths: [1], maxTokens: 1 }));
    driver.run();
    expect([first, large, small].map(({ numChoicesReserved }) => numChoicesReserved)).toEqual([1, 0, 0]);
    while (driver.ended.get(first)!.length === 0) driver.run();
    driver.run();
    expect([large, small].map(({ numChoicesReserved }) => numChoicesReserved)).toEqual([1, 1]);
  });

  test("of canceled requests is given back: waiting, computing the prompt, running", () => {
    const driver = new Driver({ numPlaces: 2, maxPages: 14 });
    const running = driver.add({ ...FOUR_PAGES, n: 4 });
    driver.run();
    const prompt = driver.add(ask({ numPromptTokens: 24, maxTokens: 1, lengths: [1] }));
    const waiting = driver.add(FOUR_PAGES);
    driver.run();
    expect([running, prompt, waiting].map(({ numChoicesReserved }) => numChoicesReserved)).toEqual([2, 1, 0]);
    for (const request of [waiting, prompt, running]) {
      request.canceled = true;
      driver.run();
      expect(driver.scheduler.requests()).not.toContain(request);
    }
    expect(driver.scheduler.hasWork).toBe(false);
    expect(driver.cache.numPagesUsed).toBe(0);
    expect(driver.cache.reserve(14)).toBe(true);
  });

  test("that can never suffice is known before", () => {
    const { scheduler } = new Driver({ numPlaces: 1, maxPages: 4 });
    expect(scheduler.canEverFit(4, 12)).toBe(true);
    expect(scheduler.canEverFit(4, 13)).toBe(false);
    // The last page of the prompt, which is not full, is copied by the choice.
    expect(scheduler.canEverFit(5, 7)).toBe(true);
    expect(scheduler.canEverFit(5, 8)).toBe(false);
  });
});

test("a choice that cannot be created costs its request nothing but the reservation, until it is removed", () => {
  const driver = new Driver({ numPlaces: 4, maxPages: 100 });
  const other = driver.add(ask());
  const failing = driver.add(ask({ n: 3 }));
  const { createSequence } = failing;
  Object.assign(failing, {
    createSequence: (choice: number) => {
      if (choice < 1) return createSequence(choice);
      failing.canceled = true;
      return null;
    },
  });
  driver.run();
  expect(driver.run().map(({ request }) => request)).toEqual([other, failing]);
  expect(failing.numChoicesReserved).toBe(2);
  driver.run();
  expect(driver.scheduler.requests()).toEqual([other]);
  driver.finish();
  expect(driver.cache.numPagesUsed).toBe(0);
});

test("prompts take turns block by block, and reuse what another has computed meanwhile", () => {
  const driver = new Driver({ numPlaces: 2, maxPages: 100 });
  const [one, two] = [20, 9].map((numPromptTokens) => driver.add(ask({ numPromptTokens })));
  const blocks = Array.from({ length: 6 }, () => {
    const block = driver.scheduler.nextPromptBlocks();
    if (block === null) return null;
    const { table, tokenIds } = block.request.prompt;
    table.extend(block.tokenIds.length);
    table.insertPrefix(tokenIds.slice(0, table.numPositions));
    if (table.numPositions === tokenIds.length) block.request.prompt.lastHidden = new Float32Array(1);
    driver.scheduler.nextSequences(() => true);
    return [block.request === one ? "one" : "two", block.tokenIds.length];
  });
  expect(blocks).toEqual([["one", 8], ["two", 8], ["one", 8], ["two", 1], ["one", 4], null]);
  expect(two!.prompt.numCached).toBe(0);
});

test("a prompt runs several blocks at once while it is alone", () => {
  const driver = new Driver({ numPlaces: 4, maxPages: 1000, reuse: "block", maxBlocks: 3 });
  const long = driver.add(ask({ numPromptTokens: 7 * PAGE_SIZE - 1 }));
  const [first, second] = [driver.scheduler.nextPromptBlocks()!, driver.scheduler.nextPromptBlocks()!];
  expect([first, second].map(({ tokenIds }) => tokenIds.length)).toEqual([3 * PAGE_SIZE, 3 * PAGE_SIZE]);
  const short = driver.add(ask({ numPromptTokens: 1, lengths: [3], maxTokens: 3 }));
  driver.run();
  driver.run();
  expect(short.running.size).toBe(1);
  const before = long.prompt.table.numPositions;
  driver.run();
  expect(long.prompt.table.numPositions - before).toBe(PAGE_SIZE);
  expect(driver.scheduler.hasPrompts).toBe(true);
  driver.finish();
  expect(driver.scheduler.hasPrompts).toBe(false);
  expect(long.prompt.table.numPositions).toBe(0);
});

test("several prompts run one block each in turns", () => {
  const driver = new Driver({ numPlaces: 4, maxPages: 1000, reuse: "block", maxBlocks: 3 });
  const prompts = [0, 1].map(() => driver.add(ask({ numPromptTokens: 5 * PAGE_SIZE })));
  const positions = (): number[] => prompts.map(({ prompt }) => prompt.table.numPositions);
  driver.run();
  expect(positions()).toEqual([PAGE_SIZE, 0]);
  driver.run();
  expect(positions()).toEqual([PAGE_SIZE, PAGE_SIZE]);
  driver.finish();
});

test("prompts that begin alike are computed once, whoever is ahead", () => {
  const driver = new Driver({ numPlaces: 2, maxPages: 100 });
  const promptIds = Array.from({ length: 24 }, (_, index) => index);
  const [one, two] = [24, 20].map((length) => driver.add(ask({ promptIds: promptIds.slice(0, length) })));
  const last = driver.add(ask({ promptIds: promptIds.slice(0, 9) }));
  driver.finish();
  // Blocks of 8 tokens are computed by one, two and one; a prompt computes its last token itself.
  expect([one, two, last].map((request) => request!.prompt.numCached)).toEqual([8, 8 + 3, 8]);
});

test.each([
  // A table holds 12 tokens; keys and values of the last drawn token were never computed.
  ["token", 12],
  ["block", 4],
] as const)("%s: a prompt that continues an answer reuses %i tokens", (reuse, numCached) => {
  const driver = new Driver({ numPlaces: 1, maxPages: 100, reuse });
  const promptIds = [7, 7, 7, 7];
  driver.add(ask({ promptIds, lengths: [9], maxTokens: 9 }));
  driver.finish();
  const answer = [0, 1, 2, 3, 4, 0, 1, 2, 3];
  const next = driver.add(ask({ promptIds: [...promptIds, ...answer, 5] }));
  driver.finish();
  expect(next.prompt.numCached).toBe(numCached);
});

test("refuses pages that are not blocks, if only blocks are reused", () => {
  const cache = new KVCache(kernels, { pageSize: 4, pageByteLength: 16, maxPages: 4, reuse: "block" });
  expect(() => new Scheduler(cache, { blockSize: 8, maxBlocks: 1, numPlaces: 1 })).toThrow(
    /pages and prompt blocks differ/,
  );
});

test("a sequence cannot finish twice", () => {
  const driver = new Driver({ numPlaces: 1, maxPages: 10 });
  driver.add(ask({ lengths: [2] }));
  const [sequence] = driver.run();
  driver.run();
  expect(() => driver.scheduler.finish(sequence!)).toThrow(/that was not running/);
});

test.each<PrefixReuse>(["token", "block"])(
  "%s: whatever comes, leaves, pauses and is not ready, places and pages are shared fairly and all are given back",
  (reuse) => {
    const asks: fc.Arbitrary<Ask> = fc
      .record({
        numPromptTokens: fc.integer({ min: 1, max: 20 }),
        n: fc.constantFrom(1, 1, 1, 2, 5, 20),
        lengths: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 4 }),
        spare: fc.nat(3),
        delays: fc.array(fc.constantFrom(0, 0, 0, 1, 4), { minLength: 1, maxLength: 4 }),
      })
      .map(({ spare, ...rest }) => ({ ...rest, maxTokens: Math.max(...rest.lengths) + spare }));
    const events = fc.array(
      fc.oneof(
        fc.record({ type: fc.constant("add" as const), ask: asks }),
        fc.record({ type: fc.constant("cancel" as const), index: fc.nat(20) }),
        fc.record({ type: fc.constant("behind" as const), index: fc.nat(20), isBehind: fc.boolean() }),
        fc.record({ type: fc.constant("run" as const), numSteps: fc.integer({ min: 1, max: 6 }) }),
      ),
      { minLength: 5, maxLength: 40 },
    );
    fc.assert(
      fc.property(events, fc.integer({ min: 1, max: 6 }), fc.nat(30), (all, numPlaces, numSpare) => {
        const driver = new Driver({ numPlaces, maxPages: 16 + numSpare, reuse });
        const requests: Request[] = [];
        for (const event of all) {
          const request = "index" in event ? requests[event.index] : undefined;
          if (event.type === "add") requests.push(driver.add(event.ask));
          else if (event.type === "run") for (let step = 0; step < event.numSteps; step++) driver.run();
          else if (request === undefined) continue;
          else if (event.type === "cancel") request.canceled = true;
          else driver.setBehind(request, event.isBehind);
        }
        for (const request of requests) driver.setBehind(request, false);
        driver.finish();
        for (const request of requests) {
          const choices = driver.ended.get(request)!.toSorted((a, b) => a - b);
          if (!request.canceled) expect(choices).toEqual([...Array(request.config.n).keys()]);
          expect(request.running.size).toBe(0);
        }
        expect(driver.cache.numPagesUsed).toBe(0);
        expect(driver.cache.reserve(16 + numSpare)).toBe(true);
      }),
      { numRuns: numCases(400) },
    );
  },
);
