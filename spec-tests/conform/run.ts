/**
 * Checks laws against one endpoint, one after the other, within a budget of calls and seconds. Each law gets an even
 * share of the remaining budget, so the unused part of a law's share is available to later laws. The first case that
 * breaks a law is shrunk. A run is a function of its seed and the endpoint's answers, unless the time limit ends it.
 */

import { createHash } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";

import fc, { type Arbitrary, type Value } from "fast-check";

import { chatBody, Client, readAnswer, type Endpoint, type Sent } from "./client.js";
import { curl } from "./curl.js";
import { ConformError } from "./errors.js";
import {
  BudgetSpent,
  Violation,
  type Answer,
  type CaseOptions,
  type ChatRequest,
  type Dialect,
  type Exchange,
  type Law,
  type LawDescription,
  type Probe,
} from "./law.js";
import { profileOf, type Profile } from "./profile.js";

/** Limits of a run. It ends when either limit is reached. */
export interface Budget {
  /** Maximum number of requests. */
  readonly calls: number;
  /** Maximum wall-clock time. */
  readonly seconds: number;
}

export interface RunOptions {
  readonly endpoint: Endpoint;
  /** null: the first model that the endpoint lists. */
  readonly model: string | null;
  /** null: the dialect that the endpoint reports. */
  readonly dialect: Dialect | null;
  readonly laws: readonly Law[];
  readonly budget: Budget;
  readonly seed: number;
  /** Aborts the run and its requests. */
  readonly signal?: AbortSignal;
  /** Called after each call and at the end of each law. */
  readonly onProgress?: (progress: Progress) => void;
}

export interface Progress {
  /** Fraction of the run that is done, from 0 to 1. Never decreases. */
  readonly share: number;
  /** Id of the law that is being checked or has ended. */
  readonly lawId: string;
  /** Set at the end of a law, else null. */
  readonly result: LawResult | null;
}

/** One violation of a law by the endpoint. */
export interface Finding {
  /** Id of the broken law: `P4`. */
  readonly lawId: string;
  /** Number of the broken clause: `TS-5.3`. */
  readonly clause: string;
  /** The expected and the actual behavior. */
  readonly message: string;
  /** The smallest failing case that was found, printed. null if the violation does not belong to a case. */
  readonly counterexample: string | null;
  /** False if the budget was spent before all smaller cases were tried. */
  readonly isSmallest: boolean;
  /**
   * Seed of the cases. Together with `path` it identifies the counterexample: `path` has the number of the case and the
   * index of each shrinking step.
   */
  readonly seed: number;
  readonly path: string | null;
  /** The requests that show the violation, with their responses, in the order in which they were sent. */
  readonly exchanges: readonly Exchange[];
  /** The requests of `exchanges` as `curl` commands for a POSIX shell, with the key in the variable `API_KEY`. */
  readonly curls: readonly string[];
}

/**
 * `holds`: no case that was tried breaks the law. `skipped`: the endpoint lacks a feature that the law requires.
 * `unchecked`: the budget was too small for a single case, or the endpoint no longer answered.
 */
export type Outcome = "holds" | "broken" | "skipped" | "unchecked";

export interface LawResult {
  readonly law: LawDescription;
  readonly outcome: Outcome;
  /** The reason why the law was skipped or not checked. null if it was checked. */
  readonly reason: string | null;
  /** Empty unless the law is broken. */
  readonly findings: readonly Finding[];
  /** Checks that were left out, with the reasons. */
  readonly notes: readonly string[];
  /** The limit of the budget that ended the law, or the search for a smaller case; null if none did. */
  readonly shortOf: "calls" | "seconds" | null;
  /** Number of cases that were checked completely. */
  readonly numCases: number;
  /** Number of requests that were sent for the law. */
  readonly numCalls: number;
  /** Wall-clock time. */
  readonly seconds: number;
}

export interface Run {
  readonly baseUrl: string;
  readonly profile: Profile;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  /** Seed of the cases. A run with the same seed tries the same cases. */
  readonly seed: number;
  readonly budget: Budget;
  /** Number of requests, including those that probed the endpoint's features. */
  readonly numCalls: number;
  /** Wall-clock time. */
  readonly seconds: number;
  /** Upper bound of the probability that a correct endpoint gets a finding. */
  readonly errorRate: number;
  /** Results in the order in which the laws were checked. */
  readonly laws: readonly LawResult[];
}

export const MAX_ERROR_RATE = 1e-3;

/**
 * Probes the endpoint's features and checks laws against it.
 *
 * @throws ConformError `cannot_run` if no law can be checked
 * @throws the signal's reason if `signal` is aborted
 */
export async function runLaws({
  endpoint,
  model,
  dialect,
  laws,
  budget,
  seed,
  signal = new AbortController().signal,
  onProgress = () => {},
}: RunOptions): Promise<Run> {
  signal.throwIfAborted();
  const errorRate = laws.reduce((sum, law) => sum + (law.errorRate ?? 0), 0);
  if (errorRate >= MAX_ERROR_RATE)
    throw new Error(`The sum of the laws' error rates must be below ${MAX_ERROR_RATE}. Given: ${errorRate}`);
  const client = new Client(endpoint);
  const purse = new Purse(budget);
  const startedAt = new Date().toISOString();
  const profile = await askForProfile(client, purse, signal, model, dialect);

  const results: LawResult[] = [];
  let isGone = false;
  for (const [i, law] of laws.entries()) {
    signal.throwIfAborted();
    const tell = (share: number): void => onProgress({ share: (i + share) / laws.length, lawId: law.id, result: null });
    const missing = law.needs.filter((feature) => !profile.features.has(feature));
    let result: LawResult;
    if (isGone) result = notChecked(law, "unchecked", "The endpoint no longer answers.");
    else if (missing.length > 0)
      result = notChecked(
        law,
        "skipped",
        missing.map((feature) => `${feature}: ${profile.missing.get(feature)}`).join("; "),
      );
    else {
      const trial = new Trial(client, purse.share(laws.length - i), law, profile, lawSeed(seed, law.id), signal, tell);
      result = await trial.run();
      purse.numCalls += result.numCalls;
      isGone = await hasDied(result.findings, client, purse, signal);
    }
    results.push(result);
    onProgress({ share: (i + 1) / laws.length, lawId: law.id, result });
  }
  if (!results.some(({ outcome }) => outcome === "holds" || outcome === "broken")) {
    const more = raisedBudget(budget, results);
    const reasons = results.map(({ law, outcome, reason }) => `${law.id} ${outcome} (${reason})`).join(", ");
    throw new ConformError(
      "cannot_run",
      `No law could be checked within ${budget.calls} calls and ${budget.seconds} seconds. ${purse.numCalls} calls were used to probe the endpoint's features. Laws: ${reasons}.${more === null ? "" : ` Raise the budget: ${more}.`}`,
    );
  }
  return {
    baseUrl: endpoint.baseUrl,
    profile,
    startedAt,
    seed,
    budget,
    numCalls: purse.numCalls,
    seconds: purse.seconds(),
    errorRate,
    laws: results,
  };
}

/**
 * Returns the option that raises the limits that ended laws early; null if no limit did. Every law gets a share of what
 * the probing of features leaves, so a share more than doubles.
 */
export function raisedBudget(budget: Budget, laws: readonly LawResult[]): string | null {
  const limits = new Set(laws.map(({ shortOf }) => shortOf));
  limits.delete(null);
  return limits.size === 0 ? null : raised(budget, [...limits]);
}

function raised(budget: Budget, limits: readonly LawResult["shortOf"][]): string {
  const limit = (name: keyof Budget): number =>
    limits.includes(name) ? Math.max(MIN_RAISED[name], 2 * budget[name]) : budget[name];
  return `--budget calls=${limit("calls")},seconds=${limit("seconds")}`;
}

/** Enough for the features and some cases. */
const MIN_RAISED: Budget = { calls: 100, seconds: 60 };

/** The budget of a run or of a law, and the part that is spent. */
class Purse {
  numCalls = 0;
  private readonly startMs = performance.now();

  constructor(
    readonly budget: Budget,
    /** Subject of error messages. */
    readonly name = "The budget",
  ) {}

  seconds(): number {
    return (performance.now() - this.startMs) / 1000;
  }

  secondsLeft(): number {
    return this.budget.seconds - this.seconds();
  }

  callsLeft(): number {
    return this.budget.calls - this.numCalls;
  }

  /** Spent fraction of the calls or of the seconds, whichever is larger, from 0 to 1. */
  spent(): number {
    return Math.min(
      1,
      Math.max(this.numCalls / Math.max(1, this.budget.calls), this.seconds() / Math.max(1e-3, this.budget.seconds)),
    );
  }

  /** Returns the budget of one law if the rest is divided evenly among `numSharers` laws. */
  share(numSharers: number): Purse {
    return new Purse(
      { calls: Math.floor(this.callsLeft() / numSharers), seconds: this.secondsLeft() / numSharers },
      "Its share of the budget",
    );
  }

  /** @throws BudgetSpent */
  pay(): void {
    if (this.callsLeft() <= 0) throw new BudgetSpent(`${this.name} is spent.`, "calls");
    if (this.secondsLeft() <= 0) throw new BudgetSpent(`${this.name} is spent.`, "seconds");
    this.numCalls++;
  }
}

async function askForProfile(
  client: Client,
  purse: Purse,
  signal: AbortSignal,
  model: string | null,
  dialect: Dialect | null,
): Promise<Profile> {
  const deadline = timeLimit(purse, signal);
  try {
    const send = (method: string, path: string, body: string | null): Promise<Exchange> =>
      patiently(purse, () => client.exchange({ method, path, body }, deadline.signal), deadline.signal);
    return await profileOf(send, client, { model, dialect });
  } catch (error) {
    if (error instanceof BudgetSpent)
      throw new ConformError(
        "cannot_run",
        `The budget is too small to probe the endpoint's features, which takes about 22 calls. ${error.message} Raise it: ${raised(purse.budget, [error.limit])}.`,
      );
    throw error;
  } finally {
    deadline.clear();
  }
}

/** Returns a signal that is aborted when the purse's time is spent or when the run is aborted. */
function timeLimit(purse: Purse, signal: AbortSignal): { readonly signal: AbortSignal; clear(): void } {
  const controller = new AbortController();
  const timer = setTimeout(
    () => controller.abort(new BudgetSpent(`${purse.name} is spent.`, "seconds")),
    Math.min(2 ** 31 - 1, 1000 * purse.secondsLeft()),
  );
  return { signal: AbortSignal.any([signal, controller.signal]), clear: () => clearTimeout(timer) };
}

/** Maximum number of attempts, and maximum pause between them, for a server without capacity. */
const NUM_ATTEMPTS = 4;
const MAX_PATIENCE_SECONDS = 20;

/**
 * Retries while the server reports that it is busy. Busy is not a violation: if it persists, the budget counts as
 * spent.
 */
async function patiently(purse: Purse, ask: () => Promise<Exchange>, signal: AbortSignal): Promise<Exchange> {
  for (let attempt = 1; ; attempt++) {
    purse.pay();
    const exchange = await ask();
    const retryAfter = exchange.responseHeaders["retry-after"];
    if (exchange.status !== 429 && !(exchange.status === 503 && retryAfter !== undefined)) return exchange;
    if (attempt === NUM_ATTEMPTS)
      throw new BudgetSpent(`The endpoint accepts no more requests: status ${exchange.status}.`);
    const given = Number(retryAfter ?? "");
    const seconds = Math.min(MAX_PATIENCE_SECONDS, given > 0 ? given : 2 ** (attempt - 1));
    await pause(1000 * seconds, undefined, { signal }).catch(() => Promise.reject(signal.reason as Error));
  }
}

/** Derives a separate seed for each law, so that a run with --only tries the same cases as a complete run. */
function lawSeed(seed: number, id: string): number {
  return createHash("sha256").update(`${seed} ${id}`).digest().readInt32LE();
}

function notChecked(law: Law, outcome: Outcome, reason: string): LawResult {
  return { law, outcome, reason, findings: [], notes: [], shortOf: null, numCases: 0, numCalls: 0, seconds: 0 };
}

/** Checks whether the endpoint has died. It sends a request only if an exchange of the findings was not answered. */
async function hasDied(
  findings: readonly Finding[],
  client: Client,
  purse: Purse,
  signal: AbortSignal,
): Promise<boolean> {
  if (!findings.some(({ exchanges }) => exchanges.some(isUnanswered))) return false;
  purse.numCalls++;
  return isUnanswered(await client.exchange({ method: "GET", path: "/models", body: null }, signal));
}

function isUnanswered({ status }: Exchange): boolean {
  return status === 0;
}

/** Fraction of the remaining budget that new cases may use, unless the law specifies another one. */
const CASE_SHARE = 0.75;
const NUM_RUNS = 20;

/** Checks one law with its share of the budget. */
class Trial implements Probe {
  readonly features: Probe["features"];
  readonly dialect: Probe["dialect"];
  readonly contextLength: number | null;
  private readonly findings: Finding[] = [];
  private readonly notes: string[] = [];
  private readonly inFlight = new Set<Promise<unknown>>();
  private readonly deadline: ReturnType<typeof timeLimit>;
  private shortOf: LawResult["shortOf"] = null;
  private numCases = 0;
  private numForAlls = 0;

  constructor(
    private readonly client: Client,
    private readonly purse: Purse,
    private readonly law: Law,
    private readonly profile: Profile,
    private readonly seed: number,
    private readonly signal: AbortSignal,
    private readonly tell: (share: number) => void,
  ) {
    ({ features: this.features, dialect: this.dialect, contextLength: this.contextLength } = profile);
    this.deadline = timeLimit(purse, signal);
  }

  async run(): Promise<LawResult> {
    let endedBy: string | null = null;
    try {
      await this.law.check(this);
    } catch (error) {
      if (error instanceof Violation) this.findings.push(this.finding(error, null));
      else if (error instanceof BudgetSpent) {
        endedBy = error.message;
        this.shortOf ??= error.limit;
      } else throw error;
    } finally {
      await this.settled();
      this.deadline.clear();
    }
    return this.result(endedBy);
  }

  private result(endedBy: string | null): LawResult {
    const isUnchecked = this.findings.length === 0 && this.numCases === 0 && (endedBy !== null || this.numForAlls > 0);
    if (endedBy !== null && !isUnchecked) this.notes.push(`Ended early. ${endedBy}`);
    return {
      law: this.law,
      outcome: this.findings.length > 0 ? "broken" : isUnchecked ? "unchecked" : "holds",
      reason: isUnchecked ? (endedBy ?? "The budget was too small for a single case.") : null,
      findings: this.findings,
      notes: this.notes,
      shortOf: this.shortOf,
      numCases: this.numCases,
      numCalls: this.purse.numCalls,
      seconds: this.purse.seconds(),
    };
  }

  ask(request: ChatRequest): Promise<Answer> {
    return this.follow(async () =>
      readAnswer(
        await this.exchange({ method: "POST", path: CHAT_PATH, body: chatBody(request, this.profile.model) }),
        request["stream"] === true,
      ),
    );
  }

  send(
    request: ChatRequest | string,
    { path = CHAT_PATH, method = "POST", headers }: Parameters<Probe["send"]>[1] = {},
  ): Promise<Exchange> {
    const body = typeof request === "string" ? request : chatBody(request, this.profile.model);
    return this.follow(() =>
      this.exchange({ method, path, headers, body: method === "GET" || method === "HEAD" ? null : body }),
    );
  }

  abandon(request: ChatRequest, after: Parameters<Probe["abandon"]>[1]): Promise<void> {
    return this.follow(async () => {
      this.purse.pay();
      const exchange = await this.client.abandon(
        { method: "POST", path: CHAT_PATH, body: chatBody({ ...request, stream: true }, this.profile.model) },
        after,
        this.deadline.signal,
      );
      if (exchange.status >= 400) readAnswer(exchange, true);
    });
  }

  async forAll<T>(
    cases: Arbitrary<T>,
    check: (value: T) => Promise<void>,
    { numRuns = NUM_RUNS, examples = [], share = CASE_SHARE }: CaseOptions<T> = {},
  ): Promise<boolean> {
    const seed = (this.seed + this.numForAlls++) | 0;
    const drawn = fc.sample(new WithContext(cases), { seed, numRuns });
    const callsKept = this.purse.callsLeft() * (1 - share);
    const secondsKept = this.purse.secondsLeft() * (1 - share);
    for (const [i, value] of [...examples.map((example) => new fc.Value(example, undefined)), ...drawn]
      .slice(0, numRuns)
      .entries()) {
      if (i > 0 && (this.purse.callsLeft() <= callsKept || this.purse.secondsLeft() <= secondsKept)) break;
      const violation = await this.violation(check, value.value);
      this.numCases++;
      if (violation === null) continue;
      const finding = await this.shrunk(cases, check, value, violation, seed, String(i));
      this.findings.push(finding);
      // Later findings would be about requests that the dead server never received.
      if (await hasDied([finding], this.client, this.purse, this.signal))
        throw new BudgetSpent("The endpoint no longer answers.");
      return false;
    }
    return true;
  }

  note(text: string): void {
    if (!this.notes.includes(text)) this.notes.push(text);
  }

  /**
   * Repeatedly moves to the first smaller case that breaks the same clause, until none is left or the budget is spent.
   */
  private async shrunk<T>(
    cases: Arbitrary<T>,
    check: (value: T) => Promise<void>,
    value: Value<T>,
    violation: Violation,
    seed: number,
    path: string,
  ): Promise<Finding> {
    // A server that hangs, has died or does not stop sending fails every case, so smaller cases would prove nothing.
    const isSame = (other: Violation): boolean =>
      this.clause(other) === this.clause(violation) &&
      !other.exchanges.some((exchange) => isUnanswered(exchange) || exchange.incomplete !== null);
    const numNotes = this.notes.length;
    let isSmallest = true;
    try {
      let step = isSame(violation) ? await this.smaller(cases, check, value, isSame) : null;
      for (; step !== null; step = await this.smaller(cases, check, value, isSame)) {
        ({ value, violation } = step);
        path += `:${step.index}`;
      }
    } catch (error) {
      if (!(error instanceof BudgetSpent)) throw error;
      this.shortOf ??= error.limit;
      isSmallest = false;
    }
    // Notes on smaller cases are about other answers than those of the finding.
    this.notes.splice(numNotes);
    return this.finding(violation, { value: value.value, isSmallest, seed, path });
  }

  private async smaller<T>(
    cases: Arbitrary<T>,
    check: (value: T) => Promise<void>,
    { value, context }: Value<T>,
    isSame: (violation: Violation) => boolean,
  ) {
    // Examples have no shrinking context, and some arbitraries cannot shrink a value without it.
    if (context === undefined && !cases.canShrinkWithoutContext(value)) return null;
    let index = 0;
    for (const candidate of cases.shrink(value, context)) {
      const violation = await this.violation(check, candidate.value);
      if (violation !== null && isSame(violation)) return { value: candidate, violation, index };
      index++;
    }
    return null;
  }

  private async violation<T>(check: (value: T) => Promise<void>, value: T): Promise<Violation | null> {
    try {
      await check(value);
      return null;
    } catch (error) {
      if (error instanceof Violation) return error;
      throw error;
    } finally {
      await this.settled();
    }
  }

  private finding(
    violation: Violation,
    counterexample: {
      readonly value: unknown;
      readonly isSmallest: boolean;
      readonly seed: number;
      readonly path: string;
    } | null,
  ): Finding {
    const { baseUrl } = this.client.endpoint;
    return {
      lawId: this.law.id,
      clause: this.clause(violation),
      message: cut(violation.message, MAX_MESSAGE_LENGTH),
      counterexample: counterexample === null ? null : fc.stringify(withPrototypes(counterexample.value)),
      isSmallest: counterexample?.isSmallest ?? true,
      seed: counterexample?.seed ?? this.seed,
      path: counterexample?.path ?? null,
      exchanges: violation.exchanges.map(evidence),
      curls: violation.exchanges.map((exchange) => curl(exchange, baseUrl)),
    };
  }

  private clause({ clause }: Violation): string {
    return clause ?? this.law.clauses[0] ?? "";
  }

  private async exchange(sent: Sent): Promise<Exchange> {
    const exchange = await patiently(
      this.purse,
      () => this.client.exchange(sent, this.deadline.signal),
      this.deadline.signal,
    );
    this.tell(this.purse.spent());
    return exchange;
  }

  /** Tracks a call, so that calls of a failed case end before the next request is sent. */
  private follow<T>(call: () => Promise<T>): Promise<T> {
    const promise = call();
    this.inFlight.add(promise);
    const done = (): void => void this.inFlight.delete(promise);
    promise.then(done, done);
    return promise;
  }

  private async settled(): Promise<void> {
    await Promise.allSettled(this.inFlight);
  }
}

const CHAT_PATH = "/chat/completions";

/** Longest message of a finding, and longest response in its evidence; answers that laws ask for are shorter. */
const MAX_MESSAGE_LENGTH = 4_000;
const MAX_EVIDENCE_LENGTH = 1 << 18;

/** Shortens a very long response, so that the findings of a run always fit into a report. */
function evidence(exchange: Exchange): Exchange {
  const { text, incomplete } = exchange;
  if (text.length <= MAX_EVIDENCE_LENGTH) return exchange;
  const reason = incomplete ?? `only ${MAX_EVIDENCE_LENGTH} of its ${text.length} characters were kept`;
  return { ...exchange, text: text.slice(0, MAX_EVIDENCE_LENGTH), incomplete: reason };
}

function cut(text: string, maxLength: number): string {
  return text.length <= maxLength ? text : `${text.slice(0, maxLength)}…`;
}

/** Replaces null prototypes, which fast-check gives to records, so that values print as plain literals. */
function withPrototypes(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withPrototypes);
  if (typeof value !== "object" || value === null) return value;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, withPrototypes(field)]));
}

/** Draws each case together with its shrinking context. */
class WithContext<T> extends fc.Arbitrary<Value<T>> {
  constructor(private readonly cases: Arbitrary<T>) {
    super();
  }

  override generate(random: fc.Random, biasFactor: number | undefined): Value<Value<T>> {
    return new fc.Value(this.cases.generate(random, biasFactor), undefined);
  }

  override canShrinkWithoutContext(value: unknown): value is Value<T> {
    return value instanceof fc.Value;
  }

  override shrink(): fc.Stream<Value<Value<T>>> {
    return fc.Stream.nil();
  }
}
