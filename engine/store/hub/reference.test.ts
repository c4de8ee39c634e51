import { expect, test } from "vitest";

import { hubReference } from "./reference.js";

test.each([
  ["org/name", "org/name", "main"],
  ["org/name@v1.0", "org/name", "v1.0"],
  ["https://huggingface.co/org/name", "org/name", "main"],
  ["https://huggingface.co/org/name/", "org/name", "main"],
  ["http://www.huggingface.co/org/name", "org/name", "main"],
  ["huggingface.co/org/name-1.5_x", "org/name-1.5_x", "main"],
  ["hf.co/org/name", "org/name", "main"],
  ["https://huggingface.co/org/name/tree/main", "org/name", "main"],
  ["https://huggingface.co/org/name/tree/refs/pr/3", "org/name", "refs/pr/3"],
])("%s is a model of the hub", (text, repository, revision) => {
  expect(hubReference(text)).toEqual({ repository, revision });
});

test.each([
  "name",
  "/org/name",
  "org/name/more",
  "org/../name",
  "https://example.com/org/name",
  "https://huggingface.co/name",
  "https://huggingface.co/org/name/blob/main/config.json",
  "https://huggingface.co/org/name/tree/../x",
  "https://huggingface.co/org/name?x=1",
  "https://huggingface.co/datasets/org/name",
])("%s is none", (text) => {
  expect(hubReference(text)).toBeNull();
});
