/** Frames that read text, strings, numbers, words and white space, and what is before and after the answer. */

import { type Configuration, Frame, type FrameReader, type FrameTables, byteSet } from "./frame.js";
import { type FreeText, freeText } from "./free-text.js";
import type { Languages } from "./language.js";
import { type NumberPrefix, continueNumber, isNumber } from "./numbers.js";
import { TYPE } from "./schema.js";
import { BETWEEN, type StringState, nextInJsonString, nextInText } from "./string-bytes.js";
import type { ValueNode } from "./values.js";

/** White space between two tokens. */
export const SPACES = " \n\t";
/** The first characters of JSON values. */
export const VALUE_STARTS = '"[{-0123456789ntf';

/** After the answer: no byte may follow. */
export class EndFrame extends Frame {
  override readonly canEnd = true;

  override goesOn(): boolean {
    return false;
  }

  override read(): void {}
}

/** Before the answer. */
export class StartFrame extends Frame {
  constructor(
    id: number,
    readonly value: ValueNode,
  ) {
    super(id);
    this.steps.reads = AT_START;
  }

  override read(reader: FrameReader, below: Configuration): void {
    reader.beginValueIn(this.value, below);
  }
}

const AT_START = byteSet(VALUE_STARTS);

/** The text of a regular expression, without quotes. */
export class TextFrame extends Frame {
  override readonly canEnd: boolean;

  constructor(
    id: number,
    readonly state: StringState,
  ) {
    super(id);
    this.canEnd = state.part === BETWEEN && state.language.isAccepting;
  }

  override freeText(languages: Languages): FreeText {
    return freeText(languages, this.state);
  }

  override goesOn(languages: Languages): boolean {
    return !this.canEnd || languages.steps(this.state.language).targets.length > 0;
  }

  override read(reader: FrameReader, below: Configuration): void {
    const next = nextInText(reader.languages, this.state, reader.byte);
    if (next !== null) reader.become(reader.tables.text(next), below);
  }
}

const QUOTE = 0x22;

/** Inside a JSON string. */
export class StringFrame extends Frame {
  constructor(
    id: number,
    readonly state: StringState,
  ) {
    super(id);
  }

  override freeText(languages: Languages): FreeText {
    return freeText(languages, this.state);
  }

  override read(reader: FrameReader, below: Configuration): void {
    const { languages, tables, byte } = reader;
    if (byte === QUOTE && this.state.part === BETWEEN) {
      if (this.state.language.isAccepting) reader.finish(below);
      return;
    }
    const next = nextInJsonString(languages, this.state, byte);
    if (next !== null) reader.become(tables.string(next), below);
  }
}

/** The words of JSON by their first byte. */
export const WORDS: ReadonlyMap<number, { readonly text: string; readonly type: number }> = new Map(
  (["null", "true", "false"] as const).map((text) => [text.charCodeAt(0), { text, type: TYPE[text] }]),
);

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

  override read(reader: FrameReader, below: Configuration): void {
    if (reader.byte !== this.steps.only) return;
    if (this.numRead + 1 === this.text.length) reader.finish(below);
    else reader.become((this.#next ??= literalFrame(reader.tables, this.text, this.numRead + 1)), below);
  }
}

export function literalFrame(tables: FrameTables, text: string, numRead: number): Frame {
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

  override read(reader: FrameReader, below: Configuration): void {
    const next = isNumberByte(reader.byte) ? continueNumber(this.value.numbers, this.prefix, reader.byte) : null;
    if (next !== null) reader.become(numberFrame(reader.tables, this.value, next), below);
    // In JSON no number byte follows a number. In a rule of a grammar it may.
    if (this.canEnd) reader.readAll(below);
  }
}

export const isNumberByte = (byte: number): boolean =>
  (byte >= 0x2b && byte <= 0x39 && byte !== 0x2c && byte !== 0x2f) || byte === 0x65;

const NUMBER_BYTES = Array.from({ length: 256 }, (_, byte) => byte).filter(isNumberByte);

export function numberFrame(tables: FrameTables, value: ValueNode, prefix: NumberPrefix): Frame {
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
    this.steps.reads = AFTER_SPACE;
  }

  override passes(byte: number): boolean {
    return !isSpace(byte);
  }

  override read(reader: FrameReader, below: Configuration): void {
    const { byte, tables } = reader;
    if (!isSpace(byte)) reader.readAll(below);
    else if (this.space >= NEWLINE && this.space < NEWLINE + MAX_INDENTATION && byte !== 0x0a)
      reader.become(spaceFrame(tables, this.space + 1), below);
  }
}

const AFTER_SPACE = byteSet(`${SPACES}${VALUE_STARTS},:]}`);

function spaceFrame(tables: FrameTables, space: Space): Frame {
  return tables.frame(`_${space}`, (id) => new SpaceFrame(id, space));
}

/** Begins white space where `frame` is before a token. @returns false if the byte is no white space */
export function beginSpace(reader: FrameReader, frame: Frame, below: Configuration): boolean {
  const { byte, tables } = reader;
  if (!isSpace(byte)) return false;
  if (byte !== 0x09)
    reader.become(spaceFrame(tables, byte === 0x20 ? ONE_SPACE : NEWLINE), tables.single(frame, below));
  return true;
}
