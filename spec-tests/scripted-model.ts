/**
 * A model folder whose model says what a test tells it to, token by token, and is a real model in every other way:
 * what it says passes through converter, runner, kernels, sampler and text stream. Whatever the prompt, it begins one
 * of its answers, each as likely as the others, and a token is followed by the one that follows it in the answers.
 */

import { byteTokenizerJson } from "./byte-tokenizer.js";
import { randomModel, type RandomTensor } from "./random-model.js";

/** The tokens of an answer, as text or bytes; the end token follows the last one. */
export type ScriptedAnswer = readonly (string | Uint8Array)[];

export interface ScriptedModelOptions {
  /** The template writes the opening tag of the reasoning into the prompt. */
  readonly opensReasoning?: boolean;
}

/**
 * Writes the folder `dir` and returns it. A token may occur once in all the answers, because the next one depends on it
 * alone; a prompt must not end with one.
 */
export function scriptedModel(dir: string, answers: readonly ScriptedAnswer[], { opensReasoning = false }: ScriptedModelOptions = {}): Promise<string> {
  const tokens = answers.map((answer) => answer.map((token) => new Uint8Array(Buffer.from(token))));
  if (new Set(tokens.flat().map(String)).size < tokens.flat().length) throw new Error("A token occurs twice in the answers");
  const pieces = tokens.flat().filter(({ length }) => length > 1);
  const ids = tokens.map((answer) => answer.map((bytes) => (bytes.length === 1 ? bytes[0]! : 257 + pieces.indexOf(bytes))));
  return randomModel(dir, {
    config: { vocab_size: 257 + pieces.length, hidden_size: HIDDEN_SIZE },
    edit: (tensors) => follow(tensors, ids),
    files: {
      "tokenizer.json": JSON.stringify(byteTokenizerJson(pieces)),
      "chat_template.jinja": `{# reasons between <think> and </think> #}{% for message in messages %}{{ message.content }}{% endfor %}${opensReasoning ? "<think>" : ""}`,
    },
  });
}

const HIDDEN_SIZE = 64;
const END = 256;
/** So far above all others that none of them is ever drawn. */
const LOGIT = 50;

/** Layers that add nothing, so that the state behind a token is the token's own; state 0 is that of every other token. */
function follow(tensors: Map<string, RandomTensor>, answers: readonly (readonly number[])[]): void {
  for (const [name, { values }] of tensors) values.fill(name.endsWith("norm.weight") ? 1 : 0);
  const embedding = tensors.get("model.embed_tokens.weight")!.values;
  const head = tensors.get("lm_head.weight")!.values;
  const stateOf = new Map(answers.flat().map((id, index) => [id, index + 1]));
  if (stateOf.size >= HIDDEN_SIZE) throw new Error(`The answers have ${stateOf.size} tokens; at most ${HIDDEN_SIZE - 1} are possible`);
  for (let id = 0; id < embedding.length / HIDDEN_SIZE; id++) embedding[id * HIDDEN_SIZE + (stateOf.get(id) ?? 0)] = 1;
  for (const answer of answers) {
    for (const [index, id] of [...answer, END].entries()) {
      const state = index === 0 ? 0 : stateOf.get(answer[index - 1]!)!;
      // The last norm makes the state's one 1 the square root of the hidden size.
      head[id * HIDDEN_SIZE + state] = LOGIT / Math.sqrt(HIDDEN_SIZE);
    }
  }
}
