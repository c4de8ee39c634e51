/** Syntax trees of patterns. */

import { type CodePointSet, fromPairs } from "./code-points.js";

export type Tree = {
  /** Number of characters. Repetitions of look-around are expanded. */
  readonly size: number;
  /** True if the tree contains no anchor and no look-around: what it matches does not depend on the text around it. */
  readonly isPlain: boolean;
  /** True if the tree contains ^. */
  readonly hasStart: boolean;
} & (
  | { readonly kind: "set"; readonly set: CodePointSet }
  | { readonly kind: "concat" | "union"; readonly parts: readonly Tree[] }
  | { readonly kind: "repeat"; readonly of: Tree; readonly min: number; readonly max: number }
  /** The start and the end of the text. */
  | { readonly kind: "start" | "end" }
  | { readonly kind: "look"; readonly of: Tree; readonly isBehind: boolean; readonly isNegated: boolean }
);

export const START: Tree = { kind: "start", size: 0, isPlain: false, hasStart: true };
export const END: Tree = { kind: "end", size: 0, isPlain: false, hasStart: false };

export const setTree = (set: CodePointSet): Tree => ({ kind: "set", set, size: 1, isPlain: true, hasStart: false });

function listTree(kind: "concat" | "union", parts: readonly Tree[]): Tree {
  return {
    kind,
    parts,
    size: parts.reduce((sum, part) => sum + part.size, 1),
    isPlain: parts.every(({ isPlain }) => isPlain),
    hasStart: parts.some(({ hasStart }) => hasStart),
  };
}

export const concatTree = (parts: readonly Tree[]): Tree =>
  parts.length === 1 ? parts[0]! : listTree("concat", parts);

export function unionTree(parts: readonly Tree[]): Tree {
  if (parts.length === 1) return parts[0]!;
  const pairs: [number, number][] = [];
  for (const part of parts) {
    if (part.kind !== "set") return listTree("union", parts);
    for (let i = 0; i < part.set.length; i += 2) pairs.push([part.set[i]!, part.set[i + 1]!]);
  }
  return setTree(fromPairs(pairs));
}

/** @param max Infinity for no bound */
export function repeatTree(of: Tree, min: number, max: number): Tree {
  const numCopies = of.isPlain ? 1 : Math.max(1, max === Infinity ? min + 1 : max);
  const { isPlain, hasStart } = of;
  return { kind: "repeat", of, min, max, size: 1 + of.size * numCopies, isPlain, hasStart };
}

export const lookTree = (of: Tree, isBehind: boolean, isNegated: boolean): Tree => ({
  kind: "look",
  of,
  isBehind,
  isNegated,
  size: 1 + of.size,
  isPlain: false,
  hasStart: of.hasStart,
});
