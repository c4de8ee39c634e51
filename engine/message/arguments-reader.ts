/** Reads the arguments of a call while the model writes them, and gives them as JSON. */

import { assert } from "../errors.js";
import {
  isAlike,
  type Enclosure,
  type ParameterKind,
  type ParameterKinds,
  type ParameterMarkup,
} from "../grammar/index.js";
import { jsonOfEither, jsonOfWord } from "./call-form.js";
import { endThatBegins } from "./message-tracker.js";

export interface ArgumentsReader {
  /** Begins the arguments of a call. @param tool its name; null if it comes after the arguments */
  begin(tool: string | null): void;
  /** @returns the number of characters that were read, up to the end of the arguments or of the text, and their JSON */
  read(text: string): { readonly length: number; readonly json: string };
  readonly isWhole: boolean;
}

/** Arguments that are written as a JSON object. */
export class JsonReader implements ArgumentsReader {
  readonly #scanner = new ValueScanner();

  begin(): void {
    this.#scanner.reset();
  }

  read(text: string): { length: number; json: string } {
    const length = this.#scanner.read(text);
    return { length, json: text.slice(0, length) };
  }

  get isWhole(): boolean {
    return this.#scanner.isWhole;
  }
}

/** `between`: before a parameter or the end; the others are named by what they read. */
type Phase = "between" | "name" | "before" | "string" | "either" | "value" | "after" | "whole";

/** Arguments that are written as a list of parameters. Reads the text after the arguments too. */
export class ParameterReader implements ArgumentsReader {
  readonly #markup: ParameterMarkup;
  readonly #end: string;
  readonly #kindsOf: (tool: string) => ParameterKinds;
  readonly #scanner = new ValueScanner();
  #kinds: ParameterKinds = new Map();
  #phase: Phase = "between";
  #numRead = 0;
  #name = "";
  /** Characters of the phase that were read and have given no JSON yet. */
  #held = "";
  #enclosure: Enclosure;

  /** @param end the text after the arguments */
  constructor(markup: ParameterMarkup, end: string, kindsOf: (tool: string) => ParameterKinds) {
    this.#markup = markup;
    this.#end = end;
    this.#kindsOf = kindsOf;
    this.#enclosure = markup.strings;
  }

  begin(tool: string | null): void {
    this.#kinds = tool === null ? new Map() : this.#kindsOf(tool);
    this.#numRead = 0;
    this.#to("between");
  }

  get isWhole(): boolean {
    return this.#phase === "whole";
  }

  read(text: string): { length: number; json: string } {
    let length = 0;
    let json = "";
    while (length < text.length && !this.isWhole) {
      const step = this.#read(text.slice(length));
      length += step.length;
      json += step.json;
    }
    return { length, json };
  }

  #to(phase: Phase): void {
    this.#phase = phase;
    this.#held = "";
  }

  #read(text: string): { length: number; json: string } {
    switch (this.#phase) {
      case "between":
        return { length: 1, json: this.#readBetween(text[0]!) };
      case "name":
        return this.#readName(text);
      case "before":
        return this.#readBefore(text[0]!);
      case "string":
      case "either":
        return this.#readText(text);
      case "value":
        return this.#readValue(text);
      case "after":
        return { length: this.#readAfter(text[0]!), json: "" };
      case "whole":
        return { length: 0, json: "" };
    }
  }

  #readBetween(character: string): string {
    const { open, separator } = this.#markup;
    const lead = this.#numRead === 0 ? open : separator + open;
    const opening = this.#held === "" && this.#numRead === 0 ? "{" : "";
    this.#held += character;
    if (this.#held === this.#end) {
      this.#to("whole");
      return `${opening}}`;
    }
    if (this.#end.startsWith(this.#held)) return opening;
    if (lead === "") {
      this.#to("name");
      this.#name = character;
    } else if (this.#held === lead) {
      this.#to("name");
      this.#name = "";
    } else assert(lead.startsWith(this.#held), `a parameter cannot begin with ${JSON.stringify(this.#held)}`);
    return opening;
  }

  #readName(text: string): { length: number; json: string } {
    const { strings, others } = this.#markup;
    const ends = [strings.before[0]!, others.before[0]!].map((end) => text.indexOf(end)).filter((at) => at >= 0);
    if (ends.length > 0) {
      const length = Math.min(...ends);
      this.#name += text.slice(0, length);
      this.#to("before");
      return { length, json: `${this.#numRead++ > 0 ? "," : ""}${JSON.stringify(this.#name)}:` };
    }
    this.#name += text;
    return { length: text.length, json: "" };
  }

  #readBefore(character: string): { length: number; json: string } {
    const { strings, others } = this.#markup;
    const kind = this.#kinds.get(this.#name) ?? "string";
    const read = this.#held + character;
    if (isAlike(this.#markup)) {
      if (read !== strings.before) this.#held = read;
      else return { length: 1, json: this.#beginValue(kind, kind === "json" ? others : strings) };
    } else if (read === strings.before) return { length: 1, json: this.#beginValue("string", strings) };
    else if (strings.before.startsWith(read)) this.#held = read;
    else if (read === others.before) return { length: 1, json: this.#beginValue("json", others) };
    else if (others.before.startsWith(read)) this.#held = read;
    else {
      // What is before strings begins like what is before the others, and the value has begun.
      assert(this.#held === others.before, `a value cannot begin with ${JSON.stringify(read)}`);
      return { length: 0, json: this.#beginValue("json", others) };
    }
    return { length: 1, json: "" };
  }

  #beginValue(kind: ParameterKind, enclosure: Enclosure): string {
    this.#enclosure = enclosure;
    this.#scanner.reset();
    this.#to(kind === "json" ? "value" : kind);
    return kind === "string" ? '"' : "";
  }

  /** Reads text up to what is after it. */
  #readText(text: string): { length: number; json: string } {
    const { after } = this.#enclosure;
    const isString = this.#phase === "string";
    const numHeld = this.#held.length;
    const read = this.#held + text;
    const at = read.indexOf(after, Math.max(0, isString ? 0 : numHeld - after.length));
    const end = at < 0 ? (isString ? read.length - endThatBegins(read, after) : 0) : at;
    const found = read.slice(0, end);
    this.#held = read.slice(end);
    if (at >= 0) this.#to("between");
    const inString = JSON.stringify(found).slice(1, -1);
    const json = isString ? inString + (at >= 0 ? '"' : "") : at >= 0 ? jsonOfEither(this.#markup, found) : "";
    return { length: at < 0 ? text.length : at + after.length - numHeld, json };
  }

  /** Reads an array or object up to its end, or a run of letters, digits and signs. */
  #readValue(text: string): { length: number; json: string } {
    if (this.#scanner.hasBegun || (this.#held === "" && /[[{]/.test(text[0]!))) {
      const length = this.#scanner.read(text);
      if (this.#scanner.isWhole) this.#endValue();
      return { length, json: text.slice(0, length) };
    }
    let length = 0;
    while (length < text.length && WORD_CHARACTER.test(text[length]!)) length++;
    this.#held += text.slice(0, length);
    if (length === text.length) return { length, json: "" };
    const written = this.#held;
    this.#endValue();
    return { length, json: jsonOfWord(this.#markup.words, written) ?? written };
  }

  #endValue(): void {
    this.#to(this.#enclosure.after === "" ? "between" : "after");
  }

  #readAfter(character: string): number {
    const { after } = this.#enclosure;
    this.#held += character;
    assert(after.startsWith(this.#held), `a value cannot end with ${JSON.stringify(this.#held)}`);
    if (this.#held === after) this.#to("between");
    return 1;
  }
}

const WORD_CHARACTER = /[A-Za-z0-9+.-]/;

/** Finds the end of a JSON object or array. */
class ValueScanner {
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  #hasBegun = false;

  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  get isWhole(): boolean {
    return this.#hasBegun && this.#depth === 0;
  }

  reset(): void {
    this.#hasBegun = false;
  }

  /** @returns the number of characters up to the end of the value, or of the text */
  read(text: string): number {
    for (let at = 0; at < text.length; at++) {
      const character = text[at]!;
      if (this.#isEscaped) this.#isEscaped = false;
      else if (this.#isInString) {
        this.#isEscaped = character === "\\";
        this.#isInString = character !== '"';
      } else if (character === '"') this.#isInString = true;
      else if (character === "{" || character === "[") {
        this.#depth++;
        this.#hasBegun = true;
      } else if ((character === "}" || character === "]") && --this.#depth === 0) return at + 1;
    }
    return text.length;
  }
}
