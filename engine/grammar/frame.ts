/** Base of all stack frames of the automaton, and what frames know of it. */

import { type FreeText, NO_FREE_TEXT } from "./free-text.js";
import type { Languages } from "./language.js";
import type { RuleState } from "./rules.js";
import type { Stack, Stacks } from "./stacks.js";
import type { StringState } from "./string-bytes.js";
import type { ValueNode } from "./values.js";

/** All ways to read the answer so far. */
export interface Configuration {
  readonly entries: readonly Entry[];
  /** True if the answer may end here. */
  readonly isComplete: boolean;
  /** True inside the name of an additional property, or a string in an array of distinct items. */
  readonly isInName: boolean;
  /** Set when one of these was closed that is not recorded in its object or array yet: see `Automaton.#read`. */
  readonly isNameOpen: boolean;
  /**
   * Cached transitions: null if the byte is not allowed. Those that `Frame.steps` has are not among them. Null until
   * there is one, as most configurations only end a token.
   */
  next: ByteTable<Configuration | null> | null;
  readonly id: number;
}

/**
 * Values by byte. Most states are asked for few bytes: the first value is kept in the table itself, and others in blocks
 * that are allocated on first use.
 */
export class ByteTable<Value> {
  #byte = -1;
  #value: Value | undefined = undefined;
  #blocks: ((Value | undefined)[] | undefined)[] | null = null;

  get(byte: number): Value | undefined {
    return byte === this.#byte ? this.#value : this.#blocks?.[byte >> 4]?.[byte & 15];
  }

  /** @returns the number of bytes that the table has grown by, about */
  set(byte: number, value: Value): number {
    if (this.#byte < 0 || this.#byte === byte) {
      const numAdded = this.#byte < 0 ? BYTES_PER_TABLE : 0;
      this.#byte = byte;
      this.#value = value;
      return numAdded;
    }
    this.#blocks ??= new Array<(Value | undefined)[] | undefined>(16);
    const block = this.#blocks[byte >> 4];
    if (block !== undefined) {
      block[byte & 15] = value;
      return 0;
    }
    const added = new Array<Value | undefined>(16);
    added[byte & 15] = value;
    this.#blocks[byte >> 4] = added;
    return BYTES_PER_BLOCK;
  }
}

const BYTES_PER_TABLE = 64;
/** A block, with its part of the list of blocks. */
const BYTES_PER_BLOCK = 200;

/** u8 [256]: 1 for each byte of the set. */
export type ByteSet = Uint8Array;

export function byteSet(characters: string): ByteSet {
  const set = new Uint8Array(256);
  for (const character of characters) set[character.charCodeAt(0)] = 1;
  return set;
}

/** One way to read the answer so far: a frame, and the configuration that continues when the frame is finished. */
export interface Entry {
  readonly frame: Frame;
  readonly below: Configuration | null;
}

/** The interned frames, configurations and stacks. */
export interface FrameTables {
  readonly stacks: Stacks;
  frame(key: string, make: (id: number) => Frame): Frame;
  /** Returns the frame inside a JSON string, or inside text without quotes. */
  string(state: StringState): Frame;
  text(state: StringState): Frame;
  configuration(entries: readonly Entry[]): Configuration;
  /** Returns the configuration of one frame. */
  single(frame: Frame, below: Configuration | null): Configuration;
  /** Records the name or string that was closed in its object or array. */
  withName(configuration: Configuration, name: string): Configuration;
}

/** Reads one byte in all frames of a configuration. */
export interface FrameReader {
  readonly byte: number;
  readonly languages: Languages;
  readonly tables: FrameTables;
  /** Adds a frame that the current one becomes with this byte. */
  become(frame: Frame, below: Configuration | null): void;
  /** Finishes the current frame with this byte: the configuration below it continues. */
  finish(below: Configuration): void;
  /** Reads this byte in what is below the current frame, which ended before it. */
  readAll(below: Configuration): void;
  /** Goes to a state of a rule with this byte. */
  enter(state: RuleState, stack: Stack | null, below: Configuration): void;
  /** Begins a value with this byte; `outer` continues after the value. */
  beginValue(value: ValueNode, outer: Frame, below: Configuration): void;
  /** Begins a value with this byte. @param below continues after the value */
  beginValueIn(value: ValueNode, below: Configuration): void;
  /** Marks the result as dependent on what is below the frame. */
  dependOnBelow(): void;
  /** Marks the result as dependent on a name that is not recorded yet. */
  askForName(): void;
}

/** Configurations by what is below their one frame. Most frames have one. */
class BelowTable {
  #below: Configuration | null | undefined = undefined;
  #configuration: Configuration | undefined = undefined;
  #others: Map<Configuration | null, Configuration> | null = null;

  get(below: Configuration | null): Configuration | undefined {
    return below === this.#below ? this.#configuration : this.#others?.get(below);
  }

  set(below: Configuration | null, configuration: Configuration): void {
    if (this.#below !== undefined) {
      (this.#others ??= new Map()).set(below, configuration);
      return;
    }
    this.#below = below;
    this.#configuration = configuration;
  }
}

/**
 * The next frame for each byte that a frame reads by itself, without a look at the frames below it. Loops over all tokens
 * read this table for frames of every class, so it has a class of its own.
 */
export class FrameSteps {
  /** The only byte that the frame reads; -1 if there are others, or what is below may read. */
  only = -1;
  /** The bytes that can follow, by whatever frame; null if all may. Most bytes are refused without being read. */
  reads: ByteSet | null = null;
  #afterOnly: FrameSteps | undefined = undefined;
  #next: ByteTable<FrameSteps | null> | null = null;

  constructor(readonly frame: Frame) {}

  /** @returns null if the byte cannot follow; undefined if the table does not know, or the frames below decide */
  after(byte: number): FrameSteps | null | undefined {
    if (this.reads !== null && this.reads[byte] === 0) return null;
    if (this.only < 0) return this.#next?.get(byte);
    return byte === this.only ? this.#afterOnly : null;
  }

  /** @returns the number of bytes that are kept, about */
  set(byte: number, next: FrameSteps | null): number {
    if (this.only < 0) return (this.#next ??= new ByteTable()).set(byte, next);
    if (next !== null) this.#afterOnly = next;
    return 0;
  }
}

export abstract class Frame {
  /** Configurations of this frame alone, by what is below it. */
  readonly alone = new BelowTable();
  readonly steps = new FrameSteps(this);

  constructor(readonly id: number) {}

  /** True if the frame may end without another byte. */
  readonly canEnd: boolean = false;
  /** True inside the name of an additional property, or a string in an array of distinct items. */
  readonly isInName: boolean = false;
  /** True if such a name or string was closed that is not recorded yet. */
  readonly isNameOpen: boolean = false;

  /** @returns the frame with the name recorded, and what is below it then */
  withName(_tables: FrameTables, _name: string, below: Configuration | null): Entry {
    return { frame: this, below };
  }

  /** True if what is below the frame reads the byte, and nothing else does. */
  passes(_byte: number): boolean {
    return false;
  }

  /** Returns text that can follow in this frame whatever it is. It is only called for masks, because it takes long. */
  freeText(_languages: Languages): FreeText {
    return NO_FREE_TEXT;
  }

  /** True if another byte can follow in this frame. A frame that cannot end always continues. */
  goesOn(_languages: Languages): boolean {
    return true;
  }

  abstract read(reader: FrameReader, below: Configuration): void;
}
