/**
 * Orders tokens as the contract defines: descending logit, lower id first on a tie. A token is represented
 * by one u64, its rank. Ranks ascend in that order, and no two tokens of a row have the same rank.
 *
 *   bits 63..32  bitwise complement of a number that grows with the logit (-0 counts as 0)
 *   bits 31..0   token id
 */

// @ts-ignore: decorator
@inline
export function rankOf(logit: f32, tokenId: i32): u64 {
  return (<u64>~ascending(logit) << 32) | <u64>(<u32>tokenId);
}

/** Returns the logit of a rank; 0 if the logit was -0. */
// @ts-ignore: decorator
@inline
export function rankLogit(rank: u64): f32 {
  return fromAscending(~(<u32>(rank >> 32)));
}

/** Returns the token id of a rank. */
// @ts-ignore: decorator
@inline
export function rankToken(rank: u64): i32 {
  return <i32>(<u32>rank);
}

/** Converts a logit to an integer with the same order. */
// @ts-ignore: decorator
@inline
export function ascending(logit: f32): u32 {
  const bits = reinterpret<i32>(logit + <f32>0); // -0 + 0 is 0
  return <u32>(bits ^ ((bits >> 31) | i32.MIN_VALUE));
}

// @ts-ignore: decorator
@inline
export function fromAscending(value: u32): f32 {
  const bits = <i32>value;
  return reinterpret<f32>(bits < 0 ? bits ^ i32.MIN_VALUE : ~bits);
}

/** Maximum number of ranks to sort; longer lists are shortened first. */
export const MAX_SORT: i32 = 1024;
/** Lists this short are sorted by insertion. */
const MAX_INSERTION: i32 = 16;

const DIGIT_BITS: u64 = 11;
const DIGITS: i32 = 1 << 11;
/** u32 [DIGITS] */
const COUNTS: usize = memory.data(DIGITS * 4, 16);
/** u64 [MAX_SORT]: the second buffer of the merges. */
const MERGED: usize = memory.data(MAX_SORT * 8, 16);

/** Sorts u64 [count] in place, ascending: sorts runs by insertion and merges them. count <= MAX_SORT */
export function sortRanks(list: usize, count: i32): void {
  for (let start = 0; start < count; start += MAX_INSERTION) {
    insertionSort(list + <usize>start * 8, min(MAX_INSERTION, count - start));
  }
  let from = list;
  let to = MERGED;
  for (let run = MAX_INSERTION; run < count; run *= 2) {
    for (let start = 0; start < count; start += 2 * run) {
      const middle = min(start + run, count);
      merge(from, start, middle, min(start + 2 * run, count), to);
    }
    const swap = from;
    from = to;
    to = swap;
  }
  if (from != list) memory.copy(list, from, <usize>count * 8);
}

function insertionSort(list: usize, count: i32): void {
  for (let i = 1; i < count; i++) {
    const rank = load<u64>(list + <usize>i * 8);
    let j = i;
    for (; j > 0; j--) {
      const before = load<u64>(list + <usize>(j - 1) * 8);
      if (before < rank) break;
      store<u64>(list + <usize>j * 8, before);
    }
    store<u64>(list + <usize>j * 8, rank);
  }
}

/** Merges the sorted runs from[start..middle) and from[middle..end) into to[start..end). */
function merge(from: usize, start: i32, middle: i32, end: i32, to: usize): void {
  let a = from + <usize>start * 8;
  const aEnd = from + <usize>middle * 8;
  let b = aEnd;
  const bEnd = from + <usize>end * 8;
  let target = to + <usize>start * 8;
  while (a < aEnd && b < bEnd) {
    const x = load<u64>(a);
    const y = load<u64>(b);
    const first = x < y;
    store<u64>(target, first ? x : y);
    a += first ? 8 : 0;
    b += first ? 0 : 8;
    target += 8;
  }
  for (; a < aEnd; a += 8, target += 8) store<u64>(target, load<u64>(a));
  for (; b < bEnd; b += 8, target += 8) store<u64>(target, load<u64>(b));
}

/**
 * Returns the k-th smallest rank, counted from 1, of u64 [count]; the list does not change.
 * Works digit by digit from the top, so the time is bounded for all values. 1 <= k <= count
 */
export function selectRank(list: usize, count: i32, k: i32): u64 {
  let prefix: u64 = 0;
  let shift: u64 = 64;
  while (shift > 0) {
    const width = min(DIGIT_BITS, shift);
    const above = shift;
    shift -= width;
    const mask = ((<u64>1) << width) - 1;
    memory.fill(COUNTS, 0, <usize>DIGITS * 4);
    for (let i = 0; i < count; i++) {
      const rank = load<u64>(list + <usize>i * 8);
      if (above < 64 && rank >> above != prefix) continue;
      const slot = COUNTS + <usize>((rank >> shift) & mask) * 4;
      store<u32>(slot, load<u32>(slot) + 1);
    }
    let digit: u64 = 0;
    while (true) {
      const here = load<i32>(COUNTS + <usize>digit * 4);
      if (k <= here) {
        prefix = (prefix << width) | digit;
        if (here == 1) return findPrefix(list, count, prefix, shift);
        break;
      }
      k -= here;
      digit++;
    }
  }
  return prefix;
}

/** Returns the only rank whose bits from `shift` up equal `prefix`. */
function findPrefix(list: usize, count: i32, prefix: u64, shift: u64): u64 {
  for (let i = 0; i < count; i++) {
    const rank = load<u64>(list + <usize>i * 8);
    if (rank >> shift == prefix) return rank;
  }
  unreachable();
  return 0;
}

/** Keeps the ranks up to `last` in their order and returns their number. */
export function keepUpTo(list: usize, count: i32, last: u64): i32 {
  let kept = 0;
  for (let i = 0; i < count; i++) {
    const rank = load<u64>(list + <usize>i * 8);
    store<u64>(list + <usize>kept * 8, rank);
    kept += i32(rank <= last);
  }
  return kept;
}
