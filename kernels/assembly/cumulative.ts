/**
 * Computes cumulative weights of a row in the order of the contract, without sorting the row.
 *
 * The tokens are distributed to 1,024 buckets by their distance from the largest logit; a bucket's weight
 * is the sum over its tokens, in four lanes (id modulo 4) of ascending ids, added as
 * (s0 + s1) + (s2 + s3). Cumulative weights run over the buckets in descending order. To find one
 * token, only its bucket is examined: equal logits are counted, up to 1,024 tokens are sorted and
 * walked, and more tokens are distributed again by the bits of the logit (at most three times, because
 * each time uses 11 bits). So a cumulative weight is a fixed function of the row, whatever the search
 * looks for; tokens of weight 0 (below 2^-1021) are included like any other.
 */

import { exp2, exp2__simd } from "./math";
import { MAX_SORT, rankLogit, rankOf, sortRanks } from "./ranking";
import { smallestOf } from "./scan";

const BUCKETS: i32 = 1024;
/** f32 [4]: BUCKETS - 1, in memory because a load is cheaper than a vector constant. */
const LAST_BUCKET: usize = memory.data<f32>([1023, 1023, 1023, 1023], 16);
/** f64 [BUCKETS, 4]: weights by bucket and lane. */
const LANES: usize = memory.data(BUCKETS * 32, 16);
/** f64 [BUCKETS]: the cumulative weight at the end of each bucket. */
const ENDS: usize = memory.data(BUCKETS * 8, 16);

/** Buckets of each level below the first. */
const DIGITS: i32 = 2048;
const DIGIT_BITS: u32 = 11;
/** f64 [DIGITS] */
const DIGIT_WEIGHTS: usize = memory.data(DIGITS * 8, 16);
/** u32 [DIGITS] */
const DIGIT_COUNTS: usize = memory.data(DIGITS * 4, 16);

/** f64: the cumulative weight at the token found last. */
const FOUND: usize = memory.data(8, 8);

/** Goal of a search. */
export const enum Goal {
  /** The first token whose cumulative weight is at least the target. */
  Reaches,
  /** The first token whose cumulative weight is more than the target. */
  Exceeds,
  /** Not a token but the weight of all tokens up to a given rank. */
  UpTo,
}

/** Returns the weight of all tokens, after dealWeights. */
export function totalWeight(): f64 {
  return load<f64>(ENDS + <usize>(BUCKETS - 1) * 8);
}

/** Returns the cumulative weight at the token or rank that `locate` found. */
export function foundWeight(): f64 {
  return load<f64>(FOUND);
}

/**
 * Returns the buckets per unit of logit. They cover the row, or only the tokens whose weight is more than
 * e^-32 of the largest weight; the last bucket takes the rest.
 */
export function bucketScale(row: usize, n: i32, largest: f32, temperature: f64): f32 {
  const covered = <f32>(32.0 * temperature);
  const range = largest - smallestOf(row, n);
  const width = range < covered ? range : covered;
  return width < 1e-30 ? 1 : <f32>(BUCKETS - 1) / width;
}

// @ts-ignore: decorator
@inline
function bucketOf(logit: f32, largest: f32, scale: f32): i32 {
  const position = (largest - logit) * scale;
  return i32(<f32>(BUCKETS - 1) < position ? <f32>(BUCKETS - 1) : position);
}

// @ts-ignore: decorator
@inline
function buckets__simd(logits: v128, largest: v128, scale: v128): v128 {
  const position = f32x4.mul(f32x4.sub(largest, logits), scale);
  return i32x4.trunc_sat_f32x4_s(f32x4.pmin(position, v128.load(LAST_BUCKET)));
}

// @ts-ignore: decorator
@inline
function addWeight(bucket: i32, lane: usize, weight: f64): void {
  const slot = LANES + (<usize>bucket << 5) + lane;
  store<f64>(slot, load<f64>(slot) + weight);
}

/** Distributes the row f32 [n] to the buckets. Weights are 2^((logit - largest) * factor). */
export function dealWeights(row: usize, n: i32, largest: f32, factor: f64, scale: f32): void {
  memory.fill(LANES, 0, <usize>BUCKETS * 32);
  const shift = <f64>largest;
  let i = 0;
  if (ASC_FEATURE_SIMD) {
    const shifts = f64x2.splat(shift);
    const factors = f64x2.splat(factor);
    const largests = f32x4.splat(largest);
    const scales = f32x4.splat(scale);
    for (; i + 4 <= n; i += 4) {
      const logits = v128.load(row + <usize>i * 4);
      const x = f64x2.promote_low_f32x4(logits);
      const y = f64x2.promote_low_f32x4(i64x2.shuffle(logits, logits, 1, 1));
      const low = exp2__simd(f64x2.mul(f64x2.sub(x, shifts), factors));
      const high = exp2__simd(f64x2.mul(f64x2.sub(y, shifts), factors));
      const bucket = buckets__simd(logits, largests, scales);
      addWeight(i32x4.extract_lane(bucket, 0), 0, f64x2.extract_lane(low, 0));
      addWeight(i32x4.extract_lane(bucket, 1), 8, f64x2.extract_lane(low, 1));
      addWeight(i32x4.extract_lane(bucket, 2), 16, f64x2.extract_lane(high, 0));
      addWeight(i32x4.extract_lane(bucket, 3), 24, f64x2.extract_lane(high, 1));
    }
  }
  for (; i < n; i++) {
    const logit = load<f32>(row + <usize>i * 4);
    addWeight(bucketOf(logit, largest, scale), <usize>(i & 3) << 3, exp2((<f64>logit - shift) * factor));
  }
  let end: f64 = 0;
  for (let b: usize = 0; b < <usize>BUCKETS; b++) {
    const lanes = LANES + b * 32;
    end += load<f64>(lanes) + load<f64>(lanes, 8) + (load<f64>(lanes, 16) + load<f64>(lanes, 24));
    store<f64>(ENDS + b * 8, end);
  }
}

/**
 * Returns the rank of the first token that meets the goal or, if rounding leaves no such token, of the last
 * token of the bucket that should have held it. foundWeight() then returns its cumulative weight.
 * For Goal.UpTo, returns `last`, and foundWeight() returns the weight up to it.
 * @param target cumulative weight, for Reaches and Exceeds, at most totalWeight()
 * @param last rank, for UpTo
 * @param list u64 [n], overwritten
 */
export function locate(
  row: usize,
  n: i32,
  largest: f32,
  factor: f64,
  scale: f32,
  goal: Goal,
  target: f64,
  last: u64,
  list: usize,
): u64 {
  let bucket = 0;
  if (goal == Goal.UpTo) {
    bucket = bucketOf(rankLogit(last), largest, scale);
  } else {
    while (bucket < BUCKETS - 1 && !meets(goal, load<f64>(ENDS + <usize>bucket * 8), target)) bucket++;
  }
  const start: f64 = bucket > 0 ? load<f64>(ENDS + <usize>(bucket - 1) * 8) : 0;
  const count = openBucket(row, n, largest, scale, bucket, list);
  return search(list, count, start, largest, factor, goal, target, last);
}

// @ts-ignore: decorator
@inline
function meets(goal: Goal, cumulative: f64, target: f64): bool {
  return goal == Goal.Reaches ? cumulative >= target : cumulative > target;
}

/** Lists the ranks of a bucket's tokens, except removed ones, in ascending order of ids; returns their number. */
function openBucket(row: usize, n: i32, largest: f32, scale: f32, bucket: i32, list: usize): i32 {
  let count = 0;
  let i = 0;
  if (ASC_FEATURE_SIMD) {
    const largests = f32x4.splat(largest);
    const scales = f32x4.splat(scale);
    const wanted = i32x4.splat(bucket);
    for (; i + 4 <= n; i += 4) {
      const logits = v128.load(row + <usize>i * 4);
      let found = i32x4.bitmask(i32x4.eq(buckets__simd(logits, largests, scales), wanted));
      if (found == 15) {
        for (let lane = 0; lane < 4; lane++) count = append(row, i + lane, list, count);
        continue;
      }
      while (found != 0) {
        const tokenId = i + ctz(found);
        found &= found - 1;
        count = append(row, tokenId, list, count);
      }
    }
  }
  for (; i < n; i++) {
    if (bucketOf(load<f32>(row + <usize>i * 4), largest, scale) == bucket) count = append(row, i, list, count);
  }
  return count;
}

// @ts-ignore: decorator
@inline
function append(row: usize, tokenId: i32, list: usize, count: i32): i32 {
  const logit = load<f32>(row + <usize>tokenId * 4);
  store<u64>(list + <usize>count * 8, rankOf(logit, tokenId));
  return count + i32(logit > -Infinity);
}

/** Searches u64 [count], in ascending order of ids, for the goal. @param start weight of all tokens before the list */
function search(
  list: usize,
  count: i32,
  start: f64,
  largest: f32,
  factor: f64,
  goal: Goal,
  target: f64,
  last: u64,
): u64 {
  while (true) {
    let least = u32.MAX_VALUE;
    let most: u32 = 0;
    for (let i = 0; i < count; i++) {
      const bits = <u32>(load<u64>(list + <usize>i * 8) >> 32);
      least = min(least, bits);
      most = max(most, bits);
    }
    if (least == most) return pickTied(list, count, start, largest, factor, goal, target, last);
    if (count <= MAX_SORT) {
      sortRanks(list, count);
      return walk(list, count, start, largest, factor, goal, target, last);
    }
    const width = <u32>(32 - clz(most - least));
    const shift = width > DIGIT_BITS ? width - DIGIT_BITS : 0;
    dealDigits(list, count, least, shift, largest, factor);

    let digit = -1;
    if (goal == Goal.UpTo) {
      const bits = <u32>(last >> 32);
      const wanted = bits < least ? -1 : bits > most ? DIGITS : <i32>((bits - least) >> shift);
      for (let d = 0; d < DIGITS && d < wanted; d++) start += load<f64>(DIGIT_WEIGHTS + <usize>d * 8);
      digit = wanted;
    } else {
      for (let d = 0; d < DIGITS; d++) {
        if (load<u32>(DIGIT_COUNTS + <usize>d * 4) == 0) continue;
        // If rounding lets no digit meet the goal, the last digit that holds tokens stays chosen.
        if (digit >= 0) start += load<f64>(DIGIT_WEIGHTS + <usize>digit * 8);
        digit = d;
        if (meets(goal, start + load<f64>(DIGIT_WEIGHTS + <usize>d * 8), target)) break;
      }
    }
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const rank = load<u64>(list + <usize>i * 8);
      store<u64>(list + <usize>kept * 8, rank);
      kept += i32(<i32>((<u32>(rank >> 32) - least) >> shift) == digit);
    }
    count = kept;
  }
}

/**
 * Searches equal logits in ascending order of ids. The cumulative weight after i of them is
 * start + i * weight, so bisection finds the token.
 */
function pickTied(
  list: usize,
  count: i32,
  start: f64,
  largest: f32,
  factor: f64,
  goal: Goal,
  target: f64,
  last: u64,
): u64 {
  const weight = count > 0 ? weightOf(load<u64>(list), largest, factor) : 0;
  let below = 0; // the goal is not met after this many tokens
  let enough = goal == Goal.UpTo ? count + 1 : count; // it is met after this many, or the list ends
  while (enough - below > 1) {
    const middle = (below + enough) >> 1;
    const met =
      goal == Goal.UpTo
        ? load<u64>(list + <usize>(middle - 1) * 8) > last
        : meets(goal, start + <f64>middle * weight, target);
    if (met) enough = middle;
    else below = middle;
  }
  if (goal == Goal.UpTo) {
    store<f64>(FOUND, start + <f64>below * weight);
    return last;
  }
  store<f64>(FOUND, start + <f64>enough * weight);
  return load<u64>(list + <usize>(enough - 1) * 8);
}

function dealDigits(list: usize, count: i32, least: u32, shift: u32, largest: f32, factor: f64): void {
  memory.fill(DIGIT_WEIGHTS, 0, <usize>DIGITS * 8);
  memory.fill(DIGIT_COUNTS, 0, <usize>DIGITS * 4);
  for (let i = 0; i < count; i++) {
    const rank = load<u64>(list + <usize>i * 8);
    const digit = <usize>((<u32>(rank >> 32) - least) >> shift);
    const weights = DIGIT_WEIGHTS + digit * 8;
    store<f64>(weights, load<f64>(weights) + weightOf(rank, largest, factor));
    const counts = DIGIT_COUNTS + digit * 4;
    store<u32>(counts, load<u32>(counts) + 1);
  }
}

/** Returns the weight of one token: 2^((logit - largest) * factor). */
// @ts-ignore: decorator
@inline
export function weightOf(rank: u64, largest: f32, factor: f64): f64 {
  return exp2((<f64>rankLogit(rank) - <f64>largest) * factor);
}

/** Walks sorted ranks token by token; the goals are those of `locate`. */
function walk(
  list: usize,
  count: i32,
  start: f64,
  largest: f32,
  factor: f64,
  goal: Goal,
  target: f64,
  last: u64,
): u64 {
  let cumulative = start;
  let rank = last;
  for (let i = 0; i < count; i++) {
    const next = load<u64>(list + <usize>i * 8);
    if (goal == Goal.UpTo) {
      if (next > last) break;
      cumulative += weightOf(next, largest, factor);
    } else {
      rank = next;
      cumulative += weightOf(next, largest, factor);
      if (meets(goal, cumulative, target)) break;
    }
  }
  store<f64>(FOUND, cumulative);
  return rank;
}
