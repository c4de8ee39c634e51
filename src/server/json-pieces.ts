/**
 * Serializes a value as JSON.stringify does, but piece by piece, so that a large answer does not block the thread.
 * Values nested `depth` levels deep are serialized whole, one piece each.
 */

export function* jsonPieces(value: unknown, depth = PIECES_DEPTH): Generator<string, void, void> {
  if (typeof value !== "object" || value === null || depth === 0) {
    yield JSON.stringify(value);
  } else if (Array.isArray(value)) {
    let separator = "[";
    for (const item of value as readonly unknown[]) {
      yield separator;
      yield* jsonPieces(item ?? null, depth - 1);
      separator = ",";
    }
    yield separator === "[" ? "[]" : "]";
  } else {
    let separator = "{";
    for (const [key, field] of Object.entries(value)) {
      if (field === undefined) continue;
      yield `${separator}${JSON.stringify(key)}:`;
      yield* jsonPieces(field, depth - 1);
      separator = ",";
    }
    yield separator === "{" ? "{}" : "}";
  }
}

/** Depth of one logprobs entry: choices, choice, logprobs, content, entry. */
const PIECES_DEPTH = 5;
