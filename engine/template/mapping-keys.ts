/**
 * Keys of mappings that are text of a message. A mapping is searched by plain texts, so that text of a message finds a
 * key of the template; which keys came from a message is remembered beside it, for when they are printed.
 */

import { SourcedText, type Text } from "./sourced-text.js";

type Key = string | number;

/** Returns a mapping all of whose keys are text of a message. */
export function mappingOfMessage<V>(entries: readonly (readonly [string, V])[]): Map<Key, V> {
  const mapping = new Map<Key, V>();
  for (const [key, value] of entries) setEntry(mapping, key, SourcedText.ofMessage(key), value);
  return mapping;
}

/**
 * Adds an entry.
 *
 * @param key the plain key
 * @param given the value that the key was made of
 */
export function setEntry<V>(mapping: Map<Key, V>, key: Key, given: unknown, value: V): void {
  if (typeof key === "string" && key.length > MAX_KEY_LENGTH)
    throw new RangeError(`a key of more than ${MAX_KEY_LENGTH} characters is not supported`);
  mapping.set(key, value);
  if (typeof key !== "string" || !(given instanceof SourcedText)) return;
  const known = MESSAGE_KEYS.get(mapping) ?? new Map<string, SourcedText>();
  MESSAGE_KEYS.set(mapping, known.set(key, given));
}

/** Adds the entries of another mapping. */
export function addEntries<V>(mapping: Map<Key, V>, others: ReadonlyMap<Key, V>): void {
  for (const [key, value] of others) setEntry(mapping, key, keyText(others, key), value);
}

/** Returns a key with its origin. */
export function keyText(mapping: ReadonlyMap<Key, unknown>, key: Key): Text | number {
  return (typeof key === "string" ? MESSAGE_KEYS.get(mapping)?.get(key) : undefined) ?? key;
}

/** The keys of a mapping that are text of a message, by their plain texts. */
const MESSAGE_KEYS = new WeakMap<ReadonlyMap<Key, unknown>, Map<string, SourcedText>>();

/** V8 gives all longer texts of one length the same hash, so that a mapping of them takes quadratic time. */
const MAX_KEY_LENGTH = 16_000;
