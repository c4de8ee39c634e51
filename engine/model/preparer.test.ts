/** Tests requests that cannot be prepared. */

import { describe, expect, it, vi } from "vitest";

import { byteTokenizerJson } from "../../spec-tests/fixtures/byte-tokenizer.js";
import { PLAIN } from "../message/index.js";
import { Preparer } from "./preparer.js";

it("names a token that the model does not have on one line, whatever its text is", () => {
  const preparer = new Preparer({
    contextLength: 128,
    vocabSize: 5,
    tokenizerJson: byteTokenizerJson() as Record<string, unknown>,
    tokenizerConfig: {},
    chatTemplate: null,
    messageFormat: PLAIN,
  });
  const message = 'The prompt contains token 10 ("\\n"); the largest token id of this model is 4.';
  expect(() => preparer.generate({ prompt: "\n" })).toThrow(
    expect.objectContaining({ code: "out_of_range", param: "prompt", message }),
  );
});

it("refuses messages and prompts that have no token, which no model can answer", () => {
  const preparer = new Preparer({
    contextLength: 128,
    vocabSize: 257,
    tokenizerJson: byteTokenizerJson() as Record<string, unknown>,
    tokenizerConfig: {},
    chatTemplate: "{% for message in messages %}{{ message.content }}{% endfor %}",
    messageFormat: PLAIN,
  });
  const message = expect.stringContaining("this model's chat template adds nothing to them") as string;
  const refused = expect.objectContaining({ code: "out_of_range", param: "messages", message });
  expect(() => preparer.chat({ messages: [{ role: "user", content: "" }] })).toThrow(refused);
  expect(() => preparer.generate({ prompt: "" })).toThrow(
    expect.objectContaining({ code: "out_of_range", param: "prompt" }),
  );
  expect(preparer.chat({ messages: [{ role: "user", content: "a" }] }).promptTokenIds).toEqual([0x61]);
});

it("refuses template variables that are not JSON, also where their length would be computed", () => {
  const preparer = new Preparer({
    contextLength: 128,
    vocabSize: 257,
    tokenizerJson: byteTokenizerJson() as Record<string, unknown>,
    tokenizerConfig: {},
    chatTemplate: "{% for message in messages %}{{ message.content }}{% endfor %}{{ a }}",
    messageFormat: PLAIN,
  });
  const messages = [{ role: "user", content: "a" }] as const;
  const circular: Record<string, unknown> = {};
  circular["a"] = circular;
  for (const [templateVariables, code] of [
    [{ a: 1n }, "invalid_type"],
    [() => 1, "invalid_type"],
    [circular, "out_of_range"],
  ] as const)
    expect(() => preparer.chat({ messages, templateVariables: templateVariables as object as never })).toThrow(
      expect.objectContaining({ code, param: expect.stringMatching(/^templateVariables/) }),
    );
  expect(preparer.chat({ messages, templateVariables: { a: "b" } }).promptTokenIds).toEqual([0x61, 0x62]);
});

describe("the date of a prompt", () => {
  const preparer = new Preparer({
    contextLength: 128,
    vocabSize: 257,
    tokenizerJson: byteTokenizerJson() as Record<string, unknown>,
    tokenizerConfig: {},
    chatTemplate: "{{ strftime_now('%d%m') }}{% for message in messages %}{{ message.content }}{% endfor %}{{ date }}",
    messageFormat: PLAIN,
  });
  const messages = [{ role: "user", content: "!" }] as const;

  it.each([
    [{ date: "2026-11-30" }, "2026-11-30", "3011!"],
    [{ templateVariables: { date: "2026-12-24" } }, "2026-12-24", "2412!"],
    [{ date: "2026-11-30", templateVariables: { date: "2026-12-24" } }, "2026-12-24", "2412!"],
    [{ date: "2026-11-30", templateVariables: { date: null } }, "2026-11-30", "3011!"],
    [{ date: "2026-11-30", templateVariables: { a: 1 } }, "2026-11-30", "3011!"],
  ])("is given: %j", (options, date, text) => {
    const prepared = preparer.chat({ messages, ...options });
    expect([prepared.date, preparer.decode(prepared.promptTokenIds)]).toEqual([date, text]);
    const encoded = preparer.encode(messages, options);
    expect([encoded.date, encoded.tokenIds]).toEqual([date, prepared.promptTokenIds]);
  });

  it("is today's in UTC otherwise", () => {
    vi.useFakeTimers({ now: new Date("2027-03-04T23:59:59.999Z"), toFake: ["Date"] });
    try {
      expect(preparer.chat({ messages }).date).toBe("2027-03-04");
      vi.setSystemTime(new Date("2027-03-05T00:00:00Z"));
      expect(preparer.decode(preparer.chat({ messages, date: null }).promptTokenIds)).toBe("0503!");
    } finally {
      vi.useRealTimers();
    }
  });

  it("is checked", () => {
    for (const [options, param] of [
      [{ date: "today" }, "date"],
      [{ templateVariables: { date: "2026-11-31" } }, "templateVariables.date"],
    ] as const)
      expect(() => preparer.chat({ messages, ...options })).toThrow(
        expect.objectContaining({ code: "out_of_range", param }),
      );
  });

  it("is absent for raw text", () => {
    expect(preparer.generate({ prompt: "a" }).date).toBeNull();
    expect(preparer.encode("a").date).toBeNull();
  });
});
