/** About 150 facts, each asked in many ways; a phrasing of a fact is either trained on or evaluated. */

import { type Example, type Skill, casually, fill } from "./example.js";
import type { Random } from "./random.js";

interface Relation {
  name: string;
  questions: readonly string[];
  /** As a follow-up to a question of the same relation. */
  followUps: readonly string[];
  /** {x} is the subject, {y} what is asked for. */
  statement: string;
  pairs: readonly (readonly [string, string])[];
}

export const facts: Skill = {
  name: "facts",
  generate: (random) => factExample(random, randomFact(random)),
};

export interface Fact {
  relation: Relation;
  subject: string;
  value: string;
}

export function randomFact(random: Random): Fact {
  const { relation, pair } = random.pick(ALL);
  return { relation, subject: pair[0], value: pair[1] };
}

export function otherFact(random: Random, { relation, subject }: Fact): Fact {
  const [other, value] = random.pick(relation.pairs.filter((pair) => pair[0] !== subject));
  return { relation, subject: other, value };
}

export function factExample(random: Random, fact: Fact): Example {
  const phrasing = random.integer(0, fact.relation.questions.length - 1);
  const question = fill(fact.relation.questions[phrasing] as string, { x: fact.subject });
  return {
    skill: "facts",
    messages: [{ role: "user", content: casually(random, question) }],
    reasoning: thought(fact),
    answer: statement(fact),
    contentKeys: [factKey(fact, phrasing)],
  };
}

export function followUpQuestion(random: Random, fact: Fact): { text: string; key: string } {
  const phrasing = random.integer(0, fact.relation.followUps.length - 1);
  const text = fill(fact.relation.followUps[phrasing] as string, { x: fact.subject });
  return { text: casually(random, text), key: factKey(fact, `then ${phrasing}`) };
}

export function thought({ relation, subject, value }: Fact): string {
  return `${relation.name} of ${subject}: ${value}.`;
}

export function statement({ relation, subject, value }: Fact): string {
  const text = fill(relation.statement, { x: subject, y: value });
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

function factKey({ relation, subject }: Fact, phrasing: number | string): string {
  return `fact:${relation.name}:${subject}:${phrasing}`;
}

const NEXT = [
  "And {x}?",
  "What about {x}?",
  "And for {x}?",
  "How about {x}?",
  "And of {x}?",
  "Now {x}?",
  "And what about {x}?",
  "The same for {x}?",
];

const DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];
const ORDINALS = [
  "first",
  "second",
  "third",
  "fourth",
  "fifth",
  "sixth",
  "seventh",
  "eighth",
  "ninth",
  "tenth",
  "eleventh",
  "twelfth",
];

const RELATIONS: readonly Relation[] = [
  {
    name: "capital",
    questions: [
      "What is the capital of {x}?",
      "What's the capital of {x}?",
      "Which city is the capital of {x}?",
      "Name the capital of {x}.",
      "Capital of {x}?",
      "Tell me the capital of {x}.",
      "What is {x}'s capital?",
      "{x} has which capital?",
      "What city is the capital of {x}?",
      "Do you know the capital of {x}?",
      "I want to know the capital of {x}.",
      "What is the capital city of {x}?",
      "Which is the capital city of {x}?",
      "Can you name the capital of {x}?",
    ],
    followUps: [...NEXT, "And the one of {x}?", "And the capital of {x}?", "What is the one of {x}?"],
    statement: "The capital of {x} is {y}.",
    pairs: [
      ["France", "Paris"],
      ["Italy", "Rome"],
      ["Spain", "Madrid"],
      ["Germany", "Berlin"],
      ["England", "London"],
      ["Portugal", "Lisbon"],
      ["Austria", "Vienna"],
      ["Greece", "Athens"],
      ["Norway", "Oslo"],
      ["Sweden", "Stockholm"],
      ["Finland", "Helsinki"],
      ["Denmark", "Copenhagen"],
      ["Poland", "Warsaw"],
      ["Hungary", "Budapest"],
      ["Ireland", "Dublin"],
      ["Belgium", "Brussels"],
      ["Russia", "Moscow"],
      ["Ukraine", "Kyiv"],
      ["Turkey", "Ankara"],
      ["Egypt", "Cairo"],
      ["Kenya", "Nairobi"],
      ["Morocco", "Rabat"],
      ["Nigeria", "Abuja"],
      ["Ghana", "Accra"],
      ["Japan", "Tokyo"],
      ["China", "Beijing"],
      ["India", "Delhi"],
      ["Korea", "Seoul"],
      ["Thailand", "Bangkok"],
      ["Vietnam", "Hanoi"],
      ["Nepal", "Kathmandu"],
      ["Iran", "Tehran"],
      ["Iraq", "Baghdad"],
      ["Canada", "Ottawa"],
      ["Mexico", "Mexico City"],
      ["Cuba", "Havana"],
      ["Brazil", "Brasilia"],
      ["Peru", "Lima"],
      ["Chile", "Santiago"],
      ["Argentina", "Buenos Aires"],
      ["Colombia", "Bogota"],
      ["Australia", "Canberra"],
      ["Iceland", "Reykjavik"],
      ["Switzerland", "Bern"],
      ["Netherlands", "Amsterdam"],
    ].map(([x, y]) => [x as string, y as string] as const),
  },
  {
    name: "next day",
    questions: [
      "Which day comes after {x}?",
      "What day comes after {x}?",
      "What day follows {x}?",
      "Which day is after {x}?",
      "What is the day after {x}?",
      "Name the day after {x}.",
      "Today is {x}. What day is tomorrow?",
      "If today is {x}, what is tomorrow?",
      "{x} is followed by which day?",
      "What is the next day after {x}?",
    ],
    followUps: [...NEXT, "And after {x}?"],
    statement: "The day after {x} is {y}.",
    pairs: DAYS.map((day, index) => [day, DAYS[(index + 1) % 7] as string] as const),
  },
  {
    name: "previous day",
    questions: [
      "Which day comes before {x}?",
      "What day comes before {x}?",
      "Which day is before {x}?",
      "What is the day before {x}?",
      "Name the day before {x}.",
      "Today is {x}. What day was yesterday?",
      "If today is {x}, what was yesterday?",
      "What day precedes {x}?",
      "What is the previous day before {x}?",
    ],
    followUps: [...NEXT, "And before {x}?"],
    statement: "The day before {x} is {y}.",
    pairs: DAYS.map((day, index) => [day, DAYS[(index + 6) % 7] as string] as const),
  },
  {
    name: "next month",
    questions: [
      "Which month comes after {x}?",
      "What month comes after {x}?",
      "What month follows {x}?",
      "Which month is after {x}?",
      "What is the month after {x}?",
      "Name the month after {x}.",
      "It is {x}. What is the next month?",
      "{x} is followed by which month?",
      "What is the next month after {x}?",
    ],
    followUps: [...NEXT, "And after {x}?"],
    statement: "The month after {x} is {y}.",
    pairs: MONTHS.map((month, index) => [month, MONTHS[(index + 1) % 12] as string] as const),
  },
  {
    name: "month number",
    questions: [
      "Which month is the {x}?",
      "What is the {x} month?",
      "What is the {x} month of the year?",
      "Name the {x} month.",
      "Name the {x} month of the year.",
      "Which month is the {x} of the year?",
      "Tell me the {x} month of the year.",
      "What month is the {x} one?",
      "Do you know the {x} month of the year?",
    ],
    followUps: [
      "And the {x}?",
      "What about the {x}?",
      "And the {x} one?",
      "How about the {x}?",
      "Now the {x}?",
      "And the {x} month?",
      "And what is the {x}?",
    ],
    statement: "The {x} month is {y}.",
    pairs: MONTHS.map((month, index) => [ORDINALS[index] as string, month] as const),
  },
  {
    name: "days",
    questions: [
      "How many days are in {x}?",
      "How many days does {x} have?",
      "How many days has {x}?",
      "How long is {x} in days?",
      "What is the number of days in {x}?",
      "Tell me how many days {x} has.",
      "How many days are there in {x}?",
      "Number of days in {x}?",
      "Do you know how many days {x} has?",
    ],
    followUps: NEXT.filter((text) => text !== "And of {x}?"),
    statement: "{x} has {y} days.",
    pairs: [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].map(
      (days, index) => [MONTHS[index] as string, String(days)] as const,
    ),
  },
  {
    name: "opposite",
    questions: [
      "What is the opposite of {x}?",
      "What's the opposite of {x}?",
      "Name the opposite of {x}.",
      "Opposite of {x}?",
      "What is the opposite of the word {x}?",
      "Tell me the opposite of {x}.",
      "Which word is the opposite of {x}?",
      "{x}: what is the opposite?",
      "What word means the opposite of {x}?",
      "Give the opposite of {x}.",
      "Can you name the opposite of {x}?",
      "Find the opposite of {x}.",
      "What is the contrary of {x}?",
    ],
    followUps: [...NEXT, "And the one of {x}?", "And the opposite of {x}?"],
    statement: "The opposite of {x} is {y}.",
    pairs: [
      ["hot", "cold"],
      ["cold", "hot"],
      ["big", "small"],
      ["small", "big"],
      ["up", "down"],
      ["down", "up"],
      ["left", "right"],
      ["right", "left"],
      ["open", "closed"],
      ["day", "night"],
      ["night", "day"],
      ["black", "white"],
      ["white", "black"],
      ["fast", "slow"],
      ["slow", "fast"],
      ["happy", "sad"],
      ["sad", "happy"],
      ["old", "young"],
      ["young", "old"],
      ["hard", "soft"],
      ["soft", "hard"],
      ["light", "dark"],
      ["dark", "light"],
      ["full", "empty"],
      ["empty", "full"],
      ["rich", "poor"],
      ["poor", "rich"],
      ["wet", "dry"],
      ["dry", "wet"],
      ["early", "late"],
      ["late", "early"],
      ["strong", "weak"],
      ["weak", "strong"],
      ["high", "low"],
      ["low", "high"],
      ["true", "false"],
      ["good", "bad"],
      ["bad", "good"],
      ["long", "short"],
      ["loud", "quiet"],
      ["near", "far"],
      ["north", "south"],
      ["east", "west"],
      ["begin", "end"],
      ["win", "lose"],
    ].map(([x, y]) => [x as string, y as string] as const),
  },
  {
    name: "unit",
    questions: [
      "How many {x}?",
      "Tell me how many {x}.",
      "Do you know how many {x}?",
      "Can you tell me how many {x}?",
      "I want to know how many {x}.",
      "Quick question: how many {x}?",
      "How many {x}, please?",
      "Say how many {x}.",
    ],
    followUps: [
      "And how many {x}?",
      "How many {x}?",
      "Now how many {x}?",
      "And can you say how many {x}?",
      "Then how many {x}?",
      "Also, how many {x}?",
    ],
    statement: "There are {y} {x}.",
    pairs: [
      ["minutes in an hour", "60"],
      ["seconds in a minute", "60"],
      ["hours in a day", "24"],
      ["days in a week", "7"],
      ["months in a year", "12"],
      ["days in a year", "365"],
      ["weeks in a year", "52"],
      ["grams in a kilogram", "1000"],
      ["meters in a kilometer", "1000"],
      ["centimeters in a meter", "100"],
      ["millimeters in a centimeter", "10"],
      ["cents in a dollar", "100"],
      ["years in a century", "100"],
      ["years in a decade", "10"],
      ["things in a dozen", "12"],
      ["inches in a foot", "12"],
      ["feet in a yard", "3"],
      ["sides in a triangle", "3"],
      ["sides in a square", "4"],
      ["letters in the alphabet", "26"],
      ["legs on a spider", "8"],
      ["legs on an insect", "6"],
    ].map(([x, y]) => [x as string, y as string] as const),
  },
];

const ALL = RELATIONS.flatMap((relation) => relation.pairs.map((pair) => ({ relation, pair })));

export const NUM_FACTS = ALL.length;

/** Facts whose value is a number, for "answer with the number only". */
export function isNumber(fact: Fact): boolean {
  return /^\d+$/.test(fact.value);
}
