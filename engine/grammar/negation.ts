/**
 * Negations of schemas, by De Morgan's laws: an instance is not valid if it breaks one keyword. They express `not`,
 * `if` and `oneOf` as choices of branches, the only thing that values.ts expands.
 *
 * Some keywords have a negation that no schema here can express, such as that a number is not a multiple of another. It
 * is left out, so that answers are always valid, and noted in `omissions`: some valid instances are not generated.
 */

import { type Decimal, compare, greatestBelow, leastAbove, textOf } from "./decimal.js";
import type { Languages } from "./language.js";
import type { NumberRange } from "./numbers.js";
import {
  ALL_TYPES,
  type Contains,
  type Group,
  type Omission,
  type Schema,
  type Schemas,
  TYPE,
  hasOwnKeywords,
  innerSchemas,
} from "./schema.js";

/** Adds what `not`, `if` and `oneOf` of a schema, and of all that it leads to, say by the negations of other schemas. */
export function addNegations(schemas: Schemas, root: Schema): void {
  new Negations(schemas).addTo(root);
}

class Negations {
  readonly #languages: Languages;
  /** Both ways: the negation of a negation is the schema itself. */
  readonly #known = new Map<Schema, Schema>();
  readonly #completed = new Set<Schema>();
  /** Negations that have no keywords yet, by the schema that they negate. */
  readonly #begun: {
    readonly schema: Schema;
    readonly negation: Schema;
    readonly names: ReadonlySet<string>;
  }[] = [];

  constructor(readonly schemas: Schemas) {
    this.#languages = schemas.languages;
  }

  addTo(root: Schema): void {
    const reached = new Set([root]);
    for (const schema of reached) {
      this.#complete(schema);
      for (let next = this.#begun.pop(); next !== undefined; next = this.#begun.pop()) {
        this.#complete(next.schema);
        this.#fill(next.negation, next.schema, next.names);
      }
      for (const other of [...applied(schema), ...innerSchemas(schema)]) reached.add(other);
    }
  }

  /** @param names properties that an instance may have: see `#ofNames` */
  #of(schema: Schema, names = NO_NAMES): Schema {
    let negation = this.#known.get(schema);
    if (negation === undefined) {
      negation = this.schemas.blank(schema.pointer);
      this.#known.set(schema, negation);
      this.#known.set(negation, schema);
      this.#begun.push({ schema, negation, names });
    }
    return negation;
  }

  /** Returns the negation of a schema for a place where the negation of a negation must not evaluate anything. */
  #silentOf(schema: Schema, names: ReadonlySet<string>): Schema {
    return Object.assign(this.schemas.blank(schema.pointer), { all: [this.#of(schema, names)], isSilent: true });
  }

  #complete(schema: Schema): void {
    this.#languages.spend();
    if (this.#completed.has(schema)) return;
    this.#completed.add(schema);
    for (const group of schema.groups) {
      if (!group.isExclusive) continue;
      const inBranches = this.#namesIn([schema, ...group.branches]);
      group.negations = group.branches.map((branch) => this.#of(branch, inBranches));
    }
    for (const contains of schema.contains) if (contains.max < Infinity) contains.negation = this.#of(contains.schema);
    const names = schema.nots.length + schema.conditions.length === 0 ? NO_NAMES : this.#namesIn([schema]);
    for (const not of schema.nots) schema.all.push(this.#silentOf(not, names));
    for (const { if: condition, then, else: otherwise, pointer } of schema.conditions) {
      const [met, unmet] = [this.schemas.blank(pointer), this.schemas.blank(pointer)];
      met.all.push(condition, ...(then === null ? [] : [then]));
      unmet.all.push(this.#silentOf(condition, names), ...(otherwise === null ? [] : [otherwise]));
      schema.groups.push(anyOf([met, unmet], pointer));
    }
  }

  /** Makes `negation` a choice of the negations of each keyword. */
  #fill(negation: Schema, schema: Schema, names: ReadonlySet<string>): void {
    const branches = [
      ...this.#ofScalars(schema, negation.omissions),
      ...this.#ofArrays(schema, negation.omissions),
      ...this.#ofObjects(schema, negation.omissions),
      ...this.#ofNames(schema, names, negation.omissions),
      ...schema.all.map((other) => this.#of(other, names)),
      ...schema.groups.flatMap((group) => this.#ofGroup(schema, group, names, negation.omissions)),
    ];
    for (const { param } of schema.refusals)
      negation.omissions.push({ place: param ?? schema.pointer, types: ALL_TYPES });
    if (branches.length === 0) negation.types = 0;
    else negation.groups.push(anyOf(branches, schema.pointer));
  }

  /** @returns a schema for values of some types only. @param types bits of TYPE */
  #only(schema: Schema, types: number, keywords: Partial<Schema> = {}): Schema {
    return Object.assign(this.schemas.blank(schema.pointer), { types }, keywords);
  }

  #ofScalars(schema: Schema, omissions: Omission[]): Schema[] {
    const { types, numbers, strings, minLength, maxLength, pointer } = schema;
    const only = (type: number, keywords: Partial<Schema>): Schema => this.#only(schema, type, keywords);
    const found: Schema[] = [];
    if (types !== ALL_TYPES) found.push(this.#only(schema, ALL_TYPES & ~types));
    if (numbers.some(({ step }) => step !== null))
      omissions.push({ place: `${pointer}/multipleOf`, types: TYPE.number });
    const others = outside(numbers);
    if (others.length > 0) found.push(only(TYPE.number, { numbers: others }));
    for (const { language, isNarrow } of strings) {
      const other = this.#languages.not(language);
      if (isNarrow) omissions.push({ place: `${pointer}/format`, types: TYPE.string });
      else found.push(only(TYPE.string, { strings: [{ language: other, usual: other, isNarrow: false }] }));
    }
    if (minLength > 0) found.push(only(TYPE.string, { maxLength: minLength - 1 }));
    if (maxLength < Infinity) found.push(only(TYPE.string, { minLength: maxLength + 1 }));
    return found;
  }

  #ofArrays(schema: Schema, omissions: Omission[]): Schema[] {
    const { prefixItems, items, minItems, maxItems, contains, uniqueItems, pointer } = schema;
    const only = (keywords: Partial<Schema>): Schema => this.#only(schema, TYPE.array, keywords);
    const containing = (found: Contains): Schema => only({ contains: [found] });
    const found: Schema[] = [];
    if (minItems > 0) found.push(only({ maxItems: minItems - 1 }));
    if (maxItems < Infinity) found.push(only({ minItems: maxItems + 1 }));
    // Only a second item has one before it.
    const any = prefixItems.length > 1 ? this.schemas.blank(pointer) : schema;
    for (const [index, item] of prefixItems.entries()) {
      found.push(only({ prefixItems: [...new Array<Schema>(index).fill(any), this.#of(item)], minItems: index + 1 }));
    }
    const from = prefixItems.length;
    if (items?.types === 0) found.push(only({ minItems: from + 1 }));
    else if (items !== null)
      found.push(
        containing({ schema: this.#of(items), min: 1, max: Infinity, from, isEvaluating: false, negation: null }),
      );
    for (const { schema: item, min, max, from: first } of contains) {
      if (min > 0)
        found.push(
          containing({ schema: item, min: 0, max: min - 1, from: first, isEvaluating: false, negation: null }),
        );
      if (max < Infinity)
        found.push(
          containing({ schema: item, min: max + 1, max: Infinity, from: first, isEvaluating: false, negation: null }),
        );
    }
    if (schema.unevaluatedItems !== null && !allowsAll(schema.unevaluatedItems))
      omissions.push({ place: `${pointer}/unevaluatedItems`, types: TYPE.array });
    if (uniqueItems) omissions.push({ place: `${pointer}/uniqueItems`, types: TYPE.array });
    return found;
  }

  #ofObjects(schema: Schema, omissions: Omission[]): Schema[] {
    const { required, minProperties, maxProperties, properties, dependentRequired, pointer } = schema;
    const only = (keywords: Partial<Schema>): Schema => this.#only(schema, TYPE.object, keywords);
    const without = (name: string): ReadonlyMap<string, Schema> => new Map([[name, this.#only(schema, 0)]]);
    const found: Schema[] = [];
    for (const name of required) found.push(only({ properties: without(name) }));
    if (minProperties > 0) found.push(only({ maxProperties: minProperties - 1 }));
    if (maxProperties < Infinity) found.push(only({ minProperties: maxProperties + 1 }));
    for (const [name, value] of properties)
      found.push(only({ required: [name], properties: new Map([[name, this.#of(value)]]) }));
    for (const [name, needed] of dependentRequired)
      for (const other of needed) found.push(only({ required: [name], properties: without(other) }));
    if (schema.unevaluatedProperties !== null && !allowsAll(schema.unevaluatedProperties))
      omissions.push({ place: `${pointer}/unevaluatedProperties`, types: TYPE.object });
    if (schema.propertyNames !== null) omissions.push({ place: `${pointer}/propertyNames`, types: TYPE.object });
    return found;
  }

  /**
   * A property breaks `patternProperties` or `additionalProperties`. Any name may do that; only some known ones are tried.
   * @param names declared properties, which an instance may have
   */
  #ofNames(schema: Schema, names: ReadonlySet<string>, omissions: Omission[]): Schema[] {
    const { properties, patternProperties, additionalProperties, pointer } = schema;
    const isClosed = additionalProperties !== null && !allowsAll(additionalProperties);
    if (patternProperties.length > 0) omissions.push({ place: `${pointer}/patternProperties`, types: TYPE.object });
    if (isClosed) omissions.push({ place: `${pointer}/additionalProperties`, types: TYPE.object });
    else if (patternProperties.length === 0) return [];
    const broken: Schema[] = [];
    for (const name of names) {
      this.#languages.spend(1 + patternProperties.length);
      const matching = patternProperties.filter((pattern) => this.#languages.has(pattern.names, name));
      const isAdditional = matching.length === 0 && !properties.has(name);
      for (const value of [
        ...matching.map((pattern) => pattern.schema),
        ...(isAdditional && isClosed ? [additionalProperties] : []),
      ])
        broken.push(
          this.#only(schema, TYPE.object, { required: [name], properties: new Map([[name, this.#of(value)]]) }),
        );
    }
    return broken.length > MAX_TRIED ? [] : broken;
  }

  /** Returns the properties that schemas declare or require, apart from what their groups do. */
  #namesIn(schemas: readonly Schema[]): ReadonlySet<string> {
    const names = new Set<string>();
    const reached = new Set(schemas);
    for (const { all, properties, required } of reached) {
      this.#languages.spend();
      for (const name of [...properties.keys(), ...required]) names.add(name);
      for (const other of all) reached.add(other);
      if (names.size > MAX_NAMES) break;
    }
    return names;
  }

  /** No branch is valid or, if the group is exclusive, more than one. */
  #ofGroup(
    schema: Schema,
    { branches, isExclusive, pointer }: Group,
    names: ReadonlySet<string>,
    omissions: Omission[],
  ): Schema[] {
    const none = this.schemas.blank(schema.pointer);
    none.all.push(...branches.map((branch) => this.#of(branch, names)));
    if (!isExclusive) return [none];
    if (branches.length > MAX_PAIRED) {
      omissions.push({ place: pointer, types: ALL_TYPES });
      return [none];
    }
    const pairs = branches.flatMap((first, index) =>
      branches.slice(index + 1).map((second) => {
        const both = this.schemas.blank(schema.pointer);
        both.all.push(first, second);
        return both;
      }),
    );
    return [none, ...pairs];
  }
}

const NO_NAMES: ReadonlySet<string> = new Set();

/** Properties that are tried for the negation of `additionalProperties`, and those that are looked at. */
const MAX_TRIED = 8;
const MAX_NAMES = 200;

/** Branches of a `oneOf` whose negation lists all pairs. */
const MAX_PAIRED = 12;

const anyOf = (branches: readonly Schema[], pointer: string): Group => ({
  branches,
  isExclusive: false,
  pointer,
  negations: [],
});

/** Returns the schemas that apply where this one does. */
function applied({ all, groups }: Schema): Schema[] {
  return [...all, ...groups.flatMap(({ branches, negations }) => [...branches, ...negations])];
}

function allowsAll(schema: Schema): boolean {
  return (
    schema.types === ALL_TYPES &&
    schema.all.length === 0 &&
    schema.groups.length === 0 &&
    schema.nots.length === 0 &&
    schema.conditions.length === 0 &&
    schema.refusals.length === 0 &&
    !hasOwnKeywords(schema)
  );
}

/** Returns the numbers outside of all ranges. Steps are ignored: the result may leave out numbers between two multiples. */
function outside(ranges: readonly NumberRange[]): NumberRange[] {
  const sorted = ranges.toSorted(({ min: a }, { min: b }) => (a === null ? -1 : b === null ? 1 : compare(a, b)));
  const gaps: NumberRange[] = [];
  let min: Decimal | null = null;
  let isEnd = false;
  for (const range of sorted) {
    if (isEnd) break;
    if (range.min !== null) {
      const gap = { min, max: greatestBelow(valueOf(range.min)), step: null };
      if (gap.min === null || compare(gap.min, gap.max) <= 0) gaps.push(gap);
    }
    if (range.max === null) isEnd = true;
    else {
      const above = leastAbove(valueOf(range.max));
      if (min === null || compare(above, min) > 0) min = above;
    }
  }
  if (!isEnd) gaps.push({ min, max: null, step: null });
  return gaps;
}

const valueOf = (value: Decimal): number => (value.digits < 0n ? -1 : 1) * Number(textOf(absolute(value)));
const absolute = ({ digits, exponent }: Decimal): Decimal => ({ digits: digits < 0n ? -digits : digits, exponent });
