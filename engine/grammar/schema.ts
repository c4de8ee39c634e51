/** A schema as it was read: each keyword parsed, references resolved. values.ts combines the keywords. */

import { EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import type { Language, Languages } from "./language.js";
import { ALL_NUMBERS, type NumberRange } from "./numbers.js";

/** The types of JSON as bits. Each boolean has a bit of its own, so that `const` and `enum` can name one. */
export const TYPE = { null: 1, true: 2, false: 4, number: 8, string: 16, array: 32, object: 64 } as const;
export const ALL_TYPES = 127;

/**
 * One schema of the document, with its keywords parsed. A keyword that is absent has a value that restricts nothing.
 */
export interface Schema {
  readonly id: number;
  /** Location in the document: a JSON pointer, "" for the root. */
  readonly pointer: string;
  /** Bits of TYPE: the allowed types. */
  types: number;
  /** A number must be in one of these ranges. */
  numbers: readonly NumberRange[];
  /** A string must belong to each of these sets. */
  readonly strings: StringSet[];
  minLength: number;
  maxLength: number;
  prefixItems: readonly Schema[];
  items: Schema | null;
  minItems: number;
  maxItems: number;
  uniqueItems: boolean;
  contains: readonly Contains[];
  unevaluatedItems: Schema | null;
  properties: ReadonlyMap<string, Schema>;
  patternProperties: readonly { readonly source: string; readonly names: Language; readonly schema: Schema }[];
  additionalProperties: Schema | null;
  unevaluatedProperties: Schema | null;
  propertyNames: Schema | null;
  required: readonly string[];
  minProperties: number;
  maxProperties: number;
  dependentRequired: ReadonlyMap<string, readonly string[]>;
  /** `allOf` and `$ref`: the instance must be valid against each. */
  readonly all: Schema[];
  /** `anyOf`, `oneOf`, `enum`, `const`, and what is expressed by them: a branch of each group must hold. */
  readonly groups: Group[];
  /** True if it evaluates no item or property in the sense of the unevaluated keywords, whatever it leads to. */
  isSilent: boolean;
  /** `not`: the instance must be valid against none. */
  readonly nots: Schema[];
  readonly conditions: Condition[];
  /** Errors to throw if the schema applies to any place of an answer: keywords that are not supported. */
  readonly refusals: EngineError[];
  /** Keywords whose negation this schema leaves out: it allows fewer values of these types than it could. */
  readonly omissions: Omission[];
}

export interface Omission {
  readonly place: string;
  /** Bits of TYPE. */
  readonly types: number;
}

/** Texts of a keyword. */
export interface StringSet {
  readonly language: Language;
  /** The texts in their usual spelling, to which answers keep if any text has it. */
  readonly usual: Language;
  /** True if the keyword allows more texts than these, so that the other texts are not its negation. */
  readonly isNarrow: boolean;
}

/** So many items, of those from index `from` on, must be valid against the schema. */
export interface Contains {
  readonly schema: Schema;
  readonly min: number;
  readonly max: number;
  readonly from: number;
  /** True if items that are valid against the schema count as evaluated, as since 2020-12. */
  readonly isEvaluating: boolean;
  /** If `max` is finite: for the other items. See negation.ts. */
  negation: Schema | null;
}

/** The instance must be valid against a branch, and against exactly one if the group is exclusive. */
export interface Group {
  readonly branches: readonly Schema[];
  readonly isExclusive: boolean;
  readonly pointer: string;
  /** The negations of the branches if the group is exclusive: see negation.ts. */
  negations: readonly Schema[];
}

export interface Condition {
  readonly if: Schema;
  readonly then: Schema | null;
  readonly else: Schema | null;
  readonly pointer: string;
}

/** Makes schemas, with a limit on their number, and keeps the remarks on them. */
export class Schemas {
  #count = 0;
  readonly #notes = new Set<string>();

  constructor(readonly languages: Languages) {}

  /** Remarks for the author: keywords that look misspelled, and what is enforced in part. */
  get notes(): readonly string[] {
    return [...this.#notes];
  }

  /** Adds a remark; one that is very long, and those after many, are dropped. */
  note(text: string): void {
    if (text.length <= LIMITS.maxSchemaNoteCharacters && this.#notes.size < LIMITS.maxSchemaNotes)
      this.#notes.add(text);
  }

  /** @returns a schema without keywords. @param pointer its place in the document, for messages */
  blank(pointer: string): Schema {
    this.languages.spend(20);
    if (++this.#count > LIMITS.maxSchemaSchemas) {
      throw invalid(pointer, `The document contains more than ${LIMITS.maxSchemaSchemas} schemas.`);
    }
    return {
      id: this.#count,
      pointer,
      types: ALL_TYPES,
      numbers: [ALL_NUMBERS],
      strings: [],
      minLength: 0,
      maxLength: Infinity,
      prefixItems: [],
      items: null,
      minItems: 0,
      maxItems: Infinity,
      uniqueItems: false,
      contains: [],
      unevaluatedItems: null,
      properties: new Map(),
      patternProperties: [],
      additionalProperties: null,
      unevaluatedProperties: null,
      propertyNames: null,
      required: [],
      minProperties: 0,
      maxProperties: Infinity,
      dependentRequired: new Map(),
      all: [],
      groups: [],
      isSilent: false,
      nots: [],
      conditions: [],
      refusals: [],
      omissions: [],
    };
  }
}

export function invalid(pointer: string, message: string): EngineError {
  return new EngineError("invalid_schema", message, pointer);
}

export function unsupported(pointer: string, message: string): EngineError {
  return new EngineError("unsupported_schema", message, pointer);
}

/** True if the schema has keywords other than those that name types or apply other schemas. */
export function hasOwnKeywords(schema: Schema): boolean {
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
    schema.uniqueItems ||
    schema.contains.length > 0 ||
    schema.unevaluatedItems !== null ||
    schema.properties.size > 0 ||
    schema.patternProperties.length > 0 ||
    schema.additionalProperties !== null ||
    schema.unevaluatedProperties !== null ||
    schema.propertyNames !== null ||
    schema.required.length > 0 ||
    schema.minProperties > 0 ||
    schema.maxProperties < Infinity ||
    schema.dependentRequired.size > 0
  );
}

/** Returns the schemas that apply to the items, properties and names of the instance. */
export function innerSchemas(schema: Schema): Schema[] {
  return [
    ...schema.prefixItems,
    ...(schema.items === null ? [] : [schema.items]),
    ...schema.contains.flatMap(({ schema: item, negation }) => (negation === null ? [item] : [item, negation])),
    ...schema.properties.values(),
    ...schema.patternProperties.map((pattern) => pattern.schema),
    ...(schema.additionalProperties === null ? [] : [schema.additionalProperties]),
    ...[schema.unevaluatedItems, schema.unevaluatedProperties, schema.propertyNames].filter((inner) => inner !== null),
  ];
}

/** Formats a pointer for messages. */
export const shown = (pointer: string): string => `#${pointer}`;
