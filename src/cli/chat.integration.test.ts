/** A conversation at a terminal, as a person has it, and chats that are no conversation. Runs the built command. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, describe, expect, test } from "vitest";

import { hasPseudoTerminal, onPseudoTerminal, type Step } from "../../spec-tests/fixtures/pseudo-terminal.js";

const MAIN = resolve("dist/src/cli/main.js");
const scratch = mkdtempSync(join(tmpdir(), "touchstone-chat-"));
const env = { XDG_STATE_HOME: join(scratch, "state") };
const START = "Ctrl-D leaves.";
const PROMPT = "> ";
/** Presses keys at the first prompt. */
const atStart = (keys: string): Step[] => [
  [START, ""],
  [PROMPT, keys],
];
/** Presses keys when the answer has ended and the next message is asked for. */
const afterAnswer = (keys: string): Step[] => [
  ["finish", ""],
  [PROMPT, keys],
];
const CTRL_C = "\u0003";
const CTRL_D = "\u0004";

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Has a conversation with the embedded model at temperature 0. */
const talk = (steps: readonly Step[], args: readonly string[] = [], columns = 200) =>
  onPseudoTerminal([MAIN, "chat", "--temperature", "0", ...args], env, { steps, columns });

interface Saved {
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly [setting: string]: unknown;
}

let numFiles = 0;
const newFile = (): string => join(scratch, `${numFiles++}.json`);
const read = (file: string): Saved => JSON.parse(readFileSync(file, "utf8")) as Saved;
const asked = (file: string): string[] =>
  read(file)
    .messages.filter(({ role }) => role === "user")
    .map(({ content }) => content);

describe.runIf(hasPseudoTerminal)("a conversation", () => {
  test("has history, settings, a saved file that another chat continues, and an end", async () => {
    const file = newFile();
    const { screen, code } = await talk([
      ...atStart("What is 12 + 30?\r"),
      ...afterAnswer("/set temperature 9\r"),
      ["Given: 9", "/set seed 7\r"],
      ["seed is 7.", `/save ${file}\r`],
      ["Saved 2 messages", `/save ${file}\r`],
      ["exists.", "/bye\r"],
    ]);
    expect(code).toBe(0);
    expect(screen).toContain("temperature must be a number in 0..2. Given: 9");
    const { messages, ...settings } = read(file);
    expect(settings).toEqual({ model: "tiny", temperature: 0, seed: 7 });
    expect(messages).toEqual([
      { role: "user", content: "What is 12 + 30?" },
      { role: "assistant", content: expect.stringContaining("42") as string },
    ]);
    const next = newFile();
    await talk([
      ...atStart(`/load ${file}\r`),
      ["Loaded 2 messages", "and twice that?\r"],
      ...afterAnswer(`/save ${next}\r`),
      ["Saved", ""],
      [PROMPT, CTRL_D],
    ]);
    expect(read(next).messages.at(-1)!.content).toContain("84");
    expect(read(next)["seed"]).toBe(7);
  });

  test("takes messages of several lines in quotes, and pastes", async () => {
    const file = newFile();
    const { screen } = await talk([
      ...atStart('"""What is\r'),
      ["…", "27 + 38?\r"],
      ["…", '"""\r'],
      ...afterAnswer("\u001b[200~/help is\r\tno command\rhere\u001b[201~"),
      ["here", "!\r"],
      ...afterAnswer('"""one line"""\r'),
      ...afterAnswer(`/save ${file}\r`),
      ["Saved", "/bye\r"],
    ]);
    expect(asked(file)).toEqual(["What is\n27 + 38?", "/help is\n\tno command\nhere!", "one line"]);
    expect(screen).toContain("65");
  });

  test("answers messages that are typed ahead, one after the other", async () => {
    const file = newFile();
    await talk([
      ...atStart("What is 12 + 30?\rWhat is 27 + 38?\r"),
      ["finish", ""],
      ...afterAnswer(`/save ${file}\r`),
      ["Saved 4 messages", "/bye\r"],
    ]);
    expect(asked(file)).toEqual(["What is 12 + 30?", "What is 27 + 38?"]);
  });

  test("keeps the beginning of a line that is typed ahead, and a message of several lines that Ctrl-D ends", async () => {
    const file = newFile();
    await talk([
      ...atStart("What is 12 + 30?\rWhat is"),
      ...afterAnswer(" 27 + 38?\r"),
      ...afterAnswer(`/save ${file}\r`),
      ["Saved 4 messages", '"""And\r'],
      ["…", "then?\r"],
      ["…", CTRL_D],
    ]);
    expect(asked(file)).toEqual(["What is 12 + 30?", "What is 27 + 38?"]);
    const next = newFile();
    const { screen } = await talk([...atStart('"""What is\r'), ["…", "27 + 38?\r"], ["…", CTRL_D]]);
    expect(screen).toContain("65");
    const { screen: empty } = await talk([...atStart(`/save ${next}\r`), ["There is no message to save.", "/bye\r"]]);
    expect(empty).not.toContain("Saved");
  });

  test("/regenerate draws another answer, and /clear forgets", async () => {
    const [first, again, cleared] = [newFile(), newFile(), newFile()];
    await onPseudoTerminal([MAIN, "chat", "--max-tokens", "40", "--system", "Be kind."], env, {
      steps: [
        ...atStart("Tell me a story\r"),
        ...afterAnswer(`/save ${first}\r`),
        ["Saved", "/regenerate\r"],
        ...afterAnswer(`/save ${again}\r`),
        ["Saved", "/clear\r"],
        ["Forgot 2 messages.", `/save ${cleared}\r`],
        ["Saved", "/bye\r"],
      ],
    });
    expect(read(first).messages).toHaveLength(3);
    expect(read(again).messages.slice(0, 2)).toEqual(read(first).messages.slice(0, 2));
    expect(read(cleared).messages).toEqual([{ role: "system", content: "Be kind." }]);
  });

  test("Ctrl-C clears the line, and leaves on the second", async () => {
    const { screen, code } = await talk([
      ...atStart("never sent"),
      ["never sent", CTRL_C],
      ["Ctrl-C again", "What is 12 + 30?\r"],
      ...afterAnswer(CTRL_C),
      ["Ctrl-C again", CTRL_C],
    ]);
    expect(screen).toContain("42");
    expect(screen).not.toMatch(/never sentWhat/);
    expect(code).toBe(0);
  });

  test("Ctrl-C stops an answer, whose text stays, and the conversation goes on", async () => {
    const file = newFile();
    // Token 1, which ends the text, is suppressed.
    const { screen, code } = await talk(
      [
        ...atStart("Tell me a story\r"),
        ["greeting", CTRL_C],
        ["(stopped)", `/save ${file}\r`],
        ["Saved 2 messages", "/bye\r"],
      ],
      ["--logit-bias", "1=-100"],
    );
    expect(screen).toContain("(stopped)");
    expect(code).toBe(0);
    expect(asked(file)).toEqual(["Tell me a story"]);
  });

  test("recalls what was typed into an earlier one", async () => {
    const file = newFile();
    await talk([[START, "What is 27 + 38?\r"], ...afterAnswer(CTRL_D)]);
    await talk([
      [START, "\u001b[A"],
      ["What is 27 + 38?", "\r"],
      ...afterAnswer(`/save ${file}\r`),
      ["Saved", ""],
      [PROMPT, CTRL_D],
    ]);
    expect(asked(file)).toEqual(["What is 27 + 38?"]);
  });

  test("a file that cannot be read or written is told, and nothing is lost", async () => {
    const broken = newFile();
    writeFileSync(broken, '{"messages": 1}');
    const file = newFile();
    const { screen } = await talk([
      ...atStart("What is 12 + 30?\r"),
      ...afterAnswer("/load /no/such/file\r"),
      ["(ENOENT)", `/load ${broken}\r`],
      ["must be an array", "/save /no/such/folder/file\r"],
      ["(ENOENT)", `/save! ${file}\r`],
      ["Saved 2 messages", "/bye\r"],
    ]);
    expect(screen).toContain("/no/such/folder/file cannot be written");
    expect(read(file).messages).toHaveLength(2);
  });

  test("wraps answers, remarks and help in 40 columns", async () => {
    const { screen } = await talk(
      [...atStart("Tell me a story about a fox.\r"), ...afterAnswer("/help\r"), ["stops an answer.", "/bye\r"]],
      ["--temperature", "1", "--seed", "7"],
      40,
    );
    const text = screen.replaceAll(/\u001b\[[\d;?]*[a-zA-Z]|\r/g, "");
    const lines = text.slice(text.indexOf("Tell me a story")).split("\n");
    expect(lines.length).toBeGreaterThan(15);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(40);
  });

  test("hides the reasoning if asked to", async () => {
    const { screen } = await talk(
      [
        ...atStart("What is 27 + 38?\r"),
        ...afterAnswer("/think show\r"),
        ["Reasoning is shown.", "/regenerate\r"],
        ...afterAnswer("/bye\r"),
      ],
      ["--hide-reasoning"],
    );
    const [hidden, shown] = screen.split("Reasoning is shown.");
    expect(hidden).toContain("(thinking)");
    expect(hidden).not.toMatch(/Ones/);
    expect(shown).toMatch(/Ones/);
  });

  test("a history that cannot be kept is told, and the conversation works", async () => {
    const file = join(scratch, "a-file");
    writeFileSync(file, "");
    const { screen, code } = await onPseudoTerminal(
      [MAIN, "chat", "--temperature", "0"],
      { XDG_STATE_HOME: file },
      {
        steps: [...atStart("What is 12 + 30?\r"), ...afterAnswer("/bye\r")],
      },
    );
    expect(screen.match(/history of this chat/g)).toHaveLength(1);
    expect(screen).toContain("42");
    expect(code).toBe(0);
  });
});
