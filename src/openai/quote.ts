/** Short renderings of what a client sent, for error messages: bounded, whatever was sent. */

import { WIRE_LIMITS } from "./limits.js";

/** As JSON, which also escapes control characters and lone surrogates. */
export function quote(text: string): string {
  return JSON.stringify(shorten(text));
}

/** A value: scalars as they are, the others by what they are. */
export function describeGiven(value: unknown): string {
  if (typeof value === "string") return quote(value);
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : `an array of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  return String(value);
}

export function shorten(text: string): string {
  return text.length <= WIRE_LIMITS.quotedCharsMax ? text : `${text.slice(0, WIRE_LIMITS.quotedCharsMax)}...`;
}
