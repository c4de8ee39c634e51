/** Layouts of pre-tokenizers: each kind with each of its options, and pairs of kinds. */

const split = (pattern: object, behavior: string, invert: boolean): object => ({
  type: "Split",
  pattern,
  behavior,
  invert,
});
const sequence = (...pretokenizers: object[]): object => ({ type: "Sequence", pretokenizers });

const BEHAVIORS = ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"] as const;
const SPACE = { String: " " };
const LETTERS = { Regex: "\\p{L}+" };
const VOWEL = { Regex: "[aeiou]|\\s+(?!\\S)" };

const WORDS = " ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

const SINGLE: readonly object[] = [
  ...BEHAVIORS.flatMap((behavior) => [false, true].map((invert) => split(SPACE, behavior, invert))),
  ...BEHAVIORS.flatMap((behavior) => [false, true].map((invert) => split(LETTERS, behavior, invert))),
  ...BEHAVIORS.map((behavior) => split(VOWEL, behavior, false)),
  ...BEHAVIORS.map((behavior) => ({ type: "Punctuation", behavior })),
  { type: "Digits", individual_digits: true },
  { type: "Digits", individual_digits: false },
  { type: "Whitespace" },
  { type: "WhitespaceSplit" },
  { type: "BertPreTokenizer" },
  ...["always", "first", "never"].flatMap((prepend_scheme) =>
    [true, false].map((isSplit) => ({ type: "Metaspace", replacement: "▁", prepend_scheme, split: isSplit })),
  ),
];

const PAIRS: readonly object[] = [
  sequence({ type: "WhitespaceSplit" }, { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true }),
  sequence({ type: "Whitespace" }, { type: "Digits", individual_digits: true }),
  sequence({ type: "BertPreTokenizer" }, split(LETTERS, "Isolated", false)),
  sequence({ type: "Digits", individual_digits: true }, split({ Regex: WORDS }, "Isolated", false)),
  sequence({ type: "Punctuation", behavior: "Contiguous" }, { type: "Digits", individual_digits: false }),
  sequence(split(SPACE, "MergedWithNext", false), { type: "Punctuation", behavior: "MergedWithPrevious" }),
  sequence(split(SPACE, "MergedWithPrevious", false), split(LETTERS, "MergedWithNext", true)),
  sequence(
    { type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: false },
    split({ String: "▁" }, "MergedWithNext", false),
  ),
];

const BYTES = [
  { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
  { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
  { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: false },
] as const;

/** Each ends with the bytes of the words, so that one byte-level vocabulary has all of them. */
export const LAYOUTS: readonly object[] = [
  ...BYTES,
  ...BYTES.map((bytes) => sequence({ type: "Digits", individual_digits: true }, bytes)),
  ...[...SINGLE, ...PAIRS].map((each) => sequence(each, { ...BYTES[0], use_regex: false })),
];
