/** Sets of code points that the JavaScript engine knows: Unicode properties, and letters that differ only in case. */

import { type CodePointSet, fromPairs } from "./code-points.js";
import { lastAtMost } from "./partitions.js";

const properties = new Map<string, CodePointSet>();

/** Returns the code points that have a Unicode property in the JavaScript engine; computed once for each property. */
export function unicodeProperty(name: string): CodePointSet {
  let set = properties.get(name);
  if (set === undefined) {
    const pairs: [number, number][] = [];
    const runs = new RegExp(`\\p{${name}}+`, "gu");
    // Finds the runs of matching characters in texts that contain all code points in order. The texts are split at the
    // surrogates, and at each 65,536 code points; from U+10000 on, a character has two code units.
    for (let first = 0; first < 0x110000; first = first === 0 ? 0xe000 : (first | 0xffff) + 1) {
      const end = first === 0 ? 0xd800 : (first | 0xffff) + 1;
      const units = first < 0x10000 ? 1 : 2;
      for (const run of textOfAll(first, end).matchAll(runs))
        pairs.push([first + run.index / units, first + (run.index + run[0].length) / units]);
    }
    set = fromPairs(pairs);
    properties.set(name, set);
  }
  return set;
}

/** Returns the code points from first to end (exclusive) as a text. */
function textOfAll(first: number, end: number): string {
  const units = new Uint16Array(2 * (end - first));
  let length = 0;
  for (let codePoint = first; codePoint < end; codePoint++) {
    if (codePoint < 0x10000) units[length++] = codePoint;
    else {
      units[length++] = 0xd7c0 + (codePoint >> 10);
      units[length++] = 0xdc00 + (codePoint & 0x3ff);
    }
  }
  let text = "";
  for (let at = 0; at < length; at += 4096)
    text += String.fromCharCode(...units.subarray(at, Math.min(at + 4096, length)));
  return text;
}

/**
 * Returns the set with the letters that equal one of it if case is ignored, as in ECMA-262 with the flags `iu`: by
 * simple case folding.
 */
export function ignoringCase(set: CodePointSet): CodePointSet {
  const pairs: [number, number][] = [];
  for (let i = 0; i < set.length; i += 2) pairs.push([set[i]!, set[i + 1]!]);
  if (lettersAlike.size === 0) findLettersAlike();
  const isOne = set.length === 2 && set[1] === set[0]! + 1;
  for (const letter of isOne ? [set[0]!] : lettersAlike.keys())
    // Sets are pairs of first and end, so an even index is inside.
    if (lastAtMost(set, letter) % 2 === 0)
      for (const other of lettersAlike.get(letter) ?? []) pairs.push([other, other + 1]);
  return fromPairs(pairs);
}

/** Letters that differ from others only in case, each with all that equal it. Filled on first use. */
const lettersAlike = new Map<number, readonly number[]>();

function findLettersAlike(): void {
  const cased = unicodeProperty("Changes_When_Casemapped");
  const isAlike = /^(.)\1$/isu;
  const byUpper = new Map<string, number>();
  for (let i = 0; i < cased.length; i += 2) {
    for (let codePoint = cased[i]!; codePoint < cased[i + 1]!; codePoint++) {
      const letter = String.fromCodePoint(codePoint);
      const [lower, upper] = [letter.toLowerCase(), letter.toUpperCase()];
      const others = [lower, upper, upper.toLowerCase(), lower.toUpperCase()].map((text) => text.codePointAt(0)!);
      // Some letters have an equal one only by way of several capital letters.
      const sameUpper = byUpper.get(upper);
      if (sameUpper === undefined) byUpper.set(upper, codePoint);
      else others.push(sameUpper);
      for (const other of others) {
        if (other !== codePoint && isAlike.test(letter + String.fromCodePoint(other))) joinAlike(codePoint, other);
      }
    }
  }
}

function joinAlike(first: number, second: number): void {
  const all = [...new Set([first, second].flatMap((letter) => lettersAlike.get(letter) ?? [letter]))];
  for (const letter of all) lettersAlike.set(letter, all);
}
