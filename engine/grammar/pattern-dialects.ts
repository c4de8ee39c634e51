/**
 * Spells in ECMA-262 what people write in the dialects of Python, PCRE and Java. Used only for patterns that ECMA-262
 * does not allow with the `u` flag.
 */

import { PatternError } from "./pattern-error.js";

/** Flags that apply to a whole pattern or to a group. */
export interface Flags {
  readonly ignoreCase: boolean;
  readonly multiline: boolean;
  readonly dotAll: boolean;
}

export const NO_FLAGS: Flags = { ignoreCase: false, multiline: false, dotAll: false };

const FLAG_NAMES: Readonly<Record<string, keyof Flags>> = { i: "ignoreCase", m: "multiline", s: "dotAll" };

/** Flags with those of a group that begins with `(?` changed: letters to add, and after a hyphen letters to remove. */
export function changedFlags(flags: Flags, letters: string): Flags {
  const changed: { -readonly [name in keyof Flags]: boolean } = { ...flags };
  let isAdded = true;
  for (const letter of letters) {
    if (letter === "-") isAdded = false;
    else changed[FLAG_NAMES[letter]!] = isAdded;
  }
  return changed;
}

/** A group that has flags of its own, as ECMA-262 of 2025 and all other dialects write it. */
export const FLAGGED_GROUP = /^\(\?([ims]*(?:-[ims]*)?):/;

/**
 * @returns the pattern in ECMA-262, with or without the `u` flag, and the flags at its start
 * @throws PatternError for what has no equal in ECMA-262, and for letters after a backslash that dialects read in
 * different ways
 */
export function inEcmaScript(source: string): { readonly source: string; readonly flags: Flags } {
  return new Translator(source).translated();
}

class Translator {
  readonly #source: string;
  #at = 0;
  #text = "";

  constructor(source: string) {
    this.#source = source;
  }

  translated(): { source: string; flags: Flags } {
    const leading = this.#take(/\(\?([ims]+)\)/y);
    while (this.#at < this.#source.length) this.#next();
    return { source: this.#text, flags: leading === null ? NO_FLAGS : changedFlags(NO_FLAGS, leading[1]!) };
  }

  #next(): void {
    const character = this.#source[this.#at]!;
    if (character === "\\") this.#escape(false);
    else if (character === "[") this.#class();
    else if (character === "(") this.#group();
    else {
      const quantifier = this.#take(/(?:[*+?]|\{(\d*),?\d*\})([+?]?)/y);
      if (quantifier === null) this.#copy(1);
      else if (quantifier[2] === "+") throw new PatternError("unsupported", "possessive repetition is not supported");
      // Python reads {,n} as {0,n}; the literal reading of Annex B is never meant.
      else this.#text += quantifier[0].replace(/^\{,(?=\d)/, "{0,");
    }
  }

  #group(): void {
    if (this.#take(/\(\?#[^)]*\)/y) !== null) return;
    if (this.#take(/\(\?P?<[\p{L}_][\p{L}\p{N}_]*>/uy) !== null) {
      this.#text += "(?:";
      return;
    }
    if (this.#rest.startsWith("(?P=")) throw new PatternError("unsupported", "back-references are not supported");
    const other =
      /^\(\?(?![:=!]|<[=!])(?![ims]*(?:-[ims]*)?:)([^)]?)/.exec(this.#rest) ?? /^\((\*[A-Z])/.exec(this.#rest);
    if (other !== null) {
      const shown = other[0].startsWith("(*") ? "(*" : `(?${other[1]}`;
      throw new PatternError("unsupported", `a group that begins with ${shown} is not supported`);
    }
    this.#copy(1);
  }

  #class(): void {
    this.#copy(1);
    this.#text += this.#take(/\^/y)?.[0] ?? "";
    while (this.#at < this.#source.length && this.#source[this.#at] !== "]") {
      if (this.#source[this.#at] === "\\") this.#escape(true);
      else this.#copy(1);
    }
  }

  #escape(inClass: boolean): void {
    const quoted = this.#take(/\\Q([\s\S]*?)(?:\\E|$)/y);
    if (quoted !== null) {
      this.#text += quoted[1]!.replace(/[\^$\\.*+?()[\]{}|/-]/g, (character) =>
        character === "-" && !inClass ? "-" : `\\${character}`,
      );
      return;
    }
    const property = this.#take(/\\([pP])(?:\{(\^?)([^}]*)\}|([A-Z]))/y);
    if (property !== null) {
      const isNegated = (property[1] === "P") !== (property[2] === "^");
      this.#property(property[3] ?? property[4]!, isNegated, inClass);
      return;
    }
    const hex = this.#take(/\\[xu]\{([\da-fA-F]{1,6})\}/y);
    if (hex !== null) {
      if (Number.parseInt(hex[1]!, 16) > 0x10ffff) throw new PatternError("invalid", `${hex[0]} is no character`);
      this.#text += `\\u{${hex[1]}}`;
      return;
    }
    if (this.#take(/\\h/y) !== null) {
      this.#text += inClass ? HORIZONTAL_SPACE : `[${HORIZONTAL_SPACE}]`;
      return;
    }
    const anchor = inClass ? null : this.#take(/\\[AzZ]/y);
    if (anchor !== null) {
      this.#text += anchor[0] === "\\A" ? "(?<![^])" : "(?![^])";
      return;
    }
    if (/^\\(?:[a-zA-Z])/.test(this.#rest) && !ECMA_ESCAPE.test(this.#rest)) {
      const shown = this.#rest.slice(0, 2);
      throw new PatternError("unsupported", `${shown} has no meaning in ECMA-262, or another one in other dialects`);
    }
    this.#copy(2);
  }

  /** A property by its name in ECMA-262, or as PCRE and Java name scripts, categories and classes of ASCII. */
  #property(name: string, isNegated: boolean, inClass: boolean): void {
    const letter = isNegated ? "P" : "p";
    for (const known of [name, name.replace(/^Is/, ""), `Script=${name.replace(/^Is/, "")}`]) {
      if (isProperty(known)) {
        this.#text += `\\${letter}{${known}}`;
        return;
      }
    }
    const ascii = ASCII_CLASSES.get(name);
    if (ascii === undefined) throw new PatternError("invalid", `the property \\p{${name.slice(0, 40)}} is not known`);
    if (!inClass) this.#text += `[${isNegated ? "^" : ""}${ascii}]`;
    else if (!isNegated) this.#text += ascii;
    else throw new PatternError("unsupported", `\\P{${name}} inside a class is not supported`);
  }

  get #rest(): string {
    return this.#source.slice(this.#at, this.#at + 100);
  }

  #take(expression: RegExp): RegExpExecArray | null {
    expression.lastIndex = this.#at;
    const match = expression.exec(this.#source);
    if (match !== null) this.#at += match[0].length;
    return match;
  }

  #copy(length: number): void {
    this.#text += this.#source.slice(this.#at, this.#at + length);
    this.#at += length;
  }
}

/** Letters that ECMA-262 gives a meaning after a backslash. */
const ECMA_ESCAPE = /^\\(?:[bBdDfnrsStvwWk]|c[a-zA-Z]|x[\da-fA-F]{2}|u[\da-fA-F]{4})/;

/** What \h matches in PCRE and Java. */
const HORIZONTAL_SPACE = "\\t \\xa0\\u1680\\u180e\\u2000-\\u200a\\u202f\\u205f\\u3000";

/** Classes that Java names as properties and restricts to ASCII. */
const ASCII_CLASSES: ReadonlyMap<string, string> = new Map([
  ["ASCII", "\\x00-\\x7f"],
  ["Digit", "0-9"],
  ["Alnum", "0-9A-Za-z"],
  ["Punct", "!-\\/:-@\\[-`{-~"],
  ["Graph", "!-~"],
  ["Print", " -~"],
  ["Blank", "\\t "],
  ["Cntrl", "\\x00-\\x1f\\x7f"],
  ["XDigit", "0-9A-Fa-f"],
  ["Space", "\\t-\\r "],
]);

function isProperty(name: string): boolean {
  if (!/^[A-Za-z_]+(?:=[A-Za-z_\d]+)?$/.test(name)) return false;
  try {
    RegExp(`\\p{${name}}`, "u");
    return true;
  } catch {
    return false;
  }
}
