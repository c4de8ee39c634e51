/**
 * Trains the byte-level BPE and writes it, and the chat template, in the Hugging
 * Face formats. Words start with their space, except capitalised ones, whose
 * space stands alone: so a name has the same tokens after a space and a quote.
 * A capital only starts a word: PARIS is five tokens. Digits never merge.
 */

export const SPECIAL = {
  begin: "<|begin|>",
  end: "<|end|>",
  system: "<|system|>",
  user: "<|user|>",
  assistant: "<|assistant|>",
} as const;
export const THINK = "<think>";
export const END_THINK = "</think>";
export const TOOL_ROLE = "<|tool|>";
export const CALL = "<tool_call>";
export const END_CALL = "</tool_call>";

const ADDED = [...Object.values(SPECIAL), THINK, END_THINK];

const WORD_PATTERN =
  " ?[\\p{Ll}\\p{Lo}\\p{Lm}]+|[\\p{Lu}\\p{Lt}][\\p{Ll}\\p{Lo}\\p{Lm}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** The byte alphabet of GPT-2: printable Latin-1 stands for itself, the rest for U+0100 and on. */
const BYTE_SYMBOLS: readonly string[] = (() => {
  const symbols: string[] = [];
  for (let byte = 0, moved = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    symbols.push(String.fromCharCode(printable ? byte : 0x100 + moved++));
  }
  return symbols;
})();

/** tokenizer.json, as an object, with `vocabSize` tokens in all. */
export function trainTokenizer(texts: Iterable<string>, vocabSize: number) {
  const merges = trainMerges(countWords(texts), vocabSize - ADDED.length - BYTE_SYMBOLS.length);
  const vocab = new Map<string, number>();
  for (const token of [...ADDED, ...BYTE_SYMBOLS, ...merges.map((pair) => pair.join(""))]) vocab.set(token, vocab.size);
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: ADDED.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: content !== THINK && content !== END_THINK,
    })),
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: WORD_PATTERN }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(vocab),
      merges: merges.map((pair) => pair.join(" ")),
    },
  };
}

/** R1's manner: reasoning leaves the history, and the prompt opens it for the new answer. */
export const CHAT_TEMPLATE = `{{- bos_token }}
{%- for message in messages %}
  {%- if message.role == 'system' or message.role == 'user' %}
    {{- '<|' + message.role + '|>' + message.content + '<|end|>' }}
  {%- elif message.role == 'assistant' %}
    {{- '<|assistant|>' + message.content.split('</think>')[-1].lstrip() + '<|end|>' }}
  {%- else %}
    {{- raise_exception('This model knows the roles system, user and assistant, not ' + message.role + '.') }}
  {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
  {{- '<|assistant|><think>\\n' }}
{%- endif %}`;

/** The template of the second stage. Tools are listed line by line, and a name stands where it has the same tokens as in a call. */
export const TOOL_TEMPLATE = `{%- macro kind(schema) %}
  {%- if schema.enum %}
    {%- for value in schema.enum %}{{- (' or ' if not loop.first else '') + (value | tojson) }}{%- endfor %}
  {%- elif schema.anyOf %}
    {%- for option in schema.anyOf %}{{- (' or ' if not loop.first else '') + kind(option) }}{%- endfor %}
  {%- elif schema.type is string and schema.properties %}
    {{- '{' }}
    {%- for name, inner in schema.properties.items() %}{{- (', ' if not loop.first else '') + '"' + name + '": ' + kind(inner) }}{%- endfor %}
    {{- '}' }}
  {%- elif schema.type is string %}
    {{- schema.type + (' of ' + kind(schema['items']) if 'items' in schema else '') }}
  {%- elif schema.type %}
    {{- schema.type | join(' or ') }}
  {%- else %}
    {{- 'any' }}
  {%- endif %}
{%- endmacro %}
{{- bos_token }}
{%- set system = messages[0].content if messages and messages[0].role == 'system' else '' %}
{%- if tools %}
  {{- '<|system|>' + system + ('\\n\\n' if system else '') + 'Tools:' }}
  {%- for tool in tools %}
    {%- set function = tool.function %}
    {{- '\\n\\n' + function.name + (': ' + function.description if function.description else '') }}
    {%- set parameters = function.parameters or {} %}
    {%- for name, schema in (parameters.properties or {}).items() %}
      {{- '\\n"' + name + '": ' + kind(schema) }}
      {{- ', optional' if name not in (parameters.required or []) else '' }}
      {{- '. ' + schema.description if schema.description else '' }}
    {%- endfor %}
  {%- endfor %}
  {{- '<|end|>' }}
{%- elif system %}
  {{- '<|system|>' + system + '<|end|>' }}
{%- endif %}
{%- for message in messages %}
  {%- if message.role == 'system' and loop.first %}
  {%- elif message.role in ['system', 'user', 'tool'] %}
    {{- '<|' + message.role + '|>' + message.content + '<|end|>' }}
  {%- elif message.role == 'assistant' %}
    {%- set content = (message.content or '').split('</think>')[-1].lstrip() %}
    {{- '<|assistant|>' + content }}
    {%- for call in message.tool_calls or [] %}
      {{- '\\n' if content or not loop.first else '' }}
      {{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
      {{- call.function.arguments if call.function.arguments is string else call.function.arguments | tojson(separators=(',', ':')) }}
      {{- '}\\n</tool_call>' }}
    {%- endfor %}
    {{- '<|end|>' }}
  {%- else %}
    {{- raise_exception('This model knows the roles system, user, assistant and tool, not ' + message.role + '.') }}
  {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
  {{- '<|assistant|><think>\\n' }}
{%- endif %}`;

export function tokenizerConfig(template = CHAT_TEMPLATE, maxLength = 1024) {
  return {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: SPECIAL.begin,
    eos_token: SPECIAL.end,
    pad_token: SPECIAL.end,
    unk_token: null,
    add_bos_token: false,
    add_eos_token: false,
    clean_up_tokenization_spaces: false,
    model_max_length: maxLength,
    chat_template: template,
  };
}

/**
 * Returns a tokenizer of the same size with the tokens for tools, which take the ids of the last merges.
 * @param tokenizerJson of the first stage
 */
export function withToolTokens(tokenizerJson: TokenizerJson): TokenizerJson {
  const added = [TOOL_ROLE, CALL, END_CALL];
  const { merges, vocab } = tokenizerJson.model;
  const dropped = new Set(merges.slice(-added.length).map((merge) => merge.replace(" ", "")));
  const kept = Object.entries(vocab).filter(([token]) => !dropped.has(token));
  const first = kept.length;
  const tokens = added.map((content, index) => ({
    ...tokenizerJson.added_tokens[0]!,
    id: first + index,
    content,
    special: content === TOOL_ROLE,
  }));
  return {
    ...tokenizerJson,
    added_tokens: [...tokenizerJson.added_tokens, ...tokens],
    model: {
      ...tokenizerJson.model,
      vocab: Object.fromEntries([...kept, ...tokens.map(({ content, id }) => [content, id] as const)]),
      merges: merges.slice(0, -added.length),
    },
  };
}

export type TokenizerJson = ReturnType<typeof trainTokenizer>;

type Pair = readonly [string, string];

function countWords(texts: Iterable<string>): Map<string, number> {
  const pattern = new RegExp(WORD_PATTERN, "gu");
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const [word] of text.matchAll(pattern)) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return counts;
}

function trainMerges(wordCounts: Map<string, number>, count: number): Pair[] {
  const words = [...wordCounts].map(([word, occurrences]) => ({
    symbols: [...new TextEncoder().encode(word)].map((byte) => BYTE_SYMBOLS[byte] as string),
    occurrences,
  }));
  const space = BYTE_SYMBOLS[0x20] as string;
  // A spelt word is a letter and then spaced letters: these exist, however rare the letter.
  const merges: Pair[] = [..."abcdefghijklmnopqrstuvwxyz"].map((letter) => [space, letter]);
  for (const pair of merges) for (const word of words) apply(pair, word.symbols);
  while (merges.length < count) {
    const best = mostFrequentPair(words);
    if (best === null) throw new Error(`the text has only ${merges.length} merges, not ${count}`);
    merges.push(best);
    for (const word of words) apply(best, word.symbols);
  }
  return merges;
}

function mostFrequentPair(words: readonly { symbols: string[]; occurrences: number }[]): Pair | null {
  const counts = new Map<string, number>();
  for (const { symbols, occurrences } of words) {
    for (let index = 1; index < symbols.length; index++) {
      const pair = `${symbols[index - 1]} ${symbols[index]}`;
      counts.set(pair, (counts.get(pair) ?? 0) + occurrences);
    }
  }
  let best: string | null = null;
  let most = 0;
  for (const [pair, occurrences] of counts) {
    if (occurrences > most || (occurrences === most && best !== null && pair < best))
      [best, most] = [pair, occurrences];
  }
  return best === null ? null : (best.split(" ") as unknown as Pair);
}

function apply([left, right]: Pair, symbols: string[]): void {
  for (let index = 0; index + 1 < symbols.length; index++) {
    if (symbols[index] === left && symbols[index + 1] === right) symbols.splice(index, 2, left + right);
  }
}
