/** Short stories from a grammar: a hero, a wish, a trouble, a helper, an end. */

import { type Example, type Skill, casually, fill, capitalize } from "./example.js";
import type { Random } from "./random.js";

export const stories: Skill = {
  name: "stories",
  generate(random) {
    const hero = random.pick(HEROES);
    const place = random.pick(PLACES);
    const trait = random.pick(TRAITS);
    const named = random.float();
    const topic =
      named < 0.45
        ? article(hero)
        : named < 0.75
          ? article(`${trait} ${hero}`)
          : `${article(named < 0.88 ? hero : `${trait} ${hero}`)} ${place}`;
    const request = casually(random, fill(random.pick(REQUESTS), { topic }));
    const { plan, text } = tell(random, hero, trait, place);
    return {
      skill: "stories",
      messages: [{ role: "user", content: request }],
      reasoning: plan,
      answer: text,
      contentKeys: [`story:${request.toLowerCase()}`],
    };
  },
  grade: isStoryAbout,
};

const REQUESTS = [
  "Tell me a story about {topic}.",
  "Tell a story about {topic}.",
  "Write a story about {topic}.",
  "Write a short story about {topic}.",
  "Tell me a short story about {topic}.",
  "Can you tell me a story about {topic}?",
  "I want a story about {topic}.",
  "Give me a story about {topic}.",
  "A story about {topic}, please.",
  "Make up a story about {topic}.",
  "Story about {topic}",
  "Invent a story about {topic}.",
  "I would like to hear a story about {topic}.",
  "Do you know a story about {topic}?",
  "Tell me a bedtime story about {topic}.",
  "Tell us a tale about {topic}.",
  "Write a little tale about {topic}.",
];
const HEROES =
  `fox bear cat dog rabbit mouse owl wolf lion tiger horse frog duck hen goat sheep pig bird fish whale dragon robot girl boy king queen princess knight pirate
wizard farmer baker sailor monkey elephant turtle squirrel hedgehog penguin snail bee ant spider crow swan deer otter kitten puppy giraffe crocodile parrot
unicorn giant ghost fairy mermaid`.split(/\s+/);
const NAMES =
  `Mila Tobo Pim Luna Otis Nilo Fenna Bruno Tilda Momo Rufus Suri Kip Ada Juno Felo Nori Hanno Bela Timo Wanda Olo Zita Pablo Runa Emil Cora Jasper Lotte Ivo`.split(
    /\s+/,
  );
const TRAITS = "brave shy clever lazy hungry lonely curious tiny old young proud gentle sleepy cheerful clumsy".split(
  " ",
);
const PLACES = [
  "in a dark forest",
  "by the sea",
  "on a high mountain",
  "in a small village",
  "under an old bridge",
  "in a quiet garden",
  "near a blue lake",
  "on a little island",
  "in a noisy city",
  "behind a windmill",
  "in a deep valley",
  "at the edge of a desert",
  "in a snowy land",
  "on a green hill",
  "in an old castle",
  "next to a river",
];
const WISHES = [
  "find a golden key",
  "see the moon from close by",
  "learn to sing",
  "make a new friend",
  "cross the wide river",
  "bake the best cake in the world",
  "find the way home",
  "build a house of stones",
  "catch a falling star",
  "learn to fly",
  "open the silver door",
  "win the great race",
  "find a lost ring",
  "paint the sky red",
  "hear the song of the wind",
  "grow the tallest flower",
];
const TROUBLES = [
  "a big storm came and the path was gone",
  "a loud noise came out of the dark",
  "a heavy stone blocked the road",
  "the night fell and it was very cold",
  "the bridge broke in the middle",
  "a thick fog hid everything",
  "a thief took the map",
  "the rain did not stop for three days",
  "the boat had a hole",
  "there was nothing left to eat",
  "the door was locked",
  "the snow was too deep",
];
const HELPERS = [
  "an old turtle",
  "a kind crow",
  "a little mouse",
  "a friendly giant",
  "a wise owl",
  "a silent fish",
  "a merry sailor",
  "a busy bee",
  "a red bird",
  "a grey cat",
  "a funny clown",
  "a young shepherd",
];
const GIFTS = [
  "a warm coat",
  "a small lamp",
  "a long rope",
  "a piece of bread",
  "a magic whistle",
  "a secret word",
  "a red balloon",
  "an old map",
  "a wooden boat",
  "a bright feather",
  "a box of matches",
  "a jar of honey",
];
const FEELINGS = ["very happy", "tired but happy", "proud", "full of joy", "calm and glad", "surprised and happy"];

interface Parts extends Record<string, string> {
  hero: string;
  name: string;
}

function tell(random: Random, hero: string, trait: string, place: string): { plan: string; text: string } {
  const parts: Parts = {
    hero,
    trait,
    place,
    name: random.pick(NAMES),
    wish: random.pick(WISHES),
    trouble: random.pick(TROUBLES),
    gift: random.pick(GIFTS),
    helper: random.pick(HELPERS.filter((helper) => !helper.endsWith(` ${hero}`))),
    feeling: random.pick(FEELINGS),
    one: article(`${trait} ${hero}`),
  };
  parts["other"] = parts["helper"]?.replace(/^an? /, "the ") ?? "";
  const sentences = [
    pick(random, parts, [
      "Once upon a time there was {one} called {name}.",
      "Long ago, {one} named {name} lived {place}.",
      "There was once {one} whose name was {name}.",
      "This is the story of {name}, {one}.",
      "In a time of magic there lived {one} called {name}.",
    ]),
    ...optional(random, 0.6, parts, [
      "{name} lived {place} and knew every corner of it.",
      "The home of {name} was {place}.",
      "Every morning {name} took a walk {place}.",
      "{name} had a little house {place}.",
    ]),
    pick(random, parts, [
      "More than anything, the {hero} wanted to {wish}.",
      "{name} had one dream: to {wish}.",
      "One day {name} decided to {wish}.",
      "Every night the {hero} dreamed of the day to {wish}.",
      "One morning the {hero} woke up and wanted to {wish}.",
    ]),
    pick(random, parts, [
      "But {trouble}.",
      "Then {trouble}.",
      "On the way, {trouble}.",
      "Soon {trouble}.",
      "Suddenly {trouble}.",
    ]),
    ...optional(random, 0.4, parts, [
      "{name} sat down and cried.",
      "{name} did not give up.",
      '"What shall I do now?" said {name}.',
      "The {hero} was afraid for a moment.",
      '"I will try again," said the {hero}.',
    ]),
    pick(random, parts, [
      "Then {helper} came along and gave {name} {gift}.",
      "Luckily, {helper} had {gift} and shared it.",
      "{name} met {helper}, who carried {gift}.",
      "Just then {helper} appeared with {gift}.",
    ]),
    ...optional(random, 0.5, parts, [
      '"Take it, you need it more than I do," said {other}.',
      '"Come with me," said {other}.',
      "Together they went on, step by step.",
      "They laughed and became friends.",
    ]),
    pick(random, parts, [
      "With {gift} it was easy to {wish}.",
      "And so the {hero} could {wish} at last.",
      "With the help of a friend, {name} managed to {wish}.",
      "In the end {name} was able to {wish}.",
    ]),
    pick(random, parts, [
      "{name} was {feeling}.",
      "The {hero} went home and was {feeling}.",
      "From that day on the {hero} was never alone again.",
      "And if you listen at night, you can still hear {name} sing.",
      "{name} never forgot {other}.",
      "The {hero} slept well that night.",
    ]),
  ];
  const plan = `${capitalize(article(hero))} called ${parts.name}. It wants to ${parts["wish"]}. Help: ${parts["helper"]} with ${parts["gift"]}.`;
  return { plan, text: sentences.join(" ") };
}

function pick(random: Random, parts: Parts, templates: readonly string[]): string {
  return capitalize(fill(random.pick(templates), parts));
}

function optional(random: Random, probability: number, parts: Parts, templates: readonly string[]): string[] {
  return random.chance(probability) ? [pick(random, parts, templates)] : [];
}

function article(noun: string): string {
  return `${/^[aeiou]/.test(noun) && !noun.startsWith("unicorn") ? "an" : "a"} ${noun}`;
}

/** About the hero asked for, with a beginning, four to twelve different sentences, and an end. */
function isStoryAbout(example: Example, content: string): boolean {
  const request = (example.messages.at(-1)?.content ?? "").toLowerCase();
  const hero = HEROES.find((each) => new RegExp(`\\b${each}\\b`).test(request));
  const sentences = content.split(/(?<=[.!?]"?) +(?=["A-Z])/);
  const name = /(?:called|named|name was|story of) ([A-Z][a-z]+)/.exec(content)?.[1];
  if (hero === undefined || name === undefined) return false;
  const mentions = (word: string): number => content.match(new RegExp(`\\b${word}\\b`, "g"))?.length ?? 0;
  const ends = /[.!?]"?$/.test(content);
  const repeats = new Set(sentences).size < sentences.length;
  return (
    mentions(hero) > 0 &&
    mentions(hero) + mentions(name) >= 3 &&
    sentences.length >= 4 &&
    sentences.length <= 12 &&
    ends &&
    !repeats
  );
}
