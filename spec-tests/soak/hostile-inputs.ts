/** Requests that try to stop a server, each of a kind that once did. */

import { chatBody } from "../fixtures/chat-client.js";

export interface HostileInput {
  readonly name: string;
  /** Path below the API's base, such as `tokenize`. */
  readonly path: string;
  readonly body: () => string;
}

const MEBIBYTES = 7.9;
const NUM_CHARACTERS = Math.floor(MEBIBYTES * 1e6);

const says = (content: string, fields: object = {}): string =>
  chatBody({ messages: [{ role: "user", content }], max_tokens: 2, ...fields });
const tokenizes = (text: string): string => JSON.stringify({ model: "tiny", text });
const schema = (value: object): string =>
  says("Hi", { response_format: { type: "json_schema", json_schema: { name: "answer", schema: value } } });
const regex = (source: string): string => says("Hi", { response_format: { type: "regex", regex: source } });

function randomText(characters: string): string {
  let text = "";
  while (text.length < NUM_CHARACTERS) text += characters[Math.floor(Math.random() * characters.length)]!;
  return text;
}

const LETTERS = "abcdefghijklmnopqrstuvwxyz";

/** Returns many words, of which hardly two are equal. */
function manyWords(numCharacters: number): string {
  let text = "";
  while (text.length < numCharacters) text += `${Math.random().toString(36).slice(2, 9)} `;
  return text;
}

function recursiveDefinitions(count: number): object {
  const names = Array.from({ length: count }, (_, index) => `d${index}`);
  const anyOther = { anyOf: [...names.map((name) => ({ $ref: `#/$defs/${name}` })), { type: "string" }] };
  const definition = (name: string): object => ({
    type: "object",
    properties: { [name]: { type: "string" }, next: anyOther },
    required: [name],
  });
  return { $defs: Object.fromEntries(names.map((name) => [name, definition(name)])), $ref: "#/$defs/d0" };
}

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/** Returns a schema of an object whose properties are optional, except the first. */
function objectOf(count: number, first = 0): object {
  const names = range(count).map((index) => `property${first + index}`);
  return {
    type: "object",
    properties: Object.fromEntries(names.map((name) => [name, { type: "integer" }])),
    required: names.slice(0, 1),
  };
}

const nullableString = { anyOf: [{ type: "string" }, { type: ["string", "null"] }] };

export const HOSTILE_INPUTS: readonly HostileInput[] = [
  { name: "tokenize one letter", path: "tokenize", body: () => tokenizes("a".repeat(NUM_CHARACTERS)) },
  { name: "tokenize spaces", path: "tokenize", body: () => tokenizes(" ".repeat(NUM_CHARACTERS)) },
  { name: "tokenize random letters", path: "tokenize", body: () => tokenizes(randomText(LETTERS)) },
  { name: "tokenize many words", path: "tokenize", body: () => tokenizes(manyWords(1e6)) },
  { name: "chat of 7.9 MB", path: "chat/completions", body: () => says(randomText(`${LETTERS} `)) },
  { name: "regex of two long runs", path: "chat/completions", body: () => regex("\\p{L}{1,4900}\\p{N}{1,4900}") },
  { name: "regex of parentheses", path: "chat/completions", body: () => regex("(".repeat(10_000)) },
  {
    name: "regex of nested groups",
    path: "chat/completions",
    body: () => regex(`${"(".repeat(5000)}a${")".repeat(5000)}`),
  },
  { name: "80 recursive definitions", path: "chat/completions", body: () => schema(recursiveDefinitions(80)) },
  {
    name: "allOf of 21 anyOf",
    path: "chat/completions",
    body: () => schema({ allOf: range(21).map(() => nullableString) }),
  },
  { name: "1,000 optional properties", path: "chat/completions", body: () => schema(objectOf(1000)) },
  {
    name: "400 objects in anyOf",
    path: "chat/completions",
    body: () => schema({ anyOf: range(400).map((index) => objectOf(2, index)) }),
  },
  {
    name: "enum of 10,000 numbers",
    path: "chat/completions",
    body: () => schema({ enum: range(10_000).map((index) => index * 37 + 0.5) }),
  },
  {
    name: "patternProperties",
    path: "chat/completions",
    body: () =>
      schema({ type: "object", patternProperties: { "^[a-z]{1,200}$": {}, "^x.*y$": { type: "integer" }, q: {} } }),
  },
  {
    name: "a refused schema",
    path: "chat/completions",
    body: () => schema({ oneOf: range(300).map((i) => ({ type: "string", pattern: `^a{${i},}$` })) }),
  },
];
