/**
 * Decides what the next step runs: one block of one prompt, and one token of every running sequence.
 *
 * Requests are admitted in order of arrival, as soon as the pages they may need can be reserved, so a sequence that
 * has started always finishes. Prompts take turns block by block. Before each block, a prompt reuses what other
 * requests have computed of the same prefix in the meantime. Scheduling never changes an output: the tokens of a
 * sequence depend only on its own prompt, seed and position.
 */

import { assert } from "../errors.js";
import type { KVCache } from "./kv-cache.js";
import type { Request, Sequence } from "./sequence.js";

export interface StepPlan {
  /** Next block of a request's prompt; null if no prompt is left to compute. */
  readonly prefill: { readonly request: Request; readonly tokenIds: readonly number[] } | null;
  /** Sequences that draw one token each. */
  readonly sequences: readonly Sequence[];
}

export class Scheduler {
  readonly #cache: KVCache;
  readonly #blockSize: number;
  readonly #maxSequences: number;
  readonly #waiting: Request[] = [];
  /** Requests with reserved pages for the prompt and one choice. */
  #admitted: Request[] = [];
  readonly #running = new Set<Sequence>();

  constructor(cache: KVCache, options: { readonly blockSize: number; readonly maxSequences: number }) {
    assert(
      cache.shape.reuse === "token" || cache.shape.pageSize === options.blockSize,
      "pages and prompt blocks differ in size",
    );
    this.#cache = cache;
    this.#blockSize = options.blockSize;
    this.#maxSequences = options.maxSequences;
  }

  get hasWork(): boolean {
    return this.#waiting.length > 0 || this.#admitted.length > 0;
  }

  /** Returns true if the request could run alone. */
  canEverFit(numPromptTokens: number, maxTokens: number): boolean {
    const numPages = this.#cache.pagesFor(numPromptTokens) + this.#numOwnPages(numPromptTokens, maxTokens);
    return numPages <= this.#cache.shape.maxPages;
  }

  /** Returns every request that waits or runs. */
  requests(): Request[] {
    return [...this.#waiting, ...this.#admitted];
  }

  add(request: Request): void {
    this.#waiting.push(request);
  }

  schedule(): StepPlan {
    this.#dropCanceled();
    this.#startChoices();
    this.#admit();
    return { prefill: this.#nextPromptBlock(), sequences: [...this.#running] };
  }

  /** Removes a sequence that has drawn its last token. */
  finish(sequence: Sequence): void {
    assert(this.#running.has(sequence), "a sequence finished that was not running");
    const { request } = sequence;
    this.#stop(sequence);
    if (request.running.size === 0 && request.nextChoice === request.config.n) this.#leave(request);
  }

  /** Removes a request, waiting or admitted, and releases everything it holds. */
  #remove(request: Request): void {
    const waitingIndex = this.#waiting.indexOf(request);
    if (waitingIndex >= 0) {
      this.#waiting.splice(waitingIndex, 1);
      return;
    }
    if (!this.#admitted.includes(request)) return;
    if (request.nextChoice === 0) this.#cache.unreserve(this.#numOwnPagesOf(request));
    for (const sequence of request.running) this.#stop(sequence);
    this.#leave(request);
  }

  #dropCanceled(): void {
    for (const request of this.requests()) {
      if (request.canceled) this.#remove(request);
    }
  }

  #admit(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const numPages = this.#cache.pagesFor(next.prompt.tokenIds.length) + this.#numOwnPagesOf(next);
      if (!this.#cache.reserve(numPages)) return;
      this.#waiting.shift();
      this.#admitted.push(next);
    }
  }

  #startChoices(): void {
    for (const request of this.#admitted) {
      if (request.prompt.lastHidden === null) continue;
      while (request.nextChoice < request.config.n && this.#running.size < this.#maxSequences) {
        const isFirst = request.nextChoice === 0;
        if (!isFirst && !this.#cache.reserve(this.#numOwnPagesOf(request))) return;
        const sequence = request.createSequence(request.nextChoice++, this.#numOwnPagesOf(request));
        request.running.add(sequence);
        this.#running.add(sequence);
      }
    }
  }

  /**
   * Returns the next block of the first admitted request whose prompt is not fully computed. The request moves to the
   * end of the list, so that prompts take turns.
   */
  #nextPromptBlock(): StepPlan["prefill"] {
    const index = this.#admitted.findIndex(({ prompt }) => prompt.lastHidden === null);
    const request = this.#admitted[index];
    if (request === undefined) return null;
    this.#admitted = [...this.#admitted.slice(0, index), ...this.#admitted.slice(index + 1), request];
    const { prompt } = request;
    // The last token is never taken from the cache, because its hidden state is needed.
    prompt.numCached += prompt.table.lookUpPrefix(prompt.tokenIds.slice(0, -1));
    const start = prompt.table.numPositions;
    return { request, tokenIds: prompt.tokenIds.slice(start, start + this.#blockSize) };
  }

  /** Releases what a sequence holds. Its positions stay in the prefix cache if prompts may reuse them. */
  #stop(sequence: Sequence): void {
    const { request, table, outputIds } = sequence;
    this.#running.delete(sequence);
    request.running.delete(sequence);
    // The last drawn token has no keys and values, because no forward pass has run it.
    if (this.#cache.shape.reuse === "token")
      table.insertPrefix([...request.prompt.tokenIds, ...outputIds.slice(0, -1)]);
    table.release();
    this.#cache.unreserve(sequence.numPagesReserved);
  }

  /** Returns the number of pages that one choice needs in addition to the prompt's full pages, which it shares. */
  #numOwnPages(numPromptTokens: number, maxTokens: number): number {
    const numShared = Math.floor(numPromptTokens / this.#cache.shape.pageSize);
    return this.#cache.pagesFor(numPromptTokens + maxTokens) - numShared;
  }

  #numOwnPagesOf(request: Request): number {
    return this.#numOwnPages(request.prompt.tokenIds.length, request.maxTokens);
  }

  #leave(request: Request): void {
    this.#admitted = this.#admitted.filter((other) => other !== request);
    request.prompt.table.release();
    this.#cache.unreserve(this.#cache.pagesFor(request.prompt.tokenIds.length));
  }
}
