/** Maps the library's parameter names to the names in request bodies. */

import { PARAMETERS } from "../../engine/sampling/index.js";

const OTHERS: Readonly<Record<string, string>> = {
  responseFormat: "response_format",
  templateVariables: "chat_template_kwargs",
  tokenIds: "token_ids",
  toolChoice: "tool_choice",
  parallelToolCalls: "parallel_tool_calls",
};

/** What a body calls the parameters that have two places or names, for errors about them. */
export interface SentNames {
  /** Path of the JSON schema. */
  readonly schema: "response_format.schema" | "response_format.json_schema.schema";
  readonly maxTokens: "max_tokens" | "max_completion_tokens";
}

/** Names of a body that has neither a schema nor a limit, and of requests without a body. */
const UNSENT: SentNames = { schema: "response_format.schema", maxTokens: "max_tokens" };

/**
 * Translates a library path to the path in the request body.
 *
 * @param path a library parameter or a path inside one, such as `logitBias.17`
 */
export function wireName(path: string, sent: SentNames = UNSENT): string {
  if (path === "maxTokens") return sent.maxTokens;
  const schema = "responseFormat.schema";
  if (path === schema || path.startsWith(`${schema}/`)) return sent.schema + path.slice(schema.length);
  const [head = ""] = /^\w+/.exec(path) ?? [];
  const wire = Object.hasOwn(PARAMETERS, head)
    ? PARAMETERS[head as keyof typeof PARAMETERS].wire
    : (OTHERS[head] ?? head);
  return wire + path.slice(head.length);
}
