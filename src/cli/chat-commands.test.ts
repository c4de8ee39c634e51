/** The commands of a chat: each as a person types it, their mistakes, and saved chats. */

import { describe, expect, test } from "vitest";

import {
  answerOptions,
  isCommand,
  loadedChat,
  runCommand,
  savedChat,
  settingsOf,
  type Chat,
  type ChatFacts,
} from "./chat-commands.js";

const FACTS: ChatFacts = { model: "tiny", canSwitchThinking: true };
const EMPTY: Chat = { messages: [], settings: {}, numLeftOut: 0, hidesReasoning: false, lastSeed: null };
const TALK: Chat = {
  ...EMPTY,
  messages: [
    { role: "system", content: "Be brief." },
    { role: "user", content: "What is 12 + 30?" },
    { role: "assistant", content: "42" },
    { role: "user", content: "And twice that?" },
    { role: "assistant", content: "84" },
  ],
  numLeftOut: 1,
  lastSeed: 5,
};

const run = (line: string, chat: Chat = TALK, facts: ChatFacts = FACTS) => runCommand(line, chat, facts);
const load = (text: string, chat: Chat = TALK) => loadedChat(new TextEncoder().encode(text), "a.json", chat, FACTS);

test("a line with a slash at its start is a command, one with a space before it or with line breaks is a message", () => {
  expect(isCommand("/help")).toBe(true);
  for (const message of [" /etc/passwd?", "a /b", "/* a\ncomment */", ""]) expect(isCommand(message)).toBe(false);
});

describe("/help", () => {
  test("lists every command within 60 columns", () => {
    const { say, chat, next } = run("/help");
    for (const name of ["help", "clear", "system", "set", "seed", "think", "regenerate", "save", "load", "bye"])
      expect(say).toMatch(new RegExp(`^/${name}\\b`, "m"));
    for (const line of say.split("\n")) expect(line.length).toBeLessThanOrEqual(60);
    expect({ chat, next }).toEqual({ chat: TALK, next: { type: "prompt" } });
    expect(run("/?").say).toBe(say);
  });

  test("an unknown command changes nothing and names the nearest one", () => {
    expect(run("/halp")).toMatchObject({ chat: TALK, say: expect.stringContaining("Did you mean /help?") as string });
    expect(run("/usr/local/bin").say).toMatch(/\/help lists the commands\. A line that begins with a space/);
  });

  test("a command that takes nothing refuses more", () => {
    expect(run("/clear all")).toMatchObject({ chat: TALK, say: "/clear takes nothing after it." });
  });
});

test("/clear forgets all but the system message, and says what", () => {
  const { chat, say } = run("/clear");
  expect(chat).toEqual({ ...TALK, messages: TALK.messages.slice(0, 1), numLeftOut: 0 });
  expect(say).toBe("Forgot 4 messages. The system message stays.");
  expect(run("/clear", EMPTY).say).toBe("Forgot 0 messages.");
});

test("/system sets, shows and removes the system message and keeps the conversation", () => {
  expect(run("/system").say).toBe("Be brief.");
  expect(run("/system", EMPTY).say).toBe("There is no system message.");
  const { chat } = run("/system Answer  in French.");
  expect(chat.messages).toEqual([{ role: "system", content: "Answer  in French." }, ...TALK.messages.slice(1)]);
  expect(run('/system ""').chat.messages).toEqual(TALK.messages.slice(1));
});

describe("/set", () => {
  test.each([
    ["temperature 0.2", { temperature: 0.2 }, "temperature is 0.2."],
    ["top_k 40", { top_k: 40 }, "top_k is 40."],
    ["stop END", { stop: "END" }, 'stop is "END".'],
    ['stop ["a", "b c"]', { stop: ["a", "b c"] }, 'stop is ["a","b c"].'],
    ['logit_bias {"17": -100}', { logit_bias: { "17": -100 } }, 'logit_bias is {"17":-100}.'],
    ['response_format {"type": "regex", "regex": "a+"}', { response_format: { type: "regex", regex: "a+" } }, ""],
    ["reasoning_effort low", { reasoning_effort: "low" }, 'reasoning_effort is "low".'],
  ])("%s", (argument, settings, say) => {
    const result = run(`/set ${argument}`);
    expect(result.chat).toEqual({ ...TALK, settings });
    expect(result.say).toContain(say);
  });

  test.each([
    ["temperature 3", "temperature must be a number in 0..2. Given: 3"],
    ["temperature 0,2", 'temperature must be a number in 0..2. Given: "0,2"'],
    ["tempratur 1", "tempratur is not a parameter of a chat. The nearest one is temperature."],
    ["top-p 1", "top-p is not a parameter of a chat. The nearest one is top_p."],
    ["stream true", "stream is not a parameter of a chat. /set lists them."],
    ["logprobs true", "logprobs is not a parameter of a chat. /set lists them."],
    ["__proto__ 1", "__proto__ is not a parameter of a chat. /set lists them."],
    ["temperature", "temperature is 0.5."],
    ["top_p", "top_p is not set."],
  ])("%s: says %s, and changes nothing", (argument, say) => {
    const chat = { ...TALK, settings: { temperature: 0.5 } };
    expect(run(`/set ${argument}`, chat)).toEqual({ chat, say, next: { type: "prompt" } });
  });

  test("null unsets, and nothing lists", () => {
    const { chat } = run("/set temperature null", { ...TALK, settings: { temperature: 0.5, n: 2 } });
    expect(chat.settings).toEqual({ n: 2 });
    expect(run("/set", chat).say).toMatch(/^n 2\nParameters: max_tokens, n, seed, .*chat_template_kwargs\.$/);
  });

  test("settings become options of the engine", () => {
    const settings = {
      temperature: 0.5,
      max_tokens: 9,
      stop: "END",
      logit_bias: { "17": 1 },
      chat_template_kwargs: { a: 1 },
    };
    expect(answerOptions({ ...TALK, settings })).toMatchObject({
      temperature: 0.5,
      maxTokens: 9,
      stop: ["END"],
      logitBias: new Map([[17, 1]]),
      templateVariables: { a: 1 },
      separateReasoning: true,
      includeStop: false,
    });
  });
});

test("options of the command line become settings, with their names in the API", () => {
  const options = { temperature: 0, topP: 0.5, stop: ["a"], logitBias: new Map([[3, -1]]), seed: 7, minP: undefined };
  const settings = settingsOf({ ...options, logprobs: true, topLogprobs: 2 });
  expect(settings).toEqual({ temperature: 0, top_p: 0.5, stop: ["a"], logit_bias: { "3": -1 }, seed: 7 });
  expect(answerOptions({ ...EMPTY, settings })).toMatchObject({ ...options, minP: null });
});

test("/seed shows, sets and unsets the seed", () => {
  expect(run("/seed").say).toBe("Each answer draws a seed. That of the last answer was 5.");
  expect(run("/seed", EMPTY).say).toBe("Each answer draws a seed.");
  const { chat } = run("/seed 12");
  expect(chat.settings).toEqual({ seed: 12 });
  expect(run("/seed", chat).say).toBe("The seed is 12.");
  expect(run("/seed null", chat).chat.settings).toEqual({});
  const large = run("/set seed 18446744073709551615");
  expect(large.say).toBe("seed is 18446744073709551615.");
  expect(large.chat.settings).toEqual({ seed: 18446744073709551615n });
  expect(savedChat(large.chat, FACTS)).toContain('"seed": 18446744073709551615\n');
  expect(run("/seed 1.5", chat)).toMatchObject({
    chat,
    say: expect.stringMatching(/^seed must be an integer/) as string,
  });
});

describe("/think", () => {
  test("on and off set the template's variable beside others", () => {
    const chat = { ...TALK, settings: { chat_template_kwargs: { a: 1 } } };
    const { chat: off } = run("/think off", chat);
    expect(off.settings).toEqual({ chat_template_kwargs: { a: 1, enable_thinking: false } });
    expect(run("/think on", off).chat.settings).toEqual({ chat_template_kwargs: { a: 1, enable_thinking: true } });
  });

  test("a template without the variable is no silent failure", () => {
    expect(run("/think off", TALK, { ...FACTS, canSwitchThinking: false })).toMatchObject({
      chat: TALK,
      say: "The chat template of this model has no enable_thinking. /think hide hides the reasoning.",
    });
  });

  test("hide and show act on the output only", () => {
    expect(run("/think hide").chat).toEqual({ ...TALK, hidesReasoning: true });
    expect(run("/think show", { ...TALK, hidesReasoning: true }).chat).toEqual(TALK);
    expect(run("/think").say).toBe("Reasoning is shown.");
    expect(run("/think maybe").say).toBe("/think takes on, off, show or hide.");
  });
});

describe("/regenerate", () => {
  test("answers the last message again", () => {
    expect(run("/regenerate")).toEqual({
      chat: { ...TALK, messages: TALK.messages.slice(0, 4) },
      say: "",
      next: { type: "answer" },
    });
  });

  test("says that a fixed seed stays, and that there is nothing to answer", () => {
    expect(run("/regenerate", { ...TALK, settings: { seed: 3 } }).say).toMatch(/^The seed is still 3/);
    expect(run("/regenerate", EMPTY)).toMatchObject({
      say: "There is no message to answer.",
      next: { type: "prompt" },
    });
  });
});

test("/save, /load and /bye are next steps", () => {
  expect(run("/save a b.json").next).toEqual({ type: "save", file: "a b.json", overwrites: false });
  expect(run("/save! a.json").next).toEqual({ type: "save", file: "a.json", overwrites: true });
  expect(run("/load a.json").next).toEqual({ type: "load", file: "a.json" });
  for (const line of ["/save", "/load"]) expect(run(line)).toMatchObject({ next: { type: "prompt" } });
  for (const line of ["/bye", "/exit", "/quit"]) expect(run(line).next).toEqual({ type: "leave" });
});

describe("a saved chat", () => {
  const chat = { ...TALK, settings: { temperature: 0.2, stop: ["x"] } };

  test("is a request body, and continues where it was", () => {
    const text = savedChat(chat, FACTS);
    expect(JSON.parse(text)).toEqual({ model: "tiny", messages: TALK.messages, temperature: 0.2, stop: ["x"] });
    const loaded = load(text, { ...EMPTY, hidesReasoning: true });
    expect(loaded.chat).toMatchObject({ messages: TALK.messages, settings: chat.settings, numLeftOut: 0 });
    expect(loaded.chat.hidesReasoning).toBe(true);
    expect(loaded.say).toBe("Loaded 5 messages from a.json, in place of 0 messages here.");
  });

  test("of another model says so", () => {
    expect(load(savedChat(chat, { ...FACTS, model: "org/name" })).say).toMatch(/saved with the model org\/name\.$/);
  });

  test.each([
    ["", /^a\.json is not valid JSON: The text is empty/],
    ['{"messages": [}', /^a\.json is not valid JSON: .* line 1, column 15\.$/],
    ["[]", /^a\.json is not a saved chat: it must have an object with messages\.$/],
    ["{}", /^a\.json is not a saved chat: messages is required/],
    ['{"messages": []}', /^a\.json is not a saved chat: messages must be an array of at least 1/],
    ['{"messages": [{"role": "bot", "content": "a"}]}', /^a\.json is not a saved chat: messages\[0\]\.role must be/],
    ['{"messages": [{"role": "user", "content": "a"}], "temperature": 9}', /: temperature must be a number in 0\.\.2/],
    ['{"messages": [{"role": "user", "content": "a"}], "temprature": 1}', /: temprature is not a known field/],
    [
      '{"messages": [{"role": "user", "content": "a"}], "stream": true}',
      /^a\.json has stream, which a chat cannot use/,
    ],
    ['{"messages": [{"role": "user", "content": "a"}], "model": 1}', /: model must be a string/],
  ])("%s is refused with the file's name and the fault", (text, message) => {
    expect(() => load(text)).toThrow(message);
  });
});
