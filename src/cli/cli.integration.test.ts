/** The command line: output on stdout and stderr, exit codes, refusals. Runs the built command. */

import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { afterAll, describe, expect, test } from "vitest";

import { writeRandomModel } from "../../spec-tests/fixtures/random-model.js";

const MAIN = resolve("dist/src/cli/main.js");
const scratch = mkdtempSync(join(tmpdir(), "touchstone-cli-"));
const cache = join(scratch, "cache");

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

async function randomModel(name: string): Promise<string> {
  const folder = join(scratch, name);
  await writeRandomModel(folder);
  return folder;
}

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
}

function touchstone(
  args: string[],
  options: { env?: Record<string, string>; input?: string | Buffer; output?: number } = {},
): Promise<Outcome> {
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, [MAIN, ...args], {
      env: { ...process.env, TOUCHSTONE_CACHE: cache, ...options.env },
      stdio: ["pipe", options.output ?? "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.on("error", failed);
    child.on("close", (code) => done({ stdout, stderr, code }));
    child.stdin!.end(options.input ?? "");
  });
}

/** Expects a refusal: exit code 1, nothing on stdout, one line on stderr without a stack. */
async function refuses(args: string[], message: RegExp, env?: Record<string, string>): Promise<void> {
  const { stdout, stderr, code } = await touchstone(args, env === undefined ? {} : { env });
  expect({ stdout, code }).toEqual({ stdout: "", code: 1 });
  expect(stderr).toMatch(message);
  expect(
    stderr
      .trimEnd()
      .split("\n")
      .filter((line) => !line.startsWith("(Did you mean")),
  ).toHaveLength(1);
}

describe("answers", () => {
  test("chat --once without colors: reasoning between tags, then the answer; statistics on stderr", async () => {
    const { stdout, stderr, code } = await touchstone(["chat", "--once", "What is 27 + 38?", "--temperature", "0"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^<think>\n[^]+\n<\/think>\n\n[^]*65[^]*\n$/);
    expect(stderr).toMatch(
      /prompt \d+ tokens in \d+ ms · answer \d+ tokens in \d+ ms \(\d+ tokens\/s\) · seed \d+ · finish stop/,
    );
  });

  test("chat --json: one line with the reasoning separated", async () => {
    const { stdout } = await touchstone([
      "chat",
      "--once",
      "What is 27 + 38?",
      "--temperature",
      "0",
      "--json",
      "--seed",
      "7",
      "--date",
      "2026-11-30",
    ]);
    const answer = JSON.parse(stdout) as {
      content: string;
      reasoning_content: string;
      finish_reason: string;
      seed: number;
      token_ids: number[];
      usage: { completion_tokens: number };
    };
    expect(answer.content).toContain("65");
    expect(answer.content).not.toContain("think>");
    expect(answer).toMatchObject({ finish_reason: "stop", seed: 7, date: "2026-11-30" });
    expect(answer.usage.completion_tokens).toBe(answer.token_ids.length);
  });

  test("chat from a pipe: one answer per line, with history", async () => {
    const { stdout, stderr, code } = await touchstone(["chat", "--temperature", "0", "--json"], {
      input: "What is 12 + 30?\nand twice that?\n",
    });
    const [first, second] = stdout
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { content: string }).content);
    expect({ stderr, code }).toEqual({ stderr: "", code: 0 });
    expect(first).toContain("42");
    expect(second).toContain("84");
  });

  test("chat from a pipe: a refused message makes the exit code 1; the others are answered", async () => {
    const { stdout, stderr, code } = await touchstone(["chat", "--temperature", "0", "--json"], {
      input: `${"word ".repeat(5000)}\nWhat is 27 + 38?\n`,
    });
    expect((JSON.parse(stdout) as { content: string }).content).toContain("65");
    expect({ stderr, code }).toEqual({
      stderr: expect.stringMatching(/^touchstone: The prompt has \d+ tokens[^\n]*\n$/) as string,
      code: 1,
    });
  });

  test("chat from a pipe: exchanges that the context has no room for are left out, and a remark says so", async () => {
    const lines = Array.from({ length: 4 }, (_, i) => `${i}`.repeat(300));
    const { stdout, stderr, code } = await touchstone(["chat", "--temperature", "0", "--max-tokens", "50", "--json"], {
      input: `${lines.join("\n")}\n`,
    });
    const answers = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { usage: { prompt_tokens: number } });
    expect(answers).toHaveLength(4);
    expect(stderr).toMatch(
      /^The context of 1024 tokens is full: the model no longer reads the first (exchange|\d exchanges) of this chat\.$/m,
    );
    for (const { usage } of answers) expect(usage.prompt_tokens).toBeLessThanOrEqual(1024 - 50);
    expect(answers[3]!.usage.prompt_tokens).toBeLessThan(answers[2]!.usage.prompt_tokens);
    expect(code).toBe(0);
  });

  test("an answer that the context cuts says so", async () => {
    const { stderr } = await touchstone(["chat", "--seed", "1", "--logit-bias", "1=-100", "1".repeat(900)]);
    expect(stderr).toMatch(/^The answer ends here because the context of 1024 tokens is full\.$/m);
  });

  test.each<[string, string[], string]>([
    ["an argument", ["What is 27 + 38?"], ""],
    ["stdin, as one message", ["-"], "What is\n27 + 38?\n"],
  ])("chat answers the text of %s and exits", async (_, args, input) => {
    const { stdout, code } = await touchstone(["chat", "--temperature", "0", ...args], { input });
    expect(stdout).toMatch(/^<think>\n[^]*\n<\/think>\n\n[^]*65[^]*\n$/);
    expect(code).toBe(0);
  });

  test("only a line feed ends a message in a pipe, and text must be UTF-8", async () => {
    const args = ["chat", "--max-tokens", "1", "--json"];
    const { stdout } = await touchstone(args, { input: "a\u2028b\rc\r\n\nd" });
    expect(stdout.trimEnd().split("\n")).toHaveLength(2);
    const refused = await touchstone(args, { input: Buffer.from([0x61, 0x0a, 0xff, 0x0a]) });
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("The text on stdin is not UTF-8.")]);
  });

  test("--date needs a chat, and --seed an integer of 64 bits", async () => {
    const { stderr } = await touchstone(["inspect", "--date", "2026-11-30"]);
    expect(stderr).toBe("touchstone: --date needs --message: only chat templates write a date.\n");
    for (const seed of ["1e19", "18446744073709551616"])
      expect((await touchstone(["chat", "hi", "--seed", seed])).stderr).toContain("written in digits.");
    const { stdout } = await touchstone([
      "chat",
      "hi",
      "--max-tokens",
      "1",
      "--json",
      "--seed",
      "18446744073709551615",
    ]);
    expect(stdout).toContain('"seed":18446744073709551615,');
  });

  test("--hide-reasoning prints the answer alone", async () => {
    const { stdout } = await touchstone(["chat", "--temperature", "0", "--hide-reasoning", "What is 27 + 38?"]);
    expect(stdout).toBe("27 + 38 = 65\n");
  });

  test("generate continues an argument, an option or stdin alike", async () => {
    const rest = ["--seed", "1", "--max-tokens", "5"];
    const outputs = [
      await touchstone(["generate", "Once", ...rest]),
      await touchstone(["generate", "--prompt", "Once", ...rest]),
      await touchstone(["generate", "-", ...rest], { input: "Once\n" }),
      await touchstone(["generate", ...rest], { input: "Once" }),
    ].map(({ stdout }) => stdout);
    expect(outputs[0]!.length).toBeGreaterThan(2);
    expect(new Set(outputs).size).toBe(1);
  });

  test("the embedded model can be given by name unless a folder has that name", async () => {
    const [named, unnamed] = [
      await touchstone(["generate", "--model", "tiny", "--prompt", "a", "--seed", "1", "--max-tokens", "3"]),
      await touchstone(["generate", "--prompt", "a", "--seed", "1", "--max-tokens", "3"]),
    ];
    expect(named).toMatchObject({ code: 0, stdout: unnamed!.stdout });
  });

  test("generate --json: text, token ids, finish reason, usage, timings; a seed replays it", async () => {
    const args = ["generate", "--prompt", "Once", "--max-tokens", "12", "--json", "--seed", "11"];
    const [first, again] = [await touchstone(args), await touchstone(args)].map(
      ({ stdout }) => JSON.parse(stdout) as Record<string, unknown>,
    );
    expect(Object.keys(first!)).toEqual(["text", "token_ids", "finish_reason", "seed", "usage", "timings"]);
    expect({ ...first, timings: null }).toEqual({ ...again, timings: null });
  });

  test("the profile exact runs with a given number of threads and 8-bit keys and values", async () => {
    const args = [
      "chat",
      "--once",
      "What is 27 + 38?",
      "--temperature",
      "0",
      "--json",
      "--seed",
      "7",
      "--profile",
      "exact",
    ];
    const [one, two] = [
      await touchstone([...args, "--threads", "1"]),
      await touchstone([...args, "--threads", "2"]),
    ].map(({ stdout }) => JSON.parse(stdout) as Record<string, unknown>);
    expect(one!["content"]).toContain("65");
    expect({ ...two, timings: null }).toEqual({ ...one, timings: null });
    for (const kvCache of ["bf16", "q8"]) {
      const { stdout } = await touchstone([...args, "--kv-cache", kvCache]);
      expect((JSON.parse(stdout) as { content: string }).content).toContain("65");
    }
    const inspected = await touchstone(["inspect", "--profile", "exact", "--threads", "3", "--kv-cache", "q8"]);
    expect(inspected.stdout).toMatch(/^profile +exact, threads: 3\n[^]*\nkeys and values +q8$/m);
    expect(inspected.stdout).toMatch(
      /^memory +about \d+ MiB: weights 3 MiB, keys and values up to 864 KiB, buffers \d+ KiB, program and tokenizer \d+ MiB$/m,
    );
  });

  test("several choices are numbered, logprobs are reported", async () => {
    const plain = await touchstone(["chat", "--once", "Hello", "--n", "2", "--max-tokens", "400"]);
    expect(plain.stdout).toMatch(/^--- 0 ---\n<think>\n[^]*\n<\/think>\n\n[^]*\n--- 1 ---\n<think>\n/);
    const { stdout } = await touchstone([
      "generate",
      "--prompt",
      "Hi",
      "--n",
      "2",
      "--max-tokens",
      "3",
      "--json",
      "--logprobs",
      "--top-logprobs",
      "2",
    ]);
    const { choices } = JSON.parse(stdout) as { choices: { logprobs: { top_logprobs: unknown[] }[] }[] };
    expect(choices).toHaveLength(2);
    for (const { logprobs } of choices) for (const { top_logprobs } of logprobs) expect(top_logprobs).toHaveLength(2);
  });

  test("inspect shows the architecture, the template, tokens and most probable next tokens", async () => {
    const { stdout, code } = await touchstone(["inspect", "--message", "Hello"]);
    expect(code).toBe(0);
    for (const part of [
      /architecture +llama/,
      /weights +q8/,
      /profile +exact, threads: \d+/,
      /keys and values +f32/,
      /tool calls +none/,
      /template:\n/,
      /tokens \(\d+\):/,
      /most probable next tokens/,
    ])
      expect(stdout).toMatch(part);
  });

  test("evaluate compares fast with exact on given or generated text; prints a table or a JSON line", async () => {
    const source = await randomModel("evaluated");
    const text = join(scratch, "text.txt");
    writeFileSync(text, "Twelve times seven is eighty-four. ".repeat(5));
    const { stdout, code } = await touchstone(["evaluate", "--model", source, "--text", text]);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^weights +q8\ntext +\S*text\.txt\ntokens +175\nKL\(exact \|\| fast\) +0\.(?!000000)\d{6} nats per token\ntop-1 agreement +\d+\.\d\d %\nperplexity, exact +\d+\.\d{4}\nperplexity, fast +\d+\.\d{4}\n$/,
    );
    const own = await touchstone(["evaluate", "--model", source, "--quant", "f32", "--json", "--threads", "1"]);
    const line = JSON.parse(own.stdout) as {
      tokens: number;
      kl_divergence: number;
      perplexity: { exact: number; fast: number };
    };
    expect(line).toMatchObject({ weights: "f32", text: null, top1_agreement: 1 });
    expect(line.tokens).toBeGreaterThanOrEqual(2000);
    expect(line.kl_divergence).toBeLessThan(1e-9);
    expect(line.perplexity.fast).toBeCloseTo(line.perplexity.exact, 3);
    expect((await touchstone(["evaluate", "--model", source])).stdout).toMatch(
      /^text +generated by the model at temperature 1, seeds from 1$/m,
    );
  });

  test("convert writes a pack that runs, and list shows the models in the cache", async () => {
    const source = await randomModel("source");
    const out = join(scratch, "pack");
    expect(await touchstone(["convert", source, "--out", out, "--quant", "q4"])).toMatchObject({ code: 0, stdout: "" });
    const fromPack = await touchstone([
      "generate",
      "--model",
      out,
      "--prompt",
      "a",
      "--max-tokens",
      "3",
      "--json",
      "--seed",
      "1",
    ]);
    const fromFolder = await touchstone([
      "generate",
      "--model",
      source,
      "--quant",
      "q4",
      "--prompt",
      "a",
      "--max-tokens",
      "3",
      "--json",
      "--seed",
      "1",
    ]);
    const ids = ({ stdout }: Outcome): unknown => (JSON.parse(stdout) as { token_ids: unknown }).token_ids;
    expect(ids(fromPack)).toEqual(ids(fromFolder));
    expect((await touchstone(["list"])).stdout).toMatch(/embedded[^]*source/);
  });
});

describe("Ctrl-C", () => {
  // The hook sends SIGINT shortly after the command installs its handler. Token 1, which ends the text, is suppressed.
  const hook = `process.on("newListener", (name) => name === "SIGINT" && setTimeout(() => process.kill(process.pid, name), 100))`;
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hook)}` };

  test.each<[string, string[], RegExp]>([
    ["chat --json", ["chat", "--once", "Hello", "--json", "--n", "128"], /^$/],
    ["generate", ["generate", "--prompt", "Once", "--logit-bias", "1=-100"], /\n$/],
    ["generate --json", ["generate", "--prompt", "Once", "--json", "--n", "128"], /^$/],
  ])("%s: keeps the text printed so far and exits with 130", async (_, args, stdout) => {
    expect(await touchstone(args, { env })).toEqual({
      stdout: expect.stringMatching(stdout) as string,
      stderr: "(stopped)\n",
      code: 130,
    });
  });
});

test.runIf(process.platform === "linux").each(["list", "doctor --offline", "chat --once Hi"])(
  "%s reports in one line that its output cannot be written",
  async (line) => {
    const { stderr, code } = await touchstone(line.split(" "), { output: openSync("/dev/full", "w") });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^touchstone: the output cannot be written \(ENOSPC\)\n$/);
  },
);

test.each([
  "",
  "chat",
  "generate",
  "serve",
  "pull",
  "convert",
  "inspect",
  "evaluate",
  "list",
  "rm",
  "doctor",
  "conform",
])("the help of %s fits into 80 columns", async (name) => {
  const { stdout, code } = await touchstone([...(name === "" ? [] : [name]), "--help"]);
  expect(code).toBe(0);
  expect(stdout.split("\n").filter((line) => line.length > 80)).toEqual([]);
});

test("the help of serve mentions folders of ONNX files", async () => {
  expect((await touchstone(["serve", "--help"])).stdout.replaceAll(/\s+/g, " ")).toMatch(
    /--model <\[name=\]model> [^;]*a folder of ONNX files/,
  );
});

describe("refusals", () => {
  test.each<[string, string[], RegExp]>([
    ["an unknown option", ["chat", "--once", "Hi", "--top-q", "1"], /^touchstone: unknown option '--top-q'/],
    ["an unknown command", ["talk"], /^touchstone: unknown command 'talk'/],
    [
      "an invalid number",
      ["chat", "--once", "Hi", "--top-p", "half"],
      /--top-p <x>' argument 'half' is invalid. It must be a number/,
    ],
    ["a value out of range", ["chat", "--once", "Hi", "--temperature", "3"], /temperature.*3/],
    ["a date that does not exist", ["chat", "--date", "2026-02-29"], /^touchstone: --date must be a date.*2026-02-29/],
    ["a value out of range before the first message", ["chat", "--temperature", "9"], /temperature.*9/],
    [
      "log-probabilities in text output",
      ["chat", "--once", "Hi", "--logprobs"],
      /^touchstone: --logprobs needs --json/,
    ],
    [
      "log-probabilities in the text output of generate",
      ["generate", "--prompt", "a", "--logprobs"],
      /^touchstone: --logprobs needs --json/,
    ],
    [
      "unseparated reasoning in text output",
      ["chat", "--once", "Hi", "--no-separate-reasoning"],
      /^touchstone: --no-separate-reasoning needs --json/,
    ],
    [
      "hidden reasoning in JSON",
      ["chat", "--json", "--hide-reasoning", "Hi"],
      /^touchstone: --hide-reasoning has no effect with --json/,
    ],
    ["a text twice", ["chat", "--once", "Hi", "Hi"], /^touchstone: A text and --once are both given/],
    ["a prompt twice", ["generate", "--prompt", "a", "-"], /^touchstone: A text and --prompt are both given/],
    ["two texts", ["chat", "What", "is"], /^touchstone: too many arguments for 'chat'/],
    ["an empty model name", ["chat", "--once", "Hi", "--model", ""], /^touchstone: the model's name is empty$/m],
    [
      "five stop sequences",
      ["chat", "--once", "Hi", ...["a", "b", "c", "d", "e"].flatMap((s) => ["--stop", s])],
      /stop.*4/,
    ],
    [
      "a bias for a token that does not exist",
      ["chat", "--once", "Hi", "--logit-bias", "999999=1"],
      /--logit-bias.*999999/,
    ],
    [
      "zero threads",
      ["chat", "--once", "Hi", "--threads", "0"],
      /--threads <count>' argument '0' is invalid. It must be an integer of at least 1/,
    ],
    [
      "too many threads",
      ["generate", "--prompt", "a", "--threads", "1000"],
      /--threads <count>' argument '1000' is invalid. It must be in 1\.\.64/,
    ],
    [
      "an unknown profile",
      ["generate", "--prompt", "a", "--profile", "slow"],
      /--profile <name>' argument 'slow' is invalid. Allowed choices are auto, fast, exact/,
    ],
    [
      "an unknown KV cache format",
      ["chat", "--once", "Hi", "--kv-cache", "q4"],
      /--kv-cache <format>' argument 'q4' is invalid. Allowed choices are f32, bf16, q8/,
    ],
    [
      "an unknown source of drafts",
      ["chat", "--once", "Hi", "--speculate", "yes"],
      /--speculate <source>' argument 'yes' is invalid. Allowed choices are off, ngram/,
    ],
    [
      "a folder that does not exist",
      ["generate", "--model", "/no/such/folder", "--prompt", "x"],
      /^touchstone: .*\/no\/such\/folder/,
    ],
    [
      "a prompt longer than the context",
      ["generate", "--prompt", "word ".repeat(5000)],
      /^touchstone: The prompt has \d+ tokens; the context holds 1024/,
    ],
  ])("%s", (_, args, message) => refuses(args, message));

  test("a prompt of 1 MB", async () => {
    // The text exceeds the size limit of a command-line argument, so it is sent through a pipe.
    const { stdout, stderr, code } = await touchstone(["chat"], { input: `${"word ".repeat(200_000)}\n` });
    expect({ stdout, code }).toEqual({ stdout: "", code: 1 });
    expect(stderr).toMatch(
      /touchstone: The messages have 1000000 characters; the context.s \d+ tokens hold at most \d+/,
    );
  });

  test("texts that cannot be evaluated", async () => {
    const text = join(scratch, "unreadable.txt");
    await refuses(["evaluate", "--text", text], /^touchstone: The text cannot be read: ENOENT.*unreadable\.txt/);
    writeFileSync(text, "");
    await refuses(["evaluate", "--text", text], /^touchstone: .*unreadable\.txt is empty/);
    writeFileSync(text, "a");
    await refuses(["evaluate", "--text", text], /^touchstone: The text has fewer than two tokens/);
    writeFileSync(text, Uint8Array.of(0x61, 0xff));
    await refuses(["evaluate", "--text", text], /^touchstone: .*unreadable\.txt is not UTF-8/);
  });

  test("a folder that is not a model", async () => {
    const folder = join(scratch, "empty");
    mkdirSync(folder);
    writeFileSync(join(folder, "notes.txt"), "hello");
    await refuses(["generate", "--model", folder, "--prompt", "x"], /empty.*config\.json/);
  });

  test("a model without a chat template, before the first message", async () => {
    await refuses(["chat", "--model", await randomModel("no-template")], /chat template/);
  });

  test("a pack as the input of convert", async () => {
    await refuses(
      ["convert", resolve("dist/models/tiny/pack"), "--out", join(scratch, "again")],
      /pack is already a pack/,
    );
  });

  test("an empty prompt for a tokenizer without a begin token", async () => {
    const source = await randomModel("no-begin-token");
    await refuses(["generate", "--model", source, "--prompt", ""], /prompt is empty.*no begin token/);
  });

  test("a cache that cannot be written", async () => {
    const source = await randomModel("uncached");
    const readOnly = join(scratch, "read-only");
    writeFileSync(readOnly, "a file where the cache folder should be");
    chmodSync(readOnly, 0o444);
    await refuses(["generate", "--model", source, "--prompt", "x"], /read-only.*TOUCHSTONE_CACHE/, {
      TOUCHSTONE_CACHE: readOnly,
    });
  });

  test("a broken model leaves nothing behind", async () => {
    const source = await randomModel("truncated");
    const weights = join(source, "model.safetensors");
    writeFileSync(weights, "short");
    const elsewhere = join(scratch, "other-cache");
    await refuses(["generate", "--model", source, "--prompt", "x"], /model\.safetensors/, {
      TOUCHSTONE_CACHE: elsewhere,
    });
    expect(existsSync(elsewhere) ? readdirSync(elsewhere) : []).toEqual([]);
  });

  test("--debug adds the stack", async () => {
    const { stderr, code } = await touchstone(["--debug", "generate", "--model", "/no/such/folder", "--prompt", "x"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/\n {4}at /);
  });
});
