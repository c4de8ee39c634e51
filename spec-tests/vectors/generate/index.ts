/**
 * Generators of all vector files. They implement the clauses of docs/SPEC.md and import nothing that the vectors test.
 * Their output is deterministic. `UPDATE_GOLDEN=1 npx vitest run spec-tests/vectors` writes the files.
 */

import type { VectorFile } from "./case-list.js";
import { detokenisationVectors } from "./detokenisation.js";
import { logprobsVectors } from "./logprobs.js";
import { philoxVectors } from "./philox.js";
import { reasoningVectors } from "./reasoning.js";
import { samplingVectors } from "./sampling.js";
import { stopVectors } from "./stop.js";
import { structuredOutputVectors } from "./structured-output.js";
import { validationVectors } from "./validation.js";

export { fileText, type VectorFile } from "./case-list.js";

export function vectorFiles(): VectorFile[] {
  return [
    samplingVectors(),
    philoxVectors(),
    stopVectors(),
    reasoningVectors(),
    validationVectors("ppio"),
    validationVectors("openai"),
    detokenisationVectors(),
    logprobsVectors(),
    structuredOutputVectors(),
  ];
}
