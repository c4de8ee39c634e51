/**
 * Attention of one query over the positions of one page, and the merge of pages. The arithmetic of a query
 * depends only on how its positions are divided into pages:
 *
 *   page    scores s in position order; m = max s; w = exp(s - m); l = sum of w in four lanes (position
 *           modulo 4), added as (l0 + l1) + (l2 + l3); v = sum of w * value in position order
 *   merge   pages in order, starting with the first page's result: m' = max(m, m2); a = exp(m - m');
 *           b = exp(m2 - m'); l = l a + l2 b; v = v a + v2 b
 *   result  v * (1 / l)
 *
 * With f32 and bf16 pages, dot products and weighted sums are f32 in ascending order of dimensions or positions. Both
 * have the same code, with the type of an element as its parameter E (kv.ts).
 * With q8 pages, the query and the weights (times the positions' scales) are rounded to 15 bits, and
 * both sums are exact integers.
 *
 *   partial result: f32 m, f32 l, 8 bytes unused, f32 v [D]
 */

import { exp, exp__simd, scaleBy } from "./f32";
import { PageFormat, elementBytes, keyDimension, keyOf, largestMagnitude, loadElement, rounded, valueOf } from "./kv";

/** Returns the bytes of a partial result, a multiple of 16. */
export function partialBytes(headDim: i32): usize {
  return <usize>(4 + ((headDim + 3) & ~3)) * 4;
}

/**
 * Returns the bytes of one query, a multiple of 16: f32 [headDim], or with q8 pages f32 scale, 12 bytes
 * unused, int16 [headDim].
 */
export function queryBytes(headDim: i32): usize {
  return 16 + <usize>((headDim + 3) & ~3) * 4;
}

/** Maximum queries of one kv head that share a pass over a page. */
export const GROUP_QUERIES: i32 = 4;

/** Returns the bytes of scratch for `attendPage`: f32 [GROUP_QUERIES, pageSize], int16 [pageSize]. */
export function attentionScratchBytes(pageSize: i32): usize {
  return scoresBytes(pageSize) * <usize>GROUP_QUERIES + <usize>((pageSize + 7) & ~7) * 2;
}

/** Returns the bytes of the scores of one query. */
// @ts-ignore: decorator
@inline
function scoresBytes(pageSize: i32): usize {
  return <usize>((pageSize + 7) & ~7) * 4;
}

/** Largest magnitude in a 15-bit vector. A sum of MAX_PRODUCTS products with int8 fits in 32 bits. */
const Q15_MAX: f32 = 16383;
/** Maximum dimensions of a head, and maximum positions of a page. */
export const MAX_PRODUCTS: i32 = 1024;
/** A vector whose largest magnitude is below this is treated as zeros. */
const SMALLEST_AMAX: f32 = 1e-30;

/** Rounds f32 [count] to int16 [count] at `output` and returns the scale. */
function quantize15(input: usize, count: i32, output: usize): f32 {
  const amax = largestMagnitude(input, count);
  const isZero = amax < SMALLEST_AMAX;
  const inverse: f32 = isZero ? 0 : Q15_MAX / amax;
  for (let i = 0; i < count; i++) {
    store<i16>(output + <usize>i * 2, <i16>rounded(load<f32>(input + <usize>i * 4) * inverse));
  }
  return isZero ? 0 : amax / Q15_MAX;
}

/** Stores a query, already divided by sqrt(headDim), in the form that `attendPage` reads. @param head f32 [headDim] */
export function writeQuery(head: usize, headDim: i32, query: usize, format: PageFormat): void {
  if (format == PageFormat.Q8) store<f32>(query, quantize15(head, headDim, query + 16));
  else memory.copy(query, head, <usize>headDim * 4);
}

/**
 * Brings a page into the CPU cache: reads one word of every cache line of the keys and values of `count` positions, as
 * four streams of each. A single stream, and more so the short strides of the products, reaches only a part of the
 * memory's bandwidth. @param sink 4 bytes that receive the combined words, so that the reads have a use
 */
export function fetchPage(keys: usize, values: usize, headDim: i32, count: i32, format: PageFormat, sink: usize): void {
  const bytes = <usize>((count + 3) & ~3) * <usize>headDim * elementBytes(format);
  const quarter = (bytes >> 2) & ~63;
  let bits = 0;
  for (let offset: usize = 4 * quarter; offset < bytes; offset += 64) {
    bits |= load<i32>(keys + offset) | load<i32>(values + offset);
  }
  for (const end = keys + quarter; keys < end; keys += 64) {
    bits |= load<i32>(keys) | load<i32>(values);
    bits |= load<i32>(keys + quarter) | load<i32>(values + quarter);
    bits |= load<i32>(keys + 2 * quarter) | load<i32>(values + 2 * quarter);
    bits |= load<i32>(keys + 3 * quarter) | load<i32>(values + 3 * quarter);
    values += 64;
  }
  store<i32>(sink, bits);
}

/**
 * Attends to one page for up to GROUP_QUERIES queries of one kv head and writes a partial result for each.
 * f32 and bf16 pages are read once for all of them; a query's result does not depend on the other queries.
 * @param query the first query; the others follow at intervals of queryBytes, their results at partialBytes
 * @param keys, values parts of the page
 * @param count positions of the page that the queries see, at least 1
 */
export function attendPage(
  query: usize,
  numQueries: i32,
  keys: usize,
  values: usize,
  headDim: i32,
  pageSize: i32,
  count: i32,
  format: PageFormat,
  scratch: usize,
  partial: usize,
): void {
  const stride = scoresBytes(pageSize);
  const queryStride = queryBytes(headDim);
  const partialStride = partialBytes(headDim);
  if (format == PageFormat.F32) {
    scoresFloat<f32>(query, queryStride, numQueries, keys, headDim, count, scratch, stride);
  } else if (format == PageFormat.BF16) {
    scoresFloat<u16>(query, queryStride, numQueries, keys, headDim, count, scratch, stride);
  } else {
    for (let n: usize = 0; n < <usize>numQueries; n++) {
      scoresQ8(query + n * queryStride, keys, headDim, pageSize, count, scratch + n * stride);
    }
  }

  for (let n: usize = 0; n < <usize>numQueries; n++) {
    const scores = scratch + n * stride;
    const largest = largestOf(scores, count);
    store<f32>(partial + n * partialStride, largest);
    store<f32>(partial + n * partialStride, weigh(scores, count, largest), 4);
  }

  if (format == PageFormat.F32) {
    sumFloat<f32>(scratch, stride, numQueries, values, headDim, count, partial + 16, partialStride);
  } else if (format == PageFormat.BF16) {
    sumFloat<u16>(scratch, stride, numQueries, values, headDim, count, partial + 16, partialStride);
  } else {
    const codes = scratch + stride * <usize>GROUP_QUERIES;
    for (let n: usize = 0; n < <usize>numQueries; n++) {
      sumQ8(scratch + n * stride, values, headDim, pageSize, count, codes, partial + n * partialStride + 16);
    }
  }
}

/**
 * A load of 16 bytes of keys or values holds four elements, or four pairs of bfloat16 elements: of two dimensions of a
 * key, or of two positions of values. An element of each pair is multiplied by a factor of its own.
 */
// @ts-ignore: decorator
@inline
function arePairs<E>(): bool {
  return sizeof<E>() == 2;
}

/** Returns the bytes of the f32 factors of one load. */
// @ts-ignore: decorator
@inline
function factorBytes<E>(): usize {
  return arePairs<E>() ? 8 : 4;
}

// @ts-ignore: decorator
@inline
function firstElements<E>(packed: v128): v128 {
  return arePairs<E>() ? i32x4.shl(packed, 16) : packed;
}

/** Returns the second elements of pairs. */
// @ts-ignore: decorator
@inline
function secondElements(packed: v128): v128 {
  return v128.and(packed, i32x4.splat(0xffff0000));
}

// @ts-ignore: decorator
@inline
function addProduct(sums: v128, factor: v128, elements: v128): v128 {
  return f32x4.add(sums, f32x4.mul(factor, elements));
}

/** Adds the products of one load with the factors x and, if there are pairs, y. */
// @ts-ignore: decorator
@inline
function addProducts<E>(sums: v128, x: v128, y: v128, packed: v128): v128 {
  const added = addProduct(sums, x, firstElements<E>(packed));
  return arePairs<E>() ? addProduct(added, y, secondElements(packed)) : added;
}

function scoresFloat<E>(
  query: usize,
  queryStride: usize,
  numQueries: i32,
  keys: usize,
  headDim: i32,
  count: i32,
  scores: usize,
  stride: usize,
): void {
  if (ASC_FEATURE_SIMD) {
    if (numQueries == 1) scoresFloat__simd<E>(query, keys, headDim, count, scores);
    else if (numQueries == 2) groupScoresFloat__simd<E>(2, query, queryStride, keys, headDim, count, scores, stride);
    else if (numQueries == 3) groupScoresFloat__simd<E>(3, query, queryStride, keys, headDim, count, scores, stride);
    else groupScoresFloat__simd<E>(4, query, queryStride, keys, headDim, count, scores, stride);
  } else {
    for (let n: usize = 0; n < <usize>numQueries; n++) {
      scoresFloat__scalar<E>(query + n * queryStride, keys, headDim, count, scores + n * stride);
    }
  }
}

function scoresFloat__scalar<E>(query: usize, keys: usize, headDim: i32, count: i32, scores: usize): void {
  for (let p = 0; p < count; p++) {
    const key = keyOf<E>(keys, headDim, p);
    let score: f32 = 0;
    for (let d: usize = 0; d < <usize>headDim; d++) {
      score += load<f32>(query + d * 4) * loadElement<E>(key + keyDimension<E>(d));
    }
    store<f32>(scores + <usize>p * 4, score);
  }
}

/** Writes whole quads; scores past `count` are undefined. */
function scoresFloat__simd<E>(query: usize, keys: usize, headDim: i32, count: i32, scores: usize): void {
  const quadBytes = <usize>headDim * 4 * sizeof<E>();
  const queryEnd = query + <usize>headDim * 4;
  let p = 0;
  for (; p + 28 < count; p += 32) {
    let s0 = f32x4.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    let s4 = s0;
    let s5 = s0;
    let s6 = s0;
    let s7 = s0;
    let low = keys;
    let high = keys + 4 * quadBytes;
    for (let q = query; q < queryEnd; q += factorBytes<E>()) {
      const x = v128.load32_splat(q);
      const y = arePairs<E>() ? v128.load32_splat(q, 4) : x;
      s0 = addProducts<E>(s0, x, y, v128.load(low));
      s1 = addProducts<E>(s1, x, y, v128.load(low + quadBytes));
      s2 = addProducts<E>(s2, x, y, v128.load(low + 2 * quadBytes));
      s3 = addProducts<E>(s3, x, y, v128.load(low + 3 * quadBytes));
      s4 = addProducts<E>(s4, x, y, v128.load(high));
      s5 = addProducts<E>(s5, x, y, v128.load(high + quadBytes));
      s6 = addProducts<E>(s6, x, y, v128.load(high + 2 * quadBytes));
      s7 = addProducts<E>(s7, x, y, v128.load(high + 3 * quadBytes));
      low += 16;
      high += 16;
    }
    const target = scores + <usize>p * 4;
    v128.store(target, s0);
    v128.store(target, s1, 16);
    v128.store(target, s2, 32);
    v128.store(target, s3, 48);
    v128.store(target, s4, 64);
    v128.store(target, s5, 80);
    v128.store(target, s6, 96);
    v128.store(target, s7, 112);
    keys += 8 * quadBytes;
  }
  for (; p < count; p += 4) {
    let sums = f32x4.splat(0);
    let key = keys;
    for (let q = query; q < queryEnd; q += factorBytes<E>()) {
      const x = v128.load32_splat(q);
      const y = arePairs<E>() ? v128.load32_splat(q, 4) : x;
      sums = addProducts<E>(sums, x, y, v128.load(key));
      key += 16;
    }
    v128.store(scores + <usize>p * 4, sums);
    keys += quadBytes;
  }
}

/**
 * Handles two to four queries and two vectors of elements at a time: those of two quads or, so that all sums stay in
 * registers, the pairs of one quad. Writes whole quads.
 */
// @ts-ignore: decorator
@inline
function groupScoresFloat__simd<E>(
  numQueries: i32,
  query: usize,
  queryStride: usize,
  keys: usize,
  headDim: i32,
  count: i32,
  scores: usize,
  stride: usize,
): void {
  const quadBytes = <usize>headDim * 4 * sizeof<E>();
  const numQuads: usize = arePairs<E>() ? 1 : 2;
  for (let p: usize = 0; p < <usize>count; p += 4 * numQuads) {
    // The second quad may be past the last position; then the first quad is read again in its place.
    const next = !arePairs<E>() && p + 4 < <usize>count ? quadBytes : 0;
    let s00 = f32x4.splat(0);
    let s01 = s00;
    let s10 = s00;
    let s11 = s00;
    let s20 = s00;
    let s21 = s00;
    let s30 = s00;
    let s31 = s00;
    let x = query;
    const end = keys + quadBytes;
    for (let key = keys; key < end; key += 16) {
      const packed = v128.load(key);
      const k0 = firstElements<E>(packed);
      const k1 = arePairs<E>() ? secondElements(packed) : v128.load(key + next);
      const x0 = v128.load32_splat(x);
      s00 = addProduct(s00, x0, k0);
      if (arePairs<E>()) s00 = addProduct(s00, v128.load32_splat(x, 4), k1);
      else s01 = addProduct(s01, x0, k1);
      const x1 = v128.load32_splat(x + queryStride);
      s10 = addProduct(s10, x1, k0);
      if (arePairs<E>()) s10 = addProduct(s10, v128.load32_splat(x + queryStride, 4), k1);
      else s11 = addProduct(s11, x1, k1);
      if (numQueries > 2) {
        const x2 = v128.load32_splat(x + 2 * queryStride);
        s20 = addProduct(s20, x2, k0);
        if (arePairs<E>()) s20 = addProduct(s20, v128.load32_splat(x + 2 * queryStride, 4), k1);
        else s21 = addProduct(s21, x2, k1);
      }
      if (numQueries > 3) {
        const x3 = v128.load32_splat(x + 3 * queryStride);
        s30 = addProduct(s30, x3, k0);
        if (arePairs<E>()) s30 = addProduct(s30, v128.load32_splat(x + 3 * queryStride, 4), k1);
        else s31 = addProduct(s31, x3, k1);
      }
      x += factorBytes<E>();
    }
    const target = scores + p * 4;
    const areTwo = next != 0;
    storeVectors(target, s00, s01, areTwo);
    storeVectors(target + stride, s10, s11, areTwo);
    if (numQueries > 2) storeVectors(target + 2 * stride, s20, s21, areTwo);
    if (numQueries > 3) storeVectors(target + 3 * stride, s30, s31, areTwo);
    keys += numQuads * quadBytes;
  }
}

// @ts-ignore: decorator
@inline
function storeVectors(target: usize, first: v128, second: v128, areTwo: bool): void {
  v128.store(target, first);
  if (areTwo) v128.store(target, second, 16);
}

/** Computes score = integer dot product * (scale of the query * scale of the key). */
function scoresQ8(query: usize, keys: usize, headDim: i32, pageSize: i32, count: i32, scores: usize): void {
  const queryScale = load<f32>(query);
  const scales = keys + <usize>pageSize * <usize>headDim;
  const pairs = headDim / 2;
  const quadBytes = <usize>headDim * 4;
  if (ASC_FEATURE_SIMD) {
    const queryScales = f32x4.splat(queryScale);
    for (let p = 0; p < count; p += 4) {
      let dots = i32x4.splat(0);
      let others = dots;
      let q = query + 16;
      let key = keys;
      for (let pair = 0; pair + 2 <= pairs; pair += 2) {
        dots = i32x4.add(dots, i32x4.dot_i16x8_s(v128.load8x8_s(key), v128.load32_splat(q)));
        others = i32x4.add(others, i32x4.dot_i16x8_s(v128.load8x8_s(key, 8), v128.load32_splat(q, 4)));
        q += 8;
        key += 16;
      }
      if ((pairs & 1) != 0) dots = i32x4.add(dots, i32x4.dot_i16x8_s(v128.load8x8_s(key), v128.load32_splat(q)));
      const scale = f32x4.mul(queryScales, v128.load(scales + <usize>p * 4));
      v128.store(scores + <usize>p * 4, f32x4.mul(f32x4.convert_i32x4_s(i32x4.add(dots, others)), scale));
      keys += quadBytes;
    }
  } else {
    for (let p = 0; p < count; p++) {
      const key = keys + <usize>(p >> 2) * quadBytes + <usize>(p & 3) * 2;
      let dot = 0;
      for (let d: usize = 0; d < <usize>headDim; d++) {
        dot += <i32>load<i16>(query + 16 + d * 2) * <i32>load<i8>(key + (d >> 1) * 8 + (d & 1));
      }
      store<f32>(scores + <usize>p * 4, <f32>dot * (queryScale * load<f32>(scales + <usize>p * 4)));
    }
  }
}

function largestOf(scores: usize, count: i32): f32 {
  let largest = load<f32>(scores);
  let p = 1;
  if (ASC_FEATURE_SIMD) {
    if (count >= 4) {
      let maxima = v128.load(scores);
      for (p = 4; p + 4 <= count; p += 4) maxima = f32x4.max(maxima, v128.load(scores + <usize>p * 4));
      largest = max<f32>(
        max<f32>(f32x4.extract_lane(maxima, 0), f32x4.extract_lane(maxima, 1)),
        max<f32>(f32x4.extract_lane(maxima, 2), f32x4.extract_lane(maxima, 3)),
      );
    }
  }
  for (; p < count; p++) largest = max<f32>(largest, load<f32>(scores + <usize>p * 4));
  return largest;
}

/** Converts scores to weights, in place, and returns their sum. */
function weigh(scores: usize, count: i32, largest: f32): f32 {
  let l0: f32 = 0;
  let l1: f32 = 0;
  let l2: f32 = 0;
  let l3: f32 = 0;
  let p = 0;
  if (ASC_FEATURE_SIMD) {
    const shift = f32x4.splat(largest);
    let sums = f32x4.splat(0);
    for (; p + 4 <= count; p += 4) {
      const weights = exp__simd(f32x4.sub(v128.load(scores + <usize>p * 4), shift));
      v128.store(scores + <usize>p * 4, weights);
      sums = f32x4.add(sums, weights);
    }
    l0 = f32x4.extract_lane(sums, 0);
    l1 = f32x4.extract_lane(sums, 1);
    l2 = f32x4.extract_lane(sums, 2);
    l3 = f32x4.extract_lane(sums, 3);
  } else {
    for (; p + 4 <= count; p += 4) {
      l0 += weighOne(scores + <usize>p * 4, largest);
      l1 += weighOne(scores + <usize>p * 4 + 4, largest);
      l2 += weighOne(scores + <usize>p * 4 + 8, largest);
      l3 += weighOne(scores + <usize>p * 4 + 12, largest);
    }
  }
  if (p < count) l0 += weighOne(scores + <usize>p * 4, largest);
  if (p + 1 < count) l1 += weighOne(scores + <usize>p * 4 + 4, largest);
  if (p + 2 < count) l2 += weighOne(scores + <usize>p * 4 + 8, largest);
  return l0 + l1 + (l2 + l3);
}

function weighOne(score: usize, largest: f32): f32 {
  const weight = exp(load<f32>(score) - largest);
  store<f32>(score, weight);
  return weight;
}

function sumFloat<E>(
  weights: usize,
  stride: usize,
  numQueries: i32,
  values: usize,
  headDim: i32,
  count: i32,
  output: usize,
  outputStride: usize,
): void {
  if (ASC_FEATURE_SIMD && (headDim & 7) == 0 && numQueries > 1) {
    if (numQueries == 2) groupSumFloat__simd<E>(2, weights, stride, values, headDim, count, output, outputStride);
    else if (numQueries == 3) groupSumFloat__simd<E>(3, weights, stride, values, headDim, count, output, outputStride);
    else groupSumFloat__simd<E>(4, weights, stride, values, headDim, count, output, outputStride);
    return;
  }
  for (let n: usize = 0; n < <usize>numQueries; n++) {
    if (ASC_FEATURE_SIMD) sumFloat__simd<E>(weights + n * stride, values, headDim, count, output + n * outputStride);
    else sumFloat__scalar<E>(weights + n * stride, values, headDim, 0, count, output + n * outputStride);
  }
}

/**
 * Handles two to four queries and two vectors of elements at a time: those of eight dimensions, or the pairs of four.
 * @param headDim a multiple of 8
 */
// @ts-ignore: decorator
@inline
function groupSumFloat__simd<E>(
  numQueries: i32,
  weights: usize,
  stride: usize,
  values: usize,
  headDim: i32,
  count: i32,
  output: usize,
  outputStride: usize,
): void {
  // A row of memory is one position, or two whose elements are pairs.
  const rowBytes = <usize>headDim * 4;
  const weightsEnd = weights + wholeLoads<E>(count) * 4;
  const stepBytes: usize = arePairs<E>() ? 16 : 32;
  for (let offset: usize = 0; offset < rowBytes; offset += stepBytes) {
    let s00 = f32x4.splat(0);
    let s01 = s00;
    let s10 = s00;
    let s11 = s00;
    let s20 = s00;
    let s21 = s00;
    let s30 = s00;
    let s31 = s00;
    let value = values + offset;
    for (let w = weights; w < weightsEnd; w += factorBytes<E>()) {
      const packed = v128.load(value);
      const v0 = firstElements<E>(packed);
      const v1 = arePairs<E>() ? secondElements(packed) : v128.load(value, 16);
      const x0 = v128.load32_splat(w);
      s00 = addProduct(s00, x0, v0);
      if (arePairs<E>()) s00 = addProduct(s00, v128.load32_splat(w, 4), v1);
      else s01 = addProduct(s01, x0, v1);
      const x1 = v128.load32_splat(w + stride);
      s10 = addProduct(s10, x1, v0);
      if (arePairs<E>()) s10 = addProduct(s10, v128.load32_splat(w + stride, 4), v1);
      else s11 = addProduct(s11, x1, v1);
      if (numQueries > 2) {
        const x2 = v128.load32_splat(w + 2 * stride);
        s20 = addProduct(s20, x2, v0);
        if (arePairs<E>()) s20 = addProduct(s20, v128.load32_splat(w + 2 * stride, 4), v1);
        else s21 = addProduct(s21, x2, v1);
      }
      if (numQueries > 3) {
        const x3 = v128.load32_splat(w + 3 * stride);
        s30 = addProduct(s30, x3, v0);
        if (arePairs<E>()) s30 = addProduct(s30, v128.load32_splat(w + 3 * stride, 4), v1);
        else s31 = addProduct(s31, x3, v1);
      }
      value += rowBytes;
    }
    const target = output + offset;
    const areTwo = !arePairs<E>();
    storeVectors(target, s00, s01, areTwo);
    storeVectors(target + outputStride, s10, s11, areTwo);
    if (numQueries > 2) storeVectors(target + 2 * outputStride, s20, s21, areTwo);
    if (numQueries > 3) storeVectors(target + 3 * outputStride, s30, s31, areTwo);
  }
  for (let n: usize = 0; n < <usize>numQueries; n++) {
    addLastOfPairs<E>(weights + n * stride, values, headDim, headDim, count, output + n * outputStride);
  }
}

/** Returns the number of positions in loads that `count` positions fill; one position without a pair may remain. */
// @ts-ignore: decorator
@inline
function wholeLoads<E>(count: i32): usize {
  return <usize>(arePairs<E>() ? count & ~1 : count);
}

/**
 * Adds the last position of an odd count. The other element of its pair may be the bits of NaN, and so has no part in
 * any product. @param numDims dimensions of `output` to add to, a multiple of 4
 */
// @ts-ignore: decorator
@inline
function addLastOfPairs<E>(weights: usize, values: usize, headDim: i32, numDims: i32, count: i32, output: usize): void {
  if (!arePairs<E>() || (count & 1) == 0) return;
  const x = v128.load32_splat(weights + <usize>(count - 1) * 4);
  const value = valueOf<E>(values, headDim, count - 1);
  for (let offset: usize = 0; offset < <usize>numDims * 4; offset += 16) {
    const product = f32x4.mul(x, firstElements<E>(v128.load(value + offset)));
    v128.store(output + offset, f32x4.add(v128.load(output + offset), product));
  }
}

/** Sums dimensions `first` to headDim - 1. */
function sumFloat__scalar<E>(weights: usize, values: usize, headDim: i32, first: i32, count: i32, output: usize): void {
  for (let d = first; d < headDim; d++) {
    let sum: f32 = 0;
    for (let p = 0; p < count; p++) {
      sum += load<f32>(weights + <usize>p * 4) * loadElement<E>(valueOf<E>(values, headDim, p) + <usize>d * 4);
    }
    store<f32>(output + <usize>d * 4, sum);
  }
}

function sumFloat__simd<E>(weights: usize, values: usize, headDim: i32, count: i32, output: usize): void {
  // A row of memory is one position, or two whose elements are pairs.
  const rowBytes = <usize>headDim * 4;
  const weightsEnd = weights + wholeLoads<E>(count) * 4;
  let d = 0;
  for (; d + 32 <= headDim; d += 32) {
    let s0 = f32x4.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    let s4 = s0;
    let s5 = s0;
    let s6 = s0;
    let s7 = s0;
    let value = values + <usize>d * 4;
    for (let w = weights; w < weightsEnd; w += factorBytes<E>()) {
      const x = v128.load32_splat(w);
      const y = arePairs<E>() ? v128.load32_splat(w, 4) : x;
      s0 = addProducts<E>(s0, x, y, v128.load(value));
      s1 = addProducts<E>(s1, x, y, v128.load(value, 16));
      s2 = addProducts<E>(s2, x, y, v128.load(value, 32));
      s3 = addProducts<E>(s3, x, y, v128.load(value, 48));
      s4 = addProducts<E>(s4, x, y, v128.load(value, 64));
      s5 = addProducts<E>(s5, x, y, v128.load(value, 80));
      s6 = addProducts<E>(s6, x, y, v128.load(value, 96));
      s7 = addProducts<E>(s7, x, y, v128.load(value, 112));
      value += rowBytes;
    }
    const target = output + <usize>d * 4;
    v128.store(target, s0);
    v128.store(target, s1, 16);
    v128.store(target, s2, 32);
    v128.store(target, s3, 48);
    v128.store(target, s4, 64);
    v128.store(target, s5, 80);
    v128.store(target, s6, 96);
    v128.store(target, s7, 112);
  }
  for (; d + 4 <= headDim; d += 4) {
    let sums = f32x4.splat(0);
    let value = values + <usize>d * 4;
    for (let w = weights; w < weightsEnd; w += factorBytes<E>()) {
      const x = v128.load32_splat(w);
      const y = arePairs<E>() ? v128.load32_splat(w, 4) : x;
      sums = addProducts<E>(sums, x, y, v128.load(value));
      value += rowBytes;
    }
    v128.store(output + <usize>d * 4, sums);
  }
  addLastOfPairs<E>(weights, values, headDim, d, count, output);
  sumFloat__scalar<E>(weights, values, headDim, d, count, output);
}

/**
 * Scales the weights, rounds them and adds a zero if their count is odd; the value that pairs with the zero
 * may hold any bytes. @param codes memory for int16 [pageSize]
 */
function sumQ8(weights: usize, values: usize, headDim: i32, pageSize: i32, count: i32, codes: usize, output: usize): void {
  const scales = values + <usize>pageSize * <usize>headDim;
  for (let p = 0; p < count; p++) {
    const weight = weights + <usize>p * 4;
    store<f32>(weight, load<f32>(weight) * load<f32>(scales + <usize>p * 4));
  }
  const scale = quantize15(weights, count, codes);
  if ((count & 1) != 0) store<i16>(codes + <usize>count * 2, 0);
  const pairs = (count + 1) / 2;
  const pairBytes = <usize>headDim * 2;
  let d = 0;
  if (ASC_FEATURE_SIMD) {
    const scaleVector = f32x4.splat(scale);
    for (; d + 8 <= headDim; d += 8) {
      let low = i32x4.splat(0);
      let high = low;
      let value = values + <usize>d * 2;
      let code = codes;
      for (let pair = 0; pair < pairs; pair++) {
        const x = v128.load32_splat(code);
        low = i32x4.add(low, i32x4.dot_i16x8_s(v128.load8x8_s(value), x));
        high = i32x4.add(high, i32x4.dot_i16x8_s(v128.load8x8_s(value, 8), x));
        value += pairBytes;
        code += 4;
      }
      v128.store(output + <usize>d * 4, f32x4.mul(f32x4.convert_i32x4_s(low), scaleVector));
      v128.store(output + <usize>d * 4, f32x4.mul(f32x4.convert_i32x4_s(high), scaleVector), 16);
    }
  }
  for (; d < headDim; d++) {
    let sum = 0;
    let value = values + <usize>d * 2;
    for (let pair = 0; pair < pairs; pair++) {
      const code = codes + <usize>pair * 4;
      sum += <i32>load<i16>(code) * <i32>load<i8>(value) + <i32>load<i16>(code, 2) * <i32>load<i8>(value, 1);
      value += pairBytes;
    }
    store<f32>(output + <usize>d * 4, <f32>sum * scale);
  }
}

/** Merges the next page's partial result into `merged`, which is a partial result too. */
export function mergePartial(merged: usize, partial: usize, headDim: i32): void {
  const m = load<f32>(merged);
  const largest = max<f32>(m, load<f32>(partial));
  const a = exp(m - largest);
  const b = exp(load<f32>(partial) - largest);
  store<f32>(merged, largest);
  store<f32>(merged, load<f32>(merged, 4) * a + load<f32>(partial, 4) * b, 4);
  const target = merged + 16;
  const source = partial + 16;
  let d = 0;
  if (ASC_FEATURE_SIMD) {
    const as = f32x4.splat(a);
    const bs = f32x4.splat(b);
    for (; d + 4 <= headDim; d += 4) {
      const offset = <usize>d * 4;
      const old = f32x4.mul(v128.load(target + offset), as);
      v128.store(target + offset, f32x4.add(old, f32x4.mul(v128.load(source + offset), bs)));
    }
  }
  for (; d < headDim; d++) {
    const offset = <usize>d * 4;
    store<f32>(target + offset, load<f32>(target + offset) * a + load<f32>(source + offset) * b);
  }
}

/** Computes the result of attention from the merged pages. @param output f32 [headDim] */
export function finishAttention(merged: usize, headDim: i32, output: usize): void {
  scaleBy(merged + 16, <f32>1 / load<f32>(merged, 4), headDim, output);
}
