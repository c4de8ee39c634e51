/**
 * The bugs that can be switched on in the mock server. Each was reported for another engine, and lists the law that
 * must find it. The code that implements a bug refers to it by name.
 */

export interface Bug {
  readonly name: string;
  /** Behavior of the broken server. */
  readonly description: string;
  /** Issue: repository and number. */
  readonly report: string;
  /** Id of the law in spec-tests/conform that must find the bug. */
  readonly law: string;
}

export const BUGS = [
  bug(
    "seed-lost-beside-unseeded",
    "vllm#51226",
    "P1",
    "A seeded request that runs concurrently with an unseeded one ignores its seed",
  ),
  bug(
    "one-generator-for-all",
    "vllm#17524",
    "P1",
    "All running requests draw from one generator, which each seed restarts",
  ),
  bug("batch-size-changes-logits", "llama.cpp#7052", "P1", "Logits depend on how many requests are computed together"),

  bug(
    "cached-repeat-differs",
    "llama.cpp#28527",
    "P2",
    "A prompt that is completely in the cache is computed differently, with other logits",
  ),
  bug(
    "prefix-off-by-one",
    "llama.cpp#1884",
    "P2",
    "For a prompt that shares a prefix with an earlier one, the cache reuses one token too many",
  ),

  bug("stream-drops-reasoning-logprobs", "sglang#26778", "P3", "Streamed chunks of the reasoning have no logprobs"),
  bug(
    "stream-misses-split-tags",
    "vllm#55195",
    "P3",
    "In a stream, a closing tag is recognized only within one piece of text",
  ),
  bug("stream-without-reasoning", "vllm#36632", "P3", "A stream omits the reasoning"),

  bug("stop-within-one-token", "llama.cpp#11538", "P4", "A stop sequence is found only within one token"),
  bug(
    "held-back-tail-lost",
    "llama.cpp#9867",
    "P4",
    "Text held back as a possible stop sequence is lost at the end of the answer",
  ),
  bug("stop-leaks-in-stream", "mlx-knife#68", "P4", "A stream sends text that may be the beginning of a stop sequence"),
  bug("stop-inside-reasoning", "vllm#52393", "P4", "Stop sequences end the reasoning"),
  bug("held-back-text-twice", "llama.cpp#10914", "P4", "Text held back as a possible stop sequence is streamed twice"),

  bug(
    "streamed-length-says-stop",
    "vllm#53269",
    "P5",
    "A streamed answer that is cut by max_tokens has the finish_reason stop",
  ),
  bug("finish-reason-empty", "ollama#4357", "P5", "Chunks before the last have an empty finish_reason instead of null"),

  bug(
    "bytes-of-replacement-character",
    "ollama#13497",
    "P6",
    "bytes are derived from the token's text, so fragments of a character become U+FFFD",
  ),
  bug(
    "characters-split",
    "transformers.js#853",
    "P6",
    "Each token is decoded alone, so a character of several tokens becomes U+FFFD",
  ),
  bug("token-alphabet", "vllm#19177", "P6", "token and bytes use the byte alphabet of the tokenizer"),
  bug("fragments-are-empty", "vllm#27300", "P6", "Fragments of a character have an empty token and no bytes"),

  bug("logprobs-after-temperature", "vllm#9453", "P7", "Logprobs change with the temperature"),
  bug("logprobs-positive", "cortex.llamacpp#262", "P7", "logprob is a probability"),
  bug("logprobs-null", "llama.cpp#11346", "P7", "logprobs is null although it was requested"),

  bug("unknown-fields-accepted", "mtplx#191", "P8", "Unknown fields are ignored, and the answer is 200"),
  bug("out-of-range-accepted", "apfel#235", "P8", "Sampling parameters out of range are accepted and clamped"),
  bug("n-ignored", "ocp#470", "P8", "n is accepted, but the answer has one choice"),

  bug(
    "schema-fails-open",
    "llama.cpp#19051",
    "P9",
    "A schema that cannot be enforced is ignored, and the answer is 200",
  ),
  bug("schema-means-any-object", "ollama#8063", "P9", "A schema only enforces some JSON object"),

  bug("schema-needs-separate-reasoning", "ollama#14645", "P10", "The schema is enforced only if reasoning is separate"),
  bug(
    "json-in-reasoning",
    "vllm#16182",
    "P10",
    "A structured answer without reasoning is returned as reasoning_content",
  ),

  bug("prompt-truncated", "ollama#4967", "P11", "A prompt that exceeds the context loses its beginning"),
  bug("prompt-halved", "ollama#17427", "P11", "A prompt that exceeds the context is cut to half of the context"),

  bug("stream-usage-counts-chunks", "vllm#8625", "P12", "completion_tokens of a stream counts pieces of text"),
  bug("usage-on-every-chunk", "vllm#7262", "P12", "Every chunk has usage"),
  bug("usage-unasked", "vllm#36379", "P12", "An empty stream_options adds the chunk with usage"),

  bug(
    "disconnect-ignored",
    "llama.cpp#24496",
    "P13",
    "A request whose client has disconnected keeps its place until the context would be full",
  ),
  bug(
    "disconnect-in-prefill-ignored",
    "ik_llama.cpp#1020",
    "P13",
    "The same if the client disconnects before the first token",
  ),

  bug(
    "cancel-ends-neighbors",
    "ik_llama.cpp#1929",
    "P14",
    "A client that disconnects ends the answers of other clients",
  ),

  bug("seed-means-greedy", "ollama#5044", "P15", "A seed sets the temperature to 0"),
  bug("seed-ignored", "sglang#15746", "P15", "A seed has no effect"),
  bug("choices-identical", "vllm#10852", "P15", "All choices of a request are identical"),
  bug("temperature-one-is-greedy", "tgi#687", "P15", "Temperature 1 means greedy"),
  bug("top-k-of-the-model", "vllm#17075", "P15", "The model's own top_k applies if a request has none"),
  bug("top-k-and-min-p-ignored", "mlx-vlm#1353", "P15", "top_k and min_p are accepted without effect"),
  bug("repetition-penalty-ignored", "llama.cpp#7109", "P15", "repetition_penalty is accepted without effect"),
  bug("logit-bias-ignored", "ollama#3795", "P15", "logit_bias is accepted without effect"),

  bug("answers-swapped", "inferencer-feedback#127", "P16", "Concurrent answers send text to each other's clients"),
  bug("choices-share-parser", "vllm#42493", "P16", "The choices of a request share one reasoning parser"),

  bug(
    "error-not-nested",
    "sglang#33504",
    "validation",
    "The error's fields are at the top level of the body, and code is the status",
  ),
  bug("conflicts-accepted", "mtplx#191", "validation", "Fields are accepted without a field that they require"),
  bug("tools-accepted", "ocp#470", "validation", "Unsupported features are accepted without effect"),
] as const satisfies readonly Bug[];

export type BugName = (typeof BUGS)[number]["name"];

function bug<const N extends string>(name: N, report: string, law: string, description: string) {
  return { name, report, law, description };
}
