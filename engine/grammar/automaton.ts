/**
 * The pushdown automaton of a grammar. A configuration is a set of frames, one for each way to read the answer so far, and
 * under each frame the configuration that goes on when it is done: a stack that shares what its branches have in common.
 * Frames and configurations are interned, so that the same state is the same object and remembers where bytes lead.
 *
 * Every frame can be finished: a byte is taken only if the rest of the answer can still be written (see objects.ts,
 * numbers.ts and `settle` in language.ts). White space between JSON tokens is one space, or one newline and indentation.
 */

import { LIMITS } from "../limits.js";
import type { Language, Languages } from "./language.js";
import { type NumberPrefix, beginNumber, continueNumber, isNumber, prefixKey } from "./numbers.js";
import { MAX_NAMES, type NameClass, type ObjectShape, has, utf8Bytes } from "./objects.js";
import { TYPE } from "./schema.js";
import { BETWEEN, type StringState, nextInJsonString, nextInText } from "./string-bytes.js";
import type { ArrayShape, ValueNode } from "./values.js";

/** All ways to read the answer so far. */
export interface Configuration {
  readonly entries: readonly Entry[];
  /** The answer may end here. */
  readonly isComplete: boolean;
  /** How many code points of plain text (see VocabularyTrie) can follow, whichever they are; -1: it depends. */
  readonly plainRoom: number;
  /** Inside the name of an additional property. */
  readonly isInName: boolean;
  /** A name was closed that is not written down yet: see `Automaton.read`. */
  readonly isNameOpen: boolean;
  /** Where bytes lead: null for nowhere, undefined where it was not asked. */
  readonly next: (Configuration | null | undefined)[];
  readonly id: number;
}

/** One way. */
export interface Entry {
  readonly frame: Frame;
  readonly below: Configuration | null;
}

/** A configuration, and the text of the name that is being read in it, as it is spelled: one character for each byte. */
export interface Position {
  readonly configuration: Configuration;
  readonly name: string;
}

/** What the answer is made of: one value, or text. */
export type AnswerShape =
  { readonly kind: "value"; readonly value: ValueNode } | { readonly kind: "text"; readonly language: Language };

export class Automaton {
  readonly #languages: Languages;
  readonly #shape: AnswerShape;
  /** Ids are never given twice: what was let go may still be in use. */
  readonly #ids = { frame: 0, configuration: 0 };
  #tables = new Tables(this.#ids);

  constructor(languages: Languages, shape: AnswerShape) {
    this.#languages = languages;
    this.#shape = shape;
  }

  get start(): Position {
    return { configuration: this.#start(), name: "" };
  }

  #start(): Configuration {
    const tables = this.#tables;
    if (tables.start === null) {
      const end = tables.configuration([{ frame: tables.frame("end", (id) => new EndFrame(id)), below: null }]);
      const frame =
        this.#shape.kind === "text"
          ? tables.text(this.#languages, { language: this.#shape.language, part: BETWEEN })
          : tables.frame("start", (id) => new StartFrame(id, this.#shape.kind === "value" ? this.#shape.value : null!));
      tables.start = tables.configuration([{ frame, below: end }]);
    }
    return tables.start;
  }

  /** @returns where bytes lead, or null if no answer goes on like this */
  readAll(position: Position, bytes: Uint8Array): Position | null {
    let reached: Position | null = position;
    for (const byte of bytes) {
      reached = this.#read(reached, byte);
      if (reached === null) return null;
    }
    return reached;
  }

  /**
   * A name that no other name of its object begins like is not part of the configuration while it is read, or every name
   * would be a state. It is written into its object when it is closed.
   */
  #read({ configuration, name }: Position, byte: number): Position | null {
    const next = this.step(configuration, byte);
    if (next === null) return null;
    if (next.isNameOpen) return { configuration: this.#tables.withName(next, utf8Bytes(characters(name))), name: "" };
    return {
      configuration: next,
      name: next.isInName && configuration.isInName ? name + String.fromCharCode(byte) : "",
    };
  }

  /** @returns where a byte leads, `UNKNOWN` if that depends on a name that was not written down, or null for nowhere */
  step(configuration: Configuration, byte: number): Configuration | null {
    const known = configuration.next[byte];
    if (known !== undefined) return known;
    // What was remembered is let go as a whole; configurations in use stay good, and are found anew.
    if (this.#tables.numConfigurations > LIMITS.maxGrammarConfigurations) this.#tables = new Tables(this.#ids);
    const reader = new Reader(this.#languages, this.#tables, byte);
    reader.readAll(configuration);
    return (configuration.next[byte] = reader.result());
  }
}

/** What is interned. */
class Tables {
  start: Configuration | null = null;
  readonly #frames = new Map<string, Frame>();
  readonly #texts = new Map<number, Frame>();
  readonly #strings = new Map<number, Frame>();
  readonly #configurations = new Map<string, Configuration>();
  readonly #ids: { frame: number; configuration: number };

  constructor(ids: { frame: number; configuration: number }) {
    this.#ids = ids;
  }

  get numConfigurations(): number {
    return this.#configurations.size;
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
    }
    return configuration;
  }

  /** Writes the name that was closed into its object. */
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

/** Where it depends on what a name was. */
export const UNKNOWN: Configuration = {
  id: -1,
  entries: [],
  isComplete: false,
  plainRoom: -1,
  isInName: false,
  isNameOpen: false,
  next: [],
};

/** Universal text, or text bounded by its length alone. */
function plainRoom(languages: Languages, { language, part }: StringState): number {
  const { shape } = language;
  return part === BETWEEN && shape.kind === "repeat" && shape.of === languages.any ? shape.max : -1;
}

/** Reads one byte in every frame of a configuration and collects what they become. */
class Reader {
  readonly #found = new Map<Frame, Configuration | null>();
  #asksForName = false;

  constructor(
    readonly languages: Languages,
    readonly tables: Tables,
    readonly byte: number,
  ) {}

  readAll(configuration: Configuration): void {
    for (const { frame, below } of configuration.entries) frame.read(this, below!);
  }

  /** The frame goes on as another. */
  become(frame: Frame, below: Configuration | null): void {
    const known = this.#found.get(frame);
    this.#found.set(
      frame,
      known === undefined || known === null || below === null ? below : this.#merged(known, below),
    );
  }

  /** The frame is done with this byte. */
  finish(below: Configuration): void {
    for (const entry of below.entries) this.become(entry.frame, entry.below);
  }

  /** A value begins with this byte, inside `outer`. */
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

  /** What the byte leads to depends on a name that is not known here. */
  askForName(): void {
    this.#asksForName = true;
  }

  result(): Configuration | null {
    if (this.#asksForName) return UNKNOWN;
    if (this.#found.size === 0) return null;
    return this.tables.configuration([...this.#found].map(([frame, below]) => ({ frame, below })));
  }

  #merged(a: Configuration, b: Configuration): Configuration {
    if (a === b) return a;
    const all = new Map<Frame, Configuration | null>(a.entries.map(({ frame, below }) => [frame, below]));
    for (const { frame, below } of b.entries) {
      const known = all.get(frame);
      all.set(frame, known === undefined || known === null || below === null ? below : this.#merged(known, below));
    }
    return this.tables.configuration([...all].map(([frame, below]) => ({ frame, below })));
  }
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const WORDS: ReadonlyMap<number, { readonly text: string; readonly type: number }> = new Map(
  (["null", "true", "false"] as const).map((text) => [text.charCodeAt(0), { text, type: TYPE[text] }]),
);

abstract class Frame {
  constructor(readonly id: number) {}

  /** Whether it may end without another byte. */
  readonly canEnd: boolean = false;
  readonly plainRoom: number = -1;

  abstract read(reader: Reader, below: Configuration): void;
}

/** After the answer: nothing follows. */
class EndFrame extends Frame {
  override readonly canEnd = true;

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

/** Inside a number; only what follows tells that it is over. */
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

  override read(reader: Reader, below: Configuration): void {
    const next = isNumberByte(reader.byte) ? continueNumber(this.value.numbers, this.prefix, reader.byte) : null;
    if (next !== null) reader.become(numberFrame(reader.tables, this.value, next), below);
    else if (this.canEnd && !isNumberByte(reader.byte)) reader.readAll(below);
  }
}

const isNumberByte = (byte: number): boolean =>
  (byte >= 0x2b && byte <= 0x39 && byte !== COMMA && byte !== 0x2f) || (byte | 0x20) === 0x65;

function numberFrame(tables: Tables, value: ValueNode, prefix: NumberPrefix): Frame {
  return tables.frame(`n${value.id},${prefixKey(prefix)}`, (id) => new NumberFrame(id, value, prefix));
}

/** White space that was read: none, a space, or a newline and so much indentation. */
type Space = number;

const NO_SPACE: Space = 0;
const ONE_SPACE: Space = 1;
const NEWLINE: Space = 2;
const MAX_INDENTATION = 32;

/** @returns the white space with another byte, or null if it may not follow */
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
  // Beyond what the shape tells apart, counting would only make states.
  const count = shape.max === Infinity ? Math.min(numItems, Math.max(shape.min, shape.prefix.length)) : numItems;
  return tables.frame(
    `a${shape.id},${phase},${space},${count}`,
    (id) => new ArrayFrame(id, shape, phase, space, count),
  );
}

/** `open`: after the brace; `name`: after a name; `colon`; `value`: after a value; `comma`. */
type ObjectPhase = "open" | "name" | "colon" | "value" | "comma";

interface ObjectState {
  readonly shape: ObjectShape<ValueNode>;
  readonly phase: ObjectPhase;
  readonly space: Space;
  /** Slots before it are over. */
  readonly nextSlot: number;
  /** Properties there are, as far as the bounds ask. */
  readonly count: number;
  /** Bits of the slots that are there, where some need others. */
  readonly present: bigint;
  /** Additional names that are taken, as UTF-8, in order. */
  readonly added: readonly string[];
  /** One more additional name was closed; it differs from the others, but is not among them yet. */
  readonly isNameOpen: boolean;
  /** What follows the colon. */
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
    for (const slot of nextSlots(state)) {
      const { name, value } = state.shape.slots[slot]!;
      const after = objectFrame(tables, { ...withSlot(state, slot), phase: "name", space: NO_SPACE, value });
      const frame = tables.string(languages, { language: languages.words([name]), part: BETWEEN });
      reader.become(frame, tables.configuration([{ frame: after, below }]));
    }
    if (!canAdd(state)) return;
    if (state.isNameOpen) reader.askForName();
    for (const nameClass of state.shape.classes) {
      const name = {
        state: { language: nameClass.names, part: BETWEEN },
        object: this,
        nameClass,
        begun: sharedBeginning(state, ""),
      };
      beginOrContinueName(reader, name, below);
    }
  }
}

function objectFrame(tables: Tables, state: ObjectState): Frame {
  const { shape, phase, space, nextSlot, count, present, added, isNameOpen, value } = state;
  const key = `o${shape.id},${phase},${space},${nextSlot},${count},${present},${value?.id ?? ""},${isNameOpen},${JSON.stringify(added)}`;
  return tables.frame(key, (id) => new ObjectFrame(id, state));
}

/** The declared properties that can come next: those after a required one cannot. */
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

/** Counted only as far as it matters. */
function oneMore({ shape, count }: ObjectState): number {
  return shape.max === Infinity ? Math.min(count + 1, shape.min) : count + 1;
}

/** The name of an additional property, as far as it was read. */
interface NameState {
  readonly state: StringState;
  /** The object before this name. */
  readonly object: ObjectFrame;
  readonly nameClass: NameClass<ValueNode>;
  /** The name so far, as UTF-8, where one that the object has begins like this, and an escape of which more is to come. */
  readonly begun: { readonly bytes: string; readonly escape: string } | null;
}

/** Inside the name of an additional property, which must differ from all others of the object. */
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
      if (!state.language.isAccepting || (begun !== null && namesOf(object).includes(begun.bytes))) return;
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
  const key = `m${object.id},${nameClass.names.id},${state.language.id},${state.part},${begun?.escape},${begun?.bytes}`;
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
  const isEscape = begun.escape !== "" || byte === BACKSLASH;
  const read = begun.escape + String.fromCharCode(byte);
  if (isEscape && state.part !== BETWEEN) return { ...name, state, begun: { ...begun, escape: read } };
  return {
    ...name,
    state,
    begun: sharedBeginning(object.state, begun.bytes + (isEscape ? utf8Bytes(characters(read)) : read)),
  };
}

/** @returns the beginning of a name if one that the object has begins like this, else null */
function sharedBeginning(object: ObjectState, bytes: string): NameState["begun"] {
  return namesOf(object).some((other) => other.startsWith(bytes)) ? { bytes, escape: "" } : null;
}

/** Whether a name begins like this that the object does not have: there must be more such names than are taken. */
function hasFreeName(languages: Languages, name: NameState): boolean {
  const { state, begun } = name;
  if (begun === null) return true;
  if (state.part === BETWEEN) {
    const count = languages.count(state.language, MAX_NAMES);
    if (count >= MAX_NAMES) return true;
    const taken = namesOf(name.object.state).filter((other) => other.startsWith(begun.bytes));
    return (
      count > taken.filter((other) => languages.has(state.language, textOf(other.slice(begun.bytes.length)))).length
    );
  }
  for (let byte = 0; byte < 256; byte++) {
    const next = nextInName(languages, name, byte);
    if (next !== null && hasFreeName(languages, next)) return true;
  }
  return false;
}

/** The names that an additional one must differ from, as UTF-8. */
function namesOf({ shape, added }: ObjectState): readonly string[] {
  return added.length === 0 ? shape.nameBytes : [...shape.nameBytes, ...added];
}

/** @param spelled UTF-8 and escapes of JSON, one character for each byte */
function characters(spelled: string): string {
  const text = textOf(spelled);
  return text.includes("\\") ? (JSON.parse(`"${text}"`) as string) : text;
}

/** @param bytes UTF-8, one character for each byte */
function textOf(bytes: string): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0)));
}
