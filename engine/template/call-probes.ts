/**
 * Reads off a chat template how its model writes calls of tools. The template is rendered with messages that contain
 * marked names and arguments, and what is around them in the text is the form of a call.
 */

import { EngineError } from "../errors.js";
import { type CallForm, type CallTag, type WrittenCall, writtenCalls } from "../message/index.js";
import type { JsonObject } from "../json.js";
import { JinjaTemplate, SAMPLE_DATE } from "./jinja-template.js";
import { RenderBudget } from "./render-budget.js";
import { deriveParameters, sharedEnd, sharedStart } from "./parameter-probes.js";
import { plain } from "./sourced-text.js";
import { namedTokens } from "./template-variables.js";

/** Renders messages with tools. @throws EngineError template_error */
type Render = (messages: readonly object[], addGenerationPrompt?: boolean) => string;

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
  const render = renderWith(template, variables);
  if (!render([USER]).includes(TOOL.function.name))
    throw refusal("does not write the tools that it gets (with --tool-format hermes, they are written as text)", null);
  return formIn(render, tokens);
}

/** Returns the form of calls in a template that does not write tools. @throws EngineError */
export function formWithoutTools(source: string, tokenizerConfig: JsonObject, tokens: readonly string[]): CallForm {
  return formIn(renderWith(new JinjaTemplate(source), namedTokens(tokenizerConfig)), tokens);
}

/** Returns the prompt of a question beside a tool; null if the template does not write the tool. @throws EngineError */
export function promptWithTools(source: string, tokenizerConfig: JsonObject): string | null {
  const text = renderWith(new JinjaTemplate(source), namedTokens(tokenizerConfig))([USER]);
  return text.includes(TOOL.function.name) ? text : null;
}

/** True if a template writes nothing of a call. @throws EngineError */
export function writesNoCalls(source: string, tokenizerConfig: JsonObject): boolean {
  const render = renderWith(new JinjaTemplate(source), namedTokens(tokenizerConfig));
  const call = message(CALLS[1]!, { argumentsAs: "object", hasShortIds: true });
  const text = render([USER, { role: "assistant", content: TEXT, tool_calls: [call] }]);
  return text.includes(TEXT) && !text.includes(CALLS[1]!.name) && !text.includes(CALLS[1]!.value);
}

function renderWith(template: JinjaTemplate, variables: Readonly<Record<string, unknown>>): Render {
  return (messages, addGenerationPrompt = false) => {
    const given = { messages, tools: [TOOL], documents: null, add_generation_prompt: addGenerationPrompt };
    return plain(template.render({ ...variables, ...given }, RenderBudget.forOneSample(), SAMPLE_DATE));
  };
}

function formIn(render: Render, tokens: readonly string[]): CallForm {
  let reason: EngineError | null = null;
  for (const argumentsAs of ["object", "text"] as const) {
    for (const hasShortIds of [false, true]) {
      try {
        return derived(render, { argumentsAs, hasShortIds }, tokens);
      } catch (error) {
        if (!(error instanceof EngineError)) throw error;
        reason ??= error;
      }
    }
    if (writesObjects(render)) break;
  }
  throw reason!;
}

/** True if a template writes arguments that are an object itself, and not as Python shows an object. */
function writesObjects(render: Render): boolean {
  try {
    const call = message(CALLS[0]!, { argumentsAs: "object", hasShortIds: true });
    const text = render([USER, { role: "assistant", content: "", tool_calls: [call] }]);
    return text.includes(CALLS[0]!.value) && !isShownByPython(text);
  } catch {
    return false;
  }
}

/** True if a text contains an object as Python shows it, which no model writes: the template expects text. */
function isShownByPython(text: string): boolean {
  return text.includes(`'${CALLS[0]!.key}': '`);
}

/** How messages with calls are given to a template. */
type Given = Pick<CallForm, "argumentsAs" | "hasShortIds">;

function derived(render: Render, given: Given, tokens: readonly string[]): CallForm {
  const turn = new Turn(render, tokens);
  const written = (calls: readonly ProbeCall[]): string =>
    turn.of({ content: "", tool_calls: calls.map((call) => message(call, given)) });
  const one = written(CALLS.slice(0, 1));
  const parts = partsOf(one, written);
  const several = severalIn(parts, one, () => written(CALLS.slice(0, 2)));
  const { between, isNameFirst, tag, parameters } = parts;
  const texts = { ...several, between };
  const trigger = triggerOf(several.open + several.before, tokens);
  const mayFollowText = trigger !== null && turn.keepsText(given, one);
  if (turn.endToken !== null && (several.after + several.close).includes(turn.endToken))
    throw refusal("writes the end of a turn after calls and before their end", one);
  const whole = one + (several.separator === null ? "" : written(CALLS.slice(0, 2)));
  const used = tokens.filter((token) => whole.includes(token));
  const form: CallForm = { ...texts, isNameFirst, tag, parameters, trigger, mayFollowText, ...given, tokens: used };
  for (const numCalls of form.separator === null ? [1] : [1, 3]) {
    const text = withoutIds(written(CALLS.slice(0, numCalls)));
    if (writtenCalls(form, writtenIn(text, numCalls)) !== withPlainTags(text, tag))
      throw refusal("writes calls in a form that is not known", text);
  }
  return form;
}

/** @param two returns the text of two calls */
function severalIn(parts: Parts, one: string, two: () => string): Divided {
  try {
    const text = two();
    if (text !== one) return divided(parts, text);
  } catch (error) {
    if (!(error instanceof EngineError) || error.param !== "messages") throw error;
  }
  // Some models write one call at most: their templates refuse more, or write the first one.
  return { open: "", separator: null, close: "", before: parts.before, after: parts.after };
}

/** Returns the calls with the JSON as it is written in a text. */
function writtenIn(text: string, numCalls: number): WrittenCall[] {
  return CALLS.slice(0, numCalls).map((call) => {
    const json = argumentsIn(text, call);
    const written = json === null ? jsonOf(call) : text.slice(json.start, json.end);
    return { name: call.name, json: written };
  });
}

/** The text that a template writes for the last turn, without what is around every such turn. */
class Turn {
  readonly #render: Render;
  readonly #tokens: readonly string[];
  readonly #before: string;
  readonly #after: string;
  /** The token after an answer, if there is one. */
  readonly endToken: string | null;

  /** @param tokens contents of the tokenizer's added tokens */
  constructor(render: Render, tokens: readonly string[]) {
    this.#render = render;
    this.#tokens = tokens;
    const text = render([USER, { role: "assistant", content: TEXT }]);
    const at = text.lastIndexOf(TEXT);
    if (at < 0) throw refusal("does not write the text of an answer", text);
    this.#before = text.slice(0, at);
    this.#after = text.slice(at + TEXT.length);
    const after = this.#after.trimStart();
    this.endToken = tokens.find((token) => after.startsWith(token)) ?? null;
  }

  of(answer: object): string {
    const text = this.#render([USER, { role: "assistant", ...answer }]);
    const rest = text.slice(this.#startIn(text));
    return rest.slice(0, this.#endOf(rest)).trim();
  }

  /** Returns where the answer begins in a text. */
  #startIn(text: string): number {
    const start = sharedStart(this.#before, text);
    // White space around an answer may differ from that around calls.
    if (this.#before.slice(start).trim() === "") return start;
    // Only answers of text have tokens before them, or reasoning.
    const prompt = this.#render([USER], true);
    const own = this.#before.slice(this.#startOfToken(this.#before, sharedStart(prompt, this.#before)));
    const isOfTokens = this.#tokens.reduce((rest, token) => rest.replaceAll(token, ""), own).trim() === "";
    if (isOfTokens && own !== "" && text.startsWith(prompt)) return prompt.length;
    const unopened = this.#before.replace(OPENED_REASONING, "");
    if (unopened !== this.#before && text.startsWith(unopened)) return unopened.length;
    throw refusal("begins a turn with calls in another way", text);
  }

  /** Returns where the end of every turn begins; a token that is only like its first token belongs to it. */
  #endOf(rest: string): number {
    const end = this.#startOfToken(rest, rest.length - sharedEnd(this.#after, rest));
    const token = this.endToken;
    if (token === null) return end;
    // White space around the token that ends a turn may differ too.
    const at = rest.indexOf(token, rest.lastIndexOf(MARK));
    return at >= 0 && rest.slice(at + token.length).trim() === "" ? Math.min(end, at) : end;
  }

  /** Returns a place in a text, or where a token begins that contains it. */
  #startOfToken(text: string, place: number): number {
    const cut = this.#tokens.map((token) => startOfCut(text, token, place)).filter((start) => start >= 0);
    return Math.min(place, ...cut);
  }

  /** True if text before calls is written too. @param call the text of a call alone */
  keepsText(given: Given, call: string): boolean {
    try {
      const text = this.of({ content: TEXT, tool_calls: [message(CALLS[0]!, given)] });
      return text.startsWith(TEXT) && text.endsWith(call);
    } catch {
      return false;
    }
  }
}

type Parts = Pick<CallForm, "before" | "between" | "after" | "isNameFirst" | "tag" | "parameters">;

/**
 * Divides the text of one call at its name and its arguments.
 * @param written returns the text of calls
 */
function partsOf(text: string, written: (calls: readonly ProbeCall[]) => string): Parts {
  const json = argumentsIn(text, CALLS[0]!);
  const nameAt = text.indexOf(CALLS[0]!.name);
  if (nameAt < 0) throw refusal("writes a call in a form that is not known", text);
  const name = { start: nameAt, end: nameAt + CALLS[0]!.name.length };
  if (json === null && !isShownByPython(text)) return parametersIn(text, name, written);
  if (json === null) throw refusal("writes a call in a form that is not known", text);
  const isNameFirst = nameAt < json.start;
  const [first, last] = isNameFirst ? [name, json] : [json, name];
  const start = taggedBefore(text.slice(0, first.start), isNameFirst, written);
  const after = withoutIds(text.slice(last.end));
  const rest = text.slice(first.end, last.start);
  const { tag, between } =
    isNameFirst && start.tag === null ? tagged(rest, written) : { tag: start.tag, between: rest };
  const { before } = start;
  const afterName = isNameFirst ? (tag === null || tag.isBeforeName ? "" : tag.text) + between : after;
  if (/^[A-Za-z0-9_-]/.test(afterName) || (isNameFirst && between === ""))
    throw refusal("writes no end after the name of a call", text);
  if (ID.test(before + between + after)) throw refusal("writes the id of a call", text);
  return { before, between, after, isNameFirst, tag, parameters: null };
}

function parametersIn(text: string, name: Place, written: (calls: readonly ProbeCall[]) => string): Parts {
  const before = text.slice(0, name.start);
  const afterName = (args: object): string => written([{ ...CALLS[0]!, args }]).slice(name.end);
  const found = deriveParameters(afterName);
  if (found === null) throw refusal("writes a call in a form that is not known", text);
  if (ID.test(text)) throw refusal("writes the id of a call", text);
  return { before, isNameFirst: true, tag: null, ...found };
}

/** Finds a number or an id before the name. @param written returns the text of calls */
function taggedBefore(
  before: string,
  isNameFirst: boolean,
  written: (calls: readonly ProbeCall[]) => string,
): { tag: CallForm["tag"]; before: string } {
  const found = (
    kind: "number" | "id",
    [, start, text]: RegExpExecArray,
  ): { tag: CallForm["tag"]; before: string } => ({
    tag: { kind, isBeforeName: true, text: text! },
    before: start!,
  });
  if (!isNameFirst) return { tag: null, before };
  const byId = new RegExp(`^([^]*)${ID.source}([^]+)$`).exec(before);
  if (byId !== null) return found("id", byId);
  const byNumber = /^([^]*[^0-9])0([^0-9]+)$/.exec(before);
  const isCounted = byNumber !== null && written(CALLS.slice(0, 2)).includes(`1${byNumber[2]!}${CALLS[1]!.name}`);
  return isCounted ? found("number", byNumber) : { tag: null, before };
}

/** Finds a number or an id between name and arguments. @param written returns the text of calls */
function tagged(
  between: string,
  written: (calls: readonly ProbeCall[]) => string,
): { tag: CallForm["tag"]; between: string } {
  const byId = new RegExp(`^([^]*?)${ID.source}([^]*)$`).exec(between);
  if (byId !== null) return { tag: { kind: "id", isBeforeName: false, text: byId[1]! }, between: byId[2]! };
  const byNumber = /^([^0-9]+)0([^0-9][^]*)$/.exec(between);
  if (byNumber === null) return { tag: null, between };
  const [, text, rest] = byNumber;
  const isCounted = written(CALLS.slice(0, 2)).includes(`${CALLS[1]!.name}${text}1${rest}`);
  return isCounted
    ? { tag: { kind: "number", isBeforeName: false, text: text! }, between: rest! }
    : { tag: null, between };
}

/** Returns a text with the ids that `writtenCalls` writes. */
function withPlainTags(text: string, tag: CallForm["tag"]): string {
  if (tag?.kind !== "id") return text;
  return text.replace(new RegExp(ID.source, "g"), (id) => id.at(-1)!.padStart(9, "0"));
}

type Divided = Pick<CallForm, "open" | "separator" | "close" | "before" | "after">;

/** Finds what is before the first call, between calls and after the last one. @param text of two calls */
function divided({ before, after, parameters, tag }: Parts, text: string): Divided {
  const places = CALLS.slice(0, 2).map((call) => {
    const nameAt = text.indexOf(call.name);
    const start = tag?.isBeforeName === true ? startOfTag(text.slice(0, nameAt), tag) : nameAt;
    const json = argumentsIn(text, call);
    const valueEnd = text.indexOf(call.value) + call.value.length;
    const end = json?.end ?? valueEnd + (parameters?.strings.after.length ?? 0);
    return { start: Math.min(start, json?.start ?? start), end: Math.max(nameAt + call.name.length, end) };
  });
  const [first, second] = places as [Place, Place];
  if (second.start < first.end) throw refusal("writes two calls in a form that is not known", text);
  const between = withoutIds(text.slice(first.end, second.start));
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

/** Returns where the tag before a name begins. */
function startOfTag(before: string, { kind, text }: CallTag): number {
  const value = before.slice(0, before.length - text.length);
  return value.search(kind === "number" ? /[0-9]+$/ : new RegExp(`${ID.source}$`));
}

/** Returns where a token begins that contains the place within it; -1 if none does. */
function startOfCut(text: string, token: string, place: number): number {
  const start = text.indexOf(token, Math.max(0, place - token.length + 1));
  return start >= 0 && start < place ? start : -1;
}

interface Place {
  readonly start: number;
  readonly end: number;
}

const OPENED_REASONING = /<[^<>\s]*think[^<>\s]*>\s*$/i;

/** Finds the JSON of the arguments, in any layout. */
function argumentsIn(text: string, { key, value }: ProbeCall): Place | null {
  const match = new RegExp(`\\{\\s*"${key}"\\s*:\\s*"${value}"\\s*\\}`).exec(text);
  return match === null ? null : { start: match.index, end: match.index + match[0].length };
}

/** Leaves out ids after the arguments, which models do not write themselves. */
const withoutIds = (text: string): string => text.replace(WRITTEN_ID, "");

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

/** Occurs in no template. */
const MARK = "zq";

/** A call of marked words. */
interface ProbeCall {
  readonly name: string;
  readonly key: string;
  readonly value: string;
  /** Nine letters and digits, as some templates ask for, and an id like those of answers. */
  readonly shortId: string;
  readonly id: string;
  /** By default, the key with the value. */
  readonly args?: object;
}

const CALLS: readonly ProbeCall[] = ["one", "two", "three"].map((word, index) => ({
  name: `name_zq_${word}`,
  key: `key_zq_${word}`,
  value: `value zq ${word}`,
  shortId: `callzqid${index}`,
  id: `call_0123456789abcdefzqid00${index}`,
}));
const ID = /(?:callzqid\d|call_0123456789abcdefzqid00\d)/;
const WRITTEN_ID = new RegExp(`,\\s*"\\w*id"\\s*:\\s*"${ID.source}"`, "g");
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
function message(call: ProbeCall, { argumentsAs, hasShortIds }: Given): object {
  const { key, value, args = { [key]: value } } = call;
  const given = argumentsAs === "object" ? args : jsonOf(call);
  const id = hasShortIds ? call.shortId : call.id;
  return { id, type: "function", function: { name: call.name, arguments: given } };
}

const jsonOf = ({ key, value }: ProbeCall): string => `{"${key}": "${value}"}`;
