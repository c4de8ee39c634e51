/** The chat template that ships: R1's manner, and loud about roles it does not know. */

import { readFileSync } from "node:fs";
import { Template } from "@huggingface/jinja";
import { expect, test } from "vitest";

import { CHAT_TEMPLATE, SPECIAL } from "./tokenizer.js";

const render = (messages: object[], add_generation_prompt = true): string =>
  new Template(CHAT_TEMPLATE).render({ messages, add_generation_prompt, bos_token: SPECIAL.begin });

test("tokenizer_config.json holds the template of the source", () => {
  const config = JSON.parse(readFileSync(new URL("../tokenizer_config.json", import.meta.url), "utf8")) as {
    chat_template: string;
  };
  expect(config.chat_template).toBe(CHAT_TEMPLATE);
});

test("earlier reasoning is dropped and new reasoning is opened", () => {
  const messages = [
    { role: "system", content: "Be kind." },
    { role: "user", content: "1+1" },
    { role: "assistant", content: "<think>\nOnes: 1+1=2.\n</think>\n\n1 + 1 = 2" },
    { role: "user", content: "Thanks" },
  ];
  const history =
    "<|begin|><|system|>Be kind.<|end|><|user|>1+1<|end|><|assistant|>1 + 1 = 2<|end|><|user|>Thanks<|end|>";
  expect(render(messages)).toBe(`${history}<|assistant|><think>\n`);
  expect(render(messages, false)).toBe(history);
});

test("a role the model was not trained on is an error", () => {
  expect(() => render([{ role: "tool", content: "42" }])).toThrow("tool");
});
