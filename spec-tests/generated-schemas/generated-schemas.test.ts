/**
 * Schemas as generators write them: pydantic, zod, TypeBox and Valibot, and arguments of tools. Each compiles, allows a
 * valid instance and not an invalid one, and Ajv says the same. Every text that the grammar gives at random is valid.
 * README.md has the table, which UPDATE_GOLDEN=1 rewrites, and says how the fixtures are made.
 */

import { readFileSync, readdirSync, writeFileSync } from "node:fs";

import { Ajv } from "ajv";
import { Ajv2019 } from "ajv/dist/2019.js";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, it } from "vitest";

import { EngineError } from "../../engine/errors.js";
import { compileGrammar } from "../../engine/grammar/index.js";
import { accepts, matcherOf, schema as format, tokensOf, utf8 } from "../fixtures/grammars.js";

interface Case {
  readonly name: string;
  readonly schema: Json;
  readonly valid: unknown;
  readonly invalid: unknown;
}

type Json = Readonly<Record<string, unknown>>;

const FIXTURES = new URL("fixtures/", import.meta.url);
const README = new URL("README.md", import.meta.url);
const generators = readdirSync(FIXTURES).map((file) => ({
  generator: file.replace(/\.json$/, ""),
  cases: JSON.parse(readFileSync(new URL(file, FIXTURES), "utf8")) as readonly Case[],
}));

const unfinished: string[] = [];

describe.each(generators)("$generator", ({ generator, cases }) => {
  it.each(cases)("$name", ({ name, schema, valid, invalid }) => {
    const isValid = validator(schema, generator);
    expect([isValid(valid), isValid(invalid)]).toEqual([true, false]);
    expect(accepts(format(schema), JSON.stringify(valid))).toBe(true);
    expect(accepts(format(schema), JSON.stringify(invalid))).toBe(false);
    const text = randomAnswer(schema);
    if (text === null) unfinished.push(`${generator}: ${name}`);
    else expect(isValid(JSON.parse(text)), text).toBe(true);
  });
});

it("most random answers end", () => {
  const numCases = generators.reduce((sum, { cases }) => sum + cases.length, 0);
  expect(unfinished.length).toBeLessThan(numCases / 10);
});

it("the table of README.md", () => {
  const rows = generators.map(({ generator, cases }) => {
    const compiled = cases.filter(({ schema }) => isCompiled(schema));
    const noted = compiled.filter(({ schema }) => compileGrammar(format(schema)).notes.length > 0);
    return `| ${[generator, cases.length, compiled.length, noted.map(({ name }) => name).join(", ")].join(" | ")} |`;
  });
  const table = ["| generator | schemas | compiled | with notes |", "|---|--:|--:|---|", ...rows].join("\n");
  const text = readFileSync(README, "utf8");
  const written = text.replace(/^\| generator .*(?:\n\|.*)*/m, () => table);
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(README, written);
  else expect(text).toBe(written);
});

function isCompiled(schema: Json): boolean {
  try {
    compileGrammar(format(schema));
    return true;
  } catch (error) {
    if (error instanceof EngineError) return false;
    throw error;
  }
}

/** Ajv knows neither draft 4 nor all of OpenAPI 3.0, so what these have of their own is written as in draft 7. */
function validator(schema: Json, generator: string): (value: unknown) => boolean {
  // zod 3 escapes characters as only expressions without the flag may.
  const options = { strict: false, validateFormats: false, unicodeRegExp: generator !== "zod-3" };
  const is2020 = generator === "pydantic" || String(schema["$schema"]).includes("2020-12");
  if (is2020) return new Ajv2020(options).compile<unknown>(schema);
  if (generator === "typebox") return new Ajv2019(options).compile<unknown>(schema);
  return new Ajv(options).compile<unknown>(inDraft7(schema) as Json);
}

function inDraft7(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inDraft7);
  if (typeof value !== "object" || value === null) return value;
  const { $schema: _, ...rest } = value as Record<string, unknown>;
  for (const [bound, exclusive] of [
    ["minimum", "exclusiveMinimum"],
    ["maximum", "exclusiveMaximum"],
  ] as const) {
    if (rest[exclusive] !== true) continue;
    rest[exclusive] = rest[bound];
    delete rest[bound];
  }
  return Object.fromEntries(Object.entries(rest).map(([key, of]) => [key, inDraft7(of)]));
}

/**
 * Walks through the masks of single bytes, and prefers to end what it began.
 * @returns null if the answer becomes long
 */
function randomAnswer(schema: Json): string | null {
  const matcher = matcherOf(format(schema));
  let state = 1;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (state >> 8) % below;
  };
  const bytes: number[] = [];
  while (bytes.length < 400) {
    const allowed = tokensOf(matcher.allowed());
    if (allowed.includes(END)) return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(bytes));
    const closing = allowed.filter((byte) => CLOSING.has(byte));
    const from = closing.length > 0 && random(4) > 0 ? closing : allowed;
    const byte = from[random(from.length)]!;
    bytes.push(byte);
    matcher.acceptToken(byte);
  }
  return null;
}

const END = 256;
const CLOSING: ReadonlySet<number> = new Set(utf8.encode('"]}'));
