/** Facts given in a sentence, asked back as compact JSON. */

import { type Skill, casually, fill, letterwise, plain } from "./example.js";
import { city, COLORS, item, name } from "./names.js";
import type { Random } from "./random.js";

export const json: Skill = {
  name: "JSON",
  generate(random) {
    const { question, value, key } = random.pick(KINDS)(random);
    // A word's tokens differ after a space and after a quote: items are spelt.
    const spelled = JSON.stringify(value, (_, item: unknown) =>
      typeof item === "string" && /^[a-z]/.test(item) ? letterwise(item) : item,
    );
    const given = Array.isArray(value)
      ? value.join(", ")
      : Object.entries(value)
          .map(([name, item]) => `${name}: ${item}`)
          .join(", ");
    return {
      skill: "JSON",
      messages: [{ role: "user", content: casually(random, question) }],
      reasoning: `${given}.`,
      answer: spelled,
      contentKeys: [`json:${key}`],
    };
  },
  grade(example, content) {
    try {
      return JSON.stringify(JSON.parse(content)) === plain(example.answer);
    } catch {
      return false;
    }
  },
};

interface Request {
  question: string;
  value: Record<string, string | number> | number[];
  key: string;
}

const KINDS: readonly ((random: Random) => Request)[] = [
  nameAge,
  nameAge,
  nameCity,
  nameAgeCity,
  itemPrice,
  itemPrice,
  itemColor,
  numberList,
];

function nameAge(random: Random): Request {
  const values = { name: name(random), age: random.integer(1, 99) };
  const templates = [
    "Give name and age of {name}, {age}, as JSON.",
    "{name} is {age} years old. Give name and age as JSON.",
    "Write {name}, {age} as JSON with name and age.",
    "JSON with name and age: {name}, {age}",
    "Give me the name and age of {name}, who is {age}, as JSON.",
    "Turn this into JSON with name and age: {name} is {age}.",
    "Make a JSON object with the name {name} and the age {age}.",
    "As JSON: name {name}, age {age}.",
    "Return JSON for {name}, age {age}.",
    "{name} is {age}. Answer in JSON with name and age.",
    "Extract name and age as JSON: {name} is {age} years old.",
  ];
  return { question: fill(random.pick(templates), values), value: values, key: Object.values(values).join(":") };
}

function nameCity(random: Random): Request {
  const values = { name: name(random), city: city(random) };
  const templates = [
    "Give name and city of {name}, {city}, as JSON.",
    "{name} lives in {city}. Give name and city as JSON.",
    "Write {name}, {city} as JSON with name and city.",
    "JSON with name and city: {name}, {city}",
    "Give me the name and city of {name} from {city} as JSON.",
    "Turn this into JSON with name and city: {name} lives in {city}.",
    "Make a JSON object with the name {name} and the city {city}.",
    "As JSON: name {name}, city {city}.",
    "Extract name and city as JSON: {name} is from {city}.",
  ];
  return { question: fill(random.pick(templates), values), value: values, key: Object.values(values).join(":") };
}

function nameAgeCity(random: Random): Request {
  const values = { name: name(random), age: random.integer(1, 99), city: city(random) };
  const templates = [
    "Give name, age and city of {name}, {age}, {city}, as JSON.",
    "{name} is {age} years old and lives in {city}. Give name, age and city as JSON.",
    "JSON with name, age and city: {name}, {age}, {city}",
    "Turn this into JSON with name, age and city: {name}, {age}, lives in {city}.",
    "Make a JSON object with the name {name}, the age {age} and the city {city}.",
    "Extract name, age and city as JSON: {name} is {age} and comes from {city}.",
  ];
  return { question: fill(random.pick(templates), values), value: values, key: Object.values(values).join(":") };
}

function itemPrice(random: Random): Request {
  const values = { item: item(random), price: random.integer(1, random.pick([9, 99, 999])) };
  const templates = [
    "Give item and price of {item}, {price}, as JSON.",
    "The {item} costs {price}. Give item and price as JSON.",
    "Write {item}, {price} as JSON with item and price.",
    "JSON with item and price: {item}, {price}",
    "Turn this into JSON with item and price: the {item} costs {price}.",
    "Make a JSON object with the item {item} and the price {price}.",
    "As JSON: item {item}, price {price}.",
    "Extract item and price as JSON: one {item} is {price} coins.",
    "A {item} is {price} dollars. Answer in JSON with item and price.",
  ];
  return { question: fill(random.pick(templates), values), value: values, key: Object.values(values).join(":") };
}

function itemColor(random: Random): Request {
  const values = { item: item(random), color: random.pick(COLORS) };
  const templates = [
    "Give item and color of the {color} {item} as JSON.",
    "The {item} is {color}. Give item and color as JSON.",
    "JSON with item and color: {item}, {color}",
    "Turn this into JSON with item and color: the {item} is {color}.",
    "Make a JSON object with the item {item} and the color {color}.",
    "As JSON: item {item}, color {color}.",
  ];
  return { question: fill(random.pick(templates), values), value: values, key: Object.values(values).join(":") };
}

function numberList(random: Random): Request {
  const value = Array.from({ length: random.integer(2, 5) }, () => random.integer(0, random.pick([9, 99, 999])));
  const templates = [
    "Give the numbers {list} as a JSON list.",
    "Write {list} as a JSON array.",
    "JSON array of {list}",
    "Turn {list} into a JSON list.",
    "Make a JSON list of {list}.",
    "Give {list} as JSON.",
    "Put the numbers {list} into a JSON array.",
    "As a JSON list: {list}",
  ];
  const separator = random.pick([", ", ", ", " "]);
  return { question: fill(random.pick(templates), { list: value.join(separator) }), value, key: value.join(":") };
}
