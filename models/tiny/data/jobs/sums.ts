/** Tools that compute. */

import { capitalize, fill } from "../example.js";
import { name } from "../names.js";
import type { Random } from "../random.js";
import { madeUpWord } from "../words.js";
import { amount, compound, decimal, type Job, makeTool, NUMBER, numeric, parameter, STRING, valuesOf } from "./tool.js";

interface Operation {
  names: readonly string[];
  descriptions: readonly string[];
  asks: readonly string[];
}

export const OPERATIONS: readonly Operation[] = [
  {
    names: ["add", "sum", "plus", "add_numbers", "addition", "calculate_sum", "addTwo"],
    descriptions: [
      "Add two numbers.",
      "Adds two numbers together",
      "Returns the sum of two numbers.",
      "Add two numbers together",
    ],
    asks: [
      "What is {a} + {b}?",
      "What is {a} plus {b}?",
      "Add {a} and {b}.",
      "{a} + {b}",
      "{a}+{b}=?",
      "What is the sum of {a} and {b}?",
      "Calculate {a} + {b}.",
      "How much is {a} plus {b}?",
      "I have {a} apples and get {b} more. How many do I have?",
    ],
  },
  {
    names: ["subtract", "minus", "difference", "sub", "subtract_numbers", "take_away"],
    descriptions: [
      "Subtract two numbers.",
      "Subtracts the second number from the first",
      "Returns the difference of two numbers.",
    ],
    asks: [
      "What is {a} - {b}?",
      "What is {a} minus {b}?",
      "{a} - {b}",
      "Calculate {a} minus {b}.",
      "How much is {a} - {b}?",
      "Work out {a} less {b}.",
      "I have {a} coins and spend {b}. How many are left?",
    ],
  },
  {
    names: ["multiply", "times", "product", "mul", "multiply_numbers", "multiplication"],
    descriptions: ["Multiply two numbers.", "Multiplies two numbers", "Returns the product of two numbers."],
    asks: [
      "What is {a} × {b}?",
      "What is {a} * {b}?",
      "What is {a} times {b}?",
      "Multiply {a} by {b}.",
      "Multiply {a} and {b}.",
      "What is the product of {a} and {b}?",
      "{a} * {b}",
      "How much is {a} x {b}?",
    ],
  },
  {
    names: ["divide", "division", "quotient", "div", "divide_numbers"],
    descriptions: [
      "Divide two numbers.",
      "Divides the first number by the second",
      "Returns the quotient of two numbers.",
    ],
    asks: [
      "What is {a} / {b}?",
      "What is {a} divided by {b}?",
      "Divide {a} by {b}.",
      "{a} / {b}",
      "How much is {a} divided by {b}?",
      "Calculate {a} / {b}.",
    ],
  },
  {
    names: ["power", "pow", "exponent", "raise"],
    descriptions: ["Raise a number to a power.", "Returns the power of a number"],
    asks: ["What is {a} to the power of {b}?", "Raise {a} to the power {b}.", "{a} to the power of {b}", "{a}^{b}"],
  },
  {
    names: ["modulo", "mod", "remainder", "rest"],
    descriptions: ["Remainder of a division.", "Returns the remainder of two numbers"],
    asks: ["What is the remainder of {a} divided by {b}?", "{a} mod {b}", "What is {a} modulo {b}?"],
  },
];

export function compute(random: Random): Job {
  const operation = random.pick(OPERATIONS);
  const names = random.pick([
    ["a", "b"],
    ["x", "y"],
    ["first", "second"],
    ["left", "right"],
    ["num1", "num2"],
    ["n", "m"],
    ["p", "q"],
    ["number_one", "number_two"],
    ["value_a", "value_b"],
    [madeUpWord(random), madeUpWord(random)],
  ]);
  const schema = numeric(random);
  const parameters = names.map((one, index) => ({
    name: one,
    schema: random.chance(0.3) ? { ...schema, description: `The ${["first", "second"][index]} number` } : schema,
    isOptional: false,
  }));
  const tool = makeTool(random, random.pick(operation.names), operation.descriptions, parameters);
  return {
    tool,
    topic: operation.names[0] as string,
    both(random) {
      const [a, b, c, d] = [amount(random), amount(random), amount(random), amount(random)];
      const [first, second] = [
        fill(operation.asks[0] as string, { a, b }),
        fill(operation.asks[0] as string, { a: c, b: d }),
      ];
      const text = `${first.replace(/[?]$/, "")} and ${second.replace(/^What is /, "")}`;
      return { text, args: [valuesOf(parameters, [a, b]), valuesOf(parameters, [c, d])] };
    },
    request(random) {
      const draw = () => (schema === NUMBER && random.chance(0.15) ? decimal(random) : amount(random));
      const [a, b] = [draw(), draw()];
      return { text: fill(random.pick(operation.asks), { a, b }), args: valuesOf(parameters, [a, b]) };
    },
  };
}

export function calculator(random: Random): Job {
  const parameters = [
    parameter(random, ["expression", "formula", "input", "expr"], STRING, [
      "Expression to compute",
      "A formula such as 1 + 2",
    ]),
  ];
  const tool = makeTool(
    random,
    random.pick(["calculator", "calculate", "evaluate", "compute", "math", "calc"]),
    ["Evaluate an expression.", "A calculator", "Computes a formula", "Useful for math"],
    parameters,
  );
  return {
    tool,
    topic: "calculator",
    request(random) {
      const terms = Array.from({ length: random.integer(2, 4) }, () => amount(random));
      const formula = terms.reduce(
        (text, term, index) => (index === 0 ? String(term) : `${text} ${random.pick(["+", "-", "*", "/"])} ${term}`),
        "",
      );
      const text = fill(
        random.pick([
          "What is {formula}?",
          "Calculate {formula}.",
          "{formula}",
          "Compute {formula}",
          "How much is {formula}?",
          "Evaluate {formula}.",
        ]),
        { formula },
      );
      return { text, args: valuesOf(parameters, [formula]) };
    },
  };
}

const UNITS: readonly (readonly [string, readonly string[]])[] = [
  ["currency", ["euros", "dollars", "pounds", "yen", "francs"]],
  ["currency", ["USD", "EUR", "GBP", "JPY", "CHF"]],
  ["length", ["meters", "feet", "miles", "inches", "yards"]],
  ["weight", ["grams", "pounds", "ounces", "tons", "stones"]],
  ["temperature", ["celsius", "fahrenheit", "kelvin"]],
  ["time", ["hours", "minutes", "seconds", "days"]],
];

export function convert(random: Random): Job {
  const [what, units] = random.pick(UNITS);
  const [from, to, value] = [
    parameter(random, ["from", "source", "from_unit", "base"], STRING, ["Unit to convert from"]),
    parameter(random, ["to", "target", "to_unit", "into"], STRING, ["Unit to convert to"]),
    parameter(random, ["amount", "value", "number", "quantity"], NUMBER, ["How much to convert"]),
  ];
  const order = random.pick([
    [value, from, to],
    [from, to, value],
  ]);
  const tool = makeTool(
    random,
    compound(random, ["convert", "change", "exchange"], what),
    [`Convert a ${what}.`, `Converts ${what} from one unit to another`, `Change ${what} units`],
    order,
  );
  return {
    tool,
    topic: `convert ${what}`,
    request(random) {
      const [one, other] = random.sample(units, 2);
      const much = random.chance(0.2) ? decimal(random) : amount(random);
      const text = fill(
        random.pick([
          "Convert {much} {one} to {other}.",
          "How much is {much} {one} in {other}?",
          "What is {much} {one} in {other}?",
          "{much} {one} in {other}",
          "Change {much} {one} into {other}.",
          "How many {other} are {much} {one}?",
        ]),
        { much, one: one as string, other: other as string },
      );
      return { text, args: valuesOf(order, order[0] === value ? [much, one, other] : [one, other, much]) };
    },
  };
}

export function list(random: Random): Job {
  const ofNumbers = random.chance(0.6);
  const verb = random.pick(
    ofNumbers
      ? ["average", "maximum", "minimum", "median", "total", "sort", "mean"]
      : ["greet", "invite", "remove", "count", "mail", "shuffle"],
  );
  const what = ofNumbers ? "numbers" : random.pick(["people", "names", "guests", "friends", "users"]);
  const values = parameter(
    random,
    ofNumbers ? ["numbers", "values", "list", "data"] : ["names", "people", "list", "guests"],
    { type: "array", items: ofNumbers ? numeric(random) : STRING },
    [`The ${what}`, `List of ${what}`],
  );
  const tool = makeTool(
    random,
    random.pick([`${verb}_${what}`, verb, `${verb}${capitalize(what)}`, `get_${verb}`]),
    [`${capitalize(verb)} of ${what}.`, `The ${verb} of a list of ${what}`, `${capitalize(verb)} the ${what}`],
    [values],
  );
  return {
    tool,
    topic: verb,
    request(random) {
      const given = Array.from({ length: random.integer(2, 5) }, () => (ofNumbers ? amount(random) : name(random)));
      const shown = random.chance(0.6) ? given.join(", ") : `${given.slice(0, -1).join(", ")} and ${given.at(-1)}`;
      const text = ofNumbers
        ? random.pick([
            `What is the ${verb} of ${shown}?`,
            `${verb} of ${shown}`,
            `Find the ${verb} of the numbers ${shown}.`,
            `${verb}: ${shown}`,
          ])
        : random.pick([`${verb} ${shown}.`, `Please ${verb} ${shown}.`, `${verb} the ${what} ${shown}.`]);
      return { text: capitalize(text), args: valuesOf([values], [given]) };
    },
  };
}
