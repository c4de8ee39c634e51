/**
 * Checks laws against one endpoint, one after the other, within a budget of calls and seconds. Each law gets an even share
 * of what is left, so that what one leaves goes to those behind it. The first case that breaks a law is shrunk; the whole
 * run is a function of its seed and the endpoint's answers, as long as time does not end it.
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

/** The most that a run may cost: it ends where either is spent. */
export interface Budget {
  /** Requests. */
  readonly calls: number;
  /** Wall-clock time. */
  readonly seconds: number;
}

export interface RunOptions {
  readonly endpoint: Endpoint;
  /** null: the first one the endpoint lists. */
  readonly model: string | null;
  /** null: what the endpoint says. */
  readonly dialect: Dialect | null;
  readonly laws: readonly Law[];
  readonly budget: Budget;
  readonly seed: number;
  /** Ends the run, requests included. */
  readonly signal?: AbortSignal;
  /** Told of every call and of every law that ends. */
  readonly onProgress?: (progress: Progress) => void;
}

export interface Progress {
  /** How much of the run is done, 0 to 1; never falls. */
  readonly share: number;
  /** The law that is being checked, or that has ended. */
  readonly lawId: string;
  /** Set where a law ends; else null. */
  readonly result: LawResult | null;
}

/** One way in which the endpoint breaks a law. */
export interface Finding {
  /** Of the law that is broken: `P4`. */
  readonly lawId: string;
  /** Number of the clause that is broken: `TS-5.3`. */
  readonly clause: string;
  /** What was expected and what came. */
  readonly message: string;
  /** The smallest case found that breaks the law, printed; null where the law has no cases. */
  readonly counterexample: string | null;
  /** Of the cases; with `path` it names the counterexample: which case, then which step at each turn of shrinking. */
  readonly seed: number;
  readonly path: string | null;
  /** The requests that show it, with what came back, in the order in which they were sent. */
  readonly exchanges: readonly Exchange[];
  /** The requests of `exchanges` as `curl` commands for a POSIX shell, which take the key from the variable `API_KEY`. */
  readonly curls: readonly string[];
}

/**
 * `holds`: no case that was tried breaks the law. `skipped`: the endpoint does not support what the law needs.
 * `unchecked`: the budget did not suffice for a single case, or the endpoint no longer answered.
 */
export type Outcome = "holds" | "broken" | "skipped" | "unchecked";

export interface LawResult {
  readonly law: LawDescription;
  readonly outcome: Outcome;
  /** Why it was skipped or not checked; null where it was checked. */
  readonly reason: string | null;
  /** Empty unless the law is broken. */
  readonly findings: readonly Finding[];
  /** What was left out, and why. */
  readonly notes: readonly string[];
  /** Cases checked to the end. */
  readonly numCases: number;
  /** Requests sent for it. */
  readonly numCalls: number;
  /** Wall-clock time. */
  readonly seconds: number;
}

export interface Run {
  readonly baseUrl: string;
  readonly profile: Profile;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  /** A run with the same seed tries the same cases. */
  readonly seed: number;
  readonly budget: Budget;
  /** Requests sent, those that found out what the endpoint supports among them. */
  readonly numCalls: number;
  /** Wall-clock time. */
  readonly seconds: number;
  /** The chance that an endpoint that keeps every law is blamed, at most. */
  readonly errorRate: number;
  /** In the order in which they were checked. */
  readonly laws: readonly LawResult[];
}

export const MAX_ERROR_RATE = 1e-3;

/**
 * @throws ConformError `cannot_run` where no law can be checked
 * @throws what `signal` is aborted with
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
    throw new Error(`The laws' false alarms add up to ${errorRate}, which must be below ${MAX_ERROR_RATE}`);
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
    const reasons = results.map(({ law, outcome, reason }) => `${law.id} ${outcome} (${reason})`).join(", ");
    throw new ConformError(
      "cannot_run",
      `No law could be checked within ${budget.calls} calls and ${budget.seconds} seconds, ${purse.numCalls} calls of which showed what the endpoint supports: ${reasons}`,
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

/** The calls and seconds of a run, or of a law. */
class Purse {
  numCalls = 0;
  private readonly startMs = performance.now();

  constructor(
    private readonly budget: Budget,
    /** For messages. */
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

  /** How much is spent, 0 to 1, of whichever is nearer its end. */
  spent(): number {
    return Math.min(
      1,
      Math.max(this.numCalls / Math.max(1, this.budget.calls), this.seconds() / Math.max(1e-3, this.budget.seconds)),
    );
  }

  /** An even share of what is left, for one of so many. */
  share(numSharers: number): Purse {
    return new Purse(
      { calls: Math.floor(this.callsLeft() / numSharers), seconds: this.secondsLeft() / numSharers },
      "Its share of the budget",
    );
  }

  /** @throws BudgetSpent */
  pay(): void {
    if (this.callsLeft() <= 0 || this.secondsLeft() <= 0) throw new BudgetSpent(`${this.name} is spent.`);
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
        `The budget did not suffice to find out what the endpoint supports, which takes some two dozen calls. ${error.message}`,
      );
    throw error;
  } finally {
    deadline.clear();
  }
}

/** Aborts where the purse's time is spent, or with the run. */
function timeLimit(purse: Purse, signal: AbortSignal): { readonly signal: AbortSignal; clear(): void } {
  const controller = new AbortController();
  const timer = setTimeout(
    () => controller.abort(new BudgetSpent(`${purse.name} is spent.`)),
    Math.min(2 ** 31 - 1, 1000 * purse.secondsLeft()),
  );
  return { signal: AbortSignal.any([signal, controller.signal]), clear: () => clearTimeout(timer) };
}

/** How often, and for how long at most, a server that has no room is asked again. */
const NUM_ATTEMPTS = 4;
const MAX_PATIENCE_SECONDS = 20;

/** Asks again where the server says it is busy. That is no answer, so it breaks no law: where it stays so, the budget counts as spent. */
async function patiently(purse: Purse, ask: () => Promise<Exchange>, signal: AbortSignal): Promise<Exchange> {
  for (let attempt = 1; ; attempt++) {
    purse.pay();
    const exchange = await ask();
    const retryAfter = exchange.responseHeaders["retry-after"];
    if (exchange.status !== 429 && !(exchange.status === 503 && retryAfter !== undefined)) return exchange;
    if (attempt === NUM_ATTEMPTS)
      throw new BudgetSpent(`The endpoint takes no more requests: status ${exchange.status}.`);
    const given = Number(retryAfter ?? "");
    const seconds = Math.min(MAX_PATIENCE_SECONDS, given > 0 ? given : 2 ** (attempt - 1));
    await pause(1000 * seconds, undefined, { signal }).catch(() => Promise.reject(signal.reason as Error));
  }
}

/** Laws draw their cases independently of each other, so that --only sees the same ones as a whole run. */
function lawSeed(seed: number, id: string): number {
  return createHash("sha256").update(`${seed} ${id}`).digest().readInt32LE();
}

function notChecked(law: Law, outcome: Outcome, reason: string): LawResult {
  return { law, outcome, reason, findings: [], notes: [], numCases: 0, numCalls: 0, seconds: 0 };
}

/** Whether the endpoint is gone after a finding in which it did not answer: then nothing more can be said about it. */
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

/** How much of what is left new cases may take, where the law does not say. */
const CASE_SHARE = 0.75;
const NUM_RUNS = 20;

/** One law, checked with its share of the budget. */
class Trial implements Probe {
  readonly features: Probe["features"];
  readonly dialect: Probe["dialect"];
  readonly contextLength: number | null;
  private readonly findings: Finding[] = [];
  private readonly notes: string[] = [];
  private readonly inFlight = new Set<Promise<unknown>>();
  private readonly deadline: ReturnType<typeof timeLimit>;
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
      else if (error instanceof BudgetSpent) endedBy = error.message;
      else throw error;
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
      reason: isUnchecked ? (endedBy ?? "The budget did not suffice for a single case.") : null,
      findings: this.findings,
      notes: this.notes,
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
  ): Promise<void> {
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
      // What comes after would be blamed on requests that nobody has read.
      if (await hasDied([finding], this.client, this.purse, this.signal))
        throw new BudgetSpent("The endpoint no longer answers.");
      return;
    }
  }

  note(text: string): void {
    if (!this.notes.includes(text)) this.notes.push(text);
  }

  /** Goes to the first smaller case that breaks the same clause, again and again, until there is none or the budget is spent. */
  private async shrunk<T>(
    cases: Arbitrary<T>,
    check: (value: T) => Promise<void>,
    value: Value<T>,
    violation: Violation,
    seed: number,
    path: string,
  ): Promise<Finding> {
    // A server that hangs or has died fails every case there is, so smaller ones would say nothing.
    const isSame = (other: Violation): boolean =>
      this.clause(other) === this.clause(violation) && !other.exchanges.some(isUnanswered);
    try {
      let step = isSame(violation) ? await this.smaller(cases, check, value, isSame) : null;
      for (; step !== null; step = await this.smaller(cases, check, value, isSame)) {
        ({ value, violation } = step);
        path += `:${step.index}`;
      }
    } catch (error) {
      if (!(error instanceof BudgetSpent)) throw error;
      this.note("The case found was not shrunk to the end: the law's share of the budget was spent.");
    }
    return this.finding(violation, { value: value.value, seed, path });
  }

  private async smaller<T>(
    cases: Arbitrary<T>,
    check: (value: T) => Promise<void>,
    { value, context }: Value<T>,
    isSame: (violation: Violation) => boolean,
  ) {
    // An example comes without what its arbitrary noted when it drew a value; some cannot shrink without.
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
    counterexample: { readonly value: unknown; readonly seed: number; readonly path: string } | null,
  ): Finding {
    const { baseUrl } = this.client.endpoint;
    return {
      lawId: this.law.id,
      clause: this.clause(violation),
      message: violation.message,
      counterexample: counterexample === null ? null : fc.stringify(withPrototypes(counterexample.value)),
      seed: counterexample?.seed ?? this.seed,
      path: counterexample?.path ?? null,
      exchanges: violation.exchanges,
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

  /** Calls of a case that has failed may still run; nothing else is asked before they have ended. */
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

/** The same value for people: that fast-check makes records without a prototype says nothing about a server. */
function withPrototypes(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withPrototypes);
  if (typeof value !== "object" || value === null) return value;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, withPrototypes(field)]));
}

/** Draws each case together with what its arbitrary needs to shrink it. */
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
