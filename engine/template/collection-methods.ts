/** Methods of mappings, lists and tuples. As in the sandbox that templates are written for, none changes its value. */

import { type Builtin, builtin, integerOf } from "./arguments.js";
import { type Callable, Tuple, type Value, View, isEqual, iterate, keyFor } from "./jinja-values.js";
import { addEntries, keyText } from "./mapping-keys.js";
import type { RenderBudget } from "./render-budget.js";
import { SafeText, isText } from "./sourced-text.js";
import { TEXT_METHODS } from "./text-methods.js";

type Mapping = Map<string | number, Value>;

const MAPPING_METHODS: Readonly<Record<string, Builtin<Mapping>>> = {
  copy: builtin("", (own, _, budget) => {
    budget.allocateItems(4 * own.size);
    const copy: Mapping = new Map();
    addEntries(copy, own);
    return copy;
  }),
  get: builtin("key, default?, /", (own, [key, absent = null], budget) => {
    const found = keyFor(key!, budget);
    const value = found === undefined ? undefined : own.get(found);
    return value === undefined ? absent : value;
  }),
  items: builtin("", (own, _, budget) => new View("dict_items", entriesOf(own, budget))),
  keys: builtin("", (own, _, budget) => new View("dict_keys", iterate(own, budget))),
  values: builtin("", (own, _, budget) => {
    budget.allocateItems(own.size);
    return new View("dict_values", [...own.values()]);
  }),
};

const SEQUENCE_METHODS: Readonly<Record<string, Builtin<readonly Value[]>>> = {
  count: builtin("value, /", (own, [value], budget) => own.filter((each) => isEqual(each, value!, budget)).length),
  index: builtin("value, start?, stop?, /", (own, [value, start, stop], budget) => {
    const place = (given: Value | undefined, absent: number): number => {
      const index = integerOf(given, absent, "a place in a list");
      return index < 0 ? Math.max(0, index + own.length) : index;
    };
    const [first, end] = [place(start, 0), place(stop, own.length)];
    for (let i = first; i < Math.min(end, own.length); i++) if (isEqual(own[i]!, value!, budget)) return i;
    throw new RangeError("the value is not in the list");
  }),
};

/** Returns the method of a value, or undefined if it has no method of this name. */
export function methodOf(value: Value, name: string): Callable | undefined {
  if (isText(value)) {
    if (value instanceof SafeText && ESCAPING_METHODS.has(name))
      throw new TypeError(`${name}() of text that is marked as safe is not supported`);
    return methodIn(TEXT_METHODS, value, name);
  }
  if (value instanceof Map) return methodIn(MAPPING_METHODS, value, name);
  if (Array.isArray(value))
    return methodIn(LIST_METHODS, value, name) ?? methodIn<readonly Value[]>(SEQUENCE_METHODS, value, name);
  return value instanceof Tuple ? methodIn(SEQUENCE_METHODS, value.items, name) : undefined;
}

/** Methods that would escape their arguments. */
const ESCAPING_METHODS: ReadonlySet<string> = new Set([
  "center",
  "format",
  "format_map",
  "join",
  "ljust",
  "replace",
  "rjust",
]);

const LIST_METHODS: Readonly<Record<string, Builtin<Value[]>>> = {
  copy: builtin("", (own, _, budget) => {
    budget.allocateItems(own.length);
    return [...own];
  }),
};

function methodIn<Own>(methods: Readonly<Record<string, Builtin<Own>>>, own: Own, name: string): Callable | undefined {
  const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
  return method === undefined ? undefined : (call) => method(own, call, `${name}()`);
}

export function entriesOf(own: Mapping, budget: RenderBudget): Tuple[] {
  budget.allocateItems(4 * own.size);
  return Array.from(own, ([key, value]) => new Tuple([keyText(own, key), value]));
}
