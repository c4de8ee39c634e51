/**
 * Reads a JSON Schema (draft 2020-12): checks it and parses each keyword. Every keyword is enforced, an annotation, or
 * refused by name and JSON pointer. References are resolved here; keywords are combined in values.ts.
 */

import { described, EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import { ONE, type Decimal, decimalOf, greatestBelow, leastAbove } from "./decimal.js";
import { FORMATS, formatLanguage, usualFormatLanguage } from "./formats.js";
import type { Language, Languages } from "./language.js";
import { ALL_NUMBERS, type NumberRange, intersectRanges } from "./numbers.js";
import { PatternError, boundedPattern } from "./pattern.js";

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
  /** A string must belong to each of these languages. */
  readonly strings: Language[];
  /** The same with formats in their usual spelling, to which answers keep if any text has it. */
  readonly usualStrings: Language[];
  minLength: number;
  maxLength: number;
  prefixItems: readonly Schema[];
  items: Schema | null;
  minItems: number;
  maxItems: number;
  properties: ReadonlyMap<string, Schema>;
  patternProperties: readonly { readonly source: string; readonly names: Language; readonly schema: Schema }[];
  additionalProperties: Schema | null;
  propertyNames: Schema | null;
  required: readonly string[];
  minProperties: number;
  maxProperties: number;
  dependentRequired: ReadonlyMap<string, readonly string[]>;
  /** `allOf` and `$ref`: the instance must be valid against each. */
  readonly all: Schema[];
  /**
   * `anyOf`, `oneOf`, `enum` and `const`: the instance must be valid against a branch of each group, and against
   * exactly one if the group is exclusive.
   */
  readonly groups: { readonly branches: readonly Schema[]; readonly isExclusive: boolean; readonly pointer: string }[];
}

export interface SchemaKeyword {
  readonly keyword: string;
  readonly status: "enforced" | "annotation";
  readonly note?: string;
}

type Json = Readonly<Record<string, unknown>>;
type Read = (reader: SchemaReader, schema: Schema, value: unknown, at: string, whole: Json) => void;

/** Every keyword that a schema may contain, in the order of the documentation. */
const KEYWORDS: Readonly<
  Record<string, { readonly read: Read; readonly status?: "annotation"; readonly note?: string }>
> = {
  type: { read: (reader, schema, value, at) => reader.readType(schema, value, at) },
  enum: { read: (reader, schema, value, at) => schema.groups.push(reader.values(array(value, at), at)) },
  const: { read: (reader, schema, value, at) => schema.groups.push(reader.values([value], at)) },
  properties: { read: (reader, schema, value, at) => void (schema.properties = reader.schemas(value, at)) },
  required: { read: (_, schema, value, at) => void (schema.required = names(value, at)) },
  additionalProperties: {
    read: (reader, schema, value, at) => void (schema.additionalProperties = reader.schema(value, at)),
  },
  patternProperties: { read: (reader, schema, value, at) => reader.readPatternProperties(schema, value, at) },
  propertyNames: { read: (reader, schema, value, at) => void (schema.propertyNames = reader.schema(value, at)) },
  minProperties: { read: (_, schema, value, at) => void (schema.minProperties = size(value, at)) },
  maxProperties: { read: (_, schema, value, at) => void (schema.maxProperties = size(value, at)) },
  dependentRequired: { read: (_, schema, value, at) => void (schema.dependentRequired = dependencies(value, at)) },
  items: { read: (reader, schema, value, at) => void (schema.items = reader.schema(value, at)) },
  prefixItems: { read: (reader, schema, value, at) => void (schema.prefixItems = reader.schemaList(value, at)) },
  minItems: { read: (_, schema, value, at) => void (schema.minItems = size(value, at)) },
  maxItems: { read: (_, schema, value, at) => void (schema.maxItems = size(value, at)) },
  uniqueItems: { read: (_, __, value, at) => refuseUniqueItems(value, at), note: "false only" },
  minLength: { read: (_, schema, value, at) => void (schema.minLength = size(value, at)), note: "in code points" },
  maxLength: { read: (_, schema, value, at) => void (schema.maxLength = size(value, at)), note: "in code points" },
  pattern: {
    read: (reader, schema, value, at) => void addStrings(schema, reader.pattern(string(value, at), at)),
    note: "ECMA-262 with the u flag, its Annex B, and spellings of Python, PCRE and Java; without back-references",
  },
  format: {
    read: (reader, schema, value, at) => reader.readFormat(schema, string(value, at), at),
    note: "see the table of formats; unknown ones are annotations",
  },
  minimum: { read: (_, schema, value, at) => bound(schema, { min: decimalOf(number(value, at)) }) },
  maximum: { read: (_, schema, value, at) => bound(schema, { max: decimalOf(number(value, at)) }) },
  exclusiveMinimum: { read: (_, schema, value, at) => bound(schema, { min: leastAbove(number(value, at)) }) },
  exclusiveMaximum: { read: (_, schema, value, at) => bound(schema, { max: greatestBelow(number(value, at)) }) },
  multipleOf: {
    read: (_, schema, value, at) => bound(schema, { step: multipleOf(value, at) }),
    note: "exact decimal arithmetic",
  },
  anyOf: { read: (reader, schema, value, at) => reader.readGroup(schema, value, at, false) },
  oneOf: {
    read: (reader, schema, value, at) => reader.readGroup(schema, value, at, true),
    note: "where the branches are provably disjoint",
  },
  allOf: { read: (reader, schema, value, at) => void schema.all.push(...reader.schemaList(value, at)) },
  $ref: {
    read: (reader, schema, value, at) => reader.readReference(schema, string(value, at), at),
    note: "within the document, recursion included",
  },
  $defs: { read: (reader, _, value, at) => void reader.schemas(value, at) },
  definitions: { read: (reader, _, value, at) => void reader.schemas(value, at), note: "the older name of $defs" },
  $anchor: { read: (_, __, value, at) => checkAnchor(string(value, at), at) },
  $id: { read: (_, __, value, at) => void string(value, at), note: "a base for references within the document" },
  $schema: {
    read: (_, __, value, at) => checkDialect(value, at),
    note: "read as draft 2020-12, whichever draft it names",
    status: "annotation",
  },
  $comment: { read: (_, __, value, at) => void string(value, at), status: "annotation" },
  title: { read: (_, __, value, at) => void string(value, at), status: "annotation" },
  description: { read: (_, __, value, at) => void string(value, at), status: "annotation" },
  default: { read: () => {}, status: "annotation" },
  examples: { read: (_, __, value, at) => void array(value, at), status: "annotation" },
  deprecated: { read: (_, __, value, at) => void boolean(value, at), status: "annotation" },
  readOnly: { read: (_, __, value, at) => void boolean(value, at), status: "annotation" },
  writeOnly: { read: (_, __, value, at) => void boolean(value, at), status: "annotation" },
};

/** The keywords as documentation and capabilities list them. */
export const SCHEMA_KEYWORDS: readonly SchemaKeyword[] = Object.entries(KEYWORDS).map(
  ([keyword, { status = "enforced" as const, note }]) => ({
    keyword,
    status,
    ...(note === undefined ? {} : { note }),
  }),
);

/**
 * Reads a schema document.
 * @throws EngineError invalid_schema or unsupported_schema; `param` is the JSON pointer
 */
export function readSchema(languages: Languages, document: unknown): Schema {
  const numCharacters = JSON.stringify(document)?.length ?? 0;
  languages.spend(numCharacters >> 2);
  if (numCharacters > LIMITS.maxSchemaCharacters) {
    throw invalid("", `The schema must have at most ${LIMITS.maxSchemaCharacters} characters. Given: ${numCharacters}`);
  }
  const reader = new SchemaReader(languages, document);
  const root = reader.schema(document, "");
  reader.resolve();
  return root;
}

export function invalid(pointer: string, message: string): EngineError {
  return new EngineError("invalid_schema", message, pointer);
}

export function unsupported(pointer: string, message: string): EngineError {
  return new EngineError("unsupported_schema", message, pointer);
}

/** Formats a pointer for messages. */
export const shown = (pointer: string): string => `#${pointer}`;

class SchemaReader {
  readonly #byPointer = new Map<string, Schema>();
  /** Schemas with an `$anchor`, by absolute URI with the anchor as its fragment. */
  readonly #anchors = new Map<string, Schema>();
  readonly #references: { readonly from: Schema; readonly to: string; readonly at: string; readonly base: string }[] =
    [];
  /** The document and its schemas with an `$id`, by absolute URI without a fragment. */
  readonly #resources = new Map<string, { readonly pointer: string; readonly value: unknown }>();
  /** Base URI of the schema that is being read. */
  #base = DOCUMENT_URI;
  readonly #patterns = new Map<string, Language>();
  readonly #formats = new Map<string, Language | null>();
  #depth = 0;
  #numSchemas = 0;

  constructor(
    readonly languages: Languages,
    document: unknown,
  ) {
    this.#resources.set(DOCUMENT_URI, { pointer: "", value: document });
  }

  /** Resolves the references. The loop includes references that their targets add. */
  resolve(): void {
    for (const { from, to, at, base } of this.#references) from.all.push(this.#target(to, at, base));
  }

  schema(value: unknown, pointer: string): Schema {
    const known = this.#byPointer.get(pointer);
    if (known !== undefined) return known;
    if (typeof value !== "boolean" && !isObject(value)) {
      throw invalid(pointer, `${shown(pointer)} is ${kindOf(value)}; a schema is an object or a boolean.`);
    }
    const schema = this.#blank(pointer);
    this.#byPointer.set(pointer, schema);
    if (value === false) schema.types = 0;
    if (isObject(value)) this.#readKeywords(schema, value);
    return schema;
  }

  schemas(value: unknown, pointer: string): Map<string, Schema> {
    const entries = Object.entries(object(value, pointer));
    if (entries.length > LIMITS.maxSchemaProperties) {
      throw invalid(
        pointer,
        `${shown(pointer)} must have at most ${LIMITS.maxSchemaProperties} entries. Given: ${entries.length}`,
      );
    }
    return new Map(
      entries.map(([name, schema]) => [wellFormed(name, pointer), this.schema(schema, `${pointer}/${escaped(name)}`)]),
    );
  }

  schemaList(value: unknown, pointer: string): Schema[] {
    const list = array(value, pointer);
    if (list.length === 0) throw invalid(pointer, `${shown(pointer)} is an empty array; it needs at least one schema.`);
    return list.map((schema, index) => this.schema(schema, `${pointer}/${index}`));
  }

  readType(schema: Schema, value: unknown, pointer: string): void {
    const types = Array.isArray(value) ? value : [value];
    let bits = 0;
    for (const type of types) {
      if (typeof type !== "string" || !Object.hasOwn(TYPE_NAMES, type)) {
        throw invalid(
          pointer,
          `${shown(pointer)} must be one of ${Object.keys(TYPE_NAMES).join(", ")}. Given: ${described(type)}`,
        );
      }
      bits |= TYPE_NAMES[type]!;
    }
    if (types.length === 0) throw invalid(pointer, `${shown(pointer)} is an empty array.`);
    checkUnique(types, pointer);
    schema.types &= bits;
    if (types.includes("integer") && !types.includes("number")) bound(schema, { step: ONE });
  }

  readGroup(schema: Schema, value: unknown, pointer: string, isExclusive: boolean): void {
    schema.groups.push({ branches: this.schemaList(value, pointer), isExclusive, pointer });
  }

  readPatternProperties(schema: Schema, value: unknown, pointer: string): void {
    schema.patternProperties = [...this.schemas(value, pointer)].map(([source, found]) => ({
      source,
      names: this.pattern(source, `${pointer}/${escaped(source)}`),
      schema: found,
    }));
  }

  readFormat(schema: Schema, format: string, pointer: string): void {
    if (FORMATS.some((known) => known.format === format && known.status === "refused")) {
      throw unsupported(pointer, `The format ${JSON.stringify(format)} at ${shown(pointer)} is not supported.`);
    }
    let language = this.#formats.get(format);
    if (language === undefined) {
      this.languages.place = pointer;
      language = formatLanguage(this.languages, format);
      this.#formats.set(format, language);
    }
    if (language === null) return;
    schema.strings.push(language);
    schema.usualStrings.push(usualFormatLanguage(this.languages, format) ?? language);
  }

  readReference(schema: Schema, reference: string, pointer: string): void {
    this.#references.push({ from: schema, to: reference, at: pointer, base: this.#base });
  }

  pattern(source: string, pointer: string): Language {
    let language = this.#patterns.get(source);
    if (language === undefined) {
      this.languages.place = pointer;
      try {
        language = boundedPattern(this.languages, source, false);
      } catch (error) {
        if (!(error instanceof PatternError)) throw error;
        const message = `The pattern ${described(source)} at ${shown(pointer)} cannot be used: ${error.message}.`;
        throw error.code === "invalid" ? invalid(pointer, message) : unsupported(pointer, message);
      }
      this.#patterns.set(source, language);
    }
    return language;
  }

  /**
   * Returns a group against which only these instances are valid: one branch for all scalars, and one for each array
   * and object.
   */
  values(values: readonly unknown[], pointer: string): Schema["groups"][number] {
    const scalars = this.#blank(pointer);
    const branches = [scalars];
    const texts: string[] = [];
    const ranges: NumberRange[] = [];
    scalars.types = 0;
    for (const value of values) {
      if (value === null || typeof value === "boolean")
        scalars.types |= TYPE[String(value) as "null" | "true" | "false"];
      else if (typeof value === "string") texts.push(wellFormed(value, pointer));
      else if (typeof value === "number") {
        const exact = decimalOf(number(value, pointer));
        ranges.push({ min: exact, max: exact, step: null });
      } else
        branches.push(
          Array.isArray(value) ? this.#arrayValue(value, pointer) : this.#objectValue(value as Json, pointer),
        );
    }
    if (texts.length > 0) {
      scalars.types |= TYPE.string;
      addStrings(scalars, this.languages.words(texts));
    }
    if (ranges.length > 0) {
      scalars.types |= TYPE.number;
      scalars.numbers = ranges;
    }
    return { branches, isExclusive: false, pointer };
  }

  #arrayValue(values: readonly unknown[], pointer: string): Schema {
    const schema = this.#blank(pointer);
    schema.types = TYPE.array;
    schema.prefixItems = values.map((value) => this.#value(value, pointer));
    schema.minItems = schema.maxItems = values.length;
    return schema;
  }

  #objectValue(value: Json, pointer: string): Schema {
    const schema = this.#blank(pointer);
    schema.types = TYPE.object;
    schema.properties = new Map(
      Object.entries(value).map(([name, of]) => [wellFormed(name, pointer), this.#value(of, pointer)]),
    );
    schema.required = [...schema.properties.keys()];
    schema.maxProperties = schema.properties.size;
    return schema;
  }

  #value(value: unknown, pointer: string): Schema {
    const schema = this.#blank(pointer);
    this.#enter(pointer);
    schema.groups.push(this.values([value], pointer));
    this.#depth--;
    return schema;
  }

  #readKeywords(schema: Schema, value: Json): void {
    this.#enter(schema.pointer);
    const base = this.#base;
    if (typeof value["$id"] === "string") this.#beginResource(value["$id"], schema.pointer, value);
    for (const [keyword, of] of Object.entries(value)) {
      const at = `${schema.pointer}/${escaped(keyword)}`;
      if (!Object.hasOwn(KEYWORDS, keyword)) {
        throw unsupported(at, `The schema keyword ${JSON.stringify(keyword)} at ${shown(at)} is not supported.`);
      }
      KEYWORDS[keyword]!.read(this, schema, of, at, value);
    }
    const anchor = value["$anchor"];
    if (typeof anchor === "string") {
      const uri = `${this.#base}#${anchor}`;
      if (this.#anchors.has(uri))
        throw invalid(`${schema.pointer}/$anchor`, `The $anchor ${JSON.stringify(anchor)} is given twice.`);
      this.#anchors.set(uri, schema);
    }
    this.#base = base;
    this.#depth--;
  }

  #enter(pointer: string): void {
    if (++this.#depth > LIMITS.maxSchemaDepth) {
      throw invalid(pointer, `The schema is nested deeper than ${LIMITS.maxSchemaDepth} levels at ${shown(pointer)}.`);
    }
  }

  #beginResource(id: string, pointer: string, value: unknown): void {
    const uri = URL.canParse(id, this.#base) ? new URL(id, this.#base) : null;
    if (uri === null || uri.hash !== "")
      throw invalid(
        `${pointer}/$id`,
        `${shown(pointer)}/$id is ${JSON.stringify(id)}; it must be a URI without a fragment.`,
      );
    if (this.#resources.has(uri.href))
      throw invalid(`${pointer}/$id`, `The $id ${JSON.stringify(id)} at ${shown(pointer)} is given twice.`);
    this.#base = uri.href;
    this.#resources.set(uri.href, { pointer, value });
  }

  #target(reference: string, at: string, base: string): Schema {
    const missing = (): EngineError =>
      invalid(at, `The $ref ${JSON.stringify(reference)} at ${shown(at)} points to nothing.`);
    const whole = reference.split("#")[0] ?? "";
    // A reference that is only a fragment is not joined with the base: not every URI can be a base.
    const uri = whole === "" ? base : URL.canParse(whole, base) ? new URL(whole, base).href : null;
    const resource = uri === null ? undefined : this.#resources.get(uri);
    if (uri === null || resource === undefined) {
      throw unsupported(
        at,
        `The $ref ${JSON.stringify(reference)} at ${shown(at)} points outside the document, which is not supported.`,
      );
    }
    let fragment: string;
    try {
      fragment = decodeURIComponent(reference.slice(whole.length + 1));
    } catch {
      throw missing();
    }
    if (fragment !== "" && !fragment.startsWith("/")) {
      const schema = this.#anchors.get(`${uri}#${fragment}`);
      if (schema === undefined) throw missing();
      return schema;
    }
    let { value } = resource;
    for (const part of fragment.split("/").slice(1)) {
      const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
      if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) throw missing();
      value = (value as Json)[name];
    }
    this.#base = uri;
    return this.schema(value, resource.pointer + fragment);
  }

  #blank(pointer: string): Schema {
    this.languages.spend(20);
    if (++this.#numSchemas > LIMITS.maxSchemaSchemas) {
      throw invalid(pointer, `The document contains more than ${LIMITS.maxSchemaSchemas} schemas.`);
    }
    return {
      id: this.#numSchemas,
      pointer,
      types: ALL_TYPES,
      numbers: [ALL_NUMBERS],
      strings: [],
      usualStrings: [],
      minLength: 0,
      maxLength: Infinity,
      prefixItems: [],
      items: null,
      minItems: 0,
      maxItems: Infinity,
      properties: new Map(),
      patternProperties: [],
      additionalProperties: null,
      propertyNames: null,
      required: [],
      minProperties: 0,
      maxProperties: Infinity,
      dependentRequired: new Map(),
      all: [],
      groups: [],
    };
  }
}

/** Base URI of the document; an `$id` replaces it. Nothing is ever fetched. */
const DOCUMENT_URI = "schema:///";

const TYPE_NAMES: Readonly<Record<string, number>> = {
  null: TYPE.null,
  boolean: TYPE.true | TYPE.false,
  number: TYPE.number,
  integer: TYPE.number,
  string: TYPE.string,
  array: TYPE.array,
  object: TYPE.object,
};

const DIALECT = /^https?:\/\/json-schema\.org\/(draft\/2020-12|draft\/2019-09|draft-0[67])\/schema#?$/;

function checkDialect(value: unknown, pointer: string): void {
  if (DIALECT.test(string(value, pointer))) return;
  throw unsupported(
    pointer,
    `The $schema ${JSON.stringify(value)} is not supported; supported: drafts 2020-12, 2019-09, 07 and 06.`,
  );
}

function checkAnchor(anchor: string, pointer: string): void {
  if (/^[A-Za-z_][-A-Za-z0-9._]*$/.test(anchor)) return;
  throw invalid(
    pointer,
    `${shown(pointer)} is ${JSON.stringify(anchor)}; an anchor contains only letters, digits, "-", "." and "_", and begins with a letter or "_".`,
  );
}

function refuseUniqueItems(value: unknown, pointer: string): void {
  if (boolean(value, pointer))
    throw unsupported(pointer, `The schema keyword "uniqueItems" at ${shown(pointer)} is not supported.`);
}

function addStrings(schema: Schema, language: Language): void {
  schema.strings.push(language);
  schema.usualStrings.push(language);
}

function bound(schema: Schema, range: Partial<NumberRange>): void {
  schema.numbers = schema.numbers.map((known) => intersectRanges(known, { ...ALL_NUMBERS, ...range }));
}

function multipleOf(value: unknown, pointer: string): Decimal {
  const step = number(value, pointer);
  if (!(step > 0)) throw invalid(pointer, `${shown(pointer)} is ${step}; it must be above 0.`);
  if (step > Number.MAX_SAFE_INTEGER)
    throw unsupported(pointer, `The multipleOf ${step} at ${shown(pointer)} is not supported; supported: below 2^53.`);
  return decimalOf(step);
}

function size(value: unknown, pointer: string): number {
  const limit = number(value, pointer);
  if (!Number.isInteger(limit) || limit < 0)
    throw invalid(pointer, `${shown(pointer)} is ${limit}; it must be a non-negative integer.`);
  return limit;
}

function names(value: unknown, pointer: string): string[] {
  const list = array(value, pointer).map((name) => wellFormed(string(name, pointer), pointer));
  checkUnique(list, pointer);
  return list;
}

function checkUnique(names: readonly string[], pointer: string): void {
  const known = new Set<string>();
  for (const name of names) {
    if (known.has(name)) throw invalid(pointer, `${shown(pointer)} names ${JSON.stringify(name)} twice.`);
    known.add(name);
  }
}

function dependencies(value: unknown, pointer: string): Map<string, string[]> {
  return new Map(
    Object.entries(object(value, pointer)).map(([name, needed]) => [
      wellFormed(name, pointer),
      names(needed, `${pointer}/${escaped(name)}`),
    ]),
  );
}

function number(value: unknown, pointer: string): number {
  if (typeof value !== "number") throw invalid(pointer, `${shown(pointer)} is ${kindOf(value)}; expected a number.`);
  if (!Number.isFinite(value))
    throw invalid(pointer, `${shown(pointer)} contains a number beyond the range of double precision.`);
  return value;
}

function boolean(value: unknown, pointer: string): boolean {
  if (typeof value !== "boolean") throw invalid(pointer, `${shown(pointer)} is ${kindOf(value)}; expected a boolean.`);
  return value;
}

function string(value: unknown, pointer: string): string {
  if (typeof value !== "string") throw invalid(pointer, `${shown(pointer)} is ${kindOf(value)}; expected a string.`);
  return value;
}

function array(value: unknown, pointer: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(pointer, `${shown(pointer)} is ${kindOf(value)}; expected an array.`);
  return value;
}

function object(value: unknown, pointer: string): Json {
  if (!isObject(value)) throw invalid(pointer, `${shown(pointer)} is ${kindOf(value)}; expected an object.`);
  return value;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function kindOf(value: unknown): string {
  return value === null
    ? "null"
    : Array.isArray(value)
      ? "an array"
      : value === undefined
        ? "missing"
        : `a value of type ${typeof value}`;
}

/** Refuses a lone surrogate: answers never contain one, so no answer could satisfy a schema that requires it. */
function wellFormed(text: string, pointer: string): string {
  if (/[\uD800-\uDFFF]/u.test(text)) throw invalid(pointer, `${shown(pointer)} contains a lone surrogate.`);
  return text;
}

const escaped = (name: string): string => name.replaceAll("~", "~0").replaceAll("/", "~1");
