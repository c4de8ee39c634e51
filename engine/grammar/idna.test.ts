import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ALabel, beginALabel, freeRoom, nextInALabel, roomLeft } from "./idna.js";

function read(text: string, label: ALabel | null = beginALabel()): ALabel | null {
  let read = label;
  for (const letter of text) read = read && nextInALabel(read, letter);
  return read;
}

const isALabel = (text: string): boolean => read(text)?.isWhole ?? false;

/** The label's Punycode, by RFC 3492, section 6.3. */
function encoded(label: string): string {
  const points = [...label].map((character) => character.codePointAt(0)!);
  const basic = points.filter((point) => point < 0x80);
  let text = basic.length > 0 ? `${String.fromCodePoint(...basic)}-` : "";
  let [n, delta, bias, handled] = [0x80, 0, 72, basic.length];
  while (handled < points.length) {
    const next = Math.min(...points.filter((point) => point >= n));
    delta += (next - n) * (handled + 1);
    n = next;
    for (const point of points) {
      if (point < n) delta++;
      if (point !== n) continue;
      text += digits(delta, bias);
      bias = adapted(delta, handled + 1, handled === basic.length);
      delta = 0;
      handled++;
    }
    delta++;
    n++;
  }
  return text;
}

function digits(integer: number, bias: number): string {
  let text = "";
  let left = integer;
  for (let k = 36; ; k += 36) {
    const t = k <= bias ? 1 : Math.min(26, k - bias);
    if (left < t) return text + letterOf(left);
    text += letterOf(t + ((left - t) % (36 - t)));
    left = Math.floor((left - t) / (36 - t));
  }
}

const letterOf = (digit: number): string => "abcdefghijklmnopqrstuvwxyz0123456789"[digit]!;

function adapted(difference: number, numPoints: number, isFirst: boolean): number {
  let delta = Math.floor(difference / (isFirst ? 700 : 2));
  delta += Math.floor(delta / numPoints);
  let k = 0;
  for (; delta > 455; k += 36) delta = Math.floor(delta / 35);
  return k + Math.floor((36 * delta) / (delta + 38));
}

describe("Punycode", () => {
  it.each([
    ["ليهمابتكلموشعربي؟", "egbpdaj6bu4bxfgehfvwxn"],
    ["他们为什么不说中文", "ihqwcrb4cv8a8dqg056pqjye"],
    ["他們爲什麽不說中文", "ihqwctvzc91f659drss3x8bo0yb"],
    ["Pročprostěnemluvíčesky", "Proprostnemluvesky-uyb24dma41a"],
    ["למההםפשוטלאמדבריםעברית", "4dbcagdahymbxekheh6e0a7fei0b"],
    ["यहलोगहिन्दीक्योंनहींबोलसकतेहैं", "i1baa7eci9glrd9b2ae1bj0hfcgg6iyaf8o0a1dig0cd"],
    ["なぜみんな日本語を話してくれないのか", "n8jok5ay5dzabd5bym9f0cm5685rrjetr6pdxa"],
    ["почемужеонинеговорятпорусски", "b1abfaaepdrnnbgefbadotcwatmq2g4l"],
    ["PorquénopuedensimplementehablarenEspañol", "PorqunopuedensimplementehablarenEspaol-fmd56a"],
    ["TạisaohọkhôngthểchỉnóitiếngViệt", "TisaohkhngthchnitingVit-kjcr8268qyxafd2f1b9g"],
    ["3年B組金八先生", "3B-ww4c5e180e575a65lsy2b"],
    ["安室奈美恵-with-SUPER-MONKEYS", "-with-SUPER-MONKEYS-pc58ag80a8qai00g7n9n"],
    ["Hello-Another-Way-それぞれの場所", "Hello-Another-Way--fc4qua05auwb3674vfr0b"],
    ["ひとつ屋根の下2", "2-u9tlzr9756bt3uc0v"],
    ["MajiでKoiする5秒前", "MajiKoi5-783gue6qz075azm5e"],
    ["パフィーdeルンバ", "de-jg4avhby1noc0d"],
    ["そのスピードで", "d9juau41awczczp"],
  ])("of RFC 3492, section 7.1: %s", (label, punycode) => {
    expect(encoded(label)).toBe(punycode);
    const { decoding, isWhole } = read(punycode) ?? { decoding: null, isWhole: false };
    // One of them ends with a question mark, which is not for labels.
    expect(isWhole).toBe(!label.includes("؟"));
    if (isWhole) expect(String.fromCodePoint(...decoding!.points)).toBe(label.toLowerCase());
  });
});

describe("labels", () => {
  const check = (right: readonly string[], wrong: readonly string[]): void => {
    for (const label of right) expect(isALabel(encoded(label)), label).toBe(true);
    for (const label of wrong) expect(isALabel(encoded(label)), label).toBe(false);
  };

  it("hold letters, digits and marks that are stable under case folding and composition", () => {
    check(
      ["bücher", "straße", "σος", "ı", "\u13f0", "中文", "가", "〇", "१"],
      ["Ü", "ﬁ", "ａ", "☃", "\u13f8", "\u1100\u1161", "\u0640", "x\u00ad", "𝐚", "x\u{e000}", "x\u0378", "Ⅷ", "\u20d0"],
    );
    check(["é", "e\u0334\u0301".normalize("NFC")], ["e\u0301", "\u0435\u0308"]);
  });

  it("begin with no mark, and have hyphens inside only", () => {
    check(["ü-ü", "пример-тест", "а-б-в-г", "ü-x-ü"], ["\u0301a", "-ü", "ü-", "üa--b", "ü---ü"]);
  });

  it("hold what depends on its neighbours where these are right", () => {
    check(
      [
        "l·l",
        "\u0375β",
        "א\u05f3",
        "א\u05f4",
        "カ・",
        "・漢",
        "क\u094d\u200dष",
        "क\u094d\u200cष",
        "بی\u200cبی",
        "ب\u064b\u200cی",
      ],
      ["l·a", "·l", "\u0375a", "ab\u0375", "a\u05f3", "\u05f3א", "a・", "क\u200dष", "क\u200cष", "\u3099\u200da", "ب١۱"],
    );
    check([], ["بد\u200cب", "ب\u200c", "\u200cb", "ب\u200c\u200cب"]);
  });

  it("run one way", () => {
    check(["אב", "אב1", "א-ב", "ب1", "ب١", "א\u05b0", "1۱"], ["אa", "aא", "1א", "א-", "ب١1", "١", "אб"]);
  });

  it("are read in any case, and end before the last eight of 59 letters, or as is known", () => {
    expect(isALabel("BCHER-KVA")).toBe(true);
    expect(isALabel(encoded("가".repeat(20)))).toBe(true);
    const late = (length: number): string => encoded(`${"a".repeat(length)}ö`);
    expect(late(47)).toHaveLength(51);
    expect(isALabel(late(47))).toBe(true);
    expect(isALabel(late(48))).toBe(false);
    expect(isALabel(encoded(`${"a".repeat(51)}ß`))).toBe(true);
    expect(read("a".repeat(51))).not.toBe(null);
    expect(read("a".repeat(52))).toBe(null);
  });

  it("are whole only with digits behind the last hyphen", () => {
    for (const text of ["", "-", "abc", "abc-", "--", "ü"]) expect(isALabel(text), text).toBe(false);
  });
});

const LETTERS = [..."abcdefghijklmnopqrstuvwxyz0123456789-"];
const letters = (maxLength: number): fc.Arbitrary<string> =>
  fc.oneof(
    fc.string({ unit: fc.constantFrom(...LETTERS), maxLength }),
    fc.string({ unit: fc.constantFrom("-", "a", "l"), maxLength }),
  );

describe("beginnings", () => {
  /** Labels of many scripts, right and wrong. */
  const labels = fc.string({
    unit: fc.oneof(
      fc.constantFrom(
        ..."-al·0",
        "\u0375",
        "β",
        "א",
        "\u05f3",
        "ب",
        "١",
        "\u200c",
        "\u200d",
        "क",
        "\u094d",
        "・",
        "漢",
        "\u0301",
        "e",
        "가",
      ),
      fc.integer({ min: 0x80, max: 0x3200 }).map((codePoint) => String.fromCodePoint(codePoint)),
    ),
    minLength: 1,
    maxLength: 10,
  });

  it("end in as many letters as they reserve, and some letter always leads nearer", () => {
    fc.assert(
      fc.property(fc.oneof(letters(59), labels.map(encoded)), fc.infiniteStream(fc.nat()), (text, choices) => {
        let label = beginALabel();
        for (const letter of text) label = nextInALabel(label, letter) ?? label;
        expect(label.numReserved).toBeLessThanOrEqual(roomLeft(label));
        // From here on, any letter that leads nearer.
        while (label.numReserved > 0) {
          const { numReserved } = label;
          const nearer = LETTERS.flatMap((letter) => nextInALabel(label, letter) ?? []).filter(
            (next) => next.numReserved < numReserved,
          );
          expect(nearer.length, label.text).toBeGreaterThan(0);
          label = nearer[choices.next().value! % nearer.length]!;
        }
        expect(label.isWhole, label.text).toBe(true);
      }),
      { numRuns: 400 },
    );
  });

  it("that random letters lead to are never stuck", () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.nat()), (choices) => {
        let label = beginALabel();
        for (;;) {
          const next = LETTERS.flatMap((letter) => nextInALabel(label, letter) ?? []);
          if (next.length === 0) break;
          label = next[choices.next().value! % next.length]!;
        }
        expect(label.isWhole, label.text).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  it("have the room that they say", () => {
    fc.assert(
      fc.property(letters(53), letters(20), (begun, more) => {
        const label = read(begun);
        if (label === null) return;
        const isLegal = read(more, label) !== null;
        if (more.length <= freeRoom(label, Infinity)) expect(isLegal).toBe(true);
        if (isLegal) expect(more.length).toBeLessThanOrEqual(roomLeft(label));
      }),
      { numRuns: 2000 },
    );
  });
});
