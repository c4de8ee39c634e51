/**
 * Prepares the definitions of tokenizer.json for the tokenizer library, so that text is cut as the Rust tokenizers cut
 * it: what the library does otherwise is spelled out for it, what it cannot do is refused by name.
 */

import { type JsonObject, isObject } from "../json.js";
import { EngineError } from "../errors.js";

/** @returns the pre-tokenizer as the library should be given it; null where there is none */
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
      // The library's digits are 0 to 9; the Rust tokenizers' are every numeric character.
      return split(definition["individual_digits"] === true ? "\\p{N}" : "\\p{N}+");
    case "Split":
      return prepareSplit(definition);
    case "Metaspace":
      return prepareMetaspace(definition);
    default:
      throw unsupported(`pre-tokenizer ${String(definition["type"])}`);
  }
}

/** @returns the normalizer as the library should be given it; null where there is none */
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
    case "Strip":
      return definition;
    default:
      throw unsupported(`normalizer ${String(definition["type"])}`);
  }
}

/** Whether bytes are spelled as characters in the way of GPT-2. */
export function isByteLevel(preTokenizer: JsonObject | null): boolean {
  if (preTokenizer === null) return false;
  const parts = preTokenizer["pretokenizers"];
  return preTokenizer["type"] === "ByteLevel" || (Array.isArray(parts) && parts.some(isByteLevel));
}

/** GPT-2's words, with the white space of Unicode instead of JavaScript's. */
const GPT2_PATTERN = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

function prepareByteLevel(definition: JsonObject): JsonObject {
  if (definition["use_regex"] === false) return definition;
  if (definition["add_prefix_space"] === true) return definition;
  const bytes = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
  return { type: "Sequence", pretokenizers: [split(GPT2_PATTERN), bytes] };
}

function prepareSplit(definition: JsonObject): JsonObject {
  const behavior = String(definition["behavior"]);
  const inverted = definition["invert"] === true;
  if (behavior === "Isolated" && !inverted) return definition;
  if (behavior === "Removed" && inverted) return definition;
  throw unsupported(`pre-tokenizer Split with behavior ${behavior}${inverted ? ", inverted" : ""}`);
}

function prepareMetaspace(definition: JsonObject): JsonObject {
  const replacement = typeof definition["replacement"] === "string" ? definition["replacement"] : "▁";
  const scheme = definition["prepend_scheme"] ?? (definition["add_prefix_space"] === false ? "never" : "always");
  const metaspace = { type: "Metaspace", replacement, prepend_scheme: scheme };
  if (definition["split"] === false) return metaspace;
  // The library leaves the words together; they belong apart, each with the replacement in front of it.
  return { type: "Sequence", pretokenizers: [metaspace, split(`${replacement}[^${replacement}]*`)] };
}

const split = (regex: string): JsonObject => ({
  type: "Split",
  pattern: { Regex: regex },
  behavior: "Isolated",
  invert: false,
});

function unsupported(what: string): EngineError {
  return new EngineError("unsupported_model", `tokenizer.json has the ${what}, which is not supported`);
}
