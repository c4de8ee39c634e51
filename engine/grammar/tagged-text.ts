/**
 * Free text with constrained parts, such as tool calls. The text is free until one of some triggers is complete. A part
 * that begins with this trigger must follow from the trigger's first character on; after it, the text is free again.
 *
 * The first trigger that becomes complete counts: of two triggers of which one contains the other, it is the one that
 * ends first. Beginnings of triggers are ordinary text unless they are completed.
 */

import { type Expression, listOf, text } from "./expressions.js";
import type { Language, Languages } from "./language.js";

/** A constrained part: `begin`, the content, `end`. */
export interface TaggedPart {
  /** Begins with at least one trigger. */
  readonly begin: string;
  readonly content: Expression;
  readonly end: string;
}

export class Triggers {
  readonly #languages: Languages;
  readonly #triggers: readonly string[];
  /** Texts that contain a trigger, and those that do before their last character. */
  readonly #containing: Language;
  readonly #containingBefore: Language;

  /** @param triggers not empty, each once */
  constructor(languages: Languages, triggers: readonly string[]) {
    const { all, any } = languages;
    const words = languages.words(triggers);
    this.#languages = languages;
    this.#triggers = triggers;
    this.#containing = languages.concat(all, languages.concat(words, all));
    this.#containingBefore = languages.concat(all, languages.concat(words, languages.concat(any, all)));
  }

  /** Returns the language of the texts without triggers. */
  get free(): Language {
    return this.#languages.not(this.#containing);
  }

  /** Returns the language of the texts that end with this trigger and contain no trigger that ends before it. */
  upTo(trigger: string): Language {
    const { all } = this.#languages;
    const ending = this.#languages.concat(all, this.#languages.words([trigger]));
    return this.#languages.intersection([ending, this.#languages.not(this.#containingBefore)]);
  }

  /** Returns the triggers that a part begins with, and with which it can follow free text. */
  of(begin: string, maxStates: number): string[] {
    return this.#triggers.filter(
      (trigger) =>
        begin.startsWith(trigger) && this.#languages.settle(this.upTo(trigger), maxStates) !== this.#languages.none,
    );
  }

  /**
   * @param parts each begins with a trigger
   * @returns free text with any number of parts
   */
  expression(parts: readonly TaggedPart[]): Expression {
    const alternatives = this.#triggers.flatMap((trigger) => {
      const begun = parts.filter(({ begin }) => begin.startsWith(trigger));
      return begun.length === 0 ? [] : [this.#after(trigger, begun)];
    });
    const repeated: Expression = { kind: "repeat", of: listOf("union", alternatives), min: 0, max: Infinity };
    return { kind: "concat", parts: [repeated, text(this.free)] };
  }

  #after(trigger: string, parts: readonly TaggedPart[]): Expression {
    const languages = this.#languages;
    const rests = parts.map(({ begin, content, end }): Expression => ({
      kind: "concat",
      parts: [text(languages.words([begin.slice(trigger.length)])), content, text(languages.words([end]))],
    }));
    return { kind: "concat", parts: [text(this.upTo(trigger)), listOf("union", rests)] };
  }
}
