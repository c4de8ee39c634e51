/** Tests requests that cannot be prepared. */

import { expect, it } from "vitest";

import { byteTokenizerJson } from "../../spec-tests/fixtures/byte-tokenizer.js";
import { PLAIN } from "../message/index.js";
import { Preparer } from "./preparer.js";

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
