/** TS-5.1 to TS-5.10 for answers without reasoning: the text that is emitted after each token and at the end. */

import { CaseList, type Json, type VectorFile } from "./case-list.js";
import { Numbers } from "./philox.js";
import { type Piece, stopIn, textOf } from "./text.js";

interface StopCase {
  readonly pieces: readonly Piece[];
  readonly stop: readonly string[];
  readonly include?: boolean;
  /** Reason why the output ends after the last piece, unless a stop sequence has ended it. */
  readonly end?: "limit" | "end_token";
}

function fieldsOf({ pieces, stop, include = false, end = "limit" }: StopCase): { expected: Json } {
  const released: string[] = [];
  let sent = "";
  let stopped: string | null = null;
  for (let count = 1; count <= pieces.length && stopped === null; count++) {
    const now = stopIn(textOf(pieces.slice(0, count), false), stop, include, false);
    released.push(now.visible.slice(sent.length));
    sent = now.visible;
    stopped = now.stopped;
  }
  const endsEarly = stopped !== null;
  let text = sent;
  if (stopped === null) {
    const whole = stopIn(textOf(pieces, true), stop, include, true);
    text = whole.visible;
    stopped = whole.stopped;
  }
  const numTokens = released.length + (endsEarly ? 0 : Number(end === "end_token"));
  const finishReason = stopped !== null || end === "end_token" ? "stop" : "length";
  const expected = {
    released,
    final: text.slice(sent.length),
    text,
    stopped,
    finish_reason: finishReason,
    completion_tokens: numTokens,
  };
  return { pieces, stop, include, end, expected } as unknown as { expected: Json };
}

const bytes = (...values: number[]): Piece => values;

export function stopVectors(): VectorFile {
  const list = new CaseList<{ expected: Json }>("stop");
  const add = (group: string, clause: string, what: string, one: StopCase): void =>
    list.add(group, clause, what, fieldsOf(one));
  /** Adds a case that keeps the stop sequence and a case that removes it. */
  const both = (group: string, clause: string, what: string, one: StopCase): void => {
    add(group, clause, `${what}; removed`, { ...one, include: false });
    add(group, clause, `${what}; kept`, { ...one, include: true });
  };

  both("cut", "TS-5.3", "a sequence that is a token", { pieces: ["Hello", " world", "STOP", " more"], stop: ["STOP"] });
  both("cut", "TS-5.3", "a sequence across two tokens", { pieces: ["one", " ST", "OP", " two"], stop: ["STOP"] });
  both("cut", "TS-5.3", "a sequence, character by character", { pieces: [..."abcSTOPxyz"], stop: ["STOP"] });
  both("cut", "TS-5.5", "a sequence completed within a token: what follows it is dropped", {
    pieces: ["a", " b STOP c", " d"],
    stop: ["STOP"],
  });
  both("cut", "TS-5.5", "a sequence that begins in one token and ends within the next", {
    pieces: ["x\n", "\nUser: y"],
    stop: ["\n\nUser:"],
  });
  both("cut", "TS-5.3", "a sequence at the very beginning", { pieces: ["STOP", "x"], stop: ["STOP"] });
  both("cut", "TS-5.3", "one character", { pieces: ["a", "b.", "c"], stop: ["."] });
  both("cut", "TS-5.3", "two newlines in one token with text before", {
    pieces: ["line", ".\n\n", "next"],
    stop: ["\n\n"],
  });

  both("which", "TS-5.4", "one ends another: the longer began first", {
    pieces: ["x", "ab", "c", "d"],
    stop: ["bc", "abc"],
  });
  both("which", "TS-5.4", "the same, listed the other way round", {
    pieces: ["x", "ab", "c", "d"],
    stop: ["abc", "bc"],
  });
  both("which", "TS-5.3", "one begins another: the shorter is complete first", {
    pieces: ["a", "b", "c"],
    stop: ["abc", "ab"],
  });
  both("which", "TS-5.3", "one within another: the inner one is complete first", {
    pieces: ["a", "b", "c", "d"],
    stop: ["abcd", "bc"],
  });
  both("which", "TS-5.3", "two in one token: the one complete first", {
    pieces: ["12 END 34 STOP 5"],
    stop: ["STOP", "END"],
  });
  both("which", "TS-5.3", "the first occurrence, not the last", { pieces: ["a;b", ";c;"], stop: [";"] });
  both("which", "TS-5.4", "four sequences, three complete at once", {
    pieces: ["za", "bcd", "e"],
    stop: ["d", "cd", "bcd", "nothing"],
  });
  add("which", "TS-5.3", "a repeated sequence is one", { pieces: ["aSTOP"], stop: ["STOP", "STOP"] });

  both("overlap", "TS-5.3", "a failed beginning that holds a true one", { pieces: [..."aaab"], stop: ["aab"] });
  both("overlap", "TS-5.3", "a failed beginning across tokens that holds a true one", {
    pieces: ["ST", "STOP"],
    stop: ["STOP"],
  });
  add("overlap", "TS-5.6", "a beginning that fails goes out, but for its end that begins again", {
    pieces: [..."ababac!"],
    stop: ["ababx"],
  });
  add("overlap", "TS-5.6", "the longest end that begins any of several", {
    pieces: ["xab", "c", "z"],
    stop: ["abcd", "bcy", "cq"],
  });
  add("overlap", "TS-5.6", "a beginning of one fails into a beginning of another", {
    pieces: ["ab", "c", "!"],
    stop: ["abx", "bcy"],
  });
  add("overlap", "TS-5.6", "a run of the first character", { pieces: ["=", "=", "=", "=", "="], stop: ["==="] });
  add("overlap", "TS-5.6", "a run shorter than the sequence, twice", { pieces: ["--", "a", "--", "b"], stop: ["---"] });

  add("hold", "TS-5.6", "nothing is held back that begins no sequence", {
    pieces: ["Hello", ",", " world"],
    stop: ["STOP"],
  });
  add("hold", "TS-5.6", "no sequences: everything goes out at once", { pieces: ["S", "T", "O", "P"], stop: [] });
  add("hold", "TS-5.6", "a beginning goes out as soon as it fails", {
    pieces: ["S", "T", "A", "R", "T"],
    stop: ["STOP"],
  });
  add("hold", "TS-5.6", "exactly the end that begins a sequence waits", {
    pieces: ["two words\n", "more"],
    stop: ["\n\n"],
  });
  add("hold", "TS-5.6", "a beginning in the middle of a token is no beginning", {
    pieces: ["ST and", " so on"],
    stop: ["STOP"],
  });
  add("hold", "TS-5.6", "letter case matters", { pieces: ["st", "op", " Stop"], stop: ["STOP"] });
  add("hold", "TS-5.3", "nothing is normalised: a composed and a decomposed letter differ", {
    pieces: ["cafe\u0301", " caf\u00e9"],
    stop: ["caf\u00e9"],
  });
  add("hold", "TS-5.6", "long texts are held back from where the sequence may begin", {
    pieces: ["0123456789", "abcdefghij", "k!"],
    stop: ["9abcdefghijkl"],
  });

  for (const end of ["limit", "end_token"] as const) {
    const why = end === "limit" ? "the limit of tokens" : "an end token";
    add("release", "TS-5.7", `what is held back goes out at ${why}`, { pieces: ["Hello ", "ST"], stop: ["STOP"], end });
    add("release", "TS-5.7", `one held-back character goes out at ${why}`, { pieces: ["line\n"], stop: ["\n\n"], end });
    add("release", "TS-5.7", `an incomplete code point at ${why} is one U+FFFD`, {
      pieces: ["x", bytes(0xe2, 0x82)],
      stop: ["STOP"],
      end,
    });
    add("release", "TS-5.7", `held-back text and an incomplete code point at ${why}`, {
      pieces: ["xST", bytes(0xf0, 0x9f)],
      stop: ["STOP"],
      end,
    });
    both("release", "TS-5.10", `the U+FFFD that ${why} makes completes a sequence`, {
      pieces: ["x", bytes(0xe2, 0x82)],
      stop: ["\ufffd"],
      end,
    });
    both("release", "TS-5.10", `a sequence that the last token completes, with ${why} due`, {
      pieces: ["a", "STOP"],
      stop: ["STOP"],
      end,
    });
    add("release", "TS-5.10", `${why} without a sequence`, { pieces: ["a", "b"], stop: ["STOP"], end });
    add("release", "TS-5.10", `no text before ${why}`, { pieces: [], stop: ["STOP"], end: "end_token" });
  }

  both("unicode", "TS-5.3", "a sequence beyond ASCII across the bytes of its characters", {
    pieces: ["x", bytes(0xe2, 0x82), bytes(0xac), "y"],
    stop: ["\u20ac"],
  });
  both("unicode", "TS-5.3", "a sequence beyond U+FFFF", { pieces: ["ok ", "\u{1f600}", "!"], stop: ["\u{1f600}"] });
  add("unicode", "TS-5.6", "a character whose first bytes are those of the sequence's", {
    pieces: ["a", bytes(0xf0, 0x9f, 0x98), bytes(0x81), "b"],
    stop: ["\u{1f600}"],
  });
  both("unicode", "TS-5.5", "bytes behind the sequence within a token are dropped", {
    pieces: [[...bytes(0x61, 0x53, 0x54, 0x4f, 0x50, 0xe2, 0x82)] as Piece, "x"],
    stop: ["STOP"],
  });
  add("unicode", "TS-5.6", "a code point in four tokens goes out with the last", {
    pieces: [bytes(0xf0), bytes(0x9f), bytes(0x98), bytes(0x80)],
    stop: ["x"],
  });
  add("unicode", "TS-5.2", "broken bytes between the halves of a sequence are text", {
    pieces: ["ST", bytes(0xff), "OP"],
    stop: ["STOP"],
  });
  both("unicode", "TS-5.3", "U+0000 in a sequence", { pieces: ["a\u0000", "b", "c"], stop: ["\u0000b"] });
  add("unicode", "TS-5.3", "U+FEFF is text and part of a sequence", {
    pieces: ["\ufeffa", "\ufeff", "b", "c"],
    stop: ["\ufeffb"],
  });

  const numbers = new Numbers(20);
  for (let count = 0; count < 24; count++) {
    const letters = (length: number): string => Array.from({ length }, () => numbers.pick([..."abA\n"])).join("");
    const stop = Array.from({ length: 1 + numbers.below(4) }, () => letters(2 + numbers.below(4)));
    const pieces = Array.from({ length: 6 + numbers.below(6) }, () => letters(1 + numbers.below(3)));
    add("any", "TS-5.6", "arbitrary text of three letters", {
      pieces,
      stop,
      include: numbers.below(2) === 0,
      end: numbers.pick(["limit", "end_token"]),
    });
  }
  return { name: "stop", kind: "stop", cases: list.cases };
}
