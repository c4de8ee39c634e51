/** Tools that look something up. */

import { capitalize, fill } from "../example.js";
import { city, name } from "../names.js";
import type { Random } from "../random.js";
import { madeUpWord } from "../words.js";
import { compound, INTEGER, type Job, makeTool, noun, parameter, spread, STRING, valuesOf, words } from "./tool.js";

const LOOKUPS = spread(
  "weather, weather, weather, weather, temperature, humidity, forecast, population, traffic, time, news, mayor, altitude, air quality, exchange rate, tax, rent, rainfall, noise, parking, schedule, opening hours, postal code, area code, sunrise, sunset, event list, ticket price, bus line, wind, snow, tide, water level",
);

export function lookup(random: Random): Job {
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

export function entity(random: Random): Job {
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

export function search(random: Random): Job {
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

export function bare(random: Random): Job {
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

export function plainTool(random: Random): Job {
  const { topic, names, descriptions, asks } = random.pick(PLAIN);
  const tool = makeTool(random, random.pick(names), descriptions, []);
  return { tool, topic, request: (random) => ({ text: random.pick(asks), args: {} }) };
}
