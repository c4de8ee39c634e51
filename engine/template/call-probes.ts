/**
 * Reads off a chat template how its model writes calls of tools. The template is rendered with messages that contain
 * marked names and arguments, and what is around them in the text is the form of a call.
 */

import { EngineError } from "../errors.js";
import { type CallForm, type WrittenCall, writtenCalls } from "../message/index.js";
import type { JsonObject } from "../json.js";
import { JinjaTemplate, SAMPLE_DATE } from "./jinja-template.js";
import { RenderBudget } from "./render-budget.js";
import { plain } from "./sourced-text.js";
import { namedTokens } from "./template-variables.js";

/** Renders messages with tools. @throws EngineError template_error */
type Render = (messages: readonly object[]) => string;

/**
 * Returns the form of calls in a model's template.
 *
 * @param source of the template; null if the model has none
 * @param tokens contents of the tokenizer's added tokens
 * @returns null without a usable template, or if its calls are not understood
 */
export function callFormOf(
  source: string | null,
  tokenizerConfig: JsonObject,
  tokens: readonly string[],
): CallForm | null {
  if (source === null) return null;
  try {
    return deriveCallForm(new JinjaTemplate(source), namedTokens(tokenizerConfig), tokens);
  } catch (error) {
    if (error instanceof EngineError || error instanceof SyntaxError) return null;
    throw error;
  }
}

/**
 * Derives the form of calls.
 *
 * @param variables of the template: the names of special tokens
 * @param tokens contents of the tokenizer's added tokens
 * @throws EngineError template_error that shows the text which is not understood
 */
export function deriveCallForm(
  template: JinjaTemplate,
  variables: Readonly<Record<string, unknown>>,
  tokens: readonly string[],
): CallForm {
  const render: Render = (messages) => {
    const given = { messages, tools: [TOOL], documents: null, add_generation_prompt: false };
    return plain(template.render({ ...variables, ...given }, RenderBudget.forOneSample(), SAMPLE_DATE));
  };
  const asked = render([USER]);
  if (!asked.includes(TOOL.function.name)) throw refusal("does not write the tools that it gets", null);
  let reason: EngineError | null = null;
  for (const argumentsAs of ["object", "text"] as const) {
    try {
      return derived(render, argumentsAs, tokens);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      reason ??= error;
    }
  }
  throw reason!;
}

function derived(render: Render, argumentsAs: CallForm["argumentsAs"], tokens: readonly string[]): CallForm {
  const turn = new Turn(render);
  const written = (numCalls: number): string =>
    turn.of({ content: "", tool_calls: CALLS.slice(0, numCalls).map((call) => message(call, argumentsAs)) });
  const one = written(1);
  const parts = partsOf(one);
  let several: Divided;
  try {
    several = divided(parts, written(2));
  } catch (error) {
    // Some models write one call at most, and their templates refuse more.
    if (!(error instanceof EngineError) || error.param !== "messages") throw error;
    several = { open: "", separator: null, close: "", before: parts.before, after: parts.after };
  }
  const { between, isNameFirst } = parts;
  const texts = { ...several, between, isNameFirst };
  const trigger = triggerOf(several.open + several.before, tokens);
  const mayFollowText = trigger !== null && turn.keepsText(argumentsAs, one);
  const whole = Object.values(texts).join("");
  const used = tokens.filter((token) => whole.includes(token));
  const form: CallForm = { ...texts, trigger, mayFollowText, argumentsAs, tokens: used };
  for (const numCalls of form.separator === null ? [1] : [1, 3]) {
    const text = withoutIds(written(numCalls));
    if (writtenCalls(form, writtenIn(text, numCalls)) !== text)
      throw refusal("writes calls in a form that is not known", text);
  }
  return form;
}

/** Returns the calls with the JSON as it is written in a text. */
function writtenIn(text: string, numCalls: number): WrittenCall[] {
  return CALLS.slice(0, numCalls).map((call) => {
    const json = argumentsIn(text, call);
    return { name: call.name, json: json === null ? "" : text.slice(json.start, json.end) };
  });
}

/** The text that a template writes for the last turn, without what is around every such turn. */
class Turn {
  readonly #render: Render;
  readonly #before: string;
  readonly #after: string;

  constructor(render: Render) {
    this.#render = render;
    const text = render([USER, { role: "assistant", content: TEXT }]);
    const at = text.lastIndexOf(TEXT);
    if (at < 0) throw refusal("does not write the text of an answer", text);
    this.#before = text.slice(0, at);
    this.#after = text.slice(at + TEXT.length);
  }

  of(answer: object): string {
    const text = this.#render([USER, { role: "assistant", ...answer }]);
    const start = sharedStart(this.#before, text);
    // White space around an answer may differ from that around calls.
    if (this.#before.slice(start).trim() !== "") throw refusal("begins a turn with calls in another way", text);
    const rest = text.slice(start);
    return rest.slice(0, rest.length - sharedEnd(this.#after, rest)).trim();
  }

  /** True if text before calls is written too. @param call the text of a call alone */
  keepsText(argumentsAs: CallForm["argumentsAs"], call: string): boolean {
    try {
      const text = this.of({ content: TEXT, tool_calls: [message(CALLS[0]!, argumentsAs)] });
      return text.startsWith(TEXT) && text.endsWith(call);
    } catch {
      return false;
    }
  }
}

interface Parts {
  readonly before: string;
  readonly between: string;
  readonly after: string;
  readonly isNameFirst: boolean;
}

/** Divides the text of one call at its name and its arguments. */
function partsOf(text: string): Parts {
  const { name, json, isNameFirst } = placesIn(text, CALLS[0]!);
  const [first, last] = isNameFirst ? [name, json] : [json, name];
  const parts = { before: text.slice(0, first.start), between: text.slice(first.end, last.start) };
  const after = withoutIds(text.slice(last.end));
  if (/^[A-Za-z0-9_-]/.test(isNameFirst ? parts.between : after) || (isNameFirst && parts.between === ""))
    throw refusal("writes no end after the name of a call", text);
  if (ID.test(parts.before + parts.between + after)) throw refusal("writes the id of a call", text);
  return { ...parts, after, isNameFirst };
}

type Divided = Pick<CallForm, "open" | "separator" | "close" | "before" | "after">;

/** Finds what is before the first call, between calls and after the last one. @param text of two calls */
function divided({ before, after }: Parts, text: string): Divided {
  const [first, second] = CALLS.slice(0, 2).map((call) => placesIn(text, call));
  const end = Math.max(first!.name.end, first!.json.end);
  const start = Math.min(second!.name.start, second!.json.start);
  if (start < end) throw refusal("writes two calls in a form that is not known", text);
  const between = withoutIds(text.slice(end, start));
  const numBefore = sharedEnd(before, between);
  const rest = between.slice(0, between.length - numBefore);
  const numAfter = sharedStart(after, rest);
  return {
    open: before.slice(0, before.length - numBefore),
    separator: rest.slice(numAfter),
    close: after.slice(numAfter),
    before: before.slice(before.length - numBefore),
    after: after.slice(0, numAfter),
  };
}

interface Place {
  readonly start: number;
  readonly end: number;
}

function placesIn(text: string, call: ProbeCall): { name: Place; json: Place; isNameFirst: boolean } {
  const start = text.indexOf(call.name);
  const json = argumentsIn(text, call);
  if (start < 0 || json === null) throw refusal("writes a call in a form that is not known", text);
  return { name: { start, end: start + call.name.length }, json, isNameFirst: start < json.start };
}

/** Finds the JSON of the arguments, in any layout. */
function argumentsIn(text: string, { key, value }: ProbeCall): Place | null {
  const match = new RegExp(`\\{\\s*"${key}"\\s*:\\s*"${value}"\\s*\\}`).exec(text);
  return match === null ? null : { start: match.index, end: match.index + match[0].length };
}

/** Leaves out ids after the arguments, which models do not write themselves. */
const withoutIds = (text: string): string => text.replace(/,\s*"\w*id"\s*:\s*"callzqid\d"/g, "");

/**
 * Returns the text with which calls are recognized: up to the end of the first token or tag; null if calls begin like
 * ordinary JSON.
 */
function triggerOf(begin: string, tokens: readonly string[]): string | null {
  const token = tokens
    .filter((one) => begin.startsWith(one))
    .reduce((longest, one) => (one.length > longest.length ? one : longest), "");
  if (token !== "") return token;
  return /^(?:<[^<>\s]+>|\[[A-Z_]+\]|<\w+=)/.exec(begin)?.[0] ?? null;
}

function refusal(what: string, text: string | null): EngineError {
  const shown =
    text === null ? "" : `: ${JSON.stringify(text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text)}`;
  return new EngineError("template_error", `The model's chat template ${what}${shown}`, "tools");
}

const MAX_SHOWN = 400;

function sharedStart(a: string, b: string): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}

function sharedEnd(a: string, b: string): number {
  let length = 0;
  while (length < a.length && length < b.length && a.at(-1 - length) === b.at(-1 - length)) length++;
  return length;
}

/** A call of marked words that occur in no template. */
interface ProbeCall {
  readonly name: string;
  readonly key: string;
  readonly value: string;
  /** Nine letters and digits, as some templates ask for. */
  readonly id: string;
}

const CALLS: readonly ProbeCall[] = ["one", "two", "three"].map((word, index) => ({
  name: `name_zq_${word}`,
  key: `key_zq_${word}`,
  value: `value zq ${word}`,
  id: `callzqid${index}`,
}));
const ID = /callzqid\d/;
const TEXT = "Text of an answer zq.";
const USER = { role: "user", content: "A question zq." };
const TOOL = {
  type: "function",
  function: {
    name: CALLS[0]!.name,
    description: "A tool.",
    parameters: {
      type: "object",
      properties: { [CALLS[0]!.key]: { type: "string", description: "A key." } },
      required: [CALLS[0]!.key],
    },
  },
};

/** Returns a call as messages have it. */
function message({ name, key, value, id }: ProbeCall, argumentsAs: CallForm["argumentsAs"]): object {
  const args = argumentsAs === "object" ? { [key]: value } : `{"${key}": "${value}"}`;
  return { id, type: "function", function: { name, arguments: args } };
}
