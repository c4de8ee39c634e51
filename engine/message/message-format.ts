/** The message format of a model, derived from its tokenizer and its chat template (contract, section 6). */

import { type JsonObject, isObject } from "../json.js";
import { tokenIdOf } from "../text/index.js";
import type { CallForm } from "./call-form.js";

/** The opening and closing tag of a part of a message, in ASCII. */
export interface Markup {
  readonly open: string;
  readonly close: string;
}

/** Tags around the parts of a message. The parser and the token masks both use it. */
export interface MessageFormat {
  /** Tags around the reasoning before the answer; null for a model without reasoning. */
  readonly reasoning: Markup | null;
  /** How the model calls tools; null if it does not, or in a form that is not understood. */
  readonly calls: CallForm | null;
}

/** Format of a model that writes only its answer. */
export const PLAIN: MessageFormat = { reasoning: null, calls: null };

/** Tags that most reasoning models use. */
export const THINK: Markup = { open: "<think>", close: "</think>" };

export const THINKING: MessageFormat = { reasoning: THINK, calls: null };

/**
 * Finds the tags around the reasoning of a model: `<think>` and `</think>`, or another pair with "think", "thought" or "reason" in
 * its names. Both tags must be tokens, or both must appear in the template. Channel formats, which open reasoning and
 * answers with the same words, are not supported.
 *
 * @param tokenizerJson the parsed tokenizer.json
 * @param template the Jinja source; null if the model has none
 */
export function deriveReasoning(tokenizerJson: JsonObject, template: string | null): Markup | null {
  const contents = addedContents(tokenizerJson);
  const ordinary = [THINK.open, THINK.close].filter((tag) => tokenIdOf(tokenizerJson, tag) !== null);
  const named = contents.filter((text) => new RegExp(`^${TAG.source}$`, "i").test(text));
  const pairs = [[...ordinary, ...named], template?.match(TAG) ?? []].flatMap((tags) => pairsAmong(tags));
  return pairs.find(({ open }) => open === THINK.open) ?? pairs[0] ?? null;
}

/** Returns the contents of the added tokens of a tokenizer.json. */
export function addedContents(tokenizerJson: JsonObject): string[] {
  const added: unknown[] = Array.isArray(tokenizerJson["added_tokens"]) ? tokenizerJson["added_tokens"] : [];
  return added.map((token) => `${isObject(token) ? token["content"] : ""}`);
}

/** Returns the tags of the format. A special token with this content has text, unlike other special tokens. */
export function markupOf({ reasoning, calls }: MessageFormat): string[] {
  return [...(reasoning === null ? [] : [reasoning.open, reasoning.close]), ...(calls?.tokens ?? [])];
}

/** Names are bounded, because a long run of such words would be searched again from each of its words. */
const TAG = /(?:<\|?|\[)[\w:/]{0,32}(?:think|thought|reason)\w{0,32}(?:\|?>|\])/gi;

/** Pairs each opening tag with its closing tag: the same with a slash, or with "end" for "start" or "begin". */
function pairsAmong(tags: readonly string[]): Markup[] {
  const known = new Set(tags);
  return tags.flatMap((open) => {
    const closings = [
      open.replace(/^(<\|?|\[)/, "$1/"),
      open.replace(/start|begin/, "end"),
      open.replace(/START|BEGIN/, "END"),
    ];
    const close = closings.find((closing) => closing !== open && known.has(closing));
    return close === undefined ? [] : [{ open, close }];
  });
}
