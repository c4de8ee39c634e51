/** Base of all stack frames of the automaton, and what frames know of it. */

import type { Languages } from "./language.js";
import type { RuleState } from "./rules.js";
import type { Stack, Stacks } from "./stacks.js";
import type { ValueNode } from "./values.js";

/** All ways to read the answer so far. */
export interface Configuration {
  readonly entries: readonly Entry[];
  /** True if the answer may end here. */
  readonly isComplete: boolean;
  /**
   * Number of code points of plain text (see VocabularyTrie) that can follow, whatever they are; -1 if it depends on
   * them.
   */
  readonly plainRoom: number;
  /** True inside the name of an additional property, or a string in an array of distinct items. */
  readonly isInName: boolean;
  /** Set when one of these was closed that is not recorded in its object or array yet: see `Automaton.#read`. */
  readonly isNameOpen: boolean;
  /** Cached transitions; null until the first one is asked for, as most configurations only end a token. */
  next: Transitions | null;
  readonly id: number;
}

/** By byte: null if the byte is not allowed, undefined if not computed yet. */
export type Transitions = (Configuration | null | undefined)[];

/** One way to read the answer so far: a frame, and the configuration that continues when the frame is finished. */
export interface Entry {
  readonly frame: Frame;
  readonly below: Configuration | null;
}

/** The interned frames, configurations and stacks. */
export interface FrameTables {
  readonly stacks: Stacks;
  frame(key: string, make: (id: number) => Frame): Frame;
  configuration(entries: readonly Entry[]): Configuration;
}

/** Reads one byte in all frames of a configuration. */
export interface FrameReader {
  readonly byte: number;
  readonly languages: Languages;
  readonly tables: FrameTables;
  /** Adds a frame that the current one becomes with this byte. */
  become(frame: Frame, below: Configuration): void;
  /** Goes to a state of a rule with this byte. */
  enter(state: RuleState, stack: Stack | null, below: Configuration): void;
  /** Begins a value with this byte. @param below continues after the value */
  beginValueIn(value: ValueNode, below: Configuration): void;
}

export abstract class Frame {
  /** Configurations of this frame alone, by what is below it; null until there are some. */
  alone: Map<Configuration | null, Configuration> | null = null;
  /**
   * By byte: the one frame that this one becomes whatever is below it, which stays below it; null if it becomes none.
   * Undefined if that is not known, or depends on what is below.
   */
  successors: (Frame | null | undefined)[] | null = null;

  constructor(readonly id: number) {}

  /** True if the frame may end without another byte. */
  readonly canEnd: boolean = false;
  readonly plainRoom: number = -1;

  /** True if a name was closed that is not recorded yet. */
  get isNameOpen(): boolean {
    return false;
  }

  /** @returns the frame with the name recorded */
  withName(_tables: FrameTables, _name: string): Frame {
    return this;
  }

  /** True if what is below the frame reads the byte, and nothing else does. */
  passes(_byte: number): boolean {
    return false;
  }

  /** True if another byte can follow in this frame. A frame that cannot end always continues. */
  goesOn(_languages: Languages): boolean {
    return true;
  }

  abstract read(reader: FrameReader, below: Configuration): void;
}
