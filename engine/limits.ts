/** Every bound of the engine, in one place (contract, section 2, where a bound is the contract's). */

export const LIMITS = {
  /** Stop sequences of one request. */
  stopSequencesMax: 4,
  /** Choices of one request. */
  choicesMax: 128,
  /** Entries of `logit_bias`. */
  logitBiasEntriesMax: 1024,
  /** Alternatives listed for each token. */
  topLogprobsMax: 20,
  /** Bytes of a safetensors header; the format's own bound. */
  safetensorsHeaderBytesMax: 100_000_000,
} as const;
