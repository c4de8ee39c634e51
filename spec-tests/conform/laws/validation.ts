import fc from "fast-check";

import { quoted } from "../answers.js";
import { parseJson } from "../bounds.js";
import { Violation, type Dialect, type Exchange, type Law, type Probe } from "../law.js";
import { validationVectors } from "../package-files.js";
import { limit, user } from "../requests.js";

/** Broken if a valid request is refused, an invalid one is accepted, or a request is refused with another error. */
export const validation: Law = {
  id: "validation",
  title: "Requests are accepted or refused as the validation vectors require",
  clauses: [
    ...clauses(9, 8, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 14),
    ...clauses(1, 1, 5, 6),
    ...clauses(
      2,
      1,
      2,
      3,
      5,
      6,
      7,
      8,
      9,
      10,
      11,
      12,
      13,
      14,
      15,
      16,
      17,
      18,
      19,
      20,
      21,
      22,
      23,
      24,
      25,
      26,
      27,
      28,
      29,
      31,
      32,
      33,
      34,
      35,
    ),
    ...clauses(7, 12, 13),
  ],
  reports: ["sglang#33504", "mtplx#191", "ocp#470"],
  needs: [],
  errorRate: null,
  async check(probe) {
    const target = await targetOf(probe);
    if (!target.isTouchstone)
      probe.note(
        "The endpoint is not Touchstone and has other error codes, so only its refusals were checked, without fields that it may support.",
      );
    const rows = rowsOf(probe.dialect).filter((row) => isAskable(row, target));
    const mixed = spread(rows);
    const found = new Set<string>();
    for (const row of mixed) {
      await probe.forAll(
        fc.constant(row),
        async () => {
          const fault = faultOf(row, await ask(probe, row, target), target);
          // One fault of a server breaks many rows. Only the first is reported.
          if (fault === null || found.has(fault.kind)) return;
          found.add(fault.kind);
          throw new Violation(`${row.id}, ${row.what}: ${fault.message}`, [fault.exchange], fault.clause);
        },
        { numRuns: 1 },
      );
    }
  },
};

/**
 * Returns the rows in a fixed order in which a small budget covers most kinds of them: the first row of each kind, then
 * the second one of each, and so on. Refusals with one code for one field are of a kind, and so are a clause's answers.
 */
function spread(rows: readonly Row[]): Row[] {
  const shuffled = fc.sample(fc.shuffledSubarray([...rows], { minLength: rows.length }), { numRuns: 1, seed: 1 })[0]!;
  const kinds = new Map<string, Row[]>();
  for (const row of shuffled) {
    const { code, param } = row.expected;
    const kind = code === undefined ? row.clause : `${code} ${param?.split(/[.[]/)[0] ?? row.clause}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), row]);
  }
  const longest = Math.max(0, ...Array.from(kinds.values(), ({ length }) => length));
  return Array.from({ length: longest }, (_, index) =>
    Array.from(kinds.values(), (ofKind) => ofKind[index] ?? []).flat(),
  ).flat();
}

function clauses(section: number, ...numbers: readonly number[]): string[] {
  return numbers.map((number) => `TS-${section}.${number}`);
}

/** A case of vectors/validation-*.json. */
interface Row {
  readonly id: string;
  readonly clause: string;
  readonly what: string;
  readonly request?: Readonly<Record<string, unknown>>;
  readonly body?: string | readonly Part[];
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string | null>>;
  readonly needs?: readonly string[];
  readonly expected: {
    readonly status: number;
    readonly type?: string;
    readonly code?: string;
    readonly param?: string | null;
  };
}

type Part = string | { readonly repeat: string; readonly times: number } | { readonly bytes: readonly number[] };

/** Properties of the endpoint on which rows depend. */
interface Target {
  readonly model: string;
  readonly isTouchstone: boolean;
  /** The values of a row's `needs` that the endpoint satisfies. */
  readonly has: ReadonlySet<string>;
}

function rowsOf(dialect: Dialect): readonly Row[] {
  return (validationVectors(dialect) as { readonly cases: readonly Row[] }).cases;
}

async function targetOf(probe: Probe): Promise<Target> {
  const { text, status } = await probe.send("", { method: "GET", path: "/capabilities" });
  const isTouchstone = status === 200 && text.includes('"error_codes"') && text.includes('"schema_keywords"');
  const { exchange } = await probe.ask({ ...user("Hello!"), ...limit(probe, 1) });
  const { model } = JSON.parse(exchange.body!) as { model: string };
  const isAuthorized = "authorization" in exchange.headers;
  const isEmbedded = isTouchstone && model === "tiny";
  const isShort = probe.contextLength !== null && probe.contextLength <= 4096;
  const isDefault = isTouchstone && text.includes(`"body_bytes":${8 << 20}`);
  const needs = { api_key: isAuthorized, embedded_model: isEmbedded, context_4096: isShort, default_limits: isDefault };
  return { model, isTouchstone, has: new Set(Object.entries(needs).flatMap(([name, holds]) => (holds ? [name] : []))) };
}

const BASE = "/v1";

/**
 * Selects rows that can be sent: bodies must be text, and paths must be below the base URL. For endpoints other than
 * Touchstone, rows about fields that they may support are left out.
 */
function isAskable({ path = `${BASE}/`, body, needs = [], expected }: Row, { isTouchstone, has }: Target): boolean {
  const isText =
    body === undefined ||
    typeof body === "string" ||
    body.every((part) => typeof part === "string" || "repeat" in part);
  const isForeign =
    !isTouchstone &&
    (expected.code === "unsupported_parameter" || expected.code === "unsupported_schema" || expected.status === 200);
  return isText && path.startsWith(`${BASE}/`) && needs.every((need) => has.has(need)) && !isForeign;
}

function ask(probe: Probe, { request, body, method, path, headers = {} }: Row, { model }: Target): Promise<Exchange> {
  const written = request === undefined ? [body ?? ""].flat().map(textOf).join("") : JSON.stringify(request);
  const text = written.replaceAll("$MODEL", () => model);
  const given = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value ?? ""]));
  return probe.send(text, {
    headers: given,
    ...(method === undefined ? {} : { method }),
    ...(path === undefined ? {} : { path: path.slice(BASE.length) }),
  });
}

/** Length in characters above which a body may exceed the socket buffers before the server reads it. */
const LARGE = 1 << 20;

function textOf(part: Part): string {
  if (typeof part === "string") return part;
  return "repeat" in part ? part.repeat.repeat(part.times) : "";
}

interface Fault {
  readonly kind: string;
  readonly message: string;
  readonly clause: string;
  readonly exchange: Exchange;
}

function faultOf({ clause, expected }: Row, exchange: Exchange, { isTouchstone }: Target): Fault | null {
  const { status, text } = exchange;
  // A server may refuse a large body without reading it. If it closes the connection, the answer may be lost.
  if (status === 0 && (exchange.body?.length ?? 0) > LARGE) return null;
  const asExpected = isTouchstone ? status === expected.status : status >= 400 && status < 500;
  // No answer is a different fault from a wrong status, so it is reported separately.
  if (!asExpected)
    return {
      kind: `${status === 0 ? "silence" : "status"} of ${clause}`,
      message: `the status must be ${expected.status}; it is ${status}: ${quoted(text)}`,
      clause,
      exchange,
    };
  if (!isTouchstone || status === 200 || exchange.method === "HEAD") return null;
  const error = errorOf(text);
  if (error === null) {
    return {
      kind: "form",
      message: `the error must be {"error": {"message", "type", "param", "code"}}; it is ${quoted(text)}`,
      clause: "TS-9.1",
      exchange,
    };
  }
  const wrong = (["code", "type", "param"] as const).find((name) => error[name] !== expected[name]);
  if (wrong === undefined) return null;
  const kind = wrong === "code" ? `${wrong} ${expected.code} of ${clause}` : wrong;
  const message = `${wrong} must be ${JSON.stringify(expected[wrong])}; it is ${JSON.stringify(error[wrong])}: ${quoted(text)}`;
  return { kind, message, clause: wrong === "param" ? "TS-9.2" : clause, exchange };
}

/** Parses the error object, or returns null if it has another form. */
function errorOf(text: string): Readonly<Record<"message" | "type" | "param" | "code", unknown>> | null {
  try {
    const { error } = parseJson(text) as { error?: Readonly<Record<string, unknown>> };
    const isWhole =
      typeof error === "object" &&
      error !== null &&
      ["message", "type", "param", "code"].every((name) => name in error);
    return isWhole && typeof error["message"] === "string" && error["message"] !== ""
      ? (error as ReturnType<typeof errorOf>)
      : null;
  } catch {
    return null;
  }
}
