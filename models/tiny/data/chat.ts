/** Small talk, and an honest answer to what the model cannot know. */

import { type Example, type Skill, capitalize, fill } from "./example.js";
import type { Random } from "./random.js";
import { COMMON_WORDS, madeUpWord } from "./words.js";

interface Topic {
  name: string;
  thought: string;
  says: readonly string[];
  answers: readonly string[];
}

export const smallTalk: Skill = {
  name: "small talk",
  generate(random) {
    return random.chance(0.25) ? unknown(random) : chat.generate(random);
  },
  grade(example, content) {
    // Every answer of a topic is right, whichever the example holds.
    const accepted = [...TOPICS.map((topic) => topic.answers), NOT_KNOWN].find((answers) =>
      answers.includes(example.answer),
    );
    return accepted !== undefined && accepted.includes(content);
  },
};

const TOPICS: readonly Topic[] = [
  {
    name: "who",
    thought: "They ask who I am.",
    says: [
      "who are you",
      "what are you",
      "what is your name",
      "what's your name",
      "tell me who you are",
      "may I ask your name",
      "introduce yourself",
      "who am I talking to",
      "tell me about yourself",
      "do you have a name",
      "can you tell me who you are",
      "who is this",
    ],
    answers: [
      "I am Touchstone's tiny model. I can do small sums, spell words and tell short stories.",
      "I am the tiny model that comes with Touchstone.",
    ],
  },
  {
    name: "abilities",
    thought: "They ask what I can do.",
    says: [
      "what can you do",
      "what can I ask you",
      "how can you help me",
      "what are you good at",
      "what do you know",
      "what are your skills",
      "help",
      "what can you help me with",
      "tell me what you can do",
      "which questions can you answer",
      "can you help me",
      "what should I ask you",
    ],
    answers: [
      "I can add, subtract, multiply, sort numbers, count letters, answer small questions, write JSON and tell stories.",
      "Ask me for a sum, a capital, a word backwards, some JSON or a story.",
    ],
  },
  {
    name: "hello",
    thought: "A greeting.",
    says: [
      "hello",
      "hi",
      "hey",
      "hello there",
      "hi there",
      "hey there",
      "good morning",
      "good evening",
      "good afternoon",
      "greetings",
      "good day",
      "hello you",
      "hi model",
      "hello model",
    ],
    answers: ["Hello! What can I do for you?", "Hello! Ask me something small."],
  },
  {
    name: "feeling",
    thought: "They ask how I am.",
    says: [
      "how are you",
      "how are you doing",
      "how do you do",
      "how is it going",
      "how are you today",
      "are you well",
      "how do you feel",
      "are you okay",
      "how are things",
      "what's up",
      "are you happy",
    ],
    answers: ["I am well, thank you. How can I help?", "Very well, thank you! What would you like to know?"],
  },
  {
    name: "thanks",
    thought: "They thank me.",
    says: [
      "thanks",
      "thank you",
      "thank you very much",
      "thanks a lot",
      "many thanks",
      "great, thanks",
      "that helps, thank you",
      "thank you so much",
      "thanks for your help",
      "cool, thanks",
      "perfect, thank you",
    ],
    answers: ["You are welcome!", "With pleasure!"],
  },
  {
    name: "bye",
    thought: "They say goodbye.",
    says: [
      "bye",
      "goodbye",
      "see you",
      "see you later",
      "good night",
      "bye bye",
      "farewell",
      "I have to go",
      "until next time",
      "that is all, bye",
      "see you tomorrow",
      "have a nice day",
    ],
    answers: ["Goodbye! It was nice to talk to you.", "Goodbye! Come back soon."],
  },
  {
    name: "maker",
    thought: "They ask who made me.",
    says: [
      "who made you",
      "who built you",
      "who created you",
      "who trained you",
      "where do you come from",
      "who wrote you",
      "who is your maker",
      "how were you made",
      "how were you trained",
    ],
    answers: [
      "I was trained from scratch by the Touchstone project.",
      "The Touchstone project made me, with sentences that a program wrote.",
    ],
  },
  {
    name: "size",
    thought: "They ask how big I am.",
    says: [
      "how big are you",
      "how large are you",
      "how many parameters do you have",
      "what size are you",
      "are you a big model",
      "are you small",
      "how small are you",
      "what is your size",
    ],
    answers: ["I have about three million parameters. That is tiny.", "I am tiny: about three million parameters."],
  },
  {
    name: "human",
    thought: "They ask if I am human.",
    says: [
      "are you human",
      "are you a person",
      "are you a robot",
      "are you real",
      "are you alive",
      "are you an AI",
      "are you a machine",
      "are you a computer",
      "is there a human there",
      "do you have feelings",
    ],
    answers: ["No, I am a program: a tiny language model.", "I am a tiny language model, not a person."],
  },
  {
    name: "clever",
    thought: "They praise me.",
    says: [
      "you are clever",
      "well done",
      "good job",
      "nice",
      "you are smart",
      "that is right",
      "great answer",
      "very good",
      "correct",
      "I like you",
      "you are funny",
      "good bot",
    ],
    answers: ["Thank you! I do my best.", "That is kind of you. Thank you!"],
  },
  {
    name: "wrong",
    thought: "They say I am wrong.",
    says: [
      "that is wrong",
      "you are wrong",
      "no, that is not right",
      "this is incorrect",
      "that is not true",
      "wrong answer",
      "you made a mistake",
      "I think that is wrong",
      "bad answer",
    ],
    answers: [
      "I am sorry. I am a very small model and I make mistakes.",
      "Sorry about that. Please ask me again in other words.",
    ],
  },
];

const BEFORE = [
  "",
  "",
  "",
  "",
  "Hi, ",
  "Hello, ",
  "Hey, ",
  "So, ",
  "Well, ",
  "Oh, ",
  "Please, ",
  "Okay, ",
  "Tell me, ",
  "And ",
];
const AFTER = ["", "", "", "?", "?", ".", "!", "??", ", please?", ", my friend?", " now?", " then?", ", model?"];

/** Small talk alone. */
export const chat: Skill = {
  name: "small talk",
  generate(random) {
    const topic = random.pick(TOPICS);
    const said = random.pick(BEFORE) + random.pick(topic.says) + random.pick(AFTER);
    const text = random.chance(0.7) ? capitalize(said) : said;
    return {
      skill: "small talk",
      messages: [{ role: "user", content: text }],
      reasoning: topic.thought,
      answer: random.pick(topic.answers),
      contentKeys: [`chat:${text.toLowerCase()}`],
    };
  },
};

const BEYOND = [
  "Who invented the {word}?",
  "When was the first {word} made?",
  "What is a {odd}?",
  "What does {odd} mean?",
  "Who is {name}?",
  "Where is {name}?",
  "Tell me about {name}.",
  "What is the weather in {name}?",
  "How do I repair a {word}?",
  "Why is the {word} so {odd}?",
  "Who wrote the book about the {word}?",
  "What is the best {word}?",
  "How old is {name}?",
  "Do you like the {word}?",
  "Write a program for a {word}.",
  "What happened in {year}?",
  "Who won in {year}?",
  "What will happen tomorrow with the {word}?",
  "Explain {odd} to me.",
  "Explain the {word}.",
  "How does a {word} work?",
  "Who was king in {year}?",
  "Translate {word} into {name}.",
  "What is the meaning of life?",
  "{odd} {odd} {odd}",
  "{odd}?",
  "{odd} {word}",
  "How far is {name} from here?",
  "What time is it?",
  "What is the news about {name}?",
  "Where can I buy a {word}?",
  "Give me a recipe for {word}.",
  "How heavy is a {word}?",
  "Which {word} should I take?",
  "What color is the {word}?",
  "Is the {word} better than the {odd}?",
  "Why do we need a {word}?",
  "What do you think about {name}?",
  "Sing a song about a {word}.",
];
const NOT_KNOWN = [
  "I do not know that. I am only a tiny model.",
  "I am sorry, I do not know. I am a very small model.",
];

function unknown(random: Random): Example {
  const text = fill(random.pick(BEYOND), {
    word: random.pick(COMMON_WORDS),
    odd: madeUpWord(random),
    name: capitalize(madeUpWord(random)),
    year: random.integer(1000, 2030),
  });
  return {
    skill: "small talk",
    messages: [{ role: "user", content: random.chance(0.8) ? text : text.replace(/[?.]$/, "") }],
    reasoning: "I have not learnt this.",
    answer: random.pick(NOT_KNOWN),
    contentKeys: [`unknown:${text.toLowerCase()}`],
  };
}
