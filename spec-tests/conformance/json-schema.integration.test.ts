/**
 * Runs the JSON-Schema-Test-Suite, every draft that the assets have. Each schema is refused with `unsupported_schema` (or
 * `invalid_schema` if no value satisfies it), or correct for all its instances: the masks of two vocabularies allow every
 * valid instance with keys in the schema's order, and no invalid instance in any order of keys. A table for each draft in
 * `json-schema` records how many schemas of each file are supported, and which valid instances of supported schemas
 * cannot be generated, with the reason. UPDATE_GOLDEN=1 rewrites it; the numbers must only improve.
 */

import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { expect, it } from "vitest";
import { EngineError } from "../../engine/errors.js";
import { type Grammar, GrammarMatcher, VocabularyTrie, compileGrammar } from "../../engine/grammar/index.js";
import { PARTLY_ENFORCED } from "../../engine/grammar/formats.js";
import { Tokenizer } from "../../engine/text/tokenizer.js";
import { asset, describeWithAssets } from "../fixtures/assets.js";

interface Case {
  readonly description: string;
  readonly schema: unknown;
  readonly tests: readonly { readonly description: string; readonly data: unknown; readonly valid: boolean }[];
}

interface Counts {
  /** Number of schemas. */
  readonly supported: number;
  readonly refused: number;
  /** Numbers of valid instances of supported schemas that cannot be generated, by reason. Absent if there are none. */
  readonly unwritten?: Readonly<Record<string, number>>;
}

/** Counts by file. */
type Table = Record<string, Counts>;

interface Draft {
  /** Folder of the suite, and name of the table. */
  readonly name: string;
  /** What the schemas' `$schema` must say. Null if it is written in them. */
  readonly $schema: string | null;
  /** At least this part of the base schemas must be supported. */
  readonly leastSupported: number;
}

const DRAFTS: readonly Draft[] = [
  { name: "draft4", $schema: "http://json-schema.org/draft-04/schema#", leastSupported: 0.9 },
  { name: "draft6", $schema: "http://json-schema.org/draft-06/schema#", leastSupported: 0.9 },
  { name: "draft7", $schema: "http://json-schema.org/draft-07/schema#", leastSupported: 0.9 },
  { name: "draft2019-09", $schema: null, leastSupported: 0.9 },
  { name: "draft2020-12", $schema: null, leastSupported: 0.9 },
];

/** Files that this engine contradicts, or whose instances JSON.parse changes. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  "format.json", // there, `format` is an annotation
  "optional/content.json", // here, `contentEncoding` and `contentMediaType` are annotations
  "optional/zeroTerminatedFloats.json", // 1.0 becomes 1
]);
/** Files for which the specification is stricter than the suite: instances that are refused, valid or not. */
const NARROWER: Readonly<Record<string, Narrower>> = {
  "optional/bignum.json": {
    isRefused: isLongInteger,
    reason: "TS-7.8: an integer has at most 19 digits",
  },
  "optional/float-overflow.json": {
    isRefused: isLongInteger,
    reason: "TS-7.8: an integer has at most 19 digits",
  },
  "optional/format/date-time.json": {
    isRefused: isUnusualTime,
    reason: "TS-7.15: capital T and Z, and at most 9 digits after the point",
  },
  "optional/format/hostname.json": {
    isRefused: (instance) => typeof instance === "string" && /(?:^|\.)xn--/i.test(instance),
    reason: "TS-7.15: no label begins with xn--, because tables of Unicode say which of those are valid",
  },
  "optional/format/time.json": {
    isRefused: isUnusualTime,
    reason: "TS-7.15: capital T and Z, and at most 9 digits after the point",
  },
  "vocabulary.json": {
    isRefused: (instance, schema) =>
      /no-validation/.test((schema as { $schema: string }).$schema) &&
      (instance as { numberProperty?: number }).numberProperty! < 10,
    reason: "a meta-schema of the author is not read: no keyword loses its meaning",
  },
};

interface Narrower {
  readonly isRefused: (instance: unknown, schema: unknown) => boolean;
  readonly reason: string;
}

function isLongInteger(instance: unknown, schema: unknown): boolean {
  return (
    (schema as { type?: unknown }).type === "integer" &&
    typeof instance === "number" &&
    Number.isInteger(instance) &&
    Math.abs(instance) >= 1e19
  );
}

function isUnusualTime(instance: unknown): boolean {
  return typeof instance === "string" && /[tz]|\.[0-9]{10}/.test(instance);
}

for (const draft of DRAFTS) {
  const folder = (file: string): string => asset("json-schema-test-suite", draft.name, file);
  const tablePath = fileURLToPath(new URL(`json-schema/${draft.name}.json`, import.meta.url));
  describeWithAssets(
    `JSON-Schema-Test-Suite, ${draft.name}`,
    () => {
      const files = ["", "optional/", "optional/format/"].flatMap((inside) =>
        readdirSync(folder(inside))
          .filter((file) => file.endsWith(".json"))
          .map((file) => inside + file),
      );
      const expected = existsSync(tablePath) ? (JSON.parse(readFileSync(tablePath, "utf8")) as Table) : {};
      const actual: Table = {};
      const vocabularies = [vocabulary(asset("tokenizers", "qwen2")), vocabulary("dist/models/tiny/pack")];

      it.each(files.filter((file) => !LEFT_OUT.has(file)))("%s", (file) => {
        const cases = JSON.parse(readFileSync(folder(file), "utf8")) as Case[];
        const counts = cases.map((one) => countsOf(inDialect(one, draft), file, vocabularies));
        const unwritten = counts.flatMap(({ unwritten: reasons }) => reasons ?? []);
        actual[file] = {
          supported: counts.filter(({ isSupported }) => isSupported).length,
          refused: counts.filter(({ isSupported }) => !isSupported).length,
          ...(unwritten.length > 0 && {
            unwritten: Object.fromEntries(
              [...new Set(unwritten)]
                .sort()
                .map((reason) => [reason, unwritten.filter((one) => one === reason).length]),
            ),
          }),
        };
        if (process.env["UPDATE_GOLDEN"] === "1") return;
        expect(actual[file]).toEqual(expected[file]);
      });

      it("numbers only improve", () => {
        for (const [file, { supported, unwritten }] of Object.entries(expected)) {
          const now = actual[file];
          expect(now?.supported ?? 0, file).toBeGreaterThanOrEqual(supported);
          // A schema that was refused may add instances that are not written.
          if (now?.supported === supported) expect(total(now.unwritten), file).toBeLessThanOrEqual(total(unwritten));
        }
        if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(tablePath, `${JSON.stringify(actual, null, 2)}\n`);
      });

      it(`at least ${draft.leastSupported * 100} % of the base schemas are supported`, () => {
        const base = Object.entries(actual).filter(([file]) => !file.includes("/"));
        const sum = (count: (counts: Counts) => number): number =>
          base.reduce((sumSoFar, [, counts]) => sumSoFar + count(counts), 0);
        const supported = sum((counts) => counts.supported);
        expect(supported / (supported + sum((counts) => counts.refused))).toBeGreaterThanOrEqual(draft.leastSupported);
      });
    },
    folder(""),
  );
}

const total = (unwritten: Counts["unwritten"] = {}): number =>
  Object.values(unwritten).reduce((sum, of) => sum + of, 0);

/** The schemas of older drafts do not say which draft they are of. */
function inDialect({ schema, ...rest }: Case, { $schema }: Draft): Case {
  if ($schema === null || typeof schema !== "object") return { ...rest, schema };
  return { ...rest, schema: { $schema, ...schema } };
}

/**
 * Checks all instances of a schema.
 * @returns whether it is supported, and the reasons for which some of its valid instances are not written
 */
function countsOf(
  { description, schema, tests }: Case,
  file: string,
  vocabularies: readonly Vocabulary[],
): { readonly isSupported: boolean; readonly unwritten?: readonly string[] } {
  const grammar = compiled(schema, tests);
  if (grammar === null) return { isSupported: false };
  const unwritten = tests.flatMap((test) => {
    const what = `${description}: ${test.description}`;
    const texts = orders(test.data);
    const legal = texts.find((text) => isAnswer(grammar, vocabularies[0]!, text));
    const isLegal = legal !== undefined;
    for (const one of vocabularies) expect(isPath(grammar, one, legal ?? texts[0]!), what).toBe(isLegal);
    const isNarrower = NARROWER[file]?.isRefused(test.data, schema) ?? false;
    if (isNarrower || !test.valid) expect(isLegal, what).toBe(false);
    if (isLegal || !test.valid) return [];
    const reason = isNarrower ? NARROWER[file]!.reason : (formatReason(schema) ?? reasonOf(grammar.notes));
    expect(reason, what).not.toBeNull();
    return [reason!];
  });
  return { isSupported: true, unwritten };
}

/** Returns why strings of the schema's format may not be written; null if all are. */
function formatReason(schema: unknown): string | null {
  const { format } = schema as { format?: string };
  return format !== undefined && PARTLY_ENFORCED.has(format) ? "TS-7.15: a part of the format" : null;
}

/** Returns what the notes of a grammar say about valid answers that are never given, without places; null if nothing. */
function reasonOf(notes: readonly string[]): string | null {
  const reasons = notes.filter((note) => note.endsWith("some valid answers are never given."));
  if (reasons.length === 0) return null;
  return [...new Set(reasons.map((note) => `A note: ${note.replace(/#\S*?(\w+)(?:\/\d+)* /, "$1 ")}`))]
    .sort()
    .join(" ");
}

interface Vocabulary {
  readonly trie: VocabularyTrie;
  /** Tokens of a text without normalization, so that their bytes are those of the text. */
  readonly tokenIds: (text: string) => number[];
  /** A token without text. */
  readonly endTokenId: number;
}

function vocabulary(folder: string): Vocabulary {
  const read = (file: string): object => JSON.parse(readFileSync(`${folder}/${file}`, "utf8")) as object;
  const tokenizer = new Tokenizer(read("tokenizer.json"), read("tokenizer_config.json"));
  const tokens = Array.from({ length: tokenizer.vocabSize }, (_, tokenId) => tokenizer.tokenBytes(tokenId));
  const spelled = new Map(tokens.map((bytes, tokenId) => [Buffer.from(bytes).toString("latin1"), tokenId]));
  const tokenIds = (text: string): number[] => {
    const bytes = Buffer.from(text).toString("latin1");
    const ids: number[] = [];
    for (let at = 0; at < bytes.length;) {
      let length = Math.min(16, bytes.length - at);
      while (!spelled.has(bytes.slice(at, at + length))) length--;
      ids.push(spelled.get(bytes.slice(at, at + length))!);
      at += length;
    }
    return ids;
  };
  return { trie: VocabularyTrie.build([...tokens, null]), tokenIds, endTokenId: tokens.length };
}

/** @returns null if the schema is refused. An `invalid_schema` must have no valid instance */
function compiled(schema: unknown, tests: Case["tests"]): Grammar | null {
  try {
    return compileGrammar({ type: "json_schema", schema });
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    if (error.code === "invalid_schema") {
      expect(error.message).toBe("The schema is satisfied by no instance.");
      expect(tests.filter(({ valid }) => valid)).toEqual([]);
      return NOTHING;
    }
    expect(error.code).toBe("unsupported_schema");
    return null;
  }
}

const NOTHING = compileGrammar({ type: "regex", regex: "nothing" });

/** Checks that a text is a complete answer, byte by byte. */
function isAnswer(grammar: Grammar, { trie }: Vocabulary, text: string): boolean {
  const matcher = new GrammarMatcher(grammar, trie, []);
  return matcher.acceptBytes(new TextEncoder().encode(text)) && matcher.isComplete;
}

/** Checks that the masks of a vocabulary allow a text, token by token, and then an end token. */
function isPath(grammar: Grammar, { tokenIds, trie, endTokenId }: Vocabulary, text: string): boolean {
  const matcher = new GrammarMatcher(grammar, trie, [endTokenId]);
  for (const tokenId of tokenIds(text)) {
    if (!has(matcher.allowed(), tokenId)) return false;
    matcher.acceptToken(tokenId);
  }
  return has(matcher.allowed(), endTokenId);
}

const has = (mask: Uint32Array, tokenId: number): boolean => ((mask[tokenId >> 5]! >> (tokenId & 31)) & 1) === 1;

/** Returns the instance as JSON, with its keys in every order, and exponents with and without a plus sign (TS-7.8). */
function orders(value: unknown): string[] {
  if (Array.isArray(value)) return product(value.map(orders)).map((items) => `[${items.join()}]`);
  if (typeof value === "number") return [...new Set([`${value}`, `${value}`.replace("e+", "e")])];
  if (typeof value !== "object" || value === null) return [JSON.stringify(value)];
  const keys = Object.keys(value);
  // For more keys, only the given order is tried.
  const sorted = keys.length <= 4 ? permutations(keys) : [keys];
  return sorted.flatMap((order) =>
    product(
      order.map((key) =>
        orders((value as Record<string, unknown>)[key]).map((text) => `${JSON.stringify(key)}:${text}`),
      ),
    ).map((members) => `{${members.join()}}`),
  );
}

function product(lists: readonly (readonly string[])[]): string[][] {
  return lists.reduce<string[][]>((all, list) => all.flatMap((begun) => list.map((item) => [...begun, item])), [[]]);
}

function permutations<T>(values: readonly T[]): T[][] {
  if (values.length <= 1) return [[...values]];
  return values.flatMap((value, index) => permutations(values.toSpliced(index, 1)).map((rest) => [value, ...rest]));
}
