/** Frames of objects, their names and their properties. */

import {
  type ByteSet,
  type Configuration,
  type Entry,
  Frame,
  type FrameReader,
  type FrameTables,
  byteSet,
} from "./frame.js";
import { ANY_TEXT, type FreeText, NO_FREE_TEXT, freeText } from "./free-text.js";
import { type Language, type Languages, wordRead } from "./language.js";
import { type NameClass, type ObjectShape, jsonBytes } from "./objects.js";
import { SPACES, VALUE_STARTS, beginSpace, literalFrame } from "./scalar-frames.js";
import { BETWEEN, type StringState, hasFree, hasMany, nextInJsonString } from "./string-bytes.js";
import type { ValueNode } from "./values.js";

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const CLOSE_BRACE = 0x7d;

const BEFORE_COLON = byteSet(`${SPACES}:`);
const BEFORE_VALUE = byteSet(`${SPACES}${VALUE_STARTS}`);

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
    this.steps.reads = hasColon ? BEFORE_VALUE : BEFORE_COLON;
  }

  override withName(tables: FrameTables, name: string, below: Configuration): Entry {
    return { frame: propertyFrame(tables, this.value, this.hasColon, false), below: tables.withName(below, name) };
  }

  override read(reader: FrameReader, below: Configuration): void {
    const { value, hasColon, isNameOpen } = this;
    if (beginSpace(reader, this, below)) return;
    if (hasColon) reader.beginValueIn(value, below);
    else if (reader.byte === COLON) reader.become(propertyFrame(reader.tables, value, true, isNameOpen), below);
  }
}

function propertyFrame(tables: FrameTables, value: ValueNode, hasColon: boolean, isNameOpen: boolean): Frame {
  const key = `p${value.id},${hasColon},${isNameOpen}`;
  return tables.frame(key, (id) => new PropertyFrame(id, value, hasColon, isNameOpen));
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

export const NEW_OBJECT = {
  phase: "open",
  present: 0n,
  added: [],
  isNameOpen: false,
} as const;

const OBJECT_READS: Readonly<Record<ObjectPhase, ByteSet>> = {
  open: byteSet(`${SPACES}"}`),
  value: byteSet(`${SPACES},}`),
  comma: byteSet(`${SPACES}"`),
};

class ObjectFrame extends Frame {
  override readonly isNameOpen: boolean;

  constructor(
    id: number,
    readonly state: ObjectState,
  ) {
    super(id);
    this.isNameOpen = state.isNameOpen;
    this.steps.reads = OBJECT_READS[state.phase];
  }

  override withName(tables: FrameTables, name: string, below: Configuration | null): Entry {
    const added = [...this.state.added, name].sort();
    return { frame: objectFrame(tables, { ...this.state, added, isNameOpen: false }), below };
  }

  override read(reader: FrameReader, below: Configuration): void {
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

  #close(reader: FrameReader, below: Configuration): void {
    const { shape, present } = this.state;
    if (shape.isWhole(present, numNames(this.state))) reader.finish(below);
  }

  #continue(reader: FrameReader, below: Configuration): void {
    if (nextSlots(this.state).length === 0 && !canAdd(this.state)) return;
    reader.become(objectFrame(reader.tables, { ...this.state, phase: "comma" }), below);
  }

  #beginName(reader: FrameReader, below: Configuration): void {
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

export function objectFrame(tables: FrameTables, state: ObjectState): ObjectFrame {
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

  override read(reader: FrameReader, below: Configuration): void {
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

function becomeSlotName(reader: FrameReader, object: ObjectFrame, name: StringState, below: Configuration): void {
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
function becomeProperty(reader: FrameReader, object: ObjectFrame, slot: number, below: Configuration): void {
  const entry = property(reader.tables, object, slot, below);
  reader.become(entry.frame, entry.below);
}

/** Returns what follows the name of a slot. */
function property(tables: FrameTables, { state }: ObjectFrame, slot: number, below: Configuration): Entry {
  const object = objectFrame(tables, { ...withSlot(state, slot), phase: "value" });
  return {
    frame: propertyFrame(tables, state.shape.slots[slot]!.value, false, false),
    below: tables.single(object, below),
  };
}

/** Continues after an additional name. */
function becomeAdditional(reader: FrameReader, { state }: ObjectFrame, value: ValueNode, below: Configuration): void {
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
  override readonly isInName = true;

  constructor(
    id: number,
    readonly name: OpenName,
  ) {
    super(id);
  }

  override freeText(): FreeText {
    return isBetween(this.name) ? ANY_TEXT : NO_FREE_TEXT;
  }

  override read(reader: FrameReader, below: Configuration): void {
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

  #close(reader: FrameReader, below: Configuration): void {
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

function openNameFrame(tables: FrameTables, name: OpenName): Frame {
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
  override readonly isInName = true;

  constructor(
    id: number,
    readonly name: NameState,
  ) {
    super(id);
  }

  override freeText(languages: Languages): FreeText {
    const { state, begun } = this.name;
    return freeText(languages, state, begun === null ? undefined : (after) => hasMany(languages, after));
  }

  override read(reader: FrameReader, below: Configuration): void {
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

function beginOrContinueName(reader: FrameReader, name: NameState, below: Configuration): void {
  const { languages, tables } = reader;
  if (!hasFreeName(languages, name)) return;
  const { state, object, nameClass, begun } = name;
  const key = `m${object.id},${nameClass.names.id},${state.language.id},${state.part},${begun ?? ""},${begun === null}`;
  reader.become(
    tables.frame(key, (id) => new NameFrame(id, name)),
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

/** Returns the names that an additional name must differ from, spelled as in `ObjectShape.nameBytes`. */
function namesOf({ shape, added }: ObjectState): readonly string[] {
  return added.length === 0 ? shape.nameBytes : [...shape.nameBytes, ...added];
}
