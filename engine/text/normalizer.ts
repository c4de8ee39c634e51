/** Normalizes text before it is split. The definition is one of pre-tokenization.ts. */

import type { Budget } from "../budget.js";
import { EngineError } from "../errors.js";
import type { JsonObject } from "../json.js";
import { LIMITS } from "../limits.js";
import type { PatternSearch } from "./pattern-search.js";
import { partsOf } from "./pre-tokenization.js";
import type { CompilePattern } from "./word-splitter.js";

export class Normalizer {
  readonly #steps: readonly Step[];

  constructor(definition: JsonObject, compile: CompilePattern) {
    this.#steps = partsOf(definition, "normalizers").map((part) => step(part, compile));
    if (this.#steps.length <= LIMITS.maxTokenizerSteps) return;
    const message = `tokenizer.json has ${this.#steps.length} normalizers; supported: up to ${LIMITS.maxTokenizerSteps}`;
    throw new EngineError("unsupported_model", message);
  }

  /** @throws EngineError out_of_range if the normalized text is longer than any text that is accepted */
  normalize(text: string, budget: Budget, param: string | null): string {
    let normalized = text;
    for (const { apply, charactersPerStep } of this.#steps) {
      const before = normalized.length;
      budget.spend(1 + Math.ceil(before / charactersPerStep));
      try {
        normalized = apply(normalized, budget);
      } catch (error) {
        if (error instanceof TooLong) throw tooLong(param);
        throw error;
      }
      if (normalized.length > LIMITS.maxNormalizedCharacters) throw tooLong(param);
      budget.spend(Math.max(0, normalized.length - before));
    }
    return normalized;
  }
}

class TooLong extends Error {}

interface Step {
  readonly apply: (text: string, budget: Budget) => string;
  /** Characters that count as one step of the budget. The characters by which a text grows count as one each. */
  readonly charactersPerStep: number;
}

function step(definition: JsonObject, compile: CompilePattern): Step {
  // Most steps take some nanoseconds for a character; a pattern can match at each, which takes about a hundred.
  if (definition["type"] !== "Replace") return { apply: transformation(definition), charactersPerStep: 8 };
  const apply = replacing(compile(definition["pattern"]), contentOf(definition, "content"));
  return { apply, charactersPerStep: 1 };
}

function transformation(definition: JsonObject): (text: string) => string {
  const type = definition["type"];
  switch (type) {
    case "NFC":
    case "NFD":
    case "NFKC":
    case "NFKD":
      return (text) => withOrderedMarks(text).normalize(type);
    case "Lowercase":
      return (text) => text.toLowerCase();
    case "Strip": {
      const [left, right] = [Boolean(definition["strip_left"]), Boolean(definition["strip_right"])];
      return (text) => (left ? (right ? text.trim() : text.trimStart()) : right ? text.trimEnd() : text);
    }
    default: {
      const prefix = contentOf(definition, "prepend");
      return (text) => prefix + text;
    }
  }
}

function contentOf(definition: JsonObject, field: string): string {
  const content = definition[field] ?? "";
  if (typeof content === "string") return content;
  throw new EngineError("invalid_model", `tokenizer.json: ${field} of a normalizer is not a string`);
}

function replacing(search: PatternSearch, content: string): Step["apply"] {
  const literal = content.replaceAll("$", "$$$$");
  return (text, budget) => {
    // The text can grow by the content before and after each character.
    if ((text.length + 1) * (content.length + 1) <= LIMITS.maxNormalizedCharacters)
      return search.replaceAll(text, literal, budget);
    let length = text.length;
    const counted = (match: string): string => {
      length += content.length - match.length;
      if (length > LIMITS.maxNormalizedCharacters) throw new TooLong();
      return content;
    };
    return search.replaceAll(text, counted, budget);
  };
}

/**
 * Sorts the combining marks in long runs by their combining class, which normalization does too, but in a time that is
 * quadratic in the length of a run: 160,000 marks take it two minutes.
 */
function withOrderedMarks(text: string): string {
  return text.replaceAll(LONG_RUN_OF_MARKS, orderedMarks);
}

/** Normalization decomposes some marks into several. A run of this length costs little however it is ordered. */
const LONG_RUN_OF_MARKS = /\p{M}{33,}/gu;

/** Decomposes marks and sorts them stably, but never across a mark that does not reorder. */
function orderedMarks(run: string): string {
  const decomposed = new Map([...new Set(run)].map((mark) => [mark, mark.normalize("NFD")]));
  const marks = Array.from(run, (mark) => decomposed.get(mark)!).join("");
  const classes = classesOf(new Set(marks));
  const parts: string[] = [];
  const byClass: string[][] = [];
  const flush = (): void => {
    for (const equals of byClass) for (const mark of equals?.splice(0) ?? []) parts.push(mark);
  };
  for (const mark of marks) {
    const markClass = classes.get(mark);
    if (markClass !== undefined) (byClass[markClass] ??= []).push(mark);
    else {
      flush();
      parts.push(mark);
    }
  }
  flush();
  return parts.join("");
}

/** Numbers the combining classes of marks in their order; marks that do not reorder have none. */
function classesOf(marks: ReadonlySet<string>): ReadonlyMap<string, number> {
  const reordering = [...marks].filter((mark) => isSwapped(mark, LOWEST) || isSwapped(HIGHEST, mark));
  reordering.sort((a, b) => (isSwapped(a, b) ? 1 : isSwapped(b, a) ? -1 : 0));
  let number = 0;
  return new Map(
    reordering.map((mark, index) => {
      if (index > 0 && isSwapped(mark, reordering[index - 1]!)) number++;
      return [mark, number];
    }),
  );
}

/** Returns true if the first of two marks has the higher combining class, so that normalization swaps them. */
const isSwapped = (first: string, second: string): boolean =>
  first !== second && (first + second).normalize("NFD") === second + first;

/** Marks of the lowest and the highest combining class, 1 and 240. */
const LOWEST = "\u0334";
const HIGHEST = "\u0345";

const tooLong = (param: string | null): EngineError =>
  new EngineError(
    "out_of_range",
    `The text is too long: normalized, it has more than ${LIMITS.maxNormalizedCharacters} characters.`,
    param,
  );
