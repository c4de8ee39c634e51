/** What a request body calls the library's parameters. */

import { PARAMETERS } from "../../engine/sampling/index.js";

const OTHERS: Readonly<Record<string, string>> = { responseFormat: "response_format", tokenIds: "token_ids" };

/**
 * @param path a parameter of the library or a place inside one, such as `logitBias.17`
 * @param schemaPath where the request has its JSON schema
 */
export function wireName(path: string, schemaPath = "response_format.schema"): string {
  const schema = "responseFormat.schema";
  if (path === schema || path.startsWith(`${schema}/`)) return schemaPath + path.slice(schema.length);
  const [head = ""] = /^\w+/.exec(path) ?? [];
  const wire = Object.hasOwn(PARAMETERS, head)
    ? PARAMETERS[head as keyof typeof PARAMETERS].wire
    : (OTHERS[head] ?? head);
  return wire + path.slice(head.length);
}
