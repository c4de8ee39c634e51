/** The library: `conform` checks a server, `report` formats the result. */

export { ConformError, type ConformErrorCode } from "./errors.js";
export { conform, report, type ConformResult, type ReportFormat } from "./conform.js";
export { LAWS } from "./laws/all.js";
export type { Dialect, Exchange, Feature, LawDescription } from "./law.js";
export type { ConformOptions } from "./options.js";
export type { Profile } from "./profile.js";
export type { Budget, Finding, LawResult, Outcome, Progress } from "./run.js";
