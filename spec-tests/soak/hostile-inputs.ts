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
    body: () => schema({ allOf: Array.from({ length: 21 }, () => nullableString) }),
  },
  {
    name: "a refused schema",
    path: "chat/completions",
    body: () => schema({ oneOf: Array.from({ length: 300 }, (_, i) => ({ type: "string", pattern: `^a{${i},}$` })) }),
  },
];
