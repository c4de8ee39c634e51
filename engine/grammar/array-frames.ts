/** Frames of arrays, and of the items of arrays whose items must be distinct. */

import type { ArrayShape } from "./arrays.js";
import {
  type ByteSet,
  type Configuration,
  type Entry,
  Frame,
  type FrameReader,
  type FrameTables,
  byteSet,
} from "./frame.js";
import { type FreeText, freeText } from "./free-text.js";
import type { Languages } from "./language.js";
import { type NumberPrefix, beginNumber, continueNumber, hasOtherNumber, isNumber, plainText } from "./numbers.js";
import { SPACES, VALUE_STARTS, WORDS, beginSpace, isNumberByte, literalFrame } from "./scalar-frames.js";
import { BETWEEN, type StringState, hasFree, hasMany, nextInJsonString } from "./string-bytes.js";
import type { ValueNode } from "./values.js";

const QUOTE = 0x22;
const COMMA = 0x2c;
const CLOSE_BRACKET = 0x5d;

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

export const NEW_ARRAY = {
  phase: "open",
  numItems: 0,
  numCounted: 0,
  taken: [],
  isItemOpen: false,
} as const;

const ARRAY_READS: Readonly<Record<ArrayPhase, ByteSet>> = {
  open: byteSet(`${SPACES}${VALUE_STARTS}]`),
  item: byteSet(`${SPACES},]`),
  comma: byteSet(`${SPACES}${VALUE_STARTS}`),
};

class ArrayFrame extends Frame {
  override readonly isNameOpen: boolean;

  constructor(
    id: number,
    readonly state: ArrayState,
  ) {
    super(id);
    this.isNameOpen = state.isItemOpen;
    this.steps.reads = ARRAY_READS[state.phase];
  }

  override withName(tables: FrameTables, name: string, below: Configuration | null): Entry {
    return { frame: arrayFrame(tables, { ...withItem(this.state, `"${name}`), isItemOpen: false }), below };
  }

  override read(reader: FrameReader, below: Configuration): void {
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

  #beginItem(reader: FrameReader, below: Configuration, value: ValueNode, numMore: 0 | 1): void {
    const { state } = this;
    const [numItems, numCounted] = [state.numItems + 1, state.numCounted + numMore];
    if (!state.shape.canFinish(numItems, numCounted)) return;
    const after = { ...state, phase: "item", numItems, numCounted } as const;
    reader.beginValue(value, arrayFrame(reader.tables, after), below);
  }

  /** Begins an item that differs from all others. It is null, a boolean, a number or a string. */
  #beginDistinct(reader: FrameReader, below: Configuration): void {
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

export function arrayFrame(tables: FrameTables, given: ArrayState): ArrayFrame {
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
  override readonly isInName = true;

  constructor(
    id: number,
    readonly text: DistinctString,
  ) {
    super(id);
  }

  override freeText(languages: Languages): FreeText {
    const { state, begun } = this.text;
    return freeText(languages, state, begun === null ? undefined : (after) => hasMany(languages, after));
  }

  override read(reader: FrameReader, below: Configuration): void {
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

function becomeDistinctString(reader: FrameReader, text: DistinctString, below: Configuration): void {
  const { languages, tables } = reader;
  const { state, array, begun } = text;
  if (begun !== null && !hasFree(languages, state, begun, array.state.taken)) return;
  const key = `d${array.id},${state.language.id},${state.part},${begun ?? ""},${begun === null}`;
  reader.become(
    tables.frame(key, (id) => new DistinctStringFrame(id, text)),
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

  override read(reader: FrameReader, below: Configuration): void {
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
  reader: FrameReader,
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
