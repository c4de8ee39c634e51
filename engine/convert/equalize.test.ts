import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, test } from "vitest";

import { equalizedTensors } from "../../spec-tests/oracles/equalized-weights.js";
import { writeRandomModel } from "../../spec-tests/fixtures/random-model.js";
import { largestDifference } from "../../spec-tests/fixtures/runners.js";
import { valuesOf } from "../../spec-tests/oracles/estimate.js";
import { hiddenStates } from "../../spec-tests/oracles/forward.js";
import { namedModel } from "../../spec-tests/oracles/named-model.js";
import { openSourceModel } from "../folder/source-model.js";

test.each<Record<string, unknown>>([
  {},
  { attention_bias: true, num_key_value_heads: 1 },
  { model_type: "qwen2", num_attention_heads: 6 },
  { model_type: "qwen3", head_dim: 6 },
])("equalized weights compute the same function: %o", async (config) => {
  const dir = await mkdtemp(join(tmpdir(), "equalize-"));
  const tensors = await writeRandomModel(dir, { config });
  const source = await openSourceModel(dir);
  const equalized = await equalizedTensors(source.config, tensors);
  const [plain, after] = [tensors, equalized].map((weights) =>
    hiddenStates(
      namedModel(source.config, (name) => weights.get(name)!.values),
      [5, 17, 200, 3],
    ).map(valuesOf),
  );
  expect(largestDifference(after!, plain!)).toBeLessThan(2e-5);
  await source.reader.close();
  await rm(dir, { recursive: true, force: true });
});
