/**
 * Bodies and answers of many megabytes, each a worst case of its kind, while other clients stream: the server's thread
 * stays responsive. `TOUCHSTONE_LOAD_SECONDS=60` selects the long form.
 */

import { expect, test } from "vitest";

import { chatBody, events, post } from "../../spec-tests/fixtures/server.js";
import { serverProcess } from "../../spec-tests/fixtures/server-process.js";

const IS_LONG = Number(process.env["TOUCHSTONE_LOAD_SECONDS"] ?? 4) >= 60;
const MAX_LOOP_DELAY_MS = IS_LONG ? 20 : 100;
/** Rounds per case, of which the best counts: delays caused by the code recur, delays caused by the machine do not. */
const NUM_ROUNDS = IS_LONG ? 10 : 5;
const NUM_STREAMS = 4;
const MAX_BODY = 8 << 20;

/** Builds a body of up to `numBytes` by repeating `item`. */
function filled(before: string, item: string, after: string, separator = ",", numBytes = MAX_BODY): string {
  const count = Math.floor((numBytes - before.length - after.length) / (item.length + separator.length));
  return `${before}${Array<string>(count).fill(item).join(separator)}${after}`;
}

const numbered = (item: (index: number) => string, count: number): string =>
  Array.from({ length: count }, (_, index) => item(index)).join(",");
const messages = '{"model":"tiny","messages":[';
const content = '{"model":"tiny","messages":[{"role":"user","content":';
const emptyMessage = '{"role":"user","content":""}';

interface Large {
  readonly what: string;
  readonly path?: string;
  readonly status: number;
  readonly body: string | Buffer;
}

const CASES: readonly Large[] = [
  { what: "one string", status: 400, body: filled(`${content}"`, "x", '"}],"n":0}', "") },
  { what: "escapes", status: 400, body: filled(`${content}"`, "\\n", '"}],"n":0}', "") },
  { what: "messages", status: 400, body: filled(messages, emptyMessage, '],"n":0}') },
  {
    what: "content parts that reach the engine",
    status: 400,
    body: filled(`${content}[`, '{"type":"text","text":"a b c"}', "]}]}", ",", 2 << 20),
  },
  { what: "empty arrays", status: 400, body: filled(messages, "[]", "]}") },
  { what: "many deep arrays", status: 400, body: filled(messages, "[".repeat(250) + "]".repeat(250), "]}") },
  { what: "one array that is too deep", status: 400, body: "[".repeat(MAX_BODY) },
  { what: "unknown fields", status: 400, body: `{${numbered((index) => `"k${index}":1`, 600_000)}}` },
  {
    what: "logit_bias",
    status: 400,
    body: `${messages}${emptyMessage}],"logit_bias":{${numbered((id) => `"${id}":1`, 700_000)}}}`,
  },
  { what: "stop sequences", status: 400, body: filled(`${messages}${emptyMessage}],"stop":[`, '"ab"', "]}") },
  {
    what: "a long model name",
    status: 404,
    body: filled(`{"messages":[${emptyMessage}],"model":"`, "x", '"}', ""),
  },
  { what: "a key repeated at the end", status: 400, body: filled(messages, emptyMessage, '],"model":1}') },
  {
    what: "invalid UTF-8 at the end",
    status: 400,
    body: Buffer.concat([Buffer.from(filled(`${content}"`, "é", "", "", MAX_BODY / 2)), Buffer.of(0xff)]),
  },
  {
    what: "text to tokenize",
    path: "tokenize",
    status: 200,
    body: filled('{"model":"tiny","text":"', "hello ", '"}', "", 1 << 20),
  },
  {
    what: "a million tokens",
    path: "detokenize",
    status: 200,
    body: `{"model":"tiny","token_ids":[${numbered(() => "300", 1_000_000)}]}`,
  },
  {
    what: "an answer with all log-probabilities",
    status: 200,
    body: chatBody({ n: 44, max_tokens: 900, temperature: 2, seed: 1, logprobs: true, top_logprobs: 20 }),
  },
];

test("large bodies and answers do not block the server's thread", { timeout: 600_000 }, async () => {
  const server = await serverProcess();
  try {
    let isOver = false;
    let numStreams = 0;
    const stream = async (client: number): Promise<void> => {
      for (; !isOver; numStreams++)
        await events(
          await post(`${server.url}/v1/chat/completions`, chatBody({ seed: client, stream: true, max_tokens: 48 })),
        );
    };
    const streams = Array.from({ length: NUM_STREAMS }, (_, client) => stream(client));

    const delays: Record<string, number> = {};
    for (const { what, path = "chat/completions", status, body } of CASES) {
      delays[what] = Infinity;
      for (let round = 0; round < NUM_ROUNDS && !(delays[what] <= MAX_LOOP_DELAY_MS); round++) {
        await server.vitals();
        const response = await post(`${server.url}/v1/${path}`, body as string);
        await response.arrayBuffer();
        expect(response.status, what).toBe(status);
        delays[what] = Math.min(delays[what], (await server.vitals()).loopDelayMs);
      }
    }
    isOver = true;
    await Promise.all(streams);
    expect(numStreams).toBeGreaterThan(NUM_STREAMS);
    const late = Object.entries(delays).filter(([, delayMs]) => !(delayMs <= MAX_LOOP_DELAY_MS));
    expect(late).toEqual([]);
  } finally {
    server.kill();
  }
});
