/** Saying what was told earlier, or that it was not told. */

import { casually, type Example, fill, type Message, plain, type Skill } from "./example.js";
import { arithmetic } from "./arithmetic.js";
import { facts } from "./facts.js";
import { city, COLORS, item, name } from "./names.js";
import type { Random } from "./random.js";
import { COMMON_WORDS, madeUpWord } from "./words.js";

interface Subject {
  name: string;
  says: readonly string[];
  asks: readonly string[];
  answer: string;
  acknowledges: string;
  value(random: Random): string;
}

const SUBJECTS: readonly Subject[] = [
  {
    name: "name",
    says: [
      "My name is {x}.",
      "I am {x}.",
      "I'm {x}.",
      "Call me {x}.",
      "Hi, my name is {x}.",
      "Hello, I am {x}.",
      "You can call me {x}.",
    ],
    asks: [
      "What is my name?",
      "What's my name?",
      "Do you know my name?",
      "Who am I?",
      "Tell me my name.",
      "Do you remember my name?",
      "What am I called?",
    ],
    answer: "Your name is {x}.",
    acknowledges: "Nice to meet you, {x}!",
    value: name,
  },
  {
    name: "home",
    says: ["I live in {x}.", "My home is in {x}.", "I am from {x}.", "I come from {x}.", "My city is {x}."],
    asks: ["Where do I live?", "Where am I from?", "Which city do I live in?", "What is my city?", "Where is my home?"],
    answer: "You live in {x}.",
    acknowledges: "I will remember that.",
    value: city,
  },
  {
    name: "age",
    says: ["I am {x} years old.", "My age is {x}.", "I'm {x} years old.", "I turned {x} today."],
    asks: ["How old am I?", "What is my age?", "Do you know how old I am?", "Tell me my age."],
    answer: "You are {x} years old.",
    acknowledges: "I will remember that.",
    value: (random) => String(random.integer(1, 99)),
  },
  {
    name: "color",
    says: ["My favorite color is {x}.", "I like the color {x}.", "The color that I like most is {x}."],
    asks: ["What is my favorite color?", "Which color do I like?", "What's my favorite color?"],
    answer: "Your favorite color is {x}.",
    acknowledges: "I will remember that.",
    value: (random) => random.pick(random.chance(0.8) ? COLORS : COMMON_WORDS),
  },
  {
    name: "dog",
    says: ["My dog is called {x}.", "I have a dog named {x}.", "My dog's name is {x}."],
    asks: ["What is my dog called?", "What is the name of my dog?", "What's my dog's name?"],
    answer: "Your dog is called {x}.",
    acknowledges: "I will remember that.",
    value: name,
  },
  {
    name: "cat",
    says: ["My cat is called {x}.", "I have a cat named {x}.", "My cat's name is {x}."],
    asks: ["What is my cat called?", "What is the name of my cat?", "What's my cat's name?"],
    answer: "Your cat is called {x}.",
    acknowledges: "I will remember that.",
    value: name,
  },
  {
    name: "thing",
    says: ["I have a {x}.", "I bought a {x}.", "I own a {x}."],
    asks: ["What do I have?", "What do I own?", "Which thing do I have?"],
    answer: "You have a {x}.",
    acknowledges: "I will remember that.",
    value: item,
  },
];

/** "The code is 4711": the thing is named in the question. */
function note(random: Random): Subject {
  const thing = random.pick([
    random.pick(COMMON_WORDS),
    "code",
    "password",
    "key",
    "number",
    "secret word",
    "answer",
    madeUpWord(random),
  ]);
  return {
    name: thing,
    says: [`The ${thing} is {x}.`, `Remember: the ${thing} is {x}.`, `My ${thing} is {x}.`],
    asks: [`What is the ${thing}?`, `Tell me the ${thing}.`, `What was the ${thing}?`, `Do you remember the ${thing}?`],
    answer: `The ${thing} is {x}.`,
    acknowledges: "I will remember that.",
    value: (random) =>
      random.pick([
        () => String(random.integer(10, 99999)),
        () => random.pick(COMMON_WORDS),
        () => name(random),
        () => madeUpWord(random),
      ])(),
  };
}

interface Told {
  subject: Subject;
  value: string;
  says: string;
}

function told(random: Random, subject: Subject): Told {
  const value = subject.value(random);
  return { subject, value, says: fill(random.pick(subject.says), { x: value }) };
}

export const memory: Skill = {
  name: "told before",
  generate: (random) => remember(random, random.pick([0, 0, 0, 1, 1, 2])),
  grade: (example, content) =>
    NOT_TOLD.includes(example.answer) ? NOT_TOLD.includes(content) : content === plain(example.answer),
};

const NOT_TOLD = ["You have not told me that.", "I do not know. You have not told me."];

/** @param numBetween turns about other things between what is told and the question */
export function remember(random: Random, numBetween: number): Example {
  const subjects = random.sample([...SUBJECTS, note(random), note(random)], random.pick([1, 1, 2, 3]));
  const given = subjects.map((subject) => told(random, subject));
  const asked = random.pick(given);
  const keys = given.map(({ subject, value }) => `told:${subject.name}:${value}`);
  if (random.chance(0.15)) {
    return {
      ...answerOf(
        casually(random, asked.says),
        `They tell me something.`,
        fill(asked.subject.acknowledges, { x: asked.value }),
      ),
      contentKeys: [keys[given.indexOf(asked)] as string],
    };
  }
  const question = casually(random, random.pick(asked.subject.asks));
  const rest = given.filter((one) => one !== asked);
  if (rest.length > 0 && random.chance(0.25)) {
    return {
      ...answerOf(question, "They did not tell me.", random.pick(NOT_TOLD), turns(rest)),
      contentKeys: rest.map(({ subject, value }) => `told:${subject.name}:${value}`),
    };
  }
  const answer = fill(asked.subject.answer, { x: asked.value });
  const reasoning = `They told me: ${asked.value}.`;
  if (numBetween === 0 && random.chance(0.3))
    return {
      ...answerOf(`${given.map(({ says }) => says).join(" ")} ${question}`, reasoning, answer),
      contentKeys: keys,
    };
  const between = Array.from({ length: numBetween }, () => random.pick([arithmetic, facts]).generate(random));
  const before = [
    ...turns(given),
    ...between.flatMap((example): Message[] => [
      ...example.messages,
      { role: "assistant", content: plain(example.answer) },
    ]),
  ];
  return { ...answerOf(question, reasoning, answer, before), contentKeys: keys };
}

function answerOf(
  question: string,
  reasoning: string,
  answer: string,
  before: readonly Message[] = [],
): Omit<Example, "contentKeys"> {
  return { skill: "told before", messages: [...before, { role: "user", content: question }], reasoning, answer };
}

function turns(given: readonly Told[]): Message[] {
  return given.flatMap(({ says, subject, value }): Message[] => [
    { role: "user", content: says },
    { role: "assistant", content: fill(subject.acknowledges, { x: value }) },
  ]);
}
