/** Reads the calls in the text of an answer with the engine's parser, and implements the bugs of calls. */

import { CallParser, type CallSegment } from "../../engine/message/call-parser.js";
import type { CallDelta } from "../../engine/message/text-stream.js";
import type { BugName } from "./bugs.js";
import { FORMAT } from "./vocabulary.js";

/** How a choice calls tools. */
export interface MockCallsOptions {
  /** Reason for the end of an answer with calls. */
  readonly finishReason: "tool_calls" | "stop";
  readonly isRequired: boolean;
  /** Returns the id of a call. */
  readonly idOf: (index: number) => string;
}

/** What a piece of an answer's text adds to the message. */
interface Gained {
  readonly content: string;
  readonly calls: readonly CallDelta[];
}

export class MockCalls {
  readonly #options: MockCallsOptions;
  readonly #bugs: ReadonlySet<BugName>;
  readonly #parser = new CallParser(FORMAT.calls, () => new Map());
  /** Number of calls that the client has got. */
  #numSent = 0;
  #hasText = false;
  /** The latest call: its name, and its arguments so far. */
  #name = "";
  #arguments = "";
  /** Reasoning that was searched for calls, for the bug reasoning-read-as-calls. */
  #reasoning = "";

  constructor(options: MockCallsOptions, bugs: ReadonlySet<BugName>) {
    this.#options = options;
    this.#bugs = bugs;
  }

  get hasBegun(): boolean {
    return this.#name !== "";
  }

  get finishReason(): "tool_calls" | "stop" {
    const { finishReason, isRequired } = this.#options;
    if (this.#bugs.has("finish-reason-without-calls")) return "tool_calls";
    if (this.#parser.numWhole === 0) return "stop";
    if (this.#bugs.has("named-call-ends-with-tool-calls")) return "tool_calls";
    return this.#bugs.has("required-call-ends-with-stop") && isRequired ? "stop" : finishReason;
  }

  /** @param token text of the token that completes the text */
  push(text: string, token: string): Gained {
    return this.#gained(this.#parser.push(text), token);
  }

  finish(): Gained {
    return this.#gained(this.#parser.finish(), "");
  }

  /** With the bug reasoning-read-as-calls: takes the word after a tag in the reasoning for the name of a tool. */
  pushReasoning(text: string): readonly CallDelta[] {
    if (!this.#bugs.has("reasoning-read-as-calls")) return [];
    this.#reasoning += text;
    const [whole, name] = /<call>\s*(\w+)\W/.exec(this.#reasoning) ?? [];
    if (whole === undefined) return [];
    this.#reasoning = "";
    return [this.#begun(name!), this.#more("{}")];
  }

  #gained(segments: readonly CallSegment[], token: string): Gained {
    let content = "";
    const calls: CallDelta[] = [];
    for (const segment of segments) {
      if (segment.kind === "text") {
        content += segment.text;
        this.#hasText = true;
      } else if (segment.kind === "name") {
        this.#checkForm(segment.index);
        if (this.#bugs.has("markup-in-content")) content += `${FORMAT.calls.before}${segment.name}"`;
        this.#name = segment.name;
        this.#arguments = "";
        if (!this.#isBuffered) calls.push(this.#begun(segment.name));
      } else {
        const isCut = this.#arguments === "" && token.length > segment.text.length;
        this.#arguments += segment.text;
        if (this.#isBuffered) calls.push(...this.#whole());
        else if (!isCut || !this.#bugs.has("token-across-arguments-dropped")) calls.push(this.#more(segment.text));
      }
    }
    return { content: this.#bugs.has("text-without-calls-lost") && !this.hasBegun ? "" : content, calls };
  }

  /** Fails as the parser of a server does that does not know a form of calls. */
  #checkForm(index: number): void {
    if (this.#hasText && this.#bugs.has("text-before-call-fails"))
      throw new Error("The answer does not begin with a call");
    if (!this.#hasText && index === 0 && this.#bugs.has("call-alone-fails"))
      throw new Error("The answer has no text before its call");
    if (index > 0 && this.#bugs.has("white-space-between-calls-fails")) throw new Error("White space follows a call");
  }

  /** True with a bug that needs the whole arguments of a call. */
  get #isBuffered(): boolean {
    return BUGS_OF_WHOLE_CALLS.some((bug) => this.#bugs.has(bug));
  }

  /** Returns the latest call with wrong arguments, or not at all, once it is whole. */
  #whole(): readonly CallDelta[] {
    const values = valuesOf(this.#arguments);
    if (values === null) return [];
    if (this.#bugs.has("integer-argument-drops-call") && values.some(([, value]) => Number.isInteger(value))) return [];
    const isFirstLost = this.#bugs.has("first-argument-lost") && typeof values[0]?.[1] !== "string";
    const kept = JSON.stringify(Object.fromEntries(values.slice(isFirstLost ? 1 : 0)));
    const isEmpty = values.length === 0 && this.#bugs.has("no-arguments-are-empty-text");
    return [this.#begun(this.#name), this.#more(isEmpty ? "" : kept)];
  }

  #begun(name: string): CallDelta {
    const index = this.#numSent++;
    const id = this.#options.idOf(this.#bugs.has("calls-share-id") ? 0 : index);
    return { index, id, name, arguments: "" };
  }

  #more(text: string): CallDelta {
    return { index: this.#numSent - 1, id: null, name: null, arguments: text };
  }
}

const BUGS_OF_WHOLE_CALLS: readonly BugName[] = [
  "first-argument-lost",
  "integer-argument-drops-call",
  "no-arguments-are-empty-text",
];

/** Returns the properties of a JSON object; null for the beginning of one. */
function valuesOf(text: string): [string, unknown][] | null {
  try {
    return Object.entries(JSON.parse(text) as object);
  } catch {
    return null;
  }
}
