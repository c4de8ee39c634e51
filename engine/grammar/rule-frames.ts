/**
 * The frames of context-free grammars. A frame reads a terminal, and knows the state of the rule that follows and the
 * stack to which the rule returns. Stacks form a graph, as in Tomita's parser: all callers of a rule at one place of the
 * text share one stack, so the size of the graph grows with the text and not with the number of ways to read it.
 *
 * Rules are as `compileRules` builds them: they match no empty text, and no rule calls itself before it has read a byte.
 * So a rule that is entered at a place of the text does not return there, and `Following` visits each rule once.
 */

import { LIMITS } from "../limits.js";
import { type Configuration, type Entry, Frame, type FrameReader, type FrameTables } from "./frame.js";
import { type FreeText, freeText } from "./free-text.js";
import type { Language, Languages } from "./language.js";
import { type Rule, type RuleState, isEnd, needOf } from "./rules.js";
import { type Return, type Stack, inOrder, placeOf } from "./stacks.js";
import { BETWEEN, nextInText } from "./string-bytes.js";
import type { ValueNode } from "./values.js";

/** Collects the frames that can read the next byte after some states have been reached. */
export class Following {
  readonly #tables: FrameTables;
  readonly #reached = new Map<number, Return>();

  constructor(tables: FrameTables) {
    this.#tables = tables;
  }

  add(state: RuleState, stack: Stack | null): void {
    const place = { state, stack };
    this.#reached.set(placeOf(place), place);
  }

  /** @returns the configuration after a state */
  configuration(state: RuleState, stack: Stack | null, below: Configuration): Configuration {
    this.add(state, stack);
    return this.#tables.configuration(this.entries(below));
  }

  /** @param below the configuration after the whole text */
  entries(below: Configuration): Entry[] {
    const frames = new Set<Frame>();
    const calls = new Calls();
    const isComplete = this.#followAll(frames, calls);
    for (let call = calls.takeFirst(); call !== null; call = calls.takeFirst())
      this.#follow(call.rule.start, this.#tables.stacks.of(call.returns), frames, calls);
    const entries: Entry[] = [...frames].map((frame) => ({ frame, below }));
    return isComplete ? [...entries, ...below.entries] : entries;
  }

  /**
   * Follows the states that were reached, and returns from rules that end there. Beyond a number of visits, which only
   * very ambiguous grammars reach, the remaining readings of the text are dropped. The others can all be completed, so
   * this forbids some answers, the same ones in every process, and leads to no dead end.
   *
   * @returns true if the whole text may end
   */
  #followAll(frames: Set<Frame>, calls: Calls): boolean {
    const open = [...this.#reached.values()].sort(inOrder).reverse();
    const visited = new Set<number>();
    let isComplete = false;
    while (open.length > 0 && visited.size < LIMITS.maxGrammarVisits) {
      const place = open.pop()!;
      const key = placeOf(place);
      if (visited.has(key)) continue;
      visited.add(key);
      const { state, stack } = place;
      this.#follow(state, stack, frames, calls);
      if (!state.isFinal) continue;
      if (stack === null) isComplete = true;
      else for (let index = stack.returns.length - 1; index >= 0; index--) open.push(stack.returns[index]!);
    }
    return isComplete;
  }

  #follow(state: RuleState, stack: Stack | null, frames: Set<Frame>, calls: Calls): void {
    // A call needs a stack in any case.
    const depth = stack?.depth ?? 1;
    for (const edge of state.edges) {
      // Deeper than this, the rest of the text would not fit.
      if (depth + needOf(edge) > LIMITS.maxGrammarStack) continue;
      const { to } = edge;
      switch (edge.kind) {
        case "text":
          frames.add(textFrame(this.#tables, edge.language, BETWEEN, to, stack));
          break;
        case "value": {
          const key = `v${edge.value.id},${to.id},${stack?.id ?? ""}`;
          frames.add(this.#tables.frame(key, (id) => new ValueInRuleFrame(id, edge.value, to, stack)));
          break;
        }
        case "call":
          // A caller that ends with the call is left out, so that right recursion needs no stack.
          if (!isEnd(to)) calls.add(edge.rule, { state: to, stack });
          else if (stack === null) calls.add(edge.rule, { state: to, stack: null });
          else for (const place of stack.returns) calls.add(edge.rule, place);
      }
    }
  }
}

/** The calls of rules at one place of the text, taken so that all callers of a rule come before it. */
class Calls {
  readonly #returns = new Map<Rule, Map<number, Return>>();
  /** By descending rank: the last one is taken next. */
  readonly #rules: Rule[] = [];

  add(rule: Rule, place: Return): void {
    let returns = this.#returns.get(rule);
    if (returns === undefined) {
      this.#returns.set(rule, (returns = new Map()));
      let low = 0;
      let high = this.#rules.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (this.#rules[middle]!.rank > rule.rank) low = middle + 1;
        else high = middle;
      }
      this.#rules.splice(low, 0, rule);
    }
    returns.set(placeOf(place), place);
  }

  takeFirst(): { readonly rule: Rule; readonly returns: readonly Return[] } | null {
    const rule = this.#rules.pop();
    return rule === undefined ? null : { rule, returns: [...this.#returns.get(rule)!.values()] };
  }
}

/** Inside a terminal of a rule. */
class TextInRuleFrame extends Frame {
  constructor(
    id: number,
    readonly language: Language,
    readonly part: number,
    /** The state after the terminal. */
    readonly to: RuleState,
    readonly stack: Stack | null,
  ) {
    super(id);
  }

  override freeText(languages: Languages): FreeText {
    const free = freeText(languages, this);
    // After fewer characters than that, the rule may go on with others.
    return { ...free, isLimit: free.maxCodePoints === Infinity };
  }

  override read(reader: FrameReader, below: Configuration): void {
    const { tables, languages, byte } = reader;
    const { to, stack } = this;
    const next = nextInText(languages, this, byte);
    if (next === null) return;
    const { language, part } = next;
    if (part === BETWEEN && language.isAccepting) reader.enter(to, stack, below);
    if (part !== BETWEEN || languages.steps(language).targets.length > 0)
      reader.become(textFrame(tables, language, part, to, stack), below);
  }
}

function textFrame(tables: FrameTables, language: Language, part: number, to: RuleState, stack: Stack | null): Frame {
  const key = `t${language.id},${part},${to.id},${stack?.id ?? ""}`;
  return tables.frame(key, (id) => new TextInRuleFrame(id, language, part, to, stack));
}

/** Before a JSON value in a rule. */
class ValueInRuleFrame extends Frame {
  constructor(
    id: number,
    readonly value: ValueNode,
    readonly to: RuleState,
    readonly stack: Stack | null,
  ) {
    super(id);
  }

  override read(reader: FrameReader, below: Configuration): void {
    const after = new Following(reader.tables).configuration(this.to, this.stack, below);
    reader.beginValueIn(this.value, after);
  }
}
