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
import { type Configuration, type Entry, Frame, type FrameReader, type FrameTables } from "./frame.js";
import type { StoredGrammar } from "./grammar-data.js";
import { type Languages, wordRead } from "./language.js";
import { type NumberPrefix, beginNumber, continueNumber, isNumber } from "./numbers.js";
import { MAX_NAMES, type NameClass, type ObjectShape, has } from "./objects.js";
import { Following } from "./rule-frames.js";
import type { RuleState } from "./rules.js";
import { plainRoom } from "./plain-room.js";
import { TYPE } from "./schema.js";
import { type Stack, Stacks } from "./stacks.js";
import { BETWEEN, type StringState, nextInJsonString, nextInText } from "./string-bytes.js";
import type { ArrayShape, ValueNode } from "./values.js";

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
    return this.#tables.size * BYTES_PER_CONFIGURATION + this.#stored.numStates * BYTES_PER_STATE;
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
    const known = configuration.next[byte];
    if (known !== undefined) return known;
    // Drops all tables at once. Configurations in use stay valid, and equal ones are built again when they are reached.
    if (this.#tables.size > LIMITS.maxGrammarConfigurations || this.#stored.numStates > LIMITS.maxGrammarLanguages) {
      this.#tables = new Tables(this.#ids);
      this.#stored.forget();
    }
    const reader = new Reader(this.#stored.languages, this.#tables, byte);
    reader.readAll(configuration);
    return (configuration.next[byte] = reader.result());
  }

  /** True if the answer is complete and no byte can follow. */
  isFinished({ isComplete, entries }: Configuration): boolean {
    return isComplete && !entries.some((entry) => this.#goesOn(entry));
  }

  #goesOn({ frame, below }: Entry): boolean {
    return frame.goesOn(this.#stored.languages) || (below?.entries.some((entry) => this.#goesOn(entry)) ?? false);
  }
}

/** A configuration with its frames and transitions by byte, and a state of a language. */
const BYTES_PER_CONFIGURATION = 3000;
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
  #numMoreEntries = 0;

  constructor(ids: Ids) {
    this.#ids = ids;
    this.stacks = new Stacks(() => ids.stack++);
  }

  /** Number of configurations, where large ones count several times. */
  get size(): number {
    const numEntries = this.#numMoreEntries + this.stacks.numReturns;
    return this.#configurations.size + Math.floor(numEntries / ENTRIES_PER_CONFIGURATION);
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
    const sorted = entries.length === 1 ? entries : [...entries].sort((a, b) => a.frame.id - b.frame.id);
    let key = "";
    for (const { frame, below } of sorted) key += `${frame.id}:${below?.id ?? ""};`;
    let configuration = this.#configurations.get(key);
    if (configuration === undefined) {
      configuration = {
        id: this.#ids.configuration++,
        entries: sorted,
        isComplete: sorted.some(({ frame, below }) => frame.canEnd && (below?.isComplete ?? true)),
        plainRoom:
          sorted.length === 1
            ? sorted[0]!.frame.plainRoom
            : sorted.some(({ frame }) => frame.plainRoom === Infinity)
              ? Infinity
              : -1,
        isInName: sorted.some(({ frame }) => frame instanceof NameFrame),
        isNameOpen: sorted.some(({ frame }) => frame instanceof ObjectFrame && frame.state.isNameOpen),
        next: new Array<Configuration | null | undefined>(256),
      };
      this.#configurations.set(key, configuration);
      this.#numMoreEntries += sorted.length - 1;
    }
    return configuration;
  }

  /** Records the name that was closed in its object. */
  withName(configuration: Configuration, name: string): Configuration {
    return this.configuration(
      configuration.entries.map(({ frame, below }) => {
        if (!(frame instanceof ObjectFrame) || !frame.state.isNameOpen) return { frame, below };
        return {
          frame: objectFrame(this, { ...frame.state, added: [...frame.state.added, name].sort(), isNameOpen: false }),
          below,
        };
      }),
    );
  }
}

/** Result of a step that depends on a name that is not recorded yet. */
export const UNKNOWN: Configuration = {
  id: -1,
  entries: [],
  isComplete: false,
  plainRoom: -1,
  isInName: false,
  isNameOpen: false,
  next: [],
};

/** Reads one byte in every frame of a configuration and collects the resulting frames. */
class Reader implements FrameReader {
  readonly #found: Found = new Map();
  /** What follows in the rules of a context-free grammar, by the configuration below them. */
  readonly #following = new Map<Configuration, Following>();
  #asksForName = false;

  constructor(
    readonly languages: Languages,
    readonly tables: Tables,
    readonly byte: number,
  ) {}

  readAll(configuration: Configuration): void {
    for (const { frame, below } of configuration.entries) frame.read(this, below!);
  }

  /** Adds a frame that the current one becomes with this byte. */
  become(frame: Frame, below: Configuration | null): void {
    add(this.#found, frame, below);
  }

  /** Finishes the current frame with this byte: the configuration below it continues. */
  finish(below: Configuration): void {
    for (const entry of below.entries) this.become(entry.frame, entry.below);
  }

  /** Goes to a state of a rule with this byte. The states of all frames are followed together, in `result`. */
  enter(state: RuleState, stack: Stack | null, below: Configuration): void {
    let following = this.#following.get(below);
    if (following === undefined) this.#following.set(below, (following = new Following(this.tables, this.languages)));
    following.add(state, stack);
  }

  /** Begins a value with this byte; `outer` continues after the value. */
  beginValue(value: ValueNode, outer: Frame, below: Configuration): void {
    this.beginValueIn(value, this.tables.configuration([{ frame: outer, below }]));
  }

  beginValueIn(value: ValueNode, below: Configuration): void {
    const { tables, byte } = this;
    if (byte === QUOTE) {
      if (value.strings !== this.languages.none)
        this.become(tables.string(this.languages, { language: value.strings, part: BETWEEN }), below);
    } else if (byte === OPEN_BRACE) {
      for (const shape of value.objects) this.become(objectFrame(tables, { ...NEW_OBJECT, shape }), below);
    } else if (byte === OPEN_BRACKET) {
      for (const shape of value.arrays) this.become(arrayFrame(tables, shape, "open", 0, 0), below);
    } else {
      const word = WORDS.get(byte);
      if (word !== undefined) {
        if ((value.words & word.type) !== 0) this.become(wordFrame(tables, word.text, 1), below);
        return;
      }
      const prefix = beginNumber(value.numbers, byte);
      if (prefix !== null) this.become(numberFrame(tables, value, prefix), below);
    }
  }

  /** Marks the result as dependent on a name that is not recorded yet. */
  askForName(): void {
    this.#asksForName = true;
  }

  result(): Configuration | null {
    if (this.#asksForName) return UNKNOWN;
    for (const [below, following] of this.#following)
      for (const entry of following.entries(below)) this.become(entry.frame, entry.below);
    if (this.#found.size === 0) return null;
    return this.#merged(this.#found);
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

/** Inside null, true or false. */
class WordFrame extends Frame {
  constructor(
    id: number,
    readonly text: string,
    readonly numRead: number,
  ) {
    super(id);
  }

  override read(reader: Reader, below: Configuration): void {
    if (reader.byte !== this.text.charCodeAt(this.numRead)) return;
    if (this.numRead + 1 === this.text.length) reader.finish(below);
    else reader.become(wordFrame(reader.tables, this.text, this.numRead + 1), below);
  }
}

function wordFrame(tables: Tables, text: string, numRead: number): Frame {
  return tables.frame(`w${text},${numRead}`, (id) => new WordFrame(id, text, numRead));
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

/** White space that was read: 0 for none, 1 for a space, 2 + n for a newline and n characters of indentation. */
type Space = number;

const NO_SPACE: Space = 0;
const ONE_SPACE: Space = 1;
const NEWLINE: Space = 2;
const MAX_INDENTATION = 32;

/** @returns the white space after another byte, or null if the byte may not follow */
function moreSpace(space: Space, byte: number): Space | null {
  if (space === NO_SPACE) return byte === 0x20 ? ONE_SPACE : byte === 0x0a ? NEWLINE : null;
  return space >= NEWLINE && space < NEWLINE + MAX_INDENTATION && (byte === 0x20 || byte === 0x09) ? space + 1 : null;
}

/** `open`: after the bracket; `item`: after an item; `comma`: after a comma. */
type ArrayPhase = "open" | "item" | "comma";

class ArrayFrame extends Frame {
  constructor(
    id: number,
    readonly shape: ArrayShape,
    readonly phase: ArrayPhase,
    readonly space: Space,
    readonly numItems: number,
  ) {
    super(id);
  }

  override read(reader: Reader, below: Configuration): void {
    const { shape, phase, numItems } = this;
    const { tables, byte } = reader;
    const space = moreSpace(this.space, byte);
    if (space !== null) {
      reader.become(arrayFrame(tables, shape, phase, space, numItems), below);
    } else if (byte === CLOSE_BRACKET) {
      if (phase !== "comma" && numItems >= shape.min) reader.finish(below);
    } else if (phase === "item") {
      if (byte === COMMA && numItems < shape.max)
        reader.become(arrayFrame(tables, shape, "comma", NO_SPACE, numItems), below);
    } else if (numItems < shape.max) {
      reader.beginValue(
        shape.prefix[numItems] ?? shape.rest,
        arrayFrame(tables, shape, "item", NO_SPACE, numItems + 1),
        below,
      );
    }
  }
}

function arrayFrame(tables: Tables, shape: ArrayShape, phase: ArrayPhase, space: Space, numItems: number): Frame {
  // Counts that the shape does not distinguish would only add states.
  const count = shape.max === Infinity ? Math.min(numItems, Math.max(shape.min, shape.prefix.length)) : numItems;
  return tables.frame(
    `a${shape.id},${phase},${space},${count}`,
    (id) => new ArrayFrame(id, shape, phase, space, count),
  );
}

/** `open`: after the brace; each other phase: after what it names. */
type ObjectPhase = "open" | "name" | "colon" | "value" | "comma";

interface ObjectState {
  readonly shape: ObjectShape<ValueNode>;
  readonly phase: ObjectPhase;
  readonly space: Space;
  /** The first slot that can still follow. */
  readonly nextSlot: number;
  /** Number of properties so far, counted only as far as the bounds need it. */
  readonly count: number;
  /** Bit set of the slots that are present; 0 if no slot needs another. */
  readonly present: bigint;
  /** Additional names that are already used, spelled as in `ObjectShape.nameBytes`, sorted. */
  readonly added: readonly string[];
  /** Set when one more additional name was closed: it differs from the others, but is not in `added` yet. */
  readonly isNameOpen: boolean;
  /** The value that follows the colon; null outside the phases `name` and `colon`. */
  readonly value: ValueNode | null;
}

const NEW_OBJECT = {
  phase: "open",
  space: NO_SPACE,
  nextSlot: 0,
  count: 0,
  present: 0n,
  added: [],
  isNameOpen: false,
  value: null,
} as const;

class ObjectFrame extends Frame {
  constructor(
    id: number,
    readonly state: ObjectState,
  ) {
    super(id);
  }

  override read(reader: Reader, below: Configuration): void {
    const { state } = this;
    const { tables, byte } = reader;
    const space = moreSpace(state.space, byte);
    if (space !== null) {
      reader.become(objectFrame(tables, { ...state, space }), below);
      return;
    }
    switch (state.phase) {
      case "open":
      case "comma":
        if (byte === QUOTE) this.#beginName(reader, below);
        else if (byte === CLOSE_BRACE && state.phase === "open") this.#close(reader, below);
        return;
      case "name":
        if (byte === COLON) reader.become(objectFrame(tables, { ...state, phase: "colon", space: NO_SPACE }), below);
        return;
      case "colon":
        reader.beginValue(
          state.value!,
          objectFrame(tables, { ...state, phase: "value", space: NO_SPACE, value: null }),
          below,
        );
        return;
      case "value":
        if (byte === COMMA) this.#continue(reader, below);
        else if (byte === CLOSE_BRACE) this.#close(reader, below);
    }
  }

  #close(reader: Reader, below: Configuration): void {
    const { shape, nextSlot, count, present } = this.state;
    if (shape.isWhole(nextSlot, count, present)) reader.finish(below);
  }

  #continue(reader: Reader, below: Configuration): void {
    if (nextSlots(this.state).length === 0 && !canAdd(this.state)) return;
    reader.become(objectFrame(reader.tables, { ...this.state, phase: "comma", space: NO_SPACE }), below);
  }

  #beginName(reader: Reader, below: Configuration): void {
    const { state } = this;
    const { languages, tables } = reader;
    // Names are the same after a brace and after a comma, with and without white space.
    const object = objectFrame(tables, { ...state, phase: "comma", space: NO_SPACE });
    const names = nextSlots(state).map((slot) => state.shape.slots[slot]!.name);
    if (names.length > 0)
      reader.become(slotNameFrame(tables, object, { language: languages.wordsApart(names), part: BETWEEN }), below);
    if (!canAdd(state)) return;
    if (state.isNameOpen) reader.askForName();
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
  const { shape, phase, space, nextSlot, count, present, added, isNameOpen, value } = state;
  const key = `o${shape.id},${phase},${space},${nextSlot},${count},${present.toString(32)},${value?.id ?? ""},${isNameOpen},${JSON.stringify(added)}`;
  return tables.frame(key, (id) => new ObjectFrame(id, state)) as ObjectFrame;
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
    const { languages, tables, byte } = reader;
    const { language, part } = this.name;
    if (byte !== QUOTE || part !== BETWEEN) {
      const next = nextInJsonString(languages, this.name, byte);
      if (next !== null) reader.become(slotNameFrame(tables, this.object, next), below);
      return;
    }
    const name = wordRead(language);
    if (name === null) return;
    const { state } = this.object;
    const slot = state.shape.slotOf(name);
    const { value } = state.shape.slots[slot]!;
    reader.become(objectFrame(tables, { ...withSlot(state, slot), phase: "name", space: NO_SPACE, value }), below);
  }
}

function slotNameFrame(tables: Tables, object: ObjectFrame, name: StringState): Frame {
  const key = `s${object.id},${name.language.id},${name.part}`;
  return tables.frame(key, (id) => new SlotNameFrame(id, object, name));
}

/** Returns the slots of declared properties that can come next, none of them after the first required slot. */
function nextSlots(state: ObjectState): number[] {
  const { shape, nextSlot } = state;
  const slots: number[] = [];
  for (let slot = nextSlot; slot < shape.slots.length; slot++) {
    const { count, present } = withSlot(state, slot);
    if (shape.isSlotPossible(slot) && shape.canFinish(slot + 1, count, present, numNames(state))) slots.push(slot);
    if (shape.slots[slot]!.isRequired) break;
  }
  return slots;
}

const numNames = ({ added, isNameOpen }: ObjectState): number => added.length + Number(isNameOpen);

function withSlot(state: ObjectState, slot: number): ObjectState {
  const present = state.shape.hasNeeds ? state.present | (1n << BigInt(slot)) : 0n;
  return { ...state, nextSlot: slot + 1, count: oneMore(state), present };
}

function canAdd(state: ObjectState): boolean {
  const { shape, nextSlot, count, present } = state;
  const numAdded = numNames(state);
  for (let slot = nextSlot; slot < shape.slots.length; slot++) {
    if (shape.slots[slot]!.isRequired && !has(present, slot)) return false;
  }
  return shape.canAdd(count, present, numAdded);
}

/** Returns the count after one more property, counted only as far as the bounds need it. */
function oneMore({ shape, count }: ObjectState): number {
  return shape.max === Infinity ? Math.min(count + 1, shape.min) : count + 1;
}

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
      const object = this.name.object.state;
      if (!state.language.isAccepting || (begun !== null && namesOf(object).includes(begun))) return;
      const nextSlot = object.shape.slots.length;
      const after = {
        phase: "name",
        space: NO_SPACE,
        nextSlot,
        count: oneMore(object),
        isNameOpen: true,
        value: nameClass.value,
      } as const;
      reader.become(objectFrame(reader.tables, { ...object, ...after }), below);
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
function sharedBeginning(object: ObjectState, bytes: string): NameState["begun"] {
  return namesOf(object).some((other) => other.startsWith(bytes)) ? bytes : null;
}

/** True if the name can still become one that the object does not have: more names begin like this than are used. */
function hasFreeName(languages: Languages, name: NameState): boolean {
  const { state, begun } = name;
  if (begun === null) return true;
  if (state.part === BETWEEN) {
    const count = languages.count(state.language, MAX_NAMES);
    if (count >= MAX_NAMES) return true;
    const taken = namesOf(name.object.state).filter((other) => other.startsWith(begun));
    return count > taken.filter((other) => languages.has(state.language, textOf(other.slice(begun.length)))).length;
  }
  for (let byte = 0; byte < 256; byte++) {
    const next = nextInName(languages, name, byte);
    if (next !== null && hasFreeName(languages, next)) return true;
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
