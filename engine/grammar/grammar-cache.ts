/**
 * Caches of grammars by format, limited by bytes: `GrammarCache` keeps compiled grammars as data, for a thread that
 * compiles, and `LoadedGrammars` keeps grammars in use, for a thread that follows answers.
 */

import { createHash } from "node:crypto";
import { EngineError } from "../errors.js";
import type { AnswerFormat, CallsFormat } from "./answer-format.js";
import { compiledData } from "./compile.js";
import { type GrammarData, grammarBytes } from "./grammar-data.js";
import { Grammar } from "./matcher.js";

/** A compiled grammar that can be sent to another thread. Equal formats have equal keys. */
export interface CompiledGrammar {
  readonly key: string;
  readonly data: GrammarData;
}

export class GrammarCache {
  /** Compiled grammars and refusals, least recently used first. */
  readonly #kept = new Map<string, CompiledGrammar | EngineError>();
  readonly #maxBytes: number;
  #numBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get numBytes(): number {
    return this.#numBytes;
  }

  /**
   * Compiles a format, or returns what an earlier call compiled.
   * @param isCanceled returns true once the result is no longer needed
   * @throws EngineError like `compileGrammar`, remembered too; Canceled
   */
  get(format: AnswerFormat | CallsFormat, isCanceled?: () => boolean): CompiledGrammar {
    const key = keyOf(format);
    const known = this.#kept.get(key);
    if (known !== undefined) {
      this.#kept.delete(key);
      this.#kept.set(key, known);
      if (known instanceof EngineError) throw known;
      return known;
    }
    try {
      return this.#keep(key, { key, data: compiledData(format, isCanceled) });
    } catch (error) {
      if (error instanceof EngineError) this.#keep(key, error);
      throw error;
    }
  }

  #keep<T extends CompiledGrammar | EngineError>(key: string, result: T): T {
    this.#kept.set(key, result);
    this.#numBytes += bytesOf(key, result);
    for (const [oldest, dropped] of this.#kept) {
      if (this.#numBytes <= this.#maxBytes) break;
      this.#kept.delete(oldest);
      this.#numBytes -= bytesOf(oldest, dropped);
    }
    return result;
  }
}

export class LoadedGrammars {
  /** Least recently used first. */
  readonly #kept = new Map<string, Grammar>();
  readonly #maxBytes: number;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes of all kept grammars, about. They grow while they are used. */
  get numBytes(): number {
    let sum = 0;
    for (const grammar of this.#kept.values()) sum += grammar.numBytes;
    return sum;
  }

  /** @returns one grammar for all compiled grammars of a key, so that answers share its states and masks */
  get({ key, data }: CompiledGrammar): Grammar {
    const grammar = this.#kept.get(key) ?? Grammar.fromData(data);
    this.#kept.delete(key);
    this.#kept.set(key, grammar);
    let { numBytes } = this;
    for (const [oldest, dropped] of this.#kept) {
      if (numBytes <= this.#maxBytes || dropped === grammar) break;
      this.#kept.delete(oldest);
      numBytes -= dropped.numBytes;
    }
    return grammar;
  }
}

/** Returns the format as JSON, or its hash if that is shorter. The order of properties has a meaning. */
function keyOf(format: AnswerFormat | CallsFormat): string {
  let key: string;
  try {
    // JSON has no infinite numbers, which a parsed schema can contain: 1e400.
    key = JSON.stringify(format, (_, value: unknown) =>
      typeof value === "number" && !Number.isFinite(value) ? { infinite: String(value) } : value,
    );
  } catch (error) {
    // Nested too deeply or without end, or contains a bigint.
    throw new EngineError("invalid_schema", `The format cannot be written as JSON: ${(error as Error).message}.`, "", {
      cause: error,
    });
  }
  return key.length <= 1000 ? key : createHash("sha256").update(key).digest("base64");
}

function bytesOf(key: string, result: CompiledGrammar | EngineError): number {
  const own = result instanceof EngineError ? 2 * result.message.length : grammarBytes(result.data);
  return BYTES_PER_ENTRY + 2 * key.length + own;
}

/** An entry of the cache and its object, or error with its stack. */
const BYTES_PER_ENTRY = 2000;
