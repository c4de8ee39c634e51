/**
 * Counting and reversing the letters of a word. The tokens hide the letters, so
 * the reasoning spells the word first, and whole words in answers are letterwise.
 */

import { type Example, type Skill, casually, fill, letterwise } from "./example.js";
import type { Random } from "./random.js";
import { word } from "./words.js";

export const count: Skill = {
  name: "count letters",
  generate(random) {
    const text = word(random);
    return random.chance(0.35) ? countAll(random, text) : countOne(random, text);
  },
};

export const reverse: Skill = {
  name: "reverse letters",
  generate(random) {
    const text = word(random);
    return random.chance(0.8) ? reverseExample(random, text) : spellExample(random, text);
  },
};

const COUNT_ALL = [
  "How many letters are in {word}?",
  "How many letters does {word} have?",
  "How many letters are there in the word {word}?",
  "Count the letters in {word}.",
  "Count the letters of the word {word}.",
  "What is the length of the word {word}?",
  "How long is the word {word}?",
  "How many letters has the word {word}?",
  "Tell me how many letters {word} has.",
  "Can you count the letters in {word}?",
  "Number of letters in {word}?",
];
const COUNT_ONE = [
  "How many times does the letter {letter} appear in {word}?",
  "How many {letter}'s are in {word}?",
  "How many {letter} are in {word}?",
  "How many letters {letter} are in the word {word}?",
  "Count the letter {letter} in {word}.",
  "Count the {letter}'s in {word}.",
  "How often does {letter} occur in {word}?",
  "How many times is {letter} in the word {word}?",
  "In {word}, how many times do you see the letter {letter}?",
  "Tell me how many times {letter} appears in {word}.",
  "How many {letter}s are there in {word}?",
  "Can you count the letter {letter} in the word {word}?",
];
const REVERSE = [
  "Reverse the word {word}.",
  "Reverse {word}.",
  "Spell {word} backwards.",
  "Write {word} backwards.",
  "What is {word} backwards?",
  "What is {word} spelled backwards?",
  "Reverse the letters of {word}.",
  "Can you reverse {word}?",
  "Turn the word {word} around.",
  "Write the letters of {word} in reverse order.",
  "Give me {word} in reverse.",
  "What do you get when you reverse {word}?",
  "Say {word} backwards.",
];
const SPELL = [
  "Spell {word}.",
  "Spell the word {word}.",
  "How do you spell {word}?",
  "Can you spell {word}?",
  "List the letters of {word}.",
  "Write {word} letter by letter.",
  "Which letters are in {word}?",
  "Spell {word} for me.",
];

export function countAll(random: Random, text: string): Example {
  const numbered = [...text].map((letter, index) => `${letter}${index + 1}`);
  return {
    skill: "count letters",
    messages: [{ role: "user", content: question(random, COUNT_ALL, text) }],
    reasoning: `${spelled(text)}: ${numbered.join(" ")}.`,
    answer: `The word "${letterwise(text)}" has ${letters(text.length)}.`,
    contentKeys: [wordKey(text)],
  };
}

export function countOne(random: Random, text: string): Example {
  const letter = random.chance(0.8) ? random.pick([...text]) : random.pick([..."aeioustrnlmpcbdg"]);
  let seen = 0;
  const marked = [...text].map((each) => (each === letter ? `${each}${++seen}` : each));
  const times = seen === 1 ? "1 time" : `${seen} times`;
  return {
    skill: "count letters",
    messages: [{ role: "user", content: question(random, COUNT_ONE, text, letter) }],
    reasoning: `${spelled(text)}. Counting ${letter}: ${marked.join(" ")}.`,
    answer: `The letter ${letter} appears ${times} in "${letterwise(text)}".`,
    contentKeys: [wordKey(text)],
  };
}

function reverseExample(random: Random, text: string): Example {
  const reversed = [...text].reverse().join("");
  return {
    skill: "reverse letters",
    messages: [{ role: "user", content: question(random, REVERSE, text) }],
    reasoning: `${spelled(text)}. Backwards: ${spelled(reversed)}.`,
    answer: letterwise(reversed),
    contentKeys: [wordKey(text)],
  };
}

function spellExample(random: Random, text: string): Example {
  return {
    skill: "reverse letters",
    messages: [{ role: "user", content: question(random, SPELL, text) }],
    reasoning: `${spelled(text)}.`,
    answer: [...text].join("-"),
    contentKeys: [wordKey(text)],
  };
}

/** One key per word, so that a word is unseen in every letter skill at once. */
function wordKey(text: string): string {
  return `word:${text}`;
}

function spelled(text: string): string {
  return [...text].join(" ");
}

function letters(total: number): string {
  return total === 1 ? "1 letter" : `${total} letters`;
}

function question(random: Random, templates: readonly string[], text: string, letter = ""): string {
  const quote = random.pick(["", "", '"', '"', "'"]);
  const shown = quote === "" && random.chance(0.06) ? text.slice(0, 1).toUpperCase() + text.slice(1) : text;
  const shownLetter = random.chance(0.15) ? `"${letter}"` : letter;
  return casually(random, fill(random.pick(templates), { word: `${quote}${shown}${quote}`, letter: shownLetter }));
}
