/**
 * Mutations of JSON documents. A document is changed as a tree, and written by a writer of its own: it can repeat keys,
 * leave half of a surrogate pair, and write numbers that JSON.stringify cannot.
 */

import type { Random } from "./random.js";

/** A piece of text that is written as it is. */
class Raw {
  constructor(readonly text: string) {}
}

/** An object whose keys may repeat. */
class Entries {
  constructor(readonly list: [key: string, value: Tree][]) {}
}

type Tree = string | number | boolean | null | Raw | Entries | Tree[];

/**
 * Returns a changed copy of the JSON text `json`, after one to four mutations. Most copies are JSON that a strict parser
 * accepts, so that the code behind the parser is reached.
 */
export function mutateJson(random: Random, json: string): string {
  const syntax = syntaxOf(random);
  let tree = treeOf(JSON.parse(json));
  for (let left = random.pick([1, 1, 1, 2, 4]); left > 0; left--) tree = mutated(random, tree, syntax);
  return written(tree);
}

/** Returns a value that few readers expect, as JSON text. */
export function hostileJson(random: Random): string {
  return written(hostileValue(random, syntaxOf(random)));
}

/** In `valid` syntax no key repeats, and the nesting is one that parsers accept. */
type Syntax = "valid" | "any";

const syntaxOf = (random: Random): Syntax => (random.chance(0.85) ? "valid" : "any");

export function hostileString(random: Random): string {
  return random.pick(STRINGS);
}

const STRINGS = [
  "",
  " ",
  "a",
  "\u0000",
  "\ud800",
  "\udc00a",
  "\u{1f600}",
  "e\u0301",
  "\ufeff",
  "\u2028",
  "__proto__",
  "constructor",
  "toString",
  "length",
  "../../../etc/passwd",
  "/dev/zero",
  "C:\\x",
  "[",
  "(",
  "\\",
  "{{",
  "{%",
  "(a+)+$",
  "(\\s*\\S*)*$",
  "(?:a|a)*b",
  "\\p{L}{1,5000}\\p{N}",
  "\u001b[31m",
  "a\nb",
  "<|im_end|>",
  "<think>",
  "x".repeat(300),
  "ab".repeat(50_000),
] as const;

const NUMBERS = [
  "0",
  "-0",
  "-1",
  "1",
  "2",
  "0.5",
  "1.5",
  "255",
  "256",
  "257",
  "1023",
  "65536",
  "2097151",
  "2097152",
  "16777216",
  "2147483647",
  "2147483648",
  "4294967295",
  "4294967296",
  "9007199254740991",
  "9007199254740992",
  "-9223372036854775808",
  "18446744073709551616",
  "1e308",
  "-1e308",
  "1e999",
  "-1e999",
  "5e-324",
  "1e-400",
] as const;

function hostileValue(random: Random, syntax: Syntax): Tree {
  switch (random.below(syntax === "valid" ? 11 : 12)) {
    case 0:
      return null;
    case 1:
      return random.chance(0.5);
    case 2:
    case 3:
    case 4:
      return new Raw(random.pick(NUMBERS));
    case 5:
    case 6:
      return hostileString(random);
    case 7:
      return [];
    case 8:
      return new Entries([]);
    case 9:
      return nested(random, syntax);
    case 10:
      return giant(random);
    default:
      return new Raw(random.pick(["NaN", "undefined", "'a'", "01", '"\\ud800"', "[1,]", '{"a":1,"a":2}', "//", ""]));
  }
}

/** Arrays in arrays, or objects in objects, below and beyond what parsers accept. */
function nested(random: Random, syntax: Syntax): Tree {
  const depth = random.pick(syntax === "valid" ? [3, 100, 240] : [250, 256, 257, 10_000, 200_000]);
  return random.chance(0.5)
    ? new Raw("[".repeat(depth) + "]".repeat(depth))
    : new Raw('{"a":'.repeat(depth) + "0" + "}".repeat(depth));
}

function giant(random: Random): Tree {
  const length = random.pick([1000, 100_000]);
  switch (random.below(3)) {
    case 0:
      return new Raw(`[${Array.from({ length }, () => "0").join(",")}]`);
    case 1:
      return new Raw(`{${Array.from({ length }, (_, index) => `"${index}":${index}`).join(",")}}`);
    default:
      return random.pick(["a", "\u{1f600}", " ", "ab", "\\"]).repeat(length);
  }
}

function mutated(random: Random, tree: Tree, syntax: Syntax): Tree {
  const size = sizeOf(tree);
  if (size === 0 || random.chance(0.01)) return hostileValue(random, syntax);
  const index = random.below(size);
  const child = childAt(tree, index);
  // Containers are entered more often than changed, so that deep places are reached in large documents too.
  if (sizeOf(child) > 0 && random.chance(0.75)) return withChild(tree, index, mutated(random, child, syntax));
  const key = (wanted: string): string =>
    syntax === "valid" && tree instanceof Entries && tree.list.some(([own]) => own === wanted) ? `${wanted}2` : wanted;
  switch (random.below(9)) {
    case 0:
      return withoutChild(tree, index);
    case 1:
      return withInserted(tree, index, key(keyAt(tree, index)), child);
    case 2:
      return withInserted(
        tree,
        index,
        key(hostileString(random)),
        random.chance(0.5) ? child : hostileValue(random, syntax),
      );
    case 3:
      return withInserted(withoutChild(tree, index), index, key(hostileString(random)), child);
    case 4: {
      const other = random.below(size);
      return withChild(withChild(tree, index, childAt(tree, other)), other, child);
    }
    case 5:
      return withChild(tree, index, random.chance(0.5) ? [child] : new Entries([["a", child]]));
    case 6:
    case 7:
      return withChild(tree, index, changedScalar(random, child, syntax));
    default:
      return withChild(tree, index, hostileValue(random, syntax));
  }
}

function changedScalar(random: Random, value: Tree, syntax: Syntax): Tree {
  if (typeof value === "number")
    return random.pick([value + 1, value - 1, -value, value * 2, value / 2, value * 1000, value + 0.5, `${value}`]);
  if (typeof value === "string") {
    const at = random.below(value.length + 1);
    const other = random.pick([hostileString(random), value, value.slice(at)]);
    return random.pick([value.slice(0, at) + other + value.slice(at), value.slice(0, at), other, value.repeat(100)]);
  }
  if (typeof value === "boolean") return !value;
  return hostileValue(random, syntax);
}

function sizeOf(tree: Tree): number {
  if (Array.isArray(tree)) return tree.length;
  return tree instanceof Entries ? tree.list.length : 0;
}

function childAt(tree: Tree, index: number): Tree {
  return tree instanceof Entries ? tree.list[index]![1] : (tree as Tree[])[index]!;
}

function keyAt(tree: Tree, index: number): string {
  return tree instanceof Entries ? tree.list[index]![0] : "";
}

function withChild(tree: Tree, index: number, child: Tree): Tree {
  if (tree instanceof Entries) {
    return new Entries(tree.list.map((entry, at) => (at === index ? [entry[0], child] : entry)));
  }
  return (tree as Tree[]).map((value, at) => (at === index ? child : value));
}

function withoutChild(tree: Tree, index: number): Tree {
  if (tree instanceof Entries) return new Entries(tree.list.filter((_, at) => at !== index));
  return (tree as Tree[]).filter((_, at) => at !== index);
}

function withInserted(tree: Tree, index: number, key: string, child: Tree): Tree {
  if (tree instanceof Entries) {
    return new Entries([...tree.list.slice(0, index), [key, child], ...tree.list.slice(index)]);
  }
  const list = tree as Tree[];
  return [...list.slice(0, index), child, ...list.slice(index)];
}

function treeOf(value: unknown): Tree {
  if (Array.isArray(value)) return value.map(treeOf);
  if (typeof value === "object" && value !== null) {
    return new Entries(Object.entries(value).map(([key, child]) => [key, treeOf(child)]));
  }
  return value as Tree;
}

function written(tree: Tree): string {
  if (tree instanceof Raw) return tree.text;
  if (Array.isArray(tree)) return `[${tree.map(written).join(",")}]`;
  if (tree instanceof Entries) {
    return `{${tree.list.map(([key, value]) => `${JSON.stringify(key)}:${written(value)}`).join(",")}}`;
  }
  return Object.is(tree, -0) ? "-0" : JSON.stringify(tree);
}
