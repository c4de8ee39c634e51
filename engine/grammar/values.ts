/**
 * The values that are allowed at each location of the answer, by type. A location is described by the set of schemas
 * that all apply to it, and equal sets share one node. So `allOf`, `$ref` and properties that match several keywords
 * merge without copying, recursion included. `anyOf`, `oneOf` and `enum` are expanded for each type separately.
 *
 * Nodes that no value satisfies are found as a least fixed point (an instance is finite), and are never offered.
 */

import { LIMITS } from "../limits.js";
import { type Language, type Languages, TooManyStates, listOf } from "./language.js";
import {
  ALL_NUMBERS,
  NO_NUMBERS,
  type NumberRange,
  type NumberSet,
  intersectRanges,
  isEmptySet,
  numberSet,
  pointsOf,
} from "./numbers.js";
import { type NameClass, ObjectShape, type Slot } from "./objects.js";
import { ALL_TYPES, type Schema, TYPE, invalid, shown, unsupported } from "./schema.js";

export interface ArrayShape<Value = ValueNode> {
  readonly id: number;
  readonly prefix: readonly Value[];
  readonly rest: Value;
  readonly min: number;
  /** Settled: lowered to the number of items that can have a value. */
  max: number;
}

/** A location of the answer: the values that it allows. */
export interface ValueNode {
  readonly id: number;
  /** Bits of TYPE for null and the booleans. */
  readonly words: number;
  readonly numbers: NumberSet;
  /** Settled: without dead ends, and in their usual spelling. */
  readonly strings: Language;
  readonly arrays: readonly ArrayShape[];
  readonly objects: readonly ObjectShape<ValueNode>[];
}

/** A node while the grammar is compiled. */
class BuiltNode implements ValueNode {
  words = 0;
  numbers: NumberSet = NO_NUMBERS;
  strings: Language;
  /** True if some allowed strings are left out of `strings`, because their spelling is not usual. */
  omitsStrings = false;
  arrays: readonly BuiltArray[] = [];
  objects: readonly ObjectShape<BuiltNode>[] = [];
  isDescribed = false;
  /** True if some value is allowed, false if none is, null if not known yet. */
  exists: boolean | null = null;

  constructor(
    readonly id: number,
    readonly schemas: readonly Schema[],
    none: Language,
  ) {
    this.strings = none;
  }

  /** The nodes of its items and properties. */
  *parts(): Iterable<BuiltNode> {
    for (const { prefix, rest } of this.arrays) yield* [...prefix, rest];
    for (const { slots, allClasses } of this.objects) {
      for (const { value } of slots) yield value;
      for (const { value } of allClasses) yield value;
    }
  }
}

type BuiltArray = ArrayShape<BuiltNode>;

/**
 * Builds the nodes that a schema describes.
 * @returns the node of the whole answer
 * @throws EngineError invalid_schema or unsupported_schema
 */
export function valuesOf(languages: Languages, root: Schema): ValueNode {
  return new ValueBuilder(languages, root).build();
}

type Group = Schema["groups"][number];

/** A `oneOf` whose branches must be disjoint for a type, where other schemas apply too. */
interface Obligation {
  readonly group: Group;
  readonly type: number;
  readonly context: readonly Schema[];
  /** Groups of the same location, of which no branch was chosen yet. */
  readonly waiting: readonly Group[];
}

class ValueBuilder {
  readonly #nodes = new Map<string, BuiltNode>();
  readonly #ranks: ReadonlyMap<Group, number>;
  readonly #obligations = new Map<string, Obligation>();
  /** Arrays, objects and strings by the schemas that describe them. */
  readonly #arrays = new Map<string, BuiltArray>();
  readonly #objects = new Map<string, ObjectShape<BuiltNode>>();
  readonly #texts = new Map<string, Language>();

  constructor(
    readonly languages: Languages,
    readonly root: Schema,
  ) {
    this.#ranks = ranksOf(root, languages);
  }

  build(): ValueNode {
    const { root } = this;
    const node = this.#node([root]);
    const nodes = this.#reachable([node]);
    // Proofs add obligations only for nodes that are not part of the answer, which are no concern.
    const obligations = [...this.#obligations.values()];
    for (const obligation of obligations) this.#proveDisjoint(obligation);
    this.#findWhatExists(nodes);
    if (!node.exists) throw invalid(root.pointer, "The schema is satisfied by no instance.");
    const exists = (value: BuiltNode): boolean => value.exists!;
    for (const found of nodes) {
      found.arrays = found.arrays.filter((shape) => settleArray(shape, exists));
      found.objects = found.objects.filter((shape) => shape.settle(this.languages, exists));
    }
    return node;
  }

  /** Describes nodes and all nodes that they lead to. */
  #reachable(from: readonly BuiltNode[]): Set<BuiltNode> {
    const nodes = new Set(from);
    for (const node of nodes) {
      if (nodes.size > LIMITS.maxGrammarNodes) {
        throw unsupported(
          node.schemas[0]?.pointer ?? "",
          `The schema needs more than ${LIMITS.maxGrammarNodes} different combinations of subschemas.`,
        );
      }
      this.#describe(node);
      for (const part of node.parts()) nodes.add(part);
    }
    return nodes;
  }

  #node(schemas: readonly Schema[]): BuiltNode {
    const restricting = new Set<Schema>();
    this.languages.spend(2 + schemas.length);
    for (const schema of schemas) addRestricting(schema, restricting, this.languages);
    const key = keyOf(restricting);
    let node = this.#nodes.get(key);
    if (node === undefined) {
      this.languages.spend(20);
      node = new BuiltNode(this.#nodes.size, [...restricting], this.languages.none);
      this.#nodes.set(key, node);
    }
    return node;
  }

  #describe(node: BuiltNode): void {
    if (node.isDescribed) return;
    node.isDescribed = true;
    this.languages.place = node.schemas[0]?.pointer ?? "";
    const alternatives = (type: number): Schema[][] => this.#alternatives(node.schemas, type);
    for (const word of [TYPE.null, TYPE.true, TYPE.false]) if (alternatives(word).length > 0) node.words |= word;
    const ranges = alternatives(TYPE.number).flatMap((schemas) => rangesOf(schemas, this.languages));
    this.languages.spend(ranges.length * STEPS_PER_RANGE);
    node.numbers = numberSet(ranges);
    const texts = alternatives(TYPE.string);
    node.strings = this.languages.union(texts.map((schemas) => this.#usualText(schemas)));
    node.omitsStrings = texts.some(hasUnusualStrings);
    node.arrays = alternatives(TYPE.array).map((schemas) => this.#array(schemas));
    node.objects = alternatives(TYPE.object).map((schemas) => this.#object(schemas));
  }

  /**
   * Returns every choice of branches, each as the set of schemas whose own keywords then apply to this type, and
   * records which `oneOf` must be proven disjoint.
   */
  #alternatives(schemas: readonly Schema[], type: number): Schema[][] {
    return this.#choices(schemas, [], [], type, (obligation) => {
      const { group, context, waiting } = obligation;
      const key = `${this.#ranks.get(group)};${type};${keyOf(context)};${this.#keyOfGroups(waiting)}`;
      if (!this.#obligations.has(key)) this.#obligations.set(key, obligation);
    });
  }

  /**
   * Chooses a branch of each group. A group is chosen before all groups that its branches can lead to, so nothing that
   * was chosen can be met again, and two ways that leave the same schemas and groups continue as one.
   * @param onExclusive called for each `oneOf`; null if the choices are used for a proof, in which it is like `anyOf`
   */
  #choices(
    open: readonly Schema[],
    context: readonly Schema[],
    waiting: readonly Group[],
    type: number,
    onExclusive: ((obligation: Obligation) => void) | null,
  ): Schema[][] {
    const found = new Map<string, Schema[]>();
    const known = new Set<string>();
    const stack = [{ open, chosen: context, groups: waiting }];
    while (stack.length > 0) {
      const { open: begun, chosen: before, groups: left } = stack.pop()!;
      const gathered = this.#gathered(begun, before, left, type);
      if (gathered === null) continue;
      const { chosen, groups } = gathered;
      const key = keyOf(chosen);
      const whole = `${key};${this.#keyOfGroups(groups)}`;
      this.languages.spend(4 + chosen.length + groups.length);
      if (known.has(whole)) continue;
      known.add(whole);
      let group = groups[0];
      if (group === undefined) {
        found.set(key, [...chosen]);
        if (found.size > LIMITS.maxGrammarAlternatives) {
          const pointer = open[0]?.pointer ?? "";
          throw unsupported(
            pointer,
            `The branches at ${shown(pointer)} combine to more than ${LIMITS.maxGrammarAlternatives} alternatives.`,
          );
        }
        continue;
      }
      for (const other of groups) if (this.#ranks.get(other)! < this.#ranks.get(group)!) group = other;
      const rest = groups.filter((other) => other !== group);
      if (group.isExclusive) onExclusive?.({ group, type, context: chosen, waiting: rest });
      this.languages.spend(group.branches.length);
      for (let index = group.branches.length - 1; index >= 0; index--)
        stack.push({ open: [group.branches[index]!], chosen, groups: rest });
    }
    return [...found.values()];
  }

  /** Adds schemas and all that they refer to. @returns null if one of them excludes the type */
  #gathered(
    open: readonly Schema[],
    before: readonly Schema[],
    waiting: readonly Group[],
    type: number,
  ): { chosen: readonly Schema[]; groups: readonly Group[] } | null {
    const all = new Set<Schema>(open);
    const chosen = new Set(before);
    const groups = new Set(waiting);
    for (const schema of all) {
      this.languages.spend();
      if ((schema.types & type) === 0) return null;
      if (hasOwnKeywords(schema)) chosen.add(schema);
      for (const group of schema.groups) groups.add(group);
      for (const other of schema.all) all.add(other);
    }
    return { chosen: [...chosen], groups: [...groups] };
  }

  #keyOfGroups(groups: readonly Group[]): string {
    return groups
      .map((group) => this.#ranks.get(group)!)
      .sort((a, b) => a - b)
      .join();
  }

  /**
   * Refuses a `oneOf` with branches that may overlap. If no instance is valid against two, it is the same as `anyOf`.
   */
  #proveDisjoint({ group, type, context, waiting }: Obligation): void {
    this.languages.place = group.pointer;
    const branches = group.branches
      .map((schema) => ({ schema, choices: this.#choices([schema], context, [], type, null) }))
      .filter(({ choices }) => choices.length > 0);
    const tags = branches.map(({ choices }) => choices.map((schemas) => this.#tags(schemas, type)));
    for (const [index, first] of branches.entries()) {
      for (let other = index + 1; other < branches.length; other++) {
        const second = branches[other]!;
        this.languages.spend();
        if (tags[index]!.every((a) => tags[other]!.every((b) => this.#differ(a, b)))) continue;
        const overlaps = (others: readonly Group[]): boolean =>
          this.#choices([first.schema, second.schema], context, others, type, null).some(
            (schemas) => !this.#isNothing(schemas, type),
          );
        if (!overlaps([]) || (waiting.length > 0 && !overlaps(waiting))) continue;
        throw unsupported(
          group.pointer,
          `The schema keyword "oneOf" at ${shown(group.pointer)} is supported only if its branches are provably disjoint; ` +
            `${shown(first.schema.pointer)} and ${shown(second.schema.pointer)} may overlap. anyOf allows overlapping branches.`,
        );
      }
    }
  }

  /** Returns the properties that are required or can have only listed values, the usual way to distinguish branches. */
  #tags(schemas: readonly Schema[], type: number): Tags {
    const tags: Tags = new Map();
    if (type !== TYPE.object) return tags;
    const required = new Set(schemas.flatMap((schema) => schema.required));
    for (const name of new Set([...required, ...schemas.flatMap(({ properties }) => [...properties.keys()])])) {
      this.languages.spend(4);
      tags.set(name, { isRequired: required.has(name), values: this.#listedValues(this.#property(schemas, name)) });
    }
    return tags;
  }

  /** True if a property is required by one of the two and has no value that both allow. */
  #differ(first: Tags, second: Tags): boolean {
    const [few, many] = first.size <= second.size ? [first, second] : [second, first];
    for (const [name, a] of few) {
      const b = many.get(name);
      this.languages.spend();
      if (b === undefined || !(a.isRequired || b.isRequired) || a.values === null || b.values === null) continue;
      const [less, more] = a.values.size <= b.values.size ? [a.values, b.values] : [b.values, a.values];
      this.languages.spend(less.size);
      if (![...less].some((value) => more.has(value))) return true;
    }
    return false;
  }

  /** Returns the values of a node that allows only listed scalars, else null. */
  #listedValues(node: BuiltNode): ReadonlySet<string> | null {
    this.#describe(node);
    const { words, numbers, strings, arrays, objects } = node;
    const texts = strings === this.languages.none ? [] : strings === this.languages.empty ? [""] : listOf(strings);
    const points = pointsOf(numbers);
    if (texts === null || node.omitsStrings || points === null || arrays.length > 0 || objects.length > 0) return null;
    this.languages.spend(texts.length + points.length);
    return new Set(
      [`${words & TYPE.null}`, `${words & TYPE.true}`, `${words & TYPE.false}`]
        .filter((word) => word !== "0")
        .concat(
          texts.map((text) => `"${text}`),
          points,
        ),
    );
  }

  /** True if it is certain that no value of this type is allowed. */
  #isNothing(schemas: readonly Schema[], type: number): boolean {
    switch (type) {
      case TYPE.number:
        return isEmptySet(numberSet(rangesOf(schemas, this.languages)));
      case TYPE.string:
        return this.#strings([schemas]) === this.languages.none;
      case TYPE.array: {
        const shape = this.#array(schemas);
        const needed = shape.prefix.slice(0, shape.min);
        if (shape.min > shape.prefix.length) needed.push(shape.rest);
        return needed.some((value) => this.#allowsNothing(value)) || !this.#arrayExists(shape);
      }
      case TYPE.object: {
        const shape = this.#object(schemas);
        const needed = shape.slots.filter(({ isRequired }) => isRequired);
        return needed.some(({ value }) => this.#allowsNothing(value)) || !this.#objectExists(shape);
      }
      default:
        return false;
    }
  }

  /** True if a node allows no type, which is often enough for a proof. */
  #allowsNothing(node: BuiltNode): boolean {
    this.#describe(node);
    const { words, numbers, strings, arrays, objects } = node;
    const isScalar = words !== 0 || !isEmptySet(numbers) || strings !== this.languages.none;
    return !isScalar && arrays.length === 0 && objects.length === 0;
  }

  #arrayExists(shape: BuiltArray): boolean {
    this.#findWhatExists(this.#reachable([...shape.prefix, shape.rest]));
    return settleArray({ ...shape }, ({ exists }) => exists!);
  }

  #objectExists(shape: ObjectShape<BuiltNode>): boolean {
    this.#findWhatExists(
      this.#reachable([...shape.slots.map(({ value }) => value), ...shape.allClasses.map(({ value }) => value)]),
    );
    return shape.settle(this.languages, ({ exists }) => exists!);
  }

  /**
   * Finds which nodes have a value. An instance is finite, so this is the least fixed point: a node exists once the
   * parts that it needs do.
   * @param nodes contains every node that these lead to
   */
  #findWhatExists(nodes: ReadonlySet<BuiltNode>): void {
    const wholes = new Map<BuiltNode, BuiltNode[]>();
    const unknown = new Set<BuiltNode>();
    for (const node of nodes) {
      if (node.exists !== null) continue;
      unknown.add(node);
      for (const part of new Set(node.parts())) {
        this.languages.spend();
        if (part.exists !== null) continue;
        const known = wholes.get(part);
        if (known === undefined) wholes.set(part, [node]);
        else known.push(node);
      }
    }
    const queue = new Set(unknown);
    for (const node of queue) {
      queue.delete(node);
      if (node.exists === true || !this.#fits(node)) continue;
      node.exists = true;
      for (const whole of wholes.get(node) ?? []) if (whole.exists !== true) queue.add(whole);
    }
    for (const node of unknown) node.exists ??= false;
  }

  #fits(node: BuiltNode): boolean {
    const exists = (value: BuiltNode): boolean => value.exists === true;
    this.languages.spend();
    return (
      node.words !== 0 ||
      !isEmptySet(node.numbers) ||
      node.strings !== this.languages.none ||
      node.arrays.some((shape) => settleArray({ ...shape }, exists)) ||
      node.objects.some((shape) => {
        this.languages.spend(shape.slots.length);
        return shape.settle(this.languages, exists);
      })
    );
  }

  #strings(alternatives: readonly (readonly Schema[])[]): Language {
    return this.languages.union(alternatives.map((schemas) => this.#text(schemas)));
  }

  #text(schemas: readonly Schema[]): Language {
    return this.#textIn(schemas, "strings");
  }

  /** Returns the strings in their usual spelling, or all if none has it. */
  #usualText(schemas: readonly Schema[]): Language {
    const usual = hasUnusualStrings(schemas) ? this.#textIn(schemas, "usualStrings") : this.languages.none;
    return usual === this.languages.none ? this.#text(schemas) : usual;
  }

  #textIn(schemas: readonly Schema[], spelling: "strings" | "usualStrings"): Language {
    const { languages } = this;
    const key = `${spelling};${keyOf(schemas)}`;
    let language = this.#texts.get(key);
    if (language === undefined) {
      const min = schemas.reduce((most, { minLength }) => Math.max(most, minLength), 0);
      const max = schemas.reduce((least, { maxLength }) => Math.min(least, maxLength), Infinity);
      const length = min > max ? languages.none : languages.repeat(languages.any, min, max);
      language = this.#settled(
        languages.intersection([length, ...schemas.flatMap((schema) => schema[spelling])]),
        schemas[0],
      );
      this.#texts.set(key, language);
    }
    return language;
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

  #array(schemas: readonly Schema[]): BuiltArray {
    const key = keyOf(schemas);
    let shape = this.#arrays.get(key);
    if (shape === undefined) {
      const length = schemas.reduce((most, { prefixItems }) => Math.max(most, prefixItems.length), 0);
      const at = (index: number): BuiltNode =>
        this.#node(schemas.flatMap(({ prefixItems, items }) => prefixItems[index] ?? items ?? []));
      shape = {
        id: this.#arrays.size,
        prefix: Array.from({ length }, (_, index) => at(index)),
        rest: at(length),
        min: schemas.reduce((most, { minItems }) => Math.max(most, minItems), 0),
        max: schemas.reduce((least, { maxItems }) => Math.min(least, maxItems), Infinity),
      };
      this.#arrays.set(key, shape);
    }
    return shape;
  }

  #object(schemas: readonly Schema[]): ObjectShape<BuiltNode> {
    const key = keyOf(schemas);
    let shape = this.#objects.get(key);
    if (shape === undefined) {
      shape = this.#newObject(schemas);
      this.#objects.set(key, shape);
    }
    return shape;
  }

  #property(schemas: readonly Schema[], name: string): BuiltNode {
    const { languages } = this;
    languages.spend(schemas.length);
    return this.#node(
      schemas.flatMap((schema) => property(schema, name, (pattern) => languages.has(pattern.names, name))),
    );
  }

  #newObject(schemas: readonly Schema[]): ObjectShape<BuiltNode> {
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
    const slots = [...names].map((name): Slot<BuiltNode> => ({
      name,
      value: this.#property(schemas, name),
      isRequired: required.has(name),
      isNameValid: languages.has(validNames, name),
      needs: (needs.get(name) ?? []).map((needed) => indexes.get(needed)!),
    }));
    const min = schemas.reduce((most, { minProperties }) => Math.max(most, minProperties), 0);
    const max = schemas.reduce((least, { maxProperties }) => Math.min(least, maxProperties), Infinity);
    if (min > 0 && max < Infinity && isCyclic(slots)) {
      const { pointer } = schemas.find(({ dependentRequired }) => dependentRequired.size > 0)!;
      const where = `dependentRequired at ${shown(pointer)}`;
      const message = `Properties that require each other (${where}) are not supported with both minProperties and maxProperties.`;
      throw unsupported(`${pointer}/dependentRequired`, message);
    }
    return new ObjectShape(this.#objects.size, slots, this.#nameClasses(schemas, validNames), min, max);
  }

  /** Returns the names that `propertyNames` allows. */
  #names(schemas: readonly Schema[]): Language {
    const given = schemas.flatMap(({ propertyNames }) => propertyNames ?? []);
    if (given.length === 0) return this.languages.all;
    return this.#strings(this.#alternatives(given, TYPE.string));
  }

  /** Returns a class for every way to match some of the patterns and not the others, if such names exist. */
  #nameClasses(schemas: readonly Schema[], validNames: Language): NameClass<BuiltNode>[] {
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

function hasUnusualStrings(schemas: readonly Schema[]): boolean {
  return schemas.some(({ strings, usualStrings }) =>
    strings.some((language, index) => language !== usualStrings[index]),
  );
}

/** Work for each range of numbers. */
const STEPS_PER_RANGE = 100;

/** By name: the values of a property if it has only listed ones, and true if it is required. */
type Tags = Map<string, { readonly isRequired: boolean; readonly values: ReadonlySet<string> | null }>;

function keyOf(schemas: Iterable<Schema>): string {
  return Array.from(schemas, ({ id }) => id)
    .sort((a, b) => a - b)
    .join();
}

/** Adds a schema, or the schemas that it refers to if it does nothing else. */
function addRestricting(schema: Schema, restricting: Set<Schema>, languages: Languages): void {
  const open = [schema];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    languages.spend();
    if (restricting.has(next)) continue;
    if (next.types !== ALL_TYPES || next.groups.length > 0 || hasOwnKeywords(next)) restricting.add(next);
    else open.push(...next.all);
  }
}

/** Returns the numbers that all of the schemas allow. Several ranges of one schema are single numbers. */
function rangesOf(schemas: readonly Schema[], languages: Languages): NumberRange[] {
  let ranges: readonly NumberRange[] = [ALL_NUMBERS];
  for (const { numbers } of schemas) {
    languages.spend((ranges.length + numbers.length) * 4);
    ranges =
      ranges.length > 1 && numbers.length > 1
        ? inBoth(ranges, numbers)
        : ranges.flatMap((range) => numbers.map((other) => intersectRanges(range, other)));
  }
  return [...ranges];
}

/** Returns the single numbers that two lists share. */
function inBoth(first: readonly NumberRange[], second: readonly NumberRange[]): NumberRange[] {
  const key = ({ min }: NumberRange): string => `${min!.digits}e${min!.exponent}`;
  const keys = new Set(second.map(key));
  return first.filter((range) => keys.has(key(range)));
}

/** Lowers `max` to the number of items that can have a value. @returns true if any such array exists */
function settleArray<Value>(shape: ArrayShape<Value>, exists: (value: Value) => boolean): boolean {
  const blocked = shape.prefix.findIndex((value, index) => index < shape.max && !exists(value));
  if (blocked >= 0) shape.max = blocked;
  else if (shape.max > shape.prefix.length && !exists(shape.rest)) shape.max = shape.prefix.length;
  return shape.min <= shape.max;
}

/** True if slots need each other in a cycle: slots that need only removed ones are removed, as long as there are any. */
function isCyclic(slots: readonly Slot<unknown>[]): boolean {
  const neededBy = slots.map((): number[] => []);
  const numNeeds = slots.map(({ needs }, index) => {
    const others = new Set(needs.filter((needed) => needed !== index));
    for (const needed of others) neededBy[needed]!.push(index);
    return others.size;
  });
  const free = [...slots.keys()].filter((index) => numNeeds[index] === 0);
  for (const index of free) for (const other of neededBy[index]!) if (--numNeeds[other]! === 0) free.push(other);
  return free.length < slots.length;
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

/**
 * Numbers the groups so that each comes before those that its branches lead to, and otherwise as in the document.
 * Refuses a schema that refers to itself without a property or an item in between: it has no meaning.
 */
function ranksOf(root: Schema, languages: Languages): ReadonlyMap<Group, number> {
  const done = new Set<Schema>();
  const isOpen = new Set<Schema>();
  const later: Schema[] = [root];
  const finished: Schema[] = [];
  for (const start of later) {
    if (done.has(start)) continue;
    const stack = [{ schema: start, next: begin(start) }];
    while (stack.length > 0) {
      const { schema, next } = stack.at(-1)!;
      const other = next.pop();
      languages.spend();
      if (other === undefined) {
        isOpen.delete(schema);
        done.add(schema);
        finished.push(schema);
        stack.pop();
      } else if (isOpen.has(other)) {
        throw invalid(
          other.pointer,
          `The schema at ${shown(other.pointer)} refers to itself without a property or an array item in between.`,
        );
      } else if (!done.has(other)) stack.push({ schema: other, next: begin(other) });
    }
  }
  const ranks = new Map<Group, number>();
  for (const { groups } of finished.reverse()) for (const group of groups) ranks.set(group, ranks.size);
  return ranks;

  /** Returns the schemas that apply to the same location; the last one is visited first. */
  function begin(schema: Schema): Schema[] {
    isOpen.add(schema);
    for (const inner of innerSchemas(schema)) later.push(inner);
    return [...schema.all, ...schema.groups.flatMap(({ branches }) => branches)];
  }
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
