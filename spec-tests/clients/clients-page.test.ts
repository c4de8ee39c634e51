/** docs/CLIENTS.md, and the outcomes of fields that it shows. UPDATE_GOLDEN=1 rewrites the page. */

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

import { clientsPage } from "./clients-page.js";
import { outcomesOf } from "./outcomes.js";
import { CLIENTS } from "./recordings.js";

const PAGE = fileURLToPath(new URL("../../docs/CLIENTS.md", import.meta.url));

it("docs/CLIENTS.md is what the recordings and the request schema say", () => {
  const page = clientsPage(CLIENTS);
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(PAGE, page);
  expect(readFileSync(PAGE, "utf8")).toBe(page);
});

it.each(CLIENTS)("the recordings of $name have a later turn, and a stream if it streams", ({ name, requests }) => {
  const bodies = requests.map(({ body }) => body ?? {});
  expect(bodies.some(({ stream }) => stream === true)).toBe(name !== "promptfoo");
  expect(JSON.stringify(bodies)).toContain('"role":"assistant"');
});

describe("outcomesOf", () => {
  const body = (fields: object) => ({ model: "m", messages: [{ role: "user", content: "Hi" }], ...fields });
  const outcomes = (fields: object, dialect: "ppio" | "openai" = "openai") =>
    Object.fromEntries(outcomesOf(body(fields), dialect));
  const message = (fields: object) => ({ messages: [{ role: "assistant", content: "Hi", ...fields }] });

  it.each<[object, string, string]>([
    [{}, "model", "honored"],
    [{}, "messages[].content", "honored"],
    [{ temperature: 1 }, "temperature", "honored"],
    [{ temperature: 3 }, "temperature", "refused"],
    [{ temperature: null }, "temperature", "honored"],
    [{ user: "a" }, "user", "no effect"],
    [{ store: false }, "store", "no effect"],
    [{ store: true }, "store", "refused"],
    [{ tools: [{}] }, "tools", "refused"],
    [{ odd: 1 }, "odd", "refused"],
    [{ metadata: { a: "b" } }, "metadata", "no effect"],
    [{ stream_options: { include_usage: true } }, "stream_options.include_usage", "honored"],
    [{ stream_options: { include_obfuscation: false } }, "stream_options.include_obfuscation", "no effect"],
    [
      { response_format: { type: "json_schema", json_schema: { name: "a", schema: {} } } },
      "response_format.type",
      "honored",
    ],
    [
      { response_format: { type: "json_schema", json_schema: { name: "a", schema: {}, strict: true } } },
      "response_format.json_schema.strict",
      "no effect",
    ],
    [message({ refusal: null }), "messages[].refusal", "no effect"],
    [message({ refusal: "No." }), "messages[].refusal", "refused"],
    [message({ refusal: "No." }), "messages", "honored"],
    [message({ reasoning_content: "a" }), "messages[].reasoning_content", "honored"],
    [message({ content: [{ type: "text", text: "a", id: "b" }] }), "messages[].content[].text", "honored"],
    [message({ content: [{ type: "text", text: "a", id: "b" }] }), "messages[].content[].id", "no effect"],
    [message({ content: [{ type: "image_url" }] }), "messages[].content", "refused"],
  ])("%j: %s is %s", (fields, path, outcome) => {
    expect(outcomes(fields)[path]).toBe(outcome);
  });

  it("follows the dialect", () => {
    expect(outcomes({ top_p: 0 }, "openai")["top_p"]).toBe("honored");
    expect(outcomes({ top_p: 0 }, "ppio")["top_p"]).toBe("refused");
  });

  it("does not list the entries of objects with open names", () => {
    const paths = Object.keys(outcomes({ logit_bias: { "5": 1 }, metadata: { a: "b" }, tools: [{ type: "x" }] }));
    expect(paths).toEqual([
      "model",
      "messages",
      "messages[].role",
      "messages[].content",
      "logit_bias",
      "metadata",
      "tools",
    ]);
  });

  it("counts a refused value of a field more than an honored one, and that more than one without effect", () => {
    const messages = [
      { role: "assistant", content: "a", refusal: null },
      { role: "assistant", content: "b", refusal: "No." },
    ];
    expect(outcomes({ messages })["messages[].refusal"]).toBe("refused");
    expect(outcomes({ messages: messages.toReversed() })["messages[].refusal"]).toBe("refused");
  });

  it("refuses something in each recorded request that is refused, and nothing in the others", () => {
    for (const { name, requests } of CLIENTS) {
      for (const { title, body, refused } of requests) {
        for (const dialect of ["ppio", "openai"] as const) {
          const found = [...outcomesOf(body ?? {}, dialect)].filter(([, outcome]) => outcome === "refused");
          expect(found.length > 0, `${name}, ${title}, ${dialect}: ${found.join(" ")}`).toBe(refused !== undefined);
        }
      }
    }
  });
});
