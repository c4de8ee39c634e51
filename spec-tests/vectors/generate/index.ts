/**
 * All vector files, written from the clauses of docs/SPEC.md and nothing else: no file here imports what it is a test of.
 * The same input gives the same bytes; `UPDATE_GOLDEN=1 npx vitest run spec-tests/vectors` writes the files.
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
