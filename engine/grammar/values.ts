/**
 * The values that are allowed at each location of the answer, by type. A location is described by the set of schemas
 * that all apply to it, and equal sets share one node. So `allOf`, `$ref` and properties that match several keywords
 * merge without copying, recursion included. `anyOf`, `oneOf` and `enum` are expanded for each type separately.
 *
 * Nodes that no value satisfies are found as a least fixed point (an instance is finite), and are never offered.
 */

import { described } from "../errors.js";
import { LIMITS } from "../limits.js";
import { ArrayShape } from "./arrays.js";
import { compare } from "./decimal.js";
import { type Language, type Languages, TooManyStates, listOf } from "./language.js";
import {
  ALL_NUMBERS,
  NO_NUMBERS,
  type NumberRange,
  type NumberSet,
  intersectRanges,
  isEmptySet,
  leastCount,
  numberSet,
  pointsOf,
} from "./numbers.js";
import { MAX_NAMES, type NameClass, ObjectShape, type Slot } from "./objects.js";
import {
  ALL_TYPES,
  type Group,
  type Schema,
  type Schemas,
  TYPE,
  hasOwnKeywords,
  innerSchemas,
  invalid,
  shown,
  unsupported,
} from "./schema.js";
import { Unevaluated } from "./unevaluated.js";

/** A location of the answer: the values that it allows. */
export interface ValueNode {
  readonly id: number;
  /** Bits of TYPE for null and the booleans. */
  readonly words: number;
  readonly numbers: NumberSet;
  /** Settled: without dead ends, and in their usual spelling. */
  readonly strings: Language;
  readonly arrays: readonly ArrayShape<ValueNode>[];
  readonly objects: readonly ObjectShape<ValueNode>[];
}

/** A node while the grammar is compiled. */
class BuiltNode implements ValueNode {
  words = 0;
  numbers: NumberSet = NO_NUMBERS;
  strings: Language;
  arrays: readonly ArrayShape<BuiltNode>[] = [];
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
    for (const shape of this.arrays) yield* shape.values();
    for (const { slots, allClasses } of this.objects) {
      for (const { value } of slots) yield value;
      for (const { value } of allClasses) yield value;
    }
  }
}

/**
 * Builds the nodes that a schema describes, and notes keywords for which some valid instances are left out.
 * @returns the node of the whole answer
 * @throws EngineError invalid_schema or unsupported_schema
 */
export function valuesOf(schemas: Schemas, root: Schema): ValueNode {
  return new ValueBuilder(schemas, ranksOf(root, schemas.languages), false).build(root);
}

class ValueBuilder {
  readonly languages: Languages;
  readonly #nodes = new Map<string, BuiltNode>();
  /** The first place of a keyword whose negation is left out: see negation.ts. */
  #omitted: string | null = null;
  /** For proofs that branches of a `oneOf` are disjoint; null in itself. */
  readonly #loose: ValueBuilder | null;
  /** By `oneOf` and what applies beside it: for each branch, the schemas that apply if it is chosen. */
  readonly #exclusive = new Map<string, readonly (readonly Schema[])[]>();
  readonly #requiring = new Map<string, Schema>();
  readonly #unevaluated: Unevaluated;
  /** Arrays, objects and strings by the schemas that describe them. */
  readonly #arrays = new Map<string, ArrayShape<BuiltNode>>();
  readonly #objects = new Map<string, ObjectShape<BuiltNode>>();
  readonly #texts = new Map<string, Language>();

  /**
   * @param isLoose true to build nodes that allow at least what is valid, and maybe more: a `oneOf` is read like
   * `anyOf`, and keywords that are enforced in part do not restrict anything. False to build nodes that allow only
   * what is valid
   */
  constructor(
    readonly schemas: Schemas,
    readonly ranks: Map<Group, number>,
    readonly isLoose: boolean,
  ) {
    this.languages = schemas.languages;
    this.#unevaluated = new Unevaluated(schemas, (group) => ranks.set(group, -ranks.size));
    this.#loose = isLoose ? null : new ValueBuilder(schemas, ranks, true);
  }

  build(root: Schema): ValueNode {
    const node = this.#node([root]);
    const nodes = this.#reachable([node]);
    this.#findWhatExists(nodes);
    if (!node.exists) {
      const place = this.#omitted;
      if (place === null) throw invalid(root.pointer, "The schema is satisfied by no instance.");
      throw unsupported(
        place,
        `What is left of the negation of ${shown(place)}, which cannot be written in full, is satisfied by no instance.`,
      );
    }
    const exists = (value: BuiltNode): boolean => value.exists!;
    for (const found of nodes) {
      for (const shape of found.arrays) this.#checkUnique(shape);
      found.arrays = found.arrays.filter((shape) => shape.settle(exists, (value) => this.#numDistinct(value)));
      found.objects = found.objects.filter((shape) => shape.settle(this.languages, exists));
    }
    return node;
  }

  #checkUnique({ isUnique, items, counted, id }: ArrayShape<BuiltNode>): void {
    const { arrays, objects } = items.rest;
    const isSimple = arrays.length === 0 && objects.length === 0 && items.prefix.length === 0 && counted === null;
    if (!isUnique || isSimple) return;
    const pointer = this.#uniqueAt[id]!;
    throw unsupported(
      pointer,
      `The schema keyword "uniqueItems" at ${shown(pointer)} is supported for null, booleans, numbers and strings, without prefixItems and contains.`,
    );
  }

  /** Returns a number of different scalars that a node surely has; Infinity for a million and more. */
  #numDistinct({ words, numbers, strings }: BuiltNode): number {
    const numWords = [TYPE.null, TYPE.true, TYPE.false].filter((type) => (words & type) !== 0).length;
    const numStrings = this.languages.count(strings, MAX_NAMES);
    return numWords + leastCount(numbers) + (numStrings >= MAX_NAMES ? Infinity : numStrings);
  }

  /** By id of an array shape: the place of its `uniqueItems`. */
  readonly #uniqueAt: string[] = [];

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
    node.strings = this.languages.union(alternatives(TYPE.string).map((schemas) => this.#usualText(schemas)));
    node.arrays = alternatives(TYPE.array).map((schemas) => this.#array(schemas));
    node.objects = alternatives(TYPE.object).map((schemas) => this.#object(schemas));
  }

  /**
   * Returns every choice of branches, each as the set of schemas whose own keywords then apply to this type. A group is
   * chosen before all groups that its branches can lead to, so nothing that was chosen can be met again, and two ways
   * that leave the same schemas and groups continue as one.
   * @param context schemas that apply too
   * @param waiting groups that apply too
   */
  #alternatives(
    schemas: readonly Schema[],
    type: number,
    context: readonly Schema[] = [],
    waiting: readonly Group[] = [],
  ): Schema[][] {
    const found = new Map<string, Schema[]>();
    const known = new Set<string>();
    const stack = [{ open: schemas, chosen: context, groups: waiting, done: [] as readonly Group[] }];
    while (stack.length > 0) {
      const { open: begun, chosen: before, groups: left, done } = stack.pop()!;
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
        const described = this.#withUnevaluated(chosen, done, type);
        found.set(keyOf(described), described);
        if (found.size > LIMITS.maxGrammarAlternatives) {
          const pointer = schemas[0]?.pointer ?? "";
          throw unsupported(
            pointer,
            `The branches at ${shown(pointer)} combine to more than ${LIMITS.maxGrammarAlternatives} alternatives.`,
          );
        }
        continue;
      }
      for (const other of groups) if (this.ranks.get(other)! < this.ranks.get(group)!) group = other;
      const rest = groups.filter((other) => other !== group);
      const branches = this.#branches(group, type, chosen, rest);
      this.languages.spend(branches.length);
      for (let index = branches.length - 1; index >= 0; index--)
        stack.push({ open: branches[index]!, chosen, groups: rest, done: [...done, group] });
    }
    return [...found.values()];
  }

  /** Adds what `unevaluatedItems` and `unevaluatedProperties` say. @param groups those of which a branch was chosen */
  #withUnevaluated(chosen: readonly Schema[], groups: readonly Group[], type: number): Schema[] {
    if (this.isLoose || (type !== TYPE.array && type !== TYPE.object)) return [...chosen];
    return [...chosen, ...this.#unevaluated.restOf({ schemas: new Set(chosen), groups: new Set(groups) }, type)];
  }

  /** Returns the schemas that apply if a branch is chosen, for each branch. */
  #branches(
    group: Group,
    type: number,
    context: readonly Schema[],
    waiting: readonly Group[],
  ): readonly (readonly Schema[])[] {
    if (!group.isExclusive || this.#loose === null) return group.branches.map((branch) => [branch]);
    const key = `${this.ranks.get(group)};${type};${keyOf(context)};${this.#keyOfGroups(waiting)}`;
    let branches = this.#exclusive.get(key);
    if (branches === undefined) {
      branches = this.#apart(group, this.#loose.#overlaps(group, type, context, waiting));
      this.#exclusive.set(key, branches);
    }
    return branches;
  }

  /**
   * Makes branches that may overlap disjoint: by a property whose values distinguish them, which becomes required, or
   * else by the negations of the others.
   */
  #apart({ branches, negations, pointer }: Group, overlaps: readonly Overlap[]): Schema[][] {
    const apart = branches.map((branch) => new Set([branch]));
    for (const { first, second, tag } of overlaps) {
      if (tag !== null) this.schemas.note(tagNote(tag, pointer));
      apart[first]!.add(tag === null ? negations[second]! : this.#requires(tag, pointer));
      apart[second]!.add(tag === null ? negations[first]! : this.#requires(tag, pointer));
    }
    return apart.map((open) => [...open]);
  }

  #requires(name: string, pointer: string): Schema {
    let schema = this.#requiring.get(name);
    if (schema === undefined) {
      schema = Object.assign(this.schemas.blank(pointer), { required: [name] });
      this.#requiring.set(name, schema);
    }
    return schema;
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
      if (schema.refusals.length > 0) throw schema.refusals[0]!;
      const omissions = schema.omissions.filter((omission) => (omission.types & type) !== 0);
      if (omissions.length > 0 && this.isLoose) continue;
      for (const { place } of omissions) {
        this.#omitted ??= place;
        this.schemas.note(`The negation of ${shown(place)} is enforced in part: some valid answers are never given.`);
      }
      if ((schema.types & type) === 0) return null;
      if (hasOwnKeywords(schema)) chosen.add(schema);
      for (const group of schema.groups) groups.add(group);
      for (const other of schema.all) all.add(other);
    }
    return { chosen: [...chosen], groups: [...groups] };
  }

  #keyOfGroups(groups: readonly Group[]): string {
    return groups
      .map((group) => this.ranks.get(group)!)
      .sort((a, b) => a - b)
      .join();
  }

  /** Returns the pairs of branches that some instance may be valid against both of. */
  #overlaps(group: Group, type: number, context: readonly Schema[], waiting: readonly Group[]): Overlap[] {
    this.languages.place = group.pointer;
    const branches = group.branches
      .map((schema, index) => ({ schema, index, choices: this.#alternatives([schema], type, context) }))
      .filter(({ choices }) => choices.length > 0);
    const tags = branches.map(({ choices }) => choices.map((schemas) => this.#tags(schemas, type)));
    const overlaps: Overlap[] = [];
    for (const [at, first] of branches.entries()) {
      for (let other = at + 1; other < branches.length; other++) {
        const second = branches[other]!;
        this.languages.spend();
        if (tags[at]!.every((a) => tags[other]!.every((b) => this.#differing(a, b, true) !== null))) continue;
        const mayOverlap = (others: readonly Group[]): boolean =>
          this.#alternatives([first.schema, second.schema], type, context, others).some(
            (schemas) => !this.#isNothing(schemas, type),
          );
        if (!mayOverlap([]) || (waiting.length > 0 && !mayOverlap(waiting))) continue;
        const tag = this.#commonTag(tags[at]!, tags[other]!);
        overlaps.push({ first: first.index, second: second.index, tag });
      }
    }
    return overlaps;
  }

  /** Returns a property that distinguishes all choices of two branches if it is present, or null. */
  #commonTag(first: readonly Tags[], second: readonly Tags[]): string | null {
    const tag = this.#differing(first[0]!, second[0]!, false);
    if (tag === null) return null;
    const only = (tags: Tags): Tags => new Map([...tags].filter(([name]) => name === tag));
    const isCommon = first.every((a) => second.every((b) => this.#differing(only(a), only(b), false) !== null));
    return isCommon ? tag : null;
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

  /**
   * Returns a property that has no value that both allow, or null.
   * @param isRequired true if one of the two must require it, so that no instance is valid against both; false if both
   * must be able to have it
   */
  #differing(first: Tags, second: Tags, isRequired: boolean): string | null {
    const [few, many] = first.size <= second.size ? [first, second] : [second, first];
    for (const [name, a] of few) {
      const b = many.get(name);
      this.languages.spend();
      if (b === undefined || a.values === null || b.values === null) continue;
      if (isRequired ? !a.isRequired && !b.isRequired : a.values.size === 0 || b.values.size === 0) continue;
      const [less, more] = a.values.size <= b.values.size ? [a.values, b.values] : [b.values, a.values];
      this.languages.spend(less.size);
      if (![...less].some((value) => more.has(value))) return name;
    }
    return null;
  }

  /** Returns the values of a node that allows only listed scalars, else null. */
  #listedValues(node: BuiltNode): ReadonlySet<string> | null {
    this.#describe(node);
    const { words, numbers, strings, arrays, objects } = node;
    const texts = strings === this.languages.none ? [] : strings === this.languages.empty ? [""] : listOf(strings);
    const points = pointsOf(numbers);
    if (texts === null || points === null || arrays.length > 0 || objects.length > 0) return null;
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
        const { prefix, rest } = shape.items;
        // A counted item has other values.
        const needed = shape.counted === null ? prefix.slice(0, shape.min) : [];
        if (shape.counted === null && shape.min > prefix.length) needed.push(rest);
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

  #arrayExists(shape: ArrayShape<BuiltNode>): boolean {
    this.#findWhatExists(this.#reachable([...shape.values()]));
    return shape.settle(
      ({ exists }) => exists!,
      (value) => this.#numDistinct(value),
    );
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
      node.arrays.some((shape) => shape.settle(exists, (value) => this.#numDistinct(value))) ||
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
    return this.#textIn(schemas, "language");
  }

  /** Returns the strings in their usual spelling, or all if none has it. */
  #usualText(schemas: readonly Schema[]): Language {
    const hasUnusual = schemas.some(({ strings }) => strings.some(({ language, usual }) => language !== usual));
    const usual = hasUnusual && !this.isLoose ? this.#textIn(schemas, "usual") : this.languages.none;
    return usual === this.languages.none ? this.#text(schemas) : usual;
  }

  #textIn(schemas: readonly Schema[], spelling: "language" | "usual"): Language {
    const { languages } = this;
    const key = `${spelling};${keyOf(schemas)}`;
    let language = this.#texts.get(key);
    if (language === undefined) {
      const min = schemas.reduce((most, { minLength }) => Math.max(most, minLength), 0);
      const max = schemas.reduce((least, { maxLength }) => Math.min(least, maxLength), Infinity);
      const length = min > max ? languages.none : languages.repeat(languages.any, min, max);
      const texts = schemas.flatMap(({ strings }) => strings.filter(({ isNarrow }) => !(isNarrow && this.isLoose)));
      language = this.#settled(languages.intersection([length, ...texts.map((text) => text[spelling])]), schemas[0]);
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

  #array(schemas: readonly Schema[]): ArrayShape<BuiltNode> {
    const key = keyOf(schemas);
    let shape = this.#arrays.get(key);
    if (shape === undefined) {
      shape = this.#newArray(schemas);
      this.#arrays.set(key, shape);
    }
    return shape;
  }

  #newArray(schemas: readonly Schema[]): ArrayShape<BuiltNode> {
    const id = this.#arrays.size;
    const all = schemas.flatMap(({ contains }) => contains).filter(({ min, max }) => min > 0 || max < Infinity);
    const [contains] = all;
    if (all.some(({ schema, from }) => schema !== contains!.schema || from !== contains!.from)) {
      const { pointer } = all.find(({ schema }) => schema !== contains!.schema)!.schema;
      throw unsupported(pointer, `An array with more than one "contains", as at ${shown(pointer)}, is not supported.`);
    }
    const from = contains?.from ?? 0;
    const length = schemas.reduce((most, { prefixItems }) => Math.max(most, prefixItems.length), from);
    const items = (at: (index: number) => BuiltNode): { prefix: BuiltNode[]; rest: BuiltNode } => ({
      prefix: Array.from({ length }, (_, index) => at(index)),
      rest: at(length),
    });
    const max = all.reduce((least, counted) => Math.min(least, counted.max), Infinity);
    const negation = all.find((counted) => counted.negation !== null)?.negation ?? null;
    const itemSchemas = (index: number): Schema[] =>
      schemas.flatMap(({ prefixItems, items: rest }) => prefixItems[index] ?? rest ?? []);
    const ofItem = (index: number): Schema[] =>
      index < from || negation === null ? itemSchemas(index) : [...itemSchemas(index), negation];
    const whole = items((index) => this.#node(ofItem(index)));
    const min = schemas.reduce((most, { minItems }) => Math.max(most, minItems), 0);
    const givenMax = schemas.reduce((least, { maxItems }) => Math.min(least, maxItems), Infinity);
    // A single item is distinct.
    const isUnique = !this.isLoose && givenMax > 1 && schemas.some(({ uniqueItems }) => uniqueItems);
    if (isUnique) this.#uniqueAt[id] = `${schemas.find(({ uniqueItems }) => uniqueItems)!.pointer}/uniqueItems`;
    if (contains === undefined) return new ArrayShape(id, whole, min, givenMax, null, isUnique);
    const counted = items((index) => this.#node([...itemSchemas(index), contains.schema]));
    const prefix = counted.prefix.map((node, index) => (index < from ? null : node));
    const least = all.reduce((most, { min: one }) => Math.max(most, one), 0);
    return new ArrayShape(id, whole, min, givenMax, { items: { ...counted, prefix }, min: least, max }, isUnique);
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
    const ordered = new Set(
      schemas.flatMap(({ required: those, properties }) =>
        keepsOrder(properties) ? those.filter((name) => properties.has(name)) : [],
      ),
    );
    const slots = [...names].map((name): Slot<BuiltNode> => ({
      name,
      value: this.#property(schemas, name),
      isRequired: required.has(name),
      isOrdered: ordered.has(name),
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
    const classes = this.#nameClasses(schemas, validNames);
    return new ObjectShape(this.#objects.size, slots, classes, min, max, validNames === languages.all);
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

/** False if names are indexes like "10": objects of JavaScript have these first, so the author's order is not known. */
function keepsOrder(properties: ReadonlyMap<string, unknown>): boolean {
  for (const name of properties.keys()) if (/^(?:0|[1-9]\d{0,9})$/.test(name)) return false;
  return true;
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

/** Work for each range of numbers. */
const STEPS_PER_RANGE = 100;

const tagNote = (name: string, pointer: string): string =>
  `Answers always have the property ${described(name)}, which tells the branches of ${shown(pointer)} apart.`;

/** Two branches of a `oneOf`, by index, and a property that distinguishes them if it is present. */
interface Overlap {
  readonly first: number;
  readonly second: number;
  readonly tag: string | null;
}

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
    const isRestricting = next.types !== ALL_TYPES || next.groups.length > 0 || next.refusals.length > 0;
    if (isRestricting || hasOwnKeywords(next)) restricting.add(next);
    else open.push(...next.all.toReversed());
  }
}

/** Returns the numbers that all of the schemas allow. */
function rangesOf(schemas: readonly Schema[], languages: Languages): NumberRange[] {
  let ranges: readonly NumberRange[] = [ALL_NUMBERS];
  for (const { numbers } of schemas) {
    languages.spend((ranges.length + numbers.length) * 4);
    if (arePoints(ranges) && arePoints(numbers)) ranges = inBoth(ranges, numbers);
    else {
      languages.spend(ranges.length * numbers.length);
      ranges = ranges.flatMap((range) => numbers.map((other) => intersectRanges(range, other)).filter(isNotEmpty));
    }
  }
  return [...ranges];
}

const arePoints = (ranges: readonly NumberRange[]): boolean =>
  ranges.every(({ min, max }) => min !== null && max !== null && compare(min, max) === 0);

const isNotEmpty = ({ min, max }: NumberRange): boolean => min === null || max === null || compare(min, max) <= 0;

/** Returns the single numbers that two lists share. */
function inBoth(first: readonly NumberRange[], second: readonly NumberRange[]): NumberRange[] {
  const key = ({ min }: NumberRange): string => `${min!.digits}e${min!.exponent}`;
  const keys = new Set(second.map(key));
  return first.filter((range) => keys.has(key(range)));
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

/**
 * Numbers the groups so that each comes before those that its branches lead to, and otherwise as in the document.
 * Refuses a schema that refers to itself without a property or an item in between: it has no meaning.
 */
function ranksOf(root: Schema, languages: Languages): Map<Group, number> {
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
    return [...schema.all, ...schema.groups.flatMap(({ branches, negations }) => [...branches, ...negations])];
  }
}
