/** The syntax tree of a Jinja template, from the parser to the interpreter. */

import type { Float } from "./jinja-values.js";

export type Statement =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "output"; readonly value: Expression }
  | {
      readonly type: "if";
      readonly branches: readonly { readonly test: Expression; readonly body: readonly Statement[] }[];
      readonly otherwise: readonly Statement[];
    }
  | ForStatement
  | { readonly type: "set"; readonly target: Target; readonly value: Expression }
  | {
      readonly type: "setBlock";
      readonly target: Target;
      readonly filters: readonly FilterCall[];
      readonly body: readonly Statement[];
    }
  | { readonly type: "macro"; readonly macro: MacroDefinition }
  | { readonly type: "call"; readonly call: CallExpression; readonly caller: MacroDefinition }
  | { readonly type: "filter"; readonly filters: readonly FilterCall[]; readonly body: readonly Statement[] }
  /** Values are computed outside of the block. */
  | {
      readonly type: "with";
      readonly variables: readonly { readonly target: Target; readonly value: Expression }[];
      readonly body: readonly Statement[];
    }
  | { readonly type: "break" }
  | { readonly type: "continue" };

export interface ForStatement {
  readonly type: "for";
  readonly target: Target;
  readonly items: Expression;
  /** Condition for an item to be visited; null for all items. */
  readonly test: Expression | null;
  readonly isRecursive: boolean;
  readonly body: readonly Statement[];
  readonly otherwise: readonly Statement[];
}

export interface MacroDefinition {
  readonly name: string;
  readonly parameters: readonly { readonly name: string; readonly absent: Expression | null }[];
  readonly body: readonly Statement[];
  /** Which of `varargs`, `kwargs` and `caller` the macro reads; only then it accepts further arguments. */
  readonly reads: ReadonlySet<string>;
}

/** What a value is assigned to. */
export type Target =
  | { readonly type: "name"; readonly name: string }
  | { readonly type: "attribute"; readonly object: string; readonly attribute: string }
  | { readonly type: "targets"; readonly targets: readonly Target[] };

export type Expression =
  | { readonly type: "constant"; readonly value: null | boolean | number | string | Float }
  | { readonly type: "name"; readonly name: string }
  | { readonly type: "list"; readonly items: readonly Expression[] }
  | { readonly type: "tuple"; readonly items: readonly Expression[] }
  | { readonly type: "mapping"; readonly entries: readonly (readonly [key: Expression, value: Expression])[] }
  | { readonly type: "attribute"; readonly object: Expression; readonly name: string }
  | { readonly type: "element"; readonly object: Expression; readonly key: Expression }
  | {
      readonly type: "slice";
      readonly object: Expression;
      readonly start: Expression | null;
      readonly stop: Expression | null;
      readonly step: Expression | null;
    }
  | CallExpression
  | { readonly type: "filter"; readonly operand: Expression; readonly filter: FilterCall }
  | {
      readonly type: "test";
      readonly operand: Expression;
      readonly name: string;
      readonly args: Arguments;
      readonly isNegated: boolean;
    }
  | { readonly type: "unary"; readonly operator: "not" | "-" | "+"; readonly operand: Expression }
  | {
      readonly type: "binary";
      readonly operator: string;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly type: "and"; readonly left: Expression; readonly right: Expression }
  | { readonly type: "or"; readonly left: Expression; readonly right: Expression }
  | { readonly type: "concat"; readonly parts: readonly Expression[] }
  /** `a < b < c` is true if both comparisons are; `b` is computed once. */
  | {
      readonly type: "compare";
      readonly first: Expression;
      readonly rest: readonly { readonly operator: string; readonly operand: Expression }[];
    }
  | {
      readonly type: "condition";
      readonly test: Expression;
      readonly value: Expression;
      readonly otherwise: Expression | null;
    };

export interface CallExpression {
  readonly type: "call";
  readonly callee: Expression;
  readonly args: Arguments;
}

export interface FilterCall {
  readonly name: string;
  readonly args: Arguments;
}

export interface Arguments {
  readonly positional: readonly Expression[];
  readonly named: readonly (readonly [name: string, value: Expression])[];
  /** The value after `*`. */
  readonly rest: Expression | null;
  /** The value after `**`. */
  readonly namedRest: Expression | null;
}
