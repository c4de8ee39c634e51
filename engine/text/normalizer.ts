/** Normalizes text before it is split. The definition is one of pre-tokenization.ts. */

import type { Budget } from "../budget.js";
import { EngineError } from "../errors.js";
import type { JsonObject } from "../json.js";
import { LIMITS } from "../limits.js";
import { CharacterMap } from "./character-map.js";
import { endOfMatches } from "./long-runs.js";
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
  if (definition["type"] === "Precompiled") {
    const map = new CharacterMap(definition["precompiled_charsmap"]);
    return { apply: mapping(map), charactersPerStep: Infinity }; // the map counts its own steps
  }
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
      // Rust lowers each character by itself; JavaScript has another sigma at the end of a word.
      return (text) => text.replaceAll("Σ", "σ").toLowerCase();
    case "StripAccents":
      return (text) => text.replaceAll(/\p{M}{1,1024}/gu, "");
    case "Nmt":
      return (text) => text.replaceAll(NMT_REMOVED, "").replaceAll(NMT_SPACES, " ");
    case "Strip": {
      const [left, right] = [Boolean(definition["strip_left"]), Boolean(definition["strip_right"])];
      return (text) => stripped(text, left, right);
    }
    default: {
      const prefix = contentOf(definition, "prepend");
      return (text) => (text === "" ? text : prefix + text);
    }
  }
}

/** Removes white space as Rust does: U+0085 is white space and U+FEFF is not, other than in JavaScript. */
function stripped(text: string, left: boolean, right: boolean): string {
  let [start, end] = [0, text.length];
  if (left) while (start < end && WHITE_SPACE.test(text[start]!)) start++;
  if (right) while (end > start && WHITE_SPACE.test(text[end - 1]!)) end--;
  return text.slice(start, end);
}

const WHITE_SPACE = /^\p{White_Space}$/u;

function contentOf(definition: JsonObject, field: string): string {
  const content = definition[field] ?? "";
  if (typeof content === "string") return content;
  throw new EngineError("invalid_model", `tokenizer.json: ${field} of a normalizer is not a string`);
}

/** What the normalizer Nmt removes, and what it takes for spaces. */
const NMT_REMOVED = /[\x01-\x08\v\x0e-\x1f\x7f\x8f\x9f]{1,1024}/g;
const NMT_SPACES = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g;

function mapping(map: CharacterMap): Step["apply"] {
  return (text, budget) => {
    const parts: string[] = [];
    let length = 0;
    map.replace(text, budget, (part) => {
      length += part.length;
      if (length > LIMITS.maxNormalizedCharacters) throw new TooLong();
      parts.push(part);
    });
    return parts.join("");
  };
}

function replacing(search: PatternSearch, content: string): Step["apply"] {
  return (text, budget) => {
    // The text can grow by the content before and after each character.
    if ((text.length + 1) * (content.length + 1) <= LIMITS.maxNormalizedCharacters)
      return search.replaceAll(text, content, budget);
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
  const parts: string[] = [];
  let done = 0;
  for (LONG_RUN_OF_MARKS.lastIndex = 0; ; LONG_RUN_OF_MARKS.lastIndex = done) {
    const match = LONG_RUN_OF_MARKS.exec(text);
    if (match === null) return parts.join("") + text.slice(done);
    const end = endOfMatches(text, match.index, MARKS);
    parts.push(text.slice(done, match.index), orderedMarks(text.slice(match.index, end)));
    done = end;
  }
}

/** Normalization decomposes some marks into several. A shorter run costs little however it is ordered. */
const LONG_RUN_OF_MARKS = /\p{M}{33}/gu;
const MARKS = /\p{M}{1,1024}/uy;

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
