/**
 * Published chat templates with tools: the form of calls is derived, prompts with tools, calls and results are equal to
 * those of transformers, and calls that a template writes are read again, also token by token.
 *
 * `PYTHON` is a Python with the packages jinja2 and transformers, `TOUCHSTONE_TEMPLATES` a list of folders with
 * `*.jinja`, separated by `:`, and `TOUCHSTONE_ASSETS` a folder with tokenizers.
 */

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";

import type { JsonObject } from "../../engine/json.js";
import { type CallForm } from "../../engine/message/call-form.js";
import { CallParser } from "../../engine/message/call-parser.js";
import type { ParameterKinds } from "../../engine/grammar/index.js";
import { deriveCallForm } from "../../engine/template/call-probes.js";
import { JinjaTemplate } from "../../engine/template/jinja-template.js";
import { plain } from "../../engine/template/sourced-text.js";
import { completeToolTemplate } from "../../engine/template/tool-text.js";
import { Tokenizer } from "../../engine/text/index.js";
import { asset } from "../fixtures/assets.js";

const PYTHON = process.env["PYTHON"] ?? "python3";
const ORACLE = fileURLToPath(new URL("./jinja.py", import.meta.url));
const DATE = "2026-11-30";
/** They do not occur in its template. */
const TOKENS_OF_LFM2 = ["<|tool_call_start|>", "<|tool_call_end|>"];
const TOKENS = { bos_token: "<s>", eos_token: "</s>" };

const files = (process.env["TOUCHSTONE_TEMPLATES"] ?? "")
  .split(":")
  .filter((folder) => folder !== "")
  .flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)))
  .filter((file) => file.endsWith(".jinja"))
  .sort();

interface Derived {
  readonly file: string;
  readonly source: string;
  readonly form: CallForm;
}

const derived: Derived[] = [];
const refused: string[] = [];
for (const file of files) {
  const published = readFileSync(file, "utf8");
  const tokens = [...tokensIn(published), ...(basename(file).startsWith("LFM2") ? TOKENS_OF_LFM2 : [])];
  const { source, calls: form } = completeToolTemplate(published, TOKENS, tokens);
  if (form !== null) derived.push({ file, source, form });
  else refused.push(`${basename(file)}: ${reasonFor(published, tokens)}`);
}

function reasonFor(source: string, tokens: readonly string[]): string {
  try {
    deriveCallForm(new JinjaTemplate(source), TOKENS, tokens);
    return "";
  } catch (error) {
    return (error as Error).message.slice(0, 160);
  }
}

afterAll(() => {
  console.log(`${derived.length} forms of ${files.length} templates:`);
  for (const { file, form } of derived) console.log(`  ${basename(file)}: ${JSON.stringify(form.open + form.before)}`);
  for (const text of refused) console.log(`  refused: ${text}`);
});

const TOOLS = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "Weather of a city.",
      parameters: {
        type: "object",
        properties: {
          city: { type: "string", description: "Name." },
          days: { type: "integer", description: "How many." },
        },
        required: ["city"],
      },
    },
  },
];
const KINDS: ParameterKinds = new Map([..."abcdef"].map((key, index) => [key, index < 3 ? "string" : "json"]));

const anyText = fc
  .string({ unit: fc.constantFrom(...'aé🙂 1=(){}[]"\\,:'), minLength: 1, maxLength: 8 })
  .filter((value) => value.trim() === value);
const other = fc.oneof(fc.integer(), fc.array(fc.integer(), { maxLength: 2 }), fc.constantFrom(0.5, -12.25));

describe.skipIf(derived.length === 0).each(derived)("$file", ({ file, source, form }) => {
  const template = new JinjaTemplate(source);
  const end = form.parameters?.strings.after;
  const text = end === undefined ? anyText : anyText.filter((value) => !value.includes(end));
  const args = fc.record({ a: text, b: text, c: text, d: other, e: other, f: other }, { requiredKeys: [] });
  const call = fc.record({ name: fc.constantFrom("get_weather", "f", "a-b"), args });
  const messagesFor = (calls: readonly { name: string; args: object }[]): object[] => [
    { role: "user", content: "Hi there" },
    { role: "assistant", content: "", tool_calls: calls.map((one, index) => written(one, index, form)) },
  ];
  const render = (messages: readonly object[], add_generation_prompt: boolean): string =>
    plain(
      template.render(
        { ...TOKENS, messages, tools: TOOLS, add_generation_prompt } as never as JsonObject,
        undefined,
        DATE,
      ),
    );

  it("is rendered as by transformers", { timeout: 60_000 }, () => {
    const calls = [{ name: "get_weather", args: { city: "Paris", days: 2 } }];
    const question = { role: "user", content: "How is the weather?" };
    const answered = [
      ...messagesFor(calls),
      { role: "tool", name: "get_weather", content: "sunny", tool_call_id: idOf(0, form) },
      { role: "assistant", content: "It is sunny." },
      question,
    ];
    const cases = [[question], messagesFor(calls), answered].flatMap((messages) =>
      [true, false].map((add_generation_prompt) => ({ messages, add_generation_prompt })),
    );
    const theirs = renderedByJinja(
      cases.map((variables) => ({
        template: source,
        variables: { ...TOKENS, tools: TOOLS, ...variables },
        date: DATE,
      })),
    );
    const ours = cases.map(({ messages, add_generation_prompt }) => {
      try {
        return { text: render(messages, add_generation_prompt) };
      } catch (error) {
        return { error: String(error) };
      }
    });
    expect(theirs.filter((one) => "text" in one).length).toBeGreaterThan(3);
    for (const [index, their] of theirs.entries())
      if ("text" in their) expect(ours[index]).toEqual(their);
      else expect(ours[index]).toHaveProperty("error");
  });

  it("writes calls that are read again", { timeout: 60_000 }, () => {
    const calls = fc.array(call, { minLength: 1, maxLength: form.separator === null ? 1 : 3 });
    fc.assert(
      fc.property(calls, (given) => {
        const rendered = withoutIds(render(messagesFor(given), false));
        const start = rendered.lastIndexOf(form.open + form.before);
        const first = form.open === "" && form.separator !== null ? firstOf(rendered, form, given.length) : start;
        expect(read(form, Array.from(rendered.slice(first)), given.length)).toEqual(given);
      }),
      { numRuns: 200, endOnFailure: true },
    );
  });

  const assets = /Qwen(2\.5|3-0|-QwQ)/.test(basename(file)) ? asset("tokenizers", "qwen2", "tokenizer.json") : null;
  it.skipIf(assets === null || !existsSync(assets))(
    "writes calls that are read again token by token",
    { timeout: 120_000 },
    () => {
      const tokenizerJson = JSON.parse(readFileSync(assets!, "utf8")) as JsonObject;
      const tokenizer = new Tokenizer(tokenizerJson, {}, form.tokens);
      fc.assert(
        fc.property(fc.array(call, { minLength: 1, maxLength: 3 }), (given) => {
          const rendered = render(messagesFor(given), false);
          const ids = tokenizer.encode(rendered.slice(firstOf(rendered, form, given.length)), "text", {});
          expect(
            read(
              form,
              ids.map((id) => tokenizer.decode([id])),
              given.length,
            ),
          ).toEqual(given);
        }),
        { numRuns: 200 },
      );
    },
  );
});

/** Leaves out ids after the arguments, which templates write in earlier calls and models do not. */
function withoutIds(rendered: string): string {
  return rendered.replace(/, "id": "0{8}\d"/g, "");
}

/** Returns where the first of the last calls begins. */
function firstOf(rendered: string, form: CallForm, numCalls: number): number {
  let at = rendered.length;
  for (let index = 0; index < numCalls; index++) at = rendered.lastIndexOf(form.open + form.before, at - 1);
  return at;
}

/** Reads calls until as many as expected are whole. */
function read(form: CallForm, pieces: readonly string[], numCalls: number): { name: string; args: unknown }[] {
  const parser = new CallParser(form, () => KINDS);
  const found: { name: string; json: string }[] = [];
  for (const piece of pieces) {
    for (const character of piece) {
      for (const segment of parser.push(character))
        if (segment.kind === "name") found[segment.index] = { name: segment.name, json: "" };
        else if (segment.kind === "arguments") found[segment.index]!.json += segment.text;
      if (parser.numWhole === numCalls)
        return found.map(({ name, json }) => ({ name, args: JSON.parse(json) as unknown }));
    }
  }
  throw new Error(`only ${parser.numWhole} calls are whole in ${JSON.stringify(pieces.join(""))}`);
}

function written({ name, args: given }: { name: string; args: object }, index: number, form: CallForm): object {
  const value = form.argumentsAs === "object" ? given : JSON.stringify(given);
  return { id: idOf(index, form), type: "function", function: { name, arguments: value } };
}

function idOf(index: number, { hasShortIds, tag }: CallForm): string {
  return hasShortIds || tag?.kind === "id" ? String(index).padStart(9, "0") : `call_${String(index).padStart(24, "0")}`;
}

/** The texts in a template that look like tokens. */
function tokensIn(source: string): string[] {
  return [...new Set(source.match(/<\|[\w"]+\|?>|<[\w]+\|>|\[[A-Z_]+\]|<｜[^>]*｜>/g) ?? [])];
}

function renderedByJinja(cases: readonly object[]): ({ readonly text: string } | { readonly error: string })[] {
  const input = cases.map((each) => `${JSON.stringify(each)}\n`).join("");
  const { stdout, status, stderr } = spawnSync(PYTHON, [ORACLE], { input, maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`jinja.py: ${stderr.toString()}`);
  return stdout
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { text: string } | { error: string });
}
