/**
 * Finds the calls of tools in an answer while the model writes it (contract, section 11). The grammar of calls makes
 * sure that a call which has begun follows its form, so the parser never has to guess.
 */

import { assert } from "../errors.js";
import type { CallForm } from "./call-form.js";
import { endThatBegins, isBlank } from "./message-tracker.js";

/** Text before the calls, the name with which a call begins, or a piece of its arguments, which are JSON. */
export type CallSegment =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "name"; readonly index: number; readonly name: string }
  | { readonly kind: "arguments"; readonly index: number; readonly text: string };

/** `start`: nothing but the beginning of calls was read; `next`: after a call. The others are named by what they read. */
type Phase = "start" | "text" | "literal" | "name" | "json" | "next";

export class CallParser {
  readonly #form: CallForm;
  #phase: Phase;
  /** Characters that were read, and may be the beginning of a call or of other text. */
  #held = "";
  /** White space that is no part of the answer if calls follow it. */
  #blank = "";
  #literal = "";
  #afterLiteral: Phase = "name";
  #name = "";
  readonly #scanner = new ValueScanner();
  /** Arguments that were read before the name. */
  #early = "";
  #numBegun = 0;
  #numWhole = 0;

  constructor(form: CallForm) {
    this.#form = form;
    this.#phase = form.mayFollowText ? "text" : "start";
  }

  /** Number of calls that have been read to their ends. */
  get numWhole(): number {
    return this.#numWhole;
  }

  /** Adds text of the answer. @returns what is certain now, in order */
  push(text: string): CallSegment[] {
    const segments: CallSegment[] = [];
    for (let rest = text; rest !== "";) rest = rest.slice(this.#read(rest, segments));
    return segments;
  }

  /** Ends the answer. @returns text that was held back because calls could have begun with it */
  finish(): CallSegment[] {
    const rest = this.#blank + this.#held;
    if ((this.#phase !== "text" && this.#phase !== "start") || rest === "") return [];
    this.#blank = "";
    this.#held = "";
    return [{ kind: "text", text: rest }];
  }

  /** @returns the number of characters that were read; 0 if only the phase changed */
  #read(text: string, segments: CallSegment[]): number {
    switch (this.#phase) {
      case "start":
        return this.#readStart(text, segments);
      case "text":
        return this.#readText(text, segments);
      case "literal":
        return this.#readLiteral(text);
      case "name":
        return this.#readName(text, segments);
      case "json":
        return this.#readJson(text, segments);
      case "next":
        return this.#readNext(text);
    }
  }

  #readStart(text: string, segments: CallSegment[]): number {
    const begin = this.#form.open + this.#form.before;
    const read = this.#held + text;
    if (read.startsWith(begin)) {
      const numHeld = this.#held.length;
      this.#held = "";
      this.#phase = this.#first;
      return begin.length - numHeld;
    }
    if (begin.startsWith(read)) {
      this.#held = read;
    } else {
      this.#held = "";
      this.#phase = "text";
      segments.push({ kind: "text", text: read });
    }
    return text.length;
  }

  #readText(text: string, segments: CallSegment[]): number {
    const { trigger, mayFollowText } = this.#form;
    if (!mayFollowText || trigger === null) {
      segments.push({ kind: "text", text });
      return text.length;
    }
    const numHeld = this.#held.length;
    const read = this.#held + text;
    const at = read.indexOf(trigger);
    const end = at < 0 ? read.length - endThatBegins(read, trigger) : at;
    let begin = end;
    while (begin > 0 && isBlank(read.charCodeAt(begin - 1))) begin--;
    if (begin > 0) segments.push({ kind: "text", text: this.#blank + read.slice(0, begin) });
    const blank = read.slice(begin, end);
    this.#blank = begin > 0 ? blank : this.#blank + blank;
    this.#held = at < 0 ? read.slice(end) : "";
    if (at < 0) return text.length;
    this.#blank = "";
    this.#expect((this.#form.open + this.#form.before).slice(trigger.length), this.#first);
    return at + trigger.length - numHeld;
  }

  /** The phase after what is before a call. */
  get #first(): Phase {
    return this.#form.isNameFirst ? "name" : "json";
  }

  #expect(literal: string, then: Phase): void {
    this.#literal = literal;
    this.#afterLiteral = then;
    this.#phase = literal === "" ? then : "literal";
  }

  #readLiteral(text: string): number {
    const expected = this.#literal.slice(0, text.length);
    assert(text.startsWith(expected), `a call goes on with ${JSON.stringify(expected)}`);
    this.#expect(this.#literal.slice(expected.length), this.#afterLiteral);
    if (this.#phase === "next") this.#numWhole++;
    return expected.length;
  }

  #readName(text: string, segments: CallSegment[]): number {
    let length = 0;
    while (length < text.length && isNameCharacter(text.charCodeAt(length))) length++;
    this.#name += text.slice(0, length);
    if (length < text.length) this.#endName(segments);
    return length;
  }

  #endName(segments: CallSegment[]): void {
    const { isNameFirst, between, after } = this.#form;
    const index = this.#numBegun++;
    segments.push({ kind: "name", index, name: this.#name });
    if (this.#early !== "") segments.push({ kind: "arguments", index, text: this.#early });
    this.#name = "";
    this.#early = "";
    if (isNameFirst) this.#expect(between, "json");
    else this.#expectEnd(after);
  }

  #expectEnd(after: string): void {
    this.#expect(after, "next");
    if (this.#phase === "next") this.#numWhole++;
  }

  #readJson(text: string, segments: CallSegment[]): number {
    const length = this.#scanner.read(text);
    const { isNameFirst, between, after } = this.#form;
    const json = text.slice(0, length);
    if (!isNameFirst) this.#early += json;
    else if (json !== "") segments.push({ kind: "arguments", index: this.#numBegun - 1, text: json });
    if (this.#scanner.isWhole) {
      this.#scanner.reset();
      if (isNameFirst) this.#expectEnd(after);
      else this.#expect(between, "name");
    }
    return length;
  }

  #readNext(text: string): number {
    const { separator, before, close } = this.#form;
    this.#held += text[0]!;
    if (separator !== null && this.#held === separator + before) {
      this.#held = "";
      this.#phase = this.#first;
      return 1;
    }
    const isExpected =
      close.startsWith(this.#held) || (separator !== null && (separator + before).startsWith(this.#held));
    assert(isExpected, `after a call, its form has no ${JSON.stringify(this.#held)}`);
    return 1;
  }
}

/** Finds the end of a JSON object. */
class ValueScanner {
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  #hasBegun = false;

  get isWhole(): boolean {
    return this.#hasBegun && this.#depth === 0;
  }

  reset(): void {
    this.#hasBegun = false;
  }

  /** @returns the number of characters up to the end of the object, or of the text */
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

const isNameCharacter = (unit: number): boolean => NAME_CHARACTERS.has(unit);

const NAME_CHARACTERS: ReadonlySet<number> = new Set(
  Array.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-", (character) =>
    character.charCodeAt(0),
  ),
);
