/**
 * Tools that are made up, and requests that only such a tool can do. Names, parameters and wording vary, so that a
 * model has to read the tools that it gets.
 */

import { capitalize, fill } from "./example.js";
import { city, COLORS, item, name } from "./names.js";
import type { Random } from "./random.js";
import { COMMON_WORDS, madeUpWord } from "./words.js";

type Json = Record<string, unknown>;

export interface Tool {
  type: "function";
  function: { name: string; description?: string; parameters?: Json };
}

export interface Request {
  text: string;
  /** In the order of the tool's parameters. */
  args: Json;
}

export interface Job {
  tool: Tool;
  /** What the requests are about; two jobs with the same topic could be confused. */
  topic: string;
  request(random: Random): Request;
  /** Two requests in one sentence. */
  both?(random: Random): { text: string; args: readonly [Json, Json] };
  /** A request that is short after another one. */
  again?(random: Random): Request;
}

/** A random tool with its requests. */
export function randomJob(random: Random): Job {
  return random.pick(DRAWER)(random);
}

/** The name and the parameters of a tool: it is unseen if no tool with these was trained on. */
export function toolKey({ function: { name: called, parameters } }: Tool): string {
  return `tool:${called}:${Object.keys((parameters?.["properties"] ?? {}) as Json).join(":")}`;
}

interface Parameter {
  name: string;
  schema: Json;
  isOptional: boolean;
  /** True for an optional parameter that is required and may be null. */
  isNullable?: boolean;
}

function parameter(
  random: Random,
  names: readonly string[],
  schema: Json,
  descriptions: readonly string[] = [],
  isOptional = false,
): Parameter {
  const called = random.chance(0.95) ? random.pick(names) : madeUpWord(random);
  const described = descriptions.length > 0 && random.chance(0.5);
  return {
    name: called,
    schema: described ? { ...schema, description: random.pick(descriptions) } : schema,
    isOptional,
    ...(isOptional && random.chance(0.5) ? { isNullable: true } : {}),
  };
}

function makeTool(
  random: Random,
  called: string,
  descriptions: readonly string[],
  parameters: readonly Parameter[],
): Tool {
  const taken = new Set<string>();
  for (const one of parameters) {
    while (taken.has(one.name)) one.name += random.pick(["2", "_b", "_two"]);
    taken.add(one.name);
  }
  const more = random.chance(0.12) ? ` ${remark(random)}` : "";
  const described = random.chance(0.9) ? { description: random.pick(descriptions) + more } : {};
  const required = parameters
    .filter(({ isOptional, isNullable }) => !isOptional || isNullable === true)
    .map((one) => one.name);
  const schema: Json = {
    type: "object",
    properties: Object.fromEntries(
      parameters.map((one) => [one.name, one.isNullable === true ? nullable(random, one.schema) : one.schema]),
    ),
    ...(required.length > 0 || random.chance(0.5) ? { required } : {}),
    ...(random.chance(0.5) ? { additionalProperties: false } : {}),
  };
  const isBare = parameters.length === 0 && random.chance(0.5);
  return { type: "function", function: { name: called, ...described, ...(isBare ? {} : { parameters: schema }) } };
}

/** What people add to the description of a tool, and which does not tell it from others. */
function remark(random: Random): string {
  const word = random.pick(COMMON_WORDS);
  return random.pick([
    "Use it when the user asks.",
    `Returns a ${word}.`,
    "Returns JSON.",
    "Call it only once.",
    `It needs a ${word}.`,
    `Ask for the ${word} first.`,
    "The result is a text.",
    `Does not work without the ${word}.`,
    "Use this tool to help the user.",
  ]);
}

/** As clients write an optional parameter where all parameters must be required. */
function nullable(random: Random, { description, ...schema }: Json): Json {
  const described = description === undefined ? {} : { description };
  if (typeof schema["type"] === "string" && schema["enum"] === undefined && random.chance(0.3))
    return { ...schema, type: [schema["type"], "null"], ...described };
  return { anyOf: [schema, { type: "null" }], ...described };
}

/** The given values under the parameters' names; undefined for those that are left out. */
function valuesOf(parameters: readonly Parameter[], values: readonly unknown[]): Json {
  return Object.fromEntries(
    parameters.flatMap((one, index) => {
      const value = values[index];
      if (value !== undefined) return [[one.name, value]];
      return one.isNullable === true ? [[one.name, null]] : [];
    }),
  );
}

const STRING = { type: "string" };
const NUMBER = { type: "number" };
const INTEGER = { type: "integer" };

function numeric(random: Random): Json {
  return random.chance(0.6) ? NUMBER : INTEGER;
}

/** get_weather, getWeather, get-weather, or weather. */
function compound(random: Random, verbs: readonly string[], noun: string): string {
  const words = noun.split(" ");
  const verb = random.pick(verbs);
  const style = random.float();
  if (style < 0.62) return [verb, ...words].join("_");
  if (style < 0.8) return verb + words.map(capitalize).join("");
  if (style < 0.86) return [verb, ...words].join("-");
  if (style < 0.93) return [...words, verb].join("_");
  return words.join("_");
}

function amount(random: Random): number {
  const digits = random.pick([1, 1, 2, 2, 3, 3, 4, 5, 6]);
  const whole = random.integer(digits === 1 ? 0 : 10 ** (digits - 1), 10 ** digits - 1);
  return whole;
}

function decimal(random: Random): number {
  return random.integer(1, 9999) / random.pick([10, 100]);
}

function words(random: Random, low: number, high: number): string {
  return Array.from({ length: random.integer(low, high) }, () =>
    random.chance(0.85) ? random.pick(COMMON_WORDS) : madeUpWord(random),
  ).join(" ");
}

function noun(random: Random, nouns: readonly string[]): string {
  const kind = random.float();
  if (kind < 0.5) return random.pick(nouns);
  if (kind < 0.85) return random.pick(COMMON_WORDS);
  return madeUpWord(random);
}

function spread(text: string): readonly string[] {
  return text.trim().split(/\s*,\s*/);
}

const LOOKUPS = spread(
  "weather, weather, weather, weather, temperature, humidity, forecast, population, traffic, time, news, mayor, altitude, air quality, exchange rate, tax, rent, rainfall, noise, parking, schedule, opening hours, postal code, area code, sunrise, sunset, event list, ticket price, bus line, wind, snow, tide, water level",
);

function lookup(random: Random): Job {
  const what = noun(random, LOOKUPS);
  const place = parameter(random, ["city", "location", "place", "town", "where", "city_name", "q"], STRING, [
    "Name of the city",
    "The city",
    "City to look up",
    "The place, such as Paris",
  ]);
  const units = random.pick([
    ["celsius", "fahrenheit"],
    ["metric", "imperial"],
    ["short", "long"],
  ]);
  const hasUnit = random.chance(0.35);
  const unit = parameter(
    random,
    ["unit", "units", "format", "form"],
    { type: "string", enum: units },
    ["The unit"],
    true,
  );
  const days = parameter(random, ["days", "hours", "day_count"], INTEGER, ["How many days"], true);
  const parameters = hasUnit ? (random.chance(0.4) ? [place, unit, days] : [place, unit]) : [place];
  const tool = makeTool(
    random,
    compound(random, ["get", "find", "fetch", "check", "read", "show", "current", "lookup"], what),
    [
      `Get the ${what} in a city.`,
      `Returns the ${what} of a place`,
      `Current ${what} in a given city`,
      `Look up the ${what} for a city.`,
      `${capitalize(what)} in a city`,
    ],
    parameters,
  );
  return {
    tool,
    topic: what,
    again(random) {
      const where = city(random);
      const asks = ["And in {where}?", "What about {where}?", "And {where}?", "How about {where}?", "Now {where}."];
      return { text: fill(random.pick(asks), { where }), args: valuesOf(parameters, [where]) };
    },
    both(random) {
      const [one, other] = [city(random), city(random)];
      const text = fill(
        random.pick([
          "What is the {what} in {one} and in {other}?",
          "What is the {what} in {one} and {other}?",
          "Tell me the {what} in {one} and {other}.",
          "Compare the {what} in {one} with {other}.",
          "How is the {what} in {one} and in {other}?",
          "{what} in {one} and {other}",
          "I need the {what} for {one} and for {other}.",
        ]),
        { what, one, other },
      );
      return { text, args: [valuesOf(parameters, [one]), valuesOf(parameters, [other])] };
    },
    request(random) {
      const where = city(random);
      const text = fill(
        random.pick([
          "What is the {what} in {where}?",
          "What is the {what} in {where}?",
          "What's the {what} in {where}?",
          "How is the {what} in {where}?",
          "How's the {what} in {where} today?",
          "Tell me the {what} in {where}.",
          "{what} in {where}?",
          "I need the {what} for {where}.",
          "Get the {what} of {where}.",
          "Can you check the {what} in {where}?",
          "Look up the {what} in {where}.",
          "Please show me the {what} for {where}.",
          "What {what} does {where} have?",
          "I am in {where}. What is the {what}?",
          "Check {where} for its {what}.",
        ]),
        { what, where },
      );
      if (!hasUnit || random.chance(0.5)) return { text, args: valuesOf(parameters, [where]) };
      const chosen = random.pick(units);
      return {
        text: `${text.replace(/[.?]$/, "")} in ${chosen}${text.endsWith("?") ? "?" : "."}`,
        args: valuesOf(parameters, [where, chosen]),
      };
    },
  };
}

const ENTITIES = spread(
  "order, user, customer, ticket, invoice, product, account, package, flight, train, room, server, student, patient, machine, car, contract, payment, book, parcel",
);
const ASPECTS = spread(
  "status, price, owner, date, address, size, balance, color, name, weight, history, score, level, phone number, email",
);

function entity(random: Random): Job {
  const thing = noun(random, ENTITIES);
  const aspect = random.pick(ASPECTS);
  const isWhole = random.chance(0.3); // the tool gives all aspects
  const isNumber = random.chance(0.5);
  const id = parameter(
    random,
    [`${thing}_id`, "id", `${thing}Id`, "number", thing, `${thing}_number`, "key"],
    isNumber ? INTEGER : STRING,
    [`The ${thing}`, `Id of the ${thing}`, `Number of the ${thing}`],
  );
  const tool = makeTool(
    random,
    compound(
      random,
      ["get", "find", "fetch", "check", "read", ...(isWhole ? ["lookup", "look_up", "show"] : [])],
      isWhole ? thing : `${thing} ${aspect}`,
    ),
    isWhole
      ? [`Look up a ${thing} by its id.`, `Get a ${thing}.`, `Returns the ${thing} with an id`, `Details of a ${thing}`]
      : [
          `Get the ${aspect} of a ${thing}.`,
          `Returns the ${aspect} for a ${thing}`,
          `${capitalize(thing)} ${aspect} by id`,
        ],
    [id],
  );
  return {
    tool,
    topic: isWhole ? thing : `${thing} ${aspect}`,
    request(random) {
      const value = isNumber
        ? random.integer(1, random.pick([9, 99, 9999, 99999]))
        : random.pick([
            () => `${madeUpWord(random).slice(0, 3).toUpperCase()}${random.integer(1, 999)}`,
            () => `${random.pick([..."ABCDEFGHKLMNPQRSTXZ"])}-${random.integer(10, 9999)}`,
            () => name(random),
          ])();
      const text = fill(
        random.pick([
          "What is the {aspect} of {thing} {value}?",
          "Tell me the {aspect} of the {thing} {value}.",
          "{aspect} of {thing} {value}?",
          "I want to know the {aspect} of {thing} {value}.",
          "Give me the {aspect} for {thing} {value}.",
          "Check the {aspect} of {thing} number {value}.",
          "Look up {thing} {value} and tell me its {aspect}.",
          "Which {aspect} does {thing} {value} have?",
          "Find the {aspect} of {thing} {value}, please.",
        ]),
        { thing, aspect, value },
      );
      return { text, args: valuesOf([id], [value]) };
    },
  };
}

interface Operation {
  names: readonly string[];
  descriptions: readonly string[];
  asks: readonly string[];
}

const OPERATIONS: readonly Operation[] = [
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

function compute(random: Random): Job {
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

function calculator(random: Random): Job {
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

const SAYINGS = spread(
  "see you at five, lunch is ready, the meeting is at noon, call me back, happy birthday, I am late, the train is late, come home soon, thank you for the help, dinner is at eight, I will be there soon, the door is open, we won the game, good luck tomorrow, the book is on the table",
);

function saying(random: Random): string {
  const kind = random.float();
  if (kind < 0.5) return random.pick(SAYINGS);
  if (kind < 0.7) return `the ${random.pick(COMMON_WORDS)} is in the ${random.pick(COMMON_WORDS)}`;
  return words(random, 1, 5);
}

function message(random: Random): Job {
  const what = noun(random, spread("email, message, text, note, mail, letter, postcard, fax, reply, gift card"));
  const to = parameter(random, ["to", "recipient", "person", "name", "receiver", "contact"], STRING, [
    "Who gets it",
    "Name of the person",
    "The recipient",
  ]);
  const body = parameter(random, ["text", "body", "message", "content", "words"], STRING, [
    "The text",
    "What to say",
    "Text of the message",
  ]);
  const parameters = random.chance(0.8) ? [to, body] : [body, to];
  const tool = makeTool(
    random,
    compound(random, ["send", "write", "post", "deliver"], what),
    [`Send a ${what} to a person.`, `Sends a ${what}`, `Write a ${what} to somebody`],
    parameters,
  );
  return {
    tool,
    topic: what,
    request(random) {
      const [person, said] = [name(random), saying(random)];
      const text = fill(
        random.pick([
          'Send a {what} to {person}: "{said}"',
          'Send {person} a {what} saying "{said}".',
          "Send a {what} to {person} that says {said}.",
          "Write a {what} to {person}: {said}",
          "Send {person} the {what} {said}",
          'Please send a {what} with the text "{said}" to {person}.',
          "{what} to {person}: {said}",
        ]),
        { what, person, said },
      );
      return { text, args: valuesOf(parameters, to === parameters[0] ? [person, said] : [said, person]) };
    },
  };
}

function search(random: Random): Job {
  const what = noun(
    random,
    spread(
      "books, web, files, products, songs, movies, recipes, photos, articles, hotels, jobs, users, documents, houses, videos",
    ),
  );
  const query = parameter(random, ["query", "q", "text", "term", "keyword", "search", "topic"], STRING, [
    "What to search for",
    "The search term",
    "Words to look for",
  ]);
  const limit = parameter(random, ["limit", "count", "max_results", "n", "top"], INTEGER, ["How many results"], true);
  const hasLimit = random.chance(0.3);
  const parameters = hasLimit ? [query, limit] : [query];
  const tool = makeTool(
    random,
    compound(random, ["search", "find", "query", "browse"], what),
    [`Search ${what}.`, `Find ${what} by a query`, `Searches for ${what}`, `Search the ${what} for a text`],
    parameters,
  );
  return {
    tool,
    topic: what,
    request(random) {
      const looked = words(random, 1, 3);
      const values = { what, looked };
      if (hasLimit && random.chance(0.5)) {
        const count = random.integer(1, 20);
        const text = fill(
          random.pick([
            "Find {count} {what} about {looked}.",
            "Show me {count} {what} on {looked}.",
            "Search {what} for {looked}, {count} results.",
          ]),
          { ...values, count },
        );
        return { text, args: valuesOf(parameters, [looked, count]) };
      }
      const text = fill(
        random.pick([
          "Search the {what} for {looked}.",
          "Find {what} about {looked}.",
          "Look for {looked} in the {what}.",
          "Search {what}: {looked}",
          "I am looking for {what} about {looked}.",
          'Search for "{looked}" in {what}.',
          "Are there {what} about {looked}?",
          "Find me {what} on {looked}",
        ]),
        values,
      );
      return { text, args: valuesOf(parameters, [looked]) };
    },
  };
}

const DEVICES = spread(
  "lamp, heater, fan, radio, door, window, oven, alarm, pump, screen, camera, robot, engine, fridge, garage, music, light, curtain, volume, clock",
);
const ROOMS = spread("kitchen, garden, bedroom, office, garage, hall, cellar, bathroom, attic");

function control(random: Random): Job {
  const device = noun(random, DEVICES);
  const kind = random.pick(["level", "state", "switch", "color"] as const);
  const schema: Record<typeof kind, Json> = {
    level: INTEGER,
    state: { type: "string", enum: ["on", "off"] },
    switch: { type: "boolean" },
    color: { type: "string" },
  };
  const names: Record<typeof kind, readonly string[]> = {
    level: ["level", "value", "brightness", "percent", "speed"],
    state: ["state", "status", "mode", "power"],
    switch: ["on", "enabled", "active", "is_on"],
    color: ["color", "colour", "tint"],
  };
  const value = parameter(random, names[kind], schema[kind], [`The ${kind} of the ${device}`, `New ${kind}`]);
  const room = parameter(random, ["room", "place", "where", "area"], STRING, ["Which room"], random.chance(0.5));
  const hasRoom = random.chance(0.35);
  const parameters = hasRoom ? (random.chance(0.5) ? [room, value] : [value, room]) : [value];
  const tool = makeTool(
    random,
    compound(random, ["set", "control", "change", "switch", "turn"], device),
    [
      `Set the ${device}.`,
      `Controls the ${device}`,
      `Change the ${kind === "switch" ? "state" : kind} of the ${device}.`,
      `Turn the ${device} on or off, or set it`,
    ],
    parameters,
  );
  return {
    tool,
    topic: device,
    request(random) {
      const where = !hasRoom || (room.isOptional && random.chance(0.4)) ? undefined : random.pick(ROOMS);
      const isOn = random.chance(0.5);
      const state = isOn ? "on" : "off";
      const color = random.pick(COLORS);
      const level = random.integer(0, 100);
      const values = { device, state, color, level };
      const text = fill(
        random.pick(
          {
            level: [
              "Set the {device} to {level}",
              "Turn the {device} to {level}",
              "{device} to {level}",
              "Change the {device} to {level}",
              "Put the {device} at {level}",
            ],
            state: [
              "Turn {state} the {device}",
              "Turn the {device} {state}",
              "Switch {state} the {device}",
              "Switch the {device} {state}",
              "{device} {state}",
            ],
            switch: [
              "Turn {state} the {device}",
              "Turn the {device} {state}",
              "Switch {state} the {device}",
              "Switch the {device} {state}",
            ],
            color: [
              "Set the {device} to {color}",
              "Make the {device} {color}",
              "Change the {device} to {color}",
              "I want the {device} {color}",
            ],
          }[kind],
        ),
        values,
      );
      const given = { level, state, switch: isOn, color }[kind];
      const ending = where === undefined ? "" : ` in the ${where}`;
      return {
        text: capitalize(`${text}${ending}${random.pick([".", ".", "", ", please."])}`),
        args: valuesOf(parameters, parameters[0] === room ? [where, given] : [given, where]),
      };
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

function convert(random: Random): Job {
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

const DAYS = spread("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday");
const TASKS = spread(
  "buy milk, call mom, water the plants, pay the rent, feed the cat, walk the dog, clean the kitchen, visit the doctor, read the book, fix the bicycle, write a letter, wash the car",
);

function clock(random: Random): string {
  return random.pick([
    () => `${random.integer(0, 23)}:${String(random.integer(0, 59)).padStart(2, "0")}`,
    () => random.pick(DAYS),
    () =>
      `20${random.integer(24, 31)}-${String(random.integer(1, 12)).padStart(2, "0")}-${String(random.integer(1, 28)).padStart(2, "0")}`,
    () => random.pick(["tomorrow", "today", "noon", "tonight"]),
  ])();
}

function reminder(random: Random): Job {
  const what = noun(random, spread("reminder, event, task, alarm, meeting, appointment, date, party, lesson, call"));
  const title = parameter(random, ["title", "text", "task", "what", "subject", "name"], STRING, [
    "What it is about",
    "The title",
  ]);
  const time = parameter(random, ["time", "when", "date", "at", "day"], STRING, ["When it is", "Time or day"]);
  const parameters = random.chance(0.8) ? [title, time] : [time, title];
  const tool = makeTool(
    random,
    compound(random, ["create", "add", "set", "make", "new", "plan"], what),
    [`Create a ${what}.`, `Adds a ${what} to the calendar`, `Plan a ${what} at a time`],
    parameters,
  );
  return {
    tool,
    topic: what,
    request(random) {
      const [about, when] = [random.chance(0.6) ? random.pick(TASKS) : words(random, 1, 3), clock(random)];
      const text = fill(
        random.pick([
          "Create a {what} to {about} at {when}.",
          'Add the {what} "{about}" for {when}.',
          "Set a {what} for {when}: {about}",
          "Make a {what} called {about} on {when}.",
          "I need a {what} to {about}, {when}.",
          "Plan a {what} on {when} to {about}.",
          "New {what}: {about}, {when}",
        ]),
        { what, about, when },
      );
      return { text, args: valuesOf(parameters, parameters[0] === title ? [about, when] : [when, about]) };
    },
  };
}

function trip(random: Random): Job {
  const what = noun(random, spread("flight, train, bus, ferry, taxi, car, boat, ride, trip, ticket"));
  const from = parameter(random, ["from", "origin", "start", "departure", "from_city"], STRING, [
    "Where it starts",
    "City of departure",
  ]);
  const to = parameter(random, ["to", "destination", "goal", "arrival", "to_city"], STRING, [
    "Where it goes",
    "City of arrival",
  ]);
  const people = parameter(
    random,
    ["passengers", "people", "seats", "count"],
    INTEGER,
    ["How many people"],
    random.chance(0.5),
  );
  const hasPeople = random.chance(0.4);
  const parameters = hasPeople ? [from, to, people] : [from, to];
  const tool = makeTool(
    random,
    compound(random, ["book", "find", "reserve", "search", "order"], what),
    [`Book a ${what} from one city to another.`, `Finds a ${what} between two places`, `Reserve a ${what}`],
    parameters,
  );
  return {
    tool,
    topic: what,
    request(random) {
      const [start, goal] = [city(random), city(random)];
      const count = !hasPeople || (people.isOptional && random.chance(0.4)) ? undefined : random.integer(1, 9);
      const text = fill(
        random.pick([
          "Book a {what} from {start} to {goal}",
          "I want to go from {start} to {goal} with a {what}",
          "Find a {what} from {start} to {goal}",
          "I need a {what} to {goal} from {start}",
          "Please book me a {what} from {start} to {goal}",
          "Get me a {what} between {start} and {goal}",
        ]),
        { what, start, goal },
      );
      const ending = count === undefined ? "" : ` for ${count} ${random.pick(["people", "persons", "passengers"])}`;
      return { text: `${text}${ending}.`, args: valuesOf(parameters, [start, goal, count]) };
    },
  };
}

function buy(random: Random): Job {
  const verb = random.pick(["order", "buy", "purchase", "sell", "reserve", "rent"]);
  const isFixed = random.chance(0.5);
  const what = noun(random, spread("pizza, coffee, tea, cake, soup, sandwich, flower, ticket, burger, salad, book"));
  const thing = parameter(random, ["item", "product", "thing", "article", "what"], STRING, [
    "What to get",
    "The product",
  ]);
  const size = parameter(random, ["size", "format", "kind"], { type: "string", enum: ["small", "medium", "large"] }, [
    "The size",
  ]);
  const quantity = parameter(
    random,
    ["quantity", "count", "amount", "number", "how_many"],
    INTEGER,
    ["How many"],
    random.chance(0.3),
  );
  const parameters = isFixed ? [size, quantity] : [thing, quantity];
  const tool = makeTool(
    random,
    isFixed
      ? compound(random, [verb], what)
      : random.pick([`${verb}_item`, verb, `${verb}Product`, `${verb}_thing`, `${verb}_goods`]),
    isFixed
      ? [`${capitalize(verb)} a ${what}.`, `${capitalize(verb)}s ${what}s`]
      : [`${capitalize(verb)} a product.`, `${capitalize(verb)}s things in the shop`],
    parameters,
  );
  return {
    tool,
    topic: isFixed ? what : `${verb} item`,
    request(random) {
      const count = random.integer(1, 12);
      if (isFixed) {
        const chosen = random.pick(["small", "medium", "large"]);
        const isOne = quantity.isOptional && random.chance(0.5);
        const text = isOne
          ? fill(
              random.pick([
                "{verb} a {chosen} {what}.",
                "I want to {verb} a {chosen} {what}.",
                "Please {verb} one {chosen} {what}, just the {chosen} one.",
              ]),
              { verb, chosen, what },
            )
          : fill(
              random.pick([
                "{verb} {count} {chosen} {what}s.",
                "I want to {verb} {count} {chosen} {what}s.",
                "{verb} the {chosen} {what}, {count} of them.",
              ]),
              { verb, count, chosen, what },
            );
        return {
          text: capitalize(text),
          args: valuesOf(parameters, isOne && !text.includes(" one ") ? [chosen] : [chosen, isOne ? 1 : count]),
        };
      }
      const bought = item(random);
      const text = fill(
        random.pick([
          "{verb} {count} {bought}s.",
          "I want to {verb} {count} {bought}s.",
          "Please {verb} {count} of the {bought}s",
          "{verb} {bought}s: {count}",
        ]),
        { verb, count, bought },
      );
      // The thing is named as it was written.
      return { text: capitalize(text), args: valuesOf(parameters, [`${bought}s`, count]) };
    },
  };
}

function bare(random: Random): Job {
  const what = noun(
    random,
    spread(
      "time, date, status, news, version, battery, location, users, files, tasks, orders, events, playlist, settings, joke, quote, random number, backup, report, printers",
    ),
  );
  const verb = random.pick(["get", "list", "show", "read", "current", "fetch", "print", "check"]);
  const tool = makeTool(
    random,
    compound(random, [verb], what),
    [`${capitalize(verb)} the ${what}.`, `Returns the ${what}`, `The current ${what}`],
    [],
  );
  return {
    tool,
    topic: what,
    request(random) {
      const text = fill(
        random.pick([
          "What is the {what}?",
          "{verb} the {what}.",
          "Show me the {what}.",
          "Tell me the {what}.",
          "I want to see the {what}.",
          "Can you {verb} the {what}?",
          "What {what} do we have?",
          "Give me the {what}, please.",
          "What's the {what} now?",
        ]),
        { what, verb },
      );
      return { text: capitalize(text), args: {} };
    },
  };
}

interface Plain {
  names: readonly string[];
  descriptions: readonly string[];
  asks: readonly string[];
  topic: string;
}

const PLAIN: readonly Plain[] = [
  {
    topic: "time",
    names: ["get_time", "time", "current_time", "getTime", "clock", "now"],
    descriptions: ["Get the current time.", "Returns the time", "The time now", "Tells what time it is"],
    asks: [
      "What time is it?",
      "What's the time?",
      "What is the time now?",
      "Tell me the time.",
      "How late is it?",
      "What time is it now?",
    ],
  },
  {
    topic: "date",
    names: ["get_date", "today", "current_date", "getDate", "date"],
    descriptions: ["Get the date of today.", "Returns the current date", "The date"],
    asks: [
      "What day is it?",
      "What is the date?",
      "What day is today?",
      "Which date is it today?",
      "Tell me the date.",
    ],
  },
  {
    topic: "user name",
    names: ["get_user", "whoami", "current_user", "user_name", "getUserName"],
    descriptions: ["Get the name of the user.", "Returns the current user", "Who the user is"],
    asks: ["Who am I?", "What is my user name?", "Which user am I?", "Who is logged in?"],
  },
  {
    topic: "location",
    names: ["get_location", "where_am_i", "location", "my_location"],
    descriptions: ["Get the location of the user.", "Returns where the user is"],
    asks: ["Where am I?", "What is my location?", "Where are we?", "Which city am I in?"],
  },
  {
    topic: "random number",
    names: ["random", "roll_dice", "random_number", "dice"],
    descriptions: ["Get a random number.", "Rolls a dice"],
    asks: ["Roll the dice.", "Give me a random number.", "Roll a dice, please.", "I need a random number."],
  },
];

function plainTool(random: Random): Job {
  const { topic, names, descriptions, asks } = random.pick(PLAIN);
  const tool = makeTool(random, random.pick(names), descriptions, []);
  return { tool, topic, request: (random) => ({ text: random.pick(asks), args: {} }) };
}

/** A tool that gets the whole request as it is written. */
function delegate(random: Random): Job {
  const inner = random.pick([lookup, entity, generic, search, bare])(random);
  const input = parameter(random, ["input", "question", "query", "task", "request", "prompt"], STRING, [
    "The whole question",
    "What is asked",
  ]);
  input.schema = { ...input.schema, ...(random.chance(0.3) ? { description: "The request" } : {}) };
  const subject = inner.topic.split(" ")[0] as string;
  const tool = makeTool(
    random,
    random.pick([`ask_${subject}`, `${subject}_agent`, `ask_${subject}_agent`, `run_${subject}`, `${subject}_expert`]),
    [
      `Ask the ${subject} agent.`,
      `An agent for ${subject}`,
      `Answers questions about ${subject}`,
      `Use this for ${subject}`,
    ],
    [input],
  );
  return {
    tool,
    topic: inner.topic,
    request(random) {
      const { text } = inner.request(random);
      return { text, args: valuesOf([input], [text]) };
    },
  };
}

const TRADES = spread(
  "Math Tutor, History Tutor, Weather, Billing, Support, Booking, Refund, Sales, Spelling, Music, Travel, Kitchen, Garden, Writer, Doctor, Lawyer, Coach",
);

function handOff(random: Random): Job {
  const isTrade = random.chance(0.6);
  const agent = isTrade
    ? random.pick(TRADES)
    : `${capitalize(random.pick(COMMON_WORDS))}${random.pick([" Agent", "", " Expert", " Helper"])}`;
  const subject = (agent.split(" ")[0] as string).toLowerCase();
  const about = random.chance(0.4) ? random.pick(COMMON_WORDS) : subject;
  const tool = makeTool(
    random,
    random.pick([
      `transfer_to_${agent.replaceAll(" ", "_")}`,
      `transfer_to_${agent.replaceAll(" ", "_").toLowerCase()}`,
      `ask_${agent.replaceAll(" ", "_").toLowerCase()}`,
      `handoff_to_${subject}`,
    ]),
    [
      `Handoff to the ${agent} agent to handle the request. Knows all about ${about}`,
      `Handoff to the ${agent} agent to handle the request. For questions about ${about}`,
      `Handoff to the ${agent} agent to handle the request. ${capitalize(about)} questions`,
      `Ask the expert for ${about}.`,
    ],
    [],
  );
  const isNamed = tool.function.description === undefined;
  return {
    tool,
    topic: about,
    request(random) {
      const text = fill(
        random.pick([
          "I have a question about {about}.",
          "I need help with {about}.",
          "Can somebody help me with my {about}?",
          "My {about} is broken.",
          "I want to talk about {about}.",
          "Please connect me to the {about} people.",
          "It is about {about}.",
        ]),
        { about: isNamed ? subject : about },
      );
      return { text, args: {} };
    },
  };
}

function list(random: Random): Job {
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

/** An agent that gets sums. */
function mathHandOff(random: Random): Job {
  const agent = random.pick(["Math", "Math_Tutor", "Calculator", "Arithmetic", "Numbers", "MathAgent"]);
  const about = random.pick(["math", "sums", "arithmetic", "numbers", "calculations"]);
  const tool = makeTool(
    random,
    `transfer_to_${random.chance(0.6) ? agent : agent.toLowerCase()}`,
    [
      `Handoff to the ${agent.replaceAll("_", " ")} agent to handle the request. Does ${about}`,
      `Handoff to the ${agent.replaceAll("_", " ")} agent to handle the request. Specialist for ${about}`,
      `Handoff to the ${agent.replaceAll("_", " ")} agent to handle the request. Answers ${about} questions`,
      `Handoff to the ${agent.replaceAll("_", " ")} agent to handle the request.`,
    ],
    [],
  );
  return {
    tool,
    topic: "math",
    request(random) {
      const operation = random.pick(OPERATIONS);
      return { text: fill(random.pick(operation.asks), { a: amount(random), b: amount(random) }), args: {} };
    },
  };
}

const LANGUAGES = spread("German, French, Spanish, Italian, Latin, Greek, English, Dutch, Polish, Danish");

function language(random: Random): Job {
  const verb = random.pick([
    "translate",
    "summarize",
    "check",
    "uppercase",
    "encode",
    "publish",
    "record",
    "analyze",
    "speak",
    "print",
  ]);
  const text = parameter(random, ["text", "input", "sentence", "content", "words"], STRING, ["The text"]);
  const target = parameter(random, ["language", "target", "to", "lang", "into"], STRING, ["Language of the result"]);
  const isTranslation = verb === "translate";
  const parameters = isTranslation ? [text, target] : [text];
  const tool = makeTool(
    random,
    random.pick([verb, `${verb}_text`, `${verb}Text`, `text_${verb}`]),
    [`${capitalize(verb)} a text.`, `${capitalize(verb)}s text`],
    parameters,
  );
  return {
    tool,
    topic: verb,
    request(random) {
      const said = saying(random);
      const tongue = random.pick(LANGUAGES);
      const asked = isTranslation
        ? fill(
            random.pick([
              'Translate "{said}" to {tongue}.',
              "Translate {said} into {tongue}.",
              'How do you translate "{said}" to {tongue}?',
              "Translate to {tongue}: {said}",
            ]),
            { said, tongue },
          )
        : fill(
            random.pick([
              '{verb} the text "{said}".',
              "{verb} this: {said}",
              'Please {verb} "{said}".',
              "{verb}: {said}",
            ]),
            { said, verb },
          );
      return { text: capitalize(asked), args: valuesOf(parameters, [said, tongue]) };
    },
  };
}

function file(random: Random): Job {
  const kind = random.pick(["file", "folder", "document", "page", "url", "image"]);
  const isWrite = random.chance(0.3) && kind !== "url";
  const verb = isWrite
    ? random.pick(["write", "save", "create"])
    : random.pick(["read", "open", "delete", "show", "load", "print"]);
  const path = parameter(
    random,
    kind === "url" ? ["url", "link", "address"] : ["path", "file", "filename", "name"],
    STRING,
    [`Path of the ${kind}`, `The ${kind}`],
  );
  const content = parameter(random, ["content", "text", "data"], STRING, ["What to write"]);
  const parameters = isWrite ? [path, content] : [path];
  const tool = makeTool(
    random,
    compound(random, [verb], kind),
    [`${capitalize(verb)} a ${kind}.`, `${capitalize(verb)}s the ${kind} at a path`],
    parameters,
  );
  return {
    tool,
    topic: `${verb} ${kind}`,
    request(random) {
      const stem = random.chance(0.7) ? random.pick(COMMON_WORDS) : madeUpWord(random);
      const extension = random.pick(["txt", "md", "json", "csv", "log", "html"]);
      const given =
        kind === "url"
          ? `https://${stem}.${random.pick(["com", "org", "net"])}${random.chance(0.5) ? `/${random.pick(COMMON_WORDS)}` : ""}`
          : `${random.pick(["", "", "/home/", "docs/", "/tmp/", `${random.pick(COMMON_WORDS)}/`])}${stem}${kind === "folder" ? "" : `.${extension}`}`;
      const said = saying(random);
      const text = isWrite
        ? fill(
            random.pick([
              '{verb} the {kind} {given} with the text "{said}".',
              'Please {verb} "{said}" to the {kind} {given}.',
              "{verb} a {kind} {given}: {said}",
            ]),
            { verb, kind, given, said },
          )
        : fill(
            random.pick([
              "{verb} the {kind} {given}.",
              "Please {verb} {given}.",
              "Can you {verb} the {kind} {given}?",
              "{verb} {given}",
            ]),
            { verb, kind, given },
          );
      return { text: capitalize(text), args: valuesOf(parameters, [given, said]) };
    },
  };
}

function person(random: Random): Job {
  const what = noun(
    random,
    spread("user, contact, customer, guest, member, player, student, patient, employee, friend"),
  );
  const verb = random.pick(["create", "add", "register", "save", "insert", "new"]);
  const called = parameter(random, ["name", "full_name", "first_name", "who"], STRING, [`Name of the ${what}`]);
  const options = random.sample(
    [
      [parameter(random, ["age", "years"], INTEGER, ["Age in years"]), (draw: Random) => draw.integer(1, 99), "age"],
      [parameter(random, ["city", "town", "home"], STRING, ["Where they live"]), (draw: Random) => city(draw), "city"],
      [
        parameter(random, ["phone", "phone_number", "telephone"], STRING, ["Phone number"]),
        (draw: Random) => `${draw.integer(100, 999)}-${draw.integer(1000, 9999)}`,
        "phone",
      ],
      [
        parameter(random, ["admin", "is_admin", "active", "vip"], { type: "boolean" }),
        (draw: Random) => draw.chance(0.5),
        "flag",
      ],
    ] as const,
    random.integer(1, 2),
  );
  const parameters = [called, ...options.map(([one]) => one)];
  const tool = makeTool(
    random,
    compound(random, [verb], what),
    [`${capitalize(verb)} a ${what}.`, `Saves a ${what} in the system`],
    parameters,
  );
  return {
    tool,
    topic: what,
    request(random) {
      const who = name(random);
      const drawn = options.map(([, draw]) => draw(random));
      const facts = options.map(([{ name: key }, , kind], index) => {
        const value = drawn[index];
        if (kind === "age") return random.pick([`${value} years old`, `age ${value}`, `who is ${value}`]);
        if (kind === "city") return random.pick([`from ${value}`, `living in ${value}`, `in ${value}`]);
        if (kind === "phone") return random.pick([`with phone ${value}`, `phone ${value}`, `number ${value}`]);
        return value === true ? `${key} yes` : `${key} no`;
      });
      const text = fill(
        random.pick([
          "{verb} the {what} {who}, {facts}.",
          "Please {verb} a {what}: {who}, {facts}",
          "{verb} {what} {who}, {facts}",
          "{verb} a {what} called {who}, {facts}.",
        ]),
        { verb, what, who, facts: facts.join(", ") },
      );
      return { text: capitalize(text), args: valuesOf(parameters, [who, ...drawn]) };
    },
  };
}

const VERBS = spread(
  "rotate, paint, move, clean, fix, open, close, lock, start, stop, water, feed, wash, cut, weigh, measure, lift, push, pull, heat, cool, scan, pack, deliver, test, repair, fill, empty, count, inspect, launch, park, build, update, remove, rename, copy, play, pause, upload, download, resize, cancel, approve, reject, archive, restart, mute, dim",
);

/** A verb, a thing and parameters whose names stand in the request. */
function generic(random: Random): Job {
  const verb = random.chance(0.85) ? random.pick(VERBS) : madeUpWord(random);
  const thing = random.chance(0.8) ? random.pick(COMMON_WORDS) : madeUpWord(random);
  const kinds = [
    INTEGER,
    NUMBER,
    STRING,
    { type: "boolean" },
    { type: "string", enum: random.sample(COMMON_WORDS, 3) },
  ];
  const parameters = Array.from({ length: random.integer(0, 3) }, (_, index): Parameter => {
    const key = random.pick([
      "speed",
      "angle",
      "height",
      "width",
      "depth",
      "mode",
      "label",
      "owner",
      "target",
      "code",
      "weight",
      "reason",
      "priority",
      random.pick(COMMON_WORDS),
      madeUpWord(random),
    ]);
    const isOptional = index > 0 && random.chance(0.3);
    return { name: key, schema: random.pick(kinds), isOptional, isNullable: isOptional && random.chance(0.5) };
  });
  const tool = makeTool(
    random,
    compound(random, [verb], thing),
    [`${capitalize(verb)} the ${thing}.`, `${capitalize(verb)}s a ${thing}`, `Use this to ${verb} the ${thing}`],
    parameters,
  );
  return {
    tool,
    topic: `${verb} ${thing}`,
    request(random) {
      const given = parameters.map(({ schema, isOptional }): unknown => {
        if (isOptional && random.chance(0.4)) return undefined;
        if (Array.isArray(schema["enum"])) return random.pick(schema["enum"] as string[]);
        if (schema["type"] === "boolean") return random.chance(0.5);
        if (schema["type"] === "integer") return random.integer(0, random.pick([9, 99, 999]));
        if (schema["type"] === "number") return random.chance(0.3) ? decimal(random) : amount(random);
        return random.chance(0.4) ? name(random) : words(random, 1, 2);
      });
      const style = random.pick([
        "{key} {value}",
        "{key} {value}",
        "{key}: {value}",
        "{key}={value}",
        "{key} is {value}",
      ]);
      const facts = parameters.flatMap(({ name: key }, index) =>
        given[index] === undefined ? [] : [fill(style, { key, value: String(given[index]) })],
      );
      const shown =
        facts.length < 2
          ? facts.join("")
          : `${facts.slice(0, -1).join(", ")}${random.pick([" and ", ", "])}${facts.at(-1)}`;
      const opening = fill(
        random.pick([
          "{verb} the {thing}",
          "Please {verb} the {thing}",
          "I want to {verb} the {thing}",
          "{verb} {thing}",
          "Can you {verb} the {thing}",
        ]),
        { verb, thing },
      );
      const joint = random.pick([" with ", ", ", ": "]);
      return {
        text: capitalize(`${opening}${shown === "" ? "" : joint + shown}${random.pick([".", ".", ""])}`),
        args: valuesOf(parameters, given),
      };
    },
  };
}

function nested(random: Random): Job {
  const what = noun(random, spread("address, shipment, invoice, delivery, booking, contact"));
  const owner = parameter(
    random,
    ["owner", "customer", "person", "buyer"],
    { type: "object", properties: { name: STRING, city: STRING }, required: ["name", "city"] },
    ["Who it is for"],
  );
  const total = parameter(random, ["total", "number", "price", "weight"], INTEGER, ["How much"]);
  const parameters = [owner, total];
  const tool = makeTool(
    random,
    compound(random, ["create", "make", "save"], what),
    [`Create a ${what} for a person.`, `Saves a ${what}`],
    parameters,
  );
  return {
    tool,
    topic: what,
    request(random) {
      const [who, where, much] = [name(random), city(random), random.integer(1, 999)];
      const text = fill(
        random.pick([
          "Create a {what} for {who} from {where}, {key} {much}.",
          "Make a {what}: {who} in {where}, {key} {much}",
          "Save a {what} with {key} {much} for {who}, {where}.",
        ]),
        { what, who, where, much, key: total.name },
      );
      return { text, args: valuesOf(parameters, [{ name: who, city: where }, much]) };
    },
  };
}

const FAMILIES: readonly (readonly [number, (random: Random) => Job])[] = [
  [5, lookup],
  [3, entity],
  [9, compute],
  [2, calculator],
  [2, plainTool],
  [2, delegate],
  [1, mathHandOff],
  [3, message],
  [3, search],
  [3, control],
  [2, convert],
  [3, reminder],
  [2, trip],
  [2, buy],
  [3, bare],
  [2, handOff],
  [2, list],
  [2, language],
  [2, file],
  [2, person],
  [6, generic],
  [1, nested],
];

const DRAWER = FAMILIES.flatMap(([share, family]) => Array.from({ length: share }, () => family));
