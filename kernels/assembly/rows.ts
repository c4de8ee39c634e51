/** What the three products share: weight rows come in groups, and a tile's results pass a staging area. */

/** Weight rows of one group of the quantised layouts. */
export const GROUP_ROWS: i32 = 8;

/** f32 [2, 8]: the results of one tile. */
export const STAGING: usize = memory.data(64, 16);

/**
 * Copies `count` staged results to where they belong; the rows that only fill a group up stay behind.
 * A loop, because memory.copy costs a call into the host for these few bytes.
 */
// @ts-ignore: decorator
@inline
export function storeFloats(output: usize, staged: usize, count: usize): void {
  for (let i: usize = 0; i < count; i++) store<f32>(output + i * 4, load<f32>(staged + i * 4));
}
