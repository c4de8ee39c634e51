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

  bug("no-arguments-are-empty-text", "vllm#28806", "P17", "The arguments of a tool without parameters are empty text"),
  bug("first-argument-lost", "vllm#18108", "P17", "The first argument of a call is lost unless it is a string"),
  bug(
    "arguments-are-object",
    "llama.cpp#20198",
    "P17",
    "The arguments of a call are an object instead of its JSON text",
  ),
  bug("calls-share-id", "ai-sdk-provider#471", "P17", "All calls of an answer have the same id"),
  bug("markup-in-content", "vllm#42021", "P17", "The beginning of a call is also part of the content"),
  bug("reasoning-read-as-calls", "lmstudio-bug-tracker#1592", "P17", "A tag in the reasoning is read as a call"),
  bug(
    "call-alone-fails",
    "llama.cpp#23838",
    "P17",
    "An answer in a documented form, a call without text before it, fails",
  ),
  bug("text-before-call-fails", "llama.cpp#20260", "P17", "An answer with text before its first call fails"),
  bug("white-space-between-calls-fails", "llama.cpp#24644", "P17", "An answer with white space after a call fails"),

  bug("streamed-arguments-lost", "vllm#9693", "P18", "A stream lacks the piece that ends the arguments of a call"),
  bug("call-index-missing", "ollama#7881", "P18", "The pieces of calls in a stream have no index"),
  bug("call-index-zero", "ollama#15457", "P18", "All calls in a stream have the index 0"),
  bug("finishes-twice", "sglang#8417", "P18", "A streamed choice with calls has a second chunk with a finish_reason"),
  bug("calls-of-last-choice-only", "sglang#8417", "P18", "Only the last choice of a stream has its calls"),
  bug("streamed-calls-say-stop", "python-genai#2868", "P18", "A streamed choice with calls has the finish_reason stop"),
  bug("last-call-only", "mlx-lm#1448", "P18", "An unstreamed answer has only the last of several calls"),

  bug("required-call-ignored", "vllm#53363", "P19", "The tool_choice required has no effect"),
  bug(
    "calls-after-reasoning-lost",
    "vllm#39056",
    "P19",
    "With the tool_choice required, an answer with reasoning has no calls",
  ),
  bug(
    "calls-only-after-reasoning",
    "llama.cpp#29240",
    "P19",
    "An answer without reasoning is not constrained, and its calls are not found",
  ),
  bug(
    "integer-argument-drops-call",
    "mlx-lm#1310",
    "P19",
    "A call with an integer argument is dropped, because the argument cannot be converted",
  ),
  bug(
    "special-token-stripped",
    "vllm#16190",
    "P19",
    "The token with which a call begins is stripped, so the call is not found",
  ),
  bug("no-calls-ignored", "FastFlowLM#728", "P19", "The tool_choice none has no effect"),
  bug(
    "named-tool-ignored",
    "Rapid-MLX#445",
    "P19",
    "A named tool in tool_choice only means that some tool is required",
  ),
  bug("allowed-tools-ignored", "llm-d-inference-sim#605", "P19", "The tool_choice allowed_tools allows all tools"),
  bug(
    "parallel-calls-anyway",
    "sglang#9696",
    "P19",
    "An answer has several calls although parallel_tool_calls is false",
  ),

  bug(
    "call-in-prompt-ends-reasoning",
    "vllm#45763",
    "P20",
    "After a call in the prompt, the reasoning and the calls are part of the content",
  ),
  bug("tool-messages-dropped", "GenieX#1407", "P20", "The text of tool messages does not reach the model"),
  bug(
    "call-without-content-fails",
    "llama-cpp-python#1805",
    "P20",
    "An assistant message with calls and without content fails",
  ),
  bug(
    "unanswered-calls-accepted",
    "tt-inference-server#3250",
    "P20",
    "Calls without results, and results without calls, are accepted",
  ),

  bug(
    "token-across-arguments-dropped",
    "vllm#21360",
    "P21",
    "The beginning of the arguments is dropped if it is in one token with the text before it",
  ),
  bug("many-tools-fail", "llama.cpp#24658", "P21", "Requests with 22 tools or more fail"),

  bug(
    "finish-reason-without-calls",
    "vllm#53255",
    "P22",
    "The finish_reason is tool_calls if there are tools but no calls",
  ),
  bug("named-call-ends-with-tool-calls", "vllm#25054", "P22", "The finish_reason for a named tool is tool_calls"),
  bug("required-call-ends-with-stop", "vllm#49496", "P22", "The finish_reason for the tool_choice required is stop"),
  bug(
    "text-without-calls-lost",
    "llama.cpp#24329",
    "P22",
    "The text of an answer with tools is lost if it has no calls",
  ),
  bug("cut-call-counts-as-whole", "FastFlowLM#728", "P22", "The finish_reason is tool_calls if max_tokens cuts a call"),

  bug(
    "error-not-nested",
    "sglang#33504",
    "validation",
    "The error's fields are at the top level of the body, and code is the status",
  ),
  bug("conflicts-accepted", "mtplx#191", "validation", "Fields are accepted without a field that they require"),
  bug("tools-accepted", "ocp#470", "validation", "Tools are accepted without effect, and not even checked"),
] as const satisfies readonly Bug[];

export type BugName = (typeof BUGS)[number]["name"];

function bug<const N extends string>(name: N, report: string, law: string, description: string) {
  return { name, report, law, description };
}
