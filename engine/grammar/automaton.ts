/**
 * The pushdown automaton of a grammar. A configuration is a set of stack frames, one for each way to read the answer so
 * far. Below each frame is the configuration that continues when the frame is finished, so branches share their common
 * stack. Frames and configurations are interned: equal states are one object, which caches the transition for each
 * byte.
 *
 * Every frame can be finished: a byte is accepted only if the rest of the answer can still be written (see objects.ts,
 * numbers.ts and `settle` in language.ts). White space between JSON tokens is one space, or one newline and
 * indentation.
 */

import { LIMITS } from "../limits.js";
import { NEW_ARRAY, arrayFrame } from "./array-frames.js";
import { ByteTable, type Configuration, type Entry, type Frame, type FrameReader, type FrameTables } from "./frame.js";
import type { FreeText } from "./free-text.js";
import type { StoredGrammar } from "./grammar-data.js";
import type { Languages } from "./language.js";
import { beginNumber } from "./numbers.js";
import { NEW_OBJECT, objectFrame } from "./object-frames.js";
import { Following } from "./rule-frames.js";
import type { RuleState } from "./rules.js";
import { EndFrame, StartFrame, StringFrame, TextFrame, WORDS, literalFrame, numberFrame } from "./scalar-frames.js";
import { type Stack, Stacks } from "./stacks.js";
import { BETWEEN, type StringState } from "./string-bytes.js";
import type { ValueNode } from "./values.js";

export type { Configuration } from "./frame.js";

/** A configuration, and the name that is being read in it as JSON writes it, one character for each byte. */
export interface Position {
  readonly configuration: Configuration;
  readonly name: string;
}

export class Automaton {
  readonly #stored: StoredGrammar;
  /** Next ids. An id is never reused, because objects dropped from the tables may still be in use. */
  readonly #ids: Ids = { frame: 0, configuration: 0, stack: 0 };
  #tables = new Tables(this.#ids);

  constructor(stored: StoredGrammar) {
    this.#stored = stored;
  }

  /** Bytes of the states that are kept, about. */
  get numBytes(): number {
    const { size, transitionBytes } = this.#tables;
    return size * BYTES_PER_CONFIGURATION + transitionBytes + this.#stored.numStates * BYTES_PER_STATE;
  }

  get start(): Position {
    return { configuration: this.#start(), name: "" };
  }

  #start(): Configuration {
    const tables = this.#tables;
    if (tables.start === null) {
      const end = tables.configuration([{ frame: tables.frame("end", (id) => new EndFrame(id)), below: null }]);
      tables.start = this.#first(end);
    }
    return tables.start;
  }

  /** @param end the configuration after the answer */
  #first(end: Configuration): Configuration {
    const tables = this.#tables;
    const { answer } = this.#stored;
    switch (answer.kind) {
      case "value":
        return tables.configuration([
          { frame: tables.frame("start", (id) => new StartFrame(id, answer.value)), below: end },
        ]);
      case "text":
        return tables.configuration([{ frame: tables.text({ language: answer.language, part: BETWEEN }), below: end }]);
      case "rules":
        return new Following(tables).configuration(answer.start, null, end);
    }
  }

  /** @returns the position after these bytes, or null if they cannot follow */
  readAll(position: Position, bytes: Uint8Array): Position | null {
    let reached: Position | null = position;
    for (const byte of bytes) {
      reached = this.#read(reached, byte);
      if (reached === null) return null;
    }
    return reached;
  }

  /**
   * Reads one byte, and keeps track of the name. Once no other name of the object begins with the bytes read of a name,
   * the configuration no longer contains these bytes; otherwise every name would be a separate state. When the name is
   * closed, it is recorded in its object.
   */
  #read({ configuration, name }: Position, byte: number): Position | null {
    const next = this.step(configuration, byte);
    if (next === null) return null;
    if (next.isNameOpen) return { configuration: this.#tables.withName(next, name), name: "" };
    return {
      configuration: next,
      name: next.isInName && configuration.isInName ? name + String.fromCharCode(byte) : "",
    };
  }

  /**
   * @returns the configuration after a byte, `UNKNOWN` if it depends on a name that is not recorded yet, or null if the
   * byte cannot follow
   */
  step(configuration: Configuration, byte: number): Configuration | null {
    const known = configuration.next?.get(byte);
    if (known !== undefined) return known;
    // Drops all tables at once. Configurations in use stay valid, and equal ones are built again when they are reached.
    if (this.#tables.size > LIMITS.maxGrammarConfigurations || this.#stored.numStates > LIMITS.maxGrammarLanguages) {
      this.#tables = new Tables(this.#ids);
      this.#stored.forget();
    }
    const { entries } = configuration;
    if (entries.length === 1) return this.#afterOne(configuration, entries[0]!, byte);
    const reader = new Reader(this.#stored.languages, this.#tables, byte, null);
    reader.readAll(configuration);
    return this.#keep(configuration, byte, reader.result());
  }

  #keep(configuration: Configuration, byte: number, next: Configuration | null): Configuration | null {
    configuration.next ??= new ByteTable();
    this.#tables.transitionBytes += configuration.next.set(byte, next);
    return next;
  }

  /** Frames that read on without regard to what is below them are followed once for all of it. */
  #afterOne(configuration: Configuration, { frame, below }: Entry, byte: number): Configuration | null {
    const tables = this.#tables;
    const known = frame.steps.after(byte);
    if (known !== undefined) return known === null ? null : tables.single(known.frame, below);
    if (frame.passes(byte)) return this.#keep(configuration, byte, this.step(below!, byte));
    const reader = new Reader(this.#stored.languages, tables, byte, below);
    frame.read(reader, below!);
    const { successor } = reader;
    if (successor === undefined) return this.#keep(configuration, byte, reader.result());
    tables.transitionBytes += frame.steps.set(byte, successor?.steps ?? null);
    return reader.result();
  }

  /** Returns the configuration of one frame. */
  configuration(frame: Frame, below: Configuration | null): Configuration {
    return this.#tables.single(frame, below);
  }

  /** Returns text that can follow whatever it is. */
  freeText({ entries }: Configuration): FreeText {
    const found = entries.map(({ frame }) => frame.freeText(this.#stored.languages));
    const best = found.reduce((most, one) => (numClasses(one) > numClasses(most) ? one : most));
    return found.length === 1 ? best : { ...best, isLimit: best.maxCodePoints === Infinity };
  }

  /** True if the answer is complete and no byte can follow. */
  isFinished({ isComplete, entries }: Configuration): boolean {
    return isComplete && !entries.some((entry) => this.#goesOn(entry));
  }

  #goesOn({ frame, below }: Entry): boolean {
    return frame.goesOn(this.#stored.languages) || (below?.entries.some((entry) => this.#goesOn(entry)) ?? false);
  }
}

function numClasses({ classes }: FreeText): number {
  let count = 0;
  for (let rest = classes; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** A configuration with its frames, and a state of a language. */
const BYTES_PER_CONFIGURATION = 700;
const BYTES_PER_STATE = 400;

/** Next ids of frames, configurations and stacks of rules. */
interface Ids {
  frame: number;
  configuration: number;
  stack: number;
}

/** Entries and stacks that take as much memory as a configuration with its frames. */
const ENTRIES_PER_CONFIGURATION = 40;

/** The interned frames and configurations. */
class Tables implements FrameTables {
  start: Configuration | null = null;
  readonly #frames = new Map<string, Frame>();
  readonly #texts = new Map<number, Frame>();
  readonly #strings = new Map<number, Frame>();
  readonly #configurations = new Map<string, Configuration>();
  /** Stacks of the rules of a context-free grammar. */
  readonly stacks: Stacks;
  readonly #ids: Ids;
  #numSingle = 0;
  /** Bytes of the transitions that are kept, about. */
  transitionBytes = 0;
  #numMoreEntries = 0;

  constructor(ids: Ids) {
    this.#ids = ids;
    this.stacks = new Stacks(() => ids.stack++);
  }

  /** Number of configurations, where large ones count several times. */
  get size(): number {
    const numEntries = this.#numMoreEntries + this.stacks.numReturns;
    return this.#numSingle + this.#configurations.size + Math.floor(numEntries / ENTRIES_PER_CONFIGURATION);
  }

  frame(key: string, make: (id: number) => Frame): Frame {
    let frame = this.#frames.get(key);
    if (frame === undefined) this.#frames.set(key, (frame = make(this.#ids.frame++)));
    return frame;
  }

  string(state: StringState): Frame {
    const key = state.language.id * 2 ** 26 + state.part;
    let frame = this.#strings.get(key);
    if (frame === undefined) this.#strings.set(key, (frame = new StringFrame(this.#ids.frame++, state)));
    return frame;
  }

  text(state: StringState): Frame {
    const key = state.language.id * 2 ** 26 + state.part;
    let frame = this.#texts.get(key);
    if (frame === undefined) this.#texts.set(key, (frame = new TextFrame(this.#ids.frame++, state)));
    return frame;
  }

  configuration(entries: readonly Entry[]): Configuration {
    return entries.length === 1 ? this.single(entries[0]!.frame, entries[0]!.below) : this.#several(entries);
  }

  /** Returns the configuration of one frame: the usual case, without the text of a key. */
  single(frame: Frame, below: Configuration | null): Configuration {
    let configuration = frame.alone.get(below);
    if (configuration === undefined) {
      configuration = {
        id: this.#ids.configuration++,
        entries: [{ frame, below }],
        isComplete: frame.canEnd && (below?.isComplete ?? true),
        isInName: frame.isInName,
        isNameOpen: frame.isNameOpen,
        next: null,
      };
      frame.alone.set(below, configuration);
      this.#numSingle++;
    }
    return configuration;
  }

  #several(entries: readonly Entry[]): Configuration {
    const sorted = [...entries].sort((a, b) => a.frame.id - b.frame.id);
    let key = "";
    for (const { frame, below } of sorted) key += `${frame.id}:${below?.id ?? ""};`;
    let configuration = this.#configurations.get(key);
    if (configuration === undefined) {
      configuration = {
        id: this.#ids.configuration++,
        entries: sorted,
        isComplete: sorted.some(({ frame, below }) => frame.canEnd && (below?.isComplete ?? true)),
        isInName: sorted.some(({ frame }) => frame.isInName),
        isNameOpen: sorted.some(({ frame }) => frame.isNameOpen),
        next: null,
      };
      this.#configurations.set(key, configuration);
      this.#numMoreEntries += sorted.length - 1;
    }
    return configuration;
  }

  /** Records the name or string that was closed in its object or array. */
  withName(configuration: Configuration, name: string): Configuration {
    return this.configuration(
      configuration.entries.map(({ frame, below }) =>
        frame.isNameOpen ? frame.withName(this, name, below) : { frame, below },
      ),
    );
  }
}

/** Result of a step that depends on a name that is not recorded yet. */
export const UNKNOWN: Configuration = {
  id: -1,
  entries: [],
  isComplete: false,
  isInName: false,
  isNameOpen: false,
  next: null,
};

/** Reads one byte in every frame of a configuration and collects the resulting frames. */
class Reader implements FrameReader {
  /** The first frame that was found, and what is below it. */
  #frame: Frame | null = null;
  #frameBelow: Configuration | null = null;
  /** All that was found, if there is more. */
  #found: Found | null = null;
  /** What follows in the rules of a context-free grammar, by the configuration below them; null if nothing does. */
  #following: Map<Configuration, Following> | null = null;
  #asksForName = false;
  /** True if the result depends on more than the frame that is read. */
  #dependsOnBelow = false;
  readonly #below: Configuration | null;

  /** @param below what is below the frame, if only one is read */
  constructor(
    readonly languages: Languages,
    readonly tables: Tables,
    readonly byte: number,
    below: Configuration | null,
  ) {
    this.#below = below;
  }

  /** The frame that the one frame becomes, whatever is below it: see `FrameSteps`. */
  get successor(): Frame | null | undefined {
    return this.#dependsOnBelow || this.#asksForName || this.#found !== null ? undefined : this.#frame;
  }

  readAll(configuration: Configuration): void {
    this.#dependsOnBelow = true;
    for (const { frame, below } of configuration.entries) frame.read(this, below!);
  }

  /** Adds a frame that the current one becomes with this byte. */
  become(frame: Frame, below: Configuration | null): void {
    if (below !== this.#below) this.#dependsOnBelow = true;
    if (this.#frame === null) {
      this.#frame = frame;
      this.#frameBelow = below;
    } else if (this.#found !== null || frame !== this.#frame || below !== this.#frameBelow) {
      if (this.#found === null) add((this.#found = new Map()), this.#frame, this.#frameBelow);
      add(this.#found, frame, below);
    }
  }

  /** Finishes the current frame with this byte: the configuration below it continues. */
  finish(below: Configuration): void {
    this.#dependsOnBelow = true;
    for (const entry of below.entries) this.become(entry.frame, entry.below);
  }

  /** Goes to a state of a rule with this byte. The states of all frames are followed together, in `result`. */
  enter(state: RuleState, stack: Stack | null, below: Configuration): void {
    this.#dependsOnBelow = true;
    this.#following ??= new Map();
    let following = this.#following.get(below);
    if (following === undefined) this.#following.set(below, (following = new Following(this.tables)));
    following.add(state, stack);
  }

  /** Begins a value with this byte; `outer` continues after the value. */
  beginValue(value: ValueNode, outer: Frame, below: Configuration): void {
    this.beginValueIn(value, this.tables.single(outer, below));
  }

  beginValueIn(value: ValueNode, below: Configuration): void {
    const { tables, byte } = this;
    if (byte === QUOTE) {
      if (value.strings !== this.languages.none)
        this.become(tables.string({ language: value.strings, part: BETWEEN }), below);
    } else if (byte === OPEN_BRACE) {
      for (const shape of value.objects) this.become(objectFrame(tables, { ...NEW_OBJECT, shape }), below);
    } else if (byte === OPEN_BRACKET) {
      for (const shape of value.arrays) this.become(arrayFrame(tables, { ...NEW_ARRAY, shape }), below);
    } else {
      const word = WORDS.get(byte);
      if (word !== undefined) {
        if ((value.words & word.type) !== 0) this.become(literalFrame(tables, word.text, 1), below);
        return;
      }
      const prefix = beginNumber(value.numbers, byte);
      if (prefix !== null) this.become(numberFrame(tables, value, prefix), below);
    }
  }

  /** Marks the result as dependent on what is below the frame. */
  dependOnBelow(): void {
    this.#dependsOnBelow = true;
  }

  /** Marks the result as dependent on a name that is not recorded yet. */
  askForName(): void {
    this.#asksForName = true;
  }

  result(): Configuration | null {
    if (this.#asksForName) return UNKNOWN;
    for (const [below, following] of this.#following ?? [])
      for (const entry of following.entries(below)) this.become(entry.frame, entry.below);
    if (this.#frame === null) return null;
    return this.#found === null ? this.tables.single(this.#frame, this.#frameBelow) : this.#merged(this.#found);
  }

  /** Merges what is below each frame. All at once: one after the other, the work would grow with their square. */
  #merged(found: Found): Configuration {
    const entries: Entry[] = [];
    for (const [frame, belows] of found) {
      if (belows === null) {
        entries.push({ frame, below: null });
        continue;
      }
      const [first] = belows;
      if (belows.size === 1) {
        entries.push({ frame, below: first! });
        continue;
      }
      const all: Found = new Map();
      for (const below of belows) for (const entry of below.entries) add(all, entry.frame, entry.below);
      entries.push({ frame, below: this.#merged(all) });
    }
    return this.tables.configuration(entries);
  }
}

/** Frames, with the configurations that are below each; null if nothing is. */
type Found = Map<Frame, Set<Configuration> | null>;

function add(found: Found, frame: Frame, below: Configuration | null): void {
  if (below === null) found.set(frame, null);
  else {
    const known = found.get(frame);
    if (known === undefined) found.set(frame, new Set([below]));
    else known?.add(below);
  }
}

const QUOTE = 0x22;
const OPEN_BRACKET = 0x5b;
const OPEN_BRACE = 0x7b;
