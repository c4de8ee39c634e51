/** Properties of a model that every runnable folder provides, independent of the runtime that computes it. */

import type { JsonObject } from "../json.js";
import type { MessageFormat } from "../message/index.js";

export interface ModelFolder {
  readonly dir: string;
  /** sha256 over the files: equal hashes mean equal models. */
  readonly modelHash: string;
  /** Number of positions the model was made for. */
  readonly contextLength: number;
  /** Number of logits per row; the tokenizer may have fewer tokens, or more. */
  readonly vocabSize: number;
  readonly endTokenIds: readonly number[];
  readonly tokenizerJson: JsonObject;
  /** Empty if the model has none. */
  readonly tokenizerConfig: JsonObject;
  /** Jinja source, or null if the model has no template. */
  readonly chatTemplate: string | null;
  /** Format in which the model writes a message. */
  readonly messageFormat: MessageFormat;
}
