/** What every folder that an engine runs from tells about its model, whatever computes it. */

import type { JsonObject } from "../json.js";
import type { MessageFormat } from "../message/index.js";

export interface ModelFolder {
  readonly dir: string;
  /** sha256 over its files: equal hashes mean equal models. */
  readonly modelHash: string;
  /** Positions the model was made for. */
  readonly contextLength: number;
  /** Logits of a row; the tokenizer may know fewer tokens, or more. */
  readonly vocabSize: number;
  readonly endTokenIds: readonly number[];
  readonly tokenizerJson: JsonObject;
  /** Empty where the model has none. */
  readonly tokenizerConfig: JsonObject;
  /** Jinja source, or null where the model has no template. */
  readonly chatTemplate: string | null;
  /** How the model writes a message. */
  readonly messageFormat: MessageFormat;
}
