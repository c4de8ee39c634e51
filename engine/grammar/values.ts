/**
 * The values that are allowed at each location of the answer, by type. A location is described by the set of schemas
 * that all apply to it, and equal sets share one node. So `allOf`, `$ref` and properties that match several keywords
 * merge without copying, recursion included. `anyOf`, `oneOf` and `enum` are expanded for each type separately.
 *
 * Nodes that no value satisfies are found as a least fixed point (an instance is finite), and are never offered.
 */

import { LIMITS } from "../limits.js";
import { type Language, type Languages, TooManyStates } from "./language.js";
import { ALL_NUMBERS, type NumberRange, type NumberSet, intersectRanges, isEmptySet, numberSet } from "./numbers.js";
import { type NameClass, ObjectShape, type Slot } from "./objects.js";
import { ALL_TYPES, type Schema, TYPE, invalid, shown, unsupported } from "./schema.js";

export interface ArrayShape {
  readonly id: number;
  readonly prefix: readonly ValueNode[];
  readonly rest: ValueNode;
  readonly min: number;
  /** Settled: lowered to the number of items that can have a value. */
  max: number;
}

/** A location of the answer: the values that it allows. */
export interface ValueNode {
  readonly id: number;
  readonly schemas: readonly Schema[];
  /** Bits of TYPE for null and the booleans. */
  words: number;
  numbers: NumberSet;
  /** Settled: without dead ends. */
  strings: Language;
  arrays: readonly ArrayShape[];
  objects: readonly ObjectShape<ValueNode>[];
  /** True if some value is allowed. */
  exists: boolean;
}

/**
 * Builds the nodes that a schema describes.
 * @returns the node of the whole answer
 * @throws EngineError invalid_schema or unsupported_schema
 */
export function valuesOf(languages: Languages, root: Schema): ValueNode {
  return new ValueBuilder(languages).build(root);
}

type Group = Schema["groups"][number];

class ValueBuilder {
  readonly #nodes = new Map<string, ValueNode>();
  /** Nodes whose description was begun; it may be finished. */
  readonly #begun = new Set<ValueNode>();
  readonly #described = new Set<ValueNode>();
  readonly #asked = new Set<ValueNode>();
  readonly #nothing = new Set<ValueNode>();
  #numShapes = 0;

  constructor(readonly languages: Languages) {}

  build(root: Schema): ValueNode {
    refuseLoops(root);
    const node = this.#node([root]);
    // Describing a node adds more nodes; the iteration of a Map reaches these too.
    for (const found of this.#nodes.values()) this.#describe(found);
    this.#findWhatExists();
    if (!node.exists) throw invalid(root.pointer, "The schema is satisfied by no instance.");
    return node;
  }

  #node(schemas: readonly Schema[]): ValueNode {
    const restricting = [...new Set(schemas)].filter((schema) => !isOpen(schema));
    const key = restricting
      .map(({ id }) => id)
      .sort((a, b) => a - b)
      .join();
    let node = this.#nodes.get(key);
    if (node === undefined) {
      if (this.#nodes.size >= LIMITS.maxGrammarNodes) {
        throw unsupported(
          schemas[0]!.pointer,
          `The schema needs more than ${LIMITS.maxGrammarNodes} different combinations of subschemas.`,
        );
      }
      node = {
        id: this.#nodes.size,
        schemas: restricting,
        words: 0,
        numbers: { positive: [], negative: [] },
        strings: this.languages.none,
        arrays: [],
        objects: [],
        exists: false,
      };
      this.#nodes.set(key, node);
    }
    return node;
  }

  #describe(node: ValueNode): void {
    if (this.#begun.has(node)) return;
    this.#begun.add(node);
    for (const word of [TYPE.null, TYPE.true, TYPE.false])
      if (this.#alternatives(node.schemas, word).length > 0) node.words |= word;
    node.numbers = numberSet(this.#alternatives(node.schemas, TYPE.number).flatMap((schemas) => rangesOf(schemas)));
    node.strings = this.#strings(this.#alternatives(node.schemas, TYPE.string));
    node.arrays = this.#alternatives(node.schemas, TYPE.array).map((schemas) => this.#array(schemas));
    node.objects = this.#alternatives(node.schemas, TYPE.object).map((schemas) => this.#object(schemas));
    this.#described.add(node);
  }

  /** Returns every choice of branches, each as the set of schemas whose own keywords then apply to this type. */
  #alternatives(schemas: readonly Schema[], type: number): Schema[][] {
    const found = new Map<string, Schema[]>();
    this.#choose(schemas, new Set(), [], type, found);
    return [...found.values()];
  }

  #choose(
    open: readonly Schema[],
    chosen: ReadonlySet<Schema>,
    waiting: readonly Group[],
    type: number,
    found: Map<string, Schema[]>,
  ): void {
    const all = new Set(chosen);
    const groups = [...waiting];
    for (const schema of open) if (!gather(schema, type, all, groups)) return;
    const [group, ...rest] = groups;
    if (group === undefined) {
      const kept = [...all].filter((schema) => hasOwnKeywords(schema));
      const key = kept.map(({ id }) => id).sort((a, b) => a - b);
      found.set(key.join(), kept);
      if (found.size > LIMITS.maxGrammarAlternatives) {
        const where = shown(open[0]?.pointer ?? "");
        throw unsupported(
          open[0]?.pointer ?? "",
          `The branches at ${where} combine to more than ${LIMITS.maxGrammarAlternatives} alternatives.`,
        );
      }
      return;
    }
    if (group.isExclusive) this.#proveDisjoint(group, all, type);
    for (const branch of group.branches) this.#choose([branch], all, rest, type, found);
  }

  /**
   * Refuses a `oneOf` with branches that may overlap. If no instance is valid against two, it is the same as `anyOf`.
   */
  #proveDisjoint(group: Group, context: ReadonlySet<Schema>, type: number): void {
    for (const [index, first] of group.branches.entries()) {
      for (const second of group.branches.slice(index + 1)) {
        const both = new Map<string, Schema[]>();
        this.#choose([first, second], context, [], type, both);
        if ([...both.values()].every((schemas) => this.#isNothing(schemas, type))) continue;
        throw unsupported(
          group.pointer,
          `The schema keyword "oneOf" at ${shown(group.pointer)} is supported only if its branches are provably disjoint; ` +
            `${shown(first.pointer)} and ${shown(second.pointer)} may overlap. anyOf allows overlapping branches.`,
        );
      }
    }
  }

  /** True if it is certain that no value of this type is allowed. */
  #isNothing(schemas: readonly Schema[], type: number): boolean {
    switch (type) {
      case TYPE.number:
        return isEmptySet(numberSet(rangesOf(schemas)));
      case TYPE.string:
        return this.#strings([schemas]) === this.languages.none;
      case TYPE.array:
        return !settleArray(this.#array(schemas), (value) => !this.#isNothingAt(value));
      case TYPE.object:
        return !this.#object(schemas).settle(this.languages, (value) => !this.#isNothingAt(value));
      default:
        return false;
    }
  }

  #isNothingAt(node: ValueNode): boolean {
    if (this.#nothing.has(node)) return true;
    this.#describe(node);
    // A value that is still being described or checked may exist, as far as is known here.
    if (!this.#described.has(node) || this.#asked.has(node)) return false;
    this.#asked.add(node);
    const exists = (value: ValueNode): boolean => !this.#isNothingAt(value);
    const isNothing = !this.#fits(node, exists);
    this.#asked.delete(node);
    if (isNothing) this.#nothing.add(node);
    return isNothing;
  }

  #findWhatExists(): void {
    for (let isStable = false; !isStable;) {
      isStable = true;
      for (const node of this.#nodes.values()) {
        if (node.exists || !this.#fits(node, ({ exists }) => exists)) continue;
        node.exists = true;
        isStable = false;
      }
    }
    for (const node of this.#nodes.values()) {
      node.arrays = node.arrays.filter((shape) => settleArray(shape, ({ exists }) => exists));
      node.objects = node.objects.filter((shape) => shape.settle(this.languages, ({ exists }) => exists));
    }
  }

  #fits(node: ValueNode, exists: (value: ValueNode) => boolean): boolean {
    return (
      node.words !== 0 ||
      !isEmptySet(node.numbers) ||
      node.strings !== this.languages.none ||
      node.arrays.some((shape) => settleArray({ ...shape }, exists)) ||
      node.objects.some((shape) => shape.settle(this.languages, exists))
    );
  }

  #strings(alternatives: readonly (readonly Schema[])[]): Language {
    const { languages } = this;
    return languages.union(
      alternatives.map((schemas) => {
        const min = Math.max(0, ...schemas.map(({ minLength }) => minLength));
        const max = Math.min(Infinity, ...schemas.map(({ maxLength }) => maxLength));
        if (min > max) return languages.none;
        const length = languages.repeat(languages.any, min, max);
        return this.#settled(
          languages.intersection([length, ...schemas.flatMap(({ strings }) => strings)]),
          schemas[0],
        );
      }),
    );
  }

  #settled(language: Language, schema: Schema | undefined): Language {
    try {
      return this.languages.settle(language, LIMITS.maxGrammarStates);
    } catch (error) {
      if (!(error instanceof TooManyStates)) throw error;
      const pointer = schema?.pointer ?? "";
      throw unsupported(
        pointer,
        `The strings at ${shown(pointer)} need more than ${LIMITS.maxGrammarStates} states: the combination of patterns and lengths is too large.`,
      );
    }
  }

  #array(schemas: readonly Schema[]): ArrayShape {
    const length = Math.max(0, ...schemas.map(({ prefixItems }) => prefixItems.length));
    const at = (index: number): ValueNode =>
      this.#node(schemas.flatMap(({ prefixItems, items }) => prefixItems[index] ?? items ?? []));
    return {
      id: this.#numShapes++,
      prefix: Array.from({ length }, (_, index) => at(index)),
      rest: at(length),
      min: Math.max(0, ...schemas.map(({ minItems }) => minItems)),
      max: Math.min(Infinity, ...schemas.map(({ maxItems }) => maxItems)),
    };
  }

  #object(schemas: readonly Schema[]): ObjectShape<ValueNode> {
    const { languages } = this;
    const names = new Set<string>();
    for (const { properties } of schemas) for (const name of properties.keys()) names.add(name);
    for (const { required } of schemas) for (const name of required) names.add(name);
    const needs = new Map<string, string[]>();
    for (const { dependentRequired } of schemas) {
      for (const [name, needed] of dependentRequired) {
        needs.set(name, [...(needs.get(name) ?? []), ...needed]);
        for (const other of [name, ...needed]) names.add(other);
      }
    }
    const validNames = this.#names(schemas);
    const indexes = new Map([...names].map((name, index) => [name, index]));
    const required = new Set(schemas.flatMap((schema) => schema.required));
    const slots = [...names].map((name): Slot<ValueNode> => ({
      name,
      value: this.#node(
        schemas.flatMap((schema) => property(schema, name, (pattern) => languages.has(pattern.names, name))),
      ),
      isRequired: required.has(name),
      isNameValid: languages.has(validNames, name),
      needs: (needs.get(name) ?? []).map((needed) => indexes.get(needed)!),
    }));
    const min = Math.max(0, ...schemas.map(({ minProperties }) => minProperties));
    const max = Math.min(Infinity, ...schemas.map(({ maxProperties }) => maxProperties));
    if (min > 0 && max < Infinity && isCyclic(slots)) {
      const { pointer } = schemas.find(({ dependentRequired }) => dependentRequired.size > 0)!;
      const where = `dependentRequired at ${shown(pointer)}`;
      const message = `Properties that require each other (${where}) are not supported with both minProperties and maxProperties.`;
      throw unsupported(`${pointer}/dependentRequired`, message);
    }
    return new ObjectShape(this.#numShapes++, slots, this.#nameClasses(schemas, validNames), min, max);
  }

  /** Returns the names that `propertyNames` allows. */
  #names(schemas: readonly Schema[]): Language {
    const given = schemas.flatMap(({ propertyNames }) => propertyNames ?? []);
    if (given.length === 0) return this.languages.all;
    return this.#strings(this.#alternatives(given, TYPE.string));
  }

  /** Returns a class for every way to match some of the patterns and not the others, if such names exist. */
  #nameClasses(schemas: readonly Schema[], validNames: Language): NameClass<ValueNode>[] {
    const { languages } = this;
    const patterns = new Map(
      schemas.flatMap(({ patternProperties }) =>
        patternProperties.map(({ source, names }) => [source, names] as const),
      ),
    );
    let classes: { names: Language; matched: ReadonlySet<string> }[] = [{ names: validNames, matched: new Set() }];
    for (const [source, names] of patterns) {
      const split = classes.flatMap((found) => [
        { names: languages.intersection([found.names, names]), matched: new Set([...found.matched, source]) },
        { names: languages.intersection([found.names, languages.not(names)]), matched: found.matched },
      ]);
      classes = split
        .map((found) => ({ ...found, names: this.#settled(found.names, schemas[0]) }))
        .filter((found) => found.names !== languages.none);
      if (classes.length > LIMITS.maxGrammarAlternatives) {
        throw unsupported(
          schemas[0]!.pointer,
          `The patternProperties at ${shown(schemas[0]!.pointer)} overlap in more than ${LIMITS.maxGrammarAlternatives} ways.`,
        );
      }
    }
    return classes
      .filter(({ names }) => names !== languages.none)
      .map(({ names, matched }) => ({
        names,
        value: this.#node(schemas.flatMap((schema) => property(schema, null, ({ source }) => matched.has(source)))),
      }));
  }
}

/** Returns the schemas that apply to the value of a property: `additionalProperties` only if no other keyword does. */
function property(
  schema: Schema,
  name: string | null,
  matches: (pattern: Schema["patternProperties"][number]) => boolean,
): Schema[] {
  const found = schema.patternProperties.filter((pattern) => matches(pattern)).map((pattern) => pattern.schema);
  const own = name === null ? undefined : schema.properties.get(name);
  if (own !== undefined) found.unshift(own);
  return found.length > 0 || schema.additionalProperties === null ? found : [schema.additionalProperties];
}

/** Adds a schema and all schemas that it refers to. @returns false if one of them excludes the type */
function gather(schema: Schema, type: number, all: Set<Schema>, groups: Group[]): boolean {
  if (all.has(schema)) return true;
  if ((schema.types & type) === 0) return false;
  all.add(schema);
  groups.push(...schema.groups);
  return schema.all.every((other) => gather(other, type, all, groups));
}

/** Returns the numbers that all of the schemas allow. */
function rangesOf(schemas: readonly Schema[]): NumberRange[] {
  let ranges = [ALL_NUMBERS];
  for (const { numbers } of schemas)
    ranges = ranges.flatMap((range) => numbers.map((other) => intersectRanges(range, other)));
  return ranges;
}

/** Lowers `max` to the number of items that can have a value. @returns true if any such array exists */
function settleArray(shape: ArrayShape, exists: (value: ValueNode) => boolean): boolean {
  const blocked = shape.prefix.findIndex((value, index) => index < shape.max && !exists(value));
  if (blocked >= 0) shape.max = blocked;
  else if (shape.max > shape.prefix.length && !exists(shape.rest)) shape.max = shape.prefix.length;
  return shape.min <= shape.max;
}

/** True if slots need each other in a cycle. */
function isCyclic(slots: readonly Slot<ValueNode>[]): boolean {
  const done = new Set<number>();
  const open = new Set<number>();
  const visit = (slot: number): boolean => {
    if (open.has(slot)) return true;
    if (done.has(slot)) return false;
    open.add(slot);
    const isFound = slots[slot]!.needs.some((needed) => needed !== slot && visit(needed));
    open.delete(slot);
    done.add(slot);
    return isFound;
  };
  return slots.some((_, index) => visit(index));
}

function isOpen(schema: Schema): boolean {
  return schema.types === ALL_TYPES && schema.all.length === 0 && schema.groups.length === 0 && !hasOwnKeywords(schema);
}

/** True if the schema has keywords other than those that name types or apply other schemas. */
function hasOwnKeywords(schema: Schema): boolean {
  const [range] = schema.numbers;
  return (
    schema.numbers.length !== 1 ||
    range!.min !== null ||
    range!.max !== null ||
    range!.step !== null ||
    schema.strings.length > 0 ||
    schema.minLength > 0 ||
    schema.maxLength < Infinity ||
    schema.prefixItems.length > 0 ||
    schema.items !== null ||
    schema.minItems > 0 ||
    schema.maxItems < Infinity ||
    schema.properties.size > 0 ||
    schema.patternProperties.length > 0 ||
    schema.additionalProperties !== null ||
    schema.propertyNames !== null ||
    schema.required.length > 0 ||
    schema.minProperties > 0 ||
    schema.maxProperties < Infinity ||
    schema.dependentRequired.size > 0
  );
}

/** Refuses a schema that refers to itself without a property or an item in between: it has no meaning. */
function refuseLoops(root: Schema): void {
  const done = new Set<Schema>();
  const open = new Set<Schema>();
  const visit = (schema: Schema): void => {
    if (done.has(schema)) return;
    if (open.has(schema))
      throw invalid(
        schema.pointer,
        `The schema at ${shown(schema.pointer)} refers to itself without a property or an array item in between.`,
      );
    open.add(schema);
    for (const other of [...schema.all, ...schema.groups.flatMap(({ branches }) => branches)]) visit(other);
    open.delete(schema);
    for (const inner of innerSchemas(schema)) later.push(inner);
    done.add(schema);
  };
  const later: Schema[] = [root];
  for (const schema of later) visit(schema);
}

/** Returns the schemas that apply to the items, properties and names of the instance. */
function innerSchemas(schema: Schema): Schema[] {
  return [
    ...schema.prefixItems,
    ...(schema.items === null ? [] : [schema.items]),
    ...schema.properties.values(),
    ...schema.patternProperties.map((pattern) => pattern.schema),
    ...(schema.additionalProperties === null ? [] : [schema.additionalProperties]),
    ...(schema.propertyNames === null ? [] : [schema.propertyNames]),
  ];
}
