/** What endpoints work with. */

import type { Logger } from "pino";

import type { ApiError, Dialect } from "../openai/index.js";
import type { Exchange } from "./exchange.js";
import type { Metrics } from "./metrics.js";
import type { ModelRegistry } from "./models.js";
import type { BodyLimits } from "./request-body.js";
import type { RequestParser } from "./request-parser.js";

export interface Services {
  readonly models: ModelRegistry;
  readonly metrics: Metrics;
  /** The dialect of every path, where one is forced; null where it follows the path. */
  readonly dialect: Dialect | null;
  readonly requests: RequestParser;
  readonly bodyLimits: BodyLimits;
  readonly heartbeatMs: number;
  readonly version: string;
  /** Seconds since 1970 at which the server started: `created` of its models. */
  readonly startedAt: number;
  readonly log: Logger;
  /** Whether logs may carry the text of messages and answers. */
  readonly logContent: boolean;
  readonly isDraining: () => boolean;
  /** Counts an error, and logs it with its cause if it is ours. */
  readonly noteError: (exchange: Exchange, error: ApiError, cause: unknown) => void;
}
