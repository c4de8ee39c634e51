/** How a model writes a message, derived from its tokenizer and its chat template (contract, section 6). */

import { type JsonObject, isObject } from "../json.js";
import { tokenIdOf } from "../text/index.js";

/** The texts that open and close a part of a message. ASCII. */
export interface Markup {
  readonly open: string;
  readonly close: string;
}

/** What may surround the parts of a message. The parser and the token masks both follow it. */
export interface MessageFormat {
  /** Around the reasoning before the answer; null for a model that does not reason. */
  readonly reasoning: Markup | null;
}

/** The format of a model that writes nothing but its answer. */
export const PLAIN: MessageFormat = { reasoning: null };

/** What most models that reason write. */
export const THINK: Markup = { open: "<think>", close: "</think>" };

export const THINKING: MessageFormat = { reasoning: THINK };

/**
 * Reasoning is marked by `<think>` and `</think>`, or by another pair whose names speak of thinking. Both must be
 * tokens, or both must stand in the template. Channels, where the same words open reasoning and answers, are no such pair.
 *
 * @param tokenizerJson the parsed tokenizer.json
 * @param template the Jinja source; null where the model has none
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

/** Every text of the format that is markup. A special token of this content has text, unlike other special tokens. */
export function markupOf({ reasoning }: MessageFormat): string[] {
  return reasoning === null ? [] : [reasoning.open, reasoning.close];
}

const TAG = /(?:<\|?|\[)[\w:/]*(?:think|thought|reason)\w*(?:\|?>|\])/gi;

/** A closing tag is the opening one with a slash, or with "end" where that has "start" or "begin". */
function pairsAmong(tags: readonly string[]): Markup[] {
  return tags.flatMap((open) => {
    const closings = [
      open.replace(/^(<\|?|\[)/, "$1/"),
      open.replace(/start|begin/, "end"),
      open.replace(/START|BEGIN/, "END"),
    ];
    const close = closings.find((closing) => closing !== open && tags.includes(closing));
    return close === undefined ? [] : [{ open, close }];
  });
}
