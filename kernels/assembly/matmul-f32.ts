/**
 * Products with f32 weights. layout.md shows the packed layout: groups of 4 rows, steps of 4 columns,
 * rows side by side within a step.
 *
 * Each weight row has four partial sums, one per column modulo 4, each added in ascending order of
 * columns; the result is (s0 + s1) + (s2 + s3). Products and sums are f32 and never fused.
 */

/** Weight rows in one group of this layout; callers count in groups of 8. */
export const GROUP_ROWS: i32 = 4;

/**
 * Multiplies the groups of 8 weight rows from firstGroup up to, but not including, endGroup.
 * @param weights packed f32 [rows, 4 * steps]
 * @param input f32 [numRows, 4 * steps], zeros past the columns
 * @param output f32 [numRows][...], 8 floats for each group side by side; rows are `outputStride` bytes
 *   apart. Floats that pad the last group may stay unwritten.
 */
export function multiplyF32(
  weights: usize,
  rows: i32,
  steps: i32,
  firstGroup: i32,
  endGroup: i32,
  input: usize,
  numRows: i32,
  output: usize,
  outputStride: usize,
): void {
  const inputStride = <usize>steps * 16;
  const groupBytes = <usize>steps * 64;
  const end = min(2 * endGroup, (rows + GROUP_ROWS - 1) / GROUP_ROWS);
  for (let g = 2 * firstGroup; g < end; g++) {
    const group = weights + <usize>g * groupBytes;
    let n = 0;
    let x = input;
    let y = output;
    if (ASC_FEATURE_SIMD) {
      for (; n + 2 <= numRows; n += 2) {
        tile_4x2__simd(group, steps, x, inputStride, y, outputStride);
        x += 2 * inputStride;
        y += 2 * outputStride;
      }
    }
    for (; n < numRows; n++) {
      if (ASC_FEATURE_SIMD) tile_4x1__simd(group, steps, x, y);
      else tile_4x1__scalar(group, steps, x, y);
      x += inputStride;
      y += outputStride;
    }
    output += 16;
  }
}

/**
 * Multiplies groups of 8 rows from four places with one row of activations, as `multiplyStreamsQ4` does; two of the
 * four are read at a time, because the sums of more do not fit in registers.
 */
export function multiplyStreamsF32(
  weights: usize,
  rows: i32,
  steps: i32,
  first: i32,
  far: i32,
  far2: i32,
  count: i32,
  input: usize,
  output: usize,
): void {
  const groupBytes = <usize>steps * 64;
  const last = (rows + GROUP_ROWS - 1) / GROUP_ROWS - 1;
  const stride = <usize>count * 32;
  for (let g = 2 * first; g < 2 * (first + count); g++) {
    const group0 = weights + <usize>min(g, last) * groupBytes;
    const group1 = weights + <usize>min(g + 2 * far, last) * groupBytes;
    const group2 = weights + <usize>min(g + 2 * far2, last) * groupBytes;
    const group3 = weights + <usize>min(g + 2 * (far + far2), last) * groupBytes;
    if (ASC_FEATURE_SIMD) {
      streams__simd(group0, group1, steps, input, output, output + stride);
      streams__simd(group2, group3, steps, input, output + 2 * stride, output + 3 * stride);
    } else {
      tile_4x1__scalar(group0, steps, input, output);
      tile_4x1__scalar(group1, steps, input, output + stride);
      tile_4x1__scalar(group2, steps, input, output + 2 * stride);
      tile_4x1__scalar(group3, steps, input, output + 3 * stride);
    }
    output += 16;
  }
}

/** Copies f32 [cols] to `output`, padded with zeros to a multiple of 4 columns. */
export function padRow(input: usize, cols: i32, output: usize): void {
  for (let c = cols; (c & 3) != 0; c++) store<f32>(output + <usize>c * 4, 0);
  memory.copy(output, input, <usize>cols * 4);
}

/** Multiplies 4 weight rows with one activation row; writes f32 [4] at `output`. */
function tile_4x1__scalar(group: usize, steps: i32, input: usize, output: usize): void {
  for (let r: usize = 0; r < 4; r++) {
    let s0: f32 = 0;
    let s1: f32 = 0;
    let s2: f32 = 0;
    let s3: f32 = 0;
    let w = group + r * 16;
    let x = input;
    for (let step = 0; step < steps; step++) {
      s0 += load<f32>(w) * load<f32>(x);
      s1 += load<f32>(w, 4) * load<f32>(x, 4);
      s2 += load<f32>(w, 8) * load<f32>(x, 8);
      s3 += load<f32>(w, 12) * load<f32>(x, 12);
      w += 64;
      x += 16;
    }
    store<f32>(output + r * 4, s0 + s1 + (s2 + s3));
  }
}

function tile_4x1__simd(group: usize, steps: i32, input: usize, output: usize): void {
  let sums0 = f32x4.splat(0);
  let sums1 = f32x4.splat(0);
  let sums2 = f32x4.splat(0);
  let sums3 = f32x4.splat(0);
  for (let step = 0; step < steps; step++) {
    const x = v128.load(input);
    sums0 = f32x4.add(sums0, f32x4.mul(v128.load(group), x));
    sums1 = f32x4.add(sums1, f32x4.mul(v128.load(group, 16), x));
    sums2 = f32x4.add(sums2, f32x4.mul(v128.load(group, 32), x));
    sums3 = f32x4.add(sums3, f32x4.mul(v128.load(group, 48), x));
    group += 64;
    input += 16;
  }
  storeSums(output, sums0, sums1, sums2, sums3);
}

/** Multiplies two groups of 4 weight rows with one activation row. */
function streams__simd(group0: usize, group1: usize, steps: i32, input: usize, output0: usize, output1: usize): void {
  const far = group1 - group0;
  let sums00 = f32x4.splat(0);
  let sums10 = f32x4.splat(0);
  let sums20 = f32x4.splat(0);
  let sums30 = f32x4.splat(0);
  let sums01 = f32x4.splat(0);
  let sums11 = f32x4.splat(0);
  let sums21 = f32x4.splat(0);
  let sums31 = f32x4.splat(0);
  for (const end = input + <usize>steps * 16; input < end; input += 16) {
    const x = v128.load(input);
    sums00 = f32x4.add(sums00, f32x4.mul(v128.load(group0), x));
    sums10 = f32x4.add(sums10, f32x4.mul(v128.load(group0, 16), x));
    sums20 = f32x4.add(sums20, f32x4.mul(v128.load(group0, 32), x));
    sums30 = f32x4.add(sums30, f32x4.mul(v128.load(group0, 48), x));
    const other = group0 + far;
    sums01 = f32x4.add(sums01, f32x4.mul(v128.load(other), x));
    sums11 = f32x4.add(sums11, f32x4.mul(v128.load(other, 16), x));
    sums21 = f32x4.add(sums21, f32x4.mul(v128.load(other, 32), x));
    sums31 = f32x4.add(sums31, f32x4.mul(v128.load(other, 48), x));
    group0 += 64;
  }
  storeSums(output0, sums00, sums10, sums20, sums30);
  storeSums(output1, sums01, sums11, sums21, sums31);
}

/** Multiplies 4 weight rows with two activation rows; writes the sums to `output` and `output + outputStride`. */
function tile_4x2__simd(
  group: usize,
  steps: i32,
  input: usize,
  inputStride: usize,
  output: usize,
  outputStride: usize,
): void {
  let sums00 = f32x4.splat(0);
  let sums10 = f32x4.splat(0);
  let sums20 = f32x4.splat(0);
  let sums30 = f32x4.splat(0);
  let sums01 = f32x4.splat(0);
  let sums11 = f32x4.splat(0);
  let sums21 = f32x4.splat(0);
  let sums31 = f32x4.splat(0);
  for (let step = 0; step < steps; step++) {
    const x0 = v128.load(input);
    const x1 = v128.load(input + inputStride);
    let w = v128.load(group);
    sums00 = f32x4.add(sums00, f32x4.mul(w, x0));
    sums01 = f32x4.add(sums01, f32x4.mul(w, x1));
    w = v128.load(group, 16);
    sums10 = f32x4.add(sums10, f32x4.mul(w, x0));
    sums11 = f32x4.add(sums11, f32x4.mul(w, x1));
    w = v128.load(group, 32);
    sums20 = f32x4.add(sums20, f32x4.mul(w, x0));
    sums21 = f32x4.add(sums21, f32x4.mul(w, x1));
    w = v128.load(group, 48);
    sums30 = f32x4.add(sums30, f32x4.mul(w, x0));
    sums31 = f32x4.add(sums31, f32x4.mul(w, x1));
    group += 64;
    input += 16;
  }
  storeSums(output, sums00, sums10, sums20, sums30);
  storeSums(output + outputStride, sums01, sums11, sums21, sums31);
}

// @ts-ignore: decorator
@inline
function storeSums(output: usize, sums0: v128, sums1: v128, sums2: v128, sums3: v128): void {
  store<f32>(output, horizontalSum(sums0));
  store<f32>(output, horizontalSum(sums1), 4);
  store<f32>(output, horizontalSum(sums2), 8);
  store<f32>(output, horizontalSum(sums3), 12);
}

// @ts-ignore: decorator
@inline
function horizontalSum(sums: v128): f32 {
  return (
    f32x4.extract_lane(sums, 0) + f32x4.extract_lane(sums, 1) + (f32x4.extract_lane(sums, 2) + f32x4.extract_lane(sums, 3))
  );
}

/** Copies one row. @param output f32 [cols] */
export function f32_f32_row(weights: usize, cols: i32, row: i32, output: usize): void {
  const steps = (cols + 3) / 4;
  const source = weights + <usize>(row / GROUP_ROWS) * <usize>steps * 64 + <usize>(row % GROUP_ROWS) * 16;
  for (let c = 0; c < cols; c++) {
    store<f32>(output + <usize>c * 4, load<f32>(source + <usize>(c >> 2) * 64 + <usize>(c & 3) * 4));
  }
}
