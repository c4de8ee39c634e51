/**
 * `invalid_option`: an option that the suite does not know or cannot use.
 * `cannot_run`: no law could be checked. Nobody answers, the server names no model or refuses the plainest request, or
 * the budget is too small.
 * `report_not_written`: a report file that the command was asked for cannot be written.
 */
export type ConformErrorCode = "invalid_option" | "cannot_run" | "report_not_written";

/** The one error that a caller can cause, or the server under test. Anything else that is thrown is a bug of the suite. */
export class ConformError extends Error {
  override readonly name = "ConformError";

  /**
   * @param code stable, for programs
   * @param message one line for people: what was given and what is allowed, or what the server answered
   */
  constructor(
    readonly code: ConformErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
