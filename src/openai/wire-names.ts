/** Maps the library's parameter names to the names in request bodies. */

import { PARAMETERS } from "../../engine/sampling/index.js";

const OTHERS: Readonly<Record<string, string>> = { responseFormat: "response_format", tokenIds: "token_ids" };

/**
 * Translates a library path to the path in the request body.
 *
 * @param path a library parameter or a path inside one, such as `logitBias.17`
 * @param schemaPath path of the JSON schema in the request body
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
