/**
 * Text from tokens as they come, byte for byte: a code point whose bytes arrive in several tokens is emitted once, with
 * the last of them, and never in part.
 *
 * Invariant: what `push` and `finish` return, put together, is `decode(prompt + output)` without the prompt's part.
 */

import { Utf8Decoder } from "./utf8-decoder.js";

/** What decoding needs to know of a tokenizer. */
export interface TokenTable {
  /** @returns the token's bytes; empty for a token without text */
  tokenBytes(tokenId: number): Uint8Array;
  /** The token that begins a text; null where there is none. */
  readonly startOfTextId: number | null;
  /** Spaces that decoding drops right after that token. */
  readonly numLeadingSpaces: number;
}

export class StreamingDetokenizer {
  readonly #tokenizer: TokenTable;
  readonly #utf8 = new Utf8Decoder();
  /** Whether the incomplete code point began in the prompt: its U+FFFD, should it come to that, is the prompt's. */
  #startedInPrompt: boolean;
  #leadingSpaces: number;

  /** @param promptIds tokens the output follows; empty to decode from the beginning */
  constructor(tokenizer: TokenTable, promptIds: readonly number[]) {
    this.#tokenizer = tokenizer;
    this.#leadingSpaces = 0;
    for (const tokenId of promptIds.slice(endOfPromptThatMatters(tokenizer, promptIds))) this.#write(tokenId);
    this.#startedInPrompt = this.#utf8.incomplete;
  }

  /** @returns the text that this token completes, often the token's own */
  push(tokenId: number): string {
    return this.#withoutPrompt(this.#write(tokenId));
  }

  /** @returns U+FFFD if the output ended within a code point */
  finish(): string {
    return this.#withoutPrompt(this.#utf8.end());
  }

  #write(tokenId: number): string {
    const bytes = this.#tokenizer.tokenBytes(tokenId);
    const numDropped = Math.min(this.#leadingSpaces, numSpaces(bytes));
    const isAllSpaces = numDropped === bytes.length && bytes.length > 0;
    this.#leadingSpaces = isAllSpaces ? this.#leadingSpaces - numDropped : 0;
    if (tokenId === this.#tokenizer.startOfTextId) this.#leadingSpaces = this.#tokenizer.numLeadingSpaces;
    return this.#utf8.write(bytes.subarray(numDropped));
  }

  #withoutPrompt(text: string): string {
    if (!this.#startedInPrompt || text === "") return text;
    this.#startedInPrompt = false;
    return text.startsWith("\uFFFD") ? text.slice(1) : text;
  }
}

/** A code point has at most three bytes before its last: no more of the prompt can reach into the output. */
function endOfPromptThatMatters(tokenizer: TokenTable, promptIds: readonly number[]): number {
  let index = promptIds.length;
  for (let numBytes = 0; index > 0 && numBytes < 4;) numBytes += tokenizer.tokenBytes(promptIds[--index]!).length;
  return index;
}

function numSpaces(bytes: Uint8Array): number {
  let length = 0;
  while (bytes[length] === 0x20) length++;
  return length;
}
