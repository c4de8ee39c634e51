/**
 * Jinja as chat templates know it: the interpreter is the jinja library's, the environment is that of Hugging Face's
 * `apply_chat_template`. What the library would get silently wrong is done here or refused.
 */

import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import { EngineError } from "../errors.js";
import type { Json } from "./added-tokens.js";

export class JinjaTemplate {
  readonly #program: ReturnType<typeof parse>;
  readonly #usesDate: boolean;

  /** @throws SyntaxError if the template cannot be parsed */
  constructor(source: string) {
    this.#program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
    replaceStrips(this.#program);
    this.#usesDate = source.includes("strftime_now(");
  }

  /** @throws EngineError template_error with the template's own words, or the interpreter's */
  render(variables: Json): string {
    const environment = new Environment();
    for (const [name, value] of Object.entries({ ...GLOBALS, ...variables })) environment.set(name, value);
    try {
      return String((new Interpreter(environment).run(this.#program) as { value: unknown }).value);
    } catch (error) {
      if (error instanceof TemplateRefusal) {
        throw new EngineError("template_error", `The model's chat template refuses the messages: ${error.message}`, "messages", { cause: error });
      }
      const hint = this.#usesDate ? " (it asks for the date, which is not given: the same request has the same prompt on any day)" : "";
      throw new EngineError("template_error", `The model's chat template failed: ${(error as Error).message}${hint}`, "messages", { cause: error });
    }
  }
}

/** What a template says in `raise_exception`. */
class TemplateRefusal extends Error {}

const GLOBALS: Json = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
  raise_exception: (message: unknown) => {
    throw new TemplateRefusal(String(message));
  },
  range: (first: number, second?: number, step = 1) => {
    const [start, stop] = second === undefined ? [0, first] : [first, second];
    if (step === 0) throw new RangeError("range() step must not be zero");
    return Array.from({ length: Math.max(0, Math.ceil((stop - start) / step)) }, (_, index) => start + index * step);
  },
  // Names no template uses by accident; see replaceStrips.
  "str.strip": (text: unknown, characters?: unknown) => strip(text, characters, true, true),
  "str.lstrip": (text: unknown, characters?: unknown) => strip(text, characters, true, false),
  "str.rstrip": (text: unknown, characters?: unknown) => strip(text, characters, false, true),
};

/** Python's white space, which is not JavaScript's. */
const PYTHON_SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

function strip(text: unknown, characters: unknown, atStart: boolean, atEnd: boolean): string {
  if (typeof text !== "string") throw new TypeError("strip() of something that is not a string");
  const set = typeof characters === "string" ? new Set(characters) : null;
  const isStripped = (character: string): boolean => (set === null ? PYTHON_SPACE.test(character) : set.has(character));
  const kept = [...text];
  let start = 0;
  let end = kept.length;
  while (atStart && start < end && isStripped(kept[start]!)) start++;
  while (atEnd && end > start && isStripped(kept[end - 1]!)) end--;
  return kept.slice(start, end).join("");
}

interface Node {
  type: string;
  [key: string]: unknown;
}

/** The library ignores the argument of `strip`, `lstrip` and `rstrip`: calls of these become calls of ours. */
function replaceStrips(node: unknown): void {
  if (Array.isArray(node)) {
    for (const child of node) replaceStrips(child);
    return;
  }
  if (typeof node !== "object" || node === null) return;
  const call = node as Node;
  for (const child of Object.values(call)) replaceStrips(child);
  const callee = call["callee"] as Node | undefined;
  if (call.type === "CallExpression" && callee?.type === "MemberExpression" && callee["computed"] === false) {
    const method = (callee["property"] as Node)["value"];
    if (method !== "strip" && method !== "lstrip" && method !== "rstrip") return;
    call["args"] = [callee["object"], ...(call["args"] as unknown[])];
    call["callee"] = { type: "Identifier", value: `str.${method}` };
  } else if (call.type === "FilterExpression" && isTrim(call["filter"] as Node)) {
    call["args"] = [call["operand"]];
    call["callee"] = { type: "Identifier", value: "str.strip" };
    call.type = "CallExpression";
  }
}

const isTrim = (filter: Node): boolean => filter.type === "Identifier" && filter["value"] === "trim";
