/**
 * The job that runs rows of tokens through the decoder. A row is one token of one sequence; all rows of a
 * pass share each read of the weights. A layer consists of these phases:
 *
 *   norm + prepare        units: rows                (few rows: every thread does all rows, no phase)
 *   qkv                   units: heads               bias, head norm, rotation; keys and values into pages
 *   attention             units: row x kv head       few rows: row x kv head x page, merged afterwards
 *   prepare               units: rows                (few rows: as above)
 *   output + residual     units: groups of weight rows (one row: from each quarter of the matrix)
 *   norm + prepare        units: rows                (few rows: as above)
 *   gate, up, SwiGLU      units: blocks of 32 columns (one row: two blocks), prepared for the next product
 *   down + residual       units: as for output
 *
 * A row's result does not depend on the number of rows or on which thread computes it.
 */

import {
  GROUP_QUERIES,
  attendPage,
  attentionScratchBytes,
  fetchPage,
  finishAttention,
  mergePartial,
  partialBytes,
  queryBytes,
  writeQuery,
} from "./attention";
import { BLOCK } from "./activations";
import { addTo, rmsNorm, rotate, scaleBy, swiglu } from "./f32";
import { PageFormat, Plane, partBytes, writeKey, writeValue } from "./kv";
import { MAX_LOCAL_ROWS, groupsPerUnit, multiplyUnit, numStreams } from "./matmul";
import {
  Matrix,
  SPARE_GROUPS,
  multiply,
  multiplyStreams,
  numGroups,
  prepareBlock,
  prepareRow,
  preparedBytes,
  readRow,
} from "./matrix";
import { GROUP_ROWS } from "./rows";
import { MAX_PHASES, claim, endPhase, thread, wholeLines } from "./threads";
import { WIDENED_BYTES } from "./tiles";

/** Written by the host. */
@unmanaged
export class Layer {
  inputNorm: usize;
  qkv: Matrix;
  /** 0 if absent, as for every optional vector. */
  qkvBias: usize;
  qNorm: usize;
  kNorm: usize;
  output: Matrix;
  outputBias: usize;
  attentionNorm: usize;
  gateUp: Matrix;
  down: Matrix;
}

/** Written by the host. */
@unmanaged
export class Row {
  tokenId: i32;
  position: i32;
  /** u32 addresses of the sequence's pages. */
  pages: usize;
}

/** Written by the host; only `numRows` differs from pass to pass. */
@unmanaged
export class Decode {
  hiddenSize: i32;
  intermediateSize: i32;
  numHeads: i32;
  numKvHeads: i32;
  headDim: i32;
  normEpsilon: f32;
  numLayers: i32;
  /** Layer [numLayers] */
  layers: usize;
  finalNorm: usize;
  embedding: Matrix;
  pageSize: i32;
  kvFormat: PageFormat;
  /** Maximum pages of a sequence. */
  maxPages: i32;
  numThreads: i32;
  /** Maximum rows of a pass. */
  maxRows: i32;
  numRows: i32;
  /** Row [numRows] */
  rows: usize;
  /** f32 [numRows, headDim / 2], both */
  cos: usize;
  sin: usize;
  /** f32 [numRows, hiddenSize]: the result. */
  hidden: usize;
  /** decode_scratch(this) bytes, 64-byte aligned. */
  scratch: usize;
}

/** Addresses in the scratch. */
@unmanaged
class Places {
  /** f32 [numRows, hiddenSize]: the residual stream. */
  residual: usize;
  /** Prepared activations of a product. */
  prepared: usize;
  /** Prepared activations of `down`. */
  activated: usize;
  /** [numRows, numHeads] queries */
  queries: usize;
  /** f32 [numRows, numHeads * headDim] */
  attended: usize;
  /** Partial results [MAX_LOCAL_ROWS, numHeads, maxPages] */
  partials: usize;
  /** One local part per thread (layout.md). */
  locals: usize;
  localBytes: usize;
}
/** Addresses for the current pass. */
const PLACES = changetype<Places>(memory.data(offsetof<Places>(), 16));

/** Maximum phases of a layer, and phases before and after all layers. */
const LAYER_PHASES: i32 = 8;
const OTHER_PHASES: i32 = 2;
export const MAX_LAYERS: i32 = (MAX_PHASES - OTHER_PHASES) / LAYER_PHASES;

/** Maximum groups of weight rows in one unit of a product that adds to the residual stream. */
const MAX_UNIT_GROUPS: i32 = 8;

/** Lays out the scratch. The host's thread calls it before the job opens. @returns maximum phases of the job */
export function prepareDecode(d: Decode): i32 {
  placeScratch(d);
  return d.numLayers * LAYER_PHASES + OTHER_PHASES;
}

/** Returns the bytes of scratch, which may exceed the memory's limit. */
export function decode_scratch(d: Decode): f64 {
  return <f64>(placeScratch(d) - d.scratch);
}

/** Writes PLACES and returns the end address of the scratch. */
function placeScratch(d: Decode): u64 {
  const numRows = <u64>d.maxRows;
  let end: u64 = d.scratch;
  PLACES.residual = <usize>end;
  end += wholeLines(numRows * d.hiddenSize * 4);
  PLACES.prepared = <usize>end;
  end += wholeLines(projectionBytes(d, d.maxRows));
  PLACES.activated = <usize>end;
  end += wholeLines(preparedBytes(changetype<Layer>(d.layers).down.format, d.intermediateSize, d.maxRows));
  PLACES.queries = <usize>end;
  end += wholeLines(numRows * d.numHeads * queryBytes(d.headDim));
  PLACES.attended = <usize>end;
  end += wholeLines(numRows * d.numHeads * d.headDim * 4);
  PLACES.partials = <usize>end;
  end += wholeLines(<u64>MAX_LOCAL_ROWS * d.numHeads * d.maxPages * partialBytes(d.headDim));
  PLACES.locals = <usize>end;
  const localBytes = wholeLines(wideBytes(d) + localPreparedBytes(d) + WIDENED_BYTES + numRows * resultBytes(d));
  PLACES.localBytes = <usize>localBytes;
  return end + d.numThreads * localBytes;
}

/** Returns the bytes of `prepared`. */
function projectionBytes(d: Decode, numRows: i32): u64 {
  const layer = changetype<Layer>(d.layers);
  const input = preparedBytes(layer.qkv.format, d.hiddenSize, numRows);
  const gateUp = preparedBytes(layer.gateUp.format, d.hiddenSize, numRows);
  const output = preparedBytes(layer.output.format, d.numHeads * d.headDim, numRows);
  return max(max(input, gateUp), output);
}

/** Returns the bytes of a thread's work area: one f32 row (norms, merged heads) or the scratch of attention. */
function wideBytes(d: Decode): usize {
  const widest = max(max(d.hiddenSize, d.numHeads * d.headDim), BLOCK) + 4;
  const attention = attentionScratchBytes(d.pageSize) + 2 * <usize>GROUP_QUERIES * partialBytes(d.headDim);
  return <usize>wholeLines(max(<usize>widest * 4, attention));
}

function localPreparedBytes(d: Decode): usize {
  return <usize>wholeLines(projectionBytes(d, MAX_LOCAL_ROWS));
}

/** Returns the bytes of one row of a unit's results. */
function resultBytes(d: Decode): usize {
  const heads = d.headDim + (2 + SPARE_GROUPS) * GROUP_ROWS;
  // Gate and up of two blocks, or of one block that does not begin with a group.
  const gateUp = max(4 * BLOCK, 2 * (BLOCK + GROUP_ROWS) + SPARE_GROUPS * GROUP_ROWS);
  return <usize>(max(max(heads, gateUp), MAX_UNIT_GROUPS * GROUP_ROWS) * 4);
}

/** Returns the bytes of a KV cache page. */
export function decode_page_bytes(d: Decode): f64 {
  return <f64>d.numLayers * 2 * d.numKvHeads * partBytes(d.headDim, d.pageSize, d.kvFormat);
}

export function decode(d: Decode): void {
  embed(d);
  for (let i = 0; i < d.numLayers; i++) {
    const layer = changetype<Layer>(d.layers + <usize>i * offsetof<Layer>());
    projectHeads(d, layer, i);
    attend(d, i);
    addOutput(d, layer);
    projectGateUp(d, layer);
    addProduct(d, layer.down, 0, PLACES.activated);
  }
  normRows(d);
}

// @ts-ignore: decorator
@inline
function rowOf(d: Decode, n: i32): Row {
  return changetype<Row>(d.rows + <usize>n * offsetof<Row>());
}

// @ts-ignore: decorator
@inline
function residualRow(d: Decode, n: i32): usize {
  return PLACES.residual + <usize>n * <usize>d.hiddenSize * 4;
}

// @ts-ignore: decorator
@inline
function local(d: Decode): usize {
  return PLACES.locals + <usize>thread() * PLACES.localBytes;
}

// @ts-ignore: decorator
@inline
function isLocal(d: Decode): bool {
  return d.numRows <= MAX_LOCAL_ROWS;
}

function embed(d: Decode): void {
  const numRows = d.numRows;
  let completed = 0;
  for (let n = claim(numRows); n < numRows; n = claim(numRows)) {
    readRow(d.embedding, rowOf(d, n).tokenId, residualRow(d, n));
    completed++;
  }
  endPhase(numRows, completed);
}

function normRows(d: Decode): void {
  const numRows = d.numRows;
  let completed = 0;
  for (let n = claim(numRows); n < numRows; n = claim(numRows)) {
    const output = d.hidden + <usize>n * <usize>d.hiddenSize * 4;
    rmsNorm(residualRow(d, n), d.finalNorm, d.hiddenSize, d.normEpsilon, output);
    completed++;
  }
  endPhase(numRows, completed);
}

/** Normalizes row n of the residual stream and prepares it as activations of `matrix`. */
function prepareNormed(d: Decode, norm: usize, matrix: Matrix, prepared: usize, n: i32): void {
  const normed = local(d);
  rmsNorm(residualRow(d, n), norm, d.hiddenSize, d.normEpsilon, normed);
  prepareRow(matrix, normed, prepared, n, d.numRows);
}

function prepareAllNormed(d: Decode, norm: usize, matrix: Matrix): void {
  const numRows = d.numRows;
  let completed = 0;
  for (let n = claim(numRows); n < numRows; n = claim(numRows)) {
    prepareNormed(d, norm, matrix, PLACES.prepared, n);
    completed++;
  }
  endPhase(numRows, completed);
}

/** Returns the address of the prepared activations: this thread's local part (few rows) or the shared one. */
// @ts-ignore: decorator
@inline
function preparedFor(d: Decode): usize {
  return isLocal(d) ? local(d) + wideBytes(d) : PLACES.prepared;
}

// @ts-ignore: decorator
@inline
function widenedOf(d: Decode): usize {
  return local(d) + wideBytes(d) + localPreparedBytes(d);
}

// @ts-ignore: decorator
@inline
function resultsOf(d: Decode): usize {
  return widenedOf(d) + WIDENED_BYTES;
}

function projectHeads(d: Decode, layer: Layer, layerIndex: i32): void {
  if (!isLocal(d)) prepareAllNormed(d, layer.inputNorm, layer.qkv);
  const prepared = preparedFor(d);
  const numUnits = d.numHeads + 2 * d.numKvHeads;
  let completed = 0;
  for (let unit = claim(numUnits); unit < numUnits; unit = claim(numUnits)) {
    if (isLocal(d) && completed == 0) {
      for (let n = 0; n < d.numRows; n++) prepareNormed(d, layer.inputNorm, layer.qkv, prepared, n);
    }
    projectHead(d, layer, layerIndex, prepared, unit);
    completed++;
  }
  endPhase(numUnits, completed);
}

/** Projects one head of all rows. Units are ordered: query heads, key heads, value heads. */
function projectHead(d: Decode, layer: Layer, layerIndex: i32, prepared: usize, unit: i32): void {
  const headDim = d.headDim;
  const first = unit * headDim;
  const firstGroup = first / GROUP_ROWS;
  const endGroup = (first + headDim + GROUP_ROWS - 1) / GROUP_ROWS;
  const results = resultsOf(d);
  const stride = <usize>(endGroup - firstGroup) * 32;
  multiply(layer.qkv, firstGroup, endGroup, prepared, d.numRows, results, stride, widenedOf(d));

  const isQuery = unit < d.numHeads;
  const isKey = !isQuery && unit < d.numHeads + d.numKvHeads;
  const norm = isQuery ? layer.qNorm : isKey ? layer.kNorm : 0;
  const kvHead = unit - d.numHeads - (isKey ? 0 : d.numKvHeads);
  const inverseRoot = <f32>1 / sqrt<f32>(<f32>headDim);
  const angles = <usize>(headDim / 2) * 4;
  for (let n = 0; n < d.numRows; n++) {
    const head = results + <usize>n * stride + <usize>(first - firstGroup * GROUP_ROWS) * 4;
    if (layer.qkvBias != 0) addTo(head, layer.qkvBias + <usize>first * 4, headDim);
    if (norm != 0) rmsNorm(head, norm, headDim, d.normEpsilon, head);
    if (isQuery || isKey) rotate(head, headDim, d.cos + <usize>n * angles, d.sin + <usize>n * angles);
    if (isQuery) {
      scaleBy(head, inverseRoot, headDim, head);
      writeQuery(head, headDim, queryOf(d, n, unit), d.kvFormat);
    } else {
      const row = rowOf(d, n);
      const part = partOf(d, row, row.position / d.pageSize, layerIndex, isKey ? Plane.Keys : Plane.Values, kvHead);
      const offset = row.position % d.pageSize;
      if (isKey) writeKey(part, head, headDim, d.pageSize, offset, d.kvFormat);
      else writeValue(part, head, headDim, d.pageSize, offset, d.kvFormat);
    }
  }
}

// @ts-ignore: decorator
@inline
function queryOf(d: Decode, n: i32, head: i32): usize {
  return PLACES.queries + <usize>(n * d.numHeads + head) * queryBytes(d.headDim);
}

// @ts-ignore: decorator
@inline
function partOf(d: Decode, row: Row, page: i32, layerIndex: i32, plane: Plane, kvHead: i32): usize {
  const part = <usize>((layerIndex * 2 + plane) * d.numKvHeads + kvHead);
  return load<usize>(row.pages + <usize>page * 4) + part * partBytes(d.headDim, d.pageSize, d.kvFormat);
}

// @ts-ignore: decorator
@inline
function numPages(d: Decode, n: i32): i32 {
  return rowOf(d, n).position / d.pageSize + 1;
}

// @ts-ignore: decorator
@inline
function partialOf(d: Decode, n: i32, head: i32, page: i32): usize {
  return PLACES.partials + <usize>((n * d.numHeads + head) * d.maxPages + page) * partialBytes(d.headDim);
}

function attend(d: Decode, layerIndex: i32): void {
  let numUnits = d.numRows;
  if (isLocal(d)) {
    numUnits = 0;
    for (let n = 0; n < d.numRows; n++) numUnits += numPages(d, n);
  }
  numUnits *= d.numKvHeads;
  let completed = 0;
  for (let unit = claim(numUnits); unit < numUnits; unit = claim(numUnits)) {
    if (isLocal(d)) attendUnitPage(d, layerIndex, unit, numUnits / d.numKvHeads);
    else attendUnitRow(d, layerIndex, unit);
    completed++;
  }
  endPhase(numUnits, completed);
}

/**
 * Attends to one page for the queries of one kv head and stores partial results for `mergePages`.
 * @param pages number of pages of all rows
 */
function attendUnitPage(d: Decode, layerIndex: i32, unit: i32, pages: i32): void {
  const kvHead = unit / pages;
  let page = unit % pages;
  let n = 0;
  for (; page >= numPages(d, n); n++) page -= numPages(d, n);
  const group = d.numHeads / d.numKvHeads;
  const end = (kvHead + 1) * group;
  // In PLACES.partials the results of one head's pages are adjacent, so a group's results are copied there.
  const partials = local(d) + attentionScratchBytes(d.pageSize);
  for (let head = kvHead * group; head < end; head += GROUP_QUERIES) {
    const count = min(GROUP_QUERIES, end - head);
    attendHeads(d, layerIndex, kvHead, n, head, count, page, true, partials);
    for (let i = 0; i < count; i++) {
      memory.copy(partialOf(d, n, head + i, page), partials + <usize>i * partialBytes(d.headDim), partialBytes(d.headDim));
    }
  }
}

/** Attends to all pages for the queries of one kv head of one row and writes the merged results to `attended`. */
function attendUnitRow(d: Decode, layerIndex: i32, unit: i32): void {
  const n = unit % d.numRows;
  const kvHead = unit / d.numRows;
  const group = d.numHeads / d.numKvHeads;
  const end = (kvHead + 1) * group;
  const bytes = partialBytes(d.headDim);
  const merged = local(d) + attentionScratchBytes(d.pageSize);
  const partials = merged + <usize>GROUP_QUERIES * bytes;
  for (let head = kvHead * group; head < end; head += GROUP_QUERIES) {
    const count = min(GROUP_QUERIES, end - head);
    attendHeads(d, layerIndex, kvHead, n, head, count, 0, isFirstOf(d, n, 0), merged);
    for (let page = 1; page < numPages(d, n); page++) {
      attendHeads(d, layerIndex, kvHead, n, head, count, page, isFirstOf(d, n, page), partials);
      for (let i: usize = 0; i < <usize>count; i++) mergePartial(merged + i * bytes, partials + i * bytes, d.headDim);
    }
    for (let i = 0; i < count; i++) finishAttention(merged + <usize>i * bytes, d.headDim, attendedHead(d, n, head + i));
  }
}

/**
 * True if the previous row does not have the same page at this index. Rows of one prompt share pages, and a thread
 * handles such rows one after another, so only the first of them must fetch the page.
 */
function isFirstOf(d: Decode, n: i32, page: i32): bool {
  if (n == 0 || page >= numPages(d, n - 1)) return true;
  const offset = <usize>page * 4;
  return load<usize>(rowOf(d, n).pages + offset) != load<usize>(rowOf(d, n - 1).pages + offset);
}

/**
 * Attends to one page for `count` heads that start at `head`.
 * @param isCold the page is not in a CPU cache yet
 * @param partials output: one partial result per head
 */
function attendHeads(
  d: Decode,
  layerIndex: i32,
  kvHead: i32,
  n: i32,
  head: i32,
  count: i32,
  page: i32,
  isCold: bool,
  partials: usize,
): void {
  const row = rowOf(d, n);
  const keys = partOf(d, row, page, layerIndex, Plane.Keys, kvHead);
  const values = partOf(d, row, page, layerIndex, Plane.Values, kvHead);
  const seen = min(d.pageSize, row.position + 1 - page * d.pageSize);
  if (isCold) fetchPage(keys, values, d.headDim, seen, d.kvFormat, partials);
  attendPage(queryOf(d, n, head), count, keys, values, d.headDim, d.pageSize, seen, d.kvFormat, local(d), partials);
}

// @ts-ignore: decorator
@inline
function attendedHead(d: Decode, n: i32, head: i32): usize {
  return PLACES.attended + <usize>((n * d.numHeads + head) * d.headDim) * 4;
}

/** Merges the pages of row n into f32 [numHeads * headDim]; the partial results do not change. */
function mergePages(d: Decode, n: i32, merged: usize, output: usize): void {
  for (let head = 0; head < d.numHeads; head++) {
    memory.copy(merged, partialOf(d, n, head, 0), partialBytes(d.headDim));
    for (let page = 1; page < numPages(d, n); page++) mergePartial(merged, partialOf(d, n, head, page), d.headDim);
    finishAttention(merged, d.headDim, output + <usize>(head * d.headDim) * 4);
  }
}

function addOutput(d: Decode, layer: Layer): void {
  if (isLocal(d)) {
    addProduct(d, layer.output, layer.outputBias, 0);
    return;
  }
  const numRows = d.numRows;
  let completed = 0;
  for (let n = claim(numRows); n < numRows; n = claim(numRows)) {
    prepareRow(layer.output, attendedHead(d, n, 0), PLACES.prepared, n, numRows);
    completed++;
  }
  endPhase(numRows, completed);
  addProduct(d, layer.output, layer.outputBias, PLACES.prepared);
}

/**
 * Computes residual += prepared x matrix + bias.
 * @param prepared an address; if 0, every thread merges the pages of attention and prepares the rows for itself
 */
function addProduct(d: Decode, matrix: Matrix, bias: usize, prepared: usize): void {
  const merges = prepared == 0;
  if (merges) prepared = preparedFor(d);
  const groups = numGroups(matrix);
  const streams = numStreams(d.numRows);
  const perStream = (groups + streams - 1) / streams;
  const perUnit = groupsPerUnit(groups, streams, d.numThreads, MAX_UNIT_GROUPS);
  const numUnits = (perStream + perUnit - 1) / perUnit;
  const results = resultsOf(d);
  let completed = 0;
  for (let unit = claim(numUnits); unit < numUnits; unit = claim(numUnits)) {
    if (merges && completed == 0) {
      for (let n = 0; n < d.numRows; n++) {
        // The unit's results do not exist yet, so the merge uses their memory.
        mergePages(d, n, results, local(d));
        prepareRow(matrix, local(d), prepared, n, d.numRows);
      }
    }
    const first = unit * perUnit;
    const end = min(first + perUnit, perStream);
    multiplyUnit(matrix, first, end, perStream, perUnit, prepared, d.numRows, results, widenedOf(d));
    let result = results;
    for (let stream = 0; stream < streams; stream++) {
      const firstRow = (stream * perStream + first) * GROUP_ROWS;
      const count = min((stream * perStream + end) * GROUP_ROWS, matrix.rows) - firstRow;
      for (let n = 0; n < d.numRows; n++) {
        if (bias != 0) addTo(result, bias + <usize>firstRow * 4, count);
        addTo(residualRow(d, n) + <usize>firstRow * 4, result, count);
        result += <usize>perUnit * 32;
      }
    }
    completed++;
  }
  endPhase(numUnits, completed);
}

/**
 * With a single row, a unit is two blocks of 32 columns, half a matrix apart: their gate and up rows are four streams.
 * A pair needs whole groups. With several rows, and with other sizes, a unit is one block.
 */
function projectGateUp(d: Decode, layer: Layer): void {
  if (!isLocal(d)) prepareAllNormed(d, layer.attentionNorm, layer.gateUp);
  const prepared = preparedFor(d);
  const blocks = (d.intermediateSize + BLOCK - 1) / BLOCK;
  const arePairs = d.numRows == 1 && d.intermediateSize % BLOCK == 0;
  const half = (blocks + 1) / 2;
  const numUnits = arePairs ? half : blocks;
  let completed = 0;
  for (let unit = claim(numUnits); unit < numUnits; unit = claim(numUnits)) {
    if (isLocal(d) && completed == 0) {
      for (let n = 0; n < d.numRows; n++) prepareNormed(d, layer.attentionNorm, layer.gateUp, prepared, n);
    }
    if (arePairs) projectGateUpPair(d, layer, prepared, unit, half);
    else projectGateUpBlock(d, layer, prepared, unit);
    completed++;
  }
  endPhase(numUnits, completed);
}

/** Computes blocks `unit` and `unit + half`, if it exists, of the input of `down`. */
function projectGateUpPair(d: Decode, layer: Layer, prepared: usize, unit: i32, half: i32): void {
  const groups = BLOCK / GROUP_ROWS;
  const results = resultsOf(d);
  multiplyStreams(layer.gateUp, unit * groups, half * groups, d.intermediateSize / GROUP_ROWS, groups, prepared, results);
  let gate = results;
  for (let block = unit; block < d.intermediateSize / BLOCK; block += half) {
    swiglu(gate, gate + 2 * <usize>BLOCK * 4, BLOCK, gate);
    prepareBlock(layer.down, gate, BLOCK, PLACES.activated, block, 0, 1);
    gate += <usize>BLOCK * 4;
  }
}

/** Computes 32 columns of the input of `down`. Their gate and up rows may start anywhere within a group. */
function projectGateUpBlock(d: Decode, layer: Layer, prepared: usize, unit: i32): void {
  const gateFirst = unit * BLOCK;
  const count = min(BLOCK, d.intermediateSize - gateFirst);
  const upFirst = d.intermediateSize + gateFirst;
  const gateGroup = gateFirst / GROUP_ROWS;
  const gateEnd = (gateFirst + count + GROUP_ROWS - 1) / GROUP_ROWS;
  const upGroup = upFirst / GROUP_ROWS;
  const upEnd = (upFirst + count + GROUP_ROWS - 1) / GROUP_ROWS;
  const results = resultsOf(d);
  const upAt = <usize>(gateEnd - gateGroup) * 32;
  const stride = upAt + <usize>(upEnd - upGroup) * 32;
  multiply(layer.gateUp, gateGroup, gateEnd, prepared, d.numRows, results, stride, widenedOf(d));
  multiply(layer.gateUp, upGroup, upEnd, prepared, d.numRows, results + upAt, stride, widenedOf(d));
  const upOffset = upAt + <usize>(upFirst - upGroup * GROUP_ROWS) * 4;
  for (let n = 0; n < d.numRows; n++) {
    const gate = results + <usize>n * stride;
    swiglu(gate, gate + upOffset, count, gate);
    prepareBlock(layer.down, gate, count, PLACES.activated, unit, n, d.numRows);
  }
}
