/** Calling the tools that a conversation offers, answering from their results, and doing without them. */

import { type Call, capitalize, type Example, fill, letterwise, type Message, plain, type Skill } from "./example.js";
import { arithmetic } from "./arithmetic.js";
import { chat, smallTalk } from "./chat.js";
import { facts } from "./facts.js";
import { instructions, USUAL_SYSTEM_MESSAGES } from "./instructions.js";
import { json } from "./json.js";
import { randomJob } from "./jobs.js";
import { type Job, type Request, type Tool, toolKey } from "./jobs/tool.js";
import { count } from "./letters.js";
import { city, name } from "./names.js";
import { compare, sort } from "./numbers.js";
import type { Random } from "./random.js";
import { CALL, END_CALL } from "./tokenizer.js";
import { COMMON_WORDS, madeUpWord } from "./words.js";

export const toolCall: Skill = {
  name: "tool call",
  generate(random) {
    const kind = random.float();
    if (kind < 0.1) return afterHandOff(random);
    if (kind < 0.22) return nextStep(random);
    if (kind < 0.27) return onceMore(random);
    const job = randomJob(random);
    const before = history(random, job);
    const idle = [...toolsOf(before.jobs), ...others(random, [job, ...before.jobs])];
    return callExample(random, "tool call", [job], [job.request(random)], idle, before.messages);
  },
};

export const severalCalls: Skill = {
  name: "several calls",
  generate(random) {
    if (random.chance(0.45)) return bothExample(random);
    const jobs = severalJobs(random);
    return callExample(
      random,
      "several calls",
      jobs,
      jobs.map((job) => job.request(random)),
      others(random, jobs),
      [],
    );
  },
};

export const toolResult: Skill = {
  name: "tool result",
  generate(random) {
    const jobs = random.chance(0.8) ? [randomJob(random)] : severalJobs(random);
    const requests = jobs.map((job) => job.request(random));
    if (random.chance(0.08)) return jsonAnswer(random, jobs, requests);
    const results = requests.map(() => result(random));
    return {
      skill: "tool result",
      tools: shuffled(random, [...toolsOf(jobs), ...others(random, jobs)]),
      messages: [
        ...system(random),
        { role: "user", content: joined(random, requests) },
        ...called(
          jobs,
          requests,
          results.map(({ content }) => content),
        ),
      ],
      reasoning: "The tool has answered.",
      answer: distinct(results.map(({ answer }) => answer)).join(" "),
      contentKeys: results.map(({ content, key }) => key ?? `result:${content}`),
    };
  },
};

/** The answer is the object that the tool gave. */
function jsonAnswer(random: Random, jobs: readonly Job[], requests: readonly Request[]): Example {
  const found = record(random);
  const results = jobs.map(() => found.content);
  const content = random.pick([
    "Answer as JSON.",
    "Answer in JSON.",
    "Give your answer as JSON.",
    "You answer with JSON only.",
  ]);
  return {
    skill: "tool result",
    tools: shuffled(random, [...toolsOf(jobs), ...others(random, jobs)]),
    messages: [
      { role: "system", content },
      { role: "user", content: joined(random, requests) },
      ...called(jobs, requests, results),
    ],
    reasoning: "The tool has answered.",
    answer: JSON.stringify(JSON.parse(found.content)),
    contentKeys: [`result:${found.content}`],
  };
}

const NO_TOOL = ["I have no tool for that.", "None of my tools can do that."];

export const noTool: Skill = {
  name: "no tool fits",
  generate(random) {
    if (random.chance(0.5)) return withIdleTools(random);
    const job = randomJob(random);
    const { text } = job.request(random);
    const isSum =
      /\d/.test(text) && ["add", "subtract", "multiply", "divide", "power", "modulo", "calculator"].includes(job.topic);
    if (isSum || ["reverse", "count", "sort"].includes(job.topic)) return noTool.generate(random);
    return {
      skill: "no tool fits",
      tools: others(random, [job], 1),
      messages: [...system(random), { role: "user", content: text }],
      reasoning: "No tool fits.",
      answer: random.pick(NO_TOOL),
      contentKeys: [toolKey(job.tool)],
    };
  },
  grade: (example, content) =>
    NO_TOOL.includes(example.answer)
      ? NO_TOOL.includes(content)
      : content === plain(example.answer) || smallTalk.grade?.(example, content) === true,
};

/** A question of another skill, beside tools that do not help. */
function withIdleTools(random: Random): Example {
  const skill = random.pick([arithmetic, facts, instructions, compare, sort, count, json, chat, chat, chat]);
  const example = skill.generate(random);
  const before: History = skill === chat ? history(random) : { messages: [], jobs: [] };
  const tools = [...toolsOf(before.jobs), ...others(random, before.jobs, 1)].filter(
    (tool) => !COMPUTES.test(JSON.stringify(tool)),
  );
  const messages = [...before.messages, ...example.messages];
  return tools.length === 0 ? withIdleTools(random) : { ...example, skill: "no tool fits", messages, tools };
}

const COMPUTES =
  /add|sum|plus|subtract|minus|multipl|product|number|calc|comput|math|compar|sort|maxim|minim|count|json|handoff|expert/i;

/** One sentence that asks for two calls of a tool. */
function bothExample(random: Random): Example {
  const job = randomJob(random);
  const both = job.both?.(random);
  if (both === undefined) return bothExample(random);
  const [first, second] = both.args;
  const requests = [
    { text: both.text, args: first },
    { text: "", args: second },
  ];
  return callExample(random, "several calls", [job, job], requests, others(random, [job]), []);
}

/** Several jobs of one tool, or of different ones. */
function severalJobs(random: Random): Job[] {
  const total = random.chance(0.8) ? 2 : 3;
  const first = randomJob(random);
  const jobs = [first];
  while (jobs.length < total) jobs.push(random.chance(0.6) ? first : apartFrom(random, jobs));
  return jobs;
}

function callExample(
  random: Random,
  skill: string,
  jobs: readonly Job[],
  requests: readonly Request[],
  idle: readonly Tool[],
  before: readonly Message[],
): Example {
  const calls = callsOf(jobs, requests);
  const tools = distinct([...jobs.map(({ tool }) => tool), ...idle]);
  return {
    skill,
    tools: shuffled(random, tools),
    messages: [...system(random), ...before, { role: "user", content: joined(random, requests) }],
    reasoning: thought(calls),
    answer: written(jobs, calls),
    calls,
    contentKeys: distinct(jobs.map(({ tool }) => toolKey(tool))),
  };
}

/** The first call handed the conversation over to an agent with other tools, which now does the request. */
function afterHandOff(random: Random): Example {
  const job = randomJob(random);
  const request = job.request(random);
  const agent = capitalize(random.pick(COMMON_WORDS));
  const handOff: Tool = { type: "function", function: { name: `transfer_to_${agent}` } };
  const example = callExample(random, "tool call", [job], [request], others(random, [job]), []);
  const result = random.pick([`{"assistant":"${agent}"}`, `{"assistant": "${agent}"}`, `Transferred to ${agent}.`]);
  const step = turnOf([{ name: handOff.function.name, args: {} }], [result]);
  return { ...example, messages: [...example.messages, ...step] };
}

/** The same tool for something else, which alone is said: "And in London?" */
function onceMore(random: Random): Example {
  const job = randomJob(random);
  if (job.again === undefined) return onceMore(random);
  const { content, answer } = result(random);
  const request = job.request(random);
  const before: Message[] = [
    { role: "user", content: request.text },
    ...called([job], [request], [content]),
    { role: "assistant", content: plain(answer) },
  ];
  return callExample(random, "tool call", [job], [job.again(random)], others(random, [job]), before);
}

/** Two requests of which the second needs the result of the first. */
function nextStep(random: Random): Example {
  const [a, b, c, value, last] = [1, 2, 3, 4, 5].map(() => random.integer(1, random.pick([9, 99, 999]))) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const names = random.pick([
    ["a", "b"],
    ["x", "y"],
    ["first", "second"],
    [madeUpWord(random), madeUpWord(random)],
  ]) as [string, string];
  const [first, second] = random.sample(STEPS, 2).map(({ called, ask, then }) => {
    const properties = Object.fromEntries(names.map((one) => [one, { type: "number" }]));
    const parameters = { type: "object", properties, required: names };
    const description = `${capitalize(called[0] as string)} two numbers.`;
    const tool: Tool = { type: "function", function: { name: random.pick(called), description, parameters } };
    return { tool, ask, then };
  }) as [Step, Step];
  const text = `${fill(first.ask, { a, b })}, ${random.pick(["then", "and then"])} ${fill(second.then, { c })}.`;
  const idle = others(random, []).filter((tool) => !COMPUTES.test(JSON.stringify(tool)));
  const call = (step: Step, left: number, right: number): Call[] => [
    { name: step.tool.function.name, args: { [names[0]]: left, [names[1]]: right } },
  ];
  const calls = call(second, value, c);
  const example = {
    tools: shuffled(random, [first.tool, second.tool, ...idle]),
    messages: [
      ...system(random),
      { role: "user" as const, content: text },
      ...turnOf(call(first, a, b), [String(value)]),
    ],
    contentKeys: [`step:${a}:${b}:${c}`],
  };
  const stage = random.float();
  if (stage < 0.4) {
    const opening = call(first, a, b);
    const [reasoning, answer] = [thought(opening), writtenCalls(opening, [])];
    return {
      ...example,
      messages: example.messages.slice(0, -2),
      skill: "tool call",
      reasoning,
      answer,
      calls: opening,
    };
  }
  if (stage < 0.8)
    return { ...example, skill: "tool call", reasoning: thought(calls), answer: writtenCalls(calls, []), calls };
  return {
    ...example,
    skill: "tool result",
    messages: [...example.messages, ...turnOf(calls, [String(last)])],
    reasoning: "The tool has answered.",
    answer: `The result is ${last}.`,
  };
}

interface Step {
  tool: Tool;
  ask: string;
  then: string;
}

const STEPS = [
  { called: ["add", "sum", "plus"], ask: "Add {a} and {b}", then: "add {c} to the result" },
  { called: ["multiply", "times"], ask: "Multiply {a} by {b}", then: "multiply the result by {c}" },
  { called: ["subtract", "minus"], ask: "Subtract {b} from {a}", then: "subtract {c} from it" },
  { called: ["divide", "div"], ask: "Divide {a} by {b}", then: "divide that by {c}" },
];

interface History {
  messages: Message[];
  /** What was done. */
  jobs: Job[];
}

/** Earlier turns: most conversations have none. @param next what is asked for after them */
function history(random: Random, next?: Job): History {
  const kind = random.float();
  if (kind < 0.8) return { messages: [], jobs: [] };
  if (kind < 0.9) {
    const [said, answered] = random.pick([
      ["Hello!", "Hello! What can I do for you?"],
      ["Hi", "Hello! Ask me something small."],
      ["Thanks", "You are welcome!"],
    ]) as [string, string];
    return {
      messages: [
        { role: "user", content: said },
        { role: "assistant", content: answered },
      ],
      jobs: [],
    };
  }
  const job = next === undefined ? randomJob(random) : apartFrom(random, [next]);
  const request = job.request(random);
  const { content, answer } = result(random);
  return {
    messages: [
      { role: "user", content: request.text },
      ...called([job], [request], [content]),
      { role: "assistant", content: plain(answer) },
    ],
    jobs: [job],
  };
}

function toolsOf(jobs: readonly Job[]): Tool[] {
  return distinct(jobs.map(({ tool }) => tool));
}

function system(random: Random): Message[] {
  if (random.chance(0.6)) return [];
  const word = random.pick(COMMON_WORDS);
  const content = random.chance(0.5)
    ? random.pick(USUAL_SYSTEM_MESSAGES)
    : random.pick([
        "Use the tools.",
        "You have tools. Use them when they help.",
        `You are an agent for ${word}.`,
        `You help with ${word} questions.`,
        `You are ${name(random)}, an assistant with tools.`,
        "Answer with the help of the tools.",
        "Call a tool if one fits.",
      ]);
  return [{ role: "system", content }];
}

/** Tools for other requests; most conversations have few. */
function others(random: Random, jobs: readonly Job[], atLeast = 0): Tool[] {
  const total = Math.max(atLeast, random.pick([0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, random.integer(6, 9)]));
  const chosen = [...jobs];
  while (chosen.length < jobs.length + total) chosen.push(apartFrom(random, chosen));
  return chosen.slice(jobs.length).map(({ tool }) => tool);
}

function apartFrom(random: Random, jobs: readonly Job[]): Job {
  for (;;) {
    const job = randomJob(random);
    const isApart = jobs.every(
      ({ topic, tool }) => tool.function.name !== job.tool.function.name && !sharesWord(topic, job.topic),
    );
    if (isApart) return job;
  }
}

function sharesWord(topic: string, other: string): boolean {
  const words = topic.split(" ");
  return other.split(" ").some((word) => words.includes(word));
}

function callsOf(jobs: readonly Job[], requests: readonly Request[]): Call[] {
  return jobs.map(({ tool }, index) => ({ name: tool.function.name, args: (requests[index] as Request).args }));
}

function joined(random: Random, requests: readonly Request[]): string {
  return requests
    .filter(({ text }) => text !== "")
    .map(({ text }, index) => (index === 0 ? text : random.pick(["And ", "Then ", "Also ", ""]) + text))
    .join(random.pick([" ", " ", "\n"]));
}

/** Quoted, a name has the tokens that it has in the list of tools and in the call. */
function thought(calls: readonly Call[]): string {
  const names = distinct(calls.map((call) => `"${call.name}"`));
  const times = calls.length > names.length ? ` ${calls.length} times` : "";
  return `I call ${names.join(" and ")}${times}.`;
}

function called(jobs: readonly Job[], requests: readonly Request[], results: readonly string[]): Message[] {
  return turnOf(callsOf(jobs, requests), results);
}

function turnOf(calls: readonly Call[], results: readonly string[]): Message[] {
  return [
    { role: "assistant", content: null, calls: [...calls] },
    ...results.map((content): Message => ({ role: "tool", content })),
  ];
}

function written(jobs: readonly Job[], calls: readonly Call[]): string {
  return writtenCalls(
    calls,
    jobs.flatMap(({ tool }) => listedValues(tool)),
  );
}

/** Calls as the model writes them. @param listed values that stand in the prompt after a quotation mark, as they do here */
function writtenCalls(calls: readonly Call[], listed: readonly string[]): string {
  return calls
    .map((call) => `${CALL}\n{"name": "${call.name}", "arguments": ${spelled(call.args, listed)}}\n${END_CALL}`)
    .join("\n");
}

function spelled(args: Record<string, unknown>, listed: readonly string[]): string {
  return JSON.stringify(args, (_, value: unknown) =>
    typeof value === "string" && !listed.includes(value) ? firstSpelled(value) : value,
  );
}

/** A lower-case word has other tokens after a space than after a quotation mark: the first one is spelt. */
function firstSpelled(text: string): string {
  return text.replace(/^\p{Ll}+/u, letterwise);
}

function listedValues({ function: { parameters } }: Tool): string[] {
  const properties = (parameters?.["properties"] ?? {}) as Record<string, { enum?: string[] }>;
  return Object.values(properties).flatMap((property) => property.enum ?? []);
}

/** What a tool gave, and the answer that says so. */
function result(random: Random): { content: string; answer: string; key?: string } {
  const kind = random.float();
  if (kind < 0.3) {
    const value = random.chance(0.7)
      ? random.integer(0, random.pick([9, 99, 999, 99999]))
      : random.integer(1, 9999) / 100;
    return { content: String(value), answer: `The result is ${value}.` };
  }
  if (kind < 0.5) return record(random);
  if (kind < 0.58) {
    const items = Array.from({ length: random.integer(2, 4) }, () =>
      random.chance(0.5) ? name(random) : random.pick(COMMON_WORDS),
    );
    const content = random.chance(0.5)
      ? JSON.stringify(items)
      : `[${items.map((item) => JSON.stringify(item)).join(", ")}]`;
    return { content, answer: `The results are ${items.map(firstSpelled).join(", ")}.` };
  }
  if (kind < 0.66) {
    const content = random.pick([
      "ok",
      "OK",
      "done",
      "Done.",
      "true",
      "null",
      "",
      '{"ok":true}',
      '{"success": true}',
      '{"status":"ok"}',
      '"ok"',
      "success",
    ]);
    return { content, answer: "Done.", key: `done:${random.integer(0, 10 ** 6)}` };
  }
  const text = sentence(random);
  if (kind < 0.72 && !/["\\\n]/.test(text)) return { content: JSON.stringify([{ type: "text", text }]), answer: text };
  return { content: text, answer: text };
}

const FIELDS =
  "temperature sky wind price status name age city color total count date time result state owner level size rain humidity weight score title forecast".split(
    " ",
  );

function record(random: Random): { content: string; answer: string } {
  const keys = random
    .sample(FIELDS, random.integer(1, 3))
    .map((key) =>
      random.chance(0.15) ? `${key}_${random.pick(COMMON_WORDS)}` : random.chance(0.15) ? madeUpWord(random) : key,
    );
  const value = Object.fromEntries(
    keys.map((key): [string, string | number] => [
      key,
      random.pick([
        () => random.integer(0, random.pick([9, 99, 9999])),
        () => name(random),
        () => random.pick(COMMON_WORDS),
        () => city(random),
      ])(),
    ]),
  );
  const content = random.chance(0.6)
    ? JSON.stringify(value)
    : JSON.stringify(value, undefined, 1)
        .replaceAll("\n", "")
        .replaceAll("{ ", "{")
        .replaceAll(", ", ", ")
        .replaceAll(/,(?=\S)/g, ", ");
  const said = Object.entries(value).map(
    ([key, item]) =>
      `the ${letterwise(key.replaceAll("_", " "))} is ${typeof item === "string" ? firstSpelled(item) : item}`,
  );
  return { content, answer: `${capitalize(said.join(", "))}.` };
}

function sentence(random: Random): string {
  const word = () => random.pick(COMMON_WORDS);
  return random.pick([
    () =>
      `It is ${random.integer(-9, 39)} degrees and ${random.pick(["sunny", "cloudy", "rainy", "windy"])} in ${city(random)}.`,
    () => `The ${word()} is ${word()}.`,
    () => `${random.integer(1, 40)} degrees and ${random.pick(["sunny", "cloudy", "rainy"])}`,
    () => `${random.pick(["sunny", "cloudy", "rainy", "windy", "clear"])}, ${random.integer(1, 40)} degrees`,
    () => `Error: ${word()} not found`,
    () =>
      random.pick([
        "no connection",
        "Error: no connection",
        "Error: timeout",
        "not found",
        "Error: no connection\n Please fix your mistakes.",
      ]),
    () =>
      `An error occurred while running the tool. Please try again. Error: Error: ${random.pick(["no connection", `${word()} failed`, "timeout"])}`,
    () => `The ${word()} in ${city(random)} is ${word()}.\nIt costs ${random.integer(1, 99)} euros.`,
    () => `Found ${random.integer(2, 40)} ${word()}s in ${city(random)}.`,
    () => `${capitalize(word())} ${word()} ${word()}.`,
    () => `${word()} ${madeUpWord(random)} ${word()}`,
    () => `${name(random)} said: ${word()} ${word()}`,
    () => `Sent to ${name(random)}.`,
    () => `${random.integer(0, 23)}:${random.integer(10, 59)}`,
    () => `The ${word()} of ${name(random)} costs ${random.integer(1, 999)} euros.`,
  ])();
}

function distinct<T>(items: readonly T[]): T[] {
  return [...new Set(items)];
}

function shuffled<T>(random: Random, items: readonly T[]): T[] {
  return random.sample(items, items.length);
}
