/**
 * 64 clients stream at once, and a third of the streams are cut off at random: every complete answer equals the one
 * given without load, no place leaks, and the server's thread stays responsive. `TOUCHSTONE_LOAD_SECONDS=60` selects
 * the long form.
 */

import { expect, test } from "vitest";

import { chatBody, events, post, until } from "../../spec-tests/fixtures/chat-client.js";
import { serverProcess } from "../../spec-tests/fixtures/server-process.js";

const NUM_CLIENTS = 64;
const SECONDS = Number(process.env["TOUCHSTONE_LOAD_SECONDS"] ?? 4);
/** The short form shares the machine with other tests, so its limit only catches large deviations. */
const MAX_LOOP_DELAY_MS = SECONDS >= 60 ? 20 : 100;

// Our code delays every try, other processes only some.
test("serves many clients, some of which disconnect", { timeout: (SECONDS + 120) * 1000, retry: 2 }, async () => {
  const server = await serverProcess();
  try {
    const chatUrl = `${server.url}/v1/chat/completions`;
    const ask = (client: number, fields: object, init: RequestInit = {}) =>
      post(
        chatUrl,
        chatBody({
          seed: client,
          max_tokens: 48,
          messages: [{ role: "user", content: `What is ${client} + ${3 * client}?` }],
          ...fields,
        }),
        init,
      );

    const alone: string[] = [];
    for (let client = 0; client < NUM_CLIENTS; client++) {
      const { choices } = (await (await ask(client, {})).json()) as { choices: { message: { content: string } }[] };
      alone.push(choices[0]!.message.content);
    }

    const counts = { whole: 0, cut: 0 };
    const stream = async (client: number): Promise<void> => {
      const leave = new AbortController();
      const stays = Math.random() > 1 / 3;
      const timer = stays ? undefined : setTimeout(() => leave.abort(), Math.random() * 1000);
      try {
        const chunks = await events(await ask(client, { stream: true }, { signal: leave.signal }));
        expect(chunks.map(contentOf).join("")).toBe(alone[client]);
        counts.whole++;
      } catch (error) {
        if (!leave.signal.aborted) throw error;
        counts.cut++;
      } finally {
        clearTimeout(timer);
      }
    };
    const clients = (seconds: number) => {
      const endMs = performance.now() + seconds * 1000;
      const repeat = async (client: number): Promise<void> => {
        while (performance.now() < endMs) await stream(client);
      };
      return Promise.all(alone.map((_, client) => repeat(client)));
    };
    await clients(1);
    const before = await server.vitals();
    await clients(SECONDS);
    const after = await server.vitals();

    expect(counts.whole).toBeGreaterThan(NUM_CLIENTS / 4);
    expect(counts.cut).toBeGreaterThan(0);
    await until(async () =>
      /vllm:num_requests_running\{[^}]+\} 0\n[^]*vllm:num_requests_waiting\{[^}]+\} 0\n/.test(
        await (await fetch(`${server.url}/metrics`)).text(),
      ),
    );
    expect(after.loopDelayMs).toBeLessThanOrEqual(MAX_LOOP_DELAY_MS);
    expect(after.numBytesInUse / before.numBytesInUse).toBeLessThan(1.1);
  } finally {
    server.kill();
  }
});

function contentOf(chunk: object): string {
  const { choices } = chunk as { choices: { delta: { content?: string } }[] };
  return choices[0]?.delta.content ?? "";
}
