/** All limits of the engine. Those of request parameters are defined in section 2 of the contract. */

export const LIMITS = {
  /** Stop sequences in one request. */
  maxStopSequences: 4,
  /** Choices in one request. */
  maxChoices: 128,
  maxTools: 128,
  /** Default and upper limit of `maxSteps`, the answers of one run of tools. */
  toolStepsDefault: 10,
  maxToolSteps: 1000,
  /** Entries in `logit_bias`. */
  maxLogitBiasEntries: 1024,
  /** Alternatives listed for each token. */
  maxTopLogprobs: 20,
  /** Nesting depth of arrays and objects. The parser is recursive; this depth is far from a stack overflow. */
  maxJsonDepth: 256,
  /** Characters that an error message quotes of a value or a name. */
  maxQuotedChars: 80,
  /** Bytes of a safetensors header; the limit is set by the format. */
  maxSafetensorsHeaderBytes: 100_000_000,
  /** Bytes before the tensors of a GGUF file, which hold the tokenizer. */
  maxGgufHeaderBytes: 256 << 20,
  /** Values in the lists of a GGUF file's metadata: tokens, scores, merges. */
  maxGgufValues: 4 << 20,
  /** Bytes of config.json, tokenizer.json and similar files. */
  maxModelJsonBytes: 256 << 20,
  /** Largest single size in config.json, such as hidden size, vocabulary size or context length. */
  maxModelDimension: 1 << 24,
  /** Positions of a model whose rotary positions the engine computes; the sines of later positions are not exact. */
  maxContextLength: 2 ** 21,
  /** Layers of a model; one call of the kernels runs all of them. */
  maxModelLayers: 255,
  /** Size of an attention head. */
  maxHeadDim: 1024,
  /** Bytes of one protobuf message, and therefore of an ONNX file without external data. */
  maxProtobufBytes: 2 ** 31 - 1,
  /** Bytes of the hub's response that lists the files of a repository. */
  maxHubListingBytes: 32 << 20,
  /** Redirects from the hub's URL of a file to the server that stores it. */
  maxHubRedirects: 5,
  /** Attempts of a hub request in a row that receive no byte. */
  maxHubAttempts: 6,
  /** Attempts of the first request to the hub; fewer, so that a mistyped endpoint fails soon. */
  maxHubFirstAttempts: 3,
  /** Pause before the second attempt; it doubles for each further attempt, up to `maxHubPauseMs`. */
  hubPauseMs: 500,
  maxHubPauseMs: 15_000,
  /** Longest pause that a rate-limiting hub may request; its rate limits apply to windows of five minutes. */
  maxHubRetryAfterMs: 310_000,
  /** Time after which a connection that sends nothing is closed. */
  hubStallMs: 20_000,
  /** Parts of a large file that are downloaded concurrently, and the bytes of a part. */
  hubPartsAtOnce: 4,
  hubPartBytes: 16 << 20,
  /** Small files that are downloaded concurrently. */
  hubFilesAtOnce: 4,
  /**
   * Time without writes after which an unfinished folder is stale: the first value if its process is dead, the second
   * in any case.
   */
  stagingSilenceMs: 600_000,
  maxStagingSilenceMs: 86_400_000,
  /** Time without a heartbeat after which the owner of a lock is considered dead. */
  hubLockSilenceMs: 15_000,
  /**
   * Size from which an ONNX file keeps its weights in a separate file, in bytes. It is far below protobuf's limit:
   * external weights are memory-mapped instead of parsed and copied, which saves a third of the time and memory needed
   * to load a session.
   */
  maxInlineWeightsBytes: 64 << 20,
  /** Bytes of an ONNX file without its weights. */
  maxOnnxGraphBytes: 256 << 20,
  /** Nodes, weights, inputs and other parts of an ONNX file. Decoders have some ten thousand. */
  maxOnnxParts: 200_000,
  /**
   * Bytes of an ONNX file's parts that are decoded into objects, which take up to thirty times as much memory: names,
   * numbers and shapes, without the contents of tensors.
   */
  maxOnnxDecodedBytes: 32 << 20,
  /** Variables that a request can give to the chat template. */
  maxTemplateVariables: 64,
  /** Tokens up to which a prompt that does not fit is counted, or twice the context if that is more. */
  countedPromptTokens: 65_536,
  /** Tokens in one block of a prefill, and positions in one KV cache page. */
  promptBlockTokens: 64,
  /** Blocks of a prompt that ONNX Runtime runs together while no other request runs; it is faster with more rows. */
  maxPromptBlocks: 4,
  /** Drafted tokens of a sequence that run with its last token; eight rows fill the kernels' widest tile. */
  maxDraftTokens: 7,
  /** Last tokens of a sequence that are searched for a draft: some 20 microseconds. */
  maxDraftHistory: 16_384,
  /** Bytes of attention scores for which blocks still run together: f32 [heads, rows, positions]. */
  maxScoresBytes: 64 << 20,
  /** Tokens in one block of an ONNX graph of a whole model: every block reads all weights, so longer ones are faster. */
  graphBlockTokens: 128,
  /** Upper limit of `maxConcurrency`, the choices that decode at the same time; each has a row of logits. */
  maxRunningSequences: 128,
  /** Default of `maxConcurrency`; further choices wait in a queue. */
  runningSequencesDefault: 16,
  /** Estimated bytes of an answer's deltas that wait unread before its request pauses; half of it ends the pause. */
  maxUnreadBytes: 256 << 10,
  /** Longest pause of a request for its reader; a reader that takes longer counts as gone. */
  maxReaderPauseMs: 60_000,
  /** Estimated bytes of an answer that a server collects as a whole, and of all such answers of a model together. */
  maxWholeAnswerBytes: 64 << 20,
  maxWholeAnswersBytes: 512 << 20,
  /**
   * Milliseconds that a step spends on token masks that are not ready: half of the last forward pass within these
   * bounds, and the upper bound while no sequence can draw a token; and the turn of one request in them.
   */
  minMaskSliceMs: 2,
  maxMaskSliceMs: 10,
  maskTurnMs: 0.5,
  /** Default size of the KV cache, in bytes. */
  maxKVCacheBytes: 2 ** 31,
  /** Bytes of the kernels' memory that weights and KV cache leave free for buffers that grow with use. */
  maxKernelScratchBytes: 64 << 20,
  /** Threads of the kernels, and of ONNX Runtime. */
  maxThreads: 64,
  /** Token ids of a tokenizer, including unused ones: a pair of ids must fit a float64 exactly. */
  maxVocabSize: 2_097_152,
  /** UTF-16 code units of a chat template. */
  maxTemplateCharacters: 256 << 10,
  /** Steps (see `Budget`) of a template: at least, and for each UTF-16 code unit of the messages. */
  minRenderSteps: 2_000_000,
  renderStepsPerCharacter: 16,
  /** UTF-16 code units of all texts that a template creates: at least, and for each one of the messages. */
  minRenderCharacters: 16 << 20,
  renderCharactersPerCharacter: 32,
  /** UTF-16 code units of a prompt: at least, and for each one of the messages. */
  minPromptCharacters: 1 << 20,
  promptCharactersPerCharacter: 32,
  /** UTF-16 code units of one text of a template. Replacing some 60 million matches at once ends the process. */
  maxRenderedTextCharacters: 32 << 20,
  /** The same bounds for the renderings that show, when a model is loaded, which tokens its template writes. */
  sampleRenderSteps: 200_000,
  sampleRenderCharacters: 1 << 20,
  /** Length that counts for a message in addition to its texts, in UTF-16 code units. */
  renderCharactersPerMessage: 128,
  /** Depth of a template's expressions, blocks, calls and values while it is rendered. */
  maxRenderDepth: 400,
  /** Steps of a tokenizer's normalizer, of its pre-tokenizer, and of its decoder. */
  maxTokenizerSteps: 64,
  /** UTF-16 code units of a token's text after the replacements of a decoder, and bytes of all tokens together. */
  maxTokenCharacters: 65_536,
  maxTokensBytes: 16 << 20,
  /** Tokens that a tokenizer puts in front of a text. */
  maxBeginTokens: 8,
  /** UTF-16 code units of what a byte-pair encoding adds to characters, such as `</w>` at the end of a word. */
  maxAffixCharacters: 64,
  /** UTF-16 code units of all pieces of a Unigram vocabulary together. */
  maxPiecesCharacters: 8 << 20,
  /** Bytes of a character map of a normalizer, and of one replacement in it. */
  maxCharacterMapBytes: 4 << 20,
  maxCharacterReplacementBytes: 1024,
  /** UTF-16 code units of one added token, normalized, and of all together. */
  maxAddedTokenCharacters: 4096,
  maxAddedTokensCharacters: 1 << 20,
  /** UTF-16 code units of one pattern of a tokenizer. */
  maxTokenizerPatternCharacters: 65_536,
  /**
   * UTF-16 code units of a normalized text: the longest request, twice as long. Replacing some 60 million matches at
   * once ends the process.
   */
  maxNormalizedCharacters: 16 << 20,
  /** Steps (see `Budget`) for the tokens of a text. A run of one character, which takes the most, takes about 4 each. */
  minEncodingSteps: 1_000_000,
  encodingStepsPerCharacter: 32,
  /** UTF-16 code units of a JSON schema that is serialized as JSON. */
  maxSchemaCharacters: 256 << 10,
  /** Nesting depth of schemas. */
  maxSchemaDepth: 128,
  /** Schemas in one document, including the values of `enum` and `const`. */
  maxSchemaSchemas: 20_000,
  /** Entries of `properties` and similar keywords. */
  maxSchemaProperties: 1000,
  /** Remarks on the schemas of an answer, and UTF-16 code units of each. */
  maxSchemaNotes: 100,
  maxSchemaNoteCharacters: 1000,
  /** Characters of a pattern after repetitions of look-around are expanded. */
  maxPatternPositions: 10_000,
  /** Nesting depth of the groups of a pattern. The reader is recursive; this depth is far from a stack overflow. */
  maxPatternDepth: 1000,
  /** Different values that a schema describes. */
  maxGrammarNodes: 10_000,
  /** Combinations of the branches of `anyOf`, `oneOf` and `enum` at one place of a schema. */
  maxGrammarAlternatives: 512,
  /** States of one pattern or string language, which is searched for dead ends when a grammar is compiled. */
  maxGrammarStates: 20_000,
  /** Steps of compiling a grammar: about a second on a slow machine. */
  maxGrammarSteps: 3_000_000,
  /** Texts of a choice, and UTF-16 code units of all together. */
  maxAnswerChoices: 10_000,
  maxAnswerChoicesCharacters: 256 << 10,
  /** Structures and triggers of structural tags, and UTF-16 code units of a trigger, a beginning or an end. */
  maxStructures: 512,
  maxTriggers: 64,
  maxTagCharacters: 1024,
  /** UTF-16 code units of a context-free grammar, and nesting depth of its groups. The reader is recursive. */
  maxGrammarCharacters: 256 << 10,
  maxGrammarDepth: 500,
  /** States and transitions of the rules of a context-free grammar. */
  maxGrammarRuleStates: 50_000,
  maxGrammarEdges: 100_000,
  /** Rules of a context-free grammar that are open at the same time. */
  maxGrammarStack: 256,
  /** States that are followed after one byte. */
  maxGrammarVisits: 4096,
  /** Bytes that must follow in an answer, which are listed at once. */
  maxForcedBytes: 4096,
  /** Cached states of a grammar's automaton, and cached token masks. */
  maxGrammarConfigurations: 20_000,
  maxGrammarMasks: 128,
  /** Cached language states of a grammar. */
  maxGrammarLanguages: 20_000,
  /** Bytes of compiled grammars, and of refusals, that are kept for later requests. */
  maxGrammarCacheBytes: 64 << 20,
  /** Bytes of grammars that are kept ready to be used, with their cached states and masks. */
  maxLoadedGrammarBytes: 64 << 20,
  /** White-space characters between the reasoning and an answer that has a grammar. */
  maxBlankBeforeAnswer: 16,
} as const;
