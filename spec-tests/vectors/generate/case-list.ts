/** Collecting and naming of cases, and the format of vector files. */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

export interface VectorFile {
  /** Name of the file, without `.json`. */
  readonly name: string;
  readonly kind: string;
  readonly dialect?: "ppio" | "openai";
  readonly cases: readonly Json[];
}

/**
 * Collects cases. The id of the n-th case of a group is `<prefix>/<group>-<n>`, so new groups do not change other ids.
 */
export class CaseList<C extends object> {
  readonly cases: Json[] = [];
  readonly #prefix: string;
  readonly #counts = new Map<string, number>();

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  add(group: string, clause: string, what: string, fields: C): void {
    const count = (this.#counts.get(group) ?? 0) + 1;
    this.#counts.set(group, count);
    this.cases.push({
      id: `${this.#prefix}/${group}-${count}`,
      clause,
      what,
      ...(fields as { readonly [name: string]: Json }),
    });
  }
}

/** Returns the text of a file: ASCII, with one case per line, so that a changed case is a changed line. */
export function fileText({ kind, dialect, cases }: VectorFile): string {
  const head = { $schema: "./schema.json", kind, ...(dialect === undefined ? {} : { dialect }) };
  const lines = cases.map((one) => `    ${JSON.stringify(one)}`).join(",\n");
  return ascii(`${JSON.stringify(head, null, 2).slice(0, -2)},\n  "cases": [\n${lines}\n  ]\n}\n`);
}

function ascii(json: string): string {
  return json.replaceAll(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Converts a number to JSON. Numbers that JSON cannot represent become strings. */
export function number(value: number): Json {
  return Object.is(value, -0) ? "-0" : Number.isFinite(value) ? value : String(value);
}
