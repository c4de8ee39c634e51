/**
 * Splits text into the words that are merged separately, one at a time, so that a long text needs little memory and
 * splitting can be canceled. The definition is one of pre-tokenization.ts.
 */

import type { Budget } from "../budget.js";
import { EngineError } from "../errors.js";
import type { JsonObject } from "../json.js";
import { LIMITS } from "../limits.js";
import type { PatternSearch } from "./pattern-search.js";
import { GPT2_PATTERN, partsOf, type SplitBehavior } from "./pre-tokenization.js";
import { spelled } from "./token-bytes.js";

/** Compiles `pattern` of a definition. */
export type CompilePattern = (pattern: unknown) => PatternSearch;

/** Receives a word. @returns false to end the splitting */
export type EachWord = (word: string) => boolean;

export class WordSplitter {
  readonly #steps: readonly Step[];
  /** True if the words stand for their bytes, which have one token each. */
  readonly endsWithBytes: boolean;

  /** @param definition null if the tokenizer does not split text */
  constructor(definition: JsonObject | null, compile: CompilePattern) {
    const steps =
      definition === null ? [] : partsOf(definition, "pretokenizers").flatMap((part) => read(part, compile));
    if (steps.length > LIMITS.maxTokenizerSteps) {
      const message = `tokenizer.json has ${steps.length} pre-tokenizers; supported: up to ${LIMITS.maxTokenizerSteps}`;
      throw new EngineError("unsupported_model", message);
    }
    this.endsWithBytes = steps.at(-1)?.type === "bytes";
    this.#steps = this.endsWithBytes ? steps.slice(0, -1) : steps;
  }

  /**
   * @param isBeginning true if nothing precedes the text
   * @param each receives the words in order; none is empty unless `text` is
   * @returns false if `each` ended the splitting
   */
  split(text: string, isBeginning: boolean, budget: Budget, each: EachWord): boolean {
    return this.#split(text, 0, isBeginning, budget, each);
  }

  #split(text: string, index: number, isBeginning: boolean, budget: Budget, each: EachWord): boolean {
    const step = this.#steps[index];
    if (step === undefined) return each(text);
    budget.spend();
    const further: EachWord = (piece) => this.#split(piece, index + 1, isBeginning, budget, each);
    switch (step.type) {
      case "prefix":
        return further(text.startsWith(" ") ? text : ` ${text}`);
      case "bytes":
        return further(spelled(text));
      case "metaspace": {
        const marked = text.replaceAll(SPACES, step.replacement.replaceAll("$", "$$$$"));
        const isPrefixed = step.scheme === "always" || (step.scheme === "first" && isBeginning);
        return further(isPrefixed && !marked.startsWith(step.replacement) ? step.replacement + marked : marked);
      }
      case "split":
        return splitAt(text, step, budget, further);
    }
  }
}

type Step =
  /** A space before a text that has none. */
  | { readonly type: "prefix" }
  | { readonly type: "bytes" }
  | { readonly type: "metaspace"; readonly replacement: string; readonly scheme: unknown }
  | PatternStep;

interface PatternStep {
  readonly type: "split";
  readonly search: PatternSearch;
  readonly behavior: SplitBehavior;
  /** True if the behavior applies to the texts between the matches of the pattern. */
  readonly inverted: boolean;
}

const SPACES = / /g;

function read(definition: JsonObject, compile: CompilePattern): Step[] {
  switch (definition["type"]) {
    case "ByteLevel":
      return [
        ...(definition["add_prefix_space"] === true ? [{ type: "prefix" } as const] : []),
        ...(definition["use_regex"] === false
          ? []
          : [
              {
                type: "split",
                search: compile({ Regex: GPT2_PATTERN }),
                behavior: "Isolated",
                inverted: false,
              } as const,
            ]),
        { type: "bytes" },
      ];
    case "Metaspace": {
      const { replacement, prepend_scheme: scheme } = definition;
      return [{ type: "metaspace", replacement: replacement as string, scheme }];
    }
    default:
      return [
        {
          type: "split",
          search: compile(definition["pattern"]),
          behavior: definition["behavior"] as SplitBehavior,
          inverted: definition["invert"] === true,
        },
      ];
  }
}

/** Divides a text into matches and the texts between them, which become words as the behavior says. */
function splitAt(text: string, { search, behavior, inverted }: PatternStep, budget: Budget, each: EachWord): boolean {
  const words = new Words(text, behavior, each);
  let done = 0;
  const goesOn = search.each(text, budget, (start, end) => {
    if (start > done && !words.add(done, start, inverted)) return false;
    done = end;
    return words.add(start, end, !inverted);
  });
  return goesOn && (done === text.length || words.add(done, text.length, inverted)) && words.finish();
}

/** Makes words of the pieces of a text. An empty piece is no word, but counts as a match. */
class Words {
  readonly #text: string;
  readonly #behavior: SplitBehavior;
  readonly #each: EachWord;
  /** Bounds of the last word, which the next piece may extend. They are equal if there is no such word. */
  #start = 0;
  #end = 0;
  /** True if the last piece was a match. */
  #wasMatch = false;

  constructor(text: string, behavior: SplitBehavior, each: EachWord) {
    this.#text = text;
    this.#behavior = behavior;
    this.#each = each;
  }

  /** Adds the next piece. @returns false to end the splitting */
  add(start: number, end: number, isMatch: boolean): boolean {
    if (this.#behavior === "Removed" && isMatch) return true;
    const isJoined = start > 0 && this.#joins(isMatch);
    this.#wasMatch = isMatch;
    if (isJoined) {
      this.#end = end;
      return true;
    }
    const goesOn = this.finish();
    this.#start = start;
    this.#end = end;
    return goesOn;
  }

  /** True if a piece belongs to the word before it. */
  #joins(isMatch: boolean): boolean {
    switch (this.#behavior) {
      case "MergedWithPrevious":
        return isMatch && !this.#wasMatch;
      case "MergedWithNext":
        return !isMatch && this.#wasMatch;
      case "Contiguous":
        return isMatch === this.#wasMatch;
      case "Isolated":
      case "Removed":
        return false;
    }
  }

  /** Passes on the last word. @returns false to end the splitting */
  finish(): boolean {
    const [start, end] = [this.#start, this.#end];
    this.#start = end;
    return start === end || this.#each(this.#text.slice(start, end));
  }
}
