/** Every bound of the engine, in one place (contract, section 2, where a bound is the contract's). */

export const LIMITS = {
  /** Stop sequences of one request. */
  maxStopSequences: 4,
  /** Choices of one request. */
  maxChoices: 128,
  /** Entries of `logit_bias`. */
  maxLogitBiasEntries: 1024,
  /** Alternatives listed for each token. */
  maxTopLogprobs: 20,
  /** Arrays and objects inside each other: parsing recurses, so the bound is far from the end of the stack. */
  maxJsonDepth: 256,
  /** Characters of a value or a name that an error repeats. */
  maxQuotedChars: 80,
  /** Bytes of a safetensors header; the format's own bound. */
  maxSafetensorsHeaderBytes: 100_000_000,
  /** Bytes of config.json, tokenizer.json and their like. */
  maxModelJsonBytes: 256 << 20,
  /** Any single size in config.json: hidden size, vocabulary, context length. */
  maxModelDimension: 1 << 24,
  /** Layers that the kernels run in one go. */
  maxModelLayers: 255,
  /** Dimensions of a head. */
  maxHeadDim: 1024,
  /** Bytes of one protobuf message, hence of an ONNX file without external data. */
  maxProtobufBytes: 2 ** 31 - 1,
  /** Bytes of the hub's list of a repository's files. */
  maxHubListingBytes: 32 << 20,
  /** Redirects from a file of the hub to where its bytes are. */
  maxHubRedirects: 5,
  /** Times that a request is tried without a byte of progress. */
  maxHubAttempts: 6,
  /** The same for the first request of all: whoever mistypes a path shall not wait long. */
  maxHubFirstAttempts: 3,
  /** The first pause between two tries, which doubles up to the longest. */
  hubPauseMs: 500,
  maxHubPauseMs: 15_000,
  /** The longest pause that a busy hub may ask for; its own allowances are for five minutes. */
  maxHubRetryAfterMs: 310_000,
  /** How long a connection may be silent. */
  hubStallMs: 20_000,
  /** Parts of a large file that are fetched at the same time, and their bytes. */
  hubPartsAtOnce: 4,
  hubPartBytes: 16 << 20,
  /** Small files that are fetched at the same time. */
  hubFilesAtOnce: 4,
  /** How long nothing may be written into an unfinished folder before it counts as left behind: of a process that is not seen here, of any. */
  stagingSilenceMs: 600_000,
  maxStagingSilenceMs: 86_400_000,
  /** How long a lock may go untouched before its owner counts as gone. */
  hubLockSilenceMs: 15_000,
  /**
   * Bytes from which on an ONNX file keeps its weights beside it, far below protobuf's limit: they are then mapped
   * instead of parsed and copied, which takes a third off the time and the memory of loading a session.
   */
  maxInlineWeightsBytes: 64 << 20,
  /** Bytes of an ONNX file that are no weights. */
  maxOnnxGraphBytes: 256 << 20,
  /** Tokens of one prompt block, and positions of one page of keys and values. */
  promptBlockTokens: 64,
  /** The same for graphs that ONNX Runtime runs whole: it reads all weights for every block, so these are longer. */
  graphBlockTokens: 128,
  /** Choices that may be let draw tokens at the same time: a row of logits is kept for each. */
  maxRunningSequences: 128,
  /** Choices that do, unless told otherwise; more wait for their turn. */
  runningSequencesDefault: 16,
  /** Memory for keys and values, unless told otherwise. */
  maxKVCacheBytes: 2 ** 31,
  /** Of the kernels' memory, what weights, keys and values leave for buffers that grow with use. */
  maxKernelScratchBytes: 64 << 20,
  /** Threads of the kernels, and of ONNX Runtime. */
  maxThreads: 64,
  /** Tokens of a tokenizer, holes included: pairs of ids must fit a float64 exactly. */
  maxVocabSize: 2_097_152,
  /** Characters of a JSON schema as JSON. */
  maxSchemaBytes: 256 << 10,
  /** Schemas within one another. */
  maxSchemaDepth: 128,
  /** Schemas of one document, the values of `enum` and `const` included. */
  maxSchemaSchemas: 20_000,
  /** Entries of `properties` and its like. */
  maxSchemaProperties: 1000,
  /** Characters of a pattern, its repetitions written out. */
  maxPatternPositions: 10_000,
  /** Different values that a schema describes. */
  maxGrammarNodes: 10_000,
  /** Ways to combine the branches of `anyOf`, `oneOf` and `enum` at one place. */
  maxGrammarAlternatives: 512,
  /** States of a grammar's patterns, and of its strings that are searched for dead ends. */
  maxGrammarStates: 20_000,
  /** States of a grammar that are remembered, and masks. */
  maxGrammarConfigurations: 10_000,
  maxGrammarMasks: 256,
  /** Languages that a grammar may have come upon before it is compiled anew for the next request. */
  maxGrammarLanguages: 200_000,
  /** Grammars that are kept for the next request. */
  maxGrammarsKept: 16,
  /** Characters of white space between the reasoning and an answer that has a grammar. */
  maxBlankBeforeAnswer: 16,
} as const;
