/**
 * The rules of a context-free grammar as automata that call each other. `compileRules` transforms them so that a reader
 * needs no look-ahead and has no dead ends:
 *
 * 1. A rule becomes an automaton whose edges are terminals, JSON values and calls of rules.
 * 2. Rules match no empty text: a call of a rule that may be empty can be skipped instead.
 * 3. Edges from which no text can be completed are removed, by a least fixed point.
 * 4. No rule calls itself before it has read a byte: see `WithoutLeftRecursion`.
 */

import { LIMITS } from "../limits.js";
import { components } from "./components.js";
import type { Expression } from "./expressions.js";
import { explore } from "./exploration.js";
import type { Language, Languages } from "./language.js";
import type { ValueNode } from "./values.js";

export interface Rule {
  readonly id: number;
  /** Rules that this one calls before it has read a byte have greater ranks. */
  readonly rank: number;
  readonly start: RuleState;
}

export interface RuleState {
  readonly id: number;
  /** True if the rule may end here. */
  readonly isFinal: boolean;
  /** Number of rules that must be open at the same time to complete the rule from here, at least. */
  readonly need: number;
  readonly edges: readonly RuleEdge[];
}

/** What can be read in a state, at least one byte of it, and the state after it. */
export type RuleEdge =
  | { readonly kind: "text"; readonly language: Language; readonly to: RuleState }
  | { readonly kind: "value"; readonly value: ValueNode; readonly to: RuleState }
  | { readonly kind: "call"; readonly rule: Rule; readonly to: RuleState };

/** True if the rule ends in this state in any case. */
export const isEnd = ({ isFinal, edges }: RuleState): boolean => isFinal && edges.length === 0;

/** Thrown when a grammar cannot be compiled; the message completes "The grammar ...". */
export class RulesError extends Error {
  constructor(
    readonly code: "invalid" | "unsupported",
    message: string,
  ) {
    super(message);
  }
}

/**
 * @param rules collapsed, by name
 * @returns the state before the root
 * @throws RulesError; TooManyStates if the terminals have too many states
 */
export function compileRules(languages: Languages, rules: ReadonlyMap<string, Expression>, root: string): RuleState {
  const nets = new Nets(languages, rules);
  const start = nets.rule(root);
  const isEmptyAllowed = nets.skipEmpty().has(start.start);
  const hasText = nets.prune(start);
  if (!isEmptyAllowed && !hasText)
    throw new RulesError("invalid", `allows no text: no text can be completed from its rule ${root}`);
  const whole = nets.rule(null);
  whole.start.isFinal = isEmptyAllowed;
  if (hasText) whole.start.edges.push({ symbol: start, to: nets.node(whole, true) });
  new WithoutLeftRecursion(nets).apply(whole);
  return new Numbered(languages, whole).state(whole.start);
}

/** A rule while it is compiled. */
interface Net {
  readonly name: string | null;
  start: NetNode;
}

type Terminal =
  { readonly kind: "text"; readonly language: Language } | { readonly kind: "value"; readonly value: ValueNode };

interface NetEdge {
  readonly symbol: Terminal | Net;
  readonly to: NetNode;
}

interface NetNode {
  readonly net: Net;
  isFinal: boolean;
  edges: NetEdge[];
  /** Nodes that are reached without reading. */
  skips: NetNode[];
}

const isNet = (symbol: Terminal | Net): symbol is Net => "start" in symbol;

class Nets {
  readonly languages: Languages;
  readonly #nets = new Map<string, Net>();
  readonly #terminals = new Map<Language, Language>();
  #numNodes = 0;

  constructor(languages: Languages, rules: ReadonlyMap<string, Expression>) {
    this.languages = languages;
    for (const name of rules.keys()) this.#nets.set(name, this.#empty(name));
    for (const [name, expression] of rules) {
      const net = this.#nets.get(name)!;
      net.start = this.#built(net, expression, this.node(net, true));
    }
  }

  /** @param name null for a new rule without a name */
  rule(name: string | null): Net {
    return name === null ? this.#empty(null) : this.#nets.get(name)!;
  }

  node(net: Net, isFinal = false): NetNode {
    this.languages.spend(4);
    if (++this.#numNodes > LIMITS.maxGrammarRuleStates)
      throw new RulesError("unsupported", `needs more than ${LIMITS.maxGrammarRuleStates} states for its rules`);
    return { net, isFinal, edges: [], skips: [] };
  }

  #empty(name: string | null): Net {
    const net = { name } as Net;
    net.start = this.node(net);
    return net;
  }

  /** @returns the node before an expression. @param to the node after it */
  #built(net: Net, expression: Expression, to: NetNode): NetNode {
    this.languages.spend();
    switch (expression.kind) {
      case "text": {
        const language = this.#terminal(expression.language);
        const node = this.node(net);
        if (this.languages.steps(language).targets.length > 0)
          node.edges.push({ symbol: { kind: "text", language }, to });
        if (language.isAccepting) node.skips.push(to);
        return node;
      }
      case "value": {
        const node = this.node(net);
        node.edges.push({ symbol: expression, to });
        return node;
      }
      case "rule": {
        const node = this.node(net);
        node.edges.push({ symbol: this.rule(expression.name), to });
        return node;
      }
      case "concat":
        return expression.parts.reduceRight((next, part) => this.#built(net, part, next), to);
      case "union": {
        const node = this.node(net);
        for (const part of expression.parts) node.skips.push(this.#built(net, part, to));
        return node;
      }
      case "repeat":
        return this.#repeated(net, expression, to);
    }
  }

  #repeated(net: Net, { of, min, max }: Expression & { kind: "repeat" }, to: NetNode): NetNode {
    let first = to;
    if (max === Infinity) {
      first = this.node(net);
      first.skips.push(to, this.#built(net, of, first));
    } else {
      for (let count = min; count < max; count++) {
        const optional = this.node(net);
        optional.skips.push(to, this.#built(net, of, first));
        first = optional;
      }
    }
    for (let count = 0; count < min; count++) {
      const before = first;
      first = this.#built(net, of, before);
      if (first === before) break;
    }
    return first;
  }

  /** Returns the language without dead ends. All its states are known from now on. */
  #terminal(language: Language): Language {
    let terminal = this.#terminals.get(language);
    if (terminal === undefined) {
      terminal = this.languages.settle(language, LIMITS.maxGrammarStates);
      explore(this.languages, terminal, LIMITS.maxGrammarStates);
      this.#terminals.set(language, terminal);
    }
    return terminal;
  }

  /** Lets rules that may be empty be skipped. @returns the nodes from which the end can be reached without reading */
  skipEmpty(): ReadonlySet<NetNode> {
    const calls = this.#calls();
    const before = this.#reversed((node) => node.skips);
    const found = new Set<NetNode>();
    const open: NetNode[] = [];
    const mark = (node: NetNode): void => {
      if (!found.has(node)) open.push(node);
      found.add(node);
    };
    for (const node of this.#all()) if (node.isFinal) mark(node);
    for (let node = open.pop(); node !== undefined; node = open.pop()) {
      for (const from of before.get(node) ?? []) mark(from);
      for (const { from, callee, to } of calls.get(node) ?? [])
        if (found.has(callee.start) && found.has(to)) mark(from);
    }
    for (const list of calls.values())
      for (const { from, callee, to } of list)
        if (found.has(callee.start) && !from.skips.includes(to)) from.skips.push(to);
    return found;
  }

  /**
   * Removes all edges from which the rule cannot be completed, and calls of rules that match only the empty text.
   * @returns true if some text that is not empty belongs to the root
   */
  prune(root: Net): boolean {
    const calls = this.#calls();
    const skipped = this.#reversed((node) => node.skips);
    const read = this.#reversed((node) => node.edges.flatMap(({ symbol, to }) => (isNet(symbol) ? [] : [to])));
    /** Nodes from which a rule can be completed, and those from which it can be with some text. */
    const live = new Set<NetNode>();
    const withText = new Set<NetNode>();
    const open: { readonly node: NetNode; readonly isWithText: boolean }[] = [];
    const mark = (set: Set<NetNode>, node: NetNode): void => {
      if (set.has(node)) return;
      set.add(node);
      open.push({ node, isWithText: set === withText });
    };
    for (const node of this.#all()) if (node.isFinal) mark(live, node);
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      const { node, isWithText } = next;
      this.languages.spend();
      for (const from of skipped.get(node) ?? []) mark(isWithText ? withText : live, from);
      if (!isWithText) {
        for (const from of read.get(node) ?? []) {
          mark(live, from);
          mark(withText, from);
        }
      }
      for (const { from, callee, to } of calls.get(node) ?? []) {
        if (!withText.has(callee.start) || !live.has(to)) continue;
        mark(live, from);
        mark(withText, from);
      }
    }
    for (const node of this.#all())
      node.edges = node.edges.filter(
        ({ symbol, to }) => live.has(to) && (!isNet(symbol) || withText.has(symbol.start)),
      );
    return withText.has(root.start);
  }

  /** Returns the calls, by the node after the call and by the start of the rule that is called. */
  #calls(): Map<NetNode, { readonly from: NetNode; readonly callee: Net; readonly to: NetNode }[]> {
    const calls = new Map<NetNode, { from: NetNode; callee: Net; to: NetNode }[]>();
    for (const from of this.#all()) {
      for (const { symbol, to } of from.edges) {
        if (!isNet(symbol)) continue;
        for (const node of new Set([to, symbol.start])) {
          const list = calls.get(node);
          if (list === undefined) calls.set(node, [{ from, callee: symbol, to }]);
          else list.push({ from, callee: symbol, to });
        }
      }
    }
    return calls;
  }

  #reversed(next: (node: NetNode) => readonly NetNode[]): Map<NetNode, NetNode[]> {
    const before = new Map<NetNode, NetNode[]>();
    for (const node of this.#all()) {
      for (const to of next(node)) {
        const list = before.get(to);
        if (list === undefined) before.set(to, [node]);
        else list.push(node);
      }
    }
    return before;
  }

  /** Returns the nodes of all rules. */
  #all(): NetNode[] {
    const found = new Set<NetNode>();
    for (const net of this.#nets.values()) for (const node of nodesFrom(this.languages, net.start)) found.add(node);
    return [...found];
  }
}

/** Returns the nodes of a rule that can be reached from a node, itself included. */
function nodesFrom(languages: Languages, node: NetNode): Set<NetNode> {
  const found = new Set([node]);
  for (const from of found) {
    languages.spend();
    for (const to of from.skips) found.add(to);
    for (const { to } of from.edges) found.add(to);
  }
  return found;
}

/** Returns the nodes that are reached without reading. */
function skippedTo(languages: Languages, node: NetNode): Set<NetNode> {
  const found = new Set([node]);
  for (const from of found) {
    languages.spend();
    for (const to of from.skips) found.add(to);
  }
  return found;
}

/** Returns the edges that can be read first from a node. */
function firstEdges(languages: Languages, node: NetNode): NetEdge[] {
  return [...skippedTo(languages, node)].flatMap(({ edges }) => edges);
}

/**
 * Left corners instead of left recursion. Let X and Y be rules of one component: each calls the other, maybe through
 * further rules, before it reads. A text of X begins with something that is outside the component, read by some rule of
 * it. That rule is then completed, and becomes the beginning of a rule that calls it first, and so on until X itself is
 * complete. So the automaton of X contains copies of the automata of all rules of its component: it begins behind the
 * edges that lead outside, and where a copy of Y ends, it continues in each rule that calls Y first, behind this call.
 * (Rosenkrantz and Lewis, "Deterministic left corner parsing", 1970.)
 */
class WithoutLeftRecursion {
  readonly #nets: Nets;
  readonly #languages: Languages;
  /** The rules of each component with left recursion. */
  readonly #recursive = new Map<Net, Corners>();

  constructor(nets: Nets) {
    this.#nets = nets;
    this.#languages = nets.languages;
  }

  /** Transforms all rules that a rule needs. */
  apply(whole: Net): void {
    const reached = this.#reached(whole, (net) => net.start);
    const firstCalls = (net: Net): Net[] =>
      firstEdges(this.#languages, net.start).flatMap(({ symbol }) => (isNet(symbol) ? [symbol] : []));
    for (const component of components(reached, firstCalls)) {
      if (component.length === 1 && !firstCalls(component[0]!).includes(component[0]!)) continue;
      const corners = this.#corners(component);
      for (const net of component) this.#recursive.set(net, corners);
    }
    const starts = new Map<Net, NetNode>();
    for (const net of this.#reached(whole, (of) => this.#start(of, starts))) net.start = this.#start(net, starts);
  }

  /** Returns the rules that are called, directly or through others. */
  #reached(whole: Net, startOf: (net: Net) => NetNode): Set<Net> {
    const found = new Set([whole]);
    for (const net of found)
      for (const { edges } of nodesFrom(this.#languages, startOf(net)))
        for (const { symbol } of edges) if (isNet(symbol)) found.add(symbol);
    return found;
  }

  #corners(component: readonly Net[]): Corners {
    const inside = new Set(component);
    const corners: Corners = { outside: [], after: new Map() };
    for (const net of component) {
      for (const edge of firstEdges(this.#languages, net.start)) {
        const { symbol, to } = edge;
        if (!isNet(symbol) || !inside.has(symbol)) {
          corners.outside.push(edge);
          continue;
        }
        const after = corners.after.get(symbol);
        if (after === undefined) corners.after.set(symbol, [to]);
        else after.push(to);
      }
    }
    return corners;
  }

  #start(net: Net, starts: Map<Net, NetNode>): NetNode {
    const corners = this.#recursive.get(net);
    if (corners === undefined) return net.start;
    let start = starts.get(net);
    if (start === undefined) starts.set(net, (start = this.#transformed(net, corners)));
    return start;
  }

  #transformed(net: Net, { outside, after }: Corners): NetNode {
    const copies = new Map<NetNode, NetNode>();
    const open: NetNode[] = [];
    const copyOf = (node: NetNode): NetNode => {
      let copy = copies.get(node);
      if (copy === undefined) {
        copies.set(node, (copy = this.#nets.node(net)));
        open.push(node);
      }
      return copy;
    };
    const copied = ({ symbol, to }: NetEdge): NetEdge => ({ symbol, to: copyOf(to) });
    const start = this.#nets.node(net);
    start.edges = outside.map(copied);
    for (let node = open.pop(); node !== undefined; node = open.pop()) {
      const copy = copies.get(node)!;
      copy.edges = node.edges.map(copied);
      copy.skips = node.skips.map(copyOf);
      this.#languages.spend(copy.edges.length + copy.skips.length);
      if (!node.isFinal) continue;
      copy.isFinal = node.net === net;
      for (const next of after.get(node.net) ?? []) copy.skips.push(copyOf(next));
    }
    return start;
  }
}

/** The beginnings of the rules of a component. */
interface Corners {
  /** First edges that call no rule of the component. */
  readonly outside: NetEdge[];
  /** By rule: the nodes after the calls of this rule that come first in a rule of the component. */
  readonly after: Map<Net, NetNode[]>;
}

/** Numbers the rules, and removes the edges that read nothing. */
class Numbered {
  readonly #languages: Languages;
  readonly #rules = new Map<Net, { id: number; rank: number; start: OpenState }>();
  readonly #states = new Map<string, OpenState>();
  readonly #byNode = new Map<NetNode, OpenState>();
  readonly #nodeIds = new Map<NetNode, number>();
  readonly #all: OpenState[] = [];
  #numEdges = 0;

  constructor(languages: Languages, whole: Net) {
    this.#languages = languages;
    const open: (() => void)[] = [];
    this.#add(whole.start, open);
    for (let fill = open.pop(); fill !== undefined; fill = open.pop()) fill();
    this.#rank();
    this.#computeNeeds();
    const { need } = this.state(whole.start);
    if (need >= LIMITS.maxGrammarStack) {
      const message = `allows only texts whose rules are nested deeper than ${LIMITS.maxGrammarStack} levels`;
      throw new RulesError("unsupported", message);
    }
  }

  state(node: NetNode): RuleState {
    return this.#byNode.get(node)!;
  }

  /** @param open work that is left, which replaces recursion */
  #add(node: NetNode, open: (() => void)[]): OpenState {
    let state = this.#byNode.get(node);
    if (state !== undefined) return state;
    const nodes = [...skippedTo(this.#languages, node)].filter(({ isFinal, edges }) => isFinal || edges.length > 0);
    const key = nodes
      .map((of) => this.#nodeId(of))
      .sort((a, b) => a - b)
      .join();
    state = this.#states.get(key);
    if (state === undefined) {
      state = this.#newState(nodes.some(({ isFinal }) => isFinal));
      this.#states.set(key, state);
      const { edges } = state;
      open.push(() => {
        for (const of of nodes) for (const edge of of.edges) edges.push(this.#edge(edge, open));
        this.#count(edges.length);
      });
    }
    this.#byNode.set(node, state);
    return state;
  }

  #edge({ symbol, to }: NetEdge, open: (() => void)[]): RuleEdge {
    const after = this.#add(to, open);
    if (!isNet(symbol)) return { ...symbol, to: after };
    let rule = this.#rules.get(symbol);
    if (rule === undefined) {
      // A rule never ends at its start, though it may come back to the node.
      const start = this.#newState(false);
      this.#rules.set(symbol, (rule = { id: this.#rules.size, rank: 0, start }));
      open.push(() => {
        for (const edge of firstEdges(this.#languages, symbol.start)) start.edges.push(this.#edge(edge, open));
        this.#count(start.edges.length);
      });
    }
    return { kind: "call", rule, to: after };
  }

  #newState(isFinal: boolean): OpenState {
    const state: OpenState = { id: this.#all.length, isFinal, need: Infinity, edges: [] };
    this.#all.push(state);
    return state;
  }

  #nodeId(node: NetNode): number {
    let id = this.#nodeIds.get(node);
    if (id === undefined) this.#nodeIds.set(node, (id = this.#nodeIds.size));
    return id;
  }

  #count(numEdges: number): void {
    this.#languages.spend(4 * numEdges);
    this.#numEdges += numEdges;
    if (this.#numEdges > LIMITS.maxGrammarEdges)
      throw new RulesError("unsupported", `needs more than ${LIMITS.maxGrammarEdges} transitions for its rules`);
  }

  #rank(): void {
    const rules = [...this.#rules.values()];
    const firstCalls = ({ start }: Rule): Rule[] =>
      start.edges.flatMap((edge) => (edge.kind === "call" ? [edge.rule] : []));
    for (const [index, component] of components<Rule>(rules, firstCalls).reverse().entries())
      for (const rule of component) (rule as { rank: number }).rank = index;
  }

  /** The needs are a least fixed point, found in ascending order as in Knuth's "A generalization of Dijkstra's algorithm". */
  #computeNeeds(): void {
    const before = new Map<OpenState, { readonly from: OpenState; readonly edge: RuleEdge }[]>();
    const depends = (on: RuleState, from: OpenState, edge: RuleEdge): void => {
      const list = before.get(on as OpenState);
      if (list === undefined) before.set(on as OpenState, [{ from, edge }]);
      else list.push({ from, edge });
    };
    for (const from of this.#all) {
      for (const edge of from.edges) {
        depends(edge.to, from, edge);
        if (edge.kind === "call") depends(edge.rule.start, from, edge);
      }
    }
    const byNeed: OpenState[][] = [];
    const settle = (state: OpenState, need: number): void => {
      if (need >= state.need) return;
      state.need = need;
      (byNeed[need] ??= []).push(state);
    };
    for (const state of this.#all) if (state.isFinal) settle(state, 0);
    for (let need = 0; need < byNeed.length; need++) {
      for (const state of byNeed[need] ?? []) {
        if (state.need < need) continue;
        this.#languages.spend();
        for (const { from, edge } of before.get(state) ?? []) settle(from, needOf(edge));
      }
    }
  }
}

interface OpenState extends RuleState {
  need: number;
  readonly edges: RuleEdge[];
}

/**
 * Returns the number of rules that must be open at the same time along an edge, in addition to the rule that contains
 * it. A call that ends its rule replaces it.
 */
export function needOf(edge: RuleEdge): number {
  const { to } = edge;
  if (edge.kind !== "call") return to.need;
  const { need } = edge.rule.start;
  return isEnd(to) ? need : Math.max(to.need, 1 + need);
}
