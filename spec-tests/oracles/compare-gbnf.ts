/**
 * Compares grammars in GBNF with the recogniser in earley.ts, on random texts of each grammar and on such texts with one
 * character changed, removed or added. Exits with 1 if they differ.
 *
 *   node dist/spec-tests/oracles/compare-gbnf.js FILE.gbnf… [--texts N] [--seed N]
 */

import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

import { compileGrammar, type Grammar, GrammarMatcher, VocabularyTrie } from "../../engine/grammar/index.js";
import { tokensOf, utf8 } from "../fixtures/grammars.js";
import { Earley } from "./earley.js";
import { readGbnf } from "./gbnf.js";

const END = 256;
const BYTES = VocabularyTrie.build([...Array.from({ length: END }, (_, byte) => Uint8Array.of(byte)), null]);
const MAX_LENGTH = 60;
const OTHERS = Array.from("aZ09 \n\t\"'\\{}[]()+-*/=.,:;#éß東🙂");

export interface Comparison {
  /** Texts that both accept, that both hold for beginnings, and that both refuse. */
  readonly accepted: number;
  readonly begun: number;
  readonly refused: number;
  /** Texts on which the two differ. */
  readonly differences: readonly string[];
}

/** @param draw returns a random integer from 0 to `below` - 1 */
export function compareGbnf(source: string, numTexts: number, draw: (below: number) => number): Comparison {
  const grammar = compileGrammar({ type: "grammar", syntax: "gbnf", grammar: source });
  const reference = new Earley(readGbnf(source), "root");
  const counts = { accepted: 0, begun: 0, refused: 0 };
  const differences: string[] = [];
  for (let index = 0; index < numTexts; index++) {
    const text = walk(grammar, draw);
    for (const one of [text, changed(text, draw), changed(text, draw)]) {
      const { isAccepted, viable } = reference.read(one);
      const matcher: GrammarMatcher = new GrammarMatcher(grammar, BYTES, [END]);
      const isBegun: boolean = matcher.acceptBytes(utf8.encode(one));
      const isViable = viable === Array.from(one).length;
      if (isBegun !== isViable || (isBegun && matcher.isComplete !== isAccepted)) differences.push(one);
      else counts[isAccepted ? "accepted" : isViable ? "begun" : "refused"]++;
    }
  }
  return { ...counts, differences };
}

/** A random walk through the masks to the end or to a length; most characters are ASCII where they may be. */
function walk(grammar: Grammar, draw: (below: number) => number): string {
  const matcher: GrammarMatcher = new GrammarMatcher(grammar, BYTES, [END]);
  const bytes: number[] = [];
  for (;;) {
    const tokens = tokensOf(matcher.allowed());
    const isWithinCharacter = tokens.every((token) => token >= 0x80 && token < 0xc0);
    if (bytes.length >= MAX_LENGTH && !isWithinCharacter) break;
    const ascii = tokens.filter((token) => token < 0x80 || token === END);
    const choices = ascii.length > 0 && draw(10) > 0 ? ascii : tokens;
    const token = choices[draw(choices.length)]!;
    matcher.acceptToken(token);
    if (token === END) break;
    bytes.push(token);
  }
  return Buffer.from(bytes).toString("utf8");
}

function changed(text: string, draw: (below: number) => number): string {
  const characters = Array.from(text);
  const at = draw(characters.length + 1);
  const other = OTHERS[draw(OTHERS.length)]!;
  const kind = draw(3);
  characters.splice(at, kind === 0 ? 0 : 1, ...(kind === 2 ? [] : [other]));
  return characters.join("");
}

function main(): void {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { texts: { type: "string", default: "200" }, seed: { type: "string", default: "1" } },
  });
  for (const path of positionals) {
    let state = Number(values.seed);
    const draw = (below: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const { accepted, begun, refused, differences } = compareGbnf(
      readFileSync(path, "utf8"),
      Number(values.texts),
      draw,
    );
    console.log(
      `${basename(path)}: ${accepted} accepted, ${begun} begun, ${refused} refused, ${differences.length} differ`,
    );
    for (const text of differences.slice(0, 5)) console.log(`  ${JSON.stringify(text)}`);
    if (differences.length > 0) process.exitCode = 1;
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) main();
