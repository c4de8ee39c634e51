/**
 * Finds the calls of tools in an answer while the model writes it (contract, section 11). The grammar of calls makes
 * sure that a call which has begun follows its form, so the parser never has to guess.
 */

import { assert } from "../errors.js";
import type { ParameterKinds } from "../grammar/index.js";
import { type ArgumentsReader, JsonReader, ParameterReader } from "./arguments-reader.js";
import type { CallForm } from "./call-form.js";
import { endThatBegins, isBlank } from "./message-tracker.js";

/** Text before the calls, the name with which a call begins, or a piece of its arguments, which are JSON. */
export type CallSegment =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "name"; readonly index: number; readonly name: string }
  | { readonly kind: "arguments"; readonly index: number; readonly text: string };

/** `start`: nothing but the beginning of calls was read; `next`: after a call. The others are named by what they read. */
type Phase = "start" | "text" | "literal" | "name" | "tag" | "arguments" | "next";

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
  readonly #arguments: ArgumentsReader;
  /** Arguments that were read before the name. */
  #early = "";
  #numBegun = 0;
  #numWhole = 0;

  /** @param kindsOf returns the kinds of a tool's parameters */
  constructor(form: CallForm, kindsOf: (tool: string) => ParameterKinds) {
    this.#form = form;
    this.#arguments =
      form.parameters === null ? new JsonReader() : new ParameterReader(form.parameters, form.after, kindsOf);
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
      case "tag":
        return this.#readTag(text);
      case "arguments":
        return this.#readArguments(text, segments);
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
    const { isNameFirst, tag } = this.#form;
    return tag?.isBeforeName === true ? "tag" : isNameFirst ? "name" : "arguments";
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
    if (this.#phase === "next") this.#endCall();
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
    const { isNameFirst, between, after, tag } = this.#form;
    const index = this.#numBegun++;
    segments.push({ kind: "name", index, name: this.#name });
    if (this.#early !== "") segments.push({ kind: "arguments", index, text: this.#early });
    if (isNameFirst) this.#arguments.begin(this.#name);
    this.#name = "";
    this.#early = "";
    if (!isNameFirst) this.#expectEnd(after);
    else if (tag === null || tag.isBeforeName) this.#expect(between, "arguments");
    else this.#expect(tag.text, "tag");
  }

  #expectEnd(after: string): void {
    this.#expect(after, "next");
    if (this.#phase === "next") this.#endCall();
  }

  #endCall(): void {
    this.#numWhole++;
    this.#arguments.begin(null);
  }

  /** Reads the number or the id before or after a name. */
  #readTag(text: string): number {
    let length = 0;
    while (length < text.length && isTagCharacter(text[length]!)) length++;
    const { tag, between } = this.#form;
    if (length === text.length) return length;
    if (tag?.isBeforeName === true) this.#expect(tag.text, "name");
    else this.#expect(between, "arguments");
    return length;
  }

  #readArguments(text: string, segments: CallSegment[]): number {
    const { length, json } = this.#arguments.read(text);
    const { isNameFirst, between, after, parameters } = this.#form;
    if (!isNameFirst) this.#early += json;
    else if (json !== "") segments.push({ kind: "arguments", index: this.#numBegun - 1, text: json });
    if (this.#arguments.isWhole) {
      if (!isNameFirst) this.#expect(between, "name");
      else this.#expectEnd(parameters === null ? after : "");
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

const isTagCharacter = (character: string): boolean => /[A-Za-z0-9]/.test(character);

const isNameCharacter = (unit: number): boolean => NAME_CHARACTERS.has(unit);

const NAME_CHARACTERS: ReadonlySet<number> = new Set(
  Array.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-", (character) =>
    character.charCodeAt(0),
  ),
);
