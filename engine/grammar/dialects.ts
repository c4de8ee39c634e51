/** Drafts of JSON Schema: what differs between them in the meaning of a document, and which keywords look misspelled. */

import { nearestName } from "../nearest-name.js";

/** How a document is read, beyond what its keywords say themselves. */
export interface Dialect {
  /** True if keywords beside `$ref` are ignored, as in drafts before 2019-09 and in OpenAPI 3.0. */
  readonly ignoresBesideRef: boolean;
  /** True if `id` is what `$id` is today, as in draft 4. */
  readonly hasPlainId: boolean;
  /** True if `nullable` beside `type` allows null, as in OpenAPI 3.0. */
  readonly hasNullable: boolean;
  /** True if items that `contains` finds count as evaluated for `unevaluatedItems`, as since 2020-12. */
  readonly evaluatesContained: boolean;
}

const DRAFT_2020: Dialect = {
  ignoresBesideRef: false,
  hasPlainId: false,
  hasNullable: false,
  evaluatesContained: true,
};
const DRAFT_2019: Dialect = { ...DRAFT_2020, evaluatesContained: false };
const DRAFT_7: Dialect = { ...DRAFT_2019, ignoresBesideRef: true };
const DRAFT_4: Dialect = { ...DRAFT_7, hasPlainId: true };
const OPEN_API_3: Dialect = { ...DRAFT_7, hasNullable: true };

/** @returns the dialect that `$schema` names, or else the one whose keywords the document has; 2020-12 if none tells */
export function dialectOf(document: unknown): Dialect {
  const named = /json-schema\.org\/draft(?:\/|-)([0-9-]+)\//.exec(String((document as { $schema?: unknown })?.$schema));
  if (named !== null) {
    const [, draft = ""] = named;
    return draft <= "04" ? DRAFT_4 : draft < "2" ? DRAFT_7 : draft < "2020" ? DRAFT_2019 : DRAFT_2020;
  }
  const open = [document];
  let found = DRAFT_2020;
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (typeof value !== "object" || value === null) continue;
    for (const [key, of] of Object.entries(value)) {
      if (NEW_KEYWORDS.has(key) && typeof of === "object") return DRAFT_2020;
      if ((key === "exclusiveMinimum" || key === "exclusiveMaximum") && typeof of === "boolean") found = DRAFT_4;
      if (key === "nullable" && typeof of === "boolean") return OPEN_API_3;
      open.push(of);
    }
  }
  return found === DRAFT_2020 && hasText(document, "id") && !hasText(document, "$id") ? DRAFT_4 : found;
}

/** Keywords since 2019-09 whose values are objects or arrays, so that no annotation is taken for one. */
const NEW_KEYWORDS: ReadonlySet<string> = new Set(["$defs", "prefixItems", "dependentRequired", "dependentSchemas"]);

function hasText(document: unknown, key: string): boolean {
  return typeof (document as Record<string, unknown> | null)?.[key] === "string";
}

/** @returns the keyword that an unknown one is likely a misspelling of, or null */
export function misspelled(keyword: string, known: readonly string[]): string | null {
  const alike = known.filter(({ length }) => Math.abs(length - keyword.length) <= 2);
  const [short, long] = [alike.filter(({ length }) => length < 8), alike.filter(({ length }) => length >= 8)];
  return nearestName(keyword, long, 2) ?? nearestName(keyword, short, 1);
}
