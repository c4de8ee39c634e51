/**
 * Converts tokens to text as they arrive, byte by byte. A code point whose bytes are spread over several tokens is
 * emitted once, with the last of these tokens, and never in part.
 *
 * Invariant: the concatenated results of `push` and `finish` are `decode(prompt + output)` without the prompt's text,
 * which includes a space that the prompt's last token writes in front of another.
 */

import { Utf8Decoder } from "./utf8-decoder.js";

/** The parts of a tokenizer that decoding needs. */
export interface TokenTable {
  /** @returns the token's bytes; empty for a token without text */
  tokenBytes(tokenId: number): Uint8Array;
  /** @returns the bytes of a token before which the text is empty: some decoders drop its spaces */
  firstTokenBytes(tokenId: number): Uint8Array;
  /** @returns true if the last of the bytes is a space that is only written in front of another token */
  endsWord(tokenId: number): boolean;
  /** Number of spaces that decoding drops at the beginning of a text. */
  readonly numLeadingSpaces: number;
}

export class StreamingDetokenizer {
  readonly #tokenizer: TokenTable;
  readonly #utf8 = new Utf8Decoder();
  /** Set if the incomplete code point began in the prompt; a U+FFFD for it belongs to the prompt, not the output. */
  #startedInPrompt: boolean;
  /** True until a token has bytes. */
  #isBeginning: boolean;
  /** Number of spaces that are still dropped if they are next. */
  #leadingSpaces: number;
  /** Set if the last token ended with a space that waits for another token. */
  #hasSpaceToWrite = false;

  /** @param promptIds tokens before the output; empty to decode from the beginning */
  constructor(tokenizer: TokenTable, promptIds: readonly number[]) {
    this.#tokenizer = tokenizer;
    const start = endOfPromptThatMatters(tokenizer, promptIds);
    this.#isBeginning = start === 0;
    this.#leadingSpaces = start === 0 ? tokenizer.numLeadingSpaces : 0;
    for (const tokenId of promptIds.slice(start)) this.#write(tokenId);
    this.#startedInPrompt = this.#utf8.incomplete;
    this.#hasSpaceToWrite = false;
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
    const table = this.#tokenizer;
    let bytes = table.tokenBytes(tokenId);
    if (bytes.length === 0) return "";
    if (this.#isBeginning) bytes = table.firstTokenBytes(tokenId);
    this.#isBeginning = false;
    const numDropped = Math.min(this.#leadingSpaces, numSpaces(bytes));
    this.#leadingSpaces = numDropped === bytes.length ? this.#leadingSpaces - numDropped : 0;
    const space = this.#hasSpaceToWrite ? this.#utf8.write(SPACE) : "";
    this.#hasSpaceToWrite = table.endsWord(tokenId);
    return space + this.#utf8.write(bytes.subarray(numDropped, this.#hasSpaceToWrite ? -1 : undefined));
  }

  #withoutPrompt(text: string): string {
    if (!this.#startedInPrompt || text === "") return text;
    this.#startedInPrompt = false;
    return text.startsWith("\uFFFD") ? text.slice(1) : text;
  }
}

/**
 * Index of the first prompt token that can affect the output: a code point has at most three bytes before its last, and
 * spaces are dropped only in front of other text.
 */
function endOfPromptThatMatters(tokenizer: TokenTable, promptIds: readonly number[]): number {
  const numWanted = 4 + tokenizer.numLeadingSpaces;
  let index = promptIds.length;
  for (let numBytes = 0; index > 0 && numBytes < numWanted;)
    numBytes += tokenizer.tokenBytes(promptIds[--index]!).length;
  return index;
}

const SPACE = Uint8Array.of(0x20);

function numSpaces(bytes: Uint8Array): number {
  let length = 0;
  while (bytes[length] === 0x20) length++;
  return length;
}
