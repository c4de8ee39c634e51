/**
 * Reads a JSON Schema of any draft from 4 on, or of OpenAPI 3.0: checks it and parses each keyword. A keyword that
 * asserts in any draft is enforced, or refused by name and JSON pointer where the schema applies; all others are
 * annotations. References are resolved here; keywords are combined in values.ts.
 */

import { described, EngineError } from "../errors.js";
import { LIMITS } from "../limits.js";
import { ONE, decimalOf } from "./decimal.js";
import { type Dialect, dialectOf, misspelled } from "./dialects.js";
import { PARTLY_ENFORCED, formatLanguage, numberFormat, usualFormatLanguage } from "./formats.js";
import {
  type Json,
  array,
  boolean,
  bound,
  checkUnique,
  escaped,
  isObject,
  kindOf,
  multipleOf,
  names,
  number,
  object,
  readBound,
  readExclusive,
  size,
  string,
  wellFormed,
} from "./keyword-values.js";
import type { Language, Languages } from "./language.js";
import type { NumberRange } from "./numbers.js";
import { PatternError, boundedPattern } from "./pattern.js";
import { type Group, type Schema, Schemas, type StringSet, TYPE, invalid, shown, unsupported } from "./schema.js";

export interface SchemaKeyword {
  readonly keyword: string;
  readonly status: "enforced" | "annotation";
  readonly note?: string;
}

type Read = (reader: SchemaReader, schema: Schema, value: unknown, at: string, whole: Json) => void;

/** Every keyword that is read, in the order of the documentation. */
const KEYWORDS: Readonly<
  Record<string, { readonly read: Read; readonly status?: "annotation"; readonly note?: string }>
> = {
  type: { read: (reader, schema, value, at, whole) => reader.readType(schema, value, at, whole) },
  enum: { read: (reader, schema, value, at) => schema.groups.push(reader.values(array(value, at), at)) },
  const: { read: (reader, schema, value, at) => schema.groups.push(reader.values([value], at)) },
  properties: { read: (reader, schema, value, at) => void (schema.properties = reader.schemas(value, at)) },
  required: { read: (_, schema, value, at) => void (schema.required = names(value, at)) },
  additionalProperties: {
    read: (reader, schema, value, at) => void (schema.additionalProperties = reader.schema(value, at)),
  },
  patternProperties: { read: (reader, schema, value, at) => reader.readPatternProperties(schema, value, at) },
  unevaluatedProperties: {
    read: (reader, schema, value, at) => void (schema.unevaluatedProperties = reader.schema(value, at)),
  },
  propertyNames: { read: (reader, schema, value, at) => void (schema.propertyNames = reader.schema(value, at)) },
  minProperties: { read: (_, schema, value, at) => void (schema.minProperties = size(value, at)) },
  maxProperties: { read: (_, schema, value, at) => void (schema.maxProperties = size(value, at)) },
  dependentRequired: { read: (reader, schema, value, at) => reader.readDependencies(schema, value, at) },
  dependentSchemas: { read: (reader, schema, value, at) => reader.readDependencies(schema, value, at) },
  dependencies: {
    read: (reader, schema, value, at) => reader.readDependencies(schema, value, at),
    note: "drafts before 2019-09: names or schemas",
  },
  items: { read: (reader, schema, value, at, whole) => reader.readItems(schema, value, at, whole) },
  prefixItems: { read: (reader, schema, value, at) => void (schema.prefixItems = reader.schemaList(value, at)) },
  additionalItems: {
    read: (reader, schema, value, at, whole) => reader.readAdditionalItems(schema, value, at, whole),
    note: "drafts before 2020-12: beside an array in items",
  },
  minItems: { read: (_, schema, value, at) => void (schema.minItems = size(value, at)) },
  maxItems: { read: (_, schema, value, at) => void (schema.maxItems = size(value, at)) },
  uniqueItems: {
    read: (_, schema, value, at) => void (schema.uniqueItems = boolean(value, at)),
    note: "of null, booleans, numbers and strings",
  },
  contains: {
    read: (reader, schema, value, at, whole) => reader.readContains(schema, value, at, whole),
    note: "one at each place of the answer",
  },
  unevaluatedItems: {
    read: (reader, schema, value, at) => void (schema.unevaluatedItems = reader.schema(value, at)),
  },
  minContains: { read: (_, __, value, at) => void size(value, at) },
  maxContains: { read: (_, __, value, at) => void size(value, at) },
  minLength: { read: (_, schema, value, at) => void (schema.minLength = size(value, at)), note: "in code points" },
  maxLength: { read: (_, schema, value, at) => void (schema.maxLength = size(value, at)), note: "in code points" },
  pattern: {
    read: (reader, schema, value, at) => addStrings(schema, reader.pattern(schema, string(value, at), at)),
    note: "ECMA-262 with the u flag, its Annex B, and spellings of Python, PCRE and Java; without back-references",
  },
  format: {
    read: (reader, schema, value, at) => reader.readFormat(schema, value, at),
    note: "see the table of formats; unknown ones are annotations",
  },
  minimum: { read: (_, schema, value, at, whole) => readBound(schema, "min", value, at, whole["exclusiveMinimum"]) },
  maximum: { read: (_, schema, value, at, whole) => readBound(schema, "max", value, at, whole["exclusiveMaximum"]) },
  exclusiveMinimum: {
    read: (_, schema, value, at) => readExclusive(schema, "min", value, at),
    note: "a number, or in draft 4 and OpenAPI 3.0 a boolean beside minimum",
  },
  exclusiveMaximum: {
    read: (_, schema, value, at) => readExclusive(schema, "max", value, at),
    note: "a number, or in draft 4 and OpenAPI 3.0 a boolean beside maximum",
  },
  multipleOf: {
    read: (_, schema, value, at) => bound(schema, { step: multipleOf(value, at) }),
    note: "exact decimal arithmetic",
  },
  nullable: {
    read: (_, __, value, at) => void boolean(value, at),
    note: "OpenAPI 3.0, beside type: where no $schema names a draft",
  },
  anyOf: { read: (reader, schema, value, at) => reader.readGroup(schema, value, at, false) },
  oneOf: { read: (reader, schema, value, at) => reader.readGroup(schema, value, at, true) },
  allOf: { read: (reader, schema, value, at) => void schema.all.push(...reader.schemaList(value, at)) },
  not: { read: (reader, schema, value, at) => void schema.nots.push(reader.schema(value, at)) },
  if: { read: (reader, schema, value, at, whole) => reader.readCondition(schema, value, at, whole) },
  then: { read: (reader, _, value, at) => void reader.schema(value, at), note: "beside if" },
  else: { read: (reader, _, value, at) => void reader.schema(value, at), note: "beside if" },
  $ref: {
    read: (reader, schema, value, at) => reader.readReference(schema, string(value, at), at),
    note: "within the document, recursion included",
  },
  $dynamicRef: {
    read: (reader, schema, value, at) => reader.readReference(schema, string(value, at), at, true),
    note: "where the document tells what it leads to",
  },
  $recursiveRef: {
    read: (reader, schema, value, at) => reader.readReference(schema, string(value, at), at, true),
    note: "where the document tells what it leads to",
  },
  $defs: { read: (reader, _, value, at) => void reader.schemas(value, at) },
  definitions: { read: (reader, _, value, at) => void reader.schemas(value, at), note: "the older name of $defs" },
  $anchor: { read: (_, __, value, at) => checkAnchor(string(value, at), at) },
  $dynamicAnchor: { read: (_, __, value, at) => checkAnchor(string(value, at), at) },
  $recursiveAnchor: { read: (_, __, value, at) => void boolean(value, at) },
  $id: { read: (_, __, value, at) => void string(value, at), note: "a base for references within the document" },
  id: { read: () => {}, note: "draft 4: the older name of $id" },
  $schema: {
    read: () => {},
    note: "says how $ref, nullable and the other keywords of older drafts are read",
    status: "annotation",
  },
  ...Object.fromEntries(
    [
      "$comment",
      "title",
      "description",
      "default",
      "examples",
      "deprecated",
      "readOnly",
      "writeOnly",
      "contentEncoding",
      "contentMediaType",
      "contentSchema",
    ].map((keyword) => [keyword, { read: () => {}, status: "annotation" as const }]),
  ),
};

/** Keywords that assert in some draft and are not supported: a schema that has one is refused where it applies. */
const REFUSED_KEYWORDS: readonly string[] = ["divisibleBy", "disallow", "extends"];

/** Keywords that assert. An unknown keyword that is spelled almost like one of them is named in a note. */
const ASSERTING_KEYWORDS: readonly string[] = Object.keys(KEYWORDS)
  .filter((keyword) => KEYWORDS[keyword]!.status === undefined && !keyword.startsWith("$"))
  .concat(REFUSED_KEYWORDS);

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
export function readSchema(languages: Languages, document: unknown): SchemaDocument {
  const text = JSON.stringify(document) ?? "";
  const numCharacters = text.length;
  languages.spend(numCharacters >> 2);
  if (numCharacters > LIMITS.maxSchemaCharacters) {
    throw invalid("", `The schema must have at most ${LIMITS.maxSchemaCharacters} characters. Given: ${numCharacters}`);
  }
  const schemas = new Schemas(languages);
  const reader = new SchemaReader(languages, schemas, document, text.includes('"unevaluated'));
  const root = reader.schema(document, "");
  reader.resolve();
  return { root, schemas };
}

/** A document that was read. */
export interface SchemaDocument {
  readonly root: Schema;
  readonly schemas: Schemas;
}

interface Reference {
  readonly from: Schema;
  readonly to: string;
  readonly at: string;
  /** Base URI of the schema with the reference. */
  readonly base: string;
  /** True for `$dynamicRef` and `$recursiveRef`. */
  readonly isDynamic: boolean;
}

const fragmentOf = (reference: string): string => reference.slice(reference.indexOf("#") + 1 || reference.length);

class SchemaReader {
  readonly #byPointer = new Map<string, Schema>();
  /** Schemas with an `$anchor`, by absolute URI with the anchor as its fragment. */
  readonly #anchors = new Map<string, Schema>();
  /** What `$dynamicRef` may lead to: schemas with a `$dynamicAnchor`, by its name and by the URI of their resource. */
  readonly #dynamicAnchors = new Map<string, Map<string, Schema>>();
  readonly #references: Reference[] = [];
  /** The document and its schemas with an `$id`, by absolute URI without a fragment. */
  readonly #resources = new Map<string, { readonly pointer: string; readonly value: unknown }>();
  /** Base URI of the schema that is being read. */
  #base = DOCUMENT_URI;
  /** Base URI of the whole document. */
  #rootBase = DOCUMENT_URI;
  readonly #patterns = new Map<string, Language>();
  readonly #formats = new Map<string, StringSet | null>();
  /** By unknown keyword: the keyword of which it may be a misspelling, or null. */
  readonly #meant = new Map<string, string | null>();
  readonly #dialect: Dialect;
  #depth = 0;

  constructor(
    readonly languages: Languages,
    readonly made: Schemas,
    document: unknown,
    readonly hasUnevaluated: boolean,
  ) {
    this.#dialect = dialectOf(document);
    this.#resources.set(DOCUMENT_URI, { pointer: "", value: document });
  }

  /** Resolves the references. */
  resolve(): void {
    // The loop includes references that their targets add.
    const targets = new Map<Reference, Schema | null>();
    for (const reference of this.#references)
      targets.set(reference, this.#target(reference.to, reference.at, reference.base));
    for (const [reference, target] of targets) {
      if (target === null) this.#refuseReference(reference, "points outside the document");
      else if (reference.isDynamic) this.#followDynamic(reference, target);
      else reference.from.all.push(target);
    }
  }

  /**
   * A dynamic reference to a schema with its anchor means the outermost schema with such an anchor of those that led to
   * it. That is the one in the document's own resource, or the only one.
   */
  #followDynamic(reference: Reference, target: Schema): void {
    const anchors = this.#dynamicAnchors.get(fragmentOf(reference.to)) ?? new Map<string, Schema>();
    const isDynamic = [...anchors.values()].includes(target);
    const outermost = isDynamic ? anchors.get(this.#rootBase) : target;
    if (outermost === undefined && anchors.size > 1) this.#refuseReference(reference, "may lead to several places");
    else reference.from.all.push(outermost ?? target);
  }

  #refuseReference({ from, to, at }: Reference, reason: string): void {
    const keyword = at.slice(at.lastIndexOf("/") + 1);
    const message = `The ${keyword} ${JSON.stringify(to)} at ${shown(at)} ${reason}, which is not supported.`;
    from.refusals.push(unsupported(at, message));
  }

  schema(value: unknown, pointer: string): Schema {
    const known = this.#byPointer.get(pointer);
    if (known !== undefined) return known;
    if (typeof value !== "boolean" && !isObject(value)) {
      throw invalid(pointer, `${shown(pointer)} is ${kindOf(value)}; a schema is an object or a boolean.`);
    }
    const schema = this.made.blank(pointer);
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

  readType(schema: Schema, value: unknown, pointer: string, whole: Json): void {
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
    if (this.#dialect.hasNullable && whole["nullable"] === true) bits |= TYPE.null;
    schema.types &= bits;
    if (types.includes("integer") && !types.includes("number")) bound(schema, { step: ONE });
  }

  readGroup(schema: Schema, value: unknown, pointer: string, isExclusive: boolean): void {
    const branches = this.schemaList(value, pointer);
    if (this.hasUnevaluated && !isExclusive) branches.push(...this.#combinations(branches, pointer));
    schema.groups.push({ branches, isExclusive, pointer, negations: [] });
  }

  /** Returns a schema for every choice of two and more branches: together, they evaluate more than one alone. */
  #combinations(branches: readonly Schema[], pointer: string): Schema[] {
    if (branches.length > MAX_COMBINED) {
      const left = "for unevaluatedItems and unevaluatedProperties, only one branch counts as valid";
      this.made.note(
        `${shown(pointer)} has more than ${MAX_COMBINED} branches, so that ${left}: some valid answers are never given.`,
      );
      return [];
    }
    const choices = branches.reduce<Schema[][]>(
      (all, branch) => [...all, ...all.map((some) => [...some, branch])],
      [[]],
    );
    return choices.filter(({ length }) => length > 1).map((all) => Object.assign(this.made.blank(pointer), { all }));
  }

  /** An array in `items` is the older spelling of `prefixItems`. */
  readItems(schema: Schema, value: unknown, pointer: string, whole: Json): void {
    if (!Array.isArray(value)) schema.items = this.schema(value, pointer);
    else if (whole["prefixItems"] === undefined)
      schema.prefixItems = value.map((item, index) => this.schema(item, `${pointer}/${index}`));
    else throw invalid(pointer, `${shown(pointer)} is an array; beside prefixItems it is a schema.`);
  }

  readAdditionalItems(schema: Schema, value: unknown, pointer: string, whole: Json): void {
    const items = this.schema(value, pointer);
    if (Array.isArray(whole["items"])) schema.items = items;
  }

  readContains(schema: Schema, value: unknown, pointer: string, whole: Json): void {
    const { minContains: min = 1, maxContains: max = Infinity } = whole as {
      minContains?: number;
      maxContains?: number;
    };
    const isEvaluating = this.#dialect.evaluatesContained;
    schema.contains = [{ schema: this.schema(value, pointer), min, max, from: 0, isEvaluating, negation: null }];
  }

  /** Properties that need other ones, or that the whole object is valid against a schema. */
  readDependencies(schema: Schema, value: unknown, pointer: string): void {
    const needed = new Map(schema.dependentRequired);
    for (const [name, of] of Object.entries(object(value, pointer))) {
      const at = `${pointer}/${escaped(name)}`;
      wellFormed(name, pointer);
      if (Array.isArray(of)) needed.set(name, [...(needed.get(name) ?? []), ...names(of, at)]);
      else {
        const [without, having] = [this.made.blank(at), this.made.blank(at)];
        without.properties = new Map([[name, this.#nothing(at)]]);
        having.types = TYPE.object;
        having.required = [name];
        having.all.push(this.schema(of, at));
        schema.groups.push({ branches: [without, having], isExclusive: false, pointer: at, negations: [] });
      }
    }
    schema.dependentRequired = needed;
  }

  readCondition(schema: Schema, value: unknown, pointer: string, whole: Json): void {
    const beside = (keyword: string): Schema | null =>
      whole[keyword] === undefined ? null : this.schema(whole[keyword], `${schema.pointer}/${keyword}`);
    const condition = { if: this.schema(value, pointer), then: beside("then"), else: beside("else"), pointer };
    const isEffective = condition.then !== null || condition.else !== null || this.hasUnevaluated;
    if (isEffective) schema.conditions.push(condition);
  }

  readPatternProperties(schema: Schema, value: unknown, pointer: string): void {
    const found = [...this.schemas(value, pointer)];
    schema.patternProperties = found.flatMap(([source, of]) => {
      const names = this.pattern(schema, source, `${pointer}/${escaped(source)}`);
      return names === null ? [] : { source, names, schema: of };
    });
  }

  readFormat(schema: Schema, value: unknown, pointer: string): void {
    const format = string(value, pointer);
    const range = numberFormat(format);
    if (range !== null) {
      bound(schema, range);
      return;
    }
    let texts = this.#formats.get(format);
    if (texts === undefined) {
      this.languages.place = pointer;
      const language = formatLanguage(this.languages, format);
      const usual = usualFormatLanguage(this.languages, format);
      const isNarrow = PARTLY_ENFORCED.has(format);
      texts = language === null ? null : { language, usual: usual ?? language, isNarrow };
      this.#formats.set(format, texts);
    }
    if (texts !== null) schema.strings.push(texts);
  }

  readReference(schema: Schema, reference: string, pointer: string, isDynamic = false): void {
    this.#references.push({ from: schema, to: reference, at: pointer, base: this.#base, isDynamic });
  }

  /** @returns null for a pattern that is not supported: the schema is refused where it applies */
  pattern(schema: Schema, source: string, pointer: string): Language | null {
    const known = this.#patterns.get(source);
    if (known !== undefined) return known;
    this.languages.place = pointer;
    try {
      const language = boundedPattern(this.languages, source, false);
      this.#patterns.set(source, language);
      return language;
    } catch (error) {
      if (!(error instanceof PatternError)) throw error;
      const message = `The pattern ${described(source)} at ${shown(pointer)} cannot be used: ${error.message}.`;
      if (error.code === "invalid") throw invalid(pointer, message);
      schema.refusals.push(unsupported(pointer, message));
      return null;
    }
  }

  /**
   * Returns a group against which only these instances are valid: one branch for all scalars, and one for each array
   * and object.
   */
  values(values: readonly unknown[], pointer: string): Group {
    const scalars = this.made.blank(pointer);
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
    return { branches, isExclusive: false, pointer, negations: [] };
  }

  #arrayValue(values: readonly unknown[], pointer: string): Schema {
    const schema = this.made.blank(pointer);
    schema.types = TYPE.array;
    schema.isSilent = true;
    schema.prefixItems = values.map((value) => this.#value(value, pointer));
    schema.minItems = schema.maxItems = values.length;
    return schema;
  }

  #objectValue(value: Json, pointer: string): Schema {
    const schema = this.made.blank(pointer);
    schema.types = TYPE.object;
    schema.isSilent = true;
    schema.properties = new Map(
      Object.entries(value).map(([name, of]) => [wellFormed(name, pointer), this.#value(of, pointer)]),
    );
    schema.required = [...schema.properties.keys()];
    schema.maxProperties = schema.properties.size;
    return schema;
  }

  #value(value: unknown, pointer: string): Schema {
    const schema = this.made.blank(pointer);
    this.#enter(pointer);
    schema.groups.push(this.values([value], pointer));
    this.#depth--;
    return schema;
  }

  #readKeywords(schema: Schema, value: Json): void {
    this.#enter(schema.pointer);
    const base = this.#base;
    const isOnlyReference = this.#dialect.ignoresBesideRef && typeof value["$ref"] === "string";
    if (!isOnlyReference) this.#beginResource(schema, value);
    for (const [keyword, of] of Object.entries(value)) {
      if (isOnlyReference && !BESIDE_REFERENCE.has(keyword)) continue;
      const at = `${schema.pointer}/${escaped(keyword)}`;
      if (Object.hasOwn(KEYWORDS, keyword)) KEYWORDS[keyword]!.read(this, schema, of, at, value);
      else if (REFUSED_KEYWORDS.includes(keyword)) {
        if (of === true) continue; // restricts nothing
        const message = `The schema keyword ${JSON.stringify(keyword)} at ${shown(at)} is not supported.`;
        schema.refusals.push(unsupported(at, message));
      } else this.#noteUnknown(keyword, at);
    }
    this.#base = base;
    this.#depth--;
  }

  #noteUnknown(keyword: string, pointer: string): void {
    let meant = this.#meant.get(keyword);
    if (meant === undefined) {
      this.languages.spend(STEPS_PER_UNKNOWN_KEYWORD);
      meant = misspelled(keyword, ASSERTING_KEYWORDS);
      this.#meant.set(keyword, meant);
    }
    if (meant !== null) this.made.note(`${shown(pointer)} is not a keyword and restricts nothing; ${meant} is one.`);
  }

  #enter(pointer: string): void {
    if (++this.#depth > LIMITS.maxSchemaDepth) {
      throw invalid(pointer, `The schema is nested deeper than ${LIMITS.maxSchemaDepth} levels at ${shown(pointer)}.`);
    }
  }

  /** Reads what gives a schema a name: `$id`, `id` and `$anchor`. */
  #beginResource(schema: Schema, value: Json): void {
    const { pointer } = schema;
    const keyword = value["$id"] === undefined && this.#dialect.hasPlainId ? "id" : "$id";
    const id = value[keyword];
    if (typeof id === "string") {
      const [whole = "", fragment = ""] = id.split("#");
      if (whole !== "") {
        const uri = URL.canParse(whole, this.#base) ? new URL(whole, this.#base).href : null;
        if (uri === null && keyword === "$id")
          throw invalid(`${pointer}/$id`, `${shown(pointer)}/$id is ${JSON.stringify(id)}; it must be a URI.`);
        if (uri !== null && this.#resources.has(uri) && keyword === "$id")
          throw invalid(`${pointer}/$id`, `The $id ${JSON.stringify(id)} at ${shown(pointer)} is given twice.`);
        if (uri !== null && !this.#resources.has(uri)) {
          this.#base = uri;
          this.#resources.set(uri, { pointer, value });
        }
      }
      // Before 2019-09, this is how an anchor is written.
      if (fragment !== "" && !fragment.startsWith("/")) this.#addAnchor(fragment, schema);
    }
    if (pointer === "") this.#rootBase = this.#base;
    const { $anchor: anchor, $dynamicAnchor: dynamicAnchor, $recursiveAnchor: isRecursive } = value;
    if (typeof anchor === "string") this.#addAnchor(anchor, schema);
    if (typeof dynamicAnchor === "string") {
      if (dynamicAnchor !== anchor) this.#addAnchor(dynamicAnchor, schema);
      this.#addDynamicAnchor(dynamicAnchor, schema);
    }
    // Only that of a whole resource counts.
    if (isRecursive === true && this.#resources.get(this.#base)?.pointer === pointer)
      this.#addDynamicAnchor("", schema);
  }

  /** @param anchor empty for `$recursiveAnchor`, to which the reference `#` leads */
  #addDynamicAnchor(anchor: string, schema: Schema): void {
    const known = this.#dynamicAnchors.get(anchor);
    if (known === undefined) this.#dynamicAnchors.set(anchor, new Map([[this.#base, schema]]));
    else known.set(this.#base, schema);
  }

  #addAnchor(anchor: string, schema: Schema): void {
    const uri = `${this.#base}#${anchor}`;
    if (this.#anchors.has(uri))
      throw invalid(`${schema.pointer}/$anchor`, `The $anchor ${JSON.stringify(anchor)} is given twice.`);
    this.#anchors.set(uri, schema);
  }

  /** @returns null if the reference leads out of the document */
  #target(reference: string, at: string, base: string): Schema | null {
    const missing = (): EngineError =>
      invalid(at, `The $ref ${JSON.stringify(reference)} at ${shown(at)} points to nothing.`);
    const whole = reference.split("#")[0] ?? "";
    // A reference that is only a fragment is not joined with the base: not every URI can be a base.
    const uri = whole === "" ? base : URL.canParse(whole, base) ? new URL(whole, base).href : null;
    const resource = uri === null ? undefined : this.#resources.get(uri);
    if (uri === null || resource === undefined) return null;
    let fragment: string;
    try {
      fragment = decodeURIComponent(reference.slice(whole.length + 1));
    } catch {
      throw missing();
    }
    if (fragment !== "" && !fragment.startsWith("/")) {
      const schema = this.#anchors.get(`${uri}#${fragment}`) ?? this.#anchors.get(`${DOCUMENT_URI}#${fragment}`);
      if (schema === undefined) throw missing();
      return schema;
    }
    // An `id` inside of a document is often only a name, and references are meant from the root.
    const documents = this.#dialect.hasPlainId ? [resource, this.#resources.get(DOCUMENT_URI)!] : [resource];
    for (const { pointer, value } of documents) {
      const found = valueAt(value, fragment);
      if (found === undefined) continue;
      this.#base = uri;
      return this.schema(found, pointer + fragment);
    }
    throw missing();
  }

  #nothing(pointer: string): Schema {
    const schema = this.made.blank(pointer);
    schema.types = 0;
    return schema;
  }
}

/** @returns what a JSON pointer points to, or undefined */
function valueAt(document: unknown, pointer: string): unknown {
  let value = document;
  for (const part of pointer.split("/").slice(1)) {
    const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Json)[name];
  }
  return value;
}

/** Work of comparing a keyword with all that it may be a misspelling of. */
const STEPS_PER_UNKNOWN_KEYWORD = 500;

/** In old drafts, `$ref` hides all other keywords except these. */
const BESIDE_REFERENCE: ReadonlySet<string> = new Set(["$ref", "$defs", "definitions"]);

/** Branches of an `anyOf` that are combined for the unevaluated keywords. */
const MAX_COMBINED = 4;

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

function checkAnchor(anchor: string, pointer: string): void {
  if (/^[A-Za-z_][-A-Za-z0-9._]*$/.test(anchor)) return;
  throw invalid(
    pointer,
    `${shown(pointer)} is ${JSON.stringify(anchor)}; an anchor contains only letters, digits, "-", "." and "_", and begins with a letter or "_".`,
  );
}

function addStrings(schema: Schema, language: Language | null): void {
  if (language !== null) schema.strings.push({ language, usual: language, isNarrow: false });
}
