/** Dependencies of the endpoints. */

import type { Logger } from "pino";

import type { ApiError, Dialect } from "../openai/index.js";
import type { Exchange } from "./exchange.js";
import type { Metrics } from "./metrics.js";
import type { ModelRegistry } from "./models.js";
import type { BodyLimits } from "./request-body.js";
import type { RequestParser } from "./request-parser.js";
import type { SseOptions } from "./sse.js";

export interface Services {
  readonly models: ModelRegistry;
  readonly metrics: Metrics;
  /** The forced dialect of all paths; null if the path determines the dialect. */
  readonly dialect: Dialect | null;
  readonly requests: RequestParser;
  readonly bodyLimits: BodyLimits;
  /** Returns the date for chat templates, unless a request has its own: the server's fixed one, or today's in UTC. */
  readonly date: () => string;
  readonly pace: SseOptions;
  readonly version: string;
  /** True if requests need a key. */
  readonly needsKey: boolean;
  /** Start time of the server, Unix time in seconds; the `created` field of its models. */
  readonly startedAt: number;
  readonly log: Logger;
  /** Set to log the text of messages and answers. */
  readonly logContent: boolean;
  readonly isDraining: () => boolean;
  /** Counts an error; logs an internal error with its cause. */
  readonly noteError: (exchange: Exchange, error: ApiError, cause: unknown) => void;
}
