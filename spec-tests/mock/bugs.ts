/**
 * The bugs that the mock server can be given, each as users of another engine reported it, and the law that has to
 * find it. Where a bug is in the code, its name is.
 */

export interface Bug {
  readonly name: string;
  /** What the broken server does. */
  readonly description: string;
  /** Where it was reported: repository and number. */
  readonly report: string;
  /** Of spec-tests/conform. */
  readonly law: string;
}

export const BUGS = [
  bug(
    "seed-lost-beside-unseeded",
    "vllm#51226",
    "P1",
    "A seeded request that runs beside one without a seed draws as if it had none",
  ),
  bug(
    "one-generator-for-all",
    "vllm#17524",
    "P1",
    "A seed starts the one generator that all running requests draw from in turn",
  ),
  bug("batch-size-changes-logits", "llama.cpp#7052", "P1", "Logits depend on how many requests are computed together"),

  bug(
    "cached-repeat-differs",
    "llama.cpp#28527",
    "P2",
    "A prompt found whole in the cache is computed another way, with other logits",
  ),
  bug(
    "prefix-off-by-one",
    "llama.cpp#1884",
    "P2",
    "A prompt that shares a beginning with an earlier one goes on from one of the earlier one's own tokens",
  ),

  bug("stream-drops-reasoning-logprobs", "sglang#26778", "P3", "Streamed chunks of the reasoning have no logprobs"),
  bug(
    "stream-misses-split-tags",
    "vllm#55195",
    "P3",
    "While streaming, a closing tag is recognized only where one piece of text holds all of it",
  ),
  bug("stream-without-reasoning", "vllm#36632", "P3", "A stream leaves the reasoning out"),

  bug("stop-within-one-token", "llama.cpp#11538", "P4", "A stop sequence is seen only where one token holds all of it"),
  bug(
    "held-back-tail-lost",
    "llama.cpp#9867",
    "P4",
    "Text held back as a possible stop sequence is lost at the end of the answer",
  ),
  bug("stop-leaks-in-stream", "mlx-knife#68", "P4", "A stream sends text before it is known to be no stop sequence"),
  bug("stop-inside-reasoning", "vllm#52393", "P4", "Stop sequences end the reasoning"),
  bug("held-back-text-twice", "llama.cpp#10914", "P4", "Text held back as a possible stop sequence is streamed twice"),

  bug("streamed-length-says-stop", "vllm#53269", "P5", "A streamed answer cut by max_tokens says that it stopped"),
  bug("finish-reason-empty", "ollama#4357", "P5", "Chunks before the last have an empty finish_reason instead of null"),

  bug(
    "bytes-of-replacement-character",
    "ollama#13497",
    "P6",
    "bytes are those of the token's text, so fragments of a character become U+FFFD",
  ),
  bug(
    "characters-split",
    "transformers.js#853",
    "P6",
    "Each token is decoded alone, so a character of several tokens becomes U+FFFD",
  ),
  bug("token-alphabet", "vllm#19177", "P6", "token and bytes are spelled in the tokenizer's alphabet for bytes"),
  bug("fragments-are-empty", "vllm#27300", "P6", "Fragments of a character have an empty token and no bytes"),

  bug("logprobs-after-temperature", "vllm#9453", "P7", "Logprobs change with the temperature"),
  bug("logprobs-positive", "cortex.llamacpp#262", "P7", "logprob is a probability"),
  bug("logprobs-null", "llama.cpp#11346", "P7", "logprobs is null although asked for"),

  bug("unknown-fields-accepted", "mtplx#191", "P8", "Fields that nobody knows are dropped, and the answer is 200"),
  bug("out-of-range-accepted", "apfel#235", "P8", "Sampling parameters out of range are accepted, and moved into it"),
  bug("n-ignored", "ocp#470", "P8", "n is accepted, and there is one choice"),

  bug(
    "schema-fails-open",
    "llama.cpp#19051",
    "P9",
    "A schema that cannot be enforced is dropped, and the answer is 200",
  ),
  bug("schema-means-any-object", "ollama#8063", "P9", "A schema is taken for any JSON object"),

  bug(
    "schema-needs-separate-reasoning",
    "ollama#14645",
    "P10",
    "The schema is enforced only where reasoning comes apart",
  ),
  bug("json-in-reasoning", "vllm#16182", "P10", "A structured answer without reasoning arrives as reasoning_content"),

  bug("prompt-truncated", "ollama#4967", "P11", "A prompt over the context loses its beginning"),
  bug("prompt-halved", "ollama#17427", "P11", "A prompt over the context is cut to half of it"),

  bug("stream-usage-counts-chunks", "vllm#8625", "P12", "A stream's completion_tokens counts pieces of text"),
  bug("usage-on-every-chunk", "vllm#7262", "P12", "Every chunk carries a usage"),
  bug("usage-unasked", "vllm#36379", "P12", "An empty stream_options gives the extra chunk with usage"),

  bug(
    "disconnect-ignored",
    "llama.cpp#24496",
    "P13",
    "A request whose client has gone keeps its place until the context would be full",
  ),
  bug(
    "disconnect-in-prefill-ignored",
    "ik_llama.cpp#1020",
    "P13",
    "The same, where the client goes before the first token",
  ),

  bug("cancel-ends-neighbors", "ik_llama.cpp#1929", "P14", "A client that goes away ends the answers of the others"),

  bug("seed-means-greedy", "ollama#5044", "P15", "A seed sets the temperature to 0"),
  bug("seed-ignored", "sglang#15746", "P15", "A seed has no effect"),
  bug("choices-identical", "vllm#10852", "P15", "All choices of a request are the same"),
  bug("temperature-one-is-greedy", "tgi#687", "P15", "Temperature 1 means greedy"),
  bug("top-k-of-the-model", "vllm#17075", "P15", "The model's own top_k applies where a request names none"),
  bug("top-k-and-min-p-ignored", "mlx-vlm#1353", "P15", "top_k and min_p are accepted without effect"),
  bug("repetition-penalty-ignored", "llama.cpp#7109", "P15", "repetition_penalty is accepted without effect"),
  bug("logit-bias-ignored", "ollama#3795", "P15", "logit_bias is accepted without effect"),

  bug(
    "answers-swapped",
    "inferencer-feedback#127",
    "P16",
    "Text of answers that run together is handed to one another's clients",
  ),
  bug("choices-share-parser", "vllm#42493", "P16", "The choices of a request share one reasoning parser"),

  bug(
    "error-not-nested",
    "sglang#33504",
    "validation",
    "The error's fields are the body's own, and code is the status",
  ),
  bug("conflicts-accepted", "mtplx#191", "validation", "Fields without the field that they need are accepted"),
  bug("tools-accepted", "ocp#470", "validation", "What is not built is accepted without effect"),
] as const satisfies readonly Bug[];

export type BugName = (typeof BUGS)[number]["name"];

function bug<const N extends string>(name: N, report: string, law: string, description: string) {
  return { name, report, law, description };
}
