/** Tests of the probing of features, with several kinds of endpoints. */

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { afterEach, describe, expect, test } from "vitest";

import type { Law } from "./law.js";
import type { Profile } from "./profile.js";
import { runLaws, type RunOptions } from "./run.js";

let close = (): void => {};
afterEach(() => close());

type Reply = readonly [status: number, body: unknown];

/** Starts a server that answers with the result of `reply`. */
async function serve(reply: (path: string, request: Record<string, unknown>) => Reply): Promise<string> {
  const server = createServer(async (incoming, response) => {
    let text = "";
    for await (const piece of incoming.setEncoding("utf8")) text += piece as string;
    const [status, body] = reply(
      incoming.url!.replace("/v1", ""),
      text === "" ? {} : (JSON.parse(text) as Record<string, unknown>),
    );
    response.writeHead(status).end(typeof body === "string" ? body : JSON.stringify(body));
  });
  await new Promise<void>((listening) => void server.listen(0, "127.0.0.1", listening));
  close = () => void server.close();
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
}

const nothing: Law = {
  id: "P1",
  title: "",
  clauses: [],
  reports: [],
  needs: [],
  errorRate: null,
  check: () => Promise.resolve(),
};

async function profileOf(baseUrl: string, options: Partial<RunOptions> = {}): Promise<Profile> {
  const budget = { calls: 100, seconds: 30 };
  return (
    await runLaws({
      endpoint: { baseUrl, apiKey: null },
      model: null,
      dialect: null,
      laws: [nothing],
      budget,
      seed: 1,
      ...options,
    })
  ).profile;
}

const MODELS: Reply = [200, { data: [{ id: "m" }, { id: "other", max_model_len: 4096 }] }];
const NOT_FOUND: Reply = [404, { error: {} }];
const answer = (message: object = { content: "5" }): Reply => [
  200,
  { system_fingerprint: "fp", choices: [{ index: 0, message }] },
];

function endpoint(routes: {
  models?: Reply;
  capabilities?: Reply;
  chat?: (request: Record<string, unknown>) => Reply;
}): Promise<string> {
  return serve((path, request) => {
    if (path === "/models") return routes.models ?? MODELS;
    if (path === "/capabilities") return routes.capabilities ?? NOT_FOUND;
    return path === "/chat/completions" ? (routes.chat ?? (() => answer()))(request) : NOT_FOUND;
  });
}

describe("what an endpoint supports", () => {
  test("features whose requests are answered are supported; refused ones are listed with the refusal", async () => {
    const refused = ["top_k", "min_p", "logit_bias"];
    const profile = await profileOf(
      await endpoint({
        chat: (request) => {
          const name = refused.find((name) => name in request);
          const format = (request["response_format"] as { type?: string } | undefined)?.type;
          if (format === "json_schema") return [500, "boom"];
          return name === undefined ? answer() : [400, `no ${name}`];
        },
      }),
    );
    expect(Object.fromEntries(profile.missing)).toEqual({
      top_k: "Status 400: no top_k",
      min_p: "Status 400: no min_p",
      logit_bias: "Status 400: no logit_bias",
      json_schema: "Status 500: boom",
      reasoning: "The answer has no reasoning_content.",
    });
    expect([...profile.features]).toEqual([
      "max_tokens",
      "stream",
      "stream_usage",
      "seed",
      "n",
      "stop",
      "logprobs",
      "top_logprobs",
      "temperature",
      "top_p",
      "frequency_penalty",
      "presence_penalty",
      "repetition_penalty",
      "json_object",
      "tools",
    ]);
    expect(profile).toMatchObject({ model: "m", dialect: "openai", contextLength: null, fingerprint: "fp" });
  });

  test("requests leave out max_tokens if the model does not support it", async () => {
    const profile = await profileOf(
      await endpoint({ chat: (request) => ("max_tokens" in request ? [400, "use another"] : answer()) }),
    );
    expect([...profile.missing.keys()]).toEqual(["max_tokens", "reasoning"]);
  });

  test.each([
    [
      "separate if it is requested",
      (request: object) => answer({ content: "", reasoning_content: "separate_reasoning" in request ? "Well" : null }),
      true,
    ],
    [
      "always separate, and the request for it is refused",
      (request: object): Reply =>
        "separate_reasoning" in request ? [400, ""] : answer({ content: "", reasoning: "Well" }),
      true,
    ],
    ["in the text", () => answer({ content: "<think>Well" }), false],
    ["in unreadable answers", (): Reply => [200, "garbage"], false],
  ])("reasoning: %s", async (_, chat, expected) => {
    expect((await profileOf(await endpoint({ chat }))).features.has("reasoning")).toBe(expected);
  });

  test("capabilities determine only the dialect and the context length", async () => {
    const capabilities: Reply = [
      200,
      { dialect: "ppio", models: [{ id: "x", aliases: ["m"], context_length: 512 }], parameters: [{ name: "top_k" }] },
    ];
    const chat = (request: object): Reply => ("top_k" in request ? [400, ""] : answer());
    const url = await endpoint({ capabilities, chat });
    const profile = await profileOf(url);
    expect(profile).toMatchObject({ dialect: "ppio", contextLength: 512 });
    expect(profile.features.has("top_k")).toBe(false);
    expect(await profileOf(url, { dialect: "openai" })).toMatchObject({ dialect: "openai" });
  });

  test("a given model is used even if it is not listed", async () => {
    const asked = new Set<unknown>();
    const chat = ({ model }: { model?: unknown }): Reply => {
      asked.add(model);
      return answer();
    };
    expect(await profileOf(await endpoint({ chat }), { model: "other" })).toMatchObject({
      model: "other",
      contextLength: 4096,
    });
    expect(asked).toEqual(new Set(["other"]));
    expect(await profileOf(await endpoint({ models: NOT_FOUND }), { model: "hidden" })).toMatchObject({
      model: "hidden",
      contextLength: null,
    });
  });
});

describe("an endpoint that cannot be checked", () => {
  test.each([
    [
      "lists no model",
      { models: NOT_FOUND },
      /\/models lists no model \(Status 404.*Give the model, or check the base URL/,
    ],
    [
      "requires a key",
      { models: [401, "who?"] as Reply },
      /requires an API key, or refuses the given one\. Status 401: who\?/,
    ],
    [
      "refuses the simplest request",
      { chat: (): Reply => [404, "no such model"] },
      /simplest request to m, POST http:\/\/\S+\/v1\/chat\/completions\. Status 404: no such model/,
    ],
  ])("%s", async (_, routes, message) => {
    await expect(profileOf(await endpoint(routes))).rejects.toThrow(message);
  });

  test("is unreachable", async () => {
    const url = await endpoint({});
    close();
    await expect(profileOf(url)).rejects.toThrow(
      /^The server does not answer at http:\/\/127\.0\.0\.1:\d+\/v1: .*ECONNREFUSED/,
    );
  });
});
