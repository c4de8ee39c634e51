/**
 * Samples one token from one row of logits, in the order that section 3 of the contract defines:
 *
 *   0 checks, and the log-probabilities of the raw row if they are requested (section 4)
 *   1 grammar: tokens that are not allowed are removed (in a copy; the row itself does not change)
 *   2 logit_bias           3 repetition_penalty, frequency_penalty, presence_penalty
 *   4 temperature (0: the largest logit, lowest id on a tie)
 *   5 top_k                6 top_p                7 min_p                8 draw
 *   9 the log-probabilities of the kept tokens if they are requested
 *
 * Steps 5 to 7 each keep a prefix of the row in descending order, so the last kept token describes all
 * kept tokens. There are two methods: short lists are sorted and walked; cumulative.ts handles all
 * other rows.
 */

import { Goal, bucketScale, dealWeights, foundWeight, locate, totalWeight, weightOf } from "./cumulative";
import { LOG2_E, exp2, log } from "./math";
import { MAX_SORT, ascending, fromAscending, keepUpTo, rankLogit, rankOf, rankToken, selectRank, sortRanks } from "./ranking";
import {
  BLOCK,
  copyAllowed,
  copyUpTo,
  findFirst,
  gatherAtLeast,
  largestOf,
  maximumOf,
  numBlocks,
  scanMaxima,
  sumWeights,
} from "./scan";

/** Result of a draw. */
export const enum Status {
  Ok,
  /** The row holds NaN. */
  NotANumber,
  /** The row holds +Infinity or no finite value. */
  NotFinite,
  /** The grammar leaves no token. */
  NothingAllowed,
  /** An adjustment names a token outside the vocabulary. */
  TokenOutOfRange,
}

/** Requested kind of log-probabilities. */
export const enum Logprobs {
  None,
  /** Log-softmax of the row as given. */
  Raw,
  /**
   * Log-softmax, after the temperature, of the tokens kept by step 7. Greedy decoding skips steps 5 to 7 and has no
   * temperature to divide by, so it uses the log-softmax of the row after step 3 (as in vLLM).
   */
  Processed,
}

/** Written by the host. */
@unmanaged
export class Request {
  temperature: f64;
  /** 1 keeps every token. */
  topP: f64;
  /** 0 keeps every token. */
  minP: f64;
  /** [0, 1) */
  uniform: f64;
  repetition: f64;
  frequency: f64;
  presence: f64;
  /** >= 1 */
  vocabSize: i32;
  /** 1..vocabSize; vocabSize keeps every token. */
  topK: i32;
  logprobs: Logprobs;
  numTop: i32;
  numAdjusted: i32;
  /** f32 [vocabSize] */
  logits: usize;
  /** u32 [ceil(vocabSize / 32)], or 0 if there is no grammar. */
  allowed: usize;
  /** i32 [numAdjusted], distinct */
  tokenIds: usize;
  /** f64 [numAdjusted] */
  biases: usize;
  /** i32 [numAdjusted] */
  counts: usize;
  /** u8 [numAdjusted] */
  seen: usize;
  /** sample_scratch(vocabSize) bytes, 16-byte aligned */
  scratch: usize;
  /** i32 [numTop] and f32 [numTop]: memory for the alternatives of the answer. */
  topTokens: usize;
  topLogprobs: usize;
}

/** Read by the host. All fields but the status are valid only if the status is Ok. */
@unmanaged
export class Answer {
  status: Status;
  tokenId: i32;
  /** Valid only if log-probabilities are requested. */
  logprob: f32;
  /** Number of alternatives: the requested numTop, or the number of tokens in the row (or kept) if that is smaller. */
  numTop: i32;
}
const ANSWER = changetype<Answer>(memory.data(offsetof<Answer>(), 16));

/** f64 [MAX_SORT]: weights of a sorted list. */
const WEIGHTS: usize = memory.data(MAX_SORT * 8, 16);

/**
 * f64: total weight of the tokens that steps 5 to 7 keep. u64: rank of the last of them, or any rank between it and the
 * first removed token.
 */
const KEPT: usize = memory.data(16, 8);

function noteKept(weight: f64, last: u64): void {
  store<f64>(KEPT, weight);
  store<u64>(KEPT, last, 8);
}

// Scratch, in this order: the working row, the list of ranks, the original values of the adjusted logits, the largest
// logit of each block, and the ranks of the blocks.
// @ts-ignore: decorator
@inline
function padded(n: i32): usize {
  return (<usize>n + 15) & ~15;
}
function listAt(scratch: usize, n: i32): usize {
  return scratch + padded(n) * 4;
}
function originalsAt(scratch: usize, n: i32): usize {
  return listAt(scratch, n) + padded(n) * 8;
}
function maximaAt(scratch: usize, n: i32): usize {
  return originalsAt(scratch, n) + padded(n) * 4;
}
function blockRanksAt(scratch: usize, n: i32): usize {
  return maximaAt(scratch, n) + padded(numBlocks(n)) * 4;
}

/** Returns the bytes of scratch for a vocabulary of n tokens. */
export function sample_scratch(n: i32): usize {
  return blockRanksAt(0, n) + padded(numBlocks(n)) * 8;
}

/** Draws a token. The answer is valid until the next draw. The row of logits is unchanged afterwards. */
export function sample(request: Request): Answer {
  ANSWER.status = draw(request);
  return ANSWER;
}

function draw(request: Request): Status {
  const row = request.logits;
  const n = request.vocabSize;
  const scratch = request.scratch;
  const maxima = maximaAt(scratch, n);

  const rawLargest = scanMaxima(row, n, maxima);
  if (isNaN(rawLargest)) return Status.NotANumber;
  if (!isFinite(rawLargest)) return Status.NotFinite;
  for (let i = 0; i < request.numAdjusted; i++) {
    if (load<u32>(request.tokenIds + <usize>i * 4) >= <u32>n) return Status.TokenOutOfRange;
  }

  let logTotal: f64 = 0;
  if (request.logprobs == Logprobs.Raw) {
    logTotal = log(sumWeights(row, n, rawLargest, LOG2_E));
    findTop(request, row);
    writeTop(request, rawLargest, 1, logTotal, u64.MAX_VALUE);
  }

  let work = row;
  if (request.allowed != 0) {
    work = scratch;
    copyAllowed(row, n, request.allowed, work);
    adjust(request, work);
    scanMaxima(work, n, maxima);
  } else if (request.numAdjusted > 0) {
    adjust(request, work);
    updateMaxima(request, work, maxima);
  }

  const largest = largestOf(maxima, numBlocks(n));
  const status = largest == -Infinity ? Status.NothingAllowed : Status.Ok;
  if (status == Status.Ok) {
    // `choose` may remove tokens from the working row (top_k), so the alternatives are found first.
    if (request.logprobs == Logprobs.Processed) findTop(request, work);
    ANSWER.tokenId = choose(request, work, largest);
    if (request.logprobs == Logprobs.Processed) writeProcessed(request, work, largest);
  }

  if (work == row) restore(request, row);
  if (request.logprobs == Logprobs.Raw && status == Status.Ok) {
    ANSWER.logprob = logprobOf(load<f32>(row + <usize>ANSWER.tokenId * 4), rawLargest, 1, logTotal);
  }
  return status;
}

/** Runs steps 4 to 8 and returns the token id. */
function choose(request: Request, work: usize, largest: f32): i32 {
  const n = request.vocabSize;
  const scratch = request.scratch;
  const maxima = maximaAt(scratch, n);
  const list = listAt(scratch, n);
  if (request.temperature == 0) return findFirst(work, n, maxima, largest);

  // Larger factors change nothing (every weight but the largest is 0 already) and could overflow.
  const factor = min(LOG2_E / request.temperature, 1e300);
  if (request.topK < n) {
    if (request.topK <= min(MAX_SORT, numBlocks(n))) {
      const count = selectTop(work, n, maxima, request.topK, list, blockRanksAt(scratch, n));
      return drawFromList(request, list, count, largest, factor);
    }
    const count = gatherAtLeast(work, 0, n, -Infinity, list, 0);
    if (request.topK < count) {
      const last = selectRank(list, count, request.topK);
      copyUpTo(work, n, last, scratch);
      return drawFromRow(request, scratch, last, largest, factor);
    }
  } else if (request.topP >= 1 && request.minP > 0) {
    const count = gatherWeighty(work, n, maxima, minPThreshold(request.minP, largest, factor), list);
    if (count <= MAX_SORT) {
      sortRanks(list, count);
      return drawFromList(request, list, count, largest, factor);
    }
  }
  return drawFromRow(request, work, u64.MAX_VALUE, largest, factor);
}

/** Runs steps 6 to 8 on sorted ranks, u64 [count]. 1 <= count <= MAX_SORT */
function drawFromList(request: Request, list: usize, count: i32, largest: f32, factor: f64): i32 {
  let total: f64 = 0;
  for (let i: usize = 0; i < <usize>count; i++) {
    const weight = weightOf(load<u64>(list + i * 8), largest, factor);
    store<f64>(WEIGHTS + i * 8, weight);
    total += weight;
  }
  const target = request.topP < 1 ? request.topP * total : Infinity;
  let kept = 0;
  let keptWeight: f64 = 0;
  while (kept < count) {
    const weight = load<f64>(WEIGHTS + <usize>kept * 8);
    if (kept > 0 && (keptWeight >= target || weight < request.minP)) break;
    keptWeight += weight;
    kept++;
  }
  noteKept(keptWeight, load<u64>(list + <usize>(kept - 1) * 8));
  const threshold = request.uniform * keptWeight;
  let cumulative: f64 = 0;
  for (let i = 0; i < kept; i++) {
    cumulative += load<f64>(WEIGHTS + <usize>i * 8);
    if (cumulative > threshold) return rankToken(load<u64>(list + <usize>i * 8));
  }
  return rankToken(load<u64>(list + <usize>(kept - 1) * 8));
}

/** Runs steps 6 to 8 on a row of any length. @param end a rank that no token of the row exceeds */
function drawFromRow(request: Request, row: usize, end: u64, largest: f32, factor: f64): i32 {
  const n = request.vocabSize;
  const list = listAt(request.scratch, n);
  const scale = bucketScale(row, n, largest, request.temperature);
  dealWeights(row, n, largest, factor, scale);

  let last = u64.MAX_VALUE;
  let keptWeight = totalWeight();
  if (request.topP < 1) {
    last = locate(row, n, largest, factor, scale, Goal.Reaches, request.topP * keptWeight, 0, list);
    keptWeight = foundWeight();
  }
  if (request.minP > 0) {
    const weighty = rankOf(minPThreshold(request.minP, largest, factor), -1);
    if (weighty < last) {
      last = weighty;
      locate(row, n, largest, factor, scale, Goal.UpTo, 0, last, list);
      keptWeight = foundWeight();
    }
  }
  noteKept(keptWeight, min(last, end));
  const drawn = locate(row, n, largest, factor, scale, Goal.Exceeds, request.uniform * keptWeight, 0, list);
  return rankToken(drawn <= last ? drawn : lastKept(row, n, last));
}

/** Returns the rank of the last token up to `last`. Used when rounding carries a draw past the kept tokens. */
function lastKept(row: usize, n: i32, last: u64): u64 {
  let found: u64 = 0;
  for (let i = 0; i < n; i++) {
    const rank = rankOf(load<f32>(row + <usize>i * 4), i);
    if (rank <= last && rank > found) found = rank;
  }
  return found;
}

/** Returns the smallest logit whose weight is at least `minP`, found by bisection over the 2^32 floats. */
function minPThreshold(minP: f64, largest: f32, factor: f64): f32 {
  let below = ascending(-f32.MAX_VALUE) - 1;
  let enough = ascending(largest);
  while (enough - below > 1) {
    const middle = below + (enough - below) / 2;
    const weight = exp2((<f64>fromAscending(middle) - <f64>largest) * factor);
    if (weight >= minP) enough = middle;
    else below = middle;
  }
  return fromAscending(enough);
}

/**
 * Lists the first k tokens of the row in order of rank and returns their number, which is below k if fewer
 * tokens are left. Only the k blocks with the largest maxima can hold them, because these maxima are k tokens.
 * @param k 1..MAX_SORT @param list u64 [n] @param blockRanks u64 [numBlocks(n)]
 */
function selectTop(row: usize, n: i32, maxima: usize, k: i32, list: usize, blockRanks: usize): i32 {
  const blocks = numBlocks(n);
  for (let b = 0; b < blocks; b++) {
    store<u64>(blockRanks + <usize>b * 8, rankOf(load<f32>(maxima + <usize>b * 4), b));
  }
  let last = u64.MAX_VALUE;
  let threshold: f32 = -Infinity;
  if (k < blocks) {
    last = selectRank(blockRanks, blocks, k);
    threshold = rankLogit(last);
  }
  let count = 0;
  for (let b = 0; b < blocks; b++) {
    if (load<u64>(blockRanks + <usize>b * 8) > last) continue;
    count = gatherAtLeast(row, b * BLOCK, min(BLOCK, n - b * BLOCK), threshold, list, count);
  }
  if (count > MAX_SORT) count = keepUpTo(list, count, selectRank(list, count, min(k, count)));
  sortRanks(list, count);
  return min(k, count);
}

/** Lists the tokens with a logit of at least `threshold` and returns their number; stops soon after MAX_SORT tokens. */
function gatherWeighty(row: usize, n: i32, maxima: usize, threshold: f32, list: usize): i32 {
  let count = 0;
  for (let first = 0; first < n && count <= MAX_SORT; first += BLOCK) {
    if (load<f32>(maxima + <usize>(first / BLOCK) * 4) < threshold) continue;
    count = gatherAtLeast(row, first, min(BLOCK, n - first), threshold, list, count);
  }
  return count;
}

/** Applies steps 2 and 3 to the adjusted tokens, in float64 and rounded once. Saves the original logits. */
function adjust(request: Request, row: usize): void {
  const originals = originalsAt(request.scratch, request.vocabSize);
  for (let i: usize = 0; i < <usize>request.numAdjusted; i++) {
    const slot = row + load<usize>(request.tokenIds + i * 4) * 4;
    const original = load<f32>(slot);
    store<f32>(originals + i * 4, original);
    if (request.allowed != 0 && !isAllowed(request, load<u32>(request.tokenIds + i * 4))) continue;

    let z = <f64>original + load<f64>(request.biases + i * 8);
    if (load<u8>(request.seen + i) != 0) z = z > 0 ? z / request.repetition : z * request.repetition;
    const count = load<i32>(request.counts + i * 4);
    if (count > 0) {
      z -= request.frequency * <f64>count;
      z -= request.presence;
    }
    const limit = <f64>f32.MAX_VALUE;
    store<f32>(slot, <f32>min(max(z, -limit), limit));
  }
}

function isAllowed(request: Request, tokenId: u32): bool {
  return ((load<u32>(request.allowed + <usize>(tokenId >> 5) * 4) >> (tokenId & 31)) & 1) != 0;
}

/** Updates the maxima of the blocks that hold adjusted tokens. */
function updateMaxima(request: Request, row: usize, maxima: usize): void {
  const n = request.vocabSize;
  const originals = originalsAt(request.scratch, n);
  for (let i: usize = 0; i < <usize>request.numAdjusted; i++) {
    const tokenId = load<i32>(request.tokenIds + i * 4);
    const first = tokenId - (tokenId % BLOCK);
    const slot = maxima + <usize>(first / BLOCK) * 4;
    const logit = load<f32>(row + <usize>tokenId * 4);
    if (logit >= load<f32>(slot)) {
      store<f32>(slot, logit);
    } else if (load<f32>(originals + i * 4) == load<f32>(slot)) {
      store<f32>(slot, maximumOf(row + <usize>first * 4, min(BLOCK, n - first)));
    }
  }
}

/** Undoes `adjust` in reverse order, so that a token listed twice gets its original logit back. */
function restore(request: Request, row: usize): void {
  const originals = originalsAt(request.scratch, request.vocabSize);
  for (let i = request.numAdjusted - 1; i >= 0; i--) {
    const tokenId = load<usize>(request.tokenIds + <usize>i * 4);
    store<f32>(row + tokenId * 4, load<f32>(originals + <usize>i * 4));
  }
}

/**
 * Returns the log-softmax of one logit, rounded to f32. Overflow is clamped to the finite range, because JSON has no
 * infinity, and adding 0 turns -0 into 0.
 */
function logprobOf(logit: f32, largest: f32, temperature: f64, logTotal: f64): f32 {
  const logprob = (<f64>logit - <f64>largest) / temperature - logTotal;
  return <f32>max(logprob, -(<f64>f32.MAX_VALUE)) + <f32>0;
}

/** Finds the `numTop` largest logits of the row. Stores them where `writeTop` will store their log-probabilities. */
function findTop(request: Request, row: usize): void {
  const n = request.vocabSize;
  const scratch = request.scratch;
  const list = listAt(scratch, n);
  const k = min(request.numTop, n);
  const count = k == 0 ? 0 : selectTop(row, n, maximaAt(scratch, n), k, list, blockRanksAt(scratch, n));
  ANSWER.numTop = count;
  for (let i: usize = 0; i < <usize>count; i++) {
    const rank = load<u64>(list + i * 8);
    store<i32>(request.topTokens + i * 4, rankToken(rank));
    store<f32>(request.topLogprobs + i * 4, rankLogit(rank));
  }
}

/** Converts the logits that `findTop` stored to log-probabilities; leaves out tokens whose rank exceeds `last`. */
function writeTop(request: Request, largest: f32, temperature: f64, logTotal: f64, last: u64): void {
  let count: usize = 0;
  for (; count < <usize>ANSWER.numTop; count++) {
    const slot = request.topLogprobs + count * 4;
    const logit = load<f32>(slot);
    if (rankOf(logit, load<i32>(request.topTokens + count * 4)) > last) break;
    store<f32>(slot, logprobOf(logit, largest, temperature, logTotal));
  }
  ANSWER.numTop = <i32>count;
}

/** Runs step 9. @param row the row from which the token was drawn */
function writeProcessed(request: Request, row: usize, largest: f32): void {
  const isGreedy = request.temperature == 0;
  const temperature = isGreedy ? 1 : request.temperature;
  const logTotal = log(isGreedy ? sumWeights(row, request.vocabSize, largest, LOG2_E) : load<f64>(KEPT));
  const drawn = load<f32>(row + <usize>ANSWER.tokenId * 4);
  ANSWER.logprob = logprobOf(drawn, largest, temperature, logTotal);
  writeTop(request, largest, temperature, logTotal, isGreedy ? u64.MAX_VALUE : load<u64>(KEPT, 8));
}
