import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { PLAIN, THINK, THINKING } from "./message-format.js";
import { MessageTracker, type Part, type Span } from "./message-tracker.js";

const piece = fc.constantFrom("<think>", "</think>", "<", "</", "think>", "th", ">", " ", "\n", "a", "é", "</thi");
const texts = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(""));

/** Divides a whole text into parts by the rules of the contract (section 6). */
function partsOf(text: string, inside: boolean): Span[] {
  const spans: Span[] = [];
  const emit = (part: Part, found: string): void => {
    if (found !== "") spans.push({ part, text: found });
  };
  let rest = text;
  if (!inside) {
    const [, lead = "", opening] = /^([ \t\r\n]*)(<think>)?/.exec(text)!;
    if (opening === undefined) return text === "" ? [] : [{ part: "answer", text }];
    emit("lead", lead);
    emit("markup", opening);
    rest = text.slice(lead.length + opening.length);
  }
  const end = rest.indexOf(THINK.close);
  if (end < 0) {
    let length = THINK.close.length - 1;
    while (!rest.endsWith(THINK.close.slice(0, length))) length--;
    emit("reasoning", rest.slice(0, rest.length - length));
    return spans;
  }
  emit("reasoning", rest.slice(0, end));
  emit("markup", THINK.close);
  const after = rest.slice(end + THINK.close.length);
  const [gap] = /^[ \t\r\n]*/.exec(after)!;
  emit("gap", gap);
  emit("answer", after.slice(gap.length));
  return spans;
}

/** Joins adjacent spans of the same part, so that the split of the text does not matter. */
function joined(spans: readonly Span[]): Span[] {
  const result: Span[] = [];
  for (const span of spans) {
    const last = result.at(-1);
    if (last?.part === span.part && span.part !== "markup") {
      result[result.length - 1] = { part: span.part, text: last.text + span.text };
    } else result.push(span);
  }
  return result;
}

describe("MessageTracker", () => {
  it("finds the parts of a text for any split into chunks", () => {
    fc.assert(
      fc.property(fc.array(texts, { maxLength: 6 }), fc.boolean(), (chunks, inside) => {
        const tracker = new MessageTracker(THINKING, inside);
        const spans = [...chunks.flatMap((chunk) => tracker.push(chunk)), ...tracker.finish()];
        expect(joined(spans)).toEqual(partsOf(chunks.join(""), inside));
      }),
      { numRuns: 3000 },
    );
  });

  it("finds the same parts in bytes and in characters", () => {
    const latin1 = (text: string): string => Buffer.from(text).toString("latin1");
    fc.assert(
      fc.property(texts, fc.boolean(), (text, inside) => {
        const [characters, bytes] = [new MessageTracker(THINKING, inside), new MessageTracker(THINKING, inside)];
        const asBytes = characters.push(text).map(({ part, text: found }) => ({ part, text: latin1(found) }));
        expect(joined([...latin1(text)].flatMap((byte) => bytes.push(byte)))).toEqual(joined(asBytes));
        expect(bytes.phase).toBe(characters.phase);
      }),
    );
  });

  it("peeks without changing its state", () => {
    fc.assert(
      fc.property(texts, texts, texts, (before, peeked, after) => {
        const [one, two] = [new MessageTracker(THINKING, false), new MessageTracker(THINKING, false)];
        expect(one.push(before)).toEqual(two.push(before));
        const seen = one.peek(peeked);
        expect(one.push(after)).toEqual(two.push(after));
        const fresh = new MessageTracker(THINKING, false);
        fresh.push(before);
        expect(fresh.push(peeked)).toEqual(seen);
      }),
    );
  });

  it("enters the answer with its first character", () => {
    const tracker = new MessageTracker(THINKING, true);
    const phases = [..."a</think>\nb"].map((character) => {
      tracker.push(character);
      return tracker.phase;
    });
    expect(phases.slice(-3)).toEqual(["gap", "gap", "answer"]);
  });

  it("treats all text of a model without reasoning as the answer", () => {
    const tracker = new MessageTracker(PLAIN, false);
    expect(tracker.push(" <think>a")).toEqual([{ part: "answer", text: " <think>a" }]);
  });

  it("reads long white space in linear time", () => {
    const tracker = new MessageTracker(THINKING, false);
    for (let index = 0; index < 200_000; index++) tracker.push(" ");
    expect(tracker.push("b").map(({ part, text }) => [part, text.length])).toEqual([["answer", 200_001]]);
  });
});
