import { describe, expect, test } from "vitest";

import { EngineError, type EngineErrorCode } from "../errors.js";
import { readModelConfig } from "./config.js";
import { readEndTokenIds } from "../folder/end-tokens.js";

function refusal(config: Record<string, unknown>): { code: EngineErrorCode; message: string } {
  try {
    readModelConfig({ model_type: "llama", ...config }, []);
  } catch (error) {
    if (error instanceof EngineError) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error("not refused");
}

describe("readModelConfig", () => {
  test("takes Hugging Face's defaults for absent keys", () => {
    const llama = {
      hiddenSize: 4096,
      intermediateSize: 11008,
      numLayers: 32,
      numHeads: 32,
      numKvHeads: 32,
      headDim: 128,
    };
    expect(readModelConfig({ model_type: "llama" }, [2])).toEqual({
      ...llama,
      architecture: "llama",
      vocabSize: 32000,
      contextLength: 2048,
      normEpsilon: 1e-6,
      ropeTheta: 10000,
      ropeScaling: { type: "none" },
      attentionBias: false,
      outputBias: false,
      qkNorm: false,
      tiedEmbeddings: false,
      endTokenIds: [2],
    });
    expect(readModelConfig({ model_type: "mistral", sliding_window: null }, [])).toMatchObject({
      numKvHeads: 8,
      intermediateSize: 14336,
      contextLength: 131072,
    });
    expect(readModelConfig({ model_type: "qwen2" }, [])).toMatchObject({
      vocabSize: 151936,
      attentionBias: true,
      outputBias: false,
      qkNorm: false,
    });
    expect(
      readModelConfig({ model_type: "qwen3", hidden_size: 1024, num_attention_heads: 16, num_key_value_heads: 8 }, []),
    ).toMatchObject({ headDim: 128, attentionBias: false, qkNorm: true });
  });

  test("takes the number of attention heads if num_key_value_heads is null", () => {
    expect(
      readModelConfig({ model_type: "mistral", sliding_window: null, num_key_value_heads: null }, []).numKvHeads,
    ).toBe(32);
  });

  test("gives a llama with attention_bias a bias on every attention projection", () => {
    expect(readModelConfig({ model_type: "llama", attention_bias: true }, [])).toMatchObject({
      attentionBias: true,
      outputBias: true,
    });
  });

  test("reads rotary scaling in the older and the newer form", () => {
    const llama3 = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };
    const read = { type: "llama3", factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalContextLength: 8192 };
    const older = { model_type: "llama", rope_theta: 500000, rope_scaling: { rope_type: "llama3", ...llama3 } };
    const newer = { model_type: "llama", rope_parameters: { rope_type: "llama3", rope_theta: 500000, ...llama3 } };
    for (const config of [older, newer])
      expect(readModelConfig(config, [])).toMatchObject({ ropeTheta: 500000, ropeScaling: read });
    expect(
      readModelConfig({ model_type: "llama", rope_scaling: { type: "linear", factor: 2 } }, []).ropeScaling,
    ).toEqual({ type: "linear", factor: 2 });
    expect(readModelConfig({ model_type: "llama", rope_scaling: { rope_type: "default" } }, []).ropeScaling).toEqual({
      type: "none",
    });
  });

  // Published configurations, reduced to the keys that matter here: no `architectures`, token ids, dtypes and the like.
  const llama3 = (factor: number) => ({
    rope_type: "llama3",
    factor,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  });
  test.each<[string, Record<string, unknown>, object]>([
    [
      "SmolLM2-135M",
      {
        model_type: "llama",
        hidden_size: 576,
        intermediate_size: 1536,
        num_attention_heads: 9,
        num_key_value_heads: 3,
        num_hidden_layers: 30,
        vocab_size: 49152,
        max_position_embeddings: 8192,
        rope_theta: 100000,
        rope_scaling: null,
        rope_interleaved: false,
        is_llama_config: true,
        tie_word_embeddings: true,
        attention_bias: false,
        mlp_bias: false,
        torch_dtype: "bfloat16",
      },
      { headDim: 64, numKvHeads: 3, ropeTheta: 100000, tiedEmbeddings: true },
    ],
    [
      "TinyLlama-1.1B",
      {
        model_type: "llama",
        hidden_size: 2048,
        intermediate_size: 5632,
        num_attention_heads: 32,
        num_key_value_heads: 4,
        num_hidden_layers: 22,
        vocab_size: 32000,
        max_position_embeddings: 2048,
        pretraining_tp: 1,
        rope_scaling: null,
        use_cache: true,
      },
      { headDim: 64, numKvHeads: 4, tiedEmbeddings: false },
    ],
    [
      "Llama-3.2-1B",
      {
        model_type: "llama",
        hidden_size: 2048,
        intermediate_size: 8192,
        head_dim: 64,
        num_attention_heads: 32,
        num_key_value_heads: 8,
        num_hidden_layers: 16,
        vocab_size: 128256,
        max_position_embeddings: 131072,
        rope_theta: 500000,
        rope_scaling: llama3(32),
        tie_word_embeddings: true,
        mlp_bias: false,
      },
      { headDim: 64, ropeScaling: { type: "llama3", factor: 32 }, tiedEmbeddings: true },
    ],
    [
      "DeepSeek-R1-Distill-Llama-8B",
      {
        model_type: "llama",
        hidden_size: 4096,
        intermediate_size: 14336,
        num_attention_heads: 32,
        num_key_value_heads: 8,
        vocab_size: 128256,
        max_position_embeddings: 131072,
        rope_theta: 500000,
        rope_scaling: llama3(8),
      },
      { headDim: 128, ropeScaling: { type: "llama3", factor: 8 } },
    ],
    [
      "Qwen2.5-0.5B",
      {
        model_type: "qwen2",
        hidden_size: 896,
        intermediate_size: 4864,
        num_attention_heads: 14,
        num_key_value_heads: 2,
        num_hidden_layers: 24,
        vocab_size: 151936,
        max_position_embeddings: 32768,
        max_window_layers: 21,
        rope_theta: 1000000,
        sliding_window: 32768,
        use_sliding_window: false,
        tie_word_embeddings: true,
      },
      { headDim: 64, attentionBias: true, outputBias: false, ropeTheta: 1000000 },
    ],
    [
      "DeepSeek-R1-Distill-Qwen-1.5B",
      {
        model_type: "qwen2",
        hidden_size: 1536,
        intermediate_size: 8960,
        num_attention_heads: 12,
        num_key_value_heads: 2,
        num_hidden_layers: 28,
        vocab_size: 151936,
        max_position_embeddings: 131072,
        max_window_layers: 21,
        rope_theta: 10000,
        sliding_window: 4096,
        use_sliding_window: false,
        use_mrope: false,
        tie_word_embeddings: false,
      },
      { headDim: 128, attentionBias: true, ropeTheta: 10000, contextLength: 131072 },
    ],
    [
      "Qwen3-0.6B",
      {
        model_type: "qwen3",
        hidden_size: 1024,
        intermediate_size: 3072,
        head_dim: 128,
        num_attention_heads: 16,
        num_key_value_heads: 8,
        num_hidden_layers: 28,
        vocab_size: 151936,
        max_position_embeddings: 40960,
        max_window_layers: 28,
        rope_theta: 1000000,
        rope_scaling: null,
        sliding_window: null,
        use_sliding_window: false,
        attention_bias: false,
        tie_word_embeddings: true,
      },
      { headDim: 128, qkNorm: true, attentionBias: false },
    ],
    [
      "Mistral-7B-v0.3",
      {
        model_type: "mistral",
        hidden_size: 4096,
        intermediate_size: 14336,
        num_attention_heads: 32,
        num_key_value_heads: 8,
        num_hidden_layers: 32,
        vocab_size: 32768,
        max_position_embeddings: 32768,
        rope_theta: 1000000,
        sliding_window: null,
        head_dim: null,
      },
      { headDim: 128, numKvHeads: 8 },
    ],
    [
      "a model saved by a newer library version",
      {
        model_type: "qwen2",
        hidden_size: 896,
        num_attention_heads: 14,
        num_key_value_heads: 2,
        num_hidden_layers: 2,
        dtype: "bfloat16",
        layer_types: ["full_attention", "full_attention"],
        rope_parameters: { rope_theta: 1000000, rope_type: "default" },
        sliding_window: null,
        use_sliding_window: false,
      },
      { ropeTheta: 1000000, ropeScaling: { type: "none" } },
    ],
  ])("reads the configuration of %s", (_, config, expected) => {
    expect(readModelConfig(config, [])).toMatchObject(expected);
  });

  test.each<[string, Record<string, unknown>, RegExp]>([
    [
      "Mistral-7B-v0.1",
      { model_type: "mistral", max_position_embeddings: 32768, sliding_window: 4096 },
      /sliding_window 4096/,
    ],
    ["SmolLM3-3B", { model_type: "smollm3", no_rope_layers: [1, 1, 1, 0] }, /model_type "smollm3"/],
    [
      "DeepSeek-R1-0528-Qwen3-8B",
      {
        model_type: "qwen3",
        rope_scaling: {
          rope_type: "yarn",
          factor: 4,
          original_max_position_embeddings: 32768,
          attn_factor: 0.8782488562869419,
        },
      },
      /rope_scaling type "yarn"/,
    ],
    ["DeepSeek-R1", { model_type: "deepseek_v3" }, /model_type "deepseek_v3"/],
    [
      "a quantized copy",
      { model_type: "qwen2", quantization_config: { quant_method: "awq", bits: 4 } },
      /quantization_config/,
    ],
    ["Qwen2-VL's text part", { model_type: "qwen2", use_mrope: true }, /use_mrope true/],
  ])("refuses %s by name", (_, config, message) => {
    expect(refusal(config)).toMatchObject({ code: "unsupported_model", message: expect.stringMatching(message) });
  });

  test.each<[string, Record<string, unknown>]>([
    ["qwen2 whose window is switched off", { model_type: "qwen2", sliding_window: 64, use_sliding_window: false }],
    [
      "qwen2 whose window starts after the last layer",
      { model_type: "qwen2", sliding_window: 64, use_sliding_window: true, num_hidden_layers: 4, max_window_layers: 4 },
    ],
    [
      "mistral whose window spans the context",
      { model_type: "mistral", sliding_window: 4096, max_position_embeddings: 4096 },
    ],
    [
      "layer_types with full attention only",
      { model_type: "qwen3", layer_types: ["full_attention", "full_attention"] },
    ],
    ["a window of 0", { model_type: "mistral", sliding_window: 0 }],
    ["a window of -1", { model_type: "mistral", sliding_window: -1 }],
    ["mistral whose window is switched off", { model_type: "mistral", sliding_window: 64, use_sliding_window: false }],
    ["mlp_bias null", { model_type: "llama", mlp_bias: null }],
    ["an empty quantization_config", { model_type: "llama", quantization_config: {} }],
    ["dual_chunk_attention_config null", { model_type: "qwen2", dual_chunk_attention_config: null }],
    ["rope_scaling of type default", { model_type: "llama", rope_scaling: { type: "default" } }],
    [
      "a key of rope_scaling that is null",
      { model_type: "llama", rope_scaling: { rope_type: "linear", factor: 2, attention_factor: null } },
    ],
    [
      "rope_parameters beside an equal rope_scaling",
      {
        model_type: "llama",
        rope_parameters: { rope_type: "linear", factor: 2 },
        rope_scaling: { factor: 2, rope_type: "linear", attention_factor: null },
      },
    ],
  ])("accepts %s", (_, config) => {
    expect(readModelConfig(config, [])).toBeDefined();
  });

  test.each<[Record<string, unknown>, RegExp]>([
    [{ model_type: "gpt2" }, /model_type "gpt2" is not supported \(supported: llama, mistral, qwen2, qwen3\)/],
    [{ architectures: ["LlamaForSequenceClassification"] }, /architectures \["LlamaForSequenceClassification"\]/],
    [{ hidden_act: "gelu" }, /hidden_act "gelu" is not supported/],
    [{ mlp_bias: true }, /mlp_bias true/],
    [{ dual_chunk_attention_config: { chunk_size: 8 } }, /dual_chunk_attention_config \{"chunk_size":8\}/],
    [{ quantization_config: { quant_method: "gptq" } }, /quantization_config \{"quant_method":"gptq"\}/],
    [{ partial_rotary_factor: 0.5 }, /partial_rotary_factor 0\.5/],
    [{ rope_interleaved: true }, /rope_interleaved true/],
    [
      { rope_scaling: { rope_type: "yarn", factor: 4 } },
      /rope_scaling type "yarn" is not supported \(supported: default, linear, llama3\)/,
    ],
    [{ rope_scaling: { type: "dynamic", factor: 2 } }, /rope_scaling type "dynamic"/],
    [{ rope_scaling: { type: "linear", factor: 2, mrope_section: [1] } }, /rope_scaling\.mrope_section \[1\]/],
    [
      { rope_parameters: { rope_type: "default", partial_rotary_factor: 0.25 } },
      /rope_parameters\.partial_rotary_factor 0\.25/,
    ],
    [
      { model_type: "mistral" },
      /sliding_window 4096 is not supported \(supported: null, or at least the context length 131072\)/,
    ],
    [{ model_type: "qwen2", use_sliding_window: true, max_window_layers: 1 }, /sliding_window 4096/],
    [{ model_type: "qwen3", layer_types: ["full_attention", "sliding_attention"] }, /layer_types "sliding_attention"/],
    [{ layer_types: ["chunked_attention"] }, /layer_types "chunked_attention"/],
    [{ model_type: "mistral", sliding_window: null, attention_bias: true }, /attention_bias true/],
  ])("does not support %j", (config, message) => {
    const { code, message: text } = refusal(config);
    expect(code).toBe("unsupported_model");
    expect(text).toMatch(message);
    expect(text).toMatch(/^config\.json: /);
  });

  test.each<[Record<string, unknown>, RegExp]>([
    [{ model_type: null }, /model_type must be one of/],
    [{ hidden_size: 0 }, /hidden_size must be an integer from 1 to \d+; it is 0/],
    [{ hidden_size: 12.5 }, /hidden_size must be an integer/],
    [{ vocab_size: "many" }, /vocab_size must be an integer.*"many"/],
    [{ num_hidden_layers: 5000 }, /num_hidden_layers must be at most 255; it is 5000/],
    [{ hidden_size: 100, num_attention_heads: 3 }, /head_dim must be an integer/],
    [
      { num_attention_heads: 32, num_key_value_heads: 5 },
      /num_attention_heads 32 is not a multiple of num_key_value_heads 5/,
    ],
    [{ head_dim: 7 }, /head_dim 7 is odd/],
    [{ head_dim: 1026 }, /head_dim must be at most 1024; it is 1026/],
    [{ rms_norm_eps: -1 }, /rms_norm_eps must be a positive number; it is -1/],
    [{ tie_word_embeddings: "yes" }, /tie_word_embeddings must be true or false; it is "yes"/],
    [{ rope_scaling: { type: "linear" } }, /rope_scaling: factor must be a positive number; it is null/],
    [{ rope_scaling: "linear" }, /rope_scaling must be an object/],
    [
      { rope_theta: 1e4, rope_parameters: { rope_theta: 1e6 } },
      /rope_theta is 10000, but rope_parameters\.rope_theta is 1000000/,
    ],
    [
      {
        rope_scaling: {
          rope_type: "llama3",
          factor: 8,
          low_freq_factor: 4,
          high_freq_factor: 4,
          original_max_position_embeddings: 8192,
        },
      },
      /high_freq_factor 4 must exceed/,
    ],
    [
      { model_type: "mistral", sliding_window: -2 },
      /sliding_window must be a positive integer, or null, 0 or -1 for none; it is -2/,
    ],
    [
      { rope_parameters: { rope_type: "linear", factor: 2 }, rope_scaling: { rope_type: "linear", factor: 3 } },
      /rope_parameters and rope_scaling are both given, and differ/,
    ],
  ])("reports %j as invalid", (config, message) => {
    const { code, message: text } = refusal(config);
    expect(code).toBe("invalid_model");
    expect(text).toMatch(message);
  });
});

describe("readEndTokenIds", () => {
  const tokenizer = { added_tokens: [{ id: 7, content: "<end>" }], model: { vocab: { "</s>": 2 } } };
  const none = { config: {}, generationConfig: null, tokenizerConfig: {}, tokenizer, chatTemplate: null };

  test("joins those of generation_config.json, config.json, the tokenizer and the template", () => {
    const all = {
      ...none,
      config: { eos_token_id: [5, 7] },
      generationConfig: { eos_token_id: [3, 4, 3] },
      tokenizerConfig: { eos_token: "</s>" },
    };
    // 5 is no added token, and generation_config.json has others.
    expect(readEndTokenIds(all)).toEqual([3, 4, 7, 2]);
    expect(readEndTokenIds({ ...all, generationConfig: null })).toEqual([5, 7, 2]);
    expect(readEndTokenIds({ ...all, generationConfig: {}, config: { eos_token_id: null } })).toEqual([2]);
    expect(readEndTokenIds({ ...none, tokenizerConfig: { eos_token: { content: "<end>" } } })).toEqual([7]);
    expect(readEndTokenIds(none)).toEqual([]);
  });

  test.each<[string, number[]]>([
    ["{% for m in messages %}{{ m.role }}{{ m.content }}<end>\n{% endfor %}", [3, 7]],
    ["{% for m in messages %}{{ m.role }}{{ m.content }}\n<end>{% endfor %}", [3, 7]],
    ["{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}", [3, 2]],
    ["{% for m in messages %}{{ m.content }}{% if m.role == 'user' %}<end>{% endif %}{% endfor %}", [3]],
    ["{% for m in messages %}{{ m.content }}.<end>{% endfor %}", [3]],
    ["{% for m in messages %}{{ m.content }}", [3]],
    ["{{ raise_exception('no') }}", [3]],
    ["", [3]],
  ])("takes the token that a template writes after an answer: %s", (chatTemplate, expected) => {
    const files = {
      ...none,
      generationConfig: { eos_token_id: 3 },
      tokenizer: { ...tokenizer, added_tokens: [...tokenizer.added_tokens, { id: 2, content: "</s>" }] },
      tokenizerConfig: chatTemplate.includes("eos_token") ? { eos_token: "</s>" } : {},
      chatTemplate,
    };
    expect(readEndTokenIds(files)).toEqual(expected);
  });

  test("refuses a value that is not a token id", () => {
    expect(() => readEndTokenIds({ ...none, generationConfig: { eos_token_id: [1, "2"] } })).toThrow(
      /generation_config\.json: eos_token_id/,
    );
  });
});
