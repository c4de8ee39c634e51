/** Limits of the wire format. The limits of request parameters are in engine/limits.ts. */

export const WIRE_LIMITS = {
  /** Maximum number of token ids in one detokenize request. */
  maxDetokenizeIds: 1 << 20,
} as const;
