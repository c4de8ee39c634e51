/** Thrown when a pattern cannot be used; `code` and the message give the reason. */
export class PatternError extends Error {
  constructor(
    readonly code: "invalid" | "unsupported",
    message: string,
  ) {
    super(message);
  }
}
