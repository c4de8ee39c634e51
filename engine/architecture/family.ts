/** What distinguishes a family of decoders; what they share is in config.ts and weights.ts. */

export interface Family {
  /** What an absent key of config.json means, by Hugging Face's configuration class of the family. */
  readonly defaults: {
    readonly vocabSize: number;
    readonly intermediateSize: number;
    /** null: as many as heads. */
    readonly numKvHeads: number | null;
    /** null: hidden_size / num_attention_heads. */
    readonly headDim: number | null;
    readonly contextLength: number;
  };
  /** Which projections of the attention have a bias: all or none, as `attention_bias` says; q, k and v; or none. */
  readonly attentionBias: "configured" | "inputs" | "none";
  /** Whether each head of q and k is normalized before rotation. */
  readonly qkNorm: boolean;
  /** When `sliding_window` applies: never, always, or where `use_sliding_window` says so. */
  readonly slidingWindow: "never" | "always" | "switched";
}
