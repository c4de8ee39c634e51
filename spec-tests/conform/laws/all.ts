/** All laws, in the order in which they are checked. */

import type { Law } from "../law.js";
import { batchMates } from "./p01-batch-mates.js";
import { coldAndWarmCache } from "./p02-cache.js";
import { streams } from "./p03-streams.js";
import { stopSequences } from "./p04-stop.js";
import { finishReason } from "./p05-finish-reason.js";
import { tokenBytes } from "./p06-bytes.js";
import { logprobs } from "./p07-logprobs.js";
import { refusals } from "./p08-refusals.js";
import { structuredAnswers } from "./p09-schemas.js";
import { schemaAndReasoning } from "./p10-schema-and-reasoning.js";
import { contextLength } from "./p11-context.js";
import { usageAddsUp } from "./p12-usage.js";
import { disconnect } from "./p13-disconnect.js";
import { cancellation } from "./p14-cancellation.js";
import { sampling } from "./p15-sampling.js";
import { parallelAnswers } from "./p16-parallel.js";
import { wholeCalls } from "./p17-calls.js";
import { streamedCalls } from "./p18-streamed-calls.js";
import { toolChoice } from "./p19-tool-choice.js";
import { toolResults } from "./p20-tool-results.js";
import { manyTools } from "./p21-many-tools.js";
import { endsOfCalls } from "./p22-ends-of-calls.js";
import { validation } from "./validation.js";

export const LAWS: readonly Law[] = [
  batchMates,
  coldAndWarmCache,
  streams,
  stopSequences,
  finishReason,
  tokenBytes,
  logprobs,
  refusals,
  structuredAnswers,
  schemaAndReasoning,
  contextLength,
  usageAddsUp,
  disconnect,
  cancellation,
  sampling,
  parallelAnswers,
  wholeCalls,
  streamedCalls,
  toolChoice,
  toolResults,
  manyTools,
  endsOfCalls,
  validation,
];
