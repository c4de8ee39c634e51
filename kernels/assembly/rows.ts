/** Numbers shared by the quantized layouts. */

/** Weight rows in one group: the quantized layouts store a group together, and callers request products by groups. */
export const GROUP_ROWS: i32 = 8;

/** Bytes of a record's scales: one bfloat16 number for each row of the group. The values follow them. */
export const SCALES_BYTES: usize = 2 * <usize>GROUP_ROWS;
