/** Tools that do or plan something. */

import { capitalize, fill } from "../example.js";
import { city, COLORS, item, name } from "../names.js";
import type { Random } from "../random.js";
import { COMMON_WORDS } from "../words.js";
import {
  compound,
  INTEGER,
  type Job,
  type Json,
  makeTool,
  noun,
  parameter,
  spread,
  STRING,
  valuesOf,
  words,
} from "./tool.js";

const SAYINGS = spread(
  "see you at five, lunch is ready, the meeting is at noon, call me back, happy birthday, I am late, the train is late, come home soon, thank you for the help, dinner is at eight, I will be there soon, the door is open, we won the game, good luck tomorrow, the book is on the table",
);

export function saying(random: Random): string {
  const kind = random.float();
  if (kind < 0.5) return random.pick(SAYINGS);
  if (kind < 0.7) return `the ${random.pick(COMMON_WORDS)} is in the ${random.pick(COMMON_WORDS)}`;
  return words(random, 1, 5);
}

export function message(random: Random): Job {
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

const DEVICES = spread(
  "lamp, heater, fan, radio, door, window, oven, alarm, pump, screen, camera, robot, engine, fridge, garage, music, light, curtain, volume, clock",
);
const ROOMS = spread("kitchen, garden, bedroom, office, garage, hall, cellar, bathroom, attic");

export function control(random: Random): Job {
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

export function reminder(random: Random): Job {
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

export function trip(random: Random): Job {
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

export function buy(random: Random): Job {
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
