import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";

import { equalisedTensors } from "../../spec-tests/oracles/equalised-weights.js";
import { writeRandomModel } from "../../spec-tests/fixtures/random-model.js";
import { ReferenceForward } from "../../spec-tests/oracles/forward.js";
import { openSourceModel } from "../folder/source-model.js";

test.each<Record<string, unknown>>([
  {},
  { attention_bias: true, num_key_value_heads: 1 },
  { model_type: "qwen2", num_attention_heads: 6 },
  { model_type: "qwen3", head_dim: 6 },
])("equalised weights compute the same function: %o", async (config) => {
  const dir = await mkdtemp(join(tmpdir(), "equalise-"));
  const tensors = await writeRandomModel(dir, { config });
  const source = await openSourceModel(dir);
  const equalised = await equalisedTensors(source.config, tensors);
  const plain = new ReferenceForward(source.config, (name) => tensors.get(name)!.values);
  const after = new ReferenceForward(source.config, (name) => equalised.get(name)!.values);
  for (const token of [5, 17, 200, 3]) {
    const expected = plain.hidden(token);
    after.hidden(token).forEach((value, i) => expect(Math.abs(value - expected[i]!)).toBeLessThan(2e-5));
  }
  await source.reader.close();
  await rm(dir, { recursive: true, force: true });
});
