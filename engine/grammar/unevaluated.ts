/**
 * `unevaluatedItems` and `unevaluatedProperties`. Once the branches of a place are chosen, it is known which schemas the
 * instance is valid against, and therefore what they evaluate. For the rest, the keyword says what `items` and
 * `additionalProperties` say of a schema that lists everything else.
 */

import { type Group, type Schema, type Schemas, TYPE, hasOwnKeywords } from "./schema.js";

/** What an instance is valid against at one place. */
export interface Chosen {
  /** Schemas with keywords of their own. */
  readonly schemas: ReadonlySet<Schema>;
  /** Groups of which a branch is chosen. */
  readonly groups: ReadonlySet<Group>;
}

export class Unevaluated {
  /** By schema and by what is evaluated beside it. */
  readonly #known = new Map<string, Schema | null>();

  /** @param addGroup registers a group that comes before all that its branches lead to */
  constructor(
    readonly schemas: Schemas,
    readonly addGroup: (group: Group) => void,
  ) {}

  /** Returns what the keywords of the chosen schemas say about an array or object. @param type one of TYPE */
  restOf(chosen: Chosen, type: number): Schema[] {
    const found: Schema[] = [];
    for (const schema of chosen.schemas) {
      const rest = type === TYPE.array ? schema.unevaluatedItems : schema.unevaluatedProperties;
      if (rest === null) continue;
      const evaluating = this.#evaluating(schema, chosen, type);
      const key = `${type};${schema.id};${[...evaluating].map(({ id }) => id).sort((a, b) => a - b)}`;
      let made = this.#known.get(key);
      if (made === undefined) {
        made = type === TYPE.array ? this.#items(schema, rest, evaluating) : this.#properties(schema, rest, evaluating);
        this.#known.set(key, made);
      }
      if (made !== null) found.push(made);
    }
    return found;
  }

  /** Returns a schema, and those that it applies to the same place and that the instance is surely valid against. */
  #evaluating(schema: Schema, chosen: Chosen, type: number): ReadonlySet<Schema> {
    const valid = new Map<Schema, boolean>();
    const found = new Set([schema]);
    for (const { all, groups } of found) {
      this.schemas.languages.spend();
      const branches = groups.flatMap((group) => group.branches).filter((one) => isValid(one, chosen, type, valid));
      for (const other of [...all, ...branches]) if (!other.isSilent) found.add(other);
    }
    return found;
  }

  #properties({ pointer }: Schema, rest: Schema, evaluating: ReadonlySet<Schema>): Schema | null {
    const others = [...evaluating];
    const any = this.schemas.blank(pointer);
    if (others.some((other) => other.additionalProperties !== null || evaluatesAll(other.unevaluatedProperties, rest)))
      return null;
    return Object.assign(this.schemas.blank(pointer), {
      properties: new Map(
        others.flatMap(({ properties }) => [...properties.keys()].map((name) => [name, any] as const)),
      ),
      patternProperties: others.flatMap(({ patternProperties }) =>
        patternProperties.map((pattern) => ({ ...pattern, schema: any })),
      ),
      additionalProperties: rest,
    });
  }

  #items({ pointer }: Schema, rest: Schema, evaluating: ReadonlySet<Schema>): Schema | null {
    const others = [...evaluating];
    const any = this.schemas.blank(pointer);
    if (others.some(({ items, unevaluatedItems }) => items !== null || evaluatesAll(unevaluatedItems, rest)))
      return null;
    const length = others.reduce((most, { prefixItems }) => Math.max(most, prefixItems.length), 0);
    const contained = others.flatMap(({ contains }) => contains).filter(({ isEvaluating }) => isEvaluating);
    return Object.assign(this.schemas.blank(pointer), {
      prefixItems: Array.from({ length }, () => any),
      items: this.#either([...contained.map(({ schema }) => schema), rest], pointer),
    });
  }

  #either(branches: readonly Schema[], pointer: string): Schema {
    if (branches.length === 1) return branches[0]!;
    const schema = this.schemas.blank(pointer);
    const group: Group = { branches, isExclusive: false, pointer, negations: [] };
    schema.groups.push(group);
    this.addGroup(group);
    return schema;
  }
}

/** True for a keyword of another schema, which evaluates what that schema leaves. */
const evaluatesAll = (unevaluated: Schema | null, own: Schema): boolean => unevaluated !== null && unevaluated !== own;

/** True if an instance that is valid against what was chosen is valid against a schema too. False if that is not sure. */
function isValid(schema: Schema, chosen: Chosen, type: number, known: Map<Schema, boolean>): boolean {
  let valid = known.get(schema);
  if (valid === undefined) {
    const { types, refusals, all, groups } = schema;
    valid =
      (types & type) !== 0 &&
      refusals.length === 0 &&
      (!hasOwnKeywords(schema) || chosen.schemas.has(schema)) &&
      all.every((other) => isValid(other, chosen, type, known)) &&
      groups.every(
        (group) =>
          (!group.isExclusive || chosen.groups.has(group)) &&
          group.branches.some((branch) => isValid(branch, chosen, type, known)),
      );
    known.set(schema, valid);
  }
  return valid;
}
