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
  store<f32>(output, horizontalSum(sums0));
  store<f32>(output, horizontalSum(sums1), 4);
  store<f32>(output, horizontalSum(sums2), 8);
  store<f32>(output, horizontalSum(sums3), 12);
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
  store<f32>(output, horizontalSum(sums00));
  store<f32>(output, horizontalSum(sums10), 4);
  store<f32>(output, horizontalSum(sums20), 8);
  store<f32>(output, horizontalSum(sums30), 12);
  store<f32>(output + outputStride, horizontalSum(sums01));
  store<f32>(output + outputStride, horizontalSum(sums11), 4);
  store<f32>(output + outputStride, horizontalSum(sums21), 8);
  store<f32>(output + outputStride, horizontalSum(sums31), 12);
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
