/**
 * `invalid_option`: an unknown option or an invalid value.
 * `cannot_run`: no law could be checked. The server does not answer, lists no model or refuses the simplest request, or
 * the budget is too small.
 * `report_not_written`: a requested report file cannot be written.
 */
export type ConformErrorCode = "invalid_option" | "cannot_run" | "report_not_written";

/** Every error that the caller or the server under test can cause. Any other error is a bug of the suite. */
export class ConformError extends Error {
  override readonly name = "ConformError";

  /**
   * @param code stable identifier, for programs
   * @param message one line for people: the given value and the allowed ones, or the server's answer
   */
  constructor(
    readonly code: ConformErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
