/** Tools for texts, files, people and things of any kind. */

import { capitalize, fill } from "../example.js";
import { city, name } from "../names.js";
import type { Random } from "../random.js";
import { COMMON_WORDS, madeUpWord } from "../words.js";
import { saying } from "./actions.js";
import {
  amount,
  compound,
  decimal,
  INTEGER,
  type Job,
  makeTool,
  noun,
  NUMBER,
  parameter,
  type Parameter,
  spread,
  STRING,
  valuesOf,
  words,
} from "./tool.js";

const LANGUAGES = spread("German, French, Spanish, Italian, Latin, Greek, English, Dutch, Polish, Danish");

export function language(random: Random): Job {
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

export function file(random: Random): Job {
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

export function person(random: Random): Job {
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
export function generic(random: Random): Job {
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

export function nested(random: Random): Job {
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
