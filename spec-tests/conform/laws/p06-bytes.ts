import fc from "fast-check";

import { quoted } from "../answers.js";
import { Violation, type Choice, type Law, type TokenLogprob } from "../law.js";
import { MANY_SCRIPTS, requests } from "../requests.js";

/**
 * Broken if bytes are derived from a token's text instead of the token, or if tokens are decoded one by one: characters
 * that span several tokens become U+FFFD in the text, in the bytes or in both.
 */
export const tokenBytes: Law = {
  id: "P6",
  title: "The bytes of an answer's tokens add up to its text",
  clauses: ["TS-4.9", "TS-4.5", "TS-4.6", "TS-5.2"],
  reports: ["ollama#13497", "vllm#27300", "vllm#19177", "transformers.js#853"],
  needs: ["logprobs"],
  errorRate: null,
  async check(probe) {
    const top = probe.features.has("top_logprobs") ? { top_logprobs: 4 } : {};
    const stream = probe.features.has("stream") ? fc.boolean() : fc.constant(false);
    const cases = fc.record({
      request: requests(probe, {
        prompts: MANY_SCRIPTS,
        maxTokens: { min: 4, max: 40 },
        seed: probe.features.has("seed"),
      }),
      stream,
    });
    await probe.forAll(
      cases,
      async ({ request, stream }) => {
        const answer = await probe.ask({ ...request, logprobs: true, ...top, ...(stream ? { stream } : {}) });
        const choice = answer.choices[0]!;
        if (choice.logprobs === null)
          throw new Violation("logprobs: true was requested, but the answer has none", [answer.exchange], "TS-4.4");
        const fail = (message: string, clause: string | null = null): never => {
          throw new Violation(message, [answer.exchange], clause);
        };
        for (const entry of choice.logprobs.flatMap((each) => [each, ...each.topLogprobs])) demandToken(entry, fail);
        const said = decoded(
          choice.logprobs.flatMap((entry) => entry.bytes ?? [...new TextEncoder().encode(entry.token)]),
        );
        if (!isTextOf(choice, said)) {
          const behind = choice.reasoning === null ? "" : ` after the reasoning ${quoted(choice.reasoning)}`;
          fail(`The bytes of the tokens are ${quoted(said)}; the answer is ${quoted(choice.content)}${behind}`);
        }
      },
      { numRuns: 20, share: 0.9 },
    );
  },
};

function demandToken(
  { token, bytes }: Pick<TokenLogprob, "token" | "bytes">,
  fail: (message: string, clause: string) => never,
): void {
  if (bytes === null) {
    if (token.includes("\uFFFD")) fail(`The token ${quoted(token)} is not complete text and has no bytes`, "TS-4.5");
    return;
  }
  // A special token has a name, but no bytes.
  if (bytes.length === 0 && token !== "") return;
  const text = decoded(bytes);
  if (text !== token)
    fail(`The bytes ${JSON.stringify(bytes)} are ${quoted(text)}; the token is ${quoted(token)}`, "TS-4.5");
}

function decoded(bytes: readonly number[]): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
}

/**
 * Checks that the text of a choice equals the decoded tokens. Reasoning may be separate or part of the content, and the
 * content may begin with an opening tag that was part of the prompt.
 */
function isTextOf({ content, reasoning }: Choice, said: string): boolean {
  if (reasoning === null) {
    const opened = content.endsWith(said) ? content.slice(0, content.length - said.length) : null;
    // Some decoders drop a space at the beginning of a text.
    return said === ` ${content}` || (opened !== null && /^(<[^<>]*>\s*)?$/.test(opened));
  }
  const before = said.endsWith(content) ? said.slice(0, said.length - content.length) : null;
  // Tags surround the reasoning. A cut may leave only the beginning of a tag.
  if (before === null) return false;
  const parts = before.split(reasoning);
  return parts.some(
    (_, i) => i > 0 && isTags(parts.slice(0, i).join(reasoning)) && isTags(parts.slice(i).join(reasoning)),
  );
}

function isTags(text: string): boolean {
  return /^\s*(<[^<>]*>?)?\s*$/.test(text);
}
