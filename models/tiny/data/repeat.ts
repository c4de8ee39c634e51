/** Repeating a text as it is given. */

import { capitalize, fill, letterwise, type Skill } from "./example.js";
import { city, name } from "./names.js";
import type { Random } from "./random.js";
import { COMMON_WORDS, madeUpWord } from "./words.js";

const ASKS = [
  "Repeat: {text}",
  'Repeat: "{text}"',
  "Repeat after me: {text}",
  'Repeat after me: "{text}"',
  'Repeat the text "{text}".',
  "Say: {text}",
  'Say "{text}".',
  'Say exactly "{text}".',
  "Echo: {text}",
  'Echo "{text}"',
  "Write exactly: {text}",
  'Write this: "{text}"',
  "Copy this text: {text}",
  'Can you repeat "{text}"?',
  'Please say "{text}".',
  "Answer with this text and nothing else: {text}",
  'Reply with "{text}".',
];

export const repeat: Skill = {
  name: "repeat",
  generate(random) {
    const text = phrase(random);
    return {
      skill: "repeat",
      messages: [{ role: "user", content: fill(random.pick(ASKS), { text }) }],
      reasoning: "I repeat it.",
      // A lower-case word has other tokens after a space than at the start: the first one is spelt.
      answer: text.replace(/^\p{Ll}+/u, letterwise),
      contentKeys: [`repeat:${text}`],
    };
  },
};

function phrase(random: Random): string {
  const word = (): string =>
    random.pick([
      () => random.pick(COMMON_WORDS),
      () => random.pick(COMMON_WORDS),
      () => madeUpWord(random),
      () => name(random),
      () => city(random),
      () => String(random.integer(0, 9999)),
    ])();
  const words = Array.from({ length: random.pick([1, 2, 2, 3, 4, 5, 6, 8]) }, word);
  const joint = random.pick([" ", " ", " ", ", ", "-"]);
  const text = words.join(joint);
  return (random.chance(0.4) ? capitalize(text) : text) + random.pick(["", "", "", ".", "!", "?"]);
}
