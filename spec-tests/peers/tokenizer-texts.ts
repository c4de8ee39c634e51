/** Texts on which tokenizers are compared: of many scripts, and strings of the characters that rules are about. */

import { randomSource } from "../fixtures/random-model.js";

const TEXTS: readonly string[] = [
  "",
  " ",
  "  ",
  "Hello, world!",
  " Hello  world ",
  "The quick brown fox jumps over the lazy dog. It's 27 + 38 = 65, isn't it?",
  "def f(x):\n    return x ** 2  # squared\n\n\tprint(f(10_000))\r\n",
  '{"name": "Ada", "tags": ["a", "b"], "n": -1.5e10}',
  "I'm, you're, we've, they'll, he'd, DON'T, it’s",
  "Größe, naïve café, Łódź, İstanbul, ÀÉÎÕÜ, ß, ﬁ ﬂ ½ ① Å Å e\u0301 o\u0308\u0304",
  "Быстрая коричневая лиса. Ελληνικά γράμματα ΑΣ Σ.",
  "敏捷的棕色狐狸跳过懒狗。日本語のテキスト、カタカナ。한국어 텍스트 가나다",
  "العربية نص ١٢٣ ، עברית שָׁלוֹם हिन्दी क्षि ไทยภาษา தமிழ் বাংলা",
  "😀👍🏽👩‍👩‍👧‍👦🇩🇪🏴‍☠️❤️ zero\u200bwidth\u200djoin",
  "a\u00a0b\u2003c\u3000d\u2028e\u0085f\ufeffg\u00adh\u1680i",
  "tab\tvt\vff\fnul\0bell\x07del\x7f\u008f",
  "a▁b ▁ c▁▁d _e_ </w> ##f <0x41> <unk> <s>",
  "x".repeat(300),
  " ".repeat(40),
  "\n".repeat(20) + " \n \n\n",
  "aaaa bbbb 1234567890 12 3 ١٢٣٤ Ⅷ ²",
  "!?...,;:--—––\"'`~@#$%^&*()[]{}<>/\\|+=",
  "http://example.com/a?b=c&d=%20#e user@example.org",
  "word".repeat(50) + " " + "longer words of many kinds ".repeat(30),
];

/** Characters that normalizers and pre-tokenizers treat in their own way. */
const CHARACTERS = [
  ..."aabbcdehlostxyzABE  ▁_-'’.,!?0123456789\n\t\r<>/",
  ..."éèßſİıΣσςñøÅ½①ﬁﷺ㌀中文字かカﾊ한가가",
  ..."١२๓Ⅷ²",
  ..."\u00a0\u0085\u2003\u200b\u200c\u200d\u2028\u3000\ufeff\u00ad\u0301\u0308\u0327\u20e3\ufe0f\u0903\u094d\u05b8",
  "😀",
  "🏽",
  "👩",
  "🇩",
  "🇪",
  "𝐀",
  "\u0600",
];

/** @returns the fixed texts, and random ones, always the same */
export function tokenizerTexts(numRandom: number, alphabet: readonly string[] = []): string[] {
  const random = randomSource(7);
  const characters = [...CHARACTERS, ...alphabet];
  const pick = (): string => characters[Math.floor(random() * characters.length)]!;
  const strings = Array.from({ length: numRandom }, () =>
    Array.from({ length: 1 + Math.floor(random() ** 2 * 60) }, pick).join(""),
  );
  return [...TEXTS, ...strings];
}
