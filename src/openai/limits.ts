/** Bounds of the wire; those of a request's parameters are in the engine's limits.ts. */

export const WIRE_LIMITS = {
  /** Token ids of one detokenize request. */
  maxDetokenizeIds: 1 << 20,
} as const;
