/**
 * One answer of a chat, with the calls of tools that lead to it: chooses the exchanges for which the context has room, and prints the answer. On a terminal the
 * text is wrapped and dim where it is reasoning; elsewhere it is exact, with reasoning in tags.
 */

import { outOfRange } from "../../engine/errors.js";
import {
  EngineError,
  type Answer,
  type AnswerChoice,
  type AnswerResult,
  type ChatMessage,
  type ChatOptions,
  type Model,
} from "../../engine/index.js";
import { LIMITS } from "../../engine/limits.js";
import { answerMessage, wholeCalls } from "../../engine/model/index.js";
import { hasColors, print, printLine, visible } from "../../spec-tests/conform/terminal.js";
import type { Ask, ChatTools } from "./chat-tools.js";
import { jsonLine } from "./json-line.js";
import { columnsOfTerminal, printRemark, statistics } from "./terminal.js";
import { WordWrap } from "./word-wrap.js";

export interface Conversation {
  /** The last one has no answer yet. */
  readonly messages: readonly ChatMessage[];
  /** Oldest exchanges that the model does not read any more, because the context is full. */
  readonly numLeftOut: number;
}

export interface AnswerView {
  /** Print one JSON line. */
  readonly json: boolean;
  readonly hidesReasoning: boolean;
}

/** Tools that the model may call, and the person who is asked about calls. */
export interface ToolUse {
  readonly tools: ChatTools;
  readonly ask: Ask;
}

export interface GivenAnswer {
  /**
   * The conversation with calls, their results, and the text of the first choice; incomplete if the answer was stopped.
   */
  readonly messages: readonly ChatMessage[];
  readonly seed: number | bigint;
  readonly numLeftOut: number;
}

/**
 * Answers a conversation on stdout, and runs the tools that the model calls. Exchanges for which the context has no room
 * are left out, the oldest first, and a remark says so.
 *
 * @throws EngineError for a request that cannot be answered
 */
export async function giveAnswer(
  model: Model,
  conversation: Conversation,
  options: Omit<ChatOptions, "messages" | "signal" | "tools">,
  view: AnswerView,
  use: ToolUse | null,
  signal: AbortSignal,
): Promise<GivenAnswer> {
  if (use !== null && (options.n ?? 1) !== 1) throw outOfRange("n", "must be 1 with tools", options.n);
  let asked = conversation;
  for (let numSteps = 1; ; numSteps++) {
    const { answer, text, choice, numLeftOut } = await giveStep(
      model,
      asked,
      use === null ? options : { ...options, tools: use.tools.offered },
      view,
      signal,
    );
    const given = (messages: readonly ChatMessage[]): GivenAnswer => ({ messages, seed: answer.seed, numLeftOut });
    const calls = choice === null ? [] : wholeCalls(choice);
    const { messages } = asked;
    const withText: readonly ChatMessage[] = [...messages, { role: "assistant", content: text }];
    if (use === null || calls.length === 0) return given(withText);
    if (numSteps === LIMITS.toolStepsDefault)
      throw new EngineError("too_many_steps", `The model calls tools in ${numSteps} answers, one after the other.`);
    const results: ChatMessage[] = [];
    try {
      for (const call of calls) results.push(await use.tools.result(call, use.ask, signal));
    } catch (error) {
      if (!signal.aborted) throw error;
      printRemark("(stopped)");
      return given(withText);
    }
    asked = { messages: [...messages, answerMessage(choice!), ...results], numLeftOut };
  }
}

interface Step {
  readonly answer: Answer;
  /** Text of the first choice; incomplete if the answer was stopped. */
  readonly text: string;
  /** The first choice; null if the answer was stopped. */
  readonly choice: AnswerChoice | null;
  readonly numLeftOut: number;
}

/** Gives one answer, which may call tools. */
async function giveStep(
  model: Model,
  conversation: Conversation,
  options: Omit<ChatOptions, "messages" | "signal">,
  view: AnswerView,
  signal: AbortSignal,
): Promise<Step> {
  const { answer, numLeftOut } = fittingAnswer(model, conversation, options, signal);
  const { contextLength } = model.info;
  if (numLeftOut > conversation.numLeftOut)
    printRemark(
      `The context of ${contextLength} tokens is full: the model no longer reads the first ${exchanges(numLeftOut)} of this chat.`,
    );
  const streamsText = !view.json && (options.n ?? 1) === 1;
  const display = new AnswerDisplay(view);
  let text = "";
  try {
    const result = await answer.result((delta) => {
      if (delta.choice === 0) text += delta.content;
      if (streamsText) display.print(delta);
    });
    const choice = result.choices[0]!;
    if (streamsText && !(display.isEmpty && choice.toolCalls.length > 0)) display.end();
    printResult(result, answer.date, view, streamsText);
    const isFull = result.usage.promptTokens + result.usage.completionTokens >= contextLength;
    if (isFull && result.choices.some(({ finishReason }) => finishReason === "length"))
      printRemark(`The answer ends here because the context of ${contextLength} tokens is full.`);
    return { answer, text, choice, numLeftOut };
  } catch (error) {
    if (!signal.aborted) throw error;
    if (streamsText) display.end();
    printRemark("(stopped)");
    return { answer, text, choice: null, numLeftOut };
  }
}

/** Starts the answer with the newest exchanges that leave enough room for it. */
function fittingAnswer(
  model: Model,
  { messages, numLeftOut }: Conversation,
  options: Omit<ChatOptions, "messages" | "signal">,
  signal: AbortSignal,
): { readonly answer: Answer; readonly numLeftOut: number } {
  const { contextLength } = model.info;
  const { kept, exchanges } = divided(messages);
  const last = Math.max(0, exchanges.length - 1);
  const start = Math.min(numLeftOut, last);
  for (let count = start; ; count++) {
    const attempt = new AbortController();
    try {
      const answer = model.chat({
        ...options,
        messages: [...kept, ...exchanges.slice(count).flat()],
        signal: AbortSignal.any([signal, attempt.signal]),
      });
      const room = contextLength - answer.promptTokenIds.length;
      const needed =
        count === start ? Math.min(options.maxTokens ?? Infinity, ROOM * contextLength) : FREED * contextLength;
      if (count === last || room >= needed) return { answer, numLeftOut: count };
      attempt.abort();
    } catch (error) {
      const isTooLong = error instanceof EngineError && error.code === "context_length_exceeded";
      if (!isTooLong || count === last) throw error;
    }
  }
}

/** Shares of the context: exchanges are left out if less than the first is free, until the second is free. */
const ROOM = 1 / 8;
const FREED = 3 / 8;

/** Messages before the first exchange, which stay when the conversation is forgotten or left out. */
export function systemMessages({ messages }: Pick<Conversation, "messages">): readonly ChatMessage[] {
  const end = messages.findIndex(({ role }) => role !== "system" && role !== "developer");
  return end < 0 ? messages : messages.slice(0, end);
}

/** Divides messages into those before the conversation, which are always kept, and exchanges. */
function divided(messages: readonly ChatMessage[]) {
  const kept = systemMessages({ messages });
  const exchanges: ChatMessage[][] = [];
  for (const message of messages.slice(kept.length)) {
    if (message.role === "user" || exchanges.length === 0) exchanges.push([]);
    exchanges.at(-1)!.push(message);
  }
  return { kept, exchanges };
}

const exchanges = (count: number): string => (count === 1 ? "exchange" : `${count} exchanges`);

function printResult(result: AnswerResult, date: string | null, view: AnswerView, isPrinted: boolean): void {
  if (view.json) {
    const line = jsonLine(result, date, ({ content, reasoning }) => ({ content, reasoning_content: reasoning }));
    return printLine(process.stdout, line);
  }
  if (!isPrinted) for (const [index, choice] of result.choices.entries()) printChoice(choice, index, view);
  printRemark(statistics(result));
}

function printChoice(choice: AnswerChoice, index: number, view: AnswerView): void {
  print(process.stdout, `--- ${index} ---\n`);
  const display = new AnswerDisplay(view);
  display.print(choice);
  display.end();
}

/** Prints an answer piece by piece. */
class AnswerDisplay {
  readonly #wrap = new WordWrap(columnsOfTerminal(process.stdout));
  readonly #hidesReasoning: boolean;
  #inside: "nothing" | "reasoning" | "answer" = "nothing";

  constructor({ hidesReasoning }: AnswerView) {
    this.#hidesReasoning = hidesReasoning;
  }

  /** True if nothing of the answer was printed. */
  get isEmpty(): boolean {
    return this.#inside === "nothing";
  }

  print({ reasoning, content }: { readonly reasoning: string | null; readonly content: string }): void {
    if (reasoning !== null && reasoning !== "") this.#reasoning(reasoning);
    if (content !== "") this.#answer(content);
  }

  end(): void {
    this.#flush();
    print(process.stdout, "\n");
  }

  #reasoning(text: string): void {
    const isFirst = this.#inside === "nothing";
    this.#inside = "reasoning";
    if (this.#hidesReasoning) {
      if (isFirst && process.stderr.isTTY) printRemark("(thinking)");
      return;
    }
    if (isFirst && !hasColors(process.stdout)) this.#print("<think>\n");
    this.#print(text);
  }

  #answer(text: string): void {
    if (this.#inside === "reasoning" && !this.#hidesReasoning) {
      this.#flush();
      this.#inside = "answer";
      this.#print(hasColors(process.stdout) ? "\n\n" : "\n</think>\n\n");
    }
    this.#inside = "answer";
    this.#print(text);
  }

  #print(text: string): void {
    const { isTTY } = process.stdout;
    this.#write(isTTY ? this.#wrap.push(visible(text)) : text);
  }

  #flush(): void {
    this.#write(this.#wrap.flush());
  }

  #write(text: string): void {
    if (text !== "") print(process.stdout, text, this.#inside === "reasoning" ? "dim" : null);
  }
}
