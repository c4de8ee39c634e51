/**
 * 10,000 malformed bodies of many kinds: each gets a 4xx with a complete error object; afterwards the server still
 * answers and its memory is released. The bodies are generated from a fixed fast-check seed.
 */

import fc from "fast-check";
import { expect, test } from "vitest";

import { chatBody, post } from "../../spec-tests/fixtures/server.js";
import { serverProcess } from "../../spec-tests/fixtures/server-process.js";

const NUM_BODIES = 10_000;
const NUM_AT_ONCE = 16;

interface Malformed {
  readonly body: string | Uint8Array<ArrayBuffer>;
  readonly contentType: string;
}

const messages = [{ role: "user", content: "Hello" }];
const json = (body: fc.Arbitrary<string>): fc.Arbitrary<Malformed> =>
  body.map((body) => ({ body, contentType: "application/json" }));
const wrongValue = fc.oneof(
  fc.constantFrom([], {}, "", "\ud800", -1e308, 0.5, [[]], [null], { __proto__: null, a: 1 }),
  fc.array(fc.string(), { minLength: 5 }),
);

const brokenText = fc.tuple(fc.nat(), fc.string({ minLength: 1, maxLength: 3 })).map(([at, text]) => {
  const body = chatBody();
  const cut = 1 + (at % (body.length - 2));
  return `${body.slice(0, cut)}${text}"\u0000${body.slice(cut)}`;
});

const arbitrary: fc.Arbitrary<Malformed> = fc.oneof(
  json(fc.nat(100).map((length) => chatBody().slice(0, length % (chatBody().length - 1)))),
  json(brokenText),
  json(fc.json().filter((text) => !text.includes('"model"'))),
  json(
    fc
      .tuple(
        fc.constantFrom(
          "temperature",
          "n",
          "stop",
          "logit_bias",
          "stream",
          "max_tokens",
          "top_k",
          "seed",
          "response_format",
          "messages",
          "model",
          "stream_options",
          "tools",
        ),
        wrongValue,
      )
      .filter(([name, value]) => !isAccepted(name, value))
      .map(([name, value]) => JSON.stringify({ model: "tiny", messages, [name]: value })),
  ),
  json(fc.string({ minLength: 1 }).map((name) => `{"model":"tiny","messages":[],${JSON.stringify(name)}:1}`)),
  json(
    fc
      .constantFrom("model", "messages", "__proto__", "constructor", "toString")
      .map((name) => chatBody().replace("{", `{"${name}":1,`)),
  ),
  json(
    fc
      .integer({ min: 100, max: 50_000 })
      .map((depth) => `{"model":"tiny","messages":${"[".repeat(depth)}${"]".repeat(depth)}}`),
  ),
  fc
    .uint8Array({ minLength: 1, maxLength: 8 })
    .map((bytes) => ({ body: withBytes(bytes), contentType: "application/json" })),
  fc
    .constantFrom("text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "x")
    .map((contentType) => ({ body: chatBody(), contentType })),
);

/** Some of the generated values, such as empty lists, are valid for some parameters. */
function isAccepted(name: string, value: unknown): boolean {
  const isEmpty = typeof value === "object" && value !== null && Object.keys(value).length === 0;
  return (
    (name === "logit_bias" && isEmpty && !Array.isArray(value)) ||
    (name === "stream_options" && isEmpty && !Array.isArray(value)) ||
    ((name === "tools" || name === "stop") && isEmpty && Array.isArray(value)) ||
    (name === "max_tokens" && value === -1) ||
    (name === "temperature" && value === 0.5)
  );
}

/** Returns a body whose text contains bytes that are not valid UTF-8. */
function withBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const [before, after] = chatBody().split("What");
  return Uint8Array.from([...Buffer.from(before!), ...bytes, 0xff, ...Buffer.from(after!)]);
}

test("malformed bodies get complete error objects and leak no memory", { timeout: 240_000 }, async () => {
  const server = await serverProcess();
  try {
    const chatUrl = `${server.url}/v1/chat/completions`;
    const refuse = async ({ body, contentType }: Malformed): Promise<void> => {
      const response = await post(chatUrl, body as string, { headers: { "content-type": contentType } });
      const answer = (await response.json()) as { error: Record<string, unknown> };
      const given = typeof body === "string" ? body.slice(0, 200) : [...body];
      const { type, message, code, param } = answer.error;
      const isWhole =
        type === "invalid_request_error" &&
        [message, code, param ?? ""].every((field) => typeof field === "string") &&
        param !== undefined;
      if (isWhole && Object.keys(answer.error).length === 4 && response.status >= 400 && response.status < 500) return;
      throw new Error(`${response.status} ${JSON.stringify(answer)} for ${JSON.stringify(given)} as ${contentType}`);
    };
    const bodies = fc.sample(arbitrary, { numRuns: NUM_BODIES, seed: 20_26 });
    expect(bodies).toHaveLength(NUM_BODIES);
    await inParallel(bodies.slice(0, 1_000), refuse);
    const before = await server.vitals();
    await inParallel(bodies.slice(1_000), refuse);
    for (const length of [7 << 20, 10 << 20, 40 << 20])
      await refuse({ body: chatBody({ user: "x".repeat(length), n: 0 }), contentType: "application/json" });
    expect((await post(chatUrl, chatBody({ max_tokens: 1 }))).status).toBe(200);
    expect((await server.vitals()).numBytesInUse / before.numBytesInUse).toBeLessThan(1.1);
  } finally {
    server.kill();
  }
});

async function inParallel(bodies: readonly Malformed[], work: (body: Malformed) => Promise<void>): Promise<void> {
  const queue = bodies.values();
  await Promise.all(
    Array.from({ length: NUM_AT_ONCE }, async () => {
      for (const body of queue) await work(body);
    }),
  );
}
