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
import type { ArrayShape } from "./arrays.js";
import { ByteTable, type Configuration, type Entry, Frame, type FrameReader, type FrameTables } from "./frame.js";
import type { StoredGrammar } from "./grammar-data.js";
import { type Language, type Languages, wordRead } from "./language.js";
import { type NumberPrefix, beginNumber, continueNumber, hasOtherNumber, isNumber, plainText } from "./numbers.js";
import { MAX_NAMES, type NameClass, type ObjectShape, jsonBytes } from "./objects.js";
import { Following } from "./rule-frames.js";
import type { RuleState } from "./rules.js";
import { plainRoom } from "./plain-room.js";
import { TYPE } from "./schema.js";
import { type Stack, Stacks } from "./stacks.js";
import { BETWEEN, type StringState, nextInJsonString, nextInText } from "./string-bytes.js";
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
    const { answer, languages } = this.#stored;
    switch (answer.kind) {
      case "value":
        return tables.configuration([
          { frame: tables.frame("start", (id) => new StartFrame(id, answer.value)), below: end },
        ]);
      case "text":
        return tables.configuration([
          { frame: tables.text(languages, { language: answer.language, part: BETWEEN }), below: end },
        ]);
      case "rules":
        return new Following(tables, languages).configuration(answer.start, null, end);
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

  /** True if the answer is complete and no byte can follow. */
  isFinished({ isComplete, entries }: Configuration): boolean {
    return isComplete && !entries.some((entry) => this.#goesOn(entry));
  }

  #goesOn({ frame, below }: Entry): boolean {
    return frame.goesOn(this.#stored.languages) || (below?.entries.some((entry) => this.#goesOn(entry)) ?? false);
  }
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

  string(languages: Languages, state: StringState): Frame {
    const key = state.language.id * 2 ** 26 + state.part;
    let frame = this.#strings.get(key);
    if (frame === undefined)
      this.#strings.set(key, (frame = new StringFrame(this.#ids.frame++, state, plainRoom(languages, state))));
    return frame;
  }

  text(languages: Languages, state: StringState): Frame {
    const key = state.language.id * 2 ** 26 + state.part;
    let frame = this.#texts.get(key);
    if (frame === undefined)
      this.#texts.set(key, (frame = new TextFrame(this.#ids.frame++, state, plainRoom(languages, state))));
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
        plainRoom: frame.plainRoom,
        isInName: isInName(frame),
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
        plainRoom: sorted.some(({ frame }) => frame.plainRoom === Infinity) ? Infinity : -1,
        isInName: sorted.some(({ frame }) => isInName(frame)),
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

const isInName = (frame: Frame): boolean =>
  frame instanceof NameFrame || frame instanceof OpenNameFrame || frame instanceof DistinctStringFrame;

/** Result of a step that depends on a name that is not recorded yet. */
export const UNKNOWN: Configuration = {
  id: -1,
  entries: [],
  isComplete: false,
  plainRoom: -1,
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
    if (following === undefined) this.#following.set(below, (following = new Following(this.tables, this.languages)));
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
        this.become(tables.string(this.languages, { language: value.strings, part: BETWEEN }), below);
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
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const WORDS: ReadonlyMap<number, { readonly text: string; readonly type: number }> = new Map(
  (["null", "true", "false"] as const).map((text) => [text.charCodeAt(0), { text, type: TYPE[text] }]),
);

/** After the answer: no byte may follow. */
class EndFrame extends Frame {
  override readonly canEnd = true;

  override goesOn(): boolean {
    return false;
  }

  override read(): void {}
}

/** Before the answer. */
class StartFrame extends Frame {
  constructor(
    id: number,
    readonly value: ValueNode,
  ) {
    super(id);
  }

  override read(reader: Reader, below: Configuration): void {
    reader.beginValueIn(this.value, below);
  }
}

/** Before the value of a property, after its colon or before it. The object is below it. */
class PropertyFrame extends Frame {
  constructor(
    id: number,
    readonly value: ValueNode,
    readonly hasColon: boolean,
    /** Set after an additional name that is not recorded in the object yet. */
    override readonly isNameOpen: boolean,
  ) {
    super(id);
  }

  override withName(tables: Tables, name: string, below: Configuration): Entry {
    return { frame: propertyFrame(tables, this.value, this.hasColon, false), below: tables.withName(below, name) };
  }

  override read(reader: Reader, below: Configuration): void {
    const { value, hasColon, isNameOpen } = this;
    if (beginSpace(reader, this, below)) return;
    if (hasColon) reader.beginValueIn(value, below);
    else if (reader.byte === COLON) reader.become(propertyFrame(reader.tables, value, true, isNameOpen), below);
  }
}

function propertyFrame(tables: Tables, value: ValueNode, hasColon: boolean, isNameOpen: boolean): Frame {
  const key = `p${value.id},${hasColon},${isNameOpen}`;
  return tables.frame(key, (id) => new PropertyFrame(id, value, hasColon, isNameOpen));
}

/** The text of a regular expression, without quotes. */
class TextFrame extends Frame {
  override readonly canEnd: boolean;

  constructor(
    id: number,
    readonly state: StringState,
    override readonly plainRoom: number,
  ) {
    super(id);
    this.canEnd = state.part === BETWEEN && state.language.isAccepting;
  }

  override goesOn(languages: Languages): boolean {
    return !this.canEnd || languages.steps(this.state.language).targets.length > 0;
  }

  override read(reader: Reader, below: Configuration): void {
    const next = nextInText(reader.languages, this.state, reader.byte);
    if (next !== null) reader.become(reader.tables.text(reader.languages, next), below);
  }
}

/** Inside a JSON string. */
class StringFrame extends Frame {
  constructor(
    id: number,
    readonly state: StringState,
    override readonly plainRoom: number,
  ) {
    super(id);
  }

  override read(reader: Reader, below: Configuration): void {
    const { languages, tables, byte } = reader;
    if (byte === QUOTE && this.state.part === BETWEEN) {
      if (this.state.language.isAccepting) reader.finish(below);
      return;
    }
    const next = nextInJsonString(languages, this.state, byte);
    if (next !== null) reader.become(tables.string(languages, next), below);
  }
}

/** Inside null, true or false, or in the rest of a name with its quote. What is below it continues after the text. */
class LiteralFrame extends Frame {
  /** The frame after the next byte, if that is not the last one. */
  #next: Frame | null = null;

  constructor(
    id: number,
    /** One character for each byte. */
    readonly text: string,
    readonly numRead: number,
  ) {
    super(id);
    this.steps.only = text.charCodeAt(numRead);
  }

  override read(reader: Reader, below: Configuration): void {
    if (reader.byte !== this.steps.only) return;
    if (this.numRead + 1 === this.text.length) reader.finish(below);
    else reader.become((this.#next ??= literalFrame(reader.tables, this.text, this.numRead + 1)), below);
  }
}

function literalFrame(tables: Tables, text: string, numRead: number): Frame {
  return tables.frame(`w${text},${numRead}`, (id) => new LiteralFrame(id, text, numRead));
}

/** Inside a number; only the byte after a number shows that it has ended. */
class NumberFrame extends Frame {
  override readonly canEnd: boolean;

  constructor(
    id: number,
    readonly value: ValueNode,
    readonly prefix: NumberPrefix,
  ) {
    super(id);
    this.canEnd = isNumber(value.numbers, prefix);
  }

  override goesOn(): boolean {
    return !this.canEnd || NUMBER_BYTES.some((byte) => continueNumber(this.value.numbers, this.prefix, byte) !== null);
  }

  override passes(byte: number): boolean {
    return this.canEnd && !isNumberByte(byte);
  }

  override read(reader: Reader, below: Configuration): void {
    const next = isNumberByte(reader.byte) ? continueNumber(this.value.numbers, this.prefix, reader.byte) : null;
    if (next !== null) reader.become(numberFrame(reader.tables, this.value, next), below);
    // In JSON no number byte follows a number. In a rule of a grammar it may.
    if (this.canEnd) reader.readAll(below);
  }
}

const isNumberByte = (byte: number): boolean =>
  (byte >= 0x2b && byte <= 0x39 && byte !== COMMA && byte !== 0x2f) || byte === 0x65;

const NUMBER_BYTES = Array.from({ length: 256 }, (_, byte) => byte).filter(isNumberByte);

function numberFrame(tables: Tables, value: ValueNode, prefix: NumberPrefix): Frame {
  return tables.frame(`n${value.id},${prefix.text}`, (id) => new NumberFrame(id, value, prefix));
}

/** White space that was read: 0 for a space, 1 + n for a newline and n characters of indentation. */
type Space = number;

const ONE_SPACE: Space = 0;
const NEWLINE: Space = 1;
const MAX_INDENTATION = 32;

const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x09;

/** White space between two tokens of JSON. What is below it continues with the byte after it. */
class SpaceFrame extends Frame {
  constructor(
    id: number,
    readonly space: Space,
  ) {
    super(id);
  }

  override passes(byte: number): boolean {
    return !isSpace(byte);
  }

  override read(reader: Reader, below: Configuration): void {
    const { byte, tables } = reader;
    if (!isSpace(byte)) reader.readAll(below);
    else if (this.space >= NEWLINE && this.space < NEWLINE + MAX_INDENTATION && byte !== 0x0a)
      reader.become(spaceFrame(tables, this.space + 1), below);
  }
}

function spaceFrame(tables: Tables, space: Space): Frame {
  return tables.frame(`_${space}`, (id) => new SpaceFrame(id, space));
}

/** Begins white space where `frame` is before a token. @returns false if the byte is no white space */
function beginSpace(reader: Reader, frame: Frame, below: Configuration): boolean {
  const { byte, tables } = reader;
  if (!isSpace(byte)) return false;
  if (byte !== 0x09)
    reader.become(spaceFrame(tables, byte === 0x20 ? ONE_SPACE : NEWLINE), tables.single(frame, below));
  return true;
}

/** `open`: after the bracket; `item`: after an item; `comma`: after a comma. */
type ArrayPhase = "open" | "item" | "comma";

interface ArrayState {
  readonly shape: ArrayShape<ValueNode>;
  readonly phase: ArrayPhase;
  /** Number of items so far, and of those that the shape counts, as far as it distinguishes them. */
  readonly numItems: number;
  readonly numCounted: number;
  /** Items so far if they must be distinct, sorted: strings after a quote, as `namesOf` spells names, and other texts. */
  readonly taken: readonly string[];
  /** Set when one more string was closed: it differs from the others, but is not in `taken` yet. */
  readonly isItemOpen: boolean;
}

const NEW_ARRAY = {
  phase: "open",
  numItems: 0,
  numCounted: 0,
  taken: [],
  isItemOpen: false,
} as const;

class ArrayFrame extends Frame {
  override readonly isNameOpen: boolean;

  constructor(
    id: number,
    readonly state: ArrayState,
  ) {
    super(id);
    this.isNameOpen = state.isItemOpen;
  }

  override withName(tables: Tables, name: string, below: Configuration | null): Entry {
    return { frame: arrayFrame(tables, { ...withItem(this.state, `"${name}`), isItemOpen: false }), below };
  }

  override read(reader: Reader, below: Configuration): void {
    const { state } = this;
    const { shape, phase, numItems, numCounted } = state;
    const { tables, byte } = reader;
    if (beginSpace(reader, this, below)) return;
    if (byte === CLOSE_BRACKET) {
      if (phase !== "comma" && shape.isWhole(numItems, numCounted)) reader.finish(below);
    } else if (phase === "item") {
      if (
        byte === COMMA &&
        (shape.canFinish(numItems + 1, numCounted) || shape.canFinish(numItems + 1, numCounted + 1))
      )
        reader.become(arrayFrame(tables, { ...state, phase: "comma" }), below);
    } else if (shape.isUnique) {
      this.#beginDistinct(reader, below);
    } else {
      this.#beginItem(reader, below, shape.at(numItems), 0);
      const counted = shape.countedAt(numItems);
      if (counted !== null) this.#beginItem(reader, below, counted, 1);
    }
  }

  #beginItem(reader: Reader, below: Configuration, value: ValueNode, numMore: 0 | 1): void {
    const { state } = this;
    const [numItems, numCounted] = [state.numItems + 1, state.numCounted + numMore];
    if (!state.shape.canFinish(numItems, numCounted)) return;
    const after = { ...state, phase: "item", numItems, numCounted } as const;
    reader.beginValue(value, arrayFrame(reader.tables, after), below);
  }

  /** Begins an item that differs from all others. It is null, a boolean, a number or a string. */
  #beginDistinct(reader: Reader, below: Configuration): void {
    const { state } = this;
    const { languages, tables, byte } = reader;
    if (!state.shape.canFinish(state.numItems + 1, 0)) return;
    const value = state.shape.at(state.numItems);
    const array = arrayFrame(tables, { ...state, phase: "item", numItems: state.numItems + 1 });
    if (byte === QUOTE) {
      if (value.strings === languages.none) return;
      if (state.isItemOpen) reader.askForName();
      becomeDistinctString(reader, { state: { language: value.strings, part: BETWEEN }, array, begun: '"' }, below);
      return;
    }
    const word = WORDS.get(byte);
    if (word !== undefined) {
      if ((value.words & word.type) === 0 || state.taken.includes(word.text)) return;
      const after = arrayFrame(tables, withItem(array.state, word.text));
      reader.become(literalFrame(tables, word.text, 1), tables.single(after, below));
      return;
    }
    becomeDistinctNumber(reader, value, array, beginNumber(value.numbers, byte), below);
  }
}

function arrayFrame(tables: Tables, given: ArrayState): ArrayFrame {
  const state = { ...given, ...given.shape.reduced(given.numItems, given.numCounted) };
  const { shape, phase, numItems, numCounted, taken, isItemOpen } = state;
  const items = shape.isUnique ? `${isItemOpen},${JSON.stringify(taken)}` : "";
  const key = `a${shape.id},${phase},${numItems},${numCounted},${items}`;
  return tables.frame(key, (id) => new ArrayFrame(id, state)) as ArrayFrame;
}

const withItem = (state: ArrayState, item: string): ArrayState => ({ ...state, taken: [...state.taken, item].sort() });

/** A string that has been read in part, and differs from the other items of its array. */
interface DistinctString {
  readonly state: StringState;
  /** The array after this item, in which it is not recorded yet. */
  readonly array: ArrayFrame;
  /** A quote and the bytes so far. Null once no other item begins with them. */
  readonly begun: string | null;
}

class DistinctStringFrame extends Frame {
  override readonly plainRoom: number;

  constructor(
    id: number,
    readonly text: DistinctString,
    isEveryString: boolean,
  ) {
    super(id);
    this.plainRoom = isEveryString ? Infinity : -1;
  }

  override read(reader: Reader, below: Configuration): void {
    const { state, array, begun } = this.text;
    if (reader.byte === QUOTE && state.part === BETWEEN) {
      if (!state.language.isAccepting || (begun !== null && array.state.taken.includes(begun))) return;
      reader.become(arrayFrame(reader.tables, { ...array.state, isItemOpen: true }), below);
      return;
    }
    const next = nextOfDistinct(reader.languages, this.text, reader.byte);
    if (next !== null) becomeDistinctString(reader, next, below);
  }
}

function becomeDistinctString(reader: Reader, text: DistinctString, below: Configuration): void {
  const { languages, tables } = reader;
  const { state, array, begun } = text;
  if (begun !== null && !hasFree(languages, state, begun, array.state.taken)) return;
  const key = `d${array.id},${state.language.id},${state.part},${begun ?? ""},${begun === null}`;
  const isEveryString = state.part === BETWEEN && state.language === languages.all;
  reader.become(
    tables.frame(key, (id) => new DistinctStringFrame(id, text, isEveryString)),
    below,
  );
}

function nextOfDistinct(languages: Languages, text: DistinctString, byte: number): DistinctString | null {
  const state = nextInJsonString(languages, text.state, byte);
  if (state === null) return null;
  if (text.begun === null) return { ...text, state };
  const begun = text.begun + String.fromCharCode(byte);
  return { ...text, state, begun: text.array.state.taken.some((other) => other.startsWith(begun)) ? begun : null };
}

/** A number that differs from the other items of its array. */
class DistinctNumberFrame extends Frame {
  override readonly canEnd: boolean = false;

  constructor(
    id: number,
    readonly value: ValueNode,
    readonly array: ArrayFrame,
    readonly prefix: NumberPrefix,
  ) {
    super(id);
  }

  override read(reader: Reader, below: Configuration): void {
    const { value, array, prefix } = this;
    if (isNumberByte(reader.byte)) {
      const next = continueNumber(value.numbers, prefix, reader.byte);
      becomeDistinctNumber(reader, value, array, next, below);
      return;
    }
    const text = plainText(prefix);
    if (!isNumber(value.numbers, prefix) || array.state.taken.includes(text)) return;
    arrayFrame(reader.tables, withItem(array.state, text)).read(reader, below);
  }
}

function becomeDistinctNumber(
  reader: Reader,
  value: ValueNode,
  array: ArrayFrame,
  prefix: NumberPrefix | null,
  below: Configuration,
): void {
  if (prefix === null || !hasOtherNumber(value.numbers, prefix, new Set(array.state.taken))) return;
  const key = `D${array.id},${value.id},${prefix.text}`;
  reader.become(
    reader.tables.frame(key, (id) => new DistinctNumberFrame(id, value, array, prefix)),
    below,
  );
}

/** `open`: after the brace; each other phase: after what it names. Inside a property, the object waits below it. */
type ObjectPhase = "open" | "value" | "comma";

interface ObjectState {
  readonly shape: ObjectShape<ValueNode>;
  readonly phase: ObjectPhase;
  /** Bit set of the slots that are present. */
  readonly present: bigint;
  /** Additional names that are already used, spelled as in `ObjectShape.nameBytes`, sorted. */
  readonly added: readonly string[];
  /** Set when one more additional name was closed: it differs from the others, but is not in `added` yet. */
  readonly isNameOpen: boolean;
}

const NEW_OBJECT = {
  phase: "open",
  present: 0n,
  added: [],
  isNameOpen: false,
} as const;

class ObjectFrame extends Frame {
  override readonly isNameOpen: boolean;

  constructor(
    id: number,
    readonly state: ObjectState,
  ) {
    super(id);
    this.isNameOpen = state.isNameOpen;
  }

  override withName(tables: Tables, name: string, below: Configuration | null): Entry {
    const added = [...this.state.added, name].sort();
    return { frame: objectFrame(tables, { ...this.state, added, isNameOpen: false }), below };
  }

  override read(reader: Reader, below: Configuration): void {
    const { phase } = this.state;
    const { byte } = reader;
    if (beginSpace(reader, this, below)) return;
    if (byte === CLOSE_BRACE && phase !== "comma") this.#close(reader, below);
    else if (byte === QUOTE && phase !== "value") this.#beginName(reader, below);
    else if (byte === COMMA && phase === "value") this.#continue(reader, below);
  }

  /** Returns the names of the slots, or of those that can come next; null if none can. */
  slotNames(languages: Languages): Language | null {
    const { shape } = this.state;
    const slots = nextSlots(this.state);
    if (slots.length === 0) return null;
    if (!shape.hasPlainNames) return languages.wordsApart(slots.map((slot) => shape.slots[slot]!.name));
    this.#numNext ??= numBefore(shape.rankOfSlots, slots);
    return shape.names(languages);
  }

  /**
   * True if one of some names can come next.
   * @param first first index in the sorted names of the slots
   * @param end index after the last one
   */
  canNameOneOf(first: number, end: number): boolean {
    return this.#numNext === null || this.#numNext[first]! < this.#numNext[end]!;
  }

  /** By index in the sorted names: the number of names before it that can come next. Null until it is needed. */
  #numNext: Uint32Array | null = null;

  /** Returns the slot whose name is the only one of some that can come next, or null. The names are those that remain in a list. */
  onlySlot({ shape }: Language): number | null {
    if (shape.kind !== "words") return null;
    const { list, first, end } = shape;
    let index = first;
    if (this.#numNext === null) {
      if (end - first !== 1) return null;
    } else {
      const numBefore = this.#numNext[first]!;
      if (this.#numNext[end]! - numBefore !== 1) return null;
      for (let last = end; last - index > 1;) {
        const middle = (index + last) >> 1;
        if (this.#numNext[middle]! > numBefore) last = middle;
        else index = middle;
      }
    }
    return this.state.shape.slotOf(list.words[index]!);
  }

  #close(reader: Reader, below: Configuration): void {
    const { shape, present } = this.state;
    if (shape.isWhole(present, numNames(this.state))) reader.finish(below);
  }

  #continue(reader: Reader, below: Configuration): void {
    if (nextSlots(this.state).length === 0 && !canAdd(this.state)) return;
    reader.become(objectFrame(reader.tables, { ...this.state, phase: "comma" }), below);
  }

  #beginName(reader: Reader, below: Configuration): void {
    const { state } = this;
    const { shape } = state;
    const { languages, tables } = reader;
    // Names are the same after a brace and after a comma, with and without white space.
    const object = objectFrame(tables, { ...state, phase: "comma" });
    const mayAdd = canAdd(state);
    if (mayAdd && state.isNameOpen) reader.askForName();
    if (mayAdd && shape.isOpen) {
      const atStart = (language: Language): StringState => ({ language, part: BETWEEN });
      const name = openNameFrame(tables, {
        ofSlots: shape.slots.length === 0 ? null : atStart(shape.names(languages)),
        ofClasses: shape.classes.map(({ names }) => atStart(names)),
        begun: state.added.length === 0 ? null : "",
      });
      reader.become(name, tables.single(object, below));
      return;
    }
    const ofSlots = object.slotNames(languages);
    if (ofSlots !== null) becomeSlotName(reader, object, { language: ofSlots, part: BETWEEN }, below);
    if (!mayAdd) return;
    for (const nameClass of state.shape.classes) {
      const name = {
        state: { language: nameClass.names, part: BETWEEN },
        object,
        nameClass,
        begun: sharedBeginning(state, ""),
      };
      beginOrContinueName(reader, name, below);
    }
  }
}

function objectFrame(tables: Tables, state: ObjectState): ObjectFrame {
  const { shape, phase, present, added, isNameOpen } = state;
  const key = `o${shape.id},${phase},${present.toString(32)},${isNameOpen},${JSON.stringify(added)}`;
  return tables.frame(key, (id) => new ObjectFrame(id, state)) as ObjectFrame;
}

/** @returns for each rank, and for the end, the number of slots of lower rank. @param ranks by slot */
function numBefore(ranks: readonly number[], slots: readonly number[]): Uint32Array {
  const counts = new Uint32Array(ranks.length + 1);
  for (const slot of slots) counts[ranks[slot]! + 1]!++;
  for (let rank = 0; rank < ranks.length; rank++) counts[rank + 1]! += counts[rank]!;
  return counts;
}

/** Inside the name of a declared property. One frame reads all names that can come next. */
class SlotNameFrame extends Frame {
  constructor(
    id: number,
    readonly object: ObjectFrame,
    /** In a list of the names. */
    readonly name: StringState,
  ) {
    super(id);
  }

  override read(reader: Reader, below: Configuration): void {
    const { languages, byte } = reader;
    const { language, part } = this.name;
    const { object } = this;
    if (byte !== QUOTE || part !== BETWEEN) {
      const next = nextInJsonString(languages, this.name, byte);
      if (next !== null && leadsToName(object, next.language)) becomeSlotName(reader, object, next, below);
      return;
    }
    const name = wordRead(language);
    if (name === null || language.shape.kind !== "words") return;
    // The word that ends here is the first of those that remain.
    if (!object.canNameOneOf(language.shape.first, language.shape.first + 1)) return;
    becomeProperty(reader, object, object.state.shape.slotOf(name), below);
  }
}

/** True if one of the names that remain can come next. */
function leadsToName(object: ObjectFrame, { shape }: Language): boolean {
  return shape.kind !== "words" || object.canNameOneOf(shape.first, shape.end);
}

function becomeSlotName(reader: Reader, object: ObjectFrame, name: StringState, below: Configuration): void {
  const { tables } = reader;
  const slot = name.part === BETWEEN ? object.onlySlot(name.language) : null;
  if (slot === null || name.language.shape.kind !== "words") {
    const key = `s${object.id},${name.language.id},${name.part}`;
    reader.become(
      tables.frame(key, (id) => new SlotNameFrame(id, object, name)),
      below,
    );
    return;
  }
  // All objects share the frames of a name of which the rest is known.
  const rest = jsonBytes(object.state.shape.slots[slot]!.name.slice(name.language.shape.at));
  const after = tables.configuration([property(tables, object, slot, below)]);
  reader.become(literalFrame(tables, `${rest}"`, 0), after);
}

/** Continues after the name of a slot. */
function becomeProperty(reader: Reader, object: ObjectFrame, slot: number, below: Configuration): void {
  const entry = property(reader.tables, object, slot, below);
  reader.become(entry.frame, entry.below);
}

/** Returns what follows the name of a slot. */
function property(tables: Tables, { state }: ObjectFrame, slot: number, below: Configuration): Entry {
  const object = objectFrame(tables, { ...withSlot(state, slot), phase: "value" });
  return {
    frame: propertyFrame(tables, state.shape.slots[slot]!.value, false, false),
    below: tables.single(object, below),
  };
}

/** Continues after an additional name. */
function becomeAdditional(reader: Reader, { state }: ObjectFrame, value: ValueNode, below: Configuration): void {
  const { tables } = reader;
  const object = objectFrame(tables, { ...state, phase: "value", isNameOpen: true });
  reader.become(propertyFrame(tables, value, false, true), tables.single(object, below));
}

/** A name that has been read in part, of an object that takes any name. */
interface OpenName {
  /** In a list of the names of all slots. Null once no slot's name begins like this. */
  readonly ofSlots: StringState | null;
  /** By class of additional names. Null once no name of the class begins like this. */
  readonly ofClasses: readonly (StringState | null)[];
  /** The name so far, one character for each byte. Null once no additional name of the object begins with these bytes. */
  readonly begun: string | null;
}

/**
 * Inside a name of an object in which each text can go on to become an additional name. The object is below, so that all
 * its states share these frames, and once no slot's name begins like this, all objects do: what is allowed depends on
 * them only where the name ends.
 */
class OpenNameFrame extends Frame {
  override readonly plainRoom: number;

  constructor(
    id: number,
    readonly name: OpenName,
  ) {
    super(id);
    this.plainRoom = isBetween(name) ? Infinity : -1;
  }

  override read(reader: Reader, below: Configuration): void {
    const { languages, tables, byte } = reader;
    const { name } = this;
    // Objects that differ in their additional names differ in what follows.
    if (name.begun !== null) reader.dependOnBelow();
    if (byte === QUOTE && isBetween(name)) {
      this.#close(reader, below);
      return;
    }
    const read = (state: StringState | null) => (state === null ? null : nextInJsonString(languages, state, byte));
    const ofClasses = name.ofClasses.map(read);
    if (ofClasses.every((state) => state === null)) return;
    const begun = name.begun === null ? null : name.begun + String.fromCharCode(byte);
    const isShared =
      begun !== null && objectsIn(below).some(({ added }) => added.some((other) => other.startsWith(begun)));
    const next = { ...name, ofSlots: read(name.ofSlots), ofClasses, begun: isShared ? begun : null };
    reader.become(openNameFrame(tables, next), below);
  }

  #close(reader: Reader, below: Configuration): void {
    const { ofSlots, ofClasses, begun } = this.name;
    reader.dependOnBelow();
    const slotName = ofSlots === null ? null : wordRead(ofSlots.language);
    for (const { frame, below: outer } of below.entries) {
      const object = frame as ObjectFrame;
      const { shape } = object.state;
      if (slotName !== null) {
        const slot = shape.slotOf(slotName);
        if (nextSlots(object.state).includes(slot)) becomeProperty(reader, object, slot, outer!);
      } else if (begun === null || !object.state.added.includes(begun)) {
        const index = ofClasses.findIndex((state) => state?.language.isAccepting);
        becomeAdditional(reader, object, shape.classes[index]!.value, outer!);
      }
    }
  }
}

/** The objects on which a name was begun. */
const objectsIn = (below: Configuration): ObjectState[] =>
  below.entries.map(({ frame }) => (frame as ObjectFrame).state);

const isBetween = ({ ofClasses }: OpenName): boolean =>
  ofClasses.every((state) => state === null || state.part === BETWEEN);

function openNameFrame(tables: Tables, name: OpenName): Frame {
  const { ofSlots, ofClasses, begun } = name;
  let key = "k";
  for (const state of [ofSlots, ...ofClasses]) key += state === null ? "," : `${state.language.id}:${state.part},`;
  return tables.frame(begun === null ? key : key + begun + '"', (id) => new OpenNameFrame(id, name));
}

function nextSlots(state: ObjectState): number[] {
  return state.shape.nextSlots(state.present, numNames(state));
}

const numNames = ({ added, isNameOpen }: ObjectState): number => added.length + Number(isNameOpen);

const withSlot = (state: ObjectState, slot: number): ObjectState => ({
  ...state,
  present: state.present | (1n << BigInt(slot)),
});

const canAdd = (state: ObjectState): boolean => state.shape.canAdd(state.present, numNames(state));

/** The name of an additional property that has been read in part. */
interface NameState {
  readonly state: StringState;
  /** The object before this name. */
  readonly object: ObjectFrame;
  readonly nameClass: NameClass<ValueNode>;
  /** The name so far, one character for each byte. Null once no name of the object begins with these bytes. */
  readonly begun: string | null;
}

/** Inside the name of an additional property, which must differ from all other names of the object. */
class NameFrame extends Frame {
  override readonly plainRoom: number;

  constructor(
    id: number,
    readonly name: NameState,
    isEveryName: boolean,
  ) {
    super(id);
    this.plainRoom = isEveryName ? Infinity : -1;
  }

  override read(reader: Reader, below: Configuration): void {
    const { state, nameClass, begun } = this.name;
    if (reader.byte === QUOTE && state.part === BETWEEN) {
      const { object } = this.name;
      if (!state.language.isAccepting || (begun !== null && namesOf(object.state).includes(begun))) return;
      becomeAdditional(reader, object, nameClass.value, below);
      return;
    }
    const next = nextInName(reader.languages, this.name, reader.byte);
    if (next !== null) beginOrContinueName(reader, next, below);
  }
}

function beginOrContinueName(reader: Reader, name: NameState, below: Configuration): void {
  const { languages, tables } = reader;
  if (!hasFreeName(languages, name)) return;
  const { state, object, nameClass, begun } = name;
  const key = `m${object.id},${nameClass.names.id},${state.language.id},${state.part},${begun ?? ""},${begun === null}`;
  const isEveryName = state.part === BETWEEN && state.language === languages.all;
  reader.become(
    tables.frame(key, (id) => new NameFrame(id, name, isEveryName)),
    below,
  );
}

function nextInName(languages: Languages, name: NameState, byte: number): NameState | null {
  const { object, begun } = name;
  const state = nextInJsonString(languages, name.state, byte);
  if (state === null) return null;
  if (begun === null) return { ...name, state };
  return { ...name, state, begun: sharedBeginning(object.state, begun + String.fromCharCode(byte)) };
}

/** @returns `begun` for these bytes if a name of the object begins with them, else null */
function sharedBeginning({ shape, added }: ObjectState, bytes: string): NameState["begun"] {
  return shape.hasNameBeginning(bytes) || added.some((other) => other.startsWith(bytes)) ? bytes : null;
}

/** True if the name can still become one that the object does not have. */
function hasFreeName(languages: Languages, { state, object, begun }: NameState): boolean {
  return begun === null || hasFree(languages, state, begun, namesOf(object.state));
}

/**
 * True if a string that was read in part can still become one that is not taken: more strings begin like this than are
 * taken.
 * @param begun the string so far, as in `taken`
 */
function hasFree(languages: Languages, state: StringState, begun: string, taken: readonly string[]): boolean {
  const others = taken.filter((other) => other.startsWith(begun));
  if (others.length === 0) return true;
  if (state.part === BETWEEN) {
    const count = languages.count(state.language, MAX_NAMES);
    if (count >= MAX_NAMES) return true;
    return count > others.filter((other) => languages.has(state.language, textOf(other.slice(begun.length)))).length;
  }
  for (let byte = 0; byte < 256; byte++) {
    const next = nextInJsonString(languages, state, byte);
    if (next !== null && hasFree(languages, next, begun + String.fromCharCode(byte), others)) return true;
  }
  return false;
}

/** Returns the names that an additional name must differ from, spelled as in `ObjectShape.nameBytes`. */
function namesOf({ shape, added }: ObjectState): readonly string[] {
  return added.length === 0 ? shape.nameBytes : [...shape.nameBytes, ...added];
}

/**
 * Decodes what stands between the quotes of a JSON string.
 * @param bytes one character for each byte
 */
function textOf(bytes: string): string {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(
    Uint8Array.from(bytes, (byte) => byte.charCodeAt(0)),
  );
  return JSON.parse(`"${text}"`) as string;
}
