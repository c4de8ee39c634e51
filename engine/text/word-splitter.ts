/**
 * Splits text into the words that are merged separately, one at a time, so that a long text needs little memory and
 * splitting can be canceled. The definition is one of pre-tokenization.ts.
 */

import type { Budget } from "../budget.js";
import { EngineError } from "../errors.js";
import type { JsonObject } from "../json.js";
import { LIMITS } from "../limits.js";
import { GPT2_PATTERN, partsOf } from "./pre-tokenization.js";
import { spelled } from "./token-bytes.js";

/** Compiles `pattern` of a definition, with the flags `gu`. */
export type CompilePattern = (pattern: unknown) => RegExp;

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
        return splitAt(text, step, further);
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
  readonly pattern: RegExp;
  /** The same pattern, which matches only at `lastIndex`: unlike a search, this creates no object for a match. */
  readonly sticky: RegExp;
  /** False if only matches are words. */
  readonly keepsRest: boolean;
}

const SPACES = / /g;

function read(definition: JsonObject, compile: CompilePattern): Step[] {
  switch (definition["type"]) {
    case "ByteLevel":
      return [
        ...(definition["add_prefix_space"] === true ? [{ type: "prefix" } as const] : []),
        ...(definition["use_regex"] === false ? [] : [patternStep(compile({ Regex: GPT2_PATTERN }), true)]),
        { type: "bytes" },
      ];
    case "Metaspace": {
      const { replacement, prepend_scheme: scheme } = definition;
      return [{ type: "metaspace", replacement: replacement as string, scheme }];
    }
    default:
      return [patternStep(compile(definition["pattern"]), definition["invert"] !== true)];
  }
}

function patternStep(pattern: RegExp, keepsRest: boolean): PatternStep {
  return { type: "split", pattern, sticky: new RegExp(pattern.source, "yu"), keepsRest };
}

/** Matches and, with `keepsRest`, the texts between them are words; an empty match only divides. */
function splitAt(text: string, { pattern, sticky, keepsRest }: PatternStep, each: EachWord): boolean {
  let done = 0;
  let from = 0;
  while (from <= text.length) {
    let [start, end] = [from, from];
    sticky.lastIndex = from;
    if (sticky.test(text)) end = sticky.lastIndex;
    else {
      pattern.lastIndex = from;
      const match = pattern.exec(text);
      if (match === null) break;
      start = match.index;
      end = pattern.lastIndex;
    }
    if (keepsRest && start > done && !each(text.slice(done, start))) return false;
    if (end > start && !each(text.slice(start, end))) return false;
    done = end;
    from = end > start || end === text.length ? end : end + String.fromCodePoint(text.codePointAt(end)!).length;
    if (end === text.length) break;
  }
  return !keepsRest || done === text.length || each(text.slice(done));
}
