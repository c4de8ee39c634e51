/**
 * Constrains transformers.js: a function for its LogitsProcessorList that masks all tokens that cannot continue an
 * answer in a format. Use:
 *
 *     const { data } = await tokenizer("A person as JSON: ", { return_tensor: true });
 *     const bytes = new Uint8Array(await (await fetch(`https://huggingface.co/${name}/resolve/main/tokenizer.json`)).arrayBuffer());
 *     const vocabulary = Vocabulary.fromTokenizer(bytes, [tokenizer.eos_token_id]);
 *     const processors = new LogitsProcessorList();
 *     processors.push(constrained({ type: "json_schema", schema }, vocabulary));
 *     await model.generate({ ...inputs, logits_processor: processors, max_new_tokens: 200 });
 */

import { type AnswerFormat, type Matcher, type Vocabulary, compile } from "touchstone/grammar";

/** Logits of a batch as transformers.js has them: f32 [batch, vocabulary]. */
interface Logits {
  readonly dims: readonly number[];
  readonly data: Float32Array;
}

/** @returns a processor for one call of `generate`, which is called before each token with all tokens so far */
export function constrained(format: AnswerFormat, vocabulary: Vocabulary) {
  const compiled = compile(format);
  let rows: { readonly matcher: Matcher; numRead: number }[] = [];
  return (inputIds: readonly (readonly bigint[])[], logits: Logits): Logits => {
    if (rows.length === 0)
      rows = inputIds.map((ids) => ({ matcher: compiled.matcher(vocabulary), numRead: ids.length }));
    const size = logits.dims.at(-1)!;
    for (const [index, row] of rows.entries()) {
      const ids = inputIds[index]!;
      for (; row.numRead < ids.length; row.numRead++) row.matcher.accept(Number(ids[row.numRead]));
      row.matcher.mask(logits.data.subarray(index * size, (index + 1) * size));
    }
    return logits;
  };
}
