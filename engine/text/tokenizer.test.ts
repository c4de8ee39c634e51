import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { Budget } from "../budget.js";
import { EngineError } from "../errors.js";
import type { JsonObject } from "../json.js";
import { LIMITS } from "../limits.js";
import { byteLevelJson, sentencePieceJson } from "../../spec-tests/fixtures/tokenizers.js";
import { Normalizer } from "./normalizer.js";
import { PatternSearch } from "./pattern-search.js";
import { BYTE_OF_CHARACTER } from "./token-bytes.js";
import { Tokenizer } from "./tokenizer.js";

const MERGES: readonly [string, string][] = [
  ["a", "b"],
  ["b", "c"],
  ["ab", "ab"],
  ["a", "a"],
  ["aa", "aa"],
  ["c", "ab"],
  ["Ġ", "a"],
  ["Ġ", "Ġ"],
];
const ADDED = [
  { content: "<|end|>", special: true },
  { content: "<|end|>>", special: true },
  { content: "<tool>" },
  { content: "<left>", lstrip: true },
  { content: "<right>", rstrip: true },
  { content: "word", single_word: true },
];
const byteLevel = new Tokenizer(byteLevelJson(MERGES, ADDED), {});
const idOf = (content: string): number => byteLevel.addedTokenId(content)!;
const names = (tokenizer: Tokenizer, ids: readonly number[]): string[] => ids.map((id) => tokenizer.tokenText(id));

/** Naive byte-pair merging: repeatedly merges the pair with the lowest rank, the leftmost of equal pairs. */
function mergeOneByOne(word: string): string[] {
  const parts = [...word];
  for (;;) {
    let best = MERGES.length;
    let place = -1;
    for (let index = 0; index + 1 < parts.length; index++) {
      const rank = MERGES.findIndex(([left, right]) => left === parts[index] && right === parts[index + 1]);
      if (rank >= 0 && rank < best) [best, place] = [rank, index];
    }
    if (place < 0) return parts;
    parts.splice(place, 2, parts[place]! + parts[place + 1]!);
  }
}

function failure(run: () => unknown): EngineError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(EngineError);
    return error as EngineError;
  }
  throw new Error("it did not fail");
}

describe("Tokenizer.encode", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 40 });
  it.each([
    ["words for the library", word],
    // Words of more than 255 characters are merged outside the library.
    ["longer words", word.map((part) => part.repeat(Math.ceil(256 / part.length)))],
  ])("merges like the naive implementation: %s", (_, words) => {
    fc.assert(
      fc.property(words, (text) => {
        expect(names(byteLevel, byteLevel.encode(text))).toEqual(mergeOneByOne(text));
      }),
      { numRuns: 200 },
    );
  });

  it("is inverted by decode for any text", () => {
    // Not fc.string({ unit: "binary" }), which takes a second to build its alphabet.
    const character = fc.integer({ min: 0, max: 0x10ffff }).map((codePoint) => String.fromCodePoint(codePoint));
    const parts = fc.oneof(
      fc.array(character).map((all) => all.join("")),
      fc.constantFrom("<|end|", "\0", "\uFEFF", "\uFFFD", " a", "word"),
    );
    const text = fc
      .array(parts)
      .map((all) => all.join(""))
      .filter((all) => !/[\uD800-\uDFFF]/u.test(all) && !all.includes("<|end|>"));
    fc.assert(
      fc.property(text, (value) => {
        expect(byteLevel.decode(byteLevel.encode(value))).toBe(value);
      }),
    );
    const llama = new Tokenizer(sentencePieceJson(), { bos_token: "<s>" });
    fc.assert(
      fc.property(
        text.filter((value) => !/<s>|<\/s>|<unk>/.test(value) && !value.includes("▁")),
        (value) => {
          expect(llama.decode(llama.encode(value))).toBe(value);
        },
      ),
      { numRuns: 50 },
    );
  });

  it("treats regular expression syntax in added tokens as literal text", () => {
    const odd = ["a.c", "(x)", "[y]", "{z}", "p|q", "u+", "v*", "w?", "^", "$", "\\d", "s/t"];
    const tokenizer = new Tokenizer(
      byteLevelJson(
        [],
        odd.map((content) => ({ content })),
      ),
      {},
    );
    for (const content of odd) expect(names(tokenizer, tokenizer.encode(`-${content}-`))).toEqual(["-", content, "-"]);
    expect(names(tokenizer, tokenizer.encode("abc"))).toEqual(["a", "b", "c"]);
  });

  it("searches normalized tokens in the normalized text, and others in the original text", () => {
    const json = byteLevelJson([], [{ content: "É", normalized: true }, { content: "È" }]);
    const tokenizer = new Tokenizer({ ...json, normalizer: { type: "Lowercase" } }, {});
    expect(names(tokenizer, tokenizer.encode("aÉéÈè"))).toEqual(["a", "É", "É", "È", "\uFFFD", "\uFFFD"]);
  });

  it("finds added tokens leftmost, then longest", () => {
    expect(byteLevel.encode("a<|end|>>b")).toEqual([0x61, idOf("<|end|>>"), 0x62]);
    expect(byteLevel.encode("a<|end|> <tool>")).toEqual([0x61, idOf("<|end|>"), 0x20, idOf("<tool>")]);
  });

  it("includes adjacent white space in lstrip and rstrip tokens", () => {
    expect(byteLevel.encode("a \n<left> b")).toEqual([0x61, idOf("<left>"), 0x20, 0x62]);
    expect(byteLevel.encode("a <right>\n b")).toEqual([0x61, 0x20, idOf("<right>"), 0x62]);
  });

  it("finds a single_word token only without adjacent word characters", () => {
    expect(byteLevel.encode("-word-")).toContain(idOf("word"));
    expect(byteLevel.encode("swords")).not.toContain(idOf("word"));
    expect(byteLevel.encode("éword")).not.toContain(idOf("word"));
    for (const beside of ["_", "9", "\u0301", "𝐀", "\u203f"]) {
      expect(byteLevel.encode(`word${beside}`), beside).not.toContain(idOf("word"));
      if (beside !== "\u0301") expect(byteLevel.encode(`${beside}word`), beside).not.toContain(idOf("word"));
    }
    for (const beside of ["", " ", "😊", "-"])
      expect(byteLevel.encode(`${beside}word${beside}`), beside).toContain(idOf("word"));
    expect(byteLevel.encode("words word").filter((id) => id === idOf("word"))).toHaveLength(1);
  });

  it("treats NUL as ordinary text", () => {
    expect(byteLevel.encode("a\0b")).toEqual([0x61, 0, 0x62]);
  });

  it.each(["\uD800", "a\uDC00", "\uDE00\uD83D"])("refuses lone surrogates", (text) => {
    expect(failure(() => byteLevel.encode(text, "prompt"))).toMatchObject({ code: "out_of_range", param: "prompt" });
    expect(failure(() => byteLevel.encode(text))).toMatchObject({ code: "out_of_range", param: null });
  });

  it("reports the position of a lone surrogate", () => {
    expect(failure(() => byteLevel.encode("ab\uDEADc")).message).toBe(
      "The text has a lone surrogate, U+DEAD, at index 2; only whole characters are allowed.",
    );
  });

  it("refuses a character without a token, in short and long words", () => {
    const json = byteLevelJson([], []) as { model: { vocab: Record<string, number> } };
    delete json.model.vocab["z"];
    const tokenizer = new Tokenizer(json, {});
    expect(tokenizer.encode("yx")).toEqual([0x79, 0x78]);
    expect(failure(() => tokenizer.encode("xyz", "prompt"))).toMatchObject({ code: "out_of_range", param: "prompt" });
    expect(failure(() => tokenizer.encode("xyz".repeat(200)))).toMatchObject({ code: "out_of_range" });
    const bare = sentencePieceJson() as { model: { byte_fallback: boolean } };
    bare.model.byte_fallback = false;
    expect(failure(() => new Tokenizer(bare, {}).encode("a\u4e2d"))).toMatchObject({ code: "out_of_range" });
    expect(failure(() => new Tokenizer(bare, {}).encode("a\u4e2d".repeat(200)))).toMatchObject({
      code: "out_of_range",
    });
  });
});

describe("Tokenizer.encodePrompt", () => {
  const stop: [string, string][] = [
    ["s", "t"],
    ["o", "p"],
    ["st", "op"],
  ];
  const prompt = (text: string, reserved: Iterable<number>) => ({
    text,
    templateTokens: [],
    reserved: new Set(reserved),
    opensReasoning: false,
  });

  it.each([false, true])(
    "encodes the text of a reserved token, if also an ordinary word, with other tokens (ignore_merges %s)",
    (ignoreMerges) => {
      const json = byteLevelJson(stop, [{ content: "stop", special: true }]) as { model: object };
      const tokenizer = new Tokenizer({ ...json, model: { ...json.model, ignore_merges: ignoreMerges } }, {});
      const id = tokenizer.addedTokenId("stop")!;
      expect(tokenizer.encode("stop")).toEqual([id]);
      expect(names(tokenizer, tokenizer.encodePrompt(prompt("stop", [id])))).toEqual(["st", "op"]);
      expect(names(tokenizer, tokenizer.encodePrompt(prompt("st op", [id])))).toEqual(["st", " ", "op"]);
      expect(tokenizer.encodePrompt(prompt("stop", []))).toEqual([id]);
    },
  );

  it("does the same if no merge produces the word, only the vocabulary", () => {
    const json = byteLevelJson([], [{ content: "stop", special: true }]) as {
      model: { vocab: Record<string, number> };
    };
    const id = (json.model.vocab["stop"] = 256);
    const of = (ignoreMerges: boolean): Tokenizer =>
      new Tokenizer({ ...json, model: { ...json.model, ignore_merges: ignoreMerges } }, {});
    for (const tokenizer of [of(true), of(false)]) {
      expect(tokenizer.encode("stop")).toEqual([id]);
      expect(names(tokenizer, tokenizer.encodePrompt(prompt("stop", [id])))).toEqual(["s", "t", "o", "p"]);
    }
  });

  it("still encodes other words as whole tokens with ignore_merges", () => {
    const json = byteLevelJson([], [{ content: "<|end|>", special: true }]) as {
      model: { vocab: Record<string, number> };
    };
    json.model.vocab["stop"] = 500;
    const tokenizer = new Tokenizer({ ...json, model: { ...json.model, ignore_merges: true } }, {});
    expect(tokenizer.encodePrompt(prompt("stop", [tokenizer.addedTokenId("<|end|>")!]))).toEqual([500]);
    expect(tokenizer.encode("stop")).toEqual([500]);
  });

  it("reports messages as the parameter for a character without a token", () => {
    const json = byteLevelJson([], []) as { model: { vocab: Record<string, number> } };
    delete json.model.vocab["z"];
    expect(failure(() => new Tokenizer(json, {}).encodePrompt(prompt("z", [])))).toMatchObject({
      code: "out_of_range",
      param: "messages",
    });
  });
});

describe("the begin token", () => {
  const template = (...ids: string[]): object => ({
    type: "TemplateProcessing",
    single: [...ids.map((id) => ({ SpecialToken: { id } })), { Sequence: { id: "A" } }],
    special_tokens: { "<|end|>": { ids: [idOf("<|end|>")] } },
  });
  const withProcessor = (processor: object | null, config: object = {}): Tokenizer =>
    new Tokenizer({ ...byteLevelJson([], ADDED), post_processor: processor }, config);
  const end = new Tokenizer(byteLevelJson([], ADDED), {}).addedTokenId("<|end|>")!;

  it("is absent by default, so that an empty text has no tokens", () => {
    expect(withProcessor(null).beginTokenIds).toEqual([]);
    expect(withProcessor(null).encode("")).toEqual([]);
  });

  it("is read from the post-processor, or from add_bos_token, which takes precedence", () => {
    const fromTemplate = { ...template("<|end|>"), special_tokens: { "<|end|>": { ids: [end] } } };
    expect(withProcessor(fromTemplate).encode("")).toEqual([end]);
    expect(withProcessor({ type: "Sequence", processors: [{ type: "ByteLevel" }, fromTemplate] }).encode("a")).toEqual([
      end,
      0x61,
    ]);
    expect(withProcessor(fromTemplate, { add_bos_token: false }).beginTokenIds).toEqual([]);
    expect(withProcessor(null, { add_bos_token: true, bos_token: { content: "<|end|>" } }).encode("a")).toEqual([
      end,
      0x61,
    ]);
  });

  it.each(["BertProcessing", "RobertaProcessing"])("is the first token of %s", (type) => {
    const processor = { type, cls: ["<|end|>", end], sep: ["<|end|>", end] };
    expect(withProcessor(processor).encode("a")).toEqual([end, 0x61]);
  });

  it("can be several tokens", () => {
    const tool = new Tokenizer(byteLevelJson([], ADDED), {}).addedTokenId("<tool>")!;
    const twice = {
      ...template("<|end|>", "<tool>"),
      special_tokens: { "<|end|>": { ids: [end] }, "<tool>": { ids: [tool] } },
    };
    expect(withProcessor(twice).encode("a")).toEqual([end, tool, 0x61]);
    expect(withProcessor(twice)).toMatchObject({ beginTokenIds: [end, tool], startOfTextId: end });
    expect(withProcessor(twice).decode([end, tool, 0x61])).toBe("<tool>a");
    const pair = { ...template("<|end|>"), special_tokens: { "<|end|>": { ids: [end, 0x62] } } };
    expect(withProcessor(pair).encode("a")).toEqual([end, 0x62, 0x61]);
    const many = { ...template("<|end|>"), special_tokens: { "<|end|>": { ids: new Array(9).fill(end) } } };
    expect(failure(() => withProcessor(many))).toMatchObject({
      code: "unsupported_model",
      message: "tokenizer.json puts more than 8 tokens in front of a text, which is not supported",
    });
    expect(failure(() => withProcessor({ type: "Sequence", processors: [twice, twice] }))).toMatchObject({
      code: "unsupported_model",
      message: "tokenizer.json has 2 post-processors that put tokens in front of a text; at most one is supported",
    });
  });

  it("is refused if it is unknown or unsupported", () => {
    expect(failure(() => withProcessor(null, { add_bos_token: true })).code).toBe("invalid_model");
    for (const id of [-1, 0.5, 2 ** 31, 5000]) {
      const processor = { ...template("<|end|>"), special_tokens: { "<|end|>": { ids: [id] } } };
      expect(failure(() => withProcessor(processor))).toMatchObject({
        code: "invalid_model",
        message: `tokenizer.json begins texts with token ${id}, which does not exist`,
      });
    }
    expect(failure(() => withProcessor({})).message).toBe(
      "tokenizer.json has the post-processor without a type, which is not supported",
    );
    expect(failure(() => withProcessor({ type: "OtherProcessing" }))).toMatchObject({
      code: "unsupported_model",
      message: "tokenizer.json has the post-processor OtherProcessing, which is not supported",
    });
    for (const cls of [undefined, "<|end|>", [end], ["<|end|>", "1"]])
      expect(failure(() => withProcessor({ type: "RobertaProcessing", cls }))).toMatchObject({
        code: "invalid_model",
        message: expect.stringContaining("cls of a post-processor must be the name and the id of a token") as string,
      });
    expect(failure(() => withProcessor(null, { add_bos_token: true, bos_token: "<none>" })).message).toBe(
      "tokenizer_config.json sets add_bos_token, but its bos_token is not a token of tokenizer.json",
    );
  });

  it("is also the start of a text if the tokenizer does not add it", () => {
    expect(withProcessor(null, { bos_token: "<|end|>" })).toMatchObject({ beginTokenIds: [], startOfTextId: end });
    expect(withProcessor(null, { bos_token: "none" })).toMatchObject({ beginTokenIds: [], startOfTextId: null });
    expect(new Tokenizer(sentencePieceJson(), {})).toMatchObject({ beginTokenIds: [1], startOfTextId: 1 });
  });

  it("is the token before the text in the template; there is none if the template is incomplete", () => {
    const text = { Sequence: { id: "A" } };
    const token = { SpecialToken: { id: "<|end|>" } };
    const tokens = { "<|end|>": { ids: [end] } };
    const of = (...fields: object[]): readonly number[] =>
      withProcessor(Object.assign({ type: "TemplateProcessing" }, ...fields)).beginTokenIds;
    expect(of({ single: [token, text] }, { special_tokens: tokens })).toEqual([end]);
    expect(of({ single: [text, token] }, { special_tokens: tokens })).toEqual([]);
    expect(of({ special_tokens: tokens })).toEqual([]);
    expect(of({ single: [token, text] })).toEqual([]);
    expect(of({ single: ["<|end|>", text] }, { special_tokens: tokens })).toEqual([]);
    for (const entry of [null, "x", {}, { ids: end }, { ids: [] }, { ids: ["<|end|>"] }]) {
      expect(of({ single: [token, text] }, { special_tokens: { "<|end|>": entry } })).toEqual([]);
    }
    expect(withProcessor({ type: "Sequence" }).beginTokenIds).toEqual([]);
    expect(withProcessor({ type: "ByteLevel" }).beginTokenIds).toEqual([]);
    expect(withProcessor("ByteLevel" as never).beginTokenIds).toEqual([]);
  });
});

describe("tokens", () => {
  it("have bytes and a text", () => {
    expect([...byteLevel.tokenBytes(0xe2)]).toEqual([0xe2]);
    expect(byteLevel.tokenText(0xe2)).toBe("\uFFFD");
    expect(byteLevel.tokenText(byteLevel.encode(" a")[0]!)).toBe(" a");
    expect(byteLevel.tokenText(idOf("<tool>"))).toBe("<tool>");
    expect([...byteLevel.tokenBytes(idOf("<tool>"))]).toEqual([...new TextEncoder().encode("<tool>")]);
  });

  it("that are special have a name and no bytes, except message markup", () => {
    const tokenizer = new Tokenizer(
      byteLevelJson(
        [],
        [
          { content: "<|end|>", special: true },
          { content: "<think>", special: true },
        ],
      ),
      {},
      ["<think>"],
    );
    const [end, think] = [tokenizer.addedTokenId("<|end|>")!, tokenizer.addedTokenId("<think>")!];
    expect([tokenizer.tokenText(end), tokenizer.tokenBytes(end).length, tokenizer.isSpecial(end)]).toEqual([
      "<|end|>",
      0,
      true,
    ]);
    expect([tokenizer.tokenText(think), tokenizer.tokenBytes(think).length, tokenizer.isSpecial(think)]).toEqual([
      "<think>",
      7,
      false,
    ]);
  });

  it("are special if only tokenizer_config.json marks them as special", () => {
    const tokenizer = new Tokenizer(byteLevelJson([], [{ content: "<tool>" }]), {
      eos_token: { content: "<tool>" },
      additional_special_tokens: ["x"],
      pad_token: "!",
    });
    expect(tokenizer.isSpecial(tokenizer.addedTokenId("<tool>")!)).toBe(true);
    expect([tokenizer.isSpecial(0x78), tokenizer.isSpecial(0x21)]).toEqual([true, false]);
    expect(tokenizer.addedTokens.map(({ content }) => content)).toEqual(["<tool>", "x"]);
  });

  it("are added if only tokenizer_config.json lists them; those of tokenizer.json do not change", () => {
    const tokenizer = new Tokenizer(byteLevelJson([], [{ content: "<tool>" }]), {
      added_tokens_decoder: {
        256: { content: "<other>", special: true },
        300: { content: "<late>", special: true },
        301: { content: "<plain>" },
      },
      unk_token: "<plain>",
    });
    const shown = tokenizer.addedTokens.map(({ id, content, special, normalized }) => [
      id,
      content,
      special,
      normalized,
    ]);
    expect(shown).toEqual([
      [256, "<tool>", false, false],
      [300, "<late>", true, false],
      [301, "<plain>", true, true],
    ]);
  });

  it("can be a byte order mark, which is ordinary text", () => {
    const tokenizer = new Tokenizer(
      byteLevelJson(
        [
          ["ï", "»"],
          ["ï»", "¿"],
        ],
        [],
      ),
      {},
    );
    expect(tokenizer.tokenText(tokenizer.encode("\uFEFF")[0]!)).toBe("\uFEFF");
  });

  it("have a maximum length", () => {
    expect(byteLevel.maxTokenLength).toBe("<|end|>>".length);
    expect(
      new Tokenizer(
        byteLevelJson(
          [
            ["a", "b"],
            ["ab", "ab"],
          ],
          [{ content: "xyz" }],
        ),
        {},
      ).maxTokenLength,
    ).toBe(4);
  });

  it("that do not exist have no id", () => {
    expect(byteLevel.addedTokenId("<none>")).toBeNull();
  });

  it("can leave ids unused", () => {
    const json = byteLevelJson([], []) as { added_tokens: object[] };
    json.added_tokens = [{ id: 300, content: "<|far|>", special: true }];
    const tokenizer = new Tokenizer(json, {});
    expect(tokenizer.vocabSize).toBe(301);
    expect([255, 256, 299, 300, 301, -1].map((id) => tokenizer.hasToken(id))).toEqual([
      true,
      false,
      false,
      true,
      false,
      false,
    ]);
    expect([tokenizer.tokenText(256), tokenizer.tokenText(301)]).toEqual(["", ""]);
  });

  it("of SentencePiece represent spaces, bytes and characters", () => {
    const tokenizer = new Tokenizer(sentencePieceJson(), {});
    const ids = tokenizer.encode("ab é\n\u4e2d");
    expect(names(tokenizer, ids)).toEqual(["<s>", " ab", " ", "é", "\n", "\uFFFD", "\uFFFD", "\uFFFD"]);
    expect(ids.slice(-3).flatMap((id) => [...tokenizer.tokenBytes(id)])).toEqual([0xe4, 0xb8, 0xad]);
  });
});

describe("a pre-tokenizer", () => {
  const words = (preTokenizer: object, text: string): string[] => {
    const json = {
      ...byteLevelJson(
        [
          ["1", "2"],
          ["Ù", "£"],
          ["Ù", "¤"],
          ["Ù£", "Ù¤"],
        ],
        [],
      ),
      pre_tokenizer: { type: "Sequence", pretokenizers: [preTokenizer, { type: "ByteLevel", use_regex: false }] },
    };
    const tokenizer = new Tokenizer(json, {});
    return names(tokenizer, tokenizer.encode(text));
  };

  it("Digits matches all numeric characters", () => {
    expect(words({ type: "Digits", individual_digits: true }, "12\u0663\u0664")).toEqual([
      "1",
      "2",
      "\u0663",
      "\u0664",
    ]);
    expect(words({ type: "Digits", individual_digits: false }, "12\u0663\u0664")).toEqual(["12", "\u0663\u0664"]);
  });

  it.each([false, true])(
    "ByteLevel takes U+0085 for white space and U+FEFF for none (add_prefix_space %s)",
    (isPrefixed) => {
      const x85 = [...BYTE_OF_CHARACTER].find(([, byte]) => byte === 0x85)![0];
      const json = byteLevelJson(
        [
          ["ï", "»"],
          ["ï»", "¿"],
          ["ï»¿", "!"],
          ["Â", x85],
          [`Â${x85}`, "!"],
        ],
        [],
      );
      const preTokenizer = { type: "ByteLevel", add_prefix_space: isPrefixed };
      const tokenizer = new Tokenizer({ ...json, pre_tokenizer: preTokenizer }, {});
      const start = isPrefixed ? [" "] : [];
      expect(names(tokenizer, tokenizer.encode("x\ufeff!\u0085!"))).toEqual([...start, "x", "\ufeff!", "\u0085", "!"]);
    },
  );

  it("WhitespaceSplit takes U+0085 for white space and U+FEFF for none", () => {
    expect(words({ type: "WhitespaceSplit" }, "1\u00852\ufeff").join("|")).toBe("1|2|\ufffd|\ufffd|\ufffd");
  });

  it("Metaspace splits words, and adds a leading space if configured", () => {
    const merges: [string, string][] = [
      ["▁", "▁"],
      ["▁", "a"],
      ["a", "▁"],
    ];
    const metaspace = (definition: object, text: string): string[] => {
      const json = sentencePieceJson() as { model: { merges: unknown; vocab: Record<string, number> } };
      for (const merge of merges) json.model.vocab[merge.join("")] ??= Object.keys(json.model.vocab).length;
      json.model.merges = merges;
      const tokenizer = new Tokenizer(
        {
          ...json,
          normalizer: null,
          post_processor: null,
          pre_tokenizer: { type: "Metaspace", ...definition },
          decoder: { type: "Metaspace" },
        },
        {},
      );
      return names(tokenizer, tokenizer.encode(text));
    };
    expect(metaspace({}, "a a  a")).toEqual([" a", " a", " ", " a"]);
    expect(metaspace({ split: false }, "a  a")).toEqual([" a", "  ", "a"]);
    expect(metaspace({ prepend_scheme: "never" }, "a a")).toEqual(["a", " a"]);
    expect(metaspace({ add_prefix_space: false }, "a")).toEqual(["a"]);
    expect(metaspace({ prepend_scheme: "first" }, "a</s>a")).toEqual([" a", "</s>", "a"]);
    expect(metaspace({ prepend_scheme: "always" }, "a</s>a")).toEqual([" a", "</s>", " a"]);
  });
});

describe("unsupported definitions", () => {
  const base = byteLevelJson([], []);
  const llama = sentencePieceJson();
  it.each<[string, object, string]>([
    ["WordPiece", { ...base, model: { type: "WordPiece", vocab: {} } }, "WordPiece"],
    ["a Unigram model that samples", { ...base, model: { type: "Unigram", vocab: [], alpha: 0.1 } }, "alpha 0.1"],
    ["dropout", { ...base, model: { type: "BPE", vocab: {}, merges: [], dropout: 0.1 } }, "dropout"],
    ["a lossy pre-tokenizer", { ...base, pre_tokenizer: { type: "UnicodeScripts" } }, "UnicodeScripts"],
    [
      "a Metaspace with an unknown scheme",
      { ...base, pre_tokenizer: { type: "Metaspace", prepend_scheme: "none" } },
      "Metaspace with prepend_scheme none",
    ],
    [
      "a split that no library knows",
      { ...base, pre_tokenizer: { type: "Split", pattern: { String: " " }, behavior: "MergedWithAll" } },
      "MergedWithAll",
    ],
    [
      "a normalizer that the library only approximates",
      { ...base, normalizer: { type: "BertNormalizer" } },
      "BertNormalizer",
    ],
    ["a model without a type", { model: { vocab: {} } }, "the model without a type; supported: BPE, Unigram"],
    [
      "a wrong pattern",
      { ...base, normalizer: { type: "Replace", pattern: { Regex: "\n\\p{Nope}" }, content: "" } },
      "has a pattern that is not supported: Invalid property name",
    ],
    [
      "a normalizer that takes too long for the added tokens",
      {
        ...base,
        added_tokens: Array.from({ length: 20_000 }, (_, index) => ({ id: 1000 + index, content: `<${index}>` })),
        normalizer: { type: "Sequence", normalizers: Array.from({ length: 60 }, () => ({ type: "Lowercase" })) },
      },
      "a normalizer that takes too long for the added tokens",
    ],
    [
      "an added token that is too long",
      { ...base, added_tokens: [{ id: 1000, content: "x".repeat(4097) }] },
      "has added tokens of 4097 characters, normalized; supported: up to 4096 in one",
    ],
    [
      "an added token that becomes too long",
      {
        ...base,
        added_tokens: [{ id: 1000, content: "<a>" }],
        normalizer: { type: "Prepend", prepend: "x".repeat(5000) },
      },
      "has added tokens of 5003 characters, normalized",
    ],
    [
      "many long added tokens",
      {
        ...base,
        added_tokens: Array.from({ length: 300 }, (_, id) => ({ id: 1000 + id, content: `${id}`.padEnd(4000, "x") })),
      },
      "and 1048576 in all",
    ],
    ["a missing decoder", { ...llama, decoder: null }, "no decoder"],
    ["an unknown decoder", { ...llama, decoder: { type: "CTC" } }, "CTC"],
    [
      "a decoder that strips every token",
      { ...llama, decoder: { type: "Strip", content: " ", start: 1, stop: 0 } },
      "Strip",
    ],
    [
      "a decoder with a regular expression",
      { ...llama, decoder: { type: "Replace", pattern: { Regex: "." }, content: "" } },
      "Replace",
    ],
  ])("refuses %s by name", (_, json, name) => {
    const error = failure(() => new Tokenizer(json, {}));
    expect(error.code).toBe("unsupported_model");
    expect(error.message).toContain(name);
  });

  it("refuses invalid tokenizers with invalid_model, and empty or too large vocabularies", () => {
    expect(failure(() => new Tokenizer({}, {})).code).toBe("invalid_model");
    expect(failure(() => new Tokenizer({ model: { type: "BPE", vocab: {} } }, {})).code).toBe("invalid_model");
    expect(failure(() => new Tokenizer({ ...base, added_tokens: [{ content: "x" }] }, {})).code).toBe("invalid_model");
    const bad = [
      null,
      "x",
      { content: "x" },
      { id: 1 },
      { id: "1", content: "x" },
      { id: 0.5, content: "x" },
      { id: -1, content: "x" },
    ];
    for (const entry of bad) {
      const error = failure(() => new Tokenizer({ ...base, added_tokens: [entry] }, {}));
      expect(error.message).toBe("tokenizer.json: an added token has no content or no id");
    }
    expect(failure(() => new Tokenizer({ ...base, added_tokens: {} }, {})).message).toBe(
      "tokenizer.json: added_tokens is not a list",
    );
    const last = (id: number): object => ({ ...base, added_tokens: [{ id, content: "x" }] });
    expect(failure(() => new Tokenizer(last(LIMITS.maxVocabSize), {}))).toMatchObject({
      code: "unsupported_model",
      message: `tokenizer.json has ids up to ${LIMITS.maxVocabSize}; supported: up to ${LIMITS.maxVocabSize - 1}`,
    });
    expect(new Tokenizer(last(LIMITS.maxVocabSize - 1), {}).vocabSize).toBe(LIMITS.maxVocabSize);
    const empty = { ...base, model: { type: "BPE", vocab: {}, merges: [] } };
    expect(failure(() => new Tokenizer(empty, {})).code).toBe("unsupported_model");
    expect(failure(() => new Tokenizer({}, {})).message).toBe("tokenizer.json has no model");
    for (const id of [-1, 0.5, "1", null, 2 ** 60, [1]]) {
      const json = { ...base, model: { type: "BPE", vocab: { a: 0, "b\n": id }, merges: [] } };
      expect(failure(() => new Tokenizer(json, {}))).toMatchObject({
        code: "invalid_model",
        message: expect.stringMatching(
          /^tokenizer.json: the id of "b\\n" must be an integer from 0. Given: /,
        ) as string,
      });
    }
    expect(failure(() => new Tokenizer({ model: { type: "BPE", vocab: {} } }, {})).message).toBe(
      "tokenizer.json: the BPE model has no vocab or no merges",
    );
  });

  it.each(["end_of_word_suffix", "continuing_subword_prefix"])(
    "refuses an %s that is no text or too long",
    (option) => {
      for (const affix of [5, {}, "x".repeat(LIMITS.maxAffixCharacters + 1)]) {
        const json = { ...base, model: { ...(base as { model: object }).model, [option]: affix } };
        expect(failure(() => new Tokenizer(json, {}))).toMatchObject({
          code: "invalid_model",
          message: expect.stringMatching(
            new RegExp(`^tokenizer.json: ${option} must be a text of up to 64 characters. Given: `),
          ) as string,
        });
      }
    },
  );

  it("accepts unsupported options with values that have no effect", () => {
    const { model } = base as { model: object };
    const options = { continuing_subword_prefix: "", end_of_word_suffix: null, dropout: 0 };
    expect(new Tokenizer({ ...base, model: { ...model, ...options } }, {}).encode("ab")).toEqual([0x61, 0x62]);
  });
});

describe("the budget of a normalizer", () => {
  /** Returns the steps that normalizing a text takes. */
  function stepsOf(definition: object, text: string): number {
    let numSteps = 0;
    const budget = new Budget(1e9, () => new Error("spent"));
    vi.spyOn(budget, "spend").mockImplementation((steps = 1) => void (numSteps += steps));
    new Normalizer(definition as JsonObject, () => new PatternSearch(/a/gu, [])).normalize(text, budget, null);
    return numSteps;
  }

  it("counts the characters that are added, and those that a pattern can match", () => {
    expect(stepsOf({ type: "Prepend", prepend: "x".repeat(5000) }, "a")).toBeGreaterThan(5000);
    const replace = { type: "Replace", pattern: { String: "a" }, content: "aaaaaaaa" };
    expect(stepsOf(replace, "a".repeat(1000))).toBeGreaterThanOrEqual(8000);
    expect(stepsOf(replace, "b".repeat(1000))).toBeGreaterThanOrEqual(1000);
    expect(stepsOf({ type: "Lowercase" }, "b".repeat(1000))).toBeLessThan(200);
  });
});
