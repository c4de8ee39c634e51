/**
 * Renders messages to the text of a prompt with the model's Jinja template (contract, section 2.1).
 *
 * 1. Validate the messages.
 * 2. Render probe texts instead of the messages. A probe that is missing in the result belongs to a message that the
 *    template would silently drop.
 * 3. Render the messages. If the template raises an exception, its message becomes a `template_error`.
 * 4. Find the special tokens that the template wrote, as opposed to those that a user typed (sourced-text.ts).
 */

import { createHash } from "node:crypto";

import { type JsonObject, isObject } from "../json.js";
import { Budget } from "../budget.js";
import { EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import { PhraseFinder, type AddedToken, type PhraseMatch, type RenderedPrompt, type Tokenizer } from "../text/index.js";
import { markupOf, PLAIN, type CallForm, type MessageFormat, type Tool } from "../message/index.js";
import { deriveCallForm } from "./call-probes.js";
import { JinjaTemplate } from "./jinja-template.js";
import { type ChatMessage, type TemplateCall, type TemplateMessage, checkMessages, isCutObject } from "./messages.js";
import { RenderBudget } from "./render-budget.js";
import { SourcedText, type Text, plain } from "./sourced-text.js";
import { checkVariables, marked, namedTokens, type TemplateVariables, variablesLength } from "./template-variables.js";

export interface RenderOptions {
  /** Checked tools that the model may call; null for none. */
  readonly tools?: readonly Tool[] | null;
  /** Further variables of the template. */
  readonly variables?: TemplateVariables | null;
  /** What `strftime_now` writes, such as 2026-11-30; a fixed date if it is absent. */
  readonly date?: string;
  /** Returns true once the prompt is no longer needed. */
  readonly isCanceled?: () => boolean;
}

export class ChatTemplate {
  readonly #template: JinjaTemplate | EngineError;
  readonly #variables: JsonObject;
  readonly #reservedTokens: ReadonlyMap<string, AddedToken>;
  readonly #reservedIds: ReadonlySet<number>;
  readonly #reservedText: PhraseFinder;
  /** Opening tag of the reasoning; null for a model without reasoning. */
  readonly #openingTag: string | null;
  /** Null if the template's calls of tools are not understood. */
  readonly #callForm: CallForm | null;
  readonly #tokens: readonly string[];

  /**
   * A missing or broken template is reported only by `render`, so that a model without one can still complete text.
   *
   * @param template the text of chat_template.jinja, which takes precedence over tokenizer_config.json; null if absent
   * @param tokenizerConfig the parsed tokenizer_config.json; `{}` if absent
   * @param format the model's message format; plain text by default
   */
  constructor(template: string | null, tokenizerConfig: object, tokenizer: Tokenizer, format: MessageFormat = PLAIN) {
    const config = tokenizerConfig as JsonObject;
    this.#variables = namedTokens(config);
    this.#template = compile(template ?? templateOf(config));
    const markup = markupOf(format);
    const isReserved = ({ special, content }: AddedToken): boolean => special || markup.includes(content);
    const reserved = tokenizer.addedTokens.filter(isReserved);
    const written = this.#writtenTokens(tokenizer.addedTokens.filter((token) => !isReserved(token)));
    this.#reservedTokens = new Map([...reserved, ...written].map((token) => [token.content, token]));
    this.#reservedIds = new Set([...this.#reservedTokens.values()].map((token) => token.id));
    this.#openingTag = format.reasoning?.open ?? null;
    this.#callForm = format.calls;
    this.#tokens = tokenizer.addedTokens.map(({ content }) => content);
    this.#reservedText = new PhraseFinder([...new Set([...this.#reservedTokens.keys(), ...markup])]);
  }

  /** False if the template is missing or has a syntax error, so that `render` always throws. */
  get canRender(): boolean {
    return !(this.#template instanceof EngineError);
  }

  /**
   * Renders a prompt.
   *
   * @throws EngineError template_error if the template is missing, refuses the messages, drops one of them or takes too
   * long; other codes for an invalid message or variable, naming the field; Canceled
   */
  render(
    messages: readonly ChatMessage[],
    { variables = null, tools = null, date, isCanceled }: RenderOptions = {},
  ): RenderedPrompt {
    const checked = checkMessages(messages);
    const given = { variables: checkVariables(variables), tools: tools === null ? null : tools.map(markedTool), date };
    if (tools !== null || checked.some((message) => message.tool_calls !== undefined)) this.#checkCalls();
    const ownLength = variablesLength(variables) + (tools === null ? 0 : JSON.stringify(tools).length);
    const length = checked.reduce((sum, message) => sum + lengthOf(message), ownLength);
    this.#checkNoneDropped(checked, given, RenderBudget.forMessages(length, isCanceled));
    const prompt = this.#render(this.#sourced(checked), given, RenderBudget.forMessages(length, isCanceled));
    const found = templateTokens(prompt, this.#reservedText, isCanceled);
    const last = found.at(-1);
    const text = plain(prompt);
    return {
      text,
      templateTokens: found.flatMap(({ start, end, phrase }) => {
        const token = this.#reservedTokens.get(phrase);
        return token === undefined ? [] : [{ start, end, token }];
      }),
      reserved: this.#reservedIds,
      opensReasoning: last !== undefined && last.phrase === this.#openingTag && text.slice(last.end).trim() === "",
    };
  }

  #render(messages: readonly object[], { variables, tools, date }: Given, budget: RenderBudget): Text {
    if (this.#template instanceof EngineError) throw this.#template;
    const given = { messages, add_generation_prompt: true, tools, documents: null };
    const prompt = this.#template.render({ ...this.#variables, ...variables, ...given }, budget, date);
    if (LONE_SURROGATE.test(plain(prompt))) throw new EngineError("template_error", NOT_WELL_FORMED, "messages");
    return prompt;
  }

  /** @throws EngineError template_error with the reason if the template's calls are not understood */
  #checkCalls(): void {
    if (this.#template instanceof EngineError) throw this.#template;
    if (this.#callForm === null) deriveCallForm(this.#template, this.#variables, this.#tokens);
  }

  #checkNoneDropped(messages: readonly TemplateMessage[], given: Given, budget: RenderBudget): void {
    const probes = messages.map((message, index) => {
      const calls = message.tool_calls?.map((call, at) => ({ ...call, arguments: `{"${probe(index, at)}": 0}` }));
      const content = calls !== undefined && message.content === "" ? "" : probe(index);
      return { ...message, content, ...(calls === undefined ? {} : { tool_calls: calls }) };
    });
    const kept = new Set(plain(this.#render(this.#sourced(probes), given, budget)).match(PROBES));
    for (const [index, { role, content, tool_calls: calls = [] }] of messages.entries()) {
      const path = `messages[${index}]`;
      const lostCall = calls.findIndex((_, at) => !kept.has(probe(index, at)));
      if (lostCall >= 0) throw dropped(`${path}.tool_calls[${lostCall}]`, role);
      if (!kept.has(probe(index)) && (calls.length === 0 || content !== ""))
        throw dropped(calls.length === 0 ? path : `${path}.content`, role);
    }
  }

  /** Marks the texts of messages as message text. Roles, and the fields around a call, are fixed words. */
  #sourced(messages: readonly TemplateMessage[]): object[] {
    return messages.map(({ role, tool_calls: calls, tool_call_id: id, ...texts }, index) => ({
      role,
      ...(id === undefined ? {} : { tool_call_id: this.#sourcedId(id) }),
      ...Object.fromEntries(Object.entries(texts).map(([field, text]) => [field, SourcedText.ofMessage(text)])),
      ...(calls === undefined
        ? {}
        : {
            tool_calls: calls.map((call, at) =>
              this.#sourcedCall(call, `messages[${index}].tool_calls[${at}].function.arguments`),
            ),
          }),
    }));
  }

  #sourcedCall({ id, name, arguments: json }: TemplateCall, path: string): object {
    const isText = this.#callForm?.argumentsAs === "text" || isCutObject(json);
    const args = isText ? SourcedText.ofMessage(json) : marked(JSON.parse(json), path);
    return {
      id: this.#sourcedId(id),
      type: "function",
      function: { name: SourcedText.ofMessage(name), arguments: args },
    };
  }

  /** Some templates refuse ids that are not nine letters and digits. */
  #sourcedId(id: string): Text {
    const isGiven = this.#callForm?.hasShortIds !== true || /^[A-Za-z0-9]{9}$/.test(id);
    return SourcedText.ofMessage(isGiven ? id : createHash("sha256").update(id).digest("hex").slice(0, 9));
  }

  /** Returns the tokens that the template writes around ordinary messages; they are then reserved for the template. */
  #writtenTokens(tokens: readonly AddedToken[]): AddedToken[] {
    const candidates = tokens.filter(({ content }) => !/^[\p{L}\p{N}\s]*$/u.test(content));
    const finder = new PhraseFinder([...new Set(candidates.map(({ content }) => content))]);
    const written = new Set<string>();
    const budget = RenderBudget.forSamples();
    for (const roles of ROLE_SAMPLES) {
      try {
        const messages = roles.map((role, index) => ({ role, content: probe(index) }));
        const text = plain(this.#render(messages, { variables: {}, tools: null, date: undefined }, budget));
        for (const { phrase } of finder.findAll(text, budget)) written.add(phrase);
      } catch {
        // A conversation that is refused, or takes too long, shows nothing about the tokens.
      }
    }
    return candidates.filter(({ content }) => written.has(content));
  }
}

const LONE_SURROGATE = /\p{Surrogate}/u;
const NOT_WELL_FORMED = "The model's chat template writes a part of a surrogate pair, which is no character.";

const ROLE_SAMPLES: readonly (readonly TemplateMessage["role"][])[] = [
  ["user"],
  ["system", "user"],
  ["user", "assistant", "user"],
  ["user", "assistant", "tool"],
];

/** What a template gets beside messages. */
interface Given {
  readonly variables: JsonObject;
  readonly tools: readonly unknown[] | null;
  readonly date: string | undefined;
}

/** Length of a message's texts, which bounds the work for it. */
function lengthOf({
  content,
  name = "",
  reasoning_content: reasoning = "",
  tool_calls: calls = [],
}: TemplateMessage): number {
  const ofCalls = calls.reduce((sum, call) => sum + CALL_CHARACTERS + call.name.length + call.arguments.length, 0);
  return LIMITS.renderCharactersPerMessage + content.length + name.length + reasoning.length + ofCalls;
}

/** What a call counts in addition to its texts. */
const CALL_CHARACTERS = 200;

/** Returns a tool as templates get it: `strict` is for the server. */
function markedTool({ function: { name, description, parameters } }: Tool): object {
  const schema = parameters ?? { type: "object", properties: {} };
  const of = {
    name,
    ...(description === null || description === undefined ? {} : { description }),
    parameters: schema,
  };
  return { type: "function", function: marked(of, "tools") as object };
}

const dropped = (path: string, role: string): EngineError =>
  new EngineError(
    "template_error",
    `The model's chat template drops ${path} with role "${role}" at this position.`,
    path,
  );

/** @returns the reserved tokens that the template wrote, from left to right; they contain no character of a message */
function templateTokens(prompt: Text, reserved: PhraseFinder, isCanceled?: () => boolean): PhraseMatch[] {
  const maxSteps = LIMITS.minRenderSteps + LIMITS.renderStepsPerCharacter * plain(prompt).length;
  const budget = new Budget(maxSteps, tooManyTokens, isCanceled);
  const matches: PhraseMatch[] = [];
  const isMessage = typeof prompt === "string" ? new Uint8Array(prompt.length) : prompt.isMessage;
  let position = 0;
  for (const match of reserved.findAll(plain(prompt), budget)) {
    if (match.start < position || isMessage.subarray(match.start, match.end).includes(1)) continue;
    matches.push(match);
    position = match.end;
  }
  return matches;
}

const tooManyTokens = (): EngineError =>
  new EngineError(
    "template_error",
    "The special tokens of the model take too long to find in this prompt.",
    "messages",
  );

/** Returns a text that no template writes or searches for. No probe contains another. */
const probe = (index: number, call?: number): string => `\uFDD0${index}${call === undefined ? "" : `-${call}`}\uFDD0`;
const PROBES = /\uFDD0[0-9]+(?:-[0-9]+)?\uFDD0/g;

function compile(source: string | null): JinjaTemplate | EngineError {
  if (source === null) return new EngineError("template_error", "The model has no chat template.", "messages");
  try {
    return new JinjaTemplate(source);
  } catch (error) {
    return new EngineError(
      "template_error",
      `The model's chat template cannot be parsed: ${(error as Error).message}`,
      "messages",
      { cause: error },
    );
  }
}

/**
 * Returns the template of tokenizer_config.json. Of several named templates, `tool_use` is for conversations with tools,
 * and `default` for the others.
 */
export function templateOf(config: JsonObject): string | null {
  const template = config["chat_template"];
  if (typeof template === "string") return template;
  const entries = Array.isArray(template) ? (template as unknown[]).filter(isObject) : [];
  const named = (name: string): string | null => {
    const source = entries.find((entry) => entry["name"] === name)?.["template"];
    return typeof source === "string" ? source : null;
  };
  const [usual, withTools] = [named("default"), named("tool_use")];
  return usual === null || withTools === null ? usual : eitherTemplate(withTools, usual);
}

/** An expression after each tag, and no newline before one, keep what Jinja would strip there. */
function eitherTemplate(withTools: string, without: string): string {
  const [first, second] = [withTools, without].map((source) => `{{ "" }}${source.replace(/\r?\n$/, "")}`);
  return `{% if tools %}${first}{% else %}${second}{% endif %}`;
}
