/** Bounds of the wire; those of a request's parameters are in the engine's limits.ts. */

export const WIRE_LIMITS = {
  /** Arrays and objects inside each other: parsing recurses, so it has to be far from the end of the stack. */
  jsonDepthMax: 256,
  /** Characters of a value or a field name that an error repeats. */
  quotedCharsMax: 80,
  /** Token ids of one detokenize request. */
  detokenizeIdsMax: 1 << 20,
} as const;
