/** Properties in which decoder families differ; config.ts and weights.ts hold the parts they share. */

export interface Family {
  /** Values of absent config.json keys, from the family's configuration class of Hugging Face. */
  readonly defaults: {
    readonly vocabSize: number;
    readonly intermediateSize: number;
    /** null: as many as attention heads. */
    readonly numKvHeads: number | null;
    /** null: hidden_size / num_attention_heads. */
    readonly headDim: number | null;
    readonly contextLength: number;
  };
  /**
   * Attention projections that have a bias: all or none, depending on `attention_bias` ("configured"); q, k and v
   * ("inputs"); none ("none").
   */
  readonly attentionBias: "configured" | "inputs" | "none";
  /** True if each head of q and k is normalized before rotation. */
  readonly qkNorm: boolean;
  /** Condition under which `sliding_window` applies: never, always, or if `use_sliding_window` is true ("switched"). */
  readonly slidingWindow: "never" | "always" | "switched";
}
