/** TS-4.1 to TS-4.6: the entry of a drawn token, computed from the row of logits and the bytes of the tokens. */

import { CaseList, number, type Json, type VectorFile } from "./case-list.js";
import { Numbers } from "./philox.js";
import { decode } from "./text.js";

/** The bytes of a token, or the name of a special token, which has no bytes. */
type Token = readonly number[] | { readonly special: string };

interface LogprobsCase {
  readonly logits: readonly number[];
  readonly vocab_size?: number;
  readonly no_token?: readonly number[];
  /** Default: letters. */
  readonly tokens?: readonly Token[];
  readonly drawn: number;
  readonly top_logprobs: number;
  /** Parameters that must not affect the result. */
  readonly parameters?: Json;
}

const F32_MAX = (2 - 2 ** -23) * 2 ** 127;
const utf8 = new TextEncoder();
const text = (value: string): Token => [...utf8.encode(value)];

function fieldsOf({
  logits,
  vocab_size: size = logits.length,
  no_token: holes = [],
  tokens,
  drawn,
  top_logprobs: count,
  parameters,
}: LogprobsCase): { expected: Json } {
  const all = tokens ?? logits.slice(0, size).map((_, id) => text(`${String.fromCharCode(0x61 + (id % 26))}${id}`));
  const ids = logits
    .slice(0, size)
    .map((_, id) => id)
    .filter((id) => !holes.includes(id) && logits[id]! > -Infinity);
  const largest = ids.reduce((most, id) => Math.max(most, logits[id]!), -Infinity);
  const logTotal = Math.log(ids.reduce((total, id) => total + Math.exp(logits[id]! - largest), 0));
  const logprobOf = (id: number): number => Math.fround(Math.max(logits[id]! - largest - logTotal, -F32_MAX)) || 0;
  ids.sort((a, b) => (logits[a] === logits[b] ? a - b : logits[b]! - logits[a]!));
  for (const [index, id] of ids.slice(1).entries()) {
    const before = ids[index]!;
    if (logits[before] !== logits[id] && logprobOf(before) <= logprobOf(id))
      throw new Error(`Tokens ${before} and ${id} differ, and their log-probabilities do not`);
  }
  const alternative = (id: number) => {
    const token = all[id]!;
    const special = "special" in token;
    const bytes = special ? [] : token;
    const { text: whole, numIncomplete } = decode(bytes);
    return {
      id,
      token: special ? token.special : whole + (numIncomplete > 0 ? "\uFFFD" : ""),
      logprob: logprobOf(id),
      bytes,
    };
  };
  const expected = { ...alternative(drawn), top_logprobs: ids.slice(0, count).map(alternative) };
  const row = { logits: logits.map(number), vocab_size: size, ...(holes.length === 0 ? {} : { no_token: holes }) };
  return {
    ...row,
    tokens: all,
    drawn,
    top_logprobs: count,
    ...(parameters === undefined ? {} : { parameters }),
    expected,
  } as unknown as { expected: Json };
}

export function logprobsVectors(): VectorFile {
  const list = new CaseList<{ expected: Json }>("logprobs");
  const add = (group: string, clause: string, what: string, one: LogprobsCase): void =>
    list.add(group, clause, what, fieldsOf(one));
  const four = [
    Math.fround(Math.log(0.4)),
    Math.fround(Math.log(0.3)),
    Math.fround(Math.log(0.2)),
    Math.fround(Math.log(0.1)),
  ];

  add("value", "TS-4.1", "logits that are log-probabilities already", { logits: four, drawn: 0, top_logprobs: 4 });
  add("value", "TS-4.1", "the same with 10 added to all", {
    logits: four.map((z) => Math.fround(z + 10)),
    drawn: 2,
    top_logprobs: 4,
  });
  add("value", "TS-4.1", "one token has all of it: 0, not -0", { logits: [5], drawn: 0, top_logprobs: 1 });
  add("value", "TS-4.1", "all but all of it: 0, not -0", { logits: [0, 200], drawn: 1, top_logprobs: 1 });
  add("value", "TS-4.1", "next to nothing", { logits: [0, 200], drawn: 0, top_logprobs: 2 });
  add("value", "TS-4.1", "large logits", { logits: [10_000, 9_999, 9_998], drawn: 1, top_logprobs: 3 });
  add("value", "TS-4.1", "very negative logits", { logits: [-10_000, -10_001], drawn: 1, top_logprobs: 2 });
  add("value", "TS-4.1", "below the smallest float32", {
    logits: [Math.fround(3e38), Math.fround(-3e38)],
    drawn: 1,
    top_logprobs: 2,
  });
  add("value", "TS-4.1", "two equal ones", { logits: [1, 1], drawn: 1, top_logprobs: 2 });

  add("raw", "TS-4.1", "the temperature does not show", {
    logits: four,
    drawn: 1,
    top_logprobs: 4,
    parameters: { temperature: 2 },
  });
  add("raw", "TS-4.1", "a bias does not show", {
    logits: four,
    drawn: 3,
    top_logprobs: 4,
    parameters: { logit_bias: { 3: 50 }, temperature: 0 },
  });
  add("raw", "TS-4.1", "top_k does not show", { logits: four, drawn: 0, top_logprobs: 4, parameters: { top_k: 1 } });
  add("raw", "TS-4.1", "top_p does not show", { logits: four, drawn: 0, top_logprobs: 4, parameters: { top_p: 0.1 } });
  add("raw", "TS-4.1", "min_p does not show", { logits: four, drawn: 0, top_logprobs: 4, parameters: { min_p: 1 } });
  add("raw", "TS-4.1", "padding has no share", { logits: [...four, 9, 9], vocab_size: 4, drawn: 0, top_logprobs: 6 });
  add("raw", "TS-4.1", "ids without a token have no share", {
    logits: [...four, 9],
    no_token: [4],
    drawn: 0,
    top_logprobs: 5,
  });
  add("raw", "TS-4.1", "-Infinity has no share and is not listed", {
    logits: [...four, -Infinity],
    drawn: 0,
    top_logprobs: 5,
  });

  for (const count of [0, 1, 2, 3])
    add("top", "TS-4.2", `top_logprobs ${count}: as many as asked for`, {
      logits: four,
      drawn: 0,
      top_logprobs: count,
    });
  add("top", "TS-4.2", "the token drawn is not among them", { logits: four, drawn: 3, top_logprobs: 2 });
  add("top", "TS-4.2", "the token drawn is in its place", { logits: four, drawn: 1, top_logprobs: 3 });
  add("top", "TS-4.2", "more than there are tokens", { logits: four, drawn: 1, top_logprobs: 20 });
  add("top", "TS-4.2", "equal ones by id", { logits: [1, 3, 3, 0, 3], drawn: 4, top_logprobs: 3 });
  add("top", "TS-4.2", "equal ones by id, cut", { logits: [1, 3, 3, 0, 3], drawn: 0, top_logprobs: 2 });
  add("top", "TS-4.2", "0 and -0 are equal", { logits: [-1, -0, 0], drawn: 2, top_logprobs: 2 });

  const flat = (tokens: readonly Token[], drawn: number): LogprobsCase => ({
    logits: tokens.map((_, id) => -id),
    tokens,
    drawn,
    top_logprobs: tokens.length,
  });
  add("bytes", "TS-4.5", "text", flat([text("Hello"), text(" world")], 1));
  add("bytes", "TS-4.5", "beyond ASCII", flat([text("caf\u00e9"), text("\u{1f600}")], 0));
  add("bytes", "TS-4.5", "the first byte of two", flat([[0xc3], [0xa9]], 0));
  add("bytes", "TS-4.5", "a continuation byte", flat([[0xc3], [0xa9]], 1));
  add("bytes", "TS-4.5", "two of three bytes are one U+FFFD", flat([[0xe2, 0x82], [0xac]], 0));
  add("bytes", "TS-4.5", "two continuation bytes are two", flat([[0x82, 0xac], [0x61]], 0));
  add(
    "bytes",
    "TS-4.5",
    "a fragment behind text",
    flat(
      [
        [0x61, 0xf0, 0x9f],
        [0x98, 0x80, 0x62],
      ],
      0,
    ),
  );
  add(
    "bytes",
    "TS-4.5",
    "a fragment before text",
    flat(
      [
        [0x61, 0xf0, 0x9f],
        [0x98, 0x80, 0x62],
      ],
      1,
    ),
  );
  add("bytes", "TS-4.5", "the end of one character and the beginning of another", flat([[0xac, 0xe2], text("x")], 0));
  add("bytes", "TS-4.5", "U+FEFF", flat([[0xef, 0xbb, 0xbf], text("x")], 0));
  add("bytes", "TS-4.5", "NUL and control characters", flat([[0x00], [0x0a, 0x1b]], 0));
  add("bytes", "TS-4.6", "a special token has its name and no bytes", flat([{ special: "<|im_end|>" }, text("x")], 0));
  add("bytes", "TS-4.6", "a special token among the likeliest", flat([{ special: "<|im_end|>" }, text("x")], 1));

  const numbers = new Numbers(50);
  for (let count = 0; count < 8; count++) {
    const logits = Array.from({ length: 5 + numbers.below(30) }, () => (numbers.below(257) - 128) / 16);
    add("any", "TS-4.1", "an arbitrary row", {
      logits,
      drawn: numbers.below(logits.length),
      top_logprobs: numbers.below(21),
    });
  }
  return { name: "logprobs", kind: "logprobs", cases: list.cases };
}
