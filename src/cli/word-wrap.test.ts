/** Wrapping of streamed text: the lines fit, no text is lost, and pieces of any size give the same lines. */

import { createInterface } from "node:readline";
import { PassThrough } from "node:stream";

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { columnsOf, WordWrap, wrapped } from "./word-wrap.js";

const ESCAPED = String.raw`\u001b[31mred`;

describe("wrapped", () => {
  test.each([
    ["one two three", 8, "one two\nthree"],
    ["one two three", 7, "one two\nthree"],
    ["one two three", 6, "one\ntwo\nthree"],
    ["one\ntwo three", 8, "one\ntwo\nthree"],
    ["  indented text", 10, "  indented\ntext"],
    ["a\n\n\nb", 5, "a\n\n\nb"],
    ["a\tbc", 9, "a\nbc"],
    ["a\tbc", 10, "a\tbc"],
    ["ends with spaces  \nnext", 40, "ends with spaces\nnext"],
    ["word ", 40, "word "],
    [`x ${ESCAPED}`, 14, `x\n${ESCAPED}`],
    ["", 5, ""],
  ])("%j in %d columns", (text, width, expected) => {
    expect(wrapped(text, width)).toBe(expected);
  });

  test("a word that is longer than a line is left to the terminal, and what follows fits", () => {
    const link = "https://example.org/a/long/path";
    expect(wrapped(`see ${link} now ok`, 10)).toBe(`see\n${link} now ok`);
  });

  test("wide characters count two columns and may break anywhere between them", () => {
    expect(wrapped("日本語のテキスト", 6)).toBe("日本語\nのテキ\nスト");
    expect(wrapped("ab日本語c", 6)).toBe("ab日本\n語c");
    expect(wrapped("a 👍👍👍", 6)).toBe("a 👍👍\n👍");
  });

  test("joined emoji and combining marks stay together", () => {
    expect(wrapped("👩‍💻👩‍💻", 4)).toBe("👩‍💻\n👩‍💻");
    expect(wrapped("が が", 3)).toBe("が\nが");
    expect(columnsOf("e\u0301\u200d")).toBe(1);
  });

  test("Infinity wraps nothing", () => {
    const text = `${"word ".repeat(500)}\n\tend`;
    expect(wrapped(text, Infinity)).toBe(text.replace(" \n", "\n"));
  });
});

describe("columns", () => {
  const editor = createInterface({
    input: new PassThrough(),
    output: Object.assign(new PassThrough(), { columns: 1000 }),
    terminal: true,
  });

  test.each(["plain", "é e\u0301", "日本語", "ｆｕｌｌ", "한국어", "👍", "🇪🇺", "𠮷", "ﾊﾝｶｸ", "नमस्ते", "שלום", "—…“”"])(
    "%s has as many as Node's line editor counts",
    (text) => {
      editor.setPrompt(text);
      expect(columnsOf(text)).toBe(editor.getCursorPos().cols);
    },
  );
});

describe("any text", () => {
  const texts = fc
    .array(
      fc.constantFrom(
        "a",
        "word",
        "longerword",
        " ",
        "  ",
        "\n",
        "\t",
        "日",
        "本",
        "👍",
        "e\u0301",
        "-",
        "verylongwordindeed",
      ),
    )
    .map((pieces) => pieces.join(""));
  const widths = fc.integer({ min: 20, max: 40 });

  test("keeps every character but spaces at the ends of lines, and no line is too long", () => {
    fc.assert(
      fc.property(texts, widths, (text, width) => {
        const lines = wrapped(text, width);
        expect(lines.replaceAll(/\s/g, "")).toBe(text.replaceAll(/\s/g, ""));
        for (const line of lines.split("\n")) {
          if (/\t|^\s/.test(line)) continue;
          if (longest(line) <= width) expect(columnsOf(line.trimEnd())).toBeLessThanOrEqual(width);
          // The terminal breaks a word that is longer than a line, and no other word.
          else if (columnsOf(line) === line.length)
            for (const { index, 0: word } of line.matchAll(/\S+/g))
              if (word.length <= width) expect((index % width) + word.length).toBeLessThanOrEqual(width);
        }
        expect(lines.split("\n").length).toBeGreaterThanOrEqual(text.split("\n").length);
      }),
    );
  });

  test("gives the same lines in pieces of any size", () => {
    fc.assert(
      fc.property(texts, widths, fc.integer({ min: 1, max: 5 }), (text, width, size) => {
        const wrap = new WordWrap(width);
        const characters = [...text];
        let lines = "";
        for (let i = 0; i < characters.length; i += size) lines += wrap.push(characters.slice(i, i + size).join(""));
        expect(lines + wrap.flush()).toBe(wrapped(text, width));
      }),
    );
  });
});

const longest = (line: string): number => Math.max(...line.split(/\s/).map(columnsOf));
