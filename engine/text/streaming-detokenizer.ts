/**
 * Converts tokens to text as they arrive, byte by byte. A code point whose bytes are spread over several tokens is
 * emitted once, with the last of these tokens, and never in part.
 *
 * Invariant: the concatenated results of `push` and `finish` are `decode(prompt + output)` without the prompt's text.
 */

import { Utf8Decoder } from "./utf8-decoder.js";

/** The parts of a tokenizer that decoding needs. */
export interface TokenTable {
  /** @returns the token's bytes; empty for a token without text */
  tokenBytes(tokenId: number): Uint8Array;
  /** The token that begins a text; null if the tokenizer has none. */
  readonly startOfTextId: number | null;
  /** Number of spaces that decoding drops directly after that token. */
  readonly numLeadingSpaces: number;
}

export class StreamingDetokenizer {
  readonly #tokenizer: TokenTable;
  readonly #utf8 = new Utf8Decoder();
  /** Set if the incomplete code point began in the prompt; a U+FFFD for it belongs to the prompt, not the output. */
  #startedInPrompt: boolean;
  #leadingSpaces: number;

  /** @param promptIds tokens before the output; empty to decode from the beginning */
  constructor(tokenizer: TokenTable, promptIds: readonly number[]) {
    this.#tokenizer = tokenizer;
    this.#leadingSpaces = 0;
    for (const tokenId of promptIds.slice(endOfPromptThatMatters(tokenizer, promptIds))) this.#write(tokenId);
    this.#startedInPrompt = this.#utf8.incomplete;
  }

  /** @returns the text that this token completes, which is often the token's text */
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

/** Index of the first prompt token that can affect the output: a code point has at most three bytes before its last. */
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
