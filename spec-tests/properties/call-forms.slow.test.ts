/**
 * Calls that are drawn at random through the masks of every form: each is whole, is read as what was written, names a
 * tool, and has arguments that are valid against the tool's schema.
 */

import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { GrammarCache, GrammarMatcher, LoadedGrammars, VocabularyTrie } from "../../engine/grammar/index.js";
import { CallParser } from "../../engine/message/call-parser.js";
import { type CallForm, writtenCalls } from "../../engine/message/call-form.js";
import { callsGrammar, checkTools, kindsByTool, type Tool } from "../../engine/message/index.js";
import { deriveCallForm } from "../../engine/template/call-probes.js";
import { JinjaTemplate } from "../../engine/template/jinja-template.js";
import { CALL_TEMPLATES, type CallTemplate } from "../fixtures/call-templates.js";
import { tokensOf, utf8 } from "../fixtures/grammars.js";

const NUM_CALLS = 10_000;
const NUM_FORMS = Object.keys(CALL_TEMPLATES).length;
/** Tokens after which a walk prefers those that end strings, lists and calls. */
const LONG = 80;
const MAX_TOKENS = 3000;

const TOOLS: readonly Tool[] = [
  tool("now", undefined),
  tool("say", { text: { type: "string", maxLength: 12 } }, ["text"]),
  tool("add", { a: { type: "number" }, b: { type: "integer", minimum: -9 } }, ["a", "b"]),
  tool(
    "set",
    { on: { type: "boolean" }, to: { enum: ["low", "high", "a b"] }, note: { type: ["string", "null"], maxLength: 5 } },
    ["on"],
  ),
  tool(
    "any",
    {
      value: {
        anyOf: [{ type: "string", maxLength: 4 }, { type: "array" }, { type: ["number", "object", "boolean"] }],
      },
      list: { type: "array", items: { type: "string", maxLength: 3 }, maxItems: 3 },
    },
    ["value"],
  ),
  tool("find-all", {
    id: { type: "string", pattern: "^[A-Z]-[0-9]{1,3}$" },
    at: { type: "object", properties: { x: { type: "integer" }, y: { type: ["integer", "null"] } }, required: ["x"] },
    either: { anyOf: [{ type: "number" }, { type: "string", maxLength: 4 }] },
  }),
];

function tool(name: string, properties?: object, required: readonly string[] = []): Tool {
  const parameters = { type: "object", properties, required, additionalProperties: false };
  return { type: "function", function: { name, ...(properties === undefined ? {} : { parameters }) } };
}

const ajv = new Ajv2020({ strict: false });
const validators = new Map(
  TOOLS.map(({ function: { name, parameters } }) => [name, ajv.compile(parameters ?? { maxProperties: 0 })]),
);

describe.each(Object.entries(CALL_TEMPLATES))("calls of %s", (_, template) => {
  it("are whole, valid and read as they were written", () => {
    const form = formOf(template);
    const checked = checkTools({ tools: TOOLS, toolChoice: "required" })!;
    const compiled = callsGrammar(checked, form, null, new GrammarCache(1e8));
    const grammar = new LoadedGrammars(1e8).get(compiled);
    const kinds = kindsByTool(checked, compiled);
    const tokens = tokensFor(form);
    const trie = VocabularyTrie.build([...tokens, null]);
    const endings = new Set(tokens.flatMap((bytes, id) => (ENDINGS.has(String.fromCharCode(...bytes)) ? [id] : [])));
    let numCalls = 0;
    const property = fc.property(fc.infiniteStream(fc.nat()), (choices) => {
      const matcher: GrammarMatcher = new GrammarMatcher(grammar, trie, [tokens.length]);
      const parser = new CallParser(form, (name) => kinds.get(name) ?? new Map());
      const bytes: number[] = [];
      const segments = [];
      for (let step = 0; !matcher.isFinished; step++) {
        expect(step, Buffer.from(bytes).toString()).toBeLessThan(MAX_TOKENS);
        const allowed = tokensOf(matcher.allowed());
        expect(allowed.length, Buffer.from(bytes).toString()).toBeGreaterThan(0);
        const ending = step < LONG ? [] : allowed.filter((id) => id === tokens.length || endings.has(id));
        const from = ending.length > 0 ? ending : allowed;
        const id = from[choices.next().value! % from.length]!;
        matcher.acceptToken(id);
        bytes.push(...(tokens[id] ?? []));
      }
      const text = Buffer.from(bytes).toString();
      for (const character of text) segments.push(...parser.push(character));
      segments.push(...parser.finish());
      const found: { name: string; json: string }[] = [];
      for (const segment of segments) {
        if (segment.kind === "text") expect.fail(`${JSON.stringify(segment.text)} is no part of a call in ${text}`);
        if (segment.kind === "name") found[segment.index] = { name: segment.name, json: "" };
        else found[segment.index]!.json += segment.text;
      }
      expect(parser.numWhole, text).toBe(found.length);
      expect(found.length, text).toBeGreaterThan(0);
      for (const { name, json } of found) {
        const validate = validators.get(name)!;
        if (!validate(JSON.parse(json)))
          expect.fail(`${json} of ${name} in ${text}: ${ajv.errorsText(validate.errors)}`);
      }
      numCalls += found.length;
    });
    while (numCalls < NUM_CALLS / NUM_FORMS) fc.assert(property, { numRuns: 50, endOnFailure: true });
  });

  it("are derived so that they are written as the template does", () => {
    const form = formOf(template);
    const args = { s: "a b", n: -1.5, t: true, l: [1], o: { k: null } };
    const [first, second] = [args, {}].map((value, index) => ({ name: `f${index}`, json: JSON.stringify(value) }));
    const written = form.separator === null ? [first!] : [first!, second!];
    const messages = [
      { role: "user", content: "Hi" },
      {
        role: "assistant",
        content: "",
        tool_calls: written.map(({ name, json }, index) => ({
          id: String(index).padStart(9, "0"),
          function: { name, arguments: JSON.parse(json) as object },
        })),
      },
    ];
    const rendered = String(new JinjaTemplate(template.source).render({ messages, tools: TOOLS as never }));
    const parser = new CallParser(
      form,
      () => new Map([["s", "string"], ...["n", "t", "l", "o"].map((key) => [key, "json"] as const)] as const),
    );
    const start = rendered.indexOf("<|assistant|>") + "<|assistant|>".length;
    const segments = parser.push(rendered.slice(start, -"<|end|>".length));
    const jsons: string[] = [];
    for (const segment of segments)
      if (segment.kind === "arguments") jsons[segment.index] = (jsons[segment.index] ?? "") + segment.text;
    expect(jsons.map((json) => JSON.parse(json.replaceAll("'", '"')) as unknown)).toEqual(
      written.map(({ json }) => JSON.parse(json) as unknown),
    );
  });
});

function formOf({ source, tokens }: CallTemplate): CallForm {
  return deriveCallForm(new JinjaTemplate(source), {}, tokens);
}

const ENDINGS: ReadonlySet<string> = new Set(['"', "'", "}", "]", ")", "<", "/", ">"]);

/** All bytes, and pieces of a call as it is written, so that tokens cross the borders of its parts. */
function tokensFor(form: CallForm): Uint8Array[] {
  const text = writtenCalls(form, [
    { name: "say", json: '{"text":"a b"}' },
    { name: "now", json: "{}" },
  ]);
  const pieces = new Set<string>();
  for (let at = 0; at < text.length; at++) for (const length of [2, 3, 5, 9]) pieces.add(text.slice(at, at + length));
  return [
    ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
    ...[...pieces].filter((piece) => piece.length > 1).map((piece) => utf8.encode(piece)),
  ];
}
