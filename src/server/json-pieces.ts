/**
 * What JSON.stringify writes, piece by piece: values inside the first few arrays and objects are written whole, one
 * at a time, so that a large answer does not have to be written down in one go.
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

/** An entry of the logprobs is a value five deep: choices, one of them, its logprobs, their content, the entry. */
const PIECES_DEPTH = 5;
