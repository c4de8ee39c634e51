/**
 * Prepares the definitions in tokenizer.json for normalizer.ts and word-splitter.ts: most ways of splitting are replaced
 * by an explicit pattern that splits as the Rust tokenizers do. Unsupported definitions are refused by name.
 */

import { type JsonObject, isObject } from "../json.js";
import { described, EngineError } from "../errors.js";

/** @returns the pre-tokenizer definition for the library; null if the tokenizer has none */
export function preparePreTokenizer(definition: unknown): JsonObject | null {
  if (definition === null || definition === undefined) return null;
  if (!isObject(definition))
    throw new EngineError("invalid_model", "tokenizer.json: the pre_tokenizer is not an object");
  switch (definition["type"]) {
    case "Sequence": {
      const parts = Array.isArray(definition["pretokenizers"]) ? definition["pretokenizers"] : [];
      return { type: "Sequence", pretokenizers: parts.map(preparePreTokenizer).filter((part) => part !== null) };
    }
    case "ByteLevel":
      return prepareByteLevel(definition);
    case "Digits":
      // The library's Digits matches 0 to 9; the Rust tokenizers match all numeric characters.
      return split(definition["individual_digits"] === true ? "\\p{N}" : "\\p{N}+");
    case "Split":
      return prepareSplit(definition);
    case "Punctuation":
      return preparePunctuation(definition);
    case "Whitespace":
      return { ...split(`[${WORD}]+|[^${WORD}\\s]+`), behavior: "Removed", invert: true };
    case "WhitespaceSplit":
      return { ...split("\\s"), behavior: "Removed" };
    case "BertPreTokenizer":
      return {
        type: "Sequence",
        pretokenizers: [{ ...split("\\s"), behavior: "Removed" }, preparePunctuation({ behavior: "Isolated" })],
      };
    case "Metaspace":
      return prepareMetaspace(definition);
    default:
      throw unsupported(`pre-tokenizer ${typeOf(definition)}`);
  }
}

/** @returns the normalizer definition for the library; null if the tokenizer has none */
export function prepareNormalizer(definition: unknown): JsonObject | null {
  if (definition === null || definition === undefined) return null;
  if (!isObject(definition)) throw new EngineError("invalid_model", "tokenizer.json: the normalizer is not an object");
  switch (definition["type"]) {
    case "Sequence": {
      const parts = Array.isArray(definition["normalizers"]) ? definition["normalizers"] : [];
      return { type: "Sequence", normalizers: parts.map(prepareNormalizer).filter((part) => part !== null) };
    }
    case "NFC":
    case "NFD":
    case "NFKC":
    case "NFKD":
    case "Prepend":
    case "Replace":
    case "Lowercase":
    case "Nmt":
    case "Precompiled":
    case "Strip":
    case "StripAccents":
      return definition;
    default:
      throw unsupported(`normalizer ${typeOf(definition)}`);
  }
}

/** Returns what follows the name of a part of tokenizer.json in an error: its type, such as `Whitespace`. */
export function typeOf({ type }: JsonObject): string {
  if (type === undefined) return "without a type";
  return isName(type) ? type : `of type ${described(type)}`;
}

const isName = (value: unknown): value is string => typeof value === "string" && /^\w{1,80}$/.test(value);

/** Returns true if bytes are mapped to characters as in GPT-2. */
export function isByteLevel(preTokenizer: JsonObject | null): boolean {
  if (preTokenizer === null) return false;
  const parts = preTokenizer["pretokenizers"];
  return preTokenizer["type"] === "ByteLevel" || (Array.isArray(parts) && parts.some(isByteLevel));
}

/** Returns a definition, or the parts of a Sequence in order, however they are nested. */
export function partsOf(definition: JsonObject, field: "pretokenizers" | "normalizers"): JsonObject[] {
  if (definition["type"] !== "Sequence") return [definition];
  return (definition[field] as JsonObject[]).flatMap((part) => partsOf(part, field));
}

/** GPT-2's pattern for words, with Unicode white space instead of JavaScript's. */
export const GPT2_PATTERN = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

function prepareByteLevel(definition: JsonObject): JsonObject {
  if (definition["use_regex"] === false) return definition;
  if (definition["add_prefix_space"] === true) return definition;
  const bytes = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
  return { type: "Sequence", pretokenizers: [split(GPT2_PATTERN), bytes] };
}

function prepareSplit(definition: JsonObject): JsonObject {
  if (isBehavior(definition["behavior"])) return definition;
  throw unsupported(`pre-tokenizer Split with ${shownBehavior(definition)}`);
}

/** The Rust tokenizers split at each character that is punctuation in Unicode, or in ASCII. */
function preparePunctuation(definition: JsonObject): JsonObject {
  const { behavior = "Isolated" } = definition;
  if (isBehavior(behavior)) return { ...split("[\\p{P}$+<=>^`|~]"), behavior };
  throw unsupported(`pre-tokenizer Punctuation with ${shownBehavior(definition)}`);
}

/**
 * Says what happens to the matches of a pattern. Each becomes a word (Isolated), is dropped (Removed), or joins the text
 * before it, the text after it, or the matches beside it (Contiguous).
 */
export type SplitBehavior = (typeof BEHAVIORS)[number];
const BEHAVIORS = ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"] as const;

const isBehavior = (value: unknown): value is SplitBehavior => (BEHAVIORS as readonly unknown[]).includes(value);

function shownBehavior({ behavior }: JsonObject): string {
  return behavior === undefined ? "no behavior" : `behavior ${isName(behavior) ? behavior : described(behavior)}`;
}

function prepareMetaspace(definition: JsonObject): JsonObject {
  const replacement = metaspaceReplacement(definition);
  const metaspace = { type: "Metaspace", replacement, prepend_scheme: metaspaceScheme(definition) };
  if (definition["split"] === false) return metaspace;
  // The library does not split words here; each word should start with the replacement character.
  const escaped = replacement.replace(/[\\^$.*+?()[\]{}|]/, "\\$&");
  return { type: "Sequence", pretokenizers: [metaspace, split(`${escaped}[^${escaped}]*`)] };
}

/** Returns the character that stands for a space. @throws EngineError invalid_model if it is not one character */
export function metaspaceReplacement(definition: JsonObject): string {
  const { replacement = "▁" } = definition;
  if (typeof replacement === "string" && [...replacement].length === 1) return replacement;
  const given = described(replacement);
  throw new EngineError("invalid_model", `tokenizer.json: a Metaspace must replace by one character. Given: ${given}`);
}

/** Returns where a Metaspace puts a space in front of a text. Older files have a flag instead. */
export function metaspaceScheme(definition: JsonObject): "always" | "first" | "never" {
  const older = definition["add_prefix_space"] === false ? "never" : "always";
  const scheme = definition["prepend_scheme"] ?? older;
  if (scheme === "always" || scheme === "first" || scheme === "never") return scheme;
  throw unsupported(`Metaspace with prepend_scheme ${isName(scheme) ? scheme : described(scheme)}`);
}

/** Characters of words in Rust's regular expressions. */
const WORD = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u200c\\u200d";

const split = (regex: string): JsonObject => ({
  type: "Split",
  pattern: { Regex: regex },
  behavior: "Isolated",
  invert: false,
});

function unsupported(what: string): EngineError {
  return new EngineError("unsupported_model", `tokenizer.json has the ${what}, which is not supported`);
}
