/**
 * Decides what the next step runs: one block of one prompt, or several while no other request is admitted, and some
 * running sequences.
 *
 * Requests are admitted in order of arrival, as soon as the pages that their prompt and one choice may need can be
 * reserved. They hold this reservation until their last choice has started, so a request that was admitted always
 * finishes. Further choices reserve pages only while no request waits for pages.
 *
 * Each step has a number of places, each for one sequence, which draws a token or, if a draft is right, several. Requests get places in turns: one
 * for each request, then a second one for each, until none is left. A sequence without a place pauses; it keeps its
 * pages and continues later. A request whose reader is behind gets no place, nor does a sequence that is not ready, and
 * such a request starts no further choice. Prompts take turns block by block. Before each turn, a prompt reuses what
 * other requests have computed of the same prefix in the meantime.
 *
 * Scheduling never changes an output: the tokens of a sequence depend only on its own prompt, seed and position.
 */

import { assert } from "../errors.js";
import type { KVCache } from "./kv-cache.js";
import type { Request, Sequence } from "./sequence.js";

export interface PromptBlocks {
  readonly request: Request;
  readonly tokenIds: readonly number[];
}

export class Scheduler {
  readonly #cache: KVCache;
  readonly #blockSize: number;
  readonly #maxBlocks: number;
  readonly #numPlaces: number;
  readonly #waiting: Request[] = [];
  /** Admitted requests whose prompts are not fully computed. The first has waited longest for a block. */
  #prefilling: Request[] = [];
  /** Admitted requests that draw tokens. The first has waited longest for a place. */
  #decoding: Request[] = [];

  /**
   * @param options.maxBlocks blocks of a prompt that one step runs at most
   * @param options.numPlaces sequences that one step runs at most
   */
  constructor(
    cache: KVCache,
    options: { readonly blockSize: number; readonly maxBlocks: number; readonly numPlaces: number },
  ) {
    assert(
      cache.shape.reuse === "token" || cache.shape.pageSize === options.blockSize,
      "pages and prompt blocks differ in size",
    );
    this.#cache = cache;
    this.#blockSize = options.blockSize;
    this.#maxBlocks = options.maxBlocks;
    this.#numPlaces = options.numPlaces;
  }

  get hasWork(): boolean {
    return this.requests().length > 0;
  }

  /** Returns true while a prompt of an admitted request is not fully computed. */
  get hasPrompts(): boolean {
    return this.#prefilling.length > 0;
  }

  /** Returns true if the request could run alone. */
  canEverFit(numPromptTokens: number, maxTokens: number): boolean {
    const numPages = this.#cache.pagesFor(numPromptTokens) + this.#numOwnPages(numPromptTokens, maxTokens);
    return numPages <= this.#cache.shape.maxPages;
  }

  /** Returns every request that waits or runs. */
  requests(): Request[] {
    return [...this.#waiting, ...this.#prefilling, ...this.#decoding];
  }

  add(request: Request): void {
    this.#waiting.push(request);
  }

  /** Removes canceled requests, admits waiting ones, and returns the next prompt blocks; null if no prompt is left. */
  nextPromptBlocks(): PromptBlocks | null {
    for (const request of this.requests()) {
      if (request.canceled) this.#remove(request);
    }
    this.#admit();
    const request = this.#prefilling.shift();
    if (request === undefined) return null;
    this.#prefilling.push(request);
    const { prompt } = request;
    // The last token is never taken from the cache, because its hidden state is needed.
    prompt.numCached += prompt.table.lookUpPrefix(prompt.tokenIds.slice(0, -1));
    const start = prompt.table.numPositions;
    // More than one block would delay the tokens of others.
    const isAlone = this.#decoding.length === 0 && this.#prefilling.length === 1;
    const numBlocks = isAlone ? this.#maxBlocks : 1;
    return { request, tokenIds: prompt.tokenIds.slice(start, start + numBlocks * this.#blockSize) };
  }

  /**
   * Gives out the places of a step, and starts choices for which a place is left.
   * @param isReady returns true if a sequence can draw a token in this step
   */
  nextSequences(isReady: (sequence: Sequence) => boolean): Sequence[] {
    this.#decoding.push(...this.#prefilling.filter(isPromptDone));
    this.#prefilling = this.#prefilling.filter((request) => !isPromptDone(request));

    const sequences: Sequence[] = [];
    let contenders = this.#decoding
      .filter(({ canceled, output }) => !canceled && !output.isBehind)
      .map((request) => {
        const ready = [...request.running].filter(isReady);
        return { request, ready, mayStart: ready.length === request.running.size };
      });
    let served = contenders;
    while (contenders.length > 0 && sequences.length < this.#numPlaces) {
      served = [];
      for (const contender of contenders) {
        if (sequences.length === this.#numPlaces) break;
        const { request, ready, mayStart } = contender;
        const sequence = ready.shift() ?? (mayStart ? this.#startChoice(request) : null);
        if (sequence === null || !isReady(sequence)) continue;
        sequences.push(sequence);
        served.push(contender);
      }
      contenders = served;
    }
    // The last round may not have reached all requests, and the places may not have reached all sequences of a request.
    // Those that it has reached go to the end.
    for (const { request } of served) moveToEnd(this.#decoding, request);
    for (const sequence of sequences) {
      sequence.request.running.delete(sequence);
      sequence.request.running.add(sequence);
    }
    return sequences;
  }

  /** Removes a sequence that has drawn its last token. */
  finish(sequence: Sequence): void {
    const { request } = sequence;
    assert(request.running.has(sequence), "a sequence finished that was not running");
    this.#stop(sequence);
    if (hasChoices(request)) this.#keepReserved(request, Math.max(request.running.size, 1));
    else if (request.running.size > 0) this.#keepReserved(request, request.running.size);
    else this.#leave(request);
  }

  #admit(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (!this.#cache.reserve(this.#numPromptPages(next) + this.#numOwnPagesOf(next))) return;
      next.numChoicesReserved = 1;
      this.#waiting.shift();
      this.#prefilling.push(next);
    }
  }

  /** Starts the next choice of a request. Returns null if there is none, or no memory for it, or if it fails. */
  #startChoice(request: Request): Sequence | null {
    if (!hasChoices(request)) return null;
    if (request.running.size === request.numChoicesReserved) {
      if (this.#waiting.length > 0 || !this.#cache.reserve(this.#numOwnPagesOf(request))) return null;
      request.numChoicesReserved++;
    }
    const sequence = request.createSequence(request.nextChoice);
    if (sequence === null) return null;
    request.nextChoice++;
    request.running.add(sequence);
    return sequence;
  }

  /** Removes a request, waiting or admitted, and releases everything it holds. */
  #remove(request: Request): void {
    const waitingIndex = this.#waiting.indexOf(request);
    if (waitingIndex >= 0) {
      this.#waiting.splice(waitingIndex, 1);
      return;
    }
    for (const sequence of request.running) this.#stop(sequence);
    this.#leave(request);
  }

  /** Releases the pages of a sequence. Its positions stay in the prefix cache if prompts may reuse them. */
  #stop(sequence: Sequence): void {
    const { request, table, outputIds } = sequence;
    request.running.delete(sequence);
    // The last drawn token has no keys and values, because no forward pass has run it.
    if (this.#cache.shape.reuse === "token")
      table.insertPrefix([...request.prompt.tokenIds, ...outputIds.slice(0, -1)]);
    table.release();
  }

  #leave(request: Request): void {
    request.prompt.table.release();
    this.#keepReserved(request, 0);
    this.#cache.unreserve(this.#numPromptPages(request));
    // The request is forgotten last: if giving back fails, the engine ends, and finds the request here to tell its reader.
    this.#prefilling = this.#prefilling.filter((other) => other !== request);
    this.#decoding = this.#decoding.filter((other) => other !== request);
  }

  /** Gives back the pages that a request has reserved for more than `numChoices` choices. */
  #keepReserved(request: Request, numChoices: number): void {
    this.#cache.unreserve((request.numChoicesReserved - numChoices) * this.#numOwnPagesOf(request));
    request.numChoicesReserved = numChoices;
  }

  #numPromptPages({ prompt }: Request): number {
    return this.#cache.pagesFor(prompt.tokenIds.length);
  }

  /** Returns the number of pages that one choice needs in addition to the prompt's full pages, which it shares. */
  #numOwnPages(numPromptTokens: number, maxTokens: number): number {
    const numShared = Math.floor(numPromptTokens / this.#cache.shape.pageSize);
    return this.#cache.pagesFor(numPromptTokens + maxTokens) - numShared;
  }

  #numOwnPagesOf(request: Request): number {
    return this.#numOwnPages(request.prompt.tokenIds.length, request.maxTokens);
  }
}

/** Returns true if choices of the request have not started yet. */
function hasChoices({ nextChoice, config }: Request): boolean {
  return nextChoice < config.n;
}

function isPromptDone({ prompt }: Request): boolean {
  return prompt.lastHidden !== null;
}

function moveToEnd(requests: Request[], request: Request): void {
  requests.splice(requests.indexOf(request), 1);
  requests.push(request);
}
