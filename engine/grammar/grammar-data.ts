/**
 * A compiled grammar as data: a few flat arrays, so that threads can hand it over without work that grows with it.
 * States and values refer to each other by number and become objects when they are first used.
 *
 * Layout of `ints`: a header (see `HEADER`), tables of the offsets of languages, partitions, word lists, nodes, arrays,
 * objects, rules and their states, and their records. Numbers that may exceed 32 bits are in `doubles`, and texts in `text`.
 */

import { ArrayShape } from "./arrays.js";
import type { ParameterKinds } from "./call-markup.js";
import type { Decimal } from "./decimal.js";
import { type Language, Languages, type Shape, type Steps, type WordList } from "./language.js";
import { type Magnitudes, type NumberSet, SPELLINGS } from "./numbers.js";
import { type NameClass, ObjectShape } from "./objects.js";
import type { Partition } from "./partitions.js";
import type { Rule, RuleEdge, RuleState } from "./rules.js";
import type { ValueNode } from "./values.js";

export interface GrammarData {
  readonly ints: Int32Array<ArrayBuffer>;
  readonly doubles: Float64Array<ArrayBuffer>;
  readonly text: string;
  /** Remarks for the author of the format: what is not read, and what is enforced in part. */
  readonly notes: readonly string[];
  /** For each tool whose arguments are written as parameters: their kinds. */
  readonly kinds: readonly ParameterKinds[];
}

/** Content of an answer: one JSON value, text, or what the rules of a context-free grammar allow from a state on. */
export type AnswerShape =
  | { readonly kind: "value"; readonly value: ValueNode }
  | { readonly kind: "text"; readonly language: Language }
  | { readonly kind: "rules"; readonly start: RuleState };

const ANSWER_KINDS = ["value", "text", "rules"] as const;
const EDGE_KINDS = ["text", "value", "call"] as const;

export function grammarBytes({ ints, doubles, text, notes }: GrammarData): number {
  return ints.byteLength + doubles.byteLength + 2 * text.length + 2 * notes.join().length;
}

export function writeGrammar(languages: Languages, answer: AnswerShape): Omit<GrammarData, "notes" | "kinds"> {
  return new Writer(languages).write(answer);
}

/** Tables, in the order of the header: kind of the answer, its root, then for each table its size and its offset. */
const TABLES = ["languages", "partitions", "lists", "nodes", "arrays", "objects", "rules", "states"] as const;
type TableName = (typeof TABLES)[number];
const HEADER = { kind: 0, root: 1, tables: 2, length: 2 + 2 * TABLES.length } as const;

/** Languages with fixed numbers: none, empty, any, all. */
const NUM_FIXED = 4;
const KINDS = ["none", "empty", "set", "words", "concat", "union", "intersection", "not", "repeat", "state"] as const;
const NO_STEPS = -1;
const NO_NODE = -1;

/** Numbers objects in the order in which they are first referred to. */
class Numbering<T> {
  readonly #ids = new Map<T, number>();
  readonly all: T[] = [];
  /** Offsets of the records written so far. */
  readonly offsets: number[] = [];

  id(value: T): number {
    let id = this.#ids.get(value);
    if (id === undefined) {
      this.#ids.set(value, (id = this.all.length));
      this.all.push(value);
    }
    return id;
  }
}

class Writer {
  readonly #languages: Languages;
  readonly #ints: number[] = new Array<number>(HEADER.length).fill(0);
  readonly #doubles = new Numbering<number>();
  readonly #texts: string[] = [];
  #textLength = 0;
  readonly #tables = {
    languages: new Numbering<Language>(),
    partitions: new Numbering<Partition>(),
    lists: new Numbering<WordList>(),
    nodes: new Numbering<ValueNode>(),
    arrays: new Numbering<ArrayShape<ValueNode>>(),
    objects: new Numbering<ObjectShape<ValueNode>>(),
    rules: new Numbering<Rule>(),
    states: new Numbering<RuleState>(),
  };

  constructor(languages: Languages) {
    this.#languages = languages;
    for (const fixed of [languages.none, languages.empty, languages.any, languages.all])
      this.#tables.languages.id(fixed);
  }

  write(answer: AnswerShape): Omit<GrammarData, "notes" | "kinds"> {
    const { languages, partitions, lists, nodes, arrays, objects, rules, states } = this.#tables;
    this.#ints[HEADER.kind] = ANSWER_KINDS.indexOf(answer.kind);
    this.#ints[HEADER.root] = this.#rootId(answer);
    while (
      this.#writeNext(states, (state) => this.#writeState(state)) ||
      this.#writeNext(rules, ({ rank, start }) => this.#push(rank, states.id(start)))
    );
    // Values lead to each other and to languages, and languages to languages, partitions and lists.
    while (
      this.#writeNext(nodes, (node) => this.#writeNode(node)) ||
      this.#writeNext(arrays, (shape) => this.#writeArray(shape)) ||
      this.#writeNext(objects, (shape) => this.#writeObject(shape))
    );
    while (this.#writeNext(languages, (language) => this.#writeLanguage(language)));
    while (this.#writeNext(partitions, (partition) => this.#writePartition(partition)));
    while (this.#writeNext(lists, (list) => this.#writeList(list)));
    TABLES.forEach((name, index) => {
      const { offsets } = this.#tables[name];
      this.#ints[HEADER.tables + 2 * index] = offsets.length;
      this.#ints[HEADER.tables + 2 * index + 1] = this.#ints.length;
      for (const offset of offsets) this.#ints.push(offset);
    });
    return {
      ints: Int32Array.from(this.#ints),
      doubles: Float64Array.from(this.#doubles.all),
      text: this.#texts.join(""),
    };
  }

  #rootId(answer: AnswerShape): number {
    const { languages, nodes, states } = this.#tables;
    switch (answer.kind) {
      case "value":
        return nodes.id(answer.value);
      case "text":
        return languages.id(answer.language);
      case "rules":
        return states.id(answer.start);
    }
  }

  /** Writes the record of the next object that was numbered. @returns false if there is none */
  #writeNext<T>(table: Numbering<T>, write: (value: T) => void): boolean {
    if (table.offsets.length === table.all.length) return false;
    this.#languages.spend(4);
    const value = table.all[table.offsets.length]!;
    table.offsets.push(this.#ints.length);
    write(value);
    return true;
  }

  #push(...values: readonly number[]): void {
    for (const value of values) this.#ints.push(value);
  }

  #pushText(text: string): void {
    this.#push(this.#textLength, text.length);
    this.#texts.push(text);
    this.#textLength += text.length;
  }

  #pushLanguages(languages: readonly Language[]): void {
    for (const language of languages) this.#ints.push(this.#tables.languages.id(language));
  }

  #writeLanguage(language: Language): void {
    const { shape, steps, isAccepting, isPlain, isLive, shortest, longest } = language;
    const live = isLive === null ? 0 : isLive ? 1 : 2;
    this.#push(
      KINDS.indexOf(shape.kind) | (Number(isAccepting) << 4) | (Number(isPlain) << 5) | (live << 6),
      this.#doubles.id(shortest),
      this.#doubles.id(longest),
      steps === null ? NO_STEPS : this.#tables.partitions.id(steps.partition),
    );
    if (steps !== null) this.#pushLanguages(steps.targets);
    switch (shape.kind) {
      case "none":
      case "empty":
      case "state":
        return;
      case "set":
        this.#push(shape.set.length);
        for (const border of shape.set) this.#ints.push(border);
        return;
      case "words":
        this.#push(this.#tables.lists.id(shape.list), shape.first, shape.end, shape.at, shape.atPoint);
        return;
      case "concat":
        this.#pushLanguages([shape.first, shape.rest]);
        return;
      case "union":
      case "intersection":
        this.#push(shape.parts.length);
        this.#pushLanguages(shape.parts);
        return;
      case "not":
        this.#pushLanguages([shape.of]);
        return;
      case "repeat":
        this.#pushLanguages([shape.of]);
        this.#push(this.#doubles.id(shape.min), this.#doubles.id(shape.max));
    }
  }

  #writePartition({ firsts, ends, classes, numClasses }: Partition): void {
    this.#push(numClasses, firsts.length);
    for (const values of [firsts, ends, classes])
      for (let index = 0; index < values.length; index++) this.#ints.push(values[index]!);
  }

  #writeList({ words, lengths }: WordList): void {
    this.#push(words.length);
    for (const [index, word] of words.entries()) {
      this.#pushText(word);
      this.#push(lengths[index]!);
    }
  }

  #writeState({ isFinal, need, edges }: RuleState): void {
    const { languages, nodes, rules, states } = this.#tables;
    this.#push(Number(isFinal), this.#doubles.id(need), edges.length);
    for (const edge of edges) {
      this.#push(EDGE_KINDS.indexOf(edge.kind), states.id(edge.to));
      switch (edge.kind) {
        case "text":
          this.#push(languages.id(edge.language));
          break;
        case "value":
          this.#push(nodes.id(edge.value));
          break;
        case "call":
          this.#push(rules.id(edge.rule));
      }
    }
  }

  #writeNode({ words, numbers, strings, arrays, objects }: ValueNode): void {
    this.#push(words, this.#tables.languages.id(strings), arrays.length, objects.length);
    for (const shape of arrays) this.#ints.push(this.#tables.arrays.id(shape));
    for (const shape of objects) this.#ints.push(this.#tables.objects.id(shape));
    this.#push(numbers.points.length);
    for (const point of numbers.points) this.#pushText(point);
    for (const ranges of [numbers.positive, numbers.negative]) {
      this.#push(ranges.length);
      for (const { low, high, step, spelling } of ranges) {
        this.#push(SPELLINGS.indexOf(spelling), Number(step !== null));
        this.#pushDecimal(low);
        this.#pushDecimal(high);
        if (step !== null) this.#pushDecimal(step);
      }
    }
  }

  #pushDecimal({ digits, exponent }: Decimal): void {
    this.#pushText(String(digits));
    this.#push(exponent);
  }

  #writeArray({ items, min, max, counted, isUnique, flags }: ArrayShape<ValueNode>): void {
    const { nodes } = this.#tables;
    this.#push(this.#doubles.id(min), this.#doubles.id(max), Number(isUnique), items.prefix.length);
    for (const value of [...items.prefix, items.rest]) this.#ints.push(nodes.id(value));
    this.#push(Number(counted !== null));
    if (counted === null) return;
    this.#push(this.#doubles.id(counted.min), this.#doubles.id(counted.max));
    for (const value of [...counted.items.prefix, counted.items.rest])
      this.#ints.push(value === null ? NO_NODE : nodes.id(value));
    for (const isPossible of [...flags.canBe, ...flags.canCount]) this.#ints.push(Number(isPossible));
  }

  #writeObject(shape: ObjectShape<ValueNode>): void {
    const { slots, classes, min, max, numSpare, isOpen } = shape;
    this.#push(this.#doubles.id(min), this.#doubles.id(max), this.#doubles.id(numSpare));
    this.#push(Number(isOpen), classes.length, slots.length);
    for (const { names, value } of classes) this.#push(this.#tables.languages.id(names), this.#tables.nodes.id(value));
    for (const [index, { name, value, isRequired, isOrdered, isNameValid, needs }] of slots.entries()) {
      const isPossible = shape.isSlotPossible(index);
      this.#push(this.#tables.nodes.id(value));
      const flags = [isRequired, isNameValid, isPossible, isOrdered];
      this.#push(
        flags.reduce((bits, isSet, bit) => bits | (Number(isSet) << bit), 0),
        needs.length,
      );
      for (const needed of needs) this.#ints.push(needed);
      this.#pushText(name);
    }
  }
}

/** A grammar that is read from data as far as it is used. */
export class StoredGrammar {
  readonly languages = new Languages(null);
  readonly #data: GrammarData;
  #languages: Language[] = [];
  #partitions: Partition[] = [];
  #lists: WordList[] = [];
  readonly #nodes: ValueNode[] = [];
  readonly #arrays: ArrayShape<ValueNode>[] = [];
  readonly #objects: ObjectShape<ValueNode>[] = [];
  readonly #rules: Rule[] = [];
  readonly #states: RuleState[] = [];
  #numLanguages = 0;

  constructor(data: GrammarData) {
    this.#data = data;
    this.languages.reserve(this.#table("languages").size, this.#table("lists").size);
  }

  get answer(): AnswerShape {
    const { ints } = this.#data;
    const kind = ANSWER_KINDS[ints[HEADER.kind]!]!;
    const root = ints[HEADER.root]!;
    switch (kind) {
      case "value":
        return { kind, value: this.node(root) };
      case "text":
        return { kind, language: this.language(root) };
      case "rules":
        return { kind, start: this.state(root) };
    }
  }

  /** Number of states that are kept, each a few hundred bytes. */
  get numStates(): number {
    return this.languages.numStates + this.#numLanguages;
  }

  /** Drops the states read and derived so far. Those in use stay valid, and equal ones are built again. */
  forget(): void {
    this.languages.forget();
    this.#languages = [];
    this.#partitions = [];
    this.#lists = [];
    this.#numLanguages = 0;
  }

  language(id: number): Language {
    const { none, empty, any, all } = this.languages;
    if (id < NUM_FIXED) return [none, empty, any, all][id]!;
    let language = this.#languages[id];
    if (language === undefined) {
      const { ints, doubles } = this.#data;
      const at = this.#offset("languages", id);
      language = new StoredLanguage(this, id, ints[at]!, doubles[ints[at + 1]!]!, doubles[ints[at + 2]!]!);
      this.#languages[id] = language;
      this.#numLanguages++;
    }
    return language;
  }

  /** @returns the transitions that were computed when the grammar was compiled, or null */
  steps(id: number): Steps | null {
    const { ints } = this.#data;
    const at = this.#offset("languages", id);
    const partitionId = ints[at + 3]!;
    if (partitionId === NO_STEPS) return null;
    const partition = this.#partition(partitionId);
    return { partition, targets: this.#languagesAt(at + 4, partition.numClasses) };
  }

  shape(id: number): Shape {
    const { ints, doubles } = this.#data;
    const at = this.#offset("languages", id);
    const kind = KINDS[ints[at]! & 15]!;
    const partitionId = ints[at + 3]!;
    const from = at + 4 + (partitionId === NO_STEPS ? 0 : ints[this.#offset("partitions", partitionId)]!);
    switch (kind) {
      case "none":
      case "empty":
      case "state":
        return { kind };
      case "set":
        return { kind, set: Array.from(ints.subarray(from + 1, from + 1 + ints[from]!)) };
      case "words": {
        const [list, first, end, point, atPoint] = ints.subarray(from, from + 5);
        return { kind, list: this.#list(list!), first: first!, end: end!, at: point!, atPoint: atPoint! };
      }
      case "concat":
        return { kind, first: this.language(ints[from]!), rest: this.language(ints[from + 1]!) };
      case "union":
      case "intersection":
        return { kind, parts: this.#languagesAt(from + 1, ints[from]!) };
      case "not":
        return { kind, of: this.language(ints[from]!) };
      case "repeat":
        return { kind, of: this.language(ints[from]!), min: doubles[ints[from + 1]!]!, max: doubles[ints[from + 2]!]! };
    }
  }

  node(id: number): ValueNode {
    return (this.#nodes[id] ??= new StoredNode(this, id, this.#data, this.#offset("nodes", id)));
  }

  array(id: number): ArrayShape<ValueNode> {
    return (this.#arrays[id] ??= this.#readArray(id));
  }

  #readArray(id: number): ArrayShape<ValueNode> {
    const { ints, doubles } = this.#data;
    let at = this.#offset("arrays", id);
    const [min, max, isUnique, length] = ints.subarray(at, at + 4);
    const numItems = length! + 1;
    const take = (count: number): number[] => [...ints.subarray(at, (at += count))];
    at += 4;
    const items = take(numItems).map((node) => this.node(node));
    const [hasCounted] = take(1);
    const whole = { prefix: items.slice(0, -1), rest: items.at(-1)! };
    const limits = [doubles[min!]!, doubles[max!]!] as const;
    if (hasCounted === 0) return new ArrayShape(id, whole, ...limits, null, isUnique === 1);
    const [least, most] = take(2).map((index) => doubles[index]!);
    const counted = take(numItems).map((node) => (node === NO_NODE ? null : this.node(node)));
    const isPossible = take(2 * numItems).map((bit) => bit === 1);
    const countedItems = { prefix: counted.slice(0, -1), rest: counted.at(-1)! };
    const shape = new ArrayShape(
      id,
      whole,
      ...limits,
      { items: countedItems, min: least!, max: most! },
      isUnique === 1,
    );
    shape.setFlags(isPossible.slice(0, numItems), isPossible.slice(numItems));
    return shape;
  }

  object(id: number): ObjectShape<ValueNode> {
    return (this.#objects[id] ??= this.#readObject(id));
  }

  rule(id: number): Rule {
    const { ints } = this.#data;
    const at = this.#offset("rules", id);
    return (this.#rules[id] ??= { id, rank: ints[at]!, start: this.state(ints[at + 1]!) });
  }

  state(id: number): RuleState {
    return (this.#states[id] ??= new StoredState(this, id, this.#data, this.#offset("states", id)));
  }

  #readObject(id: number): ObjectShape<ValueNode> {
    const { ints, doubles } = this.#data;
    const from = this.#offset("objects", id);
    const [min, max, numSpare] = [...ints.subarray(from, from + 3)].map((index) => doubles[index]!);
    const isOpen = ints[from + 3] === 1;
    const [numClasses, numSlots] = [ints[from + 4]!, ints[from + 5]!];
    let at = from + 6;
    const classes = Array.from({ length: numClasses }, () => {
      const nameClass = new StoredNameClass(this, ints[at]!, this.node(ints[at + 1]!));
      at += 2;
      return nameClass;
    });
    const isPossible: boolean[] = [];
    const slots = Array.from({ length: numSlots }, () => {
      const [value, flags, numNeeds] = [ints[at]!, ints[at + 1]!, ints[at + 2]!];
      const needs = Array.from(ints.subarray(at + 3, at + 3 + numNeeds));
      at += 3 + numNeeds;
      const name = this.#data.text.slice(ints[at]!, ints[at]! + ints[at + 1]!);
      at += 2;
      isPossible.push((flags & 4) !== 0);
      const isOrdered = (flags & 8) !== 0;
      return {
        name,
        value: this.node(value),
        isRequired: (flags & 1) !== 0,
        isOrdered,
        isNameValid: (flags & 2) !== 0,
        needs,
      };
    });
    return ObjectShape.settled({ id, slots, classes, min: min!, max: max!, isOpen }, isPossible, numSpare!);
  }

  #partition(id: number): Partition {
    let partition = this.#partitions[id];
    if (partition === undefined) {
      const { ints } = this.#data;
      const at = this.#offset("partitions", id);
      const [numClasses, size] = [ints[at]!, ints[at + 1]!];
      const part = (index: number): Int32Array => ints.subarray(at + 2 + index * size, at + 2 + (index + 1) * size);
      partition = this.languages.partitions.adopt({ numClasses, firsts: part(0), ends: part(1), classes: part(2) });
      this.#partitions[id] = partition;
    }
    return partition;
  }

  #list(id: number): WordList {
    let list = this.#lists[id];
    if (list === undefined) {
      const { ints, text } = this.#data;
      const at = this.#offset("lists", id);
      const size = ints[at]!;
      const words: string[] = [];
      const lengths = new Int32Array(size);
      for (let index = 0; index < size; index++) {
        const [first, length, numCodePoints] = ints.subarray(at + 1 + 3 * index, at + 4 + 3 * index);
        words.push(text.slice(first!, first! + length!));
        lengths[index] = numCodePoints!;
      }
      list = { id, isApart: false, words, lengths };
      this.#lists[id] = list;
    }
    return list;
  }

  #languagesAt(at: number, count: number): Language[] {
    return Array.from(this.#data.ints.subarray(at, at + count), (id) => this.language(id));
  }

  #table(name: TableName): { readonly size: number; readonly at: number } {
    const index = HEADER.tables + 2 * TABLES.indexOf(name);
    return { size: this.#data.ints[index]!, at: this.#data.ints[index + 1]! };
  }

  #offset(name: TableName, id: number): number {
    return this.#data.ints[this.#table(name).at + id]!;
  }
}

class StoredLanguage implements Language {
  readonly isAccepting: boolean;
  readonly isPlain: boolean;
  readonly isLive: boolean | null;
  readonly #stored: StoredGrammar;
  #shape: Shape | null = null;
  /** Undefined if not read yet. */
  #steps: Steps | null | undefined = undefined;

  constructor(
    stored: StoredGrammar,
    readonly id: number,
    flags: number,
    readonly shortest: number,
    readonly longest: number,
  ) {
    this.#stored = stored;
    this.isAccepting = ((flags >> 4) & 1) === 1;
    this.isPlain = ((flags >> 5) & 1) === 1;
    this.isLive = flags >> 6 === 0 ? null : flags >> 6 === 1;
  }

  get shape(): Shape {
    return (this.#shape ??= this.#stored.shape(this.id));
  }

  get steps(): Steps | null {
    if (this.#steps === undefined) this.#steps = this.#stored.steps(this.id);
    return this.#steps;
  }

  set steps(steps: Steps | null) {
    this.#steps = steps;
  }
}

class StoredNode implements ValueNode {
  readonly words: number;
  readonly #stored: StoredGrammar;
  readonly #data: GrammarData;
  readonly #at: number;
  #numbers: NumberSet | null = null;
  #arrays: readonly ArrayShape<ValueNode>[] | null = null;
  #objects: readonly ObjectShape<ValueNode>[] | null = null;

  constructor(
    stored: StoredGrammar,
    readonly id: number,
    data: GrammarData,
    at: number,
  ) {
    this.#stored = stored;
    this.#data = data;
    this.#at = at;
    this.words = data.ints[at]!;
  }

  /** Not kept, so that its states can be dropped. */
  get strings(): Language {
    return this.#stored.language(this.#data.ints[this.#at + 1]!);
  }

  get arrays(): readonly ArrayShape<ValueNode>[] {
    return (this.#arrays ??= this.#shapeIds(0, this.#numArrays).map((id) => this.#stored.array(id)));
  }

  get objects(): readonly ObjectShape<ValueNode>[] {
    return (this.#objects ??= this.#shapeIds(this.#numArrays, this.#numObjects).map((id) => this.#stored.object(id)));
  }

  get numbers(): NumberSet {
    return (this.#numbers ??= this.#readNumbers());
  }

  get #numArrays(): number {
    return this.#data.ints[this.#at + 2]!;
  }

  get #numObjects(): number {
    return this.#data.ints[this.#at + 3]!;
  }

  #shapeIds(first: number, count: number): number[] {
    const from = this.#at + 4 + first;
    return Array.from(this.#data.ints.subarray(from, from + count));
  }

  #readNumbers(): NumberSet {
    const { ints, text } = this.#data;
    let at = this.#at + 4 + this.#numArrays + this.#numObjects;
    const list = <T>(read: () => T): T[] => Array.from({ length: ints[at++]! }, read);
    const part = (): string => {
      const first = ints[at++]!;
      return text.slice(first, first + ints[at++]!);
    };
    const decimal = (): Decimal => ({ digits: BigInt(part()), exponent: ints[at++]! });
    const magnitudes = (): Magnitudes => {
      const spelling = SPELLINGS[ints[at++]!]!;
      const hasStep = ints[at++] === 1;
      return { spelling, low: decimal(), high: decimal(), step: hasStep ? decimal() : null };
    };
    return { points: list(part), positive: list(magnitudes), negative: list(magnitudes) };
  }
}

class StoredState implements RuleState {
  readonly isFinal: boolean;
  readonly need: number;
  readonly #stored: StoredGrammar;
  readonly #data: GrammarData;
  readonly #at: number;
  #edges: readonly RuleEdge[] | null = null;

  constructor(
    stored: StoredGrammar,
    readonly id: number,
    data: GrammarData,
    at: number,
  ) {
    this.#stored = stored;
    this.#data = data;
    this.#at = at;
    this.isFinal = data.ints[at] === 1;
    this.need = data.doubles[data.ints[at + 1]!]!;
  }

  get edges(): readonly RuleEdge[] {
    return (this.#edges ??= Array.from({ length: this.#data.ints[this.#at + 2]! }, (_, index) => this.#edge(index)));
  }

  #edge(index: number): RuleEdge {
    const stored = this.#stored;
    const [kindId, toId, id] = this.#data.ints.subarray(this.#at + 3 + 3 * index, this.#at + 6 + 3 * index);
    const kind = EDGE_KINDS[kindId!]!;
    const to = stored.state(toId!);
    switch (kind) {
      case "text":
        // Read again each time, so that the states of the language can be dropped.
        return {
          kind,
          get language() {
            return stored.language(id!);
          },
          to,
        };
      case "value":
        return { kind, value: stored.node(id!), to };
      case "call":
        return { kind, rule: stored.rule(id!), to };
    }
  }
}

class StoredNameClass implements NameClass<ValueNode> {
  readonly #stored: StoredGrammar;
  readonly #names: number;

  constructor(
    stored: StoredGrammar,
    names: number,
    readonly value: ValueNode,
  ) {
    this.#stored = stored;
    this.#names = names;
  }

  /** Not kept, so that its states can be dropped. */
  get names(): Language {
    return this.#stored.language(this.#names);
  }
}
