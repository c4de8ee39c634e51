/** The message format of a model, derived from its tokenizer and its chat template (contract, section 6). */

import { type JsonObject, isObject } from "../json.js";
import { tokenIdOf } from "../text/index.js";

/** The opening and closing tag of a part of a message, in ASCII. */
export interface Markup {
  readonly open: string;
  readonly close: string;
}

/** Tags around the parts of a message. The parser and the token masks both use it. */
export interface MessageFormat {
  /** Tags around the reasoning before the answer; null for a model without reasoning. */
  readonly reasoning: Markup | null;
}

/** Format of a model that writes only its answer. */
export const PLAIN: MessageFormat = { reasoning: null };

/** Tags that most reasoning models use. */
export const THINK: Markup = { open: "<think>", close: "</think>" };

export const THINKING: MessageFormat = { reasoning: THINK };

/**
 * Finds the tags around the reasoning: `<think>` and `</think>`, or another pair with "think", "thought" or "reason" in
 * its names. Both tags must be tokens, or both must appear in the template. Channel formats, which open reasoning and
 * answers with the same words, are not supported.
 *
 * @param tokenizerJson the parsed tokenizer.json
 * @param template the Jinja source; null if the model has none
 */
export function deriveMessageFormat(tokenizerJson: JsonObject, template: string | null): MessageFormat {
  const added: unknown[] = Array.isArray(tokenizerJson["added_tokens"]) ? tokenizerJson["added_tokens"] : [];
  const contents = added.map((token) => `${isObject(token) ? token["content"] : ""}`);
  const ordinary = [THINK.open, THINK.close].filter((tag) => tokenIdOf(tokenizerJson, tag) !== null);
  const named = contents.filter((text) => new RegExp(`^${TAG.source}$`, "i").test(text));
  const pairs = [[...ordinary, ...named], template?.match(TAG) ?? []].flatMap((tags) => pairsAmong(tags));
  const reasoning = pairs.find(({ open }) => open === THINK.open) ?? pairs[0] ?? null;
  return reasoning === null ? PLAIN : { reasoning };
}

/** Returns the tags of the format. A special token with this content has text, unlike other special tokens. */
export function markupOf({ reasoning }: MessageFormat): string[] {
  return reasoning === null ? [] : [reasoning.open, reasoning.close];
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
